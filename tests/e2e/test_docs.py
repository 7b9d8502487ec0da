"""The commands of the documentation are run as they stand there: ```sh blocks behind <!-- run -->."""
import os
import re
import signal
import subprocess

import pytest
from conftest import BUILD, ROOT, die_with_parent, run, wait_for

PAGES = [
    "docs/quickstart.md",
    "docs/guide/auditor.md",
    "docs/guide/operator.md",
    "docs/guide/iot.md",
    "docs/guide/devices.md",
    "docs/guide/it-admin.md",
    "docs/guide/hierarchy.md",
    "docs/guide/store.md",
    "docs/guide/scep.md",
    "docs/guide/acme.md",
    "docs/guide/tunnel.md",
]
BLOCK = re.compile(r"<!-- run(?P<how>[^>]*)-->\s*```sh\n(?P<text>.*?)```", re.S)


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_work(page, work):
    """One state folder and one running `up` for the page, as its reader has them; ports are ours. "before": it is run
    before `up`."""
    from conftest import free_port
    blocks = [(m["how"].strip(), m["text"]) for m in BLOCK.finditer((ROOT / page).read_text())]
    assert blocks, f"{page} has nothing to run"
    ports = {"8443": free_port(), "8880": free_port(), "9443": free_port()}
    env = {**os.environ, "COUNTERSIGN_STATE": str(work / "s"), "PATH": f"{BUILD}:{os.environ['PATH']}", "HOME": str(work)}
    for text in [text for how, text in blocks if how == "before"]:
        run("bash", "-euo", "pipefail", "-c", text, env=env, cwd=work, check=0)
    up = subprocess.Popen([BUILD / "countersign", "up", *sum(([o, f"127.0.0.1:{ports[p]}"] for o, p in (
        ("--https", "8443"), ("--http", "8880"), ("--metrics", "9443"))), [])], env=env, cwd=work,
        stdout=subprocess.DEVNULL, stderr=open(work / "log", "w"), preexec_fn=die_with_parent)
    try:
        wait_for(lambda: re.search(r"\bready\b", (work / "log").read_text()) or up.poll() is not None, 30)
        for how, text in [b for b in blocks if b[0] != "before"]:
            for doc, ours in ports.items():
                text = text.replace(f":{doc}", f":{ours}")
            done = run("bash", "-euo", "pipefail", "-c", text, env=env, cwd=work)
            if how == "fails":
                assert done.returncode != 0, f"{text}\nshould fail: {done.stdout}{done.stderr}{(work / 'log').read_text()}"
            else:
                assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}{(work / 'log').read_text()}"
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0


def test_the_operators_configurations_are_taken(work):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/guide/operator.md").read_text(), re.S)
    assert len(blocks) >= 3
    for name in ("server.crt", "server.key", "clients.pem", "clients.crl", "inner-ca.pem", "gateway.crt", "gateway.key", "orders.txt"):
        (work / name).write_text("")
    for text in blocks:
        (work / "c.yaml").write_text(text)
        done = run(BUILD / "countersign", "up", "--check", "--state", work / "s", "-c", work / "c.yaml")
        assert done.returncode == 0, text + done.stderr


def test_every_link_between_pages_leads_somewhere():
    bad = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            if not (page.parent / target).exists():
                bad.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not bad, bad
