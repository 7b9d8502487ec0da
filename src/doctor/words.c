/* What services say before TLS, and what is asked under it. */
#include <stdio.h>

#include "base/text.h"
#include "doctor/probe_priv.h"

static bool note_words(probing *w, cs_view in) {
    CS_SCOPED(cs_buf) b = cs_buf_of(256);
    w->p->not_tls = true;
    (void)cs_text_escape(&b, in, PROBE_FIRST_MAX);
    (void)snprintf(w->p->first, sizeof w->p->first, "%.*s", (int)b.n, (const char *)b.p);
    return false;
}

/* A reply of SMTP, all lines of it (RFC 5321 4.2); false when its code is not the wanted one. */
static bool smtp_reply(probing *w, const char *code) {
    CS_SCOPED(cs_buf) in = cs_buf_of(64 * 1024);
    for (;;) {
        if (!probe_recv(w, &in, w->until)) return false;
        const uint8_t *line = in.p;
        for (const uint8_t *nl; (nl = memchr(line, '\n', in.n - (size_t)(line - in.p))) != NULL; line = nl + 1) {
            if (nl - line < 4 || memcmp(line, code, 3) != 0) return note_words(w, cs_buf_view(&in));
            if (line[3] != '-') return true;
        }
        if (in.n > 16 * 1024) return note_words(w, cs_buf_view(&in));
    }
}

static bool smtp(probing *w) {
    return smtp_reply(w, "220") && probe_send(w, CS_VIEW_LIT("EHLO doctor.invalid\r\n")) && smtp_reply(w, "250") &&
           probe_send(w, CS_VIEW_LIT("STARTTLS\r\n")) && smtp_reply(w, "220");
}

/* SSLRequest; PostgreSQL 55.2.10. */
static bool postgres(probing *w) {
    static const uint8_t request[] = {0, 0, 0, 8, 4, 210, 22, 47};
    CS_SCOPED(cs_buf) in = cs_buf_of(64 * 1024);
    if (!probe_send(w, cs_view_of(request, sizeof request)) || !probe_recv(w, &in, w->until)) return false;
    return in.p[0] == 'S' ? true : note_words(w, cs_buf_view(&in));
}

bool probe_preface(probing *w) {
    if (w->plan->proxy_line && !probe_send(w, CS_VIEW_LIT("PROXY TCP4 127.0.0.1 127.0.0.1 40000 443\r\n")))
        return false;
    if (w->plan->proto == PROBE_SMTP) return smtp(w);
    return w->plan->proto == PROBE_POSTGRES ? postgres(w) : true;
}

/* ---- under TLS ---- */

static bool say(probing *w, cs_view plain) {
    CS_SCOPED(cs_buf) out = cs_buf_of(PROBE_OUT_MAX);
    return tls_look_write(w->p->look, plain, &out, &w->p->err) == CS_OK && probe_send(w, cs_buf_view(&out));
}

static cs_view field(const probe *p, const char *name) {
    size_t n = strlen(name);
    for (size_t at = 0; at + n < p->answer.n;) {
        const uint8_t *nl = memchr(p->answer.p + at, '\n', p->answer.n - at);
        if (nl == NULL) break;
        cs_view line = cs_view_trim(cs_view_of(p->answer.p + at, (size_t)(nl - p->answer.p) - at));
        if (line.n == 0) break;
        if (line.n > n && line.p[n] == ':' && cs_view_eq_nocase(cs_view_of(line.p, n), cs_view_str(name)))
            return cs_view_trim(cs_view_of(line.p + n + 1, line.n - n - 1));
        at = (size_t)(nl - p->answer.p) + 1;
    }
    return (cs_view){NULL, 0};
}

static int digits(const uint8_t *p, size_t n) {
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') return -1;
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", RFC 9110 5.6.7; 0: it is none. */
static cs_time date_of(cs_view v) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    cs_time t = 0;
    if (v.n != 29) return 0;
    for (int m = 0; m < 12; m++)
        if (memcmp(v.p + 8, months + 3 * m, 3) == 0 &&
            cs_time_of_civil(digits(v.p + 12, 4), m + 1, digits(v.p + 5, 2), digits(v.p + 17, 2), digits(v.p + 20, 2),
                             digits(v.p + 23, 2), &t))
            return t;
    return 0;
}

static bool http_enough(probing *w) {
    const probe *p = w->p;
    const uint8_t *end = p->answer.n > 0 ? memmem(p->answer.p, p->answer.n, "\r\n\r\n", 4) : NULL;
    if (end == NULL) return false;
    cs_view length = field(p, "content-length");
    size_t body = p->answer.n - (size_t)(end - p->answer.p) - 4;
    int wanted = length.n > 0 && length.n < 9 ? digits(length.p, length.n) : -1;
    return wanted >= 0 && body >= (size_t)wanted;
}

static bool http(probing *w) {
    CS_SCOPED(cs_buf) ask = cs_buf_of(8192);
    probe *p = w->p;
    (void)cs_buf_addf(&ask,
                      "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: countersign-doctor\r\nConnection: close\r\n\r\n",
                      w->plan->path, w->plan->host);
    bool whole = say(w, cs_buf_view(&ask)) && probe_listen(w, w->until, http_enough);
    cs_view server = field(p, "server");
    if (p->answer.n > 12 && memcmp(p->answer.p, "HTTP/1.", 7) == 0)
        p->status = (p->answer.p[9] - '0') * 100 + (p->answer.p[10] - '0') * 10 + (p->answer.p[11] - '0');
    CS_SCOPED(cs_buf) b = cs_buf_of(256);
    (void)cs_text_escape(&b, server, sizeof p->server - 8);
    (void)snprintf(p->server, sizeof p->server, "%.*s", (int)b.n, b.n > 0 ? (const char *)b.p : "");
    p->date = date_of(field(p, "date"));
    return whole || p->status > 0;
}

static bool some(probing *w) {
    return w->p->answer.n >= 4;
}

/* CONNECT of MQTT 3.1.1, 3.1; CONNACK's last octet is the return code, 3.2.2.3. */
static bool mqtt(probing *w) {
    static const uint8_t connect[] = {0x10, 24,  0,   4,   'M', 'Q', 'T', 'T', 4,   2,   0,   30,  0,
                                      12,   'c', 's', '-', 'd', 'o', 'c', 't', 'o', 'r', '-', '0', '1'};
    if (!say(w, cs_view_of(connect, sizeof connect)) || !probe_listen(w, w->until, some)) return false;
    if (w->p->answer.n < 4 || w->p->answer.p[0] != 0x20) return false;
    w->p->status = w->p->answer.p[3] + 1;
    return true;
}

/* StartupMessage; PostgreSQL 55.2.1. */
static bool pg_start(probing *w) {
    CS_SCOPED(cs_buf) body = cs_buf_of(1024), all = cs_buf_of(2048);
    (void)cs_buf_add_u32(&body, 3 << 16);
    (void)cs_buf_add(&body, "user", 5);
    (void)cs_buf_add(&body, w->plan->user, strlen(w->plan->user) + 1);
    (void)cs_buf_add(&body, "database\0postgres\0", 18);
    (void)cs_buf_add_byte(&body, 0);
    (void)cs_buf_add_u32(&all, (uint32_t)body.n + 4);
    (void)cs_buf_add_view(&all, cs_buf_view(&body));
    if (!say(w, cs_buf_view(&all)) || !probe_listen(w, w->until, some)) return false;
    w->p->refused = w->p->answer.n > 0 && w->p->answer.p[0] == 'E';
    return w->p->answer.n > 0;
}

bool probe_ask(probing *w) {
    switch (w->plan->proto) {
    case PROBE_HTTP: return http(w);
    case PROBE_MQTT: return mqtt(w);
    case PROBE_POSTGRES: return pg_start(w);
    case PROBE_SMTP:
    case PROBE_RAW: return true;
    }
    return true;
}
