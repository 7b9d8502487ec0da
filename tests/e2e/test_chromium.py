"""A browser with the user's P12 chooses the certificate by policy and shows the upstream's page."""
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import PATIENCE, run

POLICIES = Path("/etc/chromium/policies/managed")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
         "--disable-extensions", "--disable-default-apps", "--window-size=900,700", "--virtual-time-budget=3000"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed"),
    pytest.mark.skipif(os.getuid() != 0, reason="a managed policy needs root"),
]


@pytest.fixture
def home(up, work):
    """A home folder whose certificate database holds the example user and our root."""
    db = work / ".pki/nssdb"
    db.mkdir(parents=True)
    run("certutil", "-N", "-d", f"sql:{db}", "--empty-password", check=0)
    run("pk12util", "-i", up.p12, "-d", f"sql:{db}", "-W", up.p12_password, check=0)
    run("certutil", "-A", "-d", f"sql:{db}", "-t", "C,,", "-n", "countersign", "-i", up.ca, check=0)
    return work


@pytest.fixture
def policy(up):
    """The certificate is chosen without asking, for this site only."""
    POLICIES.mkdir(parents=True, exist_ok=True)
    f = POLICIES / f"countersign-test-{up.https}.json"
    rule = json.dumps({"pattern": f"https://localhost:{up.https}", "filter": {}})
    f.write_text(json.dumps({"AutoSelectCertificateForUrls": [rule]}))
    yield f
    f.unlink(missing_ok=True)


def browse(home, url, *more):
    return run("timeout", str(90 * PATIENCE), "chromium", *FLAGS, f"--user-data-dir={home}/profile", *more, url,
               env={"HOME": str(home), "XDG_CONFIG_HOME": f"{home}/.config", "XDG_CACHE_HOME": f"{home}/.cache",
                    "DBUS_SESSION_BUS_ADDRESS": "/dev/null"}, timeout=100)


def test_it_shows_the_page_with_the_users_identity(up, home, policy):
    done = browse(home, up.url("/"), "--dump-dom")
    assert 'id="identity"' in done.stdout, done.stdout[-1500:] + done.stderr[-1500:]
    assert "@" in done.stdout.split('id="identity">')[1].split("<")[0]


def test_the_page_can_be_looked_at(up, home, policy, tmp_path):
    shot = tmp_path / "page.png"
    done = browse(home, up.url("/"), f"--screenshot={shot}")
    assert shot.exists() and shot.stat().st_size > 5000, done.stderr[-1500:]


def test_without_the_certificate_it_gets_no_page(up, work, policy):
    db = work / ".pki/nssdb"
    db.mkdir(parents=True)
    run("certutil", "-N", "-d", f"sql:{db}", "--empty-password", check=0)
    run("certutil", "-A", "-d", f"sql:{db}", "-t", "C,,", "-n", "countersign", "-i", up.ca, check=0)
    done = browse(work, up.url("/"), "--dump-dom")
    assert 'id="identity"' not in done.stdout
