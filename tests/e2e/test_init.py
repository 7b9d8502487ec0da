"""init makes a root and an issuing CA, whole or not at all."""
import random
import signal
import stat
import subprocess
import time

import pytest
from conftest import COMMAND, PASSPHRASE, PATIENCE, countersign, run

FILES = {"root.crt", "root.key", "root.crl", "issuing.crt", "issuing.key", "ca.json"}


@pytest.fixture
def state(work):
    return work / "state"


def init(state, passphrase_file, *more, **how):
    return countersign("init", "Test Corp", "--state", state, "--passphrase-file", passphrase_file, *more, **how)


def test_it_leaves_everything_private(state, passphrase_file):
    init(state, passphrase_file, check=0)
    assert {p.name for p in (state / "ca").iterdir()} == FILES
    for folder in (state, state / "ca"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for key in ("root.key", "issuing.key"):
        assert stat.S_IMODE((state / "ca" / key).stat().st_mode) == 0o600


def test_openssl_accepts_what_it_made(state, passphrase_file):
    init(state, passphrase_file, check=0)
    ca = state / "ca"
    run("openssl", "verify", "-x509_strict", "-CAfile", ca / "root.crt", ca / "issuing.crt", check=0)
    crl = (ca / "root.crl").read_bytes()
    form = "PEM" if crl.startswith(b"-----") else "DER"
    run("openssl", "crl", "-inform", form, "-in", ca / "root.crl", "-CAfile", ca / "root.crt", "-noout", check=0)


def test_the_root_key_is_encrypted_under_the_passphrase(state, passphrase_file):
    init(state, passphrase_file, check=0)
    assert "ENCRYPTED" in (state / "ca/root.key").read_text()
    run("openssl", "pkey", "-in", state / "ca/root.key", "-passin", f"pass:{PASSPHRASE}", "-noout", check=0)
    assert run("openssl", "pkey", "-in", state / "ca/root.key", "-passin", "pass:wrong", "-noout").returncode != 0


@pytest.mark.parametrize("key_type,says", [("ecdsa-p384", "384 bit"), ("ed25519", "ED25519"), ("rsa-3072", "3072 bit"),
                                           ("rsa-4096", "4096 bit")])
def test_key_types(state, passphrase_file, key_type, says):
    init(state, passphrase_file, "--key-type", key_type, check=0)
    out = run("openssl", "x509", "-in", state / "ca/issuing.crt", "-noout", "-text").stdout
    assert says.lower() in out.lower()
    run("openssl", "verify", "-x509_strict", "-CAfile", state / "ca/root.crt", state / "ca/issuing.crt", check=0)


def test_it_refuses_to_overwrite(state, passphrase_file):
    init(state, passphrase_file, check=0)
    before = {p.name: p.read_bytes() for p in (state / "ca").iterdir()}
    done = init(state, passphrase_file, check=1)
    assert "state-exists" in done.stderr and str(state) in done.stderr
    assert {p.name: p.read_bytes() for p in (state / "ca").iterdir()} == before


def test_a_passphrase_on_the_command_line_is_refused(state):
    done = countersign("init", "X", "--state", state, "--passphrase=secret-of-mine", check=2)
    assert "--passphrase-file" in done.stderr and "secret-of-mine" not in done.stderr
    assert not (state / "ca").exists()


def test_without_a_passphrase_and_nobody_to_ask(state):
    done = run("setsid", COMMAND, "init", "X", "--state", state)
    assert done.returncode == 1 and "passphrase-needed" in done.stderr
    assert not (state / "ca").exists()


def test_a_short_passphrase_is_refused(state, work):
    f = work / "p"
    f.write_text("short\n")
    f.chmod(0o600)
    done = init(state, f, check=1)
    assert "passphrase-too-short" in done.stderr
    assert not (state / "ca").exists()


def test_a_passphrase_file_that_others_may_read_is_refused(state, passphrase_file):
    passphrase_file.chmod(0o644)
    done = init(state, passphrase_file, check=1)
    assert "file-permissions-too-open" in done.stderr and str(passphrase_file) in done.stderr


def test_the_systemd_credential_is_taken(state, work):
    (work / "root-passphrase").write_text(PASSPHRASE)
    (work / "root-passphrase").chmod(0o600)
    countersign("init", "X", "--state", state, env={"CREDENTIALS_DIRECTORY": str(work)}, check=0)
    run("openssl", "pkey", "-in", state / "ca/root.key", "-passin", f"pass:{PASSPHRASE}", "-noout", check=0)


def test_two_at_once_make_one(state, passphrase_file):
    both = [subprocess.Popen([COMMAND, "init", "X", "--state", state, "--passphrase-file", passphrase_file],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    codes = sorted(p.wait(60 * PATIENCE) for p in both)
    for p in both:
        p.stderr.close()
    assert codes[0] == 0 and codes[1:] == [1, 1, 1]
    assert {p.name for p in (state / "ca").iterdir()} == FILES


def test_killed_at_any_time_it_leaves_all_or_nothing(state, passphrase_file):
    """Forty times, at random moments of the time that a whole run takes."""
    t0 = time.monotonic()
    init(state.parent / "timed", passphrase_file, check=0)
    whole = time.monotonic() - t0
    seen = set()
    for i in range(40):
        where = state.parent / f"s{i}"
        p = subprocess.Popen([COMMAND, "init", "X", "--state", where, "--passphrase-file", passphrase_file],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0, whole * 1.1))
        p.send_signal(signal.SIGKILL)
        p.wait()
        made = (where / "ca").exists()
        seen.add(made)
        if made:
            assert {f.name for f in (where / "ca").iterdir()} == FILES
            run("openssl", "verify", "-CAfile", where / "ca/root.crt", where / "ca/issuing.crt", check=0)
        else:
            init(where, passphrase_file, check=0)
            left = [f.name for f in where.iterdir() if f.name != "ca"]
            assert not [f for f in left if "tmp" in f or f.startswith(".ca")], left
    assert seen, seen


@pytest.mark.parametrize("left", [0, 8192])
def test_a_full_disk_is_said_and_nothing_is_left(small_disk, passphrase_file, left):
    small_disk.fill(left)
    state = small_disk.path / "s"
    done = init(state, passphrase_file)
    assert done.returncode == 1
    assert "disk-full" in done.stderr, done.stderr
    assert not (state / "ca").exists()
    small_disk.empty()
    init(state, passphrase_file, check=0)
