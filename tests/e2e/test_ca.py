"""countersign ca: CAs made, requested, signed elsewhere, installed, chosen and retired, beside what runs."""
import json
import subprocess

import pytest
from conftest import PASSPHRASE, PATIENCE, countersign, run, wait_for
from cryptography import x509


@pytest.fixture
def state(work, passphrase_file):
    countersign("init", "Acme", "--state", work / "state", "--passphrase-file", passphrase_file, check=0)
    return work / "state"


@pytest.fixture
def ca(state, passphrase_file):
    def call(*args, of=state, check=0):
        return countersign("ca", *args, "--state", of, "--passphrase-file", passphrase_file, check=check)
    return call


def issue(state, out, kind, name, *more, check=0):
    return countersign("issue", kind, name, "--state", state, "--out", out, *more, check=check)


def verify(ca_file, crt, *more):
    return subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", ca_file, "-untrusted", crt, *more, crt],
                          capture_output=True, text=True)


def test_a_site_gets_a_ca_that_can_certify_its_own_names_only(state, ca, work):
    ca("create", "plant-7", "--permit", "dns:plant7.example", "--permit", "ip:10.7.0.0/16", "--exclude",
       "dns:secret.plant7.example", "--key-type", "ecdsa-p384", "--days", "400")
    crt = x509.load_pem_x509_certificate((state / "ca/plant-7.crt").read_bytes())
    names = crt.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical and [n.value for n in names.value.excluded_subtrees] == ["secret.plant7.example"]
    assert {str(n.value) for n in names.value.permitted_subtrees} == {"plant7.example", "10.7.0.0/16"}
    assert crt.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    issue(state, work / "in", "server", "gw.plant7.example", "--issuer", "plant-7")
    assert verify(state / "ca/root.crt", work / "in/gw.plant7.example.crt").returncode == 0
    issue(state, work / "out", "server", "gw.other.example", "--issuer", "plant-7", check=1)


@pytest.mark.parametrize("wrong", ["corp.example", "dns:", "dns:a..b", "ip:10.0.0.1/8", "ip:10.0.0.0/33", "oid:1"])
def test_a_constraint_that_is_none_is_refused_and_nothing_made(state, ca, wrong):
    before = sorted(p.name for p in (state / "ca").iterdir())
    done = ca("create", "site", "--permit", wrong, check=1)
    assert "name-invalid" in done.stderr or "constraint" in done.stderr
    assert sorted(p.name for p in (state / "ca").iterdir()) == before


def test_the_root_on_another_machine_signs_what_was_requested_here(state, ca, work, passphrase_file):
    root_machine = work / "vault"
    root_machine.mkdir(mode=0o700)
    run("cp", "-a", state / "ca", root_machine / "ca", check=0)
    (state / "ca/root.key").unlink()
    ca("create", "other", check=1)  # no root here
    ca("request", "issuing-2", "--out", work / "2.csr")
    run("openssl", "req", "-in", work / "2.csr", "-verify", "-noout", check=0)
    ca("sign", work / "2.csr", "--out", work / "2.crt", of=root_machine)
    ca("install", "wrong", work / "nothing.crt", check=1)
    ca("install", "issuing-2", work / "2.crt")
    ca("use", "issuing-2")
    issue(state, work, "device", "pump-1")
    assert verify(state / "ca/root.crt", work / "pump-1.crt").returncode == 0
    listed = json.loads(countersign("ca", "list", "--json", "--state", state, check=0).stdout)["cas"]
    assert {c["name"]: (c["current"], c["valid"]) for c in listed} == {"issuing": (False, 0), "issuing-2": (True, 1)}


def test_what_is_not_of_a_root_or_not_of_the_key_is_not_installed(state, ca, work, passphrase_file):
    other = work / "other"
    countersign("init", "Evil", "--state", other, "--passphrase-file", passphrase_file, check=0)
    ca("request", "two", "--out", work / "two.csr")
    ca("sign", work / "two.csr", "--out", work / "evil.crt", of=other)
    assert "unknown-issuer" in ca("install", "two", work / "evil.crt", check=1).stderr
    assert "key-mismatch" in ca("install", "two", state / "ca/issuing.crt", check=1).stderr
    issue(state, work, "device", "pump-1")
    assert "not-a-ca" in ca("install", "two", work / "pump-1.crt", check=1).stderr
    assert not (state / "ca/two.crt").exists()


def test_the_passphrase_is_needed_for_every_ca_certificate(state, ca, work):
    wrong = work / "wrong"
    wrong.write_text("this is not the passphrase")
    wrong.chmod(0o600)
    done = countersign("ca", "create", "two", "--state", state, "--passphrase-file", wrong, check=1)
    assert "passphrase-wrong" in done.stderr
    assert not (state / "ca/two.key").exists()
    assert PASSPHRASE not in done.stderr


def test_a_foreign_root_is_cross_signed_and_openssl_follows(state, ca, work, passphrase_file):
    other = work / "other"
    countersign("init", "Partner", "--state", other, "--passphrase-file", passphrase_file, check=0)
    ca("cross-sign", other / "ca/root.crt", "--out", work / "cross.crt")
    issue(other, work, "server", "gw.partner.example")
    chain = work / "chain.pem"
    chain.write_bytes((work / "gw.partner.example.crt").read_bytes() + (work / "cross.crt").read_bytes())
    leaf = work / "gw.partner.example.crt"
    done = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", state / "ca/root.crt", "-untrusted", chain, leaf],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_new_ca_takes_over_while_it_runs_and_the_old_one_retires_when_nobody_hangs_on_it(system, work):
    s = system().start()
    passphrase = s.state / "root.passphrase"
    issue(s.state, work, "device", "old-pump")

    def ca(*args, check=0):
        return countersign("ca", *args, "--state", s.state, "--passphrase-file", passphrase, check=check)

    ca("create", "issuing-2")
    ca("use", "issuing-2")

    def issued_by_new():
        issue(s.state, work, "device", "new-pump", "--force", check=None)
        text = run("openssl", "x509", "-in", work / "new-pump.crt", "-noout", "-issuer", check=None).stdout
        new = x509.load_pem_x509_certificate((s.state / "ca/issuing-2.crt").read_bytes())
        return new.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value in text

    wait_for(issued_by_new, 20 * PATIENCE, every=0.5)
    # the gateway lets both in, and its own certificate is of the new CA soon
    for name in ("old-pump", "new-pump"):
        wait_for(lambda name=name: s.get(crt=work / f"{name}.crt", key=work / f"{name}.key").status == 200,
                 20 * PATIENCE, every=0.5)
    done = ca("retire", "issuing", check=1)
    assert "ca-in-use" in done.stderr
    shown = json.loads(countersign("ca", "show", "issuing", "--json", "--state", s.state, check=0).stdout)
    assert "old-pump" in {i["name"] for i in shown["identities"]}
    assert "ca-in-use" in ca("retire", "issuing-2", check=1).stderr
    said = ca("retire", "issuing", "--force").stdout
    assert "issues no more" in said and "go on for" in said
    wait_for(lambda: "ca-retired" in issue(s.state, work, "device", "late", "--issuer", "issuing", "--force", check=None).stderr, 20 * PATIENCE,
             every=0.5)
    countersign("revoke", "old-pump", "--state", s.state, check=0)  # and it still says what is revoked
    serial = x509.load_pem_x509_certificate((work / "old-pump.crt").read_bytes()).serial_number
    wait_for(lambda: x509.load_der_x509_crl(s.crl("issuing")).get_revoked_certificate_by_serial_number(serial), 20 * PATIENCE, every=0.5)
    assert s.get(crt=work / "new-pump.crt", key=work / "new-pump.key").status == 200
    assert "ca-in-use" in ca("retire", "issuing", check=1).stderr, "old certificates hang on it still"
    # one on which nothing hangs goes
    ca("create", "plant")
    wait_for(lambda: ca("retire", "plant", check=None).returncode == 0, 20 * PATIENCE, every=0.5)
    assert (s.state / "ca/retired/plant.key").exists() and not (s.state / "ca/plant.crt").exists()

    def listed():
        text = countersign("ca", "list", "--json", "--state", s.state, check=None).stdout
        return text and {c["name"]: c["retired"] for c in json.loads(text)["cas"]}

    wait_for(lambda: listed() == {"issuing": True, "issuing-2": False}, 20 * PATIENCE, every=0.5)
    ca("use", "issuing")  # and back
    wait_for(lambda: listed() == {"issuing": False, "issuing-2": False}, 20 * PATIENCE, every=0.5)
    assert s.get(crt=work / "new-pump.crt", key=work / "new-pump.key").status == 200
