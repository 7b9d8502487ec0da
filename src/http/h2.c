/* Sessions of nghttp2: its callbacks become the handler's, our queues its data. */
#include "http/h2.h"

#include <stdlib.h>
#include <string.h>

#include "http/h2_priv.h"

/* What frames cost that bring no request nearer its answer. A browser that leaves a page resets a hundred streams; one
 * PING a second is busy. @cve CVE-2019-9512, CVE-2019-9515, CVE-2019-9518, CVE-2023-44487 */
enum {
    BURST = 1000,
    REFILL = 200, /* a second */
    COST_RESET = 5,
    COST_EMPTY = 5,
    COST_CONTROL = 2,
};

enum { QUEUE_LEAST = 8 * 1024 };

typedef struct stream {
    struct stream *prev, *next;
    http2 *h;
    int32_t id;
    void *owner;  /* NULL: nobody's any more */
    cs_buf queue; /* DATA to be sent */
    size_t at;
    cs_buf trailers;
    bool ended;    /* the queue is the last of it */
    bool deferred; /* nghttp2 waits to be told that there is more */
    bool full;     /* the writer waits for room */
    bool answered; /* asking: the final head has come */
    bool started;  /* serving: our head has gone */
} stream;

struct http2 {
    nghttp2_session *session;
    http2_handler on;
    bool serve, abused, settled;
    int64_t budget;
    cs_time refilled;
    stream *streams;
    unsigned open; /* of them */
    h2_block block;
    h2_fields fields;
};

/* One that we asked for is nghttp2's own only once its HEADERS have gone. */
static stream *stream_of(const http2 *h, int32_t id) {
    stream *s = nghttp2_session_get_stream_user_data(h->session, id);
    if (s != NULL || h->serve) return s;
    for (s = h->streams; s != NULL && s->id != id;) s = s->next;
    return s;
}

static stream *stream_new(http2 *h, int32_t id, void *owner) {
    stream *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    *s = (stream){.h = h, .id = id, .owner = owner, .next = h->streams};
    s->queue = cs_buf_of(4 * 1024 * 1024);
    s->trailers = cs_buf_of(CS_HTTP_HEADERS_MAX);
    if (h->streams != NULL) h->streams->prev = s;
    h->streams = s;
    h->open++;
    return s;
}

static void stream_free(stream *s) {
    s->h->open--;
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        s->h->streams = s->next;
    if (s->next != NULL) s->next->prev = s->prev;
    cs_buf_free(&s->queue);
    cs_buf_free(&s->trailers);
    free(s);
}

/* A peer that opens many streams and takes nothing makes us hold no more than one that opens a few. */
static size_t queue_most(const http2 *h) {
    size_t each = (size_t)HTTP2_QUEUE_ALL / (h->open > 0 ? h->open : 1);
    return each > HTTP2_QUEUE_HIGH ? (size_t)HTTP2_QUEUE_HIGH : each < QUEUE_LEAST ? (size_t)QUEUE_LEAST : each;
}

static void spend(http2 *h, int64_t cost) {
    h->budget -= cost;
    if (h->budget >= 0 || h->abused) return;
    h->abused = true;
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    http2 *h = user;
    h2_block_begin(&h->block);
    if (!h->serve || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    stream *s = stream_new(h, frame->hd.stream_id, NULL);
    if (s == NULL || nghttp2_session_set_stream_user_data(session, s->id, s) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user) {
    http2 *h = user;
    (void)session, (void)frame, (void)flags;
    h2_block_field(&h->block, cs_view_of(name, name_n), cs_view_of(value, value_n));
    return 0;
}

/* nghttp2 would leave the field out and go on: what one reader drops, another may read. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                             const uint8_t *value, size_t value_n, uint8_t flags, void *user) {
    (void)session, (void)frame, (void)name, (void)name_n, (void)value, (void)value_n, (void)flags, (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* Beyond the limits: what makes the parser of heads say so. */
static bool too_big(bool serve, cs_buf *text) {
    static const uint8_t x[64] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    (void)cs_buf_add_str(text, serve ? "GET / HTTP/1.1\r\nx: " : "HTTP/1.1 200 \r\nx: ");
    while (text->n <= CS_HTTP_HEADERS_MAX && cs_buf_add(text, x, sizeof x - 1)) {
    }
    return !text->failed;
}

static void take_head(http2 *h, stream *s, bool end) {
    CS_SCOPED(cs_buf) text = cs_buf_of(HTTP2_TEXT_MAX);
    bool ok = h->block.big ? too_big(h->serve, &text)
              : h->serve   ? h2_block_request(&h->block, end, &text)
                           : h2_block_response(&h->block, &text);
    void *owner = ok ? h->on.head(h->on.user, s->owner, s->id, cs_buf_view(&text), end) : NULL;
    if (h->serve) s->owner = owner;
    if (owner == NULL) (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    if (!h->serve && h->block.status >= 200) s->answered = true;
}

static void take_end(http2 *h, stream *s, bool trailers) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_HTTP_HEADERS_MAX);
    if (trailers && !h2_block_trailers(&h->block, &text)) cs_buf_clear(&text);
    if (s->owner != NULL) h->on.end(s->owner, cs_buf_view(&text));
}

/* Types that nobody here knows are let pass, not for ever. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user) {
    (void)session;
    if (hd->type > NGHTTP2_CONTINUATION) spend(user, COST_CONTROL);
    return 0;
}

static int on_unknown(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd, void *user) {
    (void)session, (void)payload, (void)hd, (void)user;
    return NGHTTP2_ERR_CANCEL; /* left out, as RFC 9113 5.5 has it */
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    http2 *h = user;
    stream *s = frame->hd.stream_id > 0 ? stream_of(h, frame->hd.stream_id) : NULL;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0, ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: {
        if (s == NULL) return 0;
        bool trailers = h->serve ? frame->headers.cat != NGHTTP2_HCAT_REQUEST : s->answered;
        if (!trailers) take_head(h, s, end);
        if (end) take_end(h, s, trailers);
        return 0;
    }
    case NGHTTP2_DATA:
        if (s != NULL && end) take_end(h, s, false);
        if (!end && frame->hd.length == 0) spend(h, COST_EMPTY);
        return 0;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
        if (!ack) spend(h, COST_CONTROL);
        h->settled = h->settled || (!ack && frame->hd.type == NGHTTP2_SETTINGS);
        return 0;
    case NGHTTP2_RST_STREAM: spend(h, h->serve ? COST_RESET : 0); return 0;
    case NGHTTP2_WINDOW_UPDATE: spend(h, frame->window_update.window_size_increment < 16 ? 1 : 0); return 0;
    default: spend(h, COST_CONTROL); return 0;
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user) {
    http2 *h = user;
    stream *s = stream_of(h, id);
    (void)flags;
    if (s != NULL && s->owner != NULL)
        h->on.data(s->owner, cs_view_of(p, n));
    else
        (void)nghttp2_session_consume(session, id, n);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
    http2 *h = user;
    stream *s = stream_of(h, id);
    (void)session;
    if (s == NULL) return 0;
    void *owner = s->owner;
    stream_free(s);
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    http2_fate fate = code == NGHTTP2_NO_ERROR         ? HTTP2_WHOLE
                      : code == NGHTTP2_REFUSED_STREAM ? HTTP2_REFUSED
                                                       : HTTP2_BROKEN;
    if (owner != NULL) h->on.closed(owner, fate);
    return 0;
}

/* A peer that breaks one stream after the other makes us reset them, at its own pace. @cve CVE-2025-8671 */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    http2 *h = user;
    (void)session;
    bool fault = frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR;
    if (fault && h->serve) spend(h, COST_RESET);
    return 0;
}

/* A request that was never sent: withdrawn, or too late. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int why, void *user) {
    http2 *h = user;
    (void)session, (void)why;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    stream *s = stream_of(h, frame->hd.stream_id);
    if (s == NULL) return 0;
    void *owner = s->owner;
    stream_free(s);
    if (owner != NULL) h->on.closed(owner, HTTP2_REFUSED);
    return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *user) {
    http2 *h = user;
    stream *s = source->ptr;
    size_t left = s->queue.n - s->at;
    if (n > left) n = left;
    if (n > 0) memcpy(buf, s->queue.p + s->at, n);
    s->at += n;
    left -= n;
    if (left == 0) {
        s->at = 0;
        if (s->queue.cap > 32 * 1024)
            cs_buf_free(&s->queue), s->queue = cs_buf_of(4 * 1024 * 1024);
        else
            cs_buf_clear(&s->queue);
    }
    if (s->full && left < queue_most(h) / 2) {
        s->full = false;
        if (s->owner != NULL) h->on.room(s->owner);
    }
    if (left == 0 && s->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailers.n > 0 && h2_fields_trailers(&h->fields, cs_buf_view(&s->trailers)) &&
            nghttp2_submit_trailer(session, id, h->fields.at, h->fields.n) == 0)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        return (ssize_t)n;
    }
    if (n > 0) return (ssize_t)n;
    s->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

__attribute__((constructor)) static void make_callbacks(void) {
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0) {
        callbacks = NULL;
        return;
    }
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, on_unknown);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++) /* or they would not be counted */
        nghttp2_option_set_user_recv_extension_type(options, (uint8_t)type);
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    nghttp2_option_set_max_outbound_ack(options, 100);
    nghttp2_option_set_max_settings(options, 32);
    nghttp2_option_set_peer_max_concurrent_streams(options, HTTP2_STREAMS);
    nghttp2_option_set_max_send_header_block_length(options, 256 * 1024);
}

static int greet(http2 *h) {
    const nghttp2_settings_entry serving[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CS_HTTP_HEADERS_MAX},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    const nghttp2_settings_entry asking[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, CS_HTTP_HEADERS_MAX},
    };
    int rc = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, h->serve ? serving : asking,
                                     h->serve ? sizeof serving / sizeof serving[0] : sizeof asking / sizeof asking[0]);
    if (rc == 0) rc = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, HTTP2_WINDOW_ALL);
    return rc;
}

cs_status http2_new(bool serve, const http2_handler *handler, http2 **ret, cs_err *err) {
    CS_AUTO(http2) h = calloc(1, sizeof *h);
    if (h == NULL || callbacks == NULL) return CS_NOMEM_ERR(err);
    h->serve = serve;
    h->on = *handler;
    h->budget = BURST;
    int rc = serve ? nghttp2_session_server_new2(&h->session, callbacks, h, options)
                   : nghttp2_session_client_new2(&h->session, callbacks, h, options);
    if (rc != 0 || greet(h) != 0) return CS_NOMEM_ERR(err);
    *ret = CS_TAKE(h);
    return CS_OK;
}

void http2_free(http2 *h) {
    if (h == NULL) return;
    while (h->streams != NULL) stream_free(h->streams);
    nghttp2_session_del(h->session);
    h2_block_free(&h->block);
    cs_buf_free(&h->fields.scratch);
    free(h);
}

cs_status http2_feed(http2 *h, cs_view in, cs_time now, cs_err *err) {
    if (now - h->refilled >= CS_SEC / 10) {
        int64_t more = (now - h->refilled) / (CS_SEC / REFILL);
        h->budget = more > BURST - h->budget ? BURST : h->budget + more;
        h->refilled = now;
    }
    ssize_t n = nghttp2_session_mem_recv(h->session, in.p, in.n);
    if (h->abused)
        return cs_fail(err, CS_REFUSED, CS_R_HTTP2_ABUSE, "%s", "resets, pings, settings or empty frames without end");
    if (n < 0) {
        bool flood = n == NGHTTP2_ERR_FLOODED;
        (void)nghttp2_session_terminate_session(h->session, flood ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
        return cs_fail(err, CS_REFUSED, flood ? CS_R_HTTP2_ABUSE : CS_R_HTTP_MALFORMED, "HTTP/2: %s",
                       nghttp2_strerror((int)n));
    }
    return CS_OK;
}

bool http2_out(http2 *h, cs_view *ret) {
    const uint8_t *p = NULL;
    ssize_t n = nghttp2_session_mem_send(h->session, &p);
    *ret = cs_view_of(p, n > 0 ? (size_t)n : 0);
    return n > 0;
}

bool http2_over(const http2 *h) {
    return nghttp2_session_want_read(h->session) == 0 && nghttp2_session_want_write(h->session) == 0;
}

bool http2_closing(const http2 *h) {
    return nghttp2_session_check_request_allowed(h->session) == 0;
}

void http2_leave(http2 *h) {
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}

void http2_stop(http2 *h) {
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
}

static nghttp2_data_provider provider_of(stream *s) {
    return (nghttp2_data_provider){.source = {.ptr = s}, .read_callback = on_read};
}

cs_status http2_ask(http2 *h, cs_view text, unsigned how, void *owner, int32_t *ret_stream, cs_err *err) {
    if (http2_spare(h) == 0) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s", "streams to the upstream");
    stream *s = stream_new(h, 0, owner);
    if (s == NULL) return CS_NOMEM_ERR(err);
    const nghttp2_data_provider body = provider_of(s);
    int32_t id = NGHTTP2_ERR_INVALID_ARGUMENT;
    if (h2_fields_request(&h->fields, text, how))
        id = nghttp2_submit_request(h->session, NULL, h->fields.at, h->fields.n, (how & HTTP2_END) != 0 ? NULL : &body,
                                    s);
    if (id <= 0) {
        stream_free(s);
        return cs_fail(err, CS_FAILED, CS_R_UPSTREAM_FAILED, "HTTP/2: %s", nghttp2_strerror(id));
    }
    s->id = *ret_stream = id;
    s->started = true;
    return CS_OK;
}

bool http2_settled(const http2 *h) {
    return h->settled;
}

bool http2_connects(const http2 *h) {
    return nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

unsigned http2_spare(const http2 *h) {
    if (nghttp2_session_check_request_allowed(h->session) == 0) return 0;
    uint32_t most = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), open = 0;
    if (most > HTTP2_STREAMS) most = HTTP2_STREAMS;
    for (const stream *s = h->streams; s != NULL && open < most; s = s->next) open++;
    return most - open;
}

bool http2_answer(http2 *h, int32_t id, cs_view text, bool end) {
    stream *s = stream_of(h, id);
    if (s == NULL || !h2_fields_response(&h->fields, text)) return false;
    if (h->fields.at[0].value[0] == '1')
        return nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, id, NULL, h->fields.at, h->fields.n, NULL) == 0;
    const nghttp2_data_provider body = provider_of(s);
    s->started = true;
    return nghttp2_submit_response(h->session, id, h->fields.at, h->fields.n, end ? NULL : &body) == 0;
}

static void resume(http2 *h, stream *s) {
    if (!s->deferred) return;
    s->deferred = false;
    (void)nghttp2_session_resume_data(h->session, s->id);
}

bool http2_write(http2 *h, int32_t id, cs_view data) {
    stream *s = stream_of(h, id);
    if (s == NULL) return false;
    if (s->at > s->queue.n / 2) {
        cs_buf_consume(&s->queue, s->at);
        s->at = 0;
    }
    if (!cs_buf_add_view(&s->queue, data)) return false;
    resume(h, s);
    return true;
}

bool http2_end(http2 *h, int32_t id, cs_view trailers) {
    stream *s = stream_of(h, id);
    if (s == NULL) return false;
    s->ended = true;
    (void)cs_buf_add_view(&s->trailers, trailers);
    resume(h, s);
    return true;
}

bool http2_room(http2 *h, int32_t id) {
    stream *s = stream_of(h, id);
    if (s == NULL) return true; /* what is written is thrown away */
    s->full = s->queue.n - s->at >= queue_most(h);
    return !s->full;
}

void http2_consumed(http2 *h, int32_t id, size_t n) {
    if (n > 0) (void)nghttp2_session_consume(h->session, id, n);
}

void http2_forget(http2 *h, int32_t id) {
    stream *s = stream_of(h, id);
    if (s != NULL) s->owner = NULL;
}

void http2_reset(http2 *h, int32_t id, bool internal) {
    stream *s = stream_of(h, id);
    if (s == NULL) return;
    s->owner = NULL;
    (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id,
                                    internal ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL);
}
