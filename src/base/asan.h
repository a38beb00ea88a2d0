/* SPDX-License-Identifier: MIT */
/*
 * What AddressSanitizer has to be told where we change stacks by ourselves. Nothing in other builds.
 */
#ifndef DOPPEL_BASE_ASAN_H
#define DOPPEL_BASE_ASAN_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define DOPPEL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DOPPEL_ASAN 1
#endif
#endif

#ifdef DOPPEL_ASAN
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
/* [low, low + len) is a stack that nothing uses now; forgets the variables of functions that ran on it. A longjmp does so for a
 * thread's own stack only ("ignoring requested __asan_handle_no_return"), and what stays is reported as an overflow of the
 * variables of functions that run there later. */
static inline void asan_forget_stack(void *low, size_t len)
{
    __asan_unpoison_memory_region(low, len);
}
#else
static inline void asan_forget_stack(void *low, size_t len)
{
    (void)low;
    (void)len;
}
#endif

#endif
