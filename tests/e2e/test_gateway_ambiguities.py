"""Answers of an upstream that two readers could read in two ways (requests: test_http.py, and test_gateway_real.py with nginx, Apache and
Node behind), and what is passed on in one form whatever its form was (SECURITY W60 to W63)."""
import re
import ssl
import threading

import pytest
from ambiguities import ANSWER_BODIES, ANSWERS, BEHIND, CHUNKS, GET, HOST, POST, REQUESTS, flat
from conftest import PATIENCE, ROOT
from gateway import CA, Gateway, Service
from test_gateway_h2 import GET as H2_GET, Frames
from test_gateway_sites import site


def end_of(data):
    """Where the first request ends, as the gateway writes requests; 0: it has not ended."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        return 0
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    if b"\r\nTransfer-Encoding: chunked" in head:
        last = re.search(rb"(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n", body)
        return len(head) + 4 + last.end() if last else 0
    end = len(head) + 4 + (int(length[1]) if length else 0)
    return end if end <= len(data) else 0


class Script(Service):
    """Answers each request, when it has ended, with what stands in `says`, then closes if `closes`."""

    def __init__(self):
        self.says, self.closes, self.got, self.connections, self.lock = b"", False, b"", 0, threading.Lock()
        super().__init__()

    def serve(self, c):
        self.connections += 1
        data = b""
        while more := c.recv(65536):
            self.got += more
            data += more
            while end := end_of(data):
                data = data[end:]
                c.sendall(self.says)
                if self.closes:
                    c.close()
                    return


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"


@pytest.fixture(scope="module")
def gate():
    script = Script()
    g = Gateway(site("localhost", "require", "ca1", f"    upstream: {script.url}\n"), more="limits: {upstream: 3s}\n", threads=1)
    g.one = CA(g.folder, "ca1").client("one")
    g.script = script
    g.start()
    yield g
    g.close()
    script.close()


def raw(g, octets):
    with g.connect(g.context(g.one), "localhost") as s:
        s.settimeout(8 * PATIENCE)
        data = b""
        try:
            s.sendall(octets)
            while more := s.recv(65536):
                data += more
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass
        return data


def good(g):
    g.script.says, g.script.closes = GOOD, False
    got = raw(g, b"GET /good HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200") and got.endswith(b"good"), got


@pytest.mark.parametrize("name", flat(ANSWERS))
def test_an_ambiguous_answer_is_a_502_and_its_connection_is_not_used_again(gate, name):
    gate.script.says, gate.script.closes = flat(ANSWERS)[name] + GOOD, name == "HTTP/0.9"
    before = gate.script.connections
    got = raw(gate, GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 502"), got
    assert got.count(b"HTTP/1.1 502") == 2, got
    good(gate)
    assert gate.script.connections >= before + 2


@pytest.mark.parametrize("name", flat(ANSWERS))
def test_the_same_over_http2(gate, name):
    gate.script.says, gate.script.closes = flat(ANSWERS)[name], name == "HTTP/0.9"
    with Frames(gate, gate.one, name="localhost") as f:
        f.headers(1, [*H2_GET[:2], (":authority", "localhost"), H2_GET[3]])
        assert f.answer(1)[0] == 502
        assert f.alive()


@pytest.mark.parametrize("name", flat(ANSWER_BODIES))
def test_a_broken_body_is_not_passed_as_whole(gate, name):
    gate.script.says, gate.script.closes = flat(ANSWER_BODIES)[name], True
    got = raw(gate, GET + b"\r\n" + GET + b"\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert got.count(b"HTTP/1.1 ") <= 1, got  # none: closed before the head had gone
    assert not (body.endswith(b"0\r\n\r\n") or (b"Content-Length: 5" in head and body == b"hello")), got
    with Frames(gate, gate.one, name="localhost") as f:
        f.headers(1, [*H2_GET[:2], (":authority", "localhost"), H2_GET[3]])
        status, _, _, end = f.answer(1)
        assert status == 502 or end != "end", (status, end)
        assert f.alive()
    good(gate)


def seen(gate, octets):
    """What the upstream got of one request."""
    gate.script.says, gate.script.closes, gate.script.got = GOOD, False, b""
    raw(gate, octets)
    return gate.script.got


ONE_FORM = {
    "Connection: Content-Length": (POST + b"Connection: close, Content-Length\r\nContent-Length: 5\r\n\r\nhello", b"\r\nContent-Length: 5\r\n", b"\r\n\r\nhello"),
    "Connection: Host": (GET + b"Connection: close, Host\r\n\r\n", b"\r\nHost: localhost\r\n", b"\r\n\r\n"),
    "Connection: Transfer-Encoding": (POST + b"Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                                      b"\r\nTransfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "chunk extensions": (POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n",
                         b"5\r\nhello\r\n0\r\n\r\n"),
    "chunk sizes with zeros, in capitals": (POST + b"Connection: close\r\nTransfer-Encoding: CHUNKED\r\n\r\n00A\r\n0123456789\r\n000\r\n\r\n",
                                            b"\r\nTransfer-Encoding: chunked\r\n", b"a\r\n0123456789\r\n0\r\n\r\n"),
    "Content-Length with zeros": (POST + b"Connection: close\r\nContent-Length: 0005\r\n\r\nhello", b"\r\nContent-Length: 5\r\n", b"\r\n\r\nhello"),
    "absolute target": (b"GET http://localhost/x?y HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", b"GET /x?y HTTP/1.1\r\nHost: localhost\r\n", b"\r\n\r\n"),
    "Upgrade: h2c": (GET + b"Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", b"GET / HTTP/1.1\r\n", b"\r\n\r\n"),
    "Upgrade with a body": (POST + b"Connection: close, Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello", b"\r\nContent-Length: 5\r\n", b"\r\n\r\nhello"),
    "fields with underscores": (GET + b"Connection: close\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n", b"GET / HTTP/1.1\r\n", b"\r\n\r\n"),
    "one empty line before the request": (b"\r\n" + GET + b"Connection: close\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"\r\n\r\n"),
}


@pytest.mark.parametrize("name", ONE_FORM)
def test_what_has_many_forms_goes_on_in_one(gate, name):
    octets, has, ends = ONE_FORM[name]
    got = seen(gate, octets)
    assert has in got and got.endswith(ends), got
    assert not re.search(rb"(?i)^(upgrade|http2-settings|content_length|transfer_encoding):", got, re.M), got


def test_what_stands_behind_a_refused_upgrade_is_not_read():
    """RFC 9931: it may be of the protocol that was asked for."""
    script = Script()
    script.says = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    g = Gateway(site("localhost", "require", "ca1", f"    upstream: {script.url}\n"))
    g.one = CA(g.folder, "ca1").client("one")
    try:
        g.start()
        got = raw(g, GET + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + BEHIND)
        assert got.startswith(b"HTTP/1.1 403") and got.count(b"HTTP/1.1 ") == 1, got
        assert b"smuggled" not in script.got
    finally:
        g.close()
        script.close()


def test_the_page_lists_every_row():
    page = (ROOT / "docs/http-messages.md").read_text()
    listed = set(re.findall(r"^\| [^|]+ \| ([^|]+) \|$", page, re.M)) - {"what"}
    rows = {*flat(REQUESTS), *CHUNKS, *ONE_FORM, *(f"answer: {n}" for n in [*flat(ANSWERS), *flat(ANSWER_BODIES)])}
    assert listed - {"---"} == rows, (sorted(listed ^ rows))
