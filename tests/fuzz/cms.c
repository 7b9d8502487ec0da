/* A PKCS#7 bag from outside: every certificate of it, and which of them is the leaf. */
#include "x509/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cs_err err;
    cs_certs bag = {0};
    (void)cs_looks_cms(cs_view_of(data, size));
    if (cs_cms_certs_read(cs_view_of(data, size), "fuzz", &bag, &err) == CS_OK)
        (void)!cs_certs_leaf_first(&bag, "fuzz", &err);
    cs_certs_free(&bag);
    return 0;
}
