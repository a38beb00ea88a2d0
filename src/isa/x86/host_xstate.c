/* SPDX-License-Identifier: MIT */
/*
 * The extended state of a host thread (XSAVE image, standard form) to and from the guest's x87 and vector registers.
 *
 * Where a component lies in the image is the host's CPUID leaf 0xd to say: AMD's and Intel's differ. It is asked
 * once: in a virtual machine CPUID takes tens of microseconds.
 *
 * Spec: SDM 1 10.5.1, 13.4, 13.5
 */
#include "isa/x86/host_xstate.h"

#include <cpuid.h>
#include <string.h>

enum { LEG_FTW = 4, LEG_FOP = 6, LEG_FIP = 8, LEG_FDP = 16, LEG_MXCSR = 24, LEG_ST = 32, LEG_XMM = 160, LEG_END = 512 };
enum { HEADER_BV = 512, AVX = 2, OPMASK = 5, ZMM_HI256 = 6, HI16_ZMM = 7 };

void xstate_layout_init(struct xstate_layout *layout)
{
    unsigned ecx, edx;
    for (unsigned n = 0; n < XSTATE_COMPONENTS; n++)
        if (n < AVX || !__get_cpuid_count(0xd, n, &layout->size[n], &layout->offset[n], &ecx, &edx))
            layout->size[n] = layout->offset[n] = 0;
}

/* Place of component n in the image, or NULL where the host has no such. */
static uint8_t *component(const struct xstate_layout *l, uint8_t *image, size_t len, unsigned n)
{
    return l->size[n] == 0 || (size_t)l->offset[n] + l->size[n] > len ? NULL : image + l->offset[n];
}

/* Bytes [from, from+size) of `nr` vector registers from `first` on. */
static void vectors(struct x86_fpu *f, uint8_t *image, unsigned first, unsigned nr, unsigned from, unsigned size, bool put)
{
    for (unsigned n = 0; image && n < nr; n++) {
        uint8_t *reg = f->zmm[first + n] + from;
        if (put)
            memcpy(image + n * size, reg, size);
        else
            memcpy(reg, image + n * size, size);
    }
}

static void move(const struct xstate_layout *l, uint8_t *image, size_t len, struct x86_fpu *f, uint64_t in_use, bool put)
{
    static const struct {
        uint8_t n, first, nr, from, size;
    } part[] = { { AVX, 0, 16, 16, 16 }, { ZMM_HI256, 0, 16, 32, 32 }, { HI16_ZMM, 16, 16, 0, 64 } };
    if (in_use & 2)
        vectors(f, image + LEG_XMM, 0, 16, 0, 16, put);
    for (unsigned k = 0; k < sizeof(part) / sizeof(part[0]); k++)
        if (in_use >> part[k].n & 1)
            vectors(f, component(l, image, len, part[k].n), part[k].first, part[k].nr, part[k].from, part[k].size, put);
    uint8_t *masks = in_use >> OPMASK & 1 ? component(l, image, len, OPMASK) : NULL;
    if (masks && put)
        memcpy(masks, f->k, sizeof(f->k));
    else if (masks)
        memcpy(f->k, masks, sizeof(f->k));
}

void xstate_get(const struct xstate_layout *l, const uint8_t *image, size_t len, struct x86_fpu *ret_fpu)
{
    struct x86_fpu *f = ret_fpu;
    uint64_t in_use = 3;
    if (len > LEG_END)
        memcpy(&in_use, image + HEADER_BV, 8);
    memset(f, 0, sizeof(*f)); /* what is not in use has its initial value */
    f->fcw = 0x37f;
    memcpy(&f->mxcsr, image + LEG_MXCSR, 4);
    if (in_use & 1) {
        memcpy(&f->fcw, image, 2);
        memcpy(&f->fsw, image + 2, 2);
        f->ftw = image[LEG_FTW];
        memcpy(&f->fop, image + LEG_FOP, 2);
        memcpy(&f->fip, image + LEG_FIP, 8);
        memcpy(&f->fdp, image + LEG_FDP, 8);
        for (unsigned n = 0; n < 8; n++)
            memcpy(f->st[n], image + LEG_ST + 16 * n, 10);
    }
    move(l, (uint8_t *)image, len, f, in_use, false); /* which reads only */
}

void xstate_put(const struct xstate_layout *l, uint8_t *image, size_t len, const struct x86_fpu *fpu)
{
    struct x86_fpu f = *fpu;
    uint64_t in_use = 3;
    for (unsigned n = AVX; len > LEG_END && n < XSTATE_COMPONENTS; n++)
        if ((n == AVX || n >= OPMASK) && component(l, image, len, n))
            in_use |= 1ULL << n;
    memcpy(image, &f.fcw, 2);
    memcpy(image + 2, &f.fsw, 2);
    image[LEG_FTW] = f.ftw;
    memcpy(image + LEG_FOP, &f.fop, 2);
    memcpy(image + LEG_FIP, &f.fip, 8);
    memcpy(image + LEG_FDP, &f.fdp, 8);
    memcpy(image + LEG_MXCSR, &f.mxcsr, 4);
    for (unsigned n = 0; n < 8; n++)
        memcpy(image + LEG_ST + 16 * n, f.st[n], 10);
    move(l, image, len, &f, in_use, true);
    if (len > LEG_END)
        memcpy(image + HEADER_BV, &in_use, 8);
}
