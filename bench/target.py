# SPDX-License-Identifier: MIT
"""What bench/run.py measures with, an instruction set of the guest: compilers, kernel, busybox, QEMU.

For x86-64 all of it is the host's compiler and what `make guests` fetched. For riscv64 it is a cross compiler and what
`make guests ARCH=riscv64` fetched, unless the environment names others:
  DOPPEL_BENCH_RISCV_CC       for the guest's programs, static ones (riscv64-linux-gnu-gcc)
  DOPPEL_BENCH_NATIVE_CC      for the same programs on the host (gcc), so that both sides can have one libc
  DOPPEL_BENCH_RISCV_KERNEL   an Image, and DOPPEL_BENCH_RISCV_BUSYBOX, a static busybox
  DOPPEL_BENCH_RISCV_QEMU     qemu-system-riscv64
"""
import gzip
import os
import shutil
import subprocess
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, 'build', 'bench')
APPEND = 'console=ttyS0 panic=-1 quiet cryptomgr.notests rcupdate.rcu_expedited=1'
FLAVOURS = {'x86-64': ('cloud',), 'riscv64': ('generic',)}  # as scripts/get-guest names them
PACKAGES = {'x86-64': 'gcc', 'riscv64': 'gcc-riscv64-linux-gnu libc6-dev-riscv64-cross, or DOPPEL_BENCH_RISCV_CC'}


def first_line(command):
    """Of what it prints; None if it fails."""
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout.split('\n')[0]
    except (OSError, subprocess.CalledProcessError):
        return None


def libc_of(compiler):
    """Which libc its programs get, by the headers; None if it has none. musl defines no name of its own."""
    text = '#include <stdio.h>\n#ifdef __GLIBC__\nlibc glibc __GLIBC__ __GLIBC_MINOR__\n#else\nlibc musl\n#endif\n'
    try:
        out = subprocess.run([compiler, '-E', '-P', '-x', 'c', '-'], input=text, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    word = next(line for line in out.splitlines() if line.startswith('libc ')).split()
    return f'{word[1]} {word[2]}.{word[3]}' if len(word) == 4 else word[1]


def guest_folder(arch):
    return os.path.join(ROOT, 'build', 'guests', arch, FLAVOURS[arch][0])


@dataclass
class Target:
    """An instruction set of guests and what is there for it."""
    arch: str
    kernel: str
    busybox: str
    cc: str
    native_cc: str
    qemu: str
    qemu_package: str
    qemu_machine: tuple
    folder: str  # of the programs
    native_folder: str  # of those for the host
    doppel_options: tuple = ()

    def missing(self):
        """What is not there, as a line; None if the guest can be measured."""
        lacks = []
        if libc_of(self.cc) is None:
            lacks.append(f'no {self.cc} that can compile for Linux (apt: {PACKAGES[self.arch]})')
        if libc_of(self.native_cc) is None:
            lacks.append(f'no {self.native_cc} that can compile for Linux')
        files = [os.path.relpath(f, ROOT) if f.startswith(ROOT + os.sep) else f for f in (self.kernel, self.busybox) if not os.path.exists(f)]
        if files:
            other = ', or DOPPEL_BENCH_RISCV_KERNEL and DOPPEL_BENCH_RISCV_BUSYBOX' if self.arch == 'riscv64' else ''
            lacks.append(f'no {" and no ".join(files)} (make guests ARCH={self.arch}{other})')
        return '; '.join(lacks) or None

    def has_qemu(self):
        return shutil.which(self.qemu) is not None

    def guest(self):
        """The name of the guest's kernel: the package, or what the file says of itself, or its name."""
        manifest = os.path.join(os.path.dirname(self.kernel), 'manifest')
        if os.path.exists(manifest):
            with open(manifest, encoding='ascii') as f:
                return f.readline().strip()
        with open(self.kernel, 'rb') as f:
            data = f.read()
        begin = data.find(b'Linux version ')
        return ' '.join(data[begin:begin + 100].decode(errors='replace').split()[:3]) if begin >= 0 else os.path.basename(self.kernel)

    def unpack_kernel(self, folder):
        """Has a kernel that is gzip's put there as it is inside: QEMU 7.2 takes no other for riscv64, and both get the same file."""
        with open(self.kernel, 'rb') as f:
            data = f.read()
        if data.startswith(b'\x1f\x8b'):
            self.kernel = os.path.join(folder, 'Image')
            with open(self.kernel, 'wb') as f:
                f.write(gzip.decompress(data))

    def compilers(self):
        """Compiler and libc of the guest's programs, and of the host's where they differ."""
        guest, native = (f'{first_line([cc, "--version"])}, {libc_of(cc)}' for cc in (self.cc, self.native_cc))
        return guest if guest == native else f'guest: {guest}; native: {native}'

    def doppel_command(self, binary, engine, kernel, initrd):
        return [binary, 'run', *self.doppel_options, '--engine', engine, '--kernel', kernel, '--initrd', initrd, '--append', APPEND, '--memory', '512M']

    def qemu_command(self, kernel, initrd):
        return [self.qemu, '-accel', 'tcg', *self.qemu_machine, '-m', '512', '-kernel', kernel, '-initrd', initrd, '-append', APPEND,
                '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot']


def x86_64():
    guest = guest_folder('x86-64')
    return Target('x86-64', os.path.join(guest, 'vmlinuz'), os.path.join(guest, 'busybox'), 'gcc', 'gcc', 'qemu-system-x86_64', 'qemu-system-x86',
                  ('-cpu', 'max'), FOLDER, FOLDER)


def riscv64():
    guest = guest_folder('riscv64')
    env = lambda name, default: os.environ.get('DOPPEL_BENCH_' + name) or default
    return Target('riscv64', env('RISCV_KERNEL', os.path.join(guest, 'vmlinuz')),
                  env('RISCV_BUSYBOX', os.path.join(guest, 'busybox')), env('RISCV_CC', 'riscv64-linux-gnu-gcc'),
                  env('NATIVE_CC', 'gcc'), env('RISCV_QEMU', 'qemu-system-riscv64'), 'qemu-system-misc',
                  ('-machine', 'virt'), os.path.join(FOLDER, 'riscv64'), os.path.join(FOLDER, 'riscv64-native'), ('--arch', 'riscv64'))


TARGETS = {'x86-64': x86_64, 'riscv64': riscv64}
