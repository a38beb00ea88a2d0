# SPDX-License-Identifier: MIT
"""Laws of the cache of scripts/get-guest."""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest

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
        cached, copy = get_guest.cache_folder("cloud", PACKAGES), os.path.join(self.temp.name, "copy")
        self.assertFalse(get_guest.take_from_cache(cached, copy))
        get_guest.keep_in_cache(self.made, cached)
        self.assertTrue(get_guest.take_from_cache(cached, copy))
        self.assertEqual(self.names(copy), self.names(self.made))

    def test_other_packages_modules_or_flavours_are_another_folder(self):
        folders = {get_guest.cache_folder("cloud", PACKAGES), get_guest.cache_folder("generic", PACKAGES),
                   get_guest.cache_folder("cloud", PACKAGES[:1])}
        get_guest.KEEP_MODULES.append("another")
        folders.add(get_guest.cache_folder("cloud", PACKAGES))
        get_guest.KEEP_MODULES.pop()
        self.assertEqual(len(folders), 4)

    def test_the_newest_is_the_only_one_of_its_flavour(self):
        old, new = get_guest.cache_folder("cloud", PACKAGES[:1]), get_guest.cache_folder("cloud", PACKAGES)
        get_guest.keep_in_cache(self.made, old)
        get_guest.keep_in_cache(self.made, new)
        self.assertEqual(os.listdir(os.path.dirname(new)), [os.path.basename(new)])

    def test_half_a_folder_is_not_taken(self):
        cached = get_guest.cache_folder("cloud", PACKAGES)
        os.makedirs(cached)
        self.assertFalse(get_guest.take_from_cache(cached, os.path.join(self.temp.name, "copy")))

    def test_a_cache_that_cannot_be_written_is_no_failure(self):
        with open(os.environ["XDG_CACHE_HOME"], "w", encoding="ascii"):
            pass
        get_guest.keep_in_cache(self.made, get_guest.cache_folder("cloud", PACKAGES))


unittest.main(argv=[sys.argv[0], "-v"])
