"""SCEP's door against what it must refuse: each in its own protocol with its failInfo, each audited, none with a
certificate. Messages that are wrong in one thing alone (scep_kit)."""
import concurrent.futures
import datetime as dt
import json
import sqlite3

import mint
import pytest
from conftest import countersign
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from scep_kit import fresh_keys  # noqa: F401
from scep_kit import (BAD_ALG, BAD_CERT_ID, BAD_CHECK, BAD_REQUEST, BAD_TIME, CERT_REP, FAILURE, PKCS_REQ, RENEWAL, SUCCESS, Scep,
                      message, request, rsa_key, seal, self_signed)
from test_enroll_est import token


def refused(got, fail, why):
    assert (got.http, got.status, got.fail, got.text.split(":")[0]) == (200, FAILURE, fail, why), (got.http, got.text, got.body[:200])
    assert got.certs == []


def audited(system, why, source):
    rows = [json.loads(r) for r in countersign("log", "--json", "--state", system.state, check=0).stdout.splitlines()]
    return any(why in json.dumps(r) and source in json.dumps(r) for r in rows if r["event"] == "enroll-refused")


def issued(system, name):
    rows = countersign("list", "--name", name, "--all", "--json", "--state", system.state, check=0).stdout
    return len([r for r in rows.splitlines() if r.strip()])


# ---- bodies ----

def test_what_is_no_message_is_refused_over_http(up):
    whole = message(PKCS_REQ, b"x", rsa_key(), self_signed(rsa_key(), "bad-1"))
    for body, status in ((b"", 400), (b"%%%", 400), (b"0", 400), (whole[:-1], 400), (whole[:200], 400), (whole + b"\0", 400),
                         (b"\x30\x80", 400), (b"\x30\x84\xff\xff\xff\xff", 400), (b"A" * 200000, 413), (b"A" * 300000, 413)):
        s = Scep(up)  # an address of its own: guesses are counted
        got = s.http("POST", "?operation=PKIOperation", body)
        assert got[0] == status and got[1] == "text/plain", (body[:20], got)
    s = Scep(up)
    assert s.http("GET", "?operation=PKIOperation")[0] == 400
    assert s.http("GET", "?operation=PKIOperation&message=%25%25")[0] == 400
    assert s.http("GET", "?operation=Nothing")[0] == 501 and s.http("GET", "")[0] == 501
    assert s.http("POST", "?operation=GetCACaps", b"x")[0] == 405
    assert Scep(up, "nowhere").http("GET", "?operation=GetCACaps")[0] == 404
    assert Scep(up, path="/scep/a/b").http("GET", "?operation=GetCACaps")[0] == 404
    assert s.http("PUT", "?operation=PKIOperation", b"x")[0] == 405


def test_nested_indefinite_lengths_do_no_harm(up):
    assert Scep(up).http("POST", "?operation=PKIOperation", b"\x30\x80" * 60000)[0] == 400
    assert Scep(up).http("POST", "?operation=PKIOperation", b"\x24\x80" * 60000)[0] == 400


# ---- attributes ----

@pytest.mark.parametrize("wrong,told", [
    ({"drop": ["scep_sender"]}, False), ({"nonce": b"8 octets"}, False), ({"nonce": b""}, False), ({"twice": ["scep_sender"]}, False),
    ({"drop": ["scep_transaction"]}, False), ({"transaction": "x" * 129}, False), ({"twice": ["scep_transaction"]}, False),
    ({"drop": ["scep_type"]}, True), ({"twice": ["scep_type"]}, True), ({"kind_text": "019"}, True), ({"kind_text": "nineteen"}, True),
    ({"drop": ["message_digest"]}, True), ({"drop": ["content_type"]}, True),
])
def test_an_attribute_that_is_missing_doubled_or_malformed(up, wrong, told):
    s = Scep(up)
    secret = token(up, "bad-2")
    got = s.enroll("bad-2", secret, **wrong)
    if told:
        assert got.status == FAILURE and got.fail in (BAD_CHECK, BAD_REQUEST), got.text
    else:
        assert got.http == 400 and got.status is None
    assert issued(up, "bad-2") == 0


def test_only_the_types_of_messages_that_there_are_lead_anywhere(up):
    """W40: 256 numbers and none, without a challenge, with a wrong and with a right one."""
    key, secret = rsa_key(), token(up, "bad-3")
    cert, ra = self_signed(key, "bad-3"), Scep(up).ra
    envelopes = [seal(request(key, "bad-3", c), ra) for c in (None, "wrong", secret)]
    seen = {}
    for kind in [*range(256), -1, 1000]:
        if kind in (PKCS_REQ, RENEWAL):
            continue
        for i, envelope in enumerate(envelopes if kind < 32 else envelopes[2:]):
            s = Scep(up)
            s._ra = ra
            got = s.post(message(kind, envelope, key, cert, status=0 if kind == CERT_REP else None), key)
            assert got.status == FAILURE and got.certs == [], (kind, i, got.http)
            seen.setdefault(got.text.split(":")[0], set()).add(kind)
    # what CertPoll, GetCert and GetCRL carry is no request: within their envelopes it is nonsense
    assert seen["envelope-unreadable"] == {20, 21, 22} and seen["operation-unsupported"] == {CERT_REP}, seen
    assert set(seen) == {"envelope-unreadable", "operation-unsupported", "message-malformed"}
    assert issued(up, "bad-3") == 0
    s = Scep(up)
    refused(s.post(message(RENEWAL, envelopes[2], key, cert), key), BAD_REQUEST, "certificate-required")
    refused(s.post(message(PKCS_REQ, envelopes[0], key, cert), key), BAD_REQUEST, "credential-needed")
    refused(s.post(message(PKCS_REQ, envelopes[1], key, cert), key), BAD_REQUEST, "token-invalid")
    assert s.post(message(PKCS_REQ, envelopes[2], key, cert), key).status == SUCCESS


# ---- signature, envelope, algorithms ----

def test_a_signature_by_another_key_or_of_weak_digests(up):
    s = Scep(up)
    refused(s.enroll("bad-4", token(up, "bad-4"), sign_with=rsa_key("b")), BAD_CHECK, "signature-invalid")
    refused(s.enroll("bad-4", token(up, "bad-4"), digest="sha1"), BAD_ALG, "algorithm-too-weak")
    refused(s.enroll("bad-4", token(up, "bad-4"), digest="md5"), BAD_ALG, "algorithm-too-weak")
    refused(s.enroll("bad-4", token(up, "bad-4"), cipher="3des"), BAD_ALG, "algorithm-too-weak")
    key = ec.generate_private_key(ec.SECP256R1())  # no answer can be encrypted to it
    refused(s.enroll("bad-4", token(up, "bad-4"), key=key), BAD_ALG, "key-unsupported")
    assert audited(up, "signature-invalid", s.source) and audited(up, "algorithm-too-weak", s.source)
    assert issued(up, "bad-4") == 0


def test_encrypted_to_another_or_not_at_all(up):
    s, key = Scep(up), rsa_key()
    cert, csr = self_signed(key, "bad-5"), request(key, "bad-5", token(up, "bad-5"))
    refused(s.post(message(PKCS_REQ, seal(csr, self_signed(rsa_key("b"), "other")), key, cert), key), BAD_CHECK, "envelope-unreadable")
    refused(s.post(message(PKCS_REQ, csr, key, cert), key), BAD_CHECK, "message-malformed")
    refused(s.post(message(PKCS_REQ, b"", key, cert), key), BAD_CHECK, "message-malformed")
    assert audited(up, "encrypted to none of our", s.source)


def test_one_answer_to_all_that_may_be_wrong_within_an_envelope(up):
    """No oracle: somebody else's message, changed at the encrypted key (Bleichenbacher) or the content (Vaudenay), signed by
    another; nonsense within; a request whose own signature is wrong or that asks with a weak one."""
    key, ra = rsa_key(), Scep(up).ra
    cert, csr = self_signed(key, "bad-6"), request(key, "bad-6", token(up, "bad-6"))
    good = bytearray(seal(csr, ra))
    at = bytes(good).index(b"\x04\x82\x01\x00") + 4
    wrong = []
    for where in (at, at + 1, at + 100, at + 255, len(good) - 1, len(good) - 17, len(good) - 40):
        changed = bytearray(good)
        changed[where] ^= 0x21
        wrong.append(bytes(changed))
    swapped = bytearray(good)  # a conforming padding around a key of another length
    swapped[at:at + 256] = ra.public_key().encrypt(b"k" * 24, padding.PKCS1v15())
    broken = bytearray(csr)
    broken[-1] ^= 1
    weak = request(key, "bad-6", None, digest=hashes.SHA1())
    wrong += [bytes(swapped), seal(bytes(broken), ra), seal(b"nonsense", ra), seal(b"", ra), seal(weak, ra)]
    answers = set()
    for envelope in wrong:
        s = Scep(up)
        s._ra = ra
        got = s.post(message(PKCS_REQ, envelope, key, cert), key)
        assert got.http == 200
        answers.add((got.status, got.fail, got.text, len(got.body)))
    assert answers == {(FAILURE, BAD_CHECK, answers.copy().pop()[2], answers.copy().pop()[3])}, answers
    assert answers.pop()[2].startswith("envelope-unreadable")
    assert issued(up, "bad-6") == 0


# ---- challenges ----

def test_a_challenge_is_for_one_name_one_time_and_fifty_at_once_get_one_certificate(up):
    """W46"""
    secret = token(up, "bad-7")
    refused(Scep(up).enroll("bad-8", secret), BAD_REQUEST, "name-not-allowed")
    keys = [rsa_key(f"w46-{i}") for i in range(5)]
    ra = Scep(up).ra

    def one(i):
        s = Scep(up)
        s._ra = ra
        return s.enroll("bad-7", secret, key=keys[i % 5], transaction=f"w46-{i}")
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        got = list(pool.map(one, range(50)))
    winners = {i % 5 for i, g in enumerate(got) if g.status == SUCCESS}
    assert len(winners) == 1 and len({g.leaf.serial_number for g in got if g.status == SUCCESS}) == 1
    assert issued(up, "bad-7") == 1
    for g in got:
        if g.status != SUCCESS:
            refused(g, BAD_REQUEST, "token-invalid")


def test_a_replayed_message_makes_nothing_new(up):
    s, key = Scep(up), rsa_key()
    octets = message(PKCS_REQ, seal(request(key, "bad-9", token(up, "bad-9")), s.ra), key, self_signed(key, "bad-9"))
    first, again = s.post(octets, key), s.post(octets, key)
    assert first.status == again.status == SUCCESS and first.leaf == again.leaf and issued(up, "bad-9") == 1
    up.revoke("bad-9")
    refused(s.post(octets, key), BAD_REQUEST, "token-invalid")


def test_guessing_ends_for_who_guesses(up):
    s = Scep(up)
    answers = [s.enroll("bad-10", f"guess-{i}") for i in range(12)]
    assert answers[-1].http == 429 and answers[-1].status is None
    assert Scep(up).enroll("bad-10", token(up, "bad-10")).status == SUCCESS


def test_the_request_asks_for_a_ca_or_for_names_that_nobody_gave(up):
    key = rsa_key()
    s = Scep(up)
    refused(s.enroll("bad-11", csr=request(key, "bad-11", token(up, "bad-11"), ca=True)), BAD_REQUEST, "csr-asks-for-ca")
    sans = [x509.DNSName("gw.corp.example")]
    refused(s.enroll("bad-11", csr=request(key, "bad-11", token(up, "bad-11"), sans=sans)), BAD_REQUEST, "name-not-allowed")
    assert issued(up, "bad-11") == 0


# ---- renewals ----

def holder(up, name, key="a"):
    got = Scep(up).enroll(name, token(up, name), key=rsa_key(key))
    assert got.status == SUCCESS, got.text
    return got.leaf


def test_forged_renewals(up):
    s, key = Scep(up), rsa_key()
    mine, other = holder(up, "bad-12"), holder(up, "bad-13", "other")
    new = rsa_key("b")
    refused(s.enroll("bad-13", cert=mine, kind=RENEWAL), BAD_REQUEST, "name-not-allowed")  # another's identity
    refused(s.enroll("bad-13", cert=other, sign_with=new, kind=RENEWAL), BAD_CHECK, "signature-invalid")  # another's certificate
    refused(s.enroll("bad-12", kind=RENEWAL), BAD_REQUEST, "certificate-required")  # nobody's
    sans = [x509.DNSName("gw.corp.example")]
    refused(s.enroll("bad-12", cert=mine, kind=RENEWAL, csr=request(new, "bad-12", sans=sans)), BAD_REQUEST, "name-not-allowed")
    refused(s.enroll("bad-12", cert=mine, kind=RENEWAL, csr=request(new, "bad-12", ca=True)), BAD_REQUEST, "csr-asks-for-ca")
    # a certificate by another CA that has our CA's name
    issuer = mint.foreign_ca()[1]
    forged = (x509.CertificateBuilder().subject_name(mine.subject).issuer_name(mine.issuer).public_key(key.public_key())
              .serial_number(mine.serial_number).not_valid_before(mine.not_valid_before).not_valid_after(mine.not_valid_after)
              .sign(issuer, hashes.SHA256()))
    refused(Scep(up).enroll("bad-12", cert=forged, kind=RENEWAL), BAD_CERT_ID, "unknown-issuer")
    assert issued(up, "bad-12") == issued(up, "bad-13") == 1
    up.revoke("bad-13")
    refused(Scep(up).enroll("bad-13", key=rsa_key("other"), cert=other, kind=RENEWAL), BAD_REQUEST, "revoked")
    assert audited(up, "revoked", "127.9.")


def test_a_certificate_that_renews_twice_with_two_keys_is_held(up):
    mine = holder(up, "bad-14")
    assert Scep(up).enroll("bad-14", cert=mine, kind=RENEWAL, new_key=rsa_key("b")).status == SUCCESS
    refused(Scep(up).enroll("bad-14", cert=mine, kind=RENEWAL, new_key=rsa_key("c")), BAD_REQUEST, "lineage-forked")
    refused(Scep(up).enroll("bad-14", cert=mine, kind=RENEWAL, new_key=rsa_key("b")), BAD_REQUEST, "revoked")


def test_a_renewal_after_the_end_is_for_the_grace_alone(system, work):
    (work / "c.yaml").write_text("enroll: {device: {grace: 1h}}\n")
    s = system(config=work / "c.yaml")
    s.start()
    soon, late = holder(s, "bad-15"), holder(s, "bad-16", "late")
    s.stop()
    with sqlite3.connect(s.state / "authority/store.db") as db:  # their time has come, as far as the authority knows
        for cert, ago in ((soon, 60), (late, 7200)):
            at = int((dt.datetime.now().timestamp() - ago) * 1e6)
            assert db.execute("UPDATE certificates SET not_after = ? WHERE serial = ?",
                              (at, f"{cert.serial_number:032x}")).rowcount == 1
    s.start()
    assert Scep(s).enroll("bad-15", cert=soon, kind=RENEWAL).status == SUCCESS
    refused(Scep(s).enroll("bad-16", key=rsa_key("late"), cert=late, kind=RENEWAL), BAD_TIME, "renewal-too-late")
    assert audited(s, "renewal-too-late", "127.9.")
