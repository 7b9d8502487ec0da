#include "signer/keyfile.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/cas.h"
#include "keys/token.h"
#include "keys/tpm.h"

enum { URI_FILE_MAX = 8 * 1024 };

static cs_status pin_path(const char *source, char out[FILES_PATH_MAX], cs_err *err) {
    if (strncmp(source, "file:///", 8) == 0) return files_join("/", source + 8, out, err);
    if (strncmp(source, "file:/", 6) == 0) return files_join("/", source + 6, out, err);
    if (source[0] == '/') return files_join("/", source + 1, out, err);
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (strncmp(source, "credential:", 11) != 0 || strchr(source + 11, '/') != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "pin-source: file:/PATH or credential:NAME is expected");
    if (credentials == NULL || credentials[0] != '/')
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_NEEDED, "%s: no credentials were given to the service", source);
    return files_join(credentials, source + 11, out, err);
}

/* *ret stays NULL when no source is named: a token that asks for none. */
static cs_status read_pin(const char *source, cs_secret **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_PASSPHRASE_MAX + 2);
    if (source[0] == '\0') return CS_OK;
    TRY(pin_path(source, path, err));
    TRY(files_read_private(path, CS_PASSPHRASE_MAX + 2, &text, err));
    cs_view pin = cs_view_trim(cs_buf_view(&text));
    if (pin.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", path);
    TRY(cs_secret_new(pin.n, ret, err));
    memcpy((*ret)->p, pin.p, pin.n);
    return CS_OK;
}

static cs_status add_need(keyfile_needs *needs, const char *path, cs_err *err) {
    if (needs->n == KEYFILE_PATHS_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "over %d folders for the keys' modules", KEYFILE_PATHS_MAX);
    return files_join("/", path + 1, needs->path[needs->n++], err);
}

static cs_status take_line(char *line, const char *path, keyfile_needs *needs, const char **uri, cs_err *err) {
    if (line[0] == '\0' || line[0] == '#') return CS_OK;
    if (*uri == NULL && (cs_token_uri(cs_view_str(line)) || cs_tpm_uri_is(cs_view_str(line)))) {
        *uri = line;
        return CS_OK;
    }
    if (strcmp(line, "allow network") == 0) {
        needs->network = true;
        return CS_OK;
    }
    if (strncmp(line, "allow /", 7) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID,
                       "%s: a line is neither a pkcs11: or tpm2: URI, allow /FOLDER nor allow network", path);
    return add_need(needs, line + 6, err);
}

/* What the TPM needs later is known: its device or socket. */
static cs_status open_tpm(const char *text, keyfile_needs *needs, cs_key **ret, cs_err *err) {
    cs_tpm_uri uri;
    char path[256];
    bool network = false;
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_AUTO(cs_secret) password = NULL;
    TRY(cs_tpm_uri_parse(text, &uri, err));
    TRY(read_pin(uri.pin_source, &password, err));
    if (uri.file[0] != '\0') TRY(files_read_private(uri.file, CS_KEY_FILE_MAX, &pem, err));
    cs_tpm_reach(&uri, path, &network);
    needs->network = needs->network || network;
    if (path[0] == '/') TRY(add_need(needs, path, err));
    return cs_key_open_tpm(&uri, cs_buf_view(&pem), password, ret, err);
}

static cs_status open_uri(const char *path, keyfile_needs *needs, cs_key **ret, cs_err *err) {
    char text[URI_FILE_MAX], source[FILES_PATH_MAX], *rest = text;
    const char *uri = NULL;
    CS_SCOPED(cs_buf) b = cs_buf_of(URI_FILE_MAX);
    CS_AUTO(cs_secret) pin = NULL;
    TRY(files_read(path, URI_FILE_MAX - 1, &b, err));
    memcpy(text, b.p, b.n);
    text[b.n] = '\0';
    for (char *line = strsep(&rest, "\r\n"); line != NULL; line = strsep(&rest, "\r\n"))
        TRY(take_line(line, path, needs, &uri, err));
    if (uri == NULL) return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "%s: no pkcs11: or tpm2: URI", path);
    if (cs_tpm_uri_is(cs_view_str(uri))) return open_tpm(uri, needs, ret, err);
    TRY(cs_token_pin_source(uri, source, sizeof source, err));
    TRY(read_pin(source, &pin, err));
    return cs_key_open_token(uri, pin, ret, err);
}

cs_status keyfile_open(const char *dir, const char *name, keyfile_needs *needs, cs_key **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(cas_path(dir, name, "uri", path, err));
    if (files_exists(path)) return open_uri(path, needs, ret, err);
    TRY(cas_path(dir, name, "key", path, err));
    TRY(files_read_private(path, CS_KEY_FILE_MAX, &pem, err));
    return cs_key_read_pem(cs_buf_view(&pem), NULL, path, ret, err);
}
