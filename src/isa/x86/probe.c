/* SPDX-License-Identifier: MIT */
/*
 * Tiny guests that show whether an engine works on this host, and how fast it is.
 *
 * Its memory is 2 MiB: page tables that map it one to one, code, a word of data, a stack; all above 64 KiB, below which no host
 * lets a process map.
 */
#include "isa/x86/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/isa.h"
#include "isa/x86/profile.h"
#include "isa/x86/state.h"
#include "isa/x86/sysreg.h"

enum { RAM = 2 << 20, CODE = 0x21000, DATA = 0x20500, STACK = 0x23000, TABLES = 0x24000, INSNS_A_ROUND = 9, ROUNDS_AT = 1 };
enum { KERNEL = 0x21100, KERNEL_CS = 8, USER_CS = 0x2b, USER_SS = 0x23, FEATURES_LEAF = 7 };
enum { PTE_RWU = 7, PTE_LARGE = 0x80 };

static const uint8_t GUEST[] = {
    0xb9, 0x00, 0x00, 0x00, 0x00,                   /* mov ecx, rounds */
    0x48, 0x01, 0xd8,                               /* 1: add rax, rbx */
    0x48, 0x31, 0xc2,                               /* xor rdx, rax */
    0x48, 0x89, 0x14, 0x25, 0x00, 0x05, 0x02, 0x00, /* mov [20500h], rdx */
    0x48, 0xff, 0xc0,                               /* inc rax */
    0x48, 0x03, 0x04, 0x25, 0x00, 0x05, 0x02, 0x00, /* add rax, [20500h] */
    0xe8, 0x05, 0x00, 0x00, 0x00,                   /* call 2f */
    0xff, 0xc9,                                     /* dec ecx */
    0x75, 0xde,                                     /* jnz 1b */
    0xf4,                                           /* hlt */
    0xc3,                                           /* 2: ret */
};

/* At KERNEL: what a program calls. Should it begin in ring 3 it ends in a triple fault. */
static const uint8_t HANDLER[] = { 0x8c, 0xcb, 0xf4 }; /* mov ebx, cs; hlt */

static uint64_t expected(uint64_t rbx, unsigned rounds)
{
    uint64_t rax = 0, rdx = 0;
    for (unsigned n = 0; n < rounds; n++) {
        rax += rbx;
        rdx ^= rax;
        rax += 1 + rdx;
    }
    return rax;
}

static int make_memory(struct gmem *gmem, uint32_t rounds, struct error *err)
{
    const uint64_t tables[] = { TABLES + 0x1000, TABLES + 0x2000, PTE_LARGE };
    int r = gmem_init(gmem, RAM, err);
    if (r >= 0)
        r = gmem_add_slot(gmem, 0, RAM, 0, err);
    for (unsigned k = 0; k < 3 && r >= 0; k++) {
        uint64_t entry = tables[k] | PTE_RWU;
        r = gmem_write(gmem, TABLES + 0x1000 * k, &entry, sizeof(entry));
    }
    if (r >= 0)
        r = gmem_write(gmem, CODE, GUEST, sizeof(GUEST));
    return r < 0 ? r : gmem_write(gmem, CODE + ROUNDS_AT, &rounds, sizeof(rounds));
}

static void enter_long_mode(struct x86_cpu *c)
{
    c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_WP;
    c->cr3 = TABLES;
    c->cr4 = CR4_PAE | CR4_OSFXSR;
    c->efer = EFER_LME | EFER_LMA | EFER_NXE;
    for (unsigned s = SEG_ES; s <= SEG_GS; s++)
        c->seg[s] = (struct x86_seg){ .sel = 16,
                                      .limit = UINT32_MAX,
                                      .attr = SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G };
    c->seg[SEG_CS].sel = 8;
    c->seg[SEG_CS].attr = SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_L | SEG_G;
    c->rip = CODE;
    c->gpr[RSP] = STACK;
    c->gpr[RAX] = c->gpr[RDX] = 0;
    c->gpr[RBX] = 0x123456789;
}

static int run(struct vm *vm, const struct engine_ops *engine, unsigned rounds, double *ret_mips, struct error *err)
{
    struct vcpu *vcpu = NULL;
    int r = make_memory(&vm->gmem, rounds, err);
    if (r >= 0)
        r = vcpu_new(vm, 0, &x86_isa_ops, engine, NULL, &vcpu, err);
    if (r < 0)
        return r;
    struct x86_cpu *c = vcpu->cpu;
    enter_long_mode(c);
    engine->state_changed(vcpu);
    ns_t begin = clock_host_ns();
    enum vcpu_exit exit = engine->run(vcpu);
    ns_t took = clock_host_ns() - begin;
    *ret_mips = took > 0 ? (double)rounds * INSNS_A_ROUND * 1000.0 / (double)took : 0;
    bool halted = exit == VCPU_EXIT_SLEEP && c->activity == X86_HALTED, right = c->gpr[RAX] == expected(c->gpr[RBX], rounds);
    vcpu_free(vcpu);
    if (!halted)
        return error_set(err, -EIO, "the tiny guest did not halt");
    return right ? 0 : error_set(err, -EIO, "the tiny guest computed nonsense");
}

/* ---- single laws ---- */

static void enter_program(struct x86_cpu *c)
{
    enter_long_mode(c);
    for (unsigned s = SEG_ES; s <= SEG_GS; s++) {
        c->seg[s].attr |= SEG_DPL;
        c->seg[s].sel = s == SEG_CS ? USER_CS : USER_SS;
    }
    c->efer |= EFER_SCE;
    c->star = (uint64_t)(USER_SS - 8) << 48 | (uint64_t)KERNEL_CS << 32;
    c->lstar = KERNEL;
}

static bool served(struct x86_cpu *c)
{
    return c->gpr[RBX] == KERNEL_CS && c->cpl == 0 && c->gpr[RCX] == CODE + 2;
}

static void enter_identify(struct x86_cpu *c)
{
    enter_long_mode(c);
    c->gpr[RAX] = FEATURES_LEAF;
    c->gpr[RCX] = 0;
}

static bool identified(struct x86_cpu *c)
{
    uint32_t want[4];
    c->profile = x86_profile_default(); /* which was asked for */
    x86_cpuid(c, FEATURES_LEAF, 0, want);
    return !(c->gpr[RBX] & ~(uint64_t)want[1]);
}

static void enter_timed(struct x86_cpu *c)
{
    enter_long_mode(c);
    c->tsc_adjust = 1ULL << 50; /* 11 days and more */
}

static bool timed(struct x86_cpu *c)
{
    uint64_t seen = (uint32_t)c->gpr[RAX] | c->gpr[RDX] << 32;
    return seen >= c->tsc_adjust && seen <= x86_tsc(c);
}

static const struct {
    const char *name;
    uint8_t code[3];
    void (*enter)(struct x86_cpu *c);
    bool (*right)(struct x86_cpu *c); /* once it has halted */
} laws[] = {
    { "SYSCALL", { 0x0f, 0x05, 0xf4 }, enter_program, served },
    { "CPUID", { 0x0f, 0xa2, 0xf4 }, enter_identify, identified },
    { "TSC", { 0x0f, 0x31, 0xf4 }, enter_timed, timed }, /* rdtsc */
};

static bool holds(const struct engine_ops *engine, unsigned law)
{
    struct vm vm;
    struct vcpu *vcpu = NULL;
    if (vm_init(&vm, NULL, NULL) < 0)
        return false;
    bool ok = make_memory(&vm.gmem, 0, NULL) >= 0 && gmem_write(&vm.gmem, CODE, laws[law].code, sizeof(laws[law].code)) >= 0
              && gmem_write(&vm.gmem, KERNEL, HANDLER, sizeof(HANDLER)) >= 0
              && vcpu_new(&vm, 0, &x86_isa_ops, engine, NULL, &vcpu, NULL) >= 0;
    if (ok) {
        vm_clock_resume(&vm.clock);
        laws[law].enter(vcpu->cpu);
        engine->state_changed(vcpu);
        ok = engine->run(vcpu) == VCPU_EXIT_SLEEP && laws[law].right(vcpu->cpu);
    }
    vcpu_free(vcpu);
    vm_done(&vm);
    return ok;
}

void x86_probe_wrong(const struct engine_ops *engine, char *ret_names, size_t cap)
{
    size_t at = 0;
    ret_names[0] = '\0';
    for (unsigned k = 0; k < ARRAY_SIZE(laws) && at < cap; k++)
        if (!holds(engine, k))
            at += (size_t)snprintf(ret_names + at, cap - at, "%s%s", at ? ", " : "", laws[k].name);
}

/* ---- exports ---- */

void x86_probe(const struct engine_ops *engine, const char *works, unsigned rounds, struct engine_probe *ret_probe)
{
    struct error err = { 0 };
    struct vm vm;
    memset(ret_probe, 0, sizeof(*ret_probe));
    if (vm_init(&vm, NULL, &err) < 0) {
        (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "%.150s", err.msg);
        return;
    }
    ret_probe->usable = run(&vm, engine, rounds, &ret_probe->mips, &err) >= 0;
    (void)snprintf(ret_probe->why, sizeof(ret_probe->why), "%.150s", ret_probe->usable ? works : err.msg);
    vm_done(&vm);
}
