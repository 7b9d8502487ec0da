#include "renew/prove.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>

#include "base/text.h"
#include "fetch/call.h"
#include "fetch/shake.h"
#include "proto/client/frame.h"

enum { PAUSE_MS = 100 };
#define ONE_TRY (5 * CS_SEC)

static cs_time until_of(cs_time end, const cs_clock *clock) {
    cs_time one = cs_mono(clock) + ONE_TRY;
    return one < end ? one : end;
}

/* ---- served ---- */

static cs_status served(const renew_identity *id, const cs_cert *leaf, cs_time until, cs_err *err) {
    CS_AUTO(tls_probe) probe = NULL;
    CS_AUTO(cs_cert) shown = NULL;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CERT_MAX);
    net_addr at;
    char host[256];
    const char *colon = strrchr(id->prove_served, ':');
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - id->prove_served), id->prove_served);
    TRY(net_addr_parse(id->prove_served, &at, err));
    TRY(tls_probe_new(id->prove_name != NULL ? id->prove_name : host, NULL, &probe, err));
    cs_status s = shake_hands(&at, probe, until, err);
    if (!tls_probe_leaf(probe, &der)) { /* shown even where a client without a certificate is refused */
        if (s != CS_OK) return cs_fail_in(err, "%s", id->prove_served);
        return cs_fail(err, CS_FAILED, CS_R_PROOF_FAILED, "%s shows no certificate", id->prove_served);
    }
    if (cs_view_eq(cs_buf_view(&der), leaf->der)) return CS_OK;
    TRY(cs_cert_decode(cs_buf_view(&der), &shown, err));
    char hex[2 * CS_SERIAL_MAX + 1] = "", until_text[CS_TIME_TEXT_MAX];
    if (shown->serial.n <= CS_SERIAL_MAX) (void)cs_hex(shown->serial, hex);
    return cs_fail(err, CS_FAILED, CS_R_PROOF_FAILED, "%s still shows the certificate %s, until %s", id->prove_served,
                   hex, cs_time_text(shown->not_after, until_text));
}

/* ---- accepted ---- */

typedef struct shown {
    cs_certs certs, ca;
    cs_buf cert_pem, key_pem, ca_pem;
} shown;

static void shown_free(shown *s) {
    cs_certs_free(&s->certs);
    cs_certs_free(&s->ca);
    cs_buf_free(&s->cert_pem);
    cs_buf_free(&s->key_pem);
    cs_buf_free(&s->ca_pem);
}

static cs_status accepted(const renew_identity *id, const shown *s, cs_time at, cs_time limit, cs_err *err) {
    CS_AUTO(call) http = NULL;
    CS_SCOPED(call_answer) a = {.status = 0};
    const call_ask ask = {.url = id->prove_accepted};
    TRY(call_new(&http, err));
    TRY(call_trust(http, cs_buf_view(&s->ca_pem), err));
    TRY(call_identity(http, cs_buf_view(&s->cert_pem), cs_buf_view(&s->key_pem), err));
    call_at(http, at);
    call_deadline(http, limit);
    TRY(call_perform(http, &ask, &a, err));
    if (a.status < 400) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_PROOF_FAILED, "%.200s answers %u to the new certificate", id->prove_accepted,
                   a.status);
}

static cs_status load(const renew_store *st, int slot, shown *s, cs_err *err) {
    CS_AUTO(cs_key) key = NULL;
    s->cert_pem = s->ca_pem = cs_buf_of(CS_PEM_FILE_MAX);
    s->key_pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(renew_store_certs(st, slot, "cert.pem", &s->certs, err));
    TRY(renew_store_certs(st, slot, "ca.pem", &s->ca, err));
    TRY(renew_store_key(st, slot, &key, err));
    TRY(cs_key_write_pem(key, &s->key_pem, err));
    TRY(client_put_pem(&s->certs, "the certificate", &s->cert_pem, err));
    return client_put_pem(&s->ca, "the CAs", &s->ca_pem, err);
}

cs_status renew_prove(const renew_identity *id, const renew_store *st, int slot, cs_time at, const cs_clock *clock,
                      cs_err *err) {
    CS_SCOPED(shown) s = {.certs = {.n = 0}};
    if (id->prove_served == NULL && id->prove_accepted == NULL) return CS_OK;
    const cs_time end = cs_mono(clock) + id->prove_limit;
    cs_status status = load(st, slot, &s, err);
    if (status != CS_OK) return status;
    for (;;) {
        status = CS_OK;
        if (id->prove_served != NULL) status = served(id, s.certs.at[0], until_of(end, clock), err);
        if (status == CS_OK && id->prove_accepted != NULL)
            status = accepted(id, &s, at, until_of(end, clock) - cs_mono(clock), err);
        if (status == CS_OK) return CS_OK;
        if (cs_mono(clock) + PAUSE_MS * 1000 >= end) break;
        (void)poll(NULL, 0, PAUSE_MS);
    }
    char inner[CS_DETAIL_MAX];
    (void)snprintf(inner, sizeof inner, "%s", err->detail);
    return cs_fail(err, CS_FAILED, CS_R_PROOF_FAILED, "%s", inner);
}
