# SPDX-License-Identifier: MIT
"""Second terminal, balloon, virtual sockets."""
import fcntl
import hashlib
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

from laws.harness import ENGINE, PEER, RUN, ctl, disk, expect, expect_in, guest, one_line, run, session, wait_for


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


def a_pseudo_terminal_passes_its_size_on():
    with subprocess.Popen([*RUN, '--timeout', '60', '--console', 'pty'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as p:
        fd = os.open(p.stderr.readline().split()[-1], os.O_RDWR | os.O_NOCTTY)
        out = b''
        def size_is(rows, cols):
            """Gives it, then presses keys until the guest says so: it hears of it with a key."""
            nonlocal out
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))
            want = b'=%d %d=' % (rows, cols)
            end = time.monotonic() + 40
            while want not in out:
                expect(time.monotonic() < end, True, f'{want!r} in {out[-300:]!r}')
                os.write(fd, b'echo =$(stty size)=\r')
                if select.select([fd], [], [], 1)[0]:
                    out += os.read(fd, 4096)
        size_is(31, 91)
        size_is(47, 133)
        os.close(fd)
        p.stdin.write(b'exit\n')
        p.stdin.flush()
        expect(p.wait(timeout=30), 0, 'status')


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
