/* Keys: made, judged, read with an exact reason, written. */
#include "unit.h"

#include "fixtures.h"
#include "keys/keys.h"
#include "keys/keys_evp.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

static cs_secret *secret(const char *text) {
    cs_err err;
    cs_secret *s = NULL;
    assert_ok(cs_secret_new(strlen(text), &s, &err));
    memcpy(s->p, text, strlen(text));
    s->n = strlen(text);
    return s;
}

static void ml_dsa_signs_and_verifies_where_libcrypto_has_it(void **state) {
    static const char *const text[] = {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
    for (cs_key_spec spec = CS_KEYSPEC_ML_DSA_44; spec <= CS_KEYSPEC_ML_DSA_87; spec++) {
        cs_err err;
        CS_AUTO(cs_key) k = NULL;
        CS_SCOPED(cs_buf) sig = cs_buf_of(CS_SIGNATURE_MAX), pem = cs_buf_secret(CS_KEY_FILE_MAX);
        CS_AUTO(cs_key) again = NULL;
        char out[CS_KEY_TEXT_MAX];
        if (OPENSSL_version_major() == 3 && OPENSSL_version_minor() < 5) {
            assert_fails(cs_key_generate(spec, &k, &err), CS_R_KEY_UNSUPPORTED);
            continue;
        }
        assert_ok(cs_key_generate(spec, &k, &err));
        assert_string_equal(cs_key_spki_text(cs_key_spki(k), out), text[spec - CS_KEYSPEC_ML_DSA_44]);
        assert_ok(cs_key_spki_check(cs_key_spki(k), &err));
        assert_ok(cs_key_sign(k, CS_VIEW_LIT("what is signed"), &sig, &err));
        assert_ok(cs_key_verify(cs_key_spki(k), CS_VIEW_LIT("what is signed"), cs_buf_view(&sig), &err));
        assert_fails(cs_key_verify(cs_key_spki(k), CS_VIEW_LIT("another"), cs_buf_view(&sig), &err),
                     CS_R_SIGNATURE_INVALID);
        assert_ok(cs_key_write_pem(k, &pem, &err));
        assert_ok(cs_key_read_pem(cs_buf_view(&pem), NULL, "again", &again, &err));
        cs_view spki = cs_key_spki(k);
        assert_fails(cs_key_spki_check(cs_view_of(spki.p, spki.n - 1), &err), CS_R_KEY_MALFORMED);
    }
}

static void a_made_key_signs_and_verifies(void **state) {
    static const char *const text[] = {"ECDSA P-256", "ECDSA P-384", "Ed25519", "RSA 2048", "RSA 3072"};
    for (cs_key_spec spec = CS_KEYSPEC_ECDSA_P256; spec <= CS_KEYSPEC_RSA_3072; spec++) {
        cs_err err;
        CS_AUTO(cs_key) k = NULL;
        CS_SCOPED(cs_buf) sig = cs_buf_of(1024);
        char out[CS_KEY_TEXT_MAX];
        cs_key_spec again;
        assert_ok(cs_key_generate(spec, &k, &err));
        assert_string_equal(cs_key_spki_text(cs_key_spki(k), out), text[spec]);
        assert_ok(cs_key_spki_check(cs_key_spki(k), &err));
        assert_ok(cs_key_sign(k, CS_VIEW_LIT("hello"), &sig, &err));
        assert_ok(cs_key_verify(cs_key_spki(k), CS_VIEW_LIT("hello"), cs_buf_view(&sig), &err));
        assert_fails(cs_key_verify(cs_key_spki(k), CS_VIEW_LIT("hallo"), cs_buf_view(&sig), &err),
                     CS_R_SIGNATURE_INVALID);
        assert_ok(cs_key_spec_parse(cs_view_str(cs_key_spec_name(spec)), &again, &err));
        assert_int_equal(again, spec);
    }
}

/* What is put in its place at once is the key that libcrypto's decoder finds. */
static void a_public_key_is_the_decoders(void **state) {
    for (cs_key_spec spec = CS_KEYSPEC_ECDSA_P256; spec <= CS_KEYSPEC_RSA_2048; spec++) {
        cs_err err;
        CS_AUTO(cs_key) k = NULL;
        uint8_t octets[512];
        assert_ok(cs_key_generate(spec, &k, &err));
        cs_view spki = cs_key_spki(k);
        const unsigned char *p = spki.p;
        EVP_PKEY *decoded = d2i_PUBKEY(NULL, &p, (long)spki.n), *ours = cs_key_public_evp(spki);
        assert_non_null(ours);
        assert_int_equal(EVP_PKEY_eq(decoded, ours), 1);
        EVP_PKEY_free(decoded);
        EVP_PKEY_free(ours);
        assert_null(cs_key_public_evp(cs_view_of(spki.p, spki.n - 1)));
        memcpy(octets, spki.p, spki.n);
        octets[spki.n] = 0;
        assert_null(cs_key_public_evp(cs_view_of(octets, spki.n + 1)));
        octets[spki.n - 1] ^= 1; /* y: off the curve; Ed25519 and RSA take any octets */
        if (spec <= CS_KEYSPEC_ECDSA_P384) assert_null(cs_key_public_evp(cs_view_of(octets, spki.n)));
    }
    assert_int_equal(ERR_peek_error(), 0);
}

/* A public key of that modulus; it need not be one that anybody could use. */
static void spki_of_modulus(const BIGNUM *n, cs_buf *b) {
    EVP_PKEY *pkey = NULL;
    unsigned char *der = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *e = BN_new();
    assert_int_equal(BN_set_word(e, 65537), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, "n", n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(bld, "e", e), 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
    int len = i2d_PUBKEY(pkey, &der);
    assert_true(len > 0);
    (void)cs_buf_add(b, der, (size_t)len);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(e);
}

/* As the flawed generator made them: k * M + (65537^a mod M), with M the product of the first primes. */
static void roca_prime(BN_CTX *ctx, BIGNUM *ret) {
    BIGNUM *m = BN_new(), *k = BN_new(), *a = BN_new(), *g = BN_new(), *p = BN_new();
    (void)BN_set_word(m, 2);
    for (unsigned i = 3; i <= 167; i += 2) {
        (void)BN_set_word(p, i);
        if (BN_check_prime(p, ctx, NULL) == 1) (void)BN_mul_word(m, i);
    }
    (void)BN_set_word(g, 65537);
    do {
        assert_int_equal(BN_rand(k, 1030 - BN_num_bits(m), BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ANY), 1);
        assert_int_equal(BN_rand(a, 128, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY), 1);
        assert_int_equal(BN_mod_exp(ret, g, a, m, ctx), 1);
        assert_int_equal(BN_mul(p, k, m, ctx), 1);
        assert_int_equal(BN_add(ret, ret, p), 1);
    } while (BN_check_prime(ret, ctx, NULL) != 1);
    BN_free(m);
    BN_free(k);
    BN_free(a);
    BN_free(g);
    BN_free(p);
}

static void keys_of_a_flawed_generator_are_refused(void **state) {
    cs_err err;
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p = BN_new(), *q = BN_new(), *n = BN_new();
    CS_SCOPED(cs_buf) roca = cs_buf_of(1024);
    CS_SCOPED(cs_buf) small = cs_buf_of(1024);
    roca_prime(ctx, p);
    roca_prime(ctx, q);
    assert_int_equal(BN_mul(n, p, q, ctx), 1);
    spki_of_modulus(n, &roca);
    assert_fails(cs_key_spki_check(cs_buf_view(&roca), &err), CS_R_KEY_TOO_WEAK);
    assert_non_null(strstr(err.detail, "ROCA"));
    assert_int_equal(BN_rand(n, 2040, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD), 1);
    (void)BN_mul_word(n, 751);
    spki_of_modulus(n, &small);
    assert_fails(cs_key_spki_check(cs_buf_view(&small), &err), CS_R_KEY_TOO_WEAK);
    assert_non_null(strstr(err.detail, "multiple of "));
    BN_free(p);
    BN_free(q);
    BN_free(n);
    BN_CTX_free(ctx);
}

static void an_unknown_type_names_the_choices(void **state) {
    cs_err err;
    cs_key_spec spec;
    assert_fails(cs_key_spec_parse(cs_view_str("dsa"), &spec, &err), CS_R_USAGE);
    assert_non_null(strstr(err.detail, "ecdsa-p256"));
}

static void what_is_written_reads_back(void **state) {
    cs_err err;
    CS_AUTO(cs_secret) pass = secret("correct horse battery");
    CS_AUTO(cs_secret) wrong = secret("incorrect horse battery");
    for (cs_key_spec spec = CS_KEYSPEC_ECDSA_P256; spec <= CS_KEYSPEC_RSA_2048; spec++) {
        CS_AUTO(cs_key) k = NULL;
        CS_AUTO(cs_key) plain = NULL;
        CS_AUTO(cs_key) opened = NULL;
        CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
        CS_SCOPED(cs_buf) locked = cs_buf_of(CS_KEY_FILE_MAX);
        assert_ok(cs_key_generate(spec, &k, &err));
        assert_ok(cs_key_write_pem(k, &pem, &err));
        assert_ok(cs_key_read_pem(cs_buf_view(&pem), NULL, "k", &plain, &err));
        assert_ok(cs_key_match(k, cs_key_spki(plain), "k", &err));
        assert_ok(cs_key_write_pem_encrypted(k, pass, &locked, &err));
        assert_ok(cs_key_read_pem(cs_buf_view(&locked), pass, "k", &opened, &err));
        assert_ok(cs_key_match(opened, cs_key_spki(k), "k", &err));
        if (spec != CS_KEYSPEC_ECDSA_P256) continue;
        CS_AUTO(cs_key) none = NULL;
        assert_fails(cs_key_read_pem(cs_buf_view(&locked), wrong, "k", &none, &err), CS_R_PASSPHRASE_WRONG);
        assert_fails(cs_key_read_pem(cs_buf_view(&locked), NULL, "k", &none, &err), CS_R_PASSPHRASE_NEEDED);
        assert_null(none);
    }
}

static void a_key_goes_into_secret_buffers_only(void **state) {
    cs_err err;
    CS_AUTO(cs_key) k = NULL;
    CS_SCOPED(cs_buf) plain = cs_buf_of(CS_KEY_FILE_MAX);
    CS_AUTO(cs_secret) shorty = secret("elevenchars");
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &k, &err));
    assert_fails(cs_key_write_pem(k, &plain, &err), CS_R_INTERNAL_ERROR);
    assert_fails(cs_key_write_pem_encrypted(k, shorty, &plain, &err), CS_R_PASSPHRASE_TOO_SHORT);
    assert_int_equal(plain.n, 0);
}

static void every_unfit_input_has_its_reason(void **state) {
    static const struct {
        const char *text;
        cs_reason reason;
        const char *says;
    } rows[] = {
        {"", CS_R_FILE_EMPTY, ""},
        {" \r\n", CS_R_FILE_EMPTY, ""},
        {"hello", CS_R_FILE_WRONG_TYPE, "no PEM"},
        {"0\x82\x01\x02 and more", CS_R_FILE_WRONG_TYPE, "DER"},
        {"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", CS_R_FILE_WRONG_TYPE, "a certificate,"},
        {"-----BEGIN NEW CERTIFICATE REQUEST-----\n", CS_R_FILE_WRONG_TYPE, "request"},
        {"-----BEGIN PUBLIC KEY-----\n", CS_R_FILE_WRONG_TYPE, "public key"},
        {"-----BEGIN OPENSSH-----\n", CS_R_FILE_WRONG_TYPE, "OPENSSH"},
        {"-----BEGIN ", CS_R_FILE_WRONG_TYPE, ""},
        {"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", CS_R_KEY_MALFORMED, "damaged"},
        {"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI", CS_R_KEY_MALFORMED, "damaged"},
        {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n", CS_R_KEY_MALFORMED, ""},
        {pem_rsa_1024, CS_R_KEY_TOO_WEAK, "1024"},
        {pem_rsa_e3, CS_R_KEY_TOO_WEAK, "exponent"},
        {pem_rsa_close_primes, CS_R_KEY_TOO_WEAK, "close"},
        {pem_ec_explicit, CS_R_KEY_UNSUPPORTED, "explicit"},
        {pem_ec_secp256k1, CS_R_KEY_UNSUPPORTED, "curve"},
        {pem_ec_compressed, CS_R_KEY_MALFORMED, "uncompressed"},
        {pem_ec_traditional_locked, CS_R_PASSPHRASE_NEEDED, ""},
        {pem_pkcs8_locked, CS_R_PASSPHRASE_NEEDED, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cs_err err;
        cs_key *k = NULL;
        assert_fails(cs_key_read_pem(cs_view_str(rows[i].text), NULL, "some.key", &k, &err), rows[i].reason);
        assert_null(k);
        assert_non_null(strstr(err.detail, "some.key"));
        if (!strstr(err.detail, rows[i].says)) fail_msg("row %zu: %s", i, err.detail);
    }
}

static void what_others_wrote_is_read(void **state) {
    static const char *const locked[] = {pem_ec_traditional_locked, pem_pkcs8_locked};
    cs_err err;
    CS_AUTO(cs_key) k = NULL;
    CS_AUTO(cs_secret) pass = secret("hello-passphrase");
    CS_AUTO(cs_secret) wrong = secret("hello-passphrasf");
    CS_AUTO(cs_key) p521 = NULL;
    char text[CS_KEY_TEXT_MAX];
    assert_ok(cs_key_read_pem(cs_view_str(pem_ec_p521), NULL, "k", &p521, &err));
    assert_string_equal(cs_key_spki_text(cs_key_spki(p521), text), "ECDSA P-521");
    assert_ok(cs_key_read_pem(cs_view_str(pem_ec_traditional), NULL, "k", &k, &err));
    for (size_t i = 0; i < 2; i++) {
        CS_AUTO(cs_key) same = NULL;
        cs_key *none = NULL;
        assert_fails(cs_key_read_pem(cs_view_str(locked[i]), wrong, "k", &none, &err), CS_R_PASSPHRASE_WRONG);
        assert_ok(cs_key_read_pem(cs_view_str(locked[i]), pass, "k", &same, &err));
        assert_ok(cs_key_match(k, cs_key_spki(same), "k", &err));
    }
}

static void two_keys_do_not_match(void **state) {
    cs_err err;
    CS_AUTO(cs_key) a = NULL;
    CS_AUTO(cs_key) b = NULL;
    assert_ok(cs_key_generate(CS_KEYSPEC_ED25519, &a, &err));
    assert_ok(cs_key_generate(CS_KEYSPEC_ED25519, &b, &err));
    assert_fails(cs_key_match(a, cs_key_spki(b), "server.crt", &err), CS_R_KEY_MISMATCH);
    assert_string_equal(err.detail, "server.crt");
}

static void a_public_key_has_one_form_only(void **state) {
    cs_err err;
    CS_AUTO(cs_key) k = NULL;
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &k, &err));
    cs_view spki = cs_key_spki(k);
    uint8_t odd[200];
    memcpy(odd, spki.p, spki.n);
    odd[spki.n - 1] ^= 1; /* off the curve */
    assert_fails(cs_key_spki_check(cs_view_of(odd, spki.n), &err), CS_R_KEY_MALFORMED);
    assert_fails(cs_key_spki_check(cs_view_of(spki.p, spki.n - 1), &err), CS_R_KEY_MALFORMED);
    memcpy(odd, spki.p, spki.n);
    odd[spki.n] = 0;
    assert_fails(cs_key_spki_check(cs_view_of(odd, spki.n + 1), &err), CS_R_KEY_MALFORMED);
    assert_fails(cs_key_spki_check(cs_view_of(NULL, 0), &err), CS_R_KEY_MALFORMED);
    for (size_t n = 0; n < spki.n; n++) assert_int_not_equal(cs_key_spki_check(cs_view_of(spki.p, n), &err), CS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_made_key_signs_and_verifies),
        cmocka_unit_test(ml_dsa_signs_and_verifies_where_libcrypto_has_it),
        cmocka_unit_test(a_public_key_is_the_decoders),
        cmocka_unit_test(keys_of_a_flawed_generator_are_refused),
        cmocka_unit_test(an_unknown_type_names_the_choices),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(a_key_goes_into_secret_buffers_only),
        cmocka_unit_test(every_unfit_input_has_its_reason),
        cmocka_unit_test(what_others_wrote_is_read),
        cmocka_unit_test(two_keys_do_not_match),
        cmocka_unit_test(a_public_key_has_one_form_only),
    };
    return cmocka_run_group_tests_name("keys/key", tests, NULL, NULL);
}
