"""A roll-over killed between any two of its files goes on where it was."""
import json

import pytest
from conftest import COMMAND, countersign, run

FAULTS = b"rollover.move" in COMMAND.read_bytes()
pytestmark = pytest.mark.skipif(not FAULTS, reason="this build has no fault points (-Dfaults=true); `.ci/run` tests one that has")


@pytest.mark.parametrize("kind", ["issuing", "root"])
def test_a_roll_over_killed_at_any_file_is_mended_by_follow(work, passphrase_file, kind):
    state = work / "state"
    countersign("init", "Acme", "--state", state, "--passphrase-file", passphrase_file, check=0)

    def roll(*args, env=None, check=0):
        return countersign("rollover", *args, "--no-wait", "--state", state, env=env, check=check)

    def parts():
        return sorted(str(p.relative_to(state / "ca")) for p in (state / "ca").rglob("*") if p.is_file())

    roll("start", kind, "--passphrase-file", passphrase_file)
    killed = 0
    for verb, undo in (("next", "back"), ("next", "back"), ("next", "back"), ("back", "next")):
        before = parts()
        for n in range(1, 40):
            done = roll(verb, env={"COUNTERSIGN_FAULT": f"rollover.move:kill:{n}"}, check=None)
            if done.returncode == 0:
                break
            assert done.returncode < 0, done.stderr
            killed += 1
            roll("follow")
            now = json.loads(roll("status", "--json").stdout)
            assert now["files"] == "done"
            name = f"d{killed}"
            countersign("issue", "device", name, "--state", state, "--out", work, check=0)
            run("openssl", "verify", "-x509_strict", "-CAfile", work / "ca.pem", "-untrusted", work / f"{name}.crt",
                work / f"{name}.crt", check=0)
            countersign("revoke", name, "--state", state, check=0)
            (work / "ca.pem").unlink()
            roll(undo)
            assert [p for p in parts() if p != "current"] == [p for p in before if p != "current"]
    assert killed >= (6 if kind == "issuing" else 15), killed
