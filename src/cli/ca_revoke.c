/* countersign ca revoke: the certificate of a CA is ended by the CA that signed it. A root lists it on its CRL; any
 * other CA's lists are the authority's, which tells the gateways at once in both cases: whatever hangs on it is let in
 * no more. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/ca_work.h"
#include "cli/ceremony.h"
#include "x509/pem.h"

typedef struct revoking {
    cs_cert *cert; /* that is ended */
    cs_cert *issuer;
    char by[CAS_NAME_MAX + 1];   /* the issuer's name here */
    char name[CAS_NAME_MAX + 1]; /* of cert, when it is one of ca/; "" */
    char crl[FILES_PATH_MAX];    /* of the root that signed it; "": it is no root's */
    int reason;
} revoking;

static void revoking_free(revoking *r) {
    cs_cert_free(r->cert);
    cs_cert_free(r->issuer);
}

/* A name of ca/, or a file: a customer's CA, a cross-certificate. */
static cs_status read_target(const ca_work *w, revoking *r, cs_err *err) {
    const char *what = w->words->at[1];
    cs_err ignored;
    if (strchr(what, '/') == NULL && ca_read_named(w->dir, what, &r->cert, &ignored) == CS_OK) {
        (void)snprintf(r->name, sizeof r->name, "%s", what);
    } else {
        if (!files_exists(what))
            return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "%.200s is neither a CA of %s nor a file", what,
                           w->dir);
        TRY(ca_read_cert(what, &r->cert, err));
    }
    if (!r->cert->is_ca)
        return cs_fail(err, CS_REFUSED, CS_R_NOT_A_CA, "%s: countersign revoke is for certificates that are no CA's",
                       what);
    if (cs_view_eq(r->cert->subject, r->cert->issuer) && cs_view_eq(r->cert->skid, r->cert->akid))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "%s is a root: nobody can revoke it; who trusts it must stop to (countersign rollover)", what);
    return CS_OK;
}

static cs_status look_among(const ca_work *w, const cas_list *names, revoking *r, cs_err *err) {
    for (size_t i = 0; i < names->n && r->issuer == NULL; i++) {
        CS_AUTO(cs_cert) c = NULL;
        cs_err ignored;
        TRY(ca_read_named(w->dir, names->at[i], &c, err));
        if (!c->is_ca || !cs_view_eq(c->subject, r->cert->issuer) ||
            cs_signed_check(r->cert->der, r->cert->tbs, c, &ignored) != CS_OK)
            continue;
        r->issuer = CS_TAKE(c);
        (void)snprintf(r->by, sizeof r->by, "%s", names->at[i]);
    }
    return CS_OK;
}

static cs_status find_issuer(const ca_work *w, revoking *r, cs_err *err) {
    cas_list names;
    TRY(cas_list_roots(w->dir, &names, err));
    TRY(look_among(w, &names, r, err));
    TRY(cas_list_certs(w->dir, &names, err));
    TRY(look_among(w, &names, r, err));
    if (r->issuer != NULL) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA of %s has signed %s", w->dir, w->words->at[1]);
}

static cs_status read_reason(const char *word, int *ret, cs_err *err) {
    *ret = CS_CRL_UNSPECIFIED;
    if (word == NULL) return CS_OK;
    TRY(cs_crl_reason_parse(cs_view_str(word), ret, err));
    if (*ret == CS_CRL_HOLD || *ret == CS_CRL_REMOVE)
        return cs_fail(err, CS_REFUSED, CS_R_REASON_INVALID, "%s: a CA's certificate is ended for good", word);
    return CS_OK;
}

/* Who goes on issuing by a CA that is no more makes certificates that nobody takes. */
static cs_status stop_issuing(const ca_work *w, const revoking *r, cs_err *err) {
    char current[CAS_NAME_MAX + 1];
    if (r->name[0] == '\0') return CS_OK;
    TRY(cas_current(w->dir, current, err));
    if (strcmp(current, r->name) == 0 && !w->said->force)
        return cs_fail(err, CS_REFUSED, CS_R_CA_IN_USE,
                       "%s issues, the gateway's own certificate too; countersign ca use chooses another first",
                       r->name);
    return CS_OK;
}

static cs_status list_it(const ca_work *w, revoking *r, bool *ret_was, cs_err *err) {
    const ca_said *said = w->said;
    CS_SCOPED(ca_root) root = {.conf = NULL};
    *ret_was = false;
    if (!cas_is_root(r->by)) {
        if (said->crl != NULL)
            return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--crl is for the CRL of a root, and %s is none", r->by);
        return CS_OK;
    }
    TRY(cas_path(w->dir, r->by, "crl", r->crl, err));
    if (said->crl != NULL) TRY(ca_root_take_crl(w->dir, r->by, r->issuer, said->crl, err));
    TRY(ca_root_crl_has(w->dir, r->by, r->cert->serial, ret_was, err));
    if (said->crl != NULL && !*ret_was)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s does not list %s", said->crl, w->words->at[1]);
    if (*ret_was) return CS_OK;
    TRY(ca_root_open(w->conf, r->by, said->root_key, said->passphrase_file, &root, err));
    return ca_root_revoke(&root, r->cert->serial, r->reason, err);
}

/* *ret_told false: there is no authority on this machine. */
static cs_status tell_authority(const ca_work *w, const revoking *r, bool *ret_told, cs_err *err) {
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    CS_SCOPED(cs_buf) pem = cs_buf_of(2 * CS_CERT_MAX);
    json_t *answer = NULL;
    cs_err why;
    *ret_told = ceremony_check(w->conf->state, &why) == CS_OK;
    if (!*ret_told) return CS_OK;
    (void)cs_pem_add_cert(&pem, r->cert);
    json_t *body = json_pack("{s:s, s:s, s:s}", "certificate", cs_buf_cstr(&pem), "name",
                             r->name[0] != '\0' ? r->name : "ca", "reason", cs_crl_reason_name(r->reason));
    if (body == NULL) return CS_NOMEM_ERR(err);
    cs_status got = session_open(w->conf, &w->said->conf, &s, err);
    if (got == CS_OK) got = session_call(s, "POST", "/api/v1/cas/revocations", body, true, &answer, err);
    json_decref(body);
    json_decref(answer);
    return got;
}

static void say(const ca_work *w, const revoking *r, bool told) {
    char serial[2 * CS_SERIAL_MAX + 1];
    const char *what = w->words->at[1];
    (void)cs_hex(r->cert->serial, serial);
    if (w->said->json) {
        cs_json j = cs_json_to(w->out);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "result", "done");
        cs_json_str(&j, "revoked", what);
        cs_json_str(&j, "serial", serial);
        cs_json_str(&j, "issuer", r->by);
        cs_json_str(&j, "reason", cs_crl_reason_name(r->reason));
        if (r->crl[0] != '\0') cs_json_str(&j, "crl_file", r->crl);
        cs_json_bool(&j, "told", told);
        cs_json_object_end(&j);
        (void)cs_buf_add_byte(w->out, '\n');
        return;
    }
    (void)cs_buf_addf(w->out, "Revoked: the certificate of %s by %s, serial %s\n", what, r->by, serial);
    if (r->crl[0] != '\0') (void)cs_buf_addf(w->out, "  %s  the CRL that says so\n", r->crl);
    if (!told) (void)cs_buf_addf(w->out, "Where the authority runs: countersign ca revoke %s --crl that file\n", what);
}

cs_status ca_revoke(ca_work *w, cs_err *err) {
    CS_SCOPED(revoking) r = {.cert = NULL};
    bool was = false, told = false;
    TRY(read_reason(w->said->reason, &r.reason, err));
    TRY(read_target(w, &r, err));
    TRY(find_issuer(w, &r, err));
    TRY(stop_issuing(w, &r, err));
    TRY(list_it(w, &r, &was, err));
    cs_status s = tell_authority(w, &r, &told, err);
    /* the CRL was there before, or a try before this one came as far as the authority */
    if (s == CS_REFUSED && err->reason == CS_R_ALREADY_REVOKED && !was && cas_is_root(r.by)) s = CS_OK;
    if (s == CS_OK && was && !told) s = cs_fail(err, CS_REFUSED, CS_R_ALREADY_REVOKED, "%s", w->words->at[1]);
    TRY(s);
    if (r.name[0] != '\0') TRY(cas_retired_set(w->dir, r.name, true, err));
    say(w, &r, told);
    return CS_OK;
}
