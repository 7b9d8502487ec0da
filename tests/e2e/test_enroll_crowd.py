"""Many who ask the authority at once: all are served, one after the other."""
import os
import signal
import socket

import pytest
from conftest import wait_for

CROWD = 600  # more than the authority answers at one time, and than its socket holds


@pytest.fixture(scope="module")
def busy(request):
    """A system whose authority can be told to wait."""
    from conftest import System
    s = System().start()
    yield s
    s.close()


def paused(s, ask):
    """What ask() returns, called while the authority is stopped; it goes on after."""
    pid = s.pids()["authority"]
    os.kill(pid, signal.SIGSTOP)
    try:
        return ask()
    finally:
        os.kill(pid, signal.SIGCONT)


def answer(sock):
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def test_more_requests_than_the_authority_takes_wait_for_their_turn(busy):
    ask = b"GET /ca/issuing.crt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    def send():
        socks = [socket.create_connection(("127.0.0.1", busy.http), 60) for _ in range(CROWD)]
        [k.sendall(ask) for k in socks]
        wait_for(lambda: busy.metric("connections_open") >= CROWD, 20)
        return socks
    socks = paused(busy, send)
    got = [answer(k) for k in socks]
    assert {g.split(b"\r\n")[0] for g in got} == {b"HTTP/1.1 200 OK"} and len({g.partition(b"\r\n\r\n")[2] for g in got}) == 1


def test_who_gives_up_while_it_waits_leaves_its_place_to_others(busy):
    ask = b"POST /scep?operation=PKIOperation HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"

    def send():
        socks = [socket.create_connection(("127.0.0.1", busy.http), 60) for _ in range(CROWD)]
        [k.sendall(ask) for k in socks]
        wait_for(lambda: busy.metric("connections_open") >= CROWD, 20)
        for k in socks[:-1]:  # with a reset: nobody is there any more
            k.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            k.close()
        return socks[-1]
    status = answer(paused(busy, send)).split()[1]
    assert status in (b"400", b"429")  # the authority's word: no message, or by then too many of them from here
    wait_for(lambda: busy.metric("connections_open") <= 2, 20)


def test_streams_of_http2_wait_too(busy):
    h2 = pytest.importorskip("h2.connection")
    from h2.events import ResponseReceived, StreamEnded
    context = busy.context(False)
    context.set_alpn_protocols(["h2"])
    links = []

    def send():
        for _ in range(4):
            sock = context.wrap_socket(socket.create_connection(("127.0.0.1", busy.https), 60), server_hostname="localhost")
            c = h2.H2Connection()
            c.initiate_connection()
            for _ in range(90):
                c.send_headers(c.get_next_available_stream_id(), [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                                                                  (":path", "/.well-known/est/cacerts")], end_stream=True)
            sock.sendall(c.data_to_send())
            links.append((sock, c))
    paused(busy, send)
    for sock, c in links:
        said, ended = [], 0
        while ended < 90:
            for e in c.receive_data(sock.recv(65536)):
                if isinstance(e, ResponseReceived):
                    said.append(dict(e.headers)[b":status"])
                if isinstance(e, StreamEnded):
                    ended += 1
                if hasattr(e, "flow_controlled_length"):
                    c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            sock.sendall(c.data_to_send())
        assert said == [b"200"] * 90
        sock.close()
