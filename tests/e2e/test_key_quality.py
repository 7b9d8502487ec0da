"""Keys that are not certified: weak ones of every kind that openssl can be told to use, and one that another identity
has; each refusal is in the audit log."""
import hashlib

import pytest
from authority import request
from conftest import System, countersign, run
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

# The product of two primes that the generator of CVE-2017-15361 could have made: k * M + (65537^a mod M).
SMALL = [p for p in range(2, 168) if all(p % d for d in range(2, p))]


def roca_key():
    """A private key whose primes have the flawed form."""
    import random
    m = 1
    for p in SMALL:
        m *= p
    rng = random.SystemRandom()

    def prime():
        while True:
            k, a = rng.getrandbits(1025 - m.bit_length()), rng.getrandbits(64)
            n = k * m + pow(65537, a, m)
            if n.bit_length() == 1024 and pow(2, n - 1, n) == 1 and pow(3, n - 1, n) == 1:
                return n

    while True:
        p, q = prime(), prime()
        if p != q and (p * q).bit_length() == 2048:
            break
    d = pow(65537, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q),
                                 rsa.RSAPublicNumbers(65537, p * q)).private_key()


def ask(s, work, name, key, kind="device"):
    (work / f"{name}.csr").write_text(request(key=key, cn=name))
    return s.run("issue", kind, name, "--csr", work / f"{name}.csr", "--out", work, "--force")


def records(s, event):
    return s.run("log", "--event", event, "--json", check=0).stdout


def test_a_key_of_the_flawed_generator_is_refused(up, work):
    r = ask(up, work, "roca-1", roca_key())
    assert r.returncode != 0 and "key-too-weak" in r.stderr and "ROCA" in r.stderr, r.stderr
    assert not (work / "roca-1.crt").exists()


@pytest.mark.parametrize("bits, exponent", [(1024, 65537), (2048, 3)])
def test_short_keys_and_small_exponents_are_refused(up, work, bits, exponent):
    name = f"weak-{bits}-{exponent}"
    run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-pkeyopt",
        f"rsa_keygen_pubexp:{exponent}", "-out", work / "w.key", check=0)
    run("openssl", "req", "-new", "-key", work / "w.key", "-subj", f"/CN={name}", "-out", work / "w.csr", check=0)
    r = up.run("issue", "device", name, "--csr", work / "w.csr", "--out", work)
    assert r.returncode != 0 and "key-too-weak" in r.stderr, r.stderr


def test_the_key_of_another_identity_raises_the_alarm(up, work):
    key = ec.generate_private_key(ec.SECP256R1())
    assert ask(up, work, "owner-1", key).returncode == 0
    again = ask(up, work, "owner-1", key)  # its own key once more is a renewal
    assert again.returncode == 0, again.stderr
    r = ask(up, work, "thief-1", key)
    assert r.returncode != 0 and "key-shared" in r.stderr and "device owner-1" in r.stderr, r.stderr
    assert "to mend it" in r.stderr
    assert "key-shared" in records(up, "issue-refused")
    # as openssl sees it: the two requests carry one key
    pub = [run("openssl", "req", "-in", work / f"{n}.csr", "-noout", "-pubkey", check=0).stdout for n in ("owner-1", "thief-1")]
    assert pub[0] == pub[1] and "PUBLIC KEY" in pub[0]
    up.revoke("owner-1")
    assert ask(up, work, "thief-1", key).returncode == 0  # whose it was has no certificate any more


def test_a_profile_may_allow_it(system, work):
    conf = work / "c.yaml"
    conf.write_text("profiles:\n  - {name: twin, kind: device, shared_key: true}\n")
    s = system(config=conf)
    s.start()
    key = ec.generate_private_key(ec.SECP256R1())
    assert ask(s, work, "left", key).returncode == 0
    (work / "right.csr").write_text(request(key=key, cn="right"))
    assert s.run("issue", "device", "right", "--csr", work / "right.csr", "--out", work).returncode != 0
    r = s.run("issue", "device", "right", "--csr", work / "right.csr", "--out", work, "--profile", "twin")
    assert r.returncode == 0, r.stderr


@pytest.fixture(scope="module")
def listing():
    """An authority that has two lists: one as in openssl-blacklist, made by openssl and sha1sum, and one of SPKIs."""
    made = System()
    made.state.mkdir(mode=0o700)
    lists = made.state / "lists"
    lists.mkdir()
    known, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    curve = ec.generate_private_key(ec.SECP256R1())
    spki = curve.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    (lists / "k.pem").write_bytes(known.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                      serialization.NoEncryption()))
    line = run("sh", "-c", f"openssl rsa -noout -modulus -in {lists}/k.pem | sha1sum | cut -c21-40", check=0).stdout
    (lists / "k.pem").unlink()
    (lists / "blacklist.RSA-2048").write_text("# a list\n\n0123456789abcdef0123\n" + line)
    (made.state / "spkis.txt").write_text(hashlib.sha256(spki).hexdigest() + "\n")
    (made.state / "countersign.yaml").write_text("weak_keys: [lists, spkis.txt]\n")
    made.start()
    yield made, known, other, curve
    made.stop()
    made.close()


def test_a_key_that_others_know_is_refused(listing, work):
    s, known, other, curve = listing
    for name, key in (("debian-1", known), ("spki-1", curve)):
        r = ask(s, work, name, key)
        assert r.returncode != 0 and "key-weak-known" in r.stderr and "to mend it" in r.stderr, r.stderr
        assert "key-weak-known" in records(s, "issue-refused")
    assert ask(s, work, "good-1", other).returncode == 0
    assert [e["count"] for e in s.events("weak-keys-known")] == [3]


def test_a_list_that_is_none_keeps_the_authority_from_starting(system, work):
    (work / "list").write_text("0123456789abcdef0123\nnonsense\n")
    (work / "c.yaml").write_text("weak_keys: [list]\n")
    s = system(config=work / "c.yaml")
    s.start(wait=False)
    assert s.proc.wait(30) != 0
    assert "file-malformed" in s.log() and f"{work / 'list'}:2" in s.log(), s.log()[-1500:]
    (work / "c.yaml").write_text("weak_keys: [nowhere]\n")
    assert "c.yaml:1:13: weak_keys[0]" in countersign("up", "--check", "--state", work / "s", "-c", work / "c.yaml", check=2).stderr
