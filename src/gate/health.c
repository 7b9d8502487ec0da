/* Asks each server of an upstream, now and then, whether it serves; so that none gets a request that it cannot answer.
 * The first worker asks, for all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

enum { ANSWER_MAX = 64 * 1024 };

struct probe {
    probe *next;
    worker *w;
    gate_group *group;
    gate_server *server;
    loop_timer timer;
    loop_watch *watch; /* NULL: not asking */
    wire wire;
    bool reached, asked;
    size_t scanned;
};

static void stop(probe *p) {
    if (p->watch == NULL) return;
    loop_watch_close(p->watch);
    p->watch = NULL;
    wire_free(&p->wire);
}

static void wait(probe *p) {
    loop_timer_set(p->w->loop, &p->timer, p->group->conf->interval);
}

static void conclude(probe *p, bool good, const char *why) {
    stop(p);
    upstream_mark(p->w, p->server, good, 3 * p->group->conf->interval, why);
    wait(p);
}

static bool asks_http(const probe *p) {
    return p->group->conf->health != NULL && !p->group->http2 &&
           (strncmp(p->server->text, "http", 4) == 0 || strncmp(p->server->text, "unix:", 5) == 0);
}

static void ask(probe *p) {
    CS_SCOPED(cs_buf) b = cs_buf_of(4096);
    p->asked = true;
    (void)cs_buf_addf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: countersign\r\nConnection: close\r\n\r\n",
                      p->group->conf->health, p->server->name[0] != '\0' ? p->server->name : "localhost");
    (void)wire_write(&p->wire, cs_buf_view(&b));
    wire_flush(&p->wire);
}

/* Its status line is enough. */
static void read_answer(probe *p) {
    cs_err err;
    http_head *h = &p->w->head;
    (void)wire_decrypt(&p->wire);
    cs_status s = http_response_parse(flow_view(&p->wire.in), &p->scanned, HTTP_GET, h, &err);
    if (s == CS_AGAIN && !p->wire.eof && !p->wire.broken && flow_size(&p->wire.in) < ANSWER_MAX) return;
    char text[64] = "its answer is broken";
    bool good = s == CS_OK && h->status >= 200 && h->status < 400;
    if (s == CS_OK) (void)snprintf(text, sizeof text, "its health is %u", h->status);
    conclude(p, good, text);
}

static void on_event(void *data, unsigned events) {
    probe *p = data;
    cs_err err;
    wire *w = &p->wire;
    cs_status s = p->reached ? CS_OK : net_connected(w->fd, &err);
    if (s == CS_AGAIN) return;
    p->reached = p->reached || s == CS_OK;
    if (s == CS_OK && (events & LOOP_READ) != 0) wire_fill(w);
    if (s == CS_OK && !p->asked && w->tls != NULL) {
        s = tls_conn_handshake(w->tls, &err);
        wire_flush(w);
        if (s == CS_AGAIN && (w->eof || w->broken || w->shut))
            s = cs_fail(&err, CS_FAILED, CS_R_TLS_PEER_CLOSED, "%s", "during the handshake");
    }
    if (s == CS_AGAIN) {
        loop_watch_set(p->watch, LOOP_READ | (wire_pending(w) > 0 ? LOOP_WRITE : 0));
        return;
    }
    if (s != CS_OK || !asks_http(p)) {
        conclude(p, s == CS_OK, s == CS_OK ? "" : err.detail);
        return;
    }
    if (!p->asked) ask(p);
    wire_flush(w);
    loop_watch_set(p->watch, LOOP_READ | (wire_pending(w) > 0 ? LOOP_WRITE : 0));
    read_answer(p);
}

static cs_status begin(probe *p, cs_err *err) {
    int fd = -1;
    tls_conn *tls = NULL;
    p->reached = p->asked = false;
    p->scanned = 0;
    TRY(net_connect(&p->server->at, &fd, err));
    cs_status s = p->group->tls ? tls_conn_dial(p->group->dialer, p->server->name, &tls, err) : CS_OK;
    if (s == CS_OK) s = loop_watch_new(p->w->loop, fd, on_event, p, &p->watch, err);
    if (s != CS_OK) {
        tls_conn_free(tls);
        net_close(fd);
        return s;
    }
    wire_init(&p->wire, fd, tls);
    loop_watch_set(p->watch, LOOP_WRITE);
    return CS_OK;
}

/* Time to ask, or too late for an answer. */
static void on_time(void *data) {
    probe *p = data;
    cs_err err;
    if (p->watch != NULL) {
        conclude(p, false, "no answer in time");
        return;
    }
    if (begin(p, &err) != CS_OK)
        conclude(p, false, err.detail);
    else
        loop_timer_set(p->w->loop, &p->timer, worker_conf(p->w)->limits.connect);
}

void health_stop(worker *w) {
    while (w->probes != NULL) {
        probe *p = w->probes;
        w->probes = p->next;
        loop_timer_clear(w->loop, &p->timer);
        stop(p);
        free(p);
    }
}

void health_start(worker *w) {
    health_stop(w);
    for (unsigned i = 0; w->index == 0 && i < w->policy->group_count; i++) {
        gate_group *g = w->policy->groups[i];
        for (unsigned k = 0; g->conf != NULL && g->conf->interval > 0 && k < g->count; k++) {
            probe *p = calloc(1, sizeof *p);
            if (p == NULL) return; /* passive knowledge stays */
            *p = (probe){.next = w->probes, .w = w, .group = g, .server = &g->servers[k]};
            w->probes = p;
            p->timer = (loop_timer){.cb = on_time, .data = p};
            loop_timer_set(w->loop, &p->timer, 0);
        }
    }
}
