"""SCEP as another would write it (asn1crypto, cryptography): messages right and wrong, answers taken apart."""
import base64
import hashlib
import http.client
import os
import urllib.parse

from asn1crypto import cms, core, x509 as ax
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding as sym, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import AttributeOID, NameOID
from mint import DAY, now

CERT_REP, RENEWAL, PKCS_REQ, POLL, GET_CERT, GET_CRL = 3, 17, 19, 20, 21, 22
SUCCESS, FAILURE, PENDING = 0, 2, 3
BAD_ALG, BAD_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID = range(5)
OID = "2.16.840.1.113733.1.9."


class _Texts(core.SetOf):
    _child_spec = core.PrintableString


class _Utf8s(core.SetOf):
    _child_spec = core.UTF8String


class _Octets(core.SetOf):
    _child_spec = core.OctetString


for oid, name, spec in ((OID + "2", "scep_type", _Texts), (OID + "3", "scep_status", _Texts), (OID + "4", "scep_fail", _Texts),
                        (OID + "5", "scep_sender", _Octets), (OID + "6", "scep_recipient", _Octets),
                        (OID + "7", "scep_transaction", _Texts), ("1.3.6.1.5.5.7.24.1", "scep_text", _Utf8s)):
    cms.CMSAttributeType._map[oid] = name
    cms.CMSAttributeType._reverse_map = None
    cms.CMSAttribute._oid_specs[name] = spec

_keys = {}


@pytest.fixture(autouse=True)
def fresh_keys():
    """Each test has keys of its own: one of two identities is refused."""
    _keys.clear()


def rsa_key(name="a"):
    """The same for the same name: making one takes a while."""
    if name not in _keys:
        _keys[name] = rsa.generate_private_key(65537, 2048)
    return _keys[name]


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)


def self_signed(key, cn):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
    return (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
            .not_valid_before(now() - DAY).not_valid_after(now() + DAY).sign(key, hashes.SHA256()))


def request(key, cn, challenge=None, sans=(), ca=False, digest=None):
    b = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)]))
    if sans:
        b = b.add_extension(x509.SubjectAlternativeName(list(sans)), False)
    if ca:
        b = b.add_extension(x509.BasicConstraints(True, None), True)
    if challenge is not None:
        b = b.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    return b.sign(key, digest or hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def seal(content, to, cipher="aes128", oaep=False):
    """An EnvelopedData to the certificate `to`."""
    key, iv = os.urandom({"aes128": 16, "aes256": 32, "3des": 24}[cipher]), os.urandom(8 if cipher == "3des" else 16)
    alg = algorithms.TripleDES(key) if cipher == "3des" else algorithms.AES(key)
    pad = sym.PKCS7(alg.block_size).padder()
    enc = Cipher(alg, modes.CBC(iv)).encryptor()
    octets = enc.update(pad.update(content) + pad.finalize()) + enc.finalize()
    c = ax.Certificate.load(der(to))
    wrapped = to.public_key().encrypt(key, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None) if oaep else padding.PKCS1v15())
    return cms.ContentInfo({"content_type": "enveloped_data", "content": {
        "version": "v0", "recipient_infos": [cms.RecipientInfo("ktri", {
            "version": "v0",
            "rid": cms.RecipientIdentifier("issuer_and_serial_number", {"issuer": c.issuer, "serial_number": c.serial_number}),
            "key_encryption_algorithm": {"algorithm": "rsaes_oaep", "parameters": {
                "hash_algorithm": {"algorithm": "sha1"}, "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": "sha1"}},
                "p_source_algorithm": {"algorithm": "p_specified", "parameters": b""}}} if oaep else {"algorithm": "rsaes_pkcs1v15"},
            "encrypted_key": wrapped})],
        "encrypted_content_info": {
            "content_type": "data",
            "content_encryption_algorithm": {"algorithm": {"aes128": "aes128_cbc", "aes256": "aes256_cbc", "3des": "tripledes_3key"}[cipher],
                                             "parameters": iv},
            "encrypted_content": octets}}}).dump()


def message(kind, envelope, key, cert, transaction="t-1", nonce=None, digest="sha256", drop=(), twice=(), kind_text=None, sign_with=None,
            status=None, more=()):
    """A SignedData over an envelope; drop, twice: attributes that are left out, or are there twice; more: certificates that go along."""
    nonce = os.urandom(16) if nonce is None else nonce
    attrs = [("content_type", "data"), ("message_digest", hashlib.new(digest, envelope).digest()),
             ("scep_type", core.PrintableString(str(kind) if kind_text is None else kind_text)),
             ("scep_transaction", core.PrintableString(transaction)), ("scep_sender", nonce)]
    attrs += [("scep_status", core.PrintableString(str(status)))] if status is not None else []
    attrs = [a for a in attrs if a[0] not in drop]
    attrs += [a for a in attrs if a[0] in twice]
    signed = cms.CMSAttributes([cms.CMSAttribute({"type": t, "values": [v]}) for t, v in attrs])
    md = {"sha256": hashes.SHA256, "sha1": hashes.SHA1, "md5": hashes.MD5, "sha512": hashes.SHA512}[digest]()
    signer = sign_with or key
    if isinstance(signer, ec.EllipticCurvePrivateKey):
        signature, alg = signer.sign(signed.dump(), ec.ECDSA(md)), "sha256_ecdsa"
    else:
        signature, alg = signer.sign(signed.dump(), padding.PKCS1v15(), md), "rsassa_pkcs1v15"
    c = ax.Certificate.load(der(cert))
    return cms.ContentInfo({"content_type": "signed_data", "content": {
        "version": "v1", "digest_algorithms": [{"algorithm": digest}],
        "encap_content_info": {"content_type": "data", "content": envelope},
        "certificates": [c, *(ax.Certificate.load(der(m)) for m in more)],
        "signer_infos": [{
            "version": "v1",
            "sid": cms.SignerIdentifier("issuer_and_serial_number", {"issuer": c.issuer, "serial_number": c.serial_number}),
            "digest_algorithm": {"algorithm": digest}, "signed_attrs": signed,
            "signature_algorithm": {"algorithm": alg}, "signature": signature}]}}).dump()


def issuer_and_serial(issuer_cert, serial):
    return cms.IssuerAndSerialNumber({"issuer": ax.Certificate.load(der(issuer_cert)).subject, "serial_number": serial}).dump()


def issuer_and_subject(issuer_cert, cn):
    class Pair(core.Sequence):
        _fields = [("issuer", ax.Name), ("subject", ax.Name)]
    return Pair({"issuer": ax.Certificate.load(der(issuer_cert)).subject, "subject": ax.Name.build({"common_name": cn})}).dump()


class Reply:
    """An answer over HTTP; when it is a CertRep, verified by the RA's certificate and taken apart."""

    def __init__(self, http_status, kind, body, ra=None, key=None):
        self.http, self.kind, self.body = http_status, kind, body
        self.status = self.fail = None
        self.text, self.certs, self.crls = "", [], []
        if kind != "application/x-pki-message":
            return
        signed = cms.ContentInfo.load(body)["content"]
        info = signed["signer_infos"][0]
        attrs = {a["type"].native: a["values"][0].native for a in info["signed_attrs"]}
        content = signed["encap_content_info"]["content"].native or b""
        digest = info["digest_algorithm"]["algorithm"].native
        assert attrs["message_digest"] == hashlib.new(digest, content).digest()
        first = x509.load_der_x509_certificate(signed["certificates"][0].chosen.dump())
        if ra is not None:
            assert der(first) == der(ra)
        tbs = b"\x31" + info["signed_attrs"].dump()[1:]
        first.public_key().verify(info["signature"].native, tbs, padding.PKCS1v15(),
                                  {"sha256": hashes.SHA256, "sha1": hashes.SHA1, "md5": hashes.MD5, "sha512": hashes.SHA512}[digest]())
        assert attrs["scep_type"] == str(CERT_REP)
        self.digest = digest
        self.status, self.transaction = int(attrs["scep_status"]), attrs["scep_transaction"]
        self.fail = int(attrs["scep_fail"]) if "scep_fail" in attrs else None
        self.text = attrs.get("scep_text", "")
        self.recipient, self.sender = attrs.get("scep_recipient"), attrs.get("scep_sender")
        if self.status == SUCCESS and key is not None:
            self._open(content, key)

    def _open(self, content, key):
        env = cms.ContentInfo.load(content)["content"]
        info = env["encrypted_content_info"]
        self.cipher = info["content_encryption_algorithm"]["algorithm"].native
        iv = info["content_encryption_algorithm"]["parameters"].native
        cek = key.decrypt(env["recipient_infos"][0].chosen["encrypted_key"].native, padding.PKCS1v15())
        alg = algorithms.TripleDES(cek) if self.cipher == "tripledes_3key" else algorithms.AES(cek)
        dec = Cipher(alg, modes.CBC(iv)).decryptor()
        un = sym.PKCS7(alg.block_size).unpadder()
        plain = dec.update(info["encrypted_content"].native) + dec.finalize()
        bag = cms.ContentInfo.load(un.update(plain) + un.finalize())["content"]
        self.certs = [x509.load_der_x509_certificate(c.chosen.dump()) for c in bag["certificates"]] if bag["certificates"].native else []
        self.crls = [x509.load_der_x509_crl(c.chosen.dump()) for c in bag["crls"]] if bag["crls"].native else []

    @property
    def leaf(self):
        return self.certs[0]


class Scep:
    """One endpoint of a running system, asked over plain HTTP; each instance has an address of its own."""
    _last = [0]

    def __init__(self, system, label="", path="/scep"):
        self.system, self.path = system, path + (f"/{label}" if label else "")
        Scep._last[0] += 1
        self.source = f"127.9.{Scep._last[0] // 250}.{Scep._last[0] % 250 + 1}"
        self._ra = None

    def http(self, method, query="", body=None, headers=None, version=11):
        c = http.client.HTTPConnection("127.0.0.1", self.system.http, timeout=30, source_address=(self.source, 0))
        c._http_vsn, c._http_vsn_str = version, f"HTTP/1.{version % 10}"
        try:
            c.request(method, self.path + query, body, headers or {})
            r = c.getresponse()
            return r.status, r.getheader("Content-Type"), r.read()
        finally:
            c.close()

    def cacert(self):
        status, kind, body = self.http("GET", "?operation=GetCACert")
        assert status == 200, body
        if kind == "application/x-x509-ca-cert":
            return [x509.load_der_x509_certificate(body)]
        assert kind == "application/x-x509-ca-ra-cert"
        return [x509.load_der_x509_certificate(c.chosen.dump()) for c in cms.ContentInfo.load(body)["content"]["certificates"]]

    @property
    def ra(self):
        self._ra = self._ra or self.cacert()[0]
        return self._ra

    def post(self, octets, key=None, **how):
        return Reply(*self.http("POST", "?operation=PKIOperation", octets, **how), ra=self.ra, key=key)

    def get(self, octets, key=None, quote=None):
        text = base64.b64encode(octets).decode()
        text = quote(text) if quote else urllib.parse.quote(text, safe="")
        return Reply(*self.http("GET", f"?operation=PKIOperation&message={text}"), ra=self.ra, key=key)

    def enroll(self, cn, challenge=None, key=None, cert=None, csr=None, kind=PKCS_REQ, new_key=None, cipher="aes128", **how):
        """PKCSReq by a key and its self-signed certificate, or by `cert`."""
        key = key or rsa_key()
        csr = csr if csr is not None else request(new_key or key, cn, challenge)
        return self.post(message(kind, seal(csr, self.ra, cipher), key, cert or self_signed(key, cn), **how), key)
