#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs real programs in a Debian guest in doppel and in QEMU (TCG), compares what they say with the same programs on the host, and times them.

usage: bench/real_programs.py IMAGE [--only NAME,...] [--peers doppel,qemu] [--together] [--memory 1G] [--sqlite FOLDER] [--limit SECONDS]
       [--json FILE]

IMAGE: doppel image debian:bookworm --package gcc --package libc6-dev --package python3 --package libpython3.11-testsuite --package perl
--package git --package openssl --package nodejs --package xz-utils --package fio IMAGE. FOLDER holds SQLite's sqlite3.c, sqlite3.h and
shell.c (`make sqlite3.c shell.c` in what `apt-get source sqlite3` unpacks); without it those rows are left out. Comparisons with the host
hold where it has the same versions. --together runs the guests at the same time, for a host with a CPU for each. A program that does not
end in --limit seconds is interrupted, and counts as failed. --only: in that order.
"""
import argparse
import concurrent.futures
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time

from boot_image import CMDLINE, LOGIN, take_kernel
from serial_guest import Guest, GuestError, GuestTimeout, doppel_command, end_on_signals, qemu_command

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PERL = r"""
my (%count, @words); my $x = 12345;
for my $i (1 .. 200000) { $x = ($x * 1103515245 + 12345) & 0x7fffffff; my $w = sprintf("%c%c%c", 97 + $x % 26, 97 + ($x >> 8) % 26, 97 + ($x >> 16) % 26);
  $count{$w}++; push @words, $w if $i % 50 == 0; }
my $text = join(" ", @words); my $n = () = $text =~ /\b(a[b-m]\w|\w(?:xy|q)[^a])\b/g; (my $t = $text) =~ tr/a-m/A-M/;
print scalar(keys %count), " $n ", (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 4], " ", unpack("%32C*", $t), "\n";
my $s = 0; $s += sin($_) * sqrt($_) / log($_ + 1) for 1 .. 300000; printf "%.15g %.15g %s\n", $s, exp(1) ** 20, 2 ** 100;
"""
SQL = """
create table t(id integer primary key, a integer, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
  insert into t select i, (i * 7919) % 10007, printf('%08x', (i * 2654435761) % 4294967296), i / 3.0 + 7.0 / i from n;
create index ta on t(a); create index tb on t(b);
select count(*), sum(a), round(sum(c), 6), min(b), max(b) from t;
select a, count(*) n, round(avg(c), 9) from t group by a order by n desc, a limit 5;
select count(*) from t x join t y on x.a = y.a where x.id < 3000;
update t set c = c * 2 where a % 3 = 0; delete from t where a % 7 = 0;
select count(*), round(sum(c), 6) from t; select substr(group_concat(b, ''), 1, 64) from (select b from t order by b desc limit 100);
pragma integrity_check;
"""
GIT = """
export HOME=$PWD GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git config --global user.name n; git config --global user.email e@x; git config --global init.defaultBranch main
git init -q a && cd a
for c in 1 2 3 4 5; do for f in $(seq 60); do seq $((f * c)) $((f * c + 400)) >f$f; done; git add -A; git commit -qm "change $c"; done
git repack -adq; cd ..; git clone -q --no-local a b; cd b; git fsck --strict 2>&1 | grep -v ^Checking; git log --format=%H; git diff --stat HEAD~3 | tail -n 1
git status --short | wc -l
"""
OPENSSL = """
seq 2000000 >data
for d in md5 sha1 sha256 sha512 sha3-256 blake2b512 sm3; do openssl dgst -$d data; done
for c in aes-128-cbc aes-256-ctr chacha20 camellia-128-cbc aria-256-cbc; do
  openssl enc -$c -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff -iv 0102030405060708090a0b0c0d0e0f10 -in data -out x 2>/dev/null
  openssl dgst -sha256 <x; openssl enc -d -$c -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff \
    -iv 0102030405060708090a0b0c0d0e0f10 -in x 2>/dev/null | cmp - data && echo same; done
openssl genrsa -out k 2048 2>/dev/null; openssl rsa -in k -check -noout; openssl dgst -sha256 -sign k -out sig data
openssl rsa -in k -pubout -out p 2>/dev/null; openssl dgst -sha256 -verify p -signature sig data
openssl ecparam -name prime256v1 -genkey -noout -out e; openssl dgst -sha256 -sign e -out sig data; openssl ec -in e -pubout -out p 2>/dev/null
openssl dgst -sha256 -verify p -signature sig data
# keys made on the host: these signatures have no chance in them, so they are the same everywhere
openssl dgst -sha256 -sign $S/rsa.pem -hex data; openssl pkeyutl -sign -rawin -inkey $S/ed25519.pem -in $S/openssl.sh | openssl dgst -sha256
openssl dgst -sha384 -hmac key data
openssl enc -aes-256-cbc -pbkdf2 -iter 20000 -S 0011223344556677 -k word -in $S/openssl.sh | openssl dgst -sha256
for n in 170141183460469231731687303715884105727 170141183460469231731687303715884105725 1000000007; do openssl prime $n; done
openssl rand -hex 64 | wc -c; openssl list -digest-algorithms | wc -l
"""
NODE = r"""
const crypto = require('crypto'), zlib = require('zlib');
let x = 12345; const next = () => x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
const words = Array.from({ length: 300000 }, () => next().toString(36)), count = new Map();
for (const w of words) count.set(w.slice(0, 3), (count.get(w.slice(0, 3)) || 0) + 1);
console.log(count.size, [...count].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 5).join(' '));
const json = JSON.stringify(words.map((w, i) => ({ i, w, f: Math.sqrt(i) / 3 })));
console.log(json.length, JSON.parse(json).reduce((s, o) => s + o.f, 0), crypto.createHash('sha256').update(json).digest('hex'));
console.log(zlib.gunzipSync(zlib.gzipSync(json)).toString() === json, json.match(/"w":"(a[a-m]\w*?)z/g).length);
const f = new Float64Array(300 * 300).map((_, i) => Math.sin(i)); let t = 0;
for (let i = 0; i < 300; i++) for (let j = 0; j < 300; j++) for (let k = 0; k < 300; k++) t += f[i * 300 + k] * f[k * 300 + j];
let b = 1n; for (let i = 1n; i < 2000n; i++) b *= i;
console.log(t, b.toString().length, (b / 10n ** 4000n).toString().slice(0, 30));
const fib = n => n < 2 ? n : fib(n - 1) + fib(n - 2); console.log(fib(30));
Promise.all([1, 2, 3].map(n => new Promise(done => setTimeout(done, n, n)))).then(v => console.log(v.join()));
"""
SPEED = "openssl speed -seconds 1 -bytes 8192 md5 sha256 sha512 aes-128-cbc 2>/dev/null | tail -n 4; openssl speed -seconds 1 -bytes 8192 " \
    "-evp aes-128-gcm 2>/dev/null | tail -n 1; openssl speed -seconds 1 rsa2048 ecdsap256 2>/dev/null | grep -A9 sign"
# Modules of CPython's own suite, by what they exercise; threads and sockets are left to the others.
PYTHON = "test_json test_re test_struct test_math test_float test_dict test_zlib test_csv test_generators test_base64"
PYTHON_MORE = "test_cmath test_long test_decimal test_hashlib test_unicode test_itertools test_list test_set test_sort test_bisect test_heapq test_bytes test_array test_pickle test_random " \
    "test_statistics test_fractions test_binascii test_coroutines test_exceptions test_threading " \
    "test_subprocess test_signal"
PYTHON_TEST = "python3 -m test --timeout 900 {} >py.log 2>&1; s=$?; grep -E '^(All )?[0-9]+ tests? ' py.log; " \
    "[ $s = 0 ] || tail -n 40 py.log; exit $s"
FIO = "fio --name=v --size=64M --bs=4k-64k --rw=randrw --ioengine=psync --direct=1 --verify=crc32c --verify_fatal=1 --do_verify=1 --norandommap=0 " \
    "--end_fsync=1 --output-format=terse >o; s=$?; cut -d';' -f5 o; rm -f v*; exit $s"

# name: (shell script, what must be equal on the host: 'output', or only the status: 'status')
PROGRAMS = {
    "gcc -O0 sqlite": ("gcc -w -O0 -c $S/sqlite3.c -o s.o && sha256sum s.o", "output"),
    "gcc -O1 sqlite": ("gcc -w -O1 -c $S/sqlite3.c -o s1.o && sha256sum s1.o", "output"),
    "gcc -O2 sqlite": ("gcc -w -O2 -c $S/sqlite3.c -o s2.o && sha256sum s2.o", "output"),
    "sqlite3": ("[ -e s.o ] || gcc -w -O0 -c $S/sqlite3.c -o s.o; gcc -w -O0 -o sq $S/shell.c s.o -lm -lpthread -ldl && ./sq -batch -list t.db <$S/bench.sql && "
                "rm -f t.db", "output"),
    "python tests": (PYTHON_TEST.format(PYTHON), "output"),
    "python more": (PYTHON_TEST.format(PYTHON_MORE), "output"),
    "node": ("node $S/bench.js", "output"),
    "perl": ("perl $S/bench.pl", "output"),
    "git": ("rm -rf g && mkdir g && cd g && sh $S/git.sh", "output"),
    "openssl": ("sh $S/openssl.sh", "output"),
    "openssl speed": (SPEED, "status"),
    "xz": ("seq 700000 >n && xz -k -T1 -6 n && sha256sum n.xz && xz -t n.xz && rm n n.xz", "output"),
    "fio verify": (FIO, "output"),
}


def key(algorithm):
    return subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", algorithm], capture_output=True, text=True, check=True).stdout


def make_disk(path, sqlite):
    """A tar archive as a disk: the guest unpacks /dev/vdb."""
    with tarfile.open(path, "w") as tar:
        for name, text in {"bench.pl": PERL, "bench.sql": SQL, "bench.js": NODE, "git.sh": GIT, "openssl.sh": OPENSSL,
                           "rsa.pem": key("rsa"), "ed25519.pem": key("ed25519")}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        for name in ("sqlite3.c", "sqlite3.h", "shell.c") if sqlite else ():
            tar.add(os.path.join(sqlite, name), name)


def on_host(names, disk, limit):
    """What the host's programs say: {name: (status, output, seconds)}."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="doppel-real.") as folder:
        source = os.path.join(folder, "s")
        with tarfile.open(disk) as tar:
            tar.extractall(source)
        for name in names:
            begin = time.monotonic()
            done = subprocess.run(["bash", "-c", PROGRAMS[name][0]], cwd=folder, env=dict(os.environ, S=source, LC_ALL="C.UTF-8"), text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit, check=False)
            results[name] = (done.returncode, done.stdout, time.monotonic() - begin)
    return results


def verdict(name, here, there):
    if there[0] is None:
        return f"FAIL ({there[1]})"
    if there[0] != here[0] or there[0] != 0:
        return f"FAIL (status {there[0]}, on the host {here[0]})"
    if PROGRAMS[name][1] == "output" and there[1].strip() != here[1].strip():
        return "FAIL (another output than on the host)"
    return "ok"


def in_guest(peer, command, names, limit, host):
    results = {}
    with Guest(command) as guest:
        guest.wait_for(LOGIN, limit)
        print(f"{peer:7} login prompt after {guest.seconds():.1f} s", flush=True)
        guest.login()
        guest.run("export S=/root/s LC_ALL=C.UTF-8; mkdir -p $S /root/w && tar -xf /dev/vdb -C $S && cd /root/w", limit)
        for name in names:
            try:
                results[name] = guest.run(f"( {PROGRAMS[name][0]}\n)", limit)
            except GuestTimeout:
                guest.interrupt()
                results[name] = (None, f"not done in {limit:.0f} s", limit)
            print(f"{peer:7} {name:14} {results[name][2]:7.1f} s, host {host[name][2]:6.1f} s  {verdict(name, host[name], results[name])}", flush=True)
        status, output, _ = guest.run("dmesg -l emerg,alert,crit,err,warn | tail -n 10; journalctl -b -p err --no-pager -q | tail -n 10")
        results["kernel log"] = (status, output, 0.0)
    return results


def report(names, host, peers):
    failed = 0
    print(f"\n{'program':14} {'host':>8}" + "".join(f" {p:>9}" for p in peers) + "".join(f" {p + '/host':>12}" for p in peers) + "  verdict")
    for name in names:
        line = f"{name:14} {host[name][2]:7.1f}s" + "".join(f" {r[name][2]:8.1f}s" for r in peers.values())
        line += "".join(f" {r[name][2] / host[name][2]:12.1f}" for r in peers.values())
        verdicts = {p: verdict(name, host[name], r[name]) for p, r in peers.items()}
        failed += sum(v != "ok" for v in verdicts.values())
        print(line + "  " + ", ".join(f"{p} {v}" for p, v in verdicts.items()))
    return failed


def main():
    parser = argparse.ArgumentParser(prog="real_programs.py")
    parser.add_argument("image")
    parser.add_argument("--only", help="names, separated by commas: " + ", ".join(PROGRAMS))
    parser.add_argument("--peers", default="doppel,qemu")
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--sqlite", metavar="FOLDER")
    parser.add_argument("--doppel", default=os.path.join(ROOT, "build", "doppel"))
    parser.add_argument("--limit", type=float, default=1800, help="seconds for one program (1800)")
    parser.add_argument("--together", action="store_true", help="the guests run at the same time")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(PROGRAMS)
    unknown = [n for n in names if n not in PROGRAMS]
    if unknown:
        parser.error(f"--only: no program '{unknown[0]}'")
    if not args.sqlite:
        names = [n for n in names if "sqlite" not in n]
    with tempfile.TemporaryDirectory(prefix="doppel-real.") as folder:
        disk = os.path.join(folder, "disk.tar")
        make_disk(disk, args.sqlite)
        commands = {
            "doppel": doppel_command(args.doppel, args.image, args.memory, ["--disk", disk + ",ro"]),
            "qemu": qemu_command(args.image, *take_kernel(args.image, folder), CMDLINE, args.memory) + [
                "-drive", f"file={disk},if=virtio,format=raw,readonly=on,file.locking=off"],
        }
        host = on_host(names, disk, args.limit)
        with concurrent.futures.ThreadPoolExecutor(len(commands) if args.together else 1) as pool:
            running = {p: pool.submit(in_guest, p, commands[p], names, args.limit, host) for p in args.peers.split(",")}
            peers = {p: r.result() for p, r in running.items()}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"host": host, **peers}, f, indent=1)
    failed = report(names, host, peers)
    for peer, results in peers.items():
        print(f"{peer}: the guest's kernel and journal complain: {results['kernel log'][1].strip() or 'no'}")
    return bool(failed)


if __name__ == "__main__":
    end_on_signals()
    try:
        sys.exit(main())
    except (GuestError, subprocess.SubprocessError, OSError) as e:
        sys.exit(f"real_programs: {e}")
