/* The main thread: signals, reload, ticket keys, the feed; and the start and the end of the workers. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "gate/gate_priv.h"
#include "io/spawn.h"

const conf *gate_conf(const gate *g) {
    return g->policy->conf;
}

void gate_ring(gate *g) {
    for (unsigned i = 0; g->serving && i < g->worker_count; i++) loop_ring(g->workers[i].loop);
}

/* One socket, which all threads accept from: those of this family share no address. Whose file it is may connect. */
static cs_status listen_unix(const char *path, int fds[], unsigned count, cs_err *err) {
    if (spawn_answers(path)) return cs_fail(err, CS_FAILED, CS_R_PORT_IN_USE, "unix:%s", path);
    TRY(spawn_listen(path, 0600, &fds[0], err));
    for (unsigned i = 1; i < count; i++) {
        fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
        if (fds[i] >= 0) continue;
        while (i > 0) (void)close(fds[--i]);
        return cs_fail(err, CS_LIMIT, CS_R_TOO_MANY_CONNECTIONS, "unix:%s: no descriptors left", path);
    }
    return CS_OK;
}

/* listen: of a door, for each thread; NULL: plain HTTP, which one thread serves. */
static cs_status open_listener(gate *g, const char *text, int role, const char *listen, cs_err *err) {
    int fds[GATE_THREADS_MAX];
    net_addr at;
    unsigned count = listen != NULL ? g->worker_count : 1, which = g->listener_count;
    if (text == NULL || text[0] == '\0') return CS_OK;
    if (strncmp(text, "unix:", 5) == 0) {
        TRY(listen_unix(text + 5, fds, count, err));
    } else if (strcmp(text, "-") == 0) {
        count = 0;
    } else {
        TRY(net_addr_parse(text, &at, err));
        TRY(net_listen(&at, text, fds, count, err));
    }
    g->listener_count++;
    for (unsigned i = 0; i < g->worker_count; i++)
        g->workers[i].listeners[which] = (listener){.fd = i < count ? fds[i] : -1, .role = role, .listen = listen};
    return CS_OK;
}

static cs_status open_doors(gate *g, cs_err *err) {
    for (unsigned i = 0; i < g->policy->door_count; i++) {
        const gate_door *d = &g->policy->doors[i];
        char *listen = strdup(d->listen);
        if (listen == NULL) return CS_NOMEM_ERR(err);
        g->listens[g->listen_count++] = listen;
        int role = d->protocol == CONF_TCP ? METRIC_LISTENER_TCP : METRIC_LISTENER_HTTPS;
        TRY(open_listener(g, listen, role, listen, err));
    }
    return CS_OK;
}

static unsigned thread_count(const conf *c) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = c->threads > 0 ? c->threads : cores > 0 ? (unsigned)cores : 1;
    return n > GATE_THREADS_MAX ? GATE_THREADS_MAX : n;
}

static cs_status make_workers(gate *g, cs_err *err) {
    const conf *c = g->policy->conf;
    g->worker_count = thread_count(c);
    g->workers = calloc(g->worker_count, sizeof *g->workers);
    g->addresses = calloc(GATE_ADDRESS_SLOTS, sizeof *g->addresses);
    g->rates = calloc(GATE_ADDRESS_SLOTS, sizeof *g->rates);
    if (g->workers == NULL || g->addresses == NULL || g->rates == NULL) return CS_NOMEM_ERR(err);
    TRY(metrics_new(g->worker_count + 1, &g->metrics, err)); /* the last slab is the main thread's */
    for (unsigned i = 0; i < g->worker_count; i++) {
        worker *w = &g->workers[i];
        w->g = g;
        w->index = i;
        w->slab = metrics_slab_of(g->metrics, i);
    }
    TRY(open_doors(g, err));
    /* it has an authority's files; where there is none, only who asks for it gets it */
    if (g->policy->feed || c->http_said) TRY(open_listener(g, c->http, METRIC_LISTENER_HTTP, NULL, err));
    return open_listener(g, c->metrics, METRIC_LISTENER_METRICS, NULL, err);
}

cs_status gate_check(const conf_overrides *said, const cs_clock *clock, const cs_rng *rng, cs_err *err) {
    CS_AUTO(tls_tickets) tickets = NULL;
    CS_AUTO(policy) p = NULL;
    TRY(tls_tickets_new(rng, 0, &tickets, err));
    cs_status s = policy_load(said, tickets, clock, &p, err);
    policy_free(CS_TAKE(p)); /* before its tickets */
    return s;
}

/* Sessions are kept here, or sealed by keys that others have too: what the contexts of all sites are made for. */
static cs_status new_tickets(gate *g, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    TRY(conf_load(g->said, &c, err));
    g->shares = c->ticket_keys != NULL;
    return tls_tickets_new(g->rng, g->shares ? 0 : GATE_SESSIONS, &g->tickets, err);
}

static void share_keys(gate *g, const policy *p) {
    const char *said = p->conf->ticket_keys;
    if (said != NULL && said[0] == '\0')
        tls_tickets_share(g->tickets, (const uint8_t(*)[TLS_TICKET_KEY])g->told_keys, g->told_count);
    tls_tickets_share(g->tickets, (const uint8_t(*)[TLS_TICKET_KEY])p->ticket_keys, p->ticket_key_count);
}

cs_status gate_new(const conf_overrides *said, const cs_clock *clock, const cs_rng *rng, gate **ret, cs_err *err) {
    CS_AUTO(gate) g = calloc(1, sizeof *g);
    if (g == NULL) return CS_NOMEM_ERR(err);
    g->said = said, g->clock = clock, g->rng = rng, g->notify = g->only = -1;
    (void)pthread_mutex_init(&g->lock, NULL);
    TRY(cs_rng_fill(rng, &g->address_seed, sizeof g->address_seed, err));
    TRY(new_tickets(g, err));
    TRY(policy_load(said, g->tickets, clock, &g->policy, err));
    share_keys(g, g->policy);
    TRY(loop_new(clock, &g->loop, err));
    if (!g->policy->conf->tunnel) TRY(control_new(g, &g->control, err));
    TRY(make_workers(g, err));
    *ret = CS_TAKE(g);
    return CS_OK;
}

void gate_free(gate *g) {
    if (g == NULL) return;
    feed_free(g->feed);
    free(g->failed);
    if (g->only >= 0 && !g->serving) net_close(g->only);
    control_free(g->control);
    for (unsigned i = 0; g->workers != NULL && i < g->worker_count; i++) worker_free(&g->workers[i]);
    loop_free(g->loop);
    free(g->workers);
    metrics_free(g->metrics);
    policy_free(g->policy);
    cs_revset_free(g->revset);
    tls_tickets_free(g->tickets);
    cs_wipe(g->told_keys, sizeof g->told_keys);
    free((void *)g->addresses);
    free((void *)g->rates);
    for (unsigned i = 0; i < g->listen_count; i++) free(g->listens[i]);
    (void)pthread_mutex_destroy(&g->lock);
    free(g);
}

void gate_revset(gate *g, cs_revset *take_set) {
    (void)pthread_mutex_lock(&g->lock);
    cs_revset *old = g->revset;
    g->revset = take_set;
    (void)pthread_mutex_unlock(&g->lock);
    cs_revset_free(old);
    gate_ring(g);
}

static cs_status start(gate *g, cs_err *err) {
    for (unsigned i = 0; i < g->worker_count; i++) TRY(worker_start(&g->workers[i], err));
    g->serving = true;
    const conf *c = g->policy->conf;
    log_event e = log_begin(LOG_INFO, "listening");
    if (!c->tunnel) log_str(&e, "https", c->https);
    CS_SCOPED(cs_buf) others = cs_buf_of(64 * GATE_DOORS_MAX);
    for (unsigned i = 0; i < g->listen_count; i++)
        if (strcmp(g->listens[i], c->https) != 0)
            (void)cs_buf_addf(&others, "%s%s", others.n > 0 ? " " : "", g->listens[i]);
    if (others.n > 0) log_str(&e, "sites", cs_buf_cstr(&others));
    if (c->http[0] != '\0' && (g->policy->feed || c->http_said)) log_str(&e, "http", c->http);
    if (c->metrics[0] != '\0') log_str(&e, "metrics", c->metrics);
    log_int(&e, "threads", g->worker_count);
    log_end(&e);
    if (g->notify >= 0) {
        (void)!write(g->notify, "ready\n", 6);
        (void)close(g->notify);
        g->notify = -1;
    }
    return CS_OK;
}

void gate_ticket_keys(gate *g, cs_view keys) {
    g->told_count = keys.n / TLS_TICKET_KEY;
    if (g->told_count > TLS_TICKET_KEYS_MAX) g->told_count = TLS_TICKET_KEYS_MAX;
    memcpy(g->told_keys, keys.p, g->told_count * TLS_TICKET_KEY);
    share_keys(g, g->policy);
}

void gate_only(gate *g, int take_fd) {
    g->only = take_fd;
}

void gate_over(gate *g) {
    (void)g;
    (void)kill(getpid(), SIGTERM);
}

void gate_failed(gate *g, const cs_err *err) {
    if (g->only < 0) return;
    (void)pthread_mutex_lock(&g->lock);
    if (g->failed == NULL) g->failed = malloc(sizeof *g->failed);
    if (g->failed != NULL) *g->failed = *err;
    (void)pthread_mutex_unlock(&g->lock);
}

static void stop_with(gate *g, const cs_err *err) {
    log_failure(LOG_ERROR, "failed", err);
    loop_stop(g->loop);
}

void gate_synced(gate *g) {
    cs_err err;
    atomic_store(&g->fresh_until, cs_mono(g->clock) + g->policy->conf->revocation_grace);
    metrics_set(metrics_slab_of(g->metrics, g->worker_count), METRIC_FEED_SYNCED, 0, cs_now(g->clock) / CS_SEC);
    if (!g->serving && !atomic_load(&g->draining) && start(g, &err) != CS_OK) stop_with(g, &err);
}

static void on_end(void *data, int signum) {
    gate *g = data;
    (void)signum;
    log_note(LOG_INFO, "draining");
    atomic_store(&g->draining, true);
    gate_ring(g);
    loop_stop(g->loop);
}

/* Addresses are opened once, before the privileges go. */
static cs_status check_doors(const gate *g, const policy *p, cs_err *err) {
    for (unsigned i = 0; i < p->door_count; i++) {
        bool open = false;
        for (unsigned k = 0; k < g->listen_count; k++) open = open || strcmp(g->listens[k], p->doors[i].listen) == 0;
        if (!open)
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                           "%s: no address that was opened at the start; one more needs a restart", p->doors[i].listen);
    }
    return CS_OK;
}

cs_status gate_reload(gate *g, cs_err *err) {
    policy *p = NULL;
    metrics_slab *slab = metrics_slab_of(g->metrics, g->worker_count);
    cs_status s = policy_load(g->said, g->tickets, g->clock, &p, err);
    if (s == CS_OK) s = check_doors(g, p, err);
    if (s == CS_OK && (p->conf->ticket_keys != NULL) != g->shares)
        s = cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                    "%s: ticket_keys: sessions kept here and sealed ones: a change needs a restart", p->conf->file);
    if (s == CS_OK) s = policy_follows(p, g->policy, err);
    if (s != CS_OK) {
        policy_free(p);
        log_failure(LOG_ERROR, "reload-failed", err); /* what runs goes on */
        metrics_count(slab, METRIC_RELOADS, METRIC_FAILED);
        return s;
    }
    share_keys(g, p);
    (void)pthread_mutex_lock(&g->lock);
    policy *old = g->policy;
    g->policy = p;
    g->reloads++;
    (void)pthread_mutex_unlock(&g->lock);
    policy_free(old);
    metrics_count(slab, METRIC_RELOADS, METRIC_DONE);
    gate_ring(g); /* the last thread that follows says "reloaded" */
    return CS_OK;
}

static void on_reload(void *data, int signum) {
    cs_err err;
    (void)signum;
    (void)gate_reload(data, &err);
}

static void on_rotate(void *data) {
    gate *g = data;
    cs_err err;
    if (tls_tickets_rotate(g->tickets, g->rng, &err) != CS_OK) log_failure(LOG_ERROR, "ticket-keys-kept", &err);
    loop_timer_set(g->loop, &g->rotate_timer, TLS_SESSION_MAX / 2);
}

cs_status gate_run(gate *g, int notify, cs_err *err) {
    char path[CONF_PATH_MAX];
    g->notify = notify;
    TRY(loop_on_signal(g->loop, SIGTERM, on_end, g, err));
    TRY(loop_on_signal(g->loop, SIGINT, on_end, g, err));
    TRY(loop_on_signal(g->loop, SIGHUP, on_reload, g, err));
    g->rotate_timer = (loop_timer){.cb = on_rotate, .data = g};
    loop_timer_set(g->loop, &g->rotate_timer, TLS_SESSION_MAX / 2);
    if (g->control != NULL) TRY(control_start(g->control, err));
    follow_start(g);
    if (g->policy->feed) {
        TRY(conf_path(g->policy->conf, "run/feed.sock", path, err));
        TRY(feed_new(g, path, &g->feed, err));
    } else {
        TRY(start(g, err));
    }
    loop_run(g->loop);
    for (unsigned i = 0; i < g->worker_count; i++) {
        worker *w = &g->workers[i];
        if (w->started) (void)pthread_join(w->thread, NULL);
        w->started = false;
        for (unsigned k = 0; k < g->listener_count; k++)
            w->listeners[k].fd = -1; /* closed with their watches, when it drained */
    }
    if (g->failed == NULL) return CS_OK;
    *err = *g->failed;
    return err->status;
}
