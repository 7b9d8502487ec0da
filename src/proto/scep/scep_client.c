/* SCEP's client half (RFC 8894): PKCSReq by a challenge, RenewalReq by the certificate that is renewed, CertPoll while
 * a person decides. AES and SHA-256 alone are sent; answers are read with what others still use, since what is in them
 * is public and judged by itself. Works against other people's servers too. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "proto/client/client.h"
#include "proto/scep/scep_msg.h"
#include "x509/build.h"
#include "x509/cms.h"

enum { TRANSACTION_OCTETS = 20, RETRY_FIRST_SECONDS = 2, RETRY_MOST_SECONDS = 60 };
#define SELF_SIGNED_LIFETIME (30 * CS_DAY)

/* Of the transaction. */
typedef struct talk {
    unsigned caps;
    cs_certs signers; /* who may have signed an answer: proven */
    cs_cert *to;      /* to whom messages are encrypted, one of them */
    cs_cert *self;    /* a certificate of the new key that nobody has issued */
    bool waits;
    cs_time retry;
    char transaction[2 * TRANSACTION_OCTETS + 1];
    uint8_t nonce[SCEP_NONCE_LEN];
} talk;

static void close_talk(client *c) {
    talk *t = c->state;
    if (t == NULL) return;
    cs_certs_free(&t->signers);
    cs_cert_free(t->to);
    cs_cert_free(t->self);
    free(t);
    c->state = NULL;
}

/* URL [/scep] [/LABEL] ?operation=WORD [&message=...] */
static cs_status op_url(const client *c, const char *op, cs_view message, cs_buf *b, cs_err *err) {
    const char *host = strstr(c->url, "://"), *path = host != NULL ? strchr(host + 3, '/') : NULL;
    size_t n = strcspn(c->url, "?");
    while (n > 0 && c->url[n - 1] == '/') n--;
    (void)cs_buf_add(b, c->url, n);
    if (path == NULL || path[1] == '\0') (void)cs_buf_add_str(b, "/scep");
    if (c->profile != NULL) (void)cs_buf_addf(b, "/%s", c->profile);
    (void)cs_buf_addf(b, "?operation=%s", op);
    if (message.n > 0) {
        CS_SCOPED(cs_buf) text = cs_buf_of((size_t)2 * CS_CMS_MESSAGE_MAX);
        (void)cs_base64_add(&text, message);
        (void)cs_buf_add_str(b, "&message=");
        for (size_t i = 0; i < text.n; i++) {
            bool plain = strchr("+/=", text.p[i]) == NULL;
            (void)(plain ? cs_buf_add_byte(b, text.p[i]) : cs_buf_addf(b, "%%%02X", text.p[i]));
        }
    }
    return cs_buf_cstr(b) != NULL ? cs_buf_ok(b, "the URL", err) : CS_NOMEM_ERR(err);
}

static cs_status invalid(const client *c, const char *what, cs_err *err) {
    return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s: %s", c->url, what);
}

/* ---- before a key is made ---- */

/* Public, and judged otherwise: with a fingerprint, nothing is known of the server yet. */
static cs_status get(client *c, const char *op, call_answer *ret, cs_err *err) {
    CS_SCOPED(cs_buf) url = cs_buf_of(CALL_URL_MAX);
    TRY(op_url(c, op, (cs_view){NULL, 0}, &url, err));
    return call_perform(c->http, &(call_ask){.url = cs_buf_cstr(&url), .unproven = c->fingerprint != NULL}, ret, err);
}

static cs_status get_caps(client *c, cs_err *err) {
    talk *t = c->state;
    CS_SCOPED(call_answer) a = {.status = 0};
    TRY(get(c, "GetCACaps", &a, err));
    if (a.status != 200) return client_refused(c, a.status, cs_buf_view(&a.body), err);
    t->caps = scep_caps_read(cs_buf_view(&a.body));
    bool standard = (t->caps & SCEP_CAP_STANDARD) != 0;
    if (!standard && ((t->caps & SCEP_CAP_AES) == 0 || (t->caps & SCEP_CAP_SHA256) == 0))
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_TOO_WEAK,
                       "%.200s does not name AES and SHA-256 among what it can", c->url);
    return CS_OK;
}

static bool is_rsa(const cs_cert *cert) {
    char text[CS_KEY_TEXT_MAX];
    return strncmp(cs_key_spki_text(cert->spki, text), "RSA", 3) == 0;
}

static bool may(const cs_cert *cert, unsigned usage) {
    return !cert->has_key_usage || (cert->key_usage & usage) != 0;
}

/* Who signs answers, and to whom is encrypted: RAs, as far as a CA that is trusted issued them; else a CA itself. */
static cs_status choose_peers(client *c, const cs_certs *bag, cs_err *err) {
    talk *t = c->state;
    const cs_cert *to = NULL;
    for (int ca = 0; ca < 2; ca++) {
        for (size_t i = 0; i < bag->n; i++) {
            cs_cert *one = bag->at[i];
            cs_err why;
            if (one->is_ca != (ca == 1) || client_check_signer(c, one, bag, &why) != CS_OK) continue;
            TRY(cs_certs_add(&t->signers, cs_cert_ref(one), err));
            if (to == NULL && is_rsa(one) && may(one, CS_KU_KEY_ENCIPHERMENT | CS_KU_DATA_ENCIPHERMENT)) to = one;
        }
    }
    for (size_t i = 0; to == NULL && i < t->signers.n; i++) /* CAs that do not say keyEncipherment, and yet decrypt */
        if (is_rsa(t->signers.at[i])) to = t->signers.at[i];
    if (to == NULL)
        return invalid(c, "none of its certificates has an RSA key and is issued by a CA that is trusted", err);
    t->to = cs_cert_ref(to);
    return CS_OK;
}

static cs_status get_cas(client *c, cs_err *err) {
    CS_SCOPED(call_answer) a = {.status = 0};
    CS_SCOPED(cs_certs) bag = {.n = 0}, cas = {.n = 0};
    bool proven = c->fingerprint == NULL && strncmp(c->url, "https://", 8) == 0;
    TRY(get(c, "GetCACert", &a, err));
    if (a.status != 200) return client_refused(c, a.status, cs_buf_view(&a.body), err);
    if (cs_certs_read(cs_buf_view(&a.body), "the CA's certificates", &bag, err) != CS_OK) {
        err->reason = CS_R_SERVER_ANSWER_INVALID;
        return cs_fail_in(err, "%.200s", c->url);
    }
    for (size_t i = 0; i < bag.n; i++)
        if (bag.at[i]->is_ca) TRY(cs_certs_add(&cas, cs_cert_ref(bag.at[i]), err));
    TRY(client_take_cas(c, &cas, proven, err));
    return choose_peers(c, &bag, err);
}

static cs_status prepare(client *c, cs_err *err) {
    close_talk(c);
    c->state = calloc(1, sizeof(talk));
    if (c->state == NULL) return CS_NOMEM_ERR(err);
    (void)cs_cms_weak_load(); /* some servers still answer with DES */
    if (c->spec_said && c->spec != CS_KEYSPEC_RSA_2048 && c->spec != CS_KEYSPEC_RSA_3072 &&
        c->spec != CS_KEYSPEC_RSA_4096)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "SCEP's answers are encrypted to the key: it is RSA");
    if (!c->spec_said) c->spec = CS_KEYSPEC_RSA_3072;
    TRY(get_caps(c, err));
    return get_cas(c, err);
}

/* ---- out ---- */

static bool renews(const client *c) {
    return c->old != NULL && c->secret == NULL;
}

/* A name for the transaction that stays the same when the command is given again with the same key. */
static cs_status begin(client *c, cs_err *err) {
    talk *t = c->state;
    CS_SCOPED(cs_buf) name = cs_buf_of(CS_NAME_TEXT_MAX);
    CS_AUTO(cs_csr) csr = NULL;
    uint8_t serial[16];
    cs_time now = cs_time_seconds(cs_now(c->clock)) * CS_SEC;
    if (t->self != NULL) return CS_OK;
    if (renews(c) && !is_rsa(c->old->at[0]))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "SCEP renews certificates with RSA keys alone");
    TRY(cs_csr_read(c->csr, "the request", &csr, err));
    (void)cs_hex(cs_view_of(csr->spki_sha256, TRANSACTION_OCTETS), t->transaction);
    TRY(cs_rng_fill(c->rng, serial, sizeof serial, err));
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
    TRY(cs_dn_build(&(cs_dn){.common_name = c->name}, &name, err));
    return cs_self_signed_make(c->key, cs_buf_view(&name), cs_view_of(serial, sizeof serial), now - CS_DAY,
                               now + SELF_SIGNED_LIFETIME, &t->self, err);
}

static cs_status put_inner(const client *c, cs_buf *inner, cs_err *err) {
    const talk *t = c->state;
    if (t->waits) {
        scep_issuer_subject_put(inner, t->to->is_ca ? t->to->subject : t->to->issuer, t->self->subject);
    } else if (c->secret != NULL) {
        TRY(cs_csr_make_asking(c->key, c->name, c->sans, c->san_count, cs_secret_view(c->secret), inner, err));
    } else {
        (void)cs_buf_add_view(inner, c->csr);
    }
    return cs_buf_ok(inner, "the request", err);
}

static cs_status make_message(client *c, cs_buf *out, cs_err *err) {
    talk *t = c->state;
    CS_SCOPED(cs_buf) inner = cs_buf_secret((size_t)2 * CS_CSR_MAX), sealed = cs_buf_of(CS_CMS_MESSAGE_MAX);
    bool old = renews(c);
    bool says = old && (t->caps & SCEP_CAP_RENEWAL) != 0; /* else PKCSReq, signed by the old certificate */
    TRY(put_inner(c, &inner, err));
    TRY(cs_cms_seal(cs_buf_view(&inner), CS_CMS_AES128, t->to, &sealed, err));
    TRY(cs_rng_fill(c->rng, t->nonce, sizeof t->nonce, err));
    cs_view envelope = cs_buf_view(&sealed);
    return scep_msg_make(&(scep_say){.type = t->waits ? SCEP_CERT_POLL
                                             : says   ? SCEP_RENEWAL_REQ
                                                      : SCEP_PKCS_REQ,
                                     .transaction = t->transaction,
                                     .sender_nonce = t->nonce,
                                     .content = &envelope,
                                     .key = old ? c->old_key : c->key,
                                     .signer = old ? c->old->at[0] : t->self,
                                     .digest = CS_CMS_SHA256},
                         out, err);
}

static cs_status send_message(client *c, cs_view message, call_answer *ret, cs_err *err) {
    const talk *t = c->state;
    bool post = (t->caps & (SCEP_CAP_POST | SCEP_CAP_STANDARD)) != 0;
    CS_SCOPED(cs_buf) url = cs_buf_of(CALL_URL_MAX);
    TRY(op_url(c, "PKIOperation", post ? (cs_view){NULL, 0} : message, &url, err));
    call_ask ask = {.url = cs_buf_cstr(&url)};
    if (post) ask.body = message;
    if (post) ask.type = SCEP_MEDIA;
    TRY(call_perform(c->http, &ask, ret, err));
    if (ret->status != 200) return client_refused(c, ret->status, cs_buf_view(&ret->body), err);
    return CS_OK;
}

/* ---- in ---- */

/* To our message, by who may answer. @rfc 8894#3.2 */
static cs_status check_answer(const client *c, const scep_msg *m, cs_err *err) {
    const talk *t = c->state;
    bool known = false;
    for (size_t i = 0; i < t->signers.n; i++) known = known || cs_view_eq(t->signers.at[i]->der, m->cms.signer->der);
    if (!known)
        return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "the answer is signed by none of its certificates");
    if (m->type != SCEP_CERT_REP) return invalid(c, "the answer is no CertRep", err);
    if (strcmp(m->transaction, t->transaction) != 0 || !m->has_recipient_nonce ||
        memcmp(m->recipient_nonce, t->nonce, sizeof t->nonce) != 0)
        return invalid(c, "the answer is to another message than ours", err);
    return CS_OK;
}

static cs_status refused(const client *c, const scep_msg *m, cs_err *err) {
    char words[SCEP_TEXT_MAX + 64];
    if (m->fail_text[0] != '\0') /* ours begins with its reason's name */
        (void)snprintf(words, sizeof words, "%s (%s)", m->fail_text, scep_fail_name(m->fail));
    else
        (void)snprintf(words, sizeof words, "%s", scep_fail_name(m->fail));
    return client_refused(c, 200, cs_view_str(words), err);
}

/* The certificate whose key was asked for, first; the order of a bag means nothing. */
static cs_status take_chain(client *c, cs_view der, cs_err *err) {
    CS_SCOPED(cs_certs) bag = {.n = 0};
    if (cs_cms_certs_read(der, "the certificates", &bag, err) != CS_OK) {
        err->reason = CS_R_SERVER_ANSWER_INVALID;
        return cs_fail_in(err, "%.200s", c->url);
    }
    for (int others = 0; others < 2; others++)
        for (size_t i = 0; i < bag.n; i++)
            if (cs_view_eq(bag.at[i]->spki, cs_key_spki(c->key)) == (others == 0))
                TRY(cs_certs_add(&c->chain, cs_cert_ref(bag.at[i]), err));
    return CS_OK;
}

static cs_status open_answer(client *c, const scep_msg *m, cs_err *err) {
    CS_AUTO(cs_cms_sealed) sealed = NULL;
    CS_SCOPED(cs_buf) open = cs_buf_of(CS_CMS_MESSAGE_MAX);
    TRY(cs_cms_sealed_read(cs_buf_view(&m->cms.content), true, &sealed, err));
    TRY(cs_cms_sealed_open(sealed, renews(c) ? c->old_key : c->key, &open, err));
    return take_chain(c, cs_buf_view(&open), err);
}

static cs_status ask_again(client *c, cs_err *err) {
    talk *t = c->state;
    CS_SCOPED(cs_buf) message = cs_buf_of(CS_CMS_MESSAGE_MAX);
    CS_SCOPED(call_answer) a = {.status = 0};
    CS_SCOPED(scep_msg) m = {.type = SCEP_NO_TYPE};
    TRY(begin(c, err));
    TRY(make_message(c, &message, err));
    TRY(send_message(c, cs_buf_view(&message), &a, err));
    if (scep_msg_read(cs_buf_view(&a.body), true, &m, err) != CS_OK) {
        err->reason = CS_R_SERVER_ANSWER_INVALID;
        return cs_fail_in(err, "%.200s", c->url);
    }
    TRY(check_answer(c, &m, err));
    if (m.status == SCEP_FAILURE) return refused(c, &m, err);
    if (m.status == SCEP_SUCCESS) return open_answer(c, &m, err);
    t->waits = true; /* SCEP does not say for how long */
    t->retry = t->retry == 0 ? RETRY_FIRST_SECONDS * CS_SEC : 2 * t->retry;
    if (t->retry > RETRY_MOST_SECONDS * CS_SEC) t->retry = RETRY_MOST_SECONDS * CS_SEC;
    c->retry = t->retry;
    (void)snprintf(c->waits, sizeof c->waits, "transaction %s", t->transaction);
    return CS_AGAIN;
}

const client_protocol client_scep = {
    .name = "scep",
    .paths = {"/scep", "/pkiclient.exe", "/mscep.dll", "/mscep"},
    .plain = true,
    .prepare = prepare,
    .ask = ask_again,
    .close = close_talk,
};
