/* CRLs: built as a stream, checked by the signer. */
#include "issue.h"

#include "x509/der_write.h"

static test_ca ca;

static void build(uint64_t number, size_t entries, cs_buf *tbs) {
    cs_err err;
    cs_crl_builder b;
    static const int reasons[] = {0, 1, 4, 6, 9};
    assert_ok(cs_crl_begin(&b, ca.issuing, number, TEST_NOW - CS_CRL_BACKDATE, TEST_NOW + 7 * CS_DAY, tbs, &err));
    for (size_t i = 0; i < entries; i++) {
        const uint8_t serial[CS_SERIAL_LEN] = {
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_ok(
            cs_crl_add(&b, cs_view_of(serial, sizeof(serial)), TEST_NOW - (cs_time)i * CS_SEC, reasons[i % 5], &err));
    }
    assert_ok(cs_crl_end(&b, &err));
}

static void keep(const char *name, cs_view tbs) {
    cs_err err;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CRL_MAX);
    assert_ok(cs_signed_make(ca.issuing_key, tbs, &der, &err));
    test_keep(name, cs_buf_view(&der));
}

static void what_is_built_passes_the_signers_check(void **state) {
    static const size_t counts[] = {0, 1, 5, 300, 5000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        cs_err err;
        cs_crl_facts facts;
        char name[32];
        CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CRL_MAX);
        build(200 + i, counts[i], &tbs);
        assert_ok(cs_crl_tbs_check(cs_buf_view(&tbs), ca.issuing, 199 + i, &facts, &err));
        assert_int_equal(facts.number, 200 + i);
        assert_int_equal(facts.entries, counts[i]);
        assert_true(facts.this_update == TEST_NOW - CS_CRL_BACKDATE);
        (void)snprintf(name, sizeof(name), "crl-%zu.crl", counts[i]);
        keep(name, cs_buf_view(&tbs));
    }
}

static void a_number_that_does_not_rise_is_a_rollback(void **state) {
    cs_err err;
    cs_crl_facts facts;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CRL_MAX);
    build(7, 1, &tbs);
    assert_fails(cs_crl_tbs_check(cs_buf_view(&tbs), ca.issuing, 7, &facts, &err), CS_R_CRL_ROLLBACK);
    assert_fails(cs_crl_tbs_check(cs_buf_view(&tbs), ca.issuing, 8, &facts, &err), CS_R_CRL_ROLLBACK);
    assert_fails(cs_crl_tbs_check(cs_buf_view(&tbs), ca.root, 6, &facts, &err), CS_R_PROFILE_VIOLATED);
}

static void damage_is_noticed(void **state) {
    cs_err err;
    cs_crl_facts facts;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CRL_MAX);
    build(1000, 3, &tbs);
    for (size_t i = 0; i < tbs.n; i++)
        assert_int_not_equal(cs_crl_tbs_check(cs_view_of(tbs.p, i), ca.issuing, 0, &facts, &err), CS_OK);
    assert_true(cs_buf_add_byte(&tbs, 0));
    assert_fails(cs_crl_tbs_check(cs_buf_view(&tbs), ca.issuing, 0, &facts, &err), CS_R_PROFILE_VIOLATED);
}

static void a_full_buffer_says_so(void **state) {
    cs_err err = {0};
    cs_crl_builder b;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(400);
    const uint8_t serial[] = {1};
    cs_status status = CS_OK;
    assert_ok(cs_crl_begin(&b, ca.issuing, 1, TEST_NOW, TEST_NOW + CS_DAY, &tbs, &err));
    for (int i = 0; i < 100 && status == CS_OK; i++)
        status = cs_crl_add(&b, cs_view_of(serial, 1), TEST_NOW, CS_CRL_HOLD, &err);
    assert_int_equal(status, CS_LIMIT);
    assert_fails(cs_crl_end(&b, &err), CS_R_LIMIT_REACHED);
}

static void reasons_have_names(void **state) {
    cs_err err;
    int reason;
    for (int r = 0; r <= 10; r++) {
        const char *name = cs_crl_reason_name(r);
        if (r == 7) assert_null(name);
        if (!name) continue;
        assert_ok(cs_crl_reason_parse(cs_view_str(name), &reason, &err));
        assert_int_equal(reason, r);
    }
    assert_fails(cs_crl_reason_parse(CS_VIEW_LIT("boredom"), &reason, &err), CS_R_REASON_INVALID);
}

static void der(cs_buf *b, const char *hex) {
    uint8_t want[64];
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        want[i] = (uint8_t)v;
    }
    assert_int_equal(b->n, n);
    assert_memory_equal(b->p, want, n);
    cs_buf_clear(b);
}

static void der_is_minimal(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1000000);
    cs_time t;
    cs_der_put_uint(&b, CS_DER_INTEGER, 0), der(&b, "020100");
    cs_der_put_uint(&b, CS_DER_INTEGER, 127), der(&b, "02017f");
    cs_der_put_uint(&b, CS_DER_INTEGER, 128), der(&b, "02020080");
    cs_der_put_uint(&b, CS_DER_INTEGER, UINT64_MAX), der(&b, "020900ffffffffffffffff");
    cs_der_put_named_bits(&b, 0), der(&b, "030100");
    cs_der_put_named_bits(&b, CS_KU_DIGITAL_SIGNATURE), der(&b, "03020780");
    cs_der_put_named_bits(&b, CS_KU_CERT_SIGN | CS_KU_CRL_SIGN), der(&b, "03020106");
    cs_der_put_named_bits(&b, CS_KU_DECIPHER_ONLY), der(&b, "0303070080");
    assert_true(cs_time_of_civil(2049, 12, 31, 23, 59, 59, &t));
    cs_der_put_time(&b, t + 999999), der(&b, "170d3439313233313233353935395a");
    cs_der_put_time(&b, t + CS_SEC), der(&b, "180f32303530303130313030303030305a");
    for (size_t n = 0; n < 70000; n = n < 300 ? n + 1 : n + 9973) {
        cs_der_mark m = cs_der_open(&b, CS_DER_SEQUENCE);
        for (size_t i = 0; i < n; i++) cs_buf_add_byte(&b, (uint8_t)i);
        cs_der_close(&b, m);
        cs_der_fault fault = {0};
        cs_der d = cs_der_of(cs_buf_view(&b), &fault);
        cs_view in = cs_der_get(&d, CS_DER_SEQUENCE);
        cs_der_end(&d);
        assert_null(fault.rule);
        assert_int_equal(in.n, n);
        if (n) assert_int_equal(in.p[n - 1], (uint8_t)(n - 1));
        cs_buf_clear(&b);
    }
}

static int make_ca(void **state) {
    ca = test_ca_make(CS_KEYSPEC_ECDSA_P384, CS_KEYSPEC_ED25519);
    CS_SCOPED(cs_buf) pem = cs_buf_of(CS_PEM_FILE_MAX);
    assert_true(cs_pem_add_cert(&pem, ca.issuing) && cs_pem_add_cert(&pem, ca.root));
    test_keep("crl-ca.pem", cs_buf_view(&pem));
    return 0;
}

static int drop_ca(void **state) {
    test_ca_free(&ca);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_built_passes_the_signers_check),
        cmocka_unit_test(a_number_that_does_not_rise_is_a_rollback),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(a_full_buffer_says_so),
        cmocka_unit_test(reasons_have_names),
        cmocka_unit_test(der_is_minimal),
    };
    return cmocka_run_group_tests_name("x509/crl_write", tests, make_ca, drop_ca);
}
