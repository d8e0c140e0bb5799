"""Init on the real engine: a walk through the pages ends in a running factory."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from disinto_tui.adapters.instance import Instance
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN
from tests.tui.home_support import screen_text, until
from tests.tui.test_init_screen import ready


async def test_from_a_walk_through_the_pages_to_a_running_factory(
    engine: Engine,
    sample_images: SampleImages,
    project: str,
    forge: ForgeDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins, version="")
    factory: Factory = new_factory(tmp_path, engine.endpoint, project, text)
    monkeypatch.setenv("DOCKER_HOST", engine.endpoint)
    monkeypatch.setenv("CLAUDE_SHARED_DIR", str(tmp_path / "claude-shared"))
    monkeypatch.delenv("AGENTS_IMAGE", raising=False)
    monkeypatch.delenv("FORGE_TOKEN", raising=False)
    app = DisintoApp(Instance.at(factory.directory), config=tmp_path / "settings")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "There is no factory in" in screen_text(pilot), 300)
        app.open_init(config=str(factory.config))
        await until(pilot, ready(app), 300)
        await pilot.press(*ADMIN_TOKEN, "enter")
        await until(pilot, lambda: ", an admin there" in screen_text(pilot), 300)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "v0.3.0            newest" in screen_text(pilot), 300)
        app.screen.query_one("#version", Input).value = "v0.2.0"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 300)
        assert not factory.directory.exists()
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen), 300)
        await until(pilot, (factory.directory / "docker-compose.yml").exists, 300)
        await until(pilot, lambda: f"The factory {project} is running." in screen_text(pilot), 300)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), 300)
        await until(pilot, lambda: " v0.2.0  ● healthy" in screen_text(pilot), 300)
    assert ADMIN_TOKEN.encode() in (factory.directory / ".env").read_bytes()
    for path in (factory.directory / ".disinto").rglob("*"):
        assert not path.is_file() or ADMIN_TOKEN.encode() not in path.read_bytes(), path
