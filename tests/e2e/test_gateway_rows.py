"""Failures of other gateways that have a name (CVE and the like), each provoked here: sessions and policies (W03), upstreams'
identities (W07), when a certificate may be asked for (W08), each mode with each bad certificate (W15), floods of HTTP/2
(W64, W65), of KeyUpdates (W66), and swaps under load (W67)."""
import datetime as dt
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import mint
import pytest
from conftest import PATIENCE, die_with_parent, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from gateway import CA, V12, V13, Client, Gateway, Service
from test_gateway_h2 import CALM, DATA, GET, GOAWAY, HEADERS, PING, POST, RST, WINDOW, Frames, drowned
from test_gateway_policy import ask, staple
from test_gateway_sites import site

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])


@pytest.fixture()
def lone():
    made = []

    def make(sites, start=True, **how):
        g = Gateway(sites, **how)
        g.ca, g.other = CA(g.folder, "ca1"), CA(g.folder, "ca2")
        g.one, g.two = g.ca.client("one"), g.ca.client("two")
        made.append(g)
        if start:
            g.start()
        return g
    yield make
    for g in made:
        g.close()


def resident(g):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{g.proc.pid}/status").read())[1])


CHANGES = {
    "client": ("optional", "ca1", ""),
    "client_ca": ("require", "both", ""),
    "client_crl": ("require", "ca1", "    client_crl: crl.pem\n"),
    "min_tls": ("require", "ca1", "    min_tls: 1.3\n"),
    "alpn": ("require", "ca1", "    alpn: http/1.1\n"),
    "pins": ("require", "ca1", "    pins: ['anchor:sha256:@PIN@']\n"),
}


@pytest.mark.parametrize("what", CHANGES)
@BOTH
def test_w03_a_session_is_worth_nothing_under_another_policy(lone, what, version):
    """Whatever of the policy changes, the next handshake is a full one; what does not matter keeps sessions."""
    if what == "min_tls" and version == V12:
        pytest.skip("a session of TLS 1.2 cannot be offered in 1.3")
    g = lone(site("a.test", "require", "ca1"), more="follow: off\n")
    (g.folder / "both.pem").write_bytes(g.ca.path.read_bytes() + g.other.path.read_bytes())
    g.ca.crl(g.folder / "crl.pem")
    context = g.context(g.one, version)
    first = g.visit(context)
    assert first.status == 200 and g.visit(context, session=first.session).reused
    g.reload("reloaded")
    again = g.visit(context, session=first.session)
    assert again.reused, "a reload that changes nothing"
    client, ca, more = CHANGES[what]
    g.write(site("a.test", client, ca, more.replace("@PIN@", g.ca.spki.hex())), "follow: off\n")
    g.reload("reloaded")
    after = g.visit(context, session=again.session or first.session)
    assert after.status == 200 and not after.reused


class Told(Service):
    """TLS; writes down the name of each client's certificate, a request at a time."""

    def __init__(self, server, ca):
        self.names = []
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
        self.context.load_cert_chain(server.crt, server.key)
        self.context.verify_mode = ssl.CERT_REQUIRED
        super().__init__()

    def serve(self, c):
        try:
            with self.context.wrap_socket(c, server_side=True) as s:
                name = s.getpeercert()["subject"][0][0][1]
                f = s.makefile("rb")
                while f.readline():
                    while f.readline() not in (b"\r\n", b""):
                        pass
                    self.names.append(name)
                    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except OSError:
            pass


def like(subject, issuer, key, issuer_key):
    """A CA's certificate in which nothing but the signature tells which of two issuers of one name made it."""
    b = (x509.CertificateBuilder().subject_name(mint.name(subject)).issuer_name(mint.name(issuer)).public_key(key.public_key())
         .serial_number(7).not_valid_before(mint.now() - mint.DAY).not_valid_after(mint.now() + mint.DAY)
         .add_extension(x509.BasicConstraints(True, None), True)
         .add_extension(x509.SubjectKeyIdentifier(subject.encode()), False)
         .add_extension(x509.AuthorityKeyIdentifier(issuer.encode(), None, None), False)
         .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True))
    return b.sign(issuer_key, hashes.SHA256())


def test_a_ca_that_one_root_has_signed_is_not_taken_for_another_root_s(lone):
    """That its signature was checked is remembered, with the key that made it."""
    g = lone(site("a.test", "require", "root1") + site("b.test", "require", "root2"), start=False, threads=1)
    key, *keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    for n, k in enumerate(keys, 1):
        (g.folder / f"root{n}.pem").write_bytes(like("root", "root", k, k).public_bytes(serialization.Encoding.PEM))
    cas = [like("issuing", "root", key, k) for k in keys]
    g.start()
    for n in (0, 1, 0):
        for name in ("one", "two"):
            one = Client(*mint.leaf(g.folder, (cas[n], key), f"{name}{n}"))
            assert [g.visit(g.context(one), x).status for x in ("a.test", "b.test")] == ([200, 0] if n == 0 else [0, 200]), [(e["reason"], e.get("detail")) for e in g.events("handshake-refused")]


def test_w07_no_request_goes_upstream_under_an_identity_that_was_replaced(lone, tmp_path):
    inner = CA(tmp_path, "inner")
    server = inner.server("up", "up.test")
    told = Told(server, inner.path)
    g = lone(site("a.test", "require", "ca1", "    upstream: app\n"), start=False, more=(
        f"upstreams: [{{name: app, servers: ['https://127.0.0.1:{told.port}'], ca: {inner.path}, certificate: own.crt,"
        f" key: own.key, server_name: up.test}}]\nfollow: off\n"))

    def identity(name):
        c = inner.client(name)
        for kind in ("crt", "key"):
            os.replace(getattr(c, kind), g.folder / f"own.{kind}")
    identity("old")
    g.start()
    stop = threading.Event()

    def load():
        context = g.context(g.one)
        with g.connect(context) as s:
            f = s.makefile("rb")
            while not stop.is_set():
                s.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
                while f.readline() not in (b"\r\n", b""):
                    pass
    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    wait_for(lambda: len(told.names) > 100, 20)
    identity("new")
    g.reload("reloaded")
    time.sleep(0.3)  # what was under way
    at = len(told.names)
    wait_for(lambda: len(told.names) > at + 200, 20)
    stop.set()
    for t in threads:
        t.join(10)
    assert set(told.names[:100]) == {"old"} and set(told.names[at:]) == {"new"}
    told.close()


@pytest.mark.parametrize("line", ["client: require", "client_ca: ca1.pem", "verify: on"])
def test_w08_no_route_can_ask_for_a_certificate_later(lone, line):
    g = lone(site("a.test", "optional", "ca1", f"    routes: [{{path: /, {line}}}]\n"), start=False)
    g.start(wait=False)
    assert g.proc.wait(20 * PATIENCE) != 0 and "config-invalid" in g.log() and f"{g.conf}:" in g.log()
    g.proc = None


def bad(g, what):
    """A certificate of that fault, and the reason that must be said."""
    make = lambda **how: Client(*mint.leaf(g.folder, (g.ca.cert, g.ca.key), what, **how))
    return {
        "expired": lambda: (make(begins=-2 * mint.DAY, ends=-mint.DAY), "certificate-expired"),
        "future": lambda: (make(begins=mint.DAY, ends=2 * mint.DAY), "not-yet-valid"),
        "foreign": lambda: (g.other.client("foreign"), "unknown-issuer"),
        "server-eku": lambda: (make(eku=(EKU.SERVER_AUTH,)), "eku-missing-client-auth"),
        "email-eku": lambda: (make(eku=(EKU.EMAIL_PROTECTION,)), "eku-missing-client-auth"),
        "revoked": lambda: (g.two, "revoked"),
        "same-name-other-key": lambda: (twin(g), "signature-invalid"),
    }[what]()


def twin(g):
    """Signed by a key that only calls itself ca1."""
    (g.folder / "twin").mkdir(exist_ok=True)
    false = CA(g.folder / "twin", "ca1")
    return false.client("twin")


@pytest.mark.parametrize("mode", ["require", "optional"])
@pytest.mark.parametrize("what", ["expired", "future", "foreign", "server-eku", "email-eku", "revoked", "same-name-other-key"])
@BOTH
def test_w15_each_mode_refuses_each_bad_certificate_in_the_handshake(lone, mode, what, version):
    """Optional means that none need be sent, not that a bad one is let in as none."""
    g = lone(site("a.test", mode, "ca1", "    client_crl: crl.pem\n"), start=False)
    g.ca.crl(g.folder / "crl.pem", g.two)
    g.start()
    client, reason = bad(g, what)
    before = len(g.upstream.heads)
    v = g.visit(g.context(client, version))
    assert v.status == 0 and len(g.upstream.heads) == before
    refused = wait_for(lambda: g.events("handshake-refused"))
    assert refused[0]["reason"] in (reason, "unknown-issuer" if what == "same-name-other-key" else reason)


# ---- floods ----

def test_w64_one_that_floods_is_cut_and_the_others_do_not_notice(lone):
    """CVE-2023-44487, CVE-2024-27316, CVE-2025-8671."""
    g = lone(site("a.test", "require", "ca1"))
    with Frames(g, g.two) as other:
        other.headers(1, GET)
        assert other.answer(1)[0] == 200
        before, slowest, stop = resident(g), [0.0], threading.Event()

        def ask_on():
            n = 3
            while not stop.is_set():
                began = time.monotonic()
                other.headers(n, GET)
                assert other.answer(n)[0] == 200
                slowest[0] = max(slowest[0], time.monotonic() - began)
                n += 2
        thread = threading.Thread(target=ask_on, daemon=True)
        thread.start()
        calm = 0
        for kind in ("reset", "made-you-reset", "continuation", "empty") * 3:
            with Frames(g, g.one) as f:
                calm += flood(f, kind) is not None
        stop.set()
        thread.join(20)
    assert calm == 12 and slowest[0] < 1.0 * PATIENCE, slowest
    assert resident(g) < before + 40 * 1024 * (8 if PATIENCE > 1 else 1)


def flood(f, kind):
    head = lambda n, fields=GET, flags=5: f.frame(HEADERS, flags, n, f.encoder.encode(fields))
    if kind == "reset":
        return drowned(f, b"".join(head(2 * n + 1) + f.frame(RST, 0, 2 * n + 1, b"\0\0\0\x08") for n in range(500)), 1)
    if kind == "made-you-reset":  # a window of nothing makes the server reset the stream
        return drowned(f, b"".join(head(2 * n + 1, POST, 4) + f.frame(WINDOW, 0, 2 * n + 1, b"\0\0\0\0") for n in range(500)), 1)
    if kind == "continuation":
        f.send(HEADERS, 1, 1, f.encoder.encode(GET))
        return drowned(f, f.frame(9, 0, 1, b"\x00\x01a\x01b" * 50) * 20, 50)
    f.headers(1, POST, end=False)
    return drowned(f, f.frame(DATA, 0, 1) * 100, 40)


class Endless(Service):
    """8 MiB for every request."""

    def serve(self, c):
        with c:
            try:
                c.recv(65536)
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 << 20))
                for _ in range(128):
                    c.sendall(b"x" * 65536)
            except OSError:
                pass


def test_w65_streams_that_take_nothing_make_it_hold_little(lone):
    """A hundred answers of 8 MiB that nobody reads; and they are ended in time."""
    endless = Endless()
    g = lone(site("a.test", "require", "ca1", f"    upstream: {endless.url}\n"), more="limits: {idle: 4s}\n")
    with Frames(g, g.two) as warm:
        warm.alive()
        before = resident(g)
        with Frames(g, g.one, settings=[(4, 0)]) as f:
            for n in range(100):
                f.headers(2 * n + 1, GET)
            time.sleep(1.5 * PATIENCE)
            assert f.alive()
            grown = resident(g) - before
            assert grown < 12 * 1024 * (4 if PATIENCE > 1 else 1), f"{grown} KiB for one connection"
            f.s.settimeout(20 * PATIENCE)
            assert f.until(RST, GOAWAY) is not None, "nothing ends a stream that is not read"
    endless.close()


def test_w66_key_updates_without_end_end_the_connection(lone):
    g = lone(site("a.test", "require", "ca1"))
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{g.https}", "-servername", "a.test", "-quiet",
                           "-tls1_3", "-cert", str(g.one.crt), "-key", str(g.one.key), "-no_ign_eof"],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          preexec_fn=die_with_parent) as p:
        began = time.monotonic()
        sent = 0
        try:
            while p.poll() is None and sent < 500 and time.monotonic() - began < 30:
                p.stdin.write(b"K\n")
                p.stdin.flush()
                sent += 1
                time.sleep(0.01)
        except BrokenPipeError:
            pass
        ended = p.poll() is not None or p.wait(5) is not None
        assert ended and 20 < sent < 500, sent
    assert ask(g, "/", client=g.two) == 200


def test_w67_swaps_of_everything_under_load(lone):
    """CRL, OCSP response and certificate replaced again and again while clients come and go: none is dropped, and what is
    sent is always one of them, whole."""
    g = lone(site("a.test", "require", "ca1", "    client_crl: crl.pem\n    ocsp: staple.der\n"), start=False,
             more="follow: off\n")
    g.ca.crl(g.folder / "crl.pem")
    staple(g, g.folder / "staple.der")
    g.start()
    stop, failed, done = threading.Event(), [], [0]

    def load():
        context = g.context(g.one)
        while not stop.is_set():
            v = g.visit(context)
            done[0] += 1
            if v.status != 200:
                failed.append(v)
    threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    for n in range(2, 42):
        g.ca.crl(g.folder / "crl.new", number=n)
        os.replace(g.folder / "crl.new", g.folder / "crl.pem")
        staple(g, g.folder / "staple.new", hours=n)
        os.replace(g.folder / "staple.new", g.folder / "staple.der")
        g.reload("reloaded")
    stop.set()
    for t in threads:
        t.join(20)
    assert not failed and done[0] > 100, (failed[:3], done)
