#include "ipc/challenge.h"
#include "ipc/feed.h"
#include "ipc/signing.h"

const ipc_rule feed_from_gateway[] = {{FEED_HELLO, 8}, {0, 0}};
const ipc_rule feed_from_authority[] = {
    {FEED_RESET, 0}, {FEED_REVOKED, 96}, {FEED_SYNCED, 8}, {FEED_TICKET_KEYS, 16 * 80}, {0, 0}};
const ipc_rule signing_from_authority[] = {{SIGNING_HELLO, 0},
                                           {SIGNING_CERT, CS_CERT_MAX + SIGNING_ISSUER_LEN + 5 + SIGNING_PROFILE_MAX},
                                           {SIGNING_CRL, CS_CERT_MAX + SIGNING_ISSUER_LEN},
                                           {SIGNING_CRL_PART, SIGNING_PART_MAX},
                                           {SIGNING_CRL_END, CS_CERT_MAX},
                                           {SIGNING_LOG_KEY, 0},
                                           {SIGNING_HEAD, 8 + 32 * 128},
                                           {SIGNING_RESPONDER, CS_PEER_CERT_MAX},
                                           {SIGNING_RA, CS_PEER_CERT_MAX},
                                           {0, 0}};
const ipc_rule signing_from_signer[] = {{SIGNING_ISSUER, CS_CAS_MAX *(CS_CERT_MAX + 12)},
                                        {SIGNING_SIGNED, 4 + 2 * CS_CERT_MAX},
                                        {SIGNING_REFUSED, 1024},
                                        {0, 0}};

const ipc_rule challenge_from_authority[] = {{CHALLENGE_ASK, 5 + CHALLENGE_HOST_MAX + CHALLENGE_TOKEN_MAX}, {0, 0}};
const ipc_rule challenge_from_fetcher[] = {{CHALLENGE_GOT, CHALLENGE_VALUES_MAX}, {CHALLENGE_FAILED, 1024}, {0, 0}};

bool feed_put(cs_buf *out, const feed_entry *e) {
    size_t mark = ipc_open(out, FEED_REVOKED);
    cs_buf_add_u64(out, e->sequence);
    cs_buf_add(out, e->issuer, sizeof e->issuer);
    cs_buf_add_vec16(out, e->serial);
    cs_buf_add_u64(out, (uint64_t)e->at);
    cs_buf_add_byte(out, (uint8_t)e->reason);
    ipc_close(out, mark);
    return !out->failed;
}

cs_status feed_read(cs_view payload, feed_entry *ret, cs_err *err) {
    cs_rd r = cs_rd_of(payload);
    ret->sequence = cs_rd_u64(&r);
    cs_view issuer = cs_rd_bytes(&r, sizeof ret->issuer);
    ret->serial = cs_rd_vec16(&r);
    ret->at = (cs_time)cs_rd_u64(&r);
    ret->reason = cs_rd_u8(&r);
    if (!cs_rd_ended(&r) || ret->serial.n == 0 || ret->serial.n > CS_SERIAL_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "revocation feed: entry of %zu bytes", payload.n);
    memcpy(ret->issuer, issuer.p, sizeof ret->issuer);
    return CS_OK;
}
