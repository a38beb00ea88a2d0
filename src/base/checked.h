/* SPDX-License-Identifier: MIT */
/*
 * Overflow-checked sums and products (C23's stdckdint.h names, for C17), and small integer helpers.
 */
#ifndef DOPPEL_BASE_CHECKED_H
#define DOPPEL_BASE_CHECKED_H

/* *ret = a op b; true when the exact result does not fit. */
#define ckd_add(ret, a, b) __builtin_add_overflow((a), (b), (ret))
#define ckd_sub(ret, a, b) __builtin_sub_overflow((a), (b), (ret))
#define ckd_mul(ret, a, b) __builtin_mul_overflow((a), (b), (ret))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* align must be a power of two */
#define ALIGN_DOWN(x, align) ((x) & ~((__typeof__(x))(align)-1))
#define ALIGN_UP(x, align) ALIGN_DOWN((x) + (__typeof__(x))(align)-1, align)

#endif
