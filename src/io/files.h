/* io/files.h - files read whole and within a bound, written whole or not at all, private from the first byte.
 * Nothing is kept between calls; any thread. Every failure names the path and carries the exact reason: file-not-found,
 * file-unreadable, file-unwritable, file-empty, file-too-large, file-wrong-type, file-exists,
 * file-permissions-too-open, disk-full. */
#ifndef CS_IO_FILES_H
#define CS_IO_FILES_H

#include <sys/types.h>

#include "base/buf.h"

enum { FILES_PATH_MAX = 1024 }; /* a path with its NUL */

/* Appends the whole file to b. Folders and devices are file-wrong-type, no bytes file-empty, more than max
 * file-too-large (b's own ceiling must not be lower). Pipes are read to their end. */
CS_MUST_USE cs_status files_read(const char *path, size_t max, cs_buf *b, cs_err *err);

/* Standard input to its end, whatever it is (opening /dev/stdin anew would fail where it is another user's pipe). */
CS_MUST_USE cs_status files_read_input(size_t max, cs_buf *b, cs_err *err);

/* As files_read, for a private key or a passphrase: the file must be ours or root's, and nobody else may read or change
 * it. b should be a cs_buf_secret. */
CS_MUST_USE cs_status files_read_private(const char *path, size_t max, cs_buf *b, cs_err *err);

/* Standard input to its end, whatever it is (a pipe, a file, a terminal); named so in errors. */
CS_MUST_USE cs_status files_read_stdin(size_t max, cs_buf *b, cs_err *err);

typedef enum files_how {
    FILES_NEW,    /* file-exists when something is there already */
    FILES_REPLACE /* what was there is replaced in one step */
} files_how;

/* Writes `bytes` as path: made under a temporary name in the same folder with that mode from the first byte, synced,
 * renamed, the folder synced. On any failure nothing is left and what was there is untouched. */
CS_MUST_USE cs_status files_write(const char *path, cs_view bytes, mode_t mode, files_how how, cs_err *err);

/* The same, but it has reached the disk only with the next files_sync_all of its folder: for many files at a time. */
CS_MUST_USE cs_status files_write_unsynced(const char *path, cs_view bytes, mode_t mode, files_how how, cs_err *err);
CS_MUST_USE cs_status files_sync_all(const char *dir, cs_err *err);

/* The folder and its missing parents, 0700. One that exists must be ours (or root's) and not be writable by others. */
CS_MUST_USE cs_status files_mkdir_private(const char *path, cs_err *err);

/* The folder and its missing parents, 0755 less the umask; one that exists is fine as it is. */
CS_MUST_USE cs_status files_mkdir(const char *path, cs_err *err);

/* Can files be made in that folder now? (Permission, read-only file system, full disk.) Makes and removes one. */
CS_MUST_USE cs_status files_dir_writable(const char *dir, cs_err *err);

bool files_exists(const char *path);
/* Something that is another when the file is another, or was written to; 0: there is none. */
uint64_t files_stamp(const char *path);

/* Renames a file or folder to a name that must be free, and syncs the folder: file-exists when it is taken. */
CS_MUST_USE cs_status files_rename_new(const char *from, const char *to, cs_err *err);

/* Removes dir with the plain files and folders in it, never following a symbolic link. Depth is at most 8. */
cs_status files_remove_tree(const char *dir, cs_err *err);

/* Removes the entries of dir whose names begin with prefix (leftovers of what was killed half way). */
cs_status files_remove_leftovers(const char *dir, const char *prefix, cs_err *err);

/* An exclusive lock on the file at path (made 0600 when missing), released by closing the descriptor or by the end of
 * the process. Waits up to wait_ms; then CS_REFUSED/state-busy naming `what`. */
CS_MUST_USE cs_status files_lock(const char *path, int wait_ms, const char *what, int *ret_fd, cs_err *err);

/* "dir/name" into out; limit-reached when it does not fit. */
CS_MUST_USE cs_status files_join(const char *dir, const char *name, char out[FILES_PATH_MAX], cs_err *err);

#endif
