/* prog/page_view.h - what the built-in page shows: the identity that the gateway told it, as HTML or JSON. */
#ifndef CS_PROG_PAGE_VIEW_H
#define CS_PROG_PAGE_VIEW_H

#include "base/buf.h"

enum { PAGE_FIELDS_MAX = 64, PAGE_BODY_MAX = 512 * 1024 };

typedef struct page_field {
    const char *name, *value;
} page_field;

/* The request's fields that tell who asks; strings are borrowed. */
typedef struct page_told {
    const char *method, *path;
    const char *identity, *kind, *serial, *fingerprint; /* NULL: not told */
    page_field fields[PAGE_FIELDS_MAX];
    size_t n;
} page_told;

/* Takes a field if it is one that the gateway sets; others are none of this page's business. */
void page_tell(page_told *t, const char *name, const char *value);

void page_html(const page_told *t, cs_buf *b);
void page_json(const page_told *t, cs_buf *b);

/* The Content-Security-Policy that fits page_html: nothing but its own style. */
const char *page_policy(void);

#endif
