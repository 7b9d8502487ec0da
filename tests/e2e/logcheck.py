"""A stranger's check of the audit log, by docs/audit-log.md alone: nothing of ours is used."""
import base64
import hashlib
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def leaf(record):
    return hashlib.sha256(b"\0" + record).digest()


def node(a, b):
    return hashlib.sha256(b"\1" + a + b).digest()


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node(root(leaves[:k]), root(leaves[k:]))


def root_by_path(at, index, size, path):
    """RFC 9162 2.1.3.2."""
    sn = size - 1
    for p in path:
        assert sn > 0
        if index & 1 or index == sn:
            at = node(p, at)
            while not index & 1 and index:
                index, sn = index >> 1, sn >> 1
        else:
            at = node(at, p)
        index, sn = index >> 1, sn >> 1
    assert sn == 0
    return at


def head(note, vkey):
    """The records and the root of a head whose signature is good under the key."""
    name, ident, key = vkey.strip().split("+", 2)
    raw = base64.b64decode(key)
    assert raw[0] == 1 and hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == ident
    text, signatures = note.split("\n\n")
    dash, who, signature = signatures.splitlines()[0].split(" ")
    signature = base64.b64decode(signature)
    assert dash == "\u2014" and who == name and signature[:4].hex() == ident
    Ed25519PublicKey.from_public_bytes(raw[1:]).verify(signature[4:], text.encode() + b"\n")
    origin, size, top, _ = text.split("\n")
    assert origin == name
    return int(size), base64.b64decode(top)


def claim(key):
    """The CA says that this is its log's key."""
    ca = x509.load_pem_x509_certificate(key["ca"].encode())
    said = b"countersign audit log key v1\n" + key["vkey"].encode() + b"\n"
    ca.public_key().verify(base64.b64decode(key["claim"]), said, ec.ECDSA(hashes.SHA256()))
    return ca


def proof(p):
    """What a proof proves: the record."""
    claim(p["key"])
    size, top = head(p["head"], p["key"]["vkey"])
    path = [bytes.fromhex(h) for h in p["path"]]
    assert root_by_path(leaf(p["record"].encode()), p["sequence"] - 1, size, path) == top
    return json.loads(p["record"])
