"""Plan a release: the formula of that name, its variables filled from what was looked at, and nothing changed yet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.engine import find_endpoint
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.registry_auth import Credential, CredentialSource, StaticCredentials
from disinto_tui.core.errors import BadInput
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.model import Project
from disinto_tui.core.plan import Plan, ServiceChange
from disinto_tui.core.project import read_project
from disinto_tui.core.redact import Secret
from disinto_tui.core.version import TagKind, Version, classify_tag
from disinto_tui.runs.env import load_env
from disinto_tui.runs.formulas import find_formula, plan_formula
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.runs.lifecycle import repository_of
from disinto_tui.runs.project import find_project
from disinto_tui.runs.release_checks import Examined, Wanted, examine
from disinto_tui.runs.runner import Context

FORMULA = "release"


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What the operator asked for. `images` and `checkout` default to the factory's own repository and the current
    directory; `secrets` are push credentials and mirrors' tokens by name; `user` goes with the push credential."""

    instance: Instance
    version: str
    checkout: Path
    images: str = ""
    repository: str = ""
    user: str = ""
    secret: str = "GITHUB_TOKEN"  # noqa: S105  # a name
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    force: bool = False
    restart: bool = True
    start_at: str = ""


@dataclass(frozen=True, slots=True)
class PreparedRelease:
    """The plan, what preflight found, and the secrets its run is handed."""

    plan: Plan
    examined: Examined
    secrets: Mapping[str, str] = field(repr=False)


async def plan_release(request: ReleaseRequest) -> PreparedRelease:
    """Look at everything and plan. Raises BadInput, Unavailable, and Refused `release.preflight` with every problem."""
    instance = request.instance
    refuse_unfinished(instance)
    project = _project(instance)
    env = (await load_env(instance)).values
    endpoint = await find_endpoint()
    images = parse_image(request.images) if request.images else repository_of(instance, env)
    images = ImageRef(images.registry, images.repository)
    token = env.get("FORGE_TOKEN", "")
    wanted = Wanted(
        request.version,
        request.checkout,
        project.primary_branch,
        project.forge_url,
        request.repository or project.repo,
        images,
        endpoint,
        Secret(token) if token else None,
        login_for(images.registry, request.user, request.secrets.get(request.secret, "")),
        request.force,
    )
    examined = await examine(wanted)
    examined.require()
    values = _values(request, project, images, examined)
    plan = plan_formula(instance, find_formula(instance, FORMULA), values, instance.path.name)
    return PreparedRelease(await _shown(request, plan, endpoint, images, examined), examined, request.secrets)


def login_for(host: str, user: str, secret: str) -> CredentialSource:
    """The login for a registry: the secret that was handed over, else Docker's own stored one."""
    stored = DockerConfig.load()
    return StaticCredentials({host: Credential(user or "x", Secret(secret))}, stored) if secret else stored


def _project(instance: Instance) -> Project:
    for path in instance.project_files():
        project = read_project(path.read_bytes(), path.name).project
        if project is not None:
            return project
    raise BadInput(
        "There is no project to release from.",
        f"{instance.projects} holds no project file that can be read.",
        "Make a factory with `disinto init CONFIG` first, or name its directory with --dir.",
        code="release.project",
    )


def _values(
    request: ReleaseRequest, project: Project, images: ImageRef, examined: Examined
) -> dict[str, Any]:
    highest = not examined.newest or Version.parse(examined.newest) < Version.parse(request.version)
    stable = classify_tag(request.version) is TagKind.RELEASE
    return {
        "version": request.version,
        "sha": examined.sha,
        "checkout": examined.root,
        "branch": project.primary_branch,
        "forge": project.forge_url,
        "repository": request.repository or project.repo,
        "images": images.name,
        "latest": f"{images.name}:latest" if highest and stable else "",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "source": f"{project.forge_url}/{request.repository or project.repo}",
        "user": request.user,
        "secret": request.secret,
        "mirrors": dict(project.mirrors),
        "force": "yes" if request.force else "",
    }


async def _shown(
    request: ReleaseRequest, plan: Plan, endpoint: str, images: ImageRef, examined: Examined
) -> Plan:
    """The formula's plan with what an operator has to know before saying yes."""
    ids = [step.id for step in plan.steps]
    if request.start_at and request.start_at not in ids:
        raise BadInput(
            f"There is no step {request.start_at}.",
            f"Its steps are {', '.join(ids)}.",
            "Name one of them with --from.",
            code="release.step",
        )
    left_out = set(ids[: ids.index(request.start_at)]) if request.start_at else set()
    if not request.restart:
        left_out.add("restart-agents")
    atomic = {"restart-agents", "commit-result"}
    steps = tuple(
        replace(step, atomic=step.id in atomic, always=step.id == "commit-result")
        for step in plan.steps
        if step.id not in left_out
    )
    reference = f"{images.name}:{request.version}"
    env = (await load_env(request.instance)).values
    notes = [f"{item.name}: {item.text}" for item in examined.findings if item.severity == "warning"]
    notes += [f"left out: {', '.join(name for name in ids if name in left_out)}"] if left_out else []
    notes += [f"{len(examined.commits)} commits since the last release"] if examined.commits else []
    services: tuple[ServiceChange, ...] = ()
    if "restart-agents" not in left_out and request.instance.exists:
        from disinto_tui.adapters.engine import Engine
        from disinto_tui.runs.health import service_of
        from disinto_tui.runs.observe import is_agents_service

        found = await find_project(Engine(endpoint), request.instance)
        names = sorted({service_of(item) for item in found.containers if is_agents_service(service_of(item))})
        services = tuple(ServiceChange(name, "recreate", "image changes") for name in names)
        plan = replace(plan, project=found.name)
    return replace(
        plan,
        kind="release",
        title=f"Release {request.version} of {images.name}",
        endpoint=endpoint,
        steps=steps,
        services=services,
        downtime="about 0.5 s for each recreated service" if services else "none",
        undo="the tag that was made is deleted again, as long as nobody moved it; what was pushed stays",
        notes=tuple(notes),
        dangers=("A tag and an image that others pull cannot be taken back from them.",),
        facts={
            **plan.facts,
            "version": request.version,
            "sha": examined.sha,
            "secret": request.secret,
            "from": env.get("AGENTS_IMAGE", ""),
            "to": reference,
            "summary": (f"{request.version} is released: docker pull {reference}",),
        },
    )


class ReleasePreflight:
    """The same look again, when the run begins: `version`, `sha`, and what the formula gives beside them."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Looking costs nothing, and what was so may have changed."""
        return None

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raise Refused `release.preflight`, naming every problem. That the branch went on is none."""
        images = parse_image(params["images"])
        token = ctx.secrets.get("FORGE_TOKEN") or (await load_env(ctx.instance)).values.get("FORGE_TOKEN", "")
        wanted = Wanted(
            params["version"],
            Path(params["checkout"]),
            params["branch"],
            params["forge"],
            params["repository"],
            images,
            ctx.plan.endpoint,
            Secret(token) if token else None,
            login_for(images.registry, params.get("user", ""), ctx.secrets.get(params.get("secret", ""), "")),
            bool(params.get("force")),
            params["sha"],
        )
        examined = await examine(wanted)
        marks = {"ok": "✓", "warning": "▲", "problem": "✗"}
        ctx.say(*(f"{marks[item.severity]} {item.name:<14} {item.text}" for item in examined.findings))
        examined.require()
        return {"head_sha": params["sha"]}

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing was done."""
        return None
