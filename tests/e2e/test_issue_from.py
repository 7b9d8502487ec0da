"""countersign issue --from: lists of identities, killed half way, with bad rows, as CSV and JSON."""
import json
import os
import pty
import re
import signal
import subprocess
import tarfile

import pytest
from conftest import COMMAND, PASSPHRASE, countersign, die_with_parent, run, wait_for


@pytest.fixture
def state(work):
    """An authority without a running `up`."""
    (work / "pw").write_text(PASSPHRASE)
    (work / "pw").chmod(0o600)
    countersign("init", "corp.example", "--state", work / "s", "--passphrase-file", work / "pw", check=0)
    return work / "s"


def issue(state, work, *args, check=0, **how):
    return countersign("issue", "--from", *args, "--state", state, check=check, cwd=work, **how)


def listed(state):
    done = countersign("list", "--all", "--json", "--state", state, check=0)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_row_has_key_and_certificate(state, work):
    (work / "f.csv").write_text("kind,name,dns,ip,key_type,lifetime\n"
                                "device,pump-1,,,,30d\n"
                                'server,gw.corp.example,"a.corp.example b.corp.example",10.0.0.5,rsa-2048,\n'
                                "user,ann@corp.example,,,ecdsa-p384,\n")
    done = issue(state, work, "f.csv", "--out", "out", "--archive", "all.tar.gz")
    assert "Issued 3 of 3" in done.stdout
    for stem in ("pump-1", "gw.corp.example", "ann@corp.example"):
        crt, key = work / "out" / f"{stem}.crt", work / "out" / f"{stem}.key"
        assert key.stat().st_mode & 0o777 == 0o600
        run("openssl", "verify", "-CAfile", work / "out/ca.pem", "-untrusted", crt, crt, check=0)
        public = run("openssl", "x509", "-in", crt, "-noout", "-pubkey", check=0).stdout
        assert run("openssl", "pkey", "-in", key, "-pubout", check=0).stdout == public
    text = run("openssl", "x509", "-in", work / "out/gw.corp.example.crt", "-noout", "-ext", "subjectAltName").stdout
    assert "DNS:a.corp.example, DNS:b.corp.example, IP Address:10.0.0.5" in text
    assert (work / "all.tar.gz").stat().st_mode & 0o777 == 0o600
    with tarfile.open(work / "all.tar.gz") as tar:
        names = {m.name: m.mode for m in tar.getmembers()}
    assert names["pump-1.key"] == 0o600 and names["pump-1.crt"] == 0o644 and len(names) == 7
    assert not (work / "out/.countersign-fleet").exists()


def test_killed_half_way_it_goes_on_without_doubles(state, work):
    n = 700
    (work / "f.csv").write_text("name\n" + "".join(f"cam-{i:04}\n" for i in range(n)))
    argv = [COMMAND, "issue", "device", "--from", "f.csv", "--out", "out", "--state", state]
    for part in (1, 3):
        p = subprocess.Popen(argv, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             preexec_fn=die_with_parent)
        wait_for(lambda: len(list(work.glob("out/*.crt"))) >= part * 60 or p.poll() is not None, 60)
        p.send_signal(signal.SIGKILL)
        p.wait()
    before = {f.name: f.read_text() for f in work.glob("out/*.crt")}
    assert 0 < len(before) < n
    done = wait_for(lambda: (d := run(*argv, cwd=work)).returncode == 0 and d, 60)
    assert re.search(r"Issued \d+ of 700 into out; \d+ were there", done.stdout), done.stdout
    assert len(list(work.glob("out/*.crt"))) == len(list(work.glob("out/*.key"))) == n
    assert not list(work.glob("out/.*")), "what was staged is gone"
    assert all((work / "out" / name).read_text() == text for name, text in before.items())
    names = [c["name"] for c in listed(state) if c["status"] == "valid"]
    assert len(names) == len(set(names)) == n, "each name once"


def test_one_bad_row_in_ten_thousand(state, work):
    rows = [f"row-{i:05}" for i in range(10000)]
    rows[4711] = "../../etc/passwd"
    (work / "f.csv").write_text("name\n" + "\n".join(rows) + "\n")
    done = countersign("issue", "device", "--from", "f.csv", "--out", "out", "--json", "--state", state, check=1, cwd=work)
    assert "line 4713" in done.stderr and "name-invalid" in done.stderr
    assert "1 of 10000 rows are bad, nothing was issued" in json.loads(done.stdout)["detail"]
    assert not (work / "out").exists() and listed(state) == []


def test_keep_going_leaves_the_bad_rows_out(state, work):
    (work / "f.csv").write_text("kind,name,lifetime\ndevice,ok-1,\ntoaster,x,\ndevice,ok-2,soon\ndevice,ok-1,\n"
                                "device,ok-3,99y\ndevice,ok-4,\n")
    done = issue(state, work, "f.csv", "--out", "out", "--keep-going", "--json", check=1)
    answer = json.loads(done.stdout)
    assert (answer["rows"], answer["issued"], answer["result"]) == (6, 2, "failed")
    assert [(b["line"], b["reason"]) for b in answer["bad"]] == [
        (3, "profile-unknown"), (4, "file-malformed"), (5, "file-malformed"), (6, "profile-violated")]
    assert "the same name as in line 2" in done.stderr
    assert sorted(f.name for f in work.glob("out/*.crt")) == ["ok-1.crt", "ok-4.crt"]
    assert not list(work.glob("out/.*"))


def test_json_lines_and_requests(state, work):
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
        "-keyout", work / "own.key", "-out", work / "own.csr", check=0)
    (work / "f.jsonl").write_text('{"kind": "device", "name": "own", "csr": "own.csr"}\n\n'
                                  '{"kind": "server", "name": "s.corp.example", "dns": ["t.corp.example"]}\n')
    issue(state, work, "f.jsonl", "--out", "out")
    assert not (work / "out/own.key").exists()
    assert "t.corp.example" in run("openssl", "x509", "-in", work / "out/s.corp.example.crt", "-noout", "-text").stdout
    public = run("openssl", "pkey", "-in", work / "own.key", "-pubout", check=0).stdout
    assert run("openssl", "x509", "-in", work / "out/own.crt", "-noout", "-pubkey", check=0).stdout == public


def test_pkcs12_for_each(state, work):
    (work / "f.csv").write_text("name\nann@corp.example\nbob@corp.example\n")
    countersign("issue", "user", "--from", "f.csv", "--out", "out", "--each-p12", "--state", state, check=0, cwd=work)
    assert sorted(f.name for f in (work / "out").iterdir()) == [
        "ann@corp.example.p12", "ann@corp.example.p12.password", "bob@corp.example.p12",
        "bob@corp.example.p12.password", "ca.pem"]
    for name in ("ann", "bob"):
        run("openssl", "pkcs12", "-legacy", "-in", work / f"out/{name}@corp.example.p12", "-nodes", "-passin",
            f"file:{work}/out/{name}@corp.example.p12.password", check=0)


def test_a_longer_list_adds_to_the_folder_and_strangers_are_left_alone(state, work):
    (work / "f.csv").write_text("kind,name\ndevice,a-1\n")
    issue(state, work, "f.csv", "--out", "out")
    first = (work / "out/a-1.crt").read_text()
    (work / "f.csv").write_text("kind,name\ndevice,a-1\ndevice,a-2\n")
    assert "Issued 1 of 2 into out; 1 were there" in issue(state, work, "f.csv", "--out", "out").stdout
    assert (work / "out/a-1.crt").read_text() == first
    (work / "out/a-3.key").write_text("somebody's")
    (work / "f.csv").write_text("kind,name\ndevice,a-3\n")
    done = issue(state, work, "f.csv", "--out", "out", check=1)
    assert "file-exists" in done.stderr and (work / "out/a-3.key").read_text() == "somebody's"


@pytest.mark.parametrize("text, says", [
    ("", "file-empty"),
    ("name\n", "no rows"),
    ("kind,nam\ndevice,x\n", 'column 2: there is no "nam", did you mean "name"'),
    ("kind,dns\ndevice,x\n", 'no column "name"'),
    ('kind,name\ndevice,"x\n', "line 2: a quote is not closed"),
    ('kind,name\ndevice,"x"y\n', "line 2: text behind a closing quote"),
    ("kind,name\ndevice,x,y\n", "line 2: more fields than the heading's 2"),
    ("kind,name\ndevice\n", "line 2: 1 fields, the heading has 2"),
    ("kind,name\ndevice,\xff\n", "line 2: field 2 is not UTF-8"),
    ("kind,name\ndevice,x\0y\n", "it holds a NUL"),
    ("name\nx\n", "does not say its kind"),
    ('{"kind": "device", "name": "x", "nmae": 1}\n', "line 1: there is no \"nmae\""),
    ('{"kind": "device", "name": ["x"]}\n', "line 1: name: a string is expected"),
    ('{"kind": "device", "name": "x"\n', "line 1: column"),
    ("kind,name,csr\ndevice,x,missing.csr\n", "line 2: missing.csr"),
])
def test_a_list_that_is_none_is_told_by_its_line(state, work, text, says):
    (work / "f").write_bytes(text.encode("latin-1"))
    done = issue(state, work, "f", "--out", "out", check=1)
    assert says in done.stderr, done.stderr
    assert not (work / "out").exists()


def test_spreadsheets_of_any_country(state, work):
    (work / "f.csv").write_bytes("\ufeffKind;Name;DNS\r\nserver;x.corp.example;\"y.corp.example z.corp.example\"\r\n"
                                 .encode())
    issue(state, work, "f.csv", "--out", "out")
    assert "z.corp.example" in run("openssl", "x509", "-in", work / "out/x.corp.example.crt", "-noout", "-text").stdout


def test_a_terminal_sees_how_far_it_is(state, work):
    (work / "f.csv").write_text("name\n" + "".join(f"t-{i}\n" for i in range(300)))
    master, slave = pty.openpty()
    p = subprocess.Popen([COMMAND, "issue", "device", "--from", "f.csv", "--out", "out", "--state", state], cwd=work,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave, preexec_fn=die_with_parent)
    os.close(slave)
    seen = b""
    try:
        while chunk := os.read(master, 4096):
            seen += chunk
    except OSError:
        pass
    assert p.wait() == 0
    assert re.search(rb"\d+ of 300 certificates, \d+ a second", seen), seen
    quiet = countersign("issue", "device", "--from", "f.csv", "--out", "out2", "--state", state, check=0, cwd=work)
    assert quiet.stderr == ""


def test_a_full_disk_loses_nothing(state, small_disk, work):
    (work / "f.csv").write_text("name\n" + "".join(f"d-{i:04}\n" for i in range(300)))
    out = small_disk.path / "out"
    argv = ["issue", "device", "--from", work / "f.csv", "--out", out, "--state", state]
    done = countersign(*argv, check=1)
    assert "disk-full" in done.stderr, done.stderr
    before = {f.name: f.read_text() for f in out.glob("*.crt")}
    assert all(before.values())
    run("mount", "-o", "remount,size=16m", small_disk.path, check=0)
    assert f"{len(before)} were there" in countersign(*argv, check=0).stdout
    assert all((out / name).read_text() == text for name, text in before.items())
    names = [c["name"] for c in listed(state) if c["status"] == "valid"]
    assert len(names) == len(set(names)) == 300
