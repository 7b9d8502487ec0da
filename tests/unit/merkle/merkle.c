#include "unit.h"

#include <string.h>

#include "base/text.h"
#include "merkle/merkle.h"

/* The test leaves of Certificate Transparency's reference code, and the roots over the first n of them. */
static const char *const leaves[] = {
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
static const char *const roots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

enum { MANY = 70 };
static merkle_hash nodes[8][MANY]; /* by level and index */

static cs_status node(void *cls, unsigned level, uint64_t index, merkle_hash *ret, cs_err *err) {
    (void)cls, (void)err;
    assert_true(level < 8 && index < (uint64_t)MANY >> level);
    *ret = nodes[level][index];
    return CS_OK;
}

static void grow(merkle_edge *e, cs_view record) {
    cs_err err;
    merkle_hash leaf, done[MERKLE_LEVELS];
    unsigned n = 0;
    assert_ok(merkle_leaf(record, &leaf, &err));
    assert_ok(merkle_append(e, &leaf, done, &n, &err));
    for (unsigned l = 0; l < n; l++) nodes[l][(e->size >> l) - 1] = done[l];
}

static void the_roots_are_those_of_the_reference(void **state) {
    cs_err err;
    merkle_edge e = {.size = 0};
    merkle_hash root;
    char hex[65];
    assert_ok(merkle_root(&e, &root, &err));
    assert_string_equal(cs_hex(cs_view_of(root.at, 32), hex),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < 8; i++) {
        uint8_t record[16];
        size_t n = 0;
        assert_true(cs_hex_decode(cs_view_str(leaves[i]), record, sizeof record, &n));
        grow(&e, cs_view_of(record, n));
        assert_ok(merkle_root(&e, &root, &err));
        assert_string_equal(cs_hex(cs_view_of(root.at, 32), hex), roots[i]);
    }
}

static merkle_hash root_at[MANY + 1];

static void grow_many(void) {
    cs_err err;
    merkle_edge e = {.size = 0};
    for (uint8_t i = 0; i < MANY; i++) {
        grow(&e, cs_view_of(&i, 1));
        assert_ok(merkle_root(&e, &root_at[i + 1], &err));
    }
}

static void every_record_is_proven_in_every_tree_and_in_no_other(void **state) {
    cs_err err;
    grow_many();
    for (uint64_t size = 1; size <= MANY; size++)
        for (uint64_t i = 0; i < size; i++) {
            merkle_proof p;
            assert_ok(merkle_inclusion(node, NULL, i, size, &p, &err));
            assert_ok(merkle_inclusion_check(&nodes[0][i], i, size, &p, &root_at[size], &err));
            if (size > 1) {
                assert_fails(merkle_inclusion_check(&nodes[0][(i + 1) % size], i, size, &p, &root_at[size], &err),
                             CS_R_LOG_PROOF_INVALID);
                assert_fails(merkle_inclusion_check(&nodes[0][i], i, size, &p, &root_at[size - 1], &err),
                             CS_R_LOG_PROOF_INVALID);
                p.at[p.n / 2].at[7] ^= 1;
                assert_fails(merkle_inclusion_check(&nodes[0][i], i, size, &p, &root_at[size], &err),
                             CS_R_LOG_PROOF_INVALID);
            }
            p.n++;
            assert_fails(merkle_inclusion_check(&nodes[0][i], i, size, &p, &root_at[size], &err),
                         CS_R_LOG_PROOF_INVALID);
        }
}

static void every_tree_is_proven_to_begin_with_every_smaller_one(void **state) {
    cs_err err;
    grow_many();
    for (uint64_t size = 1; size <= MANY; size++)
        for (uint64_t first = 1; first <= size; first++) {
            merkle_proof p;
            merkle_hash other = root_at[first];
            other.at[0] ^= 1;
            assert_ok(merkle_consistency(node, NULL, first, size, &p, &err));
            assert_ok(merkle_consistency_check(first, &root_at[first], size, &root_at[size], &p, &err));
            assert_fails(merkle_consistency_check(first, &other, size, &root_at[size], &p, &err), CS_R_LOG_FORKED);
            assert_fails(merkle_consistency_check(first, &root_at[first], size, &other, &p, &err), CS_R_LOG_FORKED);
            if (p.n > 0) {
                p.n--;
                assert_fails(merkle_consistency_check(first, &root_at[first], size, &root_at[size], &p, &err),
                             CS_R_LOG_FORKED);
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_roots_are_those_of_the_reference),
        cmocka_unit_test(every_record_is_proven_in_every_tree_and_in_no_other),
        cmocka_unit_test(every_tree_is_proven_to_begin_with_every_smaller_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
