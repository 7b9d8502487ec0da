/* Profiles in words. */
#include "cli/profile.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "x509/der.h"

void say_field(const saying *s, const char *field, const char *value, const char *why, bool refused) {
    if (s->j != NULL) {
        cs_json_object(s->j, NULL);
        cs_json_str(s->j, "field", field);
        cs_json_str(s->j, "value", value);
        if (why != NULL) cs_json_str(s->j, "why", why);
        if (refused) cs_json_bool(s->j, "refused", true);
        cs_json_object_end(s->j);
        return;
    }
    (void)cs_buf_addf(s->b, "%-20s ", field);
    (void)cs_text_escape(s->b, cs_view_str(value), 2000);
    if (why == NULL) {
        (void)cs_buf_add_byte(s->b, '\n');
        return;
    }
    (void)cs_buf_add_str(s->b, refused ? "  (REFUSED: " : "  (");
    (void)cs_text_escape(s->b, cs_view_str(why), 1000);
    (void)cs_buf_add_str(s->b, ")\n");
}

static void add_word(cs_buf *b, const char *word) {
    if (b->n > 0) (void)cs_buf_add_str(b, ", ");
    (void)cs_buf_add_str(b, word);
}

void words_of_keys(const cs_profile *p, cs_buf *b) {
    static const char *const names[] = {"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519",
                                        "rsa",        "ml-dsa-44",  "ml-dsa-65",  "ml-dsa-87"};
    cs_buf_clear(b);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!(p->key_types & 1U << i)) continue;
        add_word(b, names[i]);
        if (1U << i == CS_PROFILE_KEY_RSA && p->rsa_bits_min > 0) (void)cs_buf_addf(b, "-%d", p->rsa_bits_min);
    }
    if (p->key_types == 0) add_word(b, "all that are strong enough");
}

void words_of_key_usage(unsigned mask, cs_buf *b) {
    static const char *const names[] = {"digital-signature", "non-repudiation", "key-encipherment",
                                        "data-encipherment", "key-agreement",   "cert-sign",
                                        "crl-sign",          "encipher-only",   "decipher-only"};
    cs_buf_clear(b);
    for (unsigned i = 0; i < 9; i++)
        if (mask & 1U << i) add_word(b, names[i]);
}

void words_of_eku(unsigned mask, cs_buf *b) {
    static const char *const names[] = {"server-auth",   "client-auth",  "code-signing", "email-protection",
                                        "time-stamping", "ocsp-signing", "any",          "cmc-ra"};
    cs_buf_clear(b);
    for (unsigned i = 0; i < 8; i++)
        if (mask & 1U << i) add_word(b, names[i]);
}

void words_of_doors(const cs_profile *p, cs_buf *b) {
    cs_buf_clear(b);
    for (size_t i = 0; i < p->ask_count; i++) add_word(b, p->ask[i]);
    if (p->ask_count == 0) add_word(b, "all");
}

const char *word_of_source(cs_from from) {
    switch (from) {
    case CS_FROM_NOWHERE: return "none";
    case CS_FROM_IDENTITY: return "identity";
    case CS_FROM_REQUEST: return "request";
    case CS_FROM_PROFILE: return "profile";
    }
    return "none";
}

static void say_source(const saying *s, const char *field, const cs_field *f) {
    if (f->from == CS_FROM_NOWHERE) return;
    say_field(s, field, f->from == CS_FROM_PROFILE ? f->text : word_of_source(f->from),
              f->from == CS_FROM_PROFILE ? "fixed" : NULL, false);
}

static void say_patterns(const saying *s, const char *field, const cs_pattern *at, size_t n) {
    static const char *const prefix[] = {"other:", "email:", "dns:", "", "", "", "uri:", "ip:", ""};
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    for (size_t i = 0; i < n; i++) {
        add_word(&b, prefix[at[i].type]);
        (void)cs_buf_add_str(&b, at[i].text);
    }
    if (n > 0) say_field(s, field, cs_buf_cstr(&b), NULL, false);
}

static void say_fixed(const saying *s, const cs_profile *p) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    char oid[CS_OID_TEXT_MAX];
    for (size_t i = 0; i < p->fixed_count; i++) {
        add_word(&b, "");
        (void)cs_san_add(&b, &p->fixed[i]);
    }
    if (p->fixed_count > 0) say_field(s, "fixed_names", cs_buf_cstr(&b), NULL, false);
    cs_buf_clear(&b);
    for (size_t i = 0; i < p->policy_count; i++) add_word(&b, cs_oid_text(p->policies[i], oid));
    if (p->policy_count > 0) say_field(s, "policies", cs_buf_cstr(&b), NULL, false);
    for (size_t i = 0; i < p->extra_count; i++) {
        cs_buf_clear(&b);
        (void)cs_buf_addf(&b, "%s ", cs_oid_text(p->extras[i].oid, oid));
        (void)cs_hex_add(&b, p->extras[i].der);
        say_field(s, "extension", cs_buf_cstr(&b), p->extras[i].critical ? "critical" : NULL, false);
    }
}

void say_profile(const saying *s, const cs_profile *p) {
    CS_SCOPED(cs_buf) b = cs_buf_of(16 * 1024);
    char text[CS_TIME_TEXT_MAX], hex[65];
    say_field(s, "name", p->name, NULL, false);
    say_field(s, "kind", cs_kind_name(p->kind), NULL, false);
    words_of_keys(p, &b);
    say_field(s, "keys", cs_buf_cstr(&b), NULL, false);
    say_field(s, "lifetime", cs_duration_text(p->lifetime, text), NULL, false);
    say_field(s, "longest", cs_duration_text(p->lifetime_limit, text), NULL, false);
    say_field(s, "backdate", cs_duration_text(p->backdate, text), NULL, false);
    words_of_key_usage(p->key_usage, &b);
    say_field(s, "key_usage", cs_buf_cstr(&b), NULL, false);
    words_of_eku(p->eku, &b);
    say_field(s, "extended_key_usage", cs_buf_cstr(&b), NULL, false);
    say_source(s, "subject.c", &p->subject.country);
    say_source(s, "subject.o", &p->subject.organization);
    say_source(s, "subject.ou", &p->subject.unit);
    say_source(s, "subject.cn", &p->subject.common_name);
    say_source(s, "subject.serial_number", &p->subject.serial_number);
    say_patterns(s, "names", p->allowed, p->allowed_count);
    say_patterns(s, "deny_names", p->denied, p->denied_count);
    say_fixed(s, p);
    say_field(s, "names_from_request", p->names_from_request ? "true" : "false", NULL, false);
    (void)snprintf(text, sizeof text, "%zu", p->san_max);
    say_field(s, "most_names", text, NULL, false);
    if (p->must_staple) say_field(s, "must_staple", "true", NULL, false);
    words_of_doors(p, &b);
    say_field(s, "ask", cs_buf_cstr(&b), NULL, false);
    if (p->approval) say_field(s, "approval", "true", NULL, false);
    if (p->shared_key) say_field(s, "shared_key", "true", NULL, false);
    if (p->supersede_said) say_field(s, "supersede", p->supersede ? "true" : "false", NULL, false);
    say_field(s, "digest", cs_hex(cs_view_of(p->digest, sizeof p->digest), hex), "what authority and signer compare",
              false);
}
