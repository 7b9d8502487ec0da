/* The record layer after the handshake: RFC 8448's records, and what each rule refuses. */
#include "tls/record.h"
#include <stdlib.h>

#include "../unit.h"
#include "base/text.h"

typedef struct world {
    tls_ciphers *ciphers;
    tls_records us, them; /* what one seals the other opens */
    cs_buf wire, back, plain;
} world;

static const char *const suite_names[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                          "TLS_CHACHA20_POLY1305_SHA256"};

static void begin(world *w, unsigned id) {
    cs_err err;
    uint8_t a[TLS_SECRET_MAX], b[TLS_SECRET_MAX];
    memset(a, 1, sizeof a);
    memset(b, 2, sizeof b);
    const tls_suite *suite = tls_suite_of(id);
    assert_non_null(suite);
    tls_records_wipe(&w->us);
    tls_records_wipe(&w->them);
    assert_ok(tls_records_init(&w->us, w->ciphers, &(tls_records_plan){.suite = suite, .in = a, .out = b}, &err));
    assert_ok(tls_records_init(&w->them, w->ciphers, &(tls_records_plan){.suite = suite, .in = b, .out = a}, &err));
    cs_buf_clear(&w->wire);
    cs_buf_clear(&w->back);
    cs_buf_clear(&w->plain);
}

static int setup(void **state) {
    static world w;
    cs_err err;
    assert_ok(tls_ciphers_new(&w.ciphers, &err));
    w.wire = cs_buf_of((size_t)8 << 20);
    w.back = cs_buf_of((size_t)8 << 20);
    w.plain = cs_buf_of((size_t)8 << 20);
    begin(&w, 0x1301);
    *state = &w;
    return 0;
}

static int fresh(void **state) {
    begin(*state, 0x1301);
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    tls_records_wipe(&w->us);
    tls_records_wipe(&w->them);
    tls_ciphers_free(w->ciphers);
    cs_buf_free(&w->wire);
    cs_buf_free(&w->back);
    cs_buf_free(&w->plain);
    return 0;
}

static size_t hex(const char *text, uint8_t *out, size_t cap) {
    char packed[1024];
    size_t n = 0, k = 0;
    for (; *text != '\0'; text++)
        if (*text != ' ') packed[n++] = *text;
    assert_true(cs_hex_decode(cs_view_of(packed, n), out, cap, &k));
    return k;
}

/* They send; we open all of it. */
static cs_status receive(world *w, cs_err *err) {
    size_t used = 0;
    return tls_records_open(&w->us, cs_buf_view(&w->wire), &used, &w->plain, &w->back, err);
}

static void send(world *w, enum tls_content type, cs_view content, size_t padding) {
    cs_err err;
    assert_ok(tls_record_seal(&w->them, type, content, padding, &w->wire, &err));
}

/* The alert that we answered with, as they read it; 0: none. */
static unsigned alert_of(world *w) {
    cs_err err;
    size_t used = 0;
    if (w->back.n == 0) return 0;
    cs_buf none = cs_buf_of(1024);
    assert_fails(tls_records_open(&w->them, cs_buf_view(&w->back), &used, &none, &w->wire, &err),
                 CS_R_TLS_ALERT_RECEIVED);
    const char *open = strrchr(err.detail, '(');
    assert_non_null(open);
    cs_buf_free(&none);
    return (unsigned)strtoul(open + 1, NULL, 10);
}

static void refused(world *w, unsigned alert) {
    cs_err err;
    assert_fails(receive(w, &err), CS_R_TLS_RECORD_INVALID);
    assert_int_equal(alert_of(w), alert);
    assert_fails(tls_records_seal(&w->us, CS_VIEW_LIT("more"), &w->back, &err), CS_R_TLS_PEER_CLOSED);
    begin(w, 0x1301);
}

/* RFC 8448 3, "Simple 1-RTT Handshake". */
static void the_rfc_s_records_are_opened_and_made(void **state) {
    world *w = *state;
    cs_err err;
    uint8_t client[48], server[48], record[128];
    tls_records r;
    assert_int_equal(hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5", client, 48), 32);
    assert_int_equal(hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643", server, 48), 32);
    /* a ticket has gone out before */
    const tls_records_plan plan = {.suite = tls_suite_of(0x1301), .in = client, .out = server, .out_seq = 1};
    assert_ok(tls_records_init(&r, w->ciphers, &plan, &err));
    uint8_t key[16], iv[12], data[50];
    (void)hex("17422dda596ed5d9acd890e3c63f5051", key, sizeof key);
    (void)hex("5b78923dee08579033e523d9", iv, sizeof iv);
    assert_memory_equal(r.in.key, key, sizeof key);
    assert_memory_equal(r.in.iv, iv, sizeof iv);
    for (unsigned i = 0; i < sizeof data; i++) data[i] = (uint8_t)i;

    begin(w, 0x1301);
    size_t used = 0,
           n = hex("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62"
                   "974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
                   record, sizeof record);
    assert_ok(tls_records_open(&r, cs_view_of(record, n), &used, &w->plain, &w->back, &err));
    assert_int_equal(used, n);
    assert_true(cs_view_eq(cs_buf_view(&w->plain), cs_view_of(data, sizeof data)));
    n = hex("1703030013c9872760655666b74d7ff1153efd6db6d0b0e3", record, sizeof record);
    assert_ok(tls_records_open(&r, cs_view_of(record, n), &used, &w->plain, &w->back, &err));
    assert_true(r.ended);

    assert_ok(tls_records_seal(&r, cs_view_of(data, sizeof data), &w->back, &err));
    n = hex("17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4b"
            "f2e5f0a21c0047c2abf332540dd032e167c2955d",
            record, sizeof record);
    assert_true(cs_view_eq(cs_buf_view(&w->back), cs_view_of(record, n)));
    cs_buf_clear(&w->back);
    tls_records_close(&r, &w->back);
    n = hex("1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9", record, sizeof record);
    assert_true(cs_view_eq(cs_buf_view(&w->back), cs_view_of(record, n)));
    tls_records_close(&r, &w->back);
    assert_int_equal(w->back.n, n); /* once */
    tls_records_wipe(&r);
}

static void data_comes_out_whole_for_each_suite(void **state) {
    world *w = *state;
    static uint8_t big[70000];
    cs_err err;
    for (size_t i = 0; i < sizeof big; i++) big[i] = (uint8_t)(i * 7 >> 2);
    for (unsigned id = 0x1301; id <= 0x1303; id++) {
        begin(w, id);
        assert_string_equal(w->us.suite->name, suite_names[id - 0x1301]);
        assert_ok(tls_records_seal(&w->them, cs_view_of(big, sizeof big), &w->wire, &err));
        assert_int_equal(w->wire.n, sizeof big + 5 * (TLS_RECORD_HEADER + 1 + TLS_TAG));
        /* in pieces: what is not whole is left */
        size_t at = 0, used = 0;
        for (size_t end = 0; end < w->wire.n; end = end + 9001 < w->wire.n ? end + 9001 : w->wire.n) {
            assert_ok(tls_records_open(&w->us, cs_view_of(w->wire.p + at, end - at), &used, &w->plain, &w->back, &err));
            at += used;
        }
        assert_ok(
            tls_records_open(&w->us, cs_view_of(w->wire.p + at, w->wire.n - at), &used, &w->plain, &w->back, &err));
        assert_true(cs_view_eq(cs_buf_view(&w->plain), cs_view_of(big, sizeof big)));
    }
    assert_null(tls_suite_of(0x1304));
    begin(w, 0x1301);
}

static void nothing_of_a_changed_record_comes_out(void **state) {
    world *w = *state;
    cs_err err;
    for (size_t at = 0; at < 5 + 9 + 16; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            begin(w, 0x1301 + (unsigned)(at % 3));
            send(w, TLS_DATA, CS_VIEW_LIT("attack at"), 0);
            w->wire.p[at] ^= (uint8_t)(1U << bit);
            cs_status s = receive(w, &err);
            bool longer = at == 4 && w->wire.p[4] > w->wire.n - 5;
            bool much_longer = at == 3 && bit < 7;
            assert_int_equal(s, longer || much_longer ? CS_OK : CS_REFUSED);
            assert_int_equal(w->plain.n, 0);
            for (size_t i = 0; i + 8 <= w->plain.cap; i++) assert_memory_not_equal(w->plain.p + i, "attack a", 8);
        }
    }
    begin(w, 0x1301);
}

static void records_come_once_and_in_order(void **state) {
    world *w = *state;
    cs_err err;
    send(w, TLS_DATA, CS_VIEW_LIT("once"), 0);
    assert_ok(receive(w, &err));
    refused(w, 20); /* the same again */
    send(w, TLS_DATA, CS_VIEW_LIT("first"), 0);
    cs_buf_clear(&w->wire);
    send(w, TLS_DATA, CS_VIEW_LIT("second"), 0);
    refused(w, 20);
}

static void sizes_have_limits(void **state) {
    world *w = *state;
    static uint8_t big[TLS_RECORD_MAX + 1];
    cs_err err;
    send(w, TLS_DATA, cs_view_of(big, TLS_RECORD_PLAIN_MAX), 0);
    assert_ok(receive(w, &err));
    assert_int_equal(w->plain.n, TLS_RECORD_PLAIN_MAX);
    begin(w, 0x1301);
    send(w, TLS_DATA, cs_view_of(big, TLS_RECORD_PLAIN_MAX + 1), 0);
    refused(w, 22);
    send(w, TLS_DATA, CS_VIEW_LIT("x"), TLS_RECORD_PLAIN_MAX); /* padding counts: 5.4 */
    refused(w, 22);
    (void)cs_buf_add(&w->wire, "\x17\x03\x03\x41\x01", 5); /* too long, seen from the header alone */
    refused(w, 22);
    (void)cs_buf_add(&w->wire, "\x17\x03\x03\x00\x10", 5);
    (void)cs_buf_add(&w->wire, big, 16); /* no room for a type */
    refused(w, 20);
}

static void padding_is_taken_off(void **state) {
    world *w = *state;
    cs_err err;
    send(w, TLS_DATA, CS_VIEW_LIT("padded\0"), 1000);
    send(w, TLS_DATA, CS_VIEW_LIT(""), 3);
    send(w, TLS_DATA, CS_VIEW_LIT("!"), TLS_RECORD_PLAIN_MAX - 1);
    assert_ok(receive(w, &err));
    assert_true(cs_view_eq(cs_buf_view(&w->plain), CS_VIEW_LIT("padded\0!")));
    begin(w, 0x1301);
    send(w, (enum tls_content)0, CS_VIEW_LIT("\0\0\0"), 0); /* zeros only */
    refused(w, 10);
}

static void what_a_client_may_not_say_is_refused(void **state) {
    world *w = *state;
    static const struct {
        enum tls_content type;
        cs_view content;
        unsigned alert;
    } rows[] = {
        {(enum tls_content)20, CS_VIEW_LIT("\1"), 10},     /* change_cipher_spec */
        {(enum tls_content)24, CS_VIEW_LIT("\1\0\0"), 10}, /* heartbeat */
        {TLS_HANDSHAKE, CS_VIEW_LIT(""), 10},              /* 5.1: never empty */
        {TLS_ALERT, CS_VIEW_LIT(""), 10},
        {TLS_ALERT, CS_VIEW_LIT("\2"), 10},
        {TLS_ALERT, CS_VIEW_LIT("\2\50\0"), 10},
        {TLS_HANDSHAKE, CS_VIEW_LIT("\1\0\0\0"), 10},      /* client_hello: no renegotiation */
        {TLS_HANDSHAKE, CS_VIEW_LIT("\13\0\0\4abcd"), 10}, /* certificate nobody asked for */
        {TLS_HANDSHAKE, CS_VIEW_LIT("\4\0\0\0"), 10},      /* new_session_ticket: the server's to say */
        {TLS_HANDSHAKE, CS_VIEW_LIT("\5\0\0\0"), 10},      /* end_of_early_data */
        {TLS_HANDSHAKE, CS_VIEW_LIT("\30\0\0\0"), 50},     /* KeyUpdate with nothing in it */
        {TLS_HANDSHAKE, CS_VIEW_LIT("\30\0\0\1\2"), 47},
        {TLS_HANDSHAKE, CS_VIEW_LIT("\30\0\0\2\0\0"), 47},
        {TLS_HANDSHAKE, CS_VIEW_LIT("\30\0\0\1\0\30\0\0\1\0"), 10}, /* 5.1: keys change at a record's end */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        send(w, rows[i].type, rows[i].content, 0);
        refused(w, rows[i].alert);
    }
    send(w, TLS_HANDSHAKE, CS_VIEW_LIT("\30\0"), 0);
    send(w, TLS_DATA, CS_VIEW_LIT("within"), 0);
    refused(w, 10);
}

static void alerts_in_the_clear_or_of_other_versions_are_refused(void **state) {
    world *w = *state;
    static const struct {
        const char *record;
        unsigned alert;
    } rows[] = {{"\x15\x03\x03\0\2\1\0", 10}, {"\x16\x03\x03\0\2\1\0", 10}, {"\x14\x03\x03\0\1\1\0", 10},
                {"\x17\x03\x01\0\2\1\0", 50}, {"\x17\x02\x03\0\2\1\0", 70}, {"GET / H", 70}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)cs_buf_add(&w->wire, rows[i].record, 7);
        refused(w, rows[i].alert);
    }
}

static void keys_are_updated_both_ways(void **state) {
    world *w = *state;
    cs_err err;
    for (unsigned id = 0x1301; id <= 0x1303; id++) {
        begin(w, id);
        uint8_t before[32];
        memcpy(before, w->us.in.key, sizeof before);
        send(w, TLS_DATA, CS_VIEW_LIT("old "), 0);
        assert_ok(tls_records_update(&w->them, true, &w->wire, &err));
        send(w, TLS_DATA, CS_VIEW_LIT("new"), 0);
        assert_ok(receive(w, &err));
        assert_true(cs_view_eq_str(cs_buf_view(&w->plain), "old new"));
        assert_memory_not_equal(before, w->us.in.key, 16);
        /* the answer is under the old key, what follows under the new one */
        assert_int_equal(w->back.n, TLS_RECORD_HEADER + 5 + 1 + TLS_TAG);
        assert_ok(tls_records_seal(&w->us, CS_VIEW_LIT("answer"), &w->back, &err));
        size_t used = 0;
        cs_buf_clear(&w->plain);
        assert_ok(tls_records_open(&w->them, cs_buf_view(&w->back), &used, &w->plain, &w->wire, &err));
        assert_true(cs_view_eq_str(cs_buf_view(&w->plain), "answer"));
        assert_int_equal(w->them.in.seq, 1);
    }
    /* octet by octet */
    begin(w, 0x1301);
    static const uint8_t update[] = {24, 0, 0, 1, 0};
    for (size_t i = 0; i < 5; i++) send(w, TLS_HANDSHAKE, cs_view_of(update + i, 1), 0);
    assert_ok(tls_half_next(&w->them.out, &w->them, &err));
    send(w, TLS_DATA, CS_VIEW_LIT("still here"), 0);
    assert_ok(receive(w, &err));
    assert_true(cs_view_eq_str(cs_buf_view(&w->plain), "still here"));
    assert_int_equal(w->back.n, 0);
    begin(w, 0x1301);
}

/* RFC 8446 5.5, and the flood of 4.6.3. */
static void keys_have_limits(void **state) {
    world *w = *state;
    cs_err err;
    size_t used = 0;
    w->us.out.seq = w->them.in.seq = TLS_RECORDS_A_KEY - 1;
    assert_ok(tls_records_seal(&w->us, CS_VIEW_LIT("last"), &w->back, &err));
    assert_ok(tls_records_seal(&w->us, CS_VIEW_LIT("first"), &w->back, &err));
    assert_int_equal(w->us.out.seq, 1);
    assert_ok(tls_records_open(&w->them, cs_buf_view(&w->back), &used, &w->plain, &w->wire, &err));
    assert_true(cs_view_eq_str(cs_buf_view(&w->plain), "lastfirst"));
    begin(w, 0x1301);
    /* theirs: they are asked, once */
    w->us.in.seq = w->them.out.seq = TLS_RECORDS_A_KEY;
    assert_ok(tls_records_seal(&w->us, CS_VIEW_LIT("a"), &w->back, &err));
    assert_ok(tls_records_seal(&w->us, CS_VIEW_LIT("b"), &w->back, &err));
    assert_ok(tls_records_open(&w->them, cs_buf_view(&w->back), &used, &w->plain, &w->wire, &err));
    assert_int_equal(w->them.out.seq, 0);
    assert_int_equal(w->them.in.seq, 2);
    assert_ok(receive(w, &err));
    assert_int_equal(w->us.in.seq, 0);
    begin(w, 0x1301);
    for (int i = 0; i < TLS_KEY_UPDATES_MAX; i++) assert_ok(tls_records_update(&w->them, true, &w->wire, &err));
    assert_ok(receive(w, &err));
    cs_buf_clear(&w->wire);
    send(w, TLS_DATA, CS_VIEW_LIT("data"), 0);
    for (int i = 0; i <= TLS_KEY_UPDATES_MAX; i++) assert_ok(tls_records_update(&w->them, false, &w->wire, &err));
    assert_fails(receive(w, &err), CS_R_TLS_RECORD_INVALID);
    begin(w, 0x1301);
}

static void empty_records_and_warnings_are_counted(void **state) {
    world *w = *state;
    cs_err err;
    for (int i = 0; i < TLS_EMPTY_MAX; i++) send(w, TLS_DATA, CS_VIEW_LIT(""), 0);
    send(w, TLS_DATA, CS_VIEW_LIT("x"), 0);
    for (int i = 0; i < TLS_EMPTY_MAX; i++) send(w, TLS_DATA, CS_VIEW_LIT(""), 0);
    assert_ok(receive(w, &err));
    cs_buf_clear(&w->wire);
    send(w, TLS_DATA, CS_VIEW_LIT(""), 0);
    refused(w, 10);
    for (int i = 0; i <= TLS_WARNINGS_MAX; i++) send(w, TLS_ALERT, CS_VIEW_LIT("\1\132"), 0); /* user_canceled */
    refused(w, 10);
}

static void the_peer_s_end_is_told_apart(void **state) {
    world *w = *state;
    cs_err err;
    send(w, TLS_DATA, CS_VIEW_LIT("bye"), 0);
    send(w, TLS_ALERT, CS_VIEW_LIT("\2\0"), 0); /* the level says nothing */
    (void)cs_buf_add_str(&w->wire, "and anything behind it");
    assert_ok(receive(w, &err));
    assert_true(w->us.ended);
    assert_true(cs_view_eq_str(cs_buf_view(&w->plain), "bye"));
    assert_ok(tls_records_seal(&w->us, CS_VIEW_LIT("our side is still open"), &w->back, &err)); /* 6.1 */
    begin(w, 0x1301);
    send(w, TLS_ALERT, CS_VIEW_LIT("\1\132"), 0);
    send(w, TLS_DATA, CS_VIEW_LIT("on"), 0);
    send(w, TLS_ALERT, CS_VIEW_LIT("\1\57"), 0);
    assert_fails(receive(w, &err), CS_R_TLS_ALERT_RECEIVED);
    assert_non_null(strstr(err.detail, "illegal parameter"));
    assert_true(cs_view_eq_str(cs_buf_view(&w->plain), "on"));
    assert_int_equal(w->back.n, 0); /* an alert is not answered */
    assert_fails(tls_records_seal(&w->us, CS_VIEW_LIT("late"), &w->back, &err), CS_R_TLS_PEER_CLOSED);
    begin(w, 0x1301);
}

static void full_buffers_are_refused(void **state) {
    world *w = *state;
    cs_err err;
    size_t used = 0;
    cs_buf small = cs_buf_of(20);
    send(w, TLS_DATA, CS_VIEW_LIT("more than goes in"), 0);
    assert_int_equal(tls_records_open(&w->us, cs_buf_view(&w->wire), &used, &small, &w->back, &err), CS_LIMIT);
    cs_buf_free(&small);
    small = cs_buf_of(20);
    assert_int_equal(tls_records_seal(&w->us, CS_VIEW_LIT("x"), &small, &err), CS_LIMIT);
    cs_buf_free(&small);
    begin(w, 0x1301);
}

/* Many share a thread's contexts: each works with its own keys. */
static void connections_share_contexts(void **state) {
    world *w = *state;
    enum { MANY = 400 };
    static tls_records one[MANY], other[MANY];
    cs_err err;
    uint8_t a[48] = {0}, b[48] = {1};
    for (unsigned i = 0; i < MANY; i++) {
        const tls_suite *suite = tls_suite_of(0x1301 + i % 3);
        a[1] = b[2] = (uint8_t)i;
        a[3] = (uint8_t)(i >> 8);
        assert_ok(tls_records_init(&one[i], w->ciphers, &(tls_records_plan){.suite = suite, .in = a, .out = b}, &err));
        assert_ok(
            tls_records_init(&other[i], w->ciphers, &(tls_records_plan){.suite = suite, .in = b, .out = a}, &err));
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            size_t used = 0;
            cs_buf_clear(&w->wire);
            cs_buf_clear(&w->plain);
            assert_ok(tls_records_seal(&one[i], cs_view_of(&i, sizeof i), &w->wire, &err));
            assert_ok(tls_records_open(&other[i], cs_buf_view(&w->wire), &used, &w->plain, &w->back, &err));
            assert_memory_equal(w->plain.p, &i, sizeof i);
            if (i % 7 == round) tls_records_idle(&one[i]);
        }
    }
    for (unsigned i = 0; i < MANY; i++) {
        tls_records_wipe(&one[i]);
        tls_records_wipe(&other[i]);
        static const uint8_t zeros[sizeof one[0].in.secret];
        assert_memory_equal(one[i].in.secret, zeros, sizeof zeros);
    }
    begin(w, 0x1301);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_rfc_s_records_are_opened_and_made),
        TEST(data_comes_out_whole_for_each_suite),
        TEST(nothing_of_a_changed_record_comes_out),
        TEST(records_come_once_and_in_order),
        TEST(sizes_have_limits),
        TEST(padding_is_taken_off),
        TEST(what_a_client_may_not_say_is_refused),
        TEST(alerts_in_the_clear_or_of_other_versions_are_refused),
        TEST(keys_are_updated_both_ways),
        TEST(keys_have_limits),
        TEST(empty_records_and_warnings_are_counted),
        TEST(the_peer_s_end_is_told_apart),
        TEST(full_buffers_are_refused),
        TEST(connections_share_contexts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
