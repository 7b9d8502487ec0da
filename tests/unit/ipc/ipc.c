#include "unit.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ipc/feed.h"
#include "ipc/signing.h"

static const ipc_rule wall[] = {{7, 5}, {9, 0}, {0, 0}};

static void a_frame_comes_whole_or_not_yet_at_every_split(void **state) {
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_of(100);
    ipc_frame f;
    size_t used = 0;
    assert_true(ipc_put(&b, 7, CS_VIEW_LIT("hello")));
    for (size_t n = 0; n < b.n; n++) assert_int_equal(ipc_take(cs_view_of(b.p, n), wall, &f, &used, &err), CS_AGAIN);
    assert_ok(ipc_take(cs_buf_view(&b), wall, &f, &used, &err));
    assert_int_equal(f.type, 7);
    assert_int_equal(used, b.n);
    assert_true(cs_view_eq_str(f.payload, "hello"));
}

static void what_the_wall_does_not_hold_is_refused_before_it_arrives(void **state) {
    cs_err err;
    ipc_frame f;
    size_t used = 0;
    assert_fails(ipc_take(CS_VIEW_LIT("\0\0\0\2\0\10"), wall, &f, &used, &err), CS_R_WALL_VIOLATED);
    assert_fails(ipc_take(CS_VIEW_LIT("\0\0\0\10\0\7"), wall, &f, &used, &err), CS_R_WALL_VIOLATED);
    assert_fails(ipc_take(CS_VIEW_LIT("\377\377\377\377\0\7"), wall, &f, &used, &err), CS_R_WALL_VIOLATED);
    assert_fails(ipc_take(CS_VIEW_LIT("\0\0\0\1\0\7"), wall, &f, &used, &err), CS_R_WALL_VIOLATED);
    assert_fails(ipc_take(CS_VIEW_LIT("\0\0\0\3\0\11x"), wall, &f, &used, &err), CS_R_WALL_VIOLATED);
}

static void frames_cross_a_socket_and_silence_is_noticed(void **state) {
    cs_err err;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    CS_SCOPED(cs_buf) out = cs_buf_of(1000);
    CS_SCOPED(cs_buf) in = cs_buf_of(100000);
    ipc_frame f;
    size_t used = 0;
    ipc_put(&out, 7, CS_VIEW_LIT("one"));
    ipc_put(&out, 9, CS_VIEW_LIT(""));
    assert_ok(ipc_flush(fd[0], &out, 1000, CS_R_NETWORK_FAILED, &err));
    assert_ok(ipc_await(fd[1], &in, wall, 1000, CS_R_NETWORK_FAILED, &f, &used, &err));
    assert_true(cs_view_eq_str(f.payload, "one"));
    cs_buf_consume(&in, used);
    assert_ok(ipc_await(fd[1], &in, wall, 1000, CS_R_NETWORK_FAILED, &f, &used, &err));
    assert_int_equal(f.type, 9);
    cs_buf_consume(&in, used);
    assert_fails(ipc_await(fd[1], &in, wall, 10, CS_R_SIGNER_UNREACHABLE, &f, &used, &err), CS_R_SIGNER_UNREACHABLE);
    assert_ok(ipc_peer_check(fd[1], &err));
    (void)close(fd[0]);
    assert_fails(ipc_await(fd[1], &in, wall, 1000, CS_R_SIGNER_UNREACHABLE, &f, &used, &err), CS_R_SIGNER_UNREACHABLE);
    (void)close(fd[1]);
}

static void a_feed_entry_survives_the_way(void **state) {
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_of(1000);
    feed_entry e = {.sequence = 5, .serial = CS_VIEW_LIT("\1\2\3"), .at = -7, .reason = 4}, back;
    memset(e.issuer, 0xab, sizeof e.issuer);
    ipc_frame f;
    size_t used = 0;
    assert_true(feed_put(&b, &e));
    assert_ok(ipc_take(cs_buf_view(&b), feed_from_authority, &f, &used, &err));
    assert_ok(feed_read(f.payload, &back, &err));
    assert_true(back.sequence == 5 && back.at == -7 && back.reason == 4 && cs_view_eq(back.serial, e.serial));
    assert_memory_equal(back.issuer, e.issuer, 32);
    f.payload.n--;
    assert_fails(feed_read(f.payload, &back, &err), CS_R_MESSAGE_MALFORMED);
}

static void nobody_waits_for_one_that_does_not_read(void **state) {
    cs_err err;
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0); /* blocking: push does not trust in the flag */
    CS_SCOPED(cs_buf) out = cs_buf_of((size_t)16 * 1024 * 1024);
    assert_non_null(cs_buf_reserve(&out, (size_t)8 * 1024 * 1024));
    memset(out.p, 'x', (size_t)8 * 1024 * 1024);
    cs_buf_commit(&out, (size_t)8 * 1024 * 1024);
    cs_status status = CS_OK;
    while (status == CS_OK && out.n > 0) status = ipc_push(fd[0], &out, CS_R_NETWORK_FAILED, &err);
    assert_int_equal(status, CS_AGAIN);
    assert_true(out.n > 0 && out.n < (size_t)8 * 1024 * 1024);
    (void)close(fd[1]);
    assert_fails(ipc_push(fd[0], &out, CS_R_NETWORK_FAILED, &err), CS_R_NETWORK_FAILED);
    (void)close(fd[0]);
}

static void nobody_waits_at_a_full_listener(void **state) {
    cs_err err;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "/tmp/cs-unit-ipc-%d.sock", (int)getpid());
    (void)unlink(at.sun_path);
    int fds[16], n = 0, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 2), 0);
    while (n < 16 && ipc_connect(at.sun_path, CS_R_SIGNER_UNREACHABLE, &fds[n], &err) == CS_OK) n++;
    assert_true(n >= 2 && n < 16);
    assert_int_equal(err.reason, CS_R_SIGNER_UNREACHABLE);
    while (n > 0) (void)close(fds[--n]);
    (void)close(listener);
    (void)unlink(at.sun_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_comes_whole_or_not_yet_at_every_split),
        cmocka_unit_test(what_the_wall_does_not_hold_is_refused_before_it_arrives),
        cmocka_unit_test(frames_cross_a_socket_and_silence_is_noticed),
        cmocka_unit_test(a_feed_entry_survives_the_way),
        cmocka_unit_test(nobody_waits_for_one_that_does_not_read),
        cmocka_unit_test(nobody_waits_at_a_full_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
