"""countersign explain: the table, and the causes of what programs say."""
import json

import pytest
from conftest import COMMAND, ROOT, countersign, run
from said import SAID


def causes(text):
    done = countersign("explain", "--json", input=text)
    return [c["id"] for c in json.loads(done.stdout)["causes"]]


def test_every_text_of_the_catalogue_names_its_cause():
    lost, late = [], []
    for ident, text in SAID:
        found = causes(text)
        if ident not in found:
            lost.append((ident, text, found))
        elif found.index(ident) > 4:
            late.append((ident, text, found))
    assert not lost and not late, (lost, late)


# texts that have one cause only, or one that is far likelier than others
@pytest.mark.parametrize("text,first", [
    ("(12:CRL has expired)", "F52"), ("(3:unable to get certificate CRL)", "F75"), ("(26:unsuitable certificate purpose)", "F37"),
    ("(2:unable to get issuer certificate)", "F03"), ("AH02040: Certificate Chain too long (chain has 2 certificates)", "F16"),
    ("curl: (60) SSL certificate problem: certificate has expired", "F51"), ("sslv3 alert certificate expired", "F50"),
    ("curl: (60) SSL certificate verification failed", "F50"), ("ERR_BAD_SSL_CLIENT_AUTH_CERT", "F66"),
    ("digital envelope routines::unsupported, Algorithm (RC2-40-CBC : 0)", "F29"), ("Mac verify error: invalid password?", "F31"),
    ("MAC verification failed during PKCS12 import (wrong password?)", "F30"), ("alert number 44", "F101"),
    ("-0x7780 A fatal alert message was received", "F91"), ("AH10158: cannot perform post-handshake authentication", "F64"),
])
def test_the_likeliest_cause_stands_first(text, first):
    assert causes(text)[0] == first


def test_the_most_specific_line_of_a_log_counts_first():
    log = ("curl: (56) Connection reset by peer\n"
           "2026/01/01 [info] 7#7: *1 client SSL certificate verify error: (12:CRL has expired) while reading\n")
    found = causes(log)
    assert found[0] == "F52" and "F65" in found


def test_a_finding_is_explained_by_number_and_by_name():
    for words in ("F01", "f1", "client-chain-incomplete"):
        done = countersign("explain", words, check=0)
        assert done.stdout.startswith("F01 client-chain-incomplete") and "try:" in done.stdout


def test_what_is_not_known_is_said():
    done = countersign("explain", "all is well", check=1)
    assert "countersign doctor" in done.stderr and done.stdout == ""
    assert causes("\0\xff" * 1000) == []


def test_a_flood_is_bounded():
    done = run(COMMAND, "explain", input="x" * (300 * 1024))
    assert done.returncode == 1 and "file-too-large" in done.stderr


def test_all_findings_have_a_page_of_their_own():
    ids = [f["id"] for f in json.loads(countersign("explain", "--list", "--json", check=0).stdout)]
    assert ids[:3] == ["F01", "F02", "F03"] and len(ids) == len(set(ids)) >= 100
    for ident in ids:
        assert (ROOT / "docs/failures" / f"{ident}.md").exists()
    run(ROOT / "tools/failures", "--check", check=0)
