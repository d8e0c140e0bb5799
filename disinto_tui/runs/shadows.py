"""The volume-shadow check: what is needed for `core/shadow.py`, gathered from Compose, engine and host.

    found = await shadows_of(engine, instance)                      # as the files and the containers are now
    found = await shadows_of(engine, instance, "ghcr.io/a/b:v0.3.0")  # as a switch to that image would make it
    found = await shadows_of(engine, instance, definitions=new)     # as other compose services would make it

Changes nothing but what it makes itself and removes (see `adapters/engine_look.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from disinto_tui.adapters import engine_look
from disinto_tui.adapters.compose import config
from disinto_tui.adapters.engine import Engine, LocalImage, in_thread
from disinto_tui.adapters.host import is_local
from disinto_tui.adapters.instance import Instance, read_bytes, write_private
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.image import local_name, parse_image
from disinto_tui.core.shadow import (
    Attached,
    Content,
    Mount,
    ServiceFacts,
    Shadow,
    Tree,
    adrift,
    attached_of,
    covered_by,
    find_shadows,
    mounts_of,
    normal,
)
from disinto_tui.core.shadow_paths import unsaved
from disinto_tui.runs.health import service_of
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.project import Found, find_project

_REMEMBERED_FILES = 2_000
"""An image with more files than that under its mounts is looked into again each time."""
_REMEMBERED_IMAGES = 30


@dataclass(frozen=True, slots=True)
class _Service:
    """One service as it is and as it is to be: its definition, its container, both images where they are here."""

    name: str
    definition: Mapping[str, Any] | None
    container: Mapping[str, Any] | None
    reference: str
    image: LocalImage | None
    now: LocalImage | None
    declared: tuple[str, ...]

    @property
    def moves(self) -> bool:
        """Whether it is to run another image than now."""
        return self.now is not None and self.image is not None and self.now.id != self.image.id

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """The compose file's; where it is not known the container's own that are not anonymous stand for it."""
        if self.definition is not None:
            return mounts_of(self.definition)
        return tuple(
            Mount(item.target, "volume" if item.volume else "bind", item.volume or item.source)
            for item in attached_of(self.container or {})
            if not item.anonymous
        )


async def shadows_of(
    engine: Engine,
    instance: Instance,
    image: str = "",
    *,
    found: Found | None = None,
    definitions: Mapping[str, Any] | None = None,
    services: Collection[str] | None = None,
) -> tuple[Shadow, ...]:
    """Every shadow of the instance's services, problems first.

    `image` is the reference that the services on the pin are to run ("" is what they are to run now). `found` and
    `definitions` (services as `docker compose config` says them) are what the caller knows already; with other
    definitions than the files' own it is judged what those would make of the containers that are there. `services`
    limits it to some. A compose file that Compose refuses is no error: then the containers alone are judged.

    Raises Unavailable when the engine does not answer, Refused `project.several`.
    """
    found = found or await find_project(engine, instance)
    if definitions is None:
        with contextlib.suppress(DisintoError):
            definitions = (await config(found.target(instance, engine.endpoint))).get("services") or {}
    gathered = await _services(engine, found, definitions, image)
    chosen = [item for item in gathered if services is None or item.name in services]
    brought = await _brought(engine, instance, chosen)
    every = await asyncio.gather(*(_of_service(engine, found.name, item, brought) for item in chosen))
    order = ("problem", "warning", "note")
    shadows = [shadow for some in every for shadow in some]
    if any(item.kind == "unmounted" for item in shadows):
        some_image = next((item.reference for item in chosen if item.image is not None), "")
        lost = adrift(shadows, await engine_look.adrift(engine), some_image, found.name)
        shadows += [lost] if lost is not None else []
    return tuple(sorted(shadows, key=lambda item: (order.index(item.severity), item.service, item.path)))


async def switch_shadows(
    engine: Engine,
    project: str,
    definitions: Mapping[str, Any],
    containers: Sequence[Mapping[str, Any]],
    reference: str,
    declared: Sequence[str] | None,
) -> tuple[Shadow, ...]:
    """What a switch of these containers to an image that declares `declared` would lose or leave behind.

    Cheap, since a switch is waited for: an inspect for each image that runs, and nothing is looked into. Where the
    images declare the same and no container has an anonymous volume, the switch changes nothing about it and nothing
    is said; `disinto doctor` tells the rest. `declared` None is an image nobody knows yet. Raises Unavailable.
    """
    if declared is None:
        return ()
    ids = sorted({str(item["Image"]) for item in containers})
    now = dict(zip(ids, await asyncio.gather(*(engine.image(item) for item in ids)), strict=True))
    found: list[Shadow] = []
    for inspect in containers:
        attached, name = attached_of(inspect), service_of(inspect)
        image = now[str(inspect["Image"])]
        before = image.volumes if image is not None else None
        anonymous = any(item.anonymous for item in attached)
        if not anonymous and before is not None and set(before) == set(declared):
            continue
        mounts = mounts_of(definitions.get(name) or {})
        found += find_shadows(ServiceFacts(name, reference, project, declared, before, mounts, attached))
    return tuple(item for item in found if item.severity != "note")


async def switch_hides(
    engine: Engine,
    instance: Instance,
    definitions: Mapping[str, Any],
    containers: Sequence[Mapping[str, Any]],
    image: LocalImage | None,
) -> tuple[Shadow, ...]:
    """What of an image to come would stay hidden below mounts: the switch would run the files that are in the mount.

    Only at paths that the image does not declare, since what is mounted at the others is data; and only of an image
    that is here, since no other can be looked into (`image` None: ()). What was looked into is remembered; a stack of
    ours mounts nothing but declared paths, and is not looked into at all. Raises Unavailable, Failed.
    """
    if image is None:
        return ()
    declared = {normal(path) for path in image.volumes}
    found: list[Shadow] = []
    for inspect in containers:
        name, running = service_of(inspect), str(inspect["Image"])
        mounts = tuple(
            item
            for item in mounts_of(definitions.get(name) or {})
            if item.target not in declared and item.source != item.target  # the host's own path is no image's
        )
        if not mounts or running == image.id:
            continue
        targets = sorted({item.target for item in mounts})
        after, before = await asyncio.gather(
            _trees(engine, instance, image.id, targets), _trees(engine, instance, running, targets)
        )
        changed = tuple(
            item
            for item in mounts
            if item.target in after
            and item.target in before  # of an image that is gone nothing is known
            and after[item.target].changed(before[item.target])
        )
        reference = image.tags[0] if image.tags else image.id
        facts = ServiceFacts(name, reference, mounts=changed, trees=after, trees_before=before)
        found += [item for item in find_shadows(facts) if item.kind == "hidden"]
    return tuple(found)


# -- which services, which images ------------------------------------------------------------------------------------


async def _services(
    engine: Engine, found: Found, definitions: Mapping[str, Any] | None, image: str
) -> list[_Service]:
    containers = {service_of(item): item for item in found.containers}
    names = sorted({*(definitions or {}), *containers})
    pin = found.env.values.get("AGENTS_IMAGE", "")

    async def one(name: str) -> _Service:
        definition = (definitions or {}).get(name)
        container = containers.get(name)
        running = str(container["Image"]) if container is not None else ""
        meant = str((definition or {}).get("image", ""))
        on_pin = meant == pin if pin else is_agents_service(name)
        reference = (image if image and on_pin else meant) or (
            str((container.get("Config") or {}).get("Image", "")) if container is not None else ""
        )
        to_be, now = await asyncio.gather(
            engine.image(_local(reference)) if reference else _nothing(),
            engine.image(running) if running else _nothing(),
        )
        if to_be is None and reference == meant:
            to_be = now  # built here, or its name is gone: what runs is what is known
        declared = to_be.volumes if to_be is not None else ()
        if to_be is None and image and reference == image:
            declared = await _declared_elsewhere(engine, image)
        return _Service(name, definition, container, reference, to_be, now, declared)

    return list(await asyncio.gather(*(one(name) for name in names)))


def _local(reference: str) -> str:
    try:
        return local_name(reference)
    except DisintoError:
        return reference


async def _nothing() -> None:
    return None


async def _declared_elsewhere(engine: Engine, image: str) -> tuple[str, ...]:
    """The VOLUMEs of an image that is not here yet, from its registry; () when that does not say."""
    from disinto_tui.runs.versions import resolve

    try:
        reference = parse_image(image)
        found = await resolve(reference, image, (await engine.info()).platform, engine=engine)
    except DisintoError:
        return ()
    return found.info.config.volumes if found.info is not None else ()


# -- one service -----------------------------------------------------------------------------------------------------


async def _of_service(
    engine: Engine, project: str, service: _Service, brought: Mapping[str, Mapping[str, Tree]]
) -> tuple[Shadow, ...]:
    mounts = service.mounts
    attached = attached_of(service.container) if service.container is not None else None
    identity = str(service.container["Id"]) if service.container is not None else ""
    anonymous = [item for item in attached or () if item.anonymous]
    wrote = engine_look.written(engine, identity) if identity else _no_paths()
    held = service.container or {}
    looks = (engine_look.volume_content(engine, item.volume, held, item.target) for item in anonymous)
    paths, contents = await asyncio.gather(wrote, asyncio.gather(*looks))
    sources = await in_thread(partial(_sources, mounts)) if is_local(engine.endpoint) else {}
    facts = ServiceFacts(
        service.name,
        service.reference,
        project,
        service.declared,
        service.now.volumes if service.now is not None else None,
        mounts,
        attached,
        brought.get(service.image.id, {}) if service.image is not None else {},
        brought.get(service.now.id, {}) if service.now is not None and service.moves else None,
        sources,
        (),
        _known(anonymous, contents),
    )
    paths = unsaved(paths, covered_by(facts))
    written = await engine_look.without_directories(engine, held, paths) if paths else []
    return tuple(find_shadows(replace(facts, written=written)))


def _known(anonymous: Sequence[Attached], contents: Sequence[Content | None]) -> dict[str, Content]:
    pairs = zip(anonymous, contents, strict=True)
    return {item.volume: content for item, content in pairs if content is not None}


async def _no_paths() -> list[str]:
    return []


def _sources(
    mounts: Sequence[Mount],
) -> dict[str, Literal["missing", "file", "directory", "empty directory"]]:
    # Blocking, and a disk of the network's may hang: asked in a thread of its own.
    found: dict[str, Literal["missing", "file", "directory", "empty directory"]] = {}
    for mount in mounts:
        if mount.kind != "bind" or not mount.source.startswith("/"):
            continue
        path = Path(mount.source)
        with contextlib.suppress(OSError):  # what may not be looked at is not known
            if path.is_dir():
                found[mount.source] = "directory" if any(path.iterdir()) else "empty directory"
            elif path.exists():
                found[mount.source] = "file"
            elif not path.is_symlink():
                found[mount.source] = "missing"
    return found


# -- what an image has, remembered by its id, which cannot go stale ---------------------------------------------------


async def _brought(
    engine: Engine, instance: Instance, services: Sequence[_Service]
) -> dict[str, dict[str, Tree]]:
    """What each image has at the targets of the services that use it, by image id."""
    wanted: dict[str, set[str]] = {}
    for service in services:
        images = [service.image, service.now if service.moves else None]
        for image in images:
            if image is not None:
                wanted.setdefault(image.id, set()).update(mount.target for mount in service.mounts)
    every = await asyncio.gather(
        *(_trees(engine, instance, image, sorted(targets)) for image, targets in wanted.items())
    )
    return dict(zip(wanted, every, strict=True))


async def _trees(engine: Engine, instance: Instance, image: str, targets: Sequence[str]) -> dict[str, Tree]:
    place = instance.private / "cache" / "trees" / f"{image.rpartition(':')[2]}.json"
    known = _read(place)
    missing = [target for target in targets if target not in known]
    if missing:
        known = {**known, **await engine_look.trees(engine, image, missing)}
        if instance.private.is_dir():  # a directory that is not ours yet gets nothing of ours by a look
            small = {path: tree for path, tree in known.items() if len(tree.files) <= _REMEMBERED_FILES}
            _remember(place, small)
    return {target: known[target] for target in targets if target in known}


def _read(place: Path) -> dict[str, Tree]:
    try:
        data = json.loads(read_bytes(place) or b"{}")
        return {str(target): Tree(kind, dict(files)) for target, (kind, files) in data.items()}
    except (DisintoError, ValueError, TypeError, AttributeError):
        return {}


def _remember(place: Path, found: Mapping[str, Tree]) -> None:
    with contextlib.suppress(DisintoError, OSError):
        write_private(
            place,
            json.dumps({target: [tree.kind, dict(tree.files)] for target, tree in found.items()}).encode(),
        )
        others = sorted(place.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for old in others[:-_REMEMBERED_IMAGES]:
            old.unlink()
