"""countersign reissue: what an identity held ends, and it has a new certificate for a new key."""
import json

import pytest
from conftest import run, wait_for
from cryptography import x509
from test_admin import Api, csr, person


def cert(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def state_of(up, serial):
    return json.loads(up.run("show", f"{serial:032x}", "--json", check=0).stdout)


def enters(up, issued):
    return up.curl(crt=issued.crt, key=issued.key).status == 200


def test_a_lost_key_is_replaced_and_what_there_was_ends_as_superseded(up, work):
    old = up.issue("server", "lost-1.example", "--dns", "alias.lost-1.example", "--ip", "10.1.1.1")
    more = up.issue("server", "lost-1.example")
    done = json.loads(up.run("reissue", "lost-1.example", "--out", work, "--json", "--proof", check=0).stdout)
    new = cert(work / "lost-1.example.crt")
    assert {int(s, 16) for s in done["ended"]} == {cert(old.crt).serial_number, cert(more.crt).serial_number}
    newest = cert(more.crt).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert new.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == newest
    assert new.public_key() not in (cert(old.crt).public_key(), cert(more.crt).public_key())
    for was in (old, more):
        row = state_of(up, cert(was.crt).serial_number)
        assert (row["status"], row["revocation_reason"]) == ("revoked", "superseded")
    assert state_of(up, new.serial_number)["status"] == "valid"
    up.run("log", "check", work / "lost-1.example.proof.json", "--trust", up.ca, "--certificate",
           work / "lost-1.example.crt", check=0)
    said = up.run("reissue", f"{cert(old.crt).serial_number:032x}", "--out", work / "again", check=0).stdout
    again = cert(work / "again/lost-1.example.crt")
    names = again.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "alias.lost-1.example" in names.get_values_for_type(x509.DNSName), "that one's names, though it is revoked"
    assert f"Ended (superseded): serial {new.serial_number:032x}" in said


def test_a_key_in_other_hands_opens_nothing_any_more_and_is_never_certified_again(up, work):
    old = up.issue("device", "stolen-1")
    held = up.issue("device", "stolen-1")
    up.run("hold", f"{cert(held.crt).serial_number:032x}", check=0)
    assert enters(up, old)
    run("openssl", "req", "-new", "-key", old.key, "-subj", "/CN=stolen-1", "-out", work / "thief.csr", check=0)
    up.run("reissue", "stolen-1", "--reason", "key-compromise", "--out", work, check=0)
    wait_for(lambda: not enters(up, old), 5)
    for was in (old, held):
        assert state_of(up, cert(was.crt).serial_number)["revocation_reason"] == "key-compromise"
    assert up.curl(crt=work / "stolen-1.crt", key=work / "stolen-1.key").status == 200
    refused = up.run("issue", "device", "stolen-1", "--csr", work / "thief.csr", "--out", work / "x", check=1).stderr
    assert "key-compromised" in refused
    events = [json.loads(x)["event"] for x in up.run("log", "--json", "--name", "stolen-1", check=0).stdout.splitlines()]
    assert events[-4:] == ["revoked", "revoked", "issued", "issue-refused"]


def test_what_cannot_be_is_refused(up, work):
    old = up.issue("device", "lost-2")
    run("openssl", "req", "-new", "-key", old.key, "-subj", "/CN=lost-2", "-out", work / "same.csr", check=0)
    reissue = lambda *more: up.run("reissue", *more, "--out", work / "no", check=1).stderr
    assert "key-not-new" in reissue("lost-2", "--csr", work / "same.csr")
    assert "certificate-unknown" in reissue("nobody-there")
    assert "reason-invalid" in reissue("lost-2", "--reason", "certificate-hold")
    assert state_of(up, cert(old.crt).serial_number)["status"] == "valid", "nothing ended"


@pytest.mark.parametrize("role", ["auditor", "issuer"])
def test_over_the_api_it_is_an_issuers(up, work, role):
    up.issue("device", f"lost-by-{role}")
    caller = person(up, work, f"re-{role}@corp.example", role)
    got = caller("POST", "reissues", json={"name": f"lost-by-{role}", "csr": csr()})
    if role == "auditor":
        assert got.json()["reason"] == "role-missing"
        return
    assert got.status_code == 201 and len(got.json()["ended"]) == 1, got.text
    again = caller("POST", "reissues", json={"name": f"lost-by-{role}", "csr": csr(), "reason": "superseded"})
    assert again.json()["ended"][0]["serial"] == got.json()["serial"]


def test_a_renewal_supersedes_by_itself_where_the_profile_says_so(system):
    s = system()
    s.state.mkdir(mode=0o700)
    (s.state / "countersign.yaml").write_text(
        "enroll:\n  device: {supersede: false}\nprofiles:\n"
        "  - {name: once, kind: device, supersede: true}\n  - {name: server, kind: server, supersede: true}\n")
    s.start()
    for kind, name, more, want in (("device", "one", ("--profile", "once"), "revoked"), ("device", "two", (), "valid"),
                                   ("server", "s.example", (), "revoked")):
        old = s.issue(kind, name, *more)
        s.run("renew", name, "--out", old.dir / "new", check=0)
        row = state_of(s, cert(old.crt).serial_number)
        assert row["status"] == want, (name, row)
        assert want == "valid" or row["revocation_reason"] == "superseded"
        assert state_of(s, cert(old.dir / "new" / f"{name}.crt").serial_number)["status"] == "valid"
    s.stop()


assert Api
