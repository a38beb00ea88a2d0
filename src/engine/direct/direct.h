/* SPDX-License-Identifier: MIT */
/*
 * Engine `direct`: trap and emulate on the bare CPU, in ring 3.
 *
 * It runs any guest that lives below 0x7fffffffe000, and it is as wrong as Popek and Goldberg's theorem says it must be:
 * sensitive instructions that do not trap see and change the host's state (docs/direct.md).
 */
#ifndef DOPPEL_ENGINE_DIRECT_DIRECT_H
#define DOPPEL_ENGINE_DIRECT_DIRECT_H

#include "core/engine.h"

extern const struct engine_ops direct_engine_ops;

#endif
