"""The authority when something fails: no signer, no room on the disk, many askers at once, an end in between."""
import json
import os
import resource
import signal
import sqlite3
import threading
import time

import pytest

from authority import Authority, request
from conftest import LIBEXEC, PATIENCE
from feed import Feed
from cryptography.hazmat.primitives.asymmetric import ec


@pytest.fixture()
def a():
    made = Authority().start()
    yield made
    made.close()


def refused(answer, reason):
    assert answer[0] >= 400 and answer[2]["reason"] == reason, answer


def at_once(n, f):
    got = [None] * n

    def one(i):
        got[i] = f(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    [t.start() for t in threads], [t.join() for t in threads]
    return got


def test_revocation_does_not_wait_for_a_dead_signer(a):
    """However many ask for the health, for certificates and for CRLs meanwhile."""
    serials = [a.issue(f"d{i}")[2]["serial"] for i in range(4)]
    feed = Feed(a.run / "feed.sock")
    feed.until_synced()
    a.kill("signer")
    ending, asked = threading.Event(), []

    def ask(i):
        while not ending.is_set():
            if i < 20:
                asked.append(a.call("GET", "/healthz", socket_name="authority")[0])
            elif i < 25:
                a.issue(f"x{i}")
            else:
                a.call("POST", "/api/v1/crls", {})

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(26)]
    [t.start() for t in threads]
    try:
        time.sleep(1)
        for s in serials:
            began = time.monotonic()
            assert a.call("POST", "/api/v1/revocations", {"serial": s})[0] == 200
            feed.wait_for(s)
            assert time.monotonic() - began < 1 * PATIENCE
            time.sleep(0.7)
        assert asked and 503 in asked
    finally:
        ending.set()
        [t.join() for t in threads]
    a.start(["signer"])
    assert a.issue("after")[0] == 201
    on_crl = a.call("GET", "/api/v1/crls")[2]["entries"]
    assert on_crl >= 4 or a.call("POST", "/api/v1/crls", {})[2]["entries"] >= 4
    a.stop()


def test_the_health_tells_at_once_of_a_signer_that_has_died(a):
    assert a.issue("x")[0] == 201 and a.call("GET", "/healthz", socket_name="authority")[0] == 200
    a.kill("signer")
    time.sleep(1.2)
    assert a.call("GET", "/healthz", socket_name="authority")[0] == 503
    assert a.call("GET", "/api/v1/status")[2]["signer"] == "signer-unreachable"
    a.start(["signer"])
    time.sleep(1.2)
    assert a.call("GET", "/healthz", socket_name="authority")[0] == 200


def test_a_signer_that_hangs_is_given_up_and_what_it_may_have_signed_is_revoked(a):
    assert a.issue("before")[0] == 201
    os.kill(a.processes["signer"].pid, signal.SIGSTOP)
    refused(a.issue("hangs", idempotency_key="h"), "signer-unreachable")
    os.kill(a.processes["signer"].pid, signal.SIGCONT)
    assert a.issue("hangs", csr=request(), idempotency_key="h")[0] == 201
    rows = [r["status"] for r in a.listed() if r["name"] == "hangs"]
    assert sorted(rows) == ["abandoned", "valid"] and a.call("POST", "/api/v1/crls", {})[2]["entries"] == 1


def test_one_key_asked_many_times_at_once_is_one_certificate(a):
    csr = request()
    got = at_once(12, lambda i: a.issue("once", csr=csr, idempotency_key="k"))
    assert {g[0] for g in got} == {201} and len({g[2]["serial"] for g in got}) == 1
    refused(a.issue("other", csr=csr, idempotency_key="k"), "idempotency-conflict")
    assert len(a.listed()) == 1


def test_a_name_that_looks_like_a_serial_is_not_taken_for_one(a):
    victim = a.issue("victim")[2]["serial"]
    mean = a.issue(victim)[2]["serial"]  # a device of that name
    got = a.call("POST", "/api/v1/revocations", {"name": victim})[2]
    assert [r["serial"] for r in got["revoked"]] == [mean]
    refused(a.call("POST", "/api/v1/revocations", {"serial": "victim"}), "certificate-unknown")
    got = a.call("POST", "/api/v1/revocations", {"serial": ":".join(victim[i:i + 2] for i in range(0, 32, 2)).upper()})[2]
    assert [r["name"] for r in got["revoked"]] == ["victim"]


def test_a_name_stands_for_its_valid_certificates_however_many_there_are(a):
    csr = request()
    short = a.issue("many", csr=csr, lifetime_seconds=1)[2]["serial"]
    gone = a.issue("gone", lifetime_seconds=1)[2]["serial"]
    held = a.issue("many", csr=csr)[2]["serial"]
    a.call("POST", "/api/v1/revocations", {"serial": held, "reason": "certificate-hold"})
    at_once(6, lambda i: [a.issue("many", csr=csr) for _ in range(50)])
    time.sleep(1.5)
    got = a.call("POST", "/api/v1/revocations", {"name": "many", "reason": "cessation-of-operation"})[2]["revoked"]
    assert len(got) == 301 and short not in {r["serial"] for r in got} and held in {r["serial"] for r in got}
    refused(a.call("POST", "/api/v1/revocations", {"name": "many"}), "already-revoked")
    refused(a.call("POST", "/api/v1/revocations", {"name": "gone"}), "certificate-unknown")
    assert a.call("GET", f"/api/v1/certificates/{gone}")[2]["status"] == "expired"


def test_a_key_that_was_revoked_as_compromised_is_certified_no_more(a):
    key = ec.generate_private_key(ec.SECP256R1())
    first = a.issue("one", csr=request(key=key))[2]["serial"]
    a.call("POST", "/api/v1/revocations", {"serial": first, "reason": "superseded"})
    second = a.issue("one", csr=request(key=key))[2]["serial"]
    a.call("POST", "/api/v1/revocations", {"serial": second, "reason": "key-compromise"})
    refused(a.issue("two", csr=request(key=key)), "key-compromised")
    assert a.issue("two", csr=request())[0] == 201


def test_two_crls_of_one_second_have_different_dates(a):
    path, seen = "/crl/issuing.crl", set()
    for _ in range(4):
        a.call("POST", "/api/v1/crls", {})
        headers = a.call("GET", path, socket_name="authority")[1]
        seen.add((headers["Last-Modified"], headers["ETag"]))
    assert len({m for m, _ in seen}) == len({e for _, e in seen}) == 4


def test_deep_json_is_refused(a):
    for text in ("[" * 100000, '{"a":' * 30000, '{"name":' + "[" * 2000 + "]" * 2000 + "}"):
        c = a.call("POST", "/api/v1/certificates", json.loads("{}"))  # it answers before ...
        assert c[0] == 400
        assert raw(a, text)[0] == 400
    assert a.issue("after")[0] == 201  # ... and after


def raw(a, text):
    from authority import UnixConnection
    c = UnixConnection(a.run / "control.sock", 30)
    try:
        c.request("POST", "/api/v1/certificates", text)
        r = c.getresponse()
        return r.status, r.headers, json.loads(r.read())
    finally:
        c.close()


def limit_files(a, name, size):
    """No file of that process may grow over `size` octets: the disk is full, for it."""
    pid = a.processes[name].pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if size is not None else hard, hard))


@pytest.fixture()
def full():
    """Its processes are told of a full disk by an error, not by a signal."""
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    made = Authority(restore_signals=False).start()
    yield made
    made.close()
    signal.signal(signal.SIGXFSZ, old)


def test_a_disk_that_is_full_at_any_point_loses_nothing(full):
    a = full
    wal = a.state / "authority" / "store.db-wal"
    acked, failures = {}, 0
    for step in range(0, 26):
        csr = request()
        size = wal.stat().st_size
        limit_files(a, "authority", size + step * 1024)
        status, _, got = a.issue(f"d{step}", csr=csr, idempotency_key=f"k{step}")
        assert status == 201 or got["reason"] in ("store-failed", "disk-full"), got
        failures += status != 201
        assert a.call("GET", "/api/v1/certificates?limit=5")[0] == 200, "reading goes on"
        limit_files(a, "authority", None)
        again, _, later = a.issue(f"d{step}", csr=csr, idempotency_key=f"k{step}")
        assert again == 201, later
        assert status != 201 or got["serial"] == later["serial"]
        acked[later["serial"]] = f"d{step}"
        sqlite3.connect(a.state / "authority" / "store.db").execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert failures > 3
    rows = {r["serial"]: r for r in a.listed()}
    assert all(rows[s]["name"] == n and rows[s]["status"] == "valid" for s, n in acked.items())
    assert sum(r["status"] == "valid" for r in rows.values()) == len(acked), "nothing half done is valid"
    from test_crash import journal
    assert set(journal(a)[0]) <= set(rows), "all that was signed is known"
    a.stop()


def test_a_signer_with_a_full_disk_signs_nothing_and_goes_on_after(full):
    a = full
    assert a.issue("before")[0] == 201
    limit_files(a, "signer", (a.state / "signer" / "journal").stat().st_size)
    status, _, got = a.issue("during")
    assert status >= 400 and got["reason"] in ("disk-full", "file-unwritable"), got
    limit_files(a, "signer", None)
    assert a.issue("after")[0] == 201
    assert [r["name"] for r in a.listed()] == ["after", "before"]
    a.stop()


def test_a_second_authority_of_one_state_is_refused(a):
    with pytest.raises(AssertionError, match="state-busy"):
        a.start(["authority"])


def test_an_end_in_the_middle_cuts_no_request_off(a):
    """Its sockets are held by the supervisor: with a new authority, nobody notices."""
    ending, failed, done = threading.Event(), [], []

    def ask(i):
        n = 0
        while not ending.is_set():
            n += 1
            try:
                done.append(a.issue(f"d{i}-{n}")[0])
            except Exception as e:
                failed.append(repr(e))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    for _ in range(4):
        time.sleep(0.4)
        p = a.processes.pop("authority")
        p.send_signal(signal.SIGTERM)
        assert p.wait(20 * PATIENCE) == 0
        a.start(["authority"])
    ending.set()
    [t.join() for t in threads]
    assert not failed and set(done) == {201} and len(done) > 20, (failed, set(done), len(done))
    a.stop()


FAULTS = b"authority.issue.after-sign" in (LIBEXEC / "countersign-authority").read_bytes()


@pytest.mark.skipif(not FAULTS, reason="this build has no fault points (-Dfaults=true); `.ci/run` tests one that has")
@pytest.mark.parametrize("point", ["before-intent", "after-intent", "after-sign", "after-commit"])
def test_a_step_that_fails_leaves_nothing_half_done(a, point):
    a.processes["authority"].terminate()
    a.processes["authority"].wait()
    a.start(["authority"], env={"COUNTERSIGN_FAULT": f"authority.issue.{point}:fail"})
    csr = request()
    assert a.issue("x", csr=csr, idempotency_key="k")[0] == 500
    assert all(r["status"] in ("abandoned", "valid") for r in a.listed())
    a.processes["authority"].terminate()
    assert a.processes["authority"].wait(20 * PATIENCE) == 0
    a.start(["authority"])
    assert a.issue("x", csr=csr, idempotency_key="k")[0] == 201
    rows = a.listed()
    assert sum(r["status"] == "valid" for r in rows) == 1
    from test_crash import journal
    assert set(journal(a)[0]) <= {r["serial"] for r in rows}
    a.stop()
