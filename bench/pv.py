#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures KVM's paravirtual interface: the same guest with and without it, or with parts of it.

usage: bench/pv.py [--runs N] [--only NAME,...] [--cpus N] [--engine NAME] [--doppel FILE] [--out FILE.json] [VARIANT ...]

A variant is what follows the model in --cpu, e.g. kvm-pv=off or kvm-pv=off,+kvm-pv-eoi (default: kvm-pv=off kvm-pv=on). Each round boots each
variant once, in turn, and runs all cases in it; the figures are medians over the rounds, seconds in the guest, and in parentheses what
the first variant takes, divided by that. `boot` is the whole process of `doppel run -- true`. pv/pv.c has the cases for two CPUs; the system
programs of suite.py are run by it, too.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import run as bench
from suite import CFLAGS, SUITE

FOLDER = os.path.join(bench.ROOT, 'build', 'bench')
PROGRAMS = ('getppid', 'fork', 'exec', 'pipe', 'switch', 'faults', 'signals')
CASES = {'futex to and fro between CPUs': 'futex 20000', 'pipe to and fro between CPUs': 'pipe 20000', 'munmap, other CPU busy': 'unmap 8000',
         'munmap, other CPU sleeps': 'unmap-idle 8000', 'files in one folder, two processes': 'files 4000',
         'fork and exit, two processes': 'forks 400', 'two threads woken at once': 'spread 30',
         'a pipeline of two processes': 'pipeline 2000'}


def cases():
    """Command by name."""
    found = {name: command.split() for name, command in CASES.items()}
    for b in SUITE:
        if b.name in PROGRAMS:
            found[f'bench/{b.file}'] = ['run', os.path.join(FOLDER, b.name), str(b.units)]
    return found


def measure(args, variant, chosen):
    """Seconds by case."""
    pv = os.path.join(FOLDER, 'pv')
    machine = [args.doppel, 'run', '--engine', args.engine, '--cpus', str(args.cpus), '--cpu', f'x86-64-v3,{variant}', '--timeout', '600']
    begin = time.monotonic()
    subprocess.run([*machine, '--', 'true'], check=True)
    seconds = {'boot': time.monotonic() - begin}
    script = ' && '.join(f'{pv} {" ".join(command)}' for command in chosen.values())
    if script:
        out = subprocess.run([*machine, '--share', FOLDER, '--', 'sh', '-c', script], check=True, stdout=subprocess.PIPE).stdout.decode()
        seconds.update(zip(chosen, map(float, out.split()), strict=True))
    return seconds


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--only')
    parser.add_argument('--cpus', type=int, default=2)
    parser.add_argument('--engine', default='bt')
    parser.add_argument('--doppel', default=os.path.join(bench.ROOT, 'build', 'doppel'))
    parser.add_argument('--out')
    parser.add_argument('variants', nargs='*', default=['kvm-pv=off', 'kvm-pv=on'])
    args = parser.parse_args()
    bench.build(FOLDER)
    subprocess.run(['gcc', *CFLAGS, '-pthread', '-o', os.path.join(FOLDER, 'pv'), os.path.join(bench.BENCH, 'pv', 'pv.c')], check=True)
    chosen = {name: c for name, c in cases().items() if not args.only or any(word in name for word in args.only.split(','))}
    got = {v: [] for v in args.variants}
    for n in range(args.runs):
        first = n % len(args.variants)
        for v in args.variants[first:] + args.variants[:first]: # none is always the one behind a pause
            bench.say(f'round {n + 1} of {args.runs}: {v} (load {os.getloadavg()[0]:.1f})')
            got[v].append(measure(args, v, chosen))
        if args.out:
            with open(args.out, 'w', encoding='ascii') as f:
                json.dump(got, f, indent=1)
    print('| seconds | ' + ' | '.join(args.variants) + ' |')
    print('| --- |' + ' ---: |' * len(args.variants))
    for name in got[args.variants[0]][0]:
        medians = [statistics.median(r[name] for r in got[v]) for v in args.variants]
        spread = [f'{m:.3f} ({medians[0] / m:.2f})' for m in medians]
        print(f'| {name} | ' + ' | '.join(spread) + ' |')


if __name__ == '__main__':
    sys.exit(main())
