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

/* Extensions that models lack unless they are asked for, and those that follow from vlen. */
#define IS_VECTOR(e)                                                                                                             \
    ((e) == RISCV_EXT_V || (e) == RISCV_EXT_ZVBB || (e) == RISCV_EXT_ZVKB || (e) == RISCV_EXT_ZVFH || (e) == RISCV_EXT_ZVFHMIN)
#define IS_LENGTH(e) ((e) >= RISCV_EXT_ZVL128B && (e) <= RISCV_EXT_ZVL512B)

/* Not in the default model: what few guests ask for. */
#define IS_EXTRA(e) (IS_VECTOR(e) || (e) == RISCV_EXT_H)

static const struct riscv_profile PROFILE_RV64 = { .has = {
#define X(name, text) [RISCV_EXT_##name] = !IS_EXTRA(RISCV_EXT_##name) && !IS_LENGTH(RISCV_EXT_##name),
#include "isa/riscv/features.def"
#undef X
                                                   },
                                                   .vlen = RISCV_VLEN_MIN };

static const struct riscv_profile PROFILE_MAX = { .has = {
#define X(name, text) [RISCV_EXT_##name] = !IS_LENGTH(RISCV_EXT_##name) || RISCV_EXT_##name == RISCV_EXT_ZVL128B,
#include "isa/riscv/features.def"
#undef X
                                                  },
                                                  .vlen = RISCV_VLEN_MIN };

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
                                                 },
                                                 .vlen = RISCV_VLEN_MIN };

static const struct model {
    const char *name;
    const struct riscv_profile *profile;
} MODELS[] = { { "rv64", &PROFILE_RV64 }, { "rv64gc", &PROFILE_GC }, { "max", &PROFILE_MAX } };

/* Which extension needs which. */
static const struct {
    uint8_t ext, needs;
} NEEDS[] = {
    { RISCV_EXT_F, RISCV_EXT_ZICSR },      { RISCV_EXT_D, RISCV_EXT_F },         { RISCV_EXT_V, RISCV_EXT_D },
    { RISCV_EXT_ZFA, RISCV_EXT_F },        { RISCV_EXT_ZFH, RISCV_EXT_F },       { RISCV_EXT_ZVFHMIN, RISCV_EXT_V },
    { RISCV_EXT_ZVBB, RISCV_EXT_ZVKB },    { RISCV_EXT_ZVKB, RISCV_EXT_V },      { RISCV_EXT_ZVFH, RISCV_EXT_ZVFHMIN },
    { RISCV_EXT_ZVFH, RISCV_EXT_ZFH },     { RISCV_EXT_ZABHA, RISCV_EXT_A },     { RISCV_EXT_ZACAS, RISCV_EXT_A },
    { RISCV_EXT_ZICNTR, RISCV_EXT_ZICSR }, { RISCV_EXT_ZIHPM, RISCV_EXT_ZICSR }, { RISCV_EXT_SV57, RISCV_EXT_SV48 },
};

const struct riscv_profile *riscv_profile_default(void)
{
    return &PROFILE_RV64;
}

const struct riscv_profile *riscv_profile_max(void)
{
    return &PROFILE_MAX;
}

/* ---- what is asked for ---- */

static void switch_ext(struct riscv_profile *p, unsigned ext, bool on)
{
    p->has[ext] = on;
    for (unsigned k = 0; k < ARRAY_SIZE(NEEDS); k++) {
        unsigned other = on ? NEEDS[k].needs : NEEDS[k].ext;
        if ((on ? NEEDS[k].ext : NEEDS[k].needs) == ext && p->has[other] != on)
            switch_ext(p, other, on); /* what is needed by, or needs, this one */
    }
}

static void lengths(struct riscv_profile *p)
{
    for (unsigned k = 0; RISCV_EXT_ZVL128B + k <= RISCV_EXT_ZVL512B; k++)
        p->has[RISCV_EXT_ZVL128B + k] = p->has[RISCV_EXT_V] && p->vlen >= RISCV_VLEN_MIN << k;
}

static bool equals(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

static int set_vlen(struct riscv_profile *p, const char *value, size_t len, struct error *err)
{
    static const struct {
        const char *text;
        uint16_t vlen;
    } lens[] = { { "128", 128 }, { "256", 256 }, { "512", 512 } };
    for (unsigned k = 0; k < ARRAY_SIZE(lens); k++) {
        if (equals(value, len, lens[k].text)) {
            p->vlen = lens[k].vlen;
            return 0;
        }
    }
    return error_set(err, -EINVAL, "vlen=%.*s: there is 128, 256, 512", (int)len, value);
}

/* One of: +EXT, -EXT, EXT=on, EXT=off, vlen=N. */
static int apply(struct riscv_profile *p, const char *item, size_t len, struct error *err)
{
    bool sign = len && (*item == '+' || *item == '-'), on = sign && *item == '+';
    const char *name = item + sign, *equal = sign ? NULL : memchr(item, '=', len);
    size_t name_len = equal ? (size_t)(equal - item) : len - sign;
    const char *value = equal ? equal + 1 : NULL;
    size_t value_len = equal ? len - name_len - 1 : 0;
    if (value && equals(name, name_len, "vlen"))
        return set_vlen(p, value, value_len, err);
    if (value) {
        on = equals(value, value_len, "on") || equals(value, value_len, "true");
        if (!on && !equals(value, value_len, "off") && !equals(value, value_len, "false"))
            return error_set(err, -EINVAL, "'%.*s': neither on nor off", (int)len, item);
    }
    if (!value && !sign)
        return error_set(err, -EINVAL, "'%.*s' is not EXTENSION=on, EXTENSION=off or vlen=N", (int)len, item);
    for (unsigned k = 0; k < RISCV_EXT_NR; k++) {
        if (!equals(name, name_len, EXT_TEXT[k]) || IS_LENGTH(k))
            continue;
        if (k == RISCV_EXT_I || k == RISCV_EXT_ZICSR)
            return error_set(err, -EINVAL, "%s is always there", EXT_TEXT[k]);
        switch_ext(p, k, on);
        return 0;
    }
    return error_set(err, -EINVAL, "there is no extension '%.*s' to be switched", (int)name_len, name);
}

int riscv_profile_make(const char *text, struct riscv_profile *ret_profile, struct error *err)
{
    char known[64] = "";
    size_t at = 0, len = strcspn(text, ",");
    const struct riscv_profile *base = NULL;
    for (unsigned k = 0; k < ARRAY_SIZE(MODELS); k++) {
        if (equals(text, len, MODELS[k].name))
            base = MODELS[k].profile;
        at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", MODELS[k].name);
    }
    if (!base)
        return error_set(err, -EINVAL, "unknown CPU model '%.*s' for riscv64 (there is: %s)", (int)len, text, known);
    struct riscv_profile p = *base;
    while (text[len]) {
        text += len + 1;
        len = strcspn(text, ",");
        int r = apply(&p, text, len, err);
        if (r < 0)
            return r;
    }
    lengths(&p);
    *ret_profile = p;
    return 0;
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
