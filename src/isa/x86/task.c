/* SPDX-License-Identifier: MIT */
/*
 * The hardware task switch: 16- and 32-bit TSSs, busy bits, back links.
 *
 * First everything that can fault in the old task: checks, the new TSS is read whole, the old one and the descriptors
 * are probed for writing. Then the switch, which cannot fault. Then the segments of the new task are loaded; their faults
 * belong to the new task.
 *
 * Spec: Intel SDM 3A 7.2 to 7.4, tables 7-1 and 7-2; 7.6 (16-bit)
 */
#include <string.h>

#include "isa/x86/far.h"
#include "isa/x86/sysreg.h"

enum { TSS32_BYTES = 104, TSS16_BYTES = 44, TSS32_DYNAMIC = 0x20, TSS16_DYNAMIC = 0x0e, TSS_CR3 = 0x1c, TSS_TRAP = 0x64 };
enum { BUSY = 2, DR6_BT = 1 << 15, DR7_LOCAL = 0x55 | 1 << 8 };
enum {
    FLAGS_TSS = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF
                | FLAG_VIP | FLAG_ID
};

/* The part of a TSS that a switch loads and saves. */
struct task {
    bool wide; /* 32-bit */
    bool trap; /* debug trap flag */
    uint64_t cr3, ip, flags;
    uint32_t gpr[8];
    uint16_t sel[6]; /* by enum x86_seg_reg */
    uint16_t ldt;
};

static uint32_t get(const uint8_t *p, unsigned size)
{
    uint32_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static void task_parse(const uint8_t *tss, bool wide, struct task *t)
{
    unsigned size = wide ? 4 : 2;
    const uint8_t *p = tss + (wide ? TSS32_DYNAMIC : TSS16_DYNAMIC);
    *t = (struct task){ .wide = wide };
    t->ip = get(p, size);
    t->flags = get(p + size, size);
    for (unsigned n = 0; n < 8; n++)
        t->gpr[n] = get(p + size * (2 + n), size);
    for (unsigned n = 0; n < (wide ? 6 : 4); n++)
        t->sel[n] = (uint16_t)get(p + size * (10 + n), 2);
    t->ldt = (uint16_t)get(p + size * (wide ? 16 : 14), 2);
    if (wide) {
        t->cr3 = get(tss + TSS_CR3, 4);
        t->trap = tss[TSS_TRAP] & 1;
    }
}

/* Writes the dynamic fields of the task being left; the place was probed. */
static void task_save(struct x86_cpu *c, const struct x86_seg *tr, uint64_t ip, uint64_t flags)
{
    bool wide = (tr->attr & SEG_TYPE) >= SYS_TSS;
    unsigned size = wide ? 4 : 2, words = wide ? 16 : 14;
    uint8_t buf[64] = { 0 };
    memcpy(buf, &ip, size);
    memcpy(buf + size, &flags, size);
    for (unsigned n = 0; n < 8; n++)
        memcpy(buf + size * (2 + n), &c->gpr[n], size);
    for (unsigned n = 0; n < words - 10; n++)
        memcpy(buf + size * (10 + n), &c->seg[n].sel, 2);
    x86_lin_write_bytes(c, tr->base + (wide ? TSS32_DYNAMIC : TSS16_DYNAMIC), buf, words * size, X86_BANK_KERNEL);
}

/* ---- segments of the new task ---- */

static void load_ldt(struct x86_cpu *c, uint16_t sel, unsigned ext)
{
    struct x86_desc d;
    c->seg[SEG_LDTR] = x86_seg_null(sel, 0);
    if (sel_is_null(sel))
        return;
    if (sel & 4 || !x86_desc_read(c, sel, &d) || desc_type(&d) != SYS_LDT || !desc_present(&d))
        x86_raise_err(c, X86_TS, sel_error(sel, ext));
    c->seg[SEG_LDTR] = x86_desc_to_seg(&d, sel);
}

static void load_cs(struct x86_cpu *c, uint16_t sel, unsigned ext)
{
    struct x86_desc d;
    unsigned rpl = sel & 3;
    if (sel_is_null(sel) || !x86_desc_read(c, sel, &d) || !desc_is_code(&d))
        x86_raise_err(c, X86_TS, sel_error(sel, ext));
    if (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl)
        x86_raise_err(c, X86_TS, sel_error(sel, ext));
    if (!desc_present(&d))
        x86_raise_err(c, X86_NP, sel_error(sel, ext));
    x86_desc_set_accessed(c, &d);
    c->seg[SEG_CS] = x86_desc_to_seg(&d, sel);
}

static void load_ss(struct x86_cpu *c, uint16_t sel, unsigned cpl, unsigned ext)
{
    struct x86_desc d;
    if (sel_is_null(sel) || !x86_desc_read(c, sel, &d) || (sel & 3) != cpl || desc_dpl(&d) != cpl || !desc_is_writable_data(&d))
        x86_raise_err(c, X86_TS, sel_error(sel, ext));
    if (!desc_present(&d))
        x86_raise_err(c, X86_SS, sel_error(sel, ext));
    x86_desc_set_accessed(c, &d);
    c->seg[SEG_SS] = x86_desc_to_seg(&d, sel);
}

static void load_data(struct x86_cpu *c, enum x86_seg_reg reg, uint16_t sel, unsigned cpl, unsigned ext)
{
    struct x86_desc d;
    if (sel_is_null(sel))
        return;
    if (!x86_desc_read(c, sel, &d) || !desc_is_readable(&d))
        x86_raise_err(c, X86_TS, sel_error(sel, ext));
    if (!desc_is_conforming(&d) && (desc_dpl(&d) < cpl || desc_dpl(&d) < (sel & 3u)))
        x86_raise_err(c, X86_TS, sel_error(sel, ext));
    if (!desc_present(&d))
        x86_raise_err(c, X86_NP, sel_error(sel, ext));
    x86_desc_set_accessed(c, &d);
    c->seg[reg] = x86_desc_to_seg(&d, sel);
}

static void load_segments(struct x86_cpu *c, const struct task *t, unsigned ext)
{
    static const uint8_t data[] = { SEG_DS, SEG_ES, SEG_FS, SEG_GS };
    unsigned cpl = t->sel[SEG_CS] & 3;
    load_ldt(c, t->ldt, ext);
    if (x86_in_vm86(c)) {
        for (unsigned n = 0; n < 6; n++)
            x86_load_seg_real(c, n, t->sel[n]);
        return;
    }
    load_cs(c, t->sel[SEG_CS], ext);
    x86_mode_update(c);
    load_ss(c, t->sel[SEG_SS], cpl, ext);
    x86_mode_update(c);
    for (unsigned n = 0; n < sizeof(data); n++)
        load_data(c, data[n], t->sel[data[n]], cpl, ext);
    x86_mode_update(c);
}

/* ---- the switch ---- */

/* Reads and checks the descriptor of the new task. */
static struct x86_desc new_tss_desc(struct x86_cpu *c, uint16_t sel, enum x86_task_switch kind, unsigned ext)
{
    unsigned vector = kind == X86_TASK_IRET ? X86_TS : X86_GP, busy = kind == X86_TASK_IRET ? BUSY : 0;
    struct x86_desc d;
    if (sel_is_null(sel) || sel & 4 || !x86_desc_read(c, sel, &d))
        x86_raise_err(c, vector, sel_error(sel, ext));
    if (desc_type(&d) != (SYS_TSS | busy) && desc_type(&d) != (SYS_TSS16 | busy))
        x86_raise_err(c, vector, sel_error(sel, ext));
    if (!desc_present(&d))
        x86_raise_err(c, X86_NP, sel_error(sel, ext));
    return d;
}

/* Raises what writing the old task's state and both descriptors' busy bits would raise. */
static void probe_old(struct x86_cpu *c, const struct x86_seg *tr, enum x86_task_switch kind, struct x86_desc *ret_desc,
                      unsigned ext)
{
    bool wide = (tr->attr & SEG_TYPE) >= SYS_TSS;
    if (tr->attr & SEG_UNUSABLE || tr->limit < (wide ? TSS32_BYTES : TSS16_BYTES) - 1u)
        x86_raise_err(c, X86_TS, sel_error(tr->sel, ext));
    x86_lin_probe_write(c, tr->base + (wide ? TSS32_DYNAMIC : TSS16_DYNAMIC), wide ? 64 : 28, X86_BANK_KERNEL);
    if (kind == X86_TASK_CALL)
        return;
    if (!x86_desc_read(c, tr->sel, ret_desc))
        x86_raise_err(c, X86_TS, sel_error(tr->sel, ext));
    x86_lin_probe_write(c, ret_desc->lin + 5, 1, X86_BANK_KERNEL);
}

/* Loads everything that needs no check; the segments hold bare selectors afterwards. */
static void load_registers(struct x86_cpu *c, const struct task *t, bool nested)
{
    c->rip = c->next_rip = t->ip;
    c->rflags = (t->flags & FLAGS_TSS) | FLAG_ONE | (nested ? FLAG_NT : 0);
    for (unsigned n = 0; n < 8; n++)
        c->gpr[n] = t->gpr[n];
    for (unsigned n = 0; n < 6; n++)
        c->seg[n] = x86_seg_null(t->sel[n], t->sel[SEG_CS] & 3);
    c->cr0 |= CR0_TS;
    c->dr7 &= ~(uint64_t)DR7_LOCAL;
    c->int_shadow = 0;
    if (t->trap)
        c->pending_dbg |= DR6_BT;
    x86_mode_update(c);
}

void x86_task_switch(struct x86_cpu *c, uint16_t sel, enum x86_task_switch kind, uint64_t ret_ip, uint64_t ret_flags,
                     unsigned ext)
{
    struct x86_desc d = new_tss_desc(c, sel, kind, ext), old_desc;
    struct x86_seg tr = x86_desc_to_seg(&d, sel), old = c->seg[SEG_TR];
    bool wide = desc_type(&d) >= SYS_TSS;
    uint8_t tss[TSS32_BYTES];
    struct task t;
    if (tr.limit < (wide ? TSS32_BYTES : TSS16_BYTES) - 1u)
        x86_raise_err(c, X86_TS, sel_error(sel, ext));
    x86_lin_read_bytes(c, tr.base, tss, wide ? TSS32_BYTES : TSS16_BYTES, X86_BANK_KERNEL);
    task_parse(tss, wide, &t);
    if (kind == X86_TASK_CALL)
        x86_lin_probe_write(c, tr.base, 2, X86_BANK_KERNEL);
    probe_old(c, &old, kind, &old_desc, ext);
    if (kind != X86_TASK_IRET)
        x86_desc_set_bits(c, &d, BUSY);
    /* nothing faults from here to the new task's segments */
    if (kind != X86_TASK_CALL)
        x86_desc_clear_bits(c, &old_desc, BUSY);
    if (kind == X86_TASK_IRET)
        ret_flags &= ~(uint64_t)FLAG_NT;
    task_save(c, &old, ret_ip, ret_flags);
    if (kind == X86_TASK_CALL)
        x86_lin_write(c, tr.base, old.sel, 2, X86_BANK_KERNEL);
    c->seg[SEG_TR] = tr;
    c->seg[SEG_TR].attr |= BUSY;
    load_registers(c, &t, kind == X86_TASK_CALL);
    if (wide && c->cr0 & CR0_PG)
        x86_cr3_write(c, t.cr3);
    load_segments(c, &t, ext);
    x86_check_target(c, &c->seg[SEG_CS], c->rip, ext);
}

void x86_task_return(struct x86_cpu *c, uint64_t ret_ip)
{
    const struct x86_seg *tr = &c->seg[SEG_TR];
    if (tr->attr & SEG_UNUSABLE || tr->limit < 1)
        x86_raise_err(c, X86_TS, sel_error(tr->sel, 0));
    uint16_t link = (uint16_t)x86_lin_read(c, tr->base, 2, X86_BANK_KERNEL);
    x86_task_switch(c, link, X86_TASK_IRET, ret_ip, c->rflags, 0);
}

void x86_task_push_error(struct x86_cpu *c, uint32_t error)
{
    struct x86_frame f;
    x86_frame_init_current(c, &f, (c->seg[SEG_TR].attr & SEG_TYPE) >= SYS_TSS ? 4 : 2, 1);
    x86_frame_push(&f, error);
    x86_stack_set(c, x86_frame_write(c, &f));
}
