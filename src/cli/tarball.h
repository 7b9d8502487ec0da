/* cli/tarball.h - files into one tar, compressed as its name ends (.tar, .tar.gz, .tar.zst): private from the first
 * byte, there only when it is whole. Owned by the command. */
#ifndef CS_CLI_TARBALL_H
#define CS_CLI_TARBALL_H

#include "base/err.h"

typedef struct tarball tarball;

/* usage: the name ends otherwise. */
CS_MUST_USE cs_status tarball_new(const char *path, tarball **ret, cs_err *err);
/* dir/name, with its mode, as name. */
CS_MUST_USE cs_status tarball_add(tarball *a, const char *dir, const char *name, cs_err *err);
/* Puts it in its place; file-exists when something is there. */
CS_MUST_USE cs_status tarball_close(tarball *a, cs_err *err);
void tarball_free(tarball *a); /* one that was not closed leaves nothing */
CS_AUTO_DEFINE(tarball)

#endif
