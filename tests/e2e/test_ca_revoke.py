"""countersign ca revoke: the certificate of a CA is ended by the one that signed it, on that one's CRL, and at the gateway."""
import json

import pytest
from conftest import PASSPHRASE, System, countersign, run, wait_for
from cryptography import x509


@pytest.fixture(scope="module")
def s(tmp_path_factory):
    made = System()
    secret = made.state.parent / "passphrase"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    countersign("init", "Acme", "--state", made.state, "--passphrase-file", secret, check=0)
    for name, more in (("region", ("--path-length", "1")), ("plant", ()), ("line", ("--parent", "region"))):
        countersign("ca", "create", name, *more, "--state", made.state, "--passphrase-file", secret, check=0)
    made.start()
    yield made
    made.stop()
    made.close()


def ca(s, *args, check=0, of=None):
    return countersign("ca", *args, "--state", of or s.state, "--passphrase-file", s.state.parent / "passphrase", check=check)


def serial(s, name):
    return x509.load_pem_x509_certificate((s.state / f"ca/{name}.crt").read_bytes()).serial_number


def on(crl, number):
    return x509.load_der_x509_crl(crl).get_revoked_certificate_by_serial_number(number)


def enters(s, issued):
    return s.curl(crt=issued.crt, key=issued.key).status == 200


def test_a_ca_below_a_root_is_on_the_roots_crl_and_what_hangs_on_it_is_shut_out_at_once(s, work):
    pump = s.issue("device", "pump-1", "--issuer", "plant")
    wait_for(lambda: enters(s, pump), 10)
    before = x509.load_der_x509_crl(s.crl("root"))
    for wrong, reason in ((("plant", "--reason", "certificate-hold"), "reason-invalid"), (("root",), "root"),
                          (("issuing",), "ca-in-use"), (("nowhere",), "unknown-issuer"), ((pump.crt,), "not-a-ca")):
        assert reason in ca(s, "revoke", *wrong, check=None).stderr, wrong
    done = json.loads(ca(s, "revoke", "plant", "--reason", "ca-compromise", "--json").stdout)
    assert done["issuer"] == "root" and done["told"] and int(done["serial"], 16) == serial(s, "plant")
    wait_for(lambda: not enters(s, pump), 5)
    wait_for(lambda: on(s.crl("root"), serial(s, "plant")), 20, say="the root's CRL does not list it")
    crl = x509.load_der_x509_crl(s.crl("root"))
    assert on(s.crl("root"), serial(s, "plant")).extensions[0].value.reason == x509.ReasonFlags.ca_compromise
    number = lambda c: c.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert number(crl) > number(before)
    (work / "root.pem").write_text((s.state / "ca/root.crl").read_text())
    run("openssl", "crl", "-in", work / "root.pem", "-CAfile", s.state / "ca/root.crt", "-noout", check=0)
    said = run("openssl", "verify", "-crl_check_all", "-CAfile", s.state / "ca/root.crt", "-CRLfile", work / "root.pem",
               s.state / "ca/plant.crt")
    assert "certificate revoked" in said.stderr + said.stdout
    assert "ca-retired" in s.issue("device", "pump-2", "--issuer", "plant", check=1).done.stderr
    assert "already-revoked" in ca(s, "revoke", "plant", check=1).stderr
    lines = [json.loads(x) for x in s.run("log", "--json", check=0).stdout.splitlines()]
    assert next(r for r in lines if r["event"] == "ca-revoked")["detail"] == "ca-compromise"
    assert any("the key of root signs its CRL" in r.get("detail", "") for r in lines)


def test_a_ca_below_another_is_on_that_ones_crl_and_its_ocsp_answers_say_so(s, work):
    pump = s.issue("device", "pump-3", "--issuer", "line")
    wait_for(lambda: enters(s, pump), 10)
    ca(s, "revoke", "line", "--reason", "superseded")
    wait_for(lambda: not enters(s, pump), 5)
    wait_for(lambda: on(s.crl("region"), serial(s, "line")), 20, say="the region's CRL does not list it")
    got = run("openssl", "ocsp", "-issuer", s.state / "ca/region.crt", "-cert", s.state / "ca/line.crt", "-url",
              s.http_url("/ocsp"), "-CAfile", s.state / "ca/root.crt", "-no_nonce")
    assert "revoked" in got.stdout and "superseded" in got.stdout, got.stdout + got.stderr


def test_a_customers_ca_on_the_roots_own_machine_and_then_here(s, work):
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        work / "k", "-subj", "/CN=customer", "-out", work / "c.csr", check=0)
    ca(s, "sign", work / "c.csr", "--out", work / "c.crt")
    number = x509.load_pem_x509_certificate((work / "c.crt").read_bytes()).serial_number
    vault = work / "vault"
    (vault / "ca").mkdir(parents=True, mode=0o700)
    vault.chmod(0o700)
    for f in ("root.crt", "root.key", "root.crl"):
        run("cp", "-a", s.state / "ca" / f, vault / "ca", check=0)
    said = ca(s, "revoke", work / "c.crt", "--reason", "cessation-of-operation", of=vault).stdout
    assert "--crl that file" in said
    old = (s.state / "ca/root.crl").read_bytes()
    (work / "old.crl").write_bytes(old)
    assert "certificate-unknown" in ca(s, "revoke", work / "c.crt", "--crl", work / "old.crl", check=1).stderr
    ca(s, "revoke", work / "c.crt", "--crl", vault / "ca/root.crl", "--reason", "cessation-of-operation")
    wait_for(lambda: on(s.crl("root"), number), 20)
    assert "crl-stale" in ca(s, "revoke", work / "c.crt", "--crl", work / "old.crl", check=1).stderr
    (work / "bad.crl").write_bytes((vault / "ca/root.crl").read_bytes().replace(b"A", b"B", 1))
    assert ca(s, "revoke", work / "c.crt", "--crl", work / "bad.crl", check=1)
    assert "unknown-issuer" in ca(s, "revoke", work / "c.crt", "--crl", s.state / "crl/issuing.crl", check=1).stderr
