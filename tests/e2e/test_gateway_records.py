"""Our own record layer of TLS 1.3 (tls_records: own), and libssl's beside it, with clients of others: OpenSSL, GnuTLS, curl, and one
that writes its records itself."""
import os
import queue
import re
import socket
import ssl
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
from cryptography.exceptions import InvalidTag

from conftest import PATIENCE, SANITIZED, run, wait_for
from gateway_kit import Gateway, ask, read_answer
from tls_script import ALERT, DATA, HANDSHAKE, Keys13, Script, expand

REQUEST = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module", params=["own", "libssl"])
def gw(request, tmp_path_factory):
    g = Gateway(tmp_path_factory.mktemp("records"), sites=[{"name": "*"}, {"name": "a.test"}], tls_records=request.param).start()
    yield g
    g.close()


class Talk:
    """A program on whose standard input we type, and whose output we read as it comes."""

    def __init__(self, *command):
        self.p = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen, self.lines = "", queue.Queue()
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        while data := os.read(self.p.stdout.fileno(), 65536):
            self.lines.put(data.decode(errors="replace"))

    def say(self, text):
        self.p.stdin.write(text.encode())
        self.p.stdin.flush()

    def wait_for(self, pattern):
        until = time.monotonic() + 15 * PATIENCE
        while not re.search(pattern, self.seen, re.S):
            assert time.monotonic() < until, self.seen[-3000:]
            try:
                self.seen += self.lines.get(timeout=0.2)
            except queue.Empty:
                pass
        self.seen = self.seen[re.search(pattern, self.seen, re.S).end():]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        self.p.terminate()
        self.p.wait(10)


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_openssl_updates_its_keys_and_ours(gw, suite):
    with Talk("openssl", "s_client", "-connect", f"127.0.0.1:{gw.https}", "-servername", "localhost", "-CAfile", gw.dir / "root.crt",
              "-cert", gw.device.crt, "-cert_chain", gw.device.crt, "-key", gw.device.key, "-ciphersuites", suite) as t:
        for key in ("", "k\n", "K\n", "K\n", "k\n"):
            if key:
                t.say(key)
                t.wait_for("KEYUPDATE")
            t.say(REQUEST)
            t.wait_for(r"HTTP/1.1 200.*\"name\": \"up\"")
    wait_for(lambda: any(e.get("cipher") == suite for e in gw.events("request")))


def test_gnutls_updates_its_keys_and_ours(gw):
    with Talk("gnutls-cli", "--port", gw.https, "localhost", "--x509cafile", gw.dir / "root.crt", "--x509certfile", gw.device.crt,
              "--x509keyfile", gw.device.key, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "--inline-commands") as t:
        t.wait_for("Handshake was completed")
        for command in ("", "^rekey^\n", "^rekey1^\n", "^rekey^\n"):
            if command:
                t.say(command)
                time.sleep(0.3)
            t.say(REQUEST)
            t.wait_for(r"HTTP/1.1 200.*\"name\": \"up\"")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_moves_much_both_ways(gw, version, tmp_path):
    body = os.urandom(3_000_000)
    (tmp_path / "body").write_bytes(body)
    # gateway_kit's upstream answers what it got
    run("curl", "-sS", "--fail", version, "--tlsv1.3", "--cacert", gw.dir / "root.crt", "--cert", gw.device.crt, "--key", gw.device.key,
        "--resolve", f"localhost:{gw.https}:127.0.0.1", f"https://localhost:{gw.https}/echo", "--data-binary", f"@{tmp_path}/body",
        "-o", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == body


def test_what_comes_with_the_end_of_the_handshake_is_heard(gw):
    """Finished and three requests in one segment."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = gw.context(version=ssl.TLSVersion.TLSv1_3).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", gw.https), timeout=10 * PATIENCE) as s:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                s.sendall(outgoing.read())
                incoming.write(s.recv(65536))
        for path in ("one", "two", "three"):
            tls.write(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        s.sendall(outgoing.read())
        out = b""
        while out.count(b"HTTP/1.1 200") < 3 or not out.endswith(b"}"):
            try:
                out += tls.read(65536)
            except ssl.SSLWantReadError:
                data = s.recv(65536)
                assert data, out
                incoming.write(data)
        assert [out.index(f'"/{p}"'.encode()) for p in ("one", "two", "three")] == sorted(out.index(f'"/{p}"'.encode()) for p in ("one", "two", "three"))


def test_sessions_are_resumed(gw):
    context = gw.context(version=ssl.TLSVersion.TLSv1_3)
    with gw.connect(context=context) as s:
        assert ask(s, REQUEST).status == 200
        session = s.session
    with gw.connect(context=context, session=session) as s:
        assert s.session_reused and ask(s, REQUEST).status == 200


def test_an_end_is_said_and_heard(gw):
    with gw.connect(version=ssl.TLSVersion.TLSv1_3) as s:
        s.sendall(REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
        assert read_answer(s).status == 200
        s.suppress_ragged_eofs = False
        assert s.recv(1) == b""  # close_notify, or this raises
        s.unwrap().close()


# ---- a client that writes its records itself ----
def script(gw):
    t = Script(gw.https, "a.test", SimpleNamespace(crt=gw.device.crt, key=gw.device.key))
    t.hello()
    for step in ("Certificate", "Verify", "Finished"):
        t.step(step)
    t.write_keys, t.read_keys = Keys13(t.client_app), Keys13(t.server_app)
    return t


def get(t):
    t.send_record(DATA, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    out = b""
    while not out.endswith(b"}"):
        kind, data = t.record()
        out += data if kind == DATA else b""
    return out


def next_keys(keys):
    return Keys13(expand(keys.secret, b"traffic upd", b"", 32))


def alert_of(t):
    try:
        while True:
            kind, data = t.record()
            if kind == ALERT:
                return data[1]
    except (ConnectionError, InvalidTag, TimeoutError) as e:
        return repr(e)


def padded(t, kind, data, zeros):
    head = b"\x17\x03\x03" + (len(data) + 17 + zeros).to_bytes(2, "big")
    keys = t.write_keys
    t.sock.sendall(head + keys.aead.encrypt(keys.nonce(), data + bytes([kind]) + bytes(zeros), head))


def test_padding_and_pieces_are_fine(gw):
    t = script(gw)
    assert b"200 OK" in get(t)
    padded(t, DATA, b"GET / HTTP/1.1\r\nHo", 5000)
    padded(t, DATA, b"", 100)
    padded(t, DATA, b"st: a.test\r\n\r\n", 0)
    assert t.record()[0] == DATA
    t.read_keys = t.write_keys = None
    t.sock.close()


@pytest.mark.parametrize("ask_too", [0, 1])
def test_key_updates_are_followed_and_answered(gw, ask_too):
    t = script(gw)
    assert b"200 OK" in get(t)
    for octet in bytes([24, 0, 0, 1, ask_too]):  # each in a record of its own
        t.send_record(HANDSHAKE, bytes([octet]))
    t.write_keys = next_keys(t.write_keys)
    t.send_record(DATA, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    if ask_too:
        kind, data = t.record()
        assert kind == HANDSHAKE and data == bytes([24, 0, 0, 1, 0])
        t.read_keys = next_keys(t.read_keys)
    assert b"200 OK" in get(t)
    t.sock.close()


WRONG = {
    "a changed record": (20, lambda t: t.sock.sendall(t.write_keys.seal(DATA, b"GET / HT")[:-1] + b"\0")),
    "a record again": (20, lambda t: t.sock.sendall(t.write_keys.seal(DATA, b"\r\n") * 2)),
    "a record in the clear": (10, lambda t: t.sock.sendall(b"\x15\x03\x03\x00\x02\x01\x00")),
    "too long": (22, lambda t: t.sock.sendall(b"\x17\x03\x03\x41\x01")),
    "a hello": (10, lambda t: t.send_record(HANDSHAKE, bytes([1, 0, 0, 0]))),
    "a certificate": (10, lambda t: t.send_record(HANDSHAKE, bytes([11, 0, 0, 4, 0, 0, 0, 0]))),
    "a strange KeyUpdate": (47, lambda t: t.send_record(HANDSHAKE, bytes([24, 0, 0, 1, 2]))),
    "two messages": (10, lambda t: t.send_record(HANDSHAKE, bytes([24, 0, 0, 1, 0, 24, 0, 0, 1, 0]))),
    "nothing but zeros": (10, lambda t: padded(t, 0, b"", 20)),
    "a flood of KeyUpdates": (10, lambda t: flood(t)),
}


def flood(t):
    for _ in range(40):
        t.send_record(HANDSHAKE, bytes([24, 0, 0, 1, 0]))
        t.write_keys = next_keys(t.write_keys)


@pytest.mark.parametrize("what", WRONG)
def test_who_breaks_the_rules_gets_an_alert(gw, what):
    alert, act = WRONG[what]
    t = script(gw)
    assert b"200 OK" in get(t)
    hits = gw.up.hits
    act(t)
    said = alert_of(t)
    if what == "a flood of KeyUpdates":  # the octets that were not read may make the kernel drop the alert
        assert said == alert or "Connection" in repr(said) or "closed" in repr(said), said
    else:
        assert said == alert
    with pytest.raises((ConnectionError, InvalidTag)):
        t.record()
    assert gw.up.hits == hits
    assert gw.get().status == 200


def test_a_revoked_client_is_told_so_while_its_connection_is_open(tmp_path):
    g = Gateway(tmp_path, sites=[{"name": "*", "client_crl": "c.crl"}], tls_records="own")
    g.issuing.crl(tmp_path / "c.crl")
    g.start()
    try:
        with g.connect(version=ssl.TLSVersion.TLSv1_3) as s:
            assert ask(s, REQUEST).status == 200
            g.issuing.crl(tmp_path / "c.crl", g.device)
            g.reload()
            with pytest.raises(ssl.SSLError, match="(?i)certificate.revoked"):
                s.recv(1)
    finally:
        g.close()


# ---- memory ----
def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"Pss:\s+(\d+)", f.read())[1])


def settled(pid):
    """When idle connections have given back what they had: no change for half a second."""
    seen = [resident(pid)]
    while len(seen) < 20 and (len(seen) < 6 or len(set(seen[-6:])) > 1):
        time.sleep(0.1)
        seen.append(resident(pid))
    return seen[-1]


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own memory is not ours to measure")
def test_an_idle_connection_of_ours_holds_a_third(tmp_path_factory):
    """PSS of 300 that wait, each after one request, beside the same with libssl's records."""
    each = {}
    for records in ("libssl", "own"):
        g = Gateway(tmp_path_factory.mktemp("idle"), tls_records=records, threads=1, limits={"connections_per_address": 1000}).start()
        try:
            context = g.context(version=ssl.TLSVersion.TLSv1_3)
            warm = [g.connect(context=context) for _ in range(50)]
            for s in warm:
                assert ask(s, REQUEST).status == 200
            before = settled(g.proc.pid)
            held = [g.connect(context=context) for _ in range(300)]
            for s in held:
                assert ask(s, REQUEST).status == 200
            each[records] = (settled(g.proc.pid) - before) / 300
            for s in warm + held:  # they wake up again
                assert ask(s, REQUEST).status == 200
                s.close()
        finally:
            g.close()
    assert each["own"] < each["libssl"] / 2.5 and each["own"] < 8, each
