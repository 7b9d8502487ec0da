/* What the server shows: its certificate, its wish for one of ours. */
#include <stdio.h>

#include "doctor/doctor_priv.h"
#include "x509/cert_priv.h"

static void say_server(doctor *d, const tls_look_seen *s) {
    char name[CS_NAME_TEXT_MAX + 1], issuer[CS_NAME_TEXT_MAX + 1], until[CS_TIME_TEXT_MAX], key[CS_KEY_TEXT_MAX],
        hex[65];
    doctor_say(d->r, "TLS", "%s, %s%s%s", s->version_text, s->cipher, s->alpn[0] ? ", " : "", s->alpn);
    if (s->chain.n == 0) return;
    const cs_cert *leaf = s->chain.at[0];
    for (int i = 0; i < 32; i++) (void)snprintf(hex + 2 * i, 3, "%02x", leaf->sha256[i]);
    doctor_say(d->r, "server certificate", "%.120s, issued by %.120s, until %s, %s; sent are %zu",
               creds_name(leaf, name), cs_name_text(leaf->issuer, issuer), cs_time_text(leaf->not_after, until),
               cs_key_spki_text(leaf->spki, key), s->chain.n);
    doctor_say(d->r, "server fingerprint", "sha256 %s", hex);
    doctor_say(d->r, "stapling", "%s", s->stapled ? "an OCSP answer is stapled" : "none");
    if (d->none.server[0] != '\0') doctor_say(d->r, "server says it is", "%s", d->none.server);
}

/* ---- its name ---- */

static void list_names(const cs_cert *leaf, cs_buf *b) {
    for (size_t i = 0; i < leaf->san_count && b->n < 200; i++) {
        if (i > 0) (void)cs_buf_add_str(b, ", ");
        (void)cs_san_add(b, &leaf->sans[i]);
    }
}

/* Is there a wildcard of the right domain that does not reach? */
static bool wildcard_near(const cs_cert *leaf, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < leaf->san_count; i++) {
        cs_view v = leaf->sans[i].value;
        if (leaf->sans[i].type != CS_SAN_DNS || v.n < 3 || v.p[0] != '*') continue;
        if (n >= v.n - 2 && cs_view_eq_nocase(cs_view_of(name + n - (v.n - 2), v.n - 2), cs_view_of(v.p + 2, v.n - 2)))
            return true;
    }
    return false;
}

static void wrong_name(doctor *d, const cs_cert *leaf) {
    CS_SCOPED(cs_buf) names = cs_buf_of(4096);
    cs_view cn = {NULL, 0};
    list_names(leaf, &names);
    const char *have = names.n > 0 ? cs_buf_cstr(&names) : "none";
    bool has_cn = cs_name_cn(leaf->subject, &cn) && cs_view_eq_nocase(cn, cs_view_str(d->name));
    if (d->by_ip)
        findings_add(d->f, 41, FINDING_SURE, "connected by %s; the certificate is for %.200s%s", d->name, have,
                     has_cn ? ", and has the address only as common name" : "");
    else if (leaf->san_count == 0 && has_cn)
        findings_add(d->f, 42, FINDING_SURE, "the certificate has %s as common name only", d->name);
    else if (wildcard_near(leaf, d->name))
        findings_add(d->f, 43, FINDING_SURE, "connected as %s; the certificate is for %.200s", d->name, have);
    else
        findings_add(d->f, 40, FINDING_SURE, "connected as %s; the certificate is for %.200s", d->name, have);
}

/* ---- its chain ---- */

static const cs_cert *trusted_namesake(const doctor *d, const cs_cert *last) {
    for (size_t i = 0; i < d->own.trust.n; i++)
        if (creds_name_only(d->own.trust.at[i], last)) return d->own.trust.at[i];
    return NULL;
}

static const cs_cert *issuer_among(const cs_certs *bag, const cs_cert *cert) {
    for (size_t i = 0; i < bag->n; i++)
        if (bag->at[i] != cert && creds_issued(bag->at[i], cert)) return bag->at[i];
    return NULL;
}

/* The last certificate upwards from the leaf, in whatever order they were sent. */
static const cs_cert *top_of(const cs_certs *sent) {
    const cs_cert *top = sent->at[0];
    for (size_t i = 0; i < sent->n; i++) {
        const cs_cert *next = creds_is_root(top) ? NULL : issuer_among(sent, top);
        if (next == NULL) break;
        top = next;
    }
    return top;
}

static void no_path(doctor *d, const tls_look_seen *s) {
    char name[CS_NAME_TEXT_MAX + 1], issuer[CS_NAME_TEXT_MAX + 1], hint[CS_NAME_TEXT_MAX + 1];
    const cs_cert *top = top_of(&s->chain), *leaf = s->chain.at[0], *same = trusted_namesake(d, top);
    (void)cs_name_text(top->issuer, issuer);
    if (same != NULL) {
        findings_add(d->f, 11, FINDING_SURE, "the CA file has a CA %.150s, but its key is not the one that signed",
                     creds_name(same, name));
    } else if (s->chain.n == 1 && creds_is_root(leaf)) {
        findings_add(d->f, 108, FINDING_SURE, "%.150s signed itself, and is not in the CA file",
                     creds_name(leaf, name));
    } else if (creds_is_root(top)) {
        findings_add(d->f, 83, FINDING_LIKELY,
                     "the chain ends at the root %.150s, which is not in the CA file (its first is %.150s): "
                     "somebody between re-signs, or this is another server",
                     issuer, creds_name(d->own.trust.at[0], hint));
        findings_add(d->f, 6, FINDING_LIKELY - 5, "the chain ends at the root %.150s, which is not in the CA file",
                     issuer);
    } else if (s->chain.n == 1) {
        findings_add(d->f, 6, FINDING_SURE,
                     "the server sends one certificate, whose issuer %.150s is not in the CA file", issuer);
        findings_add(d->f, 83, FINDING_MAYBE, "the issuer %.150s is none of the expected ones", issuer);
    } else {
        findings_add(d->f, 83, FINDING_LIKELY, "the chain leads to %.150s, which is not in the CA file", issuer);
        findings_add(d->f, 6, FINDING_LIKELY - 5, "the chain leads to %.150s, which is not in the CA file", issuer);
    }
}

static void by_reason(doctor *d, const tls_look_seen *s, const cs_verdict *v) {
    static const struct {
        cs_reason reason;
        unsigned number, above; /* of the leaf; of a CA above it */
    } map[] = {{CS_R_CERTIFICATE_EXPIRED, 51, 9},
               {CS_R_NOT_YET_VALID, 111, 111},
               {CS_R_EKU_MISSING_SERVER_AUTH, 38, 13},
               {CS_R_KEY_USAGE_WRONG, 39, 13},
               {CS_R_NOT_A_CA, 13, 13},
               {CS_R_IS_A_CA, 18, 18},
               {CS_R_PATH_TOO_LONG, 14, 14},
               {CS_R_NAME_CONSTRAINT_VIOLATED, 17, 17},
               {CS_R_KEY_TOO_WEAK, 109, 109},
               {CS_R_ALGORITHM_TOO_WEAK, 109, 109},
               {CS_R_REVOKED, 112, 112},
               {CS_R_SIGNATURE_INVALID, 12, 12},
               {CS_R_CERTIFICATE_MALFORMED, 18, 18}};
    bool anchor_ended = v->reason == CS_R_ANCHOR_UNUSABLE ||
                        (v->reason == CS_R_CERTIFICATE_EXPIRED && v->depth > 0 && (size_t)v->depth + 1 == v->chain.n);
    if (v->reason == CS_R_NAME_MISMATCH) {
        wrong_name(d, s->chain.at[0]);
        return;
    }
    if (anchor_ended) {
        findings_add(d->f, 53, FINDING_SURE, "%s", v->detail);
        return;
    }
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) {
        if (map[i].reason != v->reason) continue;
        findings_add(d->f, v->depth > 0 ? map[i].above : map[i].number, FINDING_SURE, "%s: %s",
                     cs_reason_of(v->reason)->says, v->detail);
        return;
    }
    no_path(d, s);
}

/* What is wrong whoever the CA is. */
static void judge_alone(doctor *d, const tls_look_seen *s) {
    cs_time now = cs_now(d->plan->clock);
    char name[CS_NAME_TEXT_MAX + 1], when[CS_TIME_TEXT_MAX];
    for (size_t i = 0; i < s->chain.n; i++) {
        const cs_cert *c = s->chain.at[i];
        const cs_cert_more *m = cs_cert_more_of(c);
        (void)creds_name(c, name);
        if (now > c->not_after)
            findings_add(d->f, i == 0 ? 51 : 9, FINDING_SURE, "%.150s ended on %s", name,
                         cs_time_text(c->not_after, when));
        if (now < c->not_before)
            findings_add(d->f, 111, FINDING_SURE, "%.150s is valid from %s on", name,
                         cs_time_text(c->not_before, when));
        if (m->key_type == CS_KEY_RSA && m->key_bits < CS_RSA_BITS_MIN)
            findings_add(d->f, 109, FINDING_LIKELY, "%.150s has a key of RSA %d bits", name, m->key_bits);
        if (m->alg.digest != NULL && strcmp(m->alg.digest, "SHA1") == 0 && !creds_is_root(c))
            findings_add(d->f, 109, FINDING_LIKELY, "%.150s is signed with SHA-1", name);
    }
    const cs_cert *leaf = s->chain.at[0];
    if (leaf->has_eku && !(leaf->eku & (CS_EKU_SERVER_AUTH | CS_EKU_ANY)))
        findings_add(d->f, 38, FINDING_SURE, "%.150s has an extended key usage without serverAuth",
                     creds_name(leaf, name));
    for (size_t i = 1; i < s->chain.n; i++)
        if (!cs_name_eq(s->chain.at[i]->subject, s->chain.at[i - 1]->issuer))
            findings_note(d->f, 8, "certificate %zu that the server sends is not the issuer of the one before", i + 1);
    if (s->unsafe_renegotiation) findings_add(d->f, 69, FINDING_LIKELY, "its hello lacks renegotiation_info");
}

static void judge_chain(doctor *d, const tls_look_seen *s) {
    cs_err err;
    CS_AUTO(cs_anchors) anchors = NULL;
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    const cs_name_want name = {.type = d->by_ip ? CS_SAN_IP : CS_SAN_DNS, .value = d->name};
    cs_want want = {.purpose = CS_PURPOSE_SERVER, .at = cs_now(d->plan->clock), .max_depth = -1};
    if (cs_anchors_new(&d->own.trust, &anchors, &err) != CS_OK) return;
    if (cs_verify(anchors, s->chain.at[0], &s->chain, &want, &v, &err) != CS_OK) return;
    if (!v.accepted) by_reason(d, s, &v);
    bool chain_good = v.accepted;
    cs_verdict_free(&v);
    v = (cs_verdict){.depth = -1};
    want.names = &name, want.name_count = 1;
    if (chain_good && cs_verify(anchors, s->chain.at[0], &s->chain, &want, &v, &err) == CS_OK && !v.accepted)
        by_reason(d, s, &v);
    d->server_good = chain_good && v.accepted;
    if (d->server_good)
        doctor_say(d->r, "server verified", "its certificate is good for %s under the CA file", d->name);
}

/* ---- what it asks for ---- */

static void say_asked(doctor *d, const tls_look_seen *s) {
    char first[CS_NAME_TEXT_MAX + 1] = "";
    if (!s->asked) {
        doctor_say(d->r, "client certificate", "not asked for in the handshake");
        return;
    }
    cs_rd r = cs_rd_of(cs_buf_view(&s->cas));
    if (s->ca_count > 0) (void)cs_name_text(cs_rd_vec16(&r), first);
    doctor_say(d->r, "client certificate", "asked for; %zu CA names are listed%s%.200s", s->ca_count,
               s->ca_count > 0 ? ", the first is " : "", first);
}

void doctor_judge_server(doctor *d) {
    const tls_look_seen *s = probe_seen(&d->none);
    say_server(d, s);
    say_asked(d, s);
    if (s->chain.n == 0) return;
    if (d->own.trust.n > 0) {
        judge_chain(d, s);
    } else {
        findings_note(d->f, 113, "give the CA that you expect: --ca FILE");
        if (s->chain.n == 1 && creds_is_root(s->chain.at[0]))
            findings_add(d->f, 108, 45, "the server's certificate signed itself");
    }
    judge_alone(d, s);
}
