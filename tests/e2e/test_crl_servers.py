"""Servers that are not ours, beside the authority: nginx and Apache read the file that it leaves for them, STATE/crl/all.crl.pem,
and refuse a revoked client after a reload. And our own gateway, given the same files as an operator would."""
import os
import pwd
import shutil
import signal
import socket
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from authority import Authority
from conftest import COMMAND, PATIENCE, die_with_parent, free_port, run, wait_for
from test_crl_lists import Device, change, numbers, pem_of, settle


class Fleet:
    """An authority, a server certificate and two devices of it."""

    def __init__(self, config=None):
        self.a = Authority(config=config).start()
        self.folder = self.a.top
        settle(self.a)
        issuing = (self.a.state / "ca/issuing.crt").read_text()
        server = Device(self.a, "localhost", kind="server")
        server.key.rename(self.folder / "key.pem")
        (self.folder / "server.pem").write_text(server.path.read_text() + issuing)
        self.root = self.a.state / "ca/root.crt"
        self.good, self.bad = (Device(self.a, n) for n in ("good", "bad"))
        for d in (self.good, self.bad):
            d.path.write_text(d.path.read_text() + issuing)
        self.crls = self.a.state / "crl/all.crl.pem"
        self.port, self.proc = free_port(), None

    def spawn(self, *command):
        self.proc = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=open(self.folder / "err", "w"),
                                     preexec_fn=die_with_parent, cwd=self.folder)
        wait_for(self.answers, 20, say="the server did not come")

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            assert self.proc.poll() is None, (self.folder / "err").read_text()
            return False

    def status(self, device):
        """HTTP status; 0 when the handshake came to nothing."""
        done = run("curl", "-s", "-o", self.folder / "body", "-w", "%{http_code}", "--cacert", self.root, "--cert", device.path,
                   "--key", device.key, f"https://localhost:{self.port}/")
        return int(done.stdout or 0)

    def close(self):
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            self.proc.wait(15 * PATIENCE)
        self.a.close()

    def nginx(self):
        lead = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        f = self.folder
        (f / "c").write_text(f"""{lead}
daemon off; error_log stderr; pid {f}/pid; events {{}}
http {{ access_log off; client_body_temp_path {f}/b; proxy_temp_path {f}/p; fastcgi_temp_path {f}/f; uwsgi_temp_path {f}/u;
 scgi_temp_path {f}/t;
 server {{ listen 127.0.0.1:{self.port} ssl; ssl_certificate {f}/server.pem; ssl_certificate_key {f}/key.pem;
  ssl_client_certificate {self.root}; ssl_verify_client on; ssl_verify_depth 3; ssl_crl {self.crls};
  location / {{ return 200 "ok\\n"; }} }} }}""")
        self.spawn("nginx", "-c", f / "c", "-p", f)
        return signal.SIGHUP

    def apache(self):
        modules, f = "/usr/lib/apache2/modules", self.folder
        (f / "c").write_text(f"""{"User www-data" if os.geteuid() == 0 else ""}
ServerRoot {f}
ServerName localhost
Listen 127.0.0.1:{self.port}
PidFile {f}/pid
ErrorLog {f}/err
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule ssl_module {modules}/mod_ssl.so
DocumentRoot {f}
RedirectMatch 204 .
SSLEngine on
SSLProtocol TLSv1.2
SSLCertificateFile {f}/server.pem
SSLCertificateKeyFile {f}/key.pem
SSLCACertificateFile {self.root}
SSLVerifyClient require
SSLVerifyDepth 3
SSLCARevocationCheck chain
SSLCARevocationFile {self.crls}
""")
        if os.geteuid() == 0:
            shutil.chown(f, "www-data")
        self.spawn("/usr/sbin/apache2", "-f", f / "c", "-DFOREGROUND")
        return signal.SIGUSR1


@pytest.fixture()
def fleet():
    all_ = []

    def one(*args):
        all_.append(Fleet(*args))
        return all_[-1]
    yield one
    for f in all_:
        f.close()


@pytest.mark.parametrize("kind,program", [("nginx", "nginx"), ("apache", "/usr/sbin/apache2")])
def test_a_server_beside_us_refuses_a_revoked_client_after_a_reload(fleet, kind, program):
    if not shutil.which(program):
        pytest.skip(f"no {program} here")
    f = fleet()
    reload = getattr(f, kind)()
    assert f.status(f.good) in (200, 204) and f.status(f.bad) in (200, 204)
    was = f.crls.stat().st_ino
    change(f.a, "revocations", f.bad.serial, "key-compromise")
    wait_for(lambda: f.crls.stat().st_ino != was, 20, say="the file was not made anew")
    f.proc.send_signal(reload)
    wait_for(lambda: f.status(f.bad) in (0, 400), 20, say="the revoked client is served still")
    assert f.status(f.good) in (200, 204)


@pytest.mark.parametrize("crl,wanted", [("delta: 1h", ["issuing", "issuing.delta"]), ("shards: 3", ["issuing.1", "issuing.2", "issuing.3"])])
def test_our_gateway_reads_deltas_and_lists_by_distribution_point(fleet, crl, wanted):
    f = fleet(f"crl: {{{crl}}}\n")
    f.crls = f.folder / "crls.pem"

    def hand_over():
        pem_of(f.a, *wanted).rename(f.crls)

    hand_over()
    (f.folder / "chain.pem").write_bytes(f.root.read_bytes())
    (f.folder / "gateway.yaml").write_text(f"""https: 127.0.0.1:{f.port}
metrics: "off"
http: "off"
upstream: http://127.0.0.1:9
sites:
  - {{name: "*", certificate: {f.folder}/server.pem, key: {f.folder}/key.pem, client_ca: chain.pem, client_crl: crls.pem}}
""")
    f.spawn(COMMAND, "gateway", "-c", f.folder / "gateway.yaml", "--state", f.folder / "gw")
    assert f.status(f.good) == 502 and f.status(f.bad) == 502  # let in, and nothing is behind
    before = numbers(f.a)
    change(f.a, "revocations", f.bad.serial, "superseded")
    wait_for(lambda: any(numbers(f.a)[n] > before[n] for n in wanted))
    hand_over()
    wait_for(lambda: f.status(f.bad) == 0, 20, say="the gateway lets a revoked client in")
    assert f.status(f.good) == 502


def test_the_file_for_servers_has_the_list_of_each_ca(fleet):
    f = fleet("crl: {shards: 2, delta: 1h}\n")
    pems = f.crls.read_bytes().split(b"-----END X509 CRL-----\n")[:-1]
    got = [x509.load_pem_x509_crl(p + b"-----END X509 CRL-----\n") for p in pems]
    cas = [x509.load_pem_x509_certificate((f.a.state / f"ca/{n}.crt").read_bytes()) for n in ("root", "issuing")]
    assert [c.issuer for c in got] == [c.subject for c in cas]
    assert all(c.is_signature_valid(ca.public_key()) for c, ca in zip(got, cas))
    assert oct(f.crls.stat().st_mode)[-3:] == "644" and got[1].public_bytes(serialization.Encoding.DER) == f.a.crl()
