/* Private keys as PEM and public keys as SubjectPublicKeyInfo. */
#include "keys/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_err err;
    CS_AUTO(cs_key) key = NULL;
    (void)cs_key_spki_check(cs_view_of(p, n), &err);
    if (cs_key_read_pem(cs_view_of(p, n), NULL, "fuzz", &key, &err) != CS_OK) return 0;
    if (cs_key_spki_check(cs_key_spki(key), &err) != CS_OK) __builtin_trap();
    return 0;
}
