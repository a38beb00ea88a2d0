# SPDX-License-Identifier: MIT
"""What bench/run.py measured, as a table, JSON, and a page with a chart for docs/."""
import json
import math
import os
import statistics

from suite import GROUPS, SUITE

UNSUPPORTED = 'unsupported'  # bench.h: the CPU cannot run the program


def write_json(parts, path):
    """parts: what was measured, by the guest's instruction set."""
    with open(path, 'w', encoding='utf-8') as f:
        json.dump({'parts': parts}, f, indent=1)


def read_json(path):
    """What write_json wrote; nothing if there is no such file. Files from before there were parts hold that of x86-64."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding='utf-8') as f:
        data = json.load(f)
    return data['parts'] if 'parts' in data else {'x86-64': data}


def arch_of(data):
    """The guest's instruction set."""
    return data.get('arch', 'x86-64')


def good(data, name, peer):
    """The runs of a program that ran."""
    return [r for r in data['programs'].get(name, {}).get(peer, []) if r['checksum'] != UNSUPPORTED]


def lacks(data, name, peer):
    """Whether the program said that the peer's CPU cannot run it."""
    return any(r['checksum'] == UNSUPPORTED for r in data['programs'].get(name, {}).get(peer, []))


def seconds(data, name, peer):
    runs = good(data, name, peer)
    return statistics.median(r[data['clock']] for r in runs) if runs else None


def spread(data, name, peer):
    times = [r[data['clock']] for r in good(data, name, peer)]
    return (max(times) - min(times)) / statistics.median(times) if times else None


def window(data, name, peer):
    units = [r['window'] for r in good(data, name, peer) if r['window'] is not None]
    return statistics.median(units) if units else None


def geometric_mean(values):
    values = [v for v in values if v]
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values else None


def ratio(a, b):
    return a / b if a and b else None


def check(data):
    """Notes checksums that differ between runs or peers as failures, and what doppel cannot run though the host can. The host is no measure
    for a guest of another instruction set where the compiler has a say in what is printed."""
    rounding = [b.name for b in SUITE if b.rounds] if arch_of(data) != 'x86-64' else []
    for name, peers in data['programs'].items():
        seen = {}
        for peer, runs in peers.items():
            for r in runs:
                if r['checksum'] != UNSUPPORTED and (peer != 'native' or name not in rounding):
                    seen.setdefault(r['checksum'], peer)
        if len(seen) > 1:
            data['failed'].append(f'{name}: checksums differ: ' + ', '.join(f'{c} ({p})' for c, p in seen.items()))
        if not lacks(data, name, 'native'):
            data['failed'] += [f'{name}: not supported by {p}, though the host has it' for p in peers
                               if p.startswith('doppel') and lacks(data, name, p)]


def cell(value, form='{:.2f}'):
    return form.format(value) if value is not None else '-'


def rows_of(data, group, doppel):
    """(name, native s, doppel s, qemu s, doppel / native, qemu / doppel, window doppel / native, window doppel / qemu) a program."""
    for b in SUITE:
        if b.group != group or b.name not in data['programs']:
            continue
        n, d, q = (seconds(data, b.name, p) for p in ('native', doppel, 'qemu'))
        wn, wd, wq = (window(data, b.name, p) for p in ('native', doppel, 'qemu'))
        warm = b.name not in ('straight',)
        yield b.name, n, d, q, ratio(d, n), ratio(q, d), ratio(wd, wn) if warm else None, ratio(wd, wq) if warm else None


HEAD = ['', 'native s', 'doppel s', 'QEMU s', 'doppel/native', 'QEMU/doppel', 'first 100 ms: of native', 'times QEMU']


def lines_of(data, doppel):
    """The table as lists of cells; None: a rule. Of a guest that is not the host's kind, the means say so."""
    prefix = '' if arch_of(data) == 'x86-64' else arch_of(data) + ', '
    for group, title in GROUPS.items():
        rows = list(rows_of(data, group, doppel))
        if not rows:
            continue
        yield None
        for r in rows:
            times = [UNSUPPORTED if lacks(data, r[0], p) else cell(v, '{:.3f}') for p, v in zip(('native', doppel, 'qemu'), r[1:4])]
            yield [r[0], *times, *(cell(v) for v in r[4:])]
        if len(rows) > 1 and group != 'code':
            yield [f'{prefix}{title}: geometric mean', '', '', '', *(cell(geometric_mean(r[k] for r in rows)) for k in range(4, 8))]


def boot_lines(data):
    for peer, times in data['boot'].items():
        if times:
            yield f'boot, whole process: {peer} {statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f})'
    d, q = (data['boot'].get(p) for p in ('doppel', 'qemu'))
    if d and q:
        yield f'boot: QEMU takes {statistics.median(q) / statistics.median(d):.2f} times as long'
    e = data['extras']
    if e:
        yield (f'doppel: {e["overhead_mb"]:.0f} MB resident beyond the guest\'s {e["guest_mb"]:.0f} MB after a boot; '
               f'idle guest {e["idle_cpu_per_cent"]:.2f} % of a CPU')
        yield 'doppel --cpus 2: two processes take ' + (f'{e["two_cpus"]:.2f} times as long as one' if e['two_cpus'] else '- (not with this engine)')


def heading(data):
    v = data['versions']
    return [f'doppel {v["doppel"]}; {v["qemu"]}; {v["guest"]}; {v["gcc"]}', f'{v["host"]}; {v["date"]}; load {v["load"]:.1f}',
            f'medians of {data["runs"]}' + (', --quick' if data['quick'] else '') + (', host CPU time' if data['clock'] == 'cpu' else '')]


def table(data):
    out = [f'{arch_of(data)} guest', *heading(data)]
    for doppel in [p for p in data['peers'] if p.startswith('doppel')]:
        head = [h.replace('doppel', doppel) for h in HEAD]
        width = [max(26, len(head[0]))] + [max(len(UNSUPPORTED), len(h)) for h in head[1:]]
        line = lambda cells: ' '.join(c.ljust(width[k]) if k == 0 else c.rjust(width[k]) for k, c in enumerate(cells))
        out += ['', line(head)]
        out += ['' if cells is None else line(cells) for cells in lines_of(data, doppel)]
    out += ['', *boot_lines(data)]
    spreads = [s for b in SUITE for p in data['peers'] if (s := spread(data, b.name, p)) is not None]
    if spreads and data['runs'] > 1:
        out.append(f'spread (largest - smallest, of the median): half of the programs below {100 * statistics.median(spreads):.0f} %, worst '
                   f'{100 * max(spreads):.0f} %')
    shares = [r['cpu'] / r['seconds'] for peers in data['programs'].values() for runs in peers.values() for r in runs if r['seconds'] > 0.05]
    if shares and statistics.median(shares) < 0.93:
        out.append(f'the host was busy: programs had only {100 * statistics.median(shares):.0f} % of a CPU (--cpu compares CPU time)')
    out += [f'ERROR {f}' for f in data['failed']]
    return '\n'.join(out) + '\n'


# ---- docs/ ----

TOP, LINE, LEFT = 48, 24, 110  # of the chart: first line, from line to line, where bars begin
COLOURS = '#2a6fbb', '#c9c9c9'  # doppel, QEMU


def bars_of(data):
    """(name, doppel's time and QEMU's relative to native) a program."""
    relative = lambda name, peer: ratio(seconds(data, name, peer), seconds(data, name, 'native'))
    bars = [(b.name, relative(b.name, 'doppel'), relative(b.name, 'qemu')) for b in SUITE if b.name in data['programs']]
    return [b for b in bars if b[1]]


def draw_bars(name, values, y, at):
    yield f'<text x="{LEFT - 6}" y="{y + 13}" text-anchor="end">{name}</text>'
    for v, colour, dy in zip(values, COLOURS, (0, 9)):
        if v:
            yield (f'<rect x="{LEFT}" y="{y + dy}" width="{max(1, at(v) - LEFT):.1f}" height="8" fill="{colour}"/>'
                   f'<text x="{at(v) + 4:.1f}" y="{y + dy + 8}" font-size="9">{v:.1f}</text>')


def chart(parts):
    """Bars of the time relative to native, logarithmic, as SVG: one guest's programs below the other's."""
    lines = []
    for data in parts:
        lines += [(f'{arch_of(data)} guest', None)] if len(parts) > 1 else []
        lines += [(name, values) for name, *values in bars_of(data)]
    top = max((v for _, values in lines for v in values or () if v), default=1)
    scale = 560 / math.log10(max(top * 1.3, 20) / 0.5)
    at = lambda v: LEFT + max(0, math.log10(max(v, 0.5) / 0.5) * scale)
    height = LINE * len(lines) + 70
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="720" height="{height}" fill="white"/>',
           f'<text x="{LEFT}" y="18">time relative to native (1 = native speed, logarithmic, shorter is better)</text>',
           *(f'<rect x="{x}" y="26" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="35">{name}</text>'
             for x, name, colour in ((LEFT, 'doppel', COLOURS[0]), (LEFT + 80, 'QEMU TCG', COLOURS[1])))]
    for v in (1, 2, 5, 10, 20, 50, 100, 200):
        if v <= top * 1.3:
            out.append(f'<path d="M{at(v):.1f} 44V{height - 20}" stroke="#ddd"/><text x="{at(v):.1f}" y="{height - 6}" text-anchor="middle">{v}</text>')
    for k, (name, values) in enumerate(lines):
        y = TOP + LINE * k
        if values is None:
            out.append(f'<text x="{LEFT}" y="{y + 16}" font-weight="bold">{name}</text>')
        else:
            out += draw_bars(name, values, y, at)
    return '\n'.join(out + ['</svg>']) + '\n'


def page_lines(data, several):
    """The lines of the page's table."""
    if several:
        yield f'| **{arch_of(data)} guest** |' + '  |' * (len(HEAD) - 1)
    for cells in lines_of(data, 'doppel'):
        if cells:
            bold = cells[1] == ''
            yield '| ' + ' | '.join(f'**{c}**' if bold and c else c for c in cells) + ' |'


NOTES = {'riscv64': 'riscv64: the programs of the suite that hold no x86 instructions, the same C for guest and host, each with the options of its own '
                    'instruction set (the host\'s with -march=x86-64-v3 where x86-64 has that); compiler and libc of each side are named above. x87 is '
                    '`long double`: 128 bits in software there.'}


def write_docs(parts, folder):
    """docs/benchmarks.md and .svg; parts as write_json has them."""
    shown = [parts[arch] for arch in sorted(parts, reverse=True)]  # the host's kind first
    several = len(shown) > 1
    label = lambda data: f'{arch_of(data)} guest: ' if several else ''
    clock = 'Seconds of host CPU' if all(d['clock'] == 'cpu' for d in shown) else 'Seconds inside the guest'
    out = ['# Benchmarks', '', 'Written by `scripts/run-bench --docs` (bench/run.py) from one run of each kind of guest; do not edit. Disks, networks and shares: '
           '[benchmarks-io.md](benchmarks-io.md).', '',
           *(f'- {label(d)}{h}' for d in shown for h in heading(d)), '',
           '![chart](benchmarks.svg)', '',
           clock + '; smaller is better. "doppel/native": how many times slower than on the bare '
           'host. "QEMU/doppel": how many times faster doppel is. "First 100 ms": work done in a program\'s first 100 ms, translation and all.', '',
           *(line for d in shown if arch_of(d) in NOTES for line in (NOTES[arch_of(d)], '')),
           '| ' + ' | '.join(HEAD) + ' |', '|---|' + '---:|' * (len(HEAD) - 1), *(line for d in shown for line in page_lines(d, several)), '',
           *(f'- {label(d)}{l}' for d in shown for l in boot_lines(d)), *(f'- ERROR: {label(d)}{f}' for d in shown for f in d['failed'])]
    with open(os.path.join(folder, 'benchmarks.md'), 'w', encoding='utf-8') as f:
        f.write('\n'.join(out) + '\n')
    with open(os.path.join(folder, 'benchmarks.svg'), 'w', encoding='utf-8') as f:
        f.write(chart(shown))
