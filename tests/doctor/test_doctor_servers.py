"""Failures that real servers make: the first finding is the cause."""
import json
import time

import pytest
from conftest import PATIENCE, countersign
from world import FUTURE, HERE, PAST, World, c, cert, crl, eku, entry, key, pem_crl


@pytest.fixture(scope="module")
def world():
    w = World()
    f = w.files
    make_credentials(f)
    start(w, f)
    yield w
    w.close()


def make_credentials(f):
    f.write("good-leaf.crt", f.leaf("good").pem)
    f.put("expired", f.leaf("expired", **PAST), f.int)
    f.put("future", f.leaf("future", **FUTURE), f.int)
    f.put("serverish", f.leaf("serverish", usages=[c.SERVER]), f.int)
    f.put("foreign", f.leaf("foreign", by=f.other_int), f.other_int, f.other)
    f.put("selfsigned", cert("selfsigned", k=key("p256-doctor-selfsigned")))
    f.put("deep", f.leaf("deep", by=f.int2), f.int2, f.int)
    f.put("deeper", f.leaf("deeper", by=f.int2), f.int2, f.int, f.root)
    f.put("ecdsa", f.leaf("ecdsa"), f.int)
    rekeyed = cert("Doctor Issuing", by=f.root, ca=True, k=key("p256-doctor-new-issuing"))
    f.put("rekeyed", f.leaf("rekeyed", by=rekeyed), rekeyed)
    f.write("old-int.pem", f.int.pem + f.root.pem)
    old = cert("Doctor Old", by=f.root, ca=True, **PAST)
    f.put("under-old", f.leaf("under-old", by=old), old)
    dead_root = cert("Dead Root", ca=True, **PAST)
    f.put("of-dead", f.leaf("of-dead", by=dead_root))
    f.write("dead.pem", dead_root.pem)
    narrow = cert("Doctor Narrow", by=f.root, ca=True, add=[c.nc(permitted=[c.dns("inside.example")])])
    f.put("outside", f.leaf("outside", by=narrow, names=[c.dns("outside.example")]), narrow)
    f.put("sha1", f.leaf("sha1", alg=c.ECDSA_SHA1), f.int)
    revoked = f.put("revoked", f.leaf("revoked"), f.int)
    noca = f.leaf("noca")
    f.put("of-noca", f.leaf("of-noca", by=noca), noca, f.int)
    f.write("root.crl", pem_crl(crl(f.root)))
    f.write("int.crl", pem_crl(crl(f.int, entry(revoked.serial))))
    f.write("crls.pem", pem_crl(crl(f.root)) + pem_crl(crl(f.int, entry(revoked.serial))))
    f.write("stale.pem", pem_crl(crl(f.root)) + pem_crl(crl(f.int, since="20200101000000Z", until="20210101000000Z")))
    f.write("early.pem", pem_crl(crl(f.root)) + pem_crl(crl(f.int, since="20380101000000Z", until="20390101000000Z")))
    f.write("bad.pem", pem_crl(crl(f.root)) + pem_crl(crl(f.int, break_signature=True)))
    big = "".join(cert(f"filler {i}", k=key(f"p256-filler-{i % 8}"), names=[c.dns("x" * 60 + f"{j}.example") for j in range(40)]).pem
                  for i in range(40))
    f.write("big.crt", (f.path("good.crt")).read_text() + big)
    for name, how in {"s-expired": PAST, "s-future": FUTURE, "s-client": dict(usages=[c.CLIENT])}.items():
        f.put(name, f.leaf(name, names=HERE, **{"usages": [c.SERVER], **how}), f.int)
    f.put("s-name", f.leaf("s-name", names=[c.dns("elsewhere.example")], usages=[c.SERVER]), f.int)
    f.put("s-wild", f.leaf("s-wild", names=[c.dns("*.example.com")], usages=[c.SERVER]), f.int)
    f.put("s-dns", f.leaf("s-dns", names=[c.dns("localhost")], usages=[c.SERVER]), f.int)
    f.put("s-cn", cert("localhost", by=f.int, k=key("p256-doctor-s-cn"), drop=[c.SAN], usages=[c.SERVER]), f.int)
    f.put("s-alone", f.leaf("s-alone", names=HERE, usages=[c.SERVER]))
    f.put("s-self", cert("localhost", k=key("p256-doctor-s-self"), names=HERE, usages=[c.SERVER]))
    f.put("s-foreign", f.leaf("s-foreign", by=f.other_int, names=HERE, usages=[c.SERVER]), f.other_int, f.other)
    f.put("s-rekeyed", f.leaf("s-rekeyed", by=rekeyed, names=HERE, usages=[c.SERVER]))
    f.put("s-old", f.leaf("s-old", by=old, names=HERE, usages=[c.SERVER]), old)
    f.put("s-weak", f.leaf("s-weak", k=key("rsa1024-doctor"), names=HERE, usages=[c.SERVER]), f.int)


def start(w, f):
    d = w.folder

    def nginx(crt, more=""):
        return f"ssl_certificate {d}/{crt}.crt; ssl_certificate_key {d}/{crt}.key; {more}"
    ask = f"ssl_client_certificate {d}/root.pem; ssl_verify_client on; ssl_verify_depth 3;"
    w.nginx({
        "n-std": ask, "n-none": "", "n-optional": ask.replace("on;", "optional;", 1),
        "n-depth": ask.replace("depth 3", "depth 1"),
        "n-int": f"ssl_client_certificate {d}/int.pem; ssl_verify_client on;",
        "n-rsa-only": ask + "ssl_conf_command ClientSignatureAlgorithms RSA+SHA256;",
        "n-13": ask + "ssl_protocols TLSv1.3;", "n-12": ask + "ssl_protocols TLSv1.2;",
        "n-plain": "plain", "n-forbidden": ask + "location / { return 403; }", "n-late": "location / { return 403; }",
        "n-sni": "", "n-sni@mtls.example": ask, **{"n-" + s: nginx(s) for s in (
            "s-expired", "s-future", "s-client", "s-name", "s-wild", "s-dns", "s-cn", "s-alone", "s-self", "s-foreign", "s-rekeyed",
            "s-old")}, "n-s-weak": nginx("s-weak", "ssl_ciphers DEFAULT:@SECLEVEL=0;")})
    verify = f"SSLVerifyClient require\nSSLCACertificateFile {d}/root.pem\nSSLVerifyDepth 5"
    w.apache({"a-std": verify, "a-depth": verify.replace("Depth 5", "Depth 1"),
              "a-late": f"SSLCACertificateFile {d}/root.pem\nSSLVerifyDepth 5\n<Location /secure>\nSSLVerifyClient require\n</Location>"})
    w.haproxy({"h-std": f"ca-file {d}/root.pem verify required", "h-int": f"ca-file {d}/int.pem verify required",
               "h-both": f"ca-file {d}/both.pem verify required", "h-old": f"ca-file {d}/old-int.pem verify required",
               "h-one-crl": f"ca-file {d}/root.pem verify required crl-file {d}/int.crl",
               "h-crls": f"ca-file {d}/root.pem verify required crl-file {d}/crls.pem",
               "h-stale": f"ca-file {d}/root.pem verify required crl-file {d}/stale.pem",
               "h-early": f"ca-file {d}/root.pem verify required crl-file {d}/early.pem",
               "h-bad": f"ca-file {d}/root.pem verify required crl-file {d}/bad.pem",
               "h-dead": f"ca-file {d}/dead.pem verify required",
               "h-proxy": f"accept-proxy ca-file {d}/root.pem verify required",
               "h-sni": "strict-sni", "h-12": f"ca-file {d}/root.pem verify required ssl-max-ver TLSv1.2"})
    f.write("acl", "user nobody\ntopic read x\n")
    w.mosquitto({"m-std": f"cafile {d}/root.pem\nrequire_certificate true\nallow_anonymous true",
                 "m-identity": "use_identity_as_username true\nallow_anonymous false\n" + f"cafile {d}/root.pem"})


def doctor(w, port, *more, cert=None, ca="root.pem", host="localhost"):
    args = ["--ca", w.folder / ca] if ca else []
    if cert:
        args += ["--cert", w.folder / f"{cert}.crt", "--key", w.folder / f"{cert.removesuffix('-leaf')}.key"]
    done = countersign("doctor", f"{host}:{w.p(port) if isinstance(port, str) else port}", "--json", *args, *more)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def said(r):
    return "\n".join(f"{x['kind']} {x['id']} {x['confidence']} {x['evidence']}" for x in r["findings"])


CLIENT = [  # finding, server's port, the client's certificate
    (None, "n-std", "good"), (None, "a-std", "good"), (None, "h-std", "good"), (None, "h-crls", "good"),
    ("F01", "n-std", "good-leaf"), ("F01", "h-std", "good-leaf"), ("F01", "a-std", "good-leaf"),
    ("F03", "n-int", "good"), ("F03", "h-int", "good"),
    ("F04", "n-std", "foreign"), ("F04", "h-std", "foreign"), ("F04", "a-std", "foreign"),
    ("F20", "n-std", "selfsigned"), ("F20", "h-std", "selfsigned"),
    ("F50", "n-std", "expired"), ("F50", "h-std", "expired"), ("F50", "a-std", "expired"), ("F50", "h-12", "expired"),
    ("F49", "n-std", "future"), ("F49", "h-std", "future"),
    ("F37", "n-std", "serverish"), ("F37", "h-std", "serverish"),
    ("F09", "h-std", "under-old"), ("F09", "n-std", "under-old"),
    ("F11", "h-old", "rekeyed-leaf"),
    ("F13", "h-std", "of-noca"), ("F17", "h-std", "outside"), ("F58", "n-std", "sha1"), ("F53", "h-dead", "of-dead"),
    ("F15", "n-depth", "deep"), ("F16", "a-depth", "good"),
    ("F57", "n-rsa-only", "ecdsa"),
    ("F75", "h-one-crl", "good"), ("F52", "h-stale", "good"), ("F78", "h-early", "good"), ("F77", "h-bad", "good"),
    ("F101", "h-crls", "revoked"), ("F67", "h-std", "big"),
    ("F45", "n-forbidden", "good"), ("F105", "n-none", "good"), ("F87", "h-proxy", "good"), ("F68", "n-plain", "good"),
]


@pytest.mark.parametrize("first,port,crt", CLIENT, ids=[f"{a}-{b}-{d}" for a, b, d in CLIENT])
def test_the_clients_fault_is_the_first_finding(world, first, port, crt):
    f = world.files
    if crt == "rekeyed-leaf":
        f.write("rekeyed-leaf.crt", f.path("rekeyed.crt").read_text().split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n")
    if crt == "big":
        f.write("big.key", f.path("good.key").read_text(), 0o600)
    ca = {"F11": "old-int.pem", "F53": "root.pem"}.get(first, "root.pem")
    more = []
    if first == "F53":
        f.write("root-dead.pem", f.path("root.pem").read_text() + f.path("dead.pem").read_text())
        ca = "root-dead.pem"
    r = doctor(world, port, *more, cert=crt, ca=ca)
    problems = [x for x in r["findings"] if x["kind"] == "problem"]
    if first is None:
        assert r["verdict"] == "ok" and not problems, said(r)
    else:
        assert problems and problems[0]["id"] == first, said(r)
        assert problems[0]["evidence"] and problems[0]["fix"]


SERVER = [  # finding, port, host
    ("F51", "n-s-expired", "localhost"), ("F111", "n-s-future", "localhost"), ("F38", "n-s-client", "localhost"),
    ("F40", "n-s-name", "localhost"), ("F41", "n-s-dns", "127.0.0.1"), ("F42", "n-s-cn", "localhost"), ("F06", "n-s-alone", "localhost"),
    ("F108", "n-s-self", "localhost"), ("F83", "n-s-foreign", "localhost"), ("F09", "n-s-old", "localhost"), ("F109", "n-s-weak", "localhost"),
    ("F106", "n-std", "localhost"), ("F106", "a-std", "localhost"), ("F106", "h-std", "localhost"), ("F106", "h-12", "localhost"),
    ("F106", "n-13", "localhost"),
]


@pytest.mark.parametrize("first,port,host", SERVER, ids=[f"{a}-{b}" for a, b, _ in SERVER])
def test_the_servers_fault_is_the_first_finding(world, first, port, host):
    r = doctor(world, port, host=host)
    assert r["verdict"] == "problem" and r["findings"][0]["id"] == first, said(r)


def test_a_ca_with_a_new_key_is_told_from_an_unknown_one(world):
    assert doctor(world, "n-s-rekeyed", ca="old-int.pem")["findings"][0]["id"] == "F11"


def test_a_wildcard_that_does_not_reach(world):
    r = doctor(world, "n-s-wild", "--name", "a.b.example.com")
    assert r["findings"][0]["id"] == "F43", said(r)


def test_the_default_site_that_answers_instead(world):
    assert doctor(world, "n-sni", cert="good", host="127.0.0.1")["findings"][0]["id"] == "F62"
    assert doctor(world, "h-sni", "--name", "unknown.example")["findings"][0]["id"] == "F62"


def test_a_path_that_asks_late(world):
    r = doctor(world, "a-late", "--path", "/secure", cert="good")
    assert r["findings"][0]["id"] == "F64", said(r)


def test_go_java_and_browsers_would_send_nothing(world):
    r = doctor(world, "h-both", cert="good-leaf")
    assert r["verdict"] == "ok", r  # the intermediate is listed
    ids = [x["id"] for x in doctor(world, "n-std", cert="good-leaf")["findings"]]
    assert ids[0] == "F01" and "F02" in ids


def test_mqtt_says_what_http_would_not(world):
    assert doctor(world, "m-std", "--proto", "mqtt", cert="good")["verdict"] == "ok"
    assert doctor(world, "m-std", "--proto", "mqtt", cert="expired")["findings"][0]["id"] == "F50"
    assert doctor(world, "m-identity", "--proto", "mqtt")["findings"][0]["id"] == "F46"


def test_a_run_is_quick_and_makes_few_connections(world):
    t = time.monotonic()
    r = doctor(world, "n-std", cert="foreign")
    assert time.monotonic() - t < 3 * PATIENCE
    assert r["connections"] <= 12, r["connections"]


def test_people_read_it_too(world):
    done = countersign("doctor", f"localhost:{world.p('h-std')}", "--ca", world.folder / "root.pem", "--cert", world.folder / "expired.crt",
                       "--key", world.folder / "expired.key", check=1)
    assert "F50" in done.stdout and "try:" in done.stdout and "seen:" in done.stdout
