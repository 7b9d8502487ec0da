/* The server's own files against the client's certificate: what would it say, and why? */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor/doctor_priv.h"
#include "doctor/sites.h"
#include "io/files.h"
#include "x509/cert_priv.h"
#include "x509/crl.h"

enum { SAYS = FINDING_SURE + 3, CRLS_MAX = 64, CRL_BIG = 5 * 1024 * 1024 };

typedef struct judging {
    doctor *d;
    const site *s;
    char what[80]; /* "nginx, line 12" */
    cs_certs cas;  /* of ca and trusted */
    cs_crl *crls[CRLS_MAX];
    size_t crl_count;
    const cs_cert *path[CS_PATH_MAX]; /* the client's, leaf first */
    size_t path_n;
} judging;

/* ---- its files by themselves ---- */

static void judge_pair(judging *j) {
    cs_err err;
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_PEM_FILE_MAX);
    CS_AUTO(cs_key) key = NULL;
    const char *key_path = j->s->key[0] != '\0' ? j->s->key : j->s->cert;
    if (j->s->cert[0] == '\0' || !creds_read_certs(j->s->cert, "the server's certificate", false, &bag, j->d->f))
        return;
    const cs_certs *wire = &probe_seen(&j->d->none)->chain;
    if (j->d->none.look != NULL && wire->n > 0 && memcmp(wire->at[0]->sha256, bag.at[0]->sha256, 32) != 0 &&
        cs_view_eq(wire->at[0]->subject, bag.at[0]->subject))
        findings_add(j->d->f, 35, SAYS, "%s: %s holds another certificate of that name than the one that is served",
                     j->what, j->s->cert);
    if (files_read(key_path, CS_PEM_FILE_MAX, &text, &err) != CS_OK) return;
    if (cs_key_read_pem(cs_buf_view(&text), NULL, key_path, &key, &err) != CS_OK) return;
    if (cs_key_match(key, bag.at[0]->spki, j->s->cert, &err) != CS_OK)
        findings_add(j->d->f, 21, SAYS, "%s: %s is not the key of %s", j->what, key_path, j->s->cert);
}

static void judge_folder(judging *j) {
    DIR *dir = opendir(j->s->ca_path);
    bool hashed = false, any = false;
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        size_t n = strlen(e->d_name);
        hashed = hashed || (n == 10 && e->d_name[8] == '.' && strspn(e->d_name, "0123456789abcdef") == 8);
        any = any || e->d_name[0] != '.';
    }
    if (dir != NULL) (void)closedir(dir);
    if (!hashed)
        findings_add(j->d->f, any ? 36 : 28, SAYS, "%s: %s has no names such as 2e5ac55d.0", j->what, j->s->ca_path);
}

static void judge_directives(judging *j) {
    const site *s = j->s;
    if (s->kind == SITE_APACHE && s->crl[0] != '\0' && !s->crl_check)
        findings_add(j->d->f, 76, SAYS - 1, "%s: SSLCARevocationFile %s without SSLCARevocationCheck", j->what, s->crl);
    if (s->identity && !s->verify)
        findings_add(j->d->f, 46, SAYS, "%s: use_identity_as_username without require_certificate true", j->what);
    if (s->late && !s->verify)
        findings_add(j->d->f, 64, FINDING_LIKELY + 5, "%s: SSLVerifyClient inside a location", j->what);
    if (!s->verify && !s->late && (s->ca[0] != '\0' || s->ca_path[0] != '\0') && !s->identity)
        findings_add(j->d->f, 105, FINDING_LIKELY, "%s: a CA file, but nothing that asks for certificates", j->what);
    if (s->verify && s->ca[0] == '\0' && s->ca_path[0] == '\0' && s->trusted[0] == '\0')
        findings_add(j->d->f, 28, SAYS, "%s: certificates are asked for, and no CA file is named", j->what);
}

/* ---- the client's path ---- */

static const cs_cert *issuer_in(const cs_certs *bag, const cs_cert *cert) {
    for (size_t i = 0; i < bag->n; i++)
        if (bag->at[i] != cert && creds_issued(bag->at[i], cert)) return bag->at[i];
    return NULL;
}

static void two_of_a_name(judging *j) {
    char name[CS_NAME_TEXT_MAX + 1];
    for (size_t i = 0; i < j->cas.n; i++)
        for (size_t k = i + 1; k < j->cas.n; k++)
            if (cs_name_eq(j->cas.at[i]->subject, j->cas.at[k]->subject) &&
                !cs_view_eq(j->cas.at[i]->spki, j->cas.at[k]->spki))
                findings_add(j->d->f, 12, j->d->own.chain.n > 0 && j->d->own.chain.at[0]->akid.n == 0 ? SAYS : 30,
                             "%s: %s has two CAs %.120s", j->what, j->s->ca, creds_name(j->cas.at[i], name));
}

static void no_issuer(judging *j, const cs_cert *last) {
    char issuer[CS_NAME_TEXT_MAX + 1];
    (void)cs_name_text(last->issuer, issuer);
    for (size_t i = 0; i < j->cas.n; i++) {
        if (!creds_name_only(j->cas.at[i], last)) continue;
        findings_add(j->d->f, 11, SAYS, "%s: %s has a CA %.120s, with another key than the one that signed", j->what,
                     j->s->ca, issuer);
        return;
    }
    bool from_file = false;
    for (size_t i = 0; i < j->cas.n; i++) from_file = from_file || j->cas.at[i] == last;
    if (from_file) {
        findings_add(j->d->f, 3, SAYS, "%s: %s has %.120s's certificate below, but not %.120s itself", j->what,
                     j->s->ca, issuer, issuer);
        return;
    }
    if (j->path_n == 1 && creds_is_root(last)) {
        findings_add(j->d->f, 20, SAYS, "%s: %s does not have the self-signed certificate", j->what, j->s->ca);
        return;
    }
    const cs_cert *above = issuer_in(&j->d->own.trust, last);
    bool root_there = above != NULL && issuer_in(&j->cas, above) != NULL;
    bool alone = j->d->own.chain.n == 1;
    findings_add(j->d->f, alone && (root_there || above == NULL) ? 1 : 4,
                 root_there || !alone ? SAYS : FINDING_LIKELY + 10, "%s: %s does not have %.120s%s", j->what, j->s->ca,
                 issuer, root_there ? ", but the CA above it" : "");
}

static bool is_among(const cs_certs *bag, const cs_cert *cert) {
    for (size_t i = 0; i < bag->n; i++)
        if (bag->at[i] != NULL && cs_view_eq(bag->at[i]->der, cert->der)) return true;
    return false;
}

/* Leaf to root, by the client's chain and the server's file; false: it does not get there, and why is said. */
static bool walk(judging *j) {
    const cs_cert *at = j->d->own.chain.at[0];
    while (j->path_n < CS_PATH_MAX) {
        j->path[j->path_n++] = at;
        if (creds_is_root(at) && is_among(&j->cas, at)) return true;
        const cs_cert *next = creds_is_root(at) ? NULL : issuer_in(&j->cas, at);
        if (next == NULL && !creds_is_root(at)) next = issuer_in(&j->d->own.chain, at);
        if (next == NULL) break;
        at = next;
    }
    no_issuer(j, at);
    return false;
}

static void judge_depth(judging *j) {
    int between = (int)j->path_n - 2, depth = j->s->depth >= 0 ? j->s->depth : 1;
    if (j->s->kind == SITE_NGINX && between > depth)
        findings_add(j->d->f, 15, SAYS, "%s: ssl_verify_depth is %d, and %d intermediates stand between", j->what,
                     depth, between);
    if (j->s->kind == SITE_APACHE && between + 1 > depth)
        findings_add(j->d->f, 16, SAYS, "%s: SSLVerifyDepth is %d, and %d CAs stand above the leaf", j->what, depth,
                     between + 1);
    for (size_t i = 1; i < j->path_n; i++)
        if (cs_now(j->d->plan->clock) > j->path[i]->not_after)
            findings_add(j->d->f, 53, SAYS - 1, "%s: a CA of the path in %s has expired", j->what, j->s->ca);
}

/* ---- CRLs ---- */

static void read_crls(judging *j) {
    cs_err err;
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_CRL_MAX), der = cs_buf_of(CS_CRL_MAX);
    if (files_read(j->s->crl, CS_CRL_MAX, &text, &err) != CS_OK) {
        findings_add(j->d->f, 75, SAYS, "%s: %s", j->what, err.detail);
        return;
    }
    if (text.n > CRL_BIG) findings_note(j->d->f, 79, "%s: %s has %zu octets", j->what, j->s->crl, text.n);
    if (cs_looks_der(cs_buf_view(&text))) {
        j->crl_count += cs_crl_decode(cs_buf_view(&text), &j->crls[0], &err) == CS_OK;
        return;
    }
    cs_pem pem = cs_pem_of(cs_buf_view(&text), j->s->crl);
    while (j->crl_count < CRLS_MAX && cs_pem_next(&pem, &der, &err) == CS_OK)
        if (strcmp(pem.label, "X509 CRL") == 0 &&
            cs_crl_decode(cs_buf_view(&der), &j->crls[j->crl_count], &err) == CS_OK)
            j->crl_count++;
}

static void judge_crl_of(judging *j, const cs_cert *ca, const cs_cert *below) {
    char name[CS_NAME_TEXT_MAX + 1], when[CS_TIME_TEXT_MAX];
    cs_time now = cs_now(j->d->plan->clock);
    const cs_crl *crl = NULL;
    cs_crl_entry entry;
    (void)creds_name(ca, name);
    for (size_t i = 0; i < j->crl_count && crl == NULL; i++)
        if (cs_name_eq(j->crls[i]->issuer, ca->subject)) crl = j->crls[i];
    if (crl == NULL) {
        findings_add(j->d->f, 75, SAYS, "%s: %s has no CRL of %.120s", j->what, j->s->crl, name);
        return;
    }
    if (!cs_sig_ok(ca, &crl->alg, crl->tbs, crl->sig) || (ca->has_key_usage && !(ca->key_usage & CS_KU_CRL_SIGN)))
        findings_add(j->d->f, 77, SAYS, "%s: the CRL of %.120s in %s is not signed by its key", j->what, name,
                     j->s->crl);
    if (crl->has_next_update && now > crl->next_update)
        findings_add(j->d->f, 52, SAYS, "%s: the CRL of %.120s in %s ended on %s", j->what, name, j->s->crl,
                     cs_time_text(crl->next_update, when));
    if (now < crl->this_update)
        findings_add(j->d->f, 78, SAYS, "%s: the CRL of %.120s in %s begins on %s", j->what, name, j->s->crl,
                     cs_time_text(crl->this_update, when));
    if (cs_crl_find(crl, below->issuer, below->serial, &entry))
        findings_add(j->d->f, 101, SAYS, "%s: the CRL of %.120s in %s lists it since %s", j->what, name, j->s->crl,
                     cs_time_text(entry.at, when));
}

static void judge_crls(judging *j) {
    if (j->s->crl[0] == '\0' || !j->s->crl_check) return;
    read_crls(j);
    size_t most = j->s->crl_leaf_only && j->path_n > 2 ? 2 : j->path_n;
    for (size_t i = 1; i < most; i++) judge_crl_of(j, j->path[i], j->path[i - 1]);
    if (j->path_n > 1 && !j->s->crl_leaf_only) judge_crl_of(j, j->path[j->path_n - 1], j->path[j->path_n - 1]);
}

static void judge_site(doctor *d, const site *s) {
    judging j = {.d = d, .s = s};
    (void)snprintf(j.what, sizeof j.what, "%s, line %u", site_kind_text(s->kind), s->line);
    judge_directives(&j);
    judge_pair(&j);
    if (s->ca_path[0] != '\0') judge_folder(&j);
    if (s->ca[0] != '\0') (void)creds_read_certs(s->ca, "the server's CA file", true, &j.cas, d->f);
    if (s->trusted[0] != '\0') (void)creds_read_certs(s->trusted, "the server's CA file", true, &j.cas, d->f);
    if (j.cas.n > 0) {
        two_of_a_name(&j);
        if (d->own.chain.n > 0 && walk(&j)) {
            judge_depth(&j);
            judge_crls(&j);
        }
    }
    for (size_t i = 0; i < j.crl_count; i++) cs_crl_free(j.crls[i]);
    cs_certs_free(&j.cas);
}

void doctor_judge_config(doctor *d) {
    cs_err err;
    sites *all = calloc(1, sizeof *all);
    const char *colon = strrchr(d->plan->where, ':');
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
    size_t judged = 0;
    if (all == NULL) return;
    if (sites_read(d->plan->server_config, all, &err) != CS_OK) {
        findings_add(d->f, 116, 60, "%s", err.detail);
        free(all);
        return;
    }
    for (size_t i = 0; i < all->n; i++) {
        bool ours = false;
        for (unsigned k = 0; k < all->at[i].port_count; k++) ours = ours || all->at[i].ports[k] == port;
        if (ours) judge_site(d, &all->at[i]), judged++;
    }
    doctor_say(d->r, "server's configuration", "%s, %u files, %zu sites, %zu of them on this port",
               site_kind_text(all->kind), all->files, all->n, judged);
    free(all);
}
