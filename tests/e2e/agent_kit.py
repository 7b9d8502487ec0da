"""An agent of the test's own: its configuration, its runs, and what must always hold of its files."""
import json
import os
import signal
import subprocess

from conftest import COMMAND, LIBEXEC, PATIENCE, die_with_parent, run, wait_for
from test_enroll_est import token

AGENT = LIBEXEC / "countersign-agent"


class Agent:
    def __init__(self, up, work, name, secret=None, **more):
        self.up, self.work, self.name = up, work, name
        self.out, self.config, self.state = work / "out", work / "agent.yaml", work / "state"
        self.key, self.crt, self.ca = self.out / "key.pem", self.out / "crt.pem", self.out / "ca.pem"
        self.log = work / "agent.log"
        self.proc = None
        self.out.mkdir(exist_ok=True)
        (work / "token").write_text(secret or token(up, name))
        (work / "token").chmod(0o600)
        self.identity = {
            "name": name, "url": up.url("/.well-known/est"), "ca": str(up.ca), "token_file": "token", "retry": "1s",
            "files": [{"path": "out/key.pem", "content": "key"},
                      {"path": "out/crt.pem", "content": "fullchain"},
                      {"path": "out/ca.pem", "content": "ca"}], **more}
        self.write()

    def write(self, **top):
        config = {"state": "state", "metrics": "agent.prom", "identities": [self.identity], **top}
        self.config.write_text(json.dumps(config, indent=1))  # which is YAML

    def call(self, *words, check=None, env=None, program=COMMAND):
        first = ["agent"] if program == COMMAND else []
        return run(program, *first, *words, "-c", self.config, check=check, env=env)

    def once(self, *more, check=0, env=None):
        return self.call("once", *more, check=check, env=env)

    def status(self, check=None):
        return json.loads(self.call("status", "--json", check=check).stdout)[0]

    def serial(self, path=None):
        return run("openssl", "x509", "-noout", "-serial", "-in", path or self.crt, check=0).stdout.strip()

    def pair(self):
        """The serial in use, after a look at whether key and certificate are each other's and the key is private."""
        public = run("openssl", "pkey", "-in", self.key, "-pubout", check=0).stdout
        assert run("openssl", "x509", "-in", self.crt, "-noout", "-pubkey", check=0).stdout == public
        assert self.key.stat().st_mode & 0o7777 == 0o600
        run("openssl", "verify", "-CAfile", self.ca, "-untrusted", self.crt, self.crt, check=0)
        return self.serial()

    def start(self, env=None):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen([COMMAND, "agent", "-c", self.config], stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, env={**os.environ, **(env or {})}, preexec_fn=die_with_parent)
        return self

    def said(self, word, times=1):
        wait_for(lambda: self.log.exists() and self.log.read_text(errors="replace").count(word) >= times, 20,
                 say=f"the agent did not say {word}")

    def stop(self, expect=0):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            assert self.proc.wait(20 * PATIENCE) == expect, self.log.read_text()
        self.proc = None
