"""Upstreams: nginx over TLS that asks for our certificate, HTTP/2 over TLS, several servers of one kind, their health;
and what a bad server certificate does."""
import os
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from conftest import PATIENCE, die_with_parent, free_port, run, wait_for
from gateway import CA, Gateway, Service
from test_gateway_h2 import GET, Frames
from test_gateway_sites import site
from test_gateway_tcp import Peer, echo, lone

assert lone  # a fixture

needs_nginx = pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx here")


class Nginx:
    """Says which certificate it got and whether it is good; HTTP/2 too."""

    def __init__(self, folder, server, ca, verify="on", name="n"):
        self.port, self.folder = free_port(), folder / f"nginx-{name}"
        self.folder.mkdir()
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        (self.folder / "c").write_text(f"""{user}
daemon off; error_log stderr; pid {self.folder}/pid; events {{}}
http {{ access_log off; client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;
  fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  client_max_body_size 64m;
  server {{ listen 127.0.0.1:{self.port} ssl http2; server_name up.test;
    ssl_certificate {server.crt}; ssl_certificate_key {server.key};
    ssl_client_certificate {ca}; ssl_verify_client {verify}; ssl_verify_depth 3;
    location / {{ add_header X-Verify $ssl_client_verify; add_header X-Dn $ssl_client_s_dn;
      return 200 "$server_protocol $request_method $request_uri $http_x_countersign_identity\\n"; }}
    location /post {{ client_body_buffer_size 8m; add_header X-Length $content_length; proxy_pass http://127.0.0.1:1; error_page 502 =200 /; }} }} }}
""")
        self.proc = subprocess.Popen(["nginx", "-c", str(self.folder / "c"), "-p", str(self.folder)],
                                     stdout=subprocess.DEVNULL, stderr=open(self.folder / "log", "w"),
                                     preexec_fn=die_with_parent)
        wait_for(lambda: _open(self.port), 10, say="nginx did not come")

    def close(self):
        self.proc.terminate()
        self.proc.wait(10)


def _open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@pytest.fixture()
def world(tmp_path):
    made = []

    def make(site_lines, upstreams, start=True, more=""):
        g = Gateway(site("a.test", "require", "ca1", site_lines), more=f"{more}upstreams:\n{upstreams}")
        g.ca = CA(g.folder, "ca1")
        g.one = g.ca.client("one")
        made.append(g)
        if start:
            g.start()
        return g
    yield make
    for g in made:
        g.close()


@pytest.fixture()
def backend(tmp_path):
    """A CA of servers, one of the gateway's own certificate, and an nginx that wants it."""
    b = type("Backend", (), {})()
    b.servers, b.clients = CA(tmp_path, "inner"), CA(tmp_path, "inner-clients")
    b.server = b.servers.server("up", "up.test")
    b.gateway, b.other = b.clients.client("gateway"), b.servers.client("other")
    b.folder, b.started = tmp_path, []

    def nginx(**how):
        n = Nginx(tmp_path, how.pop("server", b.server), b.clients.path, name=str(len(b.started)), **how)
        b.started.append(n)
        return n
    b.nginx = nginx
    yield b
    for n in b.started:
        n.close()


def entry(name, *servers, **keys):
    return "".join([f"  - name: {name}\n    servers: [{', '.join(servers)}]\n"]
                   + [f"    {k}: {v}\n" for k, v in keys.items()])


def get(g, path="/", *more, http="--http1.1"):
    return run("curl", "-sS", "-i", http, "--max-time", str(20 * PATIENCE), "--resolve", f"a.test:{g.https}:127.0.0.1",
               "--cacert", g.root.path, "--cert", g.one.crt, "--key", g.one.key, f"https://a.test:{g.https}{path}", *more).stdout


def trusted(b):
    return dict(ca=b.servers.path, certificate=b.gateway.crt, key=b.gateway.key, server_name="up.test")


@needs_nginx
@pytest.mark.parametrize("scheme, protocol", [("https", "HTTP/1.1"), ("h2", "HTTP/2.0")])
@pytest.mark.parametrize("http", ["--http1.1", "--http2"])
def test_mutual_tls_to_the_upstream(world, backend, scheme, protocol, http):
    n = backend.nginx()
    g = world("    upstream: app\n", entry("app", f"{scheme}://127.0.0.1:{n.port}", **trusted(backend)))
    for path in ("/a", "/b?c=d"):
        text = get(g, path, http=http)
        assert f"{protocol} GET {path} one\n" in text and "x-verify: success" in text.lower() and "gateway" in text
    text = get(g, "/post", "--data-binary", "@/proc/self/exe", "-H", "Expect:", http=http)
    assert " 200" in text.split("\n")[0] or " 413" in text.split("\n")[0]
    connects = [l for l in metrics(g) if l.startswith("countersign_upstream_connects_total")]
    assert int(float(connects[0].split()[1])) <= 4  # kept and used again


def metrics(g):
    return run("curl", "-sS", f"http://127.0.0.1:{g.metrics_port}/metrics").stdout.splitlines()


@needs_nginx
@pytest.mark.parametrize("scheme", ["https", "h2"])
@pytest.mark.parametrize("what, reason", [
    ("other-name", "name-mismatch"), ("other-ca", "unknown-issuer"), ("expired", "certificate-expired"),
    ("no-certificate", None)])
def test_an_upstream_that_is_not_who_it_should_be_gets_nothing(world, backend, scheme, what, reason):
    """W72-like: the request, and who asks, goes to nobody else."""
    how = trusted(backend)
    server = backend.server
    if what == "other-name":
        how["server_name"] = "elsewhere.test"
    if what == "other-ca":
        how["ca"] = backend.clients.path
    if what == "expired":
        import mint
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
        crt, key = mint.leaf(backend.folder, (backend.servers.cert, backend.servers.key), "old", eku=(EKU.SERVER_AUTH,),
                             sans=[x509.DNSName("up.test")], begins=-9 * mint.DAY,
                             ends=-mint.DAY)
        server = type("Pair", (), {"crt": crt, "key": key})()
    if what == "no-certificate":
        del how["certificate"], how["key"]
    n = backend.nginx(server=server)
    g = world("    upstream: app\n", entry("app", f"{scheme}://127.0.0.1:{n.port}", **how))
    text = get(g)
    if reason is None:
        assert " 400 " in text.split("\n")[0] or " 502 " in text.split("\n")[0]
        return
    assert " 502 " in text.split("\n")[0] and "upstream-unreachable" in text
    down = wait_for(lambda: g.events("upstream-down"))[0]
    assert down["upstream"].endswith(str(n.port)), down
    refused = g.events("request-refused")[0]
    assert f"{reason}:" in refused["detail"] and f"{reason}:" in down["detail"]


class Counted(Service):
    """An HTTP/1.1 server that says its name; `sick` makes its health 503."""

    def __init__(self, name, port=0):
        self.name, self.sick, self.hold, self.count = name, False, 0.0, 0
        super().__init__(port)

    def serve(self, c):
        f = c.makefile("rb")
        with c, f:
            while line := f.readline():
                while f.readline() not in (b"\r\n", b""):
                    pass
                if line.startswith(b"GET /healthz"):
                    c.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % (503 if self.sick else 204))
                    continue
                self.count += 1
                time.sleep(self.hold)
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.name), self.name.encode()))


@pytest.fixture()
def three():
    all_ = [Counted(n) for n in ("s1", "s2", "s3")]
    yield all_
    for c in all_:
        c.close()


def count_of(g, name):
    return int(sum(float(line.split()[1]) for line in metrics(g) if line.startswith(name)))


def test_connections_are_kept_for_as_many_streams_as_there_were(world, three):
    """A hundred streams at once, again and again, need a hundred connections once; what nobody wants any more ends."""
    three[0].hold = 0.5
    g = world("    upstream: app\n", entry("app", three[0].url), start=False)
    g.conf.write_text(g.conf.read_text().replace("threads: 2", "threads: 1"))  # each has connections of its own
    g.start()
    for _ in range(3):
        with Frames(g, g.one) as f:
            for n in range(90):
                f.headers(2 * n + 1, GET)
            done = 0
            while done < 90:
                kind, flags, _, _ = f.until(0, 1)
                done += flags & 1
    made = count_of(g, "countersign_upstream_connects_total")
    assert made <= 100, made
    wait_for(lambda: count_of(g, "countersign_upstream_connections_open") <= 64, 30, say="idle connections stay")


def test_several_servers_share_the_work_by_least_connections(world, three):
    g = world("    upstream: app\n", entry("app", *(c.url for c in three)))
    for _ in range(30):
        assert " 200 " in get(g).split("\n")[0]
    assert all(c.count >= 5 for c in three), [c.count for c in three]
    three[0].hold = 2.0
    before = [c.count for c in three]
    with Frames(g, g.one) as f:
        for n in range(12):
            f.headers(2 * n + 1, GET)
        answered = [f.answer(2 * n + 1)[0] for n in range(12)] if False else None
        assert answered is None
        time.sleep(1.0)
    after = [c.count - b for c, b in zip(three, before)]
    assert after[0] <= 6, after


def test_a_server_that_dies_is_passed_over_and_comes_back(world, three):
    """No request is lost for it: one that could not be sent goes to the next."""
    g = world("    upstream: app\n", entry("app", *(c.url for c in three), interval="1s"))
    port = three[1].port
    three[1].socket.shutdown(socket.SHUT_RDWR)
    three[1].close()
    for _ in range(20):
        assert " 200 " in get(g, "/", "--data-binary", "x").split("\n")[0]
    wait_for(lambda: g.events("upstream-down"))
    assert {e["upstream"] for e in g.events("upstream-down")} == {f"http://127.0.0.1:{port}"}
    three[1] = Counted("again", port)
    wait_for(lambda: g.events("upstream-up"), 10)
    wait_for(lambda: "again" in get(g), 10)


def test_health_is_asked_for(world, three):
    g = world("    upstream: app\n", entry("app", *(c.url for c in three), health="/healthz", interval="1s"))
    get(g)
    three[2].sick = True
    down = wait_for(lambda: g.events("upstream-down"), 10)[0]
    assert down["detail"] == "its health is 503" and down["upstream"] == three[2].url
    before = three[2].count
    for _ in range(12):
        get(g)
    assert three[2].count == before
    three[2].sick = False
    wait_for(lambda: g.events("upstream-up"), 10)
    wait_for(lambda: get(g) and three[2].count > before, 10)


def test_when_all_are_down_it_says_so_and_goes_on_when_one_comes(world):
    port = free_port()
    g = world("    upstream: app\n", entry("app", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"))
    assert " 502 " in get(g).split("\n")[0]
    c = Counted("late", port)
    try:
        wait_for(lambda: "late" in get(g), 15)
    finally:
        c.close()


def test_a_post_is_not_sent_twice(world):
    """RFC 9110 9.2.2: what may have been done is not done again."""
    got = []

    def once(c):
        with c:
            got.append(c.recv(65536))
    p = Peer(once)
    g = world("    upstream: app\n", entry("app", f"http://127.0.0.1:{p.port}", f"http://127.0.0.1:{p.port}"))
    assert " 502 " in get(g, "/", "--data-binary", "pay").split("\n")[0]
    assert len([x for x in got if x]) == 1


def test_a_stream_over_mutual_tls(world, backend):
    """Postgres or MQTT on another machine, whose network nobody trusts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(backend.clients.path))
    context.load_cert_chain(backend.server.crt, backend.server.key)
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(c):
        try:
            with context.wrap_socket(c, server_side=True) as s:
                s.sendall(str(s.getpeercert()["subject"]).encode())
                while data := s.recv(65536):
                    s.sendall(data)
        except OSError:
            pass
    p = Peer(serve)
    g = world("    protocol: tcp\n    upstream: db\n", entry("db", f"tls://127.0.0.1:{p.port}", **trusted(backend)))
    with g.connect(g.context(g.one)) as s:
        assert b"gateway" in s.recv(4096)
        big = bytes(range(256)) * 4096
        threading.Thread(target=s.sendall, args=(big,), daemon=True).start()
        data = b""
        while len(data) < len(big):
            data += s.recv(65536)
        assert data == big


@pytest.mark.parametrize("upstreams, lines, says", [
    ("  - name: app\n    servers: []\n", "", "servers are missing"),
    ("  - name: app\n    servers: [http://a:1, h2c://b:1]\n", "", "of one scheme"),
    ("  - name: app\n    servers: [ftp://a]\n", "", "expected http://HOST:PORT"),
    ("  - name: app\n    servers: [http://127.0.0.1:1]\n", "    upstream: apq\n", 'no \\"apq\\" among upstreams'),
    ("  - name: app\n    servers: [http://127.0.0.1:1]\n  - name: app\n    servers: [http://127.0.0.1:1]\n", "", "stands there twice"),
    ("  - name: app\n    servers: [https://127.0.0.1:1]\n    certificate: @FOLDER@/server.crt\n", "", "key is missing"),
    ("  - name: app\n    servers: [tcp://127.0.0.1:1]\n", "    upstream: app\n", "for protocol: http"),
    ("  - name: app\n    servers: [https://127.0.0.1:1]\n    ca: /nowhere\n", "    upstream: app\n", "/nowhere"),
])
def test_bad_upstreams_are_refused_at_the_start(world, upstreams, lines, says):
    g = world(lines, upstreams, start=False)
    g.start(wait=False)
    assert g.proc.wait(20 * PATIENCE) != 0
    assert says in g.log() and "config-invalid" in g.log(), g.log()
    g.proc = None
