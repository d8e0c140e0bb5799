"""Adopting from the terminal UI: from what Home says, over the plan and the run, and back again."""

from __future__ import annotations

from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from disinto_tui.tui.widgets.home_list import HomeList
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine
from tests.support.old_stacks import lay_out_pulled, local_names
from tests.tui.home_support import screen_text, until


@pytest.mark.slow
async def test_an_old_stack_is_taken_over_and_back_from_the_screen(
    engine: Engine, sample_images: SampleImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = local_names(engine, sample_images.stand_ins, sample_images.reference("v0.1.0"))
    old = lay_out_pulled(tmp_path, engine, names, sample_images.repository)
    monkeypatch.setenv("DOCKER_HOST", engine.endpoint)
    for name in ("AGENTS_IMAGE", "FORGE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    try:
        old.start()
        before, running = old.files(), old.running()
        app = DisintoApp(Instance.at(old.directory), config=tmp_path / "settings")
        async with app.run_test(size=(100, 30)) as pilot:
            told = "docker-compose.yml was written by upstream's init"
            await until(pilot, lambda: told in screen_text(pilot), 300)
            notes = app.screen.query_one(HomeList)
            notes.focus()
            await until(pilot, lambda: any(told in text for text in _open(notes)), 300)
            notes.move_to(next(n for n, text in enumerate(_open(notes)) if told in text))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 300)
            await pilot.press("tab", "enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen), 300)
            await until(pilot, lambda: "done after" in screen_text(pilot), 300)
            assert "AGENTS_IMAGE=" in (old.directory / ".env").read_text()
            assert old.running() == running
            await pilot.press("u")
            await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 300)
            await pilot.press("tab", "enter")
            await until(pilot, lambda: "Take the adoption of" in screen_text(pilot), 300)
            await until(pilot, lambda: "done after" in screen_text(pilot), 300)
            await pilot.press("escape", "escape")
            await until(pilot, lambda: isinstance(app.screen, HomeScreen), 300)
        assert old.files() == before
        assert old.running() == running
    finally:
        old.end()


def _open(notes: HomeList) -> list[str]:
    return [
        entry.attention.text if entry.attention else "" for entry in map(notes.entry_at, range(notes.items))
    ]
