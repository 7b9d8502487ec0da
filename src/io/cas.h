/* io/cas.h - which CAs have their files in the folder STATE/ca: NAME.crt is the certificate of an issuing CA, NAME.key
 * its key (or NAME.uri where the key is). Names that begin with "root" are those of roots, whose keys nobody reads
 * here; CAs that have retired are in the folder retired/. Nothing is kept between calls; any thread. */
#ifndef CS_IO_CAS_H
#define CS_IO_CAS_H

#include "base/limits.h"
#include "io/files.h"

enum { CAS_MAX = 2 * CS_CAS_MAX, CAS_NAME_MAX = 32 };

typedef struct cas_list {
    char at[CAS_MAX][CAS_NAME_MAX + 1]; /* in the alphabet's order */
    size_t n;
} cas_list;

/* Lower-case letters, digits and '-', at most CAS_NAME_MAX, the first a letter: name-invalid. */
CS_MUST_USE cs_status cas_name_check(const char *name, cs_err *err);
bool cas_is_root(const char *name);

/* All that are no roots: issuing CAs, those above them, cross-certificates; limit-reached over CAS_MAX. */
CS_MUST_USE cs_status cas_list_certs(const char *dir, cas_list *ret, cs_err *err);
/* Those whose key is there or said where it is. */
CS_MUST_USE cs_status cas_list_keys(const char *dir, cas_list *ret, cs_err *err);
/* Certificates of roots: "root" first. */
CS_MUST_USE cs_status cas_list_roots(const char *dir, cas_list *ret, cs_err *err);

/* The CA that issues when nobody names another: what DIR/current says, "issuing" without it. */
#define CAS_FIRST "issuing"
CS_MUST_USE cs_status cas_current(const char *dir, char ret[CAS_NAME_MAX + 1], cs_err *err);
CS_MUST_USE cs_status cas_current_set(const char *dir, const char *name, cs_err *err);

/* NAME.retired: it issues no more, and still says which of its certificates are revoked. */
CS_MUST_USE cs_status cas_retired(const char *dir, const char *name, bool *ret, cs_err *err);
CS_MUST_USE cs_status cas_retired_set(const char *dir, const char *name, bool retired, cs_err *err);

/* "DIR/NAME.EXT" */
CS_MUST_USE cs_status cas_path(const char *dir, const char *name, const char *ext, char out[FILES_PATH_MAX],
                               cs_err *err);

#endif
