/* Who hangs on the CA that is replaced: counted, listed in pages, for an issuing CA and for a root. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/rollovers.h"

static char path[64];
static store *st;
enum { OLD = 7, NEXT = 8, OTHER = 9 };

static int fresh(void **state) {
    cs_err err;
    static const char *const tails[] = {"", "-wal", "-shm"};
    (void)snprintf(path, sizeof path, "/tmp/cs-unit-rollovers-%d.db", (int)getpid());
    for (size_t i = 0; i < 3; i++) {
        char name[80];
        (void)snprintf(name, sizeof name, "%s%s", path, tails[i]);
        (void)unlink(name);
    }
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_node_set(st, 5, &err));
    assert_ok(store_begin(st, &err));
    return 0;
}

static int gone(void **state) {
    store_rollback(st);
    store_free(st);
    (void)unlink(path);
    return 0;
}

static void add(const char *name, uint8_t issuer, cs_time created, cs_time not_after) {
    static unsigned serial = 0;
    cs_err err;
    store_cert c = {.kind = CS_KIND_DEVICE, .created = created, .not_before = 1, .not_after = not_after};
    const uint8_t hash[32] = {1};
    (void)snprintf(c.serial, sizeof c.serial, "%032x", ++serial);
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    memset(c.issuer, issuer, sizeof c.issuer);
    assert_ok(store_intent_add(st, &c, &err));
    assert_ok(store_issued_set(st, c.serial, "CN=x", hash, CS_VIEW_LIT("der"), &err));
}

static store_rollover begin(rollover_kind kind) {
    cs_err err;
    store_rollover r = {.kind = kind, .old_ca = "old", .next_ca = "next", .started = 10, .started_by = "uid 0"};
    store_rollover_ca ca = {.name = "old"};
    memset(r.next_issuer, NEXT, 32);
    memset(r.published_mark, 1, 32);
    memset(r.switched_mark, 2, 32);
    memset(ca.issuer, OLD, 32);
    assert_ok(store_rollover_add(st, &r, &ca, 1, &err));
    return r;
}

static store_clinging_counts count(const store_rollover *r, cs_time now) {
    cs_err err;
    store_clinging_counts n;
    assert_ok(store_clinging_count(st, r, now, &n, &err));
    return n;
}

typedef struct page {
    char names[400];
    int64_t old_n, next_n;
    char last[CS_IDENTITY_NAME_MAX + 1];
} page;

static cs_status see(void *cls, const store_clinging *c, cs_err *err) {
    page *p = cls;
    size_t n = strlen(p->names);
    (void)snprintf(p->names + n, sizeof p->names - n, "%s%s ", c->name, c->told != 0 ? "!" : "");
    p->old_n += c->old_n;
    p->next_n += c->next_n;
    (void)snprintf(p->last, sizeof p->last, "%s", c->name);
    return CS_OK;
}

static cs_status keep(void *cls, const char *serial, cs_err *err) {
    ++*(int *)cls;
    return CS_OK;
}

static void who_has_not_renewed_is_counted_and_listed_in_pages(void **state) {
    cs_err err;
    page one = {.names = ""}, two = {.names = ""};
    bool fresh_one = false;
    int left = 0;
    store_rollover r = begin(ROLLOVER_ISSUING);
    add("a", OLD, 5, 1000);
    add("b", OLD, 5, 1000);
    add("b", OLD, 5, 2000);
    add("b", NEXT, 20, 3000);
    add("c", NEXT, 20, 3000);
    add("d", OLD, 5, 99);     /* has ended */
    add("e", OTHER, 5, 1000); /* of another CA */
    add("f", OLD, 5, 1500);
    store_clinging_counts n = count(&r, 100);
    assert_int_equal(n.old, 2);
    assert_int_equal(n.both, 1);
    assert_int_equal(n.moved, 1);
    assert_int_equal(n.told, 0);
    assert_int_equal(n.certificates, 4);
    assert_int_equal(n.last, 2000);
    assert_ok(store_rollover_told(st, r.id, CS_KIND_DEVICE, "f", 50, &fresh_one, &err));
    assert_true(fresh_one);
    assert_ok(store_rollover_told(st, r.id, CS_KIND_DEVICE, "f", 60, &fresh_one, &err));
    assert_false(fresh_one);
    assert_int_equal(count(&r, 100).told, 1);
    assert_ok(store_clinging_list(st, &r, 100, NULL, NULL, 2, see, &one, &err));
    assert_string_equal(one.names, "a b ");
    assert_ok(store_clinging_list(st, &r, 100, "device", one.last, 2, see, &two, &err));
    assert_string_equal(two.names, "f! ");
    assert_int_equal(one.old_n + two.old_n, 4);
    assert_int_equal(one.next_n, 1);
    assert_ok(store_leftovers(st, &r, 100, 100, keep, &left, &err));
    assert_int_equal(left, 2);
    n = count(&r, 5000);
    assert_int_equal(n.old + n.both + n.moved + n.certificates + n.last, 0);
}

static void of_a_root_what_was_issued_before_the_switch_is_old(void **state) {
    cs_err err;
    store_rollover r = begin(ROLLOVER_ROOT);
    add("a", OLD, 20, 1000);
    add("b", OLD, 40, 1000);
    assert_int_equal(count(&r, 100).old, 2);
    assert_int_equal(count(&r, 100).moved, 0);
    assert_ok(store_rollover_stage_set(st, r.id, ROLLOVER_PUBLISHED, 25, &err));
    assert_ok(store_rollover_stage_set(st, r.id, ROLLOVER_SWITCHED, 30, &err));
    assert_ok(store_rollover_last(st, &r, &err));
    assert_int_equal(r.published, 25);
    assert_int_equal(r.switched, 30);
    assert_int_equal(count(&r, 100).old, 1);
    assert_int_equal(count(&r, 100).moved, 1);
    add("a", OLD, 50, 1000);
    assert_int_equal(count(&r, 100).both, 1);
}

static void a_stage_that_is_taken_back_is_as_if_it_had_not_been(void **state) {
    static const rollover_stage way[] = {ROLLOVER_PUBLISHED, ROLLOVER_SWITCHED, ROLLOVER_RETIRED,   ROLLOVER_SWITCHED,
                                         ROLLOVER_PUBLISHED, ROLLOVER_SWITCHED, ROLLOVER_PUBLISHED, ROLLOVER_MADE};
    static const cs_time published[] = {1, 1, 1, 1, 1, 1, 1, 0}, switched[] = {0, 2, 2, 2, 0, 6, 0, 0};
    cs_err err;
    store_rollover r = begin(ROLLOVER_ISSUING);
    assert_true(store_rollover_open(&r));
    for (size_t i = 0; i < sizeof way / sizeof way[0]; i++) {
        assert_ok(store_rollover_stage_set(st, r.id, way[i], (cs_time)i + 1, &err));
        assert_ok(store_rollover_last(st, &r, &err));
        assert_int_equal(r.stage, way[i]);
        assert_int_equal(r.published, published[i]);
        assert_int_equal(r.switched, switched[i]);
        assert_int_equal(r.changed, i + 1);
    }
    assert_ok(store_rollover_stage_set(st, r.id, ROLLOVER_GIVEN_UP, 99, &err));
    assert_ok(store_rollover_last(st, &r, &err));
    assert_false(store_rollover_open(&r));
}

static cs_status see_node(void *cls, const store_node_state *n, cs_err *err) {
    int *seen = cls;
    assert_true(n->own);
    *seen = *seen * 10 + 1 + n->published + 2 * n->switched;
    return CS_OK;
}

static void a_node_says_how_far_it_has_come(void **state) {
    cs_err err;
    int seen = 0;
    store_node_ca cas[2] = {{.issues = true}, {.issues = false}};
    store_rollover r = begin(ROLLOVER_ISSUING);
    memset(cas[1].sha256, 1, 32); /* the published mark */
    for (size_t n = 1; n <= 2; n++) {
        assert_ok(store_node_cas_set(st, "here", cas, n, &err));
        assert_ok(store_node_list(st, 5, &r, see_node, &seen, &err));
    }
    memset(cas[0].sha256, 2, 32); /* the one that issues is the switched mark */
    assert_ok(store_node_cas_set(st, "here", cas, 2, &err));
    assert_ok(store_node_list(st, 5, &r, see_node, &seen, &err));
    assert_int_equal(seen, 124);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_has_not_renewed_is_counted_and_listed_in_pages, fresh, gone),
        cmocka_unit_test_setup_teardown(of_a_root_what_was_issued_before_the_switch_is_old, fresh, gone),
        cmocka_unit_test_setup_teardown(a_stage_that_is_taken_back_is_as_if_it_had_not_been, fresh, gone),
        cmocka_unit_test_setup_teardown(a_node_says_how_far_it_has_come, fresh, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
