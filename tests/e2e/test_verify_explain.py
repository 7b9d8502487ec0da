"""countersign verify --json: the whole path considered, and the next best one with what it lacks."""
from chains import *  # noqa: F403 (a vocabulary)
from test_verify import ask, mid, root  # noqa: F401 (a fixture)

OLD = {"until": "20240101000000Z"}


def told(answer):
    other = answer.get("considered")
    return (other["reason"], other["depth"], [c["sha256"] for c in other["chain"]]) if other else None


def prints(*certs):
    return [hashlib.sha256(c.der).hexdigest() for c in certs]


def test_an_expired_twin_that_was_passed_over_is_told(ask):  # noqa: F811
    r = root()
    old, new = mid(r, **OLD), mid(r)
    leaf = cert("leaf", by=new)
    for chain in ([old, new], [new, old]):
        answer = ask(leaf, r, chain, full=True)
        assert answer["reason"] == "none"
        assert [c["sha256"] for c in answer["chain"]] == prints(leaf, new, r)
        assert told(answer) == ("certificate-expired", 1, prints(leaf, old, r))
        assert answer["good_until"].startswith("2040"), "the answer's own, not the other's"


def test_another_path_that_is_good_too_is_told_as_good(ask):  # noqa: F811
    one, two = cert("One", ca=True), cert("Two", ca=True)
    by_one, by_two = cert("Mid", by=one, ca=True), cert("Mid", by=two, ca=True)
    leaf = cert("leaf", by=by_one)
    answer = ask(leaf, [one, two], [by_one, by_two], full=True)
    reason, depth, chain = told(answer)
    assert (answer["reason"], reason, depth) == ("none", "none", -1)
    assert {chain[-1], answer["chain"][-1]["sha256"]} == set(prints(one, two))


def test_a_root_that_its_constraints_forbid_is_told(ask):  # noqa: F811
    strict = cert("Root", ca=True, add=[nc(permitted=[dns("other.example")])])
    free = cert("Free", ca=True)
    by_strict, by_free = cert("Mid", by=strict, ca=True), cert("Mid", by=free, ca=True)
    leaf = cert("leaf", by=by_free)
    answer = ask(leaf, [strict, free], [by_strict, by_free], full=True)
    assert answer["reason"] == "none"
    assert told(answer) == ("name-constraint-violated", 0, prints(leaf, by_strict, strict))


def test_a_ca_of_the_same_name_with_another_key_is_told(ask):  # noqa: F811
    r = root()
    m, twin = mid(r), mid(r, k=key("p256-twin"), skid=mid(r).skid)
    leaf = cert("leaf", by=m)
    answer = ask(leaf, r, [twin, m], full=True)
    assert answer["reason"] == "none"
    assert told(answer)[0] == "signature-invalid"


def test_of_two_failures_the_most_telling_comes_first(ask):  # noqa: F811
    r = root()
    old = mid(r, **OLD)
    stray = cert("Mid", by=cert("Elsewhere", ca=True), ca=True)
    leaf = cert("leaf", by=old)
    answer = ask(leaf, r, [stray, old], full=True)
    assert (answer["reason"], answer["depth"]) == ("certificate-expired", 1)
    assert told(answer)[0] in ("unknown-issuer", "chain-incomplete")
    both = ask(leaf, r, [old, mid(r, until="20230101000000Z")], full=True)
    assert both["reason"] == told(both)[0] == "certificate-expired"
    assert both["chain"][1]["sha256"] != told(both)[2][1]


def test_without_another_candidate_nothing_is_told(ask):  # noqa: F811
    r = root()
    m = mid(r)
    leaf = cert("leaf", by=m)
    assert told(ask(leaf, r, [m], full=True)) is None
    assert told(ask(leaf, r, [m, m, r], full=True)) is None
    assert told(ask(cert("leaf", by=m, **OLD), r, [m], full=True)) is None
