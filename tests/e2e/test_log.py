"""The audit log: read, proven to strangers, verified whole; what was changed is found."""
import json
import os
import sqlite3

import pytest

import logcheck
from conftest import System, countersign, run
from test_admin import Api, csr, person


@pytest.fixture(scope="module")
def s():
    made = System()
    made.start()
    yield made
    made.stop()
    made.close()


def proof_of(s, serial, out):
    text = s.run("log", "prove", serial, check=0).stdout
    (out / "proof.json").write_text(text)
    return out / "proof.json", json.loads(text)


def serial_of(issued):
    return run("openssl", "x509", "-noout", "-serial", "-in", issued.crt).stdout.split("=")[1].strip().lower()


def test_the_log_says_who_did_what_from_where_and_by_which_certificate(s, work):
    ann = person(s, work, "ann@corp.example", "issuer")
    assert ann("POST", "certificates", json={"kind": "device", "name": "by-ann", "csr": csr()}).status_code == 201
    assert ann("GET", "log").json()["reason"] == "role-missing"
    lines = s.run("log", "--json", "--by", "user ann@corp.example", check=0).stdout.splitlines()
    issued = next(r for r in map(json.loads, lines) if r["event"] == "issued")
    ann_serial = run("openssl", "x509", "-noout", "-serial", "-in", ann.http.cert[0]).stdout.split("=")[1].strip().lower()
    assert issued["name"] == "by-ann" and issued["from"] == "127.0.0.1" and issued["via"] == "api"
    assert issued["by_certificate"] == ann_serial
    refused = next(r for r in map(json.loads, lines) if r["event"] == "refused")
    assert "GET /api/v1/log: role-missing" in refused["detail"]
    words = s.run("log", "-n", "200", check=0).stdout
    assert "by-ann" in words and "admin-added" in words and f"uid {os.getuid()}" in words
    assert s.run("log", "--event", "issued", "--name", "by-ann", check=0).stdout.count("\n") == 1


def test_an_auditor_reads_it_over_the_api(s, work):
    auditor = person(s, work, "audra@corp.example", "auditor")
    got = auditor("GET", "log?limit=5").json()
    assert [r["sequence"] for r in got["records"]] == [1, 2, 3, 4, 5] and got["next"] == 5
    assert logcheck.head(*(lambda h: (h["head"], h["key"]["vkey"]))(auditor("GET", "log/head").json()))[0] >= 5
    for bad in ("limit=1001", "limit=x", "after=-1", "order=up", "after=99999999999999999999999"):
        assert auditor("GET", "log?" + bad).json()["reason"] == "message-malformed", bad


def test_a_proof_convinces_a_stranger_and_one_that_was_touched_does_not(s, work):
    one, other = s.issue("device", "proven-1"), s.issue("device", "proven-2")
    path, p = proof_of(s, serial_of(one), work)
    assert logcheck.proof(p)["name"] == "proven-1"

    def check(*more, code):
        return countersign("log", "check", path, *more, check=code)

    assert "proven: record" in check("--trust", s.ca, "--certificate", one.crt, code=0).stdout
    assert "another certificate" in check("--trust", s.ca, "--certificate", other.crt, code=1).stderr
    key = s.run("log", "key", check=0).stdout.strip()
    assert key == p["key"]["vkey"] and check("--key", key, code=0)
    check(code=2)
    strange = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                  work / "k", "-out", work / "strange.pem", "-subj", "/CN=strange", "-days", "2", check=0)
    assert strange and "unknown-issuer" in check("--trust", work / "strange.pem", code=1).stderr
    for change in ({"record": p["record"].replace("proven-1", "proven-3")}, {"sequence": p["sequence"] + 1},
                   {"path": p["path"][::-1]}, {"path": p["path"] + p["path"][:1]},
                   {"head": p["head"].replace("time 20", "time 19")}, {"path": ["zz"]}, {"path": 7}, {"key": None},
                   {"record": None}, {"head": 1}, {"sequence": 0}, {"sequence": -5},
                   {"key": {**p["key"], "claim": "AAAA"}}):
        path.write_text(json.dumps({**p, **change}))
        check("--trust", s.ca, code=1)


def test_the_whole_log_is_verified_here_and_from_a_file(s, work):
    (work / "old").write_text(s.run("log", "head", check=0).stdout)
    s.issue("device", "later-1")
    (work / "new").write_text(s.run("log", "head", check=0).stdout)
    assert "The log is whole" in s.run("log", "verify", "--head", work / "old", check=0).stdout
    records = s.run("log", "--json", check=0).stdout
    key = s.run("log", "key", check=0).stdout.strip()
    size, top = logcheck.head((work / "new").read_text(), key)
    assert logcheck.root([logcheck.leaf(r.encode()) for r in records.splitlines()[:size]]) == top
    (work / "all").write_text(records)
    verify = lambda code: s.run("log", "verify", "--from", work / "all", "--key", key, "--head", work / "old", "--head",
                                work / "new", check=code)
    verify(0)
    (work / "all").write_text(records.replace("later-1", "later-2"))
    assert "log-forked" in verify(1).stderr
    (work / "all").write_text("\n".join(records.splitlines()[1:]) + "\n")
    assert "log-forked" in verify(1).stderr


def test_what_was_changed_in_the_store_is_found(system, work):
    s = system()
    s.start()
    serial = serial_of(s.issue("device", "innocent"))
    (work / "head").write_text(s.run("log", "head", check=0).stdout)
    s.stop()
    db = sqlite3.connect(s.state / "authority" / "store.db")
    db.execute("UPDATE log SET record = replace(record, 'innocent', 'innocemt') WHERE serial = ? AND event = 'issued'", (serial,))
    db.commit()
    db.close()
    assert "log-forked" in s.run("log", "verify", "--head", work / "head", check=1).stderr


def test_the_chain_of_an_older_store_becomes_the_beginning_of_the_log(system):
    import hashlib
    s = system()
    s.start()
    s.stop()
    db = sqlite3.connect(s.state / "authority" / "store.db")
    chain = b"\0" * 32
    for i in range(1, 6):
        event = json.dumps({"at": "2026-01-01T00:00:00Z", "event": "issued", "by": "operator", "serial": f"{i:032x}",
                            "kind": "device", "name": f"old-{i}"}, separators=(",", ":"))
        chain = hashlib.sha256(chain + event.encode()).digest()
        db.execute("INSERT INTO audit (sequence, at, event, hash) VALUES (?, ?, ?, ?)", (i, i, event, chain))
    db.commit()
    db.close()
    s.start()
    text = s.run("log", "--json", check=0).stdout
    assert text.count('"name":"old-') == 5 and chain.hex() in text
    assert logcheck.proof(json.loads(s.run("log", "prove", f"{3:032x}", check=0).stdout))["name"] == "old-3"
    s.run("log", "verify", check=0)


def test_an_answer_carries_its_proof_where_it_is_asked_for(s, work):
    out = s.issue("device", "carried-1", "--proof")
    file = out.dir / "carried-1.proof.json"
    check = lambda f, crt, code=0: countersign("log", "check", f, "--trust", out.ca, "--certificate", crt, check=code,
                                               env={"COUNTERSIGN_STATE": str(work / "nowhere")})
    assert "proven: record" in check(file, out.crt).stdout and logcheck.proof(json.loads(file.read_text()))["name"] == "carried-1"
    other = s.issue("device", "carried-2")
    assert "log-proof-invalid" in check(file, other.crt, 1).stderr
    s.run("renew", "carried-1", "--proof", "--out", work, check=0)
    assert "proven: record" in check(work / "carried-1.proof.json", work / "carried-1.crt").stdout
    assert s.run("issue", "--from", file, "--proof").returncode != 0

    ann = person(s, work, "pat@corp.example", "issuer")
    asks = [{"kind": "device", "name": f"carried-by-api-{i}", "csr": csr()} for i in range(3)]
    one = ann("POST", "certificates?proof=1", json=asks[0]).json()
    assert logcheck.proof(one["proof"])["serial"] == one["serial"]
    both = ann("POST", "certificates/batch?proof=1", json={"requests": [*asks[1:], {"kind": "x"}]}).json()["results"]
    assert [logcheck.proof(r["proof"])["serial"] for r in both[:2]] == [r["serial"] for r in both[:2]] and "proof" not in both[2]
    assert "proof" not in ann("POST", "certificates", json={**asks[0], "name": "carried-by-api-9"}).json()
