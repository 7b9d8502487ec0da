"""Administrators: the API over the gateway, by certificates with roles."""
import json

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from conftest import run, wait_for


def pem_of(p12, out):
    """The key and certificate of a PKCS#12 file, as requests wants them."""
    password = (p12.parent / (p12.name + ".password")).read_bytes().strip()
    key, cert, more = pkcs12.load_key_and_certificates(p12.read_bytes(), password)
    crt, pem = out / (p12.stem + ".crt"), out / (p12.stem + ".key")
    crt.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in [cert, *more]))
    pem.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()))
    return str(crt), str(pem)


def csr(cn="x"):
    key = ec.generate_private_key(ec.SECP256R1())
    b = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)]))
    return b.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class Api:
    def __init__(self, up, cert):
        self.base, self.http = up.url("/api/v1/"), requests.Session()
        self.http.trust_env = False
        self.http.verify, self.http.cert = str(up.ca), cert

    def __call__(self, method, path, **how):
        return self.http.request(method, self.base + path, timeout=30, **how)


def person(up, work, name, role):
    """An API caller of their own, with a role or (None) without."""
    i = up.issue("user", name, out=work)
    if role:
        up.run("admin", "add", name, "--role", role, check=0)
    return Api(up, (str(i.crt), str(i.key)))


def test_the_example_administrator_has_every_role_on_a_fresh_up(up, work):
    admin = Api(up, pem_of(up.examples / "admin.p12", work))
    assert admin("GET", "status").status_code == 200
    got = admin("POST", "certificates", json={"kind": "device", "name": "by-api-1", "csr": csr()})
    assert got.status_code == 201, got.text
    assert admin("GET", "certificates/" + got.json()["serial"]).json()["name"] == "by-api-1"
    assert admin("POST", "revocations", json={"serial": got.json()["serial"]}).status_code == 200
    assert admin("POST", "crls").status_code == 200
    assert any(a["name"].startswith("admin@") and len(a["roles"]) == 4 for a in admin("GET", "admins").json()["admins"])


def test_each_role_opens_what_is_its_own_and_nothing_else(up, work):
    issuer, auditor = person(up, work, "ida@corp.example", "issuer"), person(up, work, "aud@corp.example", "auditor")
    ask = {"kind": "device", "name": "by-api-2", "csr": csr()}
    assert issuer("POST", "certificates", json=ask).status_code == 201
    refused = auditor("POST", "certificates", json=ask)
    assert refused.status_code == 403 and refused.json()["reason"] == "role-missing", refused.text
    assert "aud@corp.example has auditor, needed is issuer" in refused.json()["detail"]
    for method, path in (("POST", "revocations"), ("POST", "releases"), ("POST", "crls"), ("POST", "admins"),
                         ("POST", "admins/remove"), ("POST", "certificates/batch")):
        assert auditor(method, path, json={}).json()["reason"] == "role-missing", path
    assert issuer("POST", "admins", json={"name": "ida@corp.example", "role": "all"}).status_code == 403
    assert auditor("GET", "certificates").status_code == issuer("GET", "certificates").status_code == 200


def test_who_has_no_role_learns_nothing_of_the_api(up, work):
    nobody = person(up, work, "nobody@corp.example", None)
    device = Api(up, (str(up.crt), str(up.key)))
    for api in (nobody, device):
        for path in ("status", "certificates", "no/such/thing", "../../healthz/../api/v1/status"):
            assert api("GET", path).status_code in (400, 403), path
        assert api("GET", "no/such/thing").json()["reason"] == "role-missing"


def test_a_role_ends_with_its_removal_and_with_its_certificate(up, work):
    ann = person(up, work, "ann@corp.example", "auditor")
    assert ann("GET", "status").status_code == 200
    up.run("admin", "remove", "ann@corp.example", check=0)
    assert ann("GET", "status").json()["reason"] == "role-missing"
    up.run("admin", "add", "ann@corp.example", "--role", "auditor", check=0)
    assert ann("GET", "status").status_code == 200
    up.run("revoke", "ann@corp.example", check=0)

    def refused():
        try:
            return Api(up, ann.http.cert)("GET", "status").status_code != 200 and None
        except requests.exceptions.RequestException:
            return True
    wait_for(refused, 10, say="who is revoked is served")  # within a second of it


def test_identity_headers_from_outside_open_nothing(up, work):
    admin = x509.load_pem_x509_certificate(open(pem_of(up.examples / "admin.p12", work)[0], "rb").read())
    lie = {"X-Countersign-Verified": "success", "X-Countersign-Serial": f"{admin.serial_number:032x}",
           "X-Countersign-Fingerprint": admin.fingerprint(hashes.SHA256()).hex(),
           "X_Countersign_Serial": f"{admin.serial_number:032x}"}
    device = Api(up, (str(up.crt), str(up.key)))
    assert device("GET", "status", headers=lie).json()["reason"] == "role-missing"
    plain = requests.get(up.http_url("/api/v1/status"), headers=lie, timeout=30)
    assert plain.status_code == 404 and plain.json()["reason"] == "route-unknown"
    none = run("curl", "-s", "--cacert", up.ca, "-H", "X-Countersign-Verified: success", up.url("/api/v1/status"))
    assert none.returncode != 0 or "certificate-required" in none.stdout


def test_administrators_by_command(system):
    s = system()
    s.start()
    s.run("admin", "add", "bob@corp.example", "--role", "issuer,auditor", check=0)
    s.run("admin", "remove", "bob@corp.example", "--role", "issuer", check=0)
    rows = {a["name"]: a for a in json.loads(s.run("admin", "list", "--json", check=0).stdout)["admins"]}
    assert rows["bob@corp.example"]["roles"] == ["auditor"] and rows["bob@corp.example"]["given_by"].startswith("uid ")
    assert "bob@corp.example" in s.run("admin", "list", check=0).stdout
    assert "admin-unknown" in s.run("admin", "remove", "zoe@corp.example", check=1).stderr
    assert s.run("admin", "add", "x", "--role", "issuer", check=1)
    assert s.run("admin", "add", "x@corp.example", "--role", "king").returncode != 0
    assert s.run("admin", "add", "x@corp.example", check=2)
