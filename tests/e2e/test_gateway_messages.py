"""W09: a peer that leaves out, repeats, reorders or forges the messages that prove who it is. Asserted is the effect: the service behind
hears nothing, and nothing of it comes back."""
import pytest
from cryptography.hazmat.primitives import serialization
from gateway import CA, Gateway
from test_gateway_sites import site
from tls_script import Script

GOOD = {13: ["Certificate", "Verify", "Finished", "Data"], 12: ["Certificate", "KeyExchange", "Verify", "Cipher", "Finished", "Data"]}


def without(version, *names):
    return [s for s in GOOD[version] if s not in names]


def instead(version, name, *others):
    return [o for s in GOOD[version] for o in (others if s == name else (s,))]


def scripts(version):
    good = GOOD[version]
    proofs = [s for s in good if s != "Data"]
    yield "nothing but data", ["Data"]
    for s in proofs:
        yield f"without {s}", without(version, s)
        yield f"{s} twice", instead(version, s, s, s)
        yield f"only {s}", [s, "Data"]
    for a, b in zip(proofs, proofs[1:]):
        swapped = list(good)
        i = swapped.index(a)
        swapped[i], swapped[i + 1] = b, a
        if not (version == 12 and (a, b) == ("Cipher", "Finished")):  # then the Finished is in the clear, which is another row
            yield f"{b} before {a}", swapped
    yield "without Certificate and Verify", without(version, "Certificate", "Verify")
    yield "without Verify and Finished", without(version, "Verify", "Finished")
    yield "no certificate", instead(version, "Certificate", "Certificate:none")
    yield "no certificate, no proof", [s if s != "Certificate" else "Certificate:none" for s in without(version, "Verify")]
    yield "no certificate, then one", instead(version, "Certificate", "Certificate:none", "Certificate")
    yield "somebody else's certificate", instead(version, "Certificate", "Certificate:other")
    yield "ours, then somebody else's", instead(version, "Certificate", "Certificate", "Certificate:other")
    yield "data before Finished", instead(version, "Finished", "Data:early", "Finished")
    for how in ("other key", "other transcript", "flipped", "empty", "sha1", "rsa", "none", "server's words"):
        if version == 13 or how != "server's words":
            yield f"Verify {how}", instead(version, "Verify", f"Verify:{how}")
    for how in ("flipped", "empty", "short", "long", "zeros"):
        yield f"Finished {how}", instead(version, "Finished", f"Finished:{how}")
    for kind in (0, 1, 2, 4, 8, 13, 14, 24, 99):
        yield f"message {kind} before Finished", instead(version, "Finished", f"Message:{kind}", "Finished")
    if version == 12:
        yield "Finished in the clear", instead(version, "Cipher", "Cipher:only")
        yield "Finished in the clear, no cipher", without(version, "Cipher")
        yield "key exchange first", ["KeyExchange", "Certificate", "Verify", "Cipher", "Finished", "Data"]
        yield "cipher before key exchange", ["Cipher:only", "Certificate", "KeyExchange", "Verify", "Cipher", "Finished", "Data"]


@pytest.fixture(scope="module")
def gate():
    g = Gateway(site("a.test", "require", "ca1") + site("opt1.test", "optional", "ca1", "    allow: [{kind: device}, {name: '*'}]\n"))
    ca = CA(g.folder, "ca1")
    g.client, g.stranger = ca.client("good"), CA(g.folder, "other").client("stranger")
    g.start()
    yield g
    g.close()


@pytest.mark.parametrize("version", [12, 13])
@pytest.mark.parametrize("host", ["a.test", "opt1.test"])
def test_the_good_script_is_let_in(gate, version, host):
    before = len(gate.upstream.heads)
    assert b" 200 OK" in Script(gate.https, host, gate.client, gate.stranger, version).run(GOOD[version])
    assert len(gate.upstream.heads) == before + 1


@pytest.mark.parametrize("version,name,steps", [(v, n, s) for v in (12, 13) for n, s in scripts(v)],
                         ids=[f"1.{v - 10} {n}" for v in (12, 13) for n, _ in scripts(v)])
def test_w09_every_other_script_reaches_nobody(gate, version, name, steps):
    for host in ("a.test", "opt1.test"):
        before = len(gate.upstream.heads)
        script = Script(gate.https, host, gate.client, gate.stranger, version)
        script.sock.settimeout(5)
        out = script.run(steps)
        assert len(gate.upstream.heads) == before and b" 200 " not in out, (host, name, out[:200])
        if host == "opt1.test" and name == "no certificate, no proof":
            assert b" 401 " in out, "where it is optional, none is a good script: it is told what is needed"
        else:
            assert out == b"", (host, name, out[:200])


def test_w09_there_are_enough_scripts_and_each_was_refused_for_a_reason(gate):
    assert sum(1 for v in (12, 13) for _ in scripts(v)) >= 60
    assert Script(gate.https, "a.test", gate.client, gate.stranger, 13).run(without(13, "Verify")) == b""
    assert gate.events("handshake-refused")[-1]["reason"] == "tls-handshake-failed"
    assert b" 200 OK" in Script(gate.https, "a.test", gate.client, gate.stranger, 13).run(GOOD[13]), "it goes on serving"


RAW_KEYS = [(19, b"\x02\x02\x00"), (20, b"\x02\x02\x00")]  # client_certificate_type, server_certificate_type: raw public key first, then X.509


@pytest.mark.parametrize("version", [12, 13])
def test_w11_raw_public_keys_are_never_agreed_to(gate, version):
    """RFC 7250: who offers them gets X.509 and is asked for it; a bare key in its place is none."""
    script = Script(gate.https, "a.test", gate.client, gate.stranger, version, more=RAW_KEYS)
    assert b" 200 OK" in script.run(GOOD[version])
    told = script.said["encrypted_extensions" if version == 13 else "server_hello"]
    at = 2 if version == 13 else 35 + told[34] + 3 + 2
    kinds = []
    while at + 4 <= len(told):
        kinds.append(int.from_bytes(told[at:at + 2], "big"))
        at += 4 + int.from_bytes(told[at + 2:at + 4], "big")
    assert not {19, 20} & set(kinds), kinds
    before = len(gate.upstream.heads)
    key = serialization.load_pem_private_key(open(gate.client.key, "rb").read(), None).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    script = Script(gate.https, "a.test", gate.client, gate.stranger, version, more=RAW_KEYS)
    script.certificates = lambda who: [spki]
    script.sock.settimeout(5)
    assert script.run(GOOD[version]) == b"" and len(gate.upstream.heads) == before
