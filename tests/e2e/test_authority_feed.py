"""What gateways are told of revocations, and how soon, whatever else goes on."""
import sqlite3
import threading
import time

import pytest

from authority import Authority, request
from conftest import PATIENCE
from feed import Feed


@pytest.fixture()
def a():
    made = Authority().start()
    yield made
    made.stop()
    made.close()


def revoke(a, serial, reason=None):
    status, _, got = a.call("POST", "/api/v1/revocations", {"serial": serial, **({"reason": reason} if reason else {})})
    assert status == 200, got
    return got["sequence"]


def overwhelm(feed):
    """Asks for everything again and again, and reads nothing: far more than a socket holds."""
    for _ in range(300):
        feed.hello()
        time.sleep(0.002)
    time.sleep(0.3)


def test_a_gateway_hears_all_then_only_what_is_new(a):
    serials = [a.issue(f"d{i}")[2]["serial"] for i in range(5)]
    for s in serials[:3]:
        revoke(a, s, "key-compromise" if s == serials[0] else None)
    first = Feed(a.run / "feed.sock")
    entries, at, reset = first.until_synced()
    assert reset and [e[1] for e in entries] == serials[:3] and entries[0][2] == 1 and at == entries[-1][0]
    sequence = revoke(a, serials[3])
    assert first.wait_for(serials[3]) == 0
    first.close()
    revoke(a, serials[4])
    entries, at, reset = Feed(a.run / "feed.sock", sequence).until_synced()
    assert not reset and [e[1] for e in entries] == [serials[4]]
    entries, _, reset = Feed(a.run / "feed.sock", 10 ** 6).until_synced()
    assert reset and len(entries) == 5, "who knows more than there is gets everything"


def test_a_set_of_many_pieces_comes_whole(a):
    """Made in the database: 10,000 revoked certificates, in the feed, in the CRL and counted."""
    a.issue("seed")
    a.stop()
    db = sqlite3.connect(a.state / "authority" / "store.db")
    columns = [d[1] for d in db.execute("PRAGMA table_info(certificates)")]
    seed = dict(zip(columns, db.execute("SELECT * FROM certificates").fetchone()))
    for i in range(10000):
        row = {**seed, "serial": f"{2 ** 124 + i:032x}", "sequence": i + 2, "name": f"d{i}", "status": 2,
               "revoked_at": seed["created"], "revocation_reason": 4}
        db.execute(f"INSERT INTO certificates VALUES ({','.join('?' * len(row))})", [row[c] for c in columns])
        db.execute("INSERT INTO feed VALUES (?, ?, ?, ?, 4)", (i + 1, row["serial"], row["issuer"], row["created"]))
    db.commit()
    db.close()
    a.start()
    feed = Feed(a.run / "feed.sock")
    entries, at, reset = feed.until_synced(20)
    assert reset and at == 10000 and [e[0] for e in entries] == list(range(1, 10001))
    began = time.monotonic()
    revoke(a, seed["serial"])
    feed.wait_for(seed["serial"])
    assert time.monotonic() - began < 1 * PATIENCE
    assert a.call("POST", "/api/v1/crls", {})[2]["entries"] == 10001
    status, _, counts = a.call("GET", "/api/v1/status")
    assert status == 200 and counts["revoked"] == 10001 and counts["valid"] == 0


def test_a_release_is_told(a):
    serial = a.issue("held")[2]["serial"]
    feed = Feed(a.run / "feed.sock")
    revoke(a, serial, "certificate-hold")
    assert feed.wait_for(serial) == 6
    assert a.call("POST", "/api/v1/releases", {"serial": serial})[0] == 200
    assert feed.wait_for(serial) == 8


def test_a_gateway_that_does_not_read_holds_up_no_other(a):
    serials = [a.issue(f"d{i}")[2]["serial"] for i in range(40)]
    for s in serials[:30]:
        revoke(a, s)
    good, stuck = Feed(a.run / "feed.sock"), Feed(a.run / "feed.sock")
    good.until_synced()
    overwhelm(stuck)
    for s in serials[30:]:
        began = time.monotonic()
        revoke(a, s)
        good.wait_for(s)
        assert time.monotonic() - began < 1 * PATIENCE
    stuck.close()


@pytest.mark.slow
def test_one_that_reads_nothing_is_cut_off_in_time_and_comes_back(a):
    serials = [a.issue(f"d{i}")[2]["serial"] for i in range(30)]
    for s in serials:
        revoke(a, s)
    stuck = Feed(a.run / "feed.sock")
    overwhelm(stuck)
    time.sleep(14)
    with pytest.raises((TypeError, ConnectionError, BrokenPipeError)):  # the end of the stream
        while True:
            stuck.until_synced(2)
    assert len(Feed(a.run / "feed.sock").until_synced()[0]) == 30


def test_the_heartbeat_does_not_depend_on_silence(a):
    quiet, ending = Feed(a.run / "feed.sock"), threading.Event()
    quiet.until_synced()

    def chatter():
        while not ending.is_set():
            Feed(a.run / "feed.sock").close()
            time.sleep(0.2)

    t = threading.Thread(target=chatter)
    t.start()
    try:
        for _ in range(2):
            quiet.until_synced(3.5)
    finally:
        ending.set()
        t.join()


def test_who_says_what_may_not_be_said_is_cut_off(a):
    for said in (b"\0\0\0\x02\0\x09", b"\xff\xff\xff\xff\0\x01", b"\0\0\0\x03\0\x01\0", b"\0\0\0\0\0\0"):
        feed = Feed(a.run / "feed.sock", hello=False)
        feed.sock.sendall(said)
        assert feed.frame() is None
    assert Feed(a.run / "feed.sock").until_synced()[2]
