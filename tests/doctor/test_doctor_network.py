"""Hosts that do not answer, or answer something else; networks of our own that lose packets."""
import json
import os
import socket
import subprocess
import threading
import time

import pytest
from conftest import COMMAND, PATIENCE, countersign, die_with_parent, free_port, run
from world import HERE, Files, c


class Listener:
    """answer(connection) is called for each, in a thread."""

    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", free_port()))
        self.port = self.socket.getsockname()[1]
        self.answer = answer
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        with connection:
            try:
                self.answer(connection)
            except OSError:
                pass


def first(target, *more):
    t = time.monotonic()
    done = countersign("doctor", target, "--json", "--timeout", "1", *more)
    assert done.returncode == 1, done.stdout + done.stderr
    assert time.monotonic() - t < 3 * PATIENCE
    return json.loads(done.stdout)["findings"][0]


def endless(prefix, piece):
    def answer(s):
        s.recv(4096)
        s.sendall(prefix)
        while True:
            s.sendall(piece)
    return answer


def reset(s):
    s.recv(4096)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


ODD = {
    "silent": ("F104", lambda s: s.recv(4096) and time.sleep(20)),
    "http": ("F68", lambda s: s.recv(4096) and s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "ssh": ("F103", lambda s: s.sendall(b"SSH-2.0-OpenSSH_9.2\r\n") or s.recv(4096)),
    "mail": ("F103", lambda s: s.sendall(b"220 mail.example ESMTP\r\n") or s.recv(4096)),
    "binary": ("F103", lambda s: s.recv(4096) and s.sendall(bytes(range(256)) * 20)),
    "endless text": ("F103", endless(b"x", b"y" * 65536)),
    "endless http": ("F68", endless(b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65536)),
    "endless records": ("F103", endless(b"", b"\x16\x03\x03\x40\x00" + b"\0" * 16384)),
    "closed": ("F82", lambda s: s.recv(4096)),
    "reset": ("F82", reset),
    "alert 70": ("F55", lambda s: s.recv(4096) and s.sendall(b"\x15\x03\x01\0\2\2\x46")),
    "alert 112": ("F62", lambda s: s.recv(4096) and s.sendall(b"\x15\x03\x01\0\2\2\x70")),
    "alert 120": ("F63", lambda s: s.recv(4096) and s.sendall(b"\x15\x03\x01\0\2\2\x78")),
    "alert 40": ("F56", lambda s: s.recv(4096) and s.sendall(b"\x15\x03\x01\0\2\2\x28")),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_answers_something_else_is_named(kind):
    number, answer = ODD[kind]
    listener = Listener(answer)
    try:
        got = first(f"127.0.0.1:{listener.port}")
        assert got["id"] == number, got
    finally:
        listener.socket.close()


def test_nothing_listens():
    got = first(f"127.0.0.1:{free_port()}")
    assert got["id"] == "F82" and "refused" in got["evidence"]


def test_a_name_that_nobody_knows():
    assert first("no-such-host.invalid:443")["id"] == "F102"


def test_a_database_that_speaks_no_tls():
    listener = Listener(lambda s: s.recv(8) and s.sendall(b"N"))
    assert first(f"127.0.0.1:{listener.port}", "--proto", "postgres")["id"] == "F103"
    listener.socket.close()


@pytest.mark.parametrize("target", ["localhost", "localhost:0x1", ":443", "[::1:443"])
def test_what_is_no_target_is_usage(target):
    assert countersign("doctor", target).returncode == 2


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """Two namespaces and a router between them: ours (10.9.1.2), the server's (10.9.2.2)."""
    names = [f"csd{os.getpid()}{x}" for x in "crs"]
    if os.getuid() != 0 or run("ip", "netns", "add", names[0]).returncode != 0:
        pytest.skip("network namespaces need root and the right to make them")
    folder = tmp_path_factory.mktemp("net")
    procs = []
    try:
        def ip(*args, ns=None):
            run("ip", *(("-n", ns) if ns else ()), *args, check=0)
        client, router, server = names
        for n in names[1:]:
            ip("netns", "add", n)
        for i, (end, net_) in enumerate(((client, 1), (server, 2))):
            ip("link", "add", f"e{i}", "netns", end, "type", "veth", "peer", "name", f"r{i}", "netns", router)
            ip("addr", "add", f"10.9.{net_}.2/24", "dev", f"e{i}", ns=end)
            ip("addr", "add", f"10.9.{net_}.1/24", "dev", f"r{i}", ns=router)
            for dev, ns in ((f"e{i}", end), ("lo", end), (f"r{i}", router)):
                ip("link", "set", dev, "up", ns=ns)
            ip("route", "add", "default", "via", f"10.9.{net_}.1", ns=end)
        run("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1", check=0)
        ip("route", "add", "blackhole", "10.9.3.0/24", ns=client)
        ip("route", "add", "prohibit", "10.9.4.0/24", ns=router)
        ip("route", "add", "blackhole", "10.9.5.0/24", ns=router)
        f = Files(folder)
        many = [c.dns(f"host-{i}.of-a-long-name.example") for i in range(60)]
        f.put("big", f.leaf("big", names=HERE + [c.ip(10, 9, 2, 2)] + many, usages=[c.SERVER]), f.int)
        f.put("heavy", f.leaf("heavy", names=many), f.int)
        procs.append(subprocess.Popen(
            ["ip", "netns", "exec", server, "openssl", "s_server", "-accept", "4433", "-cert", f.path("big.crt"), "-cert_chain",
             f.path("big.crt"), "-key", f.path("big.key"), "-CAfile", f.path("root.pem"), "-Verify", "3", "-quiet", "-www"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent))
        yield client, router, server, f
    finally:
        for p in procs:
            p.kill()
            p.wait()
        for n in names:
            run("ip", "netns", "del", n)


def in_net(net, target, *more):
    done = run("ip", "netns", "exec", net[0], COMMAND, "doctor", target, "--json", "--timeout", "1", *more)
    return json.loads(done.stdout)["findings"][0]


@pytest.mark.parametrize("target,words", [("10.9.3.1:443", "no route"), ("10.9.4.1:443", "prohibit"), ("10.9.5.1:443", "")])
def test_routes_that_lead_nowhere(net, target, words):
    got = in_net(net, target)
    assert got["id"] == "F82" and (words in got["evidence"] or "no route" in got["evidence"]), got


def test_a_path_that_loses_big_packets_is_told_from_a_silent_server(net):
    client, router, server, f = net
    up = json.loads(run("ip", "netns", "exec", client, COMMAND, "doctor", "10.9.2.2:4433", "--json", "--cert", f.path("good.crt"),
                        "--key", f.path("good.key"), "--ca", f.path("root.pem")).stdout)
    assert up["verdict"] == "ok", up
    # the router's end takes 1400 octets from the server, and drops what is bigger without a word
    run("ip", "-n", server, "link", "set", "e1", "gso_max_segs", "1", check=0)
    run("ip", "-n", router, "link", "set", "r1", "mtu", "1400", check=0)
    got = in_net(net, "10.9.2.2:4433")
    assert got["id"] == "F88", got
