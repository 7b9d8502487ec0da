"""countersign verify: what an unknown revocation state means, pinned keys, and certificates allowed or denied one by one."""
import base64
import hashlib

import pytest
from chains import *  # noqa: F403 (a vocabulary)
from conftest import COMMAND, countersign, run
from test_verify import ask, mid, root  # noqa: F401 (a fixture)
from test_verify_ocsp import ocsp, single

P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def twin_of(c):
    """The same certificate with the other valid ECDSA signature: s -> n - s."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
    tbs, rest = c.tbs, c.der
    signature = rest[rest.index(tbs) + len(tbs) + len(ECDSA_SHA256):]
    r, s = decode_dss_signature(signature[3:])
    return Cert(**{**c.__dict__, "der": seq(tbs, ECDSA_SHA256, bits(encode_dss_signature(r, P256_N - s)))})


def spki_hex(c):
    return hashlib.sha256(c.spki).hexdigest()


def pin(c, role="", until=""):
    b64 = base64.b64encode(hashlib.sha256(c.spki).digest()).decode()
    return f"{role}sha256/{b64}{until}"


# ---- the revocation policy ----

STALE = {"until": "20240531000000Z"}  # a day before the time that is asked about


@pytest.mark.parametrize("policy, nothing, current, stale, listed", [
    ("off", "accepted", "accepted", "accepted", "accepted"),
    ("given", "accepted", "accepted", "accepted", "revoked"),
    ("prefer", "accepted", "accepted", "crl-stale", "revoked"),
    ("require", "revocation-unknown", "accepted", "crl-stale", "revoked"),
])
def test_what_each_policy_makes_of_each_state(ask, policy, nothing, current, stale, listed):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r)
    said = ["--revocation", policy]
    assert ask(leaf, r, more=said) == nothing
    assert ask(leaf, r, crls=[crl(r)], more=said) == current
    assert ask(leaf, r, crls=[crl(r, **STALE)], more=said) == stale
    assert ask(leaf, r, crls=[crl(r, entry(leaf.serial))], more=said) == listed
    assert ask(leaf, r, crls=[crl(r, entry(leaf.serial), **STALE)], more=said) == listed, "revoked stays revoked"


def test_the_state_is_told(ask):  # noqa: F811
    r = root()
    m = mid(r)
    leaf = cert("leaf", by=m)

    def state(*crls, more=("--revocation", "prefer")):
        return ask(leaf, r, [m], crls=crls, more=more, full=True)["revocation"]
    assert state() == "not-asked"
    assert state(crl(m)) == "unknown", "nothing covers the intermediate"
    assert state(crl(m), crl(r)) == "good"
    assert state(crl(m), crl(r, **STALE), more=["--revocation", "prefer", "--grace", "2d"]) == "grace"
    assert state(crl(m), crl(r), more=["--revocation", "off"]) == "not-asked"


@pytest.mark.parametrize("policy", ["prefer", "require"])
def test_w33_out_of_date_counts_within_the_grace_and_no_longer(ask, policy, tmp_path):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r)
    said = ["--revocation", policy, "--grace"]
    assert ask(leaf, r, crls=[crl(r, **STALE)], more=[*said, "24h"]) == "accepted"
    assert ask(leaf, r, crls=[crl(r, **STALE)], more=[*said, "23h"]) == "crl-stale"
    (tmp_path / "r").write_bytes(ocsp(r, single(leaf, r, **STALE, since="20240530000000Z")))
    assert ask(leaf, r, more=[*said, "24h", "--ocsp", tmp_path / "r"]) == "accepted"
    assert ask(leaf, r, more=[*said, "23h", "--ocsp", tmp_path / "r"]) == "ocsp-stale"
    answer = ask(leaf, r, crls=[crl(r, **STALE)], more=[*said, "2d"], full=True)
    assert answer["good_until"].startswith("2024-06-02T00:00:00")
    assert ask(leaf, r, crls=[crl(r, entry(leaf.serial, when="20990101000000Z"))], more=said + ["1h"]) == "revoked"


def test_w30_prefer_is_not_content_with_a_crl_of_another_key_or_scope(ask):  # noqa: F811
    r, other = root(), cert("Root", ca=True, k=key("p256-other"))
    leaf = cert("leaf", by=r)
    for wrong in (crl(other), crl(r, add=[idp(ca=True)])):
        assert ask(leaf, r, crls=[wrong], more=["--revocation", "prefer"], full=True)["revocation"] == "unknown"
        assert ask(leaf, r, crls=[wrong], more=["--revocation", "require"]) != "accepted"


@pytest.mark.parametrize("args, says", [
    (["--revocation", "maybe"], "expected off, given, prefer or require"),
    (["--revocation", "off", "--require-revocation"], "contradict"),
    (["--grace", "soon"], "expected a duration"),
])
def test_a_policy_that_is_none_is_usage(args, says, tmp_path):
    (tmp_path / "leaf.pem").write_text(root().pem)
    done = countersign("verify", "--purpose", "any", *args, tmp_path / "leaf.pem")
    assert done.returncode == 2 and says in done.stderr


# ---- pins ----

def test_pins_name_a_key_and_where_it_stands(ask):  # noqa: F811
    r = root()
    m = mid(r)
    leaf, stranger = cert("leaf", by=m), cert("X", ca=True)
    for good in ([pin(leaf)], [pin(m)], [pin(r)], [pin(leaf, "leaf:")], [pin(m, "issuer:")], [pin(r, "anchor:")], [pin(r, "issuer:")],
                 [f"sha256:{spki_hex(leaf)}"], [pin(stranger), pin(m)]):
        assert ask(leaf, r, [m], more=sum((["--pin", p] for p in good), [])) == "accepted", good
    for bad in ([pin(stranger)], [pin(leaf, "issuer:")], [pin(leaf, "anchor:")], [pin(m, "leaf:")], [pin(m, "anchor:")],
                [pin(r, "leaf:")]):
        assert ask(leaf, r, [m], more=sum((["--pin", p] for p in bad), [])) == "pin-mismatch", bad


def test_a_pin_that_has_expired_fits_nothing_and_backups_take_over(ask):  # noqa: F811
    r = root()
    leaf, spare = cert("leaf", by=r), cert("X", ca=True)
    old, late = ";until=2024-05-31T00:00:00Z", ";until=2024-07-01T00:00:00Z"
    assert ask(leaf, r, more=["--pin", pin(leaf, until=old)]) == "pins-expired"
    assert ask(leaf, r, more=["--pin", pin(leaf, until=old), "--pin", pin(spare, until=late)]) == "pin-mismatch"
    assert ask(leaf, r, more=["--pin", pin(leaf, until=old), "--pin", pin(r, until=late)]) == "accepted"
    answer = ask(leaf, r, more=["--pin", pin(r, until=late)], full=True)
    assert answer["good_until"].startswith("2024-07-01T00:00:00")
    assert ask(leaf, r, more=["--pin", pin(leaf, until=";until=2024-06-01T00:00:00Z")]) == "accepted", "to the second, inclusive"


def test_a_path_that_a_pin_allows_is_found(ask):  # noqa: F811
    one, two = cert("One", ca=True), cert("Two", ca=True)
    by_one = cert("Mid", by=one, ca=True)
    by_two = cert("Mid", by=two, ca=True)
    leaf = cert("leaf", by=by_one)
    for r in (one, two):
        answer = ask(leaf, [one, two], [by_one, by_two], more=["--pin", pin(r, "anchor:")], full=True)
        assert answer["reason"] == "none"
        assert answer["chain"][-1]["spki_sha256"] == spki_hex(r)


def test_w18_a_pinned_key_is_not_met_by_a_twin_of_its_name_and_serial(ask):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r, serial=77)
    forged = cert("leaf", by=r, serial=77, k=key("p256-forger"), skid=leaf.skid)
    assert ask(leaf, r, more=["--pin", pin(leaf, "leaf:")]) == "accepted"
    assert ask(forged, r, more=["--pin", pin(leaf, "leaf:")]) == "pin-mismatch"


def test_pins_from_a_file_and_what_is_no_pin(ask, tmp_path):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r)
    (tmp_path / "pins").write_text(f"# ours\n\n  {pin(leaf)}   # the leaf\r\n")
    assert ask(leaf, r, more=["--pin", f"@{tmp_path}/pins"]) == "accepted"
    (tmp_path / "leaf.pem").write_text(leaf.pem)
    (tmp_path / "root.pem").write_text(r.pem)
    for bad in ("sha256/AAAA", "md5/AAAA", "leaf:", "", f"top:{pin(leaf)}", f"{pin(leaf)};until=soon", f"{pin(leaf)};x", "sha256:00"):
        (tmp_path / "pins").write_text(f"\n{bad or '-'}\n")
        for how in ([bad], [f"@{tmp_path}/pins"]):
            done = run(COMMAND, "verify", "--purpose", "server", "--trust", tmp_path / "root.pem", "--pin", *how, tmp_path / "leaf.pem")
            assert done.returncode == 2 and "config-invalid" in done.stderr, (bad, done.stderr)
            assert how[0].startswith("@") is False or "pins:2" in done.stderr


# ---- lists ----

def test_w38_a_denied_certificate_gets_past_in_no_variant(ask, tmp_path):  # noqa: F811
    r = root()
    m = mid(r)
    leaf, other = cert("leaf", by=m), cert("other", by=m)
    again = cert("leaf again", by=m, k=leaf.key)                                 # the same key, certified anew
    reissued = cert("leaf", by=m, serial=leaf.serial, k=key("p256-fresh"))       # the same issuer and serial number
    deny = tmp_path / "deny"
    for text, out, let in (
            (leaf.pem, (leaf, twin_of(leaf), again, reissued), (other,)),
            (f"spki:{spki_hex(leaf)}\n", (leaf, twin_of(leaf), again), (other, reissued)),
            (f"# lost\nserial:{spki_hex(m)}:{leaf.serial:04x}\n", (leaf, twin_of(leaf), reissued), (other, again)),
            (f"serial:{spki_hex(m)}:0000{leaf.serial:04x}\n", (leaf,), (other,)),
            (f"cert:{hashlib.sha256(leaf.der).hexdigest()}\n", (leaf,), (other, again)),
            (m.pem, (leaf, other), ()),
            (f"serial:{spki_hex(r)}:{leaf.serial:04x}\n", (), (leaf, other))):
        deny.write_text(text)
        for c in out:
            assert ask(c, r, [m], more=["--deny", deny]) == "certificate-denied", text
        for c in let:
            assert ask(c, r, [m], more=["--deny", deny]) == "accepted", text
    deny.write_bytes(leaf.der)
    assert ask(leaf, r, [m], more=["--deny", deny]) == "certificate-denied"


def test_another_path_is_taken_when_one_is_denied(ask, tmp_path):  # noqa: F811
    one, two = cert("One", ca=True), cert("Two", ca=True)
    by_one, by_two = cert("Mid", by=one, ca=True), cert("Mid", by=two, ca=True)
    leaf = cert("leaf", by=by_one)
    (tmp_path / "deny").write_text(one.pem)
    answer = ask(leaf, [one, two], [by_one, by_two], more=["--deny", tmp_path / "deny"], full=True)
    assert answer["reason"] == "none" and answer["chain"][-1]["spki_sha256"] == spki_hex(two)


def test_w18_an_allow_list_wants_the_very_certificate_or_key(ask, tmp_path):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r, serial=77)
    forged = cert("leaf", by=r, serial=77, k=key("p256-forger"), skid=leaf.skid)
    again = cert("leaf", by=r, k=leaf.key)
    allow = tmp_path / "allow"
    for text, let, out in ((leaf.pem, (leaf,), (forged, again, twin_of(leaf))), (f"spki:{spki_hex(leaf)}", (leaf, again), (forged,)),
                           (r.pem, (), (leaf,)), ("# nobody\n", (), (leaf,))):
        allow.write_text(text)
        for c in let:
            assert ask(c, r, more=["--allow", allow]) == "accepted"
        for c in out:
            assert ask(c, r, more=["--allow", allow]) == "certificate-not-listed"
    allow.write_text(leaf.pem)
    (tmp_path / "deny").write_text(f"spki:{spki_hex(leaf)}")
    assert ask(leaf, r, more=["--allow", allow, "--deny", tmp_path / "deny"]) == "certificate-denied"


@pytest.mark.parametrize("line", ["cert:00", "spki:" + "g" * 64, "serial:00:11", "serial:" + "0" * 64 + ":", "name:me", "0" * 64,
                                  "serial:" + "0" * 64 + ":" + "00" * 30])
def test_a_line_that_is_none_is_named(line, tmp_path):
    (tmp_path / "leaf.pem").write_text(root().pem)
    (tmp_path / "list").write_text(f"# fine\n{line}\n")
    done = countersign("verify", "--purpose", "any", "--trust", tmp_path / "leaf.pem", "--deny", tmp_path / "list", tmp_path / "leaf.pem")
    assert done.returncode == 2 and "list:2" in done.stderr and "config-invalid" in done.stderr
