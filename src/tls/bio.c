/* libssl's end of the two buffers. */
#include "tls/tls_priv.h"

static int bio_read(BIO *b, char *p, size_t n, size_t *ret_n) {
    tls_conn *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    size_t have = c->in.n - c->in_at;
    if (have == 0) {
        *ret_n = 0;
        if (!c->eof) BIO_set_retry_read(b);
        return 0;
    }
    if (n > have) n = have;
    memcpy(p, c->in.p + c->in_at, n);
    c->in_at += n;
    if (c->in_at == c->in.n) {
        c->in_at = 0;
        c->in.n = 0;
    }
    *ret_n = n;
    return 1;
}

static int bio_write(BIO *b, const char *p, size_t n, size_t *ret_n) {
    tls_conn *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    *ret_n = 0;
    if (c->out_at > c->out.n / 2) { /* a peer that is always a little behind must not make it grow */
        cs_buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
    if (!cs_buf_add(&c->out, p, n)) return 0;
    *ret_n = n;
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr) {
    const tls_conn *c = BIO_get_data(b);
    (void)num, (void)ptr;
    switch (cmd) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP: return 1;
    case BIO_CTRL_EOF: return c->eof && c->in.n == c->in_at;
    case BIO_CTRL_PENDING: return (long)(c->in.n - c->in_at);
    default: return 0;
    }
}

static BIO_METHOD *method;

__attribute__((constructor)) static void make_method(void) {
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "countersign");
    if (method == NULL) return;
    (void)BIO_meth_set_read_ex(method, bio_read);
    (void)BIO_meth_set_write_ex(method, bio_write);
    (void)BIO_meth_set_ctrl(method, bio_ctrl);
}

BIO *tls_bio_new(tls_conn *c) {
    BIO *b = method != NULL ? BIO_new(method) : NULL;
    if (b == NULL) return NULL;
    BIO_set_data(b, c);
    BIO_set_init(b, 1);
    return b;
}
