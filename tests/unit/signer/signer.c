#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "signer/serials.h"
#include "signer/signer.h"
#include "x509/build.h"
#include "x509/pem.h"
#include "x509/profile.h"

static char path[64];
static cs_key *root_key, *ca_key, *device_key;
static cs_cert *root, *ca;
static cs_buf ca_pem;
static cs_clock_manual now;

static cs_cert *make_ca(const cs_key *key, const cs_key *by, const cs_cert *issuer) {
    cs_err err;
    CS_SCOPED(cs_buf) dn = cs_buf_of(500);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CERT_MAX);
    uint8_t serial[CS_SERIAL_LEN];
    cs_cert *c = NULL;
    assert_ok(cs_serial_draw(cs_rng_system(), serial, &err));
    assert_ok(cs_dn_build(&(cs_dn){.common_name = issuer != NULL ? "Issuing" : "Root"}, &dn, &err));
    const cs_ca_ask ask = {.role = issuer != NULL ? CS_CA_ISSUING : CS_CA_ROOT,
                           .subject = cs_buf_view(&dn),
                           .spki = cs_key_spki(key),
                           .issuer = issuer,
                           .serial = cs_view_of(serial, sizeof serial),
                           .not_before = now.wall_now - CS_DAY,
                           .not_after = now.wall_now + 5 * CS_YEAR,
                           .crl_url = "http://x/crl/root.crl",
                           .ca_url = "http://x/ca/root.crt"};
    assert_ok(cs_ca_build(&ask, &tbs, &err));
    assert_ok(cs_signed_make(by, cs_buf_view(&tbs), &der, &err));
    assert_ok(cs_cert_decode(cs_buf_view(&der), &c, &err));
    return c;
}

static int group_setup(void **state) {
    cs_err err;
    (void)snprintf(path, sizeof path, "/tmp/cs-unit-signer-%d.journal", (int)getpid());
    cs_clock_manual_init(&now, 1800000000 * CS_SEC);
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &root_key, &err));
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &device_key, &err));
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &ca_key, &err));
    root = make_ca(root_key, root_key, NULL);
    ca = make_ca(ca_key, root_key, root);
    ca_pem = cs_buf_of(CS_CERT_MAX);
    assert_true(cs_pem_add_cert(&ca_pem, ca));
    return 0;
}

static int group_teardown(void **state) {
    cs_key_free(root_key);
    cs_key_free(ca_key);
    cs_key_free(device_key);
    cs_cert_free(root);
    cs_cert_free(ca);
    cs_buf_free(&ca_pem);
    return 0;
}

static int no_journal(void **state) {
    (void)unlink(path);
    cs_clock_manual_init(&now, 1800000000 * CS_SEC);
    return 0;
}

static signer *open_signer(cs_err *err) {
    cs_key *copy = NULL;
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    signer *s = NULL;
    assert_int_equal(cs_key_write_pem(ca_key, &pem, err), CS_OK);
    assert_int_equal(cs_key_read_pem(cs_buf_view(&pem), NULL, "key", &copy, err), CS_OK);
    signer_setup setup = {.ca = {{copy, cs_buf_view(&ca_pem), "issuing.crt"}},
                          .ca_count = 1,
                          .trust_domain = "corp.example",
                          .journal_path = path,
                          .clock = &now.clock};
    return signer_new(&setup, &s, err) == CS_OK ? s : NULL;
}

static void device_tbs(cs_buf *tbs, const uint8_t serial[CS_SERIAL_LEN]) {
    cs_err err;
    cs_identity who;
    cs_time from, until;
    assert_ok(cs_identity_make(CS_KIND_DEVICE, CS_VIEW_LIT("pump-17"), &who, &err));
    assert_ok(cs_profile_validity(cs_profile_of(CS_KIND_DEVICE), 0, now.wall_now, ca, &from, &until, &err));
    const cs_profile_ask ask = {.who = &who,
                                .spki = cs_key_spki(device_key),
                                .issuer = ca,
                                .serial = cs_view_of(serial, CS_SERIAL_LEN),
                                .not_before = from,
                                .not_after = until,
                                .crl_url = "http://x/crl/issuing.crl",
                                .ca_url = "http://x/ca/issuing.crt",
                                .trust_domain = "corp.example"};
    assert_ok(cs_profile_build(&ask, tbs, &err));
}

/* One request through the engine; the answer's type, its payload in out. */
static uint16_t ask_signer(signer *s, uint16_t type, cs_kind kind, cs_view tbs, cs_buf *out) {
    cs_err err;
    CS_SCOPED(cs_buf) payload = cs_buf_of(CS_CRL_MAX);
    CS_SCOPED(signer_crl) none = {.open = false};
    const cs_profile *profile = cs_profile_of(kind);
    cs_buf_add(&payload, ca->spki_sha256, SIGNING_ISSUER_LEN);
    if (type == SIGNING_CERT) cs_buf_add_byte(&payload, (uint8_t)kind);
    cs_buf_add_vec32(&payload, tbs);
    if (type == SIGNING_CERT) {
        cs_buf_add_vec16(&payload, cs_view_str(profile ? profile->name : "other"));
        cs_buf_add(&payload, profile ? profile->digest : (const uint8_t[32]){0}, 32);
    }
    const ipc_frame f = {type, cs_buf_view(&payload)};
    signer_job job;
    signer_check(s, &none, &f, &job);
    assert_ok(signer_commit(s, &job, 1, &err));
    cs_buf_clear(out);
    signer_answer(s, &job, out);
    ipc_frame answer;
    size_t used = 0;
    assert_ok(ipc_take(cs_buf_view(out), signing_from_signer, &answer, &used, &err));
    return answer.type;
}

static void refused_with(cs_buf *out, const char *reason) {
    cs_rd r = cs_rd_of(cs_view_of(out->p + IPC_HEADER_LEN, out->n - IPC_HEADER_LEN));
    cs_view name = cs_rd_vec16(&r);
    if (!cs_view_eq_str(name, reason)) fail_msg("%.*s, not %s", (int)name.n, (const char *)name.p, reason);
}

static void a_certificate_of_its_profile_is_signed_and_verifies(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    uint8_t serial[CS_SERIAL_LEN] = {1, 2, 3};
    assert_non_null(s);
    device_tbs(&tbs, serial);
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out), SIGNING_SIGNED);
    cs_rd r = cs_rd_of(cs_view_of(out.p + IPC_HEADER_LEN, out.n - IPC_HEADER_LEN));
    assert_ok(cs_signed_check(cs_rd_vec32(&r), cs_buf_view(&tbs), ca, &err));
}

static void a_serial_is_signed_once_even_after_a_restart(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    uint8_t serial[CS_SERIAL_LEN] = {1, 2, 3};
    device_tbs(&tbs, serial);
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out), SIGNING_SIGNED);
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out), SIGNING_REFUSED);
    refused_with(&out, "serial-reused");
    signer_free(CS_TAKE(s));
    s = open_signer(&err);
    assert_non_null(s);
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out), SIGNING_REFUSED);
    refused_with(&out, "serial-reused");
}

static void what_leaves_its_profile_is_never_signed(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    uint8_t serial[CS_SERIAL_LEN] = {1, 2, 3};
    device_tbs(&tbs, serial);
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_SERVER, cs_buf_view(&tbs), &out), SIGNING_REFUSED);
    refused_with(&out, "profile-violated");
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_OTHER, cs_buf_view(&tbs), &out), SIGNING_REFUSED);
    refused_with(&out, "message-malformed");
    /* the CA's own to-be-signed part: a CA certificate */
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, ca->tbs, &out), SIGNING_REFUSED);
    refused_with(&out, "profile-violated");
    for (size_t i = 0; i < tbs.n; i++) { /* any changed octet: refused, or still a certificate of the profile */
        tbs.p[i] ^= 0x20;
        if (ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out) == SIGNING_SIGNED) {
            cs_rd r = cs_rd_of(cs_view_of(out.p + IPC_HEADER_LEN, out.n - IPC_HEADER_LEN));
            cs_cert *c = NULL;
            assert_ok(cs_cert_decode(cs_rd_vec32(&r), &c, &err));
            assert_true(!c->is_ca && c->eku == CS_EKU_CLIENT_AUTH && cs_view_eq(c->issuer, ca->subject));
            cs_cert_free(c);
        }
        tbs.p[i] ^= 0x20;
    }
}

/* One frame; what is answered is appended to out. */
static void send_piece(signer *s, signer_crl *crl, uint16_t type, cs_view payload, cs_buf *out) {
    cs_err err;
    const ipc_frame f = {type, payload};
    signer_job job;
    signer_check(s, crl, &f, &job);
    assert_ok(signer_commit(s, &job, 1, &err));
    signer_answer(s, &job, out);
}

/* Where the entries of a TBSCertList begin and end. */
static void cut_crl(cs_view tbs, size_t *begin, size_t *end) {
    cs_err err;
    cs_crl_check c;
    assert_ok(cs_crl_check_front(&c, ca, tbs, begin, &err));
    *end = *begin + c.left;
}

static uint16_t ask_crl(signer *s, signer_crl *crl, cs_view tbs, size_t begin, size_t end, cs_buf *out) {
    cs_err err;
    ipc_frame answer;
    size_t used = 0;
    CS_SCOPED(cs_buf) front = cs_buf_of(CS_CERT_MAX);
    cs_buf_add(&front, ca->spki_sha256, SIGNING_ISSUER_LEN);
    cs_buf_add(&front, tbs.p, begin);
    cs_buf_clear(out);
    send_piece(s, crl, SIGNING_CRL, cs_buf_view(&front), out);
    if (end > begin) send_piece(s, crl, SIGNING_CRL_PART, cs_view_of(tbs.p + begin, end - begin), out);
    assert_int_equal(out->n, 0);
    send_piece(s, crl, SIGNING_CRL_END, cs_view_of(tbs.p + end, tbs.n - end), out);
    assert_ok(ipc_take(cs_buf_view(out), signing_from_signer, &answer, &used, &err));
    return answer.type;
}

static void make_crl(uint64_t number, cs_time this_update, size_t entries, cs_buf *tbs) {
    cs_err err;
    cs_crl_builder b;
    assert_ok(cs_crl_begin(&b, ca, number, this_update, this_update + CS_DAY, tbs, &err));
    for (uint8_t i = 0; i < entries; i++)
        assert_ok(cs_crl_add(&b, cs_view_of((const uint8_t[]){1, i}, 2), this_update, CS_CRL_SUPERSEDED, &err));
    assert_ok(cs_crl_end(&b, &err));
}

static void crl_numbers_never_go_back(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(signer_crl) crl = {.open = false};
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    static const struct {
        uint64_t number;
        uint16_t expected;
    } asked[] = {{5, SIGNING_SIGNED}, {5, SIGNING_REFUSED}, {4, SIGNING_REFUSED}, {6, SIGNING_SIGNED}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CRL_MAX);
        size_t begin = 0, end = 0;
        make_crl(asked[i].number, now.wall_now, i * 50, &tbs);
        cut_crl(cs_buf_view(&tbs), &begin, &end);
        assert_int_equal(ask_crl(s, &crl, cs_buf_view(&tbs), begin, end, &out), asked[i].expected);
        if (asked[i].expected == SIGNING_REFUSED) {
            refused_with(&out, "crl-rollback");
            continue;
        }
        cs_rd r = cs_rd_of(cs_view_of(out.p + IPC_HEADER_LEN, out.n - IPC_HEADER_LEN));
        assert_ok(cs_key_verify(ca->spki, cs_buf_view(&tbs), cs_rd_vec32(&r), &err));
    }
}

static void a_list_that_is_not_whole_or_not_of_now_is_not_signed(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(signer_crl) crl = {.open = false};
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CRL_MAX);
    size_t begin = 0, end = 0;
    make_crl(7, now.wall_now, 3, &tbs);
    cut_crl(cs_buf_view(&tbs), &begin, &end);
    size_t one = (end - begin) / 3;
    assert_int_equal(ask_crl(s, &crl, cs_buf_view(&tbs), begin, end - one, &out), SIGNING_REFUSED); /* cut elsewhere */
    send_piece(s, &crl, SIGNING_CRL_PART, cs_view_of(tbs.p + begin, one), &out);                    /* not begun */
    cs_buf_clear(&out);
    send_piece(s, &crl, SIGNING_CRL_END, cs_view_of(tbs.p + end, tbs.n - end), &out);
    refused_with(&out, "message-malformed");
    tbs.p[end + 9] ^= 1; /* in the extensions */
    assert_int_equal(ask_crl(s, &crl, cs_buf_view(&tbs), begin, end, &out), SIGNING_REFUSED);
    refused_with(&out, "profile-violated");
    const cs_time others[] = {now.wall_now + CS_MIN, now.wall_now - 2 * CS_HOUR};
    for (size_t i = 0; i < 2; i++) {
        cs_buf_clear(&tbs);
        make_crl(8, others[i], 3, &tbs);
        cut_crl(cs_buf_view(&tbs), &begin, &end);
        assert_int_equal(ask_crl(s, &crl, cs_buf_view(&tbs), begin, end, &out), SIGNING_REFUSED);
        refused_with(&out, "profile-violated");
    }
}

static void what_comes_between_the_end_of_a_list_and_its_answer_is_no_part_of_it(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(signer_crl) crl = {.open = false};
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CRL_MAX);
    CS_SCOPED(cs_buf) front = cs_buf_of(CS_CERT_MAX);
    size_t begin = 0, end = 0;
    signer_job jobs[2];
    make_crl(9, now.wall_now, 0, &tbs);
    cut_crl(cs_buf_view(&tbs), &begin, &end);
    cs_buf_add(&front, ca->spki_sha256, SIGNING_ISSUER_LEN);
    cs_buf_add(&front, tbs.p, begin);
    send_piece(s, &crl, SIGNING_CRL, cs_buf_view(&front), &out);
    signer_check(s, &crl, &(ipc_frame){SIGNING_CRL_END, cs_view_of(tbs.p + end, tbs.n - end)}, &jobs[0]);
    signer_check(s, &crl, &(ipc_frame){SIGNING_CRL, cs_buf_view(&front)}, &jobs[1]);
    assert_ok(signer_commit(s, jobs, 2, &err));
    signer_answer(s, &jobs[0], &out);
    signer_answer(s, &jobs[1], &out);
    cs_rd r = cs_rd_of(cs_view_of(out.p + IPC_HEADER_LEN, out.n - IPC_HEADER_LEN));
    assert_ok(cs_key_verify(ca->spki, cs_buf_view(&tbs), cs_rd_vec32(&r), &err));
}

static void a_clock_that_went_back_stops_the_signing(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    uint8_t serial[CS_SERIAL_LEN] = {1, 2, 3};
    device_tbs(&tbs, serial);
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out), SIGNING_SIGNED);
    now.wall_now -= CS_HOUR;
    serial[1]++;
    cs_buf_clear(&tbs);
    device_tbs(&tbs, serial);
    assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out), SIGNING_REFUSED);
    refused_with(&out, "clock-suspect");
}

static void a_changed_journal_is_noticed_and_half_a_record_is_cut_off(void **state) {
    cs_err err;
    CS_AUTO(signer) s = open_signer(&err);
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_CRL_MAX);
    for (uint8_t i = 0; i < 3; i++) {
        CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
        uint8_t serial[CS_SERIAL_LEN] = {1, i};
        device_tbs(&tbs, serial);
        assert_int_equal(ask_signer(s, SIGNING_CERT, CS_KIND_DEVICE, cs_buf_view(&tbs), &out), SIGNING_SIGNED);
    }
    assert_null(open_signer(&err)); /* one process at a time */
    assert_int_equal(err.reason, CS_R_STATE_BUSY);
    signer_free(CS_TAKE(s));
    assert_int_equal(truncate(path, 3 * 96 - 10), 0);
    s = open_signer(&err);
    assert_non_null(s);
    signer_free(CS_TAKE(s));
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    (void)fseek(f, 20, SEEK_SET);
    (void)fputc(0x55, f);
    (void)fclose(f);
    assert_null(open_signer(&err));
    assert_int_equal(err.reason, CS_R_STATE_CORRUPT);
}

static void a_hundred_thousand_serials_are_told_apart(void **state) {
    cs_err err;
    serials s;
    assert_ok(serials_init(&s, cs_rng_system(), &err));
    for (uint32_t i = 0; i < 100000; i++) {
        uint8_t serial[CS_SERIAL_LEN] = {1, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_false(serials_has(&s, serial));
        assert_ok(serials_add(&s, serial, &err));
        assert_true(serials_has(&s, serial));
    }
    assert_int_equal(s.n, 100000);
    serials_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_certificate_of_its_profile_is_signed_and_verifies, no_journal, no_journal),
        cmocka_unit_test_setup_teardown(a_serial_is_signed_once_even_after_a_restart, no_journal, no_journal),
        cmocka_unit_test_setup_teardown(what_leaves_its_profile_is_never_signed, no_journal, no_journal),
        cmocka_unit_test_setup_teardown(crl_numbers_never_go_back, no_journal, no_journal),
        cmocka_unit_test_setup_teardown(a_list_that_is_not_whole_or_not_of_now_is_not_signed, no_journal, no_journal),
        cmocka_unit_test_setup_teardown(what_comes_between_the_end_of_a_list_and_its_answer_is_no_part_of_it,
                                        no_journal, no_journal),
        cmocka_unit_test_setup_teardown(a_clock_that_went_back_stops_the_signing, no_journal, no_journal),
        cmocka_unit_test_setup_teardown(a_changed_journal_is_noticed_and_half_a_record_is_cut_off, no_journal,
                                        no_journal),
        cmocka_unit_test(a_hundred_thousand_serials_are_told_apart),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
