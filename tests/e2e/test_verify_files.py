"""countersign verify reads what people have: PEM, DER, PKCS#7, PKCS#12; and what it cannot read it names, with the place, in little
memory."""
import os
import random
import subprocess

import pytest
from chains import *  # noqa: F403 (a vocabulary)
from conftest import COMMAND, PATIENCE, SANITIZED, countersign, run
from test_verify import AT, mid, root

MEMORY = 64 * 1024  # KiB
# A child's peak begins with what its parent had at the fork, so that a small process stands between.
BETWEEN = """
import os, subprocess, sys
out = open(sys.argv[1], "wb")
p = subprocess.Popen(sys.argv[2:], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
_, status, usage = os.wait4(p.pid, 0)
p.returncode = os.waitstatus_to_exitcode(status)
print(p.returncode, usage.ru_maxrss)
"""


@pytest.fixture
def files(tmp_path):
    """A chain of three, as leaf.pem, mid.pem and root.pem; its key."""
    r = root()
    m = mid(r)
    leaf = cert("leaf", by=m)
    for name, c in (("root", r), ("mid", m), ("leaf", leaf)):
        (tmp_path / f"{name}.pem").write_text(c.pem)
        (tmp_path / f"{name}.der").write_bytes(c.der)
    (tmp_path / "leaf.key").write_bytes(leaf.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                               serialization.NoEncryption()))
    private(tmp_path / "password", "correct horse battery\n")
    return tmp_path, r, m, leaf


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)


def openssl(folder, *args):
    done = run("openssl", *args, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def judge(folder, *args, leaf="leaf.pem", trust="root.pem"):
    """(exit code, output, peak memory in KiB)"""
    told = run("/usr/bin/python3", "-c", BETWEEN, folder / "out", COMMAND, "verify", "--purpose", "server", "--at", AT, "--trust",
               folder / trust, *args, folder / leaf)
    code, memory = map(int, told.stdout.split())
    return code, (folder / "out").read_text(errors="replace"), memory


def accepted(folder, *args, **how):
    code, out, _ = judge(folder, *args, **how)
    assert code == 0 and out.startswith("accepted"), out


def unreadable(folder, says, *args, **how):
    code, out, memory = judge(folder, *args, **how)
    assert code == 2, out
    for s in [says] if isinstance(says, str) else says:
        assert s in out, out
    assert memory <= MEMORY or SANITIZED


# ---- PKCS#7 ----

@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_pkcs7_bag_is_leaf_chain_or_trust(files, form):
    folder, r, m, leaf = files
    out = ["-outform", form, "-out"]
    openssl(folder, "crl2pkcs7", "-nocrl", "-certfile", "mid.pem", "-certfile", "leaf.pem", *out, "leaf.p7b")
    openssl(folder, "crl2pkcs7", "-nocrl", "-certfile", "mid.pem", "-certfile", "root.pem", *out, "mid.p7b")
    openssl(folder, "crl2pkcs7", "-nocrl", "-certfile", "root.pem", *out, "root.p7b")
    accepted(folder, leaf="leaf.p7b")
    accepted(folder, "--chain", folder / "mid.p7b")
    accepted(folder, "--chain", folder / "mid.pem", trust="root.p7b")
    unreadable(folder, ["file-wrong-type", "without a certificate"], leaf=empty_bag(folder, form))


def empty_bag(folder, form):
    openssl(folder, "crl2pkcs7", "-nocrl", "-outform", form, "-out", "empty.p7b")
    return "empty.p7b"


def test_w17_the_order_in_a_bag_means_nothing_and_a_stowaway_is_not_taken_for_the_leaf(files):
    folder, r, m, leaf = files
    admin = cert("admin", k=key("p256-admin"))
    for _ in range(6):
        order = random.sample([leaf, m, r], 3)
        (folder / "some.pem").write_text("".join(c.pem for c in order))
        openssl(folder, "crl2pkcs7", "-nocrl", "-certfile", "some.pem", "-out", "some.p7b")
        code, out, _ = judge(folder, "--json", leaf="some.p7b")
        assert code == 0 and '"CN=leaf"' in out
        (folder / "some.pem").write_text("".join(c.pem for c in random.sample([leaf, m, r, admin], 4)))
        openssl(folder, "crl2pkcs7", "-nocrl", "-certfile", "some.pem", "-out", "some.p7b")
        unreadable(folder, ["file-wrong-type", "2 of its 4 certificates may be the leaf"], leaf="some.p7b")
        # a file of PEM has an order: its first is the leaf, the others prove nothing
        (folder / "some.pem").write_text("".join(c.pem for c in [leaf, *random.sample([m, r, admin], 3)]))
        code, out, _ = judge(folder, "--json", leaf="some.pem")
        assert code == 0 and '"CN=leaf"' in out
        (folder / "some.pem").write_text("".join(c.pem for c in [admin, leaf, m]))
        assert judge(folder, leaf="some.pem")[0] == 1


def test_pkcs7_that_is_damaged_or_ber_is_named_with_its_place(files):
    folder, r, m, leaf = files
    openssl(folder, "crl2pkcs7", "-nocrl", "-certfile", "leaf.pem", "-outform", "DER", "-out", "leaf.p7b")
    good = (folder / "leaf.p7b").read_bytes()
    accepted(folder, "--chain", folder / "mid.pem", leaf="leaf.p7b")
    for bad, says in ((good[:-1], "at octet"), (good + b"\0", "at octet"), (b"\x30\x80" + good[4:] + b"\0\0", "BER"),
                      (good.replace(b"\x02\x01\x01\x31\x00", b"\x02\x01\x7f\x31\x00", 1), "at octet")):
        assert bad != good
        (folder / "bad.p7b").write_bytes(bad)
        unreadable(folder, ["bad.p7b", "file-malformed", says], leaf="bad.p7b")


# ---- PKCS#12 ----

@pytest.mark.parametrize("form", [[], ["-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
                                  ["-certpbe", "NONE", "-keypbe", "AES-256-CBC"], ["-certpbe", "AES-128-CBC", "-iter", "1"]], ids=str)
def test_pkcs12_of_openssl(files, form):
    folder, r, m, leaf = files
    openssl(folder, "pkcs12", "-export", "-in", "leaf.pem", "-inkey", "leaf.key", "-certfile", "mid.pem", "-out", "leaf.p12", "-passout",
            "file:password", *form)
    accepted(folder, "--password-file", folder / "password", leaf="leaf.p12")
    unreadable(folder, ["passphrase-needed", "--password-file"], leaf="leaf.p12")
    private(folder / "wrong", "incorrect horse")
    unreadable(folder, ["passphrase-wrong", "leaf.p12"], "--password-file", folder / "wrong", leaf="leaf.p12")




def test_w74_what_opening_would_cost_is_settled_before(files):
    folder, r, m, leaf = files
    export = ["pkcs12", "-export", "-in", "leaf.pem", "-inkey", "leaf.key", "-out", "bomb.p12", "-passout", "file:password"]
    for bomb in (["-iter", "1000001"], ["-maciter", "-iter", "1000001", "-certpbe", "PBE-SHA1-3DES"]):
        openssl(folder, *export, *bomb)
        unreadable(folder, ["bomb.p12", "limit-reached", "rounds"], "--password-file", folder / "password", leaf="bomb.p12")
    openssl(folder, *export)
    good = (folder / "bomb.p12").read_bytes()
    (folder / "bomb.p12").write_bytes(good + bytes(70000))
    unreadable(folder, ["bomb.p12", "file-too-large"], "--password-file", folder / "password", leaf="bomb.p12")
    for cut in (40, len(good) // 2, len(good) - 1):
        (folder / "bomb.p12").write_bytes(good[:cut])
        unreadable(folder, ["bomb.p12", "file-malformed"], "--password-file", folder / "password", leaf="bomb.p12")
    # contentInfo without contents (CVE-2024-0727), and one without a MAC
    data = oid("1.2.840.113549.1.7.1")
    for bad in (seq(integer(3), seq(data)), seq(integer(3), seq(data), seq(seq(seq(oid("1.3.14.3.2.26"), der(5)), octets(b"x" * 20)), octets(b"s"))),
                seq(integer(3), seq(data, der(0xA0, octets(seq(seq(data))))))):
        (folder / "bomb.p12").write_bytes(bad)
        code, out, _ = judge(folder, "--password-file", folder / "password", leaf="bomb.p12")
        assert code == 2 and ("file-malformed" in out or "passphrase-wrong" in out), out


# ---- what is none of these ----

def test_what_is_accepted_though_it_is_untidy(files):
    folder, r, m, leaf = files
    pem_ = leaf.pem
    both = leaf.pem + m.pem
    for text in ("\ufeff" + both, both.replace("\n", "\r\n"), "subject=leaf\n\n" + leaf.pem + "\nissuer\n" + m.pem + "\n\n  \n",
                 both + both, both.replace("-----END CERTIFICATE-----\n", "-----END CERTIFICATE-----  \n"), both.rstrip("\n"),
                 pem_.replace("BEGIN CERT", "BEGIN X509 CERT").replace("END CERT", "END X509 CERT") + m.pem):
        (folder / "untidy.pem").write_bytes(text.encode())
        accepted(folder, leaf="untidy.pem")
    (folder / "untidy.pem").write_bytes(leaf.der + m.der)
    accepted(folder, leaf="untidy.pem")


def test_what_is_no_certificate_is_named(files):
    folder, r, m, leaf = files
    openssl(folder, "req", "-new", "-key", "leaf.key", "-subj", "/CN=x", "-out", "csr.pem")
    lines = leaf.pem.splitlines(keepends=True)
    cases = {
        "empty": (b"", "file-empty"), "blank": (b" \n\n", "file-empty"), "text": (b"hello\n", "file-wrong-type"),
        "key": ((folder / "leaf.key").read_bytes(), "PRIVATE KEY"), "csr": ((folder / "csr.pem").read_bytes(), "CERTIFICATE REQUEST"),
        "crl": (pem("X509 CRL", crl(r)).encode(), "X509 CRL"),
        "trusted": (leaf.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE").encode(), "TRUSTED CERTIFICATE"),
        "utf16": (leaf.pem.encode("utf-16"), "file-wrong-type"), "no-end": ("".join(lines[:-1]).encode(), "line 1"),
        "cut": ("".join(lines[:3] + lines[-1:]).encode(), "certificate 1"), "not-base64": ("".join(
            [*lines[:2], "?*?\n", *lines[2:]]).encode(), "not base64"),
        "second": ((m.pem + leaf.pem.replace("M", "?", 5)).encode(), "block 2"),
        "cr-only": (leaf.pem.replace("\n", "\r").encode(), "file-malformed"),
        "tail": (leaf.der + b"\0", "at octet"), "short": (leaf.der[:-1], "at octet"),
        "deep": (b"\x30\x80" * 10_000, "file-malformed"), "nested": (nest(10_000), "certificate-malformed"),
        "huge-length": (b"\x30\x84\xff\xff\xff\xff", "file-malformed"), "integer": (integer(5), "file-wrong-type"),
    }
    for name_, (octets_, says) in cases.items():
        (folder / name_).write_bytes(octets_)
        unreadable(folder, [name_, says], leaf=name_)
        unreadable(folder, [name_, says], "--chain", folder / name_)


def nest(depth):
    b = b""
    for _ in range(depth):
        b = seq(b)
    return b


def test_what_is_no_file_is_named_and_nobody_waits_for_it(files):
    folder, r, m, leaf = files
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    with open(folder / "sparse", "wb") as f:
        f.truncate(10 << 30)
    for name_, says in (("folder", "file-"), ("fifo", "file-"), ("sparse", "file-too-large"), ("absent", "file-not-found")):
        unreadable(folder, [name_, says], leaf=name_)
    done = subprocess.run([COMMAND, "verify", "--purpose", "any", "--trust", "/dev/zero", folder / "leaf.pem"], capture_output=True, text=True,
                          timeout=20 * PATIENCE)
    assert done.returncode == 2 and "/dev/zero" in done.stderr


# ---- memory ----

FIRST = 0x5A << 120  # serial numbers of 16 octets


@pytest.fixture(scope="module")
def big_crl(tmp_path_factory):
    """35 MB: a million entries, signed."""
    folder = tmp_path_factory.mktemp("big")
    r = root()
    blob = b"".join(entry(FIRST + i) for i in range(1_000_000))
    return folder, r, crl(r, blob)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own memory is not ours to measure")
@pytest.mark.parametrize("form", ["DER", "PEM"])
def test_a_crl_of_a_million_entries_takes_at_most_64_mib(big_crl, tmp_path, form):
    folder, r, der_ = big_crl
    leaf, gone = cert("leaf", by=r), cert("gone", by=r, serial=FIRST + 777_777)
    for n, c in (("root", r), ("leaf", leaf), ("gone", gone)):
        (tmp_path / f"{n}.pem").write_text(c.pem)
    (tmp_path / "crl").write_bytes(der_ if form == "DER" else pem("X509 CRL", der_).encode())
    for name_, verdict in (("leaf.pem", 0), ("gone.pem", 1)):
        code, out, memory = judge(tmp_path, "--require-revocation", "--crl", tmp_path / "crl", leaf=name_)
        assert code == verdict, out
        assert memory <= MEMORY, f"{memory} KiB for {len(der_) >> 10} KiB of DER"
