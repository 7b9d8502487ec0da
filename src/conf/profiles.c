/* Profiles: the built-in ones, changed by the file, and the file's own. What is written becomes one cs_profile each,
 * from which the authority builds and by which the signer judges. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "conf/conf_priv.h"
#include "x509/der.h"

/* One profile being read. */
typedef struct reading {
    conf *c;
    const file_profile *f;
    cs_profile *p;
    cs_err *err;
} reading;

static cs_status bad(const reading *r, const char *key, const char *text, const char *expected) {
    return cs_fail(r->err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: profiles: %s: %s: \"%.100s\", expected %s", r->c->file,
                   r->f->name, key, text, expected);
}

typedef struct word {
    const char *text;
    unsigned bit;
} word;

/* A list of words as a mask; not written: as it was. */
static cs_status words(const reading *r, const char *key, char *const at[], unsigned n, const word known[],
                       unsigned *to) {
    unsigned mask = 0;
    for (unsigned i = 0; i < n; i++) {
        char all[300] = "one of";
        size_t len = strlen(all);
        const word *w = known;
        while (w->text != NULL && strcmp(w->text, at[i]) != 0) w++;
        if (w->text != NULL) {
            mask |= w->bit;
            continue;
        }
        for (w = known; w->text != NULL && len < sizeof all - 40; w++)
            len += (size_t)snprintf(all + len, sizeof all - len, " %s", w->text);
        return bad(r, key, at[i], all);
    }
    if (n > 0) *to = mask;
    return CS_OK;
}

static cs_status fill_keys(const reading *r) {
    static const word known[] = {{"ecdsa-p256", CS_PROFILE_KEY_P256},
                                 {"ecdsa-p384", CS_PROFILE_KEY_P384},
                                 {"ecdsa-p521", CS_PROFILE_KEY_P521},
                                 {"ed25519", CS_PROFILE_KEY_ED25519},
                                 {"rsa", CS_PROFILE_KEY_RSA},
                                 {"ml-dsa-44", CS_PROFILE_KEY_ML_DSA_44},
                                 {"ml-dsa-65", CS_PROFILE_KEY_ML_DSA_65},
                                 {"ml-dsa-87", CS_PROFILE_KEY_ML_DSA_87},
                                 {NULL, 0}};
    unsigned mask = 0;
    for (unsigned i = 0; i < r->f->keys_count; i++) {
        char *text = r->f->keys[i];
        unsigned bit = 0;
        char *end = NULL;
        bool rsa = strncmp(text, "rsa-", 4) == 0 && text[4] >= '1' && text[4] <= '9' && strlen(text) < 10;
        long bits = rsa ? strtol(text + 4, &end, 10) : 0;
        if (rsa && *end == '\0') {
            if (bits < CS_RSA_BITS_MIN || bits > CS_RSA_BITS_MAX) return bad(r, "keys", text, "rsa-2048 to rsa-8192");
            bit = CS_PROFILE_KEY_RSA;
            if (r->p->rsa_bits_min == 0 || bits < r->p->rsa_bits_min) r->p->rsa_bits_min = (int)bits;
        } else {
            TRY(words(r, "keys", &text, 1, known, &bit));
        }
        mask |= bit;
    }
    if (r->f->keys_count > 0) r->p->key_types = mask;
    return CS_OK;
}

static cs_status fill_usage(const reading *r) {
    static const word usages[] = {
        {"digital-signature", CS_KU_DIGITAL_SIGNATURE}, {"non-repudiation", CS_KU_NON_REPUDIATION},
        {"key-encipherment", CS_KU_KEY_ENCIPHERMENT},   {"data-encipherment", CS_KU_DATA_ENCIPHERMENT},
        {"key-agreement", CS_KU_KEY_AGREEMENT},         {NULL, 0}};
    static const word extended[] = {{"server-auth", CS_EKU_SERVER_AUTH},     {"client-auth", CS_EKU_CLIENT_AUTH},
                                    {"code-signing", CS_EKU_CODE_SIGNING},   {"email-protection", CS_EKU_EMAIL},
                                    {"time-stamping", CS_EKU_TIME_STAMPING}, {NULL, 0}};
    TRY(words(r, "key_usage", r->f->key_usage, r->f->key_usage_count, usages, &r->p->key_usage));
    return words(r, "extended_key_usage", r->f->extended_key_usage, r->f->extended_key_usage_count, extended,
                 &r->p->eku);
}

/* identity, request, none; anything else is the text itself, "=request" the text "request". */
static void fill_field(const char *text, cs_field *to) {
    if (text == NULL) return;
    *to = (cs_field){.from = CS_FROM_PROFILE, .text = text[0] == '=' ? text + 1 : text};
    if (strcmp(text, "identity") == 0) *to = (cs_field){.from = CS_FROM_IDENTITY};
    if (strcmp(text, "request") == 0) *to = (cs_field){.from = CS_FROM_REQUEST};
    if (strcmp(text, "none") == 0) *to = (cs_field){.from = CS_FROM_NOWHERE};
}

#define NAME_EXPECTED "dns:, ip:, email: or uri: and a name, such as dns:*.corp.example or ip:10.0.0.0/8"

static bool typed(const char *text, cs_san_type *ret_type, const char **ret_rest) {
    static const struct {
        const char *prefix;
        cs_san_type type;
    } types[] = {{"dns:", CS_SAN_DNS}, {"ip:", CS_SAN_IP}, {"email:", CS_SAN_EMAIL}, {"uri:", CS_SAN_URI}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t n = strlen(types[i].prefix);
        if (strncmp(text, types[i].prefix, n) != 0 || text[n] == '\0') continue;
        *ret_type = types[i].type;
        *ret_rest = text + n;
        return true;
    }
    return false;
}

/* Names are compared in lower case: DNS names and the domains of addresses are so in certificates. */
static const char *lowered(conf *c, cs_san_type type, const char *text) {
    char *copy = conf_alloc(c, strlen(text) + 1);
    if (copy == NULL) return NULL;
    const char *at = strrchr(text, '@');
    for (size_t i = 0; text[i] != '\0'; i++) {
        bool fold = type == CS_SAN_DNS || (type == CS_SAN_EMAIL && (at == NULL || text + i > at));
        copy[i] = fold && text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    }
    return copy;
}

static cs_status fill_patterns(const reading *r, const char *key, char *const at[], unsigned n, const cs_pattern **ret,
                               size_t *ret_n) {
    if (n == 0) return CS_OK;
    cs_pattern *to = conf_alloc(r->c, n * sizeof *to);
    if (to == NULL) return CS_NOMEM_ERR(r->err);
    for (unsigned i = 0; i < n; i++) {
        const char *rest = NULL;
        if (!typed(at[i], &to[i].type, &rest)) return bad(r, key, at[i], NAME_EXPECTED);
        to[i].text = lowered(r->c, to[i].type, rest);
        if (to[i].text == NULL) return CS_NOMEM_ERR(r->err);
    }
    *ret = to;
    *ret_n = n;
    return CS_OK;
}

static cs_status fill_fixed(const reading *r) {
    const unsigned n = r->f->fixed_names_count;
    if (n == 0) return CS_OK;
    cs_san *to = conf_alloc(r->c, n * sizeof *to);
    if (to == NULL) return CS_NOMEM_ERR(r->err);
    for (unsigned i = 0; i < n; i++) {
        const char *text = r->f->fixed_names[i], *rest = NULL;
        cs_san_type type = CS_SAN_DNS;
        uint8_t *octets = conf_alloc(r->c, CS_IDENTITY_NAME_MAX + 1);
        if (octets == NULL) return CS_NOMEM_ERR(r->err);
        cs_err ignored;
        if (!typed(text, &type, &rest) || cs_san_make(type, cs_view_str(rest), octets, &to[i], &ignored) != CS_OK)
            return bad(r, "fixed_names", text, NAME_EXPECTED);
        r->p->san_types |= 1U << type;
    }
    r->p->fixed = to;
    r->p->fixed_count = n;
    return CS_OK;
}

static cs_status fill_names(const reading *r) {
    cs_profile *p = r->p;
    const file_profile *f = r->f;
    TRY(fill_patterns(r, "names", f->names, f->names_count, &p->allowed, &p->allowed_count));
    TRY(fill_patterns(r, "deny_names", f->deny_names, f->deny_names_count, &p->denied, &p->denied_count));
    TRY(fill_fixed(r));
    for (size_t i = 0; i < p->allowed_count; i++) p->san_types |= 1U << p->allowed[i].type;
    size_t wide = p->allowed_count > 0 || p->fixed_count > 0 ? CS_ISSUE_SAN_MAX : p->san_max;
    p->san_max = f->most_names != NULL ? *f->most_names : wide;
    if (f->names_from_request != NULL) p->names_from_request = *f->names_from_request;
    return CS_OK;
}

/* OIDs and DER, from text. */
static cs_status take_oid(const reading *r, const char *key, const char *text, cs_view *ret) {
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_DER_OID_MAX);
    if (!cs_oid_parse(cs_view_str(text), &b))
        return bad(r, key, text, "an object identifier, such as 1.3.6.1.4.1.99999.1");
    void *copy = conf_alloc(r->c, b.n);
    if (copy == NULL) return CS_NOMEM_ERR(r->err);
    memcpy(copy, b.p, b.n);
    *ret = cs_view_of(copy, b.n);
    return CS_OK;
}

static cs_status fill_policies(const reading *r) {
    const unsigned n = r->f->policies_count;
    if (n == 0) return CS_OK;
    cs_view *to = conf_alloc(r->c, n * sizeof *to);
    if (to == NULL) return CS_NOMEM_ERR(r->err);
    for (unsigned i = 0; i < n; i++) TRY(take_oid(r, "policies", r->f->policies[i], &to[i]));
    r->p->policies = to;
    r->p->policy_count = n;
    return CS_OK;
}

static cs_status fill_extensions(const reading *r) {
    const unsigned n = r->f->extensions_count;
    if (n == 0) return CS_OK;
    cs_extra_ext *to = conf_alloc(r->c, n * sizeof *to);
    if (to == NULL) return CS_NOMEM_ERR(r->err);
    for (unsigned i = 0; i < n; i++) {
        const file_extension *from = &r->f->extensions[i];
        size_t cap = strlen(from->der) / 2 + 1, len = 0;
        uint8_t *der = conf_alloc(r->c, cap);
        if (der == NULL) return CS_NOMEM_ERR(r->err);
        TRY(take_oid(r, "extensions", from->oid, &to[i].oid));
        if (!cs_hex_decode(cs_view_str(from->der), der, cap, &len) || len == 0)
            return bad(r, "extensions", from->der, "DER in hexadecimal digits");
        to[i].der = cs_view_of(der, len);
        to[i].critical = from->critical != NULL && *from->critical;
    }
    r->p->extras = to;
    r->p->extra_count = n;
    return CS_OK;
}

static void fill_time(const char *text, cs_time *to) {
    if (text != NULL) (void)cs_duration_parse(cs_view_str(text), to); /* conf_tree_check has judged it */
}

static void fill_times(const reading *r) {
    cs_profile *p = r->p;
    fill_time(r->f->lifetime, &p->lifetime);
    /* who asks for a longer life without more words means it */
    if (p->lifetime_limit < p->lifetime) p->lifetime_limit = p->lifetime;
    fill_time(r->f->longest, &p->lifetime_limit);
    fill_time(r->f->backdate, &p->backdate);
}

static cs_status fill_one(const reading *r) {
    static const word doors[] = {{"cli", 1},  {"rest", 2},  {"est", 4}, {"scep", 8},
                                 {"cmp", 16}, {"acme", 32}, {NULL, 0}};
    const file_profile *f = r->f;
    cs_profile *p = r->p;
    unsigned ignored = 0;
    fill_times(r);
    TRY(fill_keys(r));
    TRY(fill_usage(r));
    fill_field(f->subject.c, &p->subject.country);
    fill_field(f->subject.o, &p->subject.organization);
    fill_field(f->subject.ou, &p->subject.unit);
    fill_field(f->subject.cn, &p->subject.common_name);
    fill_field(f->subject.serial_number, &p->subject.serial_number);
    TRY(fill_names(r));
    TRY(fill_policies(r));
    TRY(fill_extensions(r));
    TRY(words(r, "ask", f->ask, f->ask_count, doors, &ignored));
    if (f->ask_count > 0) p->ask = (const char *const *)f->ask;
    if (f->ask_count > 0) p->ask_count = f->ask_count;
    if (f->must_staple != NULL) p->must_staple = *f->must_staple;
    if (f->approval != NULL) p->approval = *f->approval;
    if (f->shared_key != NULL) p->shared_key = *f->shared_key;
    p->supersede_said = f->supersede != NULL;
    p->supersede = f->supersede != NULL && *f->supersede;
    if (cs_profile_seal(p, r->err) == CS_OK) return CS_OK;
    r->err->reason = CS_R_CONFIG_INVALID;
    return cs_fail_in(r->err, "%s", r->c->file);
}

/* Which of those begun the file's entry changes; a new one else. */
static cs_status place(conf *c, const file_profile *f, cs_profile **ret, cs_err *err) {
    cs_kind own = CS_KIND_OTHER, kind = CS_KIND_OTHER;
    bool builtin = cs_kind_parse(cs_view_str(f->name), &own);
    if (f->kind != NULL) (void)cs_kind_parse(cs_view_str(f->kind), &kind);
    if (builtin && f->kind != NULL && kind != own)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: profiles: %s: kind: \"%s\", expected %s", c->file,
                       f->name, f->kind, f->name);
    if (!builtin && f->kind == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: profiles: %s: the key \"kind\" is missing, expected server, user or device", c->file,
                       f->name);
    if (builtin) {
        *ret = &c->profiles[own - CS_KIND_SERVER];
        return CS_OK;
    }
    *ret = &c->profiles[c->profile_count++];
    **ret = *cs_profile_of(kind);
    (*ret)->name = f->name;
    return CS_OK;
}

cs_status conf_profiles_fill(conf *c, const file_conf *f, cs_err *err) {
    enum { BUILTIN = CS_KIND_COUNT - CS_KIND_SERVER };
    c->profiles = conf_alloc(c, (BUILTIN + f->profiles_count) * sizeof *c->profiles);
    if (c->profiles == NULL) return CS_NOMEM_ERR(err);
    for (int k = CS_KIND_SERVER; k < CS_KIND_COUNT; k++) c->profiles[c->profile_count++] = *cs_profile_of((cs_kind)k);
    for (unsigned i = 0; i < f->profiles_count; i++) {
        reading r = {.c = c, .f = &f->profiles[i], .err = err};
        for (unsigned k = 0; k < i; k++)
            if (strcmp(f->profiles[k].name, r.f->name) == 0)
                return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: profiles: %s stands there twice", c->file,
                               r.f->name);
        TRY(place(c, r.f, &r.p, err));
        TRY(fill_one(&r));
    }
    return CS_OK;
}

cs_status conf_profile_find(const conf *c, const char *name, cs_kind kind, const cs_profile **ret, cs_err *err) {
    char known[300] = "";
    size_t len = 0;
    if (name == NULL || name[0] == '\0') name = cs_kind_name(kind);
    for (unsigned i = 0; i < c->profile_count; i++) {
        const cs_profile *p = &c->profiles[i];
        if (strcmp(p->name, name) != 0) {
            int n = snprintf(known + len, sizeof known - len, "%s%s", len > 0 ? ", " : "", p->name);
            if (n > 0 && len + (size_t)n < sizeof known) len += (size_t)n;
            continue;
        }
        if (kind != CS_KIND_OTHER && p->kind != kind)
            return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "%s is a profile for kind %s, not %s", name,
                           cs_kind_name(p->kind), cs_kind_name(kind));
        *ret = p;
        return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%.64s; there are %s", name, known);
}
