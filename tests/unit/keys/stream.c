#include "keys/stream.h"

#include "unit.h"

static cs_err err;

static void add_pieces(cs_stream *s, cs_view message) {
    for (size_t at = 0; at < message.n; at += 7)
        assert_ok(cs_stream_add(s, cs_view_of(message.p + at, message.n - at < 7 ? message.n - at : 7), &err));
}

static void a_message_in_pieces_is_signed_as_a_whole_one_by_every_kind_of_key(void **state) {
    static const uint8_t octets[] = "what is too long to be held at once, or would be if it were longer";
    const cs_view message = cs_view_of(octets, sizeof octets);
    for (int spec = 0; spec < CS_KEYSPEC_COUNT; spec++) {
        CS_AUTO(cs_key) key = NULL;
        CS_AUTO(cs_stream) signing = NULL;
        CS_AUTO(cs_stream) good = NULL;
        CS_AUTO(cs_stream) other = NULL;
        CS_SCOPED(cs_buf) signature = cs_buf_of(16 * 1024);
        if (cs_key_generate((cs_key_spec)spec, &key, &err) != CS_OK) continue; /* not of this libcrypto */
        assert_ok(cs_stream_sign_begin(key, &signing, &err));
        add_pieces(signing, message);
        assert_ok(cs_stream_sign_end(signing, &signature, &err));
        assert_ok(cs_key_verify(cs_key_spki(key), message, cs_buf_view(&signature), &err));
        assert_ok(cs_stream_verify_begin(cs_key_spki(key), &good, &err));
        add_pieces(good, message);
        assert_ok(cs_stream_verify_end(good, cs_buf_view(&signature), &err));
        assert_ok(cs_stream_verify_begin(cs_key_spki(key), &other, &err));
        add_pieces(other, cs_view_of(message.p, message.n - 1));
        assert_fails(cs_stream_verify_end(other, cs_buf_view(&signature), &err), CS_R_SIGNATURE_INVALID);
    }
}

static void many_signatures_of_one_key_are_good(void **state) {
    CS_AUTO(cs_key) key = NULL;
    const cs_view message = CS_VIEW_LIT("again and again");
    assert_ok(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &key, &err));
    for (int i = 0; i < 50; i++) {
        CS_SCOPED(cs_buf) signature = cs_buf_of(1024);
        assert_ok(cs_key_sign(key, message, &signature, &err));
        assert_ok(cs_key_verify(cs_key_spki(key), message, cs_buf_view(&signature), &err));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_in_pieces_is_signed_as_a_whole_one_by_every_kind_of_key),
        cmocka_unit_test(many_signatures_of_one_key_are_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
