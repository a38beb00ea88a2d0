#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures doppel beside its peers, interleaved in one run, and prints medians with their spread.

usage: bench/run.py [--runs N] [--ab OTHER_DOPPEL] [--out FILE.json]

What is measured:
  boot         Debian's cloud kernel with an initramfs that powers off at once, whole process, seconds
  shell loop   the same, then a busybox shell loop of a fixed length in the guest (boot time taken off), and the
               interpreter's speed in it, million guest instructions a second
The peers are qemu-system-x86_64 -accel tcg -cpu max (left out when not installed) and, with --ab, a second build of doppel.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GUEST = os.path.join(ROOT, 'build', 'guests', 'x86-64')
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
case "$(/bin/busybox cat /proc/cmdline)" in
*bench=loop*) i=0; while [ $i -lt LOOPS ]; do i=$((i+1)); done; echo looped $i ;;
esac
/bin/busybox poweroff -f
"""
LOOPS = 300000


def newc(entries):
    """A newc cpio archive of (name, mode, data) entries."""
    out = bytearray()
    for number, (name, mode, data) in enumerate(entries + [('TRAILER!!!', 0, b'')], 1):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 5 if mode & 0o20000 else 0, 1 if mode & 0o20000 else 0, len(name) + 1, 0]
        out += b'070701' + b''.join(b'%08X' % f for f in fields) + name.encode() + b'\0'
        out += b'\0' * (-len(out) % 4) + data
        out += b'\0' * (-len(out) % 4)
    return bytes(out)


def write_initrd(path):
    with open(os.path.join(GUEST, 'busybox'), 'rb') as f:
        busybox = f.read()
    init = INIT.replace('LOOPS', str(LOOPS)).encode()
    with open(path, 'wb') as f:
        f.write(newc([('bin', 0o40755, b''), ('dev', 0o40755, b''), ('dev/console', 0o20600, b''),
                      ('bin/busybox', 0o100755, busybox), ('init', 0o100755, init)]))


def doppel_command(binary, kernel, initrd, append):
    return [binary, 'run', '--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', '512M', '--timeout', '600', '--stats']


def qemu_command(kernel, initrd, append):
    return ['qemu-system-x86_64', '-accel', 'tcg', '-cpu', 'max', '-m', '512', '-kernel', kernel, '-initrd', initrd, '-append', append,
            '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot']


def run(command):
    """Seconds and combined output of one run; exits when it fails."""
    begin = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900, check=False)
    took = time.monotonic() - begin
    text = done.stdout.decode(errors='replace')
    if done.returncode:
        sys.exit(f'bench: {command[0]} ended with {done.returncode}:\n{text[-2000:]}')
    return took, text


def instructions(text):
    return sum(int(n) for n in re.findall(r'^\s*(?:cpu\d+[ .])?instructions[: ]+(\d+)', text, re.M))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--ab', help='another build of doppel to measure beside this one')
    parser.add_argument('--out', default=os.path.join(ROOT, 'build', 'bench.json'))
    args = parser.parse_args()
    kernel = os.path.realpath(os.path.join(GUEST, 'cloud', 'vmlinuz'))
    peers = {'doppel': lambda i, a: doppel_command(os.path.join(ROOT, 'build', 'doppel'), kernel, i, a)}
    if args.ab:
        peers['doppel B'] = lambda i, a: doppel_command(args.ab, kernel, i, a)
    if shutil.which('qemu-system-x86_64'):
        peers['qemu tcg'] = lambda i, a: qemu_command(kernel, i, a)
    results = {name: {'boot': [], 'loop': [], 'mips': []} for name in peers}
    with tempfile.TemporaryDirectory() as tmp:
        initrd = os.path.join(tmp, 'initrd')
        write_initrd(initrd)
        for _ in range(args.runs):
            for name, command in peers.items():
                base = 'console=ttyS0 quiet panic=-1'
                boot, boot_text = run(command(initrd, base))
                both, both_text = run(command(initrd, base + ' bench=loop'))
                if f'looped {LOOPS}' not in both_text:
                    sys.exit(f'bench: {name}: the loop did not run:\n{both_text[-1000:]}')
                results[name]['boot'].append(boot)
                results[name]['loop'].append(both - boot)
                count = instructions(both_text) - instructions(boot_text)
                if count > 0:
                    results[name]['mips'].append(count / (both - boot) / 1e6)
    print(f"{'':12} {'boot s':>18} {'shell loop s':>18} {'loop MIPS':>18}")
    for name, r in results.items():
        cells = [f'{statistics.median(r[k]):7.2f} ({min(r[k]):.2f}-{max(r[k]):.2f})' if r[k] else '-' for k in ('boot', 'loop', 'mips')]
        print(f'{name:12} ' + ' '.join(f'{c:>18}' for c in cells))
    with open(args.out, 'w', encoding='utf-8') as f:
        json.dump(results, f, indent=1)


main()
