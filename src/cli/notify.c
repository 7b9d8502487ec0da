/* countersign notify: tells of certificates that end soon. */
#include "cli/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/print.h"
#include "io/files.h"

enum { TOLD_MAX = 64 * 1024 * 1024, MAIL_DATE_MAX = 40 };

/* ---- what was told ---- */

static cs_status told_path(const conf *c, char out[FILES_PATH_MAX], cs_err *err) {
    return files_join(c->state, "notices.json", out, err);
}

/* {"mail": {SERIAL: TERM IN SECONDS}, "webhook": {...}}; a damaged file only means that things are told twice. */
static cs_status told_read(const conf *c, json_t **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    json_error_t why;
    CS_SCOPED(cs_buf) text = cs_buf_of(TOLD_MAX);
    TRY(told_path(c, path, err));
    *ret = files_exists(path) && files_read(path, TOLD_MAX, &text, err) == CS_OK
               ? json_loadb((const char *)text.p, text.n, 0, &why)
               : NULL;
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        *ret = json_object();
    }
    for (size_t i = 0; i < 2; i++) {
        const char *way = i == 0 ? "mail" : "webhook";
        if (!json_is_object(json_object_get(*ret, way))) (void)json_object_set_new(*ret, way, json_object());
    }
    return CS_OK;
}

static cs_status told_write(const conf *c, const json_t *told, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(told_path(c, path, err));
    char *text = json_dumps(told, JSON_COMPACT);
    if (text == NULL) return CS_NOMEM_ERR(err);
    cs_status s = files_write(path, cs_view_str(text), 0600, FILES_REPLACE, err);
    free(text);
    return s;
}

/* ---- what ends soon ---- */

/* The shortest term that has begun. */
static cs_time term_of(const conf_notices *n, cs_time left) {
    cs_time term = n->before[0];
    for (unsigned i = 0; i < n->before_count; i++)
        if (left <= n->before[i]) term = n->before[i];
    return term;
}

/* Does the identity hold a certificate that ends later? Then this one may end. */
static cs_status is_renewed(const json_t *cert, notify_get get, void *to, bool *ret, cs_err *err) {
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    json_t *answer = NULL;
    (void)cs_buf_add_str(&path, "/api/v1/certificates?status=valid&limit=1&kind=");
    (void)url_add(&path, json_text(cert, "kind"));
    (void)cs_buf_add_str(&path, "&exact=true&name=");
    (void)url_add(&path, json_text(cert, "name"));
    TRY(get(to, cs_buf_cstr(&path), &answer, err));
    const json_t *newest = json_array_get(json_object_get(answer, "certificates"), 0);
    *ret = strcmp(json_text(newest, "not_after"), json_text(cert, "not_after")) > 0; /* RFC 3339 sorts as text */
    json_decref(answer);
    return CS_OK;
}

typedef struct ending {
    const conf *conf;
    notify_get get;
    void *to;
    cs_time now;
    const json_t *told;
    json_t *due[2]; /* mail, webhook */
    json_t *all;
} ending;

static bool wants(const ending *e, int way) {
    return way == 0 ? e->conf->notices.mail_to.n > 0 : e->conf->notices.webhook != NULL;
}

static bool was_told(const ending *e, int way, const char *serial, cs_time term) {
    const json_t *map = json_object_get(e->told, way == 0 ? "mail" : "webhook");
    const json_t *last = json_object_get(map, serial);
    return last != NULL && json_integer_value(last) <= term / CS_SEC;
}

static cs_status take(ending *e, const json_t *cert, cs_err *err) {
    const char *serial = json_text(cert, "serial");
    cs_time end = 0;
    bool renewed = false;
    if (!cs_time_parse(cs_view_str(json_text(cert, "not_after")), &end)) return CS_OK;
    cs_time term = term_of(&e->conf->notices, end - e->now);
    bool due[2];
    for (int way = 0; way < 2; way++) due[way] = wants(e, way) && !was_told(e, way, serial, term);
    if (!due[0] && !due[1]) return CS_OK;
    TRY(is_renewed(cert, e->get, e->to, &renewed, err));
    if (renewed) return CS_OK;
    json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "serial", serial, "kind", json_text(cert, "kind"), "name",
                            json_text(cert, "name"), "not_after", json_text(cert, "not_after"), "days_left",
                            (json_int_t)((end - e->now) / CS_DAY), "term_seconds", (json_int_t)(term / CS_SEC));
    if (one == NULL) return CS_NOMEM_ERR(err);
    for (int way = 0; way < 2; way++)
        if (due[way]) (void)json_array_append(e->due[way], one);
    return json_array_append_new(e->all, one) == 0 ? CS_OK : CS_NOMEM_ERR(err);
}

static cs_status take_row(void *cls, const json_t *cert, cs_err *err) {
    return take(cls, cert, err);
}

static cs_status find(ending *e, cs_err *err) {
    char path[128];
    (void)snprintf(path, sizeof path, "/api/v1/certificates?status=valid&expires_within=%llds",
                   (long long)(e->conf->notices.before[0] / CS_SEC));
    return each_row(e->get, e->to, path, "certificates", 0, take_row, e, err);
}

/* ---- telling ---- */

static void add_words(cs_buf *b, const json_t *due) {
    const json_t *one = NULL;
    size_t i = 0;
    json_array_foreach(due, i, one) {
        (void)cs_buf_addf(b, "%s %s ends on %s (in %lld days), serial %s\n", json_text(one, "kind"),
                          json_text(one, "name"), json_text(one, "not_after"), (long long)json_number(one, "days_left"),
                          json_text(one, "serial"));
    }
}

/* RFC 5322 3.3. */
static const char *mail_date(cs_time t, char out[MAIL_DATE_MAX]) {
    time_t seconds = (time_t)cs_time_seconds(t);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, MAIL_DATE_MAX, "%a, %d %b %Y %H:%M:%S +0000", &tm) == 0)
        out[0] = '\0';
    return out;
}

static cs_status tell_mail(const conf *c, const json_t *due, cs_time now, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)64 * 1024 * 1024);
    const conf_notices *n = &c->notices;
    char date[MAIL_DATE_MAX];
    (void)cs_buf_addf(&b, "From: countersign <%s>\nTo: ", n->mail_from);
    for (unsigned i = 0; i < n->mail_to.n; i++) (void)cs_buf_addf(&b, "%s%s", i > 0 ? ", " : "", n->mail_to.at[i]);
    (void)cs_buf_addf(&b,
                      "\nSubject: %zu certificates end soon\nDate: %s\nAuto-Submitted: auto-generated\n"
                      "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n",
                      json_array_size(due), mail_date(now, date));
    add_words(&b, due);
    (void)cs_buf_addf(&b,
                      "\nFrom the authority in %s. Devices that run the agent renew by themselves;\n"
                      "for others: countersign issue KIND NAME.\n",
                      c->state);
    TRY(cs_buf_ok(&b, "the message", err));
    return notify_mail(n, cs_buf_cstr(&b), err);
}

static cs_status tell_webhook(const conf *c, json_t *due, cs_err *err) {
    json_t *body = json_pack("{s:s, s:O}", "event", "certificates-end-soon", "certificates", due);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    cs_status s = text != NULL ? notify_webhook(&c->notices, text, err) : CS_NOMEM_ERR(err);
    free(text);
    json_decref(body);
    return s;
}

static cs_status tell(const ending *e, int way, json_t *told, cs_err *err) {
    json_t *map = json_object_get(told, way == 0 ? "mail" : "webhook");
    const json_t *one = NULL;
    size_t i = 0;
    if (json_array_size(e->due[way]) == 0) return CS_OK;
    TRY(way == 0 ? tell_mail(e->conf, e->due[0], e->now, err) : tell_webhook(e->conf, e->due[1], err));
    json_array_foreach(e->due[way], i, one) {
        (void)json_object_set(map, json_text(one, "serial"), json_object_get(one, "term_seconds"));
    }
    return told_write(e->conf, told, err);
}

cs_status notify_run(const conf *c, notify_get get, void *to, cs_time now, bool dry, notify_made *ret, cs_err *err) {
    json_t *told = NULL;
    cs_err why;
    *ret = (notify_made){.all = json_array()};
    if (c->notices.before_count == 0)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "the configuration has no notices");
    TRY(told_read(c, &told, err));
    ending e = {.conf = c, .get = get, .to = to, .now = now, .told = told, .all = ret->all};
    for (int way = 0; way < 2; way++) e.due[way] = json_array();
    cs_status s = find(&e, err);
    for (int way = 0; s == CS_OK && !dry && way < 2; way++) {
        if (tell(&e, way, told, way == 0 ? err : &why) == CS_OK) continue;
        if (way == 1) *err = why;
        s = err->status;
        if (way == 0 && tell(&e, 1, told, &why) == CS_OK) break; /* the other way is not kept by this one */
    }
    ret->due = json_array_size(ret->all);
    for (int way = 0; way < 2; way++) json_decref(e.due[way]);
    json_decref(told);
    return s;
}

/* ---- the command ---- */

typedef struct notify_said {
    conf_overrides conf;
    bool dry, json;
} notify_said;

static cs_status run(const notify_said *said, notify_made *made, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    TRY(open_session(&said->conf, &c, &s, err));
    return notify_run(c, session_get, s, cs_now(cs_clock_system()), said->dry, made, err);
}

int cli_notify(int argc, char **argv) {
    notify_said said = {0};
    const cli_opt opts[] = {
        {"dry-run", 0, CLI_FLAG, &said.dry, NULL, "say what would be told, and tell nobody"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "notify",
        .synopsis = "[OPTION]...",
        .says = "Tells those that the configuration's notices name of certificates that end soon, each once for each\n"
                "term. A running `up` does it each hour.",
        .opts = opts,
    };
    cli_texts operands;
    notify_made made = {.all = NULL};
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    cs_status s = run(&said, &made, &err);
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)64 * 1024 * 1024);
    if (s == CS_OK && !said.json) {
        add_words(&b, made.all);
        (void)cs_buf_addf(&b, "%s %zu certificates that end soon\n", said.dry ? "Would tell of" : "Told of", made.due);
    }
    if (s != CS_OK)
        code = cli_fail("notify", &err, said.json);
    else if (said.json)
        code = print_json(made.all);
    else
        code = cli_print(&b) ? CLI_DONE : CLI_FAILED;
    json_decref(made.all);
    return code;
}
