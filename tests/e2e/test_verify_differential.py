"""The same chains before OpenSSL, GnuTLS and mbedTLS. Where one of them answers otherwise than we, EXPLAINED says why; a difference
that is not there fails, and so does one that is there and is none (docs/verification.md has the table for people)."""
import fnmatch
from concurrent.futures import ThreadPoolExecutor

import judges
import pytest
from chains import *  # noqa: F403 (a vocabulary)
from test_verify import M, NAMES, RULES, mid, root


def constrained(constraint, sans, where):
    def build():
        r = root(add=[constraint] if where == "anchor" else [])
        m = mid(r, cn="leaf", add=[constraint] if where == "intermediate" else [], k=key("p256-mid"))
        if where == "anchor":
            return cert("leaf", by=r, names=sans), [r], []
        return cert("leaf", by=m, names=sans, k=key("p256-leaf"), issuer=m.subject), [r], [m]
    return build


# id -> (purpose, what makes it, do we accept it); the reasons are test_verify's business
CASES = {f"rule/{n}": ("server", build, reason == "accepted") for n, build, reason in RULES}
CASES |= {f"nc/{where}/{n}": ("client", constrained(c, sans, where), good is True)
          for n, c, sans, good in NAMES for where in ("anchor", "intermediate")}



def rules(names):
    return [f"rule/{n}" for n in names.split()]


def ncs(names):
    return [f"nc/*/{n}" for n in names.split()]


SERIALS = "serial-21-octets serial-zero serial-negative serial-zero-in-intermediate"
NAMED = "control-in-name nul-in-san blank-in-san latin1-in-san underscore-in-san ip-of-5-octets"
CA_FORM = "ca-not-critical ca-without-ski intermediate-without-aki leaf-without-aki leaf-path-length-without-ca leaf-with-cert-sign"
COMMON = {  # where all three are laxer than we
    "versions 1 and 2, without extensions, pass (RFC 5280 4.1.2.1)": "version-1 version-2",
    "a signature algorithm with parameters that it has not (RFC 5758 3.2)": "algorithm-with-null",
    "what is not asked about is not read: authorityInfoAccess (RFC 5280 4.2.2.1)": "aia-malformed aia-empty",
    "subjectAltName critical beside a subject (CA/B BR 7.1.2.7)": "san-critical-beside-subject subject-empty-san-critical",
    "GeneralizedTime before 2050 (RFC 5280 4.1.2.5)": "generalized-time-before-2050",
    "RSA of a length that is no whole number of octets (CA/B BR 6.1.5)": "rsa-2052",
    "a CA's certificate as the leaf": "leaf-is-ca",
    "a common name that is a host but no SAN (CA/B BR 7.1.4.3)": "cn-other-host cn-other-case cn-odd-address",
}
EXPLAINED = {why: {j: rules(names) for j in judges.JUDGES} for why, names in COMMON.items()} | {
    "serial numbers of more than 20 octets, zero, negative or not minimal (RFC 5280 4.1.2.2)": {
        "openssl": rules(SERIALS), "gnutls": rules(SERIALS + " serial-not-minimal"), "mbedtls": rules(SERIALS + " serial-not-minimal")},
    "DER is not demanded everywhere (X.690 8, 10, 11)": {
        "openssl": rules("critical-false-written-out extension-with-something-behind indefinite-length length-not-minimal"),
        "gnutls": rules("critical-false-written-out extension-with-something-behind indefinite-length length-not-minimal boolean-not-ff"),
        "mbedtls": rules("critical-false-written-out length-not-minimal boolean-not-ff")},
    "controls, NUL, wrong UTF-8 and what no host has in names; an address of five octets (RFC 5280 4.1.2.4, 4.2.1.6)": {
        "openssl": rules(NAMED), "gnutls": rules(NAMED + " not-utf8-in-name san-empty"), "mbedtls": rules(NAMED + " not-utf8-in-name san-empty")},
    "a critical authorityInfoAccess (RFC 5280 4.2.2.1)": {"gnutls": rules("aia-critical")},
    "UTCTime without seconds (RFC 5280 4.1.2.5.1)": {"gnutls": rules("utc-time-without-seconds")},
    "secp256k1, which no TLS group or CA of the web has (RFC 8422 5.1.1)": {j: rules("secp256k1") for j in ("openssl", "mbedtls")},
    "the leaf's key is not decoded by certtool": {"gnutls": rules("point-too-short")},
    "the form of CAs and key identifiers (RFC 5280 4.2.1.1, .2, .3, .9)": {j: rules(CA_FORM) for j in ("gnutls", "mbedtls")},
    "anyExtendedKeyUsage stands for the purpose": {j: rules("any-eku-only") for j in ("gnutls", "mbedtls")},
    "the anchor's extended key usage is not looked at": {j: rules("eku-in-anchor-other") for j in ("gnutls", "mbedtls")},
    "the CAs' extended key usage is not looked at": {"mbedtls": rules("eku-in-ca-other")},
    "an empty usage counts as none, and key usage is not asked of a leaf": {"gnutls": rules("eku-empty key-usage-empty key-usage-other")},
    # where they are stricter
    "anyExtendedKeyUsage in a CA does not stand for the purpose": {j: rules("eku-in-ca-any") for j in ("openssl", "gnutls")},
    "a CA without keyUsage is refused (-x509_strict; RFC 5280 4.2.1.3 wants one of CAs, 6.1.4 (n) lets it pass)": {
        "openssl": rules("ca-without-key-usage")},
    "Ed25519 is not supported": {"mbedtls": rules("ed25519 ed25519-ca")},
    "critical name constraints are not supported, and so refused": {
        "mbedtls": [c for c, (_, _, ours) in CASES.items() if c.startswith("nc/") and ours]},
    "a URI with a user or port is compared with them in it": {"openssl": ncs("uri-host-with-port-and-user")},
    "without a DNS SAN the common name is taken for a host": {"gnutls": ncs("other-name-constrained-but-absent other-type-free")},
    # name constraints (RFC 5280 4.2.1.10)
    "a wildcard that stands for an excluded name passes": {j: ncs("dns-wildcard-over-excluded") for j in ("openssl", "gnutls")},
    "a DNS constraint with a leading dot, and an empty extension, are read": {j: ncs("dns-leading-dot empty") for j in ("openssl", "gnutls")},
    "a mailbox with two @ is compared": {j: ncs("email-two-ats") for j in ("openssl", "gnutls")},
    "an IP mask with holes is applied; a URI whose host is an address is free of host constraints": {
        "openssl": ncs("ip-mask-with-holes uri-ip-host")},
    "URI and directory-name constraints are not applied; a minimum is ignored": {
        "gnutls": ncs("dirname-permitted uri-host-not-below uri-user-trick uri-without-host with-minimum")},
    "constraints on IPv6 do not bind IPv4 addresses": {"gnutls": ncs("ip6-is-not-ip4")},
}


def explained(judge, case):
    return [why for why, by in EXPLAINED.items() if any(fnmatch.fnmatchcase(case, p) for p in by.get(judge, ()))]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """(case, judge) -> (accepted, what it said); two at a time, as there are two cores."""
    def ask(item):
        case, judge = item
        purpose, build, _ = CASES[case]
        folder = tmp_path_factory.mktemp("question")
        return item, judges.JUDGES[judge](judges.Files(folder, *build()), purpose)
    asked = [(c, j) for j in judges.JUDGES if judges.why_not(j) is None for c in CASES]
    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(ask, asked))


@pytest.mark.parametrize("judge", list(judges.JUDGES))
def test_every_difference_is_explained_and_every_explanation_differs(judge, verdicts):
    if why := judges.why_not(judge):
        pytest.skip(why)
    new, gone = [], []
    for case, (_, _, ours) in CASES.items():
        theirs, said = verdicts[case, judge]
        differs, known = theirs != ours, explained(judge, case)
        if differs and not known:
            new.append(f"{case}: we {'accept' if ours else 'refuse'}, {judge} says: {said.strip()[-200:]}")
        if known and not differs:
            gone.append(f"{case}: {known}")
    assert not new, "\n".join(new)
    assert not gone, "\n".join(gone)


def test_the_plain_chains_are_accepted_by_all(verdicts):
    for (case, judge), (accepted, said) in verdicts.items():
        if case in ("rule/plain", "rule/plain-three", "rule/rsa-2048", "rule/p384"):
            assert accepted, (case, judge, said)


def test_nothing_that_a_judge_accepts_is_in_no_row(verdicts):
    """Each pattern of the table fits a case: no row outlives what it was written for."""
    for why, by in EXPLAINED.items():
        for judge, patterns in by.items():
            for p in patterns:
                assert any(fnmatch.fnmatchcase(c, p) for c in CASES), (why, judge, p)
