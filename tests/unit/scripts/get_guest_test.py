# SPDX-License-Identifier: MIT
"""Laws of scripts/get-guest: its cache, and packages of another architecture from an archive made for the test."""
import contextlib
import hashlib
import importlib.machinery
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

SCRIPT = sys.argv.pop(1)
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("get_guest", SCRIPT)
get_guest = importlib.util.module_from_spec(importlib.util.spec_from_loader("get_guest", loader))
loader.exec_module(get_guest)

PACKAGES = [("linux-image-1", "1.0"), ("busybox-static", "2")]


class Cache(unittest.TestCase):
    def setUp(self):
        self.temp = tempfile.TemporaryDirectory()
        os.environ["XDG_CACHE_HOME"] = os.path.join(self.temp.name, "cache")
        self.made = os.path.join(self.temp.name, "made")
        os.makedirs(os.path.join(self.made, "modules"))
        for name in ("vmlinuz", "manifest", "modules/a.ko"):
            with open(os.path.join(self.made, name), "w", encoding="ascii") as f:
                f.write(name)

    def tearDown(self):
        self.temp.cleanup()

    def names(self, folder):
        return sorted(os.path.relpath(os.path.join(d, f), folder) for d, _, files in os.walk(folder) for f in files)

    def test_what_was_kept_comes_back_whole(self):
        cached, copy = get_guest.cache_folder("x86-64", "cloud", PACKAGES), os.path.join(self.temp.name, "copy")
        self.assertFalse(get_guest.take_from_cache(cached, copy))
        get_guest.keep_in_cache(self.made, cached)
        self.assertTrue(get_guest.take_from_cache(cached, copy))
        self.assertEqual(self.names(copy), self.names(self.made))

    def test_other_packages_modules_or_flavours_are_another_folder(self):
        folders = {get_guest.cache_folder("x86-64", "cloud", PACKAGES), get_guest.cache_folder("x86-64", "generic", PACKAGES),
                   get_guest.cache_folder("x86-64", "cloud", PACKAGES[:1])}
        get_guest.KEEP_MODULES.append("another")
        folders.add(get_guest.cache_folder("x86-64", "cloud", PACKAGES))
        get_guest.KEEP_MODULES.pop()
        self.assertEqual(len(folders), 4)

    def test_the_newest_is_the_only_one_of_its_flavour(self):
        old, new = get_guest.cache_folder("x86-64", "cloud", PACKAGES[:1]), get_guest.cache_folder("x86-64", "cloud", PACKAGES)
        get_guest.keep_in_cache(self.made, old)
        get_guest.keep_in_cache(self.made, new)
        self.assertEqual(os.listdir(os.path.dirname(new)), [os.path.basename(new)])

    def test_half_a_folder_is_not_taken(self):
        cached = get_guest.cache_folder("x86-64", "cloud", PACKAGES)
        os.makedirs(cached)
        self.assertFalse(get_guest.take_from_cache(cached, os.path.join(self.temp.name, "copy")))

    def test_a_cache_that_cannot_be_written_is_no_failure(self):
        with open(os.environ["XDG_CACHE_HOME"], "w", encoding="ascii"):
            pass
        get_guest.keep_in_cache(self.made, get_guest.cache_folder("x86-64", "cloud", PACKAGES))


    def test_architectures_have_folders_of_their_own(self):
        self.assertNotEqual(get_guest.cache_folder("x86-64", "generic", PACKAGES), get_guest.cache_folder("riscv64", "generic", PACKAGES))


APPLETS = ["bin/[", "bin/sh", "usr/bin/env", "bin/busybox"]


class Applets(unittest.TestCase):
    def test_those_of_the_guest_are_kept_the_first_too(self):
        guest = b"\x7fELF...?[\0env\0sh\0wc\0...lesser\0"
        self.assertEqual(get_guest.known_applets(["bin/[", "bin/sh", "usr/bin/env", "bin/less"], guest), ["bin/[", "bin/sh", "usr/bin/env"])


class Archive:
    """A Debian archive of riscv64 packages in a folder, reached by file:, for tests of what apt makes of it."""

    def __init__(self, folder):
        self.folder = folder
        self.packages = ""

    def add(self, name, depends, files):
        root = os.path.join(self.folder, "root-" + name)
        for path, data in {**files, "DEBIAN/control": self.control(name, depends)}.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "wb") as f:
                f.write(data.encode() if isinstance(data, str) else data)
        deb = os.path.join(self.folder, name + ".deb")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", root, deb], check=True, capture_output=True)
        with open(deb, "rb") as f:
            data = f.read()
        self.packages += self.control(name, depends) + (f"Filename: {name}.deb\nSize: {len(data)}\n"
                                                        f"SHA256: {hashlib.sha256(data).hexdigest()}\n\n")

    @staticmethod
    def control(name, depends):
        text = f"Package: {name}\nVersion: 6.99-1\nArchitecture: riscv64\nMaintainer: nobody <n@example.org>\nDescription: a test\n"
        return text + (f"Depends: {depends}\n" if depends else "")

    def publish(self, suite):
        base = os.path.join(self.folder, "dists", suite)
        os.makedirs(os.path.join(base, "main", "binary-riscv64"))
        data = self.packages.encode()
        with open(os.path.join(base, "main", "binary-riscv64", "Packages"), "wb") as f:
            f.write(data)
        with open(os.path.join(base, "Release"), "w", encoding="ascii") as f:
            f.write(f"Origin: Test\nSuite: {suite}\nCodename: {suite}\nArchitectures: riscv64\nComponents: main\n"
                    "Date: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n"
                    f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-riscv64/Packages\n")


@unittest.skipUnless(shutil.which("apt-get") and shutil.which("dpkg-deb"), "no apt here")
class Foreign(unittest.TestCase):
    """riscv64 packages, from the second suite, for the first is not there."""

    def setUp(self):
        # pylint: disable=consider-using-with
        temp = tempfile.TemporaryDirectory()
        self.addCleanup(temp.cleanup)
        self.out = os.path.join(temp.name, "build", "guests")
        self.archive = Archive(os.path.join(temp.name, "archive"))
        runnable = os.path.join(temp.name, "busybox")
        with open(runnable, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\necho " + " ".join(APPLETS) + "\n")
        os.chmod(runnable, 0o755)
        for name, value in {"SUITES": ["first", "second"], "KEYRING": runnable, "SOURCE": "deb [arch={arch} trusted=yes] {archive} {suite} main\n",
                            "debian_archive": lambda: f"file:{self.archive.folder}/", "busybox_of_host": lambda folder: runnable}.items():
            patch = mock.patch.object(get_guest, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def add_kernel(self):
        self.archive.add("linux-image-riscv64", "linux-image-6.99-riscv64 (= 6.99-1)", {})
        self.archive.add("linux-image-6.99-riscv64", "kmod, linux-modules-6.99-riscv64", {"boot/vmlinux-6.99-riscv64": "KERNEL"})
        self.archive.add("linux-modules-6.99-riscv64", "", {"boot/config-6.99-riscv64": "CONFIG_RISCV=y"})

    def get(self):
        with contextlib.redirect_stdout(io.StringIO()):
            get_guest.get("riscv64", "generic", self.out, False, False)

    def read(self, name):
        with open(os.path.join(self.out, "riscv64", "generic", name), encoding="latin-1") as f:
            return f.read()

    def test_kernel_and_busybox_come_from_the_suite_that_has_them(self):
        self.add_kernel()
        self.archive.add("busybox-static", "", {"bin/busybox": b"...\0[\0env\0sh\0..."})
        self.archive.publish("second")
        self.get()
        self.assertEqual(self.read("vmlinuz"), "KERNEL")
        self.assertEqual(self.read("config"), "CONFIG_RISCV=y")
        self.assertEqual(self.read("applets").split(), ["bin/[", "bin/sh", "usr/bin/env"])
        self.assertEqual(self.read("manifest").split()[0::2],
                         ["linux-image-6.99-riscv64", "linux-modules-6.99-riscv64", "busybox-static"])

    def test_what_no_suite_has_is_one_line(self):
        self.add_kernel()
        self.archive.publish("second")
        with self.assertRaisesRegex(get_guest.GuestError, r"^no busybox-static for riscv64: second of file:\S+ does not have it$"):
            self.get()

    def test_an_archive_that_is_not_there_is_one_line(self):
        with self.assertRaisesRegex(get_guest.GuestError, r"^no linux-image-riscv64 for riscv64: cannot fetch package lists of second from "
                                                         r"file:\S+ \(no network\?\): apt-get update failed: E: [^\n]*$"):
            self.get()

    def test_without_the_archives_keys_nothing_is_fetched(self):
        with mock.patch.object(get_guest, "KEYRING", "/nowhere/keys"):
            with self.assertRaisesRegex(get_guest.GuestError, "no /nowhere/keys here"):
                self.get()


unittest.main(argv=[sys.argv[0], "-v"])
