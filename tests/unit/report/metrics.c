#include "unit.h"

#include <pthread.h>

#include "report/metrics.h"

static void sums_over_slabs(void **state) {
    cs_err err;
    CS_AUTO(metrics) m = NULL;
    assert_ok(metrics_new(2, &m, &err));
    metrics_count(metrics_slab_of(m, 0), METRIC_HANDSHAKES, METRIC_TLS13_FULL);
    metrics_add(metrics_slab_of(m, 1), METRIC_HANDSHAKES, METRIC_TLS13_FULL, 4);
    metrics_add(metrics_slab_of(m, 1), METRIC_CONNECTIONS_OPEN, METRIC_LISTENER_HTTPS, 3);
    metrics_add(metrics_slab_of(m, 0), METRIC_CONNECTIONS_OPEN, METRIC_LISTENER_HTTPS, -1);
    metrics_set(metrics_slab_of(m, 0), METRIC_REVOKED, 0, 17);
    assert_int_equal(metrics_read(m, METRIC_HANDSHAKES, METRIC_TLS13_FULL), 5);
    assert_int_equal(metrics_read(m, METRIC_CONNECTIONS_OPEN, METRIC_LISTENER_HTTPS), 2);
    assert_int_equal(metrics_read(m, METRIC_REVOKED, 0), 17);
}

static void renders_what_prometheus_reads(void **state) {
    cs_err err;
    CS_AUTO(metrics) m = NULL;
    CS_SCOPED(cs_buf) b = cs_buf_of(256 * 1024);
    assert_ok(metrics_new(1, &m, &err));
    metrics_slab *s = metrics_slab_of(m, 7); /* the last, when there are fewer */
    metrics_count(s, METRIC_HANDSHAKES_REFUSED, CS_R_REVOKED);
    metrics_time(s, METRIC_HANDSHAKE_SECONDS, 100);
    metrics_time(s, METRIC_HANDSHAKE_SECONDS, 101);
    metrics_time(s, METRIC_HANDSHAKE_SECONDS, 60 * CS_SEC);
    assert_true(metrics_render(m, "1.2.3", &b));
    const char *text = cs_buf_cstr(&b);
    assert_non_null(strstr(text, "countersign_build_info{version=\"1.2.3\"} 1\n"));
    assert_non_null(strstr(text, "# TYPE countersign_handshakes_refused_total "
                                 "counter\ncountersign_handshakes_refused_total{reason=\"revoked\"} 1\n# HELP"));
    assert_non_null(strstr(text, "countersign_handshakes_total{version=\"1.3\",resumed=\"true\"} 0\n"));
    assert_non_null(strstr(
        text,
        "countersign_handshake_seconds_bucket{le=\"5e-05\"} 0\ncountersign_handshake_seconds_bucket{le=\"0.0001\"} 1\n"
        "countersign_handshake_seconds_bucket{le=\"0.00025\"} 2\n"));
    assert_non_null(strstr(text,
                           "countersign_handshake_seconds_bucket{le=\"+Inf\"} 3\ncountersign_handshake_seconds_sum "
                           "60.000201\ncountersign_handshake_seconds_count 3\n"));
}

static void labels_out_of_range_stay_in_their_family(void **state) {
    cs_err err;
    CS_AUTO(metrics) m = NULL;
    assert_ok(metrics_new(1, &m, &err));
    metrics_count(metrics_slab_of(m, 0), METRIC_REQUESTS, 1000000);
    assert_int_equal(metrics_read(m, METRIC_REQUESTS, METRIC_5XX), 1);
    assert_int_equal(metrics_read(m, METRIC_REQUESTS_REFUSED, 0), 0);
}

static void *count_many(void *slab) {
    for (int i = 0; i < 100000; i++) metrics_count(slab, METRIC_REQUESTS, METRIC_2XX);
    return NULL;
}

static void threads_lose_nothing(void **state) {
    cs_err err;
    CS_AUTO(metrics) m = NULL;
    pthread_t t[2];
    assert_ok(metrics_new(2, &m, &err));
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, count_many, metrics_slab_of(m, i)), 0);
    for (unsigned i = 0; i < 2; i++) pthread_join(t[i], NULL);
    assert_int_equal(metrics_read(m, METRIC_REQUESTS, METRIC_2XX), 200000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_over_slabs),
        cmocka_unit_test(renders_what_prometheus_reads),
        cmocka_unit_test(labels_out_of_range_stay_in_their_family),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
