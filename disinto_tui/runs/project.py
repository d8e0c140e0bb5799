"""Which compose project an instance really is: read from its running containers where there are any.

An operator may have started it under another name (`-p`, COMPOSE_PROJECT_NAME), with an override or with other
files (COMPOSE_FILE), or with profiles. What the containers' labels say is what must be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disinto_tui.adapters.compose import ComposeTarget
from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import Refused
from disinto_tui.runs.observe import project_name

_LABEL = "com.docker.compose.project"


@dataclass(frozen=True, slots=True)
class Found:
    """The project: its name, its containers (one-off ones left out) as inspect documents, its files."""

    name: str
    containers: tuple[dict[str, Any], ...]
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def target(self, instance: Instance, endpoint: str) -> ComposeTarget:
        """What compose commands for it are given."""
        env_file = str(instance.env_file) if instance.env_file.exists() else None
        return ComposeTarget(self.name, str(instance.path), self.files, env_file, endpoint)


async def find_project(engine: Engine, instance: Instance) -> Found:
    """The instance's project. Raises Refused when several projects were started from its directory."""
    mine = str(instance.path)
    names = {
        str(labels[_LABEL])
        for item in await engine.all_containers()
        if (labels := item.get("Labels") or {}).get(f"{_LABEL}.working_dir") == mine and labels.get(_LABEL)
    }
    own = project_name(instance)
    if len(names) > 1:
        raise Refused(
            f"Several compose projects run from {mine}.",
            f"They are {', '.join(sorted(names))}, and nobody can tell which one is meant.",
            "Take down the ones that are not wanted: `docker compose -p NAME down`.",
            code="project.several",
        )
    name = names.pop() if names else own
    containers = tuple(await engine.containers(name))
    notes = [] if name == own else [f"it was started as project {name}, and stays that"]
    files, more = _files(instance, containers)
    return Found(name, containers, files, (*notes, *more))


def _files(instance: Instance, containers: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[str]]:
    ours = tuple(str(path) for path in instance.compose_files())
    named: set[tuple[str, ...]] = set()
    for item in containers:
        labels = (item.get("Config") or {}).get("Labels") or {}
        text = str(labels.get(f"{_LABEL}.config_files", ""))
        # A one-off start adds a file of ours from the run's directory, which is not part of the project.
        kept = tuple(part for part in text.split(",") if part and str(instance.private) not in part)
        if kept:
            named.add(kept)
    if len(named) != 1:
        return ours, []
    theirs = named.pop()
    if theirs == ours or not all(Path(part).is_file() for part in theirs):
        return ours, []
    if len(theirs) < len(ours) and ours[: len(theirs)] == theirs:
        return ours, []  # an override that was added since: it is meant to be used
    return theirs, [f"it was started from {', '.join(Path(part).name for part in theirs)}, and stays so"]
