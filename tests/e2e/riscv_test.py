#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""End-to-end laws of riscv64 guests: riscv_test.py DOPPEL X86_KERNEL POWEROFF RESET STATUS LOOP FIRMWARE GUESTS...; four are builds of
tests/guests/riscv_board.c that end in these ways, then one of riscv_firmware.S, then those that misuse the machine, and one with vectors, known by
their files' names. Each law is a function; its name is printed with the verdict.
"""
import gzip
import os
import re
import struct
import subprocess
import sys
import tempfile
import traceback

DOPPEL, X86 = os.path.abspath(sys.argv[1]), sys.argv[2]
POWEROFF, RESET, STATUS, LOOP, FIRMWARE = sys.argv[3:8]
MISUSE = {os.path.basename(path): path for path in sys.argv[8:]}
TMP = tempfile.TemporaryDirectory() # pylint: disable=consider-using-with
os.environ['XDG_RUNTIME_DIR'] = TMP.name # our machines are not the user's


def run(kernel, *args, arch='riscv64'):
    boot = ['--kernel', kernel] if kernel else []
    p = subprocess.run([DOPPEL, 'run', '--arch', arch, *boot, '--memory', '64M', '--timeout', '20', *args],
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


def bzimage():
    bz = bytearray(4096)
    bz[0x1f1], bz[0x1fe:0x200], bz[0x202:0x206], bz[0x206:0x208] = 1, b'\x55\xaa', b'HdrS', struct.pack('<H', 0x20c)
    return file('bzImage', bytes(bz))


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
    refused('an x86 Linux bzImage', 1, bzimage())
    arm = struct.pack('<IIQQQQQQ4sI', 0x14000010, 0, 0, 0x1000, 10, 0, 0, 0, b'ARM\x64', 0)
    refused('an AArch64 Linux Image, not a kernel for riscv64', 1, file('arm', arm))
    refused('an AArch64 Linux Image, not a kernel for riscv64', 1, file('arm.gz', gzip.compress(arm)))
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
    refused('a big-endian RISC-V Linux Image', 1, file('big', image[:24] + b'\1' + image[25:]))
    refused('text offset', 1, file('odd', image[:8] + struct.pack('<Q', 0x200001) + image[16:]))
    refused('neither ELF nor a Linux Image', 1, file('short', image[:40]))
    refused('is empty', 1, file('empty', b''))
    refused('it ends too early', 1, file('cut.gz', gzip.compress(os.urandom(9999))[:5000]))
    refused("cannot open '/nowhere'", 1, '/nowhere')


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
    with open(FIRMWARE, 'rb') as f:
        elf = f.read()
    phoff = struct.unpack_from('<Q', elf, 32)[0]
    refused('32-bit', 1, POWEROFF, '--firmware', file('fw32', elf[:4] + b'\1' + elf[5:]))
    refused('an ELF file for AArch64', 1, POWEROFF, '--firmware', file('fwarm', elf[:18] + b'\xb7\0' + elf[20:]))
    refused('big-endian RISC-V', 1, POWEROFF, '--firmware', file('fwbig', elf[:5] + b'\2' + elf[6:18] + b'\0\xf3' + elf[20:]))
    refused('truncated', 1, POWEROFF, '--firmware', file('fwcut', elf[:100]))
    refused('is empty', 1, POWEROFF, '--firmware', file('fwempty', b''))
    outside = bytearray(elf)
    for i in range(struct.unpack_from('<H', elf, 56)[0]):
        struct.pack_into('<QQ', outside, phoff + 56 * i + 16, 0x10000000, 0x10000000)
    struct.pack_into('<Q', outside, 24, 0x10000000)
    refused('it needs RAM at 0x10000000', 1, POWEROFF, '--firmware', file('fwout', bytes(outside)))
    struct.pack_into('<Q', outside, 24, 0x90000000)
    refused('entry', 1, POWEROFF, '--firmware', file('fwentry', bytes(outside)))
    refused('an x86 Linux bzImage, not firmware', 1, POWEROFF, '--firmware', bzimage())
    refused('neither ELF nor plain code', 1, POWEROFF, '--firmware', file('packed', gzip.compress(b'x')))
    refused('begins at 0x80200000', 1, file('small2', image(0x1000)), '--firmware', file('long', bytes(3 << 20)))


def tree(**nodes):
    """A flattened device tree: memory, cpus, and what is named, by properties of the root's children."""
    strings, body = b'', b''
    def word(n):
        return struct.pack('>I', n)
    def padded(data):
        return data + bytes(-len(data) % 4)
    for name, properties in {'': {'#address-cells': word(2), '#size-cells': word(2)}, **nodes}.items():
        body += word(1) + padded(name.encode() + b'\0')
        for key, value in properties.items():
            body += word(3) + word(len(value)) + word(len(strings)) + padded(value)
            strings += key.encode() + b'\0'
        body += b'' if name == '' else word(2)
    body += word(2) + word(9)
    total = 40 + 16 + len(body) + len(strings)
    return struct.pack('>10I', 0xd00dfeed, total, 56, 56 + len(body), 40, 17, 16, 0, len(strings), len(body)) + bytes(16) + body + strings


def memory(base, size):
    return {'device_type': b'memory\0', 'reg': struct.pack('>QQ', base, size)}


def the_users_device_tree_is_given_and_a_bad_one_gets_one_clear_line():
    good = tree(memory=memory(0x80000000, 64 << 20), cpus={})
    expect(run(POWEROFF, '--dtb', file('good.dtb', good))[::2], (0, ''), 'a tree')
    refused('has no device tree', 2, X86, '--dtb', file('good.dtb', good), arch='x86-64')
    refused("dtb: cannot open '/nowhere'", 1, POWEROFF, '--dtb', '/nowhere')
    refused('is empty', 1, POWEROFF, '--dtb', file('e.dtb', b''))
    refused('more than the limit of 65536', 1, POWEROFF, '--dtb', file('l.dtb', bytes(1 << 20)))
    for name, data in ('cut', good[:-9]), ('magic', b'\0' + good[1:]), ('text', b'/dts-v1/;\n/ { };\n'), ('elf', b'\x7fELF' + bytes(60)):
        refused('not a flattened device tree', 1, POWEROFF, '--dtb', file(name + '.dtb', data))
    refused('has 0x8000000 bytes at 0x80000000', 1, POWEROFF, '--dtb', file('m.dtb', tree(memory=memory(0x80000000, 128 << 20), cpus={})))
    refused('has 0x1000 bytes at 0x1000', 1, POWEROFF, '--dtb', file('m2.dtb', tree(memory=memory(0x1000, 0x1000), cpus={})))
    refused('it has no memory', 1, POWEROFF, '--dtb', file('n.dtb', tree(cpus={})))
    refused('it has no /cpus', 1, POWEROFF, '--dtb', file('c.dtb', tree(memory=memory(0x80000000, 1 << 20))))


def misused(name, *args):
    for engine in 'interp', 'bt':
        code, out, err = run(*args, '--engine', engine, '--timeout', '60')
        lines = out.splitlines()
        expect((code, err, lines[-1:]), (0, '', ['done']), f'{name} by {engine}: {out}')
        expect([line for line in lines[:-1] if not line.endswith(': ok')], [], f'{name} by {engine}: laws that do not hold')


def every_csr_is_read_and_written_as_the_specification_has_it():
    misused('riscv_csr_s', MISUSE['riscv_csr_s'])
    misused('riscv_csr_m', None, '--firmware', MISUSE['riscv_csr_m'])


def a_misused_sbi_answers_as_the_specification_has_it():
    misused('riscv_sbi', MISUSE['riscv_sbi'], '--cpus', '2')


def a_guest_that_locks_itself_out_by_pmp_harms_only_itself():
    misused('riscv_pmp', None, '--firmware', MISUSE['riscv_pmp'])
    for engine in 'interp', 'bt': # it faults for ever, and can be ended
        code, out, _ = run(None, '--firmware', MISUSE['riscv_lockout'], '--engine', engine, '--timeout', '1')
        expect((code, out), (124, 'locked out\n'), engine)


def tasks_keep_their_vectors_across_traps():
    for engine in 'interp', 'bt':
        for vlen, cpus in (128, 1), (512, 4):
            code, out, err = run(MISUSE['riscv_vector_tasks'], '--engine', engine, '--cpu', f'max,vlen={vlen}', '--cpus', str(cpus))
            expect((code, err), (0, ''), f'{engine}: {out}')
            lines = out.splitlines()
            expect((lines[0], lines[-1], len(lines)), (f'harts {cpus:016x}', 'done', 8), engine)
            expect([line for line in lines[1:-1] if not line.endswith(': ok')], [], f'{engine}, VLEN {vlen}: laws that do not hold')


def a_hypervisor_runs_a_virtual_machine():
    misused('riscv_hyp', MISUSE['riscv_hyp'], '--cpu', 'max')


def traced_code_names_guest_and_host_instructions():
    folder = os.path.join(TMP.name, 'code')
    code, out, err = run(POWEROFF, '--cpus', '2', '--engine', 'bt', f'--trace-code={folder}')
    expect((code, err), (0, ''), 'end')
    check_laws(out, 20)
    expect(sorted(os.listdir(folder)), ['cpu0.lst', 'cpu1.lst'], 'files')
    with open(os.path.join(folder, 'cpu0.lst'), encoding='ascii') as f:
        listing = f.read()
    made = re.findall(r'^#(\d+) guest [a-z -]+ 0x[0-9a-f]+ ram 0x[0-9a-f]+: (\d+) instructions', listing, re.M)
    expect((len(made) > 1, [int(m[0]) for m in made]), (True, list(range(len(made)))), 'numbers of translations')
    guest = re.findall(r'^    0x[0-9a-f]+  [a-z]', listing, re.M)
    expect(len(guest), sum(int(m[1]) for m in made), 'guest instructions')
    expect(len(re.findall(r'^ {8}0x[0-9a-f]+  [0-9a-f]+[ +]+ [a-z]', listing, re.M)) > len(guest), True, 'host code')
    expect(('(bad)' in listing, listing.count('doppel stub ')), (False, 8), 'host code that Zydis does not know, stubs')
    expect(run(POWEROFF, '--engine', 'interp', '--trace-code')[0], 1, 'interp')


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
        the_users_device_tree_is_given_and_a_bad_one_gets_one_clear_line, every_csr_is_read_and_written_as_the_specification_has_it,
        tasks_keep_their_vectors_across_traps, a_misused_sbi_answers_as_the_specification_has_it, a_guest_that_locks_itself_out_by_pmp_harms_only_itself,
        a_hypervisor_runs_a_virtual_machine, traced_code_names_guest_and_host_instructions, what_the_board_lacks_is_said]
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
