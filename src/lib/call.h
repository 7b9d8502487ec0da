/* lib/call.h - the library's own way of asking a server, behind fetch/call.h. Owner: whoever made it; one thread. */
#ifndef CS_LIB_CALL_H
#define CS_LIB_CALL_H

#include "fetch/call.h"
#include "lib/lib_priv.h"

/* Takes references. timeout: milliseconds for each question; 0: none. *ret is the caller's (call_free). */
CS_MUST_USE cs_status lib_call_new(cs_trust *trust, cs_credential *who, unsigned timeout, call **ret, cs_err *err);

#endif
