"""ML-DSA (FIPS 204, RFC 9881): CAs and leaves with such keys where OpenSSL has them, a clear refusal where not.
In Debian 13: tools/debian13 e2e"""
import json
import subprocess

import pytest
from clients import s_client, status_of
from conftest import countersign, run, wait_for

HAS = "ML-DSA-65" in subprocess.run(["openssl", "list", "-signature-algorithms"], capture_output=True, text=True).stdout.upper()
with_it = pytest.mark.skipif(not HAS, reason="OpenSSL before 3.5 has no ML-DSA")
without = pytest.mark.skipif(HAS, reason="this OpenSSL has ML-DSA")


def init(work, passphrase_file, *more, check=0):
    return countersign("init", "Acme", "--state", work / "state", "--passphrase-file", passphrase_file, *more, check=check)


def text_of(crt):
    return run("openssl", "x509", "-in", crt, "-noout", "-text", check=0).stdout


def accepted(work, crt, *more):
    run("openssl", "verify", "-x509_strict", "-CAfile", work / "state/ca/root.crt", "-untrusted", crt, *more, crt, check=0)


@without
@pytest.mark.parametrize("size", ["44", "65", "87"])
def test_without_openssl_3_5_it_is_refused_and_nothing_is_left(work, passphrase_file, size):
    done = init(work, passphrase_file, "--key-type", f"ml-dsa-{size}", check=1)
    assert "key-unsupported" in done.stderr and "3.5" in done.stderr
    assert not (work / "state/ca").exists()
    init(work, passphrase_file)
    done = countersign("issue", "device", "pump-1", "--key-type", f"ml-dsa-{size}", "--state", work / "state", "--out", work,
                       check=1)
    assert "key-unsupported" in done.stderr and not list(work.glob("pump-1*"))
    done = countersign("ca", "create", "pq", "--key-type", f"ml-dsa-{size}", "--state", work / "state", "--passphrase-file",
                       passphrase_file, check=1)
    assert "key-unsupported" in done.stderr and not list((work / "state/ca").glob("pq*"))


@with_it
@pytest.mark.parametrize("size", ["44", "65", "87"])
def test_a_hierarchy_of_ml_dsa_issues_revokes_and_publishes(work, passphrase_file, size, system):
    init(work, passphrase_file, "--key-type", f"ml-dsa-{size}")
    assert f"ML-DSA-{size}" in text_of(work / "state/ca/root.crt")
    s = system(state=work / "state").start()
    made = s.issue("device", "pump-1", "--key-type", f"ml-dsa-{size}", out=work / "pq")
    mixed = s.issue("device", "pump-2", out=work / "mixed")
    for one in (made, mixed):
        accepted(work, one.crt)
        said = s_client(s, crt=one.crt, key=one.key)
        assert status_of(said) == 200, said
    text = text_of(made.crt)
    assert text.count(f"ML-DSA-{size}") >= 2 and "Digital Signature" in text and "Encipherment" not in text
    assert countersign("lint", made.crt).returncode == 0
    s.revoke("pump-1")
    wait_for(lambda: status_of(s_client(s, crt=made.crt, key=made.key)) != 200, 10)
    (work / "crl.der").write_bytes(s.crl())
    run("openssl", "crl", "-inform", "DER", "-in", work / "crl.der", "-CAfile", work / "state/ca/issuing.crt", "-noout", check=0)
    said = run("openssl", "ocsp", "-issuer", work / "state/ca/issuing.crt", "-cert", made.crt, "-url", s.http_url("/ocsp"),
               "-CAfile", work / "state/ca/root.crt", "-no_nonce").stdout
    assert ": revoked" in said
    s.run("log", "verify", check=0)  # its key is vouched for by the CA's
    s.stop()


@with_it
def test_a_request_made_by_openssl_is_certified_and_verified_by_both(work, passphrase_file):
    init(work, passphrase_file)
    run("openssl", "req", "-new", "-newkey", "ML-DSA-65", "-nodes", "-keyout", work / "k.pem", "-subj", "/CN=pump-3", "-out",
        work / "r.csr", check=0)
    countersign("issue", "device", "pump-3", "--csr", work / "r.csr", "--state", work / "state", "--out", work, check=0)
    accepted(work, work / "pump-3.crt")
    said = countersign("verify", "--purpose", "client", "--trust", work / "state/ca/root.crt", "--chain", work / "pump-3.crt", "--json",
                       work / "pump-3.crt").stdout
    assert json.loads(said)["result"] == "accepted", said


@with_it
def test_a_profile_may_ask_for_it(work, passphrase_file):
    init(work, passphrase_file)
    (work / "state/countersign.yaml").write_text("profiles:\n  - {name: pq, kind: device, keys: [ml-dsa-65, ml-dsa-87]}\n")
    common = ("--profile", "pq", "--state", work / "state", "--out", work)
    countersign("issue", "device", "a", "--key-type", "ml-dsa-65", *common, check=0)
    for other in ("ml-dsa-44", "ecdsa-p256"):
        assert "key-unsupported" in countersign("issue", "device", "b", "--key-type", other, *common, check=1).stderr


@with_it
def test_the_root_is_replaced_by_one_of_another_algorithm(work, passphrase_file):
    init(work, passphrase_file)
    state = ("--state", work / "state")
    countersign("rollover", "start", "root", "--key-type", "ml-dsa-87", "--passphrase-file", passphrase_file, *state, check=0)
    countersign("rollover", "next", *state, check=0)
    countersign("rollover", "next", *state, check=0)
    countersign("issue", "device", "pump-1", "--out", work, *state, check=0)
    for ca in ("root", "root-2"):
        run("openssl", "verify", "-x509_strict", "-CAfile", work / f"state/ca/{ca}.crt", "-untrusted", work / "pump-1.crt",
            work / "pump-1.crt", check=0)
    assert "ML-DSA-87" in text_of(work / "state/ca/issuing.crt")
