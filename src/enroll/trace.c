#include "enroll/trace.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"
#include "io/files.h"
#include "report/log.h"

enum { LINE_MAX = 2048, COLUMNS = 76 };

struct enroll_trace {
    enroll *e;
    cs_buf text;
};

enroll_trace *enroll_trace_begin(enroll *e, const char *door, const char *source) {
    char now[CS_TIME_TEXT_MAX];
    enroll_trace *t = e->conf->enroll_trace ? calloc(1, sizeof *t) : NULL;
    if (t == NULL) return NULL;
    t->e = e;
    t->text = cs_buf_of(ENROLL_TRACE_MAX);
    enroll_trace_line(t, "at", "%s", cs_time_text(cs_now(e->clock), now));
    enroll_trace_line(t, "door", "%s", door);
    enroll_trace_line(t, "from", "%s", source);
    return t;
}

void enroll_trace_line(enroll_trace *t, const char *key, const char *fmt, ...) {
    char line[LINE_MAX];
    va_list args;
    if (t == NULL) return;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    (void)cs_buf_addf(&t->text, "%s: ", key);
    (void)cs_text_escape(&t->text, cs_view_of(line, n < 0 ? 0 : n < LINE_MAX ? (size_t)n : LINE_MAX - 1), LINE_MAX);
    (void)cs_buf_add_byte(&t->text, '\n');
}

void enroll_trace_bytes(enroll_trace *t, const char *key, cs_view bytes) {
    CS_SCOPED(cs_buf) text = cs_buf_of(ENROLL_TRACE_MAX);
    if (t == NULL) return;
    (void)cs_buf_addf(&t->text, "%s: %zu octets\n", key, bytes.n);
    if (!cs_base64_add(&text, bytes)) return;
    for (size_t i = 0; i < text.n; i += COLUMNS)
        (void)cs_buf_addf(&t->text, "  %.*s\n", (int)(text.n - i < COLUMNS ? text.n - i : COLUMNS),
                          (const char *)text.p + i);
}

void enroll_trace_cert(enroll_trace *t, const char *key, const cs_cert *cert) {
    char name[CS_NAME_TEXT_MAX + 1], issuer[CS_NAME_TEXT_MAX + 1], serial[STORE_SERIAL_TEXT], words[CS_KEY_TEXT_MAX];
    if (t == NULL) return;
    if (cert == NULL || cert->serial.n > CS_SERIAL_MAX) {
        enroll_trace_line(t, key, "none");
        return;
    }
    enroll_trace_line(t, key, "%s, serial %s, by %s, %s", cs_name_text(cert->subject, name),
                      cs_hex(cert->serial, serial), cs_name_text(cert->issuer, issuer),
                      cs_key_spki_text(cert->spki, words));
}

void enroll_trace_csr(enroll_trace *t, const cs_csr *csr) {
    char name[CS_NAME_TEXT_MAX + 1], words[CS_KEY_TEXT_MAX], hash[65];
    CS_SCOPED(cs_buf) sans = cs_buf_of(LINE_MAX);
    if (t == NULL) return;
    enroll_trace_line(t, "request", "%s, %s, key %s", cs_name_text(csr->subject, name),
                      cs_key_spki_text(csr->spki, words), cs_hex(cs_view_of(csr->spki_sha256, 32), hash));
    for (size_t i = 0; i < csr->san_count; i++) {
        (void)cs_buf_add_str(&sans, i > 0 ? ", " : "");
        (void)cs_san_add(&sans, &csr->sans[i]);
    }
    const char *text = cs_buf_cstr(&sans);
    enroll_trace_line(t, "names", "%s", csr->san_count == 0 ? "none" : text != NULL ? text : "too many");
    enroll_trace_line(t, "challenge", "%s", csr->challenge.n > 0 ? "there is one" : "none");
}

static cs_status keep(enroll_trace *t, cs_err *err) {
    static atomic_uint made;
    char dir[CONF_PATH_MAX], path[CONF_PATH_MAX], below[64];
    (void)snprintf(below, sizeof below, "authority/trace/%04u.txt", atomic_fetch_add(&made, 1) % ENROLL_TRACE_FILES);
    TRY(conf_path(t->e->conf, "authority/trace", dir, err));
    TRY(conf_path(t->e->conf, below, path, err));
    TRY(files_mkdir_private(dir, err));
    return files_write_unsynced(path, cs_buf_view(&t->text), 0600, FILES_REPLACE, err);
}

void enroll_trace_end(enroll_trace *t, const cs_err *why) {
    cs_err err;
    if (t == NULL) return;
    if (why != NULL)
        enroll_trace_line(t, "refused", "%s: %s", cs_reason_of(why->reason)->name, why->detail);
    else
        enroll_trace_line(t, "refused", "no");
    if (keep(t, &err) != CS_OK) log_failure(LOG_WARN, "trace-failed", &err);
    cs_buf_free(&t->text);
    free(t);
}
