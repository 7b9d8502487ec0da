/* The connection to PostgreSQL. */
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres_priv.h"

enum { OLDEST = 130000 };

/* Of advisory locks: one for each node that lives, one for whoever publishes. */
#define NODES_CLASS "1668183410"
#define TURN "1668183411, 1"

/* What a session must be like. What is acknowledged is on the server's disk, whatever its default says; a node that
 * hangs inside of a transaction holds up the others for so long and no longer. */
static const char session[] =
    "SET lock_timeout = '10s'; SET statement_timeout = '120s'; SET idle_in_transaction_session_timeout = '60s'; "
    "SET default_transaction_isolation = 'read committed'; SET standard_conforming_strings = on; "
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local'); "
    "CREATE TEMP VIEW nodes_alive AS SELECT CAST(objid AS BIGINT) AS node FROM pg_locks WHERE locktype = 'advisory' "
    "AND "
    "classid = " NODES_CLASS " AND objsubid = 2 AND granted AND "
    "database = (SELECT oid FROM pg_database WHERE datname = current_database())";

static void mute(void *arg, const char *message) {
    (void)arg;
    (void)message; /* notices are no errors, and only the edge logs */
}

/* Shared, so that the end of the connection before need not have been noticed yet. */
cs_status pg_node_set(store *st, cs_err *err) {
    char sql[96];
    if (st->node == 0) return CS_OK;
    (void)snprintf(sql, sizeof sql, "SELECT pg_advisory_lock_shared(" NODES_CLASS ", %lu)", (unsigned long)st->node);
    return pg_exec(st, sql, "node", err);
}

cs_status pg_turn_take(store *st, bool *ret_mine, cs_err *err) {
    uint64_t mine = 0;
    TRY(store_number(st, "SELECT CAST(pg_try_advisory_lock(" TURN ") AS INTEGER)", &mine, err));
    *ret_mine = mine == 1;
    return CS_OK;
}

void pg_turn_end(store *st) {
    cs_err ignored; /* a connection that is lost has ended it */
    (void)pg_exec(st, "SELECT pg_advisory_unlock(" TURN ")", "turn", &ignored);
}

static cs_status connect_now(store *st, cs_err *err) {
    /* Before dbname: what the URL may say otherwise. Of several hosts, the one that writes. */
    static const char *const keys[] = {"fallback_application_name",
                                       "connect_timeout",
                                       "keepalives_idle",
                                       "tcp_user_timeout",
                                       "target_session_attrs",
                                       "client_encoding",
                                       "gssencmode",
                                       "dbname",
                                       NULL};
    const char *const values[] = {"countersign", "3", "10", "10000", "read-write", "UTF8", "disable", st->where, NULL};
    postgres *pg = st->impl;
    PQfinish(pg->c);
    pg->c = PQconnectdbParams(keys, values, 1);
    pg->connection++;
    pg->stale = true;
    pg->listens = pg->streams = false;
    if (pg->c == NULL) return CS_NOMEM_ERR(err);
    (void)PQsetNoticeProcessor(pg->c, mute, NULL);
    if (PQstatus(pg->c) != CONNECTION_OK) {
        const char *text = PQerrorMessage(pg->c);
        return cs_fail(err, CS_FAILED, CS_R_STORE_UNREACHABLE, "%s: %.*s", st->name, (int)strcspn(text, "\n"), text);
    }
    if (PQserverVersion(pg->c) < OLDEST)
        return cs_fail(err, CS_FAILED, CS_R_STORE_FAILED, "%s: PostgreSQL %d; needed is 13 or later", st->name,
                       PQserverVersion(pg->c) / 10000);
    pg->stale = false;
    TRY(pg_exec(st, session, "settings", err));
    if (st->mode != STORE_LIVE) /* upkeep takes as long as it takes */
        TRY(pg_exec(st, "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0", "settings", err));
    return pg_node_set(st, err);
}

cs_status pg_up(store *st, cs_err *err) {
    postgres *pg = st->impl;
    if (pg->c != NULL && !pg->stale && PQstatus(pg->c) == CONNECTION_OK) return CS_OK;
    return connect_now(st, err);
}

static const char *option(const PQconninfoOption *options, const char *key) {
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, key) == 0) return options->val;
    return NULL;
}

/* The name that messages have: whom it leads to, and no secret. */
static cs_status name(store *st, cs_err *err) {
    char *why = NULL;
    PQconninfoOption *o = PQconninfoParse(st->where, &why);
    PQfreemem(why); /* it may quote the URL */
    if (o == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "store: not a URL that PostgreSQL's library reads");
    const char *host = option(o, "host"), *db = option(o, "dbname"), *port = option(o, "port");
    bool secret = option(o, "password") != NULL || option(o, "sslpassword") != NULL;
    (void)snprintf(st->name, sizeof st->name, "postgresql://%s%s%s/%s", host != NULL ? host : "",
                   port != NULL ? ":" : "", port != NULL ? port : "", db != NULL ? db : "");
    PQconninfoFree(o);
    if (!secret) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                   "store: a password does not belong there; put it into a private file and say passfile=FILE");
}

cs_status store_reach_of(const char *where, store_reach *ret, cs_err *err) {
    static const char *const files[] = {"passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"};
    *ret = (store_reach){.inet = false};
    if (!store_is_url(where)) return CS_OK;
    char *why = NULL;
    PQconninfoOption *o = PQconninfoParse(where, &why);
    PQfreemem(why);
    if (o == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "store: not a URL that PostgreSQL's library reads");
    const char *host = option(o, "host"), *address = option(o, "hostaddr");
    ret->inet = address != NULL || (host != NULL && host[0] != '/');
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *file = option(o, files[i]);
        if (file != NULL) (void)snprintf(ret->files[ret->n++], sizeof ret->files[0], "%s", file);
    }
    PQconninfoFree(o);
    return CS_OK;
}

cs_status pg_open(store *st, cs_err *err) {
    postgres *pg = st->impl = calloc(1, sizeof *pg);
    if (pg == NULL) return CS_NOMEM_ERR(err);
    TRY(name(st, err));
    return pg_up(st, err);
}

void pg_close(store *st) {
    postgres *pg = st->impl;
    if (pg == NULL) return;
    PQfinish(pg->c);
    cs_buf_free(&pg->load);
    free(pg);
}

int pg_watch(store *st, bool *ret_anew) {
    postgres *pg = st->impl;
    cs_err ignored;
    if (pg_up(st, &ignored) != CS_OK) return -1;
    if (!pg->listens && pg_exec(st, "LISTEN countersign", "listen", &ignored) != CS_OK) return -1;
    *ret_anew = !pg->listens;
    pg->listens = true;
    return PQsocket(pg->c);
}

bool pg_watched(store *st) {
    postgres *pg = st->impl;
    bool news = false;
    if (PQconsumeInput(pg->c) != 1) pg->stale = news = true;
    for (PGnotify *n = PQnotifies(pg->c); n != NULL; n = PQnotifies(pg->c)) {
        news = true;
        PQfreemem(n);
    }
    return news;
}
