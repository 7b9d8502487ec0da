"""CMP (RFC 9810, 9811, 9483): openssl's client with all its commands, and messages that no client should send."""
import json
import os
import subprocess
import threading

import cmp_script as cmp
import pytest
from conftest import countersign, run, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from test_enroll_est import new_request, token


def key_file(path):
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path, check=0)
    return path


def openssl_cmp(system, cmd, *args, check=0, path="/.well-known/cmp"):
    done = run("openssl", "cmp", "-config", "/dev/null", "-server", f"127.0.0.1:{system.http}", "-path", path, "-recipient", "/CN=CA", "-cmd", cmd,
               *args, check=check)
    done.says = done.stdout + done.stderr  # it uses both
    return done


def url(system, path="/.well-known/cmp"):
    return f"http://127.0.0.1:{system.http}{path}"


def of(crt, *what):
    return run("openssl", "x509", "-in", crt, "-noout", *what, check=0).stdout


def serial(crt):
    return of(crt, "-serial").strip().partition("=")[2].lower()


def enrolled(system, work, name, stem=None):
    """Certificate and key of a device, by openssl."""
    stem = stem or name
    crt, key = work / f"{stem}.crt", key_file(work / f"{stem}.key")
    openssl_cmp(system, "ir", "-ref", name, "-secret", "pass:" + token(system, name), "-newkey", key, "-subject", f"/CN={name}", "-certout", crt)
    return crt, key


def refusals(system, reason):
    return [e for e in system.events("enroll-refused") if e.get("reason") == reason and e.get("via") == "cmp"]


# ---- openssl's client ----

def test_ir_by_a_token_gives_certificate_chain_and_root(up, work):
    key = key_file(work / "k.pem")
    openssl_cmp(up, "ir", "-ref", "cmp-1", "-secret", "pass:" + token(up, "cmp-1"), "-newkey", key, "-subject", "/CN=cmp-1", "-certout", work / "c.pem",
                "-cacertsout", work / "ca.pem", "-extracertsout", work / "chain.pem")
    assert of(work / "ca.pem", "-fingerprint", "-sha256") == of(up.ca, "-fingerprint", "-sha256")
    run("openssl", "verify", "-CAfile", work / "ca.pem", "-untrusted", work / "chain.pem", work / "c.pem", check=0)
    assert "cmp-1" in of(work / "c.pem", "-subject")
    again = key_file(work / "k2.pem")
    done = openssl_cmp(up, "ir", "-ref", "cmp-1", "-secret", "pass:" + token(up, "cmp-1b"), "-newkey", again, "-subject", "/CN=cmp-1", "-unprotected_errors",
                       "-certout", work / "d.pem", check=None)
    assert done.returncode != 0 and "badMessageCheck" in done.says


def test_cr_and_kur_are_signed_by_the_certificate_and_answered_by_a_signature(up, work):
    crt, key = enrolled(up, work, "cmp-2")
    signed = ("-trusted", up.ca, "-certout")
    openssl_cmp(up, "kur", "-cert", crt, "-key", key, "-newkey", key_file(work / "n.key"), *signed, work / "n.crt", "-extracertsout", work / "extra.pem")
    assert "cmp-2" in of(work / "n.crt", "-subject") and serial(work / "n.crt") != serial(crt)
    signer = x509.load_pem_x509_certificate((work / "extra.pem").read_bytes())  # the first
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [u.dotted_string for u in usage] == ["1.3.6.1.5.5.7.3.28"]  # id-kp-cmcRA
    openssl_cmp(up, "cr", "-cert", work / "n.crt", "-key", work / "n.key", "-newkey", work / "n.key", "-subject", "/CN=cmp-2", *signed, work / "m.crt")
    done = openssl_cmp(up, "kur", "-cert", work / "m.crt", "-key", work / "n.key", "-newkey", work / "n.key", "-subject", "/CN=cmp-3", *signed,
                       work / "o.crt", check=None)
    assert "name-not-allowed" in done.says and "notAuthorized" in done.says


def test_p10cr_with_implicit_confirmation(up, work):
    new_request(work, "cmp-4", "r")
    done = openssl_cmp(up, "p10cr", "-ref", "cmp-4", "-secret", "pass:" + token(up, "cmp-4"), "-csr", work / "r.csr", "-implicit_confirm", "-certout", work / "c.pem")
    assert "CERTCONF" not in done.says and "cmp-4" in of(work / "c.pem", "-subject")


def test_rr_revokes_the_own_certificate_and_no_other(up, work):
    crt, key = enrolled(up, work, "cmp-5")
    other, _ = enrolled(up, work, "cmp-6")
    signed = ("-cert", crt, "-key", key, "-trusted", up.ca)
    done = openssl_cmp(up, "rr", *signed, "-oldcert", other, "-revreason", "1", check=None)
    assert done.returncode != 0 and "notAuthorized" in done.says
    done = openssl_cmp(up, "rr", *signed, "-oldcert", crt, "-revreason", "8", check=None)
    assert done.returncode != 0
    openssl_cmp(up, "rr", *signed, "-oldcert", crt, "-revreason", "1")
    row = json.loads(countersign("show", serial(crt), "--json", "--state", up.state, check=0).stdout)
    assert row["status"] == "revoked" and "key-compromise" in json.dumps(row), row
    done = openssl_cmp(up, "rr", *signed, "-oldcert", crt, "-revreason", "1", check=None)
    assert done.returncode != 0 and "certRevoked" in done.says


@pytest.mark.parametrize("what", ["caCerts", "currentCRL", "signKeyPairTypes", "certReqTemplate"])
def test_general_messages(up, work, what):
    crt, key = up.crt, up.key
    done = openssl_cmp(up, "genm", "-infotype", what, "-cert", crt, "-key", key, "-trusted", up.ca)
    assert f"id-it-{what}" in done.says


def test_general_messages_hold_cas_lists_and_roots_updates(up, work):
    it = "1.3.6.1.5.5.7.4."
    root = x509.load_pem_x509_certificate(up.ca.read_bytes()).public_bytes(serialization.Encoding.DER)
    crls = cmp.Transaction().send(url(up), cmp.GENM, cmp.seq(cmp.seq(cmp.oid(it + "22"))))
    item = cmp.inside(cmp.inside(crls.content)[0])
    assert crls.body == cmp.GENP and item[0][2] == cmp.oid(it + "23")
    assert [x509.load_der_x509_crl(e[2]).issuer for e in cmp.inside(item[1])]
    cas = cmp.Transaction().send(url(up), cmp.GENM, cmp.seq(cmp.seq(cmp.oid(it + "17"))))
    assert root in [e[2] for e in cmp.inside(cmp.inside(cmp.inside(cas.content)[0])[1])]
    update = cmp.Transaction().send(url(up), cmp.GENM, cmp.seq(cmp.seq(cmp.oid(it + "20"), root)))
    assert [e[2] for e in cmp.inside(cmp.inside(update.content)[0])] == [cmp.oid(it + "18")]  # none
    nothing = cmp.Transaction().send(url(up), cmp.GENM, cmp.seq(cmp.seq(cmp.oid("1.2.3.4"))))
    assert (nothing.body, nothing.reason) == (cmp.ERROR, "operation-unsupported")


def test_a_request_waits_is_polled_for_and_comes(system, work):
    (work / "c.yaml").write_text("enroll:\n  device: {approval: unknown, retry: 1s}\n")
    s = system(config=work / "c.yaml")
    s.start()
    key = key_file(work / "k.pem")

    def approve():
        row = wait_for(lambda: countersign("request", "list", "--json", "--state", s.state, check=0).stdout.splitlines(), 20)[0]
        assert json.loads(row)["door"] == "cmp"
        countersign("request", "approve", json.loads(row)["id"], "--state", s.state, check=0)
    approver = threading.Thread(target=approve)
    approver.start()
    done = openssl_cmp(s, "ir", "-unprotected_requests", "-newkey", key, "-subject", "/CN=cmp-7", "-trusted", s.ca, "-certout", work / "c.pem", "-total_timeout", "40")
    approver.join()
    assert "waiting" in done.says.lower() and "cmp-7" in of(work / "c.pem", "-subject")
    t = cmp.Transaction()
    first = t.send(url(s), cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), "cmp-8")))
    assert (first.body, first.status) == (cmp.IP, 3)
    assert t.send(url(s), cmp.POLLREQ, cmp.seq(cmp.seq(cmp.integer(0)))).body == cmp.POLLREP
    assert t.send(url(s), cmp.POLLREQ, cmp.seq(cmp.seq(cmp.integer(5)))).reason == "request-unknown"
    t.theirs = None
    assert cmp.Transaction().send(url(s), cmp.POLLREQ, cmp.seq(cmp.seq(cmp.integer(0)))).reason == "request-unknown"


def test_many_transactions_at_once(up, work):
    secret = token(up, "cmp-9", "device", "--uses", "12")
    started = []
    for i in range(12):
        args = ["openssl", "cmp", "-config", "/dev/null", "-server", f"127.0.0.1:{up.http}", "-path", "/.well-known/cmp", "-recipient", "/CN=CA", "-cmd", "ir",
                "-ref", "cmp-9", "-secret", "pass:" + secret, "-newkey", key_file(work / f"{i}.key"), "-subject", "/CN=cmp-9", "-certout", work / f"{i}.crt"]
        started.append(subprocess.Popen([str(a) for a in args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
    for p in started:
        assert p.wait(60) == 0, p.stderr.read().decode()[-500:]
    assert len({serial(work / f"{i}.crt") for i in range(12)}) == 12


def test_a_profile_by_path_and_by_message(system, work):
    (work / "c.yaml").write_text("profiles:\n  - {name: pumps, kind: device, lifetime: 7d}\n")
    s = system(config=work / "c.yaml")
    s.start()
    secret = token(s, "cmp-10", "device", "--profile", "pumps", "--uses", "3")
    mac = cmp.Pbm(secret)
    info = [cmp.seq(cmp.oid("1.3.6.1.5.5.7.4.21"), cmp.seq(cmp.utf8("pumps"))), cmp.IMPLICIT]
    body = cmp.seq(cmp.crmf(cmp.new_key(), "cmp-10"))
    assert cmp.Transaction(mac, kid="cmp-10").send(url(s), cmp.IR, body, info=info).cert
    assert cmp.Transaction(mac, kid="cmp-10").send(url(s, "/.well-known/cmp/p/pumps/initialization"), cmp.IR, body, info=info).cert
    wrong = cmp.Transaction(mac, kid="cmp-10").send(url(s, "/.well-known/cmp/p/device"), cmp.IR, body, info=info)
    assert wrong.reason == "profile-unknown"
    wrong = cmp.Transaction(mac, kid="cmp-10").send(url(s, "/.well-known/cmp/p/device"), cmp.IR, body, info=[cmp.IMPLICIT])
    assert wrong.failure == {"unacceptedPolicy"}


# ---- by hand ----

@pytest.fixture
def begun(up):
    """(url, secret, name) of a token with several uses."""
    name = f"cmp-h{os.urandom(4).hex()}"
    return url(up), token(up, name, "device", "--uses", "5"), name


@pytest.mark.parametrize("make", [
    lambda s: cmp.Pbm(s), lambda s: cmp.Pbm(s, mac=(cmp.HMAC_SHA1, "sha1")), lambda s: cmp.Pbm(s, owf=("2.16.840.1.101.3.4.2.3", "sha512")), cmp.Pbmac1,
], ids=["pbm", "pbm-hmac-sha1", "pbm-sha512", "pbmac1"])
def test_macs_of_a_shared_secret(begun, make):
    where, secret, name = begun
    t = cmp.Transaction(make(secret), kid=name)
    got = t.send(where, cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)))
    assert got.status == 0 and got.cert and got.ca_pubs and got.kid == name.encode()
    assert (got.id, got.recip_nonce) == (t.id, t.nonce) and len(got.sender_nonce) == 16
    assert t.send(where, cmp.CERTCONF, cmp.cert_conf(got.cert)).body == cmp.PKICONF


def test_pvno_3_is_answered_by_3(begun):
    where, secret, name = begun
    got = cmp.Transaction(cmp.Pbm(secret), kid=name).send(where, cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)), pvno=3, info=[cmp.IMPLICIT])
    assert got.cert and got.pvno == 3


@pytest.mark.parametrize("rounds,why", [(99, "algorithm-too-weak"), (100001, "limit-reached"), (2 ** 30, "limit-reached")])
def test_the_work_that_a_mac_makes_has_bounds(begun, rounds, why):
    where, secret, name = begun
    got = cmp.Transaction(cmp.Pbm(secret, rounds=rounds), kid=name).send(where, cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)))
    assert (got.body, got.reason) == (cmp.ERROR, why)


def test_a_rejected_certificate_is_revoked(up, begun):
    where, secret, name = begun
    t = cmp.Transaction(cmp.Pbm(secret), kid=name)
    got = t.send(where, cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)))
    assert t.send(where, cmp.CERTCONF, cmp.cert_conf(got.cert, status=2)).body == cmp.PKICONF
    number = f"{x509.load_der_x509_certificate(got.cert).serial_number:032x}"
    assert json.loads(countersign("show", number, "--json", "--state", up.state, check=0).stdout)["status"] == "revoked"
    assert "certificate-rejected" in countersign("log", "--json", "--state", up.state, check=0).stdout


def test_confirmations_must_fit(begun):
    where, secret, name = begun
    t = cmp.Transaction(cmp.Pbm(secret), kid=name)
    got = t.send(where, cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)))
    ours = t.theirs
    assert t.send(where, cmp.CERTCONF, cmp.cert_conf(got.cert + b"x")).failure == {"badCertId"}
    t.theirs = ours
    assert t.send(where, cmp.CERTCONF, cmp.cert_conf(got.cert, request_id=7)).failure == {"badCertId"}
    assert t.send(where, cmp.CERTCONF, cmp.cert_conf(got.cert), recip_nonce=os.urandom(16)).failure == {"badRecipientNonce"}
    assert t.send(where, cmp.CERTCONF, cmp.cert_conf(got.cert), recip_nonce=b"").failure == {"badRecipientNonce"}
    unprotected = cmp.Transaction()
    unprotected.id, unprotected.theirs = t.id, ours
    assert unprotected.send(where, cmp.CERTCONF, cmp.cert_conf(got.cert)).failure == {"badMessageCheck"}
    t.theirs = ours
    last = t.message(cmp.CERTCONF, cmp.cert_conf(got.cert))
    assert cmp.post(where, last).body == cmp.PKICONF
    assert cmp.post(where, last).body == cmp.PKICONF  # the answer was lost
    assert cmp.Transaction(cmp.Pbm(secret), kid=name).send(where, cmp.CERTCONF, cmp.cert_conf(got.cert)).reason == "request-unknown"


def test_a_replayed_request_gives_nothing_new(begun):
    where, secret, name = begun
    t = cmp.Transaction(cmp.Pbm(secret), kid=name)
    first = t.message(cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)), info=[cmp.IMPLICIT])
    got = cmp.post(where, first)
    assert got.cert and cmp.post(where, first).cert == got.cert
    t = cmp.Transaction(cmp.Pbm(secret), kid=name)
    once = t.message(cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)))
    got = cmp.post(where, once)
    assert cmp.post(where, once).cert == got.cert  # it is open still: the answer may have been lost
    other = t.send(where, cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)))
    assert other.failure == {"transactionIdInUse"}


def test_who_shows_nothing_or_what_is_wrong(system):
    s = system()
    s.start()
    where, name = url(s), "cmp-11"
    secret = token(s, name)
    body = cmp.seq(cmp.crmf(cmp.new_key(), name))
    assert cmp.Transaction().send(where, cmp.IR, body).reason == "credential-needed"
    for t, how, why in (
            (cmp.Transaction(cmp.Pbm(secret + "x"), kid=name), {}, "token-invalid"),
            (cmp.Transaction(cmp.Pbm(secret), kid="cmp-12"), {}, "token-invalid"),
            (cmp.Transaction(cmp.Pbm(secret)), {}, "token-invalid"),
            (cmp.Transaction(cmp.Pbm(secret), kid=name), {"spoil": lambda m: m[:-1] + bytes([m[-1] ^ 1])}, "token-invalid"),
            (cmp.Transaction(cmp.Pbm(secret), kid=name), {"spoil": lambda m: m[:8]}, "token-invalid")):
        got = t.send(where, cmp.IR, body, **how)
        assert (got.body, got.reason, got.failure) == (cmp.ERROR, why, {"badMessageCheck"})
    assert len(wait_for(lambda: len(refusals(s, "token-invalid")) == 5 and refusals(s, "token-invalid"), 5)) == 5
    assert countersign("log", "--json", "--state", s.state, check=0).stdout.count('"enroll-refused"') == 5
    assert cmp.Transaction(cmp.Pbm(secret), sender=name).send(where, cmp.IR, body).cert  # the sender's name is a reference too
    for _ in range(30):
        got = cmp.Transaction(cmp.Pbm("x"), kid=name).send(where, cmp.IR, body)
    assert got.reason == "too-many-guesses" and got.failure == {"systemUnavail"}


def test_forged_updates(system, work):
    s = system()
    s.start()
    where = url(s)
    (crt, key), (other, other_key) = enrolled(s, work, "cmp-13"), enrolled(s, work, "cmp-14")
    mine, theirs = cmp.Signature(crt, key), cmp.Signature(other, other_key)
    new = cmp.new_key()

    def update(by, cn="cmp-13", how=None, **more):
        return cmp.Transaction(by).send(where, cmp.KUR, cmp.seq(cmp.crmf(new, cn, **more)), info=[cmp.IMPLICIT], **(how or {}))
    old = (mine.cert.issuer.public_bytes(), theirs.cert.serial_number)
    assert update(mine, old=old).failure == {"badCertId"}
    assert update(theirs).reason == "name-not-allowed"
    stolen = cmp.Signature(crt, other_key)  # mine is shown, but not proven
    assert update(stolen).failure == {"badMessageCheck"}
    assert update(mine, how={"spoil": lambda m: m[:-1] + bytes([m[-1] ^ 1])}).failure == {"badMessageCheck"}
    sender = cmp.Transaction(mine)
    sender.sender = theirs.subject
    assert sender.send(where, cmp.KUR, cmp.seq(cmp.crmf(new, "cmp-13"))).reason == "signature-invalid"
    assert update(mine, signer=cmp.new_key()).failure == {"badPOP"}
    assert update(mine, popo=cmp.tlv(0x80)).failure == {"badPOP"}  # raVerified
    assert update(mine, extensions=cmp.seq(cmp.oid("2.5.29.19"), cmp.tlv(1, b"\xff"), cmp.octets(cmp.seq(cmp.tlv(1, b"\xff"))))).reason == "csr-asks-for-ca"
    secret = token(s, "cmp-13")
    assert cmp.Transaction(cmp.Pbm(secret), kid="cmp-13").send(where, cmp.KUR, cmp.seq(cmp.crmf(new, "cmp-13"))).failure == {"wrongIntegrity"}
    assert update(mine, old=(mine.cert.issuer.public_bytes(), mine.cert.serial_number)).cert
    countersign("revoke", "cmp-14", "--state", s.state, check=0)
    assert update(theirs, "cmp-14").failure == {"certRevoked"}
    assert refusals(s, "signature-invalid") and refusals(s, "revoked")


def test_a_stranger_with_a_certificate_of_another_ca_is_no_one(up, work):
    key = key_file(work / "s.key")
    run("openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=cmp-15", "-days", "9", "-out", work / "s.crt", check=0)
    got = cmp.Transaction(cmp.Signature(work / "s.crt", key)).send(url(up), cmp.CR, cmp.seq(cmp.crmf(cmp.new_key(), "cmp-15")))
    assert got.reason == "unknown-issuer" and got.failure == {"signerNotTrusted"}


def test_what_is_no_message_of_cmp_is_refused(up, begun):
    where, secret, name = begun
    t = cmp.Transaction(cmp.Pbm(secret), kid=name)
    good = t.message(cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), name)), info=[cmp.IMPLICIT])
    for kind in ("application/octet-stream", "text/plain", None):
        assert cmp.post(where, good, kind).http == 415
    assert cmp.post(where, b"x" * 70000).http == 413
    assert cmp.post(where, b"x" * 300000).http == 413
    for cut in (1, 2, 10, len(good) // 2, len(good) - 1):
        got = cmp.post(where, good[:cut])
        assert (got.http, got.body, got.failure) == (400, cmp.ERROR, {"badDataFormat"}), cut
    for bad in (good + b"\0", b"\x30\x80" + good[4:] + b"\0\0", b"\x30\x84\0\0" + good[2:], b"", b"GET / HTTP/1.1\r\n\r\n"):
        assert cmp.post(where, bad).http in (400, 411), bad[:8]
    assert cmp.post(where, good).cert  # and it was one


def test_headers_that_break_the_rules(begun):
    where, secret, name = begun
    body = cmp.seq(cmp.crmf(cmp.new_key(), name))
    for how, failure in (({"pvno": 1}, "unsupportedVersion"), ({"pvno": 4}, "unsupportedVersion"), ({"id": b""}, "badRequest"),
                         ({"nonce": b""}, "badSenderNonce"), ({"nonce": b"short"}, "badSenderNonce")):
        got = cmp.Transaction(cmp.Pbm(secret), kid=name).send(where, cmp.IR, body, **how)
        assert (got.http, got.body, got.failure) == (200, cmp.ERROR, {failure}), how
    for how in ({"id": b"x" * 33}, {"nonce": b"x" * 33}):
        assert cmp.Transaction(cmp.Pbm(secret), kid=name).send(where, cmp.IR, body, **how).http == 400
    for tag in (cmp.NESTED, 5, 6, 9, 13, 15, 18, cmp.IP, cmp.PKICONF):
        got = cmp.Transaction(cmp.Pbm(secret), kid=name).send(where, tag, cmp.seq())
        assert got.body == cmp.ERROR and got.failure == {"badRequest"}, tag
    two = cmp.seq(cmp.crmf(cmp.new_key(), name), cmp.crmf(cmp.new_key(), name, request_id=1))
    assert cmp.Transaction(cmp.Pbm(secret), kid=name).send(where, cmp.IR, two).reason == "limit-reached"
    assert cmp.Transaction(cmp.Pbm(secret), kid=name).send(where, cmp.IR, cmp.seq()).failure == {"badDataFormat"}


def test_it_is_reached_over_tls_too_and_by_a_device_whose_certificate_has_ended_or_is_missing(up, work):
    t = cmp.Transaction(cmp.Pbm(token(up, "cmp-16")), kid="cmp-16")
    (work / "m").write_bytes(t.message(cmp.IR, cmp.seq(cmp.crmf(cmp.new_key(), "cmp-16")), info=[cmp.IMPLICIT]))
    run("curl", "-sS", "--fail", "--cacert", up.ca, "--data-binary", f"@{work / 'm'}", "-H", "Content-Type: application/pkixcmp", "-o", work / "a",
        f"https://localhost:{up.https}/.well-known/cmp/initialization", check=0)
    assert (work / "a").read_bytes()[:1] == b"\x30"
