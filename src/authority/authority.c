#include "authority/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "io/files.h"
#include "x509/pem.h"

cs_time authority_now(const authority *a) {
    return cs_now(a->clock);
}
cs_time authority_started(const authority *a) {
    return a->started;
}
const cs_cert *authority_issuing(const authority *a) {
    return a->issuing;
}
const cs_cert *authority_root(const authority *a) {
    return a->root;
}

cs_view authority_der(const authority *a, authority_file which) {
    if (which == AUTHORITY_ROOT) return a->root->der;
    if (which == AUTHORITY_ISSUING) return a->issuing->der;
    return cs_buf_view(&a->root_crl);
}

cs_status authority_read(authority *a, authority_reading *reading, void *cls, cs_err *err) {
    (void)pthread_mutex_lock(&a->read_lock);
    cs_status status = reading(cls, a->reader, err);
    store_settle(a->reader);
    (void)pthread_mutex_unlock(&a->read_lock);
    return status;
}

static cs_status read_cert(const conf *c, const char *below, cs_cert **ret, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CERT_MAX);
    cs_certs bag = {0};
    TRY(conf_path(c, below, path, err));
    TRY(files_read(path, CS_CERT_MAX, &b, err));
    cs_status status = cs_certs_read(cs_buf_view(&b), path, &bag, err);
    if (status == CS_OK) *ret = cs_cert_ref(bag.at[0]);
    cs_certs_free(&bag);
    return status;
}

/* The root's own CRL was signed once and for all when the CA was made; PEM or DER, or missing. */
static cs_status read_root_crl(authority *a, cs_err *err) {
    char path[CONF_PATH_MAX];
    a->root_crl = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(conf_path(a->conf, "ca/root.crl", path, err));
    if (!files_exists(path)) return CS_OK;
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(files_read(path, CS_PEM_FILE_MAX, &b, err));
    return cs_pem_to_der(cs_buf_view(&b), CS_PEM_CRL, path, &a->root_crl, err);
}

static cs_status read_ca(authority *a, cs_err *err) {
    char path[CONF_PATH_MAX];
    TRY(conf_path(a->conf, "ca/issuing.crt", path, err));
    if (!files_exists(path)) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s", a->conf->state);
    TRY(read_cert(a->conf, "ca/root.crt", &a->root, err));
    TRY(read_cert(a->conf, "ca/issuing.crt", &a->issuing, err));
    (void)snprintf(a->crl_url, sizeof a->crl_url, "%s/crl/issuing.crl", a->conf->public_url);
    (void)snprintf(a->ca_url, sizeof a->ca_url, "%s/ca/issuing.crt", a->conf->public_url);
    return read_root_crl(a, err);
}

static cs_status open_store(authority *a, cs_err *err) {
    char dir[CONF_PATH_MAX], lock[CONF_PATH_MAX], db[CONF_PATH_MAX];
    TRY(conf_path(a->conf, "authority", dir, err));
    TRY(conf_path(a->conf, "authority/lock", lock, err));
    TRY(conf_path(a->conf, "authority/store.db", db, err));
    TRY(files_mkdir_private(dir, err));
    TRY(files_lock(lock, 2000, "the authority's store", &a->lock_fd, err));
    TRY(store_open(db, &a->store, err));
    TRY(store_open(db, &a->reader, err));
    TRY(store_open(db, &a->feed, err));
    TRY(issue_abandon(a, "start", err)); /* what a process that died left behind */
    return crl_load(a, err);
}

static void init_locks(authority *a) {
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&a->queue_lock, NULL);
    (void)pthread_mutex_init(&a->read_lock, NULL);
    (void)pthread_mutex_init(&a->crl_lock, NULL);
    (void)pthread_mutex_init(&a->health_lock, NULL);
    (void)pthread_cond_init(&a->queue_grew, &monotonic);
    (void)pthread_cond_init(&a->job_done, NULL);
    (void)pthread_condattr_destroy(&monotonic);
}

cs_status authority_open(const authority_setup *setup, authority **ret, cs_err *err) {
    CS_AUTO(authority) a = calloc(1, sizeof *a);
    if (a == NULL) return CS_NOMEM_ERR(err);
    a->conf = setup->conf;
    a->clock = setup->clock;
    a->rng = setup->rng;
    a->started = cs_mono(setup->clock);
    a->lock_fd = a->signer.fd = -1;
    init_locks(a);
    a->feed_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    TRY(read_ca(a, err));
    a->signer.path = setup->signer_path;
    a->signer.ca = a->issuing;
    a->signer.clock = setup->clock;
    signer_link_close(&a->signer);
    TRY(open_store(a, err));
    if (pthread_create(&a->writer, NULL, authority_writer, a) != 0) return CS_NOMEM_ERR(err);
    a->writer_runs = true;
    *ret = CS_TAKE(a);
    return CS_OK;
}

void authority_free(authority *a) {
    if (a == NULL) return;
    (void)pthread_mutex_lock(&a->queue_lock);
    a->stopping = true;
    (void)pthread_cond_broadcast(&a->queue_grew);
    (void)pthread_mutex_unlock(&a->queue_lock);
    if (a->writer_runs) (void)pthread_join(a->writer, NULL);
    signer_link_close(&a->signer);
    store_free(a->store);
    store_free(a->reader);
    store_free(a->feed);
    authority_blob_free(a->crl);
    cs_cert_free(a->root);
    cs_cert_free(a->issuing);
    cs_buf_free(&a->root_crl);
    if (a->lock_fd >= 0) (void)close(a->lock_fd);
    if (a->feed_event >= 0) (void)close(a->feed_event);
    free(a);
}
