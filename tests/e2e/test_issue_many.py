"""Many certificates in one request of the REST interface: each for itself, durable together."""
import json

from conftest import run


def ask(system, requests):
    done = run("curl", "-sS", "--unix-socket", system.state / "run/control.sock",
               "http://localhost/api/v1/certificates/batch", "-d", json.dumps({"requests": requests}), check=0)
    return json.loads(done.stdout)


def csr(tmp_path, name):
    key, out = tmp_path / f"{name}.key", tmp_path / f"{name}.csr"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/",
        "-keyout", key, "-out", out, check=0)
    return out.read_text()


def test_each_of_a_batch_is_answered_for_itself(up, tmp_path):
    text = csr(tmp_path, "a")
    results = ask(up, [
        {"kind": "device", "name": "many-1", "csr": text, "idempotency_key": "many-1"},
        {"kind": "device", "name": "../many", "csr": text},
        {"kind": "toaster", "name": "many-2", "csr": text},
        {"kind": "user", "name": "many@corp.example", "csr": csr(tmp_path, "b")},
        "nonsense",
    ])["results"]
    assert [r.get("reason") for r in results] == [None, "name-invalid", "profile-unknown", None, "message-malformed"]
    assert results[0]["name"] == "many-1" and results[3]["name"] == "many@corp.example"
    again = ask(up, [{"kind": "device", "name": "many-1", "csr": text, "idempotency_key": "many-1"}])["results"]
    assert again[0]["serial"] == results[0]["serial"]


def test_one_key_twice_in_a_batch_is_one_certificate(up, tmp_path):
    item = {"kind": "device", "name": "many-3", "csr": csr(tmp_path, "c"), "idempotency_key": "many-3"}
    other = {"kind": "device", "name": "many-4", "csr": csr(tmp_path, "d"), "idempotency_key": "many-3"}
    one, two, three = ask(up, [item, item, other])["results"]
    assert one["serial"] == two["serial"]
    assert three["reason"] == "idempotency-conflict"


def test_a_batch_has_a_bound(up):
    assert ask(up, [{}] * 65)["reason"] == "message-malformed"
    assert ask(up, [])["reason"] == "message-malformed"
