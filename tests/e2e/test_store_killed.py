"""kill -9 while a store moves: the target is whole or there is nothing in it, and the same command goes on."""
import json
import shutil
import sqlite3
import subprocess
import time

import pytest

from conftest import COMMAND, countersign, wait_for
from test_store_upkeep import facts, kept, server, url  # noqa: F401

PARTS = (0.02, 0.3, 0.6, 0.9)


@pytest.fixture()
def source(kept, work):  # noqa: F811
    """A store that takes a while to be copied."""
    path = shutil.copy(kept, work / "from.db")
    with sqlite3.connect(path) as c:
        c.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) "
                  "INSERT INTO tokens (id, kind, name, profile, created, not_after, uses, made_by) "
                  "SELECT 'k' || i, 'device', 'pump-' || i, '', i, i + 1, 1, 'uid 0' FROM n")
    c.close()
    return path


def store(work, *args, check=None):
    return countersign("store", *args, "--state", work / "none", check=check)


def killed(work, source, to, after):
    """Starts the move and kills it; True: it was at work until then."""
    p = subprocess.Popen([COMMAND, "store", "migrate", source, to, "--state", work / "none"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    ended = p.poll() is not None
    p.kill()
    p.wait()
    return not ended


@pytest.mark.parametrize("database", ["file", "postgresql"])
def test_a_move_that_is_killed_leaves_a_whole_store_or_none(source, work, database, request):
    to = work / "to.db" if database == "file" else request.getfixturevalue("url")
    before = json.loads(store(work, "check", source, "--json", check=0).stdout)
    trial = shutil.copy(source, work / "trial.db")
    began = time.monotonic()
    store(work, "migrate", trial, work / "trial-to.db", check=0)
    takes, at_work = time.monotonic() - began, 0
    for part in PARTS if database == "file" else PARTS[::2]:
        if not killed(work, source, to, takes * part):
            break
        at_work += 1
        # an end that the database has not heard of yet keeps its locks for a moment
        there = wait_for(lambda: (lambda r: r if r.returncode in (0, 1) else None)(store(work, "check", to, "--json")), 20)
        if there.returncode == 0:
            break
        assert "state-missing" in there.stderr or "file-not-found" in there.stderr, there.stderr
        assert facts(json.loads(store(work, "check", source, "--json", check=0).stdout)) == facts(before)
    assert at_work >= 1, "it was never killed at work"
    last = store(work, "migrate", source, to)
    if last.returncode != 0:  # it had come to its end, or nearly: both are whole
        assert "store-not-empty" in last.stderr or "store-moved" in last.stderr, last.stderr
    assert facts(json.loads(store(work, "check", to, "--json", check=0).stdout)) == facts(before)
    with sqlite3.connect(source) as c:
        moved = c.execute("SELECT COUNT(*) FROM meta WHERE name = 'moved_to'").fetchone()[0]
    c.close()
    assert moved == 1 or "store-not-empty" in last.stderr
