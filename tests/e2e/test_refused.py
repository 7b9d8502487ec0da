"""Who is not let in, with which reason, and that the log and the metrics say so."""
import datetime as dt
from pathlib import Path

import mint
import pytest
from clients import attempt, s_client, status_of
from conftest import SANITIZED, wait_for
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU

DAY = mint.DAY


def refused(up, reason, do):
    """Runs do(); the handshake must be refused for that reason, in the log and in the metrics."""
    at = len(up.log())
    before = up.metric("handshakes_refused_total", reason=reason)
    verdict, alert = do()
    assert verdict == "refused", f"was let in ({alert})"
    line = wait_for(lambda: next((ln for ln in up.log()[at:].splitlines() if reason in ln), None), 5,
                    say=f"no log line says {reason}; it says: {up.log()[at:][-1500:]}")
    wait_for(lambda: up.metric("handshakes_refused_total", reason=reason) == before + 1, 5,
             say=f"the metric does not count {reason}")
    return alert, line


def kept_out(up, reason, do):
    """Runs do(), which comes as far as the doors of enrollment and asks for something else."""
    at = len(up.log())
    before = up.metric("requests_refused_total", reason=reason)
    assert do() == ("ok", 401)
    wait_for(lambda: reason in up.log()[at:], say=f"no log line says {reason}")
    wait_for(lambda: up.metric("requests_refused_total", reason=reason) == before + 1, say=f"the metric does not count {reason}")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_no_certificate_with_openssl(up, version):
    out = s_client(up, version, cert=False)
    assert status_of(out) == 401, out[-1000:]
    assert "certificate-required" in out


def test_no_certificate(up):
    kept_out(up, "certificate-required", lambda: attempt(up, crt=False))


def test_a_certificate_of_another_authority(up, work):
    crt, key = mint.leaf(work, mint.foreign_ca())
    alert, line = refused(up, "unknown-issuer", lambda: attempt(up, crt, key))
    assert "UNKNOWN_CA" in alert
    assert "minted" in line, "the line names the certificate's subject"


def test_a_self_signed_certificate(up, work):
    key = ec.generate_private_key(ec.SECP256R1())
    cn = mint.name("selfmade")
    cert = (x509.CertificateBuilder().subject_name(cn).issuer_name(cn).public_key(key.public_key())
            .serial_number(7).not_valid_before(mint.now() - DAY).not_valid_after(mint.now() + DAY)
            .sign(key, mint.hashes.SHA256()))
    (work / "s.crt").write_bytes(cert.public_bytes(mint.serialization.Encoding.PEM))
    (work / "s.key").write_bytes(mint.pem(key))
    at = len(up.log())
    assert attempt(up, work / "s.crt", work / "s.key")[0] == "refused"
    wait_for(lambda: any(r in up.log()[at:] for r in ("self-signed", "unknown-issuer")), say=up.log()[at:])


def test_an_authority_that_only_has_the_same_name(up, work):
    """Same subject as our issuing CA, another key."""
    cert, _ = mint.ours(up.state)
    _, key = mint.foreign_ca()
    crt, keyfile = mint.leaf(work, (cert, key), "impostor")
    at = len(up.log())
    assert attempt(up, crt, keyfile)[0] == "refused"
    wait_for(lambda: any(r in up.log()[at:] for r in ("signature-invalid", "unknown-issuer", "chain-incomplete")),
             say=up.log()[at:])


@pytest.mark.parametrize("version", [None, 0x0303])
def test_an_expired_certificate(up, work, version):
    import ssl
    crt, key = mint.leaf(work, mint.ours(up.state), "bygone", begins=-3 * DAY, ends=-DAY)
    tls = ssl.TLSVersion.TLSv1_2 if version else None
    kept_out(up, "certificate-expired", lambda: attempt(up, crt, key, tls))


def test_a_certificate_of_the_future(up, work):
    crt, key = mint.leaf(work, mint.ours(up.state), "early", begins=DAY, ends=3 * DAY)
    refused(up, "not-yet-valid", lambda: attempt(up, crt, key))


def test_a_server_certificate_does_not_make_a_client(up, work):
    crt, key = mint.leaf(work, mint.ours(up.state), "server", eku=(EKU.SERVER_AUTH,),
                         sans=[x509.DNSName("server.example")])
    refused(up, "eku-missing-client-auth", lambda: attempt(up, crt, key))


def test_our_own_server_certificate_does_not_make_a_client(up):
    issued = up.issue("server", "srv.example")
    refused(up, "eku-missing-client-auth", lambda: attempt(up, issued.crt, issued.key))


def test_a_weak_key(up, work):
    crt, key = mint.leaf(work, mint.ours(up.state), "weak", key=rsa.generate_private_key(65537, 1024))
    context = up.context(False)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(crt, key)
    up_context, up.context = up.context, lambda *a, **k: context
    try:
        assert attempt(up)[0] == "refused"
    finally:
        del up.context
        assert up.context == up_context


def test_a_leaf_without_its_intermediate_is_either_let_in_or_said_to_be_incomplete(up, work):
    only_leaf = up.crt.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    (work / "leaf.crt").write_text(only_leaf)
    at = len(up.log())
    verdict, _ = attempt(up, work / "leaf.crt", up.key)
    if verdict == "refused":
        wait_for(lambda: "chain-incomplete" in up.log()[at:] or "unknown-issuer" in up.log()[at:])


def test_who_is_refused_leaves_exactly_one_line(up, work):
    crt, key = mint.leaf(work, mint.foreign_ca("CA of one line"), "oneline")
    at = len(up.log())
    attempt(up, crt, key)
    wait_for(lambda: "oneline" in up.log()[at:])
    assert sum("oneline" in ln for ln in up.log()[at:].splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="libfaketime cannot be loaded before a sanitizer's own library")
def test_expired_by_faketime(system):
    """The gateway's clock stands a year and a month on: the device's certificate has ended."""
    s = system()
    s.start()
    assert attempt(s) == ("ok", 200)
    s.stop()
    # not by the faketime command: it stands between and does not hand SIGTERM on
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    s.start(env={"LD_PRELOAD": str(library), "FAKETIME": "+400d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    at = len(s.log())
    # the client's own clock is behind: it takes the server's certificate as it comes, the gateway judges the client
    context = s.context()
    context.check_hostname = False
    context.verify_mode = 0
    s.context = lambda *a, **k: context
    assert attempt(s) == ("ok", 401), s.log()[-2000:]
    wait_for(lambda: "certificate-expired" in s.log()[at:])


assert dt
