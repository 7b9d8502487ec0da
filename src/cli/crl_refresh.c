#include "cli/crl_refresh.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fetch/fetch.h"
#include "io/files.h"
#include "io/loop.h"
#include "verify/verify.h"
#include "x509/crl.h"
#include "x509/pem.h"
#include "x509/points.h"

enum { LISTS_MAX = 32, WORDS_MAX = 32, COMMAND_MAX = 1024 };

typedef struct list {
    struct refreshing *of;
    char url[FETCH_URL_MAX];
    cs_crl *crl;
    cs_status status;
    cs_err err;
} list;

typedef struct refreshing {
    const crl_refresh_ask *ask;
    cs_certs bag;
    list lists[LISTS_MAX];
    size_t n, left;
    loop *l;
} refreshing;

static void refreshing_free(refreshing *w) {
    for (size_t i = 0; i < w->n; i++) cs_crl_free(w->lists[i].crl);
    cs_certs_free(&w->bag);
}

/* ---- which ---- */

static cs_status add_url(refreshing *w, cs_view url, cs_err *err) {
    char text[FETCH_URL_MAX];
    if (url.n == 0 || url.n >= sizeof text || memchr(url.p, 0, url.n) != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "a CRL's URL of %zu octets", url.n);
    (void)snprintf(text, sizeof text, "%.*s", (int)url.n, (const char *)url.p);
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->lists[i].url, text) == 0) return CS_OK;
    if (w->n == LISTS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d CRLs", LISTS_MAX);
    list *one = &w->lists[w->n++];
    *one = (list){.of = w};
    (void)snprintf(one->url, sizeof one->url, "%s", text);
    return CS_OK;
}

/* The first URL of each certificate: those after it are the same list elsewhere. */
static cs_status gather(refreshing *w, cs_err *err) {
    for (size_t i = 0; i < w->ask->of->n; i++) {
        CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
        TRY(files_read(w->ask->of->at[i], CS_PEM_FILE_MAX, &text, err));
        TRY(cs_certs_read(cs_buf_view(&text), w->ask->of->at[i], &w->bag, err));
    }
    for (size_t i = 0; i < w->bag.n; i++) {
        cs_view urls[CS_POINTS_MAX];
        if (cs_cert_points(w->bag.at[i], CS_POINT_CRL, urls) > 0) TRY(add_url(w, urls[0], err));
    }
    for (size_t i = 0; i < w->ask->url->n; i++) TRY(add_url(w, cs_view_str(w->ask->url->at[i]), err));
    if (w->n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s and the others name no CRL; say where one is: --url http://...",
                       w->ask->of->at[0]);
    return CS_OK;
}

/* ---- fetched and judged ---- */

static void on_done(void *data, cs_status s, cs_buf *body, const cs_err *why) {
    list *one = data;
    one->status = s;
    if (s == CS_OK)
        one->status = cs_crl_decode_take(body, &one->crl, &one->err);
    else
        one->err = *why;
    if (--one->of->left == 0) loop_stop(one->of->l);
}

/* Where to is the operator's own word, or that of certificates that he trusts: any address will do. */
static cs_status fetch_all(refreshing *w, cs_err *err) {
    addr_range everywhere;
    CS_AUTO(loop) l = NULL;
    CS_AUTO(fetch) f = NULL; /* freed before the loop */
    if (!addr_range_parse("::/0", &everywhere)) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "::/0");
    const fetch_limits limits = {.allow = &everywhere, .allow_count = 1};
    TRY(loop_new(cs_clock_system(), &l, err));
    TRY(fetch_new(l, &limits, &f, err));
    w->l = l;
    for (size_t i = 0; i < w->n; i++) {
        const fetch_ask ask = {.url = w->lists[i].url, .most = CS_CRL_MAX};
        TRY(fetch_start(f, &ask, on_done, &w->lists[i], err));
        w->left++;
    }
    loop_run(l);
    for (size_t i = 0; i < w->n; i++) {
        if (w->lists[i].status == CS_OK) continue;
        *err = w->lists[i].err;
        return w->lists[i].status;
    }
    return CS_OK;
}

static cs_status judge(const refreshing *w, const list *one, cs_time now, cs_err *err) {
    const cs_crl *c = one->crl;
    bool named = false, good = false;
    for (size_t i = 0; i < w->bag.n && !good; i++) {
        if (!cs_view_eq(w->bag.at[i]->subject, c->issuer)) continue;
        named = true;
        good = cs_sig_ok(w->bag.at[i], &c->alg, c->tbs, c->sig);
    }
    if (!named)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER,
                       "%s: none of the certificates given is its issuer's; give that too with --of", one->url);
    if (!good) return cs_fail(err, CS_REFUSED, CS_R_CRL_SIGNATURE_INVALID, "%s", one->url);
    if (c->is_delta)
        return cs_fail(err, CS_REFUSED, CS_R_CRL_INVALID, "%s: a delta CRL; servers read complete ones", one->url);
    if (c->this_update > now) return cs_fail(err, CS_REFUSED, CS_R_CRL_NOT_YET_VALID, "%s", one->url);
    if (c->has_next_update && c->next_update < now) return cs_fail(err, CS_REFUSED, CS_R_CRL_STALE, "%s", one->url);
    return CS_OK;
}

/* ---- put there ---- */

static cs_status check_age(const crl_refresh_ask *ask, cs_view new, cs_view old, cs_err *err) {
    CS_AUTO(cs_crls) now = NULL;
    CS_AUTO(cs_crls) before = NULL;
    cs_err none;
    TRY(cs_crls_new(&now, err));
    TRY(cs_crls_new(&before, err));
    TRY(cs_crls_read(now, new, "what came", err));
    if (cs_crls_read(before, old, ask->out, &none) != CS_OK)
        return CS_OK; /* what cannot be read is no reason to stay */
    return cs_crls_no_older(now, before, ask->out, err);
}

/* Cuts text into words, in place; NULL ends them. */
static size_t cut(char *text, char *words[WORDS_MAX + 1]) {
    size_t n = 0;
    while (n < WORDS_MAX && *(text += strspn(text, " ")) != '\0') {
        words[n++] = text;
        text += strcspn(text, " ");
        if (*text != '\0') *text++ = '\0';
    }
    words[n] = NULL;
    return n;
}

static cs_status run_then(const char *command, cs_err *err) {
    extern char **environ;
    char text[COMMAND_MAX], *words[WORDS_MAX + 1];
    pid_t pid = 0;
    int status = 0;
    if (strlen(command) >= sizeof text) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "--then is too long");
    (void)snprintf(text, sizeof text, "%s", command);
    if (cut(text, words) == 0) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--then is empty");
    int code = posix_spawnp(&pid, words[0], NULL, NULL, words, environ);
    if (code != 0) return cs_fail_errno(err, code, CS_R_PROCESS_FAILED, "%s", words[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "\"%s\" ended with %d; the CRLs are new all the same", command,
                   WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static cs_status put(const refreshing *w, crl_refresh_made *ret, cs_err *err) {
    const crl_refresh_ask *ask = w->ask;
    CS_SCOPED(cs_buf) crls = cs_buf_of((size_t)2 * CS_CRL_MAX), whole = cs_buf_of((size_t)3 * CS_CRL_MAX);
    CS_SCOPED(cs_buf) old = cs_buf_of((size_t)3 * CS_CRL_MAX);
    for (size_t i = 0; i < w->n; i++) {
        (void)cs_pem_add(&crls, CS_PEM_CRL, w->lists[i].crl->der);
        ret->entries += w->lists[i].crl->count;
    }
    ret->lists = w->n;
    if (ask->with != NULL) TRY(files_read(ask->with, CS_PEM_FILE_MAX, &whole, err));
    (void)cs_buf_add_view(&whole, cs_buf_view(&crls));
    TRY(cs_buf_ok(&crls, "the CRLs", err));
    TRY(cs_buf_ok(&whole, "the CRLs", err));
    if (files_exists(ask->out)) {
        TRY(files_read(ask->out, (size_t)3 * CS_CRL_MAX, &old, err));
        if (cs_view_eq(cs_buf_view(&old), cs_buf_view(&whole))) return CS_OK;
        TRY(check_age(ask, cs_buf_view(&crls), cs_buf_view(&old), err));
    }
    TRY(files_write(ask->out, cs_buf_view(&whole), 0644, FILES_REPLACE, err));
    ret->changed = true;
    return ask->then != NULL ? run_then(ask->then, err) : CS_OK;
}

cs_status crl_refresh(const crl_refresh_ask *ask, cs_time now, crl_refresh_made *ret, cs_err *err) {
    __attribute__((cleanup(refreshing_free))) refreshing w = {.ask = ask};
    *ret = (crl_refresh_made){.lists = 0};
    TRY(gather(&w, err));
    TRY(fetch_all(&w, err));
    for (size_t i = 0; i < w.n; i++) TRY(judge(&w, &w.lists[i], now, err));
    return put(&w, ret, err);
}
