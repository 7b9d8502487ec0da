"""Labels for a fleet, as a browser prints them and a reader that is not ours scans them."""
import re
import shutil
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from conftest import PATIENCE, SANITIZED, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes

NAMES = ["pump-17", "a" * 64, "o'neil&sons@corp.example"]


@pytest.fixture(scope="module")
def fleet(up, tmp_path_factory):
    work = tmp_path_factory.mktemp("labels")
    (work / "fleet.csv").write_text("kind,name\n" + "".join(f"{'user' if '@' in n else 'device'},{n}\n" for n in NAMES))
    up.run("issue", "--from", work / "fleet.csv", "--out", work / "out", "--labels", work / "labels", check=0)
    return work


def test_a_label_says_whose_it_is_in_words_and_is_a_picture_of_its_own(up, fleet):
    assert {p.name for p in (fleet / "labels").iterdir()} == {f"{n}.svg" for n in NAMES} | {"labels.html"}
    for name in NAMES:
        svg = ElementTree.parse(fleet / "labels" / f"{name}.svg").getroot()
        words = "".join(t.text for t in svg.iter("{http://www.w3.org/2000/svg}text"))
        crt = x509.load_pem_x509_certificate((fleet / "out" / f"{name}.crt").read_bytes())
        assert words.startswith(name[:60]) and f"{crt.serial_number:032x}" in words
        assert f"until {crt.not_valid_after:%Y-%m-%d}" in words
    assert not re.search("PRIVATE|password", "".join(p.read_text() for p in (fleet / "labels").iterdir()))


@pytest.mark.skipif(SANITIZED, reason="a browser and a scanner reading the same text say nothing about our memory")
def test_a_scanner_reads_the_printed_sheet(up, fleet, work):
    assert shutil.which("zbarimg") and shutil.which("chromium"), "see tools/packages.txt"
    run("chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={work}/profile", "--hide-scrollbars",
        "--force-device-scale-factor=3", "--window-size=560,420", f"--screenshot={work}/sheet.png",
        f"file://{fleet}/labels/labels.html", timeout=60 * PATIENCE, check=0)
    read = run("zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", work / "sheet.png", check=0).stdout.split()
    seen = {}
    for uri in read:
        parts = urlsplit(uri)
        assert parts.scheme == "countersign"
        seen[parts.path] = parse_qs(parts.query)
    assert set(seen) == {"device/pump-17", "device/" + "a" * 64, "user/o%27neil%26sons%40corp.example"}
    for path, name in zip(("device/pump-17", "device/" + "a" * 64, "user/o%27neil%26sons%40corp.example"), NAMES):
        crt = x509.load_pem_x509_certificate((fleet / "out" / f"{name}.crt").read_bytes())
        assert seen[path]["serial"] == [f"{crt.serial_number:032x}"]
        assert seen[path]["sha256"] == [crt.fingerprint(hashes.SHA256()).hex()]
        assert seen[path]["url"][0].startswith("http://")


def test_labels_go_with_a_list_and_with_pem(up, fleet, work):
    assert up.run("issue", "device", "x-1", "--labels", work / "l").returncode == 2
    assert "--each-p12" in up.run("issue", "--from", fleet / "fleet.csv", "--each-p12", "--labels", work / "l", "--out",
                                  work / "o", check=2).stderr
