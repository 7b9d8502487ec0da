"""OCSP answers that the gateway staples to certificates of its own authority, by itself."""
import base64
import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from authority import UnixConnection
from conftest import PATIENCE, countersign, run, wait_for

CONFIG = "ocsp: {lifetime: 1m}\n"


def control(s, path):
    c = UnixConnection(s.state / "run/control.sock", 30 * PATIENCE)
    try:
        c.request("GET", path)
        r = c.getresponse()
        return r.status, json.loads(r.read())
    finally:
        c.close()


@pytest.fixture()
def short(system, work):
    """One whose answers live for a minute."""
    (work / "short.yaml").write_text(CONFIG)
    return system(config=work / "short.yaml").start()


def stapled(s, name="localhost"):
    """What openssl says of the answer that comes with the handshake; None: there is none."""
    said = run("openssl", "s_client", "-connect", f"127.0.0.1:{s.https}", "-servername", name, "-status", "-CAfile", s.ca,
               "-verify_return_error", input="").stdout
    return said if "OCSP Response Status: successful" in said else None


def staples(s):
    return list((s.state / "gateway/staples").glob("*.ocsp")) if (s.state / "gateway/staples").exists() else []


def test_the_gateways_own_certificate_is_stapled_and_the_answer_is_made_anew(short):
    s = short
    said = wait_for(lambda: stapled(s), 10, say="nothing is stapled")
    assert "Cert Status: good" in said
    (path,) = staples(s)
    first = ocsp.load_der_ocsp_response(path.read_bytes())
    leaf = x509.load_pem_x509_certificate((s.state / "gateway/server.crt").read_bytes())
    assert first.serial_number == leaf.serial_number and first.certificate_status == ocsp.OCSPCertStatus.GOOD
    assert first.next_update - first.this_update == dt.timedelta(minutes=1)
    path.write_bytes(b"no answer")  # one that is of no use does not keep the site from serving, and is replaced
    wait_for(lambda: staples(s) == [path] and path.read_bytes() != b"no answer", 40, say="it was not fetched again")
    wait_for(lambda: stapled(s), 10)
    later = ocsp.load_der_ocsp_response(path.read_bytes())
    assert later.produced_at >= first.produced_at


def test_the_answer_to_staple_is_there_for_others(system, work):
    s = system()
    s.start()
    countersign("issue", "server", "web.example", "--state", s.state, "--out", work, check=0)
    leaf = x509.load_pem_x509_certificate((work / "web.example.crt").read_bytes())
    status, answer = control(s, f"/api/v1/ocsp/{leaf.serial_number:032x}")
    assert status == 200, answer
    (work / "a.ocsp").write_bytes(base64.b64decode(answer["der"]))
    said = run("openssl", "ocsp", "-respin", work / "a.ocsp", "-issuer", s.state / "ca/issuing.crt", "-cert", work / "web.example.crt",
               "-CAfile", s.state / "ca/root.crt", "-verify_other", s.state / "ca/issuing.crt")
    assert "Response verify OK" in said.stdout + said.stderr and ": good" in said.stdout, said
    assert control(s, "/api/v1/ocsp/" + "ab" * 16)[0] == 404
    assert control(s, "/api/v1/ocsp/nonsense")[0] == 404


def test_a_site_with_a_certificate_of_ours_is_stapled_too_and_a_foreign_one_is_not(system, work):
    s = system()
    s.start()
    countersign("issue", "server", "web.example", "--state", s.state, "--out", work, check=0)
    config = work / "c.yaml"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=far.example",
        "-addext", "subjectAltName=DNS:far.example", "-days", "9", "-keyout", work / "far.key", "-out", work / "far.crt", check=0)
    (work / "far.key").chmod(0o600)
    config.write_text(f"""ocsp: {{lifetime: 1m}}
sites:
  - {{name: "*"}}
  - {{name: web.example, certificate: {work}/web.example.crt, key: {work}/web.example.key}}
  - {{name: far.example, certificate: {work}/far.crt, key: {work}/far.key, client: "off"}}
""")
    s.stop()
    s.options["config"] = config
    s.start()
    wait_for(lambda: stapled(s, "web.example"), 20, say="the site's certificate is not stapled")
    assert len(staples(s)) == 2
    assert stapled(s, "far.example") is None


def test_a_revoked_one_is_not_stapled(short):
    s = short
    wait_for(lambda: stapled(s), 10)
    leaf = x509.load_pem_x509_certificate((s.state / "gateway/server.crt").read_bytes())
    countersign("revoke", f"{leaf.serial_number:032x}", "--state", s.state, check=0)
    status, answer = control(s, f"/api/v1/ocsp/{leaf.serial_number:032x}")
    assert status == 200
    now = ocsp.load_der_ocsp_response(base64.b64decode(answer["der"]))
    assert now.certificate_status == ocsp.OCSPCertStatus.REVOKED
    (path,) = staples(s)
    new = path.with_suffix(".new")
    new.write_bytes(base64.b64decode(answer["der"]))
    new.rename(path)
    wait_for(lambda: stapled(s) is None, 10, say="an answer that says revoked is stapled")
