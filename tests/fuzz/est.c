/* EST's outside bytes: path, Authorization, body. Nothing that is read may crash or leak; what is found lies within. */
#include "proto/est/est_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_within(cs_view whole, cs_view part) {
    if (part.n > 0 && (part.p < whole.p || part.p + part.n > whole.p + whole.n)) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_err err;
    cs_view in = cs_view_of(p, n), user = {NULL, 0}, password = {NULL, 0};
    est_op op;
    char label[EST_LABEL_MAX + 1];
    CS_SCOPED(cs_buf) der = cs_buf_of((size_t)2 * CS_CSR_MAX), basic = cs_buf_secret(4096);
    (void)est_path_read(in, &op, label, &err);
    if (est_basic_read(in, &basic, &user, &password)) {
        check_within(cs_buf_view(&basic), user);
        check_within(cs_buf_view(&basic), password);
    }
    if (n > 0) (void)est_csr_read(in, &der, &err);
    return 0;
}
