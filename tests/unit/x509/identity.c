/* Identities: which names may be certified, and who a certificate is for. */
#include "issue.h"

static void good_names_come_in_their_one_form(void **state) {
    static const struct {
        cs_kind kind;
        const char *in, *out;
    } rows[] = {
        {CS_KIND_SERVER, "GW.Corp.Example", "gw.corp.example"},
        {CS_KIND_SERVER, "localhost", "localhost"},
        {CS_KIND_SERVER, "*.corp.example", "*.corp.example"},
        {CS_KIND_SERVER, "xn--bcher-kva.example", "xn--bcher-kva.example"},
        {CS_KIND_SERVER, "10.0.0.5", "10.0.0.5"},
        {CS_KIND_SERVER, "2001:DB8::0:1", "2001:db8::1"},
        {CS_KIND_USER, "ann@Corp.Example", "ann@corp.example"},
        {CS_KIND_USER, "a.b+c@localhost", "a.b+c@localhost"},
        {CS_KIND_DEVICE, "pump-17", "pump-17"},
        {CS_KIND_DEVICE, "A_b.c-9", "A_b.c-9"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cs_err err;
        cs_identity who;
        assert_ok(cs_identity_make(rows[i].kind, cs_view_str(rows[i].in), &who, &err));
        assert_string_equal(who.name, rows[i].out);
        assert_int_equal(who.kind, rows[i].kind);
    }
}

static void bad_names_are_refused(void **state) {
    static const char l64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const struct {
        cs_kind kind;
        cs_view in;
    } rows[] = {
        {CS_KIND_SERVER, CS_VIEW_LIT("")},
        {CS_KIND_SERVER, CS_VIEW_LIT("a..b")},
        {CS_KIND_SERVER, CS_VIEW_LIT("a.")},
        {CS_KIND_SERVER, CS_VIEW_LIT("-a.example")},
        {CS_KIND_SERVER, CS_VIEW_LIT("a_b.example")},
        {CS_KIND_SERVER, CS_VIEW_LIT("*.com")},
        {CS_KIND_SERVER, CS_VIEW_LIT("*")},
        {CS_KIND_SERVER, CS_VIEW_LIT("*.")},
        {CS_KIND_SERVER, CS_VIEW_LIT("a.*.example")},
        {CS_KIND_SERVER, CS_VIEW_LIT("f*.a.example")},
        {CS_KIND_SERVER, CS_VIEW_LIT("10.0.0.256")},
        {CS_KIND_SERVER, CS_VIEW_LIT("b\xc3\xbc"
                                     "cher.example")},
        {CS_KIND_SERVER, CS_VIEW_LIT("good.example\0.evil.example")},
        {CS_KIND_SERVER, CS_VIEW_LIT("10.0.0.1\0")},
        {CS_KIND_SERVER, CS_VIEW_LIT("a b.example")},
        {CS_KIND_SERVER, {(const uint8_t *)l64, 64}},
        {CS_KIND_USER, CS_VIEW_LIT("ann")},
        {CS_KIND_USER, CS_VIEW_LIT("@b.example")},
        {CS_KIND_USER, CS_VIEW_LIT("a@")},
        {CS_KIND_USER, CS_VIEW_LIT("a@b@c.example")},
        {CS_KIND_USER, CS_VIEW_LIT(".a@b.example")},
        {CS_KIND_USER, CS_VIEW_LIT("a..b@b.example")},
        {CS_KIND_USER, CS_VIEW_LIT("a\n@b.example")},
        {CS_KIND_USER, CS_VIEW_LIT("a\0@b.example")},
        {CS_KIND_USER, CS_VIEW_LIT("\"a b\"@b.example")},
        {CS_KIND_DEVICE, CS_VIEW_LIT("")},
        {CS_KIND_DEVICE, CS_VIEW_LIT("-a")},
        {CS_KIND_DEVICE, CS_VIEW_LIT("../a")},
        {CS_KIND_DEVICE, CS_VIEW_LIT("a/b")},
        {CS_KIND_DEVICE, CS_VIEW_LIT("a\0b")},
        {CS_KIND_DEVICE, {(const uint8_t *)l64, sizeof(l64)}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cs_err err = {0};
        cs_identity who;
        if (cs_identity_make(rows[i].kind, rows[i].in, &who, &err) == CS_OK) fail_msg("row %zu accepted", i);
        assert_int_equal(err.reason, CS_R_NAME_INVALID);
    }
    cs_err err;
    cs_identity who;
    assert_fails(cs_identity_make(CS_KIND_OTHER, CS_VIEW_LIT("a"), &who, &err), CS_R_PROFILE_UNKNOWN);
}

static void a_long_name_is_refused(void **state) {
    cs_err err;
    cs_identity who;
    char name[256];
    for (size_t i = 0; i < sizeof(name); i++) name[i] = i % 10 == 9 ? '.' : 'a';
    assert_ok(cs_identity_make(CS_KIND_SERVER, cs_view_of(name, 253), &who, &err));
    assert_fails(cs_identity_make(CS_KIND_SERVER, cs_view_of(name, 254), &who, &err), CS_R_NAME_INVALID);
    memcpy(name, "abcd@", 5);
    assert_ok(cs_identity_make(CS_KIND_USER, cs_view_of(name, 253), &who, &err));
    assert_fails(cs_identity_make(CS_KIND_USER, cs_view_of(name, 254), &who, &err), CS_R_NAME_INVALID);
}

static void kinds_have_names(void **state) {
    cs_kind kind;
    for (cs_kind k = CS_KIND_SERVER; k <= CS_KIND_DEVICE; k++) {
        assert_true(cs_kind_parse(cs_view_str(cs_kind_name(k)), &kind));
        assert_int_equal(kind, k);
    }
    assert_false(cs_kind_parse(CS_VIEW_LIT("other"), &kind));
    assert_string_equal(cs_kind_name((cs_kind)99), "other");
}

static void who_is(const cs_san *sans, size_t n, bool has_eku, unsigned eku, cs_kind kind, const char *name) {
    uint8_t empty[] = {0x30, 0x00};
    cs_cert c = {
        .sans = (cs_san *)(uintptr_t)sans, .san_count = n, .has_eku = has_eku, .eku = eku, .subject = {empty, 2}};
    cs_identity who;
    cs_identity_of_cert(&c, &who);
    assert_int_equal(who.kind, kind);
    assert_string_equal(who.name, name);
}

static void a_certificate_is_for_whom_its_sans_name(void **state) {
    const uint8_t ip[] = {10, 0, 0, 5};
    const cs_san dev = {CS_SAN_URI, CS_VIEW_LIT("spiffe://corp.example/device/pump-17")};
    const cs_san other_uri = {CS_SAN_URI, CS_VIEW_LIT("spiffe://corp.example/ns/x/sa/y")};
    const cs_san evil = {CS_SAN_URI, CS_VIEW_LIT("spiffe://corp.example/device/a/b")};
    const cs_san nowhere = {CS_SAN_URI, CS_VIEW_LIT("spiffe:///device/a")};
    const cs_san mail = {CS_SAN_EMAIL, CS_VIEW_LIT("ann@corp.example")};
    const cs_san nul = {CS_SAN_EMAIL, CS_VIEW_LIT("root@corp.example\0@evil")};
    const cs_san dns = {CS_SAN_DNS, CS_VIEW_LIT("gw.corp.example")}, addr = {CS_SAN_IP, {ip, 4}};
    const cs_san two[] = {dev, other_uri}, host[] = {dns, addr}, host2[] = {addr, dns};
    const unsigned client = CS_EKU_CLIENT_AUTH, server = CS_EKU_SERVER_AUTH;
    who_is(&dev, 1, true, client, CS_KIND_DEVICE, "pump-17");
    who_is(two, 2, true, client, CS_KIND_OTHER, "spiffe://corp.example/device/pump-17");
    who_is(&other_uri, 1, true, client, CS_KIND_OTHER, "spiffe://corp.example/ns/x/sa/y");
    who_is(&evil, 1, true, client, CS_KIND_OTHER, "spiffe://corp.example/device/a/b");
    who_is(&nowhere, 1, true, client, CS_KIND_OTHER, "spiffe:///device/a");
    who_is(&mail, 1, true, client, CS_KIND_USER, "ann@corp.example");
    who_is(&mail, 1, true, CS_EKU_EMAIL, CS_KIND_OTHER, "ann@corp.example");
    who_is(&nul, 1, true, client, CS_KIND_OTHER, "root@corp.example\\x00@evil");
    who_is(host, 2, true, server, CS_KIND_SERVER, "gw.corp.example");
    who_is(host2, 2, true, server, CS_KIND_SERVER, "10.0.0.5");
    who_is(host, 2, false, 0, CS_KIND_OTHER, "gw.corp.example");
    who_is(NULL, 0, true, client, CS_KIND_OTHER, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_names_come_in_their_one_form),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(a_long_name_is_refused),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(a_certificate_is_for_whom_its_sans_name),
    };
    return cmocka_run_group_tests_name("x509/identity", tests, NULL, NULL);
}
