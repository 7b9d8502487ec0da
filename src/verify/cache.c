#include "verify/cache.h"

#include <stdlib.h>

enum { WAYS = 4, LINKS_MAX = 5 };

typedef struct slot {
    uint8_t leaf[32];
    uint64_t generation; /* 0: free */
    cs_time from, until; /* inclusive seconds */
    uint8_t purpose, links;
    uint8_t serial_n[LINKS_MAX];
    uint8_t serial[LINKS_MAX][CS_SERIAL_MAX + 1];
    uint8_t issuer[LINKS_MAX][32];
} slot;

struct cs_cache {
    size_t mask; /* of sets */
    size_t hits, misses;
    unsigned turn;
    slot slots[];
};

cs_status cs_cache_new(size_t entries, cs_cache **ret, cs_err *err) {
    size_t sets = 16;
    while (sets * WAYS < entries && sets < (size_t)1 << 24) sets *= 2;
    cs_cache *c = calloc(1, sizeof *c + sets * WAYS * sizeof c->slots[0]);
    if (!c) return CS_NOMEM_ERR(err);
    c->mask = sets - 1;
    *ret = c;
    return CS_OK;
}

void cs_cache_free(cs_cache *c) {
    free(c);
}

static slot *set_of(cs_cache *c, const uint8_t leaf[32]) {
    uint64_t h; /* a digest: uniform already */
    memcpy(&h, leaf, sizeof h);
    return &c->slots[((size_t)h & c->mask) * WAYS];
}

static bool still_good(const slot *s, cs_time now, const cs_revset *revset) {
    int64_t second = cs_time_seconds(now);
    if (second < cs_time_seconds(s->from) || second > cs_time_seconds(s->until)) return false;
    for (unsigned i = 0; revset && i < s->links; i++) {
        if (cs_revset_has(revset, s->issuer[i], cs_view_of(s->serial[i], s->serial_n[i]), NULL)) return false;
    }
    return true;
}

bool cs_cache_good(cs_cache *c, const uint8_t leaf_sha256[32], cs_purpose purpose, uint64_t generation, cs_time now,
                   const cs_revset *revset) {
    slot *set = set_of(c, leaf_sha256);
    for (unsigned i = 0; i < WAYS; i++) {
        slot *s = &set[i];
        if (s->generation != generation + 1 || s->purpose != purpose || memcmp(s->leaf, leaf_sha256, 32) != 0) continue;
        if (!still_good(s, now, revset)) {
            s->generation = 0;
            break;
        }
        c->hits++;
        return true;
    }
    c->misses++;
    return false;
}

void cs_cache_put(cs_cache *c, cs_purpose purpose, uint64_t generation, const cs_verdict *v) {
    if (!v->accepted || v->named || v->chain.n < 1 || v->chain.n > LINKS_MAX + 1) return;
    slot fresh = {.generation = generation + 1, .from = v->good_from, .until = v->good_until};
    memcpy(fresh.leaf, v->chain.at[0]->sha256, 32);
    fresh.purpose = (uint8_t)purpose;
    for (size_t i = 0; i + 1 < v->chain.n; i++) {
        cs_view serial = v->chain.at[i]->serial;
        if (serial.n > sizeof fresh.serial[0]) return;
        fresh.serial_n[i] = (uint8_t)serial.n;
        memcpy(fresh.serial[i], serial.p, serial.n);
        memcpy(fresh.issuer[i], v->chain.at[i + 1]->spki_sha256, 32);
        fresh.links++;
    }
    slot *set = set_of(c, fresh.leaf), *at = &set[c->turn++ % WAYS];
    for (unsigned i = 0; i < WAYS; i++) {
        bool same = set[i].purpose == fresh.purpose && memcmp(set[i].leaf, fresh.leaf, 32) == 0;
        if (same || set[i].generation == 0) {
            at = &set[i];
            if (same) break;
        }
    }
    *at = fresh;
}

size_t cs_cache_hits(const cs_cache *c) {
    return c->hits;
}

size_t cs_cache_misses(const cs_cache *c) {
    return c->misses;
}
