/* SPDX-License-Identifier: MIT */
/*
 * Memory for tables that are filled everywhere soon after they were made: in the host's large pages where it has them, whose
 * first use costs a small part of what 512 small ones cost.
 */
#ifndef DOPPEL_BASE_PAGES_H
#define DOPPEL_BASE_PAGES_H

#include <stddef.h>

/* At least so many bytes of zeroes, aligned to 2 MiB; what is not touched takes no memory, rounded up to 2 MiB. NULL: there is
 * none.
 */
void *pages_new(size_t bytes);
/* Takes NULL. bytes: as given to pages_new(). */
void pages_free(void *p, size_t bytes);

#endif
