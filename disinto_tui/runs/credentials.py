"""Which secrets a release needs, where each is found, and what each may do; for the command, preflight and the wizard.

    found = await find_credentials(instance)             # everything: found, asked about, judged
    for item in found: item.name, item.source, item.user, item.may_push, item.expires, item.finding

A `FoundCredential` holds no secret. The secrets themselves go from `gather` to the run's own process by its standard
input (`runs/launch.py`), and from there to one request or one child each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from disinto_tui.adapters.credentials import CredentialFinder, Held, Source, checked_name
from disinto_tui.adapters.dockerconfig import DockerConfig
from disinto_tui.adapters.github import is_github_host, is_github_token
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.registry_auth import Credential, CredentialSource, StaticCredentials
from disinto_tui.core.errors import BadInput
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.model import Project
from disinto_tui.core.plan import Plan
from disinto_tui.core.project import read_project
from disinto_tui.core.redact import Secret
from disinto_tui.runs.env import load_env
from disinto_tui.runs.expiries import remember
from disinto_tui.runs.lifecycle import repository_of
from disinto_tui.runs.ops_tags import login_of, secret_names
from disinto_tui.runs.release_checks import NO_USER, Finding

PUSH_SECRET = "GITHUB_TOKEN"  # noqa: S105  # a name
Purpose = Literal["push", "mirror", "forge"]


@dataclass(frozen=True, slots=True)
class Need:
    """One secret that a release needs. `names` are tried in order; `place` is what it opens, in words; `url` is the
    registry's host, the mirror's or the forge's address; `key` the mirror's name or the repository."""

    purpose: Purpose
    names: tuple[str, ...]
    place: str
    url: str
    key: str

    @property
    def over_ssh(self) -> bool:
        """A mirror that is reached with the operator's own ssh keys, and so needs nothing of ours."""
        return self.purpose == "mirror" and urlsplit(self.url).scheme not in ("http", "https")


@dataclass(frozen=True, slots=True)
class FoundCredential:
    """One secret of a release, and what was learnt about it; never the secret itself.

    `name` is the credential's (`GITHUB_TOKEN`; "docker login" for Docker's own stored one, "ssh keys" for a mirror over
    ssh). `purpose` is "push", "mirror" or "forge", `place` what it opens ("ghcr.io/acme/agents", "mirror one (host)").
    `source` is "handed over", "environment", "keyring", "file", "docker" or "none", `where` the same in words. `user`
    is whose it is, "" when nobody said. `may_push`: None when it could not be found out, or was not asked. `expires`
    is unix seconds, None when it does not expire or nobody said. `finding` is the judgement: "ok", "warning" (expires
    within 14 days, could not be asked about …), "problem" (a release would fail), with its text and its cure.
    `unanswered`: something outside did not answer, so asking again may say more.
    """

    name: str
    purpose: Purpose
    place: str
    source: Source
    where: str
    user: str
    may_push: bool | None
    expires: float | None
    finding: Finding
    unanswered: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON: `expires` in RFC 3339, and the finding's severity, text and cure beside the rest."""
        at = None if self.expires is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires))
        return {
            "name": self.name,
            "purpose": self.purpose,
            "place": self.place,
            "source": self.source,
            "where": self.where,
            "user": self.user,
            "may_push": self.may_push,
            "expires": at,
            "severity": self.finding.severity,
            "text": self.finding.text,
            "cure": self.finding.cure,
            "unanswered": self.unanswered,
        }


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was found for each need (None: nowhere), and the finder, which knows why not."""

    needs: tuple[Need, ...]
    held: tuple[Held | None, ...] = field(repr=False)
    finder: CredentialFinder = field(repr=False)

    @property
    def secrets(self) -> dict[str, str]:
        """What the run is handed: the clear texts by name."""
        return {held.name: held.value.reveal() for _, held in self if held is not None}

    @property
    def push_secret(self) -> str:
        """The push credential's name for the plan; "" when what is found under it may not be sent to that registry,
        and Docker's own login is used instead. One that is found nowhere may still come with `disinto resume`."""
        for need, held in self:
            if need.purpose == "push" and need.names:
                passed_over = held is None and self.finder.seen(need.names[0]) is not None
                return "" if passed_over else need.names[0]
        return ""

    def __iter__(self) -> Iterator[tuple[Need, Held | None]]:
        return iter(zip(self.needs, self.held, strict=True))


def needs_of(images: ImageRef, secret: str, mirrors: Mapping[str, str]) -> tuple[Need, ...]:
    """What a release of these images, with these `[mirrors]` (name: URL), needs beside the forge's token.

    Raises BadInput `credential.name`, `mirror.password` (a URL that holds one).
    """
    needs = [
        Need("push", (checked_name(secret),) if secret else (), images.name, images.registry, images.name)
    ]
    for name, url in mirrors.items():
        login_of(name, url, {})
        host = urlsplit(url).hostname or url.rpartition("@")[2].partition(":")[0]
        needs.append(Need("mirror", secret_names(name, url), f"mirror {name} ({host})", url, name))
    return tuple(needs)


async def gather(needs: Sequence[Need], finder: CredentialFinder) -> Gathered:
    """Find the secret of every need. Raises BadInput `credential.name`, `credential.value` (handed over, unusable)."""
    held: list[Held | None] = []
    for need in needs:
        found = None
        for name in () if need.over_ssh else need.names:
            found = await finder.find(name)
            if found is not None or finder.unusable(name) is not None:
                break
        held.append(found if found is not None and may_be_sent(need, found) else None)
    return Gathered(tuple(needs), tuple(held), finder)


def may_be_sent(need: Need, held: Held) -> bool:
    """Whether a credential may go where the need is: a GitHub token that lies about under its usual name
    (GITHUB_TOKEN) is not shown to another registry. Under any other name the operator chose it for that one."""
    if need.purpose != "push" or held.name != PUSH_SECRET:
        return True
    return is_github_host(need.url) or not is_github_token(held.value.reveal())


def push_login(host: str, user: str, secret: str, name: str) -> CredentialSource:
    """The login for a registry: the secret of that name where there is one, else Docker's own stored one."""
    stored = DockerConfig.load()
    if not secret:
        return stored
    return StaticCredentials({host: Credential(user or NO_USER, Secret(secret), name=name)}, stored)


async def secrets_of_plan(plan: Plan, finder: CredentialFinder) -> dict[str, str]:
    """The secrets of a release that is finished or taken back later (`disinto resume`): found again, the same way.

    Raises as `gather` does. What is missing is no error here: the run's steps say what they miss.
    """
    return (await gather(_needs_of_plan(plan), finder)).secrets


def _needs_of_plan(plan: Plan) -> tuple[Need, ...]:
    steps = {step.op: step.params for step in plan.steps}
    images = parse_image(str(plan.facts.get("to", "")))
    mirrors = steps.get("push-mirrors", {}).get("mirrors") or {}
    return needs_of(images, str(plan.facts.get("secret", "")), mirrors)


async def find_credentials(
    instance: Instance,
    *,
    images: str = "",
    secret: str = PUSH_SECRET,
    user: str = "",
    repository: str = "",
    given: Mapping[str, str | Secret] | None = None,
    now: float | None = None,
) -> tuple[FoundCredential, ...]:
    """Everything that `disinto credentials` shows and the wizard's page of credentials needs, asked for at once.

    `images` is where to push (default: the factory's own repository), `secret` the push credential's name, `user` its
    user's; `repository` the forge's (default: the project's); `given` what the operator typed in or piped in, which
    wins over every other place. The order is: the push credential, each mirror's, the forge's token. Changes nothing
    (but the dates that `disinto status` warns by); takes as long as the slowest of registry, GitHub, mirrors and forge
    (a second, or a minute when one is silent).

    Raises BadInput `release.project`, `credential.name`, `credential.value`, `mirror.password`, `image.grammar`,
    Unavailable when the engine or a sealed environment file cannot be asked; what is wrong with a credential is a
    finding.
    """
    from disinto_tui.adapters.engine import Engine, find_endpoint
    from disinto_tui.runs.credential_checks import Judge

    project = project_of(instance)
    env = (await load_env(instance)).values
    where = parse_image(images) if images else repository_of(instance, env)
    finder = CredentialFinder(instance.path, given or {})
    gathered = await gather(needs_of(where, secret, project.mirrors), finder)
    judge = Judge(gathered, Engine(await find_endpoint()), user, now=now)
    token = env.get("FORGE_TOKEN", "")
    slug = repository or project.repo
    found = await judge.everything(project.forge_url, slug, Secret(token) if token else None)
    remember(instance, found)
    return found


def project_of(instance: Instance) -> Project:
    """The factory's first project that can be read. Raises BadInput `release.project`."""
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
