/* SPDX-License-Identifier: MIT */
/*
 * Innocuous vector and floating-point instructions, executed by the host CPU on guest state.
 *
 * A memory operand that lies in one page and hits the TLB is used where it is. Any other is read into a bounce buffer
 * before the instruction runs on that, or written back after it; rights are checked in an order that leaves the guest's
 * registers alone if the access faults. x87 and MMX instructions work on a
 * copy of the x87 state that is taken over at the end. FOP, FIP and FDP are kept by us: CPUs differ in when they save them.
 * Exceptions pending in the x87 status word are raised before (x86_check_fpu), so the host never takes a #MF itself.
 * Spec: SDM 1 chapters 8 to 15; SDM 2A 2.4 to 2.8 (exception classes)
 */
#include "isa/x86/hostexec.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

#include "isa/x86/fpu.h"
#include "isa/x86/host_mem.h"
#include "isa/x86/host_tramp.h"
#include "isa/x86/step.h"
#include "isa/x86/tlb.h"

/* ---- signals ---- */

/* Translated code of this thread, see hostexec_watch(). */
static _Thread_local struct {
    uintptr_t begin, size, resume;
    uint64_t *ret_pc;
} watched;

void hostexec_watch(uintptr_t begin, size_t size, uintptr_t resume, uint64_t *ret_pc)
{
    watched.begin = begin;
    watched.size = begin ? size : 0;
    watched.resume = resume;
    watched.ret_pc = ret_pc;
}

static const int SIGNALS[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS };
enum { SIGNALS_NR = sizeof(SIGNALS) / sizeof(SIGNALS[0]) };
static struct sigaction former[SIGNALS_NR]; /* what they did before */

static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *rip = &uc->uc_mcontext.gregs[REG_RIP];
    uintptr_t exit = 0;

    (void)info;
    if (sig == SIGFPE || sig == SIGILL)
        exit = host_code_fault_exit((uintptr_t)*rip, sig == SIGFPE ? HOST_SIMD_FAULT : HOST_ILLEGAL);
    if (sig != SIGILL && (uintptr_t)*rip - watched.begin < watched.size) {
        *watched.ret_pc = (uint64_t)*rip;
        exit = watched.resume;
    }
    if (exit) {
        *rip = (greg_t)exit;
        return;
    }
    for (unsigned n = 0; n < SIGNALS_NR; n++) /* not ours: the instruction faults again, for whoever was in charge */
        if (SIGNALS[n] == sig)
            (void)sigaction(sig, &former[n], NULL); /* what was in force once can be put in force again */
}

static atomic_bool installed; /* signal handlers belong to the process */

int hostexec_init(struct error *err)
{
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };

    sigemptyset(&sa.sa_mask);
    for (unsigned n = 0; n < SIGNALS_NR; n++) {
        struct sigaction was;
        if (sigaction(SIGNALS[n], &sa, &was) < 0)
            return error_set(err, -errno, "cannot handle signal %d: %s", SIGNALS[n], strerror(errno));
        if (was.sa_sigaction != on_signal)
            former[n] = was;
    }
    atomic_store_explicit(&installed, true, memory_order_release); /* partner: hostexec_is_ready */
    return 0;
}

bool hostexec_is_ready(void)
{
    return atomic_load_explicit(&installed, memory_order_acquire);
}

/* ---- running one ---- */

static void run(struct x86_cpu *c, const struct x86_insn *i, struct host_code *h, const struct host_tramp *t, void *operand)
{
    switch (host_tramp_run(h, t, c, operand, host_code_fx(h))) {
    case HOST_DONE: break;
    case HOST_SIMD_FAULT:
        if (i->op[0].kind == OPND_MMX || i->op[1].kind == OPND_MMX)
            fpu_enter_mmx(&c->fpu); /* CVTPS2PI and kin: the switch to MMX comes first */
        x86_raise(c, c->cr4 & CR4_OSXMMEXCPT ? X86_XM : X86_UD);
    case HOST_ILLEGAL: x86_raise(c, X86_UD); /* the host lacks it */
    }
}

/* The operand in guest RAM when nothing about its access can fail, else NULL. The host skips masked-off elements as the guest
 * would, and its mapping has the guest's alignment. */
static void *operand_in_ram(const struct x86_cpu *c, const struct x86_insn *i, const struct host_tramp *t)
{
    const struct x86_opnd *o = &i->op[t->mem_op];
    unsigned size = i->bcst ? i->elem : o->size;
    enum x86_access how = o->access & OPND_W ? X86_WRITE : X86_READ;
    gva_t lin;

    if (!seg_lin_quick(c, i->seg, insn_ea(c, i), how, &lin) || c->align_check || (t->align && (lin & (size - 1))))
        return NULL;
    return tlb_hit(c, lin, size, c->bank, how);
}

static void run_mem(struct x86_cpu *c, const struct x86_insn *i, struct host_code *h, const struct host_tramp *t)
{
    uint8_t access = i->op[t->mem_op].access;
    void *operand = operand_in_ram(c, i, t);

    if (__builtin_expect(operand != NULL, 1)) {
        run(c, i, h, t, operand);
        if (access & OPND_W)
            tlb_wrote(c, operand);
        return;
    }
    operand = host_code_bounce(h);
    struct host_access a = host_access_make(c, i, t, access & OPND_W ? X86_WRITE : X86_READ);
    if (access & OPND_R)
        host_access_read(c, &a, operand);
    if ((access & OPND_W) && t->fp)
        host_access_probe(c, &a); /* the flags in MXCSR must not change if the write faults */
    run(c, i, h, t, operand);
    if (access & OPND_W)
        host_access_write(c, &a, operand);
}

/* ---- x87 and MMX ---- */

static void fx_load(const struct x86_fpu *f, struct host_fx *fx)
{
    fx->fcw = f->fcw;
    fx->fsw = f->fsw;
    fx->ftw = f->ftw;
    fx->mxcsr = MXCSR_INIT;
    memcpy(fx->st, f->st, sizeof(fx->st));
}

static void fx_store(struct x86_fpu *f, const struct host_fx *fx)
{
    f->fcw = fx->fcw;
    f->fsw = fx->fsw;
    f->ftw = fx->ftw;
    for (unsigned n = 0; n < 8; n++)
        memcpy(f->st[n], fx->st[n], 10);
}

/* What x87 instructions other than control ones leave behind: FOP and FDP only when they incur an unmasked exception
 * (docs/decisions/0007). Spec: SDM 1 8.1.8, 8.1.9 */
static void record_x87(struct x86_cpu *c, const struct x86_insn *i, bool mem)
{
    uint8_t opcode = i->bytes[i->layout.opcode];
    c->fpu.fip = c->rip;
    if (!fpu_pending(&c->fpu))
        return;
    c->fpu.fop = (uint16_t)((opcode & 7) << 8 | i->modrm);
    if (mem)
        c->fpu.fdp = insn_ea(c, i);
}

/* A bounced x87 or MMX store. Spec: SDM 1 8.5 */
static void fx_write(struct x86_cpu *c, const struct host_fx *fx, const struct host_access *a, const void *bounce)
{
    /* an unmasked exception other than precision keeps a store from happening */
    if (fx->fsw & ~fx->fcw & FSW_EXC & ~FSW_PE)
        host_access_probe(c, a);
    else
        host_access_write(c, a, bounce);
}

static void run_fx(struct x86_cpu *c, const struct x86_insn *i, struct host_code *h, const struct host_tramp *t)
{
    bool mem = t->mem_op != HOST_NO_MEM;
    uint8_t access = mem ? i->op[t->mem_op].access : 0;
    struct host_fx *fx = host_code_fx(h);
    void *ram = mem ? operand_in_ram(c, i, t) : NULL, *bounce = host_code_bounce(h);
    struct host_access a = { 0 };

    if (mem && !ram)
        a = host_access_make(c, i, t, access & OPND_W ? X86_WRITE : X86_READ);
    if (!ram && (access & OPND_R))
        host_access_read(c, &a, bounce);
    fx_load(&c->fpu, fx);
    run(c, i, h, t, ram ? ram : bounce);
    if (access & OPND_W) {
        if (ram)
            tlb_wrote(c, ram);
        else
            fx_write(c, fx, &a, bounce);
    }
    fx_store(&c->fpu, fx);
    if (x86_rows[i->row].flags & ROW_X87)
        record_x87(c, i, mem);
}

void step_host(struct x86_cpu *c, const struct x86_insn *i)
{
    struct host_code *h = host_code_get();
    const struct host_tramp *t = h ? host_tramp_get(h, i, c->mode) : NULL;

    if (!t)
        x86_raise(c, X86_UD);
    else if (t->fx)
        run_fx(c, i, h, t);
    else if (t->mem_op == HOST_NO_MEM)
        run(c, i, h, t, NULL);
    else
        run_mem(c, i, h, t);
}
