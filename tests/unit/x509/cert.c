#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "x509/cert_priv.h"

static cs_err err;

/* A file of the public suite as bytes; the caller frees. */
static cs_view slurp(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: cannot open", path);
    uint8_t *p = malloc(1 << 20);
    size_t n = fread(p, 1, 1 << 20, f);
    fclose(f);
    return cs_view_of(p, n);
}

static const char *data(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, name);
    return path;
}

static void every_certificate_of_pkits_is_decoded(void **state) {
    DIR *d = opendir(data("pkits/certs"));
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (!strstr(e->d_name, ".crt")) continue;
        if (strstr(e->d_name, "InvalidDSA") || strstr(e->d_name, "BadSigned")) continue; /* broken on purpose */
        char name[400];
        snprintf(name, sizeof name, "pkits/certs/%s", e->d_name);
        cs_view der = slurp(data(name));
        cs_cert *c = NULL;
        assert_ok(cs_cert_decode_noting(der, &c, &err));
        char text[CS_DETAIL_MAX], subject[CS_NAME_TEXT_MAX + 1];
        if (cs_cert_more_of(c)->flaw_any.reason != CS_R_NONE)
            fail_msg("%s: %s", e->d_name, cs_flaw_text(&cs_cert_more_of(c)->flaw_any, text));
        assert_true(cs_view_eq(c->der, der));
        assert_non_null(cs_name_text(c->subject, subject));
        cs_cert_free(c);
        free((void *)(uintptr_t)der.p);
        n++;
    }
    closedir(d);
    assert_true(n > 300);
}

static cs_cert *pkits(const char *name) {
    char path[300];
    snprintf(path, sizeof path, "pkits/certs/%s.crt", name);
    cs_view der = slurp(data(path));
    cs_cert *c = NULL;
    assert_ok(cs_cert_decode_noting(der, &c, &err));
    free((void *)(uintptr_t)der.p);
    return c;
}

static void fields_are_read(void **state) {
    CS_AUTO(cs_cert) c = pkits("GoodCACert");
    char out[CS_NAME_TEXT_MAX + 1];
    assert_string_equal(cs_name_text(c->subject, out), "CN=Good CA,O=Test Certificates 2011,C=US");
    assert_string_equal(cs_name_text(c->issuer, out), "CN=Trust Anchor,O=Test Certificates 2011,C=US");
    assert_true(c->is_ca && c->has_basic_constraints && c->path_len == -1);
    assert_int_equal(c->key_usage, CS_KU_CERT_SIGN | CS_KU_CRL_SIGN);
    assert_int_equal(c->serial.n, 1);
    assert_int_equal(c->skid.n, 20);
    assert_int_equal(c->akid.n, 20);
    cs_view cn;
    assert_true(cs_name_cn(c->subject, &cn) && cs_view_eq_str(cn, "Good CA"));
}

static void a_signature_holds_for_its_signer_only(void **state) {
    CS_AUTO(cs_cert) root = pkits("TrustAnchorRootCertificate");
    CS_AUTO(cs_cert) ca = pkits("GoodCACert");
    CS_AUTO(cs_cert) bad = pkits("BadSignedCACert");
    const cs_cert_more *m = cs_cert_more_of(ca);
    assert_true(cs_sig_ok(root, &m->alg, ca->tbs, m->sig));
    assert_false(cs_sig_ok(ca, &m->alg, ca->tbs, m->sig));
    const cs_cert_more *b = cs_cert_more_of(bad);
    assert_false(cs_sig_ok(root, &b->alg, bad->tbs, b->sig));
}

static void a_truncated_certificate_is_refused_at_every_length(void **state) {
    CS_AUTO(cs_cert) whole = pkits("GoodCACert");
    for (size_t n = 0; n < whole->der.n; n++) {
        cs_cert *c = NULL;
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, whole->der.p, n);
        assert_fails(cs_cert_decode(cs_view_of(copy, n), &c, &err), CS_R_CERTIFICATE_MALFORMED);
        free(copy);
    }
}

static void a_changed_octet_never_crashes_and_never_verifies(void **state) {
    CS_AUTO(cs_cert) root = pkits("TrustAnchorRootCertificate");
    CS_AUTO(cs_cert) whole = pkits("GoodCACert");
    uint8_t *copy = malloc(whole->der.n);
    for (size_t i = 0; i < whole->der.n; i++) {
        memcpy(copy, whole->der.p, whole->der.n);
        copy[i] ^= 0x04;
        cs_cert *c = NULL;
        if (cs_cert_decode_noting(cs_view_of(copy, whole->der.n), &c, &err) != CS_OK) continue;
        const cs_cert_more *m = cs_cert_more_of(c);
        bool good = m->flaw_any.reason == CS_R_NONE && cs_sig_ok(root, &m->alg, c->tbs, m->sig);
        if (good) fail_msg("octet %zu: still good", i);
        cs_cert_free(c);
    }
    free(copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_certificate_of_pkits_is_decoded),
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(a_signature_holds_for_its_signer_only),
        cmocka_unit_test(a_truncated_certificate_is_refused_at_every_length),
        cmocka_unit_test(a_changed_octet_never_crashes_and_never_verifies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
