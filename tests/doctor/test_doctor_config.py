"""With the server's own configuration: nginx answers 400 for every cause, its files tell which."""
import json

import pytest
from conftest import countersign
from test_doctor_servers import make_credentials, said
from world import World, c, cert, crl, key, pem_crl


@pytest.fixture(scope="module")
def world():
    w = World()
    f, d = w.files, w.folder
    make_credentials(f)
    f.write("int-only.crl", pem_crl(crl(f.int)))
    f.write("gone.pem", cert("Gone Root", ca=True).pem)
    namesake = cert("Doctor Issuing", by=f.root, ca=True, k=key("p256-doctor-namesake"))
    f.write("twice.pem", namesake.pem + f.int.pem + f.root.pem)
    f.put("nameless", f.leaf("nameless", drop=[c.AKI]))
    ask = f"ssl_client_certificate {d}/root.pem; ssl_verify_client on; ssl_verify_depth 3;"
    w.nginx({"std": ask, "depth": ask.replace("depth 3", "depth 1"), "int": f"ssl_client_certificate {d}/int.pem; ssl_verify_client on;",
             "one": ask + f"ssl_crl {d}/int-only.crl;", "stale": ask + f"ssl_crl {d}/stale.pem;", "early": ask + f"ssl_crl {d}/early.pem;",
             "bad": ask + f"ssl_crl {d}/bad.pem;", "crls": ask + f"ssl_crl {d}/crls.pem;", "twice": ask.replace("root.pem", "twice.pem"),
             "old": ask.replace("root.pem", "old-int.pem"), "include": f"include {d}/more*.conf;"} if f.write("more.conf", ask) else {})
    verify = f"SSLCACertificateFile {d}/root.pem\nSSLVerifyClient require\nSSLVerifyDepth 5\n"
    w.apache({"a-unchecked": verify + f"SSLCARevocationFile {d}/crls.pem", "a-depth": verify.replace("Depth 5", "Depth 1"),
              "a-leaf": verify + f"SSLCARevocationFile {d}/int-only.crl\nSSLCARevocationCheck leaf",
              "a-path": verify.replace(f"File {d}/root.pem", f"Path {d}/hashless")} if not f.path("hashless").mkdir() and
             f.write("hashless/root.pem", f.root.pem) else {})
    yield w
    w.close()


def doctor(w, port, crt, kind="nginx", config=None):
    done = countersign("doctor", f"localhost:{w.p(port)}", "--json", "--ca", w.folder / "root.pem", "--cert", w.folder / f"{crt}.crt", "--key",
                       w.folder / f"{crt.removesuffix('-leaf')}.key", "--server-config", config or w.servers[kind].config)
    return json.loads(done.stdout)


CASES = [("F15", "depth", "deep", "nginx"), ("F03", "int", "good", "nginx"), ("F75", "one", "good", "nginx"), ("F52", "stale", "good", "nginx"),
         ("F78", "early", "good", "nginx"), ("F77", "bad", "good", "nginx"), ("F101", "crls", "revoked", "nginx"), ("F12", "twice", "nameless", "nginx"),
         ("F11", "old", "rekeyed-leaf", "nginx"), ("F04", "std", "foreign", "nginx"), ("F01", "std", "good-leaf", "nginx"),
         ("F76", "a-unchecked", "good", "apache"), ("F16", "a-depth", "good", "apache"), ("F36", "a-path", "good", "apache"),
         (None, "std", "good", "nginx"), (None, "crls", "good", "nginx"), (None, "include", "good", "nginx"), (None, "a-leaf", "good", "apache")]


@pytest.mark.parametrize("first,port,crt,kind", CASES, ids=[f"{a}-{b}-{d}" for a, b, d, _ in CASES])
def test_the_configuration_tells_which(world, first, port, crt, kind):
    if crt == "rekeyed-leaf":
        whole = world.files.path("rekeyed.crt").read_text()
        world.files.write("rekeyed-leaf.crt", whole[:whole.index("-----END")] + "-----END CERTIFICATE-----\n")
    r = doctor(world, port, crt, kind)
    problems = [x for x in r["findings"] if x["kind"] == "problem"]
    assert (problems[0]["id"] if problems else None) == first, said(r)
    assert "1 of them on this port" in r["facts"]["server's configuration"], r["facts"]


def judge(w, text, name="conf"):
    f = w.files.write(name, text.replace("@D@", str(w.folder)))
    done = countersign("doctor", "127.0.0.1:1", "--json", "--server-config", f, "--cert", w.folder / "good.crt", "--key", w.folder / "good.key")
    return [x["id"] for x in json.loads(done.stdout)["findings"] if x["id"] != "F82"]  # nothing listens there


def test_others_are_read_too(world):
    assert judge(world, "frontend a\n  bind :1 ssl crt @D@/server.crt ca-file @D@/int.pem verify required\n")[0] == "F03"
    assert judge(world, "listener 1\ncafile @D@/root.pem\nuse_identity_as_username true\n")[0] == "F46"
    assert judge(world, "listener 1\ncafile @D@/missing.pem\nrequire_certificate true\n")[0] == "F28"
    assert judge(world, "server { listen 1 ssl; ssl_certificate @D@/server.crt; ssl_certificate_key @D@/good.key; }")[0] == "F21"


@pytest.mark.parametrize("text", ["http { include @D@/loop; ssl_certificate x; }", "http { ssl_certificate x; server {", "ssl_certificate \0;", "", "x",
                                  "http { ssl_certificate x; " + "a {" * 40, "server { listen 1 ssl; ssl_certificate \"" + "y" * 5000 + "\"; }"])
def test_what_is_no_configuration_is_named_and_bounded(world, text):
    found = judge(world, text, "loop")
    assert "F116" in found or "y" * 500 in text, found


def test_a_missing_file_is_named(world):
    r = doctor(world, "std", "good", config=world.folder / "nowhere.conf")
    assert "F116" in [x["id"] for x in r["findings"]]
