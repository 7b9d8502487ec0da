/* audit/audit.h - what is weak, open, about to end or wrong among certificates, keys, CRLs and the configuration of
 * servers, in files. Nothing is changed, nothing is executed, no socket is opened.
 * Owner: who made it (audit_free). One thread. Bounds: AUDIT_FILES_MAX files, AUDIT_DEPTH_MAX folders deep, symbolic
 * links are not followed; what is over is said. */
#ifndef CS_AUDIT_AUDIT_H
#define CS_AUDIT_AUDIT_H

#include "base/buf.h"
#include "base/clock.h"

enum { AUDIT_FILES_MAX = 4 * 1000 * 1000, AUDIT_DEPTH_MAX = 24, AUDIT_FINDINGS_MAX = 1000 * 1000 };

typedef enum audit_severity { AUDIT_NOTE, AUDIT_LOW, AUDIT_MEDIUM, AUDIT_HIGH, AUDIT_CRITICAL } audit_severity;
enum { AUDIT_SEVERITIES = AUDIT_CRITICAL + 1 };
const char *audit_severity_name(audit_severity s); /* "high" */
bool audit_severity_parse(const char *name, audit_severity *ret);

typedef enum audit_id {
#define X(id, name, severity, says, fix) AUDIT_##id,
#include "audit/rules.def"
#undef X
    AUDIT_RULES
} audit_id;
typedef struct audit_rule {
    const char *name;
    audit_severity severity;
    const char *says, *fix;
} audit_rule;
const audit_rule *audit_rule_of(audit_id id);

typedef struct audit_plan {
    cs_time now, soon; /* soon: what ends within that is about to end */
    bool encrypted;    /* private keys shall be encrypted */
    /* How far it is, now and then; NULL: nobody asks. */
    void (*seen)(void *cls, size_t files);
    void *cls;
} audit_plan;

typedef struct audit_finding {
    audit_id id;
    uint32_t file, subject, detail; /* in audit.text, NUL-terminated */
    uint64_t mark; /* of rule, file and subject: the same in the next audit, whatever the days that are left */
} audit_finding;

typedef struct audit {
    const audit_plan *plan;
    cs_buf text;
    audit_finding *at;
    size_t n, cap;
    size_t files, certs, keys, crls, configurations, left_out; /* left_out: findings over the bound */
    struct audit_key *seen;                                    /* of each certificate and key, for what spans files */
    size_t seen_n, seen_cap;
} audit;

void audit_begin(audit *a, const audit_plan *plan);
/* A file, or a folder and all in it. file-not-found, file-unreadable of the path itself; what is below that cannot be
 * read is a finding. */
CS_MUST_USE cs_status audit_path(audit *a, const char *path, cs_err *err);
/* What spans files: shared keys, CA keys, keys without certificates. Sorts the findings: worst first. */
CS_MUST_USE cs_status audit_end(audit *a, cs_err *err);
void audit_free(audit *a);
static inline const char *audit_text(const audit *a, uint32_t at) {
    return (const char *)a->text.p + at;
}

/* 100: nothing; each finding that is no note takes away, the worse the more. */
unsigned audit_score(const audit *a, audit_severity *ret_worst);

#endif
