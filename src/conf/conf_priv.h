/* conf/conf_priv.h - what conf.c and its helpers share: memory that lives as long as the conf. */
#ifndef CS_CONF_CONF_PRIV_H
#define CS_CONF_CONF_PRIV_H

#include "conf/conf.h"
#include "conf/schema.h"

typedef struct conf_block conf_block;
struct conf_block {
    conf_block *next;
    max_align_t data[];
};

typedef struct conf_memory {
    conf_block *blocks;
    file_conf *file; /* libcyaml's */
} conf_memory;

/* Zeroed; freed with the conf. NULL when memory ran out. */
void *conf_alloc(conf *c, size_t size);
/* printf into the conf's memory; NULL when memory ran out. */
const char *conf_textf(conf *c, const char *fmt, ...) CS_PRINTF(2, 3);

/* libcyaml's loader, for text that conf_tree_check has passed. */
CS_MUST_USE cs_status conf_file_load(cs_view text, const char *file, file_conf **ret, cs_err *err);
void conf_file_free(file_conf *f);

/* What `countersign init` recorded in STATE/ca/ca.json; NULL fields when there is none. */
typedef struct conf_ca {
    const char *trust_domain, *public_url; /* in the conf's memory */
} conf_ca;
CS_MUST_USE cs_status conf_ca_read(conf *c, conf_ca *ret, cs_err *err);

/* The state folder: said, else the file's, else $COUNTERSIGN_STATE, $STATE_DIRECTORY, the XDG state folder. */
CS_MUST_USE cs_status conf_state_find(conf *c, const char *said, const char *in_file, const char *folder, cs_err *err);

/* path, below `folder` when it is relative; NULL: below the working folder. NULL when memory ran out. */
const char *conf_absolute(conf *c, const char *path, const char *folder);

/* tunnel.c: the one site of a tunnel, and where it leads. */
CS_MUST_USE cs_status conf_tunnel_fill(conf *c, const conf_tunnel *said, cs_err *err);
/* Who speaks no TLS must be on this machine: what comes in there goes out with our certificate. */
CS_MUST_USE cs_status conf_plain_check(const conf *c, const conf_site *s, cs_err *err);

/* NAME below folder, unless it is absolute or NULL. */
const char *conf_file_path(conf *c, const char *folder, const char *name);
CS_MUST_USE cs_status conf_texts_fill(conf *c, char *const *from, unsigned count, conf_texts *to, cs_err *err);
CS_MUST_USE cs_status conf_notices_fill(conf *c, const file_conf *f, const char *folder, cs_err *err);
/* The built-in profiles, as the file changes them, and the file's own. */
CS_MUST_USE cs_status conf_profiles_fill(conf *c, const file_conf *f, cs_err *err);

/* How lists of revoked certificates are published. */
CS_MUST_USE cs_status conf_crl_fill(conf *c, const file_conf *f, cs_err *err);

/* Sites, routes and upstreams from the file; one default site when it names none. */
CS_MUST_USE cs_status conf_sites_fill(conf *c, const file_conf *f, const char *folder, const char *upstream_said,
                                      cs_err *err);

/* Who may enroll, and what for; after the profiles and the sites. */
CS_MUST_USE cs_status conf_enroll_fill(conf *c, const file_conf *f, const char *folder, cs_err *err);

#endif
