#include "keys/checker.h"

#include "unit.h"

static cs_err err;
static cs_key *key;
static cs_checker *checker;
static const cs_view message = CS_VIEW_LIT("what a signer returned");

/* A key that goes by its table. */
static int set_up(void **state) {
    CS_SCOPED(cs_buf) signature = cs_buf_of(1024);
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &key, &err));
    assert_ok(cs_checker_new(cs_key_spki(key), &checker, &err));
    assert_ok(cs_key_sign(key, message, &signature, &err));
    assert_false(cs_checker_has_table(checker));
    for (int i = 0; i < CS_CHECKER_TABLE_AFTER; i++)
        assert_ok(cs_checker_verify(checker, message, cs_buf_view(&signature), &err));
    return 0;
}

static int tear_down(void **state) {
    cs_checker_free(checker);
    cs_key_free(key);
    return 0;
}

static void a_table_is_made_for_a_key_that_checks_much(void **state) {
    assert_true(cs_checker_has_table(checker));
}

static bool same(cs_view tbs, cs_view signature) {
    bool ours = cs_checker_verify(checker, tbs, signature, &err) == CS_OK;
    bool theirs = cs_key_verify(cs_key_spki(key), tbs, signature, &err) == CS_OK;
    assert_int_equal(ours, theirs);
    return ours;
}

static void every_bit_of_a_signature_counts_as_it_does_for_libcrypto(void **state) {
    CS_SCOPED(cs_buf) signature = cs_buf_of(1024);
    assert_ok(cs_key_sign(key, message, &signature, &err));
    assert_true(same(message, cs_buf_view(&signature)));
    for (size_t bit = 0; bit < signature.n * 8; bit++) {
        signature.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(same(message, cs_buf_view(&signature)));
        signature.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < signature.n; n++) assert_false(same(message, cs_view_of(signature.p, n)));
    assert_false(same(CS_VIEW_LIT("something else"), cs_buf_view(&signature)));
    cs_buf_add_byte(&signature, 0);
    assert_false(same(message, cs_buf_view(&signature)));
}

static void what_many_keys_sign_is_good_under_their_own_only(void **state) {
    CS_AUTO(cs_key) other = NULL;
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &other, &err));
    for (uint8_t i = 0; i < 100; i++) {
        CS_SCOPED(cs_buf) good = cs_buf_of(1024);
        CS_SCOPED(cs_buf) bad = cs_buf_of(1024);
        const cs_view tbs = cs_view_of(&i, 1);
        assert_ok(cs_key_sign(key, tbs, &good, &err));
        assert_ok(cs_key_sign(other, tbs, &bad, &err));
        assert_true(same(tbs, cs_buf_view(&good)));
        assert_false(same(tbs, cs_buf_view(&bad)));
    }
}

#define ORDER                                                                                                          \
    "\x00\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca" \
    "\xc2\xfc\x63\x25"

/* SEC 1, 4.1.4: both numbers are between 0 and the order; DER has one form of each. */
static void numbers_out_of_range_and_other_forms_are_refused(void **state) {
    static const char *const forms[] = {"\x30\x06\x02\x01\x00\x02\x01\x00", "\x30\x06\x02\x01\x01\x02\x01\x00",
                                        "\x30\x06\x02\x01\x00\x02\x01\x01", "\x30\x06\x02\x01\xff\x02\x01\xff",
                                        "\x30\x06\x02\x01\x01\x02\x01\x01", "\x30\x07\x02\x02\x00\x01\x02\x01\x01",
                                        "\x30\x80\x02\x01\x01\x02\x01\x01", "\x30\x04\x02\x00\x02\x00"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        assert_false(same(message, cs_view_of((const uint8_t *)forms[i], (size_t)(forms[i][1] & 0x7f) + 2)));
    assert_false(same(message, CS_VIEW_LIT("\x30\x26\x02\x21" ORDER "\x51\x02\x01\x01")));
    assert_false(same(message, CS_VIEW_LIT("\x30\x26\x02\x01\x01\x02\x21" ORDER "\x51")));
    assert_false(same(message, CS_VIEW_LIT("\x30\x26\x02\x01\x01\x02\x21" ORDER "\x52")));
    assert_false(same(message, cs_view_of(NULL, 0)));
}

static void every_other_kind_of_key_is_checked_too(void **state) {
    static const cs_key_spec specs[] = {CS_KEYSPEC_ECDSA_P384, CS_KEYSPEC_ED25519, CS_KEYSPEC_RSA_2048};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        CS_AUTO(cs_key) k = NULL;
        CS_AUTO(cs_checker) c = NULL;
        CS_SCOPED(cs_buf) signature = cs_buf_of(1024);
        assert_ok(cs_key_generate(specs[i], &k, &err));
        assert_ok(cs_checker_new(cs_key_spki(k), &c, &err));
        assert_ok(cs_key_sign(k, message, &signature, &err));
        assert_ok(cs_checker_verify(c, message, cs_buf_view(&signature), &err));
        assert_fails(cs_checker_verify(c, CS_VIEW_LIT("x"), cs_buf_view(&signature), &err), CS_R_SIGNATURE_INVALID);
        assert_false(cs_checker_has_table(c));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_made_for_a_key_that_checks_much),
        cmocka_unit_test(every_bit_of_a_signature_counts_as_it_does_for_libcrypto),
        cmocka_unit_test(what_many_keys_sign_is_good_under_their_own_only),
        cmocka_unit_test(numbers_out_of_range_and_other_forms_are_refused),
        cmocka_unit_test(every_other_kind_of_key_is_checked_too),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
