/* doctor/doctor_priv.h - what the files of a doctor's run share. */
#ifndef CS_DOCTOR_DOCTOR_PRIV_H
#define CS_DOCTOR_DOCTOR_PRIV_H

#include "doctor/doctor.h"
#include "verify/verify.h"

enum { DOCTOR_ADDRS_MAX = 4 };

typedef struct doctor {
    const doctor_plan *plan;
    doctor_report *r;
    findings *f; /* of the report */
    creds own;
    char host[256], host_field[300];
    char user[80];
    const char *name;
    bool by_ip; /* the name is an address: no SNI */
    net_addr at[DOCTOR_ADDRS_MAX];
    size_t addrs, chosen;
    cs_time wait;
    /* none: without a certificate; mine: with it; only12: with it, over TLS 1.2; junk: a throw-away self-signed one;
     * fuller: mine with the issuer that --ca knows; plain_sni: without SNI */
    probe none, mine, only12, junk, fuller, plain_sni;
    bool has_mine, has_only12, has_junk, has_fuller, has_plain_sni;
    bool server_good; /* its certificate is good under --ca */
} doctor;

/* look_at.c: connections. False: none came as far as TLS, and why is said. */
bool doctor_look(doctor *d);
/* net.c: the first connection failed before the server's hello. */
void doctor_judge_network(doctor *d, const probe *p, size_t addr, unsigned confidence);
/* server.c: what the server is. */
void doctor_judge_server(doctor *d);
/* client.c: what the server thinks of us. */
void doctor_judge_client(doctor *d);
/* sites_judge.c: what the server's configuration says; before or without a connection too. */
void doctor_judge_config(doctor *d);
/* One connection more. */
void doctor_probe(doctor *d, const probe_plan *how, probe *ret);
probe_plan doctor_plan_of(const doctor *d, size_t addr);

#endif
