"""Clients that we did not write are let in with our certificates, and the upstream is told who they are."""
import json
import ssl
import subprocess
import sys

import pytest
from clients import headers_told, s_client, status_of
from conftest import Answer, run


def test_curl_with_pem_is_let_in_and_the_upstream_knows_the_device(up):
    told = up.get("/?format=json").json()
    assert told["kind"] == "device"
    assert told["identity"]
    assert len(told["serial"]) == 32
    assert len(told["fingerprint"]) == 64


def test_curl_with_p12_is_let_in_and_the_upstream_knows_the_user(up):
    done = run("curl", "-sS", "-i", "--max-time", 30, "--cacert", up.ca, "--cert-type", "P12",
               "--cert", f"{up.p12}:{up.p12_password}", up.url("/?format=json"))
    answer = Answer(done)
    assert answer.code == 0, answer.err
    assert answer.status == 200
    told = answer.json()
    assert told["kind"] == "user"
    assert "@" in told["identity"]


def test_python_requests_in_four_lines(up):
    program = f"""
import requests
r = requests.get({up.url("/?format=json")!r}, cert=({str(up.crt)!r}, {str(up.key)!r}), verify={str(up.ca)!r})
print(r.status_code, r.json()["kind"])
"""
    done = run("/usr/bin/python3", "-c", program)
    assert done.stdout.split() == ["200", "device"], done.stderr


@pytest.mark.parametrize("version,name", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_openssl_s_client_is_let_in(up, version, name):
    out = s_client(up, version)
    assert status_of(out) == 200, out[-2000:]
    assert name in out
    assert "Verify return code: 0 (ok)" in out


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_tls_is_refused(up, version):
    out = s_client(up, version, "-cipher", "ALL:@SECLEVEL=0")
    assert status_of(out) == 0
    assert "alert protocol version" in out or "unsupported protocol" in out or "no protocols available" in out, out[-800:]


def test_weak_ciphers_are_refused(up):
    out = s_client(up, "-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0")
    assert status_of(out) == 0
    assert "handshake failure" in out, out[-800:]


def test_keep_alive_serves_many_requests_on_one_connection(up):
    before = up.metric("connections_total", listener="https")
    done = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", "--cacert", up.ca,
               "--cert", up.crt, "--key", up.key, *[a for i in range(20) for a in (up.url(f"/{i}?format=json"), "-o", "/dev/null")][:-2])
    lines = done.stdout.split("\n")[:-1]
    assert all(line.startswith("200") for line in lines), done.stdout + done.stderr
    assert sum(int(line.split()[1]) for line in lines) == 1
    assert up.metric("connections_total", listener="https") - before >= 1


SPOOFED = [
    "X-Countersign-Identity: admin", "x-countersign-identity: admin", "X_Countersign_Identity: admin",
    "X-Countersign-Kind: user", "X-Countersign-Serial: 00", "X-COUNTERSIGN-FINGERPRINT: 00",
    "X-Countersign-Verified: success", "X-Countersign-Anything: admin",
    "Client-Cert: :AAAA:", "Client-Cert-Chain: :AAAA:", "client_cert: :AAAA:",
    "X-Forwarded-Client-Cert: Hash=00;Subject=\"CN=admin\"", "X_Forwarded-Client_Cert: Hash=00",
    "X-SSL-Client-Cert: admin",
]


def test_spoofed_identity_headers_never_reach_the_upstream(up):
    args = [a for h in SPOOFED for a in ("-H", h)]
    clean = up.get("/?format=json").json()
    told = up.get("/?format=json").__class__(run("curl", "-sS", "-i", "--cacert", up.ca, "--cert", up.crt, "--key", up.key,
                                                 *args, up.url("/?format=json"))).json()
    for field in ("identity", "kind", "serial", "fingerprint"):
        assert told[field] == clean[field]
    assert "admin" not in json.dumps(told)
    assert ":AAAA:" not in json.dumps(told)
    for header in ("X-Countersign-Identity", "Client-Cert", "X-Forwarded-Client-Cert"):
        assert len(headers_told(told, header)) <= 1


def test_a_connection_header_cannot_strip_the_identity(up):
    told = Answer(run("curl", "-sS", "-i", "--cacert", up.ca, "--cert", up.crt, "--key", up.key, "-H",
                      "Connection: close, X-Countersign-Identity, Client-Cert", up.url("/?format=json"))).json()
    assert told["kind"] == "device"


def test_client_cert_header_is_the_certificate_as_rfc_9440_has_it(up):
    import base64
    told = up.get("/?format=json").json()
    [value] = headers_told(told, "Client-Cert")
    der = ssl.PEM_cert_to_DER_cert(up.crt.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
    assert value == ":" + base64.b64encode(der).decode() + ":"


def test_a_large_body_goes_through_whole(up, work):
    body = work / "body"
    body.write_bytes(b"x" * 3_000_000)
    answer = up.curl("/upload?format=json", "--data-binary", f"@{body}", "-H", "Expect:")
    assert answer.status in (200, 405), answer.err


def test_a_wrong_host_is_misdirected_or_served_never_crashes(up):
    answer = up.curl("/", "-H", "Host: other.example")
    assert answer.status in (200, 421)


def test_plain_http_on_the_tls_port_is_refused_and_the_gateway_lives(up):
    done = run("curl", "-sS", "--max-time", 10, f"http://127.0.0.1:{up.https}/")
    assert done.returncode != 0 or "400" in done.stdout or done.stdout == ""
    assert up.get("/").status == 200


if __name__ == "__main__":
    sys.exit(subprocess.call(["/usr/bin/python3", "-m", "pytest", "-q", __file__]))
