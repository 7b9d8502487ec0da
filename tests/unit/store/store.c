#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "database.h"

static void what_was_committed_is_there_after_reopening_and_what_was_not_is_not(void **state) {
    cs_err err;
    store *st = NULL;
    store_cert got, c = row("0b", "pump", 100);
    assert_ok(store_open(path, &st, &err));
    issue(st, "0a", "pump", 100);
    assert_ok(store_begin(st, &err));
    assert_ok(store_intent_add(st, &c, &err));
    store_free(st);
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_cert_by_serial(st, "0a", &got, &err));
    assert_int_equal(got.status, STORE_ISSUED);
    assert_true(cs_view_eq_str(got.der, "der"));
    assert_fails(store_cert_by_serial(st, "0b", &got, &err), CS_R_CERTIFICATE_UNKNOWN);
    store_free(st);
}

static void a_serial_and_an_idempotency_key_are_used_once(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    store_cert c = row("0a", "pump", 100);
    (void)snprintf(c.idempotency_key, sizeof c.idempotency_key, "key");
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_begin(st, &err));
    assert_ok(store_intent_add(st, &c, &err));
    c.idempotency_key[0] = '\0';
    assert_fails(store_intent_add(st, &c, &err), CS_R_SERIAL_REUSED);
    (void)snprintf(c.idempotency_key, sizeof c.idempotency_key, "key");
    (void)snprintf(c.serial, sizeof c.serial, "0b");
    assert_fails(store_intent_add(st, &c, &err), CS_R_IDEMPOTENCY_CONFLICT);
    assert_ok(store_commit(st, &err)); /* what was refused did not spoil the rest */
    assert_ok(store_cert_by_key(st, "key", &c, &err));
    assert_string_equal(c.serial, "0a");
}

static const uint8_t some_ca[32] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
                                    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}; /* as row() has it */

static cs_status count_revoked(void *cls, const store_revocation *r, cs_err *err) {
    size_t *n = cls;
    assert_int_equal(r->issuer.n, 32);
    (*n)++;
    return CS_OK;
}

static void an_intent_without_end_is_revoked_on_sight(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    store_cert c = row("0a", "pump", 100);
    size_t n = 0, listed = 0;
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_begin(st, &err));
    assert_ok(store_intent_add(st, &c, &err));
    assert_ok(store_intents_abandon(st, 50, &n, &err));
    assert_ok(store_commit(st, &err));
    assert_int_equal(n, 1);
    assert_ok(store_revoked(st, some_ca, 0, 0, count_revoked, &listed, &err));
    assert_int_equal(listed, 1);
    listed = 0;
    assert_ok(store_feed_after(st, 0, count_revoked, &listed, &err));
    assert_int_equal(listed, 1);
    assert_ok(store_begin(st, &err)); /* its serial stays used */
    assert_fails(store_intent_add(st, &c, &err), CS_R_SERIAL_REUSED);
    store_rollback(st);
}

static void revoking_is_once_but_a_hold_can_end_either_way(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    uint64_t sequence = 0;
    size_t n = 0;
    assert_ok(store_open(path, &st, &err));
    issue(st, "0a", "pump", 100);
    assert_ok(store_begin(st, &err));
    assert_ok(store_revoke(st, "0a", 6, 10, &sequence, &err));
    assert_int_equal(sequence, 1);
    assert_fails(store_revoke(st, "0a", 6, 11, &sequence, &err), CS_R_ALREADY_REVOKED);
    assert_ok(store_release(st, "0a", 12, &sequence, &err));
    assert_int_equal(sequence, 2);
    assert_fails(store_release(st, "0a", 13, &sequence, &err), CS_R_CERTIFICATE_UNKNOWN);
    assert_ok(store_revoke(st, "0a", 6, 14, &sequence, &err));
    assert_ok(store_revoke(st, "0a", 1, 15, &sequence, &err));
    assert_fails(store_revoke(st, "0a", 4, 16, &sequence, &err), CS_R_ALREADY_REVOKED);
    assert_fails(store_revoke(st, "0b", 4, 16, &sequence, &err), CS_R_CERTIFICATE_UNKNOWN);
    assert_ok(store_commit(st, &err));
    assert_ok(store_feed_after(st, 2, count_revoked, &n, &err));
    assert_int_equal(n, 2);
    n = 0;
    assert_ok(store_revoked(st, some_ca, 0, 99, count_revoked, &n, &err));
    assert_int_equal(n, 1);
    n = 0;
    assert_ok(store_revoked(st, some_ca, 0, 100, count_revoked, &n, &err)); /* it has ended: off the list */
    assert_int_equal(n, 0);
}

typedef struct seen {
    size_t n;
    char serials[8][STORE_SERIAL_TEXT];
} seen;

static cs_status see(void *cls, const store_cert *c, cs_err *err) {
    seen *s = cls;
    (void)snprintf(s->serials[s->n++], STORE_SERIAL_TEXT, "%s", c->serial);
    return CS_OK;
}

static void lists_are_newest_first_filtered_and_paged(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    uint64_t sequence = 0;
    assert_ok(store_open(path, &st, &err));
    issue(st, "0a", "a", 100);
    issue(st, "0b", "b", 20);
    issue(st, "0c", "a", 100);
    assert_ok(store_begin(st, &err));
    assert_ok(store_revoke(st, "0a", 4, 10, &sequence, &err));
    assert_ok(store_commit(st, &err));
    seen all = {0}, valid = {0}, expired = {0}, gone = {0}, held = {0}, named = {0}, page = {0};
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10}, 50, see, &all, &err));
    assert_int_equal(all.n, 3);
    assert_string_equal(all.serials[0], "0c");
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10, .state = STORE_VALID}, 50, see, &valid, &err));
    assert_int_equal(valid.n, 1);
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10, .state = STORE_EXPIRED}, 50, see, &expired, &err));
    assert_string_equal(expired.serials[0], "0b");
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10, .state = STORE_GONE}, 50, see, &gone, &err));
    assert_string_equal(gone.serials[0], "0a");
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10, .name = "a' OR '1'='1"}, 50, see, &named, &err));
    assert_int_equal(named.n, 0);
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10, .name = "a"}, 50, see, &named, &err));
    assert_int_equal(named.n, 2);
    assert_string_equal(named.serials[0], "0c");
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10, .state = STORE_HELD}, 50, see, &held, &err));
    assert_int_equal(held.n, 0);
    assert_ok(store_begin(st, &err));
    assert_ok(store_revoke(st, "0c", 6, 10, &sequence, &err));
    assert_ok(store_cert_list(st, &(store_filter){.limit = 10, .state = STORE_HELD}, 50, see, &held, &err));
    store_rollback(st);
    assert_int_equal(held.n, 1);
    assert_string_equal(held.serials[0], "0c");
    assert_ok(store_cert_list(st, &(store_filter){.limit = 1, .after = "0c"}, 50, see, &page, &err));
    assert_int_equal(page.n, 1);
    assert_string_equal(page.serials[0], "0b");
    store_counts counts;
    assert_ok(store_count(st, 50, &counts, &err));
    assert_int_equal(counts.issued[CS_KIND_DEVICE], 3);
    assert_true(counts.valid == 1 && counts.revoked == 1 && counts.expired == 1);
}

static void crl_numbers_only_rise_even_when_one_was_never_signed(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    store_crl crl = {0}, last;
    assert_ok(store_open(path, &st, &err));
    assert_fails(store_crl_last(st, crl.issuer, 0, false, &last, &err), CS_R_STATE_MISSING);
    assert_ok(store_begin(st, &err));
    assert_ok(store_crl_intend(st, 1, &crl, &err));
    assert_int_equal(crl.number, 1);
    assert_ok(store_crl_intend(st, 1, &crl, &err));
    assert_int_equal(crl.number, 2);
    assert_ok(store_crl_intend(st, 40, &crl, &err)); /* the signer has seen 39 */
    assert_int_equal(crl.number, 40);
    crl.size = 7;
    assert_ok(store_crl_publish(st, &crl, &err));
    assert_ok(store_commit(st, &err));
    assert_ok(store_crl_last(st, crl.issuer, 0, false, &last, &err));
    assert_true(last.number == 40 && last.size == 7 && last.base == 0);
}

typedef struct listed {
    int n, reasons[8];
    char serials[8];
} listed;

static cs_status take_listed(void *cls, const store_revocation *r, cs_err *err) {
    listed *l = cls;
    (void)err;
    assert_true(l->n < 8);
    l->serials[l->n] = (char)r->serial.p[0];
    l->reasons[l->n++] = r->reason;
    return CS_OK;
}

static void lists_by_shard_and_what_changed_since_one(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    uint64_t seq[5] = {0};
    listed all = {0}, one = {0}, since = {0};
    unsigned most = 0;
    assert_ok(store_open(path, &st, &err));
    for (unsigned i = 0; i < 4; i++) {
        char serial[3] = {'0', (char)('a' + (char)i), '\0'};
        store_cert c = {.kind = CS_KIND_DEVICE, .not_after = 100, .shard = i % 2 + 1};
        (void)snprintf(c.serial, sizeof c.serial, "%s", serial);
        (void)snprintf(c.name, sizeof c.name, "x");
        memcpy(c.issuer, some_ca, sizeof c.issuer);
        assert_ok(store_begin(st, &err));
        assert_ok(store_intent_add(st, &c, &err));
        assert_ok(store_issued_set(st, serial, "", some_ca, CS_VIEW_LIT("der"), &err));
        assert_ok(store_revoke(st, serial, 6, 10, &seq[i], &err));
        assert_ok(store_commit(st, &err));
    }
    assert_ok(store_begin(st, &err));
    assert_ok(store_release(st, "0c", 20, &seq[4], &err));
    assert_ok(store_point_add(st, some_ca, 2, "http://a/", 1, &err));
    assert_ok(store_commit(st, &err));
    assert_ok(store_revoked(st, some_ca, 0, 0, take_listed, &all, &err));
    assert_ok(store_revoked(st, some_ca, 1, 0, take_listed, &one, &err));
    assert_true(all.n == 3 && one.n == 1 && one.serials[0] == 0x0a);
    assert_ok(store_changed(st, some_ca, 1, seq[1], 0, take_listed, &since, &err));
    assert_true(since.n == 1 && since.serials[0] == 0x0c && since.reasons[0] == 8);
    assert_ok(store_shard_max(st, some_ca, &most, &err));
    assert_int_equal(most, 2);
}

static void a_delta_counts_from_the_list_before_the_newest_while_that_is_good(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    store_crl base;
    assert_ok(store_open(path, &st, &err));
    assert_fails(store_crl_base(st, some_ca, 0, 0, &base, &err), CS_R_STATE_MISSING);
    for (int i = 0; i < 4; i++) {
        store_crl crl = {.this_update = i * 10, .next_update = i * 10 + 25, .base = i == 3 ? 2 : 0, .size = 1};
        memcpy(crl.issuer, some_ca, sizeof crl.issuer);
        assert_ok(store_begin(st, &err));
        assert_ok(store_crl_intend(st, 1, &crl, &err));
        assert_ok(store_crl_publish(st, &crl, &err));
        assert_ok(store_commit(st, &err));
    }
    assert_ok(store_crl_base(st, some_ca, 0, 30, &base, &err));
    assert_int_equal(base.number, 2);
    assert_ok(store_crl_base(st, some_ca, 0, 35, &base, &err)); /* it has ended */
    assert_int_equal(base.number, 3);
    assert_ok(store_crl_last(st, some_ca, 0, true, &base, &err));
    assert_true(base.number == 4 && base.base == 2);
}

static void a_changed_audit_record_is_found(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    uint64_t n = 0;
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_begin(st, &err));
    for (int i = 0; i < 3; i++)
        assert_ok(store_log_add(
            st, &(store_record){.at = i, .event = "x", .by = "y", .record = CS_VIEW_LIT("{\"event\":\"x\"}")}, &err));
    assert_ok(store_commit(st, &err));
    assert_ok(store_log_check(st, &n, &err));
    assert_int_equal(n, 3);
    store_free(CS_TAKE(st));
    sql("UPDATE log SET record = '{\"event\":\"y\"}' WHERE sequence = 2");
    assert_ok(store_open(path, &st, &err));
    assert_fails(store_log_check(st, &n, &err), CS_R_STATE_CORRUPT);
}

static void a_file_that_is_no_database_is_refused(void **state) {
    cs_err err;
    store *st = NULL;
    if (!is_sqlite()) {
        print_message("skipped: only SQLite keeps its database in a file of ours\n");
        skip();
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++) (void)fputs("not a database ", f);
    (void)fclose(f);
    assert_fails(store_open(path, &st, &err), CS_R_STATE_CORRUPT);
}

static void a_compromised_key_is_remembered_and_a_superseded_one_is_not(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    uint64_t sequence = 0;
    store_cert key = row("0c", "a", 100), other = row("0c", "a", 100);
    other.spki_sha256[0] ^= 1;
    assert_ok(store_open(path, &st, &err));
    issue(st, "0a", "a", 100);
    issue(st, "0b", "a", 100);
    assert_ok(store_key_check(st, &key, true, &err));
    assert_ok(store_begin(st, &err));
    assert_ok(store_revoke(st, "0a", 4, 10, &sequence, &err));
    assert_ok(store_key_check(st, &key, true, &err));
    assert_ok(store_revoke(st, "0b", 1, 10, &sequence, &err));
    assert_fails(store_key_check(st, &key, true, &err), CS_R_KEY_COMPROMISED);
    assert_ok(store_key_check(st, &other, true, &err));
    assert_ok(store_commit(st, &err));
}

static void a_key_of_another_identity_is_told(void **state) {
    cs_err err;
    CS_AUTO(store) st = NULL;
    store_cert same = row("0c", "a", 100), thief = row("0c", "b", 100), user = row("0c", "a", 100);
    user.kind = user.kind == CS_KIND_USER ? CS_KIND_DEVICE : CS_KIND_USER;
    assert_ok(store_open(path, &st, &err));
    issue(st, "0a", "a", 100);
    same.created = thief.created = user.created = 50;
    assert_ok(store_key_check(st, &same, false, &err));
    assert_ok(store_key_check(st, &thief, true, &err));
    assert_fails(store_key_check(st, &thief, false, &err), CS_R_KEY_SHARED);
    assert_non_null(strstr(err.detail, "serial 0a"));
    assert_fails(store_key_check(st, &user, false, &err), CS_R_KEY_SHARED);
    thief.created = 100; /* the other's has ended */
    assert_ok(store_key_check(st, &thief, false, &err));
}

static void sql_file(const char *name) {
    char at[1024];
    static char text[1 << 16];
    (void)snprintf(at, sizeof at, "%s/%s", SQL_FOLDER, name);
    FILE *f = fopen(at, "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    sql(text);
}

/* A database as version 3 left it, with a certificate in it. */
static void make_version_3(void) {
    if (!is_sqlite()) sql("CREATE DOMAIN blob AS bytea");
    sql_file("001_first.sql");
    sql_file("002_compromised_keys.sql");
    sql_file("003_counts_and_crls.sql");
    sql(is_sqlite() ? "PRAGMA user_version = 3" : "INSERT INTO meta (name, value) VALUES ('schema', '3')");
    sql("INSERT INTO certificates (serial, sequence, kind, name, status, issuer, spki_sha256, tbs_sha256, "
        "request_sha256, created, not_before, not_after) VALUES ('0a', 1, 'device', 'pump', 1, 'i', 's', 't', 'r', 1, "
        "1, 100)");
}

static void an_older_schema_is_brought_up_to_date_and_a_newer_one_is_refused(void **state) {
    cs_err err;
    store *st = NULL;
    store_cert got;
    make_version_3();
    assert_ok(store_open(path, &st, &err));
    assert_ok(store_cert_by_serial(st, "0a", &got, &err));
    assert_string_equal(got.name, "pump");
    issue(st, "0b", "a", 100);
    store_free(st);
    sql(is_sqlite() ? "PRAGMA user_version = 9999" : "UPDATE meta SET value = '9999' WHERE name = 'schema'");
    assert_fails(store_open(path, &st, &err), CS_R_STORE_SCHEMA_NEWER);
}

static void a_password_in_the_url_is_refused_and_not_repeated(void **state) {
    static const char *const urls[] = {"postgresql://app:hush-hush@127.0.0.1:1/x",
                                       "postgresql://app@127.0.0.1:1/x?password=hush-hush"};
    for (size_t i = 0; i < 2; i++) {
        cs_err err;
        store *st = NULL;
        assert_fails(store_open(urls[i], &st, &err), CS_R_CONFIG_INVALID);
        assert_null(strstr(err.detail, "hush-hush"));
    }
}

static void a_database_that_is_not_there_is_said_to_be_unreachable(void **state) {
    cs_err err;
    store *st = NULL;
    assert_fails(store_open("postgresql://app@127.0.0.1:1/x", &st, &err), CS_R_STORE_UNREACHABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_committed_is_there_after_reopening_and_what_was_not_is_not, fresh,
                                        fresh),
        cmocka_unit_test_setup_teardown(a_serial_and_an_idempotency_key_are_used_once, fresh, fresh),
        cmocka_unit_test_setup_teardown(an_intent_without_end_is_revoked_on_sight, fresh, fresh),
        cmocka_unit_test_setup_teardown(revoking_is_once_but_a_hold_can_end_either_way, fresh, fresh),
        cmocka_unit_test_setup_teardown(lists_are_newest_first_filtered_and_paged, fresh, fresh),
        cmocka_unit_test_setup_teardown(crl_numbers_only_rise_even_when_one_was_never_signed, fresh, fresh),
        cmocka_unit_test_setup_teardown(lists_by_shard_and_what_changed_since_one, fresh, fresh),
        cmocka_unit_test_setup_teardown(a_delta_counts_from_the_list_before_the_newest_while_that_is_good, fresh,
                                        fresh),
        cmocka_unit_test_setup_teardown(a_changed_audit_record_is_found, fresh, fresh),
        cmocka_unit_test_setup_teardown(a_key_of_another_identity_is_told, fresh, fresh),
        cmocka_unit_test_setup_teardown(a_compromised_key_is_remembered_and_a_superseded_one_is_not, fresh, fresh),
        cmocka_unit_test_setup_teardown(an_older_schema_is_brought_up_to_date_and_a_newer_one_is_refused, fresh, fresh),
        cmocka_unit_test(a_password_in_the_url_is_refused_and_not_repeated),
        cmocka_unit_test(a_database_that_is_not_there_is_said_to_be_unreachable),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_database_is_refused, fresh, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
