/* What is in records: data, alerts, KeyUpdate; and how each of them may go wrong. */
#include "tls/record.h"
#include "tls/tls_priv.h"

enum {
    KEY_UPDATE = 24,
    CLOSE_NOTIFY = 0,
    UNEXPECTED_MESSAGE = 10,
    BAD_RECORD_MAC = 20,
    RECORD_OVERFLOW = 22,
    ILLEGAL_PARAMETER = 47,
    DECODE_ERROR = 50,
    PROTOCOL_VERSION = 70,
    USER_CANCELED = 90,
    WARNING = 1,
    FATAL = 2,
};

/* Under the keys there are. */
static void tell(tls_records *r, uint8_t level, uint8_t alert, cs_buf *out) {
    const uint8_t content[] = {level, alert};
    cs_err err;
    if (tls_record_seal(r, TLS_ALERT, cs_view_of(content, sizeof content), 0, out, &err) != CS_OK) out->failed = true;
}

/* Whatever becomes of the alert, nothing more goes out. */
void tls_records_alert(tls_records *r, uint8_t alert, cs_buf *out) {
    if (!r->failed && !r->closed) tell(r, FATAL, alert, out);
    r->failed = true;
}

static cs_status refuse(tls_records *r, uint8_t alert, cs_buf *out, cs_err *err, const char *why) {
    tls_records_alert(r, alert, out);
    return cs_fail(err, CS_REFUSED, CS_R_TLS_RECORD_INVALID, "%s; alert %u", why, alert);
}

void tls_records_close(tls_records *r, cs_buf *out) {
    if (r->failed || r->closed) return;
    tell(r, WARNING, CLOSE_NOTIFY, out);
    r->closed = true;
}

cs_status tls_records_update(tls_records *r, bool ask, cs_buf *out, cs_err *err) {
    const uint8_t message[] = {KEY_UPDATE, 0, 0, 1, ask};
    if (r->failed || r->closed) return CS_OK;
    TRY(tls_record_seal(r, TLS_HANDSHAKE, cs_view_of(message, sizeof message), 0, out, err));
    return tls_half_next(&r->out, r, err);
}

/* 5.5. A key that we must not go on with is ours to update; the peer's, to ask for. */
static cs_status keep_fresh(tls_records *r, cs_buf *out, cs_err *err) {
    bool ask = r->in.seq >= TLS_RECORDS_A_KEY && !r->asked;
    if (r->out.seq < TLS_RECORDS_A_KEY && !ask) return CS_OK;
    r->asked = r->asked || ask;
    return tls_records_update(r, ask, out, err);
}

cs_status tls_records_seal(tls_records *r, cs_view data, cs_buf *out, cs_err *err) {
    if (r->failed || r->closed) return cs_fail(err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s", "the connection has ended");
    size_t count = (data.n + TLS_RECORD_PLAIN_MAX - 1) / TLS_RECORD_PLAIN_MAX;
    if (count > 1 && cs_buf_reserve(out, data.n + count * (TLS_RECORD_HEADER + 1 + TLS_TAG)) == NULL)
        return cs_buf_ok(out, "a connection's output", err);
    while (data.n > 0) {
        size_t n = data.n < TLS_RECORD_PLAIN_MAX ? data.n : TLS_RECORD_PLAIN_MAX;
        TRY(keep_fresh(r, out, err));
        TRY(tls_record_seal(r, TLS_DATA, cs_view_of(data.p, n), 0, out, err));
        data.p += n;
        data.n -= n;
    }
    return CS_OK;
}

/* 6. In TLS 1.3 the level says nothing: all but two end the connection. */
static cs_status on_alert(tls_records *r, cs_view v, cs_buf *out, cs_err *err) {
    if (v.n != 2) return refuse(r, UNEXPECTED_MESSAGE, out, err, "an alert that is none");
    uint8_t level = v.p[0], alert = v.p[1];
    if ((level == WARNING || alert == USER_CANCELED) && ++r->warnings > TLS_WARNINGS_MAX)
        return refuse(r, UNEXPECTED_MESSAGE, out, err, "warnings in a row");
    if (alert == USER_CANCELED) return CS_OK; /* close_notify follows */
    if (alert == CLOSE_NOTIFY) {
        r->ended = true;
        return CS_OK;
    }
    r->failed = true;
    return tls_alert_received(alert, err);
}

static cs_status on_key_update(tls_records *r, uint8_t request, cs_buf *out, cs_err *err) {
    if (++r->key_updates > TLS_KEY_UPDATES_MAX)
        return refuse(r, UNEXPECTED_MESSAGE, out, err, "KeyUpdates and no data");
    r->asked = false;
    TRY(tls_half_next(&r->in, r, err));
    return request == 1 ? tls_records_update(r, false, out, err) : CS_OK;
}

/* 4.6: of what may come after the handshake, a client has nothing to say but KeyUpdate. It ends with its record, since
 * what follows is under other keys (5.1). */
static cs_status on_handshake(tls_records *r, cs_view v, cs_buf *out, cs_err *err) {
    while (v.n > 0 && r->message_n < 4) {
        r->message[r->message_n++] = *v.p++;
        v.n--;
    }
    if (r->message_n < 4) return CS_OK;
    size_t n = (size_t)r->message[1] << 16 | (size_t)r->message[2] << 8 | r->message[3];
    if (r->message[0] != KEY_UPDATE)
        return refuse(r, UNEXPECTED_MESSAGE, out, err, "a handshake message after the handshake");
    if (n > 1) return refuse(r, ILLEGAL_PARAMETER, out, err, "a KeyUpdate that is too long");
    if (n == 1 && v.n == 0) return CS_OK;
    if (v.n > n) return refuse(r, UNEXPECTED_MESSAGE, out, err, "something after a KeyUpdate in its record");
    if (n == 0) return refuse(r, DECODE_ERROR, out, err, "an empty KeyUpdate");
    if (v.p[0] > 1) return refuse(r, ILLEGAL_PARAMETER, out, err, "a KeyUpdate that asks for something unknown");
    r->message_n = 0;
    return on_key_update(r, v.p[0], out, err);
}

/* The length of the content, without type and padding; 0 and *type 0: there is none. Padding is not secret here: how
 * long it takes to find the end tells what a count of the answer's octets tells as well. */
static size_t strip(const uint8_t *p, size_t n, uint8_t *type) {
    while (n > 0 && p[n - 1] == 0) n--;
    *type = n > 0 ? p[n - 1] : 0;
    return n > 0 ? n - 1 : 0;
}

static cs_status on_content(tls_records *r, uint8_t type, cs_view v, cs_buf *plain, cs_buf *out, cs_err *err) {
    if (type != TLS_DATA && type != TLS_ALERT && type != TLS_HANDSHAKE)
        return refuse(r, UNEXPECTED_MESSAGE, out, err, "a record of no known type");
    if (type != TLS_DATA && v.n == 0) return refuse(r, UNEXPECTED_MESSAGE, out, err, "a record with nothing in it");
    if (v.n == 0 && ++r->empty > TLS_EMPTY_MAX)
        return refuse(r, UNEXPECTED_MESSAGE, out, err, "empty records in a row");
    if (v.n > 0) r->empty = 0;
    if (r->message_n > 0 && type != TLS_HANDSHAKE)
        return refuse(r, UNEXPECTED_MESSAGE, out, err, "another record within a handshake message");
    if (type != TLS_ALERT && v.n > 0) r->warnings = 0;
    if (type == TLS_ALERT) return on_alert(r, v, out, err);
    if (type == TLS_HANDSHAKE) return on_handshake(r, v, out, err);
    if (v.n > 0) r->key_updates = 0;
    cs_buf_commit(plain, v.n);
    return CS_OK;
}

static cs_status check_header(tls_records *r, const uint8_t *p, size_t *body, cs_buf *out, cs_err *err) {
    *body = (size_t)p[3] << 8 | p[4];
    if (p[1] != 3) return refuse(r, PROTOCOL_VERSION, out, err, "a record of another protocol");
    if (p[0] != TLS_DATA) return refuse(r, UNEXPECTED_MESSAGE, out, err, "a record in the clear");
    if (p[2] != 3) return refuse(r, DECODE_ERROR, out, err, "a record of another version");
    if (*body > TLS_RECORD_MAX) return refuse(r, RECORD_OVERFLOW, out, err, "a record that is too long");
    return CS_OK;
}

cs_status tls_records_open(tls_records *r, cs_view in, size_t *ret_used, cs_buf *plain, cs_buf *out, cs_err *err) {
    size_t at = 0, body = 0;
    *ret_used = 0;
    while (!r->ended && in.n - at >= TLS_RECORD_HEADER) {
        const uint8_t *p = in.p + at;
        TRY(check_header(r, p, &body, out, err));
        if (in.n - at - TLS_RECORD_HEADER < body) break;
        if (body <= TLS_TAG) return refuse(r, BAD_RECORD_MAC, out, err, "a record that is too short");
        uint8_t type = 0, *to = cs_buf_reserve(plain, body);
        if (to == NULL) return cs_buf_ok(plain, "a connection's input", err);
        if (!tls_record_open(r, p, body, to))
            return refuse(r, BAD_RECORD_MAC, out, err, "a record that is not the peer's");
        if (body - TLS_TAG > TLS_RECORD_PLAIN_MAX + 1)
            return refuse(r, RECORD_OVERFLOW, out, err, "a record with too much in it");
        size_t n = strip(to, body - TLS_TAG, &type);
        at += TLS_RECORD_HEADER + body;
        *ret_used = at;
        TRY(on_content(r, type, cs_view_of(to, n), plain, out, err));
    }
    if (r->ended) *ret_used = in.n;
    return CS_OK;
}
