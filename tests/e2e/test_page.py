"""The built-in page shows what it was told, and nothing that was told makes it do more."""
import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess

import pytest
from conftest import LIBEXEC, PATIENCE


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10 * PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


@pytest.fixture
def page(work):
    """The program alone, on a socket of ours; yields a function that asks it."""
    path = work / "page.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)
    listener.setblocking(False)
    heard, notify = os.pipe()
    proc = subprocess.Popen([LIBEXEC / "countersign-page", "--listen", str(listener.fileno()), "--notify", str(notify)],
                            pass_fds=(listener.fileno(), notify))
    os.close(notify)
    assert os.read(heard, 16) == b"ready\n"

    def ask(target="/", method="GET", **fields):
        c = Connection(path)
        c.request(method, target, headers={k.replace("_", "-"): v for k, v in fields.items()})
        answer = c.getresponse()
        answer.text = answer.read().decode()
        c.close()
        return answer
    yield ask
    proc.send_signal(signal.SIGTERM)
    assert proc.wait(10 * PATIENCE) == 0
    os.close(heard)


def test_the_policy_allows_its_own_style_only(page):
    answer = page()
    style = re.search("<style>(.*?)</style>", answer.text, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert f"'sha256-{digest}'" in policy and "default-src 'none'" in policy and "unsafe" not in policy


def test_an_identity_is_shown_as_text(page):
    answer = page("/<b>", X_Countersign_Identity='<script>alert("1")</script>&\'')
    assert "<script>" not in answer.text and "<b>" not in answer.text
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;" in answer.text


def test_only_what_the_gateway_sets_is_shown(page):
    told = json.loads(page("/?format=json", X_Countersign_Identity="ann", Authorization="secret", Cookie="c=1",
                           Client_Cert=":MII=:").text)
    assert told["identity"] == "ann"
    assert {h["name"] for h in told["headers"]} == {"X-Countersign-Identity", "Client-Cert"}


def test_json_by_accept(page):
    answer = page(Accept="application/json")
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.text)["identity"] is None


def test_a_body_is_read_and_a_head_has_none(page):
    assert page("/", "POST").status == 200
    answer = page("/", "HEAD")
    assert answer.status == 200 and answer.text == ""


def test_nobody_is_greeted_as_nobody(page):
    assert "nobody" in page().text
