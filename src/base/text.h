/* base/text.h - bytes as text: hex, base64, and outside text made safe for a line of log. */
#ifndef CS_BASE_TEXT_H
#define CS_BASE_TEXT_H

#include "base/buf.h"

/* Lower-case, no separators. */
bool cs_hex_add(cs_buf *b, cs_view bytes);
/* Into out[2*n+1], NUL-terminated; returns out. */
char *cs_hex(cs_view bytes, char *out);
/* Upper or lower case; ':' between bytes is skipped. False at anything else, an odd digit, or more than cap bytes. */
bool cs_hex_decode(cs_view text, uint8_t *out, size_t cap, size_t *ret_n);

/* RFC 4648 with padding, one line. */
bool cs_base64_add(cs_buf *b, cs_view bytes);
/* Appends the decoded bytes. White space anywhere is skipped; padding may be missing only if `loose`. */
bool cs_base64_decode(cs_view text, bool loose, cs_buf *b);
/* The same, strictly, to `to`, which may be where the text itself stands or before it. */
bool cs_base64_decode_over(cs_view text, uint8_t *to, size_t *ret_n);

/* base64url without padding (RFC 7515 2), one line; decoding takes nothing else, and no other spelling of the same. */
bool cs_base64url_add(cs_buf *b, cs_view bytes);
bool cs_base64url_decode(cs_view text, cs_buf *b);

/* Valid UTF-8 stays, except controls, '"' and '\\', which become \xNN, \" and \\; bytes that are not UTF-8 become
 * \xNN. At most max bytes are written; a cut is marked by "...". */
bool cs_text_escape(cs_buf *b, cs_view text, size_t max);
/* Is it UTF-8 (no surrogates, no overlong forms) all through? */
bool cs_utf8_valid(cs_view text);

/* Does the whole text fit a pattern in which '*' stands for any run of octets, also none? any_case: of ASCII. */
bool cs_text_fits(const char *pattern, cs_view text, bool any_case);

/* How many letters must be changed, added or left out to make b of a (Levenshtein), for "did you mean"; words longer
 * than 64 bytes are as far as their longer length. */
size_t cs_text_distance(cs_view a, cs_view b);

#endif
