#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""riscv-arch-test on a bare hart, with Spike's signatures as reference.

usage: riscv_arch.py SUITE SPIKE [--cc CLANG] [--engine interp|bt]... [--cpu MODEL] [--runner RISCV_HTIF] [--work DIR] [PART ...]

SUITE is the folder riscv-test-suite of a checkout of riscv-arch-test, SPIKE the program of riscv-isa-sim. Tests whose path has one of the
PARTs (all, if there is none) and whose conditions hold for the hart are built with clang (19 knows all extensions) and lld, run by Spike and by
riscv_htif with each engine, and their signatures compared. One line a test that is not the same; exit status 1 when there is one, or when one
could not be built. DIR keeps what was built and Spike's signatures for the next time.

LLVM's assembler takes symbols for CSRs in parentheses only, no .fill of more than four bytes, no label twice, and nothing unknown in .if (Vmode):
sources are built from copies where that is so.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = '''
#define Vmode 0xff
#define RVMODEL_BOOT
#define RVMODEL_HALT li x1, 1; la x2, tohost; sd x1, 0(x2); 1: j 1b;
#define RVMODEL_DATA_BEGIN                                                   \\
    .pushsection .tohost, "aw", @progbits;                                   \\
    .balign 64; .global tohost; tohost: .dword 0;                            \\
    .balign 64; .global fromhost; fromhost: .dword 0;                        \\
    .popsection;                                                             \\
    .balign 16; .global begin_signature; begin_signature:
#define RVMODEL_DATA_END .balign 16; .global end_signature; end_signature:
#define RVMODEL_IO_INIT
#define RVMODEL_IO_WRITE_STR(reg, text)
#define RVMODEL_IO_CHECK()
#define RVMODEL_IO_ASSERT_GPR_EQ(save, reg, value)
#define RVMODEL_IO_ASSERT_SFPR_EQ(reg, save, value)
#define RVMODEL_IO_ASSERT_DFPR_EQ(reg, save, value)
#define RVMODEL_SET_MSW_INT
#define RVMODEL_CLEAR_MSW_INT
#define RVMODEL_CLEAR_MTIMER_INT
#define RVMODEL_CLEAR_MEXT_INT
'''
LINK = '''
ENTRY(rvtest_entry_point)
SECTIONS {
    . = 0x80000000; .text.init : { *(.text.init) }
    . = ALIGN(0x1000); .tohost : { *(.tohost) }
    . = ALIGN(0x1000); .text : { *(.text) }
    . = ALIGN(0x1000); .data : { *(.data) *(.data.string) } .bss : { *(.bss) }
}
'''
RAM = '0x80000000:0x1000000'  # as riscv_htif's


def arguments():
    p = argparse.ArgumentParser(usage=__doc__.split('\n')[2].removeprefix('usage: '))
    p.add_argument('suite', type=pathlib.Path)
    p.add_argument('spike')
    p.add_argument('parts', nargs='*')
    p.add_argument('--cc', default='clang')
    p.add_argument('--engine', action='append', choices=['interp', 'bt'])
    p.add_argument('--cpu', default='rv64')
    p.add_argument('--runner', default=ROOT / 'build/release/tests/conformance/riscv_htif')
    p.add_argument('--work', type=pathlib.Path)
    a = p.parse_intermixed_args()
    a.engine = a.engine or ['interp', 'bt']
    return a


def run(*command, timeout=300):
    """Its status and what it said."""
    try:
        p = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout)
        return p.returncode, p.stdout + p.stderr
    except subprocess.TimeoutExpired:
        return -1, f'takes more than {timeout} s'
    except OSError as e:
        sys.exit(f'riscv_arch: {command[0]}: {e.strerror}')


class Hart:
    """What the hart offers, as the suite's conditions, Spike and clang want to read it."""

    def __init__(self, args):
        status, self.isa = run(args.runner, '--cpu', args.cpu, '--isa')
        if status:
            sys.exit(f'riscv_arch: {args.runner}: {self.isa.strip()}')
        self.isa = self.isa.strip()
        single, *self.longer = self.isa.split('_')
        self.single = single.removeprefix('rv64')
        self.spec = 'RV64' + self.single.upper() + 'SU' + '_'.join(e.capitalize() for e in self.longer)

    def march(self, compressed):
        """Without C unless it is the subject: the assembler would use it everywhere."""
        single = self.single if compressed else self.single.replace('c', '')
        return '_'.join(['rv64' + single] + [e + '1p0' * (e in ('zabha', 'zacas')) for e in self.longer if e[0] == 'z'])


def holds(check, hart):
    name, _, value = check.removeprefix('check ').partition(':=')
    if name.strip() == 'ISA':
        return re.match(value.strip().removeprefix('regex(').removesuffix(')'), hart.spec) is not None
    return name.strip() == 'hw_data_misaligned_support' and value.strip() == 'True'


def conditions(text, hart):
    """Macros of the cases that concern the hart; None: there is no such case."""
    found, macros = False, []
    for case in re.findall(r'RVTEST_CASE\s*\(\s*\d+\s*,\s*"//([^"]*)"', text):
        parts = [p.strip() for p in case.split(';')]
        if all(holds(p, hart) for p in parts if p.startswith('check ')):
            found = True
            macros += ['-D' + p.removeprefix('def ').strip() for p in parts if p.startswith('def ')]
    return macros if found else None


def for_llvm(text):
    text = re.sub(r'^(\w+):[ \t]*\n((?:#.*\n)*)\1:', r'\2\1:', text, flags=re.M)
    text = re.sub(r'(\bcsr\w+\s[^;\\\n#]*?)\b(CSR_X[A-Z]+|pmp(?:cfg|addr)i)\b', r'\1(\2)', text)
    return re.sub(r'\.fill\s+1\s*,\s*REGWIDTH\s*,', '.dword ', text)


def build(source, text, macros, args, hart, elf):
    """An empty text, or why not."""
    isa = re.findall(r'RVTEST_ISA\(\s*"([^"]*)"', text)
    names = [n for n in (isa[0].split(',') if isa else []) if n.strip().startswith('RV64')]
    letters = re.match(r'\s*RV64([A-Y]*)', names[-1])[1] if names else 'I'
    flen = 64 if 'D' in letters else 32 if 'F' in letters else 0
    copy = elf.with_suffix('.S')
    copy.write_text(for_llvm(text))
    status, said = run(args.cc, '--target=riscv64-unknown-elf', '-march=' + hart.march('C' in letters or 'Zc' in names[-1] if names else False),
                       '-mabi=lp64', '-menable-experimental-extensions', '-w', '-mcmodel=medany', '-nostdlib', '-static', '-fuse-ld=lld',
                       '-T', args.work / 'link.ld', '-I', args.work / 'env', '-I', source.parent, '-DXLEN=64', f'-DFLEN={flen}' if flen else '-DNO_FLEN',
                       *dict.fromkeys(macros), copy, '-o', elf)
    copy.unlink()
    return '' if status == 0 else said


def difference(got, want):
    a, b = got.read_text().split(), want.read_text().split()
    for k, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return f'word {k} of {len(b)} is {x}, Spike has {y}; {sum(x != y for x, y in zip(a, b))} differ'
    return '' if len(a) == len(b) else f'{len(a)} words, Spike has {len(b)}'


def test(source, args, hart, counts):
    text = source.read_text(errors='replace')
    macros = conditions(text, hart)
    if macros is None:
        counts['others'] += 1
        return
    name = str(source.relative_to(args.suite)).replace('/src/', '/')
    elf = args.work / (name.replace('/', '+').removesuffix('.S') + '.elf')
    want, got = elf.with_suffix('.want'), elf.with_suffix('.got')
    if not elf.exists():
        said = build(source, text, macros, args, hart, elf)
        if said:
            print(f'not built {name}: ' + next((line for line in said.splitlines() if 'error' in line), said)[:200], flush=True)
            counts['not built'] += 1
            return
    if not want.exists():
        status, said = run(args.spike, '--isa=' + hart.isa + '_zicclsm', '-m' + RAM, '--pmpregions=16', '+signature=' + str(want),
                           '+signature-granularity=4', elf)
        if status or not want.exists():
            want.unlink(missing_ok=True)
            print(f'no reference {name}: {said.strip()[:200]}', flush=True)
            counts['no reference'] += 1
            return
    same = True
    for engine in args.engine:
        status, said = run(args.runner, '--cpu', args.cpu, *['--bt'] * (engine == 'bt'), '--signature', got, elf)
        why = difference(got, want) if status == 0 else said.splitlines()[0]
        if why:
            print(f'different {name}, {engine}: {why}', flush=True)
        same = same and not why
    counts['same' if same else 'different'] += 1


def main():
    args = arguments()
    hart = Hart(args)
    sources = [s for s in sorted(args.suite.glob('rv[36][24]i_m/**/*.S')) if not args.parts or any(p in str(s) for p in args.parts)]
    if not sources:
        sys.exit(f'riscv_arch: {args.suite}: no such tests there (it is to be the folder riscv-test-suite)')
    with tempfile.TemporaryDirectory() as temporary:
        args.work = args.work or pathlib.Path(temporary)
        env = args.work / 'env'
        env.mkdir(parents=True, exist_ok=True)
        for header in (args.suite / 'env').glob('*.h'):
            (env / header.name).write_text(for_llvm(header.read_text()))
        (env / 'model_test.h').write_text(MODEL)
        (args.work / 'link.ld').write_text(LINK)
        counts = dict.fromkeys(['same', 'different', 'not built', 'no reference', 'others'], 0)
        for source in sources:
            test(source, args, hart, counts)
    print(', '.join(f'{n} {what}' for what, n in counts.items()) + f' (not for this hart: {hart.spec})')
    return 0 if counts['same'] and not (counts['different'] or counts['not built'] or counts['no reference']) else 1


sys.exit(main())
