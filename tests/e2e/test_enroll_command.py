"""`countersign enroll`: against our own doors, and EST against libest's server. Others: test_enroll_cmp.py and the like."""
import json
import os
import stat
import subprocess
import threading
import time

import pytest
from conftest import COMMAND, countersign, die_with_parent, free_port, run, wait_for
from foreign import debian13, environment
from test_enroll_est import new_request, token


def base(system):
    return f"https://localhost:{system.https}/.well-known/est"


def token_file(system, work, name, kind="device", *more):
    path = work / f"{name}.token"
    path.write_text(token(system, name, kind, *more) + "\n")
    path.chmod(0o600)
    return path


def enroll(url, *args, check=None, **how):
    return run(COMMAND, "enroll", url, *args, check=check, **how)


def reason(done):
    assert done.returncode == 1, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])["reason"]


def fingerprint(pem):
    return run("openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha256", check=0).stdout.strip().partition("=")[2]


def text_of(crt):
    return run("openssl", "x509", "-in", crt, "-noout", "-text", check=0).stdout


def holds(folder, name):
    """Key and certificate are there, belong together, and are good under ca.pem."""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not list(folder.glob(".*")), list(folder.iterdir())
    pub = run("openssl", "pkey", "-in", key, "-pubout", check=0).stdout
    assert run("openssl", "x509", "-in", crt, "-noout", "-pubkey", check=0).stdout == pub
    run("openssl", "verify", "-CAfile", folder / "ca.pem", "-untrusted", crt, crt, check=0)
    return crt, key


def test_a_token_enrolls_and_the_certificate_renews_itself(up, work):
    out = work / "out"
    enroll(base(up), "--name", "cmd-1", "--token-file", token_file(up, work, "cmd-1"), "--ca", up.ca, "--out", out, check=0)
    crt, key = holds(out, "cmd-1")
    before = (crt.read_text(), key.read_text())
    refused = enroll(base(up), "--cert", crt, "--key", key, "--ca", out / "ca.pem", "--out", out, "--json")
    assert reason(refused) == "file-exists" and (crt.read_text(), key.read_text()) == before
    done = enroll(base(up), "--cert", crt, "--key", key, "--ca", out / "ca.pem", "--out", out, "--force", "--json", check=0)
    holds(out, "cmd-1")
    assert key.read_text() != before[1] and json.loads(done.stdout)["name"] == "cmd-1"
    assert "cmd-1" in up.get("/?format=json", crt=crt, key=key).body


def test_a_fingerprint_is_trust_enough_and_another_is_none(up, work):
    good = fingerprint(up.ca)
    name = "gw-cmd.corp.example"
    with open(token_file(up, work, name, "server")) as f:
        done = subprocess.run([str(a) for a in (COMMAND, "enroll", f"https://localhost:{up.https}", "--protocol", "est", "--kind", "server", "--name",
                               name, "--token-fd", f.fileno(), "--ca-fingerprint", good, "--out", work / "a")], pass_fds=[f.fileno()], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"DNS:{name}" in text_of(holds(work / "a", name)[0])
    assert (work / "a" / "ca.pem").read_text().count("BEGIN") == 1
    bad = good.replace(good[0], "0" if good[0] != "0" else "1")
    done = enroll(base(up), "--name", "x", "--ca-fingerprint", bad, "--out", work / "b", "--json")
    assert reason(done) == "server-untrusted" and not list((work / "b").iterdir())


def test_a_token_is_never_sent_to_whom_nobody_vouches_for(up, work):
    secret = token_file(up, work, "cmd-2")
    assert reason(enroll(base(up), "--name", "cmd-2", "--token-file", secret, "--out", work / "o", "--json")) == "server-untrusted"
    assert reason(enroll(f"http://127.0.0.1:{up.http}/.well-known/est", "--name", "cmd-2", "--token-file", secret, "--ca", up.ca, "--out",
                         work / "o", "--json")) == "uri-invalid"
    ip = enroll(f"https://127.0.0.3:{up.https}/.well-known/est", "--name", "cmd-2", "--token-file", secret, "--ca", up.ca, "--out", work / "o", "--json")
    assert reason(ip) in ("server-untrusted", "server-unreachable")
    assert not list((work / "o").iterdir())
    done = enroll(base(up), "--name", "cmd-2", "--token", secret.read_text().strip(), "--ca", up.ca)
    assert done.returncode == 2 and "--token-file" in done.stderr
    secret.chmod(0o644)
    assert reason(enroll(base(up), "--name", "cmd-2", "--token-file", secret, "--ca", up.ca, "--out", work / "o", "--json")) == "file-permissions-too-open"


def test_what_the_server_says_is_what_one_reads(up, work):
    wrong = work / "wrong"
    wrong.write_text("aaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n")
    wrong.chmod(0o600)
    for more, why in ((["--token-file", wrong], "token-invalid"), ([], "credential-needed"), (["--profile", "no-such"], "route-unknown")):
        assert reason(enroll(base(up), "--name", "cmd-3", *more, "--ca", up.ca, "--out", work / "o", "--json")) == why
    assert not list((work / "o").iterdir())  # the key was of no use any more
    port = free_port()
    assert reason(enroll(f"https://localhost:{port}/.well-known/est", "--name", "cmd-3", "--ca", up.ca, "--out", work / "o", "--json")) == "server-unreachable"
    for args in ([], ["--name", "x", "--cert", up.crt], ["--name", "x", "--kind", "pump"], ["--name", "x", "--protocol", "carrier-pigeon"],
                 ["--name", "x", "--wait", "soon"], ["--name", "x", "--ca-fingerprint", "abc"]):
        assert enroll(base(up), *args, "--out", work / "o").returncode == 2, args


def test_it_waits_for_an_approval_and_goes_on_with_the_same_key(system, work):
    (work / "c.yaml").write_text("enroll:\n  device: {approval: unknown, retry: 1s}\n")
    s = system(config=work / "c.yaml")
    s.start()
    out = work / "o"
    asked = ("--name", "cmd-4", "--ca", s.ca, "--out", out, "--json")
    assert reason(enroll(base(s), *asked, "--no-wait")) == "enrollment-waits"
    key = (out / ".cmd-4.key.new").read_text()
    assert stat.S_IMODE((out / ".cmd-4.key.new").stat().st_mode) == 0o600

    def approve():
        row = wait_for(lambda: countersign("request", "list", "--json", "--state", s.state, check=0).stdout.splitlines(), 10)[0]
        time.sleep(0.5)
        countersign("request", "approve", json.loads(row)["id"], "--state", s.state, check=0)
    approver = threading.Thread(target=approve)
    approver.start()
    done = enroll(base(s), *asked, "--wait", "1m", check=0)
    approver.join()
    assert "waiting for approval: request" in done.stderr
    assert holds(out, "cmd-4")[1].read_text() == key
    assert reason(enroll(base(s), "--name", "cmd-5", "--ca", s.ca, "--out", out, "--json", "--no-wait", "--force")) == "enrollment-waits"
    row = json.loads(countersign("request", "list", "--json", "--state", s.state, check=0).stdout.splitlines()[0])
    countersign("request", "deny", row["id"], "--state", s.state, check=0)
    assert reason(enroll(base(s), "--name", "cmd-5", "--ca", s.ca, "--out", out, "--json", "--force")) == "request-denied"
    assert not (out / ".cmd-5.key.new").exists()


def test_killed_between_key_and_certificate_the_next_command_finishes_it(up, work):
    out = work / "o"
    enroll(base(up), "--name", "cmd-6", "--token-file", token_file(up, work, "cmd-6"), "--ca", up.ca, "--out", out, check=0)
    crt, key = holds(out, "cmd-6")
    new = crt.read_text()
    (out / ".cmd-6.crt.new").write_text(new)  # the renewed one; its key has its place already
    crt.write_text(up.crt.read_text())
    assert reason(enroll(base(up), "--name", "cmd-6", "--ca", up.ca, "--out", out, "--json")) == "file-exists"
    assert crt.read_text() == new
    holds(out, "cmd-6")


# ---- somebody else's server ----

CNF = """[ca]
default_ca = c
[c]
dir = {ca}
database = {ca}/index.txt
new_certs_dir = {ca}
certificate = {ca}/ca.pem
private_key = {ca}/ca.key
serial = {ca}/serial
default_days = 20
default_md = sha256
policy = p
unique_subject = no
x509_extensions = x
copy_extensions = copy
[x]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[p]
commonName = supplied
serialNumber = optional
"""


class TheirServer:
    """libest's estserver with a CA of openssl's."""

    def __init__(self, work, *options):
        place, d = debian13("libest-utils", "libest3"), work / "theirs"
        d.mkdir()
        for name in ("ca", "srv"):
            run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", d / f"{name}.key", check=0)
        run("openssl", "req", "-x509", "-new", "-key", d / "ca.key", "-subj", "/CN=Their CA", "-days", "30", "-out", d / "ca.pem", check=0)
        run("openssl", "req", "-new", "-key", d / "srv.key", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", d / "srv.csr", check=0)
        run("openssl", "x509", "-req", "-in", d / "srv.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-CAcreateserial", "-copy_extensions", "copy",
            "-days", "20", "-out", d / "srv.pem", check=0)
        (d / "index.txt").write_text("")
        (d / "serial").write_text("1000\n")
        (d / "ca.cnf").write_text(CNF.format(ca=d))
        self.ca, self.port, self.log = d / "ca.pem", free_port(), d / "log"
        env = {**environment(place), "EST_TRUSTED_CERTS": str(self.ca), "EST_CACERTS_RESP": str(self.ca), "EST_OPENSSL_CACONFIG": str(d / "ca.cnf")}
        with open(self.log, "w") as log:
            self.proc = subprocess.Popen([place / "usr/bin/estserver", "-c", d / "srv.pem", "-k", d / "srv.key", "-r", "estrealm", "-v", "-p", str(self.port),
                                          "-d", "100", *options], cwd=d, env=env, stdout=log, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        wait_for(lambda: "Launching" in self.log.read_text() or self.proc.poll() is not None, 10)
        time.sleep(0.3)
        assert self.proc.poll() is None, self.log.read_text()
        self.url = f"https://localhost:{self.port}"

    def close(self):
        self.proc.kill()
        self.proc.wait()


@pytest.fixture
def theirs(work):
    made = []

    def make(*options):
        made.append(TheirServer(work, *options))
        return made[-1]
    yield make
    for s in made:
        s.close()


@pytest.fixture
def their_password(work):
    path = work / "password"
    path.write_text("estpwd\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("how", ["-b", "-h"])
def test_libests_server_gives_a_certificate_for_basic_and_digest_and_renews_it(theirs, their_password, work, how):
    s = theirs(how, "-o")
    out = work / "o"
    args = ("--protocol", "est", "--ca", s.ca, "--out", out)
    enroll(s.url, *args, "--name", "pump-9", "--user", "estuser", "--token-file", their_password, "--key-type", "rsa-2048", check=0)
    crt, key = holds(out, "pump-9")
    assert "CN = pump-9" in text_of(crt)
    enroll(s.url, *args, "--cert", crt, "--key", key, "--force", check=0)
    assert "Serial Number: 4097" in text_of(holds(out, "pump-9")[0])
    (work / "bad").write_text("wrong\n")
    (work / "bad").chmod(0o600)
    done = enroll(s.url, *args, "--name", "pump-8", "--user", "estuser", "--token-file", work / "bad", "--json")
    assert reason(done) == "enrollment-refused" and not (out / ".pump-8.key.new").exists()


def test_libests_server_lets_wait(theirs, their_password, work):
    s = theirs("-b", "-m", "2")
    done = enroll(s.url, "--protocol", "est", "--ca", s.ca, "--out", work / "o", "--name", "estuser", "--token-file", their_password, "--wait", "4s", check=0)
    assert "waiting for approval" in done.stderr
    holds(work / "o", "estuser")
