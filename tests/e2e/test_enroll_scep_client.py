"""`countersign enroll` over SCEP: against our own door, and against micromdm's scepserver."""
import json
import shutil
import subprocess
import threading
import time

import pytest
from conftest import countersign, die_with_parent, free_port, run, wait_for
from test_enroll_command import enroll, fingerprint, holds, reason, token_file


def serial(crt):
    return run("openssl", "x509", "-in", crt, "-noout", "-serial", check=0).stdout


def test_a_token_enrolls_and_the_certificate_renews_itself(up, work):
    out, url = work / "o", up.http_url("/scep")
    done = enroll(url, "--name", "sc-1", "--token-file", token_file(up, work, "sc-1"), "--ca", up.ca, "--out", out, "--json", check=0)
    crt, key = holds(out, "sc-1")
    assert json.loads(done.stdout)["protocol"] == "scep" and (out / "ca.pem").read_text().strip() == up.ca.read_text().strip()
    assert "Enrollment RA" not in run("openssl", "crl2pkcs7", "-nocrl", "-certfile", crt, check=0).stdout
    before = serial(crt)
    enroll(url, "--cert", crt, "--key", key, "--ca", out / "ca.pem", "--out", out, "--force", check=0)
    assert serial(holds(out, "sc-1")[0]) != before


def test_by_fingerprint_over_tls_and_with_a_profile(up, work):
    url = f"https://localhost:{up.https}"
    enroll(url, "--protocol", "scep", "--kind", "device", "--name", "sc-2", "--token-file", token_file(up, work, "sc-2"),
           "--ca-fingerprint", fingerprint(up.ca), "--profile", "device", "--key-type", "rsa-2048", "--out", work / "o", check=0)
    holds(work / "o", "sc-2")
    bad = fingerprint(up.crt)
    assert reason(enroll(url, "--protocol", "scep", "--name", "x", "--ca-fingerprint", bad, "--out", work / "p", "--json")) == "server-untrusted"


def test_refusals_have_the_servers_reason_and_nothing_is_said_to_strangers(up, work):
    secret, url = token_file(up, work, "sc-3"), up.http_url("/scep")
    for name, more, why in (("sc-4", [], "name-not-allowed"), ("sc-3", ["--profile", "no-such"], "route-unknown"),
                            ("sc-3", ["--key-type", "ecdsa-p256"], "key-unsupported")):
        assert reason(enroll(url, "--name", name, "--token-file", secret, "--ca", up.ca, "--out", work / "o", "--json", *more)) == why
    assert reason(enroll(url, "--name", "sc-3", "--ca", up.ca, "--out", work / "o", "--json")) == "credential-needed"
    assert reason(enroll(url, "--name", "sc-3", "--token-file", secret, "--out", work / "o", "--json")) == "server-untrusted"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", work / "k", "-out", work / "other.pem", "-subj", "/CN=other", check=0)
    assert reason(enroll(url, "--name", "sc-3", "--token-file", secret, "--ca", work / "other.pem", "--out", work / "o", "--json")) == "server-untrusted"
    enroll(url, "--name", "sc-3", "--token-file", secret, "--ca", up.ca, "--out", work / "o", "--force", check=0)  # the token is whole


def test_it_polls_until_somebody_has_approved(system, work):
    (work / "c.yaml").write_text("enroll:\n  device: {approval: unknown}\n")
    s = system(config=work / "c.yaml")
    s.start()

    def approve():
        row = wait_for(lambda: countersign("request", "list", "--json", "--state", s.state, check=0).stdout.splitlines(), 20)[0]
        time.sleep(1)
        countersign("request", "approve", json.loads(row)["id"], "--state", s.state, check=0)
    approver = threading.Thread(target=approve)
    approver.start()
    done = enroll(s.http_url("/scep"), "--name", "sc-5", "--ca", s.ca, "--out", work / "o", "--wait", "40s", check=0)
    approver.join()
    assert "waiting for approval" in done.stderr
    holds(work / "o", "sc-5")


# ---- somebody else's server ----

@pytest.fixture
def scepserver(work):
    """A factory: its URL, with that challenge or without any."""
    if shutil.which("scepserver") is None:
        pytest.skip("micromdm's scepserver is not installed")
    run("scepserver", "ca", "-init", "-depot", "depot", "-keySize", "2048", cwd=work, check=0)
    started = []

    def make(*options):
        port = free_port()
        with open(work / "server.log", "a") as log:
            proc = subprocess.Popen(["scepserver", "-depot", "depot", "-port", str(port), "-allowrenew", "0", *options], cwd=work, stdout=log,
                                    stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        started.append(proc)
        wait_for(lambda: run("curl", "-fsS", f"http://127.0.0.1:{port}/scep?operation=GetCACaps").returncode == 0, 10)
        return f"http://127.0.0.1:{port}/scep"
    yield make
    for proc in started:
        proc.kill()
        proc.wait()


def test_micromdms_server_gives_a_certificate_for_its_challenge(scepserver, work):
    url, ca = scepserver("-challenge", "open sesame"), work / "depot" / "ca.pem"
    (work / "secret").write_text("open sesame\n")
    (work / "secret").chmod(0o600)
    done = enroll(url, "--name", "other-1", "--token-file", work / "secret", "--ca", ca, "--out", work / "o")
    assert done.returncode == 0, done.stderr + (work / "server.log").read_text()[-1500:]
    holds(work / "o", "other-1")
    (work / "secret").write_text("wrong\n")
    refused = enroll(url, "--name", "other-2", "--token-file", work / "secret", "--ca", ca, "--out", work / "o", "--json")
    assert reason(refused) == "enrollment-refused"


def test_micromdms_server_renews(scepserver, work):
    url, ca = scepserver(), work / "depot" / "ca.pem"
    enroll(url, "--name", "other-3", "--ca", ca, "--out", work / "o", check=0)
    crt, key = holds(work / "o", "other-3")
    before = serial(crt)
    enroll(url, "--cert", crt, "--key", key, "--ca", ca, "--out", work / "o", "--force", check=0)
    assert serial(holds(work / "o", "other-3")[0]) != before
