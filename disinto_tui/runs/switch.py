"""Plan a switch: another version pinned, the services that run the agents image recreated, nothing else.

The tag is resolved to a digest when it is picked; what is pulled is that digest. A switch that fails at any
point goes back by itself, and the way back is verified like the way there.
"""

from __future__ import annotations

import asyncio
import getpass
import importlib
import os
import threading
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters.compose import ComposeTarget, config
from disinto_tui.adapters.engine import Engine, EngineInfo, find_endpoint
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import BadInput, Refused, Unavailable
from disinto_tui.core.image import ImageRef, local_name, parse_image, resolve_operator_input
from disinto_tui.core.plan import FileChange, ImagePull, Plan, ServiceChange, Step
from disinto_tui.core.shadow import Shadow
from disinto_tui.runs import preflight
from disinto_tui.runs.env import Env, load_env, refuse_both, with_pin
from disinto_tui.runs.health import container_state, is_well, service_of
from disinto_tui.runs.history import Entry, history, left_behind, short
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.runs.idle import Work, busy
from disinto_tui.runs.lifecycle import factory_of, repository_of, require_stack, shell_override
from disinto_tui.runs.needs import needs_of
from disinto_tui.runs.observe import is_agents_service
from disinto_tui.runs.ops_files import file_mode, replacement
from disinto_tui.runs.ops_stack import image_is_here
from disinto_tui.runs.project import Found, find_project
from disinto_tui.runs.shadows import switch_hides, switch_shadows
from disinto_tui.runs.versions import Resolved, chains_here, pull_bytes, resolve

HEALTH_SECONDS = 180.0
SOAK_SECONDS = 10.0
"""How long a version must stay up after it is healthy, before it is called known good."""
_VARIABLE = "AGENTS_IMAGE"


@dataclass(frozen=True, slots=True)
class SwitchRequest:
    """What the operator asked for.

    `wanted` is a version, a tag or a reference; `pin_digest` writes `name:tag@sha256:…` (None: as `pin_digest` in
    `[factory]` of the project file says); `when_idle` waits (at most that many seconds) until no agent is at work.
    """

    instance: Instance
    wanted: str
    pin_digest: bool | None = None
    when_idle: float | None = None
    soak: float = SOAK_SECONDS
    kind: str = "switch"
    known: Entry | None = None
    """The known-good start that a rollback goes back to: its digest and image count, not today's tag."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan with the staged `.env`, and who is at work right now (for the review)."""

    plan: Plan
    staged: Mapping[str, bytes] = field(repr=False)
    at_work: tuple[Work, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wanted:
    reference: ImageRef
    digest: str
    image: str
    size: int
    notes: tuple[str, ...]
    declared: tuple[str, ...] | None = None
    """The paths it declares as VOLUME, where the registry said so."""


async def plan_switch(request: SwitchRequest) -> Prepared:
    """Observe and plan. Raises BadInput, Unavailable, Refused: each with nothing changed."""
    instance = request.instance
    require_stack(instance)
    refuse_unfinished(instance)
    endpoint = await find_endpoint()
    engine = Engine(endpoint)
    opened = await load_env(instance)
    refuse_both(opened)
    _refuse_missing_env(instance, opened)
    env = opened.values
    # What can be asked at once is: the operator waits for the slowest answer and not for all of them.
    _load_client()
    info, found = await all_of(engine.info(), find_project(engine, instance, opened))
    repository = repository_of(instance, env)
    target = found.target(instance, endpoint)
    if not env.get(_VARIABLE):
        # The compose file cannot be read without it, and tells people that `disinto use` is what sets it.
        target = target.with_variables({_VARIABLE: str(repository)})
    definitions, wanted = await all_of(
        _definitions(target, request.wanted), _resolve(request, engine, repository, info)
    )
    exact, notes = _wants_digest(request)
    pin = _pin(wanted, exact)
    if exact and "@" not in pin:
        notes.append("no digest is known for it here, so its tag alone is pinned")
    wanted = replace(wanted, notes=(*wanted.notes, *notes))
    return await _plan(request, engine, info, env.get(_VARIABLE, ""), found, definitions, wanted, pin)


# -- resolving -------------------------------------------------------------------------------------------------


async def all_of(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """The answers to questions asked at once, in order. When some fail, the first of them in order is raised, after
    all have ended."""
    answers = await asyncio.gather(*work, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def _load_client() -> None:
    """Load the HTTP client in a thread: it takes a fifth of a second, in which the engine answers."""
    threading.Thread(target=importlib.import_module, args=("aiohttp",), daemon=True).start()


async def _definitions(target: ComposeTarget, wanted: str) -> Mapping[str, Any]:
    definitions: Mapping[str, Any] = (await config(target)).get("services") or {}
    _refuse_build_mode(definitions, wanted)
    return definitions


def _refuse_build_mode(definitions: Mapping[str, Any], wanted: str) -> None:
    building = [name for name, item in definitions.items() if is_agents_service(name) and "build" in item]
    if building:
        raise Refused(
            "This factory is in build mode.",
            f"{', '.join(sorted(building))} are built from source, so there is no pin to change.",
            f"`disinto adopt --version {wanted or 'VERSION'}` takes it over to images; "
            f"`AGENTS_IMAGE={wanted or 'VERSION'} disinto up` runs one once.",
            code="mode.build",
        )


def _refuse_missing_env(instance: Instance, env: Env) -> None:
    """A new `.env` with nothing but the pin would start the agents without a token: that is no switch."""
    if env.kind == "none":
        raise Refused(
            f"There is no .env in {instance.path}.",
            "The agents' tokens and settings are read from it, and would be gone with it.",
            "Put it back from a backup (`.disinto/runs/*/backup/.env` has older ones), "
            "or let `disinto init CONFIG` make it anew.",
            code="env.missing",
        )


async def _resolve(request: SwitchRequest, engine: Engine, repository: ImageRef, info: EngineInfo) -> _Wanted:
    reference = resolve_operator_input(request.wanted, repository)
    known = request.known
    if known is not None and known.image and await engine.image(known.image) is not None:
        plain = parse_image(known.reference.partition("@")[0])
        return _Wanted(plain, known.digest, known.image, 0, ())
    try:
        if known is not None and known.digest:
            exact = ImageRef(reference.registry, reference.repository, None, known.digest)
            resolved = await resolve(repository, str(exact), info.platform, engine=engine)
            return _Wanted(
                reference, known.digest, "", await _missing(resolved, engine), (), _declared(resolved)
            )
        resolved = await resolve(repository, request.wanted, info.platform, engine=engine)
    except (Unavailable, BadInput) as error:
        if isinstance(error, BadInput) and error.code not in ("image.missing", "image.repository"):
            raise
        gone = isinstance(error, BadInput)
        notes = (f"the registry {'does not have it' if gone else 'was not asked'}: {error.what}",)
        local = await engine.image(str(reference))
        if local is not None:
            digest = next((item.partition("@")[2] for item in local.digests), "")
            return _Wanted(reference, reference.digest or digest, local.id, 0, notes)
        # Its name is gone, and the image may be here all the same: kept, since it was seen healthy here.
        for entry in history(request.instance):
            if entry.good and entry.image and entry.reference.partition("@")[0] == str(reference):
                local = await engine.image(entry.image)
                if local is not None:
                    return _Wanted(
                        reference,
                        entry.digest,
                        local.id,
                        0,
                        (*notes, "the image that was seen healthy here is used"),
                    )
        raise
    size = await _missing(resolved, engine)
    return _Wanted(resolved.reference, resolved.digest, "", size, (), _declared(resolved))


def _declared(resolved: Resolved) -> tuple[str, ...] | None:
    return None if resolved.info is None else resolved.info.config.volumes


async def _missing(resolved: Resolved, engine: Engine) -> int:
    """Bytes that are not on this host yet; -1 when not known."""
    return -1 if resolved.info is None else pull_bytes(resolved.info, await chains_here(engine))


def _wants_digest(request: SwitchRequest) -> tuple[bool, list[str]]:
    """Whether the digest is to be pinned, and what is to be said about it."""
    if request.pin_digest is not None:
        return request.pin_digest, []
    factory, unread = factory_of(request.instance)
    if factory is not None:
        return factory.pin_digest, []
    # A setting for safety must not be off only because somebody mistyped a line beside it.
    return False, [f"{name} cannot be read, so a pin_digest in it does not count" for name in unread]


def _pin(wanted: _Wanted, pin_digest: bool) -> str:
    plain = wanted.reference
    if (pin_digest or plain.digest) and wanted.digest:
        return str(ImageRef(plain.registry, plain.repository, plain.tag, wanted.digest))
    return str(plain)


# -- planning --------------------------------------------------------------------------------------------------


async def _plan(
    request: SwitchRequest,
    engine: Engine,
    info: EngineInfo,
    before: str,
    found: Found,
    definitions: Mapping[str, Any],
    wanted: _Wanted,
    pin: str,
) -> Prepared:
    instance = request.instance
    using = _using(definitions, before, pin)
    _refuse_override(found, definitions, using, pin)
    mine = [item for item in found.containers if service_of(item) in using]
    live = [item for item in mine if container_state(item) not in ("exited", "created", "dead")]
    # The runner is one action's own; the next one is started from the same pin anyway.
    services = sorted({service_of(item) for item in live} & set(definitions))
    plain = local_name(pin)
    # By a digest an image can only be started when the engine has a record of it for this very repository.
    recorded = "@" not in pin or await engine.image(pin) is not None
    named = await image_is_here(engine, plain, wanted.digest) or bool(wanted.image and wanted.reference.tag)
    here = recorded and named
    pull = ImagePull(plain, wanted.digest, wanted.size, here)
    preflight.check_disk([pull], info, engine.endpoint)
    works = await busy(engine, live)
    old = read_bytes(instance.path / found.env.name) or b""
    new = await with_pin(instance, found.env, _VARIABLE, pin)
    images = {service_of(item): str(item["Image"]) for item in live}
    back = _way_back(before, live)
    local = await engine.image(wanted.image or plain) if wanted.image or here else None
    target_id = wanted.image or (local.id if local is not None else "")
    settled = new == old and bool(target_id) and set(images.values()) <= {target_id}
    well = {service_of(item) for item in live if is_well(item, time.time())}
    needs = needs_of(definitions, services)
    steps: list[Step] = []
    if not settled:
        steps = _steps(request, found, back, wanted, pin, services, images, here, old, new, well, needs)
    declared = wanted.declared if local is None else local.volumes
    moving = [item for item in live if service_of(item) in services]
    shadows: tuple[Shadow, ...] = ()
    if not settled:
        left, hidden = await asyncio.gather(
            switch_shadows(engine, found.name, definitions, moving, plain, declared),
            switch_hides(engine, instance, definitions, moving, local),
        )
        shadows = (*left, *hidden)
    title = "Roll back" if request.kind == "rollback" else "Switch"
    plan = Plan(
        request.kind,
        f"{title} {found.name} from {short(before) if before else 'nothing'} to {short(pin)}",
        str(instance.path),
        found.name,
        engine.endpoint,
        tuple(steps),
        (_env_change(found.env, before, pin, old, new),),
        _services(found, definitions, services, settled),
        (pull,),
        downtime="about 0.5 s for each recreated service" if services else "none, no agent runs",
        undo=_undo_words(back, images),
        dangers=tuple(f"{item.words}. {item.cure}" for item in shadows if item.severity == "problem"),
        notes=(
            *wanted.notes,
            *found.notes,
            *(item.words for item in shadows if item.severity != "problem"),
            *_notes(request, before, pin, works, services),
        ),
        on_failure="undo",
        facts={
            "from": before,
            "to": pin,
            "digest": wanted.digest,
            "by": _who(),
            "by_hand": _by_hand(found, instance, back, services),
            **found.facts(),
            "summary": (f"{found.name} {'runs' if services else 'is pinned to'} {pin}.",),
        },
    )
    return Prepared(plan, {found.env.name: new} if not settled else {}, tuple(works))


def _steps(
    request: SwitchRequest,
    found: Found,
    before: str,
    wanted: _Wanted,
    pin: str,
    services: list[str],
    images: Mapping[str, str],
    here: bool,
    old: bytes,
    new: bytes,
    well: Collection[str],
    needs: Mapping[str, str],
) -> list[Step]:
    plain = local_name(pin)
    steps: list[Step] = []
    # An image that is here already is meant itself, whatever its tag means in the registry by now.
    if wanted.reference.tag and request.known is None and not wanted.image:
        same = {"reference": plain, "digest": wanted.digest}
        steps.append(
            Step("same", "Look whether the tag still means that image", "same-tag", same, writes=False)
        )
    if not here:
        one = [{"reference": plain, "digest": wanted.digest, "pin": pin}]
        steps.append(Step("pull", "Pull the image", "pull", {"images": one}, "not on this host yet"))
    elif wanted.image and wanted.reference.tag:
        name = {"reference": plain, "image": wanted.image}
        steps.append(Step("name", "Give the image its name back", "name-image", name, "it is on this host"))
    if images:
        keep = {"images": sorted(set(images.values())), "reference": before}
        steps.append(Step("keep", "Keep the present image", "keep-image", keep, "so that undo works offline"))
    # After the pull, which may take minutes: it is the recreate that interrupts.
    if request.when_idle is not None:
        waiting = {"services": services, "deadline": request.when_idle}
        steps.append(Step("idle", "Wait until no agent is at work", "wait-idle", waiting, writes=False))
    if new != old:
        mode = file_mode(request.instance.path / found.env.name) or "600"
        file = replacement(request.instance, found.env.name, new, mode)
        steps.append(Step("pin", "Write the pin", "files", {"files": [file]}, "backed up and replaced whole"))
    if services:
        recreate = {
            "services": services,
            "reference": plain,
            "files": list(found.files),
            "before": before,
            "images": dict(images),
            "well": [name for name in services if name in well],
            "needs": needs,
        }
        steps.append(Step("recreate", "Recreate", "recreate", recreate, "their image changes", atomic=True))
        watch = {"services": services, "reference": plain, "timeout": HEALTH_SECONDS, "soak": request.soak}
        steps.append(Step("watch", "Watch their health", "watch-switch", watch, writes=False, atomic=True))
        kept = {"reference": pin, "images": sorted(set(images.values()))}
        steps.append(Step("record", "Keep it as known good", "record-good", kept))
    return steps


def _using(definitions: Mapping[str, Any], before: str, pin: str) -> set[str]:
    """The services whose image is the pin's, whatever they are called (facts: 3.4). Without a pin the file was read
    with the repository in its place."""
    meant = before or str(parse_image(pin).with_tag(None))
    return {name for name, item in definitions.items() if str(item.get("image", "")) == meant}


def _refuse_override(found: Found, definitions: Mapping[str, Any], using: Collection[str], pin: str) -> None:
    """An agents service that runs, on an image of this repository that something else than the pin decides, cannot be
    switched by changing the pin. One on an image of its own is the operator's business."""
    repository = parse_image(pin).name
    for item in found.containers:
        name = service_of(item)
        image = str(definitions.get(name, {}).get("image", ""))
        ours = name == "agents" or image.partition("@")[0].rpartition(":")[0] == repository
        if name in definitions and is_agents_service(name) and name not in using and ours:
            raise Refused(
                f"The pin does not decide what {name} runs.",
                f"Its image is {image or 'not named'}: look into {', '.join(Path(file).name for file in found.files)}.",
                "Take the `image:` out of the override, then try again.",
                code="switch.override",
            )


def _way_back(before: str, live: Sequence[Mapping[str, Any]]) -> str:
    """The reference that undo brings up again: what runs was made from it, which is not the pin where the pin
    is missing or was edited by hand."""
    started = made_from(live)
    if before in started or not started or (before and len(started) > 1):
        return before
    return started[0]


def made_from(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The references that containers were started from, as their makers named them, each once."""
    return sorted({str((item.get("Config") or {}).get("Image", "")) for item in containers} - {""})


def _env_change(env: Env, before: str, pin: str, old: bytes, new: bytes) -> FileChange:
    same = old == new
    if same or env.kind == "sealed":
        removed, added = [f"{_VARIABLE}={before}"] if before else [], [f"{_VARIABLE}={pin}"]
    else:
        # As it is written: a pin that was put together from variables is written out from now on.
        removed, added = (
            [f"{_VARIABLE}={raw}"] if (raw := EnvFile.parse(data).get_raw(_VARIABLE)) is not None else []
            for data in (old, new)
        )
    diff = "" if same else "\n".join([*(f"-{line}" for line in removed), *(f"+{line}" for line in added)])
    note = "by sops, encrypted as before" if env.kind == "sealed" else ""
    return FileChange(env.name, "keep" if same else "change", diff, secret=True, note=note)


def _services(
    found: Found, definitions: Mapping[str, Any], services: list[str], settled: bool
) -> tuple[ServiceChange, ...]:
    others = sorted({service_of(item) for item in found.containers} - set(services))
    why = "runs it already" if settled else "image changes"
    return (
        *(ServiceChange(name, "untouched" if settled else "recreate", why) for name in services),
        *(ServiceChange(name, "untouched") for name in others if name in definitions),
    )


def _undo_words(before: str, images: Mapping[str, str]) -> str:
    if not before:
        return "the pin is taken out again"
    return f"back to {short(before)}, " + ("works offline" if images else "its image may have to be pulled")


def _notes(
    request: SwitchRequest, before: str, pin: str, works: list[Work], services: list[str]
) -> list[str]:
    notes = []
    for work in works:
        after = "it is waited for" if request.when_idle is not None else "it will be interrupted"
        notes.append(f"{work}; {after}")
    if "runner" in services:
        notes.append("runner executes an action, which is begun again from its start")
    if not services:
        notes.append("no agents service runs: the pin is written, `disinto up` starts it")
    behind = left_behind(history(request.instance)).get(pin)
    if behind is not None and request.kind == "switch":
        notes.append(f"{short(pin)} was left before: {behind.reason or 'rolled back'}")
    exported = shell_override()
    if exported:
        notes.append(
            f"AGENTS_IMAGE={exported} is exported in this shell and ignored here; "
            "a hand-typed `docker compose up` there would still use it"
        )
    return notes


def _by_hand(found: Found, instance: Instance, before: str, services: list[str]) -> list[str]:
    if found.env.kind == "sealed":
        # Compose opens its file more than once, so that a pipe from sops is empty the second time (observed, 2.26):
        # without this tool there is no way that leaves no clear text on the disk.
        kinds, path = "--input-type dotenv --output-type dotenv", instance.sealed_env_file
        return [
            f"sops set {kinds} {path} '[\"{_VARIABLE}\"]' '\"{before}\"'",
            f"disinto --dir {instance.path} resume --undo",
        ]
    files = " ".join(f"-f {part}" for part in found.files)
    return [
        f"put {_VARIABLE}={before} into {instance.env_file}",
        f"docker compose -p {found.name} --project-directory {instance.path} {files} up -d --no-deps "
        f"--pull never {' '.join(services)}",
    ]


def _who() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())
