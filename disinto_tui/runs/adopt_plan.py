"""The steps of `adopt` and what it says: dangers first, then what was found, moved and dropped."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from disinto_tui.adapters.engine_look import volume_content
from disinto_tui.adapters.instance import read_bytes
from disinto_tui.core.image import local_name
from disinto_tui.core.lineage import FORGEJO_DATA, GENERATIONS, Finding
from disinto_tui.core.plan import FileChange, ImagePull, Plan, ServiceChange, Step
from disinto_tui.core.shadow import Shadow
from disinto_tui.core.stack_diff import Change
from disinto_tui.core.stack_services import CADDYFILE, SITE_DIRECTORY
from disinto_tui.core.words import counted
from disinto_tui.runs import preflight
from disinto_tui.runs.adopt_data import Left, copies_of, is_job, rescues_of
from disinto_tui.runs.adopt_drift import drift, lost
from disinto_tui.runs.adopt_look import Situation, image_names, mounted_at
from disinto_tui.runs.adopt_sources import COMPOSE, OVERRIDE, left_behind, retired
from disinto_tui.runs.health import container_state, is_well
from disinto_tui.runs.idle import busy
from disinto_tui.runs.init_files import change_of
from disinto_tui.runs.init_model import NewFile
from disinto_tui.runs.lifecycle import HEALTH_SECONDS, active_services
from disinto_tui.runs.ops_files import digest, replacement
from disinto_tui.runs.ops_stack import image_is_here
from disinto_tui.runs.shadows import shadows_of

if TYPE_CHECKING:
    from disinto_tui.runs.adopt import Outcome

_RETIRED = f"kept for `--undo`: Compose would read it in place of {COMPOSE} or {OVERRIDE}"
_DIRECTORIES = ("projects", "state", SITE_DIRECTORY, CADDYFILE.rpartition("/")[0])


async def assemble(outcome: Outcome) -> tuple[Plan, dict[str, bytes]]:
    """The plan, and the files it will put in place. Raises Refused for data of which nobody knows where it is."""
    found = outcome.situation
    instance = found.instance
    changes = [_change_of(outcome, item) for item in outcome.files]
    gone = retired(instance, found.found)
    definitions: Mapping[str, Any] = outcome.stack.get("services") or {}
    started = active_services(definitions, found.found.env.values)
    active = {**started, **_turned_on(found, definitions)}
    rescues, left = rescues_of(outcome, definitions, active)
    shadows = await _shadows(outcome, definitions, rescues)
    images = await _image_variables(found)
    drifted = drift(found.containers, images, found.resolved, found.found.name)
    pulls = await _pulls(outcome, active) if found.live else [await _pin_pull(outcome)]
    preflight.check_disk(pulls, found.info, found.engine.endpoint)
    settled = all(item.action == "keep" for item in changes) and not gone
    copies = [] if settled else await copies_of(found, rescues)
    steps = [] if settled else _steps(outcome, changes, rescues, pulls, active)
    dangers = [
        str(item) for item in found.lineage.findings if item.severity == "danger" and _is_so(found, item)
    ]
    dangers += [str(item) for item in outcome.carried.dropped if item.danger]
    dangers += [_reason(outcome, change) for change in outcome.changes if change.danger]
    dangers += lost(
        found.containers, images, outcome.stack, found.found.name, outcome.changes, outcome.carried.dropped
    )
    told = [item for item in shadows if _endangers(item)]
    dangers += await interrupted(found, active)
    dangers += await _left_words(found, left, told)
    dangers += [item.words for item in told]
    plan = Plan(
        "adopt",
        f"Adopt {found.found.name}",
        str(instance.path),
        found.found.name,
        found.engine.endpoint,
        tuple(steps),
        (*changes, *(FileChange(name, "remove", note=_RETIRED) for name in gone)),
        _services(found, active, settled),
        tuple(pulls),
        downtime=_downtime(found, rescues) if found.live else "none, nothing runs",
        undo="`disinto adopt --undo`: files as before to the byte, and the old stack runs",
        dangers=tuple(dict.fromkeys(dangers)),
        notes=(
            *await other_version(outcome),
            *copies,
            *_notes(outcome, drifted),
            *(item.words for item in shadows if item.severity == "warning" and not _endangers(item)),
        ),
        on_failure="undo",
        facts={
            "from": "",
            "to": outcome.pin.reference if found.live else "",
            "digest": outcome.pin.digest,
            "adopt": _report(outcome, rescues, drifted),
            "by_hand": _by_hand(found),
            "summary": (f"{found.found.name} is adopted: {outcome.pin.reference}.", *_next(outcome)),
        },
    )
    staged = {
        item.path: item.data
        for item, change in zip(outcome.files, changes, strict=True)
        if change.action != "keep"
    }
    return plan, staged if steps else {}


async def other_version(outcome: Outcome) -> list[str]:
    """That agents run another image than they will: `.env` may pin one that nobody started yet."""
    found, pin = outcome.situation, local_name(outcome.pin.reference)
    images = image_names(found.live)
    agents = {kind.name for kind in found.lineage.services if kind.agents} & images.keys()
    if outcome.pin.keep or not agents:
        return []
    meant = await found.engine.image(pin)
    return [
        f"{name} runs {images[name][0]} ({images[name][1].removeprefix('sha256:')[:12]}) now, and {pin} afterwards"
        for name in sorted(agents)
        if meant is None or meant.id != images[name][1]
    ]


async def interrupted(found: Situation, active: Collection[str]) -> list[str]:
    """Agents at work in containers that are recreated: what they do dies with the container."""
    works = await busy(found.engine, [item for name, item in found.live.items() if name in active])
    return [f"{work}: it would be interrupted" for work in works]


def _turned_on(found: Situation, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Services of profiles that `.env` does not turn on, and that run and are meant to: one of a single action has no
    restart policy, and is not begun anew."""
    return {
        name: definitions[name]
        for name, item in found.live.items()
        if name in definitions and not is_job(item)
    }


def _change_of(outcome: Outcome, item: NewFile) -> FileChange:
    """How a file differs. Of compose files no line is shown, since hand-made ones hold secrets in clear: what changes
    in them is said in words."""
    if outcome.env.sealed and item.path == outcome.env.name:
        lines = [f"+{name}={value}" for name, value in outcome.env.changed.items()]
        return FileChange(item.path, "change" if lines else "keep", "\n".join(lines), True, item.note)
    change = change_of(outcome.situation.instance, item)
    words = item.path in ("docker-compose.yml", OVERRIDE)
    return replace(change, diff="") if words and not change.secret else change


def _reason(outcome: Outcome, change: Change) -> str:
    """A dangerous change; where it is meant, with the reason."""
    for item in outcome.carried.dropped:
        if item.service == change.service and change.name and change.name in item.what:
            return str(item)
    return str(change)


def _made(outcome: Outcome) -> set[str]:
    """Paths on the host that this run makes."""
    path = outcome.situation.instance.path
    return {str(path / name) for name in (*_DIRECTORIES, *(item.path for item in outcome.files))}


async def _shadows(
    outcome: Outcome, definitions: Mapping[str, Any], rescues: list[dict[str, Any]]
) -> list[Shadow]:
    """What the adopted stack would lose or hide beyond what is copied first."""
    found = outcome.situation
    told = {(item["service"], item["path"]) for item in rescues}
    shadows = await shadows_of(
        found.engine,
        found.instance,
        outcome.pin.reference if await found.engine.image(local_name(outcome.pin.reference)) else "",
        found=found.found,
        definitions=definitions,
    )
    made = _made(outcome)
    return [
        item
        for item in shadows
        if not any(item.service == name and _below(item.path, path) for name, path in told)
        and not any(f"{path}," in item.text for path in made)
    ]


def _is_so(found: Situation, finding: Finding) -> bool:
    """Whether what the file says of Forgejo's data is so: a container that was taken back has a named volume there."""
    container = found.containers.get("forgejo")
    named = container is not None and bool(mounted_at(container, [FORGEJO_DATA]))
    return not (finding.slug == "forgejo-anonymous" and named)


async def _left_words(found: Situation, left: Sequence[Left], told: Sequence[Shadow]) -> list[str]:
    """Data that stays out of sight, in words; not what is told already, and no volume that is empty."""
    known = {(item.service, item.path) for item in told}
    words = []
    for item in left:
        if (item.service, item.path) in known:
            continue
        container = found.containers.get(item.service)
        if item.volume and container is not None:
            content = await volume_content(found.engine, item.volume, container, item.path)
            if content is not None and content.whole and not content.files:
                continue
        words.append(item.words)
    return words


def _below(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def _endangers(item: Shadow) -> bool:
    """What is in a container's own layer goes with it, and adopting recreates."""
    return item.severity == "problem" or item.kind == "unsaved"


async def _image_variables(found: Situation) -> dict[str, dict[str, str]]:
    """The variables of the image that each container runs; {} where it is gone."""

    def ask(client: Any) -> dict[str, dict[str, str]]:
        import docker.errors

        known: dict[str, dict[str, str]] = {}
        for name, container in found.containers.items():
            try:
                config = client.inspect_image(str(container["Image"])).get("Config") or {}
            except docker.errors.NotFound:
                config = {}
            pairs = (str(item).partition("=") for item in config.get("Env") or ())
            known[name] = {key: value for key, _, value in pairs}
        return known

    return await found.engine.call(ask)


def _next(outcome: Outcome) -> list[str]:
    lines = ["`disinto use VERSION` switches from now on; `disinto adopt --undo` goes back to how it was."]
    return lines if outcome.situation.live else ["Nothing was started: `disinto up` does.", *lines]


def _report(outcome: Outcome, rescues: list[dict[str, Any]], drifted: list[str]) -> dict[str, Any]:
    """For `--json`: everything that was found, moved and dropped."""
    found = outcome.situation
    return {
        **found.lineage.to_json(),
        "compose": found.compose_says or "accepted",
        "running": sorted(found.live),
        "stopped": sorted(set(found.containers) - set(found.live)),
        "pin": outcome.pin.reference,
        "moved": list(outcome.carried.moved),
        "dropped": [asdict(item) for item in outcome.carried.dropped],
        "changes": [asdict(item) for item in outcome.changes],
        "data": [{key: item[key] for key in ("service", "path", "target", "source")} for item in rescues],
        "drift": drifted,
    }


def _notes(outcome: Outcome, drifted: list[str]) -> list[str]:
    found, pin = outcome.situation, outcome.pin
    lineage = found.lineage
    lines = [f"this stack is {GENERATIONS[lineage.generation]}; {lineage.mode} mode"]
    modes = ", ".join(f"{item.name} {item.mode}" for item in lineage.services if item.mode != "image")
    if modes:
        lines.append(f"by service: {modes}")
    runs = ", ".join(sorted(found.live)) or "nothing"
    lines.append(f"runs now: {runs}")
    if found.compose_says:
        lines.append(f"Compose does not accept the present files: {found.compose_says}")
    if pin.keep:
        lines.append(
            f"agents go on with the image that runs, under a name of its own: {local_name(pin.reference)}"
        )
    lines += [f"found: {item}" for item in lineage.findings if item.severity != "danger"]
    lines += drifted
    lines += [
        f"{path} stays and is not read any more: what it says goes over"
        for path in left_behind(found.instance, found.found)
    ]
    lines += [f"goes to docker-compose.override.yml: {text}" for text in outcome.carried.moved]
    if found.live:
        ill = _ill(found).items()
        lines += [f"{name} is not well as it is ({state}), and is not waited for" for name, state in ill]
    meant = {_reason(outcome, change) for change in outcome.changes if change.danger}
    lines += [text for text in map(str, outcome.carried.dropped) if text not in meant]
    lines += [str(change) for change in outcome.changes if not change.danger]
    return list(dict.fromkeys([*lines, *found.found.notes]))


def _services(found: Situation, active: Mapping[str, Any], settled: bool) -> tuple[ServiceChange, ...]:
    if settled or not found.live:
        return ()
    made = []
    for name, item in active.items():
        image = str(item.get("image", ""))
        if name in found.containers:
            made.append(ServiceChange(name, "recreate", "definition changes", image))
        else:
            made.append(ServiceChange(name, "create", "the stack did not have it", image))
    others = sorted(set(found.containers) - set(active))
    return (*made, *(ServiceChange(name, "untouched", "not started by `up`") for name in others))


def _downtime(found: Situation, rescues: list[dict[str, Any]]) -> str:
    stopped = sorted({item["service"] for item in rescues})
    extra = f"; {', '.join(stopped)} also while its data is copied" if stopped else ""
    return f"about 0.5 s for each recreated service{extra}"


def _by_hand(found: Situation) -> list[str]:
    files = " ".join(f"-f {part}" for part in found.found.files)
    if found.found.env.kind == "sealed":
        # Compose opens its environment file twice, so that sops cannot hand it over: nothing leaves no clear text.
        return [f"disinto --dir {found.instance.path} resume --undo"]
    return [
        f"the files as they were are in {found.instance.private / 'adopted'}",
        f"docker compose -p {found.found.name} --project-directory {found.instance.path} {files} "
        f"up -d --no-build --pull never {' '.join(sorted(found.live))}",
    ]


# -- steps -----------------------------------------------------------------------------------------------------


async def _pin_pull(outcome: Outcome) -> ImagePull:
    pin, engine = outcome.pin, outcome.situation.engine
    name = local_name(pin.reference)
    here = pin.here or pin.keep or await image_is_here(engine, name, pin.digest)
    return ImagePull(name, pin.digest, pin.size, here)


async def _pulls(outcome: Outcome, active: Mapping[str, Any]) -> list[ImagePull]:
    engine, pin = outcome.situation.engine, await _pin_pull(outcome)
    wanted = {pin.reference: pin}
    for item in active.values():
        image = str(item.get("image", ""))
        if image and image not in (outcome.pin.reference, pin.reference):
            wanted.setdefault(image, ImagePull(image, here=await image_is_here(engine, image, "")))
    return list(wanted.values())


def _ill(found: Situation) -> dict[str, str]:
    """Services that do not come up as it is, with their state: adopting mends them as little as it broke them. Not the
    agents: what they run afterwards is what adopting decides, and is recorded as good."""
    agents = {kind.name for kind in found.lineage.services if kind.agents}
    ill: dict[str, str] = {}
    for name, item in found.containers.items():
        state, code = container_state(item), (item.get("State") or {}).get("ExitCode")
        running = state in ("healthy", "running", "starting")
        if name in agents or state == "created" or (state == "exited" and not code):
            continue
        if not is_well(item, time.time()):
            ill[name] = f"restarted {counted(int(item.get('RestartCount', 0)), 'time')}" if running else state
    return ill


def _steps(
    outcome: Outcome,
    changes: list[FileChange],
    rescues: list[dict[str, Any]],
    pulls: list[ImagePull],
    active: Mapping[str, Any],
) -> list[Step]:
    found, pin, instance = outcome.situation, outcome.pin, outcome.situation.instance
    images = image_names(found.containers)
    agents = {images[kind.name][1] for kind in found.lineage.services if kind.agents and kind.name in images}
    kept = sorted(agents | ({pin.image} if pin.image else set()))
    well = [name for name, item in found.live.items() if is_well(item, time.time())]
    before = {
        "files": list(found.found.files),
        "images": {name: list(pair) for name, pair in images.items()},
        "ids": {name: str(item["Id"]) for name, item in found.containers.items()},
        "live": sorted(found.live),
        "there": sorted(found.containers),
        "well": sorted(well),
        "data": [{key: item[key] for key in ("service", "path", "target", "container")} for item in rescues],
    }
    steps = [
        Step("before", "Note what runs", "old-stack", before, "undo brings it back", writes=False),
    ]
    if kept:
        what = {"images": kept, "reference": ""}
        steps.append(
            Step("keep", "Keep the images that run", "keep-image", what, "so that undo works offline")
        )
    todo = [item for item in pulls if not item.here]
    if todo:
        wanted = [{"reference": item.reference, "digest": item.digest} for item in todo]
        steps.append(Step("pull", "Pull images", "pull", {"images": wanted}, "not on this host yet"))
    written = [item for item, change in zip(outcome.files, changes, strict=True) if change.action != "keep"]
    saved = {"files": [item.path for item in written]}
    steps.append(
        Step("originals", "Keep the files as they are", "keep-originals", saved, "for `adopt --undo`")
    )
    missing = [
        {"path": name, "mode": "755", **({"owner": "1000"} if name == "state" else {})}
        for name in _DIRECTORIES
        if not (instance.path / name).is_dir()
    ]
    for number, item in enumerate(rescues):
        title = f"Copy {item['service']}'s data into {item['target']}"
        why = f"{item['path']} has no volume of its own"
        steps.append(Step(f"data-{number}", title, "rescue-data", item, why, atomic=True))
    if missing:
        steps.append(Step("directories", "Make directories", "directories", {"directories": missing}))
    wanted = [replacement(instance, item.path, item.data, f"{item.mode:o}") for item in written]
    steps.append(
        Step("files", "Write files", "files", {"files": wanted}, "each backed up and replaced whole")
    )
    gone = [
        {"path": name, "content": digest(read_bytes(instance.path / name))}
        for name in retired(instance, found.found)
    ]
    if gone:
        move = {"files": gone, "run": ""}
        steps.append(
            Step("retire", "Move the old files away", "retire-files", move, "kept for `adopt --undo`")
        )
    if found.live:
        # By name, where a profile that somebody turned on with `--profile` would keep them from being started.
        every = set(active) == set(
            active_services(outcome.stack.get("services") or {}, found.found.env.values)
        )
        named = {} if every else {"services": list(active)}
        steps.append(Step("up", "Start the adopted stack", "up", named, "docker compose up", atomic=True))
        waiting = {"services": list(active), "timeout": HEALTH_SECONDS, "ill": sorted(_ill(found))}
        steps.append(Step("healthy", "Wait until healthy", "healthy", waiting, writes=False))
        record = {"reference": pin.reference, "images": sorted(agents)}
        steps.append(Step("record", "Keep it as known good", "record-good", record))
    return steps
