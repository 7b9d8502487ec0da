"""EST (RFC 7030, RFC 8951) through the gateway: curl and openssl, and strongSwan's client."""
import base64
import json
import shutil
import subprocess

import pytest
from conftest import countersign, run, wait_for

EST = "/.well-known/est/"


def token(system, name, kind="device", *more):
    out = countersign("token", "create", kind, name, "--json", "--state", system.state, *more, check=0)
    return json.loads(out.stdout)["token"]


def new_request(folder, cn, stem="new", key=None, san=None):
    """A key and a request by openssl, as DER; both stay in the folder."""
    key = key or folder / f"{stem}.key"
    if not key.exists():
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key, check=0)
    run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={cn}", "-outform", "DER", "-out", folder / f"{stem}.csr",
        *(["-addext", f"subjectAltName={san}"] if san else []), check=0)
    return key, base64.encodebytes((folder / f"{stem}.csr").read_bytes())


def est(system, folder, op, body=None, user=None, crt=None, key=None, kind="application/pkcs10", may_be_cut=False):
    """(status, headers, body) of curl."""
    head, answer = folder / "head", folder / "answer"
    words = ["curl", "-sS", "--cacert", system.ca, "-D", head, "-o", answer, "-w", "%{http_code}"]
    if body is not None:
        (folder / "body").write_bytes(body)
        words += ["--data-binary", f"@{folder / 'body'}", "-H", f"Content-Type: {kind}"]
    if user:
        words += ["--user", user]
    if crt:
        words += ["--cert", crt, "--key", key]
    done = run(*words, f"https://localhost:{system.https}{EST}{op}")
    if may_be_cut and done.returncode != 0:
        return 0, {}, b""
    assert done.returncode == 0, done.stderr
    heads = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head.read_text().splitlines())}
    return int(done.stdout), heads, answer.read_bytes() if answer.exists() else b""


def certificates(folder, answer):
    """PEM of what a certs-only answer holds, by openssl."""
    (folder / "p7.der").write_bytes(base64.b64decode(answer))
    return run("openssl", "pkcs7", "-inform", "DER", "-in", folder / "p7.der", "-print_certs", check=0).stdout


def subject(pem):
    return run("openssl", "x509", "-noout", "-subject", "-serial", input=pem, check=0).stdout


def enrolled(system, folder, name, stem="new"):
    """name.crt and its key, enrolled by token."""
    key, body = new_request(folder, name, stem)
    status, _, answer = est(system, folder, "simpleenroll", body, f"{name}:{token(system, name)}")
    assert status == 200, answer
    crt = folder / f"{stem}.crt"
    crt.write_text(certificates(folder, answer))
    return crt, key


def test_cacerts_are_the_root_and_the_cas_below_and_need_no_credential(up, work):
    status, heads, answer = est(up, work, "cacerts")
    assert status == 200 and heads["content-type"].startswith("application/pkcs7-mime")
    assert heads["content-transfer-encoding"] == "base64" and "transfer-encoding" not in heads
    assert int(heads["content-length"]) == len(answer) and {len(x) for x in answer.splitlines()[:-1]} == {64}
    assert certificates(work, answer).count("BEGIN CERTIFICATE") == 2
    assert up.ca.read_text().strip() in certificates(work, answer)


def test_csrattrs_are_der_that_openssl_reads(up, work):
    status, heads, answer = est(up, work, "csrattrs")
    assert status == 200 and heads["content-type"] == "application/csrattrs"
    (work / "a.der").write_bytes(base64.b64decode(answer))
    text = run("openssl", "asn1parse", "-inform", "DER", "-in", work / "a.der", check=0).stdout
    assert "id-ecPublicKey" in text and "ecdsa-with-SHA256" in text


def test_a_token_enrolls_once_and_the_same_request_gets_the_same_answer(up, work):
    secret = token(up, "est-1")
    key, body = new_request(work, "est-1")
    status, heads, answer = est(up, work, "simpleenroll", body, f"est-1:{secret}")
    assert status == 200 and heads["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    pem = certificates(work, answer)
    assert pem.count("BEGIN CERTIFICATE") == 1 and "est-1" in subject(pem)
    (work / "c.crt").write_text(pem)
    again = est(up, work, "simpleenroll", body, f"est-1:{secret}")
    assert again[0] == 200 and certificates(work, again[2]) == pem
    _, other = new_request(work, "est-1", "other")
    status, heads, answer = est(up, work, "simpleenroll", other, f"est-1:{secret}")
    assert status == 401 and answer.startswith(b"token-invalid") and heads["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("user,why", [
    (None, b"credential-needed"), ("est-2:aaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", b"token-invalid"), ("est-2:secret", b"token-invalid"),
])
def test_who_shows_nothing_or_what_is_wrong_is_told_to_authenticate(system, work, user, why):
    s = system()
    s.start()
    _, body = new_request(work, "est-2")
    status, heads, answer = est(s, work, "simpleenroll", body, user)
    assert status == 401 and answer.startswith(why) and "www-authenticate" in heads


def test_a_token_is_for_one_name_and_one_kind(up, work):
    secret = token(up, "est-3")
    _, body = new_request(work, "est-4")
    assert est(up, work, "simpleenroll", body, f"est-3:{secret}")[2].startswith(b"name-not-allowed")
    _, body = new_request(work, "est-3")
    assert est(up, work, "server/simpleenroll", body, f"est-3:{secret}")[0] == 404
    assert est(up, work, "simpleenroll", body, f"est-4:{secret}")[0] == 401
    _, body = new_request(work, "est-3", san="DNS:gw.corp.example")
    assert est(up, work, "simpleenroll", body, f"est-3:{secret}")[0] == 403
    _, body = new_request(work, "est-3")
    assert est(up, work, "device/simpleenroll", body, f"est-3:{secret}")[0] == 200


def test_a_certificate_renews_itself_with_the_same_key_or_another(up, work):
    crt, key = enrolled(up, work, "est-5")
    _, body = new_request(work, "est-5", key=key)
    status, _, answer = est(up, work, "simplereenroll", body, crt=crt, key=key)
    assert status == 200, answer
    first = work / "first.crt"
    first.write_text(certificates(work, answer))
    assert subject(first.read_text()) != subject(crt.read_text())
    key2, body = new_request(work, "est-5", "second")
    status, _, answer = est(up, work, "simplereenroll", body, crt=first, key=key)
    assert status == 200, answer
    assert "est-5" in subject(certificates(work, answer))
    assert est(up, work, "simplereenroll", body)[2].startswith(b"certificate-required")


def test_nobody_renews_another_name(up, work):
    crt, key = enrolled(up, work, "est-6")
    _, body = new_request(work, "est-7", "other")
    status, _, answer = est(up, work, "simplereenroll", body, crt=crt, key=key)
    assert status == 403 and answer.startswith(b"name-not-allowed")
    _, body = new_request(work, "est-6", "ca")
    run("openssl", "req", "-new", "-key", work / "ca.key", "-subj", "/CN=est-6", "-addext", "basicConstraints=CA:TRUE",
        "-outform", "DER", "-out", work / "ca.csr", check=0)
    body = base64.encodebytes((work / "ca.csr").read_bytes())
    assert est(up, work, "simplereenroll", body, crt=crt, key=key)[2].startswith(b"csr-asks-for-ca")


def test_a_copied_key_that_renews_again_puts_the_lineage_on_hold(up, work):
    crt, key = enrolled(up, work, "est-8")
    _, body = new_request(work, "est-8", "mine")
    assert est(up, work, "simplereenroll", body, crt=crt, key=key)[0] == 200
    _, body = new_request(work, "est-8", "thief")
    status, _, _ = est(up, work, "simplereenroll", body, crt=crt, key=key, may_be_cut=True)
    assert status in (0, 403)  # what is on hold holds no connection open, this one neither
    wait_for(lambda: countersign("list", "--name", "est-8", "--all", "--state", up.state, check=0).stdout.count("held") == 2, 10)


def test_what_is_no_request_is_refused_with_its_reason(up, work):
    user = f"est-9:{token(up, 'est-9')}"
    for body, status in ((b"%%%", 400), (b"MIIB", 400), (b"A" * 300000, 413), (b"\x30\x82\xff\xff", 400)):
        assert est(up, work, "simpleenroll", body, user)[0] == status, body[:10]
    assert est(up, work, "fullcmc", b"MIIB")[0] == 501
    assert est(up, work, "nothing")[0] == 404
    assert est(up, work, "simpleenroll")[0] == 405
    assert est(up, work, "cacerts", b"")[0] == 405


def test_the_server_makes_the_key_when_it_is_asked_to(up, work):
    _, body = new_request(work, "est-10")
    status, heads, answer = est(up, work, "serverkeygen", body, f"est-10:{token(up, 'est-10')}")
    assert status == 200 and heads["content-type"].startswith("multipart/mixed; boundary=")
    parts = [p.partition(b"\r\n\r\n") for p in answer.split(b"--" + heads["content-type"].partition("=")[2].encode())[1:-1]]
    assert [b"application/pkcs8" in parts[0][0], b"certs-only" in parts[1][0]] == [True, True]
    (work / "k.der").write_bytes(base64.b64decode(parts[0][2]))
    key = run("openssl", "pkey", "-inform", "DER", "-in", work / "k.der", "-pubout", check=0).stdout
    pem = certificates(work, parts[1][2])
    assert run("openssl", "x509", "-noout", "-pubkey", input=pem, check=0).stdout == key


def test_a_request_waits_for_approval_and_is_found_again(system, work):
    (work / "c.yaml").write_text("enroll:\n  device: {approval: unknown, retry: 7s}\n")
    s = system(config=work / "c.yaml")
    s.start()
    key, body = new_request(work, "est-11")
    status, heads, answer = est(s, work, "simpleenroll", body)
    assert (status, heads["retry-after"]) == (202, "7"), answer
    rows = countersign("request", "list", "--json", "--state", s.state, check=0).stdout.splitlines()
    row = json.loads(rows[0])
    assert len(rows) == 1 and row["name"] == "est-11" and row["credential"] == "none"
    assert "est-11" in countersign("request", "list", "--state", s.state, check=0).stdout
    countersign("request", "approve", row["id"], "--note", "seen it", "--state", s.state, check=0)
    _, body = new_request(work, "est-11", key=key)  # signed anew, for the same key
    status, _, answer = est(s, work, "simpleenroll", body)
    assert status == 200 and "est-11" in subject(certificates(work, answer))
    _, body = new_request(work, "est-12", "twelve")
    assert est(s, work, "simpleenroll", body)[0] == 202
    row = json.loads(countersign("request", "list", "--json", "--state", s.state, check=0).stdout)
    countersign("request", "deny", row["id"], "--state", s.state, check=0)
    assert est(s, work, "simpleenroll", body)[2].startswith(b"request-denied")
    assert countersign("request", "approve", row["id"], "--state", s.state).returncode == 1


@pytest.mark.skipif(shutil.which("pki") is None, reason="strongSwan's pki is not installed")
def test_strongswans_client_gets_the_cas_enrolls_and_renews(up, work):
    url = f"https://localhost:{up.https}"
    run("pki", "--estca", "--url", url, "--cacert", up.ca, "--caout", work / "got.pem", "--outform", "pem", "--force", check=0, cwd=work)
    assert list(work.glob("got*")), list(work.iterdir())
    crt, key = enrolled(up, work, "est-13")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", work / "next.key", check=0)
    with open(work / "next.csr", "wb") as f:
        subprocess.run(["pki", "--req", "--type", "ecdsa", "--in", work / "next.key", "--dn", "CN=est-13", "--outform", "der"], stdout=f, check=True)
    issuing = up.state / "ca" / "issuing.crt"
    with open(work / "next.crt", "wb") as f:
        done = subprocess.run(["pki", "--est", "--url", url, "--in", work / "next.csr", "--cacert", up.ca, "--cacert", issuing, "--cert", crt,
                               "--key", key, "--outform", "pem"], stdout=f, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr.decode()[-800:]
    assert "est-13" in subject((work / "next.crt").read_text())
