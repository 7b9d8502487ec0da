"""Who may pass where: routes by host, method and path, lists by everything that a certificate says; what a site shows of
itself in the handshake; and how changes come in: by file, by command, by signal."""
import datetime as dt
import hashlib
import json
import re
import shutil
import socket
import ssl
import time

import mint
import pytest
from conftest import COMMAND, PATIENCE, run, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU, NameOID
from gateway import CA, Client, Gateway
from test_gateway_sites import site
from test_gateway_tcp import Peer


@pytest.fixture()
def lone():
    made = []

    def make(sites, start=True, **how):
        g = Gateway(sites, **how)
        g.ca, g.other = CA(g.folder, "ca1"), CA(g.folder, "ca2")
        g.one, g.two = g.ca.client("one"), g.ca.client("two")
        made.append(g)
        if start:
            g.start()
        return g
    yield make
    for g in made:
        g.close()


def ask(g, path, *more, client=None, host="a.test", cert=True):
    client = client or g.one
    who = ["--cert", client.crt, "--key", client.key] if cert else []
    done = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(20 * PATIENCE), "--resolve",
               f"{host}:{g.https}:127.0.0.1", "--cacert", g.root.path, *who, f"https://{host}:{g.https}{path}", *more)
    return int(done.stdout or 0)


# ---- routes ----

ROUTES = """    routes:
      - {path: /, allow: [{name: one}]}
      - {path: /x, methods: [GET, HEAD]}
      - {path: /x, methods: [POST], allow: [{name: two}]}
      - {path: /h, host: a.test, allow: [{name: one}]}
      - {path: /h, host: "*.test", allow: [{name: two}]}
"""


def test_routes_by_host_method_and_path(lone):
    g = lone(site("'*'", "require", "ca1", ROUTES + "    authority: false\n"))
    assert [ask(g, "/", client=c) for c in (g.one, g.two)] == [200, 403]
    assert [ask(g, "/x", client=c) for c in (g.one, g.two)] == [200, 200]
    assert [ask(g, "/x", "-d", "1", client=c) for c in (g.one, g.two)] == [403, 200]
    assert [ask(g, "/x", "-X", "PUT", client=c) for c in (g.one, g.two)] == [200, 403]  # the next that fits: /
    assert [ask(g, "/h", client=c) for c in (g.one, g.two)] == [200, 403]
    assert [ask(g, "/h", client=c, host="b.test") for c in (g.one, g.two)] == [403, 200]


ALLOW = {
    "kind": ("kind: device", "one", "user"),
    "name": ("name: 'on*'", "one", "two"),
    "dns": ("dns: '*.INNER.test'", "dns", "one"),
    "email": ("email: '*@corp.test'", "user", "one"),
    "ip": ("ip: 10.1.*", "ip", "one"),
    "uri": ("uri: 'urn:x:*'", "urn", "one"),
    "spiffe": ("spiffe: 'spiffe://countersign.test/device/one'", "one", "urn"),
    "spiffe-is-no-other-uri": ("spiffe: '*'", "one", "urn"),
    "issuer": ("issuer: 'CN=ca1'", "one", None),
    "o": ("o: Corp", "org", "one"),
    "ou": ("ou: 'Fin*'", "org", "one"),
    "all-of-an-entry": ("ou: 'Fin*', o: Other", None, "org"),
}


def people(g):
    def client(cn, sans=None, **how):
        crt, key = mint.leaf(g.folder, (g.ca.cert, g.ca.key), cn, sans=sans, **how)
        return Client(crt, key)
    import ipaddress
    return {"one": g.one, "two": g.two,
            "user": client("user", [x509.RFC822Name("ann@corp.test")]),
            "dns": client("dns", [x509.DNSName("db.inner.test")]),
            "ip": client("ip", [x509.IPAddress(ipaddress.ip_address("10.1.2.3"))]),
            "urn": client("urn", [x509.UniformResourceIdentifier("urn:x:y")]),
            "org": org(g)}


def org(g):
    """A subject with several parts."""
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Corp"),
                         x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Finance"),
                         x509.NameAttribute(NameOID.COMMON_NAME, "org")])
    kept, mint.name = mint.name, lambda cn: subject
    try:
        crt, key = mint.leaf(g.folder, (g.ca.cert, g.ca.key), "org")
    finally:
        mint.name = kept
    return Client(crt, key)


def test_lists_by_everything_that_a_certificate_says(lone):
    routes = "".join(f"      - {{path: /{n}, allow: [{{{a[0]}}}]}}\n" for n, a in ALLOW.items())
    g = lone(site("a.test", "require", "ca1", f"    routes:\n{routes}"))
    who = people(g)
    for name, (_, yes, no) in ALLOW.items():
        if yes:
            assert ask(g, f"/{name}", client=who[yes]) == 200, name
        if no:
            assert ask(g, f"/{name}", client=who[no]) == 403, name
    refused = g.events("request-refused")
    assert all(e["reason"] == "identity-not-allowed" for e in refused) and len(refused) >= len(ALLOW) - 2


def test_lists_of_fingerprints(lone):
    g = lone(site("a.test", "require", "ca1", "    allow: [{fingerprints: list}]\n"), start=False)
    print_of = lambda c: c.cert.fingerprint(hashes.SHA256()).hex()
    (g.folder / "list").write_text(f"# who\n{print_of(g.two).upper()}  # two\n\n")
    g.start()
    assert [ask(g, "/", client=c) for c in (g.one, g.two)] == [403, 200]
    colons = ":".join(re.findall("..", print_of(g.one)))
    (g.folder / "list").write_text(colons + "\n")
    g.reload("reloaded")
    assert [ask(g, "/", client=c) for c in (g.one, g.two)] == [200, 403]
    (g.folder / "list").write_text("nonsense\n")
    assert "list:1: no SHA-256" in g.reload("reload-failed")
    assert ask(g, "/") == 200


def test_an_optional_site_says_what_is_needed(lone):
    g = lone(site("a.test", "optional", "ca1", "    routes: [{path: /}, {path: /in, allow: [{name: '*'}]}]\n"))
    assert ask(g, "/", cert=False) == 200 and ask(g, "/in", cert=False) == 401 and ask(g, "/in") == 200
    for http in ("--http1.1", "--http2"):
        text = run("curl", "-sS", http, "--resolve", f"a.test:{g.https}:127.0.0.1", "--cacert", g.root.path,
                   f"https://a.test:{g.https}/in").stdout
        problem = json.loads(text)
        assert (problem["status"], problem["reason"]) == (401, "certificate-required") and "certificate" in problem["advice"]


# ---- the handshake ----

def s_client(g, *more, name="a.test"):
    return run("sh", "-c", " ".join(["echo Q | openssl s_client -connect", f"127.0.0.1:{g.https} -servername {name}",
                                     f"-CAfile {g.root.path}", *map(str, more), "2>&1"]))


def test_certificates_of_two_key_types_side_by_side(lone):
    g = lone(site("a.test", "off", None, "    certificates: [{certificate: rsa.crt, key: rsa.key}]\n"), start=False)
    key = rsa.generate_private_key(65537, 2048)
    crt, _ = mint.leaf(g.folder, (g.root.cert, g.root.key), "rsa", eku=(EKU.SERVER_AUTH,), sans=[x509.DNSName("a.test")],
                       key=key)
    g.start()
    for version in ("-tls1_2", "-tls1_3"):
        assert "CN = server" in s_client(g, version).stdout
        rsa_only = s_client(g, version, "-sigalgs", "rsa_pss_rsae_sha256", *(["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"] if version == "-tls1_2" else []))
        assert "CN = rsa" in rsa_only.stdout and "Verify return code: 0" in rsa_only.stdout


def test_which_authorities_clients_are_told(lone):
    g = lone(site("a.test", "optional", "ca1") + site("b.test", "optional", "ca1", "    ca_names: none\n")
             + site("opt1.test", "optional", "ca1", "    ca_names: ca2.pem\n"))
    for version in ("-tls1_2", "-tls1_3"):
        told = lambda name: re.search(r"Acceptable client certificate CA names\n((?:.*CN = .*\n)*)", s_client(g, version, name=name).stdout)
        assert "CN = ca1" in told("a.test")[1] and "ca2" not in told("a.test")[1]
        assert told("b.test") is None
        assert "CN = ca2" in told("opt1.test")[1] and "ca1" not in told("opt1.test")[1]


def test_groups_are_the_sites_own(lone):
    g = lone(site("a.test", "off", None, "    groups: P-384\n") + site("b.test", "off", None))
    assert "P-384" in s_client(g).stdout or "secp384r1" in s_client(g).stdout
    assert "X25519" in s_client(g, name="b.test").stdout
    assert "handshake failure" in s_client(g, "-groups", "X25519").stdout
    bad = lone(site("a.test", "off", None, "    groups: P-999\n"), start=False)
    bad.start(wait=False)
    assert bad.proc.wait(20 * PATIENCE) != 0 and "groups" in bad.log()
    bad.proc = None


def pin_of(client):
    spki = client.cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def test_pins(lone):
    g = lone(site("a.test", "require", "ca1", "    pins: [PIN]\n"), start=False)
    text = g.conf.read_text()
    g.conf.write_text(text.replace("PIN", f"'leaf:sha256:{pin_of(g.one)}'"))
    g.start()
    assert ask(g, "/") == 200 and ask(g, "/", client=g.two) == 0
    assert g.events("handshake-refused")[0]["reason"] == "pin-mismatch"


def staple(g, path, hours=24):
    cert = g.server.cert
    b = ocsp.OCSPResponseBuilder().add_response(
        cert=cert, issuer=g.root.cert, algorithm=hashes.SHA1(), cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=mint.now() - dt.timedelta(hours=1), next_update=mint.now() + dt.timedelta(hours=hours),
        revocation_time=None, revocation_reason=None).responder_id(
            ocsp.OCSPResponderEncoding.HASH, g.root.cert).certificates([g.root.cert])
    path.write_bytes(b.sign(g.root.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))


def test_the_servers_own_ocsp_response_is_stapled(lone):
    g = lone(site("a.test", "off", None, "    ocsp: staple.der\n"), start=False)
    staple(g, g.folder / "staple.der")
    g.start()
    for version in ("-tls1_2", "-tls1_3"):
        text = s_client(g, version, "-status").stdout
        assert "OCSP Response Status: successful" in text and "Cert Status: good" in text


def test_a_staple_of_another_certificate_is_refused_and_an_old_one_not_sent(lone):
    g = lone(site("a.test", "off", None, "    ocsp: staple.der\n"), start=False, more="follow: off\n")
    staple(g, g.folder / "staple.der")
    g.start()
    mine, g.server = g.server, g.root.server("elsewhere", "b.test")
    staple(g, g.folder / "staple.der")
    assert "is not about" in g.reload("reload-failed")
    (g.folder / "staple.der").write_bytes(b"nonsense")
    g.reload("reload-failed")
    g.server = mine
    staple(g, g.folder / "staple.der", hours=-0.5)
    g.reload("reloaded")
    assert "OCSP response: no response sent" in s_client(g, "-status").stdout
    staple(g, g.folder / "staple.der")
    g.reload("reloaded")
    assert "Cert Status: good" in s_client(g, "-status").stdout


@pytest.mark.skipif(not shutil.which("sslscan"), reason="no sslscan here")
def test_sslscan_finds_nothing_old(lone):
    g = lone(site("a.test", "off", None))
    text = run("sslscan", "--no-colour", "--sni-name=a.test", f"127.0.0.1:{g.https}").stdout
    for old in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert re.search(rf"{re.escape(old)}\s+disabled", text), text
    assert re.search(r"TLSv1.2\s+enabled", text) and re.search(r"TLSv1.3\s+enabled", text)
    assert text.count("not vulnerable to heartbleed") == 2 and "vulnerable to heartbleed" not in text.replace("not vulnerable", "")
    assert "Session renegotiation not supported" in text
    accepted = re.findall(r"(?:Preferred|Accepted)\s+TLSv1\.2\s+\d+ bits\s+(\S+)", text)
    assert accepted and all("ECDHE" in c and ("GCM" in c or "CHACHA20" in c) for c in accepted), accepted


@pytest.mark.skipif(not shutil.which("testssl"), reason="no testssl here")
def test_testssl_finds_no_weakness(lone, tmp_path):
    g = lone(site("'*'", "off", None, "    authority: false\n"))
    out = tmp_path / "t.json"
    done = run("testssl", "--quiet", "--color", "0", "--warnings", "off", "--jsonfile", out, "--ip", "127.0.0.1", "-p", "-f", "-U", "--add-ca",
               g.root.path, "--sneaky", f"a.test:{g.https}", timeout=300)
    found = json.loads(out.read_text())
    bad = [f for f in found if f["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")]
    assert len(found) > 20 and not bad, (bad, done.stdout[-2000:])


# ---- changes ----

def test_changed_files_are_noticed(lone):
    """A CRL that its authority replaces is in force without a signal; live connections end."""
    g = lone(site("a.test", "require", "ca1", "    client_crl: crl.pem\n"), start=False)
    g.ca.crl(g.folder / "crl.pem")
    g.start()
    assert ask(g, "/") == 200
    with g.connect(g.context(g.one)) as s:
        g.ca.crl(g.folder / "crl.pem", g.one, number=2)
        wait_for(lambda: g.events("reloaded"), 10, say="the file's change was not noticed")
        s.settimeout(5 * PATIENCE)
        with _ends():
            assert s.recv(1) == b""
    assert ask(g, "/") == 0 and g.events("handshake-refused")[-1]["reason"] == "revoked"
    assert ask(g, "/", client=g.two) == 200


class _ends:
    """Closed, in order or not."""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        return kind is not None and issubclass(kind, (ssl.SSLError, ConnectionError))


def test_a_bad_change_is_said_once_and_what_runs_goes_on(lone):
    g = lone(site("a.test", "require", "ca1"))
    good = g.conf.read_text()
    g.conf.write_text(good + "nonsense: 1\n")
    wait_for(lambda: g.events("reload-failed"), 10)
    time.sleep(5)
    assert len(g.events("reload-failed")) == 1 and ask(g, "/") == 200
    g.conf.write_text(good)
    wait_for(lambda: g.events("reloaded"), 10)


def command(g, *args):
    return run(COMMAND, *args, "--state", g.state, "-c", g.conf)


def test_reload_by_command_says_what_came_of_it(lone):
    g = lone(site("a.test", "require", "ca1"), more="follow: off\n")
    good = g.conf.read_text()
    assert command(g, "reload").stdout == "reloaded\n"
    (g.folder / "ca1.pem").rename(g.folder / "gone.pem")
    done = command(g, "reload")
    assert done.returncode == 2 and "ca1.pem" in done.stderr  # the command itself sees that
    (g.folder / "ca1.pem").write_text("no certificate\n")
    done = command(g, "reload")
    assert done.returncode == 1 and "ca1.pem" in done.stderr
    assert json.loads(command(g, "reload", "--json").stdout)["reason"]
    (g.folder / "gone.pem").rename(g.folder / "ca1.pem")
    assert command(g, "reload").returncode == 0 and g.conf.read_text() == good and ask(g, "/") == 200
    g.stop()
    done = command(g, "reload")
    assert done.returncode == 1 and "gateway-unreachable" in done.stderr


def test_top_shows_who_is_there_and_what_was_refused(lone):
    g = lone(site("a.test", "require", "ca1"))
    foreign = g.other.client("foreign")
    assert ask(g, "/", client=foreign) == 0
    g.upstream.hold = 0.3
    assert ask(g, "/slow") == 200
    with g.connect(g.context(g.two)) as s:
        s.sendall(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        s.recv(4096)
        top = json.loads(command(g, "top", "--once", "--json").stdout)
        there = [c for c in top["connected"] if c["identity"] == "two"]
        assert len(there) == 1 and there[0]["site"] == "a.test" and there[0]["requests"] == 1
        assert there[0]["protocol"] == "http/1.1" and there[0]["peer"].startswith("127.0.0.1:")
        text = command(g, "top", "--once").stdout
    assert top["refused"] == {"unknown-issuer": 1} and top["full"] == 2 and top["requests"] == 2
    assert any(s["request"] == "GET /slow" and s["microseconds"] > 290000 for s in top["slowest"])
    assert re.search(r"handshakes, full +2", text) and "unknown-issuer" in text and "GET /slow" in text and "two" in text


def test_nobody_else_may_ask_the_gateway(lone):
    g = lone(site("a.test", "require", "ca1"))
    assert (g.state / "run/gateway.sock").stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(g.state / "run/gateway.sock"))
        s.sendall(b"x" * 100)
        with _ends():
            assert s.recv(100) == b""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(g.state / "run/gateway.sock"))
        s.sendall(b"drop table\n")
        assert json.loads(s.recv(4096))["reason"] == "usage"


# ---- protection ----

def test_new_connections_a_second_are_limited_by_address(lone):
    g = lone(site("a.test", "require", "ca1"), more="limits: {handshakes_per_address: 5}\n")
    codes = [ask(g, "/") for _ in range(5)]
    burst = []
    for _ in range(30):
        with g.raw() as s:
            s.settimeout(2 * PATIENCE)
            s.sendall(b"\x16\x03\x01")
            s.settimeout(0.05)
            try:
                burst.append(s.recv(1) == b"")
            except TimeoutError:
                burst.append(False)
            except ConnectionError:
                burst.append(True)
    assert codes.count(200) >= 4 and sum(burst) >= 10
    assert any(e["reason"] == "handshake-rate" for e in g.events("connection-refused"))
    time.sleep(1.5)
    assert ask(g, "/") == 200


def test_a_body_that_drips_is_given_up(lone):
    def swallow(c):
        with c:
            while c.recv(65536):
                pass
    mute = Peer(swallow)
    g = lone(site("a.test", "require", "ca1", f"    upstream: http://127.0.0.1:{mute.port}\n"),
             more="limits: {body_rate: 1000, idle: 30s}\n")
    with g.connect(g.context(g.one)) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n")
        s.settimeout(0.5)
        began, data = time.monotonic(), b""
        while time.monotonic() - began < 25 and not data:
            try:
                s.sendall(b"x")
                data = s.recv(4096)
            except TimeoutError:
                pass
            except (ConnectionError, ssl.SSLError):
                break
        assert 10 <= time.monotonic() - began < 20 and b" 408 " in data, data
    assert g.events("request-refused")[-1]["reason"] == "request-timeout"
