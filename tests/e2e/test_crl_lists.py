"""Deltas and lists by distribution point, as the authority publishes them and as programs that we did not write read them."""
import sqlite3

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from authority import Authority, request
from conftest import countersign, run, wait_for


@pytest.fixture()
def made():
    """A factory of authorities with that section `crl`."""
    all_ = []

    def one(crl, more=""):
        a = Authority(config=f"crl: {{{crl}}}\n{more}").start()
        all_.append(a)
        return a
    yield one
    for a in all_:
        a.close()


def lists(a):
    return {x["name"]: x for x in a.call("GET", "/api/v1/crls")[2].get("lists", [])}


def numbers(a):
    return {name: x.get("number") for name, x in lists(a).items()}


def settle(a):
    """Every list is there."""
    return wait_for(lambda: all((n := numbers(a)).values()) and n, 20, say="not every list was published")


def crl(a, name):
    return x509.load_der_x509_crl(a.crl(name))


def ext(of, kind):
    return of.extensions.get_extension_for_class(kind)


def reasons(c):
    """Serial and reason of each entry."""
    got = {}
    for r in c:
        try:
            got[f"{r.serial_number:032x}"] = r.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
        except x509.ExtensionNotFound:
            got[f"{r.serial_number:032x}"] = "unspecified"
    return got


def change(a, what, serial, reason=None):
    status, _, got = a.call("POST", f"/api/v1/{what}", {"serial": serial, **({"reason": reason} if reason else {})})
    assert status == 200, got


class Device:
    def __init__(self, a, name, kind="device"):
        key = ec.generate_private_key(ec.SECP256R1())
        status, _, got = a.issue(name, kind=kind, csr=request(key=key))
        assert status == 201, got
        self.key = a.top / f"{name}.key"
        self.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        self.key.chmod(0o600)
        self.serial = got["serial"]
        self.path = a.top / f"{name}.pem"
        self.path.write_text(got["certificate"])
        self.cert = x509.load_pem_x509_certificate(self.path.read_bytes())

    def point(self):
        return ext(self.cert, x509.CRLDistributionPoints).value[0].full_name[0].value


def pem_of(a, *names):
    """A file of those lists and the root's, PEM."""
    path = a.top / ("-".join(names) + ".pem")
    root = a.call("GET", "/crl/root.crl", socket_name="authority")[2]
    path.write_bytes(b"".join(x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)
                              for der in [root, *map(a.crl, names)]))
    return path


def openssl(a, device, crls, *options):
    done = run("openssl", "verify", "-x509_strict", "-CAfile", a.state / "ca/root.crt", "-untrusted", a.state / "ca/issuing.crt",
               "-crl_check", *options, "-CRLfile", crls, device.path)
    return done.returncode == 0, done.stdout + done.stderr


def ours(a, device, *names):
    files = [x for n in names for x in ("--crl", a.state / f"crl/{n}.crl")]
    done = countersign("verify", "--purpose", "client", "--trust", a.state / "ca/root.crt", "--chain", a.state / "ca/issuing.crt",
                       "--crl", a.state / "ca/root.crl", *files, "--require-revocation", device.path)
    return done.returncode, done.stdout + done.stderr


# ---- deltas

def test_a_delta_has_what_is_revoked_at_once_and_the_complete_list_stays(made):
    a = made("delta: 1h")
    one, two = Device(a, "one"), Device(a, "two")
    before = settle(a)
    change(a, "revocations", one.serial, "superseded")
    wait_for(lambda: numbers(a)["issuing.delta"] > before["issuing.delta"])
    assert numbers(a)["issuing"] == before["issuing"], "a complete list is made by schedule"
    complete, delta = crl(a, "issuing"), crl(a, "issuing.delta")
    base = ext(delta, x509.DeltaCRLIndicator)
    assert base.critical and base.value.crl_number == before["issuing"]
    fresh = ext(complete, x509.FreshestCRL)
    assert not fresh.critical and fresh.value[0].full_name[0].value == lists(a)["issuing.delta"]["url"]
    assert reasons(complete) == {} and reasons(delta) == {one.serial: "superseded"}
    with pytest.raises(x509.ExtensionNotFound):
        ext(delta, x509.FreshestCRL)
    both = pem_of(a, "issuing", "issuing.delta")
    assert openssl(a, one, pem_of(a, "issuing"))[0], "the complete list alone does not know yet"
    good, said = openssl(a, one, both, "-use_deltas", "-extended_crl")
    assert not good and "revoked" in said
    good, said = openssl(a, two, both, "-use_deltas", "-extended_crl")
    assert good, said
    code, said = ours(a, one, "issuing", "issuing.delta")
    assert code == 1 and "revoked" in said
    assert ours(a, two, "issuing", "issuing.delta")[0] == 0


def test_a_hold_that_ends_is_taken_from_the_list_by_the_delta(made):
    a = made("delta: 1h")
    held = Device(a, "held")
    settle(a)
    change(a, "revocations", held.serial, "certificate-hold")
    assert a.call("POST", "/api/v1/crls", {})[0] == 200
    assert reasons(crl(a, "issuing")) == {held.serial: "certificateHold"}
    on_hold = numbers(a)["issuing.delta"]
    assert ours(a, held, "issuing", "issuing.delta")[0] == 1
    change(a, "releases", held.serial)
    wait_for(lambda: numbers(a)["issuing.delta"] > on_hold)
    assert reasons(crl(a, "issuing.delta")) == {held.serial: "removeFromCRL"}
    assert reasons(crl(a, "issuing")) == {held.serial: "certificateHold"}
    code, said = ours(a, held, "issuing", "issuing.delta")
    assert code == 0, said
    good, said = openssl(a, held, pem_of(a, "issuing", "issuing.delta"), "-use_deltas", "-extended_crl")
    assert good, said


def test_a_delta_serves_who_holds_the_complete_list_of_before_too(made):
    a = made("delta: 1h")
    one = Device(a, "one")
    first = settle(a)["issuing"]
    (a.top / "first.crl").write_bytes(a.crl())
    assert a.call("POST", "/api/v1/crls", {})[0] == 200
    second = numbers(a)["issuing"]
    change(a, "revocations", one.serial)
    wait_for(lambda: one.serial in reasons(crl(a, "issuing.delta")))
    assert ext(crl(a, "issuing.delta"), x509.DeltaCRLIndicator).value.crl_number == first < second
    for complete in (a.top / "first.crl", a.state / "crl/issuing.crl"):
        done = countersign("verify", "--purpose", "client", "--trust", a.state / "ca/root.crt", "--chain", a.state / "ca/issuing.crt",
                           "--crl", complete, "--crl", a.state / "crl/issuing.delta.crl", one.path)
        assert done.returncode == 1 and "revoked" in done.stdout + done.stderr


def test_numbers_rise_over_both_kinds_and_over_restarts(made):
    a = made("delta: 1h")
    device = Device(a, "one")
    seen = sorted(settle(a).values())
    for round_ in range(3):
        a.stop()
        a.start()
        change(a, *(("revocations", device.serial, "certificate-hold") if round_ % 2 == 0 else ("releases", device.serial)))
        now = wait_for(lambda: (n := settle(a)) and max(n.values()) > seen[-1] and n)
        seen = sorted(now.values())
        assert len(set(seen)) == len(seen)


def test_certificates_name_the_delta_when_asked_for(made):
    a = made("delta: 1h, delta_in_certificates: true")
    device = Device(a, "one")
    assert ext(device.cert, x509.FreshestCRL).value[0].full_name[0].value == device.point().replace(".crl", ".delta.crl")
    countersign("lint", "--strict", device.path, check=0)
    settle(a)
    assert openssl(a, device, pem_of(a, "issuing", "issuing.delta"), "-use_deltas")[0]


# ---- shards

def test_a_certificate_names_its_list_and_only_that_one_is_made_anew(made):
    a = made("shards: 4")
    devices = [Device(a, f"d{i}") for i in range(12)]
    before = settle(a)
    assert set(before) == {"issuing", "issuing.1", "issuing.2", "issuing.3", "issuing.4"}
    points = {d.point().rsplit("/", 1)[1].removesuffix(".crl") for d in devices}
    assert points < set(before) and "issuing" not in points and len(points) > 1
    doomed = devices[0]
    mine = doomed.point().rsplit("/", 1)[1].removesuffix(".crl")
    other = next(d for d in devices if d.point() != doomed.point())
    same = next((d for d in devices[1:] if d.point() == doomed.point()), None)
    change(a, "revocations", doomed.serial, "key-compromise")
    wait_for(lambda: numbers(a)[mine] > before[mine])
    assert {k: v for k, v in numbers(a).items() if k != mine} == {k: v for k, v in before.items() if k != mine}
    got = crl(a, mine)
    idp = ext(got, x509.IssuingDistributionPoint)
    assert idp.critical and [n.value for n in idp.value.full_name] == [doomed.point()]
    assert not (idp.value.only_contains_user_certs or idp.value.indirect_crl)
    assert reasons(got) == {doomed.serial: "keyCompromise"}
    good, said = openssl(a, doomed, pem_of(a, mine), "-extended_crl")
    assert not good and "revoked" in said
    assert ours(a, doomed, mine)[0] == 1
    if same:
        assert openssl(a, same, pem_of(a, mine), "-extended_crl")[0] and ours(a, same, mine)[0] == 0
    foreign = pem_of(a, mine)
    assert not openssl(a, other, foreign, "-extended_crl")[0], "that list is about others"
    code, said = ours(a, other, mine)
    assert code == 1 and "revocation-unknown" in said
    assert a.call("POST", "/api/v1/crls", {})[0] == 200
    assert reasons(crl(a, "issuing")) == {doomed.serial: "keyCompromise"}, "the list of all has all"


def test_other_programs_read_every_list(made):
    a = made("shards: 2, delta: 1h")
    device = Device(a, "one")
    settle(a)
    change(a, "revocations", device.serial, "superseded")
    a.call("POST", "/api/v1/crls", {})
    ca = a.state / "ca/issuing.crt"
    key = x509.load_pem_x509_certificate(ca.read_bytes()).public_key()
    assert len(lists(a)) == 6
    for name in lists(a):
        path = a.state / f"crl/{name}.crl"
        assert path.read_bytes() == a.crl(name)
        assert crl(a, name).is_signature_valid(key)
        run("openssl", "crl", "-inform", "DER", "-in", path, "-CAfile", ca, "-noout", check=0)
        (a.top / "x.pem").write_bytes(crl(a, name).public_bytes(serialization.Encoding.PEM))
        said = run("certtool", "--verify-crl", "--load-ca-certificate", ca, "--infile", a.top / "x.pem")
        assert "Not verified" not in said.stdout + said.stderr and "Verified" in said.stdout + said.stderr
        countersign("lint", "--strict", path, check=0)
    # The list of all is the one that needs no reading of distribution points.
    for victim, code in ((device, "revoked"), (Device(a, "two"), "good")):
        said = run("pki", "--verify", "--in", victim.path, "--cacert", a.state / "ca/root.crt", "--cacert", ca,
                   "--crl", a.state / "crl/issuing.crl", "--crl", a.state / "ca/root.crl")
        assert (said.returncode == 0) == (code == "good"), said.stdout + said.stderr


def test_a_certificate_keeps_its_list_when_there_are_fewer_and_under_a_new_address(made):
    a = made("shards: 8")
    devices = [Device(a, f"d{i}") for i in range(12)]
    late = max(devices, key=lambda d: int(d.point().split(".")[-2]))
    name = late.point().rsplit("/", 1)[1].removesuffix(".crl")
    settle(a)
    a.stop()
    a.config.write_text("crl: {shards: 1}\npublic_url: http://elsewhere.example\n")
    a.start()
    change(a, "revocations", late.serial)
    wait_for(lambda: late.serial in reasons(crl(a, name)))
    assert Device(a, "new").point() == "http://elsewhere.example/crl/issuing.1.crl"
    assert ours(a, late, name)[0] == 1
    old = next((d for d in devices if d.point().endswith("issuing.1.crl")), None)
    a.call("POST", "/api/v1/crls", {})
    urls = [n.value for n in ext(crl(a, "issuing.1"), x509.IssuingDistributionPoint).value.full_name]
    assert "http://elsewhere.example/crl/issuing.1.crl" in urls and len(urls) == 2
    if old:
        assert ours(a, old, "issuing.1")[0] == 0


def test_the_shard_is_recorded_with_the_certificate(made):
    a = made("shards: 5")
    devices = [Device(a, f"d{i}") for i in range(8)]
    db = sqlite3.connect(f"file:{a.state}/authority/store.db?mode=ro", uri=True)
    for d in devices:
        assert d.point().endswith(f"/issuing.{db.execute('SELECT shard FROM certificates WHERE serial = ?', (d.serial,)).fetchone()[0]}.crl")


def test_policy_is_by_ca_and_a_bad_one_is_refused(made):
    a = made("lifetime: 10d, interval: 1d, cas: [{ca: issuing, lifetime: 2d, interval: 1h, shards: 2}]")
    settle(a)
    assert set(lists(a)) == {"issuing", "issuing.1", "issuing.2"}
    got = crl(a, "issuing")
    length = (got.next_update - got.last_update).total_seconds()
    assert 2 * 86400 <= length <= 2 * 86400 + 600
    for crl_, why in (("delta: 13h", "less than crl.interval"), ("shards: 1000", "at most 256"),
                      ("cas: [{ca: a, interval: 9d}]", "of a"), ("cas: [{ca: a}, {ca: a}]", "twice")):
        (a.top / "bad.yaml").write_text(f"crl: {{{crl_}}}\n")
        done = countersign("up", "--check", "-c", a.top / "bad.yaml", "--state", a.top / "none")
        assert done.returncode != 0 and why in done.stderr, done.stderr


# ---- files and HTTP

def test_a_lost_or_changed_file_is_made_anew(made):
    a = made("delta: 1h")
    device = Device(a, "one")
    settle(a)
    for spoil in (lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\0")):
        before = numbers(a)["issuing"]
        a.stop()
        spoil(a.state / "crl/issuing.crl")
        a.start()
        wait_for(lambda: (numbers(a).get("issuing") or 0) > before)
        assert ours(a, device, "issuing")[0] == 0
    assert not [p for p in (a.state / "crl").iterdir() if p.name.startswith(".spool")]


def test_head_and_conditional_get(made):
    a = made("delta: 1h")
    settle(a)
    for name, cached in (("issuing", "max-age="), ("issuing.delta", "no-cache")):
        status, headers, der = a.call("GET", f"/crl/{name}.crl", socket_name="authority")
        assert status == 200 and headers["Content-Type"] == "application/pkix-crl" and int(headers["Content-Length"]) == len(der)
        assert headers["Cache-Control"].startswith(cached), headers["Cache-Control"]
        status, head, body = a.call("HEAD", f"/crl/{name}.crl", socket_name="authority")
        assert status == 200 and body == b"" and head["ETag"] == headers["ETag"] and head["Content-Length"] == headers["Content-Length"]
        for condition in ({"If-None-Match": headers["ETag"]}, {"If-Modified-Since": headers["Last-Modified"]}):
            status, _, body = a.call("GET", f"/crl/{name}.crl", socket_name="authority", headers=condition)
            assert status == 304 and body == b""
    assert a.call("GET", "/crl/issuing.7.crl", socket_name="authority")[0] == 404
    assert a.call("GET", "/crl/issuing.1.delta.crl", socket_name="authority")[0] == 404


def test_the_command_takes_any_list_elsewhere(made, tmp_path):
    a = made("shards: 2, delta: 1h")
    settle(a)
    for name in ("issuing", "issuing.2", "issuing.2.delta"):
        countersign("crl", "--state", a.state, "-c", a.config, "--current", "--list", name, "--out", tmp_path / "x.pem", check=0)
        got = x509.load_pem_x509_crl((tmp_path / "x.pem").read_bytes())
        assert got.public_bytes(serialization.Encoding.DER) == a.crl(name)
    done = countersign("crl", "--state", a.state, "-c", a.config, "--current", "--list", "issuing.9")
    assert done.returncode == 2 and "--json names them" in done.stderr
