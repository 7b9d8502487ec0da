"""Who may pass by the profile by which a certificate was issued."""
from conftest import run


def get(s, crt, path):
    done = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", s.ca, "--cert", crt, "--key",
               crt.with_suffix(".key"), s.url(path), check=0)
    return int(done.stdout)


def test_a_route_for_one_profile(system, tmp_path):
    s = system()
    s.start()
    s.stop()
    (s.state / "countersign.yaml").write_text("""
profiles: [{name: sensor, kind: device, lifetime: 3d}]
sites:
  - name: "*"
    routes:
      - {path: /sensors, allow: [{profile: sensor}]}
      - {path: /plain, allow: [{profile: device}]}
      - {path: /any, allow: [{profile: "*"}]}
""")
    s.start()
    s.run("issue", "device", "s-1", "--profile", "sensor", "--out", tmp_path, check=0)
    s.run("issue", "device", "d-1", "--out", tmp_path, check=0)
    sensor, plain = tmp_path / "s-1.crt", tmp_path / "d-1.crt"
    assert [get(s, sensor, p) for p in ("/sensors", "/plain", "/any")] == [200, 403, 200]
    assert [get(s, plain, p) for p in ("/sensors", "/plain", "/any")] == [403, 200, 200]
