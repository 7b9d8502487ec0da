"""Windows in which a cohort is to be renewed: set by an operator, learned by holders whichever protocol they use."""
import json
import time

import pytest
import requests
from conftest import System
from cryptography import x509
from test_acme_messages import cert_id


@pytest.fixture(scope="module")
def fleet():
    """Six devices, of which three have a tag and one an RSA key."""
    s = System().start()
    s.made = {n: s.issue("device", n, *(["--key-type", "rsa-2048"] if n == "pump-6" else [])) for n in [f"pump-{i}" for i in range(1, 7)]}
    for n in ("pump-1", "pump-2", "pump-3"):
        s.run("tag", "add", "device", n, "site=berlin", check=0)
    yield s
    s.close()


def window_of(s, name):
    """(start, end) as its holder learns it, over plain HTTP."""
    cert = x509.load_pem_x509_certificate(s.made[name].crt.read_bytes())
    got = requests.get(s.http_url(f"/renewal-info/{cert_id(cert)}"), timeout=20)
    assert got.status_code == 200 and int(got.headers["Retry-After"]) > 0, got.text
    w = got.json()["suggestedWindow"]
    return tuple(time.mktime(time.strptime(w[k], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone for k in ("start", "end"))


def change(s, *words):
    return json.loads(s.run("renew-window", *words, "--json", check=0).stdout)


@pytest.fixture(autouse=True)
def nothing_left(fleet):
    yield
    for w in change(fleet, "list")["renewal_windows"]:
        change(fleet, "remove", str(w["id"]))


def test_those_with_a_tag_are_told_to_renew_within_the_spread_and_no_others(fleet):
    before = {n: window_of(fleet, n) for n in fleet.made}
    now = time.time()
    w = change(fleet, "set", "--tag", "site=berlin", "--spread", "6h", "--why", "the CA moves")
    assert (w["certificates"], w["renewed"], w["tag"]) == (3, 0, "site=berlin")
    after = {n: window_of(fleet, n) for n in fleet.made}
    for n in ("pump-1", "pump-2", "pump-3"):
        assert now - 5 <= after[n][0] < after[n][1] <= now + 6 * 3600 + 60 and after[n][1] - after[n][0] >= 1800
    assert len({after[n][0] for n in ("pump-1", "pump-2", "pump-3")}) == 3  # each has a place of its own
    assert all(after[n] == before[n] for n in ("pump-4", "pump-5", "pump-6"))
    assert "the CA moves" in fleet.run("renew-window", "list", check=0).stdout
    assert f"renewal window {w['id']}" in fleet.run("show", "pump-1", check=0).stdout
    change(fleet, "remove", str(w["id"]))
    assert {n: window_of(fleet, n) for n in fleet.made} == before
    log = fleet.run("log", "--json", check=0).stdout
    assert "renewal-window-set" in log and "renewal-window-removed" in log
    assert fleet.run("renew-window", "remove", str(w["id"])).returncode == 1  # it was


@pytest.mark.parametrize("words,whom", [
    (["--key-type", "rsa"], {"pump-6"}), (["--name", "pump-[]*"], set()), (["--name", "PUMP-*"], set()),
    (["--name", "p*", "--kind", "device"], {f"pump-{i}" for i in range(1, 7)}),
    (["--name", "pump-2", "--tag", "site=berlin"], {"pump-2"}), (["--profile", "device", "--issuer", "issuing", "--name", "*-5"], {"pump-5"}),
    (["--kind", "server", "--name", "pump-*"], set()), (["--tag", "site"], set()),
])
def test_all_conditions_must_fit(fleet, words, whom):
    w = change(fleet, "set", *words)
    assert w["certificates"] == len(whom)
    soon = {n for n in fleet.made if window_of(fleet, n)[0] < time.time() + 60}
    assert soon == whom


def test_what_is_issued_later_is_not_meant_and_what_renewed_is_counted(fleet, work):
    w = change(fleet, "set", "--name", "pump-4")
    fleet.run("renew", "pump-4", "--out", work, check=0)
    got = change(fleet, "show", str(w["id"]))
    assert (got["certificates"], got["renewed"]) == (1, 1)
    shown = json.loads(fleet.run("show", "pump-4", "--json", check=0).stdout)  # the new one
    assert "renewal_window" not in shown["renewal"]


def test_over_mutual_tls_the_certificate_itself_is_asked_about(fleet):
    change(fleet, "set", "--name", "pump-1", "--begins", "2026-01-02T03:04:05Z")
    mine = fleet.made["pump-1"]
    got = fleet.get("/renewal-info", crt=mine.crt, key=mine.key)
    assert got.json()["suggestedWindow"]["start"] == "2026-01-02T03:04:05Z"
    assert fleet.get("/renewal-info", cert=False).status == 401
    cert = x509.load_pem_x509_certificate(mine.crt.read_bytes())
    acme = fleet.get(f"/acme/renewal-info/{cert_id(cert)}", cert=False).json()
    assert acme == got.json()
    assert requests.get(fleet.http_url("/renewal-info/x.y"), timeout=20).status_code in (400, 404)
    assert requests.post(fleet.http_url("/renewal-info/x.y"), timeout=20).status_code == 405


def test_a_window_never_puts_a_renewal_off(fleet):
    before = window_of(fleet, "pump-5")
    change(fleet, "set", "--name", "pump-5", "--begins", "2035-01-01T00:00:00Z")
    assert window_of(fleet, "pump-5") == before


@pytest.mark.parametrize("words,says", [([], "message-malformed"), (["--tag", "a b"], "tag-invalid"), (["--profile", "none"], "profile-unknown"),
                                        (["--issuer", "none"], "unknown-issuer"), (["--key-type", "dsa"], "message-malformed"),
                                        (["--name", "*", "--begins", "tomorrow"], "message-malformed"), (["--kind", "car"], "profile-unknown")])
def test_what_makes_no_sense_is_refused(fleet, words, says):
    done = fleet.run("renew-window", "set", *words)
    assert done.returncode == 1 and says in done.stderr, done.stderr
