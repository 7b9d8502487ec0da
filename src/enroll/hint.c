/* When should a certificate be renewed? The same answer whatever the protocol it came by: after two thirds of its life,
 * or earlier, as an operator has set a window for it. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"

typedef struct asking {
    const char *serial;
    store_cert row;
    hint_about about;
    store_window window; /* the newest that fits; id 0: none does */
} asking;

static bool has_word(const char *words, const char *word) {
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

void hint_look(const store_cert *row, hint_about *ret) {
    CS_AUTO(cs_cert) leaf = NULL;
    cs_key_spec spec = CS_KEYSPEC_COUNT;
    cs_err ignored;
    *ret = (hint_about){.row = row, .key_type = ""};
    (void)snprintf(ret->tags, sizeof ret->tags, "%.*s", (int)row->tags.n, (const char *)row->tags.p);
    if (row->der.n > 0 && cs_cert_decode(row->der, &leaf, &ignored) == CS_OK && cs_key_spec_of(leaf->spki, &spec))
        ret->key_type = cs_key_spec_name(spec);
}

/* A key type's beginning stands for all that begin so: "rsa". */
bool hint_fits(const store_window *w, const hint_about *about) {
    const store_cert *row = about->row;
    return row->created <= w->created && (w->kind == CS_KIND_OTHER || w->kind == row->kind) &&
           (w->pattern[0] == '\0' || cs_text_fits(w->pattern, cs_view_str(row->name), false)) &&
           (w->profile[0] == '\0' || strcmp(w->profile, row->profile) == 0) &&
           (!w->has_issuer || memcmp(w->issuer, row->issuer, sizeof w->issuer) == 0) &&
           (w->key_type[0] == '\0' || strncmp(about->key_type, w->key_type, strlen(w->key_type)) == 0) &&
           (w->tag[0] == '\0' || has_word(about->tags, w->tag));
}

static cs_status consider(void *cls, const store_window *w, cs_err *err) {
    asking *q = cls;
    (void)err;
    if (q->window.id == 0 && hint_fits(w, &q->about)) q->window = *w;
    return CS_OK;
}

static cs_status run_get(void *cls, store *st, cs_err *err) {
    asking *q = cls;
    TRY(store_cert_by_serial(st, q->serial, &q->row, err));
    hint_look(&q->row, &q->about);
    q->row.der = q->row.tags = (cs_view){NULL, 0}; /* borrowed of this verb */
    return store_window_list(st, false, consider, q, err);
}

/* Wide enough that many who were issued at once do not come back at once: a twelfth of the life. */
static enroll_window by_age(const store_cert *row) {
    cs_time life = row->not_after - row->not_before, start = row->not_before + life / 3 * 2;
    return (enroll_window){.start = start, .end = start + life / 12 + CS_SEC};
}

/* Each certificate has a part of the window for itself, a twelfth, at a place that its hash decides: also clients that
 * come at the beginning of theirs come one after the other. */
static enroll_window by_window(const store_cert *row, const store_window *w) {
    uint32_t place = 0;
    for (int i = 0; i < 4; i++) place = place << 8 | row->sha256[i];
    cs_time part = w->spread / 12, start = w->begins + (cs_time)((double)(w->spread - part) * (place / 4294967296.0));
    return (enroll_window){.start = start, .end = start + part + CS_SEC, .id = w->id};
}

cs_status enroll_window_of(enroll *e, const char *serial, const char *issuer_skid, enroll_window *ret, cs_err *err) {
    asking q = {.serial = serial};
    char skid[2 * 64 + 1] = "";
    TRY(authority_read(e->a, run_get, &q, err));
    const authority_ca *ca = authority_ca_of(e->a, q.row.issuer);
    if (ca != NULL && ca->cert->skid.n <= 64) (void)cs_hex(ca->cert->skid, skid);
    bool known = issuer_skid == NULL || (ca != NULL && strcmp(skid, issuer_skid) == 0);
    if (q.row.status == STORE_INTENT || !known) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", serial);
    *ret = by_age(&q.row);
    if (q.window.id != 0) {
        enroll_window sooner = by_window(&q.row, &q.window);
        if (sooner.start < ret->start) *ret = sooner; /* never later than its age says */
    }
    if (q.row.status != STORE_ISSUED)
        *ret = (enroll_window){.start = q.row.revoked_at - CS_HOUR, .end = q.row.revoked_at};
    return CS_OK;
}
