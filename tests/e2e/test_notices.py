"""Notices of certificates that end soon: by webhook, by SMTP, by the sendmail interface, and from a running `up`."""
import asyncore
import email
import http.server
import json
import smtpd
import threading

import pytest
from conftest import PASSPHRASE, countersign, free_port, wait_for


class Hook:
    """A web server that keeps what it was told; answers `status`."""

    def __init__(self):
        hook, self.told, self.status = self, [], 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.told.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/pki"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def names(self):
        return [[c["name"] for c in body["certificates"]] for _, _, body in self.told]


@pytest.fixture
def hook():
    h = Hook()
    yield h
    h.server.shutdown()
    h.server.server_close()


@pytest.fixture
def state(work):
    (work / "pw").write_text(PASSPHRASE)
    (work / "pw").chmod(0o600)
    countersign("init", "corp.example", "--state", work / "s", "--passphrase-file", work / "pw", check=0)
    (work / "f.csv").write_text("kind,name,lifetime\ndevice,far,300d\ndevice,near,20d\ndevice,nearer,5d\n")
    countersign("issue", "--from", work / "f.csv", "--out", work / "out", "--state", work / "s", check=0)
    return work / "s"


def configure(state, **notices):
    lines = "".join(f"  {k}: {json.dumps(v)}\n" for k, v in notices.items())
    (state / "countersign.yaml").write_text("notices:\n" + lines)


def notify(state, *args, check=0):
    return countersign("notify", "--state", state, *args, check=check)


def test_each_term_is_told_once(state, work, hook):
    (work / "token").write_text("s3cret\n")
    (work / "token").chmod(0o600)
    configure(state, before=["7d", "30d"], webhook=hook.url, webhook_token=str(work / "token"))
    assert "Would tell of 2" in notify(state, "--dry-run").stdout and hook.told == []
    assert "Told of 2" in notify(state).stdout
    assert hook.names() == [["nearer", "near"]]
    path, headers, body = hook.told[0]
    assert path == "/pki" and headers["Authorization"] == "Bearer s3cret" and body["event"] == "certificates-end-soon"
    assert "Told of 0" in notify(state).stdout and len(hook.told) == 1
    configure(state, before=["7d", "30d", "25d"], webhook=hook.url)
    notify(state)
    assert hook.names()[1:] == [["near"]], "a shorter term has begun"


def test_who_was_renewed_is_not_told_of(state, work, hook):
    configure(state, before=["30d"], webhook=hook.url)
    countersign("issue", "device", "near", "--out", work / "new", "--state", state, check=0)
    notify(state)
    assert hook.names() == [["nearer"]]


def test_what_was_not_taken_is_told_again(state, hook):
    configure(state, before=["30d"], webhook=hook.url)
    hook.status = 500
    failed = notify(state, check=1)
    assert "notice-failed" in failed.stderr and "answered 500" in failed.stderr
    hook.status = 204
    notify(state)
    assert hook.names() == [["nearer", "near"]] * 2
    notify(state)
    assert len(hook.told) == 2


def test_one_way_that_fails_does_not_keep_the_other(state, hook):
    configure(state, before=["30d"], webhook=hook.url, mail_to=["ops@corp.example"], mail_from="pki@corp.example",
              smtp=f"smtp://127.0.0.1:{free_port()}")
    assert "notice-failed" in notify(state, check=1).stderr
    assert hook.names() == [["nearer", "near"]]
    notify(state, check=1)
    assert len(hook.told) == 1


def test_mail_over_smtp(state):
    taken = []

    class Server(smtpd.SMTPServer):
        def process_message(self, peer, mailfrom, rcpttos, data, **how):
            taken.append((mailfrom, rcpttos, data))

    server = Server(("127.0.0.1", 0), None)
    port = server.socket.getsockname()[1]
    configure(state, before=["30d"], mail_to=["ops@corp.example", "ann@corp.example"], mail_from="pki@corp.example",
              smtp=f"smtp://127.0.0.1:{port}")
    thread = threading.Thread(target=lambda: asyncore.loop(timeout=0.05), daemon=True)
    thread.start()
    notify(state)
    server.close()
    (sender, to, data), = taken
    assert sender == "pki@corp.example" and to == ["ops@corp.example", "ann@corp.example"]
    message = email.message_from_bytes(data)
    assert message["Subject"] == "2 certificates end soon" and message["Auto-Submitted"] == "auto-generated"
    text = message.get_payload()
    assert text.index("device nearer ends on") < text.index("device near ends on") and "far" not in text


def test_mail_by_the_sendmail_interface(state, work):
    program = work / "sendmail"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {work}/args\ncat > {work}/mail\n')
    program.chmod(0o755)
    configure(state, before=["6d"], mail_to=["ops@corp.example"], mail_from="pki@corp.example", sendmail=str(program))
    notify(state)
    assert (work / "args").read_text().split() == ["-i", "-f", "pki@corp.example", "--", "ops@corp.example"]
    message = email.message_from_string((work / "mail").read_text())
    assert message["To"] == "ops@corp.example" and "device nearer" in message.get_payload()
    program.write_text("#!/bin/sh\nexit 75\n")
    (state / "notices.json").unlink()
    assert "ended with 75" in notify(state, check=1).stderr


def test_a_running_up_tells_by_itself(system, hook):
    s = system()
    s.start()
    s.run("issue", "device", "soon", "--lifetime", "2d", "--out", s.state.parent / "o", check=0)
    s.stop()
    configure(s.state, before=["3d"], webhook=hook.url)
    s.start()
    wait_for(lambda: hook.told, 10)
    assert hook.names() == [["soon"]]
    wait_for(lambda: s.events("notices-told"), 5)


@pytest.mark.parametrize("notices, says", [
    ({"before": ["30d"]}, "nobody is to be told"),
    ({"webhook": "https://h.example/x"}, "before is missing"),
    ({"before": ["30d"], "webhook": "http://h.example/x"}, "http:// of this machine"),
    ({"before": ["soon"], "webhook": "https://h.example/"}, "a duration"),
    ({"before": ["1d"], "mail_to": ["a@b.example\r\nBcc: c@d.example"], "mail_from": "x@y.example"}, "an address"),
    ({"before": ["1d"], "mail_to": ["-oQ/tmp@b.example"], "mail_from": "x@y.example"}, "an address"),
    ({"before": ["1d"], "mail_to": ["a@b.example"]}, "mail_from is missing"),
])
def test_what_cannot_be_is_refused(state, notices, says):
    configure(state, **notices)
    done = notify(state, check=2)
    assert "config-invalid" in done.stderr and says in done.stderr, done.stderr
