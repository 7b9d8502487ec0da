/* SCEP's outside bytes: a message (the signature's check is left out by the linker, so that what lies behind it is
 * reached), an envelope, what is inside one, and the HTTP around. Nothing that is read may crash or leak; what is found
 * lies within. */
#include "proto/scep/scep_msg.h"

#include <openssl/cms.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int __wrap_CMS_verify(CMS_ContentInfo *cms, STACK_OF(X509) * certs, X509_STORE *store, BIO *in, BIO *out,
                      unsigned int flags);

int __wrap_CMS_verify(CMS_ContentInfo *cms, STACK_OF(X509) * certs, X509_STORE *store, BIO *in, BIO *out,
                      unsigned int flags) {
    ASN1_OCTET_STRING **content = CMS_get0_content(cms);
    (void)certs, (void)store, (void)in, (void)flags;
    if (content == NULL || *content == NULL) return 1;
    int len = ASN1_STRING_length(*content);
    return len == 0 || BIO_write(out, ASN1_STRING_get0_data(*content), len) == len;
}

static void check_within(cs_view whole, cs_view part) {
    if (part.n > 0 && (part.p < whole.p || part.p + part.n > whole.p + whole.n)) __builtin_trap();
}

static void read_sealed(cs_view in) {
    CS_AUTO(cs_cms_sealed) s = NULL;
    cs_err err;
    if (cs_cms_sealed_read(in, true, &s, &err) != CS_OK) return;
    if (cs_cms_cipher_name(cs_cms_sealed_cipher(s)) == NULL) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_err err;
    cs_view in = cs_view_of(p, n), a = {NULL, 0}, b = {NULL, 0};
    scep_op op;
    char label[SCEP_LABEL_MAX + 1];
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX);
    CS_SCOPED(scep_msg) m = {.type = SCEP_NO_TYPE};
    (void)scep_path_read(in, label, &err);
    (void)scep_op_read(in, &op, &err);
    (void)scep_query_read(in, &der, &err);
    (void)scep_caps_read(in);
    if (scep_issuer_subject_read(in, &a, &b, &err) == CS_OK || scep_issuer_serial_read(in, &a, &b, &err) == CS_OK) {
        check_within(in, a);
        check_within(in, b);
    }
    if (scep_msg_read(in, true, &m, &err) == CS_OK) read_sealed(cs_buf_view(&m.cms.content));
    read_sealed(in);
    return 0;
}
