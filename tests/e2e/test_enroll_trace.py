"""enroll.trace: what a client said and what came of it, for whoever debugs it; no secret in it."""
import cmp_script as cmp
from acme_kit import Client
from conftest import run, wait_for
from scep_kit import FAILURE, SUCCESS, Scep, fresh_keys  # noqa: F401
from test_enroll_est import est, new_request, token


def test_exchanges_leave_a_transcript_without_their_secret(system, work):
    (work / "c.yaml").write_text("enroll: {trace: true}\n")
    s = system(config=work / "c.yaml")
    s.start()
    folder = s.state / "authority/trace"
    first, second = token(s, "tr-1"), token(s, "tr-2")
    assert Scep(s).enroll("tr-1", first, transaction="T-17").status == SUCCESS
    assert Scep(s).enroll("tr-1", "a-wrong-one").status == FAILURE
    _, body = new_request(work, "tr-2")
    assert est(s, work, "simpleenroll", body, f"tr-2:{second}")[0] == 200
    wait_for(lambda: len(list(folder.glob("*.txt"))) == 3, 5)
    good, bad, other = [f.read_text() for f in sorted(folder.glob("*.txt"))]
    for line in ("door: /scep\n", "type: PKCSReq\n", "transaction: T-17\n", "signed: SHA-256\n", "encrypted: AES-128-CBC\n", "challenge: there is one\n",
                 f"credential: token {first[:16]}\n", "identity: device tr-1\n", "profile: device\n", "issued: CN=tr-1", "refused: no\n", "message: "):
        assert line in good.replace("serialNumber=tr-1,", ""), (line, good)
    assert "refused: token-invalid: " in bad and "issued: none\n" in bad
    assert "door: est\n" in other and "request: CN=tr-2, ECDSA P-256" in other and "refused: no\n" in other
    for text in (good, bad, other):
        assert first[17:] not in text and second[17:] not in text and "a-wrong-one" not in text
    assert {f.stat().st_mode & 0o777 for f in folder.glob("*.txt")} == {0o600} and folder.stat().st_mode & 0o777 == 0o700


def test_cmps_and_acmes_messages_are_decoded(system, work):
    (work / "c.yaml").write_text("enroll:\n  trace: true\n  doors:\n    - {protocol: acme, label: open, accounts: open, profile: server}\n")
    s = system(config=work / "c.yaml")
    s.start()
    folder = s.state / "authority/trace"
    secret = token(s, "tr-4")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", work / "k.pem", check=0)
    run("openssl", "cmp", "-config", "/dev/null", "-server", f"127.0.0.1:{s.http}", "-path", "/.well-known/cmp", "-recipient", "/CN=CA", "-cmd", "ir", "-ref", "tr-4",
        "-secret", f"pass:{secret}", "-newkey", work / "k.pem", "-subject", "/CN=tr-4", "-certout", work / "c.pem", "-implicit_confirm", check=0)
    assert cmp.post(f"http://127.0.0.1:{s.http}/.well-known/cmp", b"nonsense").http == 400
    wait_for(lambda: len(list(folder.glob("*.txt"))) == 2, 5)
    good, bad = [f.read_text() for f in sorted(folder.glob("*.txt"))]
    for line in ("type: ir\n", "version: 2\n", "reference: tr-4\n", "implicit confirmation: asked for\n", "protected by: secret\n", "answer: ip\n",
                 "request: CN=tr-4, ECDSA P-256", f"credential: token {secret[:16]}\n", "identity: device tr-4\n", "refused: no\n"):
        assert line in good, (line, good)
    assert secret[17:] not in good and "refused: " in bad and "refused: no" not in bad
    site = type("Site", (), {"system": s, "url": staticmethod(lambda label: f"https://localhost:{s.https}/acme/{label}")})
    client = Client(site)
    client.register()
    assert client.order("a b").status_code == 400
    texts = [f.read_text() for f in sorted(folder.glob("*.txt"))[2:]]
    assert len(texts) == 2 and "resource: new-account\nsigned: ES256\n" in texts[0] and "answer: 201 " in texts[0] and "refused: no\n" in texts[0]
    assert f"account: {client.kid}\n" in texts[1] and "resource: new-order\n" in texts[1] and "answer: 400 " in texts[1] and "a b" in texts[1]


def test_none_is_kept_unless_it_is_said(up):
    assert Scep(up).enroll("tr-3", token(up, "tr-3")).status == SUCCESS
    assert not (up.state / "authority/trace").exists()
