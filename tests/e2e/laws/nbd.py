# SPDX-License-Identifier: MIT
"""Disks that a server has: tests/support/nbd_server.py under qemu-nbd's name, or the real one where it is installed."""
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from laws.harness import RUN, disk, expect, expect_in, guest, hash_of, one_line, wait_for

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'support', 'nbd_server.py')
HEADER = b'QFI\xfb\0\0\0\3' + bytes(65528) # as much of a qcow2 image as our server needs


def unavailable():
    """Why there are no such disks; None: there are."""
    err = guest('true', '--disk', 'nbd+unix:///?socket=/nonexistent')[2]
    return 'doppel was built without libnbd' if b'libnbd' in err else None


def needs_libnbd(law):
    def wrapped():
        why = unavailable()
        if why:
            print(f'skipped: {why}')
        else:
            law()
    wrapped.__name__ = law.__name__
    return wrapped


def fake(folder, fault=''):
    """An environment whose qemu-nbd is ours."""
    program = os.path.join(folder, 'qemu-nbd')
    if not os.path.exists(program):
        with open(program, 'w', encoding='utf-8') as f: # python3 may be a program that looks for the real one, which takes its time
            f.write(f'#!/bin/sh\nexec "{sys.executable}" "{SERVER}" "$@"\n')
        os.chmod(program, 0o755)
    return dict(os.environ, PATH=folder + ':' + os.environ['PATH'], NBD_FAULT=fault, TMPDIR=folder)


def image(folder, size=4 << 20):
    """A disk behind a header; returns its path and the disk's hash."""
    path, plain = os.path.join(folder, 'i.qcow2'), os.urandom(size)
    with open(path, 'wb') as f:
        f.write(HEADER + plain)
    return path, hashlib.sha256(plain).hexdigest()


def content_hash(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()[len(HEADER):]).hexdigest()


def server_of(p):
    """The child of doppel's child."""
    pid = p.pid
    for _ in range(2):
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
            pid = int(f.read().split()[0])
    return pid


def alive(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@needs_libnbd
def an_image_is_read_and_written_by_a_server():
    with tempfile.TemporaryDirectory() as d:
        path, old = image(d)
        env = fake(d)
        for sandbox in ('on', 'off'):
            status, out, err = guest('sha256sum </dev/vda; cat /sys/block/vda/size; head -c 1000000 /dev/urandom | dd of=/dev/vda bs=10k seek=9 conv=fsync 2>/dev/null; '
                                     'echo 3 >/proc/sys/vm/drop_caches; sha256sum </dev/vda', '--sandbox', sandbox, '--cpus', '2', '--disk', path, env=env)
            expect((status, err), (0, b''), out)
            lines = [l.split()[0].decode() for l in out.splitlines()]
            expect(lines[:2], [old, '8192'], 'what the guest read, and sectors')
            expect(lines[2], content_hash(path), 'what the guest wrote')
            old = lines[2]
        status, out, err = guest('dd if=/dev/zero of=/dev/vda count=9 conv=fsync 2>/dev/null; sha256sum </dev/vda', '--disk', path + ',overlay', env=env)
        expect((status, err, out.split()[0].decode() == old), (0, b'', False), 'what is above the image')
        expect(content_hash(path), old, 'the image below an overlay')
        status, out, err = guest('cat /sys/block/vda/ro; sha256sum </dev/vda', '--disk', path + ',ro', env=env)
        expect((status, err, out.split()[:2]), (0, b'', [b'1', old.encode()]), 'read-only')
        expect(sorted(os.listdir(d)), ['i.qcow2', 'qemu-nbd'], 'what is left')


@needs_libnbd
def a_uri_names_a_server_that_runs():
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        sock = os.path.join(d, 'sock')
        uri = f'nbd+unix:///?socket={sock}'
        with subprocess.Popen([sys.executable, SERVER, '--socket', sock, '--persistent', path]) as server:
            wait_for(lambda: os.path.exists(sock), 'the server')
            try:
                for more in ('', ',overlay', ''):
                    status, out, err = guest('sha256sum </dev/vda; head -c 99999 /dev/urandom >/dev/vda; sync', '--sandbox', 'on', '--disk', uri + more)
                    expect((status, err, out.split()[0].decode()), (0, b'', old), 'what the guest read' + more)
                    expect(hash_of(path) == old, more != '', 'the disk is as it was')
                    old = hash_of(path)
            finally:
                server.kill()


@needs_libnbd
def without_its_server_a_disk_gives_errors_and_the_machine_goes_on():
    with tempfile.TemporaryDirectory() as d:
        path, _ = image(d)
        status, out, err = guest('dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null; echo $?; dd if=/dev/zero of=/dev/vda count=9 conv=fsync 2>/dev/null; echo $?; echo on',
                                 '--disk', path, env=fake(d, 'die=12'))
        expect((status, out), (0, b'1\n1\non\n'), err)
        one_line(err)
        expect_in(b'its server is gone', err)


@needs_libnbd
def a_server_of_ours_does_not_outlive_us():
    with tempfile.TemporaryDirectory() as d:
        path, _ = image(d)
        command = [*RUN, '--timeout', '60', '--disk', path, '--', 'sh', '-c', 'echo up; while :; do dd if=/dev/zero of=/dev/vda bs=64k count=60 conv=fsync 2>/dev/null; done']
        # the last one does not care for its connection: the kernel sees to it
        for sig, fault in ((signal.SIGKILL, ''), (signal.SIGTERM, ''), (signal.SIGKILL, 'stay')):
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=fake(d, fault)) as p:
                expect(p.stdout.readline(), b'up\n', 'the guest')
                server = server_of(p)
                expect(alive(server), True, 'the server')
                p.send_signal(sig)
                p.wait()
                wait_for(lambda: not alive(server), f'the end of the server after signal {sig}') # pylint: disable=cell-var-from-loop


@needs_libnbd
def bad_servers_and_images_are_refused_in_one_line():
    with tempfile.TemporaryDirectory() as d:
        path, _ = image(d, 4096)
        over = os.path.join(d, 'over.qcow2')
        with open(over, 'wb') as f:
            f.write(HEADER[:15] + b'\x68' + HEADER[16:])
        for what, fault, want, why in ((path, 'early', 1, b'hung up'), (path, 'option', 1, b'hung up'), (path, 'garbage', 1, b'magic'), (path, 'size=0', 1, b'empty'),
                                       (path, 'size=999', 1, b'999 bytes'), (path, 'block=4096', 1, b'4096'), (path, 'ro', 1, b'use ,ro or ,overlay'), (path, 'words', 1, b'qemu-nbd: It is broken'),
                                       (path, 'silent', 1, b'does not answer'), (over, '', 1, b'format=qcow2'), (path + ',format=', '', 2, b'no format'),
                                       (d + '/none,format=qcow2', '', 1, b'No such file'), (d + ',format=qcow2', '', 1, b'directory'), ('nbd+unix:///?socket=/nonexistent', '', 1, b'No such file'),
                                       ('nbd+unix:///', '', 1, b'URI'), ('nbd://localhost:1/', '', 1, b'refused'), ('nbd://localhost/,format=raw', '', 1, b'no format')):
            status, out, err = guest('true', '--disk', what, env=fake(d, fault))
            expect((status, out), (want, b''), (what, fault, err))
            one_line(err)
            expect_in(why, err)
        status, _, err = guest('true', '--disk', path, env=dict(os.environ, PATH='/nonexistent'))
        expect(status, 1, err)
        one_line(err)
        expect_in(b'no qemu-nbd here', err)


@needs_libnbd
def a_real_qcow2_image_is_read_and_written():
    if not shutil.which('qemu-nbd') or not shutil.which('qemu-img'):
        print('skipped: no qemu-nbd and qemu-img here (package qemu-utils)')
        return
    with tempfile.TemporaryDirectory() as d:
        base, over, cut = (os.path.join(d, n) for n in ('base.qcow2', 'over.qcow2', 'cut.qcow2'))
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', base, '64M'], check=True)
        status, out, err = guest('mke2fs /dev/vda >/dev/null && mount -o discard /dev/vda /mnt && head -c 9000000 /dev/urandom >/mnt/x && cp /mnt/x /mnt/y && sync && rm /mnt/y && '
                                 'sha256sum </mnt/x && umount /mnt', '--sandbox', 'on', '--cpus', '2', '--disk', base)
        expect((status, err), (0, b''), out)
        subprocess.run(['qemu-img', 'check', '-q', base], check=True)
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, over], check=True)
        before = hash_of(base)
        look = 'mount /dev/vda /mnt && sha256sum </mnt/x && dd if=/dev/zero of=/mnt/x bs=1M count=1 conv=notrunc 2>/dev/null; umount /mnt'
        for what in (base + ',overlay', over + ',format=qcow2'):
            expect(guest(look, '--disk', what), (0, out, b''), what)
        expect(hash_of(base), before, 'the base')
        os.rename(base, base + '.away')
        with open(base + '.away', 'rb') as f, open(cut, 'wb') as to:
            to.write(f.read(100))
        with open(os.path.join(d, 'raw'), 'wb') as f:
            f.truncate(1 << 20)
        for what, why in ((over + ',format=qcow2', b'backing file'), (cut, b'qemu-nbd: '), (d + '/raw,format=qcow2', b'not in qcow2 format'), (d + '/raw,format=nope', b'nope')):
            status, _, err = guest('true', '--disk', what)
            expect(status, 1, err)
            one_line(err)
            expect_in(why, err)
