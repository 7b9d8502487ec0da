/* cli/ca_work.h - a verb of countersign ca at work: what was said, and where. The command's; one thread. */
#ifndef CS_CLI_CA_WORK_H
#define CS_CLI_CA_WORK_H

#include "cli/ca_root.h"
#include "cli/print.h"

typedef struct ca_said {
    conf_overrides conf;
    const char *out, *root, *parent, *root_key, *passphrase_file, *key_type, *key_uri, *reason, *crl;
    cli_texts permit, exclude, allow;
    unsigned path_length, days;
    bool force, json;
} ca_said;

/* One verb at work. */
typedef struct ca_work {
    const ca_said *said;
    const conf *conf;
    const cli_texts *words; /* of the command line, the verb first */
    char dir[FILES_PATH_MAX];
    cs_buf *out; /* what is said in the end */
} ca_work;

/* ca_revoke.c: revoke NAME|CERTIFICATE.crt. */
CS_MUST_USE cs_status ca_revoke(ca_work *w, cs_err *err);

#endif
