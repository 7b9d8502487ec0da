"""What crosses the gateway: requests, responses, and nothing else."""
import json
import socket
import threading
import time
import urllib.request

import pytest

from conftest import SANITIZED, wait_for
from gateway_kit import DAY, Gateway, Upstream, ask, read_answer


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    d = tmp_path_factory.mktemp("gw")
    other = Upstream("other")
    g = Gateway(d, sites=[
        {"name": "*"},
        {"name": "a.test", "upstream": other.url},
        {"name": "b.test", "routes": [
            {"path": "/"},
            {"path": "/open", "upstream": other.url},
            {"path": "/pumps", "allow": [{"kind": "device", "name": "pump-*"}]},
            {"path": "/people", "allow": [{"kind": "user"}]},
        ]},
        {"name": "only.test", "routes": [{"path": "/here"}]},
    ], limits={"header": "2s", "idle": "3s", "upstream": "2s", "body": 5000000}).start()
    g.other = other
    yield g
    assert g.stop() == 0
    g.close()
    other.close()


def told(answer):
    return {k.lower(): v for k, v in answer.json()["headers"]}


def test_the_upstream_is_told_who_the_client_is(gw):
    h = told(gw.get("/x?y=1"))
    assert h["x-countersign-identity"] == "pump-17" and h["x-countersign-kind"] == "device"
    assert h["x-countersign-serial"].lstrip("0") == gw.device.serial.lstrip("0")
    assert h["client-cert"].startswith(":") and "x-forwarded-client-cert" in h
    assert h["x-forwarded-for"] == "127.0.0.1" and h["x-forwarded-proto"] == "https"
    assert gw.up.last["path"] == "/x?y=1"


@pytest.mark.parametrize("name", ["X-Countersign-Identity", "x-countersign-IDENTITY", "X_Countersign_Identity", "X.Countersign-Identity",
                                  "Client-Cert", "Client_Cert", "X-Forwarded-Client-Cert", "X-Forwarded-For", "Forwarded"])
def test_nobody_else_may_say_it(gw, name):
    with gw.connect() as s:
        a = ask(s, f"GET / HTTP/1.1\r\nHost: localhost\r\n{name}: forged\r\nConnection: {name}\r\n\r\n")
    assert "forged" not in json.dumps(a.json()["headers"])
    assert told(a)["x-countersign-identity"] == "pump-17"


def test_many_requests_on_one_connection(gw):
    with gw.connect() as s:
        for i in range(50):
            assert ask(s, f"GET /{i} HTTP/1.1\r\nHost: localhost\r\n\r\n").json()["path"] == f"/{i}"


def test_pipelined_requests_are_answered_in_order(gw):
    with gw.connect() as s:
        s.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i for i in range(10)))
        f = s.makefile("rb")
        assert [read_answer(s, f).json()["path"] for _ in range(10)] == [f"/{i}" for i in range(10)]


def test_octet_by_octet(gw):
    with gw.connect() as s:
        for c in b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            s.sendall(bytes([c]))
        assert read_answer(s).body == b"abc"


@pytest.mark.parametrize("size", [0, 1, 16384, 300000, 4000000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_both_ways(gw, size, chunked):
    body = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000) + b"z" * (size % 1000)
    with gw.connect() as s:
        if chunked:
            data = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 70000]), body[i:i + 70000]) for i in range(0, size, 70000)) + b"0\r\n\r\n"
            head = b"Transfer-Encoding: chunked"
        else:
            data, head = body, b"Content-Length: %d" % size
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n" + data)
        a = read_answer(s)
        assert a.status == 200 and a.body == body
        assert ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200


def test_a_big_answer_to_a_slow_reader(gw):
    size = 20_000_000
    with gw.connect() as s:
        s.sendall(b"GET /big=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % size)
        time.sleep(1)
        with open(f"/proc/{gw.proc.pid}/status") as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        assert SANITIZED or rss < 120_000, "the answer is held in memory"
        a = read_answer(s)
        assert len(a.body) == size


def test_chunked_answers_head_and_close(gw):
    with gw.connect() as s:
        a = ask(s, "GET /chunked HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert a.headers["transfer-encoding"] == "chunked" and a.json()["path"] == "/chunked"
        a = ask(s, "HEAD /h HTTP/1.1\r\nHost: localhost\r\n\r\n", head=True)
        assert a.status == 200 and int(a.headers["content-length"]) > 0
        a = ask(s, "GET /close HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert a.json()["path"] == "/close"
        assert ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200


def test_http_1_0(gw):
    with gw.connect() as s:
        a = ask(s, "GET /chunked HTTP/1.0\r\n\r\n")
        assert a.status == 200 and "transfer-encoding" not in a.headers
        assert a.json()["path"] == "/chunked"


def test_an_answer_that_breaks_off_is_not_passed_as_whole(gw):
    with gw.connect() as s:
        with pytest.raises((EOFError, OSError)):
            ask(s, "GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n")


def test_expect_continue(gw):
    with gw.connect() as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        f = s.makefile("rb")
        assert f.readline() == b"HTTP/1.1 100 Continue\r\n"
        while f.readline().strip():
            pass
        s.sendall(b"abc")
        assert read_answer(s, f).body == b"abc"


def test_upgrade_makes_a_tunnel(gw):
    with gw.connect() as s:
        a = ask(s, "GET /upgrade HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert a.status == 101 and a.headers["upgrade"].lower() == "websocket"
        for word in (b"hello", b"x" * 3000):
            s.sendall(word)
            got = b""
            while len(got) < len(word):
                got += s.recv(4096)
            assert got == word.upper()


SMUGGLING = {
    "two lengths": "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length and chunked": "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd coding": "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "space before colon": "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n",
    "bare LF": "GET / HTTP/1.1\nHost: localhost\n\n",
    "folding": "GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: localhost\r\nHost: a.test\r\n\r\n",
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "bad chunk": "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    "sign": "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc",
}


@pytest.mark.parametrize("case", SMUGGLING)
def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(gw, case):
    with gw.connect() as s:
        f = s.makefile("rb")
        s.sendall(SMUGGLING[case].encode() + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        a = read_answer(s, f)
        assert a.status == 400 and a.headers["content-type"] == "application/problem+json"
        assert f.read() == b""
    assert gw.up.last is None or gw.up.last["path"] != "/smuggled"


def test_limits_of_head_and_body(gw):
    with gw.connect() as s:
        assert ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\nA: " + "x" * 40000 + "\r\n\r\n").status == 431
    with gw.connect() as s:
        assert ask(s, "GET /" + "x" * 9000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 414
    with gw.connect() as s:
        assert ask(s, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000001\r\n\r\n").status == 413


def test_sites_have_upstreams_of_their_own_and_hosts_keep_to_them(gw):
    assert gw.get(sni="a.test").json()["name"] == "other"
    for sni, host, want in [("localhost", "a.test", 421), ("a.test", "localhost", 421), ("a.test", "A.TEST:8443", 200),
                            ("localhost", "127.0.0.1", 200), ("a.test", "127.0.0.1", 421), ("a.test", "b.test", 421)]:
        with gw.connect(sni=sni) as s:
            a = ask(s, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert a.status == want, (sni, host)
            if want == 421:
                assert a.json()["reason"] == "host-misdirected"


def test_routes_lead_and_guard(gw):
    assert gw.get("/open/x", sni="b.test").json()["name"] == "other"
    assert gw.get("/openx", sni="b.test").json()["name"] == "up"
    assert gw.get("/pumps/1", sni="b.test").status == 200
    hits = gw.up.hits
    a = gw.get("/people/1", sni="b.test")
    assert a.status == 403 and a.json()["reason"] == "identity-not-allowed"
    for path in ("//people/1", "/x/../people", "/%70eople/../people", "/people%2f1", "/./people", "/people;x"):
        assert gw.get(path, sni="b.test").status in (400, 403), path
    assert gw.up.hits == hits


def test_where_no_route_leads(gw):
    c = gw.context()
    c.check_hostname = False
    a = gw.get("/there", sni="only.test", context=c)
    assert a.status == 404 and a.json()["reason"] == "route-unknown"


def test_a_slow_head_and_an_idle_connection_end(gw):
    with gw.connect() as s:
        s.sendall(b"GET / HT")
        start = time.monotonic()
        for _ in range(30):
            time.sleep(0.15)
            try:
                s.sendall(b"x")
            except OSError:
                break
            if time.monotonic() - start > 2.4:
                break
        assert read_answer(s).status == 408
    with gw.connect() as s:
        s.settimeout(10)
        assert s.recv(10) == b""


def test_an_upstream_that_is_slow_or_gone(gw, tmp_path):
    a = gw.get("/slow=3.5")
    assert a.status == 504 and a.json()["reason"] == "upstream-timeout"
    g = Gateway(tmp_path, sites=[{"name": "*", "upstream": "http://127.0.0.1:9"}]).start()
    try:
        a = g.get()
        assert a.status == 502 and a.json()["reason"] == "upstream-unreachable"
        assert "127.0.0.1:9" not in a.body.decode(), "details are for the operator"
    finally:
        assert g.stop() == 0
        g.close()


def test_a_restarted_upstream_is_found_again(tmp_path):
    g = Gateway(tmp_path).start()
    try:
        with g.connect() as s:
            assert ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
            port = g.up.port
            g.up.close()
            import http.server
            from gateway_kit import _Handler
            g.up.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Handler)
            g.up.server.daemon_threads, g.up.server.kit = True, g.up
            threading.Thread(target=g.up.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            assert ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
    finally:
        assert g.stop() == 0
        g.close()


def test_metrics_and_plain_listener(gw):
    with urllib.request.urlopen(f"http://127.0.0.1:{gw.metrics_port}/metrics") as r:
        text = r.read().decode()
    assert 'countersign_requests_total{status="2xx"}' in text and "countersign_handshakes_total" in text
    for method, path, want in (("GET", "/", 404), ("POST", "/crl/issuing.crl", 405), ("GET", "/crl/issuing.crl", 503),
                               ("GET", "/x/../crl/y", 404)):
        with socket.create_connection(("127.0.0.1", gw.http)) as s:
            assert ask(s, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n").status == want, path


# ---- reload, drain, limits ----
def test_a_reload_changes_sites_without_dropping_anybody(tmp_path):
    g, other = Gateway(tmp_path), Upstream("other")
    g.start()
    try:
        with g.connect() as s:
            assert ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").json()["name"] == "up"
            g.sites[0]["upstream"] = other.url
            g.configure()
            g.reload()
            assert ask(s, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").json()["name"] == "other"
        (tmp_path / "c.yaml").write_text("nonsense: [")
        g.reload("reload-failed")
        assert g.get().status == 200
        g.configure()
        g.server.crt.write_bytes(g.device.crt.read_bytes())  # not its key
        g.reload("reload-failed")
        assert g.events("reload-failed")[-1]["reason"] == "key-mismatch"
        assert g.get().status == 200
    finally:
        assert g.stop() == 0
        g.close()
        other.close()


def test_a_drain_finishes_what_is_under_way(tmp_path):
    g = Gateway(tmp_path, limits={"drain": "10s"}).start()
    try:
        with g.connect() as busy, g.connect() as idle:
            ask(idle, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            busy.sendall(b"GET /slow=1.5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.3)
            g.proc.terminate()
            idle.settimeout(5)
            assert idle.recv(10) == b""
            a = read_answer(busy)
            assert a.status == 200 and a.headers.get("connection") == "close"
            time.sleep(0.1)
            with pytest.raises(OSError):
                g.connect()
        g.proc.wait(5)
        assert g.stop() == 0
    finally:
        g.close()


def test_a_drain_ends_in_time(tmp_path):
    g = Gateway(tmp_path, limits={"drain": "1s"}).start()
    try:
        with g.connect() as s:
            s.sendall(b"GET /slow=8 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.3)
            start = time.monotonic()
            assert g.stop() == 0
            assert time.monotonic() - start < 4
    finally:
        g.close()


def test_connections_are_limited(tmp_path):
    g = Gateway(tmp_path, limits={"connections_per_address": 3}).start()
    try:
        held = [g.connect() for _ in range(3)]
        with pytest.raises(OSError):
            g.connect()
        assert g.events("connection-refused")[-1]["reason"] == "too-many-connections"
        held.pop().close()
        wait_for(lambda: can(g), say="no place was made")
    finally:
        assert g.stop() == 0
        g.close()


def can(g):
    try:
        return g.get().status == 200
    except OSError:
        return False


def test_a_second_gateway_on_the_same_port_is_refused(gw, tmp_path):
    g = Gateway(tmp_path)
    g.https = gw.https
    with pytest.raises(AssertionError) as e:
        g.start()
    assert "port-in-use" in str(e.value)
    g.close()
