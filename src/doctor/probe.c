#include "doctor/probe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include <linux/tcp.h>
#include <netinet/in.h>

#include "base/text.h"
#include "doctor/probe_priv.h"

enum { SMALL_SEGMENT = 536 };    /* what every IPv4 path must take, RFC 9293 3.7.1 */
#define TICKET_WAIT (CS_SEC / 4) /* a server that accepts in TLS 1.3 sends its ticket, one that does not its alert */

bool probe_proto_of(const char *text, probe_proto *ret) {
    static const char *const names[] = {[PROBE_HTTP] = "http",
                                        [PROBE_MQTT] = "mqtt",
                                        [PROBE_POSTGRES] = "postgres",
                                        [PROBE_SMTP] = "smtp",
                                        [PROBE_RAW] = "raw"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) != 0) continue;
        *ret = (probe_proto)i;
        return true;
    }
    return false;
}

/* ---- the socket ---- */

/* Until the descriptor is ready; false: the time is over, and it is noted. */
static bool wait_fd(probing *w, short events, cs_time until) {
    for (;;) {
        struct pollfd p = {.fd = w->fd, .events = events};
        cs_time left = until - cs_mono(w->plan->clock);
        int rc = poll(&p, 1, left > 0 ? (int)(left / 1000 + 1) : 0);
        if (rc > 0) return true;
        if (rc == 0 || errno != EINTR) return false;
    }
}

static void look_at_books(probing *w) {
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    if (getsockopt(w->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0) return;
    w->p->resent = info.tcpi_total_retrans;
    w->p->out_of_order = info.tcpi_rcv_ooopack; /* since Linux 5.4; else 0 */
}

static bool gave_up(probing *w) {
    w->p->silent = true;
    look_at_books(w);
    return false;
}

static bool connect_to(probing *w) {
    cs_err err;
    if (net_connect_small(w->plan->to, w->plan->small ? SMALL_SEGMENT : 0, &w->fd, &err) != CS_OK) {
        w->p->sys = errno;
        return false;
    }
    if (!wait_fd(w, POLLOUT, w->until)) return gave_up(w);
    socklen_t n = sizeof w->p->sys;
    (void)getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &w->p->sys, &n);
    return w->p->sys == 0;
}

bool probe_send(probing *w, cs_view data) {
    while (data.n > 0) {
        ssize_t n = send(w->fd, data.p, data.n, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            w->p->sys = errno;
            return false;
        }
        if (n < 0 && !wait_fd(w, POLLOUT, w->until)) return gave_up(w);
        if (n > 0) data = (cs_view){data.p + n, data.n - (size_t)n};
    }
    return true;
}

bool probe_recv(probing *w, cs_buf *in, cs_time until) {
    uint8_t piece[16384];
    for (;;) {
        ssize_t n = recv(w->fd, piece, sizeof piece, 0);
        if (n > 0) return cs_buf_add(in, piece, (size_t)n);
        if (n == 0) {
            w->p->closed = true;
            return false;
        }
        if (errno != EAGAIN && errno != EINTR) {
            w->p->sys = errno;
            return false;
        }
        if (!wait_fd(w, POLLIN, until)) return gave_up(w);
    }
}

/* ---- TLS ---- */

static void note_first(probing *w, cs_view in) {
    CS_SCOPED(cs_buf) b = cs_buf_of(256);
    w->p->not_tls = true;
    (void)cs_text_escape(&b, in, PROBE_FIRST_MAX);
    (void)snprintf(w->p->first, sizeof w->p->first, "%.*s", (int)b.n, (const char *)b.p);
}

static bool is_record(cs_view in) {
    return in.n == 0 || (in.p[0] >= 20 && in.p[0] <= 23 && (in.n < 2 || in.p[1] == 3));
}

/* One step: what came goes in, what is to be sent goes out. */
static cs_status turn(probing *w, cs_view in) {
    CS_SCOPED(cs_buf) out = cs_buf_of(PROBE_OUT_MAX);
    cs_status s = tls_look_turn(w->p->look, in, &out, &w->p->answer, &w->p->err);
    if (s == CS_OK || s == CS_AGAIN) w->p->err.reason = CS_R_NONE;
    if (out.n > 0 && !probe_send(w, cs_buf_view(&out)) && s == CS_AGAIN) return CS_FAILED;
    return s;
}

/* A refusal may have come while our own sending failed: what lies there is read all the same. */
static void read_rest(probing *w) {
    CS_SCOPED(cs_buf) in = cs_buf_of(PROBE_OUT_MAX);
    w->p->sys = 0;
    while (in.n < TLS_LOOK_IN_MAX / 2 && probe_recv(w, &in, cs_mono(w->plan->clock))) {
    }
    if (in.n > 0) (void)!turn(w, cs_buf_view(&in));
}

static bool handshake(probing *w) {
    if (tls_look_new(&w->plan->tls, &w->p->look, &w->p->err) != CS_OK) return false;
    cs_status s = turn(w, (cs_view){NULL, 0});
    bool first = true;
    w->p->phase = PROBE_AT_HELLO;
    while (s == CS_AGAIN) {
        CS_SCOPED(cs_buf) in = cs_buf_of(PROBE_OUT_MAX);
        if (!probe_recv(w, &in, w->until)) return false;
        if (first && !is_record(cs_buf_view(&in))) {
            note_first(w, cs_buf_view(&in));
            return false;
        }
        first = false;
        s = turn(w, cs_buf_view(&in));
        if (tls_look_at(w->p->look)->hello && w->p->phase < PROBE_AT_FLIGHT) w->p->phase = PROBE_AT_FLIGHT;
        if (tls_look_at(w->p->look)->sent) w->p->phase = PROBE_AT_JUDGE;
    }
    if (s != CS_OK && w->p->sys != 0) read_rest(w);
    if (s == CS_OK) w->p->phase = PROBE_AT_JUDGE;
    return s == CS_OK;
}

bool probe_listen(probing *w, cs_time until, bool (*enough)(probing *w)) {
    while (!tls_look_at(w->p->look)->ended && !enough(w)) {
        CS_SCOPED(cs_buf) in = cs_buf_of(PROBE_OUT_MAX);
        if (!probe_recv(w, &in, until)) return false;
        if (turn(w, cs_buf_view(&in)) != CS_OK) return false;
        if (w->p->answer.n > PROBE_ANSWER_MAX) return true;
    }
    return true;
}

static bool judged(probing *w) {
    const tls_look_seen *s = tls_look_at(w->p->look);
    return s->session || s->alert >= 0 || w->p->answer.n > 0;
}

/* In TLS 1.3 the server judges after we are done: to read first keeps its alert from being lost. */
static bool hear_judgement(probing *w) {
    if (tls_look_at(w->p->look)->version < 0x0304) return true;
    bool heard = probe_listen(w, cs_mono(w->plan->clock) + TICKET_WAIT, judged);
    if (w->p->silent && w->p->err.reason == CS_R_NONE && w->p->sys == 0) { /* no word is no refusal */
        w->p->silent = false;
        return true;
    }
    return heard && tls_look_at(w->p->look)->alert < 0 && !tls_look_at(w->p->look)->ended;
}

static void go(probing *w) {
    if (!connect_to(w)) return;
    w->p->phase = PROBE_AT_PREFACE;
    w->until = cs_mono(w->plan->clock) + w->plan->wait;
    if (!probe_preface(w)) return;
    w->until = cs_mono(w->plan->clock) + w->plan->wait;
    if (!handshake(w) || !hear_judgement(w)) return;
    w->p->phase = PROBE_AT_ANSWER;
    w->until = cs_mono(w->plan->clock) + w->plan->wait;
    if (!probe_ask(w)) {
        if (w->p->sys != 0) read_rest(w);
        return;
    }
    w->p->phase = PROBE_AT_END;
}

void probe_run(const probe_plan *plan, probe *ret) {
    probing w = {.plan = plan, .p = ret, .fd = -1, .until = cs_mono(plan->clock) + plan->wait};
    *ret = (probe){.answer = cs_buf_of(PROBE_ANSWER_MAX + 32768)};
    go(&w);
    if (w.fd >= 0) net_close(w.fd);
}

void probe_free(probe *p) {
    tls_look_free(p->look);
    cs_buf_free(&p->answer);
    p->look = NULL;
}

const tls_look_seen *probe_seen(const probe *p) {
    static const tls_look_seen nothing = {.alert = -1};
    return p->look != NULL ? tls_look_at(p->look) : &nothing;
}

bool probe_says(const probe *p, const char *words) {
    return p->answer.n > 0 && memmem(p->answer.p, p->answer.n, words, strlen(words)) != NULL;
}

bool probe_accepted(const probe *p) {
    if (p->phase != PROBE_AT_END) return false;
    if (p->status == 495 || p->status == 496 || p->refused) return false;
    return !(p->status == 400 && (probe_says(p, "SSL certificate")));
}
