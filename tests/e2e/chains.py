"""Certificates and CRLs written octet by octet, so that any rule can be broken: an own small DER writer, the mathematics
by cryptography. Everything has a default that is right; a test overrides what it is about."""
import base64
import functools
import hashlib
import itertools

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

serials = itertools.count(0x1000)


def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    head = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + head + body


def seq(*parts):
    return der(0x30, *parts)


def oid(text):
    a, b, *rest = map(int, text.split("."))
    out = b""
    for v in [a * 40 + b, *rest]:
        chunk = [v & 0x7F]
        while v := v >> 7:
            chunk.append(0x80 | v & 0x7F)
        out += bytes(reversed(chunk))
    return der(6, out)


def integer(v):
    return der(2, v.to_bytes(v.bit_length() // 8 + 1, "big", signed=True))


def boolean(v=True):
    return der(1, b"\xff" if v else b"\0")


def octets(b):
    return der(4, b)


def bits(b, unused=0):
    return der(3, bytes([unused]), b)


def time(text):
    """"20240301000000Z", as RFC 5280 wants it: UTCTime through 2049."""
    return der(0x17, text[2:].encode()) if 1950 <= int(text[:4]) < 2050 else der(0x18, text.encode())


def rdn(attribute, value, tag=0x0C):
    return der(0x31, seq(oid(attribute), der(tag, value.encode() if isinstance(value, str) else value)))


CN, O, C, EMAIL = "2.5.4.3", "2.5.4.10", "2.5.4.6", "1.2.840.113549.1.9.1"


def name(*rdns):
    """name("cn") or name((CN, "x"), (O, "y")) or ready RDNs."""
    return seq(*[rdn(CN, r) if isinstance(r, str) else r if isinstance(r, bytes) else rdn(*r) for r in rdns])


# GeneralNames
def dns(v):
    return der(0x82, v.encode("latin-1"))


def email(v):
    return der(0x81, v.encode("latin-1"))


def uri(v):
    return der(0x86, v.encode("latin-1"))


def ip(*v):
    return der(0x87, bytes(v))


def dirname(n):
    return der(0xA4, n)


def other_name(o, v):
    return der(0xA0, oid(o), der(0xA0, v))


def ext(o, value, critical=False):
    return seq(oid(o), *([boolean()] if critical else []), octets(value))


SKI, KU, SAN, BC, NC, CDP, CP, PM, AKI, PC, EKU, INHIBIT = (f"2.5.29.{n}" for n in
                                                            (14, 15, 17, 19, 30, 31, 32, 33, 35, 36, 37, 54))
AIA = "1.3.6.1.5.5.7.1.1"
SERVER, CLIENT, MAIL, ANY_EKU = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4", "2.5.29.37.0"
KU_BITS = {"digitalSignature": 0, "nonRepudiation": 1, "keyEncipherment": 2, "keyAgreement": 4, "keyCertSign": 5, "cRLSign": 6}


def bc(ca, path_len=None, critical=True):
    return ext(BC, seq(*([boolean()] if ca else []), *([integer(path_len)] if path_len is not None else [])), critical)


def ku(*names, critical=True):
    v = 0
    for n in names:
        v |= 0x80 >> KU_BITS[n]
    unused = (v & -v).bit_length() - 1 if v else 0
    return ext(KU, bits(bytes([v]) if v else b"", unused), critical)


def eku(*usages, critical=False):
    return ext(EKU, seq(*map(oid, usages)), critical)


def san(*names, critical=False):
    return ext(SAN, seq(*names), critical)


def nc(permitted=(), excluded=(), critical=True):
    lists = [der(0xA0 + i, *[seq(b) for b in bases]) for i, bases in enumerate((permitted, excluded)) if bases]
    return ext(NC, seq(*lists), critical)


def policies(*names):
    return ext(CP, seq(*[seq(oid(n)) for n in names]))


def mappings(*pairs):
    return ext(PM, seq(*[seq(oid(a), oid(b)) for a, b in pairs]), True)


def policy_constraints(explicit=None, inhibit=None):
    parts = [der(0x80 + i, integer(v)[2:]) for i, v in enumerate((explicit, inhibit)) if v is not None]
    return ext(PC, seq(*parts), True)


@functools.lru_cache(None)
def key(which="p256-0"):
    """A key by name, made once a run: "p256-LABEL", "p384-", "rsa2048-", "rsa1024-", "ed-"."""
    kind = which.split("-")[0]
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind == "ed":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1,
                                    "p192": ec.SECP192R1, "k256": ec.SECP256K1}[kind]())


def spki_of(k):
    return k.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(spki):
    return hashlib.sha256(spki).digest()[:20]


ECDSA_SHA256, ECDSA_SHA1, RSA_SHA256, RSA_SHA1 = (seq(oid("1.2.840.10045.4.3.2")), seq(oid("1.2.840.10045.4.1")),
                                                  seq(oid("1.2.840.113549.1.1.11"), der(5)),
                                                  seq(oid("1.2.840.113549.1.1.5"), der(5)))


def algorithm_of(k):
    if isinstance(k, rsa.RSAPrivateKey):
        return RSA_SHA256
    return seq(oid("1.3.101.112")) if isinstance(k, ed25519.Ed25519PrivateKey) else ECDSA_SHA256


def sign(k, tbs, alg):
    digest = hashes.SHA1() if alg in (ECDSA_SHA1, RSA_SHA1) else hashes.SHA256()
    if isinstance(k, rsa.RSAPrivateKey):
        return k.sign(tbs, padding.PKCS1v15(), digest)
    return k.sign(tbs) if isinstance(k, ed25519.Ed25519PrivateKey) else k.sign(tbs, ec.ECDSA(digest))


def pem(label, b):
    return f"-----BEGIN {label}-----\n{base64.encodebytes(b).decode()}-----END {label}-----\n"


class Cert:
    def __init__(self, **had):
        self.__dict__.update(had)

    @property
    def pem(self):
        return pem("CERTIFICATE", self.der)


def cert(subject, by=None, ca=False, k=None, serial=None, since="20200101000000Z", until="20400101000000Z", drop=(),
         add=(), version=2, alg=None, outer_alg=None, issuer=None, spki=None, exts=None, path_len=None, names=None,
         usages=None, akid=None, before_spki=None, break_signature=False, times=None, skid=None):
    """by: the issuing Cert, or None for a self-signed one. drop: OIDs of default extensions to leave out; add: extensions
    that take the place of those of their OID, or are added."""
    k = k or key(f"p256-{subject if isinstance(subject, str) else 'x'}")
    subject_der = subject if isinstance(subject, bytes) else name(subject)
    spki = spki or spki_of(k)
    issuer_der = issuer if issuer is not None else by.subject if by else subject_der
    signer = by.key if by else k
    inner = alg or algorithm_of(signer)
    if exts is None:
        exts = [bc(True, path_len), ku("keyCertSign", "cRLSign")] if ca else [bc(False), ku("digitalSignature")]
        if not ca:
            exts += [eku(*(usages or (SERVER, CLIENT))), san(*(names or [dns("www.example.com")]))]
        exts += [ext(SKI, octets(skid or key_id(spki)))]
        if by:
            exts += [ext(AKI, seq(der(0x80, akid or by.skid)))]
        gone = [oid(d) for d in drop] + [oid_of(a) for a in add]
        exts = [e for e in exts if oid_of(e) not in gone] + list(add)
    serial = next(serials) if serial is None else serial
    tbs = seq(*([der(0xA0, integer(version))] if version else []),
              serial if isinstance(serial, bytes) else integer(serial), inner, issuer_der,
              times or seq(time(since), time(until)), subject_der, spki,
              *([der(0xA3, seq(*exts))] if exts else []))
    signature = sign(signer, tbs, inner)
    if break_signature:
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    whole = seq(tbs, outer_alg or inner, bits(signature))
    return Cert(der=whole, key=k, subject=subject_der, spki=spki, skid=skid or key_id(spki), serial=serial, tbs=tbs)


def oid_of(extension):
    """The OID element of an Extension's DER."""
    at = 2 if extension[1] < 128 else 2 + (extension[1] & 0x7F)
    return extension[at:at + 2 + extension[at + 1]]


def entry(serial, when="20230101000000Z", reason=None, add=()):
    exts = ([ext("2.5.29.21", der(10, bytes([reason])))] if reason is not None else []) + list(add)
    return seq(serial if isinstance(serial, bytes) else integer(serial), time(when), *([seq(*exts)] if exts else []))


def crl(by, *entries, number=1, since="20240101000000Z", until="20390101000000Z", add=(), k=None, issuer=None,
        akid=None, alg=None, break_signature=False):
    k = k or by.key
    alg = alg or algorithm_of(k)
    exts = [ext(AKI, seq(der(0x80, akid or by.skid)))] + ([ext("2.5.29.20", integer(number))] if number is not None else [])
    exts += add
    tbs = seq(integer(1), alg, issuer or by.subject, time(since), *([time(until)] if until else []),
              *([seq(*entries)] if entries else []), der(0xA0, seq(*exts)))
    signature = sign(k, tbs, alg)
    if break_signature:
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    return seq(tbs, alg, bits(signature))


def idp(full=None, user=False, ca=False, indirect=False, reasons=None):
    parts = [der(0xA0, der(0xA0, full))] if full else []
    parts += [der(0x81, b"\xff")] if user else []
    parts += [der(0x82, b"\xff")] if ca else []
    parts += [der(0x83, reasons)] if reasons else []
    parts += [der(0x84, b"\xff")] if indirect else []
    return ext("2.5.29.28", seq(*parts), True)


def delta_of(base):
    return ext("2.5.29.27", integer(base), True)


def points(*full, crl_issuer=None):
    return ext(CDP, seq(*[seq(der(0xA0, der(0xA0, f)), *([der(0xA2, dirname(crl_issuer))] if crl_issuer else []))
                          for f in full]))


# ---- OCSP (RFC 6960 4.2.1) ----
OCSP_SIGNING, OCSP_NOCHECK = "1.3.6.1.5.5.7.3.9", ext("1.3.6.1.5.5.7.48.1.5", b"\5\0")


def gtime(text):
    return der(0x18, text.encode())


def cert_id(of, issuer, digest="sha1", name_of=None, key_of=None, serial=None):
    algorithm = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1", "md5": "1.2.840.113549.2.5"}[digest]
    k = key_octets((key_of or issuer).spki)
    return seq(seq(oid(algorithm), der(5)), octets(hashlib.new(digest, (name_of or issuer).subject).digest()),
               octets(hashlib.new(digest, k).digest()), integer(of.serial if serial is None else serial))


def key_octets(spki):
    """The contents of subjectPublicKey without the octet of unused bits."""
    inner = spki[2:] if spki[1] < 128 else spki[2 + (spki[1] & 0x7F):]
    algorithm = 2 + inner[1]
    rest = inner[algorithm:]
    return rest[3:] if rest[1] < 128 else rest[2 + (rest[1] & 0x7F) + 1:]


def single(of, issuer, status="good", since="20240531230000Z", until="20240602000000Z", reason=None, revoked="20240101000000Z",
           add=(), **how):
    says = {"good": der(0x80), "unknown": der(0x82), "revoked": der(
        0xA1, gtime(revoked), *([der(0xA0, der(10, bytes([reason])))] if reason is not None else []))}[status]
    return seq(cert_id(of, issuer, **how), says, gtime(since), *([der(0xA0, gtime(until))] if until else []),
               *([der(0xA1, seq(*add))] if add else []))


def ocsp(by, *singles, certs=(), key_hash=False, responder=None, produced="20240531230000Z", break_signature=False, status=0, add=(),
         alg=None):
    """Signed by the key of `by`; certs are sent along."""
    if status:
        return seq(der(10, bytes([status])))
    who = der(0xA2, octets(hashlib.sha1(key_octets(by.spki)).digest())) if key_hash else der(0xA1, (responder or by).subject)
    data = seq(who, gtime(produced), seq(*singles), *([der(0xA1, seq(*add))] if add else []))
    alg = alg or algorithm_of(by.key)
    signature = sign(by.key, data, alg)
    if break_signature:
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    basic = seq(data, alg, bits(signature), *([der(0xA0, seq(*[c.der for c in certs]))] if certs else []))
    return seq(der(10, b"\0"), der(0xA0, seq(oid("1.3.6.1.5.5.7.48.1.1"), octets(basic))))
