"""countersign verify --ocsp: a response counts only from whom the issuer authorised, about this certificate, of now."""
import datetime as dt
import json
import subprocess

import pytest
from chains import *  # noqa: F403 (a vocabulary)
from conftest import COMMAND, countersign, run
from test_verify import ask, mid, root  # noqa: F401 (a fixture)

NOTHING = "revocation-unknown"


@pytest.fixture
def said(ask, tmp_path):  # noqa: F811
    """said(leaf, root, [chain], response...) -> the verdict with revocation required."""
    def do(leaf, trust, chain, *responses, require=True, crls=(), **more):
        args = list(more.pop("more", []))
        for i, r in enumerate(responses):
            (tmp_path / f"{i}.ocsp").write_bytes(r)
            args += ["--ocsp", tmp_path / f"{i}.ocsp"]
        return ask(leaf, trust, chain, crls=crls, require=require, more=args, **more)
    return do


def delegate(by, cn="Responder", **o):
    o = {"usages": (OCSP_SIGNING,), "add": [OCSP_NOCHECK], **o}
    return cert(cn, by=by, **o)


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("key_hash", [False, True], ids=["by name", "by key"])
def test_an_answer_of_the_issuer_counts(said, digest, key_hash):
    r = root()
    leaf = cert("leaf", by=r)
    assert said(leaf, r, []) == NOTHING
    assert said(leaf, r, [], ocsp(r, single(leaf, r, digest=digest), key_hash=key_hash)) == "accepted"
    assert said(leaf, r, [], ocsp(r, single(leaf, r, "unknown", digest=digest), key_hash=key_hash)) == NOTHING
    assert said(leaf, r, [], ocsp(r, single(leaf, r, "revoked", reason=1, digest=digest), key_hash=key_hash)) == "revoked"


def test_each_certificate_needs_its_own_answer(said):
    r = root()
    m = mid(r)
    leaf = cert("leaf", by=m)
    mine, above = ocsp(m, single(leaf, m)), ocsp(r, single(m, r))
    assert said(leaf, r, [m], mine) == NOTHING
    assert said(leaf, r, [m], mine, above) == "accepted"
    assert said(leaf, r, [m], mine, ocsp(r, single(m, r, "revoked"))) == "revoked"
    assert said(leaf, r, [m], mine, crls=[crl(r)]) == "accepted"
    assert said(leaf, r, [m], mine, crls=[crl(r, entry(m.serial))]) == "revoked"


def test_a_response_may_hold_many_answers(said):
    r = root()
    leaf, others = cert("leaf", by=r), [cert(f"o{i}", by=r, k=key("p256-o")) for i in range(50)]
    many = [single(o, r, "revoked") for o in others]
    assert said(leaf, r, [], ocsp(r, *many)) == NOTHING
    assert said(leaf, r, [], ocsp(r, *many, single(leaf, r))) == "accepted"
    assert said(leaf, r, [], ocsp(r, single(leaf, r), *many, single(leaf, r, "revoked"))) == "revoked"


# ---- W28: who may answer ----

def test_w28_a_delegate_of_the_issuer_may_answer(said):
    r = root()
    leaf = cert("leaf", by=r)
    d = delegate(r)
    assert said(leaf, r, [], ocsp(d, single(leaf, r), certs=[d])) == "accepted"
    assert said(leaf, r, [], ocsp(d, single(leaf, r), certs=[d], key_hash=True)) == "accepted"
    assert said(leaf, r, [], ocsp(d, single(leaf, r, "revoked"), certs=[d])) == "revoked"
    assert said(leaf, r, [], ocsp(d, single(leaf, r))) == "ocsp-invalid", "its certificate was not sent"


@pytest.mark.parametrize("how, says", [
    ({"usages": (SERVER,)}, "not for OCSP signing"),
    ({"usages": ("2.5.29.37.0",)}, "not for OCSP signing"),
    ({"drop": ["2.5.29.37"], "add": []}, "not for OCSP signing"),
    ({"add": [ku("keyEncipherment"), OCSP_NOCHECK]}, "digitalSignature is not set"),
    ({"since": "20200101000000Z", "until": "20240301000000Z"}, "not valid at that time"),
    ({"since": "20240701000000Z"}, "not valid at that time"),
    ({"break_signature": True}, "was not signed by the issuer"),
    ({"k": key("rsa1024-d")}, "weak key"),
    ({"add": [ext("1.2.3", b"\5\0", True), OCSP_NOCHECK]}, "malformed"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_w28_who_is_no_delegate_answers_nothing(said, how, says):
    r = root()
    leaf = cert("leaf", by=r)
    d = delegate(r, **how)
    for status in ("good", "revoked"):
        answer = said(leaf, r, [], ocsp(d, single(leaf, r, status), certs=[d]), full=True)
        assert answer["reason"] == "ocsp-invalid"
        assert says in answer["detail"]
        assert said(leaf, r, [], ocsp(d, single(leaf, r, status), certs=[d]), require=False) == "accepted"


def test_w28_another_ca_answers_nothing_for_this_one(said):
    r = root()
    a, b = mid(r, "A"), mid(r, "B")
    leaf = cert("leaf", by=a)
    above = ocsp(r, single(a, r), single(b, r))
    d = delegate(b)
    for answer in (ocsp(b, single(leaf, a)), ocsp(d, single(leaf, a), certs=[d]), ocsp(r, single(leaf, a)),
                   ocsp(b, single(leaf, a), responder=a), ocsp(d, single(leaf, a), certs=[d, b]),
                   ocsp(d, single(leaf, a), certs=[a, d], responder=a)):
        assert said(leaf, r, [a, b], above, answer) == "ocsp-invalid"
    twin = mid(r, "A", k=key("p256-twin"))  # of the same name, with another key
    assert said(leaf, r, [a, twin], above, ocsp(twin, single(leaf, a))) == "ocsp-invalid"
    assert said(leaf, r, [a, twin], above, ocsp(twin, single(leaf, twin))) == NOTHING
    assert said(leaf, r, [a, b], above, ocsp(a, single(leaf, a))) == "accepted"


@pytest.mark.parametrize("how", [{"serial": 99}, {"name_of": "x"}, {"key_of": "x"}, {"digest": "md5"}], ids=str)
def test_w28_an_answer_about_another_certificate_is_none(said, how):
    r, x = root(), cert("X", ca=True)
    leaf = cert("leaf", by=r)
    how = {k: x if v == "x" else v for k, v in how.items()}
    assert said(leaf, r, [], ocsp(r, single(leaf, r, **how))) == NOTHING


def test_w28_a_delegate_that_is_revoked_answers_nothing_unless_it_need_not_be_asked_about(said):
    r = root()
    leaf = cert("leaf", by=r)
    asked, exempt = delegate(r, add=[]), delegate(r, "Exempt")
    listed = crl(r, entry(asked.serial), entry(exempt.serial), until="20240201000000Z")
    assert said(leaf, r, [], ocsp(asked, single(leaf, r), certs=[asked])) == "accepted"
    assert said(leaf, r, [], ocsp(asked, single(leaf, r), certs=[asked]), crls=[listed]) in ("ocsp-invalid", "crl-stale")
    assert said(leaf, r, [], ocsp(exempt, single(leaf, r), certs=[exempt]), crls=[listed]) == "accepted"


# ---- W31, W76 ----

def test_w31_whichever_says_revoked_wins(said):
    r = root()
    leaf = cert("leaf", by=r)
    good, bad = ocsp(r, single(leaf, r)), ocsp(r, single(leaf, r, "revoked"))
    assert said(leaf, r, [], good, crls=[crl(r)]) == "accepted"
    assert said(leaf, r, [], good, crls=[crl(r, entry(leaf.serial))]) == "revoked"
    assert said(leaf, r, [], bad, crls=[crl(r)]) == "revoked"
    assert said(leaf, r, [], good, bad) == said(leaf, r, [], bad, good) == "revoked"
    assert said(leaf, r, [], bad, require=False) == "revoked"


def test_w31_a_serial_number_is_its_issuers(said):
    r = root()
    a, b = mid(r, "A"), mid(r, "B")
    of_a, of_b = cert("leaf", by=a, serial=77), cert("leaf", by=b, serial=77)
    above = crl(r)
    lists = {"crls": [above, crl(a), crl(b, entry(77))]}
    assert said(of_a, r, [a, b], **lists) == "accepted"
    assert said(of_b, r, [a, b], **lists) == "revoked"
    good, bad = ocsp(a, single(of_a, a)), ocsp(b, single(of_b, b, "revoked"))
    assert said(of_a, r, [a, b], good, bad, crls=[above]) == "accepted"
    assert said(of_b, r, [a, b], good, bad, crls=[above]) == "revoked"


@pytest.mark.parametrize("times, counts", [
    ({"since": "20240531000000Z", "until": "20240601000000Z"}, True),     # to the second, inclusive (asked at 2024-06-01T00:00:00Z)
    ({"since": "20240531000000Z", "until": "20240531235959Z"}, False),
    ({"since": "20240601000000Z", "until": "20240602000000Z"}, True),
    ({"since": "20240601000001Z", "until": "20240602000000Z"}, False),    # of the future
    ({"since": "20240522000000Z", "until": "20250101000000Z"}, True),     # ten days, whatever nextUpdate says
    ({"since": "20240521235959Z", "until": "20250101000000Z"}, False),
    ({"since": "20240531230000Z", "until": None}, True),                  # an hour without nextUpdate
    ({"since": "20240531225959Z", "until": None}, False),
], ids=str)
def test_w76_an_old_good_answer_does_not_count_for_ever(said, times, counts):
    r = root()
    leaf = cert("leaf", by=r)
    assert said(leaf, r, [], ocsp(r, single(leaf, r, **times))) == ("accepted" if counts else "ocsp-stale")
    assert said(leaf, r, [], ocsp(r, single(leaf, r, "revoked", reason=1, **times))) == "revoked"
    held = said(leaf, r, [], ocsp(r, single(leaf, r, "revoked", reason=6, **times)))
    assert held == ("revoked" if counts else "ocsp-stale"), "a hold may have been lifted since"


def test_good_until_is_the_answers(said):
    r = root()
    leaf = cert("leaf", by=r)
    assert said(leaf, r, [], ocsp(r, single(leaf, r)), full=True)["good_until"].startswith("2024-06-02T00:00:00")
    both = said(leaf, r, [], ocsp(r, single(leaf, r)), crls=[crl(r, until="20240701000000Z")], full=True)
    assert both["good_until"].startswith("2024-07-01T00:00:00")


# ---- form ----

def test_what_is_no_response_is_unreadable_and_named(tmp_path):
    r = root()
    leaf = cert("leaf", by=r)
    good = ocsp(r, single(leaf, r))
    for i, (der_, says) in enumerate([
            (b"", "file-empty"), (b"hello", "ocsp-invalid"), (good[:-1], "ocsp-invalid"), (good + b"\0", "ocsp-invalid"),
            (leaf.der, "ocsp-invalid"), (seq(der(10, b"\0")), "responseBytes"), (seq(der(10, b"\x07")), "responseStatus"),
            (ocsp(r), "responses"), (ocsp(r, single(leaf, r, add=[ext("1.2.3", b"\5\0", True)])), "not understood"),
            (ocsp(r, single(leaf, r), add=[ext("1.2.3", b"\5\0", True)]), "not understood"),
            (ocsp(r, *[single(leaf, r)] * 257), "256"), (ocsp(r, single(leaf, r), certs=[r] * 9), "8 certificates"),
            (b"\x30\x84\x7f\xff\xff\xff" + good, "ocsp-invalid"), (bytes(70000), "file-too-large")]):
        (tmp_path / "leaf.pem").write_text(leaf.pem)
        (tmp_path / "root.pem").write_text(r.pem)
        (tmp_path / f"bad-{i}").write_bytes(der_)
        done = run(COMMAND, "verify", "--purpose", "server", "--at", "2024-06-01T00:00:00Z", "--trust", tmp_path / "root.pem",
                   "--ocsp", tmp_path / f"bad-{i}", tmp_path / "leaf.pem")
        assert done.returncode == 2, (i, done.stdout)
        assert f"bad-{i}" in done.stderr and says in done.stderr, (i, done.stderr)


def test_a_responder_that_gives_no_answer_and_a_broken_or_weak_signature(said):
    r, old = root(), cert("Old", ca=True, k=key("rsa2048-old"))
    leaf, of_old = cert("leaf", by=r), cert("leaf", by=old)
    assert "responseStatus 3" in said(leaf, r, [], ocsp(r, status=3), full=True)["detail"]
    assert said(leaf, r, [], ocsp(r, single(leaf, r), break_signature=True)) == "ocsp-invalid"
    assert said(of_old, old, [], ocsp(old, single(of_old, old), alg=RSA_SHA1)) == "ocsp-invalid"
    assert said(of_old, old, [], ocsp(old, single(of_old, old))) == "accepted"
    assert said(leaf, r, [], ocsp(r, single(leaf, r), add=[ext("1.3.6.1.5.5.7.48.1.2", octets(b"n" * 32), True)])) == "accepted"


# ---- OpenSSL's own responder ----

@pytest.fixture
def pki(tmp_path):
    """A CA of openssl with an index, a good and a revoked leaf, a delegated responder."""
    def o(*args, **how):
        done = subprocess.run(["openssl", *map(str, args)], cwd=tmp_path, capture_output=True, text=True, **how)
        assert done.returncode == 0, done.stderr
        return done.stdout
    o("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days",
      "30", "-subj", "/CN=OpenSSL CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    exts = {"good": "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n",
            "gone": "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n",
            "responder": "extendedKeyUsage=OCSPSigning\nkeyUsage=digitalSignature\nnoCheck=ignored\n"}
    index = ""
    for i, (who, text) in enumerate(exts.items()):
        (tmp_path / "ext").write_text(text + "authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        o("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{who}.key", "-out", f"{who}.csr",
          "-subj", f"/CN={who}")
        o("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", str(100 + i), "-days", "10",
          "-extfile", "ext", "-out", f"{who}.pem")
        end = (dt.datetime.utcnow() + dt.timedelta(days=10)).strftime("%y%m%d%H%M%SZ")
        gone = dt.datetime.utcnow().strftime("%y%m%d%H%M%SZ") + ",keyCompromise" if who == "gone" else ""
        index += f"{'R' if gone else 'V'}\t{end}\t{gone}\t{100 + i:X}\tunknown\t/CN={who}\n"
    (tmp_path / "index").write_text(index)
    return tmp_path, o


@pytest.mark.parametrize("signer", ["ca", "responder"])
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_responses_of_openssls_responder(pki, signer, digest):
    folder, o = pki
    for who, verdict in (("good", "accepted"), ("gone", "rejected")):
        o("ocsp", f"-{digest}", "-issuer", "ca.pem", "-cert", f"{who}.pem", "-reqout", "q.der", "-no_nonce")
        o("ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", f"{signer}.pem", "-rkey", f"{signer}.key", "-reqin", "q.der",
          "-respout", "r.der", "-ndays", "1")
        done = countersign("verify", "--json", "--purpose", "client", "--trust", folder / "ca.pem", "--ocsp", folder / "r.der",
                           "--require-revocation", folder / f"{who}.pem")
        answer = json.loads(done.stdout)
        assert answer["result"] == verdict, answer
        if verdict == "rejected":
            assert answer["reason"] == "revoked" and "keyCompromise" in answer["detail"]
