"""A TLS client that says what its script says, in its order: for peers that leave messages out, repeat them, or lie in them. Just enough of
RFC 8446 and RFC 5246 (X25519, AES-128-GCM, ECDSA) to be a good client when the script is a good one."""
import os
import socket
import struct

from conftest import PATIENCE
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography import x509

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
NAMES = {1: "client_hello", 2: "server_hello", 8: "encrypted_extensions", 11: "certificate", 12: "server_key_exchange", 13: "certificate_request",
         14: "server_hello_done", 15: "certificate_verify", 20: "finished"}


def digest(data):
    h = hashes.Hash(hashes.SHA256())
    h.update(data)
    return h.finalize()


def mac(key, data):
    h = hmac.HMAC(key, hashes.SHA256())
    h.update(data)
    return h.finalize()


def vec(size, data):
    return len(data).to_bytes(size, "big") + data


def message(kind, body):
    return bytes([kind]) + vec(3, body)


def expand(secret, label, context, n):
    info = struct.pack(">H", n) + vec(1, b"tls13 " + label) + vec(1, context)
    return mac(secret, info + b"\x01")[:n]


def prf(secret, label, seed, n):
    out, a = b"", label + seed
    while len(out) < n:
        a = mac(secret, a)
        out += mac(secret, a + label + seed)
    return out[:n]


class Keys13:
    def __init__(self, secret):
        self.secret, self.seq = secret, 0
        self.aead, self.iv = AESGCM(expand(secret, b"key", b"", 16)), expand(secret, b"iv", b"", 12)

    def nonce(self):
        n = bytes(a ^ b for a, b in zip(self.iv, self.seq.to_bytes(12, "big")))
        self.seq += 1
        return n

    def seal(self, kind, data):
        head = struct.pack(">BHH", DATA, 0x303, len(data) + 17)
        return head + self.aead.encrypt(self.nonce(), data + bytes([kind]), head)

    def open(self, head, data):
        clear = self.aead.decrypt(self.nonce(), data, head).rstrip(b"\0")
        return clear[-1], clear[:-1]


class Keys12:
    def __init__(self, key, iv):
        self.aead, self.iv, self.seq = AESGCM(key), iv, 0

    def aad(self, kind, n):
        self.seq += 1
        return struct.pack(">QBHH", self.seq - 1, kind, 0x303, n)

    def seal(self, kind, data):
        explicit = self.seq.to_bytes(8, "big")
        body = explicit + self.aead.encrypt(self.iv + explicit, data, self.aad(kind, len(data)))
        return struct.pack(">BHH", kind, 0x303, len(body)) + body

    def open(self, head, data):
        return head[0], self.aead.decrypt(self.iv + data[:8], data[8:], self.aad(head[0], len(data) - 24))


class Script:
    """client: gateway.Client; stranger: another, whose key signs lies."""

    def __init__(self, port, host, client, stranger=None, version=13, more=()):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10 * PATIENCE)
        self.host, self.version, self.transcript = host.encode(), version, b""
        self.read_keys = self.write_keys = None
        self.more, self.said = list(more), {}  # extensions of the ClientHello; messages of the server by their name
        self.pending, self.alert, self.share = b"", None, x25519.X25519PrivateKey.generate()
        self.client, self.stranger, self.random = client, stranger or client, os.urandom(32)

    # ---- records ----
    def exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise ConnectionError("closed")
            data += more
        return data

    def record(self):
        head = self.exactly(5)
        data = self.exactly(struct.unpack(">H", head[3:])[0])
        if self.read_keys and head[0] != CCS:
            return self.read_keys.open(head, data)
        return head[0], data

    def next(self):
        """Type and whole of the next handshake message."""
        while len(self.pending) < 4 or len(self.pending) < 4 + int.from_bytes(self.pending[1:4], "big"):
            kind, data = self.record()
            if kind == ALERT:
                self.alert = data[1]
                raise ConnectionError(f"alert {data[1]}")
            if kind == HANDSHAKE:
                self.pending += data
        n = 4 + int.from_bytes(self.pending[1:4], "big")
        m, self.pending = self.pending[:n], self.pending[n:]
        self.transcript += m
        self.said[NAMES.get(m[0], str(m[0]))] = m[4:]
        return NAMES.get(m[0], str(m[0])), m[4:]

    def send_record(self, kind, data):
        if self.write_keys:
            self.sock.sendall(self.write_keys.seal(kind, data))
        else:
            self.sock.sendall(struct.pack(">BHH", kind, 0x303, len(data)) + data)

    def say(self, kind, body, count=True):
        m = message(kind, body)
        self.send_record(HANDSHAKE, m)
        if count:
            self.transcript += m

    # ---- the beginning, which is always a good one ----
    def hello(self):
        public = self.share.public_key().public_bytes_raw() if hasattr(self.share.public_key(), "public_bytes_raw") else \
            self.share.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = public
        exts = [(0, vec(2, b"\0" + vec(2, self.host))), (10, vec(2, b"\0\x1d\0\x17")), (13, vec(2, bytes.fromhex("040308040401080708050806")))]
        if self.version == 13:
            exts += [(43, vec(1, b"\x03\x04")), (51, vec(2, b"\0\x1d" + vec(2, public)))]
        else:
            exts += [(11, vec(1, b"\0")), (23, b""), (0xff01, b"\0")]
        exts += self.more
        suites = b"\x13\x01" if self.version == 13 else b"\xc0\x2b\xc0\x2f"
        body = b"\x03\x03" + self.random + vec(1, os.urandom(32)) + vec(2, suites) + b"\x01\0" + vec(2, b"".join(
            struct.pack(">H", t) + vec(2, d) for t, d in exts))
        self.say(1, body)
        kind, sh = self.next()
        assert kind == "server_hello"
        self.server_random = sh[2:34]
        return self.begin_13(sh) if self.version == 13 else self.begin_12()

    def begin_13(self, sh):
        at = 35 + sh[34] + 3 + 2
        peer = None
        while at < len(sh):
            t, n = struct.unpack(">HH", sh[at:at + 4])
            if t == 51:
                peer = sh[at + 8:at + 4 + n]
            at += 4 + n
        shared = self.share.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        empty = digest(b"")
        early = mac(b"\0" * 32, b"\0" * 32)
        secret = mac(expand(early, b"derived", empty, 32), shared)
        so_far = digest(self.transcript)
        self.client_hs = expand(secret, b"c hs traffic", so_far, 32)
        self.read_keys = Keys13(expand(secret, b"s hs traffic", so_far, 32))
        self.asked = False
        while True:
            kind, _ = self.next()
            self.asked = self.asked or kind == "certificate_request"
            if kind == "finished":
                break
        self.write_keys = Keys13(self.client_hs)
        master = mac(expand(secret, b"derived", empty, 32), b"\0" * 32)
        so_far = digest(self.transcript)
        self.client_app = expand(master, b"c ap traffic", so_far, 32)
        self.server_app = expand(master, b"s ap traffic", so_far, 32)

    def begin_12(self):
        self.asked = False
        while True:
            kind, body = self.next()
            if kind == "server_key_exchange":
                assert body[:4] == b"\x03\0\x1d\x20"
                self.shared = self.share.exchange(x25519.X25519PublicKey.from_public_bytes(body[4:36]))
            self.asked = self.asked or kind == "certificate_request"
            if kind == "server_hello_done":
                return
        self.master = None

    # ---- what the script says ----
    def certificates(self, who):
        blocks = open(who.crt, "rb").read().split(b"-----BEGIN")[1:]
        return [x509.load_pem_x509_certificate(b"-----BEGIN" + b).public_bytes(serialization.Encoding.DER) for b in blocks]

    def certificate(self, who=None, none=False):
        list_ = [] if none else self.certificates(who or self.client)
        if self.version == 13:
            return b"\0" + vec(3, b"".join(vec(3, c) + b"\0\0" for c in list_))
        return vec(3, b"".join(vec(3, c) for c in list_))

    def verify(self, how):
        who = self.stranger if how == "other key" else self.client
        key = serialization.load_pem_private_key(open(who.key, "rb").read(), None)
        side = b"server" if how == "server's words" else b"client"
        said = self.transcript[:-1] if how == "other transcript" else self.transcript
        if self.version == 13:
            said = b" " * 64 + b"TLS 1.3, " + side + b" CertificateVerify\0" + digest(said)
        signature = key.sign(said, ec.ECDSA(hashes.SHA256()))
        if how == "flipped":
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        if how == "empty":
            signature = b""
        algorithm = {"sha1": b"\x02\x03", "rsa": b"\x08\x04", "none": b"\0\0"}.get(how, b"\x04\x03")
        return algorithm + vec(2, signature)

    def secrets_12(self):
        if getattr(self, "master", None) is None:
            self.master = prf(self.shared, b"extended master secret", digest(self.transcript), 48)
            block = prf(self.master, b"key expansion", self.server_random + self.random, 40)
            self.client_keys, self.server_keys = Keys12(block[:16], block[32:36]), Keys12(block[16:32], block[36:40])

    def finished(self, how):
        if self.version == 13:
            data = mac(expand(self.client_hs, b"finished", b"", 32), digest(self.transcript))
        else:
            self.secrets_12()
            data = prf(self.master, b"client finished", digest(self.transcript), 12)
        if how == "flipped":
            data = data[:-1] + bytes([data[-1] ^ 1])
        return {"empty": b"", "short": data[:-1], "long": data + b"\0", "zeros": bytes(len(data))}.get(how, data)

    def step(self, what):
        name, _, how = what.partition(":")
        if name == "Certificate":
            self.say(11, self.certificate(self.stranger if how == "other" else None, how == "none"))
        elif name == "KeyExchange":
            self.say(16, vec(1, self.public))
            self.secrets_12()  # RFC 7627 4: of all messages up to this one
        elif name == "Verify":
            self.say(15, self.verify(how))
        elif name == "Cipher":
            self.sock.sendall(struct.pack(">BHH", CCS, 0x303, 1) + b"\x01")
            if self.version == 12 and how != "only":
                self.secrets_12()
                self.write_keys = self.client_keys
        elif name == "Finished":
            self.say(20, self.finished(how))
        elif name == "Message":
            self.say(int(how), b"")
        elif name == "Data":
            if self.version == 13 and how != "early":
                self.write_keys = Keys13(self.client_app)
            self.send_record(DATA, b"GET / HTTP/1.1\r\nHost: " + self.host + b"\r\nConnection: close\r\n\r\n")
        else:
            raise ValueError(what)

    def answer(self):
        """What came back of application data; the alert is in self.alert."""
        out = b""
        if self.version == 13 and self.read_keys:
            hs, self.read_keys = self.read_keys, Keys13(self.server_app)
        try:
            while True:
                if self.version == 12 and self.read_keys is None and getattr(self, "master", None):
                    head = self.exactly(5)
                    data = self.exactly(struct.unpack(">H", head[3:])[0])
                    if head[0] == CCS:
                        self.read_keys = self.server_keys
                        continue
                    kind = head[0]
                else:
                    try:
                        kind, data = self.record()
                    except InvalidTag:  # an alert under the handshake's keys
                        self.alert = self.alert or "sealed"
                        return out
                if kind == ALERT:
                    self.alert = data[1]
                elif kind == DATA:
                    out += data
        except (ConnectionError, TimeoutError):
            return out

    def run(self, steps):
        """Application data that came back."""
        try:
            self.hello()
            for s in steps:
                self.step(s)
        except (ConnectionError, BrokenPipeError):
            pass
        out = self.answer()
        self.sock.close()
        return out
