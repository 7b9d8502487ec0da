"""HTTP through the gateway as octets: what is ambiguous never reaches the upstream (SECURITY W61 to W63), nobody but
the gateway says who the client is (W58 to W60), and bodies cross whole."""
import base64
import hashlib
import json
import socket
import ssl
import threading

import pytest
from ambiguities import BEHIND, CHUNKS, GET, HOST, POST, REQUESTS, flat
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from conftest import System


class Upstream:
    """A server of our own that writes down every octet it gets and reads requests by the letter."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.requests, self.octets, self.trailers = [], b"", []
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def line(self, f):
        text = f.readline()
        with self.lock:
            self.octets += text
        return text

    def body(self, f, headers, c):
        if headers.get("expect"):
            c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while (n := int(self.line(f) or b"-1", 16)) > 0:
                body += f.read(n)
                if f.read(2) != b"\r\n":
                    n = -1
                    break
            if n < 0:
                raise ConnectionError("cut off")
            while (line := self.line(f)) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                self.trailers.append((name.lower(), value.strip()))
            return body
        return f.read(int(headers.get("content-length", 0)))

    def serve(self, c):
        f = c.makefile("rb")
        with c, f:
            while request := self.line(f):
                fields = []
                while (text := self.line(f)) not in (b"\r\n", b""):
                    name, _, value = text.decode("latin-1").partition(":")
                    fields.append((name, value.strip()))
                headers = {k.lower(): v for k, v in fields}
                try:
                    body = self.body(f, headers, c)
                except ConnectionError:
                    return
                seen = {"line": request.decode().strip(), "fields": fields, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
                with self.lock:
                    self.requests.append(seen)
                self.answer(c, request, json.dumps(seen).encode())

    def answer(self, c, request, body):
        path = request.split()[1]
        if path == b"/chunked":
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n")
            for i in range(0, len(body), 100):
                piece = body[i:i + 100]
                c.sendall(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
            c.sendall(b"0\r\nX-T: dropped\r\n\r\n")
        elif path == b"/split":  # a response that two readers would read in two ways
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        elif path == b"/big":
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n" + bytes(8388608))
        elif request.startswith(b"HEAD"):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")
        else:
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.fixture(scope="module")
def upstream():
    u = Upstream()
    yield u
    u.socket.close()


@pytest.fixture(scope="module")
def gate(upstream):
    s = System(upstream=f"http://127.0.0.1:{upstream.port}")
    s.start()
    yield s
    s.close()


def everything(s):
    got = b""
    while True:
        try:
            piece = s.recv(65536)
        except (ssl.SSLError, ConnectionError):
            return got
        if not piece:
            return got
        got += piece


def raw(gate, octets):
    """All that comes back until the gateway closes."""
    with gate.connect() as s:
        s.sendall(octets)
        return everything(s)


AMBIGUOUS, BAD_CHUNKS = flat(REQUESTS), CHUNKS


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_requests_never_reach_the_upstream(gate, upstream, name):
    before = len(upstream.octets)
    got = raw(gate, AMBIGUOUS[name] + BEHIND)
    assert got.startswith(b"HTTP/1.1 4") or got.startswith(b"HTTP/1.1 505"), got[:200]
    assert got.count(b"HTTP/1.1 ") == 1, "one answer, then the connection is closed"
    assert b"connection: close" in got.lower()
    assert upstream.octets[before:] == b""


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_end_the_connection_and_complete_no_request(gate, upstream, name):
    before = len(upstream.requests)
    got = raw(gate, POST + b"Transfer-Encoding: chunked\r\n\r\n" + BAD_CHUNKS[name] + BEHIND)
    assert b"HTTP/1.1 200" not in got, got[:200]
    assert len(upstream.requests) == before
    assert b"smuggled" not in upstream.octets


def test_pipelined_requests_are_answered_one_for_one(gate, upstream):
    before = len(upstream.requests)
    parts = [GET + b"X-N: %d\r\n\r\n" % i for i in range(5)]
    parts.insert(2, POST + b"Content-Length: 5\r\n\r\nhello")
    parts.insert(4, POST + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n")
    got = raw(gate, b"".join(parts) + GET + b"Connection: close\r\n\r\n")
    assert got.count(b"HTTP/1.1 200") == 8
    assert len(upstream.requests) - before == 8


NAMES = ["X-Countersign-Identity", "X-Countersign-Kind", "X-Countersign-Serial", "X-Countersign-Fingerprint", "X-Countersign-Verified", "Client-Cert",
         "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Verify", "X-Client-Cert", "X-Client-Verify", "X-Forwarded-For",
         "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "X-Remote-User"]
SPELLINGS = {"as it is": str, "lower case": str.lower, "upper case": str.upper, "underscores": lambda n: n.replace("-", "_"),
             "dots": lambda n: n.replace("-", "."), "one underscore": lambda n: n[:-3] + n[-3:].replace("-", "_") if "-" in n[-3:] else n.replace("-", "_", 1)}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_identity_headers_from_outside_are_removed(gate, upstream, spelling):
    names = [SPELLINGS[spelling](n) for n in NAMES]
    lines = "".join(f"{n}: evil\r\n{n}: evil2\r\n" for n in names)
    got = raw(gate, GET + b"Connection: close\r\n" + lines.encode() + b"X-App: mine\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200"), got[:300]
    fields = upstream.requests[-1]["fields"]
    assert ("X-App", "mine") in fields
    assert not [f for f in fields if "evil" in f[1]]
    assert len([f for f in fields if f[0].lower() == "x-countersign-identity"]) == 1


def test_connection_cannot_strip_identity_headers(gate, upstream):
    got = raw(gate, GET + b"Connection: close, X-App, " + ", ".join(NAMES).encode() + b"\r\nX-App: hop\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200"), got[:300]
    names = [f[0].lower() for f in upstream.requests[-1]["fields"]]
    assert "x-app" not in names and "connection" not in names
    for n in ("x-countersign-identity", "x-countersign-serial", "client-cert", "x-forwarded-client-cert", "x-forwarded-for"):
        assert names.count(n) == 1, n


def test_the_upstream_is_told_who_the_client_is(gate, upstream):
    raw(gate, GET + b"Connection: close\r\n\r\n")
    told = {k.lower(): v for k, v in upstream.requests[-1]["fields"]}
    leaf = x509.load_pem_x509_certificate(gate.crt.read_bytes())
    der = leaf.public_bytes(serialization.Encoding.DER)
    assert told["x-countersign-kind"] == "device"
    assert told["x-countersign-fingerprint"] == hashlib.sha256(der).hexdigest()
    assert int(told["x-countersign-serial"], 16) == leaf.serial_number
    assert told["client-cert"] == f":{base64.b64encode(der).decode()}:"
    assert told["x-forwarded-client-cert"].startswith(f"Hash={hashlib.sha256(der).hexdigest()};Subject=\"")
    assert "URI=spiffe://" in told["x-forwarded-client-cert"]
    assert told["x-forwarded-for"] == "127.0.0.1" and told["x-forwarded-proto"] == "https"
    chain = told.get("client-cert-chain", "").split(", ")
    issuer = x509.load_der_x509_certificate(base64.b64decode(chain[0].strip(":")))
    assert issuer.subject == leaf.issuer


def test_names_that_upstreams_read_otherwise_are_not_forwarded(gate, upstream):
    raw(gate, GET + b"Connection: close\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\nX.Y: 1\r\n\r\n")
    names = [f[0].lower() for f in upstream.requests[-1]["fields"]]
    assert not [n for n in names if "_" in n or "." in n]


def curl(gate, path, *more):
    a = gate.curl(path, *more)
    assert a.code == 0, a.err
    return a


def test_bodies_cross_whole_in_both_framings(gate, upstream, tmp_path):
    body = bytes(range(256)) * 8192
    (tmp_path / "b").write_bytes(body)
    for how in (["-H", "Content-Type: x"], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"], ["-H", "Expect:"]):
        a = curl(gate, "/", "--data-binary", f"@{tmp_path / 'b'}", *how)
        assert a.status == 200
        assert upstream.requests[-1]["sha256"] == hashlib.sha256(body).hexdigest()


def test_responses_cross_in_every_framing(gate):
    a = curl(gate, "/chunked")
    assert a.json()["line"].startswith("GET /chunked")
    assert "x-t" not in a.headers
    assert curl(gate, "/", "--head").headers["content-length"] == "77"
    a = curl(gate, "/chunked", "--http1.0")
    assert a.json()["line"].startswith("GET /chunked") and "transfer-encoding" not in a.headers
    a = curl(gate, "/")
    assert "x-hop" not in a.headers and "date" in a.headers
    with gate.connect() as s:
        s.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert len(everything(s).partition(b"\r\n\r\n")[2]) == 8388608


def test_an_ambiguous_response_becomes_a_502(gate):
    a = curl(gate, "/split")
    assert a.status == 502
    assert a.json()["reason"] == "upstream-failed"


def test_refusals_say_no_more_than_they_should(gate):
    got = raw(gate, AMBIGUOUS["two Content-Lengths"])
    problem = json.loads(got.partition(b"\r\n\r\n")[2])
    assert problem["reason"] == "http-framing-ambiguous" and problem["status"] == 400
    assert "detail" not in problem


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_resumption_leaves_a_ticket_for_the_next(gate, version):
    context, session = gate.context(version=version), None
    for n in range(4):
        s = socket.create_connection(("127.0.0.1", gate.https), timeout=10)
        with context.wrap_socket(s, server_hostname="localhost", session=session) as t:
            t.sendall(GET + b"Connection: close\r\n\r\n")
            assert everything(t).startswith(b"HTTP/1.1 200")
            assert t.session_reused == (n > 0), f"connection {n}"
            session = t.session
            t.unwrap()  # else libssl takes the session for a broken one
