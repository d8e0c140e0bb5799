"""Look at an instance: what `status` prints and the home screen shows. Reads only.

Local things (files, engine, journal) come first and fast; what crosses the network (the newest version, the
forge) is asked apart, so that nobody waits for a slow registry to learn that a container is down.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from disinto_tui.adapters.compose import ComposeTarget, compose, config
from disinto_tui.adapters.engine import Engine, LocalImage, find_endpoint
from disinto_tui.adapters.engine_streams import compose_events
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.journal import RunDir, list_runs, run_status, unfinished_run
from disinto_tui.adapters.process import exported, run
from disinto_tui.core.errors import BadInput, DisintoError, Refused
from disinto_tui.core.events import RunEnded, RunStarted
from disinto_tui.core.image import parse_image

# Not all of `stack`: 15 ms.
from disinto_tui.core.stack_dump import Foreign, GeneratedBy, Upstream, inspect_header
from disinto_tui.core.version import classify_tag
from disinto_tui.core.view import TROUBLED, Attention, InstanceView, Mode, RunSummary, ServiceView
from disinto_tui.runs.env import Env, load_env
from disinto_tui.runs.env import read_env as read_env  # noqa: PLC0414  # others find it here
from disinto_tui.runs.expiries import expiring
from disinto_tui.runs.health import container_state, service_of, started_at
from disinto_tui.runs.holder import describe
from disinto_tui.runs.pin import KEEP_REPOSITORY
from disinto_tui.runs.pin import pinned_reference as pinned_reference  # noqa: PLC0414  # others find it here
from disinto_tui.runs.project import (
    PROJECT_LABEL,
    Found,
    by_hand,
    find_project,
    started_from,
    target_of_files,
)

VERSION_LABEL = "org.opencontainers.image.version"
_RECENT = 5


def is_agents_service(name: str) -> bool:
    """Whether a service of ours uses the agents image: agents, runner, agents-<name>."""
    return name in ("agents", "runner") or name.startswith("agents-")


@dataclass(frozen=True, slots=True)
class _Compose:
    resolved: Mapping[str, Any]
    hashes: Mapping[str, str]
    error: DisintoError | None


async def _ask_compose(instance: Instance, target: ComposeTarget) -> _Compose:
    if not instance.compose_file.exists():
        return _Compose({}, {}, None)
    try:
        resolved, hashes = await asyncio.gather(
            config(target),
            run(compose(target.with_profiles("*"), "config", "--hash", "*", writes=False, timeout=30)),
        )
    except DisintoError as error:
        return _Compose({}, {}, error)
    pairs = (line.split() for line in hashes.stdout.splitlines())
    return _Compose(resolved, {pair[0]: pair[1] for pair in pairs if len(pair) == 2}, None)


async def observe(instance: Instance, *, endpoint: str | None = None) -> InstanceView:
    """Look at everything local. Never raises for a broken instance: what is wrong is in the view.

    Raises Unavailable only when the docker context itself cannot be read.
    """
    endpoint = endpoint or await find_endpoint()
    engine = Engine(endpoint)
    attention: list[Attention] = []
    opened, unopened = Env("none"), None
    try:
        opened = await load_env(instance)
    except DisintoError as error:
        if error.code.startswith("sops."):
            unopened = error
        else:
            attention.append(Attention(f".env cannot be read: {error.why}", "problem"))
    env = opened.values
    if opened.both:
        text = (
            "there are a .env and a .env.enc: Compose reads .env, the factory's own scripts may read .env.enc"
        )
        attention.append(Attention(text, "problem", "keep one of them"))

    async def find() -> Found | DisintoError:
        try:
            return await find_project(engine, instance, opened)
        except DisintoError as error:
            return error

    async def version() -> str:
        try:
            return await engine.version()
        except DisintoError:
            return ""

    hand = by_hand(instance, env)
    composed, found, answered = await _asked_at_once(
        instance,
        target_of_files(instance, hand.name, hand.files, endpoint, opened),
        find(),
        version(),
        unopened,
    )
    if isinstance(found, Refused):  # several projects: none of them is shown as if it were the one
        attention.append(Attention(f"{found.what} {found.why}", "problem", "docker compose -p NAME down"))
    if isinstance(found, Found):
        attention += [Attention(text) for text in found.notes]
    away = isinstance(found, DisintoError) and not isinstance(found, Refused)
    documents = found.containers if isinstance(found, Found) else ()
    images = await _images(engine, documents, composed.resolved) if documents else {}
    # Without an engine nobody knows what runs: no list is better than a list of absent services.
    services = _services(composed, documents, images) if isinstance(found, Found) else ()
    view = InstanceView(
        str(instance.path),
        found.name if isinstance(found, Found) else hand.name,
        endpoint,
        _mode(composed.resolved),
        pinned=env.get("AGENTS_IMAGE", ""),
        pinned_version=pinned_version(env.get("AGENTS_IMAGE", ""), images),
        running_versions=("unknown",) if isinstance(found, Refused) else _running(services),
        forge_url=env.get("FORGE_URL", ""),
        engine_version=answered,
        engine_error=str(found) if away else "",
        services=services,
        runs=recent_runs(instance),
        at=time.time(),
    )
    view = replace(view, drift=_drift(instance, view))
    return replace(view, attention=(*attention, *_attention(instance, view, composed)))


async def _asked_at_once(
    instance: Instance,
    guess: ComposeTarget,
    find: Coroutine[Any, Any, Found | DisintoError],
    version: Coroutine[Any, Any, str],
    unopened: DisintoError | None,
) -> tuple[_Compose, Found | DisintoError, str]:
    """Compose is asked about what a hand-typed one would mean while the engine is looked at, and asked again
    only when something else runs: the usual case waits for neither. It is not asked at all when its environment file
    cannot be opened: what it said would be about something else."""
    if unopened is not None:
        found, answered = await asyncio.gather(find, version)
        return _Compose({}, {}, unopened), found, answered
    asking = asyncio.ensure_future(_ask_compose(instance, guess))
    try:
        found, answered = await asyncio.gather(find, version)
        target = found.target(instance, guess.endpoint) if isinstance(found, Found) else guess
        if target == guess:
            return await asking, found, answered
    finally:
        if not asking.done():
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    return await _ask_compose(instance, target), found, answered


async def _images(
    engine: Engine, documents: Sequence[Mapping[str, Any]], resolved: Mapping[str, Any]
) -> dict[str, LocalImage]:
    """Local images by id (those that run) and by reference (those that the files name)."""
    names = {str(item["Image"]) for item in documents}
    for service in (resolved.get("services") or {}).values():
        if service.get("image"):
            names.add(str(service["image"]))
    found = await asyncio.gather(*(engine.image(name) for name in sorted(names)), return_exceptions=True)
    return {
        name: image for name, image in zip(sorted(names), found, strict=True) if isinstance(image, LocalImage)
    }


def _services(
    composed: _Compose, documents: Sequence[Mapping[str, Any]], images: Mapping[str, LocalImage]
) -> tuple[ServiceView, ...]:
    definitions: Mapping[str, Any] = composed.resolved.get("services") or {}
    by_name = {service_of(item): item for item in documents}
    # A service whose profile is off and that has no container is nobody's concern.
    names = [name for name, item in definitions.items() if name in by_name or not item.get("profiles")]
    names += [name for name in by_name if name not in definitions]
    unknown = composed.error is not None  # then nobody knows what its definition is, nor whether it has one
    order = sorted(names, key=lambda name: (not is_agents_service(name), name))
    return tuple(
        _service(name, by_name.get(name), definitions.get(name), composed.hashes, images, unknown)
        for name in order
    )


def _service(
    name: str,
    inspect: Mapping[str, Any] | None,
    definition: Mapping[str, Any] | None,
    hashes: Mapping[str, str],
    images: Mapping[str, LocalImage],
    unknown: bool,
) -> ServiceView:
    wanted = str((definition or {}).get("image", ""))
    if inspect is None:
        return ServiceView(name, "absent", image=wanted, uses_agents_image=is_agents_service(name))
    image_id = str(inspect["Image"])
    state = container_state(inspect)
    config_part = inspect.get("Config") or {}
    labels = config_part.get("Labels") or {}
    drift = []
    if definition is None and not unknown:
        drift.append("not in the compose file any more")
    elif hashes.get(name) and labels.get("com.docker.compose.config-hash") not in (None, hashes[name]):
        drift.append("its definition or `.env` changed since its container was made")
    local = images.get(wanted) if wanted else None
    if local is not None and local.id != image_id and str(config_part.get("Image")) == wanted:
        drift.append(f"{wanted} is another image by now")
    running = state in ("healthy", "starting", "unhealthy", "running", "paused")
    return ServiceView(
        name,
        state,
        version=version_of(images.get(image_id), wanted),
        image=str(config_part.get("Image", "")),
        image_id=image_id,
        since=started_at(inspect) if running else None,
        restarts=int(inspect.get("RestartCount", 0)),
        exit_code=None if running else int((inspect.get("State") or {}).get("ExitCode", 0)),
        uses_agents_image=is_agents_service(name),
        drift=tuple(drift),
        container=str(inspect["Id"]),
    )


def version_of(image: LocalImage | None, wanted: str = "") -> str:
    """The version of an image the engine has: the tag of `wanted` where that names this very image, else its label,
    else a tag it carries; "" when nothing says.

    A tag counts only as far as the engine says it names this very image id, so a moved name cannot lie; a label says
    what its builder called it, and a release candidate that was promoted is called something else by now.
    """
    if image is None:
        return ""
    plain, _, digest = wanted.partition("@")
    if _tag_of(plain) and (
        plain in image.tags or (digest and any(item.endswith(f"@{digest}") for item in image.digests))
    ):
        return _tag_of(plain)
    label = image.labels.get(VERSION_LABEL, "")
    if label:
        return f"v{label}" if classify_tag(f"v{label}") != "other" else label
    tags = [tag for tag in image.tags if _tag_of(tag)]
    preferred = sorted(tags, key=lambda tag: (tag != wanted, classify_tag(_tag_of(tag)) == "other", tag))
    return _tag_of(preferred[0]) if preferred else ""


def pinned_version(pin: str, images: Mapping[str, LocalImage]) -> str:
    """The version that the value of AGENTS_IMAGE means: its tag. Under a name of ours (of an image that was built here,
    and adopted) the tag is an image id: then what the image says of itself, when the engine has it."""
    tag = _tag_of(pin)
    if not tag or not parse_image(pin).repository.startswith(f"{KEEP_REPOSITORY}/"):
        return tag
    return version_of(images.get(pin), pin) or tag


def _tag_of(reference: str) -> str:
    try:
        return parse_image(reference).tag or "" if reference else ""
    except BadInput:
        return ""


def _mode(resolved: Mapping[str, Any]) -> Mode:
    services = resolved.get("services") or {}
    kinds = {
        "build" if "build" in item else "image" for name, item in services.items() if is_agents_service(name)
    }
    if not kinds:
        return "none"
    if len(kinds) == 2:
        return "mixed"
    return "build" if "build" in kinds else "image"


def _running(services: Sequence[ServiceView]) -> tuple[str, ...]:
    found = [
        service.version or "unknown"
        for service in services
        if service.uses_agents_image and service.state not in ("absent", "exited", "created", "dead")
    ]
    return tuple(dict.fromkeys(found))


def _drift(instance: Instance, view: InstanceView) -> tuple[str, ...]:
    found = []
    header = inspect_header((read_bytes(instance.compose_file) or b"").decode(errors="replace"))
    if isinstance(header, GeneratedBy) and not header.hash_ok:
        found.append("docker-compose.yml was edited by hand since it was written")
    elif view.mode != "none" and isinstance(header, Foreign):
        found.append("docker-compose.yml was not written by this tool")
    elif view.mode != "none" and isinstance(header, Upstream):
        found.append("docker-compose.yml was written by upstream's init, not by this tool")
    running = view.running_versions if view.services else ()
    others = [version for version in running if version != view.pinned_version]
    if view.mode == "image" and view.pinned_version and others:
        found.append(f"pinned is {view.pinned_version}, running is {', '.join(others)}")
    return tuple(found)


def _attention(instance: Instance, view: InstanceView, composed: _Compose) -> list[Attention]:
    found: list[Attention] = []
    if view.engine_error:
        found.append(Attention(view.engine_error, "problem"))
    if composed.error is not None:
        error = composed.error
        sealed = error.code.startswith("sops.")
        told = str(error) if sealed else f"{error.what} {error.why}"
        found.append(Attention(told, "problem", "" if sealed else "docker compose config"))
    found += _under_way(instance)
    for service in view.services:
        if service.state in TROUBLED or service.restarts > 2:
            again = f" ({service.restarts} restarts)" if service.restarts else ""
            severe = "problem" if service.state in TROUBLED else "warning"
            text = f"{service.name} is {service.state}{again}"
            found.append(Attention(text, severe, f"disinto logs {service.name}", "l"))  # type: ignore[arg-type]
    for text in view.drift:
        command = "disinto up" if text.startswith("pinned") else "disinto adopt"
        found.append(Attention(text, "warning", command))
    # A service that runs another version than the pinned one differs for that reason; once is enough.
    named = view.pinned_version and {view.pinned_version} != set(view.running_versions)
    drifted = [
        service.name
        for service in view.services
        if service.drift and not (named and service.uses_agents_image)
    ]
    if drifted:
        reason = next(service.drift[0] for service in view.services if service.name == drifted[0])
        found.append(Attention(f"{', '.join(drifted)}: {reason}", "warning", "disinto up"))
    found += expiring(instance)
    if exported(["AGENTS_IMAGE"]):
        text = "AGENTS_IMAGE is exported in this shell: a hand-typed `docker compose up` here would use it"
        found.append(Attention(text, "warning", "unset AGENTS_IMAGE"))
    return found


def _under_way(instance: Instance) -> list[Attention]:
    """A run that stopped half-way, and a lock that a dead process left."""
    half_way = unfinished_run(instance)
    try:
        holder = describe(instance)
    except DisintoError as error:
        return [Attention(f"{error.what} {error.why}", "problem")]
    if holder.state == "left":
        return [Attention(holder.words, "problem", "disinto unlock")]
    if half_way is None or holder.state in ("busy", "unknown"):
        return []  # somebody is at work on it, or may be
    died = f": {holder.words}" if holder.run == half_way.id else ""
    text = f"“{half_way.plan().title}” stopped half-way{died}"
    return [Attention(text, "problem", "disinto resume (or resume --undo)", "enter")]


def recent_runs(instance: Instance, count: int = _RECENT) -> tuple[RunSummary, ...]:
    """The newest runs, newest first."""
    return tuple(_summary(item) for item in list_runs(instance)[:count])


def _summary(item: RunDir) -> RunSummary:
    events = item.events()
    plan = item.plan()
    started = next((event.at for event in events if isinstance(event, RunStarted)), 0.0)
    ended = next((event for event in reversed(events) if isinstance(event, RunEnded)), None)
    status = run_status(item, events)
    finished = ended is not None and status not in ("running", "interrupted")
    return RunSummary(
        item.id,
        plan.kind,
        plan.title,
        status,
        started or item.path.stat().st_mtime,
        round(ended.at - started, 1) if finished and ended is not None and started else None,
        str((ended.error or {}).get("why", "")) if finished and ended is not None else "",
    )


async def watch_instance(instance: Instance, *, quiet: float = 0.25) -> AsyncIterator[InstanceView]:
    """A view now, and a new one whenever the engine says a container of the project changed.

    A container that is started from the instance's directory counts, whatever its project is called. Bursts (a
    recreate is six events) are gathered for `quiet` seconds. Ends when the engine goes away, after a last view
    that says so.
    """
    endpoint = await find_endpoint()
    began = time.time()
    view = await observe(instance, endpoint=endpoint)
    yield view
    if view.engine_error:
        return
    try:
        async with compose_events(Engine(endpoint), since=began) as stream:
            stream.linger = quiet
            async for batch in stream:
                labels = [(event.get("Actor") or {}).get("Attributes") or {} for event in batch]
                if any(
                    item.get(PROJECT_LABEL) == view.project or started_from(item, instance) for item in labels
                ):
                    view = await observe(instance, endpoint=endpoint)
                    yield view
    except DisintoError:
        yield await observe(instance, endpoint=endpoint)
