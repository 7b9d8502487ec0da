/* verify/marks.h - the newest CRL that was seen of each issuer and scope, so that an older one, which is still signed
 * and may still be current, cannot take its place (a replay).                                            @rfc
 * 5280#5.2.3 Owner: whoever made it; one thread at a time, since verifying raises marks. Only authentic and current
 * CRLs do. */
#ifndef CS_VERIFY_MARKS_H
#define CS_VERIFY_MARKS_H

#include "base/buf.h"

enum { CS_MARKS_MAX = 4096, CS_MARKS_FILE_MAX = 1024 * 1024 };

typedef struct cs_marks cs_marks;
CS_MUST_USE cs_status cs_marks_new(cs_marks **ret, cs_err *err);
/* What cs_marks_write wrote. file-malformed names line. */
CS_MUST_USE cs_status cs_marks_read(cs_marks *m, cs_view text, const char *what, cs_err *err);
bool cs_marks_write(const cs_marks *m, cs_buf *b);
bool cs_marks_raised(const cs_marks *m); /* since it was made or read */
void cs_marks_free(cs_marks *m);
CS_AUTO_DEFINE(cs_marks)

#endif
