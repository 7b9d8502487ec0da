/* CMP's client half (RFC 9810, RFC 9483): ir by a token or with nothing, kur by the certificate that is renewed; waits
 * by polling, confirms what it got. Works against other people's servers too. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "proto/client/client.h"
#include "proto/cmp/cmp_msg.h"
#include "verify/verify.h"
#include "x509/build.h"
#include "x509/csr.h"

enum { POLL_DEFAULT_SECONDS = 60 };
#define WELL_KNOWN "/.well-known/cmp"

/* Of the transaction. */
typedef struct talk {
    uint8_t id[CMP_ID], ours[CMP_ID], theirs[CMP_ID_MAX];
    size_t theirs_n;
    cs_cmp_mac mac;
    bool waits; /* to be polled for */
    long request_id;
} talk;

/* One message and its answer. */
typedef struct trip {
    call_answer http;
    cmp_message in;
    bool by_secret; /* the answer is protected by our secret, which the CA knows too */
    bool proven;    /* protected at all */
} trip;

static void trip_free(trip *t) {
    cmp_message_free(&t->in);
    call_answer_free(&t->http);
}

/* ---- out ---- */

static cs_status url_of(const client *c, cs_buf *b, cs_err *err) {
    const char *host = strstr(c->url, "://"), *path = host != NULL ? strchr(host + 3, '/') : NULL;
    (void)cs_buf_add_str(b, c->url);
    if (path == NULL) (void)cs_buf_add_str(b, WELL_KNOWN);
    return cs_buf_cstr(b) != NULL ? cs_buf_ok(b, "the URL", err) : CS_NOMEM_ERR(err);
}

static cs_status send_message(client *c, cmp_body body, cs_view content, cs_buf *out, cs_err *err) {
    talk *t = c->state;
    const cs_cert *extra[CMP_EXTRA_MAX];
    size_t n = 0;
    cmp_head head = {.pvno = 2,
                     .transaction = cs_view_of(t->id, sizeof t->id),
                     .recip_nonce = cs_view_of(t->theirs, t->theirs_n),
                     .time = cs_now(c->clock),
                     .profile = c->profile};
    cmp_protector by = {.key = NULL};
    CS_SCOPED(cs_buf) name = cs_buf_of(CS_NAME_TEXT_MAX);
    TRY(cs_rng_fill(c->rng, t->ours, sizeof t->ours, err));
    head.sender_nonce = cs_view_of(t->ours, sizeof t->ours);
    if (c->secret != NULL) {
        TRY(cs_cmp_mac_make(c->rng, &t->mac, err));
        TRY(cs_dn_build(&(cs_dn){.common_name = c->user}, &name, err));
        by = (cmp_protector){.mac = &t->mac, .secret = cs_secret_view(c->secret)};
        head.sender = cs_buf_view(&name);
        head.sender_kid = cs_view_str(c->user);
    } else if (c->old != NULL) {
        by.key = c->old_key;
        head.sender = c->old->at[0]->subject;
        head.sender_kid = c->old->at[0]->skid;
        for (; n < c->old->n && n < CMP_EXTRA_MAX; n++) extra[n] = c->old->at[n];
    }
    return cmp_seal(&head, body, content, &by, extra, n, out, err);
}

/* ---- in ---- */

static cs_status check_mac(const client *c, const cmp_message *m, cs_view covered, cs_err *err) {
    cs_cmp_mac mac;
    uint8_t made[CS_CMP_MAC_MAX];
    size_t n = 0;
    if (c->secret == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "the answer is by a secret of others");
    TRY(cs_cmp_mac_read(m->h.protection_alg, &mac, err));
    TRY(cs_cmp_mac_compute(&mac, cs_secret_view(c->secret), covered, made, &n, err));
    if (cs_view_eq_consttime(cs_view_of(made, n), m->protection)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "the answer was not made with our token");
}

/* A CA, or who may answer in its name: cmcRA (.28), cmcCA (.27), or nothing said of its use. @rfc 9810#8 */
static bool may_answer(const cs_cert *signer) {
    static const uint8_t cmc_ca[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x1b};
    bool critical = false;
    cs_view eku;
    if (signer->has_key_usage && (signer->key_usage & CS_KU_DIGITAL_SIGNATURE) == 0 && !signer->is_ca) return false;
    if (signer->is_ca || !signer->has_eku || (signer->eku & (CS_EKU_CMC_RA | CS_EKU_ANY)) != 0) return true;
    return cs_cert_ext_find(signer, CS_OID_LIT("\x55\x1d\x25"), &critical, &eku) &&
           memmem(eku.p, eku.n, cmc_ca, sizeof cmc_ca) != NULL;
}

static cs_status check_signature(const client *c, const cmp_message *m, cs_view covered, cs_err *err) {
    const cs_cert *signer = m->extra.n > 0 ? m->extra.at[0] : NULL;
    for (size_t i = 0; m->h.sender_kid.n > 0 && i < m->extra.n; i++)
        if (cs_view_eq(m->extra.at[i]->skid, m->h.sender_kid)) signer = m->extra.at[i];
    if (signer == NULL) return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "the answer's signer is not in it");
    if (c->trust == NULL && c->cas.n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED,
                       "the answer is signed, and nothing says by whom it should be");
    TRY(cs_cmp_signature_check(signer, m->h.protection_alg, covered, m->protection, err));
    if (!may_answer(signer))
        return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED,
                       "the answer's signer is neither a CA nor a cmcRA or cmcCA");
    return client_check_signer(c, signer, &m->extra, err);
}

/* Ours, fresh, and by whom we may believe it. `open`: general messages, whose content is judged by itself. */
static cs_status check_answer(client *c, trip *t, bool open, cs_err *err) {
    talk *k = c->state;
    CS_SCOPED(cs_buf) covered = cs_buf_of(CMP_ANSWER_MAX + 8);
    const cmp_header *h = &t->in.h;
    bool ours = cs_view_eq(h->transaction, cs_view_of(k->id, sizeof k->id)) &&
                cs_view_eq(h->recip_nonce, cs_view_of(k->ours, sizeof k->ours));
    if (!ours && t->in.protection.n > 0)
        return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "the answer is to another message than ours");
    TRY(cmp_covered(&t->in, &covered, err));
    t->by_secret = t->in.protection.n > 0 && cs_cmp_mac_is(h->protection_alg);
    if (t->by_secret)
        TRY(check_mac(c, &t->in, cs_buf_view(&covered), err));
    else if (t->in.protection.n > 0 && !open)
        TRY(check_signature(c, &t->in, cs_buf_view(&covered), err));
    t->proven = t->by_secret || (t->in.protection.n > 0 && !open);
    /* nobody is believed a yes without protection; a no is only a no */
    if (!t->proven && !open && t->in.body != CMP_ERROR)
        return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "the answer is not protected");
    k->theirs_n = h->sender_nonce.n;
    if (h->sender_nonce.n > 0) memcpy(k->theirs, h->sender_nonce.p, h->sender_nonce.n);
    return CS_OK;
}

static cs_status refused(const client *c, const cmp_status *s, cs_err *err) {
    char words[CMP_TEXT_MAX + 64];
    /* ours begins with its reason's name; of others, bits may be all there is */
    if (s->text[0] != '\0')
        (void)snprintf(words, sizeof words, "%s", s->text);
    else
        (void)snprintf(words, sizeof words, "rejected, PKIFailureInfo %#x", s->failure);
    return client_refused(c, 200, cs_view_str(words), err);
}

static cs_status go(client *c, cmp_body body, cs_view content, bool open, trip *ret, cs_err *err) {
    CS_SCOPED(cs_buf) url = cs_buf_of(CALL_URL_MAX), out = cs_buf_of(CMP_MESSAGE_MAX);
    cmp_status says;
    TRY(url_of(c, &url, err));
    TRY(send_message(c, body, content, &out, err));
    const call_ask ask = {.url = cs_buf_cstr(&url),
                          .body = cs_buf_view(&out),
                          .type = CMP_TYPE,
                          .unproven = open && c->fingerprint != NULL};
    TRY(call_perform(c->http, &ask, &ret->http, err));
    cs_view type = call_header(&ret->http, "Content-Type"), cmp = CS_VIEW_LIT(CMP_TYPE);
    if (type.n < cmp.n || !cs_view_eq_nocase(cs_view_of(type.p, cmp.n), cmp)) {
        if (ret->http.status != 200) return client_refused(c, ret->http.status, cs_buf_view(&ret->http.body), err);
        return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s: not of the type " CMP_TYPE, c->url);
    }
    if (cmp_read(cs_buf_view(&ret->http.body), &ret->in, err) != CS_OK) {
        err->reason = CS_R_SERVER_ANSWER_INVALID;
        return cs_fail_in(err, "%.200s", c->url);
    }
    TRY(check_answer(c, ret, open, err));
    if (ret->in.body != CMP_ERROR) return CS_OK;
    TRY(cmp_error_read(&ret->in, &says, err));
    return refused(c, &says, err);
}

/* ---- before a key is made ---- */

static cs_status new_talk(client *c, cs_err *err) {
    if (c->state == NULL) c->state = calloc(1, sizeof(talk));
    if (c->state == NULL) return CS_NOMEM_ERR(err);
    talk *t = c->state;
    *t = (talk){.waits = false};
    return cs_rng_fill(c->rng, t->id, sizeof t->id, err);
}

static void close_talk(client *c) {
    free(c->state);
    c->state = NULL;
}

/* With a fingerprint, the CA's certificates are asked for and judged by it, as whatever else comes is by them. */
static cs_status prepare(client *c, cs_err *err) {
    static const uint8_t ask_cas[] = {0x30, 0x0c, 0x30, 0x0a, 0x06, 0x08, 0x2b,
                                      0x06, 0x01, 0x05, 0x05, 0x07, 0x04, 0x11}; /* id-it-caCerts */
    CS_SCOPED(trip) t = {.by_secret = false};
    CS_SCOPED(cs_certs) bag = {.n = 0};
    cmp_info infos[CMP_INFO_MAX];
    size_t n = 0;
    TRY(new_talk(c, err));
    if (c->fingerprint == NULL) return CS_OK;
    TRY(go(c, CMP_GENM, cs_view_of(ask_cas, sizeof ask_cas), true, &t, err));
    if (t.in.body != CMP_GENP || cmp_infos_read(&t.in, infos, &n, err) != CS_OK || n == 0 || infos[0].value.n == 0)
        return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s does not tell its CA certificates", c->url);
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(infos[0].value, &fault);
    TRY(cmp_certs_read(cs_der_get(&d, CS_DER_SEQUENCE), &bag, err));
    TRY(client_take_cas(c, &bag, false, err));
    return new_talk(c, err);
}

/* ---- asking ---- */

static cs_status make_request(const client *c, bool renews, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) name = cs_buf_of(CS_NAME_TEXT_MAX);
    cs_view subject;
    if (renews) {
        subject = c->old->at[0]->subject;
    } else {
        TRY(cs_dn_build(&(cs_dn){.common_name = c->name}, &name, err));
        subject = cs_buf_view(&name);
    }
    return cs_crmf_make(c->key, subject, c->sans, c->san_count, renews ? c->old->at[0] : NULL, b, err);
}

static cs_status put_confirmation(const client *c, long id, const cs_err *why, cs_buf *b, cs_err *err) {
    uint8_t hash[CS_CMP_HASH_MAX];
    size_t n = 0;
    TRY(cs_cmp_cert_hash(c->chain.at[0], (cs_view){NULL, 0}, hash, &n, err));
    cs_der_mark list = cs_der_open(b, CS_DER_SEQUENCE), one = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put(b, CS_DER_OCTET_STRING, cs_view_of(hash, n));
    cmp_put_long(b, id);
    if (why != NULL) {
        cmp_status status = {.status = CMP_REJECTION, .failure = CMP_BAD_CERT_TEMPLATE};
        (void)snprintf(status.text, sizeof status.text, "%s", cs_reason_of(why->reason)->says);
        cmp_put_status(b, &status);
    }
    cs_der_close(b, one);
    cs_der_close(b, list);
    return cs_buf_ok(b, "the confirmation", err);
}

/* Says yes or no to what came; only a yes that was heard ends well. */
static cs_status confirm(client *c, long id, bool wanted, cs_err *err) {
    CS_SCOPED(cs_buf) content = cs_buf_of(1024);
    CS_SCOPED(trip) t = {.by_secret = false};
    cs_err why, ignored;
    cs_status status = c->judge(c, &why);
    if (wanted) TRY(put_confirmation(c, id, status != CS_OK ? &why : NULL, &content, err));
    if (status != CS_OK) {
        if (wanted) (void)!go(c, CMP_CERTCONF, cs_buf_view(&content), false, &t, &ignored);
        *err = why;
        return status;
    }
    if (!wanted) return CS_OK;
    TRY(go(c, CMP_CERTCONF, cs_buf_view(&content), false, &t, err));
    if (t.in.body == CMP_PKICONF) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s did not take the confirmation", c->url);
}

static cs_status take_certificate(client *c, const trip *t, const cmp_answer *a, cs_err *err) {
    CS_SCOPED(cs_certs) pubs = {.n = 0};
    cs_cert *leaf = NULL;
    if (a->cert.n == 0) return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s: no certificate", c->url);
    TRY(cs_cert_decode(a->cert, &leaf, err));
    TRY(cs_certs_add(&c->chain, leaf, err));
    for (size_t i = 0; i < t->in.extra.n; i++) TRY(cs_certs_add(&c->chain, cs_cert_ref(t->in.extra.at[i]), err));
    if (!t->by_secret || a->ca_pubs.n == 0) return CS_OK; /* what a signature says of roots means nothing */
    TRY(cmp_certs_read(a->ca_pubs, &pubs, err));
    return client_take_cas(c, &pubs, true, err);
}

static cs_status take_answer(client *c, const trip *t, cs_err *err) {
    talk *k = c->state;
    cmp_answer a;
    TRY(cmp_answer_read(&t->in, &a, err));
    k->request_id = a.id;
    if (a.is.status == CMP_WAITING) {
        k->waits = true;
        c->retry = CS_SEC; /* the first poll says when to ask again */
        (void)snprintf(c->waits, sizeof c->waits, "%.100s", a.is.text);
        return CS_AGAIN;
    }
    k->waits = false;
    if (a.is.status != CMP_ACCEPTED && a.is.status != CMP_GRANTED_WITH_MODS) return refused(c, &a.is, err);
    TRY(take_certificate(c, t, &a, err));
    return confirm(c, a.id, !t->in.h.implicit_confirm, err);
}

static cs_status take(client *c, const trip *t, cs_err *err) {
    uint64_t seconds = 0;
    switch (t->in.body) {
    case CMP_IP:
    case CMP_CP:
    case CMP_KUP: return take_answer(c, t, err);
    case CMP_POLLREP:
        TRY(cmp_wait_read(&t->in, &seconds, err));
        c->retry = (cs_time)(seconds > 0 ? seconds : POLL_DEFAULT_SECONDS) * CS_SEC;
        return CS_AGAIN;
    default:
        return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s: a body of type %d", c->url,
                       (int)t->in.body);
    }
}

static cs_status ask(client *c, cs_err *err) {
    talk *k = c->state;
    bool renews = c->old != NULL && c->secret == NULL;
    CS_SCOPED(cs_buf) content = cs_buf_of(CS_CSR_MAX);
    CS_SCOPED(trip) t = {.by_secret = false};
    if (k->waits) {
        cs_der_mark list = cs_der_open(&content, CS_DER_SEQUENCE), one = cs_der_open(&content, CS_DER_SEQUENCE);
        cmp_put_long(&content, k->request_id);
        cs_der_close(&content, one);
        cs_der_close(&content, list);
        TRY(go(c, CMP_POLLREQ, cs_buf_view(&content), false, &t, err));
    } else {
        TRY(make_request(c, renews, &content, err));
        TRY(go(c, renews ? CMP_KUR : CMP_IR, cs_buf_view(&content), false, &t, err));
    }
    return take(c, &t, err);
}

const client_protocol client_cmp = {
    .name = "cmp",
    .paths = {WELL_KNOWN},
    .plain = true,
    .prepare = prepare,
    .ask = ask,
    .close = close_talk,
};
