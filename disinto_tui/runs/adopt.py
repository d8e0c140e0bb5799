"""Plan `disinto adopt`: an existing stack goes over to pinned images, and `disinto adopt --undo` back again.

Nothing is guessed about data: a mount keeps its source, what lies in an anonymous volume or in a container's own layer
is copied and compared first, and what is not understood is refused (`adopt_look`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from disinto_tui import __version__
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.core.adopted_factory import factory_table, resolved
from disinto_tui.core.carry import Carried, CarryFacts, Dropped, carry_over, merged
from disinto_tui.core.compose_read import EMPTY, OverrideTable, read_compose
from disinto_tui.core.errors import BadInput, Refused
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.model import DEFAULT_REPOSITORY, Project
from disinto_tui.core.plan import Plan
from disinto_tui.core.project import problems_error, read_projects
from disinto_tui.core.stack import StackInputs, build_stack, dump_compose
from disinto_tui.core.stack_diff import Change, semantic_diff
from disinto_tui.core.stack_dump import dump_override
from disinto_tui.core.version import TagKind, classify_tag
from disinto_tui.runs import preflight
from disinto_tui.runs.adopt_env import NewEnv, new_env
from disinto_tui.runs.adopt_files import adopted_files, validated
from disinto_tui.runs.adopt_look import Situation, image_names, look
from disinto_tui.runs.adopt_plan import assemble
from disinto_tui.runs.init_model import NewFile, host_facts
from disinto_tui.runs.lifecycle import resolve_here_or_there
from disinto_tui.runs.ops_keep import kept_tag
from disinto_tui.runs.pin import KEEP_REPOSITORY, pinned_reference, repository_of

__all__ = ["AdoptRequest", "Prepared", "plan_adopt"]

_KEPT = f"{KEEP_REPOSITORY}/"
_HEAD = """# docker-compose.override.yml - what is this factory's own. Compose merges it over docker-compose.yml.
# Moved here by `disinto adopt`; from now on it is yours alone and never written.
"""


@dataclass(frozen=True, slots=True)
class AdoptRequest:
    """`version` is what to run from now on: a version, tag or reference; "" is the image that runs now."""

    instance: Instance
    version: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan with its staged files, ready to be confirmed; `secrets` are values to be kept out of the journal."""

    plan: Plan
    staged: Mapping[str, bytes] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pin:
    """What agents run from now on. `image` is the local image id when it is here under another name, `keep` whether the
    pin is a name that keeping the image gives it."""

    reference: str
    digest: str = ""
    image: str = ""
    keep: bool = False
    size: int = -1
    here: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that the plan is put together from."""

    situation: Situation
    pin: Pin
    files: tuple[NewFile, ...]
    env: NewEnv
    carried: Carried
    changes: tuple[Change, ...]
    stack: Mapping[str, Any]


async def plan_adopt(request: AdoptRequest) -> Prepared:
    """Look and plan; nothing is changed.

    Raises BadInput, Refused, Unavailable, and Failed when Compose does not accept the outcome.
    """
    found = await look(request.instance)
    local = await _local_images(found)
    agents = await _running_agents(found)
    pin = await _pin(request, found, agents)
    toml, projects = _with_factory(found, local, agents)
    inputs = StackInputs(projects, host=host_facts(request.instance))
    new = build_stack(inputs)
    exact = found.lineage.generation in ("ours", "ours-edited")
    complete = exact or found.lineage.generation.startswith("upstream")
    keys = {agent.service: agent.api_key for _, agent in inputs.local_agents}
    facts = CarryFacts(found.environ, local, exact, complete, bool(inputs.factory.images.edge), keys)
    carried = carry_over(found.lineage.data, new, facts)
    after = merged(new, carried)
    carried.dropped += await _rebuilt(found, local)
    changes = semantic_diff(found.lineage.data, after, old_project=found.found.name, environ=found.environ)
    env = await new_env(found, inputs, pin.reference, pin.keep, carried)
    compose = dump_compose(new, tool_version=__version__)
    override = _override(request.instance, carried)
    files = adopted_files(request.instance, inputs, toml, env, override, compose, found.found.files)
    stack = await validated(request.instance, files, env, found)
    await preflight.check_names(request.instance, stack, found.engine)
    if found.live:
        preflight.check_ports(stack, found.found.containers, found.engine.endpoint)
    outcome = Outcome(found, pin, tuple(files), env, carried, changes, stack)
    plan, staged = await assemble(outcome)
    handed = {
        name: value
        for name, value in env.clear.values({}).items()
        if value and name.endswith(("TOKEN", "PASS", "SECRET", "KEY", "PAT"))
    }
    return Prepared(plan, staged, handed if plan.changes else {})


async def _local_images(found: Situation) -> dict[str, str]:
    """For each service that is built here: the name of the local image it runs, or would be built as."""
    images = image_names(found.containers)
    local: dict[str, str] = {}
    for kind in found.lineage.services:
        if kind.mode != "build":
            continue
        named = resolved(kind.image, found.environ) or f"{found.found.name}-{kind.name}"
        candidates = [images[kind.name][0], named] if kind.name in images else [named]
        for name in candidates:
            if name.startswith("sha256:") or await found.engine.image(name) is None:
                continue
            local[kind.name] = name if parse_image(name).tag or "@" in name else f"{name}:latest"
            break
    return local


async def _rebuilt(found: Situation, local: Mapping[str, str]) -> list[Dropped]:
    """Services whose image was built anew since they were started: their name means the newer one."""
    images = image_names(found.containers)
    told = []
    agents = {kind.name for kind in found.lineage.services if kind.agents}
    for service, name in local.items():
        image = await found.engine.image(name)
        if service in agents or service not in images or image is None or image.id == images[service][1]:
            continue
        runs = images[service][1].removeprefix("sha256:")[:12]
        why = f"{name} was built anew since, and it is started; `docker tag {runs} {name}` first keeps what runs"
        told.append(Dropped(service, f"the image that runs ({runs})", why, True))
    return told


async def _running_agents(found: Situation) -> tuple[str, str]:
    """(reference, image id) that agents run, ran last, or would run; ("", "") when no image is here."""
    images = image_names(found.containers)
    names = [kind.name for kind in found.lineage.services if kind.agents]
    for name in sorted(names, key=lambda name: (name not in found.live, name != "agents", name)):
        if name in images:
            return images[name]
    kind = next((kind for kind in found.lineage.services if kind.name == "agents"), None)
    if kind is not None:
        named = resolved(kind.image, found.environ) or f"{found.found.name}-agents"
        image = await found.engine.image(named)
        if image is not None:
            return named, image.id
    return "", ""


async def _pin(request: AdoptRequest, found: Situation, agents: tuple[str, str]) -> Pin:
    env = found.found.env.values
    reference, image = agents
    if request.version:
        repository = repository_of(request.instance, env)
        if not env.get("AGENTS_IMAGE") and repository.name == DEFAULT_REPOSITORY:
            repository = parse_image(_repository(reference))
        pull = await resolve_here_or_there(found.engine, repository, request.version, found.info.platform)
        return Pin(pull.reference, pull.digest, size=pull.size, here=pull.here)
    pinned = env.get("AGENTS_IMAGE", "")
    if pinned and pinned_reference(env) is not None and not parse_image(pinned).repository.startswith(_KEPT):
        # What is pinned is what is wanted, also where something else runs; a bare version is written out.
        repository = repository_of(request.instance, env)
        pull = await resolve_here_or_there(found.engine, repository, pinned, found.info.platform)
        return Pin(pinned if "/" in pinned else pull.reference, pull.digest, size=pull.size, here=pull.here)
    if not image:
        raise BadInput(
            "Nobody knows which version this factory runs.",
            "It has no container, and no image of its agents is on this host.",
            "Name one: `disinto adopt --version VERSION`; or start the stack once, then adopt it.",
            code="adopt.version",
        )
    local = await found.engine.image(image)
    if local is None:
        raise Refused(
            "The image that agents run has lost its record.",
            f"{image[:19]} is not on this host any more, although a container runs from it.",
            "Name a version: `disinto adopt --version VERSION`.",
            code="adopt.image",
        )
    named = None if reference.startswith("sha256:") else parse_image(reference)
    published = [
        item
        for item in local.digests
        if named is not None and "<none>" not in item and parse_image(item).name == named.name
    ]
    if named is not None and named.digest:
        return Pin(str(named), named.digest, image)
    if named is not None and published:
        digest = published[0].partition("@")[2]
        # Only a version's name stays with its image; and where the name means another one by now, it is no use at all.
        meant = await found.engine.image(reference)
        moving = (
            named.tag is None
            or classify_tag(named.tag) is TagKind.OTHER
            or meant is None
            or meant.id != image
        )
        exact = ImageRef(named.registry, named.repository, named.tag or "latest", digest if moving else None)
        return Pin(str(exact if moving or not named.digest else named), digest, image)
    tag = kept_tag("", image)
    return Pin(f"docker.io/{KEEP_REPOSITORY}/{found.found.name}:{tag}", "", image, keep=True)


def _with_factory(
    found: Situation, local: Mapping[str, str], agents: tuple[str, str]
) -> tuple[tuple[str, bytes] | None, tuple[Project, ...]]:
    """The project file with a `[factory]` table that says how this stack is, and the projects read with it."""
    name = found.found.name
    described = [
        reading.file
        for reading in read_projects(found.project_files).readings
        if reading.source is not None and reading.source.has_factory
    ]
    if described:
        if found.projects[0].factory.project != name:
            raise Refused(
                f"The factory in this directory is {name}, and by projects/{described[0]} it would be "
                f"{found.projects[0].factory.project}.",
                "Under another name it would start with empty volumes.",
                f'Write `project = "{name}"` in its `[factory]`, then adopt again.',
                code="project.renamed",
            )
        return None, found.projects
    file, data = found.project_files[0]
    table = factory_table(found.lineage.data, name, found.environ, local, _repository(agents[0]))
    text = data if data.endswith(b"\n") else data + b"\n"
    new = (file, text + table.encode())
    reading = read_projects([new, *found.project_files[1:]])
    if reading.errors:
        raise problems_error(reading.problems)
    return new, tuple(sorted(reading.projects, key=lambda project: project.name))


def _repository(reference: str) -> str:
    """Where versions come from: the repository that runs, when it is one of a registry; else upstream's."""
    try:
        named = parse_image(reference)
    except BadInput:
        return DEFAULT_REPOSITORY
    return named.name if named.registry != "docker.io" else DEFAULT_REPOSITORY


def _override(instance: Instance, carried: Carried) -> bytes | None:
    """The override to be; None when the present one (or none) says it already."""
    present = read_bytes(instance.override_file)
    text = (present or b"").decode(errors="replace")
    reading = read_compose(text)
    says = {} if reading.error == EMPTY else reading.data
    if not reading.error or reading.error == EMPTY:
        empty = not any(says.values())
        if (not carried.override and empty) or (
            present and dump_override(_in_order(says)) == dump_override(_in_order(carried.override))
        ):
            return None
    comments = [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]
    head = _HEAD + "".join(f"{line}\n" for line in comments)
    return dump_override(carried.override or {"services": {}}, head=head).encode()


def _in_order(value: Any) -> Any:
    """The same with the keys of every table in order: merging may put them in another one, which says nothing."""
    if not isinstance(value, Mapping):
        return value
    found = {key: _in_order(value[key]) for key in sorted(value)}
    return OverrideTable(found) if isinstance(value, OverrideTable) else found
