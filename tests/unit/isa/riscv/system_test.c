/* SPDX-License-Identifier: MIT */
/*
 * Laws of a RISC-V hart: traps, delegation, CSRs, atomics, code that changes, floating point's switches, and saved state.
 */
#include "isa/riscv/profile.h"
#include "unit/isa/riscv/hart.h"

/* ---- traps ---- */

static void a_trap_enters_m_mode_and_mret_goes_back(void **state)
{
    (void)state;
    enter(RISCV_U);
    m.c->mstatus |= MSTATUS_MIE;
    step(ECALL);
    assert_true(trapped(RISCV_ECALL_U, 0));
    assert_int_equal(m.c->priv, RISCV_M);
    assert_int_equal(m.c->mstatus & (MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP), MSTATUS_MPIE);
    uint64_t back = m.c->mepc;
    step(MRET);
    assert_int_equal(m.c->pc, back);
    assert_int_equal(m.c->priv, RISCV_U);
    assert_true(m.c->mstatus & MSTATUS_MIE);
}

static void what_is_delegated_goes_to_s_mode_but_not_from_m_mode(void **state)
{
    (void)state;
    m.c->medeleg = 1 << RISCV_ILLEGAL;
    enter(RISCV_U);
    step(0xffffffff);
    assert_int_equal(m.c->priv, RISCV_S);
    assert_int_equal(m.c->pc, RV_RAM + HANDLER + 0x100);
    assert_int_equal(m.c->scause, RISCV_ILLEGAL);
    assert_int_equal(m.c->stval, 0xffffffff);
    assert_int_equal(m.c->mstatus & MSTATUS_SPP, 0);
    enter(RISCV_M);
    step(ILLEGAL_0);
    assert_true(trapped(RISCV_ILLEGAL, 0));
}

static void interrupts_are_taken_in_their_order_and_vectored(void **state)
{
    (void)state;
    m.c->mtvec |= 1;
    m.c->mie = MIP_M | MIP_S;
    riscv_set_wire(m.c, IRQ_MTI, true);
    riscv_set_wire(m.c, IRQ_MSI, true);
    riscv_set_soft(m.c, MIP_SSIP, true);
    assert_int_equal(riscv_pending_interrupt(m.c), 0); /* M-mode with MIE off */
    m.c->mstatus |= MSTATUS_MIE;
    assert_int_equal(riscv_pending_interrupt(m.c), RISCV_CAUSE_IRQ | IRQ_MSI);
    riscv_set_wire(m.c, IRQ_MSI, false);
    assert_int_equal(riscv_pending_interrupt(m.c), RISCV_CAUSE_IRQ | IRQ_MTI);
    m.c->mideleg = MIP_S;
    riscv_set_wire(m.c, IRQ_MTI, false);
    assert_int_equal(riscv_pending_interrupt(m.c), 0); /* S-mode's do not interrupt M-mode */
    enter(RISCV_U);
    assert_int_equal(riscv_pending_interrupt(m.c), RISCV_CAUSE_IRQ | IRQ_SSI);
    riscv_set_wire(m.c, IRQ_MEI, true);
    riscv_enter_trap(m.c, riscv_pending_interrupt(m.c), 0);
    assert_int_equal(m.c->pc, RV_RAM + HANDLER + 4 * IRQ_MEI);
}

static void wfi_waits_for_what_is_enabled_only(void **state)
{
    (void)state;
    m.c->mie = MIP_MTIP;
    riscv_set_wire(m.c, IRQ_MSI, true);
    step(WFI);
    assert_int_equal(m.c->activity, RISCV_WAITING);
    assert_int_equal(riscv_run(m.vcpu->engine_cpu, m.c, 1), VCPU_EXIT_SLEEP);
    riscv_set_wire(m.c, IRQ_MTI, true); /* with MIE off: goes on without a trap */
    rv_poke(&m, m.c->pc, NOP, 4);
    (void)riscv_run(m.vcpu->engine_cpu, m.c, 1);
    assert_int_equal(m.c->activity, RISCV_RUNNING);
    m.c->activity = RISCV_RUNNING;
    enter(RISCV_U);
    step(WFI);
    assert_true(trapped(RISCV_ILLEGAL, WFI));
}

static void stimecmp_interrupts_when_time_reaches_it(void **state)
{
    (void)state;
    m.c->menvcfg = ENVCFG_STCE;
    m.c->stimecmp = 50;
    riscv_stimer_update(m.c);
    assert_int_equal(riscv_mip(m.c) & MIP_STIP, 0);
    vm_clock_advance(&m.vm.clock, 4999);
    assert_int_equal(riscv_mip(m.c) & MIP_STIP, 0);
    vm_clock_advance(&m.vm.clock, 1);
    assert_int_equal(riscv_mip(m.c) & MIP_STIP, MIP_STIP);
    m.c->stimecmp = 51;
    riscv_stimer_update(m.c);
    assert_int_equal(riscv_mip(m.c) & MIP_STIP, 0);
}

/* ---- CSRs ---- */

static void rights_to_csrs_follow_mode_and_switches(void **state)
{
    (void)state;
    enter(RISCV_S);
    step(csrrs(0x300, A0, 0)); /* mstatus */
    assert_true(trapped(RISCV_ILLEGAL, csrrs(0x300, A0, 0)));
    enter(RISCV_S);
    step(csrrs(0xc00, A0, 0)); /* cycle, mcounteren closed */
    assert_true(trapped(RISCV_ILLEGAL, csrrs(0xc00, A0, 0)));
    m.c->mcounteren = 7;
    enter(RISCV_S);
    step(csrrs(0xc00, A0, 0));
    assert_false(m.c->pc == RV_RAM + HANDLER);
    step(csrrw(0xc00, 0, A0)); /* read-only */
    assert_true(trapped(RISCV_ILLEGAL, csrrw(0xc00, 0, A0)));
    m.c->mstatus |= MSTATUS_TVM;
    enter(RISCV_S);
    step(csrrs(0x180, A0, 0)); /* satp */
    assert_true(trapped(RISCV_ILLEGAL, csrrs(0x180, A0, 0)));
    enter(RISCV_S);
    step(SFENCE);
    assert_true(trapped(RISCV_ILLEGAL, SFENCE));
}

static void csrs_take_legal_values_only(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(riscv_csr_write(m.c, 0x180, 5ULL << 60 | 7)); /* no such mode: no effect */
    assert_int_equal(m.c->satp, 0);
    static const struct riscv_profile narrow = { .has[RISCV_EXT_SV48] = true }, narrowest = { 0 };
    const struct riscv_profile *const all = m.c->profile;
    m.c->profile = &narrow;
    assert_true(riscv_csr_write(m.c, 0x180, 10ULL << 60 | 7)); /* Sv57 */
    assert_int_equal(m.c->satp, 0);
    assert_true(riscv_csr_write(m.c, 0x180, 9ULL << 60 | 7));
    assert_int_equal(m.c->satp, 9ULL << 60 | 7);
    m.c->profile = &narrowest;
    assert_true(riscv_csr_write(m.c, 0x180, 9ULL << 60 | 8));
    assert_int_equal(m.c->satp, 9ULL << 60 | 7);
    assert_true(riscv_csr_write(m.c, 0x180, 8ULL << 60 | 7));
    assert_int_equal(m.c->satp, 8ULL << 60 | 7);
    m.c->profile = all;
    assert_true(riscv_csr_write(m.c, 0x180, 10ULL << 60 | 7));
    assert_int_equal(m.c->satp, 10ULL << 60 | 7);
    assert_true(riscv_csr_write(m.c, 0x180, 11ULL << 60 | 8)); /* reserved for Sv64 */
    assert_int_equal(m.c->satp, 10ULL << 60 | 7);
    assert_true(riscv_csr_write(m.c, 0x180, 0));
    assert_true(riscv_csr_write(m.c, 0x300, 2ULL << MSTATUS_MPP_SHIFT));
    assert_int_equal(m.c->mstatus & MSTATUS_MPP, 0);
    assert_true(riscv_csr_write(m.c, 0x305, RV_RAM + 7)); /* reserved modes lose their bit */
    assert_int_equal(m.c->mtvec, RV_RAM + 5);
    assert_true(riscv_csr_write(m.c, 0x105, RV_RAM + 6));
    assert_int_equal(m.c->stvec, RV_RAM + 4);
    assert_true(riscv_csr_write(m.c, 0x30a, 0xf0));
    assert_true(riscv_csr_write(m.c, 0x30a, 0xe0)); /* CBIE 2 */
    assert_int_equal(m.c->menvcfg, 0xc0);
    assert_true(riscv_csr_write(m.c, 0x3a0, 0x7f1e1d1b1a190602)); /* W without R, reserved bits */
    assert_true(riscv_csr_read(m.c, 0x3a0, &v));
    assert_int_equal(v, 0x1f1c1d1b18190400);
    assert_true(riscv_csr_write(m.c, 0x341, 3));
    assert_int_equal(m.c->mepc, 2);
    assert_true(riscv_csr_write(m.c, 0x303, ~0ULL));
    assert_int_equal(m.c->mideleg, MIP_S);
    assert_true(riscv_csr_write(m.c, 0x100, ~0ULL)); /* sstatus reaches no bit of M-mode */
    assert_int_equal(m.c->mstatus & (MSTATUS_MIE | MSTATUS_MPP | MSTATUS_MPRV | MSTATUS_TVM), 0);
    assert_true(riscv_csr_read(m.c, 0x300, &v));
    assert_true(v & MSTATUS_SD);
    assert_false(riscv_csr_read(m.c, 0x3a1, &v)); /* odd pmpcfg */
    assert_false(riscv_csr_read(m.c, 0x5c0, &v)); /* nothing there */
}

static void counters_count_can_be_set_and_held(void **state)
{
    uint64_t v;
    (void)state;
    m.c->x[A1] = 1000;
    step(csrrw(0xb02, 0, A1));
    step(NOP);
    step(csrrs(0xb02, A0, 0));
    assert_int_equal(m.c->x[A0], 1001); /* the write itself does not count */
    assert_true(riscv_csr_write(m.c, 0x320, 4));
    step(NOP);
    assert_true(riscv_csr_read(m.c, 0xb02, &v));
    assert_int_equal(v, 1002);
    step(NOP);
    assert_true(riscv_csr_read(m.c, 0xb02, &v));
    assert_int_equal(v, 1002);
}

/* ---- atomics ---- */

static uint32_t amo(unsigned funct5, unsigned funct3, unsigned rs2) /* a0 = amo rs2, (a1) */
{
    return funct5 << 27 | rs2 << 20 | A1 << 15 | funct3 << 12 | A0 << 7 | 0x2f;
}

static void sc_stores_only_after_its_lr(void **state)
{
    (void)state;
    m.c->x[A1] = RV_RAM + DATA;
    m.c->x[A2] = 5;
    rv_poke(&m, RV_RAM + DATA, 0xffffffff80000000, 8);
    step(amo(3, 2, A2)); /* sc.w without an lr */
    assert_int_equal(m.c->x[A0], 1);
    step(amo(2, 2, 0));
    assert_int_equal(m.c->x[A0], 0xffffffff80000000);
    step(amo(3, 2, A2));
    assert_int_equal(m.c->x[A0], 0);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA, 8), 0xffffffff00000005);
    step(amo(3, 2, A2)); /* once only */
    assert_int_equal(m.c->x[A0], 1);
    step(amo(2, 2, 0));
    rv_poke(&m, RV_RAM + DATA, 6, 4); /* somebody else wrote */
    step(amo(3, 2, A2));
    assert_int_equal(m.c->x[A0], 1);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA, 4), 6);
    m.c->x[A1]++;
    step(amo(2, 2, 0));
    assert_true(trapped(RISCV_LOAD_MISALIGNED, RV_RAM + DATA + 1));
    step(amo(0, 2, A2));
    assert_true(trapped(RISCV_STORE_MISALIGNED, RV_RAM + DATA + 1));
}

static void amos_compute_and_return_what_was_there(void **state)
{
    static const struct {
        unsigned funct5;
        uint64_t was, operand, becomes[4]; /* by size b, h, w, d */
    } cases[] = {
        { 1, 0x8182838485868788, 0x1112131415161718, { 0x18, 0x1718, 0x15161718, 0x1112131415161718 } },
        { 0, 0x80808080ffffffff, 1, { 0x00, 0, 0, 0x8080808100000000 } },
        { 4, 0xff00ff00ff00ff0f, 0xffffffffffffffff, { 0xf0, 0x00f0, 0x00ff00f0, 0x00ff00ff00ff00f0 } },
        { 12, 0xffffffffffffffff, 0x8070605040302010, { 0x10, 0x2010, 0x40302010, 0x8070605040302010 } },
        { 8, 0, 0x8070605040302010, { 0x10, 0x2010, 0x40302010, 0x8070605040302010 } },
        { 16, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f, { 0x80, 0x8080, 0x80808080, 0x8080808080808080 } },
        { 20, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f, { 0x7f, 0x7f7f, 0x7f7f7f7f, 0x7f7f7f7f7f7f7f7f } },
        { 24, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f, { 0x7f, 0x7f7f, 0x7f7f7f7f, 0x7f7f7f7f7f7f7f7f } },
        { 28, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f, { 0x80, 0x8080, 0x80808080, 0x8080808080808080 } },
    };
    (void)state;
    m.c->x[A1] = RV_RAM + DATA;
    for (unsigned k = 0; k < sizeof(cases) / sizeof(cases[0]); k++)
        for (unsigned size = 0; size < 4; size++) {
            unsigned up = 64 - (8U << size);
            rv_poke(&m, RV_RAM + DATA, cases[k].was, 8);
            m.c->x[A2] = cases[k].operand;
            step(amo(cases[k].funct5, size, A2));
            assert_int_equal(m.c->x[A0], (uint64_t)((int64_t)(cases[k].was << up) >> up));
            assert_int_equal(rv_peek(&m, RV_RAM + DATA, 1U << size), cases[k].becomes[size]);
            if (size < 3)
                assert_int_equal(rv_peek(&m, RV_RAM + DATA + (1U << size), 1), cases[k].was >> (8U << size) & 0xff);
        }
}

static void amocas_swaps_when_equal(void **state)
{
    (void)state;
    m.c->x[A1] = RV_RAM + DATA;
    rv_poke(&m, RV_RAM + DATA, 7, 8);
    rv_poke(&m, RV_RAM + DATA + 8, 8, 8);
    m.c->x[A0] = 6;
    m.c->x[A2] = 9;
    step(amo(5, 3, A2));
    assert_int_equal(m.c->x[A0], 7);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA, 8), 7);
    step(amo(5, 3, A2));
    assert_int_equal(m.c->x[A0], 7);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA, 8), 9);
    m.c->x[14] = 9, m.c->x[15] = 8, m.c->x[16] = 1, m.c->x[17] = 2;
    step((amo(5, 4, 16) & ~(31U << 7)) | 14 << 7); /* amocas.q x14, x16, (a1) */
    assert_int_equal(rv_peek(&m, RV_RAM + DATA, 8), 1);
    assert_int_equal(rv_peek(&m, RV_RAM + DATA + 8, 8), 2);
    assert_int_equal(m.c->x[14], 9);
    assert_int_equal(m.c->x[15], 8);
    step((amo(5, 4, 17) & ~(31U << 7)) | 14 << 7); /* an odd pair */
    assert_int_equal(m.c->mcause, RISCV_ILLEGAL);
}

/* ---- code that changes ---- */

static void fence_i_makes_new_code_run(void **state)
{
    (void)state;
    gpa_t at = RV_RAM + CODE;
    m.c->x[A1] = at + 8;
    m.c->x[A0] = 0x00700613; /* li a2, 7 */
    rv_poke(&m, at, store(2), 4);
    rv_poke(&m, at + 4, FENCE_I, 4);
    rv_poke(&m, at + 8, 0x00300613, 4);  /* li a2, 3 */
    rv_poke(&m, at + 12, 0xff5ff06f, 4); /* j at */
    m.c->pc = at + 8;
    riscv_run_step(m.vcpu->engine_cpu, m.c);
    assert_int_equal(m.c->x[A2], 3);
    m.c->pc = at;
    (void)riscv_run(m.vcpu->engine_cpu, m.c, 3);
    assert_int_equal(m.c->x[A2], 7);
}

static void an_instruction_may_cross_pages(void **state)
{
    (void)state;
    gpa_t at = RV_RAM + CODE + 0xffe;
    rv_poke(&m, at, 0x12345537, 4); /* lui a0, 0x12345 */
    m.c->pc = at;
    riscv_run_step(m.vcpu->engine_cpu, m.c);
    assert_int_equal(m.c->x[A0], 0x12345000);
    map(PTE_V | PTE_X | PTE_AD);
    pte(2, 1, 0, 0);
    again();
    rv_poke(&m, RV_RAM + DATA + 0xffe, 0x5537, 2);
    m.c->pc = MAPPED + 0xffe;
    riscv_run_step(m.vcpu->engine_cpu, m.c);
    assert_true(trapped(RISCV_FETCH_PAGE_FAULT, MAPPED + 0x1000)); /* the half that is not there */
    assert_int_equal(m.c->mepc, MAPPED + 0xffe);
}

/* ---- floating point ---- */

enum { FADD_S_DYN = 0x00c5f553, FADD_S_5 = 0x00c5d553, FMV_X_W = 0xe0058553 };

static void floating_point_needs_fs_and_a_rounding_mode(void **state)
{
    (void)state;
    step(FADD_S_DYN);
    assert_true(trapped(RISCV_ILLEGAL, FADD_S_DYN));
    m.c->mstatus |= 1ULL << 13;
    step(FADD_S_DYN);
    assert_int_not_equal(m.c->pc, RV_RAM + HANDLER);
    assert_int_equal(m.c->mstatus & MSTATUS_FS, MSTATUS_FS);
    step(FADD_S_5);
    assert_true(trapped(RISCV_ILLEGAL, FADD_S_5));
    m.c->frm = 5;
    step(FADD_S_DYN);
    assert_true(trapped(RISCV_ILLEGAL, FADD_S_DYN));
}

static void narrow_values_are_boxed(void **state)
{
    (void)state;
    m.c->mstatus |= MSTATUS_FS;
    m.c->f[11] = 0xffffffff3f800000;
    m.c->f[12] = 0xffffffff40000000;
    step(FADD_S_DYN);
    assert_int_equal(m.c->f[10], 0xffffffff40400000);
    assert_int_equal(m.c->fflags, 0);
    m.c->f[12] = 0x0000000040000000; /* not boxed: a quiet NaN */
    step(FADD_S_DYN);
    assert_int_equal(m.c->f[10], 0xffffffff7fc00000);
    assert_int_equal(m.c->fflags, 0);
    m.c->f[11] = 0x1234567890000000;
    step(FMV_X_W);
    assert_int_equal(m.c->x[10], 0xffffffff90000000);
}

/* ---- state ---- */

static void saved_state_is_the_whole_hart(void **state)
{
    struct state_buf buf = { 0 };
    struct bare_riscv other;
    struct error err;
    (void)state;
    map(PTE_V | PTE_R | PTE_AD);
    for (unsigned n = 1; n < 32; n++)
        m.c->x[n] = n * 0x0101010101010101, m.c->f[n] = ~m.c->x[n];
    m.c->fflags = 3, m.c->stimecmp = 77, m.c->reservation.size = 4;
    riscv_set_soft(m.c, MIP_SSIP, true);
    assert_int_equal(bare_riscv_init(&other, NULL, &err), 0);
    assert_int_equal(state_save(&riscv_state_desc, m.c, &buf), 0);
    assert_int_equal(state_load(&riscv_state_desc, other.c, &buf, &err), 0);
    assert_null(state_diff(&riscv_state_desc, m.c, other.c));
    assert_int_equal(other.c->bank, m.c->bank);
    buf.len = buf.pos = 0;
    m.c->priv = 2; /* no such mode */
    assert_int_equal(state_save(&riscv_state_desc, m.c, &buf), 0);
    assert_true(state_load(&riscv_state_desc, other.c, &buf, &err) < 0);
    m.c->priv = RISCV_S;
    state_buf_done(&buf);
    bare_riscv_done(&other);
}

static void paging_modes_load_where_the_model_has_them(void **state)
{
    static const struct riscv_profile narrow = { .has[RISCV_EXT_SV48] = true, .vlen = RISCV_VLEN_MIN };
    static const uint64_t modes[] = { 0, 8, 9, 10, 11, 1 };
    struct riscv_config config = { .profile = &narrow };
    struct bare_riscv wide, other;
    struct error err;
    (void)state;
    assert_int_equal(bare_riscv_init(&wide, NULL, &err), 0);
    assert_int_equal(bare_riscv_init(&other, &config, &err), 0);
    for (unsigned k = 0; k < 6; k++) {
        struct state_buf buf = { 0 };
        m.c->satp = modes[k] << 60 | 7;
        m.c->menvcfg = 0;
        assert_int_equal(state_save(&riscv_state_desc, m.c, &buf), 0);
        assert_int_equal(state_load(&riscv_state_desc, wide.c, &buf, &err) == 0, k < 4);
        buf.pos = 0;
        assert_int_equal(state_load(&riscv_state_desc, other.c, &buf, &err) == 0, k < 3);
        state_buf_done(&buf);
    }
    m.c->satp = 0;
    bare_riscv_done(&wide);
    bare_riscv_done(&other);
}

/* ---- harts without C ---- */

enum { JAL_6 = 3 << 21 | 1 << 7 | 0x6f, BEQ_6 = 3 << 8 | 0x63, BNE_6 = BEQ_6 | 1 << 12, JALR = A1 << 15 | 1 << 7 | 0x67, RA = 1 };

static void without_c_jumps_fault_that_go_to_odd_halves(void **state)
{
    const uint32_t jumps[] = { JAL_6, BEQ_6, JALR };
    const gpa_t at = RV_RAM + CODE;
    struct riscv_profile profile;
    struct error err;
    assert_int_equal(riscv_profile_make("rv64,c=off", &profile, &err), 0);
    const struct riscv_config config = { .profile = &profile };
    for (unsigned has_c = 0; has_c < 2; has_c++) {
        (void)tear_down(state);
        assert_int_equal(bare_riscv_init(&m, has_c ? NULL : &config, &err), 0);
        m.c->mtvec = RV_RAM + HANDLER;
        m.c->x[A1] = at + 7; /* JALR clears bit 0 */
        for (unsigned k = 0; k < 3; k++) {
            m.c->x[RA] = 0x1111;
            step_at(at, at, jumps[k]);
            if (has_c) {
                assert_int_equal(m.c->pc, at + 6);
                continue;
            }
            assert_true(trapped(RISCV_FETCH_MISALIGNED, at + 6));
            assert_int_equal(m.c->mepc, at); /* the jump's */
            assert_int_equal(m.c->x[RA], 0x1111);
        }
        step_at(at, at, BNE_6); /* not taken */
        assert_int_equal(m.c->pc, at + 4);
        for (unsigned csr = 0x141; csr <= 0x341; csr += 0x200) {
            uint64_t v;
            assert_true(riscv_csr_write(m.c, csr, at + 7));
            assert_true(riscv_csr_read(m.c, csr, &v));
            assert_int_equal(v, has_c ? at + 6 : at + 4);
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_trap_enters_m_mode_and_mret_goes_back),
        T(what_is_delegated_goes_to_s_mode_but_not_from_m_mode),
        T(interrupts_are_taken_in_their_order_and_vectored),
        T(wfi_waits_for_what_is_enabled_only),
        T(stimecmp_interrupts_when_time_reaches_it),
        T(rights_to_csrs_follow_mode_and_switches),
        T(csrs_take_legal_values_only),
        T(counters_count_can_be_set_and_held),
        T(sc_stores_only_after_its_lr),
        T(amos_compute_and_return_what_was_there),
        T(amocas_swaps_when_equal),
        T(fence_i_makes_new_code_run),
        T(an_instruction_may_cross_pages),
        T(floating_point_needs_fs_and_a_rounding_mode),
        T(narrow_values_are_boxed),
        T(saved_state_is_the_whole_hart),
        T(paging_modes_load_where_the_model_has_them),
        T(without_c_jumps_fault_that_go_to_odd_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
