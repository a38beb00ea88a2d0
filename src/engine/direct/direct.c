/* SPDX-License-Identifier: MIT */
/*
 * Engine `direct`: the loop of trap and emulate, and the vtable.
 *
 * The guest runs in processes of its own at their ring 3, one for each set of rights that memory accesses can have (user,
 * supervisor, supervisor with AC): what a level may not touch is not mapped there. A page is mapped when it is first touched,
 * with the rights that the guest's tables give; what the architecture drops from a TLB is unmapped before the next entry.
 * Whatever stops the process is settled by the definition: the instruction at rip is executed, or raises, in the interpreter's
 * step functions. Modes that the host's ring 3 cannot have (16 and 32 bits, single steps, breakpoints) are interpreted, too.
 *
 * RFLAGS.IF, IOPL, CPL and the segment registers are ours; the process has the host's. An instruction that shows them
 * without a trap shows the host's: that is the theorem, not a fault of ours.
 *
 * Spec: Popek & Goldberg, CACM 17(7), 1974; Intel SDM 3A 4.10
 */
#include "engine/direct/direct.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "engine/direct/shadow.h"
#include "isa/x86/gpr_names.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/insn_steps.h"
#include "isa/x86/isa.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/mmu.h"
#include "isa/x86/probe.h"
#include "isa/x86/run.h"
#include "isa/x86/step.h"

enum reason {
    TRAP_PRIVILEGED, /* #GP: what the host's ring 3 may not do, and what the guest may not do either */
    TRAP_SYSCALL,
    TRAP_GUEST_FAULT, /* a page fault of the guest's tables */
    TRAP_SHADOW,      /* a page was not mapped yet, or not to be written */
    TRAP_MEMORY,      /* device registers, and addresses that the host cannot map */
    TRAP_UNDEFINED,
    TRAP_ARITHMETIC,
    TRAP_DEBUG,
    TRAP_ALIGNMENT,
    TRAP_KICK, /* another thread wanted something: an interrupt, mostly */
    TRAP_LAST = TRAP_KICK
};
enum { TRAP_NR = TRAP_LAST + 1 };
static const char *const reason_name[TRAP_NR] = {
    "privileged", "syscall", "guest_fault", "shadow", "memory", "undefined", "arithmetic", "debug", "alignment", "kick",
};

enum { DR6_SINGLE_STEP = 1 << 14 };
/* Flags that an instruction of the guest's changes in the process, and that we take from there. */
enum { NATIVE_FLAGS = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_ID };

struct space {
    struct process p;
    struct shadow shadow;
};

struct direct_cpu {
    struct x86_run *run; /* owned; for the boundaries */
    struct space space[X86_BANK_NR];
    struct space *fpu_at;            /* who has the x87 and vector registers; NULL: vcpu->cpu */
    struct process *_Atomic running; /* whom to kick */
    gva_t last_addr, last_rip;       /* of the last fault on a page that was mapped */
    uint64_t trap[TRAP_NR], hypercalls, interpreted;
    uint64_t *by_row; /* owned; instructions that trapped, by row of the table; hypercalls apart */
};

static void give_up(struct x86_cpu *c, const char *why)
{
    char where[128];
    c->vcpu->isa->describe(c->vcpu, where, sizeof(where));
    vm_request_end(c->vcpu->vm, VM_END_ERROR, 0, "engine direct: %s (%s)", why, where);
}

static void refuse(struct x86_cpu *c)
{
    vm_request_end(c->vcpu->vm, VM_END_ERROR, 0,
                   "engine direct: the guest, like Linux, runs in the upper half of the address space (%#" PRIx64
                   "), which no process can (use --engine bt)",
                   c->rip);
}

/* ---- floating point ---- */

static void fpu_pull(struct direct_cpu *e, struct x86_cpu *c)
{
    if (e->fpu_at && process_get_fpu(&e->fpu_at->p, &c->fpu) < 0)
        give_up(c, "the guest's process is gone");
    e->fpu_at = NULL;
}

static int fpu_push(struct direct_cpu *e, struct x86_cpu *c, struct space *s)
{
    if (e->fpu_at == s)
        return 0;
    fpu_pull(e, c);
    int r = process_set_fpu(&s->p, &c->fpu);
    e->fpu_at = r < 0 ? NULL : s;
    return r;
}

static bool uses_fpu(const struct x86_insn *i)
{
    const struct x86_row *row = &x86_rows[i->row];
    return (row->flags & (ROW_X87 | ROW_MMX | ROW_SSE | ROW_AVX | ROW_AVX512 | ROW_HOST)) || strncmp(row->name, "FX", 2) == 0
           || strncmp(row->name, "XS", 2) == 0 || strncmp(row->name, "XR", 2) == 0;
}

/* ---- emulation ---- */

/* With every check of the boundary around it: see step_slow() in isa/x86/run.c. */
static void execute(struct direct_cpu *e, struct x86_cpu *c, bool trapped)
{
    struct x86_insn i;
    uint8_t shadow = c->int_shadow;
    x86_check_breakpoint_fetch(c);
    x86_run_fetch(c, &i);
    if (!x86_insn_faults(&i)) {
        if (i.step == step_out && i.op[0].kind == OPND_IMM && x86_is_hypercall(c, i.imm & 0xff, i.op[1].size))
            e->hypercalls++;
        else if (trapped)
            e->by_row[i.row]++;
        if (uses_fpu(&i))
            fpu_pull(e, c);
    }
    x86_run_insn(c, &i, shadow);
}

/* Executes one instruction by its definition, or delivers what it raises. trapped: it stopped the process. */
static void emulate(struct direct_cpu *e, struct x86_cpu *c, bool trapped)
{
    c->trap_env = &e->run->env;
    if (_setjmp(e->run->env)) {
        e->run->nr_traps++;
        x86_deliver_trap(c);
        return;
    }
    execute(e, c, trapped);
}

/* ---- traps ---- */

static bool tables_allow(struct x86_cpu *c, gva_t va, enum x86_access access)
{
    struct x86_walk w;
    return x86_walk(c, va, access, (enum x86_tlb_bank)c->bank, &w) == 0;
}

static void on_page(struct direct_cpu *e, struct x86_cpu *c, struct space *s, gva_t addr, bool mapped)
{
    bool fetched = addr - c->rip < X86_INSN_MAX, again = mapped && addr == e->last_addr && c->rip == e->last_rip;
    enum x86_access access = mapped ? X86_WRITE : X86_READ;
    if (!shadow_mappable(c->rip)) { /* it jumped to where it cannot execute: the loop's to say what then */
        e->trap[TRAP_MEMORY]++;
        return;
    }
    if (mapped) {
        e->last_addr = addr;
        e->last_rip = c->rip;
    }
    bool allowed = shadow_mappable(addr) && tables_allow(c, addr, X86_READ);
    if (allowed && mapped) /* it fetched, or it wrote */
        allowed = !again && (!fetched || tables_allow(c, addr, X86_FETCH));
    if (allowed && shadow_map(&s->shadow, &s->p, c, addr, access)) {
        e->trap[TRAP_SHADOW]++;
        return;
    }
    uint64_t before = e->run->nr_traps;
    emulate(e, c, true);
    e->trap[e->run->nr_traps != before ? TRAP_GUEST_FAULT : TRAP_MEMORY]++;
}

static uint8_t code_byte(struct x86_cpu *c, gva_t at)
{
    gpa_t gpa;
    uint8_t b = 0;
    if (!x86_translate_quiet(c, at, &gpa) || gmem_read(c->gmem, gpa, &b, 1) < 0)
        return 0;
    return b;
}

static void on_stop(struct direct_cpu *e, struct x86_cpu *c, struct space *s, enum process_stop stop, gva_t addr, bool mapped)
{
    enum reason why = TRAP_PRIVILEGED;
    switch (stop) {
    case PROCESS_PAGE: on_page(e, c, s, addr, mapped); return;
    case PROCESS_GP: break;
    case PROCESS_SYSCALL:
        c->rip -= 2;
        why = TRAP_SYSCALL;
        break;
    case PROCESS_UD: why = TRAP_UNDEFINED; break;
    case PROCESS_FPE: why = TRAP_ARITHMETIC; break;
    case PROCESS_INT3:
        c->rip -= code_byte(c, c->rip - 1) == 0xcc ? 1 : 2;
        why = TRAP_DEBUG;
        break;
    case PROCESS_STEP:
        c->pending_dbg |= DR6_SINGLE_STEP;
        e->trap[TRAP_DEBUG]++;
        return;
    case PROCESS_ALIGN: why = TRAP_ALIGNMENT; break;
    case PROCESS_KICKED: e->trap[TRAP_KICK]++; return;
    case PROCESS_DIED: give_up(c, "the guest's process is gone"); return;
    }
    e->trap[why]++;
    emulate(e, c, true);
}

/* ---- entries ---- */

static void load_regs(const struct x86_cpu *c, struct user_regs_struct *r)
{
#define OUT(number, name) .name = c->gpr[number],
    *r = (struct user_regs_struct){ X86_GPRS(OUT).rip = c->rip, .fs_base = c->seg[SEG_FS].base, .gs_base = c->seg[SEG_GS].base };
#undef OUT
    r->eflags = (c->rflags & NATIVE_FLAGS) | FLAG_ONE | FLAG_IF | (c->align_check ? FLAG_AC : 0);
}

static void store_regs(struct x86_cpu *c, const struct user_regs_struct *r, enum process_stop stop)
{
#define IN(number, name) c->gpr[number] = r->name;
    X86_GPRS(IN)
#undef IN
    if (stop == PROCESS_SYSCALL)
        c->gpr[RAX] = r->orig_rax;
    c->rip = c->next_rip = r->rip;
    c->seg[SEG_FS].base = r->fs_base;
    c->seg[SEG_GS].base = r->gs_base;
    c->rflags = (c->rflags & ~(uint64_t)NATIVE_FLAGS) | (r->eflags & NATIVE_FLAGS);
    x86_flags_update(c);
}

static bool must_look(struct x86_cpu *c)
{
    uint32_t reqs = vcpu_requests(c->vcpu);
    return (reqs & ~(uint32_t)VCPU_REQ_IRQ) || ((reqs & VCPU_REQ_IRQ) && x86_interruptible(c));
}

static int prepare(struct direct_cpu *e, struct x86_cpu *c, struct space *s, struct error *err)
{
    if (!s->p.pid) {
        int r = process_start(&s->p, c->gmem->fd, err);
        if (r < 0)
            return r;
        shadow_reset(&s->shadow, c);
    }
    int r = shadow_catch_up(&s->shadow, &s->p, c);
    if (r == 0)
        r = fpu_push(e, c, s);
    return r < 0 ? error_set(err, r, "the guest's process is gone") : 0;
}

static void run_native(struct direct_cpu *e, struct x86_cpu *c)
{
    struct space *s = &e->space[c->bank];
    struct user_regs_struct regs;
    struct error err = { 0 };
    gva_t addr = 0;
    bool mapped = false;
    if (prepare(e, c, s, &err) < 0) {
        give_up(c, err.msg);
        return;
    }
    load_regs(c, &regs);
    /* in this order: who requests sees whom to kick, or we see the request; partner: direct_kick */
    atomic_store_explicit(&e->running, &s->p, memory_order_seq_cst);
    enum process_stop stop = PROCESS_KICKED;
    bool entered = !must_look(c);
    if (entered)
        stop = process_run(&s->p, &regs, &addr, &mapped);
    atomic_store_explicit(&e->running, NULL, memory_order_seq_cst);
    if (!entered)
        return;
    if (stop != PROCESS_DIED)
        store_regs(c, &regs, stop);
    on_stop(e, c, s, stop, addr, mapped);
}

static bool can_be_native(const struct x86_cpu *c)
{
    return c->mode == X86_MODE_64 && c->long_mode && !c->slow && shadow_mappable(c->rip);
}

/* What can never be native, unlike boot code and single steps: a kernel up there would be interpreted for good. */
static bool is_out_of_reach(const struct x86_cpu *c)
{
    return c->mode == X86_MODE_64 && c->rip >> 63;
}

/* The state is all in vcpu->cpu; with the end of the thread its processes end, too, for they are traced by it. */
static void leave(struct direct_cpu *e, struct x86_cpu *c)
{
    fpu_pull(e, c);
    if (vcpu_requests(c->vcpu) & VCPU_REQ_END)
        for (unsigned k = 0; k < X86_BANK_NR; k++)
            process_stop(&e->space[k].p);
}

static enum vcpu_exit direct_run(struct vcpu *vcpu)
{
    struct direct_cpu *e = vcpu->engine_cpu;
    struct x86_cpu *c = vcpu->cpu;
    enum vcpu_exit exit;
    x86_kvm_enter(c);
    for (;;) {
        if (x86_run_boundary(e->run, c, &exit)) {
            leave(e, c);
            return exit;
        }
        if (can_be_native(c)) {
            run_native(e, c);
        } else if (is_out_of_reach(c)) {
            refuse(c);
        } else {
            e->interpreted++;
            emulate(e, c, false);
        }
    }
}

/* ---- the vtable ---- */

static void direct_vcpu_done(struct vcpu *vcpu)
{
    struct direct_cpu *e = vcpu->engine_cpu;
    if (!e)
        return;
    for (unsigned k = 0; k < X86_BANK_NR; k++)
        process_done(&e->space[k].p);
    x86_run_free(e->run);
    free(e->by_row);
    free(e);
    vcpu->engine_cpu = NULL;
}

static int direct_vcpu_init(struct vcpu *vcpu, struct error *err)
{
    if (vcpu->isa != &x86_isa_ops)
        return error_set(err, -ENOTSUP, "engine direct does not know the instruction set %s", vcpu->isa->name);
    int r = gmem_share(&vcpu->vm->gmem, err);
    if (r < 0)
        return r;
    struct direct_cpu *e = calloc(1, sizeof(*e));
    vcpu->engine_cpu = e;
    if (e) {
        e->run = x86_run_new(BLOCKS_BYTES_MIN, 2);
        e->by_row = calloc(x86_nr_rows, sizeof(e->by_row[0]));
    }
    if (!e || !e->run || !e->by_row)
        return error_set(err, -ENOMEM, "no memory for engine direct's state of CPU %u", vcpu->id);
    return 0;
}

static void direct_state_changed(struct vcpu *vcpu)
{
    x86_state_changed(vcpu->cpu); /* which flushes the TLB: the processes follow */
}

static void direct_kick(struct vcpu *vcpu)
{
    struct direct_cpu *e = vcpu->engine_cpu;
    struct process *p = e ? atomic_load_explicit(&e->running, memory_order_seq_cst) : NULL; /* partner: run_native */
    if (p)
        process_kick(p);
}

/* The count of all rows with the mnemonic of this one, if it is the first of them; else 0. */
static uint64_t of_name(const struct direct_cpu *e, unsigned row)
{
    uint64_t n = 0;
    for (unsigned k = 0; k < x86_nr_rows; k++)
        if (strcmp(x86_rows[k].name, x86_rows[row].name) == 0) {
            if (k < row)
                return 0;
            n += e->by_row[k];
        }
    return n;
}

static size_t direct_stats(const struct vcpu *vcpu, char *text, size_t cap)
{
    const struct direct_cpu *e = vcpu->engine_cpu;
    uint64_t total = 0, maps = 0, flushes = 0;
    size_t at = 0;
    for (unsigned k = 0; k < TRAP_NR; k++)
        total += e->trap[k];
    for (unsigned k = 0; k < X86_BANK_NR; k++) {
        maps += e->space[k].shadow.nr_maps;
        flushes += e->space[k].shadow.nr_flushes;
    }
    at += (size_t)snprintf(text, cap, "traps %" PRIu64 "\n", total);
    for (unsigned k = 0; k < TRAP_NR && at < cap; k++)
        at += (size_t)snprintf(text + at, cap - at, "traps_%s %" PRIu64 "\n", reason_name[k], e->trap[k]);
    if (at < cap)
        at += (size_t)snprintf(text + at, cap - at,
                               "hypercalls %" PRIu64 "\ninterpreted %" PRIu64 "\ninterrupts %" PRIu64 "\nshadow_maps %" PRIu64
                               "\nshadow_flushes %" PRIu64 "\n",
                               e->hypercalls, e->interpreted, e->run->nr_irqs, maps, flushes);
    for (unsigned row = 0; row < x86_nr_rows && at < cap; row++) {
        uint64_t n = of_name(e, row);
        if (n)
            at += (size_t)snprintf(text + at, cap - at, "trapped_%s %" PRIu64 "\n", x86_rows[row].name, n);
    }
    return at < cap ? at : cap ? cap - 1 : 0;
}

static void direct_probe(const struct isa_ops *isa, struct engine_probe *ret_probe)
{
    (void)isa; /* x86's */
    x86_probe(&direct_engine_ops, "only for guests of the lower half: not Linux", X86_PROBE_ROUNDS, ret_probe);
}

const struct engine_ops direct_engine_ops = {
    .name = "direct",
    .probe = direct_probe,
    .vcpu_init = direct_vcpu_init,
    .vcpu_done = direct_vcpu_done,
    .run = direct_run,
    .state_changed = direct_state_changed,
    .kick = direct_kick,
    .stats = direct_stats,
};
