/* Certificates that stand for a key and nobody's word: what a client signs its first message with. */
#include "x509/build.h"
#include "x509/exts_write.h"

cs_status cs_self_signed_make(const cs_key *key, cs_view subject, cs_view serial, cs_time not_before, cs_time not_after,
                              cs_cert **ret, cs_err *err) {
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX), der = cs_buf_of(CS_CERT_MAX);
    cs_tbs t = {.serial = serial,
                .issuer = subject,
                .subject = subject,
                .spki = cs_key_spki(key),
                .not_before = not_before,
                .not_after = not_after};
    TRY(cs_key_algorithm(t.spki, &t.algorithm, err));
    cs_tbs_open(&tbs, &t);
    cs_ext_put_key_usage(&tbs, CS_KU_DIGITAL_SIGNATURE | CS_KU_KEY_ENCIPHERMENT);
    cs_tbs_close(&tbs, &t);
    TRY(cs_buf_ok(&tbs, "certificate", err));
    TRY(cs_signed_make(key, cs_buf_view(&tbs), &der, err));
    return cs_cert_decode(cs_buf_view(&der), ret, err);
}
