"""An environment of its own for every peer, made once by the ordinary clients: venv and pip, or npm.

They live in `.bench/` beside this folder, or where $UNSTUCK_BENCH_CACHE says; the name holds a checksum of what is
installed, so that a changed list makes a new one. A stamp is written last: an interrupted installation is done
again. "own" is the environment of the measured tree: what its pyproject asks for, with uvloop, and asyncpg for
the reference; the code itself comes over PYTHONPATH, so two trees can be measured side by side.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peer import Peer
from benchmarks.peers import all_peers, find

ROOT = Path(__file__).resolve().parent.parent


class NotHere(Exception):
    """This peer cannot run on this machine; the message says why."""


def cache() -> Path:
    """Where environments are kept."""
    return Path(os.environ.get("UNSTUCK_BENCH_CACHE") or ROOT / ".bench")


def python_of(peer: type[Peer]) -> str:
    """The interpreter of this peer's environment, which is made if it is not there. Raises NotHere."""
    name = peer.environment or peer.name
    packages = packages_of(name, find(name).packages if name in all_peers() else peer.packages)
    folder = _folder(name, packages)
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], name)
        _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], name)
        (folder / "made").touch()
    return str(python)


def node_modules_of(peer: type[Peer]) -> Path:
    """The folder with this peer's `node_modules`. Raises NotHere."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise NotHere("node and npm are not installed")
    folder = _folder(peer.name, peer.packages)
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        quiet = ["--no-audit", "--no-fund", "--silent"]
        _run(["npm", "install", "--prefix", str(folder), *quiet, *peer.packages], peer.name)
        (folder / "made").touch()
    return folder


def packages_of(name: str, packages: Sequence[str]) -> list[str]:
    """What to install into the environment `name`."""
    if name != "own":
        return list(packages)
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return [*project["dependencies"], *extras["postgres"], *extras.get("uvloop", ["uvloop"]), "asyncpg"]


def _folder(name: str, packages: Sequence[str]) -> Path:
    checksum = hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()[:8]
    return cache() / f"{name}-{checksum}"


def _run(command: list[str], name: str) -> None:
    print(f"for {name}: {' '.join(command)}", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotHere(f"its environment could not be made: {said[-1] if said else command[0]}")
