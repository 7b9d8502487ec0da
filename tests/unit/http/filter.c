#include "unit.h"

#include <stdio.h>

#include "http/filter.h"

static http_head head;
static cs_buf out;

static const char *rebuilt(const char *request, const char *lines, bool upgrade) {
    cs_err err;
    size_t scanned = 0;
    assert_ok(http_request_parse(cs_view_str(request), &scanned, &head, &err));
    cs_buf_clear(&out);
    assert_true(http_request_rebuild(&head, cs_view_str(lines), upgrade, &out));
    /* what we send must be read by our own strict parser, to its last octet */
    http_head again;
    scanned = 0;
    assert_ok(http_request_parse(cs_buf_view(&out), &scanned, &again, &err));
    assert_int_equal(again.size, out.n);
    assert_int_equal(again.framing, head.framing);
    return cs_buf_cstr(&out);
}

static int setup(void **state) {
    out = cs_buf_of(128 * 1024);
    return 0;
}
static int teardown(void **state) {
    cs_buf_free(&out);
    return 0;
}

static void rebuilds_a_plain_request(void **state) {
    assert_string_equal(
        rebuilt("GET http://a.example/x?y HTTP/1.1\r\nAccept:*/*\r\nhost: a.example\r\nCookie:  a=b \r\n\r\n",
                "X-Countersign-Identity: pump-17\r\n", false),
        "GET /x?y HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nCookie: a=b\r\nX-Countersign-Identity: "
        "pump-17\r\n\r\n");
    assert_string_equal(
        rebuilt("POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 007\r\n\r\n", "", false),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n");
    assert_string_equal(rebuilt("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "", false),
                        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_string_equal(
        rebuilt("POST / HTTP/1.1\r\nHost: a\r\nexpect: 100-continue\r\nTransfer-Encoding:CHUNKED\r\n\r\n", "", false),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
}

/* W58, W59: every spelling under which an upstream might read one of our names. */
static void removes_identity_headers_in_every_spelling(void **state) {
    static const char *const names[] = {
        "X-Countersign-Identity",
        "X-Countersign-Serial",
        "X-Countersign-Anything",
        "X-Countersign",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-Forwarded-Client-Cert",
        "X-SSL-Client-Cert",
        "X-SSL-CERT",
        "X-SSL-Client-S-DN",
        "SSL-Client-Cert",
        "SSL-Client-Verify",
        "X-Client-Cert",
        "X-Client-Certificate",
        "X-Client-Verify",
        "X-Client-DN",
        "X-ARR-ClientCert",
        "X-Amzn-Mtls-Clientcert",
        "X-TLS-Client-Cert",
        "X-Remote-User",
        "Remote-User",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-User",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "True-Client-IP",
        "Proxy",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int form = 0; form < 6; form++) {
            char name[64], request[256];
            snprintf(name, sizeof name, "%s", names[i]);
            for (char *c = name; *c != '\0'; c++) {
                if (form == 1 && *c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
                if (form == 2 && *c >= 'a' && *c <= 'z') *c = (char)(*c - 32);
                if (form == 3 && *c == '-') *c = '_';
                if (form == 4 && *c == '-') *c = '.';
                if (form == 5 && *c == '-' && (c - name) % 2 == 1) *c = '_';
            }
            snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n%s: evil\r\nX-Mine: 1\r\n%s: evil\r\n\r\n",
                     name, name);
            const char *got = rebuilt(request, "X-Countersign-Verified: none\r\n", false);
            if (strstr(got, "evil") != NULL) fail_msg("%s went through", name);
            assert_non_null(strstr(got, "X-Mine: 1\r\nX-Countersign-Verified: none\r\n\r\n"));
        }
}

static void knows_a_name_in_every_spelling(void **state) {
    assert_int_equal(http_field_classify(CS_VIEW_LIT("x_Countersign.identity")), HTTP_F_IDENTITY);
    assert_int_equal(http_field_classify(CS_VIEW_LIT("SSL_CLIENT_CERT")), HTTP_F_IDENTITY);
    assert_int_equal(http_field_classify(CS_VIEW_LIT("X_Forwarded_For")), HTTP_F_FORWARDED);
    assert_int_equal(http_field_classify(CS_VIEW_LIT("Content_Length")), HTTP_F_ODD);
    assert_int_equal(http_field_classify(CS_VIEW_LIT("X-App")), HTTP_F_PLAIN);
}

static void drops_names_that_upstreams_read_otherwise(void **state) {
    const char *got = rebuilt("GET / HTTP/1.1\r\nHost: a\r\nX_Under: evil\r\nX.Dot: evil\r\nX!: "
                              "evil\r\nContent_Length: 5\r\nTransfer_Encoding: evil\r\nX-Ok: 1\r\n\r\n",
                              "", false);
    assert_string_equal(got, "GET / HTTP/1.1\r\nHost: a\r\nX-Ok: 1\r\n\r\n");
}

/* W60: what Connection names goes, what we add stays. */
static void connection_cannot_strip_what_we_add(void **state) {
    const char *got = rebuilt("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Countersign-Identity, Client-Cert, "
                              "x-mine, host\r\nX-Mine: hop\r\nX-Other: 1\r\n"
                              "Connection: x-third\r\nX-Third: hop\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: "
                              "X\r\nProxy-Connection: x\r\nProxy-Authorization: b\r\n"
                              "Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
                              "X-Countersign-Identity: ann\r\nClient-Cert: :AA==:\r\n", false);
    assert_string_equal(got, "GET / HTTP/1.1\r\nHost: a\r\nX-Other: 1\r\nTE: trailers\r\nConnection: TE\r\n"
                             "X-Countersign-Identity: ann\r\nClient-Cert: :AA==:\r\n\r\n");
}

static void upgrades_only_where_allowed(void **state) {
    const char *request =
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    assert_string_equal(
        rebuilt(request, "", true),
        "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_string_equal(rebuilt(request, "", false), "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\n\r\n");
}

static const char *replied(const char *text, http_method asked, bool http10, bool keep_alive, bool close,
                           http_framing *ret_framing) {
    cs_err err;
    size_t scanned = 0;
    assert_ok(http_response_parse(cs_view_str(text), &scanned, asked, &head, &err));
    http_reply_plan plan = http_reply_plan_of(&head, http10, keep_alive, close);
    if (ret_framing != NULL) *ret_framing = plan.framing;
    cs_buf_clear(&out);
    assert_true(http_response_rebuild(&head, &plan, CS_VIEW_LIT("D"), &out));
    return cs_buf_cstr(&out);
}

static void rebuilds_responses(void **state) {
    http_framing f;
    assert_string_equal(
        replied("HTTP/1.0 200 Fine\r\nServer:x\r\nKeep-Alive: 3\r\nContent-Length: 3\r\nDate: E\r\n\r\n", HTTP_GET,
                false, true, false, &f),
        "HTTP/1.1 200 Fine\r\nServer: x\r\nDate: E\r\nContent-Length: 3\r\n\r\n");
    assert_string_equal(replied("HTTP/1.1 200 OK\r\n\r\n", HTTP_GET, false, true, false, &f),
                        "HTTP/1.1 200 OK\r\nDate: D\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(f, HTTP_BODY_CHUNKED);
    assert_string_equal(
        replied("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_GET, true, true, false, &f),
        "HTTP/1.0 200 OK\r\nDate: D\r\nConnection: close\r\n\r\n");
    assert_int_equal(f, HTTP_BODY_UNTIL_CLOSE);
    assert_string_equal(replied("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", HTTP_GET, true, true, false, NULL),
                        "HTTP/1.0 200 OK\r\nDate: D\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n");
    assert_string_equal(replied("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", HTTP_HEAD, false, true, true, NULL),
                        "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
    assert_string_equal(replied("HTTP/1.1 204 \r\nContent-Length: 3\r\n\r\n", HTTP_GET, false, true, false, NULL),
                        "HTTP/1.1 204 \r\nDate: D\r\n\r\n");
    assert_string_equal(replied("HTTP/1.1 100 Continue\r\n\r\n", HTTP_POST, false, true, false, NULL),
                        "HTTP/1.1 100 Continue\r\n\r\n");
    assert_string_equal(
        replied("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: k\r\n\r\n",
                HTTP_GET, false, true, false, NULL),
        "HTTP/1.1 101 S\r\nSec-WebSocket-Accept: k\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_string_equal(replied("HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n",
                                HTTP_GET, false, true, false, NULL),
                        "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\n\r\n");
}

static void tells_who_the_client_is(void **state) {
    cs_err err;
    uint8_t digest[32] = {0xab, 0xcd};
    cs_san sans[] = {{CS_SAN_URI, CS_VIEW_LIT("spiffe://corp/device/pump-17")},
                     {CS_SAN_DNS, CS_VIEW_LIT("a,b\"c")},
                     {CS_SAN_EMAIL, CS_VIEW_LIT("x@y")}};
    cs_view chain[] = {CS_VIEW_LIT("issuing"), CS_VIEW_LIT("other")};
    http_identity id = {.kind = "device",
                        .name = "p\xc3\xa4mp%\r\nX: y",
                        .subject = "CN=a\\\"\xc3\xa4\n",
                        .serial = CS_VIEW_LIT("\x01\x02"),
                        .sha256 = {digest, 32},
                        .leaf = CS_VIEW_LIT("leaf"),
                        .chain = chain,
                        .chain_count = 2,
                        .sans = sans,
                        .san_count = 3,
                        .verified = "success"};
    cs_buf_clear(&out);
    assert_ok(http_identity_render(&id, HTTP_TELL_ALL, &out, &err));
    assert_ok(http_forwarded_render("192.0.2.1", true, &out, &err));
    assert_string_equal(
        cs_buf_cstr(&out),
        "X-Countersign-Identity: p%C3%A4mp%25%0D%0AX: y\r\nX-Countersign-Kind: device\r\nX-Countersign-Serial: 0102\r\n"
        "X-Countersign-Fingerprint: "
        "abcd000000000000000000000000000000000000000000000000000000000000\r\nX-Countersign-Verified: success\r\n"
        "Client-Cert: :bGVhZg==:\r\nClient-Cert-Chain: :aXNzdWluZw==:, :b3RoZXI=:\r\n"
        "X-Forwarded-Client-Cert: "
        "Hash=abcd000000000000000000000000000000000000000000000000000000000000;Subject=\"CN="
        "a\\\\\\\"\\\\C3\\\\A4\\\\0A\";"
        "URI=spiffe://corp/device/pump-17;DNS=\"a,b\\\"c\"\r\n"
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nVia: 1.1 countersign\r\n");
    /* and it is a header section that the strict parser takes */
    CS_SCOPED(cs_buf) request = cs_buf_of(8192);
    cs_buf_addf(&request, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cs_buf_cstr(&out));
    size_t scanned = 0;
    assert_ok(http_request_parse(cs_buf_view(&request), &scanned, &head, &err));
    assert_int_equal(head.field_count, 12);
}

static void leaves_out_lines_that_upstreams_would_refuse(void **state) {
    cs_err err;
    static uint8_t big[16 * 1024];
    cs_view chain[] = {{big, sizeof big}};
    http_identity id = {.kind = "other",
                        .name = "",
                        .subject = "",
                        .leaf = {big, sizeof big},
                        .chain = chain,
                        .chain_count = 1,
                        .verified = "success"};
    cs_buf_clear(&out);
    assert_ok(http_identity_render(&id, HTTP_TELL_CERT | HTTP_TELL_CHAIN, &out, &err));
    assert_int_equal(out.n, 0);
}

static void the_worst_head_fits_its_reserve(void **state) {
    CS_SCOPED(cs_buf) request = cs_buf_of(CS_HTTP_HEADERS_MAX);
    cs_buf_add_str(&request,
                   "POST http://a.example HTTP/1.1\r\nHost:a.example\r\nExpect:100-continue\r\nContent-Length:1\r\n");
    for (int i = 3; i < CS_HTTP_HEADER_COUNT; i++) cs_buf_add_str(&request, "A:\r\n");
    cs_buf_add_str(&request, "\r\n");
    const char *got = rebuilt(cs_buf_cstr(&request), "", false);
    assert_true(strlen(got) <= request.n + HTTP_REBUILD_SPARE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rebuilds_a_plain_request),
        cmocka_unit_test(removes_identity_headers_in_every_spelling),
        cmocka_unit_test(knows_a_name_in_every_spelling),
        cmocka_unit_test(drops_names_that_upstreams_read_otherwise),
        cmocka_unit_test(connection_cannot_strip_what_we_add),
        cmocka_unit_test(upgrades_only_where_allowed),
        cmocka_unit_test(rebuilds_responses),
        cmocka_unit_test(tells_who_the_client_is),
        cmocka_unit_test(leaves_out_lines_that_upstreams_would_refuse),
        cmocka_unit_test(the_worst_head_fits_its_reserve),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
