"""A PostgreSQL of the test's own, from Debian's package; as the user nobody where we are root, which it refuses to be."""
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from conftest import die_with_parent, free_port, run, wait_for

BIN = Path("/usr/lib/postgresql/15/bin")


class Postgres:
    def __init__(self):
        self.folder, self.port, self.process = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp")), free_port(), None
        self.how = dict(cwd=self.folder, stdin=subprocess.DEVNULL)
        if os.getuid() == 0:
            who = pwd.getpwnam("nobody")
            os.chown(self.folder, who.pw_uid, who.pw_gid)
            self.how |= dict(user=who.pw_uid, group=who.pw_gid, extra_groups=[])
        self.folder.chmod(0o755)
        (self.folder / "password").write_text("as-secret-as-any")
        (self.folder / "password").chmod(0o644)
        subprocess.run([BIN / "initdb", "-D", self.folder / "db", "-U", "app", "-A", "scram-sha-256", "--no-sync",
                        "--encoding=UTF8", "--locale=C", f"--pwfile={self.folder / 'password'}"],
                       check=True, stdout=subprocess.DEVNULL, **self.how)
        self.passfile = self.folder / "pass"
        self.passfile.write_text("*:*:*:app:as-secret-as-any\n")
        self.passfile.chmod(0o600)

    def url(self, database="postgres"):
        return f"postgresql://app@127.0.0.1:{self.port}/{database}?passfile={self.passfile}"

    def socket_url(self, database="postgres"):
        return f"postgresql:///{database}?host={self.folder}&port={self.port}&user=app&passfile={self.passfile}"

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "postgres", "-D", self.folder / "db", "-k", self.folder, "-p", str(self.port), "-c",
                 "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB"], stdout=log, stderr=log,
                preexec_fn=None if os.getuid() == 0 else die_with_parent, **self.how)
        wait_for(lambda: self.sql("SELECT 1", may_fail=True) == "1", 30, 0.05)
        return self

    def end(self, how=signal.SIGINT):
        """SIGINT: at once, tidily; SIGQUIT: as a crash, to be recovered from."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def sql(self, text, database="postgres", may_fail=False):
        done = run("psql", "-XAtq", "-d", self.url(database), "-c", text, check=None if may_fail else 0)
        return done.stdout.strip()

    def close(self):
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)
