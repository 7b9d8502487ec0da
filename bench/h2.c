/* HTTP/2 as far as a load needs it: GETs side by side on one connection, each answer looked at for its status and its
 * end. Frames and header blocks by hand (RFC 9113, RFC 7541), so that the client costs little. */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum {
    STREAMS = 16,
    HEAD = 9,
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    GOAWAY = 7,
    END_STREAM = 1,
    ACK = 1
};

struct load_h2 {
    uint8_t head[HEAD], first[16]; /* of the frame that comes: its head, the beginning of its payload */
    size_t have, left, first_n;
    uint32_t next;           /* stream */
    uint64_t began[STREAMS]; /* by half the stream's number */
    uint8_t out[4096];
    size_t out_n;
    uint8_t block[300]; /* a request's header block */
    size_t block_n;
};

static void put(load_h2 *h, const void *p, size_t n) {
    if (h->out_n + n > sizeof h->out) die("h2: too much to say");
    memcpy(h->out + h->out_n, p, n);
    h->out_n += n;
}

static void frame(load_h2 *h, int type, int flags, uint32_t stream, const void *payload, size_t n) {
    const uint8_t head[HEAD] = {(uint8_t)(n >> 16),      (uint8_t)(n >> 8),      (uint8_t)n,
                                (uint8_t)type,           (uint8_t)flags,         (uint8_t)(stream >> 24),
                                (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    put(h, head, HEAD);
    put(h, payload, n);
}

static void ask(load_h2 *h) {
    h->began[h->next / 2 % STREAMS] = now_us();
    frame(h, HEADERS, 5, h->next, h->block, h->block_n); /* END_HEADERS, END_STREAM */
    h->next += 2;
}

load_h2 *h2_new(const load_options *o) {
    static const uint8_t window[4] = {0x3f, 0xff, 0, 0};
    load_h2 *h = calloc(1, sizeof *h);
    size_t n = strlen(o->name);
    if (h == NULL || n > 100) die("memory");
    h->block[h->block_n++] = 0x82; /* :method GET */
    h->block[h->block_n++] = 0x87; /* :scheme https */
    h->block[h->block_n++] = 0x84; /* :path / */
    h->block[h->block_n++] = 0x01; /* :authority, literal */
    h->block[h->block_n++] = (uint8_t)n;
    memcpy(h->block + h->block_n, o->name, n);
    h->block_n += n;
    put(h, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    frame(h, SETTINGS, 0, 0, "", 0);
    frame(h, 8, 0, 0, window, 4); /* WINDOW_UPDATE of the connection */
    h->next = 1;
    for (int i = 0; i < STREAMS; i++) ask(h);
    return h;
}

/* A whole frame. 1: an answer ended, *began says when its request began; 0; -1: not what was asked for. */
static int framed(load_h2 *h, uint64_t *began) {
    int type = h->head[3], flags = h->head[4];
    uint32_t stream = (uint32_t)h->head[5] << 24 | (uint32_t)h->head[6] << 16 | (uint32_t)h->head[7] << 8 | h->head[8];
    if (type == SETTINGS && (flags & ACK) == 0) frame(h, SETTINGS, ACK, 0, "", 0);
    if (type == RST_STREAM || type == GOAWAY) return -1;
    if (type == HEADERS && memchr(h->first, 0x88, h->first_n) == NULL) return -1; /* :status 200 */
    if ((type != HEADERS && type != DATA) || (flags & END_STREAM) == 0) return 0;
    *began = h->began[stream / 2 % STREAMS];
    ask(h);
    return 1;
}

int h2_take(load_h2 *h, const uint8_t *p, size_t n, void (*ended)(void *, uint64_t), void *arg) {
    while (n > 0) {
        if (h->have < HEAD) {
            h->head[h->have++] = *p++, n--;
            if (h->have < HEAD) continue;
            h->left = (size_t)h->head[0] << 16 | (size_t)h->head[1] << 8 | h->head[2];
            h->first_n = 0;
        }
        size_t k = h->left < n ? h->left : n;
        for (size_t i = 0; i < k && h->first_n < sizeof h->first; i++) h->first[h->first_n++] = p[i];
        p += k, n -= k, h->left -= k;
        if (h->left > 0) continue;
        uint64_t began = 0;
        int what = framed(h, &began);
        h->have = 0;
        if (what < 0) return -1;
        if (what > 0) ended(arg, began);
    }
    return 0;
}

int h2_say(load_h2 *h, SSL *ssl) {
    if (h->out_n == 0) return 1;
    int n = SSL_write(ssl, h->out, (int)h->out_n);
    if (n > 0) h->out_n = 0;
    return n;
}

void h2_free(load_h2 *h) {
    free(h);
}
