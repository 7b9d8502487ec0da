"""Reloads under load by programs that we did not write: wrk keeps its connections, wrk and `openssl s_time` make new ones, and nobody notices
that certificates, anchors, CRLs, routes and limits are swapped meanwhile, nor that a bad configuration is refused."""
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest
from conftest import PATIENCE, die_with_parent, wait_for
from gateway import CA, Gateway
from test_gateway_sites import site

SECONDS = 4


def start(*command):
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent)


def sites(n):
    crl = "    client_crl: @FOLDER@/crl.pem\n"
    route = f"    routes:\n      - path: /only-in-{n}\n        allow: [{{name: nobody}}]\n      - path: /\n"
    return site("'*'", "require", "ca1", crl + route) + site("localhost", "off", None, route)


@pytest.mark.skipif(not shutil.which("wrk"), reason="no wrk here")
def test_nobody_notices_reloads(tmp_path):
    g = Gateway(sites(0), more="limits: {connections_per_address: 1000}\n")
    ca = CA(g.folder, "ca1")
    one, lost = ca.client("one"), ca.client("lost")
    ca.crl(g.folder / "crl.pem", number=1)
    try:
        g.start()
        # wrk has no certificate: the site that asks for none; s_time names no site
        loads = [start("wrk", "-t1", "-c6", f"-d{SECONDS}s", "--timeout", f"{10 * PATIENCE}s", *more, f"https://localhost:{g.https}/")
                  for more in ([], ["-H", "Connection: close"])]
        loads.append(start("openssl", "s_time", "-connect", f"127.0.0.1:{g.https}", "-cert", one.crt, "-key", one.key, "-CAfile", g.root.path,
                           "-www", "/", "-new", "-time", SECONDS))
        ends, n = time.monotonic() + SECONDS - 1, 0
        while time.monotonic() < ends:
            n += 1
            ca.crl(g.folder / "crl.pem", lost, number=n + 1)
            g.server = g.root.server("server", "localhost", "a.test") if n % 4 == 0 else g.server
            if n % 3 == 0:
                g.conf.write_text("sites: [{name: x")
                g.reload("reload-failed")
            else:
                g.write(sites(n))
                g.reload("reloaded")
        kept, fresh, mutual = [p.communicate(timeout=60 * PATIENCE)[0] for p in loads]
        for said in (kept, fresh):
            assert "Socket errors" not in said and "Non-2xx" not in said, said
            assert int(re.search(r"(\d+) requests in", said)[1]) > 20, said
        assert "ERROR" not in mutual and int(re.search(r"(\d+) connections in \d+ real", mutual)[1]) > 5, mutual
        assert n >= 3
        # at their time's end the loads leave in the middle of what they were about
        refused = [e for e in g.events("handshake-refused") if e["reason"] != "tls-peer-closed"]
        assert not refused and not g.events("connection-closed"), (refused, g.events("connection-closed"))[:3]
    finally:
        g.close()


def test_overload_lets_new_ones_go_and_says_so(tmp_path):
    """More wait to be accepted than can be served in time: some are let go unserved, who is in keeps its service, and the metrics count."""
    g = Gateway(site("a.test", "require", "ca1"), threads=1)
    one = CA(g.folder, "ca1").client("one")

    def count():
        with urllib.request.urlopen(f"http://127.0.0.1:{g.metrics_port}/metrics", timeout=10 * PATIENCE) as r:
            said = re.search(rb'countersign_connections_refused_total\{reason="overloaded"\} (\d+)', r.read())
        return int(said[1]) if said else 0
    try:
        g.start()
        with g.connect(g.context(one)) as kept, contextlib.ExitStack() as crowd:
            ask = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
            kept.sendall(ask)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200")
            assert count() == 0
            g.signal(signal.SIGSTOP)
            try:
                for _ in range(1400):
                    s = crowd.enter_context(socket.socket())
                    s.setblocking(False)
                    s.connect_ex(("127.0.0.1", g.https))
            finally:
                g.signal(signal.SIGCONT)
            kept.sendall(ask)
            assert kept.recv(65536).startswith(b"HTTP/1.1 200")
            assert wait_for(count, 10) >= 300
            lines = g.events("connection-refused")
            assert lines and lines[0]["reason"] == "overloaded" and len(lines) < 100, "one line for each would be a flood of its own"
        wait_for(lambda: g.visit(g.context(one)).status == 200, 10)
    finally:
        g.close()
