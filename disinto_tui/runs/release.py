"""Plan a release: the formula of that name, its variables filled from what was looked at, and nothing changed yet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters.credentials import CredentialFinder
from disinto_tui.adapters.engine import Engine, find_endpoint
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.tape import Asked
from disinto_tui.core.errors import BadInput
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.model import Project
from disinto_tui.core.plan import Plan, ServiceChange
from disinto_tui.core.redact import Secret
from disinto_tui.core.version import TagKind, Version, classify_tag
from disinto_tui.core.words import counted
from disinto_tui.runs.credential_checks import preflight_findings
from disinto_tui.runs.credentials import PUSH_SECRET, Gathered, gather, needs_of, project_of, push_login
from disinto_tui.runs.env import load_env
from disinto_tui.runs.formulas import find_formula, plan_formula
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.runs.lifecycle import repository_of
from disinto_tui.runs.project import find_project
from disinto_tui.runs.release_checks import Examined, Wanted, examine
from disinto_tui.runs.runner import Context, Place

FORMULA = "release"
_AFTER_MIRRORS = ("build-image", "tag-image", "push-image", "restart-agents", "commit-result")


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """What the operator asked for. `images` and `checkout` default to the factory's own repository and the current
    directory; `secret` is the push credential's name, and `user` goes with it. `secrets` are credentials that were
    handed over by name (standard input, typed in); what is not among them is looked for (`adapters/credentials.py`)."""

    instance: Instance
    version: str
    checkout: Path
    images: str = ""
    repository: str = ""
    user: str = ""
    secret: str = PUSH_SECRET
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
    """Look at everything and plan. Raises BadInput, Unavailable, and NotReady `release.preflight` with all findings."""
    instance = request.instance
    refuse_unfinished(instance)
    project = project_of(instance)
    env = (await load_env(instance)).values
    endpoint = await find_endpoint()
    images = parse_image(request.images) if request.images else repository_of(instance, env)
    images = ImageRef(images.registry, images.repository)
    token = env.get("FORGE_TOKEN", "")
    # With --from a later step, the mirrors have the tag or do without.
    mirrors = {} if request.start_at in _AFTER_MIRRORS else dict(project.mirrors)
    finder = CredentialFinder(instance.path, request.secrets)
    gathered = await gather(needs_of(images, request.secret, mirrors), finder)
    wanted = Wanted(
        request.version,
        request.checkout,
        project.primary_branch,
        project.forge_url,
        request.repository or project.repo,
        images,
        endpoint,
        Secret(token) if token else None,
        push_login(
            images.registry,
            request.user,
            gathered.secrets.get(gathered.push_secret, ""),
            gathered.push_secret,
        ),
        request.force,
        credentials=lambda: preflight_findings(gathered, Engine(endpoint), request.user),
    )
    examined = await examine(wanted)
    examined.require()
    values = _values(request, project, images, examined, gathered)
    formula = find_formula(instance, FORMULA)
    plan = plan_formula(instance, formula, values, instance.path.name)
    shown, secrets = await _shown(request, plan, endpoint, images, examined), gathered.secrets
    # The names alone: whoever resumes it is told which of them is found no more.
    facts = {**shown.facts, "credentials": sorted(secrets)}
    shown = replace(shown, facts=facts, notes=(*formula.notes, *shown.notes))
    return PreparedRelease(shown, examined, secrets)


def _values(
    request: ReleaseRequest, project: Project, images: ImageRef, examined: Examined, gathered: Gathered
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
        "secret": gathered.push_secret,
        "mirrors": {need.key: need.url for need in gathered.needs if need.purpose == "mirror"},
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
    notes += (
        [f"{counted(len(examined.commits), 'commit')} since the last release"] if examined.commits else []
    )
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
        user, secret = params.get("user", ""), params.get("secret", "")
        finder = CredentialFinder(ctx.instance.path, ctx.secrets, only_given=True)
        gathered = await gather(needs_of(images, secret, params.get("mirrors") or {}), finder)
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
            push_login(images.registry, user, ctx.secrets.get(secret, ""), secret),
            bool(params.get("force")),
            params["sha"],
            lambda: preflight_findings(gathered, Engine(ctx.plan.endpoint), user),
        )
        examined = await examine(wanted)
        marks = {"ok": "✓", "warning": "▲", "problem": "✗"}
        ctx.say(*(f"{marks[item.severity]} {item.name:<14} {item.text}" for item in examined.findings))
        examined.require()
        return {"head_sha": params["sha"]}

    async def rehearse(self, place: Place, params: Mapping[str, Any]) -> tuple[str, list[Asked]]:
        """Planning has looked at all of it."""
        return "Looked at above; the run looks again.", []

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing was done."""
        return None
