/* signer/crl.h - a CRL that is signed while it passes: checked, hashed, forgotten. One of them a connection.
 * Owner: the signer's program, for its peer; zero-initialised, signer_crl_free at the end. */
#ifndef CS_SIGNER_CRL_H
#define CS_SIGNER_CRL_H

#include "keys/stream.h"
#include "x509/build.h"
#include "x509/digest.h"

typedef struct signer_crl {
    bool open;
    size_t issuer; /* index of its CA */
    cs_crl_check check;
    cs_stream *signing;
    cs_digest *hash; /* of the TBSCertList, for the journal */
    cs_err why;      /* status CS_OK; else END is answered with it */
} signer_crl;
void signer_crl_free(signer_crl *c);

/* A new one, whatever the one before came to. */
void signer_crl_begin(signer_crl *c, size_t issuer, const cs_cert *ca, const cs_key *key, cs_view front);
void signer_crl_part(signer_crl *c, cs_view entries);
/* Whether it may be signed: above the number high_water, of about now. Fills facts and the hash. */
CS_MUST_USE cs_status signer_crl_end(signer_crl *c, cs_view back, uint64_t high_water, cs_time now, cs_crl_facts *ret,
                                     uint8_t ret_hash[CS_SHA256_LEN], cs_err *err);

#endif
