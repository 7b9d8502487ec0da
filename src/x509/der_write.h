/* x509/der_write.h - writes DER into a cs_buf, front to back.
 * Nothing is owned; the buffer is the caller's. A failed append sticks to the buffer: check once with cs_buf_ok. */
#ifndef CS_X509_DER_WRITE_H
#define CS_X509_DER_WRITE_H

#include "base/buf.h"
#include "base/clock.h"
#include "x509/der.h"

/* Begin a constructed element (or a wrapping one: OCTET STRING); its contents follow; cs_der_close with the value
 * returned. The length is put in at the close, which moves the contents by up to 4 octets when they exceed 127. */
typedef size_t cs_der_mark;
cs_der_mark cs_der_open(cs_buf *b, uint8_t tag);
void cs_der_close(cs_buf *b, cs_der_mark mark);
/* A BIT STRING that wraps: cs_der_open and the octet of unused bits. */
cs_der_mark cs_der_open_bits(cs_buf *b);

/* Only the header of an element whose n octets of contents the caller appends. */
void cs_der_put_head(cs_buf *b, uint8_t tag, size_t n);
void cs_der_put(cs_buf *b, uint8_t tag, cs_view contents);
void cs_der_put_str(cs_buf *b, uint8_t tag, const char *text);
void cs_der_put_oid(cs_buf *b, cs_view contents);
void cs_der_put_bool(cs_buf *b, bool v);
void cs_der_put_uint(cs_buf *b, uint8_t tag, uint64_t v); /* INTEGER or ENUMERATED, minimal */
/* A non-negative INTEGER from big-endian octets: leading zeros are dropped or put as DER wants. */
void cs_der_put_magnitude(cs_buf *b, cs_view big_endian);
void cs_der_put_bits(cs_buf *b, cs_view octets); /* BIT STRING, no unused bits */
/* A named-bit list (bit 0 of ASN.1 = 1 << 0, up to 16), trailing zero bits dropped. */
void cs_der_put_named_bits(cs_buf *b, unsigned mask);
/* UTCTime for 1950-2049, else GeneralizedTime; whole seconds, rounded down.     @rfc 5280#4.1.2.5 */
void cs_der_put_time(cs_buf *b, cs_time t);

#endif
