"""Keys that the server makes and seals to a key of the client's (RFC 7030 4.4.1.2): opened with openssl."""
import base64
import hashlib

import pytest
from asn1crypto import cms, core, csr as acsr, keys
from conftest import run
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from test_enroll_est import certificates, enrolled, est, subject, token

DECRYPT_KEY, ASYMMETRIC_KEY = "1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54"


class _Octets(core.SetOf):
    _child_spec = core.OctetString


for oid, name in ((DECRYPT_KEY, "decrypt_key"), (ASYMMETRIC_KEY, "asymmetric_decrypt_key")):
    acsr.CSRAttributeType._map[oid] = name
    acsr.CSRAttributeType._reverse_map = None
    acsr.CRIAttribute._oid_specs[name] = _Octets


def request(key, cn, attribute, value):
    """A request with such an attribute, as base64."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = acsr.CertificationRequestInfo({"version": "v1", "subject": acsr.Name.build({"common_name": cn}),
                                          "subject_pk_info": keys.PublicKeyInfo.load(spki),
                                          "attributes": [{"type": attribute, "values": [core.OctetString(value)]}]})
    if isinstance(key, rsa.RSAPrivateKey):
        signature, alg = key.sign(info.dump(), padding.PKCS1v15(), hashes.SHA256()), "sha256_rsa"
    else:
        signature, alg = key.sign(info.dump(), ec.ECDSA(hashes.SHA256())), "sha256_ecdsa"
    return base64.encodebytes(acsr.CertificationRequest({"certification_request_info": info, "signature_algorithm": {"algorithm": alg},
                                                         "signature": signature}).dump())


def pem_of(key, path):
    path.write_bytes(key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return path


def opened(up, work, heads, answer, key_file):
    """PEM of the certificate whose key was sealed, after its key was found to fit."""
    parts = [p.partition(b"\r\n\r\n") for p in answer.split(b"--" + heads["content-type"].partition("=")[2].encode())[1:-1]]
    assert b"smime-type=server-generated-key" in parts[0][0] and b"PRIVATE" not in answer
    (work / "sealed").write_bytes(base64.b64decode(parts[0][2]))
    run("openssl", "cms", "-decrypt", "-inform", "DER", "-in", work / "sealed", "-inkey", key_file, "-binary", "-out", work / "signed", check=0)
    env = cms.ContentInfo.load((work / "sealed").read_bytes())["content"]["encrypted_content_info"]
    assert env["content_type"].native == "signed_data" and env["content_encryption_algorithm"]["algorithm"].native == "aes256_cbc"
    wrapped = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData.load((work / "signed").read_bytes())})
    assert wrapped["content"]["encap_content_info"]["content_type"].dotted == "2.16.840.1.101.2.1.2.78.5"
    (work / "signed.p7").write_bytes(wrapped.dump())
    run("openssl", "cms", "-verify", "-inform", "DER", "-in", work / "signed.p7", "-CAfile", up.ca, "-purpose", "any", "-binary", "-out", work / "package", check=0)
    package = core.SequenceOf.load((work / "package").read_bytes(), spec=keys.PrivateKeyInfo)
    assert len(package) == 1
    (work / "k.der").write_bytes(package[0].dump())
    pem = certificates(work, parts[1][2])
    pub = run("openssl", "pkey", "-inform", "DER", "-in", work / "k.der", "-pubout", check=0).stdout
    assert run("openssl", "x509", "-noout", "-pubkey", input=pem, check=0).stdout == pub
    return pem


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_it_is_sealed_to_the_key_of_the_request(up, work, kind):
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    name = f"sealed-{kind}"
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    sha1 = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
    ids = {"ec": sha1, "rsa": hashlib.sha256(spki).digest()}
    body = request(key, name, "asymmetric_decrypt_key", ids[kind])
    status, heads, answer = est(up, work, "serverkeygen", body, f"{name}:{token(up, name)}")
    assert status == 200, answer
    assert name in subject(opened(up, work, heads, answer, pem_of(key, work / "mine.pem")))


def test_it_is_sealed_to_the_clients_certificate(up, work):
    crt, key_file = enrolled(up, work, "sealed-1")
    cert = x509.load_pem_x509_certificate(crt.read_bytes())
    skid = cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    body = request(ec.generate_private_key(ec.SECP256R1()), "sealed-1", "asymmetric_decrypt_key", skid)
    status, heads, answer = est(up, work, "serverkeygen", body, crt=crt, key=key_file)
    assert status == 200, answer
    assert "sealed-1" in subject(opened(up, work, heads, answer, key_file))


@pytest.mark.parametrize("attribute,value,status,why", [
    ("asymmetric_decrypt_key", b"\1" * 20, 400, b"decrypt-key-unknown"), ("decrypt_key", b"any", 400, b"decrypt-key-unknown"),
    ("asymmetric_decrypt_key", b"", 400, b"csr-malformed"), ("asymmetric_decrypt_key", b"x" * 65, 400, b"csr-malformed"),
])
def test_a_key_that_is_not_known_makes_no_key(up, work, attribute, value, status, why):
    secret = token(up, "sealed-2")
    body = request(ec.generate_private_key(ec.SECP256R1()), "sealed-2", attribute, value)
    got, _, answer = est(up, work, "serverkeygen", body, f"sealed-2:{secret}")
    assert (got, answer.split(b":")[0]) == (status, why)
    body = request(ec.generate_private_key(ec.SECP256R1()), "sealed-2", "asymmetric_decrypt_key", b"ab" * 10)
    assert est(up, work, "simpleenroll", body, f"sealed-2:{secret}")[0] == 200  # of no concern there; the token was not used up
