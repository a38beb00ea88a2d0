/* SPDX-License-Identifier: MIT */
/*
 * The table of RISC-V CPU models.
 */
#include "isa/riscv/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

static const char *const EXT_TEXT[] = {
#define X(name, text) [RISCV_EXT_##name] = (text),
#include "isa/riscv/features.def"
#undef X
};

static const struct riscv_profile PROFILE_MAX = { .has = {
#define X(name, text) [RISCV_EXT_##name] = true,
#include "isa/riscv/features.def"
#undef X
                                                  } };

static const struct riscv_profile PROFILE_GC = { .has = {
                                                     [RISCV_EXT_I] = true,
                                                     [RISCV_EXT_M] = true,
                                                     [RISCV_EXT_A] = true,
                                                     [RISCV_EXT_F] = true,
                                                     [RISCV_EXT_D] = true,
                                                     [RISCV_EXT_C] = true,
                                                     [RISCV_EXT_ZICSR] = true,
                                                     [RISCV_EXT_ZIFENCEI] = true,
                                                     [RISCV_EXT_ZICNTR] = true,
                                                     [RISCV_EXT_SSTC] = true,
                                                     [RISCV_EXT_SV48] = true,
                                                 } };

static const struct model {
    const char *name;
    const struct riscv_profile *profile;
} MODELS[] = { { "rv64", &PROFILE_MAX }, { "rv64gc", &PROFILE_GC }, { "max", &PROFILE_MAX } };

const struct riscv_profile *riscv_profile_default(void)
{
    return &PROFILE_MAX;
}

int riscv_profile_make(const char *name, struct riscv_profile *ret_profile, struct error *err)
{
    char known[64] = "";
    size_t at = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(MODELS); k++) {
        if (strcmp(name, MODELS[k].name) == 0) {
            *ret_profile = *MODELS[k].profile;
            return 0;
        }
        at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", MODELS[k].name);
    }
    return error_set(err, -EINVAL, "unknown CPU model '%s' for riscv64 (there is: %s)", name, known);
}

const char *riscv_ext_name(enum riscv_ext ext)
{
    return EXT_TEXT[ext];
}

bool riscv_ext_in_isa(enum riscv_ext ext)
{
    return ext != RISCV_EXT_SV48 && ext != RISCV_EXT_SV57;
}

size_t riscv_profile_isa(const struct riscv_profile *profile, char *text, size_t cap)
{
    size_t at = (size_t)snprintf(text, cap, "rv64");
    for (unsigned k = 0; k < RISCV_EXT_NR; k++)
        if (profile->has[k] && riscv_ext_in_isa((enum riscv_ext)k))
            at += (size_t)snprintf(at < cap ? text + at : NULL, at < cap ? cap - at : 0, "%s%s", EXT_TEXT[k][1] ? "_" : "",
                                   EXT_TEXT[k]);
    return at;
}

unsigned riscv_profile_va_bits(const struct riscv_profile *profile)
{
    return profile->has[RISCV_EXT_SV57] ? 57 : profile->has[RISCV_EXT_SV48] ? 48 : 39;
}

uint64_t riscv_profile_misa(const struct riscv_profile *profile)
{
    uint64_t misa = 2ULL << 62 | 1ULL << ('S' - 'A') | 1ULL << ('U' - 'A');
    for (unsigned k = 0; k < RISCV_EXT_NR; k++)
        if (profile->has[k] && !EXT_TEXT[k][1])
            misa |= 1ULL << (EXT_TEXT[k][0] - 'a');
    return misa;
}
