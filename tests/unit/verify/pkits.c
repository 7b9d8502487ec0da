/* NIST PKITS, whole: each of its tests is a test here, named as there. Run as --purpose any with revocation required.
 */
#include "unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/verify.h"
#include "x509/cert_priv.h"

static cs_err err;

static cs_view slurp(const char *dir, const char *name, const char *ext) {
    char path[512];
    snprintf(path, sizeof path, "%s/pkits/%s/%s.%s", TEST_DATA, dir, name, ext);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s: cannot open", path);
    uint8_t *p = malloc(1 << 16);
    size_t n = fread(p, 1, 1 << 16, f);
    fclose(f);
    return cs_view_of(p, n);
}

static void drop(cs_view v) {
    free((void *)(uintptr_t)v.p);
}

static void read_certs(json_t *names, cs_certs *bag) {
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) {
        cs_view der = slurp("certs", json_string_value(name), "crt");
        assert_ok(cs_certs_read_noting(der, json_string_value(name), bag, &err));
        drop(der);
    }
}

/* "NIST-test-policy-3" as OID contents: 2.16.840.1.101.3.2.1.48.3 */
static cs_view policy_of(const char *name, uint8_t out[10]) {
    if (strcmp(name, "any-policy") == 0) return CS_OID_LIT("\x55\x1d\x20\x00");
    memcpy(out, "\x60\x86\x48\x01\x65\x03\x02\x01\x30", 9);
    out[9] = (uint8_t)atoi(name + strlen("NIST-test-policy-"));
    return cs_view_of(out, 10);
}

typedef struct asked {
    cs_want want;
    cs_view policies[10];
    uint8_t bytes[10][10];
} asked;

static void fill_want(json_t *test, asked *a, cs_crls *crls) {
    json_t *params = json_object_get(test, "params"), *name;
    size_t i;
    a->want = (cs_want){.purpose = CS_PURPOSE_ANY, .max_depth = -1, .revocation = CS_REVOCATION_REQUIRE, .crls = crls};
    assert_true(cs_time_parse(cs_view_str(json_string_value(json_object_get(test, "at"))), &a->want.at));
    json_array_foreach(json_object_get(params, "initial_policy_set"), i, name) {
        assert_true(i < 10);
        a->policies[a->want.policy_count++] = policy_of(json_string_value(name), a->bytes[i]);
    }
    a->want.policies = a->policies;
    a->want.explicit_policy = json_is_true(json_object_get(params, "explicit_policy"));
    a->want.inhibit_mapping = json_is_true(json_object_get(params, "inhibit_mapping"));
    a->want.inhibit_any = json_is_true(json_object_get(params, "inhibit_any"));
}

/* The tests that we answer otherwise on purpose; docs/verification.md says why. */
static bool we_differ(const char *id) {
    return strcmp(id, "4.1.4") == 0 || strcmp(id, "4.1.5") == 0; /* DSA with SHA-1 */
}

static void run(void **state) {
    json_t *test = *state, *name;
    const char *id = json_string_value(json_object_get(test, "id"));
    bool accept = strcmp(json_string_value(json_object_get(test, "expected")), "accept") == 0;
    cs_certs trust = {0}, chain = {0}, leaf = {0};
    cs_anchors *anchors = NULL;
    cs_crls *crls = NULL;
    asked a = {0};
    size_t i;
    read_certs(json_object_get(test, "trust"), &trust);
    read_certs(json_object_get(test, "chain"), &chain);
    cs_view der = slurp("certs", json_string_value(json_object_get(test, "leaf")), "crt");
    assert_ok(cs_certs_read_noting(der, "leaf", &leaf, &err));
    drop(der);
    assert_ok(cs_crls_new(&crls, &err));
    json_array_foreach(json_object_get(test, "crls"), i, name) {
        der = slurp("crls", json_string_value(name), "crl");
        assert_ok(cs_crls_read(crls, der, json_string_value(name), &err));
        drop(der);
    }
    assert_ok(cs_anchors_new(&trust, &anchors, &err));
    fill_want(test, &a, crls);
    cs_verdict v;
    assert_ok(cs_verify(anchors, leaf.at[0], &chain, &a.want, &v, &err));
    if (v.accepted != (accept && !we_differ(id)))
        fail_msg("%s: %s (%s) at depth %d", v.accepted ? "accepted" : "rejected", cs_reason_of(v.reason)->name,
                 v.detail, v.depth);
    assert_true(v.signature_checks <= 64);
    cs_verdict_free(&v);
    cs_anchors_free(anchors);
    cs_crls_free(crls);
    cs_certs_free(&trust);
    cs_certs_free(&chain);
    cs_certs_free(&leaf);
}

int main(void) {
    json_error_t bad;
    json_t *list = json_load_file(TEST_DATA "/pkits/tests.json", 0, &bad), *test;
    if (!list) {
        fprintf(stderr, "tests.json: %s\n", bad.text);
        return 1;
    }
    size_t n = json_array_size(list), i;
    struct CMUnitTest *tests = calloc(n, sizeof *tests);
    char(*names)[160] = calloc(n, sizeof *names);
    if (!tests || !names) return 1;
    json_array_foreach(list, i, test) {
        snprintf(names[i], sizeof names[i], "pkits %s %s", json_string_value(json_object_get(test, "id")),
                 json_string_value(json_object_get(test, "title")));
        tests[i] = (struct CMUnitTest){.name = names[i], .test_func = run, .initial_state = test};
    }
    int failed = _cmocka_run_group_tests("pkits", tests, n, NULL, NULL);
    free(tests);
    free(names);
    json_decref(list);
    return failed;
}
