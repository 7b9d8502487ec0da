"""Roll-overs of several nodes on one PostgreSQL, and with a second administrator."""
import json
import shutil

from conftest import countersign, wait_for
from test_store_nodes import nodes, server  # noqa: F401 (fixtures)
from test_two_person import by_command, s  # noqa: F401


def roll(node, *args, check=0):
    secret = node.top / "passphrase"
    more = ["--passphrase-file", secret] if args[0] == "start" else []
    more += ["--config", node.config]
    return countersign("rollover", *args, *more, "--no-wait", "--state", node.state, check=check)


def again(node):
    node.stop()
    node.start()


def test_a_node_that_has_not_published_holds_the_switch(nodes):  # noqa: F811
    one, two = nodes
    assert one.issue("pump-1")[0] == 201
    roll(one, "start", "issuing")
    assert "rollover-open" in roll(two, "start", "issuing", check=1).stderr
    roll(one, "next")
    again(one)
    refused = roll(one, "next", check=1).stderr
    assert "rollover-blocked" in refused and "has not published the next CA" in refused
    assert "state-missing" in roll(two, "follow", check=1).stderr, "its files are not there yet"
    (two.state / "ca/next").mkdir(mode=0o700)
    for f in (one.state / "ca").glob("issuing-2.*"):
        shutil.copy2(f, two.state / "ca/next")
    roll(two, "follow")
    again(two)
    roll(one, "next")
    again(one)
    now = json.loads(roll(two, "status", "--json").stdout)
    assert now["stage"] == "switched" and now["files"] == "follow"
    assert sorted(n["switched"] for n in now["nodes"]) == [False, True]
    roll(two, "follow")
    again(two)
    for node in nodes:
        status, _, made = node.issue("pump-2")
        assert status == 201
    now = json.loads(roll(one, "status", "--json").stdout)
    assert all(n["switched"] for n in now["nodes"]) and now["identities"]["moved"] == 1
    assert [b["name"] for b in now["blocks"]] == ["pump-1"]
    one.call("POST", "/api/v1/revocations", {"name": "pump-1"})
    roll(two, "next")
    again(two)
    roll(one, "follow")
    again(one)
    assert one.issue("pump-3")[0] == two.issue("pump-4")[0] == 201


def test_each_step_needs_the_second_administrator(s):  # noqa: F811
    secret = ["--passphrase-file", s.state / "root.passphrase"]
    said = s.run("rollover", "start", "issuing", *secret, check=1).stderr
    assert "proposal-waiting" in said and not (s.state / "ca/next").exists()
    by_command(s, "approve", said.split("proposal ")[1].split()[0].rstrip(")"), "bob")
    s.run("rollover", "start", "issuing", *secret, check=0)
    said = s.run("rollover", "next", check=1).stderr
    assert "proposal-waiting" in said and not (s.state / "ca/issuing-2.crt").exists()
    number = said.split("proposal ")[1].split(";")[0]
    by_command(s, "approve", number, "bob")
    now = json.loads(s.run("rollover", "status", "--json", check=0).stdout)
    assert now["stage"] == "published" and now["files"] == "follow"
    s.run("rollover", "follow", check=0)
    wait_for(lambda: s.run("ca", "show", "issuing-2").returncode == 0, 20)
    s.run("rollover", "status", check=0)
