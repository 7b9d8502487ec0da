"""countersign bundle: what it makes is taken by NSS (Firefox, Chromium), by Apple's format's readers, by a phone's camera and by a
printer, and its SCEP challenge by strongSwan."""
import json
import plistlib
import re
import shutil
import subprocess
import xml.dom.minidom

import pytest
from conftest import SANITIZED, run
from cryptography.hazmat.primitives.serialization import pkcs12


@pytest.fixture(scope="module")
def made(up):
    out = up.state.parent / "bundle"
    done = up.run("bundle", "user", "ann@corp.example", "--out", out, "--organization", "Corp & Sons", "--ssid", "Corp", "--radius-name",
                  "radius.corp.example", "--url", "https://intra.corp.example/ann/", "--server", "https://intra.corp.example", "--json", check=0)
    return out, json.loads(done.stdout)


def test_nobody_else_may_read_it_and_the_password_is_in_none_of_its_files(made):
    out, said = made
    names = {f.name for f in out.iterdir()}
    assert {"ann@corp.example.p12", "ann@corp.example.mobileconfig", "ann@corp.example-windows.ps1", "ann@corp.example-linux.sh", "ann@corp.example.html",
            "ca.pem", "ca.cer"} <= names
    assert (out.stat().st_mode & 0o777) == 0o700
    for f in out.iterdir():
        assert said["p12_password"].encode() not in f.read_bytes(), f


def test_apples_profile_holds_certificate_root_and_wifi(made):
    out, said = made
    text = (out / "ann@corp.example.mobileconfig").read_bytes()
    plist = plistlib.loads(text)
    xml.dom.minidom.parseString(text)
    assert plist["PayloadOrganization"] == "Corp & Sons"
    parts = {p["PayloadType"]: p for p in plist["PayloadContent"]}
    key, cert, more = pkcs12.load_key_and_certificates(parts["com.apple.security.pkcs12"]["PayloadContent"], said["p12_password"].encode())
    assert key and format(cert.serial_number, "x").zfill(len(said["serial"])) == said["serial"] and len(more) >= 1
    wifi = parts["com.apple.wifi.managed"]
    assert wifi["PayloadCertificateUUID"] == parts["com.apple.security.pkcs12"]["PayloadUUID"]
    assert wifi["EAPClientConfiguration"]["PayloadCertificateAnchorUUID"] == [parts["com.apple.security.root"]["PayloadUUID"]]
    assert wifi["EAPClientConfiguration"]["TLSTrustedServerNames"] == ["radius.corp.example"]
    assert parts["com.apple.security.root"]["PayloadContent"] == (out / "ca.cer").read_bytes()
    assert len({p["PayloadUUID"] for p in plist["PayloadContent"]} | {plist["PayloadUUID"]}) == 4
    run("openssl", "x509", "-inform", "DER", "-in", out / "ca.cer", "-noout", check=0)


@pytest.mark.skipif(not shutil.which("certutil"), reason="no libnss3-tools here")
def test_the_script_for_linux_puts_it_into_nss(made, work):
    out, said = made
    (work / "password").write_text(said["p12_password"] + "\n")
    firefox = work / ".mozilla/firefox/x.default"
    firefox.mkdir(parents=True)
    run("certutil", "-d", f"sql:{firefox}", "-N", "--empty-password", check=0)
    run("sh", out / "ann@corp.example-linux.sh", work / "password", env={"HOME": str(work)}, check=0)
    for db in (work / ".pki/nssdb", firefox):
        listed = run("certutil", "-d", f"sql:{db}", "-L", check=0).stdout
        assert re.search(r"ann@corp.example.*u,u,u", listed) and "Corp & Sons root" in listed
        verified = run("certutil", "-d", f"sql:{db}", "-V", "-u", "C", "-n", re.search(r"^(.*ann@corp.example.*?)\s+u,u,u", listed, re.M)[1])
        assert "certificate is valid" in verified.stdout + verified.stderr


def svg_to_pgm(svg, scale=4):
    side = int(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    rows = [[255] * side for _ in range(side)]
    for x, y, w in re.findall(r"M(\d+) (\d+)h(\d+)v1", svg):
        for i in range(int(w)):
            rows[int(y)][int(x) + i] = 0
    big = b"".join(bytes(v for v in row for _ in range(scale)) * scale for row in rows)
    return b"P5 %d %d 255\n" % (side * scale, side * scale) + big


@pytest.mark.skipif(not shutil.which("zbarimg"), reason="no zbar-tools here")
def test_a_camera_reads_where_the_profile_is(made, work):
    page = (made[0] / "ann@corp.example.html").read_text()
    (work / "qr.pgm").write_bytes(svg_to_pgm(page[page.index("<svg"):page.index("</svg>")]))
    assert run("zbarimg", "-q", "--raw", work / "qr.pgm", check=0).stdout.strip() == "https://intra.corp.example/ann/ann@corp.example.mobileconfig"


@pytest.mark.skipif(SANITIZED, reason="a browser prints the same page in every build")
@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_the_page_is_one_page(made, work):
    page = made[0] / "ann@corp.example.html"
    assert "Corp &amp; Sons" in page.read_text()
    run("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={work}/c", "--no-pdf-header-footer", f"--print-to-pdf={work}/page.pdf",
        f"file://{page}", timeout=60, check=0)
    assert len(re.findall(rb"/Type\s*/Page\b", (work / "page.pdf").read_bytes())) == 1


@pytest.mark.skipif(not shutil.which("pki"), reason="no strongswan-pki here")
def test_with_scep_the_key_is_made_on_the_device(up, work):
    url = up.http_url("/scep")
    up.run("bundle", "user", "bob@corp.example", "--out", work / "b", "--scep", url, "--password-file", work / "pw", check=0)
    parts = {p["PayloadType"]: p for p in plistlib.loads((work / "b/bob@corp.example.mobileconfig").read_bytes())["PayloadContent"]}
    assert "com.apple.security.pkcs12" not in parts
    scep = parts["com.apple.security.scep"]["PayloadContent"]
    assert scep["URL"] == url and scep["Subject"] == [[["CN", "bob@corp.example"]]]
    with open(work / "key.pem", "wb") as f:
        subprocess.run(["pki", "--gen", "--type", "rsa", "--size", str(scep["Keysize"]), "--outform", "pem"], stdout=f, check=True)
    run("pki", "--scepca", "--url", url, "--caout", work / "ca.crt", "--raout", work / "ra.crt", "--outform", "pem", cwd=work, check=0)
    cas = sorted(work.glob("ca*.crt")) + sorted(work.glob("ra*.crt"))
    done = run("pki", "--scep", "--url", url, "--in", work / "key.pem", "--dn", f"CN={scep['Subject'][0][0][1]}", "--password", scep["Challenge"],
               "--cacert-enc", sorted(work.glob("ra*.crt"))[0], *[w for c in cas for w in ("--cacert-sig", c)][:2], "--cacert", up.ca, "--outform", "pem", cwd=work)
    assert done.returncode == 0, done.stderr
    (work / "new.crt").write_text(done.stdout)
    assert "bob@corp.example" in run("openssl", "x509", "-in", work / "new.crt", "-noout", "-subject", check=0).stdout


def test_what_does_not_fit_is_refused_before_anything_is_issued(up, work):
    for words, says in ((["device", "x"], "expected user"), (["user", "a@b.example", "--ssid", "Corp"], "go together"),
                        (["user", "a@b.example", "--url", "ftp://x"], "expected https"), (["user", "not a name"], "")):
        done = up.run("bundle", *words, "--out", work / "never")
        assert done.returncode in (1, 2) and says in done.stderr and not (work / "never").exists(), done.stderr
    assert up.run("config", "bundle-apple").returncode == 2
