"""A source of versions that a test feeds, and a list worth looking at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir
from disinto_tui.core.catalog import Catalog, Marks, Meta, Past
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.model import AGENT_VOLUMES
from disinto_tui.core.plan import FileChange, ImagePull, Plan, ServiceChange, Step
from disinto_tui.runs.history import Entry
from disinto_tui.runs.idle import Work
from disinto_tui.runs.switch import Prepared
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.versions import VersionsScreen
from disinto_tui.tui.widgets.version_list import VersionList
from tests.tui.support import screen_text, shows, until

NOW = 1_795_500_000.0
DAY, HOUR = 86_400.0, 3600.0
REPOSITORY = "ghcr.io/disinto/agents"
TAGS = (
    *(
        "v0.4.1",
        "v0.4.0",
        "v0.4.0-rc.1",
        "v0.3.0",
        "v0.2.10",
        "v0.2.9",
        "v0.2.8",
        "v0.2.7",
        "v0.2.6",
        "v0.1.0",
    ),
    *("latest", "main", "v1"),
)
MARKS = {
    "v0.4.1": Marks(newest=True),
    "v0.3.0": Marks(local=True, running=True, pinned=True, offline=True, past=Past("good", NOW - 3 * DAY)),
    "v0.2.10": Marks(
        local=True,
        offline=True,
        past=Past(
            "reverted", NOW - 5 * DAY, "agents is unhealthy after 42 s. Its last lines say why.", "ops"
        ),
    ),
    "v0.2.9": Marks(local=True, offline=True, past=Past("good", NOW - 31 * DAY, by="ops")),
    "v0.2.8": Marks(past=Past("left", NOW - 40 * DAY, "Left for v0.2.7.", "ops")),
}
LIST = Catalog(REPOSITORY, TAGS, 10, MARKS, NOW - 2, None, "v0.2.9")


def digest(tag: str) -> str:
    """A digest that tells which tag it was made for."""
    return "sha256:" + (tag.encode().hex() + "9f2c41d07ab3" * 6)[:64]


def meta(tag: str, days: float = 2, pull: int = 41_000_000, **more: object) -> Meta:
    """What an image of ours is."""
    made = datetime.fromtimestamp(NOW - days * DAY, timezone.utc)
    values: dict[str, object] = {
        "digest": digest(tag),
        "created": f"{made:%Y-%m-%dT%H:%M:%SZ}",
        "revision": "7c1e0aa4b2d9f05c7e11",
        "title": "gardener per iteration, voice bridge",
        "labels": {"org.opencontainers.image.version": tag, "disinto.formula": "7"},
        "platforms": ("linux/amd64", "linux/arm64"),
        "fits": True,
        "size": 410_000_000,
        "pull": pull,
        "volumes": AGENT_VOLUMES,
        "entrypoint": ("/entrypoint.sh",),
        "user": "agent",
        "at": NOW,
    }
    return Meta(**{**values, **more})  # type: ignore[arg-type]


METAS = {
    "v0.4.1": meta("v0.4.1", 2, 41_000_000, revision="9a77b3c0ffee", healthcheck=True),
    "v0.4.0": meta("v0.4.0", 6, 38_000_000),
    "v0.4.0-rc.1": meta("v0.4.0-rc.1", 9, 39_000_000),
    "v0.3.0": meta("v0.3.0", 12, 0),
    "v0.2.10": meta("v0.2.10", 20, 0),
    "v0.2.9": meta("v0.2.9", 31, 0),
    "v0.2.8": meta("v0.2.8", 44, 22_000_000),
    "v0.2.7": Meta(error="ghcr.io did not answer. It was given 10 s."),
    "v0.2.6": meta("v0.2.6", 70, 410_000_000, fits=False, platforms=("linux/arm64",)),
    "v0.1.0": meta("v0.1.0", 201, 300_000_000, volumes=AGENT_VOLUMES[:3]),
}


def entry(tag: str, outcome: str, days: float, **more: object) -> Entry:
    """A start of a version."""
    values: dict[str, object] = {"by": "ops", **more}
    reference = f"{REPOSITORY}:{tag}"
    return Entry(f"r-{tag}", "switch", NOW - days * DAY, reference, "", "", "", outcome, **values)  # type: ignore[arg-type]


PAST = [
    entry("v0.3.0", "good", 3),
    entry(
        "v0.2.10",
        "reverted",
        5,
        reason="agents is unhealthy after 42 s. Its last lines say why.",
        lines=("starting the loop", "fatal: [b]cannot[/b] read state/token\x1b[31m"),
    ),
    entry("v0.2.9", "good", 31),
]


def prepared(
    tag: str, *, at_work: bool = False, when_idle: float | None = None, kind: str = "switch"
) -> Prepared:
    """A plan of a switch."""
    after = "it is waited for" if when_idle is not None else "it will be interrupted"
    works = (Work("agents", 11 * 60),) if at_work else ()
    steps = [Step("idle", "Wait until no agent is at work", "wait-idle", writes=False)] if when_idle else []
    plan = Plan(
        kind,
        f"Switch acme to {tag} from v0.3.0",
        "/srv/acme",
        "acme",
        "unix:///var/run/docker.sock",
        (*steps, Step("pull", "Pull the image", "pull"), Step("pin", "Write the pin", "files")),
        (
            FileChange(
                ".env", "change", f"-AGENTS_IMAGE={REPOSITORY}:v0.3.0\n+AGENTS_IMAGE={REPOSITORY}:{tag}"
            ),
        ),
        (
            ServiceChange("agents", "recreate", "image changes"),
            ServiceChange("agents-qwen", "recreate", "image changes"),
            *(ServiceChange(name, "untouched") for name in ("forgejo", "woodpecker", "edge")),
        ),
        (ImagePull(f"{REPOSITORY}:{tag}", digest(tag), 41_000_000),),
        downtime="about 0.5 s for each recreated service",
        undo="back to v0.3.0, works offline",
        notes=tuple(f"{work}; {after}" for work in works),
        on_failure="undo",
    )
    return Prepared(plan, {".env": b"AGENTS_IMAGE=x\n"}, works)


@dataclass
class FakeSource:
    """Tells what a test wants, and writes down what it was asked."""

    listed: Catalog | DisintoError = LIST
    memory: Catalog | None = None
    metas: Mapping[str, Meta] = field(default_factory=lambda: METAS)
    past: Sequence[Entry] = tuple(PAST)
    remembered_metas: Mapping[str, Meta] = field(default_factory=dict)
    plans: list[Prepared | DisintoError] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """`asked` and `details` wait for it when `slow`."""
    slow: bool = False
    slow_metas: bool = False
    slow_plan: bool = False
    asked_times: int = 0
    detailed: list[list[str]] = field(default_factory=list)
    offline: list[bool] = field(default_factory=list)
    planned: list[tuple[str, float | None]] = field(default_factory=list)
    cancelled: list[list[str]] = field(default_factory=list)
    closed: bool = False

    async def remembered(self) -> Catalog | None:
        return self.memory

    async def asked(self) -> Catalog:
        self.asked_times += 1
        if self.slow:
            await self.gate.wait()
        if isinstance(self.listed, DisintoError):
            raise self.listed
        return self.listed

    def known(self, tag: str) -> Meta | None:
        return self.remembered_metas.get(tag)

    async def details(
        self, tags: Sequence[str], *, offline: bool = False
    ) -> AsyncIterator[Mapping[str, Meta]]:
        self.detailed.append(list(tags))
        self.offline.append(offline)
        left = list(tags)
        try:
            while left:
                if self.slow_metas:
                    await self.gate.wait()
                await asyncio.sleep(0)
                tag = left.pop(0)
                yield {tag: self.metas.get(tag) or meta(tag)}
        finally:
            if left:
                self.cancelled.append(left)

    def entries(self, tag: str) -> list[Entry]:
        return [item for item in self.past if item.version == tag]

    async def plan(self, tag: str, *, when_idle: float | None = None) -> Prepared:
        self.planned.append((tag, when_idle))
        if self.slow_plan:
            await self.gate.wait()
        return self._plan(tag, when_idle)

    async def plan_undo(self, *, when_idle: float | None = None) -> Prepared:
        self.planned.append(("", when_idle))
        return self._plan("v0.2.9", when_idle)

    def _plan(self, tag: str, when_idle: float | None) -> Prepared:
        answer = self.plans.pop(0) if self.plans else prepared(tag, when_idle=when_idle)
        if isinstance(answer, DisintoError):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


def many(count: int, **more: object) -> Catalog:
    """A catalog of so many versions, newest first, of which the middle one runs."""
    tags = [f"v{number // 1000}.{number // 10 % 100}.{number % 10}" for number in range(count - 1, -1, -1)]
    running = tags[len(tags) // 2]
    marks = {tags[0]: Marks(newest=True), running: replace(MARKS["v0.3.0"], past=None)}
    return replace(LIST, tags=tags, versions=count, marks=marks, **more)  # type: ignore[arg-type]


WIDE, NARROW = (120, 32), (80, 24)


class Launched:
    """Stands in for the launcher: writes down which run was to begin, and with which files."""

    def __init__(self) -> None:
        self.runs: list[RunDir] = []

    def __call__(self, run: RunDir, **_: object) -> int:
        self.runs.append(run)
        return 1


def versions_app(directory: Path, source: FakeSource, **more: Any) -> DisintoApp:
    """The app with the versions screen alone."""
    options = {"agents": ("agents", "agents-qwen"), **more}
    launcher = Launched()
    return DisintoApp(
        Instance.at(directory),
        config=directory / "settings",
        first=lambda: VersionsScreen(source=lambda instance: source, clock=lambda: NOW, **options),
        launcher=launcher,
    )


async def listed(pilot: Pilot[Any], *words: str) -> VersionList:
    """Wait until the list is there, and these words with it."""
    await until(pilot, lambda: shows(pilot, "HERE", *words))
    return pilot.app.screen.query_one(VersionList)


def row(pilot: Pilot[Any], tag: str) -> str:
    """The list's line of a version, without what stands beside the list."""
    lines = [line.partition("│")[0].rstrip() for line in screen_text(pilot)]
    return next((line for line in lines if line[1:].split(" ")[0] == tag), "")
