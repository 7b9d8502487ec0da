/* CMP's outside bytes, as door and client half read them. Nothing that is read may crash or leak; what is found lies
 * within; what is covered is what would be signed. */
#include "proto/cmp/cmp_msg.h"
#include "x509/csr.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_within(cs_view whole, cs_view part) {
    if (part.n > 0 && (part.p < whole.p || part.p + part.n > whole.p + whole.n)) __builtin_trap();
}

static void read_bodies(const cmp_message *m, cs_view in) {
    cs_err err;
    cmp_request r;
    cmp_confirm c;
    cmp_revocation v;
    cmp_info infos[CMP_INFO_MAX];
    cmp_answer a;
    cmp_status status;
    uint64_t seconds = 0;
    size_t n = 0;
    long id = 0;
    bool any = false;
    if (cmp_request_read(m, &r, &err) == CS_OK) {
        CS_AUTO(cs_csr) csr = NULL;
        check_within(in, r.csr);
        check_within(in, r.old_issuer);
        check_within(in, r.old_serial);
        (void)!cs_csr_read(r.csr, "fuzz", &csr, &err);
    }
    if (cmp_confirm_read(m, &c, &any, &err) == CS_OK && any) check_within(in, c.hash);
    if (cmp_revocation_read(m, &v, &err) == CS_OK) check_within(in, v.serial);
    if (cmp_infos_read(m, infos, &n, &err) == CS_OK)
        for (size_t i = 0; i < n; i++) check_within(in, infos[i].value);
    if (cmp_answer_read(m, &a, &err) == CS_OK) {
        CS_SCOPED(cs_certs) bag = {.n = 0};
        check_within(in, a.cert);
        (void)!cmp_certs_read(a.ca_pubs, &bag, &err);
    }
    (void)!cmp_error_read(m, &status, &err);
    (void)!cmp_wait_read(m, &seconds, &err);
    (void)!cmp_poll_read(m, &id, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_err err;
    cs_view in = cs_view_of(p, n);
    cs_cmp_mac mac;
    CS_SCOPED(cmp_message) m = {.body = CMP_ERROR};
    CS_SCOPED(cs_buf) covered = cs_buf_of(CMP_ANSWER_MAX), alg = cs_buf_of(1024);
    if (n > CMP_ANSWER_MAX / 2 || cmp_read(in, &m, &err) != CS_OK) return 0;
    check_within(in, m.content);
    check_within(in, m.covered);
    check_within(in, m.protection);
    check_within(in, m.h.profile);
    if (cmp_covered(&m, &covered, &err) != CS_OK) __builtin_trap();
    if (m.protection.n > 0 && cs_cmp_mac_read(m.h.protection_alg, &mac, &err) == CS_OK) {
        cs_cmp_mac again;
        (void)cs_cmp_mac_put(&alg, &mac);
        if (cs_cmp_mac_read(cs_buf_view(&alg), &again, &err) != CS_OK || again.iterations != mac.iterations)
            __builtin_trap();
    }
    read_bodies(&m, in);
    return 0;
}
