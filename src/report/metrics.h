/* report/metrics.h - counters, gauges and histograms that cost one relaxed store each: one slab a thread, no locks.
 * Owner: the process makes one metrics object and gives each thread its slab; a slab is written by its thread only and
 * read by whoever renders. Families and labels are fixed by metrics.def: nothing from outside becomes a label. */
#ifndef CS_REPORT_METRICS_H
#define CS_REPORT_METRICS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/clock.h"

typedef enum metric {
#define M(id, type, name, label, help) METRIC_##id,
#include "report/metrics.def"
#undef M
    METRIC_COUNT_
} metric;

/* Values of the labels; pass 0 where the label is NONE, a cs_reason where it is REASON. */
enum { METRIC_LISTENER_HTTPS, METRIC_LISTENER_HTTP, METRIC_LISTENER_METRICS, METRIC_LISTENER_TCP };
enum { METRIC_TLS12_FULL, METRIC_TLS12_RESUMED, METRIC_TLS13_FULL, METRIC_TLS13_RESUMED };
enum { METRIC_1XX, METRIC_2XX, METRIC_3XX, METRIC_4XX, METRIC_5XX }; /* status / 100 - 1 */
enum { METRIC_IN, METRIC_OUT };
enum { METRIC_DONE, METRIC_FAILED };

typedef struct metrics metrics;
typedef struct metrics_slab metrics_slab;

/* slabs: number of threads. CS_NOMEM. */
CS_MUST_USE cs_status metrics_new(unsigned slabs, metrics **ret, cs_err *err);
void metrics_free(metrics *m); /* after the threads have ended */
CS_AUTO_DEFINE(metrics)
metrics_slab *metrics_slab_of(metrics *m, unsigned thread);

/* By the slab's own thread only. A label out of range counts under its last value. */
void metrics_add(metrics_slab *s, metric which, unsigned label, int64_t by); /* gauges: by may be negative */
static inline void metrics_count(metrics_slab *s, metric which, unsigned label) {
    metrics_add(s, which, label, 1);
}
/* Gauges that one thread owns. What is rendered is the sum over the slabs. */
void metrics_set(metrics_slab *s, metric which, unsigned label, int64_t value);
/* Histograms. */
void metrics_time(metrics_slab *s, metric which, cs_time duration);

/* Any thread: the sum over the slabs. */
int64_t metrics_read(const metrics *m, metric which, unsigned label);

/* Prometheus text format 0.0.4, appended; series that are 0 and have a REASON label are left out. Media type below. */
bool metrics_render(const metrics *m, const char *version, cs_buf *b);
#define METRICS_MEDIA "text/plain; version=0.0.4; charset=utf-8"

#endif
