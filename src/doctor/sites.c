#include "doctor/sites.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/files.h"

enum { WORDS_MAX = 24, WORD_MAX = 512, NEST_MAX = 16 };

typedef struct statement {
    char word[WORDS_MAX][WORD_MAX];
    size_t n;
    char end; /* ';' a directive, '{' a block begins, '}' one ends */
    unsigned line;
} statement;

typedef struct reading {
    sites *to;
    bool follow;
    char base[SITE_PATH_MAX]; /* relative paths begin here */
    char ca_base[SITE_PATH_MAX], crt_base[SITE_PATH_MAX];
    site open[NEST_MAX]; /* what holds at each depth of blocks */
    bool is_site[NEST_MAX], is_place[NEST_MAX];
    unsigned nest;
    statement s;
    cs_err *err;
} reading;

const char *site_kind_text(site_kind kind) {
    static const char *const texts[] = {"unknown", "nginx", "Apache", "HAProxy", "mosquitto"};
    return texts[kind];
}

static cs_status bad(reading *r, const char *what, unsigned line, const char *why) {
    return cs_fail(r->err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s:%u: %s", what, line, why);
}

/* ---- which program's? ---- */

static bool has(cs_view text, const char *word) {
    return text.n > 0 && text.p != NULL && memmem(text.p, text.n, word, strlen(word)) != NULL;
}

static site_kind kind_of(cs_view text) {
    if (text.n == 0) return SITE_NONE;
    if (has(text, "ssl_certificate") || has(text, "http {") || has(text, "server {")) return SITE_NGINX;
    if (has(text, "<VirtualHost") || has(text, "SSLEngine") || has(text, "SSLVerify") || has(text, "LoadModule"))
        return SITE_APACHE;
    if (has(text, "frontend ") || has(text, "\nlisten ") || has(text, "bind ")) return SITE_HAPROXY;
    if (has(text, "listener ") || has(text, "cafile ") || has(text, "require_certificate")) return SITE_MOSQUITTO;
    return SITE_NONE;
}

/* ---- words ---- */

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One word, quoted or not, from *at on; cut at WORD_MAX. */
static void take_word(reading *r, cs_view text, size_t *at, const char *stops) {
    char *out = r->s.n < WORDS_MAX ? r->s.word[r->s.n] : NULL;
    size_t n = 0;
    uint8_t quote = text.p[*at] == '"' || text.p[*at] == '\'' ? text.p[(*at)++] : 0;
    for (; *at < text.n; (*at)++) {
        uint8_t c = text.p[*at];
        if (quote != 0 ? c == quote : is_space(c) || (c != 0 && strchr(stops, c) != NULL)) break;
        if (c == '\n') r->s.line++;
        if (out != NULL && n + 1 < WORD_MAX && c != 0) out[n++] = (char)c;
    }
    if (quote != 0 && *at < text.n) (*at)++;
    if (out == NULL) return;
    out[n] = '\0';
    r->s.n++;
}

/* The next statement of nginx (ended by ; { }) or of line-wise files; false: the end. */
static bool next_statement(reading *r, cs_view text, size_t *at, unsigned *line) {
    bool lines = r->to->kind != SITE_NGINX;
    r->s.n = 0, r->s.end = 0, r->s.line = *line;
    while (*at < text.n && r->s.end == 0) {
        uint8_t c = text.p[*at];
        if (c == '\n') {
            r->s.line++, (*at)++;
            if (lines && r->s.n > 0) r->s.end = ';';
        } else if (lines && c == '\\' && *at + 1 < text.n && text.p[*at + 1] == '\n') {
            *at += 2, r->s.line++;
        } else if (is_space(c)) {
            (*at)++;
        } else if (c == '#' && (!lines || r->s.n == 0 || r->to->kind == SITE_HAPROXY)) {
            while (*at < text.n && text.p[*at] != '\n') (*at)++;
        } else if (!lines && (c == ';' || c == '{' || c == '}')) {
            r->s.end = (char)c, (*at)++;
        } else {
            size_t before = *at;
            take_word(r, text, at, lines ? "" : ";{}");
            if (*at == before) (*at)++;
        }
    }
    if (r->s.end == 0 && lines && r->s.n > 0) r->s.end = ';';
    *line = r->s.line;
    return r->s.end != 0;
}

static const char *word(const reading *r, size_t i) {
    return i < r->s.n ? r->s.word[i] : "";
}
static bool is(const reading *r, const char *name) {
    return cs_view_eq_nocase(cs_view_str(word(r, 0)), cs_view_str(name));
}
static bool on(const char *text) {
    return strcmp(text, "on") == 0 || strcmp(text, "true") == 0;
}

static void path_of(const reading *r, const char *base, const char *text, char out[SITE_PATH_MAX]) {
    const char *from = base[0] != '\0' ? base : r->base;
    if (text[0] == '/' || text[0] == '\0' || from[0] == '\0')
        (void)snprintf(out, SITE_PATH_MAX, "%s", text);
    else
        (void)snprintf(out, SITE_PATH_MAX, "%.120s/%.130s", from, text);
}

/* "443", "127.0.0.1:443", "[::]:443", "*:443": the digits behind the last colon. */
static void add_port(site *s, const char *text) {
    const char *colon = strrchr(text, ':');
    unsigned long port = strtoul(colon != NULL ? colon + 1 : text, NULL, 10);
    if (port > 0 && port <= 65535 && s->port_count < SITE_PORTS_MAX) s->ports[s->port_count++] = (unsigned)port;
}

static site *now(reading *r) {
    return &r->open[r->nest];
}

static void keep(reading *r, const site *s) {
    if (r->to->n < SITES_MAX) r->to->at[r->to->n++] = *s;
}

static bool enter(reading *r, bool is_site, bool is_place) {
    if (r->nest + 1 == NEST_MAX) return false;
    r->nest++;
    *now(r) = r->open[r->nest - 1];
    r->is_site[r->nest] = is_site, r->is_place[r->nest] = is_place;
    if (is_site) now(r)->port_count = 0, now(r)->line = r->s.line;
    return true;
}

static bool leave(reading *r) {
    if (r->nest == 0) return false;
    if (r->is_site[r->nest]) keep(r, now(r));
    if (r->is_place[r->nest] && now(r)->late) r->open[r->nest - 1].late = true;
    r->nest--;
    return true;
}

/* ---- what they say ---- */

static cs_status read_file(reading *r, const char *path, unsigned depth);

static cs_status include(reading *r, const char *pattern, unsigned depth) {
    char path[SITE_PATH_MAX];
    glob_t found = {0};
    cs_status s = CS_OK;
    if (!r->follow) return CS_OK;
    path_of(r, "", pattern, path);
    if (glob(path, 0, NULL, &found) == 0)
        for (size_t i = 0; s == CS_OK && i < found.gl_pathc; i++) s = read_file(r, found.gl_pathv[i], depth + 1);
    globfree(&found);
    return s;
}

static void nginx(reading *r) {
    site *s = now(r);
    if (is(r, "listen")) add_port(s, word(r, 1));
    if (is(r, "ssl_certificate")) path_of(r, "", word(r, 1), s->cert);
    if (is(r, "ssl_certificate_key")) path_of(r, "", word(r, 1), s->key);
    if (is(r, "ssl_client_certificate")) path_of(r, "", word(r, 1), s->ca);
    if (is(r, "ssl_trusted_certificate")) path_of(r, "", word(r, 1), s->trusted);
    if (is(r, "ssl_crl")) path_of(r, "", word(r, 1), s->crl), s->crl_check = true;
    if (is(r, "ssl_verify_depth")) s->depth = (int)strtol(word(r, 1), NULL, 10);
    if (is(r, "ssl_verify_client")) {
        s->verify = strcmp(word(r, 1), "off") != 0;
        s->optional = strncmp(word(r, 1), "optional", 8) == 0;
    }
}

static void apache(reading *r) {
    site *s = now(r);
    if (is(r, "SSLCertificateFile")) path_of(r, "", word(r, 1), s->cert);
    if (is(r, "SSLCertificateKeyFile")) path_of(r, "", word(r, 1), s->key);
    if (is(r, "SSLCACertificateFile")) path_of(r, "", word(r, 1), s->ca);
    if (is(r, "SSLCACertificatePath")) path_of(r, "", word(r, 1), s->ca_path);
    if (is(r, "SSLCARevocationFile")) path_of(r, "", word(r, 1), s->crl);
    if (is(r, "SSLVerifyDepth")) s->depth = (int)strtol(word(r, 1), NULL, 10);
    if (is(r, "ServerRoot")) (void)snprintf(r->base, sizeof r->base, "%.255s", word(r, 1));
    if (is(r, "SSLCARevocationCheck")) {
        s->crl_check = strcmp(word(r, 1), "none") != 0;
        s->crl_leaf_only = strcmp(word(r, 1), "leaf") == 0;
    }
    if (is(r, "SSLVerifyClient") && strcmp(word(r, 1), "none") != 0) {
        if (r->is_place[r->nest])
            s->late = true;
        else
            s->verify = true, s->optional = strncmp(word(r, 1), "optional", 8) == 0;
    }
}

static void haproxy(reading *r) {
    site s = {.kind = SITE_HAPROXY, .depth = -1, .line = r->s.line, .crl_check = true};
    if (is(r, "ca-base")) (void)snprintf(r->ca_base, sizeof r->ca_base, "%.255s", word(r, 1));
    if (is(r, "crt-base")) (void)snprintf(r->crt_base, sizeof r->crt_base, "%.255s", word(r, 1));
    if (!is(r, "bind")) return;
    bool tls = false;
    add_port(&s, word(r, 1));
    for (size_t i = 2; i < r->s.n; i++) {
        const char *w = word(r, i), *next = word(r, i + 1);
        tls = tls || strcmp(w, "ssl") == 0;
        if (strcmp(w, "crt") == 0) path_of(r, r->crt_base, next, s.cert);
        if (strcmp(w, "ca-file") == 0) path_of(r, r->ca_base, next, s.ca);
        if (strcmp(w, "ca-verify-file") == 0) path_of(r, r->ca_base, next, s.trusted);
        if (strcmp(w, "crl-file") == 0) path_of(r, r->ca_base, next, s.crl);
        if (strcmp(w, "verify") == 0) s.verify = strcmp(next, "none") != 0, s.optional = strcmp(next, "optional") == 0;
    }
    if (tls) keep(r, &s);
}

static void mosquitto(reading *r) {
    site *s = now(r);
    if (is(r, "listener") || is(r, "port")) {
        if (s->port_count > 0) keep(r, s);
        *s = (site){.kind = SITE_MOSQUITTO, .depth = -1, .line = r->s.line, .crl_check = true, .crl_leaf_only = true};
        add_port(s, word(r, 1));
    }
    if (is(r, "certfile")) path_of(r, "", word(r, 1), s->cert);
    if (is(r, "keyfile")) path_of(r, "", word(r, 1), s->key);
    if (is(r, "cafile")) path_of(r, "", word(r, 1), s->ca);
    if (is(r, "capath")) path_of(r, "", word(r, 1), s->ca_path);
    if (is(r, "crlfile")) path_of(r, "", word(r, 1), s->crl);
    if (is(r, "require_certificate")) s->verify = on(word(r, 1));
    if (is(r, "use_identity_as_username") || is(r, "use_subject_as_username")) s->identity = on(word(r, 1));
}

/* ---- files ---- */

/* "<VirtualHost *:443>" as a block. */
static bool apache_section(reading *r, bool *ret_good) {
    char *first = r->s.word[0];
    size_t last = strlen(r->s.word[r->s.n - 1]);
    if (first[0] != '<') return false;
    if (last > 0 && r->s.word[r->s.n - 1][last - 1] == '>') r->s.word[r->s.n - 1][last - 1] = '\0';
    if (first[1] == '/') {
        *ret_good = leave(r);
        return true;
    }
    bool host = cs_view_eq_nocase(cs_view_str(first + 1), CS_VIEW_LIT("VirtualHost"));
    bool place = cs_view_starts(cs_view_str(first + 1), CS_VIEW_LIT("Location")) ||
                 cs_view_starts(cs_view_str(first + 1), CS_VIEW_LIT("Directory")) ||
                 cs_view_starts(cs_view_str(first + 1), CS_VIEW_LIT("Files"));
    *ret_good = enter(r, host, place);
    for (size_t i = 1; host && *ret_good && i < r->s.n; i++) add_port(now(r), word(r, i));
    return true;
}

static cs_status one_statement(reading *r, const char *what, unsigned depth) {
    bool good = true;
    if (r->to->kind == SITE_NGINX && r->s.end == '{') good = enter(r, is(r, "server"), is(r, "location"));
    if (r->to->kind == SITE_NGINX && r->s.end == '}') good = leave(r);
    if (r->to->kind == SITE_APACHE && apache_section(r, &good)) r->s.end = 0;
    if (!good) return bad(r, what, r->s.line, "blocks do not match, or are nested too deep");
    if (r->s.end != ';' || r->s.n == 0) return CS_OK;
    if (r->to->kind == SITE_NGINX && is(r, "include")) return include(r, word(r, 1), depth);
    if (r->to->kind == SITE_APACHE && (is(r, "Include") || is(r, "IncludeOptional")))
        return include(r, word(r, 1), depth);
    if (r->to->kind == SITE_MOSQUITTO && is(r, "include_dir")) {
        char pattern[SITE_PATH_MAX];
        (void)snprintf(pattern, sizeof pattern, "%.240s/*.conf", word(r, 1));
        return include(r, pattern, depth);
    }
    if (r->to->kind == SITE_NGINX) nginx(r);
    if (r->to->kind == SITE_APACHE) apache(r);
    if (r->to->kind == SITE_HAPROXY) haproxy(r);
    if (r->to->kind == SITE_MOSQUITTO) mosquitto(r);
    return CS_OK;
}

static cs_status read_text(reading *r, cs_view text, const char *what, unsigned depth) {
    size_t at = 0;
    unsigned line = 1, nest = r->nest;
    if (memchr(text.p, 0, text.n) != NULL) return bad(r, what, 1, "it is binary");
    if (r->to->kind == SITE_NONE) r->to->kind = kind_of(text);
    if (r->to->kind == SITE_NONE)
        return bad(r, what, 1, "neither nginx nor Apache nor HAProxy nor mosquitto is recognised");
    if (depth == 0) *now(r) = (site){.kind = r->to->kind, .depth = -1};
    while (next_statement(r, text, &at, &line)) TRY(one_statement(r, what, depth));
    return r->nest == nest ? CS_OK : bad(r, what, line, "a block is not ended");
}

static cs_status read_file(reading *r, const char *path, unsigned depth) {
    CS_SCOPED(cs_buf) b = cs_buf_of(SITES_FILE_MAX);
    if (depth > SITES_DEPTH_MAX || ++r->to->files > SITES_FILES_MAX)
        return cs_fail(r->err, CS_LIMIT, CS_R_LIMIT_REACHED,
                       "%s: included more than %d deep, or over %d files: a loop?", path, SITES_DEPTH_MAX,
                       SITES_FILES_MAX);
    cs_status s = files_read(path, SITES_FILE_MAX, &b, r->err);
    if (s != CS_OK) return r->err->reason == CS_R_FILE_EMPTY && depth > 0 ? CS_OK : s;
    return read_text(r, cs_buf_view(&b), path, depth);
}

static cs_status finish(reading *r, cs_status s) {
    if (s == CS_OK && r->to->kind == SITE_MOSQUITTO && now(r)->port_count > 0) keep(r, now(r));
    free(r);
    return s;
}

cs_status sites_read(const char *path, sites *ret, cs_err *err) {
    reading *r = calloc(1, sizeof *r);
    if (r == NULL) return CS_NOMEM_ERR(err);
    const char *slash = strrchr(path, '/');
    *ret = (sites){.n = 0};
    r->to = ret, r->follow = true, r->err = err;
    if (slash != NULL)
        (void)snprintf(r->base, sizeof r->base, "%.*s", (int)(slash - path < 200 ? slash - path : 200), path);
    return finish(r, read_file(r, path, 0));
}

cs_status sites_read_text(cs_view text, const char *what, sites *ret, cs_err *err) {
    reading *r = calloc(1, sizeof *r);
    if (r == NULL) return CS_NOMEM_ERR(err);
    *ret = (sites){.n = 0};
    r->to = ret, r->err = err;
    return finish(r, text.n > 0 ? read_text(r, text, what, 0) : bad(r, what, 1, "it is empty"));
}
