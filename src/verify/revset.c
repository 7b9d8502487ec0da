/* Entries of 24 bytes in buckets of about 4, chosen by a hash of issuer and serial, and a byte of that hash for each of
 * them apart: a look-up touches one word of the bucket index and one line of these, and the entries only where the byte
 * fits (always when listed, else one time in sixty). 1,000,000 entries are 26 MB. */
#include "verify/revset.h"

#include <openssl/sha.h>
#include <stdlib.h>

enum { SERIAL_KEPT = 20, PER_BUCKET = 4, ISSUERS_MAX = 32767 };

typedef struct entry {
    uint8_t serial[SERIAL_KEPT]; /* without leading zeros, then zeros; a longer one is kept as its digest */
    uint8_t len;                 /* 255: a digest */
    uint8_t reason;
    uint16_t issuer;
} entry;
_Static_assert(sizeof(entry) == 24, "the stated size of a revocation");

typedef struct issuer {
    uint8_t key[32];
} issuer;

struct cs_revset {
    int refs;
    size_t n, issuer_count, bucket_bits;
    entry *entries;  /* by bucket */
    uint8_t *tags;   /* of each entry: the low byte of its hash */
    uint32_t *first; /* of each bucket; one more at the end */
    issuer *issuers;
    uint16_t *issuer_slots; /* open addressing, index + 1; 0 = free */
    size_t slot_mask;
};

static uint64_t load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t mix64(uint64_t x) { /* the finaliser of splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static uint64_t entry_hash(const entry *e) {
    uint32_t tail;
    memcpy(&tail, e->serial + 16, sizeof tail);
    uint64_t h = mix64(load64(e->serial) + 0x9e3779b97f4a7c15ULL * e->issuer);
    h = mix64(h ^ load64(e->serial + 8));
    return mix64(h ^ tail ^ (uint64_t)e->len << 40);
}

static size_t bucket_of(const cs_revset *s, const entry *e) {
    return s->bucket_bits ? (size_t)(entry_hash(e) >> (64 - s->bucket_bits)) : 0;
}

static uint8_t tag_of(const entry *e) {
    return (uint8_t)entry_hash(e);
}

static bool same_serial(const entry *a, const entry *b) {
    return memcmp(a->serial, b->serial, SERIAL_KEPT) == 0 && a->len == b->len && a->issuer == b->issuer;
}

static void set_serial(entry *e, cs_view serial) {
    while (serial.n && serial.p[0] == 0) serial = (cs_view){serial.p + 1, serial.n - 1};
    memset(e->serial, 0, SERIAL_KEPT);
    if (serial.n <= SERIAL_KEPT) {
        if (serial.n) memcpy(e->serial, serial.p, serial.n);
        e->len = (uint8_t)serial.n;
        return;
    }
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256(serial.p, serial.n, digest);
    memcpy(e->serial, digest, SERIAL_KEPT);
    e->len = 255;
}

/* ---- issuers ---- */

static size_t slot_of(const cs_revset *s, const uint8_t key[32]) {
    size_t at = (size_t)load64(key) & s->slot_mask; /* a digest: uniform already */
    while (s->issuer_slots[at] && memcmp(s->issuers[s->issuer_slots[at] - 1].key, key, 32) != 0)
        at = (at + 1) & s->slot_mask;
    return at;
}

static bool issuer_find(const cs_revset *s, const uint8_t key[32], uint16_t *ret) {
    if (!s->issuer_count) return false;
    uint16_t found = s->issuer_slots[slot_of(s, key)];
    if (!found) return false;
    *ret = (uint16_t)(found - 1);
    return true;
}

static cs_status issuers_grow(cs_revset *s, cs_err *err) {
    size_t slots = s->issuer_slots ? (s->slot_mask + 1) * 2 : 16;
    issuer *issuers = realloc(s->issuers, slots / 2 * sizeof *issuers);
    if (issuers) s->issuers = issuers;
    uint16_t *table = calloc(slots, sizeof *table);
    if (!issuers || !table) {
        free(table);
        return CS_NOMEM_ERR(err);
    }
    free(s->issuer_slots);
    s->issuer_slots = table;
    s->slot_mask = slots - 1;
    for (size_t i = 0; i < s->issuer_count; i++) table[slot_of(s, s->issuers[i].key)] = (uint16_t)(i + 1);
    return CS_OK;
}

static cs_status issuer_add(cs_revset *s, const uint8_t key[32], uint16_t *ret, cs_err *err) {
    if (issuer_find(s, key, ret)) return CS_OK;
    if (s->issuer_count >= ISSUERS_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "revocations of more than %d issuers", ISSUERS_MAX);
    if (!s->issuer_slots || s->issuer_count >= (s->slot_mask + 1) / 2) TRY(issuers_grow(s, err));
    memcpy(s->issuers[s->issuer_count].key, key, 32);
    s->issuer_slots[slot_of(s, key)] = (uint16_t)(s->issuer_count + 1);
    *ret = (uint16_t)s->issuer_count++;
    return CS_OK;
}

/* ---- building ---- */

static cs_revset *set_new(size_t entries, size_t bucket_bits) {
    cs_revset *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->refs = 1;
    s->bucket_bits = bucket_bits;
    s->first = calloc(((size_t)1 << s->bucket_bits) + 1, sizeof *s->first);
    s->entries = malloc((entries ? entries : 1) * sizeof *s->entries);
    s->tags = malloc(entries ? entries : 1);
    if (!s->first || !s->entries || !s->tags) {
        cs_revset_free(s);
        return NULL;
    }
    return s;
}

/* The last of equals stays, in its place; releases (reason 8) go. Returns how many are left. */
static size_t settle(entry *e, size_t n) {
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        bool later = false;
        for (size_t k = i + 1; k < n && !later; k++) later = same_serial(&e[i], &e[k]);
        if (!later && e[i].reason != 8) e[out++] = e[i];
    }
    return out;
}

/* Counting sort by bucket, stable, so that later entries stay later. `list` has n entries; s->entries has their room.
 */
static void arrange(cs_revset *s, const entry *list, size_t n) {
    size_t buckets = (size_t)1 << s->bucket_bits;
    for (size_t i = 0; i < n; i++) s->first[bucket_of(s, &list[i]) + 1]++;
    for (size_t b = 0; b < buckets; b++) s->first[b + 1] += s->first[b];
    for (size_t i = 0; i < n; i++) s->entries[s->first[bucket_of(s, &list[i])]++] = list[i];
    size_t start = 0, out = 0; /* first[b] is now the end of bucket b */
    for (size_t b = 0; b < buckets; b++) {
        size_t end = s->first[b], kept = settle(s->entries + start, end - start);
        memmove(s->entries + out, s->entries + start, kept * sizeof(entry));
        for (size_t i = out; i < out + kept; i++) s->tags[i] = tag_of(&s->entries[i]);
        s->first[b] = (uint32_t)out;
        out += kept;
        start = end;
    }
    s->first[buckets] = (uint32_t)out;
    s->n = out;
}

static cs_status add_list(cs_revset *s, const cs_revoked *from, size_t n, entry *to, cs_err *err) {
    const uint8_t *last = NULL;
    uint16_t last_index = 0;
    for (size_t i = 0; i < n; i++) {
        if (!last || memcmp(last, from[i].issuer, 32) != 0) {
            TRY(issuer_add(s, from[i].issuer, &last_index, err));
            last = from[i].issuer;
        }
        to[i].issuer = last_index;
        to[i].reason = (uint8_t)(from[i].reason & 0x7f);
        set_serial(&to[i], from[i].serial);
    }
    return CS_OK;
}

/* The base's bucket b with what changes for it behind, settled, at entries[out]; returns the new end. */
static size_t merge_bucket(cs_revset *s, const cs_revset *base, size_t b, const entry *change, size_t n, size_t out) {
    size_t old = base->first[b + 1] - base->first[b];
    memcpy(s->entries + out, base->entries + base->first[b], old * sizeof(entry));
    memcpy(s->entries + out + old, change, n * sizeof(entry));
    size_t end = out + settle(s->entries + out, old + n);
    for (size_t i = out; i < end; i++) s->tags[i] = tag_of(&s->entries[i]);
    return end;
}

/* `list`: n changes, sorted by bucket and order. All other buckets are copied as they lie: what a delta costs is one
 * pass of memcpy. */
static void merge(cs_revset *s, const cs_revset *base, const entry *list, size_t n) {
    size_t buckets = (size_t)1 << s->bucket_bits, b = 0, out = 0;
    for (size_t i = 0; b < buckets;) {
        size_t stop = i < n ? bucket_of(s, &list[i]) : buckets, from = base->first[b];
        for (size_t k = b; k < stop; k++) s->first[k] = (uint32_t)(base->first[k] - from + out);
        size_t run = base->first[stop] - from;
        memcpy(s->entries + out, base->entries + from, run * sizeof(entry));
        memcpy(s->tags + out, base->tags + from, run);
        out += run;
        b = stop;
        if (b == buckets) break;
        size_t last = i;
        while (last < n && bucket_of(s, &list[last]) == b) last++;
        s->first[b] = (uint32_t)out;
        out = merge_bucket(s, base, b++, list + i, last - i, out);
        i = last;
    }
    s->first[buckets] = (uint32_t)out;
    s->n = out;
}

/* Stable, by bucket: n log n, for changes that are few beside the base. */
static cs_status sort_changes(const cs_revset *s, entry *list, size_t n, cs_err *err) {
    entry *other = malloc((n ? n : 1) * sizeof *other);
    if (!other) return CS_NOMEM_ERR(err);
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n;
            for (size_t a = lo, b = mid, k = lo; k < hi; k++) {
                bool left = a < mid && (b >= hi || bucket_of(s, &list[a]) <= bucket_of(s, &list[b]));
                other[k] = left ? list[a++] : list[b++];
            }
        }
        memcpy(list, other, n * sizeof *list);
    }
    free(other);
    return CS_OK;
}

static cs_status fill(cs_revset *s, const cs_revset *base, entry *list, const cs_revoked *changes, size_t n,
                      cs_err *err) {
    uint16_t index;
    for (size_t i = 0; base && i < base->issuer_count; i++)
        TRY(issuer_add(s, base->issuers[i].key, &index, err)); /* the same order gives the same indexes */
    TRY(add_list(s, changes, n, list, err));
    if (!base) {
        arrange(s, list, n);
        return CS_OK;
    }
    if (base->bucket_bits == s->bucket_bits) {
        TRY(sort_changes(s, list, n, err));
        merge(s, base, list, n);
        return CS_OK;
    }
    entry *both = malloc((base->n + n + 1) * sizeof *both);
    if (!both) return CS_NOMEM_ERR(err);
    memcpy(both, base->entries, base->n * sizeof *both);
    memcpy(both + base->n, list, n * sizeof *both);
    arrange(s, both, base->n + n);
    free(both);
    return CS_OK;
}

/* The number of buckets stays as long as they hold less than twice what they should. */
static size_t bits_for(const cs_revset *base, size_t entries) {
    size_t bits = 0;
    if (base && entries <= (size_t)2 * PER_BUCKET << base->bucket_bits) return base->bucket_bits;
    while (((size_t)PER_BUCKET << bits) < entries && bits < 28) bits++;
    return bits;
}

cs_status cs_revset_apply(const cs_revset *base, const cs_revoked *changes, size_t n, cs_revset **ret, cs_err *err) {
    size_t old = base ? base->n : 0;
    if (n > UINT32_MAX / 2 || old > UINT32_MAX / 2 - n)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than 2^31 revocations");
    CS_AUTO(cs_revset) s = set_new(old + n, bits_for(base, old + n));
    entry *list = malloc((n + 1) * sizeof *list);
    cs_status status = s && list ? fill(s, base, list, changes, n, err) : CS_NOMEM_ERR(err);
    free(list);
    TRY(status);
    entry *exact = realloc(s->entries, (s->n ? s->n : 1) * sizeof *exact);
    if (exact) s->entries = exact;
    uint8_t *tags = realloc(s->tags, s->n ? s->n : 1);
    if (tags) s->tags = tags;
    *ret = CS_TAKE(s);
    return CS_OK;
}

cs_status cs_revset_build(const cs_revoked *entries, size_t n, cs_revset **ret, cs_err *err) {
    return cs_revset_apply(NULL, entries, n, ret, err);
}

cs_revset *cs_revset_ref(const cs_revset *s) {
    cs_revset *held = (cs_revset *)(uintptr_t)s; /* counting is the one change that an immutable set sees */
    if (held) __atomic_add_fetch(&held->refs, 1, __ATOMIC_RELAXED);
    return held;
}

void cs_revset_free(cs_revset *s) {
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    free(s->entries);
    free(s->tags);
    free(s->first);
    free(s->issuers);
    free(s->issuer_slots);
    free(s);
}

/* ---- asking ---- */

bool cs_revset_has(const cs_revset *s, const uint8_t issuer_spki_sha256[32], cs_view serial, int *ret_reason) {
    entry key = {0};
    if (!s || !issuer_find(s, issuer_spki_sha256, &key.issuer)) return false;
    set_serial(&key, serial);
    size_t b = bucket_of(s, &key);
    uint8_t tag = tag_of(&key);
    for (uint32_t i = s->first[b]; i < s->first[b + 1]; i++) {
        if (s->tags[i] != tag || !same_serial(&s->entries[i], &key)) continue;
        if (ret_reason) *ret_reason = s->entries[i].reason;
        return true;
    }
    return false;
}

size_t cs_revset_count(const cs_revset *s) {
    return s ? s->n : 0;
}
