/* JWS and JWK: RFC 7515's, 7638's and 8037's own examples, and what is refused. */
#include "unit.h"

#include "base/text.h"
#include "proto/acme/jws.h"

static cs_err err;

static json_t *parse(const char *text) {
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    return j;
}

static void thumbprints_are_those_of_the_rfcs(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"{\"kty\":\"RSA\",\"n\":"
         "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
         "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
         "FDW2QvzqY368QQMicAtaSqzs"
         "8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
         "xBniIqbw0Ls1"
         "jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}",
         "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
    };
    for (size_t i = 0; i < 2; i++) {
        json_t *j = parse(pairs[i][0]);
        jws_key key;
        assert_ok(jws_key_read(j, &key, &err));
        assert_string_equal(key.thumbprint, pairs[i][1]);
        json_decref(j);
    }
}

static void keys_that_are_none_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *jwk;
        cs_reason reason;
    } rows[] = {
        {"{}", CS_R_KEY_MALFORMED},
        {"{\"kty\":\"oct\",\"k\":\"AA\"}", CS_R_KEY_MALFORMED},
        {"{\"kty\":\"EC\",\"crv\":\"P-224\",\"x\":\"AA\",\"y\":\"AA\"}", CS_R_KEY_UNSUPPORTED},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", CS_R_KEY_MALFORMED},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", CS_R_KEY_MALFORMED},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"d\":\"AA\"}",
         CS_R_KEY_MALFORMED},
        {"{\"kty\":\"RSA\",\"n\":\"_w\",\"e\":\"AQAB\"}", CS_R_KEY_TOO_WEAK},
        {"{\"kty\":\"RSA\",\"n\":\"AP8\",\"e\":\"AQAB\"}", CS_R_KEY_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *j = parse(rows[i].jwk);
        jws_key key;
        assert_fails(jws_key_read(j, &key, &err), rows[i].reason);
        json_decref(j);
    }
}

/* RFC 7515 A.3: ES256. */
static void the_rfcs_signature_verifies_and_no_other(void **state) {
    (void)state;
    json_t *jwk = parse("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
    jws j = {.input = cs_buf_of(4096), .signature = cs_buf_of(100), .payload = cs_buf_of(1)};
    jws_key key;
    assert_ok(jws_key_read(jwk, &key, &err));
    (void)cs_buf_add_str(&j.input,
                         "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                         "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    assert_true(cs_base64url_decode(
        CS_VIEW_LIT("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"),
        &j.signature));
    j.alg = JWS_ES256;
    assert_ok(jws_verify(&j, jws_key_spki(&key), &err));
    j.alg = JWS_ES384;
    assert_fails(jws_verify(&j, jws_key_spki(&key), &err), CS_R_JWS_ALGORITHM_UNSUPPORTED);
    j.alg = JWS_HS256;
    assert_fails(jws_verify(&j, jws_key_spki(&key), &err), CS_R_JWS_ALGORITHM_UNSUPPORTED);
    j.alg = JWS_ES256;
    j.signature.p[0] ^= 1;
    assert_fails(jws_verify(&j, jws_key_spki(&key), &err), CS_R_SIGNATURE_INVALID);
    j.signature.n--;
    assert_fails(jws_verify(&j, jws_key_spki(&key), &err), CS_R_SIGNATURE_INVALID);
    json_decref(jwk);
    jws_free(&j);
}

/* RFC 7515 A.1: HS256. */
static void the_rfcs_mac_verifies_and_no_other(void **state) {
    (void)state;
    jws j = {.input = cs_buf_of(4096), .signature = cs_buf_of(100), .payload = cs_buf_of(1), .alg = JWS_HS256};
    CS_SCOPED(cs_buf) key = cs_buf_of(100);
    assert_true(cs_base64url_decode(
        CS_VIEW_LIT("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"), &key));
    (void)cs_buf_add_str(&j.input,
                         "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQ"
                         "ogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    assert_true(cs_base64url_decode(CS_VIEW_LIT("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), &j.signature));
    assert_true(jws_verify_mac(&j, cs_buf_view(&key)));
    key.p[0] ^= 1;
    assert_false(jws_verify_mac(&j, cs_buf_view(&key)));
    jws_free(&j);
}

static void what_is_signed_here_is_read_here(void **state) {
    (void)state;
    for (cs_key_spec spec = CS_KEYSPEC_ECDSA_P256; spec <= CS_KEYSPEC_RSA_2048; spec++) {
        CS_AUTO(cs_key) key = NULL;
        CS_SCOPED(cs_buf) header = cs_buf_of(4096), body = cs_buf_of(16384);
        CS_SCOPED(jws) j = {.header = NULL};
        jws_key read;
        assert_ok(cs_key_generate(spec, &key, &err));
        (void)cs_buf_addf(&header, "{\"alg\":\"%s\",\"nonce\":\"n\",\"url\":\"https://x/\",\"jwk\":",
                          jws_alg_of_key(cs_key_spki(key)));
        assert_ok(jws_key_write(cs_key_spki(key), &header, &err));
        (void)cs_buf_add_byte(&header, '}');
        assert_ok(jws_sign(key, cs_buf_view(&header), CS_VIEW_LIT("{}"), &body, &err));
        assert_ok(jws_read(cs_buf_view(&body), &j, &err));
        assert_string_equal(j.url, "https://x/");
        assert_int_equal(j.payload.n, 2);
        assert_ok(jws_key_read(j.jwk, &read, &err));
        assert_true(cs_view_eq(jws_key_spki(&read), cs_key_spki(key)));
        assert_ok(jws_verify(&j, jws_key_spki(&read), &err));
    }
}

static void base64url_has_one_spelling(void **state) {
    (void)state;
    static const char *const bad[] = {"A", "AB==", "A+==", "AA/A", "AA A", "AB", "AAAA=", "\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CS_SCOPED(cs_buf) b = cs_buf_of(16);
        assert_false(cs_base64url_decode(cs_view_str(bad[i]), &b));
    }
    CS_SCOPED(cs_buf) b = cs_buf_of(16), text = cs_buf_of(16);
    assert_true(cs_base64url_decode(CS_VIEW_LIT("-_8"), &b));
    assert_true(cs_base64url_add(&text, cs_buf_view(&b)));
    assert_true(cs_view_eq_str(cs_buf_view(&text), "-_8"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thumbprints_are_those_of_the_rfcs),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(the_rfcs_signature_verifies_and_no_other),
        cmocka_unit_test(the_rfcs_mac_verifies_and_no_other),
        cmocka_unit_test(what_is_signed_here_is_read_here),
        cmocka_unit_test(base64url_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
