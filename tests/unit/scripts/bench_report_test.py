#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/report.py: what it says of programs that a peer's CPU lacks something for, and of checksums that differ.

usage: bench_report_test.py BENCH_DIR
"""
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv.pop())
import report  # pylint: disable=wrong-import-position


def run(checksum, seconds=1.0):
    lacks = checksum == 'unsupported'
    return [{'seconds': seconds, 'cpu': seconds, 'checksum': checksum, 'window': None if lacks else 10.0}]


def measured(**checksums):
    """What run.py has of the program sha256ni after a round."""
    peers = {peer.replace('_', ' '): run(checksum) for peer, checksum in checksums.items()}
    return {'versions': dict.fromkeys(('doppel', 'qemu', 'guest', 'gcc', 'host', 'date'), '') | {'load': 0.0}, 'quick': False,
            'clock': 'seconds', 'runs': 1, 'peers': list(peers), 'programs': {'sha256ni': peers}, 'boot': {}, 'failed': [], 'extras': {}}


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


if __name__ == '__main__':
    unittest.main()
