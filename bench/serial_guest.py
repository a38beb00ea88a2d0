# SPDX-License-Identifier: MIT
"""A Linux guest on a disk image, used over its serial console: in doppel or in QEMU, the same way.

Guest(...) starts it; wait_for() watches the console, login() logs in as root, run() runs a shell command and returns status and output.
The image is never written: both work on an overlay that is forgotten.
"""
import os
import re
import select
import signal
import subprocess
import time

APPEND = "panic=-1 quiet"


class GuestError(Exception):
    """What went wrong, with the end of the console."""


class GuestTimeout(GuestError):
    """What was waited for did not come; the guest still runs."""


running = set()  # the guests' processes


def end_on_signals():
    """Has SIGTERM and SIGHUP end the guests, and then this program; by default they would leave the guests running."""
    def end(number, _):
        for process in list(running):
            process.terminate()
        os._exit(128 + number)  # at once: other threads may be waiting for their guests
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def doppel_command(doppel, image, memory, options=()):
    return [doppel, "run", "--engine", "bt", "--memory", memory, "--disk", image.replace(",", ",,") + ",overlay", *options]


def qemu_command(image, kernel, initrd, append, memory):
    """The same machine as near as QEMU has it, by its translator; the same kernel, initrd and command line. The image is only read, so it
    is not locked: doppel may have it open, too."""
    return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", memory, "-nodefaults", "-display", "none", "-no-reboot",
            "-serial", "stdio", "-kernel", kernel, "-initrd", initrd, "-append", append, "-device", "virtio-rng-pci",
            "-drive", f"file={image.replace(',', ',,')},if=virtio,format=raw,file.locking=off,snapshot=on"]


class Guest:
    """One running machine; a context manager that ends it."""

    def __init__(self, command):
        self.begin = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        running.add(self.process)
        self.console = b""
        self.commands = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        running.discard(self.process)
        self.process.stdin.close()
        self.process.stdout.close()

    def seconds(self):
        return time.monotonic() - self.begin

    def fail(self, what, kind=GuestError):
        tail = self.console[-800:].decode("utf-8", "replace")
        return kind(f"{what}; the console ends with:\n{tail}")

    def wait_for(self, pattern, limit, start=0):
        """The first match of a regular expression (bytes) in the console from offset start; reads on until there is one."""
        end = time.monotonic() + limit
        while True:
            found = re.compile(pattern, re.M).search(self.console, start)
            if found:
                return found
            left = end - time.monotonic()
            if left <= 0:
                raise self.fail(f"waited {limit} s for {pattern!r}", GuestTimeout)
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    raise self.fail(f"it ended, while waiting for {pattern!r}")
                self.console += data

    def send(self, text):
        self.process.stdin.write(text.encode())

    def login(self, password=None, limit=60):
        """From the prompt for a login to a shell without echo and prompts."""
        start = len(self.console)
        self.send("root\n")
        if password is not None:
            self.wait_for(rb"assword:", limit, start)
            self.send(password + "\n")
        self.wait_for(rb"# $", limit, start)
        self.send("stty -echo; PS1=; PS2=; bind 'set enable-bracketed-paste off' 2>/dev/null; export TERM=dumb PAGER=cat GIT_PAGER=cat; echo rea''dy\n")
        self.wait_for(rb"ready\r?$", limit, start)

    def run(self, command, limit=600):
        """Returns (status, output, seconds on the host's clock)."""
        self.commands += 1
        start, mark = len(self.console), f"<<{self.commands}>>"
        begin = time.monotonic()
        self.send(f"{{ {command}\n}} </dev/null 2>&1; echo \"{mark[:2]}{mark[2:]} $?\"\n")
        found = self.wait_for(re.escape(mark).encode() + rb" (\d+)\r?\n", limit, start)
        output = self.console[start:found.start()].decode("utf-8", "replace").replace("\r\n", "\n")
        return int(found.group(1)), output, time.monotonic() - begin

    def interrupt(self, limit=60):
        """Ends the command that run() gave up waiting for."""
        self.send("\x03\n")
        self.run("true", limit)
