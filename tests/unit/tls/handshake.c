/* Our side against libssl's client, in memory. */
#include "../x509/issue.h"
#include "tls/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

typedef struct world {
    test_ca ca;
    cs_key *server_key, *device_key;
    cs_buf server_crt, server_pem, device_crt, device_pem;
    cs_cert *device;
    cs_clock_manual clock;
    cs_anchors *anchors;
    tls_tickets *tickets;
    tls_front *front;
    tls_judge judge;
    _Atomic int64_t fresh;
    tls_ciphers *ciphers;
    cs_buf got; /* what the server side has read */
} world;

static cs_cert *leaf(const test_ca *ca, cs_kind kind, const char *name, cs_key *key) {
    cs_err err;
    cs_identity who;
    uint8_t serial[CS_SERIAL_LEN];
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    assert_ok(cs_identity_make(kind, cs_view_str(name), &who, &err));
    assert_ok(cs_serial_draw(cs_rng_system(), serial, &err));
    cs_profile_ask ask = test_ask(ca, &who, cs_key_spki(key), cs_view_of(serial, sizeof serial));
    assert_ok(cs_profile_build(&ask, &tbs, &err));
    return test_sign(ca->issuing_key, cs_buf_view(&tbs));
}

static cs_cert *make(world *w, cs_kind kind, const char *name, cs_key **key, cs_buf *crt, cs_buf *pem) {
    cs_err err;
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, key, &err));
    cs_cert *c = leaf(&w->ca, kind, name, *key);
    *crt = cs_buf_of(64 * 1024);
    *pem = cs_buf_secret(64 * 1024);
    assert_true(cs_pem_add_cert(crt, c) && cs_pem_add_cert(crt, w->ca.issuing));
    assert_ok(cs_key_write_pem(*key, pem, &err));
    return c;
}

static tls_site *site(world *w, const char *name, uint8_t trust) {
    cs_err err;
    tls_site *s = NULL;
    const tls_site_plan plan = {
        .name = name,
        .ids = {{cs_buf_view(&w->server_crt), cs_buf_view(&w->server_pem), "server.crt", "server.key"}},
        .id_count = 1,
        .client = TLS_CLIENT_REQUIRE,
        .own_records = true, /* where the judge has ciphers */
        .anchors = w->anchors,
        .trust = {trust},
        .tickets = w->tickets,
        .clock = &w->clock.clock};
    assert_ok(tls_site_new(&plan, &s, &err));
    return s;
}

static int setup(void **state) {
    static world w;
    cs_err err;
    w.ca = test_ca_make(CS_KEYSPEC_ECDSA_P256, CS_KEYSPEC_ECDSA_P256);
    cs_clock_manual_init(&w.clock, TEST_NOW);
    cs_cert_free(make(&w, CS_KIND_SERVER, "a.test", &w.server_key, &w.server_crt, &w.server_pem));
    w.device = make(&w, CS_KIND_DEVICE, "pump-17", &w.device_key, &w.device_crt, &w.device_pem);
    CS_SCOPED(cs_certs) roots = {NULL, 0};
    assert_ok(cs_certs_add(&roots, cs_cert_ref(w.ca.root), &err));
    assert_ok(cs_anchors_new(&roots, &w.anchors, &err));
    assert_ok(tls_tickets_new(cs_rng_system(), 0, &w.tickets, &err));
    tls_site *sites[] = {site(&w, "a.test", 1), site(&w, "b.test", 1), site(&w, "*.wild.test", 1)};
    assert_ok(tls_front_new(sites, 3, false, &w.front, &err));
    w.judge = (tls_judge){.clock = &w.clock.clock};
    w.got = cs_buf_of((size_t)4 << 20);
    assert_ok(tls_ciphers_new(&w.ciphers, &err));
    *state = &w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    tls_judge_clear(&w->judge);
    tls_ciphers_free(w->ciphers);
    cs_buf_free(&w->got);
    tls_front_free(w->front);
    tls_tickets_free(w->tickets);
    cs_anchors_free(w->anchors);
    cs_buf_free(&w->server_crt);
    cs_buf_free(&w->server_pem);
    cs_buf_free(&w->device_crt);
    cs_buf_free(&w->device_pem);
    cs_key_free(w->server_key);
    cs_key_free(w->device_key);
    cs_cert_free(w->device);
    test_ca_free(&w->ca);
    return 0;
}

/* ---- a client ---- */
typedef struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    SSL_SESSION *session;
} client;

static void *read_pem(cs_buf *b, bool key) {
    BIO *bio = BIO_new_mem_buf(b->p, (int)b->n);
    void *x =
        key ? (void *)PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : (void *)PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return x;
}

static int on_session(SSL *ssl, SSL_SESSION *s) {
    client *c = SSL_get_app_data(ssl);
    SSL_SESSION_free(c->session);
    c->session = s;
    return 1;
}

static client client_new(world *w, int version, const char *sni, bool certificate) {
    client c = {.ctx = SSL_CTX_new(TLS_client_method())};
    SSL_CTX_set_min_proto_version(c.ctx, version);
    SSL_CTX_set_max_proto_version(c.ctx, version);
    SSL_CTX_set_session_cache_mode(c.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c.ctx, on_session);
    if (certificate) {
        X509 *x = read_pem(&w->device_crt, false);
        EVP_PKEY *k = read_pem(&w->device_pem, true);
        assert_int_equal(SSL_CTX_use_certificate(c.ctx, x), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(c.ctx, k), 1);
        const unsigned char *p = w->ca.issuing->der.p;
        X509 *i = d2i_X509(NULL, &p, (long)w->ca.issuing->der.n);
        assert_int_equal(SSL_CTX_add1_chain_cert(c.ctx, i), 1);
        X509_free(i);
        X509_free(x);
        EVP_PKEY_free(k);
    }
    c.ssl = SSL_new(c.ctx);
    c.in = BIO_new(BIO_s_mem());
    c.out = BIO_new(BIO_s_mem());
    SSL_set_bio(c.ssl, c.in, c.out);
    SSL_set_connect_state(c.ssl);
    if (sni != NULL) SSL_set_tlsext_host_name(c.ssl, sni);
    return c;
}

static void client_free(client *c) {
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    SSL_SESSION_free(c->session);
    ERR_clear_error();
}

/* What the client wrote, to the server side. */
static cs_status bring(world *w, client *c, tls_conn *s, size_t step, cs_err *err) {
    char b[20000];
    int n = 0;
    while ((n = BIO_read(c->out, b, (int)(step < sizeof b ? step : sizeof b))) > 0) {
        cs_status r = tls_conn_open(s, cs_view_of(b, (size_t)n), w->got.max, &w->got, err);
        if (r != CS_OK) return r;
        if (step == 1) break;
    }
    return CS_OK;
}

static void carry(world *w, client *c, tls_conn *s, size_t step) {
    cs_err err;
    cs_view out = tls_conn_out(s);
    if (out.n > 0) {
        assert_int_equal(BIO_write(c->in, out.p, (int)out.n), (int)out.n);
        tls_conn_sent(s, out.n);
    }
    assert_ok(bring(w, c, s, step, &err));
}

/* Until the server side is done or refuses; then what is left goes to the client. */
static cs_status shake(world *w, client *c, tls_conn *s, size_t step, cs_err *err) {
    cs_status r = CS_AGAIN;
    for (int i = 0; r == CS_AGAIN && i < 20000; i++) {
        (void)SSL_do_handshake(c->ssl);
        carry(w, c, s, step);
        r = tls_conn_handshake(s, err);
    }
    carry(w, c, s, 4096);
    (void)SSL_do_handshake(c->ssl);
    char b[1];
    (void)SSL_read(c->ssl, b, 1); /* takes tickets and alerts */
    return r;
}

static void expect_got(world *w, const char *text) {
    assert_true(cs_view_eq_str(cs_buf_view(&w->got), text));
    cs_buf_clear(&w->got);
}

static void talk(world *w, int version, size_t step, bool own) {
    cs_err err;
    CS_AUTO(tls_conn) s = NULL;
    client c = client_new(w, version, "A.test", true);
    SSL_set_app_data(c.ssl, &c);
    assert_ok(tls_conn_new(w->front, &w->judge, &s, &err));
    assert_ok(shake(w, &c, s, step, &err));
    assert_int_equal(tls_conn_own(s), own && version == TLS1_3_VERSION);
    assert_string_equal(tls_conn_version(s), version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
    assert_string_equal(tls_conn_cipher(s), SSL_get_cipher_name(c.ssl));
    assert_string_equal(tls_conn_group(s), "x25519");
    assert_string_equal(tls_conn_sni(s), "a.test");
    const tls_peer *p = tls_conn_peer(s);
    assert_non_null(p->leaf);
    assert_memory_equal(p->leaf->sha256, w->device->sha256, 32);
    assert_int_equal(p->chain.n, 3);
    assert_ok(tls_conn_write(s, CS_VIEW_LIT("hello"), &err));
    carry(w, &c, s, 4096);
    char b[16];
    assert_int_equal(SSL_read(c.ssl, b, sizeof b), 5);
    assert_int_equal(SSL_write(c.ssl, "moon", 4), 4);
    carry(w, &c, s, 4096);
    expect_got(w, "moon");
    assert_ok(tls_conn_open(s, CS_VIEW_LIT(""), w->got.max, &w->got, &err));
    tls_conn_eof(s);
    assert_fails(tls_conn_open(s, CS_VIEW_LIT(""), w->got.max, &w->got, &err), CS_R_TLS_PEER_CLOSED);
    client_free(&c);
}

static void both_versions_shake_hands_and_talk(void **state) {
    world *w = *state;
    for (int own = 0; own < 2; own++) {
        w->judge.ciphers = own ? w->ciphers : NULL;
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
            for (size_t step = 1; step <= 4096; step *= 4096) talk(w, version, step, own);
    }
    w->judge.ciphers = NULL;
}

/* ---- our own records against libssl's ---- */
static tls_conn *own_conn(world *w, client *c, const char *suite) {
    cs_err err;
    tls_conn *s = NULL;
    *c = client_new(w, TLS1_3_VERSION, "a.test", true);
    SSL_set_app_data(c->ssl, c);
    assert_int_equal(SSL_set_ciphersuites(c->ssl, suite), 1);
    w->judge.ciphers = w->ciphers;
    assert_ok(tls_conn_new(w->front, &w->judge, &s, &err));
    assert_ok(shake(w, c, s, 4096, &err));
    assert_true(tls_conn_own(s));
    assert_string_equal(tls_conn_cipher(s), suite);
    return s;
}

static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                     "TLS_CHACHA20_POLY1305_SHA256"};

static void much_goes_both_ways_and_keys_are_updated(void **state) {
    world *w = *state;
    static char big[100000], back[sizeof big];
    cs_err err;
    for (size_t i = 0; i < sizeof big; i++) big[i] = (char)(i * i >> 3);
    for (size_t k = 0; k < 3; k++) {
        client c;
        CS_AUTO(tls_conn) s = own_conn(w, &c, suites[k]);
        for (int round = 0; round < 6; round++) {
            if (round > 0)
                assert_int_equal(
                    SSL_key_update(c.ssl, round % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            assert_int_equal(SSL_write(c.ssl, big, sizeof big), sizeof big);
            assert_ok(bring(w, &c, s, round % 2 ? 777 : 20000, &err));
            assert_true(cs_view_eq(cs_buf_view(&w->got), cs_view_of(big, sizeof big)));
            cs_buf_clear(&w->got);
            if (round == 3) tls_conn_idle(s);
            assert_ok(tls_conn_write(s, cs_view_of(big, sizeof big), &err));
            carry(w, &c, s, 4096);
            int got = 0, n = 0;
            while ((n = SSL_read(c.ssl, back + got, (int)sizeof back - got)) > 0) got += n;
            assert_int_equal(got, sizeof back);
            assert_memory_equal(big, back, sizeof big);
        }
        tls_conn_close(s);
        carry(w, &c, s, 4096);
        assert_int_equal(SSL_read(c.ssl, back, 1), 0);
        assert_int_equal(SSL_get_error(c.ssl, 0), SSL_ERROR_ZERO_RETURN);
        SSL_shutdown(c.ssl);
        carry(w, &c, s, 4096);
        assert_true(tls_conn_ended(s));
        assert_fails(tls_conn_write(s, CS_VIEW_LIT("late"), &err), CS_R_TLS_PEER_CLOSED);
        client_free(&c);
    }
    w->judge.ciphers = NULL;
}

/* What the client sends right behind its Finished is taken over with the connection. */
static void what_came_with_the_handshake_is_not_lost(void **state) {
    world *w = *state;
    cs_err err;
    w->judge.ciphers = w->ciphers;
    for (int cut = 0; cut < 40; cut++) {
        CS_AUTO(tls_conn) s = NULL;
        char b[8192];
        client c = client_new(w, TLS1_3_VERSION, "a.test", true);
        SSL_set_app_data(c.ssl, &c);
        assert_ok(tls_conn_new(w->front, &w->judge, &s, &err));
        (void)SSL_do_handshake(c.ssl);
        carry(w, &c, s, 4096);
        assert_int_equal(tls_conn_handshake(s, &err), CS_AGAIN);
        carry(w, &c, s, 4096);
        assert_int_equal(SSL_do_handshake(c.ssl), 1);
        assert_int_equal(SSL_write(c.ssl, "GET / ", 6), 6);
        assert_int_equal(SSL_write(c.ssl, "HTTP", 4), 4);
        int n = BIO_read(c.out, b, sizeof b);
        assert_ok(tls_conn_open(s, cs_view_of(b, (size_t)(n - cut)), w->got.max, &w->got, &err));
        assert_ok(tls_conn_handshake(s, &err));
        assert_true(tls_conn_own(s));
        assert_ok(tls_conn_open(s, cs_view_of(b + n - cut, (size_t)cut), w->got.max, &w->got, &err));
        expect_got(w, "GET / HTTP");
        client_free(&c);
    }
    w->judge.ciphers = NULL;
}

/* The other side's libssl says which alert it got. */
static void a_changed_record_ends_the_connection_with_an_alert(void **state) {
    world *w = *state;
    cs_err err;
    for (int at = 0; at < 30; at++) {
        client c;
        uint8_t b[64];
        char drop[8];
        CS_AUTO(tls_conn) s = own_conn(w, &c, suites[at % 3]);
        assert_int_equal(SSL_write(c.ssl, "12345678", 8), 8);
        int n = BIO_read(c.out, b, sizeof b);
        assert_int_equal(n, 5 + 8 + 1 + 16);
        b[at] ^= 0x40;
        cs_status r = tls_conn_open(s, cs_view_of(b, (size_t)n), w->got.max, &w->got, &err);
        if (at == 3 || at == 4) { /* longer than what is there: waits */
            assert_int_equal(r, CS_OK);
        } else {
            assert_int_equal(r, CS_REFUSED);
            assert_int_equal(err.reason, CS_R_TLS_RECORD_INVALID);
            carry(w, &c, s, 4096);
            assert_true(SSL_read(c.ssl, drop, sizeof drop) <= 0);
            assert_true(ERR_GET_REASON(ERR_peek_error()) > SSL_AD_REASON_OFFSET);
            ERR_clear_error();
        }
        assert_int_equal(w->got.n, 0);
        client_free(&c);
    }
    w->judge.ciphers = NULL;
}

static void expect_refusal(world *w, int version, const char *sni, bool certificate, cs_reason reason) {
    cs_err err;
    CS_AUTO(tls_conn) s = NULL;
    client c = client_new(w, version, sni, certificate);
    SSL_set_app_data(c.ssl, &c);
    assert_ok(tls_conn_new(w->front, &w->judge, &s, &err));
    assert_fails(shake(w, &c, s, 4096, &err), reason);
    client_free(&c);
}

static void refusals_have_their_reasons(void **state) {
    world *w = *state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        expect_refusal(w, version, "a.test", false, CS_R_CERTIFICATE_REQUIRED);
        expect_refusal(w, version, "c.test", true, CS_R_SNI_UNKNOWN);
        expect_refusal(w, version, NULL, true, CS_R_SNI_UNKNOWN);
        expect_refusal(w, version, "x.y.wild.test", true, CS_R_SNI_UNKNOWN);
        w->clock.wall_now += 10 * CS_YEAR;
        expect_refusal(w, version, "a.test", true, CS_R_CERTIFICATE_EXPIRED);
        w->clock.wall_now -= 10 * CS_YEAR;
        cs_err err;
        cs_revoked row = {.serial = w->device->serial, .at = TEST_NOW, .reason = 1};
        memcpy(row.issuer, w->ca.issuing->spki_sha256, 32);
        assert_ok(cs_revset_build(&row, 1, &w->judge.revset, &err));
        expect_refusal(w, version, "a.test", true, CS_R_REVOKED);
        cs_revset_free(w->judge.revset);
        w->judge.revset = NULL;
        atomic_store(&w->fresh, cs_mono(&w->clock.clock) - 1);
        w->judge.fresh_until = &w->fresh;
        expect_refusal(w, version, "a.test", true, CS_R_REVOCATION_UNKNOWN);
        w->judge.fresh_until = NULL;
    }
}

static void what_is_not_tls_is_told_apart(void **state) {
    world *w = *state;
    cs_err err;
    CS_AUTO(tls_conn) s = NULL;
    assert_ok(tls_conn_new(w->front, &w->judge, &s, &err));
    cs_buf none = cs_buf_of(0);
    assert_ok(tls_conn_open(s, CS_VIEW_LIT("GET /"), 0, &none, &err));
    assert_fails(tls_conn_handshake(s, &err), CS_R_TLS_NOT_TLS);
}

/* A first connection, then another with its session: was that resumed? */
typedef void between(world *w);
static bool resumes(world *w, int version, const char *sni, between *change, cs_status *ret) {
    cs_err err;
    SSL_SESSION *session = NULL;
    bool resumed = false;
    for (int round = 0; round < 2; round++) {
        CS_AUTO(tls_conn) s = NULL;
        client c = client_new(w, version, round == 0 ? "a.test" : sni, true);
        SSL_set_app_data(c.ssl, &c);
        if (round == 1) {
            assert_int_equal(SSL_set_session(c.ssl, session), 1);
            SSL_SESSION_free(session);
            if (change != NULL) change(w);
        }
        assert_ok(tls_conn_new(w->front, &w->judge, &s, &err));
        *ret = shake(w, &c, s, 4096, &err);
        if (round == 0) {
            assert_int_equal(*ret, CS_OK);
            session = SSL_get1_session(c.ssl);
            assert_true(SSL_SESSION_is_resumable(session));
            if (c.session != NULL) {
                SSL_SESSION_free(session);
                session = c.session;
                c.session = NULL;
            }
            SSL_shutdown(c.ssl);
        } else {
            resumed = tls_conn_peer(s)->resumed;
            if (*ret == CS_OK) assert_memory_equal(tls_conn_peer(s)->leaf->sha256, w->device->sha256, 32);
        }
        client_free(&c);
    }
    return resumed;
}

static void revoke(world *w) {
    cs_err err;
    cs_revoked row = {.serial = w->device->serial, .at = TEST_NOW, .reason = 1};
    memcpy(row.issuer, w->ca.issuing->spki_sha256, 32);
    assert_ok(cs_revset_build(&row, 1, &w->judge.revset, &err));
}

static void wait_long(world *w) {
    cs_clock_manual_advance(&w->clock, TLS_SESSION_MAX + CS_SEC);
}

static void rotate(world *w) {
    cs_err err;
    assert_ok(tls_tickets_rotate(w->tickets, cs_rng_system(), &err));
}

static void rotate_thrice(world *w) {
    for (int i = 0; i < 3; i++) rotate(w);
}

static void sessions_are_judged_again(void **state) {
    world *w = *state;
    cs_status s = CS_OK;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_true(resumes(w, version, "a.test", NULL, &s));
        assert_int_equal(s, CS_OK);
        assert_false(resumes(w, version, "b.test", NULL, &s)); /* another site */
        assert_int_equal(s, CS_OK);
        assert_true(resumes(w, version, "a.test", rotate, &s));
        assert_false(resumes(w, version, "a.test", rotate_thrice, &s));
        assert_int_equal(s, CS_OK);
        assert_false(resumes(w, version, "a.test", wait_long, &s));
        assert_int_equal(s, CS_OK);
        assert_false(resumes(w, version, "a.test", revoke, &s));
        assert_int_equal(s, CS_REFUSED);
        cs_revset_free(w->judge.revset);
        w->judge.revset = NULL;
    }
}

static void live_connections_are_found_by_revocations(void **state) {
    world *w = *state;
    cs_err err;
    CS_AUTO(tls_conn) s = NULL;
    client c = client_new(w, TLS1_3_VERSION, "a.test", true);
    SSL_set_app_data(c.ssl, &c);
    assert_ok(tls_conn_new(w->front, &w->judge, &s, &err));
    assert_ok(shake(w, &c, s, 4096, &err));
    assert_false(tls_conn_revoked(s, NULL));
    cs_revoked row = {.serial = w->ca.issuing->serial, .at = TEST_NOW, .reason = 2}; /* its issuer, that is */
    memcpy(row.issuer, w->ca.root->spki_sha256, 32);
    CS_AUTO(cs_revset) set = NULL;
    assert_ok(cs_revset_build(&row, 1, &set, &err));
    assert_true(tls_conn_revoked(s, set));
    client_free(&c);
}

static void names_find_their_sites(void **state) {
    world *w = *state;
    assert_string_equal(tls_site_name(tls_front_find(w->front, CS_VIEW_LIT("A.TEST."))), "a.test");
    assert_string_equal(tls_site_name(tls_front_find(w->front, CS_VIEW_LIT("x.wild.test"))), "*.wild.test");
    assert_null(tls_front_find(w->front, CS_VIEW_LIT("wild.test")));
    assert_null(tls_front_find(w->front, CS_VIEW_LIT(".wild.test")));
    assert_null(tls_front_find(w->front, CS_VIEW_LIT("a..test")));
    assert_null(tls_front_find(w->front, CS_VIEW_LIT("10.0.0.1")));
    assert_null(tls_front_find(w->front, CS_VIEW_LIT("")));
    assert_null(tls_front_find(w->front, CS_VIEW_LIT("*.wild.test")));
}

static void a_site_needs_its_own_key(void **state) {
    world *w = *state;
    cs_err err;
    tls_site *s = NULL;
    tls_site_plan plan = {
        .name = "x.test",
        .ids = {{cs_buf_view(&w->server_crt), cs_buf_view(&w->device_pem), "server.crt", "device.key"}},
        .id_count = 1,
        .clock = &w->clock.clock};
    assert_fails(tls_site_new(&plan, &s, &err), CS_R_KEY_MISMATCH);
    plan.ids[0].certificate = cs_buf_view(&w->device_crt);
    assert_fails(tls_site_new(&plan, &s, &err), CS_R_EKU_MISSING_SERVER_AUTH);
    plan.name = "a b";
    assert_fails(tls_site_new(&plan, &s, &err), CS_R_CONFIG_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_shake_hands_and_talk),
        cmocka_unit_test(much_goes_both_ways_and_keys_are_updated),
        cmocka_unit_test(what_came_with_the_handshake_is_not_lost),
        cmocka_unit_test(a_changed_record_ends_the_connection_with_an_alert),
        cmocka_unit_test(refusals_have_their_reasons),
        cmocka_unit_test(what_is_not_tls_is_told_apart),
        cmocka_unit_test(sessions_are_judged_again),
        cmocka_unit_test(live_connections_are_found_by_revocations),
        cmocka_unit_test(names_find_their_sites),
        cmocka_unit_test(a_site_needs_its_own_key),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
