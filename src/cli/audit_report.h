/* cli/audit_report.h - an audit's findings as words, JSON, SARIF and JUnit, and what of them is known already. */
#ifndef CS_CLI_AUDIT_REPORT_H
#define CS_CLI_AUDIT_REPORT_H

#include "audit/audit.h"
#include "cli/cli.h"

typedef struct audit_known {
    uint64_t *at; /* marks */
    size_t n, cap, dropped;
} audit_known;
CS_MUST_USE cs_status audit_known_add(audit_known *k, uint64_t mark, cs_err *err);
/* Takes what is known out of the findings. */
void audit_known_drop(audit_known *k, audit *a);
void audit_known_free(audit_known *k);

typedef void audit_report(cs_buf *b, const audit *a);
void audit_json(cs_buf *b, const audit *a);
void audit_sarif(cs_buf *b, const audit *a); /* OASIS SARIF 2.1.0 */
void audit_junit(cs_buf *b, const audit *a);
void audit_words(cs_buf *b, const audit *a, bool all);

#endif
