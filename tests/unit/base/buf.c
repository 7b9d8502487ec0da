#include "unit.h"

#include "base/buf.h"

static void a_buffer_never_passes_its_ceiling(void **state) {
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_of(8);
    assert_true(cs_buf_add_str(&b, "12345678"));
    assert_false(cs_buf_add_byte(&b, '9'));
    assert_int_equal(b.n, 8);
    assert_int_equal(cs_buf_ok(&b, "test", &err), CS_LIMIT);
    assert_int_equal(err.reason, CS_R_LIMIT_REACHED);
    assert_false(cs_buf_add_str(&b, "")); /* sticky */
}

static void what_is_written_is_read_back(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1024);
    cs_buf_add_u16(&b, 0xfffe);
    cs_buf_add_u32(&b, 0x01020304);
    cs_buf_add_u64(&b, 0x1122334455667788U);
    cs_buf_add_vec16(&b, CS_VIEW_LIT("hello"));
    cs_buf_add_vec32(&b, CS_VIEW_LIT(""));
    cs_rd r = cs_rd_of(cs_buf_view(&b));
    assert_int_equal(cs_rd_u16(&r), 0xfffe);
    assert_int_equal(cs_rd_u32(&r), 0x01020304);
    assert_true(cs_rd_u64(&r) == 0x1122334455667788U);
    assert_true(cs_view_eq_str(cs_rd_vec16(&r), "hello"));
    assert_int_equal(cs_rd_vec32(&r).n, 0);
    assert_true(cs_rd_ended(&r));
}

static void a_short_read_is_sticky_and_gives_zero(void **state) {
    cs_rd r = cs_rd_of(CS_VIEW_LIT("\x01\x02\x03"));
    assert_int_equal(cs_rd_u32(&r), 0);
    assert_int_equal(cs_rd_u8(&r), 0);
    assert_false(cs_rd_ok(&r));
    cs_rd v = cs_rd_of(CS_VIEW_LIT("\xff\xff only this"));
    assert_int_equal(cs_rd_vec16(&v).n, 0);
    assert_false(cs_rd_ok(&v));
}

static void cstr_adds_a_nul_even_at_the_ceiling(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(4);
    assert_string_equal(cs_buf_cstr(&b), "");
    cs_buf_add_str(&b, "abcd");
    assert_string_equal(cs_buf_cstr(&b), "abcd");
    cs_buf_consume(&b, 3);
    assert_string_equal(cs_buf_cstr(&b), "d");
}

static void views_compare(void **state) {
    assert_true(cs_view_eq_nocase(CS_VIEW_LIT("Host"), CS_VIEW_LIT("hOST")));
    assert_false(cs_view_eq_nocase(CS_VIEW_LIT("Host"), CS_VIEW_LIT("Hose")));
    assert_true(cs_view_cmp(CS_VIEW_LIT("a"), CS_VIEW_LIT("ab")) < 0);
    assert_true(cs_view_eq_consttime(CS_VIEW_LIT("same"), CS_VIEW_LIT("same")));
    assert_false(cs_view_eq_consttime(CS_VIEW_LIT("same"), CS_VIEW_LIT("sane")));
    assert_true(cs_view_eq_str(cs_view_trim(CS_VIEW_LIT(" \t x y \r\n")), "x y"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_never_passes_its_ceiling),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_short_read_is_sticky_and_gives_zero),
        cmocka_unit_test(cstr_adds_a_nul_even_at_the_ceiling),
        cmocka_unit_test(views_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
