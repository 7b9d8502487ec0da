"""A real authority and two gateways of it, apart: the authority makes the keys that seal sessions, keeps them in its store, renews them,
and tells both."""
import contextlib
import signal
import socket
import sqlite3
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from conftest import COMMAND, LIBEXEC, PATIENCE, countersign, die_with_parent, free_port, wait_for

HOUR = 3600 * 1000000


class Nodes:
    def __init__(self, s):
        self.s, self.where = s, ["--state", str(s.state)]
        self.log = Path(str(s.state) + ".log")
        self.procs = {}
        s.state.mkdir(mode=0o700)
        (s.state / "countersign.yaml").write_text("ticket_keys: authority\nmetrics: \"off\"\nhttp: \"off\"\nupstream: http://127.0.0.1:%d\n" % self.service())
        self.start_authority()
        countersign("issue", "device", "pump-1", "--out", s.state.parent / "out", *self.where, check=0)
        self.ports = [free_port(), free_port()]
        for i, port in enumerate(self.ports):
            self.start(f"gateway {i}", str(LIBEXEC / "countersign-gateway"), "--alone", *self.where, "--https", f"127.0.0.1:{port}")

    def service(self):
        port = free_port()
        self.procs["service"] = subprocess.Popen(["/usr/bin/python3", "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", "/usr/share/doc/curl"],
                                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        return port

    def start(self, name, *argv):
        at = len(self.text())
        with open(self.log, "ab") as err:
            p = self.procs[name] = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stderr=err, stdout=subprocess.DEVNULL,
                                                    preexec_fn=die_with_parent)
        wait_for(lambda: "ready\n" in self.text()[at:] or p.poll() is not None, 30)
        assert p.poll() is None, self.text()[at:]

    def start_authority(self):
        self.start("authority", COMMAND, "authority", *self.where)

    def stop(self, name):
        p = self.procs.pop(name)
        p.terminate()
        assert p.wait(30 * PATIENCE) in (0, -signal.SIGTERM)

    def text(self):
        return self.log.read_text() if self.log.exists() else ""

    def close(self):
        for name in reversed(list(self.procs)):
            self.stop(name)

    def context(self, version):
        out = self.s.state.parent / "out"
        c = ssl.create_default_context(cafile=str(out / "ca.pem"))
        c.load_cert_chain(str(out / "pump-1.crt"), str(out / "pump-1.key"))
        c.minimum_version = c.maximum_version = version
        return c

    def visit(self, at, context, session=None):
        """Status, whether it was resumed, the next session."""
        try:
            with socket.create_connection(("127.0.0.1", self.ports[at]), timeout=10 * PATIENCE) as raw, \
                    context.wrap_socket(raw, server_hostname="localhost", session=session) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                data = b""
                while more := s.recv(65536):
                    data += more
                return int(data.split()[1]) if data else 0, s.session_reused, s.session
        except (ssl.SSLError, ConnectionError):
            return 0, False, None

    @contextlib.contextmanager
    def database(self):
        """With the authority away, since the store is its own."""
        self.stop("authority")
        db = sqlite3.connect(self.s.state / "authority/store.db")
        with db:
            yield db
        db.close()
        self.start_authority()


@pytest.fixture
def nodes(system):
    n = Nodes(system())
    yield n
    n.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_keys_of_the_authority(nodes, version):
    context = nodes.context(version)
    wait_for(lambda: nodes.visit(0, context)[0] == 200, 10)
    _, reused, session = nodes.visit(0, context)
    assert not reused
    assert nodes.visit(1, context, session)[:2] == (200, True), "what one sealed the other opens"
    # hours later: a new key seals, the one before still opens
    with nodes.database() as db:
        assert len(db.execute("SELECT sealing FROM ticket_keys").fetchall()) == 1
        db.execute("UPDATE ticket_keys SET made_at = made_at - ?", (5 * HOUR // 2,))
    wait_for(lambda: nodes.visit(0, context, nodes.visit(1, context)[2])[1], 10, every=0.3)
    wait_for(lambda: nodes.visit(1, context, session)[:2] == (200, True), 10, every=0.3)
    time.sleep(1)  # until both have the new key
    fresh = nodes.visit(0, context)[2]
    # and hours later again: nobody has the first one any more
    with nodes.database() as db:
        rows = db.execute("SELECT id, length(sealing) FROM ticket_keys ORDER BY id").fetchall()
        assert rows == [(1, 80), (2, 80)]
        db.execute("UPDATE ticket_keys SET made_at = made_at - ? WHERE id = 1", (HOUR,))
        db.execute("UPDATE ticket_keys SET made_at = made_at - ? WHERE id = 2", (5 * HOUR // 2,))
    wait_for(lambda: nodes.visit(1, context, session)[:2] == (200, False), 10, every=0.3)
    assert nodes.visit(1, context, fresh)[:2] == (200, True)
    # revoked: at both, with or without a session
    countersign("revoke", "pump-1", *nodes.where, check=0)
    wait_for(lambda: nodes.visit(0, context, fresh)[0] == 0 and nodes.visit(1, context, fresh)[0] == 0, 5, every=0.1)


def test_no_keys_where_none_are_asked_for(system):
    s = system()
    s.start()
    db = sqlite3.connect(f"file:{s.state}/authority/store.db?mode=ro", uri=True)
    assert db.execute("SELECT COUNT(*) FROM ticket_keys").fetchone() == (0,)
    db.close()
