#include "doctor/creds.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/creds_priv.h"
#include "io/files.h"
#include "x509/cert_priv.h"
#include "x509/cms.h"
#include "x509/p12.h"

void creds_free(creds *c) {
    cs_certs_free(&c->chain);
    cs_certs_free(&c->trust);
    cs_key_free(c->key);
    c->key = NULL;
}

/* ---- what is it? ---- */

static creds_kind kind_of_label(const cs_pem *pem, cs_view body) {
    static const struct {
        const char *label;
        creds_kind kind;
    } known[] = {{"CERTIFICATE", CREDS_CERT},
                 {"X509 CERTIFICATE", CREDS_CERT},
                 {"TRUSTED CERTIFICATE", CREDS_CERT},
                 {"PRIVATE KEY", CREDS_KEY},
                 {"RSA PRIVATE KEY", CREDS_KEY},
                 {"EC PRIVATE KEY", CREDS_KEY},
                 {"ENCRYPTED PRIVATE KEY", CREDS_KEY_ENCRYPTED},
                 {"CERTIFICATE REQUEST", CREDS_CSR},
                 {"NEW CERTIFICATE REQUEST", CREDS_CSR},
                 {"X509 CRL", CREDS_CRL},
                 {"PKCS7", CREDS_CMS},
                 {"CMS", CREDS_CMS}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].label, pem->label) != 0) continue;
        bool locked = known[i].kind == CREDS_KEY && body.n > 0 && memmem(body.p, body.n, "ENCRYPTED", 9) != NULL;
        return locked ? CREDS_KEY_ENCRYPTED : known[i].kind;
    }
    return CREDS_UNKNOWN;
}

static creds_kind kind_of_der(cs_view text) {
    cs_err err;
    CS_AUTO(cs_cert) c = NULL;
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(text, &fault), in = cs_der_in(&d, CS_DER_SEQUENCE);
    if (cs_looks_p12(text)) return CREDS_P12;
    if (cs_looks_cms(text)) return CREDS_CMS;
    if (cs_cert_decode_noting(text, &c, &err) == CS_OK) return CREDS_CERT;
    /* INTEGER first: a key of one of the three forms; CertificationRequestInfo begins with an INTEGER inside */
    return fault.rule == NULL && cs_der_peek(&in) == CS_DER_INTEGER ? CREDS_KEY : CREDS_UNKNOWN;
}

creds_kind creds_kind_of(cs_view text, bool *ret_der) {
    cs_err err;
    cs_view body;
    *ret_der = false;
    if (cs_view_trim(text).n == 0) return CREDS_NOTHING;
    bool bom16 = text.n >= 2 && ((text.p[0] == 0xff && text.p[1] == 0xfe) || (text.p[0] == 0xfe && text.p[1] == 0xff));
    if (bom16 || (text.n >= 4 && (text.p[0] == '-' || text.p[1] == '-') && (text.p[1] == 0 || text.p[0] == 0)))
        return CREDS_UTF16;
    if (cs_looks_der(text)) {
        *ret_der = true;
        return kind_of_der(text);
    }
    cs_pem pem = cs_pem_of(text, "");
    for (creds_kind kind = CREDS_UNKNOWN;;) {
        if (cs_pem_find(&pem, &body, &err) != CS_OK) return kind;
        kind = kind_of_label(&pem, body);
        if (kind != CREDS_UNKNOWN) return kind;
    }
}

const char *creds_kind_text(creds_kind kind) {
    static const char *const texts[] = {[CREDS_NOTHING] = "nothing",
                                        [CREDS_UTF16] = "text in UTF-16",
                                        [CREDS_CERT] = "a certificate",
                                        [CREDS_KEY] = "a private key",
                                        [CREDS_KEY_ENCRYPTED] = "an encrypted private key",
                                        [CREDS_CSR] = "a certificate request",
                                        [CREDS_CRL] = "a CRL",
                                        [CREDS_CMS] = "a PKCS#7 bundle",
                                        [CREDS_P12] = "a PKCS#12 bundle",
                                        [CREDS_UNKNOWN] = "neither PEM nor DER of a kind that is known"};
    return texts[kind];
}

/* ---- files ---- */

/* True: its octets are in b. */
bool creds_load(const char *path, const char *role, bool ca, cs_buf *b, findings *f) {
    cs_err err;
    bool der = false;
    unsigned missing = ca ? 28 : 26;
    if (files_read(path, CS_PEM_FILE_MAX, b, &err) != CS_OK) {
        bool empty = err.reason == CS_R_FILE_EMPTY || err.reason == CS_R_FILE_NOT_FOUND;
        findings_add(f, empty ? missing : 26, FINDING_SURE, "%s: %s (%s)", role, err.detail,
                     cs_reason_of(err.reason)->says);
        return false;
    }
    creds_kind kind = creds_kind_of(cs_buf_view(b), &der);
    if (kind == CREDS_NOTHING) findings_add(f, ca ? 28 : 25, FINDING_SURE, "%s %s is empty", role, path);
    if (kind == CREDS_UTF16) findings_add(f, 24, FINDING_SURE, "%s %s is text in UTF-16", role, path);
    return kind != CREDS_NOTHING && kind != CREDS_UTF16;
}

bool creds_read_certs(const char *path, const char *role, bool ca, cs_certs *bag, findings *f) {
    cs_err err;
    bool der = false;
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_PEM_FILE_MAX);
    if (!creds_load(path, role, ca, &b, f)) return false;
    creds_kind kind = creds_kind_of(cs_buf_view(&b), &der);
    if (cs_certs_read_noting(cs_buf_view(&b), path, bag, &err) == CS_OK && bag->n > 0) {
        if (der) findings_add(f, kind == CREDS_CMS ? 25 : 23, FINDING_LIKELY, "%s %s is DER", role, path);
        if (!der && kind == CREDS_CMS)
            findings_add(f, 25, FINDING_LIKELY, "%s %s holds %s: most programs do not read it", role, path,
                         creds_kind_text(kind));
        return true;
    }
    if (kind == CREDS_CERT || kind == CREDS_UNKNOWN)
        findings_add(f, ca ? 28 : 25, FINDING_SURE, "%s %s", role, err.detail);
    else
        findings_add(f, ca ? 28 : 25, FINDING_SURE, "%s %s holds %s, where a certificate is expected", role, path,
                     creds_kind_text(kind));
    return false;
}

static void judge_mode(const char *path, findings *f) {
    struct stat st;
    if (stat(path, &st) != 0) return;
    bool world = (st.st_mode & 007) != 0, group = (st.st_mode & 070) != 0;
    /* root:group 0640 is how services are given keys */
    if (world || (group && st.st_uid != 0) || (st.st_mode & 030) != 0)
        findings_add(f, 27, FINDING_LIKELY, "%s has mode %04o", path, (unsigned)(st.st_mode & 07777));
}

static void key_failed(const char *path, const cs_err *err, creds_kind kind, bool der, findings *f) {
    switch (err->reason) {
    case CS_R_PASSPHRASE_NEEDED:
    case CS_R_PASSPHRASE_WRONG:
        findings_add(f, 22, FINDING_SURE, "%s: %s", cs_reason_of(err->reason)->says, err->detail);
        return;
    case CS_R_KEY_TOO_WEAK: findings_add(f, 59, FINDING_SURE, "%s", err->detail); return;
    case CS_R_KEY_UNSUPPORTED: findings_add(f, 60, FINDING_LIKELY, "%s", err->detail); return;
    default: break;
    }
    if (der && kind == CREDS_KEY)
        findings_add(f, 23, FINDING_SURE, "--key %s is DER", path);
    else
        findings_add(f, 25, FINDING_SURE, "--key %s holds %s, where a private key is expected (%s)", path,
                     creds_kind_text(kind), err->detail);
}

static cs_key *read_key(const creds_plan *plan, const char *path, findings *f) {
    cs_err err;
    cs_key *key = NULL;
    bool der = false;
    CS_SCOPED(cs_buf) b = cs_buf_secret(CS_PEM_FILE_MAX);
    if (!creds_load(path, "--key", false, &b, f)) return NULL;
    creds_kind kind = creds_kind_of(cs_buf_view(&b), &der);
    judge_mode(path, f);
    if (cs_key_read_pem(cs_buf_view(&b), plan->password, path, &key, &err) == CS_OK) return key;
    key_failed(path, &err, kind, der, f);
    return NULL;
}

/* A key beside that one (key.pem.new, key.pem.old) that belongs to the certificate: a rotation that was cut short. */
static bool sibling_matches(const creds_plan *plan, const cs_cert *leaf, char out[FILES_PATH_MAX]) {
    const char *slash = strrchr(plan->key, '/'), *base = slash != NULL ? slash + 1 : plan->key;
    char dir[FILES_PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - plan->key) : 1,
                   slash != NULL ? plan->key : ".");
    DIR *d = opendir(dir[0] != '\0' ? dir : "/");
    bool found = false;
    unsigned looked = 0;
    for (const struct dirent *e; d != NULL && !found && looked < 512 && (e = readdir(d)) != NULL; looked++) {
        cs_err err;
        CS_AUTO(cs_key) key = NULL;
        CS_SCOPED(cs_buf) b = cs_buf_secret(CS_KEY_FILE_MAX);
        if (strncmp(e->d_name, base, strlen(base)) != 0 || strcmp(e->d_name, base) == 0) continue;
        if (files_join(dir, e->d_name, out, &err) != CS_OK || files_read(out, CS_KEY_FILE_MAX, &b, &err) != CS_OK)
            continue;
        found = cs_key_read_pem(cs_buf_view(&b), plan->password, out, &key, &err) == CS_OK &&
                cs_key_match(key, leaf->spki, out, &err) == CS_OK;
    }
    if (d != NULL) (void)closedir(d);
    return found;
}

static bool pair_matches(const creds_plan *plan, const creds *c, findings *f) {
    cs_err err;
    char name[CS_NAME_TEXT_MAX + 1], other[FILES_PATH_MAX];
    const cs_cert *leaf = c->chain.at[0];
    if (cs_key_match(c->key, leaf->spki, plan->cert, &err) == CS_OK) return true;
    for (size_t i = 1; i < c->chain.n; i++) {
        if (cs_key_match(c->key, c->chain.at[i]->spki, plan->cert, &err) != CS_OK) continue;
        findings_add(f, 7, FINDING_SURE, "%s begins with %.100s; the key belongs to certificate %zu of it", plan->cert,
                     creds_name(leaf, name), i + 1);
        return false;
    }
    if (plan->key != NULL && sibling_matches(plan, leaf, other)) {
        findings_add(f, 34, FINDING_SURE, "%s does not belong to %s, but %.200s does", plan->key, plan->cert, other);
        return false;
    }
    findings_add(f, 21, FINDING_SURE, "the key in %s is not that of %.100s in %s", plan->key ? plan->key : plan->cert,
                 creds_name(leaf, name), plan->cert);
    return false;
}

static bool is_p12(const char *path) {
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_PEM_FILE_MAX);
    return files_read(path, CS_PEM_FILE_MAX, &b, &err) == CS_OK && cs_looks_p12(cs_buf_view(&b));
}

static void judge_trust(const creds_plan *plan, const creds *c, findings *f) {
    char name[CS_NAME_TEXT_MAX + 1];
    bool root = false;
    size_t cas = 0;
    for (size_t i = 0; i < c->trust.n; i++) {
        root = root || creds_is_root(c->trust.at[i]);
        cas += c->trust.at[i]->is_ca || creds_is_root(c->trust.at[i]);
    }
    if (c->trust.n > 0 && !root)
        findings_add(f, cas > 0 ? 5 : 28, cas > 0 ? 60 : FINDING_LIKELY, "%s holds no root; the first is %.100s",
                     plan->ca, creds_name(c->trust.at[0], name));
    for (size_t i = 0; i < c->trust.n; i++)
        if (c->trust.at[i]->not_after < plan->now)
            findings_note(f, 53, "%s: %.100s has expired", plan->ca, creds_name(c->trust.at[i], name));
}

void creds_read(const creds_plan *plan, creds *ret, findings *f) {
    *ret = (creds){.usable = false};
    if (plan->ca != NULL && creds_read_certs(plan->ca, "--ca", true, &ret->trust, f)) judge_trust(plan, ret, f);
    if (plan->cert == NULL) return;
    if (is_p12(plan->cert)) {
        creds_read_p12(plan, ret, f);
    } else if (creds_read_certs(plan->cert, "--cert", false, &ret->chain, f)) {
        ret->key = read_key(plan, plan->key != NULL ? plan->key : plan->cert, f);
        ret->usable = ret->key != NULL && pair_matches(plan, ret, f);
    }
    if (ret->chain.n > 0 && !findings_has(f, 7)) creds_judge(ret, plan->cert, plan->now, f);
}
