"""ACME on several authority nodes with one PostgreSQL: accounts, orders and nonces are everybody's."""
import http.client
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from acme_kit import flattened, jwk_of, new_key
from authority import Authority, UnixConnection
from conftest import PATIENCE
from postgres import Postgres

DOOR = "enroll:\n  doors:\n    - {protocol: acme, label: open, accounts: open, profile: server}\n"
BASE = "https://ca.example/acme/open"


@pytest.fixture(scope="module")
def nodes():
    server = Postgres()
    server.start()
    name = f"a{time.monotonic_ns()}"
    server.sql(f"CREATE DATABASE {name}")
    config = f"store: {server.url(name)}\n{DOOR}"
    one, two = Authority(config=config), Authority(config=config)
    one.start()
    for folder in ("ca", "signer", "authority"):  # the keys of CA and tokens are shared
        shutil.rmtree(two.state / folder, ignore_errors=True)
    shutil.copytree(one.state / "ca", two.state / "ca")
    shutil.copytree(one.state / "signer", two.state / "signer")
    (two.state / "authority").mkdir(mode=0o700)
    shutil.copy2(one.state / "authority" / "enroll.key", two.state / "authority")
    two.start()
    yield one, two
    one.close()
    two.close()
    server.close()


def ask(node, method, url, body=None):
    """(status, headers, parsed body), as the gateway would ask."""
    c = UnixConnection(node.run / "authority.sock", 30 * PATIENCE)
    heads = {"X-Forwarded-Proto": "https", "Host": "ca.example", "Content-Type": "application/jose+json", "X-Forwarded-For": "192.0.2.1"}
    try:
        c.request(method, url.removeprefix("https://ca.example"), body, heads)
        r = c.getresponse()
        text = r.read()
        return r.status, r.headers, json.loads(text) if text else None
    except http.client.HTTPException as e:
        pytest.fail(str(e))
    finally:
        c.close()


def nonce(node):
    return ask(node, "HEAD", BASE + "/new-nonce")[1]["Replay-Nonce"]


def signed(key, url, payload, nonce, kid=None):
    head = {"alg": "ES256", "nonce": nonce, "url": url, **({"kid": kid} if kid else {"jwk": jwk_of(key)})}
    return json.dumps(flattened(key, head, payload))


def test_what_begins_at_one_node_goes_on_at_the_other_and_a_nonce_is_used_once_on_both(nodes):
    one, two = nodes
    key = new_key()
    status, heads, _ = ask(two, "POST", BASE + "/new-account", signed(key, BASE + "/new-account", {}, nonce(one)))
    assert status == 201
    kid, url = heads["Location"], BASE + "/new-order"
    wanted = {"identifiers": [{"type": "dns", "value": "a.nodes.example"}]}
    body = signed(key, url, wanted, nonce(two), kid)
    assert ask(one, "POST", url, body)[0] == 201
    for node in (one, two):
        status, _, problem = ask(node, "POST", url, body)
        assert status == 400 and problem["type"].endswith("badNonce")
    body = signed(key, url, wanted, nonce(one), kid)
    with ThreadPoolExecutor(8) as pool:
        got = sorted(pool.map(lambda i: ask(nodes[i % 2], "POST", url, body)[0], range(12)))
    assert got == [201] + [400] * 11
