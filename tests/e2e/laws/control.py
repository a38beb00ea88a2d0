# SPDX-License-Identifier: MIT
"""Machines from outside: ps, stop, console, sandbox."""
import json
import os
import re
import select
import socket
import subprocess
import tempfile
import time

from laws.harness import (BOARD, DOPPEL, ENGINE, RUN, RUNTIME, board, ctl, doctor, expect, expect_in, one_line, run, session, used,
                          wait_for)


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
