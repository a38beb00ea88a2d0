/* SPDX-License-Identifier: MIT */
/*
 * Segmented and linear memory accesses of a guest x86 CPU, over the software TLB.
 *
 * The quick hits are inlined (tlb.h); here stand the checks, the misses, and the accesses that are not one plain RAM page:
 * page-crossing ones (both pages are resolved before any byte moves), device registers, and watched pages (data
 * breakpoints keep a page out of the TLB, so that each access comes here).
 *
 * Spec: Intel SDM 3A 3.4, 4.10, 5.3, 6.15 (#AC, #PF), 17.2 (breakpoints)
 */
#include <stdlib.h>

#include "core/vcpu.h"
#include "core/vm.h"
#include "isa/x86/tlb.h"
#include "isa/x86/trap.h"

/* Where a piece of an access within one page lies. */
struct piece {
    uint8_t *host; /* NULL: device registers */
    gpa_t gpa;
    unsigned len;
};

/* An enabled data breakpoint lies in this page: it stays out of the TLB. */
static bool page_watched(const struct x86_cpu *c, gva_t lin)
{
    if (__builtin_expect(!(c->dr7 & 0xff), 1))
        return false;
    for (unsigned n = 0; n < 4; n++)
        if ((c->dr7 >> (2 * n) & 3) && (c->dr[n] & GPAGE_MASK) == (lin & GPAGE_MASK))
            return true;
    return false;
}

static bool canonical(gva_t lin)
{
    return (uint64_t)((int64_t)(lin << 16) >> 16) == lin;
}

uint8_t *x86_tlb_touch(struct x86_cpu *c, gva_t lin, enum x86_access access, enum x86_tlb_bank bank)
{
    uint8_t *hit = tlb_hit(c, lin, 1, bank, access);
    struct x86_walk w;
    if (hit || (hit = x86_tlb_adopt(c, lin, access, bank)))
        return hit;
    c->tlb->misses[access]++;
    if (!canonical(lin) || page_watched(c, lin) || x86_walk(c, lin, access, bank, &w))
        return NULL;
    uint8_t *host = gmem_pin(c->gmem, w.gpa & GPAGE_MASK, GPAGE_SIZE);
    if (!host)
        return NULL;
    host += w.gpa & ~GPAGE_MASK;
    x86_tlb_fill(c, lin, host, &w, access, bank);
    return host;
}

/* Translates one page's worth of an access; raises #PF. */
static struct piece resolve(struct x86_cpu *c, gva_t lin, unsigned len, enum x86_access access, enum x86_tlb_bank bank)
{
    uint8_t *hit = tlb_hit(c, lin, 1, bank, access);
    struct x86_walk w;
    if (hit || (hit = x86_tlb_adopt(c, lin, access, bank)))
        return (struct piece){ hit, 0, len };
    c->tlb->misses[access]++;
    uint32_t fault = x86_walk(c, lin, access, bank, &w);
    if (fault)
        x86_raise_pf(c, lin, fault & 0x7fffffff);
    uint8_t *host = gmem_pin(c->gmem, w.gpa & GPAGE_MASK, GPAGE_SIZE);
    if (!host)
        return (struct piece){ NULL, w.gpa, len };
    host += w.gpa & ~GPAGE_MASK;
    if (!page_watched(c, lin))
        x86_tlb_fill(c, lin, host, &w, access, bank);
    return (struct piece){ host, w.gpa, len };
}

static void watch(struct x86_cpu *c, gva_t lin, unsigned len, bool write, enum x86_tlb_bank bank)
{
    (void)bank;
    if (__builtin_expect(c->dr7 & 0xff, 0))
        x86_check_breakpoint_data(c, lin, len, write, false);
}

static gva_t wrap(const struct x86_cpu *c, gva_t lin)
{
    return c->long_mode ? lin : (uint32_t)lin;
}

/* The one or two pieces of an access; both translated before anything is touched. Returns how many. */
static unsigned pieces(struct x86_cpu *c, gva_t lin, unsigned len, enum x86_access access, enum x86_tlb_bank bank,
                       struct piece p[2])
{
    unsigned first = GPAGE_SIZE - (lin & ~GPAGE_MASK);
    if (first >= len) {
        p[0] = resolve(c, lin, len, access, bank);
        return 1;
    }
    p[0] = resolve(c, lin, first, access, bank);
    p[1] = resolve(c, wrap(c, lin + first), len - first, access, bank);
    return 2;
}

static struct vm *cpu_vm(const struct x86_cpu *c)
{
    return c->vcpu ? c->vcpu->vm : NULL;
}

/* Largest access a device register sees at this address with this much left. */
static unsigned io_size(gpa_t gpa, unsigned len)
{
    unsigned size = 8;
    while (size > len || (gpa & (size - 1)))
        size >>= 1;
    return size;
}

static void piece_read(struct x86_cpu *c, struct piece p, uint8_t *buf)
{
    if (p.host) {
        memcpy(buf, p.host, p.len);
        return;
    }
    while (p.len) {
        unsigned size = io_size(p.gpa, p.len);
        uint64_t v = cpu_vm(c) ? vm_mmio_read(cpu_vm(c), p.gpa, size) : ~0ULL;
        memcpy(buf, &v, size);
        p.gpa += size, buf += size, p.len -= size;
    }
}

static void piece_write(struct x86_cpu *c, struct piece p, const uint8_t *buf)
{
    if (p.host) {
        memcpy(p.host, buf, p.len);
        tlb_wrote(c, p.host);
        return;
    }
    while (p.len) {
        unsigned size = io_size(p.gpa, p.len);
        uint64_t v = 0;
        memcpy(&v, buf, size);
        if (cpu_vm(c))
            vm_mmio_write(cpu_vm(c), p.gpa, v, size);
        p.gpa += size, buf += size, p.len -= size;
    }
}

uint64_t x86_lin_read(struct x86_cpu *c, gva_t lin, unsigned size, enum x86_tlb_bank bank)
{
    const uint8_t *hit = tlb_hit(c, lin, size, bank, X86_READ);
    struct piece p[2];
    uint64_t v = 0;
    if (hit)
        return load_le(hit, size);
    if (pieces(c, lin, size, X86_READ, bank, p) == 2) {
        piece_read(c, p[0], (uint8_t *)&v);
        piece_read(c, p[1], (uint8_t *)&v + p[0].len);
    } else if (p[0].host) {
        v = load_le(p[0].host, size);
    } else {
        piece_read(c, p[0], (uint8_t *)&v);
    }
    watch(c, lin, size, false, bank);
    return v;
}

void x86_lin_write(struct x86_cpu *c, gva_t lin, uint64_t value, unsigned size, enum x86_tlb_bank bank)
{
    uint8_t *hit = tlb_hit(c, lin, size, bank, X86_WRITE);
    struct piece p[2];
    if (hit) {
        store_le(hit, value, size);
        tlb_wrote(c, hit);
        return;
    }
    if (pieces(c, lin, size, X86_WRITE, bank, p) == 2) {
        piece_write(c, p[0], (uint8_t *)&value);
        piece_write(c, p[1], (uint8_t *)&value + p[0].len);
    } else if (p[0].host) {
        store_le(p[0].host, value, size);
        tlb_wrote(c, p[0].host);
    } else {
        piece_write(c, p[0], (uint8_t *)&value);
    }
    watch(c, lin, size, true, bank);
}

void x86_lin_read_bytes(struct x86_cpu *c, gva_t lin, void *buf, unsigned len, enum x86_tlb_bank bank)
{
    struct piece p[2];
    if (!len)
        return;
    unsigned n = pieces(c, lin, len, X86_READ, bank, p);
    piece_read(c, p[0], buf);
    if (n == 2)
        piece_read(c, p[1], (uint8_t *)buf + p[0].len);
    watch(c, lin, len, false, bank);
}

void x86_lin_write_bytes(struct x86_cpu *c, gva_t lin, const void *buf, unsigned len, enum x86_tlb_bank bank)
{
    struct piece p[2];
    if (!len)
        return;
    unsigned n = pieces(c, lin, len, X86_WRITE, bank, p);
    piece_write(c, p[0], buf);
    if (n == 2)
        piece_write(c, p[1], (const uint8_t *)buf + p[0].len);
    watch(c, lin, len, true, bank);
}

void x86_lin_probe_write(struct x86_cpu *c, gva_t lin, unsigned len, enum x86_tlb_bank bank)
{
    struct piece p[2];
    if (len)
        (void)pieces(c, lin, len, X86_WRITE, bank, p); /* only the faults are wanted */
}

void *x86_lin_rmw(struct x86_cpu *c, gva_t lin, unsigned size, enum x86_tlb_bank bank)
{
    uint8_t *hit = tlb_hit(c, lin, size, bank, X86_WRITE);
    struct piece p[2];
    if (hit)
        return hit;
    if (pieces(c, lin, size, X86_WRITE, bank, p) == 2)
        return NULL;
    watch(c, lin, size, true, bank);
    return p[0].host;
}

bool x86_lin_swap(struct x86_cpu *c, gva_t lin, uint64_t old, uint64_t value, unsigned size, enum x86_tlb_bank bank)
{
    struct piece p[2];
    uint64_t seen = 0;
    if (pieces(c, lin, size, X86_WRITE, bank, p) != 2 || !p[0].host || !p[1].host || !cpu_vm(c)) {
        x86_lin_write(c, lin, value, size, bank);
        return true;
    }
    vm_lock(cpu_vm(c)); /* nothing raises until it is given back */
    piece_read(c, p[0], (uint8_t *)&seen);
    piece_read(c, p[1], (uint8_t *)&seen + p[0].len);
    bool same = seen == old;
    if (same) {
        piece_write(c, p[0], (uint8_t *)&value);
        piece_write(c, p[1], (uint8_t *)&value + p[0].len);
    }
    vm_unlock(cpu_vm(c));
    if (same)
        watch(c, lin, size, true, bank);
    return same;
}

/* Limit and type checks outside 64-bit mode. Spec: SDM 3A 5.3, 5.5 */
static bool segment_ok(const struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size, enum x86_access access)
{
    const struct x86_seg *s = &c->seg[seg];
    uint64_t last = off + (size ? size - 1 : 0);
    if (s->attr & SEG_UNUSABLE)
        return false;
    if (c->cr0 & CR0_PE && !(c->rflags & FLAG_VM)) {
        bool code = s->attr & SEG_TYPE_CODE;
        if (access == X86_WRITE && (code || !(s->attr & SEG_TYPE_RW)))
            return false;
        if (access == X86_READ && code && !(s->attr & SEG_TYPE_RW))
            return false;
        if (!code && (s->attr & SEG_TYPE_EC)) {
            uint64_t top = s->attr & SEG_DB ? 0xffffffffULL : 0xffff;
            return off > s->limit && last <= top;
        }
    }
    return last <= s->limit;
}

gva_t x86_seg_lin(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size, enum x86_access access)
{
    gva_t lin;
    if (c->mode == X86_MODE_64) {
        lin = seg >= SEG_FS ? off + c->seg[seg].base : off;
        if (!canonical(lin) || (size > 1 && !canonical(lin + size - 1)))
            x86_raise_seg(c, seg);
        return lin;
    }
    if (!seg_is_open(c, seg, access) && !segment_ok(c, seg, off, size, access))
        x86_raise_seg(c, seg);
    return (uint32_t)(off + c->seg[seg].base);
}

static void align_check(struct x86_cpu *c, gva_t lin, unsigned size)
{
    if (c->align_check && (size & (size - 1)) == 0 && (lin & (size - 1)))
        x86_raise_err(c, X86_AC, 0);
}

uint64_t x86_mem_read_slow(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size)
{
    gva_t lin = x86_seg_lin(c, seg, off, size, X86_READ);
    align_check(c, lin, size);
    return x86_lin_read(c, lin, size, c->bank);
}

void x86_mem_write_slow(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, uint64_t v, unsigned size)
{
    gva_t lin = x86_seg_lin(c, seg, off, size, X86_WRITE);
    align_check(c, lin, size);
    x86_lin_write(c, lin, v, size, c->bank);
}

uint64_t x86_mem_read(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, unsigned size)
{
    return mem_read(c, seg, off, size);
}

void x86_mem_write(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, uint64_t value, unsigned size)
{
    mem_write(c, seg, off, value, size);
}

void x86_mem_read_bytes(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, void *buf, unsigned len)
{
    x86_lin_read_bytes(c, x86_seg_lin(c, seg, off, len, X86_READ), buf, len, c->bank);
}

void x86_mem_write_bytes(struct x86_cpu *c, enum x86_seg_reg seg, uint64_t off, const void *buf, unsigned len)
{
    x86_lin_write_bytes(c, x86_seg_lin(c, seg, off, len, X86_WRITE), buf, len, c->bank);
}

const uint8_t *x86_fetch_page(struct x86_cpu *c, gva_t lin, unsigned *ret_left)
{
    enum x86_tlb_bank bank = c->cpl == 3 ? X86_BANK_USER : X86_BANK_KERNEL;
    struct piece p = resolve(c, lin, 1, X86_FETCH, bank);
    *ret_left = GPAGE_SIZE - (lin & ~GPAGE_MASK);
    return p.host;
}
