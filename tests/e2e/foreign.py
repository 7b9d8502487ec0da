"""Programs of Debian 13 that Debian 12 does not have: their packages, unpacked, run on this system's libraries.
Kept in build/foreign; a test that needs one and cannot have it is skipped and says why."""
import fcntl
import functools
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT

PLACE = Path(os.environ.get("COUNTERSIGN_FOREIGN", ROOT / "build" / "foreign"))


def _apt(state, *args):
    dirs = {"Dir::State": state / "state", "Dir::Cache": state / "cache", "Dir::Etc::SourceList": state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null", "Debug::NoLocking": 1, "APT::Sandbox::User": "root"}
    options = [w for k, v in dirs.items() for w in ("-o", f"{k}={v}")]
    return subprocess.run(["apt-get", "-qq", *options, *args], cwd=state, capture_output=True, text=True, timeout=120)


def _mirror():
    """That of this system."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)"], capture_output=True, text=True)
    return next((line.split()[0] for line in done.stdout.splitlines() if line.endswith(" Debian") and "security" not in line), None)


def _fetch(names, to):
    mirror = _mirror()
    if not mirror:
        return "apt knows no mirror"
    with tempfile.TemporaryDirectory() as d:
        state = Path(d)
        for p in ("state/lists/partial", "cache/archives/partial"):
            (state / p).mkdir(parents=True)
        (state / "sources.list").write_text(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} trixie main\n")
        for args in (["update"], ["download", *names]):
            done = _apt(state, *args)
            if done.returncode != 0:
                return done.stderr.strip()[-200:] or "apt-get failed"
        for deb in state.glob("*.deb"):
            subprocess.run(["dpkg", "-x", deb, to], check=True)
    return None


@functools.lru_cache(maxsize=None)
def _unpacked(*names):
    place = PLACE / names[0]
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(PLACE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / "done").exists():
            return place, None
        try:
            why = _fetch(names, place)
        except (OSError, subprocess.SubprocessError) as e:
            why = str(e)
        if why is None:
            (place / "done").write_text("")
        return place, why


def debian13(*names):
    """The folder in which those packages are unpacked; skips the test when they cannot be had."""
    place, why = _unpacked(*names)
    if why:
        pytest.skip(f"{names[0]} of Debian 13 cannot be fetched: {why}")
    return place


def environment(place):
    """With what its programs find their libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": str(next((place / "usr/lib").glob("*-linux-gnu*")))}
