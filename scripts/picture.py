"""`make picture`: docs/home.svg, the home screen as the app itself exports it, on a factory made up here."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from disinto_tui.adapters.instance import Instance  # noqa: E402
from disinto_tui.core.view import Attention, InstanceView, RunSummary, ServiceView  # noqa: E402
from disinto_tui.tui.app import DisintoApp  # noqa: E402
from disinto_tui.tui.screens.home import HomeScreen  # noqa: E402

NOW, DAY = 1_795_500_000.0, 86_400.0
AGENTS = "ghcr.io/disinto/agents:v0.3.0"


def service(name: str, version: str, days: float, *, agents: bool = False) -> ServiceView:
    return ServiceView(
        name, "healthy", version, AGENTS if agents else "", "", NOW - days * DAY, uses_agents_image=agents
    )


VIEW = InstanceView(
    "/srv/acme",
    "acme",
    "unix:///var/run/docker.sock",
    "image",
    AGENTS,
    "v0.3.0",
    ("v0.3.0",),
    forge_url="http://forge.example:3000",
    engine_version="28.5.2",
    services=(
        service("agents", "v0.3.0", 3, agents=True),
        service("agents-qwen", "v0.3.0", 3, agents=True),
        service("edge", "2.10", 9),
        service("forgejo", "11.0", 9),
        service("woodpecker", "v3", 9),
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


async def views(_: Instance) -> AsyncIterator[InstanceView]:
    yield VIEW
    await asyncio.Event().wait()


async def remote(_: Instance, view: InstanceView) -> InstanceView:
    return replace(view, newest="v0.4.1", forge="reachable")


async def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        home = lambda: HomeScreen(views=views, remote=remote, clock=lambda: NOW)  # noqa: E731
        app = DisintoApp(Instance.at(place), first=home, config=Path(place))
        async with app.run_test(size=(84, 24)) as pilot:
            for _ in range(20):
                await pilot.pause(0.05)
            svg = app.export_screenshot()
    # The exported picture asks a font server for its font; a document of ours asks nobody for anything.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (ROOT / "docs" / "home.svg").write_text(svg)


asyncio.run(main())
