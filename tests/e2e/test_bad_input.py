"""Bad input: one clear message that names it and what mends it, the exit code that belongs to it, and the state as it
was."""
import os
import socket

import pytest
from conftest import COMMAND, System, countersign, free_port, run


def says(done, code, reason, *names):
    """Exit code, the reason's name, what is named, and one message with advice: not a torrent."""
    assert done.returncode == code, done.stdout + done.stderr
    assert reason in done.stderr, done.stderr
    for name in names:
        assert str(name) in done.stderr, done.stderr
    messages = [ln for ln in done.stderr.splitlines() if ln.startswith("countersign")]
    assert len(messages) == 1, done.stderr
    assert "to mend it" in done.stderr or code == 2, done.stderr


@pytest.fixture
def ready(work, passphrase_file):
    """A state folder with an authority, and nothing running."""
    state = work / "s"
    countersign("init", "Bad Input", "--state", state, "--passphrase-file", passphrase_file, check=0)
    return state


def snapshot(folder):
    return {str(p.relative_to(folder)): (p.stat().st_mode, p.read_bytes() if p.is_file() else None)
            for p in sorted(folder.rglob("*")) if not p.is_socket()}


def up_once(state, *more, prefix=(), https=None):
    """`up` that is expected to fail at once."""
    return run(*prefix, COMMAND, "up", "--state", state, "--https", https or f"127.0.0.1:{free_port()}", "--http",
               f"127.0.0.1:{free_port()}", "--metrics", f"127.0.0.1:{free_port()}", *more, timeout=30)


# ---- usage ----

@pytest.mark.parametrize("args,names", [
    (["frobnicate"], "frobnicate"),
    (["isue"], "issue"),
    (["issue"], "issue"),
    (["issue", "robot", "x"], "robot"),
    (["issue", "device", "x", "--colour"], "--colour"),
    (["issue", "device", "x", "--out"], "--out"),
    (["up", "--https", "nonsense"], "nonsense"),
    (["up", "--https", "127.0.0.1:99999"], "99999"),
    (["verify"], "verify"),
])
def test_usage_errors_exit_2_and_name_the_word(work, args, names):
    done = countersign(*args, *(["--state", work / "s"] if args[0] in ("issue", "up") else []))
    assert done.returncode in (1, 2) and (done.returncode == 2 or args[1] == "robot"), done.stderr
    assert names in done.stderr


@pytest.mark.parametrize("command", ["up", "init", "issue", "list", "show", "revoke", "crl", "status", "verify"])
def test_every_command_has_help(command):
    done = countersign(command, "--help", check=0)
    assert command in done.stdout and len(done.stdout.splitlines()) > 3


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["revoke", "x"], ["crl"], ["issue", "device", "x"]])
def test_without_an_authority(work, command):
    says(countersign(*command, "--state", work / "none"), 1, "state-missing", work / "none")
    assert not (work / "none" / "ca").exists()


# ---- files ----

def test_a_request_that_is_not_there(ready, work):
    says(countersign("issue", "device", "x", "--csr", work / "no.csr", "--state", ready, "--out", work), 1,
         "file-not-found", work / "no.csr")


@pytest.mark.parametrize("content,reasons", [
    (b"", ("file-empty",)),
    (b"hello\n", ("file-wrong-type", "csr-malformed", "file-malformed")),
    (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", ("csr-malformed", "file-malformed")),
    (b"\x00" * 5_000_000, ("file-too-large", "file-wrong-type")),
], ids=["empty", "text", "damaged", "huge"])
def test_a_request_that_is_none(ready, work, content, reasons):
    (work / "r.csr").write_bytes(content)
    done = countersign("issue", "device", "x", "--csr", work / "r.csr", "--state", ready, "--out", work)
    assert done.returncode == 1
    assert any(r in done.stderr for r in reasons), done.stderr
    assert "r.csr" in done.stderr
    assert not (work / "x.crt").exists()


def test_a_private_key_in_place_of_a_request_is_recognised(ready, work):
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", work / "r.csr", check=0)
    done = countersign("issue", "device", "x", "--csr", work / "r.csr", "--state", ready, "--out", work, check=1)
    assert "file-wrong-type" in done.stderr or "csr-malformed" in done.stderr
    assert "PRIVATE KEY" in done.stderr.upper()


def test_an_output_folder_that_is_not_there(ready, work):
    done = countersign("issue", "device", "x", "--state", ready, "--out", work / "not" / "there")
    if done.returncode != 0:  # making it is fine too
        assert "not/there" in done.stderr


def test_what_is_there_is_not_overwritten(ready, work):
    countersign("issue", "device", "x", "--state", ready, "--out", work, check=0)
    before = (work / "x.key").read_bytes()
    says(countersign("issue", "device", "x", "--state", ready, "--out", work), 1, "file-exists", work / "x")
    assert (work / "x.key").read_bytes() == before


def test_an_unreadable_request(ready, work, as_nobody):
    (work / "r.csr").write_text("x")
    (work / "r.csr").chmod(0)
    work.chmod(0o755)
    done = run(*as_nobody, COMMAND, "verify", "--purpose", "client", work / "r.csr")
    assert done.returncode == 2
    assert "r.csr" in done.stderr and ("file-unreadable" in done.stderr or "cannot be read" in done.stderr)


def test_an_output_folder_that_may_not_be_written(work, passphrase_file, as_nobody):
    work.chmod(0o755)
    done = run(*as_nobody, COMMAND, "init", "X", "--state", work / "s", "--passphrase-file", "-",
               input="correct horse battery staple\n")
    says(done, 1, "file-unwritable", work)


def test_a_state_folder_of_somebody_else(ready, work, as_nobody):
    work.chmod(0o755)
    done = run(*as_nobody, COMMAND, "list", "--state", ready)
    assert done.returncode == 1
    assert any(r in done.stderr for r in ("file-unreadable", "permission-denied", "file-unwritable", "state-missing")), done.stderr
    assert str(ready) in done.stderr


def test_a_wrong_p12_password_file(ready, work):
    done = countersign("issue", "user", "a@b.example", "--p12", work / "a.p12", "--password-file", work / "no" / "dir" / "f",
                       "--state", ready, "--out", work)
    assert done.returncode == 1 and "no/dir" in done.stderr
    assert not (work / "a.p12").exists() and not (work / "a@b.example.key").exists()


# ---- the state folder's own files ----

@pytest.mark.parametrize("name", ["issuing.crt", "issuing.key", "root.crt", "ca.json"])
@pytest.mark.parametrize("how", ["missing", "empty", "damaged"])
def test_a_damaged_authority_is_named(ready, name, how):
    path = ready / "ca" / name
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"x" + path.read_bytes()[20:])
    done = up_once(ready)
    assert done.returncode in (1, 2), done.stderr
    assert name in done.stderr, done.stderr[-2000:]


def test_an_issuing_key_of_another_authority(ready, work, passphrase_file):
    countersign("init", "Other", "--state", work / "o", "--passphrase-file", passphrase_file, check=0)
    (ready / "ca/issuing.key").write_bytes((work / "o/ca/issuing.key").read_bytes())
    done = up_once(ready)
    assert done.returncode == 1
    assert "key-mismatch" in done.stderr and "issuing" in done.stderr, done.stderr


def test_an_issuing_key_that_others_may_read(ready):
    (ready / "ca/issuing.key").chmod(0o644)
    done = up_once(ready)
    assert done.returncode == 1
    assert "file-permissions-too-open" in done.stderr and "issuing.key" in done.stderr


# ---- ports ----

@pytest.mark.parametrize("which", ["https", "http", "metrics"])
def test_an_occupied_port_is_named(ready, which):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        ports = {w: free_port() for w in ("https", "http", "metrics")}
        ports[which] = port
        done = run(COMMAND, "up", "--state", ready, *[a for w, p in ports.items() for a in (f"--{w}", f"127.0.0.1:{p}")],
                   timeout=30)
    assert done.returncode == 1
    assert "port-in-use" in done.stderr and str(port) in done.stderr, done.stderr
    assert "ready" not in done.stderr.split()


def test_a_second_up_on_the_same_state_is_refused(system):
    s = system()
    s.start()
    done = up_once(s.state)
    assert done.returncode == 1 and "state-busy" in done.stderr, done.stderr
    assert s.get("/").status == 200


# ---- configuration ----

@pytest.mark.parametrize("yaml,names", [
    ("htps: 127.0.0.1:1\n", ["htps", ":1:"]),
    ("https: 127.0.0.1:1\nsites:\n  - name: \"*\"\n    clinet: require\n", ["clinet", ":4:"]),
    ("threads: many\n", ["threads", ":1:"]),
    ("https: [1, 2\n", [":"]),
    ("sites:\n  - name: a.example\n    client: maybe\n", ["maybe", ":3:"]),
    ("sites:\n  - name: a.example\n    certificate: /no/such/file.pem\n    key: /no/such/key.pem\n", ["/no/such/file.pem"]),
    ("limits:\n  handshake: soon\n", ["soon", ":2:"]),
    ("revocation_grace: -1s\n", ["revocation_grace"]),
])
def test_a_bad_configuration_is_named_with_its_line(ready, work, yaml, names):
    (work / "c.yaml").write_text(yaml)
    before = snapshot(ready / "ca")
    done = up_once(ready, "-c", work / "c.yaml")
    assert done.returncode in (1, 2), done.stderr
    assert "config-invalid" in done.stderr or "file-not-found" in done.stderr, done.stderr
    for name in names:
        assert name in done.stderr, done.stderr
    assert snapshot(ready / "ca") == before


def test_a_configuration_that_is_not_there(ready, work):
    done = up_once(ready, "-c", work / "none.yaml")
    assert done.returncode in (1, 2) and str(work / "none.yaml") in done.stderr


# ---- the disk ----

def test_issuing_on_a_full_disk_is_refused_and_what_was_issued_stays(small_disk, work, passphrase_file):
    state = small_disk.path / "s"
    countersign("init", "X", "--state", state, "--passphrase-file", passphrase_file, check=0)
    countersign("issue", "device", "before", "--state", state, "--out", work, check=0)
    small_disk.fill()
    done = countersign("issue", "device", "after", "--state", state, "--out", work)
    assert done.returncode == 1
    assert "disk-full" in done.stderr, done.stderr
    assert not (work / "after.crt").exists()
    small_disk.empty()
    countersign("issue", "device", "after", "--state", state, "--out", work, check=0)
    listed = countersign("list", "--state", state, check=0).stdout
    assert "before" in listed and "after" in listed


def test_output_on_a_full_disk(ready, small_disk):
    small_disk.fill()
    done = countersign("issue", "device", "x", "--state", ready, "--out", small_disk.path)
    assert done.returncode == 1 and "disk-full" in done.stderr, done.stderr
    assert not list(small_disk.path.glob("x.*"))


def test_a_full_standard_output_is_an_error(ready):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    done = run("sh", "-c", f"{COMMAND} list --state {ready} --json >/dev/full; echo $?")
    done2 = run("sh", "-c", f"{COMMAND} help >/dev/full; echo $?")
    assert done2.stdout.strip() == "1", done2.stderr
    assert done.stdout.strip() in ("0", "1")  # an empty list prints nothing


assert System
