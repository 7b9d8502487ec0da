#include "x509/build.h"
#include "x509/cert_priv.h"
#include "x509/der.h"

cs_status cs_signed_check(cs_view der, cs_view tbs, const cs_cert *issuer, cs_err *err) {
    return cs_signed_check_by(der, tbs, issuer, NULL, err);
}

cs_status cs_signed_check_by(cs_view der, cs_view tbs, const cs_cert *issuer, cs_checker *checker, cs_err *err) {
    cs_der_fault fault = {.field = "signed"};
    cs_der whole = cs_der_of(der, &fault);
    cs_der outer = cs_der_in(&whole, CS_DER_SEQUENCE);
    cs_view got = cs_der_get_whole(&outer, CS_DER_SEQUENCE);
    cs_view algorithm = cs_der_get_whole(&outer, CS_DER_SEQUENCE);
    cs_view bits = cs_der_get(&outer, CS_DER_BIT_STRING);
    cs_view expected;
    cs_der_end(&outer);
    cs_der_end(&whole);
    if (!cs_der_ok(&whole) || bits.n < 2 || bits.p[0] != 0)
        return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "not a signed structure: %s",
                       fault.rule != NULL ? fault.rule : "the signature's bits");
    if (!cs_view_eq(got, tbs))
        return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "something else than what was given was signed");
    TRY(cs_key_algorithm(issuer->spki, &expected, err));
    if (!cs_view_eq(algorithm, expected))
        return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "another algorithm than the issuer's");
    cs_view signature = cs_view_of(bits.p + 1, bits.n - 1);
    if (checker != NULL) return cs_checker_verify(checker, tbs, signature, err);
    cs_sigalg how = {0};
    cs_sigalg_read(algorithm, &how);
    if (cs_sig_ok(issuer, &how, tbs, signature)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "the signature does not verify under the issuer's key");
}
