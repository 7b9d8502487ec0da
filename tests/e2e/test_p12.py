"""The PKCS#12 files import into programs that we did not write, in both forms."""
import re
import shutil
import stat

import pytest
from conftest import Answer, run


@pytest.fixture(scope="module", params=[[], ["--modern"]], ids=["everywhere", "modern"])
def made(request, up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("p12")
    name = f"p12{len(request.param)}@corp.example"
    i = up.issue("user", name, "--p12", folder / "ann.p12", "--password-file", folder / "password", *request.param,
                 out=folder)
    return i, folder / "ann.p12", (folder / "password").read_text().strip(), bool(request.param)


def test_the_password_is_long_and_the_file_private(made):
    _, p12, password, _ = made
    assert len(password) >= 20 and password.isascii() and re.fullmatch(r"[!-~]+", password)
    assert stat.S_IMODE(p12.stat().st_mode) == 0o600


def test_openssl_reads_it(made):
    _, p12, password, modern = made
    done = run("openssl", "pkcs12", "-in", p12, "-passin", f"pass:{password}", "-noenc", "-info", check=0)
    assert done.stdout.count("BEGIN CERTIFICATE") >= 2 and "BEGIN PRIVATE KEY" in done.stdout
    assert "friendlyName" in done.stdout
    if modern:
        assert "PBES2" in done.stderr and "AES-256-CBC" in done.stderr
    else:
        assert "pbeWithSHA1And3-KeyTripleDES-CBC" in done.stderr and "MAC: sha1" in done.stderr


def test_a_wrong_password_does_not_open_it(made):
    _, p12, _, _ = made
    assert run("openssl", "pkcs12", "-in", p12, "-passin", "pass:wrong", "-noout").returncode != 0


def test_nss_imports_it(made, work):
    _, p12, password, _ = made
    db = f"sql:{work}"
    run("certutil", "-N", "-d", db, "--empty-password", check=0)
    run("pk12util", "-i", p12, "-d", db, "-W", password, check=0)
    assert "u,u,u" in run("certutil", "-L", "-d", db).stdout


@pytest.mark.skipif(not shutil.which("keytool"), reason="no Java here (keytool is not installed)")
def test_java_reads_it(made):
    _, p12, password, _ = made
    done = run("keytool", "-list", "-storetype", "PKCS12", "-keystore", p12, "-storepass", password, check=0)
    assert "PrivateKeyEntry" in done.stdout


def test_gnutls_reads_it(made):
    _, p12, password, _ = made
    done = run("certtool", "--p12-info", "--inder", "--infile", p12, "--password", password)
    assert done.returncode == 0 and "BEGIN" in done.stdout, done.stderr


def test_python_reads_it(made):
    from cryptography.hazmat.primitives.serialization import pkcs12
    _, p12, password, _ = made
    key, cert, more = pkcs12.load_key_and_certificates(p12.read_bytes(), password.encode())
    assert key and cert and more


def test_curl_uses_it(up, made):
    _, p12, password, _ = made
    answer = Answer(run("curl", "-sS", "-i", "--cacert", up.ca, "--cert-type", "P12", "--cert", f"{p12}:{password}",
                        up.url("/?format=json")))
    assert answer.status == 200, answer.err


def test_the_password_is_shown_once_when_no_file_takes_it(up, work):
    i = up.issue("user", "shown@corp.example", "--p12", work / "x.p12", out=work)
    said = i.done.stdout + i.done.stderr
    shown = [w for w in re.findall(r"\S{20,}", said)
             if run("openssl", "pkcs12", "-in", work / "x.p12", "-passin", f"pass:{w}", "-noout").returncode == 0]
    assert len(shown) == 1, said
