/* W26: whichever allocation fails, nobody is let in who is not let in otherwise, and nothing is lost (the sanitizer
 * builds look). The linker puts these in the place of malloc, calloc and realloc of our own code. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/verify.h"

static long left = -1; /* allocations until one fails; -1: none does */
static bool failed;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool fails(void) {
    if (left < 0 || left-- > 0) return false;
    failed = true;
    return true;
}
void *__wrap_malloc(size_t n) {
    return fails() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n) {
    return fails() ? NULL : __real_realloc(p, n);
}

typedef struct octets {
    uint8_t p[1 << 14];
    size_t n;
} octets;
typedef struct question {
    octets leaf, mid, root, crls[2];
} question;

static void load(const char *folder, const char *name, const char *end, octets *to) {
    char path[300];
    snprintf(path, sizeof path, "%s/pkits/%s/%s.%s", TEST_DATA, folder, name, end);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    to->n = fread(to->p, 1, sizeof to->p, f);
    fclose(f);
}

static cs_status take(cs_certs *bag, const octets *o, cs_err *err) {
    cs_cert *c = NULL;
    TRY(cs_cert_decode_noting(cs_view_of(o->p, o->n), &c, err));
    return cs_certs_add(bag, c, err);
}

static cs_status ask(const question *q, cs_verdict *v, cs_err *err) {
    CS_SCOPED(cs_certs) leaf = {0}, extra = {0}, trust = {0};
    CS_AUTO(cs_anchors) anchors = NULL;
    CS_AUTO(cs_crls) crls = NULL;
    CS_AUTO(cs_revset) set = NULL;
    const cs_revoked other = {.serial = CS_VIEW_LIT("\x12\x34"), .reason = 1};
    cs_want want = {.purpose = CS_PURPOSE_ANY, .max_depth = -1, .revocation = CS_REVOCATION_REQUIRE, .explain = true};
    assert_true(cs_time_of_civil(2022, 4, 14, 0, 0, 0, &want.at));
    TRY(take(&leaf, &q->leaf, err));
    TRY(take(&extra, &q->mid, err));
    TRY(take(&trust, &q->root, err));
    TRY(cs_anchors_new(&trust, &anchors, err));
    TRY(cs_crls_new(&crls, err));
    for (int i = 0; i < 2; i++) TRY(cs_crls_read(crls, cs_view_of(q->crls[i].p, q->crls[i].n), "CRL", err));
    TRY(cs_revset_build(&other, 1, &set, err));
    want.crls = crls;
    want.revset = set;
    return cs_verify(anchors, leaf.at[0], &extra, &want, v, err);
}

/* Every allocation in turn; returns how many there are. */
static long starve(const question *q, bool good) {
    for (long n = 0;; n++) {
        cs_err err = {.status = CS_OK};
        cs_verdict v = {.accepted = false};
        left = n, failed = false;
        cs_status s = ask(q, &v, &err);
        left = -1;
        bool accepted = v.accepted;
        cs_verdict_free(&v);
        if (!failed) {
            assert_int_equal(s, CS_OK);
            assert_int_equal(accepted, good);
            return n;
        }
        assert_false(accepted && !good);
        if (s != CS_OK) assert_false(accepted);
        assert_true(n < 10000);
    }
}

static void question_of(const char *leaf, question *q) {
    load("certs", leaf, "crt", &q->leaf);
    load("certs", "GoodCACert", "crt", &q->mid);
    load("certs", "TrustAnchorRootCertificate", "crt", &q->root);
    load("crls", "TrustAnchorRootCRL", "crl", &q->crls[0]);
    load("crls", "GoodCACRL", "crl", &q->crls[1]);
}

static void w26_no_failed_allocation_lets_anybody_in(void **state) {
    static question q;
    static const struct {
        const char *leaf;
        bool good;
    } rows[] = {{"ValidCertificatePathTest1EE", true},
                {"InvalidEESignatureTest3EE", false},
                {"InvalidRevokedEETest3EE", false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        question_of(rows[i].leaf, &q);
        assert_true(starve(&q, rows[i].good) > 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(w26_no_failed_allocation_lets_anybody_in)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
