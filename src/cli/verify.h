/* cli/verify.h - how a verdict reads.
 * Everything is borrowed; trust: the anchors that were given, to mark them in the chain. */
#ifndef CS_CLI_VERIFY_H
#define CS_CLI_VERIFY_H

#include "verify/verify.h"

void verify_add_json(cs_buf *b, const cs_verdict *v, const cs_certs *trust);
void verify_add_text(cs_buf *b, const cs_verdict *v, const cs_certs *trust);

#endif
