# SPDX-License-Identifier: MIT
"""What the laws share: running doppel and talking to it. The words of run_test.py's command line."""
import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

sys.dont_write_bytecode = True
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


def doctor():
    return json.loads(subprocess.run([DOPPEL, 'doctor', '--json'], stdout=subprocess.PIPE, check=True).stdout)


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


def ctl(*args, stdin=b'', timeout=30):
    p = subprocess.run([DOPPEL, *args], input=stdin, capture_output=True, timeout=timeout, check=False)
    return p.returncode, p.stdout, p.stderr


def used(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


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


def expect_idle(*options):
    """A guest that sleeps uses little of the host's CPU."""
    p = subprocess.Popen([*RUN, '--timeout', '100', *options, '--', 'sh', '-c', 'echo; sleep 5'], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    p.stdout.read(1)
    before = cpu_seconds(p.pid)
    time.sleep(4)
    took = cpu_seconds(p.pid) - before
    p.wait()
    if took > 1.0:
        raise AssertionError(f'{took:.2f} s of CPU time in 4 s of sleep')
