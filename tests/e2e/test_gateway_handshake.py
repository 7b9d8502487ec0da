"""Who may shake hands with the gateway, and what is said to those who may not."""
import datetime as dt
import socket
import ssl
import struct

import pytest
from cryptography.hazmat.primitives import serialization

from conftest import run
from gateway_kit import CLIENT, DAY, SERVER, Ca, Gateway, ask

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def gw(tmp_path_factory):
    g = Gateway(tmp_path_factory.mktemp("gw"), sites=[
        {"name": "*"}, {"name": "a.test"}, {"name": "b.test", "min_tls": "1.3"}, {"name": "opt.test", "client": "optional"},
    ], limits={"handshake": "2s"}).start()
    yield g
    g.close()


@pytest.mark.parametrize("version", [V12, V13])
def test_a_good_certificate_is_let_in(gw, version):
    assert gw.get(version=version).status == 200


def bad_leaf(gw, case):
    d, ca = gw.dir, gw.issuing
    return {
        "expired": lambda: ca.issue(d, "expired", start=-10 * DAY, end=-DAY),
        "future": lambda: ca.issue(d, "future", start=5 * DAY),
        "server": lambda: ca.issue(d, "serverish", (SERVER,)),
        "ca": lambda: ca.issue(d, "is-ca", (CLIENT,), ca=True),
        "short-chain": lambda: ca.issue(d, "short", chain=False),
        "stranger": lambda: Ca("Stranger").issue(d, "stranger"),
        "forged": lambda: forged(gw),
    }[case]()


def forged(gw):
    """One bit of the signature is another."""
    leaf = gw.issuing.issue(gw.dir, "forged", chain=False)
    der = bytearray(leaf.cert.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    leaf.crt.write_text(ssl.DER_cert_to_PEM_cert(bytes(der)) + gw.server.crt.read_text().split("-----END CERTIFICATE-----\n", 1)[1])
    return leaf


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("case, reasons, alert", [
    ("expired", {"certificate-expired"}, "expired"),
    ("future", {"not-yet-valid"}, "bad certificate"),
    ("server", {"eku-missing-client-auth"}, "unsupported certificate"),
    ("ca", {"is-a-ca"}, "unsupported certificate"),
    ("short-chain", {"chain-incomplete"}, "unknown ca"),
    ("stranger", {"unknown-issuer", "chain-incomplete"}, "unknown ca"),
    ("forged", {"signature-invalid"}, "decrypt error"),
])
def test_a_bad_certificate_is_refused_with_reason_and_alert(gw, version, case, reasons, alert):
    leaf = bad_leaf(gw, case)
    before = len(gw.events("handshake-refused"))
    with pytest.raises(ssl.SSLError) as e:
        gw.get(leaf=leaf, version=version)
    assert alert.replace(" ", "_") in str(e.value).lower().replace(" ", "_")
    said = gw.refused(before + 1)
    assert said["reason"] in reasons
    assert said["serial"] == leaf.serial
    assert said["subject"] == "CN=" + leaf.crt.stem
    assert said["issuer"] and said["sni"] == "localhost" and said["peer"].startswith("127.0.0.1:")
    assert said["tls"] == ("TLSv1.2" if version == V12 else "TLSv1.3")
    assert len(gw.events("handshake-refused")) == before + 1, "more than one line"


@pytest.mark.parametrize("version", [V12, V13])
def test_no_certificate_is_refused(gw, version):
    before = len(gw.events("handshake-refused"))
    with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
        gw.get(leaf=False, version=version)
    assert gw.refused(before + 1)["reason"] == "certificate-required"


def test_optional_lets_in_who_has_none_but_not_who_has_a_bad_one(gw):
    c = gw.context(False)
    c.check_hostname = False
    a = gw.get("/", sni="opt.test", context=c)
    assert a.status == 200
    told = dict((k.lower(), v) for k, v in a.json()["headers"])
    assert told["x-countersign-verified"] == "none" and "x-countersign-identity" not in told
    c = gw.context(bad_leaf(gw, "expired"))
    c.check_hostname = False
    with pytest.raises(ssl.SSLError):
        gw.get("/", sni="opt.test", context=c)


def raw(gw, data, wait=True):
    s = socket.create_connection(("127.0.0.1", gw.https), timeout=5)
    s.sendall(data)
    got = b""
    try:
        while wait and (piece := s.recv(4096)):
            got += piece
    except OSError:
        pass
    s.close()
    return got


def test_what_is_not_tls_is_told_apart(gw):
    before = len(gw.events("handshake-refused"))
    raw(gw, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert gw.refused(before + 1)["reason"] == "tls-not-tls"


@pytest.mark.parametrize("old", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(gw, old):
    before = len(gw.events("handshake-refused"))
    run("openssl", "s_client", "-connect", f"127.0.0.1:{gw.https}", old, "-cipher", "ALL:@SECLEVEL=0", input="")
    assert gw.refused(before + 1)["reason"] == "tls-version-unsupported"


def test_a_site_may_ask_for_tls_1_3(gw):
    assert gw.get(sni="b.test", version=V13).status == 200
    before = len(gw.events("handshake-refused"))
    with pytest.raises(ssl.SSLError):
        gw.get(sni="b.test", version=V12)
    assert gw.refused(before + 1)["reason"] == "tls-version-unsupported"


def test_weak_ciphers_have_no_takers(gw):
    before = len(gw.events("handshake-refused"))
    run("openssl", "s_client", "-connect", f"127.0.0.1:{gw.https}", "-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0", input="")
    assert gw.refused(before + 1)["reason"] == "tls-no-shared-cipher"


def test_a_client_that_leaves_or_sends_an_alert_is_logged(gw):
    before = len(gw.events("handshake-refused"))
    raw(gw, b"\x16\x03\x01", wait=False)
    assert gw.refused(before + 1)["reason"] == "tls-peer-closed"
    raw(gw, bytes.fromhex("15030100020230"))
    said = gw.refused(before + 2)
    assert said["reason"] in ("tls-alert-received", "tls-not-tls")
    c = ssl.create_default_context()  # does not trust us
    with pytest.raises(ssl.SSLError):
        gw.connect(context=c)
    said = gw.refused(before + 3)
    assert said["reason"] == "tls-alert-received" and "unknown CA" in said["detail"]


def test_a_slow_handshake_ends(gw):
    before = len(gw.events("handshake-refused"))
    s = socket.create_connection(("127.0.0.1", gw.https), timeout=10)
    s.sendall(b"\x16\x03\x01\x02\x00")
    assert s.recv(100) == b""
    assert gw.refused(before + 1)["reason"] == "handshake-timeout"


def test_no_renegotiation(gw):
    out = run("openssl", "s_client", "-connect", f"127.0.0.1:{gw.https}", "-tls1_2", "-cert", gw.device.crt, "-key",
              gw.device.key, "-cert_chain", gw.device.crt, "-servername", "localhost", input="R\n")
    assert "no_renegotiation" in out.stderr + out.stdout or "no renegotiation" in out.stderr + out.stdout


def test_an_unknown_name_without_a_default_site(tmp_path):
    g = Gateway(tmp_path, sites=[{"name": "a.test"}, {"name": "*.wild.test"}]).start()
    try:
        assert g.get(sni="a.test").status == 200
        assert g.get(sni="A.TEST").status == 200
        assert g.get(sni="x.wild.test").status == 200
        for sni in ("localhost", "y.x.wild.test", "wild.test"):
            before = len(g.events("handshake-refused"))
            with pytest.raises(ssl.SSLError) as e:
                g.get(sni=sni)
            assert "unrecognized" in str(e.value).lower()
            assert g.refused(before + 1)["reason"] == "sni-unknown"
    finally:
        assert g.stop() == 0
        g.close()


# ---- resumption ----
def resume(gw, version, sni="localhost", again=None, leaf=None):
    """Two connections with one context; was the second resumed? between() runs in between."""
    c = gw.context(leaf, version)
    c.check_hostname = False
    with gw.connect(context=c, sni=sni) as s:
        assert ask(s, f"GET / HTTP/1.1\r\nHost: {sni}\r\n\r\n").status == 200
        session = s.session
    assert session is not None and (session.has_ticket or session.id)
    if callable(again):
        again()
        again = None
    with gw.connect(context=c, sni=again or sni, session=session) as s:
        a = ask(s, f"GET / HTTP/1.1\r\nHost: {again or sni}\r\n\r\n")
        return s.session_reused, a


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_is_resumed_with_its_identity(gw, version):
    reused, a = resume(gw, version)
    assert reused and a.status == 200
    assert dict(a.json()["headers"])["X-Countersign-Identity"] == "pump-17"


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_does_not_cross_sites(gw, version):
    reused, a = resume(gw, version, sni="a.test", again="localhost")
    assert not reused and a.status == 200


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_does_not_outlive_its_certificate(gw, version):
    import time
    leaf = gw.issuing.device(gw.dir, "brief", end=dt.timedelta(seconds=4))
    with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
        resume(gw, version, leaf=leaf, again=lambda: time.sleep(5.5))
    assert gw.refused()["reason"] == "certificate-expired"


@pytest.mark.parametrize("version", [V12, V13])
def test_a_revoked_certificate_is_not_resumed_and_loses_its_connections(tmp_path, version):
    g = Gateway(tmp_path, sites=[{"name": "*", "client_crl": "c.crl"}])
    g.issuing.crl(tmp_path / "c.crl")
    g.start()
    try:
        other = g.issuing.device(tmp_path, "other")
        live, kept = g.connect(version=version), g.connect(other, version=version)
        assert ask(live, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200
        assert ask(kept, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200

        def revoke():
            g.issuing.crl(tmp_path / "c.crl", g.device)
            g.reload()
        with pytest.raises((ssl.SSLError, EOFError, ConnectionError)):
            resume(g, version, again=revoke)
        assert g.refused()["reason"] == "revoked"
        try:
            assert live.recv(10) == b""
        except OSError:
            pass
        assert g.events("connection-closed")[-1]["reason"] == "revoked"
        assert ask(kept, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200, "others are not disturbed"
        assert len(g.events("connection-closed")) == 1
        assert g.get(leaf=other).status == 200
    finally:
        assert g.stop() == 0
        g.close()
