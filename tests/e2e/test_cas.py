"""Several issuing CAs in one authority: a key each, a CRL each, and each certificate by the one that was asked."""
import subprocess

import pytest
from authority import Authority
from conftest import PASSPHRASE, run
from cryptography import x509
from cryptography.hazmat.primitives import serialization


def add_ca(a, name, *, extensions=""):
    """A further issuing CA, made with openssl: what counts is the pair of files."""
    ca = a.state / "ca"
    ext = a.top / f"{name}.ext"
    ext.write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
                   f"subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n{extensions}")
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        ca / f"{name}.key", "-subj", f"/O=Acme/CN={name}", "-out", a.top / f"{name}.csr", check=0)
    (ca / f"{name}.key").chmod(0o600)
    run("openssl", "x509", "-req", "-in", a.top / f"{name}.csr", "-CA", ca / "root.crt", "-CAkey", ca / "root.key",
        "-passin", f"pass:{PASSPHRASE}", "-days", "900", "-extfile", ext, "-out", ca / f"{name}.crt", check=0)


@pytest.fixture
def two():
    a = Authority()
    add_ca(a, "site-b")
    a.start()
    yield a
    a.close()


def verify(a, chain, *more):
    leaf = a.top / "chain.pem"
    leaf.write_text(chain)
    return subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", a.state / "ca/root.crt", "-untrusted", leaf,
                           *more, leaf], capture_output=True, text=True)


def test_each_certificate_is_by_the_ca_that_was_asked_and_openssl_accepts_both(two):
    for issuer, cn in (({}, "Issuing CA"), ({"issuer": "site-b"}, "site-b"), ({"issuer": "issuing"}, "Issuing CA")):
        status, _, made = two.issue("pump-1", **issuer)
        assert status == 201, made
        assert cn in made["issuer"]
        done = verify(two, made["chain"])
        assert done.returncode == 0, done.stderr
    status, _, made = two.issue("pump-1", issuer="nobody")
    assert made["reason"] == "unknown-issuer"


def test_each_ca_has_a_crl_of_its_own_and_its_certificates_name_it(two):
    _, _, a = two.issue("pump-a")
    _, _, b = two.issue("pump-b", issuer="site-b")
    for made in (a, b):
        status, _, _ = two.call("POST", "/api/v1/revocations", {"serial": made["serial"]})
        assert status in (200, 201)
    status, _, _ = two.call("POST", "/api/v1/crls", {})
    assert status in (200, 201)
    for made, name, other in ((a, "issuing", b), (b, "site-b", a)):
        status, _, der = two.call("GET", f"/crl/{name}.crl", socket_name="authority")
        assert status == 200
        crl = x509.load_der_x509_crl(der)
        assert crl.get_revoked_certificate_by_serial_number(int(made["serial"], 16)) is not None
        assert crl.get_revoked_certificate_by_serial_number(int(other["serial"], 16)) is None
        leaf = x509.load_pem_x509_certificate(made["certificate"].encode())
        point = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0]
        assert point.full_name[0].value.endswith(f"/crl/{name}.crl")
        (two.top / "crl.pem").write_bytes(crl.public_bytes(serialization.Encoding.PEM))
        done = verify(two, made["chain"], "-crl_check", "-CRLfile", two.top / "crl.pem")
        assert "certificate revoked" in done.stderr
    for name in ("root", "issuing", "site-b"):
        status, _, der = two.call("GET", f"/ca/{name}.crt", socket_name="authority")
        assert status == 200
        assert x509.load_der_x509_certificate(der)
    status, _, _ = two.call("GET", "/ca/nobody.crt", socket_name="authority")
    assert status == 404


def test_crl_numbers_of_each_ca_rise_over_restarts(two):
    def numbers():
        two.call("POST", "/api/v1/crls", {})
        got = []
        for name in ("issuing", "site-b"):
            crl = x509.load_der_x509_crl(two.call("GET", f"/crl/{name}.crl", socket_name="authority")[2])
            got.append(crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
        return got

    before = numbers()
    two.kill("authority")
    two.kill("signer")
    two.start()
    after = numbers()
    assert all(x < y for x, y in zip(before, after)), (before, after)


def test_a_key_that_is_not_the_certificates_stops_the_signer(two):
    two.stop()
    key = two.state / "ca/site-b.key"
    key.write_bytes((two.state / "ca/issuing.key").read_bytes())
    with pytest.raises(AssertionError, match="key-mismatch"):
        two.start(("signer",))
