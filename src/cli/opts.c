/* Options by table: what getopt_long does, with words of our own for what is wrong. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

enum { OPTS_MAX = 32, LONG_FIRST = 256 };

static bool takes_value(const cli_opt *o) {
    return o->kind == CLI_TEXT || o->kind == CLI_LIST || o->kind == CLI_NUMBER;
}

static void print_help(const cli_use *use) {
    (void)printf("countersign %s %s\n\n%s\n", use->name, use->synopsis, use->says);
    if (use->examples != NULL) (void)printf("\n%s\n", use->examples);
    (void)printf("\n");
    for (const cli_opt *o = use->opts; o->name != NULL; o++) {
        char left[48], letter[8] = "";
        if (o->kind == CLI_NEVER) continue;
        if (o->letter != 0) (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, takes_value(o) ? " " : "",
                       takes_value(o) ? o->arg : "");
        (void)printf("  %-24s %s%s\n", left, o->help, o->kind == CLI_LIST ? " (may repeat)" : "");
    }
    (void)printf("  %-24s %s\n", "--help", "this");
}

static int unknown_option(const cli_use *use, const char *said) {
    const char *nearest = NULL;
    size_t best = 3;
    const char *name = said + strspn(said, "-");
    size_t n = strcspn(name, "=");
    for (const cli_opt *o = use->opts; o->name != NULL; o++) {
        size_t d = cs_text_distance(cs_view_str(o->name), cs_view_of(name, n));
        if (d < best && o->kind != CLI_NEVER) best = d, nearest = o->name;
    }
    if (nearest != NULL) return cli_usage(use->name, "unknown option %s, did you mean --%s?", said, nearest);
    return cli_usage(use->name, "unknown option %s; countersign %s --help shows what there is", said, use->name);
}

/* 0, or the exit code. */
static int take(const cli_use *use, const cli_opt *o, const char *value) {
    switch (o->kind) {
    case CLI_FLAG: *(bool *)o->to = true; return 0;
    case CLI_TEXT: *(const char **)o->to = value; return 0;
    case CLI_NEVER: return cli_usage(use->name, "--%s is refused: %s", o->name, o->help);
    case CLI_NUMBER: {
        char *end = NULL;
        unsigned long n = strtoul(value, &end, 10);
        if (value[0] < '0' || value[0] > '9' || *end != '\0' || n > 1000000000)
            return cli_usage(use->name, "--%s \"%s\", expected a whole number", o->name, value);
        *(unsigned *)o->to = (unsigned)n;
        return 0;
    }
    case CLI_LIST: {
        cli_texts *list = o->to;
        if (list->n == CLI_LIST_MAX) return cli_usage(use->name, "--%s more than %d times", o->name, CLI_LIST_MAX);
        list->at[list->n++] = value;
        return 0;
    }
    }
    return 0;
}

typedef struct getopt_table {
    struct option longs[OPTS_MAX + 2];
    char letters[2 * OPTS_MAX + 3];
    size_t n;
} getopt_table;

static void make_table(const cli_use *use, getopt_table *t) {
    size_t k = 0;
    *t = (getopt_table){0};
    t->letters[k++] = ':'; /* tell a missing value from an unknown option */
    for (const cli_opt *o = use->opts; o->name != NULL && t->n < OPTS_MAX; o++) {
        /* a refused option swallows its value too, so that a passphrase is at least not taken for an operand */
        int has = takes_value(o) ? required_argument : o->kind == CLI_NEVER ? optional_argument : no_argument;
        t->longs[t->n] = (struct option){.name = o->name, .has_arg = has, .val = LONG_FIRST + (int)t->n};
        t->n++;
        if (o->letter == 0) continue;
        t->letters[k++] = o->letter;
        if (takes_value(o)) t->letters[k++] = ':';
    }
    t->longs[t->n] = (struct option){.name = "help", .val = 'h'};
    t->letters[k] = 'h';
}

static const cli_opt *option_of(const cli_use *use, int val) {
    for (const cli_opt *o = use->opts; o->name != NULL; o++)
        if (val == LONG_FIRST + (int)(o - use->opts) || (o->letter != 0 && val == o->letter)) return o;
    return NULL;
}

/* True: go on. */
static bool one_option(const cli_use *use, int val, char **argv, int at, int *ret_exit) {
    if (val == 'h') {
        print_help(use);
        *ret_exit = CLI_DONE;
        return false;
    }
    const cli_opt *o = option_of(use, val == ':' ? optopt : val);
    /* "--out --state X": a value was forgotten; --out=--x says that it is meant */
    if (o != NULL && takes_value(o) && val != ':' && optarg == argv[optind - 1] && strncmp(optarg, "--", 2) == 0)
        val = ':';
    if (val == ':')
        *ret_exit = cli_usage(use->name, "--%s needs a value: %s", o != NULL ? o->name : "?", o != NULL ? o->arg : "?");
    else if (o == NULL)
        *ret_exit = unknown_option(use, argv[at]);
    else
        *ret_exit = take(use, o, optarg);
    return *ret_exit == 0;
}

static bool operands(const cli_use *use, int argc, char **argv, cli_texts *ret, int *ret_exit) {
    *ret = (cli_texts){.n = 0};
    size_t n = (size_t)(argc - optind);
    if (n < use->operands_min || n > use->operands_max) {
        if (n > use->operands_max)
            *ret_exit = cli_usage(use->name, "\"%s\" is one too many; it is: countersign %s %s",
                                  argv[optind + (int)use->operands_max], use->name, use->synopsis);
        else
            *ret_exit =
                cli_usage(use->name, "something is missing; it is: countersign %s %s", use->name, use->synopsis);
        return false;
    }
    for (size_t i = 0; i < n; i++) ret->at[ret->n++] = argv[optind + (int)i];
    return true;
}

bool cli_parse(const cli_use *use, int argc, char **argv, cli_texts *ret, int *ret_exit) {
    getopt_table t;
    make_table(use, &t);
    opterr = 0;
    optind = 0; /* glibc: start afresh */
    for (;;) {
        int at = optind > 0 ? optind : 1;
        int val = getopt_long(argc, argv, t.letters, t.longs, NULL); // NOLINT(concurrency-mt-unsafe): one thread
        if (val == -1) break;
        /* after a long option's failure optind stands behind it; a clustered letter stays in its word */
        if (optind > at) at = optind - 1;
        if (!one_option(use, val, argv, at, ret_exit)) return false;
    }
    return operands(use, argc, argv, ret, ret_exit);
}
