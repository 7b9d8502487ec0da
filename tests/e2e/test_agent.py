"""The agent: an identity enrolled, kept renewed, installed and proven; and what it does when that goes wrong."""
import http.server
import os
import signal
import socket
import ssl
import threading

import pytest
from acme_kit import site  # noqa: F401
from agent_kit import AGENT, Agent
from conftest import BUILD, PATIENCE, ROOT, SANITIZED, countersign, run
from test_crash import has_fault_points
from test_enroll_est import token


@pytest.fixture(scope="module")
def names():
    count = iter(range(1000))
    return lambda: f"agent-{os.getpid()}-{next(count)}"


@pytest.fixture
def agent(up, work, names):
    made = []

    def make(**more):
        made.append(Agent(up, work, names(), **more))
        return made[-1]
    yield make
    for a in made:
        if a.proc is not None and a.proc.poll() is None:
            a.proc.kill()
            a.proc.wait()


# ---- how it should be ----

def test_enrolls_installs_and_renews_with_a_new_key(agent):
    a = agent()
    a.identity["command"] = ["/bin/sh", "-c", f"echo $COUNTERSIGN_NAME >> {a.work}/told"]
    a.identity["files"] += [{"path": "out/all.pem", "content": "combined"},
                            {"path": "out/leaf.pem", "content": "certificate", "mode": "0640"}]
    a.write()
    assert "no certificate" not in a.once().stdout
    first, key = a.pair(), a.key.read_bytes()
    assert (a.out / "all.pem").stat().st_mode & 0o777 == 0o600 and b"PRIVATE KEY" in (a.out / "all.pem").read_bytes()
    assert (a.out / "leaf.pem").stat().st_mode & 0o777 == 0o640
    assert (a.state.stat().st_mode & 0o777, a.state.joinpath(a.name).stat().st_mode & 0o777) == (0o700, 0o700)
    a.once()  # nothing is due
    assert a.pair() == first and (a.work / "told").read_text() == a.name + "\n"
    a.once("--force")
    second = a.pair()
    assert second != first and a.key.read_bytes() != key and (a.work / "told").read_text() == 2 * (a.name + "\n")
    assert a.serial(a.state / a.name / "current" / "cert.pem") == second
    s = a.status(check=0)
    assert s["good"] and s["renewals"] == 2 and s["step"] == "idle" and s["rung"] == "renew" and s["reason"] is None
    assert s["seconds_left"] > 0 and s["due"] < s["not_after"]
    prom = (a.work / "agent.prom").read_text()
    assert f'countersign_agent_renewals_total{{identity="{a.name}"}} 2\n' in prom
    text = a.call("status", check=0).stdout
    assert a.name in text and "left)" in text and "renews at" in text


def test_the_same_key_where_it_is_asked_for(agent):
    a = agent(reuse_key=True)
    a.once()
    first, key = a.pair(), a.key.read_bytes()
    a.once("--force")
    assert a.pair() != first and a.key.read_bytes() == key


@pytest.mark.parametrize("path", ["/scep", "/.well-known/cmp"])
def test_other_protocols(agent, path):
    a = agent()
    a.identity["url"] = a.up.url(path)
    a.identity["kind"] = "device"
    a.write()
    a.once()
    first = a.pair()
    a.once("--force")
    assert a.pair() != first


def test_acme(site, work):
    """A server's names, proven by a web server of the agent's own; the account, bound by a token, renews."""
    a = Agent(site.system, work, "gw.agent.example", protocol="acme", url=site.url() + "/directory", kind="server",
              listen=f"127.0.0.1:{site.http}", secret=site.token("gw.agent.example")["token"])
    a.once()
    first = a.pair()
    a.once("--force")
    assert a.pair() != first and (a.state / a.name / "account.key").stat().st_mode & 0o777 == 0o600


def test_a_servers_certificate_does_not_renew_itself_over_est(agent, up):
    a = agent(kind="server")
    (a.work / "token").write_text(token(up, a.name, "server"))
    a.once()
    first = a.pair()
    (a.work / "token").unlink()
    a.once("--force", check=1)
    assert a.pair() == first and a.status()["reason"] == "eku-missing-client-auth"


def test_p12_for_programs_that_want_one(agent):
    a = agent()
    (a.work / "pass").write_text("a password of some length\n")
    (a.work / "pass").chmod(0o600)
    a.identity["files"].append({"path": "out/id.p12", "content": "p12", "password_file": "pass"})
    a.write()
    a.once()
    run("openssl", "pkcs12", "-in", a.out / "id.p12", "-passin", f"file:{a.work / 'pass'}", "-nokeys", check=0)


def test_a_manufacturers_certificate_is_enough(agent, up):
    """EST takes any certificate of the authority's that may enroll; without one the ladder goes on to the token."""
    a = agent(manufacturer_certificate=str(up.crt), manufacturer_key=str(up.key))
    done = a.once(check=None)
    assert done.returncode == 0, done.stdout + done.stderr
    a.pair()


# ---- the daemon ----

def test_daemon_tells_its_manager_and_renews_when_told(agent):
    a = agent()
    path = str(a.work / "notify")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    manager.settimeout(20 * PATIENCE)
    a.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
    heard = b""
    while b"READY=1" not in heard:
        heard += manager.recv(4096)
    assert b"STATUS=1 identity, 0 in trouble" in heard
    first = a.pair()
    assert b"WATCHDOG=1" in manager.recv(4096) + manager.recv(4096)
    assert "another agent" in a.once(check=1).stderr  # one at a time
    a.proc.send_signal(signal.SIGUSR1)
    a.said("renewed", 2)
    assert a.pair() != first
    a.config.write_text("nonsense: 1\n")
    a.proc.send_signal(signal.SIGHUP)
    a.said("reload-refused")
    a.write()
    a.proc.send_signal(signal.SIGHUP)
    a.said("reloaded")
    a.stop()
    rest = b""
    manager.settimeout(1)
    while b"STOPPING=1" not in rest:
        rest += manager.recv(4096)


def test_a_new_ticket_is_taken_when_it_comes(agent, up):
    a = agent()
    good = (a.work / "token").read_text()
    (a.work / "token").write_text("wrong-" + good[6:])
    a.start()
    a.said("needs-operator")
    s = a.status()
    assert s["rung"] == "waits-for-operator" and s["reason"] == "token-invalid" and s["try"] and not s["good"]
    (a.work / "token").write_text(token(up, a.name))
    a.said("renewed")
    a.pair()
    a.stop()


# ---- how it should not be ----

def test_hook_fails_and_the_old_pair_is_back(agent):
    a = agent()
    a.once()
    first = a.pair()
    a.identity["command"] = ["/bin/sh", "-c", "echo \"no: \033[31m$(cat " + str(a.crt) + " | wc -l)\" >&2; exit 3"]
    a.write()
    a.once("--force", check=1)
    s = a.status(check=1)
    assert a.pair() == first and s["reason"] == "hook-failed" and "exit 3" in s["detail"] and s["good"]
    assert "\033" not in s["detail"]
    del a.identity["command"]
    a.write()
    a.once()  # the same new pair is tried again: the authority is not asked twice
    s = a.status(check=0)
    assert a.pair() != first and s["reason"] is None and s["renewals"] == 2


@pytest.mark.parametrize("command, words", [
    (["/bin/sleep", "60"], "not done within"),
    (["/nonexistent/program"], "cannot be run"),
    (["/bin/sh", "-c", "yes | head -c 3000000; exit 1"], "exit 1"),
    (["/bin/sh", "-c", "kill -9 $$"], "signal 9"),
])
def test_hooks_that_misbehave(agent, command, words):
    a = agent()
    a.once()
    first = a.pair()
    a.identity |= {"command": command, "time_limit": "1s"}
    a.write()
    a.once("--force", check=1)
    assert a.pair() == first and words in a.status()["detail"]


def test_proof_fails_and_the_old_pair_is_back(agent):
    a = agent(kind="device")
    a.once()
    first = a.pair()
    a.identity |= {"prove_served": f"localhost:{a.up.https}", "prove_limit": "1s"}  # shows its own certificate
    a.write()
    a.once("--force", check=1)
    s = a.status()
    assert a.pair() == first and s["reason"] == "proof-failed" and "still shows" in s["detail"]
    a.identity |= {"prove_accepted": a.up.url("/"), "prove_limit": "5s"}
    del a.identity["prove_served"]
    a.write()
    a.once()
    assert a.pair() != first


def test_state_lost_or_damaged(agent):
    a = agent()
    a.once()
    first = a.pair()
    state = a.state / a.name / "state.json"
    for text in ["", "{", '{"version": 1}', "\0" * 100, '{"version":2,"step":"idle"}', "[" * 5000]:
        state.write_text(text)
        a.once()
        assert a.pair() == first
    assert (a.state / a.name / "state.json.bad").exists()
    state.unlink()
    a.once()
    assert a.pair() == first and a.status(check=0)["good"]


def test_files_that_were_changed_are_put_right(agent):
    a = agent()
    a.once()
    first = a.pair()
    a.key.write_text("gone")
    a.key.chmod(0o644)
    a.ca.unlink()
    a.once()
    assert a.pair() == first


def test_a_slot_that_was_damaged_is_not_used(agent):
    a = agent()
    a.once()
    a.once("--force")
    slot = (a.state / a.name / "current").resolve()
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", slot / "key.pem", check=0)
    (slot / "key.pem").chmod(0o600)
    a.once(check=None)
    a.pair()  # the one before, whose key is its own


def test_nowhere_to_write(agent):
    if os.geteuid() == 0:
        a = agent()
        a.once()
        first = a.pair()
        a.identity["files"].append({"path": "/proc/none/x.pem", "content": "key"})
        a.write()
        a.once("--force", check=1)
        s = a.status()
        assert a.pair() == first and s["reason"] in ("file-unwritable", "file-not-found") and "/proc/none" in s["detail"]


class Hostile(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        how = self.server.how
        if how == "garbage":
            self.answer(200, b"MIIBgarbage" * 10)
        elif how == "500":
            self.answer(500, b"\033[31mno\r\n")
        elif how == "redirect":
            self.send_response(302)
            self.send_header("Location", "https://localhost:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif how == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"A" * 65536)
            except OSError:
                self.close_connection = True
        else:
            self.close_connection = True

    do_POST = do_GET

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def hostile(up):
    pair = up.issue("server", "localhost")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.crt, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_servers_that_answer_badly(agent, hostile):
    a = agent()
    a.once()
    first = a.pair()
    a.identity["url"] = f"https://localhost:{hostile.server_address[1]}/.well-known/est"
    a.write()
    for how, reason in [("garbage", "server-answer-invalid"), ("500", "server-answer-invalid"),
                        ("redirect", "enrollment-refused"), ("endless", "limit-reached"),
                        ("close", "server-unreachable")]:
        hostile.how = how
        a.once("--force", check=1)
        s = a.status()
        assert (a.pair(), s["reason"], s["good"]) == (first, reason, True), (how, s)
        assert "\033" not in s["detail"]


def test_pins_hold_and_their_backup_too(agent, up):
    a = agent()
    a.once()
    first = a.pair()
    wrong = ["sha256//" + "A" * 43 + "=", "sha256//" + "B" * 43 + "="]
    a.identity["pins"] = wrong
    a.write()
    a.once("--force", check=1)
    assert a.status()["reason"] == "pin-mismatch" and a.pair() == first
    der = run("bash", "-c", f"openssl s_client -connect localhost:{up.https} </dev/null 2>/dev/null | openssl x509 -noout "
              "-pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64", check=0).stdout.strip()
    a.identity["pins"] = [wrong[0], "sha256//" + der]  # the backup is the one that holds
    a.write()
    a.once("--force")
    assert a.pair() != first


def test_a_clock_in_1970_is_no_reason_to_renew(agent):
    if SANITIZED:
        pytest.skip("faketime does not go with sanitizers")
    a = agent()
    a.once()
    first = a.pair()
    env = {"LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "FAKETIME": "@1970-01-02 00:00:00",
           "DONT_FAKE_MONOTONIC": "1"}
    done = a.once(check=1, env=env)
    assert "behind" in done.stdout and a.pair() == first
    done = a.call("status", check=1, env=env)
    assert "it shows 1970-" in done.stdout
    a.once("--force", check=None, env=env)  # TLS is judged by what time it must be at least
    assert a.pair() != first


@pytest.mark.parametrize("text, words", [
    ("", "empty"), ("- a\n", "expected keys"), ("identities: []\n", "a list of identities"),
    ("identities:\n  - name: a\n", "url is missing"), ("state: x\nstate: y\n", "said twice"),
    ("identities:\n  - {name: ../a, url: 'https://a'}\n", "not beginning with a dot"),
    ("identities:\n  - {name: a, url: 'ftp://a'}\n", "https://HOST"),
    ("identities:\n  - {name: a, url: 'https://a', nmae: b}\n", "unknown, expected one of"),
    ("identities:\n  - {name: a, url: 'https://a', files: [{path: x, content: key, mode: '0644'}]}\n", "octal"),
    ("identities:\n  - {name: a, url: 'https://a', files: [{path: x, content: p12}]}\n", "password_file"),
    ("identities:\n  - {name: a, url: 'https://a', command: [reload]}\n", "absolute path"),
    ("identities:\n  - {name: a, url: 'https://a', pins: ['sha256//x']}\n", "the backup"),
    ("identities:\n  - &x {name: a, url: 'https://a'}\n  - *x\n", "aliases"),
    ("identities:\n  - {name: a, url: 'https://a'}\n  - {name: a, url: 'https://a'}\n", "twice"),
    ("a: [\n", "agent.yaml:"),
])
def test_a_bad_configuration_is_refused_with_its_place(work, text, words):
    config = work / "agent.yaml"
    config.write_text(text)
    done = countersign("agent", "--check", "-c", config, check=None)
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr


# ---- power ----

FAULTS = ["agent-key-made", "agent-answer-lost", "agent-half-slot", "agent-before-install", "agent-half-installed",
          "agent-hook", "agent-prove", "agent-ask"]


@pytest.mark.parametrize("point", [*FAULTS, *(f"agent-save:kill:{n}" for n in (1, 2, 3, 4, 5)),
                                   *(f"files-write:kill:{n}" for n in (1, 3, 5))])
def test_dying_at_each_step(agent, point):
    if not has_fault_points(BUILD):
        pytest.skip("this build has no fault points")
    a = agent()
    a.once()
    first = a.pair()
    fault = point if ":" in point else point + ":kill"
    a.once("--force", check=None, env={"COUNTERSIGN_FAULT": fault})
    if point not in ("agent-half-installed",):
        a.pair()  # a power cut between two renames is put right by the next start
    a.once(check=None)
    a.once("--force", check=None)
    a.once("--force")
    assert a.pair() != first
    assert a.status(check=0)["good"]
    log = a.up.run("show", a.name, check=0).stdout
    assert "hold" not in log  # no two keys asked for one certificate


# ---- what a device has room for ----

def test_size_and_libraries(work):
    if SANITIZED:
        pytest.skip("a sanitized program is as big as it is")
    needed = [line.split("[")[1].rstrip("]") for line in run("readelf", "-d", AGENT, check=0).stdout.splitlines()
              if "NEEDED" in line]
    assert {n.split(".so")[0] for n in needed} <= {"libssl", "libcrypto", "libcurl", "libc", "ld-linux-x86-64",
                                                   "ld-linux-aarch64"}, needed
    run("strip", "-o", work / "agent", AGENT, check=0)
    assert (work / "agent").stat().st_size < 1024 * 1024


def test_units_are_what_systemd_takes(work):
    text = (ROOT / "packaging/systemd/countersign-agent.service").read_text()
    (work / "countersign-agent.service").write_text(text.replace("/usr/bin/countersign", "/bin/true"))
    done = run("systemd-analyze", "verify", "--man=no", work / "countersign-agent.service")
    assert done.returncode == 0 and "countersign-agent" not in done.stderr, done.stderr
