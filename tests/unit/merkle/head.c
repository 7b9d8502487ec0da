#include "unit.h"

#include <string.h>

#include "merkle/head.h"

static cs_key *key, *other;
static head_key mine;

static int make(void **state) {
    cs_err err;
    assert_ok(cs_key_generate(CS_KEYSPEC_ED25519, &key, &err));
    assert_ok(cs_key_generate(CS_KEYSPEC_ED25519, &other, &err));
    assert_ok(head_key_of("corp.example/countersign-log", cs_key_spki(key), &mine, &err));
    return 0;
}

static int drop(void **state) {
    cs_key_free(key);
    cs_key_free(other);
    return 0;
}

static void a_head_is_read_as_it_was_signed_and_not_when_a_byte_is_another(void **state) {
    cs_err err;
    log_head was = {.size = 1234, .root = {{1, 2, 3}}, .at = 1700000000 * CS_SEC}, is;
    cs_buf note = cs_buf_of(HEAD_NOTE_MAX);
    assert_ok(head_sign(&was, &mine, key, &note, &err));
    assert_ok(head_read(cs_buf_view(&note), &mine, &is, &err));
    assert_true(is.size == was.size && is.at == was.at && merkle_same(&is.root, &was.root));
    for (size_t i = 0; i < note.n; i++) {
        note.p[i] ^= 1;
        assert_fails(head_read(cs_buf_view(&note), &mine, &is, &err), CS_R_LOG_HEAD_INVALID);
        note.p[i] ^= 1;
    }
    for (size_t n = 0; n < note.n; n++)
        assert_fails(head_read(cs_view_of(note.p, n), &mine, &is, &err), CS_R_LOG_HEAD_INVALID);
    cs_buf_free(&note);
}

static void another_key_or_another_log_is_refused(void **state) {
    cs_err err;
    log_head h = {.size = 1};
    head_key theirs, same_key;
    cs_buf note = cs_buf_of(HEAD_NOTE_MAX);
    assert_ok(head_key_of(mine.origin, cs_key_spki(other), &theirs, &err));
    assert_ok(head_key_of("other.example/countersign-log", cs_key_spki(key), &same_key, &err));
    assert_ok(head_sign(&h, &mine, key, &note, &err));
    assert_fails(head_read(cs_buf_view(&note), &theirs, &h, &err), CS_R_LOG_HEAD_INVALID);
    assert_fails(head_read(cs_buf_view(&note), &same_key, &h, &err), CS_R_LOG_HEAD_INVALID);
    cs_buf_free(&note);
}

static void a_key_as_text_comes_back(void **state) {
    cs_err err;
    head_key is;
    cs_buf text = cs_buf_of(1024);
    assert_true(head_key_add(&text, &mine));
    assert_ok(head_key_read(cs_buf_view(&text), &is, &err));
    assert_memory_equal(is.spki, mine.spki, sizeof is.spki);
    assert_string_equal(is.origin, mine.origin);
    for (size_t n = 0; n < text.n; n++) assert_true(head_key_read(cs_view_of(text.p, n), &is, &err) != CS_OK);
    cs_buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_read_as_it_was_signed_and_not_when_a_byte_is_another),
        cmocka_unit_test(another_key_or_another_log_is_refused),
        cmocka_unit_test(a_key_as_text_comes_back),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
