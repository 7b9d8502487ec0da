"""Keys in a PKCS#11 token: SoftHSM, filled by pkcs11-tool, used by the signer in its sandbox."""
import os
import subprocess

import pytest
from conftest import PATIENCE, countersign, run, wait_for

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "734-secret-pin"


@pytest.fixture
def token(work, monkeypatch):
    folder = work / "tokens"
    folder.mkdir(mode=0o700)
    conf = work / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    run("softhsm2-util", "--init-token", "--free", "--label", "ours", "--pin", PIN, "--so-pin", "so-secret-pin", check=0)
    pin = work / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    return work


def make_key(label, key_type, id="01"):
    run("pkcs11-tool", "--module", MODULE, "--token-label", "ours", "--login", "--pin", PIN, "--keypairgen",
        "--key-type", key_type, "--label", label, "--id", id, check=0)


def uri(work, label, pin="pin", more=""):
    return f"pkcs11:token=ours;object={label}?module-path={MODULE}&pin-source=file:{work / pin}{more}"


@pytest.fixture
def ca(work, token, passphrase_file):
    countersign("init", "Acme", "--state", work / "state", "--passphrase-file", passphrase_file, check=0)

    def call(*args, check=0):
        return countersign("ca", *args, "--state", work / "state", "--passphrase-file", passphrase_file, check=check)
    return call


def accepted(work, name):
    done = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", work / "state/ca/root.crt", "-untrusted",
                           work / f"{name}.crt", work / f"{name}.crt"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key_type", ["EC:prime256v1", "EC:secp384r1", "rsa:3072"])
def test_a_ca_whose_key_never_leaves_the_token_issues(ca, work, key_type):
    make_key("hsm", key_type)
    ca("create", "hsm", "--key-uri", uri(work, "hsm"), "--allow", work / "tokens")
    assert not (work / "state/ca/hsm.key").exists()
    assert PIN not in (work / "state/ca/hsm.uri").read_text()
    ca("use", "hsm")
    countersign("issue", "device", "pump-1", "--state", work / "state", "--out", work, check=0)
    accepted(work, "pump-1")
    countersign("revoke", "pump-1", "--state", work / "state", check=0)
    countersign("crl", "--state", work / "state", "--out", work / "hsm.crl", check=0)
    run("openssl", "crl", "-in", work / "hsm.crl", "-CAfile", work / "state/ca/hsm.crt", "-noout", check=0)


def test_the_request_for_a_token_key_is_signed_by_it(ca, work):
    make_key("two", "EC:prime256v1")
    ca("request", "two", "--key-uri", uri(work, "two"), "--allow", work / "tokens", "--out", work / "two.csr")
    run("openssl", "req", "-in", work / "two.csr", "-verify", "-noout", check=0)
    ca("sign", work / "two.csr", "--out", work / "two.crt")
    ca("install", "two", work / "two.crt")
    countersign("issue", "device", "pump-2", "--issuer", "two", "--state", work / "state", "--out", work, check=0)
    accepted(work, "pump-2")


@pytest.mark.parametrize("wrong, reason", [
    ("pkcs11:token=nobody;object=hsm?module-path={m}", "key-unavailable"),
    ("pkcs11:token=ours;object=other?module-path={m}&pin-source=file:{w}/pin", "key-unavailable"),
    ("pkcs11:token=ours;object=hsm?module-path=/nowhere.so", "key-unavailable"),
    ("pkcs11:token=ours;object=hsm", "uri-invalid"),
    ("pkcs11:token=ours;object=hsm?module-path={m}&pin-value=1234", "uri-invalid"),
    ("pkcs11:token=ours;object=hsm?module-path={m}&pin-source=file:{w}/badpin", "passphrase-wrong"),
    ("file:/etc/passwd", "uri-invalid"),
])
def test_what_cannot_be_used_is_refused_with_the_reason_and_nothing_is_left(ca, work, wrong, reason):
    make_key("hsm", "EC:prime256v1")
    (work / "badpin").write_text("000000\n")
    (work / "badpin").chmod(0o600)
    done = ca("create", "hsm", "--key-uri", wrong.format(m=MODULE, w=work), "--allow", work / "tokens", check=1)
    assert reason in done.stderr, done.stderr
    assert not list((work / "state/ca").glob("hsm.*"))


def test_a_pin_that_others_can_read_is_refused(ca, work):
    make_key("hsm", "EC:prime256v1")
    (work / "pin").chmod(0o644)
    done = ca("create", "hsm", "--key-uri", uri(work, "hsm"), check=1)
    assert "file-permissions-too-open" in done.stderr


def test_a_token_that_goes_and_comes_back_is_used_again_without_a_restart(ca, work, system):
    make_key("hsm", "EC:prime256v1")
    ca("create", "hsm", "--key-uri", uri(work, "hsm"), "--allow", work / "tokens", "--allow", work / "softhsm2.conf")
    ca("use", "hsm")
    s = system(state=work / "state").start()
    signer = s.pids()["signer"]
    s.issue("device", "before")
    os.rename(work / "tokens", work / "gone")
    assert s.issue("device", "meanwhile", check=None).done.returncode == 1
    os.rename(work / "gone", work / "tokens")
    wait_for(lambda: s.issue("device", "after", check=None).done.returncode == 0, 20 * PATIENCE, every=0.5)
    assert s.pids()["signer"] == signer
    s.stop()
