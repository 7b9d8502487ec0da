/* The CAs, and what hangs on each. */
#include <string.h>

#include "proto/rest/rest_priv.h"
#include "x509/build.h"
#include "x509/pem.h"

enum { HOLDERS_MAX = 1000 };

typedef struct showing {
    rest_call *c;
    const authority_ca *ca; /* NULL: all */
    cs_json *j;
} showing;

static cs_status put_holder(void *cls, const store_holder *h, cs_err *err) {
    cs_json *j = cls;
    (void)err;
    cs_json_object(j, NULL);
    cs_json_str(j, "kind", cs_kind_name(h->kind));
    cs_json_str(j, "name", h->name);
    cs_json_int(j, "certificates", h->certificates);
    cs_json_time(j, "not_after", h->not_after);
    cs_json_object_end(j);
    return CS_OK;
}

static cs_status put_facts(const showing *s, const authority_ca *ca, store *st, cs_err *err) {
    char text[CS_NAME_TEXT_MAX + 1];
    int64_t valid = 0;
    cs_time last = 0;
    TRY(store_count_of(st, ca->cert->spki_sha256, authority_now(s->c->a), &valid, &last, err));
    cs_json_str(s->j, "name", ca->name);
    cs_json_bool(s->j, "current", ca == authority_ca_current(s->c->a));
    cs_json_bool(s->j, "retired", ca->retired);
    cs_json_str(s->j, "subject", cs_name_text(ca->cert->subject, text));
    cs_json_str(s->j, "issuer", cs_name_text(ca->cert->issuer, text));
    cs_json_time(s->j, "not_before", ca->cert->not_before);
    cs_json_time(s->j, "not_after", ca->cert->not_after);
    cs_json_hex(s->j, "sha256", cs_view_of(ca->cert->sha256, sizeof ca->cert->sha256));
    cs_json_int(s->j, "valid", valid);
    if (valid > 0) cs_json_time(s->j, "last_not_after", last);
    return CS_OK;
}

static cs_status put_one(void *cls, store *st, cs_err *err) {
    const showing *s = cls;
    cs_json_object(s->j, NULL);
    TRY(put_facts(s, s->ca, st, err));
    cs_json_array(s->j, "identities");
    TRY(store_holders(st, s->ca->cert->spki_sha256, authority_now(s->c->a), HOLDERS_MAX, put_holder, s->j, err));
    cs_json_array_end(s->j);
    cs_json_object_end(s->j);
    return CS_OK;
}

static cs_status put_all(void *cls, store *st, cs_err *err) {
    const showing *s = cls;
    cs_json_object(s->j, NULL);
    cs_json_array(s->j, "cas");
    for (size_t i = 0; authority_ca_at(s->c->a, i) != NULL; i++) {
        cs_json_object(s->j, NULL);
        TRY(put_facts(s, authority_ca_at(s->c->a, i), st, err));
        cs_json_object_end(s->j);
    }
    cs_json_array_end(s->j);
    cs_json_object_end(s->j);
    return CS_OK;
}

cs_status rest_ca_list(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    showing s = {c, NULL, &j};
    return authority_read(c->a, put_all, &s, err);
}

cs_status rest_ca_show(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    showing s = {c, authority_ca_named(c->a, cs_view_str(c->rest)), &j};
    if (s.ca == NULL) return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA %.64s issues here", c->rest);
    return authority_read(c->a, put_one, &s, err);
}

cs_status rest_ca_revoke(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    const char *pem = NULL, *name = NULL, *word = NULL;
    int reason = CS_CRL_UNSPECIFIED;
    uint64_t sequence = 0;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "certificate", true, &pem, err));
    TRY(rest_text(body, "name", true, &name, err));
    TRY(rest_text(body, "reason", false, &word, err));
    TRY(cs_certs_read(cs_view_str(pem), "certificate", &certs, err));
    if (word != NULL) TRY(cs_crl_reason_parse(cs_view_str(word), &reason, err));
    if (reason == CS_CRL_REMOVE || reason == CS_CRL_HOLD)
        return cs_fail(err, CS_REFUSED, CS_R_REASON_INVALID, "%s: a CA's certificate is ended for good", word);
    TRY(authority_ca_revoke(c->a, certs.at[0], cs_view_str(name), reason, &c->who, &sequence, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_hex(&j, "serial", certs.at[0]->serial);
    cs_json_int(&j, "sequence", (int64_t)sequence);
    cs_json_object_end(&j);
    return CS_OK;
}
