/* RSA public keys that are weak by their numbers: what an attacker tries first. */
#include "keys/keys_priv.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>

enum { FERMAT_ROUNDS = 100 };

/* The odd primes up to 167 are those of the smallest keys that the flawed generator made; larger keys add to them. */
static const uint8_t small_primes[] = {3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
                                       47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
                                       107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
enum { SMALL_PRIMES = sizeof small_primes };

/* Is r a power of 65537 modulo p? */
static bool is_power(unsigned r, unsigned p) {
    unsigned at = 1;
    do {
        if (at == r) return true;
        at = at * (65537U % p) % p;
    } while (at != 1);
    return false;
}

/* Nemec and others, "The Return of Coppersmith's Attack" (2017): its primes, and so its moduli, are powers of 65537
 * modulo each of these. One other key in 2^28 is. */
static bool is_of_roca(const BIGNUM *n) {
    for (size_t i = 0; i < SMALL_PRIMES; i++)
        if (!is_power((unsigned)BN_mod_word(n, small_primes[i]), small_primes[i])) return false;
    return true;
}

/* No factor under 752: NIST SP 800-89, 5.3.3. Of a composite divisor a smaller prime one is found before it. */
static cs_status refuse_small_factor(const BIGNUM *n, cs_err *err) {
    for (unsigned d = 3; d < 752; d += 2)
        if (BN_mod_word(n, d) == 0)
            return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "RSA modulus is a multiple of %u", d);
    return CS_OK;
}

/* Floor of the square root, by Newton's method from above. */
static bool square_root(BIGNUM *root, const BIGNUM *n, BIGNUM *next, BN_CTX *ctx) {
    if (BN_is_zero(n)) return BN_zero(root), true;
    if (!BN_set_word(root, 1) || !BN_lshift(root, root, (BN_num_bits(n) + 1) / 2)) return false;
    for (;;) {
        if (!BN_div(next, NULL, n, root, ctx) || !BN_add(next, next, root) || !BN_rshift1(next, next)) return false;
        if (BN_cmp(next, root) >= 0) return true;
        if (!BN_copy(root, next)) return false;
    }
}

/* 1: n = a^2 - b^2 with a within FERMAT_ROUNDS of the root of n, so its primes are found at once; 0: not; -1: failed.
 */
static int primes_are_close(const BIGNUM *n, BN_CTX *ctx) {
    BN_CTX_start(ctx);
    BIGNUM *a = BN_CTX_get(ctx), *b2 = BN_CTX_get(ctx), *root = BN_CTX_get(ctx), *t = BN_CTX_get(ctx);
    int found = t && square_root(a, n, t, ctx) ? 0 : -1;
    for (int i = 0; found == 0 && i <= FERMAT_ROUNDS; i++) {
        if (!BN_sqr(b2, a, ctx) || !BN_sub(b2, b2, n)) found = -1;
        if (found == 0 && !BN_is_negative(b2)) {
            BN_ULONG low = BN_mod_word(b2, 64); /* squares end in one of 12 of 64 patterns */
            if (low == 0 || low == 1 || low == 4 || low == 9 || low == 16 || low == 17 || low == 25 || low == 33 ||
                low == 36 || low == 41 || low == 49 || low == 57) {
                if (!square_root(root, b2, t, ctx) || !BN_sqr(t, root, ctx))
                    found = -1;
                else if (BN_cmp(t, b2) == 0)
                    found = 1;
            }
        }
        if (found == 0 && !BN_add_word(a, 1)) found = -1;
    }
    BN_CTX_end(ctx);
    return found;
}

static cs_status check_rsa_numbers(const BIGNUM *n, const BIGNUM *e, cs_err *err) {
    int bits = BN_num_bits(n);
    if (bits < CS_RSA_BITS_MIN)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "RSA of %d bits, the least is %d", bits, CS_RSA_BITS_MIN);
    if (bits > CS_RSA_BITS_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "RSA of %d bits, the most is %d", bits, CS_RSA_BITS_MAX);
    if (!BN_is_odd(n)) return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "RSA modulus is even");
    if (!BN_is_odd(e)) return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "RSA exponent is even");
    if (BN_num_bits(e) < 17) return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "RSA exponent is under 65537");
    if (BN_num_bits(e) > 64) return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "RSA exponent over 64 bits");
    TRY(refuse_small_factor(n, err));
    if (is_of_roca(n))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK,
                       "RSA key of a flawed generator (ROCA, CVE-2017-15361): it can be factored");
    BN_CTX *ctx = BN_CTX_new();
    int close = ctx ? primes_are_close(n, ctx) : -1;
    BN_CTX_free(ctx);
    if (close < 0) return CS_NOMEM_ERR(err);
    if (close > 0) return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "RSA primes are close: factored at once");
    return CS_OK;
}

cs_status cs_key_rsa_check(EVP_PKEY *pkey, cs_err *err) {
    BIGNUM *n = NULL, *e = NULL;
    cs_status status;
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
        status = cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "RSA key without modulus or exponent");
    else
        status = check_rsa_numbers(n, e, err);
    BN_free(n);
    BN_free(e);
    return status;
}
