#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/cache.h"
#include "x509/cert_priv.h"

static cs_err err;

static cs_cert *pkits(const char *name) {
    static uint8_t bytes[1 << 14];
    char path[300];
    snprintf(path, sizeof path, "%s/pkits/certs/%s.crt", TEST_DATA, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    cs_cert *c = NULL;
    assert_ok(cs_cert_decode_noting(cs_view_of(bytes, n), &c, &err));
    return c;
}

static cs_verdict verdict(void) {
    cs_verdict v = {.accepted = true, .good_from = 1000 * CS_SEC, .good_until = 2000 * CS_SEC};
    assert_ok(cs_certs_add(&v.chain, pkits("ValidCertificatePathTest1EE"), &err));
    assert_ok(cs_certs_add(&v.chain, pkits("GoodCACert"), &err));
    assert_ok(cs_certs_add(&v.chain, pkits("TrustAnchorRootCertificate"), &err));
    return v;
}

static bool good(cs_cache *c, const cs_verdict *v, cs_purpose p, uint64_t generation, cs_time now, const cs_revset *s) {
    return cs_cache_good(c, v->chain.at[0]->sha256, p, generation, now, s);
}

static void an_acceptance_holds_for_its_purpose_generation_and_time(void **state) {
    CS_AUTO(cs_cache) c = NULL;
    cs_verdict v = verdict();
    assert_ok(cs_cache_new(1, &c, &err));
    assert_false(good(c, &v, CS_PURPOSE_CLIENT, 1, 1500 * CS_SEC, NULL));
    cs_cache_put(c, CS_PURPOSE_CLIENT, 1, &v);
    assert_true(good(c, &v, CS_PURPOSE_CLIENT, 1, 1000 * CS_SEC, NULL));
    assert_true(good(c, &v, CS_PURPOSE_CLIENT, 1, 2000 * CS_SEC + 999999, NULL));
    assert_false(good(c, &v, CS_PURPOSE_SERVER, 1, 1500 * CS_SEC, NULL));
    assert_false(good(c, &v, CS_PURPOSE_CLIENT, 2, 1500 * CS_SEC, NULL));
    assert_true(good(c, &v, CS_PURPOSE_CLIENT, 1, 1500 * CS_SEC, NULL));
    assert_int_equal(cs_cache_hits(c), 3);
    assert_int_equal(cs_cache_misses(c), 3);
    assert_false(good(c, &v, CS_PURPOSE_CLIENT, 1, 2001 * CS_SEC, NULL));
    cs_verdict_free(&v);
}

static void a_revocation_anywhere_in_the_path_ends_it(void **state) {
    for (size_t depth = 0; depth < 2; depth++) {
        CS_AUTO(cs_cache) c = NULL;
        CS_AUTO(cs_revset) s = NULL;
        cs_verdict v = verdict();
        cs_revoked r = {.serial = v.chain.at[depth]->serial, .reason = 1};
        memcpy(r.issuer, v.chain.at[depth + 1]->spki_sha256, 32);
        assert_ok(cs_revset_build(&r, 1, &s, &err));
        assert_ok(cs_cache_new(64, &c, &err));
        cs_cache_put(c, CS_PURPOSE_CLIENT, 1, &v);
        assert_true(good(c, &v, CS_PURPOSE_CLIENT, 1, 1500 * CS_SEC, NULL));
        assert_false(good(c, &v, CS_PURPOSE_CLIENT, 1, 1500 * CS_SEC, s));
        assert_false(good(c, &v, CS_PURPOSE_CLIENT, 1, 1500 * CS_SEC, NULL)); /* dropped at once */
        cs_verdict_free(&v);
    }
}

static void refusals_and_named_questions_are_not_kept(void **state) {
    CS_AUTO(cs_cache) c = NULL;
    cs_verdict v = verdict();
    assert_ok(cs_cache_new(64, &c, &err));
    v.accepted = false;
    cs_cache_put(c, CS_PURPOSE_CLIENT, 1, &v);
    assert_false(good(c, &v, CS_PURPOSE_CLIENT, 1, 1500 * CS_SEC, NULL));
    v.accepted = v.named = true;
    cs_cache_put(c, CS_PURPOSE_CLIENT, 1, &v);
    assert_false(good(c, &v, CS_PURPOSE_CLIENT, 1, 1500 * CS_SEC, NULL));
    cs_verdict_free(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_acceptance_holds_for_its_purpose_generation_and_time),
        cmocka_unit_test(a_revocation_anywhere_in_the_path_ends_it),
        cmocka_unit_test(refusals_and_named_questions_are_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
