"""Hand-made views and a way to wait, for the tests of Home and Init."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from textual.pilot import Pilot

from disinto_tui.adapters.forge import ForgeUser
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.catalog import Catalog, Marks
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.model import Project
from disinto_tui.core.redact import Secret
from disinto_tui.core.view import Attention, InstanceView, RunSummary, ServiceView
from disinto_tui.runs.init_checks import TokenCheck
from disinto_tui.runs.init_model import InitRequest, Prepared
from disinto_tui.tui.screens.init_source import InitSource, Login

NOW = 1_795_500_000.0
DAY, HOUR = 86_400.0, 3600.0


async def until(pilot: Pilot[object], holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `holds()` is true; fails with what was on the screen."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"did not become true; the screen says:\n{screen_text(pilot)}")
        await pilot.pause(0.01)
    await pilot.pause()


def screen_text(pilot: Pilot[object]) -> str:
    """What is on the screen, as plain text."""
    app = pilot.app
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips())


class Views:
    """A source of views that the test feeds: the seam of `HomeScreen(views=…)`."""

    def __init__(self, *views: InstanceView) -> None:
        self.queue: asyncio.Queue[InstanceView] = asyncio.Queue()
        self.opened = 0
        for view in views:
            self.queue.put_nowait(view)

    async def __call__(self, instance: Instance) -> AsyncIterator[InstanceView]:
        self.opened += 1
        while True:
            yield await self.queue.get()


async def no_remote(instance: Instance, view: InstanceView) -> InstanceView:
    """Registry and forge as they answer in a healthy place."""
    return replace(view, newest="v0.4.1", forge="reachable")


def service(name: str, state: str = "healthy", *, days: float = 3, **more: object) -> ServiceView:
    """A service that was started so many days ago."""
    values: dict[str, object] = {
        "version": "v0.3.0" if name.startswith("agents") else "",
        "since": NOW - days * DAY,
        "uses_agents_image": name.startswith("agents"),
        "image": f"registry.example/disinto/{name}:1",
    }
    return ServiceView(name, state, **{**values, **more})  # type: ignore[arg-type]


def acme(directory: Path | str = "/srv/acme") -> InstanceView:
    """A factory in which one service is in trouble."""
    services = (
        service("agents", cpu=12.0, memory=410 << 20),
        service("agents-qwen", cpu=2.0, memory=180 << 20),
        service("edge", version="2.9", days=9, cpu=0.0, memory=20 << 20),
        service("forgejo", version="11.0", days=9, cpu=1.0, memory=220 << 20),
        service("woodpecker", "running", version="v3", days=9, cpu=0.0, memory=60 << 20),
        service("woodpecker-agent", "restarting", version="v3", since=None, restarts=4),
    )
    attention = (
        Attention(
            "woodpecker-agent is restarting (4 restarts)", "problem", "disinto logs woodpecker-agent", "l"
        ),
    )
    runs = (
        RunSummary("r2", "switch", "Switch acme from v0.2.9 to v0.3.0", "done", NOW - 3 * DAY, 8.0),
        RunSummary(
            "r1", "up", "Start acme", "failed", NOW - 5 * DAY, 42.0, "agents is unhealthy after 42 s."
        ),
    )
    return InstanceView(
        str(directory),
        "acme",
        "unix:///var/run/docker.sock",
        "image",
        pinned="ghcr.io/disinto/agents:v0.3.0",
        pinned_version="v0.3.0",
        running_versions=("v0.3.0",),
        forge_url="http://localhost:3000",
        engine_version="27.5.1",
        services=services,
        attention=attention,
        runs=runs,
        at=NOW,
    )


def calm(directory: Path | str = "/srv/acme") -> InstanceView:
    """The same with nothing to do."""
    view = acme(directory)
    healthy = tuple(
        replace(item, state="running", restarts=0, since=NOW - DAY)
        if item.name == "woodpecker-agent"
        else item
        for item in view.services
    )
    return replace(view, services=healthy, attention=(), runs=view.runs[:1])


@dataclass(frozen=True)
class FakeSource(InitSource):
    """Answers of the outside as a test wants them; the config is checked for real."""

    token: TokenCheck = field(default_factory=lambda: TokenCheck(user=ForgeUser("ops", 1, "", True)))
    found: Catalog = field(default_factory=lambda: versions("v0.4.1", "v0.3.0", "v0.2.9", local=("v0.3.0",)))
    plans: list[Prepared | DisintoError] = field(default_factory=list)
    requests: list[InitRequest] = field(default_factory=list)
    logins: list[Login | None] = field(default_factory=list)
    tokens: list[Secret | None] = field(default_factory=list)

    async def check_token(self, project: Project, token: Secret | None) -> TokenCheck:
        self.tokens.append(token)
        return self.token

    async def versions(self, instance: Instance, project: Project, login: Login | None) -> Catalog:
        self.logins.append(login)
        if login is not None and self.found.error is not None:
            return versions("v0.4.1", "v0.3.0")
        return self.found

    async def plan(self, request: InitRequest) -> Prepared:
        self.requests.append(request)
        answer = self.plans.pop(0)
        if isinstance(answer, DisintoError):
            raise answer
        return answer


def versions(*tags: str, local: tuple[str, ...] = (), error: DisintoError | None = None) -> Catalog:
    """A list of versions, the first one the newest."""
    marks = {tag: Marks(local=tag in local, newest=number == 0) for number, tag in enumerate(tags)}
    return Catalog("ghcr.io/disinto/agents", tags, len(tags), marks, 0.0, error)
