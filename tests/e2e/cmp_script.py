"""CMP byte by byte (RFC 9810, RFC 4211): messages as no well-behaved client sends them, written independently of the product."""
import hashlib
import hmac
import os

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

IR, IP, CR, CP, P10CR, KUR, KUP, RR, RP, PKICONF, NESTED, GENM, GENP, ERROR, CERTCONF, POLLREQ, POLLREP = 0, 1, 2, 3, 4, 7, 8, 11, 12, 19, 20, 21, 22, 23, 24, 25, 26
FAILURES = {0: "badAlg", 1: "badMessageCheck", 2: "badRequest", 4: "badCertId", 5: "badDataFormat", 9: "badPOP", 10: "certRevoked", 12: "wrongIntegrity",
            13: "badRecipientNonce", 15: "unacceptedPolicy", 18: "badSenderNonce", 19: "badCertTemplate", 20: "signerNotTrusted", 21: "transactionIdInUse",
            22: "unsupportedVersion", 23: "notAuthorized", 24: "systemUnavail", 25: "systemFailure"}


# ---- DER ----

def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 128:
        return bytes([tag, n]) + body
    size = (n.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + n.to_bytes(size, "big") + body


def seq(*parts):
    return tlv(0x30, *parts)


def ctx(n, *parts):
    return tlv(0xa0 | n, *parts)


def integer(v):
    return tlv(0x02, v.to_bytes(v.bit_length() // 8 + 1, "big", signed=True))


def octets(b):
    return tlv(0x04, b)


def utf8(s):
    return tlv(0x0c, s.encode())


def bits(b):
    return tlv(0x03, b"\0", b)


def oid(text):
    arcs = [int(x) for x in text.split(".")]
    out = []
    for v in [arcs[0] * 40 + arcs[1], *arcs[2:]]:
        part = [v & 0x7f]
        while v := v >> 7:
            part.insert(0, 0x80 | v & 0x7f)
        out += part
    return tlv(0x06, bytes(out))


def parse(data):
    """[(tag, contents, whole)] of a row of elements."""
    found, at = [], 0
    while at < len(data):
        tag, n, head = data[at], data[at + 1], 2
        if n & 0x80:
            head += n & 0x7f
            n = int.from_bytes(data[at + 2:at + head], "big")
        found.append((tag, data[at + head:at + head + n], data[at:at + head + n]))
        at += head + n
    return found


def inside(element):
    return parse(element[1])


def name(cn):
    return seq(tlv(0x31, seq(oid("2.5.4.3"), utf8(cn)))) if cn else seq()


# ---- protection ----

PBM, PBMAC1, SHA256, HMAC_SHA256, HMAC_SHA1 = "1.2.840.113533.7.66.13", "1.2.840.113549.1.5.14", "2.16.840.1.101.3.4.2.1", "1.2.840.113549.2.9", "1.3.6.1.5.5.8.1.2"


class Pbm:
    def __init__(self, secret, rounds=500, owf=("2.16.840.1.101.3.4.2.1", "sha256"), mac=(HMAC_SHA256, "sha256"), salt=None):
        self.secret, self.rounds, self.owf, self.mac, self.salt = secret.encode(), rounds, owf, mac, salt or os.urandom(16)
        self.alg = seq(oid(PBM), seq(octets(self.salt), seq(oid(owf[0])), integer(rounds), seq(oid(mac[0]), tlv(5))))

    def protect(self, covered):
        key = hashlib.new(self.owf[1], self.secret + self.salt).digest()
        for _ in range(min(self.rounds, 200000) - 1):
            key = hashlib.new(self.owf[1], key).digest()
        return hmac.new(key, covered, self.mac[1]).digest()


class Pbmac1:
    def __init__(self, secret, rounds=2000):
        self.secret, self.rounds, self.salt = secret.encode(), rounds, os.urandom(16)
        prf = seq(oid(HMAC_SHA256), tlv(5))
        kdf = seq(oid("1.2.840.113549.1.5.12"), seq(octets(self.salt), integer(rounds), integer(32), prf))
        self.alg = seq(oid(PBMAC1), seq(kdf, prf))

    def protect(self, covered):
        return hmac.new(hashlib.pbkdf2_hmac("sha256", self.secret, self.salt, self.rounds, 32), covered, "sha256").digest()


class Signature:
    """By an EC key and its certificate (PEM files)."""

    def __init__(self, crt, key, more=()):
        from cryptography import x509
        self.cert = x509.load_pem_x509_certificate(open(crt, "rb").read())
        self.key = serialization.load_pem_private_key(open(key, "rb").read(), None)
        self.alg = seq(oid("1.2.840.10045.4.3.2"))
        self.extra = [self.cert.public_bytes(serialization.Encoding.DER), *more]
        self.subject = self.cert.subject.public_bytes()

    def protect(self, covered):
        return self.key.sign(covered, ec.ECDSA(hashes.SHA256()))


# ---- messages ----

def crmf(key, cn, signer=None, old=None, extensions=b"", popo=None, request_id=0):
    """A CertReqMsg of an EC key; signer: whose proof it carries, when not its own."""
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    template = seq(ctx(5, name(cn)), b"\xa6" + spki[1:], ctx(9, extensions) if extensions else b"")
    controls = seq(seq(oid("1.3.6.1.5.5.7.5.1.5"), seq(ctx(4, old[0]), integer(old[1])))) if old else b""
    req = seq(integer(request_id), template, controls)
    proof = popo or ctx(1, seq(oid("1.2.840.10045.4.3.2")), bits((signer or key).sign(req, ec.ECDSA(hashes.SHA256()))))
    return seq(req, proof)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


class Transaction:
    """One client's: remembers identifier and nonces."""

    def __init__(self, protection=None, sender="", kid=None):
        self.by, self.kid = protection, kid
        self.sender = protection.subject if isinstance(protection, Signature) else name(sender)
        self.id, self.theirs, self.nonce = os.urandom(16), None, None

    def message(self, body, content, **how):
        """how: pvno, id, nonce, recip_nonce, info, alg, protection, tag."""
        self.nonce = how.get("nonce", os.urandom(16))
        recip = how.get("recip_nonce", self.theirs)
        protector = how.get("by", self.by)
        fields = [integer(how.get("pvno", 2)), ctx(4, self.sender), ctx(4, name("CA")), ctx(0, tlv(0x18, b"20261125080000Z"))]
        if protector:
            fields.append(ctx(1, protector.alg))
        for n, value in ((2, self.kid), (4, how.get("id", self.id)), (5, self.nonce), (6, recip)):
            if value:
                fields.append(ctx(n, octets(value.encode() if isinstance(value, str) else value)))
        if how.get("info"):
            fields.append(ctx(8, seq(*how["info"])))
        header, body = seq(*fields), ctx(body, content)
        parts = [header, body]
        if protector:
            mac = protector.protect(seq(header, body))
            parts.append(ctx(0, bits(how.get("spoil", lambda m: m)(mac))))
        if getattr(protector, "extra", None):
            parts.append(ctx(1, seq(*protector.extra)))
        return seq(*parts)

    def send(self, url, body, content, **how):
        answer = post(url, self.message(body, content, **how))
        self.theirs = answer.sender_nonce
        return answer


IMPLICIT = seq(oid("1.3.6.1.5.5.7.4.13"), tlv(5))


class Answer:
    def __init__(self, response):
        self.http, self.type, self.raw = response.status_code, response.headers.get("content-type"), response.content
        self.body = self.failure = self.text = self.status = self.cert = self.sender_nonce = None
        if self.type != "application/pkixcmp":
            return
        message = inside(parse(self.raw)[0])
        header = inside(message[0])
        self.pvno = header[0][1][-1]
        fields = {e[0] & 0x1f: inside(e)[0][1] for e in header[3:]}
        self.kid, self.id, self.sender_nonce, self.recip_nonce = (fields.get(n) for n in (2, 4, 5, 6))
        self.protected_by = parse(fields[1])[0][1] if 1 in fields else None
        self.body, content = message[1][0] & 0x1f, inside(message[1])[0]
        self.extra = [e[2] for e in inside(inside(message[3])[0])] if len(message) > 3 else []
        self.content = content
        if self.body in (IP, CP, KUP):
            parts = inside(content)
            self.ca_pubs = [e[2] for e in inside(inside(parts[0])[0])] if parts[0][0] == 0xa1 else []
            one = inside(inside(parts[-1])[0])
            self.request_id = int.from_bytes(one[0][1], "big", signed=True)
            self._take(one[1])
            if len(one) > 2:
                self.cert = inside(inside(one[2])[0])[0][2]
        elif self.body == ERROR:
            self._take(inside(content)[0])
        elif self.body == RP:
            self._take(inside(inside(content)[0])[0])

    def _take(self, info):
        parts = inside(info)
        self.status = parts[0][1][-1]
        self.failure = set()
        for tag, contents, _ in parts[1:]:
            if tag == 0x30:
                self.text = parse(contents)[0][1].decode()
            if tag == 0x03:
                self.failure = {FAILURES[i] for i in range((len(contents) - 1) * 8) if contents[1 + i // 8] & 0x80 >> i % 8}

    @property
    def reason(self):
        return (self.text or "").partition(":")[0]


def post(url, body, kind="application/pkixcmp"):
    return Answer(requests.post(url, data=body, headers={"Content-Type": kind} if kind else {}, timeout=20))


def cert_conf(cert, request_id=0, status=None, digest="sha256"):
    """CertConfirmContent of that certificate (DER)."""
    rejected = seq(integer(status)) if status is not None else b""
    return seq(seq(octets(hashlib.new(digest, cert).digest()), integer(request_id), rejected))
