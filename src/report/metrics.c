#include "report/metrics.h"

#include <stdlib.h>

/* ---- the label table: every value that a label may have ---- */
typedef enum label {
    LABEL_NONE,
    LABEL_REASON,
    LABEL_LISTENER,
    LABEL_TLS,
    LABEL_STATUS,
    LABEL_DIRECTION,
    LABEL_OUTCOME
} label;

static const char *const listener_values[] = {"listener=\"https\"", "listener=\"http\"", "listener=\"metrics\"",
                                              "listener=\"tcp\""};
static const char *const tls_values[] = {"version=\"1.2\",resumed=\"false\"", "version=\"1.2\",resumed=\"true\"",
                                         "version=\"1.3\",resumed=\"false\"", "version=\"1.3\",resumed=\"true\""};
static const char *const status_values[] = {"status=\"1xx\"", "status=\"2xx\"", "status=\"3xx\"", "status=\"4xx\"",
                                            "status=\"5xx\""};
static const char *const direction_values[] = {"direction=\"in\"", "direction=\"out\""};
static const char *const outcome_values[] = {"outcome=\"done\"", "outcome=\"failed\""};
static const char *const no_values[] = {""};

enum {
    VALUES_NONE = 1,
    VALUES_REASON = CS_R_COUNT_,
    VALUES_LISTENER = 4,
    VALUES_TLS = 4,
    VALUES_STATUS = 5,
    VALUES_DIRECTION = 2,
    VALUES_OUTCOME = 2,
};
static const char *const *const label_values[] = {
    [LABEL_NONE] = no_values,           [LABEL_REASON] = NULL, /* the reasons table */
    [LABEL_LISTENER] = listener_values, [LABEL_TLS] = tls_values,
    [LABEL_STATUS] = status_values,     [LABEL_DIRECTION] = direction_values,
    [LABEL_OUTCOME] = outcome_values,
};

/* ---- the families and where each one's cells lie in a slab ---- */
typedef enum type { COUNTER, GAUGE, HISTOGRAM } type;

/* Upper bounds in microseconds; a handshake takes 0.1 ms to 10 s, a cached verdict 1 us. */
static const cs_time bounds[] = {10,    25,    50,     100,    250,    500,     1000,    2500,    5000,    10000,
                                 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
enum { BOUNDS = sizeof bounds / sizeof bounds[0], HISTOGRAM_CELLS = BOUNDS + 2 }; /* + the rest, + the sum */

#define CELLS_COUNTER(n) (n)
#define CELLS_GAUGE(n) (n)
#define CELLS_HISTOGRAM(n) HISTOGRAM_CELLS
typedef struct all_cells {
#define M(id, type, name, label, help) int64_t id[CELLS_##type(VALUES_##label)];
#include "report/metrics.def"
#undef M
} all_cells;

typedef struct family {
    const char *name, *help;
    type type;
    label label;
    unsigned values;
    size_t at; /* first cell */
} family;

static const family families[METRIC_COUNT_] = {
#define M(id, type, name, label, help)                                                                                 \
    [METRIC_##id] = {"countersign_" name, help,           type,                                                        \
                     LABEL_##label,       VALUES_##label, offsetof(all_cells, id) / sizeof(int64_t)},
#include "report/metrics.def"
#undef M
};

enum { CELLS = sizeof(all_cells) / sizeof(int64_t), CACHE_LINE = 64 };

struct metrics_slab {
    _Alignas(CACHE_LINE) _Atomic int64_t cell[CELLS]; /* no line is shared with another thread's slab */
};
struct metrics {
    unsigned slabs;
    metrics_slab *slab;
};

cs_status metrics_new(unsigned slabs, metrics **ret, cs_err *err) {
    CS_AUTO(metrics) m = calloc(1, sizeof *m);
    if (m == NULL) return CS_NOMEM_ERR(err);
    if (slabs == 0) slabs = 1;
    m->slab = aligned_alloc(CACHE_LINE, slabs * sizeof *m->slab);
    if (m->slab == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < slabs; i++)
        for (size_t c = 0; c < CELLS; c++) atomic_init(&m->slab[i].cell[c], 0);
    m->slabs = slabs;
    *ret = CS_TAKE(m);
    return CS_OK;
}

void metrics_free(metrics *m) {
    if (m == NULL) return;
    free(m->slab);
    free(m);
}

metrics_slab *metrics_slab_of(metrics *m, unsigned thread) {
    return &m->slab[thread < m->slabs ? thread : m->slabs - 1];
}

static size_t cell_of(metric which, unsigned value) {
    const family *f = &families[which];
    return f->at + (value < f->values ? value : f->values - 1);
}

/* One writer: a load and a store, both relaxed, are enough and cost no locked instruction. */
static void bump(_Atomic int64_t *cell, int64_t by) {
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + by, memory_order_relaxed);
}

void metrics_add(metrics_slab *s, metric which, unsigned value, int64_t by) {
    bump(&s->cell[cell_of(which, value)], by);
}

void metrics_set(metrics_slab *s, metric which, unsigned value, int64_t to) {
    atomic_store_explicit(&s->cell[cell_of(which, value)], to, memory_order_relaxed);
}

void metrics_time(metrics_slab *s, metric which, cs_time duration) {
    const family *f = &families[which];
    size_t bucket = 0;
    while (bucket < BOUNDS && duration > bounds[bucket]) bucket++;
    bump(&s->cell[f->at + bucket], 1);
    bump(&s->cell[f->at + BOUNDS + 1], duration);
}

static int64_t sum(const metrics *m, size_t cell) {
    int64_t total = 0;
    for (unsigned i = 0; i < m->slabs; i++) total += atomic_load_explicit(&m->slab[i].cell[cell], memory_order_relaxed);
    return total;
}

int64_t metrics_read(const metrics *m, metric which, unsigned value) {
    return sum(m, cell_of(which, value));
}

static void render_values(const metrics *m, const family *f, cs_buf *b) {
    for (unsigned v = 0; v < f->values; v++) {
        long long n = sum(m, f->at + v);
        if (f->label == LABEL_NONE)
            cs_buf_addf(b, "%s %lld\n", f->name, n);
        else if (f->label != LABEL_REASON)
            cs_buf_addf(b, "%s{%s} %lld\n", f->name, label_values[f->label][v], n);
        else if (n != 0)
            cs_buf_addf(b, "%s{reason=\"%s\"} %lld\n", f->name, v == 0 ? "none" : cs_reason_of((cs_reason)v)->name, n);
    }
}

static void render_histogram(const metrics *m, const family *f, cs_buf *b) {
    long long below = 0;
    for (size_t i = 0; i < BOUNDS; i++) {
        below += sum(m, f->at + i);
        cs_buf_addf(b, "%s_bucket{le=\"%g\"} %lld\n", f->name, (double)bounds[i] / 1e6, below);
    }
    below += sum(m, f->at + BOUNDS);
    cs_buf_addf(b, "%s_bucket{le=\"+Inf\"} %lld\n", f->name, below);
    cs_buf_addf(b, "%s_sum %.6f\n%s_count %lld\n", f->name, (double)sum(m, f->at + BOUNDS + 1) / 1e6, f->name, below);
}

bool metrics_render(const metrics *m, const char *version, cs_buf *b) {
    static const char *const type_names[] = {"counter", "gauge", "histogram"};
    cs_buf_addf(b,
                "# HELP countersign_build_info the version that runs\n# TYPE countersign_build_info gauge\n"
                "countersign_build_info{version=\"%s\"} 1\n",
                version);
    for (size_t i = 0; i < METRIC_COUNT_; i++) {
        const family *f = &families[i];
        cs_buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, type_names[f->type]);
        if (f->type == HISTOGRAM)
            render_histogram(m, f, b);
        else
            render_values(m, f, b);
    }
    return !b->failed;
}
