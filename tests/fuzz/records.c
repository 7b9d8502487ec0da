/* The record layer against libssl's: one stream of octets, of a client that knows its keys and keeps no rule, goes to
 * libssl's server and to ours, both with the same secrets. They must agree in the plaintext, in how it ended and with
 * which alert; and libssl's client must be able to read all that we say.
 *
 * The first octet: the suite, and into how many octets the stream is cut. Then one action after another. */
#include <stdlib.h>

#include <openssl/err.h>

#include "base/text.h"
#include "tls/tls_priv.h"

#define MUST(x)                                                                                                        \
    do {                                                                                                               \
        if (!(x)) abort();                                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { STREAM_MAX = 1 << 20, ACTIONS_MAX = 60 };

typedef enum end { GOES_ON, ENDED, REFUSED, ALERTED } end; /* close_notify; with our alert; by theirs */
typedef struct verdict {
    end how;
    unsigned alert;
    cs_buf plain;
    bool within_message; /* we saw another record within a handshake message */
    bool message;        /* we refused a handshake message */
} verdict;

static struct {
    SSL *client, *server;
    const tls_suite *suite;
    uint8_t in[TLS_SECRET_MAX], out[TLS_SECRET_MAX]; /* the server's */
    unsigned sent_alert, got_alert, key_updates;
} now;
static SSL_CTX *server_ctx, *client_ctx;
static SSL_SESSION *known[3];
static tls_ciphers *ciphers;

/* ---- a handshake that costs little: a key that both know, nothing else ---- */
static int server_psk(SSL *ssl, const unsigned char *id, size_t n, SSL_SESSION **ret) {
    (void)ssl;
    MUST(n == 1 && id[0] < 3);
    MUST(SSL_SESSION_up_ref(known[id[0]]) == 1);
    *ret = known[id[0]];
    return 1;
}

static int client_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *n, SSL_SESSION **ret) {
    static unsigned char which;
    (void)ssl, (void)md;
    which = (unsigned char)(now.suite->id - 0x1301);
    MUST(SSL_SESSION_up_ref(known[which]) == 1);
    *id = &which;
    *n = 1;
    *ret = known[which];
    return 1;
}

static void on_key(const SSL *ssl, const char *line) {
    const char *secret = strrchr(line, ' ');
    size_t n = 0;
    (void)ssl;
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
        MUST(cs_hex_decode(cs_view_str(secret + 1), now.in, sizeof now.in, &n) && n == now.suite->hash_n);
    if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
        MUST(cs_hex_decode(cs_view_str(secret + 1), now.out, sizeof now.out, &n) && n == now.suite->hash_n);
}

static void on_message(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg) {
    (void)version, (void)ssl, (void)arg;
    if (!sent && type == SSL3_RT_HANDSHAKE && n > 0 && *(const uint8_t *)p == SSL3_MT_KEY_UPDATE) now.key_updates++;
}

static void on_info(const SSL *ssl, int where, int what) {
    (void)ssl;
    if (where == SSL_CB_WRITE_ALERT) now.sent_alert = (unsigned)what & 0xff;
    if (where == SSL_CB_READ_ALERT) now.got_alert = (unsigned)what & 0xff;
}

static void once(void) {
    cs_err err;
    if (server_ctx != NULL) return;
    MUST(tls_ciphers_new(&ciphers, &err) == CS_OK);
    server_ctx = SSL_CTX_new(TLS_server_method());
    client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX *both[] = {server_ctx, client_ctx};
    for (int i = 0; i < 2; i++) {
        MUST(SSL_CTX_set_min_proto_version(both[i], TLS1_3_VERSION) == 1);
        (void)SSL_CTX_set_options(both[i], SSL_OP_ALLOW_NO_DHE_KEX | SSL_OP_NO_TICKET);
        MUST(SSL_CTX_set_num_tickets(both[i], 0) == 1);
    }
    /* no group in common: none is spent a key exchange on */
    MUST(SSL_CTX_set1_groups_list(server_ctx, "P-256") == 1 && SSL_CTX_set1_groups_list(client_ctx, "X25519") == 1);
    SSL_CTX_set_psk_find_session_callback(server_ctx, server_psk);
    SSL_CTX_set_psk_use_session_callback(client_ctx, client_psk);
    SSL_CTX_set_keylog_callback(server_ctx, on_key);
    SSL_CTX_set_msg_callback(server_ctx, on_message);
    SSL_CTX_set_info_callback(server_ctx, on_info);
    SSL *any = SSL_new(client_ctx);
    static const unsigned char key[32] = {7};
    for (unsigned i = 0; i < 3; i++) {
        const unsigned char id[2] = {0x13, (unsigned char)(i + 1)};
        known[i] = SSL_SESSION_new();
        MUST(SSL_SESSION_set1_master_key(known[i], key, sizeof key) == 1 &&
             SSL_SESSION_set_cipher(known[i], SSL_CIPHER_find(any, id)) == 1 &&
             SSL_SESSION_set_protocol_version(known[i], TLS1_3_VERSION) == 1 &&
             SSL_SESSION_set_timeout(known[i], 1000000) == 1);
    }
    SSL_free(any);
}

static void carry(SSL *from, SSL *to) {
    char b[4096];
    for (int n; (n = BIO_read(SSL_get_wbio(from), b, sizeof b)) > 0;) MUST(BIO_write(SSL_get_rbio(to), b, n) == n);
}

static void shake(unsigned suite) {
    now.suite = tls_suite_of(0x1301 + suite);
    now.sent_alert = now.got_alert = now.key_updates = 0;
    now.client = SSL_new(client_ctx);
    now.server = SSL_new(server_ctx);
    MUST(SSL_set_ciphersuites(now.client, now.suite->name) == 1 &&
         SSL_set_ciphersuites(now.server, now.suite->name) == 1);
    SSL_set_bio(now.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_bio(now.server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(now.client);
    SSL_set_accept_state(now.server);
    for (int i = 0; i < 4; i++) {
        (void)SSL_do_handshake(now.client);
        carry(now.client, now.server);
        (void)SSL_do_handshake(now.server);
        carry(now.server, now.client);
    }
    MUST(SSL_is_init_finished(now.client) == 1 && SSL_is_init_finished(now.server) == 1);
}

/* ---- what the client says ---- */
typedef struct talker {
    tls_records r;
    cs_buf wire;
    size_t last; /* where the last record begins */
    bool asked;  /* for an answer to a KeyUpdate */
} talker;

static void say(talker *t, unsigned type, cs_view content, size_t padding) {
    cs_err err;
    t->last = t->wire.n;
    MUST(tls_record_seal(&t->r, (enum tls_content)type, content, padding, &t->wire, &err) == CS_OK);
}

static void update(talker *t, uint8_t ask, bool in_pieces) {
    const uint8_t message[] = {24, 0, 0, 1, ask};
    cs_err err;
    t->asked = t->asked || ask == 1;
    for (size_t i = 0; in_pieces && i < 4; i++) say(t, TLS_HANDSHAKE, cs_view_of(message + i, 1), 0);
    say(t, TLS_HANDSHAKE, in_pieces ? cs_view_of(message + 4, 1) : cs_view_of(message, 5), 0);
    MUST(tls_half_next(&t->r.out, &t->r, &err) == CS_OK);
}

static void again(talker *t) {
    static uint8_t copy[TLS_RECORD_MAX + TLS_RECORD_HEADER + 64];
    size_t n = t->wire.n - t->last;
    if (n == 0 || n > sizeof copy) return;
    memcpy(copy, t->wire.p + t->last, n);
    (void)cs_buf_add(&t->wire, copy, n);
}

/* Sizes about the limit, where content and type just fit or just do not. More padding than fits is not said: libssl
 * lets it in, we keep to 5.4. */
static void say_much(talker *t, uint8_t how) {
    static const uint8_t zeros[TLS_RECORD_PLAIN_MAX + 300];
    size_t n = (size_t)TLS_RECORD_PLAIN_MAX + 4 - how % 8;
    if (how & 0x80)
        say(t, TLS_DATA, cs_view_of(zeros, 9), n < TLS_RECORD_PLAIN_MAX ? n - 9 : TLS_RECORD_PLAIN_MAX - 9);
    else
        say(t, TLS_DATA, cs_view_of(zeros, n), 0);
}

static bool act(talker *t, cs_rd *r) {
    if (r->left == 0 || t->wire.n > STREAM_MAX / 8) return false;
    uint8_t what = cs_rd_u8(r), how = r->left > 0 ? cs_rd_u8(r) : 0;
    size_t n = how < r->left ? how : r->left;
    switch (what % 16) {
    case 0: say(t, TLS_DATA, cs_rd_bytes(r, n), 0); break;
    case 1: say(t, TLS_DATA, cs_rd_bytes(r, n % 8), how * 16U); break;
    case 2: say(t, TLS_HANDSHAKE, cs_rd_bytes(r, n % 16), how / 64U); break;
    case 3: say(t, TLS_ALERT, cs_rd_bytes(r, n % 4), how / 64U); break;
    case 4: update(t, how & 1, false); break;
    case 5: update(t, how & 1, true); break;
    case 6: say(t, how, cs_rd_bytes(r, what / 16), 0); break;
    case 7: (void)cs_buf_add_view(&t->wire, cs_rd_bytes(r, n % 32)); break;
    case 8:
        if (t->wire.n > t->last)
            t->wire.p[t->last + (size_t)how * (1U + what / 16U) % (t->wire.n - t->last)] ^=
                (uint8_t)(1U << (what / 32U));
        break;
    case 9: again(t); break;
    case 10:
        if (t->wire.n - t->last > n) t->wire.n -= n; /* cut off */
        break;
    case 11: say_much(t, how); break;
    case 12:
        for (unsigned i = 0; i < how % 40U; i++) say(t, TLS_DATA, cs_view_of(NULL, 0), what / 64U);
        break;
    case 13:
        for (unsigned i = 0; i < how % 40U; i++) update(t, how >> 7, false);
        break;
    case 14: {
        const uint8_t alert[] = {1 + (how & 1), what / 16U == 1 ? 90 : what / 16U == 2 ? 0 : how >> 1};
        say(t, TLS_ALERT, cs_view_of(alert, 2), 0);
        break;
    }
    default: say(t, TLS_DATA, cs_view_of("data", 4), 0); break;
    }
    return true;
}

/* ---- who hears it ---- */
static void libssl_hears(verdict *v, cs_view piece) {
    char b[TLS_RECORD_PLAIN_MAX];
    size_t n = 0;
    if (v->how != GOES_ON) return;
    MUST(BIO_write(SSL_get_rbio(now.server), piece.p, (int)piece.n) == (int)piece.n);
    for (;;) {
        ERR_clear_error();
        int rc = SSL_read_ex(now.server, b, sizeof b, &n);
        if (now.key_updates > TLS_KEY_UPDATES_MAX) { /* our limit, which libssl has not (tls/conn.c adds it) */
            v->how = REFUSED;
            v->alert = 10;
            return;
        }
        if (rc == 1) {
            now.key_updates = 0;
            MUST(cs_buf_add(&v->plain, b, n));
            continue;
        }
        int why = SSL_get_error(now.server, rc);
        if (why == SSL_ERROR_WANT_READ) return;
        /* after user_canceled, libssl has another name for the end if its level was fatal */
        bool closed =
            SSL_get_shutdown(now.server) == SSL_RECEIVED_SHUTDOWN && now.got_alert == 0 && ERR_peek_error() == 0;
        v->how = why == SSL_ERROR_ZERO_RETURN || closed ? ENDED : now.sent_alert != 0 ? REFUSED : ALERTED;
        v->alert = v->how == REFUSED ? now.sent_alert : v->how == ALERTED ? now.got_alert : 0;
        return;
    }
}

static unsigned number_in(const char *text, const char *before) {
    const char *at = strstr(text, before);
    MUST(at != NULL);
    return (unsigned)strtoul(at + strlen(before), NULL, 10);
}

static void we_hear(verdict *v, tls_conn *c, cs_view piece) {
    cs_err err;
    if (v->how != GOES_ON) return;
    cs_status s = tls_conn_open(c, piece, v->plain.max, &v->plain, &err);
    if (s == CS_OK) {
        if (tls_conn_ended(c)) v->how = ENDED;
        return;
    }
    MUST(s == CS_REFUSED);
    v->how = err.reason == CS_R_TLS_ALERT_RECEIVED ? ALERTED : REFUSED;
    MUST(v->how == ALERTED || err.reason == CS_R_TLS_RECORD_INVALID);
    v->alert = number_in(err.detail, v->how == ALERTED ? "(" : "; alert ");
    v->within_message = strstr(err.detail, "within a handshake message") != NULL;
    v->message = strstr(err.detail, "handshake message") != NULL || strstr(err.detail, "KeyUpdate") != NULL;
}

static void compare(verdict *libssl, const verdict *we, talker *t) {
    MUST(cs_view_eq(cs_buf_view(&libssl->plain), cs_buf_view(&we->plain)));
    /* libssl takes alerts within a handshake message for alerts; 5.1 forbids any other record there */
    if (we->within_message) return;
    /* with an answer to a KeyUpdate to send, it looks at a header's four octets only when another record has come,
     * whose own faults then count */
    if (we->message && t->asked) {
        cs_buf_clear(&t->wire);
        say(t, TLS_DATA, CS_VIEW_LIT("more"), 0);
        libssl_hears(libssl, cs_buf_view(&t->wire));
        MUST(libssl->how == REFUSED);
        return;
    }
    MUST(libssl->how == we->how && libssl->alert == we->alert);
}

/* All that we said, read by libssl's client: the data, and the alert that we claim. */
static void check_output(tls_conn *c, const verdict *v, cs_view said) {
    char b[256];
    size_t n = 0, got = 0;
    cs_view out = tls_conn_out(c);
    if (out.n > 0) MUST(BIO_write(SSL_get_rbio(now.client), out.p, (int)out.n) == (int)out.n);
    ERR_clear_error();
    while (SSL_read_ex(now.client, b, sizeof b, &n) == 1) {
        MUST(got + n <= said.n && memcmp(said.p + got, b, n) == 0);
        got += n;
    }
    MUST(got == said.n);
    unsigned long e = ERR_peek_error();
    if (v->how == REFUSED)
        MUST(ERR_GET_LIB(e) == ERR_LIB_SSL && (unsigned)ERR_GET_REASON(e) == SSL_AD_REASON_OFFSET + v->alert);
    else
        MUST(e == 0);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_err err;
    if (n < 2) return 0;
    once();
    shake(p[0] % 3);
    size_t step = p[1] < 4 ? STREAM_MAX : p[1] < 128 ? p[1] : (size_t)p[1] * 64;
    talker t = {.wire = cs_buf_of(STREAM_MAX)};
    tls_own *own = calloc(1, sizeof *own);
    MUST(own != NULL);
    tls_conn c = {.own = own, .established = true, .in = cs_buf_of(TLS_IN_MAX), .out = cs_buf_of(TLS_OUT_MAX)};
    const tls_records_plan theirs = {.suite = now.suite, .in = now.out, .out = now.in};
    const tls_records_plan ours = {.suite = now.suite, .in = now.in, .out = now.out};
    MUST(tls_records_init(&t.r, ciphers, &theirs, &err) == CS_OK &&
         tls_records_init(&own->records, ciphers, &ours, &err) == CS_OK);
    cs_rd r = cs_rd_of(cs_view_of(p + 2, n - 2));
    for (int i = 0; i < ACTIONS_MAX && act(&t, &r); i++) {
    }
    verdict a = {.plain = cs_buf_of(STREAM_MAX)}, b = {.plain = cs_buf_of(STREAM_MAX)};
    CS_SCOPED(cs_buf) said = cs_buf_of(STREAM_MAX);
    if (t.wire.n / step > 500) step = t.wire.n / 500;
    for (size_t at = 0; at < t.wire.n; at += step) {
        cs_view piece = cs_view_of(t.wire.p + at, t.wire.n - at < step ? t.wire.n - at : step);
        libssl_hears(&a, piece);
        we_hear(&b, &c, piece);
        if (b.how != GOES_ON || said.n > 4096) continue;
        MUST(tls_conn_write(&c, CS_VIEW_LIT("and we say"), &err) == CS_OK);
        (void)cs_buf_add_str(&said, "and we say");
    }
    compare(&a, &b, &t);
    check_output(&c, &b, cs_buf_view(&said));
    tls_own_free(&c);
    tls_records_wipe(&t.r);
    cs_buf_free(&c.in);
    cs_buf_free(&c.out);
    cs_buf_free(&t.wire);
    cs_buf_free(&a.plain);
    cs_buf_free(&b.plain);
    SSL_free(now.client);
    SSL_free(now.server);
    return 0;
}
