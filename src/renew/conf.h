/* renew/conf.h - the agent's configuration: one YAML file, which identities it keeps and what is done with them.
 * Owner: whoever loaded it (renew_conf_free); immutable; paths in it are absolute. */
#ifndef CS_RENEW_CONF_H
#define CS_RENEW_CONF_H

#include <sys/types.h>

#include "keys/keys.h"
#include "renew/plan.h"
#include "x509/identity.h"

enum { RENEW_IDENTITIES_MAX = 64, RENEW_FILES_MAX = 32, RENEW_TEXTS_MAX = 64, RENEW_CONF_MAX = 256 * 1024 };

typedef struct renew_texts {
    const char **at;
    size_t n;
} renew_texts;

/* What goes into a file. */
typedef enum renew_what {
    RENEW_WHAT_KEY,
    RENEW_WHAT_CERTIFICATE, /* the leaf alone */
    RENEW_WHAT_CHAIN,       /* its issuers alone */
    RENEW_WHAT_FULLCHAIN,   /* both, leaf first */
    RENEW_WHAT_CA,          /* whom to trust */
    RENEW_WHAT_COMBINED,    /* leaf, issuers and key, as HAProxy reads them */
    RENEW_WHAT_P12,
    RENEW_WHAT_COUNT
} renew_what;

typedef struct renew_file {
    const char *path;
    renew_what what;
    unsigned mode;             /* 0: 0600 with a key in it, else 0644 */
    const char *owner, *group; /* names; NULL: ours */
    const char *password_file; /* of a P12 */
} renew_file;

typedef struct renew_identity {
    const char *name;
    /* source */
    const char *url, *protocol, *profile, *user;
    unsigned kind; /* a cs_kind */
    renew_texts dns, ip, email;
    /* whom to trust, and the first credentials */
    const char *ca, *ca_fingerprint;
    renew_texts pins;
    const char *token_file;
    const char *manufacturer_certificate, *manufacturer_key;
    const char *webroot, *listen, *prover, *account_key; /* ACME */
    /* key and life */
    const char *key_type;
    bool reuse_key;
    unsigned renew_at; /* percent */
    cs_time retry, retry_most;
    /* what becomes of it */
    renew_file *files;
    size_t file_count;
    const char *reload_unit;
    const char *pid_file, *signal;
    renew_texts command;
    cs_time time_limit;
    const char *prove_served, *prove_name, *prove_accepted; /* HOST:PORT; the name there; https://... */
    cs_time prove_limit;
} renew_identity;

typedef struct renew_conf {
    const char *file, *state, *metrics, *log_format;
    renew_identity *identities;
    size_t identity_count;
    void *memory;
} renew_conf;

/* config-invalid names file:line:column, the key and what is expected; unknown and repeated keys are refused. */
CS_MUST_USE cs_status renew_conf_load(const char *path, renew_conf **ret, cs_err *err);
/* The same of a text; folder: what relative paths are relative to. */
CS_MUST_USE cs_status renew_conf_read(cs_view text, const char *file, const char *folder, renew_conf **ret,
                                      cs_err *err);
void renew_conf_free(renew_conf *c);
CS_AUTO_DEFINE(renew_conf)

#endif
