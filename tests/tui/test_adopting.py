"""Adopting from the terminal UI, as far as it goes without an engine: what is asked, planned, reviewed, begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput
from disinto_tui.core.plan import FileChange, Plan, Step
from disinto_tui.runs import adopt as runs_adopt
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.adopting import adopt
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.run import RunScreen
from tests.tui.home_support import Views, calm, no_remote
from tests.tui.support import shows, until
from tests.tui.version_support import Launched

UNKNOWN = BadInput("Nobody knows which version.", "It has no container.", "Name one.", code="adopt.version")


async def test_a_version_that_nobody_knows_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def plan_adopt(request: Any) -> runs_adopt.Prepared:
        asked.append(request.version)
        if not request.version:
            raise UNKNOWN
        change = FileChange(".env", "change", f"+AGENTS_IMAGE=x:{request.version}")
        steps = (Step("files", "Write files", "files"),)
        return runs_adopt.Prepared(
            Plan("adopt", "Adopt acme", str(tmp_path), "acme", "", steps, (change,)), {}
        )

    monkeypatch.setattr(runs_adopt, "plan_adopt", plan_adopt)
    launched = Launched()
    home = HomeScreen(views=Views(calm(tmp_path)), remote=no_remote)
    app = DisintoApp(
        Instance.at(tmp_path), config=tmp_path / "settings", first=lambda: home, launcher=launched
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "agents-qwen"))
        adopt(home)
        await until(pilot, lambda: shows(pilot, "Nobody knows which version.", "Which version is it to run"))
        await pilot.press("enter")
        await until(pilot, lambda: shows(pilot, "A version is named like v0.3.0"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is home)
        adopt(home)
        await until(pilot, lambda: shows(pilot, "plans with it"))
        await pilot.press(*"v0.3.0", "enter")
        await until(pilot, lambda: shows(pilot, "Adopt acme", "+AGENTS_IMAGE=x:v0.3.0", "[ Adopt it ]"))
        assert launched.runs == []
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
    assert asked == ["", "", "v0.3.0"]
    assert [run.plan().kind for run in launched.runs] == ["adopt"]
