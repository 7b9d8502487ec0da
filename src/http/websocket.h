/* http/websocket.h - the two lines by which a WebSocket server shows that it read the request as one (RFC 6455 1.3).
 * Where both sides speak HTTP/1.1 they pass unread; where one speaks HTTP/2, which has none (RFC 8441 5), the gateway
 * asks or answers itself. Nothing is owned; any thread. */
#ifndef CS_HTTP_WEBSOCKET_H
#define CS_HTTP_WEBSOCKET_H

#include "base/buf.h"
#include "base/rng.h"
#include "base/view.h"

enum { HTTP_WEBSOCKET_ACCEPT = 28 }; /* characters */

/* "Sec-WebSocket-Key: " and a fresh key, with CRLF. */
CS_MUST_USE cs_status http_websocket_key_add(const cs_rng *rng, cs_buf *out, cs_err *err);
/* What answers that key. False: it is no key (RFC 6455 4.1: 16 octets in base64). */
bool http_websocket_accept(cs_view key, char out[HTTP_WEBSOCKET_ACCEPT + 1]);

#endif
