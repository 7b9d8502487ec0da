"""SCEP (RFC 8894) with programs that we did not write: certmonger, strongSwan, micromdm's scepclient; and what their
messages do not show."""
import json
import os
import shutil
import socket
import tempfile
import threading
import urllib.parse
from pathlib import Path

import pytest
from conftest import ROOT, System, countersign, run, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from scep_kit import fresh_keys  # noqa: F401
from scep_kit import (FAILURE, GET_CERT, GET_CRL, PENDING, PKCS_REQ, POLL, RENEWAL, SUCCESS, Scep, issuer_and_serial,
                      issuer_and_subject, message, request, rsa_key, seal, self_signed)
from test_enroll_est import token

DOORS = """profiles:
  - {name: sensor, kind: device, lifetime: 7d}
enroll:
  device: {approval: never, retry: 1s}
  doors:
    - {protocol: scep, label: slow, approval: unknown}
    - {protocol: scep, label: old, legacy: true, ca_certificates: ra}
    - {protocol: scep, label: chain, ca_certificates: chain}
"""


@pytest.fixture(scope="module")
def doors():
    """A system with several doors of SCEP."""
    folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
    (folder / "c.yaml").write_text(DOORS)
    s = System(config=folder / "c.yaml")
    s.start()
    yield s
    s.stop()
    s.close()
    shutil.rmtree(folder, ignore_errors=True)


def cn(cert):
    return cert.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


def approve(system):
    row = wait_for(lambda: countersign("request", "list", "--json", "--state", system.state, check=0).stdout, 10)
    countersign("request", "approve", json.loads(row.splitlines()[0])["id"], "--state", system.state, check=0)


# ---- strongSwan ----

pki = pytest.mark.skipif(shutil.which("pki") is None, reason="strongSwan's pki is not installed")


def strongswan(system, work, name, *more, label="", stem="k"):
    """(exit code, words, certificate's path) of `pki --scep`."""
    url = system.http_url("/scep" + label)
    if not (work / "ca.crt").exists():
        run("pki", "--scepca", "--url", url, "--caout", work / "ca.crt", "--raout", work / "ra.crt", "--outform", "pem", check=0)
    run("openssl", "genrsa", "-out", work / f"{stem}.key", "2048", check=0)
    done = run("pki", "--scep", "--url", url, "--in", work / f"{stem}.key", "--dn", f"CN={name}", "--cacert-enc", work / "ra.crt",
               "--cacert-sig", work / "ra.crt", "--cacert", work / "ca.crt", "--cacert", work / "ca-1.crt", "--outform", "pem", *more)
    (work / f"{stem}.crt").write_text(done.stdout)
    return done.returncode, done.stderr, work / f"{stem}.crt"


@pki
def test_strongswan_enrolls_and_renews(doors, work):
    code, words, crt = strongswan(doors, work, "sw-1", "--password", token(doors, "sw-1"))
    assert code == 0, words
    assert "Issued certificate is trusted" in words and "RA cert is trusted" not in words
    code, words, new = strongswan(doors, work, "sw-1", "--cert", crt, "--key", work / "k.key", stem="n")
    assert code == 0, words
    assert cn(x509.load_pem_x509_certificate(new.read_bytes())) == "sw-1" and new.read_text() != crt.read_text()
    code, words, _ = strongswan(doors, work, "sw-2", "--password", "nonsense", stem="x")
    assert code != 0 and "badRequest" in words


@pki
def test_strongswan_polls_until_a_person_has_said_yes(doors, work):
    t = threading.Timer(1.0, approve, [doors])
    t.start()
    code, words, crt = strongswan(doors, work, "sw-3", "--interval", "1", "--maxpolltime", "20", label="/slow")
    t.join()
    assert code == 0 and "pending" in words, words
    assert cn(x509.load_pem_x509_certificate(crt.read_bytes())) == "sw-3"


# ---- micromdm ----

@pytest.mark.skipif(shutil.which("scepclient") is None, reason="micromdm's scepclient is not installed")
def test_micromdm_enrolls_where_old_algorithms_are_let_in_and_nowhere_else(doors, work):
    def client(label):
        return run("scepclient", "-server-url", doors.http_url(f"/scep{label}"), "-cn", "mm-1", "-challenge", token(doors, "mm-1"),
                   "-private-key", "mm.key", "-certificate", "mm.crt", cwd=work, timeout=30)
    done = client("/old")
    assert done.returncode == 0, done.stderr[-800:]
    first = x509.load_pem_x509_certificate((work / "mm.crt").read_bytes())
    assert cn(first) == "mm-1"
    done = client("/old")  # with its certificate: a renewal
    assert done.returncode == 0, done.stderr[-800:]
    assert x509.load_pem_x509_certificate((work / "mm.crt").read_bytes()).serial_number != first.serial_number
    (work / "else").mkdir()
    done = run("scepclient", "-server-url", doors.http_url("/scep/old"), "-cn", "mm-2", "-challenge", "wrong", "-private-key", "mm.key",
               "-certificate", "mm.crt", cwd=work / "else", timeout=30)
    assert done.returncode != 0 and "badRequest" in done.stderr + done.stdout


# ---- certmonger ----

CERTMONGER = """
getcert add-scep-ca -s -c cs -u {url} || exit 1
for i in 1 2 3 4 5 6 7 8 9 10; do getcert list-cas -s -c cs | grep -q SCEP.*thumbprint && break; sleep 0.3; done
getcert request -s -c cs -k $PWD/k.pem -f $PWD/c.pem -N CN={name} -L {token} -I r1 -w -v
getcert list -s -i r1; cp c.pem first.pem
getcert resubmit -s -i r1 -w -v; getcert list -s -i r1; cp c.pem second.pem
getcert rekey -s -i r1 -w -v; getcert list -s -i r1; cp c.pem third.pem
"""


@pytest.mark.skipif(shutil.which("certmonger") is None or shutil.which("dbus-run-session") is None,
                    reason="certmonger or dbus-run-session is not installed")
def test_certmonger_enrolls_renews_and_changes_its_key(doors, work):
    for sub in ("cas", "requests", "local", "tmp"):
        (work / sub).mkdir()
    (work / "all.sh").write_text(CERTMONGER.format(url=doors.http_url("/scep"), name="cm-1", token=token(doors, "cm-1")))
    env = {"HOME": str(work), "TMPDIR": str(work / "tmp"), "CERTMONGER_CAS_DIR": str(work / "cas"), "CERTMONGER_CONFIG_DIR": str(work),
           "CERTMONGER_REQUESTS_DIR": str(work / "requests"), "CERTMONGER_LOCAL_CA_DIR": str(work / "local"),
           "CERTMONGER_TMPDIR": str(work / "tmp")}
    done = run("dbus-run-session", "--", "sh", "-c", "certmonger -s -n -d 1 >cm.log 2>&1 & sleep 0.5; sh all.sh; kill $!", cwd=work,
               env=env, timeout=90)
    words = done.stdout + done.stderr
    assert words.count("status: MONITORING") == 3, words + (work / "cm.log").read_text()[-2000:]
    certs = [x509.load_pem_x509_certificate((work / f"{n}.pem").read_bytes()) for n in ("first", "second", "third")]
    assert {cn(c) for c in certs} == {"cm-1"} and len({c.serial_number for c in certs}) == 3
    keys = [c.public_key().public_numbers() for c in certs]
    assert keys[0] == keys[1] != keys[2]


# ---- what their messages do not show ----

def test_capabilities_are_lines_of_text_and_name_nothing_weak_unless_it_is_let_in(doors):
    status, kind, body = Scep(doors).http("GET", "?operation=GetCACaps")
    caps = body.decode().splitlines()
    assert status == 200 and kind == "text/plain" and body.endswith(b"\n")
    assert {"AES", "POSTPKIOperation", "Renewal", "SHA-256", "SHA-512", "SCEPStandard"} <= set(caps)
    assert not {"DES3", "SHA-1"} & set(caps)
    assert {"DES3", "SHA-1"} <= set(Scep(doors, "old").http("GET", "?operation=GetCACaps")[2].decode().splitlines())


def test_the_ra_comes_first_and_as_much_of_its_chain_as_is_said(doors):
    whole, chain, alone = Scep(doors).cacert(), Scep(doors, "chain").cacert(), Scep(doors, "old").cacert()
    assert [len(whole), len(chain), len(alone)] == [3, 2, 1] and whole[0] == chain[0] == alone[0]
    usage = alone[0].extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and usage.key_encipherment and not usage.key_cert_sign
    assert not alone[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    eku = alone[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [e.dotted_string for e in eku] == ["1.3.6.1.5.5.7.3.28"]  # neither client nor server of TLS
    assert whole[1].subject == whole[0].issuer and whole[2].subject == whole[1].issuer


def test_nonces_transaction_and_certificate_come_back_encrypted_to_who_asked(doors):
    s, key, nonce = Scep(doors), rsa_key(), os.urandom(16)
    got = s.enroll("kit-1", token(doors, "kit-1"), nonce=nonce, transaction="T 1", digest="sha512", cipher="aes256")
    assert (got.http, got.status) == (200, SUCCESS), got.text
    assert got.recipient == nonce and len(got.sender) == 16 and got.transaction == "T 1"
    assert got.digest == "sha512" and got.cipher == "aes256_cbc"
    assert cn(got.leaf) == "kit-1" and got.leaf.public_key().public_numbers() == key.public_key().public_numbers()
    assert got.certs[1].subject == got.leaf.issuer
    again = s.enroll("kit-1", None, key=key, cert=got.leaf, kind=RENEWAL)
    assert again.status == SUCCESS and again.leaf.serial_number != got.leaf.serial_number


@pytest.mark.parametrize("path", ["/scep", "/scep/pkiclient.exe", "/scep/device", "/scep/device/pkiclient.exe",
                                  "/cgi-bin/pkiclient.exe", "/scep/cgi-bin/pkiclient.exe", "/certsrv/mscep/mscep.dll"])
def test_the_paths_that_devices_know_lead_here(doors, path):
    s = Scep(doors, path=path)
    name = f"kit-2{path.replace('/', '-').strip('-').replace('.', '-')}"
    assert s.enroll(name, token(doors, name)).status == SUCCESS


@pytest.mark.parametrize("quote", [
    lambda t: urllib.parse.quote(t, safe=""),  # all of it
    lambda t: urllib.parse.quote(t, safe="/+"),  # as macOS
    lambda t: "%0A".join(t[i:i + 64] for i in range(0, len(t), 64)).replace("+", "%2B"),  # as strongSwan
    lambda t: t,  # as it is
])
def test_a_message_in_the_query_is_read_however_it_is_escaped(doors, quote):
    s, key = Scep(doors), rsa_key()
    name = f"kit-3-{abs(hash(quote)) % 100000}"
    octets = message(PKCS_REQ, seal(request(key, name, token(doors, name)), s.ra), key, self_signed(key, name))
    assert s.get(octets, key, quote).status == SUCCESS


def test_http_1_0_without_a_host_and_posts_without_a_type_are_answered(doors):
    s, key = Scep(doors), rsa_key()
    octets = message(PKCS_REQ, seal(request(key, "kit-4", token(doors, "kit-4")), s.ra), key, self_signed(key, "kit-4"))
    with socket.create_connection(("127.0.0.1", doors.http), timeout=20) as c:
        c.sendall(b"POST /scep?operation=PKIOperation HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(octets) + octets)
        answer = b"".join(iter(lambda: c.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.") and b" 200 " in answer.split(b"\r\n")[0] and b"application/x-pki-message" in answer
    assert s.http("POST", "", octets)[0] == 200  # no operation, no content type


def test_old_algorithms_are_read_and_answered_where_they_are_let_in(doors):
    old = Scep(doors, "old")
    got = old.enroll("kit-5", token(doors, "kit-5"), digest="sha1", cipher="3des")
    assert got.status == SUCCESS and got.digest == "sha1" and got.cipher == "tripledes_3key"
    assert old.enroll("kit-6", token(doors, "kit-6"), key=rsa_key("b"), digest="md5").status == SUCCESS


def test_oaep_and_ber_are_read(doors, work):
    s, key = Scep(doors), rsa_key()
    envelope = seal(request(key, "kit-7", token(doors, "kit-7")), s.ra, oaep=True)
    assert s.post(message(PKCS_REQ, envelope, key, self_signed(key, "kit-7")), key).status == SUCCESS
    key = rsa_key("b")
    octets = message(PKCS_REQ, seal(request(key, "kit-8", token(doors, "kit-8")), s.ra), key, self_signed(key, "kit-8"))
    (work / "m.der").write_bytes(octets)
    run(ROOT / "tests/e2e/ber.py", work / "m.der", work / "m.ber", check=0)
    assert (work / "m.ber").read_bytes()[1] == 0x80
    assert s.post((work / "m.ber").read_bytes(), key).status == SUCCESS


def test_a_certificate_signs_for_its_renewal_by_pkcsreq_too(doors):
    s = Scep(doors)
    first = s.enroll("kit-9", token(doors, "kit-9"))
    # as devices do that know no RenewalReq, and that still send the challenge of the first time
    got = s.enroll("kit-9", "used-up", cert=first.leaf, new_key=rsa_key("b"))
    assert got.status == SUCCESS and got.leaf.public_key().public_numbers() == rsa_key("b").public_key().public_numbers()


def test_what_waits_is_pending_and_found_by_its_key(doors):
    s, key = Scep(doors, "slow"), rsa_key("c")
    asked = s.enroll("kit-10", key=key)
    assert asked.status == PENDING and asked.certs == []
    ca = s.cacert()[1]
    def poll(by):
        return s.post(message(POLL, seal(issuer_and_subject(ca, "kit-10"), s.ra), by, self_signed(by, "kit-10")), by)
    assert poll(key).status == PENDING
    other = poll(rsa_key("b"))
    assert (other.status, other.fail) == (FAILURE, 4)
    approve(doors)
    got = poll(key)
    assert got.status == SUCCESS and cn(got.leaf) == "kit-10"


def test_certificates_are_for_holders_and_the_crl_for_anybody(doors):
    s = Scep(doors)
    holder, ca = s.enroll("kit-11", token(doors, "kit-11")).leaf, s.cacert()[1]
    key = rsa_key()
    ask = seal(issuer_and_serial(ca, holder.serial_number), s.ra)
    assert s.post(message(GET_CERT, ask, key, holder), key).leaf == holder
    stranger = s.post(message(GET_CERT, ask, key, self_signed(key, "kit-11")), key)
    assert (stranger.status, stranger.text.split(":")[0]) == (FAILURE, "certificate-required")
    nothing = s.post(message(GET_CERT, seal(issuer_and_serial(ca, 12345), s.ra), key, holder), key)
    assert (nothing.status, nothing.fail) == (FAILURE, 4)
    crl = s.post(message(GET_CRL, ask, key, self_signed(key, "x")), key)
    assert crl.status == SUCCESS and crl.crls[0].issuer == ca.subject
    assert crl.crls[0].is_signature_valid(ca.public_key()) and isinstance(crl.crls[0].signature_hash_algorithm, hashes.SHA256)
    doors.revoke("kit-11")
    gone = s.post(message(GET_CERT, ask, key, holder), key)
    assert (gone.status, gone.fail) == (FAILURE, 4)


def test_the_ra_outlives_a_restart_and_is_nobodys_to_read(system):
    s = system()
    s.start()
    door = Scep(s)
    name, key = "kit-12", rsa_key()
    ra, octets = door.ra, message(PKCS_REQ, seal(request(key, name, token(s, name)), door.ra), key, self_signed(key, name))
    path = s.state / "authority/ra.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    s.stop()
    s.start()
    assert door.post(octets, key).status == SUCCESS and door.cacert()[0] == ra
    assert "ra-issued" in countersign("log", "--state", s.state, check=0).stdout


def test_over_tls_too_and_not_where_its_door_is_closed(doors, system, work):
    done = run("curl", "-sS", "--cacert", doors.ca, f"https://localhost:{doors.https}/scep?operation=GetCACaps", check=0)
    assert "SCEPStandard" in done.stdout
    (work / "c.yaml").write_text("enroll: {doors: [{protocol: scep, serve: false}]}\n")
    s = system(config=work / "c.yaml")
    s.start()
    assert Scep(s).http("GET", "?operation=GetCACaps")[0] == 404
