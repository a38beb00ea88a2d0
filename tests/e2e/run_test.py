#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""End-to-end laws of the doppel program: run_test.py DOPPEL GUEST STRESS SUITE ENGINE PEER, SUITE is `board`, `control`, `linux`,
`disk`, `net`, `share` or `devices`.

`board` and `control` use the small guest tests/guests/board.S; the others the Debian guest that `make guests` fetched (skipped with exit
77 when it is not there), and in it STRESS and PEER, tests/guests/smp_stress.c and vsock_peer.c; `disk` and `net`
use disk_writer and udp_echo beside STRESS, too. Each law is a function; its name is printed with the verdict.
"""
import fcntl
import hashlib
import http.server
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

sys.dont_write_bytecode = True
import disk_kill # pylint: disable=wrong-import-position

DOPPEL, BOARD, STRESS = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
ENGINE, PEER = sys.argv[5], sys.argv[6]
RUN = [DOPPEL, 'run', '--engine', ENGINE] # a later --engine counts
RUNTIME = tempfile.TemporaryDirectory() # pylint: disable=consider-using-with
os.environ['XDG_RUNTIME_DIR'] = RUNTIME.name # our machines are not the user's


def run(*args, stdin=b'', timeout=120, **kwargs):
    """Runs `doppel run ARGS`; returns (status, stdout, stderr)."""
    p = subprocess.run([*RUN, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                       check=False, **kwargs)
    return p.returncode, p.stdout, p.stderr


def board(what, *args, **kwargs):
    return run('--timeout', '20', '--kernel', BOARD, '--memory', '32M', '--append', what, *args, **kwargs)


def guest(script, *args, **kwargs):
    return run('--timeout', '100', *args, '--', 'sh', '-c', script, **kwargs)


def expect(got, want, what=''):
    if got != want:
        raise AssertionError(f'{what}: got {got!r}, want {want!r}')


def expect_in(part, whole):
    if part not in whole:
        raise AssertionError(f'{part!r} is not in {whole!r}')


def one_line(err):
    expect(err.count(b'\n'), 1, 'lines on stderr')
    expect(err.startswith(b'doppel: '), True, f'prefix of {err!r}')


def wait_for(condition, what, limit=20):
    """Polls until the condition holds."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f'waited {limit} s for {what}')
        time.sleep(0.01)


def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


# ---- board ----

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


def doctor():
    return json.loads(subprocess.run([DOPPEL, 'doctor', '--json'], stdout=subprocess.PIPE, check=True).stdout)


def auto_takes_the_first_engine_that_works():
    report = doctor()
    first = next(e['engine'] for e in report['engines'] if e['usable'])
    expect(report['auto'], {'x86-64': first}, 'what doctor says')
    for engine in ([], ['--engine', 'auto']):
        err = subprocess.run([DOPPEL, 'run', *engine, '--kernel', BOARD, '--append', 'k', '--stats'], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False).stderr
        expect_in(b'engine ' + first.encode() + b'\n', err)


def session(args, steps, program=None):
    """Runs `doppel run ARGS`, or program, on a terminal: steps are (text to wait for, bytes to type or function of the pid), each looked for behind the one before.
    Returns status and output."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(slave, fd)
        program = program or [*RUN, '--timeout', '60', *args]
        os.execv(program[0], program)
    out, seen, was_raw, status, end = b'', 0, False, None, time.monotonic() + 70
    while status is None and time.monotonic() < end:
        if select.select([master], [], [], 0.05)[0]:
            out += os.read(master, 4096)
        if steps and steps[0][0] in out[seen:]:
            was_raw = was_raw or termios.tcgetattr(slave) != before
            text, action = steps.pop(0)
            seen = out.index(text, seen) + len(text)
            if callable(action):
                action(pid)
            else:
                os.write(master, action)
        done, code = os.waitpid(pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if done else None
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    while select.select([master], [], [], 0)[0]:
        out += os.read(master, 4096)
    expect(was_raw, True, 'the terminal was raw')
    expect(termios.tcgetattr(slave) == before, True, 'the terminal was restored')
    os.close(master)
    os.close(slave)
    return status, out


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


# ---- control ----

def ctl(*args, stdin=b'', timeout=30):
    p = subprocess.run([DOPPEL, *args], input=stdin, capture_output=True, timeout=timeout, check=False)
    return p.returncode, p.stdout, p.stderr


def machines():
    return {m['name']: m for m in json.loads(ctl('ps', '--json')[1])}


class Machine:
    """A machine in the background; its console is on pipes."""
    def __init__(self, name, what, *args):
        self.name = name
        self.p = subprocess.Popen([*RUN, '--timeout', '60', '--kernel', BOARD, '--append', what, '--name', name, *args],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: name in machines(), f'{name} in ps')

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.p.kill()
        self.p.communicate()


def used(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def ps_lists_what_runs_and_a_pause_stops_it():
    with Machine('one', 'l', '--cpus', '2', '--memory', '64M') as m:
        row = machines()['one']
        expect((row['pid'], row['state'], row['engine'], row['cpus'], row['memory'], row['arch']),
               (m.p.pid, 'running', ENGINE, 2, 64 << 20, 'x86-64'), 'what ps says')
        expect(row['uptime'] > 0, True, 'uptime')
        expect_in(b'one ', ctl('ps')[1])
        expect(ctl('pause', 'one'), (0, b'', b''), 'pause')
        expect(machines()['one']['state'], 'paused', 'state')
        before = used(m.p.pid)
        time.sleep(0.5)
        expect(used(m.p.pid) - before < 0.1, True, 'a paused machine does not run')
        status, _, err = ctl('pause', 'one')
        expect(status, 1, 'twice')
        one_line(err)
        expect(ctl('resume', 'one'), (0, b'', b''), 'resume')
        wait_for(lambda: used(m.p.pid) - before > 0.1, 'it runs again')
        expect(ctl('resume', 'one')[0], 1, 'resume of a running one')
        begin = time.monotonic()
        expect(ctl('stop', '--force', 'one'), (0, b'', b''), 'stop')
        expect(m.p.wait(timeout=5), 0, 'status')
        expect(time.monotonic() - begin < 1.5, True, 'ended at once')
    expect(machines(), {}, 'all gone')


def stop_asks_the_guest_first():
    with Machine('asked', 'b') as m:
        expect(m.p.stdout.read(1), b'b', 'ready')
        expect(ctl('stop', 'asked'), (0, b'', b''), 'stop')
        expect(m.p.communicate(timeout=5), (b'B', b''), 'it powered off by itself')
        expect(m.p.returncode, 0, 'status')
    with Machine('paused', 'b') as m:
        expect(m.p.stdout.read(1), b'b', 'ready')
        expect(ctl('pause', 'paused')[0], 0, 'pause')
        expect(ctl('stop', 'paused')[0], 0, 'stop')
        expect(m.p.communicate(timeout=5)[0], b'B', 'a paused one, too')
    with Machine('deaf', 'l') as m:
        status, out, err = ctl('stop', 'deaf')
        expect((status, out), (0, b''), 'stop')
        expect_in(b'does not listen', err)


def names_are_unique_and_dead_sockets_are_removed():
    folder = os.path.join(RUNTIME.name, 'doppel')
    with Machine('twin', 'h') as m:
        expect(os.stat(folder).st_mode & 0o777, 0o700, 'folder')
        status, _, err = board('k', '--name', 'twin')
        expect(status, 1, 'second of the name')
        one_line(err)
        expect_in(b'twin', err)
        m.p.kill()
        m.p.wait()
        expect(os.listdir(folder), ['twin.sock'], 'what a killed one leaves')
        expect(machines(), {}, 'ps')
        expect(os.listdir(folder), [], 'removed')
    for args in (['pause', 'twin'], ['resume', 'twin'], ['stop', 'twin'], ['console', 'twin']):
        status, _, err = ctl(*args)
        expect(status, 1, args)
        one_line(err)
    for args in (['pause'], ['stop', 'a', 'b'], ['ps', 'x'], ['stop', 'a', '--grace', 'x'], ['console', '--x'], ['run', '--name', 'a/b']):
        status, _, err = ctl(*args)
        expect(status, 2, args)
        one_line(err)
    expect(board('k')[2], b'', 'a run without a name is quiet')
    expect(os.listdir(folder), [], 'nothing is left')
    os.chmod(folder, 0o755)
    status, _, err = ctl('ps')
    expect(status, 1, 'a folder that is open to others')
    one_line(err)
    os.chmod(folder, 0o700)


def the_console_can_be_attached_to():
    with Machine('echo', 'e') as m:
        m.p.stdin.write(b'x')
        m.p.stdin.flush()
        expect(m.p.stdout.read(1), b'x', 'echo in its own pipe')
        status, out = session((), [(b'h helps', b'abc'), (b'abc', b'\x01h'), (b'send Ctrl-A', b'd\x01x')], [DOPPEL, 'console', 'echo'])
        expect(status, 0, out)
        expect_in(b'runs on', out)
        expect(m.p.stdout.read(4), b'abcd', 'the pipe sees it, too')
        status, out, err = ctl('console', 'echo', stdin=b'yesq') # q ends the guest
        expect((status, err), (0, b''), 'console from a pipe')
        expect_in(b'yes', out)
        expect(m.p.wait(timeout=5), 1, 'status of the guest')


def the_monitor_on_the_terminal_performs_actions():
    steps = [(b'', lambda pid: time.sleep(0.5)), (b'', b'z'), (b'z', b'\x01cinfo\r'), (b'running', b'pause\r'),
             (b'paused\r\n(doppel) ', lambda pid: expect(list(machines().values())[0]['state'], 'paused', 'ps')), (b'', b'resume\r'),
             (b'running\r\n(doppel) ', b'back\r'), (b'back\r\n', b'w'), (b'w', b'\x01cstop\r')]
    status, out = session(('--kernel', BOARD, '--append', 'e'), steps)
    expect(status, 0, out)


def the_console_goes_where_serial_says():
    with tempfile.TemporaryDirectory() as d:
        log, sock = os.path.join(d, 'log'), os.path.join(d, 'sock')
        with open(log, 'wb') as f:
            f.write(b'before')
        want = board('k')[1]
        status, out, err = board('k', '--serial', log)
        expect((status & 1, out, err), (1, b'', b''), 'file')
        with open(log, 'rb') as f:
            expect(f.read(), b'before' + want, 'appended')
        expect(board('k', '--serial', 'none')[1:], (b'', b''), 'none')
        expect(board('k', '--serial', 'stdio')[1], want, 'stdio')
        for args in (['--serial', ''], ['--serial', 'unix:'], ['--serial', 'stdio', '--', 'true']):
            status, _, err = run(*args)
            expect(status, 2, args)
            one_line(err)
        for args in (['--serial', d], ['--serial', 'unix:' + d], ['--serial', 'unix:' + log], ['--serial', 'unix:' + d + '/no/x']):
            status, _, err = board('k', *args)
            expect(status, 1, args)
            one_line(err)
        for _ in range(2): # the second finds what the first left
            with Machine('sock', 'e', '--serial', 'unix:' + sock) as m:
                for text in (b'hello', b'again', b'q'):
                    with socket.socket(socket.AF_UNIX) as s:
                        s.settimeout(10)
                        s.connect(sock)
                        s.sendall(text)
                        got = b''
                        while text != b'q' and len(got) < len(text):
                            got += s.recv(100)
                        expect(got, text if text != b'q' else b'', 'echo')
                        if text == b'q':
                            expect(m.p.wait(timeout=5), 1, 'status')
        with Machine('pty', 'e', '--serial', 'pty') as m:
            path = m.p.stderr.readline().split()[-1].decode()
            for text in (b'hello', b'again'):
                fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
                os.write(fd, text)
                got = b''
                while len(got) < len(text):
                    expect(bool(select.select([fd], [], [], 10)[0]), True, 'echo comes')
                    got += os.read(fd, 100)
                expect(got, text, 'echo')
                os.close(fd)
            expect(ctl('console', 'pty', stdin=b'q')[0], 0, 'console of a machine on a pty')
            expect(m.p.wait(timeout=5), 1, 'status')


def a_machine_runs_sandboxed_and_says_so():
    host = doctor()['host']
    if not host['seccomp']['ok']:
        return print('skipped: no seccomp filters here')
    want = board('k', '--sandbox', 'off')
    for how in ('on', 'auto'):
        expect(board('k', '--sandbox', how), want, how)
    expect(board('k', '--sandbox', 'x')[0], 2, 'bad word')
    expect(run('--reboot', '--sandbox', 'on', '--kernel', BOARD, '--append', 'r', '--timeout', '0.7')[0], 124, 'restarts open no file')
    for how, mode in (('on', '2'), ('off', '0')):
        with Machine('box', 'l', '--sandbox', how, '--cpus', '2') as m:
            tasks = os.listdir(f'/proc/{m.p.pid}/task')
            for task in tasks:
                with open(f'/proc/{m.p.pid}/task/{task}/status', encoding='ascii') as f:
                    expect(re.search(r'^Seccomp:\s+(\d)', f.read(), re.M).group(1), mode, f'thread {task}, {how}')
            expect(len(tasks) >= 5, True, 'all threads are there')
            expect(ctl('stop', '--force', 'box')[0], 0, 'stop')
            expect(m.p.wait(timeout=5), 0, 'status')
    expect(host['landlock']['ok'] and os.listdir(os.path.join(RUNTIME.name, 'doppel')) or [], [], 'the socket was removed')
    return None


# ---- linux ----

def the_commands_output_and_status_are_the_programs():
    status, out, err = guest('uname -s; echo oops >&2; exit 7')
    expect((status, out, err), (7, b'Linux\n', b'oops\n'), 'run')


def stdin_reaches_the_command_whole():
    data = bytes(range(256)) * 1000
    expect(guest('cat', stdin=data), (0, data, b''), 'cat')


def kernels():
    """--kernel options for the flavours that were fetched; without one it is the cloud kernel's."""
    generic = os.path.join(os.path.dirname(DOPPEL), '..', '..', '..', 'guests', 'x86-64', 'generic', 'vmlinuz')
    return [[]] + ([['--kernel', generic]] if os.path.exists(generic) else [])


def the_kernel_finds_nothing_to_complain_about():
    sizes = ([], ['--cpus', '2', '--memory', '4G'], ['--cpus', '2', '--memory', '128M'])
    for args in [kernel + size for kernel in kernels() for size in sizes]:
        cpus = args[args.index('--cpus') + 1] if '--cpus' in args else '1'
        status, out, err = guest('nproc; dmesg -r', *args)
        expect((status, err), (0, b''), args)
        lines = out.decode(errors='replace').splitlines()
        expect(lines[0], cpus, 'CPUs online')
        bad = [l for l in lines[1:] if re.match(r'<[0-4]>', l) or
               re.search(r'WARNING|BUG:|Call Trace|unstable|lockup|firmware bug|hung task', l, re.I)]
        if os.getloadavg()[0] > os.cpu_count():  # time the host gave to others in a timer's handler: true, and not our doing
            bad = [l for l in bad if 'hrtimer: interrupt took' not in l]
        expect(bad, [], args)


def threads_on_several_cpus_find_what_cpus_owe_them():
    with open(STRESS, 'rb') as f:
        program = f.read()
    for cpus in ('2', '4'):
        status, out, err = guest('cat > /tmp/stress; chmod +x /tmp/stress; /tmp/stress', '--cpus', cpus, stdin=program)
        expect((status, err), (0, b''), out.decode(errors='replace'))
        expect(out.count(b'ok '), 8, 'laws')


def a_small_code_cache_costs_time_only():
    for args in (['--code-cache', '2M'], ['--code-cache', '8M', '--cpus', '2']):
        status, out, err = guest('seq 1 3000 | md5sum; for i in 1 2 3 4 5 6 7 8; do echo $i | sed s/$/x/; done | sha1sum', *args)
        expect((status, err), (0, b''), args)
        expect(out, b'ee9762749fc5338b6c9b0948d14219c7  -\n0fe4f5f1e9bdc96c8c2006459125a19a73384ef1  -\n', args)


def a_panic_shows_the_console_and_exits_1():
    status, out, err = guest('echo c > /proc/sysrq-trigger')
    expect((status, out), (1, b''), 'panic')
    expect_in(b'Kernel panic - not syncing', err)
    expect_in(b'Call Trace', err)


def power_off_and_reset_before_the_command_ends_are_failures():
    for how in ('poweroff -f', 'reboot -f'):
        status, _, err = guest(how)
        expect(status, 1, how)
        expect_in(b'before the command ended', err)


def a_command_whose_reader_left_ends():
    p = subprocess.Popen([*RUN, '--timeout', '100', '--', 'yes'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    expect(p.stdout.read(2), b'y\n', 'yes')
    p.stdout.close()
    expect(p.wait(timeout=60), 141, 'as by SIGPIPE')


def an_idle_linux_uses_little_host_cpu():
    p = subprocess.Popen([*RUN, '--timeout', '100', '--', 'sh', '-c', 'echo; sleep 5'], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    p.stdout.read(1)
    before = cpu_seconds(p.pid)
    time.sleep(4)
    took = cpu_seconds(p.pid) - before
    p.wait()
    if took > 1.0:
        raise AssertionError(f'{took:.2f} s of CPU time in 4 s of sleep')


def a_signal_ends_a_busy_guest_within_a_second():
    p = subprocess.Popen([*RUN, '--timeout', '100', '--cpus', '2', '--', 'sh', '-c', 'while :; do :; done & echo; while :; do :; done'],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.read(1)
    time.sleep(0.3)
    begin = time.monotonic()
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=10)
    expect(p.returncode, 128 + signal.SIGTERM, 'status')
    one_line(err)
    expect(time.monotonic() - begin < 1.0, True, 'ended within a second')


def stats_say_what_bt_did_and_where_time_went():
    status, _, err = guest('i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done', '--stats')
    expect(status, 0, 'run')
    values = {k: float(v) for k, v in re.findall(r'^(\w+) ([\d.]+)$', err.decode(), re.M)}
    for name in ('blocks_translated', 'traces', 'insns_translated', 'insns_executed', 'tlb_hits_read', 'tlb_hits_write', 'tlb_misses',
                 'callouts', 'exits_next', 'exits_link', 'exits_bail', 'kills', 'code_bytes'):
        expect(values['bt_' + name] > 0, True, name)
    expect(values['bt_insns_executed'] > 0.9 * values['instructions'], True, 'most instructions are executed by translated code')
    parts = sum(v for k, v in values.items() if k.startswith('bt_seconds_'))
    expect(0.8 * values['seconds'] < parts < 1.1 * values['seconds'], True, f'{parts} s of {values["seconds"]} s')


def traced_code_names_guest_and_host_instructions():
    with tempfile.TemporaryDirectory() as d:
        status, out, err = guest('echo x', f'--trace-code={d}/code')
        expect((status, out, err), (0, b'x\n', b''), 'run')
        with open(d + '/code/cpu0.lst', encoding='ascii') as f:
            listing = f.read()
        with open(d + '/code/cpu0.hot', encoding='ascii') as f:
            hot = f.readlines()
    blocks = re.findall(r'^#(\d+) guest \S+ 0x[0-9a-f]+ ram 0x[0-9a-f]+ cpl [03]: (\d+) instructions', listing, re.M)
    expect([int(b[0]) for b in blocks], list(range(len(blocks))), 'numbers of blocks')
    guest_insns = re.findall(r'^    0x[0-9a-f]+  [a-z]', listing, re.M)
    expect(len(guest_insns), sum(int(b[1]) for b in blocks), 'guest instructions')
    expect(len(re.findall(r'^ {8}0x[0-9a-f]+  [0-9a-f]+[ +]+ [a-z]', listing, re.M)) > 5 * len(guest_insns), True, 'host code')
    expect('(bad)' in listing, False, 'host code that Zydis does not know')
    expect(len(hot), 1002, 'lines about hot blocks')
    status, _, err = guest('true', '--trace-code', '--engine', 'interp')
    expect(status, 1, 'interp')
    one_line(err)


def a_shell_on_a_terminal_works():
    status, out = session((), [(b'/ # ', b'echo a$((40 + 2))b\r'), (b'a42b', b'exit\r')])
    expect(status, 0, 'exit of the shell powers off')
    expect_in(b'a42b', out)


# ---- disk ----

def disk(folder, size=4 << 20):
    """Makes a disk of random bytes; returns its path and hash."""
    path = os.path.join(folder, 'disk')
    data = os.urandom(size)
    with open(path, 'wb') as f:
        f.write(data)
    return path, hashlib.sha256(data).hexdigest()


def hash_of(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def random_bytes_come_from_the_host():
    # init loads no module for the generator alone
    script = ('sed "s/[^ ]* //" /lib/doppel/modules | while read m; do insmod $m 2>/dev/null; done; '
              'cat /sys/class/misc/hw_random/rng_current; head -c 64 /dev/hwrng | sha256sum')
    first, second = guest(script), guest(script)
    expect_in(b'virtio_rng', first[1])
    expect(first[0], 0, first[2])
    expect(first[1] != second[1], True, 'other bytes in another run')


def guests_read_and_write_a_disk():
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        status, out, err = guest('sha256sum </dev/vda; head -c 100000 /dev/urandom >/tmp/x; sha256sum </tmp/x; '
                                 'dd if=/tmp/x of=/dev/vda bs=1000 seek=1111 conv=fsync 2>/dev/null', '--disk', path, '--cpus', '2')
        expect((status, err), (0, b''), out)
        before, piece = (l.split()[0].decode() for l in out.splitlines())
        expect(before, old, 'what the guest read')
        with open(path, 'rb') as f:
            f.seek(1111 * 1000)
            expect(hashlib.sha256(f.read(100000)).hexdigest(), piece, 'what the guest wrote')


def a_disk_works_in_a_sandbox():
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        for more in ('', ',overlay'): # io_uring, and threads
            status, out, err = guest('sha256sum </dev/vda; head -c 100000 /dev/urandom | dd of=/dev/vda bs=1000 seek=99 conv=fsync 2>/dev/null; '
                                     'sync; nproc', '--sandbox', 'on', '--cpus', '2', '--disk', path + more)
            expect((status, err), (0, b''), out)
            expect((out.split()[0].decode(), out.split()[-1]), (old, b'2'), 'what the guest read')
            old = hash_of(path)


def a_file_system_outlives_the_machine_that_made_it():
    with tempfile.TemporaryDirectory() as d:
        path, _ = disk(d, 16 << 20)
        status, out, err = guest('mke2fs /dev/vda >/dev/null && mount /dev/vda /mnt && head -c 3000000 /dev/urandom >/mnt/x && '
                                 'sha256sum </mnt/x && umount /mnt', '--disk', path)
        expect(status, 0, err)
        expect(guest('mount -o ro /dev/vda /mnt && sha256sum </mnt/x', '--disk', path + ',ro')[:2], (0, out), 'in another machine')


def a_read_only_disk_is_not_written():
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        os.chmod(path, 0o444)
        status, _, err = guest('cat /sys/block/vda/ro >&2; dd if=/dev/zero of=/dev/vda bs=4096 count=1 conv=fsync', '--disk', path + ',ro')
        expect(status, 1, err)
        expect_in(b'1\n', err)
        expect(hash_of(path), old, 'the file')


def an_overlay_leaves_the_disk_alone():
    write = 'dd if=/dev/zero of=/dev/vda bs=3000 seek=5 count=20 conv=fsync 2>/dev/null; sha256sum </dev/vda'
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        over = os.path.join(d, 'over')
        status, new, err = guest(write, '--disk', path + ',overlay')
        expect((status, err), (0, b''), 'forgotten overlay')
        expect(new.split()[0].decode() != old, True, 'the guest sees what it wrote')
        expect(guest('sha256sum </dev/vda', '--disk', path + ',overlay')[1].split()[0].decode(), old, 'it was forgotten')
        expect(guest(write, '--disk', f'{path},overlay={over}')[:2], (0, new), 'kept overlay')
        expect(guest('sha256sum </dev/vda', '--disk', f'{path},overlay={over}')[:2], (0, new), 'it was kept')
        expect(hash_of(path), old, 'the file')
        expect(os.stat(over).st_blocks * 512 < 1 << 20, True, 'the overlay is sparse')


def interrupts_work_without_msi():
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        status, out, err = guest('sha256sum </dev/vda; grep -c MSI /proc/interrupts; grep virtio /proc/interrupts', '--append', 'pci=nomsi',
                                 '--disk', path)
        expect((status, err), (0, b''), out)
        lines = out.decode().splitlines()
        expect((lines[0].split()[0], lines[1]), (old, '0'), 'hash, and lines of MSI')
        expect_in('fasteoi', lines[2])


def a_restarted_machine_has_its_disk_again():
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        status, out = session(('--reboot', '--disk', path), [(b'/ # ', b'cat /dev/vda >/dev/null & reboot -f\r'),
                                                            (b'/ # ', b'sha256sum /dev/vda\r'), (old.encode(), b'poweroff -f\r')])
        expect(status, 0, out)


def sixteen_disks_are_possible():
    with tempfile.TemporaryDirectory() as d:
        path, _ = disk(d, 4096)
        status, out, err = guest('ls /dev/vd? | wc -l', *(['--disk', path + ',overlay'] * 16))
        expect((status, out, err), (0, b'16\n', b''), 'disks')


def bad_disks_are_refused_in_one_line():
    with tempfile.TemporaryDirectory() as d:
        path, _ = disk(d)
        odd, empty = os.path.join(d, 'odd'), os.path.join(d, 'empty')
        for name, size in ((odd, 1000), (empty, 0)):
            with open(name, 'wb') as f:
                f.truncate(size)
        for what, want, why in ((d, 1, b'directory'), (d + '/none', 1, b'No such file'), (d + '/' + 255 * 'n', 1, b'No such file'), (odd, 1, b'1000 bytes'),
                                (empty, 1, b'empty'), ('/dev/null', 1, b'neither'), (f'{path},overlay={odd}', 1, b'no overlay'),
                                (f'{path},overlay={d}', 1, b'directory'), (f'{path},overlay={path}', 2, b'own overlay'),
                                (DOPPEL.replace(',', ',,'), 1, b'use ,ro or ,overlay?'), # a program that runs is not to be written
                                (path + ',nope', 2, b'nope'), (path + ',ro,overlay', 2, b''), (',ro', 2, b'no name')):
            status, out, err = guest('true', '--disk', what)
            expect((status, out), (want, b''), what)
            one_line(err)
            expect_in(why, err)


# Fills a disk from 8 MiB on, between reports of what its first 4 MiB are; at the end there is an error, and these are as they were flushed.
FILL = ('head -c 4194304 /dev/urandom >/tmp/a; dd if=/tmp/a of=/dev/vda bs=1M conv=fsync 2>/dev/null; echo $?; sha256sum </tmp/a; '
        'tr "\\0" x </dev/zero | head -c 31457280 >/tmp/b; dd if=/tmp/b of=/dev/vda bs=1M seek=8 conv=fsync 2>&1 | grep -c "Input/output error"; '
        'echo 3 >/proc/sys/vm/drop_caches; head -c 4194304 /dev/vda | sha256sum; '
        'dd if=/tmp/b of=/dev/vda bs=4k count=9 conv=notrunc,fsync 2>/dev/null; echo $?; head -c 36864 /dev/vda | tr -d x | wc -c')


def expect_filled(out, what):
    lines = [l.split()[0] for l in out.splitlines()]
    expect(lines, [b'0', lines[1], b'1', lines[1], b'0', b'0'], what)


def a_full_host_is_an_io_error_and_nothing_is_lost():
    small = ['unshare', '--mount', '--map-root-user', 'sh', '-c', 'mount -t tmpfs -o size=24M none "$0" && cd "$0" && truncate -s 64M d && "$@"']
    with tempfile.TemporaryDirectory() as d:
        if subprocess.run([*small, d, 'true'], stderr=subprocess.DEVNULL, check=False).returncode:
            print('skipped: no mount in a user namespace')
            return
        for disk_ in ('d', 'd,overlay=o', 'd,overlay'):
            first = [*small, d, *RUN, '--timeout', '100', '--disk', disk_, '--', 'sh', '-c', FILL]
            p = subprocess.run(first, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False, env=dict(os.environ, TMPDIR=d))
            expect((p.returncode, p.stderr), (0, b''), disk_)
            expect_filled(p.stdout, disk_)


def a_limit_of_file_sizes_is_an_io_error_of_the_guest():
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20)) # more than code memory has
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'disk')
        with open(path, 'wb') as f:
            f.truncate(128 << 20)
        status, out, err = guest('dd if=/dev/zero of=/dev/vda bs=1M seek=80 count=4 conv=fsync 2>&1 | grep -c "Input/output error"; '
                                 'dd if=/dev/zero of=/dev/vda bs=1M seek=40 count=4 conv=fsync 2>/dev/null; echo $?', '--disk', path, '--code-cache', '8M', preexec_fn=limit)
        expect((status, out, err), (0, b'1\n0\n', b''), 'beyond the limit, and below it')
        status, _, err = guest('true', '--disk', f'{path},overlay={d}/over', preexec_fn=limit)
        expect(status, 1, err)
        one_line(err)
        expect_in(b'File too large', err)


def what_was_said_to_be_safe_outlives_a_kill():
    if not disk_kill.have_tools():
        print('skipped: no mke2fs, e2fsck or debugfs')
        return
    writer = os.path.join(os.path.dirname(STRESS), 'disk_writer')
    with tempfile.TemporaryDirectory() as d:
        for kind, block in (('raw', 1024), ('overlay', 4096)):
            under_test = disk_kill.Disk(d, kind, 48, block)
            reports = disk_kill.run_kills(lambda *cycle: disk_kill.Cycle([*RUN, '--timeout', '60', '--cpus', '2'], cycle[0], writer, *cycle[1:]), run,
                                          under_test, 2, time.time_ns(), (0.1, 1.0), lambda text: print(text, flush=True))
            expect(reports.count > 10, True, 'records')
            last = max(reports.slots, key=reports.slots.get)
            reports.slots[last] += 1
            try: # it would notice
                disk_kill.check(under_test.path + '.copy', reports)
                raise AssertionError('a record that was never written was found')
            except disk_kill.Lost as e:
                expect_in('is not', str(e))


# ---- net ----

class Server(http.server.ThreadingHTTPServer):
    """An HTTP server on the host: /N gives N bytes of `data`, POST answers with the hash of what it got."""

    def __init__(self, address='127.0.0.1', size=3000000):
        self.data = os.urandom(size)
        super().__init__((address, 0), Handler)
        self.port = self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def sha256(self, size):
        return hashlib.sha256(self.data[:size]).hexdigest().encode()


class Server6(Server):
    address_family = socket.AF_INET6

    def __init__(self):
        super().__init__('::1')


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(self.server.data[:int(self.path[1:])])

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.answer(hashlib.sha256(body).hexdigest().encode() + b'\n')

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def a_machine_has_no_network_unless_asked_for():
    expect(guest('ls /sys/class/net; test -e /etc/resolv.conf'), (1, b'lo\n', b''), 'without --net')
    expect(guest('ls /sys/class/net', '--net', 'none'), (0, b'lo\n', b''), 'none')


def the_guest_reaches_the_hosts_loopback_through_the_gateway():
    with Server() as server:
        begin = time.monotonic()
        status, out, err = guest(f'wget -q -O- http://10.0.2.2:{server.port}/5 && wget -q -O- http://10.0.2.2:{server.port}/3000000 | sha256sum',
                                 '--net', 'user')
        expect((status, err), (0, b''), out)
        expect(out[:5], server.data[:5], 'few bytes')
        expect(out[5:].split()[0], server.sha256(3000000), 'many bytes')
        if ENGINE == 'bt' and time.monotonic() - begin > 30:
            raise AssertionError('it took more than 30 s')


def transfers_do_not_stand_still():
    # each is done in a fraction of a second, unless two ends wait for each other: TCP then goes on after 5 s
    with Server() as server:
        script = ('for i in $(seq 30); do begin=$(date +%s); ' f'wget -q -O- http://10.0.2.2:{server.port}/3000000 | sha256sum >/dev/null; '
                  'end=$(date +%s); [ $((end - begin)) -lt 4 ] || echo slow; done')
        expect(guest(script, '--net', 'user'), (0, b'', b''), 'transfers')


def what_the_guest_sends_arrives_whole():
    with Server() as server:
        script = (f'wget -q -O /tmp/x http://10.0.2.2:{server.port}/1000000; '
                  '{ printf "POST / HTTP/1.0\\r\\nContent-Length: 1000000\\r\\n\\r\\n"; cat /tmp/x; sleep 1; } | '
                  f'nc 10.0.2.2 {server.port} | tail -n 1')
        expect(guest(script, '--net', 'user'), (0, server.sha256(1000000) + b'\n', b''), 'post')


def dhcp_and_the_gateway_answer():
    status, out, err = guest('ping -c 1 10.0.2.2 >&2; ip addr flush dev eth0; rm /etc/resolv.conf; udhcpc -i eth0 -n -q 2>/dev/null; '
                             'ip -4 addr show eth0; ip route; cat /etc/resolv.conf /sys/class/net/eth0/address',
                             '--net', 'user,mac=02:00:00:aa:bb:cc')
    expect(status, 0, err)
    expect_in(b'1 packets received', err)
    for part in (b'inet 10.0.2.15/24', b'default via 10.0.2.2', b'nameserver 10.0.2.3', b'02:00:00:aa:bb:cc'):
        expect_in(part, out)


def a_restricted_guest_reaches_nothing():
    with Server() as server:
        status, out, _ = guest(f'wget -q -T 5 -O- http://10.0.2.2:{server.port}/5', '--net', 'user,restrict')
        expect((status != 0, out), (True, b''), 'restrict')


def fetch(port):
    with socket.create_connection(('127.0.0.1', port), timeout=20) as s:
        s.sendall(b'GET /x HTTP/1.0\r\n\r\n')
        return b''.join(iter(lambda: s.recv(4096), b''))


def ports_of_the_host_lead_into_the_guest():
    ports = free_port(), free_port()
    script = 'mkdir /tmp/www; echo from the guest >/tmp/www/x; httpd -p 80 -h /tmp/www; echo ready; read x; true'
    forwards = f'hostfwd=tcp:{ports[0]}:80,hostfwd=tcp:127.0.0.1:{ports[1]}:80'
    with subprocess.Popen([*RUN, '--timeout', '100', '--net', 'user,' + forwards, '--', 'sh', '-c', script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as p:
        expect(p.stdout.readline(), b'ready\n', 'guest')
        for port in ports:
            expect_in(b'from the guest\n', fetch(port))
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(fetch(ports[0]))) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect(sum(b'from the guest\n' in a for a in answers), 8, 'connections at once')
        p.stdin.close()
        expect(p.wait(timeout=60), 0, 'end')


def datagrams_of_any_size_pass_through_a_forwarded_port():
    with open(os.path.join(os.path.dirname(STRESS), 'udp_echo'), 'rb') as f:
        program = f.read()
    port = free_port()
    sizes = (1, 0, 100, 1472, 1473, 9000, 16000, 2)
    script = f'head -c {len(program)} >/tmp/echo; chmod +x /tmp/echo; /tmp/echo 5353 {len(sizes)}'
    with subprocess.Popen([*RUN, '--timeout', '100', '--net', f'user,hostfwd=udp:{port}:5353', '--', 'sh', '-c', script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as p, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        p.stdin.write(program)
        p.stdin.close()
        expect(p.stdout.readline(), b'ready\n', 'guest')
        s.connect(('127.0.0.1', port))
        s.settimeout(20)
        for size in sizes:
            data = os.urandom(size)
            s.send(data)
            expect(s.recv(65536), bytes((b + 1) & 255 for b in data), f'{size} bytes')
        expect(p.wait(timeout=60), 0, 'end')


def the_guest_has_ipv6_and_can_do_without():
    wait = 'for i in $(seq 100); do ip -6 route | grep -q ^default && break; sleep 0.1; done; '
    try:
        server = Server6()
    except OSError:
        print('  (left out: the host has no ::1)')
        return
    with server:
        script = wait + f'ip -6 addr show eth0; wget -q -O- "http://[fec0::2]:{server.port}/3000000" | sha256sum'
        status, out, err = guest(script, '--net', 'user')
        expect((status, err), (0, b''), out)
        expect_in(b'inet6 fec0::', out)
        expect(out.split()[-2], server.sha256(3000000), 'bytes')
    status, out, _ = guest('sleep 3; ip -6 addr show eth0; ip -6 route', '--net', 'user,ipv6=off')
    expect((status, b'fec0:' in out, b'default' in out), (0, False, False), out)


def questions_without_a_name_server_are_told_of_once():
    if os.path.exists('/etc/resolv.conf'):
        print('  (left out: the host has a name server)')
        return
    script = 'for i in 1 2; do nslookup nowhere.invalid >/dev/null; done; ping -c 1 10.0.2.2'
    status, out, err = guest(script, '--net', 'user')
    expect(status, 0, out)
    one_line(err)
    expect_in(b'/etc/resolv.conf', err)


def an_idle_network_uses_little_host_cpu():
    p = subprocess.Popen([*RUN, '--timeout', '100', '--net', 'user', '--', 'sh', '-c', 'echo; sleep 5'], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    p.stdout.read(1)
    before = cpu_seconds(p.pid)
    time.sleep(4)
    took = cpu_seconds(p.pid) - before
    p.wait()
    if took > 1.0:
        raise AssertionError(f'{took:.2f} s of CPU time in 4 s of sleep')


def a_restarted_machine_has_its_network_again():
    with Server() as server:
        url = f'http://10.0.2.2:{server.port}/1000'
        steps = [(b'/ # ', f'wget -q -O /tmp/x {url} && reboot -f\r'.encode()),
                 (b'/ # ', f'wget -q -O- {url} | sha256sum\r'.encode()), (server.sha256(1000), b'poweroff -f\r')]
        status, out = session(('--reboot', '--net', 'user'), steps)
        expect(status, 0, out)


def an_interface_of_the_host_is_a_network():
    name = f'dpt{os.getpid()}'[:15]
    try:
        for command in (f'tuntap add dev {name} mode tap', f'addr add 10.213.7.1/24 dev {name}', f'link set {name} up'):
            subprocess.run(['ip', *command.split()], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print('  (left out: no interface can be made here)')
        return
    try:
        with Server('10.213.7.1') as server:
            url = f'http://10.213.7.1:{server.port}'
            script = (f'ip addr add 10.213.7.2/24 dev eth0; wget -q -O /tmp/x {url}/3000000; sha256sum </tmp/x; '
                      '{ printf "POST / HTTP/1.0\\r\\nContent-Length: 3000000\\r\\n\\r\\n"; cat /tmp/x; sleep 1; } | '
                      f'nc 10.213.7.1 {server.port} | tail -n 1')
            status, out, err = guest(script, '--net', f'tap={name}')
            expect((status, err), (0, b''), out)
            expect([l.split()[0] for l in out.splitlines()], [server.sha256(3000000)] * 2, 'there and back')
    finally:
        subprocess.run(['ip', 'link', 'del', name], check=False, capture_output=True)


def bad_networks_are_refused_in_one_line():
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        for what, want in ((f'user,hostfwd=tcp:{port}:80', 1), ('tap=doppel-nope', 1), ('tap=lo', 1), ('user,hostfwd=tcp:203.0.113.1:80:80', 1),
                           ('user,nope', 2), ('nope', 2), ('', 2), ('user,hostfwd=tcp:80', 2), ('user,hostfwd=tcp:70000:80', 2),
                           ('tap=', 2), ('tap=x,restrict', 2), ('user,mac=1', 2), ('none,mac=02:00:00:00:00:01', 2)):
            status, out, err = guest('true', '--net', what)
            expect((status, out), (want, b''), what)
            one_line(err)


# ---- share ----

def share(folder):
    """Makes folder/share and beside it folder/outside with a secret; returns both, as the host knows them."""
    paths = [os.path.realpath(os.path.join(folder, n)) for n in ('share', 'outside')]
    for p in paths:
        os.mkdir(p)
    with open(os.path.join(paths[1], 'secret'), 'w', encoding='ascii') as f:
        f.write('secret\n')
    return paths


def a_share_is_at_the_same_place_and_so_is_the_command():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        below = os.path.join(path, 'a', 'b')
        os.makedirs(below)
        expect(guest('pwd', '--share', path, cwd=below)[:2], (0, below.encode() + b'\n'), 'in the share')
        expect(guest('pwd', '--share', '..', cwd=below)[:2], (0, below.encode() + b'\n'), 'by a relative name')
        expect(guest('pwd', '--share', below, cwd=path)[:2], (0, b'/\n'), 'above the share')


def files_of_a_share_are_written_renamed_and_run():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        with open(os.path.join(path, 'in'), 'w', encoding='ascii') as f:
            f.write('from the host\n')
        script = ('cat in; mkdir x; echo data >x/a; mv x/a b; echo more >>b; ln -s b l; ln b h; cat l; printf "#!/bin/sh\nexit 9\n" >run; '
                  'chmod +x run; chown 0:0 b; for i in $(seq 300); do echo $i >x/$i; done; ls x | wc -l; rm -r x; ./run')
        status, out, err = guest(script, '--share', path, '--cpus', '2', cwd=path)
        expect((status, out, err), (9, b'from the host\ndata\nmore\n300\n', b''), 'the guest')
        expect(sorted(os.listdir(path)), ['b', 'h', 'in', 'l', 'run'], 'the folder')
        st = os.stat(os.path.join(path, 'b'))
        expect((st.st_uid, st.st_nlink, st.st_mode & 0o777), (os.geteuid(), 2, 0o644), 'what the guest made')


def a_big_file_arrives_whole_in_both_directions():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        data = os.urandom(50_000_003)
        with open(os.path.join(path, 'big'), 'wb') as f:
            f.write(data)
        status, out, err = guest('cp big copy; sha256sum <copy', '--share', path, cwd=path)
        expect((status, err), (0, b''), out)
        expect(out.split()[0].decode(), hashlib.sha256(data).hexdigest(), 'what the guest read')
        expect(hash_of(os.path.join(path, 'copy')), hashlib.sha256(data).hexdigest(), 'what the guest wrote')


def a_read_only_share_is_not_changed():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        with open(os.path.join(path, 'f'), 'w', encoding='ascii') as f:
            f.write('old\n')
        script = f'cat f; echo new >f; touch g; mount -o remount,rw {path}; echo new >f; rm f; mkdir g; mv f g; :'
        status, out, err = guest(script, '--share', path + ',ro', cwd=path)
        expect((status, out), (0, b'old\n'), err)
        expect(err.count(b'Read-only'), 6, err)
        expect(os.listdir(path), ['f'], 'the folder')


def links_are_followed_in_the_guest_only():
    with tempfile.TemporaryDirectory() as d:
        path, outside = share(d)
        os.symlink(outside, os.path.join(path, 'folder'))
        os.symlink(os.path.join(outside, 'secret'), os.path.join(path, 'file'))
        status, out, err = guest('readlink file; cat file folder/secret ../outside/secret; echo x >file; echo x >folder/new; :',
                                 '--share', path, cwd=path)
        expect((status, out), (0, os.path.join(outside, 'secret').encode() + b'\n'), err)
        expect(err.count(b'\n'), 5, err)
        expect(os.listdir(outside), ['secret'], 'the folder outside')


def shares_have_tags_and_lie_in_each_other():
    with tempfile.TemporaryDirectory() as d:
        path, outside = share(d)
        inner = os.path.join(path, 'inner')
        os.mkdir(inner)
        script = f'mkdir /m; mount -t virtiofs out /m; cat /m/secret; touch {inner}/a; touch b'
        status, out, err = guest(script, '--share', inner + ':in', '--share', path + ',ro', '--share', outside + ':out', cwd=path)
        expect((status, out), (1, b'secret\n'), err)
        expect_in(b'b: Read-only', err)
        expect(os.listdir(inner), ['a'], 'the inner share')


def bad_shares_are_refused_in_one_line():
    with tempfile.TemporaryDirectory() as d:
        path, outside = share(d)
        for args, want in (([d + '/none'], 1), ([outside + '/secret'], 1), (['/'], 1), ([path + ',nope'], 2), ([':x'], 2),
                           ([path + ':' + 37 * 'x'], 2), ([path + ':x', outside + ':x'], 2)):
            status, out, err = guest('true', *sum((['--share', a] for a in args), []))
            expect((status, out), (want, b''), args)
            one_line(err)


# ---- devices ----

def set_size(pid, rows, cols):
    """Gives the terminal of a session another size."""
    fd = os.open(f'/proc/{pid}/fd/0', os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))
    os.close(fd)


def hvc0_is_a_terminal_that_knows_its_size():
    # The size is told when it changes; the guest's kernel takes it a moment later.
    steps = [(b'', lambda pid: set_size(pid, 33, 101)), (b'/ # ', b'tty; until stty size | grep "33 101"; do sleep 0.1; done; echo o\\ne\r'),
             (b'/dev/hvc0', b''), (b'one', lambda pid: set_size(pid, 50, 120)),
             (b'/ # ', b'until stty size | grep "50 120"; do sleep 0.1; done; echo t\\wo\r'), (b'two', b''), (b'/ # ', b'exit\r')]
    status, out = session(('--console', 'stdio'), steps)
    expect(status, 0, out[-2000:])
    expect(len(steps), 0, out[-2000:])


def a_second_terminal_has_its_own_shell_and_loses_nothing():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'hvc')
        with subprocess.Popen([*RUN, '--timeout', '60', '--name', 'hvc', '--console', 'unix:' + path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            wait_for(lambda: os.path.exists(path), 'the socket')
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            s.settimeout(60)
            out = b''
            def talk(say, until):
                nonlocal out
                s.sendall(say)
                while until not in out:
                    piece = s.recv(4096)
                    expect(piece != b'', True, 'the console goes on')
                    out += piece
                before, out = out.split(until, 1)
                return before
            talk(b'', b'/ # ')
            talk(b'tty\r', b'/dev/hvc0')
            lines = re.findall(rb'^\d{6}\r$', talk(b'seq 100000 130000; echo d\\one\r', b'done'), re.M)
            expect([int(l) for l in lines], list(range(100000, 130001)), 'what seq wrote')
            talk(b'exit\r', b'built-in shell') # another one, for the machine is the first one's
            p.stdin.write(b'exit\n')
            p.stdin.flush()
            expect(p.wait(timeout=30), 0, 'the first shell ends the machine')
            expect_in(b'/ # ', p.stdout.read())


def resident(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        return int(re.search(r'^RssAnon:\s*(\d+) kB', f.read(), re.M).group(1)) << 10


def balloon(*args):
    status, out, err = ctl('balloon', *args)
    expect((status, err), (0, b''), out)
    return {l.split()[0].decode(): int(l.split()[1]) for l in out.splitlines()}


def the_guest_gives_free_memory_back():
    mib = 1 << 20
    script = ('dd if=/dev/zero of=/tmp/x bs=1M count=400 2>/dev/null; echo full; read x; rm /tmp/x; echo free; read x; '
              'dd if=/dev/urandom of=/tmp/x bs=1M count=50 2>/dev/null; sha256sum </tmp/x; sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum </tmp/x')
    with subprocess.Popen([*RUN, '--timeout', '90', '--memory', '1G', '--balloon', '--name', 'air', '--sandbox', 'auto', '--', 'sh', '-c',
                           script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        expect(p.stdout.readline(), b'full\n', 'the guest wrote')
        full, figures = resident(p.pid), balloon('air')
        expect(full > 400 * mib, True, f'{full >> 20} MiB resident')
        expect((figures['target'], figures['actual']), (1 << 30, 1 << 30), 'nothing is asked for')
        expect(900 * mib < figures['total'] < 1 << 30, True, 'the guest\'s memory')
        expect(figures['free'] < 600 * mib, True, 'what is left of it')
        p.stdin.write(b'\n')
        p.stdin.flush()
        expect(p.stdout.readline(), b'free\n', 'the guest removed it')
        wait_for(lambda: resident(p.pid) < full - 350 * mib, 'free pages to be given back', 30)
        later = balloon('air')
        expect(later['free'] - figures['free'] > 350 * mib, True, 'news from the guest')
        expect(later['released'] >= 350 * mib, True, 'what it gave back')
        expect(balloon('air', '300M')['target'], 300 * mib, 'it is to keep less')
        wait_for(lambda: balloon('air')['actual'] == 300 * mib, 'the balloon to be full', 30)
        expect(balloon('air')['free'] < 300 * mib, True, 'free in the guest')
        balloon('air', '1G')
        wait_for(lambda: balloon('air')['actual'] == 1 << 30, 'the balloon to be empty', 30)
        for args in (['air', '2G'], ['air', '1M'], ['none']):
            status, _, err = ctl('balloon', *args)
            expect(status, 1, args)
            one_line(err)
        p.stdin.write(b'\n')
        p.stdin.flush()
        first, second = p.stdout.readline(), p.stdout.readline()
        expect(first, second, 'memory that came back is good')
        expect(p.wait(timeout=30), 0, p.stderr.read())


class Listener(threading.Thread):
    """Takes one connection after the other and gives it to fn."""
    def __init__(self, path, fn):
        super().__init__(daemon=True)
        self.socket, self.fn = socket.socket(socket.AF_UNIX), fn
        self.socket.bind(path)
        self.socket.listen(8)
        self.start()

    def run(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            with c:
                self.fn(c)


def answer_with_digest(c):
    h = hashlib.sha256()
    while data := c.recv(1 << 16):
        h.update(data)
    c.sendall(h.hexdigest().encode())


def sockets_connect_guest_and_host():
    size = 2000000 if ENGINE == 'interp' else 30000000
    blob = os.urandom(size)
    with tempfile.TemporaryDirectory() as d:
        shutil.copy(PEER, os.path.join(d, 'peer'))
        path = os.path.join(d, 'v')
        Listener(path + '_1000', answer_with_digest)
        Listener(path + '_1001', lambda c: c.sendall(blob))
        script = (f'{d}/peer refused 7; head -c {size} /dev/urandom >/tmp/a; sha256sum </tmp/a; {d}/peer connect 1000 </tmp/a; echo; '
                  f'{d}/peer connect 1001 </dev/null | sha256sum; {d}/peer echo 5000 3')
        with subprocess.Popen([*RUN, '--timeout', '200', '--sandbox', 'on', '--vsock', path, '--share', d + ',ro', '--', 'sh', '-c', script],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            lines = [p.stdout.readline().split(b' ')[0].strip().decode() for _ in range(5)]
            expect(lines[0], 'ECONNRESET', 'nobody listens')
            expect(lines[2], lines[1], 'what the guest sent')
            expect(lines[3], hashlib.sha256(blob).hexdigest(), 'what the host sent')
            expect(lines[4], 'ready', 'the guest listens')
            def dial(what):
                s = socket.socket(socket.AF_UNIX)
                s.settimeout(60)
                s.connect(path)
                s.sendall(what)
                return s
            for nonsense in (b'CONNECT 6000\n', b'GET / HTTP/1.1 and so on, quite a bit\n'):
                with dial(nonsense) as s:
                    try:
                        expect(s.recv(100), b'', nonsense)
                    except ConnectionResetError:
                        pass # it did not read all we said
            both = [dial(b'CONNECT 5000\n' + blob[:100]), dial(b'CONNECT 5000\n')]
            for s, data in zip(both, (blob[:100], blob)): # the second waits until the first is done
                f = s.makefile('rb')
                expect(re.fullmatch(rb'OK \d+\n', f.readline()) is not None, True, 'greeting')
                sender = threading.Thread(target=lambda: (s.sendall(data[100:]) if len(data) == 100 else s.sendall(data), s.shutdown(socket.SHUT_WR)))
                sender.start()
                expect(f.read() == data, True, 'echo')
                sender.join()
            with dial(b'CONNECT 5000\n') as s:
                expect(s.makefile('rb').readline()[:3], b'OK ', 'a third, that says nothing')
            expect(p.wait(timeout=60), 0, p.stderr.read())


def bad_devices_are_refused_in_one_line():
    with tempfile.TemporaryDirectory() as d:
        busy = os.path.join(d, 'busy')
        Listener(busy, lambda c: None)
        plain = os.path.join(d, 'plain')
        open(plain, 'w').close()
        for args in (['--vsock', busy], ['--vsock', plain], ['--vsock', d], ['--vsock', d + '/no/v'], ['--vsock', '/tmp/' + 100 * 'x'],
                     ['--console', 'unix:' + busy], ['--console', d]):
            status, out, err = run(*args, '--serial', 'none', '--timeout', '20')
            expect((status, out), (1, b''), args)
            one_line(err)
        expect(run('--memory', '64M', '--balloon=65M')[0], 2, 'more than there is')


def a_stop_powers_our_guest_off():
    with tempfile.TemporaryDirectory() as d:
        with subprocess.Popen([*RUN, '--timeout', '60', '--name', 'off'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as p:
            out = b''
            while b'/ # ' not in out:
                out += os.read(p.stdout.fileno(), 4096)
            expect(ctl('stop', 'off', '--grace', '30'), (0, b'', b''), 'stop')
            expect(p.wait(timeout=5), 0, 'status')
            expect_in(b'Power down', out + p.stdout.read())
        # Programs may end first: what they write on SIGTERM is on the disk.
        path, _ = disk(d)
        script = ('mke2fs /dev/vda >/dev/null && mount /dev/vda /mnt && trap "echo over >/mnt/x; exit" TERM; echo ready; '
                  'while true; do sleep 0.1; done')
        with subprocess.Popen([*RUN, '--timeout', '60', '--name', 'off', '--disk', path, '--', 'sh', '-c', script],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            expect(p.stdout.readline(), b'ready\n', 'the command runs')
            expect(ctl('stop', 'off', '--grace', '30'), (0, b'', b''), 'stop')
            expect(p.wait(timeout=5), 1, 'the command did not end by itself')
        expect(guest('mount -o ro /dev/vda /mnt && cat /mnt/x', '--disk', path + ',ro')[1], b'over\n', 'what it wrote')


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


SUITES = {
    'board': [each_end_has_its_status_and_at_most_one_line, the_debug_exit_port_gives_the_status_and_output_is_exact,
              bytes_pass_unchanged_in_a_pipe, bad_usage_exits_2_and_bad_files_1_with_one_line,
              a_signal_or_the_time_limit_ends_any_guest_within_a_second, with_reboot_a_reset_restarts_and_a_panic_still_ends,
              a_halted_guest_uses_no_host_cpu, stats_go_to_stderr_and_count_instructions,
              auto_takes_the_first_engine_that_works, a_disk_brings_its_kernel_along, the_terminal_is_restored_however_it_ends, escape_keys_help_and_send_themselves],
    'control': [ps_lists_what_runs_and_a_pause_stops_it, stop_asks_the_guest_first, names_are_unique_and_dead_sockets_are_removed,
                the_console_can_be_attached_to, the_monitor_on_the_terminal_performs_actions, the_console_goes_where_serial_says,
                a_machine_runs_sandboxed_and_says_so],
    'linux': [the_commands_output_and_status_are_the_programs, stdin_reaches_the_command_whole,
              the_kernel_finds_nothing_to_complain_about, threads_on_several_cpus_find_what_cpus_owe_them,
              a_small_code_cache_costs_time_only, a_panic_shows_the_console_and_exits_1,
              power_off_and_reset_before_the_command_ends_are_failures,
              a_command_whose_reader_left_ends, an_idle_linux_uses_little_host_cpu,
              a_signal_ends_a_busy_guest_within_a_second, a_shell_on_a_terminal_works],
    'disk': [random_bytes_come_from_the_host, guests_read_and_write_a_disk, a_disk_works_in_a_sandbox, a_file_system_outlives_the_machine_that_made_it,
             a_read_only_disk_is_not_written, an_overlay_leaves_the_disk_alone, interrupts_work_without_msi,
             a_restarted_machine_has_its_disk_again, sixteen_disks_are_possible, bad_disks_are_refused_in_one_line,
             a_full_host_is_an_io_error_and_nothing_is_lost, a_limit_of_file_sizes_is_an_io_error_of_the_guest, what_was_said_to_be_safe_outlives_a_kill],
    'net': [a_machine_has_no_network_unless_asked_for, the_guest_reaches_the_hosts_loopback_through_the_gateway, transfers_do_not_stand_still,
            what_the_guest_sends_arrives_whole, dhcp_and_the_gateway_answer, a_restricted_guest_reaches_nothing,
            ports_of_the_host_lead_into_the_guest, datagrams_of_any_size_pass_through_a_forwarded_port,
            the_guest_has_ipv6_and_can_do_without, questions_without_a_name_server_are_told_of_once, an_idle_network_uses_little_host_cpu, a_restarted_machine_has_its_network_again,
            an_interface_of_the_host_is_a_network, bad_networks_are_refused_in_one_line],
    'share': [a_share_is_at_the_same_place_and_so_is_the_command, files_of_a_share_are_written_renamed_and_run,
              a_big_file_arrives_whole_in_both_directions, a_read_only_share_is_not_changed, links_are_followed_in_the_guest_only,
              shares_have_tags_and_lie_in_each_other, bad_shares_are_refused_in_one_line],
    'devices': [hvc0_is_a_terminal_that_knows_its_size, a_second_terminal_has_its_own_shell_and_loses_nothing,
                the_guest_gives_free_memory_back, sockets_connect_guest_and_host, a_stop_powers_our_guest_off,
                bad_devices_are_refused_in_one_line],
}
if ENGINE == 'interp': # chips are the same for all engines
    SUITES['net'] = [the_guest_reaches_the_hosts_loopback_through_the_gateway, ports_of_the_host_lead_into_the_guest]
    SUITES['disk'] = [random_bytes_come_from_the_host, guests_read_and_write_a_disk, a_disk_works_in_a_sandbox, a_restarted_machine_has_its_disk_again]
    SUITES['share'] = [files_of_a_share_are_written_renamed_and_run]
    SUITES['devices'] = [hvc0_is_a_terminal_that_knows_its_size, sockets_connect_guest_and_host]
if ENGINE == 'direct': # nobody counts what the bare CPU executes
    SUITES['board'].remove(stats_go_to_stderr_and_count_instructions)
if ENGINE == 'bt':
    SUITES['linux'] += [stats_say_what_bt_did_and_where_time_went, traced_code_names_guest_and_host_instructions]


def main():
    suite = sys.argv[4]
    report = doctor()
    why = next((e['why'] for e in report['engines'] if e['engine'] == ENGINE and not e['usable']), None)
    if why:
        print(f'skipped: engine {ENGINE} does not work here: {why}')
        sys.exit(77)
    if suite not in ('board', 'control') and not report['guests']['x86-64']:
        print('skipped: no Debian guest (make guests)')
        sys.exit(77)
    failed = 0
    for law in SUITES[suite]:
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
