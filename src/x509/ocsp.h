/* x509/ocsp.h - an OCSP response, decoded strictly; and the request for one.                 @rfc 6960#4  @rfc 9654
 * Owner: whoever holds a reference. Immutable after decoding, so any thread may read it. Views look into the object's
 * own copy of the DER. Bound: CS_OCSP_MAX of DER, CS_OCSP_SINGLES_MAX answers, CS_OCSP_CERTS_MAX certificates. */
#ifndef CS_X509_OCSP_H
#define CS_X509_OCSP_H

#include "keys/keys.h"
#include "x509/cert_priv.h"

enum { CS_OCSP_SINGLES_MAX = 256, CS_OCSP_CERTS_MAX = 8, CS_OCSP_NONCE_MAX = 128 };

typedef struct cs_ocsp {
    int refs;
    void *owned;     /* what holds the DER */
    int status;      /* OCSPResponseStatus; 0: successful, else nothing below is set */
    cs_view tbs;     /* ResponseData */
    cs_view by_name; /* the responder's Name, or n == 0 */
    cs_view by_key;  /* SHA-1 of its key's octets, or n == 0 */
    cs_time produced_at;
    cs_view nonce; /* n == 0: none */
    cs_sigalg alg;
    cs_view sig;
    cs_certs certs;
    cs_view singles; /* contents of responses */
    size_t count;
} cs_ocsp;

typedef enum cs_ocsp_status { CS_OCSP_GOOD, CS_OCSP_REVOKED, CS_OCSP_UNKNOWN } cs_ocsp_status;

typedef struct cs_ocsp_single {
    cs_ocsp_status status;
    int reason; /* CRLReason of a revoked one; 0 when none is given */
    cs_time revoked_at;
    cs_time this_update, next_update;
    bool has_next_update;
} cs_ocsp_single;

/* Decodes one response of DER; every octet must be used. der is copied. CS_REFUSED/ocsp-invalid says field and rule;
 * also for a critical extension that is not understood (none is). */
CS_MUST_USE cs_status cs_ocsp_decode(cs_view der, cs_ocsp **ret, cs_err *err);
cs_ocsp *cs_ocsp_ref(const cs_ocsp *o);
void cs_ocsp_free(cs_ocsp *o);
CS_AUTO_DEFINE(cs_ocsp)

/* What it says of `cert`, issued by `issuer`: the answer whose CertID has that issuer's name and key and that serial,
 * by SHA-1 (which only identifies here), SHA-256, -384 or -512. Of several the worst: revoked, unknown, good. */
bool cs_ocsp_find(const cs_ocsp *o, const cs_cert *cert, const cs_cert *issuer, cs_ocsp_single *ret);
/* Does the responderID name that certificate's subject or key? */
bool cs_ocsp_is_by(const cs_ocsp *o, const cs_cert *responder);
/* id-pkix-ocsp-nocheck, @rfc 6960#4.2.2.2.1 */
bool cs_cert_has_nocheck(const cs_cert *c);

/* An OCSPRequest for one certificate, by SHA-1 as RFC 9654 has clients do; nonce: 1 to CS_OCSP_NONCE_MAX octets, or
 * n == 0. */
CS_MUST_USE cs_status cs_ocsp_request(const cs_cert *cert, const cs_cert *issuer, cs_view nonce, cs_buf *out,
                                      cs_err *err);

/* ---- answering: src/x509/ocsp_write.c ---- */
enum {
    CS_OCSP_ASKED_MAX = 16,          /* certificates in a request; clients ask for one, a server's staple for few */
    CS_OCSP_REQUEST_MAX = 8 * 1024,  /* octets; a signed one with its certificates has 4 KiB */
    CS_OCSP_RESPONDER_DAYS_MAX = 16, /* a responder's certificate cannot be revoked: it must end soon */
    CS_RA_DAYS_MAX = 90,             /* clients keep an RA's for a while; it enters nobody anywhere */
};

typedef struct cs_ocsp_id {
    cs_view whole; /* CertID DER, as it was asked */
    cs_view hash, name_hash, key_hash, serial;
} cs_ocsp_id;
typedef struct cs_ocsp_asked {
    cs_ocsp_id ids[CS_OCSP_ASKED_MAX]; /* views into the request */
    size_t n;
    cs_view nonce; /* n == 0: none */
} cs_ocsp_asked;
/* One OCSPRequest of DER. Who asks, and a signature, are read over: anybody may ask. ocsp-invalid; limit-reached. */
CS_MUST_USE cs_status cs_ocsp_request_read(cs_view der, cs_ocsp_asked *ret, cs_err *err);
/* Are that name and that key the issuer's, by a hash that is known? */
bool cs_ocsp_id_is_of(const cs_ocsp_id *id, const cs_cert *issuer);

typedef struct cs_ocsp_answer {
    const cs_ocsp_id *id;
    cs_ocsp_single is;
} cs_ocsp_answer;
/* ResponseData, appended to tbs. The responder is named by its key. */
CS_MUST_USE cs_status cs_ocsp_data_build(const cs_ocsp_answer answers[], size_t n, const cs_cert *responder,
                                         cs_time produced_at, cs_view nonce, cs_buf *tbs, cs_err *err);
/* The OCSPResponse with data signed by key, which is the responder's; its certificate goes along. */
CS_MUST_USE cs_status cs_ocsp_response_make(const cs_key *key, cs_view data, const cs_cert *responder, cs_buf *out,
                                            cs_err *err);
enum { CS_OCSP_MALFORMED = 1, CS_OCSP_INTERNAL = 2, CS_OCSP_TRY_LATER = 3, CS_OCSP_UNAUTHORIZED = 6 };
/* An OCSPResponse without an answer: one of the above. */
void cs_ocsp_error_put(int status, cs_buf *out);

/* TBSCertificate of who answers in a CA's name, without an address of a CRL. What authority and signer both build, so
 * that the signer signs nothing else. profile-violated: longer than its use lets it live, outside the issuer's
 * validity; key-too-weak and its like; key-unsupported: an RA's is RSA, since who enrolls encrypts to it. */
typedef enum cs_responder_use {
    CS_RESPONDER_OCSP, /* RFC 6960 4.2.2.2: OCSPSigning alone, nocheck; CS_OCSP_RESPONDER_DAYS_MAX */
    CS_RESPONDER_RA,   /* RFC 8894 2.1.2: signs and decrypts, cmcRA alone; CS_RA_DAYS_MAX */
} cs_responder_use;
typedef struct cs_responder_ask {
    cs_responder_use use;
    const cs_cert *issuer;
    cs_view spki, serial;
    cs_time not_before, not_after;
} cs_responder_ask;
CS_MUST_USE cs_status cs_responder_build(const cs_responder_ask *ask, cs_buf *tbs, cs_err *err);

#endif
