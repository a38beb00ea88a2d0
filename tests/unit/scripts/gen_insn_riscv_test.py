#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/gen-insn-riscv: what it refuses, with file and line, and what it makes of good tables.

usage: gen_insn_riscv_test.py GEN_INSN_RISCV
"""
import os
import subprocess
import sys
import tempfile
import unittest

GEN = None
FEATURES = 'X(I, "i")\nX(C, "c")\nX(ZBB, "zbb")\nX(ZBKB, "zbkb")\n'
ADD = '0000 000. .... .... .000 .... .011 0011'

# (table text, line of the error, words its message has)
BAD = [
    (f'{ADD} | add | R', 1, '3 columns'),
    (f'# comment\n\n{ADD} | add | R | I | end', 3, '5 columns'),
    ('0000 000. .... .... .000 .... .011 001 | add | R | I', 1, 'not 16 or 32'),
    ('0000 000x .... .... .000 .... .011 0011 | add | R | I', 1, 'not 16 or 32'),
    ('0000 000. .... .... .000 .... .011 0010 | add | R | I', 1, 'last two bits of 32'),
    ('000. .... .... ..11 | c.addi | CI | C', 1, 'last two bits of 16'),
    (f'{ADD} | Add | R | I', 1, "'Add' is no mnemonic"),
    (f'{ADD} | add | RX | I', 1, "format 'RX' is not one of 32 bits"),
    (f'{ADD} | add | CI | I', 1, "format 'CI' is not one of 32 bits"),
    ('000. .... .... ..01 | c.addi | R | C', 1, "format 'R' is not one of 16 bits"),
    (f'{ADD} | add | R | ', 1, 'no extension'),
    (f'{ADD} | add | R | Q', 1, "extension 'Q' is not in features.def"),
    (f'{ADD} | add | R | I/C/ZBB', 1, 'more than 2 extensions'),
    (f'{ADD} | add | R | I fast', 1, "attribute 'fast' is not known"),
    (f'{ADD} | add | R | I fn=Add', 1, "attribute 'fn=Add' is not known"),
    (f'{ADD} | add | R | I\n{ADD} | plus | R | I', 2, 'plus overlaps add'),
    (f'{ADD} | add | R | I\n.... .... .... 0000 0000 .... .011 0011 | plus | R | I', 2, 'plus overlaps add'),
]


def generate(table):
    """(status, stderr, rows, steps)"""
    with tempfile.TemporaryDirectory() as tmp:
        paths = [os.path.join(tmp, n) for n in ('features.def', 'insn.tab', 'rows.c', 'steps.h')]
        for path, text in zip(paths, (FEATURES, table)):
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text)
        p = subprocess.run([sys.executable, GEN, *paths], capture_output=True, text=True, check=False)
        out = []
        for path in paths[2:]:
            if os.path.exists(path):
                with open(path, encoding='utf-8') as f:
                    out.append(f.read())
        return (p.returncode, p.stderr, *out)


class GenInsnRiscv(unittest.TestCase):
    def test_tables_are_one_list(self):
        with tempfile.TemporaryDirectory() as tmp:
            paths = [os.path.join(tmp, n) for n in ('features.def', 'a.tab', 'b.tab')]
            for path, text in zip(paths, (FEATURES, f'{ADD} | add | R | I', f'{ADD} | plus | R | I\n')):
                with open(path, 'w', encoding='utf-8') as f:
                    f.write(text)
            run = lambda *args: subprocess.run([sys.executable, GEN, '--list', *args], capture_output=True, text=True, check=False)
            self.assertEqual(run(*paths[:2]).stdout.split('\t')[0], 'add')
            p = run(*paths)
            self.assertEqual(p.returncode, 1)
            self.assertIn(f'{paths[2]}:1: plus overlaps add at {paths[1]}:1', p.stderr)

    def test_bad_tables_are_refused_with_their_line(self):
        for table, line, words in BAD:
            with self.subTest(table=table):
                got = generate(table)
                self.assertEqual((got[0], len(got)), (1, 2), 'it wrote files')
                self.assertIn(f'insn.tab:{line}: ', got[1])
                self.assertIn(words, got[1])
                self.assertEqual(got[1].count('\n'), 1)

    def test_all_bad_lines_are_named_at_once(self):
        got = generate(f'{ADD} | Add | R | I\n{ADD} | add | R | Q\n')
        self.assertEqual(got[1].count('\n'), 2)

    def test_an_empty_table_is_refused(self):
        self.assertIn('no instructions', generate('# nothing\n')[1])

    def test_the_more_particular_row_comes_first(self):
        status, _, rows, steps = generate('.... .... .... .... .110 .... .001 0011 | ori | I | I\n'
                                          '.... ...0 0000 .... .110 0000 0001 0011 | prefetch.i | PREF | ZBB/ZBKB fn=hint\n')
        self.assertEqual(status, 0)
        self.assertIn('{rv_hint, "prefetch.i", 0x1f07fff, 0x6013, RISCV_FMT_PREF, 0, {RISCV_EXT_ZBB, RISCV_EXT_ZBKB}}', rows)
        self.assertIn('riscv_order32[] = {\n    1, 0}', rows)
        self.assertIn('void rv_hint(', steps)
        self.assertIn('void rv_ori(', steps)

    def test_free_bits_of_a_bucket_put_the_row_into_each(self):
        _, _, rows, _ = generate('.... .... .... .... .... .... .011 0111 | lui | U | I\n')
        self.assertIn('riscv_order32[] = {\n    0, 0, 0, 0, 0, 0, 0, 0}', rows)

    def test_wrong_arguments_show_the_usage(self):
        p = subprocess.run([sys.executable, GEN, 'x'], capture_output=True, text=True, check=False)
        self.assertEqual(p.returncode, 2)
        self.assertIn('usage:', p.stderr)


if __name__ == '__main__':
    GEN = sys.argv.pop(1)
    unittest.main()
