/* http-01: one file of a web server, by libcurl. Redirects are followed by hand, on the same host alone, so that what
 * is asked for stays what the client wants to prove. */
#include "fetch/challenge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

enum { BODY_MAX = 8 * 1024, REDIRECTS_MAX = 5, URL_MAX = 1024 };

typedef struct getting {
    const challenge_policy *p;
    cs_buf body;
    bool too_large, forbidden;
} getting;

__attribute__((constructor)) static void begin(void) {
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t on_body(char *at, size_t size, size_t n, void *data) {
    getting *g = data;
    if (cs_buf_add(&g->body, at, size * n)) return size * n;
    g->too_large = true;
    return 0;
}

/* Addresses were judged already; what is connected to is judged all the same. */
static curl_socket_t on_open(void *data, curlsocktype purpose, struct curl_sockaddr *a) {
    getting *g = data;
    (void)purpose;
    g->forbidden = !challenge_may(g->p, &a->addr);
    return g->forbidden ? CURL_SOCKET_BAD : socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool set_up(CURL *c, getting *g, const char *url, struct curl_slist *pinned) {
    long ms = (long)(g->p->deadline / 1000);
    return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_RESOLVE, pinned) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOPROXY, "*") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           /* whoever redirects to TLS may have no certificate yet: that is what is asked for @rfc 8555#8.3 */
           curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_USERAGENT, "countersign") == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, ms) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, ms / 2) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, g) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, g) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
}

/* "HOST:PORT:ADDRESS,ADDRESS": libcurl asks no resolver. */
static bool pin(const char *host, unsigned port, const net_addr at[], size_t n, struct curl_slist **list) {
    CS_SCOPED(cs_buf) b = cs_buf_of(4096);
    char text[NET_TEXT_MAX];
    (void)cs_buf_addf(&b, "%s:%u:", host, port);
    for (size_t i = 0; i < n; i++) {
        bool six = at[i].at.ss_family == AF_INET6;
        (void)cs_buf_addf(&b, "%s%s%s%s", i > 0 ? "," : "", six ? "[" : "", net_addr_text(&at[i], false, text),
                          six ? "]" : "");
    }
    const char *line = cs_buf_cstr(&b);
    struct curl_slist *longer = line != NULL && !b.failed ? curl_slist_append(*list, line) : NULL;
    if (longer != NULL) *list = longer;
    return longer != NULL;
}

static cs_status check_redirect(const challenge_policy *p, const char *host, const char *to, cs_err *err) {
    char *scheme = NULL, *where = NULL, *port = NULL, *user = NULL;
    CURLU *u = curl_url();
    bool ok = u != NULL && strlen(to) < URL_MAX && curl_url_set(u, CURLUPART_URL, to, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &where, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_OK;
    if (ok) {
        unsigned number = (unsigned)strtoul(port, NULL, 10);
        bool http = strcmp(scheme, "http") == 0 && number == p->http_port;
        bool https = strcmp(scheme, "https") == 0 && number == p->tls_port;
        size_t n = strlen(where);
        if (where[0] == '[' && n > 2) where[n - 1] = '\0';
        ok = (http || https) && strcasecmp(where[0] == '[' ? where + 1 : where, host) == 0;
    }
    curl_free(scheme);
    curl_free(where);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(u);
    if (ok) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_FETCH_FORBIDDEN, "it redirects elsewhere than to itself");
}

/* One request. *ret_next: where it leads on; "": this was the answer. */
static cs_status get(getting *g, const char *url, struct curl_slist *pinned, char ret_next[URL_MAX], cs_err *err) {
    CURL *c = curl_easy_init();
    long status = 0;
    char *next = NULL;
    ret_next[0] = '\0';
    cs_buf_clear(&g->body);
    if (c == NULL || !set_up(c, g, url, pinned)) {
        curl_easy_cleanup(c);
        return CS_NOMEM_ERR(err);
    }
    CURLcode rc = curl_easy_perform(c);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &next);
    bool moved = rc == CURLE_OK && status >= 300 && status < 400 && next != NULL;
    if (moved) (void)snprintf(ret_next, URL_MAX, "%s", next);
    curl_easy_cleanup(c);
    if (g->forbidden) return cs_fail(err, CS_REFUSED, CS_R_FETCH_FORBIDDEN, "an address that may not be asked");
    if (g->too_large) return cs_fail(err, CS_LIMIT, CS_R_FETCH_FAILED, "more than %d octets", BODY_MAX);
    if (rc != CURLE_OK) return cs_fail(err, CS_FAILED, CS_R_FETCH_FAILED, "%s", curl_easy_strerror(rc));
    if (status == 200 || moved) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_FETCH_FAILED, "answered with status %ld", status);
}

static cs_status follow(getting *g, const char *host, char url[URL_MAX], struct curl_slist *pinned, cs_err *err) {
    char next[URL_MAX];
    for (unsigned i = 0; i <= REDIRECTS_MAX; i++) {
        TRY(get(g, url, pinned, next, err));
        if (next[0] == '\0') return CS_OK;
        TRY(check_redirect(g->p, host, next, err));
        memcpy(url, next, sizeof next);
    }
    return cs_fail(err, CS_FAILED, CS_R_FETCH_FAILED, "more than %d redirects", REDIRECTS_MAX);
}

cs_status challenge_http(const challenge_policy *p, const challenge_ask *ask, cs_buf *values, cs_err *err) {
    net_addr at[RESOLVE_ADDRESSES_MAX];
    size_t n = 0;
    char url[URL_MAX], port[12] = "";
    bool six = strchr(ask->host, ':') != NULL;
    struct curl_slist *pinned = NULL;
    getting g = {.p = p, .body = cs_buf_of(BODY_MAX)};
    TRY(challenge_addresses(p, ask->host, at, &n, err));
    if (p->http_port != 80) (void)snprintf(port, sizeof port, ":%u", p->http_port);
    (void)snprintf(url, sizeof url, "http://%s%s%s%s/.well-known/acme-challenge/%s", six ? "[" : "", ask->host,
                   six ? "]" : "", port, ask->token);
    bool ok = six || (pin(ask->host, p->http_port, at, n, &pinned) && pin(ask->host, p->tls_port, at, n, &pinned));
    cs_status s = ok ? follow(&g, ask->host, url, pinned, err) : CS_NOMEM_ERR(err);
    if (s == CS_OK) (void)cs_buf_add_vec16(values, cs_buf_view(&g.body));
    curl_slist_free_all(pinned);
    cs_buf_free(&g.body);
    return s == CS_OK ? cs_buf_ok(values, "the body", err) : cs_fail_in(err, "http://%s%s", ask->host, port);
}
