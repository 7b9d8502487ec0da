"""The two-person rule: one proposes, another approves."""
import json

import pytest

from conftest import System, countersign
from test_admin import Api


@pytest.fixture(scope="module")
def s():
    made = System()
    made.start()
    for name, role in (("ann", "all"), ("bob", "approver"), ("cid", "auditor")):
        i = made.issue("user", f"{name}@corp.example", out=made.state.parent)
        made.run("admin", "add", f"{name}@corp.example", "--role", role, check=0)
        assert i
    made.stop()
    (made.state / "countersign.yaml").write_text("two_person: [admins, cas]\n")
    made.start()
    yield made
    made.stop()
    made.close()


def api(s, name):
    return Api(s, tuple(str(s.state.parent / f"{name}@corp.example.{e}") for e in ("crt", "key")))


def roles(s):
    return {a["name"]: a["roles"] for a in json.loads(s.run("admin", "list", "--json", check=0).stdout)["admins"]}


def by_command(s, verb, number, who, code=0):
    crt, key = (s.state.parent / f"{who}@corp.example.{e}" for e in ("crt", "key"))
    return countersign("proposal", verb, number, "--url", s.url("").rstrip("/"), "--cert", crt, "--key", key, "--cacert",
                       s.ca, "--state", s.state, check=code)


def test_a_new_administrator_needs_a_second_one(s):
    got = api(s, "ann")("POST", "admins", json={"name": "eve@corp.example", "role": "operator"})
    assert got.status_code == 202 and got.json()["state"] == "waiting", got.text
    number = got.json()["proposal"]
    assert "eve@corp.example" not in roles(s)
    own = api(s, "ann")("POST", "proposals/approve", json={"id": number})
    assert own.status_code == 403 and own.json()["reason"] == "approval-by-another"
    assert api(s, "cid")("POST", "proposals/approve", json={"id": number}).json()["reason"] == "role-missing"
    assert "approval-by-another" in s.run("proposal", "approve", str(number), check=1).stderr
    by_command(s, "approve", number, "bob")
    assert roles(s)["eve@corp.example"] == ["operator"]
    assert "proposal-decided" in by_command(s, "approve", number, "bob", 1).stderr
    lines = [json.loads(r) for r in s.run("log", "--json", check=0).stdout.splitlines()]
    story = [(r["event"], r["by"]) for r in lines if r["event"] in ("proposed", "proposal-approved") or r.get("via") == "proposal"]
    assert story == [("proposed", "user ann@corp.example"), ("proposal-approved", "user bob@corp.example"),
                     ("admin-added", "user ann@corp.example")]


def test_what_is_denied_or_unknown_is_not_done(s):
    number = s.run("admin", "add", "fay@corp.example", "--role", "all", check=0).stdout.split()[1]
    assert "waiting" in s.run("proposal", "list", check=0).stdout
    by_command(s, "deny", number, "bob")
    assert "proposal-decided" in by_command(s, "approve", number, "bob", 1).stderr
    assert "proposal-unknown" in by_command(s, "approve", "9999", "bob", 1).stderr
    assert "fay@corp.example" not in roles(s)


def test_a_change_of_the_cas_goes_through_once_when_approved(s):
    said = s.run("ca", "use", "no-such-ca", check=1).stderr
    assert "proposal-waiting" in said
    number = said.split("proposal ")[1].split()[0].rstrip(")")
    assert f"proposal {number}" in s.run("ca", "use", "no-such-ca", check=1).stderr, "it is not proposed twice"
    by_command(s, "approve", number, "bob")
    assert "proposal-waiting" not in s.run("ca", "use", "no-such-ca", check=1).stderr
    assert "proposal-waiting" in s.run("ca", "use", "no-such-ca", check=1).stderr, "a permit is used once"
    s.run("ca", "list", check=0)


def test_a_rule_that_nobody_knows_is_refused(s, work):
    (work / "c.yaml").write_text("two_person: [everything]\n")
    assert "expected admins, cas or profiles" in countersign("up", "--check", "--state", work / "s", "-c", work / "c.yaml", check=2).stderr


def test_a_changed_profile_issues_nothing_before_it_is_approved(s):
    conf = s.state / "countersign.yaml"
    before = conf.read_text()
    digest = lambda name: next(f["value"] for f in json.loads(s.run("profile", "show", name, "--json", check=0).stdout)["fields"]
                               if f["field"] == "digest")
    issue = lambda name, code, *more: s.run("issue", "device", name, *more, "--out", s.state.parent, check=code).stderr
    s.stop()
    conf.write_text(before.replace("[admins, cas]", "[admins, cas, profiles]") +
                    "profiles:\n  - {name: kiosk, kind: device, lifetime: 30d}\n")
    s.start()
    said = issue("kiosk-1", 1, "--profile", "kiosk")
    assert "proposal-waiting" in said and "profile kiosk was changed" in said
    number = said.split("proposal ")[1].split()[0].rstrip(")")
    assert number in issue("kiosk-1", 1, "--profile", "kiosk"), "it is not proposed twice"
    issue("plain-1", 0)  # the others are as they were
    waiting = s.run("proposal", "list", check=0).stdout
    assert f"profile kiosk {digest('kiosk')}" in waiting and "configuration" in waiting
    assert "approval-by-another" in s.run("proposal", "approve", number, check=1).stderr, "a user of the machine is nobody"
    by_command(s, "approve", number, "bob")
    issue("kiosk-1", 0, "--profile", "kiosk")
    first = conf.read_text()
    s.stop()
    conf.write_text(first.replace("30d", "300d"))
    s.start()
    assert "proposal-waiting" in issue("kiosk-2", 1, "--profile", "kiosk")
    s.stop()
    conf.write_text(first)  # what was approved once needs no second word
    s.start()
    issue("kiosk-2", 0, "--profile", "kiosk")
    lines = [json.loads(r) for r in s.run("log", "--json", check=0).stdout.splitlines()]
    assert [r["detail"] for r in lines if r["event"] == "profile-changed"] == [f"kiosk digest {digest('kiosk')}"]
    s.stop()
    conf.write_text(before + "profiles:\n  - {name: kiosk, kind: device, lifetime: 60d}\n")  # nobody is asked, all is told
    s.start()
    issue("kiosk-3", 0, "--profile", "kiosk")
    assert s.run("log", "--event", "profile-changed", check=0).stdout.count("kiosk digest") == 2
