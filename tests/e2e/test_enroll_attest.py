"""ACME's device-attest-01 with a TPM 2.0 (swtpm): its key is certified, and each way in which its word may be false is refused."""
import datetime as dt
import hashlib
import itertools
import shutil
import socket
import struct
import tempfile
from pathlib import Path

import pytest
import requests
from acme_kit import Client, b64, challenge_of, error_of
from asn1crypto import csr
from conftest import System, countersign, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gateway_kit import Ca, now
from test_enroll_vendors import hardware_module
from test_tpm import Tpm

needed = [p for p in ("swtpm", "tpm2_create") if shutil.which(p) is None]
pytestmark = pytest.mark.skipif(bool(needed), reason=f"not installed: {needed}")

CONFIG = """profiles:
  - {name: sensor, kind: device, lifetime: 7d}
enroll:
  listed_keys: true
  vendors:
    - {name: chips, as: tpm, anchors: chips.pem, identity: "{serial}", serial: hardware-module}
  doors:
    - {protocol: acme, label: open, accounts: open}
"""
AIK = x509.ObjectIdentifier("2.23.133.8.3")
KEY, AK, LOOSE, FREE = 0x81010001, 0x81010002, 0x81010003, 0x81010004
SIGNS = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"


class Chip(Tpm):
    """A TPM with a key for the device, an attestation key, and two keys that will not do."""

    def __init__(self, folder):
        super().__init__(folder)
        self.folder, self.public, self.area = folder, {}, {}
        self.tool("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", "primary.ctx")
        for handle, attributes, scheme in ((KEY, SIGNS, "ecc256"), (AK, SIGNS + "|restricted", "ecc256:ecdsa-sha256:null"), (LOOSE, SIGNS, "ecc256:ecdsa-sha256"),
                                           (FREE, "sensitivedataorigin|userwithauth|sign", "ecc256")):
            stem = f"k{handle & 15}"
            self.tool("tpm2_create", "-C", "primary.ctx", "-G", scheme, "-u", stem + ".pub", "-r", stem + ".priv", "-a", attributes)
            self.tool("tpm2_load", "-C", "primary.ctx", "-u", stem + ".pub", "-r", stem + ".priv", "-c", stem + ".ctx")
            self.tool("tpm2_evictcontrol", "-C", "o", "-c", stem + ".ctx", hex(handle))
            self.tool("tpm2_readpublic", "-c", stem + ".ctx", "-f", "pem", "-o", stem + ".pem")
            self.public[handle] = serialization.load_pem_public_key((folder / (stem + ".pem")).read_bytes())
            self.area[handle] = (folder / (stem + ".pub")).read_bytes()[2:]

    def tool(self, *args):
        run(*args, env=self.env, cwd=self.folder, check=0)
        run("tpm2_flushcontext", "-t", env=self.env, cwd=self.folder, check=0)

    def certify(self, key, by, extra):
        """TPM2_Certify, as the TPM takes it: (certInfo, TPMT_SIGNATURE). Part 3, 18.2."""
        sessions = struct.pack(">IHBH", 0x40000009, 0, 0, 0) * 2
        body = struct.pack(">III", key, by, len(sessions)) + sessions + struct.pack(">H", len(extra)) + extra + struct.pack(">H", 0x0010)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.settimeout(20)
            s.sendall(struct.pack(">HII", 0x8002, 10 + len(body), 0x148) + body)
            answer = s.recv(8192)
        code, size = struct.unpack(">I", answer[6:10])[0], struct.unpack(">I", answer[10:14])[0]
        assert code == 0, hex(code)
        params = answer[14:14 + size]
        n = struct.unpack(">H", params[:2])[0]
        return params[2:2 + n], params[2 + n:]

    def request(self, work, name, handle=KEY):
        run("openssl", "req", "-new", "-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2", "-key", f"handle:{handle:#x}", "-subj",
            f"/CN={name}", "-outform", "DER", "-out", work / "r.der", env=self.env, check=0)
        made = csr.CertificationRequest.load((work / "r.der").read_bytes())
        made["signature_algorithm"] = {"algorithm": "sha256_ecdsa"}  # tpm2-openssl 1.1 adds NULL, against RFC 5758 3.2
        return made.dump(force=True)


def spki(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def cbor(v):
    def head(major, n):
        return bytes([major << 5 | n]) if n < 24 else bytes([major << 5 | 24, n]) if n < 256 else bytes([major << 5 | 25]) + n.to_bytes(2, "big")
    if isinstance(v, int):
        return head(0, v) if v >= 0 else head(1, -1 - v)
    if isinstance(v, bytes):
        return head(2, len(v)) + v
    if isinstance(v, str):
        return head(3, len(v)) + v.encode()
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(cbor, v))
    return head(5, len(v)) + b"".join(cbor(k) + cbor(x) for k, x in v.items())


class Lab:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
        self.tpm = Chip(self.folder)
        self.ca = Ca("Chips", Ca("Chips root"))
        self.ca.parent.pem(self.folder / "chips.pem")
        (self.folder / "c.yaml").write_text(CONFIG)
        self.system = System(config=self.folder / "c.yaml")
        self.system.start()

    def url(self, label=""):
        return f"https://localhost:{self.system.https}/acme/{label}"

    def ak_certificate(self, serial, ca=None, usage=AIK, key=None):
        ca = ca or self.ca
        key = key or self.tpm.public[AK]
        b = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(ca.cert.subject).public_key(key)
             .serial_number(x509.random_serial_number()).not_valid_before(now() - dt.timedelta(1)).not_valid_after(dt.datetime(9999, 12, 31, 23, 59, 59))
             .add_extension(x509.BasicConstraints(False, None), True).add_extension(x509.ExtendedKeyUsage([usage]), False)
             .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), False)
             .add_extension(x509.SubjectAlternativeName([hardware_module(serial.encode())]), True))
        return [c.public_bytes(Encoding.DER) for c in (b.sign(ca.key, hashes.SHA256()), ca.cert)]

    def close(self):
        self.system.stop()
        self.system.close()
        self.tpm.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def lab():
    made = Lab()
    yield made
    made.close()


class From(requests.adapters.HTTPAdapter):
    """Each asks from an address of its own: refusals are counted by it."""
    _last = itertools.count(2)

    def init_poolmanager(self, *args, **kwargs):
        n = next(From._last)
        super().init_poolmanager(*args, source_address=(f"127.7.{n // 250}.{n % 250 + 1}", 0), **kwargs)


class Attempt:
    """An order for a device, up to the challenge."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.client = Client(lab)
        self.client.http.mount("https://", From())
        assert self.client.register().status_code == 201
        self.order = self.client.order({"type": "permanent-identifier", "value": name})
        assert self.order.status_code == 201, self.order.text
        authz = self.client.authorizations(self.order)[0]
        assert [c["type"] for c in authz["challenges"]] == ["device-attest-01"]
        self.challenge = challenge_of(authz, "device-attest-01")
        self.extra = hashlib.sha256(self.client.answer_of(self.challenge).encode()).digest()

    def statement(self, key=KEY, by=AK, extra=None, area=None, chain=None, patch=None, **instead):
        info, signature = self.lab.tpm.certify(key, by, self.extra if extra is None else extra)
        s = {"ver": "2.0", "alg": -7, "x5c": chain or self.lab.ak_certificate(self.name), "sig": signature,
             "certInfo": patch(info) if patch else info, "pubArea": self.lab.tpm.area[area or key], **instead}
        return {"fmt": "tpm", "attStmt": s}

    def answer(self, what):
        """The challenge after that statement (or those octets)."""
        octets = what if isinstance(what, bytes) else cbor(what)
        return self.client.post(self.challenge["url"], {"attObj": b64(octets)})

    def finalize(self, csr):
        return self.client.post(self.order.json()["finalize"], {"csr": b64(csr)})


def refused(answer):
    assert answer.status_code == 200, answer.text
    challenge = answer.json()
    assert challenge["status"] == "invalid", challenge
    return challenge["error"]["reason"], challenge["error"]["detail"]


def test_a_tpms_key_is_certified_and_again_for_the_next_order(lab, work):
    for _ in range(2):  # what ACME calls a renewal
        a = Attempt(lab, "tpm-1")
        assert a.answer(a.statement()).json()["status"] == "valid"
        done = a.finalize(lab.tpm.request(work, "tpm-1"))
        assert done.status_code == 200, done.text
        pem = a.client.post(done.json()["certificate"]).text
    leaf = x509.load_pem_x509_certificate(pem.encode())
    assert spki(leaf.public_key()) == spki(lab.tpm.public[KEY])
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.UniformResourceIdentifier)[0].endswith("/tpm-1")
    log = countersign("log", "--name", "tpm-1", "--json", "--state", lab.system.state, check=0).stdout
    assert "name-proven" in log and "device-attest-01" in log
    # revoked, it does not come back by itself
    countersign("revoke", "tpm-1", "--reason", "privilege-withdrawn", "--state", lab.system.state, check=0)
    a = Attempt(lab, "tpm-1")
    assert refused(a.answer(a.statement()))[0] == "revoked"


def test_the_request_must_be_for_the_attested_key_and_name_nobody_else(lab, work):
    a = Attempt(lab, "tpm-2")
    assert a.answer(a.statement()).json()["status"] == "valid"
    other = ec.generate_private_key(ec.SECP256R1())

    def asking(*sans):
        b = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tpm-2")]))
        b = b.add_extension(x509.SubjectAlternativeName(list(sans)), False) if sans else b
        return b.sign(other, hashes.SHA256()).public_bytes(Encoding.DER)
    assert error_of(a.finalize(asking()))[1] == "attestation-invalid"
    assert error_of(a.finalize(asking(x509.DNSName("gw.example"))))[1] == "name-not-allowed"
    assert error_of(a.finalize(lab.tpm.request(work, "tpm-3")))[1] == "name-not-allowed"
    assert a.finalize(lab.tpm.request(work, "tpm-2")).status_code == 200
    countersign("revoke", "tpm-2", "--state", lab.system.state, check=0)  # its key is that of the other tests


def cut(info):
    return info[:-1]


@pytest.mark.parametrize("name,reason,words", [
    ("another nonce", "attestation-invalid", "another challenge"), ("replayed", "attestation-invalid", "another challenge"),
    ("another key's area", "attestation-invalid", "another key"), ("magic", "signature-invalid", ""), ("unrestricted signer", "attestation-invalid", "magic"),
    ("not an attestation key", "attestation-invalid", "AIK"), ("another signer", "signature-invalid", ""), ("unknown vendor", "unknown-issuer", ""),
    ("another device", "device-not-allowed", ""), ("a key that may leave", "attestation-invalid", "may leave"), ("cut", "signature-invalid", ""),
    ("wrong alg", "attestation-invalid", "alg")])
def test_a_false_word_is_refused_and_audited(lab, name, reason, words):
    a = Attempt(lab, "tpm-9")
    if name == "replayed":
        first = a.statement()
        a = Attempt(lab, "tpm-9")
    software = ec.generate_private_key(ec.SECP256R1())

    def forged():
        """A key that is not restricted signs what no TPM has made."""
        info, _ = lab.tpm.certify(KEY, AK, a.extra)
        info = b"\x00\x00\x00\x00" + info[4:]
        return a.statement(chain=lab.ak_certificate("tpm-9", key=software.public_key()), certInfo=info, sig=software.sign(info, ec.ECDSA(hashes.SHA256())))
    make = {
        "another nonce": lambda: a.statement(extra=b"\x00" * 32), "replayed": lambda: first, "another key's area": lambda: a.statement(area=LOOSE),
        "magic": lambda: a.statement(patch=lambda i: b"\x00\x00\x00\x00" + i[4:]), "unrestricted signer": forged,
        "not an attestation key": lambda: a.statement(by=LOOSE, chain=lab.ak_certificate("tpm-9", usage=x509.ExtendedKeyUsageOID.CLIENT_AUTH,
                                                                                        key=lab.tpm.public[LOOSE])),
        "another signer": lambda: a.statement(by=LOOSE), "unknown vendor": lambda: a.statement(chain=lab.ak_certificate("tpm-9", ca=Ca("Crook"))),
        "another device": lambda: a.statement(chain=lab.ak_certificate("tpm-8")), "a key that may leave": lambda: a.statement(key=FREE),
        "cut": lambda: a.statement(patch=cut), "wrong alg": lambda: a.statement(alg=-257)}
    got = refused(a.answer(make[name]()))
    assert got[0] == reason and words in got[1], got
    assert a.answer(a.statement()).json()["status"] == "invalid"  # it was the one try
    assert error_of(a.finalize(b""))[1] == "order-not-ready"
    rows = countersign("log", "--event", "enroll-refused", "--json", "--state", lab.system.state, check=0).stdout
    assert reason in rows and "tpm-9" in rows


@pytest.mark.parametrize("octets", [
    b"", b"\xa2", b"\xbf\xff", cbor({"fmt": "packed", "attStmt": {}}), cbor({"fmt": "tpm"}), cbor({"fmt": "tpm", "attStmt": {"ver": "2.0"}}),
    cbor({"fmt": "tpm", "attStmt": {"ver": "1.2", "alg": -7, "x5c": [b"x"], "sig": b"", "certInfo": b"", "pubArea": b""}}),
    cbor({"fmt": "tpm", "attStmt": {"ver": "2.0", "alg": -7, "x5c": [b"x"] * 9, "sig": b"", "certInfo": b"", "pubArea": b""}}),
    b"\xa2\x78\x03fmt\x63tpm", b"\xa1\x63fmt\x9b" + b"\xff" * 8])
def test_what_is_no_statement_is_refused(lab, octets):
    a = Attempt(lab, "tpm-7")
    assert refused(a.answer(octets))[0] == "attestation-invalid"


def test_an_attestation_key_that_is_listed_needs_no_vendor(lab, work):
    countersign("device", "allow", "tpm-5", "--key-sha256", hashlib.sha256(spki(lab.tpm.public[AK])).hexdigest(), "--state", lab.system.state, check=0)
    a = Attempt(lab, "tpm-5")
    assert a.answer(a.statement(chain=lab.ak_certificate("whatever", ca=Ca("Nobody")))).json()["status"] == "valid"
    countersign("device", "remove", "tpm-5", "--state", lab.system.state, check=0)


def test_a_device_is_ordered_alone(lab):
    client = Client(lab)
    client.register()
    both = client.order({"type": "permanent-identifier", "value": "tpm-1"}, "gw.example")
    assert error_of(both) == ("unsupportedIdentifier", "identifier-unsupported")
    assert error_of(client.order({"type": "permanent-identifier", "value": "no name!"}))[1] == "name-invalid"
