#include "proto/acme/jws.h"

#include <string.h>

#include "base/text.h"
#include "x509/der_write.h"

enum { PART_MAX = CS_API_BODY_MAX, SIGNATURE_MAX = 1100 };

typedef struct alg_row {
    const char *name;
    const char *key; /* as cs_key_spki_text says it; of RSA the beginning */
    size_t number;   /* octets of r and of s; 0: the signature is as it is */
} alg_row;
static const alg_row algs[JWS_ALG_COUNT] = {
    [JWS_ES256] = {"ES256", "ECDSA P-256", 32}, [JWS_ES384] = {"ES384", "ECDSA P-384", 48},
    [JWS_ES512] = {"ES512", "ECDSA P-521", 66}, [JWS_EDDSA] = {"EdDSA", "Ed25519", 0},
    [JWS_RS256] = {"RS256", "RSA ", 0},         [JWS_HS256] = {"HS256", "", 0},
};

void jws_free(jws *j) {
    json_decref(j->header);
    cs_buf_free(&j->payload);
    cs_buf_free(&j->input);
    cs_buf_free(&j->signature);
    *j = (jws){.header = NULL};
}

/* ---- reading ---- */

static cs_status malformed(const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "JWS: %s", what);
}

static const json_t *text_of(const json_t *object, const char *key, cs_view *ret) {
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v)) return NULL;
    *ret = cs_view_of(json_string_value(v), json_string_length(v));
    return v;
}

/* A text without a NUL in it, or none at all. */
static cs_status take_text(const json_t *header, const char *key, const char **ret, cs_err *err) {
    cs_view v = {NULL, 0};
    *ret = NULL;
    if (json_object_get(header, key) == NULL) return CS_OK;
    if (text_of(header, key, &v) == NULL || memchr(v.p, '\0', v.n) != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "JWS: %s: a string is expected", key);
    *ret = (const char *)v.p;
    return CS_OK;
}

static cs_status read_header(jws *j, cs_view text, cs_err *err) {
    const char *alg = NULL;
    CS_SCOPED(cs_buf) octets = cs_buf_of(PART_MAX);
    if (!cs_base64url_decode(text, &octets)) return malformed("protected: base64url is expected", err);
    TRY(json_read_object(cs_buf_view(&octets), "JWS: protected", &j->header, err));
    if (json_object_get(j->header, "crit") != NULL) return malformed("crit: no extension is understood", err);
    TRY(take_text(j->header, "alg", &alg, err));
    TRY(take_text(j->header, "nonce", &j->nonce, err));
    TRY(take_text(j->header, "url", &j->url, err));
    TRY(take_text(j->header, "kid", &j->kid, err));
    j->jwk = json_object_get(j->header, "jwk");
    if ((j->jwk != NULL) == (j->kid != NULL)) return malformed("either jwk or kid is expected", err);
    if (alg == NULL) return malformed("alg is missing", err);
    for (j->alg = JWS_ES256; j->alg < JWS_ALG_COUNT; j->alg++)
        if (strcmp(algs[j->alg].name, alg) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_JWS_ALGORITHM_UNSUPPORTED, "%.40s", alg);
}

cs_status jws_of(const json_t *flattened, jws *ret, cs_err *err) {
    cs_view header = {NULL, 0}, payload = {NULL, 0}, signature = {NULL, 0};
    CS_SCOPED(jws)
    j = {.payload = cs_buf_of(PART_MAX),
         .input = cs_buf_of((size_t)2 * PART_MAX),
         .signature = cs_buf_of(SIGNATURE_MAX)};
    if (json_object_get(flattened, "header") != NULL) return malformed("an unprotected header", err);
    if (json_object_get(flattened, "signatures") != NULL) return malformed("several signatures", err);
    if (text_of(flattened, "protected", &header) == NULL || text_of(flattened, "payload", &payload) == NULL ||
        text_of(flattened, "signature", &signature) == NULL)
        return malformed("protected, payload and signature are expected, as strings", err);
    TRY(read_header(&j, header, err));
    if (!cs_base64url_decode(payload, &j.payload)) return malformed("payload: base64url is expected", err);
    if (!cs_base64url_decode(signature, &j.signature)) return malformed("signature: base64url is expected", err);
    (void)cs_buf_add_view(&j.input, header);
    (void)cs_buf_add_byte(&j.input, '.');
    (void)cs_buf_add_view(&j.input, payload);
    TRY(cs_buf_ok(&j.input, "a JWS", err));
    *ret = j;
    j = (jws){.header = NULL};
    return CS_OK;
}

cs_status jws_read(cs_view body, jws *ret, cs_err *err) {
    SCOPED_JSON whole = NULL;
    TRY(json_read_object(body, "JWS", &whole, err));
    return jws_of(whole, ret, err);
}

/* ---- verifying ---- */

/* r and s side by side become the SEQUENCE that X.509 has. @rfc 7518#3.4 */
static cs_status as_der(cs_view raw, size_t number, cs_buf *der, cs_err *err) {
    if (raw.n != 2 * number)
        return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "%zu octets, %zu are expected", raw.n, 2 * number);
    cs_der_mark mark = cs_der_open(der, CS_DER_SEQUENCE);
    cs_der_put_magnitude(der, cs_view_of(raw.p, number));
    cs_der_put_magnitude(der, cs_view_of(raw.p + number, number));
    cs_der_close(der, mark);
    return cs_buf_ok(der, "a signature", err);
}

static const alg_row *row_of_key(cs_view spki) {
    char text[CS_KEY_TEXT_MAX];
    (void)cs_key_spki_text(spki, text);
    for (size_t i = 0; i < JWS_HS256; i++) {
        size_t n = strlen(algs[i].key);
        if (i == JWS_RS256 ? strncmp(text, algs[i].key, n) == 0 : strcmp(text, algs[i].key) == 0) return &algs[i];
    }
    return NULL;
}

const char *jws_alg_of_key(cs_view spki) {
    const alg_row *row = row_of_key(spki);
    return row != NULL ? row->name : NULL;
}

cs_status jws_verify(const jws *j, cs_view spki, cs_err *err) {
    const alg_row *row = row_of_key(spki);
    CS_SCOPED(cs_buf) der = cs_buf_of(SIGNATURE_MAX);
    cs_view signature = cs_buf_view(&j->signature);
    if (row == NULL || row != &algs[j->alg])
        return cs_fail(err, CS_REFUSED, CS_R_JWS_ALGORITHM_UNSUPPORTED, "%s is not for that key", algs[j->alg].name);
    if (row->number > 0) {
        TRY(as_der(signature, row->number, &der, err));
        signature = cs_buf_view(&der);
    }
    return cs_key_verify(spki, cs_buf_view(&j->input), signature, err);
}

bool jws_verify_mac(const jws *j, cs_view key) {
    uint8_t mac[CS_SHA256_LEN];
    cs_err err;
    if (j->alg != JWS_HS256 || cs_hmac_sha256(key, cs_buf_view(&j->input), mac, &err) != CS_OK) return false;
    bool same = cs_view_eq_consttime(cs_buf_view(&j->signature), cs_view_of(mac, sizeof mac));
    cs_wipe(mac, sizeof mac);
    return same;
}

/* ---- making ---- */

/* The SEQUENCE of r and s to r and s side by side. */
static cs_status as_raw(cs_view der, size_t number, cs_buf *raw, cs_err *err) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(der, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    for (int i = 0; i < 2; i++) {
        cs_view v = cs_der_integer(&in);
        while (v.n > 0 && v.p[0] == 0) v.p++, v.n--;
        if (fault.rule != NULL || v.n > number) return CS_NOMEM_ERR(err);
        for (size_t k = v.n; k < number; k++) (void)cs_buf_add_byte(raw, 0);
        (void)cs_buf_add_view(raw, v);
    }
    return cs_buf_ok(raw, "a signature", err);
}

static cs_status put_input(cs_view header, cs_view payload, cs_buf *input, cs_err *err) {
    (void)cs_base64url_add(input, header);
    (void)cs_buf_add_byte(input, '.');
    (void)cs_base64url_add(input, payload);
    return cs_buf_ok(input, "a JWS", err);
}

static cs_status put_flattened(const cs_buf *input, cs_view signature, cs_buf *b, cs_err *err) {
    const uint8_t *dot = memchr(input->p, '.', input->n);
    size_t head = dot != NULL ? (size_t)(dot - input->p) : input->n;
    (void)cs_buf_add_str(b, "{\"protected\":\"");
    (void)cs_buf_add(b, input->p, head);
    (void)cs_buf_add_str(b, "\",\"payload\":\"");
    if (dot != NULL) (void)cs_buf_add(b, dot + 1, input->n - head - 1);
    (void)cs_buf_add_str(b, "\",\"signature\":\"");
    (void)cs_base64url_add(b, signature);
    (void)cs_buf_add_str(b, "\"}");
    return cs_buf_ok(b, "a JWS", err);
}

cs_status jws_sign(const cs_key *key, cs_view header, cs_view payload, cs_buf *b, cs_err *err) {
    const alg_row *row = row_of_key(cs_key_spki(key));
    CS_SCOPED(cs_buf)
    input = cs_buf_of((size_t)2 * PART_MAX), made = cs_buf_of(SIGNATURE_MAX), raw = cs_buf_of(SIGNATURE_MAX);
    if (row == NULL) return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "no JWS is made with such a key");
    TRY(put_input(header, payload, &input, err));
    TRY(cs_key_sign(key, cs_buf_view(&input), &made, err));
    if (row->number > 0) TRY(as_raw(cs_buf_view(&made), row->number, &raw, err));
    return put_flattened(&input, row->number > 0 ? cs_buf_view(&raw) : cs_buf_view(&made), b, err);
}

cs_status jws_mac(cs_view key, cs_view header, cs_view payload, cs_buf *b, cs_err *err) {
    uint8_t mac[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) input = cs_buf_of((size_t)2 * PART_MAX);
    TRY(put_input(header, payload, &input, err));
    TRY(cs_hmac_sha256(key, cs_buf_view(&input), mac, err));
    return put_flattened(&input, cs_view_of(mac, sizeof mac), b, err);
}
