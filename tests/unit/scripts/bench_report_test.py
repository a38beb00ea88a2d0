#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/report.py: what it says of programs that a peer's CPU lacks something for, of checksums that differ, and of two kinds of guests.
bench/suite.py and run.py: what a guest of another kind gets, and what is said of one that cannot be had.

usage: bench_report_test.py BENCH_DIR
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BENCH = sys.argv.pop()
sys.path.insert(0, BENCH)
import report  # pylint: disable=wrong-import-position
import suite  # pylint: disable=wrong-import-position


def run(checksum, seconds=1.0):
    lacks = checksum == 'unsupported'
    return [{'seconds': seconds, 'cpu': seconds, 'checksum': checksum, 'window': None if lacks else 10.0}]


def measured(**checksums):
    """What run.py has of the program sha256ni after a round."""
    peers = {peer.replace('_', ' '): run(checksum) for peer, checksum in checksums.items()}
    return {'versions': dict.fromkeys(('doppel', 'qemu', 'guest', 'gcc', 'host', 'date'), '') | {'load': 0.0}, 'quick': False,
            'clock': 'seconds', 'runs': 1, 'peers': list(peers), 'programs': {'sha256ni': peers}, 'boot': {}, 'failed': [], 'extras': {}}


def measured_on(arch, program, **checksums):
    """The same of a program in a guest of that instruction set."""
    data = measured(**checksums)
    return data | {'arch': arch, 'programs': {program: data['programs']['sha256ni']}}


def written(parts):
    """The page and the chart."""
    with tempfile.TemporaryDirectory() as folder:
        report.write_docs(parts, folder)
        found = []
        for name in ('benchmarks.md', 'benchmarks.svg'):
            with open(os.path.join(folder, name), encoding='utf-8') as f:
                found.append(f.read())
        return found


def row(data):
    return next(line for line in report.table(data).splitlines() if line.startswith('sha256ni')).split()


class Report(unittest.TestCase):
    def test_a_program_that_a_peer_lacks_the_cpu_for_is_named_so_and_compared_with_the_others(self):
        data = measured(native='1', doppel='1', qemu='unsupported')
        report.check(data)
        self.assertEqual(data['failed'], [])
        self.assertEqual(row(data)[:6], ['sha256ni', '1.000', '1.000', 'unsupported', '1.00', '-'])

    def test_doppel_must_run_what_the_host_runs(self):
        for peers in ({'doppel': 'unsupported'}, {'doppel': '1', 'doppel_B': 'unsupported'}):
            data = measured(native='1', **peers)
            report.check(data)
            self.assertEqual(len(data['failed']), 1)
            self.assertIn('sha256ni: not supported by doppel', data['failed'][0])
            self.assertIn('ERROR sha256ni', report.table(data))

    def test_what_the_host_lacks_nobody_must_have(self):
        data = measured(native='unsupported', doppel='unsupported', qemu='1')
        report.check(data)
        self.assertEqual(data['failed'], [])

    def test_a_peer_that_was_not_measured_has_no_figure(self):
        self.assertEqual(row(measured(native='1', doppel='1'))[3], '-')

    def test_checksums_that_differ_are_an_error(self):
        data = measured(native='1', doppel='2', qemu='unsupported')
        report.check(data)
        self.assertIn('checksums differ', data['failed'][0])

    def test_the_host_is_no_measure_of_rounding_for_another_kind_of_guest(self):
        for arch, program, qemu, failures in (('riscv64', 'nbody_d', '2', 0), ('riscv64', 'nbody_d', '3', 1), ('x86-64', 'nbody_d', '2', 1),
                                              ('riscv64', 'sort', '2', 1)):
            data = measured_on(arch, program, native='1', doppel='2', qemu=qemu)
            report.check(data)
            self.assertEqual(len(data['failed']), failures, (arch, program, qemu))


class Guests(unittest.TestCase):
    def test_two_kinds_of_guests_are_in_one_table_and_one_chart(self):
        parts = {'riscv64': measured_on('riscv64', 'sort', native='1', doppel='1', qemu='1'),
                 'x86-64': measured_on('x86-64', 'sort', native='1', doppel='1', qemu='1')}
        page, chart = written(parts)
        self.assertEqual(page.count('|---|'), 1)
        rows = [line.split('|')[1].strip() for line in page.splitlines() if line.startswith('| ')][1:]
        self.assertEqual(rows, ['**x86-64 guest**', 'sort', '**riscv64 guest**', 'sort'])
        self.assertEqual((chart.count('>sort<'), chart.count('>riscv64 guest<'), chart.count('<svg ')), (2, 1, 1))
        page, chart = written({'x86-64': parts['x86-64']})
        self.assertNotIn('guest**', page)
        self.assertNotIn(' guest<', chart)

    def test_a_measurement_of_one_kind_keeps_the_other(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'bench.json')
            self.assertEqual(report.read_json(path), {})
            old = measured(native='1', doppel='1')  # a file from before there were parts
            with open(path, 'w', encoding='utf-8') as f:
                json.dump(old, f)
            parts = report.read_json(path)
            parts['riscv64'] = measured_on('riscv64', 'sort', native='1', doppel='1')
            report.write_json(parts, path)
            self.assertEqual(report.read_json(path), {'x86-64': old, 'riscv64': parts['riscv64']})

    def test_riscv64_gets_no_x86_code_and_no_x86_options(self):
        chosen = suite.suite_for('riscv64')
        self.assertEqual([f for b in chosen for f in b.flags_for('riscv64') if f.startswith('-m')], [])
        for b in chosen:
            with open(os.path.join(BENCH, b.file), encoding='utf-8') as f:
                text = f.read()
            for word in ('immintrin.h', '__asm__', 'PROT_EXEC'):
                self.assertNotIn(word, text, b.name)
        self.assertEqual(suite.suite_for('x86-64'), suite.SUITE)

    def test_what_is_missing_for_a_guest_is_said_in_a_line(self):
        env = dict(os.environ, DOPPEL_BENCH_RISCV_CC='no-such-cc', DOPPEL_BENCH_RISCV_KERNEL='/no/Image', DOPPEL_BENCH_RISCV_BUSYBOX='/no/busybox')
        done = subprocess.run([sys.executable, '-B', os.path.join(BENCH, 'run.py'), '--arch', 'riscv64'], env=env, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count('\n')), (1, '', 1))
        for what in ('riscv64: no ', 'no-such-cc', '/no/Image', '/no/busybox'):
            self.assertIn(what, done.stderr)


if __name__ == '__main__':
    unittest.main()
