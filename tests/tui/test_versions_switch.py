"""From the versions screen, and from Home, to a run: planned, reviewed, begun."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import Refused
from disinto_tui.core.view import Attention
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.dialogs import Notice
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from disinto_tui.tui.screens.switching import IDLE_SECONDS, Planning
from disinto_tui.tui.screens.versions import VersionsScreen
from tests.tui.home_support import Views, calm, no_remote
from tests.tui.support import shows, until
from tests.tui.version_support import (
    NARROW,
    NOW,
    WIDE,
    FakeSource,
    Launched,
    listed,
    prepared,
    versions_app,
)

# -- switching -------------------------------------------------------------------------------------------------------


async def test_enter_plans_reviews_and_begins(tmp_path: Path) -> None:
    source = FakeSource()
    app = versions_app(tmp_path, source)
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "201 d")
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await until(pilot, lambda: shows(pilot, "Switch acme to v0.4.1", "[ Cancel ]", "[ Switch now ]"))
        assert not shows(pilot, "Wait for idle")
        assert app.focused is not None
        assert app.focused.id == "cancel"
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert isinstance(app.launcher, Launched)
        (run,) = app.launcher.runs
        assert run.plan() == prepared("v0.4.1").plan
        assert (run.staged / ".env").read_bytes() == b"AGENTS_IMAGE=x\n"
        await pilot.press("escape")
        await until(pilot, lambda: source.asked_times == 2)  # the world is another one now
        assert source.planned == [("v0.4.1", None)]


async def test_cancel_changes_nothing(tmp_path: Path) -> None:
    app = versions_app(tmp_path, source := FakeSource())
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "201 d")
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VersionsScreen))
        assert isinstance(app.launcher, Launched)
        assert app.launcher.runs == []
        assert source.asked_times == 1


async def test_who_is_at_work_can_be_waited_for(tmp_path: Path) -> None:
    patient = prepared("v0.4.1", at_work=True, when_idle=IDLE_SECONDS)
    source = FakeSource(plans=[prepared("v0.4.1", at_work=True), patient])
    app = versions_app(tmp_path, source)
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "201 d")
        await pilot.press("g", "enter")
        await until(
            pilot,
            lambda: shows(
                pilot, "▲ at work   agents is at work for 11 min; it will be interrupted", "[ Wait for idle ]"
            ),
        )
        await pilot.press("tab", "enter")
        await until(pilot, lambda: shows(pilot, "it is waited for", "[ Wait, then switch ]"))
        assert not shows(pilot, "Wait for idle", "▲ at work")
        assert source.planned == [("v0.4.1", None), ("v0.4.1", IDLE_SECONDS)]
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert isinstance(app.launcher, Launched)
        assert app.launcher.runs[0].plan() == patient.plan


async def test_planning_says_what_it_waits_for_and_can_be_left(tmp_path: Path) -> None:
    source = FakeSource(slow_plan=True)
    app = versions_app(tmp_path, source)
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "201 d")
        await pilot.press("g", "enter")
        await until(
            pilot, lambda: shows(pilot, "Planning the switch to v0.4.1", "who is at work", "[ Cancel ]")
        )
        assert isinstance(app.screen, Planning)
        # A machine that stalls may paint the second second first.
        await until(pilot, lambda: any(shows(pilot, f"since {count} s") for count in range(1, 10)))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, VersionsScreen))
        source.gate.set()
        await asyncio.sleep(0)
        assert isinstance(app.screen, VersionsScreen)


async def test_undo_goes_back_to_the_last_good_one(tmp_path: Path) -> None:
    source = FakeSource()
    app = versions_app(tmp_path, source)
    async with app.run_test(size=NARROW) as pilot:
        await listed(pilot, "undo to v0.2.9")
        await pilot.press("u")
        await until(pilot, lambda: shows(pilot, "Switch acme to v0.2.9", "[ Go back ]"))
        assert source.planned == [("", None)]


async def test_a_switch_that_cannot_be_planned_says_why(tmp_path: Path) -> None:
    refused = Refused("This factory is in build mode.", "There is no pin.", "Init it.", code="mode.build")
    nothing = replace(prepared("v0.3.0"), plan=replace(prepared("v0.3.0").plan, steps=()))
    app = versions_app(tmp_path, FakeSource(plans=[refused, nothing]))
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await listed(pilot, "201 d")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Notice))
        assert shows(pilot, "This factory is in build mode.", "There is no pin.", "Init it.")
        await pilot.press("escape", "enter")
        await until(pilot, lambda: shows(pilot, "nothing to do."))
        assert isinstance(app.screen, VersionsScreen)


async def test_a_click_selects_and_a_second_one_opens(tmp_path: Path) -> None:
    source = FakeSource()
    app = versions_app(tmp_path, source)
    async with app.run_test(size=WIDE) as pilot:
        found = await listed(pilot, "201 d")
        await pilot.click(found, offset=(5, 2))
        assert found.tag == "v0.4.0"
        assert source.planned == []
        await pilot.click(found, offset=(5, 1), times=2)
        await until(pilot, lambda: source.planned == [("v0.4.1", None)])


async def test_leaving_closes_the_source(tmp_path: Path) -> None:
    source = FakeSource()
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=NARROW) as pilot:
        app.open_versions(source=lambda instance: source)
        await listed(pilot, "201 d")
        await pilot.press("escape")
        await until(pilot, lambda: source.closed)


# -- from Home -------------------------------------------------------------------------------------------------------


def home_app(directory: Path, views: Views) -> DisintoApp:
    """The app with a Home that a test feeds."""
    return DisintoApp(
        Instance.at(directory),
        config=directory / "config",
        first=lambda: HomeScreen(views=views, remote=no_remote, clock=lambda: NOW),
        launcher=Launched(),
    )


async def test_v_on_home_opens_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource()
    monkeypatch.setattr("disinto_tui.runs.catalog.VersionSource", lambda instance: source)
    app = home_app(tmp_path, Views(calm(tmp_path)))
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: shows(pilot, "v versions", "u undo"))
        await pilot.press("v")
        await listed(pilot, "201")
        await pilot.press("g")
        await until(pilot, lambda: shows(pilot, "recreates agents, agents-qwen; nothing"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_u_on_home_and_what_home_advises_lead_to_the_review(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    async def back(instance: Instance, wanted: str = "", **_: object) -> Any:
        asked.append(("back", wanted))
        return prepared(wanted or "v0.2.9")

    async def there(request: Any) -> Any:
        asked.append(("there", request.wanted))
        return prepared(request.wanted)

    monkeypatch.setattr("disinto_tui.runs.rollback.plan_rollback", back)
    monkeypatch.setattr("disinto_tui.runs.switch.plan_switch", there)
    monkeypatch.setattr("disinto_tui.runs.catalog.VersionSource", lambda instance: FakeSource())
    advice = (
        Attention("one", command="disinto use v0.4.1"),
        Attention("two", command="disinto rollback v0.2.8"),
        Attention("three", command="disinto rollback"),
        Attention("four", command="disinto versions"),
    )
    app = home_app(tmp_path, Views(replace(calm(tmp_path), attention=advice)))
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: shows(pilot, "↵ switch", "↵ go back", "↵ versions"))
        await pilot.press("u")
        await until(pilot, lambda: shows(pilot, "Switch acme to v0.2.9", "[ Go back ]"))
        await pilot.press("escape", "end", "down")
        for number, title in enumerate(("v0.4.1", "v0.2.8", "v0.2.9")):
            await pilot.press("enter")
            await until(pilot, lambda title=title: shows(pilot, f"Switch acme to {title}"))
            await pilot.press("escape", "down")
            assert len(asked) == number + 2
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VersionsScreen))
    assert asked == [("back", ""), ("there", "v0.4.1"), ("back", "v0.2.8"), ("back", "")]
