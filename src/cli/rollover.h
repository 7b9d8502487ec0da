/* cli/rollover.h - the files of a roll-over: what was made waits in ca/next, and the folder ca/ is brought to the stage
 * that the store has. Each step may be done again after a crash. Owner: the command, under the lock of commands that
 * change the CAs; one thread. */
#ifndef CS_CLI_ROLLOVER_H
#define CS_CLI_ROLLOVER_H

#include <jansson.h>

#include "cli/ca_root.h"

/* As in store/rollovers.h. */
typedef enum rolling_stage {
    ROLLING_GIVEN_UP = 0,
    ROLLING_MADE = 1,
    ROLLING_PUBLISHED = 2,
    ROLLING_SWITCHED = 3,
    ROLLING_RETIRED = 4
} rolling_stage;
const char *rolling_stage_name(rolling_stage s);

typedef struct rolling {
    const conf *conf;
    char ca[FILES_PATH_MAX], next[FILES_PATH_MAX], before[FILES_PATH_MAX], retired[FILES_PATH_MAX]; /* folders */
    bool root;
    char old[CAS_NAME_MAX + 1], to[CAS_NAME_MAX + 1];
    char new_with_old[CAS_NAME_MAX + 1], old_with_new[CAS_NAME_MAX + 1]; /* of a root, RFC 9810 4.4 */
} rolling;
CS_MUST_USE cs_status rolling_init(rolling *r, const conf *c, bool root, const char *old, const char *to, cs_err *err);

/* Brings ca/ and trust/ to that stage. */
CS_MUST_USE cs_status rolling_apply(const rolling *r, rolling_stage stage, cs_err *err);
/* Is ca/ at that stage? */
CS_MUST_USE cs_status rolling_is_at(const rolling *r, rolling_stage stage, bool *ret, cs_err *err);

typedef struct rolling_ask {
    const char *key_type, *key_uri, *root_key, *passphrase_file, *new_passphrase_file;
    const cli_texts *allow;
    unsigned days;
} rolling_ask;
/* Makes keys and certificates of the next CA into ca/next; *ret_body is what the authority is to record (POST
 * /api/v1/rollovers), the caller's. On failure nothing is left. */
CS_MUST_USE cs_status rolling_make(const rolling *r, const rolling_ask *ask, json_t **ret_body, cs_err *err);

/* What is known of a roll-over (GET /api/v1/rollover), for people; at: is ca/ at its stage? */
void rolling_say(const json_t *answer, bool at, cs_buf *b);

#endif
