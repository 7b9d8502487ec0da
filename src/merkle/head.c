#include "merkle/head.h"

#include <stdlib.h>

#include "base/text.h"

#define DASH "\xe2\x80\x94 "
enum { RAW = 32, ED25519 = 1, SIGNATURE = 64 };

/* Ed25519's SubjectPublicKeyInfo up to the key's own 32 octets. @rfc 8410#4 */
static const uint8_t spki_head[HEAD_SPKI - RAW] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0};

static cs_status bad(cs_err *err, const char *why) {
    return cs_fail(err, CS_REFUSED, CS_R_LOG_HEAD_INVALID, "%s", why);
}

cs_status head_key_of(const char *origin, cs_view spki, head_key *ret, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1024);
    uint8_t hash[CS_SHA256_LEN];
    size_t n = strlen(origin);
    if (n == 0 || n >= sizeof ret->origin || strpbrk(origin, " +\n") != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "a log's name: %s", origin);
    if (spki.n != HEAD_SPKI || memcmp(spki.p, spki_head, sizeof spki_head) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "a log's key is Ed25519");
    memcpy(ret->origin, origin, n + 1);
    memcpy(ret->spki, spki.p, HEAD_SPKI);
    (void)cs_buf_addf(&b, "%s\n", origin);
    (void)cs_buf_add_byte(&b, ED25519);
    (void)cs_buf_add(&b, ret->spki + sizeof spki_head, RAW);
    TRY(cs_buf_ok(&b, "a log's key", err));
    TRY(cs_sha256(cs_buf_view(&b), hash, err));
    memcpy(ret->id, hash, HEAD_KEY_ID);
    return CS_OK;
}

bool head_key_add(cs_buf *b, const head_key *k) {
    uint8_t raw[1 + RAW] = {ED25519};
    memcpy(raw + 1, k->spki + sizeof spki_head, RAW);
    (void)cs_buf_addf(b, "%s+", k->origin);
    (void)cs_hex_add(b, cs_view_of(k->id, HEAD_KEY_ID));
    (void)cs_buf_add_byte(b, '+');
    return cs_base64_add(b, cs_view_of(raw, sizeof raw));
}

cs_status head_key_read(cs_view text, head_key *ret, cs_err *err) {
    char origin[HEAD_ORIGIN_MAX];
    uint8_t spki[HEAD_SPKI], id[HEAD_KEY_ID];
    size_t n = 0;
    CS_SCOPED(cs_buf) raw = cs_buf_of(256);
    text = cs_view_trim(text);
    const uint8_t *plus = text.n > 0 ? memchr(text.p, '+', text.n) : NULL;
    if (plus == NULL || (size_t)(plus - text.p) >= sizeof origin || text.n - (size_t)(plus - text.p) < 11)
        return bad(err, "a log's key is origin+id+base64");
    memcpy(origin, text.p, (size_t)(plus - text.p));
    origin[plus - text.p] = '\0';
    bool hex = cs_hex_decode(cs_view_of(plus + 1, 8), id, sizeof id, &n) && plus[9] == '+';
    cs_view code = cs_view_of(plus + 10, text.n - (size_t)(plus - text.p) - 10);
    if (!hex || !cs_base64_decode(code, false, &raw) || raw.n != 1 + RAW || raw.p[0] != ED25519)
        return bad(err, "a log's key is origin+id+base64 of an Ed25519 key");
    memcpy(spki, spki_head, sizeof spki_head);
    memcpy(spki + sizeof spki_head, raw.p + 1, RAW);
    TRY(head_key_of(origin, cs_view_of(spki, sizeof spki), ret, err));
    return memcmp(ret->id, id, sizeof id) == 0 ? CS_OK : bad(err, "the key's id is another key's");
}

bool head_key_claim_add(cs_buf *b, const head_key *k) {
    (void)cs_buf_add_str(b, "countersign audit log key v1\n");
    (void)head_key_add(b, k);
    return cs_buf_add_byte(b, '\n');
}

static bool add_text(cs_buf *b, const log_head *h, const head_key *k) {
    char at[CS_TIME_TEXT_MAX];
    (void)cs_buf_addf(b, "%s\n%llu\n", k->origin, (unsigned long long)h->size);
    (void)cs_base64_add(b, cs_view_of(h->root.at, sizeof h->root.at));
    return cs_buf_addf(b, "\ntime %s\n", cs_time_text(h->at, at));
}

cs_status head_sign(const log_head *h, const head_key *k, const cs_key *key, cs_buf *note, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(HEAD_NOTE_MAX);
    CS_SCOPED(cs_buf) sig = cs_buf_of(HEAD_KEY_ID + SIGNATURE);
    if (!add_text(&text, h, k)) return cs_buf_ok(&text, "a log's head", err);
    (void)cs_buf_add(&sig, k->id, HEAD_KEY_ID);
    TRY(cs_key_sign(key, cs_buf_view(&text), &sig, err));
    (void)cs_buf_add_view(note, cs_buf_view(&text));
    (void)cs_buf_addf(note, "\n" DASH "%s ", k->origin);
    (void)cs_base64_add(note, cs_buf_view(&sig));
    (void)cs_buf_add_byte(note, '\n');
    return cs_buf_ok(note, "a log's head", err);
}

/* The next line, without its end; false when there is none. */
static bool line(cs_view *left, cs_view *ret) {
    const uint8_t *end = left->n > 0 ? memchr(left->p, '\n', left->n) : NULL;
    if (end == NULL) return false;
    *ret = cs_view_of(left->p, (size_t)(end - left->p));
    *left = cs_view_of(end + 1, left->n - ret->n - 1);
    return true;
}

static bool number_of(cs_view text, uint64_t *ret) {
    uint64_t n = 0;
    if (text.n == 0 || text.n > 18 || (text.p[0] == '0' && text.n > 1)) return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return false;
        n = 10 * n + (uint64_t)(text.p[i] - '0');
    }
    *ret = n;
    return true;
}

static cs_status read_text(cs_view text, const head_key *k, log_head *ret, cs_err *err) {
    cs_view origin, size, root, at;
    CS_SCOPED(cs_buf) raw = cs_buf_of(64);
    if (!line(&text, &origin) || !line(&text, &size) || !line(&text, &root) || !line(&text, &at))
        return bad(err, "a head has four lines");
    if (!cs_view_eq_str(origin, k->origin)) return bad(err, "the head is another log's");
    bool ok = number_of(size, &ret->size) && cs_base64_decode(root, false, &raw) && raw.n == sizeof ret->root.at &&
              cs_view_starts(at, CS_VIEW_LIT("time ")) && cs_time_parse(cs_view_of(at.p + 5, at.n - 5), &ret->at);
    if (!ok) return bad(err, "records, root or time are not of their form");
    memcpy(ret->root.at, raw.p, sizeof ret->root.at);
    return CS_OK;
}

static bool signed_by(cs_view text, cs_view signature, const head_key *k) {
    CS_SCOPED(cs_buf) raw = cs_buf_of(512);
    cs_err ignored;
    size_t name = strlen(k->origin), head = sizeof DASH - 1;
    if (!cs_view_starts(signature, CS_VIEW_LIT(DASH)) || signature.n < head + name + 1) return false;
    cs_view who = cs_view_of(signature.p + head, name),
            code = cs_view_of(who.p + name + 1, signature.n - head - name - 1);
    if (!cs_view_eq_str(who, k->origin) || who.p[name] != ' ') return false;
    if (!cs_base64_decode(code, false, &raw) || raw.n != HEAD_KEY_ID + SIGNATURE) return false;
    if (memcmp(raw.p, k->id, HEAD_KEY_ID) != 0) return false;
    return cs_key_verify(cs_view_of(k->spki, HEAD_SPKI), text, cs_view_of(raw.p + HEAD_KEY_ID, SIGNATURE), &ignored) ==
           CS_OK;
}

cs_status head_read(cs_view note, const head_key *k, log_head *ret, cs_err *err) {
    cs_view left = note, one;
    if (note.n > HEAD_NOTE_MAX) return bad(err, "it is too long for a head");
    do {
        if (!line(&left, &one)) return bad(err, "no empty line stands before the signature");
    } while (one.n > 0);
    cs_view text = cs_view_of(note.p, note.n - left.n - 1); /* with its last line end, without the empty line */
    while (line(&left, &one))
        if (signed_by(text, one, k)) return read_text(text, k, ret, err);
    return bad(err, "it is not signed by the log's key");
}
