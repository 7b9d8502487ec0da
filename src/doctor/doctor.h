/* doctor/doctor.h - why does this connection of mutual TLS fail, and what mends it? A handful of connections, as normal
 * clients make them, the files of either side, and one list of findings. Owner: the caller; one thread; waits. */
#ifndef CS_DOCTOR_DOCTOR_H
#define CS_DOCTOR_DOCTOR_H

#include "base/rng.h"
#include "doctor/creds.h"
#include "doctor/findings.h"
#include "doctor/probe.h"

typedef struct doctor_plan { /* all borrowed */
    const char *where;       /* HOST:PORT */
    const char *name;        /* that the server's certificate is to have; NULL: HOST */
    const char *path, *user; /* HTTP's path; PostgreSQL's user, NULL: the certificate's common name */
    const char *server_config;
    creds_plan creds;
    probe_proto proto;
    cs_time wait; /* of each step of the first connection */
    const cs_clock *clock;
    const cs_rng *rng;
} doctor_plan;

enum { DOCTOR_FACTS_MAX = 40 };
typedef struct doctor_fact {
    char what[32];
    char says[400];
} doctor_fact;
typedef struct doctor_report {
    findings found; /* most likely first */
    doctor_fact fact[DOCTOR_FACTS_MAX];
    size_t facts;
    unsigned connections;
    cs_certs server; /* what it sent */
} doctor_report;

/* usage: `where` is not HOST:PORT. What fails out there is a finding, not an error. */
CS_MUST_USE cs_status doctor_run(const doctor_plan *plan, doctor_report *ret, cs_err *err);
void doctor_report_free(doctor_report *r);
void doctor_say(doctor_report *r, const char *what, const char *says, ...) CS_PRINTF(3, 4);

#endif
