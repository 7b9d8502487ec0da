/* A configuration of nginx, Apache, HAProxy or mosquitto, without includes. */
#include "doctor/sites.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static sites s;
    cs_err err;
    if (size > 64 * 1024) return 0;
    if (sites_read_text(cs_view_of(data, size), "fuzz", &s, &err) == CS_OK && s.n > SITES_MAX) __builtin_trap();
    return 0;
}
