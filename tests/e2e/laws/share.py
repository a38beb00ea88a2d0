# SPDX-License-Identifier: MIT
"""Shared folders."""
import hashlib
import os
import tempfile

from laws.harness import expect, expect_in, guest, hash_of, one_line


def share(folder):
    """Makes folder/share and beside it folder/outside with a secret; returns both, as the host knows them."""
    paths = [os.path.realpath(os.path.join(folder, n)) for n in ('share', 'outside')]
    for p in paths:
        os.mkdir(p)
    with open(os.path.join(paths[1], 'secret'), 'w', encoding='ascii') as f:
        f.write('secret\n')
    return paths


def a_share_is_at_the_same_place_and_so_is_the_command():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        below = os.path.join(path, 'a', 'b')
        os.makedirs(below)
        expect(guest('pwd', '--share', path, cwd=below)[:2], (0, below.encode() + b'\n'), 'in the share')
        expect(guest('pwd', '--share', '..', cwd=below)[:2], (0, below.encode() + b'\n'), 'by a relative name')
        expect(guest('pwd', '--share', below, cwd=path)[:2], (0, b'/\n'), 'above the share')


def files_of_a_share_are_written_renamed_and_run():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        with open(os.path.join(path, 'in'), 'w', encoding='ascii') as f:
            f.write('from the host\n')
        script = ('cat in; mkdir x; echo data >x/a; mv x/a b; echo more >>b; ln -s b l; ln b h; cat l; printf "#!/bin/sh\nexit 9\n" >run; '
                  'chmod +x run; chown 0:0 b; for i in $(seq 300); do echo $i >x/$i; done; ls x | wc -l; rm -r x; ./run')
        status, out, err = guest(script, '--share', path, '--cpus', '2', cwd=path)
        expect((status, out, err), (9, b'from the host\ndata\nmore\n300\n', b''), 'the guest')
        expect(sorted(os.listdir(path)), ['b', 'h', 'in', 'l', 'run'], 'the folder')
        st = os.stat(os.path.join(path, 'b'))
        expect((st.st_uid, st.st_nlink, st.st_mode & 0o777), (os.geteuid(), 2, 0o644), 'what the guest made')


def a_big_file_arrives_whole_in_both_directions():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        data = os.urandom(50_000_003)
        with open(os.path.join(path, 'big'), 'wb') as f:
            f.write(data)
        status, out, err = guest('cp big copy; sha256sum <copy', '--share', path, cwd=path)
        expect((status, err), (0, b''), out)
        expect(out.split()[0].decode(), hashlib.sha256(data).hexdigest(), 'what the guest read')
        expect(hash_of(os.path.join(path, 'copy')), hashlib.sha256(data).hexdigest(), 'what the guest wrote')


def a_read_only_share_is_not_changed():
    with tempfile.TemporaryDirectory() as d:
        path, _ = share(d)
        with open(os.path.join(path, 'f'), 'w', encoding='ascii') as f:
            f.write('old\n')
        script = f'cat f; echo new >f; touch g; mount -o remount,rw {path}; echo new >f; rm f; mkdir g; mv f g; :'
        status, out, err = guest(script, '--share', path + ',ro', cwd=path)
        expect((status, out), (0, b'old\n'), err)
        expect(err.count(b'Read-only'), 6, err)
        expect(os.listdir(path), ['f'], 'the folder')


def links_are_followed_in_the_guest_only():
    with tempfile.TemporaryDirectory() as d:
        path, outside = share(d)
        os.symlink(outside, os.path.join(path, 'folder'))
        os.symlink(os.path.join(outside, 'secret'), os.path.join(path, 'file'))
        status, out, err = guest('readlink file; cat file folder/secret ../outside/secret; echo x >file; echo x >folder/new; :',
                                 '--share', path, cwd=path)
        expect((status, out), (0, os.path.join(outside, 'secret').encode() + b'\n'), err)
        expect(err.count(b'\n'), 5, err)
        expect(os.listdir(outside), ['secret'], 'the folder outside')


def shares_have_tags_and_lie_in_each_other():
    with tempfile.TemporaryDirectory() as d:
        path, outside = share(d)
        inner = os.path.join(path, 'inner')
        os.mkdir(inner)
        script = f'mkdir /m; mount -t virtiofs out /m; cat /m/secret; touch {inner}/a; touch b'
        status, out, err = guest(script, '--share', inner + ':in', '--share', path + ',ro', '--share', outside + ':out', cwd=path)
        expect((status, out), (1, b'secret\n'), err)
        expect_in(b'b: Read-only', err)
        expect(os.listdir(inner), ['a'], 'the inner share')


def bad_shares_are_refused_in_one_line():
    with tempfile.TemporaryDirectory() as d:
        path, outside = share(d)
        for args, want in (([d + '/none'], 1), ([outside + '/secret'], 1), (['/'], 1), ([path + ',nope'], 2), ([':x'], 2),
                           ([path + ':' + 37 * 'x'], 2), ([path + ':x', outside + ':x'], 2)):
            status, out, err = guest('true', *sum((['--share', a] for a in args), []))
            expect((status, out), (want, b''), args)
            one_line(err)
