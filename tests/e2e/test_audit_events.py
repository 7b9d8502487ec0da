"""Logins, changes of the configuration, uses of a root's key, refusals: each is one record of the audit log."""
import hashlib
import json
import os
import signal

import pytest

from conftest import PASSPHRASE, System, countersign, wait_for
from test_admin import Api, csr, person


@pytest.fixture(scope="module")
def s():
    made = System()
    made.state.mkdir(mode=0o700)
    (made.state / "countersign.yaml").write_text("log:\n  access: true\n")
    made.start()
    yield made
    made.stop()
    made.close()


def records(s, event=None):
    more = ("--event", event) if event else ()
    return [json.loads(ln) for ln in s.run("log", "--json", *more, check=0).stdout.splitlines()]


def test_the_first_use_of_an_administrators_certificate_is_a_login(s, work):
    ann = person(s, work, "ann@corp.example", "issuer")
    for _ in range(3):
        assert ann("GET", "status").status_code == 200
    logins = [r for r in records(s, "login") if r["by"] == "user ann@corp.example"]
    assert len(logins) == 1 and logins[0]["from"] == "127.0.0.1" and logins[0]["via"] == "api"
    assert logins[0]["detail"] == "roles issuer" and logins[0]["by_certificate"]
    assert ann("POST", "crls").status_code == 403 and ann("POST", "crls").status_code == 403
    mine = [r for r in records(s, "refused") if r["by"] == "user ann@corp.example"]
    assert len(mine) == 2, "each try of an administrator counts"


def test_who_is_no_administrator_cannot_fill_the_log(s):
    device = Api(s, (str(s.crt), str(s.key)))
    before = len(records(s))
    for i in range(20):
        assert device("GET", f"status?{i}").json()["reason"] == "role-missing"
    assert len(records(s)) <= before + 1
    assert any("role-missing" in r.get("detail", "") and r["by"].startswith("device ") for r in records(s, "refused"))


def test_a_refusal_by_the_signer_is_one_record(s, work):
    """The signer looks at the profile by itself; a name that a name-constrained CA may not have is its to refuse."""
    (work / "p").write_text((s.state / "root.passphrase").read_text())
    (work / "p").chmod(0o600)
    s.run("ca", "create", "plant", "--permit", "dns:plant.example", "--passphrase-file", work / "p", check=0)
    ann = person(s, work, "ida@corp.example", "issuer")
    ask = {"kind": "server", "name": "other.example", "csr": csr("other.example"), "issuer": "plant"}
    wait_for(lambda: s.run("ca", "show", "plant").returncode == 0, 20, say="the CA is not there")
    got = ann("POST", "certificates", json=ask).json()
    assert got["reason"] == "name-constraint-violated", got
    mine = [r for r in records(s, "issue-refused") if r["name"] == "other.example"]
    assert len(mine) == 1 and mine[0]["by"] == "user ida@corp.example", mine
    used = [r["detail"] for r in records(s, "ca-key-used")]
    assert "a root and an issuing CA are made" in used[0]
    assert any("the key of root signs the certificate of a CA: serial" in u for u in used)
    assert any("the key of root signs its CRL number 2" in u for u in used)
    assert any("ca create plant" in r["detail"] and r["by"] == f"uid {os.getuid()}" for r in records(s, "ca-command"))


def test_a_reload_is_a_record_with_file_digest_and_who(s):
    conf = s.state / "countersign.yaml"
    us = f"uid {os.getuid()}"

    def write(text):
        conf.write_text(text)
        return hashlib.sha256(text.encode()).hexdigest()

    def told(event, by, word):
        wait_for(lambda: any(r["by"] == by and word in r["detail"] for r in records(s, event)), 10, every=0.2,
                 say=f"no {event} by {by}")

    digest = hashlib.sha256(conf.read_bytes()).hexdigest()
    assert records(s, "authority-started")[0]["detail"] == f"{conf} sha256 {digest}"
    digest = write("log:\n  access: false\n")
    s.proc.send_signal(signal.SIGHUP)
    told("config-taken", f"{us} (SIGHUP, process {os.getpid()})", digest)
    told("config-taken", "file changed", write("log:\n  access: true\n"))
    digest = write("log:\n  access: false\n")
    s.run("reload", check=0)
    told("config-taken", us, digest)
    at = len(s.log())
    write("log:\n  acess: false\n")
    s.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: "reload-refused" in s.log()[at:], 10)
    conf.write_text("log:\n  access: false\n")
    told("config-refused", f"{us} (SIGHUP, process {os.getpid()})", "config-invalid")
    s.run("log", "verify", check=0)


def test_what_was_done_without_the_authority_is_taken_over_once(work):
    (work / "p").write_text(PASSPHRASE)
    (work / "p").chmod(0o600)
    state = work / "s"
    countersign("init", "--state", state, "--passphrase-file", work / "p", "Acme", check=0)
    countersign("ca", "create", "two", "--state", state, "--passphrase-file", work / "p", check=0)
    trail = state / "authority" / "trail"
    assert trail.stat().st_mode & 0o777 == 0o600
    with open(trail, "a") as f:
        f.write("<b>not an entry</b>\x1b[2J\n2026-01-01T00:00:00Z\tca-key-used\tuid 7\thalf a li")

    def log():
        return [json.loads(ln) for ln in countersign("log", "--json", "--state", state, check=0).stdout.splitlines()]

    first = [r for r in log() if r.get("via") == "trail"]
    assert [r["event"] for r in first] == ["ca-key-used", "ca-command", "ca-key-used", "ca-key-used", "trail-malformed"]
    assert "not an entry" in first[-1]["detail"]
    countersign("ca", "use", "two", "--state", state, check=0)
    again = [r for r in log() if r.get("via") == "trail"]
    assert [r["event"] for r in again] == [r["event"] for r in first] + ["ca-command"]
    assert "half a li" not in trail.read_text()
