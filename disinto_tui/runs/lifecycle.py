"""Plans of the two everyday commands: up and down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from disinto_tui.adapters.compose import config
from disinto_tui.adapters.engine import Engine, find_endpoint
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.plan import ImagePull, Plan, ServiceChange, Step
from disinto_tui.runs.env import load_env
from disinto_tui.runs.health import container_state, service_of
from disinto_tui.runs.holder import died_note, refuse_unfinished
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.ops_stack import image_is_here
from disinto_tui.runs.pin import factory_of as factory_of  # noqa: PLC0414  # others find it here
from disinto_tui.runs.pin import repository_of as repository_of  # noqa: PLC0414  # others find it here
from disinto_tui.runs.project import find_project
from disinto_tui.runs.versions import resolve

HEALTH_SECONDS = 180.0


def require_stack(instance: Instance) -> None:
    """Raise BadInput when there is no compose file: nothing to start, stop or look at."""
    if not instance.compose_file.exists():
        raise BadInput(
            f"There is no factory in {instance.path}.",
            "It holds no docker-compose.yml.",
            "Make one with `disinto init CONFIG`, or name the right directory with --dir.",
            code="instance.none",
        )


async def plan_up(instance: Instance, *, one_off: str | None = None) -> Plan:
    """What `disinto up` will do. `one_off` is the shell's AGENTS_IMAGE: it wins once, `.env` stays as it is.

    It is started as the project it was, from the files it was, with the profiles whose services run.
    Raises BadInput, Unavailable, Refused, Failed (Compose refuses the file).
    """
    require_stack(instance)
    refuse_unfinished(instance)
    endpoint = await find_endpoint()
    engine = Engine(endpoint)
    info = await engine.info()
    opened = await load_env(instance)
    env = opened.values
    found = await find_project(engine, instance, opened)
    variables: dict[str, str] = {}
    notes: list[str] = [*found.notes, *died_note(instance)]
    if opened.both:
        notes.append("there are a .env and a .env.enc: Compose reads .env, and so does this")
    pulls: list[ImagePull] = []
    if one_off:
        resolved = await resolve_here_or_there(engine, repository_of(instance, env), one_off, info.platform)
        variables["AGENTS_IMAGE"] = resolved.reference
        pulls.append(resolved)
        notes.append(
            f"AGENTS_IMAGE is set in this shell: {resolved.reference} runs once, .env is not changed"
        )
    data = await config(found.target(instance, endpoint).with_variables(variables))
    definitions: Mapping[str, Any] = data.get("services") or {}
    build_mode = any("build" in item for name, item in definitions.items() if is_agents_service(name))
    switched: tuple[str, ...] = ()
    if build_mode and one_off:
        switched = tuple(name for name in definitions if is_agents_service(name))
        notes.append("the file is in build mode: for this once the agents services run the image instead")
    active = active_services(definitions, env)
    containers = {service_of(item): item for item in found.containers}
    profiles = _profiles_in_use(definitions, active, containers)
    if profiles:
        active.update({name: item for name, item in definitions.items() if profiles & _profiles(item)})
        notes.append(f"services of the profile {', '.join(sorted(profiles))} run, so it stays on")
    for item in active.values():
        image = str(item.get("image", ""))
        if image and "build" not in item and not any(entry.reference == image for entry in pulls):
            pulls.append(ImagePull(image))
    building = build_mode and not switched
    steps: list[Step] = []
    shown = [replace(item, here=await image_is_here(engine, item.reference, item.digest)) for item in pulls]
    if any(not item.here for item in shown):
        images = [{"reference": item.reference, "digest": item.digest} for item in shown]
        steps.append(Step("pull", "Pull images", "pull", {"images": images}, "not on this host yet"))
    up = {
        "variables": variables,
        "build": building,
        "image_services": list(switched),
        "files": list(found.files),
        "profiles": sorted(profiles | _profiles_on(env)) if profiles else [],
    }
    steps.append(Step("up", "Start the stack", "up", up, "docker compose up", atomic=True))
    waiting = {"services": list(active), "timeout": HEALTH_SECONDS}
    steps.append(Step("healthy", "Wait until healthy", "healthy", waiting, writes=False))
    started = variables.get("AGENTS_IMAGE", "" if build_mode else env.get("AGENTS_IMAGE", ""))
    if started:
        steps.append(Step("record", "Keep it as known good", "record-good", {"reference": started}))
    services = tuple(_service_change(name, containers.get(name), variables) for name in active)
    return Plan(
        "up",
        f"Start {found.name}" + (f" with {_short(pulls[0].reference)}, once" if one_off else ""),
        str(instance.path),
        found.name,
        endpoint,
        tuple(steps),
        services=services,
        pulls=tuple(shown),
        downtime="only for services whose definition or image changed, about 0.5 s each",
        undo="`disinto down` stops it; volumes stay",
        notes=tuple(notes),
        facts={
            "to": started,
            "digest": next((item.digest for item in pulls if item.digest), ""),
            **found.facts(),
        },
    )


def _service_change(
    name: str, inspect: Mapping[str, Any] | None, one_off: Mapping[str, str]
) -> ServiceChange:
    if inspect is None:
        return ServiceChange(name, "create", "no container yet")
    if is_agents_service(name) and one_off:
        return ServiceChange(name, "recreate", "the one-off image", image=one_off["AGENTS_IMAGE"])
    if container_state(inspect) in ("exited", "created", "dead"):
        return ServiceChange(name, "start", "stopped")
    return ServiceChange(name, "untouched", "runs; recreated only when Compose finds it changed")


def _short(reference: str) -> str:
    """The tag of a reference, or what there is of it."""
    found = parse_image(reference)
    return found.tag or (found.digest or reference)[:19]


async def resolve_here_or_there(
    engine: Engine, repository: ImageRef, wanted: str, platform: str
) -> ImagePull:
    """Resolve what an operator named; an image that is local will do when the registry does not answer."""
    from disinto_tui.core.errors import Unavailable
    from disinto_tui.core.image import resolve_operator_input

    try:
        resolved = await resolve(repository, wanted, platform, engine=engine)
    except Unavailable:
        reference = resolve_operator_input(wanted, repository)
        if await engine.image(str(reference)) is None:
            raise
        return ImagePull(str(reference), here=True)
    return ImagePull(resolved.pin, resolved.digest, resolved.info.size if resolved.info else -1)


async def plan_down(instance: Instance) -> Plan:
    """What `disinto down` will do: to the project that runs, whatever it was started as, and to nothing else.

    Raises BadInput when nothing is here, Unavailable without an engine, Refused when it is not clear what runs.
    """
    endpoint = await find_endpoint()
    engine = Engine(endpoint)
    found = await find_project(engine, instance)
    project, containers = found.name, found.containers
    if not containers:
        require_stack(instance)
    volumes = await engine.volumes(project)
    by_labels = False
    notes = [*found.notes, *died_note(instance), f"{len(volumes)} named volumes stay, and every file"]
    try:
        await load_env(instance)
        await config(found.target(instance, endpoint))
    except DisintoError as error:
        by_labels = True
        notes.append(
            f"Compose cannot be given its files ({error.what} {error.why}), so the containers' labels are used"
        )
    names = sorted({service_of(item) for item in containers})
    down = {"by_labels": by_labels, "files": list(found.files)}
    steps = (Step("down", "Stop and remove containers", "down", down, atomic=True),) if containers else ()
    return Plan(
        "down",
        f"Stop {project}",
        str(instance.path),
        project,
        endpoint,
        steps,
        services=tuple(ServiceChange(name, "remove") for name in names),
        downtime="until `disinto up`",
        undo="`disinto up` starts it again",
        notes=tuple(notes),
        facts=found.facts(),
    )


def active_services(definitions: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The services `up` starts: those without a profile, and those whose profile `.env` turns on
    (COMPOSE_PROFILES, the way Compose reads it)."""
    on = _profiles_on(env)
    return {
        name: item
        for name, item in definitions.items()
        if not item.get("profiles") or "*" in on or on & _profiles(item)
    }


def _profiles_on(env: Mapping[str, str]) -> set[str]:
    return {name.strip() for name in env.get("COMPOSE_PROFILES", "").split(",") if name.strip()}


def _profiles(definition: Mapping[str, Any]) -> set[str]:
    return set(definition.get("profiles") or ())


def _profiles_in_use(
    definitions: Mapping[str, Any], active: Mapping[str, Any], containers: Mapping[str, Mapping[str, Any]]
) -> set[str]:
    """Profiles that somebody turned on with `--profile`: their services run, and are meant to go on running.

    Those of one action (runner, reproduce) have no restart policy: an `up` must not begin them anew.
    """
    running = {
        name
        for name, item in containers.items()
        if container_state(item) not in ("exited", "created", "dead")
    }
    off = {profile for name in definitions if name not in active for profile in _profiles(definitions[name])}
    members = {
        profile: {name: item for name, item in definitions.items() if profile in _profiles(item)}
        for profile in off
    }
    return {
        profile
        for profile, items in members.items()
        if set(items) <= running and all(item.get("restart", "no") != "no" for item in items.values())
    }


def shell_override() -> str | None:
    """The shell's AGENTS_IMAGE, None when it is not set or empty."""
    return os.environ.get("AGENTS_IMAGE") or None
