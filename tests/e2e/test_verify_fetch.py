"""countersign verify --fetch: what the certificates of a verified path name is got, from where one may ask, and from nowhere else."""
import json
import os
import socket
import struct
import subprocess
import threading
from time import monotonic, sleep

import pytest
from chains import *  # noqa: F403 (a vocabulary)
from conftest import COMMAND, PATIENCE, die_with_parent, free_port, run, wait_for
from test_verify import AT
from test_verify_ocsp import ocsp, single

HERE = ["--fetch-from", "127.0.0.0/8"]


class Server:
    """Answers by path: bytes (200), (status, headers, bytes), or a function of the socket. Keeps what it was asked."""

    def __init__(self, paths=None, port=0, host="127.0.0.1"):
        self.paths, self.asked, self.connects = paths or {}, [], 0
        self.socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def accept(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.connects += 1
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        with c, c.makefile("rb") as f:
            line, length = f.readline().decode().split(), 0
            while (h := f.readline().strip().lower()):
                length = int(h[15:]) if h.startswith(b"content-length:") else length
            body = f.read(length)
            self.asked.append((line[0], line[1], body))
            answer = self.paths.get(line[1], (404, "", b"none"))
            try:
                if callable(answer):
                    return answer(c)
                status, headers, data = answer if isinstance(answer, tuple) else (200, "", answer)
                c.sendall(f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data)
            except OSError:
                pass

    def close(self):
        self.socket.close()


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


def cdp(*urls):
    return ext("2.5.29.31", seq(*[seq(der(0xA0, der(0xA0, uri(u)))) for u in urls]))


def freshest(*urls):
    return ext("2.5.29.46", seq(*[seq(der(0xA0, der(0xA0, uri(u)))) for u in urls]))


def aia(*urls):
    return ext("1.3.6.1.5.5.7.1.1", seq(*[seq(oid("1.3.6.1.5.5.7.48.1"), uri(u)) for u in urls]))


@pytest.fixture
def fetch(tmp_path):
    """fetch(leaf, root, chain, options...) -> the verdict as JSON; .stderr in "said"."""
    def do(leaf, trust, chain=(), *args, here=True):
        for n, c in (("leaf", [leaf]), ("trust", [trust]), ("chain", chain)):
            (tmp_path / f"{n}.pem").write_text("".join(x.pem for x in c))
        chain_args = ["--chain", tmp_path / "chain.pem"] if chain else []
        done = run(COMMAND, "verify", "--json", "--purpose", "server", "--at", AT, "--trust", tmp_path / "trust.pem", *chain_args, "--fetch",
                   *(HERE if here else []), *args, tmp_path / "leaf.pem", env={"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"})
        assert done.returncode in (0, 1), done.stderr
        return {**json.loads(done.stdout), "said": done.stderr}
    return do


def results(answer):
    return [f["result"] for f in answer["fetches"]]


def test_a_crl_is_fetched_and_counts(fetch, server):
    r = cert("Root", ca=True)
    leaf, gone = (cert(n, by=r, add=[cdp(server.url("/r.crl"))]) for n in ("leaf", "gone"))
    server.paths["/r.crl"] = crl(r, entry(gone.serial))
    good = fetch(leaf, r, (), "--revocation", "require")
    assert (good["reason"], good["revocation"], results(good)) == ("none", "good", ["ok"])
    assert good["fetches"][0]["octets"] == len(server.paths["/r.crl"])
    assert fetch(gone, r)["reason"] == "revoked"
    assert [a[:2] for a in server.asked] == [("GET", "/r.crl")] * 2


def test_each_certificate_of_the_path_is_asked_about_and_a_url_once(fetch, server):
    r = cert("Root", ca=True, add=[cdp(server.url("/never.crl"))])
    m = cert("Mid", by=r, ca=True, add=[cdp(server.url("/r.crl"), server.url("/r.crl"))])
    leaf = cert("leaf", by=m, add=[cdp(server.url("/m.crl")), freshest(server.url("/d.crl"))])
    server.paths |= {"/r.crl": crl(r), "/m.crl": crl(m, number=4), "/d.crl": crl(m, entry(leaf.serial), number=5, add=[delta_of(4)])}
    answer = fetch(leaf, r, [m])
    assert answer["reason"] == "revoked", "by the delta"
    assert sorted(a[1] for a in server.asked) == ["/d.crl", "/m.crl", "/r.crl"]


def test_ocsp_is_asked_by_post_and_the_answer_counts(fetch, server):
    r = cert("Root", ca=True)
    leaf = cert("leaf", by=r, add=[aia(server.url("/ocsp"))])
    for status, reason in (("good", "none"), ("revoked", "revoked"), ("unknown", "revocation-unknown")):
        server.paths["/ocsp"] = ocsp(r, single(leaf, r, status))
        assert fetch(leaf, r, (), "--revocation", "require")["reason"] == reason
    method, path, body = server.asked[0]
    assert (method, path) == ("POST", "/ocsp")
    assert cert_id(leaf, r) in body


def test_openssls_responder_understands_the_request(fetch, tmp_path):
    def o(*args):
        done = run("openssl", *args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    port = free_port()
    (tmp_path / "ext").write_text(f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/\nsubjectAltName=DNS:www.example.com\nbasicConstraints=CA:FALSE\n"
                                  "extendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
    o("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj",
      "/CN=CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    index = ""
    for serial, who, gone in ((1001, "good", ""), (1002, "gone", "240101000000Z,keyCompromise")):
        o("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "q", "-subj", "/CN=www.example.com")
        o("x509", "-req", "-in", "q", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", str(serial), "-days", "10", "-extfile", "ext", "-out", f"{who}.pem")
        index += f"{'R' if gone else 'V'}\t400101000000Z\t{gone}\t{serial:04X}\tunknown\t/CN=www.example.com\n"
    (tmp_path / "index").write_text(index)
    p = subprocess.Popen(["openssl", "ocsp", "-port", str(port), "-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-ndays", "1"],
                         cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=open(tmp_path / "log", "w"), preexec_fn=die_with_parent)
    try:
        wait_for(lambda: "waiting for OCSP" in (tmp_path / "log").read_text(), 10)  # one that only connects would hold it up
        for who, reason in (("good", "none"), ("gone", "revoked")):
            done = run(COMMAND, "verify", "--json", "--purpose", "server", "--trust", tmp_path / "ca.pem", "--fetch", *HERE, "--revocation", "require",
                       tmp_path / f"{who}.pem")
            answer = json.loads(done.stdout)
            assert (answer["reason"], results(answer)) == (reason, ["ok"]), done.stderr
    finally:
        p.terminate()
        p.wait()


# ---- W39: where nobody is asked ----

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"])
def test_w39_addresses_of_ones_own_network_are_not_asked(fetch, server, host):
    six = None
    if host == "[::1]":
        six = Server(port=server.port, host="::1")
    r = cert("Root", ca=True)
    leaf = cert("leaf", by=r, add=[cdp(server.url("/r.crl", host)), aia(server.url("/ocsp", host))])
    server.paths["/r.crl"] = crl(r)
    answer = fetch(leaf, r, here=False)
    assert set(results(answer)) == {"fetch-forbidden"}, answer["fetches"]
    assert answer["reason"] == "none" and answer["revocation"] in ("not-asked", "unknown")
    assert server.connects == 0 and (six is None or six.connects == 0)
    assert "fetch-forbidden" in answer["said"] and "address" in answer["said"]


def test_w39_an_untrusted_chain_is_asked_nothing_about(fetch, server):
    r, stranger = cert("Root", ca=True), cert("Stranger", ca=True)
    server.paths["/r.crl"] = crl(stranger)
    for bad in (cert("leaf", by=stranger, add=[cdp(server.url("/r.crl")), aia(server.url("/r.crl"))]),
                cert("leaf", by=r, break_signature=True, add=[cdp(server.url("/r.crl"))]),
                cert("leaf", by=r, until="20240101000000Z", add=[cdp(server.url("/r.crl"))])):
        answer = fetch(bad, r, [stranger])
        assert answer["result"] == "rejected" and answer["fetches"] == []
    assert server.connects == 0


@pytest.mark.parametrize("url", ["https://127.0.0.1:{p}/r.crl", "ldap://127.0.0.1:{p}/r.crl", "file:///etc/passwd", "http://user:secret@127.0.0.1:{p}/r.crl",
                                 "gopher://127.0.0.1:{p}/", "http:///r.crl", "ftp://127.0.0.1:{p}/", "HTTP//x", "http://127.0.0.1:99999/"])
def test_w39_other_schemes_and_credentials_are_not_asked(fetch, server, url):
    r = cert("Root", ca=True)
    server.paths["/r.crl"] = crl(r)
    answer = fetch(cert("leaf", by=r, add=[cdp(url.format(p=server.port))]), r)
    assert results(answer) == ["fetch-forbidden"] and server.connects == 0


def test_w39_a_redirect_is_not_followed(fetch, server):
    r = cert("Root", ca=True)
    server.paths |= {"/r.crl": crl(r), "/away": (302, f"Location: {server.url('/r.crl')}\r\n", b"")}
    answer = fetch(cert("leaf", by=r, add=[cdp(server.url("/away"))]), r)
    assert results(answer) == ["fetch-failed"] and "302" in answer["fetches"][0]["detail"]
    assert [a[1] for a in server.asked] == ["/away"]


# ---- what goes wrong on the way ----

def test_one_that_fails_is_said_and_the_others_count(fetch, server):
    r = cert("Root", ca=True)
    leaf = cert("leaf", by=r, add=[cdp(server.url("/missing"), server.url("/garbage"), server.url("/r.crl")), aia(server.url("/ocsp"))])
    server.paths |= {"/r.crl": crl(r), "/garbage": b"<html>", "/ocsp": b"x" * 70000}
    answer = fetch(leaf, r, (), "--revocation", "require")
    assert answer["reason"] == "none"
    assert sorted(results(answer)) == ["fetch-failed", "fetch-failed", "file-wrong-type", "ok"]
    assert "404" in answer["said"] and "more than 65536 octets" in answer["said"]
    assert fetch(cert("leaf", by=r, add=[cdp(server.url("/missing"))]), r, (), "--revocation", "require")["reason"] == "revocation-unknown"


def test_a_server_that_hangs_or_trickles_is_given_up_in_time(fetch, server):
    def hang(c):
        sleep(60)

    def trickle(c):
        c.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(600):
            c.sendall(b"x")
            sleep(0.1)
    r = cert("Root", ca=True)
    server.paths |= {"/hang": hang, "/trickle": trickle}
    began = monotonic()
    answer = fetch(cert("leaf", by=r, add=[cdp(server.url("/hang"), server.url("/trickle"))]), r)
    assert results(answer) == ["fetch-failed"] * 2
    assert 8 < monotonic() - began < 10 + 10 * PATIENCE, "both at once, ten seconds"


def test_nobody_there_and_cut_in_the_middle(fetch, server):
    def cut(c):
        c.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\nhalf")
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    r = cert("Root", ca=True)
    server.paths["/cut"] = cut
    answer = fetch(cert("leaf", by=r, add=[cdp(f"http://127.0.0.1:{free_port()}/r.crl", server.url("/cut"))]), r)
    assert results(answer) == ["fetch-failed"] * 2


def test_at_most_eight_urls_of_a_certificate_and_eight_at_once(fetch, server):
    most, now, lock = [0], [0], threading.Lock()

    def slow(c):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        sleep(0.3)
        with lock:
            now[0] -= 1
        c.sendall(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    r = cert("Root", ca=True)
    server.paths |= {f"/{k}{i}": slow for k in "abc" for i in range(20)}
    leaf = cert("leaf", by=r, add=[cdp(*[server.url(f"/a{i}") for i in range(20)]), freshest(*[server.url(f"/b{i}") for i in range(20)]),
                                   aia(*[server.url(f"/c{i}") for i in range(20)])])
    answer = fetch(leaf, r)
    assert len(answer["fetches"]) == 24 == len(server.asked)
    assert most[0] <= 8


@pytest.mark.parametrize("bad", ["10.0.0.0/33", "home", "10.0.0", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8"])
def test_a_network_that_is_none_is_usage(bad, tmp_path):
    done = run(COMMAND, "verify", "--purpose", "any", "--fetch", "--fetch-from", bad, os.devnull)
    assert done.returncode == 2 and "--fetch-from" in done.stderr
