/* ACME's verbs, on either database. */
#include "store/acme.h"
#include "database.h"

static cs_err err;

static store *opened(void) {
    store *st = NULL;
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_begin(st, &err));
    return st;
}

static store_account account(const char *id, const char *key, const char *token) {
    store_account a = {.spki_n = 3, .created = 10};
    memcpy(a.spki, "key", 3);
    (void)snprintf(a.id, sizeof a.id, "%s", id);
    (void)snprintf(a.thumbprint, sizeof a.thumbprint, "%s", key);
    (void)snprintf(a.contact, sizeof a.contact, "[]");
    (void)snprintf(a.token, sizeof a.token, "%s", token);
    return a;
}

static store_order order(const char *id, const char *replaces, cs_time expires) {
    store_order o = {.created = 10, .expires = expires};
    (void)snprintf(o.id, sizeof o.id, "%s", id);
    (void)snprintf(o.account, sizeof o.account, "a1");
    (void)snprintf(o.replaces, sizeof o.replaces, "%s", replaces);
    return o;
}

static store_authz authz(const char *id, const char *of, const char *value) {
    store_authz z = {.wildcard = false};
    (void)snprintf(z.id, sizeof z.id, "%s", id);
    (void)snprintf(z.order, sizeof z.order, "%s", of);
    (void)snprintf(z.type, sizeof z.type, "dns");
    (void)snprintf(z.value, sizeof z.value, "%s", value);
    (void)snprintf(z.token, sizeof z.token, "token");
    return z;
}

static void a_key_has_one_account(void **state) {
    CS_AUTO(store) st = opened();
    store_account a = account("a1", "k1", ""), b = account("a2", "k1", ""), got;
    uint64_t n = 0;
    assert_ok(store_account_add(st, &a, &err));
    assert_fails(store_account_add(st, &b, &err), CS_R_ACCOUNT_KEY_IN_USE);
    b = account("a2", "k2", "");
    assert_ok(store_account_add(st, &b, &err));
    assert_fails(store_account_key_set(st, "a2", "k1", CS_VIEW_LIT("key"), &err), CS_R_ACCOUNT_KEY_IN_USE);
    assert_ok(store_account_key_set(st, "a2", "k3", CS_VIEW_LIT("other"), &err));
    assert_ok(store_account_by_key(st, "k3", &got, &err));
    assert_string_equal(got.id, "a2");
    assert_int_equal(got.spki_n, 5);
    assert_fails(store_account_by_key(st, "k2", &got, &err), CS_R_ACCOUNT_UNKNOWN);
    assert_ok(store_account_set(st, "a1", "[\"mailto:x@y\"]", true, &err));
    assert_ok(store_account_get(st, "a1", &got, &err));
    assert_true(got.deactivated);
    assert_string_equal(got.contact, "[\"mailto:x@y\"]");
    assert_ok(store_account_count(st, &n, &err));
    assert_int_equal(n, 2);
    assert_ok(store_commit(st, &err));
}

static void an_account_is_a_use_of_its_token(void **state) {
    CS_AUTO(store) st = opened();
    store_token t = {.kind = CS_KIND_SERVER, .id = "t1", .name = "gw", .created = 1, .not_after = 100, .uses = 1};
    store_account a = account("a1", "k1", "t1"), b = account("a2", "k2", "t1");
    assert_ok(store_token_add(st, &t, &err));
    assert_ok(store_account_add(st, &a, &err));
    assert_ok(store_token_claim(st, "t1", 50, &err));
    assert_ok(store_token_get(st, "t1", &t, &err));
    assert_int_equal(t.used, 1);
    assert_ok(store_account_add(st, &b, &err));
    assert_fails(store_token_claim(st, "t1", 50, &err), CS_R_TOKEN_INVALID);
    assert_ok(store_commit(st, &err));
}

static cs_status count(void *cls, const store_authz *z, cs_err *ignored) {
    (void)z, (void)ignored;
    ++*(size_t *)cls;
    return CS_OK;
}

static void an_order_is_what_its_authorizations_are(void **state) {
    CS_AUTO(store) st = opened();
    store_order o = order("o1", "0a", 100), again = order("o2", "0a", 100), got;
    store_authz first = authz("z1", "o1", "a.example"), second = authz("z2", "o1", "b.example"), z;
    size_t seen = 0;
    uint64_t n = 0;
    assert_ok(store_order_add(st, &o, &err));
    assert_fails(store_order_add(st, &again, &err), CS_R_ALREADY_REPLACED);
    assert_ok(store_authz_add(st, &first, &err));
    assert_ok(store_authz_add(st, &second, &err));
    assert_ok(store_order_get(st, "o1", &got, &err));
    assert_int_equal(got.unproven, 2);
    first.status = AUTHZ_VALID;
    assert_ok(store_authz_set(st, &first, &err));
    assert_fails(store_authz_set(st, &first, &err), CS_R_ORDER_NOT_READY); /* decided */
    assert_ok(store_authz_count(st, "a1", "dns", "a.example", false, 50, &n, &err));
    assert_int_equal(n, 1);
    assert_ok(store_authz_count(st, "a1", "dns", "a.example", false, 101, &n, &err));
    assert_int_equal(n, 0);
    first.status = AUTHZ_DEACTIVATED;
    assert_ok(store_authz_set(st, &first, &err));
    assert_ok(store_order_get(st, "o1", &got, &err));
    assert_int_equal(got.unproven, 2);
    assert_int_equal(got.failed, 1);
    assert_ok(store_authz_get(st, "z2", &z, &err));
    assert_string_equal(z.account, "a1");
    assert_int_equal(z.expires, 100);
    assert_ok(store_authz_list(st, "o1", count, &seen, &err));
    assert_int_equal(seen, 2);
    assert_ok(store_commit(st, &err));
}

static void an_order_is_decided_once_and_goes_when_it_expires(void **state) {
    CS_AUTO(store) st = opened();
    store_order o = order("o1", "", 100), got;
    store_authz z = authz("z1", "o1", "a.example");
    uint64_t n = 0;
    assert_ok(store_order_add(st, &o, &err));
    assert_ok(store_authz_add(st, &z, &err));
    assert_ok(store_order_count(st, "a1", 50, &n, &err));
    assert_int_equal(n, 1);
    o.status = ORDER_VALID;
    (void)snprintf(o.serial, sizeof o.serial, "0b");
    assert_ok(store_order_set(st, &o, &err));
    assert_fails(store_order_set(st, &o, &err), CS_R_ORDER_NOT_READY);
    assert_ok(store_order_by_serial(st, "0b", &got, &err));
    assert_ok(store_order_count(st, "a1", 50, &n, &err));
    assert_int_equal(n, 0);
    assert_ok(store_acme_purge(st, 100, &err));
    assert_ok(store_order_get(st, "o1", &got, &err));
    assert_ok(store_acme_purge(st, 101, &err));
    assert_fails(store_order_get(st, "o1", &got, &err), CS_R_ORDER_UNKNOWN);
    assert_fails(store_authz_get(st, "z1", &z, &err), CS_R_ORDER_UNKNOWN);
    assert_ok(store_commit(st, &err));
}

static void a_nonce_is_used_once_on_all_nodes(void **state) {
    CS_AUTO(store) st = opened();
    bool is_new = false;
    assert_ok(store_nonce_use(st, "n1", 10, 0, &is_new, &err));
    assert_true(is_new);
    assert_ok(store_nonce_use(st, "n1", 11, 0, &is_new, &err));
    assert_false(is_new);
    assert_ok(store_nonce_use(st, "n2", 100, 50, &is_new, &err)); /* forgets what is older than any good one */
    assert_true(is_new);
    assert_ok(store_nonce_use(st, "n1", 101, 50, &is_new, &err));
    assert_true(is_new);
    assert_ok(store_commit(st, &err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, fresh)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_key_has_one_account),
        TEST(an_account_is_a_use_of_its_token),
        TEST(an_order_is_what_its_authorizations_are),
        TEST(an_order_is_decided_once_and_goes_when_it_expires),
        TEST(a_nonce_is_used_once_on_all_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
