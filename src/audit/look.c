/* Certificates, keys and CRLs within a file. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit_priv.h"
#include "base/limits.h"
#include "doctor/creds.h"
#include "keys/keys.h"
#include "x509/cert_priv.h"
#include "x509/crl.h"
#include "x509/digest.h"
#include "x509/lint.h"
#include "x509/pem.h"
#include "x509/points.h"

#define DAY (86400 * CS_SEC)

static cs_status remember(audit *a, const audit_key *k, cs_err *err) {
    if (a->seen_n == a->seen_cap) {
        size_t cap = a->seen_cap == 0 ? 64 : 2 * a->seen_cap;
        audit_key *more = reallocarray(a->seen, cap, sizeof *more);
        if (more == NULL) return CS_NOMEM_ERR(err);
        a->seen = more, a->seen_cap = cap;
    }
    a->seen[a->seen_n++] = *k;
    return CS_OK;
}

static bool has(cs_view text, const char *what) {
    return text.n >= strlen(what) && memmem(text.p, text.n, what, strlen(what)) != NULL;
}

/* ---- certificates ---- */

static cs_status judge_dates(audit *a, const audit_file *f, const cs_cert *c, uint32_t subject, cs_err *err) {
    char text[CS_TIME_TEXT_MAX];
    cs_time now = a->plan->now;
    (void)cs_time_text(c->not_after, text);
    if (c->not_after < now) return audit_add(a, AUDIT_CERT_EXPIRED, f->name, subject, err, "ended %s", text);
    if (c->not_before > now)
        TRY(audit_add(a, AUDIT_CERT_FUTURE, f->name, subject, err, "begins %s", cs_time_text(c->not_before, text)));
    if (c->not_after - now < a->plan->soon)
        TRY(audit_add(a, AUDIT_CERT_EXPIRES, f->name, subject, err, "ends %s, in %" PRId64 " days", text,
                      (c->not_after - now) / DAY));
    if (!c->is_ca && c->not_after - c->not_before > 732 * DAY)
        TRY(audit_add(a, AUDIT_CERT_LONG, f->name, subject, err, "%" PRId64 " days",
                      (c->not_after - c->not_before) / DAY));
    return CS_OK;
}

static cs_status judge_lint(audit *a, const audit_file *f, const cs_cert *c, uint32_t subject, cs_err *err) {
    cs_lint_report r;
    cs_lint_cert(c, &r);
    for (size_t i = 0; i < r.n; i++) {
        const cs_lint_finding *one = &r.at[i];
        audit_id id = one->rule->severity == CS_LINT_ERROR ? AUDIT_CERT_BROKEN : AUDIT_CERT_FLAW;
        TRY(audit_add(a, id, f->name, subject, err, "%s: %.200s", one->rule->id, one->detail));
    }
    return CS_OK;
}

static cs_status judge_cert(audit *a, const audit_file *f, const cs_cert *c, cs_err *err) {
    char name[CS_NAME_TEXT_MAX + 1];
    cs_err why;
    cs_view urls[CS_POINTS_MAX];
    audit_key k = {.file = f->name, .is_ca = c->is_ca};
    a->certs++;
    TRY(audit_keep(a, creds_name(c, name), &k.subject, err));
    memcpy(k.spki, c->spki_sha256, sizeof k.spki);
    for (size_t i = 0; i < c->subject.n; i++) k.subject_hash = (k.subject_hash ^ c->subject.p[i]) * 0x100000001b3;
    TRY(remember(a, &k, err));
    TRY(judge_dates(a, f, c, k.subject, err));
    if (cs_key_spki_check(c->spki, &why) != CS_OK)
        TRY(audit_add(a, AUDIT_CERT_KEY_WEAK, f->name, k.subject, err, "%.200s", why.detail));
    TRY(judge_lint(a, f, c, k.subject, err));
    if (!c->is_ca && !c->has_eku) TRY(audit_add(a, AUDIT_CERT_NO_PURPOSE, f->name, k.subject, err, "any"));
    bool root = creds_is_root(c);
    if (!root && cs_cert_points(c, CS_POINT_CRL, urls) == 0 && cs_cert_points(c, CS_POINT_OCSP, urls) == 0)
        TRY(audit_add(a, AUDIT_CERT_UNREVOCABLE, f->name, k.subject, err, "no CRL distribution point, no OCSP"));
    return CS_OK;
}

static cs_status look_at_certs(audit *a, const audit_file *f, cs_err *err) {
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    cs_err why;
    if (cs_certs_read_noting(f->text, f->path, &bag, &why) != CS_OK && bag.n == 0)
        return audit_add(a, AUDIT_CERT_BROKEN, f->name, f->name, err, "%.300s", why.detail);
    if ((f->mode & 022) != 0)
        TRY(audit_add(a, AUDIT_TRUST_WRITABLE, f->name, f->name, err, "mode %04o", (unsigned)f->mode & 07777));
    for (size_t i = 0; i < bag.n; i++) TRY(judge_cert(a, f, bag.at[i], err));
    return CS_OK;
}

/* ---- keys ---- */

static cs_status look_at_key(audit *a, const audit_file *f, bool locked, cs_err *err) {
    CS_AUTO(cs_key) key = NULL;
    cs_err why;
    a->keys++;
    if ((f->mode & 044) != 0)
        TRY(audit_add(a, AUDIT_KEY_READABLE, f->name, f->name, err, "mode %04o", (unsigned)f->mode & 07777));
    if ((f->mode & 022) != 0)
        TRY(audit_add(a, AUDIT_KEY_WRITABLE, f->name, f->name, err, "mode %04o", (unsigned)f->mode & 07777));
    if (locked) return CS_OK;
    if (a->plan->encrypted) TRY(audit_add(a, AUDIT_KEY_PLAIN, f->name, f->name, err, "no passphrase"));
    cs_status s = cs_key_read_pem(f->text, NULL, f->path, &key, &why);
    if (s != CS_OK && (why.reason == CS_R_KEY_TOO_WEAK || why.reason == CS_R_KEY_UNSUPPORTED))
        return audit_add(a, AUDIT_KEY_WEAK, f->name, f->name, err, "%.300s", why.detail);
    if (s != CS_OK) return audit_add(a, AUDIT_FILE_UNREADABLE, f->name, f->name, err, "%.300s", why.detail);
    audit_key k = {.file = f->name, .subject = f->name, .is_private = true};
    TRY(cs_sha256(cs_key_spki(key), k.spki, err));
    return remember(a, &k, err);
}

/* ---- CRLs ---- */

static cs_status judge_crl(audit *a, const audit_file *f, cs_view der, cs_err *err) {
    CS_AUTO(cs_crl) c = NULL;
    char name[CS_NAME_TEXT_MAX + 1], text[CS_TIME_TEXT_MAX];
    uint32_t issuer = 0;
    cs_err why;
    a->crls++;
    if (cs_crl_decode(der, &c, &why) != CS_OK)
        return audit_add(a, AUDIT_CRL_BROKEN, f->name, f->name, err, "%.300s", why.detail);
    TRY(audit_keep(a, cs_name_text(c->issuer, name), &issuer, err));
    if (!c->has_next_update) return audit_add(a, AUDIT_CRL_BROKEN, f->name, issuer, err, "it has no next update");
    (void)cs_time_text(c->next_update, text);
    if (c->next_update < a->plan->now) return audit_add(a, AUDIT_CRL_STALE, f->name, issuer, err, "ended %s", text);
    if (c->next_update - a->plan->now < DAY) return audit_add(a, AUDIT_CRL_ENDS, f->name, issuer, err, "ends %s", text);
    return CS_OK;
}

static cs_status look_at_crls(audit *a, const audit_file *f, bool der, cs_err *err) {
    CS_SCOPED(cs_buf) body = cs_buf_of(CS_CRL_MAX);
    cs_pem p = cs_pem_of(f->text, f->path);
    cs_status s = CS_OK;
    cs_err why;
    if (der) return judge_crl(a, f, f->text, err);
    while ((s = cs_pem_next(&p, &body, &why)) == CS_OK)
        if (strcmp(p.label, CS_PEM_CRL) == 0) TRY(judge_crl(a, f, cs_buf_view(&body), err));
    return s == CS_AGAIN ? CS_OK : audit_add(a, AUDIT_CRL_BROKEN, f->name, f->name, err, "%.300s", why.detail);
}

/* By its own form: a name says little, and a certificate's outer form is a CRL's too. */
static bool is_crl(cs_view der) {
    CS_AUTO(cs_crl) c = NULL;
    cs_err none;
    return cs_crl_decode(der, &c, &none) == CS_OK;
}

cs_status audit_look(audit *a, const audit_file *f, cs_err *err) {
    bool der = false, pem = has(f->text, "-----BEGIN ");
    size_t n = strlen(f->path);
    if (!pem && f->text.p[0] != 0x30) return CS_OK;
    creds_kind kind = creds_kind_of(f->text, &der);
    bool crl = der && (is_crl(f->text) || (kind == CREDS_UNKNOWN && n > 4 && strcmp(f->path + n - 4, ".crl") == 0));
    if (!crl && (kind == CREDS_CERT || kind == CREDS_CMS || (pem && has(f->text, "-----BEGIN CERTIFICATE-----"))))
        TRY(look_at_certs(a, f, err));
    if (crl || has(f->text, "-----BEGIN X509 CRL-----")) TRY(look_at_crls(a, f, crl, err));
    bool locked = kind == CREDS_KEY_ENCRYPTED || has(f->text, "BEGIN ENCRYPTED PRIVATE KEY") ||
                  has(f->text, "Proc-Type: 4,ENCRYPTED");
    if (locked || (pem && (has(f->text, " PRIVATE KEY-----") || has(f->text, "-----BEGIN PRIVATE KEY-----"))))
        TRY(look_at_key(a, f, locked, err));
    return CS_OK;
}
