"""A CA takes over from another while clients come and go: no client that did its part is ever locked out."""
import json
import shutil
import subprocess
import threading
import time

import pytest
from conftest import PATIENCE, countersign, run, wait_for
from test_enroll_est import certificates, est


class Live:
    """A client that asks again and again by curl; what failed is kept."""

    def __init__(self, system, ca, crt, key):
        self.system, self.files = system, (ca, crt, key)
        self.failed, self.good, self.over = [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def once(self):
        ca, crt, key = self.files
        return subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(15 * PATIENCE),
                               "--cacert", ca, "--cert", crt, "--key", key, self.system.url()], capture_output=True, text=True)

    def run(self):
        while not self.over.is_set():
            done = self.once()
            if done.returncode == 0 and done.stdout == "200":
                self.good += 1
            else:
                self.failed.append(done.stdout + done.stderr)
            time.sleep(0.05)

    def end(self):
        wait_for(lambda: self.good > 3 or self.failed, 20, say="nothing came of it")
        self.over.set()
        self.thread.join()
        assert not self.failed, (self.good, self.failed[:3])


@pytest.fixture
def s(system, work, passphrase_file):
    countersign("init", "Acme", "--state", work / "state", "--passphrase-file", passphrase_file, check=0)
    made = system(state=work / "state").start()
    yield made
    made.stop()


def roll(s, *args, check=0):
    secret = s.state.parent / "passphrase"
    more = ["--passphrase-file", secret] if args[0] == "start" else []
    return s.run("rollover", *args, *more, check=check)


def status(s, *more):
    return json.loads(roll(s, "status", "--json", *more).stdout)


def s_client(s, ca, crt, key):
    done = run("openssl", "s_client", "-connect", f"127.0.0.1:{s.https}", "-servername", "localhost", "-CAfile", ca,
               "-verify_return_error", "-cert", crt, "-key", key, "-brief", input="Q\n")
    return "Verification: OK" in done.stdout + done.stderr


def test_an_issuing_ca_is_replaced_under_live_clients(s, work):
    old = s.issue("device", "pump-1", out=work / "old")
    live = [Live(s, old.ca, old.crt, old.key)]
    roll(s, "start", "issuing")
    assert not (s.state / "ca/issuing-2.crt").exists(), "made is not published"
    roll(s, "next")
    assert status(s)["stage"] == "published" and (s.state / "ca/issuing-2.key").stat().st_mode & 0o777 == 0o600
    tried = s.issue("device", "probe", "--issuer", "issuing-2", out=work / "probe")  # by name, before it issues
    live.append(Live(s, tried.ca, tried.crt, tried.key))
    roll(s, "next")
    new = s.issue("device", "pump-2", out=work / "new")
    live.append(Live(s, new.ca, new.crt, new.key))
    now = status(s)
    assert now["identities"]["old"] >= 1 and now["identities"]["moved"] == 2
    assert "pump-1" in [b["name"] for b in now["blocks"]]
    assert "rollover-blocked" in roll(s, "next", check=1).stderr
    # everybody renews: examples, the gateway's own certificate (by itself), pump-1
    for one in now["blocks"]:
        if one["name"] != "localhost":
            s.run("renew", one["name"], "--out", work / "renewed", "--force", check=0)
    live[0].files = old.ca, work / "renewed/pump-1.crt", work / "renewed/pump-1.key"
    wait_for(lambda: status(s)["identities"]["old"] == 0, 30, every=0.3)
    assert "--supersede" in roll(s, "next", check=1).stderr
    live_old = Live(s, old.ca, old.crt, old.key)  # goes on with what it has: good until the last step
    live_old.end()
    roll(s, "next", "--supersede")
    assert status(s)["stage"] == "retired" and (s.state / "ca/retired/issuing.key").exists()
    wait_for(lambda: s.curl(crt=old.crt, key=old.key).code != 0, 10, say="a superseded certificate still counts")
    assert s_client(s, new.ca, new.crt, new.key)
    [one.end() for one in live]
    events = [json.loads(r) for r in s.run("log", "--json", check=0).stdout.splitlines()]
    told = [e["detail"].rsplit(" ", 1)[1] for e in events if e["event"].startswith("rollover-")]
    assert told == ["made", "published", "switched", "retired"]
    run("openssl", "verify", "-x509_strict", "-CAfile", s.state / "ca/root.crt", "-untrusted", new.crt, new.crt, check=0)


def test_a_root_is_replaced_under_live_clients(s, work):
    old_ca = work / "old-root.pem"
    shutil.copy(s.state / "ca/root.crt", old_ca)
    one = s.issue("device", "pump-1", out=work / "one")
    live = [Live(s, old_ca, one.crt, one.key)]  # trusts the old root alone, to the end of the drain
    roll(s, "start", "root", "--key-type", "ecdsa-p384")
    roll(s, "next")
    new_ca = s.state / "ca/root-2.crt"
    two = s.issue("device", "pump-2", out=work / "two")
    assert two.ca.read_text().count("BEGIN CERT") == 2, "both roots are to be trusted"
    wait_for(lambda: s_client(s, new_ca, two.crt, two.key), 20, every=0.2)
    live.append(Live(s, new_ca, two.crt, two.key))  # trusts the new root alone, before it is switched
    roll(s, "next")
    three = s.issue("device", "pump-3", out=work / "three")
    for ca in (old_ca, new_ca):  # what is issued now is good for both
        run("openssl", "verify", "-x509_strict", "-CAfile", ca, "-untrusted", three.crt, three.crt, check=0)
        run("certtool", "--verify", "--load-ca-certificate", ca, "--infile", three.crt, check=0)
        for c in (one, two, three):
            assert s_client(s, ca, c.crt, c.key)
    roll(s, "back")  # and forth, under all of them
    wait_for(lambda: s_client(s, new_ca, two.crt, two.key), 20, every=0.2)
    roll(s, "next")
    assert "rollover-blocked" in roll(s, "next", check=1).stderr
    for name in [b["name"] for b in status(s)["blocks"] if b["name"] != "localhost"]:
        s.run("renew", name, "--out", work / "renewed", "--force", check=0)
    for i in (0, 1):
        live[i].files = new_ca, work / f"renewed/pump-{i + 1}.crt", work / f"renewed/pump-{i + 1}.key"
    wait_for(lambda: status(s)["identities"]["old"] == 0, 30, every=0.3)
    roll(s, "next", "--supersede")
    assert not (s.state / "ca/root.crt").exists()
    last = s.issue("device", "pump-4", out=work / "last")
    assert last.ca.read_text().strip() == new_ca.read_text().strip()
    [c.end() for c in live]
    s.stop()
    s.start()  # and it starts with the next root alone
    assert s_client(s, new_ca, last.crt, last.key)
    countersign("ca", "create", "site", "--state", s.state, "--passphrase-file", work / "passphrase", check=0)
    run("openssl", "verify", "-x509_strict", "-CAfile", new_ca, s.state / "ca/site.crt", check=0)


def test_cacerts_of_est_has_both_and_who_fetches_it_is_told(s, work):
    one = s.issue("device", "pump-1", out=work / "one")
    roll(s, "start", "root")
    roll(s, "next")
    code, _, answer = est(s, work, "cacerts", crt=one.crt, key=one.key)
    pem = certificates(work, answer)
    assert code == 200
    (work / "bag.pem").write_text(pem)
    assert pem.count("BEGIN CERT") == 5, "two roots, two that tie them, one issuing"  # RFC 7030 4.1.3
    for ca, crt in (("root", "new-with-old-root-2"), ("root-2", "old-with-new-root-2"), ("root", "issuing")):
        run("openssl", "verify", "-x509_strict", "-CAfile", s.state / f"ca/{ca}.crt", "-untrusted", work / "bag.pem",
            s.state / f"ca/{crt}.crt", check=0)
    told = {b["name"]: b["state"] for b in status(s)["blocks"]}
    assert told["pump-1"] == "told" and told["example-device"] == "old"
    assert status(s)["identities"]["told"] == 1
    code, _, _ = est(s, work, "cacerts")  # nobody in particular
    assert code == 200 and status(s)["identities"]["told"] == 1
    two, three = (s.issue("device", n, out=work / n) for n in ("pump-2", "pump-3"))
    run("openssl", "cmp", "-config", "/dev/null", "-server", f"127.0.0.1:{s.http}", "-path", "/.well-known/cmp", "-recipient", "/CN=CA", "-cmd", "genm",
        "-infotype", "caCerts", "-cert", two.crt, "-key", two.key, "-trusted", s.ca, check=0)
    assert status(s)["identities"]["told"] == 2  # by CMP
    assert s.curl("/scep?operation=GetCACert", "-o", work / "ca.p7", crt=three.crt, key=three.key).code == 0
    assert status(s)["identities"]["told"] == 3  # by SCEP over TLS


def test_a_step_that_locks_out_needs_the_words_and_pages_name_everybody(s, work):
    for i in range(5):
        s.issue("device", f"pump-{i}", out=work / "made")
    roll(s, "start", "issuing", "--to", "second")
    roll(s, "next")
    roll(s, "next")
    everybody, after = [], []
    while True:
        page = status(s, "--limit", "2", *after)
        everybody += [f"{b['kind']}/{b['name']}" for b in page["blocks"]]
        if "after" not in page:
            break
        after = ["--after", page["after"]]
    assert len(everybody) == len(set(everybody)) == page["identities"]["old"] + page["identities"]["both"]
    assert {f"device/pump-{i}" for i in range(5)} <= set(everybody)
    refused = roll(s, "next", "--force", "lock out 1", check=1).stderr
    words = refused.split('--force "')[1].split('"')[0]
    assert words == f"lock out {len(everybody)}" and status(s)["stage"] == "switched"
    roll(s, "next", "--force", words)
    assert status(s)["stage"] == "retired"
    assert any("forced: lock out" in e.get("detail", "") for e in map(json.loads, s.run("log", "--json").stdout.splitlines()))
    roll(s, "back")  # even that is taken back
    wait_for(lambda: s.run("revoke", "pump-0").returncode == 0, 10)


def test_status_names_who_is_connected_by_an_old_certificate(s, work):
    one = s.issue("device", "pump-1", out=work / "one")
    for step in (("start", "issuing"), ("next",), ("next",)):
        roll(s, *step)
    two = s.issue("device", "pump-2", out=work / "two")
    with s.connect(one.crt, one.key) as a, s.connect(two.crt, two.key) as b:
        for c in (a, b):
            c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert c.recv(12) == b"HTTP/1.1 200"
        wait_for(lambda: [c["identity"] for c in status(s)["connected_old"]] == ["pump-1"], 10)
        assert "device pump-1 from 127.0.0.1" in roll(s, "status").stdout
    wait_for(lambda: status(s)["connected_old"] == [], 10)


def test_the_roots_key_may_be_elsewhere(s, work):
    (s.state / "ca/root.key").rename(work / "root.key")
    assert "file-not-found" in roll(s, "start", "issuing", check=1).stderr
    assert not (s.state / "ca/next").exists() or not list((s.state / "ca/next").iterdir())
    roll(s, "start", "root", "--root-key", work / "root.key", "--new-passphrase-file", work / "passphrase")
    run("openssl", "verify", "-x509_strict", "-CAfile", s.state / "ca/root.crt", s.state / "ca/next/new-with-old-root-2.crt",
        check=0)


def test_what_was_given_up_leaves_nothing_and_another_can_begin(s):
    before = sorted(p.name for p in (s.state / "ca").iterdir() if p.is_file())
    assert "rollover-none" in roll(s, "next", check=1).stderr
    roll(s, "start", "root")
    assert "rollover-open" in roll(s, "start", "issuing", check=1).stderr
    roll(s, "back")
    assert sorted(p.name for p in (s.state / "ca").iterdir() if p.is_file()) == before
    assert not list((s.state / "ca").rglob("root-2*"))
    assert "rollover-none" in roll(s, "back", check=1).stderr
    assert "passphrase-wrong" in s.run("rollover", "start", "root", "--passphrase-file", s.state / "ca/root.key", check=1).stderr
    assert not list((s.state / "ca").rglob("root-2*"))
    roll(s, "start", "issuing")


def test_what_the_next_ca_has_issued_holds_it_in_its_place(s, work):
    roll(s, "start", "issuing")
    roll(s, "next")
    s.issue("device", "probe", "--issuer", "issuing-2", out=work / "probe")
    assert "rollover-blocked" in roll(s, "back", check=1).stderr
    s.revoke("probe")
    roll(s, "back")
    assert status(s)["stage"] == "made" and not (s.state / "ca/issuing-2.crt").exists()


def test_constraints_and_key_in_place_of_the_old_ones(s, work, passphrase_file):
    countersign("ca", "create", "site", "--permit", "dns:site.example", "--path-length", "0", "--state", s.state,
                "--passphrase-file", passphrase_file, check=0)
    wait_for(lambda: s.run("ca", "use", "site").returncode == 0, 10)
    roll(s, "start", "issuing", "--key-type", "ed25519")
    text = run("openssl", "x509", "-in", s.state / "ca/next/site-2.crt", "-noout", "-text", check=0).stdout
    assert "DNS:site.example" in text and "pathlen:0" in text and "ED25519" in text
    s.run("ca", "use", "issuing")


def test_a_step_that_was_recorded_before_a_crash_is_made_by_follow(s):
    roll(s, "start", "issuing")
    with open(s.state / "step.json", "w") as f:
        json.dump({"id": 1, "to": "published"}, f)
    run("curl", "-sS", "--unix-socket", s.state / "run/control.sock", "-d", f"@{s.state / 'step.json'}",
        "http://localhost/api/v1/rollovers/step", check=0)
    now = status(s)
    assert now["stage"] == "published" and now["files"] == "follow"
    assert "rollover follow" in roll(s, "status").stdout
    assert json.loads(roll(s, "follow", "--json").stdout)["files"] == "done"
    assert status(s)["nodes"] == [{"host": now["nodes"][0]["host"], "this": True, "published": True, "switched": False}]
    for wrong in ({"id": 1, "to": "retired"}, {"id": 9, "to": "switched"}, {"id": 1, "to": "gone"}, {"to": "switched"}):
        (s.state / "step.json").write_text(json.dumps(wrong))
        answer = run("curl", "-sS", "--unix-socket", s.state / "run/control.sock", "-d", f"@{s.state / 'step.json'}",
                     "http://localhost/api/v1/rollovers/step", check=0).stdout
        assert json.loads(answer)["reason"] in ("rollover-stage", "rollover-none", "message-malformed"), answer
