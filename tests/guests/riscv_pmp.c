/* SPDX-License-Identifier: MIT */
/*
 * A bare riscv64 guest that is its own firmware and locks itself out of memory by PMP. With -DLOCKOUT out of all of it: what is
 * left is a hart that faults for ever.
 *
 * Spec: volume II, version 1.12, 3.7
 */
#include "riscv_bare.h"

enum { R = 1, W = 2, X_RIGHT = 4, TOR = 8, NAPOT = 0x18, L = 0x80 };
enum { TO_U = 0, TO_S = 1 << 11, TO_M = 3 << 11 };

#ifdef LOCKOUT
void guest_main(u64 hart, u64 fdt)
{
    (void)hart;
    (void)fdt;
    put("locked out\n");
    __asm__ volatile("csrw pmpaddr0, %0\n\tcsrw pmpcfg0, %1" ::"r"(~0UL), "r"((u64)(L | NAPOT)));
    put("and still here: WRONG\n");
    power_off();
}
#else

static u32 page[4][1024] __attribute__((aligned(4096)));

/* Writes one byte of the configuration, and the address, of an entry below 8. */
static void set(u32 entry, u64 addr, u64 cfg)
{
    u64 old;
    switch (entry) {
    case 0: __asm__ volatile("csrw pmpaddr0, %0" ::"r"(addr)); break;
    case 1: __asm__ volatile("csrw pmpaddr1, %0" ::"r"(addr)); break;
    case 2: __asm__ volatile("csrw pmpaddr2, %0" ::"r"(addr)); break;
    case 3: __asm__ volatile("csrw pmpaddr3, %0" ::"r"(addr)); break;
    case 7: __asm__ volatile("csrw pmpaddr7, %0" ::"r"(addr)); break;
    }
    __asm__ volatile("csrr %0, pmpcfg0" : "=r"(old));
    __asm__ volatile("csrw pmpcfg0, %0" ::"r"((old & ~(0xffUL << 8 * entry)) | cfg << 8 * entry));
}

static u64 cfg(u32 entry)
{
    u64 v;
    __asm__ volatile("csrr %0, pmpcfg0" : "=r"(v));
    return v >> 8 * entry & 0xff;
}

/* An address register that says the page. */
static u64 of_page(const u32 *p)
{
    return (u64)p >> 2 | 0x1ff;
}

/* The causes that a load, a store and a jump give in that mode. */
static int gives(u64 mode, const u32 *where, u64 load, u64 store, u64 jump)
{
    in_mode(load_there, (u64)where, mode);
    if (trap_cause != load || (load == CAUSE_LOAD && trap_value != (u64)where))
        return 0;
    in_mode(store_there, (u64)where, mode);
    if (trap_cause != store || (store == CAUSE_STORE && trap_value != (u64)where))
        return 0;
    ((u32 *)where)[0] = 0x00000073; /* ecall; may fault, and then it is one already */
    __asm__ volatile("fence.i" ::: "memory");
    in_mode(jump_there, (u64)where, mode);
    return trap_cause == jump && (jump != CAUSE_FETCH || trap_value == (u64)where);
}

static void without_entries(void)
{
    say("without an entry S-mode cannot even fetch", (in_mode(only_call, 0, TO_S), trap_cause == CAUSE_FETCH));
    say("nor can U-mode", (in_mode(only_call, 0, TO_U), trap_cause == CAUSE_FETCH));
    say("M-mode can", (in_mode(only_call, 0, TO_M), trap_cause == CAUSE_ECALL + 3));
}

static void rights(void)
{
    const u64 s = CAUSE_ECALL + 1, m = CAUSE_ECALL + 3;
    set(7, ~0UL, NAPOT | R | W | X_RIGHT);
    say("an entry for everything opens it", gives(TO_S, page[0], s, s, s) && gives(TO_U, page[0], 8, 8, 8));
    set(0, of_page(page[0]), NAPOT);
    say("one before it counts", gives(TO_S, page[0], CAUSE_LOAD, CAUSE_STORE, CAUSE_FETCH) && gives(TO_S, page[1], s, s, s));
    say("M-mode is not bound by it", gives(TO_M, page[0], m, m, m));
    set(0, of_page(page[0]), NAPOT | R);
    say("read only", gives(TO_S, page[0], s, CAUSE_STORE, CAUSE_FETCH));
    set(0, of_page(page[0]), NAPOT | X_RIGHT);
    say("execute only", gives(TO_S, page[0], CAUSE_LOAD, CAUSE_STORE, s));
    set(0, of_page(page[0]), NAPOT | W);
    say("write without read is no value", (cfg(0) & 3) != W);
    set(0, 0, 0);
}

/* MPRV: M-mode's loads obey what binds the mode in MPP. */
static void mprv(void)
{
    set(0, of_page(page[0]), NAPOT);
    trap_count = 0;
    __asm__ volatile(
        ".option push\n\t.option norvc\n\tcsrc mstatus, %1\n\tcsrs mstatus, %2\n\tld t0, 0(%0)\n\tcsrc mstatus, %2\n\t"
        ".option pop" ::"r"(page[0]),
        "r"(3UL << 11), "r"(1UL << 17)
        : "t0", "memory");
    say("with MPRV M-mode is bound", trap_count == 1 && trap_cause == CAUSE_LOAD);
    set(0, 0, 0);
}

static void locks(void)
{
    u64 addr;
    page[1][0] = page[2][0] = 0x00000073;
    set(1, of_page(page[1]), L | NAPOT);
    say("a locked entry binds M-mode", gives(TO_M, page[1], CAUSE_LOAD, CAUSE_STORE, CAUSE_FETCH));
    set(1, of_page(page[3]), NAPOT | R | W | X_RIGHT);
    __asm__ volatile("csrr %0, pmpaddr1" : "=r"(addr));
    say("and stays",
        cfg(1) == (L | NAPOT) && addr == of_page(page[1]) && gives(TO_M, page[1], CAUSE_LOAD, CAUSE_STORE, CAUSE_FETCH));
    set(2, (u64)page[2] >> 2, 0);
    set(3, (u64)page[3] >> 2, L | TOR);
    set(2, 0, 0);
    __asm__ volatile("csrr %0, pmpaddr2" : "=r"(addr));
    say("a locked range locks its lower end", addr == (u64)page[2] >> 2);
    say("and binds M-mode", gives(TO_M, page[2], CAUSE_LOAD, CAUSE_STORE, CAUSE_FETCH));
    set(0, of_page(page[1]), NAPOT | R | W | X_RIGHT);
    say("an unlocked one before it frees M-mode", gives(TO_M, page[1], 11, 11, 11));
    set(0, 0, 0);
}

void guest_main(u64 hart, u64 fdt)
{
    (void)hart;
    (void)fdt;
    without_entries();
    rights();
    mprv();
    locks();
    power_off();
}
#endif
