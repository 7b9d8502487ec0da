/* keys/tpm.h - a private key that stays in a TPM 2.0, used through OpenSSL's provider tpm2 (package tpm2-openssl).
 * Owner: the cs_key made of it. One call at a time (a lock inside). The provider is loaded into this process and opens
 * the TPM's device or socket by itself. */
#ifndef CS_KEYS_TPM_H
#define CS_KEYS_TPM_H

#include "keys/keys.h"

/* tpm2:handle=0x81000005[?tcti=...][&pin-source=...]   a key that was made persistent in the TPM
 * tpm2:file=/PATH.pem[?tcti=...][&pin-source=...]      a "TSS2 PRIVATE KEY" file: sealed by that TPM, worthless
 * elsewhere tcti is what tpm2-tools know by that name; without it device:/dev/tpmrm0. */
typedef struct cs_tpm_uri {
    char handle[16];       /* "0x81000005"; "": it is a file */
    char file[1024];       /* absolute; "": it is a handle */
    char tcti[256];        /* "device:/dev/tpmrm0", "swtpm:path=/run/swtpm.sock", "mssim:host=...,port=..." */
    char pin_source[1024]; /* of the key's password; "": it has none */
} cs_tpm_uri;

/* Is it such a URI? */
bool cs_tpm_uri_is(cs_view text);
/* uri-invalid, saying what is wrong. */
CS_MUST_USE cs_status cs_tpm_uri_parse(const char *text, cs_tpm_uri *ret, cs_err *err);
/* The device or socket of the URI's tcti as a path, "" when it is none; *ret_network when it needs the network. */
void cs_tpm_reach(const cs_tpm_uri *uri, char path[256], bool *ret_network);

/* pem: the file's text, of a URI with file. password NULL: none. A TPM that was restarted is opened again by the next
 * signature. key-unavailable (provider, TPM, key not there, password wrong); key-unsupported, key-too-weak;
 * key-malformed. */
CS_MUST_USE cs_status cs_key_open_tpm(const cs_tpm_uri *uri, cs_view pem, const cs_secret *password, cs_key **ret,
                                      cs_err *err);

#endif
