"""The authority on PostgreSQL: the same verbs, and what happens when the database goes away."""
import os
import signal
import threading
import time

import pytest

from authority import Authority
from conftest import BUILD, PATIENCE, run, wait_for
from postgres import Postgres


@pytest.fixture(scope="module")
def server():
    made = Postgres()
    yield made.start()
    made.close()


@pytest.fixture()
def url(server):
    """An empty database of the test's own."""
    if server.process is None:
        server.start()
    name = f"t{time.monotonic_ns()}"
    server.sql(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture()
def a(url):
    made = Authority(config=f"store: {url}\n").start()
    yield made
    made.close()


@pytest.mark.parametrize("way,suite", [("tcp", "store"), ("socket", "verbs"), ("socket", "acme"), ("tcp", "windows")])
def test_the_store_does_on_postgresql_what_it_does_on_sqlite(server, url, way, suite):
    where = url if way == "tcp" else server.socket_url(url.split("?")[0].split("/")[-1])
    done = run(BUILD / f"tests/unit/store/unit-store-{suite}", env={"COUNTERSIGN_TEST_STORE": where})
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_line_of_config_puts_it_on_postgresql(a, url):
    status, _, made = a.issue("pump-1")
    assert status == 201, made
    said = run("psql", "-XAtq", "-d", url, "-c", "SELECT serial, name, status FROM certificates", check=0).stdout
    assert said.strip() == f"{made['serial']}|pump-1|1"
    assert not (a.state / "authority" / "store.db").exists()
    assert "as-secret-as-any" not in (a.top / "log").read_text()
    for p in a.processes.values():
        assert "as-secret-as-any" not in open(f"/proc/{p.pid}/cmdline").read()


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_database_that_goes_away_loses_nothing_that_was_acknowledged_and_comes_back_by_itself(server, a, url, how):
    acknowledged, refused, ending = [], [], threading.Event()

    def ask(i):
        n = 0
        while not ending.is_set():
            n += 1
            status, headers, body = a.issue(f"d{i}-{n}")
            if status == 201:
                acknowledged.append(body["serial"])
            else:
                refused.append((status, headers.get("Retry-After"), body["reason"]))
                time.sleep(0.05)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    try:
        for _ in range(3):
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before + 20, 20)
            server.end(signal.SIGQUIT if how == "crash" else signal.SIGINT)
            wait_for(lambda: refused and refused[-1][2] == "store-unreachable", 20)
            server.start()
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) > before + 20, 20, say="it does not heal")
    finally:
        ending.set()
        [t.join(60 * PATIENCE) for t in threads]
    assert {(s, r) for s, r, _ in refused} == {(503, "2")}, refused[:3]
    rows = dict(line.split("|") for line in run("psql", "-XAtq", "-d", url, "-c", "SELECT serial, status FROM certificates",
                                                check=0).stdout.split())
    assert len(acknowledged) == len(set(acknowledged))
    assert [rows.get(s) for s in acknowledged] == ["1"] * len(acknowledged)
    assert "0" not in rows.values(), "an intent was left open"


def test_without_its_database_it_says_so_and_reads_work_again_after(server, a):
    serial = a.issue("pump")[2]["serial"]
    server.end()
    status, headers, body = a.call("GET", f"/api/v1/certificates/{serial}")
    assert (status, body["reason"], headers["Retry-After"]) == (503, "store-unreachable", "2"), body
    server.start()
    status, _, body = a.call("GET", f"/api/v1/certificates/{serial}")
    assert (status, body["name"]) == (200, "pump")


def test_a_database_that_hangs_does_not_keep_the_authority_from_ending(server, a):
    assert a.issue("before")[0] == 201
    backends = [int(p) for p in run("pgrep", "-P", str(server.process.pid), check=0).stdout.split()]
    answered = []

    def ask():
        try:
            answered.append(a.issue("under-way")[0])
        except OSError:
            pass  # cut off

    for p in backends:
        os.kill(p, signal.SIGSTOP)
    try:
        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.2)
        ending = a.processes.pop("authority")
        ending.send_signal(signal.SIGTERM)
        assert ending.wait(15 * PATIENCE) == 0
    finally:
        for p in backends:
            os.kill(p, signal.SIGCONT)
    asking.join()
    assert 201 not in answered
    assert "drain-cut-short" in (a.top / "log").read_text()
    a.start(("authority",))
    rows = {r["name"]: r["status"] for r in a.call("GET", "/api/v1/certificates")[2]["certificates"]}
    assert rows["before"] == "valid" and rows.get("under-way") in (None, "abandoned")
