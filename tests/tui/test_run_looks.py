"""The run screen as it looks: small, in every theme, idle; and which keys and words it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from textual.widget import Widget

from disinto_tui.tui.log.view import LogView
from disinto_tui.tui.screens.run import RunScreen
from tests.runs.test_runner import plan, touch
from tests.tui.support import app_on, screen_text, shows, until
from tests.tui.test_run_screen import finished_in_thread


async def test_it_fits_80x24_and_follows_a_resize(tmp_path: Path) -> None:
    say = ["x" * 200]
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first", say=say)))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "✓ first", "›", "esc back"))
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: pilot.app.query_one(LogView).size.width > 150)
        await until(pilot, lambda: shows(pilot, "✓ first"))


async def test_an_operators_own_key_and_the_help_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "keys.toml").write_text('"log.wrap" = "W"\n"log.warp" = "Z"\n')
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first", say=["y" * 200])))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        await until(pilot, lambda: shows(pilot, "✓ first"))
        await until(pilot, lambda: shows(pilot, "no action log.warp"))
        await pilot.press("w")
        await pilot.press("W")
        await until(pilot, lambda: pilot.app.query_one(LogView).wrap)
        await pilot.press("question_mark")
        await until(pilot, lambda: shows(pilot, "Breaks long lines", "log.wrap"))
        lines = "\n".join(screen_text(pilot))
        assert lines.index("run.leave") < lines.index("log.follow"), (
            "what can be done here, before how to move"
        )
        assert re.search(r"Asks where\. +log\.save", lines), "its name beside it"
        await pilot.press("end")
        await until(pilot, lambda: shows(pilot, "keys.toml", "The documentation: disinto docs"))


async def test_the_palette_begins_with_what_can_be_done_in_the_words_of_the_keys(tmp_path: Path) -> None:
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first"), touch("second", fail=True)))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(80, 40)) as pilot:
        await until(pilot, lambda: shows(pilot, "r retry second"))
        await pilot.press("ctrl+p")
        await until(pilot, lambda: shows(pilot, "Run: retry second", "Log: wrap"))
        lines = "\n".join(screen_text(pilot))
        assert lines.index("Run: retry second") < lines.index("Run: later") < lines.index("Log: follow")
        await pilot.press(*"take", "enter")
        await until(pilot, lambda: shows(pilot, "Take back", "[ Leave it ]"))


async def test_nothing_is_painted_while_nothing_happens(tmp_path: Path) -> None:
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first")))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "done after"))
        painted: list[set[Widget]] = []
        screen = app.screen
        update = screen._compositor.update_widgets

        def note(widgets: set[Widget]) -> None:
            if widgets:  # an empty round of the compositor paints nothing
                painted.append(set(widgets))
            update(widgets)

        screen._compositor.update_widgets = note  # type: ignore[method-assign]
        # What the end of the run still has to paint comes late on a busy machine; a timer would paint for ever.
        for _ in range(10):
            painted.clear()
            await pilot.pause(1.3)
            if not painted:
                break
        assert painted == []


@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
async def test_every_theme_has_what_the_screens_ask_for(tmp_path: Path, theme: str) -> None:
    run = finished_in_thread(tmp_path, plan(tmp_path, touch("first"), touch("second", fail=True)))
    app = app_on(tmp_path, lambda: RunScreen(run))
    async with app.run_test(size=(100, 30)) as pilot:
        app.theme = theme
        await until(pilot, lambda: shows(pilot, "✗ second"))
