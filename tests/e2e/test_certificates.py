"""What is issued passes judges that we did not write, and holds what its kind is to hold."""
import stat

import pytest
from conftest import run
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from cryptography.x509.oid import NameOID


KINDS = [("server", "gw.corp.example"), ("user", "ann@corp.example"), ("device", "pump-17")]


@pytest.fixture(scope="module")
def issued(up):
    return {kind: up.issue(kind, name) for kind, name in KINDS}


def split(path):
    return [p + "-----END CERTIFICATE-----\n" for p in path.read_text().split("-----END CERTIFICATE-----\n")[:-1]]


def leaf_of(issued):
    return x509.load_pem_x509_certificate(issued.crt.read_bytes())


def ext(cert, kind):
    return cert.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("kind,purpose", [("server", "sslserver"), ("user", "sslclient"), ("device", "sslclient")])
def test_openssl_verifies_it_strictly(issued, work, kind, purpose):
    i = issued[kind]
    chain = split(i.crt)
    (work / "leaf.pem").write_text(chain[0])
    (work / "rest.pem").write_text("".join(chain[1:]))
    done = run("openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", i.ca, "-untrusted", work / "rest.pem",
               work / "leaf.pem")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["server", "user", "device"])
def test_openssl_verifies_it_with_the_published_crls(up, issued, work, kind):
    chain = split(issued[kind].crt)
    (work / "leaf.pem").write_text(chain[0])
    (work / "rest.pem").write_text("".join(chain[1:]))
    pems = ""
    for name in ("issuing", "root"):
        (work / f"{name}.crl").write_bytes(up.crl(name))
        pems += run("openssl", "crl", "-inform", "DER", "-in", work / f"{name}.crl", check=0).stdout
    (work / "crls.pem").write_text(pems)
    done = run("openssl", "verify", "-x509_strict", "-crl_check_all", "-CRLfile", work / "crls.pem", "-CAfile",
               issued[kind].ca, "-untrusted", work / "rest.pem", work / "leaf.pem")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["server", "user", "device"])
def test_certtool_verifies_it(issued, kind):
    i = issued[kind]
    done = run("certtool", "--verify", "--load-ca-certificate", i.ca, "--infile", i.crt)
    assert done.returncode == 0 and "Chain verification output: Verified" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("kind,name", KINDS)
def test_it_says_what_its_kind_is_to_say(issued, kind, name):
    cert = leaf_of(issued[kind])
    usage = ext(cert, x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    eku = set(ext(cert, x509.ExtendedKeyUsage).value)
    san = ext(cert, x509.SubjectAlternativeName).value
    if kind == "server":
        assert eku == {EKU.SERVER_AUTH}
        assert name in san.get_values_for_type(x509.DNSName)
    if kind == "user":
        assert eku == {EKU.CLIENT_AUTH, EKU.EMAIL_PROTECTION}
        assert san.get_values_for_type(x509.RFC822Name) == [name]
    if kind == "device":
        assert eku == {EKU.CLIENT_AUTH}
        [uri] = san.get_values_for_type(x509.UniformResourceIdentifier)
        assert uri.startswith("spiffe://") and uri.endswith("/device/pump-17")
        assert cert.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value == "pump-17"
    assert cert.serial_number.bit_length() > 100
    ext(cert, x509.AuthorityKeyIdentifier)
    ext(cert, x509.SubjectKeyIdentifier)
    crldp = ext(cert, x509.CRLDistributionPoints).value[0].full_name[0].value
    assert crldp.endswith("/crl/issuing.crl") and crldp.startswith("http://")
    aia = [d.access_location.value for d in ext(cert, x509.AuthorityInformationAccess).value]
    assert any(a.endswith("/ca/issuing.crt") for a in aia)
    days = {"server": 90, "user": 365, "device": 365}[kind]
    assert abs((cert.not_valid_after - cert.not_valid_before).days - days) <= 1


def test_files_are_private_and_whole(issued):
    i = issued["device"]
    assert stat.S_IMODE(i.key.stat().st_mode) == 0o600
    chain = split(i.crt)
    assert len(chain) == 2, "leaf and issuing CA"
    root = x509.load_pem_x509_certificate(i.ca.read_bytes())
    assert root.subject == root.issuer
    assert x509.load_pem_x509_certificate(chain[1].encode()).issuer == root.subject


def test_the_addresses_in_it_answer(up, issued, work):
    cert = leaf_of(issued["device"])
    crl = ext(cert, x509.CRLDistributionPoints).value[0].full_name[0].value
    ca = next(d.access_location.value for d in ext(cert, x509.AuthorityInformationAccess).value
              if d.access_method == AuthorityInformationAccessOID.CA_ISSUERS)
    for url, what in ((crl, "crl"), (ca, "x509")):
        run("curl", "-sS", "-f", "-o", work / what, url, check=0)
        run("openssl", what, "-inform", "DER", "-in", work / what, "-noout", check=0)


def test_media_types_and_conditional_requests(up):
    for path, media in (("/crl/issuing.crl", "application/pkix-crl"), ("/ca/issuing.crt", "application/pkix-cert")):
        head = run("curl", "-sS", "-i", "-o", "-", "--head", up.http_url(path), check=0).stdout.lower()
        assert media in head
        etag = next(line.split(":", 1)[1].strip() for line in head.splitlines() if line.startswith("etag:"))
        etag = run("curl", "-sS", "--head", up.http_url(path)).stdout
        etag = next(line.split(":", 1)[1].strip() for line in etag.splitlines() if line.lower().startswith("etag:"))
        again = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"If-None-Match: {etag}", up.http_url(path))
        assert again.stdout == "304"


def test_the_plain_listener_serves_nothing_else(up):
    for path in ("/", "/api/v1/certificates", "/api/v1/status", "/ca/../ca/issuing.key", "/crl/../../ca/issuing.key"):
        code = run("curl", "-sS", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", up.http_url(path)).stdout
        assert code in ("404", "400", "403", "421"), (path, code)


def test_the_operators_interface_is_not_reachable_through_the_gateway(up):
    for path in ("/api/v1/certificates", "/api/v1/status"):
        body = up.curl(path).body
        assert '"certificates"' not in body and '"uptime_seconds"' not in body


@pytest.mark.parametrize("key_type,check", [
    ("ecdsa-p256", lambda k: isinstance(k, ec.EllipticCurvePublicKey) and k.curve.key_size == 256),
    ("ecdsa-p384", lambda k: isinstance(k, ec.EllipticCurvePublicKey) and k.curve.key_size == 384),
    ("ed25519", lambda k: isinstance(k, ed25519.Ed25519PublicKey)),
    ("rsa-3072", lambda k: isinstance(k, rsa.RSAPublicKey) and k.key_size == 3072),
])
def test_key_types(up, key_type, check):
    i = up.issue("device", f"key-{key_type}", "--key-type", key_type)
    assert check(leaf_of(i).public_key())
    assert up.get("/?format=json", crt=i.crt, key=i.key).json()["identity"] == f"key-{key_type}"


def test_a_request_made_elsewhere(up, work):
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", work / "k",
        "-out", work / "r.csr", "-subj", "/CN=whatever", check=0)
    i = up.issue("device", "csr-1", "--csr", work / "r.csr", out=work)
    assert not i.key.exists()
    assert up.get("/?format=json", crt=i.crt, key=work / "k").json()["identity"] == "csr-1"


@pytest.mark.parametrize("what,make,reason", [
    ("rsa1024", ["-newkey", "rsa:1024"], "key-too-weak"),
    ("sha1", ["-newkey", "rsa:2048", "-sha1"], "algorithm-too-weak"),
    ("ca", ["-newkey", "rsa:2048", "-addext", "basicConstraints=critical,CA:TRUE"], "csr-asks-for-ca"),
])
def test_bad_requests_are_refused_with_a_reason(up, work, what, make, reason):
    run("openssl", "req", "-new", "-nodes", "-keyout", work / "k", "-out", work / "r.csr", "-subj", "/CN=x", *make, check=0)
    i = up.issue("device", f"bad-{what}", "--csr", work / "r.csr", out=work, check=1)
    assert reason in i.done.stderr, i.done.stderr
    assert not i.crt.exists()


def test_a_request_that_was_tampered_with_is_refused(up, work):
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", work / "k",
        "-out", work / "r.der", "-outform", "DER", "-subj", "/CN=tampered", check=0)
    der = bytearray((work / "r.der").read_bytes())
    at = der.find(b"tampered")
    der[at:at + 8] = b"tempered"
    (work / "r.der").write_bytes(der)
    run("openssl", "req", "-inform", "DER", "-in", work / "r.der", "-out", work / "r.csr")
    i = up.issue("device", "bad-pop", "--csr", work / "r.csr", out=work, check=1)
    assert "csr-pop-failed" in i.done.stderr


@pytest.mark.parametrize("kind,name", [("server", "not a name"), ("user", "no-at-sign"), ("device", "../../etc/passwd"),
                                       ("device", "-x"), ("server", "")])
def test_bad_names_are_refused(up, work, kind, name):
    done = up.run("issue", "--out", work, kind, "--", name) if name.startswith("-") else \
        up.run("issue", kind, name, "--out", work)
    assert done.returncode in (1, 2)
    assert "name-invalid" in done.stderr or done.returncode == 2, done.stderr
    assert not list(work.glob("*.crt")) and not list(work.glob("*.key"))


def test_list_and_show(up, issued):
    import json
    names = [json.loads(line) for line in up.run("list", "--json", check=0).stdout.splitlines()]
    if len(names) == 1 and "certificates" in names[0]:
        names = names[0]["certificates"]
    assert {"pump-17", "ann@corp.example", "gw.corp.example"} <= {n["name"] for n in names}
    shown = json.loads(up.run("show", "pump-17", "--json", check=0).stdout)
    assert shown["name"] == "pump-17" and shown["kind"] == "device"
    human = up.run("show", "pump-17", check=0).stdout
    assert "pump-17" in human and "device" in human
