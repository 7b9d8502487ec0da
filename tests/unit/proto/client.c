/* proto/client: which protocol, whose CA certificates, whose words. */
#include "unit.h"

#include "base/clock.h"
#include "proto/client/client.h"
#include "x509/build.h"
#include "x509/profile.h"

typedef struct ca {
    cs_key *key;
    cs_cert *cert;
} ca;

static cs_err err;

static ca make_ca(const char *name) {
    ca made = {.key = NULL};
    CS_SCOPED(cs_buf) dn = cs_buf_of(4096), tbs = cs_buf_of(4096), der = cs_buf_of(4096);
    static const uint8_t serial[CS_SERIAL_LEN] = {1, 2, 3};
    cs_time now = cs_now(cs_clock_system());
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &made.key, &err));
    assert_ok(cs_dn_build(&(cs_dn){.common_name = name}, &dn, &err));
    cs_ca_ask ask = {.role = CS_CA_ROOT,
                     .subject = cs_buf_view(&dn),
                     .spki = cs_key_spki(made.key),
                     .serial = cs_view_of(serial, sizeof serial),
                     .not_before = now - CS_HOUR,
                     .not_after = now + CS_DAY};
    assert_ok(cs_ca_build(&ask, &tbs, &err));
    assert_ok(cs_signed_make(made.key, cs_buf_view(&tbs), &der, &err));
    assert_ok(cs_cert_decode(cs_buf_view(&der), &made.cert, &err));
    return made;
}

static void ca_end(ca *c) {
    cs_key_free(c->key);
    cs_cert_free(c->cert);
}

static void the_path_of_a_url_says_the_protocol_unless_one_is_named(void **state) {
    const client_protocol *p = NULL;
    (void)state;
    assert_ok(client_protocol_find(NULL, "https://ca.example/.well-known/est/sensors", &p, &err));
    assert_string_equal(p->name, "est");
    assert_ok(client_protocol_find("est", "https://ca.example", &p, &err));
    assert_fails(client_protocol_find(NULL, "https://est.example", &p, &err), CS_R_USAGE);
    assert_fails(client_protocol_find(NULL, "https://x.example.well-known/estate", &p, &err), CS_R_USAGE);
    assert_fails(client_protocol_find("EST", "https://ca.example/.well-known/est", &p, &err), CS_R_USAGE);
}

static void a_fingerprint_vouches_for_one_root_and_no_other(void **state) {
    (void)state;
    ca one = make_ca("one"), other = make_ca("other");
    cs_cert *both_at[] = {one.cert, other.cert}, *other_at[] = {other.cert};
    cs_certs both = {both_at, 2}, wrong = {other_at, 1};
    CS_SCOPED(client) c = {.fingerprint = one.cert->sha256};
    CS_AUTO(call) http = NULL;
    assert_ok(call_new(&http, &err));
    c.http = http;
    assert_fails(client_take_cas(&c, &wrong, false, &err), CS_R_SERVER_UNTRUSTED);
    assert_fails(client_take_cas(&c, &wrong, true, &err), CS_R_SERVER_UNTRUSTED);
    assert_int_equal(c.cas.n, 0);
    assert_ok(client_take_cas(&c, &both, false, &err));
    assert_int_equal(c.cas.n, 1);
    assert_memory_equal(c.cas.at[0]->sha256, one.cert->sha256, 32);
    ca_end(&one);
    ca_end(&other);
}

static void what_came_over_an_open_channel_must_be_known_already(void **state) {
    (void)state;
    ca one = make_ca("one"), other = make_ca("other");
    cs_cert *one_at[] = {one.cert}, *both_at[] = {one.cert, other.cert};
    cs_certs known = {one_at, 1}, both = {both_at, 2}, none = {NULL, 0};
    CS_SCOPED(client) c = {.url = "http://ca.example"};
    assert_fails(client_take_cas(&c, &known, false, &err), CS_R_SERVER_UNTRUSTED);
    c.trust = &known;
    assert_fails(client_take_cas(&c, &both, false, &err), CS_R_SERVER_UNTRUSTED);
    assert_fails(client_take_cas(&c, &none, false, &err), CS_R_SERVER_ANSWER_INVALID);
    assert_ok(client_take_cas(&c, &known, false, &err));
    assert_ok(client_take_cas(&c, &both, true, &err)); /* over TLS, a roll-over's new root is told */
    assert_int_equal(c.cas.n, 2);
    ca_end(&one);
    ca_end(&other);
}

static void a_refusal_has_our_reason_when_it_names_one_and_is_one_safe_line(void **state) {
    const client c = {.url = "https://ca.example"};
    (void)state;
    assert_fails(client_refused(&c, 401, CS_VIEW_LIT("token-invalid: the token is"), &err), CS_R_TOKEN_INVALID);
    assert_fails(client_refused(&c, 401, CS_VIEW_LIT("token-invalid"), &err), CS_R_ENROLLMENT_REFUSED);
    assert_fails(client_refused(&c, 403, CS_VIEW_LIT("no-such-reason: x"), &err), CS_R_ENROLLMENT_REFUSED);
    assert_fails(client_refused(&c, 500, CS_VIEW_LIT("\x1b[31m\nred"), &err), CS_R_SERVER_ANSWER_INVALID);
    assert_null(strchr(err.detail, '\x1b'));
    assert_null(strchr(err.detail, '\n'));
    assert_fails(client_refused(&c, 404, (cs_view){NULL, 0}, &err), CS_R_ENROLLMENT_REFUSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_of_a_url_says_the_protocol_unless_one_is_named),
        cmocka_unit_test(a_fingerprint_vouches_for_one_root_and_no_other),
        cmocka_unit_test(what_came_over_an_open_channel_must_be_known_already),
        cmocka_unit_test(a_refusal_has_our_reason_when_it_names_one_and_is_one_safe_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
