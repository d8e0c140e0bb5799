"""The scenes of `pictures.py`: for each picture the screen, its size, what it is fed, and how to get there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from disinto_tui.adapters.git import Commit
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.approval import RequestState
from disinto_tui.core.plan import FileChange, ImagePull, Plan, ServiceChange, Step
from disinto_tui.core.view import Attention, InstanceView, RunSummary, ServiceView
from disinto_tui.runs.doctor import CHECKS, Report
from disinto_tui.runs.doctor_model import Remark, Result
from disinto_tui.runs.init_model import Prepared
from disinto_tui.runs.logs import LogLine
from disinto_tui.runs.release_checks import Finding
from disinto_tui.runs.release_offer import Beginning, Published, Tree
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens import release_pages, request
from disinto_tui.tui.screens.doctor import DoctorScreen
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.init import InitScreen
from disinto_tui.tui.screens.logs import LogsScreen
from disinto_tui.tui.screens.release import ReleaseScreen
from disinto_tui.tui.screens.request import RequestScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.versions import VersionsScreen
from scripts.picture_runs import AGENTS, ENGINE, HEAD, NOW, releasing, run, switch_back
from tests.tui import home_support, release_support, version_support
from tests.tui.support import shows, until

DAY, HOUR = 86_400.0, 3600.0
PLACE = Path("/srv/acme")

# Screens that have no clock of their own to be given.
for module in (release_pages, request):
    module.time = SimpleNamespace(time=lambda: NOW)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Scene:
    """`app` is given a directory it may write in; `ready` leads to what is shown, and waits for it."""

    title: str
    size: tuple[int, int]
    app: Callable[[Path], DisintoApp]
    ready: Callable[[Pilot[Any]], Awaitable[None]]


def on(first: Callable[[], Any]) -> Callable[[Path], DisintoApp]:
    """The app at /srv/acme with that screen alone."""
    return lambda directory: DisintoApp(
        Instance.at(PLACE), config=directory, first=first, launcher=version_support.Launched()
    )


def words(*wanted: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Wait until these are on the screen."""

    async def ready(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: shows(pilot, *wanted))

    return ready


# -- home, versions, a switch ------------------------------------------------------------------------------------


def _service(name: str, version: str, days: float, **more: Any) -> ServiceView:
    mine = name.startswith("agents")
    return ServiceView(
        name,
        "healthy",
        version,
        f"{AGENTS}:v0.3.0" if mine else "",
        "",
        NOW - days * DAY,
        uses_agents_image=mine,
    )


HOME = InstanceView(
    str(PLACE),
    "acme",
    ENGINE,
    "image",
    f"{AGENTS}:v0.3.0",
    "v0.3.0",
    ("v0.3.0",),
    forge_url="http://forge.example:3000",
    engine_version="28.5.2",
    services=(
        _service("agents", "v0.3.0", 3),
        _service("agents-qwen", "v0.3.0", 3),
        _service("edge", "2.10", 9),
        _service("forgejo", "11.0", 9),
        _service("woodpecker", "v3", 9),
        ServiceView("woodpecker-agent", "restarting", "v3", "", "", NOW - 12, restarts=4),
    ),
    attention=(
        Attention(
            "woodpecker-agent is restarting (4 restarts)", "problem", "disinto logs woodpecker-agent", "l"
        ),
    ),
    runs=(
        RunSummary("1", "switch", "Switch acme from v0.2.9 to v0.3.0", "done", NOW - 3 * DAY, 12.0),
        RunSummary(
            "2",
            "switch",
            "Switch acme from v0.2.9 to v0.2.10",
            "undone",
            NOW - 5 * DAY,
            60.0,
            "agents did not come up.",
        ),
        RunSummary("3", "init", "Make the factory acme", "done", NOW - 9 * DAY, 41.0),
    ),
    at=NOW,
)


async def _views(_: Instance) -> AsyncIterator[InstanceView]:
    yield HOME
    await asyncio.Event().wait()


async def _remote(_: Instance, view: InstanceView) -> InstanceView:
    return replace(view, newest="v0.4.1", forge="reachable")


def _home() -> HomeScreen:
    return HomeScreen(views=_views, remote=_remote, clock=lambda: NOW)


def _versions() -> VersionsScreen:
    source = version_support.FakeSource()
    return VersionsScreen(source=lambda _: source, clock=lambda: NOW, agents=("agents", "agents-qwen"))


def _switch_plan() -> ReviewScreen:
    made = version_support.prepared("v0.4.1", at_work=True)
    return ReviewScreen(made.plan, yes="Switch now", at_work=tuple(map(str, made.at_work)), idle=True)


def _adopt_plan() -> ReviewScreen:
    """Dangers and files as `disinto adopt` told them of a factory of upstream's that built its agents."""
    kept = "docker.io/disinto-kept/acme:26b56ec44a5e"
    plan = Plan(
        "adopt",
        "Adopt acme",
        str(PLACE),
        "acme",
        ENGINE,
        (Step("up", "Start it", "up"),),
        files=(
            FileChange(".env", "change", f"+AGENTS_IMAGE={kept}", secret=True, note="the pin"),
            FileChange("docker-compose.override.yml", "create", note="what is this factory's own"),
            FileChange("docker-compose.yml", "change", note="made anew"),
        ),
        services=tuple(
            ServiceChange(name, "recreate", "definition changes")
            for name in ("agents", "edge", "forgejo", "staging", "woodpecker", "woodpecker-agent")
        ),
        pulls=(ImagePull(kept, here=True),),
        downtime="about 0.5 s for each recreated service",
        undo="`disinto adopt --undo`: files as before to the byte, and the old stack runs",
        dangers=(
            "agents: FORGE_ADMIN_PASS is not kept: agents need no administrator's password",
            "agents: what is at /home/agent/disinto/state is in the anonymous volume 29988873c9c4, and stays there",
        ),
        notes=("goes to docker-compose.override.yml: agents: environment HTTPS_PROXY ([hidden])",),
    )
    return ReviewScreen(plan, yes="Adopt it")


# -- a release ---------------------------------------------------------------------------------------------------

_SUBJECTS = (
    "Voice bridge: a session survives a reconnect",
    "The gardener looks once an iteration",
    "Fix a typo",
)
_COMMITS = tuple(
    Commit(sha, int(NOW - days * DAY), "ops", subject)
    for sha, days, subject in zip((HEAD, "41b09de7c2", "e5ad330f18"), (0.2, 1.5, 4.0), _SUBJECTS, strict=True)
)
_TREE = Tree(Path("/srv/code"), "main", HEAD, "v0.3.0", "0.4.0", _COMMITS)
_EXPIRES = (
    "expires on 2026-12-02, in 7 days",
    "Make a new one this week; `disinto docs credentials` says how, step by step.",
)
_FINDINGS = (
    Finding("branch", "ok", "main is checked out."),
    Finding(
        "tree",
        "problem",
        "1 change is not committed (README.md).",
        "Commit or stash them; what is built is the commit alone.",
    ),
    Finding("version file", "ok", "VERSION says 0.4.0."),
    Finding("commit", "ok", "7c1e0aa4b2d9 is the head of main there, too."),
    Finding("forge", "ok", "ops may make tags in acme/shop."),
    Finding("tag", "ok", "There is no tag v0.4.0 yet."),
    Finding("engine", "ok", "Docker Engine 28.5.2 builds for linux/amd64."),
    Finding("registry", "ok", f"This login may push to {AGENTS}."),
    Finding("credential", "warning", f"GITHUB_TOKEN (the keyring): {_EXPIRES[0]}.", _EXPIRES[1]),
)


def _release(**more: Any) -> ReleaseScreen:
    told = (
        release_support.credential(
            f"GITHUB_TOKEN (the keyring): may push to {AGENTS}; {_EXPIRES[0]}.",
            severity="warning",
            cure=_EXPIRES[1],
            source="keyring",
            where="the keyring",
        ),
    )
    source = release_support.FakeSource(
        begins=Beginning("/srv/code"),
        trees={"/srv/code": _TREE},
        newest=Published(AGENTS, "v0.3.0"),
        secrets=told,
        **more,
    )
    return ReleaseScreen(source=source)


def _wizard(pages: int, *last: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """So many times Enter, and then these words."""

    async def ready(pilot: Pilot[Any]) -> None:
        screen: Any = pilot.app.screen
        await until(pilot, lambda: shows(pilot, "▸  v0.4.0", "3 commits"))
        for page, wanted in (("where", "here"), ("credentials", "GITHUB_TOKEN"), ("checks", "registry"))[
            :pages
        ]:
            await pilot.press("enter")
            await until(pilot, lambda page=page, wanted=wanted: screen.page == page and shows(pilot, wanted))  # type: ignore[misc]
        await until(pilot, lambda: shows(pilot, *last))

    return ready


_REQUEST = RequestState(
    "release-v040",
    "approved",
    "v0.4.0",
    "release",
    "Release v0.4.0",
    ("GITHUB_TOKEN",),
    7,
    "http://forge.example:3000/acme/shop-ops/pulls/7",
    "dev-bot",
    NOW - 2 * HOUR,
    approved_by=("lead",),
    scheduled=True,
    at=NOW,
)


async def _follow(_: Instance, name: str) -> AsyncIterator[RequestState]:
    yield _REQUEST
    await asyncio.Event().wait()


# -- doctor ------------------------------------------------------------------------------------------------------

_SAID: Mapping[str, Remark] = {
    "engine": Remark("ok", f"Docker Engine 28.5.2, linux/amd64, at {ENGINE}"),
    "compose": Remark("ok", "Docker Compose 2.40.3, 9 services accepted"),
    "disk": Remark("ok", "80 GB free for the engine (/var/lib/docker)"),
    "clock": Remark("ok", "as the engine, the forge, ghcr.io have it"),
    "ports": Remark("ok", "all that are published are this factory's, or free"),
    "env": Remark("ok", ".env reads the same to Compose, python-dotenv and a shell"),
    "permissions": Remark(
        "warning",
        ".env can be used by others on this host (mode 644)",
        "chmod 600 /srv/acme/.env",
        (Step("mode-.env", "Close .env", "modes", {}),),
    ),
    "tokens": Remark(
        "warning",
        f"GITHUB_TOKEN (the keyring): may push to {AGENTS}; {_EXPIRES[0]}.",
        _EXPIRES[1],
    ),
    "registry": Remark("ok", "ghcr.io answers and lets us pull disinto/agents"),
    "platform": Remark("ok", "v0.3.0 is for amd64, the engine for linux/amd64"),
    "pin": Remark("ok", "v0.3.0 is pinned, and runs"),
    "drift": Remark("ok", "every container is as the files say"),
    "shadows": Remark("ok", "every volume of 9 services is mounted"),
    "health": Remark("problem", "woodpecker-agent is restarting", "disinto logs woodpecker-agent"),
    "heartbeat": Remark("ok", "the loop of agents turned 2 s ago"),
    "restarts": Remark(
        "problem",
        "woodpecker-agent restarts in a loop (4 times, last exit code 1)",
        "disinto logs woodpecker-agent",
    ),
    "leftovers": Remark("ok", "nothing was left behind"),
    "kept": Remark("ok", "v0.2.9 is here to go back to, offline too"),
    "journal": Remark("ok", "no run stands half-way, nobody holds the instance"),
    "backups": Remark("ok", "4 files as they were, 12 kB, the newest 3 d old"),
}
"""As the doctor says it; recorded from a healthy factory, with some things that are not."""


async def _examine(_: Instance, tell: Callable[[Result], None]) -> Report:
    found = tuple(
        Result(check.id, check.title, check.why, _SAID[check.id].state, (_SAID[check.id],), 0.1)
        for check in CHECKS
    )
    for result in found:
        tell(result)
    return Report(str(PLACE), found, 1.7)


# -- init --------------------------------------------------------------------------------------------------------

CONFIG = """\
# A project of this factory.
name = "shop"
repo = "acme/shop"
ops_repo = "acme/shop-ops"
forge_url = "http://forge.example:3000"

[factory]
forge = "external"
project = "acme"
"""


def _init_plan() -> Prepared:
    plan = Plan(
        "init",
        "Make the factory acme",
        str(PLACE),
        "acme",
        ENGINE,
        (
            Step("directories", "Make directories", "directories"),
            Step("files", "Write files", "files"),
            Step("pull", "Pull images", "pull"),
            Step("up", "Start the services", "up"),
            Step("healthy", "Wait until they are healthy", "healthy"),
        ),
        files=(
            FileChange(".env", "create", secret=True, note="the pin, addresses and tokens"),
            FileChange("docker-compose.yml", "create", note="the stack"),
            FileChange("projects/shop.toml", "create", note="your config file"),
            FileChange("docker/Caddyfile", "create", note="the edge"),
            FileChange("site/index.html", "create", note="its page"),
            FileChange(".gitignore", "create", note="keeps .env, state/ and .disinto/ out of git"),
        ),
        services=tuple(ServiceChange(name, "create") for name in ("agents", "edge", "staging")),
        pulls=(
            ImagePull(f"{AGENTS}:v0.4.1", "sha256:" + "9f2c41d07ab3" + "0" * 52, 410_000_000),
            ImagePull("caddy:alpine", "sha256:" + "5c38cfd1a2b4" + "0" * 52, 21_000_000),
        ),
        undo="files as they were, what was started is removed",
    )
    return Prepared(plan, {}, {})


def _init(
    page: int, *last: str, bad: bool = False
) -> tuple[Callable[[Path], DisintoApp], Callable[..., Any]]:
    def app(directory: Path) -> DisintoApp:
        config = directory / "acme.toml"
        config.write_text(CONFIG.replace('"external"', '"externl"') if bad else CONFIG)
        source = home_support.FakeSource(plans=[_init_plan()])
        first = lambda: InitScreen(config=str(config), source=source)  # noqa: E731
        return DisintoApp(
            Instance.at(PLACE),
            config=directory / "settings",
            first=first,
            launcher=version_support.Launched(),
        )

    async def ready(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: shows(pilot, "paste it"))
        await pilot.press("t", "0", "k", "e", "n")
        for _ in range(page):
            await pilot.press("ctrl+n" if pilot.app.screen.query("#path") and _ else "enter")
            await pilot.pause(0.2)
        await until(pilot, lambda: shows(pilot, *last))
        for path in pilot.app.screen.query("#path"):
            assert isinstance(path, Input)
            path.value = "acme.toml"

    return app, ready


# -- logs --------------------------------------------------------------------------------------------------------

_LINES = (
    ("agents", "Entering polling loop (interval: 300s, roles: review,dev,gardener)"),
    ("forgejo", "Starting new Web server: tcp:0.0.0.0:3000 on PID: 1"),
    ("agents", "Processing project TOML: /home/agent/disinto/projects/shop.toml"),
    ("woodpecker", "starting Woodpecker server with version '3.9.0'"),
    ("agents", "turn 1"),
    ("woodpecker-agent", "rpc error: connection refused, is the server up at localhost:9000?"),
    ("edge", "serving initial configuration"),
    ("agents", "turn 2"),
)


async def _logs(_: str) -> AsyncIterator[list[LogLine]]:
    yield [LogLine(service, f"2026-11-24T20:42:{at:02}Z", text) for at, (service, text) in enumerate(_LINES)]
    await asyncio.Event().wait()


SCENES: Mapping[str, Scene] = {
    "home": Scene("home", (84, 24), on(_home), words("v0.4.1", "reachable", "Make the factory")),
    "versions": Scene("versions", (118, 24), on(_versions), words("v0.2.6", "gardener per iteration")),
    "switch-plan": Scene("the plan of a switch", (84, 24), on(_switch_plan), words("Switch now")),
    "adopt-plan": Scene("the plan of an adoption", (96, 30), on(_adopt_plan), words("Adopt it")),
    "switch-run": Scene("a switch that went back", (110, 26), run(switch_back), words("did not come up")),
    "release-version": Scene("release: version", (84, 24), on(_release), _wizard(0, "Fix a typo")),
    "release-where": Scene("release: where", (84, 24), on(_release), _wizard(1)),
    "release-credentials": Scene("release: credentials", (84, 24), on(_release), _wizard(2, "in 7 days")),
    "release-checks": Scene(
        "release: checks", (84, 24), on(lambda: _release(plans=[_FINDINGS])), _wizard(3, "✗ tree")
    ),
    "release-run": Scene("a release under way", (110, 26), run(releasing, 47.0), words("chmod +x")),
    "request": Scene(
        "a request", (84, 24), on(lambda: RequestScreen("v0.4.0", follow=_follow)), words("approved")
    ),
    "doctor": Scene(
        "doctor", (92, 36), on(lambda: DoctorScreen(examine=_examine)), words("2 broken", "Backups")
    ),
    "init-token": Scene("init: token", (84, 24), *_init(0, "bundled forge")),
    "init-config": Scene("init: config", (84, 24), *_init(1, "externl", bad=True)),
    "init-version": Scene("init: version", (84, 24), *_init(2, "v0.4.1")),
    "init-review": Scene("init: review", (84, 26), *_init(3, ".gitignore")),
    "logs": Scene("logs", (92, 14), on(lambda: LogsScreen(_logs)), words("turn 2")),
}
"""By the name of the file they go to."""
