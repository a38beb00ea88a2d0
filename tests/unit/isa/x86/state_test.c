/* SPDX-License-Identifier: MIT */
/*
 * Laws of the CPU's saved state, of reset and of INIT.
 */
#include "support/bare_x86.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"

static int setup(void **state)
{
    static struct bare bare;
    bare_init(&bare);
    bare_long(&bare);
    *state = &bare;
    return 0;
}

static int teardown(void **state)
{
    bare_done(*state);
    return 0;
}

static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

/* A legal state in 64-bit mode with something in every field. */
static void fill(struct x86_cpu *c, uint64_t seed)
{
    for (unsigned k = 0; k < 16; k++)
        c->gpr[k] = next(&seed);
    c->rip = next(&seed) >> 20;
    c->rflags = FLAG_ONE | FLAG_IF | (next(&seed) & FLAGS_ARITH);
    for (unsigned s = SEG_FS; s <= SEG_GS; s++)
        c->seg[s].base = next(&seed) >> 20;
    c->gdtr = (struct x86_table_reg){ next(&seed) >> 20, (uint16_t)next(&seed) };
    c->idtr = (struct x86_table_reg){ next(&seed) >> 20, (uint16_t)next(&seed) };
    c->cr2 = next(&seed);
    for (unsigned k = 0; k < 4; k++) {
        c->dr[k] = next(&seed);
        c->mc_status[k] = next(&seed);
        c->pdpte[k] = next(&seed);
    }
    uint8_t *fpu = (uint8_t *)&c->fpu;
    for (unsigned k = 0; k < sizeof(c->fpu); k++)
        fpu[k] = (uint8_t)next(&seed);
    c->fpu.mxcsr = 0x1f80 | (next(&seed) & 0x3f);
    c->star = next(&seed);
    c->lstar = next(&seed) >> 20;
    c->cstar = next(&seed) >> 20;
    c->fmask = (uint32_t)next(&seed);
    c->kernel_gs_base = next(&seed) >> 20;
    c->tsc_aux = (uint32_t)next(&seed);
    c->sysenter_cs = (uint32_t)next(&seed);
    c->sysenter_esp = next(&seed) >> 20;
    c->sysenter_eip = next(&seed) >> 20;
    c->tsc_adjust = next(&seed);
    c->spec_ctrl = 1;
    c->kvm_wall_clock = next(&seed) & ~1ULL;
    c->int_shadow = 1;
    c->nmi_blocked = true;
    c->activity = X86_HALTED;
    c->pending_dbg = 1 << 14;
    x86_state_changed(c);
}

static struct state_buf save(struct x86_cpu *c)
{
    struct state_buf buf = { 0 };
    assert_int_equal(state_save(&x86_state_desc, c, &buf), 0);
    return buf;
}

static int load(struct x86_cpu *c, const struct state_buf *from, size_t len)
{
    struct state_buf buf = { .data = from->data, .len = len };
    struct error err = { 0 };
    int r = state_load(&x86_state_desc, c, &buf, &err);
    if (r < 0)
        assert_int_not_equal(err.msg[0], 0); /* a refusal says why */
    return r;
}

static void a_saved_state_loads_as_it_was(void **state)
{
    struct bare *b = *state;
    for (uint64_t seed = 1; seed < 50; seed++) {
        fill(b->c, seed * 0x9e3779b97f4a7c15ULL);
        struct state_buf buf = save(b->c);
        struct x86_cpu *was = aligned_alloc(64, ALIGN_UP(sizeof(*was), (size_t)64));
        assert_non_null(was);
        memcpy(was, b->c, sizeof(*was));
        x86_cpu_reset(b->c);
        assert_non_null(state_diff(&x86_state_desc, was, b->c));
        assert_int_equal(load(b->c, &buf, buf.len), 0);
        assert_null(state_diff(&x86_state_desc, was, b->c));
        assert_int_equal(b->c->mode, was->mode); /* what is derived comes back too */
        assert_int_equal(b->c->cpl, was->cpl);
        assert_int_equal(b->c->bank, was->bank);
        assert_int_equal(b->c->slow, was->slow);
        assert_int_equal(b->c->ip_mask, was->ip_mask);
        free(was);
        state_buf_done(&buf);
    }
}

/* Counts, byte for byte, what the declaration covers. */
static void cover(const struct state_desc *desc, uint32_t at, uint8_t *covered)
{
    for (const struct state_field *f = desc->fields; f->name; f++)
        for (uint32_t k = 0; k < f->count; k++) {
            if (f->kind == STATE_STRUCT)
                cover(f->sub, at + f->offset + k * f->size, covered);
            for (uint32_t j = 0; f->kind != STATE_STRUCT && j < f->size; j++)
                covered[at + f->offset + k * f->size + j]++;
        }
}

static void pad(uint8_t *covered, size_t from, size_t to)
{
    for (; from < to; from++)
        covered[from]++;
}

#define END(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#define AT(member) offsetof(struct x86_cpu, member)

/* Everything above the line "derived" in state.h is declared once; only these bytes are padding (or next_rip). */
static void the_declaration_covers_the_architectural_state(void **state)
{
    (void)state;
    static uint8_t covered[sizeof(struct x86_cpu)];
    memset(covered, 0, sizeof(covered));
    cover(&x86_state_desc, 0, covered);
    pad(covered, AT(next_rip), AT(rflags));
    for (unsigned k = 0; k < SEG_NR; k++)
        pad(covered, AT(seg[k]) + END(struct x86_seg, sel), AT(seg[k]) + sizeof(struct x86_seg));
    pad(covered, AT(gdtr) + END(struct x86_table_reg, limit), AT(idtr));
    pad(covered, AT(idtr) + END(struct x86_table_reg, limit), AT(cr0));
    pad(covered, END(struct x86_cpu, dr7), AT(fpu));
    pad(covered, AT(fpu) + END(struct x86_fpu, ftw), AT(fpu.fop));
    pad(covered, AT(fpu) + END(struct x86_fpu, mxcsr), AT(fpu.zmm));
    pad(covered, AT(fpu) + END(struct x86_fpu, k), AT(star));
    pad(covered, END(struct x86_cpu, kvm_clock_version), AT(pdpte));
    pad(covered, END(struct x86_cpu, unhalted), AT(pending_dbg));
    for (size_t at = 0; at < sizeof(covered); at++)
        if (covered[at] != (at < AT(cpl)))
            fail_msg("byte %zu of struct x86_cpu is declared %u times", at, covered[at]);
}

static void every_cut_state_is_refused(void **state)
{
    struct bare *b = *state;
    fill(b->c, 1234567);
    struct state_buf buf = save(b->c);
    for (size_t len = 0; len < buf.len; len++)
        assert_int_equal(load(b->c, &buf, len), -EINVAL);
    assert_int_equal(load(b->c, &buf, buf.len), 0);
    state_buf_done(&buf);
}

/* What is taken in spite of a changed byte is a state that can be saved and loaded again. */
static void a_corrupt_state_is_refused_or_legal(void **state)
{
    struct bare *b = *state;
    unsigned refused = 0;
    fill(b->c, 424242);
    struct state_buf buf = save(b->c);
    for (size_t at = 0; at < buf.len; at++) {
        uint8_t was = buf.data[at];
        buf.data[at] ^= 1U << (at % 8);
        if (load(b->c, &buf, buf.len) == 0) {
            struct state_buf again = save(b->c);
            assert_int_equal(load(b->c, &again, again.len), 0);
            state_buf_done(&again);
        } else {
            refused++;
        }
        buf.data[at] = was;
    }
    assert_true(refused > 100); /* every name hash, kind and count, at the least */
    state_buf_done(&buf);
}

#define ILLEGAL(b, change)                                                                                                       \
    do {                                                                                                                         \
        fill((b)->c, 99);                                                                                                        \
        struct x86_cpu *c = (b)->c;                                                                                              \
        struct state_buf good_ = save(c);                                                                                        \
        change;                                                                                                                  \
        struct state_buf bad_ = save(c);                                                                                         \
        assert_int_equal(load(c, &bad_, bad_.len), -EINVAL);                                                                     \
        assert_int_equal(load(c, &good_, good_.len), 0);                                                                         \
        state_buf_done(&bad_);                                                                                                   \
        state_buf_done(&good_);                                                                                                  \
    } while (0)

static void states_no_program_can_reach_are_refused(void **state)
{
    struct bare *b = *state;
    ILLEGAL(b, c->cr0 &= ~(uint64_t)CR0_PE);
    ILLEGAL(b, c->cr0 |= 1 << 6);
    ILLEGAL(b, c->cr0 |= CR0_NW);
    ILLEGAL(b, c->cr3 |= 1ULL << 60);
    ILLEGAL(b, c->cr4 |= 1 << 13);
    ILLEGAL(b, c->cr4 &= ~(uint64_t)CR4_PAE);
    ILLEGAL(b, c->efer &= ~(uint64_t)EFER_LMA);
    ILLEGAL(b, c->efer |= 1 << 12);
    ILLEGAL(b, c->xcr0 = 0);
    ILLEGAL(b, c->xcr0 = 1 << 9 | 3);
    ILLEGAL(b, c->xss = 1);
    ILLEGAL(b, c->rflags &= ~(uint64_t)FLAG_ONE);
    ILLEGAL(b, c->rflags |= 1 << 15);
    ILLEGAL(b, c->rflags |= FLAG_VM);
    ILLEGAL(b, c->fpu.mxcsr = 0x10000); /* the host's LDMXCSR would fault */
    ILLEGAL(b, c->activity = X86_SHUTDOWN + 1);
    ILLEGAL(b, c->int_shadow = 3);
    ILLEGAL(b, c->pending_dbg = 1 << 16);
    ILLEGAL(b, c->dr7 = 1ULL << 40);
    ILLEGAL(b, c->seg[SEG_GS].base = 1ULL << 63);
    ILLEGAL(b, c->seg[SEG_CS].attr |= SEG_DB);
    ILLEGAL(b, c->seg[SEG_ES].attr |= 1U << 31);
    ILLEGAL(b, c->lstar = 1ULL << 47);
    ILLEGAL(b, c->idtr.base = 1ULL << 50);
    ILLEGAL(b, c->pat = 2);
}

/* ---- reset, INIT. Spec: SDM 3A table 10-1 ---- */

static void reset_starts_at_the_reset_vector(void **state)
{
    struct bare *b = *state;
    struct x86_cpu *c = b->c;
    fill(c, 5);
    x86_cpu_reset(c);
    assert_int_equal(c->seg[SEG_CS].base + c->rip, 0xfffffff0);
    assert_int_equal(c->seg[SEG_CS].sel, 0xf000);
    assert_int_equal(c->cr0, 0x60000010);
    assert_int_equal(c->rflags, 2);
    assert_int_equal(c->dr6, 0xffff0ff0);
    assert_int_equal(c->dr7, 0x400);
    assert_int_equal(c->pat, 0x0007040600070406);
    assert_int_equal(c->fpu.mxcsr, 0x1f80);
    assert_int_equal(c->fpu.fcw, 0x40);
    assert_int_equal(c->xcr0, 1);
    assert_int_equal(c->gpr[RAX], 0); /* the self-test passed */
    uint32_t r[4];
    x86_cpuid(c, 1, 0, r);
    assert_int_equal(c->gpr[RDX], r[0]);
    assert_int_equal(c->mode, X86_MODE_16);
    assert_int_equal(c->cpl, 0);
    assert_int_equal(c->activity, X86_RUNNING);
}

static void only_the_boot_cpu_runs_after_reset(void **state)
{
    struct bare *b = *state;
    b->vcpu->id = 1;
    x86_cpu_reset(b->c);
    assert_int_equal(b->c->activity, X86_WAIT_SIPI);
    b->vcpu->id = 0;
    x86_cpu_init_signal(b->c);
    assert_int_equal(b->c->activity, X86_RUNNING);
}

static void init_keeps_what_the_manual_keeps(void **state)
{
    struct bare *b = *state;
    struct x86_cpu *c = b->c;
    fill(c, 77);
    c->cr0 |= CR0_CD;
    c->mtrr_def_type = 0x800;
    struct x86_fpu fpu = c->fpu;
    uint64_t lstar = c->lstar, adjust = c->tsc_adjust, status = c->mc_status[1], gs = c->kernel_gs_base;
    x86_cpu_init_signal(c);
    assert_memory_equal(&c->fpu, &fpu, sizeof(fpu));
    assert_int_equal(c->lstar, lstar);
    assert_int_equal(c->tsc_adjust, adjust);
    assert_int_equal(c->mc_status[1], status);
    assert_int_equal(c->kernel_gs_base, gs);
    assert_int_equal(c->mtrr_def_type, 0x800);
    assert_int_equal(c->cr0, CR0_CD | CR0_ET); /* CD and NW stay as they were */
    assert_int_equal(c->cr3 | c->cr4 | c->efer, 0);
    assert_int_equal(c->seg[SEG_CS].base + c->rip, 0xfffffff0);
    assert_int_equal(c->gpr[RBX], 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_saved_state_loads_as_it_was),
        cmocka_unit_test(the_declaration_covers_the_architectural_state),
        T(every_cut_state_is_refused),
        T(a_corrupt_state_is_refused_or_legal),
        T(states_no_program_can_reach_are_refused),
        T(reset_starts_at_the_reset_vector),
        T(only_the_boot_cpu_runs_after_reset),
        T(init_keeps_what_the_manual_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
