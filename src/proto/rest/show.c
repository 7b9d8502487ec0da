#include <string.h>

#include "base/text.h"
#include "proto/rest/rest_priv.h"
#include "x509/digest.h"
#include "x509/pem.h"

typedef struct summary {
    store_counts counts;
    store_cert next;
    bool has_next;
    cs_time now;
} summary;

static cs_status summarize(void *cls, store *st, cs_err *err) {
    summary *s = cls;
    TRY(store_count(st, s->now, &s->counts, err));
    cs_status status = store_expires_next(st, s->now, &s->next, err);
    s->has_next = status == CS_OK;
    return status == CS_REFUSED ? CS_OK : status;
}

static void put_counts(cs_json *j, const store_counts *n) {
    cs_json_object(j, "issued");
    for (int kind = CS_KIND_SERVER; kind < CS_KIND_COUNT; kind++)
        cs_json_int(j, cs_kind_name((cs_kind)kind), n->issued[kind]);
    cs_json_object_end(j);
    cs_json_int(j, "valid", n->valid);
    cs_json_int(j, "revoked", n->revoked);
    cs_json_int(j, "expired", n->expired);
}

cs_status rest_status(rest_call *c, cs_err *err) {
    summary s = {.now = authority_now(c->a)};
    cs_err signer;
    char name[CS_NAME_TEXT_MAX + 1];
    TRY(authority_read(c->a, summarize, &s, err));
    bool signer_ok = authority_signer_check(c->a, &signer) == CS_OK;
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put_counts(&j, &s.counts);
    cs_json_object(&j, "expires_next");
    if (s.has_next) {
        cs_json_str(&j, "serial", s.next.serial);
        cs_json_str(&j, "kind", cs_kind_name(s.next.kind));
        cs_json_str(&j, "name", s.next.name);
        cs_json_time(&j, "not_after", s.next.not_after);
    }
    cs_json_object_end(&j);
    cs_json_object(&j, "crl");
    rest_put_current_crl(c, &j);
    cs_json_object_end(&j);
    cs_json_object(&j, "ca");
    cs_json_str(&j, "subject", cs_name_text(authority_issuing(c->a)->subject, name));
    cs_json_time(&j, "not_after", authority_issuing(c->a)->not_after);
    cs_json_object_end(&j);
    cs_json_str(&j, "signer", signer_ok ? "ok" : cs_reason_of(signer.reason)->name);
    cs_json_int(&j, "uptime_seconds", cs_time_seconds(cs_mono(cs_clock_system()) - authority_started(c->a)));
    cs_json_object_end(&j);
    return CS_OK;
}

/* ---- what anybody may have ---- */

cs_status rest_put_file(rest_call *c, cs_view bytes, const char *type, const uint8_t sha256[32], cs_time modified) {
    c->type = type;
    c->modified = modified;
    c->etag_text[0] = '"';
    (void)cs_hex(cs_view_of(sha256, 16), c->etag_text + 1);
    memcpy(c->etag_text + 33, "\"", 2);
    c->etag = c->etag_text;
    (void)cs_buf_add_view(&c->out, bytes);
    return CS_OK;
}

cs_status rest_ca_crt(rest_call *c, cs_err *err) {
    const cs_cert *ca = authority_cert_named(c->a, rest_name_before(c->rest, ".crt"));
    if (ca == NULL) return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "no CA has a certificate %s", c->rest);
    return rest_put_file(c, ca->der, "application/pkix-cert", ca->sha256, ca->not_before);
}

/* All that are to be trusted: during a roll-over of the root, the old one and the new one. */
cs_status rest_ca_pem(rest_call *c, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_of((size_t)2 * CS_CERT_MAX * CS_CAS_MAX);
    uint8_t sha256[32];
    const cs_cert *root = authority_root(c->a);
    for (size_t i = 0; authority_root_at(c->a, i) != NULL; i++) {
        (void)cs_pem_add_cert(&pem, authority_root_at(c->a, i));
        if (authority_root_at(c->a, i)->not_before > root->not_before) root = authority_root_at(c->a, i);
    }
    TRY(cs_buf_ok(&pem, "ca.pem", err));
    TRY(cs_sha256(cs_buf_view(&pem), sha256, err));
    return rest_put_file(c, cs_buf_view(&pem), "application/x-pem-file", sha256, root->not_before);
}

cs_status rest_health(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    c->quiet = true;
    TRY(authority_signer_check(c->a, err)); /* 503 with the reason */
    cs_json_object(&j, NULL);
    cs_json_str(&j, "status", "ok");
    cs_json_object_end(&j);
    return CS_OK;
}
