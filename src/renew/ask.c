#include "renew/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/text.h"
#include "proto/client/frame.h"
#include "x509/csr.h"
#include "x509/pem.h"

typedef struct work {
    const renew_asking *a;
    const client_protocol *protocol;
    renew_rung rung;
    int slot;
    client c;
    client_who names;
    cs_certs old, trust;
    cs_key *old_key, *key, *account_key;
    cs_secret *secret;
    uint8_t fingerprint[32];
    cs_buf pins, csr, cert_pem, ca_pem;
    call *http;
    void *prover;
    cs_time now;
} work;

static void work_free(work *w) {
    if (w->c.state != NULL && w->protocol->close != NULL) w->protocol->close(&w->c);
    client_free(&w->c);
    if (w->prover != NULL) w->a->prover_close(w->prover);
    cs_certs_free(&w->old);
    cs_certs_free(&w->trust);
    cs_key_free(w->old_key);
    cs_key_free(w->key);
    cs_key_free(w->account_key);
    cs_secret_free(w->secret);
    cs_buf_free(&w->pins);
    cs_buf_free(&w->csr);
    cs_buf_free(&w->cert_pem);
    cs_buf_free(&w->ca_pem);
    call_free(w->http);
    free(w);
}
CS_AUTO_DEFINE(work)

/* ---- what a rung needs ---- */

static bool find_token(const renew_identity *id, char path[FILES_PATH_MAX]) {
    cs_err ignored;
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (id->token_file != NULL)
        (void)snprintf(path, FILES_PATH_MAX, "%s", id->token_file);
    else if (credentials == NULL || credentials[0] != '/' || files_join(credentials, "token", path, &ignored) != CS_OK)
        return false;
    return files_exists(path);
}

bool renew_can(const renew_asking *a, renew_rung rung) {
    char path[FILES_PATH_MAX];
    switch (rung) {
    case RENEW_BY_CERT:
    case RENEW_BY_EXPIRED: return true;
    case RENEW_BY_MANUFACTURER: return a->id->manufacturer_certificate != NULL;
    case RENEW_BY_TICKET: /* an ACME account may need no token */
        return find_token(a->id, path) || (a->id->protocol != NULL && strcmp(a->id->protocol, "acme") == 0);
    default: return false;
    }
}

static cs_status read_certs(const char *path, cs_certs *bag, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    return cs_certs_read(cs_buf_view(&text), path, bag, err);
}

static cs_status read_key(const char *path, cs_key **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(files_read_private(path, CS_KEY_FILE_MAX, &text, err));
    return cs_key_read_pem(cs_buf_view(&text), NULL, path, ret, err);
}

static cs_status read_token(work *w, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_secret(4096);
    if (!find_token(w->a->id, path)) return CS_OK;
    TRY(files_read_private(path, 4096, &text, err));
    cs_view v = cs_view_trim(cs_buf_view(&text));
    if (v.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", path);
    TRY(cs_secret_new(v.n + 1, &w->secret, err));
    memcpy(w->secret->p, v.p, v.n);
    w->secret->n = v.n;
    w->c.secret = w->secret;
    return CS_OK;
}

/* May it say over TLS who we are? */
static bool is_clients(const cs_cert *leaf) {
    return !leaf->has_eku || (leaf->eku & (CS_EKU_CLIENT_AUTH | CS_EKU_ANY)) != 0;
}

/* TLS gets PEM. */
static cs_status identify(work *w, cs_err *err) {
    CS_SCOPED(cs_buf) certs = cs_buf_of(CS_PEM_FILE_MAX), key = cs_buf_secret(CS_KEY_FILE_MAX);
    if (w->protocol == &client_acme || !is_clients(w->old.at[0]))
        return CS_OK; /* the messages are signed, or not at all */
    TRY(client_put_pem(&w->old, "our certificate", &certs, err));
    TRY(cs_key_write_pem(w->old_key, &key, err));
    return call_identity(w->http, cs_buf_view(&certs), cs_buf_view(&key), err);
}

static cs_status take_credential(work *w, cs_err *err) {
    const renew_identity *id = w->a->id;
    if (w->rung == RENEW_BY_TICKET) return read_token(w, err);
    if (w->rung == RENEW_BY_MANUFACTURER) {
        TRY(read_certs(id->manufacturer_certificate, &w->old, err));
        TRY(read_key(id->manufacturer_key, &w->old_key, err));
    } else {
        TRY(renew_store_certs(w->a->st, w->a->current, "cert.pem", &w->old, err));
        TRY(renew_store_key(w->a->st, w->a->current, &w->old_key, err));
    }
    TRY(cs_key_match(w->old_key, w->old.at[0]->spki, "the certificate that asks", err));
    if (w->protocol == &client_est && !is_clients(w->old.at[0]))
        return cs_fail(err, CS_REFUSED, CS_R_EKU_MISSING_CLIENT_AUTH,
                       "over EST the certificate would have to be a client's; CMP and SCEP renew it");
    TRY(identify(w, err));
    /* a manufacturer's certificate is not renewed: over EST it only says who asks */
    if (w->rung == RENEW_BY_MANUFACTURER && w->protocol == &client_est) return CS_OK;
    w->c.old = &w->old;
    w->c.old_key = w->old_key;
    return CS_OK;
}

/* ---- whom to trust ---- */

static cs_status take_trust(work *w, cs_err *err) {
    const renew_identity *id = w->a->id;
    CS_SCOPED(cs_buf) pem = cs_buf_of(CS_PEM_FILE_MAX);
    bool anew = w->a->current == RENEW_NO_SLOT || w->rung == RENEW_BY_TICKET;
    size_t n = 0;
    if (w->a->current != RENEW_NO_SLOT) TRY(renew_store_certs(w->a->st, w->a->current, "ca.pem", &w->trust, err));
    if (id->ca != NULL && (anew || w->trust.n == 0)) TRY(read_certs(id->ca, &w->trust, err));
    if (id->ca_fingerprint != NULL && anew && w->protocol != &client_acme) {
        cs_certs_free(&w->trust); /* the operator's word counts, not what was trusted before */
        w->trust = (cs_certs){.n = 0};
        if (!cs_hex_decode(cs_view_str(id->ca_fingerprint), w->fingerprint, sizeof w->fingerprint, &n) ||
            n != sizeof w->fingerprint)
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "ca_fingerprint has 64 hex digits");
        w->c.fingerprint = w->fingerprint;
    }
    for (size_t i = 0; i < id->pins.n; i++) (void)cs_buf_addf(&w->pins, "%s%s", i > 0 ? ";" : "", id->pins.at[i]);
    if (w->pins.n > 0) TRY(call_pins(w->http, cs_buf_cstr(&w->pins), err));
    if (w->trust.n == 0) return CS_OK;
    w->c.trust = &w->trust;
    TRY(client_put_pem(&w->trust, "the CAs", &pem, err));
    return call_trust(w->http, cs_buf_view(&pem), err);
}

/* ---- ACME ---- */

static cs_status make_account_key(const char *path, cs_key **ret, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_AUTO(cs_key) key = NULL;
    TRY(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &key, err));
    TRY(cs_key_write_pem(key, &pem, err));
    TRY(files_write(path, cs_buf_view(&pem), 0600, FILES_NEW, err));
    *ret = CS_TAKE(key);
    return CS_OK;
}

static cs_status set_up_acme(work *w, cs_err *err) {
    char path[FILES_PATH_MAX];
    if (w->protocol != &client_acme) return CS_OK;
    if (w->a->prover == NULL) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "ACME is not in this build");
    TRY(files_join(w->a->st->dir, "account.key", path, err));
    if (w->a->id->account_key != NULL) (void)snprintf(path, sizeof path, "%s", w->a->id->account_key);
    TRY(files_exists(path) ? read_key(path, &w->account_key, err) : make_account_key(path, &w->account_key, err));
    w->c.account_key = w->account_key;
    if (w->rung != RENEW_BY_TICKET) TRY(read_token(w, err)); /* the account may have to be made first */
    return w->a->prover(w->a->id, &w->prover, &w->c.prover, err);
}

/* ---- the question ---- */

static cs_status judge(client *c, cs_err *err) {
    work *w = c->frame;
    bool unproven = false;
    TRY(renew_trust_filter(&c->cas, &w->trust, w->now, &unproven, err));
    cs_status s = client_judge(c, w->key, w->now, &w->cert_pem, &w->ca_pem, err);
    /* what a trusted CA has just signed is a time that has come: the clock is behind, not the certificate ahead */
    if (s != CS_OK && err->reason == CS_R_NOT_YET_VALID && c->chain.n > 0) {
        cs_time begins = c->chain.at[0]->not_before;
        if (begins > w->now) s = client_judge(c, w->key, begins, &w->cert_pem, &w->ca_pem, err);
    }
    if (s != CS_OK && unproven)
        return cs_fail(err, CS_REFUSED, CS_R_TRUST_UNPROVEN, "%.200s, whose certificate leads there", c->url);
    return s;
}

static client_texts texts(const renew_texts *t) {
    return (client_texts){t->at, t->n};
}

static cs_status set_up(work *w, cs_err *err) {
    const renew_identity *id = w->a->id;
    const client_texts dns = texts(&id->dns), ip = texts(&id->ip), email = texts(&id->email);
    client *c = &w->c;
    *c = (client){
        .judge = judge, .frame = w, .url = id->url, .profile = id->profile, .clock = w->a->clock, .rng = w->a->rng};
    TRY(client_protocol_find(id->protocol, id->url, &w->protocol, err));
    TRY(call_new(&w->http, err));
    if (w->a->floor->state != RENEW_CLOCK_GOOD) call_at(w->http, w->now);
    c->http = w->http;
    if (id->key_type != NULL) {
        TRY(cs_key_spec_parse(cs_view_str(id->key_type), &c->spec, err));
        c->spec_said = true;
    }
    TRY(take_trust(w, err));
    TRY(take_credential(w, err));
    cs_kind kind = (cs_kind)id->kind;
    if (w->protocol == &client_acme && kind == CS_KIND_OTHER) kind = CS_KIND_SERVER;
    TRY(client_decide_who(&w->names, id->name, kind, &dns, &ip, &email, c->old != NULL ? &w->old : &(cs_certs){.n = 0},
                          err));
    c->name = w->names.who.name;
    c->user = id->user != NULL ? id->user : c->name;
    c->sans = w->names.sans;
    c->san_count = w->names.san_count;
    return set_up_acme(w, err);
}

/* The key that waits for its certificate, or a new one, on disk before anything is asked for. */
static cs_status take_key(work *w, cs_err *err) {
    cs_key_spec is = CS_KEYSPEC_COUNT;
    const renew_store *st = w->a->st;
    if (renew_store_has_key(st, w->slot) && renew_store_key(st, w->slot, &w->key, err) == CS_OK) {
        if (!w->c.spec_said || (cs_key_spec_of(cs_key_spki(w->key), &is) && is == w->c.spec)) return CS_OK;
        cs_key_free(CS_TAKE(w->key));
    }
    if (w->a->id->reuse_key && w->a->current != RENEW_NO_SLOT)
        TRY(renew_store_key(st, w->a->current, &w->key, err));
    else
        TRY(cs_key_generate(w->c.spec, &w->key, err));
    TRY(renew_store_put_key(st, w->slot, w->key, err));
    CS_FAULT("agent-key-made", err);
    return CS_OK;
}

static cs_status ask(work *w, cs_time *ret_wants, cs_err *err) {
    client *c = &w->c;
    TRY(w->protocol->prepare(c, err));
    TRY(take_key(w, err));
    TRY(cs_csr_make(w->key, w->names.who.name, c->sans, c->san_count, &w->csr, err));
    c->key = w->key;
    c->csr = cs_buf_view(&w->csr);
    cs_status s = w->protocol->ask(c, err);
    *ret_wants = c->retry;
    /* no means no for this key; any other failure, ours too, may have cost an answer: the same question gets it again
     */
    if (renew_says_no(s, err)) renew_store_forget(w->a->st, w->slot);
    if (s != CS_OK) return s;
    CS_FAULT("agent-answer-lost", err);
    TRY(judge(c, err));
    renew_floor_cert(w->a->floor, c->chain.at[0]->not_before, c->chain.at[0]->not_after);
    return renew_store_put_certs(w->a->st, w->slot, cs_buf_view(&w->cert_pem), cs_buf_view(&w->ca_pem), err);
}

cs_status renew_ask(const renew_asking *a, renew_rung rung, int slot, cs_time *ret_wants, cs_err *err) {
    CS_AUTO(work) w = calloc(1, sizeof *w);
    if (w == NULL) return CS_NOMEM_ERR(err);
    w->a = a;
    w->rung = rung;
    w->slot = slot;
    w->csr = cs_buf_of(CS_CSR_MAX);
    w->pins = cs_buf_of(4096);
    w->cert_pem = w->ca_pem = cs_buf_of(CS_PEM_FILE_MAX);
    w->now = renew_floor_now(a->floor, cs_now(a->clock), cs_mono(a->clock));
    TRY(set_up(w, err));
    return ask(w, ret_wants, err);
}
