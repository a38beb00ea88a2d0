/* SPDX-License-Identifier: MIT */
/*
 * Laws of the system and I/O instructions, run as guest code.
 */
#include "support/bare_x86.h"

#include "base/checked.h"
#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"

enum { PORT = 0x80, TSS = BARE_DATA + 0x8000, USER_CS = 0x1b };

/* A device that gives 1, 2, 3, ... and remembers what was written. */
struct tape {
    uint64_t in;
    unsigned nr_out;
    uint64_t out[8];
    unsigned size;
};

static uint64_t tape_read(void *dev, uint64_t offset, unsigned size)
{
    struct tape *t = dev;
    (void)offset;
    t->size = size;
    return ++t->in;
}

static void tape_write(void *dev, uint64_t offset, uint64_t value, unsigned size)
{
    struct tape *t = dev;
    (void)offset;
    t->size = size;
    if (t->nr_out < ARRAY_SIZE(t->out))
        t->out[t->nr_out++] = value;
}

static const struct io_ops tape_ops = { .read = tape_read, .write = tape_write, .min_size = 1, .max_size = 4 };

struct rig {
    struct bare b; /* first: bare_x86.h's users take it so */
    struct tape tape;
};

static int setup(void **state)
{
    static struct rig rig;
    struct error err = { 0 };
    rig.tape = (struct tape){ 0 };
    bare_init(&rig.b);
    bare_long(&rig.b);
    vm_clock_set_manual(&rig.b.vm.clock);
    assert_int_equal(bus_map(&rig.b.vm.pio, PORT, 8, &tape_ops, &rig.tape, "tape", &err), 0);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    bare_done(&((struct rig *)*state)->b);
    return 0;
}

/* Runs the code up to its HLT. */
#define RUN(b, ...)                                                                                                              \
    do {                                                                                                                         \
        static const uint8_t code_[] = { __VA_ARGS__, 0xf4 };                                                                    \
        bare_code(b, BARE_CODE, code_, sizeof(code_));                                                                           \
        (b)->c->rip = BARE_CODE;                                                                                                 \
        (b)->c->activity = X86_RUNNING;                                                                                          \
        bare_run(b);                                                                                                             \
    } while (0)

/* Decodes and executes one instruction; true if it raised (or the decoder already says #UD). */
static bool step_raises(struct bare *b, const void *code, unsigned len)
{
    struct x86_insn i;
    int r = x86_decode(code, len, (enum x86_mode)b->c->mode, &i);
    if (r == X86_DECODE_INVALID) {
        b->c->trap.vector = X86_UD;
        return true;
    }
    assert_int_equal(r, len);
    b->c->next_rip = b->c->rip + len;
    return RAISES(b->c, (i.step(b->c, &i), 0));
}
#define FAULTS(b, vec, ...)                                                                                                      \
    do {                                                                                                                         \
        static const uint8_t code_[] = { __VA_ARGS__ };                                                                          \
        assert_true(step_raises(b, code_, sizeof(code_)));                                                                       \
        assert_int_equal((b)->c->trap.vector, vec);                                                                              \
    } while (0)
#define PASSES(b, ...)                                                                                                           \
    do {                                                                                                                         \
        static const uint8_t code_[] = { __VA_ARGS__ };                                                                          \
        assert_false(step_raises(b, code_, sizeof(code_)));                                                                      \
    } while (0)

static void go_user(struct x86_cpu *c)
{
    c->seg[SEG_SS].attr |= SEG_DPL;
    c->seg[SEG_CS].attr |= SEG_DPL;
    c->seg[SEG_CS].sel = USER_CS;
    x86_state_changed(c);
    assert_int_equal(c->cpl, 3);
}

static void privileged_instructions_fault_in_user_mode(void **state)
{
    struct bare *b = *state;
    go_user(b->c);
    FAULTS(b, X86_GP, 0xf4);                         /* hlt */
    FAULTS(b, X86_GP, 0x0f, 0x20, 0xc0);             /* mov rax, cr0 */
    FAULTS(b, X86_GP, 0x0f, 0x22, 0xd8);             /* mov cr3, rax */
    FAULTS(b, X86_GP, 0x0f, 0x21, 0xf8);             /* mov rax, dr7 */
    FAULTS(b, X86_GP, 0x0f, 0x32);                   /* rdmsr */
    FAULTS(b, X86_GP, 0x0f, 0x30);                   /* wrmsr */
    FAULTS(b, X86_GP, 0x0f, 0x06);                   /* clts */
    FAULTS(b, X86_GP, 0x0f, 0x08);                   /* invd */
    FAULTS(b, X86_GP, 0x0f, 0x09);                   /* wbinvd */
    FAULTS(b, X86_GP, 0x0f, 0x01, 0x38);             /* invlpg [rax] */
    FAULTS(b, X86_GP, 0x66, 0x0f, 0x38, 0x82, 0x00); /* invpcid rax, [rax] */
    FAULTS(b, X86_UD, 0x0f, 0x01, 0xca);             /* clac */
    assert_int_equal(b->c->activity, X86_RUNNING);
}

static void absent_instructions_are_undefined(void **state)
{
    struct bare *b = *state;
    FAULTS(b, X86_UD, 0x0f, 0x0b);             /* ud2 */
    FAULTS(b, X86_UD, 0x0f, 0xaa);             /* rsm */
    FAULTS(b, X86_UD, 0x0f, 0x01, 0xc8);       /* monitor */
    FAULTS(b, X86_UD, 0x0f, 0x01, 0xc9);       /* mwait */
    FAULTS(b, X86_UD, 0x0f, 0x20, 0xc8);       /* mov rax, cr1 */
    FAULTS(b, X86_UD, 0x0f, 0x22, 0xf8);       /* mov cr7, rax */
    FAULTS(b, X86_UD, 0x44, 0x0f, 0x21, 0xc0); /* mov rax, dr8 */
    FAULTS(b, X86_GP, 0x0f, 0x33);             /* rdpmc: no counters */
}

static void wrong_control_register_comes_before_privilege(void **state)
{
    struct bare *b = *state;
    go_user(b->c);
    FAULTS(b, X86_UD, 0x0f, 0x20, 0xc8);
    b->c->cr4 |= CR4_DE;
    FAULTS(b, X86_UD, 0x0f, 0x21, 0xe0); /* mov rax, dr4 */
}

static void cpuid_clears_upper_halves(void **state)
{
    struct bare *b = *state;
    uint32_t want[4];
    x86_cpuid(b->c, 4, 1, want);
    b->c->gpr[RAX] = 0xffffffff00000004;
    b->c->gpr[RCX] = 0xffffffff00000001;
    RUN(b, 0x0f, 0xa2);
    assert_int_equal(b->c->gpr[RAX], want[0]);
    assert_int_equal(b->c->gpr[RBX], want[1]);
    assert_int_equal(b->c->gpr[RCX], want[2]);
    assert_int_equal(b->c->gpr[RDX], want[3]);
}

static void rdtsc_and_kin_split_64_bits(void **state)
{
    struct bare *b = *state;
    vm_clock_advance(&b->vm.clock, 0x1122334455);
    b->c->tsc_aux = 77;
    RUN(b, 0x0f, 0x01, 0xf9); /* rdtscp */
    assert_int_equal(b->c->gpr[RDX] << 32 | b->c->gpr[RAX], x86_tsc(b->c));
    assert_int_equal(b->c->gpr[RCX], 77);
    b->c->gpr[RAX] = b->c->gpr[RDX] = ~0ULL;
    RUN(b, 0x0f, 0x31);
    assert_int_equal(b->c->gpr[RDX] << 32 | b->c->gpr[RAX], x86_tsc(b->c));
    RUN(b, 0xf3, 0x0f, 0xc7, 0xfb); /* rdpid rbx */
    assert_int_equal(b->c->gpr[RBX], 77);
    b->c->cr4 |= CR4_TSD;
    RUN(b, 0x0f, 0x31); /* still free at CPL 0 */
    go_user(b->c);
    FAULTS(b, X86_GP, 0x0f, 0x31);
}

static void wrmsr_then_rdmsr(void **state)
{
    struct bare *b = *state;
    b->c->gpr[RCX] = 0xffffffffc0000082; /* the upper half does not count */
    b->c->gpr[RAX] = 0xdeadbeef81000000;
    b->c->gpr[RDX] = 0xffffffff;
    RUN(b, 0x0f, 0x30, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x32); /* wrmsr; xor eax,eax; xor edx,edx; rdmsr */
    assert_int_equal(b->c->lstar, 0xffffffff81000000);
    assert_int_equal(b->c->gpr[RAX], 0x81000000);
    assert_int_equal(b->c->gpr[RDX], 0xffffffff);
}

static void stac_and_clac_move_the_bank(void **state)
{
    struct bare *b = *state;
    b->c->cr4 |= CR4_SMAP;
    x86_state_changed(b->c);
    RUN(b, 0x0f, 0x01, 0xcb);
    assert_true(b->c->rflags & FLAG_AC);
    assert_int_equal(b->c->bank, X86_BANK_KERNEL_AC);
    RUN(b, 0x0f, 0x01, 0xca);
    assert_false(b->c->rflags & FLAG_AC);
    assert_int_equal(b->c->bank, X86_BANK_KERNEL);
}

static void clts_clears_ts_only(void **state)
{
    struct bare *b = *state;
    uint64_t was = b->c->cr0;
    b->c->cr0 |= CR0_TS;
    RUN(b, 0x0f, 0x06);
    assert_int_equal(b->c->cr0, was);
}

static void random_numbers_set_carry_only(void **state)
{
    struct bare *b = *state;
    uint64_t seen[4];
    for (unsigned k = 0; k < 4; k++) {
        b->c->rflags |= FLAGS_ARITH;
        if (k & 1)
            RUN(b, 0x48, 0x0f, 0xc7, 0xf0); /* rdrand rax */
        else
            RUN(b, 0x48, 0x0f, 0xc7, 0xf8); /* rdseed rax */
        assert_int_equal(b->c->rflags & FLAGS_ARITH, FLAG_CF);
        seen[k] = b->c->gpr[RAX];
    }
    assert_false(seen[0] == seen[1] && seen[1] == seen[2] && seen[2] == seen[3]);
    b->c->gpr[RAX] = 0x1122334455667788;
    RUN(b, 0x66, 0x0f, 0xc7, 0xf0); /* rdrand ax */
    assert_int_equal(b->c->gpr[RAX] >> 16, 0x112233445566);
}

static void clflush_faults_as_a_read_does(void **state)
{
    struct bare *b = *state;
    b->c->gpr[RAX] = BARE_DATA;
    PASSES(b, 0x0f, 0xae, 0x38);
    b->c->gpr[RAX] = 4 << 20; /* not mapped */
    FAULTS(b, X86_PF, 0x0f, 0xae, 0x38);
    assert_int_equal(b->c->trap.cr2, 4 << 20);
    assert_int_equal(b->c->trap.error, 0);
    FAULTS(b, X86_PF, 0x66, 0x0f, 0xae, 0x38); /* clflushopt */
    FAULTS(b, X86_PF, 0x66, 0x0f, 0xae, 0x30); /* clwb */
    b->c->gpr[RAX] = 1ULL << 47;
    FAULTS(b, X86_GP, 0x0f, 0xae, 0x38);
}

static void invlpg_shows_the_new_mapping(void **state)
{
    struct bare *b = *state;
    bare_poke64(b, BARE_DATA, 1);
    bare_poke64(b, BARE_DATA + 0x1000, 2);
    assert_int_equal(x86_lin_read(b->c, BARE_DATA, 8, X86_BANK_KERNEL_AC), 1);
    bare_poke64(b, BARE_TABLES + 0x3000 + 8 * (BARE_DATA >> 12), (BARE_DATA + 0x1000) | 7);
    b->c->gpr[RAX] = BARE_DATA + 0x123;
    PASSES(b, 0x0f, 0x01, 0x38);
    assert_int_equal(x86_lin_read(b->c, BARE_DATA, 8, X86_BANK_KERNEL_AC), 2);
    b->c->gpr[RAX] = 1ULL << 47; /* not canonical: nothing happens */
    PASSES(b, 0x0f, 0x01, 0x38);
}

static void invpcid_checks_type_and_descriptor(void **state)
{
    struct bare *b = *state;
    static const struct {
        uint64_t type, pcid, address;
        bool ok, ok_with_pcide;
    } row[] = {
        { 0, 0, 0x1000, true, true },       { 0, 0, 1ULL << 47, false, false },
        { 0, 3, 0x1000, false, true },      { 1, 0, 1ULL << 47, true, true },
        { 1, 4095, 0, false, true },        { 1, 4096, 0, false, false },
        { 2, 5, 1ULL << 47, true, true },   { 3, 5, 0, true, true },
        { 3, 1ULL << 63, 0, false, false }, { 4, 0, 0, false, false },
    };
    static const uint8_t invpcid[] = { 0x66, 0x0f, 0x38, 0x82, 0x03 }; /* rax, [rbx] */
    for (unsigned pcide = 0; pcide < 2; pcide++) {
        b->c->cr4 |= pcide ? CR4_PCIDE : 0;
        for (unsigned k = 0; k < ARRAY_SIZE(row); k++) {
            bare_poke64(b, BARE_DATA, row[k].pcid);
            bare_poke64(b, BARE_DATA + 8, row[k].address);
            b->c->gpr[RAX] = row[k].type;
            b->c->gpr[RBX] = BARE_DATA;
            assert_int_equal(!step_raises(b, invpcid, sizeof(invpcid)), pcide ? row[k].ok_with_pcide : row[k].ok);
        }
    }
}

static void unknown_hypercalls_return_enosys(void **state)
{
    struct bare *b = *state;
    b->c->gpr[RAX] = 999;
    RUN(b, 0x0f, 0x01, 0xc1);
    assert_int_equal(b->c->gpr[RAX], (uint64_t)-1000);
    RUN(b, 0x0f, 0x01, 0xd9);
    assert_int_equal(b->c->gpr[RAX], (uint64_t)-1000);
    go_user(b->c);
    PASSES(b, 0x0f, 0x01, 0xc1);
    assert_int_equal(b->c->gpr[RAX], (uint64_t)-1); /* EPERM */
}

/* ---- I/O ---- */

static void in_and_out_move_the_operand_size(void **state)
{
    struct rig *r = *state;
    struct x86_cpu *c = r->b.c;
    c->gpr[RAX] = 0x1122334455667788;
    RUN(&r->b, 0xe4, PORT); /* in al, imm8 */
    assert_int_equal(c->gpr[RAX], 0x1122334455667701);
    assert_int_equal(r->tape.size, 1);
    c->gpr[RDX] = 0xffff0000 | PORT;
    RUN(&r->b, 0x66, 0xed); /* in ax, dx */
    assert_int_equal(c->gpr[RAX], 0x1122334455660002);
    RUN(&r->b, 0x48, 0xed); /* in eax, dx, with REX.W */
    assert_int_equal(c->gpr[RAX], 3);
    assert_int_equal(r->tape.size, 4);
    c->gpr[RAX] = 0x1122334455667788;
    RUN(&r->b, 0xee, 0x66, 0xe7, PORT, 0xef); /* out dx, al; out imm8, ax; out dx, eax */
    assert_int_equal(r->tape.nr_out, 3);
    assert_int_equal(r->tape.out[0], 0x88);
    assert_int_equal(r->tape.out[1], 0x7788);
    assert_int_equal(r->tape.out[2], 0x55667788);
}

static void rep_ins_fills_and_rep_outs_empties(void **state)
{
    struct rig *r = *state;
    struct x86_cpu *c = r->b.c;
    c->gpr[RDX] = PORT;
    c->gpr[RDI] = BARE_DATA;
    c->gpr[RCX] = 4;
    RUN(&r->b, 0xf3, 0x66, 0x6d); /* rep insw */
    assert_int_equal(bare_peek64(&r->b, BARE_DATA), 0x0004000300020001);
    assert_int_equal(c->gpr[RCX], 0);
    assert_int_equal(c->gpr[RDI], BARE_DATA + 8);
    c->gpr[RSI] = BARE_DATA + 6;
    c->gpr[RCX] = 3;
    c->rflags |= FLAG_DF;
    RUN(&r->b, 0xf3, 0x66, 0x6f); /* rep outsw, downwards */
    assert_int_equal(r->tape.nr_out, 3);
    assert_int_equal(r->tape.out[0], 4);
    assert_int_equal(r->tape.out[2], 2);
    assert_int_equal(c->gpr[RSI], BARE_DATA);
    c->gpr[RCX] = 0;
    RUN(&r->b, 0xf3, 0x6c); /* nothing to do */
    assert_int_equal(r->tape.in, 4);
}

static void ins_reads_no_port_when_its_store_would_fault(void **state)
{
    struct rig *r = *state;
    struct x86_cpu *c = r->b.c;
    c->gpr[RDX] = PORT;
    c->gpr[RCX] = 5;
    c->gpr[RDI] = (2 << 20) - 2; /* the second MiB's end; nothing is mapped behind it */
    FAULTS(&r->b, X86_PF, 0xf3, 0x6c);
    assert_int_equal(r->tape.in, 2);
    assert_int_equal(c->gpr[RCX], 3); /* as if begun with the rest */
    assert_int_equal(c->gpr[RDI], 2 << 20);
    assert_int_equal(c->trap.cr2, 2 << 20);
}

static void a_repeated_one_yields_to_requests(void **state)
{
    struct rig *r = *state;
    struct x86_cpu *c = r->b.c;
    c->gpr[RDX] = PORT;
    c->gpr[RCX] = 5;
    c->gpr[RDI] = BARE_DATA;
    c->rip = BARE_CODE;
    vcpu_request(r->b.vcpu, VCPU_REQ_IRQ);
    PASSES(&r->b, 0xf3, 0x6c);
    assert_int_equal(c->gpr[RCX], 4);
    assert_int_equal(c->next_rip, BARE_CODE); /* to be begun again */
    (void)vcpu_take(r->b.vcpu, VCPU_REQ_IRQ);
    PASSES(&r->b, 0xf3, 0x6c);
    assert_int_equal(c->gpr[RCX], 0);
    assert_int_equal(c->next_rip, BARE_CODE + 2);
}

static void user_io_asks_iopl_then_the_bitmap(void **state)
{
    struct rig *r = *state;
    struct bare *b = &r->b;
    struct x86_cpu *c = b->c;
    uint8_t tss[104 + 32 + 1] = { 0 };
    tss[102] = 104;
    tss[104 + PORT / 8] = 1 << 2; /* PORT + 2 is denied */
    tss[104 + 32] = 0xff;
    bare_code(b, TSS, tss, sizeof(tss));
    c->seg[SEG_TR] = (struct x86_seg){ .base = TSS, .limit = sizeof(tss) - 1, .attr = SEG_P | 11, .sel = 0x28 };
    go_user(c);
    PASSES(b, 0xe4, PORT);
    PASSES(b, 0xe4, PORT + 1);
    FAULTS(b, X86_GP, 0xe4, PORT + 2);
    FAULTS(b, X86_GP, 0x66, 0xe5, PORT + 1); /* touches PORT + 2 */
    FAULTS(b, X86_GP, 0xe5, PORT);
    PASSES(b, 0xe5, PORT + 3);
    c->gpr[RDX] = 256; /* beyond the limit */
    FAULTS(b, X86_GP, 0xec);
    c->gpr[RDX] = 255; /* the last one: the second byte read is the 0xff behind the map */
    PASSES(b, 0xec);
    FAULTS(b, X86_GP, 0x66, 0xed);
    c->seg[SEG_TR].limit--; /* both bytes must lie within the TSS, even when the first one has all the bits */
    FAULTS(b, X86_GP, 0xec);
    c->rflags |= FLAG_IOPL;
    PASSES(b, 0xe4, PORT + 2);
    c->rflags &= ~(uint64_t)FLAG_IOPL;
    c->seg[SEG_TR].attr = SEG_P | 3; /* a 16-bit TSS has no map */
    FAULTS(b, X86_GP, 0xe4, PORT);
}

static void an_io_breakpoint_traps_after_the_access(void **state)
{
    struct rig *r = *state;
    struct x86_cpu *c = r->b.c;
    c->cr4 |= CR4_DE;
    c->dr[1] = PORT;
    c->dr7 = 0x400 | 1 << 2 | 2 << 20; /* L1, I/O, one byte */
    x86_state_changed(c);
    PASSES(&r->b, 0xe6, PORT);
    assert_int_equal(r->tape.nr_out, 1);
    assert_int_equal(c->pending_dbg & 0xf, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(privileged_instructions_fault_in_user_mode),
        T(absent_instructions_are_undefined),
        T(wrong_control_register_comes_before_privilege),
        T(cpuid_clears_upper_halves),
        T(rdtsc_and_kin_split_64_bits),
        T(wrmsr_then_rdmsr),
        T(stac_and_clac_move_the_bank),
        T(clts_clears_ts_only),
        T(random_numbers_set_carry_only),
        T(clflush_faults_as_a_read_does),
        T(invlpg_shows_the_new_mapping),
        T(invpcid_checks_type_and_descriptor),
        T(unknown_hypercalls_return_enosys),
        T(in_and_out_move_the_operand_size),
        T(rep_ins_fills_and_rep_outs_empties),
        T(ins_reads_no_port_when_its_store_would_fault),
        T(a_repeated_one_yields_to_requests),
        T(user_io_asks_iopl_then_the_bitmap),
        T(an_io_breakpoint_traps_after_the_access),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
