"""The authority without a gateway: signer and authority started by the test, which holds their sockets as the
supervisor does, so that either may be killed and started again while callers wait."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conftest import LIBEXEC, PASSPHRASE, PATIENCE, countersign, die_with_parent


def request(names=(), key=None, cn="x", extensions=()):
    """A PKCS#10 request as PEM text."""
    b = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)]))
    if names:
        b = b.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    for e in extensions:
        b = b.add_extension(e, critical=True)
    return b.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Authority:
    NAMES = {"signer": ["signer"], "authority": ["authority", "control", "feed"]}

    def __init__(self, restore_signals=True, config=None):
        self.restore_signals = restore_signals
        self.top = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
        self.state = self.top / "s"
        secret = self.top / "passphrase"
        secret.write_text(PASSPHRASE)
        secret.chmod(0o600)
        countersign("init", "--state", self.state, "--passphrase-file", secret, "Acme", check=0)
        self.config = None
        if config is not None:
            self.config = self.top / "countersign.yaml"
            self.config.write_text(config)
        self.run = self.state / "run"
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.listeners = {}
        for name in ("signer", "authority", "control", "feed"):
            s = self.listeners[name] = socket.socket(socket.AF_UNIX)
            s.bind(str(self.run / f"{name}.sock"))
            s.listen(64)
        self.processes = {}
        self.log = open(self.top / "log", "ab")

    def start(self, which=("signer", "authority"), env=None):
        for name in which:
            ready, notify = os.pipe()
            fds = [self.listeners[n].fileno() for n in self.NAMES[name]] + [notify]
            argv = [str(LIBEXEC / f"countersign-{name}")]
            if name == "signer":
                argv += ["--ca", str(self.state / "ca"), "--journal", str(self.state / "signer"), "--trust-domain",
                         "countersign.internal", "--listen", str(fds[0])]
            else:
                argv += ["--state", str(self.state), "--public", str(fds[0]), "--control", str(fds[1]), "--feed",
                         str(fds[2])] + (["--config", str(self.config)] if self.config else [])
            self.processes[name] = subprocess.Popen(
                argv + ["--notify", str(notify)], pass_fds=fds, stdin=subprocess.DEVNULL, stderr=self.log,
                restore_signals=self.restore_signals, preexec_fn=die_with_parent, env={**os.environ, **(env or {})})
            os.close(notify)
            with os.fdopen(ready) as f:
                assert f.readline() == "ready\n", f"{name} did not start:\n{(self.top / 'log').read_text()[-2000:]}"
        return self

    def kill(self, which):
        p = self.processes.pop(which)
        p.kill()
        p.wait()

    def stop(self):
        for name in ("authority", "signer"):
            p = self.processes.pop(name, None)
            if p is not None:
                p.send_signal(signal.SIGTERM)
                assert p.wait(20 * PATIENCE) == 0, (self.top / "log").read_text()[-2000:]

    def close(self):
        for p in self.processes.values():
            p.kill()
            p.wait()
        for s in self.listeners.values():
            s.close()
        self.log.close()
        shutil.rmtree(self.top, ignore_errors=True)

    def call(self, method, path, body=None, socket_name="control", headers=None, timeout=30):
        """(status, headers, parsed JSON or bytes)."""
        c = UnixConnection(self.run / f"{socket_name}.sock", timeout * PATIENCE)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None, headers or {})
            r = c.getresponse()
            data = r.read()
            kind = r.headers.get("Content-Type", "")
            return r.status, r.headers, json.loads(data) if "json" in kind else data
        finally:
            c.close()

    def crl(self, name="issuing"):
        """The list of that name as it is published, DER."""
        status, _, der = self.call("GET", f"/crl/{name}.crl", socket_name="authority")
        assert status == 200, der
        return der

    def issue(self, name, kind="device", csr=None, **more):
        return self.call("POST", "/api/v1/certificates", {"kind": kind, "name": name, "csr": csr or request(), **more})

    def listed(self):
        """Every certificate's row, newest first."""
        rows, after = [], ""
        while True:
            _, _, page = self.call("GET", f"/api/v1/certificates?limit=500{after}")
            rows += page["certificates"]
            if "next" not in page:
                return rows
            after = "&after=" + page["next"]
