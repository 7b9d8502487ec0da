/* CMP's messages, read. @rfc 9810#5 */
#include <stdio.h>

#include "proto/cmp/cmp_msg.h"

#define OID_IT(n) "\x2b\x06\x01\x05\x05\x07\x04" n /* id-it */
#define OID_IMPLICIT_CONFIRM CS_OID_LIT(OID_IT("\x0d"))
#define OID_CERT_PROFILE CS_OID_LIT(OID_IT("\x15"))
#define OID_OLD_CERT_ID CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x05\x01\x05") /* id-regCtrl-oldCertID */
#define OID_CRL_REASON CS_OID_LIT("\x55\x1d\x15")

void cmp_message_free(cmp_message *m) {
    cs_certs_free(&m->extra);
}

static cs_status malformed(const cs_der_fault *fault, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: %s", fault->in != NULL ? fault->in : "PKIMessage",
                   fault->rule);
}

/* [n] EXPLICIT around an OCTET STRING of at most CMP_ID_MAX. */
static bool opt_octets(cs_der *d, unsigned n, size_t max, cs_view *ret) {
    cs_der in;
    if (!cs_der_in_opt(d, (uint8_t)CS_DER_CTX_CONS(n), &in)) return false;
    *ret = cs_der_get(&in, CS_DER_OCTET_STRING);
    if (cs_der_ok(&in) && (ret->n == 0 || ret->n > max)) (void)cs_der_bad(&in, "has a length that is not used");
    cs_der_end(&in);
    return cs_der_ok(&in);
}

static cs_view read_name(cs_der *d) {
    uint8_t tag = 0;
    cs_view value = cs_der_any(d, &tag, NULL), none = {NULL, 0};
    if ((tag & 0xc0) != 0x80 && cs_der_ok(d)) (void)cs_der_bad(d, "is not a GeneralName");
    if (tag != CS_DER_CTX_CONS(4) || !cs_der_ok(d)) return none;
    cs_der in = cs_der_of(value, d->fault);
    cs_view name = cs_der_get_whole(&in, CS_DER_SEQUENCE);
    cs_der_end(&in);
    return name;
}

/* [8] generalInfo: what is not known is passed over. */
static void read_info(cs_der *d, cmp_header *h) {
    cs_der in, values;
    cs_view null, text = {NULL, 0};
    if (!cs_der_in_opt(d, CS_DER_CTX_CONS(8), &in)) return;
    cs_der list = cs_der_in(&in, CS_DER_SEQUENCE);
    cs_der_end(&in);
    while (cs_der_more(&list)) {
        cs_der one = cs_der_in(&list, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&one);
        if (cs_view_eq(oid, OID_IMPLICIT_CONFIRM)) {
            (void)cs_der_opt(&one, CS_DER_NULL, &null);
            h->implicit_confirm = true;
        } else if (cs_view_eq(oid, OID_CERT_PROFILE) && cs_der_in_opt(&one, CS_DER_SEQUENCE, &values)) {
            text = cs_der_get(&values, CS_DER_UTF8_STRING);
            if (cs_der_ok(&values) && h->profile.n == 0) h->profile = text;
        }
    }
}

static void read_header(cs_der *in, cmp_header *h) {
    cs_der x;
    in->fault->field = "pvno";
    h->pvno = (unsigned)cs_der_uint(in, 1000);
    in->fault->field = "sender";
    h->sender = read_name(in);
    in->fault->field = "recipient";
    (void)read_name(in);
    in->fault->field = "messageTime";
    if (cs_der_in_opt(in, CS_DER_CTX_CONS(0), &x)) { /* nothing here goes by it: the nonces say what is fresh */
        (void)cs_der_get(&x, CS_DER_GENERALIZED_TIME);
        cs_der_end(&x);
    }
    in->fault->field = "protectionAlg";
    if (cs_der_in_opt(in, CS_DER_CTX_CONS(1), &x)) {
        h->protection_alg = cs_der_get_whole(&x, CS_DER_SEQUENCE);
        cs_der_end(&x);
    }
    in->fault->field = "senderKID";
    (void)opt_octets(in, 2, CMP_TEXT_MAX, &h->sender_kid);
    in->fault->field = "recipKID";
    cs_view unused;
    (void)opt_octets(in, 3, CMP_TEXT_MAX, &unused);
    in->fault->field = "transactionID";
    (void)opt_octets(in, 4, CMP_ID_MAX, &h->transaction);
    in->fault->field = "senderNonce";
    (void)opt_octets(in, 5, CMP_ID_MAX, &h->sender_nonce);
    in->fault->field = "recipNonce";
    (void)opt_octets(in, 6, CMP_ID_MAX, &h->recip_nonce);
    in->fault->field = "freeText";
    (void)cs_der_in_opt(in, CS_DER_CTX_CONS(7), &x);
    in->fault->field = "generalInfo";
    read_info(in, h);
    cs_der_end(in);
}

cs_status cmp_certs_read(cs_view contents, cs_certs *bag, cs_err *err) {
    cs_der_fault fault = {.field = "certificates"};
    cs_der list = cs_der_of(contents, &fault);
    for (size_t n = 0; cs_der_more(&list); n++) {
        cs_cert *one = NULL;
        cs_view der = cs_der_get_whole(&list, CS_DER_SEQUENCE);
        if (fault.rule != NULL) break;
        if (n == CMP_EXTRA_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d certificates", CMP_EXTRA_MAX);
        TRY(cs_cert_decode_noting(der, &one, err));
        TRY(cs_certs_add(bag, one, err));
    }
    return fault.rule != NULL ? malformed(&fault, err) : CS_OK;
}

static cs_status read_all(cs_view der, cmp_message *m, cs_err *err) {
    cs_der_fault fault = {.field = "PKIMessage"};
    cs_der all = cs_der_of(der, &fault), in = cs_der_in(&all, CS_DER_SEQUENCE), x;
    cs_view extra = {NULL, 0}, header, body;
    uint8_t tag = 0;
    unsigned unused = 0;
    cs_der_end(&all);
    header = cs_der_get_whole(&in, CS_DER_SEQUENCE);
    cs_view content = cs_der_any(&in, &tag, &body);
    if (cs_der_ok(&in)) {
        cs_der h = cs_der_of(header, &fault), fields = cs_der_in(&h, CS_DER_SEQUENCE);
        read_header(&fields, &m->h);
    }
    fault.field = "body";
    if (cs_der_ok(&in) && (tag & 0xe0) != 0xa0) (void)cs_der_bad(&in, "is not of a known form");
    m->body = (cmp_body)(tag & 0x1f);
    cs_der b = cs_der_of(content, &fault);
    (void)cs_der_any(&b, NULL, &m->content);
    cs_der_end(&b);
    fault.field = "protection";
    if (cs_der_in_opt(&in, CS_DER_CTX_CONS(0), &x)) {
        m->protection = cs_der_bits(&x, &unused);
        if (cs_der_ok(&x) && (unused != 0 || m->protection.n == 0)) (void)cs_der_bad(&x, "is not whole octets");
        cs_der_end(&x);
    }
    fault.field = "extraCerts";
    if (cs_der_in_opt(&in, CS_DER_CTX_CONS(1), &x)) {
        extra = cs_der_get(&x, CS_DER_SEQUENCE);
        cs_der_end(&x);
    }
    cs_der_end(&in);
    if (fault.rule != NULL) return malformed(&fault, err);
    if ((m->h.protection_alg.n > 0) != (m->protection.n > 0))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "protection: without its algorithm, or the other way");
    m->covered = cs_view_of(header.p, header.n + body.n);
    return cmp_certs_read(extra, &m->extra, err);
}

cs_status cmp_read(cs_view der, cmp_message *ret, cs_err *err) {
    *ret = (cmp_message){.body = CMP_ERROR};
    cs_status status = read_all(der, ret, err);
    if (status != CS_OK) cmp_message_free(ret);
    return status;
}

cs_status cmp_covered(const cmp_message *m, cs_buf *b, cs_err *err) {
    cs_der_put_head(b, CS_DER_SEQUENCE, m->covered.n);
    (void)cs_buf_add_view(b, m->covered);
    return cs_buf_ok(b, "the message", err);
}

/* ---- requests ---- */

static long read_long(cs_der *d) {
    cs_view v = cs_der_integer(d);
    long n = v.n > 0 && (v.p[0] & 0x80) != 0 ? -1 : 0;
    if (v.n > 4 && cs_der_ok(d)) (void)cs_der_bad(d, "is not a small number");
    for (size_t i = 0; cs_der_ok(d) && i < v.n; i++) n = n * 256 + v.p[i];
    return n;
}

/* controls: oldCertID is the one that counts. */
static void read_controls(cs_der *list, cmp_request *ret) {
    while (cs_der_more(list)) {
        cs_der one = cs_der_in(list, CS_DER_SEQUENCE);
        if (!cs_view_eq(cs_der_oid(&one), OID_OLD_CERT_ID)) continue;
        cs_der id = cs_der_in(&one, CS_DER_SEQUENCE);
        ret->old_issuer = read_name(&id);
        ret->old_serial = cs_der_integer(&id);
        cs_der_end(&id);
    }
}

cs_status cmp_request_read(const cmp_message *m, cmp_request *ret, cs_err *err) {
    cs_der_fault fault = {.field = "certReqMsg"};
    *ret = (cmp_request){.id = -1, .csr = m->content};
    if (m->body == CMP_P10CR) return CS_OK;
    cs_der d = cs_der_of(m->content, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE), controls;
    ret->csr = cs_der_get_whole(&list, CS_DER_SEQUENCE);
    bool more = cs_der_more(&list);
    cs_der one = cs_der_of(ret->csr, &fault), msg = cs_der_in(&one, CS_DER_SEQUENCE);
    cs_der req = cs_der_in(&msg, CS_DER_SEQUENCE);
    fault.field = "certReqId";
    ret->id = read_long(&req);
    fault.field = "certTemplate";
    (void)cs_der_get(&req, CS_DER_SEQUENCE);
    fault.field = "controls";
    if (cs_der_in_opt(&req, CS_DER_SEQUENCE, &controls)) read_controls(&controls, ret);
    int popo = cs_der_peek(&msg);
    if (fault.rule != NULL) return malformed(&fault, err);
    if (more) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than one request in a message");
    if (popo != CS_DER_CTX_CONS(1))
        return cs_fail(err, CS_REFUSED, CS_R_CSR_POP_FAILED, "possession is proven by a signature here");
    return CS_OK;
}

cs_status cmp_confirm_read(const cmp_message *m, cmp_confirm *ret, bool *ret_any, cs_err *err) {
    cs_der_fault fault = {.field = "certStatus"};
    cs_der d = cs_der_of(m->content, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE), info, alg;
    *ret = (cmp_confirm){.accepted = false};
    *ret_any = cs_der_more(&list);
    if (*ret_any) {
        cs_der one = cs_der_in(&list, CS_DER_SEQUENCE);
        ret->hash = cs_der_get(&one, CS_DER_OCTET_STRING);
        ret->id = read_long(&one);
        ret->accepted = true;
        if (cs_der_in_opt(&one, CS_DER_SEQUENCE, &info)) ret->accepted = cs_der_uint(&info, 100) < CMP_REJECTION;
        if (cs_der_in_opt(&one, CS_DER_CTX_CONS(0), &alg)) {
            ret->hash_alg = cs_der_get_whole(&alg, CS_DER_SEQUENCE);
            cs_der_end(&alg);
        }
        cs_der_end(&one);
    }
    cs_der_end(&list);
    return fault.rule != NULL ? malformed(&fault, err) : CS_OK;
}

cs_status cmp_poll_read(const cmp_message *m, long *ret_id, cs_err *err) {
    cs_der_fault fault = {.field = "pollReq"};
    cs_der d = cs_der_of(m->content, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_der one = cs_der_in(&list, CS_DER_SEQUENCE);
    *ret_id = read_long(&one);
    cs_der_end(&one);
    cs_der_end(&list);
    return fault.rule != NULL ? malformed(&fault, err) : CS_OK;
}

static int read_reason(cs_der *exts) {
    cs_view critical;
    int reason = 0;
    while (cs_der_more(exts)) {
        cs_der one = cs_der_in(exts, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&one);
        (void)cs_der_opt(&one, CS_DER_BOOLEAN, &critical);
        cs_der value = cs_der_of(cs_der_get(&one, CS_DER_OCTET_STRING), exts->fault);
        cs_der_end(&one);
        if (!cs_view_eq(oid, OID_CRL_REASON)) continue;
        cs_view number = cs_der_get(&value, CS_DER_ENUMERATED);
        reason = number.n == 1 ? number.p[0] : 255;
    }
    return reason;
}

cs_status cmp_revocation_read(const cmp_message *m, cmp_revocation *ret, cs_err *err) {
    cs_der_fault fault = {.field = "revDetails"};
    cs_der d = cs_der_of(m->content, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_der one = cs_der_in(&list, CS_DER_SEQUENCE), template = cs_der_in(&one, CS_DER_SEQUENCE), exts;
    *ret = (cmp_revocation){.reason = 0};
    bool more = cs_der_more(&list);
    while (cs_der_more(&template)) {
        uint8_t tag = 0;
        cs_view value = cs_der_any(&template, &tag, NULL);
        cs_der in = cs_der_of(value, &fault);
        if (tag == CS_DER_CTX(1)) ret->serial = value;
        if (tag == CS_DER_CTX_CONS(3)) ret->issuer = cs_der_get_whole(&in, CS_DER_SEQUENCE);
    }
    if (cs_der_in_opt(&one, CS_DER_SEQUENCE, &exts)) ret->reason = read_reason(&exts);
    if (fault.rule != NULL) return malformed(&fault, err);
    if (more) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than one certificate to be revoked in a message");
    if (ret->serial.n == 0 || ret->serial.n > CS_SERIAL_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "revDetails: no serialNumber");
    return CS_OK;
}

cs_status cmp_infos_read(const cmp_message *m, cmp_info ret[CMP_INFO_MAX], size_t *ret_n, cs_err *err) {
    cs_der_fault fault = {.field = "infoType"};
    cs_der d = cs_der_of(m->content, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE);
    *ret_n = 0;
    while (cs_der_more(&list)) {
        if (*ret_n == CMP_INFO_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d items of information", CMP_INFO_MAX);
        cs_der one = cs_der_in(&list, CS_DER_SEQUENCE);
        cmp_info *info = &ret[*ret_n];
        *info = (cmp_info){.oid = cs_der_oid(&one)};
        if (cs_der_more(&one)) (void)cs_der_any(&one, NULL, &info->value);
        cs_der_end(&one);
        if (cs_der_ok(&one)) (*ret_n)++;
    }
    return fault.rule != NULL ? malformed(&fault, err) : CS_OK;
}

/* ---- answers ---- */

static void read_status(cs_der *d, cmp_status *ret) {
    cs_der in = cs_der_in(d, CS_DER_SEQUENCE), texts;
    unsigned unused = 0;
    *ret = (cmp_status){.status = (int)cs_der_uint(&in, 100)};
    if (cs_der_in_opt(&in, CS_DER_SEQUENCE, &texts)) {
        cs_view text = cs_der_get(&texts, CS_DER_UTF8_STRING);
        (void)snprintf(ret->text, sizeof ret->text, "%.*s", (int)(text.n < CMP_TEXT_MAX ? text.n : CMP_TEXT_MAX - 1),
                       text.n > 0 ? (const char *)text.p : "");
    }
    if (cs_der_peek(&in) == CS_DER_BIT_STRING) {
        cs_view bits = cs_der_bits(&in, &unused);
        for (size_t i = 0; i < 32 && i < bits.n * 8; i++)
            if ((bits.p[i / 8] & (0x80 >> i % 8)) != 0) ret->failure |= 1U << i;
    }
    cs_der_end(&in);
}

cs_status cmp_answer_read(const cmp_message *m, cmp_answer *ret, cs_err *err) {
    cs_der_fault fault = {.field = "certRepMessage"};
    cs_der d = cs_der_of(m->content, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE), pubs, pair, cert;
    *ret = (cmp_answer){.id = 0};
    if (cs_der_in_opt(&in, CS_DER_CTX_CONS(1), &pubs)) ret->ca_pubs = cs_der_get(&pubs, CS_DER_SEQUENCE);
    cs_der list = cs_der_in(&in, CS_DER_SEQUENCE), one = cs_der_in(&list, CS_DER_SEQUENCE);
    ret->id = read_long(&one);
    read_status(&one, &ret->is);
    if (cs_der_in_opt(&one, CS_DER_SEQUENCE, &pair) && cs_der_in_opt(&pair, CS_DER_CTX_CONS(0), &cert))
        ret->cert = cs_der_get_whole(&cert, CS_DER_SEQUENCE);
    return fault.rule != NULL ? malformed(&fault, err) : CS_OK;
}

cs_status cmp_error_read(const cmp_message *m, cmp_status *ret, cs_err *err) {
    cs_der_fault fault = {.field = "errorMsgContent"};
    cs_der d = cs_der_of(m->content, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    read_status(&in, ret);
    return fault.rule != NULL ? malformed(&fault, err) : CS_OK;
}

cs_status cmp_wait_read(const cmp_message *m, uint64_t *ret_seconds, cs_err *err) {
    cs_der_fault fault = {.field = "pollRep"};
    cs_der d = cs_der_of(m->content, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_der one = cs_der_in(&list, CS_DER_SEQUENCE);
    (void)read_long(&one);
    *ret_seconds = cs_der_uint(&one, 0x7fffffff);
    return fault.rule != NULL ? malformed(&fault, err) : CS_OK;
}
