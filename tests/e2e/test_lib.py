"""libcountersign as strangers meet it: installed, found by pkg-config, its examples against openssl s_server, nginx,
mosquitto and our own gateway and authority, from C and from Python."""
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import BUILD, PATIENCE, ROOT, SANITIZED, die_with_parent, free_port, run, wait_for
from test_tunnel import Pki, Remote, end, spawn

EXAMPLES = ROOT / "examples"
NAMES = ("minimal", "mqtt_publish", "admit", "polled", "enroll")
HEADERS = ("error", "cert", "verify", "client")


@pytest.fixture(scope="module")
def pki():
    folder = tempfile.mkdtemp(prefix="lib-", dir="/tmp")
    yield Pki(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The examples, built against an installation by pkg-config alone; in a sanitized build, as the build made them."""
    if SANITIZED:
        return {name: BUILD / "examples" / name for name in NAMES}
    folder = tmp_path_factory.mktemp("install")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", folder, "--quiet", check=0)
    pc = next(folder.rglob("libcountersign.pc"))
    prefix = pc.parents[3] if pc.parents[1].name != "lib" else pc.parents[2]
    env = {"PKG_CONFIG_PATH": str(pc.parent), "PATH": os.environ["PATH"]}

    def flags(*how):
        return run("pkg-config", f"--define-variable=prefix={prefix}", *how, "libcountersign", env=env, check=0).stdout.split()
    made = {"root": prefix, "libdir": pc.parents[1]}
    strict = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror"]
    for name in NAMES:
        run("cc", *strict, EXAMPLES / f"{name}.c", "-o", folder / name, *flags("--cflags", "--libs"), "-lssl", "-lcrypto",
            f"-Wl,-rpath,{pc.parents[1]}", check=0)
        made[name] = folder / name
    run("cc", *strict, EXAMPLES / "minimal.c", "-o", folder / "static", *flags("--cflags"), pc.parents[1] / "libcountersign.a",
        "-lssl", "-lcrypto", check=0)
    made["static"] = folder / "static"
    return made


class SServer:
    """openssl s_server, which asks for a certificate and sends each line back reversed."""

    def __init__(self, pki, *args, server=None):
        self.port, server = free_port(), server or pki.server
        self.p = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", server.crt, "-key",
                                   server.key, "-CAfile", pki.ca.path, "-Verify", "2", "-verify_return_error", "-quiet",
                                   "-rev", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)

        def up():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_for(up, 10)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.p.kill()
        self.p.wait()


def minimal(program, pki, port, *, name="server.test", ca=None, who=None, line="hello"):
    who = who or pki.one
    return run(program, f"127.0.0.1:{port}", name, ca or pki.ca.path, who.crt, who.key, line)


# ---- the ABI ----

def declared():
    found = set()
    for h in HEADERS:
        text = (ROOT / f"include/countersign/{h}.h").read_text()
        for d in re.findall(r"^CS_API\b[^;]*;", text, re.M):
            found.add(re.search(r"(cs_\w+)\s*\(", d).group(1))
    return found


def test_the_library_exports_what_the_headers_declare_and_nothing_else():
    names = run("nm", "-D", "--defined-only", "--with-symbol-versions", BUILD / "src/lib/libcountersign.so.0", check=0)
    exported = {ln.split()[2] for ln in names.stdout.splitlines() if ln.split()[1] in "TDBR"}
    assert exported == {f"{n}@@COUNTERSIGN_0" for n in declared()}


@pytest.mark.skipif(SANITIZED, reason="a sanitized library needs its run time")
def test_the_library_needs_little_and_the_static_one_shows_no_more(programs):
    needs = run("objdump", "-p", BUILD / "src/lib/libcountersign.so.0", check=0).stdout
    found = {n for n in re.findall(r"NEEDED\s+(\S+)", needs) if not n.startswith("ld-linux")}
    assert found <= {"libssl.so.3", "libcrypto.so.3", "libc.so.6"}
    names = run("nm", "--defined-only", "-g", programs["libdir"] / "libcountersign.a", check=0).stdout
    assert {ln.split()[2] for ln in names.splitlines() if len(ln.split()) == 3} == declared()


@pytest.mark.skipif(SANITIZED, reason="nothing runs here that a sanitizer could judge")
def test_headers_stand_alone_in_c_and_in_cplusplus(programs, tmp_path):
    for h in HEADERS:
        for compiler, name in (("cc", "x.c"), ("g++", "x.cc")):
            if shutil.which(compiler) is None:
                continue
            (tmp_path / name).write_text(f"#include <countersign/{h}.h>\n")
            run(compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I", programs["root"] / "include",
                tmp_path / name, check=0)


@pytest.mark.skipif(SANITIZED, reason="nothing runs here that a sanitizer could judge")
def test_section_three_of_the_manual_is_fresh_and_is_installed_under_every_name(programs):
    assert run(ROOT / "tools/man3", "--check").returncode == 0
    man = programs["root"] / "share/man/man3"
    for name in [*sorted(declared()), *(f"countersign_{h}" for h in HEADERS)]:
        assert ".Nm " + name in (man / f"{name}.3").read_text(), name


# ---- the smallest client ----

def test_a_client_in_twenty_lines(programs, pki):
    with SServer(pki) as s:
        for program in [programs["minimal"], *([programs["static"]] if "static" in programs else [])]:
            r = minimal(program, pki, s.port)
            assert (r.returncode, r.stdout) == (0, "CN=server says olleh\n"), r.stderr


@pytest.mark.parametrize("how, reason", [
    ({"name": "elsewhere.test"}, "name-mismatch"),
    ({"ca": "other"}, "unknown-issuer"),
    ({"who": "ended"}, "certificate-expired"),
])
def test_what_is_refused_has_its_reason_and_its_advice(programs, pki, how, reason):
    how = {k: getattr(pki, v).path if k == "ca" else getattr(pki, v) if k == "who" else v for k, v in how.items()}
    with SServer(pki) as s:
        r = minimal(programs["minimal"], pki, s.port, **how)
    assert r.returncode == 1 and r.stderr.startswith(reason + ": ") and len(r.stderr.splitlines()) == 2, r.stderr


def test_our_certificate_is_refused_by_the_server_in_its_words(programs, pki):
    with SServer(pki) as s:
        r = minimal(programs["minimal"], pki, s.port, who=pki.stranger)
    assert r.returncode == 1 and r.stderr.startswith("tls-alert-received"), r.stderr


def test_nobody_there_and_a_key_that_others_can_read(programs, pki):
    r = minimal(programs["minimal"], pki, free_port())
    assert r.returncode == 1 and r.stderr.startswith("network-failed") and "Connection refused" in r.stderr
    loose = pki.ca.client("loose")
    loose.key.chmod(0o644)
    r = minimal(programs["minimal"], pki, 1, who=loose)
    assert r.returncode == 1 and r.stderr.startswith("file-permissions-too-open") and str(loose.key) in r.stderr


# ---- against others' servers ----

def test_mqtt_is_published_over_it(programs, pki, tmp_path):
    port, plain = free_port(), free_port()
    (tmp_path / "conf").write_text(
        f"user root\nper_listener_settings true\nlistener {plain} 127.0.0.1\nallow_anonymous true\n"
        f"listener {port} 127.0.0.1\ncafile {pki.ca.path}\ncertfile {pki.server.crt}\nkeyfile {pki.server.key}\n"
        f"require_certificate true\nuse_identity_as_username true\n")
    broker = spawn(tmp_path, "/usr/sbin/mosquitto", "-c", tmp_path / "conf", ready=port)
    sub = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", str(plain), "-t", "pumps/#", "-C", "1",
                            "-W", "20", "-d"], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    wait_for(lambda: "SUBACK" in sub.stdout.readline(), 10)
    r = run(programs["mqtt_publish"], f"localhost:{port}", pki.ca.path, pki.one.crt, pki.one.key, "pumps/17", "pressure 3")
    assert (r.returncode, r.stdout) == (0, "published\n"), r.stderr
    assert "pressure 3" in sub.communicate(timeout=20 * PATIENCE)[0]
    assert "u'app'" in (tmp_path / "log").read_text()
    end(broker)


def test_hundreds_of_connections_in_one_thread(programs, pki, up):
    """Against our gateway, whose page answers each."""
    count = 50 if SANITIZED else 200
    crt, key, ca = up.crt, up.key, up.ca
    line = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    r = run(programs["polled"], f"127.0.0.1:{up.https}", "localhost", ca, crt, key, line, str(count), timeout=120)
    assert (r.returncode, r.stdout) == (0, f"{count} answered\n"), r.stderr[-2000:]


def test_threads_share_a_client(up):
    """The thread sanitizer sees it too."""
    r = run(BUILD / "tests/peers/lib_threads", f"127.0.0.1:{up.https}", "localhost", up.ca, up.crt, up.key, timeout=120)
    assert (r.returncode, r.stdout, r.stderr) == (0, "48 of 48\n", "")


def test_a_server_that_admits_by_policy(programs, pki):
    port = free_port()
    ended = pki.ended
    callers = [(pki.one, "hello app\n"), (pki.two, "not for two\n"), (pki.stranger, None), (ended, None), (None, None)]
    p = subprocess.Popen([programs["admit"], str(port), pki.ca.path, pki.server.crt, pki.server.key, "app",
                          str(len(callers))], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    assert p.stdout.readline() == "ready\n"
    for who, answer in callers:
        given = ["-cert", who.crt, "-key", who.key] if who else []
        r = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", pki.ca.path, "-quiet", *given, input="")
        assert (r.stdout == answer) if answer else "hello" not in r.stdout, r.stdout + r.stderr
    said = p.communicate(timeout=20 * PATIENCE)[0].splitlines()
    assert said[0] == "admitted app" and said[1] == "turned away two", said
    assert said[2].startswith("refused chain-incomplete")  # s_client sends the leaf alone
    assert said[3].startswith("refused certificate-expired"), said
    assert said[4].startswith("refused: no certificate"), said
    assert p.returncode == 0


# ---- enrollment ----

def test_enrolls_with_a_token_and_renews(programs, up, work):
    token = json.loads(up.run("token", "create", "device", "lib-1", "--json").stdout)["token"]
    (work / "ca.pem").write_bytes(Path(up.ca).read_bytes())
    args = [f"https://localhost:{up.https}", work / "ca.pem", "lib-1", token, work / "x.crt", work / "x.key"]
    r = run(programs["enroll"], *args, timeout=60)
    assert r.returncode == 0, r.stderr
    first, second = re.fullmatch(r"enrolled (\w+)\nrenewed (\w+)\n", r.stdout).groups()
    assert first != second
    assert (work / "x.key").stat().st_mode & 0o777 == 0o600
    shown = run("openssl", "x509", "-in", work / "x.crt", "-noout", "-serial", "-ext", "subjectAltName", check=0).stdout
    assert second.upper().lstrip("0") in shown and "device/lib-1" in shown
    again = run(programs["enroll"], *args, timeout=60)
    assert again.returncode == 1 and "token" in again.stderr, again.stderr


def test_enrolling_at_a_server_that_is_not_ours_is_refused(programs, pki, up, work):
    r = run(programs["enroll"], f"https://localhost:{up.https}", pki.ca.path, "x", "y", work / "x.crt", work / "x.key")
    assert r.returncode == 1 and "unknown-issuer" in r.stderr and not (work / "x.key").exists()


def answering(data, forever=b""):
    """A TLS server whose every answer is that, whatever is asked."""
    def serve(s):
        s.recv(65536)
        s.sendall(data)
        while forever:
            s.sendall(forever)
        s.unwrap()
    return serve


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("serve, reason", [
    (answering(b"\x00\xff garbage\r\n\r\n"), "http-malformed"),
    (answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"), "server-answer-invalid"),
    (answering(b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n"), "enrollment-refused"),
    (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot it ~~"), "server-answer-invalid"),
    (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "http-malformed"),
    (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n"), "http-framing-ambiguous"),
    (answering(CHUNKS, b"10000\r\n" + bytes(65536) + b"\r\n"), "http-body-too-large"),
    (answering(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n"), "http-header-too-large"),
    (answering(b""), "server-answer-invalid"),
], ids=["garbage", "500", "redirect", "not base64", "cut", "two lengths", "endless body", "endless head", "nothing"])
def test_a_hostile_est_server_gets_nowhere(programs, pki, work, serve, reason):
    url = f"https://localhost:{Remote(pki, serve, verify_mode=ssl.CERT_NONE).port}"
    r = run(programs["enroll"], url, pki.ca.path, "x", "y", work / "x.crt", work / "x.key", timeout=60)
    assert r.returncode == 1 and r.stderr.startswith(reason + ": ") and url in r.stderr, r.stderr
    assert not (work / "x.key").exists()


# ---- from Python ----

@pytest.mark.skipif(SANITIZED, reason="python3 has no run time of a sanitizer")
def test_the_binding_for_python(pki):
    env = {**os.environ, "COUNTERSIGN_LIBRARY": str(BUILD / "src/lib/libcountersign.so.0")}
    with SServer(pki) as s:
        args = [f"127.0.0.1:{s.port}", "server.test", pki.ca.path, pki.one.crt, pki.one.key, "hello"]
        r = run("/usr/bin/python3", EXAMPLES / "countersign.py", *args, env=env)
        assert (r.returncode, r.stdout) == (0, "CN=server says olleh\n"), r.stderr
        args[1] = "elsewhere.test"
        r = run("/usr/bin/python3", EXAMPLES / "countersign.py", *args, env=env)
        assert r.returncode == 1 and r.stderr.startswith("name-mismatch"), r.stderr
