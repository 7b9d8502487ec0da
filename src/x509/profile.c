/* The profiles: what a certificate of each kind says, built and checked. @rfc 5280#4 */
#include "x509/profile.h"

#include "keys/keys.h"
#include "x509/build.h"
#include "x509/cert_priv.h"
#include "x509/exts_write.h"
#include "x509/profile_priv.h"

#include <pthread.h>
#include <stdlib.h>

enum { USER_NAMES = 10, URL_MAX = 512 };

#define FROM_IDENTITY                                                                                                  \
    { .from = CS_FROM_IDENTITY }

static cs_profile profiles[CS_KIND_COUNT] = {
    [CS_KIND_SERVER] = {.name = "server",
                        .kind = CS_KIND_SERVER,
                        .key_usage = CS_KU_DIGITAL_SIGNATURE,
                        .eku = CS_EKU_SERVER_AUTH,
                        .san_types = 1U << CS_SAN_DNS | 1U << CS_SAN_IP,
                        .san_max = CS_ISSUE_SAN_MAX,
                        .lifetime = 90 * CS_DAY,
                        .lifetime_limit = 398 * CS_DAY,
                        .backdate = CS_BACKDATE,
                        .subject = {.common_name = FROM_IDENTITY}},
    [CS_KIND_USER] = {.name = "user",
                      .kind = CS_KIND_USER,
                      .key_usage = CS_KU_DIGITAL_SIGNATURE,
                      .eku = CS_EKU_CLIENT_AUTH | CS_EKU_EMAIL,
                      .san_types = 1U << CS_SAN_EMAIL,
                      .san_max = USER_NAMES,
                      .lifetime = CS_YEAR,
                      .lifetime_limit = 3 * CS_YEAR,
                      .backdate = CS_BACKDATE,
                      .subject = {.common_name = FROM_IDENTITY}},
    [CS_KIND_DEVICE] = {.name = "device",
                        .kind = CS_KIND_DEVICE,
                        .key_usage = CS_KU_DIGITAL_SIGNATURE,
                        .eku = CS_EKU_CLIENT_AUTH,
                        .san_types = 1U << CS_SAN_URI,
                        .san_max = 1,
                        .lifetime = CS_YEAR,
                        .lifetime_limit = 5 * CS_YEAR,
                        .backdate = CS_BACKDATE,
                        .subject = {.common_name = FROM_IDENTITY, .serial_number = FROM_IDENTITY}},
};
static pthread_once_t sealed = PTHREAD_ONCE_INIT;

static void seal_all(void) {
    cs_err ignored; /* a built-in profile that cannot be kept to would fail every test */
    for (size_t k = 0; k < CS_KIND_COUNT; k++)
        if (profiles[k].name) (void)!cs_profile_seal(&profiles[k], &ignored);
}

const cs_profile *cs_profile_of(cs_kind kind) {
    (void)pthread_once(&sealed, seal_all);
    return (size_t)kind < CS_KIND_COUNT && profiles[kind].name ? &profiles[kind] : NULL;
}

cs_status cs_serial_draw(const cs_rng *rng, uint8_t ret[CS_SERIAL_LEN], cs_err *err) {
    do {
        TRY(cs_rng_fill(rng, ret, CS_SERIAL_LEN, err));
        ret[0] &= 0x7f;    /* positive */
    } while (ret[0] == 0); /* once in 128: the length never varies */
    return CS_OK;
}

cs_status cs_profile_validity(const cs_profile *profile, cs_time lifetime, cs_time now, const cs_cert *issuer,
                              cs_time *ret_not_before, cs_time *ret_not_after, cs_err *err) {
    const cs_time limit = profile->lifetime_limit;
    char text[CS_TIME_TEXT_MAX];
    if (lifetime == 0) lifetime = profile->lifetime;
    if (lifetime < CS_SEC || lifetime > limit)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "lifetime: a %s certificate lives at most %s",
                       profile->name, cs_duration_text(limit, text));
    if (now >= issuer->not_after)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "the issuing CA's, on %s",
                       cs_time_text(issuer->not_after, text));
    if (now < issuer->not_before)
        return cs_fail(err, CS_REFUSED, CS_R_NOT_YET_VALID, "the issuing CA's begins on %s",
                       cs_time_text(issuer->not_before, text));
    cs_time from = cs_time_seconds(now - profile->backdate) * CS_SEC, to = cs_time_seconds(now + lifetime) * CS_SEC;
    *ret_not_before = from > issuer->not_before ? from : issuer->not_before;
    *ret_not_after = to < issuer->not_after ? to : issuer->not_after;
    return CS_OK;
}

/* ---- device URIs ---- */

cs_status cs_trust_domain_check(const char *trust_domain, cs_err *err) {
    enum { TRUST_DOMAIN_MAX = 128 }; /* SPIFFE-ID allows 255; with /device/ and a name it must fit a SAN of ours */
    size_t n = trust_domain ? strlen(trust_domain) : 0;
    if (n == 0 || n > TRUST_DOMAIN_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "trust domain: %s", n ? "longer than 128" : "is empty");
    for (size_t i = 0; i < n; i++) {
        char c = trust_domain[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!good)
            return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID,
                           "trust domain \"%s\": only lower-case letters, digits, . _ -", trust_domain);
    }
    return CS_OK;
}

cs_status cs_device_uri(cs_buf *b, const char *trust_domain, const char *name, cs_err *err) {
    TRY(cs_trust_domain_check(trust_domain, err));
    (void)cs_buf_addf(b, "spiffe://%s/device/%s", trust_domain, name);
    return cs_buf_ok(b, "device URI", err);
}

/* ---- built ---- */

/* The names of one certificate, each with room for its own octets. */
typedef struct names {
    cs_san *sans;
    uint8_t (*store)[CS_IDENTITY_NAME_MAX + 1];
    size_t n, cap;
} names;

static void names_free(names *v) {
    free(v->sans);
    free(v->store);
}

static bool names_has(const names *v, const cs_san *san) {
    for (size_t i = 0; i < v->n; i++) {
        if (v->sans[i].type == san->type && cs_view_eq(v->sans[i].value, san->value)) return true;
    }
    return false;
}

/* Text is put into its one form (lower case); an address is taken as its 4 or 16 octets. */
static cs_status names_add(names *v, const cs_profile *profile, const cs_san *san, cs_err *err) {
    uint8_t made_in[CS_IDENTITY_NAME_MAX + 1];
    cs_san made = *san;
    if ((unsigned)san->type > CS_SAN_RID || !(profile->san_types & (1U << san->type)))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "a %s certificate does not carry such a name (type %d)",
                       profile->name, (int)san->type);
    if (san->type == CS_SAN_IP) {
        if (san->value.n != 4 && san->value.n != 16)
            return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "an IP address of %zu octets", san->value.n);
        memcpy(made_in, san->value.p, san->value.n);
    } else {
        TRY(cs_san_make(san->type, san->value, made_in, &made, err));
    }
    if (names_has(v, &made)) return CS_OK;
    TRY(cs_profile_name_check(profile, &made, err));
    if (v->n >= v->cap)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a %s certificate has at most %zu names", profile->name,
                       v->cap);
    memcpy(v->store[v->n], made_in, made.value.n);
    v->sans[v->n] = (cs_san){made.type, {v->store[v->n], made.value.n}};
    v->n++;
    return CS_OK;
}

cs_status cs_identity_san(const cs_identity *who, const char *trust_domain, uint8_t store[CS_IDENTITY_NAME_MAX + 1],
                          cs_san *ret, cs_err *err) {
    cs_view name = cs_view_str(who->name);
    cs_err not_ip;
    if (who->kind == CS_KIND_DEVICE) {
        CS_SCOPED(cs_buf) uri = cs_buf_of(CS_IDENTITY_NAME_MAX);
        TRY(cs_device_uri(&uri, trust_domain, who->name, err));
        return cs_san_make(CS_SAN_URI, cs_buf_view(&uri), store, ret, err);
    }
    if (who->kind == CS_KIND_USER) return cs_san_make(CS_SAN_EMAIL, name, store, ret, err);
    if (cs_san_make(CS_SAN_IP, name, store, ret, &not_ip) == CS_OK) return CS_OK;
    return cs_san_make(CS_SAN_DNS, name, store, ret, err);
}

static cs_status collect_names(const cs_profile_ask *ask, const cs_profile *profile, names *v, cs_err *err) {
    uint8_t octets[CS_IDENTITY_NAME_MAX + 1];
    cs_san own;
    v->cap = profile->san_max;
    v->sans = calloc(v->cap, sizeof(*v->sans));
    v->store = calloc(v->cap, sizeof(*v->store));
    if (!v->sans || !v->store) return CS_NOMEM_ERR(err);
    TRY(cs_identity_san(ask->who, ask->trust_domain, octets, &own, err));
    TRY(names_add(v, profile, &own, err));
    for (size_t i = 0; i < profile->fixed_count; i++) TRY(names_add(v, profile, &profile->fixed[i], err));
    for (size_t i = 0; i < ask->san_count; i++) TRY(names_add(v, profile, &ask->sans[i], err));
    return CS_OK;
}

static bool is_url(const char *url) {
    size_t n = url ? strlen(url) : 0;
    if (n > URL_MAX || (strncmp(url ? url : "", "http://", 7) != 0 && strncmp(url ? url : "", "https://", 8) != 0))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (url[i] <= 0x20 || url[i] >= 0x7f) return false;
    }
    return true;
}

static cs_status ask_check(const cs_profile_ask *ask, const cs_profile *profile, cs_err *err) {
    cs_identity again;
    TRY(cs_identity_make(ask->who->kind, cs_view_str(ask->who->name), &again, err));
    if (strcmp(again.name, ask->who->name) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "\"%s\" is not in its one form", ask->who->name);
    if (ask->serial.n != CS_SERIAL_LEN || ask->serial.p[0] == 0 || ask->serial.p[0] & 0x80)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "serial: not %d octets of a positive number",
                       CS_SERIAL_LEN);
    bool ocsp = ask->ocsp_url != NULL && ask->ocsp_url[0] != '\0';
    bool delta = ask->delta_url != NULL && ask->delta_url[0] != '\0';
    if (!is_url(ask->crl_url) || !is_url(ask->ca_url) || (ocsp && !is_url(ask->ocsp_url)) ||
        (delta && !is_url(ask->delta_url)))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "public address: not http://HOST[:PORT]");
    if (ask->not_after <= ask->not_before)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "validity: ends before it begins");
    if (ask->issuer->skid.n == 0)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "the issuer has no subject key identifier");
    TRY(cs_profile_key_check(profile, ask->spki, err));
    return cs_key_spki_check(ask->spki, err);
}

cs_status cs_profile_build(const cs_profile_ask *ask, cs_buf *tbs, cs_err *err) {
    const cs_profile *profile = ask->profile ? ask->profile : cs_profile_of(ask->who->kind);
    CS_SCOPED(names) v = {0};
    CS_SCOPED(cs_buf) subject = cs_buf_of(CS_NAME_TEXT_MAX);
    uint8_t keyid[CS_KEYID_LEN];
    if (!profile) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind %d", (int)ask->who->kind);
    if (profile->kind != ask->who->kind)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "%s is a profile for kind %s", profile->name,
                       cs_kind_name(profile->kind));
    TRY(ask_check(ask, profile, err));
    TRY(collect_names(ask, profile, &v, err));
    TRY(cs_profile_subject(profile, ask, v.sans, v.n, &subject, err));
    cs_tbs t = {.serial = ask->serial,
                .issuer = ask->issuer->subject,
                .subject = cs_buf_view(&subject),
                .spki = ask->spki,
                .not_before = ask->not_before,
                .not_after = ask->not_after};
    TRY(cs_key_algorithm(ask->issuer->spki, &t.algorithm, err));
    if (!cs_keyid_of_spki(ask->spki, keyid)) return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "no key in it");
    cs_tbs_open(tbs, &t);
    cs_ext_put_basic_constraints(tbs, false, -1);
    cs_ext_put_key_usage(tbs, profile->key_usage);
    cs_ext_put_eku(tbs, profile->eku);
    cs_ext_put_sans(tbs, cs_name_empty(t.subject), v.sans, v.n); /* critical when the subject is empty, 4.2.1.6 */
    cs_ext_put_ski(tbs, cs_view_of(keyid, sizeof(keyid)));
    cs_ext_put_aki(tbs, ask->issuer->skid);
    cs_ext_put_crl_point(tbs, ask->crl_url);
    if (ask->delta_url != NULL && ask->delta_url[0] != '\0')
        cs_ext_put_point(tbs, CS_OID_FRESHEST, cs_view_str(ask->delta_url));
    cs_ext_put_access(tbs, ask->ca_url, ask->ocsp_url);
    cs_profile_put_own_exts(profile, tbs);
    cs_tbs_close(tbs, &t);
    return cs_buf_ok(tbs, "certificate", err);
}
