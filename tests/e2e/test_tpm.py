"""Keys of CAs in a TPM 2.0: swtpm, filled by openssl's provider and by tpm2-tools, used by the signer in its sandbox."""
import os
import shutil
import subprocess

import pytest
from conftest import PATIENCE, SANITIZED, countersign, die_with_parent, run, wait_for

needed = [p for p in ("swtpm", "tpm2_create") if shutil.which(p) is None]
pytestmark = pytest.mark.skipif(bool(needed), reason=f"not installed: {needed}")
PASSWORD = "734-key-password"


class Tpm:
    def __init__(self, folder):
        self.state, self.socket = folder / "tpm", folder / "tpm.sock"
        self.state.mkdir()
        self.tcti = f"swtpm:path={self.socket}"
        self.env = {"TPM2OPENSSL_TCTI": self.tcti, "TPM2TOOLS_TCTI": self.tcti}
        self.start()

    def start(self):
        for path in (self.socket, f"{self.socket}.ctrl"):
            if os.path.exists(path):
                os.unlink(path)
        self.proc = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}", "--server", f"type=unixio,path={self.socket}",
             "--ctrl", f"type=unixio,path={self.socket}.ctrl", "--flags", "not-need-init,startup-clear"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        wait_for(lambda: self.socket.exists(), 10)

    def stop(self):
        self.proc.kill()
        self.proc.wait()

    def genpkey(self, to, *algorithm):
        run("openssl", "genpkey", "-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2", *algorithm, "-out",
            to, env=self.env, check=0)
        to.chmod(0o600)

    def persist(self, folder, handle, password=None):
        """A signing key made by tpm2-tools and kept in the TPM."""
        def tool(*args):
            run(*args, env=self.env, cwd=folder, check=0)
        tool("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", "primary.ctx")
        tool("tpm2_flushcontext", "-t")
        tool("tpm2_create", "-C", "primary.ctx", "-G", "ecc256:ecdsa", "-u", "k.pub", "-r", "k.priv", "-a",
             "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", *(["-p", password] if password else []))
        tool("tpm2_flushcontext", "-t")
        tool("tpm2_load", "-C", "primary.ctx", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx")
        tool("tpm2_evictcontrol", "-C", "o", "-c", "k.ctx", handle)
        tool("tpm2_flushcontext", "-t")


@pytest.fixture
def tpm(work):
    t = Tpm(work)
    yield t
    t.stop()


@pytest.fixture
def ca(work, tpm, passphrase_file):
    countersign("init", "Acme", "--state", work / "state", "--passphrase-file", passphrase_file, check=0)

    def call(*args, check=0):
        return countersign("ca", *args, "--state", work / "state", "--passphrase-file", passphrase_file, check=check)
    return call


def accepted(work, name):
    run("openssl", "verify", "-x509_strict", "-CAfile", work / "state/ca/root.crt", "-untrusted", work / f"{name}.crt",
        work / f"{name}.crt", check=0)


@pytest.mark.parametrize("algorithm", [("-algorithm", "EC", "-pkeyopt", "group:P-256"),
                                       ("-algorithm", "EC", "-pkeyopt", "group:P-384"),
                                       ("-algorithm", "RSA", "-pkeyopt", "bits:2048")])
def test_a_ca_whose_key_is_sealed_by_the_tpm_issues_and_publishes(ca, work, tpm, algorithm):
    tpm.genpkey(work / "key.pem", *algorithm)
    ca("create", "hw", "--key-uri", f"tpm2:file={work}/key.pem?tcti={tpm.tcti}")
    assert not (work / "state/ca/hw.key").exists()
    ca("use", "hw")
    countersign("issue", "device", "pump-1", "--state", work / "state", "--out", work, check=0)
    accepted(work, "pump-1")
    countersign("revoke", "pump-1", "--state", work / "state", check=0)
    countersign("crl", "--state", work / "state", "--out", work / "hw.crl", check=0)
    run("openssl", "crl", "-in", work / "hw.crl", "-CAfile", work / "state/ca/hw.crt", "-noout", check=0)


def test_a_persistent_key_with_a_password_signs_its_request_and_issues(ca, work, tpm):
    tpm.persist(work, "0x81000005", PASSWORD)
    (work / "pin").write_text(PASSWORD + "\n")
    (work / "pin").chmod(0o600)
    uri = f"tpm2:handle=0x81000005?tcti={tpm.tcti}&pin-source=file:{work}/pin"
    ca("request", "two", "--key-uri", uri, "--out", work / "two.csr")
    run("openssl", "req", "-in", work / "two.csr", "-verify", "-noout", check=0)
    ca("sign", work / "two.csr", "--out", work / "two.crt")
    ca("install", "two", work / "two.crt")
    countersign("issue", "device", "pump-2", "--issuer", "two", "--state", work / "state", "--out", work, check=0)
    accepted(work, "pump-2")


@pytest.mark.parametrize("wrong, reason, says", [
    ("tpm2:handle=0x81000077?tcti={t}", "key-unavailable", "0x81000077"),
    ("tpm2:handle=0x81000005?tcti=swtpm:path={w}/nobody.sock", "key-unavailable", "no TPM answers at"),
    ("tpm2:handle=0x81000005?tcti=device:/dev/no-such-tpm", "key-unavailable", "no TPM answers at"),
    ("tpm2:handle=5", "uri-invalid", "persistent"),
    ("tpm2:handle=0x81000005?colour=red", "uri-invalid", "colour"),
    ("tpm2:handle=0x81000005&file=/x", "uri-invalid", "either"),
    ("tpm2:file=key.pem", "uri-invalid", "absolute"),
    ("tpm2:file={w}/none.pem?tcti={t}", "file-not-found", "none.pem"),
    ("tpm2:file={w}/plain.pem?tcti={t}", "file-wrong-type", "TSS2"),
    ("tpm2:file={w}/open.pem?tcti={t}", "file-permissions-too-open", "open.pem"),
])
def test_what_cannot_be_used_is_refused_with_the_reason_and_nothing_is_left(ca, work, tpm, wrong, reason, says):
    run("openssl", "genpkey", "-algorithm", "ED25519", "-out", work / "plain.pem", check=0)
    (work / "plain.pem").chmod(0o600)
    (work / "open.pem").write_text("-----BEGIN TSS2 PRIVATE KEY-----\n")
    (work / "open.pem").chmod(0o644)
    done = ca("create", "hw", "--key-uri", wrong.format(t=tpm.tcti, w=work), check=1)
    assert reason in done.stderr and says in done.stderr, done.stderr
    assert not list((work / "state/ca").glob("hw.*"))


def test_a_key_that_another_tpm_has_sealed_is_worthless_here(ca, work, tpm):
    other = work / "other"
    other.mkdir()
    second = Tpm(other)
    second.genpkey(work / "key.pem", "-algorithm", "EC", "-pkeyopt", "group:P-256")
    second.stop()
    assert "key-unavailable" in ca("create", "hw", "--key-uri", f"tpm2:file={work}/key.pem?tcti={tpm.tcti}", check=1).stderr


def test_a_provider_that_is_not_installed_is_said(ca, work, tpm):
    done = countersign("ca", "create", "hw", "--key-uri", f"tpm2:handle=0x81000005?tcti={tpm.tcti}", "--state", work / "state",
                       "--passphrase-file", work / "passphrase", env={"OPENSSL_MODULES": str(work)}, check=1)
    assert "key-unavailable" in done.stderr and "package tpm2-openssl" in done.stderr


@pytest.mark.skipif(SANITIZED, reason="tpm2-tss is not built for it")
def test_a_tpm_that_restarts_is_used_again_without_a_restart(ca, work, tpm, system):
    tpm.genpkey(work / "key.pem", "-algorithm", "EC", "-pkeyopt", "group:P-256")
    ca("create", "hw", "--key-uri", f"tpm2:file={work}/key.pem?tcti={tpm.tcti}")
    ca("use", "hw")
    s = system(state=work / "state").start()
    signer = s.pids()["signer"]
    s.issue("device", "before")
    tpm.stop()
    assert s.issue("device", "meanwhile", check=None).done.returncode == 1
    tpm.start()
    wait_for(lambda: s.issue("device", "after", check=None).done.returncode == 0, 20 * PATIENCE, every=0.5)
    assert s.pids()["signer"] == signer
    s.stop()
