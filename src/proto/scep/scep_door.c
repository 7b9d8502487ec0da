/* SCEP's door: a message of RFC 8894 to enroll/, its answer back. What can be answered is answered as a CertRep; what
 * cannot, since it is no message or nobody can be told, is plain text over HTTP. One answer for all that goes wrong
 * between the envelope and the proof of the key in it: which of them it was would be an oracle for whoever holds
 * somebody else's message. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "proto/scep/scep_priv.h"

void scep_exchange_free(scep_exchange *x) {
    for (size_t i = 0; i < x->ra_count; i++) authority_ra_free(x->ras[i]);
    x->ra_count = 0;
    scep_msg_free(&x->in);
    cs_csr_free(CS_TAKE(x->csr));
    cs_buf_free(&x->inner);
}

static bool self_signed(const cs_cert *c) {
    return cs_view_eq(c->issuer, c->subject);
}

static const authority_ca *ca_by_name(const authority *a, cs_view name) {
    const authority_ca *ca = NULL;
    for (size_t i = 0; (ca = authority_ca_at(a, i)) != NULL; i++)
        if (cs_view_eq(ca->cert->subject, name)) return ca;
    return NULL;
}

/* ---- the envelope ---- */

/* The reason that it had within goes to the log alone. */
static cs_status hide(const char *what, cs_err *err) {
    char was[CS_DETAIL_MAX];
    (void)snprintf(was, sizeof was, "%s: %s: %.400s", what, cs_reason_of(err->reason)->name, err->detail);
    return cs_fail(err, CS_REFUSED, CS_R_ENVELOPE_UNREADABLE, "%s", was);
}

static cs_status open_envelope(scep_exchange *x, cs_err *err) {
    CS_AUTO(cs_cms_sealed) sealed = NULL;
    const authority_ra *to = NULL;
    char key[CS_KEY_TEXT_MAX];
    if (!x->in.cms.has_content) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "no envelope is in it");
    if (strncmp(cs_key_spki_text(x->in.cms.signer->spki, key), "RSA", 3) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "signed with %s: the answer is encrypted to an RSA key",
                       key);
    TRY(cs_cms_sealed_read(cs_buf_view(&x->in.cms.content), x->legacy, &sealed, err));
    x->cipher = cs_cms_sealed_cipher(sealed);
    enroll_trace_line(x->trace, "encrypted", "%s", cs_cms_cipher_name(x->cipher));
    for (size_t i = 0; i < x->ra_count && to == NULL; i++)
        if (cs_cms_sealed_is_to(sealed, x->ras[i]->cert)) to = x->ras[i];
    if (to == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_ENVELOPE_UNREADABLE, "it is encrypted to none of our RA's certificates");
    x->by = to;
    x->inner = cs_buf_secret(CS_CMS_MESSAGE_MAX);
    return cs_cms_sealed_open(sealed, to->key, &x->inner, err);
}

/* ---- requests ---- */

/* Whose certificate renews itself? Who says so, and who signs with one of ours for the same name, as those do that know
 * PKCSReq alone: what password they still send does not count then. Who signs PKCSReq with another CA's (RFC 8894 2.3)
 * and sends no password may have a device's maker's. */
static void choose_credential(scep_exchange *x) {
    const cs_cert *signer = x->in.cms.signer;
    cs_view cn, had;
    bool ours = !self_signed(signer) && ca_by_name(x->c->a, signer->issuer) != NULL;
    bool same_key = cs_view_eq(signer->spki, x->csr->spki);
    bool same_name = cs_name_cn(signer->subject, &had) && cs_name_cn(x->csr->subject, &cn) && cs_view_eq(cn, had);
    x->ask.certificate = self_signed(signer) ? NULL : signer;
    bool foreign = x->ask.certificate != NULL && !ours && x->csr->challenge.n == 0;
    x->ask.chain = &x->in.cms.certs;
    x->ask.renewal = x->in.type == SCEP_RENEWAL_REQ || (!same_key && !foreign) || (ours && same_name);
    if (!x->ask.renewal) x->ask.secret = x->csr->challenge;
}

static cs_status answer_leaf(scep_exchange *x, const enroll_answer *answer, cs_err *err) {
    const cs_cert *path[AUTHORITY_CHAIN_MAX];
    if (answer->leaf == NULL) return scep_answer_pending(x, err);
    size_t n = authority_chain(x->c->a, answer->leaf, path);
    return scep_answer_certs(x, path, n, (cs_view){NULL, 0}, err);
}

static cs_status run_request(scep_exchange *x, cs_err *err) {
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    if (cs_csr_read(cs_buf_view(&x->inner), "the request", &x->csr, err) != CS_OK)
        return err->status == CS_NOMEM ? CS_NOMEM : hide("no request that its key has signed", err);
    choose_credential(x);
    x->ask.trace = x->trace;
    x->ask.csr = x->csr->der;
    TRY(enroll_submit(x->c->e, &x->ask, &answer, err));
    return answer_leaf(x, &answer, err);
}

/* The key names the transaction: who chose its text may have chosen the same for all. docs/decisions */
static cs_status run_poll(scep_exchange *x, cs_err *err) {
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    cs_view issuer, subject;
    if (scep_issuer_subject_read(cs_buf_view(&x->inner), &issuer, &subject, err) != CS_OK)
        return hide("no IssuerAndSubject", err);
    TRY(enroll_poll_key(x->c->e, x->ask.door, x->in.cms.signer->spki_sha256, &answer, err));
    return answer_leaf(x, &answer, err);
}

/* ---- looking things up ---- */

typedef struct lookup {
    char serial[STORE_SERIAL_TEXT];
    const cs_cert *held; /* the one whose holder asks; NULL: anybody may */
    cs_cert *ret;
} lookup;

static cs_status run_lookup(void *cls, store *st, cs_err *err) {
    lookup *l = cls;
    store_cert row;
    TRY(store_cert_by_serial(st, l->serial, &row, err));
    if (row.der.n == 0) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", l->serial);
    bool same = l->held == NULL || (row.status == STORE_ISSUED && memcmp(row.sha256, l->held->sha256, 32) == 0);
    if (!same)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "serial %s is none of ours that is good", l->serial);
    return cs_cert_decode(row.der, &l->ret, err);
}

static cs_status look_up(scep_exchange *x, cs_view serial, const cs_cert *held, cs_cert **ret, cs_err *err) {
    lookup l = {.held = held};
    if (serial.n > CS_SERIAL_MAX) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "its serial is too long");
    (void)cs_hex(serial, l.serial);
    TRY(authority_read(x->c->a, run_lookup, &l, err));
    *ret = l.ret;
    return CS_OK;
}

/* Only who has a certificate of ours that is good may see others'. */
static cs_status run_get_cert(scep_exchange *x, cs_view issuer, cs_view serial, cs_err *err) {
    CS_AUTO(cs_cert) held = NULL;
    CS_AUTO(cs_cert) found = NULL;
    const cs_cert *signer = x->in.cms.signer;
    cs_time now = authority_now(x->c->a);
    if (self_signed(signer)) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "GetCert");
    TRY(look_up(x, signer->serial, signer, &held, err));
    if (now < held->not_before || now > held->not_after)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "GetCert");
    const authority_ca *ca = ca_by_name(x->c->a, issuer);
    if (ca == NULL) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "of another issuer");
    TRY(look_up(x, serial, NULL, &found, err));
    if (!cs_view_eq(found->issuer, issuer))
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "of another issuer");
    return scep_answer_certs(x, (const cs_cert *const[]){found}, 1, (cs_view){NULL, 0}, err);
}

/* The list that a certificate of that serial names; of one that is not here, the list of all. */
typedef struct list_of {
    char serial[STORE_SERIAL_TEXT];
    unsigned shard;
} list_of;

static cs_status run_list_of(void *cls, store *st, cs_err *err) {
    list_of *l = cls;
    store_cert row;
    cs_status status = store_cert_by_serial(st, l->serial, &row, err);
    if (status == CS_OK) l->shard = row.shard;
    return status == CS_REFUSED ? CS_OK : status;
}

static cs_status read_list(const authority_blob *crl, cs_buf *ret, cs_err *err) {
    uint8_t *p = cs_buf_reserve(ret, crl->crl.size);
    if (p == NULL) return CS_NOMEM_ERR(err);
    for (size_t got = 0; got < crl->crl.size;) {
        ssize_t n = pread(crl->fd, p + got, crl->crl.size - got, (off_t)got);
        if (n <= 0) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "the file of the CRL ends early");
        got += (size_t)n;
    }
    cs_buf_commit(ret, crl->crl.size);
    return CS_OK;
}

/* The CRL is for anybody; one that is large is fetched where certificates say, not encrypted for each who asks. */
static cs_status run_get_crl(scep_exchange *x, cs_view issuer, cs_view serial, cs_err *err) {
    CS_AUTO(authority_blob) crl = NULL;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_SCEP_CRL_MAX);
    char url[512];
    list_of of = {.shard = 0};
    authority_list list = {.ca = ca_by_name(x->c->a, issuer)};
    if (list.ca == NULL) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "no CA of that name");
    if (serial.n <= CS_SERIAL_MAX) {
        (void)cs_hex(serial, of.serial);
        TRY(authority_read(x->c->a, run_list_of, &of, err));
        list.shard = of.shard;
    }
    TRY(authority_crl(x->c->a, &list, &crl, err));
    if (crl->crl.size > CS_SCEP_CRL_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_LIMIT_REACHED, "the CRL has %llu octets, over SCEP at most %d: fetch %s",
                       (unsigned long long)crl->crl.size, CS_SCEP_CRL_MAX, authority_crl_url(x->c->a, &list, url));
    TRY(read_list(crl, &der, err));
    return scep_answer_certs(x, NULL, 0, cs_buf_view(&der), err);
}

static cs_status run_get(scep_exchange *x, cs_err *err) {
    cs_view issuer, serial;
    if (scep_issuer_serial_read(cs_buf_view(&x->inner), &issuer, &serial, err) != CS_OK)
        return hide("no IssuerAndSerialNumber", err);
    return x->in.type == SCEP_GET_CERT ? run_get_cert(x, issuer, serial, err) : run_get_crl(x, issuer, serial, err);
}

/* ---- one message ---- */

/* Nothing is done for a type that is not named here. */
static cs_status run_message(scep_exchange *x, cs_err *err) {
    switch (x->in.type) {
    case SCEP_PKCS_REQ:
    case SCEP_RENEWAL_REQ: return run_request(x, err);
    case SCEP_CERT_POLL: return run_poll(x, err);
    case SCEP_GET_CERT:
    case SCEP_GET_CRL: return run_get(x, err);
    case SCEP_CERT_REP:
    case SCEP_NO_TYPE: break;
    }
    return cs_fail(err, CS_REFUSED, CS_R_OPERATION_UNSUPPORTED, "%s is nothing to ask for", scep_type_name(x->in.type));
}

static cs_status read_message(scep_exchange *x, cs_err *err) {
    CS_SCOPED(cs_buf) query = cs_buf_of(CS_CMS_MESSAGE_MAX);
    cs_view der = cs_buf_view(&x->c->body);
    if (x->c->too_big) return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "at most %d octets", CS_API_BODY_MAX);
    if (strcmp(x->c->method, "POST") != 0) {
        const char *text = rest_query(x->c, "message");
        TRY(scep_query_read(cs_view_str(text != NULL ? text : ""), &query, err));
        der = cs_buf_view(&query);
    }
    enroll_trace_bytes(x->trace, "message", der);
    cs_status status = scep_msg_read(der, x->legacy, &x->in, err);
    enroll_trace_line(x->trace, "type", "%s", scep_type_name(x->in.type));
    enroll_trace_line(x->trace, "transaction", "%s", x->in.transaction);
    enroll_trace_line(x->trace, "signed", "%s", cs_cms_digest_name(x->in.cms.digest));
    enroll_trace_cert(x->trace, "signer", x->in.cms.signer);
    return status;
}

/* Refused by a rule: the client is told in its own protocol, where it said enough. A failure of ours is no answer that
 * a client should keep. */
static cs_status refuse_message(scep_exchange *x, bool asked, cs_err *err) {
    cs_err why = *err;
    bool answerable = x->in.transaction[0] != '\0' && x->in.has_sender_nonce;
    bool ours = why.status != CS_REFUSED || cs_reason_of(why.reason)->http >= 500;
    if (!asked && why.status == CS_REFUSED) enroll_refused(x->c->e, &x->ask, x->in.transaction, &why);
    if (!answerable || (ours && why.reason != CS_R_OPERATION_UNSUPPORTED)) return err->status;
    return scep_answer_failure(x, &why, err);
}

static cs_status run_pki(scep_exchange *x, cs_err *err) {
    TRY(enroll_may_try(x->c->e, x->ask.source, err));
    x->trace = enroll_trace_begin(x->c->e, x->c->path, x->ask.source);
    cs_status status = read_message(x, err);
    if (status == CS_OK) x->ask.certificate = self_signed(x->in.cms.signer) ? NULL : x->in.cms.signer;
    if (status == CS_OK) status = open_envelope(x, err);
    if (status == CS_OK) status = run_message(x, err);
    enroll_trace_end(CS_TAKE(x->trace), status == CS_OK ? NULL : err);
    if (status == CS_OK) return CS_OK;
    bool asked = x->csr != NULL; /* enroll_submit has recorded it */
    return refuse_message(x, asked, err);
}

static cs_status run(scep_exchange *x, cs_err *err) {
    char label[SCEP_LABEL_MAX + 1] = "";
    scep_op op = SCEP_OP_PKI;
    bool below = strncmp(x->c->path, SCEP_PATH, sizeof SCEP_PATH - 1) == 0;
    const char *operation = rest_query(x->c, "operation");
    if (below) TRY(scep_path_read(cs_view_str(x->c->path + sizeof SCEP_PATH - 1), label, err));
    x->ask.source = rest_header(x->c, "X-Forwarded-For");
    TRY(enroll_at(x->c->e, CONF_DOOR_SCEP, label, &x->ask, err));
    x->legacy = x->ask.at != NULL && x->ask.at->legacy;
    bool post = strcmp(x->c->method, "POST") == 0;
    if (!post && operation == NULL) operation = "?";
    TRY(scep_op_read(cs_view_str(operation != NULL ? operation : ""), &op, err));
    if (post && op != SCEP_OP_PKI) return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "GET is for this");
    if (op == SCEP_OP_CAPS) return scep_tell_caps(x, err);
    TRY(authority_ras(x->c->a, x->ras, &x->ra_count, err));
    if (x->ra_count == 0) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "no RA certificate");
    x->by = x->ras[0];
    if (op == SCEP_OP_CACERT) return scep_tell_cacert(x, err);
    if (op == SCEP_OP_NEXT_CACERT) return scep_tell_next(x, err);
    return run_pki(x, err);
}

static void refuse(rest_call *c, const cs_err *err) {
    const cs_reason_info *r = cs_reason_of(err->reason);
    c->status = (unsigned)r->http;
    c->type = "text/plain";
    cs_buf_clear(&c->out);
    (void)cs_buf_addf(&c->out, "%s: %s\n", r->name, r->says);
    if (c->status == MHD_HTTP_TOO_MANY_REQUESTS) rest_retry_after(c, CS_MIN);
}

cs_status scep_door(rest_call *c, cs_err *err) {
    CS_SCOPED(scep_exchange) x = {.c = c};
    c->quiet = true;
    if (run(&x, err) != CS_OK) refuse(c, err);
    return CS_OK;
}
