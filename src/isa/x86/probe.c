/* SPDX-License-Identifier: MIT */
/*
 * A tiny guest that shows whether an engine works on this host, and how fast it is.
 *
 * Its memory is 2 MiB: page tables that map it one to one, code, a word of data, a stack; all above 64 KiB, below which no host
 * lets a process map.
 */
#include "isa/x86/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/isa.h"
#include "isa/x86/state.h"

enum { RAM = 2 << 20, CODE = 0x21000, DATA = 0x20500, STACK = 0x23000, TABLES = 0x24000, INSNS_A_ROUND = 9, ROUNDS_AT = 1 };
enum { PTE_RW = 3, PTE_LARGE = 0x80 };

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
        uint64_t entry = tables[k] | PTE_RW;
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
