/* A file of certificates or CRLs, PEM or DER. */
#include "verify/verify.h"
#include "x509/cert_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cs_err err;
    cs_certs bag = {0};
    cs_crls *crls = NULL;
    (void)!cs_certs_read_noting(cs_view_of(data, size), "fuzz", &bag, &err);
    cs_certs_free(&bag);
    (void)!cs_certs_read(cs_view_of(data, size), "fuzz", &bag, &err);
    cs_certs_free(&bag);
    if (cs_crls_new(&crls, &err) == CS_OK) (void)!cs_crls_read(crls, cs_view_of(data, size), "fuzz", &err);
    cs_crls_free(crls);
    return 0;
}
