/* A CRL from outside: decoded, walked, every entry found again. */
#include <stdlib.h>

#include "x509/crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cs_err err;
    cs_crl *c = NULL;
    if (cs_crl_decode(cs_view_of(data, size), &c, &err) != CS_OK) return 0;
    size_t pos = 0, n = 0;
    cs_view serial;
    cs_crl_entry e, found;
    while (cs_crl_next(c, &pos, &serial, &e)) {
        n++;
        if (!c->idp.indirect && !cs_crl_find(c, c->issuer, serial, &found)) abort();
    }
    if (n != c->count) abort();
    cs_crl_free(c);
    return 0;
}
