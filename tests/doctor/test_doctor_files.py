"""Files that a client has wrong: named before any connection is blamed."""
import json
import subprocess

import pytest
from conftest import countersign, free_port
from world import Files, c, cert, key, key_pem

CLOSED = f"127.0.0.1:{free_port()}"  # nothing listens there: only the files matter


@pytest.fixture(scope="module")
def f(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("files"))


def found(f, *args, target=CLOSED):
    done = countersign("doctor", target, "--json", *args)
    assert done.returncode == 1, done.stderr
    ids = [x["id"] for x in json.loads(done.stdout)["findings"] if x["id"] != "F82"]
    return ids


def with_cert(f, crt, k="good.key", *more):
    return found(f, "--cert", f.path(crt), "--key", f.path(k), *more)


def test_a_good_pair_leaves_nothing_to_say(f):
    assert with_cert(f, "good.crt") == []


def test_the_key_of_another(f):
    f.put("two", f.leaf("two"), f.int)
    assert with_cert(f, "good.crt", "two.key")[0] == "F21"


def test_the_leaf_is_not_first(f):
    f.write("upside.crt", f.int.pem + f.leaf("good").pem)
    assert with_cert(f, "upside.crt")[0] == "F07"


def test_a_rotation_cut_short(f):
    f.put("turn", f.leaf("turn"), f.int)
    right = f.path("turn.key").read_text()
    f.write("turn.key", key_pem(key("p256-doctor-former")), 0o600)
    f.write("turn.key.new", right, 0o600)
    assert with_cert(f, "turn.crt", "turn.key")[0] == "F34"


def test_an_encrypted_key(f):
    f.write("locked.key", key_pem(f.leaf("good").key, b"secret words"), 0o600)
    assert with_cert(f, "good.crt", "locked.key")[0] == "F22"
    f.write("password", "secret words\n", 0o600)
    assert with_cert(f, "good.crt", "locked.key", "--password-file", f.path("password")) == []


def test_der_where_pem_is_expected(f):
    f.write("good.der", f.leaf("good").der)
    assert with_cert(f, "good.der")[0] == "F23"


def test_utf_16(f):
    f.write("wide.crt", f.path("good.crt").read_text().encode("utf-16"))
    assert with_cert(f, "wide.crt")[0] == "F24"
    f.write("bom.crt", b"\xef\xbb\xbf" + f.path("good.crt").read_bytes().replace(b"\n", b"\r\n"))
    assert with_cert(f, "bom.crt") == []  # harmless


@pytest.mark.parametrize("what", ["good.key", "root.crl", "request", "nonsense", "empty"])
def test_something_else_than_a_certificate(f, what):
    f.write("root.crl", c.pem("X509 CRL", c.crl(f.root)))
    f.write("request", "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n")
    f.write("nonsense", bytes(range(1, 256)))
    f.write("empty", "")
    assert with_cert(f, what)[0] in ("F25", "F26")


def test_a_key_that_this_user_may_not_read(f, as_user):
    f.path("good.key").chmod(0o600)
    done = subprocess.run([*as_user, *map(str, (countersign_path(), "doctor", CLOSED, "--json", "--cert", f.path("good.crt"), "--key",
                                                 f.path("good.key")))], capture_output=True, text=True)
    assert json.loads(done.stdout)["findings"][0]["id"] == "F26", done.stdout


def countersign_path():
    from conftest import COMMAND
    return COMMAND


@pytest.fixture
def as_user(f):
    import os
    if os.getuid() != 0:
        pytest.skip("changing the user needs root")
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for p in [f.folder, *f.folder.parents]:
        if p != p.parent and p.stat().st_uid == 0 and str(p).startswith("/tmp/"):
            p.chmod(0o755)
    if subprocess.run([*prefix, countersign_path(), "version"], capture_output=True).returncode != 0:
        pytest.skip("the program is in a folder that nobody else may enter")
    return prefix


def test_a_key_that_all_may_read(f):
    f.write("open.key", f.path("good.key").read_text(), 0o644)
    assert with_cert(f, "good.crt", "open.key")[0] == "F27"


def test_a_ca_file_that_is_none(f):
    assert found(f, "--ca", f.path("missing.pem"))[0] == "F28"
    assert found(f, "--ca", f.path("good.key"))[0] == "F28"
    assert found(f, "--ca", f.path("int.pem"))[0] == "F05"


def test_certificates_that_a_server_would_refuse(f):
    f.put("v1", f.leaf("v1", version=0, exts=[]), f.int)
    f.put("noku", f.leaf("noku", add=[c.ku("keyAgreement")]), f.int)
    low = cert("Low CA", by=f.root, ca=True, path_len=0)
    lower = cert("Lower CA", by=low, ca=True)
    f.put("path", f.leaf("path", by=lower), lower, low)
    f.put("loose", f.leaf("loose", drop=[c.AKI]), f.int)
    assert with_cert(f, "v1.crt", "v1.key")[0] == "F44"
    assert with_cert(f, "noku.crt", "noku.key")[0] == "F39"
    assert with_cert(f, "path.crt", "path.key")[0] == "F14"
    assert with_cert(f, "loose.crt", "loose.key")[0] == "F18"
    f.put("weak", f.leaf("weak", k=key("rsa1024-doctor-weak")), f.int)
    f.put("ed", f.leaf("ed", k=key("ed-doctor")), f.int)
    assert with_cert(f, "weak.crt", "weak.key")[0] == "F59"
    assert with_cert(f, "ed.crt", "ed.key") == ["F60"]
    f.write("mess.crt", f.leaf("good").pem + f.other.pem + f.int.pem)
    assert with_cert(f, "mess.crt")[0] == "F08"


def p12(f, name, password, *how):
    subprocess.run(["openssl", "pkcs12", "-export", "-in", f.path("good.crt"), "-inkey", f.path("good.key"), "-out", f.path(name),
                    "-passout", f"pass:{password}", *how], check=True, capture_output=True)
    f.write("p12.password", f"{password}\n", 0o600)
    return found(f, "--cert", f.path(name), "--password-file", f.path("p12.password"))


def test_pkcs12_that_other_programs_do_not_take(f):
    old = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1")
    assert p12(f, "good.p12", "a password", *old) == []
    assert p12(f, "rc2.p12", "a password", "-legacy", "-certpbe", "PBE-SHA1-RC2-40")[0] == "F29"
    assert p12(f, "new.p12", "a password") == ["F30"]
    assert p12(f, "nomac.p12", "a password", "-nomac")[0] == "F33"
    f.write("p12.password", "another\n", 0o600)
    assert found(f, "--cert", f.path("good.p12"), "--password-file", f.path("p12.password"))[0] == "F31"
    p12(f, "umlaut.p12", "pässword of length", *old)
    f.write("p12.password", "pässword of length\n".encode("latin-1"), 0o600)
    assert found(f, "--cert", f.path("umlaut.p12"), "--password-file", f.path("p12.password"))[0] == "F32"
