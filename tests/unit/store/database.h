/* The database that the tests of this folder run on. */
#ifndef CS_TEST_DATABASE_H
#define CS_TEST_DATABASE_H

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"
#include "unit.h"

#define UNUSED __attribute__((unused))

/* SQLite's file; or the database that COUNTERSIGN_TEST_STORE names, a URL of PostgreSQL, for the same tests. */
static char path[1024];

UNUSED static bool is_sqlite(void) {
    return !store_is_url(path);
}

/* As somebody else would, beside the store. */
UNUSED static void sql(const char *text) {
    if (is_sqlite()) {
        sqlite3 *db = NULL;
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return;
    }
    PGconn *c = PQconnectdb(path);
    PGresult *r = PQexec(c, text);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) fail_msg("%s", PQerrorMessage(c));
    PQclear(r);
    PQfinish(c);
}

UNUSED static int fresh(void **state) {
    const char *url = getenv("COUNTERSIGN_TEST_STORE");
    if (url != NULL) {
        (void)snprintf(path, sizeof path, "%s", url);
        sql("SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        return 0;
    }
    (void)snprintf(path, sizeof path, "/tmp/cs-unit-store-%d.db", (int)getpid());
    char beside[80];
    (void)unlink(path);
    (void)snprintf(beside, sizeof beside, "%s-wal", path);
    (void)unlink(beside);
    (void)snprintf(beside, sizeof beside, "%s-shm", path);
    (void)unlink(beside);
    return 0;
}

UNUSED static store_cert row(const char *serial, const char *name, cs_time not_after) {
    store_cert c = {.kind = CS_KIND_DEVICE, .created = 1, .not_before = 1, .not_after = not_after};
    (void)snprintf(c.serial, sizeof c.serial, "%s", serial);
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    memset(c.issuer, 7, sizeof c.issuer);
    return c;
}

UNUSED static void issue(store *st, const char *serial, const char *name, cs_time not_after) {
    cs_err err;
    const uint8_t hash[32] = {1};
    store_cert c = row(serial, name, not_after);
    assert_ok(store_begin(st, &err));
    assert_ok(store_intent_add(st, &c, &err));
    assert_ok(store_issued_set(st, serial, "CN=x", hash, CS_VIEW_LIT("der"), &err));
    assert_ok(store_commit(st, &err));
}

#endif
