# SPDX-License-Identifier: MIT
"""riscv64 Linux: Debian's kernel of `make guests ARCH=riscv64`, or the one that DOPPEL_TEST_RISCV_KERNEL names, which lies beside a busybox
as scripts/get-guest puts it there."""
import gzip
import os
import re
import socket
import struct
import tempfile
import threading
import time

from laws.harness import STRESS, disk, doctor, expect, expect_in, hash_of, one_line, run, session

BUSY = 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done'
HARMLESS = re.compile(r'hrtimer: interrupt took') # said when the host is busy


def kernel():
    """The kernel's path, None: there is none."""
    named = os.environ.get('DOPPEL_TEST_RISCV_KERNEL')
    folder = doctor()['guests'].get('riscv64')
    return named or (os.path.join(folder, 'vmlinuz') if folder else None)


def machine(*args, **kwargs):
    return run('--arch', 'riscv64', '--timeout', '200', '--kernel', kernel(), *args, timeout=240, **kwargs)


def guest(script, *args, **kwargs):
    return machine(*args, '--', 'sh', '-c', script, **kwargs)


def the_commands_output_and_status_are_the_programs():
    expect(guest('uname -m; echo oops >&2; exit 7'), (7, b'riscv64\n', b'oops\n'))
    expect(guest('wc -c', stdin=b'x' * 100000)[:2], (0, b'100000\n'), 'its stdin')


def every_size_of_machine_boots_without_a_complaint():
    for cpus, memory, low, high in ((1, '256M', 170, 256), (8, '1G', 900, 1024), (4, '8G', 7700, 8192)):
        status, out, err = guest('nproc; sed -n "s/MemTotal: *//p" /proc/meminfo; dmesg -r', '--cpus', str(cpus), '--memory', memory)
        if b'--memory' in err: # the host has less
            one_line(err)
            continue
        expect((status, err), (0, b''), out)
        lines = out.decode('latin-1').splitlines()
        expect(lines[0], str(cpus), 'harts')
        expect(low <= int(lines[1].split()[0]) / 1024 <= high, True, lines[1])
        bad = [l for l in lines[2:] if re.match('<[0-4]>', l) and not HARMLESS.search(l)]
        expect(bad, [], f'complaints of a kernel with {cpus} harts')


def harts_work_at_the_same_time():
    status, out, err = guest(f'for n in 1 2 3 4 5 6; do ({BUSY}; echo done) & done; wait; cat /proc/stat', '--cpus', '3')
    expect((status, err, out.count(b'done\n')), (0, b'', 6), out)
    busy = [int(l.split()[1]) for l in out.decode().splitlines() if re.match(r'cpu\d', l)]
    expect(len(busy) == 3 and min(busy) > 0, True, f'ticks in user mode of each hart {busy}')


def processes_keep_their_vectors():
    folder, name = os.path.split(os.path.join(os.path.dirname(os.path.abspath(STRESS)), 'riscv_vectors'))
    if not os.path.exists(os.path.join(folder, name)):
        print('skipped: no clang with lld and a RISC-V back end compiled riscv_vectors')
        return
    for args in ('--cpu', 'max', '--cpus', '1'), ('--cpu', 'max,vlen=256', '--cpus', '4'):
        status, out, err = guest(f'./{name} 6 10', *args, '--share', folder, cwd=folder)
        if (status, out) == (3, b'this kernel offers no vectors\n'):
            print('skipped: a kernel without CONFIG_RISCV_ISA_V')
            return
        expect((status, err), (0, b''), out)
        expect([line for line in out.decode().splitlines() if not line.endswith(': ok')], [], 'laws that do not hold')
        expect(out.count(b'\n'), 2, 'laws')
    expect(guest(f'./{name}', '--share', folder, cwd=folder)[:2], (3, b'this kernel offers no vectors\n'), 'without vectors')


def disks_are_read_and_written_and_in_order():
    with tempfile.TemporaryDirectory() as d:
        path, old = disk(d)
        second = os.path.join(d, 'second')
        with open(second, 'wb') as f:
            f.truncate(1 << 20)
        for more in ('', ',overlay'):
            script = ('sha256sum </dev/vda; cat /sys/block/vdb/size; head -c 100000 /dev/urandom | dd of=/dev/vda bs=1000 seek=99 '
                      'conv=fsync 2>/dev/null; sha256sum </dev/vda')
            status, out, err = guest(script, '--sandbox', 'on', '--cpus', '2', '--disk', path + more, '--disk', second + ',ro')
            expect((status, err), (0, b''), out)
            before, size, after = (l.split()[0].decode() for l in out.splitlines())
            expect((before, size, before != after), (old, '2048', True), 'what the guest read')
            expect(hash_of(path), old if more else after, 'what is on the disk' + more)
            old = hash_of(path)


def the_guest_reaches_the_host_through_the_gateway():
    with socket.create_server(('127.0.0.1', 0)) as server:
        def answer():
            peer, _ = server.accept()
            with peer:
                peer.sendall(peer.recv(100)[::-1])
        threading.Thread(target=answer, daemon=True).start()
        port = server.getsockname()[1]
        status, out, err = guest(f'echo olleh | nc 10.0.2.2 {port}', '--net', 'user')
        expect((status, out), (0, b'\nhello'), err)


def a_share_is_at_the_same_place():
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, 'in'), 'wb') as f:
            f.write(os.urandom(300000))
        status, out, err = guest('pwd; cat in in >out; rm in', '--share', d, cwd=d)
        expect((status, out.decode().strip(), err), (0, os.path.realpath(d), b''))
        expect((os.listdir(d), os.path.getsize(os.path.join(d, 'out'))), (['out'], 600000))


def every_kind_of_device_has_its_place():
    with tempfile.TemporaryDirectory() as d:
        paths = [disk(d)[0], *(os.path.join(d, f'd{i}') for i in range(15))]
        for path in paths[1:]:
            with open(path, 'wb') as f:
                f.truncate(4096)
        args = [a for path in paths for a in ('--disk', path)]
        script = ('for m in $(sed "s/[^ ]* //" /lib/doppel/modules 2>/dev/null); do insmod $m 2>/dev/null; done; '
                  'cat /sys/bus/virtio/devices/*/device | sort | uniq -c; ls -d /sys/block/vd* | wc -l; test -c /dev/hvc0 && echo hvc0')
        args += ['--net', 'user', '--balloon', '--vsock', os.path.join(d, 'vsock'), '--share', d, '--console', os.path.join(d, 'hvc')]
        kinds = {1: 1, 2: 16, 3: 1, 4: 1, 5: 1, 0x13: 1, 0x1a: 1}
        for bus in 'mmio', 'pci':
            status, out, err = guest(script, *args, '--bus', bus)
            expect((status, err), (0, b''), out)
            expect(out.decode().split(), [w for kind, n in sorted(kinds.items()) for w in (str(n), f'0x{kind:04x}')] + ['16', 'hvc0'])


def devices_on_pci_interrupt():
    with tempfile.TemporaryDirectory() as d:
        paths = [disk(os.path.join(d))[0], os.path.join(d, 'b'), os.path.join(d, 'c'), os.path.join(d, 'e')]
        for path in paths[1:]:
            with open(path, 'wb') as f:
                f.write(os.urandom(1 << 20))
        script = 'for n in a b c d; do sha256sum </dev/vd$n; done; cd /sys/bus/pci/devices && cat 0000:00:0[1-5].0/irq | sort -u | wc -l'
        args = [a for path in paths for a in ('--disk', path + ',ro')]
        status, out, err = guest(script, '--bus', 'pci', '--cpus', '2', *args) # five functions, four lines: two share one
        expect((status, err), (0, b''), out)
        expect([l.split()[0].decode() for l in out.splitlines()], [hash_of(path) for path in paths] + ['4'], 'what the guest read')


def the_clock_is_the_hosts():
    status, out, err = guest('cat /sys/class/rtc/rtc0/since_epoch || echo none')
    now = time.time()
    expect(status, 0, err)
    if b'none' not in out: # a kernel whose driver is a module
        expect(now - 30 < int(out) < now + 1, True, f'{out!r} near {now}')


def compressed_kernels_boot():
    with open(kernel(), 'rb') as f:
        plain = f.read()
    if plain[0x38:0x3c] != b'RSC\x05':
        return # it is compressed: every law boots one
    packed = gzip.compress(plain, 1)
    zboot = struct.pack('<4s4sIIII32s', b'MZ\0\0', b'zimg', 4096, len(packed), 0, 0, b'gzip').ljust(4096, b'\0') + packed
    for data in packed, zboot:
        with tempfile.TemporaryDirectory() as d:
            for name in os.listdir(os.path.dirname(kernel())):
                os.symlink(os.path.join(os.path.dirname(kernel()), name), os.path.join(d, name))
            path = os.path.join(d, 'packed')
            with open(path, 'wb') as f:
                f.write(data)
            expect(guest('uname -m', '--kernel', path), (0, b'riscv64\n', b''), data[:8])


def the_tree_of_a_guest_boots_it_again():
    status, tree, err = guest('cat /sys/firmware/fdt', '--cpus', '2')
    expect((status, tree[:4], err), (0, b'\xd0\r\xfe\xed', b''), 'what the guest was given')
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'tree')
        with open(path, 'wb') as f:
            f.write(tree)
        expect(guest('nproc', '--cpus', '2', '--dtb', path), (0, b'2\n', b''), 'with it')


def every_end_is_told_apart():
    for script, words in (('poweroff -f', b'powered the machine off'), ('reboot -f', b'reset the machine'),
                          ('echo c >/proc/sysrq-trigger', b'panicked')):
        status, out, err = guest(script + '; sleep 100')
        expect((status, out), (1, b''), err)
        expect_in(words, err)


def a_shell_on_a_terminal_works():
    status, out = session(['--arch', 'riscv64', '--kernel', kernel()],
                          [(b'# ', b'echo $((6*7)) $(uname -m)\r'), (b'\n42 riscv64', b'stty -F /dev/ttyS0 size; exit\r')])
    expect(status, 0, out)


def a_restarted_machine_has_its_disk_and_its_kernel_again():
    with tempfile.TemporaryDirectory() as d:
        path, _ = disk(d)
        status, out = session(['--arch', 'riscv64', '--kernel', kernel(), '--reboot', '--disk', path],
                              [(b'# ', b'echo again >/dev/vda; sync; reboot -f\r'), (b'# ', b'head -n 1 /dev/vda; poweroff -f\r')])
        expect(status, 0, out)
        expect_in(b'\nagain', out.replace(b'\r', b''))


def what_does_not_fit_is_said_in_one_line():
    with tempfile.TemporaryDirectory() as d:
        big = os.path.join(d, 'big')
        with open(big, 'wb') as f:
            f.truncate(70 << 20)
        status, _, err = machine('--memory', '64M', '--initrd', big)
        one_line(err)
        expect(status, 1)
        expect_in(b'memory', err)
