"""How many certificates a second the authority issues, asked over its control socket."""
import http.client
import json
import pathlib
import socket
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def request_for(name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return json.dumps({"kind": "device", "name": name, "csr": csr.public_bytes(serialization.Encoding.PEM).decode()})


def cpu_seconds(pid):
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def measure(path, count, pids):
    requests = [request_for(f"bench-{i:05d}") for i in range(count)]
    connection = UnixConnection(path)
    before, began = sum(map(cpu_seconds, pids)), time.monotonic()
    for body in requests:
        connection.request("POST", "/api/v1/certificates", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 201:
            raise SystemExit(f"bench: issuing: {answer.status} {text[:300]!r}")
    took = time.monotonic() - began
    return {"done": count, "seconds": took, "per_second": count / took, "cpu_us": (sum(map(cpu_seconds, pids)) - before) / count * 1e6}
