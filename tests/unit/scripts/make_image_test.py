# SPDX-License-Identifier: MIT
"""Laws of scripts/make-image that need no packages: usage, what it says when something is missing, and the lines for apt."""
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
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


class Complaints(unittest.TestCase):
    def test_the_cause_is_told_from_its_consequences(self):
        log = "I: running apt-get update\nW: odd\nE: Unable to locate package x\nE: apt-get failed\nE: setup failed: E: run_chroot\n"
        self.assertEqual(make_image.explain(log), "E: Unable to locate package x")
        self.assertEqual(make_image.explain(""), "no message")


if __name__ == "__main__":
    unittest.main()
