/* SPDX-License-Identifier: MIT */
/*
 * Where things stand in lockstep_test's guest, for its kernel (assembly) and its harness (C).
 *
 * One page table maps the program's window, and three upper-level entries reach it (low, high, and supervisor half), so that
 * every page has aliases. Its entries are never global. A second table maps the kernel.
 *
 * Four address spaces share all that. Each has a page table of its own for LS_V_SPACE, with data and small functions at other
 * places than in the others, and with global pages that are the same in all. A large page, in all, has all memory.
 */
#ifndef DOPPEL_TESTS_LOCKSTEP_LAYOUT_H
#define DOPPEL_TESTS_LOCKSTEP_LAYOUT_H

/* guest physical */
#define LS_P_KERNEL 0x20000 /* stubs and handlers */
#define LS_P_IDT 0x21000
#define LS_P_GDT 0x22000    /* and the TSS, half a page on */
#define LS_P_RESUME 0x23000 /* for each byte of the program, the offset of the instruction behind; 32 KiB */
#define LS_P_LOG 0x2b000    /* counters, then the last faults */
#define LS_P_IST1 0x2c000
#define LS_P_IST2 0x2d000
#define LS_P_COUNTERS 0x2e000
#define LS_P_CODE 0x30000
#define LS_P_DATA 0x40000
#define LS_P_FUNCTIONS 0x48000 /* 4 pages */
#define LS_P_END 0x4c000       /* of what is compared often */
#define LS_P_TABLES 0x100000
#define LS_P_SPACE_TABLES 0x10a000 /* LS_V_SPACE's page tables, one a space */
#define LS_P_LARGE_TABLE 0x10e000
#define LS_P_ROOTS 0x10f000 /* of space 1 and on: three levels each */
#define LS_P_TABLES_END 0x118000
#define LS_P_OTHER_DATA (0x200000 + LS_P_DATA) /* what the large page has there, changed */
#define LS_P_DEVICE 0x10000000                 /* registers, far beyond RAM */

/* linear */
#define LS_V_KERNEL 0xffffffff81200000 /* P_KERNEL.. in the same order */
#define LS_V_TABLE 0xffffffff81210000  /* the window's page table */
#define LS_V_SPACE_TABLES 0xffffffff81211000
#define LS_V_LARGE_TABLE 0xffffffff81215000
#define LS_V_WINDOW 0x40000000
#define LS_V_SPACE (LS_V_WINDOW + 0x200000)
#define LS_V_SPACE_AGAIN 0x1000000 /* the same again, so far behind: as far as the translator's table of code pages goes */
#define LS_V_LARGE 0x80000000
#define LS_V_DECOY (LS_V_WINDOW + 0x100000000) /* other data: where an address comes out that was not cut to 32 bits */
#define LS_V_WINDOW_HIGH 0x00007f0000000000
#define LS_V_WINDOW_SUPER 0xffff888000000000

#define LS_V_LOG (LS_V_KERNEL + LS_P_LOG - LS_P_KERNEL)
#define LS_V_RESUME (LS_V_KERNEL + LS_P_RESUME - LS_P_KERNEL)

/* pages of the window, in its order */
#define LS_W_CODE 1
#define LS_W_COUNTERS 8
#define LS_W_DATA 16 /* 16: see lockstep_machine.c */
#define LS_DATA_KINDS 16
#define LS_W_CODE_ALIAS 40 /* writable */
#define LS_CODE_PAGES 4
#define LS_CODE_BYTES (LS_CODE_PAGES * 4096)

/* address spaces, and pages of LS_V_SPACE: functions, data; the same, global; a function page behind these that is not */
#define LS_SPACES 4
#define LS_S_FUNCTIONS 0
#define LS_S_DATA 8
#define LS_S_GLOBAL_DATA 12
#define LS_S_GLOBAL_FUNCTIONS 16

/* in a function page; above LS_F_END there are NOPs up to what crosses the page's end */
#define LS_F_ADD 0x40
#define LS_F_ON 0x80
#define LS_F_TO_END 0xb0
#define LS_F_END 0xff0

/* in the log page */
#define LS_LOG_FAULTS 0
#define LS_LOG_SOFT 4
#define LS_LOG_SYSCALLS 8
#define LS_LOG_DONE 12
#define LS_LOG_WILD 16    /* where to go on when lost */
#define LS_LOG_RING 64    /* 64 entries of 32 bytes */
#define LS_LOG_KEEP 0x900 /* by PCID: what to add to CR3: 1 << 63 when its translations are good */
#define LS_LOG_DESC 0xa00 /* INVPCID's */
#define LS_PCIDS 13

/* selectors */
#define LS_CS 0x08
#define LS_SS 0x10
#define LS_USER_CS32 0x1b
#define LS_USER_SS 0x23
#define LS_USER_CS 0x2b
#define LS_CS32 0x30
#define LS_TSS 0x38

/* vectors */
#define LS_INT_LOG 0x80   /* counts, goes on */
#define LS_INT_PAUSE 0x81 /* halts: the harness compares */
#define LS_INT_END 0x82
#define LS_INT_IRQ 0x90

#endif
