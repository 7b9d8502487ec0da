"""A gateway alone: a PKI of its own, an upstream that tells what it got, and clients that may misbehave."""
import datetime as dt
import http.server
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from conftest import LIBEXEC, PATIENCE, die_with_parent, free_port, parse_event, wait_for

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DAY = dt.timedelta(days=1)


def _name(cn):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def now():
    return dt.datetime.now(dt.timezone.utc).replace(tzinfo=None, microsecond=0)


class Ca:
    def __init__(self, cn, parent=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.parent = parent
        signer = parent or self
        self.cn = cn
        self.cert = self._build(_name(cn), self.key, signer, True, None, None, now() - DAY, now() + 100 * DAY)

    def _build(self, subject, key, signer, ca, eku, san, start, end):
        issuer = signer.cert.subject if hasattr(signer, "cert") else subject
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
             .add_extension(x509.BasicConstraints(ca, None), True)
             .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
             .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False)
             .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True))
        if eku:
            b = b.add_extension(x509.ExtendedKeyUsage(eku), False)
        if san:
            b = b.add_extension(x509.SubjectAlternativeName(san), False)
        return b.sign(signer.key, hashes.SHA256())

    def issue(self, folder, cn, eku=(CLIENT,), san=None, start=-DAY, end=30 * DAY, ca=False, chain=True):
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._build(_name(cn), key, self, ca, list(eku) if eku else None, san, now() + start, now() + end)
        chain = [cert] + ([self.cert] if chain and self.parent else [])
        crt, pem = Path(folder) / f"{cn}.crt", Path(folder) / f"{cn}.key"
        crt.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
        write_private(pem, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                             serialization.NoEncryption()))
        return Leaf(cert, crt, pem)

    def device(self, folder, name, **how):
        return self.issue(folder, name, san=[x509.UniformResourceIdentifier(f"spiffe://test/device/{name}")], **how)

    def crl(self, path, *revoked, end=DAY):
        b = (x509.CertificateRevocationListBuilder().issuer_name(self.cert.subject)
             .last_update(now() - DAY / 24).next_update(now() + end)
             .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
             .add_extension(x509.CRLNumber(int(time.time())), False))
        for leaf in revoked:
            b = b.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(leaf.cert.serial_number)
                                          .revocation_date(now() - DAY / 48).build())
        data = b.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        path.with_suffix(".new").write_bytes(data)
        path.with_suffix(".new").rename(path)

    def pem(self, path):
        path.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        return path


class Leaf:
    def __init__(self, cert, crt, key):
        self.cert, self.crt, self.key = cert, crt, key
        self.serial = f"{cert.serial_number:x}"
        self.serial = self.serial.zfill(len(self.serial) + len(self.serial) % 2)


def write_private(path, data):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as f:
        f.write(data)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a kept connection's body waits 40 ms for its head's acknowledgement

    def log_message(self, *args):
        pass

    def _body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while n := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _any(self):
        up = self.server.kit
        up.hits += 1
        if self.path == "/upgrade":
            return self._upgrade()
        body = self._body()
        up.last = {"method": self.command, "path": self.path, "headers": [list(h) for h in self.headers.items()],
                   "size": len(body), "name": up.name}
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.partition("=")[2] or 1))
        if self.path.startswith("/big"):
            data = b"x" * int(self.path.partition("=")[2])
        elif self.path == "/echo":
            data = body
        else:
            data = json.dumps(up.last).encode()
        self.send_response(200)
        if self.path == "/close":
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            self.wfile.write(data)
            return
        if self.path == "/broken":
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"short")
            self.close_connection = True
            return
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(0, len(data), 50):
                piece = data[i:i + 50]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _upgrade(self):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.end_headers()
        self.close_connection = True
        while line := self.connection.recv(4096):
            self.connection.sendall(line.upper())

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = _any


class Upstream:
    def __init__(self, name="up"):
        self.name, self.last, self.hits = name, None, 0
        self.port = free_port()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), _Handler)
        self.server.daemon_threads = True
        self.server.kit = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Gateway:
    """One process. sites: list of dictionaries as in the configuration; what is left out is filled in."""

    def __init__(self, folder, sites=None, **top):
        self.dir = Path(folder)
        self.root = Ca("Root")
        self.issuing = Ca("Issuing", self.root)
        self.root.pem(self.dir / "root.crt")
        self.up = Upstream()
        names = ("localhost", "a.test", "b.test", "x.wild.test")
        self.server = self.issuing.issue(self.dir, "server", (SERVER,), [x509.DNSName(n) for n in names])
        self.device = self.issuing.device(self.dir, "pump-17")
        self.https, self.http, self.metrics_port = free_port(), free_port(), free_port()
        self.top, self.sites = top, sites or [{"name": "*"}]
        self.proc = None
        (self.dir / "state").mkdir(exist_ok=True)

    def configure(self):
        sites = [{"certificate": "server.crt", "key": "server.key", "client_ca": "root.crt", "upstream": self.up.url,
                  **s} for s in self.sites]
        c = {"state": str(self.dir / "state"), "https": f"127.0.0.1:{self.https}", "http": f"127.0.0.1:{self.http}",
             "metrics": f"127.0.0.1:{self.metrics_port}", "threads": 2, "log": {"access": True, "format": "json"},
             **self.top, "sites": sites}
        (self.dir / "c.yaml").write_text(json.dumps(c, indent=1))  # JSON is YAML

    def start(self):
        self.configure()
        r, w = os.pipe()
        self.log_path = self.dir / "log"
        self.proc = subprocess.Popen([LIBEXEC / "countersign-gateway", "-c", self.dir / "c.yaml", "--notify", str(w)],
                                     pass_fds=[w], stderr=open(self.log_path, "wb"), preexec_fn=die_with_parent)
        os.close(w)
        with os.fdopen(r, "rb") as f:
            assert f.read() == b"ready\n", self.log_path.read_text()
        return self

    def stop(self):
        if self.proc is None:
            return None
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(15 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
                raise
        code, self.proc = self.proc.returncode, None
        assert "Sanitizer" not in self.log_path.read_text(errors="replace"), self.log_path.read_text(errors="replace")
        return code

    def close(self):
        self.stop()
        self.up.close()

    def reload(self, say="reloaded"):
        before = len(self.events(say))
        self.proc.send_signal(1)
        wait_for(lambda: len(self.events(say)) > before, say=f"no {say}")

    def events(self, name):
        found = [parse_event(line) for line in self.log_path.read_text(errors="replace").splitlines()]
        return [e for e in found if e and e.get("event") == name]

    def refused(self, count=1):
        """The last event of a refused handshake, once there are so many."""
        wait_for(lambda: len(self.events("handshake-refused")) >= count, say="nothing was refused")
        return self.events("handshake-refused")[-1]

    # ---- clients ----
    def context(self, leaf=None, version=None):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(self.dir / "root.crt")
        if leaf is not False:
            leaf = leaf or self.device
            c.load_cert_chain(leaf.crt, leaf.key)
        if version:
            c.minimum_version = c.maximum_version = version
        return c

    def connect(self, leaf=None, version=None, sni="localhost", context=None, session=None):
        raw = socket.create_connection(("127.0.0.1", self.https), timeout=10 * PATIENCE)
        return (context or self.context(leaf, version)).wrap_socket(raw, server_hostname=sni, session=session)

    def get(self, path="/", leaf=None, version=None, sni="localhost", **how):
        with self.connect(leaf, version, sni, **how) as s:
            return ask(s, f"GET {path} HTTP/1.1\r\nHost: {sni}\r\n\r\n")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def read_answer(s, f=None, head=False):
    f = f or s.makefile("rb")
    line = f.readline()
    if not line:
        raise EOFError("closed without an answer")
    status = int(line.split()[1])
    headers = {}
    while (line := f.readline().strip()):
        k, _, v = line.decode().partition(":")
        headers[k.lower()] = v.strip()
    if status == 100:
        return read_answer(s, f)
    body = b""
    if head or status in (101, 204, 304):
        pass
    elif headers.get("transfer-encoding") == "chunked":
        while n := int(f.readline(), 16):
            body += f.read(n)
            f.readline()
        f.readline()
    elif "content-length" in headers:
        body = f.read(int(headers["content-length"]))
        if len(body) != int(headers["content-length"]):
            raise EOFError("cut off")
    else:
        body = f.read()
    return Answer(status, headers, body)


def ask(s, data, head=False):
    s.sendall(data if isinstance(data, bytes) else data.encode())
    return read_answer(s, head=head)
