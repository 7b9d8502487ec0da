"""EST with libest's estclient, which speaks HTTP/1.0 and TLS 1.2."""
import base64
import subprocess

import pytest
from conftest import run
from foreign import debian13, environment
from test_enroll_est import certificates, subject, token


@pytest.fixture
def estclient(up, work):
    place = debian13("libest-utils", "libest3")
    out = work / "out"
    out.mkdir()

    def call(*args, check=0):
        env = {**environment(place), "EST_OPENSSL_CACERT": str(up.ca)}
        words = [place / "usr/bin/estclient", *args, "-s", "localhost", "-p", str(up.https), "-o", out]
        done = subprocess.run([str(w) for w in words], env=env, capture_output=True, text=True, timeout=60)
        done.says = done.stdout + done.stderr
        assert "ERROR" not in done.says or check != 0, done.says
        return done
    call.out = out
    return call


def test_cacerts_and_csrattrs(up, work, estclient):
    estclient("-g")
    assert certificates(work, (estclient.out / "cacert-0-0.pkcs7").read_bytes()).count("BEGIN CERTIFICATE") == 2
    estclient("-a")
    assert base64.b64decode((estclient.out / "csr-0-0.base64").read_bytes())[:1] == b"\x30"


def test_enroll_by_token_and_reenroll_by_certificate(up, work, estclient):
    estclient("-e", "-u", "lib-1", "-h", token(up, "lib-1"), "--common-name", "lib-1")
    key, answer = estclient.out / "key-x-x.pem", estclient.out / "cert-0-0.pkcs7"
    pem = certificates(work, answer.read_bytes())
    assert "lib-1" in subject(pem)
    pub = run("openssl", "pkey", "-in", key, "-pubout", check=0).stdout
    assert run("openssl", "x509", "-noout", "-pubkey", input=pem, check=0).stdout == pub
    (work / "c.pem").write_text(pem)
    answer.unlink()
    estclient("-r", "-c", work / "c.pem", "-k", key)
    again = certificates(work, answer.read_bytes())
    assert "lib-1" in subject(again) and subject(again) != subject(pem)


def test_a_wrong_token_is_refused(up, work, estclient):
    done = estclient("-e", "-u", "lib-2", "-h", token(up, "lib-3"), "--common-name", "lib-2", check=1)
    assert "token-invalid" in done.says or "AUTH" in done.says, done.says


def test_serverkeygen(up, work, estclient):
    key = work / "x.pem"
    run("openssl", "genrsa", "-out", key, "2048", check=0)
    done = estclient("-q", "-u", "lib-4", "-h", token(up, "lib-4"), "--common-name", "lib-4", "-x", key)
    assert done.returncode == 0 and list(estclient.out.glob("cert-*")) and list(estclient.out.glob("key*")), done.says
