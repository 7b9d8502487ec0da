"""countersign verify --crl-state: an older CRL, still signed and current, does not take a newer one's place."""
import pytest
from chains import *  # noqa: F403 (a vocabulary)
from conftest import countersign
from test_verify import ask, mid, root  # noqa: F401 (a fixture)


@pytest.fixture
def seen(ask, tmp_path):  # noqa: F811
    """seen(leaf, root, crl..., policy=) -> the verdict, with one state for the test; the command is a new one each time."""
    def do(leaf, trust, *crls, chain=(), policy="require", **more):
        return ask(leaf, trust, chain, crls=crls, more=["--revocation", policy, "--crl-state", tmp_path / "state"], **more)
    return do


@pytest.mark.parametrize("policy", ["given", "prefer", "require"])
def test_w32_an_older_crl_is_refused_and_the_newest_goes_on(seen, policy, tmp_path):
    r = root()
    leaf = cert("leaf", by=r)
    old, new, next_ = (crl(r, number=n, since=f"202403{n:02}000000Z") for n in (4, 5, 6))
    assert seen(leaf, r, old, policy=policy) == "accepted"
    assert seen(leaf, r, new, policy=policy) == "accepted"
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        assert seen(leaf, r, old, policy=policy) == "crl-rollback"
        assert seen(leaf, r, new, policy=policy) == "accepted"
    assert seen(leaf, r, old, new, policy=policy) == "accepted", "given beside the newer one it is only superseded"
    assert seen(leaf, r, new, old, policy=policy) == "accepted"
    assert seen(leaf, r, next_, old, policy=policy) == "accepted"
    assert seen(leaf, r, new, policy=policy) == "crl-rollback"


def test_w32_the_same_number_with_other_octets_or_an_earlier_date_is_no_newer_one(seen):
    r = root()
    leaf = cert("leaf", by=r)
    first = crl(r, number=5, since="20240305000000Z")
    assert seen(leaf, r, first) == "accepted"
    assert seen(leaf, r, first) == "accepted"
    assert seen(leaf, r, crl(r, number=5, since="20240305000000Z", until="20390202000000Z")) == "crl-rollback"
    assert seen(leaf, r, crl(r, number=6, since="20240304000000Z")) == "crl-rollback"
    assert seen(leaf, r, crl(r, number=256, since="20240305000000Z")) == "accepted"
    assert seen(leaf, r, crl(r, number=255, since="20240306000000Z")) == "crl-rollback", "numbers are compared as numbers"


def test_w32_what_an_older_crl_lists_is_revoked_all_the_same(seen):
    r = root()
    leaf = cert("leaf", by=r)
    assert seen(leaf, r, crl(r, number=9)) == "accepted"
    assert seen(leaf, r, crl(r, entry(leaf.serial), number=8)) == "revoked"


def test_w32_one_that_is_forged_stale_or_of_the_future_raises_nothing(seen, tmp_path):
    r, other = root(), cert("Root", ca=True, k=key("p256-other"))
    leaf = cert("leaf", by=r)
    for bad in (crl(r, number=99, break_signature=True), crl(other, number=99, issuer=r.subject, akid=r.skid),
                crl(r, number=99, until="20240301000000Z", since="20240201000000Z"), crl(r, number=99, since="20240701000000Z"),
                crl(r, number=99, until=None)):
        assert seen(leaf, r, bad) != "accepted"
    assert not (tmp_path / "state").exists()
    assert seen(leaf, r, crl(r, number=1)) == "accepted"


def test_scopes_issuers_and_deltas_have_marks_of_their_own(seen):
    r = root()
    m = mid(r)
    leaf = cert("leaf", by=m)
    above, seventh = crl(r, number=3), crl(m, number=7)
    assert seen(leaf, r, seventh, above, chain=[m]) == "accepted"
    assert seen(leaf, r, seventh, crl(r, number=2), chain=[m]) == "crl-rollback"
    assert seen(leaf, r, crl(m, number=1, add=[idp(user=True)]), above, chain=[m]) == "accepted"
    base, delta, newer = seventh, crl(m, number=9, add=[delta_of(7)]), crl(m, number=10, add=[delta_of(7)])
    assert seen(leaf, r, base, newer, above, chain=[m]) == "accepted"
    assert seen(leaf, r, base, delta, above, chain=[m], full=True)["result"] == "accepted", "the base covers it"


def test_w34_a_delta_without_a_number_is_not_used(seen):
    r = root()
    leaf = cert("leaf", by=r)
    assert seen(leaf, r, crl(r, number=1), crl(r, number=None, add=[delta_of(1)])) == "accepted"
    assert seen(leaf, r, crl(r, number=None, add=[delta_of(1)])) != "accepted"


@pytest.mark.parametrize("text, says", [(b"hello\n", "file-wrong-type"), (b"countersign-crl-state 1\nxyz\n", "line 2"), (b"", "file-empty"),
                                        (b"countersign-crl-state 1\n" + b"0" * 64 + b" " + b"0" * 64 + b" soon -\n", "line 2")])
def test_a_state_that_is_none_is_refused_and_left_alone(text, says, tmp_path):
    (tmp_path / "leaf.pem").write_text(root().pem)
    (tmp_path / "state").write_bytes(text)
    done = countersign("verify", "--purpose", "any", "--trust", tmp_path / "leaf.pem", "--crl-state", tmp_path / "state", tmp_path / "leaf.pem")
    assert done.returncode == 2 and (says in done.stderr or "file-wrong-type" in done.stderr), done.stderr
    assert (tmp_path / "state").read_bytes() == text


def test_a_state_that_cannot_be_written_is_said(tmp_path):
    r = root()
    leaf = cert("leaf", by=r)
    for n, c in (("leaf", leaf), ("root", r)):
        (tmp_path / f"{n}.pem").write_text(c.pem)
    (tmp_path / "r.crl").write_bytes(crl(r))
    done = countersign("verify", "--purpose", "server", "--at", "2024-06-01T00:00:00Z", "--trust", tmp_path / "root.pem", "--crl",
                       tmp_path / "r.crl", "--crl-state", tmp_path / "nowhere/state", tmp_path / "leaf.pem")
    assert done.returncode == 2 and "nowhere/state" in done.stderr
