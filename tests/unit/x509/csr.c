/* Requests: read strictly, proven, made. */
#include "issue.h"

#include "csr_fixtures.h"

static void what_a_request_asks_for_is_read(void **state) {
    cs_err err;
    CS_AUTO(cs_csr) csr = NULL;
    cs_view cn;
    assert_ok(cs_csr_read(cs_view_str(csr_good), "some.csr", &csr, &err));
    assert_true(cs_name_cn(csr->subject, &cn) && cs_view_eq_str(cn, "pump-17"));
    assert_int_equal(csr->san_count, 3);
    assert_true(cs_view_eq_str(csr->sans[0].value, "a.example"));
    assert_int_equal(csr->key_usage, CS_KU_DIGITAL_SIGNATURE);
    assert_int_equal(csr->eku, CS_EKU_CLIENT_AUTH);
    assert_int_equal(csr->other_exts, 0);
    assert_int_equal(csr->challenge.n, 0);
    assert_false(csr->asks_ca);
    assert_ok(cs_csr_refuse_ca(csr, &err));
}

static void a_pss_signature_proves_too(void **state) {
    cs_err err;
    CS_AUTO(cs_csr) csr = NULL;
    assert_ok(cs_csr_read(cs_view_str(csr_pss), "some.csr", &csr, &err));
}

static void a_challenge_password_is_found(void **state) {
    cs_err err;
    CS_AUTO(cs_csr) csr = NULL;
    assert_ok(cs_csr_read(cs_view_str(csr_challenge), "some.csr", &csr, &err));
    assert_true(cs_view_eq_str(csr->challenge, "sesame-open"));
}

static void who_asks_to_be_a_ca_is_refused(void **state) {
    static const char *const asks[] = {csr_ca, csr_ku};
    for (size_t i = 0; i < 2; i++) {
        cs_err err;
        CS_AUTO(cs_csr) csr = NULL;
        assert_ok(cs_csr_read(cs_view_str(asks[i]), "some.csr", &csr, &err));
        assert_true(csr->asks_ca);
        assert_fails(cs_csr_refuse_ca(csr, &err), CS_R_CSR_ASKS_FOR_CA);
    }
}

static void every_unfit_request_has_its_reason(void **state) {
    static const struct {
        const char *text;
        cs_reason reason;
    } rows[] = {
        {"", CS_R_FILE_EMPTY},
        {"hello", CS_R_FILE_WRONG_TYPE},
        {"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", CS_R_FILE_WRONG_TYPE},
        {"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", CS_R_CSR_MALFORMED},
        {"-----BEGIN CERTIFICATE REQUEST-----\nM*A=\n-----END CERTIFICATE REQUEST-----\n", CS_R_FILE_MALFORMED},
        {"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n", CS_R_FILE_MALFORMED},
        {csr_sha1, CS_R_ALGORITHM_TOO_WEAK},
        {csr_weak, CS_R_KEY_TOO_WEAK},
        {csr_k1, CS_R_KEY_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cs_err err;
        cs_csr *csr = NULL;
        assert_fails(cs_csr_read(cs_view_str(rows[i].text), "some.csr", &csr, &err), rows[i].reason);
        assert_null(csr);
        assert_non_null(strstr(err.detail, "some.csr"));
    }
}

static void a_made_request_reads_back_and_no_octet_of_it_may_change(void **state) {
    const uint8_t ip[] = {127, 0, 0, 1};
    const cs_san sans[] = {{CS_SAN_DNS, CS_VIEW_LIT("gw.example")}, {CS_SAN_IP, {ip, 4}}};
    for (cs_key_spec spec = CS_KEYSPEC_ECDSA_P256; spec <= CS_KEYSPEC_RSA_2048; spec++) {
        cs_err err;
        CS_AUTO(cs_key) key = NULL;
        CS_AUTO(cs_csr) csr = NULL;
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_CSR_MAX);
        CS_SCOPED(cs_buf) pem = cs_buf_of(CS_CSR_MAX);
        char name[64];
        assert_ok(cs_key_generate(spec, &key, &err));
        assert_ok(cs_csr_make(key, spec ? "gw.example" : NULL, sans, 2, &der, &err));
        assert_true(cs_pem_add(&pem, CS_PEM_CSR, cs_buf_view(&der)));
        (void)snprintf(name, sizeof(name), "csr-%s.pem", cs_key_spec_name(spec));
        test_keep(name, cs_buf_view(&pem));
        assert_ok(cs_csr_read(cs_buf_view(&pem), "pem", &csr, &err));
        assert_int_equal(csr->san_count, 2);
        assert_true(cs_view_eq(csr->spki, cs_key_spki(key)));
        for (size_t i = 0; spec == CS_KEYSPEC_ED25519 && i < der.n; i++) {
            cs_csr *none = NULL;
            der.p[i] ^= 0x10;
            assert_int_not_equal(cs_csr_read(cs_buf_view(&der), "der", &none, &err), CS_OK);
            der.p[i] ^= 0x10;
            assert_int_not_equal(cs_csr_read(cs_view_of(der.p, i), "der", &none, &err), CS_OK);
        }
    }
}

static void the_key_inside_must_have_signed(void **state) {
    cs_err err;
    CS_AUTO(cs_key) key = NULL;
    CS_AUTO(cs_key) other = NULL;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CSR_MAX);
    cs_csr *none = NULL;
    assert_ok(cs_key_generate(CS_KEYSPEC_ED25519, &key, &err));
    assert_ok(cs_key_generate(CS_KEYSPEC_ED25519, &other, &err));
    assert_ok(cs_csr_make(key, "x", NULL, 0, &der, &err));
    cs_view from = cs_key_spki(key), to = cs_key_spki(other);
    uint8_t *at = memmem(der.p, der.n, from.p, from.n);
    assert_non_null(at);
    memcpy(at, to.p, to.n);
    assert_fails(cs_csr_read(cs_buf_view(&der), "der", &none, &err), CS_R_CSR_POP_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_request_asks_for_is_read),
        cmocka_unit_test(a_pss_signature_proves_too),
        cmocka_unit_test(a_challenge_password_is_found),
        cmocka_unit_test(who_asks_to_be_a_ca_is_refused),
        cmocka_unit_test(every_unfit_request_has_its_reason),
        cmocka_unit_test(a_made_request_reads_back_and_no_octet_of_it_may_change),
        cmocka_unit_test(the_key_inside_must_have_signed),
    };
    return cmocka_run_group_tests_name("x509/csr", tests, NULL, NULL);
}
