/* PKCS#12: made in both forms; what the form says is what stands in the file. */
#include "issue.h"

#include <openssl/pkcs12.h>

static test_ca ca;
static cs_key *key;
static cs_cert *leaf;

static const cs_certs *chain(void) {
    static cs_cert *at[1];
    static cs_certs bag;
    at[0] = ca.issuing;
    bag = (cs_certs){at, 1};
    return &bag;
}

static void holds(cs_view der, const cs_secret *password, int mac_nid) {
    const unsigned char *p = der.p;
    EVP_PKEY *pkey = NULL;
    X509 *x = NULL;
    STACK_OF(X509) *more = NULL;
    const X509_ALGOR *mac = NULL;
    const ASN1_OBJECT *oid = NULL;
    char z[64] = {0};
    memcpy(z, password->p, password->n);
    PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)der.n);
    assert_non_null(p12);
    PKCS12_get0_mac(NULL, &mac, NULL, NULL, p12);
    X509_ALGOR_get0(&oid, NULL, NULL, mac);
    assert_int_equal(OBJ_obj2nid(oid), mac_nid);
    assert_int_equal(PKCS12_parse(p12, z, &pkey, &x, &more), 1);
    assert_int_equal(sk_X509_num(more), 1);
    int n = 0;
    assert_non_null(X509_alias_get0(x, &n));
    assert_memory_equal(X509_alias_get0(x, &n), "Zoë — corp.example", (size_t)n);
    assert_int_equal(X509_check_private_key(x, pkey), 1);
    EVP_PKEY_free(pkey);
    X509_free(x);
    sk_X509_pop_free(more, X509_free);
    PKCS12_free(p12);
}

static void both_forms_hold_key_leaf_and_issuer(void **state) {
    static const int macs[] = {NID_sha1, NID_sha256};
    static const char *const files[] = {"compat.p12", "modern.p12"};
    cs_err err;
    CS_AUTO(cs_secret) password = NULL;
    assert_ok(cs_password_draw(cs_rng_system(), &password, &err));
    test_keep("p12.password", cs_secret_view(password));
    for (cs_p12_form form = CS_P12_COMPAT; form <= CS_P12_MODERN; form++) {
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_P12_MAX);
        assert_ok(cs_p12_make(key, leaf, chain(), "Zoë — corp.example", password, form, &der, &err));
        holds(cs_buf_view(&der), password, macs[form]);
        test_keep(files[form], cs_buf_view(&der));
    }
}

static void a_weak_password_or_another_key_is_refused(void **state) {
    cs_err err;
    CS_AUTO(cs_secret) password = NULL;
    CS_AUTO(cs_key) other = NULL;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_P12_MAX);
    assert_ok(cs_password_draw(cs_rng_system(), &password, &err));
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &other, &err));
    assert_fails(cs_p12_make(other, leaf, NULL, "x", password, CS_P12_COMPAT, &der, &err), CS_R_KEY_MISMATCH);
    password->n = 19;
    assert_fails(cs_p12_make(key, leaf, NULL, "x", password, CS_P12_COMPAT, &der, &err), CS_R_PASSPHRASE_TOO_SHORT);
    password->n = 11;
    assert_fails(cs_p12_make(key, leaf, NULL, "x", password, CS_P12_MODERN, &der, &err), CS_R_PASSPHRASE_TOO_SHORT);
    assert_int_equal(der.n, 0);
}

static cs_status no_randomness(const cs_rng *rng, void *p, size_t n, cs_err *err) {
    return cs_fail(err, CS_FAILED, CS_R_RANDOM_FAILED, "test");
}

static void passwords_are_readable_and_differ(void **state) {
    cs_err err;
    CS_AUTO(cs_secret) a = NULL;
    CS_AUTO(cs_secret) b = NULL;
    cs_secret *none = NULL;
    const cs_rng broken = {no_randomness};
    assert_ok(cs_password_draw(cs_rng_system(), &a, &err));
    assert_ok(cs_password_draw(cs_rng_system(), &b, &err));
    assert_int_equal(a->n, 29);
    assert_memory_not_equal(a->p, b->p, 29);
    for (size_t i = 0; i < a->n; i++) assert_null(strchr("01oil", a->p[i]));
    assert_fails(cs_password_draw(&broken, &none, &err), CS_R_RANDOM_FAILED);
}

static int make_ca(void **state) {
    cs_err err;
    const uint8_t serial[CS_SERIAL_LEN] = {0x42};
    cs_identity who;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    ca = test_ca_make(CS_KEYSPEC_ECDSA_P256, CS_KEYSPEC_ECDSA_P256);
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &key, &err));
    assert_ok(cs_identity_make(CS_KIND_USER, CS_VIEW_LIT("zoe@corp.example"), &who, &err));
    const cs_profile_ask ask = test_ask(&ca, &who, cs_key_spki(key), cs_view_of(serial, sizeof(serial)));
    assert_ok(cs_profile_build(&ask, &tbs, &err));
    leaf = test_sign(ca.issuing_key, cs_buf_view(&tbs));
    return 0;
}

static int drop_ca(void **state) {
    test_ca_free(&ca);
    cs_key_free(key);
    cs_cert_free(leaf);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_hold_key_leaf_and_issuer),
        cmocka_unit_test(a_weak_password_or_another_key_is_refused),
        cmocka_unit_test(passwords_are_readable_and_differ),
    };
    return cmocka_run_group_tests_name("x509/p12", tests, make_ca, drop_ca);
}
