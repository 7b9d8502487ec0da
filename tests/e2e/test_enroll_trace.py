"""enroll.trace: what a client said and what came of it, for whoever debugs it; no secret in it."""
from conftest import wait_for
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


def test_none_is_kept_unless_it_is_said(up):
    assert Scep(up).enroll("tr-3", token(up, "tr-3")).status == SUCCESS
    assert not (up.state / "authority/trace").exists()
