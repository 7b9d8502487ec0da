"""Several authority nodes on one PostgreSQL."""
import shutil
import subprocess
import threading
import time

import pytest
from cryptography import x509

from authority import Authority
from conftest import PATIENCE, run, wait_for
from feed import Feed
from postgres import Postgres


@pytest.fixture(scope="module")
def server():
    made = Postgres()
    yield made.start()
    made.close()


@pytest.fixture()
def nodes(server):
    """Two nodes with the same CA, each with its own signer and state folder."""
    name = f"n{time.monotonic_ns()}"
    server.sql(f"CREATE DATABASE {name}")
    config = f"store: {server.url(name)}\n"
    one, two = Authority(config=config), Authority(config=config)
    shutil.rmtree(two.state / "ca")
    shutil.copytree(one.state / "ca", two.state / "ca")
    shutil.rmtree(two.state / "signer", ignore_errors=True)
    if (one.state / "signer").exists():
        shutil.copytree(one.state / "signer", two.state / "signer")
    for f in one.state.glob("*"):
        if f.is_file():
            shutil.copy2(f, two.state / f.name)
    one.start()
    two.start()
    one.url = server.url(name)
    yield one, two
    one.close()
    two.close()


def revoke(node, serial, reason):
    return node.call("POST", "/api/v1/revocations", {"serial": serial, "reason": reason})[0] in (200, 201)


def rows(node, what):
    return run("psql", "-XAtq", "-d", node.url, "-c", what, check=0).stdout.split()


def test_two_nodes_issue_at_once_and_no_serial_or_number_is_used_twice(nodes):
    got = []

    def ask(i):
        for n in range(25):
            status, _, body = nodes[i % 2].issue(f"d{i}-{n}")
            assert status == 201, body
            got.append(body["serial"])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    [t.start() for t in threads], [t.join(120 * PATIENCE) for t in threads]
    assert len(got) == len(set(got)) == 150
    assert set(rows(nodes[0], "SELECT serial FROM certificates WHERE status = 1")) >= set(got)
    assert rows(nodes[0], "SELECT COUNT(*), COUNT(DISTINCT sequence), MAX(sequence) FROM certificates") == ["150|150|150"]
    assert rows(nodes[0], "SELECT COUNT(*) - MAX(sequence) FROM log") == ["0"], "the audit log has a gap"


def test_a_revocation_at_one_node_reaches_the_gateways_of_the_other_in_under_a_second(nodes):
    serial = nodes[0].issue("pump")[2]["serial"]
    feed = Feed(nodes[1].run / "feed.sock")
    feed.until_synced()
    began = time.monotonic()
    assert revoke(nodes[0], serial, "key-compromise")
    assert feed.wait_for(serial) == 1
    assert time.monotonic() - began < 1 * PATIENCE


def crl(node):
    made = node.call("GET", "/crl/issuing.crl", socket_name="authority")
    return x509.load_der_x509_crl(made[2]) if made[0] == 200 else None


def numbers(c):
    return c.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_both_nodes_show_the_crl_that_one_of_them_made(nodes):
    serial = nodes[0].issue("pump")[2]["serial"]
    assert revoke(nodes[0], serial, "superseded")

    def same():
        one, two = crl(nodes[0]), crl(nodes[1])
        return one and two and numbers(one) == numbers(two) and two.get_revoked_certificate_by_serial_number(int(serial, 16))

    wait_for(same, 20)


def test_a_living_nodes_intent_is_left_alone_and_a_dead_ones_is_abandoned(nodes):
    """Rows as nodes at work and nodes that died leave them; a node that starts looks at what is left."""
    one, two = nodes
    serials = [one.issue(f"d{i}")[2]["serial"] for i in range(2)]
    for serial, node in zip(serials, (8, 9)):
        rows(one, f"UPDATE certificates SET status = 0, node = {node} WHERE serial = '{serial}'")
    living = subprocess.Popen(["psql", "-XAtq", "-d", one.url, "-c",
                               "SELECT pg_advisory_lock_shared(1668183410, 8), pg_sleep(600)"], stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: rows(one, "SELECT COUNT(*) FROM pg_locks WHERE classid = 1668183410 AND objid = 8") == ["1"], 10)
        two.kill("authority")
        two.start(["authority"])
        left = dict(r.split("|") for r in rows(one, "SELECT serial, status FROM certificates"))
        assert left == {serials[0]: "0", serials[1]: "3"}
    finally:
        living.kill()
        living.wait()
    rows(one, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = 1668183410 AND objid = 8")
    two.kill("authority")
    two.start(["authority"])
    assert set(rows(one, "SELECT status FROM certificates")) == {"3"}
