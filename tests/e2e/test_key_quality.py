"""Keys that are not certified: weak ones of every kind that openssl can be told to use, and one that another identity
has; each refusal is in the audit log."""
import pytest
from authority import request
from conftest import run
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
