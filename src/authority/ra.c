/* The registration authority's key and certificate: made when first asked for, kept in a private file so that what was
 * encrypted to it survives a restart, changed at half of its certificate's life, and when another CA becomes current.
 * Why not in the signer: docs/decisions. */
#include <stdio.h>
#include <stdlib.h>

#include "authority/authority_priv.h"
#include "io/files.h"
#include "report/log.h"
#include "x509/pem.h"

#define RA_LIFETIME (CS_RA_DAYS_MAX * CS_DAY - CS_HOUR)
#define RA_AGAIN (10 * CS_SEC) /* after a failure to change one that still serves */

static const char *const files[AUTHORITY_RA_MAX] = {"authority/ra.pem", "authority/ra-before.pem"};

struct ra_desk {
    pthread_mutex_t lock; /* held while one is made: others wait for it */
    authority_ra *at[AUTHORITY_RA_MAX];
    uint64_t stamp; /* of the first file, as it was read: another node may have written it */
    cs_time again;  /* monotonic: not tried before */
};

authority_ra *authority_ra_ref(authority_ra *ra) {
    (void)__atomic_add_fetch(&ra->refs, 1, __ATOMIC_ACQ_REL);
    return ra;
}

void authority_ra_free(authority_ra *ra) {
    if (ra == NULL || __atomic_sub_fetch(&ra->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    cs_key_free(ra->key);
    cs_cert_free(ra->cert);
    free(ra);
}

static cs_status read_text(cs_view text, const char *path, authority_ra **ret, cs_err *err) {
    CS_AUTO(authority_ra) ra = calloc(1, sizeof *ra);
    CS_SCOPED(cs_certs) bag = {0};
    if (ra == NULL) return CS_NOMEM_ERR(err);
    ra->refs = 1;
    TRY(cs_key_read_pem(text, NULL, path, &ra->key, err));
    TRY(cs_certs_read(text, path, &bag, err));
    if (bag.n != 1) return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: one certificate is expected", path);
    TRY(cs_key_match(ra->key, bag.at[0]->spki, path, err));
    ra->cert = cs_cert_ref(bag.at[0]);
    *ret = CS_TAKE(ra);
    return CS_OK;
}

/* Those files that there are. */
static cs_status load(authority *a, cs_err *err) {
    struct ra_desk *d = a->ra;
    char path[CONF_PATH_MAX];
    for (size_t i = 0; i < AUTHORITY_RA_MAX; i++) {
        CS_SCOPED(cs_buf) b = cs_buf_secret(CS_KEY_FILE_MAX);
        authority_ra *ra = NULL;
        TRY(conf_path(a->conf, files[i], path, err));
        uint64_t stamp = files_stamp(path);
        if (stamp != 0) {
            TRY(files_read_private(path, CS_KEY_FILE_MAX, &b, err));
            TRY(read_text(cs_buf_view(&b), path, &ra, err));
        }
        authority_ra_free(d->at[i]);
        d->at[i] = ra;
        if (i == 0) d->stamp = stamp;
    }
    return CS_OK;
}

static cs_status keep(authority *a, const authority_ra *ra, size_t i, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) b = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(conf_path(a->conf, files[i], path, err));
    TRY(cs_key_write_pem(ra->key, &b, err));
    (void)cs_pem_add_cert(&b, ra->cert);
    TRY(cs_buf_ok(&b, path, err));
    TRY(files_write(path, cs_buf_view(&b), 0600, FILES_REPLACE, err));
    if (i == 0) a->ra->stamp = files_stamp(path);
    return CS_OK;
}

static bool fresh(const authority *a, const authority_ra *ra, cs_time now) {
    const cs_cert *ca = a->current->cert;
    if (ra == NULL || now < ra->cert->not_before || !cs_view_eq(ra->cert->akid, ca->skid)) return false;
    bool with_ca = ra->cert->not_after >= ca->not_after; /* it cannot be bettered */
    return now < ra->cert->not_after && (with_ca || ra->cert->not_after - now > RA_LIFETIME / 2);
}

static cs_status change(authority *a, cs_err *err) {
    struct ra_desk *d = a->ra;
    CS_AUTO(authority_ra) ra = calloc(1, sizeof *ra);
    if (ra == NULL) return CS_NOMEM_ERR(err);
    ra->refs = 1;
    TRY(cs_key_generate(CS_KEYSPEC_RSA_2048, &ra->key, err)); /* what the oldest clients still read */
    TRY(responder_issue(a, a->current, CS_RESPONDER_RA, ra->key, RA_LIFETIME, &ra->cert, err));
    if (d->at[0] != NULL) TRY(keep(a, d->at[0], 1, err));
    TRY(keep(a, ra, 0, err));
    authority_ra_free(d->at[1]);
    d->at[1] = d->at[0];
    d->at[0] = CS_TAKE(ra);
    return CS_OK;
}

/* Under the lock. */
static cs_status refresh(authority *a, cs_err *err) {
    struct ra_desk *d = a->ra;
    char path[CONF_PATH_MAX];
    cs_time now = cs_now(a->clock), mono = cs_mono(a->clock);
    TRY(conf_path(a->conf, files[0], path, err));
    if (d->at[0] == NULL || files_stamp(path) != d->stamp) TRY(load(a, err));
    if (fresh(a, d->at[0], now)) return CS_OK;
    bool serves = d->at[0] != NULL && now < d->at[0]->cert->not_after;
    if (serves && mono < d->again) return CS_OK;
    cs_status status = change(a, err);
    if (status == CS_OK || !serves) return status;
    d->again = mono + RA_AGAIN;
    log_failure(LOG_WARN, "ra-not-changed", err);
    return CS_OK;
}

cs_status authority_ras(authority *a, authority_ra *ret[AUTHORITY_RA_MAX], size_t *ret_n, cs_err *err) {
    struct ra_desk *d = a->ra;
    *ret_n = 0;
    (void)pthread_mutex_lock(&d->lock);
    cs_status status = refresh(a, err);
    for (size_t i = 0; status == CS_OK && i < AUTHORITY_RA_MAX; i++)
        if (d->at[i] != NULL && cs_now(a->clock) < d->at[i]->cert->not_after)
            ret[(*ret_n)++] = authority_ra_ref(d->at[i]);
    (void)pthread_mutex_unlock(&d->lock);
    return status;
}

cs_status ra_open(authority *a, cs_err *err) {
    a->ra = calloc(1, sizeof *a->ra);
    if (a->ra == NULL) return CS_NOMEM_ERR(err);
    (void)pthread_mutex_init(&a->ra->lock, NULL);
    return CS_OK;
}

void ra_close(authority *a) {
    if (a->ra == NULL) return;
    for (size_t i = 0; i < AUTHORITY_RA_MAX; i++) authority_ra_free(a->ra->at[i]);
    (void)pthread_mutex_destroy(&a->ra->lock);
    free(CS_TAKE(a->ra));
}
