/* doctor/probe_priv.h - what probe.c and words.c share. */
#ifndef CS_DOCTOR_PROBE_PRIV_H
#define CS_DOCTOR_PROBE_PRIV_H

#include "doctor/probe.h"

enum {
    PROBE_OUT_MAX = 4 * 1024 * 1024, /* our own flight; a whole CA bundle may stand in it */
};

typedef struct probing {
    const probe_plan *plan;
    probe *p;
    int fd;
    cs_time until;
} probing;

bool probe_send(probing *w, cs_view data);
/* Some octets; false: the end, an error or the time, noted in the probe. */
bool probe_recv(probing *w, cs_buf *in, cs_time until);
/* What is said under TLS, until `enough` or the peer's end. */
bool probe_listen(probing *w, cs_time until, bool (*enough)(probing *w));

/* words.c: what services say before TLS, and a request under it. */
bool probe_preface(probing *w);
bool probe_ask(probing *w);

#endif
