/* SPDX-License-Identifier: MIT */
/*
 * One instruction on the host CPU itself: see host_native.h.
 *
 * The context stands at a fixed low address, so the assembly needs no register to find it. A fault's signal handler
 * notes the vector and goes on at native_exit with the registers as they were.
 * Spec: SDM 1 13.4 (XSAVE area), CPUID leaf 0xd for the host's own offsets
 */
#include "host_native.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { COMPONENTS = 8, AREA_SIZE = 4096, XSAVE_MASK = 0xe7 };

struct context {
    uint64_t gpr[16];
    uint64_t rflags;   /* 128 */
    uint64_t host_rsp; /* 136 */
    uint64_t code;     /* 144 */
    uint64_t trap;
    uint64_t rip;
    uint8_t pad[88];
    uint8_t area[AREA_SIZE] __attribute__((aligned(64))); /* 256 */
};
_Static_assert(offsetof(struct context, area) == 256, "the assembly below knows the offsets");

void native_enter(void);
extern const uint8_t native_exit[];

/* AT&T; 0x10800000 is NATIVE_CONTEXT. */
__asm__(".text\n"
        ".globl native_enter\n"
        "native_enter:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  mov %rsp, 0x10800000+136\n"
        "  mov $0xe7, %eax; xor %edx, %edx\n"
        "  xrstor64 0x10800000+256\n"
        "  pushq 0x10800000+128; popfq\n"
        "  mov 0x10800000+0, %rax\n  mov 0x10800000+8, %rcx\n"
        "  mov 0x10800000+16, %rdx\n mov 0x10800000+24, %rbx\n"
        "  mov 0x10800000+32, %rsp\n mov 0x10800000+40, %rbp\n"
        "  mov 0x10800000+48, %rsi\n mov 0x10800000+56, %rdi\n"
        "  mov 0x10800000+64, %r8\n  mov 0x10800000+72, %r9\n"
        "  mov 0x10800000+80, %r10\n mov 0x10800000+88, %r11\n"
        "  mov 0x10800000+96, %r12\n mov 0x10800000+104, %r13\n"
        "  mov 0x10800000+112, %r14\n mov 0x10800000+120, %r15\n"
        "  jmp *0x10800000+144\n"
        ".globl native_exit\n"
        "native_exit:\n"
        "  mov %rax, 0x10800000+0\n  mov %rcx, 0x10800000+8\n"
        "  mov %rdx, 0x10800000+16\n mov %rbx, 0x10800000+24\n"
        "  mov %rsp, 0x10800000+32\n mov %rbp, 0x10800000+40\n"
        "  mov %rsi, 0x10800000+48\n mov %rdi, 0x10800000+56\n"
        "  mov %r8, 0x10800000+64\n  mov %r9, 0x10800000+72\n"
        "  mov %r10, 0x10800000+80\n mov %r11, 0x10800000+88\n"
        "  mov %r12, 0x10800000+96\n mov %r13, 0x10800000+104\n"
        "  mov %r14, 0x10800000+112\n mov %r15, 0x10800000+120\n"
        "  mov 0x10800000+136, %rsp\n"
        "  pushfq; popq 0x10800000+128\n"
        "  cld\n"
        "  mov $0xe7, %eax; xor %edx, %edx\n"
        "  xsave64 0x10800000+256\n"
        "  fninit\n"
        "  push $0x1f80; ldmxcsr (%rsp); pop %rax\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n");

static struct context *const context = (struct context *)NATIVE_CONTEXT;
static uint8_t *const code = (uint8_t *)NATIVE_RIP;
static uint32_t component_at[COMPONENTS]; /* in the host's standard form; 0: absent */
static uint64_t enabled;                  /* components of XSAVE_MASK the host has */
static struct sigaction before[65];

/* ---- signals ---- */

static void on_signal(int sig, siginfo_t *info, void *opaque)
{
    greg_t *regs = ((ucontext_t *)opaque)->uc_mcontext.gregs;
    if ((uint64_t)regs[REG_RIP] - NATIVE_CODE < 4096) {
        context->trap = (uint64_t)regs[REG_TRAPNO];
        context->rip = (uint64_t)regs[REG_RIP];
        regs[REG_RIP] = (greg_t)(uintptr_t)native_exit;
        regs[REG_EFL] &= ~(greg_t)FLAG_RF;
    } else if (before[sig].sa_flags & SA_SIGINFO) {
        before[sig].sa_sigaction(sig, info, opaque);
    } else {
        signal(sig, SIG_DFL);
    }
}

static int map_fixed(uint64_t at, uint64_t size, int prot, struct error *err)
{
    void *p = mmap((void *)at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p == MAP_FAILED)
        return error_set(err, -errno, "cannot map %#lx bytes at %#lx: %s", size, at, strerror(errno));
    return 0;
}

int native_init(struct error *err)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    stack_t stack = { .ss_size = 1 << 18, .ss_sp = malloc(1 << 18) };
    unsigned a, b, c, d;

    if (map_fixed(NATIVE_DATA + NATIVE_DATA_SIZE, NATIVE_DATA_SIZE, PROT_NONE, err) < 0
        || map_fixed(NATIVE_CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, err) < 0
        || map_fixed(NATIVE_CONTEXT, 8192, PROT_READ | PROT_WRITE, err) < 0)
        return err->code;
    if (!stack.ss_sp || sigaltstack(&stack, NULL) < 0)
        return error_set(err, -errno, "no signal stack");
    for (unsigned n = 0; n < sizeof(signals) / sizeof(signals[0]); n++)
        if (sigaction(signals[n], &sa, &before[signals[n]]) < 0)
            return error_set(err, -errno, "sigaction: %s", strerror(errno));
    unsigned xcr0, high;
    __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    enabled = xcr0 & XSAVE_MASK;
    for (unsigned n = 2; n < COMPONENTS; n++) {
        __cpuid_count(0xd, n, a, b, c, d);
        component_at[n] = a && (xcr0 >> n & 1) ? b : 0;
    }
    return 0;
}

/* ---- the extended state ---- */

/* One component between fpu and area. Generic over direction. */
static void copy(void *fpu, uint8_t *area, unsigned len, bool to_area)
{
    if (to_area)
        memcpy(area, fpu, len);
    else
        memcpy(fpu, area, len);
}

static void state_copy(struct x86_fpu *f, uint8_t *area, bool to_area)
{
    copy(&f->fcw, area, 2, to_area);
    copy(&f->fsw, area + 2, 2, to_area);
    copy(&f->ftw, area + 4, 1, to_area);
    copy(&f->fop, area + 6, 2, to_area);
    copy(&f->fip, area + 8, 8, to_area);
    copy(&f->fdp, area + 16, 8, to_area);
    copy(&f->mxcsr, area + 24, 4, to_area);
    for (unsigned n = 0; n < 8; n++)
        copy(f->st[n], area + 32 + 16 * n, 10, to_area);
    for (unsigned n = 0; n < 16; n++) {
        copy(f->zmm[n], area + 160 + 16 * n, 16, to_area);
        if (component_at[2])
            copy(f->zmm[n] + 16, area + component_at[2] + 16 * n, 16, to_area);
        if (component_at[6])
            copy(f->zmm[n] + 32, area + component_at[6] + 32 * n, 32, to_area);
        if (component_at[7])
            copy(f->zmm[16 + n], area + component_at[7] + 64 * n, 64, to_area);
    }
    if (component_at[5])
        copy(f->k, area + component_at[5], 64, to_area);
}

void native_run(struct native_state *s, const uint8_t *bytes, unsigned len)
{
    static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 }; /* jmp [rip] */
    const uint64_t exit = (uintptr_t)native_exit;

    memcpy(code, bytes, len);
    memcpy(code + len, jump, sizeof(jump));
    memcpy(code + len + sizeof(jump), &exit, 8);
    memcpy(context->gpr, s->gpr, sizeof(s->gpr));
    context->rflags = s->rflags;
    context->code = NATIVE_RIP;
    context->trap = NATIVE_NO_TRAP;
    context->rip = NATIVE_RIP + len;
    memset(context->area, 0, AREA_SIZE);
    state_copy(&s->fpu, context->area, true);
    memcpy(context->area + 512, &enabled, 8);
    native_enter();
    memcpy(s->gpr, context->gpr, sizeof(s->gpr));
    s->rflags = context->rflags;
    s->trap = (uint8_t)context->trap;
    s->next_rip = context->rip;
    /* XSAVE leaves a component's place alone only with init optimisation, which it does not have */
    state_copy(&s->fpu, context->area, false);
}
