# SPDX-License-Identifier: MIT
"""Disks."""
import hashlib
import os
import resource
import subprocess
import tempfile
import time

import disk_kill
from laws.harness import DOPPEL, RUN, STRESS, disk, expect, expect_in, guest, hash_of, one_line, run, session


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
