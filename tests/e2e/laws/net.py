# SPDX-License-Identifier: MIT
"""Networks."""
import hashlib
import http.server
import os
import socket
import subprocess
import threading
import time

from laws.harness import ENGINE, RUN, STRESS, expect, expect_idle, expect_in, guest, one_line, session


class Server(http.server.ThreadingHTTPServer):
    """An HTTP server on the host: /N gives N bytes of `data`, POST answers with the hash of what it got."""

    def __init__(self, address='127.0.0.1', size=3000000):
        self.data = os.urandom(size)
        super().__init__((address, 0), Handler)
        self.port = self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def sha256(self, size):
        return hashlib.sha256(self.data[:size]).hexdigest().encode()


class Server6(Server):
    address_family = socket.AF_INET6

    def __init__(self):
        super().__init__('::1')


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(self.server.data[:int(self.path[1:])])

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.answer(hashlib.sha256(body).hexdigest().encode() + b'\n')

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def a_machine_has_no_network_unless_asked_for():
    expect(guest('ls /sys/class/net; test -e /etc/resolv.conf'), (1, b'lo\n', b''), 'without --net')
    expect(guest('ls /sys/class/net', '--net', 'none'), (0, b'lo\n', b''), 'none')


def the_guest_reaches_the_hosts_loopback_through_the_gateway():
    with Server() as server:
        begin = time.monotonic()
        status, out, err = guest(f'wget -q -O- http://10.0.2.2:{server.port}/5 && wget -q -O- http://10.0.2.2:{server.port}/3000000 | sha256sum',
                                 '--net', 'user')
        expect((status, err), (0, b''), out)
        expect(out[:5], server.data[:5], 'few bytes')
        expect(out[5:].split()[0], server.sha256(3000000), 'many bytes')
        if ENGINE == 'bt' and time.monotonic() - begin > 30:
            raise AssertionError('it took more than 30 s')


def transfers_do_not_stand_still():
    # each is done in a fraction of a second, unless two ends wait for each other: TCP then goes on after 5 s
    with Server() as server:
        script = ('for i in $(seq 30); do begin=$(date +%s); ' f'wget -q -O- http://10.0.2.2:{server.port}/3000000 | sha256sum >/dev/null; '
                  'end=$(date +%s); [ $((end - begin)) -lt 4 ] || echo slow; done')
        expect(guest(script, '--net', 'user'), (0, b'', b''), 'transfers')


def what_the_guest_sends_arrives_whole():
    with Server() as server:
        script = (f'wget -q -O /tmp/x http://10.0.2.2:{server.port}/1000000; '
                  '{ printf "POST / HTTP/1.0\\r\\nContent-Length: 1000000\\r\\n\\r\\n"; cat /tmp/x; sleep 1; } | '
                  f'nc 10.0.2.2 {server.port} | tail -n 1')
        expect(guest(script, '--net', 'user'), (0, server.sha256(1000000) + b'\n', b''), 'post')


def dhcp_and_the_gateway_answer():
    status, out, err = guest('ping -c 1 10.0.2.2 >&2; ip addr flush dev eth0; rm /etc/resolv.conf; udhcpc -i eth0 -n -q 2>/dev/null; '
                             'ip -4 addr show eth0; ip route; cat /etc/resolv.conf /sys/class/net/eth0/address',
                             '--net', 'user,mac=02:00:00:aa:bb:cc')
    expect(status, 0, err)
    expect_in(b'1 packets received', err)
    for part in (b'inet 10.0.2.15/24', b'default via 10.0.2.2', b'nameserver 10.0.2.3', b'02:00:00:aa:bb:cc'):
        expect_in(part, out)


def a_restricted_guest_reaches_nothing():
    with Server() as server:
        status, out, _ = guest(f'wget -q -T 5 -O- http://10.0.2.2:{server.port}/5', '--net', 'user,restrict')
        expect((status != 0, out), (True, b''), 'restrict')


def fetch(port):
    with socket.create_connection(('127.0.0.1', port), timeout=20) as s:
        s.sendall(b'GET /x HTTP/1.0\r\n\r\n')
        return b''.join(iter(lambda: s.recv(4096), b''))


def ports_of_the_host_lead_into_the_guest():
    ports = free_port(), free_port()
    script = 'mkdir /tmp/www; echo from the guest >/tmp/www/x; httpd -p 80 -h /tmp/www; echo ready; read x; true'
    forwards = f'hostfwd=tcp:{ports[0]}:80,hostfwd=tcp:127.0.0.1:{ports[1]}:80'
    with subprocess.Popen([*RUN, '--timeout', '100', '--net', 'user,' + forwards, '--', 'sh', '-c', script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as p:
        expect(p.stdout.readline(), b'ready\n', 'guest')
        for port in ports:
            expect_in(b'from the guest\n', fetch(port))
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(fetch(ports[0]))) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect(sum(b'from the guest\n' in a for a in answers), 8, 'connections at once')
        p.stdin.close()
        expect(p.wait(timeout=60), 0, 'end')


def datagrams_of_any_size_pass_through_a_forwarded_port():
    with open(os.path.join(os.path.dirname(STRESS), 'udp_echo'), 'rb') as f:
        program = f.read()
    port = free_port()
    sizes = (1, 0, 100, 1472, 1473, 9000, 16000, 2)
    script = f'head -c {len(program)} >/tmp/echo; chmod +x /tmp/echo; /tmp/echo 5353 {len(sizes)}'
    with subprocess.Popen([*RUN, '--timeout', '100', '--net', f'user,hostfwd=udp:{port}:5353', '--', 'sh', '-c', script], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as p, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        p.stdin.write(program)
        p.stdin.close()
        expect(p.stdout.readline(), b'ready\n', 'guest')
        s.connect(('127.0.0.1', port))
        s.settimeout(20)
        for size in sizes:
            data = os.urandom(size)
            s.send(data)
            expect(s.recv(65536), bytes((b + 1) & 255 for b in data), f'{size} bytes')
        expect(p.wait(timeout=60), 0, 'end')


def the_guest_has_ipv6_and_can_do_without():
    wait = 'for i in $(seq 100); do ip -6 route | grep -q ^default && break; sleep 0.1; done; '
    try:
        server = Server6()
    except OSError:
        print('  (left out: the host has no ::1)')
        return
    with server:
        script = wait + f'ip -6 addr show eth0; wget -q -O- "http://[fec0::2]:{server.port}/3000000" | sha256sum'
        status, out, err = guest(script, '--net', 'user')
        expect((status, err), (0, b''), out)
        expect_in(b'inet6 fec0::', out)
        expect(out.split()[-2], server.sha256(3000000), 'bytes')
    status, out, _ = guest('sleep 3; ip -6 addr show eth0; ip -6 route', '--net', 'user,ipv6=off')
    expect((status, b'fec0:' in out, b'default' in out), (0, False, False), out)


def questions_without_a_name_server_are_told_of_once():
    if os.path.exists('/etc/resolv.conf'):
        print('  (left out: the host has a name server)')
        return
    script = 'for i in 1 2; do nslookup nowhere.invalid >/dev/null; done; ping -c 1 10.0.2.2'
    status, out, err = guest(script, '--net', 'user')
    expect(status, 0, out)
    one_line(err)
    expect_in(b'/etc/resolv.conf', err)


def an_idle_network_uses_little_host_cpu():
    expect_idle('--net', 'user')


def a_restarted_machine_has_its_network_again():
    with Server() as server:
        url = f'http://10.0.2.2:{server.port}/1000'
        steps = [(b'/ # ', f'wget -q -O /tmp/x {url} && reboot -f\r'.encode()),
                 (b'/ # ', f'wget -q -O- {url} | sha256sum\r'.encode()), (server.sha256(1000), b'poweroff -f\r')]
        status, out = session(('--reboot', '--net', 'user'), steps)
        expect(status, 0, out)


def an_interface_of_the_host_is_a_network():
    name = f'dpt{os.getpid()}'[:15]
    try:
        for command in (f'tuntap add dev {name} mode tap', f'addr add 10.213.7.1/24 dev {name}', f'link set {name} up'):
            subprocess.run(['ip', *command.split()], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print('  (left out: no interface can be made here)')
        return
    try:
        with Server('10.213.7.1') as server:
            url = f'http://10.213.7.1:{server.port}'
            script = (f'ip addr add 10.213.7.2/24 dev eth0; wget -q -O /tmp/x {url}/3000000; sha256sum </tmp/x; '
                      '{ printf "POST / HTTP/1.0\\r\\nContent-Length: 3000000\\r\\n\\r\\n"; cat /tmp/x; sleep 1; } | '
                      f'nc 10.213.7.1 {server.port} | tail -n 1')
            status, out, err = guest(script, '--net', f'tap={name}')
            expect((status, err), (0, b''), out)
            expect([l.split()[0] for l in out.splitlines()], [server.sha256(3000000)] * 2, 'there and back')
    finally:
        subprocess.run(['ip', 'link', 'del', name], check=False, capture_output=True)


def bad_networks_are_refused_in_one_line():
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        for what, want in ((f'user,hostfwd=tcp:{port}:80', 1), ('tap=doppel-nope', 1), ('tap=lo', 1), ('user,hostfwd=tcp:203.0.113.1:80:80', 1),
                           ('user,nope', 2), ('nope', 2), ('', 2), ('user,hostfwd=tcp:80', 2), ('user,hostfwd=tcp:70000:80', 2),
                           ('tap=', 2), ('tap=x,restrict', 2), ('user,mac=1', 2), ('none,mac=02:00:00:00:00:01', 2)):
            status, out, err = guest('true', '--net', what)
            expect((status, out), (want, b''), what)
            one_line(err)
