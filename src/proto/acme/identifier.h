/* proto/acme/identifier.h - what an order is about, as JSON and as names of certificates; and what a challenge's answer
 * must be. Bytes in, bytes out; nothing is kept; any thread. */
#ifndef CS_PROTO_ACME_IDENTIFIER_H
#define CS_PROTO_ACME_IDENTIFIER_H

#include "ipc/challenge.h"
#include "proto/json_read.h"
#include "store/acme.h"
#include "x509/csr.h"

enum { IDENTIFIERS_MAX = CS_ISSUE_SAN_MAX };

typedef struct identifier {
    cs_san_type type;                     /* CS_SAN_DNS or CS_SAN_IP; CS_SAN_OTHER: a device's, permanent-identifier */
    bool wildcard;                        /* of dns: "*." stands before the value */
    char value[STORE_IDENTIFIER_MAX + 1]; /* lower case; an address in its one form */
} identifier;
const char *identifier_type(const identifier *i); /* "dns" */
/* identifier-unsupported, name-invalid, message-malformed. */
CS_MUST_USE cs_status identifier_read(const json_t *j, identifier *ret, cs_err *err);
/* Each once, at least one; a device's alone. limit-reached. */
CS_MUST_USE cs_status identifiers_read(const json_t *list, identifier at[IDENTIFIERS_MAX], size_t *ret_n, cs_err *err);
/* As what stands in a certificate; octets holds its value. */
CS_MUST_USE cs_status identifier_san(const identifier *i, uint8_t octets[CS_IDENTITY_NAME_MAX + 1], cs_san *ret,
                                     cs_err *err);
/* With the "*.". */
void identifier_text(const identifier *i, char out[STORE_IDENTIFIER_MAX + 3]);
void identifier_of(const store_authz *z, identifier *to);
bool identifier_same(const identifier *a, const identifier *b);

/* Does the request carry exactly those names, its common name among them, and nothing of another type? csr-malformed,
 * csr-asks-for-ca; name-not-allowed. @rfc 8555#7.4 */
CS_MUST_USE cs_status identifiers_fit(const identifier at[], size_t n, const cs_csr *csr, cs_err *err);

/* Does it, for that device, name it or nobody, and carry no other name? */
CS_MUST_USE cs_status identifier_fits_device(const identifier *i, const cs_csr *csr, cs_err *err);

/* ---- challenges ---- */
#define ACME_HTTP "http-01"
#define ACME_DNS "dns-01"
#define ACME_ALPN "tls-alpn-01"
#define ACME_ATTEST "device-attest-01" /* a TPM's word: attest.c */
/* Which kind is it, and may it prove such an identifier? @rfc 8738#7 */
bool challenge_kind_of(const char *name, const identifier *i, challenge_kind *ret);
/* token.thumbprint */
enum { KEY_AUTHORIZATION_MAX = STORE_WORD_MAX + 1 + STORE_THUMBPRINT };
/* Do the values that the fetcher found fulfil it? challenge-failed; what was found is not in the detail. */
CS_MUST_USE cs_status challenge_judge(challenge_kind kind, const identifier *i, const char *token,
                                      const char *thumbprint, cs_view values, cs_err *err);

/* AKI "." serial of a certificate (RFC 9773 4.1), both in hex; message-malformed. */
CS_MUST_USE cs_status cert_id_read(const char *text, char aki[2 * 64 + 1], char serial[STORE_SERIAL_TEXT], cs_err *err);

#endif
