/* A client's certificate and the CAs behind it, judged as a server would. */
#include <stdio.h>

#include "doctor/creds.h"
#include "verify/verify.h"
#include "x509/cert_priv.h"

bool creds_is_root(const cs_cert *c) {
    return cs_name_eq(c->issuer, c->subject);
}

bool creds_name_only(const cs_cert *issuer, const cs_cert *cert) {
    return cs_name_eq(issuer->subject, cert->issuer) && issuer->skid.n > 0 && cert->akid.n > 0 &&
           !cs_view_eq(issuer->skid, cert->akid);
}

bool creds_issued(const cs_cert *issuer, const cs_cert *cert) {
    return cs_name_eq(issuer->subject, cert->issuer) && !creds_name_only(issuer, cert);
}

const char *creds_name(const cs_cert *c, char out[CS_NAME_TEXT_MAX + 1]) {
    return cs_name_text(c->subject, out);
}

/* A server may bear it: what it does decides how likely it is the cause. */
static void suspect(creds *c, unsigned number) {
    if (c->suspects < sizeof c->suspect / sizeof c->suspect[0]) c->suspect[c->suspects++] = number;
}

static void judge_dates(creds *c, cs_time now, findings *f) {
    char name[CS_NAME_TEXT_MAX + 1], when[CS_TIME_TEXT_MAX], length[CS_TIME_TEXT_MAX];
    for (size_t i = 0; i < c->chain.n; i++) {
        const cs_cert *one = c->chain.at[i];
        if (now > one->not_after) {
            findings_add(f, i == 0 ? 50 : 9, FINDING_SURE, "%.100s ended on %s, %s ago", creds_name(one, name),
                         cs_time_text(one->not_after, when), cs_duration_text(now - one->not_after, length));
            suspect(c, i == 0 ? 50 : 9);
        } else if (now < one->not_before) {
            findings_add(f, 49, FINDING_LIKELY + 10, "%.100s is valid from %s on, in %s", creds_name(one, name),
                         cs_time_text(one->not_before, when), cs_duration_text(one->not_before - now, length));
            suspect(c, 49);
        } else if (i == 0 && one->not_after - now < (one->not_after - one->not_before) / 10) {
            findings_note(f, 115, "%.100s ends on %s, in %s", creds_name(one, name), cs_time_text(one->not_after, when),
                          cs_duration_text(one->not_after - now, length));
        }
    }
}

static void judge_leaf(creds *c, const char *what, findings *f) {
    const cs_cert *leaf = c->chain.at[0];
    const cs_cert_more *m = cs_cert_more_of(leaf);
    char name[CS_NAME_TEXT_MAX + 1];
    (void)creds_name(leaf, name);
    if (m->version < 3) {
        findings_add(f, 44, 50, "%.100s in %s is of version %d", name, what, m->version);
        suspect(c, 44);
    }
    if (leaf->has_eku && !(leaf->eku & (CS_EKU_CLIENT_AUTH | CS_EKU_ANY))) {
        findings_add(f, 37, FINDING_LIKELY + 15, "%.100s has an extended key usage without clientAuth%s", name,
                     leaf->eku & CS_EKU_SERVER_AUTH ? ", for servers" : "");
        suspect(c, 37);
    }
    if (leaf->has_key_usage && !(leaf->key_usage & CS_KU_DIGITAL_SIGNATURE)) {
        findings_add(f, 39, FINDING_LIKELY, "%.100s has a key usage without digitalSignature", name);
        suspect(c, 39);
    }
    if (m->alg.digest != NULL && strcmp(m->alg.digest, "SHA1") == 0) {
        findings_add(f, 58, FINDING_LIKELY + 10, "%.100s is signed with SHA-1", name);
        suspect(c, 58);
    }
    if (m->key_type == CS_KEY_RSA && m->key_bits < CS_RSA_BITS_MIN) {
        findings_add(f, 59, FINDING_LIKELY + 10, "%.100s has a key of RSA %d bits", name, m->key_bits);
        suspect(c, 59);
    }
    if (m->key_type == CS_KEY_ED25519 || m->key_type == CS_KEY_ED448)
        findings_note(f, 60, "%.100s has an Edwards-curve key, which browsers and mbedTLS cannot use", name);
    if (creds_is_root(leaf)) {
        findings_add(f, 20, FINDING_LIKELY, "%.100s is its own issuer", name);
        suspect(c, 20);
    }
}

static void judge_issuer(creds *c, size_t i, findings *f) {
    const cs_cert *below = c->chain.at[i - 1], *ca = c->chain.at[i];
    char name[CS_NAME_TEXT_MAX + 1];
    cs_err err;
    (void)creds_name(ca, name);
    if (!ca->is_ca || (ca->has_key_usage && !(ca->key_usage & CS_KU_CERT_SIGN))) {
        findings_add(f, 13, FINDING_LIKELY + 15, "%.100s signs others, but %s", name,
                     ca->is_ca ? "its key usage lacks keyCertSign" : "its basicConstraints say that it is no CA");
        suspect(c, 13);
    }
    if (ca->path_len >= 0 && i >= 2 && (size_t)ca->path_len < i - 1) {
        findings_add(f, 14, FINDING_LIKELY + 15, "%.100s has path length %d; %zu CAs stand below it", name,
                     ca->path_len, i - 1);
        suspect(c, 14);
    }
    if (cs_constraints_check(ca, c->chain.at[0], &err) != CS_OK && err.reason == CS_R_NAME_CONSTRAINT_VIOLATED) {
        findings_add(f, 17, FINDING_LIKELY + 15, "%.200s", err.detail);
        suspect(c, 17);
    }
    if (creds_name_only(ca, below))
        findings_add(f, 11, FINDING_LIKELY, "%.100s has another key than the one that signed the certificate before it",
                     name);
}

static void judge_order(const creds *c, const char *what, findings *f) {
    size_t octets = 0;
    for (size_t i = 0; i < c->chain.n; i++) {
        octets += c->chain.at[i]->der.n;
        bool follows = i == 0 || cs_name_eq(c->chain.at[i]->subject, c->chain.at[i - 1]->issuer);
        if (!follows) findings_note(f, 8, "certificate %zu of %s is not the issuer of the one before", i + 1, what);
    }
    if (octets > CS_PEER_CHAIN_MAX || c->chain.n > CS_PEER_CHAIN_COUNT + 2)
        findings_add(f, 67, FINDING_LIKELY, "%s has %zu certificates of %zu octets in all", what, c->chain.n, octets);
}

static void judge_strictness(const cs_certs *bag, const char *what, findings *f) {
    char text[CS_DETAIL_MAX], name[CS_NAME_TEXT_MAX + 1];
    for (size_t i = 0; i < bag->n; i++) {
        const cs_cert *one = bag->at[i];
        const cs_cert_more *m = cs_cert_more_of(one);
        const char *why = m->flaw_strict.reason != CS_R_NONE ? cs_flaw_text(&m->flaw_strict, text) : NULL;
        if (m->version < 3) continue;
        if (why == NULL && one->akid.n == 0 && !creds_is_root(one)) why = "it has no authority key identifier";
        if (why == NULL && one->is_ca && !one->has_key_usage) why = "a CA without key usage";
        if (why == NULL && one->is_ca && !m->ext[CS_EXT_BASIC_CONSTRAINTS].critical)
            why = "basicConstraints is not critical";
        if (why != NULL) findings_add(f, 18, 45, "%.100s in %s: %.200s", creds_name(one, name), what, why);
    }
}

void creds_judge(creds *c, const char *what, cs_time now, findings *f) {
    judge_dates(c, now, f);
    judge_leaf(c, what, f);
    for (size_t i = 1; i < c->chain.n; i++)
        if (cs_name_eq(c->chain.at[i]->subject, c->chain.at[i - 1]->issuer)) judge_issuer(c, i, f);
    judge_order(c, what, f);
    judge_strictness(&c->chain, what, f);
    judge_strictness(&c->trust, "the CA file", f);
}
