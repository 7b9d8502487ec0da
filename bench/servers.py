"""The servers that are measured: nginx, HAProxy, hitch and countersign, one worker each, before the same upstream."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

BENCH = pathlib.Path(__file__).resolve().parent
BULK = 16 * 1024 * 1024  # octets of /bulk
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
NEEDS = {"nginx": "nginx", "haproxy": "haproxy", "hitch": "hitch"}


def render(template, target, **values):
    text = (BENCH / template).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    target.write_text(text)
    return target


def wait_for_port(port, process, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"bench: {process.args[3]} ended with {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"bench: nothing listens on port {port}")


def tree(pid):
    """The process and its descendants."""
    found = [pid]
    for thread in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in thread.read_text().split():
            found += tree(int(child))
    return found


def named(pid, name):
    """The one descendant whose executable has that name."""
    for p in tree(pid):
        if name in os.path.basename(os.readlink(f"/proc/{p}/exe")):
            return p
    raise SystemExit(f"bench: no {name} among the processes of {pid}")


def pss_kib(pid):
    total = 0
    for p in tree(pid):
        for line in pathlib.Path(f"/proc/{p}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


class Servers:
    """Started one by one; `at` has, for each, its ports ("https", "tcp") and the process whose work counts."""

    def __init__(self, build, port):
        self.build, self.port = pathlib.Path(build).resolve(), port
        self.load = self.build / "bench" / "load"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="countersign-bench-"))
        self.dir.chmod(0o755)
        self.pki = self.dir / "pki"
        self.pki.mkdir()
        self.started, self.at = [], {}
        subprocess.run([self.load, "pki", self.pki], check=True)
        (self.pki / "server.pem").write_text((self.pki / "server.crt").read_text() + (self.pki / "server.key").read_text())
        (self.dir / "bulk").write_bytes(bytes(range(256)) * (BULK // 256))

    def spawn(self, core, *command):
        log = (self.dir / f"{os.path.basename(str(command[0]))}-{len(self.started)}.log").open("w")
        p = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdout=log, stderr=log,
                             stdin=subprocess.DEVNULL)
        self.started.append(p)
        return p

    def upstream(self):
        conf = render("upstream.conf.in", self.dir / "upstream.conf", DIR=self.dir, PORT=self.port)
        wait_for_port(self.port, self.spawn(1, "nginx", "-c", conf))

    def start(self, name, core="0", threads=1, limits="", crl=None):
        """Under `name`; the kind is its first word. crl: a file, of the clients' CAs (nginx, countersign).
        "countersign libssl": with libssl's record layer."""
        kind = name.split()[0]
        https = self.port + 10 * (len(self.at) + 1)
        ports = {"DIR": self.dir, "PKI": self.pki, "UPSTREAM": self.port, "PORT": https, "TCP": https + 1, "HTTP": https + 2,
                 "METRICS": https + 3, "THREADS": threads, "LIMITS": limits,
                 "RECORDS": "libssl" if "libssl" in name.split() else "own"}
        at = {"https": https, "tcp": https + 1}
        if kind == "nginx":
            stream = os.path.exists(STREAM_MODULE)
            text = render("nginx.conf.in", self.dir / "nginx.conf", STREAM_MODULE=f"load_module {STREAM_MODULE};" if stream else "",
                          **ports)
            begin, rest = text.read_text().split("@STREAM_BEGIN@")
            if crl:
                begin = begin.replace("ssl_verify_depth", f"ssl_crl {crl}; ssl_verify_depth")
            text.write_text(begin + (rest.replace("@STREAM_END@", "") if stream else ""))
            p = self.spawn(core, "nginx", "-c", text)
            if not stream:
                del at["tcp"]
        elif kind == "haproxy":
            p = self.spawn(core, "haproxy", "-db", "-f", render("haproxy.cfg.in", self.dir / "haproxy.cfg", **ports))
        elif kind == "hitch":
            p = self.spawn(core, "hitch", "--config", render("hitch.conf.in", self.dir / "hitch.conf", **ports))
            del at["https"]
        else:
            conf = render("countersign.yaml.in", self.dir / f"{https}.yaml", **ports)
            if crl:
                conf.write_text(conf.read_text().replace("    upstream:", f"    client_crl: {crl}\n    upstream:", 1))
            p = self.spawn(core, self.build / "countersign", "up", "--state", self.dir / f"state-{https}", "-c", conf)
        for port in at.values():
            wait_for_port(port, p, 120)
        self.at[name] = {**at, "root": p, "pid": named(p.pid, "gateway") if kind == "countersign" else p.pid}

    def stop(self, p):
        if p.poll() is None:
            p.terminate()
        try:
            p.wait(15)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()

    def stop_one(self, name):
        self.stop(self.at.pop(name)["root"])

    def stop_all(self, keep=False):
        for p in reversed(self.started):
            self.stop(p)
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
