/* authority/tags.h - words by which people find an identity: its site, its owner, what is to be done with it. They are
 * the identity's, not a certificate's: a renewal keeps them. They decide nothing. Any thread. */
#ifndef CS_AUTHORITY_TAGS_H
#define CS_AUTHORITY_TAGS_H

#include "authority/authority.h"

/* Adds and takes away, all or nothing; *out: those that it has then, with blanks between. certificate-unknown when the
 * identity never had a certificate; tag-invalid; limit-reached. */
CS_MUST_USE cs_status tags_change(authority *a, cs_kind kind, cs_view name, const cs_view add[], size_t add_n,
                                  const cs_view take[], size_t take_n, const authority_who *by, cs_buf *out,
                                  cs_err *err);
/* May it be one? 1 to 64 of letters, digits and . _ : = / + @ - */
CS_MUST_USE cs_status tag_check(cs_view tag, cs_err *err);

#endif
