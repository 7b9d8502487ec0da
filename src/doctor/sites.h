/* doctor/sites.h - what the configuration of nginx, Apache, HAProxy or mosquitto says of mutual TLS: read, never run.
 * Owner of sites: the caller; nothing else is kept. Bounds: SITES_FILES_MAX files, SITES_DEPTH_MAX includes deep. */
#ifndef CS_DOCTOR_SITES_H
#define CS_DOCTOR_SITES_H

#include "base/buf.h"

typedef enum site_kind { SITE_NONE, SITE_NGINX, SITE_APACHE, SITE_HAPROXY, SITE_MOSQUITTO } site_kind;
const char *site_kind_text(site_kind kind); /* "nginx" */

enum {
    SITES_MAX = 64,
    SITES_FILES_MAX = 64,
    SITES_DEPTH_MAX = 8,
    SITE_PORTS_MAX = 4,
    SITE_PATH_MAX = 256,
    SITES_FILE_MAX = 1 << 20
};
typedef struct site {
    site_kind kind;
    unsigned ports[SITE_PORTS_MAX], port_count;
    unsigned line;                                   /* where it begins */
    char cert[SITE_PATH_MAX], key[SITE_PATH_MAX];    /* "": not said, as for all paths */
    char ca[SITE_PATH_MAX], trusted[SITE_PATH_MAX];  /* trusted: nginx, also trusted, not listed to clients */
    char ca_path[SITE_PATH_MAX], crl[SITE_PATH_MAX]; /* ca_path: a folder with hashed names */
    int depth;                                       /* -1: not said */
    bool verify, optional;                           /* client certificates: asked for; not required */
    bool crl_check, crl_leaf_only;                   /* Apache's SSLCARevocationCheck */
    bool late;                                       /* asked for inside a location */
    bool identity;                                   /* mosquitto's use_identity_as_username */
} site;
typedef struct sites {
    site at[SITES_MAX];
    size_t n;
    site_kind kind;
    unsigned files;
} sites;

/* config-invalid with file and line; limit-reached for includes that go round or too far. */
CS_MUST_USE cs_status sites_read(const char *path, sites *ret, cs_err *err);
/* One text, without following includes. */
CS_MUST_USE cs_status sites_read_text(cs_view text, const char *what, sites *ret, cs_err *err);

#endif
