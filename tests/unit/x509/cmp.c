/* CMP's MACs: read, bounded, the same on both sides; and requests of its form. */
#include "unit.h"

#include "x509/cmp.h"
#include "x509/der_write.h"

static cs_err err;

/* PBMParameter { salt, SHA-256, rounds, HMAC-SHA1 }, as OpenSSL's client writes it. */
static void put_pbm(cs_buf *b, size_t salt, unsigned rounds, const char *owf) {
    static const uint8_t salts[80] = {1, 2, 3};
    cs_der_mark a = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2a\x86\x48\x86\xf6\x7d\x07\x42\x0d"));
    cs_der_mark p = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put(b, CS_DER_OCTET_STRING, cs_view_of(salts, salt));
    cs_der_mark h = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, cs_view_str(owf));
    cs_der_close(b, h);
    cs_der_put_uint(b, CS_DER_INTEGER, rounds);
    h = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2b\x06\x01\x05\x05\x08\x01\x02"));
    cs_der_close(b, h);
    cs_der_close(b, p);
    cs_der_close(b, a);
}
#define SHA256_OID "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
#define SHA1_OID "\x2b\x0e\x03\x02\x1a"

static cs_status read_pbm(size_t salt, unsigned rounds, const char *owf, cs_cmp_mac *ret) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1024);
    put_pbm(&b, salt, rounds, owf);
    return cs_cmp_mac_read(cs_buf_view(&b), ret, &err);
}

static void what_makes_too_little_or_too_much_work_is_refused(void **state) {
    cs_cmp_mac m;
    (void)state;
    assert_ok(read_pbm(16, 500, SHA256_OID, &m));
    assert_string_equal(m.owf, "SHA256");
    assert_string_equal(m.mac, "SHA1");
    assert_int_equal(m.iterations, 500);
    assert_ok(read_pbm(8, 100, SHA256_OID, &m));
    assert_ok(read_pbm(64, 100000, SHA256_OID, &m));
    assert_fails(read_pbm(16, 99, SHA256_OID, &m), CS_R_ALGORITHM_TOO_WEAK);
    assert_fails(read_pbm(7, 500, SHA256_OID, &m), CS_R_ALGORITHM_TOO_WEAK);
    assert_fails(read_pbm(16, 500, SHA1_OID, &m), CS_R_ALGORITHM_TOO_WEAK);
    assert_fails(read_pbm(16, 100001, SHA256_OID, &m), CS_R_LIMIT_REACHED);
    assert_fails(read_pbm(65, 500, SHA256_OID, &m), CS_R_LIMIT_REACHED);
    assert_fails(read_pbm(16, 500, "\x2a\x03", &m), CS_R_ALGORITHM_UNSUPPORTED);
}

/* key = owf^rounds(secret || salt), MAC by it: computed with Python's hashlib and hmac. */
static void a_mac_is_the_one_that_others_compute(void **state) {
    static const uint8_t expected[] = {0x61, 0x99, 0x0f, 0x7b, 0x95, 0x45, 0x25, 0xdd};
    cs_cmp_mac m = {.owf = "SHA256", .mac = "SHA256", .salt = {1, 2, 3, 4, 5, 6, 7, 8}, .salt_n = 8, .iterations = 100};
    uint8_t mac[CS_CMP_MAC_MAX], again[CS_CMP_MAC_MAX];
    size_t n = 0, k = 0;
    (void)state;
    assert_ok(cs_cmp_mac_compute(&m, CS_VIEW_LIT("secret"), CS_VIEW_LIT("message"), mac, &n, &err));
    assert_int_equal(n, 32);
    assert_memory_equal(mac, expected, sizeof expected);
    m.pbmac1 = true;
    m.key_n = 32;
    static const uint8_t other[] = {0xdf, 0xe4, 0xea, 0x75, 0x11, 0x68, 0x0d, 0xec};
    assert_ok(cs_cmp_mac_compute(&m, CS_VIEW_LIT("secret"), CS_VIEW_LIT("message"), again, &k, &err));
    assert_memory_equal(again, other, sizeof other);
}

static void what_is_written_is_read_the_same(void **state) {
    (void)state;
    for (int pbmac1 = 0; pbmac1 < 2; pbmac1++) {
        cs_cmp_mac m, back;
        CS_SCOPED(cs_buf) b = cs_buf_of(1024);
        assert_ok(cs_cmp_mac_make(cs_rng_system(), &m, &err));
        m.pbmac1 = pbmac1 != 0;
        m.key_n = 32;
        assert_true(cs_cmp_mac_put(&b, &m));
        assert_true(cs_cmp_mac_is(cs_buf_view(&b)));
        assert_ok(cs_cmp_mac_read(cs_buf_view(&b), &back, &err));
        assert_int_equal(back.iterations, m.iterations);
        assert_memory_equal(back.salt, m.salt, m.salt_n);
        assert_string_equal(back.owf, m.owf);
        assert_int_equal(back.pbmac1, m.pbmac1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_makes_too_little_or_too_much_work_is_refused),
        cmocka_unit_test(a_mac_is_the_one_that_others_compute),
        cmocka_unit_test(what_is_written_is_read_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
