"""countersign audit: what openssl and servers' own configuration leave lying about is found, each by its rule; what is right is not."""
import datetime as dt
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import mint
import pytest
from conftest import countersign, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@pytest.fixture(scope="module")
def ca():
    return mint.foreign_ca("Audit CA")


def audit(*args, check=None):
    done = countersign("audit", "--json", *args, check=check)
    return done, json.loads(done.stdout) if done.stdout.startswith("{") else None


def found(folder, *more):
    _, said = audit(folder, *more)
    return {(f["id"], os.path.basename(f["file"])) for f in said["findings"]}, said


def private(f):
    f.chmod(0o600)
    return f


def test_a_tidy_folder_has_nothing_that_counts(work, up):
    up.run("issue", "device", "tidy", "--out", work / "d", check=0)
    up.run("config", "nginx", "gw.example.org", "--issue", "--out", work / "n", check=0)
    up.run("config", "apache", "gw.example.org", "--out", work / "n2", check=0)
    up.run("config", "haproxy", "gw.example.org", "--out", work / "n3", check=0)
    up.run("config", "mosquitto", "gw.example.org", "--out", work / "n4", check=0)
    up.run("config", "postgresql", "gw.example.org", "--out", work / "n5", check=0)
    up.run("config", "openvpn", "gw.example.org", "--out", work / "n6", check=0)
    up.run("config", "stunnel", "gw.example.org", "--out", work / "n7", check=0)
    done, said = audit(work, "--soon", "1d")
    assert [f for f in said["findings"] if f["severity"] not in ("note", "low")] == [] and done.returncode == 0
    assert said["configurations"] == 7 and said["certificates"] >= 6 and said["keys"] == 2 and said["crls"] >= 2


def test_each_of_these_is_found(work, ca):
    crt, key = mint.leaf(work, ca, "ended", begins=-9 * mint.DAY, ends=-mint.DAY)
    mint.leaf(work, ca, "soon", ends=3 * mint.DAY)
    mint.leaf(work, ca, "future", begins=mint.DAY, ends=9 * mint.DAY)
    mint.leaf(work, ca, "long", ends=4000 * mint.DAY)
    mint.leaf(work, ca, "any", eku=())
    one = ec.generate_private_key(ec.SECP256R1())
    mint.leaf(work, ca, "twin-a", key=one)
    mint.leaf(work, ca, "twin-b", key=one)
    run("openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", work / "weak.key", "-out", work / "weak.crt", "-days", "90", "-subj", "/CN=weak", check=0)
    for f in work.glob("*.key"):
        private(f)
    mint.leaf(work, ca, "open")
    (work / "open.key").chmod(0o644)
    mint.leaf(work, ca, "writable")
    (work / "writable.key").chmod(0o620)
    (work / "writable.crt").chmod(0o666)
    (work / "ca.pem").write_bytes(ca[0].public_bytes(serialization.Encoding.PEM))
    private(work / "ca.pem")
    (work / "ca.key").write_bytes(mint.pem(ca[1]))
    private(work / "ca.key")
    (work / "orphan.key").write_bytes(mint.pem(ec.generate_private_key(ec.SECP256R1())))
    private(work / "orphan.key")
    (work / "copy.key").write_bytes((work / "ended.key").read_bytes())
    private(work / "copy.key")

    def crl(name, ends, pem=True):
        made = (x509.CertificateRevocationListBuilder().issuer_name(ca[0].subject).last_update(mint.now() - 9 * mint.DAY).next_update(mint.now() + ends)
                .sign(ca[1], hashes.SHA256()))
        (work / name).write_bytes(made.public_bytes(serialization.Encoding.PEM if pem else serialization.Encoding.DER))
    crl("stale.crl.pem", -mint.DAY)
    crl("ends.crl", dt.timedelta(hours=3), pem=False)
    (work / "broken.crl").write_bytes((work / "ends.crl").read_bytes()[:-4])
    (work / "broken.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (work / "data.bin").write_bytes(os.urandom(4096))
    (work / "loop").symlink_to(work)
    got, said = found(work)
    wanted = {("certificate-expired", "ended.crt"), ("certificate-expires-soon", "soon.crt"), ("certificate-not-yet-valid", "future.crt"),
              ("certificate-lives-long", "long.crt"), ("certificate-any-purpose", "any.crt"), ("key-shared", "twin-b.crt"), ("certificate-key-weak", "weak.crt"),
              ("key-weak", "weak.key"), ("key-readable", "open.key"), ("key-writable", "writable.key"), ("certificates-writable", "writable.crt"),
              ("ca-key-beside", "ca.key"), ("key-without-certificate", "orphan.key"), ("crl-stale", "stale.crl.pem"), ("crl-ends-soon", "ends.crl"),
              ("crl-malformed", "broken.crl"), ("certificate-malformed", "broken.crt"), ("certificate-unrevocable", "long.crt")}
    assert wanted <= got, wanted - got
    assert ("key-copied", "copy.key") in got or ("key-copied", "ended.key") in got
    assert not any(f == "data.bin" for _, f in got) and said["score"] == 0 and said["findings"][0]["severity"] == "critical"
    assert ("key-unencrypted", "orphan.key") not in got and ("key-unencrypted", "orphan.key") in found(work, "--encrypted")[0]


CONFIGS = {
    "nginx.conf": ("ssl_certificate /c; ssl_certificate_key /k;\nssl_verify_client optional_no_ca;\nssl_protocols TLSv1 TLSv1.2;\n",
                   {"clients-not-verified", "protocol-old", "revocation-not-checked", "sessions-not-judged-again"}),
    "off.conf": ("  ssl_certificate /c;\n", {"clients-not-asked"}),
    "apache.conf": ("SSLCertificateFile /c\nSSLVerifyClient require\nSSLCARevocationFile /crl\nSSLProtocol all -SSLv3\n", {"crl-not-used", "protocol-old"}),
    "haproxy.cfg": ("frontend x\n  bind :443 ssl crt /c ca-file /ca verify optional\n", {"clients-not-verified", "revocation-not-checked"}),
    "mosquitto.conf": ("listener 8883\ncertfile /c\ncafile /ca\n", {"clients-not-asked"}),
    "postgresql.conf": ("ssl = on\nssl_cert_file = '/c'\nssl_ca_file='/ca'\nssl_min_protocol_version = 'TLSv1.1'\n", {"revocation-not-checked", "protocol-old"}),
    "server.ovpn": ("server 10.8.0.0 255.255.255.0\nremote-cert-tls client\n", {"revocation-not-checked"}),
    "stunnel.conf": ("[x]\naccept = 1\ncert = /c\nverifyChain = yes\n", {"clients-not-verified"}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_server_is_told_wrongly_is_found(work, name):
    text, wanted = CONFIGS[name]
    (work / name).write_text(text)
    assert wanted <= {i for i, _ in found(work)[0]}


def test_reports_baseline_and_threshold(work, ca):
    mint.leaf(work, ca, "a<b&c", ends=3 * mint.DAY)
    done = countersign("audit", work, "--sarif", work / "r.sarif", "--junit", work / "r.xml", "--accept", work / "known.txt")
    assert done.returncode == 1 and "certificate-expires-soon" in done.stdout
    sarif = json.loads((work / "r.sarif").read_text())
    results = sarif["runs"][0]["results"]
    assert sarif["version"] == "2.1.0" and {r["ruleId"] for r in results} <= {r["id"] for r in sarif["runs"][0]["tool"]["driver"]["rules"]}
    assert all(r["level"] in ("error", "warning", "note") and r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].startswith("file:///") for r in results)
    suite = ET.parse(work / "r.xml").getroot()
    assert int(suite.get("tests")) == len(results) and len(suite.findall(".//failure")) == int(suite.get("failures"))
    assert countersign("audit", work, "--baseline", work / "known.txt", "--fail-on", "note").returncode == 0
    mint.leaf(work, ca, "later", begins=-9 * mint.DAY, ends=-mint.DAY)
    assert countersign("audit", work, "--baseline", work / "known.txt", "--fail-on", "high").returncode == 1
    assert countersign("audit", work, "--fail-on", "critical").returncode == 0
    (work / "bad.txt").write_text("not a mark\n")
    done = countersign("audit", work, "--baseline", work / "bad.txt")
    assert done.returncode == 2 and "bad.txt:1" in done.stderr
    assert countersign("audit", work / "nowhere").returncode == 1
    assert countersign("audit", work, "--fail-on", "terrible").returncode == 2


def test_what_may_not_be_read_is_told(work, as_nobody):
    (work / "shut").mkdir(mode=0o700)
    (work / "secret.key").write_text("x")
    (work / "secret.key").chmod(0o600)
    work.chmod(0o755)
    done = run(*as_nobody, os.environ.get("COUNTERSIGN_AUDIT", str(countersign.__globals__["COMMAND"])), "audit", "--json", work)
    if done.returncode == 126 or "Permission denied" in done.stderr and not done.stdout:
        pytest.skip("nobody may not run the program where it stands")
    assert sum(f["id"] == "file-unreadable" for f in json.loads(done.stdout)["findings"]) == 2


def test_a_file_that_gives_nothing_leaves_the_others_names_alone(work, ca):
    """A network interface's speed says that it has octets; that of lo has none, and reading fails."""
    mute = Path("/sys/class/net/lo/speed")
    try:
        mute.read_bytes()
        pytest.skip("there is no file here that can be opened and not be read")
    except OSError:
        pass
    mint.leaf(work, ca, "ended", begins=-9 * mint.DAY, ends=-mint.DAY)
    _, said = audit(work / "ended.crt", *[mute] * 10, work / "ended.crt")
    assert {f["file"] for f in said["findings"]} == {str(work / "ended.crt")}
    assert {f["subject"] for f in said["findings"]} <= {"CN=ended", str(work / "ended.crt")}
