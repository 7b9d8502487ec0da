"""Profiles of the configuration: what they let be issued, what they refuse, what the dry run says; read by openssl,
python3-cryptography and certtool."""
import json

import pytest
from authority import request
from conftest import countersign, run
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CONF = """
profiles:
  - name: shop-tls
    kind: server
    keys: [ecdsa-p256, rsa-3072]
    lifetime: 20d
    longest: 40d
    backdate: 1h
    key_usage: [digital-signature]
    extended_key_usage: [server-auth, client-auth]
    subject: {o: "Zoë & Co", ou: request, c: DE}
    names: ["dns:*.shop.example", "ip:10.1.0.0/16"]
    deny_names: ["dns:admin.*"]
    fixed_names: ["dns:all.shop.example"]
    names_from_request: true
    policies: [1.3.6.1.4.1.99999.1]
    must_staple: true
    extensions: [{oid: 1.3.6.1.4.1.99999.2, der: "0c026869"}]
  - name: far
    kind: device
    ask: [est]
  - name: careful
    kind: user
    approval: true
"""
PROFILE_OID = "1.3.6.1.4.1.311.20.2"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    from conftest import System
    conf = tmp_path_factory.mktemp("conf") / "c.yaml"
    conf.write_text(CONF)
    s = System(config=conf)
    s.conf = conf
    yield s.start()
    s.close()


def issue(s, work, *args, check=0):
    return countersign("issue", *args, "--state", s.state, "--config", s.conf, "--out", work, check=check)


def test_the_certificate_is_what_the_profile_says(shop, work):
    issue(shop, work, "server", "a.shop.example", "--profile", "shop-tls", "--ip", "10.1.2.3")
    crt = work / "a.shop.example.crt"
    c = x509.load_pem_x509_certificate(crt.read_bytes())
    assert c.subject.rfc4514_string() == "CN=a.shop.example,O=Zoë & Co,C=DE"
    sans = c.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.DNSName) == ["a.shop.example", "all.shop.example"]
    assert [str(a) for a in sans.get_values_for_type(x509.IPAddress)] == ["10.1.2.3"]
    assert 20 * 86400 <= (c.not_valid_after - c.not_valid_before).total_seconds() <= 20 * 86400 + 3600
    assert {e.dotted_string for e in c.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value} == {
        "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}
    assert x509.TLSFeatureType.status_request in c.extensions.get_extension_for_class(x509.TLSFeature).value
    policies = c.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [p.policy_identifier.dotted_string for p in policies] == ["1.3.6.1.4.1.99999.1"]
    own = {e.oid.dotted_string: e for e in c.extensions}
    assert own[PROFILE_OID].value.value == b"\x1e\x10" + "shop-tls".encode("utf-16-be") and not own[PROFILE_OID].critical
    assert own["1.3.6.1.4.1.99999.2"].value.value == b"\x0c\x02hi"
    run("openssl", "verify", "-x509_strict", "-CAfile", shop.ca, "-untrusted", crt, crt, check=0)
    assert "1.3.6.1.4.1.99999.1" in run("certtool", "-i", "--infile", crt, check=0).stdout
    countersign("lint", crt, check=0)


def test_names_of_the_request_are_taken_where_they_are_allowed(shop, work):
    csr = work / "r.pem"
    csr.write_text(request([x509.DNSName("b.shop.example"), x509.DNSName("c.shop.example")], cn="b.shop.example"))
    issue(shop, work, "server", "b.shop.example", "--profile", "shop-tls", "--csr", csr)
    text = run("openssl", "x509", "-in", work / "b.shop.example.crt", "-noout", "-ext", "subjectAltName").stdout
    assert "DNS:b.shop.example, DNS:all.shop.example, DNS:c.shop.example" in text
    csr.write_text(request([x509.DNSName("evil.example")], cn="x"))
    refused = issue(shop, work, "server", "d.shop.example", "--profile", "shop-tls", "--csr", csr, check=1)
    assert "name-not-allowed" in refused.stderr and "DNS:evil.example" in refused.stderr


@pytest.mark.parametrize("args,reason", [
    (("server", "other.example", "--profile", "shop-tls"), "name-not-allowed"),
    (("server", "admin.shop.example", "--profile", "shop-tls"), "name-not-allowed"),
    (("server", "a.shop.example", "--profile", "shop-tls", "--ip", "10.2.0.1"), "name-not-allowed"),
    (("server", "a.shop.example", "--profile", "shop-tls", "--lifetime", "41d"), "profile-violated"),
    (("server", "a.shop.example", "--profile", "shop-tls", "--key-type", "ed25519"), "key-unsupported"),
    (("server", "a.shop.example", "--profile", "shop-tls", "--key-type", "rsa-2048"), "key-too-weak"),
    (("user", "ann@shop.example", "--profile", "shop-tls"), "profile-violated"),
    (("device", "pump-1", "--profile", "nothing"), "profile-unknown"),
    (("device", "pump-1", "--profile", "far"), "profile-violated"),
    (("user", "ann@shop.example", "--profile", "careful"), "approval-needed"),
])
def test_what_leaves_the_profile_is_refused(shop, work, args, reason):
    done = issue(shop, work, *args, check=1)
    assert reason in done.stderr
    assert not list(work.glob("*.crt")) and not list(work.glob("*.key"))


def fields(s, work, csr, *args, check=0, profile="shop-tls"):
    (work / "r.pem").write_text(csr)
    done = countersign("profile", "try", "--csr", work / "r.pem", "--profile", profile, "--json", "--state", s.state,
                       "--config", s.conf, *args, check=check)
    return json.loads(done.stdout)


def test_the_dry_run_says_what_comes_from_where(shop, work):
    said = fields(shop, work, request([x509.DNSName("b.shop.example"), x509.DNSName("c.shop.example")],
                                      extensions=[x509.KeyUsage(*[True, False, True] + [False] * 6)]),
                  "--ip", "10.1.2.3", "--door", "cli")
    assert said["would_be_issued"] is True
    names = {f["value"]: f["why"] for f in said["fields"] if f["field"] == "name"}
    assert names == {"DNS:b.shop.example": "from the identity", "DNS:all.shop.example": "fixed by the profile",
                     "IP:10.1.2.3": "asked for", "DNS:c.shop.example": "from the request"}
    by_field = {f["field"]: f for f in said["fields"]}
    assert "the request's is not taken" in by_field["key_usage"]["why"]
    assert by_field["subject"]["value"] == "CN=b.shop.example,O=Zoë & Co,C=DE"


def test_the_dry_run_refuses_what_the_authority_refuses(shop, work):
    def refused(*args, **how):
        said = fields(shop, work, *args, check=1, **how)
        assert said["would_be_issued"] is False
        return [f["why"].split(":")[0] for f in said["fields"] if f.get("refused")]
    assert refused(request([x509.DNSName("b.shop.example"), x509.DNSName("evil.example")])) == ["name-not-allowed"]
    assert "key-unsupported" in refused(request([x509.DNSName("b.shop.example")],
                                                key=ec.generate_private_key(ec.SECP384R1())))
    assert "key-too-weak" in refused(request([x509.DNSName("b.shop.example")],
                                             key=rsa.generate_private_key(65537, 2048)))
    assert "csr-asks-for-ca" in refused(request([x509.DNSName("b.shop.example")],
                                                extensions=[x509.BasicConstraints(True, None)]))
    assert refused(request(), "--name", "pump-1", "--door", "cli", profile="far") == ["profile-violated"]


def test_list_show_and_check(shop, work):
    at = ("--state", shop.state, "--config", shop.conf)
    listed = json.loads(countersign("profile", "list", "--json", *at, check=0).stdout)
    assert [p["name"] for p in listed] == ["server", "user", "device", "shop-tls", "far", "careful"]
    shown = countersign("profile", "show", "shop-tls", *at, check=0).stdout
    assert "dns:*.shop.example, ip:10.1.0.0/16" in shown and "ecdsa-p256, rsa-3072" in shown
    assert "shop-tls" in countersign("profile", "list", *at, check=0).stdout
    assert "6 profiles" in countersign("profile", "check", shop.conf, "--state", shop.state, check=0).stdout
    bad = work / "bad.yaml"
    bad.write_text(CONF.replace("[digital-signature]", "[cert-sign]"))
    done = countersign("profile", "check", bad, "--state", shop.state, check=2)
    assert "config-invalid" in done.stderr and "shop-tls: key_usage" in done.stderr


def test_a_signer_that_read_other_profiles_signs_nothing(system, work):
    import os
    import signal

    from conftest import wait_for
    conf = work / "c.yaml"
    conf.write_text(CONF)
    s = system(config=conf)
    s.conf = conf
    s.start()
    issue(s, work, "server", "a.shop.example", "--profile", "shop-tls")
    conf.write_text(CONF.replace("must_staple: true", "must_staple: false"))
    pid = int(run("pgrep", "-P", s.proc.pid, "-f", "countersign-signer", check=0).stdout)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: run("pgrep", "-P", s.proc.pid, "-f", "countersign-signer").stdout.strip() not in ("", str(pid)), 10)
    done = issue(s, work, "server", "b.shop.example", "--profile", "shop-tls", check=1)
    assert "profile-violated" in done.stderr and "start both again" in done.stderr
    issue(s, work, "server", "plain.example")
