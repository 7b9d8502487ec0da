/* audit/audit_priv.h - what the files of this room share. */
#ifndef CS_AUDIT_PRIV_H
#define CS_AUDIT_PRIV_H

#include <sys/stat.h>

#include "audit/audit.h"
#include "base/view.h"

/* A certificate's or a private key's public key. */
typedef struct audit_key {
    uint8_t spki[32];
    uint64_t subject_hash;
    uint32_t file, subject; /* in audit.text */
    bool is_private, is_ca;
} audit_key;

typedef struct audit_file {
    const char *path;
    uint32_t name; /* the path, in audit.text */
    mode_t mode;
    cs_view text;
} audit_file;

CS_MUST_USE cs_status audit_keep(audit *a, const char *text, uint32_t *ret, cs_err *err);
CS_MUST_USE cs_status audit_add(audit *a, audit_id id, uint32_t file, uint32_t subject, cs_err *err, const char *fmt,
                                ...) CS_PRINTF(6, 7);
CS_MUST_USE cs_status audit_look(audit *a, const audit_file *f, cs_err *err);   /* certificates, keys, CRLs */
CS_MUST_USE cs_status audit_config(audit *a, const audit_file *f, cs_err *err); /* of servers */

#endif
