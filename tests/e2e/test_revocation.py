"""Revoked means out: new handshakes, resumed sessions and live connections, in under a second, without a reload."""
import ssl
import threading
import time

import pytest
from clients import REQUEST, attempt, s_client, status_of
from conftest import PATIENCE, run, wait_for

SECOND = 1.0 * PATIENCE


def test_a_revoked_device_is_refused_within_a_second(up):
    issued = up.issue("device", "lost-1")
    assert attempt(up, issued.crt, issued.key) == ("ok", 200)
    up.revoke("lost-1", "--reason", "key-compromise")
    t0 = time.monotonic()
    wait_for(lambda: attempt(up, issued.crt, issued.key)[0] == "refused", SECOND, every=0.05, say="still let in")
    assert time.monotonic() - t0 < SECOND
    verdict, alert = attempt(up, issued.crt, issued.key)
    assert "CERTIFICATE_REVOKED" in alert
    assert attempt(up) == ("ok", 200), "others are not touched"


def test_having_been_looked_at_does_not_keep_a_revocation_from_the_gateway(system):
    """A read that stayed open held the feed to the database as it was before the revocation."""
    s = system()
    s.start()
    issued = s.issue("device", "seen")
    for command in (("show", "seen"), ("list",), ("status",)):
        s.run(*command, check=0)
    s.revoke("seen")
    wait_for(lambda: attempt(s, issued.crt, issued.key)[0] == "refused", SECOND, every=0.05, say="still let in")


def test_a_live_connection_of_a_revoked_device_is_closed(up):
    issued = up.issue("device", "lost-2")
    other = up.issue("device", "kept-2")
    keep = REQUEST.replace("Connection: close\r\n", "").encode()
    with up.connect(issued.crt, issued.key) as live, up.connect(other.crt, other.key) as kept:
        for s in (live, kept):
            s.sendall(keep)
            assert b" 200 " in s.recv(65536)
        time.sleep(0.2)
        up.revoke("lost-2")
        t0 = time.monotonic()
        live.settimeout(5 * PATIENCE)
        try:
            while live.recv(65536):
                pass
        except (ssl.SSLError, ConnectionError) as e:
            assert "timed out" not in str(e)
        assert time.monotonic() - t0 < SECOND
        kept.sendall(keep)
        kept.settimeout(5 * PATIENCE)
        got = b""
        while b"HTTP/1.1 200" not in got:
            more = kept.recv(65536)
            assert more, "the other device's connection was closed too"
            got += more


def test_a_hold_closes_the_door_and_a_release_opens_it(up):
    issued = up.issue("device", "mislaid")
    up.run("hold", "mislaid", check=0)
    wait_for(lambda: attempt(up, issued.crt, issued.key)[0] == "refused", SECOND, every=0.05, say="still let in")
    assert "already-revoked" in up.run("hold", "mislaid", check=1).stderr
    assert "Released: device mislaid" in up.run("release", "mislaid", check=0).stdout
    wait_for(lambda: attempt(up, issued.crt, issued.key) == ("ok", 200), SECOND, every=0.05, say="still shut out")
    assert "certificate-unknown" in up.run("release", "mislaid", check=1).stderr
    up.run("hold", "mislaid", check=0)
    up.revoke("mislaid")  # for good now
    assert up.run("release", "mislaid").returncode == 1
    assert attempt(up, issued.crt, issued.key)[0] == "refused"


def test_by_serial_number_and_the_crl_lists_it(up, work):
    issued = up.issue("user", "gone@corp.example", "--json")
    serial = run("openssl", "x509", "-noout", "-serial", "-in", issued.crt).stdout.strip().split("=")[1]
    up.revoke(serial.lower())
    wait_for(lambda: attempt(up, issued.crt, issued.key)[0] == "refused", SECOND)

    def listed():
        (work / "i.crl").write_bytes(up.crl())
        out = run("openssl", "crl", "-inform", "DER", "-in", work / "i.crl", "-noout", "-text", check=0).stdout
        return serial.upper() in out.upper().replace(":", "")
    wait_for(listed, 5, every=0.2, say="the published CRL does not list it")


def test_revoking_twice_is_said_and_changes_nothing(up):
    up.issue("device", "twice-1")
    up.revoke("twice-1")
    done = up.revoke("twice-1", check=None)
    assert done.returncode in (0, 1)
    assert done.returncode == 0 or "already-revoked" in done.stderr or "certificate-unknown" in done.stderr


def test_revoking_who_is_not_there_fails_with_a_reason(up):
    done = up.revoke("nobody-of-this-name", check=1)
    assert "certificate-unknown" in done.stderr


def test_an_unknown_reason_is_refused_and_nothing_is_revoked(up):
    issued = up.issue("device", "still-in")
    done = up.revoke("still-in", "--reason", "bad-mood", check=None)
    assert done.returncode in (1, 2)
    assert "key-compromise" in done.stderr, "the choices are named"
    assert attempt(up, issued.crt, issued.key) == ("ok", 200)


def test_a_revoked_certificate_stays_out_after_a_restart(system):
    s = system()
    s.start()
    issued = s.issue("device", "lost-3")
    s.revoke("lost-3")
    s.stop()
    s.start()
    assert attempt(s, issued.crt, issued.key)[0] == "refused"
    assert attempt(s) == ("ok", 200)


def test_revoke_under_many_connections(up):
    """Twenty connections of one device: none is left a second later."""
    issued = up.issue("device", "lost-many")
    held = [up.connect(issued.crt, issued.key) for _ in range(20)]
    for s in held:
        s.sendall(REQUEST.replace("Connection: close\r\n", "").encode())
        assert s.recv(65536)
    closed = []

    def drain(s):
        s.settimeout(10 * PATIENCE)
        try:
            while s.recv(65536):
                pass
        except (ssl.SSLError, ConnectionError):
            pass
        except TimeoutError:
            return
        closed.append(time.monotonic())
    threads = [threading.Thread(target=drain, args=(s,)) for s in held]
    for t in threads:
        t.start()
    up.revoke("lost-many")
    t0 = time.monotonic()
    for t in threads:
        t.join()
    assert len(closed) == 20
    assert max(closed) - t0 < SECOND


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_resumes_and_the_identity_is_still_told(up, work, version):
    session = work / "session"
    first = s_client(up, version, "-sess_out", session)
    assert status_of(first) == 200, first[-1500:]
    again = s_client(up, version, "-sess_in", session)
    assert "Reused, " in again, again[-1500:]
    assert status_of(again) == 200
    assert '"kind":"device"' in again.replace(" ", "")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_of_a_revoked_certificate_does_not_resume(up, work, version):
    name = "resumer" + version.replace("_", "").replace("-", "")
    issued = up.issue("device", name)
    session = work / "session"
    assert status_of(s_client(up, version, "-sess_out", session, crt=issued.crt, key=issued.key)) == 200
    again = s_client(up, version, "-sess_in", session, crt=issued.crt, key=issued.key)
    assert "Reused, " in again and status_of(again) == 200, again[-1500:]
    up.revoke(name)
    wait_for(lambda: attempt(up, issued.crt, issued.key)[0] == "refused", SECOND)
    after = s_client(up, version, "-sess_in", session, crt=issued.crt, key=issued.key)
    assert status_of(after) == 0, after[-1500:]
    # nor with the session alone, without the key at hand
    bare = s_client(up, version, "-sess_in", session, cert=False)
    assert status_of(bare) == 401 and "Reused, " not in bare, bare[-1500:]
