/* SPDX-License-Identifier: MIT */
/*
 * Engine `kvm`: a guest sees the machine that it sees under `interp`, and its state comes back whole.
 *
 * Skipped where /dev/kvm is not usable, with the reason.
 */
#include "engine/kvm/kvm.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "base/rng.h"
#include "isa/x86/hypercall.h"
#include "isa/x86/probe.h"
#include "isa/x86/sysreg.h"
#include "isa/x86/trap.h"
#include "support/bare_x86.h"

enum { IDT = 0x60000, GDT = 0x62000, HANDLER = 0x64000, DEVICE = 0x40000000, PORT = 0x510, VECTOR = 0x41 };

/* A device that remembers, and an interrupt line. */
struct board {
    struct bare b;
    uint64_t value, offset, reads, writes;
    unsigned size;
    bool irq;
    uint64_t msr;
    uint8_t tpr;
};

static uint64_t device_read(void *dev, uint64_t offset, unsigned size)
{
    struct board *p = dev;
    p->reads++;
    p->offset = offset;
    p->size = size;
    return 0x8877665544332211ULL + p->reads;
}

static void device_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct board *p = dev;
    p->writes++;
    p->offset = offset;
    p->size = size;
    p->value = p->value << 8 ^ value;
}

static const struct io_ops device_ops = { .read = device_read, .write = device_write, .min_size = 1, .max_size = 8 };

static int irq_poll(void *intc)
{
    return ((struct board *)intc)->irq ? VECTOR : -1;
}

static int irq_accept(void *intc)
{
    int vector = irq_poll(intc);
    ((struct board *)intc)->irq = false;
    return vector;
}

static uint8_t tpr_get(void *intc)
{
    return ((struct board *)intc)->tpr;
}

static void tpr_set(void *intc, uint8_t cr8)
{
    ((struct board *)intc)->tpr = cr8;
}

static bool msr_read(void *intc, uint32_t msr, uint64_t *ret_value)
{
    *ret_value = msr == 0x1b ? 0xfee00900 : ((struct board *)intc)->msr;
    return msr != 0x802;
}

static bool msr_write(void *intc, uint32_t msr, uint64_t value)
{
    ((struct board *)intc)->msr = msr == 0x808 ? value : 0;
    return msr == 0x808 || msr == 0x3b;
}

static const struct vcpu_intc_ops intc_ops = {
    .poll = irq_poll,
    .accept = irq_accept,
    .tpr_get = tpr_get,
    .tpr_set = tpr_set,
    .msr_read = msr_read,
    .msr_write = msr_write,
};

static void make_board(struct board *p, const struct engine_ops *engine)
{
    struct error err = { 0 };
    memset(p, 0, sizeof(*p));
    bare_init_engine(&p->b, engine);
    assert_int_equal(bus_map(&p->b.vm.mmio, DEVICE, 4096, &device_ops, p, "test", &err), 0);
    assert_int_equal(bus_map(&p->b.vm.pio, PORT, 8, &device_ops, p, "test", &err), 0);
    p->b.vcpu->intc = &intc_ops;
    p->b.vcpu->intc_dev = p;
    bare_long(&p->b);
    bare_poke64(&p->b, BARE_TABLES + 0x1000 + 8, (DEVICE & ~0x3fffffffULL) | 0x83); /* the second GiB, in one page */
}

static int setup(void **state)
{
    static struct board p;
    struct engine_probe probe;
    kvm_engine_ops.probe(&x86_isa_ops, &probe);
    if (!probe.usable) {
        print_message("skipped: %s\n", probe.why);
        return 0;
    }
    make_board(&p, &kvm_engine_ops);
    /* what KVM may not have: a page of 1 GiB; so by pages of 2 MiB */
    bare_poke64(&p.b, BARE_TABLES + 0x1000 + 8, 0x70000 | 3);
    bare_poke64(&p.b, 0x70000, DEVICE | 0x83);
    p.b.vcpu->engine->state_changed(p.b.vcpu);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    if (*state)
        bare_done(&((struct board *)*state)->b);
    return 0;
}

#define BOARD(p, state)                                                                                                          \
    struct board *p = *(state);                                                                                                  \
    if (!p)                                                                                                                      \
    skip()

#define CODE(p, ...)                                                                                                             \
    do {                                                                                                                         \
        const uint8_t code_[] = { __VA_ARGS__ };                                                                                 \
        bare_code(&(p)->b, BARE_CODE, code_, sizeof(code_));                                                                     \
        (p)->b.c->rip = BARE_CODE;                                                                                               \
        (p)->b.c->activity = X86_RUNNING;                                                                                        \
    } while (0)

static void run(struct board *p)
{
    assert_int_equal(p->b.vcpu->engine->run(p->b.vcpu), VCPU_EXIT_SLEEP);
    assert_int_equal(p->b.c->activity, X86_HALTED);
}

/* What this host's KVM gets wrong, it is said to; doctor says so, too. */
static bool host_gets_wrong(const char *what)
{
    char names[64];
    x86_probe_wrong(&kvm_engine_ops, names, sizeof(names));
    if (!strstr(names, what))
        return false;
    print_message("not looked at: this host's KVM gets %s wrong\n", what);
    return true;
}

static uint64_t stat(struct board *p, const char *name)
{
    static char text[4096];
    char key[64];
    (void)snprintf(key, sizeof(key), "\n%s ", name);
    text[0] = '\n';
    size_t len = kvm_engine_ops.stats(p->b.vcpu, text + 1, sizeof(text) - 2);
    text[len + 1] = '\0';
    const char *at = strstr(text, key);
    assert_non_null(at);
    return strtoull(at + strlen(key), NULL, 10);
}

/* Gates for `vector`: the handler takes an error code into rbx if there is one, CR2 into rcx, and halts. */
static void make_handler(struct board *p, unsigned vector, bool error)
{
    const uint8_t with[] = { 0x5b, 0x0f, 0x20, 0xd1, 0xf4 }, without[] = { 0x0f, 0x20, 0xd1, 0xf4 };
    bare_code(&p->b, HANDLER, error ? with : without, error ? sizeof(with) : sizeof(without));
    bare_poke64(&p->b, GDT + 8, 0x00af9b000000ffffULL);
    bare_poke64(&p->b, GDT + 16, 0x00cf93000000ffffULL);
    p->b.c->gdtr = (struct x86_table_reg){ .base = GDT, .limit = 0xff };
    p->b.c->idtr = (struct x86_table_reg){ .base = IDT, .limit = 0xfff };
    bare_poke64(&p->b, IDT + vector * 16, (HANDLER & 0xffff) | 8 << 16 | 0x8eULL << 40 | (uint64_t)(HANDLER >> 16) << 48);
}

/* ---- code and state ---- */

static void code_runs_and_its_state_comes_back(void **state)
{
    BOARD(p, state);
    CODE(p, 0xb9, 0xe8, 0x03, 0x00, 0x00,          /* mov ecx, 1000 */
         0x01, 0xc8,                               /* 1: add eax, ecx */
         0x89, 0x04, 0x25, 0x00, 0x00, 0x03, 0x00, /* mov [BARE_DATA], eax */
         0xe2, 0xf5,                               /* loop 1b */
         0xf4);
    run(p);
    assert_int_equal((uint32_t)p->b.c->gpr[RAX], 1000 * 1001 / 2);
    assert_int_equal(bare_peek64(&p->b, BARE_DATA) & 0xffffffff, 1000 * 1001 / 2);
    assert_int_equal(p->b.c->rip, BARE_CODE + 17);
    assert_int_equal(p->b.c->gpr[RCX], 0);
}

static void fill(struct x86_cpu *c, uint64_t seed)
{
    struct rng r = { .state = seed };
    for (unsigned n = 0; n < 16; n++)
        c->gpr[n] = n == RSP ? BARE_STACK : rng_next(&r);
    c->rflags = FLAG_ONE | (rng_next(&r) & (FLAGS_ARITH | FLAG_DF | FLAG_ID));
    for (unsigned n = 0; n < 16; n++)
        for (unsigned k = 0; k < 16; k += 8) {
            uint64_t v = rng_next(&r);
            memcpy(c->fpu.zmm[n] + k, &v, 8);
        }
    for (unsigned n = 0; n < 8; n++)
        for (unsigned k = 0; k < 10; k++)
            c->fpu.st[n][k] = (uint8_t)rng_next(&r);
    c->fpu.ftw = (uint8_t)rng_next(&r);
    c->fpu.fcw = 0x37f;
    c->fpu.fsw = (uint16_t)(rng_next(&r) & 0x3800);
    c->fpu.mxcsr = 0x1f80 | (uint32_t)(rng_next(&r) & 0x603f);
    for (unsigned n = 0; n < 4; n++)
        c->dr[n] = rng_next(&r) >> 20;
    c->star = 0x0023001000000000ULL;
    c->lstar = 0xffffffff80000000ULL | rng_below(&r, 1 << 20);
    c->cstar = rng_below(&r, 1 << 20);
    c->fmask = 0x47700;
    c->kernel_gs_base = rng_next(&r) >> 20;
    c->sysenter_cs = 0x10;
    c->sysenter_esp = rng_next(&r) >> 20;
    c->sysenter_eip = rng_next(&r) >> 20;
    c->seg[SEG_FS].base = rng_next(&r) >> 20;
    c->seg[SEG_GS].base = rng_next(&r) >> 20;
    c->gdtr = (struct x86_table_reg){ .base = GDT, .limit = 0x7f };
    c->idtr = (struct x86_table_reg){ .base = IDT, .limit = 0xfff };
    c->cr2 = rng_next(&r) >> 20;
    c->nmi_blocked = rng_percent(&r, 50);
    c->kvm_poll_control = rng_next(&r); /* not KVM's to change */
    c->mtrr_var[3] = 0x12345800;
}

static void all_of_the_state_goes_there_and_back(void **state)
{
    BOARD(p, state);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        static struct x86_cpu before;
        CODE(p, 0x90, 0xf4);
        fill(p->b.c, seed);
        p->b.vcpu->engine->state_changed(p->b.vcpu);
        before = *p->b.c;
        run(p);
        before.rip += 2;
        before.activity = X86_HALTED;
        const char *field = state_diff(&x86_state_desc, &before, p->b.c);
        if (field)
            fail_msg("seed %lu: %s", (unsigned long)seed, field);
    }
}

static void what_kvm_lacks_the_model_lacks(void **state)
{
    BOARD(p, state);
    enum { ENTRIES = 256 };
    struct kvm_cpuid2 *told = calloc(1, sizeof(*told) + ENTRIES * sizeof(told->entries[0]));
    struct kvm_descriptor fd[KVM_DESCRIPTORS];
    uint32_t want[4];
    CODE(p, 0x0f, 0xa2, 0xf4); /* cpuid */
    p->b.c->gpr[RAX] = X86_HC_CPUID_SIGNATURE;
    run(p);
    if (host_gets_wrong("CPUID")) {
        free(told);
        return;
    }
    assert_non_null(told);
    told->nent = ENTRIES;
    assert_true(kvm_descriptors(p->b.vcpu, fd));
    assert_int_equal(ioctl(fd[0].fd, KVM_GET_CPUID2, told), 0);
    assert_true(told->nent > 20);
    for (unsigned k = 0; k < told->nent; k++) {
        const struct kvm_cpuid_entry2 *e = &told->entries[k];
        x86_cpuid(p->b.c, e->function, e->index, want);
        if (e->function == 7 || e->function == 0x80000001) /* features: never more than ours */
            assert_int_equal((e->ebx & ~want[1]) | (e->ecx & ~want[2]) | (e->edx & ~want[3]), 0);
        if (e->function == 0 || e->function == X86_HC_CPUID_SIGNATURE)
            assert_memory_equal(&want[0], &e->eax, 4);
    }
    free(told);
    assert_memory_equal(&p->b.c->gpr[RBX], X86_HC_SIGNATURE, 4);
    assert_int_equal((uint32_t)p->b.c->gpr[RAX], X86_HC_CPUID_CALLS);
}

/* ---- devices ---- */

static void ports_reach_devices_in_each_size(void **state)
{
    BOARD(p, state);
    CODE(p, 0x66, 0xba, 0x12, 0x05, /* mov dx, 512h */
         0xb0, 0x5a, 0xee,          /* mov al, 5ah; out dx, al */
         0x66, 0xed, 0xf4);         /* in ax, dx */
    run(p);
    assert_int_equal(p->writes, 1);
    assert_int_equal(p->value, 0x5a);
    assert_int_equal(p->offset, 2);
    assert_int_equal(p->size, 2); /* the read came last */
    assert_int_equal(p->b.c->gpr[RAX] & 0xffff, 0x2212);
}

static void repeated_port_accesses_count(void **state)
{
    BOARD(p, state);
    bare_poke64(&p->b, BARE_DATA, 0x0807060504030201);
    CODE(p, 0x66, 0xba, 0x10, 0x05, 0xfc, 0xf3, 0x6e, /* mov dx, 510h; cld; rep outsb */
         0xb9, 0x04, 0x00, 0x00, 0x00, 0xf3, 0x6d,    /* mov ecx, 4; rep insd */
         0xf4);
    p->b.c->gpr[RSI] = BARE_DATA;
    p->b.c->gpr[RDI] = BARE_DATA + 0x100;
    p->b.c->gpr[RCX] = 8;
    run(p);
    assert_int_equal(p->writes, 8);
    assert_int_equal(p->value, 0x0102030405060708);
    assert_int_equal(p->reads, 4);
    assert_int_equal(bare_peek64(&p->b, BARE_DATA + 0x100 + 8), 0x4433221544332214);
    assert_int_equal(p->b.c->gpr[RDI], BARE_DATA + 0x110);
    assert_int_equal(p->b.c->gpr[RCX], 0);
}

static void memory_that_is_no_ram_is_a_device(void **state)
{
    BOARD(p, state);
    CODE(p, 0x48, 0x89, 0x04, 0x25, 0x10, 0x00, 0x00, 0x40, /* mov [DEVICE + 10h], rax */
         0x8b, 0x1c, 0x25, 0x24, 0x00, 0x00, 0x40, 0xf4);   /* mov ebx, [DEVICE + 24h] */
    p->b.c->gpr[RAX] = 0x1122334455667788;
    run(p);
    assert_int_equal(p->writes, 1);
    assert_int_equal(p->value, 0x1122334455667788);
    assert_int_equal(p->reads, 1);
    assert_int_equal(p->offset, 0x24);
    assert_int_equal(p->b.c->gpr[RBX], 0x44332212);
    assert_int_equal(stat(p, "exits_mmio") >= 1, true);
}

static void hypercalls_go_by_the_port(void **state)
{
    BOARD(p, state);
    CODE(p, 0xe7, X86_HC_PORT, 0xf4); /* out e4h, eax */
    p->b.c->gpr[RAX] = X86_HC_IDENTIFY;
    run(p);
    assert_int_equal(p->b.c->gpr[RAX] >> 32, X86_HC_MAGIC);
    assert_int_equal(p->b.c->rip, BARE_CODE + 3);
    assert_int_equal(stat(p, "hypercalls"), 1);
}

static void batches_of_page_tables_are_seen_at_once(void **state)
{
    BOARD(p, state);
    const gva_t va = 0x50000;
    const struct x86_hc_pte pte = { .entry = BARE_TABLES + 0x3000 + 8 * (va >> 12), .value = 0x51007, .va = va };
    assert_int_equal(gmem_write(&p->b.vm.gmem, BARE_DATA, &pte, sizeof(pte)), 0);
    bare_poke64(&p->b, va, 1);
    bare_poke64(&p->b, 0x51000, 2);
    CODE(p, 0x48, 0x8b, 0x1c, 0x25, 0x00, 0x00, 0x05, 0x00,     /* mov rbx, [va] */
         0xe7, X86_HC_PORT,                                     /* out e4h, eax */
         0x48, 0x8b, 0x0c, 0x25, 0x00, 0x00, 0x05, 0x00, 0xf4); /* mov rcx, [va] */
    p->b.c->gpr[RAX] = X86_HC_MMU_UPDATE;
    p->b.c->gpr[RDI] = BARE_DATA;
    p->b.c->gpr[RSI] = 1;
    p->b.c->gpr[RDX] = 0;
    run(p);
    assert_int_equal(p->b.c->gpr[RAX], 1);
    assert_int_equal(p->b.c->gpr[RBX], 1);
    assert_int_equal(p->b.c->gpr[RCX], 2);
}

/* ---- MSRs ---- */

static void msrs_are_ours_or_kvms_and_others_fault(void **state)
{
    BOARD(p, state);
    make_handler(p, X86_GP, true);
    CODE(p, 0xb9, 0x08, 0x08, 0x00, 0x00, 0x0f, 0x30,          /* mov ecx, 808h; wrmsr: x2APIC */
         0xb9, 0x05, 0x02, 0x00, 0x00, 0x31, 0xd2, 0x0f, 0x30, /* mov ecx, 205h; xor edx, edx; wrmsr: an MTRR */
         0xb9, 0x82, 0x00, 0x00, 0xc0, 0x0f, 0x30,             /* mov ecx, LSTAR; wrmsr */
         0xb9, 0x99, 0x99, 0x00, 0x00, 0x0f, 0x32, 0xf4);      /* mov ecx, 9999h; rdmsr */
    p->b.c->gpr[RAX] = 0x1800;
    p->b.c->gpr[RDX] = 0;
    run(p);
    assert_int_equal(p->msr, 0x1800);
    assert_int_equal(p->b.c->mtrr_var[5], 0x1800);
    assert_int_equal(p->b.c->lstar, 0x1800);
    assert_int_equal(p->b.c->rip, HANDLER + 5);
    assert_int_equal(p->b.c->gpr[RBX], 0);
}

static void cr8_is_the_apics_priority(void **state)
{
    BOARD(p, state);
    p->tpr = 9;
    CODE(p, 0x44, 0x0f, 0x20, 0xc0,                                   /* mov rax, cr8 */
         0xbb, 0x03, 0x00, 0x00, 0x00, 0x44, 0x0f, 0x22, 0xc3, 0xf4); /* mov ebx, 3; mov cr8, rbx */
    run(p);
    assert_int_equal(p->b.c->gpr[RAX], 9);
    assert_int_equal(p->tpr, 3);
}

static void the_tsc_is_the_guests(void **state)
{
    BOARD(p, state);
    vm_clock_resume(&p->b.vm.clock);
    p->b.c->tsc_adjust = 1ULL << 50;
    p->b.vcpu->engine->state_changed(p->b.vcpu);
    CODE(p, 0x0f, 0x31, 0xf4); /* rdtsc */
    uint64_t before = x86_tsc(p->b.c);
    run(p);
    uint64_t seen = p->b.c->gpr[RAX] | p->b.c->gpr[RDX] << 32;
    if (host_gets_wrong("TSC"))
        return;
    assert_true(seen >= before && seen <= x86_tsc(p->b.c));
}

/* ---- exceptions and interrupts ---- */

static void faults_are_the_guests(void **state)
{
    BOARD(p, state);
    make_handler(p, X86_PF, true);
    CODE(p, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x00, 0x7f, 0xf4); /* mov eax, [7f000000h] */
    run(p);
    assert_int_equal(p->b.c->gpr[RCX], 0x7f000000);
    assert_int_equal(p->b.c->gpr[RBX], 0);
    make_handler(p, X86_UD, false);
    p->b.vcpu->engine->state_changed(p->b.vcpu);
    CODE(p, 0x0f, 0x0b, 0xf4); /* ud2 */
    run(p);
    assert_int_equal(p->b.c->rip, HANDLER + 4);
}

static void a_triple_fault_is_a_shutdown(void **state)
{
    BOARD(p, state);
    p->b.c->idtr.limit = 0;
    p->b.vcpu->engine->state_changed(p->b.vcpu);
    CODE(p, 0x0f, 0x0b);
    assert_int_equal(p->b.vcpu->engine->run(p->b.vcpu), VCPU_EXIT_SHUTDOWN);
    assert_int_equal(p->b.c->activity, X86_SHUTDOWN);
}

static void interrupts_come_when_the_guest_lets_them(void **state)
{
    BOARD(p, state);
    make_handler(p, VECTOR, false);
    p->irq = true;
    vcpu_request(p->b.vcpu, VCPU_REQ_IRQ);
    CODE(p, 0xff, 0xc0, 0xfb, 0xff, 0xc0, 0xff, 0xc0, 0xf4); /* inc eax; sti; inc eax; inc eax; hlt */
    p->b.c->gpr[RAX] = 0;
    run(p);
    assert_int_equal(p->b.c->rip, HANDLER + 4);
    assert_true(p->b.c->gpr[RAX] >= 2); /* behind the shadow of STI */
    assert_false(p->irq);
    assert_false(p->b.c->rflags & FLAG_IF);
}

static void the_shared_page_holds_interrupts_off(void **state)
{
    BOARD(p, state);
    make_handler(p, VECTOR, false);
    p->b.c->hc_shared = 0x55000 | 1;
    p->b.c->rflags |= FLAG_IF;
    p->irq = true;
    vcpu_request(p->b.vcpu, VCPU_REQ_IRQ);
    CODE(p, 0x90, 0xe7, X86_HC_PORT, 0x90, 0xf4); /* nop; out e4h, eax: yield, and wait */
    p->b.c->gpr[RAX] = X86_HC_YIELD;
    p->b.c->gpr[RDI] = 1;
    p->b.vcpu->engine->state_changed(p->b.vcpu);
    run(p);
    assert_int_equal(bare_peek64(&p->b, 0x55000), 0x0101); /* on, by the call; and one had been held off */
    assert_int_equal(p->b.c->rip, HANDLER + 4);
    assert_int_equal(bare_peek64(&p->b, p->b.c->gpr[RSP]), BARE_CODE + 3); /* where it came */
}

/* ---- other threads ---- */

static void *ask_to_stop(void *opaque)
{
    struct board *p = opaque;
    const _Atomic uint32_t *count = gmem_pin(&p->b.vm.gmem, BARE_DATA, 4);
    while (!atomic_load(count))
        (void)sched_yield();
    vcpu_request(p->b.vcpu, VCPU_REQ_STOP);
    return NULL;
}

static void a_request_stops_an_endless_loop(void **state)
{
    BOARD(p, state);
    pthread_t thread;
    CODE(p, 0xff, 0x04, 0x25, 0x00, 0x00, 0x03, 0x00, 0xeb, 0xf7); /* 1: inc dword [BARE_DATA]; jmp 1b */
    assert_int_equal(BARE_DATA, 0x30000);
    assert_int_equal(pthread_create(&thread, NULL, ask_to_stop, p), 0);
    assert_int_equal(p->b.vcpu->engine->run(p->b.vcpu), VCPU_EXIT_REQUEST);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(p->b.c->rip == BARE_CODE || p->b.c->rip == BARE_CODE + 7);
    (void)vcpu_take(p->b.vcpu, VCPU_REQ_STOP);
}

static void descriptors_for_a_sandbox_are_its_own(void **state)
{
    BOARD(p, state);
    struct kvm_descriptor fd[KVM_DESCRIPTORS];
    assert_true(kvm_descriptors(p->b.vcpu, fd));
    assert_true(fd[0].fd > 2 && fd[1].fd > 2 && fd[0].fd != fd[1].fd && fd[0].nr_ioctls > 10 && fd[1].nr_ioctls == 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(code_runs_and_its_state_comes_back),
        T(all_of_the_state_goes_there_and_back),
        T(what_kvm_lacks_the_model_lacks),
        T(ports_reach_devices_in_each_size),
        T(repeated_port_accesses_count),
        T(memory_that_is_no_ram_is_a_device),
        T(hypercalls_go_by_the_port),
        T(batches_of_page_tables_are_seen_at_once),
        T(msrs_are_ours_or_kvms_and_others_fault),
        T(cr8_is_the_apics_priority),
        T(the_tsc_is_the_guests),
        T(faults_are_the_guests),
        T(a_triple_fault_is_a_shutdown),
        T(interrupts_come_when_the_guest_lets_them),
        T(the_shared_page_holds_interrupts_off),
        T(a_request_stops_an_endless_loop),
        T(descriptors_for_a_sandbox_are_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
