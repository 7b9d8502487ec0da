"""countersign list: what was issued, searched and exported."""
import csv
import io
import json
from contextlib import contextmanager

import pytest
from authority import UnixConnection
from conftest import PASSPHRASE, System, countersign


@pytest.fixture
def state(work):
    """An authority with five certificates and no running `up`."""
    (work / "pw").write_text(PASSPHRASE)
    (work / "pw").chmod(0o600)
    countersign("init", "corp.example", "--state", work / "s", "--passphrase-file", work / "pw", check=0)
    (work / "f.csv").write_text("kind,name,lifetime\ndevice,pump-1,20d\ndevice,pump-2,5d\ndevice,pumpe3,300d\n"
                                "device,valve_1,10d\nserver,*.corp.example,15d\n")
    countersign("issue", "--from", work / "f.csv", "--out", work / "out", "--state", work / "s", check=0)
    return work / "s"


def names(state, *args):
    done = countersign("list", "--json", "--state", state, *args, check=0)
    return [json.loads(line)["name"] for line in done.stdout.splitlines()]


@contextmanager
def authority(state):
    up = System(state).start()
    try:
        def ask(query):
            c = UnixConnection(state / "run" / "control.sock", 30)
            c.request("GET", "/api/v1/certificates?" + query)
            return json.loads(c.getresponse().read())
        yield ask
    finally:
        up.stop()


def test_names_by_pattern(state):
    assert names(state, "--name", "pump-*") == ["pump-1", "pump-2"], "by name"
    assert names(state, "--name", "*1") == ["pump-1", "valve_1"]
    assert names(state, "--name", "PUMP-*") == [], "case counts, as in every other comparison of names"
    assert names(state, "--name", "pump-_") == [] and names(state, "--name", "p%") == []
    assert names(state, "--name", "valve_*") == ["valve_1"], "an underscore is itself"


def test_what_ends_first_comes_first(state):
    assert names(state, "--expires-within", "30d") == ["pump-2", "valve_1", "*.corp.example", "pump-1"]
    assert names(state, "--expires-within", "30d", "--limit", "2") == ["pump-2", "valve_1"]
    assert names(state, "--expires-within", "16d", "--kind", "device", "--name", "v*") == ["valve_1"]
    assert names(state, "--expires-within", "1d") == []
    bad = countersign("list", "--expires-within", "soon", "--state", state, check=1)
    assert "message-malformed" in bad.stderr


def test_a_wildcards_name_is_no_pattern_where_it_is_revoked(state):
    countersign("issue", "server", "a.corp.example", "--out", state.parent / "o", "--state", state, check=0)
    countersign("revoke", "*.corp.example", "--state", state, check=0)
    assert names(state, "--status", "revoked") == ["*.corp.example"]


def test_csv_for_a_spreadsheet(state):
    done = countersign("list", "--all", "--csv", "--state", state, check=0)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert all(r["profile"] == r["kind"] and r["ca"] == "issuing" and r["tags"] == "" for r in rows)
    assert [r["name"] for r in rows] == ["*.corp.example", "valve_1", "pumpe3", "pump-2", "pump-1"]
    assert all(len(r["sha256"]) == 64 and r["status"] == "valid" for r in rows)
    assert countersign("list", "--csv", "--json", "--state", state).returncode == 2


def tag(state, *args, check=0):
    return countersign("tag", *args, "--state", state, check=check)


def test_tags_find_identities_and_outlive_their_certificates(state):
    tag(state, "add", "device", "pump-2", "site=berlin", "spare")
    tag(state, "add", "device", "pump-1", "site=berlin")
    assert tag(state, "remove", "device", "pump-2", "spare", "never-there").stdout == "device pump-2: site=berlin\n"
    countersign("renew", "pump-2", "--out", state.parent / "renewed", "--state", state, check=0)
    assert names(state, "--tag", "site=berlin") == ["pump-1", "pump-2", "pump-2"]
    assert names(state, "--tag", "spare") == [] and names(state, "--tag", "site") == []
    assert names(state, "--tag", "site=berlin", "--name", "*-1") == ["pump-1"]
    assert names(state, "--tag", "site=berlin", "--kind", "server") == []
    rows = list(csv.DictReader(io.StringIO(countersign("list", "--csv", "--tag", "site=berlin", "--state", state).stdout)))
    assert {r["tags"] for r in rows} == {"site=berlin"}
    shown = json.loads(countersign("show", rows[0]["serial"], "--json", "--state", state, check=0).stdout)
    assert shown["tags"] == ["site=berlin"] and shown["profile"] == "device" and shown["ca"] == "issuing"
    assert tag(state, "list").stdout.split() == ["TAG", "IDENTITIES", "site=berlin", "2"]
    tag(state, "remove", "device", "pump-1", "site=berlin")
    tag(state, "remove", "device", "pump-2", "site=berlin")
    assert json.loads(tag(state, "list", "--json").stdout) == {"tags": []}
    log = countersign("log", "--json", "--event", "tagged", "--state", state).stdout
    assert json.loads(log.splitlines()[0])["detail"] == "site=berlin spare"


@pytest.mark.parametrize("words,reason", [
    (["device", "pump-404", "x"], "certificate-unknown"),
    (["server", "pump-1", "x"], "certificate-unknown"),
    (["device", "pump-1", "a b"], "tag-invalid"),
    (["device", "pump-1", ""], "tag-invalid"),
    (["device", "pump-1", "x" * 65], "tag-invalid"),
    (["device", "pump-1", "<script>"], "tag-invalid"),
    (["device", "pump-1", *(f"t{i}" for i in range(33))], "usage"),
    (["pump", "pump-1", "x"], "profile-unknown"),
])
def test_what_cannot_be_tagged_is_refused_and_changes_nothing(state, words, reason):
    done = tag(state, "add", *words, check=None)
    assert done.returncode in (1, 2) and (reason in done.stderr or reason == "usage"), done.stderr
    assert json.loads(tag(state, "list", "--json").stdout) == {"tags": []}


def test_by_issuer_and_profile(state):
    assert names(state, "--issuer", "issuing", "--kind", "server") == ["*.corp.example"]
    assert "unknown-issuer" in countersign("list", "--issuer", "none", "--state", state, check=1).stderr
    assert names(state, "--profile", "server") == ["*.corp.example"] and names(state, "--profile", "none") == []


def test_a_name_of_two_kinds_is_renewed_only_when_the_kind_is_said(state):
    countersign("issue", "server", "pump-1", "--out", state.parent / "o", "--state", state, check=0)
    done = countersign("renew", "pump-1", "--out", state.parent / "r", "--state", state, check=1)
    assert "certificate-ambiguous" in done.stderr and "--kind" in done.stderr
    countersign("renew", "pump-1", "--kind", "server", "--out", state.parent / "r", "--state", state, check=0)
    assert names(state, "--name", "pump-1", "--kind", "server") == ["pump-1", "pump-1"]
    assert "certificate-unknown" in countersign("renew", "pump-2", "--kind", "user", "--state", state, check=1).stderr


def test_pages_go_on_where_the_page_before_ended(state):
    """Every order of a list, in pages of one over the API's own `after`, gives what one page gives."""
    tag(state, "add", "device", "pump-1", "t")
    tag(state, "add", "device", "valve_1", "t")
    with authority(state) as ask:
        for how in ("status=all", "status=valid", "name=*", "name=pump*", "tag=t", "expires_within=30d", "issuer=issuing",
                    "profile=device", "kind=device", "status=expired", "status=revoked", "status=held", "name=pump-1"):
            whole = [c["serial"] for c in ask(how)["certificates"]]
            pages, after = [], ""
            while True:
                page = ask(f"{how}&limit=1{after}")
                pages += [c["serial"] for c in page["certificates"]]
                if "next" not in page:
                    break
                after = "&after=" + page["next"]
            assert pages == whole, how
        assert ask("after=abcdef")["certificates"] == [], "behind what is not there is nothing"
