/* The audit log: records, heads, proofs. */
#include <stdlib.h>
#include <string.h>

#include "authority/log.h"
#include "base/text.h"
#include "keys/keys.h"
#include "proto/rest/rest_priv.h"
#include "x509/pem.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000 };

static cs_status number(rest_call *c, const char *key, uint64_t other, uint64_t most, uint64_t *ret, cs_err *err) {
    const char *text = rest_query(c, key);
    char *end = NULL;
    *ret = other;
    if (text == NULL) return CS_OK;
    unsigned long long n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n > most || strlen(text) > 18)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: a whole number up to %llu is expected", key,
                       (unsigned long long)most);
    *ret = n;
    return CS_OK;
}

typedef struct listing {
    cs_json j;
    store_log_filter filter;
    uint64_t size, n, last;
} listing;

static cs_status put_record(void *cls, const store_record *r, cs_err *err) {
    listing *l = cls;
    (void)err;
    cs_json_object(&l->j, NULL);
    cs_json_int(&l->j, "sequence", (int64_t)r->sequence);
    cs_json_view(&l->j, "record", r->record);
    cs_json_object_end(&l->j);
    l->n++;
    l->last = r->sequence;
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    listing *l = cls;
    TRY(store_log_size(st, &l->size, err));
    return store_log_list(st, &l->filter, put_record, l, err);
}

cs_status rest_log(rest_call *c, cs_err *err) {
    listing l = {.j = cs_json_to(&c->out)};
    uint64_t limit = 0;
    const char *order = rest_query(c, "order");
    TRY(number(c, "after", 0, INT64_MAX, &l.filter.after, err));
    TRY(number(c, "before", 0, INT64_MAX, &l.filter.before, err));
    TRY(number(c, "limit", LIST_DEFAULT, LIST_MAX, &limit, err));
    if (order != NULL && strcmp(order, "newest") != 0 && strcmp(order, "oldest") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "order: newest or oldest is expected");
    l.filter.newest = order != NULL && order[0] == 'n';
    l.filter.limit = (unsigned)limit;
    l.filter.event = rest_query(c, "event");
    l.filter.by = rest_query(c, "by");
    l.filter.name = rest_query(c, "name");
    l.filter.serial = rest_query(c, "serial");
    TRY(authority_trail_take(c->a, err));
    cs_json_object(&l.j, NULL);
    cs_json_array(&l.j, "records");
    TRY(authority_read(c->a, run_list, &l, err));
    cs_json_array_end(&l.j);
    cs_json_int(&l.j, "size", (int64_t)l.size);
    if (l.n > 0 && l.n == limit) cs_json_int(&l.j, "next", (int64_t)l.last);
    cs_json_object_end(&l.j);
    return CS_OK;
}

/* Which CA signed that this is its log's key? */
static const cs_cert *claimed_by(authority *a, cs_view claim, cs_view signature) {
    const authority_ca *ca = NULL;
    cs_err ignored;
    for (size_t i = 0; (ca = authority_ca_at(a, i)) != NULL; i++)
        if (cs_key_verify(ca->cert->spki, claim, signature, &ignored) == CS_OK) return ca->cert;
    return NULL;
}

static cs_status put_key(rest_call *c, cs_json *j, cs_err *err) {
    head_key key;
    uint8_t claim[LOG_CLAIM_MAX];
    size_t n = 0;
    CS_SCOPED(cs_buf) text = cs_buf_of(2048);
    CS_SCOPED(cs_buf) said = cs_buf_of((size_t)2 * LOG_CLAIM_MAX);
    CS_SCOPED(cs_buf) pem = cs_buf_of((size_t)2 * CS_CERT_MAX);
    TRY(log_key(c->a, &key, claim, &n, err));
    (void)head_key_add(&text, &key);
    (void)head_key_claim_add(&said, &key);
    const cs_cert *ca = claimed_by(c->a, cs_buf_view(&said), cs_view_of(claim, n));
    cs_json_object(j, "key");
    cs_json_view(j, "vkey", cs_buf_view(&text));
    cs_buf_clear(&said);
    (void)cs_base64_add(&said, cs_view_of(claim, n));
    cs_json_view(j, "claim", cs_buf_view(&said));
    if (ca != NULL && cs_pem_add_cert(&pem, ca)) cs_json_view(j, "ca", cs_buf_view(&pem));
    cs_json_object_end(j);
    return CS_OK;
}

typedef struct newest {
    uint64_t size;
    cs_buf note;
} newest;

static cs_status run_head(void *cls, store *st, cs_err *err) {
    newest *h = cls;
    return store_head_last(st, &h->size, &h->note, err);
}

cs_status rest_log_head(rest_call *c, cs_err *err) {
    newest h = {.note = cs_buf_of(HEAD_NOTE_MAX)};
    TRY(log_head_now(c->a, err));
    cs_status status = authority_read(c->a, run_head, &h, err);
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_int(&j, "size", (int64_t)h.size);
    cs_json_view(&j, "head", cs_buf_view(&h.note));
    if (status == CS_OK) status = put_key(c, &j, err);
    cs_json_object_end(&j);
    cs_buf_free(&h.note);
    return status;
}

static void put_path(cs_json *j, const merkle_proof *p) {
    cs_json_array(j, "path");
    for (unsigned i = 0; i < p->n; i++) cs_json_hex(j, NULL, cs_view_of(p->at[i].at, sizeof p->at[i].at));
    cs_json_array_end(j);
}

static cs_status add_proof(rest_call *c, cs_view serial, cs_buf *out, cs_err *err) {
    char hex[STORE_SERIAL_TEXT];
    CS_SCOPED(log_proof) p = {.sequence = 0};
    TRY(log_prove(c->a, cs_hex(serial, hex), &p, err));
    cs_json j = cs_json_to(out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "format", "countersign-log-proof-1");
    cs_json_int(&j, "sequence", (int64_t)p.sequence);
    cs_json_view(&j, "record", cs_buf_view(&p.record));
    put_path(&j, &p.path);
    cs_json_view(&j, "head", cs_buf_view(&p.note));
    TRY(put_key(c, &j, err));
    cs_json_object_end(&j);
    return CS_OK;
}

cs_status rest_log_prove(rest_call *c, cs_err *err) {
    uint8_t bytes[CS_SERIAL_MAX];
    size_t n = 0;
    if (!cs_hex_decode(cs_view_str(c->rest), bytes, sizeof bytes, &n) || n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s is no serial number", c->rest);
    return add_proof(c, cs_view_of(bytes, n), &c->out, err);
}

/* The certificate is out by then: what fails is said in the proof's place. */
void rest_put_proof(rest_call *c, cs_json *j, cs_view serial) {
    CS_SCOPED(cs_buf) proof = cs_buf_of((size_t)256 * 1024);
    const char *wanted = rest_query(c, "proof");
    cs_err err;
    if (wanted == NULL || strcmp(wanted, "1") != 0) return;
    cs_status s = add_proof(c, serial, &proof, &err);
    if (s == CS_OK) s = cs_buf_ok(&proof, "the proof", &err);
    if (s == CS_OK) {
        cs_json_raw(j, "proof", cs_buf_view(&proof));
        return;
    }
    cs_json_object(j, "proof_problem");
    rest_put_problem(j, &err);
    cs_json_object_end(j);
}

typedef struct between {
    uint64_t first, size;
    merkle_proof proof;
} between;

static cs_status run_between(void *cls, store *st, cs_err *err) {
    between *b = cls;
    uint64_t all = 0;
    TRY(store_log_size(st, &all, err));
    if (b->size > all)
        return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "the log has %llu records", (unsigned long long)all);
    return merkle_consistency(store_log_node, st, b->first, b->size, &b->proof, err);
}

cs_status rest_log_consistency(rest_call *c, cs_err *err) {
    between b = {.first = 0};
    TRY(number(c, "first", 0, INT64_MAX, &b.first, err));
    TRY(number(c, "size", 0, INT64_MAX, &b.size, err));
    TRY(authority_read(c->a, run_between, &b, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_int(&j, "first", (int64_t)b.first);
    cs_json_int(&j, "size", (int64_t)b.size);
    put_path(&j, &b.proof);
    cs_json_object_end(&j);
    return CS_OK;
}
