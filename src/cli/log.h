/* cli/log.h - what the verbs of `countersign log` share. Nothing outlives a command. */
#ifndef CS_CLI_LOG_H
#define CS_CLI_LOG_H

#include "cli/print.h"
#include "merkle/head.h"

typedef struct log_said {
    conf_overrides conf;
    const char *event, *by, *name, *serial, *key, *trust, *from, *certificate;
    cli_texts heads;
    unsigned limit;
    bool follow, json;
} log_said;

/* log_check.c */
/* The whole log is what its heads say: of the authority, or with --from of a file of records. */
CS_MUST_USE cs_status log_verify(const log_said *said, cs_buf *b, cs_err *err);
/* A proof, from a file, checked by nothing but it and what --trust or --key says. */
CS_MUST_USE cs_status log_check_proof(const log_said *said, const char *path, cs_buf *b, cs_err *err);
/* The log's key out of {"key": ...}: with ca the claim must be good under that CA. */
CS_MUST_USE cs_status log_key_of(const log_said *said, const json_t *answer, head_key *ret, cs_err *err);

#endif
