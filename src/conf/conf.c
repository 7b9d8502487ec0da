#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "conf/conf_priv.h"
#include "conf/tree.h"
#include "conf/value.h"
#include "io/files.h"
#include "x509/digest.h"

enum { CONF_FILE_MAX = 1024 * 1024 };

static const file_conf nothing_written;

/* ---- the command line ---- */

static cs_status check_option(const char *option, const char *text, conf_type type, cs_err *err) {
    if (text == NULL || conf_value_ok(type, text)) return CS_OK;
    return cs_fail(err, CS_REFUSED,
                   type == CONF_ADDRESS || type == CONF_ADDRESS_OFF ? CS_R_ADDRESS_INVALID : CS_R_USAGE,
                   "%s \"%.200s\", expected %s", option, text, conf_value_expected(type));
}

static cs_status check_said(const conf_overrides *said, cs_err *err) {
    if (said->state != NULL && said->state[0] == '\0')
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--state \"\", expected a folder");
    TRY(check_option("--https", said->https, CONF_ADDRESS, err));
    TRY(check_option("--http", said->http, CONF_ADDRESS_OFF, err));
    TRY(check_option("--metrics", said->metrics, CONF_ADDRESS_OFF, err));
    TRY(check_option("--upstream", said->upstream, CONF_UPSTREAM, err));
    TRY(check_option("--public-url", said->public_url, CONF_URL, err));
    return check_option("--trust-domain", said->trust_domain, CONF_TRUST_DOMAIN, err);
}

int conf_argv(const conf_overrides *said, const char *argv[CONF_ARGV_MAX], int at) {
    const conf_tunnel *t = &said->tunnel;
    const struct {
        const char *option, *value;
    } all[] = {
        {"--state", said->state},
        {"-c", said->file},
        {"--https", said->https},
        {"--http", said->http},
        {"--metrics", said->metrics},
        {"--upstream", said->upstream},
        {"--public-url", said->public_url},
        {"--trust-domain", said->trust_domain},
        {"--tunnel", t->listen},
        {"--remote", t->remote},
        {"--ca", t->ca},
        {"--cert", t->certificate},
        {"--key", t->key},
        {"--crl", t->crl},
        {"--server-name", t->server_name},
        {"--alpn", t->alpn},
        {"--starttls", t->starttls},
        {"--pins", t->pins},
    };
    static const char *const threads_text[] = {"0",  "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",  "9",  "10",
                                               "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21",
                                               "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].value == NULL || at + 3 > CONF_ARGV_MAX) continue;
        argv[at++] = all[i].option;
        argv[at++] = all[i].value;
    }
    size_t most = sizeof threads_text / sizeof threads_text[0] - 1;
    if (said->threads > 0 && at + 3 <= CONF_ARGV_MAX) {
        argv[at++] = "--threads";
        argv[at++] = threads_text[said->threads < most ? said->threads : most];
    }
    argv[at] = NULL;
    return at;
}

int conf_take(conf_overrides *said, int argc, char *const argv[], int at) {
    conf_tunnel *t = &said->tunnel;
    const struct {
        const char *option;
        const char **to;
    } all[] = {
        {"--state", &said->state},
        {"-c", &said->file},
        {"--config", &said->file},
        {"--https", &said->https},
        {"--http", &said->http},
        {"--metrics", &said->metrics},
        {"--upstream", &said->upstream},
        {"--public-url", &said->public_url},
        {"--trust-domain", &said->trust_domain},
        {"--tunnel", &t->listen},
        {"--remote", &t->remote},
        {"--ca", &t->ca},
        {"--cert", &t->certificate},
        {"--key", &t->key},
        {"--crl", &t->crl},
        {"--server-name", &t->server_name},
        {"--alpn", &t->alpn},
        {"--starttls", &t->starttls},
        {"--pins", &t->pins},
    };
    bool threads = strcmp(argv[at], "--threads") == 0;
    const char **to = NULL;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(argv[at], all[i].option) == 0) to = all[i].to;
    if (to == NULL && !threads) return 0;
    if (at + 1 >= argc) return -1;
    if (to != NULL) *to = argv[at + 1];
    if (threads) said->threads = (unsigned)strtoul(argv[at + 1], NULL, 10);
    return 2;
}

/* ---- the file ---- */

static cs_status folder_of_file(conf *c, const char **ret, cs_err *err) {
    char real[4096];
    if (realpath(c->file, real) == NULL) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", c->file);
    char *slash = strrchr(real, '/');
    *ret = conf_textf(c, "%.*s", slash == real ? 1 : (int)(slash - real), real);
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

static cs_status read_conf_file(conf *c, const char **ret_folder, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CONF_FILE_MAX), load = cs_buf_of((size_t)4 * CONF_FILE_MAX);
    bool empty = false;
    conf_memory *m = c->memory;
    TRY(files_read(c->file, CONF_FILE_MAX, &text, err));
    TRY(cs_sha256(cs_buf_view(&text), c->file_sha256, err));
    TRY(folder_of_file(c, ret_folder, err));
    TRY(conf_tree_check(cs_buf_view(&text), c->file, *ret_folder, &empty, &load, err));
    return empty ? CS_OK : conf_file_load(cs_buf_view(&load), c->file, &m->file, err);
}

/* -c FILE, else STATE/countersign.yaml when that exists. */
static cs_status find_and_read(conf *c, const conf_overrides *said, const char **ret_folder, cs_err *err) {
    if (said->file != NULL) {
        c->file = conf_textf(c, "%s", said->file);
        TRY(c->file != NULL ? CS_OK : CS_NOMEM_ERR(err));
        TRY(read_conf_file(c, ret_folder, err));
    }
    const file_conf *f = ((conf_memory *)c->memory)->file;
    TRY(conf_state_find(c, said->state, f != NULL ? f->state : NULL, *ret_folder, err));
    if (said->file != NULL) return CS_OK;
    const char *own = conf_textf(c, "%s/countersign.yaml", c->state);
    if (own == NULL) return CS_NOMEM_ERR(err);
    if (!files_exists(own)) return CS_OK;
    c->file = own;
    return read_conf_file(c, ret_folder, err);
}

/* ---- merging ---- */

static const char *first(const char *a, const char *b, const char *fallback) {
    return a != NULL ? a : b != NULL ? b : fallback;
}

static const char *off_is_empty(const char *address) {
    return strcmp(address, "off") == 0 ? "" : address;
}

static void set_time(cs_time *out, const char *text, cs_time fallback) {
    *out = fallback;
    if (text != NULL) (void)cs_duration_parse(cs_view_str(text), out); /* conf_tree_check has judged it */
}

/* What others reach us by: the listener's own address, or this machine's name when it listens on all. */
static const char *url_of_listener(conf *c) {
    char host[256] = "localhost";
    if (c->http[0] == '\0') return "http://localhost:8880";
    bool any = strncmp(c->http, "0.0.0.0:", 8) == 0 || strncmp(c->http, "[::]:", 5) == 0;
    if (!any) return conf_textf(c, "http://%s", c->http);
    if (gethostname(host, sizeof host - 1) != 0) (void)snprintf(host, sizeof host, "localhost");
    return conf_textf(c, "http://%s%s", host, strrchr(c->http, ':'));
}

static cs_status fill_names(conf *c, const conf_overrides *said, const file_conf *f, cs_err *err) {
    conf_ca ca = {NULL, NULL};
    if (!c->tunnel) TRY(conf_ca_read(c, &ca, err));
    c->https = first(said->https, f->https, "127.0.0.1:8443");
    c->http_said = said->http != NULL || f->http != NULL;
    c->http = off_is_empty(first(said->http, f->http, "127.0.0.1:8880"));
    c->metrics = off_is_empty(first(said->metrics, f->metrics, c->tunnel ? "off" : "127.0.0.1:9443"));
    c->trust_domain = first(said->trust_domain, f->trust_domain, ca.trust_domain);
    if (c->trust_domain == NULL) c->trust_domain = "countersign.internal";
    if (f->store != NULL && strcmp(f->store, "sqlite") != 0) c->store = f->store;
    c->public_url = first(said->public_url, f->public_url, NULL);
    /* a listener that was named says more about now than what the ceremony recorded */
    if (c->public_url == NULL && said->http == NULL && f->http == NULL) c->public_url = ca.public_url;
    if (c->public_url == NULL) c->public_url = url_of_listener(c);
    if (c->public_url == NULL) return CS_NOMEM_ERR(err);
    size_t n = strlen(c->public_url);
    if (c->public_url[n - 1] == '/') c->public_url = conf_textf(c, "%.*s", (int)n - 1, c->public_url);
    return c->public_url != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

static cs_status fill_times(conf *c, const file_conf *f, cs_err *err) {
    set_time(&c->ocsp_lifetime, f->ocsp.lifetime, CS_DAY);
    if (c->ocsp_lifetime < CS_MIN || c->ocsp_lifetime > 7 * CS_DAY)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: ocsp.lifetime: from 1m to 7d",
                       c->file != NULL ? c->file : "defaults");
    set_time(&c->revocation_grace, f->revocation_grace, 5 * CS_MIN);
    set_time(&c->limits.handshake, f->limits.handshake, 10 * CS_SEC);
    set_time(&c->limits.header, f->limits.header, 10 * CS_SEC);
    set_time(&c->limits.idle, f->limits.idle, 60 * CS_SEC);
    set_time(&c->limits.stream, f->limits.stream, CS_HOUR);
    set_time(&c->limits.connect, f->limits.connect, 5 * CS_SEC);
    set_time(&c->limits.upstream, f->limits.upstream, 60 * CS_SEC);
    set_time(&c->limits.drain, f->limits.drain, 10 * CS_SEC);
    if (f->follow == NULL || strcmp(f->follow, "off") != 0) set_time(&c->follow, f->follow, CS_SEC / 2);
    return conf_crl_fill(c, f, err);
}

static cs_status fill(conf *c, const conf_overrides *said, const file_conf *f, const char *folder, cs_err *err) {
    TRY(fill_names(c, said, f, err));
    TRY(fill_times(c, f, err));
    c->threads = said->threads > 0 ? said->threads : f->threads != NULL ? *f->threads : 0;
    c->limits.connections = f->limits.connections != NULL ? *f->limits.connections : 10000;
    c->limits.connections_per_address =
        f->limits.connections_per_address != NULL ? *f->limits.connections_per_address : 0;
    c->limits.handshakes = f->limits.handshakes != NULL ? *f->limits.handshakes : 0;
    c->limits.handshakes_per_address = f->limits.handshakes_per_address != NULL ? *f->limits.handshakes_per_address : 0;
    c->limits.body_rate = f->limits.body_rate != NULL ? *f->limits.body_rate : 100;
    c->limits.body = f->limits.body != NULL ? *f->limits.body : 0;
    for (unsigned i = 0; i < f->two_person_count; i++)
        for (unsigned k = 0; conf_two_words[k] != NULL; k++)
            if (strcmp(f->two_person[i], conf_two_words[k]) == 0) c->two_person |= 1U << k;
    TRY(conf_texts_fill(c, f->weak_keys, f->weak_keys_count, &c->weak_keys, err));
    for (unsigned i = 0; i < c->weak_keys.n; i++) c->weak_keys.at[i] = conf_file_path(c, folder, c->weak_keys.at[i]);
    c->log_format = first(f->log.format, NULL, "json");
    c->access_log = f->log.access != NULL ? *f->log.access : true;
    TRY(conf_notices_fill(c, f, folder, err));
    TRY(conf_profiles_fill(c, f, err));
    if (c->tunnel) return conf_tunnel_fill(c, &said->tunnel, err);
    TRY(conf_sites_fill(c, f, folder, said->upstream, err));
    return conf_enroll_fill(c, f, folder, err);
}

/* The caller's strings may go before the conf does. */
static cs_status keep_said(conf *c, const conf_overrides *said, conf_overrides *kept, cs_err *err) {
    conf_tunnel *t = &kept->tunnel;
    const char **fields[] = {&kept->state,
                             &kept->file,
                             &kept->https,
                             &kept->http,
                             &kept->metrics,
                             &kept->upstream,
                             &kept->public_url,
                             &kept->trust_domain,
                             &t->listen,
                             &t->remote,
                             &t->ca,
                             &t->certificate,
                             &t->key,
                             &t->crl,
                             &t->server_name,
                             &t->alpn,
                             &t->starttls,
                             &t->pins};
    *kept = *said;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (*fields[i] == NULL) continue;
        *fields[i] = conf_textf(c, "%s", *fields[i]);
        if (*fields[i] == NULL) return CS_NOMEM_ERR(err);
    }
    return CS_OK;
}

cs_status conf_load(const conf_overrides *said, conf **ret, cs_err *err) {
    const char *folder = NULL;
    conf_overrides kept;
    CS_AUTO(conf) c = calloc(1, sizeof *c);
    if (c == NULL || (c->memory = calloc(1, sizeof(conf_memory))) == NULL) return CS_NOMEM_ERR(err);
    TRY(keep_said(c, said, &kept, err));
    TRY(check_said(&kept, err));
    c->tunnel = kept.tunnel.listen != NULL;
    if (c->tunnel)
        c->state = "/"; /* nothing of it is used */
    else
        TRY(find_and_read(c, &kept, &folder, err));
    const file_conf *f = ((conf_memory *)c->memory)->file;
    TRY(fill(c, &kept, f != NULL ? f : &nothing_written, folder, err));
    *ret = CS_TAKE(c);
    return CS_OK;
}

const char *conf_file_text(const conf *c, char out[CONF_FILE_TEXT_MAX]) {
    char hex[2 * sizeof c->file_sha256 + 1];
    if (c->file == NULL)
        (void)snprintf(out, CONF_FILE_TEXT_MAX, "no configuration file");
    else
        (void)snprintf(out, CONF_FILE_TEXT_MAX, "%.500s sha256 %s", c->file,
                       cs_hex(cs_view_of(c->file_sha256, sizeof c->file_sha256), hex));
    return out;
}
