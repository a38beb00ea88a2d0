/* SPDX-License-Identifier: MIT */
/*
 * What guests/exits.c and its user program agree on.
 */
#ifndef DOPPEL_GUESTS_EXITS_H
#define DOPPEL_GUESTS_EXITS_H

enum { EXITS_NOTHING, EXITS_END, EXITS_SYSCALLS = 400 };

void exits_user_main(void);

#endif
