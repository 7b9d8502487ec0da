/* keys/checker.h - one public key that checks very many signatures: a CA's, in the process that has certificates made
 * by it. Owner: whoever made it (cs_checker_free); one thread at a time. A P-256 key's multiples are put in a table
 * (150 KB, 20 ms) once it has checked some hundred; from then on a check costs half. Every other key is libcrypto's
 * alone. */
#ifndef CS_KEYS_CHECKER_H
#define CS_KEYS_CHECKER_H

#include "keys/keys.h"

typedef struct cs_checker cs_checker;
void cs_checker_free(cs_checker *c);
CS_AUTO_DEFINE(cs_checker)

/* As cs_key_verify, whose reasons these have. */
CS_MUST_USE cs_status cs_checker_new(cs_view spki, cs_checker **ret, cs_err *err);
CS_MUST_USE cs_status cs_checker_verify(cs_checker *c, cs_view tbs, cs_view signature, cs_err *err);
/* Does it go by its table now? */
bool cs_checker_has_table(const cs_checker *c);

enum { CS_CHECKER_TABLE_AFTER = 256 }; /* checks; fewer would not earn the table's making */

#endif
