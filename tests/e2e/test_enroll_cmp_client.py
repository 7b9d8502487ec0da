"""`countersign enroll` over CMP: against our own door, and against openssl's mock server."""
import json
import subprocess
import threading
import time

import pytest
from conftest import countersign, die_with_parent, free_port, run, wait_for
from test_enroll_cmp import key_file, serial, url
from test_enroll_command import enroll, fingerprint, holds, reason, token_file
from test_enroll_est import token


def test_a_token_enrolls_and_the_certificate_renews_itself(up, work):
    out = work / "o"
    done = enroll(url(up), "--name", "cc-1", "--token-file", token_file(up, work, "cc-1"), "--out", out, "--json", check=0)
    crt, key = holds(out, "cc-1")  # trust came with the token: caPubs
    assert json.loads(done.stdout)["protocol"] == "cmp" and (out / "ca.pem").read_text().strip() == up.ca.read_text().strip()
    before = serial(crt)
    enroll(url(up), "--cert", crt, "--key", key, "--ca", out / "ca.pem", "--out", out, "--force", check=0)
    assert serial(holds(out, "cc-1")[0]) != before
    enroll(f"https://localhost:{up.https}", "--protocol", "cmp", "--cert", crt, "--key", key, "--ca", out / "ca.pem", "--out", out, "--force", check=0)


def test_by_fingerprint_with_a_profile_and_a_servers_name(up, work):
    name = "gw-cc.corp.example"
    enroll(url(up), "--kind", "server", "--name", name, "--token-file", token_file(up, work, name, "server"), "--ca-fingerprint", fingerprint(up.ca),
           "--profile", "server", "--key-type", "rsa-2048", "--out", work / "o", check=0)
    assert f"DNS:{name}" in run("openssl", "x509", "-in", holds(work / "o", name)[0], "-noout", "-text").stdout
    bad = fingerprint(up.crt)
    assert reason(enroll(url(up), "--name", "x", "--ca-fingerprint", bad, "--out", work / "p", "--json")) == "server-untrusted"


def test_refusals_have_the_servers_reason(up, work):
    secret = token_file(up, work, "cc-2")
    for name, why in (("cc-3", "token-invalid"), ):
        assert reason(enroll(url(up), "--name", name, "--token-file", secret, "--ca", up.ca, "--out", work / "o", "--json")) == why
    assert reason(enroll(url(up), "--name", "cc-2", "--ca", up.ca, "--out", work / "o", "--json")) == "credential-needed"
    assert reason(enroll(url(up), "--name", "cc-2", "--out", work / "o", "--json")) == "server-untrusted"
    assert reason(enroll(url(up), "--name", "cc-2", "--user", "cc-2", "--token-file", secret, "--profile", "no-such", "--out", work / "o", "--json")) == "profile-unknown"
    assert reason(enroll(f"http://127.0.0.1:{up.http}/crl/issuing.crl", "--protocol", "cmp", "--name", "x", "--ca", up.ca, "--out", work / "o", "--json")) \
        in ("server-answer-invalid", "enrollment-refused")


def test_it_waits_for_an_approval(system, work):
    (work / "c.yaml").write_text("enroll:\n  device: {approval: unknown, retry: 1s}\n")
    s = system(config=work / "c.yaml")
    s.start()

    def approve():
        row = wait_for(lambda: countersign("request", "list", "--json", "--state", s.state, check=0).stdout.splitlines(), 10)[0]
        time.sleep(1)
        countersign("request", "approve", json.loads(row)["id"], "--state", s.state, check=0)
    approver = threading.Thread(target=approve)
    approver.start()
    done = enroll(url(s), "--name", "cc-4", "--ca", s.ca, "--out", work / "o", "--wait", "30s", check=0)
    approver.join()
    assert "waiting for approval" in done.stderr
    holds(work / "o", "cc-4")
    assert reason(enroll(url(s), "--name", "cc-5", "--ca", s.ca, "--out", work / "o", "--no-wait", "--force", "--json")) == "enrollment-waits"


# ---- somebody else's server ----

class Mock:
    """openssl cmp -port: gives the certificate that it was told, whoever asks."""

    def __init__(self, work, *options):
        self.port, self.log = free_port(), work / "mock.log"
        with open(self.log, "w") as log:
            self.proc = subprocess.Popen(["openssl", "cmp", "-config", "/dev/null", "-port", str(self.port), "-max_msgs", "20", *map(str, options)], stdout=log,
                                         stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        wait_for(lambda: "ACCEPT" in self.log.read_text() or self.proc.poll() is not None, 10)
        assert self.proc.poll() is None, self.log.read_text()
        self.url = f"http://127.0.0.1:{self.port}/pkix/"

    def close(self):
        self.proc.kill()
        self.proc.wait()


@pytest.fixture
def mock(work):
    """A CA of openssl's, and a factory of servers that give pump-9's certificate."""
    made, d = [], work / "theirs"
    d.mkdir()
    key_file(d / "ca.key")
    run("openssl", "req", "-x509", "-new", "-key", d / "ca.key", "-subj", "/CN=Their CA", "-days", "30", "-out", d / "ca.pem", check=0)
    out = work / "o"
    out.mkdir()
    waiting = key_file(out / ".pump-9.key.new")  # as an interrupted command leaves it
    waiting.chmod(0o600)
    (d / "ext").write_text("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    for stem, key in (("leaf", waiting), ("server", key_file(d / "server.key"))):
        run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={'pump-9' if stem == 'leaf' else 'their server'}", "-out", d / f"{stem}.csr", check=0)
        run("openssl", "x509", "-req", "-in", d / f"{stem}.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-CAcreateserial", "-days", "20", "-extfile", d / "ext",
            "-out", d / f"{stem}.pem", check=0)

    def make(*options, leaf=d / "leaf.pem"):
        made.append(Mock(work, "-rsp_cert", leaf, *options))
        return made[-1]
    make.d, make.out = d, out
    yield make
    for m in made:
        m.close()


@pytest.fixture
def secret(work):
    path = work / "secret"
    path.write_text("pass-1234\n")
    path.chmod(0o600)
    return path


def test_openssls_server_by_a_secret(mock, secret):
    s = mock("-srv_ref", "pump-9", "-srv_secret", "pass:pass-1234", "-rsp_capubs", mock.d / "ca.pem")
    enroll(s.url, "--protocol", "cmp", "--name", "pump-9", "--token-file", secret, "--out", mock.out, check=0)
    holds(mock.out, "pump-9")
    other = mock("-srv_ref", "pump-9", "-srv_secret", "pass:other", "-rsp_capubs", mock.d / "ca.pem", "-send_unprotected")
    assert reason(enroll(other.url, "--protocol", "cmp", "--name", "pump-9", "--token-file", secret, "--out", mock.out, "--force", "--json")) in (
        "enrollment-refused", "server-untrusted")


def test_openssls_server_by_signature_with_polling_and_implicit_confirmation(mock, work):
    signed = ("-srv_cert", mock.d / "server.pem", "-srv_key", mock.d / "server.key", "-srv_trusted", mock.d / "ca.pem")
    s = mock(*signed, "-poll_count", "2", "-check_after", "1", "-accept_unprotected", "-grant_implicitconf")
    enroll(s.url, "--protocol", "cmp", "--name", "pump-9", "--ca", mock.d / "ca.pem", "--out", mock.out, check=0)
    crt, key = holds(mock.out, "pump-9")
    (mock.out / ".pump-9.key.new").write_bytes(key.read_bytes())  # kur for the key that the server's certificate is of
    (mock.out / ".pump-9.key.new").chmod(0o600)
    s = mock(*signed)
    enroll(s.url, "--protocol", "cmp", "--cert", crt, "--key", key, "--ca", mock.d / "ca.pem", "--out", mock.out, "--force", check=0)


def test_what_is_not_ours_or_not_from_whom_it_should_be_is_not_taken(mock, secret, work):
    by_secret = ("-srv_ref", "pump-9", "-srv_secret", "pass:pass-1234")
    args = ("--protocol", "cmp", "--name", "pump-9", "--out", mock.out, "--json")
    foreign = mock(*by_secret, "-rsp_capubs", mock.d / "ca.pem", leaf=mock.d / "server.pem")
    waiting = (mock.out / ".pump-9.key.new").read_bytes()
    assert reason(enroll(foreign.url, *args, "--token-file", secret)) == "key-mismatch"
    assert not (mock.out / "pump-9.crt").exists()
    (mock.out / ".pump-9.key.new").write_bytes(waiting)
    (mock.out / ".pump-9.key.new").chmod(0o600)
    key_file(work / "other.key")
    run("openssl", "req", "-x509", "-new", "-key", work / "other.key", "-subj", "/CN=Other CA", "-days", "30", "-out", work / "other.pem", check=0)
    signed = mock("-srv_cert", mock.d / "server.pem", "-srv_key", mock.d / "server.key", "-srv_trusted", mock.d / "ca.pem", "-accept_unprotected")
    assert reason(enroll(signed.url, *args, "--ca", work / "other.pem")) == "server-untrusted"
    refusing = mock(*by_secret, "-pkistatus", "2", "-failure", "9", "-statusstring", "not today")
    done = enroll(refusing.url, *args, "--token-file", secret)
    assert reason(done) == "enrollment-refused" and "not today" in done.stdout
    erring = mock(*by_secret, "-send_error")
    assert reason(enroll(erring.url, *args, "--token-file", secret)) == "enrollment-refused"
