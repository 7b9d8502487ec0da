"""countersign lint: every rule of the table has a certificate, CRL or request that breaks it and a twin that keeps it,
made by programs that we did not write."""
import datetime
import json
import re

import pytest
from conftest import ROOT, countersign, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from cryptography.x509.oid import NameOID, ObjectIdentifier

DER = serialization.Encoding.DER
EC = ec.generate_private_key(ec.SECP256R1())
FROM, SERIAL = datetime.datetime(2026, 1, 1), 0x1122334455667788
ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Issuer")])
AKI = x509.AuthorityKeyIdentifier.from_issuer_public_key(EC.public_key())


def usage(**bits):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{n: bits.get(n, False) for n in names})


def points(url):
    return x509.CRLDistributionPoints([x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)])


def leaf():
    """The extensions of a good one, by name: (extension, critical)."""
    return {"bc": (x509.BasicConstraints(False, None), True), "ku": (usage(digital_signature=True), True),
            "eku": (x509.ExtendedKeyUsage([EKU.SERVER_AUTH]), False),
            "san": (x509.SubjectAlternativeName([x509.DNSName("a.example")]), False), "aki": (AKI, False),
            "cdp": (points("http://a.example/c.crl"), False)}


def ca():
    return {"bc": (x509.BasicConstraints(True, None), True), "ku": (usage(key_cert_sign=True, crl_sign=True), True),
            "ski": (x509.SubjectKeyIdentifier.from_public_key(EC.public_key()), False), "aki": (AKI, False)}


def cert(exts=None, subject=(("CN", "a.example"),), days=90, serial=SERIAL, key=EC, signer=EC, digest=hashes.SHA256(),
         patch=None, **changed):
    exts = leaf() if exts is None else exts
    for name, value in changed.items():
        exts.pop(name, None)
        if value is not None:
            exts[name] = value if isinstance(value, tuple) else (value, False)
    oids = {"CN": NameOID.COMMON_NAME, "C": NameOID.COUNTRY_NAME, "O": NameOID.ORGANIZATION_NAME}
    b = (x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(oids[k], v) for k, v in subject]))
         .issuer_name(ISSUER).serial_number(serial).public_key(key.public_key())
         .not_valid_before(FROM).not_valid_after(FROM + datetime.timedelta(days=days)))
    for value, critical in exts.values():
        b = b.add_extension(value, critical)
    return patched(b.sign(signer, digest).public_bytes(DER), patch)


def patched(der, patch):
    """Lint looks at no signature, so that octets may be exchanged."""
    if patch:
        assert len(patch[0]) == len(patch[1]) and patch[0] in der
        der = der.replace(patch[0], patch[1])
    return der


def version_1(work):
    (work / "k").write_bytes(EC.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))
    run("openssl", "req", "-new", "-key", work / "k", "-subj", "/CN=old", "-out", work / "r", check=0)
    run("openssl", "x509", "-req", "-in", work / "r", "-signkey", work / "k", "-outform", "DER", "-out", work / "c",
        check=0)
    return (work / "c").read_bytes()


def raw(oid, der, critical=False):
    return x509.UnrecognizedExtension(ObjectIdentifier(oid), der), critical


def sans(*names, critical=False):
    return x509.SubjectAlternativeName(list(names)), critical


CERTS = {
    "form": lambda: cert(patch=(b"260101000000Z", b"26010100000xZ")),
    "form-strict": lambda: cert(aki=(AKI, True)),
    "version": version_1,
    "serial-positive": lambda: cert(patch=(b"\x02\x08\x11\x22", b"\x02\x08\x91\x22")),
    "serial-random": lambda: cert(serial=77),
    "validity-order": lambda: cert(patch=(b"260401000000Z", b"250401000000Z")),
    "validity-server": lambda: cert(days=800),
    "signature-algorithm": lambda: cert(signer=RSA, digest=hashes.SHA1()),
    "key-strong": lambda: cert(key=SMALL),
    "ca-subject": lambda: cert(ca(), subject=()),
    "subject-lengths": lambda: cert(subject=(("O", "x" * 65),)),
    "subject-country": lambda: cert(subject=(("C", "de"),)),
    "subject-blanks": lambda: cert(subject=(("O", " Acme"),)),
    "ca-basic-constraints": lambda: cert(ca(), bc=x509.BasicConstraints(True, None)),
    "path-length": lambda: cert(bc=raw("2.5.29.19", b"\x30\x03\x02\x01\x01", True)),
    "ca-key-usage": lambda: cert(ca(), ku=(usage(crl_sign=True), True)),
    "leaf-signs": lambda: cert(ku=(usage(digital_signature=True, key_cert_sign=True), True)),
    "key-usage-missing": lambda: cert(ku=None),
    "key-usage-critical": lambda: cert(ku=usage(digital_signature=True)),
    "key-usage-fits": lambda: cert(ku=(usage(digital_signature=True, key_encipherment=True), True)),
    "eku-missing": lambda: cert(eku=None),
    "eku-any": lambda: cert(eku=x509.ExtendedKeyUsage([EKU.SERVER_AUTH, ObjectIdentifier("2.5.29.37.0")])),
    "san-missing": lambda: cert(san=None),
    "san-critical": lambda: cert(subject=()),
    "san-not-critical": lambda: cert(san=sans(x509.DNSName("a.example"), critical=True)),
    "san-dns": lambda: cert(san=sans(x509.DNSName("a.example"), x509.DNSName("a b.example"))),
    "san-email": lambda: cert(san=sans(x509.DNSName("a.example"), x509.RFC822Name("ann"))),
    "san-uri": lambda: cert(san=sans(x509.DNSName("a.example"), x509.UniformResourceIdentifier("nowhere"))),
    "san-twice": lambda: cert(san=sans(x509.DNSName("a.example"), x509.DNSName("A.example"))),
    "cn-in-san": lambda: cert(subject=(("CN", "b.example"),)),
    "ca-skid": lambda: cert(ca(), ski=None),
    "akid": lambda: cert(aki=None),
    "crl-address": lambda: cert(cdp=points("https://a.example/c.crl")),
    "revocation-source": lambda: cert(cdp=None),
    "name-constraints": lambda: cert(nc=(x509.NameConstraints([x509.DNSName("a.example")], None), True)),
    "critical-unknown": lambda: cert(x=raw("1.2.3.4", b"\x05\x00", True)),
}
RSA = rsa.generate_private_key(65537, 2048)
SMALL = rsa.generate_private_key(65537, 1024)


def crl(days=7, number=(x509.CRLNumber(1), False), aki=(AKI, False), extra=None, signer=EC, digest=hashes.SHA256(),
        patch=None):
    b = (x509.CertificateRevocationListBuilder().issuer_name(ISSUER).last_update(FROM)
         .next_update(FROM + datetime.timedelta(days=days)))
    for e in (number, aki, extra):
        if e:
            b = b.add_extension(*e)
    return patched(b.sign(signer, digest).public_bytes(DER), patch)


CRLS = {
    "crl-form": lambda: crl(patch=(b"260101000000Z", b"26010100000xZ")),
    "crl-form-strict": lambda: crl(number=(x509.CRLNumber(1), True)),
    "crl-next-update": lambda: crl(patch=(b"260108000000Z", b"250108000000Z")),
    "crl-number": lambda: crl(number=None),
    "crl-akid": lambda: crl(aki=None),
    "crl-algorithm": lambda: crl(signer=RSA, digest=hashes.SHA1()),
    "crl-critical-unknown": lambda: crl(extra=raw("1.2.3.4", b"\x05\x00", True)),
    "crl-long": lambda: crl(days=500),
}


def csr(is_ca=False, patch=None):
    b = x509.CertificateSigningRequestBuilder().subject_name(ISSUER)
    b = b.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
    return patched(b.sign(EC, hashes.SHA256()).public_bytes(DER), patch)


CSRS = {"request": lambda: csr(patch=(b"Issuer", b"Someon")), "request-ca": lambda: csr(is_ca=True)}
GOOD = {"leaf": cert, "ca": lambda: cert(ca()), "crl": crl, "csr": csr,
        "ed25519": lambda: cert(key=ed25519.Ed25519PrivateKey.generate())}


def lint(work, der, *args, check=None):
    (work / "x.der").write_bytes(der)
    done = countersign("lint", "--json", *args, work / "x.der", check=check)
    (one,) = json.loads(done.stdout)
    return one, done.returncode


def make(maker, work):
    return maker(work) if maker is version_1 else maker()


@pytest.mark.parametrize("name", GOOD)
def test_what_keeps_all_rules(name, work):
    one, code = lint(work, GOOD[name](), "--strict")
    assert one["findings"] == [] and code == 0, one


@pytest.mark.parametrize("rule", [*CERTS, *CRLS, *CSRS])
def test_what_breaks_a_rule_is_found(rule, work):
    one, code = lint(work, make({**CERTS, **CRLS, **CSRS}[rule], work))
    found = {f["rule"]: f for f in one["findings"]}
    assert rule in found, one
    assert code == (1 if any(f["severity"] == "error" for f in found.values()) else 0)
    assert found[rule]["source"] and found[rule]["found"] and found[rule]["demands"]


def test_every_rule_has_its_pair():
    table = countersign("lint", "--rules", check=0).stdout
    assert re.findall(r"^\| `([a-z0-9-]+)`", table, re.M) == [*CERTS, *CRLS, *CSRS]


def test_the_document_holds_the_table():
    assert countersign("lint", "--rules", check=0).stdout in (ROOT / "docs/lint.md").read_text()


def test_a_bundle_is_judged_one_by_one(work):
    pem = b""
    for der, label in ((cert(), "CERTIFICATE"), (crl(number=None), "X509 CRL"), (csr(), "CERTIFICATE REQUEST")):
        (work / "d").write_bytes(der)
        kind = {"CERTIFICATE": "x509", "X509 CRL": "crl", "CERTIFICATE REQUEST": "req"}[label]
        pem += run("openssl", kind, "-inform", "DER", "-in", work / "d", check=0).stdout.encode()
    (work / "all.pem").write_bytes(pem)
    done = countersign("lint", work / "all.pem", check=1)
    assert "certificate 1: CN=a.example: keeps all rules" in done.stdout
    assert re.search(r"CRL 2: CN=Issuer: *\n  error +crl-form-strict|CRL 2: CN=Issuer: *\n  error +crl-number", done.stdout)
    assert "3 objects, " in done.stdout


def test_what_is_none_of_them(work):
    for text, reason in (("", "file-empty"), ("hello", "file-wrong-type")):
        (work / "t").write_text(text)
        assert reason in countersign("lint", work / "t", check=1).stderr
    assert "file-not-found" in countersign("lint", work / "nowhere", check=1).stderr


def test_ours_keep_the_rules(up):
    done = countersign("lint", "--strict", up.ca, up.crt, up.state / "ca/issuing.crt", check=0)
    assert "error" not in done.stdout.replace("0 errors", "") and "warning" not in done.stdout.replace("0 warnings", "")
    der = run("curl", "-sSf", up.http_url("/crl/issuing.crl"), "-o", str(up.state) + ".crl", check=0)
    countersign("lint", "--strict", str(up.state) + ".crl", check=0)
    assert der.returncode == 0
