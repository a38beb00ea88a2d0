#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the devices of doppel beside QEMU TCG: disks, the user network, shared folders. Same kernel, initramfs, files, programs.

usage: bench/io.py [--runs N] [--only NAME,...] [--peers doppel,qemu] [--doppel FILE] [--ab FILE] [--folder DIR] [--out FILE.json] [--docs]

Each round boots every peer once, in turn, and runs all cases in it; the figures are medians over the rounds. Both have one CPU, 512 MiB, two
virtio-blk disks (raw files, the host's page cache, what each does by default), virtio-net with the user network, and virtio-fs: in doppel
itself, beside QEMU by QEMU's virtiofsd. The files are in /dev/shm, unless --folder names another place, so that it is not the host's disk
that is measured. io/io.c moves the data, in the guest and at the other end of connections; what is read is checked there, what was written
is checked by the host afterwards. If it is wrong, or differs between peers, that is an error and the status is 1.
"""
import argparse
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass

import run as bench
from report import cell, heading, ratio

FOLDER = os.path.join(bench.ROOT, 'build', 'bench')
MODULES = ('virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci', 'virtio_blk', 'failover', 'net_failover', 'virtio_net',
           'fuse', 'virtiofs')
DISK_MB = 512
VIRTIOFSD = '/usr/lib/qemu/virtiofsd'
SETUP = """set -e
for d in dev sys; do ./busybox mkdir -p /$d; done
./busybox mount -t devtmpfs dev /dev
./busybox mount -t sysfs sys /sys
for m in %s; do ./busybox insmod ./$m.ko; done
./busybox ip addr add 10.0.2.15/24 dev eth0
./busybox ip link set eth0 up
./busybox ip link set lo up
./busybox ip route add default via 10.0.2.2
./busybox mkdir -p /share
./busybox mount -t virtiofs share /share
"""
SCRIPTS = {'drop.sh': './busybox sync; echo 3 >/proc/sys/vm/drop_caches', 'untar.sh': './busybox tar -xf tree.tar -C /share && echo unpacked',
           'readback.sh': './busybox find /share -type f -print0 | ./busybox xargs -0 ./busybox md5sum | ./busybox sed "s|/share/||" | ./busybox sort | ./busybox md5sum | ./busybox cut -c 1-32',
           'list.sh': 'for i in 1 2 3 4 5; do ./busybox find /share -newer /init -size -16; done | ./busybox wc -l', 'remove.sh': './busybox rm -rf /share/* && echo removed'}


@dataclass
class Case:
    name: str
    title: str
    unit: str
    command: str
    drop: bool = True  # caches, before it


CASES = [
    Case('read', 'disk: read, 1 MiB direct', 'MB/s', './io read /dev/vda 512 1024 direct'),
    Case('read-cached', 'disk: read, 128 KiB through the page cache', 'MB/s', './io read /dev/vda 256 128 cached'),
    Case('random-write', 'disk: 4 KiB random writes, one at a time', '1/s', './io random-write /dev/vdb 512 6000 1'),
    Case('random-written', 'disk: 4 KiB random reads of these', '1/s', './io random-read /dev/vdb 512 6000 1'),
    Case('random-write-32', 'disk: 4 KiB random writes, 32 under way', '1/s', './io random-write /dev/vdb 512 20000 32'),
    Case('write', 'disk: write, 1 MiB direct', 'MB/s', './io write /dev/vdb 512 1024 direct'),
    Case('write-cached', 'disk: write, 128 KiB through the page cache, synced', 'MB/s', './io write /dev/vdb 512 128 cached'),
    Case('random-read', 'disk: 4 KiB random reads, one at a time', '1/s', './io random-read /dev/vda 512 6000 1'),
    Case('random-read-32', 'disk: 4 KiB random reads, 32 under way', '1/s', './io random-read /dev/vda 512 20000 32'),
    Case('send', 'network: TCP to the host', 'MB/s', './io send 10.0.2.2 PORT 128', False),
    Case('receive', 'network: TCP from the host', 'MB/s', './io receive 10.0.2.2 PORT 128', False),
    Case('ask', 'network: TCP questions and answers', '1/s', './io ask 10.0.2.2 PORT 5000', False),
    Case('untar', 'share: tar -x of a source tree', 'files/s', './busybox sh ./untar.sh', False),
    Case('readback', 'share: md5sum of its files', 'files/s', './busybox sh ./readback.sh'),
    Case('list', 'share: find in it, five times', 'files/s', './busybox sh ./list.sh'),
    Case('remove', 'share: rm -r of it', 'files/s', './busybox sh ./remove.sh', False),
]


# ---- set-up ----

def build():
    bench.build(FOLDER)
    source, target = os.path.join(bench.BENCH, 'io', 'io.c'), os.path.join(FOLDER, 'io')
    if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
        subprocess.run(['gcc', *bench.CFLAGS, '-o', target, source], check=True)


def source_tree():
    """(tar archive of doppel's own sources, twice; files in it)."""
    archive = subprocess.run(['git', '-C', bench.ROOT, 'archive', 'HEAD', 'src', 'tests', 'bench', 'scripts'], stdout=subprocess.PIPE, check=True).stdout
    out, count = io.BytesIO(), 0
    with tarfile.open(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT) as target:
        for copy in ('a', 'b'):
            with tarfile.open(fileobj=io.BytesIO(archive)) as source:
                for member in source:
                    data = source.extractfile(member) if member.isfile() else None
                    member.name = f'{copy}/{member.name}'
                    member.pax_headers = {}
                    target.addfile(member, data)
                    count += 1
    return out.getvalue(), count


def modules():
    """file name -> bytes."""
    found = {}
    for folder, _, names in os.walk(os.path.join(bench.GUEST, 'modules')):
        for name in names:
            if name[:-3] in MODULES:
                with open(os.path.join(folder, name), 'rb') as f:
                    found[name] = f.read()
    return found


def list_text(chosen, port):
    lines = ['- ./busybox sh ./setup.sh']
    for case in CASES:
        if case.name in chosen:
            lines += ['- ./busybox sh ./drop.sh'] if case.drop else []
            lines.append(f'{case.name} {case.command.replace("PORT", port)}')
    return ('\n'.join(lines) + '\n').encode()


def write_initrd(path, chosen, port, tree):
    files = {'list': list_text(chosen, port), 'setup.sh': (SETUP % ' '.join(MODULES)).encode(), 'tree.tar': tree}
    files.update({name: text.encode() for name, text in SCRIPTS.items()})
    files.update(modules())
    for name, source in (('busybox', os.path.join(bench.GUEST, 'busybox')), ('io', os.path.join(FOLDER, 'io'))):
        with open(source, 'rb') as f:
            files[name] = f.read()
    with open(os.path.join(FOLDER, 'guest'), 'rb') as f:
        bench.write_initrd(path, f.read(), files)


# ---- running ----

class Place:
    """The files of a measurement."""

    def __init__(self, folder, kernel):
        self.kernel, self.folder = kernel, folder
        self.initrd, self.filled, self.written = (os.path.join(folder, n) for n in ('initrd', 'filled', 'written'))
        self.share, self.socket = os.path.join(folder, 'share'), os.path.join(folder, 'socket')

    def renew(self):
        """What a run may have changed."""
        with open(self.written, 'wb') as f:
            for _ in range(DISK_MB):
                f.write(bytes(1 << 20))
        shutil.rmtree(self.share, ignore_errors=True)
        os.mkdir(self.share)


def doppel_command(binary, engine, place):
    return bench.doppel_command(binary, engine, place.kernel, place.initrd) + [
        '--disk', place.filled, '--disk', place.written, '--net', 'user', '--share', place.share + ':share']


def qemu_command(place):
    return bench.qemu_command(place.kernel, place.initrd) + [
        '-object', 'memory-backend-memfd,id=mem,size=512M,share=on', '-machine', 'pc,memory-backend=mem',
        '-drive', f'file={place.filled},if=none,id=d0,format=raw', '-device', 'virtio-blk-pci,drive=d0',
        '-drive', f'file={place.written},if=none,id=d1,format=raw', '-device', 'virtio-blk-pci,drive=d1',
        '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0,romfile=',
        '-chardev', f'socket,id=c0,path={place.socket}', '-device', 'vhost-user-fs-pci,chardev=c0,tag=share']


def start_virtiofsd(place):
    process = subprocess.Popen([VIRTIOFSD, f'--socket-path={place.socket}', '-o', f'source={place.share}', '-o', 'cache=auto', '-o', 'log_level=err', '-f'],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not os.path.exists(place.socket):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            sys.exit(f'bench: {VIRTIOFSD} does not start (it needs root)')
        time.sleep(0.01)
    return process


def tree_hash(place, tree):
    """What readback prints for the archive."""
    lines = []
    with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
        for member in archive:
            if member.isfile():
                lines.append(f'{hashlib.md5(archive.extractfile(member).read()).hexdigest()}  {member.name}\n')
    return hashlib.md5(''.join(sorted(lines, key=lambda l: l.encode())).encode()).hexdigest()


def faults(place, chosen, results, hash_of_tree):
    """What is wrong with what the guest left and said."""
    if {'write', 'write-cached'} & set(chosen):
        done = subprocess.run([os.path.join(FOLDER, 'io'), 'read', place.written, str(DISK_MB), '1024', 'cached'], capture_output=True, check=False)
        if done.returncode:
            yield 'the disk does not hold what was written'
    if 'readback' in results and results['readback']['checksum'] != hash_of_tree:
        yield 'the share does not hold what was unpacked'
    if 'remove' in chosen and os.listdir(place.share):
        yield 'the share is not empty at the end'
    missing = [name for name in chosen if name not in results]
    if missing:
        yield 'no result of ' + ', '.join(missing)


def one_run(peer, place, args, binaries):
    place.renew()
    if peer != 'qemu':
        return bench.Run(doppel_command(binaries[peer], args.engine, place) + args.options.split())
    daemon = start_virtiofsd(place)
    result = bench.Run(qemu_command(place))
    daemon.terminate()
    daemon.wait()
    if os.path.exists(place.socket):
        os.unlink(place.socket)
    return result


def figure(case, result, files):
    if result['window'] is not None:
        return result['window']
    return (5 if case.name == 'list' else 1) * files / result['seconds']


def measure(data, args, place, chosen, binaries, tree, files):
    hash_of_tree = tree_hash(place, tree)
    for number in range(args.runs):
        for peer in data['peers']:
            result = one_run(peer, place, args, binaries)
            data['failed'] += [f'{peer}: {f}' for f in (*result.failed, *faults(place, chosen, result.results, hash_of_tree))]
            for case in CASES:
                r = result.results.get(case.name)
                if r:
                    data['figures'].setdefault(case.name, {}).setdefault(peer, []).append(figure(case, r, files))
                    data['checksums'].setdefault(case.name, {}).setdefault(r['checksum'] if case.unit != 'files/s' else '', []).append(peer)
            bench.say(f'round {number + 1} of {args.runs}: {peer}: {result.seconds:.1f} s' + ''.join(f'\n  FAILED {f}' for f in result.failed))
            if args.verbose:
                print(result.text, file=sys.stderr)


# ---- reporting ----

def rows(data, doppel):
    for case in CASES:
        figures = data['figures'].get(case.name)
        if not figures:
            continue
        d, q = (statistics.median(figures[p]) if p in figures else None for p in (doppel, 'qemu'))
        spread = max((max(f) - min(f)) / statistics.median(f) for f in figures.values())
        yield [case.title, case.unit, cell(d, '{:.0f}'), cell(q, '{:.0f}'), cell(ratio(d, q)), f'{100 * spread:.0f} %']


HEAD = ['', 'unit', 'doppel', 'QEMU', 'doppel/QEMU', 'spread']


def table(data):
    out = heading(data)
    for doppel in [p for p in data['peers'] if p.startswith('doppel')]:
        out += ['', f'{"":52} {"unit":>8} {doppel:>10} {"QEMU":>10} {"doppel/QEMU":>12} {"spread":>8}']
        out += [f'{r[0]:52} {r[1]:>8} {r[2]:>10} {r[3]:>10} {r[4]:>12} {r[5]:>8}' for r in rows(data, doppel)]
    return '\n'.join(out + [f'ERROR {f}' for f in data['failed']]) + '\n'


def write_docs(data, path):
    out = ['# Benchmarks of devices', '', 'Written by `bench/io.py --docs` from one run; do not edit.', '', *(f'- {h}' for h in heading(data)), '',
           'Work in a second; more is better. "doppel/QEMU": how many times faster doppel is. "Spread": largest less smallest of the rounds, of the',
           'median, of the worse peer. Both have the same kernel, initramfs, files in memory (' + data['place'] + ') and kinds of devices; what is read and',
           'written is checked. The share is served by doppel itself, and beside QEMU by its virtiofsd.', '',
           '| ' + ' | '.join(HEAD) + ' |', '|---|---|' + '---:|' * (len(HEAD) - 2)]
    out += ['| ' + ' | '.join(r) + ' |' for r in rows(data, 'doppel')]
    out += ['', *(f'- ERROR: {f}' for f in data['failed'])] if data['failed'] else []
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n'.join(out) + '\n')


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--runs', type=int, default=5, help='rounds (5)')
    parser.add_argument('--only', help='names, with commas: ' + ', '.join(c.name for c in CASES))
    parser.add_argument('--peers', default='doppel,qemu')
    parser.add_argument('--engine', default='bt')
    parser.add_argument('--doppel', default=os.path.join(bench.ROOT, 'build', 'doppel'))
    parser.add_argument('--ab', help='another build of doppel to measure beside this one')
    parser.add_argument('--options', default='', help='more options for doppel run')
    parser.add_argument('--folder', default='/dev/shm', help='where disks and share lie (/dev/shm)')
    parser.add_argument('--out', default=os.path.join(bench.ROOT, 'build', 'bench-io.json'))
    parser.add_argument('--verbose', action='store_true', help='what guests say, to stderr')
    parser.add_argument('--docs', action='store_true', help='write docs/benchmarks-io.md')
    return parser.parse_args()


def main():
    args = arguments()
    chosen = [c.name for c in CASES if not args.only or c.name in args.only.split(',')]
    peers = [p for p in args.peers.split(',') if p != 'qemu' or (shutil.which('qemu-system-x86_64') and os.path.exists(VIRTIOFSD))]
    if args.ab:
        peers.insert(peers.index('doppel') + 1, 'doppel B')
    kernel = os.path.realpath(os.path.join(bench.GUEST, 'vmlinuz'))
    build()
    data = {'versions': bench.versions(kernel), 'quick': False, 'clock': 'seconds', 'runs': args.runs, 'peers': peers, 'place': args.folder,
            'figures': {}, 'checksums': {}, 'failed': []}
    tree, files = source_tree()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix='doppel-bench.') as tmp, \
            subprocess.Popen([os.path.join(FOLDER, 'io'), 'serve'], stdout=subprocess.PIPE, text=True) as server:
        try:
            place = Place(tmp, kernel)
            binaries = {'doppel': os.path.join(tmp, 'doppel'), 'doppel B': args.ab}
            shutil.copy(args.doppel, binaries['doppel'])  # whoever builds meanwhile does not disturb us
            write_initrd(place.initrd, chosen, server.stdout.readline().strip(), tree)
            subprocess.run([os.path.join(FOLDER, 'io'), 'fill', place.filled, str(DISK_MB)], check=True, stdout=subprocess.DEVNULL)
            measure(data, args, place, chosen, binaries, tree, files)
        finally:
            server.terminate()
    data['failed'] += [f'{name}: checksums differ: {sums}' for name, sums in data['checksums'].items() if len(sums) > 1]
    with open(args.out, 'w', encoding='utf-8') as f:
        json.dump(data, f, indent=1)
    print(table(data))
    if args.docs:
        write_docs(data, os.path.join(bench.ROOT, 'docs', 'benchmarks-io.md'))
    return 1 if data['failed'] else 0


if __name__ == '__main__':
    sys.exit(main())
