/* A roll-over as people read it. */
#include <stdio.h>
#include <string.h>

#include "cli/print.h"
#include "cli/rollover.h"

enum { CONNECTED_SHOWN = 20 };

static long long number(const json_t *o, const char *key) {
    return (long long)json_number(o, key);
}

static void say_stages(const json_t *a, cs_buf *b) {
    static const char *const says[] = {
        "", "made: the next CA's key and certificates wait in ca/next", "published: they stand beside the old ones",
        "switched: the next CA issues; what is of the old one drains", "retired: the old one has gone"};
    static const char *const since[] = {"", "started", "published", "switched", ""};
    const char *stage = json_text(a, "stage");
    unsigned at = 0;
    char when[32];
    while (at < ROLLING_RETIRED && strcmp(stage, rolling_stage_name((rolling_stage)at)) != 0) at++;
    for (unsigned i = ROLLING_MADE; i <= ROLLING_RETIRED; i++) {
        const char *time = i == ROLLING_RETIRED ? (at == i ? json_text(a, "changed") : "") : json_text(a, since[i]);
        (void)cs_buf_addf(b, "  %c %-16s  %s\n", i == at ? '>' : ' ', time[0] != '\0' ? short_time(time, when) : "-",
                          says[i]);
    }
    if (at == ROLLING_GIVEN_UP) (void)cs_buf_add_str(b, "  given up: nothing of it is left\n");
}

static void say_nodes(const json_t *a, cs_buf *b) {
    size_t i = 0;
    const json_t *n = NULL;
    json_array_foreach(json_object_get(a, "nodes"), i, n) {
        bool switched = json_is_true(json_object_get(n, "switched")),
             there = json_is_true(json_object_get(n, "published"));
        (void)cs_buf_addf(b, "  node %s%s: %s\n", json_text(n, "host"),
                          json_is_true(json_object_get(n, "this")) ? " (this)" : "",
                          switched ? "has switched"
                          : there  ? "has published"
                                   : "has the old one alone");
    }
}

static void say_identities(const json_t *a, cs_buf *b) {
    const json_t *n = json_object_get(a, "identities");
    char when[32];
    (void)cs_buf_addf(b,
                      "  identities: %lld with certificates of the old one alone (%lld of them have fetched the CA "
                      "certificates since),\n              %lld with both, %lld with the next one's alone\n",
                      number(n, "old"), number(n, "told"), number(n, "both"), number(n, "moved"));
    if (number(n, "certificates") > 0)
        (void)cs_buf_addf(b, "  the last of %lld old certificates ends %s\n", number(n, "certificates"),
                          short_time(json_text(n, "last_not_after"), when));
}

static void say_connected(const json_t *a, cs_buf *b) {
    const json_t *list = json_object_get(a, "connected_old"), *c = NULL;
    size_t i = 0;
    if (json_array_size(list) == 0) return;
    (void)cs_buf_addf(b, "  connected here now by certificates of the old one: %zu\n", json_array_size(list));
    json_array_foreach(list, i, c) if (i < CONNECTED_SHOWN)(void)
        cs_buf_addf(b, "    %s %s from %s\n", json_text(c, "kind"), json_text(c, "identity"), json_text(c, "peer"));
}

static void say_blocks(const json_t *a, cs_buf *b) {
    static const char *const heads[] = {"KIND", "NAME", "STATE", "CERTIFICATES", "UNTIL"};
    const json_t *list = json_object_get(a, "blocks"), *one = NULL;
    size_t i = 0;
    if (json_array_size(list) == 0) return;
    table t = table_begin(sizeof heads / sizeof heads[0], heads);
    json_array_foreach(list, i, one) {
        char count[24], until[32];
        table_add(&t, json_text(one, "kind"));
        table_add(&t, json_text(one, "name"));
        table_add(&t, json_text(one, "state"));
        (void)snprintf(count, sizeof count, "%lld", number(one, "certificates"));
        table_add(&t, count);
        table_add(&t, short_time(json_text(one, "not_after"), until));
    }
    table_end(&t, b);
    if (json_text(a, "after")[0] != '\0') (void)cs_buf_addf(b, "there are more: --after %s\n", json_text(a, "after"));
}

void rolling_say(const json_t *a, bool at, cs_buf *b) {
    (void)cs_buf_addf(b, "roll-over %lld of %s: from %s to %s\n", number(a, "id"),
                      strcmp(json_text(a, "kind"), "root") == 0 ? "the root" : "the issuing CA", json_text(a, "old"),
                      json_text(a, "next"));
    say_stages(a, b);
    if (!at) (void)cs_buf_add_str(b, "  ca/ here is not at that stage: countersign rollover follow\n");
    say_nodes(a, b);
    say_identities(a, b);
    say_connected(a, b);
    say_blocks(a, b);
}
