"""What the tests of ACME share: a system whose challenges are looked for on loopback, a resolver that says what a test
wants, and a client of our own that can be told to lie."""
import base64
import functools
import hashlib
import hmac
import http.server
import json
import threading

import pytest
import requests
from conftest import System, countersign, free_port
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

try:
    import dnslib
    from dnslib.server import BaseResolver, DNSServer
except ImportError:
    pytest.skip("python3-dnslib is not installed: no resolver of the tests' own", allow_module_level=True)

CONFIG = """
acme:
  resolvers: ["127.0.0.1:{dns}"]
  fetch_from: ["127.0.0.0/8", "::1"]
  http_port: {http}
  tls_port: {tls}
profiles:
  - name: narrow
    kind: server
    names: ["dns:*.narrow.example"]
  - name: asked
    kind: server
    approval: true
enroll:
  doors:
    - {{protocol: acme, label: open, accounts: open, profile: server}}
    - {{protocol: acme, label: narrow, accounts: open}}
    - {{protocol: acme, label: asked, accounts: open}}
    - {{protocol: acme, label: shut, serve: false}}
"""


class Resolver:
    """Each name is 127.0.0.1, unless a.addresses says otherwise; texts are files of a folder, one a line."""

    def __init__(self, folder):
        self.folder, self.addresses, self.asked = folder, {}, []
        self.port = free_port()
        self.server = DNSServer(self, port=self.port, address="127.0.0.1")
        self.server.start_thread()

    def resolve(self, request, handler):
        q, reply = request.q, request.reply()
        name = str(q.qname).rstrip(".").lower()
        self.asked.append((name, dnslib.QTYPE[q.qtype]))
        if q.qtype == dnslib.QTYPE.A:
            for a in self.next_addresses(name):
                reply.add_answer(dnslib.RR(q.qname, q.qtype, rdata=dnslib.A(a), ttl=0))
        if q.qtype == dnslib.QTYPE.TXT and (self.folder / name).exists():
            for text in (self.folder / name).read_text().split():
                reply.add_answer(dnslib.RR(q.qname, q.qtype, rdata=dnslib.TXT(text), ttl=0))
        return reply

    def next_addresses(self, name):
        found = self.addresses.get(name, ["127.0.0.1"])
        return found.pop(0) if isinstance(found[0], list) else found

    def stop(self):
        self.server.stop()
        self.server.server.server_close()


class Site:
    def __init__(self, store=None):
        self.http, self.tls = free_port(), free_port()
        self.system = System()
        parent = self.system.state.parent
        (parent / "txt").mkdir()
        self.resolver = Resolver(parent / "txt")
        config = parent / "acme.yaml"
        config.write_text(CONFIG.format(dns=self.resolver.port, http=self.http, tls=self.tls))
        self.system.options["config"] = config
        self.system.start()

    def url(self, label=""):
        return f"https://localhost:{self.system.https}/acme{'/' + label if label else ''}"

    def token(self, name, kind="server", *more):
        out = countersign("token", "create", kind, name, "--json", "--state", self.system.state, *more, check=0)
        return json.loads(out.stdout)

    def close(self):
        try:
            self.system.stop()
        finally:
            self.resolver.stop()
            self.system.close()


@pytest.fixture(scope="session")
def site():
    s = Site()
    yield s
    s.close()


class Webroot:
    """A web server with a folder; where maps paths to (status, headers, body), or to a function that answers."""

    def __init__(self, port, folder):
        kit = self
        self.where, self.hits = {}, []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                kit.hits.append(self.path)
                if self.path not in kit.where:
                    return super().do_GET()
                status, heads, body = kit.where[self.path]
                self.send_response(status)
                for k, v in heads.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass
        http.server.ThreadingHTTPServer.allow_reuse_address = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port),
                                                      functools.partial(Handler, directory=str(folder)))
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def b64(data):
    if isinstance(data, (dict, list)):
        data = json.dumps(data).encode()
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def new_key(kind="ES256"):
    return {"ES256": lambda: ec.generate_private_key(ec.SECP256R1()), "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "ES512": lambda: ec.generate_private_key(ec.SECP521R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate,
            "RS256": lambda: rsa.generate_private_key(65537, 2048)}[kind]()


def jwk_of(key):
    public = key.public_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        return {"crv": "Ed25519", "kty": "OKP", "x": b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    n = public.public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {"e": b64(n.e.to_bytes(3, "big")), "kty": "RSA", "n": b64(n.n.to_bytes((n.n.bit_length() + 7) // 8, "big"))}
    size = (key.curve.key_size + 7) // 8
    return {"crv": f"P-{key.curve.key_size}", "kty": "EC", "x": b64(n.x.to_bytes(size, "big")), "y": b64(n.y.to_bytes(size, "big"))}


def thumbprint(key):
    return b64(hashlib.sha256(json.dumps(jwk_of(key), sort_keys=True, separators=(",", ":")).encode()).digest())


def sign(key, data):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    size = (key.curve.key_size + 7) // 8
    hash_of = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}[key.curve.key_size]
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hash_of())))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def alg_of(key):
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {256: "ES256", 384: "ES384", 521: "ES512"}[key.curve.key_size]
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "EdDSA"


def flattened(key, header, payload, **instead):
    head, body = b64(header), b64(payload) if payload != "" else ""
    made = {"protected": head, "payload": body, "signature": b64(sign(key, f"{head}.{body}".encode()))}
    made.update(instead)
    return made


class Client:
    """ACME, request by request. header=..., body=... of post() change what is sent."""

    def __init__(self, site, label="open", key=None):
        self.site, self.base, self.key, self.kid = site, site.url(label), key or new_key(), None
        self.http = requests.Session()
        self.http.trust_env = False  # not the environment's anchors
        self.http.verify = str(site.system.ca)
        self.directory = self.http.get(self.base + "/directory", timeout=20).json()
        self.nonce = None

    def fresh_nonce(self):
        return self.http.head(self.directory["newNonce"], timeout=20).headers["Replay-Nonce"]

    def post(self, url, payload="", key=None, kid=True, header=None, media="application/jose+json", body=None, raw=None):
        """payload "": POST-as-GET. header: a function that changes the protected header."""
        key = key or self.key
        head = {"alg": alg_of(key), "nonce": self.nonce or self.fresh_nonce(), "url": url}
        head.update({"kid": self.kid} if kid and self.kid else {"jwk": jwk_of(key)})
        self.nonce = None
        if header:
            header(head)
        data = raw if raw is not None else json.dumps(flattened(key, head, payload, **(body or {})))
        answer = self.http.post(url, data=data, headers={"Content-Type": media}, timeout=30)
        self.nonce = answer.headers.get("Replay-Nonce")
        self.last = data
        return answer

    def binding(self, token, name, url=None, key=None, secret=None, header=None):
        head = {"alg": "HS256", "kid": name, "url": url or self.directory["newAccount"]}
        if header:
            header(head)
        protected, payload = b64(head), b64(jwk_of(key or self.key))
        mac = hmac.new((secret or token["token"]).encode(), f"{protected}.{payload}".encode(), hashlib.sha256).digest()
        return {"protected": protected, "payload": payload, "signature": b64(mac)}

    def register(self, payload=None, **how):
        answer = self.post(self.directory["newAccount"], payload or {"termsOfServiceAgreed": True}, kid=False, **how)
        if answer.ok:
            self.kid = answer.headers["Location"]
        return answer

    def order(self, *names, **more):
        ids = [n if isinstance(n, dict) else {"type": "dns", "value": n} for n in names]
        return self.post(self.directory["newOrder"], {"identifiers": ids, **more})

    def authorizations(self, order):
        return [self.post(url).json() for url in order.json()["authorizations"]]

    def answer_of(self, challenge):
        return f"{challenge['token']}.{thumbprint(self.key)}"


def challenge_of(authz, kind):
    return next(c for c in authz["challenges"] if c["type"] == kind)


def error_of(answer):
    """The last word of the problem's type, and our reason."""
    problem = answer.json()
    return problem["type"].rpartition(":")[2], problem["reason"]
