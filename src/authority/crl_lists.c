/* Lists: what they are called, where they stand, which one is shown. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority/crl_priv.h"
#include "io/spool.h"
#include "x509/digest.h"
#include "x509/pem.h"

const char *authority_list_name(const authority_list *l, char out[AUTHORITY_LIST_NAME]) {
    char shard[16] = "";
    if (l->shard > 0) (void)snprintf(shard, sizeof shard, ".%u", l->shard);
    (void)snprintf(out, AUTHORITY_LIST_NAME, "%s%s%s", l->ca->name, shard, l->delta ? ".delta" : "");
    return out;
}

bool authority_list_at(const authority *a, size_t i, authority_list *ret) {
    for (size_t c = 0; c < a->ca_count; i -= a->cas[c++].list_count) {
        if (i >= a->cas[c].list_count) continue;
        *ret = a->cas[c].lists[i].is;
        return true;
    }
    return false;
}

bool authority_list_named(const authority *a, cs_view name, authority_list *ret) {
    char is[AUTHORITY_LIST_NAME];
    for (size_t i = 0; authority_list_at(a, i, ret); i++)
        if (cs_view_eq_str(name, authority_list_name(ret, is))) return true;
    return false;
}

const char *authority_crl_url(const authority *a, const authority_list *l, char out[512]) {
    char name[AUTHORITY_LIST_NAME];
    (void)snprintf(out, 512, "%s/crl/%s.crl", a->conf->public_url, authority_list_name(l, name));
    return out;
}

cs_status crl_path(const authority *a, const char *name, const char *ext, char out[CONF_PATH_MAX], cs_err *err) {
    char below[AUTHORITY_LIST_NAME + 16];
    (void)snprintf(below, sizeof below, "crl/%s.%s", name, ext);
    return conf_path(a->conf, below, out, err);
}

/* ---- shown ---- */

void authority_blob_free(authority_blob *b) {
    if (b == NULL || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    (void)close(b->fd);
    free(b);
}

static crl_list *list_of(const authority *a, const authority_list *which) {
    for (size_t c = 0; c < a->ca_count; c++)
        for (size_t i = 0; &a->cas[c].ca == which->ca && i < a->cas[c].list_count; i++) {
            crl_list *l = &a->cas[c].lists[i];
            if (l->is.shard == which->shard && l->is.delta == which->delta) return l;
        }
    return NULL;
}

crl_list *crl_list_twin(const crl_list *l) {
    ca_here *h = (ca_here *)(uintptr_t)l->is.ca;
    for (size_t i = 0; i < h->list_count; i++)
        if (h->lists[i].is.shard == l->is.shard && h->lists[i].is.delta != l->is.delta) return &h->lists[i];
    return NULL;
}

cs_status authority_crl(authority *a, const authority_list *which, authority_blob **ret, cs_err *err) {
    char name[AUTHORITY_LIST_NAME];
    crl_list *l = list_of(a, which);
    *ret = NULL;
    if (l != NULL) {
        (void)pthread_mutex_lock(&a->crl_lock);
        *ret = l->shown;
        if (*ret != NULL) (void)__atomic_add_fetch(&(*ret)->refs, 1, __ATOMIC_ACQ_REL);
        (void)pthread_mutex_unlock(&a->crl_lock);
    }
    if (*ret != NULL) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_STATE_MISSING, "no CRL %s was published yet", authority_list_name(which, name));
}

cs_status crl_list_show(authority *a, crl_list *l, const store_crl *crl, int take_fd, cs_err *err) {
    authority_blob *b = malloc(sizeof *b);
    if (b == NULL) {
        (void)close(take_fd);
        return CS_NOMEM_ERR(err);
    }
    *b = (authority_blob){.refs = 1, .crl = *crl, .fd = take_fd};
    (void)pthread_mutex_lock(&a->crl_lock);
    authority_blob *old = l->shown;
    l->shown = b;
    (void)pthread_mutex_unlock(&a->crl_lock);
    authority_blob_free(old);
    return CS_OK;
}

/* ---- loaded ---- */

/* Is it the file that the row tells of? Read once, in pieces. */
static bool is_that_file(int fd, const store_crl *crl, const char *path) {
    CS_AUTO(cs_digest) d = NULL;
    CS_SCOPED(cs_buf) piece = cs_buf_of(SPOOL_PIECE);
    struct stat st;
    uint8_t sha256[CS_SHA256_LEN];
    cs_err ignored;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != crl->size || cs_digest_begin(&d, &ignored) != CS_OK)
        return false;
    for (size_t at = 0; at < crl->size; at += piece.n) {
        cs_buf_clear(&piece);
        if (spool_read(fd, at, SPOOL_PIECE, &piece, path, &ignored) != CS_OK || piece.n == 0) return false;
        if (cs_digest_add(d, cs_buf_view(&piece), &ignored) != CS_OK) return false;
    }
    return cs_digest_end(d, sha256, &ignored) == CS_OK && memcmp(sha256, crl->sha256, sizeof sha256) == 0;
}

static cs_status add_part(void *cls, cs_view bytes, cs_err *err) {
    return spool_add(cls, bytes, err);
}

/* Another node's: its octets come from the database. */
static cs_status fetch(authority *a, const store_crl *crl, const char *path, int *ret_fd, cs_err *err) {
    CS_SCOPED(spool) s = {.fd = -1};
    TRY(spool_open(&s, path, 0644, err));
    TRY(store_crl_parts(a->scan, crl->number, add_part, &s, err));
    TRY(spool_flush(&s, err));
    if (!is_that_file(s.fd, crl, path))
        return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s: the database has not its octets", path);
    return spool_commit(&s, ret_fd, err);
}

static cs_status load(authority *a, crl_list *l, cs_err *err) {
    char name[AUTHORITY_LIST_NAME], path[CONF_PATH_MAX];
    store_crl crl;
    TRY(store_crl_last(a->scan, l->is.ca->cert->spki_sha256, l->is.shard, l->is.delta, &crl, err));
    if (l->shown != NULL && l->shown->crl.number >= crl.number) return CS_OK;
    TRY(crl_path(a, authority_list_name(&l->is, name), "crl", path, err));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && is_that_file(fd, &crl, path)) return crl_list_show(a, l, &crl, fd, err);
    if (fd >= 0) (void)close(fd);
    if (!store_is_shared(a->scan)) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s", path);
    TRY(fetch(a, &crl, path, &fd, err));
    return crl_list_show(a, l, &crl, fd, err);
}

cs_status crl_list_load(authority *a, crl_list *l, cs_err *err) {
    cs_status status = load(a, l, err);
    store_settle(a->scan);
    /* A list that is not there, or not as it was published, is made anew. */
    return status != CS_OK && err->reason == CS_R_STATE_MISSING ? CS_OK : status;
}

/* ---- which there are ---- */

static cs_status add_points(authority *a, ca_here *h, cs_err *err) {
    char url[512];
    cs_time now = cs_now(a->clock);
    for (unsigned shard = 1; shard <= h->ca.policy->shards; shard++) {
        const authority_list l = {.ca = &h->ca, .shard = shard};
        TRY(store_point_add(a->store, h->ca.cert->spki_sha256, shard, authority_crl_url(a, &l, url), now, err));
    }
    return CS_OK;
}

/* Before anything is issued that names them. A store from the time of one CA does not say whose its CRLs are: of the
 * first. */
static cs_status record_points(authority *a, cs_err *err) {
    const authority_ca *first = authority_ca_named(a, cs_view_str(CAS_FIRST));
    TRY(store_begin(a->store, err));
    cs_status status = first != NULL ? store_crl_adopt(a->store, first->cert->spki_sha256, err) : CS_OK;
    for (size_t i = 0; status == CS_OK && i < a->ca_count; i++) status = add_points(a, &a->cas[i], err);
    if (status == CS_OK) return store_commit(a->store, err);
    store_rollback(a->store);
    return status;
}

/* A shard that certificates name stays, also when the configuration has fewer by now. */
static cs_status make_lists(authority *a, ca_here *h, cs_err *err) {
    unsigned shards = 0;
    TRY(store_shard_max(a->store, h->ca.cert->spki_sha256, &shards, err));
    bool deltas = h->ca.policy->delta > 0;
    h->lists = calloc((shards + 1) * (size_t)2, sizeof *h->lists);
    if (h->lists == NULL) return CS_NOMEM_ERR(err);
    for (unsigned shard = 0; shard <= shards; shard++) {
        h->lists[h->list_count++].is = (authority_list){.ca = &h->ca, .shard = shard};
        if (deltas) h->lists[h->list_count++].is = (authority_list){.ca = &h->ca, .shard = shard, .delta = true};
    }
    return CS_OK;
}

cs_status crl_lists_make(authority *a, cs_err *err) {
    TRY(record_points(a, err));
    for (size_t i = 0; i < a->ca_count; i++) TRY(make_lists(a, &a->cas[i], err));
    return CS_OK;
}

void crl_free(authority *a) {
    for (size_t c = 0; c < a->ca_count; c++) {
        for (size_t i = 0; i < a->cas[c].list_count; i++) authority_blob_free(a->cas[c].lists[i].shown);
        free(a->cas[c].lists);
        a->cas[c].lists = NULL;
        a->cas[c].list_count = 0;
    }
}

/* ---- all in one file ---- */

static cs_status add_text(spool *s, cs_buf *text, cs_err *err) {
    TRY(cs_buf_ok(text, "PEM", err));
    TRY(spool_add(s, cs_buf_view(text), err));
    cs_buf_clear(text);
    return CS_OK;
}

static cs_status add_file(spool *s, const authority_blob *b, cs_err *err) {
    CS_SCOPED(cs_buf) piece = cs_buf_of(SPOOL_PIECE), text = cs_buf_of(2 * SPOOL_PIECE);
    (void)cs_buf_add_str(&text, "-----BEGIN " CS_PEM_CRL "-----\n");
    for (size_t at = 0; at < b->crl.size; at += piece.n) {
        cs_buf_clear(&piece);
        TRY(spool_read(b->fd, at, SPOOL_PIECE, &piece, s->path, err));
        if (piece.n == 0) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: a list was cut short", s->path);
        (void)cs_pem_add_lines(&text, cs_buf_view(&piece));
        TRY(add_text(s, &text, err));
    }
    (void)cs_buf_add_str(&text, "-----END " CS_PEM_CRL "-----\n");
    return add_text(s, &text, err);
}

cs_status crl_bundle_write(authority *a, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(spool) s = {.fd = -1};
    CS_SCOPED(cs_buf) text = cs_buf_of((size_t)2 * CS_PEM_FILE_MAX);
    TRY(crl_path(a, "all", "crl.pem", path, err));
    TRY(spool_open(&s, path, 0644, err));
    for (size_t i = 0; i < a->names.roots.n; i++) {
        if (a->root_crls[i].n == 0) continue;
        (void)cs_pem_add(&text, CS_PEM_CRL, cs_buf_view(&a->root_crls[i]));
        TRY(add_text(&s, &text, err));
    }
    for (size_t c = 0; c < a->ca_count; c++)
        if (a->cas[c].lists[0].shown != NULL) TRY(add_file(&s, a->cas[c].lists[0].shown, err));
    return spool_commit(&s, NULL, err);
}
