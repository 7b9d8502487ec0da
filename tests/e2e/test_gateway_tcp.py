"""Streams: any protocol behind mutual TLS. MQTT by mosquitto's own programs, PostgreSQL by psql, the rest as octets."""
import datetime as dt
import os
import pwd
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from conftest import PATIENCE, die_with_parent, free_port, run, wait_for
from gateway import CA, SECOND, V12, V13, Gateway
from test_gateway_life import closed_within
from test_gateway_sites import site

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


class Peer:
    """A TCP service: serve(socket) in a thread for each connection."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url, self.count = f"tcp://127.0.0.1:{self.port}", 0
        threading.Thread(target=self.accept, args=(serve,), daemon=True).start()

    def accept(self, serve):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=serve, args=(c,), daemon=True).start()


def echo(c):
    with c:
        while data := c.recv(65536):
            c.sendall(data)
        c.sendall(b"<end>")


def stream(name, url, more="", **how):
    return site(name, how.get("client", "require"), "ca1", f"    protocol: tcp\n    upstream: {url}\n{more}")


@pytest.fixture()
def lone():
    made = []

    def make(sites, **how):
        g = Gateway(sites, **how)
        g.ca = CA(g.folder, "ca1")
        g.one, g.two = g.ca.client("one"), g.ca.client("two")
        made.append(g)
        return g
    yield make
    for g in made:
        g.close()


def at(g, port, context, name="a.test"):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10 * PATIENCE), server_hostname=name)


def read_until(s, end):
    data = b""
    while not data.endswith(end):
        more = s.recv(65536)
        assert more, data[-200:]
        data += more
    return data


class HalfClosing:
    """A TLS client that says its end and goes on reading."""

    def __init__(self, context, port, name):
        self.raw = socket.create_connection(("127.0.0.1", port), timeout=10 * PATIENCE)
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inside, self.outside, server_hostname=name)
        self.do(self.tls.do_handshake)

    def do(self, call, *args):
        while True:
            try:
                got = call(*args)
                self.raw.sendall(self.outside.read())
                return got
            except ssl.SSLWantReadError:
                self.raw.sendall(self.outside.read())
                if call == self.tls.unwrap:
                    return None
                data = self.raw.recv(65536)
                self.inside.write(data) if data else self.inside.write_eof()


@BOTH
def test_octets_cross_both_ways_and_each_direction_ends_for_itself(lone, version):
    g = lone(stream("a.test", Peer(echo).url))
    g.start()
    c = HalfClosing(g.context(g.one, version), g.https, "a.test")
    blob = os.urandom(300_000)
    got = b""
    for i in range(0, len(blob), 30_000):
        c.do(c.tls.write, blob[i:i + 30_000])
        while len(got) < i + 20_000:
            got += c.do(c.tls.read, 65536)
    c.do(c.tls.unwrap)
    while not got.endswith(b"<end>"):
        got += c.do(c.tls.read, 65536)
    assert got == blob + b"<end>"
    c.raw.close()
    wait_for(lambda: g.events("stream"), 5)
    said = g.events("stream")[0]
    assert (said["in"], said["out"], said["site"]) == (300_000, 300_005, "a.test")
    assert "one" in said["identity"]


def test_a_client_that_is_cut_off_does_not_end_its_stream_in_order(lone):
    ends = []

    def serve(c):
        with c:
            try:
                while c.recv(65536):
                    pass
                ends.append("end")
            except OSError:
                ends.append("cut")
    g = lone(stream("a.test", Peer(serve).url))
    g.start()
    s = g.connect(g.context(g.one))
    s.sendall(b"half a mess")
    time.sleep(0.1)
    s.shutdown(socket.SHUT_RDWR)  # no close_notify
    s.close()
    wait_for(lambda: ends, 5)


def test_slow_reader_holds_the_upstream_back(lone):
    sent = []

    def serve(c):
        with c:
            block = b"x" * 65536
            try:
                for _ in range(1600):
                    c.sendall(block)
                    sent.append(len(block))
            except OSError:
                pass
    g = lone(stream("a.test", Peer(serve).url))
    g.start()
    with g.connect(g.context(g.one)) as s:
        s.recv(1)
        wait_for(lambda: len(sent) and len(sent) == (time.sleep(0.5), len(sent))[1], 20)
        assert sum(sent) < 40 * 2**20, "the gateway took what nobody read"
        rss = int(next(ln for ln in Path(f"/proc/{g.proc.pid}/status").read_text().splitlines() if "VmHWM" in ln).split()[1])
        assert rss < 600_000  # KiB; sanitizers are large by themselves
        total = 1
        while more := s.recv(1 << 20):
            total += len(more)
        assert total == 1600 * 65536


def test_nobody_without_a_good_certificate_reaches_the_service(lone):
    peer = Peer(echo)
    g = lone(stream("a.test", peer.url))
    stranger = CA(g.folder, "strangers").client("one")
    ended = g.ca.client("ended", begins=-2 * dt.timedelta(days=1), ends=-dt.timedelta(days=1))
    g.start()
    for client in (None, stranger, ended):
        for version in (V12, V13):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                with g.connect(g.context(client, version)) as s:
                    s.sendall(b"hello")
                    assert s.recv(10), "closed"
                    pytest.fail("served")
                    raise ConnectionError
    assert peer.count == 0
    assert {e["reason"] for e in g.events("handshake-refused")} >= {"certificate-required", "certificate-expired"}


def test_allow_says_who_may_use_a_stream(lone):
    peer = Peer(echo)
    g = lone(stream("a.test", peer.url, "    allow: [{kind: device, name: one}]\n"))
    g.start()
    with g.connect(g.context(g.one)) as s:
        s.sendall(b"hello")
        assert s.recv(10) == b"hello"
    with g.connect(g.context(g.two)) as s:
        assert closed_within(s, 5)
    wait_for(lambda: g.events("connection-closed"), 5)
    assert g.events("connection-closed")[0]["reason"] == "identity-not-allowed"
    assert peer.count == 1


def proxy_of(octets):
    """What a service reads in PROXY protocol version 2: addresses and a dictionary of TLVs."""
    assert octets[:12] == b"\r\n\r\n\0\r\nQUIT\n" and octets[12] == 0x21
    family, size = octets[13], struct.unpack(">H", octets[14:16])[0]
    body, rest = octets[16:16 + size], octets[16 + size:]
    assert family == 0x11
    src, dst, sport, dport = socket.inet_ntoa(body[:4]), socket.inet_ntoa(body[4:8]), *struct.unpack(">HH", body[8:12])

    def tlvs(b):
        found = {}
        while b:
            kind, n = struct.unpack(">BH", b[:3])
            found[kind], b = b[3:3 + n], b[3 + n:]
        return found
    found = tlvs(body[12:])
    ssl_part = found[0x20]
    return (src, sport, dst, dport), found, (ssl_part[0], struct.unpack(">I", ssl_part[1:5])[0], tlvs(ssl_part[5:])), rest


def test_proxy_protocol_tells_the_service_who_the_client_is(lone):
    heard = []

    def serve(c):
        with c:
            data = c.recv(65536)
            while b"hello" not in data:
                data += c.recv(65536)
            heard.append(data)
            c.sendall(b"ok")
    g = lone(stream("a.test", Peer(serve).url, "    proxy_protocol: true\n    alpn: first,second\n"))
    g.start()
    context = g.context(g.one)
    context.set_alpn_protocols(["second"])
    session = None
    for resumed in (False, True):
        with g.connect(context, session=session) as s:
            s.sendall(b"hello")
            assert s.recv(10) == b"ok"
            own, session = s.getsockname(), s.session
            assert s.session_reused == resumed
        addresses, tlv, (client, verify, inner), rest = proxy_of(heard.pop())
        assert addresses == (*own, "127.0.0.1", g.https)
        assert (tlv[0x01], tlv[0x02]) == (b"second", b"a.test")
        assert (client, verify) == (0x05 if resumed else 0x07, 0)
        assert (inner[0x21], inner[0x22]) == (b"TLSv1.3", b"one")
        assert inner[0x23].startswith(b"TLS_")
        assert rest == b"hello"


def test_a_client_of_another_protocol_is_refused(lone):
    g = lone(stream("a.test", Peer(echo).url, "    alpn: mqtt\n") + site("b.test", "require", "ca1"))
    g.start()
    for name, offered, good in (("a.test", "mqtt", True), ("a.test", "http/1.1", False), ("b.test", "mqtt", False),
                                ("b.test", "http/1.1", True)):
        context = g.context(g.one)
        context.set_alpn_protocols([offered])
        try:
            with g.connect(context, name) as s:
                assert s.selected_alpn_protocol() == offered
                assert good
        except ssl.SSLError as e:
            assert not good and "NO_APPLICATION_PROTOCOL" in str(e).upper().replace(" ", "_")
    assert {e["reason"] for e in g.events("handshake-refused")} == {"tls-alpn-mismatch"}


@BOTH
def test_revocation_ends_a_stream_within_a_second(lone, version):
    g = lone(stream("a.test", Peer(echo).url), authority=True)
    g.start()
    with g.connect(g.context(g.one, version)) as s, g.connect(g.context(g.two, version)) as other:
        for c in (s, other):
            c.sendall(b"hello")
            assert c.recv(10) == b"hello"
        g.feed.revoke(g.ca, g.one)
        assert closed_within(s, SECOND)
        other.sendall(b"still")
        assert other.recv(10) == b"still"
    assert [e["reason"] for e in g.events("connection-closed")] == ["revoked"]


def test_a_stream_and_a_kept_connection_end_with_their_certificate(lone):
    g = lone(stream("a.test", Peer(echo).url) + site("b.test", "require", "ca1"))
    short = g.ca.client("short", ends=dt.timedelta(seconds=int(4 * PATIENCE)))
    g.start()
    with g.connect(g.context(short)) as s, g.connect(g.context(short), "b.test") as kept, g.connect(g.context(g.one)) as other:
        s.sendall(b"hello")
        assert s.recv(10) == b"hello"
        kept.sendall(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
        assert b" 200 " in kept.recv(65536)
        assert closed_within(s, 7 * PATIENCE)
        assert closed_within(kept, SECOND)
        other.sendall(b"still")
        assert other.recv(10) == b"still"
    assert [e["reason"] for e in g.events("connection-closed")] == ["certificate-expired"] * 2


def test_reload_ends_streams_that_are_no_longer_allowed_and_keeps_the_others(lone):
    peer = Peer(echo)
    g = lone(stream("a.test", peer.url))
    g.start()
    with g.connect(g.context(g.one)) as s, g.connect(g.context(g.two)) as other:
        for c in (s, other):
            c.sendall(b"hello")
            assert c.recv(10) == b"hello"
        g.write(stream("a.test", peer.url, "    allow: [{name: two}]\n"))
        g.reload("reloaded")
        assert closed_within(s, 5)
        other.sendall(b"still")
        assert other.recv(10) == b"still"


def test_a_port_of_its_own_serves_clients_that_name_no_host(lone):
    port = free_port()
    g = lone(stream("a.test", Peer(echo).url, f"    listen: 127.0.0.1:{port}\n") + site("b.test", "require", "ca1"))
    g.start()
    context = g.context(g.one)
    context.check_hostname = False
    for name in (None, "a.test", "elsewhere.test"):
        with at(g, port, context, name) as s:
            s.sendall(b"hello")
            assert s.recv(10) == b"hello"
    assert g.visit(g.context(g.one), "b.test").status == 200
    assert g.visit(g.context(g.one), "a.test").alert, "served at an address that is not its own"
    at_length = g.text(site("b.test", "require", "ca1") + stream("a.test", Peer(echo).url, f"    listen: 127.0.0.1:{free_port()}\n"))
    g.conf.write_text(at_length)
    assert "needs a restart" in g.reload("reload-failed")
    with at(g, port, context, "a.test") as s:
        s.sendall(b"hello")
        assert s.recv(10) == b"hello"


def test_a_session_of_one_address_is_worth_nothing_at_another(lone):
    port = free_port()
    g = lone(stream("a.test", Peer(echo).url, f"    listen: 127.0.0.1:{port}\n") + stream("a.test", Peer(echo).url))
    g.start()
    context = g.context(g.one)
    with at(g, port, context) as s:
        s.sendall(b"hello")
        s.recv(10)
        session = s.session
    with at(g, port, context) as s:
        s.sendall(b"hello")
        s.recv(10)
    with g.connect(context, session=session) as s:
        s.sendall(b"hello")
        assert s.recv(10) == b"hello"
        assert not s.session_reused


@pytest.mark.parametrize("lines, says", [
    ("    protocol: tcp\n", "a stream needs one"),
    ("    protocol: udp\n", "expected http or tcp"),
    ("    protocol: tcp\n    upstream: http://127.0.0.1:1\n", "expected tcp://HOST:PORT"),
    ("    upstream: tcp://127.0.0.1:1\n", "for protocol: http"),
    ("    proxy_protocol: true\n", "proxy_protocol is for protocol: tcp"),
    ("    protocol: tcp\n    upstream: tcp://127.0.0.1:1\n    starttls: postgres\n", "starttls needs a listen of its own"),
    ("    protocol: tcp\n    upstream: tcp://127.0.0.1:1\n    routes: [{path: /}]\n", "routes are for protocol: http"),
    ("    protocol: tcp\n    upstream: tcp://127.0.0.1\n", "upstream"),
    ("    alpn: 'a,,b'\n", "names of protocols"),
])
def test_what_does_not_fit_together_is_refused_at_the_start(lone, lines, says):
    g = lone(site("a.test", "require", "ca1", lines))
    g.start(wait=False)
    assert g.proc.wait(20 * PATIENCE) != 0
    assert says in g.log() and "config-invalid" in g.log()
    g.proc = None


# ---- MQTT ----

@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("mosquitto"), free_port()
    (folder / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    with open(folder / "log", "wb") as log:
        p = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(folder / "conf")], stdout=log, stderr=log,
                             preexec_fn=die_with_parent)

    def up():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    wait_for(up, 10, say=(folder / "log").read_text())
    yield port
    p.terminate()
    p.wait()


def test_mosquitto_behind_the_gateway(lone, broker):
    port = free_port()
    g = lone(stream("localhost", f"tcp://127.0.0.1:{broker}", f"    listen: 127.0.0.1:{port}\n    alpn: mqtt\n"))
    g.start()

    def client(program, who, *args):
        tls = ["--cafile", str(g.root.path), *(["--cert", str(who.crt), "--key", str(who.key)] if who else [])]
        return [program, "-h", "localhost", "-p", str(port), *tls, "--tls-alpn", "mqtt", *args]
    sub = subprocess.Popen(["stdbuf", "-oL", *client("mosquitto_sub", g.one, "-t", "pumps/#", "-C", "3", "-W", "20", "-d")], stdout=subprocess.PIPE,
                           text=True, preexec_fn=die_with_parent)
    wait_for(lambda: "SUBACK" in sub.stdout.readline(), 10)
    for i in range(3):
        pub = run(*client("mosquitto_pub", g.two, "-q", "1", "-t", "pumps/17", "-m", f"pressure {i}"))
        assert pub.returncode == 0, pub.stderr
    out = sub.communicate(timeout=20 * PATIENCE)[0]
    assert [ln for ln in out.splitlines() if ln.startswith("pressure")] == [f"pressure {i}" for i in range(3)]
    nobody = run(*client("mosquitto_pub", None, "-t", "pumps/17", "-m", "none"))
    assert nobody.returncode != 0
    wait_for(lambda: g.events("handshake-refused"), 5)
    assert g.events("handshake-refused")[-1]["reason"] == "certificate-required"


# ---- PostgreSQL ----

BIN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A server of its own on a unix socket and a port; as the user nobody where we are root, which it refuses to be."""
    folder, port = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp")), free_port()
    how = dict(cwd=folder, stdin=subprocess.DEVNULL)
    if os.getuid() == 0:
        who = pwd.getpwnam("nobody")
        os.chown(folder, who.pw_uid, who.pw_gid)
        how |= dict(user=who.pw_uid, group=who.pw_gid, extra_groups=[])
    subprocess.run([BIN / "initdb", "-D", folder / "db", "-U", "app", "-A", "trust", "--no-sync"], check=True,
                   stdout=subprocess.DEVNULL, **how)
    with open(folder / "log", "wb") as log:
        p = subprocess.Popen([BIN / "postgres", "-D", folder / "db", "-k", folder, "-p", str(port), "-c",
                              "listen_addresses=127.0.0.1", "-c", "fsync=off"], stdout=log, stderr=log, **how)
    wait_for(lambda: (folder / f".s.PGSQL.{port}").exists(), 30, say=(folder / "log").read_text())
    yield port, folder / f".s.PGSQL.{port}"
    p.send_signal(signal.SIGINT)
    p.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture()
def database(lone, postgres):
    port = free_port()
    g = lone(stream("localhost", f"tcp://127.0.0.1:{postgres[0]}", f"    listen: 127.0.0.1:{port}\n    starttls: postgres\n"))
    g.start()
    return g, port


def psql(g, port, who, sql, **more):
    words = {"host": "localhost", "port": port, "user": "app", "dbname": "postgres", "sslmode": "verify-full",
             "sslrootcert": g.root.path, "connect_timeout": 10, **({"sslcert": who.crt, "sslkey": who.key} if who else {}), **more}
    return run("psql", " ".join(f"{k}={v}" for k, v in words.items()), "-XAtc", sql, env={"HOME": str(g.folder)})


def test_psql_behind_the_gateway(database):
    g, port = database
    answer = psql(g, port, g.one, "select sum(n) from generate_series(1, 100000) n")
    assert (answer.returncode, answer.stdout.strip()) == (0, "5000050000"), answer.stderr
    big = psql(g, port, g.one, "select repeat('x', 1000000)")
    assert len(big.stdout.strip()) == 1_000_000
    refused = psql(g, port, None, "select 1")
    assert refused.returncode != 0
    assert "certificate required" in refused.stderr


def test_psql_without_tls_is_told_what_is_asked_for(database):
    g, port = database
    answer = psql(g, port, None, "select 1", sslmode="disable")
    assert answer.returncode != 0 and "TLS with a client certificate is required here" in answer.stderr
    wait_for(lambda: g.events("handshake-refused"), 5)
    assert g.events("handshake-refused")[-1]["reason"] == "tls-not-tls"


def test_w16_octets_behind_the_request_for_tls_end_the_connection(database):
    g, port = database
    request = struct.pack(">II", 8, 80877103)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(request + b"Q\0\0\0\x0dselect 1\0")
        assert s.recv(10) in (b"", b"S") and not s.recv(10)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(struct.pack(">II", 8, 80877104))  # GSSAPI first, as libpq does where Kerberos is
        assert s.recv(10) == b"N"
        for octet in request:
            s.sendall(bytes([octet]))
            time.sleep(0.01)
        assert s.recv(1) == b"S"
        with g.context(g.one).wrap_socket(s, server_hostname="localhost") as tls:
            tls.sendall(struct.pack(">II", 8 + 9, 196608) + b"user\0app\0"[:9])
            assert tls.recv(1) in b"RE"
    assert any("behind the request" in e.get("detail", "") for e in g.events("handshake-refused"))


def test_sslnegotiation_direct_is_served_too(database):
    g, port = database
    with at(g, port, g.context(g.one), "localhost") as s:
        s.sendall(struct.pack(">II", 8, 80877103))  # within TLS it is refused by the server itself: it is there
        assert s.recv(1) in b"NE"
