#include "cli/enrolling.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/enrolling_files.h"
#include "proto/client/frame.h"
#include "x509/csr.h"

typedef struct work {
    const enrolling_ask *ask;
    enrolling_files files;
    client c;
    client_who names;
    cs_certs old, trust;
    cs_key *old_key, *key;
    cs_secret *secret;
    uint8_t fingerprint[32];
    cs_buf csr, ca_pem, crt_pem;
    call *http;
    cs_key *account_key;
    proving *proving;
} work;

static void work_free(work *w) {
    if (w->c.state != NULL && w->ask->protocol->close != NULL) w->ask->protocol->close(&w->c);
    client_free(&w->c);
    cs_certs_free(&w->old);
    cs_certs_free(&w->trust);
    cs_key_free(w->old_key);
    cs_key_free(w->key);
    cs_key_free(w->account_key);
    proving_free(w->proving);
    cs_secret_free(w->secret);
    cs_buf_free(&w->csr);
    cs_buf_free(&w->ca_pem);
    cs_buf_free(&w->crt_pem);
    call_free(w->http);
    free(w);
}
CS_AUTO_DEFINE(work)

/* ---- what is there before ---- */

static cs_status read_certs(const char *path, cs_buf *text, cs_certs *bag, cs_err *err) {
    TRY(files_read(path, CS_PEM_FILE_MAX, text, err));
    return cs_certs_read(cs_buf_view(text), path, bag, err);
}

/* TLS gets PEM: what was read may have been DER or PKCS#7. */
static cs_status identify(work *w, cs_err *err) {
    CS_SCOPED(cs_buf) certs = cs_buf_of(CS_PEM_FILE_MAX), key = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(client_put_pem(&w->old, w->ask->cert, &certs, err));
    TRY(cs_key_write_pem(w->old_key, &key, err));
    return call_identity(w->http, cs_buf_view(&certs), cs_buf_view(&key), err);
}

static cs_status read_old(work *w, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX), key = cs_buf_secret(CS_KEY_FILE_MAX);
    if (w->ask->cert == NULL && w->ask->key == NULL) return CS_OK;
    if (w->ask->cert == NULL || w->ask->key == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--cert and --key go together: the certificate that is renewed");
    TRY(read_certs(w->ask->cert, &text, &w->old, err));
    TRY(files_read_private(w->ask->key, CS_KEY_FILE_MAX, &key, err));
    TRY(cs_key_read_pem(cs_buf_view(&key), NULL, w->ask->key, &w->old_key, err));
    TRY(cs_key_match(w->old_key, w->old.at[0]->spki, w->ask->key, err));
    w->c.old = &w->old;
    w->c.old_key = w->old_key;
    /* ACME signs with the account; a server's certificate is none of a client */
    return w->ask->protocol == &client_acme ? CS_OK : identify(w, err);
}

static cs_status read_trust(work *w, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX), pem = cs_buf_of(CS_PEM_FILE_MAX);
    size_t n = 0;
    if (w->ask->fingerprint != NULL) {
        if (!cs_hex_decode(cs_view_str(w->ask->fingerprint), w->fingerprint, sizeof w->fingerprint, &n) ||
            n != sizeof w->fingerprint)
            return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                           "--ca-fingerprint: the SHA-256 of a certificate has 64 hex digits");
        w->c.fingerprint = w->fingerprint;
    }
    if (w->ask->ca == NULL) return CS_OK;
    if (w->ask->fingerprint != NULL) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "either --ca or --ca-fingerprint");
    TRY(read_certs(w->ask->ca, &text, &w->trust, err));
    w->c.trust = &w->trust;
    TRY(client_put_pem(&w->trust, w->ask->ca, &pem, err));
    return call_trust(w->http, cs_buf_view(&pem), err);
}

/* ---- for whom ---- */

static client_texts texts(const cli_texts *t) {
    return (client_texts){t->at, t->n};
}

static cs_status decide_name(work *w, cs_err *err) {
    const client_texts dns = texts(w->ask->dns), ip = texts(w->ask->ip), email = texts(w->ask->email);
    return client_decide_who(&w->names, w->ask->name, w->ask->kind, &dns, &ip, &email, &w->old, err);
}

static cs_status judge(client *c, cs_err *err);

static cs_status set_up(work *w, cs_err *err) {
    client *c = &w->c;
    c->judge = judge;
    c->frame = w;
    const enrolling_ask *ask = w->ask;
    c->url = ask->url;
    c->profile = ask->profile;
    c->clock = cs_clock_system();
    c->rng = cs_rng_system();
    TRY(call_new(&w->http, err));
    c->http = w->http;
    if (!ask->protocol->plain && strncmp(ask->url, "https://", 8) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "%.200s: %s is spoken over https://", ask->url,
                       ask->protocol->name);
    if (ask->key_type != NULL) {
        TRY(cs_key_spec_parse(cs_view_str(ask->key_type), &c->spec, err));
        c->spec_said = true;
    }
    TRY(read_trust(w, err));
    TRY(read_old(w, err));
    TRY(decide_name(w, err));
    c->name = w->names.who.name;
    c->user = ask->user != NULL ? ask->user : w->names.who.name;
    c->sans = w->names.sans;
    c->san_count = w->names.san_count;
    if (ask->token_file != NULL) {
        TRY(cli_read_secret(ask->token_file, &w->secret, err));
        c->secret = w->secret;
    }
    return enrolling_files_open(&w->files, ask->out, w->names.who.name, ask->force, err);
}

/* ---- ACME's account and proofs ---- */

/* Made once, and kept: an account is as good as its token was. */
static cs_status make_account_key(const char *path, cs_key **ret, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(cs_key_generate(CS_KEYSPEC_ECDSA_P256, ret, err));
    TRY(cs_key_write_pem(*ret, &pem, err));
    return files_write(path, cs_buf_view(&pem), 0600, FILES_NEW, err);
}

static cs_status set_up_acme(work *w, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    if (w->ask->protocol != &client_acme) return CS_OK;
    TRY(w->ask->account_key == NULL ? files_join(w->ask->out, "account.key", path, err) : CS_OK);
    if (w->ask->account_key != NULL) (void)snprintf(path, sizeof path, "%s", w->ask->account_key);
    if (!files_exists(path)) {
        TRY(make_account_key(path, &w->account_key, err));
    } else {
        TRY(files_read_private(path, CS_KEY_FILE_MAX, &pem, err));
        TRY(cs_key_read_pem(cs_buf_view(&pem), NULL, path, &w->account_key, err));
    }
    w->c.account_key = w->account_key;
    TRY(proving_new(&w->ask->proving, &w->proving, err));
    w->c.prover = proving_prover(w->proving);
    return CS_OK;
}

/* ---- asking ---- */

static cs_status make_request(work *w, cs_err *err) {
    TRY(enrolling_files_key(&w->files, w->c.spec, w->c.spec_said, &w->key, err));
    TRY(cs_csr_make(w->key, w->names.who.name, w->names.sans, w->names.san_count, &w->csr, err));
    w->c.key = w->key;
    w->c.csr = cs_buf_view(&w->csr);
    return CS_OK;
}

/* Asks until there is an answer, or the time for it is over. */
static cs_status ask_on(work *w, cs_err *err) {
    client *c = &w->c;
    const cs_time end = cs_mono(c->clock) + w->ask->wait;
    bool said = false;
    for (;;) {
        cs_status status = w->ask->protocol->ask(c, err);
        if (status != CS_AGAIN) return status;
        cs_time left = end - cs_mono(c->clock), pause = c->retry > CS_SEC ? c->retry : CS_SEC;
        if (left <= 0)
            return cs_fail(err, CS_REFUSED, CS_R_ENROLLMENT_WAITS, "%.200s%s%s", c->url,
                           c->waits[0] != '\0' ? ": " : "", c->waits);
        if (!said) {
            CS_SCOPED(cs_buf) words = cs_buf_of(1024);
            (void)cs_text_escape(&words, cs_view_str(c->waits), 200);
            const char *text = cs_buf_cstr(&words);
            (void)fprintf(stderr, "waiting for approval%s%s\n", text != NULL && *text != '\0' ? ": " : "",
                          text != NULL ? text : "");
        }
        said = true;
        (void)poll(NULL, 0, (int)((pause < left ? pause : left) / 1000) + 1);
    }
}

/* ---- what came ---- */

static cs_status judge(client *c, cs_err *err) {
    work *w = c->frame;
    return client_judge(c, w->key, cs_now(c->clock), &w->crt_pem, &w->ca_pem, err);
}

static void tell(const work *w, enrolling_made *ret) {
    const cs_cert *leaf = w->c.chain.at[0];
    (void)snprintf(ret->name, sizeof ret->name, "%s", w->names.who.name);
    if (leaf->serial.n <= CS_SERIAL_MAX) (void)cs_hex(leaf->serial, ret->serial);
    (void)cs_time_text(leaf->not_before, ret->not_before);
    (void)cs_time_text(leaf->not_after, ret->not_after);
    (void)snprintf(ret->crt, sizeof ret->crt, "%s", w->files.crt);
    (void)snprintf(ret->key, sizeof ret->key, "%s", w->files.key);
    (void)snprintf(ret->ca, sizeof ret->ca, "%s", w->files.ca);
}

/* An answer that says no is the end of the key; after any other failure the answer may still come. */
static bool may_come(const cs_err *err) {
    return err->status != CS_REFUSED || err->reason == CS_R_ENROLLMENT_WAITS || err->reason == CS_R_SERVER_UNTRUSTED;
}

cs_status enrolling_run(const enrolling_ask *ask, enrolling_made *ret, cs_err *err) {
    CS_AUTO(work) w = calloc(1, sizeof *w);
    if (w == NULL) return CS_NOMEM_ERR(err);
    w->ask = ask;
    w->csr = cs_buf_of(CS_CSR_MAX);
    w->ca_pem = cs_buf_of(CS_PEM_FILE_MAX);
    w->crt_pem = cs_buf_of(CS_PEM_FILE_MAX);
    *ret = (enrolling_made){.name = ""};
    TRY(set_up(w, err));
    TRY(set_up_acme(w, err));
    TRY(ask->protocol->prepare(&w->c, err));
    TRY(make_request(w, err));
    cs_status status = ask_on(w, err);
    if (status == CS_OK) status = judge(&w->c, err);
    if (status != CS_OK) {
        if (!may_come(err)) enrolling_files_forget(&w->files);
        return status;
    }
    TRY(enrolling_files_write(&w->files, cs_buf_view(&w->crt_pem), cs_buf_view(&w->ca_pem), err));
    tell(w, ret);
    return CS_OK;
}
