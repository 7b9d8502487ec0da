/* The configuration of servers that are not ours: which directives stand in a file, and which are missing beside them.
 * Each file by itself, word by word; what it includes is looked at as a file of its own. */
#include <ctype.h>
#include <string.h>

#include "audit/audit_priv.h"

enum { LINE_MAX_ = 4096 };

typedef enum server { NGINX, APACHE, HAPROXY, MOSQUITTO, POSTGRES, OPENVPN, STUNNEL, SERVERS } server;
static const struct {
    const char *name, *mark; /* a directive that no other server has, and that is about TLS */
} servers[SERVERS] = {
    [NGINX] = {"nginx", "ssl_certificate"},
    [APACHE] = {"Apache", "SSLCertificateFile"},
    [HAPROXY] = {"HAProxy", "bind"},
    [MOSQUITTO] = {"Mosquitto", "certfile"},
    [POSTGRES] = {"PostgreSQL", "ssl_cert_file"},
    [OPENVPN] = {"OpenVPN", "remote-cert-tls"},
    [STUNNEL] = {"stunnel", "accept"},
};

/* A directive and what stands behind it; the last one of its name counts. */
typedef struct reading {
    cs_view text;
} reading;

static bool is_word(uint8_t c) {
    return isalnum(c) || c == '_' || c == '-';
}

/* The value of a directive of that name ("" when it has none), cut at ';', '#' or the line's end; false: there is none.
 */
static bool value_of(const reading *r, const char *name, char out[LINE_MAX_]) {
    const uint8_t *p = r->text.p, *end = p + r->text.n;
    size_t n = strlen(name);
    bool found = false;
    while (p < end) {
        const uint8_t *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl != NULL ? nl : end, *w = p;
        while (w < stop && (*w == ' ' || *w == '\t')) w++;
        if ((size_t)(stop - w) >= n && strncasecmp((const char *)w, name, n) == 0 &&
            (w + n == stop || !is_word(w[n]))) {
            const uint8_t *v = w + n;
            while (v < stop && (*v == ' ' || *v == '\t' || *v == '=' || *v == '\'' || *v == '"')) v++;
            size_t len = 0;
            while (v + len < stop && v[len] != ';' && v[len] != '#' && v[len] != '\r') len++;
            if (len >= LINE_MAX_) len = LINE_MAX_ - 1;
            memcpy(out, v, len);
            out[len] = '\0';
            found = true;
        }
        p = stop < end ? stop + 1 : end;
    }
    return found;
}

static bool says(const reading *r, const char *name, const char *word) {
    char v[LINE_MAX_];
    if (!value_of(r, name, v)) return false;
    size_t n = strlen(word);
    for (const char *at = v; (at = strcasestr(at, word)) != NULL; at++)
        if ((at == v || !is_word((uint8_t)at[-1])) && !is_word((uint8_t)at[n]) && at[n] != '.') return true;
    return false;
}

static bool given(const reading *r, const char *name) {
    char v[LINE_MAX_];
    return value_of(r, name, v);
}

/* What a file says of its clients. */
typedef struct posture {
    bool asks, verifies, looks_up, unused_crl, old_tls, resumes;
} posture;

static bool old_words(const reading *r, const char *name) {
    return says(r, name, "TLSv1") || says(r, name, "TLSv1.1") || says(r, name, "SSLv3") || says(r, name, "+TLSv1") ||
           says(r, name, "+TLSv1.1") || says(r, name, "all -SSLv3");
}

static posture of_nginx(const reading *r) {
    posture p = {.asks = given(r, "ssl_verify_client") && !says(r, "ssl_verify_client", "off")};
    p.verifies = p.asks && !says(r, "ssl_verify_client", "optional_no_ca");
    p.looks_up = given(r, "ssl_crl") || says(r, "ssl_ocsp", "on") || says(r, "ssl_ocsp", "leaf");
    p.old_tls = old_words(r, "ssl_protocols");
    p.resumes = !says(r, "ssl_session_tickets", "off");
    return p;
}

static posture of_apache(const reading *r) {
    posture p = {.asks = given(r, "SSLVerifyClient") && !says(r, "SSLVerifyClient", "none")};
    bool named = given(r, "SSLCARevocationFile") || given(r, "SSLCARevocationPath");
    bool used = given(r, "SSLCARevocationCheck") && !says(r, "SSLCARevocationCheck", "none");
    p.verifies = p.asks && !says(r, "SSLVerifyClient", "optional_no_ca");
    p.looks_up = (named && used) || says(r, "SSLOCSPEnable", "on") || says(r, "SSLOCSPEnable", "leaf");
    p.unused_crl = named && !used;
    p.old_tls = old_words(r, "SSLProtocol");
    p.resumes = !says(r, "SSLSessionTickets", "off");
    return p;
}

static posture of_haproxy(const reading *r) {
    posture p = {.asks = says(r, "bind", "ca-file")};
    p.verifies = p.asks && says(r, "bind", "verify required");
    p.looks_up = says(r, "bind", "crl-file");
    p.old_tls = says(r, "ssl-default-bind-options", "ssl-min-ver TLSv1.0") ||
                says(r, "ssl-default-bind-options", "ssl-min-ver TLSv1.1");
    p.resumes = !says(r, "ssl-default-bind-options", "no-tls-tickets") && !says(r, "bind", "no-tls-tickets");
    return p;
}

static posture of_other(server s, const reading *r) {
    posture p = {.asks = true, .verifies = true};
    if (s == MOSQUITTO) {
        p.asks = p.verifies = says(r, "require_certificate", "true");
        p.looks_up = given(r, "crlfile");
        p.old_tls = says(r, "tls_version", "tlsv1") || says(r, "tls_version", "tlsv1.1");
    } else if (s == POSTGRES) {
        p.asks = p.verifies = given(r, "ssl_ca_file");
        p.looks_up = given(r, "ssl_crl_file") || given(r, "ssl_crl_dir");
        p.old_tls = says(r, "ssl_min_protocol_version", "TLSv1") || says(r, "ssl_min_protocol_version", "TLSv1.1");
    } else if (s == OPENVPN) {
        p.looks_up = given(r, "crl-verify") || !given(r, "server");
        p.old_tls = says(r, "tls-version-min", "1.0") || says(r, "tls-version-min", "1.1");
    } else {
        p.asks = says(r, "verifyChain", "yes") || given(r, "verify");
        p.verifies = p.asks && (says(r, "requireCert", "yes") || says(r, "verify", "2"));
        p.looks_up = given(r, "CRLfile") || given(r, "CRLpath");
        p.old_tls = says(r, "sslVersionMin", "TLSv1") || says(r, "sslVersionMin", "TLSv1.1");
        p.resumes = !says(r, "sessionResume", "no");
    }
    return p;
}

static bool recognise(const reading *r, server *ret) {
    for (int s = 0; s < SERVERS; s++) {
        if (!given(r, servers[s].mark)) continue;
        if (s == HAPROXY && !says(r, "bind", "ssl")) continue;
        if (s == STUNNEL && (!given(r, "cert") || says(r, "client", "yes"))) continue;
        *ret = (server)s;
        return true;
    }
    return false;
}

cs_status audit_config(audit *a, const audit_file *f, cs_err *err) {
    const reading r = {f->text};
    server s = NGINX;
    uint32_t name = 0;
    if (memchr(f->text.p, 0, f->text.n < 512 ? f->text.n : 512) != NULL || !recognise(&r, &s)) return CS_OK;
    posture p = s == NGINX     ? of_nginx(&r)
                : s == APACHE  ? of_apache(&r)
                : s == HAPROXY ? of_haproxy(&r)
                               : of_other(s, &r);
    a->configurations++;
    TRY(audit_keep(a, servers[s].name, &name, err));
    if (p.old_tls) TRY(audit_add(a, AUDIT_CONF_OLD_TLS, f->name, name, err, "%s", servers[s].name));
    if (p.unused_crl) TRY(audit_add(a, AUDIT_CONF_CRL_UNUSED, f->name, name, err, "SSLCARevocationCheck is missing"));
    if (!p.asks) return audit_add(a, AUDIT_CONF_NOT_ASKED, f->name, name, err, "%s", servers[s].name);
    if (!p.verifies) TRY(audit_add(a, AUDIT_CONF_NO_CLIENTS, f->name, name, err, "%s", servers[s].name));
    if (!p.looks_up && !p.unused_crl) TRY(audit_add(a, AUDIT_CONF_NO_CRL, f->name, name, err, "%s", servers[s].name));
    if (p.resumes) TRY(audit_add(a, AUDIT_CONF_RESUMED, f->name, name, err, "%s", servers[s].name));
    return CS_OK;
}
