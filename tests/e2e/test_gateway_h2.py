"""HTTP/2 to clients and to upstreams: curl, nghttp, h2load, httpx, gRPC; and a client that sends whatever frames it
likes (python3-h2's hyperframe and hpack), for what RFC 9113 demands."""
import contextlib
import hashlib
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
from conftest import PATIENCE, free_port, run, wait_for
from gateway import CA, V12, V13, Gateway, Service
from hpack import Decoder, Encoder
from test_gateway_sites import site

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR, CALM = 1, 3, 5, 6, 9, 11
GET = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


class Frames:
    """A client of frames."""

    def __init__(self, g, client, settings=(), version=None, name="a.test"):
        context = g.context(client, version)
        context.set_alpn_protocols(["h2"])
        self.s = g.connect(context, name)
        assert self.s.selected_alpn_protocol() == "h2"
        self.encoder, self.decoder, self.buffer = Encoder(), Decoder(), b""
        self.s.sendall(PREFACE)
        self.send(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, kind, flags=0, stream=0, payload=b""):
        self.s.sendall(self.frame(kind, flags, stream, payload))

    @staticmethod
    def frame(kind, flags=0, stream=0, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def headers(self, stream, fields, end=True):
        self.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.encoder.encode(fields))

    def read(self):
        """The next frame, None at the end."""
        while True:
            if len(self.buffer) >= 9:
                n = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + n:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = int.from_bytes(self.buffer[5:9], "big")
                    payload, self.buffer = self.buffer[9:9 + n], self.buffer[9 + n:]
                    return kind, flags, stream, payload
            try:
                more = self.s.recv(65536)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                return None
            self.buffer += more

    def until(self, *kinds, stream=None):
        while frame := self.read():
            if frame[0] in kinds and (stream is None or frame[2] == stream):
                return frame
            if frame[0] == SETTINGS and not frame[1] & ACK:
                self.send(SETTINGS, ACK)
        return None

    def answer(self, stream):
        """status, fields, body, what ended it ("end" or a reset's code)."""
        fields, body = {}, b""
        while frame := self.until(HEADERS, DATA, RST, GOAWAY):
            kind, flags, of, payload = frame
            if kind == HEADERS:
                fields.update(self.decoder.decode(payload))
            if kind == GOAWAY:
                return int(fields.get(":status", 0)), fields, body, ("goaway", int.from_bytes(payload[4:8], "big"))
            if of != stream:
                continue
            if kind == RST:
                return int(fields.get(":status", 0)), fields, body, int.from_bytes(payload, "big")
            if kind == DATA:
                body += payload
                if payload:
                    self.send(WINDOW, 0, 0, struct.pack(">I", len(payload)))
                    if not flags & END_STREAM:
                        self.send(WINDOW, 0, stream, struct.pack(">I", len(payload)))
            if flags & END_STREAM:
                return int(fields[":status"]), fields, body, "end"
        return 0, fields, body, "closed"

    def alive(self):
        self.send(PING, 0, 0, b"are you?")
        frame = self.until(PING, GOAWAY)
        return frame is not None and frame[0] == PING


@pytest.fixture(scope="module")
def g():
    gw = Gateway(site("a.test", "require", "ca1") + site("b.test", "require", "ca1")
                 + site("localhost", "require", "ca1"), more="limits: {header: 3s, upstream: 4s}\n")
    gw.ca = CA(gw.folder, "ca1")
    gw.one, gw.two = gw.ca.client("one"), gw.ca.client("two")
    gw.start()
    yield gw
    gw.close()


@contextlib.contextmanager
def own(lines="", **how):
    """A gateway of one test's own."""
    h = Gateway(site("a.test", "require", "ca1", lines), **how)
    h.ca = CA(h.folder, "ca1")
    h.one = h.ca.client("one")
    try:
        yield h.start()
    finally:
        h.close()


def curl(g, path, *more, host="a.test"):
    return run("curl", "-sS", "--http2", "--max-time", str(20 * PATIENCE), "--resolve", f"{host}:{g.https}:127.0.0.1",
               "--cacert", g.root.path, "--cert", g.one.crt, "--key", g.one.key, f"https://{host}:{g.https}{path}", *more)


# ---- real programs ----

def test_curl_speaks_it_and_the_upstream_hears_who_it_is(g):
    done = curl(g, "/x?y=1", "-w", "%{http_version}", "-H", "Cookie: a=1; b=2")
    assert done.stdout.endswith("2") and done.stdout.startswith("GET /x?y=1 HTTP/1.1")
    assert "cookie: a=1; b=2" in done.stdout.lower() and "X-Countersign-Identity: one" in done.stdout


def test_bodies_of_megabytes_cross_both_ways(g, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * 16384)
    server = Echo()
    try:
        with own(f"    upstream: {server.url}\n") as h:
            for how in ([], ["-H", "Expect:"], ["-T", str(big)]):
                out = tmp_path / "out"
                args = how if how[:1] == ["-T"] else ["--data-binary", f"@{big}", *how]
                assert curl(h, "/", "-o", str(out), *args).returncode == 0
                assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()
    finally:
        server.close()


class Echo(Service):
    """HTTP/1.1: the body comes back, chunked, while it is still being read."""

    @staticmethod
    def serve(c):
        f = c.makefile("rb")
        with c, f:
            while line := f.readline():
                length, chunked = 0, False
                while (line := f.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                    chunked = chunked or name.lower() == "transfer-encoding"
                    if name.lower() == "expect":
                        c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    if chunked:
                        length = int(f.readline(), 16)
                    piece = f.read(min(length, 65536) if not chunked else length)
                    length -= len(piece)
                    if chunked:
                        f.readline()
                    if piece:
                        c.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                    if not piece or (not chunked and length == 0):
                        break
                c.sendall(b"0\r\n\r\n")


@pytest.mark.skipif(not shutil.which("h2load"), reason="no h2load here (package nghttp2-client)")
def test_bodies_that_nobody_reads_do_not_narrow_the_window():
    """Of refused requests; 3 MiB of them, where a connection may have one MiB under way."""
    with own("    routes:\n      - path: /\n        allow: [{name: two}]\n") as h, Frames(h, h.one) as f:
        credit = 65535
        for stream in range(1, 401, 2):
            while credit < 16000:
                kind, _, of, payload = f.until(WINDOW, GOAWAY)
                assert kind == WINDOW, "no credit any more"
                credit += int.from_bytes(payload, "big") if of == 0 else 0
            f.s.sendall(f.frame(HEADERS, END_HEADERS, stream, f.encoder.encode(POST)) + f.frame(DATA, END_STREAM, stream, b"x" * 16000))
            credit -= 16000
            f.s.settimeout(5 * PATIENCE)


def test_many_streams_at_once(g):
    """h2load sends no client certificate, so that a site that asks for none is measured."""
    h = Gateway(site("a.test", "off", None))
    try:
        h.start()
        done = run("h2load", "-n", "3000", "-c", "8", "-m", "50", f"https://127.0.0.1:{h.https}/",
                   "--connect-to", f"127.0.0.1:{h.https}", "-H", ":authority: a.test", "--sni", "a.test")
        if "unrecognized option" in done.stderr:
            done = run("h2load", "-n", "3000", "-c", "8", "-m", "50", "--connect-to", f"127.0.0.1:{h.https}",
                       f"https://a.test:{h.https}/")
        assert re.search(r"3000 succeeded, 0 failed, 0 errored", done.stdout), done.stdout + done.stderr
        assert "Application protocol: h2" in done.stdout
    finally:
        h.close()


def test_nghttp_gets_a_page(g):
    done = run("nghttp", "-nv", f"--cert={g.one.crt}", f"--key={g.one.key}", f"https://localhost:{g.https}/")
    assert "recv SETTINGS" in done.stdout and ":status: 200" in done.stdout


def test_httpx_speaks_both_on_one_port(g):
    httpx = pytest.importorskip("httpx")
    context = g.context(g.one)
    for http2, version in ((True, "HTTP/2"), (False, "HTTP/1.1")):
        with httpx.Client(http2=http2, verify=context) as client:
            r = client.get(f"https://localhost:{g.https}/p")
            assert (r.status_code, r.http_version) == (200, version)
            assert "X-Countersign-Identity: one" in r.text


# ---- frames ----

def test_one_connection_many_requests_at_once(g):
    with Frames(g, g.one) as f:
        for n in range(30):
            f.headers(2 * n + 1, [*GET[:3], (":path", f"/{n}")])
        seen, ended = {}, 0
        while ended < 30:
            kind, flags, stream, payload = f.until(HEADERS, DATA)
            if kind == HEADERS:
                assert dict(f.decoder.decode(payload))[":status"] == "200"
            else:
                seen[stream] = seen.get(stream, b"") + payload
            ended += bool(flags & END_STREAM)
        assert all(seen[2 * n + 1].startswith(f"GET /{n} HTTP/1.1".encode()) for n in range(30))


def test_no_identity_from_outside_crosses(g):
    """W58, W62 in HTTP/2, trailers too."""
    with Frames(g, g.one) as f:
        f.headers(1, [*POST, ("x-countersign-identity", "root"), ("client_cert", "x"), ("x-forwarded-client-cert", "x"),
                      ("ssl-client-verify", "SUCCESS"), ("x-ssl.client", "x")], end=False)
        f.send(DATA, 0, 1, b"body")
        f.headers(1, [("x-countersign-identity", "root"), ("client-cert", "x")])
        status, _, body, end = f.answer(1)
        text = body.decode().lower()
        assert (status, end) == (200, "end") and text.count("x-countersign-identity:") == 1
        assert "root" not in text and "client_cert" not in text and "x-ssl" not in text
        assert text.count("client-cert:") == 2  # RFC 9440's and Envoy's, ours both


def test_a_request_for_another_site_is_misdirected(g):
    """W02 in HTTP/2: the second stream of a connection too."""
    with Frames(g, g.one) as f:
        f.headers(1, [*GET[:2], (":authority", "b.test"), GET[3]])
        assert f.answer(1)[0] == 421
        f.headers(3, GET)
        assert f.answer(3)[0] == 200


def test_a_body_too_large_a_head_too_large_and_the_connection_goes_on(g):
    with Frames(g, g.one) as f:
        f.headers(1, [*GET[:3], (":path", "/" + "a" * 9000)])
        assert f.answer(1)[0] == 414
        f.headers(3, [*GET, *((f"x-{n}", "y" * 1000) for n in range(10))])
        assert f.answer(3)[0] == 200
        f.headers(5, [*GET, *((f"n{n}", "1") for n in range(120))])
        assert f.answer(5)[0] == 431
        f.headers(7, GET)
        assert f.answer(7)[0] == 200


MALFORMED = {
    "upper-case-name": [*GET, ("X-Up", "1")],
    "connection": [*GET, ("connection", "close")],
    "transfer-encoding": [*POST, ("transfer-encoding", "chunked")],
    "keep-alive": [*GET, ("keep-alive", "1")],
    "te-other": [*GET, ("te", "gzip")],
    "no-method": GET[1:],
    "no-scheme": [GET[0], *GET[2:]],
    "no-path": GET[:3],
    "two-methods": [GET[0], *GET],
    "two-paths": [*GET, GET[3]],
    "pseudo-after-regular": [*GET[:3], ("a", "b"), GET[3]],
    "unknown-pseudo": [*GET, (":protocol", "websocket")],
    "status-in-a-request": [*GET, (":status", "200")],
    "empty-path": [*GET[:3], (":path", "")],
    "two-lengths": [*POST, ("content-length", "1"), ("content-length", "2")],
    "nul-in-value": [*GET, ("x", "a\0b")],
    "cr-in-value": [*GET, ("x", "a\rb: c")],
    "lf-in-value": [*GET, ("x", "a\nb: c")],
    "space-in-name": [*GET, ("x y", "1")],
    "colon-in-name": [*GET, ("x:y", "1")],
    "host-differs": [*GET, ("host", "b.test")],
    "authority-with-user": [*GET[:2], (":authority", "u@a.test"), GET[3]],
    "path-not-absolute": [*GET[:3], (":path", "x")],
    "space-in-path": [*GET[:3], (":path", "/a b")],
    "crlf-in-path": [*GET[:3], (":path", "/ HTTP/1.1\r\nX-Countersign-Identity: root\r\nA: b")],
    "crlf-in-method": [(":method", "GET / HTTP/1.1\r\nA: b\r\n\r\nGET"), *GET[1:]],
    "crlf-in-authority": [*GET[:2], (":authority", "a.test\r\nX-Countersign-Identity: root"), GET[3]],
    "connect": [(":method", "CONNECT"), (":authority", "a.test")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_reach_no_upstream(g, name):
    """RFC 9113 8.1.1, 8.2.1, 8.2.2, 8.3; W60, W61."""
    before = len(g.upstream.heads)
    with Frames(g, g.one) as f:
        f.headers(1, MALFORMED[name])
        status, _, _, end = f.answer(1)
        assert (status in (400, 405) and end == "end") or (status == 0 and end != "end"), (status, end)
    assert len(g.upstream.heads) == before


@pytest.mark.parametrize("name, frames, code", [
    ("data-on-idle-stream", [(DATA, 0, 1, b"x")], PROTOCOL_ERROR),
    ("headers-on-stream-0", [(HEADERS, 5, 0, b"\x82")], PROTOCOL_ERROR),
    ("even-stream", [(HEADERS, 5, 2, b"\x82\x84\x87")], PROTOCOL_ERROR),
    ("settings-on-a-stream", [(SETTINGS, 0, 1, b"")], PROTOCOL_ERROR),
    ("settings-of-odd-size", [(SETTINGS, 0, 0, b"12345")], FRAME_SIZE_ERROR),
    ("settings-ack-with-payload", [(SETTINGS, 1, 0, b"123456")], FRAME_SIZE_ERROR),
    ("settings-window-too-big", [(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31))], FLOW_CONTROL_ERROR),
    ("settings-frame-too-small", [(SETTINGS, 0, 0, struct.pack(">HI", 5, 100))], PROTOCOL_ERROR),
    ("ping-of-odd-size", [(PING, 0, 0, b"1234567")], FRAME_SIZE_ERROR),
    ("ping-on-a-stream", [(PING, 0, 1, b"12345678")], PROTOCOL_ERROR),
    ("window-update-of-0", [(WINDOW, 0, 0, b"\0\0\0\0")], PROTOCOL_ERROR),
    ("window-over-the-top", [(WINDOW, 0, 0, b"\x7f\xff\xff\xff")], FLOW_CONTROL_ERROR),
    ("push-promise", [(PUSH, 4, 1, b"\0\0\0\2\x82")], PROTOCOL_ERROR),
    ("continuation-alone", [(CONTINUATION, 4, 1, b"\x82")], PROTOCOL_ERROR),
    ("frame-within-a-head", [(HEADERS, 1, 1, b"\x82"), (PING, 0, 0, b"12345678")], PROTOCOL_ERROR),
    ("other-stream-within-a-head", [(HEADERS, 1, 1, b"\x82"), (CONTINUATION, 4, 3, b"\x84")], PROTOCOL_ERROR),
    ("bad-hpack", [(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff")], COMPRESSION_ERROR),
    ("frame-too-large", [(DATA, 0, 1, b"x" * 17000)], FRAME_SIZE_ERROR),
    ("padding-beyond-the-frame", [(HEADERS, 13, 1, b"\x20\x82\x84\x87")], PROTOCOL_ERROR),
    ("rst-on-idle-stream", [(RST, 0, 7, b"\0\0\0\1")], PROTOCOL_ERROR),
    ("reset-of-odd-size", [(HEADERS, 4, 1, b"\x82\x84\x87\x41\x06a.test"), (RST, 0, 1, b"\0\0")], FRAME_SIZE_ERROR),
    ("goaway-on-a-stream", [(GOAWAY, 0, 1, b"\0" * 8)], PROTOCOL_ERROR),
], ids=lambda p: p if isinstance(p, str) else "")
def test_what_breaks_the_rules_ends_the_connection(g, name, frames, code):
    """As h2spec has it: RFC 9113 4.1, 4.2, 4.3, 5.1, 5.1.1, 6.1-6.10."""
    with Frames(g, g.one) as f:
        for frame in frames:
            f.send(*frame)
        found = f.until(GOAWAY)
        assert found is not None, "closed without a word"
        got = int.from_bytes(found[3][4:8], "big")
        assert got in (code, PROTOCOL_ERROR, STREAM_CLOSED), got
    assert closed_counted(g)


def closed_counted(g):
    with Frames(g, g.two) as f:
        return f.alive()


def test_what_must_be_let_pass(g):
    """RFC 9113 4.1, 5.5: unknown frames, settings and flags; 5.1: frames that were under way; padding; priorities."""
    with Frames(g, g.one, settings=[(0x99, 7)]) as f:
        f.send(0xfa, 0xff, 0, b"unknown")
        f.send(PRIORITY, 0, 9, b"\0\0\0\0\x10")
        block = f.encoder.encode(POST)
        f.send(HEADERS, END_HEADERS | PADDED, 1, b"\x03" + block + b"\0\0\0")
        f.send(DATA, END_STREAM | PADDED, 1, b"\x05hello" + b"\0" * 5)
        assert f.answer(1)[0] == 200
        f.send(WINDOW, 0, 1, b"\0\0\0\1")
        f.send(RST, 0, 1, b"\0\0\0\x08")
        assert f.alive()
        block = f.encoder.encode(GET)
        f.send(HEADERS, END_STREAM, 3, block[:2])
        f.send(CONTINUATION, 0, 3, block[2:5])
        f.send(CONTINUATION, END_HEADERS, 3, block[5:])
        assert f.answer(3)[0] == 200


class Whole(Service):
    """Answers a request when all of its body is there; `got` are those."""

    def __init__(self):
        self.got = []
        super().__init__()

    def serve(self, c):
        f = c.makefile("rb")
        with c, f:
            while head := list(iter(f.readline, b"\r\n")):
                if not head[-1]:
                    return
                length = next((int(h.split(b":")[1]) for h in head if h.lower().startswith(b"content-length:")), 0)
                body = f.read(length)
                if len(body) < length:
                    return
                self.got.append(body)
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_content_length_must_be_what_comes():
    """RFC 9113 8.1.1: a length that lies never reaches an upstream as a whole request."""
    server = Whole()
    with own(f"    upstream: {server.url}\n") as h:
        for length, body in ((3, b"four"), (9, b"four")):
            with Frames(h, h.one) as f:
                f.headers(1, [*POST, ("content-length", str(length))], end=False)
                f.send(DATA, END_STREAM, 1, body)
                status, _, _, end = f.answer(1)
                assert (status, end) == (0, PROTOCOL_ERROR)
        with Frames(h, h.one) as f:  # one that is true
            f.headers(1, [*POST, ("content-length", "5")], end=False)
            f.send(DATA, END_STREAM, 1, b"truth")
            assert f.answer(1)[0] == 200
    assert server.got == [b"truth"]
    server.close()


def test_back_pressure_a_client_that_does_not_read_holds_its_own_stream_only(g):
    server = Big()
    try:
        with own(f"    upstream: {server.url}\n") as h:
            with Frames(h, h.one, settings=[(4, 1000)]) as f:
                f.headers(1, GET)  # 1,000 octets of 32 MiB, then nothing more is taken
                assert f.until(HEADERS)[2] == 1
                f.decoder = Decoder()
                time.sleep(0.3)
                assert f.alive()
                pid = h.proc.pid
                resident = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])
                assert resident < 60 * 1024 * (6 if PATIENCE > 1 else 1)
                assert server.sent < 16 << 20
    finally:
        server.close()


class Big(Service):
    """32 MiB for every request."""

    def __init__(self):
        self.sent = 0
        super().__init__()

    def serve(self, c):
        with c:
            c.recv(65536)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (32 << 20))
            try:
                for _ in range(512):
                    c.sendall(b"x" * 65536)
                    self.sent += 65536
            except OSError:
                pass


# ---- abuse ----

def drowned(f, octets, times):
    """Sends until the peer says GOAWAY; its code."""
    try:
        for _ in range(times):
            f.s.sendall(octets)
    except (ConnectionError, ssl.SSLError, TimeoutError):
        pass
    frame = f.until(GOAWAY)
    return int.from_bytes(frame[3][4:8], "big") if frame else None


def test_rapid_reset_ends_the_connection(g):
    """CVE-2023-44487."""
    with Frames(g, g.one) as f:
        octets = b""
        for n in range(600):
            octets += f.frame(HEADERS, 5, 2 * n + 1, f.encoder.encode(GET)) + f.frame(RST, 0, 2 * n + 1, b"\0\0\0\x08")
        assert drowned(f, octets, 1) == CALM
    wait_for(lambda: any(e["reason"] == "http2-abuse" for e in g.events("connection-closed")))
    assert closed_counted(g)


@pytest.mark.parametrize("frame", [(PING, 0, 0, b"12345678"), (SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)),
                                   (PRIORITY, 0, 1, b"\0\0\0\0\x10"), (0xfa, 0, 0, b"")],
                         ids=["ping", "settings", "priority", "unknown"])
def test_a_flood_of_frames_ends_the_connection(g, frame):
    """CVE-2019-9512, CVE-2019-9515."""
    with Frames(g, g.one) as f:
        assert drowned(f, Frames.frame(*frame) * 100, 40) == CALM
    assert closed_counted(g)


def test_a_flood_of_empty_data_ends_the_connection(g):
    """CVE-2019-9518."""
    with Frames(g, g.one) as f:
        f.headers(1, POST, end=False)
        assert drowned(f, Frames.frame(DATA, 0, 1) * 100, 40) == CALM
    assert closed_counted(g)


def test_continuation_without_end_ends_the_connection(g):
    """CVE-2024-28182."""
    with Frames(g, g.one) as f:
        f.send(HEADERS, END_STREAM, 1, f.encoder.encode(GET))
        assert drowned(f, Frames.frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100) * 10, 100) is not None
    assert closed_counted(g)


def test_an_hpack_bomb_is_431_and_costs_no_memory(g):
    """CVE-2016-6581: one entry of the table, named thousands of times."""
    with Frames(g, g.one) as f:
        value = "a" * 3000
        f.headers(1, [*GET, ("x", value)])
        assert f.answer(1)[0] == 200
        block = f.encoder.encode([*GET]) + f.encoder.encode([("x", value)]) * 4000
        f.send(HEADERS, END_STREAM | END_HEADERS, 3, block)
        status, _, _, end = f.answer(3)
        assert status == 431 or end != "end"
    assert closed_counted(g)


def test_streams_beyond_the_limit_are_refused_singly(g):
    g.upstream.hold = 1.0
    try:
        with Frames(g, g.one) as f:
            for n in range(130):
                f.headers(2 * n + 1, GET)
            refused = 0
            for _ in range(30):
                kind, _, _, payload = f.until(RST, GOAWAY)
                refused += kind == RST and payload == b"\0\0\0\x07"
            assert refused == 30 and f.alive()
    finally:
        g.upstream.hold = 0.0


# ---- life ----

@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_a_revocation_says_goaway_and_closes_within_a_second(version):
    """W66 in HTTP/2."""
    with own(authority=True) as h:
        with Frames(h, h.one, version=version) as f:
            f.headers(1, GET)
            assert f.answer(1)[0] == 200
            began = time.monotonic()
            h.feed.revoke(h.ca, h.one)
            assert f.until(GOAWAY) is not None and f.read() is None
            assert time.monotonic() - began < 1.0 * PATIENCE


def test_drain_finishes_what_is_under_way(g):
    with own() as h:
        h.upstream.hold = 1.0
        with Frames(h, h.one) as f:
            f.headers(1, GET)
            wait_for(lambda: h.upstream.heads)
            h.signal(15)
            assert f.until(GOAWAY) is not None
            assert f.answer(1)[0] == 200
        assert h.proc.wait(10 * PATIENCE) == 0


def test_a_reload_while_streams_are_open_drops_none(g):
    with own() as h:
        h.upstream.hold = 0.5
        with Frames(h, h.one) as f:
            f.headers(1, GET)
            wait_for(lambda: h.upstream.heads)
            h.reload("reloaded")
            assert f.answer(1)[0] == 200
            f.headers(3, GET)
            assert f.answer(3)[0] == 200


def test_a_slow_upstream_is_a_504_and_the_connection_goes_on(g):
    g.upstream.hold = 6.0
    try:
        with Frames(g, g.one) as f:
            f.s.settimeout(20 * PATIENCE)
            f.headers(1, GET)
            assert f.answer(1)[0] == 504
            g.upstream.hold = 0.0
            f.headers(3, GET)
            assert f.answer(3)[0] == 200
    finally:
        g.upstream.hold = 0.0


# ---- HTTP/2 upstreams ----

def test_grpc_with_trailers_streams_and_errors(tmp_path):
    grpc = pytest.importorskip("grpc")
    from concurrent import futures

    class Service(grpc.GenericRpcHandler):
        def service(self, details):
            ident = lambda b: b
            if details.method == "/t.T/Say":
                return grpc.unary_unary_rpc_method_handler(
                    lambda r, c: (c.set_trailing_metadata((("x-t", "end"),)), b"hello " + r + b" of " + dict(
                        c.invocation_metadata()).get("x-countersign-identity", "?").encode())[1], ident, ident)
            if details.method == "/t.T/Fail":
                def fail(_, c):
                    c.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")
                return grpc.unary_unary_rpc_method_handler(fail, ident, ident)
            if details.method == "/t.T/Chat":
                def chat(requests, _):
                    for r in requests:
                        yield b"re: " + r
                return grpc.stream_stream_rpc_method_handler(chat, ident, ident)
            return None

    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with own(f"    upstream: h2c://127.0.0.1:{port}\n") as h:
            credentials = grpc.ssl_channel_credentials(h.root.path.read_bytes(), open(h.one.key, "rb").read(),
                                                       open(h.one.crt, "rb").read())
            with grpc.secure_channel(f"127.0.0.1:{h.https}", credentials,
                                     (("grpc.ssl_target_name_override", "a.test"), ("grpc.default_authority", "a.test"))) as channel:
                say = channel.unary_unary("/t.T/Say")
                answer, call = say.with_call(b"you", timeout=10 * PATIENCE)
                assert answer == b"hello you of one" and dict(call.trailing_metadata())["x-t"] == "end"
                with pytest.raises(grpc.RpcError) as e:
                    channel.unary_unary("/t.T/Fail")(b"", timeout=10 * PATIENCE)
                assert e.value.code() == grpc.StatusCode.FAILED_PRECONDITION and e.value.details() == "not today"

                def requests():
                    for n in range(20):
                        yield b"%d" % n
                assert list(channel.stream_stream("/t.T/Chat")(requests(), timeout=10 * PATIENCE)) == [b"re: %d" % n for n in range(20)]
                big = b"x" * (3 << 20)
                assert say(big, timeout=20 * PATIENCE) == b"hello " + big + b" of one"
                calls = [say.future(b"%d" % n, timeout=20 * PATIENCE) for n in range(300)]
                assert [c.result() for c in calls] == [b"hello %d of one" % n for n in range(300)]
            server.stop(None).wait()
            with grpc.secure_channel(f"127.0.0.1:{h.https}", credentials,
                                     (("grpc.ssl_target_name_override", "a.test"), ("grpc.default_authority", "a.test"))) as channel:
                with pytest.raises(grpc.RpcError) as e:
                    channel.unary_unary("/t.T/Say")(b"", timeout=10 * PATIENCE)
                assert e.value.code() == grpc.StatusCode.UNAVAILABLE
    finally:
        server.stop(None)
