#include "fetch/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "io/net.h"

typedef struct job job;
struct job {
    fetch *f;
    job *next, **at;
    CURL *curl;
    struct curl_slist *fields;
    cs_buf body;
    bool forbidden, too_large;
    char where[NET_TEXT_MAX], url[FETCH_URL_MAX + 1];
    addr_class is;
    fetch_done *done;
    void *data;
};

struct fetch {
    loop *l;
    fetch_limits limits;
    CURLM *multi;
    loop_timer timer;
    loop_task kick;
    bool kicked, dead;
    job *jobs;
    unsigned count;
};

static void free_job(job *j) {
    if (j->at) {
        *j->at = j->next;
        if (j->next) j->next->at = j->at;
        j->f->count--;
    }
    if (j->curl) {
        (void)curl_multi_remove_handle(j->f->multi, j->curl);
        curl_easy_cleanup(j->curl);
    }
    curl_slist_free_all(j->fields);
    cs_buf_free(&j->body);
    free(j);
}

/* ---- what libcurl asks while it works ---- */

static bool allowed(const job *j, const struct sockaddr *a) {
    for (unsigned i = 0; i < j->f->limits.allow_count; i++)
        if (addr_range_has(&j->f->limits.allow[i], a)) return true;
    return false;
}

static curl_socket_t on_open(void *data, curlsocktype purpose, struct curl_sockaddr *a) {
    job *j = data;
    net_addr at;
    (void)purpose;
    if (a->addrlen > sizeof at.at) return CURL_SOCKET_BAD;
    memcpy(&at.at, &a->addr, a->addrlen);
    at.len = a->addrlen;
    addr_class is = addr_class_of(&a->addr);
    if (is != ADDR_GLOBAL && !allowed(j, &a->addr)) {
        j->forbidden = true;
        j->is = is;
        (void)net_addr_text(&at, false, j->where);
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_body(char *p, size_t size, size_t n, void *data) {
    job *j = data;
    if (cs_buf_add(&j->body, p, size * n)) return size * n;
    j->too_large = true;
    return 0;
}

/* ---- the loop ---- */

static void collect(fetch *f);

static void act(fetch *f, curl_socket_t fd, int events) {
    int running = 0;
    (void)curl_multi_socket_action(f->multi, fd, events, &running);
    collect(f);
}

typedef struct watched {
    fetch *f;
    loop_watch *watch;
    curl_socket_t fd;
} watched;

static void on_event(void *data, unsigned events) {
    watched *w = data;
    int mask = ((events & LOOP_READ) ? CURL_CSELECT_IN : 0) | ((events & LOOP_WRITE) ? CURL_CSELECT_OUT : 0);
    act(w->f, w->fd, mask);
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *data, void *known) {
    fetch *f = data;
    watched *w = known;
    cs_err err;
    (void)curl;
    if (what == CURL_POLL_REMOVE) {
        if (w) loop_watch_release(w->watch);
        free(w);
        return 0;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w) return -1;
        w->f = f, w->fd = fd;
        if (loop_watch_new(f->l, fd, on_event, w, &w->watch, &err) != CS_OK) {
            free(w);
            return -1;
        }
        (void)curl_multi_assign(f->multi, fd, w);
    }
    loop_watch_set(w->watch, ((what & CURL_POLL_IN) ? LOOP_READ : 0U) | ((what & CURL_POLL_OUT) ? LOOP_WRITE : 0U));
    return 0;
}

static void on_timer(void *data) {
    act(data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_kick(void *data) {
    fetch *f = data;
    f->kicked = false;
    if (f->dead)
        free(f);
    else
        act(f, CURL_SOCKET_TIMEOUT, 0);
}

static int on_wait(CURLM *multi, long ms, void *data) {
    fetch *f = data;
    (void)multi;
    loop_timer_clear(f->l, &f->timer);
    f->timer = (loop_timer){.cb = on_timer, .data = f};
    if (ms > 0) loop_timer_set(f->l, &f->timer, (cs_time)ms * 1000);
    if (ms == 0 && !f->kicked) { /* not within libcurl's own call */
        f->kicked = true;
        f->kick = (loop_task){.cb = on_kick, .data = f};
        loop_later(f->l, &f->kick);
    }
    return 0;
}

/* ---- the end of one ---- */

static cs_status verdict(job *j, CURLcode rc, cs_err *err) {
    long status = 0;
    if (j->forbidden && rc != CURLE_OK)
        return cs_fail(err, CS_REFUSED, CS_R_FETCH_FORBIDDEN, "%s: %s is a %s address", j->url, j->where,
                       addr_class_name(j->is));
    if (j->too_large) return cs_fail(err, CS_LIMIT, CS_R_FETCH_FAILED, "%s: more than %zu octets", j->url, j->body.max);
    if (rc != CURLE_OK) return cs_fail(err, CS_FAILED, CS_R_FETCH_FAILED, "%s: %s", j->url, curl_easy_strerror(rc));
    (void)curl_easy_getinfo(j->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_FETCH_FAILED, "%s: answered with status %ld", j->url, status);
}

static void collect(fetch *f) {
    CURLMsg *m;
    int left = 0;
    while ((m = curl_multi_info_read(f->multi, &left)) != NULL) {
        job *j = NULL;
        cs_err err = {.status = CS_OK};
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode rc = m->data.result;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &j);
        cs_status s = verdict(j, rc, &err);
        j->done(j->data, s, &j->body, &err);
        free_job(j);
    }
}

/* ---- starting ---- */

/* http, a host, no user, a port that a CA's web server may have; unless the policy opens its address, which is asked
 * later. */
static cs_status check_url(const fetch *f, const char *url, cs_err *err) {
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    CURLU *u = strlen(url) <= FETCH_URL_MAX ? curl_url() : NULL;
    bool plain = strncmp(url, "http://", 7) == 0 && url[7] != '/'; /* libcurl forgives more slashes */
    bool ok = u && plain && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && strcmp(scheme, "http") == 0 &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_OK &&
              curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    long number = ok ? strtol(port, NULL, 10) : 0;
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(u);
    if (!ok) return cs_fail(err, CS_REFUSED, CS_R_FETCH_FORBIDDEN, "%.200s: no http://HOST[:PORT]/ URL", url);
    if (number != 80 && number < 1024 && f->limits.allow_count == 0)
        return cs_fail(err, CS_REFUSED, CS_R_FETCH_FORBIDDEN, "%.200s: port %ld", url, number);
    return CS_OK;
}

static bool set_up(job *j, const fetch_ask *ask) {
    CURL *c = j->curl;
    const fetch_limits *l = &j->f->limits;
    char type[128];
    (void)snprintf(type, sizeof type, "Content-Type: %s",
                   ask->content_type ? ask->content_type : "application/octet-stream");
    if (ask->body.n > 0) j->fields = curl_slist_append(NULL, type);
    if (ask->body.n > 0 && !j->fields) return false;
    bool ok =
        curl_easy_setopt(c, CURLOPT_URL, j->url) == CURLE_OK && curl_easy_setopt(c, CURLOPT_PRIVATE, j) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK && curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_USERAGENT, "countersign") == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(l->deadline / 1000)) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(l->connect / 1000)) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_WRITEDATA, j) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, j) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
    if (!ok || ask->body.n == 0) return ok;
    return curl_easy_setopt(c, CURLOPT_HTTPHEADER, j->fields) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)ask->body.n) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, (const char *)ask->body.p) == CURLE_OK;
}

cs_status fetch_start(fetch *f, const fetch_ask *ask, fetch_done *done, void *data, cs_err *err) {
    TRY(check_url(f, ask->url, err));
    if (f->count == FETCH_MAX) return cs_fail(err, CS_LIMIT, CS_R_FETCH_FAILED, "more than %d fetches", FETCH_MAX);
    job *j = calloc(1, sizeof *j);
    if (!j) return CS_NOMEM_ERR(err);
    j->f = f, j->done = done, j->data = data;
    j->body = cs_buf_of(ask->most);
    (void)snprintf(j->url, sizeof j->url, "%s", ask->url);
    j->curl = curl_easy_init();
    bool ok = j->curl && set_up(j, ask) && curl_multi_add_handle(f->multi, j->curl) == CURLM_OK;
    if (!ok) {
        free_job(j);
        return CS_NOMEM_ERR(err);
    }
    j->next = f->jobs;
    j->at = &f->jobs;
    if (f->jobs) f->jobs->at = &j->next;
    f->jobs = j;
    f->count++;
    return CS_OK;
}

cs_status fetch_new(loop *l, const fetch_limits *limits, fetch **ret, cs_err *err) {
    fetch *f = calloc(1, sizeof *f);
    if (!f) return CS_NOMEM_ERR(err);
    f->l = l;
    f->limits = *limits;
    if (f->limits.deadline == 0) f->limits.deadline = 10 * CS_SEC;
    if (f->limits.connect == 0) f->limits.connect = 3 * CS_SEC;
    if (f->limits.at_once == 0) f->limits.at_once = 8;
    f->multi = curl_multi_init();
    bool ok = f->multi && curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
              curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f) == CURLM_OK &&
              curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_wait) == CURLM_OK &&
              curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f) == CURLM_OK &&
              curl_multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)f->limits.at_once) == CURLM_OK;
    if (!ok) {
        (void)curl_multi_cleanup(f->multi);
        free(f);
        return CS_NOMEM_ERR(err);
    }
    *ret = f;
    return CS_OK;
}

void fetch_free(fetch *f) {
    if (!f) return;
    while (f->jobs) free_job(f->jobs);
    (void)curl_multi_cleanup(f->multi);
    loop_timer_clear(f->l, &f->timer);
    f->dead = true;
    if (!f->kicked) free(f); /* else when the loop comes to it */
}
