/* Logins: the first use of an administrator's certificate from an address in an hour is a record, and so is each try of
 * one that is good for nothing, though at most one a minute from an address. What is remembered is this process's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/admins.h"
#include "authority/authority_priv.h"

enum { ROWS = 512 };
#define LOGIN_FRESH CS_HOUR
#define REFUSAL_FRESH CS_MIN

typedef struct login_row {
    char key[STORE_SERIAL_TEXT + 64 + 2]; /* "": free */
    cs_time at;                           /* monotonic */
} login_row;

struct login_desk {
    pthread_mutex_t lock;
    login_row rows[ROWS];
};

cs_status logins_open(authority *a, cs_err *err) {
    a->logins = calloc(1, sizeof *a->logins);
    if (a->logins == NULL) return CS_NOMEM_ERR(err);
    (void)pthread_mutex_init(&a->logins->lock, NULL);
    return CS_OK;
}

void logins_close(authority *a) {
    if (a->logins == NULL) return;
    (void)pthread_mutex_destroy(&a->logins->lock);
    free(a->logins);
}

/* Was it not met within that time? It is met now. When all rows are taken the oldest one is forgotten. */
static bool is_new(authority *a, const char *key, cs_time fresh) {
    struct login_desk *d = a->logins;
    cs_time now = cs_mono(a->clock);
    (void)pthread_mutex_lock(&d->lock);
    login_row *row = &d->rows[0];
    for (size_t i = 0; i < ROWS; i++) {
        bool same = strcmp(d->rows[i].key, key) == 0;
        if (same || d->rows[i].key[0] == '\0' || d->rows[i].at < row->at) row = &d->rows[i];
        if (same || row->key[0] == '\0') break;
    }
    bool fits = strcmp(row->key, key) == 0 && now - row->at < fresh;
    if (!fits) {
        (void)snprintf(row->key, sizeof row->key, "%s", key);
        row->at = now;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return !fits;
}

cs_status admin_login(authority *a, const authority_who *who, unsigned roles, cs_err *err) {
    char key[sizeof a->logins->rows[0].key], has[ROLE_TEXT_MAX], more[ROLE_TEXT_MAX + 8];
    (void)snprintf(key, sizeof key, "+%s %s", who->serial, who->from);
    if (!is_new(a, key, LOGIN_FRESH)) return CS_OK;
    (void)snprintf(more, sizeof more, "roles %s", admin_roles_text(roles, has));
    return authority_note(a, "login", who, NULL, more, err);
}

bool admin_refusal_counts(authority *a, const char *event, const authority_who *who) {
    char key[sizeof a->logins->rows[0].key];
    (void)snprintf(key, sizeof key, "%c%s", event[0], who->from);
    return is_new(a, key, REFUSAL_FRESH);
}
