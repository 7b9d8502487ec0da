/* Whom we trust, and the judgement; the hook into other programs' TLS is tls/hook.h. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "io/files.h"
#include "lib/lib_priv.h"

cs_status cs_trust_new(cs_trust **ret, cs_err *err) {
    CS_AUTO(cs_trust) t = calloc(1, sizeof *t);
    if (t == NULL) return CS_NOMEM_ERR(err);
    atomic_init(&t->refs, 1);
    TRY(cs_anchors_new(&t->certs, &t->anchors, err));
    *ret = CS_TAKE(t);
    return CS_OK;
}

cs_trust *cs_trust_ref(cs_trust *t) {
    (void)atomic_fetch_add(&t->refs, 1);
    return t;
}

void cs_trust_free(cs_trust *t) {
    if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1) return;
    cs_certs_free(&t->certs);
    cs_anchors_free(t->anchors);
    cs_crls_free(t->crls);
    cs_pins_free(t->pins);
    free(t);
}

static cs_status add_text(cs_trust *t, cs_view text, const char *what, cs_err *err) {
    CS_AUTO(cs_anchors) anchors = NULL;
    TRY(cs_certs_read(text, what, &t->certs, err));
    TRY(cs_anchors_new(&t->certs, &anchors, err));
    cs_anchors_free(t->anchors);
    t->anchors = CS_TAKE(anchors);
    return CS_OK;
}

cs_status cs_trust_add_file(cs_trust *t, const char *path, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    return add_text(t, cs_buf_view(&text), path, err);
}

cs_status cs_trust_add_pem(cs_trust *t, const char *text, cs_err *err) {
    return add_text(t, cs_view_str(text), "the anchors", err);
}

cs_status cs_trust_add_crl_file(cs_trust *t, const char *path, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_CRL_MAX);
    TRY(files_read(path, CS_CRL_MAX, &text, err));
    if (t->crls == NULL) TRY(cs_crls_new(&t->crls, err));
    return cs_crls_take(t->crls, &text, path, err);
}

void cs_trust_require_revocation(cs_trust *t) {
    t->require_revocation = true;
}

cs_status cs_trust_add_pin(cs_trust *t, const char *pin, cs_err *err) {
    if (t->pins == NULL) TRY(cs_pins_new(&t->pins, err));
    return cs_pins_add(t->pins, pin, "the pin", err);
}

cs_status cs_trust_check(const cs_trust *t, const cs_certificate *leaf, const cs_certificate *const *extra,
                         size_t extra_count, cs_role role, const char *name, cs_err *err) {
    static const cs_purpose purposes[] = {
        [CS_ROLE_ANY] = CS_PURPOSE_ANY, [CS_ROLE_SERVER] = CS_PURPOSE_SERVER, [CS_ROLE_CLIENT] = CS_PURPOSE_CLIENT};
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    uint8_t ip[16];
    bool is_ip = name != NULL && (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1);
    const cs_name_want want_name = {.type = is_ip ? CS_SAN_IP : CS_SAN_DNS, .value = name};
    if ((unsigned)role >= sizeof purposes / sizeof purposes[0])
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "a role %d", (int)role);
    const cs_want want = {.purpose = purposes[role],
                          .at = cs_now(cs_clock_system()),
                          .names = &want_name,
                          .name_count = name != NULL ? 1 : 0,
                          .max_depth = -1,
                          .revocation = t->require_revocation ? CS_REVOCATION_REQUIRE : CS_REVOCATION_GIVEN,
                          .crls = t->crls,
                          .pins = t->pins};
    for (size_t i = 0; i < extra_count; i++) TRY(cs_certs_add(&bag, cs_cert_ref(extra[i]->cert), err));
    TRY(cs_verify(t->anchors, leaf->cert, &bag, &want, &v, err));
    return v.accepted ? CS_OK : cs_fail(err, CS_REFUSED, v.reason, "%s", v.detail);
}

cs_status cs_trust_install(cs_trust *t, struct ssl_ctx_st *ctx, cs_err *err) {
    const tls_hook_plan plan = {.anchors = t->anchors,
                                .crls = t->crls,
                                .pins = t->pins,
                                .require_revocation = t->require_revocation,
                                .clock = cs_clock_system()};
    return tls_hook_install(&plan, ctx, err);
}

cs_status cs_trust_refusal(const struct ssl_st *ssl, cs_err *err) {
    return tls_hook_refusal(ssl, err);
}

cs_status cs_trust_peer(const struct ssl_st *ssl, cs_certificate **ret, cs_err *err) {
    CS_AUTO(cs_cert) leaf = NULL;
    TRY(tls_hook_peer(ssl, &leaf, err));
    return lib_certificate_of(leaf, ret, err);
}
