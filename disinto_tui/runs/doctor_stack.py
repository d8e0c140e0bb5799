"""Checks of what runs: the version, its definition, its health, its mounts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.engine_look import age_in
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.image import local_name, parse_image
from disinto_tui.core.words import age_text
from disinto_tui.runs.doctor_model import Ground, Remark
from disinto_tui.runs.env import load_env
from disinto_tui.runs.health import container_state, is_leftover, service_of, started_at
from disinto_tui.runs.history import short
from disinto_tui.runs.lifecycle import active_services
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.pin import bare_pin, pinned_reference
from disinto_tui.runs.shadows import shadows_of
from disinto_tui.runs.versions import resolve

HEARTBEATS = ("/tmp/disinto-heartbeat", "/tmp/heartbeat")  # noqa: S108  # in the container
"""Where agents images touch a file while their loop turns."""
HEARTBEAT_SECONDS = 30.0
"""The oldest one may be, unless the container's HEARTBEAT_MAX_AGE says otherwise; as the image's own check has it."""
MANY_RESTARTS = 2
_LOOP_SECONDS = 60.0
_SAID = 200
"""Characters of what the engine says why a container could not be started."""
_STANDING = ("exited", "created", "dead", "absent")


async def platform(ground: Ground) -> Sequence[Remark]:
    """The pinned image is one that this engine can run, and so are the others that are here."""
    values = (await ground.env()).values
    pin = None if bare_pin(values) else pinned_reference(values)
    info, engine = await ground.info(), await ground.engine()
    others = await _other_platforms(ground, info.platform, "" if pin is None else values["AGENTS_IMAGE"])
    if pin is None:
        return others or [Remark("ok", f"nothing is pinned; every image that is here is for {info.platform}")]
    local = await engine.image(local_name(str(pin)))
    if local is not None:
        fits = not local.architecture or info.platform.startswith(f"linux/{local.architecture}")
        text = f"{short(str(pin))} is for {local.architecture}, the engine for {info.platform}"
        cure = f"`disinto versions` shows which versions there are for {info.platform}."
        return [Remark("ok", text) if fits else Remark("problem", f"{text}: it cannot run", cure), *others]
    if ground.offline:
        return [Remark("warning", f"{pin} is not on this host", f"docker pull {pin}"), *others]
    await resolve(pin.with_tag(None), str(pin), info.platform, engine=engine)
    return [Remark("ok", f"the registry has {short(str(pin))} for {info.platform}"), *others]


async def _other_platforms(ground: Ground, wanted: str, but: str) -> list[Remark]:
    """Images of the other services that are here and for another processor; [] when Compose refuses the files."""
    engine = await ground.engine()
    try:
        services = active_services(await ground.definitions(), (await ground.env()).values)
    except DisintoError:
        return []  # told by its own check
    named = {name: str(item["image"]) for name, item in services.items() if item.get("image")}
    names = sorted({image for image in named.values() if image != but and _usable(image)})
    remarks = []
    for name, image in zip(names, await asyncio.gather(*map(engine.image, names)), strict=True):
        if image is None or not image.architecture or wanted.startswith(f"linux/{image.architecture}"):
            continue
        users = ", ".join(sorted(service for service, named_one in named.items() if named_one == name))
        text = f"{users}: {name} is for {image.architecture}, the engine for {wanted}"
        remarks.append(Remark("warning", text, f"docker pull --platform {wanted} {name}"))
    return remarks


def _usable(image: str) -> bool:
    try:
        parse_image(image)
    except DisintoError:
        return False
    return True


async def pin(ground: Ground) -> Sequence[Remark]:
    """What `.env` pins is what runs, by image id and not by name."""
    values, found = (await ground.env()).values, await ground.found()
    wanted = pinned_reference(values)
    remarks = _exported() + _of_tag(values)
    if bare := bare_pin(values):
        text = f"AGENTS_IMAGE is {bare} alone, which Docker takes for docker.io/library/{bare}"
        return [*remarks, Remark("problem", text, f"disinto use {bare}")]
    if not values:
        await load_env(ground.instance)  # raises why, when there is one
    if await ground.definitions_or_none() is None and not values.get("AGENTS_IMAGE"):
        return [*remarks, Remark("problem", "AGENTS_IMAGE is not set in .env", "disinto use VERSION")]
    services = await ground.definitions()
    agents = {name: item for name, item in services.items() if is_agents_service(name)}
    if not agents:
        return [*remarks, Remark("ok", "no service here runs the agents image")]
    if any("build" in item for item in agents.values()) and wanted is None:
        return [*remarks, Remark("ok", "build mode: there is no pin")]
    if wanted is None and values.get("AGENTS_IMAGE"):
        return [*remarks, Remark("problem", "AGENTS_IMAGE is no image reference", "disinto use VERSION")]
    named = {name: str(item.get("image", "")) for name, item in agents.items()}
    if wanted is None or values["AGENTS_IMAGE"] not in named.values():
        name, image = sorted(named.items())[0]
        text = f"{name} runs {image or 'what is built here'}, as its compose file says: AGENTS_IMAGE has no say in it"
        return [*remarks, Remark("warning", text, "disinto adopt")]
    engine = await ground.engine()
    local = await engine.image(local_name(str(wanted)))
    running = [
        item
        for item in found.containers
        if str(agents.get(service_of(item), {}).get("image", "")) == values["AGENTS_IMAGE"]
        and container_state(item) not in _STANDING
    ]
    others = [item for item in running if local is None or str(item["Image"]) != local.id]
    if not running:
        return [*remarks, Remark("warning", f"{wanted} is pinned, and no agents service runs", "disinto up")]
    if not others:
        return [*remarks, Remark("ok", f"{short(str(wanted))} is pinned, and runs")]
    names = ", ".join(sorted(service_of(item) for item in others))
    what = sorted({str((item.get("Config") or {}).get("Image", "")) for item in others})
    if what == [values["AGENTS_IMAGE"]]:
        text = f"{names}: {wanted} means another image by now than when it was started"
        cure = "`disinto up` starts the one it means now; `disinto use VERSION` another."
        if local is None:
            text, cure = f"{names} runs {wanted}, whose name is gone from this host", f"docker pull {wanted}"
        return [*remarks, Remark("warning", text, cure)]
    theirs, pinned = [short(item) for item in what], short(str(wanted))
    if pinned in theirs:  # of another repository
        theirs, pinned = what, str(wanted)
    text = f"{pinned} is pinned, and {names} runs {', '.join(theirs)}"
    return [*remarks, Remark("warning", text, "disinto up")]


def _exported() -> list[Remark]:
    if not os.environ.get("AGENTS_IMAGE"):
        return []
    text = "AGENTS_IMAGE is exported in this shell: a hand-typed `docker compose up` here would use it"
    return [Remark("warning", text, "unset AGENTS_IMAGE")]


def _of_tag(values: Mapping[str, str]) -> list[Remark]:
    """The older variable, which other services of an upstream file still read."""
    tag, pinned = values.get("DISINTO_IMAGE_TAG", ""), pinned_reference(values)
    if not tag or pinned is None or pinned.tag in (None, tag):
        return []
    text = f"DISINTO_IMAGE_TAG is {tag}, and AGENTS_IMAGE pins {pinned.tag}: two variables for one thing"
    return [Remark("warning", text, "Take DISINTO_IMAGE_TAG out of .env, or set it to the same tag.")]


async def drift(ground: Ground) -> Sequence[Remark]:
    """What runs was made from the files as they are."""
    view = await ground.view()
    # Not `init --overwrite`, which writes the file anew: adopting moves what was put in by hand into the override.
    remarks = [
        Remark("warning", text, "disinto adopt")
        for text in view.drift
        if not text.startswith("pinned")  # a check of its own
    ]
    pinned = view.pinned_version and set(view.running_versions) - {view.pinned_version}
    for service in view.services:
        if service.drift and not (pinned and service.uses_agents_image):
            remarks.append(Remark("warning", f"{service.name}: {service.drift[0]}", "disinto up"))
    return remarks or [Remark("ok", "every container is as the files say")]


async def shadows(ground: Ground) -> Sequence[Remark]:
    """Nothing that matters lies where the next recreate loses or hides it."""
    found, services = await ground.found(), await ground.definitions_or_none()
    listed = await shadows_of(await ground.engine(), ground.instance, found=found, definitions=services)
    remarks = [Remark(item.severity, item.words, item.cure) for item in listed if item.severity != "note"]
    notes = len(listed) - len(remarks)
    fine = f"every volume of {len(services or found.containers)} services is mounted" + (
        f" ({notes} notes)" if notes else ""
    )
    return remarks or [Remark("ok", fine)]


async def health(ground: Ground) -> Sequence[Remark]:
    """What should run runs, and somebody asks it whether it is well."""
    found, services = await ground.found(), await ground.definitions_or_none()
    if services is None:  # then what has a container is what should run
        return health_remarks({service_of(item): {} for item in found.containers}, found.containers)
    return health_remarks(active_services(services, (await ground.env()).values), found.containers)


def health_remarks(active: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> list[Remark]:
    """From the services that `up` starts and the containers' inspect documents: each container of a service counts."""
    containers = [item for item in containers if not is_leftover(item)]  # a check of its own
    if active and not any(container_state(item) not in _STANDING for item in containers):
        return [Remark("warning", "the factory is stopped", "disinto up")]
    once = _run_once(active)
    remarks, starting = [], []
    for name in sorted({*active, *map(service_of, containers)}):
        mine = [item for item in containers if service_of(item) == name]
        if not mine and _wanted(active[name]):
            remarks.append(Remark("problem", f"{name} does not run (absent)", "disinto up"))
        for inspect in mine:
            called = name if len(mine) == 1 else f"{name} ({_name(inspect)})"
            remarks += _of_container(name, called, inspect, name in active, name in once)
            if container_state(inspect) == "starting":
                starting.append(called)
    count = len({service_of(item) for item in containers if container_state(item) not in _STANDING})
    fine = f"{count} services run, each with a healthcheck"
    return remarks or [Remark("ok", fine + (f"; still starting: {', '.join(starting)}" if starting else ""))]


def _of_container(
    name: str, called: str, inspect: Mapping[str, Any], active: bool, once: bool
) -> Iterator[Remark]:
    state = container_state(inspect)
    if state in _STANDING:
        if active and not _done(inspect, once):
            said = " ".join(str((inspect.get("State") or {}).get("Error", "")).split())
            why = f": {said[:_SAID]}{'…' if len(said) > _SAID else ''}" if said else ""
            yield Remark("problem", f"{called} does not run ({state}{why})", "disinto up")
    elif state in ("unhealthy", "restarting"):
        yield Remark("problem", f"{called} is {state}", f"disinto logs {name}")
    elif state == "paused":
        yield Remark("warning", f"{called} is paused", f"docker unpause {_name(inspect)}")
    elif state == "running" and not once:
        text = f"{called} has no healthcheck: a switch can only see that it does not end"
        cure = f"Give it one under services.{name}.healthcheck in docker-compose.override.yml."
        yield Remark("warning", text, cure)


def _name(inspect: Mapping[str, Any]) -> str:
    return str(inspect.get("Name", "")).lstrip("/")


def _wanted(definition: Mapping[str, Any]) -> bool:
    """Whether it is to have a container at all: `scale: 0`, or no replicas, means that it is off."""
    count = definition.get("scale", (definition.get("deploy") or {}).get("replicas"))
    return count is None or str(count) != "0"


def _run_once(definitions: Mapping[str, Any]) -> set[str]:
    """Services whose end is what others wait for (`service_completed_successfully`)."""
    return {
        str(other)
        for item in definitions.values()
        for other, how in _depends_on(item).items()
        if how.get("condition") == "service_completed_successfully"
    }


def _depends_on(definition: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = definition.get("depends_on") or {}
    return {name: how or {} for name, how in found.items()} if isinstance(found, Mapping) else {}


def _done(inspect: Mapping[str, Any], once: bool) -> bool:
    """Whether it ended because its work is done. One that serves (ports, a healthcheck) or that is to come back is
    never done, whatever its exit code: edge without a restart policy ends with 0 when the host goes down."""
    if container_state(inspect) != "exited" or (inspect.get("State") or {}).get("ExitCode") != 0:
        return False
    host, config = inspect.get("HostConfig") or {}, inspect.get("Config") or {}
    policy = str((host.get("RestartPolicy") or {}).get("Name") or "no")
    asked = (config.get("Healthcheck") or {}).get("Test") not in (None, [], ["NONE"])
    serves = host.get("PortBindings") or asked or is_agents_service(service_of(inspect))
    return once or (policy in ("no", "on-failure") and not serves)


async def heartbeat(ground: Ground) -> Sequence[Remark]:
    """The agents' loop turns, and does not merely exist."""
    found, engine = await ground.found(), await ground.engine()
    agents = [
        item
        for item in found.containers
        if is_agents_service(service_of(item))
        and container_state(item) not in (*_STANDING, "restarting", "paused")
    ]
    if not agents:
        return [Remark("ok", "no agents service runs")]
    return list(await asyncio.gather(*(_beat(engine, item) for item in agents)))


async def _beat(engine: Engine, inspect: Mapping[str, Any]) -> Remark:
    name, limit = service_of(inspect), HEARTBEAT_SECONDS
    for text in (inspect.get("Config") or {}).get("Env") or ():
        key, _, value = str(text).partition("=")
        if key == "HEARTBEAT_MAX_AGE" and value.isdigit():
            limit = float(value)
    return heartbeat_remark(name, await age_in(engine, str(inspect["Id"]), HEARTBEATS), limit)


def heartbeat_remark(name: str, age: float | None, limit: float) -> Remark:
    """From the heartbeat's age in seconds; None when the image touches no such file."""
    if age is None:
        return Remark("ok", f"{name} has no heartbeat file, so its process is all there is to see")
    if age > limit:
        text = f"the loop of {name} has stood still for {age_text(age)} (limit {limit:.0f} s)"
        return Remark("problem", text, f"disinto logs {name}")
    return Remark("ok", f"the loop of {name} turned {age_text(age)} ago")


async def restarts(ground: Ground) -> Sequence[Remark]:
    """Nothing dies and comes back unseen."""
    return restart_remarks((await ground.found()).containers, ground.now)


def restart_remarks(containers: Sequence[Mapping[str, Any]], now: float) -> list[Remark]:
    """From the containers' inspect documents; `now` is unix seconds."""
    remarks = []
    for inspect in containers:
        name, count = service_of(inspect), int(inspect.get("RestartCount", 0))
        state, began = inspect.get("State") or {}, started_at(inspect)
        # Between two deaths it runs: Docker waits up to a minute before it starts it anew.
        again = count > MANY_RESTARTS and began is not None and now - began < _LOOP_SECONDS
        if state.get("OOMKilled"):
            text = f"{name} was killed because it took too much memory"
            cure = (
                f"Give the host more memory, or the service a higher mem_limit (services.{name}.mem_limit)."
            )
            remarks.append(Remark("problem", text, cure))
        elif container_state(inspect) == "restarting" or again:
            ended = f"last exit code {state.get('ExitCode')}" if not again else "it runs since a moment ago"
            text = f"{name} restarts in a loop ({count} times, {ended})"
            remarks.append(Remark("problem", text, f"disinto logs {name}"))
        elif count > MANY_RESTARTS:
            text = f"{name} was restarted {count} times since it was made"
            remarks.append(Remark("warning", text, f"disinto logs {name}"))
    return remarks or [Remark("ok", "no service was restarted more than twice")]
