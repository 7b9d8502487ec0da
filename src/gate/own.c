/* What the gateway answers itself: its measurements. */
#include "gate/gate_priv.h"

void own_metrics(conn *c, const http_head *h) {
    CS_SCOPED(cs_buf) body = cs_buf_of(1024 * 1024), out = cs_buf_of(1200 * 1024);
    cs_err err;
    http_reply r = {.status = 200, .head_only = h->method_id == HTTP_HEAD, .date = cs_now(worker_clock(c->w))};
    bool get = h->method_id == HTTP_GET || h->method_id == HTTP_HEAD;
    r.close = !h->keep_alive || h->framing != HTTP_BODY_NONE;
    c->close_after = r.close;
    if (get && cs_view_eq_str(h->path, "/metrics")) {
        r.media = METRICS_MEDIA;
        (void)metrics_render(c->w->g->metrics, CS_VERSION, &body);
    } else if (get && cs_view_eq_str(h->path, "/healthz")) {
        r.media = "application/json";
        (void)cs_buf_add_str(&body, "{\"status\":\"ok\"}\n");
    } else {
        c->close_after = true;
        (void)cs_fail(&err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s", "/metrics and /healthz are here");
        request_refuse(c->x, &err);
        return;
    }
    r.body = cs_buf_view(&body);
    if (body.failed || !http_reply_add(&out, &r) || !wire_write(&c->wire, cs_buf_view(&out))) c->wire.broken = true;
    exchange_over(c->x);
    c->head_timer = false;
    if (r.close) conn_finish(c);
}
