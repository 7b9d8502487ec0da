/* A TPM's attestation: read, and judged under its own certificate. Views lie within; nothing crashes. */
#include "proto/acme/attest_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_within(cs_view whole, cs_view part) {
    if (part.n > 0 && (part.p < whole.p || part.p + part.n > whole.p + whole.n)) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static const uint8_t extra[32] = {0};
    cs_err err;
    attest_msg m;
    cs_view in = cs_view_of(p, n);
    if (attest_msg_read(in, &m, &err) != CS_OK) return 0;
    if (m.x5c_n > ATTEST_CHAIN_MAX) __builtin_trap();
    for (size_t i = 0; i < m.x5c_n; i++) check_within(in, m.x5c[i]);
    check_within(in, m.signature);
    check_within(in, m.cert_info);
    check_within(in, m.public_area);
    CS_AUTO(cs_cert) ak = NULL;
    if (cs_cert_decode(m.x5c[0], &ak, &err) != CS_OK) return 0;
    CS_SCOPED(cs_buf) spki = cs_buf_of(ATTEST_SPKI_MAX);
    (void)attest_msg_judge(&m, ak, extra, &spki, &err);
    return 0;
}
