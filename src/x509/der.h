/* x509/der.h - a strict, bounded reader of DER (X.690 10-11): no allocation, only views into the input.
 * Owner: the caller's frame. The first rule broken makes the shared fault stick: every later read gives nothing, so
 * that a function reads like the ASN.1 module and is checked once. Other rooms on this floor may use it. */
#ifndef CS_X509_DER_H
#define CS_X509_DER_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/view.h"

enum {
    CS_DER_BOOLEAN = 0x01,
    CS_DER_INTEGER = 0x02,
    CS_DER_BIT_STRING = 0x03,
    CS_DER_OCTET_STRING = 0x04,
    CS_DER_NULL = 0x05,
    CS_DER_OID = 0x06,
    CS_DER_ENUMERATED = 0x0a,
    CS_DER_UTF8_STRING = 0x0c,
    CS_DER_NUMERIC_STRING = 0x12,
    CS_DER_PRINTABLE_STRING = 0x13,
    CS_DER_T61_STRING = 0x14,
    CS_DER_IA5_STRING = 0x16,
    CS_DER_UTC_TIME = 0x17,
    CS_DER_GENERALIZED_TIME = 0x18,
    CS_DER_VISIBLE_STRING = 0x1a,
    CS_DER_UNIVERSAL_STRING = 0x1c,
    CS_DER_BMP_STRING = 0x1e,
    CS_DER_SEQUENCE = 0x30,
    CS_DER_SET = 0x31,
};
#define CS_DER_CTX(n) ((uint8_t)(0x80 | (n)))      /* [n] IMPLICIT of a primitive type */
#define CS_DER_CTX_CONS(n) ((uint8_t)(0xa0 | (n))) /* [n] EXPLICIT, or IMPLICIT of a constructed type */

enum { CS_DER_OID_MAX = 64 }; /* octets; the longest in use has 20 */

typedef struct cs_der_fault {
    const char *rule;  /* NULL: none yet; else what is wrong, static text */
    const char *field; /* where, static text; set by whoever reads, before reading */
    const char *in;    /* the field at that moment; field itself goes on with the reader */
    const uint8_t *at; /* the octet where it was noticed */
} cs_der_fault;

typedef struct cs_der {
    const uint8_t *p;
    size_t left;
    cs_der_fault *fault; /* shared by nested readers */
} cs_der;

static inline cs_der cs_der_of(cs_view v, cs_der_fault *fault) {
    return (cs_der){v.p, v.n, fault};
}
static inline bool cs_der_ok(const cs_der *d) {
    return d->fault->rule == NULL;
}
/* Something is left to read and nothing went wrong: the condition of loops. */
static inline bool cs_der_more(const cs_der *d) {
    return d->left > 0 && d->fault->rule == NULL;
}
/* Make the fault stick (the first one stays). Returns false. */
bool cs_der_bad(cs_der *d, const char *rule);

/* The next tag, or -1 at the end. Does not advance. */
int cs_der_peek(const cs_der *d);
/* One element of that tag: its contents. */
cs_view cs_der_get(cs_der *d, uint8_t tag);
/* The same, whole: header and contents. */
cs_view cs_der_get_whole(cs_der *d, uint8_t tag);
/* One element of any tag (low form only). */
cs_view cs_der_any(cs_der *d, uint8_t *ret_tag, cs_view *ret_whole);
/* True, and read, when the next element has that tag. */
bool cs_der_opt(cs_der *d, uint8_t tag, cs_view *ret);
/* A reader of the contents of one element of that tag. */
cs_der cs_der_in(cs_der *d, uint8_t tag);
bool cs_der_in_opt(cs_der *d, uint8_t tag, cs_der *ret);
/* Nothing may be left. */
void cs_der_end(cs_der *d);

bool cs_der_bool(cs_der *d);
/* INTEGER contents, minimal. */
cs_view cs_der_integer(cs_der *d);
/* INTEGER of 0..max. */
uint64_t cs_der_uint(cs_der *d, uint64_t max);
/* Contents of an implicitly tagged INTEGER checked the same way. */
uint64_t cs_der_uint_of(cs_der *d, cs_view contents, uint64_t max);
/* OID contents: minimal subidentifiers, at most CS_DER_OID_MAX octets. */
cs_view cs_der_oid(cs_der *d);
/* BIT STRING: the octets, and how many bits at the end are unused (and zero). */
cs_view cs_der_bits(cs_der *d, unsigned *ret_unused);
cs_view cs_der_bits_of(cs_der *d, cs_view contents, unsigned *ret_unused);
/* A named-bit list as a mask, bit 0 of ASN.1 = 1 << 0; more than 16 bits is a fault. */
unsigned cs_der_named_bits_of(cs_der *d, cs_view contents);
/* UTCTime or GeneralizedTime in the one form that RFC 5280 4.1.2.5 allows. *ret_tag may be NULL. */
cs_time cs_der_time(cs_der *d, uint8_t *ret_tag);

/* OID contents as "1.2.840...", NUL-terminated, cut with "..." when it does not fit. */
enum { CS_OID_TEXT_MAX = 96 };
const char *cs_oid_text(cs_view oid, char out[CS_OID_TEXT_MAX]);
/* "1.3.6.1..." into the contents of an OID, appended; false when it is none (arcs of 64 bits at most). */
bool cs_oid_parse(cs_view text, cs_buf *b);
/* The contents of an OID literal: cs_view_eq(oid, CS_OID_LIT("\x55\x1d\x0f")). */
#define CS_OID_LIT(lit) CS_VIEW_LIT(lit)

#endif
