"""Start, stop, start again; processes that die; reloads under load; what status and metrics say."""
import concurrent.futures
import os
import random
import signal
import stat
import threading
import time

import pytest
from clients import attempt
from conftest import PATIENCE, run, wait_for


def test_a_first_start_leaves_what_it_promises_and_a_second_goes_on(system):
    s = system()
    s.start()
    names = {p.name for p in s.examples.iterdir()}
    assert {"ca.pem", "device.crt", "device.key", "user.p12", "user.p12.password"} <= names
    assert stat.S_IMODE(s.state.stat().st_mode) == 0o700
    for private in ("ca/issuing.key", "ca/root.key", "gateway/server.key", "examples/device.key", "examples/user.p12"):
        assert stat.S_IMODE((s.state / private).stat().st_mode) == 0o600, private
    said = s.out() + s.log()
    assert "curl" in said and str(s.https) in said
    root, device = s.ca.read_bytes(), s.crt.read_bytes()
    assert s.get("/").status == 200
    s.stop(expect=0)
    s.start()
    assert (s.ca.read_bytes(), s.crt.read_bytes()) == (root, device)
    assert s.get("/").status == 200


def test_the_curl_command_of_the_summary_works(up):
    said = up.out() + "\n" + up.log()
    line = next(ln.strip() for ln in said.splitlines() if ln.strip().startswith("curl "))
    done = run("sh", "-c", line + " -sS")
    assert done.returncode == 0, line + "\n" + done.stderr


def test_processes_are_separate_and_hold_no_key_that_is_not_theirs(up):
    pids = up.pids()
    assert {"signer", "authority", "gateway"} <= set(pids), pids
    key = (up.state / "ca/issuing.key").read_text()
    import base64
    der = base64.b64decode("".join(key.splitlines()[1:-1]))
    secret = der[36:68] if len(der) < 200 else der[60:100]
    for name in ("authority", "gateway"):
        if not os.access(f"/proc/{pids[name]}/mem", os.R_OK):
            pytest.skip("another process's memory may not be read here")
        assert not memory_holds(pids[name], secret), f"{name} holds the issuing key"


def memory_holds(pid, needle):
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
            for line in maps:
                bounds, mode = line.split()[:2]
                if "r" not in mode or "[v" in line:
                    continue
                a, b = (int(x, 16) for x in bounds.split("-"))
                if b - a > 512 << 20:
                    continue
                try:
                    mem.seek(a)
                    if needle in mem.read(b - a):
                        return True
                except (OSError, ValueError):
                    continue
    except PermissionError:
        pytest.skip("another process's memory may not be read here")
    return False


@pytest.mark.parametrize("name", ["signer", "authority", "gateway", "page"])
def test_what_is_killed_comes_back(system, name):
    s = system()
    s.start()
    pid = s.pids()[name]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: s.pids().get(name, pid) != pid, 10, say=f"{name} was not started again")
    wait_for(lambda: attempt(s) == ("ok", 200), 10, every=0.1, say="no service after it")
    wait_for(lambda: s.run("issue", "device", f"after-{name}", "--out", s.state.parent, "--force").returncode == 0, 10,
             every=0.2, say="nothing is issued after it")
    s.stop(expect=0)


@pytest.mark.slow
def test_killed_under_load_nothing_issued_is_lost(system):
    """Sixteen kills of random processes while certificates are issued: all that were handed out are listed, once."""
    s = system()
    s.start()
    handed, stop = {}, threading.Event()

    def issue(worker):
        n = 0
        while not stop.is_set():
            n += 1
            name = f"w{worker}-{n}"
            i = s.issue("device", name, check=None)
            if i.done.returncode == 0:
                handed[name] = run("openssl", "x509", "-noout", "-serial", "-in", i.crt).stdout.strip().split("=")[1].lower()
    threads = [threading.Thread(target=issue, args=(w,)) for w in range(2)]
    for t in threads:
        t.start()
    for _ in range(16):
        time.sleep(random.uniform(0.1, 0.5))
        pids = s.pids()
        name = random.choice(["signer", "authority", "gateway"])
        if name in pids:
            os.kill(pids[name], signal.SIGKILL)
    time.sleep(0.5)
    stop.set()
    for t in threads:
        t.join()
    assert s.proc.poll() is None, "up itself ended"
    wait_for(lambda: s.run("list").returncode == 0, 10, every=0.2)
    assert handed, "nothing was issued at all:\n" + s.log()[-2000:]
    listed = s.run("list", "--json", "--all", check=None)
    if listed.returncode != 0:
        listed = s.run("list", "--json", check=0)
    for name, serial in handed.items():
        assert serial in listed.stdout.lower().replace(":", ""), f"{name} was handed out and is not listed"
    assert len(set(handed.values())) == len(handed)
    wait_for(lambda: attempt(s) == ("ok", 200), 10, every=0.1)


@pytest.mark.slow
def test_up_killed_whole_recovers(system):
    """kill -9 of `up` itself, ten times: the children go with it, the next start goes on."""
    s = system()
    s.start()
    for i in range(10):
        s.issue("device", f"k{i}")
        children = list(s.pids().values())
        s.proc.kill()
        s.proc.wait()
        wait_for(lambda: not any(alive(p) for p in children), 10, say="children outlive up")
        s.start()
    listed = s.run("list", "--json", check=0).stdout
    assert all(f'"k{i}"' in listed for i in range(10))


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_reload_under_load_drops_nothing(system):
    s = system(threads=2)
    s.start()
    failed, done, stop = [], [0], threading.Event()

    def ask():
        while not stop.is_set():
            verdict = attempt(s)
            done[0] += 1
            if verdict != ("ok", 200):
                failed.append(verdict)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        for _ in range(8):
            time.sleep(0.25)
            s.proc.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        stop.set()
    assert done[0] > 20
    assert not failed, f"{len(failed)} of {done[0]} failed: {failed[:5]}"
    assert s.proc.poll() is None
    s.stop(expect=0)


def test_a_bad_reload_keeps_what_runs(system, work):
    conf = work / "c.yaml"
    conf.write_text("log:\n  access: true\n")
    s = system(config=conf)
    s.start()
    conf.write_text("log:\n  acess: true\n")
    at = len(s.log())
    s.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: "config-invalid" in s.log()[at:], 10, say=f"the refusal is not said: {s.log()[at:]}")
    assert "acess" in s.log()[at:]
    assert s.get("/").status == 200


def test_stopping_lets_a_request_in_progress_end(system):
    import http.server

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(1)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"done")

        def log_message(self, *a):
            pass
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    s = system(upstream=f"http://127.0.0.1:{upstream.server_address[1]}")
    s.start()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(s.curl, "/")
        time.sleep(0.5)
        s.stop(expect=0)
        assert answer.result().body == "done", answer.result().err
    upstream.shutdown()


def test_an_upstream_that_is_not_there_is_a_502(system):
    s = system(upstream="http://127.0.0.1:9")
    s.start()
    assert s.curl("/").status == 502


def test_status_counts(up):
    before = up.status()
    up.issue("device", "counted-1")
    up.get("/")
    text = up.run("status", check=0).stdout
    for word in ("signer", "authority", "gateway", "device"):
        assert word in text
    after = up.status()
    assert json_find(after, "device") == json_find(before, "device") + 1


def json_find(x, key):
    if isinstance(x, dict):
        if isinstance(x.get(key), (int, float)):
            return x[key]
        for v in x.values():
            if (found := json_find(v, key)) is not None:
                return found
    return None


def test_status_without_up_says_what_does_not_run(system, work, passphrase_file):
    from conftest import countersign
    countersign("init", "X", "--state", work / "s", "--passphrase-file", passphrase_file, check=0)
    done = countersign("status", "--state", work / "s")
    assert done.returncode in (0, 1)
    assert "not running" in done.stdout + done.stderr or "authority-unreachable" in done.stderr, done.stdout + done.stderr


def test_metrics_are_prometheus_text(up):
    import urllib.request
    with urllib.request.urlopen(f"http://127.0.0.1:{up.metrics_port}/metrics") as r:
        assert r.headers["Content-Type"].startswith("text/plain")
        lines = r.read().decode().splitlines()
    families = {ln.split()[2] for ln in lines if ln.startswith("# TYPE ")}
    assert "countersign_handshakes_total" in families
    for ln in lines:
        if ln and not ln.startswith("#"):
            assert ln.startswith("countersign_"), ln
            float(ln.rpartition(" ")[2])
    before = up.metric("handshakes_total")
    up.get("/")
    assert up.metric("handshakes_total") == before + 1


assert PATIENCE
