"""What stands behind a body: passed on to Node and back where it is asked for, in HTTP/1.1 and HTTP/2; never what somebody would have had
to know before, nor what only the gateway may say (W58, W59)."""
import json
import subprocess
import textwrap

import h2.connection
import h2.events
import pytest
from conftest import die_with_parent, free_port, wait_for
from gateway import CA, Gateway
from test_gateway_sites import site

NODE = textwrap.dedent("""
    require('http').createServer((q, r) => {
      q.resume();
      q.on('end', () => {
        r.writeHead(200, {'Trailer': 'X-Sum'});
        r.write(JSON.stringify({trailers: q.rawTrailers, te: q.headers.te || null, connection: q.headers.connection || null}));
        r.addTrailers([['X-Sum', 'abc'], ['Set-Cookie', 'a=b'], ['Content-Type', 'text/evil'], ['X-Later', ' yes'], ['X_Odd', '1'],
                       ['X-Countersign-Identity', 'admin']]);
        r.end();
      });
    }).listen(+process.argv[1], '127.0.0.1');
""")
SENT = (b"Server-Timing: db;dur=5\r\nX-Sum:abc  \r\nX-Countersign-Identity: admin\r\nx_countersign_identity: admin\r\nClient-Cert: :AAAA:\r\n"
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: evil\r\nAuthorization: Basic x\r\nSSL-Client-Verify: SUCCESS\r\nX-Forwarded-For: ::1\r\n"
        b"Content-Type: text/evil\r\nConnection: close\r\n")
PASSED = ["Server-Timing", "db;dur=5", "X-Sum", "abc"]


@pytest.fixture(scope="module")
def gate():
    port = free_port()
    node = subprocess.Popen(["node", "-e", NODE, str(port)], preexec_fn=die_with_parent)
    g = Gateway(site("a.test", "require", "ca1", f"    upstream: http://127.0.0.1:{port}\n"))
    g.client = CA(g.folder, "ca1").client("good")
    g.start()
    wait_for(lambda: g.visit(g.context(g.client)).status == 200, 10)
    yield g
    g.close()
    node.terminate()
    node.wait()


def ask(g, lines=b"", trailers=SENT):
    with g.connect(g.context(g.client)) as s:
        s.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" + lines + b"\r\n5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
        data = b""
        while more := s.recv(65536):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), data
    text = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return json.loads(text), body
        text, body = text + body[:n], body[n + 2:]


def test_of_a_request(gate):
    told, _ = ask(gate)
    assert told["trailers"] == PASSED, told
    told, _ = ask(gate, trailers=b"")
    assert told["trailers"] == []


def test_of_an_answer_for_who_asks(gate):
    told, trailers = ask(gate, b"TE: trailers\r\nConnection: TE\r\n")
    assert told["te"] == "trailers" and "te" in told["connection"].lower()
    assert trailers == b"X-Sum: abc\r\nX-Later: yes\r\n\r\n", trailers
    told, trailers = ask(gate)
    assert told["te"] is None and trailers == b"\r\n"
    told, trailers = ask(gate, b"TE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n")
    assert told["te"] == "trailers" and b"X-Sum" in trailers


def test_one_request_s_are_not_the_next_one_s(gate):
    with gate.connect(gate.context(gate.client)) as s:
        got = b""
        for trailers in (b"X-Sum: 1\r\n", b"", b"X-Sum: 3\r\n"):
            s.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + trailers + b"\r\n")
            before = got.count(b"\r\n0\r\n")
            while got.count(b"\r\n0\r\n") == before:
                got += s.recv(65536)
    assert [b'"trailers":["X-Sum","1"]' in got, b'"trailers":[]' in got, b'"trailers":["X-Sum","3"]' in got] == [True] * 3, got


def test_http2_to_node_and_back(gate):
    context = gate.context(gate.client)
    context.set_alpn_protocols(["h2"])
    with gate.connect(context) as s:
        c = h2.connection.H2Connection()
        c.initiate_connection()
        c.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/"), ("te", "trailers")])
        c.send_data(1, b"hello")
        c.send_headers(1, [("x-sum", "abc"), ("authorization", "Basic x"), ("x-countersign-identity", "admin"), ("content-type", "text/evil")], end_stream=True)
        s.sendall(c.data_to_send())
        body, trailers, over = b"", [], False
        while not over:
            for e in c.receive_data(s.recv(65536)):
                if isinstance(e, h2.events.DataReceived):
                    body += e.data
                elif isinstance(e, h2.events.TrailersReceived):
                    trailers = [tuple(x.decode() if isinstance(x, bytes) else x for x in f) for f in e.headers]
                over = over or isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated))
    told = json.loads(body)
    assert told["trailers"] == ["x-sum", "abc"] and told["te"] == "trailers"
    assert trailers == [("x-sum", "abc"), ("x-later", "yes")]
