/* SPDX-License-Identifier: MIT */
/*
 * What the tiny kernel and its user program agree on.
 */
#ifndef DOPPEL_GUESTS_TINY_USER_H
#define DOPPEL_GUESTS_TINY_USER_H

#include <stdint.h>

enum { SYS_EXIT, SYS_WRITE, SYS_ADD, SYS_FAULTS };
/* What the program's end is called when the machine's SYSCALL did not enter ring 0; its own statuses are below. */
enum { STATUS_NO_SYSCALL = 100 };
enum { USER_CALLS = 100, USER_HEAP_PAGES = 16 };
#define USER_HEAP 0x40200000UL
#define USER_STACK 0x40400000UL /* its end */
#define KERNEL_ADDRESS 0x200000UL

/* Every call by INT3; the kernel writes it before it starts the program. */
extern volatile uint8_t user_without_syscall;

void user_main(void);

#endif
