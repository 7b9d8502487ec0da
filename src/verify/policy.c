/* Certificate policies, as a graph instead of RFC 5280's tree: @rfc 9618#5. One node a policy and level, edges implied
 * by what each node expects below it, so that mappings cost a sum and not a product.
 * The graph is built only when a policy is demanded: while explicit_policy stays above zero it cannot change a verdict.
 */
#include "verify/verify_priv.h"

#include <stdlib.h>

enum { NODES_MAX = 1024, EXPECTED_MAX = 2048 };

static const cs_view any_policy = {(const uint8_t *)"\x55\x1d\x20\x00", 4};

typedef struct node {
    cs_view policy;
    bool under_any; /* its one parent is the level's anyPolicy node */
    bool alive;
    bool mapped; /* expects what it is mapped to, no longer itself */
} node;

typedef struct expected { /* node `of` expects `policy` in the next certificate */
    uint16_t of;
    cs_view policy;
} expected;

typedef struct level {
    node nodes[NODES_MAX];
    expected expects[EXPECTED_MAX];
    size_t n, expects_n;
} level;

typedef struct graph {
    level levels[CS_PATH_MAX + 1];
    size_t depth;
    bool null, overflow;
} graph;

static int find(const level *l, cs_view policy) {
    for (size_t i = 0; i < l->n; i++) {
        if (l->nodes[i].alive && cs_view_eq(l->nodes[i].policy, policy)) return (int)i;
    }
    return -1;
}

static bool is_expected(const level *l, cs_view policy) {
    for (size_t i = 0; i < l->expects_n; i++) {
        if (l->nodes[l->expects[i].of].alive && cs_view_eq(l->expects[i].policy, policy)) return true;
    }
    return false;
}

static void add_node(graph *g, level *l, cs_view policy, bool under_any) {
    if (l->n >= NODES_MAX)
        g->overflow = true;
    else
        l->nodes[l->n++] = (node){policy, under_any, true, false};
}

static void add_expected(graph *g, level *l, size_t of, cs_view policy) {
    if (l->expects_n >= EXPECTED_MAX)
        g->overflow = true;
    else
        l->expects[l->expects_n++] = (expected){(uint16_t)of, policy};
}

/* Nodes that no longer lead to the newest level die, level by level upwards. */
static void prune(graph *g) {
    for (size_t d = g->depth; d-- > 0;) {
        level *up = &g->levels[d];
        const level *down = &g->levels[d + 1];
        bool keep[NODES_MAX] = {false};
        int any = find(up, any_policy);
        for (size_t i = 0; i < down->n; i++) {
            if (!down->nodes[i].alive) continue;
            if (down->nodes[i].under_any && any >= 0) keep[any] = true;
            if (down->nodes[i].under_any) continue;
            for (size_t e = 0; e < up->expects_n; e++)
                if (cs_view_eq(up->expects[e].policy, down->nodes[i].policy)) keep[up->expects[e].of] = true;
        }
        for (size_t i = 0; i < up->n; i++) up->nodes[i].alive &= keep[i];
    }
    bool left = false;
    for (size_t i = 0; i < g->levels[g->depth].n; i++) left |= g->levels[g->depth].nodes[i].alive;
    if (!left) g->null = true;
}

static bool next_policy(cs_der *list, cs_view *oid) {
    if (!cs_der_more(list)) return false;
    cs_der p = cs_der_in(list, CS_DER_SEQUENCE);
    *oid = cs_der_oid(&p);
    return cs_der_ok(list);
}

static bool next_mapping(cs_der *list, cs_view *from, cs_view *to) {
    if (!cs_der_more(list)) return false;
    cs_der p = cs_der_in(list, CS_DER_SEQUENCE);
    *from = cs_der_oid(&p);
    *to = cs_der_oid(&p);
    return cs_der_ok(list);
}

static cs_der list_of(const cs_cert *c, cs_ext_id id, cs_der_fault *fault) {
    cs_der d = cs_der_of(cs_cert_more_of(c)->ext[id].value, fault);
    return cs_der_in(&d, CS_DER_SEQUENCE);
}

/* @rfc 5280#6.1.3 (d), (e) as @rfc 9618#5.3 has it */
static void take_policies(graph *g, const cs_cert *c, bool any_counts) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (g->null) return;
    if (!m->ext[CS_EXT_POLICIES].present) {
        g->null = true;
        return;
    }
    level *up = &g->levels[g->depth], *now = &g->levels[++g->depth];
    now->n = now->expects_n = 0;
    bool above_any = find(up, any_policy) >= 0, has_any = false;
    cs_der_fault fault = {0};
    cs_der list = list_of(c, CS_EXT_POLICIES, &fault);
    cs_view oid;
    while (next_policy(&list, &oid)) {
        if (cs_view_eq(oid, any_policy))
            has_any = true;
        else if (is_expected(up, oid))
            add_node(g, now, oid, false);
        else if (above_any)
            add_node(g, now, oid, true);
    }
    for (size_t e = 0; has_any && any_counts && e < up->expects_n; e++) {
        const expected *x = &up->expects[e];
        if (up->nodes[x->of].alive && find(now, x->policy) < 0) add_node(g, now, x->policy, false);
    }
    for (size_t i = 0; i < now->n; i++) add_expected(g, now, i, now->nodes[i].policy);
    prune(g);
}

/* @rfc 5280#6.1.4 (a), (b) as @rfc 9618#5.4 has it */
static bool take_mappings(graph *g, const cs_cert *c, bool allowed) {
    if (!cs_cert_more_of(c)->ext[CS_EXT_POLICY_MAPPINGS].present) return true;
    cs_der_fault fault = {0};
    cs_der list = list_of(c, CS_EXT_POLICY_MAPPINGS, &fault);
    cs_view from, to;
    level *now = &g->levels[g->depth];
    bool any = !g->null && find(now, any_policy) >= 0;
    while (next_mapping(&list, &from, &to)) {
        if (cs_view_eq(from, any_policy) || cs_view_eq(to, any_policy)) return false;
        if (g->null) continue;
        int at = find(now, from);
        if (!allowed) {
            if (at >= 0) now->nodes[at].alive = false;
            continue;
        }
        if (at < 0 && any) {
            add_node(g, now, from, true);
            if (g->overflow) return true;
            at = (int)now->n - 1;
            now->nodes[at].mapped = true;
        } else if (at >= 0 && !now->nodes[at].mapped) {
            now->nodes[at].mapped = true;
            for (size_t e = 0; e < now->expects_n; e++) {
                if (now->expects[e].of != at) continue;
                now->expects[e] = now->expects[--now->expects_n];
                break;
            }
        }
        if (at >= 0) add_expected(g, now, (size_t)at, to);
    }
    if (!g->null && !allowed) prune(g);
    return true;
}

/* @rfc 9618#5.5: is one of the policies asked for among those that hold? */
static bool user_policies_ok(const graph *g, const cs_want *want) {
    if (g->null) return false;
    if (want->policy_count == 0) return true;
    if (find(&g->levels[g->depth], any_policy) >= 0) return true;
    for (size_t d = 1; d <= g->depth; d++) {
        for (size_t i = 0; i < g->levels[d].n; i++) {
            const node *x = &g->levels[d].nodes[i];
            for (size_t k = 0; x->alive && x->under_any && k < want->policy_count; k++)
                if (cs_view_eq(want->policies[k], x->policy)) return true;
        }
    }
    return false;
}

typedef struct counters {
    int64_t explicit_policy, mapping, inhibit_any;
} counters;

static void count_down(counters *k) {
    if (k->explicit_policy > 0) k->explicit_policy--;
    if (k->mapping > 0) k->mapping--;
    if (k->inhibit_any > 0) k->inhibit_any--;
}

static void lower(int64_t *value, int64_t limit) {
    if (limit >= 0 && limit < *value) *value = limit;
}

/* @rfc 5280#6.1.4 (h), (i), (j) */
static void prepare_next(counters *k, const cs_cert_more *m) {
    if (!m->self_issued) count_down(k);
    lower(&k->explicit_policy, m->require_explicit);
    lower(&k->mapping, m->inhibit_map);
    lower(&k->inhibit_any, m->inhibit_any);
}

static counters counters_of(const cs_path *path, const cs_want *want) {
    int64_t n = (int64_t)path->n; /* certificates below the anchor, plus one */
    return (counters){want->explicit_policy ? 0 : n, want->inhibit_mapping ? 0 : n, want->inhibit_any ? 0 : n};
}

/* Without a moment at which a policy is demanded, there is nothing to find out. @rfc 5280#6.1.3 (f), 6.1.5 (a), (b) */
static bool ever_demanded(const cs_path *path, const cs_want *want) {
    counters k = counters_of(path, want);
    for (size_t i = path->n - 1; i-- > 0;) {
        if (k.explicit_policy == 0) return true;
        if (i > 0) prepare_next(&k, cs_cert_more_of(path->at[i]));
    }
    if (k.explicit_policy > 0) k.explicit_policy--;
    return k.explicit_policy == 0 || cs_cert_more_of(path->at[0])->require_explicit == 0;
}

static bool refuse(int depth, const char *why, cs_refusal *r) {
    return cs_refuse(r, CS_R_POLICY_VIOLATED, depth, "certificatePolicies: %s", why);
}

static bool walk(graph *g, const cs_path *path, const cs_want *want, cs_refusal *r) {
    counters k = counters_of(path, want);
    add_node(g, &g->levels[0], any_policy, false);
    add_expected(g, &g->levels[0], 0, any_policy);
    for (size_t i = path->n - 1; i-- > 0;) {
        const cs_cert_more *m = cs_cert_more_of(path->at[i]);
        take_policies(g, path->at[i], k.inhibit_any > 0 || (i > 0 && m->self_issued));
        if (g->overflow) return refuse((int)i, "more than can be followed", r);
        if (k.explicit_policy == 0 && g->null) return refuse((int)i, "a policy is demanded and none holds", r);
        if (i == 0) break;
        if (!take_mappings(g, path->at[i], k.mapping > 0)) return refuse((int)i, "anyPolicy is mapped", r);
        if (g->overflow) return refuse((int)i, "more than can be followed", r);
        prepare_next(&k, m);
    }
    if (k.explicit_policy > 0) k.explicit_policy--;
    if (cs_cert_more_of(path->at[0])->require_explicit == 0) k.explicit_policy = 0;
    if (k.explicit_policy == 0 && !user_policies_ok(g, want))
        return refuse(0, "a policy is demanded and none that is accepted holds", r);
    return true;
}

static bool mapping_of_any(const cs_cert *c) {
    cs_der_fault fault = {0};
    if (!cs_cert_more_of(c)->ext[CS_EXT_POLICY_MAPPINGS].present) return false;
    cs_der list = list_of(c, CS_EXT_POLICY_MAPPINGS, &fault);
    cs_view from, to;
    while (next_mapping(&list, &from, &to)) {
        if (cs_view_eq(from, any_policy) || cs_view_eq(to, any_policy)) return true;
    }
    return false;
}

bool cs_policies_ok(const cs_path *path, const cs_want *want, cs_refusal *r) {
    for (size_t i = path->n - 1; i-- > 1;) { /* forbidden whether or not policies are demanded: 6.1.4 (a) */
        if (mapping_of_any(path->at[i])) return refuse((int)i, "anyPolicy is mapped", r);
    }
    if (path->n < 2 || !ever_demanded(path, want)) return true;
    graph *g = calloc(1, sizeof *g);
    if (!g) return cs_refuse(r, CS_R_OUT_OF_MEMORY, -1, "policies");
    bool ok = walk(g, path, want, r);
    free(g);
    return ok;
}
