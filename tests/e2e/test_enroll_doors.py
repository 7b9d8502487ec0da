"""Doors of enrollment as the configuration has them: which protocol, under which label, on which site, with what policy."""
import pytest
from conftest import countersign, run
from test_enroll_est import est, new_request, token

PROFILE = """profiles:
  - {name: sensor, kind: device, lifetime: 7d}
"""


def config(work, doors, rest=PROFILE):
    (work / "c.yaml").write_text(f"{rest}enroll:\n  doors:\n" + "".join(f"    - {{{d}}}\n" for d in doors))
    return work / "c.yaml"


def test_a_label_has_its_profile_and_its_own_approval(system, work):
    s = system(config=config(work, ["protocol: est, label: field, profile: sensor",
                                    "protocol: est, label: slow, profile: sensor, approval: always"]))
    s.start()
    secret = token(s, "d-1", "device", "--profile", "sensor")
    _, body = new_request(work, "d-1")
    assert est(s, work, "slow/simpleenroll", body, f"d-1:{secret}")[0] == 202
    assert est(s, work, "field/simpleenroll", body, f"d-1:{secret}")[0] == 200
    plain = token(s, "d-2")
    _, body = new_request(work, "d-2", "two")
    status, _, answer = est(s, work, "field/simpleenroll", body, f"d-2:{plain}")
    assert status == 404 and answer.startswith(b"profile-unknown")
    status, _, answer = est(s, work, "nowhere/simpleenroll", body, f"d-2:{plain}")
    assert status == 404 and answer.startswith(b"route-unknown")


def test_a_door_that_is_closed_or_another_sites_is_no_door(system, work):
    s = system(config=config(work, ["protocol: est, serve: false", "protocol: est, label: field, profile: sensor",
                                    "protocol: scep, plain: false", "protocol: est, label: far, sites: [far.example]"],
                             PROFILE + "sites:\n  - {name: \"*\", enroll: true}\n  - {name: far.example, enroll: true}\n"))
    s.start()
    _, body = new_request(work, "d-3")
    user = f"d-3:{token(s, 'd-3', 'device', '--profile', 'sensor')}"
    assert est(s, work, "simpleenroll", body, user)[0] == 401  # nothing of ours: the site's certificate is asked for
    assert est(s, work, "sensor/simpleenroll", body, user)[0] == 401
    assert est(s, work, "far/simpleenroll", body, user)[0] == 401
    assert est(s, work, "field/simpleenroll", body, user)[0] == 200
    assert run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", s.http_url("/scep"), check=0).stdout == "404"


@pytest.mark.parametrize("doors,why", [
    (["protocol: est", "protocol: est"], "twice"),
    (["protocol: est, profile: nothing"], "nothing"),
    (["protocol: est, sites: [nowhere.example]"], "sites"),
    (["protocol: est, legacy: true"], "SCEP"),
    (["protocol: acme, plain: true"], "plain"),
    (["protocol: gopher"], "expected est, scep, cmp or acme"),
    (["protocol: est, label: a/b"], "letters"),
])
def test_what_cannot_hold_is_refused_with_its_door(work, doors, why):
    done = countersign("up", "--state", work / "s", "--check", "-c", config(work, doors))
    assert done.returncode != 0 and why in done.stderr, done.stderr
