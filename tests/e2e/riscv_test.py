#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""End-to-end laws of riscv64 guests: riscv_test.py DOPPEL X86_KERNEL POWEROFF RESET STATUS LOOP FIRMWARE; four are builds of
tests/guests/riscv_board.c that end in these ways, the last is one of riscv_firmware.S. Each law is a function; its name is printed with the verdict.
"""
import gzip
import os
import struct
import subprocess
import sys
import tempfile
import traceback

DOPPEL, X86 = os.path.abspath(sys.argv[1]), sys.argv[2]
POWEROFF, RESET, STATUS, LOOP, FIRMWARE = sys.argv[3:8]
TMP = tempfile.TemporaryDirectory() # pylint: disable=consider-using-with
os.environ['XDG_RUNTIME_DIR'] = TMP.name # our machines are not the user's


def run(kernel, *args, arch='riscv64'):
    p = subprocess.run([DOPPEL, 'run', '--arch', arch, '--kernel', kernel, '--memory', '64M', '--timeout', '20', *args],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def expect(got, want, what):
    if got != want:
        raise AssertionError(f'{what}: got {got!r}, want {want!r}')


def refused(words, status, *args, **kwargs):
    code, out, err = run(*args, **kwargs)
    expect((code, out, err.count('\n'), err.startswith('doppel: ')), (status, '', 1, True), f'refusal {err!r}')
    if words not in err:
        raise AssertionError(f'{words!r} is not in {err!r}')


def file(name, data):
    path = os.path.join(TMP.name, name)
    with open(path, 'wb') as f:
        f.write(data)
    return path


def check_laws(out, laws):
    lines = out.splitlines()
    expect(lines[:2], ['hello by DBCN', 'hello by UART'], 'the first lines')
    expect(lines[-1], 'done', 'the last line')
    expect([line for line in lines[2:-1] if not line.endswith(': ok')], [], 'laws that do not hold')
    expect(len(lines) - 3, laws, 'laws')


def image(size, offset=0x200000):
    """The header of an Image that takes that many bytes of memory; it does nothing."""
    return struct.pack('<IIQQQIIQ8s4sI', 0x6f, 0, offset, size, 0, 2, 0, 0, b'RISCV\0\0\0', b'RSC\x05', 0)


def one_hart_keeps_the_laws_and_powers_off():
    code, out, err = run(POWEROFF)
    expect((code, err), (0, ''), 'end')
    check_laws(out, 14)


def two_harts_start_stop_and_interrupt_each_other():
    for _ in range(3):
        code, out, err = run(POWEROFF, '--cpus', '2')
        expect((code, err), (0, ''), 'end')
        check_laws(out, 20)


def an_image_is_loaded_where_its_header_says():
    """An Image whose first instruction jumps behind its header, to a power off by the test finisher."""
    code = struct.pack('<7I', 0x001002b7, 0x00005337, 0x55530313, 0x0062a023, 0x0000006f, 0, 0) # lui t0; lui, addi t1; sw; j .
    # lui t1, 5; addi t1, t1, 0x555
    header = struct.pack('<IIQQQIIQ8s4sI', 0x0400006f, 0, 0x200000, 0x1000, 0, 2, 0, 0, b'RISCV\0\0\0', b'RSC\x05', 0)
    for name, data in (('Image', header + code), ('Image.gz', gzip.compress(header + code))):
        status, out, err = run(file(name, data))
        expect((status, out, err), (0, '', ''), name)


def a_reset_ends_the_run_and_a_status_passes_through():
    expect(run(RESET)[0], 0, 'status of a reset')
    expect(run(STATUS)[0], 7, 'status of the test finisher')


def a_guest_that_never_ends_is_ended():
    expect(run(LOOP, '--timeout', '1')[0], 124, 'status')


def kernels_of_another_instruction_set_get_one_clear_line():
    refused('an ELF file for 32-bit x86, this machine is riscv64', 1, X86)
    refused('an ELF file for RISC-V, this machine is x86-64', 1, POWEROFF, arch='x86-64')
    bz = bytearray(4096)
    bz[0x1f1], bz[0x1fe:0x200], bz[0x202:0x206], bz[0x206:0x208] = 1, b'\x55\xaa', b'HdrS', struct.pack('<H', 0x20c)
    refused('an x86 Linux bzImage', 1, file('bzImage', bytes(bz)))
    refused('neither ELF nor a Linux Image', 1, file('text', b'hello\n' * 100))
    refused('a RISC-V Linux Image, not a kernel for x86-64', 1, file('riscv', image(0x1000)), arch='x86-64')


def broken_kernels_get_one_clear_line():
    with open(POWEROFF, 'rb') as f:
        elf = f.read()
    refused('truncated', 1, file('cut', elf[:50]))
    refused('truncated', 1, file('cut2', elf[:1000]))
    image = struct.pack('<IIQQQIIQ8s4sI', 0x13, 0, 1 << 63, 0x1000, 0, 2, 0, 0, b'RISCV\0\0\0', b'RSC\x05', 0)
    refused('needs RAM', 1, file('far', image))
    huge = struct.pack('<IIQQQIIQ8s4sI', 0x13, 0, 0x200000, 1 << 62, 0, 2, 0, 0, b'RISCV\0\0\0', b'RSC\x05', 0)
    refused('needs RAM', 1, file('huge', huge))


def what_does_not_fit_into_memory_is_said():
    small = file('small', image(0x1000))
    refused('where the device tree is to be', 1, file('to the end', image(62 << 20)))
    refused('needs RAM', 1, file('over the end', image(63 << 20)))
    refused('initrd of 67108864 bytes does not fit', 1, small, '--initrd', file('initrd', bytes(64 << 20)))
    refused('initrd of 16777216 bytes does not fit', 1, file('most of it', image(50 << 20)), '--initrd', file('initrd', bytes(16 << 20)))
    refused("initrd: cannot open '/nowhere'", 1, small, '--initrd', '/nowhere')
    refused('the kernel takes at most 1023', 1, small, '--append', 'x' * 1024)


def broken_zboot_images_get_one_clear_line():
    def zboot(offset, size, data):
        return struct.pack('<4s4sIIII32s', b'MZ', b'zimg', offset, size, 0, 0, b'lzfoo') + data
    refused('truncated', 1, file('z1', zboot(56, 1000, b'')))
    refused('truncated', 1, file('z2', zboot(0xffffffff, 0xffffffff, b'')))
    refused("('lzfoo') is not compressed in a known way", 1, file('z3', zboot(56, 100, bytes(100))))
    data = gzip.compress(bytes(1000))
    refused('neither ELF nor a Linux Image', 1, file('z4', zboot(56, len(data), data)))
    refused('corrupt gzip data', 1, file('z5', zboot(56, len(data) // 2, data)))


def plain_code(elf):
    """The bytes of the segment with the entry, from the entry on."""
    with open(elf, 'rb') as f:
        data = f.read()
    entry, phoff = struct.unpack_from('<QQ', data, 24)
    for i in range(struct.unpack_from('<H', data, 56)[0]):
        kind, _, offset, vaddr, _, size = struct.unpack_from('<IIQQQQ', data, phoff + 56 * i)
        if kind == 1 and vaddr <= entry < vaddr + size:
            return data[offset + entry - vaddr:offset + size]
    raise AssertionError('no segment has the entry')


def firmware_runs_first_and_is_told_of_the_kernel():
    calls = struct.pack('<I', 0x00000073) # ecall: the firmware, and not the monitor, is to see it
    kernel = file('calls', struct.pack('<I', 0x0400006f) + image(0x1000)[4:] + calls)
    for firmware in FIRMWARE, file('firmware.bin', plain_code(FIRMWARE)):
        for follows in kernel, file('raw', calls): # an Image, and anything else
            code, out, err = run(follows, '--firmware', firmware, '--cpus', '2')
            expect((code, out, err), (77, '', ''), f'{firmware}, {follows}')


def bad_firmware_gets_one_clear_line():
    refused('starts its kernel without any', 2, X86, '--firmware', FIRMWARE, arch='x86-64')
    refused("firmware: cannot open '/nowhere'", 1, POWEROFF, '--firmware', '/nowhere')
    refused('an ELF file for 32-bit x86', 1, POWEROFF, '--firmware', X86)
    refused('neither ELF nor plain code', 1, POWEROFF, '--firmware', file('packed', gzip.compress(b'x')))
    refused('begins at 0x80200000', 1, file('small2', image(0x1000)), '--firmware', file('long', bytes(3 << 20)))


def what_the_board_lacks_is_said():
    refused('at most 8', 2, POWEROFF, '--cpus', '9')
    refused('has its devices on PCI', 2, X86, '--bus', 'mmio', arch='x86-64')
    refused("'isa' is not mmio or pci", 2, POWEROFF, '--bus', 'isa')
    refused("unknown CPU model 'x86-64-v3' for riscv64", 2, POWEROFF, '--cpu', 'x86-64-v3')
    refused("unknown engine 'direct' for riscv64", 2, POWEROFF, '--engine', 'direct')


LAWS = [one_hart_keeps_the_laws_and_powers_off, two_harts_start_stop_and_interrupt_each_other,
        an_image_is_loaded_where_its_header_says, a_reset_ends_the_run_and_a_status_passes_through,
        a_guest_that_never_ends_is_ended, kernels_of_another_instruction_set_get_one_clear_line, broken_kernels_get_one_clear_line,
        what_does_not_fit_into_memory_is_said, broken_zboot_images_get_one_clear_line, firmware_runs_first_and_is_told_of_the_kernel, bad_firmware_gets_one_clear_line,
        what_the_board_lacks_is_said]
FAILED = 0
for law in LAWS:
    try:
        law()
        print(f'ok   {law.__name__}')
    except (AssertionError, OSError, subprocess.TimeoutExpired):
        FAILED += 1
        print(f'FAIL {law.__name__}')
        traceback.print_exc(file=sys.stdout)
sys.exit(FAILED > 0)
