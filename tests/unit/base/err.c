#include "unit.h"
#include <errno.h>
#include <string.h>

#include "base/err.h"

static void every_reason_has_a_unique_kebab_name_and_words(void **state) {
    for (int i = 1; i < CS_R_COUNT_; i++) {
        const cs_reason_info *r = cs_reason_of((cs_reason)i);
        assert_true(strlen(r->name) > 2 && strspn(r->name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(r->name));
        assert_true(r->says[0] != '\0' && r->advice[0] != '\0');
        assert_true(r->http >= 400 && r->http < 600);
        assert_int_equal(cs_reason_by_name(r->name), i);
    }
    assert_int_equal(cs_reason_by_name("no-such-reason"), CS_R_NONE);
    assert_string_equal(cs_reason_of((cs_reason)60000)->name, "internal-error");
}

static void details_are_one_safe_line_and_bounded(void **state) {
    cs_err err;
    char huge[2000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_int_equal(cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "CN=a\nb\x1b[31m"), CS_REFUSED);
    assert_string_equal(err.detail, "CN=a\\x0ab\\x1b[31m");
    cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "%s", huge);
    assert_true(strlen(err.detail) < CS_DETAIL_MAX);
    cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "inner");
    assert_int_equal(cs_fail_in(&err, "outer %d", 7), CS_REFUSED);
    assert_string_equal(err.detail, "outer 7: inner");
    assert_int_equal(err.reason, CS_R_REVOKED);
}

static void errno_chooses_the_reason(void **state) {
    cs_err err;
    assert_int_equal(cs_fail_errno(&err, ENOSPC, CS_R_FILE_UNWRITABLE, "%s", "/x"), CS_FAILED);
    assert_int_equal(err.reason, CS_R_DISK_FULL);
    assert_string_equal(err.detail, "/x: No space left on device");
    cs_fail_errno(&err, EACCES, CS_R_FILE_UNREADABLE, "/y");
    assert_int_equal(err.reason, CS_R_FILE_UNREADABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_a_unique_kebab_name_and_words),
        cmocka_unit_test(details_are_one_safe_line_and_bounded),
        cmocka_unit_test(errno_chooses_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
