"""countersign config: each server of Debian's started with what it prints. Who holds a certificate comes in; who has none, one of
another CA, or one that has ended does not; a revoked one is refused, and the server's new certificate shown, after the refreshing
command and its reload, without a restart."""
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mint
import pytest
from conftest import SANITIZED, System, countersign, die_with_parent, free_port, run, wait_for

pytestmark = pytest.mark.skipif(SANITIZED, reason="what foreign servers make of a text is the same in every build")


class Echo(BaseHTTPRequestHandler):
    """Says which headers came."""

    def do_GET(self):
        body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Fleet:
    """An authority, an upstream, and everybody who may knock."""

    def __init__(self):
        self.system = System().start()
        self.top = self.system.state.parent
        self.echo = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=self.echo.serve_forever, daemon=True).start()
        self.upstream = f"127.0.0.1:{self.echo.server_address[1]}"
        self.good = self.system.issue("device", "good")
        ours = mint.ours(self.system.state)
        self.expired = mint.leaf(self.top, ours, "expired", begins=-2 * mint.DAY, ends=-mint.DAY)
        self.foreign = mint.leaf(self.top, mint.foreign_ca(), "foreign")
        self.procs = []

    def config(self, recipe, *more, name="localhost", check=0):
        out = self.top / f"{recipe}-{len(self.procs)}"
        done = self.system.run("config", recipe, name, "--issue", "--out", out, *more, check=check)
        out.chmod(0o755)
        return out, done

    def spawn(self, port, *command, log, **how):
        p = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=open(log, "ab"), stderr=subprocess.STDOUT,
                             preexec_fn=die_with_parent, **how)
        self.procs.append(p)

        def answers():
            assert p.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_for(answers, 20, say=f"it does not listen: {log.read_text()}")
        return p

    def revoke(self, name):
        """And its list is published."""
        old = self.system.crl()
        self.system.revoke(name)
        wait_for(lambda: self.system.crl() != old, 10)

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                p.terminate()
                p.wait(20)
        self.echo.shutdown()
        self.echo.server_close()
        self.system.close()


@pytest.fixture(scope="module")
def fleet():
    f = Fleet()
    f.top.chmod(0o755)
    yield f
    f.close()


def curl(fleet, port, crt=None, key=None, *more):
    """(status, body); status 0 when TLS came to nothing."""
    who = ["--cert", crt, "--key", key] if crt else []
    done = run("curl", "-s", "--max-time", 10, "--cacert", fleet.system.ca, "--resolve", f"localhost:{port}:127.0.0.1", *who, *more,
               "-w", "\n%{http_code}", f"https://localhost:{port}/")
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


def served_serial(fleet, port):
    c = ssl.create_default_context(cafile=str(fleet.system.ca))
    c.load_cert_chain(str(fleet.good.crt), str(fleet.good.key))
    with c.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost") as s:
        return s.getpeercert()["serialNumber"]


def nginx(fleet, port):
    out, _ = fleet.config("nginx", "--set", f"port={port}", "--set", f"upstream=http://{fleet.upstream}", "--set", f"log={fleet.top}/ngx.log")
    main = out / "main.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    main.write_text(f"{user} daemon off; pid {out}/pid; error_log stderr; events {{}} http {{ access_log off; "
                    + "".join(f"{w}_temp_path {out}/{w}; " for w in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                    + f"include {out}/localhost.conf; }}")
    fleet.spawn(port, "nginx", "-c", main, "-p", out, log=out / "log")
    return out, f"nginx -c {main} -p {out} -s reload"


def apache(fleet, port):
    out, _ = fleet.config("apache", "--set", f"port={port}", "--set", f"upstream=http://{fleet.upstream}", "--set", f"log={out_log(fleet)}")
    modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl", "headers", "proxy", "proxy_http"]
    main = out / "main.conf"
    main.write_text(f"ServerRoot {out}\nServerName localhost\nPidFile {out}/pid\nErrorLog {out}/err\n"
                    + ("User www-data\nGroup www-data\n" if os.geteuid() == 0 else "")
                    + "".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n" for m in modules)
                    + f"Include {out}/localhost.conf\n")
    fleet.spawn(port, "/usr/sbin/apache2", "-f", main, "-DFOREGROUND", log=out / "log")
    return out, f"/usr/sbin/apache2 -f {main} -k graceful"


def out_log(fleet):
    return fleet.top / "apache.error.log"


def haproxy(fleet, port):
    out, _ = fleet.config("haproxy", "--set", f"port={port}", "--set", f"upstream={fleet.upstream}")
    p = fleet.spawn(port, "haproxy", "-W", "-f", out / "localhost.cfg", log=out / "log")
    return out, f"kill -USR2 {p.pid}"


def stunnel(fleet, port):
    out, _ = fleet.config("stunnel", "--set", f"port={port}", "--set", f"upstream={fleet.upstream}")
    p = fleet.spawn(port, "stunnel4", out / "localhost.conf", log=out / "log")
    return out, f"kill -HUP {p.pid}"


def refresh(fleet, out, reload):
    """What the timer's service runs, as it stands there, but for the path of the program and of the reload."""
    unit = (out / "countersign-crl-localhost.service").read_text()
    line = next(x for x in unit.splitlines() if x.startswith("ExecStart=")).removeprefix("ExecStart=countersign ")
    words = line[:line.index(" --then")].split()
    done = countersign(*words, "--then", reload, check=0)
    assert "new" in done.stdout


@pytest.mark.parametrize("server", [nginx, apache, haproxy, stunnel])
def test_a_server_with_what_is_printed(fleet, server):
    port = free_port()
    out, reload = server(fleet, port)
    bad = fleet.system.issue("device", f"bad-{server.__name__}")
    status, body = curl(fleet, port, fleet.good.crt, fleet.good.key, "-H", "X-Client-Subject: CN=admin", "-H", "X-Forwarded-Client-Cert: x",
                        "-H", "Client-Cert: :AAAA:")
    assert status == 200, (out / "log").read_text()
    headers = json.loads(body)
    if server is not stunnel:  # which passes octets
        assert "good" in headers["x-client-subject"] and "admin" not in headers["x-client-subject"]
        assert "x-forwarded-client-cert" not in headers and "client-cert" not in headers
    assert curl(fleet, port, bad.crt, bad.key)[0] == 200
    for crt, key in ((None, None), fleet.expired, fleet.foreign):
        assert curl(fleet, port, crt, key)[0] in (0, 401, 403), crt
    if server is nginx:
        assert curl(fleet, port)[1].startswith("A client certificate is needed")
        assert "certificate has expired" in curl(fleet, port, *fleet.expired)[1]

    before = served_serial(fleet, port)
    fleet.revoke(bad.name)
    fleet.system.issue("server", "localhost", "--force", out=out)
    refresh(fleet, out, reload)
    wait_for(lambda: curl(fleet, port, bad.crt, bad.key)[0] in (0, 403), 20, say="the revoked one comes in")
    assert curl(fleet, port, fleet.good.crt, fleet.good.key)[0] == 200
    wait_for(lambda: served_serial(fleet, port) != before, 20, say="the old certificate is shown")


def test_caddy_says_what_it_lacks(fleet):
    port = free_port()
    out, _ = fleet.config("caddy", "--set", f"port={port}", "--set", f"upstream={fleet.upstream}")
    fleet.spawn(port, "caddy", "run", "--config", out / "Caddyfile", "--adapter", "caddyfile", log=out / "log",
                env={**os.environ, "HOME": str(out), "XDG_DATA_HOME": str(out), "XDG_CONFIG_HOME": str(out)})
    status, body = curl(fleet, port, fleet.good.crt, fleet.good.key, "-H", "X-Client-Subject: CN=admin", "-H", "Client-Cert: :AAAA:")
    assert status == 200 and "good" in json.loads(body)["x-client-subject"] and "client-cert" not in json.loads(body)
    for crt, key in ((None, None), fleet.expired, fleet.foreign):
        assert curl(fleet, port, crt, key)[0] == 0
    assert "reads no CRL" in (out / "Caddyfile").read_text() and not (out / "countersign-crl-localhost.service").exists()


def mqtt(fleet, port, crt, key, topic, ca=None):
    done = run("mosquitto_pub", "-h", "localhost", "-p", port, "--cafile", ca or fleet.system.ca, "--cert", crt, "--key", key, "-t", topic,
               "-m", "21.5", "-q", "1", "-V", "5")
    return done.returncode or "Not authorized" in done.stderr  # of the topic: it says so and ends with 0


def test_mosquitto(fleet):
    port = free_port()
    out, _ = fleet.config("mosquitto", "--set", f"port={port}", "--set", f"acl={fleet.top}/mosquitto.acl")
    (out / "localhost.acl").rename(fleet.top / "mosquitto.acl")
    (fleet.top / "mosquitto.acl").chmod(0o644)
    if os.geteuid() == 0:
        (out / "localhost.conf").write_text("user root\n" + (out / "localhost.conf").read_text())
    p = fleet.spawn(port, "mosquitto", "-c", out / "localhost.conf", log=out / "log")
    bad = fleet.system.issue("device", "bad-mqtt")
    assert mqtt(fleet, port, fleet.good.crt, fleet.good.key, "devices/good/t") == 0
    assert mqtt(fleet, port, fleet.good.crt, fleet.good.key, "devices/bad-mqtt/t") != 0  # somebody else's topic
    assert mqtt(fleet, port, bad.crt, bad.key, "devices/bad-mqtt/t") == 0
    for crt, key in (fleet.expired, fleet.foreign):
        assert mqtt(fleet, port, crt, key, f"devices/{crt.stem}/t") != 0
    done = run("mosquitto_pub", "-h", "localhost", "-p", port, "--cafile", fleet.system.ca, "-t", "devices/good/t", "-m", "1", "-q", "1")
    assert done.returncode != 0  # no certificate
    # the clients' recipes
    where, _ = fleet.config("mosquitto_pub", "--server", f"localhost:{port}", name="pump-17")
    (where / ".config").mkdir()
    (where / "pump-17.mosquitto").rename(where / ".config/mosquitto_pub")
    run("mosquitto_pub", "-t", "devices/pump-17/t", "-m", "1", "-q", "1", env={"XDG_CONFIG_HOME": str(where / ".config")}, check=0)
    fleet.revoke(bad.name)
    refresh(fleet, out, f"kill -HUP {p.pid}")
    wait_for(lambda: mqtt(fleet, port, bad.crt, bad.key, "devices/bad-mqtt/t") != 0, 20, say="the revoked one comes in")
    assert mqtt(fleet, port, fleet.good.crt, fleet.good.key, "devices/good/t") == 0


def test_postgresql(fleet):
    from postgres import Postgres
    out, _ = fleet.config("postgresql", "--set", "network=127.0.0.1/32")
    pg = Postgres()
    try:
        db = pg.folder / "db"
        for f in ("localhost.key", "localhost.crt", "ca.pem", "crl.pem"):  # as the server's user may read them
            shutil.copy(out / f, pg.folder / f)
            if os.geteuid() == 0:
                shutil.chown(pg.folder / f, "nobody")
        (pg.folder / "localhost.key").chmod(0o600)
        tls = (out / "localhost-tls.conf").read_text().replace(str(out), str(pg.folder))
        (db / "postgresql.conf").write_text((db / "postgresql.conf").read_text() + tls)
        (db / "pg_hba.conf").write_text("local all all trust\nhost all app 127.0.0.1/32 scram-sha-256\n" + (out / "pg_hba.conf").read_text())
        (db / "pg_ident.conf").write_text((out / "pg_ident.conf").read_text())
        pg.start()
        pg.sql("CREATE ROLE ann LOGIN; CREATE ROLE pump LOGIN; CREATE ROLE postgres LOGIN SUPERUSER")
        domain = "localhost"

        def psql(user, crt, key):
            done = run("psql", "-XAtq", "-c", "SELECT current_user", f"host=localhost hostaddr=127.0.0.1 port={pg.port} dbname=postgres user={user} "
                       f"sslmode=verify-full sslrootcert={fleet.system.ca} sslcert={crt} sslkey={key}")
            return done.stdout.strip() if done.returncode == 0 else None
        ann, bad = (fleet.system.issue("user", f"{who}@{domain}") for who in ("ann", "bob"))
        root = fleet.system.issue("user", f"postgres@{domain}")
        assert psql("ann", ann.crt, ann.key) == "ann"
        assert psql("pump", ann.crt, ann.key) is None         # the certificate is not that user's
        assert psql("postgres", root.crt, root.key) is None   # nobody is the superuser by his name
        pg.sql("CREATE ROLE bob LOGIN")
        assert psql("bob", bad.crt, bad.key) == "bob"
        for crt, key in (fleet.expired, fleet.foreign):
            assert psql("ann", crt, key) is None
        none = run("psql", "-XAtq", "-c", "SELECT 1", f"host=localhost hostaddr=127.0.0.1 port={pg.port} dbname=postgres user=ann sslmode=require sslcert=/none")
        assert none.returncode != 0
        where, _ = fleet.config("psql", "--server", f"localhost:{pg.port}", name=f"eve@{domain}")
        pg.sql("CREATE ROLE eve LOGIN")
        run("psql", "-XAtq", "service=eve-localhost", "-c", "SELECT 1", env={"PGSERVICEFILE": str(where / "pg_service.conf"), "PGHOSTADDR": "127.0.0.1"}, check=0)
        fleet.revoke(bad.name)
        countersign("crl", "--of", out / "localhost.crt", "--of", out / "ca.pem", "--out", pg.folder / "crl.pem", "--then", f"kill -HUP {pg.process.pid}", check=0)
        wait_for(lambda: psql("bob", bad.crt, bad.key) is None, 20, say="the revoked one comes in")
        assert psql("ann", ann.crt, ann.key) == "ann"
    finally:
        pg.close()


@pytest.mark.parametrize("recipe,command,file", [
    ("curl", ["curl", "-s", "--config", "{file}", "https://{server}/"], "pump-1.curlrc"),
    ("requests", ["/usr/bin/python3", "{file}"], "pump-1_requests.py"),
    ("httpx", ["/usr/bin/python3", "{file}"], "pump-1_httpx.py"),
    ("node", ["node", "{file}"], "pump-1.mjs")])
def test_a_client_with_what_is_printed(fleet, recipe, command, file):
    server = f"localhost:{fleet.system.https}"
    name = f"pump-1-{recipe}"
    out, _ = fleet.config(recipe, "--server", server, name=name)
    made = out / file.replace("pump-1", name)
    done = run(*[c.format(file=made, server=server) for c in command], check=0)
    assert name in done.stdout
    made.write_text(made.read_text().replace("/ca.pem", "/foreign.pem"))  # and it trusts nobody else
    (out / "foreign.pem").write_bytes(mint.foreign_ca()[0].public_bytes(mint.serialization.Encoding.PEM))
    assert run(*[c.format(file=made, server=server) for c in command]).returncode != 0


@pytest.mark.skipif(not shutil.which("eapol_test"), reason="no eapol_test here")
def test_freeradius_and_wpa_supplicant(fleet):
    port = free_port()
    out, _ = fleet.config("freeradius", "--set", "clients=127.0.0.1")
    secret = (out / "radius.secret").read_text().strip()
    assert len(secret) >= 32 and all((out / f).stat().st_mode & 0o77 == 0 for f in ("radius.secret", "clients.conf"))
    (out / "radiusd.conf").write_text(f"""prefix = /usr
logdir = {out}
run_dir = {out}
raddbdir = {out}
libdir = /usr/lib/freeradius
pidfile = {out}/pid
name = radiusd
modules {{
	$INCLUDE eap
}}
server default {{
	listen {{
		type = auth
		ipaddr = 127.0.0.1
		port = {port}
	}}
	authorize {{
		eap
	}}
	authenticate {{
		eap
	}}
}}
$INCLUDE clients.conf
""")

    def start():
        p = subprocess.Popen(["freeradius", "-f", "-l", "stdout", "-d", str(out)], stdin=subprocess.DEVNULL, stdout=open(out / "log", "wb"),
                             stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        fleet.procs.append(p)
        wait_for(lambda: "Ready to process requests" in (out / "log").read_text() or p.poll() is not None, 20, say="it does not start")
        assert p.poll() is None, (out / "log").read_text()
        return p

    def joins(name, crt, key, radius="localhost"):
        where = fleet.top / "wifi"
        run("rm", "-rf", where)
        fleet.system.run("config", "wpa_supplicant", name, "--out", where, "--cert", crt, "--key", key, "--ca", fleet.system.ca, "--set",
                         f"radius_name={radius}", check=0)
        done = run("eapol_test", "-c", where / "wpa_supplicant.conf", "-a", "127.0.0.1", "-p", port, "-s", secret, "-t", "5", "-r", "0")
        return done.returncode == 0 and done.stdout.rstrip().endswith("SUCCESS")
    p = start()
    ann, bob = (fleet.system.issue("user", f"{who}@wifi.example") for who in ("ann", "bob"))
    assert joins("ann@wifi.example", ann.crt, ann.key), (out / "log").read_text()
    assert joins("bob@wifi.example", bob.crt, bob.key)
    assert not joins("ann@wifi.example", ann.crt, ann.key, radius="other.example")  # the client looks at the server's name
    for crt, key in (fleet.expired, fleet.foreign):
        assert not joins("x", crt, key)
    fleet.revoke(bob.name)
    refresh(fleet, out, f"kill -TERM {p.pid}")  # it reads CRLs at start only: its unit restarts it
    p.wait(20)
    start()
    assert not joins("bob@wifi.example", bob.crt, bob.key)
    assert joins("ann@wifi.example", ann.crt, ann.key)


@pytest.fixture
def two_namespaces():
    """Two network namespaces joined by a cable: 10.77.0.1 and 10.77.0.2."""
    names = [f"cs{os.getpid()}a", f"cs{os.getpid()}b"]
    made = os.geteuid() == 0 and all(run("ip", "netns", "add", n).returncode == 0 for n in names)
    try:
        if not made:
            pytest.skip("network namespaces need root")
        run("ip", "-n", names[0], "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", names[1], check=0)
        for n, dev, address in ((names[0], "v0", "10.77.0.1/24"), (names[1], "v1", "10.77.0.2/24")):
            run("ip", "-n", n, "addr", "add", address, "dev", dev, check=0)
            run("ip", "-n", n, "link", "set", dev, "up", check=0)
            run("ip", "-n", n, "link", "set", "lo", "up", check=0)
        yield names
    finally:
        for n in names:
            run("ip", "netns", "del", n)


@pytest.mark.skipif(not shutil.which("openvpn") or not os.path.exists("/dev/net/tun"), reason="no openvpn, or no TUN device here")
def test_openvpn(fleet, two_namespaces):
    a, b = two_namespaces
    out, _ = fleet.config("openvpn", "--set", "device=tun7", name="vpn.example.org")
    started = []

    def start(ns, conf, log):
        p = subprocess.Popen(["ip", "netns", "exec", ns, "openvpn", "--config", str(conf), "--suppress-timestamps"], stdin=subprocess.DEVNULL,
                             stdout=open(log, "wb"), stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        started.append(p)
        return p

    def connects(who, n):
        where = out / f"client-{n}"
        fleet.system.run("config", "openvpn-client", "c", "--out", where, "--cert", who[0], "--key", who[1], "--ca", fleet.system.ca, "--server",
                         "vpn.example.org:1194", check=0)
        conf = where / "c.ovpn"  # no names in a namespace of one cable
        conf.write_text(conf.read_text().replace("remote vpn.example.org 1194", "remote 10.77.0.1 1194") + "hand-window 2\nconnect-retry-max 1\n")
        log = where / "log"
        p = start(b, conf, log)
        try:
            wait_for(lambda: p.poll() is not None or any(w in log.read_text() for w in (
                "Initialization Sequence Completed", "TLS handshake failed", "TLS Error", "SIGTERM", "AUTH_FAILED")), 20, say=log.read_text())
            return "Initialization Sequence Completed" in log.read_text()
        finally:
            p.terminate()
            p.wait(20)
    try:
        start(a, out / "vpn.example.org.conf", out / "log")
        wait_for(lambda: "Initialization Sequence Completed" in (out / "log").read_text(), 20, say=(out / "log").read_text())
        bad = fleet.system.issue("device", "bad-vpn")
        assert connects((fleet.good.crt, fleet.good.key), 1), (out / "log").read_text()
        assert connects((bad.crt, bad.key), 2)
        server = fleet.system.issue("server", "other.example.org")
        for n, who in enumerate((fleet.expired, fleet.foreign, (server.crt, server.key)), 3):
            assert not connects(who, n), who
        fleet.revoke(bad.name)
        countersign("crl", "--of", out / "vpn.example.org.crt", "--of", out / "ca.pem", "--out", out / "crl.pem", check=0)
        assert not connects((bad.crt, bad.key), 8)  # it reads the file anew for each client: nothing was told to it
        assert connects((fleet.good.crt, fleet.good.key), 9)
    finally:
        for p in started:
            if p.poll() is None:
                p.terminate()
                p.wait(20)
