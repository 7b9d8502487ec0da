/* Certificate and private key: who we are. */
#include <stdlib.h>
#include <string.h>

#include "io/files.h"
#include "lib/lib_priv.h"
#include "x509/pem.h"

static cs_status valid_now(const cs_cert *leaf, const char *what, cs_err *err) {
    char text[CS_TIME_TEXT_MAX];
    cs_time now = cs_now(cs_clock_system());
    if (now < leaf->not_before)
        return cs_fail(err, CS_REFUSED, CS_R_NOT_YET_VALID, "%s: not before %s", what,
                       cs_time_text(leaf->not_before, text));
    if (cs_time_seconds(now) > cs_time_seconds(leaf->not_after))
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "%s: ended %s", what,
                       cs_time_text(leaf->not_after, text));
    return CS_OK;
}

cs_status lib_credential_of(const cs_certs *chain, cs_key *take_key, const char *certificate_what, const char *key_what,
                            cs_credential **ret, cs_err *err) {
    CS_AUTO(cs_credential) c = calloc(1, sizeof *c);
    if (c == NULL) {
        cs_key_free(take_key);
        return CS_NOMEM_ERR(err);
    }
    atomic_init(&c->refs, 1);
    c->key = take_key;
    c->chain_pem = cs_buf_of(CS_PEM_FILE_MAX);
    c->key_pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(cs_key_match(c->key, chain->at[0]->spki, key_what, err));
    TRY(valid_now(chain->at[0], certificate_what, err));
    for (size_t i = 0; i < chain->n; i++) {
        TRY(cs_certs_add(&c->chain, cs_cert_ref(chain->at[i]), err));
        (void)cs_pem_add_cert(&c->chain_pem, chain->at[i]);
    }
    TRY(cs_buf_ok(&c->chain_pem, certificate_what, err));
    TRY(cs_key_write_pem(c->key, &c->key_pem, err));
    TRY(lib_certificate_of(chain->at[0], &c->leaf, err));
    *ret = CS_TAKE(c);
    return CS_OK;
}

static cs_status of_texts(cs_view certificate, cs_view key, const char *certificate_what, const char *key_what,
                          cs_credential **ret, cs_err *err) {
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    cs_key *k = NULL;
    TRY(cs_certs_read(certificate, certificate_what, &chain, err));
    TRY(cs_key_read_pem(key, NULL, key_what, &k, err));
    return lib_credential_of(&chain, k, certificate_what, key_what, ret, err);
}

cs_status cs_credential_read(const char *certificate_path, const char *key_path, cs_credential **ret, cs_err *err) {
    CS_SCOPED(cs_buf) crt = cs_buf_of(CS_PEM_FILE_MAX), key = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(files_read(certificate_path, CS_PEM_FILE_MAX, &crt, err));
    TRY(files_read_private(key_path, CS_KEY_FILE_MAX, &key, err));
    return of_texts(cs_buf_view(&crt), cs_buf_view(&key), certificate_path, key_path, ret, err);
}

cs_status cs_credential_of_pem(const char *certificate, const char *key, cs_credential **ret, cs_err *err) {
    return of_texts(cs_view_str(certificate), cs_view_str(key), "the certificate", "the key", ret, err);
}

cs_credential *cs_credential_ref(cs_credential *c) {
    (void)atomic_fetch_add(&c->refs, 1);
    return c;
}

void cs_credential_free(cs_credential *c) {
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1) return;
    cs_certs_free(&c->chain);
    cs_key_free(c->key);
    cs_certificate_free(c->leaf);
    cs_buf_free(&c->chain_pem);
    cs_buf_free(&c->key_pem);
    free(c);
}

const cs_certificate *cs_credential_certificate(const cs_credential *c) {
    return c->leaf;
}

cs_status cs_credential_write(const cs_credential *c, const char *certificate_path, const char *key_path, cs_err *err) {
    TRY(files_write(key_path, cs_buf_view(&c->key_pem), 0600, FILES_REPLACE, err));
    return files_write(certificate_path, cs_buf_view(&c->chain_pem), 0644, FILES_REPLACE, err);
}
