#include "merkle/merkle.h"

cs_status merkle_leaf(cs_view record, merkle_hash *ret, cs_err *err) {
    static const uint8_t leaf[1] = {0x00};
    return cs_sha256_two(cs_view_of(leaf, 1), record, ret->at, err);
}

static cs_status join(const merkle_hash *left, const merkle_hash *right, merkle_hash *ret, cs_err *err) {
    uint8_t both[1 + 2 * CS_SHA256_LEN] = {0x01};
    memcpy(both + 1, left->at, CS_SHA256_LEN);
    memcpy(both + 1 + CS_SHA256_LEN, right->at, CS_SHA256_LEN);
    return cs_sha256(cs_view_of(both, sizeof both), ret->at, err);
}

cs_status merkle_append(merkle_edge *e, const merkle_hash *leaf, merkle_hash done[MERKLE_LEVELS], unsigned *ret_n,
                        cs_err *err) {
    unsigned level = 0;
    done[0] = *leaf;
    for (; (e->size >> level & 1) != 0; level++) {
        if (level + 1 == MERKLE_LEVELS) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "the log's records");
        TRY(join(&e->peak[level], &done[level], &done[level + 1], err));
    }
    e->peak[level] = done[level];
    e->size++;
    *ret_n = level + 1;
    return CS_OK;
}

cs_status merkle_root(const merkle_edge *e, merkle_hash *ret, cs_err *err) {
    bool any = false;
    if (e->size == 0) return cs_sha256(cs_view_of(NULL, 0), ret->at, err);
    for (unsigned level = 0; level < MERKLE_LEVELS; level++) {
        if ((e->size >> level & 1) == 0) continue;
        if (any)
            TRY(join(&e->peak[level], ret, ret, err));
        else
            *ret = e->peak[level];
        any = true;
    }
    return CS_OK;
}

/* ---- proofs are made ---- */

typedef struct source {
    merkle_node *node;
    void *cls;
    merkle_proof *proof;
} source;

/* The largest power of two below n; n > 1. */
static uint64_t split(uint64_t n) {
    uint64_t k = 1;
    while (k << 1 < n) k <<= 1;
    return k;
}

static unsigned level_of(uint64_t power) {
    return (unsigned)__builtin_ctzll(power);
}

/* MTH of the n records that begin with `from`, which is a multiple of every power of two up to n. */
static cs_status range_root(const source *s, uint64_t from, uint64_t n, merkle_hash *ret, cs_err *err) {
    merkle_hash right;
    if ((n & (n - 1)) == 0) return s->node(s->cls, level_of(n), from >> level_of(n), ret, err);
    uint64_t k = split(n);
    TRY(s->node(s->cls, level_of(k), from >> level_of(k), ret, err));
    TRY(range_root(s, from + k, n - k, &right, err)); /* as deep as the tree: at most MERKLE_LEVELS */
    return join(ret, &right, ret, err);
}

static cs_status add(const source *s, uint64_t from, uint64_t n, cs_err *err) {
    if (s->proof->n == sizeof s->proof->at / sizeof *s->proof->at)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a proof's length");
    return range_root(s, from, n, &s->proof->at[s->proof->n++], err);
}

static cs_status include(const source *s, uint64_t from, uint64_t index, uint64_t n, cs_err *err) {
    if (n == 1) return CS_OK;
    uint64_t k = split(n);
    if (index < k) {
        TRY(include(s, from, index, k, err));
        return add(s, from + k, n - k, err);
    }
    TRY(include(s, from + k, index - k, n - k, err));
    return add(s, from, k, err);
}

cs_status merkle_inclusion(merkle_node *node, void *cls, uint64_t index, uint64_t size, merkle_proof *ret,
                           cs_err *err) {
    const source s = {node, cls, ret};
    ret->n = 0;
    if (index >= size)
        return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "record %llu of %llu", (unsigned long long)index + 1,
                       (unsigned long long)size);
    return include(&s, 0, index, size, err);
}

/* whole: the subtree is the old tree itself, whose root the asker knows. */
static cs_status extend(const source *s, uint64_t from, uint64_t first, uint64_t n, bool whole, cs_err *err) {
    if (first == n) return whole ? CS_OK : add(s, from, n, err);
    uint64_t k = split(n);
    if (first <= k) {
        TRY(extend(s, from, first, k, whole, err));
        return add(s, from + k, n - k, err);
    }
    TRY(extend(s, from + k, first - k, n - k, false, err));
    return add(s, from, k, err);
}

cs_status merkle_consistency(merkle_node *node, void *cls, uint64_t first, uint64_t size, merkle_proof *ret,
                             cs_err *err) {
    const source s = {node, cls, ret};
    ret->n = 0;
    if (first == 0 || first > size)
        return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "from %llu to %llu records", (unsigned long long)first,
                       (unsigned long long)size);
    return extend(&s, 0, first, size, true, err);
}

/* ---- proofs are checked ---- */

cs_status merkle_inclusion_check(const merkle_hash *leaf, uint64_t index, uint64_t size, const merkle_proof *proof,
                                 const merkle_hash *root, cs_err *err) {
    if (index >= size) return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "the record lies behind the head");
    uint64_t fn = index, sn = size - 1;
    merkle_hash r = *leaf;
    for (unsigned i = 0; i < proof->n; i++) {
        if (sn == 0) return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "the path is too long");
        bool left = (fn & 1) != 0 || fn == sn;
        TRY(left ? join(&proof->at[i], &r, &r, err) : join(&r, &proof->at[i], &r, err));
        while (left && (fn & 1) == 0 && fn != 0) fn >>= 1, sn >>= 1;
        fn >>= 1, sn >>= 1;
    }
    if (sn == 0 && merkle_same(&r, root)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_LOG_PROOF_INVALID, "%s",
                   sn != 0 ? "the path is too short" : "the path does not lead to the head's root");
}

static cs_status forked(uint64_t first, uint64_t size, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_LOG_FORKED, "the log of %llu records does not begin with that of %llu",
                   (unsigned long long)size, (unsigned long long)first);
}

cs_status merkle_consistency_check(uint64_t first, const merkle_hash *first_root, uint64_t size,
                                   const merkle_hash *root, const merkle_proof *proof, cs_err *err) {
    if (first == 0 && proof->n == 0) return CS_OK;
    if (first == size && proof->n == 0 && merkle_same(first_root, root)) return CS_OK;
    bool power = (first & (first - 1)) == 0; /* then the proof leaves out what is first_root */
    unsigned i = power ? 0 : 1;
    if (first == 0 || first >= size || proof->n < i + (power ? 1 : 0)) return forked(first, size, err);
    uint64_t fn = first - 1, sn = size - 1;
    while ((fn & 1) != 0) fn >>= 1, sn >>= 1;
    merkle_hash fr = power ? *first_root : proof->at[0], sr = fr;
    for (; i < proof->n; i++) {
        if (sn == 0) return forked(first, size, err);
        bool left = (fn & 1) != 0 || fn == sn;
        if (left) TRY(join(&proof->at[i], &fr, &fr, err));
        TRY(left ? join(&proof->at[i], &sr, &sr, err) : join(&sr, &proof->at[i], &sr, err));
        while (left && (fn & 1) == 0 && fn != 0) fn >>= 1, sn >>= 1;
        fn >>= 1, sn >>= 1;
    }
    return sn == 0 && merkle_same(&fr, first_root) && merkle_same(&sr, root) ? CS_OK : forked(first, size, err);
}
