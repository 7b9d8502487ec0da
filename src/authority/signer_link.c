#include <poll.h>
#include <unistd.h>

#include "authority/authority_priv.h"

void signer_link_close(signer_link *l) {
    if (l->fd >= 0) (void)close(l->fd);
    l->fd = -1;
    l->greeted = l->answered = false;
    memset(l->speaks_for, 0, sizeof l->speaks_for);
    cs_buf_free(&l->in);
    cs_buf_free(&l->out);
    l->in = cs_buf_of(SIGNING_PIPELINE * 2 * (CS_CERT_MAX + 1024));
    l->out = cs_buf_of(SIGNING_PIPELINE * (CS_CERT_MAX + 1024));
}

/* The next answer of any type; it stays in l->in until the next call. */
static cs_status next_frame(signer_link *l, ipc_frame *ret, cs_err *err) {
    size_t used = 0;
    cs_status status =
        ipc_await(l->fd, &l->in, signing_from_signer, SIGNER_WAIT_MS, CS_R_SIGNER_UNREACHABLE, ret, &used, err);
    if (status != CS_OK) {
        signer_link_close(l);
        err->reason = CS_R_SIGNER_UNREACHABLE;
        return err->status = CS_FAILED;
    }
    return CS_OK;
}

static void consume_frame(signer_link *l) {
    ipc_frame f;
    size_t used = 0;
    cs_err err;
    if (ipc_take(cs_buf_view(&l->in), signing_from_signer, &f, &used, &err) == CS_OK) cs_buf_consume(&l->in, used);
}

static cs_status say_hello(signer_link *l, cs_err *err) {
    TRY(ipc_connect(l->path, CS_R_SIGNER_UNREACHABLE, &l->fd, err));
    ipc_put(&l->out, SIGNING_HELLO, (cs_view){NULL, 0});
    cs_status status = ipc_flush(l->fd, &l->out, 0, CS_R_SIGNER_UNREACHABLE, err); /* a new socket has room for it */
    if (status != CS_OK) signer_link_close(l);
    return status;
}

/* It may hold keys of CAs that were added since we started: those are of no use to us. */
static bool read_greeting(signer_link *l, const ipc_frame *f) {
    cs_rd r = cs_rd_of(f->payload);
    if (f->type != SIGNING_ISSUER) return false;
    for (size_t n = 0; n < CS_CAS_MAX && !cs_rd_ended(&r); n++) {
        cs_view der = cs_rd_vec32(&r);
        uint64_t number = cs_rd_u64(&r);
        for (size_t i = 0; i < l->ca_count; i++) {
            if (!cs_view_eq(der, l->cas[i].ca.cert->der)) continue;
            l->speaks_for[i] = true;
            l->signed_crl[i] = number;
        }
    }
    return cs_rd_ended(&r);
}

static cs_status take_greeting(signer_link *l, const ipc_frame *f, cs_err *err) {
    const char *missing = NULL;
    bool understood = read_greeting(l, f);
    size_t known = 0;
    for (size_t i = 0; i < l->ca_count; i++) {
        if (l->speaks_for[i])
            known++;
        else
            missing = l->cas[i].ca.name;
    }
    if (understood && missing == NULL) {
        consume_frame(l);
        l->greeted = true;
        return CS_OK;
    }
    signer_link_close(l);
    if (!understood) return cs_fail(err, CS_REFUSED, CS_R_WALL_VIOLATED, "the signer's greeting is malformed");
    /* of some but not all: one of us has not yet seen that a CA came or went */
    return cs_fail(err, known > 0 ? CS_FAILED : CS_REFUSED, known > 0 ? CS_R_SIGNER_UNREACHABLE : CS_R_STATE_CORRUPT,
                   "the signer does not speak for the CA of ca/%s.crt", missing);
}

/* The other side's greeting, if it comes in wait_ms; CS_FAILED keeps the connection when it may still come: a signer
 * that is being restarted finds it in its listener's queue. */
static cs_status await_greeting(signer_link *l, int wait_ms, cs_err *err) {
    for (;;) {
        ipc_frame f;
        size_t used = 0;
        cs_status status = ipc_take(cs_buf_view(&l->in), signing_from_signer, &f, &used, err);
        if (status == CS_OK) return take_greeting(l, &f, err);
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        if (status == CS_AGAIN && poll(&p, 1, wait_ms) <= 0)
            return cs_fail(err, CS_FAILED, CS_R_SIGNER_UNREACHABLE, "it has not taken the connection yet");
        if (status == CS_AGAIN) status = ipc_fill(l->fd, &l->in, CS_R_SIGNER_UNREACHABLE, err);
        if (status == CS_OK || status == CS_AGAIN) continue;
        signer_link_close(l);
        return err->status = CS_FAILED;
    }
}

/* A link that the other side has closed shows it by being readable with nothing to read. */
static void notice_end(signer_link *l) {
    cs_err ignored;
    if (l->greeted && ipc_fill(l->fd, &l->in, CS_R_SIGNER_UNREACHABLE, &ignored) == CS_FAILED) signer_link_close(l);
}

cs_status signer_link_up(signer_link *l, int wait_ms, cs_err *err) {
    notice_end(l);
    if (l->greeted) return CS_OK;
    cs_status status = l->fd < 0 ? say_hello(l, err) : CS_OK;
    if (status == CS_OK) return await_greeting(l, wait_ms, err);
    (void)poll(NULL, 0, wait_ms); /* nobody listens: as long a wait as for one that is silent */
    return status;
}

void signer_link_ask_cert(signer_link *l, const authority_ca *by, const cs_profile *profile, cs_view tbs) {
    size_t mark = ipc_open(&l->out, SIGNING_CERT);
    cs_buf_add(&l->out, by->cert->spki_sha256, SIGNING_ISSUER_LEN);
    cs_buf_add_byte(&l->out, (uint8_t)profile->kind);
    cs_buf_add_vec32(&l->out, tbs);
    cs_buf_add_vec16(&l->out, cs_view_str(profile->name));
    cs_buf_add(&l->out, profile->digest, sizeof profile->digest);
    ipc_close(&l->out, mark);
}

void signer_link_ask_responder(signer_link *l, const authority_ca *by, const cs_responder_ask *ask, cs_view tbs) {
    size_t mark = ipc_open(&l->out, ask->use == CS_RESPONDER_RA ? SIGNING_RA : SIGNING_RESPONDER);
    cs_buf_add(&l->out, by->cert->spki_sha256, SIGNING_ISSUER_LEN);
    cs_buf_add_view(&l->out, ask->serial);
    cs_buf_add_u64(&l->out, (uint64_t)ask->not_before);
    cs_buf_add_u64(&l->out, (uint64_t)ask->not_after);
    cs_buf_add_vec16(&l->out, ask->spki);
    cs_buf_add_vec32(&l->out, tbs);
    ipc_close(&l->out, mark);
}

void signer_link_ask_crl(signer_link *l, const authority_ca *by, cs_view front) {
    size_t mark = ipc_open(&l->out, SIGNING_CRL);
    cs_buf_add(&l->out, by->cert->spki_sha256, SIGNING_ISSUER_LEN);
    cs_buf_add_view(&l->out, front);
    ipc_close(&l->out, mark);
}

void signer_link_ask(signer_link *l, uint16_t type, cs_view payload) {
    (void)ipc_put(&l->out, type, payload);
}

cs_status signer_link_send(signer_link *l, cs_err *err) {
    cs_status status = ipc_flush(l->fd, &l->out, SIGNER_WAIT_MS, CS_R_SIGNER_UNREACHABLE, err);
    if (status != CS_OK) signer_link_close(l);
    return status;
}

cs_status signer_link_next(signer_link *l, cs_view *ret_der, cs_err *err) {
    ipc_frame f;
    if (!l->greeted) return cs_fail(err, CS_FAILED, CS_R_SIGNER_UNREACHABLE, "the connection has ended");
    if (l->answered) consume_frame(l); /* the answer before */
    l->answered = false;
    TRY(next_frame(l, &f, err));
    l->answered = true;
    cs_rd r = cs_rd_of(f.payload);
    if (f.type == SIGNING_SIGNED) {
        *ret_der = cs_rd_vec32(&r);
        if (cs_rd_ended(&r)) return CS_OK;
    } else if (f.type == SIGNING_REFUSED) {
        char name[64] = {0};
        cs_view reason = cs_rd_vec16(&r), detail = cs_rd_vec16(&r);
        if (reason.n > 0) memcpy(name, reason.p, reason.n < sizeof name ? reason.n : sizeof name - 1);
        cs_reason known = cs_reason_by_name(name);
        if (cs_rd_ended(&r))
            return cs_fail(err, CS_REFUSED, known != CS_R_NONE ? known : CS_R_SIGNER_REFUSED, "%.*s", (int)detail.n,
                           (const char *)detail.p);
    }
    signer_link_close(l);
    return cs_fail(err, CS_FAILED, CS_R_WALL_VIOLATED, "the signer's answer is malformed");
}
