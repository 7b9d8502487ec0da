/* General messages: CA certificates, roots' updates, lists of revoked certificates, what to ask for. @rfc 9483#4.3 */
#include <errno.h>
#include <unistd.h>

#include "authority/rollover.h"
#include "proto/cmp/cmp_door.h"

#define IT "\x2b\x06\x01\x05\x05\x07\x04" /* id-it */

static void open_item(cs_buf *b, const char *oid, cs_der_mark *item) {
    *item = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, cs_view_str(oid));
}

/* caCerts: the roots, and every CA below. */
static cs_status put_cas(cmp_exchange *x, const cmp_info *asked, cs_err *err) {
    const cs_cert *one = NULL;
    cs_der_mark item, list;
    (void)asked, (void)err;
    rollover_told(x->c->a, x->signer); /* whose signature was verified; NULL: nobody's */
    open_item(&x->content, IT "\x11", &item);
    list = cs_der_open(&x->content, CS_DER_SEQUENCE);
    for (size_t i = 0; (one = authority_root_at(x->c->a, i)) != NULL; i++) (void)cs_buf_add_view(&x->content, one->der);
    for (size_t i = 0; (one = authority_cert_at(x->c->a, i)) != NULL; i++) (void)cs_buf_add_view(&x->content, one->der);
    cs_der_close(&x->content, list);
    cs_der_close(&x->content, item);
    return CS_OK;
}

/* A certificate for the key of `of`, signed by `by`; NULL: there is none. */
static const cs_cert *cross(const cmp_exchange *x, const cs_cert *of, const cs_cert *by) {
    const cs_cert *one = NULL;
    for (size_t i = 0; (one = authority_cert_at(x->c->a, i)) != NULL; i++)
        if (cs_view_eq(one->spki, of->spki) && cs_view_eq(one->issuer, by->subject)) return one;
    return NULL;
}

static void put_cert_at(cs_buf *b, unsigned tag, const cs_cert *c) {
    if (c != NULL) cs_der_put(b, (uint8_t)CS_DER_CTX_CONS(tag), c->der);
}

/* rootCaCert asks whether there is a newer root than that one; the answer has no value when there is none. */
static cs_status put_root_update(cmp_exchange *x, const cmp_info *asked, cs_err *err) {
    CS_AUTO(cs_cert) old = NULL;
    const cs_cert *newer = NULL, *one = NULL;
    cs_der_mark item, update;
    if (asked->value.n > 0) TRY(cs_cert_decode(asked->value, &old, err));
    for (size_t i = 0; old != NULL && (one = authority_root_at(x->c->a, i)) != NULL; i++)
        if (one->not_before > (newer != NULL ? newer : old)->not_before && !cs_view_eq(one->spki, old->spki))
            newer = one;
    open_item(&x->content, IT "\x12", &item);
    if (newer != NULL) {
        update = cs_der_open(&x->content, CS_DER_SEQUENCE);
        (void)cs_buf_add_view(&x->content, newer->der);
        put_cert_at(&x->content, 0, cross(x, newer, old));
        put_cert_at(&x->content, 1, cross(x, old, newer));
        cs_der_close(&x->content, update);
    }
    cs_der_close(&x->content, item);
    return CS_OK;
}

/* Is it one of the lists that are asked about, or is none named? crlStatusList: SEQUENCE OF { source, thisUpdate }, the
 * source [0] a distribution point or [1] issuer names. */
static bool named(const cmp_exchange *x, cs_view asked, const authority_list *l) {
    char text[512];
    cs_view subject = l->ca->cert->subject, url = cs_view_str(authority_crl_url(x->c->a, l, text));
    if (asked.n == 0) return true;
    return memmem(asked.p, asked.n, url.p, url.n) != NULL ||
           (l->shard == 0 && memmem(asked.p, asked.n, subject.p, subject.n) != NULL);
}

static cs_status put_crl(cmp_exchange *x, const authority_list *l, cs_err *err) {
    CS_AUTO(authority_blob) crl = NULL;
    char url[512];
    TRY(authority_crl(x->c->a, l, &crl, err));
    if (crl->crl.size > CMP_ANSWER_MAX / 2)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "the CRL has %llu octets: fetch it from %s",
                       (unsigned long long)crl->crl.size, authority_crl_url(x->c->a, l, url));
    uint8_t *to = cs_buf_reserve(&x->content, (size_t)crl->crl.size);
    if (to == NULL) return CS_NOMEM_ERR(err);
    ssize_t n = pread(crl->fd, to, (size_t)crl->crl.size, 0);
    if (n < 0 || (uint64_t)n != crl->crl.size) return cs_fail_errno(err, errno, CS_R_STATE_CORRUPT, "the CRL's file");
    cs_buf_commit(&x->content, (size_t)n);
    return CS_OK;
}

static cs_status put_current_crl(cmp_exchange *x, const cmp_info *asked, cs_err *err) {
    const authority_list l = {.ca = authority_ca_current(x->c->a)};
    cs_der_mark item;
    (void)asked;
    open_item(&x->content, IT "\x06", &item);
    TRY(put_crl(x, &l, err));
    cs_der_close(&x->content, item);
    return CS_OK;
}

static cs_status put_listed_crls(cmp_exchange *x, const cmp_info *asked, cs_err *err) {
    authority_list l;
    cs_der_mark item, list;
    open_item(&x->content, IT "\x17", &item);
    list = cs_der_open(&x->content, CS_DER_SEQUENCE);
    for (size_t i = 0; authority_list_at(x->c->a, i, &l); i++)
        if (!l.delta && named(x, asked->value, &l)) TRY(put_crl(x, &l, err));
    cs_der_close(&x->content, list);
    cs_der_close(&x->content, item);
    return CS_OK;
}

static void put_p256(cs_buf *b) {
    cs_der_mark alg = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2a\x86\x48\xce\x3d\x02\x01"));
    cs_der_put_oid(b, CS_OID_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x07"));
    cs_der_close(b, alg);
}

static cs_status put_key_types(cmp_exchange *x, const cmp_info *asked, cs_err *err) {
    cs_der_mark item, list;
    (void)asked, (void)err;
    open_item(&x->content, IT "\x02", &item);
    list = cs_der_open(&x->content, CS_DER_SEQUENCE);
    put_p256(&x->content);
    cs_der_close(&x->content, list);
    cs_der_close(&x->content, item);
    return CS_OK;
}

/* certReqTemplate: the subject's commonName is the client's to fill in, all else the profile's; keySpec: P-256.
 * @rfc 9483#4.3.3 */
static cs_status put_template(cmp_exchange *x, const cmp_info *asked, cs_err *err) {
    cs_buf *b = &x->content;
    cs_der_mark item;
    (void)asked, (void)err;
    open_item(b, IT "\x13", &item);
    cs_der_mark content = cs_der_open(b, CS_DER_SEQUENCE), template = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_mark subject = cs_der_open(b, CS_DER_CTX_CONS(5)), name = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_mark rdn = cs_der_open(b, CS_DER_SET), cn = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x55\x04\x03"));
    cs_der_put_str(b, CS_DER_UTF8_STRING, "");
    cs_der_close(b, cn);
    cs_der_close(b, rdn);
    cs_der_close(b, name);
    cs_der_close(b, subject);
    cs_der_close(b, template);
    cs_der_mark controls = cs_der_open(b, CS_DER_SEQUENCE), control = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x05\x01\x0b")); /* id-regCtrl-algId */
    put_p256(b);
    cs_der_close(b, control);
    cs_der_close(b, controls);
    cs_der_close(b, content);
    cs_der_close(b, item);
    return CS_OK;
}

typedef cs_status put_fn(cmp_exchange *x, const cmp_info *asked, cs_err *err);
static const struct {
    uint8_t last; /* of the OID */
    bool unasked; /* told too when nothing is named */
    put_fn *put;
} items[] = {{2, true, put_key_types}, {6, true, put_current_crl},   {17, true, put_cas},
             {19, true, put_template}, {20, false, put_root_update}, {22, false, put_listed_crls}};

cs_status cmp_info_answer(cmp_exchange *x, cs_err *err) {
    cmp_info asked[CMP_INFO_MAX];
    size_t n = 0, known = 0;
    TRY(cmp_infos_read(&x->in, asked, &n, err));
    x->body = CMP_GENP;
    cs_der_mark all = cs_der_open(&x->content, CS_DER_SEQUENCE);
    for (size_t i = 0; i < n; i++) {
        cs_view oid = asked[i].oid;
        bool it = oid.n == 8 && memcmp(oid.p, IT, 7) == 0;
        for (size_t k = 0; it && k < sizeof items / sizeof *items; k++) {
            if (items[k].last != oid.p[7]) continue;
            TRY(items[k].put(x, &asked[i], err));
            known++;
        }
    }
    for (size_t k = 0; n == 0 && k < sizeof items / sizeof *items; k++)
        if (items[k].unasked) TRY(items[k].put(x, NULL, err));
    if (n > 0 && known == 0)
        return cs_fail(err, CS_REFUSED, CS_R_OPERATION_UNSUPPORTED, "none of what the general message asks for");
    cs_der_close(&x->content, all);
    return cs_buf_ok(&x->content, "the answer", err);
}
