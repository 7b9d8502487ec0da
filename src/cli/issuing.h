/* cli/issuing.h - a certificate asked for, received and written to files: for `issue`, and for the examples and the
 * server certificate of `up`. One thread; nothing is kept. */
#ifndef CS_CLI_ISSUING_H
#define CS_CLI_ISSUING_H

#include "cli/cli.h"
#include "io/files.h"
#include "keys/keys.h"
#include "x509/identity.h"

typedef struct issue_ask {
    cs_kind kind;
    const char *name;
    const cli_texts *dns, *ip, *email; /* NULL: none */
    const char *csr;                   /* a request's file; NULL: a new key is made */
    cs_key_spec spec;
    cs_time lifetime;          /* 0: the profile's */
    const char *profile;       /* NULL: the kind's own */
    const char *issuer;        /* a CA's name; NULL: the current one */
    const char *out;           /* the folder */
    const char *stem;          /* STEM.crt and STEM.key; NULL: the name */
    bool no_pem, no_ca;        /* leave out STEM.crt and STEM.key; leave out ca.pem */
    const char *p12;           /* a file; NULL: none */
    bool modern;               /* its form */
    const char *password_file; /* for the password that is made; NULL: it is in issue_made */
    bool force;                /* replace what is there */
    bool proof;                /* STEM.proof.json too: that the issuance is in the audit log */
} issue_ask;

typedef struct issue_made {
    char serial[2 * CS_SERIAL_MAX + 1], not_before[CS_TIME_TEXT_MAX], not_after[CS_TIME_TEXT_MAX];
    char crt[FILES_PATH_MAX], key[FILES_PATH_MAX], ca[FILES_PATH_MAX], proof[FILES_PATH_MAX]; /* "": not written */
    cs_secret *password; /* of the PKCS#12 file when no password_file was given */
} issue_made;
void issue_made_free(issue_made *m);

/* A name as file name: '/' and '*' would lead elsewhere or be expanded by shells. */
enum { ISSUE_STEM_MAX = 256 };
void issue_stem(const char *name, char out[ISSUE_STEM_MAX]);

/* "ann@corp.example until 2027-11": what a browser's list of certificates shows. */
enum { ISSUE_FRIENDLY_MAX = 320 };
const char *issue_friendly(const char *name, const cs_cert *leaf, char out[ISSUE_FRIENDLY_MAX]);

/* How the request travels: a session's, or the supervisor's own socket. */
typedef cs_status (*issue_call)(void *to, const char *path, const char *body_json, char **ret_json, cs_err *err);

/* A session's: `to` is the session *. */
CS_MUST_USE cs_status issue_over_session(void *to, const char *path, const char *body, char **ret, cs_err *err);

/* Looks whether everything can be written, makes the key, asks `call` for the certificate, proves that it belongs to
 * the key, writes all. On failure no file is left that was not there before. */
CS_MUST_USE cs_status issue_run(const issue_ask *ask, const conf *c, issue_call call, void *to, issue_made *ret,
                                cs_err *err);

#endif
