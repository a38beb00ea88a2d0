/* SPDX-License-Identifier: MIT */
/*
 * Engine `bt`: binary translation. Hot blocks run as host code, the rest is interpreted.
 */
#ifndef DOPPEL_ENGINE_BT_H
#define DOPPEL_ENGINE_BT_H

#include "core/engine.h"

extern const struct engine_ops bt_engine_ops;

#endif
