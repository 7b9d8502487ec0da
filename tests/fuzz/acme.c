/* ACME's outside bytes: a JWS with its key, an order's identifiers, a request's fit, what the fetcher found, an id of a
 * certificate. Nothing that is read may crash or leak. */
#include "proto/acme/identifier.h"
#include "proto/acme/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void read_order(cs_view payload) {
    static identifier at[IDENTIFIERS_MAX];
    SCOPED_JSON j = NULL;
    size_t n = 0;
    cs_err err;
    if (json_read_object(payload, "payload", &j, &err) != CS_OK) return;
    if (identifiers_read(json_object_get(j, "identifiers"), at, &n, &err) != CS_OK) return;
    for (size_t i = 0; i < n; i++) {
        uint8_t octets[CS_IDENTITY_NAME_MAX + 1];
        cs_san san;
        (void)identifier_san(&at[i], octets, &san, &err);
    }
}

static void read_signed(cs_view in) {
    CS_SCOPED(jws) j = {.header = NULL};
    jws_key key;
    cs_err err;
    if (jws_read(in, &j, &err) != CS_OK) return;
    (void)jws_verify_mac(&j, CS_VIEW_LIT("key"));
    if (j.jwk != NULL && jws_key_read(j.jwk, &key, &err) == CS_OK) (void)jws_verify(&j, jws_key_spki(&key), &err);
    read_order(cs_buf_view(&j.payload));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static const identifier name = {.type = CS_SAN_DNS, .value = "a.example"};
    char text[300], aki[2 * 64 + 1], serial[STORE_SERIAL_TEXT];
    cs_err err;
    cs_view in = cs_view_of(p, n);
    read_signed(in);
    read_order(in);
    for (challenge_kind kind = CHALLENGE_HTTP; kind <= CHALLENGE_ALPN; kind++)
        (void)challenge_judge(kind, &name, "token", "thumbprint", in, &err);
    if (n >= sizeof text) return 0;
    if (n > 0) memcpy(text, p, n);
    text[n] = '\0';
    (void)cert_id_read(text, aki, serial, &err);
    return 0;
}
