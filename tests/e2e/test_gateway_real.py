"""Upstreams and clients that we did not write, one behind and one before the gateway: Apache, nginx and Node see no
request that two readers could read in two ways; WebSocket by python3-websockets; Chromium over HTTP/2."""
import asyncio
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from ambiguities import BEHIND, CHUNKS, HOST
from conftest import PATIENCE, die_with_parent, free_port, run, wait_for
from gateway import CA, Gateway
from test_gateway_h2 import MALFORMED, Frames
from test_gateway_sites import site
from test_http import AMBIGUOUS


def _open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Server:
    """A program that serves HTTP and writes an access log."""

    def __init__(self, folder, kind):
        self.port, self.folder = free_port(), folder
        self.log = folder / "access"
        user = pwd.getpwuid(os.geteuid()).pw_name
        getattr(self, kind)(user)
        wait_for(lambda: _open(self.port), 20, say=f"{kind} did not come")

    def spawn(self, *command):
        self.proc = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL,
                                     stderr=open(self.folder / "err", "w"), preexec_fn=die_with_parent, cwd=self.folder)

    def nginx(self, user):
        lead = f"user {user};" if os.geteuid() == 0 else ""
        (self.folder / "c").write_text(f"""{lead}
daemon off; error_log stderr; pid {self.folder}/pid; events {{}}
http {{ access_log {self.log}; client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;
 fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
 server {{ listen 127.0.0.1:{self.port}; location / {{ return 200 "ok\\n"; }} }} }}""")
        self.spawn("nginx", "-c", self.folder / "c", "-p", self.folder)

    def apache(self, user):
        modules = "/usr/lib/apache2/modules"
        who = "" if os.geteuid() != 0 else "User www-data\nGroup www-data\n"
        (self.folder / "c").write_text(f"""{who}ServerRoot {self.folder}
ServerName localhost
Listen 127.0.0.1:{self.port}
PidFile {self.folder}/pid
ErrorLog {self.folder}/error
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
DocumentRoot {self.folder}
HttpProtocolOptions Unsafe
LogFormat "%r" plain
CustomLog {self.log} plain
RedirectMatch 204 .
""")
        self.spawn("/usr/sbin/apache2", "-f", self.folder / "c", "-DFOREGROUND")

    def node(self, user):
        (self.folder / "s.js").write_text(f"""const fs = require('fs');
require('http').createServer({{insecureHTTPParser: true}}, (q, r) => {{
  fs.appendFileSync('{self.log}', q.method + ' ' + q.url + '\\n');
  q.resume(); q.on('end', () => r.end('ok\\n'));
}}).listen({self.port}, '127.0.0.1');""")
        self.spawn("node", self.folder / "s.js")

    def lines(self):
        return self.log.read_text() if self.log.exists() else ""

    def close(self):
        self.proc.terminate()
        self.proc.wait(10)


PROGRAMS = {"nginx": "nginx", "apache": "/usr/sbin/apache2", "node": "node"}


@pytest.fixture(scope="module", params=list(PROGRAMS))
def behind(request, tmp_path_factory):
    if not shutil.which(PROGRAMS[request.param]):
        pytest.skip(f"no {PROGRAMS[request.param]} here")
    server = Server(tmp_path_factory.mktemp(request.param), request.param)
    g = Gateway(site("localhost", "require", "ca1", f"    upstream: http://127.0.0.1:{server.port}\n")
                + site("a.test", "require", "ca1", f"    upstream: http://127.0.0.1:{server.port}\n"))
    g.ca = CA(g.folder, "ca1")
    g.one = g.ca.client("one")
    g.behind = server
    g.start()
    yield g
    g.close()
    server.close()


def raw(g, octets):
    with g.connect(g.context(g.one), "localhost") as s:
        s.settimeout(10 * PATIENCE)
        data = b""
        try:
            s.sendall(octets)
            s.settimeout(1.5 * PATIENCE)
            while more := s.recv(65536):
                data += more
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass
        return data


def test_what_is_ambiguous_reaches_no_real_server(behind):
    """W60, W61: their access logs show the requests that were meant, and none else."""
    assert b"HTTP/1.1 20" in raw(behind, b"GET /first HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    wait_for(lambda: "/first" in behind.behind.lines())
    for name, octets in AMBIGUOUS.items():
        got = raw(behind, octets + BEHIND)
        assert b"HTTP/1.1 20" not in got, name
    for name, fields in MALFORMED.items():
        with Frames(behind, behind.one) as f:
            f.headers(1, fields)
            assert f.answer(1)[0] in (0, 400, 405), name
    assert b"HTTP/1.1 20" in raw(behind, b"GET /last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    wait_for(lambda: "/last" in behind.behind.lines())
    seen = behind.behind.lines()
    assert "smuggled" not in seen and len(seen.strip().split("\n")) == 2, seen


def test_broken_chunks_complete_no_request_of_a_real_server(behind):
    """Each of them writes its log when a request is complete; nginx notes one that was cut off with a status of its own."""
    before = behind.behind.lines()
    for name, octets in CHUNKS.items():
        got = raw(behind, b"POST /chunks HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + octets + BEHIND)
        assert b"HTTP/1.1 200" not in got, (name, got)
    assert "smuggled" not in behind.behind.lines()[len(before):]


def test_pipelined_requests_are_answered_in_their_order(behind):
    many = b"".join(b"GET /p%d HTTP/1.1\r\n" % n + HOST + (b"Connection: close\r\n" if n == 9 else b"") + b"\r\n" for n in range(10))
    got = raw(behind, many)
    assert got.count(b"HTTP/1.1 ") == 10
    wait_for(lambda: all(f"/p{n}" in behind.behind.lines() for n in range(10)))


# ---- WebSocket ----

def test_websocket_by_a_library(tmp_path):
    websockets = pytest.importorskip("websockets")

    async def scene():
        async def echo(ws, *_):
            async for message in ws:
                await ws.send(message)
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            g = Gateway(site("a.test", "require", "ca1", f"    upstream: http://127.0.0.1:{port}\n"))
            g.ca = CA(g.folder, "ca1")
            g.one = g.ca.client("one")
            try:
                g.start()
                context = g.context(g.one)
                async with websockets.connect(f"wss://a.test:{g.https}/chat", ssl=context, host="127.0.0.1", port=g.https, server_hostname="a.test",
                                              max_size=None) as ws:
                    for message in ("hello", b"\0" * 70000, "x" * (2 << 20)):
                        await ws.send(message)
                        assert await asyncio.wait_for(ws.recv(), 20 * PATIENCE) == message
                    await ws.ping()
                with pytest.raises(Exception):
                    async with websockets.connect(f"wss://a.test:{g.https}/chat", ssl=g.context(), host="127.0.0.1", port=g.https, server_hostname="a.test"):
                        pass
            finally:
                await asyncio.get_running_loop().run_in_executor(None, g.close)
    asyncio.run(scene())
