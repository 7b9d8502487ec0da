"""What a policy of enrollment says, kind by kind, holds at a door: who waits, what a renewal ends, which tokens are good."""
import json
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from conftest import System, countersign, wait_for
from test_enroll_est import certificates, est, new_request, token

CONFIG = """profiles:
  - {name: user, kind: user, names_from_request: false}
enroll:
  device: {supersede: true}
  server: {approval: always, retry: 1s}
"""


@pytest.fixture(scope="module")
def s():
    folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
    (folder / "c.yaml").write_text(CONFIG)
    made = System(config=folder / "c.yaml")
    made.start()
    yield made
    made.stop()
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


def call(s, *words, check=0):
    return countersign(*words, "--state", s.state, check=check)


def rows(s, *words):
    return [json.loads(r) for r in call(s, *words, "--json").stdout.splitlines()]


def new_token(s, kind, name, *more):
    return json.loads(call(s, "token", "create", kind, name, "--json", *more).stdout)


def test_tokens_are_listed_with_their_state_and_a_revoked_one_opens_nothing(s, work):
    good, gone, short = (new_token(s, "device", "pol-1", *more) for more in ([], [], ["--ttl", "1s"]))
    call(s, "token", "revoke", gone["id"])
    wait_for(lambda: {r["id"]: r["state"] for r in rows(s, "token", "list", "pol-1")} ==
             {good["id"]: "live", gone["id"]: "revoked", short["id"]: "expired"}, 5, say="the states of three tokens")
    _, body = new_request(work, "pol-1")
    for bad in (gone, short):
        status, _, answer = est(s, work, "simpleenroll", body, f"pol-1:{bad['token']}")
        assert status == 401 and answer.startswith(b"token-invalid")
    assert est(s, work, "simpleenroll", body, f"pol-1:{good['token']}")[0] == 200
    assert {r["state"] for r in rows(s, "token", "list", "pol-1")} == {"used", "revoked", "expired"}
    assert "token-unknown" in call(s, "token", "revoke", "aaaaaaaaaaaaaaaa", check=1).stderr
    log = call(s, "log", "--json").stdout
    assert all(w in log for w in ("token-revoked", f"token {gone['id']} was revoked", f"token {short['id']} has expired"))


def test_of_two_that_use_one_token_at_once_one_wins(s, work):
    secret, got = token(s, "pol-2"), []

    def ask(i):
        folder = work / str(i)
        folder.mkdir()
        _, body = new_request(folder, "pol-2")
        barrier.wait()
        got.append(est(s, folder, "simpleenroll", body, f"pol-2:{secret}")[0])
    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(got) == [200, 401]
    assert len(rows(s, "list", "--status", "all", "--name", "pol-2")) == 1


def test_where_a_person_always_decides_a_token_waits_and_counts_when_it_is_approved(s, work):
    _, body = new_request(work, "gw.pol.example")
    t = new_token(s, "server", "gw.pol.example")
    user = f"gw.pol.example:{t['token']}"
    status, heads, _ = est(s, work, "simpleenroll", body, user)
    assert status == 202 and heads["retry-after"] == "1"
    request = rows(s, "request", "list")[0]
    assert request["name"] == "gw.pol.example" and request["credential"] == f"token {t['id']}"
    call(s, "request", "approve", request["id"])
    assert est(s, work, "simpleenroll", body, user)[0] == 200
    # a token that was revoked meanwhile is good for nothing, whoever says yes
    t = new_token(s, "server", "gw2.pol.example")
    _, body = new_request(work, "gw2.pol.example", "two")
    assert est(s, work, "simpleenroll", body, f"gw2.pol.example:{t['token']}")[0] == 202
    call(s, "token", "revoke", t["id"])
    assert "token-invalid" in call(s, "request", "approve", rows(s, "request", "list")[0]["id"], check=1).stderr
    assert rows(s, "list", "--status", "all", "--name", "gw2.pol.example") == []


def test_a_renewal_revokes_what_it_renews_where_it_is_said(s, work):
    key, body = new_request(work, "pol-4")
    crt = work / "first.crt"
    crt.write_text(certificates(work, est(s, work, "simpleenroll", body, f"pol-4:{token(s, 'pol-4')}")[2]))
    _, body = new_request(work, "pol-4", "next")
    assert est(s, work, "simplereenroll", body, crt=crt, key=key)[0] == 200
    states = {(r["status"], r.get("revocation_reason")) for r in rows(s, "list", "--status", "all", "--name", "pol-4")}
    assert states == {("valid", None), ("revoked", "superseded")}
