#include "conf/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <yaml.h>

#include "base/text.h"
#include "conf/schema.h"
#include "conf/value.h"

enum { KEY_PATH_MAX = 256 };

typedef struct tree {
    yaml_document_t doc;
    const char *file, *folder;
    cs_err *err;
} tree;

/* `path` is as people read it ("sites[0].upstream"), `kind` as conf_type_of wants it ("sites[].upstream"). */
typedef struct where {
    char path[KEY_PATH_MAX], kind[KEY_PATH_MAX];
} where;

static cs_status bad_at(tree *t, const yaml_node_t *node, const char *path, const char *fmt, ...) CS_PRINTF(4, 5);
static cs_status bad_at(tree *t, const yaml_node_t *node, const char *path, const char *fmt, ...) {
    char text[CS_DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return cs_fail(t->err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s:%zu:%zu: %s%s%s", t->file, node->start_mark.line + 1,
                   node->start_mark.column + 1, path, path[0] != '\0' ? ": " : "", text);
}

static const char *scalar(const yaml_node_t *node) {
    return (const char *)node->data.scalar.value;
}

static where below(const where *up, const char *key) {
    where w;
    const char *dot = up->path[0] != '\0' ? "." : "";
    (void)snprintf(w.path, sizeof w.path, "%s%s%s", up->path, dot, key);
    (void)snprintf(w.kind, sizeof w.kind, "%s%s%s", up->kind, dot, key);
    return w;
}

/* ---- scalars ---- */

static cs_status check_file(tree *t, const yaml_node_t *node, const where *w) {
    char path[2048];
    const char *name = scalar(node);
    (void)snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : t->folder, name[0] == '/' ? "" : "/", name);
    if (access(path, R_OK) == 0) return CS_OK;
    char words[128];
    return bad_at(t, node, w->path, "%s: %s, expected %s", path, strerror_r(errno, words, sizeof words),
                  conf_value_expected(CONF_FILE));
}

static cs_status check_text(tree *t, const yaml_node_t *node, const where *w) {
    conf_type type = conf_type_of(w->kind);
    const char *text = scalar(node);
    if (strlen(text) != node->data.scalar.length)
        return bad_at(t, node, w->path, "a NUL character, expected %s", conf_value_expected(type));
    if (node->data.scalar.length > 1000) return bad_at(t, node, w->path, "more than 1000 bytes");
    if (!conf_value_ok(type, text))
        return bad_at(t, node, w->path, "\"%.100s\", expected %s", text, conf_value_expected(type));
    bool file = type == CONF_FILE || (type == CONF_CA_NAMES && strcmp(text, "all") != 0 && strcmp(text, "none") != 0) ||
                (type == CONF_TICKET_KEYS && strcmp(text, "authority") != 0);
    return file ? check_file(t, node, w) : CS_OK;
}

static cs_status check_number(tree *t, const yaml_node_t *node, const where *w, uint32_t size) {
    const char *text = scalar(node);
    char *end = NULL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    bool digits = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    if (!digits || errno != 0 || *end != '\0' || (size == 4 && n > 0xffffffffULL))
        return bad_at(t, node, w->path, "\"%.100s\", expected a whole number, 0 or more", text);
    return CS_OK;
}

static cs_status check_truth(tree *t, const yaml_node_t *node, const where *w) {
    if (strcmp(scalar(node), "true") == 0 || strcmp(scalar(node), "false") == 0) return CS_OK;
    return bad_at(t, node, w->path, "\"%.100s\", expected true or false", scalar(node));
}

/* ---- structure ---- */

static cs_status check_value(tree *t, const yaml_node_t *node, const cyaml_schema_value_t *schema, const where *w);

static const cyaml_schema_field_t *field_of(const cyaml_schema_field_t *fields, const char *key) {
    for (; fields->key != NULL; fields++)
        if (strcmp(fields->key, key) == 0) return fields;
    return NULL;
}

/* The known key most like what was written; else all that may stand there. */
static cs_status unknown_key(tree *t, const yaml_node_t *key, const cyaml_schema_field_t *fields, const where *w) {
    const char *nearest = NULL;
    size_t best = 3;
    char known[300] = "";
    size_t n = 0;
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++) {
        size_t d = cs_text_distance(cs_view_str(f->key), cs_view_str(scalar(key)));
        if (d < best) best = d, nearest = f->key;
        int more = snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", f->key);
        if (more > 0 && n + (size_t)more < sizeof known) n += (size_t)more;
    }
    if (nearest != NULL)
        return bad_at(t, key, w->path, "unknown key \"%.60s\", did you mean \"%s\"?", scalar(key), nearest);
    return bad_at(t, key, w->path, "unknown key \"%.60s\", expected one of %s", scalar(key), known);
}

static cs_status check_pair(tree *t, const yaml_node_t *map, const yaml_node_pair_t *pair,
                            const cyaml_schema_field_t *fields, const where *w) {
    const yaml_node_t *key = yaml_document_get_node(&t->doc, pair->key);
    const yaml_node_t *value = yaml_document_get_node(&t->doc, pair->value);
    if (key->type != YAML_SCALAR_NODE) return bad_at(t, key, w->path, "expected a key");
    const cyaml_schema_field_t *field = field_of(fields, scalar(key));
    if (field == NULL) return unknown_key(t, key, fields, w);
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *earlier = yaml_document_get_node(&t->doc, p->key);
        if (earlier->type == YAML_SCALAR_NODE && strcmp(scalar(earlier), scalar(key)) == 0)
            return bad_at(t, key, w->path, "the key \"%s\" stands there twice (first in line %zu)", scalar(key),
                          earlier->start_mark.line + 1);
    }
    where inner = below(w, field->key);
    return check_value(t, value, &field->value, &inner);
}

static cs_status check_mapping(tree *t, const yaml_node_t *node, const cyaml_schema_field_t *fields, const where *w) {
    if (node->type != YAML_MAPPING_NODE) return bad_at(t, node, w->path, "expected keys with values (KEY: VALUE)");
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++)
        TRY(check_pair(t, node, p, fields, w));
    for (const cyaml_schema_field_t *f = fields; f->key != NULL; f++) {
        bool there = (f->value.flags & CYAML_FLAG_OPTIONAL) != 0;
        for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++)
            there = there || strcmp(scalar(yaml_document_get_node(&t->doc, p->key)), f->key) == 0;
        if (!there) return bad_at(t, node, w->path, "the key \"%s\" is missing", f->key);
    }
    return CS_OK;
}

static cs_status check_sequence(tree *t, const yaml_node_t *node, const cyaml_schema_value_t *schema, const where *w) {
    if (node->type != YAML_SEQUENCE_NODE) return bad_at(t, node, w->path, "expected a list (lines that begin with -)");
    size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (n > schema->sequence.max)
        return bad_at(t, node, w->path, "%zu entries, at most %u", n, (unsigned)schema->sequence.max);
    for (size_t i = 0; i < n; i++) {
        where inner = {{0}, {0}};
        (void)snprintf(inner.path, sizeof inner.path, "%.200s[%zu]", w->path, i);
        (void)snprintf(inner.kind, sizeof inner.kind, "%.200s[]", w->kind);
        const yaml_node_t *entry = yaml_document_get_node(&t->doc, node->data.sequence.items.start[i]);
        TRY(check_value(t, entry, schema->sequence.entry, &inner));
    }
    return CS_OK;
}

static cs_status check_value(tree *t, const yaml_node_t *node, const cyaml_schema_value_t *schema, const where *w) {
    if (schema->type == CYAML_MAPPING) return check_mapping(t, node, schema->mapping.fields, w);
    if (schema->type == CYAML_SEQUENCE) return check_sequence(t, node, schema, w);
    if (node->type != YAML_SCALAR_NODE) return bad_at(t, node, w->path, "expected a single value");
    switch (schema->type) {
    case CYAML_UINT: return check_number(t, node, w, schema->data_size);
    case CYAML_BOOL: return check_truth(t, node, w);
    default: return check_text(t, node, w);
    }
}

static cs_status not_yaml(const yaml_parser_t *p, const char *file, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s:%zu:%zu: not YAML: %s%s%s", file, p->problem_mark.line + 1,
                   p->problem_mark.column + 1, p->problem != NULL ? p->problem : "unreadable",
                   p->context != NULL ? ", " : "", p->context != NULL ? p->context : "");
}

/* ---- profiles by name ---- */

/* `profiles: {device: {lifetime: 30d}}` says the same as `profiles: [{name: device, lifetime: 30d}]`, into which it is
 * made. False: out of memory. */
static bool name_entries(yaml_document_t *doc, yaml_node_pair_t *pair, bool *ret_changed) {
    int map = pair->value, list = 0;
    if (yaml_document_get_node(doc, map)->type != YAML_MAPPING_NODE) return true;
    list = yaml_document_add_sequence(doc, NULL, YAML_BLOCK_SEQUENCE_STYLE);
    if (list == 0) return false;
    pair->value = list; /* before the pairs of the root may move: none is added to it */
    for (size_t i = 0;; i++) {
        const yaml_node_t *from = yaml_document_get_node(doc, map); /* adding a node may move all of them */
        if (from->data.mapping.pairs.start + i >= from->data.mapping.pairs.top) break;
        yaml_node_pair_t entry = from->data.mapping.pairs.start[i];
        if (yaml_document_get_node(doc, entry.value)->type == YAML_MAPPING_NODE) {
            int name = yaml_document_add_scalar(doc, NULL, (const yaml_char_t *)"name", 4, YAML_PLAIN_SCALAR_STYLE);
            if (name == 0 || yaml_document_append_mapping_pair(doc, entry.value, name, entry.key) == 0) return false;
        }
        if (yaml_document_append_sequence_item(doc, list, entry.value) == 0) return false;
    }
    *ret_changed = true;
    return true;
}

static bool name_profiles(yaml_document_t *doc, bool *ret_changed) {
    const yaml_node_t *root = yaml_document_get_root_node(doc);
    if (root == NULL || root->type != YAML_MAPPING_NODE) return true;
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(doc, p->key);
        if (key->type == YAML_SCALAR_NODE && strcmp(scalar(key), "profiles") == 0)
            return name_entries(doc, p, ret_changed);
    }
    return true;
}

static int write_text(void *to, unsigned char *p, size_t n) {
    return cs_buf_add(to, p, n) ? 1 : 0;
}

/* Takes the document. */
static cs_status dump(yaml_document_t *doc, cs_buf *to, cs_err *err) {
    yaml_emitter_t emitter;
    if (yaml_emitter_initialize(&emitter) == 0) return CS_NOMEM_ERR(err);
    yaml_emitter_set_output(&emitter, write_text, to);
    yaml_emitter_set_unicode(&emitter, 1);
    bool ok = yaml_emitter_open(&emitter) != 0 && yaml_emitter_dump(&emitter, doc) != 0 &&
              yaml_emitter_close(&emitter) != 0 && yaml_emitter_flush(&emitter) != 0;
    yaml_emitter_delete(&emitter);
    return ok && !to->failed ? CS_OK : CS_NOMEM_ERR(err);
}

cs_status conf_tree_check(cs_view text, const char *file, const char *folder, bool *ret_empty, cs_buf *ret_text,
                          cs_err *err) {
    yaml_parser_t parser;
    bool changed = false;
    tree t = {.file = file, .folder = folder, .err = err};
    const where top = {"", ""};
    if (yaml_parser_initialize(&parser) == 0) return CS_NOMEM_ERR(err);
    yaml_parser_set_input_string(&parser, text.p, text.n);
    if (yaml_parser_load(&parser, &t.doc) == 0) {
        cs_status s = not_yaml(&parser, file, err);
        yaml_parser_delete(&parser);
        return s;
    }
    cs_status s = name_profiles(&t.doc, &changed) ? CS_OK : CS_NOMEM_ERR(err);
    const yaml_node_t *root = yaml_document_get_root_node(&t.doc);
    *ret_empty = root == NULL;
    if (s == CS_OK && root != NULL) s = check_mapping(&t, root, conf_schema.mapping.fields, &top);
    if (s == CS_OK && changed)
        s = dump(&t.doc, ret_text, err);
    else
        yaml_document_delete(&t.doc);
    if (s == CS_OK && !changed && !cs_buf_add_view(ret_text, text)) s = CS_NOMEM_ERR(err);
    yaml_parser_delete(&parser);
    return s;
}
