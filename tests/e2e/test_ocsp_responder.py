"""The OCSP responder, asked by clients that we did not write."""
import base64
import json
import os
import re
import signal
import urllib.parse

import pytest
from conftest import countersign, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

EMPTY = bytes.fromhex("30003000")


@pytest.fixture(scope="module")
def issued(up, tmp_path_factory):
    """A device of the running system: its folder, and the issuing CA beside it."""
    d = tmp_path_factory.mktemp("ocsp")
    up.run("issue", "device", "ocsp-1", "--out", d, check=0)
    pem = (d / "ocsp-1.crt").read_text()
    (d / "issuing.pem").write_text(pem[pem.index("-----BEGIN", 10):])
    return d


def cert(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def openssl(up, d, *more, leaf="ocsp-1.crt", check=0):
    return run("openssl", "ocsp", "-issuer", d / "issuing.pem", "-cert", d / leaf, "-CAfile", d / "ca.pem", "-url",
               up.http_url("/ocsp"), *more, check=check)


def ask(up, der, **how):
    (up.state / "q.der").write_bytes(der)
    done = run("curl", "-sS", "-i", "-H", f"Content-Type: {how.get('type', 'application/ocsp-request')}",
               "--data-binary", f"@{up.state}/q.der", "-o", up.state / "a", up.http_url("/ocsp"), check=0)
    assert done.returncode == 0
    head, _, body = (up.state / "a").read_bytes().partition(b"\r\n\r\n")
    return head.decode().lower(), body


def request(d, algorithm=hashes.SHA1(), nonce=None):
    b = ocsp.OCSPRequestBuilder().add_certificate(cert(d / "ocsp-1.crt"), cert(d / "issuing.pem"), algorithm)
    if nonce is not None:
        b = b.add_extension(x509.OCSPNonce(nonce), False)
    return b.build().public_bytes(Encoding.DER)


def test_openssl_is_told_good_and_verifies_it(up, issued):
    done = openssl(up, issued)
    assert "ocsp-1.crt: good" in done.stdout and "Response verify OK" in done.stderr
    assert "WARNING: no nonce" not in done.stderr, "the nonce came back"
    text = openssl(up, issued, "-resp_text", "-no_nonce").stdout
    assert "OCSP Signing" in text and "OCSP No Check" in text and "Next Update" in text
    done = run("openssl", "ocsp", "-sha256", "-issuer", issued / "issuing.pem", "-cert", issued / "ocsp-1.crt", "-CAfile",
               issued / "ca.pem", "-url", up.http_url("/ocsp"), check=0)
    assert "ocsp-1.crt: good" in done.stdout and "Response verify OK" in done.stderr


def test_certificates_say_where_to_ask(up, issued):
    found = cert(issued / "ocsp-1.crt").extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    urls = {a.access_method: a.access_location.value for a in found}
    assert urls[AuthorityInformationAccessOID.OCSP] == up.http_url("/ocsp")
    assert urls[AuthorityInformationAccessOID.CA_ISSUERS] == up.http_url("/ca/issuing.crt")


def test_gnutls_is_told_the_same(up, issued):
    done = run("ocsptool", f"--ask={up.http_url('/ocsp')}", "--load-issuer", issued / "issuing.pem", "--load-cert",
               issued / "ocsp-1.crt", "--load-trust", issued / "issuing.pem", "--nonce", check=0)
    assert "Certificate Status: good" in done.stdout and "Verifying OCSP Response: Success" in done.stdout


def test_a_revocation_shows_at_once_with_time_and_reason(up, issued):
    up.run("issue", "device", "ocsp-2", "--out", issued, check=0)
    assert "good" in openssl(up, issued, "-no_nonce", leaf="ocsp-2.crt").stdout
    up.run("revoke", "ocsp-2", "--reason", "key-compromise", check=0)
    done = openssl(up, issued, "-no_nonce", leaf="ocsp-2.crt")
    assert "ocsp-2.crt: revoked" in done.stdout and "Reason: keyCompromise" in done.stdout
    assert "Revocation Time:" in done.stdout


def test_a_hold_comes_and_goes(up, issued):
    up.run("issue", "device", "ocsp-3", "--out", issued, check=0)
    up.run("hold", "ocsp-3", check=0)
    assert "certificateHold" in openssl(up, issued, "-no_nonce", leaf="ocsp-3.crt").stdout
    up.run("release", "ocsp-3", check=0)
    assert "ocsp-3.crt: good" in openssl(up, issued, "-no_nonce", leaf="ocsp-3.crt").stdout


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()],
                         ids=lambda a: a.name)
def test_each_hash_of_a_certid(up, issued, algorithm):
    _, body = ask(up, request(issued, algorithm))
    answer = ocsp.load_der_ocsp_response(body)
    assert answer.certificate_status == ocsp.OCSPCertStatus.GOOD
    assert answer.hash_algorithm.name == algorithm.name


def test_a_serial_that_was_never_given_out_is_unknown(up, issued):
    done = run("openssl", "ocsp", "-issuer", issued / "issuing.pem", "-serial", "0x1234567890abcdef", "-CAfile",
               issued / "ca.pem", "-url", up.http_url("/ocsp"), check=0)
    assert "0x1234567890abcdef: unknown" in done.stdout


def test_get_may_be_kept_and_is_asked_again_by_its_tag(up, issued):
    text = urllib.parse.quote(base64.b64encode(request(issued)).decode(), safe="")
    got = run("curl", "-sS", "-D", "-", "-o", issued / "a.der", up.http_url(f"/ocsp/{text}"), check=0).stdout.lower()
    assert "200 ok" in got and "content-type: application/ocsp-response" in got
    age = int(re.search(r"cache-control: max-age=(\d+), public, no-transform, must-revalidate", got)[1])
    assert 11 * 3600 < age <= 24 * 3600 and "expires:" in got and "last-modified:" in got
    answer = ocsp.load_der_ocsp_response((issued / "a.der").read_bytes())
    assert answer.certificate_status == ocsp.OCSPCertStatus.GOOD
    tag = re.search(r'etag: ("[0-9a-f]+")', got)[1]
    again = run("curl", "-sS", "-D", "-", "-o", "/dev/null", "-H", f"If-None-Match: {tag}",
                up.http_url(f"/ocsp/{text}"), check=0).stdout
    assert " 304" in again


def test_get_in_whatever_way_its_slashes_are_written(up, issued):
    """Among the nonces there is one whose base64 has slashes, two in a row."""
    der = next(d for d in (request(issued, nonce=bytes([i]) * 9 + b"\xff" * 9) for i in range(256))
               if b"//" in base64.b64encode(d))
    text = base64.b64encode(der).decode()
    for written in (text, urllib.parse.quote(text, safe=""), text.replace("/", "%2f")):
        run("curl", "-sS", "--path-as-is", "-o", issued / "s.der", up.http_url(f"/ocsp/{written}"), check=0)
        answer = ocsp.load_der_ocsp_response((issued / "s.der").read_bytes())
        assert answer.certificate_status == ocsp.OCSPCertStatus.GOOD


@pytest.mark.parametrize("n", [1, 32, 128])
def test_nonces_come_back_and_are_not_kept(up, issued, n):
    head, body = ask(up, request(issued, nonce=b"\x07" * n))
    answer = ocsp.load_der_ocsp_response(body)
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce.endswith(b"\x07" * n)
    assert "no-store" in head


@pytest.mark.parametrize("der", [
    b"", b"\x30", EMPTY, b"\x30\x80\x00\x00", b"\x00" * 100, b"\x30\x82\xff\xff" + b"a" * 50, b"A" * 9000,
], ids=["empty", "cut", "no list", "indefinite", "zeros", "long", "too long"])
def test_what_is_no_request_is_told_so(up, der):
    _, body = ask(up, der)
    assert ocsp.load_der_ocsp_response(body).response_status == ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_a_nonce_that_is_too_long_is_malformed(up, issued):
    _, body = ask(up, request(issued, nonce=b"n" * 129))
    assert ocsp.load_der_ocsp_response(body).response_status == ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_about_another_ca_nobody_here_may_speak(up, issued):
    other = request(issued)
    at = other.index(b"\x04\x14") + 2
    other = other[:at] + bytes(20) + other[at + 20:]
    _, body = ask(up, other)
    assert ocsp.load_der_ocsp_response(body).response_status == ocsp.OCSPResponseStatus.UNAUTHORIZED


def test_another_content_type_is_refused(up, issued):
    head, body = ask(up, request(issued), type="text/plain")
    assert " 400 " in head and json.loads(body)["reason"] == "message-malformed"


def test_several_certificates_in_one_request(up, issued):
    up.run("issue", "device", "ocsp-4", "--out", issued, check=0)
    up.run("revoke", "ocsp-4", check=0)
    done = run("openssl", "ocsp", "-issuer", issued / "issuing.pem", "-cert", issued / "ocsp-1.crt", "-cert",
               issued / "ocsp-4.crt", "-CAfile", issued / "ca.pem", "-url", up.http_url("/ocsp"), check=0)
    assert "ocsp-1.crt: good" in done.stdout and "ocsp-4.crt: revoked" in done.stdout


def test_our_own_verifier_believes_it(up, issued):
    run("openssl", "ocsp", "-issuer", issued / "issuing.pem", "-cert", issued / "ocsp-1.crt", "-no_nonce", "-url",
        up.http_url("/ocsp"), "-CAfile", issued / "ca.pem", "-respout", issued / "r.der", check=0)
    done = countersign("verify", "--purpose", "client", "--trust", issued / "ca.pem", "--chain", issued / "issuing.pem",
                  "--ocsp", issued / "r.der", "--json", issued / "ocsp-1.crt", check=0)
    assert json.loads(done.stdout)["result"] == "accepted"


def test_it_is_served_over_tls_too(up, issued):
    text = urllib.parse.quote(base64.b64encode(request(issued)).decode(), safe="")
    done = run("curl", "-sS", "--cacert", up.ca, "-o", issued / "t.der", up.url(f"/ocsp/{text}"), check=0)
    assert done.returncode == 0
    answer = ocsp.load_der_ocsp_response((issued / "t.der").read_bytes())
    assert answer.certificate_status == ocsp.OCSPCertStatus.GOOD


def test_the_responders_certificate_ends_soon_and_is_audited(up, issued):
    _, body = ask(up, request(issued))
    responder, = ocsp.load_der_ocsp_response(body).certificates
    assert (responder.not_valid_after - responder.not_valid_before).days <= 3
    assert responder.issuer == cert(issued / "issuing.pem").subject


def test_without_a_signer_what_is_kept_is_still_given(system, tmp_path):
    s = system()
    s.start()
    s.run("issue", "device", "p", "--out", tmp_path, check=0)
    pem = (tmp_path / "p.crt").read_text()
    (tmp_path / "issuing.pem").write_text(pem[pem.index("-----BEGIN", 10):])
    good = openssl(s, tmp_path, leaf="p.crt")
    assert "p.crt: good" in good.stdout
    os.kill(s.pids()["signer"], signal.SIGSTOP)
    try:
        assert "p.crt: good" in openssl(s, tmp_path, leaf="p.crt").stdout
    finally:
        os.kill(s.pids()["signer"], signal.SIGCONT)
