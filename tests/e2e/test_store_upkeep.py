"""The store as a whole: checked, backed up while it is used, restored, moved to PostgreSQL and back."""
import json
import re
import shutil
import sqlite3
import threading
import time

import pytest

from authority import Authority
from conftest import BUILD, ROOT, countersign, run, wait_for
from postgres import Postgres


@pytest.fixture(scope="module")
def server():
    made = Postgres()
    yield made.start()
    made.close()


@pytest.fixture()
def url(server):
    name = f"u{time.monotonic_ns()}"
    server.sql(f"CREATE DATABASE {name}")
    return server.url(name)


def lived_in(a):
    """Some of everything: issued, revoked, held and released, a token, an administrator, a CRL, heads of the log."""
    serials = [a.issue(f"pump-{i}")[2]["serial"] for i in range(6)]
    for serial, reason in ((serials[0], "superseded"), (serials[1], "certificate-hold")):
        assert a.call("POST", "/api/v1/revocations", {"serial": serial, "reason": reason})[0] in (200, 201)
    assert a.call("POST", "/api/v1/releases", {"serial": serials[1]})[0] in (200, 201)
    assert a.call("POST", "/api/v1/tokens", {"kind": "device", "name": "pump-7"})[0] in (200, 201)
    assert a.call("POST", "/api/v1/admins", {"kind": "user", "name": "ann@corp.example", "role": "auditor"})[0] in (200, 201)
    assert a.call("POST", "/api/v1/crls")[0] in (200, 201)
    return serials


@pytest.fixture()
def a():
    made = Authority().start()
    made.serials = lived_in(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def kept():
    """A store that was lived in, without its authority."""
    made = Authority().start()
    lived_in(made)
    assert made.call("GET", "/api/v1/log/head")[0] == 200
    made.stop()
    yield db(made)
    made.close()


@pytest.fixture()
def copy(kept, work):
    return shutil.copy(kept, work / "store.db")


def store(a, *args, check=0, config=None):
    more = ["--config", config] if config else []
    return countersign("store", *args, "--state", a.state, *more, check=check)


def fails(a, reason, *args, **how):
    done = store(a, *args, check=1, **how)
    assert reason in done.stderr, done.stderr
    return done.stderr


def db(a):
    return a.state / "authority" / "store.db"


def facts(said):
    return {k: said[k] for k in ("certificates", "log_size", "log_root")}


# ---- check ----

def test_a_store_in_use_keeps_every_rule(a):
    said = json.loads(store(a, "check", "--json").stdout)
    assert said["result"] == "kept" and said["certificates"] == 6
    assert len(said["rules"]) > 12 and all(r["wrong"] == 0 for r in said["rules"])
    head = a.call("GET", "/api/v1/log/head")[2]
    assert head["size"] == said["log_size"]
    assert "rules kept; 6 certificates" in store(a, "check").stdout


def test_who_looks_on_does_not_take_the_journal_away(a):
    """The last connection to a database removes its journal: another program's, that comes and goes, is not the last."""
    journal = db(a).with_name("store.db-wal")
    before = journal.stat().st_ino
    store(a, "check")
    run("sqlite3", db(a), "SELECT COUNT(*) FROM certificates", check=0)
    assert journal.stat().st_ino == before
    serial = a.issue("pump-8")[2]["serial"]
    assert run("sqlite3", db(a), "SELECT serial FROM certificates WHERE name = 'pump-8'").stdout.strip() == serial


@pytest.mark.parametrize("rule,sql", [
    ("contents", "UPDATE certificates SET sha256 = zeroblob(32) WHERE name = 'pump-3'"),
    ("contents", "UPDATE certificates SET der = x'3000' WHERE name = 'pump-3'"),
    ("contents", "UPDATE certificates SET not_after = not_after + 1000000 WHERE name = 'pump-3'"),
    ("status", "UPDATE certificates SET status = 2 WHERE name = 'pump-3'"),
    ("intent-left", "UPDATE certificates SET status = 0, created = 1 WHERE name = 'pump-3'"),
    ("feed-gap", "DELETE FROM feed WHERE sequence = 1"),
    ("feed-missing", "UPDATE certificates SET status = 2, revoked_at = 1, revocation_reason = 1 WHERE name = 'pump-3'"),
    ("feed-unknown", "UPDATE feed SET serial = '00' WHERE sequence = 2"),
    ("crl-ahead", "UPDATE crls SET feed_sequence = 99"),
    ("issuance-unrecorded", "UPDATE log SET serial = NULL WHERE event = 'issued'"),
    ("revocation-unrecorded", "UPDATE log SET event = 'x' WHERE event = 'revoked'"),
    ("lineage", "UPDATE certificates SET parent = '0102' WHERE name = 'pump-3'"),
    ("lineage-forked", "UPDATE certificates SET parent = (SELECT serial FROM certificates WHERE name = 'pump-1'), "
                       "spki_sha256 = randomblob(32) WHERE name IN ('pump-3', 'pump-4')"),
    ("token-overused", "UPDATE certificates SET token = (SELECT id FROM tokens) WHERE name LIKE 'pump-%'"),
    ("log", "UPDATE log SET record = '{}' WHERE sequence = 3"),
    ("log", "DELETE FROM log WHERE sequence = 3"),
    ("log-heads", "UPDATE log_heads SET note = replace(note, substr(note, 40, 20), 'AAAAAAAAAAAAAAAAAAAA')"),
])
def test_each_broken_rule_is_named(copy, rule, sql):
    with sqlite3.connect(copy) as c:
        assert c.execute(sql).rowcount != 0
    c.close()
    said = countersign("store", "check", copy, "--json", check=1)
    assert "store-rule-broken" in said.stderr
    assert rule in {r["rule"] for r in json.loads(said.stdout)["rules"] if r["wrong"]}, said.stdout
    assert f"broken  {rule}: " in countersign("store", "check", copy, check=1).stdout


def test_a_damaged_index_is_found_by_the_databases_own_check(copy):
    with sqlite3.connect(copy) as c:  # the rows stay, the index forgets one
        c.execute("PRAGMA writable_schema = ON")
        c.execute("UPDATE sqlite_schema SET sql = sql || ' WHERE name <> ''pump-3''' WHERE name = 'certificates_by_name'")
    c.close()
    said = countersign("store", "check", copy, check=1)
    assert "broken  database: " in said.stdout and "certificates_by_name" in said.stdout


# ---- backup, restore ----

def test_a_backup_is_taken_while_certificates_are_issued_and_is_whole(a, work):
    ending, acknowledged = threading.Event(), []

    def ask(i):
        n = 0
        while not ending.is_set():
            n += 1
            status, _, body = a.issue(f"d{i}-{n}")
            assert status == 201, body
            acknowledged.append(body["serial"])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    try:
        wait_for(lambda: len(acknowledged) > 20, 20)
        before = set(acknowledged)
        said = json.loads(store(a, "backup", work / "b.db", "--json").stdout)
        wait_for(lambda: len(acknowledged) > len(before) + 20, 20)
    finally:
        ending.set()
        [t.join() for t in threads]
    assert (work / "b.db").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in work.iterdir()] == ["b.db"]
    assert facts(said) == facts(json.loads(store(a, "check", work / "b.db", "--json").stdout))
    c = sqlite3.connect(f"file:{work / 'b.db'}?mode=ro&immutable=1", uri=True)
    assert c.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert before <= {r[0] for r in c.execute("SELECT serial FROM certificates")}
    c.close()
    assert "file-exists" in fails(a, "file-exists", "backup", work / "b.db")
    store(a, "backup", work / "b.db", "--force")


def test_a_backup_brings_back_what_was_lost(a, work):
    store(a, "backup", work / "b.db")
    rows = a.listed()
    a.stop()
    db(a).rename(work / "lost.db")
    said = json.loads(store(a, "restore", work / "b.db", "--json").stdout)
    assert said["certificates"] == 6
    assert db(a).stat().st_mode & 0o777 == 0o600
    a.start()
    assert a.listed() == rows
    assert a.issue("pump-9")[0] == 201
    countersign("log", "verify", "--state", a.state, check=0)
    assert json.loads(store(a, "check", "--json").stdout)["result"] == "kept"


def test_nothing_is_written_over(a, work, url):
    store(a, "backup", work / "b.db")
    fails(a, "store-not-empty", "restore", work / "b.db")
    store(a, "restore", work / "b.db", "--to", url)
    fails(a, "store-not-empty", "restore", work / "b.db", "--to", url)


def test_a_backup_that_breaks_a_rule_is_restored_only_when_forced(a, work):
    store(a, "backup", work / "b.db")
    with sqlite3.connect(work / "b.db") as c:
        c.execute("UPDATE tokens SET uses = 0")
        c.execute("UPDATE certificates SET token = (SELECT id FROM tokens) WHERE name = 'pump-3'")
    c.close()
    assert "broken  token-overused: " in fails(a, "store-rule-broken", "restore", work / "b.db", "--to", work / "new.db")
    store(a, "restore", work / "b.db", "--to", work / "new.db", "--force")
    with sqlite3.connect(work / "b.db") as c:
        c.execute("UPDATE log SET record = '{}' WHERE sequence = 3")
    c.close()
    fails(a, "state-corrupt", "restore", work / "b.db", "--to", work / "newer.db", "--force")


@pytest.mark.parametrize("what", [b"", b"not a database " * 1000], ids=["empty", "text"])
def test_a_file_that_is_no_backup_is_refused(a, work, what):
    (work / "b.db").write_bytes(what)
    done = store(a, "restore", work / "b.db", "--to", work / "new.db", check=1)
    assert "state-missing" in done.stderr or "state-corrupt" in done.stderr
    fails(a, "file-not-found", "restore", work / "none.db", "--to", work / "newer.db")


def test_a_full_disk_leaves_no_half_backup(a, small_disk):
    small_disk.fill(left=40 * 1024)
    assert "disk-full" in store(a, "backup", small_disk.path / "b.db", check=1).stderr
    assert not [p for p in small_disk.path.iterdir() if p.name.startswith("b.db")]
    assert a.issue("pump-8")[0] == 201


# ---- to PostgreSQL and back ----

def psql(url, what):
    return run("psql", "-XAtq", "-d", url, "-c", what, check=0).stdout.strip()


def test_a_store_moves_to_postgresql_and_back_and_the_old_one_is_not_used_again(a, url, work):
    rows, admins = a.listed(), a.call("GET", "/api/v1/admins")[2]
    fails(a, "state-busy", "migrate", "sqlite", url)  # the authority runs
    assert psql(url, "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    a.stop()
    odd = "\\N Ümit\t\\\r\n'<b>"
    with sqlite3.connect(db(a)) as c:
        c.execute("UPDATE tokens SET made_by = ?", (odd,))
    c.close()
    checked = json.loads(store(a, "check", "--json").stdout)
    said = json.loads(store(a, "migrate", "sqlite", url, "--json").stdout)
    assert facts(said) == facts(checked)
    assert psql(url, "SELECT COUNT(*), COUNT(*) FILTER (WHERE status = 2) FROM certificates") == "6|1"
    assert run("psql", "-XAtq0", "-d", url, "-c", "SELECT made_by FROM tokens").stdout == odd.replace("\r\n", "\n") + "\0"
    assert psql(url, "SELECT name FROM certificates ORDER BY sequence LIMIT 1") == "pump-0"
    fails(a, "store-moved", "migrate", "sqlite", work / "again.db")
    with pytest.raises(AssertionError, match="store-moved"):
        a.start()  # with the old line
    a.processes.pop("authority").wait(10)
    a.kill("signer")
    a.config = a.top / "countersign.yaml"
    a.config.write_text(f"store: {url}\n")
    a.start()
    assert a.listed() == rows and a.call("GET", "/api/v1/admins")[2] == admins
    assert a.issue("pump-9")[0] == 201
    countersign("log", "verify", "--state", a.state, "--config", a.config, check=0)
    assert json.loads(store(a, "check", "--json", config=a.config).stdout)["result"] == "kept"
    fails(a, "state-busy", "migrate", url, work / "back.db")
    backed = json.loads(store(a, "backup", work / "b.db", "--json", config=a.config).stdout)
    rows = a.listed()
    a.stop()
    back = json.loads(store(a, "migrate", url, work / "back.db", "--json").stdout)
    assert back["certificates"] == backed["certificates"] == 7
    db(a).rename(work / "old.db")
    (work / "back.db").rename(db(a))
    a.config = None
    a.start()
    assert a.listed() == rows
    assert a.issue("pump-10")[0] == 201


def test_a_migration_that_fails_leaves_the_target_as_it_was_and_the_source_in_use(a, url):
    a.stop()
    with sqlite3.connect(db(a)) as c:  # a text that PostgreSQL cannot hold
        c.execute("UPDATE tokens SET made_by = CAST(x'ff41' AS TEXT)")
    c.close()
    assert "UTF8" in store(a, "migrate", "sqlite", url, check=1).stderr
    assert psql(url, "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    a.start()
    assert a.issue("pump-9")[0] == 201


def test_the_guides_way_to_postgresql_works(a, url, work):
    a.issue("pump-17")
    a.stop()
    for name, listener in a.listeners.items():  # as the supervisor leaves it
        listener.close()
        (a.run / f"{name}.sock").unlink()
    blocks = re.findall(r"<!-- postgres -->\s*```sh\n(.*?)```", (ROOT / "docs/guide/store.md").read_text(), re.S)
    assert len(blocks) == 1
    done = run("bash", "-euo", "pipefail", "-c", "PATH=$BUILD:$PATH\n" + blocks[0],
               env={"COUNTERSIGN_STATE": str(a.state), "STORE_URL": url, "BUILD": str(BUILD)}, cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
