/* One table of keys: from it come what is allowed, of which type it is, and what is said when it is not. */
#include "renew/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <yaml.h>

#include "io/files.h"

typedef enum type {
    T_TEXT,
    T_NAME,  /* of an identity: a file name too */
    T_URL,   /* http:// or https:// */
    T_HTTPS, /* https:// */
    T_HEX32, /* with or without colons */
    T_PATH,  /* made absolute */
    T_TEXTS, /* a list, or one */
    T_PINS,  /* sha256//BASE64 */
    T_KIND,
    T_KEY_TYPE,
    T_WHAT,
    T_MODE,
    T_PERCENT,
    T_DURATION,
    T_TRUTH,
    T_ADDRESS, /* HOST:PORT */
    T_LOG,
    T_SIGNAL,
    T_FILES,
    T_IDENTITIES,
} type;

static const char *const expected[] = {
    [T_TEXT] = "a text",
    [T_NAME] = "1 to 128 letters, digits, . _ - or @, not beginning with a dot",
    [T_URL] = "https://HOST... or http://HOST...",
    [T_HTTPS] = "https://HOST...",
    [T_HEX32] = "64 hexadecimal digits",
    [T_PATH] = "a path",
    [T_TEXTS] = "a text or a list of texts",
    [T_PINS] = "a list of sha256//BASE64, two at least: one is the backup",
    [T_KIND] = "server, user or device",
    [T_KEY_TYPE] = "ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096",
    [T_WHAT] = "key, certificate, chain, fullchain, ca, combined or p12",
    [T_MODE] = "an octal mode such as \"0640\", nothing for others where a key is in the file",
    [T_PERCENT] = "a percentage of the life, 10 to 95",
    [T_DURATION] = "a duration such as 30s, 15m, 8h or 2d",
    [T_TRUTH] = "true or false",
    [T_ADDRESS] = "HOST:PORT",
    [T_LOG] = "json or text",
    [T_SIGNAL] = "HUP, USR1, USR2, INT, TERM or WINCH",
    [T_FILES] = "a list of files, each with path and content",
    [T_IDENTITIES] = "a list of identities, each with name and url",
};

typedef struct row {
    const char *key;
    type type;
    size_t at;
    bool needed;
} row;

#define ROW(of, key, type, field)                                                                                      \
    { key, type, offsetof(of, field), false }
#define NEEDED(of, key, type, field)                                                                                   \
    { key, type, offsetof(of, field), true }

static const row top_rows[] = {
    ROW(renew_conf, "state", T_PATH, state),
    ROW(renew_conf, "metrics", T_PATH, metrics),
    ROW(renew_conf, "log", T_LOG, log_format),
    NEEDED(renew_conf, "identities", T_IDENTITIES, identities),
    {NULL, T_TEXT, 0, false},
};

static const row identity_rows[] = {
    NEEDED(renew_identity, "name", T_NAME, name),
    NEEDED(renew_identity, "url", T_URL, url),
    ROW(renew_identity, "protocol", T_TEXT, protocol),
    ROW(renew_identity, "profile", T_TEXT, profile),
    ROW(renew_identity, "kind", T_KIND, kind),
    ROW(renew_identity, "user", T_TEXT, user),
    ROW(renew_identity, "dns", T_TEXTS, dns),
    ROW(renew_identity, "ip", T_TEXTS, ip),
    ROW(renew_identity, "email", T_TEXTS, email),
    ROW(renew_identity, "ca", T_PATH, ca),
    ROW(renew_identity, "ca_fingerprint", T_HEX32, ca_fingerprint),
    ROW(renew_identity, "pins", T_PINS, pins),
    ROW(renew_identity, "token_file", T_PATH, token_file),
    ROW(renew_identity, "manufacturer_certificate", T_PATH, manufacturer_certificate),
    ROW(renew_identity, "manufacturer_key", T_PATH, manufacturer_key),
    ROW(renew_identity, "webroot", T_PATH, webroot),
    ROW(renew_identity, "listen", T_ADDRESS, listen),
    ROW(renew_identity, "prover", T_PATH, prover),
    ROW(renew_identity, "account_key", T_PATH, account_key),
    ROW(renew_identity, "key_type", T_KEY_TYPE, key_type),
    ROW(renew_identity, "reuse_key", T_TRUTH, reuse_key),
    ROW(renew_identity, "renew_at", T_PERCENT, renew_at),
    ROW(renew_identity, "retry", T_DURATION, retry),
    ROW(renew_identity, "retry_most", T_DURATION, retry_most),
    ROW(renew_identity, "files", T_FILES, files),
    ROW(renew_identity, "reload_unit", T_TEXT, reload_unit),
    ROW(renew_identity, "pid_file", T_PATH, pid_file),
    ROW(renew_identity, "signal", T_SIGNAL, signal),
    ROW(renew_identity, "command", T_TEXTS, command),
    ROW(renew_identity, "time_limit", T_DURATION, time_limit),
    ROW(renew_identity, "prove_served", T_ADDRESS, prove_served),
    ROW(renew_identity, "prove_name", T_TEXT, prove_name),
    ROW(renew_identity, "prove_accepted", T_HTTPS, prove_accepted),
    ROW(renew_identity, "prove_limit", T_DURATION, prove_limit),
    {NULL, T_TEXT, 0, false},
};

static const row file_rows[] = {
    NEEDED(renew_file, "path", T_PATH, path),
    NEEDED(renew_file, "content", T_WHAT, what),
    ROW(renew_file, "mode", T_MODE, mode),
    ROW(renew_file, "owner", T_TEXT, owner),
    ROW(renew_file, "group", T_TEXT, group),
    ROW(renew_file, "password_file", T_PATH, password_file),
    {NULL, T_TEXT, 0, false},
};

typedef struct block {
    struct block *next;
    max_align_t data[];
} block;

typedef struct reading {
    yaml_document_t doc;
    const char *file, *folder;
    renew_conf *c;
    cs_err *err;
} reading;

/* ---- memory ---- */

static void *take(renew_conf *c, size_t n) {
    block *b = calloc(1, sizeof *b + n);
    if (b == NULL) return NULL;
    b->next = c->memory;
    c->memory = b;
    return b->data;
}

static cs_status copy(renew_conf *c, const char *folder, const char *text, const char **ret, cs_err *err) {
    size_t a = folder != NULL ? strlen(folder) + 1 : 0, n = strlen(text);
    char *to = take(c, a + n + 1);
    if (to == NULL) return CS_NOMEM_ERR(err);
    if (a > 0) (void)snprintf(to, a + n + 1, "%s/%s", folder, text);
    if (a == 0) memcpy(to, text, n + 1);
    *ret = to;
    return CS_OK;
}

void renew_conf_free(renew_conf *c) {
    if (c == NULL) return;
    for (block *b = c->memory, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(c);
}

/* ---- saying where ---- */

static cs_status bad(reading *r, const yaml_node_t *node, const char *key, const char *fmt, ...) CS_PRINTF(4, 5);
static cs_status bad(reading *r, const yaml_node_t *node, const char *key, const char *fmt, ...) {
    char text[CS_DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return cs_fail(r->err, CS_REFUSED, CS_R_CONFIG_INVALID, "%.200s:%zu:%zu: %.100s: %s", r->file,
                   node->start_mark.line + 1, node->start_mark.column + 1, key, text);
}

static cs_status wrong(reading *r, const yaml_node_t *node, const row *w) {
    const char *is = node->type == YAML_SCALAR_NODE    ? (const char *)node->data.scalar.value
                     : node->type == YAML_MAPPING_NODE ? "(a mapping)"
                                                       : "(a list)";
    return bad(r, node, w->key, "\"%.100s\", expected %s", is, expected[w->type]);
}

/* ---- scalars ---- */

static bool name_ok(const char *s) {
    size_t n = strlen(s), fit = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@");
    return n > 0 && n <= 128 && fit == n && s[0] != '.' && s[0] != '-';
}

static bool one_of(const char *s, const char *const *names, unsigned *ret) {
    for (unsigned i = 0; names[i] != NULL; i++)
        if (strcmp(s, names[i]) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static bool address_ok(const char *s) {
    const char *colon = strrchr(s, ':');
    return colon != NULL && colon != s && colon[1] != '\0' && strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static bool hex_ok(const char *s) {
    return strlen(s) >= 64 && strspn(s, "0123456789abcdefABCDEF:") == strlen(s);
}

static bool number(const char *s, int base, unsigned least, unsigned most, unsigned *ret) {
    char *end = NULL;
    unsigned long n = strtoul(s, &end, base);
    if (s[0] < '0' || s[0] > '9' || *end != '\0' || n < least || n > most) return false;
    *ret = (unsigned)n;
    return true;
}

/* Those whose text is judged, and then kept as it is. */
static bool text_ok(type t, const char *s) {
    cs_key_spec spec;
    cs_err ignored;
    unsigned which = 0;
    switch (t) {
    case T_NAME: return name_ok(s);
    case T_URL: return strncmp(s, "https://", 8) == 0 || strncmp(s, "http://", 7) == 0;
    case T_HTTPS: return strncmp(s, "https://", 8) == 0;
    case T_HEX32: return hex_ok(s);
    case T_KEY_TYPE: return cs_key_spec_parse(cs_view_str(s), &spec, &ignored) == CS_OK;
    case T_ADDRESS: return address_ok(s);
    case T_LOG: return strcmp(s, "json") == 0 || strcmp(s, "text") == 0;
    case T_SIGNAL: return one_of(s, (const char *const[]){"HUP", "USR1", "USR2", "INT", "TERM", "WINCH", NULL}, &which);
    default: return s[0] != '\0';
    }
}

/* Those that become a number. */
static bool value_of(type t, const char *s, void *to) {
    static const char *const whats[] = {"key", "certificate", "chain", "fullchain", "ca", "combined", "p12", NULL};
    cs_kind kind;
    unsigned n = 0;
    switch (t) {
    case T_KIND:
        if (!cs_kind_parse(cs_view_str(s), &kind)) return false;
        *(unsigned *)to = kind;
        return true;
    case T_WHAT:
        if (!one_of(s, whats, &n)) return false;
        *(renew_what *)to = (renew_what)n;
        return true;
    case T_MODE: return number(s, 8, 0400, 0777, to);
    case T_PERCENT: return number(s, 10, 10, 95, to);
    case T_DURATION: return cs_duration_parse(cs_view_str(s), to);
    case T_TRUTH: *(bool *)to = strcmp(s, "true") == 0; return *(bool *)to || strcmp(s, "false") == 0;
    default: return false;
    }
}

static bool is_value(type t) {
    return t == T_KIND || t == T_WHAT || t == T_MODE || t == T_PERCENT || t == T_DURATION || t == T_TRUTH;
}

static cs_status read_scalar(reading *r, const yaml_node_t *node, const row *w, void *to) {
    const char *s = (const char *)node->data.scalar.value;
    if (node->type != YAML_SCALAR_NODE || strlen(s) != node->data.scalar.length || node->data.scalar.length > 1000)
        return wrong(r, node, w);
    if (is_value(w->type)) return value_of(w->type, s, to) ? CS_OK : wrong(r, node, w);
    if (!text_ok(w->type, s)) return wrong(r, node, w);
    return copy(r->c, w->type == T_PATH && s[0] != '/' ? r->folder : NULL, s, to, r->err);
}

/* ---- lists and mappings ---- */

static yaml_node_t *item(reading *r, const yaml_node_t *list, size_t i) {
    return yaml_document_get_node(&r->doc, list->data.sequence.items.start[i]);
}

static size_t length(const yaml_node_t *list) {
    return (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
}

static cs_status read_texts(reading *r, const yaml_node_t *node, const row *w, renew_texts *to) {
    const row one = {w->key, T_TEXT, 0, false};
    bool list = node->type == YAML_SEQUENCE_NODE;
    size_t n = list ? length(node) : 1;
    if (node->type == YAML_MAPPING_NODE || n == 0 || n > RENEW_TEXTS_MAX) return wrong(r, node, w);
    to->at = take(r->c, n * sizeof *to->at);
    if (to->at == NULL) return CS_NOMEM_ERR(r->err);
    for (; to->n < n; to->n++) {
        const yaml_node_t *at = list ? item(r, node, to->n) : node;
        TRY(read_scalar(r, at, &one, &to->at[to->n]));
        bool pin = strncmp(to->at[to->n], "sha256//", 8) == 0 && strlen(to->at[to->n]) == 52;
        if (w->type == T_PINS && !pin) return wrong(r, at, w);
    }
    return w->type == T_PINS && n < 2 ? wrong(r, node, w) : CS_OK;
}

static cs_status read_mapping(reading *r, const yaml_node_t *node, const char *what, const row *rows, void *to);

static cs_status check_file(reading *r, const yaml_node_t *node, const renew_file *f) {
    bool secret = f->what == RENEW_WHAT_KEY || f->what == RENEW_WHAT_COMBINED || f->what == RENEW_WHAT_P12;
    if (secret && (f->mode & 0007) != 0) return bad(r, node, "mode", "\"0%o\", expected %s", f->mode, expected[T_MODE]);
    if ((f->what == RENEW_WHAT_P12) != (f->password_file != NULL))
        return bad(r, node, "password_file", "it belongs to a p12, and a p12 needs it");
    return CS_OK;
}

static cs_status read_files(reading *r, const yaml_node_t *node, const row *w, renew_identity *id) {
    if (node->type != YAML_SEQUENCE_NODE || length(node) > RENEW_FILES_MAX) return wrong(r, node, w);
    size_t n = length(node);
    id->files = take(r->c, (n + 1) * sizeof *id->files);
    if (id->files == NULL) return CS_NOMEM_ERR(r->err);
    for (; id->file_count < n; id->file_count++) {
        const yaml_node_t *at = item(r, node, id->file_count);
        TRY(read_mapping(r, at, "a file", file_rows, &id->files[id->file_count]));
        TRY(check_file(r, at, &id->files[id->file_count]));
    }
    return CS_OK;
}

static cs_status check_identity(reading *r, const yaml_node_t *node, renew_identity *id) {
    for (size_t i = 0; i < r->c->identity_count; i++)
        if (strcmp(r->c->identities[i].name, id->name) == 0)
            return bad(r, node, "name", "\"%s\" twice, expected another name for each identity", id->name);
    if (id->ca != NULL && id->ca_fingerprint != NULL)
        return bad(r, node, "ca_fingerprint", "either ca or ca_fingerprint is expected");
    if ((id->manufacturer_certificate == NULL) != (id->manufacturer_key == NULL))
        return bad(r, node, "manufacturer_key", "it goes with manufacturer_certificate");
    if ((id->pid_file == NULL) != (id->signal == NULL)) return bad(r, node, "signal", "it goes with pid_file");
    if ((id->reload_unit != NULL) + (id->pid_file != NULL) + (id->command.n > 0) > 1)
        return bad(r, node, "command", "one of reload_unit, signal and command is expected");
    if (id->command.n > 0 && id->command.at[0][0] != '/')
        return bad(r, node, "command", "\"%.100s\", expected a program's absolute path, then its arguments",
                   id->command.at[0]);
    if (id->renew_at == 0) id->renew_at = RENEW_RULES_DEFAULT.percent;
    if (id->retry == 0) id->retry = RENEW_RULES_DEFAULT.retry_least;
    if (id->retry_most == 0) id->retry_most = RENEW_RULES_DEFAULT.retry_most;
    if (id->time_limit == 0) id->time_limit = 30 * CS_SEC;
    if (id->prove_limit == 0) id->prove_limit = 10 * CS_SEC;
    return CS_OK;
}

static cs_status read_identities(reading *r, const yaml_node_t *node, const row *w) {
    if (node->type != YAML_SEQUENCE_NODE || length(node) == 0 || length(node) > RENEW_IDENTITIES_MAX)
        return wrong(r, node, w);
    size_t n = length(node);
    renew_conf *c = r->c;
    c->identities = take(c, n * sizeof *c->identities);
    if (c->identities == NULL) return CS_NOMEM_ERR(r->err);
    for (; c->identity_count < n; c->identity_count++) {
        const yaml_node_t *at = item(r, node, c->identity_count);
        TRY(read_mapping(r, at, "an identity", identity_rows, &c->identities[c->identity_count]));
        TRY(check_identity(r, at, &c->identities[c->identity_count]));
    }
    return CS_OK;
}

static cs_status read_row(reading *r, const yaml_node_t *node, const row *w, void *to) {
    void *field = (char *)to + w->at;
    switch (w->type) {
    case T_TEXTS:
    case T_PINS: return read_texts(r, node, w, field);
    case T_FILES: return read_files(r, node, w, to);
    case T_IDENTITIES: return read_identities(r, node, w);
    default: return read_scalar(r, node, w, field);
    }
}

static cs_status unknown_key(reading *r, const yaml_node_t *key, const row *rows) {
    CS_SCOPED(cs_buf) all = cs_buf_of(4096);
    for (const row *w = rows; w->key != NULL; w++) (void)cs_buf_addf(&all, "%s%s", w == rows ? "" : ", ", w->key);
    const char *text = cs_buf_cstr(&all);
    return bad(r, key, (const char *)key->data.scalar.value, "unknown, expected one of %s", text != NULL ? text : "");
}

static cs_status read_mapping(reading *r, const yaml_node_t *node, const char *what, const row *rows, void *to) {
    uint64_t had = 0;
    if (node->type != YAML_MAPPING_NODE) return bad(r, node, what, "expected keys and values");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
        const yaml_node_t *value = yaml_document_get_node(&r->doc, p->value);
        size_t i = 0;
        if (key->type != YAML_SCALAR_NODE) return bad(r, key, what, "expected keys and values");
        while (rows[i].key != NULL && strcmp(rows[i].key, (const char *)key->data.scalar.value) != 0) i++;
        if (rows[i].key == NULL) return unknown_key(r, key, rows);
        if ((had & (uint64_t)1 << i) != 0) return bad(r, key, rows[i].key, "said twice");
        had |= (uint64_t)1 << i;
        TRY(read_row(r, value, &rows[i], to));
    }
    for (size_t i = 0; rows[i].key != NULL; i++)
        if (rows[i].needed && (had & (uint64_t)1 << i) == 0)
            return bad(r, node, what, "%s is missing, expected %s", rows[i].key, expected[rows[i].type]);
    return CS_OK;
}

/* ---- whole ---- */

/* Aliases may make a small text endless. */
static cs_status no_aliases(cs_view text, const char *file, cs_err *err) {
    yaml_parser_t p;
    yaml_event_t e;
    bool ended = false, alias = false, failed = false;
    if (yaml_parser_initialize(&p) != 1) return CS_NOMEM_ERR(err);
    yaml_parser_set_input_string(&p, text.p, text.n);
    while (!ended && !alias && !failed) {
        failed = yaml_parser_parse(&p, &e) != 1;
        if (failed) break;
        alias = e.type == YAML_ALIAS_EVENT;
        ended = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    if (failed)
        (void)cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%.200s:%zu:%zu: %s", file, p.problem_mark.line + 1,
                      p.problem_mark.column + 1, p.problem != NULL ? p.problem : "it is no YAML");
    yaml_parser_delete(&p);
    if (alias) return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%.200s: aliases are not taken", file);
    return failed ? CS_REFUSED : CS_OK;
}

static cs_status default_state(renew_conf *c, cs_err *err) {
    const char *systemd = getenv("STATE_DIRECTORY");
    if (c->state != NULL) return CS_OK;
    return copy(c, NULL, systemd != NULL && systemd[0] == '/' ? systemd : "/var/lib/countersign-agent", &c->state, err);
}

cs_status renew_conf_read(cs_view text, const char *file, const char *folder, renew_conf **ret, cs_err *err) {
    yaml_parser_t p;
    CS_AUTO(renew_conf) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    TRY(no_aliases(text, file, err));
    TRY(copy(c, NULL, file, &c->file, err));
    reading r = {.file = file, .folder = folder, .c = c, .err = err};
    if (yaml_parser_initialize(&p) != 1) return CS_NOMEM_ERR(err);
    yaml_parser_set_input_string(&p, text.p, text.n);
    bool loaded = yaml_parser_load(&p, &r.doc) == 1;
    yaml_parser_delete(&p);
    if (!loaded) return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%.200s: it is no YAML", file);
    const yaml_node_t *root = yaml_document_get_root_node(&r.doc);
    cs_status s = root == NULL ? cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%.200s: it is empty", file)
                               : read_mapping(&r, root, "the file", top_rows, c);
    yaml_document_delete(&r.doc);
    TRY(s);
    TRY(default_state(c, err));
    *ret = CS_TAKE(c);
    return CS_OK;
}

cs_status renew_conf_load(const char *path, renew_conf **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(RENEW_CONF_MAX);
    char whole[PATH_MAX];
    TRY(files_read(path, RENEW_CONF_MAX, &text, err));
    if (realpath(path, whole) == NULL) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    char *slash = strrchr(whole, '/');
    if (slash != NULL) *slash = '\0';
    return renew_conf_read(cs_buf_view(&text), path, whole, ret, err);
}
