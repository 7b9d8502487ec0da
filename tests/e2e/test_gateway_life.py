"""A gateway alone: revocation by the feed and by CRL files, reload, limits, shutdown, what it says in the log."""
import select
import signal
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import mint
import pytest
from conftest import LIBEXEC, PATIENCE, free_port, run, wait_for
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from gateway import CA, SECOND, V12, V13, Client, Gateway
from test_gateway_sites import site

BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
KEEP = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.fixture()
def lone():
    made = []

    def make(sites=None, **how):
        g = Gateway(sites or site("a.test", "require", "ca1"), **how)
        g.ca = CA(g.folder, "ca1")
        g.one, g.two = g.ca.client("one"), g.ca.client("two")
        made.append(g)
        return g
    yield make
    for g in made:
        g.close()


def ask(s):
    """One request on an open connection; the whole answer."""
    s.sendall(KEEP)
    head = b""
    while b"\r\n\r\n" not in head:
        more = s.recv(65536)
        assert more, "closed"
        head += more
    head, _, body = head.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        more = s.recv(65536)
        assert more, "closed"
        body += more
    return int(head.split()[1])


def closed_within(s, seconds):
    """Is the connection ended by the other side in that time?"""
    s.settimeout(seconds)
    try:
        while s.recv(65536):
            pass
        return True
    except TimeoutError:
        return False
    except (ssl.SSLError, ConnectionError):
        return True


def refused(g, context, reason, alert=None, **how):
    at = len(g.log())
    v = g.visit(context, **how)
    assert v.status == 0, v
    if alert:
        assert alert in v.alert, v
    line = wait_for(lambda: next((ln for ln in g.log()[at:].splitlines() if reason in ln), None),
                    say=f"no line says {reason}: {g.log()[at:]}")
    return line


# ---- revocation ----

@BOTH
def test_the_feed_refuses_new_handshakes_and_sessions_and_closes_live_ones(lone, version):
    g = lone(authority=True)
    g.start()
    c1, c2 = g.context(g.one, version), g.context(g.two, version)
    session = g.visit(c1).session
    with g.connect(c1) as live, g.connect(c2) as other:
        for s in (live, other):
            assert ask(s) == 200
        g.feed.revoke(g.ca, g.one, 1)
        assert closed_within(live, SECOND)
        assert not closed_within(other, 0.3)
    refused(g, c1, "revoked", "CERTIFICATE_REVOKED")
    v = g.visit(c1, session=session)
    assert v.status == 0 and not v.reused, v
    assert g.visit(c2).status == 200


def test_a_released_certificate_is_let_in_again(lone):
    g = lone(authority=True)
    g.feed.revoke(g.ca, g.one, 6)
    g.start()
    assert g.visit(g.context(g.one)).status == 0, "ready before the feed's first set"
    g.feed.revoke(g.ca, g.one, 8)
    wait_for(lambda: g.visit(g.context(g.one)).status == 200, SECOND, every=0.1)


def test_the_feed_is_found_again_and_what_was_missed_counts(lone):
    g = lone(authority=True)
    g.start()
    assert g.visit(g.context(g.one)).status == 200
    with g.connect(g.context(g.one)) as live:
        assert ask(live) == 200
        g.feed.drop()
        g.feed.revoke(g.ca, g.one)
        assert closed_within(live, 5 * PATIENCE)
    wait_for(lambda: g.visit(g.context(g.one)).status == 0, 5)
    assert g.visit(g.context(g.two)).status == 200


def test_a_first_set_that_was_cut_off_is_asked_for_again(lone):
    """Half of the set came, then the authority died: the gateway may not go on from there."""
    g = lone(authority=True)
    g.feed.half = 1
    g.feed.revoke(g.ca, g.one)
    g.feed.revoke(g.ca, g.two)
    g.start()
    assert g.feed.hellos == [0, 0], "what was not taken into the set was taken for heard"
    assert g.visit(g.context(g.one)).status == 0
    assert g.visit(g.context(g.two)).status == 0


def test_a_reload_while_a_request_waits_for_its_upstream(lone):
    g = lone(more="limits:\n  upstream: 2s")
    g.upstream.hold = 4.0
    g.start()
    got = []
    t = threading.Thread(target=lambda: got.append(g.visit(g.context(g.one))))
    t.start()
    wait_for(lambda: g.upstream.heads)
    for _ in range(3):
        g.reload("reloaded")
    t.join()
    assert got[0].status == 504
    assert f'"detail":"{g.upstream.url}' in g.log(), "the upstream is not named"


def test_a_silent_feed_stops_new_handshakes_after_its_grace(lone):
    g = lone(authority=True, more="revocation_grace: 3s")
    g.start()
    context = g.context(g.one)
    session = g.visit(context).session
    with g.connect(context) as live:
        assert ask(live) == 200
        g.feed.beating = False
        wait_for(lambda: g.visit(g.context(g.two)).status == 0, 8, every=0.3)
        refused(g, g.context(g.two), "revocation-unknown")
        assert g.visit(context, session=session).status == 0, "resumed though revocation is unknown"
        assert ask(live) == 200, "who was admitted stays"
    g.feed.beating = True
    wait_for(lambda: g.visit(g.context(g.two)).status == 200, 5, every=0.2)


def test_not_ready_before_the_first_sync(lone):
    g = lone(authority=True)
    g.feed.lock.acquire()  # the authority takes the call, but says nothing
    g.start(wait=False)
    time.sleep(1)
    assert not select.select([g.notify], [], [], 0.2)[0], "said ready without the feed"
    g.feed.lock.release()
    assert select.select([g.notify], [], [], 5 * PATIENCE)[0]


@pytest.mark.parametrize("octets", [b"\0\0\0\2\0\x63", b"\xff\xff\xff\xff\0\3", b"\0\0\0\4\0\3\1\2", b"\0\0\0\0"],
                         ids=["unknown type", "oversize", "truncated entry", "empty frame"])
def test_a_feed_that_breaks_its_wall_is_left_and_called_again(lone, octets):
    g = lone(authority=True)
    g.start()
    g.feed.send(octets)
    wait_for(lambda: len(g.feed.hellos) >= 2, 8, say=g.log()[-2000:])
    assert g.visit(g.context(g.one)).status == 200


def test_a_crl_file_counts_and_is_followed_by_reload(lone):
    crl = "    client_crl: @FOLDER@/ca1.crl\n"
    g = lone(site("a.test", "require", "ca1", crl))
    g.ca.crl(g.folder / "ca1.crl", g.two)
    g.start()
    c1, c2 = g.context(g.one), g.context(g.two)
    refused(g, c2, "revoked", "CERTIFICATE_REVOKED")
    session = g.visit(c1).session
    with g.connect(c1) as live:
        assert ask(live) == 200
        g.ca.crl(g.folder / "ca1.crl", g.two, g.one)
        g.reload("reloaded")
        assert closed_within(live, 2 * SECOND), "a live connection outlives a new CRL"
    wait_for(lambda: g.visit(c1, session=session).status == 0, SECOND)


def test_w32_a_reload_takes_no_older_crl_file(lone):
    g = lone(site("a.test", "require", "ca1", "    client_crl: @FOLDER@/ca1.crl\n"))
    path = g.folder / "ca1.crl"
    g.ca.crl(path, number=4)
    older = path.read_bytes()
    g.ca.crl(path, g.two, number=5)
    g.start()
    refused(g, g.context(g.two), "revoked", "CERTIFICATE_REVOKED")
    path.write_bytes(older)
    assert "crl-rollback" in g.reload("reload-failed")
    refused(g, g.context(g.two), "revoked", "CERTIFICATE_REVOKED")
    g.ca.crl(path, number=5)  # released by a newer list
    g.ca.crl(path, number=6)
    g.reload("reloaded")
    assert g.visit(g.context(g.two)).status == 200


# ---- reload ----

@pytest.mark.parametrize("what", ["unknown key", "missing file", "empty CA", "a key as CA", "half a PEM", "key of another",
                                  "a folder", "truncated CRL"])
def test_w12_a_bad_reload_keeps_what_was(lone, what):
    g = lone()
    g.start()
    good = g.conf.read_text()
    extra, path = "", g.folder / "bad.pem"
    if what == "unknown key":
        g.conf.write_text(good + "nonsense: 1\n")
    else:
        ca = {"empty CA": b"", "a key as CA": g.one.key.read_bytes(), "half a PEM": g.ca.path.read_bytes()[:300],
              "truncated CRL": b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n"}.get(what)
        if ca is not None:
            path.write_bytes(ca)
        elif what == "a folder":
            path.mkdir()
        if what == "key of another":
            g.conf.write_text(good.replace("server.key", "one.key"))
        elif what == "truncated CRL":
            g.conf.write_text(good + f"    client_crl: {path}\n")
        else:
            g.conf.write_text(good.replace("/ca1.pem", "/bad.pem"))
    at = len(g.log())
    with g.connect(g.context(g.one)) as live:
        g.signal(signal.SIGHUP)
        wait_for(lambda: "reload" in g.log()[at:], say="nothing in the log")
        assert any(w in g.log()[at:] for w in ("config-invalid", "file-", "key-mismatch", "crl-", "no-trust-anchor",
                                               "certificate-")), g.log()[at:]
        assert ask(live) == 200
    assert g.visit(g.context(g.one)).status == 200
    assert g.visit(g.context()).status == 0, "client authentication was lost"
    # and at the start the same fault is fatal
    assert g.stop() == 0
    done = subprocess.run([LIBEXEC / "countersign-gateway", "-c", g.conf], capture_output=True, timeout=20 * PATIENCE)
    assert done.returncode in (1, 2), done.stderr
    assert extra == ""


def test_a_reload_serves_the_new_certificate_and_drops_no_connection(lone):
    g = lone()
    g.start()
    context = g.context(g.one)
    stop, failed = threading.Event(), []

    def visit():
        while not stop.is_set():
            v = g.visit(context)
            if v.status != 200:
                failed.append(v)
    workers = [threading.Thread(target=visit) for _ in range(3)]
    for w in workers:
        w.start()
    with g.connect(context) as live:
        serials = set()
        for i in range(5):
            fresh = g.root.server(f"server{i}", "a.test")
            (g.folder / "server.crt").write_bytes(fresh.crt.read_bytes())
            (g.folder / "server.key").write_bytes(fresh.key.read_bytes())
            g.reload("reloaded")

            def fresh_served():
                with g.connect(context) as s:
                    return int(s.getpeercert()["serialNumber"], 16) == fresh.cert.serial_number
            wait_for(fresh_served, 2, every=0.01, say="the old certificate is still served")
            serials.add(fresh.cert.serial_number)
            assert ask(live) == 200
        assert len(serials) == 5
    stop.set()
    for w in workers:
        w.join()
    assert not failed, failed[:3]


def test_a_site_that_trusts_the_client_no_more_closes_its_connection(lone):
    g = lone()
    other = CA(g.folder, "ca2")
    g.start()
    with g.connect(g.context(g.one)) as live:
        assert ask(live) == 200
        g.conf.write_text(g.conf.read_text().replace("/ca1.pem", "/ca2.pem"))
        g.reload("reloaded")
        assert closed_within(live, 2 * SECOND)
    refused(g, g.context(g.one), "unknown-issuer")
    assert g.visit(g.context(other.client("three"))).status == 200


# ---- start and end ----

def test_an_occupied_port_is_named(lone):
    g = lone()
    with socket.create_server(("127.0.0.1", g.https)):
        done = subprocess.run([LIBEXEC / "countersign-gateway", "-c", g.conf], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "port-in-use" in done.stderr and str(g.https) in done.stderr


def test_a_second_gateway_on_the_same_port_is_refused(lone):
    g = lone()
    g.start()
    done = subprocess.run([LIBEXEC / "countersign-gateway", "-c", g.conf], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "port-in-use" in done.stderr


def test_sigterm_lets_requests_end_and_exits_0(lone):
    g = lone()
    g.upstream.hold = 1.0
    g.start()
    got = []
    t = threading.Thread(target=lambda: got.append(g.visit(g.context(g.one))))
    with g.connect(g.context(g.two)) as idle:
        t.start()
        wait_for(lambda: g.upstream.heads)
        g.signal(signal.SIGTERM)
        assert closed_within(idle, 2 * SECOND), "an idle connection holds up the end"
        t.join()
    assert got[0].status == 200, got
    assert g.proc.wait(5 * PATIENCE) == 0
    with pytest.raises(ConnectionRefusedError):
        g.raw()


# ---- limits ----

def test_w68_a_slow_handshake_is_ended_and_logged(lone):
    g = lone(more="limits:\n  handshake: 1s")
    g.start()
    at = len(g.log())
    with g.raw() as never, g.raw() as half:
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        assert closed_within(never, 3 * SECOND) and closed_within(half, 3 * SECOND)
    wait_for(lambda: g.log()[at:].count("handshake-timeout") >= 1, say=g.log()[at:])


def test_w68_slow_headers_and_silence_are_ended(lone):
    g = lone(more="limits:\n  header: 1s\n  idle: 2s")
    g.start()
    context = g.context(g.one)
    with g.connect(context) as slow:
        t0 = time.monotonic()
        slow.sendall(b"GET / HT")
        got = b""
        slow.settimeout(5 * PATIENCE)
        try:
            while more := slow.recv(4096):
                got += more
        except (ssl.SSLError, ConnectionError):
            pass
        assert time.monotonic() - t0 < 3 * SECOND
        assert got == b"" or b" 408 " in got
    with g.connect(context) as idle:
        assert ask(idle) == 200
        t0 = time.monotonic()
        assert closed_within(idle, 5 * PATIENCE)
        assert 1.5 < time.monotonic() - t0 < 4 * SECOND


def test_connections_of_one_address_are_limited_and_freed(lone):
    g = lone(more="limits:\n  connections_per_address: 5", threads=1)
    g.start()
    context = g.context(g.one)
    held = [g.connect(context) for _ in range(5)]
    assert g.visit(context).status == 0
    wait_for(lambda: "too-many-connections" in g.log(), say=g.log())
    held.pop().close()
    wait_for(lambda: g.visit(context).status == 200, 3, every=0.1)
    for s in held:
        s.close()


def test_a_body_over_its_limit_is_413(lone):
    g = lone(more="limits:\n  body: 1000")
    g.start()
    with g.connect(g.context(g.one)) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001)
        assert b" 413 " in s.recv(65536)


def test_an_upstream_that_is_not_there_or_silent(lone):
    dead = f"    upstream: http://127.0.0.1:{free_port()}\n"
    g = lone(site("a.test", "require", "ca1", dead) + site("b.test", "require", "ca1"), more="limits:\n  upstream: 1s")
    g.start()
    v = g.visit(g.context(g.one))
    assert v.status == 502 and "upstream-unreachable" in v.text
    g.upstream.hold = 3.0
    v = g.visit(g.context(g.one), "b.test")
    assert v.status == 504 and "upstream-timeout" in v.text


# ---- what it says ----

def test_one_line_for_each_refusal_with_all_that_matters(lone):
    g = lone()
    foreign = CA(g.folder, "foreign").client("stranger")
    server = g.ca.client("not-a-client", eku=(EKU.SERVER_AUTH,))
    g.start()
    for client, reason in ((foreign, "unknown-issuer"), (server, "eku-missing-client-auth")):
        for version in (V12, V13):
            line = refused(g, g.context(client, version), reason)
            for what in ("127.0.0.1", f"{client.cert.serial_number:x}", "a.test", client.cert.issuer.rfc4514_string()[3:]):
                assert what in line, (what, line)
            assert sum(reason in ln for ln in g.log().splitlines()) == (1 if version == V12 else 2), g.log()
    refused(g, g.context(None, V13), "certificate-required", "CERTIFICATE_REQUIRED")
    refused(g, g.context(None, V12), "certificate-required")
    at = len(g.log())
    with g.raw() as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        closed_within(s, 2 * SECOND)
    wait_for(lambda: "tls-not-tls" in g.log()[at:], say=g.log()[at:])
    at = len(g.log())
    run("openssl", "s_client", "-connect", f"127.0.0.1:{g.https}", "-servername", "a.test", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", input="")
    wait_for(lambda: "tls-version-unsupported" in g.log()[at:], say=g.log()[at:])


def test_w71_names_cannot_forge_log_lines(lone):
    g = lone()
    nasty = 'x\r\n{"event":"forged"}\x1b[2J\u2028"q'
    g.start()
    cert, keyobj = mint.foreign_ca(nasty[:60])
    crt, key = mint.leaf(g.folder, (cert, keyobj), "plain")
    at = len(g.log())
    assert g.visit(g.context(Client(crt, key))).status == 0
    wait_for(lambda: "handshake-refused" in g.log()[at:], say=g.log()[at:])
    lines = g.log()[at:].splitlines()
    assert len(lines) == 1, lines
    assert "\x1b" not in lines[0] and "\u2028" not in lines[0]
    assert not g.events("forged", at)


def test_metrics_count_and_are_on_their_own_port(lone):
    g = lone()
    g.start()
    context = g.context(g.one)
    s = g.visit(context).session
    assert g.visit(context, session=s).reused
    g.visit(g.context())
    with urllib.request.urlopen(f"http://127.0.0.1:{g.metrics_port}/metrics") as r:
        assert r.headers["Content-Type"].startswith("text/plain")
        text = r.read().decode()
    run("true")
    assert 'countersign_handshakes_refused_total{reason="certificate-required"} 1' in text, text
    assert "countersign_handshakes_total{" in text and "countersign_requests_total{" in text


def test_a_remembered_verdict_is_counted_and_tells_the_same(lone):
    g = lone(site("a.test", "require", "ca1") + site("b.test", "require", "ca2"), threads=1)
    CA(g.folder, "ca2")
    g.start()

    def count(name):
        with urllib.request.urlopen(f"http://127.0.0.1:{g.metrics_port}/metrics") as r:
            return next(float(ln.split()[-1]) for ln in r.read().decode().splitlines() if ln.startswith(name))
    told = [re.sub(r"(?m)^Date: .*$", "Date:", g.visit(g.context(g.one)).text) for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert "Client-Cert: :" in told[2]
    assert count("countersign_verdicts_cached_total") == 2
    assert count("countersign_verify_seconds_count") == 3
    assert g.visit(g.context(g.one), "b.test").status == 0, "a verdict of one site counted at another"
    assert count("countersign_verdicts_cached_total") == 2


# ---- the door for WebSocket, and only for it ----

def test_websocket_is_tunnelled_after_101_and_ends_with_revocation(lone):
    g = lone(authority=True)
    g.start()
    upgrade = (b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    with g.connect(g.context(g.one)) as s:
        s.sendall(upgrade)
        assert b" 101 " in s.recv(65536)
        for i in range(3):
            s.sendall(b"frame %d" % i)
            assert s.recv(65536) == b"echo frame %d" % i
        g.feed.revoke(g.ca, g.one)
        assert closed_within(s, SECOND)


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_only_modern_suites_and_no_renegotiation(lone, option):
    g = lone()
    g.start()
    weak = {"-tls1_2": ["-cipher", "AES128-SHA:AES256-SHA256:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
            "-tls1_3": ["-groups", "P-256", "-sigalgs", "ECDSA+SHA1"]}[option]
    base = ["openssl", "s_client", "-connect", f"127.0.0.1:{g.https}", "-servername", "a.test", "-cert", g.one.crt,
            "-key", g.one.key, option]
    assert run(*base, *weak, input="").returncode != 0
    if option == "-tls1_2":
        p = subprocess.Popen([*map(str, base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
        time.sleep(0.5 * PATIENCE)
        p.stdin.write("R\n")
        p.stdin.flush()
        time.sleep(0.5 * PATIENCE)
        out = p.communicate(timeout=10)[0]
        assert "RENEGOTIATING" in out and ("no renegotiation" in out or "no_renegotiation" in out), out[-500:]


# ---- routes ----

def test_routes_choose_who_may_pass(lone):
    routes = ("    routes:\n      - path: /\n      - path: /admin\n        allow:\n          - kind: device\n            name: adm-*\n"
              "      - path: /users\n        allow:\n          - kind: user\n")
    g = lone(site("a.test", "optional", "ca1", routes))
    boss = g.ca.client("adm-1")
    g.start()
    for client, path, status in ((g.one, "/", 200), (g.one, "/admin", 403), (g.one, "/admin/x", 403), (boss, "/admin", 200),
                                 (g.one, "/administer", 200), (boss, "/users", 403), (None, "/", 200), (None, "/admin", 403),
                                 (g.one, "/%61dmin", 403), (g.one, "/%61%64%6d%69%6e/x", 403), (boss, "/%61dmin", 200)):
        before = len(g.upstream.heads)
        v = g.visit(g.context(client), path=path)
        assert v.status in ((status, 401) if client is None and status == 403 else (status,)), (client, path, v)
        assert (len(g.upstream.heads) > before) == (v.status == 200)
        if v.status == 403:
            assert "identity-not-allowed" in v.text and "application/problem+json" in v.text
    for path in ("/x/../admin", "//admin", "/admin%2fx", "/./admin", "/admin;x", "/ADMIN%00", "/%2561dmin", "/x/%2e%2e/admin",
                 "/\\admin", "/%5cadmin"):
        before = len(g.upstream.heads)
        v = g.visit(g.context(g.one), path=path)
        assert v.status in (400, 403), (path, v)
        assert len(g.upstream.heads) == before
