"""W29: a verdict is worth what the paths behind it make of it. Every way into the gateway, for every reason to be refused: the service
behind it sees nothing, whatever was said about the certificate."""
import datetime as dt
import itertools
import socket
import ssl
import struct
import threading

import h2.connection
import h2.events
import pytest
from conftest import PATIENCE, free_port
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from gateway import CA, V12, V13, Gateway
from test_gateway_sites import site

DAY = dt.timedelta(days=1)
WAYS = ["h1", "h2", "h1 of its own", "h1 behind tcp", "stream", "stream of its own", "postgres"]
REASONS = ["none", "stranger", "expired", "not yet", "purpose", "revoked", "revoked by CRL", "CA as leaf", "not allowed"]


class Sink:
    """Counts who reaches it."""

    def __init__(self):
        self.socket, self.seen = socket.create_server(("127.0.0.1", 0)), []
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        with c:
            data = c.recv(65536)
            if data:
                self.seen.append(data)
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved")


@pytest.fixture(scope="module")
def gate():
    sink, own = Sink(), {w: free_port() for w in WAYS if "own" in w or w == "postgres"}
    tcp = f"    protocol: tcp\n    upstream: tcp://127.0.0.1:{sink.port}\n"
    http = f"    upstream: http://127.0.0.1:{sink.port}\n"
    allow = "    allow: [{name: good}, {name: 'bad-*'}]\n"
    crl = "    client_crl: @FOLDER@/ca1.crl\n"

    def at(way):
        return f"    listen: 127.0.0.1:{own[way]}\n"
    sites = (site("a.test", "require", "ca1", http + allow + crl) + site("b.test", "require", "ca1", tcp + allow + crl)
             + site("opt1.test", "require", "ca1", http + allow + crl + at("h1 of its own"))
             + site("req1.test", "require", "ca1", tcp + allow + crl + at("stream of its own"))
             + site("req2.test", "require", "ca1", tcp + allow + crl + at("postgres") + "    starttls: postgres\n")
             + site("none1.test", "require", "ca1", tcp + allow + crl))
    g = Gateway(sites, authority=True)
    ca = CA(g.folder, "ca1")
    who = {"good": ca.client("good"), "none": None, "stranger": CA(g.folder, "other").client("bad-stranger"),
           "expired": ca.client("bad-expired", begins=-2 * DAY, ends=-DAY), "not yet": ca.client("bad-early", begins=DAY, ends=2 * DAY),
           "purpose": ca.client("bad-purpose", eku=(EKU.SERVER_AUTH,)), "revoked": ca.client("bad-revoked"),
           "revoked by CRL": ca.client("bad-listed"), "CA as leaf": ca.client("bad-ca", is_ca=True), "not allowed": ca.client("other")}
    ca.crl(g.folder / "ca1.crl", who["revoked by CRL"])
    g.feed.revoke(ca, who["revoked"], 1)
    g.start()
    yield g, sink, own, who
    g.close()


def knock(g, own, way, client, version):
    """What came back, or None."""
    name = {"h1": "a.test", "h2": "a.test", "h1 of its own": "opt1.test", "h1 behind tcp": "none1.test", "stream": "b.test", "stream of its own": "req1.test",
            "postgres": "req2.test"}[way]
    try:
        with socket.create_connection(("127.0.0.1", own.get(way, g.https)), timeout=10 * PATIENCE) as raw:
            if way == "postgres":
                raw.sendall(struct.pack(">II", 8, 80877103))
                assert raw.recv(1) == b"S"
            context = g.context(client, version)
            if way == "h2":
                context.set_alpn_protocols(["h2"])
            with context.wrap_socket(raw, server_hostname=name) as s:
                if way == "h2":
                    return knock_h2(s)
                s.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % name.encode())
                return s.recv(65536) or None
    except (ssl.SSLError, ConnectionError, TimeoutError):
        return None


def knock_h2(s):
    """The answer as HTTP/1.1 would say it."""
    h = h2.connection.H2Connection()
    h.initiate_connection()
    h.send_headers(1, [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")], end_stream=True)
    s.sendall(h.data_to_send())
    while data := s.recv(65536):
        for event in h.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                status = dict(event.headers)[b":status"] if b":status" in dict(event.headers) else dict(event.headers)[":status"].encode()
                return b"HTTP/2 " + status + b" OK"
            if isinstance(event, (h2.events.ConnectionTerminated, h2.events.StreamReset)):
                return None
    return None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_w29_every_refusal_holds_on_every_way_in(gate, way, version):
    g, sink, own, who = gate
    assert b" 200 OK" in (knock(g, own, way, who["good"], version) or b""), g.log()[-1500:]
    before = len(sink.seen)
    for reason in REASONS:
        answer = knock(g, own, way, who[reason], version)
        assert answer is None or (reason == "not allowed" and way.startswith("h") and way != "h1 behind tcp" and b" 403 " in answer[:20]), (reason, answer)
    assert len(sink.seen) == before, "somebody got through"
    assert b" 200 OK" in (knock(g, own, way, who["good"], version) or b"")


def test_w29_each_way_and_reason_was_said(gate):
    g = gate[0]
    for way, version in itertools.product(WAYS, (V12, V13)):
        for reason in REASONS:
            knock(g, gate[2], way, gate[3][reason], version)
    said = {e["reason"] for e in g.events("handshake-refused")} | {e["reason"] for e in g.events("connection-closed")}
    assert said >= {"certificate-required", "certificate-expired", "not-yet-valid", "eku-missing-client-auth", "revoked", "identity-not-allowed"}
