#include "fetch/resolve.h"

#include <poll.h>
#include <string.h>

/* 1.34 calls deprecated what 1.18, Debian 12's, has no other name for. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>

enum { TRY_MS = 2000, TRIES = 3, POLL_MS = 250 };

__attribute__((constructor)) static void begin(void) {
    (void)ares_library_init(ARES_LIB_INIT_ALL);
}

static cs_status failed(const char *name, int rc, cs_err *err) {
    return cs_fail(err, CS_FAILED, CS_R_DNS_FAILED, "%.255s: %s", name, ares_strerror(rc));
}

static cs_status open_channel(const resolve_by *by, const char *name, ares_channel *ret, cs_err *err) {
    char dns_alone[] = "b";
    struct ares_options o = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
                             .timeout = TRY_MS,
                             .tries = TRIES,
                             .lookups = by->servers != NULL ? dns_alone : NULL};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | (by->servers != NULL ? ARES_OPT_LOOKUPS : 0);
    int rc = ares_init_options(ret, &o, mask);
    if (rc != ARES_SUCCESS) return failed(name, rc, err);
    rc = by->servers != NULL ? ares_set_servers_ports_csv(*ret, by->servers) : ARES_SUCCESS;
    if (rc == ARES_SUCCESS) return CS_OK;
    ares_destroy(*ret);
    return failed(by->servers, rc, err);
}

/* Until *done, or the time is over: then what is under way is told so. */
static void run(ares_channel channel, const bool *done, cs_time deadline) {
    const cs_clock *clock = cs_clock_system();
    cs_time until = cs_mono(clock) + deadline;
    while (!*done) {
        ares_socket_t at[ARES_GETSOCK_MAXNUM];
        struct pollfd fds[ARES_GETSOCK_MAXNUM];
        nfds_t n = 0;
        unsigned mask = (unsigned)ares_getsock(channel, at, ARES_GETSOCK_MAXNUM);
        if (cs_mono(clock) > until) ares_cancel(channel);
        if (*done) return;
        for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
            /* as c-ares' own macros, whose shift of a signed one passes into the sign */
            short events = (short)((mask >> i & 1U ? POLLIN : 0) | (mask >> (i + 16) & 1U ? POLLOUT : 0));
            if (events != 0) fds[n++] = (struct pollfd){.fd = at[i], .events = events};
        }
        (void)poll(fds, n, POLL_MS);
        for (nfds_t i = 0; i < n; i++)
            ares_process_fd(channel, (fds[i].revents & ~POLLOUT) != 0 ? fds[i].fd : ARES_SOCKET_BAD,
                            (fds[i].revents & POLLOUT) != 0 ? fds[i].fd : ARES_SOCKET_BAD);
        ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* what took too long */
    }
}

/* ---- addresses ---- */

typedef struct addresses {
    net_addr *out;
    size_t n;
    int rc;
    bool done;
} addresses;

static void take_family(addresses *a, const struct ares_addrinfo *info, int family) {
    for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next) {
        if (node->ai_family != family || a->n == RESOLVE_ADDRESSES_MAX) continue;
        memcpy(&a->out[a->n].at, node->ai_addr, node->ai_addrlen);
        a->out[a->n++].len = node->ai_addrlen;
    }
}

static void on_addresses(void *data, int rc, int timeouts, struct ares_addrinfo *info) {
    addresses *a = data;
    (void)timeouts;
    a->rc = rc;
    a->done = true;
    if (rc == ARES_SUCCESS && info != NULL) {
        take_family(a, info, AF_INET6);
        take_family(a, info, AF_INET);
    }
    ares_freeaddrinfo(info);
}

/* An address is never asked of a resolver, which might answer with another. */
static bool take_literal(const char *text, net_addr *ret) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    *ret = (net_addr){.len = 0};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        ret->len = sizeof four;
        memcpy(&ret->at, &four, sizeof four);
    } else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) {
        ret->len = sizeof six;
        memcpy(&ret->at, &six, sizeof six);
    }
    return ret->len > 0;
}

cs_status resolve_addresses(const resolve_by *by, const char *name, net_addr out[RESOLVE_ADDRESSES_MAX], size_t *ret_n,
                            cs_err *err) {
    ares_channel channel = NULL;
    addresses a = {.out = out};
    const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    if (take_literal(name, &out[0])) {
        *ret_n = 1;
        return CS_OK;
    }
    TRY(open_channel(by, name, &channel, err));
    ares_getaddrinfo(channel, name, NULL, &hints, on_addresses, &a);
    run(channel, &a.done, by->deadline);
    ares_destroy(channel);
    if (a.rc != ARES_SUCCESS || a.n == 0) return failed(name, a.rc != ARES_SUCCESS ? a.rc : ARES_ENODATA, err);
    *ret_n = a.n;
    return CS_OK;
}

/* ---- texts ---- */

typedef struct texts {
    cs_buf *out;
    int rc;
    bool done;
} texts;

/* A record has several strings, which are one text; in a list of parts, each says whether it begins a record. */
static void put_texts(cs_buf *out, const struct ares_txt_ext *part) {
    CS_SCOPED(cs_buf) whole = cs_buf_of(4096);
    for (unsigned n = 0; part != NULL && n < RESOLVE_TEXTS_MAX; n++) {
        cs_buf_clear(&whole);
        do {
            (void)cs_buf_add(&whole, part->txt, part->length);
            part = part->next;
        } while (part != NULL && part->record_start == 0);
        if (!whole.failed) (void)cs_buf_add_vec16(out, cs_buf_view(&whole));
        whole.failed = false;
    }
}

static void on_texts(void *data, int rc, int timeouts, unsigned char *answer, int n) {
    texts *t = data;
    struct ares_txt_ext *parts = NULL;
    (void)timeouts;
    t->done = true;
    t->rc = rc == ARES_SUCCESS ? ares_parse_txt_reply_ext(answer, n, &parts) : rc;
    if (t->rc == ARES_SUCCESS) put_texts(t->out, parts);
    if (parts != NULL) ares_free_data(parts);
}

cs_status resolve_texts(const resolve_by *by, const char *name, cs_buf *out, cs_err *err) {
    ares_channel channel = NULL;
    texts t = {.out = out};
    TRY(open_channel(by, name, &channel, err));
    ares_query(channel, name, ns_c_in, ns_t_txt, on_texts, &t);
    run(channel, &t.done, by->deadline);
    ares_destroy(channel);
    if (t.rc != ARES_SUCCESS) return failed(name, t.rc, err);
    return cs_buf_ok(out, "texts of the DNS", err);
}
