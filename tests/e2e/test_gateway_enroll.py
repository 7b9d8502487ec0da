"""Who has no certificate yet, or slept until it ended, may knock at the doors of enrollment and nowhere else."""
import json
import socket
import threading

import h2.connection
import h2.events
import mint
import pytest
from clients import attempt, headers_told
from conftest import PATIENCE, run, wait_for
from gateway import CA, V12, V13, Gateway, Service

DAY = mint.DAY
DOORS = ["/.well-known/est/cacerts", "/.well-known/est", "/.well-known/est/devices/simpleenroll", "/scep", "/scep/devices", "/.well-known/cmp",
         "/.well-known/cmp/p/devices", "/acme/directory", "/acme", "/api/v1/enroll", "/api/v1/enroll/tokens"]
MEMBERS = ["/api/v1/certificates", "/api/v1/status", "/console", "/console/", "/console/app.js"]
ELSEWHERE = ["/", "/index.html", "/.well-known/esteem", "/.well-known", "/scepter", "/acmes", "/api/v1/enrolled", "/api/v2", "/api", "/consoles",
             "/.well-known/est/../../", "/.well-known/est//x", "/.well-known/est/%2e%2e/x", "//scep", "/scep/..;/x", "/SCEP", "/.well-known/est%2fcacerts"]
LATE = "certificate-expired"


class Authority(Service):
    """Stands at the authority's socket, and says who asked."""

    def __init__(self, path):
        self.heads = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def serve(self, c):
        f = c.makefile("rb")
        with c, f:
            while head := b"".join(iter(f.readline, b"\r\n")):
                size = [int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:")]
                f.read(size[0] if size else 0)
                self.heads.append(head.decode("latin-1"))
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))

    def told(self, name):
        return [line.partition(":")[2].strip() for line in self.heads[-1].splitlines() if line.lower().startswith(name.lower() + ":")]


SITE = ("  - {name: %s, certificate: @FOLDER@/server.crt, key: @FOLDER@/server.key, client: %s, client_ca: @FOLDER@/ca1.pem%s}\n")


@pytest.fixture(scope="module")
def gate():
    listed = ", client_crl: @FOLDER@/ca1.crl"
    g = Gateway(SITE % ("a.test", "require", listed + ", enroll: true") + SITE % ("opt1.test", "optional", ", enroll: true")
                + SITE % ("b.test", "require", "") + SITE % ("'*'", "require", ""), authority=True)
    ca, other = CA(g.folder, "ca1"), CA(g.folder, "other")
    who = {"good": ca.client("good"), "late": ca.client("late", begins=-3 * DAY, ends=-DAY), "stranger": other.client("stranger", begins=-3 * DAY, ends=-DAY),
           "early": ca.client("early", begins=DAY, ends=2 * DAY), "listed": ca.client("listed", begins=-3 * DAY, ends=-DAY),
           "revoked": ca.client("revoked", begins=-3 * DAY, ends=-DAY),
           "server": ca.client("srv", begins=-3 * DAY, ends=-DAY, eku=(mint.EKU.SERVER_AUTH,)), None: None}
    ca.crl(g.folder / "ca1.crl", who["listed"])
    g.feed.revoke(ca, who["revoked"])
    g.authority = Authority(g.state / "run/authority.sock")
    g.start()
    yield g, who
    g.close()
    g.authority.close()


def seen(g):
    return len(g.authority.heads), len(g.upstream.heads)


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ["a.test", "opt1.test", "localhost"])
def test_the_doors_are_open_and_say_who_comes(gate, name, version):
    g, who = gate
    for client, verified in ((None, "none"), ("late", LATE), ("good", "success")):
        for path in DOORS:
            before = seen(g)
            v = g.visit(g.context(who[client], version), name, path=path, lines="X-Countersign-Verified: success\r\nX_Countersign-Identity: admin\r\n")
            assert v.status == 200, (client, path, v, g.log()[-800:])
            assert seen(g) == (before[0] + 1, before[1])
            assert g.authority.told("X-Countersign-Verified") == [verified]
            assert len(g.authority.told("Client-Cert")) == (0 if client is None else 1)
            assert g.authority.told("X-Countersign-Identity") == ([client] if client else [])


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("client,reason", [(None, "certificate-required"), ("late", LATE)])
def test_nothing_else_is_open(gate, version, client, reason):
    g, who = gate
    for path in MEMBERS + ELSEWHERE:
        before = seen(g)
        v = g.visit(g.context(who[client], version), "a.test", path=path)
        assert v.status in (400, 401) and seen(g) == before, (path, v)
        if path in MEMBERS or v.status == 401:
            assert v.status == 401 and f'"{reason}"' in v.text, v.text
    for path in MEMBERS:  # where a certificate is optional, the authority's members still need one
        before = seen(g)
        assert g.visit(g.context(who[client], version), "opt1.test", path=path).status == 401 and seen(g) == before
    # an ended certificate is not taken for none
    expected = 401 if client else 200
    assert g.visit(g.context(who[client], version), "opt1.test").status == expected


def test_members_reach_the_authority_and_the_service(gate):
    g, who = gate
    for path in MEMBERS:
        before = seen(g)
        assert g.visit(g.context(who["good"]), "a.test", path=path).status == 200 and seen(g) == (before[0] + 1, before[1])
    before = seen(g)
    assert g.visit(g.context(who["good"]), "a.test", path="/anything").status == 200 and seen(g) == (before[0], before[1] + 1)


@pytest.mark.parametrize("client,reason", [("stranger", "unknown-issuer"), ("early", "not-yet-valid"), ("listed", "revoked"), ("revoked", "revoked"),
                                           ("server", "eku-missing-client-auth")])
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_any_other_fault_ends_the_handshake(gate, client, reason, version):
    g, who = gate
    before, at = seen(g), len(g.log())
    assert g.visit(g.context(who[client], version), "a.test", path=DOORS[0]).status == 0
    wait_for(lambda: [e for e in g.events("handshake-refused", at) if e["reason"] in (reason, "chain-incomplete")], 5, say=g.log()[at:])
    assert seen(g) == before


@pytest.mark.parametrize("client", [None, "late"])
def test_a_site_without_doors_ends_the_handshake(gate, client):
    g, who = gate
    before = seen(g)
    assert g.visit(g.context(who[client]), "b.test", path=DOORS[0]).status == 0 and seen(g) == before


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("client", [None, "late"])
def test_resumption_opens_no_more(gate, client, version):
    """W05: a session of somebody who lacks a certificate is one of somebody who lacks it."""
    g, who = gate
    context = g.context(who[client], version)
    first = g.visit(context, "a.test", path=DOORS[0])
    assert first.status == 200 and not first.reused
    before = seen(g)
    again = g.visit(context, "a.test", session=first.session)
    assert again.status == 401 and seen(g) == before
    assert client is None or not again.reused, "an ended certificate has no session"
    assert g.visit(context, "a.test", session=first.session, path=DOORS[0]).status == 200
    assert g.visit(context, "b.test", session=first.session).status == 0


def test_revocation_reaches_who_knocks(gate):
    g, who = gate
    ca = CA.__new__(CA)
    ca.spki = mint.x509.load_pem_x509_certificate((g.folder / "ca1.pem").read_bytes())
    ca.spki = __import__("hashlib").sha256(ca.spki.public_key().public_bytes(
        mint.serialization.Encoding.DER, mint.serialization.PublicFormat.SubjectPublicKeyInfo)).digest()
    with g.connect(g.context(who["late"])) as s:
        s.sendall(b"GET /scep HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 200")
        g.feed.revoke(ca, who["late"], 1)
        s.settimeout(5 * PATIENCE)
        try:
            assert s.recv(100) == b""
        except (ConnectionError, OSError):
            pass
    assert g.visit(g.context(who["late"]), "a.test", path="/scep").status == 0


def test_http2_has_the_same_doors(gate):
    g, _ = gate
    context = g.context(None)
    context.set_alpn_protocols(["h2"])
    answers = {}
    with g.connect(context) as s:
        h = h2.connection.H2Connection()
        h.initiate_connection()
        for i, path in enumerate((DOORS[0], "/", MEMBERS[0])):
            h.send_headers(2 * i + 1, [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", path)], end_stream=True)
        s.sendall(h.data_to_send())
        while len(answers) < 3:
            for event in h.receive_data(s.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    fields = {(k.decode() if isinstance(k, bytes) else k): (v.decode() if isinstance(v, bytes) else v) for k, v in event.headers}
                    answers[event.stream_id] = fields[":status"]
    assert answers == {1: "200", 3: "401", 5: "401"}


def test_without_tls_only_what_protects_itself(gate):
    g, _ = gate
    for path, status in (("/scep", 200), ("/.well-known/cmp/p/x", 200), ("/ocsp", 200), ("/crl/x.crl", 200), ("/.well-known/est", 404),
                         ("/acme/directory", 404), ("/api/v1/enroll", 404), ("/console/", 404), ("/scep/../api/v1/status", 404)):
        done = run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", "--data-binary" if path == "/scep" else "-A", "x",
                   f"http://127.0.0.1:{g.http}{path}")
        assert done.stdout == str(status), path


def test_the_doors_of_up(up):
    """The whole system, with curl: the page stays shut, the doors lead to the authority."""
    def curl(path, *more):
        done = run("curl", "-s", "--cacert", up.ca, "-w", "\n%{http_code}", *more, up.url(path), check=0)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body
    status, body = curl("/")
    assert status == 401 and json.loads(body)["reason"] == "certificate-required"
    status, body = curl("/api/v1/status")
    assert status == 401 and json.loads(body)["reason"] == "certificate-required"
    status, body = curl("/.well-known/est/no-such-operation")
    assert status != 401, body
    assert attempt(up) == ("ok", 200)
    told = json.loads(curl("/?format=json", "--cert", str(up.crt), "--key", str(up.key))[1])
    assert headers_told(told, "X-Countersign-Verified") == ["success"]
