"""CRLs of a large authority."""
import json
import sqlite3
import threading
import time

import pytest

from authority import Authority, request
from conftest import PATIENCE

MANY = 60000


@pytest.fixture()
def a():
    made = Authority().start()
    yield made
    made.stop()
    made.close()


def fill(a):
    """MANY revoked certificates, made in the database."""
    a.stop()
    db = sqlite3.connect(a.state / "authority" / "store.db")
    columns = [d[1] for d in db.execute("PRAGMA table_info(certificates)")]
    seed = dict(zip(columns, db.execute("SELECT * FROM certificates").fetchone()))
    seed.update(name="filled", status=2, revoked_at=seed["created"], revocation_reason=4, idempotency_key=None, der=None)
    db.executemany(f"INSERT INTO certificates VALUES ({','.join('?' * len(columns))})", (
        [{**seed, "serial": f"{2 ** 124 + i:032x}", "sequence": i + 1000}[c] for c in columns] for i in range(MANY)))
    db.commit()
    db.close()
    a.start()


def revoked_before_it(a):
    """Revocations recorded before the last CRL that was asked for (others are made by schedule)."""
    revoked = before = 0
    for r in a.call("GET", "/api/v1/log?limit=1000")[2]["records"]:
        r = json.loads(r["record"])
        revoked += r["event"] == "revoked"
        if r["event"] == "crl-published" and r["by"].startswith("uid "):
            before = revoked
    return before


def last_crl(a):
    db = sqlite3.connect(f"file:{a.state}/authority/store.db?mode=ro", uri=True)
    got = db.execute("SELECT feed_sequence, entries FROM crls WHERE sha256 IS NOT NULL ORDER BY number DESC").fetchone()
    db.close()
    return got


def test_revocations_do_not_wait_for_a_large_crl(a):
    serials = [a.issue(f"d{i}")[2]["serial"] for i in range(200)]
    fill(a)
    revoked, passed = 0, False
    while not passed and revoked < len(serials):
        answers = []
        asker = threading.Thread(target=lambda: answers.append(a.call("POST", "/api/v1/crls", {})))
        asker.start()
        while asker.is_alive() and revoked < len(serials):
            assert a.call("POST", "/api/v1/revocations", {"serial": serials[revoked]})[0] == 200
            revoked += 1
        asker.join()
        status, _, crl = answers[0]
        assert status == 200, crl
        # lacks what was recorded as revoked before it was published: it was being built
        passed = crl["entries"] - MANY < revoked_before_it(a)
    assert passed, "each revocation waited until the CRL was published"
    until = time.monotonic() + 20 * PATIENCE
    while last_crl(a)[0] < revoked and time.monotonic() < until:
        time.sleep(0.1)
    assert last_crl(a) == (revoked, MANY + revoked), "what was revoked meanwhile is on the next CRL, unasked"
