/* Configured profiles: what they let be built, and that the judge keeps to the same description. */
#include "issue.h"

#include "x509/der.h"

#include "keys/keys.h"

static test_ca ca;
static cs_key *device_key;

static int make_ca(void **state) {
    cs_err err;
    ca = test_ca_make(CS_KEYSPEC_ECDSA_P256, CS_KEYSPEC_ECDSA_P256);
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &device_key, &err));
    return 0;
}

static int free_ca(void **state) {
    test_ca_free(&ca);
    cs_key_free(device_key);
    return 0;
}

static const cs_pattern allowed[] = {{CS_SAN_DNS, "*.shop.example"}, {CS_SAN_IP, "10.1.0.0/16"}};
static const cs_pattern denied[] = {{CS_SAN_DNS, "admin.*"}};

static cs_profile shop(void) {
    cs_err err;
    cs_profile p = *cs_profile_of(CS_KIND_SERVER);
    p.name = "shop-tls";
    p.allowed = allowed;
    p.allowed_count = 2;
    p.denied = denied;
    p.denied_count = 1;
    p.subject.organization = (cs_field){CS_FROM_PROFILE, "Zoë & Co"};
    p.subject.unit = (cs_field){CS_FROM_REQUEST, NULL};
    p.must_staple = true;
    assert_ok(cs_profile_seal(&p, &err));
    return p;
}

static cs_identity server(const char *name) {
    cs_err err;
    cs_identity who;
    assert_ok(cs_identity_make(CS_KIND_SERVER, cs_view_str(name), &who, &err));
    return who;
}

/* Builds by `p`, judges by `q`. */
static cs_status pass(const cs_profile *p, const cs_profile *q, const char *name, const cs_dn *asked, cs_buf *tbs,
                      cs_err *err) {
    static uint8_t serial[CS_SERIAL_LEN];
    cs_err made;
    const cs_identity who = server(name);
    CS_SCOPED(cs_buf) subject = cs_buf_of(1024);
    assert_int_equal(cs_serial_draw(cs_rng_system(), serial, &made), CS_OK);
    cs_profile_ask ask = test_ask(&ca, &who, cs_key_spki(device_key), cs_view_of(serial, sizeof(serial)));
    if (asked) assert_int_equal(cs_dn_build(asked, &subject, &made), CS_OK);
    ask.profile = p;
    ask.subject = cs_buf_view(&subject);
    TRY(cs_profile_build(&ask, tbs, err));
    const cs_profile_rule rule = {.issuer = ca.issuing, .trust_domain = "corp.example", .now = TEST_NOW, .profile = q};
    return cs_profile_check(cs_buf_view(tbs), CS_KIND_SERVER, &rule, NULL, NULL, err);
}

static cs_status through(const cs_profile *p, const char *name) {
    cs_err err;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    return pass(p, p, name, NULL, &tbs, &err);
}

static void patterns_say_which_names(void **state) {
    const cs_profile p = shop();
    assert_int_equal(through(&p, "a.shop.example"), CS_OK);
    assert_int_equal(through(&p, "a.b.shop.example"), CS_OK);
    assert_int_equal(through(&p, "*.shop.example"), CS_OK);
    assert_int_equal(through(&p, "10.1.255.3"), CS_OK);
    assert_int_equal(through(&p, "shop.example"), CS_REFUSED);
    assert_int_equal(through(&p, "a.shop.example.evil.example"), CS_REFUSED);
    assert_int_equal(through(&p, "ashop.example"), CS_REFUSED);
    assert_int_equal(through(&p, "10.2.0.1"), CS_REFUSED);
    assert_int_equal(through(&p, "::1"), CS_REFUSED);
    assert_int_equal(through(&p, "admin.shop.example"), CS_REFUSED);
}

static void a_refusal_names_profile_and_name(void **state) {
    cs_err err;
    const cs_profile p = shop();
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    assert_fails(pass(&p, &p, "other.example", NULL, &tbs, &err), CS_R_NAME_NOT_ALLOWED);
    assert_non_null(strstr(err.detail, "DNS:other.example"));
    assert_non_null(strstr(err.detail, "shop-tls"));
}

static void the_certificate_tells_its_profile_and_the_subject_its_sources(void **state) {
    cs_err err;
    const cs_profile p = shop();
    char text[CS_NAME_TEXT_MAX + 1];
    char name[CS_PROFILE_NAME_MAX + 1];
    const cs_dn asked = {.unit = "Tills", .organization = "Evil Ltd", .common_name = "evil.example"};
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    assert_ok(pass(&p, &p, "a.shop.example", &asked, &tbs, &err));
    CS_AUTO(cs_cert) c = test_sign(ca.issuing_key, cs_buf_view(&tbs));
    assert_string_equal(cs_name_text(c->subject, text), "CN=a.shop.example,OU=Tills,O=Zoë & Co");
    assert_true(cs_profile_of_cert(c, name));
    assert_true(strcmp(name, "shop-tls") == 0);
    assert_false(cs_profile_of_cert(ca.issuing, name));
    test_keep("shop.der", c->der);
}

static void the_judge_keeps_to_its_own_description(void **state) {
    cs_err err;
    const cs_profile p = shop(), *plain = cs_profile_of(CS_KIND_SERVER);
    cs_profile q = shop();
    CS_SCOPED(cs_buf) a = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) c = cs_buf_of(CS_CERT_MAX);
    assert_fails(pass(&p, plain, "a.shop.example", NULL, &a, &err), CS_R_PROFILE_VIOLATED);
    assert_fails(pass(plain, &p, "a.shop.example", NULL, &b, &err), CS_R_PROFILE_VIOLATED);
    q.must_staple = false;
    assert_ok(cs_profile_seal(&q, &err));
    assert_memory_not_equal(p.digest, q.digest, sizeof(p.digest));
    assert_fails(pass(&p, &q, "a.shop.example", NULL, &c, &err), CS_R_PROFILE_VIOLATED);
}

static void keys_are_those_of_the_profile(void **state) {
    cs_err err;
    cs_profile p = shop();
    p.key_types = CS_PROFILE_KEY_RSA | CS_PROFILE_KEY_P384;
    p.rsa_bits_min = 3072;
    CS_AUTO(cs_key) small = NULL;
    CS_AUTO(cs_key) good = NULL;
    assert_fails(cs_profile_key_check(&p, cs_key_spki(device_key), &err), CS_R_KEY_UNSUPPORTED);
    assert_ok(cs_key_generate(CS_KEYSPEC_RSA_2048, &small, &err));
    assert_fails(cs_profile_key_check(&p, cs_key_spki(small), &err), CS_R_KEY_TOO_WEAK);
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P384, &good, &err));
    assert_ok(cs_profile_key_check(&p, cs_key_spki(good), &err));
}

static void a_servers_common_name_is_one_of_its_names(void **state) {
    cs_err err;
    cs_profile p = shop();
    p.subject.common_name = (cs_field){CS_FROM_REQUEST, NULL};
    const cs_dn good = {.common_name = "A.shop.example"}, evil = {.common_name = "bank.example"};
    CS_SCOPED(cs_buf) a = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CERT_MAX);
    assert_ok(pass(&p, &p, "a.shop.example", &good, &a, &err));
    assert_fails(pass(&p, &p, "a.shop.example", &evil, &b, &err), CS_R_NAME_NOT_ALLOWED);
}

static void what_no_leaf_may_have_is_no_profile(void **state) {
    static const uint8_t two[] = {5, 0, 5, 0}, key_usage[] = {0x55, 0x1d, 0x0f};
    const cs_extra_ext twice = {{(const uint8_t *)"\x2a\x03", 2}, {two, 4}, false};
    const cs_extra_ext ours = {{key_usage, 3}, {two, 2}, false};
    cs_err err;
    cs_profile p = shop();
    p.key_usage |= CS_KU_CERT_SIGN;
    assert_fails(cs_profile_seal(&p, &err), CS_R_PROFILE_VIOLATED);
    p = shop();
    p.eku = CS_EKU_ANY | CS_EKU_SERVER_AUTH;
    assert_fails(cs_profile_seal(&p, &err), CS_R_PROFILE_VIOLATED);
    p = shop();
    p.extras = &twice;
    p.extra_count = 1;
    assert_fails(cs_profile_seal(&p, &err), CS_R_PROFILE_VIOLATED);
    p.extras = &ours;
    assert_fails(cs_profile_seal(&p, &err), CS_R_PROFILE_VIOLATED);
    p = shop();
    p.lifetime = p.lifetime_limit + 1;
    assert_fails(cs_profile_seal(&p, &err), CS_R_PROFILE_VIOLATED);
    p = shop();
    p.backdate = 3 * CS_DAY;
    assert_fails(cs_profile_seal(&p, &err), CS_R_PROFILE_VIOLATED);
}

static void object_identifiers_from_text(void **state) {
    static const struct {
        const char *text, *der;
    } good[] = {{"1.2.840.113549.1.1.11", "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"},
                {"2.5.29.15", "\x55\x1d\x0f"},
                {"2.999.3", "\x88\x37\x03"}};
    static const char *const bad[] = {
        "", "1", "3.1", "1.40", "1.2.", "1..2", "1.02", "a.b", "1.2.99999999999999999999"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CS_SCOPED(cs_buf) b = cs_buf_of(64);
        assert_true(cs_oid_parse(cs_view_str(good[i].text), &b));
        assert_true(cs_view_eq_str(cs_buf_view(&b), good[i].der));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CS_SCOPED(cs_buf) b = cs_buf_of(64);
        assert_false(cs_oid_parse(cs_view_str(bad[i]), &b));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_say_which_names),
        cmocka_unit_test(a_refusal_names_profile_and_name),
        cmocka_unit_test(the_certificate_tells_its_profile_and_the_subject_its_sources),
        cmocka_unit_test(the_judge_keeps_to_its_own_description),
        cmocka_unit_test(keys_are_those_of_the_profile),
        cmocka_unit_test(a_servers_common_name_is_one_of_its_names),
        cmocka_unit_test(what_no_leaf_may_have_is_no_profile),
        cmocka_unit_test(object_identifiers_from_text),
    };
    return cmocka_run_group_tests(tests, make_ca, free_ca);
}
