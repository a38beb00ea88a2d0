#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares what two machines do with random vector programs for riscv64; run by hand (docs/riscv.md).

usage: riscv_vector.py [--seed N] [--programs N] [--steps N] [--vlen N] [--only REGEX] [--but REGEX] [--fp]
                        [--zvbb] [--rounds N] [--loose] [--starts PERCENT] [--keep DIR] A B

A and B are commands that run the bare ELF program {elf} on one hart with vector registers of {vlen} bits, and whose standard output
is what it writes to the 16550 at 0x10000000; it ends by the test finisher at 0x100000, or by tohost. For example:
  "build/doppel run --arch riscv64 --memory 256M --cpu max,vlen={vlen} --engine interp --firmware {elf}"
  "qemu-system-riscv64 -M virt -m 256M -cpu rv64,v=true,vlen={vlen} -nographic -bios {elf}" (with --loose --starts 0)
  "spike --isa=rv64gcv_zvl{vlen}b_zvbb_zvkb_zfh_zvfh_zicclsm -m256 {elf}" (docs/riscv.md says what it does otherwise)

A program runs in S-mode with paging, and has steps: one instruction of the table with random fields, after a random vtype and vl now
and then. After each it prints a hash of registers, CSRs, memory and of the exceptions there were. The first step of a program whose
hashes differ is said, with what differs before and after it. --rounds: all steps are done so often, each with what the last round left, and the
last two print; 10 and more have a translator translate them. Then only the first step that differs is said. Needs clang and lld (CLANG, LLD name others). --loose: what vstart is after an instruction does not count (QEMU
leaves it where vl is not above it). --starts: how often vstart is set before an instruction (12; some QEMUs abort in floating point and
vmv<n>r.v then).
"""
import argparse
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RISCV = os.path.join(ROOT, 'src/isa/riscv')

# scalars that instructions may name: their values at each step
DATA = 0x200000000
SCALARS = {5: None, 6: 3, 7: 0, 10: DATA, 11: DATA + 0xf80, 12: DATA + 0x1fc0, 13: DATA + 0x1e35, 14: -8, 15: 24, 16: 1 << 63, 17: 1,
           28: -1, 29: None, 30: 64, 31: 0x7fffffff}
POINTERS = [10, 10, 11, 11, 12, 12, 13]
STRIDES = [6, 7, 14, 15, 17, 30]

HARNESS = r'''
    .option norelax
    .text
    .globl _start
_start:
    csrr t0, mhartid
1:  bnez t0, 1b
    la t0, mtrap
    csrw mtvec, t0
    li t0, -1
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li t0, 0xb3ff
    csrw medeleg, t0
    la t0, strap
    csrw stvec, t0
    la t0, root
    srli t0, t0, 12
    li t1, 8 << 60
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    li t0, 0x1800
    csrc mstatus, t0
    li t0, 0x800 | 0x6000 | 0x600
    csrs mstatus, t0
    la t0, super
    csrw mepc, t0
    mret
    .balign 4
mtrap:
    li a0, 'M'
    li a1, 0x10000000
    sb a0, 0(a1)
    j finish

    .balign 4
strap: # the exception becomes part of s11; goes on behind the instruction. s10: its pc
    csrr s10, scause
    add s11, s11, s10
    mul s11, s11, s3
    mv gp, s10
    csrr s10, stval
    mv sp, s10
    add s11, s11, s10
    mul s11, s11, s3
    csrr s10, vstart
    mv tp, s10
    add s11, s11, s10
    mul s11, s11, s3
    csrr s10, sepc
    addi s10, s10, 4
    jr s10

super:
    la s1, save
    la s0, save + 32 * VLENB
    li s3, 0x9e3779b97f4a7c15
    li s11, 1
    call scalars
    la s4, steps
next:
    jalr s4 # a step; it comes back by s4
    # hash in s2
    csrr s5, vstart
    LOOSE
    csrr s6, vl
    csrr s7, vtype
    csrr s8, vcsr
    csrr s9, fcsr
    .word VS8R | 0 << 7
    addi s1, s1, 8 * VLENB
    .word VS8R | 8 << 7
    addi s1, s1, 8 * VLENB
    .word VS8R | 16 << 7
    addi s1, s1, 8 * VLENB
    .word VS8R | 24 << 7
    la s1, save
    mv s2, s11
    .irp r, s5, s6, s7, s8, s9, x5, x6, x7, x10, x11, x12, x13, x14, x15, x16, x17, x28, x29, x30, x31
    mul s2, s2, s3
    add s2, s2, \r
    .endr
    sd s5, 0(s0)
    sd s6, 8(s0)
    sd s7, 16(s0)
    sd s8, 24(s0)
    sd s9, 32(s0)
    sd s11, 40(s0)
    .irp r, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 28, 29, 30, 31
    sd x\r, 48 + 8 * \r(s0)
    .endr
    fsd f10, 48(s0)
    sd gp, 64(s0)
    sd sp, 72(s0)
    sd tp, 80(s0)
    mv a0, s1
    li a1, 32 * VLENB / 8
    call hash
    li a0, 0x200000000
    li a1, 128
    call hash
    li a0, 0x200000f00
    li a1, 64
    call hash
    li a0, 0x200001e00
    li a1, 64
    call hash
    la a0, rounds
    ld a1, 0(a0)
    sltiu a1, a1, 3
    beqz a1, 1f
    mv a0, s2
    call print
1:  call scalars
    bnez s4, next
    la a0, rounds
    ld a1, 0(a0)
    addi a1, a1, -1
    sd a1, 0(a0)
    beqz a1, 1f
    call scalars
    la s4, steps
    j next
1:  # the end: everything there is
    mv s5, s1
    li s6, 4 * VLENB + 40
1:  ld a0, 0(s5)
    call print
    addi s5, s5, 8
    addi s6, s6, -1
    bnez s6, 1b
    .irp page, 0x200000000, 0x200000800, 0x200001000, 0x200001800, 0x200003000
    li a0, \page
    li a1, 256
    mv s2, x0
    call hash
    mv a0, s2
    call print
    .endr
finish:
    li a0, 0x5555
    li a1, 0x100000
    la a2, tohost
    li a3, 1
    sd a3, 0(a2)
    sw a0, 0(a1)
1:  j 1b

hash: # s2 with a1 dwords at a0
    ld a2, 0(a0)
    mul s2, s2, s3
    add s2, s2, a2
    addi a0, a0, 8
    addi a1, a1, -1
    bnez a1, hash
    ret

print:
    li a1, 0x10000000
    li a2, 16
1:  srli a3, a0, 60
    slli a0, a0, 4
    li a4, 10
    addi a3, a3, 48
    addi a4, a4, 48
    blt a3, a4, 2f
    addi a3, a3, 39
2:  lbu a5, 5(a1)
    andi a5, a5, 0x20
    beqz a5, 2b
    sb a3, 0(a1)
    addi a2, a2, -1
    bnez a2, 1b
    li a3, 10
    sb a3, 0(a1)
    ret

scalars:
    la s10, values
    .irp r, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 28, 29, 30, 31
    ld x\r, 8 * \r(s10)
    .endr
    .irp r, 10, 11, 12, 13, 14, 15, 16, 17
    fld f\r, 8 * (32 + \r)(s10)
    .endr
    ret

    .data
    .balign 4096
root:
    .dword 0xcf
    .dword 0
    .dword 0x80000000 >> 2 | 0xcf
    .fill 5, 8, 0
    .dword 0x80101000 >> 2 | 1
    .fill 503, 8, 0
'''


class Table:
    def __init__(self, fp, zvbb):
        files = ['insn_v.tab'] + (['insn_vf.tab'] if fp else [])
        out = subprocess.run([sys.executable, os.path.join(ROOT, 'scripts/gen-insn-riscv'), '--list', os.path.join(RISCV, 'features.def')]
                             + [os.path.join(RISCV, f) for f in files], check=True, capture_output=True, text=True).stdout
        rows = [line.split('\t') for line in out.splitlines()]
        more = r'v(andn|rol|ror|b?rev8?|clz|ctz|cpop\.v|wsll)\b'
        self.rows = [r for r in rows if zvbb or not re.match(more, r[0])]


def field(word, lo, n, value):
    return word & ~(((1 << n) - 1) << lo) | (value & ((1 << n) - 1)) << lo


class Program:
    """Steps as lists of words, their texts, and tables of values."""

    def __init__(self, rng, rows, o):
        self.rng, self.vlen, self.loose, self.starts, self.rounds = rng, o.vlen, o.loose, o.starts, o.rounds
        self.lmul, self.sew = 0, 0
        self.steps = [self.step(rng.choice(rows), k) for k in range(o.steps)]
        self.scalars = {r: rng.getrandbits(64) if v is None else v & (1 << 64) - 1 for r, v in SCALARS.items()}
        self.floats = [self.number() for _ in range(32)]
        self.pool = [self.number() for _ in range(2048)]
        self.small = [[rng.randrange(0, 240) for _ in range(512)] for _ in range(4)]
        self.data = [self.number() for _ in range(2048)]

    def number(self):
        """A dword of elements, corner values among them."""
        r = self.rng
        if r.random() < 0.4:
            return r.getrandbits(64)
        width = r.choice([8, 16, 32, 64])
        corners = [0, 1, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1, r.getrandbits(width), r.getrandbits(3)]
        if width > 8:
            e, m = {16: (5, 10), 32: (8, 23), 64: (11, 52)}[width]
            inf = ((1 << e) - 1) << m
            corners += [inf, inf | 1 << (width - 1), inf | 1 << (m - 1), inf | 1, 1 << m, (1 << m) - 1, 1 << (width - 1) | r.getrandbits(m),
                        (((1 << (e - 1)) - 1 + r.randrange(-12, 12)) << m) | r.getrandbits(m), 1 << (width - 1)]
        v = 0
        for k in range(64 // width):
            v |= r.choice(corners) << (k * width)
        return v

    def vtype(self):
        r = self.rng
        for _ in range(10):
            sew, lmul = r.randrange(4), r.randrange(-3, 4)
            if sew - 3 <= lmul or r.random() < 0.02:
                break
        self.sew, self.lmul = sew, lmul
        return sew << 3 | lmul & 7 | r.getrandbits(2) << 6

    def set_vl(self):
        r = self.rng
        vtype = self.vtype()
        if r.random() < 0.4:
            return [0x57 | 7 << 12 | 28 << 15 | 18 << 7 | vtype << 20]  # vsetvli s2, x28 (-1)
        if r.random() < 0.3:
            return [0xc0000057 | 7 << 12 | r.randrange(32) << 15 | 18 << 7 | vtype << 20]
        vlmax = max(1, (self.vlen >> 3 << 3 >> self.sew) * (2 ** self.lmul) // 8)
        return [0x13 | r.randrange(min(int(vlmax) + 1, 2047)) << 20 | 18 << 7, 0x57 | 7 << 12 | 18 << 15 | 18 << 7 | vtype << 20]

    def register(self, aligned):
        r = self.rng
        step = r.choice([1, 1, 2, 4, 8]) if r.random() < 0.1 else 1 << max(aligned, 0)
        return r.randrange(0, 32, step)

    def step(self, row, number):
        r = self.rng
        name, bits, form = row
        words = []
        if number % 12 == 0:
            words += self.reload()
        if number == 0 or r.random() < 0.4:
            words += self.set_vl()
        word = int(''.join(b if b in '01' else r.choice('01') for b in bits), 2)
        words += self.operands(form, bits, name)
        word = self.fill(word, name, bits, form)
        if r.random() < self.starts / 100:
            words += [0x00805073 | r.choice([0, 1, 1, 2, 3, 5, 7, 15, r.randrange(32)]) << 15]  # csrwi vstart
        if form.startswith('VSET'):
            self.sew, self.lmul = 0, 3
        return name, words + [word], word

    def reload(self):
        """All vector registers from the pool, by s10 = pool + something."""
        return ['pool %d' % (8 * self.rng.randrange(0, 2048 - 32 * self.vlen // 64))]

    def operands(self, form, bits, name):
        """For indexed accesses: small indices into the group that holds them."""
        if form != 'VLX':
            return []
        self.index = self.rng.randrange(0, 32, 8)
        eew = int(re.search(r'i(\d+)', name).group(1))
        return ['small %d %d' % ({8: 0, 16: 1, 32: 2, 64: 3}[eew], self.index)] if self.rng.random() < 0.9 else []

    def fill(self, word, name, bits, form):
        r = self.rng
        xs = list(SCALARS)
        wide = form in ('VV', 'VX', 'VF', 'VVA', 'VXA', 'VFA') and name.startswith(('vw', 'vfw')) and not name.startswith(('vwred', 'vfwred'))
        narrow = name.startswith(('vn', 'vfn')) and '.w' in name
        is_free = lambda lo, n: all(b == '.' for b in bits[32 - lo - n:32 - lo])
        a_wide = narrow or (wide and '.w' in name)
        memory = form in ('VL', 'VLN', 'VLS', 'VLX')
        if is_free(7, 5):
            vd = self.register(self.lmul + (1 if wide or name.startswith('vfwcvt') else 0))
            word = field(word, 7, 5, r.choice(xs) if form in ('X2', 'VSETI', 'VSETII', 'R') else 10 if form == 'F2V' else vd)
        if is_free(20, 5) and form not in ('VLS', 'R'):
            word = field(word, 20, 5, self.index if form == 'VLX' else self.register(self.lmul + (1 if a_wide else 0)))
        if form == 'VLX' and r.random() < 0.5:
            word = field(word, 20, 5, self.index + r.choice([0, 0, 0, 4, 2, 1]))
        if form == 'VLS':
            word = field(word, 20, 5, r.choice(STRIDES))
        if form == 'R':
            word = field(word, 20, 5, r.choice(xs))
        if is_free(15, 5):
            if memory:
                word = field(word, 15, 5, r.choice(POINTERS))
            elif form in ('VX', 'VXA', 'VXM', 'VMVX', 'VSETI', 'R'):
                word = field(word, 15, 5, r.choice(xs))
            elif form in ('VF', 'VFA', 'VFM', 'VMVF'):
                word = field(word, 15, 5, 10 + r.randrange(8))
            elif form in ('VV', 'VVA', 'VVM', 'VMVV'):
                word = field(word, 15, 5, self.register(self.lmul))
        if memory and is_free(29, 3) and r.random() < 0.8:
            most = 8 >> max(self.lmul, 0)
            word = field(word, 29, 3, r.randrange(1, max(2, most)))
        return word


def words_of(values):
    return '\n'.join('    .dword ' + ', '.join('0x%x' % v for v in values[k:k + 8]) for k in range(0, len(values), 8)) + '\n'


def source(p, last, vlen):
    vlenb = vlen // 8
    lines = ['.set VLENB, %d' % vlenb, '.set VS8R, 0xe2848027', HARNESS.replace('LOOSE', 'csrw vstart, x0\n    mv s5, x0' if p.loose else ''), '    .balign 4096', 'leaf1: .dword 0x80102000 >> 2 | 1',
             '    .fill 511, 8, 0', 'leaf0:']
    for n, rights in enumerate((0xc7, 0xc7, 0, 0xc7, 0xc3)):
        lines.append('    .dword 0x%x >> 2 | 0x%x' % (0x80103000 + n * 0x1000, rights))
    lines += ['    .fill 507, 8, 0', 'data:', words_of(p.data), '    .fill 4096, 1, 0x5a', 'pool:', words_of(p.pool)]
    for k, small in enumerate(p.small):
        lines.append('small%d:' % k)
        lines += ['    .%s %s' % (['byte', '2byte', '4byte', '8byte'][k], ', '.join(map(str, small)))]
    values = [p.scalars.get(k, 0) for k in range(32)] + p.floats
    lines += ['    .balign 64', 'values:', words_of(values), 'rounds: .dword %d' % p.rounds, '    .balign 64', 'tohost: .dword 0', '    .balign 64', 'fromhost: .dword 0', '    .globl tohost, fromhost', '    .balign 64',
              'save: .fill %d, 1, 0' % (32 * vlenb + 1024), '    .text', '    .balign 4', 'steps:']
    if not last:
        lines += ['    li s4, 0', '    ret']
    for k, (_, words, _) in enumerate(p.steps[:last]):
        lines.append('step%d:' % k)
        if p.loose:
            lines.append('    csrw vstart, x0')
        for w in words:
            if isinstance(w, int):
                lines.append('    .word 0x%x' % w)
            elif w.startswith('pool'):
                lines += ['    la s1, pool + %s' % w.split()[1]]
                for reg in range(0, 32, 8):
                    lines += ['    .word 0xe2848007 | %d << 7' % reg, '    addi s1, s1, %d' % (8 * vlenb)]
                lines += ['    la s1, save']
            else:
                _, n, reg = w.split()
                lines += ['    la s1, small%s' % n, '    .word 0xe2848007 | %s << 7' % reg, '    la s1, save']
        lines += ['    la s4, step%d' % (k + 1) if k + 1 < last else '    li s4, 0', '    ret']
    return '\n'.join(lines) + '\n'


LINK = 'ENTRY(_start) SECTIONS { .text 0x80000000 : { *(.text) } .data 0x80100000 : { *(.data) } }'


def build(p, last, vlen, folder):
    paths = [os.path.join(folder, n) for n in ('p.S', 'p.o', 'p.elf', 'p.ld')]
    with open(paths[0], 'w', encoding='utf-8') as f:
        f.write(source(p, last, vlen))
    with open(paths[3], 'w', encoding='utf-8') as f:
        f.write(LINK)
    subprocess.run([os.environ.get('CLANG', 'clang'), '--target=riscv64', '-march=rv64gcv', '-c', paths[0], '-o', paths[1]], check=True)
    subprocess.run([os.environ.get('LLD', 'ld.lld'), '-T', paths[3], paths[1], '-o', paths[2]], check=True)
    return paths[2]


def run(command, elf, vlen):
    args = [a.replace('{elf}', elf).replace('{vlen}', str(vlen)) for a in shlex.split(command)]
    p = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return [line for line in p.stdout.decode(errors='replace').split() if re.fullmatch('M?[0-9a-f]{16}', line)], p


def state(lines, vlen):
    """Names and values of the dump behind the hashes."""
    vlenb = vlen // 8
    names = ['v%d+%d' % (8 * k // vlenb, 8 * k % vlenb) for k in range(4 * vlenb)]
    names += ['vstart', 'vl', 'vtype', 'vcsr', 'fcsr', 'traps', 'f10'] + ['x1', 'scause', 'stval', 'vstart-then'] + ['x%d' % k for k in range(5, 34)]
    return dict(zip(names, lines))


def show(p, k, vlen, commands, folder):
    name, words, word = p.steps[k]
    print(f'  step {k}: {name}, word 0x{word:08x}: vd {word >> 7 & 31} vs1/rs1 {word >> 15 & 31} vs2 {word >> 20 & 31} '
          f'{"" if word >> 25 & 1 else "masked"}; {[hex(w) if isinstance(w, int) else w for w in words]}')
    dumps = []
    for last in (k, k + 1):
        elf = build(p, last, vlen, folder)
        dumps.append([state(run(c, elf, vlen)[0][last:], vlen) for c in commands])
    before, (a, b) = dumps[0][0], dumps[1]
    if not a or not b:
        print(f'  {"A" if not a else "B"} ends there')
        return
    print('  before:', ' '.join(f'{n}={before.get(n)}' for n in ('vstart', 'vl', 'vtype', 'vcsr', 'fcsr')), 'v0', before.get('v0+0'))
    for n in a:
        if a[n] != b.get(n):
            print(f'  {n}: {before.get(n)} -> {a[n]} and {b.get(n)}')


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    ap.add_argument('--programs', type=int, default=4)
    ap.add_argument('--steps', type=int, default=400)
    ap.add_argument('--vlen', type=int, default=128)
    ap.add_argument('--only', default='')
    ap.add_argument('--but', default='^$')
    ap.add_argument('--fp', action='store_true')
    ap.add_argument('--loose', action='store_true')
    ap.add_argument('--zvbb', action='store_true')
    ap.add_argument('--rounds', type=int, default=1)
    ap.add_argument('--starts', type=int, default=12)
    ap.add_argument('--keep')
    ap.add_argument('commands', nargs=2)
    o = ap.parse_args()
    rows = [r for r in Table(o.fp, o.zvbb).rows if re.search(o.only, r[0]) and not re.search(o.but, r[0])]
    bad = 0
    with tempfile.TemporaryDirectory() as tmp:
        folder = o.keep or tmp
        for n in range(o.programs):
            p = Program(random.Random(o.seed + n), rows, o)
            elf = build(p, o.steps, o.vlen, folder)
            (a, pa), (b, pb) = [run(c, elf, o.vlen) for c in o.commands]
            if a == b and len(a) > min(o.rounds, 2) * o.steps:
                continue
            bad += 1
            k = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            print(f'seed {o.seed + n}: differs at line {k} of {len(a)} and {len(b)}')
            if o.rounds > 1:
                print('  step', k % o.steps, *p.steps[k % o.steps] if k < 2 * o.steps else ['the end'])
            elif k < o.steps:
                show(p, k, o.vlen, o.commands, folder)
            else:
                print(pa.stderr.decode(errors='replace')[-300:], pb.stderr.decode(errors='replace')[-300:])
    print(f'{o.programs} programs of {o.steps} steps from seed {o.seed}, VLEN {o.vlen}, {len(rows)} instructions: {bad} differ')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
