/* Identifiers, and what a challenge's answer must be. */
#include "unit.h"

#include "base/text.h"
#include "proto/acme/identifier.h"
#include "x509/digest.h"

static cs_err err;

static void names_and_addresses_have_one_form(void **state) {
    (void)state;
    static const struct {
        const char *type, *value, *kept;
        bool wildcard;
    } rows[] = {{"dns", "A.Example", "a.example", false},
                {"dns", "*.B.example", "b.example", true},
                {"ip", "0:0:0:0:0:0:0:1", "::1", false},
                {"ip", "10.0.0.1", "10.0.0.1", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        identifier got;
        json_t *j = json_pack("{s:s,s:s}", "type", rows[i].type, "value", rows[i].value);
        assert_ok(identifier_read(j, &got, &err));
        assert_string_equal(got.value, rows[i].kept);
        assert_int_equal(got.wildcard, rows[i].wildcard);
        assert_string_equal(identifier_type(&got), rows[i].type);
        json_decref(j);
    }
}

/* RFC 9773 4.1's own example. */
static void a_certificates_id_is_read(void **state) {
    (void)state;
    char aki[2 * 64 + 1], serial[STORE_SERIAL_TEXT];
    assert_ok(cert_id_read("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", aki, serial, &err));
    assert_string_equal(aki, "69885b6b87464041e1b37b847ba0ae2cde01c8d4");
    assert_string_equal(serial, "87654321");
    static const char *const bad[] = {"", ".", "AA", "AA.", ".AA", "AA.A", "A A.AA", "AA.AA=="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(cert_id_read(bad[i], aki, serial, &err), CS_R_MESSAGE_MALFORMED);
}

static const identifier name = {.type = CS_SAN_DNS, .value = "a.example"};

static void http_wants_the_key_authorization_and_nothing_more(void **state) {
    (void)state;
    static const char *const bad[] = {"", "t", "t.k2", "t.kx", "x.k", "t.k\nt.k"};
    CS_SCOPED(cs_buf) good = cs_buf_of(64);
    (void)cs_buf_add_vec16(&good, CS_VIEW_LIT("t.k\r\n"));
    assert_ok(challenge_judge(CHALLENGE_HTTP, &name, "t", "k", cs_buf_view(&good), &err));
    assert_fails(challenge_judge(CHALLENGE_HTTP, &name, "t", "k", CS_VIEW_LIT(""), &err), CS_R_CHALLENGE_FAILED);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CS_SCOPED(cs_buf) b = cs_buf_of(64);
        (void)cs_buf_add_vec16(&b, cs_view_str(bad[i]));
        assert_fails(challenge_judge(CHALLENGE_HTTP, &name, "t", "k", cs_buf_view(&b), &err), CS_R_CHALLENGE_FAILED);
    }
}

static void a_text_among_others_proves(void **state) {
    (void)state;
    uint8_t digest[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) text = cs_buf_of(64), values = cs_buf_of(256);
    assert_ok(cs_sha256(CS_VIEW_LIT("t.k"), digest, &err));
    (void)cs_base64url_add(&text, cs_view_of(digest, sizeof digest));
    (void)cs_buf_add_vec16(&values, CS_VIEW_LIT("another"));
    assert_fails(challenge_judge(CHALLENGE_DNS, &name, "t", "k", cs_buf_view(&values), &err), CS_R_CHALLENGE_FAILED);
    (void)cs_buf_add_vec16(&values, cs_buf_view(&text));
    assert_ok(challenge_judge(CHALLENGE_DNS, &name, "t", "k", cs_buf_view(&values), &err));
    assert_fails(challenge_judge(CHALLENGE_DNS, &name, "t", "k2", cs_buf_view(&values), &err), CS_R_CHALLENGE_FAILED);
    values.n--; /* cut */
    assert_fails(challenge_judge(CHALLENGE_DNS, &name, "t", "k", cs_buf_view(&values), &err), CS_R_CHALLENGE_FAILED);
}

static void tls_wants_the_protocol_and_a_certificate(void **state) {
    (void)state;
    static const char *const protocols[] = {"", "h2", "acme-tls/1"};
    for (size_t i = 0; i < 3; i++) {
        CS_SCOPED(cs_buf) b = cs_buf_of(64);
        (void)cs_buf_add_vec16(&b, cs_view_str(protocols[i]));
        (void)cs_buf_add_vec16(&b, CS_VIEW_LIT("no certificate"));
        assert_fails(challenge_judge(CHALLENGE_ALPN, &name, "t", "k", cs_buf_view(&b), &err), CS_R_CHALLENGE_FAILED);
    }
}

static void which_challenge_proves_what(void **state) {
    (void)state;
    const identifier wild = {.type = CS_SAN_DNS, .wildcard = true, .value = "a.example"};
    const identifier ip = {.type = CS_SAN_IP, .value = "10.0.0.1"};
    challenge_kind kind;
    assert_true(challenge_kind_of("http-01", &name, &kind) && kind == CHALLENGE_HTTP);
    assert_true(challenge_kind_of("dns-01", &wild, &kind) && kind == CHALLENGE_DNS);
    assert_true(challenge_kind_of("tls-alpn-01", &ip, &kind) && kind == CHALLENGE_ALPN);
    assert_false(challenge_kind_of("http-01", &wild, &kind) || challenge_kind_of("tls-alpn-01", &wild, &kind));
    assert_false(challenge_kind_of("dns-01", &ip, &kind) || challenge_kind_of("tls-sni-01", &name, &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_addresses_have_one_form),
        cmocka_unit_test(a_certificates_id_is_read),
        cmocka_unit_test(http_wants_the_key_authorization_and_nothing_more),
        cmocka_unit_test(a_text_among_others_proves),
        cmocka_unit_test(tls_wants_the_protocol_and_a_certificate),
        cmocka_unit_test(which_challenge_proves_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
