/* OCSP from the responder's side: requests read, answers written. @rfc 6960#4 @rfc 9654 */
#include <stdio.h>

#include "base/text.h"
#include "x509/build.h"
#include "x509/exts_write.h"
#include "x509/ocsp_priv.h"

/* ---- what is asked ---- */

/* The nonce's octets stand in an OCTET STRING of their own. @rfc 9654#2.1: 1 to 128 of them. */
static void read_nonce(cs_der *exts, cs_view *ret) {
    while (cs_der_more(exts)) {
        cs_der e = cs_der_in(exts, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&e);
        bool critical = cs_der_peek(&e) == CS_DER_BOOLEAN && cs_der_bool(&e);
        cs_der value = cs_der_in(&e, CS_DER_OCTET_STRING);
        cs_der_end(&e);
        if (!cs_view_eq(oid, CS_OID_OCSP_NONCE)) {
            if (critical) cs_der_bad(exts, "a critical one that is not understood");
            continue; /* acceptable responses and the like: preferences */
        }
        if (ret->n > 0) cs_der_bad(exts, "two nonces");
        *ret = cs_der_get(&value, CS_DER_OCTET_STRING);
        cs_der_end(&value);
        if (cs_der_ok(exts) && (ret->n == 0 || ret->n > CS_OCSP_NONCE_MAX))
            cs_der_bad(exts, "a nonce that has not 1 to 128 octets");
    }
}

static void read_list(cs_der *list, cs_ocsp_asked *ret) {
    cs_der in;
    if (list->left == 0) cs_der_bad(list, "an empty list");
    while (cs_der_more(list)) {
        if (ret->n == CS_OCSP_ASKED_MAX) {
            cs_der_bad(list, "more than 16 certificates");
            return;
        }
        cs_ocsp_id *id = &ret->ids[ret->n++];
        cs_der request = cs_der_in(list, CS_DER_SEQUENCE), peek = request;
        id->whole = cs_der_get_whole(&peek, CS_DER_SEQUENCE);
        cs_der contents = cs_der_in(&request, CS_DER_SEQUENCE);
        cs_ocsp_id_read(&contents, id);
        if (cs_der_in_opt(&request, CS_DER_CTX_CONS(0), &in)) { /* service locators and the like */
            (void)cs_der_get(&in, CS_DER_SEQUENCE);
            cs_der_end(&in);
        }
        cs_der_end(&request);
    }
}

cs_status cs_ocsp_request_read(cs_view der, cs_ocsp_asked *ret, cs_err *err) {
    cs_der_fault fault = {.field = "OCSPRequest"};
    cs_der d = cs_der_of(der, &fault), in;
    *ret = (cs_ocsp_asked){.n = 0};
    if (der.n > CS_OCSP_REQUEST_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "an OCSP request of %zu octets, at most %d", der.n,
                       CS_OCSP_REQUEST_MAX);
    cs_der whole = cs_der_in(&d, CS_DER_SEQUENCE), tbs = cs_der_in(&whole, CS_DER_SEQUENCE);
    cs_der_end(&d);
    fault.field = "version";
    if (cs_der_in_opt(&tbs, CS_DER_CTX_CONS(0), &in)) { /* the default, which some write out */
        (void)cs_der_uint(&in, 0);
        cs_der_end(&in);
    }
    fault.field = "requestorName";
    if (cs_der_in_opt(&tbs, CS_DER_CTX_CONS(1), &in)) in.left = 0;
    fault.field = "requestList";
    cs_der list = cs_der_in(&tbs, CS_DER_SEQUENCE);
    read_list(&list, ret);
    fault.field = "requestExtensions";
    if (cs_der_in_opt(&tbs, CS_DER_CTX_CONS(2), &in)) {
        cs_der exts = cs_der_in(&in, CS_DER_SEQUENCE);
        read_nonce(&exts, &ret->nonce);
        cs_der_end(&in);
    }
    cs_der_end(&tbs);
    fault.field = "optionalSignature";
    if (cs_der_in_opt(&whole, CS_DER_CTX_CONS(0), &in)) in.left = 0;
    cs_der_end(&whole);
    if (fault.rule == NULL) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_OCSP_INVALID, "%s: %s", fault.in != NULL ? fault.in : fault.field, fault.rule);
}

bool cs_ocsp_id_is_of(const cs_ocsp_id *id, const cs_cert *issuer) {
    const EVP_MD *md = cs_ocsp_digest(id->hash);
    return md != NULL && cs_ocsp_hash_is(md, issuer->subject, id->name_hash) &&
           cs_ocsp_hash_is(md, cs_ocsp_key_octets(issuer), id->key_hash);
}

/* ---- what is answered ---- */

/* GeneralizedTime whatever the year, unlike in certificates. @rfc 6960#4.2.2.1 */
static void put_time(cs_buf *b, cs_time t) {
    char text[40];
    cs_civil c = cs_civil_of_time(t);
    (void)snprintf(text, sizeof text, "%04d%02d%02d%02d%02d%02dZ", c.year, c.month, c.day, c.hour, c.minute, c.second);
    cs_der_put_str(b, CS_DER_GENERALIZED_TIME, text);
}

static void put_single(cs_buf *b, const cs_ocsp_answer *a) {
    const cs_view nothing = {NULL, 0};
    cs_der_mark single = cs_der_open(b, CS_DER_SEQUENCE);
    (void)cs_buf_add_view(b, a->id->whole);
    if (a->is.status == CS_OCSP_REVOKED) {
        cs_der_mark revoked = cs_der_open(b, CS_DER_CTX_CONS(1));
        put_time(b, a->is.revoked_at);
        if (a->is.reason != CS_CRL_UNSPECIFIED) {
            cs_der_mark reason = cs_der_open(b, CS_DER_CTX_CONS(0));
            cs_der_put_uint(b, CS_DER_ENUMERATED, (uint64_t)a->is.reason);
            cs_der_close(b, reason);
        }
        cs_der_close(b, revoked);
    } else {
        cs_der_put(b, a->is.status == CS_OCSP_GOOD ? CS_DER_CTX(0) : CS_DER_CTX(2), nothing);
    }
    put_time(b, a->is.this_update);
    if (a->is.has_next_update) {
        cs_der_mark next = cs_der_open(b, CS_DER_CTX_CONS(0));
        put_time(b, a->is.next_update);
        cs_der_close(b, next);
    }
    cs_der_close(b, single);
}

cs_status cs_ocsp_data_build(const cs_ocsp_answer answers[], size_t n, const cs_cert *responder, cs_time produced_at,
                             cs_view nonce, cs_buf *tbs, cs_err *err) {
    uint8_t key[EVP_MAX_MD_SIZE];
    unsigned key_n = 0;
    cs_view octets = cs_ocsp_key_octets(responder);
    if (EVP_Digest(octets.p, octets.n, key, &key_n, EVP_sha1(), NULL) != 1) return CS_NOMEM_ERR(err); /* a name only */
    cs_der_mark data = cs_der_open(tbs, CS_DER_SEQUENCE), by = cs_der_open(tbs, CS_DER_CTX_CONS(2));
    cs_der_put(tbs, CS_DER_OCTET_STRING, cs_view_of(key, key_n));
    cs_der_close(tbs, by);
    put_time(tbs, produced_at);
    cs_der_mark list = cs_der_open(tbs, CS_DER_SEQUENCE);
    for (size_t i = 0; i < n; i++) put_single(tbs, &answers[i]);
    cs_der_close(tbs, list);
    if (nonce.n > 0) cs_ocsp_nonce_put(tbs, CS_DER_CTX_CONS(1), nonce);
    cs_der_close(tbs, data);
    return cs_buf_ok(tbs, "OCSP ResponseData", err);
}

static void put_certs(cs_buf *b, const cs_cert *responder) {
    cs_der_mark certs = cs_der_open(b, CS_DER_CTX_CONS(0)), list = cs_der_open(b, CS_DER_SEQUENCE);
    (void)cs_buf_add_view(b, responder->der);
    cs_der_close(b, list);
    cs_der_close(b, certs);
}

cs_status cs_ocsp_response_make(const cs_key *key, cs_view data, const cs_cert *responder, cs_buf *out, cs_err *err) {
    CS_SCOPED(cs_buf) sig = cs_buf_of(CS_SIGNATURE_MAX);
    cs_view algorithm;
    TRY(cs_key_algorithm(cs_key_spki(key), &algorithm, err));
    TRY(cs_key_sign(key, data, &sig, err));
    cs_der_mark whole = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_put_uint(out, CS_DER_ENUMERATED, 0);
    cs_der_mark explicit = cs_der_open(out, CS_DER_CTX_CONS(0)), bytes = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_put_oid(out, CS_OID_OCSP_BASIC);
    cs_der_mark octets = cs_der_open(out, CS_DER_OCTET_STRING), basic = cs_der_open(out, CS_DER_SEQUENCE);
    (void)cs_buf_add_view(out, data);
    (void)cs_buf_add_view(out, algorithm);
    cs_der_put_bits(out, cs_buf_view(&sig));
    put_certs(out, responder);
    cs_der_close(out, basic);
    cs_der_close(out, octets);
    cs_der_close(out, bytes);
    cs_der_close(out, explicit);
    cs_der_close(out, whole);
    return cs_buf_ok(out, "OCSP response", err);
}

void cs_ocsp_error_put(int status, cs_buf *out) {
    cs_der_mark whole = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_put_uint(out, CS_DER_ENUMERATED, (uint64_t)status);
    cs_der_close(out, whole);
}

/* ---- the responder's certificate ---- */

static cs_status check_ask(const cs_responder_ask *ask, cs_err *err) {
    static const uint8_t rsa[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    bool ra = ask->use == CS_RESPONDER_RA;
    int days = ra ? CS_RA_DAYS_MAX : CS_OCSP_RESPONDER_DAYS_MAX;
    if (ask->not_after <= ask->not_before || ask->not_after - ask->not_before > days * CS_DAY)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "%s certificate lives at most %d days",
                       ra ? "an RA's" : "an OCSP responder's", days);
    if (ask->not_before < ask->issuer->not_before || ask->not_after > ask->issuer->not_after)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "validity: outside that of the issuer");
    TRY(cs_key_spki_check(ask->spki, err));
    if (cs_view_eq(ask->spki, ask->issuer->spki))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "the CA's own key is no responder's");
    /* SEQUENCE { SEQUENCE { OID, NULL }, BIT STRING }, with lengths of more than 255 octets */
    if (ra && (ask->spki.n < 6 + sizeof rsa || memcmp(ask->spki.p + 6, rsa, sizeof rsa) != 0))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "an RA's key is RSA");
    return CS_OK;
}

cs_status cs_responder_build(const cs_responder_ask *ask, cs_buf *tbs, cs_err *err) {
    uint8_t keyid[CS_KEYID_LEN];
    char hex[13], cn[32];
    bool ra = ask->use == CS_RESPONDER_RA;
    CS_SCOPED(cs_buf) name = cs_buf_of(CS_NAME_TEXT_MAX);
    cs_tbs t = {.serial = ask->serial,
                .issuer = ask->issuer->subject,
                .spki = ask->spki,
                .not_before = ask->not_before,
                .not_after = ask->not_after};
    TRY(check_ask(ask, err));
    if (!cs_keyid_of_spki(ask->spki, keyid)) return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "the responder's key");
    (void)snprintf(cn, sizeof cn, "%s %s", ra ? "Enrollment RA" : "OCSP responder", cs_hex(cs_view_of(keyid, 6), hex));
    TRY(cs_dn_build(&(cs_dn){.common_name = cn}, &name, err));
    TRY(cs_key_algorithm(ask->issuer->spki, &t.algorithm, err));
    t.subject = cs_buf_view(&name);
    cs_tbs_open(tbs, &t);
    cs_ext_put_basic_constraints(tbs, false, -1);
    cs_ext_put_key_usage(tbs, CS_KU_DIGITAL_SIGNATURE | (ra ? CS_KU_KEY_ENCIPHERMENT : 0U));
    cs_ext_put_eku(tbs, ra ? CS_EKU_CMC_RA : CS_EKU_OCSP_SIGNING);
    cs_ext_put_ski(tbs, cs_view_of(keyid, sizeof keyid));
    cs_ext_put_aki(tbs, ask->issuer->skid);
    if (!ra) {
        cs_ext_mark nocheck = cs_ext_open(tbs, CS_OID_OCSP_NOCHECK, false);
        cs_der_put(tbs, CS_DER_NULL, (cs_view){NULL, 0});
        cs_ext_close(tbs, nocheck);
    }
    cs_tbs_close(tbs, &t);
    return cs_buf_ok(tbs, "certificate", err);
}
