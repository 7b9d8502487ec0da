/* x509/lint.h - rules that certificates, CRLs and requests should keep: one table, each with its source.
 * Nothing is kept between calls; any thread. The table is static; docs/lint.md is made from it (countersign lint
 * --rules). Lint judges one object by itself: no chain, no clock, no signature (the verdict on those is verify's). */
#ifndef CS_X509_LINT_H
#define CS_X509_LINT_H

#include "x509/crl.h"

typedef enum cs_lint_severity { CS_LINT_NOTICE, CS_LINT_WARNING, CS_LINT_ERROR } cs_lint_severity;
typedef enum cs_lint_of { CS_LINT_CERT, CS_LINT_CRL, CS_LINT_CSR } cs_lint_of;

typedef struct cs_lint_rule {
    const char *id; /* "san-missing": stable, as reasons are */
    cs_lint_of of;
    cs_lint_severity severity;
    const char *source; /* "RFC 5280 4.2.1.6", or "own" */
    const char *says;   /* what is demanded */
    /* NULL: kept, or not about this one; else what is wrong, static text. The one that belongs to `of`. */
    const char *(*cert)(const cs_cert *c);
    const char *(*crl)(const cs_crl *c);
    bool not_before_signing; /* it costs and has been looked at already, or the profile decides */
} cs_lint_rule;

/* The rows in turn from i = 0; NULL: no more. */
const cs_lint_rule *cs_lint_rule_at(size_t i);
const char *cs_lint_severity_name(cs_lint_severity s); /* "error" */
const char *cs_lint_of_name(cs_lint_of of);            /* "certificate" */

enum { CS_LINT_FINDINGS_MAX = 64 };
typedef struct cs_lint_finding {
    const cs_lint_rule *rule;
    const char *field; /* of the form; "" else */
    const char *detail;
} cs_lint_finding;
typedef struct cs_lint_report {
    cs_lint_of of;
    char name[CS_NAME_TEXT_MAX + 1]; /* the subject; a CRL's issuer */
    cs_lint_finding at[CS_LINT_FINDINGS_MAX];
    size_t n, errors, warnings;
    char unread[CS_DETAIL_MAX]; /* why it could not be read, of the one finding about its form; else "" */
} cs_lint_report;

void cs_lint_cert(const cs_cert *c, cs_lint_report *ret);
void cs_lint_crl(const cs_crl *c, cs_lint_report *ret);
/* Every certificate, CRL and request of a text, PEM or DER, each reported to `seen`. What is of no such form is a
 * report too. file-empty, file-wrong-type (nothing of the kind is in it). */
typedef void cs_lint_seen(void *cls, const cs_lint_report *report);
CS_MUST_USE cs_status cs_lint_text(cs_view text, const char *what, cs_lint_seen *seen, void *cls, cs_err *err);

/* What the signer runs: lint-failed naming the first rule of severity error that is broken. */
CS_MUST_USE cs_status cs_lint_before_signing(const cs_cert *c, cs_err *err);

#endif
