/* x509/profile_priv.h - the pieces of building by a profile, one file each. Only x509's profile*.c include this. */
#ifndef CS_X509_PROFILE_PRIV_H
#define CS_X509_PROFILE_PRIV_H

#include "x509/profile.h"

/* The Name by the profile's rules; sans are those of the certificate. */
CS_MUST_USE cs_status cs_profile_subject(const cs_profile *p, const cs_profile_ask *ask, const cs_san sans[],
                                         size_t san_count, cs_buf *b, cs_err *err);
bool cs_profile_pattern_ok(const cs_pattern *p);
/* Policies, TLS feature, the profile's name, and what the configuration adds. */
void cs_profile_put_own_exts(const cs_profile *p, cs_buf *tbs);

#endif
