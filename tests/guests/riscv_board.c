/* SPDX-License-Identifier: MIT */
/*
 * A bare riscv64 kernel that looks at board `virt` from S-mode and says by the console what it found, one line a law: "name: ok".
 *
 * It starts at 0x80200000 with a0 = hart id, as SBI and the kernel's loader agree on. END says how it ends: 0 SBI power off, 1
 * SBI reset, 2 test finisher with status 7, 3 a loop that never ends. Compiled by clang for riscv64, without libc.
 */
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

struct ret {
    long error;
    u64 value;
};

__asm__(".section .text.start\n.globl _start\n_start:\n"
        "la sp, stack_top\n"
        "call guest_main\n"
        ".globl second_start\nsecond_start:\n"
        "mv sp, a1\n"
        "call second_main\n"
        ".balign 4\n.globl trap_entry\ntrap_entry:\n"
        "addi sp, sp, -64\nsd t0, 0(sp)\nsd t1, 8(sp)\n"
        "csrr t0, scause\nla t1, trap_cause\nsd t0, 0(t1)\n"
        "csrr t1, stval\nla t0, trap_value\nsd t1, 0(t0)\n"
        "la t0, trap_count\nld t1, 0(t0)\naddi t1, t1, 1\nsd t1, 0(t0)\n"
        "csrr t0, scause\nbltz t0, 1f\n"
        "csrr t1, sepc\naddi t1, t1, 4\ncsrw sepc, t1\nj 2f\n" /* our faulting instructions have 4 bytes */
        "1: csrw sie, zero\n"                                  /* an interrupt: seen, and off again */
        "2: ld t0, 0(sp)\nld t1, 8(sp)\naddi sp, sp, 64\nsret\n");

volatile u64 trap_cause, trap_value, trap_count;
volatile u32 second_hart, flag;
static u8 second_stack[4096] __attribute__((aligned(16)));
u8 stack[16384] __attribute__((aligned(16)));
__asm__(".globl stack_top\n.equ stack_top, stack + 16384\n");
void trap_entry(void);
void second_start(void);

enum {
    BASE = 0x10,
    TIME = 0x54494d45,
    IPI = 0x735049,
    RFENCE = 0x52464e43,
    HSM = 0x48534d,
    SRST = 0x53525354,
    DBCN = 0x4442434e
};
#define UART ((volatile u8 *)0x10000000UL)
#define PLIC ((volatile u32 *)0x0c000000UL)
#define VIRTIO ((volatile u32 *)0x10001000UL)
#define FINISHER ((volatile u32 *)0x100000UL)
#define NOWHERE ((volatile u32 *)0x50000000UL)

static struct ret sbi(u64 eid, u64 fid, u64 x, u64 y, u64 z)
{
    register u64 a0 __asm__("a0") = x, a1 __asm__("a1") = y, a2 __asm__("a2") = z, a6 __asm__("a6") = fid, a7 __asm__("a7") = eid;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
    return (struct ret){ (long)a0, a1 };
}

static u64 length(const char *s)
{
    u64 n = 0;
    while (s[n])
        n++;
    return n;
}

static void dbcn(const char *s)
{
    u64 left = length(s);
    while (left) {
        u64 n = sbi(DBCN, 0, left, (u64)s, 0).value;
        s += n;
        left -= n;
    }
}

static void uart(const char *s)
{
    for (; *s; s++) {
        while (!(UART[5] & 0x20))
            ;
        UART[0] = (u8)*s;
    }
}

static void say(const char *law, int holds)
{
    dbcn(law);
    dbcn(holds ? ": ok\n" : ": WRONG\n");
}

void second_main(u64 hart)
{
    (void)hart;
    flag = 1;
    while (flag != 2) /* until the first one's fence let it see this */
        ;
    __asm__ volatile("csrw sie, %0" ::"r"(2UL));
    u64 sip;
    do {
        __asm__ volatile("wfi\n\tcsrr %0, sip" : "=r"(sip));
    } while (!(sip & 2));
    flag = 3;
    (void)sbi(HSM, 1, 0, 0, 0);
    flag = 99; /* never: it stopped */
    for (;;)
        ;
}

static void more_harts(u64 self)
{
    u64 other = self + 1;
    say("a hart that does not exist is refused", sbi(HSM, 0, 64, (u64)second_start, 0).error == -3);
    if (sbi(HSM, 2, other, 0, 0).error)
        return; /* a machine with one hart */
    say("the second hart is stopped", sbi(HSM, 2, other, 0, 0).value == 1);
    say("hart_start is taken", sbi(HSM, 0, other, (u64)second_start, (u64)second_stack + sizeof(second_stack)).error == 0);
    while (flag != 1)
        ;
    say("a running hart cannot be started", sbi(HSM, 0, other, (u64)second_start, 0).error == -6);
    say("remote fences end", sbi(RFENCE, 1, 1UL << other, 0, 0).error == 0 && sbi(RFENCE, 0, 0, -1UL, 0).error == 0);
    flag = 2;
    say("an IPI is sent", sbi(IPI, 0, 1, other, 0).error == 0);
    while (flag != 3)
        ;
    while (sbi(HSM, 2, other, 0, 0).value != 1)
        ;
    say("it woke the hart, which stopped itself", flag == 3);
}

static void timer_interrupt(void)
{
    u64 now;
    __asm__ volatile("csrr %0, time" : "=r"(now));
    trap_count = 0;
    (void)sbi(TIME, 0, now + 20000, 0, 0); /* 2 ms */
    __asm__ volatile("csrw sie, %0\n\tcsrsi sstatus, 2" ::"r"(32UL));
    while (!trap_count)
        __asm__ volatile("wfi");
    u64 then;
    __asm__ volatile("csrci sstatus, 2\n\tcsrr %0, time" : "=r"(then));
    say("the timer interrupts after its time", trap_cause == (1UL << 63 | 5) && then - now >= 20000);
    (void)sbi(TIME, 0, -1UL, 0, 0);
}

/* The transmitter-empty interrupt of the UART by way of the PLIC. */
static void external_interrupt(void)
{
    const u32 context = 1; /* hart 0, S-mode */
    trap_count = 0;
    PLIC[10] = 1;
    PLIC[0x2000 / 4 + context * 0x20] = 1U << 10;
    PLIC[0x200000 / 4 + context * 0x400] = 0;
    __asm__ volatile("csrw sie, %0\n\tcsrsi sstatus, 2" ::"r"(512UL));
    UART[1] = 2;
    while (!trap_count)
        ;
    __asm__ volatile("csrci sstatus, 2");
    u32 source = PLIC[0x200000 / 4 + context * 0x400 + 1];
    UART[1] = 0;
    PLIC[0x200000 / 4 + context * 0x400 + 1] = source;
    say("the UART interrupts through the PLIC", trap_cause == (1UL << 63 | 9) && source == 10);
}

static void faults(void)
{
    trap_count = 0;
    __asm__ volatile(".option push\n\t.option norvc\n\tlw t0, 0(%0)\n\t.option pop" ::"r"(NOWHERE) : "t0");
    say("a load from nowhere faults", trap_count == 1 && trap_cause == 5 && trap_value == 0x50000000);
    __asm__ volatile(".word 0");
    say("an illegal instruction faults", trap_count == 2 && trap_cause == 2);
    __asm__ volatile("csrr t0, mstatus" ::: "t0");
    say("S-mode has no right to mstatus", trap_count == 3 && trap_cause == 2);
}

/* Sv39: a table that maps the first 512 GiB one to one by 1 GiB pages, but the second GiB to the third. */
static void paging(void)
{
    static u64 table[512] __attribute__((aligned(4096)));
    for (u64 n = 0; n < 8; n++)
        table[n] = (n << 30) >> 2 | 0xcf;
    table[5] = 0x80000000UL >> 2 | 0xcf;
    volatile u64 word = 0x1234;
    __asm__ volatile("sfence.vma\n\tcsrw satp, %0\n\tsfence.vma" ::"r"(8UL << 60 | (u64)table >> 12) : "memory");
    u64 seen = *(volatile u64 *)((u64)&word - 0x80000000UL + (5UL << 30));
    trap_count = 0;
    __asm__ volatile(".option push\n\t.option norvc\n\tlw t0, 0(%0)\n\t.option pop" ::"r"(9UL << 30) : "t0");
    __asm__ volatile("csrw satp, zero\n\tsfence.vma" ::: "memory");
    say("Sv39 translates", seen == 0x1234);
    say("what is not mapped faults", trap_count == 1 && trap_cause == 13 && trap_value == 9UL << 30);
}

void guest_main(u64 hart, u64 fdt)
{
    (void)fdt;
    __asm__ volatile("csrw stvec, %0" ::"r"(trap_entry));
    dbcn("hello by DBCN\n");
    uart("hello by UART\n");
    say("SBI is version 2.0", sbi(BASE, 0, 0, 0, 0).value == 2UL << 24);
    say("HSM is there, 0x999 is not", sbi(BASE, 3, HSM, 0, 0).value == 1 && sbi(BASE, 3, 0x999, 0, 0).value == 0);
    say("an unknown call is not supported", sbi(0x999, 0, 0, 0, 0).error == -2);
    say("DBCN refuses what is not RAM", sbi(DBCN, 0, 4, 0x1000, 0).error == -3);
    say("virtio-mmio slot 0 is an entropy source", VIRTIO[0] == 0x74726976 && VIRTIO[1] == 2 && VIRTIO[2] == 4);
    say("slot 7 is empty", VIRTIO[7 * 1024] == 0x74726976 && VIRTIO[7 * 1024 + 2] == 0);
    faults();
    paging();
    timer_interrupt();
    external_interrupt();
    more_harts(hart);
    dbcn("done\n");
#if END == 0
    (void)sbi(SRST, 0, 0, 0, 0);
#elif END == 1
    (void)sbi(SRST, 0, 1, 0, 0);
#elif END == 2
    *FINISHER = 7 << 16 | 0x3333;
#endif
    for (;;)
        ;
}
