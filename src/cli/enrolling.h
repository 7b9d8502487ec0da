/* cli/enrolling.h - a key made here, its certificate asked for over a protocol's client half, judged and written: for
 * `enroll`. One thread; nothing is kept but files: STEM.key, STEM.crt (leaf and intermediates), ca.pem.
 * The new key is on disk (.STEM.key.new, 0600) before anything is asked for, and stays there while an answer may still
 * come: the same question gets the same answer. */
#ifndef CS_CLI_ENROLLING_H
#define CS_CLI_ENROLLING_H

#include "cli/cli.h"
#include "cli/proving.h"
#include "io/files.h"
#include "proto/client/client.h"
#include "x509/identity.h"

typedef struct enrolling_ask {
    const client_protocol *protocol;
    const char *url, *profile;
    const char *user;                         /* NULL: the name */
    const char *name;                         /* NULL: the old certificate's */
    cs_kind kind;                             /* CS_KIND_OTHER: not said */
    const cli_texts *dns, *ip, *email;        /* further names */
    const char *token_file, *cert, *key, *ca; /* files; NULL: none */
    const char *fingerprint;                  /* of the CA's certificate, SHA-256, hex; NULL: none */
    const char *account_key;                  /* ACME: a file; NULL: OUT/account.key */
    proving_ask proving;                      /* ACME */
    const char *key_type, *out;
    cs_time wait; /* for somebody's approval */
    bool force;
} enrolling_ask;

typedef struct enrolling_made {
    char name[CS_IDENTITY_NAME_MAX + 1];
    char serial[2 * CS_SERIAL_MAX + 1], not_before[CS_TIME_TEXT_MAX], not_after[CS_TIME_TEXT_MAX];
    char crt[FILES_PATH_MAX], key[FILES_PATH_MAX], ca[FILES_PATH_MAX];
} enrolling_made;

/* The client half's reasons; file-exists without force; enrollment-waits; key-mismatch and verify/'s: what came is not
 * what was asked for. On failure the files that were there are as they were. */
CS_MUST_USE cs_status enrolling_run(const enrolling_ask *ask, enrolling_made *ret, cs_err *err);

#endif
