/* What the tests of issuing share: a small CA, made anew. */
#ifndef CS_TEST_ISSUE_H
#define CS_TEST_ISSUE_H

#include "unit.h"

#include "x509/build.h"
#include "x509/csr.h"
#include "x509/identity.h"
#include "x509/p12.h"
#include "x509/pem.h"
#include "x509/profile.h"

#include <stdio.h>
#include <stdlib.h>

#define TEST_NOW ((cs_time)1795449600 * CS_SEC) /* 2026-11-23T16:00:00Z */

typedef struct test_ca {
    cs_key *root_key, *issuing_key;
    cs_cert *root, *issuing;
} test_ca;

static inline cs_cert *test_sign(const cs_key *key, cs_view tbs) {
    cs_err err;
    cs_cert *c = NULL;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CERT_MAX);
    assert_ok(cs_signed_make(key, tbs, &der, &err));
    assert_ok(cs_cert_decode(cs_buf_view(&der), &c, &err));
    return c;
}

static inline cs_cert *test_ca_cert(cs_ca_role role, const cs_key *key, const cs_key *signer, const cs_cert *issuer) {
    cs_err err;
    char cn[CS_CA_CN_MAX];
    uint8_t serial[CS_SERIAL_LEN];
    CS_SCOPED(cs_buf) subject = cs_buf_of(1024);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    const cs_dn dn = {.organization = "Zoë & Co",
                      .common_name = cs_ca_common_name(role, "Zoë & Co", cs_key_spki(key), TEST_NOW, cn)};
    assert_ok(cs_dn_build(&dn, &subject, &err));
    assert_ok(cs_serial_draw(cs_rng_system(), serial, &err));
    const cs_ca_ask ask = {.role = role,
                           .subject = cs_buf_view(&subject),
                           .spki = cs_key_spki(key),
                           .issuer = issuer,
                           .serial = cs_view_of(serial, sizeof(serial)),
                           .not_before = TEST_NOW - CS_BACKDATE,
                           .not_after = TEST_NOW + (role == CS_CA_ROOT ? CS_CA_ROOT_LIFETIME : CS_CA_ISSUING_LIFETIME),
                           .crl_url = issuer ? "http://127.0.0.1:8880/crl/root.crl" : NULL,
                           .ca_url = issuer ? "http://127.0.0.1:8880/ca/root.crt" : NULL};
    assert_ok(cs_ca_build(&ask, &tbs, &err));
    return test_sign(signer, cs_buf_view(&tbs));
}

static inline test_ca test_ca_make(cs_key_spec root, cs_key_spec issuing) {
    cs_err err;
    test_ca ca = {0};
    assert_ok(cs_key_generate(root, &ca.root_key, &err));
    assert_ok(cs_key_generate(issuing, &ca.issuing_key, &err));
    ca.root = test_ca_cert(CS_CA_ROOT, ca.root_key, ca.root_key, NULL);
    ca.issuing = test_ca_cert(CS_CA_ISSUING, ca.issuing_key, ca.root_key, ca.root);
    return ca;
}

static inline void test_ca_free(test_ca *ca) {
    cs_key_free(ca->root_key);
    cs_key_free(ca->issuing_key);
    cs_cert_free(ca->root);
    cs_cert_free(ca->issuing);
}

/* A good question for `who`; the caller changes what it tests. */
static inline cs_profile_ask test_ask(const test_ca *ca, const cs_identity *who, cs_view spki, cs_view serial) {
    return (cs_profile_ask){.who = who,
                            .spki = spki,
                            .issuer = ca->issuing,
                            .serial = serial,
                            .not_before = TEST_NOW - CS_BACKDATE,
                            .not_after = TEST_NOW + 90 * CS_DAY,
                            .crl_url = "http://127.0.0.1:8880/crl/issuing.crl",
                            .ca_url = "http://127.0.0.1:8880/ca/issuing.crt",
                            .trust_domain = "corp.example"};
}

/* For looking at by hand: COUNTERSIGN_TEST_OUT=DIR keeps what the tests made. */
static inline void test_keep(const char *name, cs_view bytes) {
    char path[512];
    const char *dir = getenv("COUNTERSIGN_TEST_OUT");
    if (!dir) return;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
    (void)fclose(f);
}

#endif
