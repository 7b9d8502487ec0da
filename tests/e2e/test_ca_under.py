"""CAs beneath a CA that is no root: whom they may certify, how deep they may go, and who accepts what they issue."""
import subprocess

import pytest
from conftest import countersign, run, wait_for


@pytest.fixture
def state(work, passphrase_file):
    countersign("init", "Acme", "--state", work / "state", "--passphrase-file", passphrase_file, check=0)
    return work / "state"


@pytest.fixture
def ca(state, passphrase_file):
    def call(*args, check=0):
        return countersign("ca", *args, "--state", state, "--passphrase-file", passphrase_file, check=check)
    call("create", "region", "--path-length", "1", "--permit", "dns:region.example", "--permit", "ip:10.0.0.0/8")
    return call


def issue(state, out, name, issuer, check=0):
    return countersign("issue", "server", name, "--issuer", issuer, "--state", state, "--out", out, check=check)


def judges(state, crt):
    """openssl and certtool on NAME.crt, its intermediates from the same file."""
    root = state / "ca/root.crt"
    ssl = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", root, "-untrusted", crt, crt],
                         capture_output=True, text=True)
    tls = subprocess.run(["certtool", "--verify", "--load-ca-certificate", root, "--infile", crt], capture_output=True,
                         text=True)
    return ssl.returncode == 0, tls.returncode == 0, ssl.stderr + tls.stdout


def test_a_site_beneath_a_region_issues_what_both_permit_and_others_accept_it(state, ca, work):
    ca("create", "site", "--parent", "region", "--permit", "dns:a.region.example")
    issue(state, work, "gw.a.region.example", "site")
    crt = work / "gw.a.region.example.crt"
    assert crt.read_text().count("BEGIN CERTIFICATE") == 3
    ssl, tls, said = judges(state, crt)
    assert ssl and tls, said
    issue(state, work / "out", "gw.b.region.example", "site", check=1)


def test_what_the_ca_above_forbids_is_not_signed_below_it(state, ca, work):
    ca("create", "free", "--parent", "region")  # no constraints of its own
    issue(state, work, "gw.region.example", "free")
    ssl, tls, said = judges(state, work / "gw.region.example.crt")
    assert ssl and tls, said
    assert "name-constraint-violated" in issue(state, work / "out", "gw.elsewhere.example", "free", check=1).stderr


@pytest.mark.parametrize("outside", ["dns:elsewhere.example", "dns:example", "ip:11.0.0.0/8"])
def test_a_constraint_that_the_ca_above_does_not_permit_is_refused(state, ca, outside):
    done = ca("create", "site", "--parent", "region", "--permit", outside, check=1)
    assert "name-constraint-violated" in done.stderr, done.stderr
    assert not list((state / "ca").glob("site.*"))


def test_no_ca_stands_deeper_than_the_path_length(state, ca):
    ca("create", "site", "--parent", "region")
    assert "path-too-long" in ca("create", "desk", "--parent", "site", check=1).stderr
    assert "path-too-long" in ca("create", "two", "--parent", "region", "--path-length", "1", check=1).stderr
    assert "path-too-long" in ca("create", "under-first", "--parent", "issuing", check=1).stderr
    assert not list((state / "ca").glob("desk.*")) + list((state / "ca").glob("two.*"))
    assert "name-invalid" in ca("create", "x", "--root", "region", check=1).stderr
    assert "one CA signs" in ca("create", "x", "--root", "root", "--parent", "region", check=2).stderr


def test_a_request_from_another_machine_is_signed_beneath_the_region(state, ca, work):
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        work / "customer.key", "-subj", "/CN=customer", "-out", work / "customer.csr", check=0)
    ca("sign", work / "customer.csr", "--parent", "region", "--permit", "dns:c.region.example", "--out",
       work / "customer.crt")
    ca("install", "customer", work / "customer.crt")
    run("openssl", "verify", "-x509_strict", "-CAfile", state / "ca/root.crt", "-untrusted", state / "ca/region.crt",
        work / "customer.crt", check=0)


def test_the_gateway_lets_in_and_the_whole_path_has_crls(system, state, ca, work):
    s = system(state=state).start()
    ca("create", "plant", "--path-length", "1")
    ca("create", "line", "--parent", "plant")
    wait_for(lambda: countersign("ca", "show", "line", "--state", state).returncode == 0, 20)
    made = s.issue("device", "pump-1", "--issuer", "line", out=work)
    leaf = made.crt.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    (work / "leaf.crt").write_text(leaf)
    for crt in (made.crt, work / "leaf.crt"):
        wait_for(lambda: s.curl(crt=crt, key=made.key).status == 200, 10)
    pem = ""
    for name in ("root", "plant", "line"):
        (work / "one.der").write_bytes(wait_for(lambda: s.crl(name), 10))
        pem += run("openssl", "crl", "-inform", "DER", "-in", work / "one.der", check=0).stdout
    (work / "crls.pem").write_text(pem)
    run("openssl", "verify", "-x509_strict", "-CAfile", state / "ca/root.crt", "-untrusted", made.crt, "-crl_check_all",
        "-CRLfile", work / "crls.pem", made.crt, check=0)
    s.revoke("pump-1")
    wait_for(lambda: s.curl(crt=made.crt, key=made.key).code != 0, 10)
    s.stop()
