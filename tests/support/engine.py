"""The engine that the tests use, and the traces they must not leave on it.

Tests bring no engine up: the ground scripts do (docker/engine/up.sh), or the machine has one. Everything
a test makes carries a label of its session, so that what is removed at the end is ours and nothing else.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from disinto_tui.runs.ops_switch import KEEP_REPOSITORY

ROOT = Path(__file__).resolve().parents[2]
SESSION_LABEL = "io.disinto.test"


@dataclass(frozen=True)
class Engine:
    """An engine that answered. `session` names this test session in labels and project names."""

    endpoint: str
    version: str
    compose: str
    session: str

    @property
    def label(self) -> str:
        return f"{SESSION_LABEL}={self.session}"

    @property
    def prefix(self) -> str:
        """What a compose project of this session begins with."""
        return f"t{self.session}"

    def environment(self) -> dict[str, str]:
        """For a child process: this engine, whatever context the operator has chosen."""
        return {**os.environ, "DOCKER_HOST": self.endpoint}

    def docker(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", *argv],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise RuntimeError(f"docker {' '.join(argv)}: {done.stderr}")
        return done

    def ids(self, kind: str, *filters: str) -> list[str]:
        """Ids (names for volumes) of containers, volumes, networks or images under filters."""
        listing: Mapping[str, Sequence[str]] = {
            "container": ("ps", "-aq"),
            "volume": ("volume", "ls", "-q"),
            "network": ("network", "ls", "-q"),
            "image": ("images", "-q"),
        }
        chosen = [part for one in filters for part in ("--filter", one)]
        return list(dict.fromkeys(self.docker(*listing[kind], *chosen).stdout.split()))

    def references(self) -> set[str]:
        """Names of the images that are local."""
        return set(self.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())

    def projects(self) -> set[str]:
        """Compose projects of this session that have anything left on the engine."""
        names: set[str] = set()
        for listing in (("ps", "-a"), ("volume", "ls"), ("network", "ls")):
            form = '{{.Label "com.docker.compose.project"}}'
            names.update(self.docker(*listing, "--format", form).stdout.split())
        return {name for name in names if name.startswith(self.prefix)}

    def remove(self, *filters: str) -> None:
        """Containers with their anonymous volumes, then volumes, then networks under these filters."""
        for kind, words in (
            ("container", ["rm", "-fv"]),
            ("volume", ["volume", "rm"]),
            ("network", ["network", "rm"]),
        ):
            found = self.ids(kind, *filters)
            if found:
                self.docker(*words, *found, check=False)

    def sweep(self) -> None:
        """Everything this session made and did not remove itself."""
        self.remove(f"label={self.label}")
        for project in self.projects():
            self.remove(f"label=com.docker.compose.project={project}")
        images = self.ids("image", f"label={self.label}")
        if images:
            self.docker("rmi", "-f", *images, check=False)
        kept = [name for name in self.references() if name.startswith(f"{KEEP_REPOSITORY}/{self.prefix}-")]
        if kept:  # names alone: another session may use the same image
            self.docker("rmi", *kept, check=False)


def _said(*argv: str, env: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=dict(env),
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def ground_directories() -> list[Path]:
    """Where the ground scripts may have noted what they started, the most particular first."""
    given = os.environ.get("DISINTO_GROUND")
    return [Path(given)] if given else [ROOT / ".ground"]


@functools.cache
def find_engine(session: str) -> Engine | None:
    """The engine to test with: DOCKER_HOST, else the one the ground scripts noted, else the default one."""
    candidates = [os.environ.get("DOCKER_HOST", "")]
    for directory in ground_directories():
        note = directory / "endpoint"
        if note.is_file():
            candidates.append(note.read_text().strip())
    candidates.append("unix:///var/run/docker.sock")
    for endpoint in dict.fromkeys(filter(None, candidates)):
        env = {**os.environ, "DOCKER_HOST": endpoint}
        version = _said("docker", "version", "--format", "{{.Server.Version}}", env=env)
        if version:
            compose = _said("docker", "compose", "version", "--short", env=env) or ""
            return Engine(endpoint, version, compose, session)
        if os.environ.get("DOCKER_HOST"):
            return None  # the operator named one; another would be a surprise
    return None


def ground_registry() -> str | None:
    """HOST:PORT of the registry that the ground scripts started, if it answers."""
    import urllib.request

    for directory in ground_directories():
        note = directory / "registry" / "port"
        if note.is_file():
            address = f"127.0.0.1:{note.read_text().strip()}"
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
            except OSError:
                continue
            return address
    return None


def inspect(engine: Engine, kind: str, name: str) -> dict[str, object]:
    """`docker KIND inspect NAME` as data."""
    found = json.loads(engine.docker(kind, "inspect", name).stdout)
    assert isinstance(found, list) and isinstance(found[0], dict)
    return found[0]
