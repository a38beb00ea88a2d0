#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A small NBD server for tests, which can misbehave: nbd_server.py [OPTIONS] FILE, or, when it is called qemu-nbd, with qemu-nbd's arguments.

It serves one client after another if `--persistent`, else one and ends. The socket is the one of `--socket PATH`, or as sd_listen_fds(3)
has it. FILE is served as it is; behind a header with qcow2's magic, from 64 KiB on. What it is to do wrong comes in the environment:
NBD_FAULT, words with commas between them, each from FAULTS below. NBD_LOG names a file for one line a command: name, offset, length, flags.
Spec: NBD protocol (doc/proto.md): fixed newstyle negotiation, simple replies
"""
import argparse
import os
import select
import signal
import socket
import struct
import sys
import time

FAULTS = {
    'early': 'hangs up before it says anything', 'silent': 'says nothing', 'garbage': 'speaks something else', 'option': 'hangs up when asked for the disk',
    'unknown': 'knows no disk of any name', 'size=N': 'says that the disk has N bytes', 'block=N': 'wants blocks of N bytes',
    'die=N': 'dies at the Nth command', 'mute=N': 'does not answer from the Nth command on', 'cookie=N': 'answers another command than the Nth',
    'fail=N': 'fails each Nth command', 'reverse': 'answers what came together in reverse order', 'words': 'complains as qemu-nbd does, and ends',
    'stay': 'does not end when its client is gone', 'ro': 'lets nobody write', 'noflush': 'cannot flush', 'notrim': 'cannot discard', 'nozero': 'cannot write zeroes',
}
READ, WRITE, DISCONNECT, FLUSH, TRIM, _, ZERO = range(7)
NAMES = {READ: 'read', WRITE: 'write', FLUSH: 'flush', TRIM: 'trim', ZERO: 'zero'}
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_INFO, OPT_GO = 1, 2, 3, 6, 7
REP_ACK, REP_INFO, ERR_UNSUPPORTED, ERR_UNKNOWN = 1, 3, 0x80000001, 0x80000006
OPTION_MAGIC, REPLY_MAGIC, REQUEST, ANSWER = 0x49484156454F5054, 0x3e889045565a9, 0x25609513, 0x67446698
EIO, EINVAL = 5, 22
HEADER = 64 << 10


class Hangup(Exception):
    pass


class Server:
    def __init__(self, path, read_only):
        words = [w for w in os.environ.get('NBD_FAULT', '').split(',') if w]
        self.fault = {w.split('=')[0]: int(w.split('=')[1]) if '=' in w else True for w in words}
        assert all(w.split('=')[0] in {f.split('=')[0] for f in FAULTS} for w in words), words
        self.file = os.open(path, os.O_RDONLY if read_only else os.O_RDWR)
        self.start = HEADER if os.pread(self.file, 4, 0) == b'QFI\xfb' else 0
        self.size = os.fstat(self.file).st_size - self.start
        self.claimed = self.fault.get('size', self.size)
        has = lambda word, flag: 0 if word in self.fault else flag
        self.flags = 1 | (2 if read_only or 'ro' in self.fault else 0) | has('noflush', 4) | 8 | has('notrim', 32) | has('nozero', 64)
        self.log = open(os.environ['NBD_LOG'], 'a', encoding='ascii') if 'NBD_LOG' in os.environ else None # pylint: disable=consider-using-with
        self.count = 0
        self.client = None

    def take(self, length):
        data = b''
        while len(data) < length:
            part = self.client.recv(length - len(data))
            if not part:
                raise Hangup
            data += part
        return data

    def option_reply(self, option, kind, data=b''):
        self.client.sendall(struct.pack('>QIII', REPLY_MAGIC, option, kind, len(data)) + data)

    def greet(self):
        if 'early' in self.fault:
            raise Hangup
        if 'silent' in self.fault:
            time.sleep(3600)
        if 'garbage' in self.fault:
            self.client.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n' * 4)
            raise Hangup
        self.client.sendall(b'NBDMAGIC' + struct.pack('>QH', OPTION_MAGIC, 3))
        client_flags, = struct.unpack('>I', self.take(4))
        while True:
            _magic, option, length = struct.unpack('>QII', self.take(16))
            data = self.take(length)
            if 'option' in self.fault and option in (OPT_GO, OPT_EXPORT_NAME):
                raise Hangup
            if option == OPT_EXPORT_NAME:
                self.client.sendall(struct.pack('>QH', self.claimed, self.flags) + (b'' if client_flags & 2 else bytes(124)))
                return
            if option in (OPT_GO, OPT_INFO) and 'unknown' not in self.fault:
                name_length, = struct.unpack('>I', data[:4])
                wanted = struct.unpack(f'>{(length - 6 - name_length) // 2}H', data[6 + name_length:])
                self.option_reply(option, REP_INFO, struct.pack('>HQH', 0, self.claimed, self.flags))
                if 3 in wanted:
                    block = self.fault.get('block', 1)
                    self.option_reply(option, REP_INFO, struct.pack('>HIII', 3, block, max(block, 4096), 32 << 20))
                self.option_reply(option, REP_ACK)
                if option == OPT_GO:
                    return
            elif option == OPT_ABORT:
                raise Hangup
            else:
                self.option_reply(option, ERR_UNKNOWN if option in (OPT_GO, OPT_INFO) else ERR_UNSUPPORTED)

    def perform(self, kind, offset, data, length):
        """Returns an errno, and what was read."""
        at = self.start + offset
        if 'fail' in self.fault and self.count % self.fault['fail'] == 0:
            return EIO, b''
        if offset + length > self.size:
            return (EIO if offset + length <= self.claimed else EINVAL), b''
        if kind == READ:
            return 0, os.pread(self.file, length, at)
        if kind == FLUSH:
            os.fdatasync(self.file)
        elif kind in (WRITE, ZERO):
            os.pwrite(self.file, data if kind == WRITE else bytes(length), at)
        return 0, b''

    def command(self):
        """Carries out one; returns its answer."""
        magic, flags, kind, cookie, offset, length = struct.unpack('>IHHQQI', self.take(28))
        data = self.take(length) if kind == WRITE else b''
        if magic != REQUEST or kind == DISCONNECT:
            raise Hangup
        self.count += 1
        if self.log:
            print(NAMES.get(kind, kind), offset, length, flags, file=self.log, flush=True)
        if self.count == self.fault.get('die'):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count >= self.fault.get('mute', 1 << 62):
            return b''
        error, out = self.perform(kind, offset, data, length)
        if self.count == self.fault.get('cookie'):
            cookie ^= 0x5555
        return struct.pack('>IIQ', ANSWER, error, cookie) + (out if not error else b'')

    def serve(self, client):
        self.client = client
        try:
            self.greet()
            while True:
                answers = [self.command()]
                while 'reverse' in self.fault and len(answers) < 8 and select.select([client], [], [], 0.001)[0]:
                    answers.append(self.command())
                client.sendall(b''.join(reversed(answers)))
        except (Hangup, ConnectionError):
            client.close()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('file')
    parser.add_argument('--socket')
    parser.add_argument('--read-only', action='store_true')
    parser.add_argument('--persistent', action='store_true')
    for ignored in ('--format', '--cache', '--discard'):
        parser.add_argument(ignored)
    return parser.parse_args()


def main():
    args = arguments()
    if 'words' in os.environ.get('NBD_FAULT', ''):
        sys.exit(f"qemu-nbd: Failed to blk_new_open '{args.file}': It is broken\nand that is all there is to say")
    server = Server(args.file, args.read_only)
    if args.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(args.socket)
        listener.listen(1)
    else:
        assert os.environ['LISTEN_PID'] == str(os.getpid()) and os.environ['LISTEN_FDS'] == '1'
        listener = socket.socket(fileno=3)
    while True:
        server.serve(listener.accept()[0])
        if 'stay' in server.fault:
            time.sleep(3600)
        if not args.persistent:
            break


main()
