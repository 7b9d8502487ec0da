"""Sessions that several gateways share: sealed by keys that all of them have, resumed at another than they were made at, and judged
there as if they had come for the first time."""
import datetime as dt
import os
import urllib.request

import pytest
from conftest import wait_for
from gateway import CA, V12, V13, Gateway

SITE = "  - {name: %s, certificate: @FOLDER@/server.crt, key: @FOLDER@/server.key, client: %s, client_ca: @FOLDER@/%s.pem}\n"
SITES = (SITE % ("a.test", "require", "ca1")).replace("}\n", ", client_crl: @FOLDER@/ca1.crl}\n") + SITE % ("b.test", "require", "ca2") \
    + SITE % ("opt1.test", "optional", "ca1")


def key():
    return os.urandom(80).hex()


def write_keys(path, *keys):
    new = path.with_suffix(".new")
    new.write_text("# the newest first\n" + "\n".join(keys) + "\n")
    new.chmod(0o600)
    new.rename(path)


class Two:
    """Two gateways with the same files, each a process of its own."""

    def __init__(self):
        self.keys = [key(), key()]
        self.one = Gateway(SITES, more="ticket_keys: @FOLDER@/keys", authority=True)
        self.ca, self.other = CA(self.one.folder, "ca1"), CA(self.one.folder, "ca2")
        self.ca.crl(self.one.folder / "ca1.crl")
        write_keys(self.one.folder / "keys", *self.keys)
        self.two = Gateway("", more="ticket_keys: %s/keys" % self.one.folder, authority=True)
        self.two.conf.write_text(self.two.text(SITES.replace("@FOLDER@", str(self.one.folder))))
        self.two.root = self.one.root
        self.client = self.ca.client("pump")
        self.one.start()
        self.two.start()

    def close(self):
        self.one.close()
        self.two.close()


@pytest.fixture
def two():
    t = Two()
    yield t
    t.close()


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_a_session_of_one_is_resumed_at_the_other(two, version):
    context = two.one.context(two.client, version)
    first = two.one.visit(context)
    assert first.status == 200 and not first.reused
    there = two.two.visit(context, session=first.session)
    assert there.status == 200 and there.reused, two.two.log()[-1500:]
    # byte for byte who it was
    told = [[line for line in v.text.splitlines() if line.lower().startswith(("client-cert:", "x-countersign-"))] for v in (first, there)]
    assert told[0] == told[1] and len(told[0]) >= 5
    back = two.one.visit(context, session=there.session)
    assert back.reused and back.status == 200
    assert two.two.events("request")[-1]["resumed"] in (True, "true")
    # without a certificate too, and it stays without
    bare = two.one.context(None, version)
    first = two.one.visit(bare, "opt1.test")
    there = two.two.visit(bare, "opt1.test", session=first.session)
    assert there.reused and "X-Countersign-Verified: none" in there.text


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_each_check_is_made_again_at_the_other(two, version):
    """W01, W04, W05 between nodes."""
    context = two.one.context(two.client, version)
    first = two.one.visit(context)
    # a session of one site is worth nothing on another
    for name in ("b.test", "opt1.test"):
        v = two.two.visit(context, name, session=first.session)
        assert not v.reused and v.status == (0 if name == "b.test" else 200)
    # revoked there by its CRL, which is another trust
    assert two.two.visit(context, session=first.session).reused
    two.ca.crl(two.one.folder / "ca1.crl", two.client, number=2)
    wait_for(lambda: two.two.visit(context, session=first.session).status == 0, 5, every=0.1)
    assert not two.two.visit(context, session=first.session).reused


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_revocation_by_the_feed_of_the_other(two, version):
    context = two.one.context(two.client, version)
    first = two.one.visit(context)
    two.two.feed.revoke(two.ca, two.client, 1)
    wait_for(lambda: two.two.visit(context, session=first.session).status == 0, 3, every=0.05)
    assert two.one.visit(context, session=first.session).reused, "the first has not heard of it"
    assert two.two.visit(context, session=first.session).status == 0 and "revoked" in two.two.log()
    done = urllib.request.urlopen(f"http://127.0.0.1:{two.two.metrics_port}/metrics").read().decode()
    assert 'countersign_resumptions_refused_total{reason="revoked"}' in done, done


def test_an_ended_certificate_resumes_nowhere(two):
    short = two.ca.client("short", ends=dt.timedelta(seconds=3))
    context = two.one.context(short)
    first = two.one.visit(context)
    assert first.status == 200
    wait_for(lambda: two.two.visit(context, session=first.session).status == 0, 6, every=0.2)


def test_keys_are_replaced_without_a_restart_and_old_ones_end(two):
    """W06: what is sealed by a key that nobody has any more is worth a full handshake."""
    context = two.one.context(two.client, V13)
    first = two.one.visit(context)
    newest, path = key(), two.one.folder / "keys"
    write_keys(path, newest, *two.keys)
    wait_for(lambda: "reloaded" in two.one.log() and "reloaded" in two.two.log(), 5)
    there = two.two.visit(context, session=first.session)
    assert there.reused, "an older key opens still"
    write_keys(path, newest)
    wait_for(lambda: not two.two.visit(context, session=first.session).reused, 5, every=0.1)
    assert two.two.visit(context, session=first.session).status == 200
    assert two.one.visit(context, session=two.two.visit(context).session).reused, "the newest is what both seal with"


def test_a_stranger_with_other_keys_opens_nothing(two):
    context = two.one.context(two.client)
    first = two.one.visit(context)
    write_keys(two.one.folder / "keys", key())
    wait_for(lambda: not two.two.visit(context, session=first.session).reused, 5, every=0.1)


@pytest.mark.parametrize("text,said", [("# none\n", "no keys"), ("00" * 80 + "\n", "zeros"), ("ab" * 79 + "\n", "160 hexadecimal digits"),
                                       ("zz" * 80 + "\n", "160 hexadecimal digits"), ("ab" * 80 + "\n" + "ab" * 80 + "\n", "begins as key 1"),
                                       ("ab" * 16 + "00" * 64 + "\n", "zeros")],
                         ids=["none", "zeros", "short", "no hex", "twice", "zeros behind a name"])
def test_bad_keys_are_refused_and_what_runs_goes_on(two, text, said):
    path = two.one.folder / "keys"
    context = two.one.context(two.client)
    before = two.one.visit(context)
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.rename(path)
    assert said in two.one.reload("reload-failed")
    again = two.one.visit(context, session=before.session)
    assert again.reused and again.status == 200


def test_keys_that_others_may_read_are_refused(two):
    (two.one.folder / "keys").chmod(0o644)
    assert "file-permissions-too-open" in two.one.reload("reload-failed")


def test_from_kept_sessions_to_shared_ones_takes_a_restart(two):
    two.one.conf.write_text(two.one.conf.read_text().replace("ticket_keys:", "#ticket_keys:"))
    assert "restart" in two.one.reload("reload-failed")
