/* Nonces. A nonce is {time, node, counter} and a MAC over them, so that nothing is kept of those that were handed out;
 * of those that were used, one node alone keeps a bit each in a window behind the newest, several nodes keep rows. */
#include <string.h>

#include "base/text.h"
#include "proto/acme/acme_priv.h"

enum { BODY_LEN = 8 + 4 + 8, MAC_LEN = 16 };
_Static_assert((BODY_LEN + MAC_LEN) * 4 == NONCE_TEXT * 3, "base64 of whole threes");

typedef struct nonce {
    cs_time at;
    uint32_t node;
    uint64_t counter;
} nonce;

static cs_status put_mac(const acme *m, cs_view body, uint8_t out[CS_SHA256_LEN], cs_err *err) {
    return cs_hmac_sha256(cs_view_of(m->nonce_key, sizeof m->nonce_key), body, out, err);
}

cs_status nonce_make(acme *m, char out[NONCE_TEXT + 1], cs_err *err) {
    uint8_t mac[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) b = cs_buf_of(64), text = cs_buf_of(NONCE_TEXT);
    (void)pthread_mutex_lock(&m->lock);
    uint64_t counter = m->nonce_next++;
    m->used[counter / 64 % (NONCE_WINDOW / 64)] &= ~(UINT64_C(1) << counter % 64); /* whoever had the bit is too old */
    (void)pthread_mutex_unlock(&m->lock);
    (void)cs_buf_add_u64(&b, (uint64_t)cs_now(m->clock));
    (void)cs_buf_add_u32(&b, m->node);
    (void)cs_buf_add_u64(&b, counter);
    TRY(put_mac(m, cs_buf_view(&b), mac, err));
    (void)cs_buf_add(&b, mac, MAC_LEN);
    (void)cs_base64url_add(&text, cs_buf_view(&b));
    TRY(cs_buf_ok(&text, "a nonce", err));
    memcpy(out, text.p, NONCE_TEXT);
    out[NONCE_TEXT] = '\0';
    return CS_OK;
}

static cs_status read_nonce(const acme *m, const char *text, nonce *ret, cs_err *err) {
    uint8_t mac[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) b = cs_buf_of(BODY_LEN + MAC_LEN);
    if (strlen(text) != NONCE_TEXT || !cs_base64url_decode(cs_view_str(text), &b) || b.n != BODY_LEN + MAC_LEN)
        return cs_fail(err, CS_REFUSED, CS_R_NONCE_INVALID, "it has not the form of one");
    TRY(put_mac(m, cs_view_of(b.p, BODY_LEN), mac, err));
    if (!cs_view_eq_consttime(cs_view_of(mac, MAC_LEN), cs_view_of(b.p + BODY_LEN, MAC_LEN)))
        return cs_fail(err, CS_REFUSED, CS_R_NONCE_INVALID, "it was not made here");
    cs_rd r = cs_rd_of(cs_buf_view(&b));
    ret->at = (cs_time)cs_rd_u64(&r);
    ret->node = cs_rd_u32(&r);
    ret->counter = cs_rd_u64(&r);
    cs_time age = cs_now(m->clock) - ret->at;
    if (age > ACME_NONCE_LIFE || age < -ACME_NONCE_LIFE)
        return cs_fail(err, CS_REFUSED, CS_R_NONCE_INVALID, "it is too old");
    return CS_OK;
}

cs_status nonce_check(acme *m, const char *text, cs_err *err) {
    nonce n;
    TRY(read_nonce(m, text, &n, err));
    if (!m->shared && n.node != m->node)
        return cs_fail(err, CS_REFUSED, CS_R_NONCE_INVALID, "it is of before the authority's last start");
    return CS_OK;
}

/* The one node's window. Under the lock. */
static bool take_bit(acme *m, uint64_t counter) {
    if (counter >= m->nonce_next || m->nonce_next - counter > NONCE_WINDOW) return false;
    uint64_t *word = &m->used[counter / 64 % (NONCE_WINDOW / 64)], bit = UINT64_C(1) << counter % 64;
    bool fresh = (*word & bit) == 0;
    *word |= bit;
    return fresh;
}

typedef struct using {
    const char *text;
    bool fresh;
}
using;

static cs_status run_use(authority *a, store *st, void *cls, cs_err *err) {
    using *u = cls;
    cs_time now = authority_now(a);
    return store_nonce_use(st, u->text, now, now - 2 * ACME_NONCE_LIFE, &u->fresh, err);
}

cs_status nonce_use(acme *m, const char *text, cs_err *err) {
    nonce n;
    using u = {.text = text};
    TRY(read_nonce(m, text, &n, err));
    if (m->shared) {
        TRY(authority_change(m->a, run_use, &u, err));
    } else {
        (void)pthread_mutex_lock(&m->lock);
        u.fresh = n.node == m->node && take_bit(m, n.counter);
        (void)pthread_mutex_unlock(&m->lock);
    }
    return u.fresh ? CS_OK : cs_fail(err, CS_REFUSED, CS_R_NONCE_INVALID, "it was used before");
}
