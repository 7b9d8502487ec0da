/* Certificate requests, DER or PEM: nothing that is read may crash, leak, or be accepted unproven. */
#include "x509/csr.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_err err;
    CS_AUTO(cs_csr) csr = NULL;
    if (cs_csr_read(cs_view_of(p, n), "fuzz", &csr, &err) != CS_OK) return 0;
    if (csr->spki.n == 0 || csr->subject.n < 2) __builtin_trap();
    (void)cs_csr_refuse_ca(csr, &err);
    return 0;
}
