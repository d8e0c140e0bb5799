"""`disinto init`: a factory from a token and a config file. Observe, plan; the run does the rest.

Planning reads and asks, it writes nothing in the instance: a dry run, a refusal or a typing error leave the
directory as it was. All that the run will write is staged with the plan, so it needs no secret to go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from disinto_tui.adapters import compose as compose_adapter
from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.engine import Engine, EngineInfo, find_endpoint
from disinto_tui.adapters.forge import ForgeClient, ForgeUser
from disinto_tui.adapters.instance import Instance, read_bytes
from disinto_tui.adapters.registry_auth import Credential, StaticCredentials
from disinto_tui.adapters.secrets import is_secret_name
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import BadInput, DisintoError, Refused, Unavailable
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.model import Project
from disinto_tui.core.plan import Plan, ServiceChange
from disinto_tui.core.project import raise_all_problems, read_projects
from disinto_tui.core.redact import Secret
from disinto_tui.core.stack import StackInputs, build_stack
from disinto_tui.runs import preflight
from disinto_tui.runs.health import service_of
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.runs.init_files import change_of, compose_changes, new_files, validated
from disinto_tui.runs.init_model import InitRequest, NewFile, Prepared, World, host_facts
from disinto_tui.runs.init_steps import facts_of, notes_of, pulls_of, steps_of
from disinto_tui.runs.lifecycle import active_services
from disinto_tui.runs.project import OTHER_NAMES, find_project
from disinto_tui.runs.versions import Resolved, resolve

__all__ = ["InitRequest", "Prepared", "plan_init", "read_config"]


def read_config(request: InitRequest) -> tuple[tuple[Project, ...], Project]:
    """Every project of the instance with the new one, and the new one. Raises BadInput with all problems."""
    instance = request.instance
    found = raise_all_problems(read_projects([(request.config_name, request.config)]))[0]
    own = f"{found.name}.toml"
    files: list[tuple[str, str | bytes]] = [
        (path.name, path.read_bytes()) for path in instance.project_files() if path.name != own
    ]
    files.append((request.config_name, request.config))
    projects = raise_all_problems(read_projects(files))
    new = next(project for project in projects if project.name == found.name)
    # The first one's values stand in the agents' environment: keep the order of files stable.
    return tuple(sorted(projects, key=lambda project: project.name)), new


async def plan_init(request: InitRequest) -> Prepared:
    """Observe and plan. Raises BadInput, Unavailable, Refused: each with nothing changed.

    Problems of the outside (engine, forge, registry) are looked for all at once; the first is raised, the
    others are its details.
    """
    refuse_unfinished(request.instance)
    _refuse_other_names(request.instance)
    _refuse_sealed(request.instance)
    projects, new = read_config(request)
    env = _read_env(request.instance)
    world = await _observe(request, new, env)
    _refuse_switch(env, world)
    await _refuse_rename(request, new, world.endpoint)
    inputs = _stack_inputs(request, projects)
    stack = build_stack(inputs)
    files = new_files(request, new, inputs, stack, env, world)
    compose_text = next(item for item in files if item.path == request.instance.compose_file.name)
    dangers, notes = compose_changes(request, stack, compose_text)
    resolved_stack = await validated(request.instance, files, inputs, world.endpoint)
    await preflight.check_names(request.instance, resolved_stack, Engine(world.endpoint))
    if request.start:
        preflight.check_ports(resolved_stack, world.containers, world.endpoint)
    return await _plan(request, new, world, resolved_stack, files, dangers, notes)


# -- observing -----------------------------------------------------------------------------------------------


async def _observe(request: InitRequest, project: Project, env: EnvFile | None) -> World:
    endpoint = await find_endpoint()
    engine = Engine(endpoint)
    values = env.values({}) if env is not None else {}

    async def image(info: asyncio.Task[EngineInfo]) -> Resolved | None:
        if request.build_context is not None:
            return None
        platform = (await info).platform
        return await _resolve(request, project, values.get("AGENTS_IMAGE", ""), platform, engine)

    info = asyncio.ensure_future(engine.info())
    answers = await asyncio.gather(
        info,
        compose_adapter.version(),
        _ask_forge(request, project, values),
        image(info),
        return_exceptions=True,
    )
    failures = list(dict.fromkeys(answer for answer in answers if isinstance(answer, BaseException)))
    _raise_first(failures)
    facts, _, user, resolved = answers
    containers = await engine.containers(project.factory.project)
    return World(endpoint, facts, user, resolved, tuple(containers))  # type: ignore[arg-type]  # none is an error


def _refuse_other_names(instance: Instance) -> None:
    """Two truths in one directory: what we write would not be what `docker compose` there reads."""
    found = [name for name in OTHER_NAMES if (instance.path / name).exists()]
    if found:
        raise Refused(
            f"There is a {found[0]} in {instance.path}.",
            "A hand-typed `docker compose` there would read that file, and this tool writes docker-compose.yml.",
            "Move it away; what is yours alone goes into docker-compose.override.yml.",
            code="compose.other_name",
        )


def _refuse_switch(env: EnvFile | None, world: World) -> None:
    """`init` does not change the version of a factory that runs: only a switch watches, and goes back."""
    pinned = env.get("AGENTS_IMAGE") if env is not None else None
    if not pinned or not world.containers or world.resolved is None or world.resolved.pin == pinned:
        return
    if parse_image(pinned).with_tag("x") == world.resolved.reference.with_tag("x"):
        version = world.resolved.reference.tag or world.resolved.pin
    else:
        version = world.resolved.pin
    raise Refused(
        f"This factory runs and is pinned to {pinned}.",
        "`init` would change the version without watching it and without going back when it fails.",
        f"`disinto use {version}` does that; for an init keep the pin (no --version, no AGENTS_IMAGE in the shell).",
        code="init.switch",
    )


def _refuse_sealed(instance: Instance) -> None:
    """`init` writes tokens into `.env`: beside an encrypted one, they would lie there in clear, and count."""
    if instance.sealed_env_file.exists():
        raise Refused(
            f"There is a {instance.sealed_env_file.name} in {instance.path}.",
            "`init` writes a .env in clear, which Compose would read in its place.",
            "`disinto use` and `disinto up` work with it as it is; for an init decrypt it to .env and move it away.",
            code="env.sealed",
        )


async def _refuse_rename(request: InitRequest, new: Project, endpoint: str) -> None:
    """Another project name would start a second factory on the same `.env` and `state/`, with empty volumes."""
    found = await find_project(Engine(endpoint), request.instance)
    if found.containers and found.name != new.factory.project:
        raise Refused(
            f"The factory in this directory runs as {found.name}, and the config calls it {new.factory.project}.",
            "Under another name it would start with empty volumes, beside the one that runs.",
            f'Keep `project = "{found.name}"` in `[factory]`; or take the old one down first '
            f"(`docker compose -p {found.name} down`), knowing that its volumes keep the old name.",
            code="project.renamed",
        )


def _raise_first(failures: list[BaseException]) -> None:
    for failure in failures:
        if not isinstance(failure, DisintoError):
            raise failure
    if failures:
        first, *others = (failure for failure in failures if isinstance(failure, DisintoError))
        first.details = (*first.details, *(f"also: {other.what} {other.why}" for other in others))
        raise first


async def _resolve(
    request: InitRequest, project: Project, pinned: str, platform: str, engine: Engine
) -> Resolved:
    """The image to pin: what was named, else what is pinned, else the file's version, else the newest."""
    repository = parse_image(project.factory.agents_image)
    wanted = request.version or pinned or project.factory.version
    login = None
    if request.registry_login is not None:
        user, password = request.registry_login
        login = StaticCredentials(
            {repository.registry: Credential(user, password, name="the login that was given")},
            DockerConfig.load(),
        )
    found = await resolve(repository, wanted, platform, engine=engine, credentials=login)
    if project.factory.pin_digest and found.digest and not found.reference.digest:
        named = found.reference
        exact = ImageRef(named.registry, named.repository, named.tag, found.digest)
        return replace(found, reference=exact)
    return found


async def _ask_forge(request: InitRequest, project: Project, env: Mapping[str, str]) -> ForgeUser | None:
    """Whose token it is; None when the bundled forge is not up yet, so that nobody can tell."""
    token = request.token or (Secret(env["FORGE_TOKEN"]) if env.get("FORGE_TOKEN") else None)
    external = project.factory.forge == "external"
    if token is None:
        if external:
            raise BadInput(
                "No token was given.",
                f"The forge at {project.forge_url} is there already, and the agents need a token for it.",
                "Give one with --token-file or --token-stdin, or as FORGE_TOKEN in the environment.",
                code="token.missing",
            )
        return None
    try:
        async with ForgeClient(project.forge_url, token) as client:
            return await client.whoami()
    except Unavailable:
        if external:
            raise
        return None  # the bundled forge is started by this very run


def _read_env(instance: Instance) -> EnvFile | None:
    data = read_bytes(instance.env_file)
    return None if data is None else EnvFile.parse(data)


def _stack_inputs(request: InitRequest, projects: tuple[Project, ...]) -> StackInputs:
    host = host_facts(request.instance)
    return StackInputs(projects, request.build_context is None, request.build_context, host)


async def _plan(
    request: InitRequest,
    new: Project,
    world: World,
    stack: Mapping[str, Any],
    files: list[NewFile],
    dangers: list[str],
    notes: list[str],
) -> Prepared:
    engine = Engine(world.endpoint)
    definitions: Mapping[str, Any] = stack.get("services") or {}
    env_file = EnvFile.parse(next(item.data for item in files if item.path == ".env"))
    active = active_services(definitions, {k: v for k, v in env_file.values({}).items() if v is not None})
    changes = [change_of(request.instance, item) for item in files]
    pulls = await pulls_of(engine, active, world)
    preflight.check_disk(pulls, world.engine, world.endpoint)
    present = {service_of(item) for item in world.containers}
    gone = sorted(present - set(definitions) - {""})
    settled = all(item.action == "keep" for item in changes) and set(active) <= present and not gone
    steps = steps_of(request, new, world, files, changes, active, pulls, settled, gone)
    services = tuple(
        ServiceChange(
            name,
            "untouched" if name in present else "create",
            "recreated if its definition changed"
            if name in present and not settled
            else ""
            if name in present
            else "no container yet",
            str(item.get("image", "")),
        )
        for name, item in active.items()
    )
    services += tuple(ServiceChange(name, "remove", "no longer in the config; volumes stay") for name in gone)
    facts = facts_of(request, new, world, stack)
    plan = Plan(
        "init",
        f"Make the factory {new.factory.project}",
        str(request.instance.path),
        new.factory.project,
        world.endpoint,
        tuple(steps),
        tuple(changes),
        services if request.start else (),
        tuple(pulls),
        downtime="none, it is new" if not present else "only for services that changed",
        undo="files as before, containers removed, volumes and pulled images stay",
        dangers=tuple(dangers),
        notes=(*notes_of(request, new, world), *notes),
        secrets=("REGISTRY_PASSWORD",) if request.registry_login else (),
        facts=facts,
    )
    handed = {name: value for name, value in env_file.values({}).items() if value and is_secret_name(name)}
    if request.registry_login is not None:
        handed["REGISTRY_PASSWORD"] = request.registry_login[1].reveal()
    staged = {
        item.path: item.data for item, change in zip(files, changes, strict=True) if change.action != "keep"
    }
    return Prepared(plan, staged, handed)
