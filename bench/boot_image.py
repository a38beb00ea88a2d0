#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boots a disk image to its login prompt, in doppel and in QEMU by turns, and reports medians.

usage: bench/boot_image.py IMAGE [--runs N] [--memory 1G] [--doppel PROGRAM] [--limit SECONDS] [--no-qemu] [--health]

Both get the kernel, initrd and command line that `doppel run --disk IMAGE` would take; the time is from the start of the program to
"login:" on the serial console. QEMU: TCG, -cpu max. --health also logs in (root without a password) and asks systemd how it is: that the
system is running and no unit has failed.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from serial_guest import Guest, GuestError, doppel_command, end_on_signals, qemu_command

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CMDLINE = "console=ttyS0 panic=-1 quiet cryptomgr.notests rcupdate.rcu_expedited=1 root=/dev/vda"  # src/cli/run.c's
LOGIN = rb"login: "


def debugfs(image, request):
    return subprocess.run(["debugfs", "-R", request, image], env=dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin"),
                          capture_output=True, text=True, check=True).stdout


def take_kernel(image, folder):
    """Copies kernel and initrd out of an image that is one ext4 file system."""
    names = [line.split("/")[5] for line in debugfs(image, "ls -p /boot").splitlines() if line.count("/") > 5]
    kernels = sorted(n for n in names if n.startswith("vmlinuz-"))
    if not kernels:
        raise GuestError(f"{image}: no /boot/vmlinuz-*")
    release = kernels[-1][len("vmlinuz-"):]
    paths = [os.path.join(folder, n) for n in ("vmlinuz", "initrd")]
    for path, name in zip(paths, ("vmlinuz-", "initrd.img-")):
        debugfs(image, f"dump /boot/{name}{release} {path}")
    return paths


def boot(command, limit):
    with Guest(command) as guest:
        guest.wait_for(LOGIN, limit)
        return guest.seconds()


def health(command, limit):
    with Guest(command) as guest:
        guest.wait_for(LOGIN, limit)
        guest.login()
        _, state, _ = guest.run("systemctl is-system-running --wait", limit)
        _, failed, _ = guest.run("systemctl list-units --failed --no-legend --plain")
        _, analysis, _ = guest.run("systemd-analyze --no-pager; systemd-analyze --no-pager blame | head -12")
        _, log, _ = guest.run("journalctl -b -p warning --no-pager -q | tail -n 20")
        return state.strip(), failed.strip(), analysis, log


def main():
    parser = argparse.ArgumentParser(prog="boot_image.py")
    parser.add_argument("image")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--doppel", default=os.path.join(ROOT, "build", "doppel"))
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--no-qemu", action="store_true")
    parser.add_argument("--health", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="doppel-boot.") as folder:
        commands = {"doppel": doppel_command(args.doppel, args.image, args.memory)}
        if not args.no_qemu:
            commands["qemu"] = qemu_command(args.image, *take_kernel(args.image, folder), CMDLINE, args.memory)
        times = {name: [] for name in commands}
        for number in range(args.runs):
            for name, command in commands.items():
                times[name].append(boot(command, args.limit))
                print(f"run {number + 1}  {name:7} {times[name][-1]:6.1f} s to the login prompt", flush=True)
    for name, list_ in times.items():
        if list_:
            print(f"{name:7} median {statistics.median(list_):6.1f} s  ({min(list_):.1f} to {max(list_):.1f}, {len(list_)} runs)")
    if not args.no_qemu and args.runs:
        print(f"qemu / doppel: {statistics.median(times['qemu']) / statistics.median(times['doppel']):.2f}")
    if args.health:
        state, failed, analysis, log = health(commands["doppel"], args.limit)
        print(f"systemd says: {state}; failed units: {failed or 'none'}\n{analysis}\nwarnings:\n{log}")
        return state != "running" or bool(failed)
    return 0


if __name__ == "__main__":
    end_on_signals()
    try:
        sys.exit(main())
    except (GuestError, subprocess.CalledProcessError, OSError) as e:
        sys.exit(f"boot_image: {e}")
