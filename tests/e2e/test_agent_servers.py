"""Programs that we did not write read files that the agent renews again and again, under load, and lose no connection."""
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from agent_kit import Agent
from conftest import PATIENCE, SANITIZED, die_with_parent, free_port, wait_for
from postgres import Postgres
from test_enroll_est import token

RENEWALS = 4


class Load:
    """Connects over and over, verifies who answers and asks something; which certificates were seen, what failed."""

    def __init__(self, port, ca, name, talk):
        self.port, self.name, self.talk, self.ended = port, name, talk, False
        self.context = ssl.create_default_context(cafile=str(ca))
        self.seen, self.failed, self.done = set(), [], 0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def once(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10 * PATIENCE) as raw:
            if self.talk == b"postgres":
                raw.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
                assert raw.recv(1) == b"S"
            with self.context.wrap_socket(raw, server_hostname=self.name) as s:
                self.seen.add(s.getpeercert()["serialNumber"])
                if self.talk != b"postgres":
                    s.sendall(self.talk)
                    assert s.recv(4096)
        self.done += 1

    def run(self):
        while not self.ended:
            try:
                self.once()
            except (OSError, AssertionError) as e:
                self.failed.append(repr(e))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join(15 * PATIENCE)


GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
MQTT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"


def nginx(a, port):
    user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
    (a.work / "c").write_text(f"""{user} daemon off; error_log {a.work}/err; pid {a.work}/pid; events {{}}
http {{ access_log off; client_body_temp_path {a.work}/b; proxy_temp_path {a.work}/p; fastcgi_temp_path {a.work}/f;
 uwsgi_temp_path {a.work}/u; scgi_temp_path {a.work}/t;
 server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {a.crt}; ssl_certificate_key {a.key}; return 200 "ok"; }} }}""")
    return ["nginx", "-c", a.work / "c", "-p", a.work], "HUP", GET


def apache(a, port):
    m = "/usr/lib/apache2/modules"
    (a.work / "c").write_text(f"""{"User www-data" if os.geteuid() == 0 else ""}
ServerRoot {a.work}
ServerName {a.name}
Listen 127.0.0.1:{port}
PidFile {a.work}/pid
ErrorLog {a.work}/err
LoadModule mpm_event_module {m}/mod_mpm_event.so
LoadModule authz_core_module {m}/mod_authz_core.so
LoadModule alias_module {m}/mod_alias.so
LoadModule ssl_module {m}/mod_ssl.so
RedirectMatch 204 .
SSLEngine on
SSLCertificateFile {a.crt}
SSLCertificateKeyFile {a.key}
""")
    return ["/usr/sbin/apache2", "-f", a.work / "c", "-DFOREGROUND"], "USR1", GET


def haproxy(a, port):
    (a.work / "c").write_text(f"""global
 stats socket {a.work}/s mode 600 expose-fd listeners level admin
 log 127.0.0.1:9 local0 emerg
defaults
 mode http
 timeout client 10s
 timeout connect 5s
 timeout server 10s
frontend f
 bind 127.0.0.1:{port} ssl crt {a.out}/all.pem
 http-request return status 200
""")
    return ["haproxy", "-W", "-f", a.work / "c", "-p", a.work / "pid"], "USR2", GET


def mosquitto(a, port):
    (a.work / "c").write_text(f"""listener {port} 127.0.0.1
cafile {a.ca}
certfile {a.crt}
keyfile {a.key}
allow_anonymous true
pid_file {a.work}/pid
{"user root" if os.geteuid() == 0 else ""}
""")
    return ["mosquitto", "-c", a.work / "c"], "HUP", MQTT


@pytest.mark.parametrize("server", [nginx, apache, haproxy, mosquitto])
def test_no_connection_fails_while_files_are_renewed(up, work, server):
    if SANITIZED:
        pytest.skip("a foreign server reading files that were compared elsewhere: nothing new under a sanitizer")
    port, name = free_port(), f"{server.__name__}-{os.getpid()}.example"
    a = Agent(up, work, name, kind="server", url=up.url("/.well-known/cmp"))
    (work / "token").write_text(token(up, name, "server"))
    a.identity["files"].append({"path": "out/all.pem", "content": "combined"})
    a.write()
    argv, reload_signal, talk = server(a, port)
    a.once()
    with open(work / "log", "ab") as log:
        proc = subprocess.Popen([str(w) for w in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                preexec_fn=die_with_parent)
    try:
        load = Load(port, a.ca, name, talk)

        def answers():
            assert proc.poll() is None, (work / "log").read_text()
            try:
                load.once()
                return True
            except OSError:
                return False
        wait_for(answers, 20, say="the server did not come")
        a.identity |= {"pid_file": "pid", "signal": reload_signal, "prove_served": f"127.0.0.1:{port}", "prove_name": name}
        a.write()
        with load:
            for _ in range(RENEWALS):
                done = a.once("--force", check=None)
                assert done.returncode == 0, done.stdout + done.stderr + (work / "log").read_text()
                a.pair()
        assert load.failed == [] and load.done > RENEWALS, load.failed
        assert len(load.seen) >= RENEWALS, load.seen
    finally:
        proc.terminate()
        proc.wait(20 * PATIENCE)


def test_postgresql(up, work):
    if SANITIZED:
        pytest.skip("a foreign server reading files that were compared elsewhere: nothing new under a sanitizer")
    pg, name = Postgres(), f"pg-{os.getpid()}.example"
    try:
        owner = {"owner": "nobody"} if os.geteuid() == 0 else {}
        a = Agent(up, work, name, kind="server", url=up.url("/.well-known/cmp"))
        (work / "token").write_text(token(up, name, "server"))
        a.identity["files"] = [{"path": f"{pg.folder}/db/server.key", "content": "key", **owner},
                               {"path": f"{pg.folder}/db/server.crt", "content": "fullchain", **owner},
                               {"path": "out/ca.pem", "content": "ca"}]
        a.write()
        a.once()
        with open(pg.folder / "db" / "postgresql.conf", "a") as conf:
            conf.write("ssl = on\n")
        pg.start()
        a.identity |= {"pid_file": "pid", "signal": "HUP"}
        (work / "pid").write_text(f"{pg.process.pid}\n")
        a.write()
        load = Load(pg.port, a.ca, name, b"postgres")
        with load:
            for i in range(RENEWALS):
                done = a.once("--force", check=None)
                assert done.returncode == 0, done.stdout + done.stderr
                wait_for(lambda: len(load.seen) > i, 20, say="the new certificate is not served")
        assert load.failed == [] and len(load.seen) >= RENEWALS, (load.failed, load.seen)
        assert (pg.folder / "db/server.key").stat().st_mode & 0o777 == 0o600
    finally:
        pg.close()
        shutil.rmtree(pg.folder, ignore_errors=True)
