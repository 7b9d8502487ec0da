/* countersign profile try: what a request would get, field by field, and why. Nothing is asked of the authority: the
 * same code builds, and the signer's judge is asked, with the certificate of the CA that would issue. */
#include <stdio.h>
#include <string.h>

#include "cli/profile.h"
#include "io/cas.h"
#include "x509/csr.h"

typedef struct trial {
    const try_said *said;
    const conf *conf;
    const saying *s;
    const cs_profile *p;
    cs_csr *csr;
    cs_cert *ca;
    cs_identity who;
    cs_san own;
    uint8_t own_octets[CS_IDENTITY_NAME_MAX + 1];
    cs_san sans[CS_ISSUE_SAN_MAX];
    uint8_t octets[CS_ISSUE_SAN_MAX][CS_IDENTITY_NAME_MAX + 1];
    size_t asked, n; /* sans: those asked for, then those of the request */
    bool refused;
} trial;

static void trial_free(trial *t) {
    cs_csr_free(t->csr);
    cs_cert_free(t->ca);
}

/* A step that would end the real thing; here the next fields are told all the same. */
static void judge(trial *t, const char *field, const char *value, cs_status status, const cs_err *err,
                  const char *why) {
    char text[CS_DETAIL_MAX + 80];
    if (status == CS_OK) {
        say_field(t->s, field, value, why, false);
        return;
    }
    (void)snprintf(text, sizeof text, "%s: %s", cs_reason_of(err->reason)->name, err->detail);
    say_field(t->s, field, value, text, true);
    t->refused = true;
}

static cs_status read_ca(trial *t, cs_err *err) {
    char dir[FILES_PATH_MAX], path[FILES_PATH_MAX], name[CAS_NAME_MAX + 1];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_certs) bag = {0};
    TRY(files_join(t->conf->state, "ca", dir, err));
    TRY(cas_current(dir, name, err));
    TRY(cas_path(dir, name, "crt", path, err));
    if (!files_exists(path)) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s", t->conf->state);
    TRY(files_read(path, CS_CERT_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &bag, err));
    t->ca = cs_cert_ref(bag.at[0]);
    return CS_OK;
}

/* Without --name: the request's first DNS, e-mail or device name, else its common name. */
static cs_status find_name(trial *t, cs_err *err) {
    cs_view name = {NULL, 0};
    if (t->said->name != NULL) return cs_identity_make(t->p->kind, cs_view_str(t->said->name), &t->who, err);
    cs_san_type type = t->p->kind == CS_KIND_SERVER ? CS_SAN_DNS : CS_SAN_EMAIL;
    for (size_t i = 0; i < t->csr->san_count && name.n == 0; i++)
        if (t->p->kind != CS_KIND_DEVICE && t->csr->sans[i].type == type) name = t->csr->sans[i].value;
    if (name.n == 0 && !cs_name_cn(t->csr->subject, &name))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the request names nobody; say --name");
    return cs_identity_make(t->p->kind, name, &t->who, err);
}

static cs_status add_asked(trial *t, const cli_texts *texts, cs_san_type type, cs_err *err) {
    for (size_t i = 0; i < texts->n; i++) {
        if (t->n == CS_ISSUE_SAN_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d names", CS_ISSUE_SAN_MAX);
        TRY(cs_san_make(type, cs_view_str(texts->at[i]), t->octets[t->n], &t->sans[t->n], err));
        t->n++;
    }
    return CS_OK;
}

static bool same(const cs_san *a, const cs_san *b) {
    return a->type == b->type && cs_view_eq_nocase(a->value, b->value);
}

static void try_name(trial *t, const cs_san *san, cs_status status, const cs_err *err, const char *why) {
    CS_SCOPED(cs_buf) text = cs_buf_of(2048);
    (void)cs_san_add(&text, san);
    const char *value = cs_buf_cstr(&text);
    judge(t, "name", value != NULL ? value : "a name", status, err, why);
}

static void try_request_name(trial *t, const cs_san *san) {
    cs_err err;
    if (same(san, &t->own)) return;
    for (size_t i = 0; i < t->asked; i++)
        if (same(san, &t->sans[i])) return;
    cs_status status = cs_profile_request_name_check(t->p, san, &err);
    try_name(t, san, status, &err, "from the request");
    if (status == CS_OK && t->n < CS_ISSUE_SAN_MAX) t->sans[t->n++] = *san;
}

static void try_names(trial *t) {
    cs_err err = {.status = CS_OK};
    try_name(t, &t->own, cs_profile_name_check(t->p, &t->own, &err), &err, "from the identity");
    for (size_t i = 0; i < t->p->fixed_count; i++)
        try_name(t, &t->p->fixed[i], cs_profile_name_check(t->p, &t->p->fixed[i], &err), &err, "fixed by the profile");
    t->asked = t->n;
    for (size_t i = 0; i < t->asked; i++)
        try_name(t, &t->sans[i], cs_profile_name_check(t->p, &t->sans[i], &err), &err, "asked for");
    for (size_t i = 0; i < t->csr->san_count; i++) try_request_name(t, &t->csr->sans[i]);
}

static void try_usages(trial *t) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1024);
    bool other_ku = t->csr->has_key_usage && t->csr->key_usage != t->p->key_usage;
    bool other_eku = t->csr->has_eku && t->csr->eku != t->p->eku;
    char text[64];
    words_of_key_usage(t->p->key_usage, &b);
    say_field(t->s, "key_usage", cs_buf_cstr(&b),
              other_ku ? "by the profile; the request's is not taken" : "by the profile", false);
    words_of_eku(t->p->eku, &b);
    say_field(t->s, "extended_key_usage", cs_buf_cstr(&b),
              other_eku ? "by the profile; the request's is not taken" : "by the profile", false);
    if (t->csr->other_exts == 0) return;
    (void)snprintf(text, sizeof text, "%u of the request", t->csr->other_exts);
    say_field(t->s, "other extensions", text, "not taken: the profile alone decides", false);
}

/* Builds it, and asks the judge that the signer asks. */
static cs_status build(trial *t, cs_time from, cs_time until, cs_cert **ret, cs_err *err) {
    static const uint8_t serial[CS_SERIAL_LEN] = {1};
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX);
    const cs_profile_ask ask = {.profile = t->p,
                                .who = &t->who,
                                .subject = t->csr->subject,
                                .sans = t->sans,
                                .san_count = t->n,
                                .spki = t->csr->spki,
                                .issuer = t->ca,
                                .serial = cs_view_of(serial, sizeof serial),
                                .not_before = from,
                                .not_after = until,
                                .crl_url = "http://pki.example/crl/issuing.crl",
                                .ca_url = "http://pki.example/ca/issuing.crt",
                                .trust_domain = t->conf->trust_domain};
    const cs_profile_rule rule = {.issuer = t->ca, .trust_domain = t->conf->trust_domain, .profile = t->p};
    TRY(cs_profile_build(&ask, &tbs, err));
    TRY(cs_profile_check(cs_buf_view(&tbs), t->p->kind, &rule, NULL, NULL, err));
    return cs_profile_decode(cs_buf_view(&tbs), t->ca, ret, err);
}

static void try_whole(trial *t, cs_time lifetime) {
    cs_err err = {.status = CS_OK};
    cs_time from = 0, until = 0;
    char text[CS_TIME_TEXT_MAX * 2 + 8] = "", a[CS_TIME_TEXT_MAX], b[CS_TIME_TEXT_MAX], name[CS_NAME_TEXT_MAX + 1];
    CS_AUTO(cs_cert) c = NULL;
    cs_status status = cs_profile_validity(t->p, lifetime, cs_now(cs_clock_system()), t->ca, &from, &until, &err);
    if (status == CS_OK) (void)snprintf(text, sizeof text, "%s to %s", cs_time_text(from, a), cs_time_text(until, b));
    judge(t, "validity", status == CS_OK ? text : "as asked", status, &err,
          lifetime > 0 ? "asked for" : "by the profile");
    if (status != CS_OK) return;
    status = build(t, from, until, &c, &err);
    judge(t, "subject", status == CS_OK ? cs_name_text(c->subject, name) : "none", status, &err,
          "cn, o, ou, c, serial_number as the profile says");
}

static cs_status prepare(trial *t, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of((size_t)4 * CS_CSR_MAX);
    TRY(conf_profile_find(t->conf, t->said->profile, CS_KIND_OTHER, &t->p, err));
    TRY(read_ca(t, err));
    TRY(files_read(t->said->csr, (size_t)4 * CS_CSR_MAX, &text, err));
    TRY(cs_csr_read(cs_buf_view(&text), t->said->csr, &t->csr, err));
    TRY(find_name(t, err));
    TRY(cs_identity_san(&t->who, t->conf->trust_domain, t->own_octets, &t->own, err));
    TRY(add_asked(t, &t->said->dns, CS_SAN_DNS, err));
    TRY(add_asked(t, &t->said->ip, CS_SAN_IP, err));
    return add_asked(t, &t->said->email, CS_SAN_EMAIL, err);
}

cs_status try_request(const try_said *said, const conf *c, const saying *s, bool *ret_refused, cs_err *err) {
    CS_SCOPED(trial) t = {.said = said, .conf = c, .s = s};
    char key[CS_KEY_TEXT_MAX];
    cs_time lifetime = 0;
    cs_err why = {.status = CS_OK};
    if (said->lifetime != NULL && !cs_duration_parse(cs_view_str(said->lifetime), &lifetime))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--lifetime \"%s\", expected a duration, such as 90d or 8h",
                       said->lifetime);
    TRY(prepare(&t, err));
    say_field(s, "profile", t.p->name, t.p->approval ? "waits for approval" : NULL, false);
    say_field(s, "identity", t.who.name, cs_kind_name(t.p->kind), false);
    if (said->door != NULL)
        judge(&t, "door", said->door, cs_profile_door_check(t.p, said->door, &why), &why, "may ask");
    judge(&t, "request", "well-formed, proves its key", cs_csr_refuse_ca(t.csr, &why), &why, NULL);
    judge(&t, "key", cs_key_spki_text(t.csr->spki, key), cs_profile_key_check(t.p, t.csr->spki, &why), &why,
          "from the request");
    try_names(&t);
    try_usages(&t);
    try_whole(&t, lifetime);
    *ret_refused = t.refused;
    return CS_OK;
}
