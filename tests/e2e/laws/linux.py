# SPDX-License-Identifier: MIT
"""A Linux guest and commands in it."""
import os
import re
import signal
import subprocess
import tempfile
import time

from laws.harness import DOPPEL, RUN, STRESS, expect, expect_idle, expect_in, guest, one_line, session


def the_commands_output_and_status_are_the_programs():
    status, out, err = guest('uname -s; echo oops >&2; exit 7')
    expect((status, out, err), (7, b'Linux\n', b'oops\n'), 'run')


def stdin_reaches_the_command_whole():
    data = bytes(range(256)) * 1000
    expect(guest('cat', stdin=data), (0, data, b''), 'cat')


def kernels():
    """--kernel options for the flavours that were fetched; without one it is the cloud kernel's."""
    generic = os.path.join(os.path.dirname(DOPPEL), '..', '..', '..', 'guests', 'x86-64', 'generic', 'vmlinuz')
    return [[]] + ([['--kernel', generic]] if os.path.exists(generic) else [])


def the_kernel_finds_nothing_to_complain_about():
    sizes = ([], ['--cpus', '2', '--memory', '4G'], ['--cpus', '2', '--memory', '128M'])
    for args in [kernel + size for kernel in kernels() for size in sizes]:
        cpus = args[args.index('--cpus') + 1] if '--cpus' in args else '1'
        status, out, err = guest('nproc; dmesg -r', *args)
        expect((status, err), (0, b''), args)
        lines = out.decode(errors='replace').splitlines()
        expect(lines[0], cpus, 'CPUs online')
        bad = [l for l in lines[1:] if re.match(r'<[0-4]>', l) or
               re.search(r'WARNING|BUG:|Call Trace|unstable|lockup|firmware bug|hung task', l, re.I)]
        if os.getloadavg()[0] > os.cpu_count():  # time the host gave to others in a timer's handler: true, and not our doing
            bad = [l for l in bad if 'hrtimer: interrupt took' not in l]
        expect(bad, [], args)


def the_guest_uses_kvms_interface_and_has_no_complaint():
    said = ('kvm-guest: KVM setup pv remote TLB flush', 'kvm-guest: setup PV sched yield', 'kvm-guest: PV spinlocks enabled', 'kvm-guest: setup PV IPIs')
    for kernel in kernels():
        for pv, wanted in ((',kvm-pv=on', said), ('', [line for line in said if 'spinlocks' not in line and 'TLB' not in line]), (',kvm-pv=off', [])):
            status, out, err = guest('dmesg -r', *kernel, '--cpus', '2', '--cpu', 'x86-64-v3' + pv)
            expect((status, err), (0, b''), pv)
            expect_in(b'kvm-clock: Using msrs', out)
            expect([line for line in said if (line.encode() in out) != (line in wanted)], [], f'lines with {pv}')
            expect(re.findall(rb'^<[0-4]>.*|.*(?:WARNING|BUG:|Call Trace).*', out, re.M) if os.getloadavg()[0] <= os.cpu_count() else [], [], pv)


def cpu_times():
    """Shell text that prints all CPUs' user, system, idle and steal time in /proc/stat, ticks."""
    return 'set -- $(head -n 1 /proc/stat); echo $2 $4 $5 $9'


def what_the_host_gives_to_others_is_steal():
    spin = 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'
    one = {min(os.sched_getaffinity(0))} # two CPUs of the guest share one of the host
    status, out, err = guest(f'{cpu_times()}; ({spin}) & {spin}; wait; {cpu_times()}', '--cpus', '2', '--cpu', 'x86-64-v3,kvm-pv=on',
                             preexec_fn=lambda: os.sched_setaffinity(0, one))
    expect((status, err), (0, b''), 'run')
    before, after = (list(map(int, line.split())) for line in out.splitlines())
    user, system, _, steal = (b - a for a, b in zip(before, after))
    expect(steal > 0.4 * (user + system), True, f'steal {steal} of user {user}, system {system}')
    status, out, err = guest(f'{spin}; {cpu_times()}', '--cpu', 'x86-64-v3,kvm-pv=off')
    expect((status, err, int(out.split()[3])), (0, b'', 0), 'nothing is told when it is off')


def threads_on_several_cpus_find_what_cpus_owe_them():
    with open(STRESS, 'rb') as f:
        program = f.read()
    for cpus, cpu in (('2', 'x86-64-v3'), ('4', 'x86-64-v3,kvm-pv=on'), ('3', 'x86-64-v3,kvm-pv=off')):
        status, out, err = guest('cat > /tmp/stress; chmod +x /tmp/stress; /tmp/stress', '--cpus', cpus, '--cpu', cpu, stdin=program)
        expect((status, err), (0, b''), out.decode(errors='replace'))
        expect(out.count(b'ok '), 8, 'laws')


def a_small_code_cache_costs_time_only():
    for args in (['--code-cache', '2M'], ['--code-cache', '8M', '--cpus', '2']):
        status, out, err = guest('seq 1 3000 | md5sum; for i in 1 2 3 4 5 6 7 8; do echo $i | sed s/$/x/; done | sha1sum', *args)
        expect((status, err), (0, b''), args)
        expect(out, b'ee9762749fc5338b6c9b0948d14219c7  -\n0fe4f5f1e9bdc96c8c2006459125a19a73384ef1  -\n', args)


def a_panic_shows_the_console_and_exits_1():
    status, out, err = guest('echo c > /proc/sysrq-trigger')
    expect((status, out), (1, b''), 'panic')
    expect_in(b'Kernel panic - not syncing', err)
    expect_in(b'Call Trace', err)


def power_off_and_reset_before_the_command_ends_are_failures():
    for how in ('poweroff -f', 'reboot -f'):
        status, _, err = guest(how)
        expect(status, 1, how)
        expect_in(b'before the command ended', err)


def a_command_whose_reader_left_ends():
    p = subprocess.Popen([*RUN, '--timeout', '100', '--', 'yes'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    expect(p.stdout.read(2), b'y\n', 'yes')
    p.stdout.close()
    expect(p.wait(timeout=60), 141, 'as by SIGPIPE')


def an_idle_linux_uses_little_host_cpu():
    expect_idle()


def a_signal_ends_a_busy_guest_within_a_second():
    p = subprocess.Popen([*RUN, '--timeout', '100', '--cpus', '2', '--', 'sh', '-c', 'while :; do :; done & echo; while :; do :; done'],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.read(1)
    time.sleep(0.3)
    begin = time.monotonic()
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=10)
    expect(p.returncode, 128 + signal.SIGTERM, 'status')
    one_line(err)
    expect(time.monotonic() - begin < 1.0, True, 'ended within a second')


def stats_say_what_bt_did_and_where_time_went():
    status, _, err = guest('i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done', '--stats')
    expect(status, 0, 'run')
    values = {k: float(v) for k, v in re.findall(r'^(\w+) ([\d.]+)$', err.decode(), re.M)}
    for name in ('blocks_translated', 'traces', 'insns_translated', 'insns_executed', 'tlb_hits_read', 'tlb_hits_write', 'tlb_misses',
                 'callouts', 'exits_next', 'exits_link', 'exits_bail', 'kills', 'code_bytes'):
        expect(values['bt_' + name] > 0, True, name)
    expect(values['bt_insns_executed'] > 0.9 * values['instructions'], True, 'most instructions are executed by translated code')
    parts = sum(v for k, v in values.items() if k.startswith('bt_seconds_'))
    expect(0.8 * values['seconds'] < parts < 1.1 * values['seconds'], True, f'{parts} s of {values["seconds"]} s')


def traced_code_names_guest_and_host_instructions():
    with tempfile.TemporaryDirectory() as d:
        status, out, err = guest('echo x', f'--trace-code={d}/code')
        expect((status, out, err), (0, b'x\n', b''), 'run')
        with open(d + '/code/cpu0.lst', encoding='ascii') as f:
            listing = f.read()
        with open(d + '/code/cpu0.hot', encoding='ascii') as f:
            hot = f.readlines()
    blocks = re.findall(r'^#(\d+) guest \S+ 0x[0-9a-f]+ ram 0x[0-9a-f]+ cpl [03]: (\d+) instructions', listing, re.M)
    expect([int(b[0]) for b in blocks], list(range(len(blocks))), 'numbers of blocks')
    guest_insns = re.findall(r'^    0x[0-9a-f]+  [a-z]', listing, re.M)
    expect(len(guest_insns), sum(int(b[1]) for b in blocks), 'guest instructions')
    expect(len(re.findall(r'^ {8}0x[0-9a-f]+  [0-9a-f]+[ +]+ [a-z]', listing, re.M)) > 5 * len(guest_insns), True, 'host code')
    expect('(bad)' in listing, False, 'host code that Zydis does not know')
    expect(len(hot), 1002, 'lines about hot blocks')
    status, _, err = guest('true', '--trace-code', '--engine', 'interp')
    expect(status, 1, 'interp')
    one_line(err)


def a_shell_on_a_terminal_works():
    status, out = session((), [(b'/ # ', b'echo a$((40 + 2))b\r'), (b'a42b', b'exit\r')])
    expect(status, 0, 'exit of the shell powers off')
    expect_in(b'a42b', out)
