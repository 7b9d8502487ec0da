"""Fixtures of the end-to-end tests: a running system, and clients that we did not write.

    def test_it(up):            one system for all tests of a worker: do not stop, reconfigure or fill it
        answer = up.get("/?format=json").json()

    def test_mine(system):      a factory of systems of your own
        s = system(threads=2)   # s.state, s.https (port), s.ca, s.crt, s.key, s.p12 ...
        s.start()

The programs are those of $COUNTERSIGN_BUILD (default: build).
"""
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("COUNTERSIGN_BUILD", ROOT / "build")).resolve()
COMMAND = BUILD / "countersign"
LIBEXEC = BUILD / "libexec"
PASSPHRASE = "correct horse battery staple"

# A sanitized program is many times slower; limits of time are stretched by this.
def _sanitized():
    try:
        return b"__asan_init" in COMMAND.read_bytes() or b"__tsan_init" in COMMAND.read_bytes()
    except OSError:
        return False


SANITIZED = _sanitized()
PATIENCE = 5 if SANITIZED else 1


def wait_for(what, seconds=5.0, every=0.02, say="it did not happen"):
    """Calls what() until it returns something true, and returns that; fails after `seconds`."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        result = what()
        if result:
            return result
        if time.monotonic() > end:
            pytest.fail(f"{say} (waited {seconds * PATIENCE:.1f} s)")
        time.sleep(every)


def _port_range():
    """Below the range that the system takes client ports from; each worker of a test run has its own share."""
    first, last = (int(x) for x in os.environ.get("COUNTERSIGN_TEST_PORTS", "21600-24599").split("-"))
    share = (last - first + 1) // 4
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    return list(range(first + worker * share, first + (worker + 1) * share))


_ports = _port_range()
random.shuffle(_ports)


def free_port():
    """A loopback port that nobody has now and no other test of this worker gets."""
    while _ports:
        port = _ports.pop()
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    with socket.socket() as s:  # all used: whatever the system gives
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*args, check=None, input=None, timeout=60, env=None, cwd=None):
    """Runs a program; check=N asserts its exit code. Returns the CompletedProcess, output as text."""
    done = subprocess.run([str(a) for a in args], input=input, capture_output=True, text=True, errors="replace",
                          timeout=timeout * PATIENCE, env={**os.environ, **(env or {})}, cwd=cwd,
                          stdin=subprocess.DEVNULL if input is None else None)
    if check is not None:
        assert done.returncode == check, (
            f"{' '.join(map(str, args))}\nexit {done.returncode}, expected {check}\n{done.stdout}{done.stderr}")
    return done


def countersign(*args, **how):
    return run(COMMAND, *args, **how)


def die_with_parent():
    """A killed test run leaves nothing running."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Answer:
    """What curl got: status, headers (lower case), body; code is curl's exit code, err its words."""

    def __init__(self, done):
        self.code, self.err = done.returncode, done.stderr
        # run() reads text: CRLF has become LF
        head, _, self.body = done.stdout.partition("\n\n")
        while head.startswith(("HTTP/1.1 1", "HTTP/2 1")):
            head, _, self.body = self.body.partition("\n\n")
        lines = head.split("\n")
        self.status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else 0
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}

    def json(self):
        return json.loads(self.body)


class System:
    """One `countersign up` and its state folder."""

    def __init__(self, state=None, **options):
        self.own = state is None
        # short: a unix socket's path holds 107 bytes
        self.state = Path(state or tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
        if self.own:
            self.state.chmod(0o700)
            self.state = self.state / "s"
        self.https, self.http, self.metrics_port = free_port(), free_port(), free_port()
        self.options = options
        self.proc = None
        self.log_path = Path(str(self.state) + ".log")

    # ---- where things are ----
    @property
    def examples(self):
        return self.state / "examples"

    @property
    def ca(self):
        return self.examples / "ca.pem"

    @property
    def crt(self):
        return self.examples / "device.crt"

    @property
    def key(self):
        return self.examples / "device.key"

    @property
    def p12(self):
        return self.examples / "user.p12"

    @property
    def p12_password(self):
        return (self.examples / "user.p12.password").read_text().strip()

    def url(self, path="/"):
        return f"https://localhost:{self.https}{path}"

    def http_url(self, path="/"):
        return f"http://127.0.0.1:{self.http}{path}"

    # ---- life ----
    def argv(self):
        a = [str(COMMAND), "up", "--state", str(self.state), "--https", f"127.0.0.1:{self.https}",
             "--http", f"127.0.0.1:{self.http}", "--metrics", f"127.0.0.1:{self.metrics_port}"]
        for k, v in self.options.items():
            a += [f"--{k.replace('_', '-')}", str(v)]
        return a

    def start(self, wait=True, prefix=(), env=None):
        self.log_from = len(self.log())
        with open(self.log_path, "ab") as log, open(str(self.state) + ".out", "ab") as out:
            self.proc = subprocess.Popen([*prefix, *self.argv()], stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                         env={**os.environ, **(env or {})}, preexec_fn=die_with_parent)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        def ready():
            if self.proc.poll() is not None:
                pytest.fail(f"up ended with {self.proc.returncode} before it was ready:\n{self.log()[-4000:]}")
            return any(line == "ready" or line.endswith(": ready") for line in self.log()[self.log_from:].splitlines())
        wait_for(ready, seconds, say=f"up did not say ready:\n{self.log()[-4000:]}")

    def stop(self, expect=0):
        """SIGTERM; asserts the exit code. Nothing is left running."""
        if self.proc is None or self.proc.poll() is not None:
            return
        self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(20 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            pytest.fail(f"up did not stop on SIGTERM:\n{self.log()[-3000:]}")
        bad = [ln for ln in self.log().splitlines() if "Sanitizer" in ln or "runtime error" in ln]
        assert not bad, self.log()[self.log().index(bad[0]):][:12000]
        if expect is not None:
            assert code == expect, f"up ended with {code}:\n{self.log()[-3000:]}"

    def close(self):
        try:
            self.stop(expect=None)
        finally:
            if self.own:
                shutil.rmtree(self.state.parent, ignore_errors=True)

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def out(self):
        return Path(str(self.state) + ".out").read_text(errors="replace")

    def events(self, name=None):
        """The log's events, newest last, as dictionaries (JSON lines and key=value lines alike)."""
        found = []
        for line in self.log().splitlines():
            event = parse_event(line)
            if event and (name is None or event.get("event") == name):
                found.append(event)
        return found

    def pids(self):
        """name -> pid of the processes behind `up`."""
        found = {}
        for p in Path("/proc").iterdir():
            if not p.name.isdigit():
                continue
            try:
                ppid = int((p / "stat").read_text().rsplit(")", 1)[1].split()[1])
                exe = (p / "cmdline").read_bytes().split(b"\0")[0].decode()
            except (OSError, IndexError, ValueError):
                continue
            if ppid == self.proc.pid:
                found[os.path.basename(exe).replace("countersign-", "")] = int(p.name)
        return found

    # ---- using it ----
    def run(self, *args, **how):
        return countersign(*args, "--state", self.state, **how)

    def issue(self, kind, name, *more, out=None, check=0):
        """Issues into a new folder; returns Issued."""
        out = Path(out or tempfile.mkdtemp(prefix="issued-", dir=self.state.parent))
        done = self.run("issue", kind, name, "--out", out, *more, check=check)
        return Issued(out, name, done)

    def revoke(self, name, *more, check=0):
        return self.run("revoke", name, *more, check=check)

    def curl(self, path="/", *more, crt=None, key=None, cert=True, timeout=15):
        args = ["curl", "-sS", "-i", "--max-time", timeout * PATIENCE, "--cacert", self.ca]
        if cert:
            args += ["--cert", crt or self.crt, "--key", key or self.key]
        return Answer(run(*args, *more, self.url(path), timeout=timeout + 10))

    def get(self, path="/", **how):
        a = self.curl(path, **how)
        assert a.code == 0, a.err
        return a

    def context(self, crt=None, key=None, version=None):
        """A Python TLS client context with the device's identity (or another's)."""
        c = ssl.create_default_context(cafile=str(self.ca))
        if crt is not False:
            c.load_cert_chain(str(crt or self.crt), str(key or self.key))
        if version:
            c.minimum_version = c.maximum_version = version
        return c

    def connect(self, crt=None, key=None, version=None, **how):
        raw = socket.create_connection(("127.0.0.1", self.https), timeout=10 * PATIENCE)
        return self.context(crt, key, version).wrap_socket(raw, server_hostname="localhost", **how)

    def metrics(self):
        """name{labels} -> value."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10 * PATIENCE) as r:
            text = r.read().decode()
        return {k: float(v) for k, _, v in (line.rpartition(" ") for line in text.splitlines() if line[:1] not in ("#", ""))}

    def metric(self, name, **labels):
        """The sum of the samples of a family (its name without countersign_) that have these labels."""
        total = 0.0
        for k, v in self.metrics().items():
            if k.split("{")[0] == "countersign_" + name and all(f'{l}="{x}"' in k for l, x in labels.items()):
                total += v
        return total

    def status(self):
        return json.loads(self.run("status", "--json", check=0).stdout)

    def crl(self, name="issuing"):
        with urllib.request.urlopen(self.http_url(f"/crl/{name}.crl"), timeout=10 * PATIENCE) as r:
            return r.read()


class Issued:
    def __init__(self, out, name, done):
        self.dir, self.name, self.done = out, name, done
        self.crt, self.key, self.ca = out / f"{name}.crt", out / f"{name}.key", out / "ca.pem"


def parse_event(line):
    if line.startswith("{"):
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            return None
    import shlex
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    event = dict(w.split("=", 1) for w in words if "=" in w)
    bare = [w for w in words if "=" not in w]
    if bare:
        event.setdefault("words", bare)
        event.setdefault("event", next((w for w in bare if "-" in w or w.isalpha() and w.islower()
                                        and w not in ("info", "warn", "error", "debug")), bare[-1]))
    return event if event else None


@pytest.fixture
def system():
    """A factory of systems of the test's own; all are stopped at its end."""
    made = []

    def make(state=None, **options):
        s = System(state, **options)
        made.append(s)
        return s
    yield make
    for s in made:
        s.close()


@pytest.fixture(scope="session")
def up():
    """One running system for all tests that only use it."""
    s = System()
    s.start()
    yield s
    s.stop()
    s.close()


@pytest.fixture
def work():
    """A short-named private folder."""
    d = Path(tempfile.mkdtemp(prefix="cw-", dir="/tmp"))
    yield d
    shutil.rmtree(d, ignore_errors=True)


@pytest.fixture
def passphrase_file(work):
    f = work / "passphrase"
    f.write_text(PASSPHRASE + "\n")
    f.chmod(0o600)
    return f


class SmallDisk:
    """A file system of two megabytes that can be filled."""

    def __init__(self, path):
        self.path, self.filler = path, path / "filler"

    def fill(self, left=0):
        """Until `left` bytes are free."""
        try:
            with open(self.filler, "ab") as f:
                while True:
                    f.write(b"x" * 4096)
                    f.flush()
        except OSError:
            pass
        if left and self.filler.exists():
            os.truncate(self.filler, max(0, self.filler.stat().st_size // 4096 * 4096 - left))

    def empty(self):
        self.filler.unlink(missing_ok=True)


@pytest.fixture
def small_disk(work):
    path = work / "disk"
    path.mkdir()
    if os.getuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path).returncode != 0:
        pytest.skip("a small disk needs root and the right to mount")
    yield SmallDisk(path)
    run("umount", "-l", path)


@pytest.fixture
def as_nobody():
    """A prefix that runs a program as somebody without rights."""
    if os.getuid() != 0 or run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true").returncode != 0:
        pytest.skip("changing the user needs root and setpriv")
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
