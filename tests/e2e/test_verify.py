"""countersign verify, one case a rule: what must be accepted beside its twin that must not. docs/verification.md names
these tests. PKITS is in tests/unit/verify/pkits.c."""
import json
from time import monotonic

import pytest
from chains import *  # noqa: F403 (a vocabulary)
from conftest import COMMAND, run

AT = "2024-06-01T00:00:00Z"


@pytest.fixture
def ask(tmp_path):
    """ask(leaf, root, [chain...], purpose="server", crls=[...], more options...) -> "accepted" or the reason."""

    def do(leaf, trust, chain=(), crls=(), purpose="server", at=AT, names=(), require=False, full=False, more=()):
        args = [COMMAND, "verify", "--json", "--purpose", purpose]
        if at:
            args += ["--at", at]
        trust = trust if isinstance(trust, (list, tuple)) else [trust]
        for kind, certs in (("trust", trust), ("chain", chain)):
            if certs:
                (tmp_path / f"{kind}.pem").write_text("".join(c.pem for c in certs))
                args += [f"--{kind}", tmp_path / f"{kind}.pem"]
        for i, c in enumerate(crls):
            (tmp_path / f"{i}.crl").write_bytes(c)
            args += ["--crl", tmp_path / f"{i}.crl"]
        for n in names:
            args += ["--name", n]
        if require:
            args += ["--require-revocation"]
        (tmp_path / "leaf.pem").write_text(leaf.pem)
        done = run(*args, *more, tmp_path / "leaf.pem")
        assert done.returncode in (0, 1), done.stderr
        answer = json.loads(done.stdout)
        assert (answer["result"] == "accepted") == (done.returncode == 0)
        assert answer["chain"], "the chain considered is always shown"
        return answer if full else answer["reason"] if done.returncode else "accepted"

    return do


def root(**o):
    return cert("Root", ca=True, **o)


def mid(by, cn="Mid", **o):
    return cert(cn, by=by, ca=True, **o)


# ---- one rule, two twins: (id, leaf and chain by the root, reason) ----

def two(**o):
    """Root -> leaf with that override."""
    def build():
        r = root()
        return cert("leaf", by=r, **o), [r], []
    return build


def three(**o):
    """Root -> Mid with that override -> leaf."""
    def build():
        r = root()
        m = mid(r, **o)
        return cert("leaf", by=m), [r], [m]
    return build


def anchor(**o):
    """Root with that override -> leaf."""
    def build():
        r = root(**o)
        return cert("leaf", by=r), [r], []
    return build


M = "certificate-malformed"
RULES = [
    ("plain", two(), "accepted"),
    ("plain-three", three(), "accepted"),
    # form of the certificate
    ("version-3", two(version=2), "accepted"),
    ("version-2", two(version=1, exts=()), M),
    ("version-1", two(version=0, exts=()), M),
    ("serial-20-octets", two(serial=2**158), "accepted"),
    ("serial-21-octets", two(serial=2**160), M),
    ("serial-zero", two(serial=0), M),
    ("serial-negative", two(serial=-5), M),
    ("serial-not-minimal", two(serial=der(2, b"\0\x05")), M),
    ("serial-zero-in-anchor", anchor(serial=0), "accepted"),
    ("serial-zero-in-intermediate", three(serial=0), M),
    ("algorithms-differ", two(outer_alg=seq(oid("1.2.840.10045.4.3.3"))), M),
    ("algorithm-with-null", two(alg=seq(oid("1.2.840.10045.4.3.2"), der(5))), M),
    ("signature-broken", two(break_signature=True), "signature-invalid"),
    ("signature-broken-above", three(break_signature=True), "signature-invalid"),
    ("sha1", two(alg=ECDSA_SHA1), "algorithm-too-weak"),
    ("sha1-in-intermediate", three(alg=ECDSA_SHA1), "algorithm-too-weak"),
    ("sha1-self-signature-of-anchor", anchor(alg=ECDSA_SHA1), "accepted"),
    ("duplicate-extension", two(exts=(bc(False), bc(False))), M),
    ("critical-false-written-out", two(add=[seq(oid("1.2.3.4"), boolean(False), octets(b"\5\0"))]), M),
    ("unknown-extension", two(add=[ext("1.2.3.4", b"\5\0")]), "accepted"),
    ("unknown-critical-extension", two(add=[ext("1.2.3.4", b"\5\0", True)]), "critical-extension-unknown"),
    ("unknown-critical-extension-above", three(add=[ext("1.2.3.4", b"\5\0", True)]), "critical-extension-unknown"),
    ("unknown-critical-extension-in-anchor", anchor(add=[ext("1.2.3.4", b"\5\0", True)]), "critical-extension-unknown"),
    ("aia", two(add=[ext(AIA, seq(seq(oid("1.3.6.1.5.5.7.48.2"), uri("http://x/"))))]), "accepted"),
    ("aia-malformed", two(add=[ext(AIA, b"malformed")]), M),
    ("aia-empty", two(add=[ext(AIA, seq())]), M),
    ("aia-critical", two(add=[ext(AIA, seq(seq(oid("1.3.6.1.5.5.7.48.2"), uri("http://x/"))), True)]), M),
    ("extension-with-something-behind", two(add=[ext(KU, bits(b"\x80", 7) + b"\5\0")]), M),
    ("length-not-minimal", two(add=[ext(KU, b"\x03\x81\x02\x07\x80")]), M),
    ("indefinite-length", two(add=[ext(BC, b"\x30\x80\0\0")]), M),
    ("boolean-not-ff", two(add=[ext(BC, seq(der(1, b"\x01")))]), M),
    # names
    ("issuer-empty", two(issuer=seq()), M),
    ("subject-empty-san-critical", two(add=[san(dns("www.example.com"), critical=True)]), M),
    ("control-in-name", lambda: ((r := root()) and (cert(name((CN, "a\x00b")), by=r), [r], [])), M),
    ("not-utf8-in-name", lambda: ((r := root()) and (cert(name((CN, b"\xff\xfe")), by=r), [r], [])), M),
    ("nul-in-san", two(names=[dns("www.example.com\0.evil.example")]), M),
    ("blank-in-san", two(names=[dns("www.example.com ")]), M),
    ("latin1-in-san", two(names=[dns("b\xfccher.example")]), M),
    ("underscore-in-san", two(names=[dns("a_b.example.com")]), M),
    ("ip-of-5-octets", two(names=[ip(1, 2, 3, 4, 5)]), M),
    ("san-empty", two(add=[ext(SAN, seq())]), M),
    ("san-critical-beside-subject", two(add=[san(dns("www.example.com"), critical=True)]), M),
    # validity
    ("generalized-time-before-2050", two(times=seq(der(0x18, b"20200101000000Z"), der(0x18, b"20400101000000Z"))), M),
    ("until-2050", two(until="20500101000000Z"), "accepted"),
    ("utc-time-without-seconds", two(times=seq(der(0x17, b"2001010000Z"), der(0x17, b"400101000000Z"))), M),
    ("utc-time-with-offset", two(times=seq(der(0x17, b"200101000000+0000"), der(0x17, b"400101000000Z"))), M),
    ("expired", two(until="20240501000000Z"), "certificate-expired"),
    ("expired-above", three(until="20240501000000Z"), "certificate-expired"),
    ("expired-anchor", anchor(until="20240501000000Z"), "certificate-expired"),
    ("not-yet", two(since="20240701000000Z"), "not-yet-valid"),
    # keys
    ("rsa-2048", two(k=key("rsa2048-leaf")), "accepted"),
    ("rsa-1024", two(k=key("rsa1024-leaf")), "key-too-weak"),
    ("rsa-2052", two(k=key("rsa2052-leaf")), "key-unsupported"),
    ("rsa-1024-above", three(k=key("rsa1024-leaf")), "key-too-weak"),
    ("rsa-1024-anchor", anchor(k=key("rsa1024-leaf")), "key-too-weak"),
    ("p384", two(k=key("p384-leaf")), "accepted"),
    ("p521", two(k=key("p521-leaf")), "accepted"),
    ("ed25519", two(k=key("ed-leaf")), "accepted"),
    ("ed25519-ca", three(k=key("ed-leaf")), "accepted"),
    ("p192", two(k=key("p192-leaf")), "key-unsupported"),
    ("secp256k1", two(k=key("k256-leaf")), "key-unsupported"),
    ("explicit-curve", two(spki=seq(seq(oid("1.2.840.10045.2.1"), seq(integer(1))), bits(b"\4" + b"\1" * 64))),
     "key-unsupported"),
    ("point-too-short", two(spki=seq(seq(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), bits(b"\4" + b"\1" * 10))),
     "key-unsupported"),
    # CAs
    ("ca-without-basic-constraints", three(drop=[BC]), M),  # keyCertSign without cA
    ("ca-without-basic-constraints-and-usage", three(drop=[BC, KU]), "not-a-ca"),
    ("ca-false", three(add=[bc(False), ku("digitalSignature")]), "not-a-ca"),
    ("ca-not-critical", three(add=[bc(True, critical=False)]), M),
    ("ca-without-cert-sign", three(add=[ku("cRLSign")]), "key-usage-wrong"),
    ("ca-without-key-usage", three(drop=[KU]), "accepted"),
    ("ca-without-ski", three(drop=[SKI]), M),
    ("ca-subject-empty", lambda: ((r := cert(seq(), ca=True)) and (cert("leaf", by=r), [r], [])), M),
    ("leaf-without-aki", two(drop=[AKI]), M),
    ("intermediate-without-aki", three(drop=[AKI]), M),
    ("aki-critical", two(add=[ext(AKI, seq(der(0x80, b"1" * 20)), True)]), M),
    ("anchor-not-a-ca", anchor(add=[bc(False), ku("digitalSignature")]), "not-a-ca"),
    ("leaf-with-cert-sign", two(add=[ku("digitalSignature", "keyCertSign")]), M),
    ("leaf-path-length-without-ca", two(add=[ext(BC, seq(integer(0)), True)]), M),
    # use
    ("leaf-is-ca", two(add=[bc(True)]), "is-a-ca"),
    ("server-auth", two(usages=[SERVER]), "accepted"),
    ("client-auth-only", two(usages=[CLIENT]), "eku-missing-server-auth"),
    ("any-eku-only", two(usages=[ANY_EKU]), "eku-missing-server-auth"),
    ("no-eku", two(drop=[EKU]), "accepted"),
    ("eku-empty", two(add=[ext(EKU, seq())]), M),
    ("eku-in-ca-fits", three(add=[eku(SERVER)]), "accepted"),
    ("eku-in-ca-any", three(add=[eku(ANY_EKU)]), "accepted"),
    ("eku-in-ca-other", three(add=[eku(MAIL)]), "eku-missing-server-auth"),
    ("eku-in-anchor-other", anchor(add=[eku(MAIL)]), "eku-missing-server-auth"),
    ("no-key-usage", two(drop=[KU]), "accepted"),
    ("key-usage-for-signing", two(add=[ku("digitalSignature")]), "accepted"),
    ("key-usage-other", two(add=[ku("nonRepudiation")]), "key-usage-wrong"),
    ("key-usage-empty", two(add=[ku()]), M),
    # the common name of a server
    ("cn-is-a-san", lambda: ((r := root()) and (cert("www.example.com", by=r), [r], [])), "accepted"),
    ("cn-other-host", lambda: ((r := root()) and (cert("bank.example", by=r), [r], [])), M),
    ("cn-other-case", lambda: ((r := root()) and (cert("WWW.example.com", by=r), [r], [])), M),
    ("cn-odd-address", lambda: ((r := root()) and (cert("010.0.0.1", by=r), [r], [])), M),
    # path length
    ("path-length-0-leaf", anchor(path_len=0), "accepted"),
]


@pytest.mark.parametrize("build,reason", [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_rule(ask, build, reason):
    leaf, trust, chain = build()
    assert ask(leaf, trust, chain) == reason


# ---- validity, to the second ----

@pytest.mark.parametrize("at,reason", [
    ("2024-03-01T00:00:00Z", "accepted"), ("2024-04-01T00:00:00Z", "accepted"), ("2024-04-01T00:00:00.999Z", "accepted"),
    ("2024-04-01T00:00:01Z", "certificate-expired"), ("2024-02-29T23:59:59.999Z", "not-yet-valid"),
    ("2024-03-01T01:00:00+01:00", "accepted"), ("2024-03-01T00:59:59+01:00", "not-yet-valid"),
])
def test_validity_is_inclusive_to_the_second(ask, at, reason):
    r = root()
    assert ask(cert("leaf", by=r, since="20240301000000Z", until="20240401000000Z"), r, at=at) == reason


@pytest.mark.parametrize("since,until,at", [
    ("19500101000000Z", "19600101000000Z", "1955-06-01T00:00:00Z"), ("19000101000000Z", "20500101000000Z", "1901-01-01T00:00:00Z"),
    ("20490101000000Z", "20510101000000Z", "2050-01-01T00:00:00Z"), ("20200101000000Z", "99991231235959Z", "9999-12-31T23:59:59Z"),
])
def test_years_far_away(ask, since, until, at):
    r = root(since=since, until=until)
    assert ask(cert("leaf", by=r, since=since, until=until), r, at=at) == "accepted"


# ---- host names: RFC 9525 ----

@pytest.mark.parametrize("sans,asked,good", [
    ([dns("www.example.com")], "dns:www.example.com", True), ([dns("WWW.Example.COM")], "dns:www.example.com", True),
    ([dns("www.example.com")], "dns:www.example.com.", True), ([dns("www.example.com")], "dns:example.com", False),
    ([dns("*.example.com")], "dns:a.example.com", True), ([dns("*.example.com")], "dns:a.b.example.com", False),
    ([dns("*.example.com")], "dns:example.com", False), ([dns("a*.example.com")], "dns:ab.example.com", False),
    ([dns("w.*.example.com")], "dns:w.a.example.com", False), ([dns("*.com")], "dns:example.com", False),
    ([dns("*")], "dns:localhost", False), ([dns("xn--bcher-kva.example")], "dns:bücher.example", True),
    ([dns("xn--bcher-kva.example")], "dns:BÜCHER.example", True), ([dns("xn--bcher-kva.example")], "dns:bucher.example", False),
    ([dns("xn--fiqs8s.example")], "dns:中国.example", True),
    ([ip(10, 0, 0, 5)], "ip:10.0.0.5", True), ([ip(10, 0, 0, 5)], "ip:10.0.0.6", False),
    ([dns("10.0.0.5")], "ip:10.0.0.5", False), ([ip(10, 0, 0, 5)], "dns:10.0.0.5", False),
    ([ip(*[0x20, 1, 0xD, 0xB8] + [0] * 11 + [1])], "ip:2001:db8::1", True),
    ([ip(*[0x20, 1, 0xD, 0xB8] + [0] * 11 + [1])], "ip:[2001:db8::1]", True),
    ([ip(*[0] * 10 + [255, 255, 10, 0, 0, 5])], "ip:10.0.0.5", False),
    ([email("ann@corp.example")], "email:ann@CORP.example", True), ([email("ann@corp.example")], "email:Ann@corp.example", False),
    ([dns("corp.example")], "email:ann@corp.example", False), ([email("www.example.com")], "dns:www.example.com", False),
    ([uri("spiffe://x/a")], "uri:spiffe://x/a", True), ([uri("https://www.example.com/")], "dns:www.example.com", False),
    ([dns("a.example"), dns("b.example")], "dns:b.example", True),
    ([other_name("1.2.3", der(12, b"www.example.com"))], "dns:www.example.com", False),
    ([dirname(name("www.example.com"))], "dns:www.example.com", False),
    ([dns("a.example,DNS:www.example.com")], "dns:www.example.com", False),
])
def test_name(ask, sans, asked, good):
    r = root()
    assert ask(cert("leaf", by=r, names=sans), r, purpose="client", names=[asked]) == ("accepted" if good else "name-mismatch")


def test_one_of_several_names_is_enough_and_the_common_name_is_none(ask):
    r = root()
    assert ask(cert("leaf", by=r), r, names=["dns:no.example", "dns:www.example.com"]) == "accepted"
    assert ask(cert("www.example.com", by=r, drop=[SAN]), r, names=["dns:www.example.com"]) == "name-mismatch"


# ---- name constraints ----

V6 = [0x20, 1, 0xD, 0xB8] + [0] * 12
NAMES = [
    ("dns-permitted", nc([dns("example.com")]), [dns("a.example.com")], True),
    ("dns-permitted-itself", nc([dns("example.com")]), [dns("example.com")], True),
    ("dns-permitted-case", nc([dns("Example.COM")]), [dns("a.example.com")], True),
    ("dns-not-permitted", nc([dns("example.com")]), [dns("example.org")], False),
    ("dns-not-a-label", nc([dns("example.com")]), [dns("notexample.com")], False),
    ("dns-excluded", nc(excluded=[dns("example.com")]), [dns("a.example.com")], False),
    ("dns-not-excluded", nc(excluded=[dns("example.com")]), [dns("example.org")], True),
    ("dns-excluded-wins", nc([dns("example.com")], [dns("a.example.com")]), [dns("b.a.example.com")], False),
    ("dns-one-of-two-outside", nc([dns("example.com")]), [dns("example.com"), dns("example.org")], False),
    ("dns-wildcard-permitted", nc([dns("example.com")]), [dns("*.example.com")], True),
    ("dns-wildcard-over-excluded", nc(excluded=[dns("bar.example.com")]), [dns("*.example.com")], False),
    ("dns-wildcard-wider-than-permitted", nc([dns("foo.example.com")]), [dns("*.example.com")], False),
    ("dns-leading-dot", nc([dns(".example.com")]), [dns("a.example.com")], None),
    ("dns-empty-permits-all", nc([dns("")]), [dns("a.example.com")], True),
    ("dns-empty-excludes-all", nc(excluded=[dns("")]), [dns("a.example.com")], False),
    ("other-type-free", nc([dns("example.com")]), [email("a@b.example")], True),
    ("ip-permitted", nc([ip(10, 0, 0, 0, 255, 0, 0, 0)]), [ip(10, 9, 9, 9)], True),
    ("ip-not-permitted", nc([ip(10, 0, 0, 0, 255, 0, 0, 0)]), [ip(11, 0, 0, 1)], False),
    ("ip-excluded", nc(excluded=[ip(10, 0, 0, 0, 255, 0, 0, 0)]), [ip(10, 0, 0, 1)], False),
    ("ip6-permitted", nc([ip(*V6, *[255] * 4, *[0] * 12)]), [ip(*V6[:15], 1)], True),
    ("ip6-is-not-ip4", nc([ip(*V6, *[255] * 4, *[0] * 12)]), [ip(32, 1, 13, 184)], False),
    ("ip-mask-with-holes", nc([ip(10, 0, 0, 0, 255, 0, 255, 0)]), [ip(10, 0, 0, 1)], None),
    ("ip-mask-wrong-length", nc([ip(10, 0, 0, 0)]), [ip(10, 0, 0, 1)], None),
    ("email-mailbox", nc([email("ann@corp.example")]), [email("ann@CORP.example")], True),
    ("email-mailbox-case", nc([email("ann@corp.example")]), [email("Ann@corp.example")], False),
    ("email-host", nc([email("corp.example")]), [email("ann@corp.example")], True),
    ("email-host-not-below", nc([email("corp.example")]), [email("ann@a.corp.example")], False),
    ("email-below", nc([email(".corp.example")]), [email("ann@a.corp.example")], True),
    ("email-below-not-itself", nc([email(".corp.example")]), [email("ann@corp.example")], False),
    ("email-excluded", nc(excluded=[email("corp.example")]), [email("ann@corp.example")], False),
    ("email-two-ats", nc([email("corp.example")]), [email("ann@evil.example@corp.example")], False),
    ("uri-host", nc([uri("corp.example")]), [uri("https://corp.example/x")], True),
    ("uri-host-with-port-and-user", nc([uri("corp.example")]), [uri("https://u:p@corp.example:444/x")], True),
    ("uri-host-not-below", nc([uri("corp.example")]), [uri("https://a.corp.example/")], False),
    ("uri-below", nc([uri(".corp.example")]), [uri("https://a.corp.example/")], True),
    ("uri-user-trick", nc([uri("corp.example")]), [uri("https://corp.example@evil.example/")], False),
    ("uri-without-host", nc([uri("corp.example")]), [uri("urn:x:y")], False),
    ("uri-ip-host", nc(excluded=[uri("corp.example")]), [uri("https://10.0.0.1/")], False),
    ("uri-excluded", nc(excluded=[uri("corp.example")]), [uri("https://CORP.example/")], False),
    ("dirname-permitted", nc([dirname(name((O, "Corp"), "leaf"))]), [dns("a.example")], False),
    ("dirname-subject-permitted", nc([dirname(name("leaf"))]), [dns("a.example")], True),
    ("dirname-subject-permitted-folded", nc([dirname(name((CN, "  LEAF ", 0x13)))]), [dns("a.example")], True),
    ("dirname-subject-excluded", nc(excluded=[dirname(name("leaf"))]), [dns("a.example")], False),
    ("dirname-san-excluded", nc(excluded=[dirname(name((O, "Evil")))]), [dirname(name((O, "Evil"), "x"))], False),
    ("dirname-empty-permits-all", nc([dirname(seq())]), [dns("a.example")], True),
    ("other-name-constrained", nc([other_name("1.2.3", der(12, b"x"))]), [other_name("1.2.3", der(12, b"x"))], False),
    ("other-name-constrained-but-absent", nc([other_name("1.2.3", der(12, b"x"))]), [dns("a.example")], True),
    ("empty", ext(NC, seq(), True), [dns("a.example")], None),
    ("with-minimum", ext(NC, seq(der(0xA0, seq(dns("a"), der(0x80, b"\1")))), True), [dns("a")], None),
]


@pytest.mark.parametrize("where", ["anchor", "intermediate"])
@pytest.mark.parametrize("constraint,sans,good", [n[1:] for n in NAMES], ids=[n[0] for n in NAMES])
def test_w22_name_constraint(ask, where, constraint, sans, good):
    r = root(add=[constraint] if where == "anchor" else [])
    m = mid(r, cn="leaf", add=[constraint] if where == "intermediate" else [], k=key("p256-mid"))  # its own name must fit too
    expected = M if good is None else "accepted" if good else "name-constraint-violated"
    if where == "anchor":
        assert ask(cert("leaf", by=r, names=sans), r, purpose="client") == expected
    else:
        leaf = cert("leaf", by=m, names=sans, k=key("p256-leaf"), issuer=m.subject)
        assert ask(leaf, r, [m], purpose="client") == expected


def test_w22_name_constraints_of_two_cas_both_hold(ask):
    r = root(add=[nc([dns("example.com")])])
    wide, narrow = mid(r, add=[nc([dns("com")])]), mid(r, add=[nc([dns("a.example.com")])])
    assert ask(cert("leaf", by=wide, names=[dns("x.example.com")]), r, [wide], purpose="client") == "accepted"
    assert ask(cert("leaf", by=wide, names=[dns("x.com")]), r, [wide], purpose="client") == "name-constraint-violated"
    assert ask(cert("leaf", by=narrow, names=[dns("x.example.com")]), r, [narrow], purpose="client") == "name-constraint-violated"


def test_w22_email_in_the_subject_is_constrained_too(ask):
    r = root(add=[nc([email("corp.example")])])
    for address, reason in (("ann@corp.example", "accepted"), ("ann@evil.example", "name-constraint-violated")):
        assert ask(cert(name("x", (EMAIL, address, 0x16)), by=r, names=[dns("a.example")]), r, purpose="client") == reason


def test_w22_name_constraints_bind_intermediates_but_not_self_issued_ones(ask):
    r = root(add=[nc(excluded=[dirname(name("Mid"))])])
    m = mid(r)
    assert ask(cert("leaf", by=m), r, [m]) == "name-constraint-violated"
    r = cert("Root", ca=True, add=[nc(excluded=[dirname(name("Root"))])])
    again = cert("Root", by=r, ca=True, k=key("p256-again"))
    assert ask(cert("leaf", by=again), r, [again]) == "accepted"


def test_w22_name_constraints_in_a_leaf_are_refused(ask):
    r = root()
    assert ask(cert("leaf", by=r, add=[nc([dns("example.com")])]), r) == M


# ---- path length and depth ----

def ladder(r, n, **o):
    """n intermediates below r; each one's override from o by index: i0=dict(...)"""
    out, by = [], r
    for i in range(n):
        by = cert(o.get(f"i{i}", {}).pop("subject", f"Mid {i}"), by=by, ca=True, k=key(f"p256-l{i}"), **o.get(f"i{i}", {}))
        out.append(by)
    return out


@pytest.mark.parametrize("root_len,mids,reason", [
    (None, 3, "accepted"), (0, 0, "accepted"), (0, 1, "path-too-long"), (1, 1, "accepted"), (1, 2, "path-too-long"),
])
def test_path_length_of_the_anchor(ask, root_len, mids, reason):
    r = root(path_len=root_len)
    m = ladder(r, mids)
    assert ask(cert("leaf", by=m[-1] if m else r), r, m) == reason


def test_path_length_of_an_intermediate_and_self_issued_ones(ask):
    r = root()
    m = ladder(r, 2, i0={"path_len": 0})
    assert ask(cert("leaf", by=m[1]), r, m) == "path-too-long"
    m = ladder(r, 2, i0={"path_len": 0, "subject": "Same"}, i1={"subject": "Same"})
    assert ask(cert("leaf", by=m[1]), r, m) == "accepted"


@pytest.mark.parametrize("mids,most,reason", [(0, 0, "accepted"), (1, 0, "path-too-long"), (1, 1, "accepted"), (3, 2, "path-too-long")])
def test_max_depth_counts_intermediates(ask, mids, most, reason):
    r = root()
    m = ladder(r, mids)
    assert ask(cert("leaf", by=m[-1] if m else r), r, m, more=["--max-depth", str(most)]) == reason


# ---- finding the path ----

def test_no_anchor_no_issuer_other_issuer_self_signed(ask):
    r, other = root(), cert("Other", ca=True)
    m = mid(r)
    leaf = cert("leaf", by=m)
    assert ask(leaf, [], [m]) == "no-trust-anchor"
    assert ask(leaf, r) == "chain-incomplete"
    assert ask(leaf, other, [m]) == "unknown-issuer"
    assert ask(leaf, other, [m, r]) == "unknown-issuer"
    assert ask(cert("leaf"), r) == "self-signed"


def test_an_intermediate_may_be_the_anchor_and_ends_the_path(ask):
    r = root(until="20210101000000Z")
    m = mid(r)
    leaf = cert("leaf", by=m)
    assert ask(leaf, m, [r]) == "accepted"
    assert ask(leaf, [m, r]) == "accepted"
    assert ask(leaf, r, [m]) == "certificate-expired"


def test_shuffled_and_superfluous_intermediates(ask):
    r = root()
    m = ladder(r, 4)
    extra = [cert(f"Odd {i}", ca=True) for i in range(20)]
    leaf = cert("leaf", by=m[-1])
    assert ask(leaf, r, extra[:10] + m[::-1] + [leaf] + extra[10:] + [r]) == "accepted"


def test_an_expired_twin_does_not_stand_in_the_way(ask):
    r = root()
    k = key("p256-twin")
    old, new = mid(r, k=k, until="20210101000000Z"), mid(r, k=k)
    leaf = cert("leaf", by=new)
    assert ask(leaf, r, [old, new]) == "accepted"
    assert ask(leaf, r, [new, old]) == "accepted"
    assert ask(leaf, r, [old]) == "certificate-expired"


def test_an_expired_anchor_beside_a_cross_certificate(ask):
    new = cert("New Root", ca=True)
    k = key("p256-old")
    old, cross = cert("Old Root", ca=True, k=k, until="20210101000000Z"), cert("Old Root", by=new, ca=True, k=k)
    m = mid(old)
    leaf = cert("leaf", by=m)
    assert ask(leaf, [old, new], [m, cross]) == "accepted"
    assert ask(leaf, [old], [m, cross]) == "certificate-expired"


def test_several_cas_of_one_name_without_key_identifiers(ask):
    """The right one of ten is found by its signature."""
    bare = [cert("Mid", by=(r := root()), ca=True, k=key(f"p256-n{i}")) for i in range(10)]
    leaf = cert("leaf", by=bare[7], drop=[AKI])
    assert ask(leaf, r, bare, purpose="any") == "accepted"


def test_key_identifiers_rule_out(ask):
    r = root()
    assert ask(cert("leaf", by=r, akid=b"x" * 20), r) == "chain-incomplete"
    assert ask(cert("leaf", by=r, akid=b"x" * 20), r, purpose="any") == "accepted"


def test_the_first_path_is_forbidden_and_the_second_is_not(ask):
    r1, r2 = cert("Root 1", ca=True, add=[nc(excluded=[dns("example.com")])]), cert("Root 2", ca=True)
    k = key("p256-x")
    a, b = mid(r1, k=k), mid(r2, k=k)
    leaf = cert("leaf", by=a)
    for chain in ([a, b], [b, a]):
        assert ask(leaf, [r1, r2], chain) == "accepted"
    assert ask(leaf, r1, [a, b]) == "name-constraint-violated"


def test_loops_end(ask):
    r = root()
    ka, kb = key("p256-la"), key("p256-lb")
    a0, b0 = Cert(subject=name("A"), key=ka, skid=key_id(spki_of(ka))), Cert(subject=name("B"), key=kb, skid=key_id(spki_of(kb)))
    a, b = cert("A", by=b0, ca=True, k=ka), cert("B", by=a0, ca=True, k=kb)
    assert ask(cert("leaf", by=a), r, [a, b]) == "unknown-issuer"
    top = cert("A", by=r, ca=True, k=ka)
    assert ask(cert("leaf", by=b), r, [a, b, top]) == "accepted"


def test_a_leaf_that_is_the_anchor(ask):
    leaf = cert("leaf")
    assert ask(leaf, leaf, purpose="client") == "accepted"
    assert ask(cert("leaf", until="20210101000000Z", serial=7), cert("leaf", until="20210101000000Z", serial=7)) in (
        "certificate-expired", "self-signed")


def test_w75_cross_signed_layers_stay_within_the_budget(ask):
    """8 layers of 8 CAs, each signed by all 8 above, the anchor unrelated or at the top: W75."""
    r, stranger = root(), cert("Stranger", ca=True)
    layers, chain = [[r] * 1], []
    for depth in range(8):
        layer = []
        for n in range(8):
            k = key(f"p256-g{depth}-{n}")
            made = [cert(f"L{depth}", by=b, ca=True, k=k, drop=[AKI, SKI]) for b in layers[-1]]
            chain += made
            layer.append(made[0])
        layers.append(layer)
    leaf = cert("leaf", by=layers[-1][0], drop=[AKI])
    for anchor_cert in (stranger, r):
        start = monotonic()
        answer = ask(leaf, anchor_cert, chain, purpose="any", full=True)
        took = monotonic() - start
        print(f"{len(chain)} certificates: {answer['result']}, {answer['reason']}, "
              f"{answer['signature_checks']} signature checks, {took * 1000:.0f} ms with the program's start")
        assert answer["signature_checks"] <= 256
        assert took < 2.5


def test_the_next_best_path_is_told(ask):
    r = root()
    good, client = mid(r), mid(r, add=[eku(CLIENT)])
    elsewhere = mid(r, add=[nc(permitted=[dns("elsewhere.test")])])
    leaf = cert("leaf", by=good)
    assert "considered" not in ask(leaf, r, [good], full=True)
    answer = ask(leaf, r, [client, elsewhere], full=True)
    assert answer["result"] == "rejected"
    assert answer["considered"]["reason"] not in ("none", answer["reason"])
    assert answer["considered"]["chain"][1]["sha256"] != answer["chain"][1]["sha256"]


def test_a_hundred_chain_options(tmp_path):
    r = root()
    m = mid(r)
    (tmp_path / "r.pem").write_text(r.pem)
    (tmp_path / "leaf.pem").write_text(cert("leaf", by=m).pem)
    args = []
    for i in range(100):
        c = m if i == 61 else cert(f"Odd {i}", ca=True, k=key("p256-odd"))
        (tmp_path / f"{i}.pem").write_text(c.pem)
        args += ["--chain", tmp_path / f"{i}.pem"]
    run(COMMAND, "verify", "--purpose", "server", "--at", AT, "--trust", tmp_path / "r.pem", *args, tmp_path / "leaf.pem", check=0)


# ---- policies ----

P1, P2, ANY_POLICY = "1.2.3.1", "1.2.3.2", "2.5.29.32.0"


@pytest.mark.parametrize("mid_exts,leaf_exts,options,good", [
    ([policies(P1)], [policies(P1)], ["--explicit-policy"], True),
    ([policies(P1)], [policies(P2)], ["--explicit-policy"], False),
    ([policies(P1)], [policies(P2)], [], True),
    ([policies(P1), policy_constraints(explicit=0)], [policies(P2)], [], False),
    ([policies(ANY_POLICY)], [policies(P2)], ["--explicit-policy"], True),
    ([policies(ANY_POLICY)], [policies(P2)], ["--explicit-policy", "--policy", P2], True),
    ([policies(ANY_POLICY)], [policies(P2)], ["--explicit-policy", "--policy", P1], False),
    ([policies(ANY_POLICY)], [policies(P2)], ["--explicit-policy", "--inhibit-any-policy"], False),
    ([policies(P1), mappings((P1, P2))], [policies(P2)], ["--explicit-policy", "--policy", P1], True),
    ([policies(P1), mappings((P1, P2))], [policies(P2)], ["--explicit-policy", "--policy", P2], False),
    ([policies(P1), mappings((P1, P2))], [policies(P2)], ["--explicit-policy", "--inhibit-mapping"], False),
    ([policies(P1), mappings((P1, P1), (P1, P2))], [policies(P1)], ["--explicit-policy", "--policy", P1], True),
    ([policies(P1), mappings((ANY_POLICY, P2))], [policies(P2)], [], False),
    ([policies(P1)], [policies(P1, P1)], [], None),
    ([], [policies(P1)], ["--explicit-policy"], False),
])
def test_policy(ask, mid_exts, leaf_exts, options, good):
    r = root()
    m = mid(r, add=mid_exts)
    expected = M if good is None else "accepted" if good else "policy-violated"
    assert ask(cert("leaf", by=m, add=leaf_exts), r, [m], more=options) == expected


def test_w24_policy_mappings_that_would_double_at_each_level(ask):
    """2^n in a tree, n in a graph: CVE-2023-0464."""
    r = root()
    by, chain = r, []
    for i in range(12):
        pairs = [(f"1.2.3.{a}", f"1.2.3.{b}") for a in range(1, 9) for b in range(1, 9)]
        by = cert(f"Mid {i}", by=by, ca=True, k=key(f"p256-l{i}"), add=[policies(*[f"1.2.3.{a}" for a in range(1, 9)]), mappings(*pairs)])
        chain.append(by)
    for policy, more, expected in (("1.2.3.8", ["--policy", "1.2.3.1"], "none"), ("1.2.3.9", [], "policy-violated")):
        leaf = cert("leaf", by=by, add=[policies(policy)])
        start = monotonic()
        answer = ask(leaf, r, chain, more=["--explicit-policy", *more], full=True)
        took = monotonic() - start
        print(f"{answer['result']}, {answer['signature_checks']} signature checks, {took * 1000:.0f} ms with the program's start")
        assert answer["reason"] == expected
        assert (answer["result"] == "accepted") == (expected == "none")
        assert answer["signature_checks"] <= 256
        assert took < 1.5


# ---- revocation ----

def test_a_crl_that_is_given_revokes_what_it_lists(ask):
    r = root()
    leaf, other = cert("leaf", by=r), cert("leaf", by=r)
    listed = crl(r, entry(leaf.serial, reason=1))
    for require in (False, True):
        assert ask(leaf, r, crls=[listed], require=require) == "revoked"
        assert ask(other, r, crls=[listed], require=require) == "accepted"
    assert ask(leaf, r, crls=[crl(r, entry(leaf.serial, when="20390101000000Z"))]) == "revoked"
    assert ask(leaf, r, crls=[crl(r, entry(leaf.serial, reason=6))]) == "revoked"
    assert ask(leaf, r, crls=[crl(r, entry(leaf.serial), until="20240201000000Z")]) == "revoked"


def test_require_revocation_wants_every_certificate_covered(ask):
    r = root()
    m = mid(r)
    leaf = cert("leaf", by=m)
    assert ask(leaf, r, [m], require=True) == "revocation-unknown"
    assert ask(leaf, r, [m], crls=[crl(m)], require=True) == "revocation-unknown"
    assert ask(leaf, r, [m], crls=[crl(m), crl(r)], require=True) == "accepted"
    assert ask(leaf, r, [m], crls=[crl(m), crl(r, entry(m.serial))], require=True) == "revoked"


@pytest.mark.parametrize("options,reason", [
    ({"until": "20240501000000Z"}, "crl-stale"), ({"since": "20240701000000Z"}, "crl-not-yet-valid"), ({"until": None}, "crl-invalid"),
    ({"break_signature": True}, "crl-signature-invalid"), ({"number": None}, "crl-invalid"),
    ({"add": [ext("1.2.3", b"\5\0", True)]}, "crl-invalid"), ({"add": [ext("1.2.3", b"\5\0")]}, "accepted"),
    ({"add": [delta_of(1)]}, "revocation-unknown"), ({"issuer": name("Another")}, "revocation-unknown"),
    ({"alg": ECDSA_SHA1}, "crl-signature-invalid"),
    ({"add": [idp(user=True)]}, "accepted"), ({"add": [idp(ca=True)]}, "revocation-unknown"),
    ({"add": [idp(full=uri("http://x/1.crl"))]}, "revocation-unknown"), ({"add": [idp(reasons=b"\1\x40")]}, "revocation-unknown"),
    ({"add": [idp(user=True, ca=True)]}, "crl-invalid"),
])
def test_a_crl_that_must_not_count(ask, options, reason):
    r = root()
    assert ask(cert("leaf", by=r), r, crls=[crl(r, **options)], require=True) == reason


def test_a_crl_of_another_ca_of_that_name_counts_for_nothing(ask):
    r = root()
    evil = cert("Root", ca=True, k=key("p256-evil"))
    leaf = cert("leaf", by=r)
    poison = crl(evil, entry(leaf.serial))
    assert ask(leaf, r, [evil], crls=[poison]) == "accepted"
    assert ask(leaf, r, [evil], crls=[poison], require=True) in ("crl-signature-invalid", "revocation-unknown")


def test_the_signer_must_be_allowed_to_sign_crls(ask):
    r = root(add=[ku("keyCertSign")])
    leaf = cert("leaf", by=r)
    assert ask(leaf, r, crls=[crl(r)], require=True) == "key-usage-wrong"
    assert ask(leaf, r, crls=[crl(r)]) == "key-usage-wrong"
    r = root(drop=[KU])
    assert ask(cert("leaf", by=r), r, crls=[crl(r)], require=True) == "accepted"


def test_partitions(ask):
    r = root()
    here, there = uri("http://x/1.crl"), uri("http://x/2.crl")
    leaf = cert("leaf", by=r, add=[points(here)])
    assert ask(leaf, r, crls=[crl(r, add=[idp(full=here)])], require=True) == "accepted"
    assert ask(leaf, r, crls=[crl(r, add=[idp(full=there)])], require=True) == "revocation-unknown"
    assert ask(leaf, r, crls=[crl(r, entry(leaf.serial), add=[idp(full=here)])], require=True) == "revoked"


def test_indirect_crl(ask):
    r, signer_key = root(), key("p256-crlsigner")
    signer = cert("CRL Signer", by=r, k=signer_key, add=[ku("cRLSign"), bc(False)], drop=[EKU, SAN])
    leaf = cert("leaf", by=r, add=[points(uri("http://x/i.crl"), crl_issuer=signer.subject)])
    issuer_entry = ext("2.5.29.29", seq(dirname(r.subject)), True)
    base = [idp(full=uri("http://x/i.crl"), indirect=True)]
    good = crl(signer, entry(1, add=[issuer_entry]), add=base)
    bad = crl(signer, entry(1, add=[issuer_entry]), entry(leaf.serial), add=base)
    direct = [crl(r, add=[idp(ca=True)]), crl(r)]
    assert ask(leaf, r, [signer], crls=[good], require=True) == "crl-signature-invalid"  # its signer is not covered
    assert ask(leaf, r, [signer], crls=[good] + direct, require=True) == "accepted"
    assert ask(leaf, r, [signer], crls=[bad] + direct, require=True) == "revoked"
    assert ask(leaf, r, [signer], crls=[bad]) == "revoked"
    assert ask(leaf, r, [], crls=[bad]) == "accepted"  # nobody vouches for the signer


def test_delta_adds_and_releases(ask):
    r = root()
    leaf = cert("leaf", by=r)
    base, held = crl(r, number=5), crl(r, entry(leaf.serial, reason=6), number=5)
    assert ask(leaf, r, crls=[base, crl(r, entry(leaf.serial), number=6, add=[delta_of(5)])], require=True) == "revoked"
    assert ask(leaf, r, crls=[held, crl(r, entry(leaf.serial, reason=8), number=6, add=[delta_of(5)])], require=True) == "accepted"
    assert ask(leaf, r, crls=[held, crl(r, entry(leaf.serial, reason=8), number=6, add=[delta_of(6)])], require=True) == "revoked"
    assert ask(leaf, r, crls=[held, crl(r, number=7)], require=True) in ("accepted", "revoked")
    stale = crl(r, entry(leaf.serial, reason=8), number=6, add=[delta_of(5)], until="20240501000000Z")
    assert ask(leaf, r, crls=[held, stale], require=True) == "revoked"
    assert ask(leaf, r, crls=[crl(r, number=6, add=[delta_of(5)])], require=True) == "revocation-unknown"


# ---- purposes ----

def test_purpose_client_and_any(ask):
    r = root()
    assert ask(cert("leaf", by=r, usages=[CLIENT]), r, purpose="client") == "accepted"
    assert ask(cert("leaf", by=r, usages=[SERVER]), r, purpose="client") == "eku-missing-client-auth"
    assert ask(cert("leaf", by=r, usages=[MAIL]), r, purpose="client") == "eku-missing-client-auth"
    assert ask(cert("leaf", by=r, usages=[MAIL]), r, purpose="any") == "accepted"
    assert ask(cert("Ca", by=r, ca=True), r, purpose="any") == "accepted"
    assert ask(cert("Ca", by=r, ca=True), r, purpose="client") == "is-a-ca"
    assert ask(cert("leaf", by=r, serial=-1, drop=[AKI]), r, purpose="any") == "accepted"


def test_the_verdict_says_which_certificate_and_field(ask):
    r = root()
    m = mid(r, until="20240501000000Z")
    v = ask(cert("leaf", by=m), r, [m], full=True)
    assert (v["reason"], v["depth"]) == ("certificate-expired", 1)
    assert "notAfter" in v["detail"] and v["advice"] and v["source"].startswith("RFC 5280")
    assert [c["subject"] for c in v["chain"]] == ["CN=leaf", "CN=Mid", "CN=Root"]
    assert [c["anchor"] for c in v["chain"]] == [False, False, True]


def test_w38_a_signature_variant_of_a_revoked_certificate_stays_revoked(ask):
    """W38: s -> n - s makes another fingerprint of the same certificate."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
    r = root()
    leaf = cert("leaf", by=r)
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    at = leaf.der.rindex(ECDSA_SHA256) + len(ECDSA_SHA256)
    a, s = decode_dss_signature(leaf.der[at + 3:])
    twin = Cert(der=seq(leaf.tbs, ECDSA_SHA256, bits(encode_dss_signature(a, n - s))))
    assert ask(twin, r) == "accepted"
    assert ask(twin, r, crls=[crl(r, entry(leaf.serial))]) == "revoked"


# ---- input ----

def good_files(tmp_path):
    r = root()
    leaf = cert("leaf", by=r)
    (tmp_path / "r.pem").write_text(r.pem)
    (tmp_path / "leaf.pem").write_text(leaf.pem)
    return r, leaf, [COMMAND, "verify", "--purpose", "server", "--at", AT, "--trust", tmp_path / "r.pem"]


@pytest.mark.parametrize("make", [
    lambda c: c.pem.replace("\n", "\r\n").encode(), lambda c: b"\xef\xbb\xbf" + c.pem.encode(), lambda c: c.der,
    lambda c: b"Bag Attributes\n  x: y\n" + c.pem.encode() + b"\ntrailing text\n", lambda c: c.pem.encode().rstrip(b"\n"),
    lambda c: c.pem.encode() + pem("PRIVATE KEY", b"0" * 48).encode(), lambda c: c.pem.replace("CERTIFICATE", "X509 CERTIFICATE").encode(),
], ids=["crlf", "bom", "der", "text-around", "no-newline-at-the-end", "with-a-key", "x509"])
def test_forms_of_input_that_are_fine(tmp_path, make):
    _, leaf, args = good_files(tmp_path)
    (tmp_path / "odd").write_bytes(make(leaf))
    run(*args, tmp_path / "odd", check=0)


@pytest.mark.parametrize("make", [
    lambda c: b"", lambda c: b"\n \n", lambda c: b"hello", lambda c: c.pem.encode()[:200], lambda c: c.der[:100], lambda c: c.der + b"x",
    lambda c: c.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE").encode(), lambda c: pem("CERTIFICATE", b"0" * 50).encode(),
    lambda c: pem("X509 CRL", b"0" * 50).encode(), lambda c: c.pem.replace("MI", "M!").encode(), lambda c: b"\0" * 1000,
    lambda c: b"-----BEGIN CERTIFICATE-----\n" * 1000, lambda c: b"A" * (17 << 20), lambda c: b"\x30\x84\xff\xff\xff\xff" + b"\0" * 100,
], ids=["empty", "blank", "text", "cut-pem", "cut-der", "der-and-more", "trusted", "not-a-certificate", "a-crl", "not-base64", "zeros",
        "begins-only", "huge", "huge-length"])
@pytest.mark.parametrize("where", ["leaf", "trust", "chain", "crl"])
def test_unreadable_input_is_exit_2_and_names_the_file(tmp_path, make, where):
    r, leaf, args = good_files(tmp_path)
    bad = tmp_path / "odd"
    bad.write_bytes(make(leaf))
    if where == "leaf":
        done = run(*args, "--json", bad)
    else:
        done = run(*args, "--json", f"--{where}", bad, tmp_path / "leaf.pem")
    assert done.returncode == 2, done.stdout
    assert str(bad) in done.stderr
    assert json.loads(done.stdout)["result"] == "failed"


def test_a_missing_file_a_folder_and_wrong_options_are_exit_2(tmp_path):
    _, _, args = good_files(tmp_path)
    leaf = tmp_path / "leaf.pem"
    for bad in ([tmp_path / "none"], [tmp_path], [leaf, "--trust", tmp_path / "none"], [leaf, "--at", "yesterday"], [leaf, "--name", "www"],
                [leaf, "--name", "dns:"], [leaf, "--purpose", "mail"], [leaf, "--max-depth", "-1"], [leaf, "--nonsense"], [],
                [leaf, leaf], [leaf, "--policy", "x"]):
        assert run(*args, *bad).returncode == 2, bad
    assert run(COMMAND, "verify", leaf).returncode == 2


def test_a_malformed_certificate_in_the_bag_does_not_matter(ask):
    r = root()
    broken = cert("Odd", by=r, ca=True, exts=(ext(BC, b"garbage"),))
    assert ask(cert("leaf", by=r), [r, broken], [broken]) == "accepted"


def test_memory_stays_below_64_mb(tmp_path):
    r, leaf, args = good_files(tmp_path)
    many = "".join(cert(f"Odd {i % 50}", ca=True, k=key("p256-odd")).pem for i in range(2000))
    (tmp_path / "many.pem").write_text(many)
    done = run("/usr/bin/python3", "-c", "import resource, subprocess, sys; subprocess.run(sys.argv[1:]); "
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)", *args, "--chain", tmp_path / "many.pem", tmp_path / "leaf.pem")
    assert "accepted" in done.stdout
    assert int(done.stdout.split()[-1]) < 64 * 1024
