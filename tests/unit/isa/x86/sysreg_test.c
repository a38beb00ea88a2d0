/* SPDX-License-Identifier: MIT */
/*
 * Laws of control, debug and model-specific registers: which writes fault, that a fault changes nothing, what follows.
 */
#include "support/bare_x86.h"

#include "base/checked.h"
#include "isa/x86/kvmpv.h"
#include "isa/x86/profile.h"
#include "isa/x86/sysreg.h"

enum { DR7_GD = 1 << 13, DR6_BD = 1 << 13 };
#define NON_CANONICAL 0x0000800000000000ULL

static int setup(void **state)
{
    static struct bare bare;
    bare_init(&bare);
    vm_clock_set_manual(&bare.vm.clock);
    *state = &bare;
    return 0;
}

static int setup_long(void **state)
{
    setup(state);
    bare_long(*state);
    return 0;
}

static int teardown(void **state)
{
    bare_done(*state);
    return 0;
}

static struct x86_cpu *cpu(void **state)
{
    return ((struct bare *)*state)->c;
}

/* expr must raise #GP(0) and leave *reg alone. */
#define REFUSED(c, reg, expr)                                                                                                    \
    do {                                                                                                                         \
        uint64_t before_ = (reg);                                                                                                \
        assert_true(RAISES(c, (expr, 0)));                                                                                       \
        assert_int_equal((c)->trap.vector, X86_GP);                                                                              \
        assert_true((c)->trap.has_error);                                                                                        \
        assert_int_equal((c)->trap.error, 0);                                                                                    \
        assert_int_equal((reg), before_);                                                                                        \
    } while (0)
#define TAKEN(c, expr) assert_false(RAISES(c, (expr, 0)))

/* Leaves reset state for 32-bit protected mode with flat segments, paging off. */
static void protected_mode(struct x86_cpu *c)
{
    c->cr0 = CR0_PE | CR0_ET;
    bare_segment(c, SEG_CS, 8, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G);
    for (unsigned s = 0; s <= SEG_GS; s++)
        if (s != SEG_CS)
            bare_segment(c, s, 16, SEG_P | SEG_S | SEG_TYPE_RW | SEG_TYPE_A | SEG_DB | SEG_G);
    x86_state_changed(c);
}

static bool reads(struct x86_cpu *c, uint32_t msr)
{
    return !RAISES(c, x86_msr_read(c, msr));
}

static bool writes(struct x86_cpu *c, uint32_t msr, uint64_t v)
{
    return !RAISES(c, (x86_msr_write(c, msr, v), 0));
}

/* ---- CR0 ---- */

static void cr0_illegal_combinations_fault(void **state)
{
    struct x86_cpu *c = cpu(state);
    REFUSED(c, c->cr0, x86_cr0_write(c, CR0_PG | CR0_ET));          /* paging without protection */
    REFUSED(c, c->cr0, x86_cr0_write(c, CR0_PE | CR0_NW | CR0_ET)); /* not write-through without cache disable */
    REFUSED(c, c->cr0, x86_cr0_write(c, 1ULL << 32 | CR0_PE));
}

static void cr0_reserved_low_bits_are_ignored_and_et_stays(void **state)
{
    struct x86_cpu *c = cpu(state);
    TAKEN(c, x86_cr0_write(c, CR0_PE | 1 << 6 | 1 << 17 | 1 << 28));
    assert_int_equal(c->cr0, CR0_PE | CR0_ET);
}

static void paging_with_lme_activates_long_mode(void **state)
{
    struct x86_cpu *c = cpu(state);
    protected_mode(c);
    c->efer = EFER_LME;
    REFUSED(c, c->cr0, x86_cr0_write(c, c->cr0 | CR0_PG)); /* needs PAE */
    TAKEN(c, x86_cr4_write(c, CR4_PAE));
    TAKEN(c, x86_cr0_write(c, c->cr0 | CR0_PG));
    assert_int_equal(c->efer, EFER_LME | EFER_LMA);
    assert_true(c->long_mode);
    assert_int_equal(c->mode, X86_MODE_32); /* compatibility mode until CS.L is loaded */
    TAKEN(c, x86_cr0_write(c, c->cr0 & ~(uint64_t)CR0_PG));
    assert_int_equal(c->efer, EFER_LME);
    assert_false(c->long_mode);
}

static void long_mode_is_not_entered_with_cs_l_or_a_16bit_tss(void **state)
{
    struct x86_cpu *c = cpu(state);
    protected_mode(c);
    c->efer = EFER_LME;
    c->cr4 = CR4_PAE;
    c->seg[SEG_TR].attr = SEG_P | 3;
    REFUSED(c, c->cr0, x86_cr0_write(c, c->cr0 | CR0_PG));
    c->seg[SEG_TR].attr = SEG_P | 11;
    c->seg[SEG_CS].attr |= SEG_L;
    REFUSED(c, c->cr0, x86_cr0_write(c, c->cr0 | CR0_PG));
    c->seg[SEG_CS].attr &= ~(uint32_t)SEG_L;
    TAKEN(c, x86_cr0_write(c, c->cr0 | CR0_PG));
}

static void paging_stays_on_in_64bit_mode(void **state)
{
    struct x86_cpu *c = cpu(state);
    REFUSED(c, c->cr0, x86_cr0_write(c, c->cr0 & ~(uint64_t)CR0_PG));
}

/* ---- CR3, PDPTEs ---- */

static void cr3_reserved_bits_fault(void **state)
{
    struct x86_cpu *c = cpu(state);
    REFUSED(c, c->cr3, x86_cr3_write(c, 1ULL << x86_phys_bits(c)));
    REFUSED(c, c->cr3, x86_cr3_write(c, c->cr3 | 1ULL << 63)); /* PCIDE is off */
    TAKEN(c, x86_cr4_write(c, c->cr4 | CR4_PCIDE));
    TAKEN(c, x86_cr3_write(c, BARE_TABLES | 5 | 1ULL << 63));
    assert_int_equal(c->cr3, BARE_TABLES | 5);
    REFUSED(c, c->cr3, x86_cr3_write(c, BARE_TABLES | 1ULL << 62));
}

static void cr3_write_forgets_old_translations(void **state)
{
    struct bare *b = *state;
    struct x86_cpu *c = b->c;
    bare_poke64(b, BARE_DATA, 1);
    bare_poke64(b, BARE_DATA + 0x1000, 2);
    assert_int_equal(x86_lin_read(c, BARE_DATA, 8, X86_BANK_KERNEL_AC), 1);
    bare_poke64(b, BARE_TABLES + 0x3000 + 8 * (BARE_DATA >> 12), (BARE_DATA + 0x1000) | 7);
    TAKEN(c, x86_cr3_write(c, c->cr3));
    assert_int_equal(x86_lin_read(c, BARE_DATA, 8, X86_BANK_KERNEL_AC), 2);
}

static void cr3_load_checks_pdptes_in_pae_paging(void **state)
{
    struct bare *b = *state;
    struct x86_cpu *c = b->c;
    protected_mode(c);
    bare_poke64(b, 0x1000, 0x2000 | 1);
    bare_poke64(b, 0x3000, 0x2000 | 1 | 1 << 1); /* bit 1 of a PDPTE is reserved */
    TAKEN(c, x86_cr4_write(c, CR4_PAE));
    c->cr3 = 0x3000;
    REFUSED(c, c->cr0, x86_cr0_write(c, c->cr0 | CR0_PG));
    TAKEN(c, x86_cr3_write(c, 0x1000));
    TAKEN(c, x86_cr0_write(c, c->cr0 | CR0_PG));
    assert_int_equal(c->pdpte[0], 0x2000 | 1);
    REFUSED(c, c->cr3, x86_cr3_write(c, 0x3000));
    assert_int_equal(c->pdpte[0], 0x2000 | 1);
}

/* ---- CR4 ---- */

static void cr4_bits_of_absent_features_fault(void **state)
{
    struct x86_cpu *c = cpu(state);
    REFUSED(c, c->cr4, x86_cr4_write(c, c->cr4 | 1 << 12)); /* LA57 */
    REFUSED(c, c->cr4, x86_cr4_write(c, c->cr4 | 1 << 13)); /* VMXE */
    REFUSED(c, c->cr4, x86_cr4_write(c, c->cr4 | 1ULL << 40));
    struct x86_profile less = *c->profile;
    less.has[X86_FEAT_SMAP] = false;
    TAKEN(c, x86_cr4_write(c, c->cr4 | CR4_SMAP));
    TAKEN(c, x86_cr4_write(c, c->cr4 & ~(uint64_t)CR4_SMAP));
    c->profile = &less;
    REFUSED(c, c->cr4, x86_cr4_write(c, c->cr4 | CR4_SMAP));
}

static void pae_stays_on_in_long_mode(void **state)
{
    struct x86_cpu *c = cpu(state);
    REFUSED(c, c->cr4, x86_cr4_write(c, c->cr4 & ~(uint64_t)CR4_PAE));
}

static void pcide_needs_long_mode_and_pcid_0(void **state)
{
    struct x86_cpu *c = cpu(state);
    c->cr3 |= 1;
    REFUSED(c, c->cr4, x86_cr4_write(c, c->cr4 | CR4_PCIDE));
    c->cr3 &= ~0xfffULL;
    TAKEN(c, x86_cr4_write(c, c->cr4 | CR4_PCIDE));
    c->seg[SEG_CS].attr ^= SEG_L | SEG_DB; /* compatibility mode: paging could go off, but for PCIDE */
    x86_state_changed(c);
    REFUSED(c, c->cr0, x86_cr0_write(c, c->cr0 & ~(uint64_t)CR0_PG));
    protected_mode(c);
    c->efer = 0;
    c->cr4 = CR4_PAE;
    REFUSED(c, c->cr4, x86_cr4_write(c, c->cr4 | CR4_PCIDE));
}

static void smap_takes_effect_at_once(void **state)
{
    struct x86_cpu *c = cpu(state);
    assert_int_equal(c->bank, X86_BANK_KERNEL_AC);
    TAKEN(c, x86_cr4_write(c, c->cr4 | CR4_SMAP));
    assert_int_equal(c->bank, X86_BANK_KERNEL);
}

/* ---- XCR0, debug registers ---- */

static void xcr0_takes_only_whole_sets(void **state)
{
    struct x86_cpu *c = cpu(state);
    struct x86_profile all = *c->profile;
    all.xcr0 = 0xe7;
    c->profile = &all;
    REFUSED(c, c->xcr0, x86_xcr0_write(c, 0));
    REFUSED(c, c->xcr0, x86_xcr0_write(c, 2));
    REFUSED(c, c->xcr0, x86_xcr0_write(c, 5));    /* AVX without SSE */
    REFUSED(c, c->xcr0, x86_xcr0_write(c, 0x27)); /* a part of AVX-512 */
    REFUSED(c, c->xcr0, x86_xcr0_write(c, 0xe3)); /* AVX-512 without AVX */
    REFUSED(c, c->xcr0, x86_xcr0_write(c, 0xef)); /* MPX */
    TAKEN(c, x86_xcr0_write(c, 0xe7));
    TAKEN(c, x86_xcr0_write(c, 7));
    all.xcr0 = 3;
    REFUSED(c, c->xcr0, x86_xcr0_write(c, 7));
}

static void debug_registers_keep_their_fixed_bits(void **state)
{
    struct x86_cpu *c = cpu(state);
    TAKEN(c, x86_dr_write(c, 6, 0xffffffff));
    assert_int_equal(c->dr6, 0xffffefff);
    TAKEN(c, x86_dr_write(c, 6, 0));
    assert_int_equal(c->dr6, 0xffff0ff0);
    TAKEN(c, x86_dr_write(c, 7, 0));
    assert_int_equal(c->dr7, 0x400);
    REFUSED(c, c->dr7, x86_dr_write(c, 7, 1ULL << 32));
    REFUSED(c, c->dr6, x86_dr_write(c, 6, 1ULL << 32));
    TAKEN(c, x86_dr_write(c, 3, ~0ULL));
    assert_int_equal(c->dr[3], ~0ULL);
}

static void dr4_and_dr5_are_aliases_unless_de(void **state)
{
    struct x86_cpu *c = cpu(state);
    assert_int_equal(x86_dr_read(c, 4), c->dr6);
    assert_int_equal(x86_dr_read(c, 5), c->dr7);
    c->cr4 |= CR4_DE;
    assert_true(RAISES(c, x86_dr_read(c, 4)));
    assert_int_equal(c->trap.vector, X86_UD);
}

static void general_detect_raises_debug_exception(void **state)
{
    struct x86_cpu *c = cpu(state);
    TAKEN(c, x86_dr_write(c, 7, DR7_GD));
    assert_true(RAISES(c, x86_dr_read(c, 0)));
    assert_int_equal(c->trap.vector, X86_DB);
    assert_true(c->trap.dr6 & DR6_BD);
}

static void an_enabled_breakpoint_slows_the_run_loop(void **state)
{
    struct x86_cpu *c = cpu(state);
    assert_false(c->slow);
    TAKEN(c, x86_dr_write(c, 7, 1));
    assert_true(c->slow);
    TAKEN(c, x86_dr_write(c, 7, 0));
    assert_false(c->slow);
}

/* ---- MSRs ---- */

static void efer_rules(void **state)
{
    struct x86_cpu *c = cpu(state);
    REFUSED(c, c->efer, x86_msr_write(c, 0xc0000080, c->efer & ~(uint64_t)EFER_LME)); /* paging is on */
    REFUSED(c, c->efer, x86_msr_write(c, 0xc0000080, c->efer | 1 << 1));
    uint64_t was = c->efer;
    TAKEN(c, x86_msr_write(c, 0xc0000080, was & ~(uint64_t)EFER_LMA)); /* LMA is ignored */
    assert_int_equal(c->efer, was);
    TAKEN(c, x86_msr_write(c, 0xc0000080, was & ~(uint64_t)EFER_SCE));
    assert_int_equal(c->efer, was & ~(uint64_t)EFER_SCE);
}

static void addresses_must_be_canonical(void **state)
{
    static const uint32_t msrs[] = { 0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102 };
    struct x86_cpu *c = cpu(state);
    for (unsigned k = 0; k < ARRAY_SIZE(msrs); k++) {
        assert_true(writes(c, msrs[k], 0xffff800000000000 + k));
        assert_false(writes(c, msrs[k], NON_CANONICAL));
        assert_int_equal(x86_msr_read(c, msrs[k]), 0xffff800000000000 + k);
    }
    assert_int_equal(c->seg[SEG_FS].base, 0xffff800000000004);
    assert_int_equal(c->seg[SEG_GS].base, 0xffff800000000005);
}

/* What Linux 6.1 reads on a CPU that reports what cpuid.c reports. */
static void msrs_a_kernel_reads_exist(void **state)
{
    static const uint32_t msrs[] = {
        0x10,       0x17,       0x3a,       0x3b,       0x48,       0x8b,       0xce,       0xfe,       0x10a,
        0x174,      0x175,      0x176,      0x179,      0x17a,      0x1a0,      0x1d9,      0x200,      0x20f,
        0x250,      0x258,      0x259,      0x268,      0x26f,      0x277,      0x2ff,      0x400,      0x401,
        0x402,      0x403,      0x40d,      0xda0,      0x4b564d00, 0x4b564d01, 0xc0000080, 0xc0000081, 0xc0000082,
        0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103,
    };
    struct x86_cpu *c = cpu(state);
    for (unsigned k = 0; k < ARRAY_SIZE(msrs); k++)
        if (!reads(c, msrs[k]))
            fail_msg("MSR %#x is missing", msrs[k]);
}

static void msrs_of_absent_features_fault(void **state)
{
    static const uint32_t msrs[] = {
        0,     0xf,   0x11,       0x34,       0x49,       0xc1,       0xe7,       0xe8,       0x17b,      0x186,
        0x198, 0x210, 0x24f,      0x251,      0x270,      0x280,      0x345,      0x38f,      0x410,      0x480,
        0x600, 0xd90, 0x4b564cff, 0x4b564d02, 0x4b564d06, 0xc0000085, 0xc0000104, 0xc0010015, 0xffffffff,
    };
    struct x86_cpu *c = cpu(state);
    for (unsigned k = 0; k < ARRAY_SIZE(msrs); k++)
        if (reads(c, msrs[k]))
            fail_msg("MSR %#x should not exist", msrs[k]);
}

static void read_only_msrs_refuse_writes(void **state)
{
    static const uint32_t msrs[] = { 0x17, 0xce, 0xfe, 0x10a, 0x179 };
    struct x86_cpu *c = cpu(state);
    for (unsigned k = 0; k < ARRAY_SIZE(msrs); k++)
        assert_true(reads(c, msrs[k]) && !writes(c, msrs[k], 0));
    REFUSED(c, c->feature_control, x86_msr_write(c, 0x3a, 5)); /* locked */
}

static void memory_types_are_checked(void **state)
{
    struct x86_cpu *c = cpu(state);
    REFUSED(c, c->pat, x86_msr_write(c, 0x277, 0x0007040600070402)); /* 2 is no type */
    REFUSED(c, c->pat, x86_msr_write(c, 0x277, 0x0807040600070406));
    TAKEN(c, x86_msr_write(c, 0x277, 0x0407050600070106));
    REFUSED(c, c->mtrr_def_type, x86_msr_write(c, 0x2ff, 0xc07)); /* UC- is PAT's only */
    REFUSED(c, c->mtrr_def_type, x86_msr_write(c, 0x2ff, 1 << 12));
    REFUSED(c, c->mtrr_var[0], x86_msr_write(c, 0x200, 0x100));
    REFUSED(c, c->mtrr_var[1], x86_msr_write(c, 0x201, 1));
    REFUSED(c, c->mtrr_var[1], x86_msr_write(c, 0x201, 1ULL << x86_phys_bits(c)));
    TAKEN(c, x86_msr_write(c, 0x201, 0x3fffc0000800));
    assert_int_equal(c->mtrr_var[1], 0x3fffc0000800);
    TAKEN(c, x86_msr_write(c, 0x26f, 0x0001040506000000));
    assert_int_equal(c->mtrr_fixed[10], 0x0001040506000000);
    TAKEN(c, x86_msr_write(c, 0x258, 0));
    assert_int_equal(c->mtrr_fixed[1], 0);
    REFUSED(c, c->mtrr_fixed[2], x86_msr_write(c, 0x259, 3));
}

static void machine_check_status_only_takes_zero(void **state)
{
    struct x86_cpu *c = cpu(state);
    c->mc_status[3] = 7;
    REFUSED(c, c->mc_status[3], x86_msr_write(c, 0x40d, 1));
    TAKEN(c, x86_msr_write(c, 0x40d, 0));
    assert_int_equal(c->mc_status[3], 0);
    TAKEN(c, x86_msr_write(c, 0x400, ~0ULL));
}

/* Each of CPUID's speculation controls comes with its bit of SPEC_CTRL. */
static void offered_speculation_controls_can_be_set(void **state)
{
    static const struct {
        uint32_t sub, cpuid_bit, ctrl_bit;
    } row[] = { { 0, 26, 0 }, { 0, 27, 1 }, { 0, 31, 2 }, { 2, 4, 10 } };
    struct x86_cpu *c = cpu(state);
    uint64_t all = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(row); k++) {
        uint32_t r[4];
        x86_cpuid(c, 7, row[k].sub, r);
        assert_int_equal(r[3] >> row[k].cpuid_bit & 1, writes(c, 0x48, 1ULL << row[k].ctrl_bit));
        all |= 1ULL << row[k].ctrl_bit;
    }
    for (unsigned bit = 0; bit < 64; bit++)
        if (!(all >> bit & 1))
            assert_false(writes(c, 0x48, 1ULL << bit));
}

static void commands_are_write_only(void **state)
{
    struct x86_cpu *c = cpu(state);
    TAKEN(c, x86_msr_write(c, 0x49, 1));
    REFUSED(c, c->spec_ctrl, x86_msr_write(c, 0x49, 2));
    assert_true(RAISES(c, x86_msr_read(c, 0x49)));
}

/* ---- time ---- */

static void tsc_reads_back_what_was_written(void **state)
{
    struct bare *b = *state;
    vm_clock_advance(&b->vm.clock, 5000);
    TAKEN(b->c, x86_msr_write(b->c, 0x10, 1000000));
    assert_int_equal(x86_msr_read(b->c, 0x10), 1000000);
    assert_int_equal(x86_msr_read(b->c, 0x3b), 1000000 - vm_clock_tsc(&b->vm.clock));
    vm_clock_advance(&b->vm.clock, 7);
    assert_int_equal(x86_tsc(b->c), 1000000 + 7); /* the manual clock's TSC counts ns */
}

static void tsc_adjust_moves_the_tsc(void **state)
{
    struct x86_cpu *c = cpu(state);
    uint64_t before = x86_tsc(c);
    TAKEN(c, x86_msr_write(c, 0x3b, -(uint64_t)123));
    assert_int_equal(x86_tsc(c), before - 123);
}

struct page {
    uint32_t version, pad;
    uint64_t tsc, system;
    uint32_t mul;
    int8_t shift;
    uint8_t flags, pad2[2];
};

/* Guest's reader. */
static uint64_t clock_read(struct bare *b, gpa_t at)
{
    struct page p;
    assert_int_equal(gmem_read(&b->vm.gmem, at, &p, sizeof(p)), 0);
    assert_int_equal(p.version & 1, 0);
    assert_int_not_equal(p.version, 0);
    assert_int_equal(p.flags, 1);
    uint64_t delta = x86_tsc(b->c) - p.tsc;
    delta = p.shift < 0 ? delta >> -p.shift : delta << p.shift;
    return p.system + (uint64_t)((unsigned __int128)delta * p.mul >> 32);
}

static void kvmclock_follows_the_vm_clock(void **state)
{
    struct bare *b = *state;
    vm_clock_advance(&b->vm.clock, 1000);
    TAKEN(b->c, x86_msr_write(b->c, KVM_MSR_SYSTEM_TIME, BARE_DATA | 1));
    assert_int_equal(clock_read(b, BARE_DATA), vm_clock_now(&b->vm.clock));
    vm_clock_advance(&b->vm.clock, 3600 * NS_PER_S);
    assert_int_equal(clock_read(b, BARE_DATA), vm_clock_now(&b->vm.clock));
    TAKEN(b->c, x86_msr_write(b->c, 0x3b, 987654321)); /* a CPU's own TSC offset is not time */
    assert_int_equal(clock_read(b, BARE_DATA), vm_clock_now(&b->vm.clock));
}

static void kvmclock_stays_off_outside_ram(void **state)
{
    struct x86_cpu *c = cpu(state);
    TAKEN(c, x86_msr_write(c, KVM_MSR_SYSTEM_TIME, BARE_RAM | 1));
    assert_int_equal(c->kvm_system_time & 1, 0);
    TAKEN(c, x86_msr_write(c, KVM_MSR_SYSTEM_TIME, (BARE_RAM - 8) | 1));
    assert_int_equal(c->kvm_system_time & 1, 0);
}

static void wall_clock_and_system_time_add_up(void **state)
{
    struct bare *b = *state;
    uint32_t w[3];
    vm_clock_advance(&b->vm.clock, 2 * NS_PER_S);
    bare_poke64(b, BARE_DATA, 0);
    TAKEN(b->c, x86_msr_write(b->c, KVM_MSR_WALL_CLOCK, BARE_DATA));
    assert_int_equal(gmem_read(&b->vm.gmem, BARE_DATA, w, sizeof(w)), 0);
    assert_true(w[0] && !(w[0] & 1));
    int64_t at_boot = w[1] * NS_PER_S + w[2];
    int64_t off = at_boot + vm_clock_now(&b->vm.clock) - vm_clock_wall(&b->vm.clock);
    assert_true(w[2] < NS_PER_S);
    assert_in_range(off + 60 * NS_PER_S, 0, 61 * NS_PER_S); /* the wall runs on while the test clock stands */
}

static void clock_scale_makes_a_second_of_a_second(void **state)
{
    (void)state;
    for (uint64_t hz = 3000000; hz < 20000000000ULL; hz += hz / 7 + 1) {
        uint32_t mul;
        int8_t shift;
        x86_kvm_clock_scale(hz, &mul, &shift);
        uint64_t ticks = 100 * hz;
        ticks = shift < 0 ? ticks >> -shift : ticks << shift;
        uint64_t ns = (uint64_t)((unsigned __int128)ticks * mul >> 32);
        assert_in_range(ns, 100 * NS_PER_S - 100, 100 * NS_PER_S); /* 1 ns in 1 s, never fast */
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TL(name) cmocka_unit_test_setup_teardown(name, setup_long, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(cr0_illegal_combinations_fault),
        T(cr0_reserved_low_bits_are_ignored_and_et_stays),
        T(paging_with_lme_activates_long_mode),
        T(long_mode_is_not_entered_with_cs_l_or_a_16bit_tss),
        TL(paging_stays_on_in_64bit_mode),
        TL(cr3_reserved_bits_fault),
        TL(cr3_write_forgets_old_translations),
        T(cr3_load_checks_pdptes_in_pae_paging),
        TL(cr4_bits_of_absent_features_fault),
        TL(pae_stays_on_in_long_mode),
        TL(pcide_needs_long_mode_and_pcid_0),
        TL(smap_takes_effect_at_once),
        TL(xcr0_takes_only_whole_sets),
        TL(debug_registers_keep_their_fixed_bits),
        TL(dr4_and_dr5_are_aliases_unless_de),
        TL(general_detect_raises_debug_exception),
        TL(an_enabled_breakpoint_slows_the_run_loop),
        TL(efer_rules),
        TL(addresses_must_be_canonical),
        TL(msrs_a_kernel_reads_exist),
        TL(msrs_of_absent_features_fault),
        TL(read_only_msrs_refuse_writes),
        TL(memory_types_are_checked),
        TL(machine_check_status_only_takes_zero),
        TL(offered_speculation_controls_can_be_set),
        TL(commands_are_write_only),
        TL(tsc_reads_back_what_was_written),
        TL(tsc_adjust_moves_the_tsc),
        TL(kvmclock_follows_the_vm_clock),
        TL(kvmclock_stays_off_outside_ram),
        TL(wall_clock_and_system_time_add_up),
        T(clock_scale_makes_a_second_of_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
