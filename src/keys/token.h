/* keys/token.h - a private key that stays in a PKCS#11 token and is named by a URI (RFC 7512).
 * Owner: the cs_key made of it. One call at a time (a lock inside). The module is loaded into this process and opens
 * what it needs by itself: files, sockets to a daemon or over the network. */
#ifndef CS_KEYS_TOKEN_H
#define CS_KEYS_TOKEN_H

#include "keys/keys.h"

/* Is it such a URI? */
bool cs_token_uri(cs_view text);
/* pkcs11:token=...;object=...?module-path=/usr/lib/...so; id, serial, manufacturer, slot-id as RFC 7512 has them. PINs
 * in the URI are refused: it is no secret. pin NULL: none is given. The key must be there with its public half, be one
 * (of several: say id), and sign what the public half verifies.
 * uri-invalid; key-unavailable (module, token, login, key not found); key-unsupported, key-too-weak; key-malformed. */
CS_MUST_USE cs_status cs_key_open_token(const char *uri, const cs_secret *pin, cs_key **ret, cs_err *err);
/* The URI's pin-source, "" when there is none. */
CS_MUST_USE cs_status cs_token_pin_source(const char *uri, char *out, size_t size, cs_err *err);

#endif
