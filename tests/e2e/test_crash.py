"""kill -9 of signer and authority while certificates are issued and revoked: nothing that was acknowledged is lost, no
serial is used twice, and the CRL stays whole."""
import json
import os
import random
import threading
import time

import pytest
from cryptography import x509

from authority import Authority, request
from conftest import BUILD, COMMAND, LIBEXEC, run

TRIALS = int(os.environ.get("COUNTERSIGN_CRASH_TRIALS", "50"))


def journal(a):
    """(serials of certificates, numbers of CRLs) that the signer has signed."""
    data = (a.state / "signer" / "journal").read_bytes()
    records = [data[i:i + 96] for i in range(0, len(data) - 95, 96)]
    return ([r[16:32].hex() for r in records if r[0] == 3], [int.from_bytes(r[24:32], "big") for r in records if r[0] == 4])


class Load(threading.Thread):
    """Issues and revokes without pause; remembers what was acknowledged."""

    def __init__(self, a, worker):
        super().__init__()
        self.a, self.worker, self.ending = a, worker, False
        self.issued, self.revoked, self.errors = {}, set(), 0
        self.csr = request()

    def run(self):
        n = 0
        while not self.ending:
            n += 1
            name = f"d{self.worker}-{n}"
            try:
                status, _, got = self.a.issue(name, csr=request())
                if status != 201:
                    self.errors += 1
                    continue
                self.issued[got["serial"]] = name
                if n % 3 == 0:
                    status, _, _ = self.a.call("POST", "/api/v1/revocations", {"serial": got["serial"]})
                    if status == 200:
                        self.revoked.add(got["serial"])
            except (OSError, ValueError, EOFError):
                self.errors += 1
            except Exception as e:  # http.client: the answer ended in the middle
                if "http.client" not in type(e).__module__:
                    raise
                self.errors += 1


def check(a, loads):
    rows = {r["serial"]: r for r in a.listed()}
    status, _, made = a.call("POST", "/api/v1/crls", {})
    assert status == 200, made
    crl = x509.load_der_x509_crl(a.crl())
    on_crl = {f"{r.serial_number:032x}" for r in crl}
    for load in loads:
        for serial, name in load.issued.items():
            assert rows[serial]["name"] == name, f"{serial} was acknowledged and is lost"
        for serial in load.revoked:
            assert rows[serial]["status"] == "revoked" and serial in on_crl, f"{serial}'s revocation is lost"
    for serial, row in rows.items():
        assert row["status"] != "abandoned" or serial in on_crl
    serials, numbers = journal(a)
    assert len(serials) == len(set(serials)), "a serial was signed twice"
    assert numbers == sorted(set(numbers)), "a CRL number went back or came twice"
    known = set(rows)
    assert set(serials) <= known, "something was signed that no row knows"


def test_kill_9_loses_nothing_and_repeats_nothing():
    a = Authority().start()
    loads = [Load(a, w) for w in range(4)]
    try:
        [load.start() for load in loads]
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        for _ in range(TRIALS):
            time.sleep(chance.uniform(0, 0.15))
            victims = chance.choice([["signer"], ["authority"], ["signer", "authority"]])
            for v in victims:
                a.kill(v)
            a.start(victims)
        time.sleep(0.3)
        for load in loads:
            load.ending = True
        [load.join() for load in loads]
        assert sum(len(load.issued) for load in loads) > TRIALS, f"hardly anything was issued (seed {seed})"
        check(a, loads)
        a.stop()
        a.start()  # and once more from what is on disk
        check(a, loads)
        a.stop()
    finally:
        for load in loads:
            load.ending = True
        a.close()


def has_fault_points(build):
    options = json.loads(run("meson", "introspect", "--buildoptions", build, check=0).stdout)
    return next(o["value"] for o in options if o["name"] == "faults")


def test_only_a_build_that_asks_for_them_has_fault_points():
    for program in [COMMAND, *sorted(LIBEXEC.glob("countersign-*"))]:
        if program.is_file():
            has = b"COUNTERSIGN_FAULT" in program.read_bytes()
            assert not has or has_fault_points(BUILD), f"{program} can be made to die from outside"


@pytest.mark.parametrize("how", ["kill", "fail"])
def test_dying_between_two_batches_that_were_committed_together(how):
    if b"signer.sign" not in (LIBEXEC / "countersign-signer").read_bytes():
        pytest.skip("this build has no fault points (-Dfaults=true); `.ci/run` tests one that has")
    a = Authority().start()
    a.processes["authority"].terminate()
    a.processes["authority"].wait()
    a.start(["authority"], env={"COUNTERSIGN_FAULT": f"authority.issue.after-shared-commit:{how}"})
    loads = [Load(a, w) for w in range(8)]
    try:
        [load.start() for load in loads]
        deadline = time.monotonic() + 60
        while a.processes["authority"].poll() is None and (how == "kill" or not any(load.errors for load in loads)):
            assert time.monotonic() < deadline, "no two batches met"
            time.sleep(0.01)
        for load in loads:
            load.ending = True
        [load.join() for load in loads]
        if how == "fail":
            a.kill("authority")
        else:
            a.processes["authority"].wait(10)
        a.start(["authority"])
        check(a, loads)
        assert all(r["status"] in ("valid", "revoked", "abandoned") for r in a.listed())
        a.stop()
    finally:
        for load in loads:
            load.ending = True
        a.close()


POINTS = ["authority.issue.before-intent", "authority.issue.after-intent", "authority.issue.after-sign",
          "authority.issue.after-commit", "authority.revoke.after-commit", "authority.crl.after-intent",
          "authority.crl.after-sign", "signer.sign"]


@pytest.mark.parametrize("point", POINTS)
def test_dying_at_each_step(point):
    name = "signer" if point.startswith("signer") else "authority"
    if b"signer.sign" not in (LIBEXEC / "countersign-signer").read_bytes():
        pytest.skip("this build has no fault points (-Dfaults=true); `.ci/run` tests one that has")
    a = Authority().start()
    try:
        first = a.issue("before")[2]["serial"]
        a.processes[name].terminate()
        a.processes[name].wait()
        a.start([name], env={"COUNTERSIGN_FAULT": f"{point}:kill"})
        load = Load(a, 9)
        try:
            if "revoke" in point or "crl" in point:
                a.call("POST", "/api/v1/revocations", {"serial": first})
            a.issue("during", csr=load.csr, idempotency_key="again")
            a.call("POST", "/api/v1/crls", {})
        except Exception:
            pass  # it died: that is the point
        a.processes[name].wait(10)
        a.start([name])
        status, _, got = a.issue("during", csr=load.csr, idempotency_key="again")
        assert status == 201
        load.issued = {first: "before", got["serial"]: "during"}
        check(a, [load])
        assert sum(r["name"] == "during" and r["status"] == "valid" for r in a.listed()) == 1
        a.stop()
    finally:
        a.close()
