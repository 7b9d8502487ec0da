/* Profiles: what is built passes the signer's check; whatever leaves the profile does not. */
#include "issue.h"

#include "x509/exts_write.h"

static const uint8_t serial[CS_SERIAL_LEN] = {0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static test_ca ca;
static cs_key *leaf_key;

static cs_identity identity(cs_kind kind, const char *name) {
    cs_err err;
    cs_identity who;
    assert_ok(cs_identity_make(kind, cs_view_str(name), &who, &err));
    return who;
}

static cs_profile_ask ask_for(const cs_identity *who) {
    return test_ask(&ca, who, cs_key_spki(leaf_key), cs_view_of(serial, sizeof(serial)));
}

static const cs_profile_rule *rule(void) {
    static cs_profile_rule r;
    r = (cs_profile_rule){.issuer = ca.issuing, .trust_domain = "corp.example", .now = TEST_NOW};
    return &r;
}

static cs_cert *issue(const cs_profile_ask *ask) {
    cs_err err;
    cs_identity again;
    uint8_t drawn[CS_SERIAL_LEN];
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    assert_ok(cs_profile_build(ask, &tbs, &err));
    assert_ok(cs_profile_check(cs_buf_view(&tbs), ask->who->kind, rule(), &again, drawn, &err));
    assert_int_equal(again.kind, ask->who->kind);
    assert_string_equal(again.name, ask->who->name);
    assert_memory_equal(drawn, serial, sizeof(serial));
    return test_sign(ca.issuing_key, cs_buf_view(&tbs));
}

static void keep(const char *name, const cs_cert *c) {
    CS_SCOPED(cs_buf) pem = cs_buf_of(CS_PEM_FILE_MAX);
    assert_true(cs_pem_add_cert(&pem, c));
    test_keep(name, cs_buf_view(&pem));
}

static void a_server_is_named_by_dns_and_address(void **state) {
    const uint8_t ip[] = {10, 0, 0, 5};
    const cs_san more[] = {{CS_SAN_DNS, CS_VIEW_LIT("Alt.Corp.Example")},
                           {CS_SAN_IP, {ip, 4}},
                           {CS_SAN_DNS, CS_VIEW_LIT("gw.corp.example")}};
    const cs_identity who = identity(CS_KIND_SERVER, "GW.corp.example");
    cs_profile_ask ask = ask_for(&who);
    cs_view cn;
    ask.sans = more;
    ask.san_count = 3;
    CS_AUTO(cs_cert) c = issue(&ask);
    assert_int_equal(c->san_count, 3); /* the third was a duplicate */
    assert_true(cs_view_eq_str(c->sans[0].value, "gw.corp.example"));
    assert_true(cs_view_eq_str(c->sans[1].value, "alt.corp.example"));
    assert_true(cs_view_eq(c->sans[2].value, cs_view_of(ip, 4)));
    assert_int_equal(c->eku, CS_EKU_SERVER_AUTH);
    assert_int_equal(c->key_usage, CS_KU_DIGITAL_SIGNATURE);
    assert_true(cs_name_cn(c->subject, &cn));
    assert_true(cs_view_eq_str(cn, "gw.corp.example"));
    assert_false(c->is_ca);
    keep("server.pem", c);
}

static void a_server_may_be_an_address(void **state) {
    const cs_identity who = identity(CS_KIND_SERVER, "::0001");
    const cs_profile_ask ask = ask_for(&who);
    CS_AUTO(cs_cert) c = issue(&ask);
    assert_int_equal(c->sans[0].type, CS_SAN_IP);
    assert_int_equal(c->sans[0].value.n, 16);
    assert_string_equal(who.name, "::1");
}

static void a_name_too_long_for_a_cn_stands_in_the_san_alone(void **state) {
    const cs_identity who = identity(
        CS_KIND_SERVER, "a-label-of-some-length.another-label-of-some-length.and-one-more-of-these.corp.example");
    const cs_profile_ask ask = ask_for(&who);
    CS_AUTO(cs_cert) c = issue(&ask);
    assert_int_equal(c->subject.n, 2);
    keep("longname.pem", c);
}

static void a_user_is_an_address(void **state) {
    const cs_identity who = identity(CS_KIND_USER, "Ann.O'Neil@Corp.Example");
    const cs_profile_ask ask = ask_for(&who);
    CS_AUTO(cs_cert) c = issue(&ask);
    assert_string_equal(who.name, "Ann.O'Neil@corp.example");
    assert_int_equal(c->eku, CS_EKU_CLIENT_AUTH | CS_EKU_EMAIL);
    assert_int_equal(c->sans[0].type, CS_SAN_EMAIL);
    keep("user.pem", c);
}

static void a_device_is_a_spiffe_uri_and_a_serial_number(void **state) {
    const cs_identity who = identity(CS_KIND_DEVICE, "pump_17"); /* '_' is not of PrintableString */
    const cs_profile_ask ask = ask_for(&who);
    char text[CS_NAME_TEXT_MAX + 1];
    CS_AUTO(cs_cert) c = issue(&ask);
    assert_true(cs_view_eq_str(c->sans[0].value, "spiffe://corp.example/device/pump_17"));
    assert_non_null(strstr(cs_name_text(c->subject, text), "CN=pump_17"));
    keep("device.pem", c);
}

static void names_of_another_kind_are_refused(void **state) {
    const cs_san mail = {CS_SAN_EMAIL, CS_VIEW_LIT("a@b.example")}, dns = {CS_SAN_DNS, CS_VIEW_LIT("a.example")};
    const cs_san odd = {(cs_san_type)77, CS_VIEW_LIT("x")};
    const cs_identity server = identity(CS_KIND_SERVER, "a.example"), device = identity(CS_KIND_DEVICE, "d");
    cs_err err;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    cs_profile_ask ask = ask_for(&server);
    ask.sans = &mail;
    ask.san_count = 1;
    assert_fails(cs_profile_build(&ask, &tbs, &err), CS_R_NAME_NOT_ALLOWED);
    ask.sans = &odd;
    assert_fails(cs_profile_build(&ask, &tbs, &err), CS_R_NAME_NOT_ALLOWED);
    ask.who = &device;
    ask.sans = &dns;
    assert_fails(cs_profile_build(&ask, &tbs, &err), CS_R_NAME_NOT_ALLOWED);
}

static void too_many_names_are_refused(void **state) {
    static char text[CS_ISSUE_SAN_MAX][32];
    cs_san many[CS_ISSUE_SAN_MAX];
    const cs_identity who = identity(CS_KIND_SERVER, "a.example");
    cs_err err;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    for (int i = 0; i < CS_ISSUE_SAN_MAX; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "n%d.a.example", i);
        many[i] = (cs_san){CS_SAN_DNS, cs_view_str(text[i])};
    }
    cs_profile_ask ask = ask_for(&who);
    ask.sans = many;
    ask.san_count = CS_ISSUE_SAN_MAX - 1;
    CS_AUTO(cs_cert) c = issue(&ask);
    assert_int_equal(c->san_count, CS_ISSUE_SAN_MAX);
    ask.san_count = CS_ISSUE_SAN_MAX;
    assert_fails(cs_profile_build(&ask, &tbs, &err), CS_R_LIMIT_REACHED);
}

static void built_for(cs_kind kind, const char *name, cs_buf *tbs) {
    cs_err err;
    const cs_identity who = identity(kind, name);
    const cs_profile_ask ask = ask_for(&who);
    assert_ok(cs_profile_build(&ask, tbs, &err));
}

static void the_signer_refuses_another_kind_issuer_or_domain(void **state) {
    cs_err err;
    cs_profile_rule r = *rule();
    CS_SCOPED(test_ca) other = test_ca_make(CS_KEYSPEC_ECDSA_P256, CS_KEYSPEC_ECDSA_P256);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    built_for(CS_KIND_DEVICE, "d1", &tbs);
    cs_view v = cs_buf_view(&tbs);
    assert_fails(cs_profile_check(v, CS_KIND_USER, &r, NULL, NULL, &err), CS_R_PROFILE_VIOLATED);
    assert_fails(cs_profile_check(v, CS_KIND_SERVER, &r, NULL, NULL, &err), CS_R_PROFILE_VIOLATED);
    assert_fails(cs_profile_check(v, CS_KIND_OTHER, &r, NULL, NULL, &err), CS_R_PROFILE_UNKNOWN);
    assert_fails(cs_profile_check(v, (cs_kind)9, &r, NULL, NULL, &err), CS_R_PROFILE_UNKNOWN);
    r.trust_domain = "evil.example";
    assert_fails(cs_profile_check(v, CS_KIND_DEVICE, &r, NULL, NULL, &err), CS_R_PROFILE_VIOLATED);
    r = *rule();
    r.issuer = other.issuing;
    assert_fails(cs_profile_check(v, CS_KIND_DEVICE, &r, NULL, NULL, &err), CS_R_PROFILE_VIOLATED);
    r = *rule();
    cs_profile shorter = *cs_profile_of(CS_KIND_DEVICE);
    shorter.lifetime_limit = 10 * CS_DAY;
    r.profile = &shorter;
    assert_fails(cs_profile_check(v, CS_KIND_DEVICE, &r, NULL, NULL, &err), CS_R_PROFILE_VIOLATED);
    r = *rule();
    r.now = TEST_NOW + CS_DAY;
    assert_fails(cs_profile_check(v, CS_KIND_DEVICE, &r, NULL, NULL, &err), CS_R_PROFILE_VIOLATED);
}

/* Flip every octet: nothing of what is signed may vary but serial, key, validity within the rule, and names. */
static void the_signer_refuses_what_is_not_of_the_form(void **state) {
    cs_err err;
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    built_for(CS_KIND_DEVICE, "d1", &tbs);
    size_t passed = 0;
    for (size_t i = 0; i < tbs.n; i++) {
        tbs.p[i] ^= 0x01;
        passed += cs_profile_check(cs_buf_view(&tbs), CS_KIND_DEVICE, rule(), NULL, NULL, &err) == CS_OK;
        tbs.p[i] ^= 0x01;
        cs_view cut = {tbs.p, i};
        assert_int_not_equal(cs_profile_check(cut, CS_KIND_DEVICE, rule(), NULL, NULL, &err), CS_OK);
    }
    /* 16 of the serial, a few digits of the validity, some letters of the two addresses */
    assert_true(passed < 120);
    assert_int_not_equal(cs_profile_check(cs_view_of(NULL, 0), CS_KIND_DEVICE, rule(), NULL, NULL, &err), CS_OK);
}

/* A TBS that asks for more, written by a hand that has the same tools. */
static void forged(cs_buf *tbs, bool make_ca, unsigned ku, unsigned eku, bool extra, cs_view spki) {
    cs_err err;
    uint8_t keyid[CS_KEYID_LEN];
    CS_SCOPED(cs_buf) subject = cs_buf_of(1024);
    const cs_san san = {CS_SAN_URI, CS_VIEW_LIT("spiffe://corp.example/device/d1")};
    const cs_dn dn = {.common_name = "d1", .serial_number = "d1"};
    assert_ok(cs_dn_build(&dn, &subject, &err));
    cs_tbs t = {.serial = cs_view_of(serial, sizeof(serial)),
                .issuer = ca.issuing->subject,
                .subject = cs_buf_view(&subject),
                .spki = spki,
                .not_before = TEST_NOW - CS_BACKDATE,
                .not_after = TEST_NOW + CS_DAY};
    assert_ok(cs_key_algorithm(ca.issuing->spki, &t.algorithm, &err));
    assert_true(cs_keyid_of_spki(spki, keyid));
    cs_tbs_open(tbs, &t);
    cs_ext_put_basic_constraints(tbs, make_ca, -1);
    cs_ext_put_key_usage(tbs, ku);
    cs_ext_put_eku(tbs, eku);
    cs_ext_put_sans(tbs, false, &san, 1);
    cs_ext_put_ski(tbs, cs_view_of(keyid, sizeof(keyid)));
    cs_ext_put_aki(tbs, ca.issuing->skid);
    cs_ext_put_crl_point(tbs, "http://127.0.0.1:8880/crl/issuing.crl");
    cs_ext_put_access(tbs, "http://127.0.0.1:8880/ca/issuing.crt", NULL);
    if (extra) {
        cs_ext_mark m = cs_ext_open(tbs, CS_OID_LIT("\x2a\x03\x04"), false);
        cs_der_put(tbs, CS_DER_NULL, cs_view_of(NULL, 0));
        cs_ext_close(tbs, m);
    }
    cs_tbs_close(tbs, &t);
}

static void the_signer_refuses_forgeries_by_field(void **state) {
    static const struct {
        bool ca;
        unsigned ku, eku;
        bool extra;
        const char *says; /* NULL: it is good */
    } rows[] = {
        {false, CS_KU_DIGITAL_SIGNATURE, CS_EKU_CLIENT_AUTH, false, NULL},
        {true, CS_KU_DIGITAL_SIGNATURE, CS_EKU_CLIENT_AUTH, false, "basicConstraints"},
        {false, CS_KU_DIGITAL_SIGNATURE | CS_KU_CERT_SIGN, CS_EKU_CLIENT_AUTH, false, "keyUsage"},
        {false, CS_KU_DIGITAL_SIGNATURE | CS_KU_KEY_AGREEMENT, CS_EKU_CLIENT_AUTH, false, "keyUsage"},
        {false, CS_KU_DIGITAL_SIGNATURE, CS_EKU_CLIENT_AUTH | CS_EKU_SERVER_AUTH, false, "extKeyUsage"},
        {false, CS_KU_DIGITAL_SIGNATURE, CS_EKU_CLIENT_AUTH | CS_EKU_OCSP_SIGNING, false, "extKeyUsage"},
        {false, CS_KU_DIGITAL_SIGNATURE, CS_EKU_CLIENT_AUTH, true, "form"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cs_err err = {0};
        CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
        forged(&tbs, rows[i].ca, rows[i].ku, rows[i].eku, rows[i].extra, cs_key_spki(leaf_key));
        cs_status status = cs_profile_check(cs_buf_view(&tbs), CS_KIND_DEVICE, rule(), NULL, NULL, &err);
        if (!rows[i].says && status != CS_OK) fail_msg("row %zu: %s", i, err.detail);
        if (!rows[i].says) continue;
        assert_int_equal(status, CS_REFUSED);
        if (err.reason != CS_R_PROFILE_VIOLATED || !strstr(err.detail, rows[i].says))
            fail_msg("row %zu: %s", i, err.detail);
    }
}

static void validity_is_backdated_cut_and_bounded(void **state) {
    cs_err err;
    cs_time from, to;
    const cs_time late = ca.issuing->not_after - CS_DAY;
    assert_ok(cs_profile_validity(cs_profile_of(CS_KIND_SERVER), 0, TEST_NOW + 5, ca.issuing, &from, &to, &err));
    assert_true(from == ca.issuing->not_before);
    assert_true(to == TEST_NOW + 90 * CS_DAY);
    assert_ok(cs_profile_validity(cs_profile_of(CS_KIND_SERVER), 0, late, ca.issuing, &from, &to, &err));
    assert_true(from == late - CS_BACKDATE && to == ca.issuing->not_after);
    assert_fails(
        cs_profile_validity(cs_profile_of(CS_KIND_SERVER), 400 * CS_DAY, TEST_NOW, ca.issuing, &from, &to, &err),
        CS_R_PROFILE_VIOLATED);
    cs_profile longer = *cs_profile_of(CS_KIND_SERVER);
    longer.lifetime_limit = 2 * CS_YEAR;
    assert_ok(cs_profile_validity(&longer, 400 * CS_DAY, TEST_NOW, ca.issuing, &from, &to, &err));
    assert_fails(
        cs_profile_validity(cs_profile_of(CS_KIND_USER), 0, ca.issuing->not_after, ca.issuing, &from, &to, &err),
        CS_R_CERTIFICATE_EXPIRED);
    assert_fails(cs_profile_validity(cs_profile_of(CS_KIND_USER), 0, TEST_NOW - CS_DAY, ca.issuing, &from, &to, &err),
                 CS_R_NOT_YET_VALID);
}

static void serials_are_sixteen_positive_octets(void **state) {
    cs_err err;
    uint8_t s[CS_SERIAL_LEN], seen[256] = {0};
    for (int i = 0; i < 20000; i++) {
        assert_ok(cs_serial_draw(cs_rng_system(), s, &err));
        assert_true(s[0] >= 0x01 && s[0] <= 0x7f);
        seen[s[0]] = 1;
    }
    for (int i = 1; i < 0x80; i++) assert_true(seen[i]);
}

static void a_trust_domain_is_lower_case(void **state) {
    static const char *const bad[] = {"", "Corp.example", "a/b", "a b", "a:1", "ä"};
    cs_err err;
    assert_ok(cs_trust_domain_check("corp.example", &err));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_fails(cs_trust_domain_check(bad[i], &err), CS_R_NAME_INVALID);
}

static int make_ca(void **state) {
    cs_err err;
    ca = test_ca_make(CS_KEYSPEC_ECDSA_P256, CS_KEYSPEC_ECDSA_P256);
    keep("root.pem", ca.root);
    keep("issuing.pem", ca.issuing);
    return cs_key_generate(CS_KEYSPEC_ECDSA_P256, &leaf_key, &err) == CS_OK ? 0 : -1;
}

static int drop_ca(void **state) {
    test_ca_free(&ca);
    cs_key_free(leaf_key);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_named_by_dns_and_address),
        cmocka_unit_test(a_server_may_be_an_address),
        cmocka_unit_test(a_name_too_long_for_a_cn_stands_in_the_san_alone),
        cmocka_unit_test(a_user_is_an_address),
        cmocka_unit_test(a_device_is_a_spiffe_uri_and_a_serial_number),
        cmocka_unit_test(names_of_another_kind_are_refused),
        cmocka_unit_test(too_many_names_are_refused),
        cmocka_unit_test(the_signer_refuses_another_kind_issuer_or_domain),
        cmocka_unit_test(the_signer_refuses_what_is_not_of_the_form),
        cmocka_unit_test(the_signer_refuses_forgeries_by_field),
        cmocka_unit_test(validity_is_backdated_cut_and_bounded),
        cmocka_unit_test(serials_are_sixteen_positive_octets),
        cmocka_unit_test(a_trust_domain_is_lower_case),
    };
    return cmocka_run_group_tests_name("x509/profile", tests, make_ca, drop_ca);
}
