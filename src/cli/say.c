#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

bool cli_colour(FILE *f) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no != NULL && no[0] != '\0') return false;
    return isatty(fileno(f)) == 1 && (term == NULL || strcmp(term, "dumb") != 0);
}

static int exit_of(cs_reason reason) {
    return reason == CS_R_USAGE || reason == CS_R_CONFIG_INVALID || reason == CS_R_ADDRESS_INVALID ? CLI_USAGE
                                                                                                   : CLI_FAILED;
}

static void say(const char *command, const cs_err *err) {
    if (err->reason == CS_R_USAGE) {
        (void)cli_usage(command, "%s", err->detail);
        return;
    }
    bool colour = cli_colour(stderr);
    const cs_reason_info *r = cs_reason_of(err->reason);
    const char *red = colour ? "\033[31m" : "", *dim = colour ? "\033[2m" : "", *off = colour ? "\033[0m" : "";
    (void)fprintf(stderr, "countersign%s%s: %s%s%s (%s)%s%s\n", command != NULL ? " " : "",
                  command != NULL ? command : "", red, r->says, off, r->name, err->detail[0] != '\0' ? ": " : "",
                  err->detail);
    (void)fprintf(stderr, "  %sto mend it: %s%s\n", dim, r->advice, off);
}

int cli_fail(const char *command, const cs_err *err, bool json) {
    say(command, err);
    if (json) {
        CS_SCOPED(cs_buf) b = cs_buf_of(8192);
        cs_json j = cs_json_to(&b);
        const cs_reason_info *r = cs_reason_of(err->reason);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "result", "failed");
        cs_json_str(&j, "reason", r->name);
        cs_json_str(&j, "says", r->says);
        cs_json_str(&j, "detail", err->detail);
        cs_json_str(&j, "advice", r->advice);
        cs_json_object_end(&j);
        (void)cs_buf_add_byte(&b, '\n');
        (void)cli_print(&b);
    }
    return exit_of(err->reason);
}

int cli_usage(const char *command, const char *fmt, ...) {
    char text[CS_DETAIL_MAX];
    cs_err err;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)cs_fail(&err, CS_REFUSED, CS_R_USAGE, "%s", text); /* escapes controls in what was typed */
    (void)fprintf(stderr, "countersign%s%s: %s\n", command != NULL ? " " : "", command != NULL ? command : "",
                  err.detail);
    return CLI_USAGE;
}

bool cli_print(const cs_buf *b) {
    if (!b->failed && (b->n == 0 || fwrite(b->p, 1, b->n, stdout) == b->n) && fflush(stdout) == 0) return true;
    if (errno != EPIPE) (void)fputs("countersign: standard output cannot be written\n", stderr); /* | head is fine */
    return false;
}
