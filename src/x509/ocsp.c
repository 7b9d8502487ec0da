#include <stdlib.h>

#include "x509/ocsp_priv.h"

#define OID_SHA1 CS_OID_LIT("\x2b\x0e\x03\x02\x1a")

/* ---- reading ---- */

/* Extensions of a response or of one answer. None is understood but the nonce, so that a critical one is a fault. */
static void read_exts(cs_der *list, cs_view *ret_nonce) {
    if (list->left == 0) cs_der_bad(list, "an empty list");
    for (int n = 0; cs_der_more(list); n++) {
        cs_der e = cs_der_in(list, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&e);
        bool critical = cs_der_peek(&e) == CS_DER_BOOLEAN && cs_der_bool(&e);
        cs_view value = cs_der_get(&e, CS_DER_OCTET_STRING);
        cs_der_end(&e);
        if (n == 32) cs_der_bad(list, "more than 32 of them");
        if (!cs_der_ok(list)) return;
        if (ret_nonce != NULL && cs_view_eq(oid, CS_OID_OCSP_NONCE))
            *ret_nonce = value;
        else if (critical)
            cs_der_bad(list, "a critical one that is not understood");
    }
}

/* @rfc 6960#4.2.2.1: GeneralizedTime, whatever the year */
static cs_time read_time(cs_der *d) {
    uint8_t tag = CS_DER_GENERALIZED_TIME;
    cs_time t = cs_der_time(d, &tag);
    if (cs_der_ok(d) && tag != CS_DER_GENERALIZED_TIME) cs_der_bad(d, "a UTCTime");
    return t;
}

void cs_ocsp_id_read(cs_der *in, cs_ocsp_id *ret) {
    cs_der alg = cs_der_in(in, CS_DER_SEQUENCE);
    ret->hash = cs_der_oid(&alg);
    if (cs_der_peek(&alg) == CS_DER_NULL) (void)cs_der_get(&alg, CS_DER_NULL);
    cs_der_end(&alg);
    ret->name_hash = cs_der_get(in, CS_DER_OCTET_STRING);
    ret->key_hash = cs_der_get(in, CS_DER_OCTET_STRING);
    ret->serial = cs_der_integer(in);
    cs_der_end(in);
}

static bool read_single(cs_der *list, cs_ocsp_id *id, cs_ocsp_single *ret) {
    cs_der in;
    cs_view v;
    *ret = (cs_ocsp_single){.status = CS_OCSP_UNKNOWN};
    if (!cs_der_more(list)) return false;
    list->fault->field = "certID";
    cs_der s = cs_der_in(list, CS_DER_SEQUENCE), c = cs_der_in(&s, CS_DER_SEQUENCE);
    cs_ocsp_id_read(&c, id);
    list->fault->field = "certStatus";
    if (cs_der_in_opt(&s, CS_DER_CTX_CONS(1), &in)) {
        cs_der reason;
        ret->status = CS_OCSP_REVOKED;
        ret->revoked_at = read_time(&in);
        if (cs_der_in_opt(&in, CS_DER_CTX_CONS(0), &reason)) {
            v = cs_der_get(&reason, CS_DER_ENUMERATED);
            ret->reason = (int)cs_der_uint_of(&reason, v, 10);
            cs_der_end(&reason);
        }
        cs_der_end(&in);
    } else if (cs_der_opt(&s, CS_DER_CTX(0), &v)) {
        ret->status = CS_OCSP_GOOD;
        if (v.n > 0) cs_der_bad(&s, "good, with octets in it");
    } else {
        v = cs_der_get(&s, CS_DER_CTX(2));
        if (cs_der_ok(&s) && v.n > 0) cs_der_bad(&s, "unknown, with octets in it");
    }
    list->fault->field = "thisUpdate";
    ret->this_update = read_time(&s);
    list->fault->field = "nextUpdate";
    if (cs_der_in_opt(&s, CS_DER_CTX_CONS(0), &in)) {
        ret->has_next_update = true;
        ret->next_update = read_time(&in);
        cs_der_end(&in);
    }
    list->fault->field = "singleExtensions";
    if (cs_der_in_opt(&s, CS_DER_CTX_CONS(1), &in)) {
        cs_der exts = cs_der_in(&in, CS_DER_SEQUENCE);
        read_exts(&exts, NULL);
        cs_der_end(&in);
    }
    cs_der_end(&s);
    return cs_der_ok(list);
}

/* @rfc 6960#4.2.1 */
static void read_data(cs_ocsp *o, cs_view data, cs_der_fault *fault) {
    cs_der d = cs_der_of(data, fault), in;
    cs_ocsp_single one;
    cs_ocsp_id id;
    fault->field = "version";
    if (cs_der_in_opt(&d, CS_DER_CTX_CONS(0), &in)) cs_der_bad(&in, "is written out"); /* v1 is the default */
    fault->field = "responderID";
    if (cs_der_in_opt(&d, CS_DER_CTX_CONS(1), &in)) {
        o->by_name = cs_der_get_whole(&in, CS_DER_SEQUENCE);
        cs_name_check(o->by_name, fault, NULL);
    } else {
        in = cs_der_in(&d, CS_DER_CTX_CONS(2));
        o->by_key = cs_der_get(&in, CS_DER_OCTET_STRING);
        if (cs_der_ok(&d) && o->by_key.n != 20) cs_der_bad(&d, "not a SHA-1");
    }
    cs_der_end(&in);
    fault->field = "producedAt";
    o->produced_at = read_time(&d);
    fault->field = "responses";
    o->singles = cs_der_get(&d, CS_DER_SEQUENCE);
    if (cs_der_ok(&d) && o->singles.n == 0) cs_der_bad(&d, "an empty list");
    cs_der list = cs_der_of(o->singles, fault);
    while (read_single(&list, &id, &one))
        if (++o->count > CS_OCSP_SINGLES_MAX) cs_der_bad(&list, "more than 256 answers");
    fault->field = "responseExtensions";
    if (cs_der_in_opt(&d, CS_DER_CTX_CONS(1), &in)) {
        cs_der exts = cs_der_in(&in, CS_DER_SEQUENCE);
        read_exts(&exts, &o->nonce);
        cs_der_end(&in);
    }
    cs_der_end(&d);
}

/* Those that do not decode are left out: they authorise nobody. */
static cs_status read_certs(cs_ocsp *o, cs_der *list, cs_err *err) {
    for (int n = 0; cs_der_more(list); n++) {
        cs_cert *c = NULL;
        cs_view whole = cs_der_get_whole(list, CS_DER_SEQUENCE);
        if (n == CS_OCSP_CERTS_MAX) cs_der_bad(list, "more than 8 certificates");
        if (!cs_der_ok(list)) break;
        cs_status s = cs_cert_decode_noting(whole, &c, err);
        if (s == CS_NOMEM) return s;
        if (s == CS_OK) TRY(cs_certs_add(&o->certs, c, err));
    }
    return CS_OK;
}

static cs_status read_basic(cs_ocsp *o, cs_view basic, cs_der_fault *fault, cs_err *err) {
    cs_der d = cs_der_of(basic, fault), s = cs_der_in(&d, CS_DER_SEQUENCE), in;
    cs_der_end(&d);
    cs_der peek = s;
    o->tbs = cs_der_get_whole(&s, CS_DER_SEQUENCE);
    cs_view data = cs_der_get(&peek, CS_DER_SEQUENCE);
    fault->field = "signatureAlgorithm";
    cs_view alg = cs_der_get_whole(&s, CS_DER_SEQUENCE);
    if (fault->rule == NULL) cs_sigalg_read(alg, &o->alg);
    fault->field = "signature";
    o->sig = cs_der_bits_of(&s, cs_der_get(&s, CS_DER_BIT_STRING), NULL);
    fault->field = "certs";
    if (cs_der_in_opt(&s, CS_DER_CTX_CONS(0), &in)) {
        cs_der list = cs_der_in(&in, CS_DER_SEQUENCE);
        TRY(read_certs(o, &list, err));
        cs_der_end(&in);
    }
    cs_der_end(&s);
    if (fault->rule == NULL) read_data(o, data, fault);
    return CS_OK;
}

cs_status cs_ocsp_decode(cs_view der, cs_ocsp **ret, cs_err *err) {
    if (der.n > CS_OCSP_MAX) return cs_fail(err, CS_LIMIT, CS_R_OCSP_INVALID, "an OCSP response of %zu bytes", der.n);
    CS_AUTO(cs_ocsp) o = calloc(1, sizeof *o);
    if (!o || !(o->owned = malloc(der.n + 1))) return CS_NOMEM_ERR(err);
    o->refs = 1;
    if (der.n) memcpy(o->owned, der.p, der.n);
    cs_der_fault fault = {.field = "responseStatus"};
    cs_der d = cs_der_of((cs_view){o->owned, der.n}, &fault), s = cs_der_in(&d, CS_DER_SEQUENCE), in;
    cs_der_end(&d);
    cs_view status = cs_der_get(&s, CS_DER_ENUMERATED);
    o->status = (int)cs_der_uint_of(&s, status, 6);
    fault.field = "responseBytes";
    if (cs_der_in_opt(&s, CS_DER_CTX_CONS(0), &in)) {
        cs_der bytes = cs_der_in(&in, CS_DER_SEQUENCE);
        if (!cs_view_eq(cs_der_oid(&bytes), CS_OID_OCSP_BASIC))
            cs_der_bad(&bytes, "not of the type id-pkix-ocsp-basic");
        cs_view basic = cs_der_get(&bytes, CS_DER_OCTET_STRING);
        cs_der_end(&bytes);
        cs_der_end(&in);
        if (cs_der_ok(&s)) TRY(read_basic(o, basic, &fault, err));
    } else if (o->status == 0) {
        cs_der_bad(&s, "missing");
    }
    fault.field = fault.rule ? fault.field : "OCSPResponse";
    cs_der_end(&s);
    if (fault.rule)
        return cs_fail(err, CS_REFUSED, CS_R_OCSP_INVALID, "%s: %s", fault.in ? fault.in : fault.field, fault.rule);
    *ret = CS_TAKE(o);
    return CS_OK;
}

cs_ocsp *cs_ocsp_ref(const cs_ocsp *o) {
    cs_ocsp *held = (cs_ocsp *)(uintptr_t)o;
    if (held) __atomic_add_fetch(&held->refs, 1, __ATOMIC_RELAXED);
    return held;
}

void cs_ocsp_free(cs_ocsp *o) {
    if (!o || (o->refs && __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) > 0)) return;
    cs_certs_free(&o->certs);
    free(o->owned);
    free(o);
}

/* ---- whom it is about, and who made it ---- */

const EVP_MD *cs_ocsp_digest(cs_view oid) {
    if (cs_view_eq(oid, OID_SHA1)) return EVP_sha1(); /* only to identify */
    if (oid.n != 9 || memcmp(oid.p, "\x60\x86\x48\x01\x65\x03\x04\x02", 8) != 0) return NULL;
    return oid.p[8] == 1 ? EVP_sha256() : oid.p[8] == 2 ? EVP_sha384() : oid.p[8] == 3 ? EVP_sha512() : NULL;
}

bool cs_ocsp_hash_is(const EVP_MD *md, cs_view data, cs_view want) {
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    return EVP_Digest(data.p, data.n, out, &n, md, NULL) == 1 && cs_view_eq(cs_view_of(out, n), want);
}

cs_view cs_ocsp_key_octets(const cs_cert *c) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(c->spki, &fault), s = cs_der_in(&d, CS_DER_SEQUENCE);
    (void)cs_der_get(&s, CS_DER_SEQUENCE);
    return cs_der_bits(&s, NULL);
}

bool cs_ocsp_find(const cs_ocsp *o, const cs_cert *cert, const cs_cert *issuer, cs_ocsp_single *ret) {
    static const int worse[] = {[CS_OCSP_GOOD] = 0, [CS_OCSP_UNKNOWN] = 1, [CS_OCSP_REVOKED] = 2};
    cs_der_fault fault = {0};
    cs_der list = cs_der_of(o->singles, &fault);
    cs_ocsp_single one;
    cs_ocsp_id id;
    bool found = false;
    while (read_single(&list, &id, &one)) {
        const EVP_MD *md = cs_ocsp_digest(id.hash);
        if (md == NULL || !cs_view_eq(id.serial, cert->serial)) continue;
        if (!cs_ocsp_hash_is(md, issuer->subject, id.name_hash) && !cs_ocsp_hash_is(md, cert->issuer, id.name_hash))
            continue;
        if (!cs_ocsp_hash_is(md, cs_ocsp_key_octets(issuer), id.key_hash)) continue;
        if (!found || worse[one.status] > worse[ret->status]) *ret = one;
        found = true;
    }
    return found;
}

bool cs_ocsp_is_by(const cs_ocsp *o, const cs_cert *responder) {
    if (o->by_name.n > 0) return cs_name_eq(o->by_name, responder->subject);
    return cs_ocsp_hash_is(EVP_sha1(), cs_ocsp_key_octets(responder), o->by_key);
}

bool cs_cert_has_nocheck(const cs_cert *c) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(c->tbs, &fault), t = cs_der_in(&d, CS_DER_SEQUENCE);
    while (cs_der_more(&t)) {
        uint8_t tag = 0;
        cs_view in = cs_der_any(&t, &tag, NULL);
        if (!cs_der_ok(&t) || tag != CS_DER_CTX_CONS(3)) continue;
        cs_der outer = cs_der_of(in, &fault), list = cs_der_in(&outer, CS_DER_SEQUENCE);
        while (cs_der_more(&list)) {
            cs_der e = cs_der_in(&list, CS_DER_SEQUENCE);
            if (cs_view_eq(cs_der_oid(&e), CS_OID_OCSP_NOCHECK) && cs_der_ok(&e)) return true;
        }
    }
    return false;
}

/* ---- asking ---- */

static void put_hash(cs_buf *b, cs_view data) {
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(data.p, data.n, out, &n, EVP_sha1(), NULL) != 1) b->failed = true;
    cs_der_put(b, CS_DER_OCTET_STRING, cs_view_of(out, n));
}

void cs_ocsp_nonce_put(cs_buf *b, uint8_t tag, cs_view nonce) {
    cs_der_mark exts = cs_der_open(b, tag), list = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_mark one = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_OCSP_NONCE);
    cs_der_mark value = cs_der_open(b, CS_DER_OCTET_STRING);
    cs_der_put(b, CS_DER_OCTET_STRING, nonce);
    cs_der_close(b, value);
    cs_der_close(b, one);
    cs_der_close(b, list);
    cs_der_close(b, exts);
}

cs_status cs_ocsp_request(const cs_cert *cert, const cs_cert *issuer, cs_view nonce, cs_buf *out, cs_err *err) {
    if (nonce.n > CS_OCSP_NONCE_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a nonce of %zu bytes", nonce.n);
    cs_der_mark whole = cs_der_open(out, CS_DER_SEQUENCE), tbs = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_mark list = cs_der_open(out, CS_DER_SEQUENCE), request = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_mark id = cs_der_open(out, CS_DER_SEQUENCE), alg = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_put_oid(out, OID_SHA1);
    cs_der_put(out, CS_DER_NULL, (cs_view){NULL, 0});
    cs_der_close(out, alg);
    put_hash(out, cert->issuer);
    put_hash(out, cs_ocsp_key_octets(issuer));
    cs_der_put(out, CS_DER_INTEGER, cert->serial);
    cs_der_close(out, id);
    cs_der_close(out, request);
    cs_der_close(out, list);
    if (nonce.n > 0) cs_ocsp_nonce_put(out, CS_DER_CTX_CONS(2), nonce);
    cs_der_close(out, tbs);
    cs_der_close(out, whole);
    return cs_buf_ok(out, "an OCSP request", err);
}
