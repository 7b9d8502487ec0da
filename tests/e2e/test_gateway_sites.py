"""Sites, sessions and hosts: nothing of one site is worth anything on another (SECURITY W01 to W05, W13, W14, W29)."""
import itertools
import socket
import ssl
import time

import pytest
from conftest import PATIENCE, wait_for
from gateway import CA, V12, V13, Gateway, Service

CLIENT = {"none": "off", "opt": "optional", "req": "require"}
SITES = [f"{kind}{ca}" for ca in (1, 2) for kind in CLIENT]  # none1 opt1 req1 none2 opt2 req2


def site(name, client, ca=None, more=""):
    lines = [f"  - name: {name}", "    certificate: @FOLDER@/server.crt", "    key: @FOLDER@/server.key",
             f"    client: {client}"]
    if ca:
        lines.append(f"    client_ca: @FOLDER@/{ca}.pem")
    return "\n".join(lines) + "\n" + more


def all_sites():
    return "".join(site(f"{name}.test", CLIENT[name[:-1]], f"ca{name[-1]}") for name in SITES)


@pytest.fixture(scope="module")
def gate():
    g = Gateway(all_sites())
    g.ca = {n: CA(g.folder, f"ca{n}") for n in "12"}
    g.client = {n: g.ca[n].client(f"device-{n}") for n in "12"}
    g.start()
    yield g
    g.close()


def admitted(name, ca):
    """May a client of that CA visit the site at all?"""
    return name.startswith("none") or name[-1] == ca


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("ca", "12")
def test_w01_a_session_of_one_site_is_never_resumed_on_another(gate, version, ca):
    for first, second in itertools.product(SITES, SITES):
        if not admitted(first, ca):
            continue
        context = gate.context(gate.client[ca], version)
        a = gate.visit(context, f"{first}.test")
        assert a.status == 200, (first, a)
        before = len(gate.upstream.heads)
        b = gate.visit(context, f"{second}.test", a.session)
        say = f"{first} -> {second}: {b}"
        if first == second:
            assert b.status == 200, say
            continue
        assert not b.reused, say
        assert (b.status == 200) == admitted(second, ca), say
        if not admitted(second, ca):
            assert len(gate.upstream.heads) == before, f"{say}: the upstream was asked"
        elif second.startswith("none"):
            assert "X-Countersign-Identity" not in gate.upstream.heads[-1], say


WAYS = ["h1", "h2", "tcp"]


@pytest.fixture(scope="module")
def ways():
    """For each CA one site of HTTP and one of octets, which echoes."""
    class Echo(Service):
        def serve(self, c):
            while data := c.recv(4096):
                c.sendall(data)
    echo = Echo()
    tcp = f"    protocol: tcp\n    upstream: tcp://127.0.0.1:{echo.port}\n"
    g = Gateway("".join(site(f"req{n}.test", "require", f"ca{n}") + site(f"opt{n}.test", "require", f"ca{n}", tcp) for n in "12"))
    g.client = {n: CA(g.folder, f"ca{n}").client(f"device-{n}") for n in "12"}
    g.start()
    yield g
    g.close()
    echo.close()


def through(g, way, n, version, ca, session=None):
    """(was it let in, was the session resumed, a session) of one visit that way to the sites of that CA."""
    context = g.contexts.setdefault((way == "h2", version, ca), g.context(g.client[ca], version))
    if way == "h2":
        context.set_alpn_protocols(["h2"])
    try:
        with g.connect(context, f"{'opt' if way == 'tcp' else 'req'}{n}.test", session) as s:
            if way == "h2":
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            else:
                s.sendall(b"GET / HTTP/1.1\r\nHost: req%s.test\r\n\r\n" % n.encode())
            data = s.recv(4096)
            return bool(data), s.session_reused, s.session
    except (ssl.SSLError, ConnectionError):
        return False, False, None


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_w01_nor_over_http2_nor_into_a_stream(ways, version):
    """A session of TLS is not of a protocol: each way x each way x each CA. (Python lets a context use its own sessions only.)"""
    for first, second in itertools.product(WAYS, WAYS):
        for a, b in itertools.product("12", "12"):
            ways.contexts = {}
            if (first == "h2") != (second == "h2"):
                ways.contexts[(True, version, a)] = ways.contexts[(False, version, a)] = ways.context(ways.client[a], version)
            let, _, session = through(ways, first, a, version, a)
            assert let and session, (first, a)
            let, reused, _ = through(ways, second, b, version, a, session)
            same = a == b and (first == "tcp") == (second == "tcp")
            assert let == (a == b), (first, a, second, b)
            assert not reused or same, (first, a, second, b)


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ["req1", "opt1"])
def test_w05_a_resumed_session_tells_the_same_identity(gate, version, name):
    context = gate.context(gate.client["1"], version)
    a = gate.visit(context, f"{name}.test")
    b = gate.visit(context, f"{name}.test", a.session)
    assert b.reused and b.status == 200, b

    def told(v):
        return sorted(ln for ln in v.text.splitlines() if ln.startswith(("X-Countersign", "Client-Cert:", "X-Forwarded-C")))
    assert told(a) and told(a) == told(b)


@pytest.mark.parametrize("second", SITES)
def test_w02_a_host_of_another_site_is_misdirected(gate, second):
    for first in ("req1", "none1", "opt2"):
        if first == second:
            continue
        ca = first[-1]
        for host in (f"{second}.test", f"{second.upper()}.TEST", f"{second}.test.", f"{second}.test:{gate.https}"):
            before = len(gate.upstream.heads)
            v = gate.visit(gate.context(gate.client[ca]), f"{first}.test", host=host)
            assert v.status == 421, (first, host, v)
            assert "host-misdirected" in v.text
            assert len(gate.upstream.heads) == before


@pytest.mark.parametrize("host", ["unknown.test", "127.0.0.1", "localhost"])
def test_w02_a_host_of_no_site_is_misdirected(gate, host):
    before = len(gate.upstream.heads)
    assert gate.visit(gate.context(gate.client["1"]), "req1.test", host=host).status == 421
    assert len(gate.upstream.heads) == before


def hello_only(gate, name):
    """The verdict on a hello with that server_name, taken as it is."""
    context = gate.context(gate.client["1"])
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return gate.visit(context, name, host="req1.test")


def test_w14_spellings_of_a_name_mean_the_same_site(gate):
    for name in ("req1.test", "REQ1.TEST", "Req1.Test"):
        v = hello_only(gate, name)
        assert v.status == 200, (name, v)


@pytest.mark.parametrize("name", ["unknown.test", "a.req1.test", "test", "req1.test.evil", "xreq1.test"])
def test_w14_an_unknown_name_is_refused_in_the_handshake(gate, name):
    at = len(gate.log())
    v = hello_only(gate, name)
    assert v.status == 0 and "UNRECOGNIZED_NAME" in v.alert, v
    wait_for(lambda: "sni-unknown" in gate.log()[at:], say=gate.log()[at:])


def test_w14_no_name_at_all_is_refused_where_there_is_no_default_site(gate):
    assert hello_only(gate, None).status == 0


def handshake_in_pieces(gate, name, cut):
    """A hello sent in two TCP segments, cut at that octet; then as usual."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = gate.context()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with gate.raw() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = True
        try:
            while True:
                try:
                    tls.do_handshake()
                    tls.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                    raw.sendall(outgoing.read())
                    while True:
                        try:
                            return tls.read(100)
                        except ssl.SSLWantReadError:
                            incoming.write(raw.recv(65536) or b"")
                except ssl.SSLWantReadError:
                    data = outgoing.read()
                    if first and cut < len(data):
                        raw.sendall(data[:cut])
                        time.sleep(0.002)
                        data = data[cut:]
                    first = False
                    raw.sendall(data)
                    got = raw.recv(65536)
                    if not got:
                        return b"closed"
                    incoming.write(got)
        except (ssl.SSLError, ConnectionError) as e:
            return str(e).encode()


def test_w13_a_hello_in_pieces_meets_the_same_policy(gate):
    for cut in [*range(1, 12), *range(12, 320, 9)]:
        assert handshake_in_pieces(gate, "none1.test", cut).startswith(b"HTTP/1.1 200"), cut
        got = handshake_in_pieces(gate, "req1.test", cut)
        assert b"HTTP/1.1" not in got, (cut, got)


def test_w13_a_hello_in_many_records_meets_the_same_policy(gate):
    """Re-cut into TLS records of five octets each."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = gate.context().wrap_bio(incoming, outgoing, server_hostname="unknown.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    body = outgoing.read()[5:]
    cut = b"".join(b"\x16\x03\x01" + len(body[i:i + 5]).to_bytes(2, "big") + body[i:i + 5]
                   for i in range(0, len(body), 5))
    with gate.raw() as raw:
        raw.sendall(cut)
        answer = raw.recv(100)
        assert answer[:1] == b"\x15" and answer[6] in (112, 10), answer  # unrecognized_name; or such records are refused


@pytest.fixture()
def lone():
    made = []

    def make(sites, *cas, **how):
        g = Gateway(sites, **how)
        g.ca = {n: CA(g.folder, n) for n in cas}
        made.append(g)
        return g
    yield make
    for g in made:
        g.close()


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_w04_a_session_made_under_other_trust_is_not_resumed(lone, version):
    g = lone(site("a.test", "require", "both"), "ca1", "ca2")
    both = g.folder / "both.pem"
    both.write_bytes(g.ca["ca1"].path.read_bytes() + g.ca["ca2"].path.read_bytes())
    c1, c2 = g.ca["ca1"].client("one"), g.ca["ca2"].client("two")
    g.start()
    contexts = [g.context(c, version) for c in (c1, c2)]
    sessions = [g.visit(c).session for c in contexts]
    assert all(g.visit(c, session=s).reused for c, s in zip(contexts, sessions))
    sessions = [g.visit(c).session for c in contexts]
    both.write_bytes(g.ca["ca2"].path.read_bytes())
    g.reload("reloaded")
    gone, kept = (g.visit(c, session=s) for c, s in zip(contexts, sessions))
    assert gone.status == 0 and not gone.reused, gone
    assert kept.status == 200 and not kept.reused, "resumed under other trust"


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_w05_a_session_ends_with_its_certificate(lone, version):
    import datetime as dt
    g = lone(site("a.test", "require", "ca1"), "ca1")
    c = g.ca["ca1"].client("brief", ends=dt.timedelta(seconds=6 * PATIENCE))
    g.start()
    context = g.context(c, version)
    session = g.visit(context).session
    assert g.visit(context, session=session).reused
    session = g.visit(context).session
    time.sleep(6 * PATIENCE + 2)
    v = g.visit(context, session=session)
    assert v.status == 0 and "EXPIRED" in v.alert, v


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_w06_tickets_die_with_the_process(lone, version):
    g = lone(site("a.test", "require", "ca1"), "ca1")
    context = g.context(g.ca["ca1"].client("one"), version)
    g.start()
    session = g.visit(context).session
    assert g.stop() == 0
    g.start()
    v = g.visit(context, session=session)
    assert v.status == 200 and not v.reused, v


def test_tls_1_3_only_refuses_1_2(lone):
    g = lone(site("a.test", "require", "ca1", "    min_tls: '1.3'\n") + site("b.test", "require", "ca1"), "ca1")
    c = g.ca["ca1"].client("one")
    g.start()
    assert g.visit(g.context(c, V13)).status == 200
    v = g.visit(g.context(c, V12))
    assert v.status == 0 and "PROTOCOL_VERSION" in v.alert, v
    assert g.visit(g.context(c, V12), "b.test").status == 200
