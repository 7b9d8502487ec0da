/* keys/stream.h - signing and verifying what is too long to be held: begun, added to piece by piece, ended.
 * Owner: whoever began it (cs_stream_free); one thread at a time. The key must outlive it. Algorithms that hash by
 * themselves (Ed25519) read their message twice, so that a stream of theirs holds it whole, up to CS_CRL_MAX. */
#ifndef CS_KEYS_STREAM_H
#define CS_KEYS_STREAM_H

#include "keys/keys.h"

typedef struct cs_stream cs_stream;
void cs_stream_free(cs_stream *s);
CS_AUTO_DEFINE(cs_stream)

/* As cs_key_sign and cs_key_verify, whose reasons these have. */
CS_MUST_USE cs_status cs_stream_sign_begin(const cs_key *k, cs_stream **ret, cs_err *err);
CS_MUST_USE cs_status cs_stream_verify_begin(cs_view spki, cs_stream **ret, cs_err *err);
CS_MUST_USE cs_status cs_stream_add(cs_stream *s, cs_view piece, cs_err *err);
CS_MUST_USE cs_status cs_stream_sign_end(cs_stream *s, cs_buf *signature, cs_err *err);
CS_MUST_USE cs_status cs_stream_verify_end(cs_stream *s, cs_view signature, cs_err *err);

#endif
