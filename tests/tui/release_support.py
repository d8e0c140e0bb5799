"""A source of answers that a test feeds, for the wizard of a release."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disinto_tui.adapters.git import Commit
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.action import Action
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.plan import FileChange, Plan, ServiceChange, Step
from disinto_tui.runs.credentials import FoundCredential
from disinto_tui.runs.release import PreparedRelease, ReleaseRequest
from disinto_tui.runs.release_checks import Examined, Finding, NotReady
from disinto_tui.runs.release_offer import Beginning, Published, Tree
from disinto_tui.runs.request import PreparedRequest, RequestWanted
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.release import ReleaseScreen
from disinto_tui.tui.screens.release_source import Push, ReleaseSource
from tests.tui.version_support import Launched

IMAGES = "ghcr.io/acme/agents"
STEPS = (
    ("preflight", "Look whether everything is ready"),
    ("tag-main", "Tag the commit on the forge"),
    ("push-mirrors", "Push the tag to the mirrors"),
    ("build-image", "Build the image"),
    ("tag-image", "Name the image"),
    ("push-image", "Push the image"),
    ("restart-agents", "Switch this factory to it"),
    ("commit-result", "Write down the result"),
)


def commits(count: int) -> tuple[Commit, ...]:
    """So many commits, the newest first."""
    return tuple(
        Commit(f"{number:x}".rjust(40, "a"), 0, "ops", f"change {number}") for number in range(count, 0, -1)
    )


TREE = Tree(Path("/srv/code"), "main", "7c1e0aa4b2" * 4, "v0.3.0", "0.4.0", commits(3))
WELL = (
    Finding("branch", "ok", "main is checked out."),
    Finding("tree", "warning", "2 files are not known to git; they are not built."),
    Finding("registry", "ok", f"This login may push to {IMAGES}."),
)
ILL = (
    *WELL[:1],
    Finding("tree", "problem", "1 change is not committed (README.md).", "Commit or stash them."),
    Finding("version file", "problem", "VERSION says '0.3.0', not v0.4.0.", "Put 0.4.0 into VERSION."),
)
ORDER = Finding(
    "order", "problem", "v0.2.9 is not newer than v0.3.0.", "Release a higher version, or give --force."
)
OPEN = Finding(
    "protection", "problem", "main of acme/ops would take it without an approval.", "Have it set: --protect."
)


def credential(text: str, **more: Any) -> FoundCredential:
    """A push credential with that judgement."""
    severity, cure = more.pop("severity", "ok"), more.pop("cure", "")
    values: dict[str, Any] = {"source": "environment", "where": "the environment", "user": "ops", **more}
    finding = Finding("credential", severity, text, cure)
    return FoundCredential(
        "GITHUB_TOKEN", "push", IMAGES, may_push=True, expires=None, finding=finding, **values
    )


def plan(directory: Path, kind: str = "release", version: str = "v0.4.0") -> Plan:
    """The plan of a release, or of a request for one."""
    if kind != "release":
        steps = (
            Step("branch", "Make the branch vault/release-v040", "request-branch"),
            Step("pull", "Open it", "x"),
        )
        change = FileChange("acme/ops: vault/actions/release-v040.toml", "create", '+id = "release-v040"\n')
        return Plan(kind, f"Request the release of {version}", str(directory), "acme", "", steps, (change,))
    return Plan(
        "release",
        f"Release {version} of {IMAGES}",
        str(directory),
        "acme",
        "unix:///var/run/docker.sock",
        tuple(Step(name, title, name) for name, title in STEPS),
        services=(ServiceChange("agents", "recreate", "image changes"),),
        undo="the tag that was made is deleted again, as long as nobody moved it",
        dangers=("A tag and an image that others pull cannot be taken back from them.",),
        facts={"version": version},
    )


@dataclass
class FakeSource(ReleaseSource):
    """Tells what a test wants, and writes down what it was asked. `plans` are answers in order; then it is ready."""

    begins: Beginning = field(default_factory=lambda: Beginning("/srv/code"))
    trees: dict[str, Tree | DisintoError] = field(default_factory=lambda: {"/srv/code": TREE})
    newest: Published | DisintoError = field(default_factory=lambda: Published(IMAGES, "v0.3.0"))
    secrets: tuple[FoundCredential, ...] | DisintoError = (
        credential("GITHUB_TOKEN (the environment): may push."),
    )
    plans: list[Any] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """What is published, and what is planned, waits for it."""
    pushes: list[Push] = field(default_factory=list)
    asked: list[ReleaseRequest] = field(default_factory=list)
    requested: list[RequestWanted] = field(default_factory=list)

    async def beginning(self, instance: Instance) -> Beginning:
        return self.begins

    async def tree(self, directory: Path) -> Tree:
        found = self.trees[str(directory)]
        if isinstance(found, DisintoError):
            raise found
        return found

    async def published(self, instance: Instance, tree: Tree | None, push: Push) -> Published:
        await self._wait()
        if isinstance(self.newest, DisintoError):
            raise self.newest
        return self.newest

    async def credentials(self, instance: Instance, push: Push) -> tuple[FoundCredential, ...]:
        self.pushes.append(push)
        if isinstance(self.secrets, DisintoError):
            raise self.secrets
        return self.secrets

    async def plan(self, request: ReleaseRequest) -> PreparedRelease:
        self.asked.append(request)
        await self._wait()
        await self._answer()
        made = plan(request.instance.path, version=request.version)
        return PreparedRelease(made, Examined(WELL), {"GITHUB_TOKEN": "handed-to-the-run"})

    async def plan_request(self, request: RequestWanted) -> PreparedRequest:
        self.requested.append(request)
        await self._answer()
        made = plan(request.instance.path, "release-request", request.version)
        return PreparedRequest(
            made, WELL, Action("release-v040", "release", "Release", ("GITHUB_TOKEN",)), ""
        )

    async def _wait(self) -> None:
        if self.gate is not None:
            await self.gate.wait()

    async def _answer(self) -> None:
        answer = self.plans.pop(0) if self.plans else None
        if isinstance(answer, tuple):
            raise NotReady("It cannot begin.", answer, code="release.preflight")
        if isinstance(answer, Exception):
            raise answer


def release_app(directory: Path, source: FakeSource) -> DisintoApp:
    """The app with the wizard alone."""
    return DisintoApp(
        Instance.at(directory),
        config=directory / "settings",
        first=lambda: ReleaseScreen(source=source),
        launcher=Launched(),
    )
