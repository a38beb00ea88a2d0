/* SPDX-License-Identifier: MIT */
/*
 * Unpacking, rounding and packing of binary16, binary32 and binary64.
 */
#include "isa/riscv/fp_num.h"

/* Fraction bits and the exponent of the smallest normal number. */
static const struct layout {
    int fraction, emin;
} LAYOUT[] = { [FP_H] = { 10, -14 }, [FP_S] = { 23, -126 }, [FP_D] = { 52, -1022 } };

struct fp_num fp_unpack(enum fp_format format, uint64_t a)
{
    const struct layout *l = &LAYOUT[format];
    int max = 2 * (1 - l->emin) + 1; /* the biased exponent of infinities and NaNs */
    uint64_t fraction = a & ((1ULL << l->fraction) - 1);
    int biased = (int)(a >> l->fraction) & max;
    struct fp_num n = { .sign = a & fp_sign_bit(format) };
    if (biased == max) {
        n.kind = !fraction ? FP_INF : fraction >> (l->fraction - 1) ? FP_QNAN : FP_SNAN;
        return n;
    }
    n.kind = biased || fraction ? FP_FINITE : FP_ZERO;
    n.sig = biased ? fraction | 1ULL << l->fraction : fraction;
    n.exp = (biased ? biased - 1 : 0) + l->emin - l->fraction;
    return n;
}

int fp_top_bit(u128 sig)
{
    uint64_t high = (uint64_t)(sig >> 64);
    return high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)sig);
}

u128 fp_jam(u128 sig, int shift)
{
    if (shift <= 0)
        return sig;
    if (shift > 127)
        return sig != 0;
    return sig >> shift | ((sig & (((u128)1 << shift) - 1)) != 0);
}

u128 fp_round_sig(u128 sig, int shift, bool sign, enum riscv_rm rm, bool *ret_inexact)
{
    u128 kept = shift > 127 ? 0 : sig >> shift, lost = shift > 127 ? sig : sig & (((u128)1 << shift) - 1);
    u128 half = shift == 0 || shift > 127 ? ~(u128)0 : (u128)1 << (shift - 1); /* sig < 2^126: beyond 127 it is below a half */
    bool up = false;
    *ret_inexact = lost != 0;
    switch (rm) {
    case RM_RNE: up = lost > half || (lost == half && (kept & 1)); break;
    case RM_RMM: up = lost >= half; break;
    case RM_RDN: up = lost && sign; break;
    case RM_RUP: up = lost && !sign; break;
    case RM_RTZ:
    case RM_DYN: break;
    }
    return kept + up;
}

static uint64_t overflow(enum fp_format format, bool sign, enum riscv_rm rm, uint8_t *flags)
{
    const struct layout *l = &LAYOUT[format];
    uint64_t infinity = (uint64_t)(2 * (1 - l->emin) + 1) << l->fraction;
    bool to_max = rm == RM_RTZ || (rm == RM_RDN && !sign) || (rm == RM_RUP && sign);
    *flags |= FFLAG_OF | FFLAG_NX;
    return (sign ? fp_sign_bit(format) : 0) | (infinity - to_max);
}

static uint64_t pack_finite(enum fp_format format, struct fp_num n, enum riscv_rm rm, uint8_t *flags)
{
    const struct layout *l = &LAYOUT[format];
    int e = n.exp + fp_top_bit(n.sig); /* n is 1.x * 2^e */
    int lsb = (e > l->emin ? e : l->emin) - l->fraction;
    bool inexact = false, unused;
    u128 sig;
    if (lsb <= n.exp)
        sig = n.sig << (n.exp - lsb);
    else
        sig = fp_round_sig(n.sig, lsb - n.exp, n.sign, rm, &inexact);
    uint64_t bits = (uint64_t)sig;
    if (e >= l->emin)
        bits += (uint64_t)(e - l->emin) << l->fraction; /* sig's leading one is the exponent's 1; a carry goes where it belongs */
    if (bits >> l->fraction >= 2 * (uint64_t)(1 - l->emin) + 1)
        return overflow(format, n.sign, rm, flags);
    if (inexact) {
        bool tiny = e < l->emin;
        /* with its full precision, would it reach the smallest normal number? */
        if (e == l->emin - 1 && e - l->fraction > n.exp)
            tiny = !(fp_round_sig(n.sig, e - l->fraction - n.exp, n.sign, rm, &unused) >> (l->fraction + 1));
        *flags |= FFLAG_NX | (tiny ? FFLAG_UF : 0);
    }
    return bits | (n.sign ? fp_sign_bit(format) : 0);
}

uint64_t fp_pack(enum fp_format format, struct fp_num n, enum riscv_rm rm, uint8_t *flags)
{
    const struct layout *l = &LAYOUT[format];
    uint64_t sign = n.sign ? fp_sign_bit(format) : 0;
    switch (n.kind) {
    case FP_ZERO: return sign;
    case FP_FINITE: return pack_finite(format, n, rm, flags);
    case FP_INF: return sign | (uint64_t)(2 * (1 - l->emin) + 1) << l->fraction;
    case FP_QNAN:
    case FP_SNAN: break;
    }
    return fp_nan(format);
}
