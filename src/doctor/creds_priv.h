/* doctor/creds_priv.h - what the files of creds share. */
#ifndef CS_DOCTOR_CREDS_PRIV_H
#define CS_DOCTOR_CREDS_PRIV_H

#include "doctor/creds.h"

/* The file's octets; false: it cannot be read or is nothing of use, and that was said. */
bool creds_load(const char *path, const char *role, bool ca, cs_buf *b, findings *f);
/* creds_p12.c: plan->cert is PKCS#12. Its certificates, and what other programs will not like about it. */
void creds_read_p12(const creds_plan *plan, creds *ret, findings *f);

#endif
