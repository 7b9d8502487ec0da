"""countersign crl --of: a file of CRLs for a server that is not ours is replaced by what is good, and by nothing else."""
import datetime as dt
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mint
import pytest
from conftest import countersign, free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


class Publisher(BaseHTTPRequestHandler):
    answers = {}

    def do_GET(self):
        body = self.answers.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        try:
            self.wfile.write(body or b"")
        except OSError:
            pass  # who asked has heard enough

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    top = tmp_path_factory.mktemp("crls")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ca = mint.foreign_ca("A CA")
    other = mint.foreign_ca("Another CA")
    (top / "ca.pem").write_bytes(ca[0].public_bytes(serialization.Encoding.PEM))
    yield top, f"http://127.0.0.1:{server.server_address[1]}", ca, other
    server.shutdown()
    server.server_close()


def crl(ca, number=1, begins=-mint.DAY, ends=mint.DAY, delta=None):
    b = (x509.CertificateRevocationListBuilder().issuer_name(ca[0].subject).last_update(mint.now() + begins).next_update(mint.now() + ends)
         .add_extension(x509.CRLNumber(number), False)
         .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
             ca[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value), False))
    if delta:
        b = b.add_extension(x509.DeltaCRLIndicator(delta), True)
    return b.sign(ca[1], hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def refresh(site, *more, url="/crl", check=None):
    top, base, _, _ = site
    return countersign("crl", "--of", top / "ca.pem", "--url", base + url, "--out", top / "crl.pem", *more, check=check)


def test_what_is_good_is_put_there_and_told_once(site):
    top, _, ca, _ = site
    Publisher.answers["/crl"] = crl(ca, 5)
    done = refresh(site, "--then", f"cp {top}/ca.pem {top}/told", check=0)
    assert "new" in done.stdout and (top / "told").exists()
    (top / "told").unlink()
    assert '"changed":false' in refresh(site, "--then", f"cp {top}/ca.pem {top}/told", "--json", check=0).stdout
    assert not (top / "told").exists()
    refresh(site, "--with", top / "ca.pem", check=0)
    assert (top / "crl.pem").read_text().startswith("-----BEGIN CERTIFICATE")
    refresh(site, check=0)


@pytest.mark.parametrize("what,reason", [
    (lambda ca, other: crl((ca[0], other[1]), 9), "crl-signature-invalid"),
    (lambda ca, other: crl(other, 9), "unknown-issuer"),
    (lambda ca, other: crl(ca, 9, -9 * mint.DAY, -mint.DAY), "crl-stale"),
    (lambda ca, other: crl(ca, 9, mint.DAY, 2 * mint.DAY), "crl-not-yet-valid"),
    (lambda ca, other: crl(ca, 4), "crl-rollback"),
    (lambda ca, other: crl(ca, 9, delta=5), "crl-invalid"),
    (lambda ca, other: crl(ca, 9)[:-9], "crl-invalid"),
    (lambda ca, other: b"<html>a captive portal</html>", "crl-invalid"),
    (lambda ca, other: b"", "fetch-failed|crl-invalid"),
    (lambda ca, other: None, "fetch-failed")])
def test_what_is_not_good_changes_nothing(site, what, reason):
    top, _, ca, other = site
    Publisher.answers["/crl"] = crl(ca, 5)
    refresh(site, check=0)
    before = (top / "crl.pem").read_bytes()
    Publisher.answers["/crl"] = what(ca, other)
    done = refresh(site, "--then", f"cp {top}/ca.pem {top}/told-badly")
    assert done.returncode == 1 and any(r in done.stderr for r in reason.split("|")), done.stderr
    assert (top / "crl.pem").read_bytes() == before and not (top / "told-badly").exists()


def test_nobody_answers_and_a_command_that_fails_are_told(site):
    top, _, ca, _ = site
    done = countersign("crl", "--of", top / "ca.pem", "--url", f"http://127.0.0.1:{free_port()}/x", "--out", top / "never.pem")
    assert done.returncode == 1 and "fetch-failed" in done.stderr and not (top / "never.pem").exists()
    Publisher.answers["/crl"] = crl(ca, 20)
    done = refresh(site, "--then", "false")
    assert done.returncode == 1 and "process-failed" in done.stderr and "the CRLs are new" in done.stderr
    assert countersign("crl", "--url", "http://127.0.0.1/x").returncode == 2
    assert countersign("crl", "--of", top / "ca.pem", "--out", top / "never.pem").returncode == 2  # names none
