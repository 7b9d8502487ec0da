#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/net.h"
#include "unit.h"

static void addresses_are_read(void **state) {
    cs_err err;
    net_addr a;
    char text[NET_TEXT_MAX];
    (void)state;
    assert_ok(net_addr_parse("127.0.0.1:8443", &a, &err));
    assert_string_equal(net_addr_text(&a, true, text), "127.0.0.1:8443");
    assert_ok(net_addr_parse("[::1]:443", &a, &err));
    assert_string_equal(net_addr_text(&a, true, text), "[::1]:443");
    assert_string_equal(net_addr_text(&a, false, text), "::1");
    assert_fails(net_addr_parse("127.0.0.1", &a, &err), CS_R_ADDRESS_INVALID);
    assert_fails(net_addr_parse("127.0.0.1:x", &a, &err), CS_R_ADDRESS_INVALID);
    assert_fails(net_addr_parse("127.0.0.1:70000", &a, &err), CS_R_ADDRESS_INVALID);
    assert_fails(net_addr_parse("[::1", &a, &err), CS_R_ADDRESS_INVALID);
}

static void upstreams_are_read(void **state) {
    cs_err err;
    net_addr a;
    char text[NET_TEXT_MAX];
    (void)state;
    assert_ok(net_upstream_parse("http://127.0.0.1:81/", &a, &err));
    assert_string_equal(net_addr_text(&a, true, text), "127.0.0.1:81");
    assert_ok(net_upstream_parse("http://127.0.0.1", &a, &err));
    assert_string_equal(net_addr_text(&a, true, text), "127.0.0.1:80");
    assert_ok(net_upstream_parse("unix:/run/x.sock", &a, &err));
    assert_string_equal(net_addr_text(&a, true, text), "unix");
    assert_ok(net_upstream_parse("https://127.0.0.1", &a, &err));
    assert_string_equal(net_addr_text(&a, true, text), "127.0.0.1:443");
    assert_ok(net_upstream_parse("h2c://[::1]:82", &a, &err));
    assert_string_equal(net_addr_text(&a, true, text), "[::1]:82");
    assert_fails(net_upstream_parse("tls://127.0.0.1", &a, &err), CS_R_ADDRESS_INVALID);
    assert_fails(net_upstream_parse("ftp://127.0.0.1", &a, &err), CS_R_ADDRESS_INVALID);
    assert_fails(net_upstream_parse("http://127.0.0.1/path", &a, &err), CS_R_ADDRESS_INVALID);
    assert_fails(net_upstream_parse("unix:", &a, &err), CS_R_ADDRESS_INVALID);
}

static void a_port_that_somebody_has_is_in_use(void **state) {
    cs_err err;
    net_addr a;
    int fds[2];
    (void)state;
    for (unsigned port = 21290; port < 21299; port++) {
        char text[32];
        (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
        assert_ok(net_addr_parse(text, &a, &err));
        if (net_listen(&a, text, fds, 2, &err) != CS_OK) continue;
        int more = -1;
        assert_fails(net_listen(&a, text, &more, 1, &err), CS_R_PORT_IN_USE);
        net_close(fds[0]);
        net_close(fds[1]);
        return;
    }
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(upstreams_are_read),
        cmocka_unit_test(a_port_that_somebody_has_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
