/* Certificate requests, made. @rfc 2986#4 */
#include "x509/build.h"
#include "x509/csr.h"
#include "x509/exts_write.h"

static void put_extension_request(cs_buf *b, const cs_san *sans, size_t n, bool critical) {
    cs_der_mark attribute = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"));
    cs_der_mark values = cs_der_open(b, CS_DER_SET), list = cs_der_open(b, CS_DER_SEQUENCE);
    cs_ext_put_sans(b, critical, sans, n);
    cs_der_close(b, list);
    cs_der_close(b, values);
    cs_der_close(b, attribute);
}

cs_status cs_csr_make(const cs_key *key, const char *cn, const cs_san *sans, size_t san_count, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) info = cs_buf_of(CS_CSR_MAX);
    const cs_dn dn = {.common_name = cn};
    cs_der_mark outer = cs_der_open(&info, CS_DER_SEQUENCE);
    cs_der_put_uint(&info, CS_DER_INTEGER, 0);
    TRY(cs_dn_build(&dn, &info, err));
    (void)cs_buf_add_view(&info, cs_key_spki(key));
    cs_der_mark attributes = cs_der_open(&info, CS_DER_CTX_CONS(0)); /* present even when empty */
    if (san_count > 0) put_extension_request(&info, sans, san_count, !cn || !*cn);
    cs_der_close(&info, attributes);
    cs_der_close(&info, outer);
    TRY(cs_buf_ok(&info, "request", err));
    return cs_signed_make(key, cs_buf_view(&info), b, err);
}
