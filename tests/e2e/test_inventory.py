"""countersign list: what was issued, searched and exported."""
import csv
import io
import json

import pytest
from conftest import PASSPHRASE, countersign


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


def test_names_by_pattern(state):
    assert names(state, "--name", "pump-*") == ["pump-2", "pump-1"]
    assert names(state, "--name", "*1") == ["valve_1", "pump-1"]
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
    assert [r["name"] for r in rows] == ["*.corp.example", "valve_1", "pumpe3", "pump-2", "pump-1"]
    assert all(len(r["sha256"]) == 64 and r["status"] == "valid" for r in rows)
    assert countersign("list", "--csv", "--json", "--state", state).returncode == 2
