"""Causes that need a server of the test's own: a clock that differs, a file that is newer than what is served, a CA that is
trusted but not listed."""
import json
import socket
import ssl
import threading

import pytest
from conftest import countersign, free_port
from world import HERE, World, c


@pytest.fixture(scope="module")
def world():
    w = World()
    f, d = w.files, w.folder
    f.write("good-leaf.crt", f.leaf("good").pem)
    served = f.put("renewed", f.leaf("renewed", names=HERE, usages=[c.SERVER]), f.int)
    w.nginx({"unlisted": f"ssl_client_certificate {d}/root.pem; ssl_trusted_certificate {d}/int.pem; ssl_verify_client on; ssl_verify_depth 3;",
             "elsewhere": f"ssl_client_certificate {d}/other.pem; ssl_trusted_certificate {d}/both.pem; ssl_verify_client on; ssl_verify_depth 3;",
             "renewed": f"ssl_certificate {d}/renewed.crt; ssl_certificate_key {d}/renewed.key;"})
    f.put("renewed", f.leaf("renewed", k=served.key, names=HERE, usages=[c.SERVER]), f.int)  # and nobody reloads
    yield w
    w.close()


def first(w, target, *more, cert="good"):
    args = ["--cert", w.folder / f"{cert}.crt", "--key", w.folder / f"{cert.removesuffix('-leaf')}.key"] if cert else []
    done = countersign("doctor", target, "--json", "--ca", w.folder / "root.pem", *args, *more)
    return json.loads(done.stdout)["findings"][0]["id"]


def test_what_curl_sends_and_go_does_not(world):
    assert first(world, f"localhost:{world.p('unlisted')}", cert="good-leaf") == "F02"
    assert first(world, f"localhost:{world.p('elsewhere')}") == "F66"


def test_a_file_that_is_newer_than_what_is_served(world):
    assert first(world, f"localhost:{world.p('renewed')}", "--server-config", world.servers["nginx"].config, cert=None) == "F35"


def dated(w, date):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(w.folder / "server.crt", w.folder / "server.key")
    listener = socket.create_server(("127.0.0.1", free_port()))

    def serve():
        while True:
            try:
                with context.wrap_socket(listener.accept()[0], server_side=True) as s:
                    s.recv(4096)
                    s.sendall(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())
            except ssl.SSLError:
                pass
            except OSError:
                if listener.fileno() < 0:
                    return
    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.parametrize("found,date", [("F48", "Sun, 01 Jan 2096 00:00:00 GMT"), ("F51", "Sat, 01 Jan 2000 00:00:00 GMT")])
def test_clocks_that_differ(world, found, date):
    listener = dated(world, date)
    assert first(world, f"localhost:{listener.getsockname()[1]}", cert=None) == found
    listener.close()
