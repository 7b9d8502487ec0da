/* proto/acme/jws.h - JSON Web Signatures as ACME has them (RFC 8555 6.2): flattened, everything of weight in the
 * protected header, one algorithm for each type of key, so that no key is ever used with another's algorithm.
 * Owner: whoever read it. Nothing is kept; any thread. */
#ifndef CS_PROTO_ACME_JWS_H
#define CS_PROTO_ACME_JWS_H

#include "keys/keys.h"
#include "proto/json_read.h"
#include "x509/digest.h"

typedef enum jws_alg {
    JWS_ES256,
    JWS_ES384,
    JWS_ES512,
    JWS_EDDSA,
    JWS_RS256,
    JWS_HS256, /* of an external account binding alone */
    JWS_ALG_COUNT
} jws_alg;
/* The names of those that keys have, ",\n"-free JSON: for badSignatureAlgorithm. */
#define JWS_ALGORITHMS "[\"ES256\",\"ES384\",\"ES512\",\"EdDSA\",\"RS256\"]"

enum { JWS_THUMBPRINT = 43, JWS_SPKI_MAX = 1200 };

typedef struct jws_key {
    uint8_t spki[JWS_SPKI_MAX];
    size_t spki_n;
    char thumbprint[JWS_THUMBPRINT + 1]; /* RFC 7638, base64url */
} jws_key;
/* key-malformed, key-unsupported, key-too-weak; a private key or a symmetric one is no key. */
CS_MUST_USE cs_status jws_key_read(const json_t *jwk, jws_key *ret, cs_err *err);
/* The JWK of a public key in its canonical form (RFC 7638 3.2), appended; key-unsupported. */
CS_MUST_USE cs_status jws_key_write(cs_view spki, cs_buf *b, cs_err *err);
CS_MUST_USE cs_status jws_key_of_spki(cs_view spki, jws_key *ret, cs_err *err);
static inline cs_view jws_key_spki(const jws_key *k) {
    return cs_view_of(k->spki, k->spki_n);
}

typedef struct jws {
    jws_alg alg;
    json_t *header;                /* protected */
    const char *nonce, *url, *kid; /* of header; NULL: absent */
    const json_t *jwk;             /* likewise */
    cs_buf payload, input, signature;
} jws;
void jws_free(jws *j);
/* A body: well-formed, not yet verified. message-malformed, jws-algorithm-unsupported. */
CS_MUST_USE cs_status jws_read(cs_view body, jws *ret, cs_err *err);
/* The same, of a tree (an inner JWS). */
CS_MUST_USE cs_status jws_of(const json_t *flattened, jws *ret, cs_err *err);
/* signature-invalid; jws-algorithm-unsupported when the algorithm is another than that of the key's type. */
CS_MUST_USE cs_status jws_verify(const jws *j, cs_view spki, cs_err *err);
/* HS256: does it verify with that key? */
bool jws_verify_mac(const jws *j, cs_view key);

/* ---- making ---- */
/* Signs: header is the protected header's JSON; appends the flattened serialization. */
CS_MUST_USE cs_status jws_sign(const cs_key *key, cs_view header, cs_view payload, cs_buf *b, cs_err *err);
CS_MUST_USE cs_status jws_mac(cs_view key, cs_view header, cs_view payload, cs_buf *b, cs_err *err);
/* "ES256", ...: with which that key signs; NULL: with none. */
const char *jws_alg_of_key(cs_view spki);

#endif
