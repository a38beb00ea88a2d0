#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random instructions, CSR accesses, traps, page tables and PMP regions on a bare hart, compared with Spike.

usage: riscv_stream.py SPIKE [--cc CLANG] [--seed N] [--programs N] [--kinds insn,csr,page,fence,pmp,trap,vcsr,vtrap,vpage] [--engine interp|bt]... [--cpu MODEL]
                        [--runner RISCV_HTIF]

A program is some hundred slots. Each loads all registers, sets some CSRs, does one thing that may trap, in M-, S- or U-mode, and writes down the
trap, all registers and what it was about (the CSR read again, the page-table entries, the data); Spike and riscv_htif must write the same. What is
left open by the architecture and differs is not generated; OPEN says what. Kind vector needs a model with V, and a Spike that goes on at any vstart
(docs/riscv.md); vcsr, vtrap and vpage are about virtual machines (extension H). A difference is printed with seed and slot; exit status 1.
"""
import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SLOTS = 150
LOG = 112  # dwords a slot: names below
NAMES = ['cause', 'epc', 'tval', 'mstatus', 'traps', 'fcsr', 'extra0', 'extra1', 'extra2', 'extra3', 'extra4', 'extra5', 'extra6', 'extra7', '-', '-']
NAMES += [f'x{k}' for k in range(32)] + [f'f{k}' for k in range(32)]
VIRT = {'mtval2': 0x34b, 'mtinst': 0x34a, 'hstatus': 0x600, 'htval': 0x643, 'htinst': 0x64a, 'vsstatus': 0x200, 'vsepc': 0x241, 'vscause': 0x242,
        'vstval': 0x243, 'vsatp': 0x280, 'hgatp': 0x680, 'hvip': 0x645, 'hie': 0x604}  # written down behind the others, after what may be virtual
VIRT_AT, ENTRY_AT = len(NAMES), len(NAMES) + len(VIRT)
NAMES += list(VIRT) + [f'entry{k}' for k in range(LOG - ENTRY_AT)]
X_AT, F_AT, EXTRA = 16, 48, 6
WINDOW = 0x80f00000  # two pages of data, in front of a hole of nothing special
TABLES = 0x80f10000
G_ROOT, G_TABLES = 0x80f20000, 0x80f24000
OPEN = {
    0x301: 'misa: Spike lets programs switch extensions off',
    0xc01: 'time', 0xf11: 'mvendorid', 0xf12: 'marchid', 0xf13: 'mimpid',
    0x5a8: 'scontext', 0x6a8: 'hcontext',
    **{n: 'triggers, which Spike has' for n in range(0x7a0, 0x7b0)},
}
# bits of CSRs that may be there or not
OPEN_BITS = {
    0x10a: 1, 0x30a: 1, 0x60a: 1,  # FIOM: Spike lacks it
    0x303: 1 << 12, 0x304: 1 << 12, 0x604: 1 << 12,  # SGEI: Spike delegates and enables it, though it has none (GEILEN is 0)
    0x302: 1 << 19 | 1,  # delegation of hardware errors and misaligned fetches, which we never raise
    0x602: 1 << 19,
    0x320: ~7 & 0xffffffff,  # counters that are always 0 here
    0x344: 1 << 7,  # MTIP: Spike has a timer
}
PAGE_ACCESSES = ['ld x5, 0(x8)', 'lw x5, 0(x8)', 'flw f1, 0(x8)', 'sd x9, 0(x8)', 'sb x9, 0(x8)', 'fsd f1, 0(x8)', 'amoadd.d x5, x9, (x8)',
                 'amocas.d x12, x14, (x8)', 'lr.d x5, (x8)', 'sc.d x5, x9, (x8)', 'cbo.zero (x8)', 'cbo.clean (x8)', 'prefetch.w 0(x8)', 'fetch', 'fetch']
TRAPS = ['ecall', 'ecall', 'ebreak', 'c.ebreak', '.4byte 0xffffffff', '.2byte 0', 'lw x5, 0(x8)', 'sw x5, 0(x8)', 'jr x8', 'amoadd.w x5, x5, (x8)',
         'csrr x5, mstatus', 'csrr x5, satp', 'csrr x5, sstatus', 'sret', 'sret', 'mret', 'wfi', 'sfence.vma', 'sfence.vma x5, x6', 'fence.i', 'nop', 'nop']
# on harts without C: to an odd half
ODD_JUMPS = ['jalr x6, 2(x8)', 'jalr x8, -2(x8)', '.4byte 0x0060036f', '.4byte 0x00000363', '.4byte 0x00001363']  # jal x6, +6; beq, bne x0, x0, +6
H_WORDS = {'hfence.vvma': 0x22000073, 'hfence.gvma': 0x62000073, 'hinval.vvma': 0x26000073, 'hinval.gvma': 0x66000073, 'sinval.vma': 0x16000073,
           'sfence.w.inval': 0x18000073, 'hlv.w': 0x68044273, 'hlvx.hu': 0x64344273, 'hsv.d': 0x6e544073, 'mret': 0x30200073, 'wfi': 0x10500073,
           'sret': 0x10200073, 'sfence.vma': 0x12000073, 'cbo.zero': 0x0044200f, 'cbo.inval': 0x0004200f, 'cbo.clean': 0x0014200f}
H_TRAPS = [*H_WORDS, 'sret', 'sret', 'sret', 'ecall', 'ecall', 'ebreak', '.4byte 0xffffffff', 'lw x5, 0(x8)', 'sw x5, 0(x8)', 'jr x8', 'amoadd.w x5, x5, (x8)',
           'csrr x5, 0x200', 'csrr x5, 0x600', 'csrr x5, 0x680', 'csrr x5, satp', 'csrr x5, sstatus', 'fadd.d f1, f1, f1', 'fence.i', 'nop', 'nop']
# what accesses a virtual machine's memory at x8 (HLV: from M-mode; the others by MPRV and MPV)
H_ACCESSES = ['.4byte 0x6c0442f3', '.4byte 0x680442f3', '.4byte 0x640442f3', '.4byte 0x600442f3', '.4byte 0x683442f3', '.4byte 0x643442f3',
              '.4byte 0x6e944073', '.4byte 0x6a944073', '.4byte 0x62944073', 'ld x5, 0(x8)', 'sd x9, 0(x8)', 'sb x9, 0(x8)', 'fld f1, 0(x8)',
              'amoadd.d x5, x9, (x8)', 'lr.d x5, (x8)', 'cbo.zero (x8)', 'fetch', 'fetch', 'fetch']
JUMPS = ('c.j', 'c.jr', 'c.jalr', 'c.beqz', 'c.bnez', 'c.ebreak')
ATOMIC = ('amo', 'sc.', 'lr.')
CSRS = [1, 2, 3, 8, 9, 0xa, 0xf, 0xc20, 0xc21, 0xc22, 0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144, 0x14d, 0x180, 0x300, 0x302, 0x303, 0x304, 0x305, 0x306, 0x30a,
        0x320, 0x323, 0x33f, 0x340, 0x341, 0x342, 0x343, 0x344, 0x3a0, 0x3a1, 0x3a2, 0x3b0, 0x3b1, 0x3bf, 0x3c0, 0xb00, 0xb02, 0xb03, 0xb1f, 0xc00,
        0xc02, 0xc03, 0xc1f, 0xf14, 0xf15]
H_CSRS = [*VIRT.values(), 0x602, 0x603, 0x605, 0x606, 0x607, 0x60a, 0x644, 0xe12, 0x204, 0x205, 0x240, 0x244, 0x24d, 0x100, 0x104, 0x105, 0x106, 0x10a,
          0x140, 0x141, 0x142, 0x143, 0x144, 0x14d, 0x180, 0xc00, 0xc02, 0xc03, 1, 3, 0x300, 0x302, 0x303, 0x304, 0x344, 0x34a, 0x34b]
STATUS = 0x6000  # FS
MPV = 1 << 39
MENV = 0xf1


def corner(rnd):
    kind = rnd.randrange(8)
    if kind == 0:
        return rnd.choice([0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 1 << 63, (1 << 64) - 1, (1 << 32), 63, 64, 0xff])
    if kind == 1:
        return 1 << rnd.randrange(64)
    if kind == 2:
        return (1 << 64) - 1 ^ 1 << rnd.randrange(64)
    if kind == 3:
        return rnd.getrandbits(rnd.randrange(1, 65))
    if kind == 4:
        return (1 << 64) - rnd.getrandbits(rnd.randrange(1, 40)) & (1 << 64) - 1
    return rnd.getrandbits(64)


def floating(rnd):
    def of(width, mantissa):
        exponent = width - 1 - mantissa
        one = (1 << exponent - 1) - 1
        e = rnd.choice([0, 2 * one + 1, one, 1, rnd.getrandbits(exponent), one + rnd.randrange(66) % one])
        m = rnd.choice([0, 1, (1 << mantissa) - 1, 1 << mantissa - 1, rnd.getrandbits(mantissa)])
        return rnd.getrandbits(1) << width - 1 | e << mantissa | m
    kind = rnd.randrange(7)
    if kind < 2:
        return of(64, 52)
    if kind < 4:
        return 0xffffffff << 32 | of(32, 23)
    if kind < 6:
        return 0xffffffffffff << 16 | of(16, 10)
    return rnd.getrandbits(64)


class Program:
    def __init__(self, seed, kinds, rows, vectors, has_c):
        self.rnd = random.Random(seed)
        self.rows, self.vectors = rows if has_c else [row for row in rows if not row.startswith('c.')], vectors
        self.traps = TRAPS if has_c else [what for what in TRAPS if what not in ('c.ebreak', '.2byte 0')] + 2 * ODD_JUMPS
        self.text, self.data, self.slots = [], [], []
        self.has_virtual = any(kind in ('vcsr', 'vtrap', 'vpage') for kind in kinds)
        for k in range(16):
            self.table(k)
        for k in range(SLOTS):
            getattr(self, 'slot_' + self.rnd.choice(kinds))(k)

    def put(self, *lines):
        self.text += lines

    def table(self, k):
        """Values of all registers: x8 to x15 and x2 lead to data, mostly."""
        rnd = self.rnd
        x = [corner(rnd) for _ in range(32)]
        for n in [2, *range(8, 16)]:
            x[n] = WINDOW + rnd.choice([0x800, 0x800, 0x1000, 0x17f0]) + rnd.choice([0, 0, 8, 16, rnd.randrange(-64, 64)])
            if rnd.randrange(20) == 0:  # nothing is there, or RAM ends there
                x[n] = rnd.choice([1 << 62, 1 << 40, (1 << 64) - 8, 0x40000000, 0x81000000 - rnd.randrange(9)])
        self.data.append(f'table{k}: .dword ' + ', '.join(map(hex, x + [floating(rnd) for _ in range(32)])))

    def begin(self, k, what, csrs=(), fcsr=None):
        rnd = self.rnd
        self.slots.append(what)
        self.put(f'# {k}: {what}', f'slot{k}:', f'la x26, next{k}', f'la x27, log + {8 * LOG * k}')
        for csr, value in csrs:
            self.put(f'li x5, {value:#x}', f'csrw {csr:#x}, x5')
        fcsr = fcsr if fcsr is not None else rnd.randrange(5) << 5 | rnd.choice([0, 0, 31])
        self.put(f'li x5, {fcsr:#x}', 'csrw fcsr, x5', f'la x31, table{rnd.randrange(16)}', f'la x30, table{rnd.randrange(16)}',
                 'call load_f', 'call load_x')

    def enter(self, k, mode, virtual=False):
        """Goes on behind this in that mode."""
        if mode != 3:
            self.put('csrw mscratch, x31', f'la x31, in{k}', 'csrw mepc, x31', f'li x31, {mode << 11 | MPV * virtual:#x}', 'csrs mstatus, x31',
                     'la x31, save', 'csrrw x31, mscratch, x31', 'mret', f'in{k}:')

    def end(self, k, extra=()):
        self.put('ecall' if extra == 'ecall' else 'nop', f'next{k}:', 'call store_x')
        if extra != 'ecall':
            self.put(*extra)
        self.put('call restore', 'call store_f')

    def word(self, rows=None):
        """Name, word and bytes of an instruction that does not jump, and leaves x26 and x27 alone."""
        rnd = self.rnd
        while True:
            name, bits, *_ = rnd.choice(rows or self.rows).split('\t')
            if rnd.randrange(40) == 0 and not rows:
                name, bits = 'random', '.' * 30 + '11'
            word = int(''.join(rnd.choice('01') if b == '.' else b for b in bits), 2)
            opcode = word & 0x7f
            if word >> 7 & 31 in (26, 27) or opcode in (0x63, 0x6f, 0x67, 0x73) or name in JUMPS:
                continue
            if len(bits) == 32 and opcode in (0x03, 0x07, 0x23, 0x27, 0x2f, 0x0f):
                word = word & ~(31 << 15) | rnd.choice([2, *range(8, 16)]) << 15
                if opcode not in (0x2f, 0x0f) and rnd.randrange(4):
                    word &= ~(7 << 29)
            return name, word, len(bits) // 8

    def slot_insn(self, k):
        rnd = self.rnd
        name, word, size = self.word()
        mode = rnd.choice([3, 3, 1, 0])
        switches = [(0x306, 7), (0x106, 7)] + [(n, rnd.choice([MENV, rnd.choice([0, 0x10, 0x30]) | rnd.choice([0, 0x40, 0x80])])) for n in (0x30a, 0x10a)]
        self.begin(k, f'{name} {word:#x} in mode {mode}', switches)
        self.enter(k, mode)
        self.put(f'.{size}byte {word:#x}')
        self.end(k, 'ecall' if mode != 3 else ())

    def slot_csr(self, k):
        rnd = self.rnd
        csr = rnd.choice(CSRS) if rnd.randrange(8) else rnd.randrange(4096)
        if csr in OPEN:
            csr = 0x300
        funct, mode, rs1, rd = rnd.choice([1, 1, 2, 3, 5, 6, 7]), rnd.choice([3, 3, 3, 1, 0]), rnd.randrange(1, 26), rnd.choice([0, *range(1, 25)])
        if rnd.randrange(8) == 0:
            rs1 = 0
        if 0x3a0 <= csr < 0x3b0 and funct < 4:
            rs1 = 25  # see load_x: no lock bits
        switches = [(0x300, STATUS | rnd.getrandbits(2) << 9), (0x306, rnd.getrandbits(3)), (0x106, rnd.getrandbits(3)), (0x303, rnd.choice([0, 0x222])), (0x30a, rnd.choice([0, 1 << 63]))]
        self.begin(k, f'csr {csr:#x} funct {funct} rd {rd} rs1 {rs1} in mode {mode}', switches)
        if mode == 1 and rnd.randrange(4) == 0:
            self.put('csrw mscratch, x31', 'li x31, 0x100000', 'csrs mstatus, x31', 'csrr x31, mscratch')  # TVM
        self.enter(k, mode)
        self.put(f'.4byte {csr << 20 | rs1 << 15 | funct << 12 | rd << 7 | 0x73:#x}')
        again = f'csrr x8, {csr:#x}' if csr not in (0x340, 0x305) else 'nop'  # may trap
        self.end(k, 'ecall' if mode != 3 else [f'la x26, more{k}', 'csrr x5, mscratch', 'la x6, save', 'csrw mscratch, x6', 'la x7, handler',
                                               'csrrw x6, mtvec, x7', again, f'more{k}:', *(f'sd x{n}, {8 * (EXTRA + n - 5)}(x27)' for n in (5, 6, 8))])

    def slot_vector(self, k):
        """An instruction that is no access, with VS, FS, vtype, vl and vstart as they may be; then VS and the vectors' state."""
        rnd = self.rnd
        mode, status, vd = rnd.choice([3, 3, 1, 0]), rnd.choice([0, 1, 2, 3, 3]) << 9, 0
        name, word, _ = self.word(self.vectors)
        first = [f'li x5, {STATUS | 0x600:#x}', 'csrw mstatus, x5', f'li x5, {rnd.choice([rnd.randrange(40), 1 << 60])}',
                 f'li x6, {rnd.choice([rnd.getrandbits(8), rnd.getrandbits(8) & 0xdb, 0xc0 | rnd.randrange(4) << 3])}', '.4byte 0x8062f057',
                 f'csrwi 0x00f, {rnd.getrandbits(3)}', f'csrwi 0x008, {rnd.choice([0, 0, 0, rnd.randrange(32)])}',
                 f'li x5, {STATUS | status:#x}', 'csrw mstatus, x5']
        self.put(*first)
        self.begin(k, f'{name} {word:#x} in mode {mode}; {"; ".join(first)}')
        if rnd.randrange(6) == 0:
            self.put('csrw mscratch, x31', f'li x31, {STATUS:#x}', 'csrc mstatus, x31', 'la x31, save', 'csrrw x31, mscratch, x31')
        self.enter(k, mode)
        self.put(f'.4byte {word:#x}', *['ecall'] * (mode != 3))
        vd = word >> 7 & 31
        self.end(k, ['csrr x5, mstatus', f'sd x5, {8 * EXTRA}(x27)', 'li x6, 0x600', 'csrs mstatus, x6',
                     *(f'csrr x5, {csr:#x}\nsd x5, {8 * (EXTRA + 1 + n)}(x27)' for n, csr in enumerate([0xc20, 0xc21, 0xf, 8])), 'csrw 0x008, x0',
                     f'addi x5, x27, {8 * (EXTRA + 5)}', f'.4byte {0x02828027 | vd << 7:#x}'])

    def slot_trap(self, k):
        """A trap or an interrupt, delegated or not, or a return."""
        rnd = self.rnd
        mode = rnd.choice([0, 0, 1, 1, 1, 3])
        what = rnd.choice(self.traps)
        pending, enabled = rnd.choice([(0, 0), (0, 0), (rnd.getrandbits(10) & 0x222, rnd.getrandbits(12) & 0xb2a)])
        csrs = [(0x302, rnd.getrandbits(16) & ~(1 << 9)), (0x303, rnd.getrandbits(10) & 0x222), (0x30a, 0), (0x344, pending), (0x304, enabled)]
        status = rnd.getrandbits(64) & 0x7401a2 | mode << 11  # TSR, TW, TVM, SUM, SPP, MPIE, SPIE, SIE
        if what == 'wfi' and (mode == 3 or mode == 1 and not status >> 21 & 1):
            what = 'ecall'  # it would wait for ever
        vectored = rnd.getrandbits(2)
        self.begin(k, f'{what} in mode {mode}, status {status:#x}, vectored {vectored}, ' + ' '.join(f'{c:#x}={v:#x}' for c, v in csrs), csrs)
        for csr, label in [('mtvec', f'vectors + {vectored & 1}'), ('stvec', f's_vectors + {vectored >> 1}'), ('sscratch', 'save + 32'), ('sepc', f'ret{k}'),
                           ('mepc', f'in{k}')]:
            self.put(f'la x31, {label}', f'csrw {csr}, x31')
        self.put(f'li x31, {status:#x}', 'csrs mstatus, x31', 'li x8, 0x40000004', 'mret', f'in{k}:', what, f'ret{k}:', 'ecall')
        self.end(k)

    def pte(self, level, leaf):
        """Flags and upper bits of an entry."""
        rnd = self.rnd
        bits = 1 if not leaf else rnd.choice([0xcf, 0xdf, 0xc7, 0xd7, 0xcb, 0xc3, 0xd3, 0xd9, 0xc9, 0x4f, 0x0f, 0x1f])
        if rnd.randrange(12) == 0:
            bits ^= 1 << rnd.randrange(8)
        if rnd.randrange(16) == 0:
            bits |= 1 << rnd.randrange(54, 64)
        if rnd.randrange(20) == 0:
            bits |= rnd.choice([1, 2, 3]) << 61
        return bits | (rnd.randrange(16) == 0) << 5 | rnd.choice([0, 0, 0, 0x100, 0x200, 0x300])

    def slot_page(self, k):
        rnd = self.rnd
        mode = rnd.choice([8, 9, 10])
        levels = mode - 5
        leaf = rnd.choice([0, 0, 0, 1, 2, levels - 1])
        napot, pbmt = rnd.randrange(3) == 0 and leaf == 0, rnd.randrange(4) == 0
        pa = WINDOW + 0x800 + 8 * rnd.randrange(16)
        span = 12 + 9 * leaf
        width = 12 + 9 * levels
        va = pa & (1 << span) - 1 | rnd.getrandbits(width) >> span << span
        if va >> width - 1 & 1:
            va |= (1 << 64) - (1 << width)
        if rnd.randrange(12) == 0:
            va ^= 1 << rnd.randrange(width - 1, 64)
        access = rnd.choice(PAGE_ACCESSES)
        who, sum_mxr = rnd.choice([0, 1]), rnd.getrandbits(2) << 18
        env = rnd.getrandbits(2) << 61 | MENV
        slots = []
        for level in range(levels - 1, leaf - 1, -1):
            at = TABLES + 0x1000 * level + 8 * (va >> 12 + 9 * level & 511)
            to = pa >> span << span if level == leaf else TABLES + 0x1000 * (level - 1)
            if level == leaf and rnd.randrange(10) == 0:
                to ^= 0x1000 << rnd.randrange(9)
            value = to >> 12 << 10 ^ self.pte(level, level == leaf)
            if level == leaf and rnd.randrange(3):
                value = value & ~0x10 | (who == 0) << 4
            if level == leaf and pbmt:
                value ^= rnd.randrange(1, 4) << 61
            if level == leaf and napot:
                value |= 1 << 63
            if access == 'cbo.clean (x8)' and not value & 6:
                value |= 2
            if level == leaf == 0 and value >> 63 and rnd.randrange(6):
                value = value & ~(0xf << 10) | 8 << 10
                pa = WINDOW | va & 0xffff
            slots.append((at, value))
        entries = ' '.join(f'{v:#x}' for _, v in slots)
        self.begin(k, f'{access} at {va:#x} by mode {who}, satp {mode}, leaf {leaf}, entries {entries}, sum/mxr {sum_mxr >> 18}, menvcfg {env:#x}',
                   [(0x30a, env), (0x10a, MENV)])
        for at, value in slots:
            self.put(f'li x5, {at:#x}', f'li x6, {value:#x}', 'sd x6, 0(x5)')
        self.put(f'li x5, {pa:#x}', 'li x6, 0x7300000073', 'sd x6, 0(x5)')  # ecall, for fetches
        self.put(f'li x5, {mode << 60 | (TABLES + 0x1000 * (levels - 1)) >> 12:#x}', 'csrw satp, x5', 'sfence.vma', 'fence.i', f'li x8, {va:#x}',
                 f'li x5, {sum_mxr:#x}', 'csrs mstatus, x5')
        if access == 'fetch':
            self.put('csrw mepc, x8', f'li x5, {who << 11:#x}', 'csrs mstatus, x5', 'li x5, 0', 'mret')
        else:
            self.put(f'li x5, {who << 11 | 1 << 17:#x}', 'csrs mstatus, x5', 'li x5, 0', access, 'csrw satp, x0', 'li x28, 0x20000',
                     'csrc mstatus, x28')
        extra = []
        for n, (at, _) in enumerate(slots):
            extra += [f'li x5, {at:#x}', 'ld x6, 0(x5)', 'sd x0, 0(x5)', f'sd x6, {8 * (EXTRA + n)}(x27)']
        extra += [f'li x5, {pa:#x}', 'ld x6, 0(x5)', f'sd x6, {8 * (EXTRA + 7)}(x27)']
        self.end(k, extra)

    def slot_fence(self, k):
        """A page is accessed, its entry changed and fenced, and it is accessed again."""
        rnd = self.rnd
        mode = rnd.choice([8, 9, 10])
        levels = mode - 5
        leaf, asid, other = rnd.choice([0, 0, 0, 1, 2]), rnd.randrange(1, 4), rnd.randrange(4)
        napot = leaf == 0 and rnd.randrange(3) == 0
        pa = WINDOW + 0x800 + 8 * rnd.randrange(16)
        then = pa ^ {0: 0x20000 if napot else 0x1000, 1: 0x200000, 2: 0}[leaf]  # 1 GiB more is no RAM
        span, width = 16 if napot else 12 + 9 * leaf, 12 + 9 * levels
        va = pa & (1 << span) - 1 | rnd.getrandbits(width - 1) >> span << span
        high = 1 << 63 if napot else 0
        who, access = rnd.choice([0, 1]), rnd.choice(['ld', 'ld', 'sd'])
        bits = rnd.choice([0xcf, 0xcf, 0xc7]) | (who == 0) << 4
        new = rnd.choice([bits, bits, bits, bits ^ 0x10, bits & ~4, bits & ~0x80, 0])
        fence = rnd.choice(['sfence.vma', 'sfence.vma x8, x0', 'sfence.vma x0, x9', 'sfence.vma x8, x9'])
        if 'x9' not in fence:
            bits |= rnd.choice([0, 0x20])  # fences of one address space leave what is in all
        at = TABLES + 0x1000 * leaf + 8 * (va >> 12 + 9 * leaf & 511)
        def entry(to, flags):
            return (to >> span << span | (0x8000 if napot else 0)) >> 12 << 10 | flags | high
        self.begin(k, f'{access} at {va:#x} by mode {who}, satp {mode}, leaf {leaf}, {entry(pa, bits):#x} then {entry(then, new):#x}, {fence}, asid {asid}',
                   [(0x30a, 3 << 61 | MENV)])
        walk = []
        for level in range(levels - 1, leaf, -1):
            walk.append((TABLES + 0x1000 * level + 8 * (va >> 12 + 9 * level & 511), TABLES + 0x1000 * (level - 1) >> 12 << 10 | 1))
        for where, value in [*walk, (at, entry(pa, bits)), (pa, 0x1111), (then, 0x2222 if then != pa else 0x1111)]:
            self.put(f'li x5, {where:#x}', f'li x6, {value:#x}', 'sd x6, 0(x5)')
        root = mode << 60 | (TABLES + 0x1000 * (levels - 1)) >> 12
        self.put('sfence.vma', f'li x8, {va:#x}', f'li x9, {asid}', f'li x10, {at:#x}', f'li x11, {entry(then, new):#x}', f'li x12, {root | asid << 44:#x}',
                 f'li x13, {root | other << 44:#x}', f'li x14, {who << 11 | 1 << 17:#x}', 'li x15, 0x20000', 'li x5, 0x3333', 'li x6, 0x4444',
                 'csrw satp, x13', 'csrs mstatus, x14', f'{access} x5, 0(x8)', 'csrc mstatus, x15', 'csrw satp, x12', 'csrs mstatus, x14',
                 f'{access} x5, 0(x8)', 'csrc mstatus, x15', *(['csrw satp, x13'] if rnd.randrange(2) else []), 'sd x11, 0(x10)', fence, 'csrw satp, x12',
                 'csrs mstatus, x14', f'{access} x6, 0(x8)', 'csrc mstatus, x15')
        extra = []
        for n, where in enumerate([*(w for w, _ in walk), at]):
            extra += [f'li x5, {where:#x}', 'ld x6, 0(x5)', 'sd x0, 0(x5)', f'sd x6, {8 * (EXTRA + n)}(x27)']
        for n, where in ((6, then), (7, pa)):
            extra += [f'li x5, {where:#x}', 'ld x6, 0(x5)', f'sd x6, {8 * (EXTRA + n)}(x27)']
        self.end(k, extra)

    def slot_pmp(self, k):
        rnd = self.rnd
        csrs, cfg = [], 0
        for n in range(8):
            kind, at = rnd.choice([0, 1, 1, 2, 3, 3]), WINDOW + 0x800 + rnd.choice([0, 4, 8, 16, 32, 64, -4, -8])
            size = rnd.randrange(0, 12)
            aligned = (at >> 2) & ~((1 << size) - 1) | (1 << size >> 1) - 1
            csrs.append((0x3b0 + n, rnd.choice([at >> 2, at >> 2, aligned, corner(rnd)])))
            cfg |= (rnd.choice([7, 7, 3, 1, 0, 4, 5, rnd.getrandbits(3)]) | kind << 3 | rnd.choice([0, 0, 0, 0x60])) << 8 * n
        last = rnd.choice([0x1f, 0x1f, 0])  # the rest: open, or closed
        csrs += [(0x3a0, cfg), (0x3bf, (1 << 54) - 1), (0x3a2, last << 56)]
        who, mxr = rnd.choice([0, 1, 3]), rnd.getrandbits(1) << 19
        pa = WINDOW + 0x800 + rnd.choice([0, 4, 8, 12, 16, 28, 60, -4, -8, rnd.randrange(-16, 72)])
        access = rnd.choice(['ld', 'lw', 'lh', 'lb', 'sd', 'sw', 'sh', 'sb', 'fld', 'fsd'])
        reg = 'f1' if access[0] == 'f' else 'x5'
        self.begin(k, f'{access} at {pa:#x} by mode {who} with ' + ' '.join(f'{c:#x}={v:#x}' for c, v in csrs))
        for csr, value in csrs:
            self.put(f'li x5, {value:#x}', f'csrw {csr:#x}, x5')
        self.put(f'li x8, {pa:#x}', f'li x5, {who << 11 | 1 << 17 | mxr:#x}', 'csrs mstatus, x5', 'li x5, 0x5a', f'{access} {reg}, 0(x8)',
                 'li x28, 0x20000', 'csrc mstatus, x28')
        self.end(k, [line for n, csr in enumerate([0x3a0, 0x3b0, 0x3b1, 0x3b2, 0x3b3, 0x3a2])
                     for line in (f'csrr x5, {csr:#x}', f'sd x5, {8 * (EXTRA + n)}(x27)')])

    def virtual(self):
        """Lines that write down what VIRT names."""
        return [line for n, csr in enumerate(VIRT.values()) for line in (f'csrr x5, {csr:#x}', 'andi x5, x5, 0x444' if csr == 0x604 else 'nop', f'sd x5, {8 * (VIRT_AT + n)}(x27)')]

    def slot_vcsr(self, k):
        rnd = self.rnd
        csr = rnd.choice(H_CSRS) if rnd.randrange(8) else rnd.randrange(4096)
        if csr in OPEN:
            csr = 0x600
        funct, rs1, rd = rnd.choice([1, 1, 2, 3, 5, 6, 7]), rnd.choice([0, *range(1, 26)]), rnd.choice([0, *range(1, 25)])
        mode, virtual = rnd.choice([(3, 0), (1, 0), (1, 0), (1, 1), (1, 1), (1, 1), (0, 1), (0, 0)])
        if 0x3a0 <= csr < 0x3b0 and funct < 4:
            rs1 = 25
        stce, virtually = (rnd.choice([0, 1 << 63]), rnd.choice([0, 1 << 63])), rnd.getrandbits(13)
        csrs = [(0x306, rnd.getrandbits(3)), (0x106, rnd.getrandbits(3)), (0x606, rnd.getrandbits(3)), (0x303, rnd.choice([0, 0x222])), (0x30a, stce[0] | MENV),
                (0x60a, stce[1] | MENV), (0x603, rnd.getrandbits(13)), (0x645, virtually), (0x304, rnd.getrandbits(13) & 0x666 & ~virtually),  # none is taken
                (0x600, rnd.getrandbits(64) & 0x7003c0), (0x200, rnd.choice([STATUS, rnd.getrandbits(64) & 0xc6122]))]
        self.begin(k, f'csr {csr:#x} funct {funct} rd {rd} rs1 {rs1} in mode {mode}, V {virtual}, ' + ' '.join(f'{c:#x}={v:#x}' for c, v in csrs), csrs)
        if mode == 1 and rnd.randrange(4) == 0:
            self.put('csrw mscratch, x31', 'li x31, 0x100000', 'csrs mstatus, x31', 'csrr x31, mscratch')  # TVM
        self.enter(k, mode, virtual)
        self.put(f'.4byte {csr << 20 | rs1 << 15 | funct << 12 | rd << 7 | 0x73:#x}')
        if mode != 3:
            self.put('ecall')
        again = f'csrr x8, {csr:#x}' if csr not in (0x340, 0x305) else 'nop'
        self.end(k, [f'la x26, more{k}', 'csrr x5, mscratch', 'la x6, save', 'csrw mscratch, x6', 'la x7, handler', 'csrrw x6, mtvec, x7', again, f'more{k}:',
                     *(f'sd x{n}, {8 * (EXTRA + n - 5)}(x27)' for n in (5, 6, 8)), *self.virtual()])

    def slot_vtrap(self, k):
        """As slot_trap, in or about a virtual machine."""
        rnd = self.rnd
        mode, virtual = rnd.choice([(1, 1), (1, 1), (0, 1), (0, 1), (1, 0), (1, 0), (0, 0)])
        what = rnd.choice(H_TRAPS)
        pending, virtually, enabled = rnd.choice([(0, 0, 0), (0, 0, 0), (rnd.getrandbits(10) & 0x222, rnd.getrandbits(13) & 0x444, rnd.getrandbits(13) & 0xf6e)])
        csrs = [(0x302, (rnd.getrandbits(24) | rnd.getrandbits(24)) & ~(1 << 9)), (0x303, rnd.getrandbits(10) & 0x222), (0x602, rnd.getrandbits(16)),
                (0x603, rnd.getrandbits(13)), (0x30a, rnd.choice([0, MENV])), (0x60a, rnd.choice([0, MENV])), (0x10a, rnd.choice([0, MENV])), (0x344, pending),
                (0x645, virtually), (0x304, enabled), (0x600, rnd.getrandbits(64) & rnd.choice([0x7003c0, 0x380])), (0x200, rnd.getrandbits(64) & 0xc0122 | STATUS)]
        status = rnd.getrandbits(64) & rnd.choice([0x7401a2, 0x401a2]) | mode << 11 | MPV * virtual
        if what == 'wfi' and mode == 1 and not status >> 21 & 1:
            what = 'ecall'  # it might wait for ever
        vectored = rnd.getrandbits(3)
        self.begin(k, f'{what} in mode {mode}, V {virtual}, status {status:#x}, vectored {vectored}, ' + ' '.join(f'{c:#x}={v:#x}' for c, v in csrs), csrs)
        for csr, label in [('mtvec', f'vectors + {vectored & 1}'), ('stvec', f's_vectors + {vectored >> 1 & 1}'), ('0x205', f'vs_vectors + {vectored >> 2}'),
                           ('sscratch', 'save + 32'), ('sepc', f'ret{k}'), ('0x241', f'ret{k}'), ('mepc', f'in{k}')]:
            self.put(f'la x31, {label}', f'csrw {csr}, x31')
        word = f'.4byte {H_WORDS[what]:#x}' if what in H_WORDS else what
        self.put(f'li x31, {status:#x}', 'csrs mstatus, x31', f'li x8, {0x40000004 if what == "jr x8" else rnd.choice([0x40000004, WINDOW + 0x800]):#x}', 'mret', f'in{k}:', word, f'ret{k}:', 'ecall')
        self.end(k, self.virtual())

    def slot_vpage(self, k):
        rnd = self.rnd
        mode, g_mode = rnd.choice([0, 8, 8, 9, 10]), rnd.choice([0, 8, 8, 8, 9, 10])
        levels, g_levels = mode - 5 if mode else 0, g_mode - 5 if g_mode else 0
        pa = WINDOW + 0x800 + 8 * rnd.randrange(16)
        low = (1 << 21) - 1  # all that is mapped lies in these 2 MiB
        base = rnd.getrandbits(12 + 9 * g_levels + 2) & ~low if g_mode else pa & ~low
        of = lambda at: base | at & low
        gpa = of(pa)
        if g_mode and rnd.randrange(16) == 0:
            gpa ^= 1 << rnd.randrange(21, 56)
        leaf = rnd.choice([0, 0, 0, 1, 2, levels - 1]) if mode else 0
        span = 12 + 9 * leaf
        width = 12 + 9 * levels
        va = gpa & (1 << span) - 1 | rnd.getrandbits(width) >> span << span if mode else gpa
        if mode and va >> width - 1 & 1:
            va |= (1 << 64) - (1 << width)
        slots = []
        for level in range(levels - 1, leaf - 1, -1):
            at = TABLES + 0x1000 * level + 8 * (va >> 12 + 9 * level & 511)
            to = gpa >> span << span if level == leaf else of(TABLES + 0x1000 * (level - 1))
            value = to >> 12 << 10 ^ self.pte(level, level == leaf)
            if level == leaf == 0 and value >> 63 and rnd.randrange(2):
                value = value & ~(0xf << 10) | 8 << 10
            slots.append((at, value))
        g_pages = [] if not g_mode else [pa, *(TABLES + 0x1000 * n for n in range(levels))]
        big = rnd.randrange(4) == 0  # one page of 2 MiB
        g_entry = lambda to: to >> 12 << 10 ^ self.pte(0, True) | (0x10 if rnd.randrange(12) else 0)
        for level in range(g_levels - 1, 0, -1):
            top = level == g_levels - 1
            at = (G_ROOT if top else G_TABLES + 0x1000 * level) + 8 * (base >> 12 + 9 * level & (2047 if top else 511))
            value = g_entry(pa & ~low) if big and level == 1 else (G_TABLES + 0x1000 * (level - 1)) >> 12 << 10 | 1
            slots.append((at, value if rnd.randrange(30) else value ^ 1 << rnd.choice([*range(10), *range(54, 64)])))
        slots += [(G_TABLES + 8 * (at >> 12 & 511), g_entry(at & ~0xfff)) for at in g_pages if not big]
        access, mode_of = rnd.choice(H_ACCESSES), rnd.choice([0, 1, 1])
        env, henv = rnd.getrandbits(2) << 61 | MENV, rnd.getrandbits(2) << 61 | MENV
        status, vsstatus = rnd.getrandbits(2) << 18, rnd.getrandbits(2) << 18
        entries = ' '.join(f'{at:#x}={v:#x}' for at, v in slots)
        self.begin(k, f'{access} at {va:#x}, gpa {gpa:#x}, by mode {mode_of}, vsatp {mode}, hgatp {g_mode}, entries {entries}, sum/mxr {status >> 18} '
                      f'{vsstatus >> 18}, menvcfg {env:#x}, henvcfg {henv:#x}', [(0x30a, env), (0x60a, henv), (0x10a, MENV), (0x200, vsstatus | STATUS)])
        for at, value in slots:
            self.put(f'li x5, {at:#x}', f'li x6, {value:#x}', 'sd x6, 0(x5)')
        self.put(f'li x5, {pa:#x}', 'li x6, 0x7300000073', 'sd x6, 0(x5)')  # ecall, for fetches
        self.put(f'li x5, {mode << 60 | of(TABLES + 0x1000 * (levels - 1)) >> 12 if mode else 0:#x}', 'csrw 0x280, x5',
                 f'li x5, {g_mode << 60 | G_ROOT >> 12 if g_mode else 0:#x}', 'csrw 0x680, x5', f'.4byte {H_WORDS["hfence.gvma"]:#x}', 'fence.i',
                 f'li x5, {mode_of << 8}', 'csrs 0x600, x5', f'li x8, {va:#x}', f'li x5, {status:#x}', 'csrs mstatus, x5')
        if access == 'fetch':
            self.put('csrw mepc, x8', f'li x5, {mode_of << 11 | MPV:#x}', 'csrs mstatus, x5', 'li x5, 0', 'mret')
        else:
            by_mprv = [] if access.startswith('.4byte') else [f'li x5, {mode_of << 11 | MPV | 1 << 17:#x}', 'csrs mstatus, x5']
            self.put(*by_mprv, 'li x5, 0', access, 'li x28, 0x20000', 'csrc mstatus, x28')
        extra = self.virtual()
        for n, (at, _) in enumerate(slots):
            extra += [f'li x5, {at:#x}', 'ld x6, 0(x5)', 'sd x0, 0(x5)', f'sd x6, {8 * (ENTRY_AT + n)}(x27)']
        extra += [f'li x5, {pa:#x}', 'ld x6, 0(x5)', f'sd x6, {8 * (EXTRA + 7)}(x27)']
        self.end(k, extra)

    def source(self):
        return '\n'.join(['.section .text.init', '.globl _start', '_start:', 'la x5, handler', 'csrw mtvec, x5',
                          *(f'csrw {0x3b0 + n:#x}, x0' for n in range(16)), 'call restore', 'csrw mcycle, x0', 'csrw minstret, x0', *self.text,
                          *routines(self.has_virtual), '.balign 64', 'save: .fill 64, 1, 0', *self.data, '.balign 64', '.globl begin_signature', 'begin_signature:',
                          f'log: .fill {8 * LOG * SLOTS}, 1, 0', '.globl end_signature', 'end_signature:', ''])


def routines(virtual):
    """What all programs have: loading (x31: from where) and storing (x27: where to) registers, the state between slots, the handler."""
    x = [n for n in range(2, 31) if n not in (26, 27)]
    state = [(0x300, STATUS), (0x302, 0), (0x303, 0), (0x304, 0), (0x344, 0), (0x306, 7), (0x106, 7), (0x320, 0), (0x180, 0), (0x342, 0), (0x343, 0),
             (0x30a, 1 << 63 | MENV), (0x14d, (1 << 64) - 1), (0x10a, MENV), (0x3a0, 0), (0x3bf, (1 << 54) - 1), (0x3a2, 0x1f << 56)]
    if virtual:
        state += [(0x60a, 0), (0x24d, (1 << 64) - 1), (0x200, STATUS), (0x605, 0), (0x606, 7), *((n, 0) for n in (
            0x602, 0x603, 0x604, 0x645, 0x600, 0x643, 0x64a, 0x34a, 0x34b, 0x280, 0x680, 0x205, 0x240, 0x241, 0x242, 0x243))]
    return [
        'la x5, tohost', 'li x6, 1', 'sd x6, 0(x5)', 'spin: j spin',
        # x25: no bit that would lock a PMP region
        'load_x: csrw sscratch, x1', *(f'ld x{n}, {8 * n}(x31)' for n in x), 'li x25, 0x7f7f7f7f7f7f7f7f', 'ld x1, 208(x31)', 'and x25, x25, x1',
        'la x1, save', 'csrw mscratch, x1', 'ld x31, 248(x31)', 'csrr x1, sscratch', 'ret',
        'load_f:', *(f'fld f{n}, {256 + 8 * n}(x30)' for n in range(32)), 'ret',
        'store_x:', *(f'sd x{n}, {8 * (X_AT + n)}(x27)' for n in [*x, 31]), 'ret',
        'store_f: csrr x5, fcsr', f'sd x5, {8 * NAMES.index("fcsr")}(x27)', *(f'fsd f{n}, {8 * (F_AT + n)}(x27)' for n in range(32)), 'ret',
        'restore: la x5, handler', 'csrw mtvec, x5', 'la x5, save', 'csrw mscratch, x5', 'sc.w x5, x0, (x5)',
        *(line for csr, value in state for line in (f'li x5, {value:#x}', f'csrw {csr:#x}, x5')), 'sfence.vma', 'ret',
        # it goes on in M-mode at x26; ECALL is the way there
        '.p2align 6', 'handler: csrrw x31, mscratch, x31', 'sd x30, 0(x31)', 'csrr x30, mcause', 'addi x30, x30, -8', 'sltiu x30, x30, 2', 'bnez x30, 1f',
        *(f'csrr x30, {csr}\nsd x30, {8 * n}(x27)' for n, csr in enumerate(['mcause', 'mepc', 'mtval', 'mstatus'])),
        'ld x30, 32(x27)', 'addi x30, x30, 1', 'sd x30, 32(x27)', 'csrw mie, x0',
        '1: csrw mepc, x26', 'li x30, 0x20000', 'csrc mstatus, x30', 'li x30, 0x1800', 'csrs mstatus, x30', 'ld x30, 0(x31)',
        'csrrw x31, mscratch, x31', 'mret',
        # S-mode's: writes down and calls the other
        's_handler: csrrw x31, sscratch, x31', 'sd x30, 0(x31)',
        *(f'csrr x30, {csr}\nsd x30, {8 * (EXTRA + n)}(x27)' for n, csr in enumerate(['scause', 'sepc', 'stval', 'sstatus'])),
        f'ld x30, {8 * (EXTRA + 4)}(x27)', 'addi x30, x30, 1', f'sd x30, {8 * (EXTRA + 4)}(x27)', 'ld x30, 0(x31)', 'csrrw x31, sscratch, x31', 'ecall',
        '.option norvc', '.p2align 6', 'vectors:', *['j handler'] * 16, '.p2align 6', 's_vectors:', *['j s_handler'] * 16, '.p2align 6', 'vs_vectors:', *['ecall'] * 16,
        '.section .tohost, "aw"', '.balign 64', '.globl tohost', 'tohost: .dword 0', '.balign 64', '.globl fromhost', 'fromhost: .dword 0', '.data']


LINK = 'ENTRY(_start)\nSECTIONS { . = 0x80000000; .text : { *(.text.init) } . = ALIGN(0x1000); .tohost : { *(.tohost) } .data : { *(.data) } }\n'
CC = ['--target=riscv64-unknown-elf', '-march=rv64imafdc_zicbom_zicbop_zicboz_zicsr_zifencei_zacas1p0', '-menable-experimental-extensions', '-mabi=lp64',
      '-mno-relax', '-nostdlib', '-static', '-fuse-ld=lld']


def run(*command):
    try:
        p = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return 'has no end'
    return '' if p.returncode == 0 else p.stdout + p.stderr or f'status {p.returncode}'


def values(path):
    words = [int(w, 16) for w in path.read_text().split()]
    return [a | b << 32 for a, b in zip(words[::2], words[1::2])]


def excused(what, n, got, want):
    """Whether dword n of a slot's log may differ so."""
    words = what.split()
    if words[0] == 'csr':
        about = NAMES[n] in ('extra3', 'x' + words[5])
        return about and not (got ^ want) & ~OPEN_BITS.get(int(words[1], 0), 0)
    if words[0] == 'cbo.zero' and NAMES[n] == 'tval' and want == got & ~63:
        return True  # CMO 1.0, 2.5.2: rs1's value; Spike says the block's address
    return NAMES[n] == 'cause' and words[0].startswith(ATOMIC) and (got, want) in ((6, 7), (4, 5))  # a misaligned one: either


def compare(got, want, slots, title):
    """How many slots differ; shows the first few."""
    bad = 0
    for k, what in enumerate(slots):
        wrong = [n for n in range(LOG) if got[LOG * k + n] != want[LOG * k + n] and not excused(what, n, got[LOG * k + n], want[LOG * k + n])]
        bad += bool(wrong)
        if wrong and bad <= 4:
            print(f'{title}, slot {k}: {what}\n  ' + '; '.join(f'{NAMES[n]} {got[LOG * k + n]:#x}, Spike {want[LOG * k + n]:#x}' for n in wrong[:6]), flush=True)
    return bad


def arguments():
    p = argparse.ArgumentParser(usage=' '.join(__doc__.split('\n')[2:4]).removeprefix('usage: '))
    p.add_argument('spike')
    p.add_argument('--cc', default='clang')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--programs', type=int, default=10)
    p.add_argument('--kinds', default='insn,csr,page,fence,pmp,trap')
    p.add_argument('--cpu', default='rv64')
    p.add_argument('--engine', action='append', choices=['interp', 'bt'])
    p.add_argument('--runner', default=ROOT / 'build/release/tests/conformance/riscv_htif')
    return p.parse_args()


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    a = arguments()
    tables = [['insn.tab'], ['insn_v.tab', 'insn_vf.tab']]
    rows, vectors = [output(ROOT / 'scripts/gen-insn-riscv', '--list', ROOT / 'src/isa/riscv/features.def', *(ROOT / 'src/isa/riscv' / name for name in names))
                     .splitlines() for names in tables]
    vectors = [row for row in vectors if int(row.split('\t')[1][-7:].replace('.', '0'), 2) == 0x57]
    kinds = a.kinds.split(',')
    cpu = ['--cpu', a.cpu + ',h=on' if any(kind in ('vcsr', 'vtrap', 'vpage') for kind in kinds) else a.cpu]
    isa = output(a.runner, *cpu, '--isa').strip() + '_zicclsm'
    has_c = 'c' in isa.split('_')[0][4:]
    cc = CC if has_c else [word.replace('rv64imafdc', 'rv64imafd') for word in CC]
    bad = 0
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        (d / 'link.ld').write_text(LINK)
        for seed in range(a.seed, a.seed + a.programs):
            program = Program(seed, kinds, rows, vectors, has_c)
            (d / 'a.S').write_text(program.source())
            said = run(a.cc, *cc, '-T', d / 'link.ld', d / 'a.S', '-o', d / 'a.elf') or run(
                a.spike, '--isa=' + isa, '-m0x80000000:0x1000000', '--pmpregions=16', f'+signature={d}/want', '+signature-granularity=4', d / 'a.elf')
            if said:
                sys.exit(f'riscv_stream: program {seed}: {said[:2000]}')
            for engine in a.engine or ['interp', 'bt']:
                said = run(a.runner, *cpu, *['--bt'] * (engine == 'bt'), '--signature', d / 'got', d / 'a.elf')
                if said:
                    print(f'program {seed}, {engine}: {said[:300]}')
                bad += 1 if said else compare(values(d / 'got'), values(d / 'want'), program.slots, f'program {seed}, {engine}')
    print(f'{a.programs} programs, {a.programs * SLOTS} slots: {bad} differ')
    return bad != 0


sys.exit(main())
