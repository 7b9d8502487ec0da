"""Attacks of the past on validators, as the verifier sees them (the rows W10, W17 to W37 of the threat list); W22, W24, W38 and W75 are in
test_verify.py, W28 and W31 in test_verify_ocsp.py, W30, W33 in test_verify_policy.py, W32, W34 in test_verify_crl_state.py."""
import itertools
import json
import os
import resource
import subprocess

import pytest
from chains import *  # noqa: F403 (a vocabulary)
from conftest import COMMAND, PATIENCE, SANITIZED, countersign, run
from test_verify import AT, M, ask, mid, root  # noqa: F401 (a fixture)

T61, BMP, PRINTABLE, IA5, UTF8, UNIVERSAL = 0x14, 0x1E, 0x13, 0x16, 0x0C, 0x1C


# ---- W10: a purpose is asked of everybody ----

@pytest.mark.parametrize("signs", [True, False], ids=["digitalSignature", "other usage"])
@pytest.mark.parametrize("usages, fits", [(None, "server client"), ([SERVER], "server"), ([MAIL], ""), ([ANY_EKU], ""),
                                          ([CLIENT], "client"), ([CLIENT, MAIL], "client")], ids=str)
def test_w10_the_purpose_of_the_leaf(ask, usages, fits, signs):  # noqa: F811
    r = root()
    more = {"drop": [EKU]} if usages is None else {"usages": usages}
    leaf = cert("leaf", by=r, **more, add=[] if signs else [ku("nonRepudiation")])
    for purpose in ("server", "client"):
        verdict = ask(leaf, r, purpose=purpose)
        assert (verdict == "accepted") == (signs and purpose in fits.split()), (purpose, verdict)


@pytest.mark.parametrize("usages, good", [([CLIENT], True), ([ANY_EKU], True), ([SERVER], False), ([MAIL], False)], ids=str)
def test_w10_the_purpose_of_a_ca_binds_what_is_below(ask, usages, good):  # noqa: F811
    r = root()
    m = mid(r, add=[eku(*usages)])
    assert ask(cert("leaf", by=m), r, [m], purpose="client") == ("accepted" if good else "eku-missing-client-auth")
    assert ask(mid(r), r, purpose="client") in ("is-a-ca", M), "a CA's own certificate is nobody's"


# ---- W19: names are compared as RFC 5280 7.1 says, and identity is never in a DN ----

SAME = [name("Ca"), name((CN, "ca", PRINTABLE)), name((CN, "  CA ")), name((CN, "cA", UTF8))]
OTHER = [name("Ca", "Ca"), name((O, "Ca")), name("Ca", (O, "x")), name((O, "x"), "Ca"), der(0x30, der(0x31, rdn(CN, "Ca")[2:], rdn(O, "x")[2:])),
         name("C a"), name("Ca\\"), name("CN=Ca"), name("Ca,O=x"), name("Ca+O=x"), name((CN, "Ca\u0301")), name("\u0421a"), name((C, "Ca")),
         name((EMAIL, "Ca", IA5)), name("Caa"), name("C")]
ODD = [name((CN, b"\0C\0a", BMP)), name((CN, b"Ca", T61)), name((CN, b"\0\0\0C\0\0\0a", UNIVERSAL))]


@pytest.mark.parametrize("which", range(len(SAME) + len(OTHER) + len(ODD)))
def test_w19_a_chain_by_another_spelling_of_the_name(ask, which):  # noqa: F811
    names = SAME + OTHER + ODD
    ca = cert(names[0], ca=True, k=key("p256-ca"))
    leaf = cert("leaf", by=ca, issuer=names[which])
    verdict = ask(leaf, ca)
    if which < len(SAME):
        assert verdict == "accepted"
    elif which < len(SAME) + len(OTHER):
        assert verdict != "accepted"
    else:
        assert verdict in ("accepted", "unknown-issuer", "chain-incomplete", M)


def test_w19_no_part_of_a_dn_is_a_name_that_was_asked_for(ask):  # noqa: F811
    r = root()
    host = "www.victim.example"
    for subject in (name(host), name(host, "leaf"), name("leaf", host), name((O, host)), name((EMAIL, f"a@{host}", IA5)), name(f"leaf/CN={host}"),
                    name(f"leaf,CN={host}"), name(f"leaf\n{host}"), der(0x30, der(0x31, rdn(CN, "leaf")[2:], rdn(CN, host)[2:])),
                    name((CN, host.encode(), T61)), name((CN, host.encode("utf-16-be"), BMP)), name((CN, host + "\0.evil.example"))):
        for asked in (f"dns:{host}", f"email:a@{host}", f"uri:https://{host}/"):
            leaf = cert(subject, by=r, k=key("p256-leaf"), names=[dns("other.example")])
            assert ask(leaf, r, purpose="any", names=[asked]) != "accepted", asked
            assert ask(leaf, r, purpose="client", names=[asked]) != "accepted", asked


# ---- W20: a value is matched as the type it has ----

VALUES = {"dns": (lambda v: dns(v), "www.example.com"), "email": (lambda v: email(v), "www.example.com"), "uri": (lambda v: uri(v), "www.example.com"),
          "other": (lambda v: other_name("1.2.3", der(12, v.encode())), "www.example.com"), "dirname": (lambda v: dirname(name(v)), "www.example.com"),
          "x400": (lambda v: der(0xA3, v.encode()), "www.example.com"), "edi": (lambda v: der(0xA5, der(0x81, v.encode())), "www.example.com"),
          "ip": (lambda v: der(0x87, v.encode()[:4]), "www.example.com"), "rid": (lambda v: der(0x88, v.encode()), "www.example.com")}


@pytest.mark.parametrize("kind", list(VALUES))
def test_w20_a_value_matches_only_as_its_own_type(ask, kind):  # noqa: F811
    r = root()
    make, value = VALUES[kind]
    leaf = cert("leaf", by=r, names=[make(value)])
    for asked in (f"dns:{value}", f"uri:{value}", f"email:{value}"):
        good = asked.startswith(kind + ":") and kind != "email"  # which is no mailbox
        assert (ask(leaf, r, purpose="client", names=[asked]) == "accepted") == good, (kind, asked)


def test_w20_an_address_is_no_name_and_a_name_no_address(ask):  # noqa: F811
    r = root()
    by_ip, by_name = cert("a", by=r, names=[ip(10, 0, 0, 1)]), cert("b", by=r, names=[dns("10.0.0.1")])
    assert ask(by_ip, r, purpose="client", names=["ip:10.0.0.1"]) == "accepted"
    assert ask(by_ip, r, purpose="client", names=["dns:10.0.0.1"]) != "accepted"
    for asked in ("ip:10.0.0.1", "dns:10.0.0.1"):
        assert ask(by_name, r, purpose="client", names=[asked]) != "accepted"


@pytest.mark.parametrize("value", ["a.example,DNS:www.example.com", "a.example, DNS:www.example.com", "a.example\r\nDNS:www.example.com",
                                   "DNS:www.example.com", "www.example.com\0", "www.example.com,", "a.example;www.example.com"])
def test_w20_a_value_that_looks_like_a_list_is_none(ask, value):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r, names=[dns(value), uri("https://" + value), email("x@" + value)])
    assert ask(leaf, r, purpose="client", names=["dns:www.example.com"]) != "accepted"
    assert ask(leaf, r, purpose="any", names=["dns:www.example.com"]) != "accepted"


# ---- W21: NUL ----

def test_w21_nul_at_each_offset_of_each_name_is_refused(tmp_path):
    r = root()
    (tmp_path / "root.pem").write_text(r.pem)
    host = "www.example.com"
    for at in range(len(host) + 1):
        bad = host[:at] + "\0" + host[at:]
        for leaf in (cert("leaf", by=r, names=[dns(bad)]), cert("leaf", by=r, names=[uri(f"https://{bad}/")]), cert("leaf", by=r, names=[email(f"a@{bad}")]),
                     cert(name(bad), by=r, k=key("p256-leaf")), cert(name((O, bad), "leaf"), by=r, k=key("p256-leaf"))):
            (tmp_path / "leaf.pem").write_text(leaf.pem)
            done = countersign("verify", "--json", "--purpose", "client", "--at", AT, "--trust", tmp_path / "root.pem", "--name", f"dns:{host}",
                               tmp_path / "leaf.pem")
            assert done.returncode == 1 and "\0" not in done.stdout
            assert json.loads(done.stdout)["reason"] in (M, "name-mismatch")


# ---- W23: who may issue ----

@pytest.mark.parametrize("how, reason", [
    ({}, "accepted"), ({"add": [bc(False), ku("digitalSignature")]}, "not-a-ca"), ({"drop": [BC, KU]}, "not-a-ca"), ({"drop": [BC]}, M),
    ({"add": [bc(True, critical=False)]}, M), ({"add": [ext(BC, seq(boolean(), integer(-1)), True)]}, M), ({"path_len": 0}, "accepted"),
    ({"version": 0, "exts": ()}, "not-a-ca"), ({"add": [ku("digitalSignature")]}, "key-usage-wrong"), ({"add": [ku("keyCertSign")]}, "accepted"),
], ids=str)
def test_w23_who_may_issue(ask, how, reason):  # noqa: F811
    r = root()
    m = mid(r, **how)
    got = ask(cert("leaf", by=m), r, [m])
    assert got == reason or (reason == "not-a-ca" and got in (M, "not-a-ca")), got
    assert ask(cert("leaf", by=m), r, [m], purpose="any") == "accepted" if reason == "accepted" else True


def test_w23_a_leaf_issues_nothing_and_a_path_length_of_zero_holds(ask):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r)
    assert ask(cert("below", by=leaf), r, [leaf]) in ("not-a-ca", M)
    assert ask(cert("below", by=leaf), r, [leaf], purpose="any") == "not-a-ca"
    narrow = mid(r, path_len=0)
    below = cert("Below", by=narrow, ca=True)
    assert ask(cert("leaf", by=narrow), r, [narrow]) == "accepted"
    assert ask(cert("leaf", by=below), r, [narrow, below]) == "path-too-long"


# ---- W25, W27: hostile certificates cost little ----

def judged(tmp_path, r, leaf, *args):
    """(reason, CPU seconds) of one verdict."""
    (tmp_path / "root.pem").write_text(r.pem)
    (tmp_path / "leaf.pem").write_text(leaf.pem)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([COMMAND, "verify", "--json", "--purpose", "client", "--at", AT, "--trust", tmp_path / "root.pem", *args, tmp_path / "leaf.pem"],
                          capture_output=True, text=True, timeout=20 * PATIENCE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    return json.loads(done.stdout)["reason"], after.ru_utime - before.ru_utime


def deep(n):
    b = b"\5\0"
    for _ in range(n):
        b = seq(b)
    return b


EC_EXPLICIT = seq(integer(1), seq(oid("1.2.840.10045.1.1"), integer(2**255 - 19)), seq(octets(b"\1" * 32), octets(b"\2" * 32)), octets(b"\4" + b"\3" * 64),
                  integer(2**252), integer(1))


@pytest.mark.parametrize("how, reasons", [
    ({"spki": seq(seq(oid("1.2.840.10045.2.1"), EC_EXPLICIT), bits(b"\4" + b"\1" * 64))}, {"key-unsupported"}),
    ({"spki": seq(seq(oid("1.2.840.113549.1.1.1"), der(5)), bits(seq(integer(2**16383 + 1), integer(65537))))}, {"key-unsupported", "key-too-weak"}),
    ({"spki": seq(seq(oid("1.2.840.113549.1.1.1"), der(5)), bits(seq(integer(2**2047 + 1), integer(2**2046 + 1))))}, {"key-unsupported", "key-too-weak"}),
    ({"spki": seq(seq(oid("1.2.840.113549.1.1.1"), der(5)), bits(seq(integer(0), integer(0))))}, {"key-unsupported", "key-too-weak"}),
    ({"spki": seq(seq(oid("1.3.6.1.4.1.99999.1")), bits(b"\1" * 32))}, {"key-unsupported"}),
    ({"add": [ext("1.2.3.4", deep(2000))]}, {"none"}),
    ({"add": [ext("1.2.3.4", deep(2000), True)]}, {"critical-extension-unknown"}),
    ({"add": [seq(der(6, b"\x2a" + b"\x81" * 5000 + b"\1"), octets(b"\5\0"))]}, {M}),
    ({"add": [policies(*[f"1.2.3.{i}" for i in range(257)])]}, {M}),
    ({"names": [dns("xn--" + "a" * 59 + "." + "b" * 63)]}, {"none", M}),
    ({"names": [dns(f"h{i}.example.com") for i in range(10_000)]}, {M}),
    ({"names": []}, {"none", M}),
    ({"names": [der(0xA3, b"x" * 1000)]}, {"none", M}),
    ({"add": [ext(SAN, seq())]}, {M}),
], ids=[ "explicit curve", "RSA of 16384 bits", "RSA with a huge exponent", "RSA of nothing", "unknown key", "deep", "deep and critical", "huge OID",
         "257 policies", "punycode", "10,000 names", "default names", "X.400", "empty SAN"])
def test_w25_w27_a_hostile_leaf_is_judged_in_little_time(tmp_path, how, reasons):
    r = root()
    reason, cpu = judged(tmp_path, r, cert("leaf", by=r, **how))
    assert reason in reasons
    print(f"{cpu * 1000:.1f} ms with the start of the program")
    assert cpu < 1.0 * PATIENCE, "a bound on what is pathological, not a measurement"


# ---- W26: what cannot be decided is no ----

def test_w26_no_verdict_is_accepted_when_a_part_cannot_be_used(ask, tmp_path):  # noqa: F811
    r = root()
    leaf = cert("leaf", by=r)
    broken = cert("Root", ca=True, spki=seq(seq(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bits(b"\4" + b"\xff" * 64)))
    assert ask(leaf, broken) != "accepted", "a point that is not on its curve"
    assert ask(cert("leaf", by=r, break_signature=True), r) == "signature-invalid"
    for limit in (8 << 20, 12 << 20, 16 << 20, 24 << 20):
        def starve():
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        if SANITIZED:
            continue  # a sanitizer maps terabytes before it begins
        (tmp_path / "root.pem").write_text(r.pem)
        (tmp_path / "bad.pem").write_text(cert("leaf", by=r, break_signature=True).pem)
        done = subprocess.run([COMMAND, "verify", "--purpose", "any", "--at", AT, "--trust", tmp_path / "root.pem", tmp_path / "bad.pem"],
                              capture_output=True, text=True, preexec_fn=starve)
        assert done.returncode != 0 and "accepted" not in done.stdout


# ---- W37: one reading of the octets ----

def test_w37_every_octet_counts(tmp_path):
    """Of a good certificate, each single octet of its structure that is changed makes it bad, or another certificate."""
    r = root()
    leaf = cert("leaf", by=r)
    (tmp_path / "root.pem").write_text(r.pem)
    good = 0
    octets_ = list(range(0, len(leaf.der), 7)) + list(range(0, 40))
    for at, bit in itertools.product(sorted(set(octets_)), (0x01, 0x80)):
        changed = bytearray(leaf.der)
        changed[at] ^= bit
        (tmp_path / "leaf.der").write_bytes(bytes(changed))
        done = run(COMMAND, "verify", "--purpose", "any", "--at", AT, "--trust", tmp_path / "root.pem", tmp_path / "leaf.der")
        assert done.returncode in (1, 2), (at, bit, done.stdout)
        good += 1
    assert good > 100


@pytest.mark.parametrize("change", [
    lambda c: c.der + b"\0", lambda c: c.der[:-1], lambda c: b"\x30\x80" + c.der[4:] + b"\0\0",
    lambda c: b"\x30\x83\0" + c.der[2:4] + c.der[4:] if c.der[1] == 0x82 else b"", lambda c: der(0x31, c.der[4:]),
], ids=["tail", "short", "indefinite", "long length", "SET"])
def test_w37_another_encoding_of_a_certificate_is_none(tmp_path, change):
    r = root()
    leaf = cert("leaf", by=r)
    (tmp_path / "root.pem").write_text(r.pem)
    (tmp_path / "leaf.der").write_bytes(change(leaf))
    done = run(COMMAND, "verify", "--purpose", "any", "--at", AT, "--trust", tmp_path / "root.pem", tmp_path / "leaf.der")
    assert done.returncode in (1, 2)
    assert os.path.getsize(tmp_path / "leaf.der") > 0
