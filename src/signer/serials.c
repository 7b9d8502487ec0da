#include "signer/serials.h"

#include <stdlib.h>

/* Multiply and fold both halves under secret odd keys: enough against chosen serials, since no answer shows a slot. */
static size_t slot_of(const serials *s, const uint8_t serial[CS_SERIAL_LEN]) {
    uint64_t half[2];
    memcpy(half, serial, sizeof half);
    unsigned __int128 a = (unsigned __int128)(half[0] ^ s->key[0]) * (half[1] ^ s->key[1]);
    uint64_t h = (uint64_t)a ^ (uint64_t)(a >> 64);
    h = (h ^ (h >> 32)) * (s->key[0] | 1);
    return (size_t)(h ^ (h >> 29)) & (s->cap - 1);
}

cs_status serials_init(serials *s, const cs_rng *rng, cs_err *err) {
    *s = (serials){.cap = 1024};
    TRY(cs_rng_fill(rng, s->key, sizeof s->key, err));
    s->slot = calloc(s->cap, sizeof *s->slot);
    return s->slot != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

void serials_free(serials *s) {
    free(s->slot);
    s->slot = NULL;
}

static bool is_free(const uint8_t slot[CS_SERIAL_LEN]) {
    return slot[0] == 0;
}

/* Where it is, or the free slot where it belongs. */
static size_t find(const serials *s, const uint8_t serial[CS_SERIAL_LEN]) {
    size_t i = slot_of(s, serial);
    while (!is_free(s->slot[i]) && memcmp(s->slot[i], serial, CS_SERIAL_LEN) != 0) i = (i + 1) & (s->cap - 1);
    return i;
}

bool serials_has(const serials *s, const uint8_t serial[CS_SERIAL_LEN]) {
    return !is_free(s->slot[find(s, serial)]);
}

static cs_status grow(serials *s, cs_err *err) {
    serials bigger = *s;
    bigger.cap = s->cap * 2;
    bigger.slot = calloc(bigger.cap, sizeof *bigger.slot);
    if (bigger.slot == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < s->cap; i++)
        if (!is_free(s->slot[i])) memcpy(bigger.slot[find(&bigger, s->slot[i])], s->slot[i], CS_SERIAL_LEN);
    free(s->slot);
    *s = bigger;
    return CS_OK;
}

cs_status serials_add(serials *s, const uint8_t serial[CS_SERIAL_LEN], cs_err *err) {
    if (serial[0] == 0) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "a serial number begins with zero");
    if ((s->n + 1) * 3 > s->cap * 2) TRY(grow(s, err));
    size_t i = find(s, serial);
    if (!is_free(s->slot[i])) return CS_OK;
    memcpy(s->slot[i], serial, CS_SERIAL_LEN);
    s->n++;
    return CS_OK;
}
