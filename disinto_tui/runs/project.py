"""Which compose project an instance really is: read from its containers where there are any.

An operator may have started it under another name (`-p`, COMPOSE_PROJECT_NAME), with an override or with other
files (COMPOSE_FILE), or with profiles. What the containers' labels say is what must be kept; without containers
it is what a hand-typed `docker compose` would mean, or what it was when it was last stopped here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disinto_tui.adapters.compose import ComposeTarget
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.journal import list_runs, run_status
from disinto_tui.adapters.process import exported
from disinto_tui.core.errors import Refused
from disinto_tui.runs.env import Env, env_or_nothing

PROJECT_LABEL = "com.docker.compose.project"
OTHER_NAMES = (
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
)
"""Files that a hand-typed `docker compose` would read instead of ours, or beside them (Compose's own order)."""
KNOWN_AS = "known_as"
"""The fact of a plan that remembers, beyond the last container, which project it was (`Found.facts`)."""
_SAY_ANEW = ("init", "adopt", "adopt-undo")
"""Runs that write down what the project is called."""
_NAME = re.compile(rb"^name:[ \t]*['\"]?([a-z0-9][a-z0-9_-]*)", re.MULTILINE)
STEERING = ("COMPOSE_PROJECT_NAME", "COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES")
"""Variables of the shell that a hand-typed `docker compose` obeys, and we do not."""


def project_name(instance: Instance, files: Sequence[str] = ()) -> str:
    """The compose project by its files (the instance's own when none are named): the last `name:` in them,
    else the directory's name as Compose makes it."""
    name = b""
    for path in files or [str(path) for path in instance.compose_files()]:
        found = _NAME.search(read_bytes(Path(path)) or b"")
        name = found[1] if found else name
    return name.decode() or re.sub(r"[^a-z0-9_-]", "", instance.path.name.lower()).lstrip("_-") or "disinto"


@dataclass(frozen=True, slots=True)
class ByHand:
    """What `docker compose`, typed in the instance's directory with nothing exported, would act on."""

    name: str
    files: tuple[str, ...]


def by_hand(instance: Instance, env: Mapping[str, str]) -> ByHand:
    """Compose's own rules: COMPOSE_FILE and COMPOSE_PROJECT_NAME of `.env` beat what is found (facts: 1)."""
    separator = env.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
    named = [part for part in env.get("COMPOSE_FILE", "").split(separator) if part]
    files = tuple(os.path.normpath(instance.path / part) for part in named) or _own_files(instance)
    return ByHand(env.get("COMPOSE_PROJECT_NAME") or project_name(instance, files), files)


def _own_files(instance: Instance) -> tuple[str, ...]:
    return tuple(str(path) for path in instance.compose_files())


@dataclass(frozen=True, slots=True)
class Found:
    """The project: its name, its containers as inspect documents, its files; `notes` say what is unusual."""

    name: str
    containers: tuple[dict[str, Any], ...]
    files: tuple[str, ...]
    hand: ByHand
    env: Env
    notes: tuple[str, ...] = ()

    def target(self, instance: Instance, endpoint: str) -> ComposeTarget:
        """What compose commands for it are given."""
        return target_of_files(instance, self.name, self.files, endpoint, self.env)

    def facts(self) -> dict[str, Any]:
        """For a plan: which project it is, so that it can be started as the same when no container is left."""
        return {KNOWN_AS: {"files": list(self.files), "hand": [self.hand.name, *self.hand.files]}}


def target_of_files(
    instance: Instance, name: str, files: Sequence[str], endpoint: str, env: Env
) -> ComposeTarget:
    """A compose target from the instance's directory and its environment file."""
    env_file = str(instance.env_file) if env.kind != "sealed" and instance.env_file.exists() else None
    return ComposeTarget(name, str(instance.path), tuple(files), env_file, endpoint, env_data=env.sealed_data)


async def find_project(
    engine: Engine, instance: Instance, env: Env | None = None, *, one_off: bool = False
) -> Found:
    """The instance's project. One listing of containers, and an inspect for each of its own.

    `env` is its environment file where somebody has read it already; one that cannot be read says nothing. `one_off`
    takes in the containers of `docker compose run`. Raises Refused `project.several` when several projects were
    started from its directory, Unavailable without an engine.
    """
    if env is None:
        env = await env_or_nothing(instance)
    hand = by_hand(instance, env.values)
    known = _known_as(instance, hand)
    names, containers = await _ask(engine, instance, known[0] if known else hand.name, one_off)
    if len(names) > 1:
        raise Refused(
            f"Several compose projects run from {instance.path}.",
            f"They are {', '.join(sorted(names))}, and nobody can tell which one is meant.",
            "Take down the ones that are not wanted: `docker compose -p NAME down`.",
            code="project.several",
        )
    notes: list[str] = []
    if names:
        name = names.pop()
        files, notes = _files(instance, containers, hand)
        if name != hand.name:
            notes.insert(
                0,
                f"it was started as project {name}, and stays that; "
                f"a hand-typed `docker compose` here would mean {hand.name}",
            )
    elif known is not None and not containers:
        name, files = known
        if name != hand.name:
            notes.append(f"it was project {name} when it ran last, and its volumes are there: it stays that")
        if files != hand.files:
            notes.append(f"it ran from {_listed(files)} last, and stays so")
    else:
        name, files = hand.name, hand.files
    if not any(_same(path, instance.compose_file) for path in files):
        notes.append(f"docker-compose.yml is not among its files ({_listed(files)})")
    return Found(name, containers, files, hand, env, (*notes, *_beside(instance, env.values)))


async def _ask(
    engine: Engine, instance: Instance, otherwise: str, one_off: bool
) -> tuple[set[str], tuple[dict[str, Any], ...]]:
    """Names of the projects started from the instance's directory, and the containers when it is one (without
    any: those of the project `otherwise`)."""

    def ask(client: Any) -> tuple[set[str], tuple[dict[str, Any], ...]]:
        import docker.errors

        listed = [(item, item.get("Labels") or {}) for item in client.containers(all=True)]
        names = {
            str(labels[PROJECT_LABEL])
            for _, labels in listed
            if labels.get(PROJECT_LABEL) and started_from(labels, instance)
        }
        if len(names) > 1:
            return names, ()
        wanted = next(iter(names), otherwise)
        found = []
        for item, labels in listed:
            if labels.get(PROJECT_LABEL) != wanted:
                continue
            if not one_off and labels.get("com.docker.compose.oneoff") != "False":
                continue
            try:
                found.append(client.inspect_container(item["Id"]))
            except docker.errors.NotFound:
                continue
        return names, tuple(found)

    return await engine.call(ask)


def started_from(labels: Mapping[str, str], instance: Instance) -> bool:
    """Whether a container with these labels was started from the instance's directory, by any path to it."""
    text = labels.get(f"{PROJECT_LABEL}.working_dir", "")
    return bool(text) and _same(text, instance.path)


def _known_as(instance: Instance, hand: ByHand) -> tuple[str, tuple[str, ...]] | None:
    """Project and files of the last run that knew them, unless what is written down here was changed since."""
    for run in list_runs(instance):
        if run_status(run) not in ("done", "undone"):
            continue
        plan = run.plan()
        known = plan.facts.get(KNOWN_AS)
        if plan.kind in _SAY_ANEW:
            return None
        if not isinstance(known, Mapping):
            continue  # it started and stopped nothing: a release, what the doctor mended
        files = tuple(str(part) for part in known.get("files", ()))
        same = list(known.get("hand", ())) == [hand.name, *hand.files]
        return (plan.project, files) if same and all(Path(part).is_file() for part in files) else None
    return None


def _files(
    instance: Instance, containers: Sequence[Mapping[str, Any]], hand: ByHand
) -> tuple[tuple[str, ...], list[str]]:
    """The files its containers were made from, and what is to be said of them."""
    named: set[tuple[str, ...]] = set()
    for item in containers:
        labels = (item.get("Config") or {}).get("Labels") or {}
        text = str(labels.get(f"{PROJECT_LABEL}.config_files", ""))
        # A one-off start adds a file of ours from the run's directory, which is not part of the project.
        kept = tuple(part for part in text.split(",") if part and str(instance.private) not in part)
        if kept:
            # An override that was added since is meant to be used.
            named.add(hand.files if _begins(hand.files, kept) else kept)
    if len(named) > 1:
        sets = " and ".join(sorted(_listed(files) for files in named))
        return hand.files, [
            f"its containers were made from different files ({sets}); {_listed(hand.files)} counts"
        ]
    theirs = next(iter(named), hand.files)
    gone = [part for part in theirs if not Path(part).is_file()]
    if gone and theirs != hand.files:
        return hand.files, [f"it was started from {_listed(theirs)}, but {_listed(gone)} is gone"]
    if theirs == hand.files:
        return theirs, []
    return theirs, [
        f"it was started from {_listed(theirs)}, and stays so; "
        f"a hand-typed `docker compose` here would take {_listed(hand.files)}"
    ]


def _begins(files: Sequence[str], part: Sequence[str]) -> bool:
    return len(part) <= len(files) and all(_same(*pair) for pair in zip(part, files, strict=False))


def _same(one: str | Path, other: str | Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _listed(files: Sequence[str]) -> str:
    return ", ".join(Path(part).name for part in files)


def _beside(instance: Instance, env: Mapping[str, str]) -> list[str]:
    """What would steer a hand-typed `docker compose` here and does not steer us."""
    notes = [
        f"{name} is exported in this shell and ignored here; a hand-typed `docker compose` would obey it"
        for name in exported(STEERING)
    ]
    others = [name for name in OTHER_NAMES if (instance.path / name).exists()]
    if others and not env.get("COMPOSE_FILE"):
        notes.append(f"there is a {others[0]}, which a hand-typed `docker compose` here would read")
    return notes
