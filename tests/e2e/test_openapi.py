"""The API's own description, held against the API: what it names is there, and nothing that is sent makes a failure of ours."""
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import System
from test_admin import Api, csr, pem_of

STRANGE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=40),
                    st.lists(st.text(max_size=5), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2))
WORDS = st.sampled_from(["device", "user", "server", "a@corp.example", "pump-1", "all", "oldest", "0", "1", "-1", "zz", "00",
                         "ab" * 16, "key-compromise", "certificate-hold", "auditor", "' OR 1=1 --", "<b>", "x" * 300, "\u0000", "é"])


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    s = System()
    s.start()
    made = Api(s, pem_of(s.examples / "admin.p12", tmp_path_factory.mktemp("admin")))
    made.base = s.url("")
    made.system = s
    yield made
    s.stop()
    s.close()


@pytest.fixture(scope="module")
def document(api):
    return api("GET", "/api/v1/openapi.json").json()


def operations(document):
    return [(path, method.upper(), op) for path, ops in document["paths"].items() for method, op in ops.items()]


def of_type(schema):
    if "enum" in schema:
        return st.one_of(st.sampled_from(schema["enum"]), WORDS)
    if schema["type"] == "array":
        return st.lists(st.dictionaries(st.sampled_from(["kind", "name", "csr"]), WORDS, max_size=3)
                        if schema["items"]["type"] == "object" else WORDS, max_size=3)
    if schema["type"] == "integer":
        return st.one_of(st.integers(), st.integers(0, 5))
    return st.one_of(WORDS, st.text(max_size=40), st.just(CSR))


CSR = csr()


def test_it_is_an_openapi_document_that_names_every_route_with_its_roles(document):
    assert document["openapi"].startswith("3.1") and len(document["paths"]) > 15
    for path, method, op in operations(document):
        assert path.startswith("/api/v1/") and op["summary"] and "default" in op["responses"], path
        assert ("{id}" in path) == any(p["in"] == "path" for p in op.get("parameters", [])), path
    assert document["paths"]["/api/v1/log"]["get"]["x-roles"] == "auditor"
    assert document["components"]["schemas"]["Problem"]["properties"]["reason"]


def test_every_route_that_is_named_is_there(api, document):
    for path, method, op in operations(document):
        got = api(method, path.replace("{id}", "ab" * 16), json={} if method == "POST" else None)
        assert got.status_code < 500 and got.json().get("reason") not in ("route-unknown", "http-method-not-allowed"), (path, got.text)
        other = api("DELETE", path.replace("{id}", "ab" * 16))
        assert other.status_code in (404, 405), (path, other.text)


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_that_is_sent_makes_a_failure_of_ours(api, document, data):
    path, method, op = data.draw(st.sampled_from(operations(document)))
    fields = op.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {}).get("properties", {})
    query = {p["name"]: data.draw(of_type(p["schema"])) for p in op.get("parameters", []) if p["in"] == "query" and data.draw(st.booleans())}
    body = {k: data.draw(st.one_of(of_type(v), STRANGE)) for k, v in fields.items() if data.draw(st.booleans())}
    how = data.draw(st.sampled_from(["json", "json", "json", "raw"]))
    word = data.draw(st.sampled_from(["ab" * 16, "0", "zz", "a%00b", "%2e%2e", "x" * 300]))
    extra = {"json": body} if how == "json" else {"data": data.draw(st.binary(max_size=60))}
    got = api(method, path.replace("{id}", word), params=query, **(extra if method == "POST" else {}))
    assert got.status_code < 500, (method, path, query, body, got.text)
    if got.status_code >= 400:
        problem = got.json()
        assert problem["reason"] and problem["status"] == got.status_code, got.text
    else:
        assert isinstance(json.loads(got.text), dict)
