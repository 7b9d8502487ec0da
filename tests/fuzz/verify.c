/* A whole question: certificates one after another (the first is the leaf, the second the anchor), CRLs, OCSP
 * responses. The linker puts the function below in the place of cs_sig_ok (--wrap): a fuzzer cannot sign what it makes,
 * and most of the engine lies behind a good signature. */
#include <stdlib.h>

#include "verify/verify.h"
#include "x509/cert_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

bool __wrap_cs_sig_ok(const cs_cert *signer, const cs_sigalg *alg, cs_view tbs, cs_view sig);

bool __wrap_cs_sig_ok(const cs_cert *signer, const cs_sigalg *alg, cs_view tbs, cs_view sig) {
    (void)cs_cert_key(signer);
    return alg->scheme != CS_SIG_UNKNOWN && tbs.n > 0 && (sig.n == 0 || sig.p[0] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cs_err err;
    cs_certs bag = {0};
    cs_crls *crls = NULL;
    cs_ocsps *ocsps = NULL;
    cs_anchors *anchors = NULL;
    cs_der_fault fault = {0};
    if (size < 2) return 0;
    cs_want want = {.purpose = data[0] % 3, .max_depth = -1, .revocation = data[1] & 3, .explicit_policy = data[1] & 4};
    cs_der d = cs_der_of(cs_view_of(data + 2, size - 2), &fault);
    if (cs_crls_new(&crls, &err) != CS_OK) return 0;
    if (cs_ocsps_new(&ocsps, &err) != CS_OK) {
        cs_crls_free(crls);
        return 0;
    }
    while (cs_der_more(&d)) {
        cs_view one = cs_der_get_whole(&d, CS_DER_SEQUENCE);
        cs_cert *c = NULL;
        if (fault.rule) break;
        if (cs_ocsps_read(ocsps, one, "fuzz", &err) == CS_OK) continue;
        if (cs_crls_read(crls, one, "fuzz", &err) == CS_OK) continue;
        if (cs_cert_decode_noting(one, &c, &err) == CS_OK) (void)!cs_certs_add(&bag, c, &err);
    }
    if (bag.n >= 2) {
        cs_certs trust = {bag.at + 1, 1};
        cs_verdict v;
        want.at = bag.at[0]->not_before;
        want.crls = crls;
        want.ocsps = ocsps;
        if (cs_anchors_new(&trust, &anchors, &err) == CS_OK) {
            (void)!cs_verify(anchors, bag.at[0], &bag, &want, &v, &err);
            cs_verdict_free(&v);
        }
    }
    cs_anchors_free(anchors);
    cs_crls_free(crls);
    cs_ocsps_free(ocsps);
    cs_certs_free(&bag);
    return 0;
}
