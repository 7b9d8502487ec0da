/* cli/enrolling_files.h - the files of an enrollment: a key that waits for its certificate, and the pair, put in place
 * together. Owner: the command; one thread. */
#ifndef CS_CLI_ENROLLING_FILES_H
#define CS_CLI_ENROLLING_FILES_H

#include "io/files.h"
#include "keys/keys.h"

typedef struct enrolling_files {
    char crt[FILES_PATH_MAX], key[FILES_PATH_MAX], ca[FILES_PATH_MAX];
    char new_crt[FILES_PATH_MAX], new_key[FILES_PATH_MAX];
    bool force;
} enrolling_files;

/* Names them for that identity in that folder, which is made; finishes what a killed command left half done.
 * file-exists unless force. */
CS_MUST_USE cs_status enrolling_files_open(enrolling_files *f, const char *dir, const char *name, bool force,
                                           cs_err *err);
/* The key that an earlier command left waiting, if it is of that kind (or any, unless spec_said), else a new one, on
 * disk. */
CS_MUST_USE cs_status enrolling_files_key(enrolling_files *f, cs_key_spec spec, bool spec_said, cs_key **ret,
                                          cs_err *err);
/* The waiting key is of no use any more. */
void enrolling_files_forget(const enrolling_files *f);
/* Key and certificate take their places; killed between the two, enrolling_files_open finishes it. */
CS_MUST_USE cs_status enrolling_files_write(enrolling_files *f, cs_view crt_pem, cs_view ca_pem, cs_err *err);

#endif
