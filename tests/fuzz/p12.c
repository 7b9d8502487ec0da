/* A PKCS#12 file from outside, opened with the password of the seeds. The linker lets every MAC pass (--wrap) and keeps
 * rounds few: what a file may cost is the reader's own limit, and too slow for a fuzzer. */
#include <openssl/pkcs12.h>

#include "x509/p12.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int __wrap_PKCS12_verify_mac(PKCS12 *p12, const char *password, int n);
int __wrap_PKCS12_verify_mac(PKCS12 *p12, const char *password, int n) {
    return PKCS12_mac_present(p12) && password && n > 0;
}

int __wrap_ASN1_INTEGER_get_int64(int64_t *ret, const ASN1_INTEGER *a);
int __real_ASN1_INTEGER_get_int64(int64_t *ret, const ASN1_INTEGER *a);
int __wrap_ASN1_INTEGER_get_int64(int64_t *ret, const ASN1_INTEGER *a) {
    int ok = __real_ASN1_INTEGER_get_int64(ret, a);
    if (ok == 1 && *ret > 16) *ret = INT64_MAX; /* over the limit */
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t word[] = "seed";
    cs_secret password = {.p = word, .n = 4, .cap = 5};
    cs_err err;
    cs_certs bag = {0};
    (void)cs_looks_p12(cs_view_of(data, size));
    (void)!cs_p12_certs_read(cs_view_of(data, size), &password, "fuzz", &bag, &err);
    cs_certs_free(&bag);
    return 0;
}
