/* SPDX-License-Identifier: MIT */
/*
 * Numbers that whoever runs a test may give it by an environment variable: another seed, more cases.
 */
#ifndef DOPPEL_TESTS_SUPPORT_ENV_NUMBER_H
#define DOPPEL_TESTS_SUPPORT_ENV_NUMBER_H

#include <stdint.h>
#include <stdlib.h>

/* The variable's value, decimal or 0x...; `otherwise` where it is not set, or empty. */
static inline uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

#endif
