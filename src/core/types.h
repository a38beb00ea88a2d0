/* SPDX-License-Identifier: MIT */
/*
 * Scalars with a meaning that every layer above base shares.
 */
#ifndef DOPPEL_CORE_TYPES_H
#define DOPPEL_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

typedef uint64_t gpa_t; /* guest physical address */
typedef uint64_t gva_t; /* guest virtual (x86: linear) address */

#define GPAGE_SHIFT 12
#define GPAGE_SIZE (1UL << GPAGE_SHIFT)
#define GPAGE_MASK (~(GPAGE_SIZE - 1))

#endif
