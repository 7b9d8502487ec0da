/* Keys as JSON (RFC 7517), to and from SubjectPublicKeyInfo, and their thumbprints (RFC 7638). */
#include <string.h>

#include "base/text.h"
#include "proto/acme/jws.h"
#include "x509/der_write.h"

#define OID_RSA CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01")

static const struct curve {
    const char *name, *text; /* as cs_key_spki_text says it */
    size_t octets;           /* of a coordinate */
} curves[] = {{"P-256", "ECDSA P-256", 32}, {"P-384", "ECDSA P-384", 48}, {"P-521", "ECDSA P-521", 66}};
enum { CURVES = sizeof curves / sizeof curves[0] };

static cs_status malformed(const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "jwk: %s", what);
}

static cs_status take_octets(const json_t *jwk, const char *key, cs_buf *b, cs_err *err) {
    const char *text = json_string_value(json_object_get(jwk, key));
    if (text == NULL || text[0] == '\0' || !cs_base64url_decode(cs_view_str(text), b)) return malformed(key, err);
    return CS_OK;
}

static cs_status read_ec(const json_t *jwk, cs_buf *spki, cs_err *err) {
    const char *name = json_string_value(json_object_get(jwk, "crv"));
    CS_SCOPED(cs_buf) point = cs_buf_of(200);
    for (size_t i = 0; i < CURVES; i++) {
        if (name == NULL || strcmp(name, curves[i].name) != 0) continue;
        (void)cs_buf_add_byte(&point, 4);
        TRY(take_octets(jwk, "x", &point, err));
        if (point.n != 1 + curves[i].octets) return malformed("x", err);
        TRY(take_octets(jwk, "y", &point, err));
        if (point.n != 1 + 2 * curves[i].octets) return malformed("y", err);
        return cs_key_alg_spki(cs_buf_view(&point), spki) ? CS_OK : malformed("crv", err);
    }
    return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "jwk: crv: P-256, P-384 or P-521 is expected");
}

static cs_status read_okp(const json_t *jwk, cs_buf *spki, cs_err *err) {
    const char *name = json_string_value(json_object_get(jwk, "crv"));
    CS_SCOPED(cs_buf) x = cs_buf_of(64);
    if (name == NULL || strcmp(name, "Ed25519") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "jwk: crv: Ed25519 is expected");
    TRY(take_octets(jwk, "x", &x, err));
    return x.n == 32 && cs_key_alg_spki(cs_buf_view(&x), spki) ? CS_OK : malformed("x", err);
}

/* @rfc 3279#2.3.1 */
static cs_status read_rsa(const json_t *jwk, cs_buf *spki, cs_err *err) {
    CS_SCOPED(cs_buf) n = cs_buf_of(CS_RSA_BITS_MAX / 8 + 8), e = cs_buf_of(16), key = cs_buf_of(JWS_SPKI_MAX);
    TRY(take_octets(jwk, "n", &n, err));
    TRY(take_octets(jwk, "e", &e, err));
    if (n.p[0] == 0 || e.p[0] == 0) return malformed("a leading zero", err); /* another thumbprint of the same key */
    cs_der_mark numbers = cs_der_open(&key, CS_DER_SEQUENCE);
    cs_der_put_magnitude(&key, cs_buf_view(&n));
    cs_der_put_magnitude(&key, cs_buf_view(&e));
    cs_der_close(&key, numbers);
    cs_der_mark outer = cs_der_open(spki, CS_DER_SEQUENCE), alg = cs_der_open(spki, CS_DER_SEQUENCE);
    cs_der_put_oid(spki, OID_RSA);
    cs_der_put(spki, CS_DER_NULL, (cs_view){NULL, 0});
    cs_der_close(spki, alg);
    cs_der_put_bits(spki, cs_buf_view(&key));
    cs_der_close(spki, outer);
    return cs_buf_ok(&key, "an RSA key", err);
}

cs_status jws_key_of_spki(cs_view spki, jws_key *ret, cs_err *err) {
    uint8_t hash[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) canonical = cs_buf_of(4096), text = cs_buf_of(64);
    TRY(cs_key_spki_check(spki, err));
    if (spki.n > sizeof ret->spki) return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "%zu octets", spki.n);
    TRY(jws_key_write(spki, &canonical, err));
    TRY(cs_sha256(cs_buf_view(&canonical), hash, err));
    (void)cs_base64url_add(&text, cs_view_of(hash, sizeof hash));
    memcpy(ret->spki, spki.p, spki.n);
    ret->spki_n = spki.n;
    memcpy(ret->thumbprint, text.p, JWS_THUMBPRINT);
    ret->thumbprint[JWS_THUMBPRINT] = '\0';
    return CS_OK;
}

cs_status jws_key_read(const json_t *jwk, jws_key *ret, cs_err *err) {
    static const char *const private[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k", NULL};
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    CS_SCOPED(cs_buf) spki = cs_buf_of(JWS_SPKI_MAX);
    if (type == NULL) return malformed("kty", err);
    for (size_t i = 0; private[i] != NULL; i++)
        if (json_object_get(jwk, private[i]) != NULL) return malformed("it holds a private or symmetric key", err);
    if (strcmp(type, "EC") == 0)
        TRY(read_ec(jwk, &spki, err));
    else if (strcmp(type, "OKP") == 0)
        TRY(read_okp(jwk, &spki, err));
    else if (strcmp(type, "RSA") == 0)
        TRY(read_rsa(jwk, &spki, err));
    else
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "jwk: kty: EC, OKP or RSA is expected");
    TRY(cs_buf_ok(&spki, "a key", err));
    return jws_key_of_spki(cs_buf_view(&spki), ret, err);
}

/* ---- writing ---- */

static void put_member(cs_buf *b, const char *name, cs_view octets) {
    (void)cs_buf_addf(b, "\"%s\":\"", name);
    (void)cs_base64url_add(b, octets);
    (void)cs_buf_add_byte(b, '"');
}

static bool write_rsa(cs_view bits, cs_buf *b) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(bits, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_view n = cs_der_integer(&in), e = cs_der_integer(&in);
    while (n.n > 1 && n.p[0] == 0) n.p++, n.n--;
    while (e.n > 1 && e.p[0] == 0) e.p++, e.n--;
    (void)cs_buf_add_byte(b, '{');
    put_member(b, "e", e);
    (void)cs_buf_add_str(b, ",\"kty\":\"RSA\",");
    put_member(b, "n", n);
    (void)cs_buf_add_byte(b, '}');
    return fault.rule == NULL;
}

static bool write_ec(cs_view bits, const struct curve *curve, cs_buf *b) {
    if (bits.n != 1 + 2 * curve->octets) return false;
    (void)cs_buf_addf(b, "{\"crv\":\"%s\",\"kty\":\"EC\",", curve->name);
    put_member(b, "x", cs_view_of(bits.p + 1, curve->octets));
    (void)cs_buf_add_byte(b, ',');
    put_member(b, "y", cs_view_of(bits.p + 1 + curve->octets, curve->octets));
    return cs_buf_add_byte(b, '}');
}

static bool write_key(cs_view spki, cs_view bits, cs_buf *b) {
    char text[CS_KEY_TEXT_MAX];
    (void)cs_key_spki_text(spki, text);
    if (strncmp(text, "RSA ", 4) == 0) return write_rsa(bits, b);
    for (size_t i = 0; i < CURVES; i++)
        if (strcmp(text, curves[i].text) == 0) return write_ec(bits, &curves[i], b);
    if (strcmp(text, "Ed25519") != 0) return false;
    (void)cs_buf_add_str(b, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",");
    put_member(b, "x", bits);
    return cs_buf_add_byte(b, '}');
}

cs_status jws_key_write(cs_view spki, cs_buf *b, cs_err *err) {
    unsigned unused = 0;
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(spki, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    (void)cs_der_get(&in, CS_DER_SEQUENCE);
    cs_view bits = cs_der_bits(&in, &unused);
    if (fault.rule != NULL || !write_key(spki, bits, b))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "no JWK is made of such a key");
    return cs_buf_ok(b, "a JWK", err);
}
