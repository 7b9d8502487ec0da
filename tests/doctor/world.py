"""Certificates of every fault, and real servers that meet them: one nginx, one Apache, one HAProxy, one mosquitto, each
with many ports, started once."""
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import chains as c
from chains import cert, crl, dns, eku, entry, ip, key, pem
from conftest import die_with_parent, free_port, run, wait_for
from cryptography.hazmat.primitives import serialization
from test_gateway_real import _open

HERE = [dns("localhost"), ip(127, 0, 0, 1)]
PAST = dict(since="20200101000000Z", until="20210101000000Z")
FUTURE = dict(since="20380101000000Z", until="20390101000000Z")


def key_pem(k, password=None):
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return k.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


class Files:
    """A folder of certificates: put() writes NAME.crt (leaf, then what is above it) and NAME.key."""

    def __init__(self, folder):
        self.folder = folder
        self.root = cert("Doctor Root", ca=True)
        self.int = cert("Doctor Issuing", by=self.root, ca=True)
        self.int2 = cert("Doctor Lower", by=self.int, ca=True)
        self.other = cert("Other Root", ca=True)
        self.other_int = cert("Other Issuing", by=self.other, ca=True)
        self.write("root.pem", self.root.pem)
        self.write("int.pem", self.int.pem)
        self.write("both.pem", self.int.pem + self.root.pem)
        self.write("other.pem", self.other.pem)
        self.put("good", self.leaf("good"), self.int)
        self.put("server", self.leaf("server", names=HERE, usages=[c.SERVER]), self.int)

    def leaf(self, name, by=None, **how):
        # ca.key of a test is never that of another identity
        return cert(name, by=by or self.int, k=how.pop("k", None) or key(f"p256-doctor-{name}"), **how)

    def path(self, name):
        return self.folder / name

    def write(self, name, text, mode=0o644):
        p = self.folder / name
        p.write_bytes(text if isinstance(text, bytes) else text.encode())
        p.chmod(mode)
        return p

    def put(self, name, leaf, *above):
        self.write(f"{name}.crt", leaf.pem + "".join(a.pem for a in above))
        self.write(f"{name}.key", key_pem(leaf.key), 0o600)
        return leaf


class Server:
    def __init__(self, folder, kind, config, *command, ports=()):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=folder))
        self.folder.chmod(0o755)
        self.config, self.log = self.folder / "conf", self.folder / "log"
        self.config.write_text(config.replace("@DIR@", str(self.folder)))
        with open(self.log, "w") as log:
            self.proc = subprocess.Popen([str(x).replace("@CONF@", str(self.config)).replace("@DIR@", str(self.folder))
                                          for x in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                         preexec_fn=die_with_parent, cwd=self.folder)
        for port in ports:
            wait_for(lambda p=port: _open(p) or self.proc.poll() is not None, 20, say=f"{kind} does not listen on {port}")
        assert self.proc.poll() is None, self.log.read_text()[-3000:]

    def close(self):
        self.proc.terminate()
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()


class World:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="cd-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.files = Files(self.folder)
        self.port, self.servers = {}, {}

    def p(self, name):
        if name not in self.port:
            self.port[name] = free_port()
        return self.port[name]

    def nginx(self, sites):
        """name -> directives beside certificate and key; NAME@HOST shares the port of NAME."""
        f = self.folder
        lead = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        blocks = []
        for name, said in sites.items():
            port_of, _, host = name.partition("@")
            crt = "" if "ssl_certificate " in said else f"ssl_certificate {f}/server.crt; ssl_certificate_key {f}/server.key;"
            tls = "" if said.startswith("plain") else "ssl"
            body = "location / { return 200 \"ok\\n\"; }" if "location" not in said else ""
            blocks.append(f" server {{ listen 127.0.0.1:{self.p(port_of)} {tls}; server_name {host or '_'}; {crt if tls else ''}\n"
                          f"  {said.removeprefix('plain')} {body} }}\n")
        text = (f"{lead}\ndaemon off; error_log stderr info; pid @DIR@/pid; worker_processes 1; events {{}}\nhttp {{ access_log off;\n"
                " client_body_temp_path @DIR@/b; proxy_temp_path @DIR@/p; fastcgi_temp_path @DIR@/f; uwsgi_temp_path @DIR@/u;\n"
                f" scgi_temp_path @DIR@/s;\n{''.join(blocks)}}}\n")
        self.servers["nginx"] = Server(f, "nginx", text, "nginx", "-c", "@CONF@", "-p", "@DIR@",
                                       ports=[self.p(n.partition("@")[0]) for n in sites])

    def apache(self, sites):
        f, modules = self.folder, "/usr/lib/apache2/modules"
        who = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""
        loads = "".join(f"LoadModule {m}_module {modules}/mod_{m}.so\n" for m in ("mpm_event", "authz_core", "alias", "ssl", "socache_shmcb"))
        text = f"{who}ServerRoot @DIR@\nServerName localhost\nPidFile @DIR@/pid\nErrorLog @DIR@/error\nLogLevel ssl:info\n{loads}DocumentRoot @DIR@\n"
        for name, said in sites.items():
            port = self.p(name)
            text += (f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nServerName localhost\nSSLEngine on\n"
                     f"SSLCertificateFile {f}/server.crt\nSSLCertificateKeyFile {f}/server.key\n{said}\n</VirtualHost>\n")
        self.servers["apache"] = Server(f, "apache", text, "/usr/sbin/apache2", "-f", "@CONF@", "-DFOREGROUND",
                                        ports=[self.p(n) for n in sites])

    def haproxy(self, binds):
        f = self.folder
        self.files.write("hap.pem", (f / "server.crt").read_text() + (f / "server.key").read_text())
        text = "global\n  maxconn 100\ndefaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n"
        for name, said in binds.items():
            text += f"frontend {name}\n  bind 127.0.0.1:{self.p(name)} ssl crt {f}/hap.pem {said}\n  http-request return status 200\n"
        self.servers["haproxy"] = Server(f, "haproxy", text, "haproxy", "-db", "-f", "@CONF@", ports=[self.p(n) for n in binds])

    def mosquitto(self, listeners, lead="per_listener_settings true\n"):
        f = self.folder
        text = lead
        for name, said in listeners.items():
            text += f"listener {self.p(name)} 127.0.0.1\ncertfile {f}/server.crt\nkeyfile {f}/server.key\n{said}\n"
        if os.geteuid() == 0:
            text += "user root\n"
        self.servers["mosquitto"] = Server(f, "mosquitto", text, "mosquitto", "-c", "@CONF@", ports=[self.p(n) for n in listeners])

    def close(self):
        for s in self.servers.values():
            s.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def pem_crl(der):
    return pem("X509 CRL", der)


__all__ = ["FUTURE", "HERE", "PAST", "Files", "Server", "World", "cert", "crl", "dns", "eku", "entry", "ip", "key", "key_pem", "pem",
           "pem_crl", "run", "c"]
