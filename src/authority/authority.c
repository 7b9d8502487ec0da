#include "authority/authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "base/text.h"
#include "io/files.h"
#include "x509/pem.h"

cs_time authority_now(const authority *a) {
    return cs_now(a->clock);
}
cs_time authority_started(const authority *a) {
    return a->started;
}

cs_status authority_read(authority *a, authority_reading *reading, void *cls, cs_err *err) {
    (void)pthread_mutex_lock(&a->read_lock);
    cs_status status = reading(cls, a->reader, err);
    store_settle(a->reader);
    (void)pthread_mutex_unlock(&a->read_lock);
    return status;
}

/* What older versions kept as a chain of hashes becomes the beginning of the tree. */
static cs_status open_log(authority *a, cs_err *err) {
    uint64_t n = 0;
    uint8_t chain[CS_SHA256_LEN];
    char more[160], hex[2 * CS_SHA256_LEN + 1], file[CONF_FILE_TEXT_MAX];
    TRY(store_begin(a->store, err));
    cs_status status = store_log_carry(a->store, &n, chain, err);
    (void)snprintf(more, sizeof more, "%llu records of the hash chain that ended with %s", (unsigned long long)n,
                   cs_hex(cs_view_of(chain, sizeof chain), hex));
    if (status == CS_OK && n > 0)
        status = audit(a, a->store, "log-carried-over", AUTHORITY_SELF("authority"), NULL, more, err);
    if (status == CS_OK)
        status = audit(a, a->store, "authority-started", AUTHORITY_SELF("authority"), NULL,
                       conf_file_text(a->conf, file), err);
    head_wanted(a);
    if (status == CS_OK) return store_commit(a->store, err);
    store_rollback(a->store);
    return status;
}

static cs_status open_store(authority *a, cs_err *err) {
    char dir[CONF_PATH_MAX], lock[CONF_PATH_MAX], db[CONF_PATH_MAX];
    TRY(conf_path(a->conf, "authority", dir, err));
    TRY(conf_path(a->conf, "authority/lock", lock, err));
    TRY(conf_path(a->conf, "authority/store.db", db, err));
    TRY(files_mkdir_private(dir, err));
    TRY(files_lock(lock, 2000, "the authority's store", &a->lock_fd, err));
    const char *where = a->conf->store != NULL ? a->conf->store : db;
    TRY(store_open(where, &a->store, err));
    TRY(store_open(where, &a->reader, err));
    TRY(store_open(where, &a->feed, err));
    TRY(store_open(where, &a->scan, err));
    uint32_t node = 0;
    TRY(cs_rng_fill(a->rng, (uint8_t *)&node, sizeof node, err));
    a->node = (node & INT32_MAX) | 1;
    TRY(store_node_set(a->store, a->node, err));
    TRY(rollover_tell_node(a, err));
    TRY(open_log(a, err));
    trail_take_due(a);
    TRY(profiles_open(a, err));
    return issue_abandon(a, "start", err); /* what a process that died left behind */
}

static void init_locks(authority *a) {
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&a->queue_lock, NULL);
    (void)pthread_mutex_init(&a->read_lock, NULL);
    (void)pthread_mutex_init(&a->log_lock, NULL);
    (void)pthread_mutex_init(&a->crl_lock, NULL);
    (void)pthread_mutex_init(&a->health_lock, NULL);
    (void)pthread_cond_init(&a->queue_grew, &monotonic);
    (void)pthread_cond_init(&a->crl_wanted, &monotonic);
    (void)pthread_cond_init(&a->crl_made, NULL);
    (void)pthread_condattr_destroy(&monotonic);
}

cs_status authority_open(const authority_setup *setup, authority **ret, cs_err *err) {
    CS_AUTO(authority) a = calloc(1, sizeof *a);
    if (a == NULL) return CS_NOMEM_ERR(err);
    a->conf = setup->conf;
    a->known_keys = setup->known_keys;
    a->clock = setup->clock;
    a->rng = setup->rng;
    a->started = cs_mono(setup->clock);
    a->lock_fd = a->signer.fd = a->crl_signer.fd = -1;
    init_locks(a);
    a->feed_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    TRY(cas_load(a, setup->cas, err));
    TRY(ocsp_open(a, err));
    TRY(ra_open(a, err));
    TRY(logins_open(a, err));
    a->signer = a->crl_signer = (signer_link){
        .fd = -1, .path = setup->signer_path, .cas = a->cas, .ca_count = a->ca_count, .clock = setup->clock};
    signer_link_close(&a->signer);
    signer_link_close(&a->crl_signer);
    TRY(open_store(a, err));
    TRY(crl_open(a, err));
    if (pthread_create(&a->writer, NULL, authority_writer, a) != 0) return CS_NOMEM_ERR(err);
    a->writer_runs = true;
    TRY(crl_start(a, err));
    *ret = CS_TAKE(a);
    return CS_OK;
}

void authority_free(authority *a) {
    if (a == NULL) return;
    crl_stop(a);
    (void)pthread_mutex_lock(&a->queue_lock);
    a->stopping = true;
    (void)pthread_cond_broadcast(&a->queue_grew);
    (void)pthread_mutex_unlock(&a->queue_lock);
    if (a->writer_runs) (void)pthread_join(a->writer, NULL);
    signer_link_close(&a->signer);
    signer_link_close(&a->crl_signer);
    crl_free(a);
    store_free(a->store);
    store_free(a->reader);
    store_free(a->feed);
    store_free(a->scan);
    cas_unload(a);
    if (a->lock_fd >= 0) (void)close(a->lock_fd);
    if (a->feed_event >= 0) (void)close(a->feed_event);
    ocsp_close(a);
    ra_close(a);
    logins_close(a);
    free(a->profile_waits);
    free(a);
}
