#include "../unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "io/addr_class.h"

static struct sockaddr_storage address(const char *text) {
    struct sockaddr_storage s = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&s;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&s;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        s.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
        s.ss_family = AF_INET6;
    }
    return s;
}

static void each_address_is_of_its_class(void **state) {
    static const struct {
        const char *text;
        addr_class is;
    } rows[] = {
        {"8.8.8.8", ADDR_GLOBAL},           {"1.1.1.1", ADDR_GLOBAL},
        {"2606:4700::1111", ADDR_GLOBAL},   {"127.0.0.1", ADDR_LOOPBACK},
        {"127.255.255.254", ADDR_LOOPBACK}, {"::1", ADDR_LOOPBACK},
        {"10.0.0.1", ADDR_PRIVATE},         {"11.0.0.1", ADDR_GLOBAL},
        {"172.16.0.1", ADDR_PRIVATE},       {"172.31.255.255", ADDR_PRIVATE},
        {"172.32.0.1", ADDR_GLOBAL},        {"192.168.1.1", ADDR_PRIVATE},
        {"100.64.0.1", ADDR_PRIVATE},       {"100.127.255.255", ADDR_PRIVATE},
        {"100.128.0.1", ADDR_GLOBAL},       {"169.254.169.254", ADDR_LINK_LOCAL},
        {"fe80::1", ADDR_LINK_LOCAL},       {"fec0::1", ADDR_PRIVATE},
        {"fd00:ec2::254", ADDR_PRIVATE},    {"fc00::1", ADDR_PRIVATE},
        {"0.0.0.0", ADDR_RESERVED},         {"::", ADDR_RESERVED},
        {"224.0.0.1", ADDR_MULTICAST},      {"239.255.255.255", ADDR_MULTICAST},
        {"ff02::1", ADDR_MULTICAST},        {"255.255.255.255", ADDR_MULTICAST},
        {"240.0.0.1", ADDR_RESERVED},       {"192.0.2.1", ADDR_RESERVED},
        {"198.51.100.1", ADDR_RESERVED},    {"203.0.113.1", ADDR_RESERVED},
        {"198.18.0.1", ADDR_RESERVED},      {"198.19.255.255", ADDR_RESERVED},
        {"192.0.0.1", ADDR_RESERVED},       {"2001:db8::1", ADDR_RESERVED},
        {"2001:0:1::1", ADDR_RESERVED},     {"100::1", ADDR_RESERVED},
        {"4000::1", ADDR_RESERVED},         {"::ffff:127.0.0.1", ADDR_LOOPBACK},
        {"::ffff:10.1.1.1", ADDR_PRIVATE},  {"::ffff:8.8.8.8", ADDR_GLOBAL},
        {"64:ff9b::7f00:1", ADDR_LOOPBACK}, {"64:ff9b::808:808", ADDR_GLOBAL},
        {"64:ff9b:1::1", ADDR_PRIVATE},     {"2002:7f00:1::", ADDR_LOOPBACK},
        {"2002:a00:1::1", ADDR_PRIVATE},    {"2002:808:808::1", ADDR_GLOBAL},
        {"::127.0.0.1", ADDR_RESERVED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_storage a = address(rows[i].text);
        assert_string_equal(addr_class_name(addr_class_of((struct sockaddr *)&a)), addr_class_name(rows[i].is));
    }
    struct sockaddr_storage local = {.ss_family = AF_UNIX};
    assert_int_equal(addr_class_of((struct sockaddr *)&local), ADDR_RESERVED);
}

static bool has(const char *range, const char *a) {
    addr_range r;
    struct sockaddr_storage at = address(a);
    assert_true(addr_range_parse(range, &r));
    return addr_range_has(&r, (struct sockaddr *)&at);
}

static void ranges_hold_what_they_say(void **state) {
    (void)state;
    assert_true(has("127.0.0.0/8", "127.9.9.9"));
    assert_false(has("127.0.0.0/8", "128.0.0.1"));
    assert_true(has("127.0.0.0/8", "::ffff:127.0.0.1"));
    assert_true(has("10.0.0.5", "10.0.0.5"));
    assert_false(has("10.0.0.5", "10.0.0.4"));
    assert_true(has("10.0.0.4/31", "10.0.0.5"));
    assert_false(has("10.0.0.4/31", "10.0.0.6"));
    assert_true(has("0.0.0.0/0", "9.9.9.9"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "2001:db8::1"));
    assert_true(has("fd00::/8", "fd12::1"));
    assert_false(has("fd00::/8", "fe80::1"));
    assert_false(has("::1", "127.0.0.1"));
}

static void what_is_no_range_is_refused(void **state) {
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8x",
                                      "10.0.0",
                                      "::/129",
                                      "x",
                                      "10.0.0.0/0008",
                                      "1234567890123456789012345678901234567890123456789"};
    addr_range r;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(addr_range_parse(bad[i], &r));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_of_its_class),
        cmocka_unit_test(ranges_hold_what_they_say),
        cmocka_unit_test(what_is_no_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
