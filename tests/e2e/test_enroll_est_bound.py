"""EST's requests that are bound to their connection (RFC 7030 3.5, RFC 9266): with openssl's client, Python's, and libest's."""
import base64
import socket
import ssl
import subprocess

import pytest
from conftest import System, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AttributeOID, NameOID
from foreign import debian13, environment
from test_enroll_est import est, token


@pytest.fixture(scope="module")
def strict():
    """Requests must be bound at the path without a label, need not at `device`, and are looked at there."""
    s = System()
    config = s.state.parent / "bound.yaml"
    config.write_text("enroll:\n  doors:\n    - {protocol: est, channel_binding: required}\n    - {protocol: est, label: device}\n"
                      "    - {protocol: est, label: blind, profile: device, channel_binding: ignored}\n")
    s.options["config"] = config
    s.start()
    yield s
    s.close()


def request(name, binding):
    b = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    if binding is not None:
        b = b.add_attribute(AttributeOID.CHALLENGE_PASSWORD, base64.b64encode(binding) if isinstance(binding, bytes) else binding.encode())
    return base64.encodebytes(b.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.DER))


def post(s, name, binding, path="simpleenroll", more=""):
    body = request(name, binding)
    user = base64.b64encode(f"{name}:{token(s, name)}".encode()).decode()
    return (f"POST /.well-known/est/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Basic {user}\r\n{more}"
            f"Content-Type: application/pkcs10\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def over_12(s, make, session=None):
    """make(tls-unique) is sent over that connection of TLS 1.2; (answer, session)."""
    context = s.context(False, version=ssl.TLSVersion.TLSv1_2)
    context = session.context if session else context
    sock = context.wrap_socket(socket.create_connection(("127.0.0.1", s.https), 30), server_hostname="localhost", session=session and session.session)
    sock.sendall(make(sock.get_channel_binding("tls-unique")))
    answer = b""
    while more := sock.recv(65536):
        answer += more
    return answer, sock


def over_13(s, make):
    """The same with openssl's client, which tells the exported value."""
    p = subprocess.Popen(["openssl", "s_client", "-connect", f"localhost:{s.https}", "-servername", "localhost", "-CAfile", str(s.ca), "-tls1_3",
                          "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32", "-ign_eof"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for line in p.stdout:
        if line.strip().startswith(b"Keying material:"):
            break
    out, _ = p.communicate(make(bytes.fromhex(line.split(b":")[1].strip().decode())), timeout=60)
    return out[out.index(b"HTTP/1.1"):]


def test_a_request_bound_to_its_connection_is_served(strict):
    assert over_13(strict, lambda b: post(strict, "bound-1", b)).startswith(b"HTTP/1.1 200")
    answer, sock = over_12(strict, lambda b: post(strict, "bound-2", b))
    assert answer.startswith(b"HTTP/1.1 200"), answer
    again, resumed = over_12(strict, lambda b: post(strict, "bound-3", b), sock)
    assert resumed.session_reused and again.startswith(b"HTTP/1.1 200"), again


def test_one_made_for_another_connection_or_for_none_is_refused(strict):
    kept = []
    over_13(strict, lambda b: kept.append(b) or post(strict, "bound-4", b))
    stolen = over_13(strict, lambda b: post(strict, "bound-5", kept[0]))
    assert stolen.startswith(b"HTTP/1.1 403") and b"channel-binding-mismatch" in stolen
    assert b"channel-binding-mismatch" in over_12(strict, lambda b: post(strict, "bound-6", b[:-1] + bytes([b[-1] ^ 1])))[0]
    assert b"channel-binding-mismatch" in over_12(strict, lambda b: post(strict, "bound-7", None))[0]
    assert b"channel-binding-mismatch" in over_12(strict, lambda b: post(strict, "bound-8", "a word of nobody"))[0]
    assert b"channel-binding-mismatch" in over_12(strict, lambda b: post(strict, "bound-9", None, "serverkeygen"))[0]
    assert over_12(strict, lambda b: post(strict, "bound-10", b, "serverkeygen"))[0].startswith(b"HTTP/1.1 200")


def test_what_a_client_says_of_its_connection_counts_for_nothing(strict):
    told = b"x" * 32
    for header in ("X-Countersign-Channel-Binding", "x_countersign_channel_binding", "X-COUNTERSIGN-Channel-Binding"):
        more = f"{header}: {base64.b64encode(told).decode()}\r\n"
        got = over_12(strict, lambda b, m=more: post(strict, "bound-11", told, more=m))[0]  # the same token is asked for anew each time
        assert b"channel-binding-mismatch" in got or got.startswith(b"HTTP/1.1 400"), got


def test_where_none_is_needed_one_is_looked_at_all_the_same_unless_it_is_ignored(strict):
    wrong = b"y" * 12
    assert over_12(strict, lambda b: post(strict, "bound-12", None, "device/simpleenroll"))[0].startswith(b"HTTP/1.1 200")
    assert over_12(strict, lambda b: post(strict, "bound-13", "a password", "device/simpleenroll"))[0].startswith(b"HTTP/1.1 200")
    assert b"channel-binding-mismatch" in over_12(strict, lambda b: post(strict, "bound-14", wrong, "device/simpleenroll"))[0]
    assert over_12(strict, lambda b: post(strict, "bound-15", wrong, "blind/simpleenroll"))[0].startswith(b"HTTP/1.1 200")


def test_csrattrs_asks_for_it_where_it_is_needed(strict, work):
    asn1 = lambda path: run("openssl", "asn1parse", "-inform", "DER", input=None, check=0, *["-in", path]).stdout  # noqa: E731
    for op, wanted in (("csrattrs", True), ("device/csrattrs", False)):
        _, _, answer = est(strict, work, op)
        (work / "a.der").write_bytes(base64.b64decode(answer))
        assert ("challengePassword" in asn1(work / "a.der")) == wanted


def test_libests_client_binds_its_request(strict, work):
    place = debian13("libest-utils", "libest3")
    env = {**environment(place), "EST_OPENSSL_CACERT": str(strict.ca)}
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", work / "k.pem", check=0)
    secret = token(strict, "lib-bound")
    words = [place / "usr/bin/estclient", "-e", "-s", "localhost", "-p", strict.https, "-o", work, "-u", "lib-bound", "-h", secret,
             "-z", "-x", work / "k.pem", "--common-name", "lib-bound"]
    done = subprocess.run([str(w) for w in words], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and list(work.glob("cert-*")), done.stdout + done.stderr
