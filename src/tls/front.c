/* Which site a client means: by the name in its hello, before anything else is decided. */
#include <stdlib.h>

#include <openssl/ssl.h>

#include "tls/tls_priv.h"

/* Lower case, no last dot, labels of letters, digits and '-' ('_' too: such names are in use). */
bool tls_host_canonical(cs_view host, char out[TLS_SNI_MAX + 1]) {
    if (host.n > 0 && host.p[host.n - 1] == '.') host.n--;
    if (host.n == 0 || host.n > 253) return false;
    size_t label = 0;
    for (size_t i = 0; i < host.n; i++) {
        uint8_t c = host.p[i];
        if (c >= 'A' && c <= 'Z') c = (uint8_t)(c | 0x20);
        bool ldh = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' ? label == 0 : !ldh) return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63) return false;
        out[i] = (char)c;
    }
    out[host.n] = '\0';
    return label > 0;
}

/* Has it the form of an address? Those have no site of their own; names whose last label is a number are none. */
static bool is_address(cs_view host) {
    if (host.n == 0 || host.p[0] == '[' || memchr(host.p, ':', host.n) != NULL) return true;
    uint8_t last = host.p[host.n - 1];
    if (last < '0' || last > '9') return false;
    for (size_t i = host.n; i > 0 && host.p[i - 1] != '.'; i--)
        if (host.p[i - 1] < '0' || host.p[i - 1] > '9') return false;
    return true;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(tls_site *const *)a)->name, (*(tls_site *const *)b)->name);
}

static tls_site *exact(const tls_front *f, const char *name) {
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(name, f->sites[mid]->name);
        if (c == 0) return f->sites[mid];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

tls_site *tls_front_find(const tls_front *f, cs_view host) {
    char name[TLS_SNI_MAX + 3];
    if (is_address(host)) return f->fallback;
    if (!tls_host_canonical(host, name + 1)) return NULL;
    tls_site *s = exact(f, name + 1);
    char *dot = s == NULL ? strchr(name + 1, '.') : NULL;
    if (dot != NULL && dot > name) { /* a wildcard stands for one label */
        dot[-1] = '*';
        s = exact(f, dot - 1);
    }
    return s != NULL ? s : f->fallback;
}

/* server_name (RFC 6066 3): a list with one host_name. */
static bool sni_of(SSL *ssl, cs_view *ret, bool *malformed) {
    const unsigned char *p = NULL;
    size_t n = 0;
    *malformed = false;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1) return false;
    cs_rd r = cs_rd_of(cs_view_of(p, n));
    cs_rd list = cs_rd_of(cs_rd_vec16(&r));
    uint8_t type = cs_rd_u8(&list);
    *ret = cs_rd_vec16(&list);
    *malformed = !cs_rd_ended(&r) || !cs_rd_ended(&list) || type != TLSEXT_NAMETYPE_host_name || ret->n == 0;
    return !*malformed;
}

int tls_on_hello(SSL *ssl, int *alert, void *arg) {
    tls_conn *c = tls_conn_of(ssl);
    cs_view sni = {NULL, 0};
    bool malformed = false;
    (void)arg;
    bool sent = sni_of(ssl, &sni, &malformed);
    if (malformed) {
        *alert = SSL_AD_DECODE_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    char name[TLS_SNI_MAX + 1];
    free(c->name); /* a second hello, after a retry, says the same */
    c->name = NULL;
    if (sent && tls_host_canonical(sni, name) && (c->name = strdup(name)) == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    tls_site *site = tls_front_find(c->front, sni);
    if (site == NULL) {
        c->sni_unknown = true;
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    c->site = site;
    if (SSL_set_SSL_CTX(ssl, site->ctx) == NULL ||
        SSL_set_session_id_context(ssl, site->policy, sizeof site->policy) != 1) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    /* what SSL_set_SSL_CTX leaves as it was */
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(site->ctx), NULL);
    (void)SSL_set_min_proto_version(ssl, (int)SSL_CTX_get_min_proto_version(site->ctx));
    if (site->groups != NULL) (void)SSL_set1_groups_list(ssl, site->groups);
    return SSL_CLIENT_HELLO_SUCCESS;
}

cs_status tls_front_new(tls_site **take_sites, size_t count, bool alone, tls_front **ret, cs_err *err) {
    CS_AUTO(tls_front) f = calloc(1, sizeof *f);
    tls_site **own = calloc(count + 1, sizeof(tls_site *));
    if (f == NULL || own == NULL) {
        for (size_t i = 0; i < count; i++) tls_site_free(take_sites[i]);
        free(own);
        return CS_NOMEM_ERR(err);
    }
    atomic_init(&f->refs, 1);
    f->sites = own;
    const char *twice = NULL;
    tls_site *any = NULL;
    for (size_t i = 0; i < count; i++) {
        if (any == NULL) any = take_sites[i];
        if (strcmp(take_sites[i]->name, "*") != 0 && !(alone && count == 1))
            f->sites[f->count++] = take_sites[i];
        else if (f->fallback == NULL)
            f->fallback = take_sites[i];
        else
            tls_site_free(take_sites[i]), twice = "*";
    }
    qsort(f->sites, f->count, sizeof(tls_site *), by_name);
    for (size_t i = 1; i < f->count; i++)
        if (strcmp(f->sites[i - 1]->name, f->sites[i]->name) == 0) twice = f->sites[i]->name;
    if (twice != NULL) return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "site %s: stands there twice", twice);
    if (any == NULL) return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s", "no sites");
    /* The first context's tickets and callbacks count for all: libssl keeps asking the one that saw the hello. */
    TRY(tls_ctx_new(SSL_CTX_get_app_data(any->ctx), false, &f->ctx, err));
    SSL_CTX_set_client_hello_cb(f->ctx, tls_on_hello, NULL);
    *ret = CS_TAKE(f);
    return CS_OK;
}

tls_front *tls_front_ref(tls_front *f) {
    (void)atomic_fetch_add(&f->refs, 1);
    return f;
}

void tls_front_free(tls_front *f) {
    if (f == NULL || atomic_fetch_sub(&f->refs, 1) != 1) return;
    for (size_t i = 0; i < f->count; i++) tls_site_free(f->sites[i]);
    tls_site_free(f->fallback);
    SSL_CTX_free(f->ctx);
    free(f->sites);
    free(f);
}
