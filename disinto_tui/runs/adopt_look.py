"""Look at a stack that is to be adopted: files, `.env`, containers, what Compose says of them, and whose host it is.

Reads only. What is not understood ends here, as a refusal with a next step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disinto_tui.adapters.compose import config
from disinto_tui.adapters.engine import Engine, EngineInfo, find_endpoint
from disinto_tui.adapters.host import home
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.core.errors import BadInput, DisintoError, Refused
from disinto_tui.core.lineage import Lineage, build_inputs, recognise
from disinto_tui.core.model import Project
from disinto_tui.core.project import ProjectsReading, problems_error, read_projects
from disinto_tui.runs.adopt_sources import check_merge, files_meant, refuse_bystanders
from disinto_tui.runs.env import load_env, refuse_both
from disinto_tui.runs.health import by_service, container_state, service_of
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.runs.project import Found, find_project

NOMAD_PLACES = ("etc/nomad.d", "etc/nomad", "srv/disinto")


@dataclass(frozen=True, slots=True)
class Situation:
    """What was found. `files` are (name, text) in Compose's order; `compose_says` is "" when Compose accepts them, else
    why not, and `resolved` what they come to ({} then); `volumes` the names of every volume of the engine."""

    instance: Instance
    engine: Engine
    info: EngineInfo
    found: Found
    lineage: Lineage
    files: tuple[tuple[str, str], ...]
    compose_says: str
    project_files: tuple[tuple[str, bytes], ...]
    projects: tuple[Project, ...]
    volumes: frozenset[str]
    resolved: Mapping[str, Any] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)

    @property
    def containers(self) -> dict[str, dict[str, Any]]:
        """Containers by service, one for each: the one that counts (`by_service`)."""
        return by_service(self.found.containers)

    @property
    def live(self) -> dict[str, dict[str, Any]]:
        """Those that run."""
        return {
            name: item
            for name, item in self.containers.items()
            if container_state(item) not in ("exited", "created", "dead")
        }


def nomad_signs(root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> list[str]:
    """What says that Nomad manages factories on this host (facts: 12), each in words; [] is the usual case."""
    signs = [f"/{place} exists" for place in NOMAD_PLACES if (root / place).exists()]
    if (os.environ if environ is None else environ).get("NOMAD_ADDR"):
        signs.append("NOMAD_ADDR is set")
    for comm in (root / "proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "nomad":
                signs.append(f"a nomad agent runs (process {comm.parent.name})")
                break
        except OSError:
            continue
    return signs


async def look(instance: Instance, *, root: Path = Path("/")) -> Situation:
    """Look. Raises Refused (Nomad, several projects, other files, what is not understood), BadInput (an `.env` or a
    project file that cannot be read), Unavailable."""
    refuse_unfinished(instance)
    opened = await load_env(instance)
    refuse_both(opened)
    engine = Engine(await find_endpoint())
    info = await engine.info()
    found = await find_project(engine, instance, opened)
    _refuse_nomad(found, root)
    found = files_meant(instance, found)
    refuse_bystanders(instance, found)
    files = _read(found.files)
    project_files = tuple((path.name, path.read_bytes()) for path in instance.project_files())
    reading = read_projects(project_files)
    environ = {"HOME": str(home()), **found.env.values}
    local = [agent.service for project in _drafts(reading) for agent in project.agents]
    running = [service_of(item) for item in found.containers]
    first = recognise(files, found.env.values)
    gone = [path for path in build_inputs(first.data).values() if not (instance.path / path).exists()]
    lineage = recognise(files, found.env.values, missing=gone, local_agents=local, running=running)
    _refuse(instance, lineage)
    projects = _projects(instance, reading)
    says, resolved = "", {}
    try:
        resolved = await config(found.target(instance, engine.endpoint))
    except DisintoError as error:
        says = error.why
    else:
        await check_merge(found.target(instance, engine.endpoint), lineage.data, resolved)
    volumes = frozenset(str(item["Name"]) for item in await engine.call(_all_volumes))
    return Situation(
        instance,
        engine,
        info,
        found,
        lineage,
        files,
        says,
        project_files,
        projects,
        volumes,
        resolved,
        environ,
    )


def _all_volumes(client: Any) -> list[dict[str, Any]]:
    return list(client.volumes()["Volumes"] or ())


def _drafts(reading: ProjectsReading) -> list[Project]:
    return [item.source.project for item in reading.readings if item.source is not None]


def _read(paths: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = ((Path(path).name, read_bytes(Path(path))) for path in paths)
    return tuple((name, _text(name, data)) for name, data in found if data is not None)


def _text(name: str, data: bytes) -> str:
    """A compose file's text; a byte order mark is none of it. Raises Refused: a value with a sign in it that cannot be
    read would go over as another value."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused(
            f"{name} cannot be read.",
            f"Line {line} is not UTF-8, and Compose does not take it either.",
            f"Save it as UTF-8 (`iconv -f latin1 -t utf8 {name}` prints it so), then adopt again.",
            code="adopt.unreadable",
        ) from None


def _refuse_nomad(found: Found, root: Path) -> None:
    signs = nomad_signs(root)
    # Containers that stand still may be left from before Nomad took over.
    runs = any(container_state(item) not in ("exited", "created", "dead") for item in found.containers)
    if signs and not runs:
        raise Refused(
            "This host's factory seems to be managed by Nomad.",
            f"{signs[0][0].upper()}{signs[0][1:]}, and no container of a compose project runs from this directory; "
            "two managers of one factory would undo each other's work.",
            "Change versions with Nomad there; if it is a stopped compose factory, start it once "
            "(`docker compose up -d`) and adopt it then.",
            code="nomad",
            details=signs,
        )


def _refuse(instance: Instance, lineage: Lineage) -> None:
    if not lineage.refusals:
        return
    first, *more = lineage.refusals
    text = f"{first.service}: {first.text}" if first.service else first.text
    if not first.service and "." not in text.partition(" ")[0]:  # names are written as they are
        text = f"{text[0].upper()}{text[1:]}"
    kind = BadInput if first.slug == "none" else Refused
    raise kind(
        f"The stack in {instance.path} cannot be adopted.",
        f"{text}.",
        f"{first.now[0].upper()}{first.now[1:]}." if first.now else "Mend it, then try again.",
        code="instance.none" if first.slug == "none" else f"adopt.{first.slug}",
        details=[str(item) for item in more],
    )


def _projects(instance: Instance, reading: ProjectsReading) -> tuple[Project, ...]:
    if not reading.readings:
        raise BadInput(
            f"There is no project file in {instance.path}.",
            "What agents work on stands in projects/*.toml; without one they run and do nothing.",
            "Write projects/NAME.toml (`disinto init --sample` shows one), then adopt again.",
            code="config.none",
        )
    if reading.errors:
        raise problems_error(reading.problems)
    return tuple(sorted(reading.projects, key=lambda project: project.name))


def image_names(containers: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """For each service with a container: the reference it was started from, and the image's id."""
    return {
        name: (str((item.get("Config") or {}).get("Image", "")), str(item["Image"]))
        for name, item in containers.items()
    }


def anonymous_at(container: Mapping[str, Any], path: str) -> str:
    """The anonymous volume that a container has at a path, "" when there is none (64 hex digits: facts, 3.8)."""
    for mount in container.get("Mounts") or ():
        name = str(mount.get("Name", ""))
        if str(mount.get("Destination", "")).rstrip("/") == path and mount.get("Type") == "volume":
            anonymous = len(name) == 64 and set(name) <= set("0123456789abcdef")
            return name if anonymous else ""
    return ""


def mounted_at(container: Mapping[str, Any], paths: Sequence[str]) -> set[str]:
    """Which of the paths have a mount of their own that outlives the container."""
    found = {str(mount.get("Destination", "")).rstrip("/") for mount in container.get("Mounts") or ()}
    return {path for path in paths if path in found and not anonymous_at(container, path)}
