/* doctor/findings.h - what can be wrong with mutual TLS, as one table, and a list of what was found.
 * Owner of a list: who made it. Everything else is static. No sockets, no files here. */
#ifndef CS_DOCTOR_FINDINGS_H
#define CS_DOCTOR_FINDINGS_H

#include "base/json.h"

typedef struct finding_info {
    unsigned number;
    const char *id, *name; /* "F01", "client-chain-incomplete" */
    const char *is;        /* the case, one sentence */
    const char *how;       /* how it comes about, how it is told from its likes; may be "" */
    const char *fix, *source;
} finding_info;

/* By "F01", "f1" or the name; NULL: there is none. */
const finding_info *finding_by_id(cs_view text);
const finding_info *finding_by_number(unsigned number);
const finding_info *finding_at(size_t i); /* each in turn; NULL: no more */

/* ---- what was found ---- */
enum { FINDINGS_MAX = 64, FINDING_EVIDENCE_MAX = 400, FINDING_SURE = 95, FINDING_LIKELY = 75, FINDING_MAYBE = 40 };
typedef struct finding {
    const finding_info *info;
    unsigned confidence; /* of 100 */
    bool note;           /* worth knowing, but not what makes a connection fail */
    char evidence[FINDING_EVIDENCE_MAX];
} finding;
typedef struct findings {
    finding at[FINDINGS_MAX];
    size_t n;
} findings;

/* The same number again: the more confident one stays. Over FINDINGS_MAX are left out. */
void findings_add(findings *f, unsigned number, unsigned confidence, const char *evidence, ...) CS_PRINTF(4, 5);
/* What is no failure by itself. */
void findings_note(findings *f, unsigned number, const char *evidence, ...) CS_PRINTF(3, 4);
/* At most that confident; 0: a note from now on, with `why` behind its evidence. */
void findings_lower(findings *f, unsigned number, unsigned confidence, const char *why);
bool findings_has(const findings *f, unsigned number);
void findings_sort(findings *f);          /* most likely first, notes last */
bool findings_problem(const findings *f); /* is there one that is no note? */
/* "findings":[...] */
void findings_json(const findings *f, cs_json *j);

/* ---- what programs say ---- */
enum { EXPLAIN_MAX = 8, EXPLAIN_TEXT_MAX = 256 * 1024 };
typedef struct explained {
    const finding_info *at[EXPLAIN_MAX]; /* most likely first */
    size_t n;
    const char *program, *pattern; /* what was recognised first; NULL: nothing */
} explained;
/* Causes of what a program said; text: any, a log's lines too. */
void explain_text(cs_view text, explained *ret);

#endif
