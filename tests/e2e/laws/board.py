# SPDX-License-Identifier: MIT
"""The program and its options, with the small guest tests/guests/board.S."""
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from laws.harness import BOARD, DOPPEL, ENGINE, RUN, board, doctor, expect, expect_in, one_line, run, session, used, wait_for


def each_end_has_its_status_and_at_most_one_line():
    for what, status, text in [('o', 0, b''), ('r', 0, b''), ('8', 0, b''), ('p', 1, b'panic'), ('t', 1, b'triple fault'),
                               ('j', 1, b'b8000000')]:
        got, _, err = board(what)
        expect(got, status, what)
        expect_in(text, err)
        if text:
            one_line(err)
        else:
            expect(err, b'', what)


def the_debug_exit_port_gives_the_status_and_output_is_exact():
    first = board('k')
    expect(first[0] & 1, 1, 'status is odd')
    expect(len(first[1]), 40, 'letters')
    expect(board('k'), first, 'a second run')


def bytes_pass_unchanged_in_a_pipe():
    every = bytes(b for b in range(256) if b != ord('q'))
    expect(board('e', stdin=every + b'q'), (1, every, b''), 'echo')


def bad_usage_exits_2_and_bad_files_1_with_one_line():
    for args in (['--nope'], ['--cpus', '0'], ['--memory', '1'], ['--memory', '1M'], ['--code-cache', '1K'],
                 ['--cpus', '4', '--code-cache', '3M'], ['x'], ['--'], ['--engine', 'steam'],
                 ['--arch', 'vax'], ['--cpu', '8086']):
        status, out, err = run(*args)
        expect((status, out), (2, b''), args)
        one_line(err)
    with tempfile.TemporaryDirectory() as d:
        empty, noise, cut = (os.path.join(d, n) for n in ('empty', 'noise', 'cut'))
        open(empty, 'w').close()
        with open(noise, 'wb') as f:
            f.write(bytes(i * i % 251 for i in range(100000)))
        with open(BOARD, 'rb') as f, open(cut, 'wb') as g:
            g.write(f.read()[:2000])
        for args in (['--kernel', d + '/none'], ['--kernel', empty], ['--kernel', noise], ['--kernel', cut], ['--kernel', d],
                     ['--kernel', '/bin/true'], ['--kernel', BOARD, '--initrd', d + '/none'],
                     ['--kernel', BOARD, '--memory', '900T']):
            status, out, err = run(*args)
            expect((status, out), (1, b''), args)
            one_line(err)
    for args in ([], ['nope'], ['run', '--help', '--nope'], ['doctor', '--nope']):
        p = subprocess.run([DOPPEL, *args], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        expect(p.returncode, 2, args)
        one_line(p.stderr)


def a_signal_or_the_time_limit_ends_any_guest_within_a_second():
    for what in 'fhl':
        for sig in (signal.SIGINT, signal.SIGTERM):
            p = subprocess.Popen([*RUN, '--kernel', BOARD, '--append', what], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_for(lambda: len(os.listdir(f'/proc/{p.pid}/task')) >= 4, 'the threads of a running machine')
            begin = time.monotonic()
            p.send_signal(sig)
            _, err = p.communicate(timeout=10)
            expect(p.returncode, 128 + sig, what)
            one_line(err)
            expect(time.monotonic() - begin < 1.0, True, 'ended within a second')
        begin = time.monotonic()
        status, _, err = run('--kernel', BOARD, '--append', what, '--timeout', '0.5')
        expect(status, 124, what)
        one_line(err)
        expect(time.monotonic() - begin < 1.5, True, 'time limit kept')


def with_reboot_a_reset_restarts_and_a_panic_still_ends():
    status, _, err = run('--reboot', '--kernel', BOARD, '--append', 'r', '--timeout', '0.7')
    expect(status, 124, 'resets for ever')
    one_line(err)
    expect(board('p', '--reboot')[0], 1, 'panic')


def a_halted_guest_uses_no_host_cpu():
    p = subprocess.Popen([*RUN, '--kernel', BOARD, '--append', 'h', '--cpus', '2', '--timeout', '2'],
                         stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(p.pid, 0)
    used = usage.ru_utime + usage.ru_stime
    if used > 0.5:
        raise AssertionError(f'{used:.2f} s of CPU time in 2 s of HLT')


def stats_go_to_stderr_and_count_instructions():
    status, out, err = board('k', '--stats')
    expect(len(out), 40, 'stdout is the guest\'s alone')
    expect(int(re.search(rb'^instructions (\d+)$', err, re.M).group(1)) > 100000, True, 'instructions')
    expect_in(b'engine ' + ENGINE.encode(), err)


def auto_takes_the_first_engine_that_works():
    report = doctor()
    first = next(e['engine'] for e in report['engines'] if e['usable'] and not e['avoid'])
    other = next(e['engine'] for e in report['engines'] if e['usable'] and not e['avoid'] and e['engine'] in ('bt', 'interp'))
    expect(report['auto'], {'riscv64': other, 'x86-64': first}, 'what doctor says')
    for engine in ([], ['--engine', 'auto']):
        err = subprocess.run([DOPPEL, 'run', *engine, '--kernel', BOARD, '--append', 'k', '--stats'], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False).stderr
        expect_in(b'engine ' + first.encode() + b'\n', err)


def the_terminal_is_restored_however_it_ends():
    ready = ('--kernel', BOARD, '--append', 'e')
    # The guest echoes: type something and wait for it, so that the terminal is known to be raw by then.
    def steps(*rest):
        return [(b'', lambda pid: time.sleep(0.5)), (b'', b'z'), (b'z', b'y'), (b'y', rest[0])]
    expect(session(ready, steps(b'q'))[0], 1, 'guest ends')
    expect(session(ready, steps(b'\x01x'))[0], 0, 'Ctrl-A x')
    expect(session(ready, steps(lambda pid: os.kill(pid, signal.SIGTERM)))[0], 143, 'SIGTERM')
    expect(session(ready, steps(lambda pid: os.kill(pid, signal.SIGHUP)))[0], 129, 'SIGHUP')
    expect(session(ready, steps(lambda pid: os.kill(pid, signal.SIGABRT)))[0], -signal.SIGABRT, 'SIGABRT')


def escape_keys_help_and_send_themselves():
    steps = [(b'', lambda pid: time.sleep(0.5)), (b'', b'z'), (b'z', b'\x01h'), (b'Ctrl-A x', b'\x01\x01\x03'),
             (b'\x01\x03', b'q')]
    status, out = session(('--kernel', BOARD, '--append', 'e'), steps)
    expect(status, 1, 'Ctrl-A and Ctrl-C reached the guest')
    expect_in(b'\x01\x03', out)


def file_system(path, files):
    """Makes an ext4 file system with these files; False when there is no mke2fs here."""
    with tempfile.TemporaryDirectory() as tree:
        for name, source in files.items():
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            shutil.copyfile(source, os.path.join(tree, name))
        mke2fs = shutil.which('mke2fs', path=os.environ['PATH'] + ':/sbin:/usr/sbin')
        if mke2fs:
            subprocess.run([mke2fs, '-q', '-t', 'ext4', '-d', tree, path, '8M'], check=True)
        return bool(mke2fs)


def a_disk_brings_its_kernel_along():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'disk')
        if not file_system(path, {'boot/vmlinuz-1': BOARD, 'boot/vmlinuz-0': '/etc/os-release'}):
            print('skipped: no mke2fs')
            return
        before = digest(path)
        for options in ('', ',ro', ',overlay', f',overlay={d}/over'):
            status, _, err = run('--timeout', '20', '--memory', '32M', '--append', 'p', '--disk', path + options)
            expect(status, 1, options)
            expect_in(b'panic', err)
            one_line(err)
        expect(digest(path), before, 'the disk')
        status, out, err = run('--disk', path, '--kernel', '/etc/os-release')  # what the user names counts
        expect((status, out), (1, b''), 'named')
        expect_in(b'/etc/os-release', err)
        with open(path, 'r+b') as f:
            f.seek(1024 + 24)
            f.write(b'\xff' * 4)
        status, out, err = run('--disk', path)
        expect((status, out), (1, b''), 'damaged')
        one_line(err)
        expect_in(b'--kernel', err)


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()
