"""Checks of what runs: the version, its definition, its health, its mounts."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.core.image import local_name
from disinto_tui.core.words import age_text
from disinto_tui.runs.doctor_model import Ground, Remark
from disinto_tui.runs.health import container_state, service_of
from disinto_tui.runs.history import short
from disinto_tui.runs.lifecycle import active_services
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.pin import pinned_reference
from disinto_tui.runs.shadows import shadows_of
from disinto_tui.runs.versions import resolve

HEARTBEATS = ("/tmp/disinto-heartbeat", "/tmp/heartbeat")  # noqa: S108  # in the container
"""Where agents images touch a file while their loop turns."""
HEARTBEAT_SECONDS = 30.0
"""The oldest one may be, unless the container's HEARTBEAT_MAX_AGE says otherwise; as the image's own check has it."""
MANY_RESTARTS = 2
_STANDING = ("exited", "created", "dead", "absent")


async def platform(ground: Ground) -> Sequence[Remark]:
    """The pinned image is one that this engine can run."""
    pin = pinned_reference((await ground.env()).values)
    if pin is None:
        return [Remark("ok", "nothing is pinned, so images are built here")]
    info = await ground.info()
    local = await (await ground.engine()).image(local_name(str(pin)))
    if local is not None:
        fits = not local.architecture or info.platform.startswith(f"linux/{local.architecture}")
        text = f"{short(str(pin))} is for {local.architecture}, the engine for {info.platform}"
        cure = f"`disinto versions` shows which versions there are for {info.platform}."
        return [Remark("ok", text) if fits else Remark("problem", f"{text}: it cannot run", cure)]
    if ground.offline:
        return [Remark("warning", f"{pin} is not on this host", f"docker pull {pin}")]
    await resolve(pin.with_tag(None), str(pin), info.platform, engine=await ground.engine())
    return [Remark("ok", f"the registry has {short(str(pin))} for {info.platform}")]


async def pin(ground: Ground) -> Sequence[Remark]:
    """What `.env` pins is what runs, by image id and not by name."""
    values, found, services = (await ground.env()).values, await ground.found(), await ground.definitions()
    wanted = pinned_reference(values)
    agents = {name: item for name, item in services.items() if is_agents_service(name)}
    remarks = _exported() + _of_tag(values)
    if any("build" in item for item in agents.values()) and wanted is None:
        return [*remarks, Remark("ok", "build mode: there is no pin")]
    if wanted is None:
        return [
            *remarks,
            Remark("problem", "AGENTS_IMAGE is not set, or is no reference", "disinto use VERSION"),
        ]
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
    text = f"{short(str(wanted))} is pinned, and {names} runs {', '.join(map(short, what))}"
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
    remarks = [
        Remark("warning", text, "disinto init CONFIG --overwrite")
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
    found, services = await ground.found(), await ground.definitions()
    listed = await shadows_of(await ground.engine(), ground.instance, found=found, definitions=services)
    remarks = [Remark(item.severity, item.words, item.cure) for item in listed if item.severity != "note"]
    notes = len(listed) - len(remarks)
    fine = f"every volume of {len(services)} services is mounted" + (f" ({notes} notes)" if notes else "")
    return remarks or [Remark("ok", fine)]


async def health(ground: Ground) -> Sequence[Remark]:
    """What should run runs, and somebody asks it whether it is well."""
    found, services = await ground.found(), await ground.definitions()
    return health_remarks(active_services(services, (await ground.env()).values), found.containers)


def health_remarks(active: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> list[Remark]:
    """From the services that `up` starts and the containers' inspect documents."""
    documents = {service_of(item): item for item in containers}
    if active and not any(container_state(item) not in _STANDING for item in containers):
        return [Remark("warning", "the factory is stopped", "disinto up")]
    remarks = []
    for name in sorted({*active, *documents}):
        inspect = documents.get(name)
        state = container_state(inspect) if inspect is not None else "absent"
        if state == "absent" or (state in _STANDING and name in active):
            remarks.append(Remark("problem", f"{name} does not run ({state})", "disinto up"))
        elif state in ("unhealthy", "restarting"):
            remarks.append(Remark("problem", f"{name} is {state}", f"disinto logs {name}"))
        elif state == "paused":
            remarks.append(Remark("warning", f"{name} is paused", "docker compose unpause"))
        elif state == "running":
            text = f"{name} has no healthcheck: a switch can only see that it does not end"
            cure = f"Give it one under services.{name}.healthcheck in docker-compose.override.yml."
            remarks.append(Remark("warning", text, cure))
    starting = [name for name, item in documents.items() if container_state(item) == "starting"]
    fine = f"{len(documents)} services run, each with a healthcheck"
    return remarks or [Remark("ok", fine + (f"; still starting: {', '.join(starting)}" if starting else ""))]


async def heartbeat(ground: Ground) -> Sequence[Remark]:
    """The agents' loop turns, and does not merely exist."""
    found, engine = await ground.found(), await ground.engine()
    agents = [
        item
        for item in found.containers
        if is_agents_service(service_of(item)) and container_state(item) not in (*_STANDING, "restarting")
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
    ages = [age for path in HEARTBEATS if (age := await _age(engine, str(inspect["Id"]), path)) is not None]
    return heartbeat_remark(name, min(ages) if ages else None, limit)


def heartbeat_remark(name: str, age: float | None, limit: float) -> Remark:
    """From the heartbeat's age in seconds; None when the image touches no such file."""
    if age is None:
        return Remark("ok", f"{name} has no heartbeat file, so its process is all there is to see")
    if age > limit:
        text = f"{name}'s loop has stood still for {age_text(age)} (limit {limit:.0f} s)"
        return Remark("problem", text, f"disinto logs {name}")
    return Remark("ok", f"{name}'s loop turned {age_text(age)} ago")


async def _age(engine: Engine, container: str, path: str) -> float | None:
    """Seconds since a file in a container was touched; None when it is not there."""

    def ask(client: Any) -> str:
        import docker.errors

        try:
            chunks, about = client.get_archive(container, path)
        except docker.errors.NotFound:
            return ""
        chunks.close()
        return str(about.get("mtime", ""))

    text = await engine.call(ask)
    try:
        moment = dt.datetime.fromisoformat(text[:19] + _zone(text))
    except ValueError:
        return None
    return max(0.0, time.time() - moment.timestamp())


def _zone(text: str) -> str:
    """The zone at the end of a Go timestamp; its fraction has nine digits, which Python 3.10 does not read."""
    return text[-6:] if text[-6:-5] in ("+", "-") else "+00:00"


async def restarts(ground: Ground) -> Sequence[Remark]:
    """Nothing dies and comes back unseen."""
    return restart_remarks((await ground.found()).containers)


def restart_remarks(containers: Sequence[Mapping[str, Any]]) -> list[Remark]:
    """From the containers' inspect documents."""
    remarks = []
    for inspect in containers:
        name, count = service_of(inspect), int(inspect.get("RestartCount", 0))
        state = inspect.get("State") or {}
        if state.get("OOMKilled"):
            text = f"{name} was killed because it took too much memory"
            remarks.append(
                Remark("problem", text, f"Give the host or services.{name}.mem_limit more memory.")
            )
        elif container_state(inspect) == "restarting":
            text = f"{name} restarts in a loop ({count} times, last exit code {state.get('ExitCode')})"
            remarks.append(Remark("problem", text, f"disinto logs {name}"))
        elif count > MANY_RESTARTS:
            text = f"{name} was restarted {count} times since it was made"
            remarks.append(Remark("warning", text, f"disinto logs {name}"))
    return remarks or [Remark("ok", "no service was restarted more than twice")]
