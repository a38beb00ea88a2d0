/* SPDX-License-Identifier: MIT */
/*
 * libnbd, which is loaded when the first disk needs it: with what it depends on (TLS, XML, Unicode) it takes longer to load than
 * all else of doppel, and few machines need it.
 */
#ifndef DOPPEL_BACKEND_NBD_LIB_H
#define DOPPEL_BACKEND_NBD_LIB_H

#include "base/error.h"

/* To be called before any function of libnbd.h. Before the sandbox, on the main thread. -ENOTSUP: it is not there. */
MUST_CHECK int nbd_lib_load(struct error *err);

#endif
