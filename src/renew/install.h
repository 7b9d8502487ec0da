/* renew/install.h - a slot's pair, put where programs look for it: all files or none. What was there is replaced by
 * renames alone, after everything has been written beside it with its owner and mode; a file with a key in it is 0600
 * from its first byte until then. Nothing is kept; one thread. */
#ifndef CS_RENEW_INSTALL_H
#define CS_RENEW_INSTALL_H

#include "renew/conf.h"
#include "renew/store.h"

/* Files that hold the same already, with that owner and mode, are left alone. *ret_changed: something was replaced.
 * On a failure before the first rename nothing has changed; after it, the caller installs the other slot.
 * file-unwritable, disk-full, permission-denied (owner), key-mismatch, passphrase-too-short. */
CS_MUST_USE cs_status renew_install(const renew_identity *id, const renew_store *st, int slot, bool *ret_changed,
                                    cs_err *err);

#endif
