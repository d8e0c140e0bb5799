"""The steps of `init`, and what it says: pulls, notes, the result's facts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.host import is_loopback
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.image import parse_image
from disinto_tui.core.model import Project
from disinto_tui.core.plan import FileChange, ImagePull, Step
from disinto_tui.core.stack import CADDYFILE, SITE_DIRECTORY
from disinto_tui.runs import preflight
from disinto_tui.runs.init_model import InitRequest, NewFile, World
from disinto_tui.runs.lifecycle import HEALTH_SECONDS
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.ops_files import replacement
from disinto_tui.runs.ops_stack import image_is_here

FORGE_LATER = (
    "The forge's users, tokens and repositories are not created yet by this tool: sign in to the forge and "
    "make them, then put the tokens into .env."
)


async def pulls_of(engine: Engine, active: Mapping[str, Any], world: World) -> list[ImagePull]:
    """The images the active services need, and whether each is here already."""
    wanted: dict[str, tuple[str, int]] = {}
    for name, item in active.items():
        image = str(item.get("image", ""))
        if not image or "build" in item:
            continue
        if world.resolved is not None and is_agents_service(name) and image == world.resolved.pin:
            size = world.resolved.info.size if world.resolved.info else -1
            wanted[image] = (world.resolved.digest, size)
        else:
            wanted.setdefault(image, ("", -1))
    here = await asyncio.gather(*(image_is_here(engine, name, item[0]) for name, item in wanted.items()))
    return [
        ImagePull(name, item[0], item[1], present)
        for (name, item), present in zip(wanted.items(), here, strict=True)
    ]


def steps_of(
    request: InitRequest,
    new: Project,
    world: World,
    files: list[NewFile],
    changes: list[FileChange],
    active: Mapping[str, Any],
    pulls: list[ImagePull],
    settled: bool,
    gone: list[str],
) -> list[Step]:
    """The steps, in order. `gone`: services that have containers and are no longer in the config."""
    instance = request.instance
    steps: list[Step] = []
    if world.containers and request.start and not settled:
        # First, so that its undo comes last: what runs now is started from the files as they were.
        steps.append(Step("before", "Note what runs", "restore-running", {}, writes=False))
    directories = _directories(instance, new)
    if directories:
        steps.append(Step("directories", "Make directories", "directories", {"directories": directories}))
    if any(change.action != "keep" for change in changes):
        steps.append(
            Step(
                "check",
                "Let Compose check the files",
                "compose-config",
                why="before they replace anything",
                writes=False,
            )
        )
        wanted = [replacement(instance, item.path, item.data, f"{item.mode:o}") for item in files]
        steps.append(
            Step("files", "Write files", "files", {"files": wanted}, "each backed up and replaced whole")
        )
    if request.registry_login is not None:
        host = parse_image(new.factory.agents_image).registry
        params = {"host": host, "user": request.registry_login[0]}
        steps.append(Step("login", f"Log in to {host}", "registry-login", params, "the image is private"))
    if not request.start:
        return steps
    if any(not item.here for item in pulls):
        images = [{"reference": item.reference, "digest": item.digest} for item in pulls]
        steps.append(Step("pull", "Pull images", "pull", {"images": images}, "not on this host yet"))
    if gone:
        what = {"services": gone}
        steps.append(
            Step("gone", "Remove services that are gone", "remove-services", what, "not in the config")
        )
    if not settled:
        fresh = not world.containers
        up = {"fresh": fresh, "build": request.build_context is not None}
        steps.append(Step("up", "Start the stack", "up", up, "docker compose up", atomic=True))
    waiting = {"services": list(active), "timeout": HEALTH_SECONDS}
    steps.append(Step("healthy", "Wait until healthy", "healthy", waiting, writes=False))
    if world.resolved is not None and not settled:
        steps.append(
            Step("record", "Keep it as known good", "record-good", {"reference": world.resolved.pin})
        )
    return steps


def _directories(instance: Instance, new: Project) -> list[dict[str, str]]:
    """Directories the bind mounts need: Docker would make missing ones as root. The agent has uid 1000."""
    wanted = [
        {"path": ".", "mode": "755"},
        {"path": "projects", "mode": "755"},
        {"path": "state", "mode": "755", "owner": "1000"},
        {"path": SITE_DIRECTORY, "mode": "755"},
        {"path": str(Path(CADDYFILE).parent), "mode": "755"},
    ]
    return [item for item in wanted if not (instance.path / item["path"]).is_dir()]


def notes_of(request: InitRequest, new: Project, world: World) -> list[str]:
    """Facts worth reading before saying yes."""
    notes: list[str] = []
    if world.user is not None:
        rights = "an admin" if world.user.is_admin else "not an admin"
        notes.append(f"the token is {world.user.login}'s, {rights}")
    elif new.factory.forge == "bundled":
        notes.append(
            "the forge is not up yet, so the token cannot be checked now" if request.token else FORGE_LATER
        )
    if new.factory.forge == "external" and is_loopback(new.forge_url):
        notes.append(f"{new.forge_url} is this host only: no container can reach it there")
    resolved = world.resolved
    if resolved is not None:
        asked = request.version or new.factory.version
        if asked and resolved.reference.tag and asked not in resolved.pin:
            notes.append(f"{resolved.pin} is pinned already and stays; {asked} is what the config file names")
    else:
        notes.append("dev mode: agents are built from source, there is nothing to roll back to")
    return notes


def facts_of(request: InitRequest, new: Project, world: World, stack: Mapping[str, Any]) -> dict[str, Any]:
    """The result's data, and the sentences printed at the end: where everything is, what to do next."""
    directory = request.instance.path
    urls = preflight.published_urls(stack, new)
    version = world.resolved.pin if world.resolved is not None else "built from source"
    lines = [f"The factory {new.factory.project} is {'running' if request.start else 'written'}."]
    lines += [f"  {name:<10} {url}" for name, url in urls.items()]
    lines += [f"  {'agents':<10} {version}", f"  {'directory':<10} {directory}"]
    if new.factory.forge == "bundled":
        lines.append(FORGE_LATER)
    next_ones = ["disinto status"] if request.start else ["disinto up"]
    lines.append(f"Next: `{next_ones[0]}`, `disinto logs`, or just `disinto` in that directory.")
    return {
        "image": version,
        "to": world.resolved.pin if world.resolved is not None and request.start else "",
        "digest": world.resolved.digest if world.resolved is not None else "",
        "urls": urls,
        "user": world.user.login if world.user is not None else "",
        "summary": lines,
    }
