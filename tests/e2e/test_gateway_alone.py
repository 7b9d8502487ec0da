"""countersign gateway: the front door alone, with five lines of configuration, before a service that we did not write, for the clients
of a CA that is not ours. And countersign authority: a CA without a gateway, and a gateway that finds it."""
import os
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path

import mint
import pytest
from conftest import COMMAND, PATIENCE, countersign, die_with_parent, free_port, run, wait_for
from gateway import CA, Client

FIVE = """https: 127.0.0.1:%d
sites:
  - {name: "*", certificate: server.crt, key: server.key, client_ca: clients.pem, client_crl: clients.crl}
upstream: http://127.0.0.1:%d
metrics: "off"
"""


class Alone:
    """A folder with the files that an operator has, and a Python http.server behind."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
        self.state = self.folder / "state"
        self.root, self.ca = CA(self.folder, "servers"), CA(self.folder, "clients")
        server = self.root.server("server", "localhost")
        assert Path(server.crt) == self.folder / "server.crt"
        self.good, self.bad = self.ca.client("good"), self.ca.client("bad")
        self.ca.crl(self.folder / "clients.crl", self.bad)
        self.port, self.behind = free_port(), free_port()
        (self.folder / "www").mkdir()
        (self.folder / "www/hello.txt").write_text("hello from behind\n")
        self.service = subprocess.Popen(["/usr/bin/python3", "-m", "http.server", str(self.behind), "--bind", "127.0.0.1", "-d", self.folder / "www"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        self.conf = self.folder / "gateway.yaml"
        self.conf.write_text(FIVE % (self.port, self.behind))
        self.err, self.proc = self.folder / "stderr", None

    def start(self):
        with open(self.err, "ab") as err:
            self.proc = subprocess.Popen([str(COMMAND), "gateway", "-c", str(self.conf)], stdin=subprocess.DEVNULL, stderr=err,
                                         env={**os.environ, "COUNTERSIGN_STATE": str(self.state)}, preexec_fn=die_with_parent)
        wait_for(lambda: "ready\n" in self.err.read_text() or self.proc.poll() is not None, 10)
        assert self.proc.poll() is None, self.err.read_text()
        return self

    def curl(self, client=None, path="/hello.txt"):
        cert = ["--cert", client.crt, "--key", client.key] if client else []
        return run("curl", "-sS", "--cacert", self.root.path, *cert, f"https://localhost:{self.port}{path}")

    def close(self):
        for p in (self.proc, self.service):
            if p and p.poll() is None:
                p.terminate()
                p.wait(15 * PATIENCE)
        run("rm", "-r", self.folder)


@pytest.fixture
def alone():
    a = Alone()
    yield a
    a.close()


def test_five_lines_before_a_service(alone):
    wait_for(lambda: run("curl", "-s", f"http://127.0.0.1:{alone.behind}/hello.txt").returncode == 0, 10)
    alone.start()
    assert len(alone.conf.read_text().splitlines()) == 5
    assert alone.curl(alone.good).stdout == "hello from behind\n"
    for nobody in (None, alone.bad, CA(alone.folder, "other").client("stranger")):
        assert alone.curl(nobody).returncode != 0
    reasons = alone.err.read_text()
    assert "certificate-required" in reasons and "revoked" in reasons
    # the list is followed: who is on the next one is out
    alone.ca.crl(alone.folder / "clients.crl", alone.bad, alone.good, number=2)
    wait_for(lambda: alone.curl(alone.good).returncode != 0, 5, every=0.1)
    # it is the process that was started, and drains when told to
    alone.proc.send_signal(signal.SIGTERM)
    assert alone.proc.wait(15 * PATIENCE) == 0


def test_reload_and_top_find_it(alone):
    alone.start()
    env = {"COUNTERSIGN_STATE": str(alone.state)}
    assert "reloaded" in countersign("reload", "-c", alone.conf, "--json", check=0, env=env).stdout
    alone.conf.write_text(alone.conf.read_text().replace("clients.pem", "missing.pem"))
    failed = countersign("reload", "--json", check=1, env=env)
    assert "missing.pem" in failed.stdout + failed.stderr
    countersign("top", "--once", check=0, env=env)


@pytest.mark.parametrize("spoil,said", [
    (lambda a: (a.folder / "clients.pem").write_text("no PEM"), "clients.pem"),
    (lambda a: (a.folder / "clients.pem").unlink(), "clients.pem"),
    (lambda a: (a.folder / "clients.crl").write_bytes(b"\x30\x03\x02\x01\x00"), "clients.crl"),
    (lambda a: (a.folder / "server.key").write_bytes(Path(a.good.key).read_bytes()), "server.key"),
    (lambda a: (a.folder / "server.key").chmod(0o644), "server.key"),
    (lambda a: a.conf.write_text(a.conf.read_text().replace("client_ca", "client_cas")), "gateway.yaml:3"),
    (lambda a: a.conf.write_text(a.conf.read_text().replace("upstream: http", "#upstream: http")), "upstream"),
    (lambda a: a.conf.write_text(a.conf.read_text().replace("upstream: http", "upstream: gopher")), "gateway.yaml:4"),
], ids=["anchors", "no anchors", "CRL", "key of another", "open key", "unknown key", "no upstream", "odd upstream"])
def test_check_says_what_would_be_refused(alone, spoil, said):
    """W12: what is wrong is said with its file, before and at the start; nothing is served instead."""
    env = {"COUNTERSIGN_STATE": str(alone.state)}
    good = countersign("gateway", "-c", alone.conf, "--check", check=0, env=env)
    assert "valid" in good.stdout and not alone.state.exists(), "a check leaves nothing"
    spoil(alone)
    checked = countersign("gateway", "-c", alone.conf, "--check", env=env)
    started = countersign("gateway", "-c", alone.conf, env=env, timeout=20)
    for done in (checked, started):
        assert done.returncode in (1, 2) and said in done.stderr, done


def test_authority_and_gateway_apart(system):
    """The two halves of `up`, each started for itself, on one state folder."""
    s = system()
    where = ["--state", str(s.state)]
    log = Path(str(s.state) + ".log")
    procs = []

    def start(*args):
        at = len(log.read_text()) if log.exists() else 0
        with open(log, "ab") as err:
            procs.append(subprocess.Popen([str(COMMAND), *map(str, args)], stdin=subprocess.DEVNULL, stderr=err, stdout=subprocess.DEVNULL,
                                          preexec_fn=die_with_parent))
        wait_for(lambda: "ready\n" in log.read_text()[at:] or procs[-1].poll() is not None, 30)
        assert procs[-1].poll() is None, log.read_text()[at:]
    try:
        start("authority", *where)
        names = {p.name for p in (s.state / "run").iterdir()}
        assert "gateway.sock" not in names and "page.sock" not in names and {"authority.sock", "control.sock"} <= names
        countersign("issue", "device", "pump-1", "--out", s.state.parent / "out", *where, check=0)
        behind, port = free_port(), free_port()
        procs.append(subprocess.Popen(["/usr/bin/python3", "-m", "http.server", str(behind), "--bind", "127.0.0.1", "-d", "/usr/share/doc/curl"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent))
        start("gateway", *where, "--https", f"127.0.0.1:{port}", "--metrics", "off", "--upstream", f"http://127.0.0.1:{behind}")
        pump = Client(s.state.parent / "out/pump-1.crt", s.state.parent / "out/pump-1.key")

        def curl():
            return run("curl", "-sS", "--cacert", s.state.parent / "out/ca.pem", "--cert", pump.crt, "--key", pump.key, f"https://localhost:{port}/")
        wait_for(lambda: curl().returncode == 0, 10, every=0.1, say=curl)
        countersign("revoke", "pump-1", *where, check=0)
        wait_for(lambda: curl().returncode != 0, 2, every=0.05)
    finally:
        for p in reversed(procs):
            p.terminate()
            assert p.wait(30 * PATIENCE) in (0, -signal.SIGTERM)


assert mint and ssl
