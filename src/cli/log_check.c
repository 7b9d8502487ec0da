/* countersign log verify, check: nothing is believed that is not proven. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/log.h"
#include "io/files.h"
#include "x509/build.h"

enum { PAGE = 1000, RECORDS_MAX = 1 << 30, LINE_MAX_BYTES = 64 * 1024 };

/* ---- keys ---- */

static cs_status claim_holds(const json_t *said, const head_key *k, cs_certs *cas, cs_err *err) {
    CS_SCOPED(cs_buf) claim = cs_buf_of(2048);
    CS_SCOPED(cs_buf) signature = cs_buf_of(CS_SIGNATURE_MAX);
    TRY(cs_certs_read(cs_view_str(json_text(said, "ca")), "the proof's CA", cas, err));
    (void)head_key_claim_add(&claim, k);
    if (!cs_base64_decode(cs_view_str(json_text(said, "claim")), false, &signature))
        return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "the claim is not base64");
    return cs_key_verify(cas->at[0]->spki, cs_buf_view(&claim), cs_buf_view(&signature), err);
}

/* The CA of the claim is one of those in the file, or signed by one of them. */
static cs_status trusted(const char *path, const cs_cert *ca, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_certs) anchors = {NULL, 0};
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &anchors, err));
    for (size_t i = 0; i < anchors.n; i++) {
        if (cs_view_eq(anchors.at[i]->der, ca->der)) return CS_OK;
        if (anchors.at[i]->is_ca && cs_view_eq(anchors.at[i]->subject, ca->issuer) &&
            cs_signed_check(ca->der, ca->tbs, anchors.at[i], err) == CS_OK)
            return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "none in %s issued the CA that stands behind the log's key",
                   path);
}

cs_status log_key_of(const log_said *said, const json_t *answer, head_key *ret, cs_err *err) {
    const json_t *k = json_object_get(answer, "key");
    CS_SCOPED(cs_certs) cas = {NULL, 0};
    TRY(head_key_read(cs_view_str(json_text(k, "vkey")), ret, err));
    if (said->key != NULL) {
        head_key kept;
        TRY(head_key_read(cs_view_str(said->key), &kept, err));
        if (memcmp(kept.spki, ret->spki, sizeof kept.spki) != 0 || strcmp(kept.origin, ret->origin) != 0)
            return cs_fail(err, CS_REFUSED, CS_R_LOG_HEAD_INVALID, "it is of another key than --key says");
        return CS_OK;
    }
    TRY(claim_holds(k, ret, &cas, err));
    return said->trust != NULL ? trusted(said->trust, cas.at[0], err) : CS_OK;
}

/* ---- a proof ---- */

static cs_status read_path(const json_t *list, merkle_proof *ret, cs_err *err) {
    const json_t *v = NULL;
    size_t i = 0, n = 0;
    ret->n = 0;
    json_array_foreach(list, i, v) {
        const char *hex = json_string_value(v);
        if (ret->n == MERKLE_LEVELS || hex == NULL ||
            !cs_hex_decode(cs_view_str(hex), ret->at[ret->n].at, CS_SHA256_LEN, &n) || n != CS_SHA256_LEN)
            return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "path[%zu] is no hash", i);
        ret->n++;
    }
    return CS_OK;
}

/* The record is about this certificate: it names its SHA-256. */
static cs_status same_certificate(const char *path, const char *record, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_certs) leaf = {NULL, 0};
    char hex[2 * CS_SHA256_LEN + 1];
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &leaf, err));
    json_t *r = json_loads(record, 0, NULL);
    bool same = strcmp(json_text(r, "sha256"), cs_hex(cs_view_of(leaf.at[0]->sha256, CS_SHA256_LEN), hex)) == 0;
    json_decref(r);
    return same ? CS_OK
                : cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "it is of another certificate than %s", path);
}

static cs_status check(const log_said *said, const json_t *p, cs_buf *b, cs_err *err) {
    head_key k;
    log_head head;
    merkle_hash leaf;
    merkle_proof path;
    const char *record = json_text(p, "record");
    int64_t sequence = json_number(p, "sequence");
    char at[CS_TIME_TEXT_MAX];
    if (strcmp(json_text(p, "format"), "countersign-log-proof-1") != 0 || sequence < 1)
        return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "that is no proof of a log");
    TRY(log_key_of(said, p, &k, err));
    TRY(head_read(cs_view_str(json_text(p, "head")), &k, &head, err));
    TRY(read_path(json_object_get(p, "path"), &path, err));
    TRY(merkle_leaf(cs_view_str(record), &leaf, err));
    TRY(merkle_inclusion_check(&leaf, (uint64_t)sequence - 1, head.size, &path, &head.root, err));
    if (said->certificate != NULL) TRY(same_certificate(said->certificate, record, err));
    if (said->json)
        (void)cs_buf_addf(b, "{\"result\":\"proven\",\"sequence\":%lld,\"size\":%llu,\"record\":%s}\n",
                          (long long)sequence, (unsigned long long)head.size, record);
    else
        (void)cs_buf_addf(b, "proven: record %lld of the %llu that %s had on %s\n%s\n", (long long)sequence,
                          (unsigned long long)head.size, k.origin, cs_time_text(head.at, at), record);
    return CS_OK;
}

cs_status log_check_proof(const log_said *said, const char *path, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(1024 * 1024);
    if (said->key == NULL && said->trust == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "check needs --trust ca.pem, or --key as you kept it");
    if (strcmp(path, "-") == 0)
        TRY(files_read_input(1024 * 1024, &text, err));
    else
        TRY(files_read(path, 1024 * 1024, &text, err));
    json_t *p = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    cs_status status =
        p != NULL ? check(said, p, b, err) : cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "%s is not JSON", path);
    json_decref(p);
    return status;
}

/* ---- the whole log ---- */

/* Heads to be met on the way, by their sizes. */
typedef struct verifying {
    merkle_edge edge;
    struct {
        log_head head;
        const char *from;
        bool met;
    } heads[CLI_LIST_MAX + 1];
    size_t n;
} verifying;

static cs_status meet(verifying *v, cs_err *err) {
    merkle_hash root;
    for (size_t i = 0; i < v->n; i++) {
        if (v->heads[i].head.size != v->edge.size) continue;
        TRY(merkle_root(&v->edge, &root, err));
        if (!merkle_same(&root, &v->heads[i].head.root))
            return cs_fail(err, CS_REFUSED, CS_R_LOG_FORKED, "the first %llu records are not those of %s",
                           (unsigned long long)v->edge.size, v->heads[i].from);
        v->heads[i].met = true;
    }
    return CS_OK;
}

static cs_status take_record(verifying *v, cs_view record, cs_err *err) {
    merkle_hash leaf, done[MERKLE_LEVELS];
    unsigned n = 0;
    TRY(merkle_leaf(record, &leaf, err));
    TRY(merkle_append(&v->edge, &leaf, done, &n, err));
    return meet(v, err);
}

static cs_status take_heads(const log_said *said, const head_key *k, verifying *v, cs_err *err) {
    for (size_t i = 0; i < said->heads.n; i++) {
        CS_SCOPED(cs_buf) text = cs_buf_of(HEAD_NOTE_MAX);
        TRY(files_read(said->heads.at[i], HEAD_NOTE_MAX, &text, err));
        cs_status status = head_read(cs_buf_view(&text), k, &v->heads[v->n].head, err);
        if (status != CS_OK)
            return cs_fail(err, CS_REFUSED, CS_R_LOG_HEAD_INVALID, "%s: it is none of this log", said->heads.at[i]);
        v->heads[v->n++].from = said->heads.at[i];
    }
    return CS_OK;
}

static cs_status sum_up(const log_said *said, const verifying *v, cs_buf *b, cs_err *err) {
    for (size_t i = 0; i < v->n; i++)
        if (!v->heads[i].met)
            return cs_fail(err, CS_REFUSED, CS_R_LOG_FORKED, "%s says %llu records, and there are %llu",
                           v->heads[i].from, (unsigned long long)v->heads[i].head.size,
                           (unsigned long long)v->edge.size);
    if (said->json)
        (void)cs_buf_addf(b, "{\"result\":\"whole\",\"records\":%llu,\"heads\":%zu}\n",
                          (unsigned long long)v->edge.size, v->n);
    else
        (void)cs_buf_addf(b, "The log is whole: %llu records, as %zu signed head%s.\n",
                          (unsigned long long)v->edge.size, v->n, v->n == 1 ? " says" : "s say");
    return CS_OK;
}

static cs_status take_lines(verifying *v, cs_view left, cs_err *err) {
    while (left.n > 0) {
        const uint8_t *end = memchr(left.p, '\n', left.n);
        size_t n = end != NULL ? (size_t)(end - left.p) : left.n;
        TRY(take_record(v, cs_view_of(left.p, n), err));
        n += end != NULL;
        left = cs_view_of(left.p + n, left.n - n);
    }
    return CS_OK;
}

static cs_status verify_file(const log_said *said, verifying *v, cs_err *err) {
    head_key k;
    CS_SCOPED(cs_buf) text = cs_buf_of(RECORDS_MAX);
    if (said->key == NULL || said->heads.n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "--from needs --key and --head: without them a file proves nothing");
    TRY(head_key_read(cs_view_str(said->key), &k, err));
    TRY(take_heads(said, &k, v, err));
    TRY(files_read(said->from, RECORDS_MAX, &text, err));
    return take_lines(v, cs_buf_view(&text), err);
}

static cs_status take_pages(session *s, verifying *v, uint64_t size, cs_err *err) {
    while (v->edge.size < size) {
        CS_SCOPED(cs_buf) path = cs_buf_of(256);
        json_t *got = NULL;
        const json_t *one = NULL;
        size_t i = 0;
        cs_status status = CS_OK;
        (void)cs_buf_addf(&path, "/api/v1/log?limit=%d&after=%llu", PAGE, (unsigned long long)v->edge.size);
        TRY(session_call(s, "GET", cs_buf_cstr(&path), NULL, true, &got, err));
        json_array_foreach(json_object_get(got, "records"), i, one) {
            bool next = (uint64_t)json_number(one, "sequence") == v->edge.size + 1;
            if (status == CS_OK && !next)
                status = cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "audit record %llu is missing",
                                 (unsigned long long)v->edge.size + 1);
            if (status == CS_OK && v->edge.size < size)
                status = take_record(v, cs_view_str(json_text(one, "record")), err);
        }
        json_decref(got);
        TRY(status);
        if (i == 0)
            return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "audit record %llu is missing",
                           (unsigned long long)v->edge.size + 1);
    }
    return CS_OK;
}

static cs_status verify_here(const log_said *said, session *s, verifying *v, cs_err *err) {
    json_t *newest = NULL;
    head_key k;
    TRY(session_call(s, "GET", "/api/v1/log/head", NULL, true, &newest, err));
    cs_status status = log_key_of(said, newest, &k, err);
    if (status == CS_OK) status = head_read(cs_view_str(json_text(newest, "head")), &k, &v->heads[0].head, err);
    json_decref(newest);
    TRY(status);
    v->heads[0].from = "the newest head";
    v->n = 1;
    TRY(take_heads(said, &k, v, err));
    return take_pages(s, v, v->heads[0].head.size, err);
}

cs_status log_verify(const log_said *said, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    verifying *v = calloc(1, sizeof *v);
    if (v == NULL) return CS_NOMEM_ERR(err);
    cs_status status = said->from != NULL ? verify_file(said, v, err) : open_session(&said->conf, &c, &s, err);
    if (status == CS_OK && said->from == NULL) status = verify_here(said, s, v, err);
    if (status == CS_OK) status = sum_up(said, v, b, err);
    free(v);
    return status;
}
