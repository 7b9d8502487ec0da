"""countersign enroll as a client of ACME: of our own server, and of pebble, which is not ours and refuses nonces at random."""
import json
import os
import shutil
import signal
import subprocess

import pytest
from acme_kit import Webroot, site  # noqa: F401
from conftest import PATIENCE, countersign, die_with_parent, free_port, run, wait_for


def enroll(site, url, out, *words, check=0, name="gw.enroll.example", ca=None):
    out.mkdir(exist_ok=True)
    return countersign("enroll", url, "--protocol", "acme", "--name", name, "--ca", ca or site.system.ca, "--out", out, *words, check=check,
                       timeout=120)


def names_of(crt):
    text = run("openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", crt, check=0).stdout
    return sorted(w.strip() for w in text.splitlines()[1].split(","))


def test_a_token_enrolls_over_http_and_the_account_renews(site, work):
    token = site.token("gw.enroll.example")
    (work / "token").write_text(token["token"])
    (work / "token").chmod(0o600)
    out, words = work / "out", ["--listen", f"127.0.0.1:{site.http}"]
    done = enroll(site, site.url() + "/directory", out, *words, check=None)
    assert done.returncode == 1 and "external-account-required" in done.stderr
    enroll(site, site.url() + "/directory", out, *words, "--token-file", work / "token", "--dns", "alt.enroll.example")
    assert names_of(out / "gw.enroll.example.crt") == ["DNS:alt.enroll.example", "DNS:gw.enroll.example"]
    assert (out / "account.key").stat().st_mode & 0o777 == 0o600
    run("openssl", "verify", "-CAfile", out / "ca.pem", "-untrusted", out / "gw.enroll.example.crt", out / "gw.enroll.example.crt", check=0)
    before = (out / "gw.enroll.example.crt").read_text()
    enroll(site, site.url() + "/directory", out, *words, "--cert", out / "gw.enroll.example.crt", "--key", out / "gw.enroll.example.key",
           "--force")
    assert (out / "gw.enroll.example.crt").read_text() != before
    assert "1 of 1" in site.system.run("token", "list", "gw.enroll.example", check=0).stdout


def test_names_are_proven_by_a_folder_of_a_web_server(site, work):
    root = work / "root"
    root.mkdir()
    web = Webroot(site.http, root)
    try:
        enroll(site, site.url("open") + "/directory", work / "out", "--webroot", root, name="folder.enroll.example")
    finally:
        web.stop()
    assert names_of(work / "out" / "folder.enroll.example.crt") == ["DNS:folder.enroll.example"]
    assert not list((root / ".well-known" / "acme-challenge").iterdir())  # hidden again


def test_names_are_proven_by_a_program_that_writes_into_the_dns(site, work):
    hook = work / "hook"
    hook.write_text(f'#!/bin/sh\ncase $1 in show) echo "$3" > "{site.resolver.folder}/$2";; hide) rm "{site.resolver.folder}/$2";; esac\n')
    hook.chmod(0o755)
    enroll(site, site.url("open") + "/directory", work / "out", "--hook", hook, name="*.hook.enroll.example")
    assert not (site.resolver.folder / "_acme-challenge.hook.enroll.example").exists()
    hook.write_text("#!/bin/sh\nexit 3\n")
    done = enroll(site, site.url("open") + "/directory", work / "out2", "--hook", hook, name="bad.enroll.example", check=1)
    assert "ended with 3" in done.stderr


def test_what_goes_wrong_is_said(site, work):
    done = enroll(site, site.url("narrow") + "/directory", work / "out", "--listen", f"127.0.0.1:{site.http}", check=1)
    assert "name-not-allowed" in done.stderr
    root = work / "root"
    root.mkdir()
    done = enroll(site, site.url("open") + "/directory", work / "out2", "--webroot", root, check=1)  # nobody serves it
    assert "challenge-failed" in done.stderr and "gw.enroll.example" in done.stderr
    done = enroll(site, site.url("open") + "/directory", work / "out3", "--webroot", root, "--hook", "/bin/true", check=2)
    assert "one of" in done.stderr


@pytest.mark.skipif(shutil.which("pebble") is None, reason="pebble is not installed")
def test_pebble_issues_to_us_though_it_refuses_nonces(site, work):
    https, manage = free_port(), free_port()
    tls = site.system.issue("server", "localhost", "--ip", "127.0.0.1", out=work / "pebble-tls")
    (work / "pebble.json").write_text(json.dumps({"pebble": {
        "listenAddress": f"127.0.0.1:{https}", "managementListenAddress": f"127.0.0.1:{manage}", "certificate": str(tls.crt),
        "privateKey": str(tls.key), "httpPort": site.http, "tlsPort": site.tls, "ocspResponderURL": "", "externalAccountBindingRequired": False}}))
    with open(work / "log", "wb") as log:
        p = subprocess.Popen(["pebble", "-config", str(work / "pebble.json"), "-dnsserver", f"127.0.0.1:{site.resolver.port}"], stdout=log,
                             stderr=log, preexec_fn=die_with_parent, env={**os.environ, "PEBBLE_WFE_NONCEREJECT": "30", "PEBBLE_VA_NOSLEEP": "1"})
    try:
        base = f"https://127.0.0.1:{manage}"
        root = wait_for(lambda: (lambda r: r.stdout if r.returncode == 0 else None)(
            run("curl", "-sf", "--cacert", site.system.ca, base + "/roots/0")), 20, say="pebble does not answer")
        (work / "ca.pem").write_text(root + site.system.ca.read_text())
        enroll(site, f"https://127.0.0.1:{https}/dir", work / "out", "--listen", f"127.0.0.1:{site.http}", "--dns", "two.pebble.example",
               name="one.pebble.example", ca=work / "ca.pem")
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(20 * PATIENCE)
    assert names_of(work / "out" / "one.pebble.example.crt") == ["DNS:one.pebble.example", "DNS:two.pebble.example"]
    assert "badNonce" in (work / "log").read_text() or "nonce" in (work / "log").read_text().lower()
