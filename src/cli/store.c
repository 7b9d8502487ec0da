/* countersign store check|backup|restore|migrate: the authority's store as a whole. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "io/files.h"
#include "store/upkeep.h"

typedef struct store_said {
    conf_overrides conf;
    const char *to;
    bool force, json;
} store_said;

/* A store's place from what was typed: NULL: the configuration's; "sqlite": the file in the state folder. */
static cs_status place(const conf *c, const char *word, char out[FILES_PATH_MAX], cs_err *err) {
    if (word == NULL && c->store != NULL) word = c->store;
    if (word == NULL || strcmp(word, "sqlite") == 0) return conf_path(c, "authority/store.db", out, err);
    if (snprintf(out, FILES_PATH_MAX, "%s", word) >= FILES_PATH_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a path of more than %d octets", FILES_PATH_MAX - 1);
    return CS_OK;
}

/* While a store is filled or moved no authority may start on this state folder. */
static cs_status keep_out(const conf *c, int *ret_lock, cs_err *err) {
    char path[FILES_PATH_MAX];
    *ret_lock = -1;
    if (!files_exists(c->state)) return CS_OK;
    TRY(conf_path(c, ".lock", path, err));
    TRY(files_lock(path, 0, "another countersign", ret_lock, err));
    TRY(conf_path(c, "authority", path, err));
    return files_mkdir_private(path, err);
}

static void close_lock(int *fd) {
    if (*fd >= 0) (void)close(*fd);
}

/* ---- check ---- */

typedef struct checked {
    cs_buf *words;
    cs_json rules;
    unsigned kept, broken;
} checked;

static cs_status take_rule(void *cls, const store_checked *one, cs_err *err) {
    checked *k = cls;
    (void)err;
    if (one->wrong == 0)
        k->kept++;
    else
        k->broken++;
    cs_json_object(&k->rules, NULL);
    cs_json_str(&k->rules, "rule", one->rule);
    cs_json_int(&k->rules, "wrong", (int64_t)one->wrong);
    if (one->wrong > 0) {
        cs_json_str(&k->rules, "says", one->says);
        cs_json_str(&k->rules, "first", one->first);
        (void)cs_buf_addf(k->words, "broken  %s: %s (%llu): ", one->rule, one->says, (unsigned long long)one->wrong);
        (void)cs_text_escape(k->words, cs_view_str(one->first), 300);
        (void)cs_buf_add_byte(k->words, '\n');
    }
    cs_json_object_end(&k->rules);
    return CS_OK;
}

static void put_log(cs_json *j, uint64_t size, const merkle_hash *root) {
    cs_json_int(j, "log_size", (int64_t)size);
    if (size > 0) cs_json_hex(j, "log_root", cs_view_of(root->at, sizeof root->at));
}

static void say_log(cs_buf *b, uint64_t size, const merkle_hash *root) {
    char hex[2 * sizeof root->at + 1];
    (void)cs_buf_addf(b, "an audit log of %llu records", (unsigned long long)size);
    if (size > 0) (void)cs_buf_addf(b, ", root %s", cs_hex(cs_view_of(root->at, sizeof root->at), hex));
    (void)cs_buf_add_byte(b, '\n');
}

/* CS_REFUSED when a rule is broken; what was found is in b then too. */
static cs_status check(const store_said *said, store *st, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) words = cs_buf_of(64 * 1024);
    CS_SCOPED(cs_buf) text = cs_buf_of(64 * 1024);
    checked k = {.words = &words, .rules = cs_json_to(&text)};
    store_check_sum sum;
    cs_json_object(&k.rules, NULL);
    cs_json_str(&k.rules, "store", store_name(st));
    cs_json_array(&k.rules, "rules");
    TRY(store_check(st, cs_now(cs_clock_system()), take_rule, &k, &sum, err));
    cs_json_array_end(&k.rules);
    cs_json_str(&k.rules, "result", sum.wrong == 0 ? "kept" : "broken");
    cs_json_int(&k.rules, "schema", (int64_t)sum.schema);
    cs_json_int(&k.rules, "certificates", (int64_t)sum.certificates);
    put_log(&k.rules, sum.log_size, &sum.log_root);
    cs_json_object_end(&k.rules);
    (void)cs_buf_add_view(b, cs_buf_view(said->json ? &text : &words));
    if (said->json) (void)cs_buf_add_byte(b, '\n');
    if (!said->json && sum.wrong == 0) {
        (void)cs_buf_addf(b, "%s: %u rules kept; %llu certificates, ", store_name(st), k.kept,
                          (unsigned long long)sum.certificates);
        say_log(b, sum.log_size, &sum.log_root);
    }
    TRY(cs_buf_ok(b, "what the check found", err));
    if (sum.wrong == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_STORE_RULE_BROKEN, "%s: %u of %u rules", store_name(st), k.broken,
                   k.broken + k.kept);
}

static cs_status check_where(const store_said *said, const conf *c, const char *word, cs_buf *b, cs_err *err) {
    char at[FILES_PATH_MAX];
    CS_AUTO(store) st = NULL;
    TRY(place(c, word, at, err));
    TRY(store_open_as_is(at, &st, err));
    return check(said, st, b, err);
}

/* ---- copies ---- */

static void say_copied(const store_said *said, const char *verb, const char *from, const char *to,
                       const store_copied *made, cs_buf *b) {
    if (!said->json) {
        (void)cs_buf_addf(b, "%s %s to %s: %llu rows of %llu tables, read back; %llu certificates, ", verb, from, to,
                          (unsigned long long)made->rows, (unsigned long long)made->tables,
                          (unsigned long long)made->certificates);
        say_log(b, made->log_size, &made->log_root);
        return;
    }
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "result", "done");
    cs_json_str(&j, "from", from);
    cs_json_str(&j, "to", to);
    cs_json_int(&j, "tables", (int64_t)made->tables);
    cs_json_int(&j, "rows", (int64_t)made->rows);
    cs_json_int(&j, "certificates", (int64_t)made->certificates);
    put_log(&j, made->log_size, &made->log_root);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static cs_status copy_to_file(store *from, const char *part, store_copied *made, cs_err *err) {
    CS_AUTO(store) to = NULL;
    TRY(store_open_bare(part, &to, err));
    return store_copy(from, to, made, err);
}

/* Whole or not at all: the file has its name only when everything was read back. */
static cs_status backup(const store_said *said, const conf *c, const char *file, cs_buf *b, cs_err *err) {
    char at[FILES_PATH_MAX], part[FILES_PATH_MAX], dir[FILES_PATH_MAX];
    store_copied made;
    CS_AUTO(store) from = NULL;
    TRY(place(c, NULL, at, err));
    if (!said->force && files_exists(file)) return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s", file);
    if (store_is_url(file) || snprintf(part, sizeof part, "%s.part", file) >= (int)sizeof part)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s: a backup is a file", file);
    TRY(store_open_as_is(at, &from, err));
    (void)unlink(part);
    cs_status status = copy_to_file(from, part, &made, err);
    if (status == CS_OK && rename(part, file) != 0)
        status = cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", file);
    if (status != CS_OK) {
        (void)unlink(part);
        return status;
    }
    (void)snprintf(dir, sizeof dir, "%s", file);
    char *slash = strrchr(dir, '/');
    if (slash == NULL) (void)snprintf(dir, sizeof dir, ".");
    if (slash != NULL) slash[slash == dir] = '\0';
    TRY(files_sync_all(dir, err));
    say_copied(said, "Copied", store_name(from), file, &made, b);
    return cs_buf_ok(b, "the answer", err);
}

static cs_status restore(const store_said *said, const conf *c, const char *file, cs_buf *b, cs_err *err) {
    char to_at[FILES_PATH_MAX];
    __attribute__((cleanup(close_lock))) int lock = -1;
    store_copied made;
    CS_AUTO(store) from = NULL;
    CS_AUTO(store) to = NULL;
    CS_SCOPED(cs_buf) found = cs_buf_of(256 * 1024);
    const store_said quiet = {.json = false};
    TRY(place(c, said->to, to_at, err));
    TRY(keep_out(c, &lock, err));
    TRY(store_open_as_is(file, &from, err));
    TRY(store_open_bare(to_at, &to, err));
    cs_status status = check(&quiet, from, &found, err);
    if (status != CS_OK && (err->reason != CS_R_STORE_RULE_BROKEN || !said->force)) {
        (void)fputs(cs_buf_cstr(&found), stderr);
        return status;
    }
    TRY(store_copy(from, to, &made, err));
    say_copied(said, "Restored", store_name(from), store_name(to), &made, b);
    return cs_buf_ok(b, "the answer", err);
}

static cs_status migrate(const store_said *said, const conf *c, const char *from_word, const char *to_word, cs_buf *b,
                         cs_err *err) {
    char from_at[FILES_PATH_MAX], to_at[FILES_PATH_MAX];
    __attribute__((cleanup(close_lock))) int lock = -1;
    store_copied made;
    CS_AUTO(store) from = NULL;
    CS_AUTO(store) to = NULL;
    TRY(place(c, from_word, from_at, err));
    TRY(place(c, to_word, to_at, err));
    TRY(keep_out(c, &lock, err));
    TRY(store_open_as_is(from_at, &from, err));
    TRY(store_open_bare(to_at, &to, err));
    TRY(store_move(from, to, &made, err));
    say_copied(said, "Moved", store_name(from), store_name(to), &made, b);
    if (!said->json)
        (void)cs_buf_addf(b, "Now the configuration's store line must name the new one: store: %s\n",
                          store_is_url(to_at) ? to_at : "sqlite");
    return cs_buf_ok(b, "the answer", err);
}

/* ---- the command ---- */

static cs_status run(const store_said *said, const cli_texts *o, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    const char *verb = o->at[0];
    bool checks = strcmp(verb, "check") == 0 && o->n <= 2, backs = strcmp(verb, "backup") == 0 && o->n == 2;
    bool restores = strcmp(verb, "restore") == 0 && o->n == 2, moves = strcmp(verb, "migrate") == 0 && o->n == 3;
    cs_process_guard();
    if (!checks && !backs && !restores && !moves)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "expected check [STORE], backup FILE, restore FILE or migrate FROM TO");
    if (said->to != NULL && !restores) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--to belongs to restore");
    TRY(conf_load(&said->conf, &c, err));
    if (checks) return check_where(said, c, o->n == 2 ? o->at[1] : NULL, b, err);
    if (backs) return backup(said, c, o->at[1], b, err);
    return restores ? restore(said, c, o->at[1], b, err) : migrate(said, c, o->at[1], o->at[2], b, err);
}

int cli_store(int argc, char **argv) {
    store_said said = {.to = NULL};
    const cli_opt opts[] = {
        {"to", 0, CLI_TEXT, &said.to, "STORE", "restore: into that store (default: the configuration's)"},
        {"force", 0, CLI_FLAG, &said.force, NULL, "backup: replace FILE; restore: even if rules are broken in it"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "store",
        .synopsis = "check [STORE] | backup FILE | restore FILE | migrate FROM TO [OPTION]...",
        .says = "Looks the authority's store over, copies it into a file while it is in use, fills an empty one from\n"
                "such a file, or moves it to another database. STORE, FROM and TO are sqlite (the file in the state\n"
                "folder), a file, or a postgresql:// URL. A copy is read back before it counts.",
        .examples = "  countersign store check\n  countersign store backup /backup/store-2026-11-25.db\n"
                    "  countersign store migrate sqlite "
                    "'postgresql://countersign@db.corp.example/countersign?passfile=/etc/countersign/pgpass'",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 3,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    cs_status status = run(&said, &operands, &b, &err);
    bool broken = status != CS_OK && err.reason == CS_R_STORE_RULE_BROKEN && b.n > 0;
    if ((status == CS_OK || broken) && !cli_print(&b)) return CLI_FAILED;
    return status == CS_OK ? CLI_DONE : cli_fail("store", &err, said.json && !broken);
}
