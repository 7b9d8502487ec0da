"""ACME (RFC 8555) with clients that we did not write: certbot, lego, dehydrated, uacme, Caddy."""
import shutil
import subprocess

import pytest
from acme_kit import Webroot, site  # noqa: F401
from conftest import PATIENCE, die_with_parent, free_port, run, wait_for


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def names_of(crt):
    text = run("openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", crt, check=0).stdout
    return sorted(w.strip() for w in text.splitlines()[1].split(","))


def is_ours(site, crt, chain):
    run("openssl", "verify", "-CAfile", site.system.ca, "-untrusted", chain, crt, check=0)


def certbot(site, folder, *words, label="open", check=0):
    return run("certbot", *words, "--server", site.url(label) + "/directory", "-n", "--config-dir", folder / "c", "--work-dir", folder / "w",
               "--logs-dir", folder / "l", env={"REQUESTS_CA_BUNDLE": str(site.system.ca)}, timeout=90, check=check)


@needs("certbot")
def test_certbot_gets_renews_and_revokes_by_http(site, work):
    certbot(site, work, "certonly", "--standalone", "--http-01-port", site.http, "-d", "a.certbot.example", "-d", "b.certbot.example",
            "--agree-tos", "-m", "ops@corp.example")
    live = work / "c" / "live" / "a.certbot.example"
    assert names_of(live / "cert.pem") == ["DNS:a.certbot.example", "DNS:b.certbot.example"]
    is_ours(site, live / "cert.pem", live / "chain.pem")
    before = (live / "cert.pem").read_text()
    certbot(site, work, "renew", "--force-renewal", "--no-random-sleep-on-renew")
    assert (live / "cert.pem").read_text() != before
    certbot(site, work, "update_account", "-m", "others@corp.example")
    certbot(site, work, "revoke", "--cert-path", live / "cert.pem", "--reason", "superseded", "--no-delete-after-revoke")
    listed = site.system.run("list", "--name", "a.certbot.example", "--all", check=0).stdout
    assert "revoked" in listed and "valid" in listed  # the newer of the two
    certbot(site, work, "unregister")


@needs("certbot")
def test_certbot_proves_a_wildcard_by_dns(site, work):
    hook = work / "hook"
    hook.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$CERTBOT_VALIDATION\" >> {site.resolver.folder}/_acme-challenge.$CERTBOT_DOMAIN\n")
    hook.chmod(0o755)
    certbot(site, work, "certonly", "--manual", "--preferred-challenges", "dns", "--manual-auth-hook", hook, "-d", "wild.example",
            "-d", "*.wild.example", "--agree-tos", "-m", "ops@corp.example")
    assert names_of(work / "c" / "live" / "wild.example" / "cert.pem") == ["DNS:*.wild.example", "DNS:wild.example"]


@needs("certbot")
def test_certbot_is_bound_by_a_token_to_its_name(site, work):
    token = site.token("gw.certbot.example")
    eab = ["--eab-kid", "gw.certbot.example", "--eab-hmac-key", token["eab_hmac_key"]]
    base = ["certonly", "--standalone", "--http-01-port", site.http, "--agree-tos", "-m", "ops@corp.example"]
    done = certbot(site, work / "0", *base, "-d", "gw.certbot.example", label="", check=1)
    assert "external account binding" in (done.stdout + done.stderr).lower()
    certbot(site, work / "1", *base, *eab, "-d", "gw.certbot.example", label="")
    # certbot 2.1 stumbles over its own message (josepy on Python 3.11); the authority's log says why
    certbot(site, work / "1", *base, *eab, "-d", "other.certbot.example", label="", check=1)
    assert "gw.certbot.example, which the order lacks" in site.system.events("acme-refused")[-1]["detail"]
    certbot(site, work / "2", *base, *eab, "-d", "gw.certbot.example", label="", check=1)
    assert site.system.events("acme-refused")[-1]["reason"] == "token-invalid"  # its one use is over


def lego(site, folder, *words, label="open", check=0):
    return run("lego", "--server", site.url(label) + "/directory", "--accept-tos", "--email", "ops@corp.example", "--path", folder, *words,
               env={"LEGO_CA_CERTIFICATES": str(site.system.ca)}, timeout=90, check=check)


@needs("lego")
@pytest.mark.parametrize("kind,how", [("ec256", "tls"), ("ec384", "http"), ("rsa2048", "http")])
def test_lego_gets_renews_and_revokes(site, work, kind, how):
    port = site.tls if how == "tls" else site.http
    name = f"{kind}.lego.example"
    words = [f"--{how}", f"--{how}.port", f":{port}", "-d", name, "-k", kind]
    lego(site, work, *words, "run")
    crt = work / "certificates" / f"{name}.crt"
    assert names_of(crt) == [f"DNS:{name}"]
    is_ours(site, crt, work / "certificates" / f"{name}.issuer.crt")
    lego(site, work, *words, "renew", "--days", "4000", "--no-random-sleep")
    lego(site, work, *words, "revoke")
    assert "revoked" in site.system.run("list", "--name", name, "--all", check=0).stdout


@needs("lego")
def test_lego_binds_by_token_and_the_token_is_used(site, work):
    token = site.token("gw.lego.example", "server", "--uses", "2")
    lego(site, work, "--eab", "--kid", "gw.lego.example", "--hmac", token["eab_hmac_key"], "--tls", "--tls.port", f":{site.tls}",
         "-d", "gw.lego.example", "run", label="")
    assert "1 of 2" in site.system.run("token", "list", "gw.lego.example", check=0).stdout


@needs("dehydrated")
def test_dehydrated_gets_and_revokes(site, work):
    root = work / "root" / ".well-known" / "acme-challenge"
    root.mkdir(parents=True)
    web = Webroot(site.http, work / "root")
    (work / "config").write_text(f'CA="{site.url("open")}/directory"\nWELLKNOWN="{root}"\nBASEDIR="{work}"\nCURL_OPTS="--cacert {site.system.ca}"\n'
                                 'KEY_ALGO=secp384r1\nCONTACT_EMAIL=ops@corp.example\n')
    try:
        run("dehydrated", "-f", work / "config", "--register", "--accept-terms", check=0)
        run("dehydrated", "-f", work / "config", "-c", "-d", "d.dehydrated.example", check=0, timeout=90)
    finally:
        web.stop()
    crt = work / "certs" / "d.dehydrated.example" / "cert.pem"
    assert names_of(crt) == ["DNS:d.dehydrated.example"]
    run("dehydrated", "-f", work / "config", "-r", crt, check=0)
    assert "revoked" in site.system.run("list", "--name", "d.dehydrated.example", "--all", check=0).stdout


@needs("uacme")
def test_uacme_gets_by_hook_and_revokes(site, work):
    root = work / "root" / ".well-known" / "acme-challenge"
    root.mkdir(parents=True)
    hook = work / "hook"
    hook.write_text(f'#!/bin/sh\n[ "$2" = http-01 ] || exit 1\n[ "$1" = begin ] && printf %s "$5" > {root}/"$4"\nexit 0\n')
    hook.chmod(0o755)
    web = Webroot(site.http, work / "root")
    # uacme knows no option for trust anchors: it gets the system's file replaced, for itself alone
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    own = ["unshare", "-m", "sh", "-c", f'mount --bind "$1" {bundle} && shift && exec "$@"', "sh", site.system.ca]
    base = [*own, "uacme", "-c", work / "u", "-a", site.url("open") + "/directory", "-y"]
    if run(*own, "true").returncode != 0:
        web.stop()
        pytest.skip("uacme trusts the system's CAs alone, and replacing their file needs root and the right to mount")
    try:
        run(*base, "new", check=0)
        run(*base, "-h", hook, "issue", "u.uacme.example", check=0, timeout=90)
    finally:
        web.stop()
    crt = work / "u" / "u.uacme.example" / "cert.pem"
    assert names_of(crt) == ["DNS:u.uacme.example"]
    run(*base, "revoke", crt, check=0)


@needs("caddy")
def test_caddy_serves_a_certificate_that_it_got_itself(site, work):
    https = free_port()
    (work / "Caddyfile").write_text(f"""{{
  admin off
  storage file_system {work}/data
  http_port {site.http}
  https_port {https}
  acme_ca {site.url("open")}/directory
  acme_ca_root {site.system.ca}
  email ops@corp.example
}}
caddy.example {{
  tls {{
    issuer acme {{
      dir {site.url("open")}/directory
      trusted_roots {site.system.ca}
      disable_tlsalpn_challenge
    }}
  }}
  respond "hello"
}}
""")
    with open(work / "log", "wb") as log:
        p = subprocess.Popen(["caddy", "run", "--config", str(work / "Caddyfile")], stdout=log, stderr=log, preexec_fn=die_with_parent,
                             env={"HOME": str(work), "XDG_DATA_HOME": str(work), "XDG_CONFIG_HOME": str(work), "PATH": "/usr/bin:/bin"})
    try:
        wait_for(lambda: run("curl", "-s", "--cacert", site.system.ca, "--resolve", f"caddy.example:{https}:127.0.0.1",
                             f"https://caddy.example:{https}/").stdout == "hello", 40,
                 say=f"caddy does not serve:\n{(work / 'log').read_text()[-2000:]}")
    finally:
        p.terminate()
        p.wait(20 * PATIENCE)
