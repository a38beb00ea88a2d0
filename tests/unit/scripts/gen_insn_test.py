#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/gen-insn: what it refuses, with file and line, and what it makes of good tables.

usage: gen_insn_test.py GEN_INSN
"""
import os
import subprocess
import sys
import tempfile
import unittest

GEN = None
FEATURES = 'X(SSE, 1, 0, EDX, 25)\nX(AVX512F, 7, 0, EBX, 16)\nX(AVX512BW, 7, 0, EBX, 30)\nX(AVX512DQ, 7, 0, EBX, 17)\n' \
           'X(AVX512VL, 7, 0, EBX, 31)\n'

# (table text, line of the error, words its message has)
BAD = [
    ('00 /r | ADD Eb:rw,Gb', 1, '2 columns'),
    ('# comment\n\n00 /r | ADD Eb:rw,Gb | | ', 3, '4 columns'),
    (' | ADD Eb | ', 1, 'no opcode'),
    ('0g /r | ADD Eb | ', 1, "opcode '0g'"),
    ('51+r | PUSH Zv | ', 1, 'multiple of 8'),
    ('d9 c1+i | FLD STi | ', 1, 'multiple of 8'),
    ('00 /r /1 | ADD Eb | ', 1, 'second ModRM'),
    ('00 /8 | ADD Eb | ', 1, "'/8' is not known"),
    ('00 /r tiny | ADD Eb | ', 1, "'tiny' is not known"),
    ('00 /r bc | ADD Eb | ', 1, "'bc' is not known"),
    ('00 | ADD Eb | ', 1, 'need a ModRM'),
    ('00 /r reg | ADD Mb | ', 1, 'neither a memory nor a register form'),
    ('00 /r | add Eb | ', 1, 'not MNEMONIC'),
    ('00 /r | ADD Eb, Gb | ', 1, 'not MNEMONIC'),
    ('00 /r | ADD Xb | ', 1, "operand 'Xb' is not known"),
    ('00 /r | ADD E | ', 1, 'needs a size'),
    ('00 /r | ADD Ek | ', 1, "operand 'Ek' is not known"),
    ('00 /r | ADD Eb:x | ', 1, 'access'),
    ('00 /r | ADD Eb,Gb,Ib,sIb,Jb | ', 1, 'more than 4 operands'),
    ('00 /r | ADD Eb | fast', 1, "attribute 'fast' is not known"),
    ('00 /r | ADD Eb | fw=oq', 1, "attribute 'fw=oq' is not known"),
    ('00 /r | ADD Eb | fw=oo', 1, "attribute 'fw=oo' is not known"),
    ('00 /r | ADD Eb | fw=o fu=o', 1, 'both written and undefined'),
    ('00 /r | ADD Eb | feat=MMX9', 1, "feature 'MMX9' is not in features.def"),
    ('00 /r | ADD Eb | feat=SSE+AVX512F+AVX512BW', 1, 'more than 2 features'),
    ('00 /r | ADD Eb | d64 f64', 1, 'two operand size rules'),
    ('c0 | ADD | lock', 1, 'lock needs a memory form'),
    ('98 | CBW/CWDE | ', 1, 'needs fn='),
    ('vex.128.np.0f 10 /r | VX Vx | ', 1, 'not vex.L.pp.map.W'),
    ('vex.64.np.0f.w0 10 /r | VX Vx | ', 1, "vector length '64'"),
    ('vex.512.np.0f.w0 10 /r | VX Vx | ', 1, "vector length '512'"),
    ('vex.128.any.0f.w0 10 /r | VX Vx | ', 1, 'bad prefix'),
    ('vex.128.np.0f39.w0 10 /r | VX Vx | ', 1, 'bad prefix, map'),
    ('vex.128.np.0f.w0 10 | VX | ', 1, 'need /r'),
    ('evex.512.np.0f.w0 10 /r | VX Vx,Wx | feat=AVX512F', 1, 'needs a tuple'),
    ('evex.512.np.0f.w0 10 /r full | VX Vx,Wx | feat=AVX512F', 1, 'needs an element size'),
    ('evex.512.np.0f.w0 10 /r t1s e32 bc | VX Vx,Wx | feat=AVX512F', 1, 'only full and half'),
    ('evex.512.np.0f.w0 10 /r kz | VX Vx,Ux | feat=AVX512F', 1, 'masking needs an element'),
    ('evex.128.np.0f.w0 10 /r full e32 er | VX Vx,Wx | feat=AVX512F', 1, 'length 512 or lig'),
    ('evex.128.np.0f.w0 10 /r full e32 | VX Vx,Wx | feat=AVX512BW+AVX512DQ', 1, 'more than 2 features'),
    # between rows
    ('00 /r | ADD Eb,Gb | \n00 /r | ADD Eb,Gb | ', 2, 'overlaps ADD'),
    ('00 /r | ADD Eb,Gb | \n00 /2 | SUB Eb,Gb | \n00 /2 mem | OR Eb,Gb | ', 3, 'overlaps SUB'),
    ('f3 00 /r | ADD Eb,Gb | \n00 c1 | SUB | ', 2, 'overlaps ADD'),
    ('vex.lig.np.0f.w0 10 /r | VA Vx | \nvex.128.np.0f.wig 10 /r | VB Vx | ', 2, 'overlaps VA'),
    ('np 00 /r | ADD Eb,Gb | \n00 | SUB | ', 1, 'only one has a ModRM'),
    ('00 /0 | ADD Eb | \n00 /1 | ADD Eb | \n00 /r | NEVER Eb | \n' + ''.join(f'00 /{n} | SUB Eb | \n' for n in range(2, 8)),
     3, 'never reached'),
]

GOOD = '''
00 /r | ADD Eb:rw,Gb | lock fw=oszapc
0f 1f /r | NOP Ev:n | fn=nop
f3 0f 1f /0 | SPECIAL Ev | fn=ud
90 b0 | NOP | fn=nop
f3 90 | PAUSE |
90+r | XCHG Zv:rw,rAX:rw |
evex.128/256/512.np.0f.w0 58 /r full e32 bc er kz | VADDPS Vx,Hx,Wx | host feat=AVX512F
'''


def read(path):
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return f.read()


def run(table):
    with tempfile.TemporaryDirectory() as d:
        paths = [os.path.join(d, name) for name in ('features.def', 'bad.tab', 'rows.c', 'steps.h')]
        for path, text in zip(paths, (FEATURES, table)):
            with open(path, 'w') as f:
                f.write(text)
        r = subprocess.run([sys.executable, GEN] + paths, stderr=subprocess.PIPE, text=True, check=False)
        return r.returncode, r.stderr, [read(path) for path in paths[2:]]


class Generator(unittest.TestCase):
    def test_bad_tables_are_refused_with_file_and_line(self):
        for table, line, words in BAD:
            with self.subTest(table=table):
                status, message, made = run(table)
                self.assertEqual(status, 1, message)
                self.assertIn(f'bad.tab:{line}:', message)
                self.assertIn(words, message)
                self.assertEqual(made, [None, None])

    def test_all_bad_lines_are_reported_at_once(self):
        _, message, _ = run('00 /r | ADD Xb | \n01 /r | ADD Gb | \n02 /r | ADD Yb | ')
        self.assertEqual(len(message.splitlines()), 2)

    def test_good_table_names_each_step_function_once(self):
        status, message, (rows, steps) = run(GOOD)
        self.assertEqual((status, message), (0, ''))
        names = [line.split('(')[0].split()[-1] for line in steps.splitlines() if line.startswith('void ')]
        self.assertEqual(names, sorted({'step_add', 'step_host', 'step_nop', 'step_pause', 'step_ud', 'step_xchg'}))
        self.assertIn('{"ADD", ROW_LOCK, {0}, 0, FLAG_OF|FLAG_SF|FLAG_ZF|FLAG_AF|FLAG_PF|FLAG_CF, 0}', rows)

    def test_short_evex_lengths_need_avx512vl(self):
        _, _, (rows, _) = run(GOOD)
        lines = [line for line in rows.splitlines() if '"VADDPS"' in line]
        self.assertEqual(len(lines), 2)
        self.assertEqual(sorted('X86_FEAT_AVX512VL' in line for line in lines), [False, True])
        self.assertTrue(all('ROW_AVX512' in line and 'ROW_MASKED_MEM' in line for line in lines))

    def test_usage_without_arguments(self):
        r = subprocess.run([sys.executable, GEN], stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(r.returncode, 2)
        self.assertIn('usage:', r.stderr)


if __name__ == '__main__':
    GEN = sys.argv.pop(1)
    unittest.main()
