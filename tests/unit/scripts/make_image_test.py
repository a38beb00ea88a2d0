# SPDX-License-Identifier: MIT
"""Laws of scripts/make-image that need no packages: usage, what it says when something is missing, the lines for apt, and the file system
that it makes of an archive."""
import importlib.machinery
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

SCRIPT = sys.argv.pop(1)
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("make_image", SCRIPT)
make_image = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_image", loader))
loader.exec_module(make_image)


class Usage(unittest.TestCase):
    def call(self, *args, **kwargs):
        done = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, check=False, **kwargs)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("doppel: image: "), done.stderr)
        return done.returncode

    def test_bad_usage_is_one_line_and_status_2(self):
        for args in ([], ["debian:bookworm"], ["plan9:4", "o"], ["debian:../x", "o"], ["debian:bookworm", "o", "--size", "1"],
                     ["debian:bookworm", "o", "--size", "9999999T"], ["debian:bookworm", "o", "--package", "a,b"],
                     ["debian:bookworm", "o", "--package", "-x"], ["debian:bookworm", "o", "--ssh-key", "/nope"],
                     ["debian:bookworm", "o", "--password", "a\nb"], ["debian:bookworm", "o", "--arch", "vax"],
                     ["debian:bookworm", "o", "--hostname", "a b"], ["debian:bookworm", "o", "--source", "http://h/debian bookworm"],
                     ["debian:bookworm", "o", "--source", "deb u"], ["debian:bookworm", "o", "--source", "deb http://h/ x\ndeb http://h/ y"]):
            self.assertEqual(self.call(*args), 2, args)

    def test_what_exists_is_not_overwritten_and_nothing_is_left(self):
        with tempfile.TemporaryDirectory() as d:
            out = os.path.join(d, "out")
            self.assertEqual(self.call("debian:bookworm", out + "/x"), 1)
            self.assertEqual(self.call("debian:bookworm", out, env={"PATH": d}), 1)  # no tools
            self.assertEqual(os.listdir(d), [])
            open(out, "w").close()
            self.assertEqual(self.call("debian:bookworm", out), 1)
            self.assertEqual(os.path.getsize(out), 0)


class Sources(unittest.TestCase):
    def lines(self, release, targets, codename="old"):
        make_image.apt_targets = lambda: targets
        make_image.host_codename = lambda: codename
        make_image.KEYRING = "/nope"
        return make_image.source_lines(release).splitlines()

    @staticmethod
    def target(release, component="main", uri="u/"):
        return {"Origin": "Debian", "Architecture": "amd64", "Release": release, "Component": component, "Repo-URI": uri}

    def test_the_hosts_own_sources_are_taken_as_they_are(self):
        t = [self.target("new"), self.target("new", "extra"), self.target("new-security", uri="s/"), self.target("newer"), self.target("old")]
        self.assertEqual(self.lines("new", t), ["deb u/ new main extra", "deb s/ new-security main"])

    def test_another_release_is_looked_for_in_the_same_places(self):
        t = [self.target("old"), self.target("old-updates")]
        self.assertEqual(self.lines("new", t), ["deb u/ new main", "deb u/ new-updates main"])

    def test_a_host_without_debians_sources_says_so(self):
        with self.assertRaises(make_image.ImageError):
            self.lines("new", [], None)


CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw+ep: bytes that are no UTF-8 may be in it
HAVE_TOOLS = all(shutil.which(t, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin") for t in ("fakeroot", "mke2fs", "debugfs", "tar"))


@unittest.skipUnless(HAVE_TOOLS, "fakeroot, mke2fs, debugfs and tar are needed")
class FileSystem(unittest.TestCase):
    """As a user makes it, by fakeroot; root may use that, too."""

    ENTRIES = [  # name, type, mode, owner, contents or target
        (".", tarfile.DIRTYPE, 0o755, 0, ""), ("./bin", tarfile.DIRTYPE, 0o755, 0, ""), ("./bin/ping", tarfile.REGTYPE, 0o755, 0, "ping"),
        ("./bin/su", tarfile.REGTYPE, 0o4755, 0, "su"), ("./bin/ping4", tarfile.LNKTYPE, 0o755, 0, "./bin/ping"),
        ("./bin/link", tarfile.SYMTYPE, 0o777, 0, "/bin/su"), ("./secret", tarfile.DIRTYPE, 0o700, 7, ""),
        ("./secret/key", tarfile.REGTYPE, 0o400, 7, "k"), ("./dev", tarfile.DIRTYPE, 0o755, 0, ""), ("./dev/null", tarfile.CHRTYPE, 0o666, 0, ""),
        ("./bin/capable", tarfile.REGTYPE, 0o755, 0, "capable"), ("./f\u0151", tarfile.REGTYPE, 0o644, 0, "name"),
    ]

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        archive = os.path.join(cls.folder.name, "root.tar")
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, kind, mode, owner, text in cls.ENTRIES:
                info = tarfile.TarInfo(name)
                info.type, info.mode, info.uid, info.gid = kind, mode, owner, owner
                if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE):
                    info.linkname, text = text, ""
                info.size = len(text)
                if name.endswith("/capable"):
                    info.pax_headers = {"SCHILY.xattr.security.capability": (CAPABILITY + b"\xff").decode("utf-8", "surrogateescape"),
                                        "SCHILY.xattr.user.note": "n"}
                tar.addfile(info, io.BytesIO(text.encode()))
        make_image.root_prefix = lambda: ["fakeroot", "--"]
        make_image.say = lambda _: None
        cls.image = make_image.fill(archive, cls.folder.name, 16 << 20)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def debugfs(self, request):
        return subprocess.run(["debugfs", "-R", request, self.image], capture_output=True, text=True, check=True,
                              env=dict(os.environ, PATH=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")).stdout

    def test_owners_modes_and_contents_are_the_archives(self):
        for name, mode, owner in (("/bin/su", "04755", 0), ("/secret", "0700", 7), ("/secret/key", "0400", 7), ("/bin/ping", "0755", 0)):
            self.assertRegex(self.debugfs("stat " + name), rf"Mode:\s+{mode} [^$]*User:\s+{owner}\s+Group:\s+{owner}\s", name)
        for name, text in (("/bin/su", "su"), ("/secret/key", "k"), ("/bin/ping4", "ping"), ("/bin/capable", "capable"), ("/f\u0151", "name")):
            self.assertEqual(self.debugfs("cat " + name), text)
        self.assertIn('Fast link dest: "/bin/su"', self.debugfs("stat /bin/link"))
        self.assertIn("Links: 2", self.debugfs("stat /bin/ping4"))

    def test_a_file_with_a_capability_is_a_file_that_has_it(self):
        self.assertIn("Type: regular", self.debugfs("stat /bin/capable"))
        listed = self.debugfs("ea_list /bin/capable")
        self.assertIn(" ".join(f"{b:02x}" for b in CAPABILITY + b"\xff"), listed)
        self.assertIn("user.note (1)", listed)

    def test_devices_are_left_to_the_guest_and_the_folder_is_private(self):
        self.assertNotIn("null", self.debugfs("ls -p /dev"))
        self.assertEqual(os.stat(self.folder.name).st_mode & 0o777, 0o700)

    def test_what_does_not_fit_is_said_in_one_line(self):
        with tempfile.TemporaryDirectory() as d:
            archive = os.path.join(d, "root.tar")
            with tarfile.open(archive, "w") as tar:
                info = tarfile.TarInfo("./big")
                info.size = 8 << 20
                tar.addfile(info, io.BytesIO(os.urandom(info.size)))
            with self.assertRaisesRegex(make_image.ImageError, r"^--size 4M is too small for these packages"):
                make_image.fill(archive, d, 4 << 20)


class Complaints(unittest.TestCase):
    def test_the_cause_is_told_from_its_consequences(self):
        log = "I: running apt-get update\nW: odd\nE: Unable to locate package x\nE: apt-get failed\nE: setup failed: E: run_chroot\n"
        self.assertEqual(make_image.explain(log), "E: Unable to locate package x")
        self.assertEqual(make_image.explain(""), "no message")


if __name__ == "__main__":
    unittest.main()
