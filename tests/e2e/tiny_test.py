#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Laws of our own kernels under an engine: tiny_test.py DOPPEL ENGINE TINY_NATIVE TINY_PV POPF_NATIVE POPF_PV.

Each law is a function; its name is printed with the verdict. Exit status 77: the engine does not work here.
"""
import json
import os
import re
import subprocess
import sys
import time
import traceback

DOPPEL, ENGINE, TINY_NATIVE, TINY_PV, POPF_NATIVE, POPF_PV = sys.argv[1:7]
FEWER = 5 # times: what issue 6 asks for
SYSCALL_IS_WRONG = False # of this host's KVM
WELL = '''threads: the sum is 3003000, the timer ticks
mappings: 2560 changes
faults: 24 pages on demand
user: hello
user: done
user: 5 faults skipped, 17 pages on demand
tiny: all is well
'''


NO_SYSCALL = "user: this machine's SYSCALL stays in ring 3, so INT3 serves\n"


def run(kernel, *options):
    """Returns (status, stdout, counters of --stats, stderr)."""
    p = subprocess.run([DOPPEL, 'run', '--engine', ENGINE, '--memory', '32M', '--timeout', '60', '--stats', *options, '--kernel', kernel],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False, text=True)
    counters = {k: int(v) for k, v in re.findall(r'^(\S+) (\d+)$', p.stderr, re.M)}
    return p.returncode, p.stdout, counters, p.stderr


def expect(got, want, what):
    if got != want:
        raise AssertionError(f'{what}: got {got!r}, want {want!r}')


def the_tiny_kernel_works_native_and_paravirtual():
    for kernel, kind in ((TINY_NATIVE, 'native'), (TINY_PV, 'paravirtual')):
        status, out, _, err = run(kernel)
        expect((status, out.replace(NO_SYSCALL, '')), (1, f'tiny: {kind}\n{WELL}'), f'{kind}: {err}')
        expect(NO_SYSCALL in out, SYSCALL_IS_WRONG, 'what doctor says of SYSCALL')


def popf_is_right_or_as_wrong_as_the_theorem_says():
    right = '\nmode 0\ninterrupts_enabled 0\ninterrupts_came 0\n'
    wrong = '\nmode 3\ninterrupts_enabled 1\ninterrupts_came 1\n'
    native = (3, 'popf: native' + wrong) if ENGINE == 'direct' else (1, 'popf: native' + right)
    expect(run(POPF_NATIVE)[:2], native, 'native')
    expect(run(POPF_PV)[:2], (1, 'popf: paravirtual' + right), 'paravirtual')


def a_paravirtual_kernel_traps_a_fifth_as_often():
    native, paravirtual = run(TINY_NATIVE)[2], run(TINY_PV)[2]
    print(f'traps: native {native["traps"]}, paravirtual {paravirtual["traps"]}; hypercalls {paravirtual["hypercalls"]}')
    expect(native['traps'] >= FEWER * paravirtual['traps'], True, f'{FEWER} times fewer')
    expect(native['hypercalls'], 0, 'hypercalls of the native one')
    for name in ('trapped_CLI', 'trapped_INVLPG', 'trapped_IN'):
        expect(native[name] > 100, True, name)


def it_runs_in_the_sandbox():
    expect(run(TINY_NATIVE, '--sandbox', 'on')[:2], (1, 'tiny: native\n' + WELL), 'in the sandbox')


def popf_runs_in_the_sandbox():
    for kernel in (POPF_NATIVE, POPF_PV):
        status, out, counters, err = run(kernel, '--sandbox', 'on')
        expect((status, out.splitlines()[1:]), (1, ['mode 0', 'interrupts_enabled 0', 'interrupts_came 0']), err)
        expect((counters['exits'] > 10, counters['interpreted']), (True, 0), err)


def without_dev_kvm_it_is_one_clear_line():
    if os.getuid() != 0 or os.stat('/dev/kvm').st_mode & 0o006:
        print('skipped: every user may open /dev/kvm, or we cannot become one that may not')
        return
    p = subprocess.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', DOPPEL, 'run', '--engine', 'kvm', '--kernel', POPF_NATIVE],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False, text=True)
    expect((p.returncode, p.stderr.count('\n')), (1, 1), p.stderr)
    expect('/dev/kvm: Permission denied' in p.stderr, True, p.stderr)


def session(leader):
    """The lines of ps about the processes of a session."""
    p = subprocess.run(['ps', '-eo', 'sid=,pid=,stat=,comm='], capture_output=True, text=True, check=True)
    return [line for line in p.stdout.splitlines() if int(line.split()[0]) == leader]


def wait_for(condition, what, limit=10):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'waited {limit} s for {what}')
        time.sleep(0.005)


def no_process_is_left_when_it_is_killed():
    p = subprocess.Popen([DOPPEL, 'run', '--engine', ENGINE, '--kernel', TINY_NATIVE, '--memory', '32M'], stdout=subprocess.DEVNULL,
                         start_new_session=True)
    wait_for(lambda: len(session(p.pid)) >= 2, 'a process with the guest')
    p.kill()
    p.wait()
    wait_for(lambda: not session(p.pid), 'its end')


def linux_is_refused_in_one_line(linux):
    p = subprocess.run([DOPPEL, 'run', '--engine', ENGINE, '--timeout', '60', '--kernel', linux, '--append', 'x'],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False, text=True)
    expect((p.returncode, p.stderr.count('\n')), (1, 1), p.stderr)
    expect('upper half' in p.stderr and '--engine bt' in p.stderr, True, p.stderr)


def times_fewer(demo):
    """By the traps of the two rows; the demo says the same."""
    native, paravirtual = (int(n) for n in re.findall(r'^direct .*? (\d+) +\d+ +[\d.]+ ms$', demo, re.M))
    expect(f'trapped {native / paravirtual:.1f} times less often' in demo, True, demo)
    return native / paravirtual


def the_demos_show_it():
    p = subprocess.run([DOPPEL, 'demo', 'popf'], stdin=subprocess.DEVNULL, capture_output=True, timeout=200, check=False, text=True)
    print(p.stdout)
    expect((p.returncode, p.stderr), (0, ''), 'as predicted')
    for row in (r'interp +native +0 +off +none +right', r'direct +native +3 +on +came +wrong', r'direct +paravirtual +0 +off +none +right'):
        expect(len(re.findall(row, p.stdout)), 1, row)
    expect(times_fewer(p.stdout) >= FEWER, True, f'{FEWER} times fewer')
    p = subprocess.run([DOPPEL, 'demo', 'tiny'], stdin=subprocess.DEVNULL, capture_output=True, timeout=400, check=False, text=True)
    print(p.stdout)
    expect((p.returncode, p.stderr), (0, ''), 'all is well')
    for row in (r'bt +native +right', r'bt +paravirtual +right', r'interp +native +right', r'direct +native +right', r'direct +paravirtual +right'):
        expect(len(re.findall(row, p.stdout)), 1, row)
    expect(times_fewer(p.stdout) >= FEWER, True, f'{FEWER} times fewer')
    for args in ([], ['x'], ['popf', 'x']):
        p = subprocess.run([DOPPEL, 'demo', *args], stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)
        expect((p.returncode, p.stderr.count('\n')), (2, 1), args)


def the_benchmark_measures_every_operation():
    p = subprocess.run([DOPPEL, 'bench', 'exits'], stdin=subprocess.DEVNULL, capture_output=True, timeout=200, check=False, text=True)
    print(p.stdout)
    expect((p.returncode, p.stderr), (0, ''), 'bench exits')
    table = [line for line in p.stdout.splitlines() if not re.match(r'\w+( does not work here)?: ', line)]
    columns = table[0].split()[4:]
    expect({'host', 'interp', 'direct'} <= set(columns), True, columns)
    rows = {line[:24].strip(): dict(zip(columns, line[24:].split())) for line in table[1:]}
    expect(len(rows), 8, 'rows')
    for name, row in rows.items():
        expect(len(row), len(columns), name)
        if name != 'call and return': # which does not leave the guest
            expect(int(row['direct']) > 0, True, name)
    traps = ('system call', 'in', 'CR8 write', 'page fault', 'divide by zero', 'page-table change')
    for name in traps:  # two context switches of the host are more than any interpretation
        expect(int(rows[name]['direct']) > int(rows[name]['interp']), True, name)
    expect(int(rows['the same, paravirtual']['direct']) < int(rows['page-table change']['direct']), True, 'a batch')


LAWS = [the_tiny_kernel_works_native_and_paravirtual, popf_is_right_or_as_wrong_as_the_theorem_says]
if ENGINE == 'direct':
    LAWS += [a_paravirtual_kernel_traps_a_fifth_as_often, it_runs_in_the_sandbox, no_process_is_left_when_it_is_killed, the_demos_show_it,
             the_benchmark_measures_every_operation]
if ENGINE == 'kvm':
    LAWS += [popf_runs_in_the_sandbox, without_dev_kvm_it_is_one_clear_line]


def main():
    report = json.loads(subprocess.run([DOPPEL, 'doctor', '--json'], capture_output=True, check=True).stdout)
    why = next((e['why'] for e in report['engines'] if e['engine'] == ENGINE and not e['usable']), None)
    if why:
        print(f'skipped: engine {ENGINE} does not work here: {why}')
        sys.exit(77)
    laws = list(LAWS)
    global SYSCALL_IS_WRONG
    SYSCALL_IS_WRONG = 'SYSCALL' in next(e['why'] for e in report['engines'] if e['engine'] == ENGINE and e['arch'] == 'x86-64')
    if ENGINE == 'direct' and report['guests']['x86-64']:
        folder = report['guests']['x86-64']
        laws.append(lambda: linux_is_refused_in_one_line(f'{folder}/vmlinuz'))
        laws[-1].__name__ = 'linux_is_refused_in_one_line'
    failed = 0
    for law in laws:
        begin = time.monotonic()
        try:
            law()
            verdict = 'ok'
        except Exception:  # a law that raises is broken, whatever it raises
            traceback.print_exc(file=sys.stdout)
            verdict = 'FAIL'
            failed += 1
        print(f'{verdict:5} {time.monotonic() - begin:6.1f} s  {law.__name__}', flush=True)
    sys.exit(1 if failed else 0)


main()
