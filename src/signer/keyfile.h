/* signer/keyfile.h - where a CA's key is: in the file NAME.key, or where NAME.uri says. Opened before the sandbox
 * closes; what a token's module reads afterwards must be named. */
#ifndef CS_SIGNER_KEYFILE_H
#define CS_SIGNER_KEYFILE_H

#include "io/files.h"
#include "io/sandbox.h"
#include "keys/keys.h"

enum { KEYFILE_PATHS_MAX = 32 };
/* What the modules of all keys need when they run. */
typedef struct keyfile_needs {
    char path[KEYFILE_PATHS_MAX][FILES_PATH_MAX];
    size_t n;
    bool network;
} keyfile_needs;

/* NAME.uri: a line with the PKCS#11 URI, or one of a TPM (keys/tpm.h), whose pin-source is file:/PATH or
 * credential:NAME (systemd); then any number of lines "allow /FOLDER" (the module reads and writes there) and "allow
 * network". uri-invalid naming the line; key-unavailable; the reasons of key files. */
CS_MUST_USE cs_status keyfile_open(const char *dir, const char *name, keyfile_needs *needs, cs_key **ret, cs_err *err);

#endif
