"""The engine that the tests use, and the traces they must not leave on it.

Tests bring no engine up: the ground scripts do (docker/engine/up.sh), or the machine has one. Everything
a test makes carries a label of its session, so that what is removed at the end is ours and nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import fcntl
import functools
import itertools
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from disinto_tui.runs.ops_keep import KEEP_REPOSITORY
from tests.support import warm
from tests.support.processes import poll

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
        """Everything this session made and did not remove itself.

        Its runs first: one whose test was interrupted goes on, as it should, and would make anew what is being
        removed (a kept image's name, a container).
        """
        end_runs(self.prefix)
        warm.end_all()
        self.remove(f"label={self.label}")
        for project in self.projects():
            self.remove(f"label=com.docker.compose.project={project}")
        images = self.ids("image", f"label={self.label}")
        if images:
            self.docker("rmi", "-f", *images, check=False)
        ours = re.compile(rf"{KEEP_REPOSITORY}/{self.prefix}-|([^/]+/)?{self.prefix}/")
        names = [name for name in self.references() if ours.match(name)]
        if names:  # names alone: another session may use the same image
            self.docker("rmi", *names, check=False)


def end_runs(prefix: str) -> None:
    """End what still works on a factory of a session: runs, and the Compose they started, by process id."""
    for number, argv in _processes():
        if any(_project_of(part).startswith(f"{prefix}-") for part in argv) or any(
            flag == "--project-name" and name.startswith(f"{prefix}-")
            for flag, name in itertools.pairwise(argv)
        ):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
            poll(10, functools.partial(_gone, number))


def _processes() -> Iterator[tuple[int, list[str]]]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(file.parent.name), file.read_text(errors="replace").split("\0")


def _gone(number: int) -> bool:
    try:
        return not Path(
            f"/proc/{number}/cmdline"
        ).read_bytes()  # a dead one has none, also while it is not collected
    except OSError:
        return True


def _project_of(argument: str) -> str:
    """The project of the run whose directory an argument names, "" when it names none."""
    if "/.disinto/runs/" not in argument:
        return ""
    try:
        return str(json.loads((Path(argument) / "plan.json").read_bytes())["project"])
    except (OSError, ValueError, KeyError):
        return ""


def reap(engine: Engine) -> None:
    """Remove what sessions left that were killed, and note this one so that it can be reaped in its turn.

    A session holds a lock on its note as long as its process lives.
    """
    from tests.support.own_engine import end_engines  # it stands on this module

    notes = ground_directories()[0] / "sessions"
    try:
        notes.mkdir(parents=True, exist_ok=True)
        others = [note for note in notes.iterdir() if note.name != engine.session]
    except OSError:  # a checkout that is read only
        return
    _note(notes / engine.session)
    for note in others:
        with contextlib.suppress(OSError), note.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            dataclasses.replace(engine, session=note.name).sweep()
            end_engines(note.name)
            note.unlink()


def _note(path: Path) -> None:
    # Not a `with`: the lock is held until the process ends, however it ends.
    file = path.open("wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    _NOTES.append(file)
    atexit.register(path.unlink, missing_ok=True)


_NOTES: list[BinaryIO] = []


def _said(*argv: str, env: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
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
            found = Engine(endpoint, version, compose, session)
            reap(found)
            return found
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
