#include "http/websocket.h"

#include <string.h>

#include "base/text.h"
#include "x509/digest.h"

enum { NONCE = 16, KEY_TEXT = 24 };

cs_status http_websocket_key_add(const cs_rng *rng, cs_buf *out, cs_err *err) {
    uint8_t nonce[NONCE];
    TRY(cs_rng_fill(rng, nonce, sizeof nonce, err));
    bool ok = cs_buf_add_str(out, "Sec-WebSocket-Key: ") && cs_base64_add(out, cs_view_of(nonce, sizeof nonce)) &&
              cs_buf_add_str(out, "\r\n");
    return ok ? CS_OK : CS_NOMEM_ERR(err);
}

bool http_websocket_accept(cs_view key, char out[HTTP_WEBSOCKET_ACCEPT + 1]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */
    CS_SCOPED(cs_buf) text = cs_buf_of(64);
    CS_SCOPED(cs_buf) octets = cs_buf_of(32);
    uint8_t digest[CS_SHA1_LEN];
    cs_err err;
    if (key.n != KEY_TEXT || !cs_base64_decode(key, false, &octets) || octets.n != NONCE) return false;
    if (!cs_buf_add_view(&text, key) || !cs_buf_add_str(&text, guid)) return false;
    if (cs_sha1(cs_buf_view(&text), digest, &err) != CS_OK) return false;
    cs_buf_clear(&text);
    if (!cs_base64_add(&text, cs_view_of(digest, sizeof digest)) || text.n != HTTP_WEBSOCKET_ACCEPT) return false;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return true;
}
