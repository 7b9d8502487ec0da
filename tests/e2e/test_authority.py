"""The authority's API and public paths, without a gateway."""
import json
import os
import sqlite3
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import logcheck
from authority import Authority, request
from conftest import PATIENCE, run


@pytest.fixture(scope="module")
def a():
    made = Authority().start()
    yield made
    made.stop()
    made.close()


@pytest.fixture
def own():
    made = Authority().start()
    yield made
    made.stop()
    made.close()


def refused(answer, reason):
    status, headers, problem = answer
    assert status >= 400 and problem["reason"] == reason, answer
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status and problem["advice"] and problem["title"]
    return problem


def test_what_is_issued_passes_openssl_strictly(a, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    status, _, got = a.issue("strict-1", csr=request(key=key))
    assert status == 201
    (tmp_path / "leaf").write_text(got["certificate"])
    (tmp_path / "chain").write_text(got["chain"])
    (tmp_path / "ca").write_text(got["ca"])
    run("openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca", "-untrusted", tmp_path / "chain",
        tmp_path / "leaf", check=0)
    cert = x509.load_pem_x509_certificate(got["certificate"].encode())
    assert f"{cert.serial_number:032x}" == got["serial"] and cert.public_key().public_numbers() == key.public_key().public_numbers()


def test_a_request_that_asks_to_be_a_ca_is_refused(a):
    refused(a.issue("x", csr=request(extensions=[x509.BasicConstraints(True, None)])), "csr-asks-for-ca")


def test_a_request_with_names_that_were_not_asked_for_is_refused(a):
    refused(a.issue("x", csr=request([x509.DNSName("www.bank.example")])), "name-not-allowed")
    refused(a.issue("gw.example", kind="server", csr=request([x509.DNSName("other.example")])), "name-not-allowed")
    assert a.issue("gw.example", kind="server", dns=["other.example"],
                   csr=request([x509.DNSName("other.example"), x509.DNSName("gw.example")]))[0] == 201


def test_a_weak_key_is_refused(a):
    refused(a.issue("x", csr=request(key=rsa.generate_private_key(65537, 1024))), "key-too-weak")


def test_a_damaged_request_is_refused(a):
    csr = request()
    refused(a.issue("x", csr="hello"), "file-wrong-type")
    broken = csr.splitlines()
    body = broken[3]
    broken[3] = body[:10] + ("A" if body[10] != "A" else "B") + body[11:]
    assert a.issue("x", csr="\n".join(broken))[0] >= 400


@pytest.mark.parametrize("name,kind,reason", [
    ("../../etc/passwd", "device", "name-invalid"),
    ("", "device", "name-invalid"),
    ("a b", "device", "name-invalid"),
    ("'; DROP TABLE certificates; --", "device", "name-invalid"),
    ("<script>", "user", "name-invalid"),
    ("a\nb@example.org", "user", "name-invalid"),
    ("x", "ca", "profile-unknown"),
    ("*", "server", "name-invalid"),
])
def test_names_that_may_not_be(a, name, kind, reason):
    refused(a.issue(name, kind=kind), reason)


def test_bad_bodies_name_the_field(a):
    for body, field in [({"kind": "device", "name": 5, "csr": "x"}, "name"), ({"kind": "device", "csr": "x"}, "name"),
                        ({"kind": "device", "name": "x"}, "csr"), ([], "object"),
                        ({"kind": "device", "name": "x", "csr": "x", "dns": "y"}, "dns"),
                        ({"kind": "device", "name": "x", "csr": "x", "lifetime_seconds": -1}, "lifetime_seconds")]:
        assert field in refused(a.call("POST", "/api/v1/certificates", body), "message-malformed")["detail"]
    refused(a.call("POST", "/api/v1/certificates", {"x": "y" * 300000}), "http-body-too-large")
    refused(a.call("DELETE", "/api/v1/certificates"), "http-method-not-allowed")
    refused(a.call("GET", "/api/v1/nothing"), "route-unknown")
    refused(a.call("GET", "/api/v1/certificates/zz"), "certificate-unknown")
    refused(a.call("GET", "/api/v1/certificates?limit=0"), "message-malformed")


def test_an_idempotency_key_gives_the_same_certificate_and_no_other(a):
    csr = request()
    first = a.issue("same", csr=csr, idempotency_key="k1")[2]
    again = a.issue("same", csr=csr, idempotency_key="k1")[2]
    assert first["serial"] == again["serial"]
    refused(a.issue("other", csr=csr, idempotency_key="k1"), "idempotency-conflict")


def test_a_lifetime_over_the_profiles_limit_is_refused(a):
    refused(a.issue("long", lifetime_seconds=20 * 365 * 86400), "profile-violated")
    assert a.issue("short", lifetime_seconds=3600)[0] == 201


def test_revocation_shows_in_list_and_crl(a, tmp_path):
    serial = a.issue("doomed")[2]["serial"]
    status, _, done = a.call("POST", "/api/v1/revocations", {"name": "doomed", "reason": "superseded"})
    assert status == 200 and done["revoked"][0]["serial"] == serial
    refused(a.call("POST", "/api/v1/revocations", {"serial": serial}), "already-revoked")
    refused(a.call("POST", "/api/v1/revocations", {"name": "nobody"}), "certificate-unknown")
    refused(a.call("POST", "/api/v1/revocations", {"name": "doomed", "reason": "whim"}), "reason-invalid")
    row = a.call("GET", f"/api/v1/certificates/{serial}")[2]
    assert row["status"] == "revoked" and row["revocation_reason"] == "superseded"
    crl = a.call("POST", "/api/v1/crls", {})[2]
    assert "pem" not in crl and crl["size"] < 1000 and len(json.dumps(crl)) < 2000, "the list is no part of the answer"
    (tmp_path / "crl").write_bytes(a.crl())
    text = run("openssl", "crl", "-inform", "DER", "-in", tmp_path / "crl", "-noout", "-text", check=0).stdout
    assert serial.upper() in text and "Superseded" in text
    later = a.call("POST", "/api/v1/crls", {})[2]
    assert later["number"] > crl["number"]


def test_a_hold_is_released_and_leaves_the_crl(a, tmp_path):
    serial = a.issue("held")[2]["serial"]
    a.call("POST", "/api/v1/revocations", {"serial": serial, "reason": "certificate-hold"})
    assert a.call("GET", f"/api/v1/certificates/{serial}")[2]["status"] == "held"
    assert a.call("POST", "/api/v1/releases", {"serial": serial})[0] == 200
    assert a.call("GET", f"/api/v1/certificates/{serial}")[2]["status"] == "valid"
    a.call("POST", "/api/v1/crls", {})
    (tmp_path / "crl").write_bytes(a.crl())
    assert serial.upper() not in run("openssl", "crl", "-inform", "DER", "-in", tmp_path / "crl", "-noout", "-text", check=0).stdout


def test_public_paths_have_their_media_types_and_answer_304(a):
    for path, kind in [("/ca/root.crt", "application/pkix-cert"), ("/ca/issuing.crt", "application/pkix-cert"),
                       ("/crl/issuing.crl", "application/pkix-crl"), ("/crl/root.crl", "application/pkix-crl"),
                       ("/ca/ca.pem", "application/x-pem-file")]:
        status, headers, body = a.call("GET", path, socket_name="authority")
        assert status == 200 and headers["Content-Type"] == kind and body
        again = a.call("GET", path, socket_name="authority", headers={"If-None-Match": headers["ETag"]})
        assert again[0] == 304 and again[2] == b""
        since = a.call("GET", path, socket_name="authority", headers={"If-Modified-Since": headers["Last-Modified"]})
        assert since[0] == 304
    assert a.call("GET", "/healthz", socket_name="authority")[2] == {"status": "ok"}


def test_the_api_on_the_public_socket_is_for_whom_the_gateway_names(a):
    for method, path in [("POST", "/api/v1/certificates"), ("GET", "/api/v1/status"), ("POST", "/api/v1/revocations")]:
        refused(a.call(method, path, {} if method == "POST" else None, socket_name="authority"), "certificate-required")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_another_user_may_not_use_the_control_socket(a):
    a.top.chmod(0o755), a.state.chmod(0o755), a.run.chmod(0o755), (a.run / "control.sock").chmod(0o777)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--max-time",
                           "10", "--unix-socket", str(a.run / "control.sock"), "http://x/api/v1/status"],
                          capture_output=True, text=True)
    a.top.chmod(0o700), a.state.chmod(0o700), a.run.chmod(0o700), (a.run / "control.sock").chmod(0o600)
    assert '"reason":"permission-denied"' in done.stdout and "issued" not in done.stdout, done


def test_many_at_once_are_all_issued_with_different_serials(a):
    got = []

    def some(worker):
        for i in range(20):
            got.append(a.issue(f"crowd-{worker}-{i}")[2].get("serial"))

    threads = [threading.Thread(target=some, args=(w,)) for w in range(8)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(set(got)) == 160 and None not in got


def test_status_counts(a):
    s = a.call("GET", "/api/v1/status")[2]
    assert s["signer"] == "ok" and s["issued"]["device"] > 0 and s["valid"] > 0 and s["crl"]["number"] > 0


def test_the_audit_log_is_whole_and_names_who_and_what(a):
    serial = a.issue("audited")[2]["serial"]
    a.call("POST", "/api/v1/revocations", {"serial": serial, "reason": "certificate-hold"})
    a.call("POST", "/api/v1/releases", {"serial": serial})
    a.call("POST", "/api/v1/crls", {})
    newest = a.call("GET", "/api/v1/log/head")[2]
    records = [r["record"] for r in a.call("GET", "/api/v1/log?limit=1000")[2]["records"]]
    assert logcheck.head(newest["head"], newest["key"]["vkey"]) == (
        newest["size"], logcheck.root([logcheck.leaf(r.encode()) for r in records[:newest["size"]]]))
    mine = [json.loads(r) for r in records if serial in r]
    assert [r["event"] for r in mine] == ["issued", "revoked", "released"]
    assert all(r["by"] == f"uid {os.getuid()}" and r["via"] == "control" and r["name"] == "audited" for r in mine)
    assert any('"event":"crl-published"' in r for r in records)


def test_a_stranger_can_check_that_an_issuance_is_in_the_log(a):
    serial = a.issue("proven")[2]["serial"]
    p = a.call("GET", "/api/v1/log/proof/" + serial)[2]
    assert logcheck.proof(p)["serial"] == serial
    p["record"] = p["record"].replace("proven", "probed")
    with pytest.raises(AssertionError):
        logcheck.proof(p)
    refused(a.call("GET", "/api/v1/log/proof/" + "ab" * 16), "certificate-unknown")


def test_a_log_that_was_rewritten_gets_no_head(own):
    """Whoever owns the store can make its hashes whole again; the signer remembers what it signed."""
    a = own
    a.issue("before")
    a.call("GET", "/api/v1/log/head")
    a.stop()
    db = sqlite3.connect(a.state / "authority" / "store.db")
    rows = db.execute("SELECT sequence, record FROM log ORDER BY sequence").fetchall()
    records = [(s, r.replace('"before"', '"beside"')) for s, r in rows]
    assert records != rows
    done = {}
    for s, record in records:
        h, level = logcheck.leaf(record.encode()), 0
        hashes = h
        while not s >> level & 1:
            h = logcheck.node(done[level, s - (1 << level)], h)
            hashes, level = hashes + h, level + 1
        for k in range(level + 1):
            done[k, s] = hashes[32 * k:32 * k + 32]
        db.execute("UPDATE log SET record = ?, hashes = ? WHERE sequence = ?", (record, hashes, s))
    db.commit()
    db.close()
    a.start()
    a.issue("after")
    assert "does not begin with that" in refused(a.call("GET", "/api/v1/log/head"), "log-forked")["detail"]


def test_the_signers_process_holds_no_network_and_no_database(a):
    pid = a.processes["signer"].pid
    maps = open(f"/proc/{pid}/maps").read()
    assert "libsqlite" not in maps and "libmicrohttpd" not in maps and "libssl" not in maps
    assert "NoNewPrivs:\t1" in open(f"/proc/{pid}/status").read()


def test_the_authority_waits_for_a_signer_that_is_being_restarted(a):
    a.kill("signer")
    got = []
    asker = threading.Thread(target=lambda: got.append(a.issue("patient")[0]))
    asker.start()
    time.sleep(0.5)
    a.start(["signer"])
    asker.join()
    assert got == [201]


def test_a_signer_that_stays_away_is_said_in_bounded_time(a):
    a.kill("signer")
    before = time.monotonic()
    refused(a.issue("impatient"), "signer-unreachable")
    assert time.monotonic() - before < 20 * PATIENCE
    assert a.call("GET", "/healthz", socket_name="authority")[0] == 503
    a.start(["signer"])
    assert a.issue("relieved")[0] == 201
