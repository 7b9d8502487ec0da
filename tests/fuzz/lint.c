/* countersign lint: any file; and an OID's text. */
#include "x509/lint.h"
#include "x509/der.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void seen(void *cls, const cs_lint_report *r) {
    if (r->n > CS_LINT_FINDINGS_MAX || r->errors + r->warnings > r->n) abort();
    for (size_t i = 0; i < r->n; i++)
        if (!r->at[i].rule || !r->at[i].field || !r->at[i].detail) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_err err;
    CS_SCOPED(cs_buf) oid = cs_buf_of(1024);
    (void)cs_oid_parse(cs_view_of(p, n), &oid);
    (void)cs_lint_text(cs_view_of(p, n), "fuzz", seen, NULL, &err);
    return 0;
}
