/* Messages as CMS: what is signed and sealed comes back; what is weak, changed or sealed to another does not, and how
 * it fails does not tell which of them it was. */
#include "unit.h"

#include "base/clock.h"
#include "base/rng.h"
#include "x509/build.h"
#include "x509/cms.h"
#include "x509/cms_message.h"
#include "x509/der_write.h"

#define OID_TEST CS_OID_LIT("\x2a\x03\x04")

typedef struct holder {
    cs_key *key;
    cs_cert *cert;
} holder;
static holder rsa, other, ec;

static void make_holder(cs_key_spec spec, const char *cn, holder *ret) {
    cs_err err;
    CS_SCOPED(cs_buf) name = cs_buf_of(256);
    cs_time start = 1790000000 * CS_SEC;
    assert_ok(cs_key_generate(spec, &ret->key, &err));
    assert_ok(cs_dn_build(&(cs_dn){.common_name = cn}, &name, &err));
    assert_ok(cs_self_signed_make(ret->key, cs_buf_view(&name), CS_VIEW_LIT("\x01\x02"), start, start + CS_DAY,
                                  &ret->cert, &err));
}

static void free_holder(holder *h) {
    cs_key_free(h->key);
    cs_cert_free(h->cert);
}

static int setup(void **state) {
    (void)state;
    make_holder(CS_KEYSPEC_RSA_2048, "one", &rsa);
    make_holder(CS_KEYSPEC_RSA_2048, "two", &other);
    make_holder(CS_KEYSPEC_ECDSA_P256, "three", &ec);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free_holder(&rsa);
    free_holder(&other);
    free_holder(&ec);
    return 0;
}

static void sign(const holder *by, const cs_view *content, cs_cms_digest digest, cs_buf *out) {
    cs_err err;
    const cs_cms_attr attr = {OID_TEST, CS_VIEW_LIT("\x13\x02hi")};
    const cs_cms_sign_ask ask = {
        .content = content, .key = by->key, .signer = by->cert, .attrs = &attr, .attr_count = 1, .digest = digest};
    assert_ok(cs_cms_sign(&ask, out, &err));
}

static void what_is_signed_is_read_with_its_signer_and_attributes(void **state) {
    static const cs_cms_digest digests[] = {CS_CMS_SHA256, CS_CMS_SHA384, CS_CMS_SHA512};
    (void)state;
    const cs_view content = CS_VIEW_LIT("what is said");
    cs_err err;
    for (size_t i = 0; i < 2 * sizeof digests / sizeof *digests; i++) {
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX);
        CS_SCOPED(cs_cms_signed) s = {.has_content = false};
        sign(i % 2 == 0 ? &rsa : &ec, &content, digests[i / 2], &der);
        assert_ok(cs_cms_signed_read(cs_buf_view(&der), false, &s, &err));
        assert_true(s.has_content && cs_view_eq(cs_buf_view(&s.content), content));
        assert_true(cs_view_eq(s.signer->der, (i % 2 == 0 ? &rsa : &ec)->cert->der));
        assert_int_equal(s.digest, digests[i / 2]);
        assert_true(cs_view_eq(cs_cms_attr_find(&s, OID_TEST), CS_VIEW_LIT("\x13\x02hi")));
        assert_int_equal(cs_cms_attr_find(&s, CS_OID_LIT("\x2a\x03\x05")).n, 0);
    }
}

static void no_content_and_an_empty_one_are_told_apart(void **state) {
    const cs_view empty = {(const uint8_t *)"", 0};
    (void)state;
    cs_err err;
    for (int i = 0; i < 2; i++) {
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX);
        CS_SCOPED(cs_cms_signed) s = {.has_content = false};
        sign(&rsa, i == 0 ? NULL : &empty, CS_CMS_SHA256, &der);
        assert_ok(cs_cms_signed_read(cs_buf_view(&der), false, &s, &err));
        assert_int_equal(s.has_content, i);
        assert_int_equal(s.content.n, 0);
    }
}

static void weak_digests_are_for_who_says_so(void **state) {
    static const cs_cms_digest digests[] = {CS_CMS_SHA1, CS_CMS_MD5};
    const cs_view content = CS_VIEW_LIT("old");
    (void)state;
    cs_err err;
    for (size_t i = 0; i < 2; i++) {
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX);
        CS_SCOPED(cs_cms_signed) refused = {.has_content = false}, read = {.has_content = false};
        sign(&rsa, &content, digests[i], &der);
        assert_fails(cs_cms_signed_read(cs_buf_view(&der), false, &refused, &err), CS_R_ALGORITHM_TOO_WEAK);
        assert_true(
            cs_view_eq(cs_cms_attr_find(&refused, OID_TEST), CS_VIEW_LIT("\x13\x02hi"))); /* to tell who asked */
        assert_ok(cs_cms_signed_read(cs_buf_view(&der), true, &read, &err));
    }
}

/* Whichever octet is changed, it is refused, or it was one that nobody signs: then it says the same. */
static void whatever_octet_is_changed_nothing_else_is_said(void **state) {
    const cs_view content = CS_VIEW_LIT("what is said");
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX);
    (void)state;
    cs_err err;
    unsigned refused = 0;
    sign(&rsa, &content, CS_CMS_SHA256, &der);
    for (size_t i = 0; i < der.n; i++) {
        CS_SCOPED(cs_cms_signed) s = {.has_content = false};
        der.p[i] ^= 0x04;
        if (cs_cms_signed_read(cs_buf_view(&der), false, &s, &err) != CS_OK) {
            refused++;
        } else {
            assert_true(cs_view_eq(cs_buf_view(&s.content), content));
            assert_true(cs_view_eq(cs_cms_attr_find(&s, OID_TEST), CS_VIEW_LIT("\x13\x02hi")));
        }
        der.p[i] ^= 0x04;
    }
    assert_true(refused > der.n / 2);
    CS_SCOPED(cs_cms_signed) cut = {.has_content = false}, behind = {.has_content = false};
    assert_fails(cs_cms_signed_read(cs_view_of(der.p, der.n - 1), false, &cut, &err), CS_R_MESSAGE_MALFORMED);
    (void)cs_buf_add_byte(&der, 0);
    assert_fails(cs_cms_signed_read(cs_buf_view(&der), false, &behind, &err), CS_R_MESSAGE_MALFORMED);
}

static void seal(cs_cms_cipher cipher, cs_view content, cs_buf *out) {
    cs_err err;
    assert_ok(cs_cms_seal(content, cipher, rsa.cert, out, &err));
}

static void what_is_sealed_is_opened_by_its_recipient_alone(void **state) {
    static const cs_cms_cipher ciphers[] = {CS_CMS_AES128, CS_CMS_AES192, CS_CMS_AES256, CS_CMS_3DES};
    const cs_view content = CS_VIEW_LIT("for one");
    (void)state;
    cs_err err;
    for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++) {
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX), open = cs_buf_secret(4096), not = cs_buf_secret(4096);
        CS_AUTO(cs_cms_sealed) s = NULL;
        bool weak = ciphers[i] == CS_CMS_3DES;
        seal(ciphers[i], content, &der);
        if (weak) assert_fails(cs_cms_sealed_read(cs_buf_view(&der), false, &s, &err), CS_R_ALGORITHM_TOO_WEAK);
        assert_ok(cs_cms_sealed_read(cs_buf_view(&der), weak, &s, &err));
        assert_int_equal(cs_cms_sealed_cipher(s), ciphers[i]);
        assert_true(cs_cms_sealed_is_to(s, rsa.cert));
        assert_false(cs_cms_sealed_is_to(s, other.cert));
        assert_ok(cs_cms_sealed_open(s, rsa.key, &open, &err));
        assert_true(cs_view_eq(cs_buf_view(&open), content));
        cs_status status = cs_cms_sealed_open(s, other.key, &not, &err);
        if (status == CS_OK) /* one in 256: the padding of nonsense looks right */
            assert_false(cs_view_eq(cs_buf_view(&not ), content));
        else
            assert_int_equal(err.reason, CS_R_ENVELOPE_UNREADABLE);
    }
    CS_SCOPED(cs_buf) none = cs_buf_of(CS_CMS_MESSAGE_MAX);
    assert_fails(cs_cms_seal(content, CS_CMS_AES128, ec.cert, &none, &err), CS_R_KEY_UNSUPPORTED);
}

/* Where the encrypted key begins: an OCTET STRING of 256 octets. */
static size_t key_at(const cs_buf *der) {
    for (size_t i = 0; i + 4 < der->n; i++)
        if (memcmp(der->p + i, "\x04\x82\x01\x00", 4) == 0) return i + 4;
    fail_msg("no encrypted key");
    return 0;
}

/* W: a padding that is no padding, a key of the wrong length, content whose padding is wrong: one reason, one detail.
 */
static void a_changed_key_and_a_changed_content_fail_alike(void **state) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX);
    char first[CS_DETAIL_MAX] = "";
    (void)state;
    cs_err err;
    seal(CS_CMS_AES128, CS_VIEW_LIT("0123456789abcdef0123456789abcdef"), &der);
    size_t key = key_at(&der), failed = 0;
    for (size_t i = 0; i < 64; i++) {
        CS_SCOPED(cs_buf) open = cs_buf_secret(4096);
        CS_AUTO(cs_cms_sealed) s = NULL;
        uint8_t *octet = i % 2 == 0 ? &der.p[key + 8 * (i / 2)] : &der.p[der.n - 1 - i / 2];
        *octet ^= 0x10;
        assert_ok(cs_cms_sealed_read(cs_buf_view(&der), false, &s, &err));
        if (cs_cms_sealed_open(s, rsa.key, &open, &err) != CS_OK) {
            if (failed++ == 0) memcpy(first, err.detail, sizeof first);
            assert_int_equal(err.reason, CS_R_ENVELOPE_UNREADABLE);
            assert_string_equal(err.detail, first);
        }
        *octet ^= 0x10;
    }
    assert_true(failed > 16);
}

static void a_bag_of_certificates_is_read_again(void **state) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CMS_MESSAGE_MAX);
    CS_SCOPED(cs_certs) bag = {.at = NULL};
    (void)state;
    cs_err err;
    assert_ok(cs_cms_certs_make((const cs_cert *const[]){rsa.cert, ec.cert}, 2, (cs_view){NULL, 0}, &der, &err));
    assert_ok(cs_cms_certs_read(cs_buf_view(&der), "bag", &bag, &err));
    assert_int_equal(bag.n, 2);
    assert_true(cs_view_eq(bag.at[0]->der, rsa.cert->der) && cs_view_eq(bag.at[1]->der, ec.cert->der));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_read_with_its_signer_and_attributes),
        cmocka_unit_test(no_content_and_an_empty_one_are_told_apart),
        cmocka_unit_test(weak_digests_are_for_who_says_so),
        cmocka_unit_test(whatever_octet_is_changed_nothing_else_is_said),
        cmocka_unit_test(what_is_sealed_is_opened_by_its_recipient_alone),
        cmocka_unit_test(a_changed_key_and_a_changed_content_fail_alike),
        cmocka_unit_test(a_bag_of_certificates_is_read_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
