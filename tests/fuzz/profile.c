/* What the signer is asked to sign: octet 0 is the kind, the rest a TBSCertificate; or a TBSCertList for kind 0.
 * What is accepted must be a leaf of its kind. The issuer is a fixed certificate, tests/fuzz/profile_issuer.h. */
#include "x509/profile.h"
#include "profile_issuer.h"
#include "x509/build.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static cs_cert *issuer;
    cs_err err;
    cs_crl_facts facts;
    cs_identity who;
    if (!issuer && cs_cert_decode(cs_view_of(profile_issuer, sizeof(profile_issuer)), &issuer, &err) != CS_OK) abort();
    if (n < 1) return 0;
    const cs_view tbs = {p + 1, n - 1};
    const cs_profile_rule rule = {.issuer = issuer, .trust_domain = "corp.example"};
    if (p[0] == 0) {
        (void)cs_crl_tbs_check(tbs, issuer, 0, &facts, &err);
        return 0;
    }
    if (cs_profile_check(tbs, (cs_kind)p[0], &rule, &who, NULL, &err) == CS_OK && who.kind != (cs_kind)p[0]) abort();
    return 0;
}
