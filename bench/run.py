#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures doppel beside QEMU TCG and the bare host: same static programs, same kernel, same initramfs, interleaved.

usage: bench/run.py [--arch x86-64|riscv64|all] [--runs N] [--quick] [--only NAME,...] [--cpu] [--doppel FILE] [--ab FILE] [--engine NAME]
       [--out FILE.json] [--docs]

Guests of each instruction set that can be had here are measured, one set after the other; what is missing for one is said in a line, and
it is left out (target.py has what is taken and which environment variables name other compilers, kernels, QEMUs). FILE.json keeps the
last measurement of each set, and --docs writes the page and the chart from all of them.

What is measured (suite.py has the list, guest.c does the timing inside the guest):
  programs     user code: integer, floating point and SIMD, code that changes or runs once
  system       system calls, processes, faults, signals, shell, tar and gzip
  boot         whole process, from start to power off: `doppel run -- true`, and QEMU with an initramfs that powers off at once; riscv64:
               both with that initramfs
  extras       memory beyond the guest's own, CPU time of an idle guest, two processes on two CPUs
Every round runs every peer once, in turn; the figures are medians over the rounds. A program that needs what a peer's CPU lacks is
`unsupported` there, which is an error for doppel where the host has it. Programs must print the same checksum everywhere, and the guest's
clock must agree with the host's: if not, that is an error and the status is 1.
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
from suite import CFLAGS, suite_for
from target import ROOT, TARGETS, first_line, guest_folder, x86_64

BENCH = os.path.join(ROOT, 'bench')
GUEST = guest_folder('x86-64')
TIMEOUT = 900
CLOCK_TOLERANCE = 0.05, 0.15  # of a program's time, and seconds: by how much guest and host may differ about it


def say(text):
    print(f'bench: {text}', file=sys.stderr, flush=True)


# ---- building ----

def built_with(stamp):
    """What build() left there; None if nothing."""
    if not os.path.exists(stamp):
        return None
    with open(stamp, encoding='utf-8') as f:
        return f.read()


def build(folder, compiler='gcc', arch='x86-64', chosen=None):
    """Compiles the programs for guests of arch (or those chosen) with a compiler, by the options of its own instruction set."""
    os.makedirs(folder, exist_ok=True)
    chosen = suite_for(arch) if chosen is None else chosen
    jobs = [('guest', os.path.join(BENCH, 'guest.c'), CFLAGS)]
    jobs += [(b.name, os.path.join(BENCH, b.file), b.flags_for(arch)) for b in chosen if not b.script]
    stamp = os.path.join(folder, 'compiler')
    if built_with(stamp) != compiler:
        for name, _, _ in jobs:
            if os.path.exists(os.path.join(folder, name)):
                os.unlink(os.path.join(folder, name))
        with open(stamp, 'w', encoding='utf-8') as f:
            f.write(compiler)
    for name, source, flags in jobs:
        target = os.path.join(folder, name)
        newest = max(os.path.getmtime(f) for f in (source, os.path.join(BENCH, 'bench.h'), os.path.join(BENCH, 'suite.py')))
        if os.path.exists(target) and os.path.getmtime(target) > newest:
            continue
        subprocess.run([compiler, *flags, '-o', target, source, '-lm'], check=True)


def build_for(target):
    """Compiles what the guest runs, and the same programs for the host."""
    build(target.folder, target.cc, target.arch)
    if target.native_folder != target.folder:
        build(target.native_folder, target.native_cc, chosen=suite_for(target.arch))


def list_text(chosen, quick):
    lines = ['- @tree'] if any(b.name == 'targz' for b in chosen) else []
    for b in chosen:
        units = max(1, b.units // 2) if quick else b.units
        program = f'./{b.name}' if not b.script else f'./busybox sh ./{os.path.basename(b.file)}'
        lines.append(f'{b.name} {program} {units}')
    return '\n'.join(lines) + '\n'


def folder_files(folder, busybox, chosen, quick):
    """name -> bytes of what lies in /bench."""
    files = {'list': list_text(chosen, quick).encode()}
    for b in chosen:
        source = os.path.join(BENCH, b.file) if b.script else os.path.join(folder, b.name)
        with open(source, 'rb') as f:
            files[os.path.basename(source)] = f.read()
    if os.path.exists(busybox):
        with open(busybox, 'rb') as f:
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
    return x86_64().doppel_command(binary, engine, kernel, initrd)


def qemu_command(kernel, initrd):
    return x86_64().qemu_command(kernel, initrd)


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


def idle(command):
    """Memory beyond the guest's own after a boot, MB, and per cent of a CPU that an idle guest takes. The command: a guest that sleeps."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(6)
        begin, before = time.monotonic(), cpu_seconds(process.pid)
        time.sleep(10)
        per_cent = 100 * (cpu_seconds(process.pid) - before) / (time.monotonic() - begin)
        total, guest = resident_kb(process.pid)
        process.kill()
    return {'overhead_mb': (total - guest) / 1024, 'guest_mb': guest / 1024, 'idle_cpu_per_cent': per_cent}


def two_cpus(target, command, initrd):
    """How much longer two processes take than one on a guest with two CPUs; None when the engine has no second one. The command boots the
    initrd, which is written here."""
    program = './crc32 800'
    files = {'list': f'- {program}\none {program}\ntwo @pair {program}\n'.encode()}
    with open(os.path.join(target.folder, 'crc32'), 'rb') as f:
        files['crc32'] = f.read()
    with open(os.path.join(target.folder, 'guest'), 'rb') as f:
        write_initrd(initrd, f.read(), files)
    run = Run(command + ['--cpus', '2'])
    if run.failed or not {'one', 'two'} <= run.results.keys():
        say(f'two CPUs: {(run.failed or ["no result"])[0].strip()[-200:]}')
        return None
    return run.results['two']['seconds'] / run.results['one']['seconds']


def sleeping(target, binary, engine, tmp):
    """A command: a guest that sleeps."""
    if target.arch == 'x86-64':
        return [binary, 'run', '--engine', engine, '--kernel', target.kernel, '--memory', '512M', '--', 'sleep', '1000']
    initrd = os.path.join(tmp, 'sleep')
    with open(target.busybox, 'rb') as f:
        write_initrd(initrd, b'#!/bench/busybox sh\n/bench/busybox sleep 1000\n', {'busybox': f.read()})
    return target.doppel_command(binary, engine, target.kernel, initrd)


# ---- the whole ----

def versions(kernel, target=None):
    target = target or x86_64()
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        cpu = next((l.split(':')[1].strip() for l in f if l.startswith('model name')), '')
    dirty = first_line(['git', '-C', ROOT, 'status', '--porcelain', '-uno', 'src'])
    return {
        'doppel': (first_line(['git', '-C', ROOT, 'rev-parse', '--short', 'HEAD']) or '?') + ('+changes' if dirty else ''),
        'qemu': first_line([target.qemu, '--version']) or 'no QEMU', 'gcc': target.compilers(),
        'host': f'{cpu}, {os.cpu_count()} CPUs, Linux {platform.release()}', 'guest': target.guest(), 'kernel': kernel,
        'date': time.strftime('%Y-%m-%d %H:%M %Z'), 'load': os.getloadavg()[0],
    }


def note_run(data, peer, run):
    data['failed'] += [f'{peer}: {f}' for f in run.failed]
    for name, r in run.results.items():
        data['programs'].setdefault(name, {}).setdefault(peer, []).append(r)


def boots(data, target, peers, tmp, binaries, engine):
    """One round of boots."""
    initrd = os.path.join(tmp, 'empty')
    for peer in peers:
        if peer == 'qemu':
            command = target.qemu_command(target.kernel, initrd)
        elif peer in binaries and target.arch == 'x86-64':
            command = [binaries[peer], 'run', '--engine', engine, '--kernel', target.kernel, '--', 'true']
        elif peer in binaries:
            command = target.doppel_command(binaries[peer], engine, target.kernel, initrd)
        else:
            continue
        data['boot'].setdefault(peer, []).append(timed(command, data['clock']))


def set_up(target, chosen, quick, tmp):
    """Writes the initramfs, the one that powers off, and the host's folder; the scripts are left out there if there is no busybox."""
    native, busybox = os.path.join(tmp, 'native'), x86_64().busybox
    on_host = [b for b in chosen if not b.script or os.path.exists(busybox)]
    os.makedirs(os.path.join(native, 'tmp'))
    for name, content in folder_files(target.native_folder, busybox, on_host, quick).items():
        with open(os.path.join(native, name), 'wb') as f:
            f.write(content)
        os.chmod(os.path.join(native, name), 0o755)
    files = folder_files(target.folder, target.busybox, chosen, quick)
    with open(os.path.join(target.folder, 'guest'), 'rb') as f:
        write_initrd(os.path.join(tmp, 'initrd'), f.read(), files)
    write_initrd(os.path.join(tmp, 'empty'), b'#!/bench/busybox sh\n/bench/busybox poweroff -f\n', {'busybox': files['busybox']})


def rounds(data, args, target, peers, binaries, chosen, tmp):
    set_up(target, chosen, args.quick, tmp)
    initrd = os.path.join(tmp, 'initrd')
    for n in range(args.runs):
        for peer in peers:
            if peer == 'native':
                command = [os.path.join(target.native_folder, 'guest'), os.path.join(tmp, 'native')]
            elif peer == 'qemu':
                command = target.qemu_command(target.kernel, initrd)
            else:
                command = target.doppel_command(binaries[peer], args.engine, target.kernel, initrd)
            run = Run(command, peer != 'native')
            note_run(data, peer, run)
            say(f'{target.arch}: round {n + 1} of {args.runs}: {peer}: {run.seconds:.1f} s' + ''.join(f'\n  FAILED {f}' for f in run.failed))
        if not args.no_boot:
            boots(data, target, peers, tmp, binaries, args.engine)
        if args.progress:
            with open(args.progress, 'w', encoding='utf-8') as f:
                f.write(report.table(data))


def arguments():
    parser = argparse.ArgumentParser(prog='run-bench')
    parser.add_argument('--arch', choices=[*TARGETS, 'all'], default='all', help='instruction set of the guest: x86-64, riscv64, or all that can be had here')
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


def can_be_measured(arch):
    """The targets, in order; says what is missing. The one that was asked for must be there."""
    found = []
    for name in TARGETS if arch == 'all' else [arch]:
        target = TARGETS[name]()
        missing = target.missing()
        if not missing:
            found.append(target)
        elif arch == 'all':
            say(f'{name} is left out: {missing}')
        else:
            sys.exit(f'bench: {name}: {missing}')
    if not found:
        sys.exit('bench: nothing to measure')
    return found


def measure(args, target, folder):
    """Builds, measures and prints one target; returns what was measured."""
    peers = [p for p in args.peers.split(',') if p != 'qemu' or target.has_qemu()]
    if peers != args.peers.split(','):
        say(f'no {target.qemu} here (apt: {target.qemu_package}): QEMU is left out')
    if args.ab:
        peers.insert(peers.index('doppel') + 1, 'doppel B')
    chosen = [b for b in suite_for(target.arch) if not args.only or {b.name, b.group} & set(args.only.split(','))]
    build_for(target)
    data = {'arch': target.arch, 'versions': versions(target.kernel, target), 'quick': args.quick, 'clock': 'cpu' if args.cpu else 'seconds', 'runs': args.runs,
            'peers': peers, 'programs': {}, 'boot': {}, 'failed': [], 'extras': {}}
    with tempfile.TemporaryDirectory(dir=folder) as tmp:
        target.unpack_kernel(tmp)
        binaries = {'doppel': os.path.join(folder, 'doppel'), 'doppel B': args.ab}
        rounds(data, args, target, peers, binaries, chosen, tmp)
        if not args.no_boot and 'doppel' in peers:
            data['extras'] = idle(sleeping(target, binaries['doppel'], args.engine, tmp))
            two = os.path.join(tmp, 'two')
            data['extras']['two_cpus'] = two_cpus(target, target.doppel_command(binaries['doppel'], args.engine, target.kernel, two), two)
    report.check(data)
    print(report.table(data), flush=True)
    return data


def main():
    args = arguments()
    targets = can_be_measured(args.arch)
    parts = report.read_json(args.out)
    if args.docs and 'x86-64' not in {*parts, *(t.arch for t in targets)}:
        sys.exit(f'bench: --docs: the page would lose x86-64, which neither is measured nor is in {args.out}')
    with tempfile.TemporaryDirectory(dir='/dev/shm', prefix='doppel-bench.') as folder:
        shutil.copy(args.doppel, os.path.join(folder, 'doppel'))  # whoever builds meanwhile does not disturb us
        for target in targets:
            parts[target.arch] = measure(args, target, folder)
            report.write_json(parts, args.out)
    if args.docs:
        report.write_docs(parts, os.path.join(ROOT, 'docs'))
    return 1 if any(parts[t.arch]['failed'] for t in targets) else 0


if __name__ == '__main__':
    sys.exit(main())
