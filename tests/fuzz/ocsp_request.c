/* An OCSP request from outside: read, and answered "unknown" and "revoked" for each certificate that it asks for. */
#include "x509/ocsp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t spki[] = {0x30, 0x0a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x01, 0x00};
    const cs_cert responder = {.spki = {spki, sizeof spki}, .subject = {spki, sizeof spki}};
    cs_err err;
    cs_ocsp_asked asked;
    cs_ocsp_answer answers[CS_OCSP_ASKED_MAX];
    if (cs_ocsp_request_read(cs_view_of(data, size), &asked, &err) != CS_OK) return 0;
    CS_SCOPED(cs_buf) tbs = cs_buf_of((size_t)32 * 1024);
    for (size_t i = 0; i < asked.n; i++) {
        (void)cs_ocsp_id_is_of(&asked.ids[i], &responder);
        answers[i] = (cs_ocsp_answer){.id = &asked.ids[i],
                                      .is = {.status = i % 2 ? CS_OCSP_REVOKED : CS_OCSP_UNKNOWN, .reason = (int)i}};
    }
    (void)!cs_ocsp_data_build(answers, asked.n, &responder, 0, asked.nonce, &tbs, &err);
    return 0;
}
