#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures doppel beside QEMU TCG and the bare host: same static programs, same kernel, same initramfs, interleaved.

usage: bench/run.py [--runs N] [--quick] [--only NAME,...] [--cpu] [--doppel FILE] [--ab FILE] [--engine NAME] [--out FILE.json] [--docs]

What is measured (suite.py has the list, guest.c does the timing inside the guest):
  programs     user code: integer, floating point and SIMD, code that changes or runs once
  system       system calls, processes, faults, signals, shell, tar and gzip
  boot         whole process, from start to power off: `doppel run -- true`, and QEMU with an initramfs that powers off at once
  extras       memory beyond the guest's own, CPU time of an idle guest, two processes on two CPUs
Every round runs every peer once, in turn; the figures are medians over the rounds. A program that needs what a peer's CPU lacks is
`unsupported` there, which is an error for doppel where the host has it. Programs must print the same checksum everywhere, and the
guest's clock must agree with the host's: if not, that is an error and the status is 1.
"""
import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import report
from suite import CFLAGS, SUITE

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH = os.path.join(ROOT, 'bench')
GUEST = os.path.join(ROOT, 'build', 'guests', 'x86-64', 'cloud')
APPEND = 'console=ttyS0 panic=-1 quiet cryptomgr.notests rcupdate.rcu_expedited=1'
TIMEOUT = 900
CLOCK_TOLERANCE = 0.05, 0.15  # of a program's time, and seconds: by how much guest and host may differ about it


def say(text):
    print(f'bench: {text}', file=sys.stderr, flush=True)


# ---- building ----

def build(folder):
    """Compiles all programs to build/bench."""
    os.makedirs(folder, exist_ok=True)
    jobs = [('guest', os.path.join(BENCH, 'guest.c'), [])]
    jobs += [(b.name, os.path.join(BENCH, b.file), b.flags) for b in SUITE if b.file.endswith('.c')]
    for name, source, flags in jobs:
        target = os.path.join(folder, name)
        newest = max(os.path.getmtime(f) for f in (source, os.path.join(BENCH, 'bench.h'), os.path.join(BENCH, 'suite.py')))
        if os.path.exists(target) and os.path.getmtime(target) > newest:
            continue
        subprocess.run(['gcc', *CFLAGS, *flags, '-o', target, source, '-lm'], check=True)


def list_text(chosen, quick):
    lines = ['- @tree'] if any(b.name == 'targz' for b in chosen) else []
    for b in chosen:
        units = max(1, b.units // 2) if quick else b.units
        program = f'./{b.name}' if b.file.endswith('.c') else f'./busybox sh ./{os.path.basename(b.file)}'
        lines.append(f'{b.name} {program} {units}')
    return '\n'.join(lines) + '\n'


def folder_files(folder, chosen, quick):
    """name -> bytes of what lies in /bench."""
    files = {'list': list_text(chosen, quick).encode()}
    for b in chosen:
        source = os.path.join(folder, b.name) if b.file.endswith('.c') else os.path.join(BENCH, b.file)
        with open(source, 'rb') as f:
            files[os.path.basename(source)] = f.read()
    with open(os.path.join(GUEST, 'busybox'), 'rb') as f:
        files['busybox'] = f.read()
    return files


def newc(entries):
    """A newc cpio archive of (name, mode, data) entries."""
    out = bytearray()
    for number, (name, mode, data) in enumerate(entries + [('TRAILER!!!', 0, b'')], 1):
        console = mode & 0o170000 == 0o20000
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 5 if console else 0, 1 if console else 0, len(name) + 1, 0]
        out += b'070701' + b''.join(b'%08X' % f for f in fields) + name.encode() + b'\0'
        out += b'\0' * (-len(out) % 4) + data
        out += b'\0' * (-len(out) % 4)
    return bytes(out)


def write_initrd(path, init, files):
    entries = [(d, 0o40755, b'') for d in ('dev', 'proc', 'bin', 'bench', 'bench/tmp')]
    entries += [('dev/console', 0o20600, b''), ('init', 0o100755, init)]
    entries += [('bench/' + name, 0o100755, data) for name, data in files.items()]
    with open(path, 'wb') as f:
        f.write(newc(entries))


# ---- running ----

def cpu_seconds(pid):
    """Host CPU time of a process so far."""
    total = 0
    for thread in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{thread}/schedstat', encoding='ascii') as f:
            total += int(f.read().split()[0])
    return total / 1e9


class Run:
    """One guest (or the host) through the list: seconds, last line and the host's own timing of each program."""

    def __init__(self, command, is_guest=True):
        self.results, self.failed, self.text, begun, cpu_begun = {}, [], '', 0, 0
        start = time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            timer = threading.Timer(TIMEOUT, process.kill)
            timer.daemon = True  # an error below is not to wait for it
            timer.start()
            for raw in process.stdout:
                line, now = raw.decode(errors='replace').strip(), time.monotonic()
                self.text += line + '\n'
                word = line.split()
                if line.startswith('@begin '):
                    begun, cpu_begun = now, cpu_seconds(process.pid) if is_guest else 0
                elif line.startswith('@end ') and len(word) >= 5:
                    self.add(word, now - begun, cpu_seconds(process.pid) - cpu_begun if is_guest else float(word[3]))
                elif line.startswith('@fail '):
                    self.failed.append(line[6:])
            timer.cancel()
        self.seconds = time.monotonic() - start
        if process.returncode or '@done' not in self.text:
            self.failed.append(f'{command[0]} ended with {process.returncode} after {self.seconds:.0f} s: {self.text[-600:]}')

    def add(self, word, host_seconds, cpu):
        name, seconds, checksum = word[1], float(word[2]), word[4]
        window = float(word[5]) if len(word) > 5 else None
        self.results[name] = {'seconds': seconds, 'cpu': cpu, 'checksum': checksum, 'window': window}
        allowed = seconds * CLOCK_TOLERANCE[0] + CLOCK_TOLERANCE[1]
        if abs(seconds - host_seconds) > allowed:
            self.failed.append(f'{name}: {seconds:.3f} s by the guest\'s clock, {host_seconds:.3f} s by the host\'s')


def doppel_command(binary, engine, kernel, initrd):
    return [binary, 'run', '--engine', engine, '--kernel', kernel, '--initrd', initrd, '--append', APPEND, '--memory', '512M']


def qemu_command(kernel, initrd):
    return ['qemu-system-x86_64', '-accel', 'tcg', '-cpu', 'max', '-m', '512', '-kernel', kernel, '-initrd', initrd, '-append', APPEND,
            '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot']


def timed(command, clock):
    """Seconds of a whole process that must succeed, by the clock or of CPU time."""
    def now():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime if clock == 'cpu' else time.monotonic()
    begin = now()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False)
    if done.returncode:
        sys.exit(f'bench: {" ".join(command)} ended with {done.returncode}:\n{done.stdout.decode(errors="replace")[-1500:]}')
    return now() - begin


# ---- memory and idle time ----

def resident_kb(pid):
    """(all, of the guest's memory): resident KiB; guest memory is the mapping of 512 MiB."""
    total = guest = 0
    in_guest = False
    with open(f'/proc/{pid}/smaps', encoding='ascii', errors='replace') as f:
        for line in f:
            word = line.split()
            if '-' in word[0] and not word[0].endswith(':'):
                begin, end = (int(a, 16) for a in word[0].split('-'))
                in_guest = end - begin == 512 << 20
            elif word[0] == 'Rss:':
                total += int(word[1])
                guest += int(word[1]) if in_guest else 0
    return total, guest


def idle(binary, engine, kernel):
    """Memory beyond the guest's own after a boot, MB, and per cent of a CPU that an idle guest takes."""
    command = [binary, 'run', '--engine', engine, '--kernel', kernel, '--memory', '512M', '--', 'sleep', '1000']
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(6)
        begin, before = time.monotonic(), cpu_seconds(process.pid)
        time.sleep(10)
        per_cent = 100 * (cpu_seconds(process.pid) - before) / (time.monotonic() - begin)
        total, guest = resident_kb(process.pid)
        process.kill()
    return {'overhead_mb': (total - guest) / 1024, 'guest_mb': guest / 1024, 'idle_cpu_per_cent': per_cent}


def two_cpus(binary, engine, kernel, tmp):
    """How much longer two processes take than one on a guest with two CPUs; None when the engine has no second one."""
    folder, initrd, command = os.path.join(ROOT, 'build', 'bench'), os.path.join(tmp, 'two'), './crc32 800'
    files = {'list': f'- {command}\none {command}\ntwo @pair {command}\n'.encode()}
    with open(os.path.join(folder, 'crc32'), 'rb') as f:
        files['crc32'] = f.read()
    with open(os.path.join(folder, 'guest'), 'rb') as f:
        write_initrd(initrd, f.read(), files)
    run = Run(doppel_command(binary, engine, kernel, initrd) + ['--cpus', '2'])
    if run.failed:
        say(f'two CPUs: {run.failed[0].strip()[-200:]}')
        return None
    return run.results['two']['seconds'] / run.results['one']['seconds']


# ---- the whole ----

def first_line(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout.split('\n')[0]
    except (OSError, subprocess.CalledProcessError):
        return None


def versions(kernel):
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        cpu = next((l.split(':')[1].strip() for l in f if l.startswith('model name')), '')
    manifest = os.path.join(GUEST, 'manifest')
    with open(manifest, encoding='ascii') as f:
        packages = f.read().split('\n')
    dirty = first_line(['git', '-C', ROOT, 'status', '--porcelain', '-uno', 'src'])
    return {
        'doppel': (first_line(['git', '-C', ROOT, 'rev-parse', '--short', 'HEAD']) or '?') + ('+changes' if dirty else ''),
        'qemu': first_line(['qemu-system-x86_64', '--version']), 'gcc': first_line(['gcc', '--version']),
        'host': f'{cpu}, {os.cpu_count()} CPUs, Linux {platform.release()}', 'guest': packages[0], 'kernel': kernel,
        'date': time.strftime('%Y-%m-%d %H:%M %Z'), 'load': os.getloadavg()[0],
    }


def note_run(data, peer, run):
    data['failed'] += [f'{peer}: {f}' for f in run.failed]
    for name, r in run.results.items():
        data['programs'].setdefault(name, {}).setdefault(peer, []).append(r)


def boots(data, peers, tmp, kernel, binaries, engine):
    """One round of boots."""
    initrd = os.path.join(tmp, 'empty')
    for peer in peers:
        if peer == 'qemu':
            command = qemu_command(kernel, initrd)
        elif peer in binaries:
            command = [binaries[peer], 'run', '--engine', engine, '--kernel', kernel, '--', 'true']
        else:
            continue
        data['boot'].setdefault(peer, []).append(timed(command, data['clock']))


def rounds(data, args, peers, binaries, kernel, chosen, tmp):
    folder, native = os.path.join(ROOT, 'build', 'bench'), os.path.join(tmp, 'native')
    files = folder_files(folder, chosen, args.quick)
    with open(os.path.join(folder, 'guest'), 'rb') as f:
        guest = f.read()
    os.makedirs(os.path.join(native, 'tmp'))
    for name, content in files.items():
        with open(os.path.join(native, name), 'wb') as f:
            f.write(content)
        os.chmod(os.path.join(native, name), 0o755)
    initrd = os.path.join(tmp, 'initrd')
    write_initrd(initrd, guest, files)
    write_initrd(os.path.join(tmp, 'empty'), b'#!/bench/busybox sh\n/bench/busybox poweroff -f\n', {'busybox': files['busybox']})
    for n in range(args.runs):
        for peer in peers:
            if peer == 'native':
                command = [os.path.join(folder, 'guest'), native]
            elif peer == 'qemu':
                command = qemu_command(kernel, initrd)
            else:
                command = doppel_command(binaries[peer], args.engine, kernel, initrd)
            run = Run(command, peer != 'native')
            note_run(data, peer, run)
            say(f'round {n + 1} of {args.runs}: {peer}: {run.seconds:.1f} s' + ''.join(f'\n  FAILED {f}' for f in run.failed))
        if not args.no_boot:
            boots(data, peers, tmp, kernel, binaries, args.engine)
        report.write_json(data, args.out)
        if args.progress:
            with open(args.progress, 'w', encoding='utf-8') as f:
                f.write(report.table(data))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--runs', type=int, help='rounds: 5, with --quick 2')
    parser.add_argument('--quick', action='store_true', help='half of the work, two rounds')
    parser.add_argument('--only', help='names or groups, with commas')
    parser.add_argument('--no-boot', action='store_true')
    parser.add_argument('--peers', default='native,doppel,qemu')
    parser.add_argument('--engine', default='bt')
    parser.add_argument('--doppel', default=os.path.join(ROOT, 'build', 'doppel'))
    parser.add_argument('--ab', help='another build of doppel to measure beside this one')
    parser.add_argument('--out', default=os.path.join(ROOT, 'build', 'bench.json'))
    parser.add_argument('--progress', help='a file to write the table to after each round')
    parser.add_argument('--cpu', action='store_true', help='compare host CPU time instead of time: for a machine that others use, too')
    parser.add_argument('--docs', action='store_true', help='write docs/benchmarks.md and .svg')
    args = parser.parse_args()
    args.runs = args.runs or (2 if args.quick else 5)
    return args


def main():
    args = arguments()
    chosen = [b for b in SUITE if not args.only or {b.name, b.group} & set(args.only.split(','))]
    peers = [p for p in args.peers.split(',') if p != 'qemu' or shutil.which('qemu-system-x86_64')]
    if args.ab:
        peers.insert(peers.index('doppel') + 1, 'doppel B')
    kernel = os.path.realpath(os.path.join(GUEST, 'vmlinuz'))
    build(os.path.join(ROOT, 'build', 'bench'))
    data = {'versions': versions(kernel), 'quick': args.quick, 'clock': 'cpu' if args.cpu else 'seconds', 'runs': args.runs, 'peers': peers, 'programs': {}, 'boot': {}, 'failed': [],
            'extras': {}}
    with tempfile.TemporaryDirectory(dir='/dev/shm', prefix='doppel-bench.') as tmp:
        binaries = {'doppel': os.path.join(tmp, 'doppel'), 'doppel B': args.ab}
        shutil.copy(args.doppel, binaries['doppel'])  # whoever builds meanwhile does not disturb us
        rounds(data, args, peers, binaries, kernel, chosen, tmp)
        if not args.no_boot and 'doppel' in peers:
            data['extras'] = idle(binaries['doppel'], args.engine, kernel)
            data['extras']['two_cpus'] = two_cpus(binaries['doppel'], args.engine, kernel, tmp)
    report.check(data)
    report.write_json(data, args.out)
    print(report.table(data))
    if args.docs:
        report.write_docs(data, os.path.join(ROOT, 'docs'))
    return 1 if data['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
