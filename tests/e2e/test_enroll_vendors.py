"""Who may enroll without a token: devices with their maker's certificate (IEEE 802.1AR), over every protocol, and
devices on a list. One system with several makers serves all tests; each test has devices of its own."""
import base64
import datetime as dt
import hashlib
import itertools
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from conftest import System, countersign, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_kit import Ca, now, write_private
from scep_kit import fresh_keys  # noqa: F401
from scep_kit import PKCS_REQ, RENEWAL, SUCCESS, Scep, message, request, rsa_key, seal
from test_enroll_cmp import key_file, openssl_cmp
from test_enroll_est import certificates, new_request, token

FOREVER = dt.datetime(9999, 12, 31, 23, 59, 59)  # @rfc 5280#4.1.2.5: no end that is known
MODULE, PERMANENT = "1.3.6.1.5.5.7.8.4", "1.3.6.1.5.5.7.8.3"
CONFIG = """profiles:
  - {name: sensor, kind: device, lifetime: 7d}
  - {name: meter, kind: device, lifetime: 8d}
sites:
  - {name: "*", enroll: true}
  - {name: strict.example, enroll: true}
enroll:
  listed_keys: true
  vendors:
    - {name: acme, anchors: acme.pem, crl: acme.crl, profile: sensor, sites: ["*"]}
    - {name: bolt, anchors: bolt.pem, identity: "bolt-{serial}", use: again, serial: subject}
    - {name: estonly, anchors: estonly.pem, identity: "e-{serial}", doors: [est]}
    - {name: both, anchors: both.pem, identity: "b-{serial}", listed: true, serial: common-name}
"""
addresses = itertools.count(2)


def other_name(oid, der):
    return x509.OtherName(x509.ObjectIdentifier(oid), der)


def hardware_module(serial):
    inner = b"\x06\x03\x2a\x03\x04" + b"\x04" + bytes([len(serial)]) + serial
    return other_name(MODULE, b"\x30" + bytes([len(inner)]) + inner)


class Maker:
    """A root and a CA below it, which makes devices."""

    def __init__(self, cn):
        self.root = Ca(cn)
        self.ca = Ca(cn + " devices", self.root)

    def device(self, folder, serial=None, cn=None, sans=(), end=FOREVER, key=None, ca=False, usage=True, start=None, chain=True):
        """Certificate and key in the folder: an IDevID."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Maker")]
        if serial:
            subject.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
        if cn:
            subject.append(x509.NameAttribute(NameOID.COMMON_NAME, cn))
        b = (x509.CertificateBuilder().subject_name(x509.Name(subject)).issuer_name(self.ca.cert.subject).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(start or now() - dt.timedelta(1)).not_valid_after(end)
             .add_extension(x509.BasicConstraints(ca, None), True)
             .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
             .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca.key.public_key()), False)
             .add_extension(x509.KeyUsage(usage, False, not usage, False, False, ca, False, False, False), True))
        if sans:
            b = b.add_extension(x509.SubjectAlternativeName(list(sans)), False)
        return Device(folder, b.sign(self.ca.key, hashes.SHA256()), key, [self.ca.cert] if chain else [])


class Device:
    def __init__(self, folder, cert, key, chain):
        stem = f"idevid-{next(addresses)}"
        self.cert, self.private = cert, key
        self.crt, self.key = folder / f"{stem}.crt", folder / f"{stem}.key"
        self.crt.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in [cert, *chain]))
        write_private(self.key, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


class Plant:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
        self.makers = {name: Maker(name.title()) for name in ("acme", "bolt", "estonly", "both")}
        for name, maker in self.makers.items():
            maker.root.pem(self.folder / f"{name}.pem")
        self.revoked = self.makers["acme"].device(self.folder, "REVOKED-1")
        self.makers["acme"].ca.crl(self.folder / "acme.crl", self.revoked)
        (self.folder / "c.yaml").write_text(CONFIG)
        self.system = System(config=self.folder / "c.yaml")
        self.system.start()

    def __getattr__(self, name):
        return self.makers[name]

    def allow(self, *words, check=0):
        return countersign("device", "allow", *words, "--state", self.system.state, check=check)

    def est(self, work, device, body=None, op="simpleenroll", host="localhost", path=None):
        """(status, body) of curl with the device's certificate; each asks from an address of its own."""
        n = next(addresses)
        words = ["curl", "-sS", "--interface", f"127.8.{n // 250}.{n % 250 + 1}", "--cacert", self.system.ca, "-o", work / "answer", "-w",
                 "%{http_code}", "--cert", device.crt, "--key", device.key, "--resolve", f"{host}:{self.system.https}:127.0.0.1"]
        if host != "localhost":
            words.append("--insecure")
        if body is not None:
            (work / "body").write_bytes(body)
            words += ["--data-binary", f"@{work / 'body'}", "-H", "Content-Type: application/pkcs10"]
        done = run(*words, f"https://{host}:{self.system.https}{path or '/.well-known/est/' + op}")
        if done.returncode != 0:
            return 0, done.stderr
        return int(done.stdout), (work / "answer").read_text(errors="replace") if (work / "answer").exists() else ""

    def enroll(self, work, device, cn="x", stem="new"):
        """The answer, and the subject of the certificate."""
        _, body = new_request(work, cn, stem)
        status, answer = self.est(work, device, body)
        if status != 200:
            return status, answer
        (work / f"{stem}.crt").write_text(certificates(work, answer))
        return status, run("openssl", "x509", "-in", work / f"{stem}.crt", "-noout", "-subject", "-ext", "subjectAltName", "-enddate", check=0).stdout

    def audited(self, reason, about):
        rows = countersign("log", "--event", "enroll-refused", "--json", "--state", self.system.state, check=0).stdout.splitlines()
        return [r for r in rows if reason in r and about in r]


@pytest.fixture(scope="module")
def plant():
    p = Plant()
    yield p
    p.system.stop()
    p.system.close()
    shutil.rmtree(p.folder, ignore_errors=True)


# ---- the maker's certificate ----

def test_a_makers_certificate_with_a_listed_serial_enrolls_once(plant, work):
    plant.allow("pump-1", "--vendor", "acme", "--serial", "4711")
    device = plant.acme.device(work, "4711")
    status, said = plant.enroll(work, device, "pump-1")
    assert status == 200 and "pump-1" in said, said
    assert [run("openssl", "x509", "-in", work / "new.crt", "-noout", "-checkend", str(d * 86400)).returncode for d in (6, 9)] == [0, 1]
    first = (work / "new.crt").read_text()
    assert plant.enroll(work, device, "pump-1")[0] == 200  # the same request: the same answer
    assert (work / "new.crt").read_text() == first
    status, answer = plant.enroll(work, device, "pump-1", "other")
    assert status == 403 and "credential-used" in answer, answer
    assert plant.audited("credential-used", "pump-1")
    # taken from the list and put there anew, it may once more
    countersign("device", "remove", "pump-1", "--state", plant.system.state, check=0)
    status, answer = plant.enroll(work, device, "pump-1", "third")
    assert status == 403 and "device-not-allowed" in answer
    plant.allow("pump-1", "--vendor", "acme", "--serial", "4711")
    assert plant.enroll(work, device, "pump-1", "third")[0] == 200


def test_what_was_issued_so_is_a_certificate_like_others_and_renews(plant, work):
    plant.allow("pump-2", "--serial", "4712")
    assert plant.enroll(work, plant.acme.device(work, "4712"), "4712")[0] == 200  # by the name that it knows
    s = plant.system
    assert s.get("/?format=json", crt=work / "new.crt", key=work / "new.key").json()["identity"] == "pump-2"
    key, body = new_request(work, "pump-2", "next")
    run("curl", "-fsS", "--cacert", s.ca, "--cert", work / "new.crt", "--key", work / "new.key", "--data-binary", "@-", "-H",
        "Content-Type: application/pkcs10", f"https://localhost:{s.https}/.well-known/est/simplereenroll", "-o", work / "answer",
        input=body.decode(), check=0)


def test_it_opens_the_doors_of_enrollment_and_nothing_else(plant, work):
    device = plant.acme.device(work, "4713", sans=[x509.UniformResourceIdentifier("spiffe://countersign.local/device/admin")])
    for path in ("/", "/console/", "/api/v1/status", "/api/v1/devices"):
        status, answer = plant.est(work, device, path=path)
        assert status in (401, 403), (path, status, answer)
        assert "vendor-certificate-only" in answer or "certificate-required" in answer, answer
    assert plant.est(work, device, op="cacerts")[0] == 200
    status, answer = plant.est(work, device, new_request(work, "pump-3")[1], op="simplereenroll")
    assert status == 401 and "unknown-issuer" in answer  # it renews nothing


def test_a_site_that_is_not_among_the_vendors_sites_refuses_it(plant, work):
    plant.allow("pump-4", "--vendor", "acme", "--serial", "4714")
    device = plant.acme.device(work, "4714")
    status, answer = plant.est(work, device, op="cacerts", host="strict.example")
    assert status == 0 and "alert" in answer, answer
    assert any(e.get("reason") in ("unknown-issuer", "chain-incomplete") for e in plant.system.events("handshake-refused"))
    assert plant.est(work, plant.bolt.device(work, "1"), op="cacerts", host="strict.example")[0] == 200


@pytest.mark.parametrize("name,reason", [
    ("forged", "signature"), ("wrong vendor", "unknown-issuer"), ("expired", "certificate-expired"), ("too early", "not-yet-valid"),
    ("revoked", "revoked"), ("a CA", "key-usage-wrong"), ("not for signing", "key-usage-wrong")])
def test_a_certificate_that_is_bad_ends_the_handshake(plant, work, name, reason):
    acme, other = plant.acme, Maker("Acme")
    if name == "forged":  # another key under the names of the true CA
        other.ca.cert = acme.ca.cert
    make = {"forged": lambda: other.device(work, "1"), "wrong vendor": lambda: Maker("Crook").device(work, "4711"),
            "expired": lambda: acme.device(work, "2", end=now() - dt.timedelta(hours=1)),
            "too early": lambda: acme.device(work, "3", start=now() + dt.timedelta(hours=1)), "revoked": lambda: plant.revoked,
            "a CA": lambda: acme.device(work, "4", ca=True), "not for signing": lambda: acme.device(work, "5", usage=False)}
    before = len(plant.system.events("handshake-refused"))
    status, answer = plant.est(work, make[name](), op="cacerts")
    assert status == 0, answer
    last = plant.system.events("handshake-refused")[before:]
    assert any(reason in e.get("reason", "") for e in last), last


def test_a_serial_that_is_not_listed_is_refused_and_audited(plant, work):
    plant.allow("pump-6", "--vendor", "bolt", "--serial", "unlisted-1")  # another vendor's
    status, answer = plant.enroll(work, plant.acme.device(work, "unlisted-1"))
    assert status == 403 and "device-not-allowed" in answer and "unlisted-1" not in answer
    assert plant.audited("device-not-allowed", "unlisted-1")
    status, answer = plant.enroll(work, plant.acme.device(work, cn="no serial"))
    assert status == 403 and "device-serial-missing" in answer


def test_a_request_for_another_name_is_refused(plant, work):
    plant.allow("pump-7", "--vendor", "acme", "--serial", "4717")
    status, answer = plant.enroll(work, plant.acme.device(work, "4717"), "pump-8")
    assert status == 403 and "name-not-allowed" in answer


@pytest.mark.parametrize("place,serial", [("hardware module", "HM-77"), ("octets", "00ff7e"), ("permanent identifier", "PI-3")])
def test_where_a_serial_number_may_stand(plant, work, place, serial):
    names = {"hardware module": [hardware_module(b"HM-77")], "octets": [hardware_module(b"\x00\xff\x7e")],
             "permanent identifier": [other_name(PERMANENT, b"\x30\x06\x0c\x04PI-3")]}[place]
    plant.allow(f"at-{serial}", "--vendor", "acme", "--serial", serial)
    status, said = plant.enroll(work, plant.acme.device(work, sans=names), f"at-{serial}")
    assert status == 200 and f"at-{serial}" in said


def test_a_pattern_names_devices_and_use_again_lets_them_return_until_they_are_revoked(plant, work):
    device = plant.bolt.device(work, "77A")
    assert "bolt-77A" in plant.enroll(work, device, "bolt-77A")[1]
    assert "bolt-77A" in plant.enroll(work, device, "bolt-77A", "again")[1]
    countersign("revoke", "bolt-77A", "--reason", "privilege-withdrawn", "--state", plant.system.state, check=0)
    status, answer = plant.enroll(work, device, "bolt-77A", "third")
    assert status in (401, 403) and "revoked" in answer
    status, answer = plant.enroll(work, plant.bolt.device(work, "no name/7"))
    assert status >= 400 and "name-invalid" in answer


def test_a_pattern_and_a_list_of_names_go_together(plant, work):
    device = plant.both.device(work, cn="99")
    assert "device-not-allowed" in plant.enroll(work, device)[1]
    plant.allow("b-99", "--vendor", "both", "--profile", "meter")
    status, said = plant.enroll(work, device, "b-99")
    assert status == 200 and "b-99" in said


def test_a_vendor_may_be_kept_to_some_doors(plant, work):
    device = plant.estonly.device(work, "1")
    body = json.dumps({"csr": run("openssl", "req", "-inform", "DER", "-in", new_request(work, "e-1")[0].with_suffix(".csr"), check=0).stdout})
    status, answer = rest(plant, work, device, body)
    assert status == 403 and "device-not-allowed" in answer
    assert plant.enroll(work, device, "e-1")[0] == 200


# ---- the other doors ----

def rest(plant, work, device, body):
    done = run("curl", "-sS", "--cacert", plant.system.ca, "--cert", device.crt, "--key", device.key, "-d", "@-", "-H",
               "Content-Type: application/json", "-w", "\n%{http_code}", f"https://localhost:{plant.system.https}/api/v1/enroll", input=body, check=0)
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), answer


def test_rest_takes_it(plant, work):
    new_request(work, "bolt-R1")
    body = json.dumps({"csr": run("openssl", "req", "-inform", "DER", "-in", work / "new.csr", check=0).stdout})
    status, answer = rest(plant, work, plant.bolt.device(work, "R1"), body)
    assert status == 201 and json.loads(answer)["name"] == "bolt-R1"


def test_cmp_takes_messages_that_it_signs(plant, work):
    device = plant.bolt.device(work, "C1")
    words = ("-cert", device.crt, "-extracerts", device.crt, "-key", device.key, "-trusted", plant.system.ca, "-newkey", key_file(work / "n.key"))
    openssl_cmp(plant.system, "ir", *words, "-subject", "/CN=bolt-C1", "-certout", work / "c.crt")
    assert "bolt-C1" in run("openssl", "x509", "-in", work / "c.crt", "-noout", "-subject", check=0).stdout
    # kur is for certificates of ours
    assert openssl_cmp(plant.system, "kur", *words, "-oldcert", device.crt, "-certout", work / "d.crt", check=None).returncode != 0
    bad = Maker("Bolt").device(work, "C2")
    done = openssl_cmp(plant.system, "ir", "-cert", bad.crt, "-extracerts", bad.crt, "-key", bad.key, "-trusted", plant.system.ca, "-newkey",
                       work / "n.key", "-subject", "/CN=bolt-C2", "-certout", work / "e.crt", check=None)
    assert done.returncode != 0 and ("unknown-issuer" in done.says or "signature" in done.says)
    old = plant.bolt.device(work, "C3", end=now() - dt.timedelta(hours=1))
    done = openssl_cmp(plant.system, "ir", "-cert", old.crt, "-extracerts", old.crt, "-key", old.key, "-trusted", plant.system.ca, "-newkey",
                       work / "n.key", "-subject", "/CN=bolt-C3", "-certout", work / "e.crt", check=None)
    assert done.returncode != 0 and plant.audited("certificate-expired", "bolt")


def test_scep_takes_messages_that_it_signs(plant, work):
    key = rsa_key("idevid")
    device = plant.bolt.device(work, "S1", key=key)
    scep = Scep(plant.system)

    def ask(kind, cn):
        more = {"more": [plant.bolt.ca.cert]}
        return scep.post(message(kind, seal(request(rsa_key("own"), cn), scep.ra), key, device.cert, **more), key)
    reply = ask(PKCS_REQ, "bolt-S1")
    assert reply.status == SUCCESS and "bolt-S1" in reply.leaf.subject.rfc4514_string()
    assert ask(RENEWAL, "bolt-S1").status != SUCCESS


# ---- the list ----

def test_a_listed_key_enrolls_without_a_token_once(plant, work):
    key, body = new_request(work, "meter-1")
    spki = run("openssl", "pkey", "-in", key, "-pubout", check=0).stdout
    der = base64.b64decode("".join(spki.splitlines()[1:-1]))
    plant.allow("meter-1", "--key-sha256", hashlib.sha256(der).hexdigest(), "--profile", "meter")

    def ask():
        n = next(addresses)
        (work / "body").write_bytes(body)
        done = run("curl", "-sS", "--interface", f"127.8.{n // 250}.{n % 250 + 1}", "--cacert", plant.system.ca, "--data-binary",
                   f"@{work / 'body'}", "-H", "Content-Type: application/pkcs10", "-w", "\n%{http_code}",
                   f"https://localhost:{plant.system.https}/.well-known/est/simpleenroll", check=0)
        answer, _, status = done.stdout.rpartition("\n")
        return int(status), answer
    status, answer = ask()
    assert status == 200, answer
    assert ask() == (200, answer)
    countersign("revoke", "meter-1", "--state", plant.system.state, check=0)
    status, answer = ask()
    assert status in (401, 403) and "revoked" in answer
    new_request(work, "meter-2", "b")
    body = base64.encodebytes((work / "b.csr").read_bytes())
    assert ask()[0] == 401  # no list has that key


def test_a_list_is_loaded_and_bad_lines_are_named(plant, work):
    lines = ["name,vendor,serial,profile,not_after", "l-1,acme,L1,sensor,2099-01-01T00:00:00Z", "l-2,acme,L2,,", "no name!,acme,L3,,",
             "l-4,acme,L4,,soon"]
    (work / "list.csv").write_text("\n".join(lines) + "\n")
    done = plant.allow("--from", work / "list.csv", check=1)
    assert "line 4" in done.stderr and "line 5" in done.stderr and "none was loaded" in done.stderr
    assert countersign("device", "list", "l-1", "--json", "--state", plant.system.state, check=0).stdout == ""
    done = plant.allow("--from", work / "list.csv", "--keep-going", "--json", check=1)
    assert [r["line"] for r in json.loads(done.stdout.splitlines()[0])["refused"]] == [4, 5]
    row = json.loads(countersign("device", "list", "l-1", "--json", "--state", plant.system.state, check=0).stdout)
    assert (row["serial"], row["vendor"], row["profile"], row["not_after"]) == ("L1", "acme", "sensor", "2099-01-01T00:00:00Z")
    (work / "list.jsonl").write_text(json.dumps({"name": "l-5", "vendor": "acme", "serial": "L1"}) + "\n" +
                                     json.dumps({"serial": "L6"}) + "\n" + json.dumps({"name": "l-7", "profile": "nothing"}) + "\n")
    done = plant.allow("--from", work / "list.jsonl", check=1)
    assert "line 1" in done.stderr and "device-conflict" in done.stderr and "l-1" in done.stderr
    assert "line 3" in done.stderr and "profile" in done.stderr
    rows = [json.loads(r) for r in countersign("device", "list", "--json", "--state", plant.system.state, check=0).stdout.splitlines()]
    assert {"l-1", "l-2", "L6"} <= {r["name"] for r in rows} and "l-5" not in {r["name"] for r in rows}
    done = countersign("device", "remove", "l-5", "--state", plant.system.state, check=1)
    assert "device-unknown" in done.stderr


def test_an_entry_that_has_ended_opens_nothing(plant, work):
    plant.allow("short-1", "--vendor", "acme", "--serial", "SH1", "--until", "2099-01-01T00:00:00Z")
    assert "not_after" in plant.allow("short-1", "--until", "2001-01-01T00:00:00Z", check=1).stderr
    db = sqlite3.connect(plant.system.state / "authority" / "store.db", timeout=30)  # as if time had passed
    with db:
        db.execute("UPDATE devices SET not_after = 1 WHERE name = 'short-1'")
    db.close()
    status, answer = plant.enroll(work, plant.acme.device(work, "SH1"), "short-1")
    assert status == 403 and "device-not-allowed" in answer


def test_a_token_still_counts_before_the_makers_certificate(plant, work):
    _, body = new_request(work, "tk-1")
    (work / "body").write_bytes(body)
    device = plant.bolt.device(work, "T1")
    done = run("curl", "-sS", "--cacert", plant.system.ca, "--cert", device.crt, "--key", device.key, "--user",
               f"tk-1:{token(plant.system, 'tk-1')}", "--data-binary", f"@{work / 'body'}", "-H", "Content-Type: application/pkcs10", "-o",
               work / "answer", "-w", "%{http_code}", f"https://localhost:{plant.system.https}/.well-known/est/simpleenroll", check=0)
    assert done.stdout == "200"


@pytest.mark.parametrize("vendor,why", [
    ("name: a, anchors: acme.pem, listed: false", "identity"), ("name: a, anchors: acme.pem, profile: nothing", "nothing"),
    ("name: a, anchors: acme.pem, sites: [nowhere.example]", "sites"), ("name: a, anchors: missing.pem", "missing.pem"),
    ("name: a, anchors: acme.pem, identity: fixed", "{serial}"), ("name: a, anchors: acme.pem, use: twice", "once or again"),
    ("name: a, anchors: acme.pem, as: tpm, doors: [est]", "ACME")])
def test_what_cannot_hold_is_refused_with_its_vendor(plant, work, vendor, why):
    shutil.copy(plant.folder / "acme.pem", work)
    (work / "c.yaml").write_text(f"enroll:\n  vendors:\n    - {{{vendor}}}\n")
    done = countersign("up", "--state", work / "s", "--check", "-c", work / "c.yaml")
    assert done.returncode != 0 and why in done.stderr, done.stderr
