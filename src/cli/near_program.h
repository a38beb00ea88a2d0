/* SPDX-License-Identifier: MIT */
/*
 * What lies near the program: in the source tree that it was built in, or where it is installed.
 */
#ifndef DOPPEL_CLI_NEAR_PROGRAM_H
#define DOPPEL_CLI_NEAR_PROGRAM_H

#include <stdbool.h>

/* Calls fn with the program's folder and some above it, until it says that it found something; whether it did. */
bool near_program(bool (*fn)(void *opaque, const char *folder), void *opaque);

#endif
