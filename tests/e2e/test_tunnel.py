"""countersign tunnel: programs that speak no TLS reach services behind mutual TLS: mosquitto's, psql, curl, ssh-like
standard input and output; the services are mosquitto, PostgreSQL and nginx themselves, or a peer that misbehaves."""
import base64
import datetime as dt
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import mint
import pytest
from conftest import COMMAND, PATIENCE, die_with_parent, free_port, parse_event, run, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from gateway import CA, Service
from postgres import Postgres

DAY = dt.timedelta(days=1)


class Pki:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.ca = CA(folder, "ca")
        self.other = CA(folder, "other")
        self.server = self.ca.server("server", "localhost", "server.test")
        self.one, self.two = self.ca.client("app"), self.ca.client("two")
        self.ended = self.ca.client("ended", begins=-2 * DAY, ends=-DAY)
        self.stranger = self.other.client("stranger")


@pytest.fixture(scope="module")
def pki():
    folder = tempfile.mkdtemp(prefix="tun-", dir="/tmp")
    yield Pki(folder)
    shutil.rmtree(folder, ignore_errors=True)


class Remote(Service):
    """A TLS service that asks for certificates: talk(tls socket) in a thread a connection; `seen` has their serials."""

    def __init__(self, pki, talk, server=None, **how):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server = server or pki.server
        self.context.load_cert_chain(str(server.crt), str(server.key))
        self.context.load_verify_locations(str(pki.ca.path))
        self.context.verify_mode = ssl.CERT_REQUIRED
        for key, value in how.items():
            setattr(self.context, key, value)
        self.talk, self.seen = talk, []
        super().__init__()

    def serve(self, c):
        try:
            with self.context.wrap_socket(c, server_side=True, suppress_ragged_eofs=False) as s:
                cert = s.getpeercert()
                self.seen.append(int(cert["serialNumber"], 16) if cert else None)
                self.talk(s)
        except (OSError, ssl.SSLError):
            pass


def echo(s):
    while data := s.recv(65536):
        s.sendall(data)


def polite(s):
    echo(s)
    s.unwrap()


class Tunnel:
    def __init__(self, local, remote, *args, wait=True):
        self.log_path = Path(tempfile.mkstemp(prefix="tunnel-", suffix=".log", dir="/tmp")[1])
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen([str(COMMAND), "tunnel", str(local), remote, *map(str, args)],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        if wait:
            wait_for(lambda: "\nready\n" in self.log() or self.proc.poll() is not None, 10)
            assert self.proc.poll() is None, self.log()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def events(self, name):
        found = [parse_event(line) for line in self.log().splitlines()]
        return [e for e in found if e and e.get("event") == name]

    def refusal(self):
        wait_for(lambda: self.events("connection-closed"), 10, say=self.log())
        e = self.events("connection-closed")[-1]
        return f"{e['reason']}: {e['detail']}"

    def close(self):
        self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(15 * PATIENCE)
        log = self.log()
        self.log_path.unlink()
        assert code == 0 and "Sanitizer" not in log, f"{code}\n{log[-4000:]}"


def identity(pki, who=None):
    who = who or pki.one
    return ["--cert", who.crt, "--key", who.key, "--ca", pki.ca.path]


@pytest.fixture()
def tunnel(pki):
    made = []

    def make(remote, *args, who=None, local=None, anonymous=False):
        local = local or free_port()
        given = ["--ca", pki.ca.path] if anonymous else identity(pki, who)
        t = Tunnel(local, f"localhost:{remote}", *given, *args)
        t.local = local
        made.append(t)
        return t
    yield make
    for t in made:
        t.close()


def dial(t):
    return socket.create_connection(("127.0.0.1", t.local), timeout=10 * PATIENCE)


def read_all(s):
    data = b""
    while more := s.recv(65536):
        data += more
    return data


# ---- octets ----

def test_octets_cross_and_each_direction_ends_for_itself(pki, tunnel):
    def serve(s):
        while data := s.recv(65536):
            s.sendall(data)
        s.sendall(b"<end>")
        s.unwrap()
    t = tunnel(Remote(pki, serve).port)
    blob = os.urandom(3_000_000)
    with dial(t) as s:
        threading.Thread(target=lambda: (s.sendall(blob), s.shutdown(socket.SHUT_WR)), daemon=True).start()
        assert read_all(s) == blob + b"<end>"
    wait_for(lambda: t.events("stream"), 5)
    said = t.events("stream")[0]
    assert (said["in"], said["out"]) == (3_000_000, 3_000_005)


def test_a_remote_that_speaks_first_and_one_that_ends_first(pki, tunnel):
    def serve(s):
        s.sendall(b"220 hello\r\n")
        s.unwrap()
    t = tunnel(Remote(pki, serve).port)
    with dial(t) as s:
        assert read_all(s) == b"220 hello\r\n"


def test_a_slow_reader_holds_the_remote_back(pki, tunnel):
    sent = []

    def serve(s):
        block = b"x" * 65536
        for _ in range(1600):
            s.sendall(block)
            sent.append(len(block))
        s.unwrap()
    t = tunnel(Remote(pki, serve).port)
    with dial(t) as s:
        s.recv(1)
        wait_for(lambda: len(sent) and len(sent) == (time.sleep(0.4), len(sent))[1], 20)
        assert sum(sent) < 40 * 2**20, "the tunnel took what nobody read"
        total = 1
        while more := s.recv(1 << 20):
            total += len(more)
    assert total == 1600 * 65536


def test_a_remote_that_is_cut_off_is_not_taken_for_one_that_ended(pki, tunnel):
    def serve(s):
        s.sendall(b"half an answ")
        s.recv(1)
        os.close(s.detach())  # no close_notify
    t = tunnel(Remote(pki, serve).port)
    with dial(t) as s:
        assert s.recv(12, socket.MSG_WAITALL) == b"half an answ"
        s.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            assert s.recv(1), "a clean end"
    assert t.refusal().startswith("tls-peer-closed")


def test_many_connections_at_once(pki, tunnel):
    t = tunnel(Remote(pki, echo).port)
    all_of = [dial(t) for _ in range(200)]
    for i, s in enumerate(all_of):
        s.sendall(b"%06d" % i)
    for i, s in enumerate(all_of):
        assert s.recv(6, socket.MSG_WAITALL) == b"%06d" % i
    for s in all_of:
        s.close()


def test_a_unix_socket_of_one_user(pki, tunnel):
    path = pki.folder / "local.sock"
    t = tunnel(Remote(pki, echo).port, local=f"unix:{path}")
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(b"hello")
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"
    second = run(COMMAND, "tunnel", f"unix:{path}", "localhost:1", "--ca", pki.ca.path)
    assert second.returncode == 1 and "port-in-use" in second.stderr
    assert t.proc.poll() is None


def inout(pki, port, data, *args, who=None, given=None):
    return subprocess.run([str(COMMAND), "tunnel", "-", f"localhost:{port}", *map(str, given or identity(pki, who)),
                           *args], input=data, capture_output=True, timeout=30 * PATIENCE)


def test_standard_input_and_output(pki):
    blob = os.urandom(1_000_000)
    r = inout(pki, Remote(pki, polite).port, blob)
    assert (r.returncode, r.stdout == blob, r.stderr) == (0, True, b"")


def test_a_socket_from_inetd(pki):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        p = subprocess.Popen([str(COMMAND), "tunnel", "-", f"localhost:{Remote(pki, polite).port}",
                              *map(str, identity(pki))], stdin=theirs, stdout=theirs, stderr=theirs)
        theirs.close()
        ours.settimeout(20 * PATIENCE)
        ours.sendall(b"hello")
        assert ours.recv(5, socket.MSG_WAITALL) == b"hello"
        ours.shutdown(socket.SHUT_WR)
        assert ours.recv(1) == b""
        assert p.wait(10 * PATIENCE) == 0


# ---- what is refused, and why ----

@pytest.mark.parametrize("args, reason", [
    (["--server-name", "elsewhere.test"], "name-mismatch"),
    (["--pin", "sha256/" + base64.b64encode(bytes(32)).decode()], "pin-mismatch"),
])
def test_a_remote_that_is_not_who_it_should_be(pki, args, reason):
    r = inout(pki, Remote(pki, echo).port, b"secret", *args)
    assert r.returncode == 1 and reason in r.stderr.decode() and r.stdout == b""


def test_a_remote_of_another_ca_one_that_has_ended_and_one_that_is_revoked(pki):
    def reason(server, *args):
        r = inout(pki, Remote(pki, echo, server).port, b"secret", *args)
        assert r.returncode == 1
        return r.stderr.decode()
    strange = pki.other.server("strange", "localhost")
    ended = pki.ca.server("late", "localhost")
    revoked = pki.ca.server("revoked", "localhost")
    assert "unknown-issuer" in reason(strange)
    ended.crt, ended.key = mint.leaf(pki.folder, (pki.ca.cert, pki.ca.key), "late", begins=-2 * DAY, ends=-DAY,
                                     eku=(EKU.SERVER_AUTH,), sans=[x509.DNSName("localhost")])
    assert "certificate-expired" in reason(ended)
    crl = pki.ca.crl(pki.folder / "servers.crl", revoked)
    assert "revoked" in reason(revoked, "--crl", str(crl))


def test_the_right_pin_lets_pass(pki):
    spki = pki.server.cert.public_key().public_bytes(serialization.Encoding.DER,
                                                     serialization.PublicFormat.SubjectPublicKeyInfo)
    pin = "leaf:sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
    r = inout(pki, Remote(pki, polite).port, b"hello", "--pin", pin)
    assert (r.returncode, r.stdout) == (0, b"hello"), r.stderr


def test_our_certificate_is_refused_by_the_remote_and_the_log_says_so(pki, tunnel):
    t = tunnel(Remote(pki, echo).port, who=pki.stranger)
    with pytest.raises((ConnectionResetError, BrokenPipeError)), dial(t) as s:
        s.sendall(b"hello")
        assert s.recv(1), "a clean end"
    assert "tls-alert-received" in t.refusal() and "unknown ca" in t.refusal().lower()
    none = inout(pki, Remote(pki, echo).port, b"hello", given=["--ca", pki.ca.path])
    assert none.returncode == 1 and "certificate required" in none.stderr.decode()


def test_a_certificate_of_ours_that_has_ended_is_refused_at_the_start(pki):
    r = inout(pki, 1, b"", who=pki.ended)
    assert r.returncode == 1 and "certificate-expired" in r.stderr.decode() and str(pki.ended.crt) in r.stderr.decode()


def test_a_remote_that_is_gone_and_comes_back(pki, tunnel):
    port = free_port()
    t = tunnel(port)
    with pytest.raises(ConnectionResetError), dial(t) as s:
        assert s.recv(1), "a clean end"
    assert "upstream-unreachable" in t.refusal() and "Connection refused" in t.refusal()
    remote = Remote(pki, echo)
    again = tunnel(remote.port)
    with dial(again) as s:
        s.sendall(b"hello")
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"


@pytest.mark.parametrize("words, says", [
    (["0.0.0.0:1883", "localhost:1"], "must be on this machine"),
    (["1883", "localhost"], "expected HOST:PORT"),
    (["nonsense", "localhost:1"], "LOCAL"),
    (["1883", "localhost:1", "--cert", "x.pem"], "--key is missing"),
    (["1883", "localhost:1", "--starttls", "smtp"], "expected postgres"),
    (["1883", "localhost:1", "--ca", "/nonexistent"], "/nonexistent"),
])
def test_what_does_not_fit_is_refused_before_anything_is_opened(words, says):
    r = run(COMMAND, "tunnel", *words)
    assert r.returncode in (1, 2) and says in r.stderr, r.stderr


# ---- renewal ----

def test_a_renewed_certificate_is_used_as_soon_as_it_is_there(pki, tunnel):
    remote = Remote(pki, echo)
    live = pki.folder / "live"
    live.mkdir()
    for suffix, path in (("crt", pki.one.crt), ("key", pki.one.key)):
        shutil.copy(path, live / f"x.{suffix}")
    who = type("W", (), {"crt": live / "x.crt", "key": live / "x.key"})
    t = tunnel(remote.port, who=who)
    old = dial(t)
    old.sendall(b"old")
    assert old.recv(3, socket.MSG_WAITALL) == b"old"
    for suffix, path in (("key", pki.two.key), ("crt", pki.two.crt)):
        shutil.copy(path, live / f"y.{suffix}")
        os.rename(live / f"y.{suffix}", live / f"x.{suffix}")

    def newest():
        with dial(t) as s:
            s.sendall(b"new")
            assert s.recv(3, socket.MSG_WAITALL) == b"new"
        return remote.seen[-1]
    wait_for(lambda: newest() == pki.two.cert.serial_number, 10, every=0.2)
    old.sendall(b"still")
    assert old.recv(5, socket.MSG_WAITALL) == b"still"
    old.close()


# ---- programs of others ----

def spawn(folder, *args, ready=None):
    with open(folder / "log", "ab") as log:
        p = subprocess.Popen(list(map(str, args)), stdout=log, stderr=log, preexec_fn=die_with_parent)

    def up():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", ready)) == 0
    wait_for(up, 10, say=(folder / "log").read_text())
    return p


def end(p):
    p.terminate()
    p.wait(10)


def test_mosquitto_pub_and_sub_through_the_tunnel(pki, tunnel, tmp_path):
    port = free_port()
    (tmp_path / "conf").write_text(
        f"listener {port} 127.0.0.1\nuser root\ncafile {pki.ca.path}\ncertfile {pki.server.crt}\n"
        f"keyfile {pki.server.key}\nrequire_certificate true\nuse_identity_as_username true\n")
    broker = spawn(tmp_path, "/usr/sbin/mosquitto", "-c", tmp_path / "conf", ready=port)
    t = tunnel(port, "--alpn", "mqtt")
    plain = ["-h", "127.0.0.1", "-p", str(t.local), "-t", "pumps/17"]
    sub = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *plain, "-C", "1", "-W", "20", "-d"],
                           stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    wait_for(lambda: "SUBACK" in sub.stdout.readline(), 10)
    pub = run("mosquitto_pub", *plain, "-q", "1", "-m", "pressure 3")
    assert pub.returncode == 0, pub.stderr
    assert "pressure 3" in sub.communicate(timeout=20 * PATIENCE)[0]
    assert "u'app'" in (tmp_path / "log").read_text(), "the broker did not see who it is"
    end(broker)


def test_psql_through_the_tunnel_to_a_server_that_asks_for_certificates(pki, tunnel):
    pg = Postgres()
    db, owner = pg.folder / "db", (pg.folder / "db").stat()
    for name, path in (("server.crt", pki.server.crt), ("server.key", pki.server.key), ("ca.pem", pki.ca.path)):
        shutil.copy(path, db / name)
        os.chown(db / name, owner.st_uid, owner.st_gid)
        (db / name).chmod(0o600)
    with open(db / "postgresql.conf", "a") as f:
        f.write("ssl = on\nssl_ca_file = 'ca.pem'\n")
    hba = (db / "pg_hba.conf").read_text()
    (db / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert\n" + hba)
    try:
        pg.start()
        t = tunnel(pg.port, "--starttls", "postgres")
        words = f"host=127.0.0.1 port={t.local} user=app dbname=postgres sslmode=disable connect_timeout=10"
        sql = "select client_dn || repeat('x', 1000000) from pg_stat_ssl where pid = pg_backend_pid()"
        answer = run("psql", words, "-XAtc", sql, env={"HOME": str(pki.folder)})
        assert answer.returncode == 0 and answer.stdout.startswith("/CN=appxxx"), answer.stderr + t.log()
        assert len(answer.stdout.strip()) == 1_000_007
    finally:
        pg.close()


def test_curl_through_the_tunnel_to_nginx(pki, tunnel, tmp_path):
    port = free_port()
    (tmp_path / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {tmp_path}; proxy_temp_path {tmp_path}; fastcgi_temp_path {tmp_path};
  uwsgi_temp_path {tmp_path}; scgi_temp_path {tmp_path};
  server {{
    listen 127.0.0.1:{port} ssl; server_name localhost;
    ssl_certificate {pki.server.crt}; ssl_certificate_key {pki.server.key};
    ssl_client_certificate {pki.ca.path}; ssl_verify_client on;
    location / {{ return 200 "hello $ssl_client_s_dn\\n"; }}
  }}
}}
""")
    nginx = spawn(tmp_path, "/usr/sbin/nginx", "-c", tmp_path / "nginx.conf", "-p", tmp_path, ready=port)
    t = tunnel(port)
    for _ in range(3):
        answer = run("curl", "-sS", "--max-time", "20", f"http://127.0.0.1:{t.local}/")
        assert answer.stdout == "hello CN=app\n", answer.stderr + t.log()
    end(nginx)


# ---- the same from a configuration ----

def test_a_site_with_tls_off_is_a_tunnel_of_the_gateway(pki, tmp_path):
    remote, port = Remote(pki, echo), free_port()
    conf = tmp_path / "c.yaml"
    conf.write_text(f"""
state: {tmp_path}/s
https: 127.0.0.1:{free_port()}
http: off
metrics: off
sites:
  - {{name: mqtt, protocol: tcp, tls: off, listen: "127.0.0.1:{port}", upstream: broker}}
upstreams:
  - name: broker
    servers: [tls://localhost:{remote.port}]
    ca: {pki.ca.path}
    certificate: {pki.one.crt}
    key: {pki.one.key}
    alpn: mqtt
""")
    with open(tmp_path / "log", "wb") as log:
        p = subprocess.Popen([str(COMMAND), "gateway", "-c", str(conf)], stdout=log, stderr=log,
                             preexec_fn=die_with_parent)
    wait_for(lambda: "\nready\n" in (tmp_path / "log").read_text() or p.poll() is not None, 10)
    with socket.create_connection(("127.0.0.1", port), timeout=10 * PATIENCE) as s:
        s.sendall(b"hello")
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"
        p.send_signal(signal.SIGHUP)
        wait_for(lambda: '"reloaded"' in (tmp_path / "log").read_text(), 10)
        s.sendall(b"still")
        assert s.recv(5, socket.MSG_WAITALL) == b"still"
    assert remote.seen == [pki.one.cert.serial_number]
    p.terminate()
    assert p.wait(15 * PATIENCE) == 0
    for lines, says in (("listen: '0.0.0.0:1883', upstream: broker", "must be on this machine"),
                        ("upstream: broker", "must be on this machine"),
                        (f"listen: '127.0.0.1:{port}', upstream: broker, allow: [{{kind: user}}]", "about clients with cert")):
        conf.write_text("sites:\n  - {name: mqtt, protocol: tcp, tls: off, %s}\n"
                        "upstreams: [{name: broker, servers: ['tls://localhost:1']}]\n" % lines)
        r = run(COMMAND, "gateway", "-c", conf, "--check")
        assert r.returncode == 2 and says in r.stderr, r.stderr
