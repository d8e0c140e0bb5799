"""Somebody else is at the instance, or died there: what the terminal UI offers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
from textual.widget import Widget

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, RunDir, create_run
from disinto_tui.adapters.lock import lock
from disinto_tui.core.errors import DisintoError, Refused
from disinto_tui.core.events import RunStarted, StepStarted
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.holder import refuse_unfinished
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.base import DisintoScreen
from disinto_tui.tui.screens.run import RunScreen
from tests.tui.support import app_on, shows, until


def begun(directory: Path, kind: str = "switch", *, secrets: tuple[str, ...] = ()) -> RunDir:
    """A switch that began and did not end."""
    step = "restart-agents" if kind == "release" else "pin"
    steps = (Step(step, "Write the pin", "files"),)
    plan = Plan(kind, "Switch acme to v2", str(directory), "acme", "unix:///s", steps, secrets=secrets)
    run = create_run(Instance.at(directory), plan)
    writer = JournalWriter(run)
    writer.write(RunStarted(100.0, run.id, 1, 1.0, "an earlier boot"))
    writer.write(StepStarted(100.0, step))
    writer.close()
    return run


def refusal(instance: Instance) -> DisintoError:
    try:
        with lock(instance, "disinto use", ""):
            pass
        refuse_unfinished(instance)
    except Refused as error:
        return error
    raise AssertionError("nobody is in the way")


def note(started: list[bool], run: RunDir, *, undo: bool, secrets: object) -> int:
    """A launcher that starts nothing."""
    started.append(undo)
    return 1


class Below(DisintoScreen[None]):
    """Stands for whatever screen is below."""

    def body(self) -> Iterable[Widget]:
        return ()

    def headline(self) -> str:
        return "below"


def app_of(directory: Path) -> DisintoApp:
    return app_on(directory, Below)


async def test_the_run_of_whoever_is_at_work_can_be_watched(tmp_path: Path) -> None:
    run = begun(tmp_path)
    instance = Instance.at(tmp_path)
    with lock(instance, "disinto switch", run.id):
        error = refusal(instance)
        app = app_of(tmp_path)
        async with app.run_test(size=(80, 24)) as pilot:
            app.show_error(error)
            await until(pilot, lambda: shows(pilot, "[ Watch their run ]"))
            assert app.focused is not None and app.focused.id == "close"
            await pilot.press("right", "enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_a_run_that_stopped_half_way_can_be_taken_back_or_finished(tmp_path: Path) -> None:
    begun(tmp_path)
    for presses, undo in ((2, True), (3, False)):
        app = app_of(tmp_path)

        started: list[bool] = []
        app.launcher = partial(note, started)
        async with app.run_test(size=(80, 24)) as pilot:
            app.show_error(refusal(app.instance))
            await until(pilot, lambda: shows(pilot, "[ Take it back ]", "[ Finish it ]", "[ Look at it ]"))
            await pilot.press(*["right"] * presses, "enter")
            await until(pilot, lambda started=started, undo=undo: started == [undo])


@pytest.mark.parametrize(("kind", "secrets"), [("switch", ("GITHUB_TOKEN",)), ("release", ())])
async def test_a_run_that_needs_a_secret_is_only_looked_at(
    tmp_path: Path, kind: str, secrets: tuple[str, ...]
) -> None:
    """A release finds its secrets on its own screen, and its plan names none."""
    begun(tmp_path, kind, secrets=secrets)
    app = app_of(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.show_error(refusal(app.instance))
        await until(pilot, lambda: shows(pilot, "[ Look at it ]"))
        assert not shows(pilot, "Finish it")


async def test_nothing_to_offer_is_a_notice(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.show_error(Refused("It is busy.", "Another host is at it.", "Wait.", code="instance.busy"))
        await until(pilot, lambda: shows(pilot, "It is busy.", "Wait.", "[ Close ]"))
        await pilot.press("enter")
