"""A gateway alone, without an authority: certificates by python3-cryptography, an upstream that writes down what it
gets, and a client that resumes sessions where it likes. For tests of what no `countersign up` shows: many sites, many
client CAs, a feed that lies or falls silent."""
import hashlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import mint
import pytest
from conftest import LIBEXEC, PATIENCE, die_with_parent, free_port, parse_event, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
NAMES = ["localhost", "a.test", "b.test", *(f"{kind}{n}.test" for kind in ("none", "opt", "req") for n in (1, 2))]
SECOND = 1.0 * PATIENCE


class Service:
    """A TCP service on a port of its own (or that one): serve(socket) in a thread for each connection."""

    def __init__(self, port=0):
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        try:
            self.serve(c)
        except ConnectionError:
            pass  # a client that has gone, as some of them do here

    def serve(self, c):
        raise NotImplementedError

    def close(self):
        self.socket.close()


class Upstream(Service):
    """Answers every request with its own head; `heads` are what it got."""

    def __init__(self):
        self.heads, self.hold = [], 0.0
        super().__init__()

    def serve(self, c):
        f = c.makefile("rb")
        with c, f:
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = f.readline()
                    if not line:
                        return
                    head += line
                self.heads.append(head.decode("latin-1"))
                if b"upgrade: websocket" in head.lower():
                    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                    while data := c.recv(4096):
                        c.sendall(b"echo " + data)
                    return
                time.sleep(self.hold)
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))


class CA:
    """One that signs leaves itself."""

    def __init__(self, folder, cn):
        self.folder, self.cn = Path(folder), cn
        self.cert, self.key = mint.foreign_ca(cn)
        self.path = self.folder / f"{cn}.pem"
        self.path.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        self.spki = hashlib.sha256(self.cert.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()

    def client(self, cn, **how):
        crt, key = mint.leaf(self.folder, (self.cert, self.key), cn, **how)
        return Client(crt, key)

    def server(self, cn, *names):
        crt, key = mint.leaf(self.folder, (self.cert, self.key), cn, eku=(EKU.SERVER_AUTH,),
                             sans=[x509.DNSName(n) for n in names])
        return Client(crt, key)

    def crl(self, path, *clients, number=1):
        b = (x509.CertificateRevocationListBuilder().issuer_name(self.cert.subject)
             .last_update(mint.now() - mint.DAY).next_update(mint.now() + mint.DAY)
             .add_extension(x509.CRLNumber(number), False)
             .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False))
        for c in clients:
            b = b.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(c.cert.serial_number)
                                          .revocation_date(mint.now()).build())
        Path(path).write_bytes(b.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path


class Client:
    def __init__(self, crt, key):
        self.crt, self.key = crt, key
        self.cert = x509.load_pem_x509_certificate(Path(crt).read_bytes())

    @property
    def serial(self):
        n = self.cert.serial_number
        return n.to_bytes(n.bit_length() // 8 + 1, "big")


class Gateway:
    """sites: YAML of the list below `sites:`, with @FOLDER@ for the folder; server.pem/.key there are for *.test."""

    def __init__(self, sites, more="", authority=False, threads=2):
        self.folder = Path(tempfile.mkdtemp(prefix="cg-", dir="/tmp"))
        self.state = self.folder / "s"
        (self.state / "run").mkdir(parents=True, mode=0o700)
        self.folder.chmod(0o700)
        self.state.chmod(0o700)
        self.https, self.http, self.metrics_port = free_port(), free_port(), free_port()
        self.root = CA(self.folder, "servers")
        self.server = self.root.server("server", *NAMES)
        self.conf = self.folder / "c.yaml"
        self.upstream = Upstream()
        self.more, self.threads = more, threads
        self.write(sites)
        self.log_path, self.proc, self.feed = self.folder / "log", None, None
        if authority:
            (self.state / "ca").mkdir(mode=0o700)
            self.feed = Feed(self.state / "run/feed.sock")

    def text(self, sites, more=None):
        return (f"state: {self.state}\nhttps: 127.0.0.1:{self.https}\nhttp: 127.0.0.1:{self.http}\n"
                f"metrics: 127.0.0.1:{self.metrics_port}\nthreads: {self.threads}\nupstream: {self.upstream.url}\n"
                f"{self.more if more is None else more}\nsites:\n{sites}\n").replace("@FOLDER@", str(self.folder))

    def write(self, sites, more=None):
        self.conf.write_text(self.text(sites, more))

    def start(self, wait=True):
        r, w = os.pipe()
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen([str(LIBEXEC / "countersign-gateway"), "-c", str(self.conf), "--notify", str(w)],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[w],
                                         preexec_fn=die_with_parent)
        os.close(w)
        self.notify = os.fdopen(r, "rb")
        if wait and self.notify.readline() != b"ready\n":
            pytest.fail(f"the gateway did not get ready:\n{self.log()[-3000:]}")
        return self

    def signal(self, number):
        self.proc.send_signal(number)

    def reload(self, event):
        """SIGHUP; waits for that event in the log."""
        at = len(self.log())
        self.signal(signal.SIGHUP)
        wait_for(lambda: event in self.log()[at:], 5, say=f"no {event}:\n{self.log()[at:]}")
        return self.log()[at:]

    def stop(self):
        if self.proc is None or self.proc.poll() is not None:
            return self.proc.returncode if self.proc else 0
        self.signal(signal.SIGTERM)
        try:
            return self.proc.wait(15 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            pytest.fail(f"the gateway did not stop:\n{self.log()[-3000:]}")

    def close(self):
        try:
            code = self.stop()
            assert code == 0 and "Sanitizer" not in self.log(), f"ended with {code}:\n{self.log()[-6000:]}"
        finally:
            self.upstream.close()
            if self.feed:
                self.feed.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def events(self, name, at=0):
        found = [parse_event(line) for line in self.log()[at:].splitlines()]
        return [e for e in found if e and e.get("event") == name]

    # ---- clients ----
    def context(self, client=None, version=None):
        c = ssl.create_default_context(cafile=str(self.root.path))
        if client:
            c.load_cert_chain(str(client.crt), str(client.key))
        if version:
            c.minimum_version = c.maximum_version = version
        return c

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.https), timeout=10 * PATIENCE)

    def connect(self, context, name="a.test", session=None):
        return context.wrap_socket(self.raw(), server_hostname=name, session=session)

    def visit(self, context, name="a.test", session=None, path="/", host=None, lines="", half=None):
        """One request: Visit. Never raises for what the gateway does."""
        v = Visit()
        try:
            with self.connect(context, name, session) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host or name}\r\nConnection: close\r\n{lines}\r\n".encode())
                data = b""
                while more := s.recv(65536):
                    data += more
                v.text = data.decode("latin-1")
                v.status = int(v.text.split()[1]) if v.text.startswith("HTTP/1.1") else 0
                v.reused, v.session = s.session_reused, s.session
        except ssl.SSLError as e:
            v.alert = e.reason or str(e)
        except (ConnectionError, TimeoutError) as e:
            v.alert = type(e).__name__
        return v


class Visit:
    status, alert, reused, session, text = 0, "", False, None, ""

    def __repr__(self):
        return f"<status {self.status} alert {self.alert!r} reused {self.reused}>"


class Feed:
    """The authority's end of the revocation feed."""
    HELLO, RESET, REVOKED, SYNCED = 1, 2, 3, 4

    def __init__(self, path):
        self.path, self.entries, self.seq = str(path), [], 0
        self.peers, self.beating, self.hellos = [], True, []
        self.half = 0  # so many callers get only the first entry, then nothing more
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()
        threading.Thread(target=self.beat, daemon=True).start()

    @staticmethod
    def frame(kind, payload=b""):
        return struct.pack(">IH", len(payload) + 2, kind) + payload

    def entry(self, seq, issuer, serial, reason):
        return self.frame(self.REVOKED, struct.pack(">Q", seq) + issuer + struct.pack(">H", len(serial)) + serial
                          + struct.pack(">QB", int(time.time() * 1e6), reason))

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            head = c.recv(14, socket.MSG_WAITALL)
            if len(head) < 14:
                continue
            self.hellos.append(struct.unpack(">Q", head[6:])[0])
            if self.half:
                self.half -= 1
                c.sendall(self.frame(self.RESET) + self.entry(*self.entries[0]))
                time.sleep(0.2)
                c.close()
                continue
            with self.lock:
                c.sendall(self.frame(self.RESET) + b"".join(self.entry(*e) for e in self.entries)
                          + self.frame(self.SYNCED, struct.pack(">Q", self.seq)))
                self.peers.append(c)

    def send(self, octets):
        with self.lock:
            for c in list(self.peers):
                try:
                    c.sendall(octets)
                except OSError:
                    self.peers.remove(c)

    def beat(self):
        while self.listener.fileno() >= 0:
            time.sleep(0.5)
            if self.beating:
                self.send(self.frame(self.SYNCED, struct.pack(">Q", self.seq)))

    def revoke(self, ca, client, reason=0):
        self.seq += 1
        self.entries.append((self.seq, ca.spki, client.serial, reason))
        self.send(self.entry(*self.entries[-1]))

    def drop(self):
        with self.lock:
            for c in self.peers:
                c.close()
            self.peers.clear()

    def close(self):
        self.listener.close()
        self.drop()


def ec_key():
    return ec.generate_private_key(ec.SECP256R1())
