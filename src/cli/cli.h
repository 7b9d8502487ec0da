/* cli/cli.h - what every subcommand shares: its options, how it fails, how it prints.
 * One process, one thread, one subcommand: the strings that options point to are argv's own. */
#ifndef CS_CLI_CLI_H
#define CS_CLI_CLI_H

#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/secret.h"
#include "conf/conf.h"

/* Exit codes. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* One subcommand a row (cli/main.c); argv[0] is the subcommand's name. Returns the exit code. */
typedef struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *says; /* one line */
} cli_command;

int cli_init(int argc, char **argv);
int cli_up(int argc, char **argv);
int cli_gateway(int argc, char **argv);
int cli_authority(int argc, char **argv);
int cli_issue(int argc, char **argv);
int cli_list(int argc, char **argv);
int cli_show(int argc, char **argv);
int cli_revoke(int argc, char **argv);
int cli_hold(int argc, char **argv);
int cli_release(int argc, char **argv);
int cli_renew(int argc, char **argv);
int cli_reissue(int argc, char **argv);
int cli_renew_window(int argc, char **argv);
int cli_enroll(int argc, char **argv);
int cli_agent(int argc, char **argv);
int cli_token(int argc, char **argv);
int cli_device(int argc, char **argv);
int cli_request(int argc, char **argv);
int cli_admin(int argc, char **argv);
int cli_proposal(int argc, char **argv);
int cli_log(int argc, char **argv);
int cli_tag(int argc, char **argv);
int cli_store(int argc, char **argv);
int cli_ca(int argc, char **argv);
int cli_rollover(int argc, char **argv);
int cli_crl(int argc, char **argv);
int cli_notify(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_tunnel(int argc, char **argv);
int cli_reload(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_bundle(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_audit(int argc, char **argv);
int cli_lint(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_profile(int argc, char **argv);

/* ---- options: a table, from which parsing, --help and "did you mean" come ---- */

typedef enum cli_opt_kind {
    CLI_FLAG,   /* to: bool * */
    CLI_TEXT,   /* to: const char ** */
    CLI_LIST,   /* to: cli_texts *; may repeat */
    CLI_NUMBER, /* to: unsigned * */
    CLI_NEVER,  /* refused; help says what to use instead */
} cli_opt_kind;

enum { CLI_LIST_MAX = 256 };
typedef struct cli_texts {
    const char *at[CLI_LIST_MAX];
    size_t n;
} cli_texts;

typedef struct cli_opt {
    const char *name; /* without --; NULL ends the table */
    char letter;      /* 0: none */
    cli_opt_kind kind;
    void *to;
    const char *arg; /* "FILE" */
    const char *help;
} cli_opt;

typedef struct cli_use {
    const char *name;     /* "issue" */
    const char *synopsis; /* "KIND NAME [OPTION]..." */
    const char *says;     /* what it does, a few lines */
    const char *examples; /* shown first; NULL: none */
    const cli_opt *opts;
    size_t operands_min, operands_max;
} cli_use;

/* Parses argv by the table. True: go on, the operands are in *ret. False: *ret_exit is the exit code (--help was
 * answered, or what is wrong was said). */
bool cli_parse(const cli_use *use, int argc, char **argv, cli_texts *ret, int *ret_exit);

/* The options that all commands take, to be put into their tables. */
#define CLI_OPT_STATE(said)                                                                                            \
    {"state",       0,     CLI_TEXT,                                                                                   \
     &(said).state, "DIR", "the state folder (else $COUNTERSIGN_STATE, else the XDG state folder)"},                   \
    {                                                                                                                  \
        "config", 'c', CLI_TEXT, &(said).file, "FILE", "configuration (else STATE/countersign.yaml, if it is there)"   \
    }
#define CLI_OPT_JSON(flag)                                                                                             \
    { "json", 0, CLI_FLAG, &(flag), NULL, "print JSON" }
#define CLI_OPT_END                                                                                                    \
    { NULL, 0, CLI_FLAG, NULL, NULL, NULL }

/* ---- saying ---- */

/* Says on stderr what happened and what mends it, with json also one object on stdout; returns the exit code that
 * belongs to the reason: 2 for usage and configuration, else 1. */
int cli_fail(const char *command, const cs_err *err, bool json);
/* A usage error in the same form. */
int cli_usage(const char *command, const char *fmt, ...) CS_PRINTF(2, 3);

/* Writes b to stdout; false (and said) when that fails, as on a full disk. */
bool cli_print(const cs_buf *b);

/* May `f` be coloured: a terminal, no NO_COLOR, TERM not dumb. */
bool cli_colour(FILE *f);

/* A secret typed at the terminal, not shown; twice when `again`. passphrase-needed without a terminal. */
CS_MUST_USE cs_status cli_ask_secret(const char *prompt, bool again, cs_secret **ret, cs_err *err);
/* The root key's passphrase: from that file, else systemd's credential root-passphrase, else typed (twice when
 * `again`).
 */
CS_MUST_USE cs_status cli_root_passphrase(const char *file, bool again, cs_secret **ret, cs_err *err);
/* A passphrase from a private file, without its line end; "-" is standard input. */
CS_MUST_USE cs_status cli_read_secret(const char *path, cs_secret **ret, cs_err *err);

#endif
