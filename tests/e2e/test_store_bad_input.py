"""What nobody should send, and what may befall the machine: a clear reason, nothing lost, nothing doubled."""
import glob
import json
import sqlite3

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

from authority import Authority, UnixConnection, request
from conftest import SANITIZED, countersign, run


@pytest.fixture(scope="module")
def a():
    made = Authority().start()
    yield made
    made.close()


@pytest.fixture()
def own():
    made = Authority().start()
    yield made
    made.close()


def refused(answer, reason):
    status, _, body = answer
    assert 400 <= status < 500 or status == 503, answer
    assert body["reason"] == reason, body
    return body


def kept(a):
    """The store keeps its rules; what it lists, by serial."""
    said = json.loads(countersign("store", "check", "--state", a.state, "--json", check=0).stdout)
    assert said["result"] == "kept"
    serials = [r["serial"] for r in a.listed()]
    assert len(serials) == len(set(serials))
    return serials


NASTY = ["x' OR '1'='1", "x'; DROP TABLE certificates; --", "<script>alert(1)</script>", "\"><img src=x>", "%27%20OR%201=1",
         "a\x01b", "ü", "\u202egro.elpmaxe", "x" * 5000, "{{7*7}}", "$(reboot)", "../../store.db"]


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_sql_html_and_their_like_in_names_are_refused_and_find_nothing(a, name):
    before = kept(a)
    for kind in ("device", "user", "server"):
        refused(a.issue(name, kind=kind), "name-invalid")
        refused(a.call("POST", "/api/v1/tokens", {"kind": kind, "name": name}), "name-invalid")
        refused(a.call("POST", "/api/v1/tags", {"kind": kind, "name": name, "add": ["t"]}), "name-invalid")
    asked = "".join(f"%{b:02X}" for b in name.encode()[:900])
    for key in ("name", "tag", "profile", "after"):
        status, _, page = a.call("GET", f"/api/v1/certificates?status=all&{key}={asked}")
        assert status == 200 and page["certificates"] == [], page
    told = a.call("GET", f"/api/v1/log?name={asked}")[2]["records"]
    assert {json.loads(r["record"])["event"] if isinstance(r["record"], str) else r["record"]["event"] for r in told} <= {"issue-refused"}
    assert kept(a) == before


@pytest.mark.parametrize("raw", [b'{"kind":"device","name":"a\xff","csr":"x"}', b'{"kind":"device","name":"\xc0\xaf","csr":"x"}',
                                 b'{"kind":"device","name":"\\ud800","csr":"x"}', b'{"kind":"device","name":"a\\u0000","csr":"x"}'])
def test_a_name_that_is_no_text_is_refused(a, raw):
    c = UnixConnection(a.run / "control.sock", 30)
    c.request("POST", "/api/v1/certificates", raw)
    answer = c.getresponse()
    assert answer.status == 400 and json.loads(answer.read())["reason"] == "message-malformed"


def test_a_subject_that_is_not_utf8_is_refused_and_no_issuer_of_it_is_kept(a):
    before = kept(a)
    import base64
    good = request(cn="MARKED-NAME")
    der = base64.b64decode("".join(good.splitlines()[1:-1])).replace(b"MARKED-NAME", b"MARKED-\xff\xfe\xc0\x80")
    bad = "-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(der).decode() + "-----END CERTIFICATE REQUEST-----\n"
    assert a.issue("pump-1", csr=bad)[0] == 400
    assert kept(a) == before


def test_huge_lists_of_names_meet_a_stated_limit(a):
    before = kept(a)
    many = [x509.DNSName(f"h{i}.example") for i in range(3000)]
    assert "16384" in refused(a.issue("gw.example", kind="server", csr=request(names=many)), "file-too-large")["detail"]
    refused(a.issue("gw.example", kind="server", dns=[f"h{i}.example" for i in range(101)]), "limit-reached")
    refused(a.issue("gw.example", kind="server", dns=["h" * 300 + ".example"]), "name-invalid")
    few = [x509.DNSName(f"h{i}.example") for i in range(200)]
    assert a.issue("gw.example", kind="server", csr=request(names=few))[0] >= 400
    assert kept(a) == before


@pytest.mark.parametrize("oid", ["1.2.3.4.5", "2.5.29.36", "1.3.6.1.4.1.311.20.2"])
def test_an_extension_that_is_asked_for_and_not_known_does_not_reach_the_certificate(a, oid):
    """The profile says what a certificate holds; a request's extensions other than names are not taken over."""
    asked = x509.UnrecognizedExtension(ObjectIdentifier(oid), b"\x05\x00")
    status, _, made = a.issue("pump-1", csr=request(extensions=[asked], key=ec.generate_private_key(ec.SECP256R1())))
    if status == 201:
        leaf = x509.load_pem_x509_certificate(made["certificate"].encode())
        assert oid not in {e.oid.dotted_string for e in leaf.extensions}
    else:
        assert status == 400


@pytest.mark.skipif(SANITIZED, reason="libfaketime cannot be loaded before a sanitizer's own library")
def test_a_clock_set_back_a_year_signs_nothing_and_goes_on_when_it_is_right(own):
    serial = own.issue("pump-1")[2]["serial"]
    number = own.call("POST", "/api/v1/crls")[2]["number"]
    before = kept(own)
    own.stop()
    own.start(env={"LD_PRELOAD": glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")[0], "FAKETIME": "-365d",
                   "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    refused(own.issue("pump-2"), "not-yet-valid")
    assert refused(own.call("POST", "/api/v1/crls"), "clock-suspect")["detail"].startswith("it is 2")
    status, _, answer = own.call("POST", "/api/v1/revocations", {"name": "pump-1"})
    assert status == 200 and answer["revoked"][0]["serial"] == serial, "a revocation waits for nobody's clock"
    own.stop()
    own.start()
    assert own.issue("pump-3")[0] == 201
    again = own.call("POST", "/api/v1/crls")[2]
    assert again["number"] > number and again["entries"] == 1
    assert set(before) < set(kept(own))
    assert countersign("log", "verify", "--state", own.state).returncode == 0


def test_a_disk_that_has_become_read_only_is_named_and_nothing_is_lost(small_disk, work, passphrase_file):
    state = small_disk.path / "s"
    countersign("init", "X", "--state", state, "--passphrase-file", passphrase_file, check=0)
    countersign("issue", "device", "before", "--state", state, "--out", work, check=0)
    run("mount", "-o", "remount,ro", small_disk.path, check=0)
    done = countersign("issue", "device", "after", "--state", state, "--out", work, check=1)
    assert "file-unwritable" in done.stderr and str(state) in done.stderr, done.stderr
    assert not (work / "after.crt").exists()
    up = countersign("up", "--state", state, check=1)
    assert "file-unwritable" in up.stderr, up.stderr
    run("mount", "-o", "remount,rw", small_disk.path, check=0)
    countersign("issue", "device", "after", "--state", state, "--out", work, check=0)
    assert json.loads(countersign("store", "check", "--state", state, "--json", check=0).stdout)["certificates"] == 2


def test_another_program_that_writes_into_the_file_is_waited_for_and_then_named(own):
    """Two processes on one file: the lock of the database orders them; one that keeps it is said to be in the way."""
    other = sqlite3.connect(own.state / "authority" / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused(own.issue("pump-1"), "state-busy")
    other.execute("ROLLBACK")
    assert own.issue("pump-1")[0] == 201
    assert len(kept(own)) == 1
    other.close()


def test_a_store_of_a_newer_version_is_refused_by_every_command_that_opens_it(own):
    own.stop()
    with sqlite3.connect(own.state / "authority" / "store.db") as c:
        c.execute("PRAGMA user_version = 9999")
    c.close()
    for words in (["list"], ["store", "check"], ["store", "backup", own.top / "b.db"], ["issue", "device", "x", "--out", own.top]):
        for name in own.listeners:
            (own.run / f"{name}.sock").unlink(missing_ok=True)
        done = countersign(*words, "--state", own.state, check=1)
        assert "store-schema-newer" in done.stderr, done.stderr
    assert not (own.top / "b.db").exists()
