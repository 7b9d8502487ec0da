/* What the certificates of a verified path name, fetched: CRLs, their deltas, OCSP answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/verify.h"
#include "fetch/fetch.h"
#include "io/loop.h"
#include "x509/ocsp.h"
#include "x509/points.h"

typedef struct fetching {
    verify_fetches *all;
    loop *l;
    fetch *f;
    cs_crls *crls;
    cs_ocsps *ocsps;
    size_t left;
} fetching;

typedef struct one {
    fetching *of;
    verify_fetch *row;
    bool ocsp;
    cs_time began;
} one;

static void on_done(void *data, cs_status s, cs_buf *body, const cs_err *why) {
    one *o = data;
    cs_err err = *why;
    fetching *w = o->of;
    o->row->octets = body->n;
    o->row->took = cs_mono(cs_clock_system()) - o->began;
    if (s == CS_OK)
        s = o->ocsp ? cs_ocsps_read(w->ocsps, cs_buf_view(body), o->row->url, &err)
                    : cs_crls_take(w->crls, body, o->row->url, &err);
    if (s != CS_OK) o->row->err = err;
    if (--w->left == 0) loop_stop(w->l);
}

static bool asked_already(const verify_fetches *all, const char *url) {
    for (size_t i = 0; i + 1 < all->n; i++)
        if (strcmp(all->at[i].url, url) == 0) return true;
    return false;
}

/* An error is the row's: one that cannot be fetched keeps nobody from the others. */
static void start(fetching *w, one *o, cs_view url, const cs_cert *cert, const cs_cert *issuer) {
    verify_fetches *all = w->all;
    if (all->n == VERIFY_FETCHES_MAX || url.n >= sizeof all->at[0].url || memchr(url.p, 0, url.n)) return;
    verify_fetch *row = &all->at[all->n++];
    *row = (verify_fetch){.octets = 0};
    memcpy(row->url, url.p, url.n);
    if (!o->ocsp && asked_already(all, row->url)) {
        all->n--;
        return;
    }
    CS_SCOPED(cs_buf) request = cs_buf_of(4096);
    fetch_ask ask = {.url = row->url, .most = o->ocsp ? CS_OCSP_MAX : CS_CRL_MAX};
    o->of = w, o->row = row, o->began = cs_mono(cs_clock_system());
    cs_status s = o->ocsp ? cs_ocsp_request(cert, issuer, (cs_view){NULL, 0}, &request, &row->err) : CS_OK;
    if (o->ocsp) ask.body = cs_buf_view(&request), ask.content_type = "application/ocsp-request";
    if (s == CS_OK) s = fetch_start(w->f, &ask, on_done, o, &row->err);
    if (s == CS_OK) w->left++;
}

static void start_all(fetching *w, const cs_certs *chain, one ones[VERIFY_FETCHES_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i + 1 < chain->n; i++) {
        for (int kind = CS_POINT_OCSP; kind <= CS_POINT_DELTA; kind++) {
            cs_view urls[CS_POINTS_MAX];
            size_t count = cs_cert_points(chain->at[i], (cs_point)kind, urls);
            for (size_t k = 0; k < count && n < VERIFY_FETCHES_MAX; k++) {
                one *o = &ones[n++];
                *o = (one){.ocsp = kind == CS_POINT_OCSP};
                start(w, o, urls[k], chain->at[i], chain->at[i + 1]);
            }
        }
    }
}

cs_status verify_fetch_all(const cs_certs *chain, const addr_range *allow, unsigned allow_count, cs_crls *crls,
                           cs_ocsps *ocsps, verify_fetches *ret, cs_err *err) {
    CS_AUTO(loop) l = NULL;
    CS_AUTO(fetch) f = NULL; /* freed before the loop */
    const fetch_limits limits = {.allow = allow, .allow_count = allow_count};
    TRY(loop_new(cs_clock_system(), &l, err));
    TRY(fetch_new(l, &limits, &f, err));
    fetching w = {.all = ret, .l = l, .f = f, .crls = crls, .ocsps = ocsps};
    one *ones = calloc(VERIFY_FETCHES_MAX, sizeof *ones);
    if (ones == NULL) return CS_NOMEM_ERR(err);
    start_all(&w, chain, ones);
    if (w.left > 0) loop_run(l);
    free(ones);
    for (size_t i = 0; i < ret->n; i++)
        if (ret->at[i].err.reason != CS_R_NONE)
            (void)fprintf(stderr, "countersign verify: %s (%s): %s\n", cs_reason_of(ret->at[i].err.reason)->says,
                          cs_reason_of(ret->at[i].err.reason)->name, ret->at[i].err.detail);
    return CS_OK;
}
