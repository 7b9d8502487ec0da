#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "authority/authority_priv.h"

void signer_link_close(signer_link *l) {
    if (l->fd >= 0) (void)close(l->fd);
    l->fd = -1;
    l->answered = false;
    cs_buf_free(&l->in);
    cs_buf_free(&l->out);
    l->in = cs_buf_of(CS_CRL_MAX + 1024);
    l->out = cs_buf_of((size_t)CS_CRL_MAX + SIGNING_PIPELINE * 1024);
}

/* The next answer of any type; it stays in l->in until the next call. */
static cs_status next_frame(signer_link *l, int wait_ms, ipc_frame *ret, cs_err *err) {
    size_t used = 0;
    cs_status status = ipc_await(l->fd, &l->in, signing_from_signer, wait_ms, CS_R_SIGNER_UNREACHABLE, ret, &used, err);
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

static cs_status greet(signer_link *l, cs_err *err) {
    ipc_frame f;
    ipc_put(&l->out, SIGNING_HELLO, (cs_view){NULL, 0});
    TRY(ipc_flush(l->fd, &l->out, SIGNER_WAIT_MS, CS_R_SIGNER_UNREACHABLE, err));
    TRY(next_frame(l, SIGNER_GREET_MS, &f, err));
    cs_rd r = cs_rd_of(f.payload);
    cs_view ca = cs_rd_vec32(&r);
    l->crl_number = cs_rd_u64(&r);
    if (f.type != SIGNING_ISSUER || !cs_rd_ended(&r) || !cs_view_eq(ca, l->ca->der))
        return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "the signer speaks for another CA than ca/issuing.crt");
    consume_frame(l);
    return CS_OK;
}

cs_status signer_link_try(signer_link *l, cs_err *err) {
    if (l->fd >= 0) return CS_OK;
    TRY(ipc_connect(l->path, CS_R_SIGNER_UNREACHABLE, &l->fd, err));
    cs_status status = greet(l, err);
    if (status != CS_OK) signer_link_close(l);
    return status;
}

/* A link that the other side has closed shows it by being readable with nothing to read. */
static void notice_end(signer_link *l) {
    cs_err ignored;
    if (l->fd >= 0 && ipc_fill(l->fd, &l->in, CS_R_SIGNER_UNREACHABLE, &ignored) == CS_FAILED) signer_link_close(l);
}

cs_status signer_link_up(signer_link *l, cs_err *err) {
    notice_end(l);
    cs_time until = cs_mono(l->clock) + SIGNER_UP_WAIT;
    cs_status status = signer_link_try(l, err);
    while (status == CS_FAILED && cs_mono(l->clock) < until) {
        (void)nanosleep(&(struct timespec){.tv_nsec = SIGNER_RETRY_MS * 1000000L}, NULL);
        status = signer_link_try(l, err);
    }
    return status;
}

void signer_link_ask_cert(signer_link *l, cs_kind kind, cs_view tbs) {
    size_t mark = ipc_open(&l->out, SIGNING_CERT);
    cs_buf_add_byte(&l->out, (uint8_t)kind);
    cs_buf_add_vec32(&l->out, tbs);
    ipc_close(&l->out, mark);
}

void signer_link_ask_crl(signer_link *l, cs_view tbs) {
    size_t mark = ipc_open(&l->out, SIGNING_CRL);
    cs_buf_add_vec32(&l->out, tbs);
    ipc_close(&l->out, mark);
}

cs_status signer_link_send(signer_link *l, cs_err *err) {
    cs_status status = ipc_flush(l->fd, &l->out, SIGNER_WAIT_MS, CS_R_SIGNER_UNREACHABLE, err);
    if (status != CS_OK) signer_link_close(l);
    return status;
}

cs_status signer_link_next(signer_link *l, cs_view *ret_der, cs_err *err) {
    ipc_frame f;
    if (l->fd < 0) return cs_fail(err, CS_FAILED, CS_R_SIGNER_UNREACHABLE, "the connection has ended");
    if (l->answered) consume_frame(l); /* the answer before */
    l->answered = false;
    TRY(next_frame(l, SIGNER_WAIT_MS, &f, err));
    l->answered = true;
    cs_rd r = cs_rd_of(f.payload);
    if (f.type == SIGNING_SIGNED) {
        *ret_der = cs_rd_vec32(&r);
        if (cs_rd_ended(&r)) return CS_OK;
    } else if (f.type == SIGNING_REFUSED) {
        char name[64] = {0};
        cs_view reason = cs_rd_vec16(&r), detail = cs_rd_vec16(&r);
        memcpy(name, reason.p, reason.n < sizeof name ? reason.n : sizeof name - 1);
        cs_reason known = cs_reason_by_name(name);
        if (cs_rd_ended(&r))
            return cs_fail(err, CS_REFUSED, known != CS_R_NONE ? known : CS_R_SIGNER_REFUSED, "%.*s", (int)detail.n,
                           (const char *)detail.p);
    }
    signer_link_close(l);
    return cs_fail(err, CS_FAILED, CS_R_WALL_VIOLATED, "the signer's answer is malformed");
}
