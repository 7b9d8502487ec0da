/* scep_priv.h - one exchange of SCEP, as the door's files see it. */
#ifndef CS_PROTO_SCEP_PRIV_H
#define CS_PROTO_SCEP_PRIV_H

#include "enroll/trace.h"
#include "proto/rest/rest_priv.h"
#include "proto/scep/scep_msg.h"

typedef struct scep_exchange {
    rest_call *c;
    enroll_ask ask;
    bool legacy;
    authority_ra *ras[AUTHORITY_RA_MAX];
    size_t ra_count;
    const authority_ra *by; /* to whom it was encrypted, who therefore answers */
    scep_msg in;
    cs_buf inner; /* what was in the envelope */
    cs_cms_cipher cipher;
    cs_csr *csr; /* of a request */
    enroll_trace *trace;
} scep_exchange;
void scep_exchange_free(scep_exchange *x);

/* scep_answer.c: the answers, into c->out. */
/* leaf first; crl: instead of certificates. */
CS_MUST_USE cs_status scep_answer_certs(scep_exchange *x, const cs_cert *const certs[], size_t n, cs_view crl,
                                        cs_err *err);
CS_MUST_USE cs_status scep_answer_pending(scep_exchange *x, cs_err *err);
CS_MUST_USE cs_status scep_answer_failure(scep_exchange *x, const cs_err *why, cs_err *err);
/* GetCACaps, GetCACert, GetNextCACert. */
CS_MUST_USE cs_status scep_tell_caps(scep_exchange *x, cs_err *err);
CS_MUST_USE cs_status scep_tell_cacert(scep_exchange *x, cs_err *err);
CS_MUST_USE cs_status scep_tell_next(scep_exchange *x, cs_err *err);

#endif
