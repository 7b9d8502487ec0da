"""WebSocket where a side speaks HTTP/2 (RFC 8441): python3-websockets and Node behind; clients by frames, Node, HAProxy and Chromium.
Each of HTTP/1.1 and HTTP/2 on each side."""
import asyncio
import contextlib
import http.server
import json
import os
import shutil
import ssl
import struct
import subprocess
import textwrap
import threading
import time
from pathlib import Path

import pytest
from conftest import PATIENCE, die_with_parent, free_port, run, wait_for
from gateway import CA, SECOND, Gateway, Service
from test_chromium import POLICIES, browse
from test_gateway_h2 import DATA, END_STREAM, HEADERS, RST, SETTINGS, Frames
from test_gateway_sites import site

websockets = pytest.importorskip("websockets")
CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "a.test"), (":path", "/chat"),
           ("sec-websocket-version", "13"), ("origin", "https://a.test")]
CANCEL = 8

# Echoes messages over extended CONNECT, or over whatever :path says.
NODE_SERVER = textwrap.dedent("""
    const offers = process.argv[2] === 'yes';
    const s = require('http2').createServer({settings: {enableConnectProtocol: offers}});
    s.on('stream', (stream, h) => {
      if (h[':path'] === '/no') { stream.respond({':status': 403}); stream.end('not you'); return; }
      if (h[':protocol'] !== 'websocket') { stream.respond({':status': 200}); stream.end(JSON.stringify(h)); return; }
      stream.respond({':status': 200, 'sec-websocket-protocol': 'chat', 'x-told': JSON.stringify(h)});
      let got = Buffer.alloc(0);
      stream.on('data', d => {
        got = Buffer.concat([got, d]);
        while (got.length >= 6) {
          let n = got[1] & 127, at = 2;
          if (n === 126) { if (got.length < 8) return; n = got.readUInt16BE(2); at = 4; }
          if (n === 127) { if (got.length < 14) return; n = Number(got.readBigUInt64BE(2)); at = 10; }
          if (got.length < at + 4 + n) return;
          const mask = got.subarray(at, at + 4), text = Buffer.from(got.subarray(at + 4, at + 4 + n));
          for (let i = 0; i < n; i++) text[i] ^= mask[i & 3];
          const head = got.subarray(0, at); head[1] &= 127;
          stream.write(Buffer.concat([head, text]));
          got = got.subarray(at + 4 + n);
        }
      });
      stream.on('end', () => stream.end());
      stream.on('error', () => {});
    });
    s.listen(+process.argv[1], '127.0.0.1');
""")
NODE_CLIENT = textwrap.dedent("""
    const fs = require('fs'), [port, ca, crt, key] = process.argv.slice(1), read = f => fs.readFileSync(f);
    const c = require('http2').connect('https://a.test:' + port, {ca: read(ca), cert: read(crt), key: read(key), servername: 'a.test',
      lookup: (h, o, cb) => cb(null, [{address: '127.0.0.1', family: 4}])});
    c.once('remoteSettings', s => {
      console.log(s.enableConnectProtocol);
      const r = c.request({':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat', ':authority': 'a.test', 'sec-websocket-version': '13'});
      r.on('response', h => { console.log(h[':status']); r.write(Buffer.from([0x81, 0x85, 0, 0, 0, 0, ...Buffer.from('hello')])); });
      r.on('data', d => { console.log(d.toString('hex')); r.close(); c.close(); });
    });
""")


def frame(text, op=1):
    """A client's, masked."""
    n = len(text)
    size = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
    mask = os.urandom(4)
    return bytes([0x80 | op]) + size + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(text))


def plain(text, op=1):
    n = len(text)
    return bytes([0x80 | op]) + (bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n)) + text


class Echo:
    """python3-websockets, in a thread of its own."""

    def __init__(self):
        self.loop, self.paths, self.heads, self.port = asyncio.new_event_loop(), [], [], None
        threading.Thread(target=self.run, daemon=True).start()
        wait_for(lambda: self.port, 10)

    def run(self):
        asyncio.set_event_loop(self.loop)

        async def echo(ws, *_):
            self.heads.append(ws.request_headers)
            self.paths.append(ws.path)
            async for message in ws:
                await ws.send(message)

        async def refuse(path, _):
            return (http.HTTPStatus(403), [], b"not you") if path == "/no" else (http.HTTPStatus(200), [], b"a page") if path == "/page" else None

        async def start():
            server = await websockets.serve(echo, "127.0.0.1", 0, max_size=None, process_request=refuse, compression=None)
            self.port = server.sockets[0].getsockname()[1]
        self.loop.run_until_complete(start())
        self.loop.run_forever()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


@contextlib.contextmanager
def node_server(offers="yes"):
    port = free_port()
    proc = subprocess.Popen(["node", "-e", NODE_SERVER, str(port), offers], preexec_fn=die_with_parent)
    try:
        yield f"h2c://127.0.0.1:{port}"
    finally:
        proc.terminate()
        proc.wait()


@contextlib.contextmanager
def gate(upstream, lines="", **how):
    g = Gateway(site("a.test", "require", "ca1", f"    upstream: {upstream}\n{lines}"), **how)
    g.ca = CA(g.folder, "ca1")
    g.one, g.two = g.ca.client("one"), g.ca.client("two")
    try:
        yield g.start()
    finally:
        g.close()


@pytest.fixture(scope="module")
def echo():
    e = Echo()
    yield e
    e.close()


@pytest.fixture(scope="module")
def h1(echo):
    with gate(echo.url) as g:
        yield g


@pytest.fixture(scope="module")
def h2():
    with node_server() as url, gate(url) as g:
        wait_for(lambda: g.visit(g.context(g.one)).status == 200, 10)
        yield g


def octets(f, stream, n):
    """So many octets of a stream's DATA; the windows stay open."""
    got = b""
    while len(got) < n:
        frame = f.until(DATA, RST, stream=stream)
        assert frame is not None and frame[0] == DATA, (frame, got)
        got += frame[3]
        for of in (0, stream):
            f.send(8, 0, of, struct.pack(">I", max(1, len(frame[3]))))
        if frame[1] & END_STREAM:
            break
    return got


def opened(f, stream=1, fields=CONNECT):
    f.headers(stream, fields, end=False)
    kind, _, _, payload = f.until(HEADERS, RST, stream=stream)
    assert kind == HEADERS
    return dict(f.decoder.decode(payload))


# ---- clients over HTTP/2 ----

def test_it_is_offered(h1):
    with Frames(h1, h1.one) as f:
        kind, _, _, payload = f.read()
        told = dict(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
        assert kind == SETTINGS and told[8] == 1, told


@pytest.mark.parametrize("behind", ["h1", "h2"])
def test_messages_cross_both_ways(behind, request, echo):
    g = request.getfixturevalue(behind)
    with Frames(g, g.one) as f:
        fields = opened(f)
        assert fields[":status"] == "200" and not {"sec-websocket-accept", "upgrade", "connection", "content-length"} & set(fields), fields
        f.send(DATA, 0, 1, frame(b"hello"))
        assert octets(f, 1, 7) == plain(b"hello")
        for piece in frame(b"octet by octet"):
            f.send(DATA, 0, 1, bytes([piece]))
        assert octets(f, 1, 16) == plain(b"octet by octet")
    if behind == "h1":
        told = echo.heads[-1]
        assert told["X-Countersign-Identity"] == "one" and told["Origin"] == "https://a.test" and len(told["Sec-WebSocket-Key"]) == 24


@pytest.mark.parametrize("behind", ["h1", "h2"])
def test_much_crosses_and_other_streams_go_on(behind, request):
    g = request.getfixturevalue(behind)
    message = os.urandom(40000)
    with Frames(g, g.one, settings=[(4, 1 << 20)]) as f:
        for stream in (1, 3):
            assert opened(f, stream)[":status"] == "200"
        for _ in range(50):  # 2 MB in each: more than any window
            for stream in (1, 3):
                whole = frame(message, 2)
                for at in range(0, len(whole), 16000):
                    f.send(DATA, 0, stream, whole[at:at + 16000])
            left = {1: len(plain(message)), 3: len(plain(message))}
            got = {1: b"", 3: b""}
            while any(left.values()):
                kind, _, stream, payload = f.until(DATA, RST)
                assert kind == DATA
                got[stream] += payload
                left[stream] -= len(payload)
                if payload:
                    for of in (0, stream):
                        f.send(8, 0, of, struct.pack(">I", len(payload)))
            assert got == {1: plain(message, 2), 3: plain(message, 2)}
        assert f.alive()


def test_the_end_of_each_side_is_passed_on(h1, echo):
    with Frames(h1, h1.one) as f:
        opened(f)
        f.send(DATA, 0, 1, frame(struct.pack(">H", 1000), 8))  # Close
        assert octets(f, 1, 4)[:2] == b"\x88\x02"
        kind, flags, _, _ = f.until(DATA, RST, stream=1)
        assert (kind, flags & END_STREAM) == (DATA, END_STREAM)
        f.send(DATA, END_STREAM, 1)
        assert f.alive()
        assert opened(f, 3)[":status"] == "200"
        f.send(RST, 0, 3, struct.pack(">I", CANCEL))  # and an end without order
        assert opened(f, 5)[":status"] == "200" and f.alive()


def test_a_refusal_is_an_answer_and_a_page_is_none(h1, h2):
    for g in (h1, h2):
        with Frames(g, g.one) as f:
            f.headers(1, [*CONNECT[:4], (":path", "/no"), *CONNECT[5:]], end=False)
            status, _, body, _ = f.answer(1)
            assert (status, body) == (403, b"not you"), g.log()[-2000:]
    with Frames(h1, h1.one) as f:  # 200 without a switch: to the client it would be one
        f.headers(1, [*CONNECT[:4], (":path", "/page"), *CONNECT[5:]], end=False)
        assert f.answer(1)[0] == 502
        assert f.alive()


@pytest.mark.parametrize("name, fields, statuses", [
    ("another-protocol", [CONNECT[0], (":protocol", "connect-udp"), *CONNECT[2:]], (405,)),
    ("a-length", [*CONNECT, ("content-length", "5")], (400,)),
    ("a-get", [(":method", "GET"), *CONNECT[1:]], (0,)),
    ("no-path", [*CONNECT[:4], *CONNECT[5:]], (0,)),
    ("no-authority", [*CONNECT[:3], *CONNECT[4:]], (0,)),
    ("upgrade-too", [*CONNECT, ("upgrade", "websocket")], (0,)),
    ("another-host", [*CONNECT[:3], (":authority", "b.test"), *CONNECT[4:]], (421,)),
])
def test_what_is_no_websocket_reaches_nobody(h1, echo, name, fields, statuses):
    before = len(echo.paths)
    with Frames(h1, h1.one) as f:
        f.headers(1, fields, end=False)
        assert f.answer(1)[0] in statuses
    assert len(echo.paths) == before


def test_nothing_goes_before_the_upstream_has_switched():
    """W63: what a client sends in advance waits, and is dropped when the answer is no."""
    class Slow(Service):
        got = b""

        def serve(self, c):
            while data := c.recv(65536):
                Slow.got += data
                if Slow.got.endswith(b"\r\n\r\n"):
                    c.settimeout(0.5)
                    with contextlib.suppress(TimeoutError):
                        Slow.got += c.recv(65536)
                    c.settimeout(None)
                    c.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    s = Slow()
    with gate(s.url) as g, Frames(g, g.one) as f:
        f.headers(1, CONNECT, end=False)
        f.send(DATA, 0, 1, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _, body, _ = f.answer(1)
        assert (status, body) == (403, b"no") and b"smuggled" not in Slow.got, Slow.got
        assert f.alive()
    s.close()


@pytest.mark.parametrize("accept", [b"", b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"])
def test_an_upstream_that_does_not_answer_the_key_is_none(accept):
    class Liar(Service):
        def serve(self, c):
            c.recv(65536)
            c.sendall(b"HTTP/1.1 101 Sure\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + accept + b"\r\n")
            c.recv(65536)
    s = Liar()
    with gate(s.url) as g, Frames(g, g.one) as f:
        f.headers(1, CONNECT, end=False)
        assert f.answer(1)[0] == 502
        assert any("Sec-WebSocket-Accept" in e.get("detail", "") for e in g.events("request-refused"))
    s.close()


def test_routes_decide_as_they_do_for_a_get(echo):
    lines = "    routes:\n      - path: /chat\n        methods: [GET]\n        allow: [{name: two}]\n"
    with gate(echo.url, lines) as g:
        before = len(echo.paths)
        with Frames(g, g.one) as f:
            f.headers(1, CONNECT, end=False)
            assert f.answer(1)[0] == 403
        assert len(echo.paths) == before


def test_revocation_ends_it_within_a_second(echo):
    with gate(echo.url, authority=True) as g:
        with Frames(g, g.one) as f, Frames(g, g.two) as other:
            assert opened(f)[":status"] == opened(other)[":status"] == "200"
            g.feed.revoke(g.ca, g.one)
            f.s.settimeout(SECOND)
            while f.read() is not None:
                pass
            other.send(DATA, 0, 1, frame(b"still"))
            assert octets(other, 1, 7) == plain(b"still")


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_route_that_does_not_let_it_in_any_more_ends_it(echo, http):
    lines = "    upstream: " + echo.url + "\n    routes:\n      - path: /\n        allow: [{name: two}, {name: %s}]\n"
    with gate(echo.url, lines.partition("\n")[2] % "one") as g:
        def ask(client):
            if http == "2":
                f = Frames(g, client)
                assert opened(f)[":status"] == "200"
                return f.s
            s = g.connect(g.context(client))
            s.sendall(b"GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            assert b"HTTP/1.1 101" in s.recv(4096)
            return s
        one, two = ask(g.one), ask(g.two)
        g.write(site("a.test", "require", "ca1", lines % "three"))
        g.reload("reloaded")
        one.settimeout(SECOND)
        if http == "1.1":
            with contextlib.suppress(ssl.SSLError):  # the alert that says why
                assert one.recv(4096) == b""
        else:
            data = b""
            while b"\x00\x00\x04\x03" not in data:  # RST_STREAM
                data += one.recv(4096)
        two.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while data := two.recv(4096):
                assert b"\x00\x00\x04\x03" not in data
            raise EOFError
        one.close()
        two.close()


def test_a_silent_one_ends_after_its_time(echo):
    with gate(echo.url, more="limits: {stream: 1s, idle: 30s, upstream: 30s}\n") as g, Frames(g, g.one) as f:
        opened(f)
        assert f.until(RST, stream=1) is not None
        assert f.alive()


# ---- clients over HTTP/1.1, an upstream over HTTP/2 ----

def chat(g, path="/chat", messages=("hello", b"\0" * 70000, "x" * (2 << 20))):
    async def scene():
        async with websockets.connect(f"wss://a.test:{g.https}{path}", ssl=g.context(g.one), host="127.0.0.1", port=g.https,
                                      server_hostname="a.test", max_size=None, compression=None, subprotocols=["chat"]) as ws:
            for message in messages:
                await ws.send(message)
                assert await asyncio.wait_for(ws.recv(), 20 * PATIENCE) == message
            return ws.response_headers
    return asyncio.run(scene())


def test_a_client_of_http_1_1_and_an_upstream_of_http_2(h2):
    told = json.loads(chat(h2)["x-told"])
    assert told[":protocol"] == "websocket" and told[":method"] == "CONNECT" and told["x-countersign-identity"] == "one"
    assert "sec-websocket-key" not in told and "upgrade" not in told
    with pytest.raises(websockets.exceptions.InvalidStatusCode, match="403"):
        chat(h2, "/no")


def test_the_first_request_waits_for_what_the_upstream_says_of_itself():
    with node_server() as url, gate(url) as g:
        wait_for(lambda: _try(chat, g), 10)


def _try(what, *args):
    try:
        what(*args)
        return True
    except (websockets.exceptions.InvalidStatusCode, ConnectionError):
        return False


def test_an_upstream_that_does_not_offer_it_is_told_apart():
    with node_server("no") as url, gate(url) as g:
        wait_for(lambda: g.visit(g.context(g.one)).status == 200, 10)
        with pytest.raises(websockets.exceptions.InvalidStatusCode, match="502"):
            chat(g)
        with Frames(g, g.one) as f:
            f.headers(1, CONNECT, end=False)
            assert f.answer(1)[0] == 502
        assert any("WebSocket over HTTP/2" in e.get("detail", "") for e in g.events("request-refused"))
        assert g.visit(g.context(g.one)).status == 200


# ---- clients that we did not write ----

def test_node_as_a_client(h1):
    done = run("node", "-e", NODE_CLIENT, h1.https, h1.root.path, h1.one.crt, h1.one.key, timeout=20)
    assert done.stdout.split() == ["true", "200", plain(b"hello").hex()], done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("haproxy"), reason="no haproxy here")
def test_haproxy_makes_it_of_http_1_1(h1, tmp_path):
    port = free_port()
    pem = tmp_path / "one.pem"
    pem.write_bytes(Path(h1.one.crt).read_bytes() + Path(h1.one.key).read_bytes())
    (tmp_path / "c").write_text(f"""global
 ssl-server-verify required
defaults
 mode http
 timeout connect 5s
 timeout client 30s
 timeout server 30s
frontend f
 bind 127.0.0.1:{port}
 default_backend b
backend b
 server g 127.0.0.1:{h1.https} ssl ca-file {h1.root.path} crt {pem} sni str(a.test) verifyhost a.test alpn h2 ws h2
""")
    proc = subprocess.Popen(["haproxy", "-q", "-f", str(tmp_path / "c")], preexec_fn=die_with_parent)
    try:
        async def scene():
            async with websockets.connect(f"ws://a.test:{port}/chat", host="127.0.0.1", port=port, max_size=None) as ws:
                for message in ("hello", b"\0" * 70000):
                    await ws.send(message)
                    assert await asyncio.wait_for(ws.recv(), 20 * PATIENCE) == message
            return True

        def there():
            try:
                return asyncio.run(scene())
            except OSError:
                return False
        wait_for(there, 10)
    finally:
        proc.terminate()
        proc.wait()


PAGE = b"""<!doctype html><p id=said>nothing</p><img src="/later"><script>
const w = new WebSocket('wss://' + location.host + '/chat');
w.onopen = () => w.send('from a browser');
w.onmessage = m => { document.getElementById('said').textContent = 'heard ' + m.data; w.close(); };
w.onerror = e => { document.getElementById('said').textContent = 'error'; };
</script>"""


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/later":
            time.sleep(PATIENCE)  # the page is not there before its picture: so long the browser may talk
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.skipif(os.getuid() != 0, reason="a managed policy needs root")
def test_chromium_talks_over_the_connection_that_it_has(echo, tmp_path):
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    sites = site("localhost", "require", "ca1", "    routes:\n"
                 f"      - path: /chat\n        upstream: {echo.url}\n"
                 f"      - path: /\n        upstream: http://127.0.0.1:{pages.server_address[1]}\n")
    g = Gateway(sites, more="log: {access: true}\n")
    one = CA(g.folder, "ca1").client("one")
    policy = POLICIES / f"countersign-test-{g.https}.json"
    try:
        g.start()
        db = tmp_path / ".pki/nssdb"
        db.mkdir(parents=True)
        run("openssl", "pkcs12", "-export", "-in", one.crt, "-inkey", one.key, "-out", tmp_path / "one.p12", "-passout", "pass:x", check=0)
        run("certutil", "-N", "-d", f"sql:{db}", "--empty-password", check=0)
        run("pk12util", "-i", tmp_path / "one.p12", "-d", f"sql:{db}", "-W", "x", check=0)
        run("certutil", "-A", "-d", f"sql:{db}", "-t", "C,,", "-n", "servers", "-i", g.root.path, check=0)
        POLICIES.mkdir(parents=True, exist_ok=True)
        rule = json.dumps({"pattern": f"https://localhost:{g.https}", "filter": {}})
        policy.write_text(json.dumps({"AutoSelectCertificateForUrls": [rule]}))
        done = browse(tmp_path, f"https://localhost:{g.https}/", "--dump-dom")
        assert "heard from a browser" in done.stdout, done.stdout[-1500:] + done.stderr[-1500:] + g.log()[-3000:]
        chats = wait_for(lambda: [e for e in g.events("request") if "/chat" in e.get("request", "")], 10)
        assert chats[0]["http"] == "2" and str(chats[0]["status"]) == "200", chats
    finally:
        policy.unlink(missing_ok=True)
        pages.shutdown()
        g.close()
