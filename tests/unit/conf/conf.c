#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files.h"
#include "unit.h"

static char dir[64], file[80];
static cs_err err;

static int make_dir(void **state) {
    (void)snprintf(dir, sizeof dir, "/tmp/cs-conf-XXXXXX");
    if (mkdtemp(dir) == NULL) return 1;
    (void)snprintf(file, sizeof file, "%s/c.yaml", dir);
    return 0;
}

static int drop_dir(void **state) {
    return files_remove_tree(dir, &err) != CS_OK;
}

static conf_overrides saying(const char *yaml) {
    assert_ok(files_write(file, cs_view_str(yaml), 0600, FILES_REPLACE, &err));
    return (conf_overrides){.file = file, .state = dir};
}

/* ---- what is refused: one named test a row ---- */

typedef struct refusal {
    const char *name, *yaml;
    const char *at;   /* ":LINE:COLUMN: " */
    const char *says; /* a part of the detail */
} refusal;

static const refusal refusals[] = {
    {"an unknown key with its nearest neighbour", "https: 127.0.0.1:8443\nhtpp: 127.0.0.1:1\n",
     ":2:1: ", "unknown key \"htpp\", did you mean \"http\"?"},
    {"an unknown key like no other with all that may stand there", "crl:\n  lifetime: 7d\n  colour: red\n",
     ":3:3: crl: ", "expected one of lifetime, interval"},
    {"an unknown key deep inside", "sites:\n  - name: '*'\n    routes:\n      - path: /\n        alow: []\n",
     ":5:9: sites[0].routes[0]: ", "did you mean \"allow\""},
    {"a key that stands there twice", "https: 127.0.0.1:1\nhttp: off\nhttps: 127.0.0.1:2\n",
     ":3:1: ", "twice (first in line 1)"},
    {"an address without a port", "https: 127.0.0.1\n", ":1:8: https: ", "expected ADDRESS:PORT"},
    {"an address with a port out of range", "https: 127.0.0.1:65536\n", ":1:8: ", "65536"},
    {"an address with port 0", "https: 127.0.0.1:0\n", ":1:8: ", "expected ADDRESS:PORT"},
    {"an address that is a name", "https: gw.example:8443\n", ":1:8: ", "gw.example"},
    {"an IPv6 address without brackets", "https: ::1:8443\n", ":1:8: ", "[::1]:8443"},
    {"no address where one must be", "https: off\n", ":1:8: ", "expected ADDRESS:PORT"},
    {"a public address that is https", "public_url: https://pki.example\n", ":1:13: public_url: ", "expected http://"},
    {"a public address with a path", "public_url: http://pki.example/crl\n", ":1:13: ", "without a path"},
    {"an upstream with another scheme", "upstream: ftp://localhost\n", ":1:11: upstream: ", "unix:/PATH"},
    {"an upstream socket with a relative path", "upstream: unix:run/app.sock\n", ":1:11: ", "unix:/PATH"},
    {"a site's upstream", "sites:\n  - name: a.example\n    upstream: localhost:80\n",
     ":3:15: sites[0].upstream: ", "http://HOST:PORT"},
    {"a duration without a unit", "limits:\n  idle: 60\n", ":2:9: limits.idle: ", "expected a duration"},
    {"a negative duration", "limits:\n  idle: -5s\n", ":2:9: ", "expected a duration"},
    {"a duration that overflows", "crl:\n  lifetime: 99999999999999y\n", ":2:13: ", "expected a duration"},
    {"a limit that is no number", "limits:\n  connections: many\n", ":2:16: limits.connections: ", "whole number"},
    {"a negative limit", "limits:\n  connections: -1\n", ":2:16: ", "whole number"},
    {"a limit beyond 32 bits", "limits:\n  connections: 4294967296\n", ":2:16: ", "whole number"},
    {"a truth that is neither", "log:\n  access: yes\n", ":2:11: log.access: ", "true or false"},
    {"a log format that is none", "log:\n  format: xml\n", ":2:11: log.format: ", "json or text"},
    {"a client mode that is none", "sites:\n  - name: '*'\n    client: maybe\n",
     ":3:13: sites[0].client: ", "require, optional or off"},
    {"a TLS version below the floor", "sites:\n  - name: '*'\n    min_tls: 1.1\n", ":3:14: ", "1.2 or 1.3"},
    {"a certificate file that does not exist", "sites:\n  - name: '*'\n    certificate: no.crt\n    key: no.key\n",
     ":3:18: sites[0].certificate: ", "No such file"},
    {"a site without a name", "sites:\n  - client: off\n", ":2:5: sites[0]: ", "\"name\" is missing"},
    {"a site name with a star inside", "sites:\n  - name: a.*.example\n", ":2:11: sites[0].name: ", "*.DOMAIN"},
    {"a route without a path", "sites:\n  - name: '*'\n    routes:\n      - upstream: http://a\n",
     ":4:9: sites[0].routes[0]: ", "\"path\" is missing"},
    {"a route with dot segments", "sites:\n  - name: '*'\n    routes:\n      - path: /a/../b\n",
     ":4:15: ", "dot segments"},
    {"an identity's kind that is none",
     "sites:\n  - name: '*'\n    routes:\n      - path: /\n        allow:\n          - kind: robot\n",
     ":6:19: sites[0].routes[0].allow[0].kind: ", "server, user or device"},
    {"a trust domain in upper case", "trust_domain: Corp.Example\n", ":1:15: ", "lower case"},
    {"a list where keys belong", "limits:\n  - idle: 5s\n", ":2:3: limits: ", "keys with values"},
    {"a value where a list belongs", "sites: gw.example\n", ":1:8: sites: ", "expected a list"},
    {"a list where a value belongs", "https: [1, 2]\n", ":1:8: https: ", "single value"},
    {"text where the whole must be keys", "just words\n", ":1:1: ", "keys with values"},
    {"what is not YAML: a tab", "limits:\n\tidle: 5s\n", ":2:1: ", "not YAML"},
    {"what is not YAML: an open quote", "https: \"127.0.0.1\n", ":2:1: ", "not YAML"},
    {"what is not YAML: bytes that are not UTF-8", "https: \xff\xfe\n", ":1:1: ", "not YAML"},
    {"a NUL in a value", "state: \"a\\0b\"\n", ":1:8: state: ", "NUL"},
    {"the same site twice", "sites:\n  - name: a.example\n  - name: A.example\n", "",
     "the site A.example stands there twice"},
    {"a certificate without its key", "sites:\n  - name: '*'\n    certificate: c.yaml\n", "", "key is missing"},
    {"the same route twice", "sites:\n  - name: '*'\n    routes:\n      - path: /a\n      - path: /a\n", "",
     "the route /a stands there twice"},
    {"CRLs made more seldom than they expire", "crl:\n  lifetime: 1h\n  interval: 2h\n", "",
     "crl.interval must be shorter"},
};

static void refuses(void **state) {
    const refusal *r = *state;
    conf *c = NULL;
    (void)make_dir(NULL);
    conf_overrides said = saying(r->yaml);
    assert_fails(conf_load(&said, &c, &err), CS_R_CONFIG_INVALID);
    (void)drop_dir(NULL);
    if (strstr(err.detail, file) == NULL || strstr(err.detail, r->at) == NULL || strstr(err.detail, r->says) == NULL)
        fail_msg("detail: %s", err.detail);
    assert_null(c);
}

/* ---- what is accepted ---- */

static void without_a_file_the_defaults_hold(void **state) {
    CS_AUTO(conf) c = NULL;
    char page[128];
    const conf_overrides said = {.state = dir};
    assert_ok(conf_load(&said, &c, &err));
    assert_string_equal(c->state, dir);
    assert_string_equal(c->https, "127.0.0.1:8443");
    assert_string_equal(c->public_url, "http://127.0.0.1:8880");
    assert_int_equal(c->site_count, 1);
    assert_string_equal(c->sites[0].name, "*");
    assert_int_equal(c->sites[0].client, CONF_CLIENT_REQUIRE);
    assert_true(c->sites[0].authority);
    (void)snprintf(page, sizeof page, "unix:%s/run/page.sock", dir);
    assert_string_equal(c->sites[0].upstream, page);
    assert_true(c->profiles[0].lifetime == 90 * CS_DAY);
    assert_null(c->file);
}

static void comments_alone_are_the_defaults(void **state) {
    CS_AUTO(conf) c = NULL;
    conf_overrides said = saying("# nothing yet\n");
    assert_ok(conf_load(&said, &c, &err));
    assert_int_equal(c->site_count, 1);
}

static void the_command_line_wins_over_the_file(void **state) {
    CS_AUTO(conf) c = NULL;
    conf_overrides said =
        saying("https: 127.0.0.1:1\nhttp: 127.0.0.1:2\nmetrics: off\nupstream: http://a:1/\nthreads: 3\n");
    said.https = "[::1]:9";
    assert_ok(conf_load(&said, &c, &err));
    assert_string_equal(c->https, "[::1]:9");
    assert_string_equal(c->http, "127.0.0.1:2");
    assert_string_equal(c->metrics, "");
    assert_string_equal(c->public_url, "http://127.0.0.1:2");
    assert_string_equal(c->sites[0].upstream, "http://a:1");
    assert_int_equal(c->threads, 3);
    said.upstream = "http://b:2";
    conf_free(c);
    assert_ok(conf_load(&said, &c, &err));
    assert_string_equal(c->sites[0].upstream, "http://b:2");
}

static void sites_routes_and_files_are_read(void **state) {
    CS_AUTO(conf) c = NULL;
    char crt[128];
    conf_overrides said = saying("sites:\n"
                                 "  - name: gw.example\n"
                                 "    certificate: c.yaml\n"
                                 "    key: c.yaml\n"
                                 "    client: optional\n"
                                 "    min_tls: 1.3\n"
                                 "    routes:\n"
                                 "      - path: /admin\n"
                                 "        upstream: unix:/run/admin.sock\n"
                                 "        allow:\n"
                                 "          - {kind: user, name: '*@corp.example'}\n"
                                 "          - kind: device\n"
                                 "  - name: '*'\n"
                                 "profiles: [{name: device, lifetime: 30d, backdate: 1h}]\n"
                                 "limits: {body: 5000000000, connections: 7}\n"
                                 "log: {format: text, access: false}\n");
    assert_ok(conf_load(&said, &c, &err));
    assert_int_equal(c->site_count, 2);
    (void)snprintf(crt, sizeof crt, "%s/c.yaml", dir);
    assert_string_equal(c->sites[0].certificate, crt);
    assert_int_equal(c->sites[0].client, CONF_CLIENT_OPTIONAL);
    assert_int_equal(c->sites[0].min_tls, CONF_TLS_1_3);
    assert_false(c->sites[0].authority);
    assert_true(c->sites[1].authority);
    assert_int_equal(c->sites[0].route_count, 1);
    assert_int_equal(c->sites[0].routes[0].allow_count, 2);
    assert_string_equal(c->sites[0].routes[0].allow[0].name, "*@corp.example");
    assert_null(c->sites[0].routes[0].allow[1].name);
    assert_true(c->profiles[2].lifetime == 30 * CS_DAY && c->profiles[2].backdate == CS_HOUR);
    assert_true(c->limits.body == 5000000000U);
    assert_int_equal(c->limits.connections, 7);
    assert_false(c->access_log);
    assert_string_equal(c->log_format, "text");
}

static void profiles_may_be_written_by_name(void **state) {
    conf *c = NULL;
    conf_overrides said = saying("profiles:\n  device: {lifetime: 30d}\n  sensor:\n    kind: device\n    lifetime: 3d\n"
                                 "log: {format: text}\n");
    assert_ok(conf_load(&said, &c, &err));
    assert_int_equal(c->profile_count, 4);
    assert_true(c->profiles[2].lifetime == 30 * CS_DAY && c->profiles[3].lifetime == 3 * CS_DAY);
    assert_string_equal(c->profiles[3].name, "sensor");
    assert_string_equal(c->log_format, "text");
    conf_free(c);
    said = saying("profiles:\n  device: {lifetme: 30d}\n");
    assert_fails(conf_load(&said, &c, &err), CS_R_CONFIG_INVALID);
    assert_non_null(strstr(err.detail, ":2:12: profiles[0]: unknown key"));
    said = saying("profiles:\n  device: 30d\n");
    assert_fails(conf_load(&said, &c, &err), CS_R_CONFIG_INVALID);
}

static void profiles_are_built_in_changed_or_new(void **state) {
    CS_AUTO(conf) c = NULL;
    const cs_profile *p = NULL;
    conf_overrides said = saying("profiles:\n"
                                 "  - name: server\n"
                                 "    lifetime: 500d\n"
                                 "  - name: till\n"
                                 "    kind: device\n"
                                 "    keys: [ecdsa-p384, rsa-3072]\n"
                                 "    extended_key_usage: [client-auth, server-auth]\n"
                                 "    subject: {o: Corp, ou: request, cn: none, c: DE}\n"
                                 "    names: ['dns:*.Till.example', 'ip:10.0.0.0/8']\n"
                                 "    policies: [1.3.6.1.4.1.99999.1]\n"
                                 "    must_staple: true\n"
                                 "    extensions: [{oid: 1.2.3.4, der: 0500}]\n"
                                 "    ask: [est]\n");
    assert_ok(conf_load(&said, &c, &err));
    assert_int_equal(c->profile_count, 4);
    assert_ok(conf_profile_find(c, NULL, CS_KIND_SERVER, &p, &err));
    assert_true(p->lifetime == 500 * CS_DAY && p->lifetime_limit == 500 * CS_DAY);
    assert_fails(conf_profile_find(c, "nothing", CS_KIND_DEVICE, &p, &err), CS_R_PROFILE_UNKNOWN);
    assert_fails(conf_profile_find(c, "till", CS_KIND_USER, &p, &err), CS_R_PROFILE_VIOLATED);
    assert_ok(conf_profile_find(c, "till", CS_KIND_DEVICE, &p, &err));
    assert_int_equal(p->key_types, CS_PROFILE_KEY_P384 | CS_PROFILE_KEY_RSA);
    assert_int_equal(p->rsa_bits_min, 3072);
    assert_int_equal(p->eku, CS_EKU_CLIENT_AUTH | CS_EKU_SERVER_AUTH);
    assert_int_equal(p->subject.unit.from, CS_FROM_REQUEST);
    assert_int_equal(p->subject.common_name.from, CS_FROM_NOWHERE);
    assert_int_equal(p->subject.serial_number.from, CS_FROM_IDENTITY);
    assert_string_equal(p->subject.country.text, "DE");
    assert_string_equal(p->allowed[0].text, "*.till.example");
    assert_true(p->san_types & 1U << CS_SAN_IP && p->san_types & 1U << CS_SAN_URI);
    assert_int_equal(p->san_max, CS_ISSUE_SAN_MAX);
    assert_int_equal(p->policy_count, 1);
    assert_int_equal(p->extras[0].der.n, 2);
    assert_ok(cs_profile_door_check(p, "est", &err));
    assert_fails(cs_profile_door_check(p, "cli", &err), CS_R_PROFILE_VIOLATED);
}

static void what_is_wrong_with_a_profile_is_said(void **state) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{name: x}", "\"kind\" is missing"},
        {"{name: server, kind: user}", "expected server"},
        {"{name: x, kind: robot}", "expected server, user or device"},
        {"{name: x, kind: user, keys: [dsa]}", "ecdsa-p256"},
        {"{name: x, kind: user, keys: [rsa-1024]}", "rsa-2048"},
        {"{name: x, kind: user, key_usage: [cert-sign]}", "digital-signature"},
        {"{name: x, kind: user, extended_key_usage: [server-auth]}", "client-auth"},
        {"{name: x, kind: server, names: [shop.example]}", "dns:"},
        {"{name: x, kind: server, names: ['ip:10.0.0.0/40']}", "not a pattern"},
        {"{name: x, kind: server, fixed_names: ['dns:a b']}", "dns:"},
        {"{name: x, kind: server, policies: [one.two]}", "object identifier"},
        {"{name: x, kind: server, extensions: [{oid: 2.5.29.19, der: 0500}]}", "other keys"},
        {"{name: x, kind: server, extensions: [{oid: 1.2.3, der: zz}]}", "hexadecimal"},
        {"{name: x, kind: server, lifetime: 2d, longest: 1d}", "longest"},
        {"{name: x, kind: server, backdate: 3d}", "two days"},
        {"{name: x, kind: server, ask: [phone]}", "one of cli"},
        {"{name: x, kind: user}, {name: x, kind: user}", "twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CS_AUTO(conf) c = NULL;
        char text[300];
        (void)snprintf(text, sizeof text, "profiles: [%s]\n", bad[i].text);
        conf_overrides said = saying(text);
        assert_fails(conf_load(&said, &c, &err), CS_R_CONFIG_INVALID);
        if (strstr(err.detail, bad[i].says) == NULL) fail_msg("%s: %s", bad[i].text, err.detail);
    }
}

static void what_the_ceremony_recorded_is_the_default(void **state) {
    CS_AUTO(conf) c = NULL;
    char path[128];
    const conf_overrides said = {.state = dir}, here = {.state = dir, .http = "127.0.0.1:5"};
    (void)snprintf(path, sizeof path, "%s/ca", dir);
    assert_ok(files_mkdir_private(path, &err));
    (void)snprintf(path, sizeof path, "%s/ca/ca.json", dir);
    assert_ok(files_write(path, CS_VIEW_LIT("{\"trust_domain\":\"t.example\",\"public_url\":\"http://p.example\"}"),
                          0600, FILES_NEW, &err));
    assert_ok(conf_load(&said, &c, &err));
    assert_string_equal(c->trust_domain, "t.example");
    assert_string_equal(c->public_url, "http://p.example");
    conf_free(CS_TAKE(c));
    assert_ok(conf_load(&here, &c, &err));
    assert_string_equal(c->public_url, "http://127.0.0.1:5");
    conf_free(CS_TAKE(c));
    assert_ok(files_write(path, CS_VIEW_LIT("{"), 0600, FILES_REPLACE, &err));
    assert_fails(conf_load(&said, &c, &err), CS_R_STATE_CORRUPT);
}

static void a_file_in_the_state_folder_is_found(void **state) {
    CS_AUTO(conf) c = NULL;
    char path[128];
    const conf_overrides said = {.state = dir};
    (void)snprintf(path, sizeof path, "%s/countersign.yaml", dir);
    assert_ok(files_write(path, CS_VIEW_LIT("http: off\n"), 0600, FILES_NEW, &err));
    assert_ok(conf_load(&said, &c, &err));
    assert_string_equal(c->http, "");
    assert_string_equal(c->file, path);
}

static void a_missing_or_empty_file_is_named(void **state) {
    conf *c = NULL;
    const conf_overrides said = {.file = "/no/such.yaml", .state = dir};
    assert_fails(conf_load(&said, &c, &err), CS_R_FILE_NOT_FOUND);
    assert_non_null(strstr(err.detail, "/no/such.yaml"));
    conf_overrides empty = saying("");
    assert_fails(conf_load(&empty, &c, &err), CS_R_FILE_EMPTY);
}

static void the_command_line_is_judged_like_the_file(void **state) {
    conf *c = NULL;
    conf_overrides said = {.state = dir, .https = "8443"};
    assert_fails(conf_load(&said, &c, &err), CS_R_ADDRESS_INVALID);
    assert_non_null(strstr(err.detail, "--https \"8443\""));
    said = (conf_overrides){.state = dir, .upstream = "localhost:3000"};
    assert_fails(conf_load(&said, &c, &err), CS_R_USAGE);
    said = (conf_overrides){.state = ""};
    assert_fails(conf_load(&said, &c, &err), CS_R_USAGE);
}

static void a_state_folder_too_deep_for_sockets_is_refused(void **state) {
    conf *c = NULL;
    char deep[200];
    memset(deep, 'x', sizeof deep);
    deep[0] = '/', deep[90] = '\0';
    const conf_overrides said = {.state = deep};
    assert_fails(conf_load(&said, &c, &err), CS_R_CONFIG_INVALID);
    deep[88] = '\0';
    assert_ok(conf_load(&said, &c, &err));
    conf_free(c);
}

static void children_get_what_was_said(void **state) {
    const char *argv[CONF_ARGV_MAX] = {"program"};
    const conf_overrides said = {.state = "/s", .https = "127.0.0.1:1", .threads = 2};
    int n = conf_argv(&said, argv, 1);
    assert_int_equal(n, 7);
    assert_string_equal(argv[1], "--state");
    assert_string_equal(argv[4], "127.0.0.1:1");
    assert_string_equal(argv[6], "2");
    assert_null(argv[7]);
    conf_overrides heard = {0};
    for (int at = 1; at < n; at += 2) assert_int_equal(conf_take(&heard, n, (char *const *)(uintptr_t)argv, at), 2);
    assert_string_equal(heard.state, "/s");
    assert_int_equal(heard.threads, 2);
    assert_int_equal(conf_take(&heard, 1, (char *const *)(uintptr_t)argv, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, drop_dir)

int main(void) {
    enum { REFUSALS = sizeof refusals / sizeof refusals[0] };
    const struct CMUnitTest good[] = {
        TEST(without_a_file_the_defaults_hold),         TEST(comments_alone_are_the_defaults),
        TEST(the_command_line_wins_over_the_file),      TEST(sites_routes_and_files_are_read),
        TEST(profiles_are_built_in_changed_or_new),     TEST(profiles_may_be_written_by_name),
        TEST(what_is_wrong_with_a_profile_is_said),     TEST(what_the_ceremony_recorded_is_the_default),
        TEST(a_file_in_the_state_folder_is_found),      TEST(a_missing_or_empty_file_is_named),
        TEST(the_command_line_is_judged_like_the_file), TEST(a_state_folder_too_deep_for_sockets_is_refused),
        cmocka_unit_test(children_get_what_was_said),
    };
    enum { GOOD = sizeof good / sizeof good[0] };
    struct CMUnitTest all[GOOD + REFUSALS];
    memcpy(all, good, sizeof good);
    for (size_t i = 0; i < REFUSALS; i++)
        all[GOOD + i] = (struct CMUnitTest){
            .name = refusals[i].name, .test_func = refuses, .initial_state = (void *)(uintptr_t)&refusals[i]};
    (void)unsetenv("COUNTERSIGN_STATE");
    return cmocka_run_group_tests(all, NULL, NULL);
}
