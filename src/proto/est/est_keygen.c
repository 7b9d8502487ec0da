#include "proto/est/est_keygen.h"

#include "proto/est/est_msg.h"
#include "x509/cms_message.h"
#include "x509/der.h"
#include "x509/der_write.h"
#include "x509/digest.h"

void est_keygen_free(est_keygen *k) {
    cs_key_free(k->key);
    cs_buf_free(&k->to);
    cs_buf_free(&k->key_id);
}

/* The octets of subjectPublicKey, of which RFC 5280 4.2.1.2 makes key identifiers. */
static cs_view key_octets(cs_view spki) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(spki, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    (void)cs_der_get(&in, CS_DER_SEQUENCE);
    cs_view bits = cs_der_get(&in, CS_DER_BIT_STRING);
    return cs_der_ok(&in) && bits.n > 1 ? cs_view_of(bits.p + 1, bits.n - 1) : cs_view_of(NULL, 0);
}

/* By a certificate's own identifier, by SHA-1 of the key, or by SHA-256 of its SubjectPublicKeyInfo. */
static bool is_named(cs_view id, cs_view spki, cs_view skid) {
    uint8_t sha1[CS_SHA1_LEN], sha256[CS_SHA256_LEN];
    cs_err ignored;
    if (skid.n > 0 && cs_view_eq(id, skid)) return true;
    if (cs_sha1(key_octets(spki), sha1, &ignored) == CS_OK && cs_view_eq(id, cs_view_of(sha1, sizeof sha1)))
        return true;
    return cs_sha256(spki, sha256, &ignored) == CS_OK && cs_view_eq(id, cs_view_of(sha256, sizeof sha256));
}

/* @rfc 7030#4.4.1.2: it is an error when the key that is named cannot be used. */
static cs_status take_recipient(const cs_csr *asked, const cs_cert *client, est_keygen *k, cs_err *err) {
    cs_view id = asked->seal_to, none = {NULL, 0};
    if (asked->seals_symmetric)
        return cs_fail(err, CS_REFUSED, CS_R_DECRYPT_KEY_UNKNOWN,
                       "DecryptKeyIdentifier: no symmetric keys are shared with clients");
    if (id.n == 0) return CS_OK;
    if (client != NULL && is_named(id, client->spki, client->skid))
        (void)cs_buf_add_view(&k->to, client->spki);
    else if (is_named(id, asked->spki, none))
        (void)cs_buf_add_view(&k->to, asked->spki);
    else
        return cs_fail(err, CS_REFUSED, CS_R_DECRYPT_KEY_UNKNOWN,
                       "AsymmetricDecryptKeyIdentifier: neither the client's certificate nor the request has that key");
    (void)cs_buf_add_view(&k->key_id, id);
    TRY(cs_buf_ok(&k->key_id, "a key identifier", err));
    return cs_buf_ok(&k->to, "a public key", err);
}

cs_status est_keygen_make(const cs_csr *asked, const cs_cert *client, cs_buf *csr_der, est_keygen *ret, cs_err *err) {
    cs_key_spec spec = CS_KEYSPEC_ECDSA_P256;
    char name[CS_IDENTITY_NAME_MAX + 1] = "";
    cs_view cn;
    *ret = (est_keygen){.to = cs_buf_of(CS_CERT_MAX), .key_id = cs_buf_of(EST_KEY_ID_MAX)};
    TRY(take_recipient(asked, client, ret, err));
    if (cs_name_cn(asked->subject, &cn) && cn.n <= CS_IDENTITY_NAME_MAX) memcpy(name, cn.p, cn.n);
    (void)cs_key_spec_of(asked->spki, &spec);
    TRY(cs_key_generate(spec, &ret->key, err));
    cs_buf_clear(csr_der);
    return cs_csr_make(ret->key, name[0] != '\0' ? name : NULL, asked->sans, asked->san_count, csr_der, err);
}

/* AsymmetricKeyPackage (RFC 5958) in SignedData in EnvelopedData. @rfc 7030#4.4.2 */
static cs_status seal(authority *a, const est_keygen *k, cs_view pkcs8, cs_buf *out, cs_err *err) {
    CS_SCOPED(cs_buf) package = cs_buf_secret(CS_KEY_FILE_MAX), by_us = cs_buf_secret(CS_CMS_MESSAGE_MAX);
    authority_ra *ras[AUTHORITY_RA_MAX] = {NULL};
    size_t n = 0;
    cs_der_mark all = cs_der_open(&package, CS_DER_SEQUENCE);
    (void)cs_buf_add_view(&package, pkcs8);
    cs_der_close(&package, all);
    TRY(cs_buf_ok(&package, "the key", err));
    TRY(authority_ras(a, ras, &n, err));
    CS_AUTO(authority_ra) ra = ras[0];
    CS_AUTO(authority_ra) before = ras[1];
    (void)before;
    if (ra == NULL) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "no RA certificate");
    const cs_cert *chain[AUTHORITY_CHAIN_MAX];
    const cs_view content = cs_buf_view(&package);
    const cs_cms_sign_ask ask = {.content = &content,
                                 .type = CS_CMS_KEY_PACKAGE,
                                 .key = ra->key,
                                 .signer = ra->cert,
                                 .more = chain,
                                 .more_count = authority_chain(a, ra->cert, chain),
                                 .digest = CS_CMS_SHA256};
    TRY(cs_cms_sign(&ask, &by_us, err));
    /* as content it is a SignedData, without the ContentInfo around it. @rfc 5652#4 */
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(cs_buf_view(&by_us), &fault), info = cs_der_in(&d, CS_DER_SEQUENCE);
    (void)cs_der_oid(&info);
    cs_view signed_data = cs_der_get(&info, CS_DER_CTX_CONS(0));
    if (!cs_der_ok(&info)) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "what was signed cannot be read");
    return cs_cms_seal_to_key(signed_data, cs_buf_view(&k->to), cs_buf_view(&k->key_id), out, err);
}

cs_status est_keygen_add(cs_buf *b, authority *a, const est_keygen *k, const cs_cert *leaf, bool lines, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_secret(CS_KEY_FILE_MAX), sealed = cs_buf_of(2 * CS_CMS_MESSAGE_MAX);
    bool seals = k->to.n > 0;
    TRY(cs_key_write_der(k->key, &der, err));
    if (seals) TRY(seal(a, k, cs_buf_view(&der), &sealed, err));
    (void)cs_buf_addf(b,
                      "--" EST_BOUNDARY "\r\nContent-Type: %s\r\n"
                      "Content-Transfer-Encoding: base64\r\n\r\n",
                      seals ? "application/pkcs7-mime; smime-type=server-generated-key" : "application/pkcs8");
    (void)est_base64_add(b, cs_buf_view(seals ? &sealed : &der), lines);
    (void)cs_buf_add_str(b, "\r\n--" EST_BOUNDARY "\r\nContent-Type: application/pkcs7-mime; smime-type=certs-only\r\n"
                            "Content-Transfer-Encoding: base64\r\n\r\n");
    TRY(est_certs_add(b, &leaf, 1, lines, err));
    (void)cs_buf_add_str(b, "\r\n--" EST_BOUNDARY "--\r\n");
    return cs_buf_ok(b, "the answer", err);
}
