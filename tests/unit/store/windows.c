/* Renewal windows' verbs, on either database. */
#include "database.h"

static cs_err err;

static cs_status see(void *cls, const store_window *w, cs_err *e) {
    char *text = cls;
    size_t n = strlen(text);
    (void)e;
    (void)snprintf(text + n, 64 - n, "%llu ", (unsigned long long)w->id);
    return CS_OK;
}

static void windows_are_numbered_kept_whole_and_removed_once(void **state) {
    CS_AUTO(store) st = NULL;
    store_window w = {.kind = CS_KIND_OTHER, .created = 5, .begins = 7, .spread = 9}, got;
    char hold[64] = "", all[64] = "";
    (void)snprintf(w.made_by, sizeof w.made_by, "ann");
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_begin(st, &err));
    assert_ok(store_window_add(st, &w, &err));
    assert_int_equal(w.id, 1);
    assert_ok(store_window_get(st, 1, &got, &err));
    assert_true(got.kind == CS_KIND_OTHER && !got.has_issuer && got.pattern[0] == '\0' && got.removed == 0);
    w.kind = CS_KIND_DEVICE;
    w.has_issuer = true;
    memset(w.issuer, 3, sizeof w.issuer);
    (void)snprintf(w.pattern, sizeof w.pattern, "p*");
    (void)snprintf(w.tag, sizeof w.tag, "t");
    (void)snprintf(w.profile, sizeof w.profile, "q");
    (void)snprintf(w.key_type, sizeof w.key_type, "rsa");
    (void)snprintf(w.why, sizeof w.why, "so");
    assert_ok(store_window_add(st, &w, &err));
    assert_ok(store_window_get(st, 2, &got, &err));
    assert_memory_equal(&got, &w, sizeof w);
    assert_ok(store_window_remove(st, 1, "bob", 11, &err));
    assert_fails(store_window_remove(st, 1, "bob", 12, &err), CS_R_RENEWAL_WINDOW_UNKNOWN);
    assert_fails(store_window_remove(st, 3, "bob", 12, &err), CS_R_RENEWAL_WINDOW_UNKNOWN);
    assert_ok(store_window_get(st, 1, &got, &err));
    assert_int_equal(got.removed, 11);
    assert_string_equal(got.removed_by, "bob");
    assert_ok(store_window_list(st, false, see, hold, &err));
    assert_ok(store_window_list(st, true, see, all, &err));
    assert_string_equal(hold, "2 ");
    assert_string_equal(all, "2 1 ");
    store_rollback(st);
}

static void no_more_hold_than_are_looked_at(void **state) {
    CS_AUTO(store) st = NULL;
    store_window w = {.kind = CS_KIND_USER};
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_begin(st, &err));
    for (int i = 0; i < STORE_WINDOWS_MAX; i++) assert_ok(store_window_add(st, &w, &err));
    assert_fails(store_window_add(st, &w, &err), CS_R_LIMIT_REACHED);
    assert_ok(store_window_remove(st, 1, "", 1, &err));
    assert_ok(store_window_add(st, &w, &err));
    store_rollback(st);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, fresh)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(windows_are_numbered_kept_whole_and_removed_once),
        TEST(no_more_hold_than_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
