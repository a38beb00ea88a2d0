# SPDX-License-Identifier: MIT
"""What a guest was told is on its disk is there after doppel was killed: machines that write, kill -9, and a look at the disk.

The guest runs tests/guests/disk_writer.c on an ext4 file system and says of each record when it is safe (fsync() had returned). A Cycle
boots, reads what it says and kills doppel in the middle. Then a copy of the disk must recover by its journal alone (e2fsck finds nothing
else to do), and each record that was said must be on it, whole (Reports.check). The next cycle's guest mounts the disk as the kill left
it. Used by tests/e2e/run_test.py and scripts/run-kill-test. Needs mke2fs, e2fsck and debugfs of e2fsprogs.
"""
import os
import random
import re
import select
import shutil
import struct
import subprocess
import tempfile
import time
import zlib

HEADER = struct.Struct('<IIQII')  # magic, CRC-32 of what follows it, number, length, writer: as disk_writer.c has it
MAGIC, PLACE = 0x44524352, 64 << 10
SAID = re.compile(rb'^@(\d) ([asf]) (\d+) (\d+)\r?\n', re.M)
OPTIONS = ['data=ordered', 'data=journal', 'discard', 'data=writeback', 'journal_checksum,discard']
PATH = os.environ.get('PATH', '') + ':/sbin:/usr/sbin'
STEP = 1000000  # between the numbers of two cycles


class Lost(Exception):
    """What is wrong, in a line."""


def have_tools():
    return all(shutil.which(t, path=PATH) for t in ('mke2fs', 'e2fsck', 'debugfs'))


def tool(*args, good=(0,)):
    """Runs a program of e2fsprogs; returns its output."""
    p = subprocess.run(args, env=dict(os.environ, PATH=PATH, LC_ALL='C'), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, check=False)
    if p.returncode not in good:
        raise Lost(f'{args[0]} ends with {p.returncode}: {p.stdout.decode(errors="replace").strip()[-600:]}')
    return p.stdout


# ---- records ----

def parse(data, offset):
    """(number, end) of the record at an offset; None where there is no whole one."""
    if len(data) - offset < HEADER.size:
        return None
    magic, crc, number, length, _ = HEADER.unpack_from(data, offset)
    end = offset + HEADER.size + length
    if magic != MAGIC or end > len(data) or zlib.crc32(data[offset + 8:end]) != crc:
        return None
    return number, end


def load(folder, *names):
    try:
        with open(os.path.join(folder, *names), 'rb') as f:
            return f.read()
    except FileNotFoundError:
        return b''


class Reports:
    """All that guests have said of a disk."""

    def __init__(self):
        self.logs, self.slots, self.files, self.count = {}, {}, {}, 0

    def add(self, text):
        broken = re.search(rb'^@\d broken .*', text, re.M)
        if broken:
            raise Lost('the guest says ' + broken.group(0).decode(errors='replace'))
        for writer, kind, place, number in SAID.findall(text):
            key, number = (int(writer), int(place)), int(number)
            if kind == b'a':
                self.logs.setdefault(key, []).append(number)
            else:
                (self.slots if kind == b's' else self.files)[key] = number
            self.count += 1

    def check(self, tree):
        """tree: the file system's contents, as a folder. A record may be newer than what was said: the kill came before the guest could."""
        for (writer, start), numbers in self.logs.items():
            data, found, at = load(tree, f'writer{writer}', f'log.{start}'), [], 0
            while (record := parse(data, at)) and len(found) < len(numbers):
                found.append(record[0])
                at = record[1]
            if found != numbers:
                good = next((i for i, (a, b) in enumerate(zip(found, numbers)) if a != b), len(found))
                raise Lost(f'log.{start} of writer {writer}: {good} of {len(numbers)} records are there; {numbers[good]} is not')
        for (writer, slot), number in self.slots.items():
            data = load(tree, f'writer{writer}', 'slots')
            places = [parse(data[at:at + PLACE], 0) for at in (2 * slot * PLACE, (2 * slot + 1) * PLACE)]
            if max((p[0] for p in places if p), default=-1) < number:
                raise Lost(f'slot {slot} of writer {writer}: record {number} is not there, but {places}')
        for (writer, k), number in self.files.items():
            record = parse(load(tree, f'writer{writer}', f'file.{k}'), 0)
            if not record or record[0] < number:
                raise Lost(f'file.{k} of writer {writer}: record {number} is not there, but {record}')


# ---- disks ----

class Disk:
    """An ext4 file system in a file: kind is `raw` (the file itself is written) or `overlay` (kept in another one)."""

    def __init__(self, folder, kind, megabytes, block):
        self.kind, self.bytes = kind, megabytes << 20
        self.path, self.over = os.path.join(folder, kind + '.disk'), os.path.join(folder, kind + '.over')
        tool('mke2fs', '-q', '-t', 'ext4', '-b', str(block), '-E', 'lazy_itable_init=0,lazy_journal_init=0', self.path, f'{megabytes}M')

    def argument(self):
        return self.path.replace(',', ',,') + (',overlay=' + self.over.replace(',', ',,') if self.kind == 'overlay' else '')

    def copy(self, to, run):
        """Writes what the next guest would see to a file; run(*args) runs a command in a guest with these options."""
        if self.kind == 'raw':
            subprocess.run(['cp', '--sparse=always', self.path, to], check=True)
            return
        with open(to, 'wb') as f:
            f.truncate(self.bytes)
        status, _, err = run('--disk', self.argument(), '--disk', to.replace(',', ',,'), '--', 'dd', 'if=/dev/vda', 'of=/dev/vdb', 'bs=1M')
        if status:
            raise Lost(f'the overlay cannot be read: {err.decode(errors="replace").strip()[-300:]}')


def recover_and_check(image, reports):
    """Recovers a file system by its journal; nothing else may be wrong with it, and all that was said must be there."""
    tool('e2fsck', '-E', 'journal_only', '-p', image, good=(0, 1))
    tool('e2fsck', '-fp', image, good=(0, 1))  # clears orphans, which is what a mount does; 4: more is wrong
    check(image, reports)


def check(image, reports):
    tool('e2fsck', '-fn', image)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(image)) as tree:
        tool('debugfs', '-R', f'rdump / {tree}', image)
        reports.check(tree)


# ---- machines ----

class Cycle:
    """One guest in an initramfs that writes to a disk until it is killed."""

    def __init__(self, command, disk, writer, start, options):
        script = (f'head -c {os.path.getsize(writer)} /dev/vdb >/tmp/writer && chmod +x /tmp/writer && '
                  f'mount -t ext4 -o {options} /dev/vda /mnt && exec /tmp/writer /mnt {start}')
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*command, '--disk', disk.argument(), '--disk', padded(writer).replace(',', ',,') + ',ro', '--',
                                         'sh', '-c', script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors)
        self.said = b''

    def read_for(self, seconds, until=None):
        """Reads what the guest says, until a pattern is in it if one is given."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (until and until.search(self.said)):
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                if not data:
                    break
                self.said += data

    def kill(self, delay):
        """Waits for the first record, then so many seconds, and kills. Returns all that was said."""
        self.read_for(60, SAID)
        began = bool(SAID.search(self.said))
        if began:
            self.read_for(delay)
        alive = self.process.poll() is None
        self.process.kill()
        self.said += self.process.communicate()[0]
        self.errors.seek(0)
        errors = self.errors.read().decode(errors='replace').strip()
        self.errors.close()
        if not began or not alive:
            said = self.said[-300:].decode(errors='replace')
            raise Lost(f'the guest {"ended" if began else "wrote nothing"}: {errors[-600:]} {said}')
        return self.said


def padded(path):
    """A program as a disk: its size is to be a multiple of 512 bytes."""
    disk = path + '.disk'
    if not os.path.exists(disk) or os.path.getmtime(disk) < os.path.getmtime(path):
        new = f'{disk}.{os.getpid()}'
        with open(path, 'rb') as f, open(new, 'wb') as g:
            data = f.read()
            g.write(data + bytes(-len(data) % 512))
        os.rename(new, disk)
    return disk


def run_kills(machine, run, disk, kills, seed, seconds=(0.1, 1.5), say=lambda text: None):
    """Kills machines that write to a disk, and looks at the disk after each.

    machine(disk, start, options) begins one, a Cycle or the like; run(*args) runs `doppel run ARGS` and returns status, output and
    errors. Returns Reports, and leaves a copy of the disk in disk.path + '.copy'; raises Lost."""
    rng, reports = random.Random(seed), Reports()
    copy = disk.path + '.copy'
    for number in range(kills):
        options = rng.choice(OPTIONS)
        before = reports.count
        reports.add(machine(disk, number * STEP, options).kill(rng.uniform(*seconds)))
        try:
            disk.copy(copy, run)
            recover_and_check(copy, reports)
        except Lost as e:
            raise Lost(f'kill {number + 1} of a guest with {options}: {e}') from e
        say(f'kill {number + 1:3} {disk.kind:8} {options:25} {reports.count - before:6} records were said to be safe, and are there')
    status, _, err = run('--disk', disk.argument(), '--', 'sh', '-c', 'mount /dev/vda /mnt && umount /mnt')
    if status:
        raise Lost(f'the guest cannot mount it: {err.decode(errors="replace").strip()[-300:]}')
    disk.copy(copy, run)
    check(copy, reports)  # now the guest's kernel has recovered it, not e2fsck
    return reports
