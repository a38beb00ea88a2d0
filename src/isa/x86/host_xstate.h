/* SPDX-License-Identifier: MIT */
/*
 * The extended state of a host thread, or of a virtual CPU of the host's, as the host's XSAVE writes it.
 */
#ifndef DOPPEL_ISA_X86_HOST_XSTATE_H
#define DOPPEL_ISA_X86_HOST_XSTATE_H

#include <stddef.h>

#include "isa/x86/state.h"

enum { XSTATE_COMPONENTS = 8 };

/* Where this host keeps the components of the extended state; size 0: it has no such. */
struct xstate_layout {
    uint32_t offset[XSTATE_COMPONENTS], size[XSTATE_COMPONENTS]; /* bytes */
};

/* Asks the host's CPUID. */
void xstate_layout_init(struct xstate_layout *layout);
/* Between the standard XSAVE image of this host, len bytes, and our form. What is not in the image has its initial value. */
void xstate_get(const struct xstate_layout *l, const uint8_t *image, size_t len, struct x86_fpu *ret_fpu);
void xstate_put(const struct xstate_layout *l, uint8_t *image, size_t len, const struct x86_fpu *fpu);

#endif
