/* countersign device allow|list|remove: devices that enroll by their maker's certificate, or by a key, without a
 * token. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/fleet.h"
#include "cli/print.h"
#include "cli/progress.h"

enum { BATCH = 400, SAID_MAX = 20 };

typedef struct device_said {
    conf_overrides conf;
    const char *from, *vendor, *serial, *key, *profile, *until;
    bool keep_going, json;
} device_said;

static const fleet_column columns[] = {
    {"name", false, false},       {"vendor", false, false},  {"serial", false, false},
    {"key_sha256", false, false}, {"profile", false, false}, {"not_after", false, false},
};

/* ---- one ---- */

static cs_status check_row(const json_t *row, cs_err *err) {
    uint8_t hash[32];
    size_t n = 0;
    cs_time until = 0;
    const char *name = json_text(row, "name"), *serial = json_text(row, "serial"), *key = json_text(row, "key_sha256");
    cs_identity who;
    TRY(cs_identity_make(CS_KIND_DEVICE, cs_view_str(name[0] != '\0' ? name : serial), &who, err));
    if (key[0] != '\0' && (!cs_hex_decode(cs_view_str(key), hash, sizeof hash, &n) || n != sizeof hash))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "key_sha256: 64 hexadecimal digits are expected");
    if (json_text(row, "not_after")[0] != '\0' && !cs_time_parse(cs_view_str(json_text(row, "not_after")), &until))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "not_after: a time such as 2027-01-31T00:00:00Z");
    return CS_OK;
}

/* CS_OK also when some were refused: *ret is the answer. */
static cs_status send_rows(session *s, const json_t *rows, json_t **ret, cs_err *err) {
    json_t *body = json_pack("{s:O}", "devices", rows);
    if (body == NULL) return CS_NOMEM_ERR(err);
    cs_status status = session_call(s, "POST", "/api/v1/devices", body, true, ret, err);
    json_decref(body);
    return status;
}

/* What the authority said of row `at` of those that it refused. */
static cs_status refusal(const json_t *answer, size_t at, cs_err *err) {
    const json_t *r = json_array_get(json_object_get(answer, "refused"), at);
    cs_reason why = cs_reason_by_name(json_text(r, "reason"));
    return cs_fail(err, CS_REFUSED, why != CS_R_NONE ? why : CS_R_DEVICE_INVALID, "%s", json_text(r, "detail"));
}

static cs_status allow_one(const device_said *said, session *s, const char *name, cs_buf *b, cs_err *err) {
    json_t *answer = NULL;
    json_t *row = json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", name, "vendor", said->vendor, "serial",
                            said->serial, "key_sha256", said->key, "profile", said->profile, "not_after", said->until);
    json_t *rows = row != NULL ? json_pack("[O]", row) : NULL;
    cs_status status =
        rows == NULL ? cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "not UTF-8 text") : check_row(row, err);
    if (status == CS_OK) status = send_rows(s, rows, &answer, err);
    if (status == CS_OK && json_number(answer, "allowed") != 1) status = refusal(answer, 0, err);
    if (status == CS_OK && said->json)
        (void)print_json(answer);
    else if (status == CS_OK)
        (void)cs_buf_addf(b, "Allowed: device %s\n", name);
    json_decref(answer);
    json_decref(rows);
    json_decref(row);
    return status;
}

/* ---- a list ---- */

typedef struct loading {
    const device_said *said;
    fleet *list;
    bool *skip; /* by row: bad, and told */
    size_t allowed, bad;
    cs_json refused; /* --json: of bad rows, one object each */
} loading;

static void tell_bad(loading *l, unsigned line, const cs_err *why) {
    l->bad++;
    cs_json_object(&l->refused, NULL);
    cs_json_int(&l->refused, "line", line);
    cs_json_str(&l->refused, "reason", cs_reason_of(why->reason)->name);
    cs_json_str(&l->refused, "detail", why->detail);
    cs_json_object_end(&l->refused);
    if (l->bad <= SAID_MAX) (void)fprintf(stderr, "%s: %s\n", cs_reason_of(why->reason)->name, why->detail);
    if (l->bad == SAID_MAX + 1) (void)fputs("... and more\n", stderr);
}

static cs_status judge(loading *l, cs_err *err) {
    for (size_t i = 0; i < fleet_count(l->list); i++) {
        json_t *row = NULL;
        cs_err why;
        cs_status status = fleet_said(l->list, i, &row, &why);
        if (status == CS_OK && (status = check_row(row, &why)) != CS_OK)
            (void)cs_fail_in(&why, "line %u", fleet_line(l->list, i));
        json_decref(row);
        if (status == CS_NOMEM) {
            *err = why;
            return status;
        }
        l->skip[i] = status != CS_OK;
        if (l->skip[i]) tell_bad(l, fleet_line(l->list, i), &why);
    }
    return CS_OK;
}

static cs_status load_batch(loading *l, session *s, json_t *rows, const size_t at[], cs_err *err) {
    json_t *answer = NULL;
    const json_t *one = NULL;
    size_t i = 0;
    TRY(send_rows(s, rows, &answer, err));
    l->allowed += (size_t)json_number(answer, "allowed");
    json_array_foreach(json_object_get(answer, "refused"), i, one) {
        cs_err why;
        size_t row = (size_t)json_number(one, "index");
        if (row >= json_array_size(rows)) continue;
        (void)refusal(answer, i, &why);
        (void)cs_fail_in(&why, "line %u", fleet_line(l->list, at[row]));
        tell_bad(l, fleet_line(l->list, at[row]), &why);
    }
    json_decref(answer);
    return CS_OK;
}

static cs_status load(loading *l, session *s, cs_err *err) {
    size_t n = fleet_count(l->list), at[BATCH], k = 0;
    cs_status status = CS_OK;
    json_t *rows = json_array();
    progress p = progress_begin("devices", n);
    for (size_t i = 0; i <= n && status == CS_OK; i++) {
        json_t *row = NULL;
        if (i < n && l->skip[i]) continue;
        if (i < n) status = fleet_said(l->list, i, &row, err);
        if (i < n && status == CS_OK && json_array_append_new(rows, row) != 0) status = CS_NOMEM_ERR(err);
        if (i < n) at[k++] = i;
        if (status != CS_OK || k == 0 || (k < BATCH && i < n)) continue;
        status = load_batch(l, s, rows, at, err);
        (void)json_array_clear(rows);
        k = 0;
        progress_at(&p, i);
    }
    progress_end(&p);
    json_decref(rows);
    return status;
}

static cs_status allow_list(const device_said *said, session *s, cs_buf *b, cs_err *err) {
    CS_AUTO(fleet) list = NULL;
    CS_SCOPED(cs_buf) refused = cs_buf_of(64 * 1024 * 1024);
    TRY(fleet_open_columns(said->from, columns, sizeof columns / sizeof columns[0], &list, err));
    loading l = {.said = said, .list = list, .refused = cs_json_to(&refused)};
    l.skip = calloc(fleet_count(list), sizeof *l.skip);
    if (l.skip == NULL) return CS_NOMEM_ERR(err);
    cs_json_object(&l.refused, NULL);
    cs_json_array(&l.refused, "refused");
    cs_status status = judge(&l, err);
    if (status == CS_OK && (l.bad == 0 || said->keep_going)) status = load(&l, s, err);
    free(l.skip);
    TRY(status);
    cs_json_array_end(&l.refused);
    cs_json_int(&l.refused, "allowed", (int64_t)l.allowed);
    cs_json_object_end(&l.refused);
    TRY(cs_buf_ok(&refused, "what was refused", err));
    if (said->json)
        (void)printf("%.*s\n", (int)refused.n, (const char *)refused.p);
    else if (l.allowed > 0 || l.bad == 0)
        (void)cs_buf_addf(b, "Allowed: %zu devices\n", l.allowed);
    if (l.bad == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "%s: %zu of %zu lines%s", said->from, l.bad, fleet_count(list),
                   l.allowed == 0 ? "; none was loaded" : "");
}

/* ---- list, remove ---- */

static void add_row(table *t, const json_t *a) {
    char until[32];
    const char *ends = json_text(a, "not_after");
    table_add(t, json_text(a, "name"));
    table_add(t, json_text(a, "vendor"));
    table_add(t, json_text(a, "serial"));
    table_add(t, json_text(a, "key_sha256"));
    table_add(t, json_text(a, "profile"));
    table_add(t, ends[0] != '\0' ? short_time(ends, until) : "");
}

static cs_status list(const device_said *said, session *s, const char *name, cs_buf *b, cs_err *err) {
    static const char *const heads[] = {"NAME", "VENDOR", "SERIAL", "KEY", "PROFILE", "UNTIL"};
    const list_form form = {.columns = 6, .heads = heads, .add = add_row, .json = said->json};
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    (void)cs_buf_add_str(&path, "/api/v1/devices");
    if (name != NULL && cs_buf_add_str(&path, "?name=")) (void)url_add(&path, name);
    return list_rows(s, cs_buf_cstr(&path), "devices", 0, &form, b, err);
}

static cs_status drop(const device_said *said, session *s, const char *name, cs_buf *b, cs_err *err) {
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "name", name);
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_DEVICE_UNKNOWN, "the name is not UTF-8 text");
    cs_status status = session_call(s, "POST", "/api/v1/devices/remove", body, false, &answer, err);
    json_decref(body);
    if (status != CS_OK) return status;
    if (said->json)
        (void)print_json(answer);
    else
        (void)cs_buf_addf(b, "Removed: device %s\n", name);
    json_decref(answer);
    return CS_OK;
}

static cs_status run(const device_said *said, const cli_texts *o, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    bool allows = strcmp(o->at[0], "allow") == 0 && o->n == (said->from != NULL ? 1U : 2U);
    bool lists = strcmp(o->at[0], "list") == 0 && o->n <= 2, removes = strcmp(o->at[0], "remove") == 0 && o->n == 2;
    if (!allows && !lists && !removes)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "expected allow NAME, allow --from FILE, list [NAME] or remove NAME");
    TRY(open_session(&said->conf, &c, &s, err));
    if (lists) return list(said, s, o->n == 2 ? o->at[1] : NULL, b, err);
    if (removes) return drop(said, s, o->at[1], b, err);
    return said->from != NULL ? allow_list(said, s, b, err) : allow_one(said, s, o->at[1], b, err);
}

int cli_device(int argc, char **argv) {
    device_said said = {.json = false};
    const cli_opt opts[] = {
        {"from", 0, CLI_TEXT, &said.from, "FILE", "allow each device of this list: CSV with a heading, or JSON lines"},
        {"keep-going", 0, CLI_FLAG, &said.keep_going, NULL, "with --from: leave out bad lines, else none is loaded"},
        {"serial", 0, CLI_TEXT, &said.serial, "TEXT", "its serial number, as its maker's certificate says"},
        {"vendor", 0, CLI_TEXT, &said.vendor, "NAME", "whose certificate (default: any of enroll.vendors)"},
        {"key-sha256", 0, CLI_TEXT, &said.key, "HEX", "the SHA-256 of its SubjectPublicKeyInfo"},
        {"profile", 0, CLI_TEXT, &said.profile, "NAME", "by which profile (default: the vendor's, else device)"},
        {"until", 0, CLI_TEXT, &said.until, "TIME", "how long it may enroll, such as 2027-01-31T00:00:00Z"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "device",
        .synopsis = "allow NAME | allow --from FILE | list [NAME] | remove NAME [OPTION]...",
        .says = "Devices that may enroll without a token: by their maker's certificate with that serial number\n"
                "(enroll.vendors), or by a key whose hash is known (enroll.listed_keys).",
        .examples = "  countersign device allow pump-17 --vendor acme --serial 4711\n"
                    "  countersign device allow --from delivery.csv",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 2,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024 * 1024);
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    cs_status status = run(&said, &operands, &b, &err);
    if (status != CS_OK) {
        (void)cli_print(&b);
        return cli_fail("device", &err, said.json);
    }
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
