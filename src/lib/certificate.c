/* Certificates, as strangers see them: every text is made once, so that it lives as long as the object. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "io/files.h"
#include "lib/lib_priv.h"

static void names_free(char **names) {
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) free(names[i]);
    free(names);
}

static cs_status text_of(cs_view name, char **ret, cs_err *err) {
    char text[CS_NAME_TEXT_MAX + 1];
    *ret = strdup(cs_name_text(name, text));
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

static cs_status names_of(const cs_cert *cert, char ***ret, cs_err *err) {
    char **names = *ret = calloc(cert->san_count + 1, sizeof *names);
    if (names == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0, n = 0; i < cert->san_count; i++) {
        CS_SCOPED(cs_buf) b = cs_buf_of((size_t)4 * CS_CERT_MAX);
        const char *text = cs_san_add(&b, &cert->sans[i]) ? cs_buf_cstr(&b) : NULL;
        names[n] = text != NULL ? strdup(text) : NULL;
        if (names[n++] == NULL) return CS_NOMEM_ERR(err);
    }
    return CS_OK;
}

cs_status lib_certificate_of(cs_cert *cert, cs_certificate **ret, cs_err *err) {
    CS_AUTO(cs_certificate) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    atomic_init(&c->refs, 1);
    c->cert = cs_cert_ref(cert);
    cs_identity_of_cert(cert, &c->who);
    TRY(text_of(cert->subject, &c->subject, err));
    TRY(text_of(cert->issuer, &c->issuer, err));
    TRY(names_of(cert, &c->names, err));
    cs_view serial = cert->serial;
    if (serial.n > 1 && serial.p[0] == 0) serial = cs_view_of(serial.p + 1, serial.n - 1);
    if (serial.n <= CS_SERIAL_MAX) (void)cs_hex(serial, c->serial);
    (void)cs_hex(cs_view_of(cert->sha256, 32), c->fingerprint);
    *ret = CS_TAKE(c);
    return CS_OK;
}

cs_status cs_certificate_read(const char *path, cs_certificate **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &bag, err));
    return lib_certificate_of(bag.at[0], ret, err);
}

cs_status cs_certificate_decode(const void *der, size_t n, cs_certificate **ret, cs_err *err) {
    CS_AUTO(cs_cert) cert = NULL;
    TRY(cs_cert_decode(cs_view_of(der, n), &cert, err));
    return lib_certificate_of(cert, ret, err);
}

cs_certificate *cs_certificate_ref(cs_certificate *c) {
    (void)atomic_fetch_add(&c->refs, 1);
    return c;
}

void cs_certificate_free(cs_certificate *c) {
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1) return;
    cs_cert_free(c->cert);
    free(c->subject);
    free(c->issuer);
    names_free(c->names);
    free(c);
}

const void *cs_certificate_der(const cs_certificate *c, size_t *ret_n) {
    *ret_n = c->cert->der.n;
    return c->cert->der.p;
}

const char *cs_certificate_subject(const cs_certificate *c) {
    return c->subject;
}

const char *cs_certificate_issuer(const cs_certificate *c) {
    return c->issuer;
}

const char *cs_certificate_serial(const cs_certificate *c) {
    return c->serial;
}

const char *cs_certificate_fingerprint(const cs_certificate *c) {
    return c->fingerprint;
}

int64_t cs_certificate_not_before(const cs_certificate *c) {
    return cs_time_seconds(c->cert->not_before);
}

int64_t cs_certificate_not_after(const cs_certificate *c) {
    return cs_time_seconds(c->cert->not_after);
}

cs_holder cs_certificate_holder(const cs_certificate *c) {
    switch (c->who.kind) {
    case CS_KIND_SERVER: return CS_HOLDER_SERVER;
    case CS_KIND_USER: return CS_HOLDER_USER;
    case CS_KIND_DEVICE: return CS_HOLDER_DEVICE;
    default: return CS_HOLDER_OTHER;
    }
}

const char *cs_certificate_name(const cs_certificate *c) {
    return c->who.name;
}

const char *cs_certificate_alt_name(const cs_certificate *c, size_t at) {
    return at < c->cert->san_count ? c->names[at] : NULL;
}
