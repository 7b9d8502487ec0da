"""ACME message by message: what must be refused, one by one, and what clients seldom do."""
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from acme_kit import (Client, Webroot, b64, challenge_of, error_of, flattened, jwk_of, new_key, site,  # noqa: F401
                      thumbprint)
from conftest import PATIENCE, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@pytest.fixture
def client(site):
    c = Client(site)
    assert c.register().status_code == 201
    return c


@pytest.fixture
def web(site, work):
    w = Webroot(site.http, work)
    yield w
    w.stop()


def csr_of(names, key=None, cn=None, extensions=()):
    key = key or new_key()
    b = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else []))
    if names:
        b = b.add_extension(x509.SubjectAlternativeName([n if not isinstance(n, str) else x509.DNSName(n) for n in names]), False)
    for e in extensions:
        b = b.add_extension(e, False)
    return b64(b.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)), key


def pems(text):
    return [x509.load_pem_x509_certificate(p + b"-----END CERTIFICATE-----\n") for p in text.split(b"-----END CERTIFICATE-----\n")[:-1]]


def settled(client, url):
    def done():
        a = client.post(url).json()
        return a if a["status"] not in ("pending", "processing") else None
    return wait_for(done, 20, every=0.1)


def prove(client, web, order):
    """Each authorization by http-01; the order is ready then."""
    for url in order.json()["authorizations"]:
        c = challenge_of(client.post(url).json(), "http-01")
        web.where[f"/.well-known/acme-challenge/{c['token']}"] = (200, {}, client.answer_of(c).encode())
        assert client.post(c["url"], {}).status_code == 200
        assert settled(client, url)["status"] == "valid"


def issued(client, web, *names):
    order = client.order(*names)
    assert order.status_code == 201, order.text
    prove(client, web, order)
    csr, key = csr_of(names)
    done = client.post(order.json()["finalize"], {"csr": csr})
    assert done.status_code == 200 and done.json()["status"] == "valid", done.text
    return done.json()["certificate"], key, order


# ---- signatures ----

def test_directory_and_nonces(site):
    c = Client(site, "")
    assert c.directory["meta"]["externalAccountRequired"] is True
    head, got = c.http.head(c.directory["newNonce"]), c.http.get(c.directory["newNonce"])
    assert (head.status_code, got.status_code) == (200, 204)
    assert head.headers["Replay-Nonce"] != got.headers["Replay-Nonce"] and got.headers["Cache-Control"] == "no-store"
    assert 'rel="index"' in got.headers["Link"]
    assert c.http.get(c.base + "/nothing").status_code == 404
    assert c.http.get(site.url("shut") + "/directory").status_code == 401  # the gateway knows no such door
    assert c.http.get(site.url("nobody") + "/directory").status_code == 404
    assert c.http.get(c.directory["newOrder"]).status_code == 405
    assert c.http.post(c.directory["newNonce"]).status_code == 405


@pytest.mark.parametrize("kind", ["ES256", "ES384", "ES512", "EdDSA", "RS256"])
def test_each_algorithm_has_an_account_and_orders(site, kind):
    c = Client(site, key=new_key(kind))
    assert c.register().status_code == 201
    assert c.order("alg.example").status_code == 201


@pytest.mark.parametrize("change,error", [
    (lambda h: h.update(alg="none"), "badSignatureAlgorithm"),
    (lambda h: h.update(alg="HS256"), "badSignatureAlgorithm"),
    (lambda h: h.update(alg="RS256"), "badSignatureAlgorithm"),
    (lambda h: h.update(alg="ES384"), "badSignatureAlgorithm"),
    (lambda h: h.pop("alg"), "malformed"),
    (lambda h: h.pop("nonce"), "badNonce"),
    (lambda h: h.update(nonce="AAAA"), "badNonce"),
    (lambda h: h.update(nonce="A" * 48), "badNonce"),
    (lambda h: h.update(nonce=h["nonce"][:-1] + ("A" if h["nonce"][-1] != "A" else "B")), "badNonce"),
    (lambda h: h.pop("url"), "malformed"),
    (lambda h: h.update(url=h["url"] + "/"), "unauthorized"),
    (lambda h: h.update(url=h["url"].replace("localhost", "ca.example")), "unauthorized"),
    (lambda h: h.update(url=h["url"].replace("new-order", "new-account")), "unauthorized"),
    (lambda h: h.update(crit=["b64"], b64=False), "malformed"),
    (lambda h: h.update(kid=h["kid"] + "x"), "accountDoesNotExist"),
    (lambda h: h.update(kid="https://ca.example/acme/account/1"), "accountDoesNotExist"),
    (lambda h: h.update(jwk=jwk_of(new_key())), "malformed"),
    (lambda h: h.pop("kid"), "malformed"),
    (lambda h: (h.pop("kid"), h.update(jwk=jwk_of(new_key()))), "malformed"),
])
def test_a_signature_that_is_not_what_it_must_be_is_refused(client, change, error):
    answer = client.post(client.directory["newOrder"], {"identifiers": [{"type": "dns", "value": "x.example"}]}, header=change)
    assert answer.status_code in (400, 401) and error_of(answer)[0] == error, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json" and answer.headers["Replay-Nonce"]
    if error == "badSignatureAlgorithm":
        assert "ES256" in answer.json()["algorithms"]


@pytest.mark.parametrize("raw", [
    "", "[]", "{", '{"protected":1,"payload":"","signature":""}', '{"payload":"","signature":""}', '{"a":1,"a":2}', "[" * 5000,
    '{"protected":"!","payload":"","signature":""}', '{"protected":"e30","payload":"","signature":"","header":{}}',
    '{"protected":"e30","payload":"","signatures":[]}', '{"protected":"e30=","payload":"","signature":""}', "\x00\xff",
])
def test_what_is_no_jws_is_refused(client, raw):
    answer = client.post(client.directory["newOrder"], raw=raw.encode("latin-1"))
    assert answer.status_code == 400 and error_of(answer) == ("malformed", "message-malformed"), answer.text


def test_bodies_of_another_type_or_size_and_other_keys_are_refused(client):
    url = client.directory["newOrder"]
    assert client.post(url, {}, media="application/json").status_code == 415
    assert client.post(url, raw=b"x" * 300000).status_code == 413
    answer = client.post(url, {}, body={"signature": b64(b"\x01" * 64)})
    assert error_of(answer) == ("malformed", "signature-invalid")
    assert error_of(client.post(url, {}, body={"signature": b64(b"\x01" * 63)}))[1] == "signature-invalid"
    answer = client.post(url, {}, key=new_key())  # another key under the account's kid
    assert error_of(answer)[1] == "signature-invalid"
    other = client.post(url, {}, key=new_key("RS256"))
    assert error_of(other)[0] == "badSignatureAlgorithm"


@pytest.mark.parametrize("jwk", [
    {}, {"kty": "oct", "k": "AAAA"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": "P-256", "x": b64(b"\1" * 32), "y": b64(b"\1" * 32)}, {"kty": "RSA", "n": b64(b"\xff" * 128), "e": "AQAB"},
    {"kty": "RSA", "n": b64(b"\xff" * 256), "e": "Aw"}, {"kty": "OKP", "crv": "X25519", "x": b64(b"\1" * 32)},
])
def test_account_keys_that_are_none_or_weak_are_refused(site, jwk):
    c = Client(site)
    answer = c.register(header=lambda h: h.update(jwk=jwk, alg="ES256"))
    assert answer.status_code == 400 and error_of(answer)[0] == "badPublicKey", answer.text


def test_a_private_key_in_a_jwk_is_refused(site):
    c = Client(site)
    assert error_of(c.register(header=lambda h: h["jwk"].update(d="AAAA")))[0] == "badPublicKey"


def test_a_request_that_comes_again_is_refused_also_beside_others_and_after_a_restart(site):
    c = Client(site)
    assert c.register().status_code == 201
    url = c.directory["newOrder"]
    assert c.order("replay.example").status_code == 201
    again = [c.http.post(url, data=c.last, headers={"Content-Type": "application/jose+json"}) for _ in range(2)]
    assert [error_of(a)[0] for a in again] == ["badNonce", "badNonce"]
    head = {"alg": "ES256", "nonce": c.fresh_nonce(), "url": url, "kid": c.kid}
    body = json.dumps(flattened(c.key, head, {"identifiers": [{"type": "dns", "value": "once.example"}]}))

    def send(_):
        return c.http.post(url, data=body, headers={"Content-Type": "application/jose+json"}).status_code
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(send, range(16))) == [201] + [400] * 15
    head["nonce"] = c.fresh_nonce()
    before = site.system.pids()["authority"]
    import os
    import signal
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: site.system.pids().get("authority") not in (None, before), 20)
    late = json.dumps(flattened(c.key, head, {"identifiers": [{"type": "dns", "value": "late.example"}]}))

    def again_later():
        a = c.http.post(url, data=late, headers={"Content-Type": "application/jose+json"})
        return [a] if a.status_code not in (502, 503, 504) else None
    assert error_of(wait_for(again_later, 20)[0])[0] == "badNonce"
    c.nonce = None
    assert c.order("after.example").status_code == 201  # accounts and orders outlive the process


# ---- accounts ----

def test_an_account_is_made_once_found_again_changed_and_deactivated(site):
    c = Client(site)
    answer = c.post(c.directory["newAccount"], {"onlyReturnExisting": True}, kid=False)
    assert error_of(answer)[0] == "accountDoesNotExist"
    first = c.register({"contact": ["mailto:a@corp.example"]})
    assert first.status_code == 201 and first.json()["contact"] == ["mailto:a@corp.example"]
    again = c.register()
    assert again.status_code == 200 and again.headers["Location"] == first.headers["Location"]
    changed = c.post(c.kid, {"contact": ["mailto:b@corp.example"]})
    assert changed.json()["contact"] == ["mailto:b@corp.example"]
    for bad in (["tel:1"], ["mailto:a@b,c@d"], "x", [1]):
        assert c.post(c.kid, {"contact": bad}).status_code == 400
    other = Client(site)
    other.register()
    assert error_of(other.post(c.kid, {"status": "deactivated"}))[0] == "unauthorized"
    order = c.order("acc.example")
    listed = c.post(c.post(c.kid).json()["orders"]).json()["orders"]
    assert listed == [order.headers["Location"]]
    assert error_of(other.post(order.headers["Location"]))[1] == "order-unknown"
    assert c.post(c.kid, {"status": "deactivated"}).json()["status"] == "deactivated"
    assert error_of(c.order("acc.example")) == ("unauthorized", "account-deactivated")
    assert error_of(c.register())[1] == "account-deactivated"


def test_the_key_of_an_account_changes_and_the_old_one_opens_nothing(site):
    c, new = Client(site), new_key("ES384")
    c.register()
    url = c.directory["keyChange"]

    def inner(key, account=None, old=None, at=url, **more):
        head = {"alg": "ES384", "jwk": jwk_of(key), "url": at, **more}
        return flattened(key, head, {"account": account or c.kid, "oldKey": jwk_of(old or c.key)})
    for bad in (inner(new, account=c.kid + "x"), inner(new, old=new_key()), inner(new, at=url + "x"), inner(new, nonce="x"),
                {**inner(new), "signature": b64(b"\1" * 96)}, {}):
        assert c.post(url, bad).status_code == 400
    other = Client(site, key=new_key("ES384"))
    other.register()
    taken = c.post(url, inner(other.key))
    assert taken.status_code == 409 and taken.headers["Location"] == other.kid
    assert c.post(url, inner(new)).status_code == 200
    assert error_of(c.post(c.kid))[1] in ("signature-invalid", "jws-algorithm-unsupported")
    c.key = new
    assert c.post(c.kid).json()["status"] == "valid"


def test_external_account_binding_is_a_token_and_nothing_else(site):
    name = "eab.example"
    token = site.token(name)
    c = Client(site, "")
    new = c.directory["newAccount"]
    assert error_of(c.register())[0] == "externalAccountRequired"
    wrong = [
        c.binding(token, name, secret="x" * 49), c.binding(token, "other.example"), c.binding(token, name, url=new + "x"),
        c.binding(token, name, key=new_key()), c.binding(token, name, header=lambda h: h.update(alg="none")),
        c.binding(token, name, header=lambda h: h.update(alg="ES256")), c.binding(token, name, header=lambda h: h.update(nonce="x")), {},
    ]
    for binding in wrong:
        answer = c.register({"externalAccountBinding": binding})
        assert answer.status_code in (400, 401), (binding, answer.text)
    made = c.register({"externalAccountBinding": c.binding(token, name)})
    assert made.status_code == 201
    assert c.register({"externalAccountBinding": c.binding(token, name)}).status_code == 200  # it is there already
    d = Client(site, "")
    assert error_of(d.register({"externalAccountBinding": d.binding(token, name)}))[0] == "unauthorized"
    assert error_of(c.order("x.example")) == ("rejectedIdentifier", "name-not-allowed")
    assert c.order(name, "x.example").status_code == 201
    site.system.run("token", "revoke", token["id"], check=0)
    assert error_of(c.order(name)) == ("unauthorized", "token-invalid")
    opened = Client(site, "open")
    opened.register()
    opened.base, opened.directory = site.url(), c.directory
    opened.kid = opened.kid.replace("/acme/open/", "/acme/")
    assert error_of(opened.order("y.example"))[0] == "externalAccountRequired"  # made where none was needed


def test_a_token_for_a_device_orders_nothing_here(site):
    token = site.token("pump-acme", "device")
    c = Client(site, "")
    assert c.register({"externalAccountBinding": c.binding(token, "pump-acme")}).status_code == 201
    assert c.order("pump.example").status_code in (400, 403)


# ---- orders ----

@pytest.mark.parametrize("ids,error", [
    ([], "malformed"), ("x", "malformed"), ([{"type": "dns"}], "malformed"), ([{"type": "dns", "value": 1}], "malformed"),
    ([{"type": "email", "value": "a@b.example"}], "unsupportedIdentifier"), ([{"type": "dns", "value": ""}], "rejectedIdentifier"),
    ([{"type": "dns", "value": "a..b"}], "rejectedIdentifier"), ([{"type": "dns", "value": "*.*.b.example"}], "rejectedIdentifier"),
    ([{"type": "dns", "value": "a b.example"}], "rejectedIdentifier"), ([{"type": "dns", "value": "127.0.0.1"}], "rejectedIdentifier"),
    ([{"type": "dns", "value": "x'; DROP TABLE acme_orders;--"}], "rejectedIdentifier"), ([{"type": "dns", "value": "x\u0000.example"}], "malformed"),
    ([{"type": "ip", "value": "999.0.0.1"}], "rejectedIdentifier"), ([{"type": "ip", "value": "127.0.0.1/8"}], "rejectedIdentifier"),
    ([{"type": "dns", "value": f"n{i}.example"} for i in range(101)], "malformed"),
])
def test_identifiers_that_are_none_are_refused(client, ids, error):
    answer = client.post(client.directory["newOrder"], {"identifiers": ids})
    assert 400 <= answer.status_code < 500 and error_of(answer)[0] == error, answer.text


def test_orders_say_what_they_are_for(client):
    order = client.order("B.Order.example", "a.order.example", "b.order.example", {"type": "ip", "value": "0:0::1"})
    assert order.status_code == 201 and order.headers["Location"]
    o = order.json()
    assert o["status"] == "pending" and o["expires"] and o["profile"] == "server" and len(o["authorizations"]) == 3
    assert o["identifiers"] == [{"type": "dns", "value": "b.order.example"}, {"type": "dns", "value": "a.order.example"},
                                {"type": "ip", "value": "::1"}]
    authzs = client.authorizations(order)
    assert [a["status"] for a in authzs] == ["pending"] * 3
    assert {c["type"] for c in authzs[0]["challenges"]} == {"http-01", "dns-01", "tls-alpn-01"}
    assert {c["type"] for c in authzs[2]["challenges"]} == {"http-01", "tls-alpn-01"}
    wild = client.authorizations(client.order("*.order.example"))[0]
    assert wild["wildcard"] is True and wild["identifier"]["value"] == "order.example"
    assert [c["type"] for c in wild["challenges"]] == ["dns-01"]
    assert client.order("x.example", notAfter="2030-01-01T00:00:00Z").status_code == 400
    assert error_of(client.order("x.example", profile="nobody"))[0] == "invalidProfile"
    assert error_of(client.post(o["finalize"], {"csr": csr_of(["x.example"])[0]}))[0] == "orderNotReady"


def test_a_profile_says_which_names(site):
    c = Client(site, "narrow")
    c.register()
    assert error_of(c.order("a.wide.example"))[0] == "rejectedIdentifier"
    assert error_of(c.order("a.narrow.example", "a.wide.example"))[0] == "rejectedIdentifier"
    assert c.order("a.narrow.example").status_code == 201


def test_an_account_has_only_so_many_orders_that_wait(site):
    c = Client(site)
    c.register()
    for i in range(300):
        assert c.order("many.example").status_code == 201, i
    answer = c.order("many.example")
    assert answer.status_code == 429 and error_of(answer)[0] == "rateLimited" and answer.headers["Retry-After"]


# ---- requests for certificates ----

def otherwise(order):
    """What a request may not be, for an order of a.csr.example and b.csr.example."""
    both = ["a.csr.example", "b.csr.example"]
    return {
        "fewer": csr_of(both[:1])[0], "none": csr_of([])[0], "more": csr_of([*both, "c.csr.example"])[0],
        "another": csr_of(["a.csr.example", "c.csr.example"])[0], "cn": csr_of(both, cn="c.csr.example")[0],
        "address": csr_of([*both, x509.IPAddress(__import__("ipaddress").ip_address("10.0.0.1"))])[0],
        "mail": csr_of([*both, x509.RFC822Name("a@csr.example")])[0], "uri": csr_of([*both, x509.UniformResourceIdentifier("spiffe://x/y")])[0],
        "upn": csr_of([*both, x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01a")])[0],
        "ca": csr_of(both, extensions=[x509.BasicConstraints(True, None)])[0], "wild": csr_of(["*.csr.example", "b.csr.example"])[0],
        "cut": csr_of(both)[0][:-20], "text": b64(b"-----BEGIN"), "pad": csr_of(both)[0] + "==",
    }


def test_a_request_that_is_not_for_just_the_ordered_names_is_refused_and_the_right_one_is_taken(client, web):
    order = client.order("a.csr.example", "b.csr.example")
    prove(client, web, order)
    assert client.post(order.headers["Location"]).json()["status"] == "ready"
    for what, csr in otherwise(order).items():
        answer = client.post(order.json()["finalize"], {"csr": csr})
        assert 400 <= answer.status_code < 500 and error_of(answer)[0] == "badCSR", (what, answer.text)
    own, _ = csr_of(["a.csr.example", "b.csr.example"], key=client.key)
    assert error_of(client.post(order.json()["finalize"], {"csr": own}))[0] == "badCSR"
    csr, _ = csr_of(["b.csr.example", "a.csr.example"], cn="b.csr.example",
                    extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])])
    done = client.post(order.json()["finalize"], {"csr": csr})
    assert done.json()["status"] == "valid", done.text
    chain = pems(client.post(done.json()["certificate"]).content)
    assert len(chain) == 2
    assert chain[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value._usages == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert error_of(client.post(order.json()["finalize"], {"csr": csr}))[0] == "orderNotReady"


def test_the_chain_and_its_alternate(client, web):
    url, _, _ = issued(client, web, "chain.example")
    answer = client.post(url)
    assert answer.headers["Content-Type"] == "application/pem-certificate-chain"
    other = next(w.split(">")[0][1:] for w in answer.headers["Link"].split(", ") if "alternate" in w)
    assert client.post(other).text.startswith(answer.text)
    assert len(pems(client.post(other).content)) == 3
    stranger = Client(client.site)
    stranger.register()
    assert error_of(stranger.post(url))[1] == "order-unknown"


def test_a_profile_may_want_a_persons_yes(site, web):
    c = Client(site, "asked")
    c.register()
    order = c.order("asked.example")
    prove(c, web, order)
    csr, _ = csr_of(["asked.example"])
    waits = c.post(order.json()["finalize"], {"csr": csr})
    assert waits.json()["status"] == "processing" and int(waits.headers["Retry-After"]) > 0
    row = json.loads(site.system.run("request", "list", "--json", check=0).stdout.splitlines()[0])
    assert row["name"] == "asked.example" and row["credential"].startswith("acme order")
    site.system.run("request", "approve", row["id"], check=0)
    done = c.post(order.headers["Location"]).json()
    assert done["status"] == "valid" and c.post(done["certificate"]).status_code == 200
    order = c.order("asked.example")
    prove(c, web, order)
    c.post(order.json()["finalize"], {"csr": csr_of(["asked.example"])[0]})
    row = json.loads(site.system.run("request", "list", "--json", check=0).stdout.splitlines()[0])
    site.system.run("request", "deny", row["id"], "--note", "no", check=0)
    denied = c.post(order.headers["Location"]).json()
    assert denied["status"] == "invalid" and denied["error"]["type"].endswith("unauthorized")


# ---- revocation and renewal ----

def test_who_ordered_it_or_has_its_key_revokes_and_nobody_else(client, web):
    url, key, _ = issued(client, web, "revoke.example")
    der = pems(client.post(url).content)[0].public_bytes(Encoding.DER)
    to, stranger = client.directory["revokeCert"], Client(client.site)
    stranger.register()
    assert error_of(stranger.post(to, {"certificate": b64(der)}))[0] == "unauthorized"
    assert error_of(stranger.post(to, {"certificate": b64(der)}, key=new_key(), kid=False))[0] == "unauthorized"
    for reason in (2, 6, 7, 8, 10, 99, -1, "1"):
        assert error_of(client.post(to, {"certificate": b64(der), "reason": reason}))[0] == "badRevocationReason"
    foreign = client.site.system.ca.read_bytes()
    foreign = x509.load_pem_x509_certificate(foreign).public_bytes(Encoding.DER)
    assert client.post(to, {"certificate": b64(foreign)}).status_code == 404
    assert client.post(to, {"certificate": "AAAA"}).status_code == 400
    assert client.post(to, {"certificate": b64(der), "reason": 4}, key=key, kid=False).status_code == 200
    assert error_of(client.post(to, {"certificate": b64(der)}))[0] == "alreadyRevoked"


def test_who_proves_all_names_of_a_certificate_may_revoke_it(client, web):
    url, _, _ = issued(client, web, "moved.example", "moved2.example")
    der = pems(client.post(url).content)[0].public_bytes(Encoding.DER)
    heir = Client(client.site)
    heir.register()
    prove(heir, web, heir.order("moved.example"))
    assert error_of(heir.post(heir.directory["revokeCert"], {"certificate": b64(der)}))[0] == "unauthorized"
    prove(heir, web, heir.order("moved2.example"))
    assert heir.post(heir.directory["revokeCert"], {"certificate": b64(der)}).status_code == 200


def cert_id(cert):
    aki = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    n = cert.serial_number
    return f"{b64(aki)}.{b64(n.to_bytes(n.bit_length() // 8 + 1, 'big'))}"


def test_renewal_information_of_any_certificate_and_orders_that_replace(client, web):
    url, key, _ = issued(client, web, "ari.example")
    cert = pems(client.post(url).content)[0]
    at = client.directory["renewalInfo"]
    answer = client.http.get(f"{at}/{cert_id(cert)}")
    window = answer.json()["suggestedWindow"]
    assert cert.not_valid_before.isoformat() < window["start"] < window["end"] < cert.not_valid_after.isoformat() + "Z"
    assert int(answer.headers["Retry-After"]) == 6 * 3600
    device = x509.load_pem_x509_certificate(client.site.system.crt.read_bytes())
    assert client.http.get(f"{at}/{cert_id(device)}").status_code == 200  # whichever way it came
    for bad in ("x", "x.y", cert_id(cert)[:-1] + "!", "AAAA." + cert_id(cert).partition(".")[2], cert_id(cert).partition(".")[0] + ".AAAA"):
        assert client.http.get(f"{at}/{bad}").status_code in (400, 404), bad
    assert client.order("ari.example", replaces="x.y").status_code == 400
    stranger = Client(client.site)
    stranger.register()
    assert error_of(stranger.order("ari.example", replaces=cert_id(cert)))[0] == "unauthorized"
    assert client.order("ari.example", replaces=cert_id(cert)).status_code == 201
    assert error_of(client.order("ari.example", replaces=cert_id(cert)))[0] == "alreadyReplaced"
    client.post(client.directory["revokeCert"], {"certificate": b64(cert.public_bytes(Encoding.DER))})
    window = client.http.get(f"{at}/{cert_id(cert)}").json()["suggestedWindow"]
    assert window["end"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))


# ---- challenges ----

def failed(client, order, kind, seconds=30):
    """The error of the one authorization's challenge, which must fail."""
    authz = client.authorizations(order)[0]
    assert client.post(challenge_of(authz, kind)["url"], {}).status_code == 200
    a = settled(client, order.json()["authorizations"][0])
    assert a["status"] == "invalid" and [c["type"] for c in a["challenges"]] == [kind]
    assert client.post(order.headers["Location"]).json()["status"] == "invalid"
    return a["challenges"][0]["error"]


def test_an_answer_that_is_wrong_fails_and_is_not_repeated_to_the_client(client, web):
    orders = {n: client.order(n) for n in ("wrong.http.example", "big.http.example", "gone.http.example")}
    where = {n: challenge_of(client.authorizations(o)[0], "http-01") for n, o in orders.items()}
    path = {n: f"/.well-known/acme-challenge/{c['token']}" for n, c in where.items()}
    web.where[path["wrong.http.example"]] = (200, {}, b"SECRET-OF-AN-INNER-SERVER")
    web.where[path["big.http.example"]] = (200, {}, b"x" * 200000)
    errors = {n: failed(client, o, "http-01") for n, o in orders.items()}
    assert errors["wrong.http.example"]["type"].endswith("incorrectResponse") and "SECRET" not in json.dumps(errors)
    assert errors["big.http.example"]["type"].endswith("connection")
    assert "404" in errors["gone.http.example"]["detail"]


def test_challenges_lead_nowhere_that_policy_forbids(client, web, site):
    inner = ["10.0.0.1", "169.254.169.254", "192.168.1.1", "224.0.0.1", "0.0.0.0", "100.64.0.1"]
    for i, address in enumerate(inner):
        site.resolver.addresses[f"s{i}.inner.example"] = [address]
    orders = [client.order(f"s{i}.inner.example") for i in range(len(inner))]
    for order in orders:
        client.post(challenge_of(client.authorizations(order)[0], "http-01")["url"], {})
    for i, order in enumerate(orders):
        a = settled(client, order.json()["authorizations"][0])
        error = a["challenges"][0]["error"]
        assert a["status"] == "invalid" and error["reason"] == "fetch-forbidden" and inner[i] not in json.dumps(error)
    assert not web.hits
    e = failed(client, client.order({"type": "ip", "value": "10.0.0.1"}), "http-01")
    assert e["reason"] == "fetch-forbidden", e
    assert failed(client, client.order({"type": "ip", "value": "10.0.0.1"}), "tls-alpn-01")["reason"] == "fetch-forbidden"


def test_a_name_that_changes_its_mind_is_asked_once(client, web, site):
    site.resolver.addresses["rebind.example"] = [["127.0.0.1"]] + [["10.0.0.1"]] * 20
    order = client.order("rebind.example")
    c = challenge_of(client.authorizations(order)[0], "http-01")
    web.where[f"/.well-known/acme-challenge/{c['token']}"] = (200, {}, client.answer_of(c).encode())
    client.post(c["url"], {})
    assert settled(client, order.json()["authorizations"][0])["status"] == "valid"  # connected to what was judged
    asked = [q for q in site.resolver.asked if q == ("rebind.example", "A")]
    assert len(asked) == 1


@pytest.mark.parametrize("to,good", [
    ("http://redirect.example:{http}/here", True), ("/here", True), ("http://other.example:{http}/here", False), ("http://127.0.0.1:{http}/here", False),
    ("http://redirect.example:{https}/here", False), ("file:///etc/passwd", False), ("http://a@redirect.example:{http}/here", False),
    ("https://redirect.example:{https}/here", False),
])
def test_redirects_stay_with_the_name(client, web, site, to, good):
    order = client.order("redirect.example")
    c = challenge_of(client.authorizations(order)[0], "http-01")
    to = to.format(http=site.http, https=site.system.https)
    web.where[f"/.well-known/acme-challenge/{c['token']}"] = (302, {"Location": to}, b"")
    web.where["/here"] = (200, {}, client.answer_of(c).encode())
    client.post(c["url"], {})
    a = settled(client, order.json()["authorizations"][0])
    assert a["status"] == ("valid" if good else "invalid"), a


def test_redirects_in_a_circle_end(client, web):
    order = client.order("circle.example")
    c = challenge_of(client.authorizations(order)[0], "http-01")
    path = f"/.well-known/acme-challenge/{c['token']}"
    web.where[path] = (301, {"Location": path}, b"")
    client.post(c["url"], {})
    assert settled(client, order.json()["authorizations"][0])["status"] == "invalid"
    assert len([h for h in web.hits if h == path]) <= 12


def test_a_text_of_the_dns_proves_a_name_among_others(client, site):
    order = client.order("*.dns.example")
    c = challenge_of(client.authorizations(order)[0], "dns-01")
    import hashlib
    digest = b64(hashlib.sha256(client.answer_of(c).encode()).digest())
    (site.resolver.folder / "_acme-challenge.dns.example").write_text(f"something\n{'x' * 200}\n{digest}\n")
    client.post(c["url"], {})
    assert settled(client, order.json()["authorizations"][0])["status"] == "valid"
    assert failed(client, client.order("nothing.dns.example"), "dns-01")["type"].endswith("dns")
    (site.resolver.folder / "_acme-challenge.wrong.dns.example").write_text("x\n")
    assert failed(client, client.order("wrong.dns.example"), "dns-01")["type"].endswith("incorrectResponse")


def test_one_challenge_of_an_authorization_counts(client, web):
    order = client.order("one.example")
    authz = client.authorizations(order)[0]
    h = challenge_of(authz, "http-01")
    web.where[f"/.well-known/acme-challenge/{h['token']}"] = (200, {}, client.answer_of(h).encode())
    assert client.post(h["url"]).json()["status"] == "pending"  # asked, not met
    client.post(h["url"], {})
    assert settled(client, order.json()["authorizations"][0])["status"] == "valid"
    assert client.post(challenge_of(authz, "dns-01")["url"], {}).json()["status"] in ("pending", "valid")
    stranger = Client(client.site)
    stranger.register()
    assert error_of(stranger.post(h["url"], {}))[1] == "order-unknown"
    gone = client.post(order.json()["authorizations"][0], {"status": "deactivated"}).json()
    assert gone["status"] == "deactivated"
    assert client.post(order.headers["Location"]).json()["status"] == "invalid"
    assert client.post(f"{client.base}/challenge/{'a' * 26}/http-01", {}).status_code == 404


def test_a_fetcher_that_is_killed_costs_a_wait(client, web, site):
    import os
    import signal
    before = site.system.pids()["fetcher"]
    os.kill(before, signal.SIGKILL)
    url, _, _ = issued(client, web, "killed.example")
    assert client.post(url).status_code == 200
    assert site.system.pids()["fetcher"] != before
    assert PATIENCE >= 1 and thumbprint(client.key)
