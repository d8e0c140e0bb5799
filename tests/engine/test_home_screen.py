"""Home on the real engine: from a service that stops to the operator who starts it again."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from disinto_tui.tui.widgets.home_glance import Glance
from tests.engine.conftest import SampleImages
from tests.support.engine import Engine
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.tui.home_support import screen_text, until


@pytest.fixture
def factory(
    engine: Engine,
    sample_images: SampleImages,
    project: str,
    forge: ForgeDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Factory:
    """A config, a token and an empty directory; this process talks to the engine of the tests, too."""
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
    found = new_factory(tmp_path, engine.endpoint, project, text, warm=True)
    monkeypatch.setenv("DOCKER_HOST", engine.endpoint)
    monkeypatch.delenv("AGENTS_IMAGE", raising=False)
    return found


async def test_home_follows_the_engine(factory: Factory, engine: Engine) -> None:
    said = await asyncio.to_thread(factory.init)
    assert said.code == 0, said.err
    app = DisintoApp(Instance.at(factory.directory), config=factory.cli.home / "config")

    def docker(*argv: str) -> subprocess.CompletedProcess[str]:
        return engine.docker(*argv)

    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "● healthy for" in screen_text(pilot), 300)
        assert " v0.2.0  ● healthy" in screen_text(pilot)
        await until(pilot, lambda: "newest v0.3.0  ↑ newer than here" in screen_text(pilot), 300)
        await until(pilot, lambda: "forge  ● reachable" in screen_text(pilot), 300)
        await asyncio.to_thread(docker, "stop", f"{factory.project}-edge")
        await until(pilot, lambda: "▲ edge is exited" in screen_text(pilot), 300)
        # Start it again the operator's way: plan, review, run, and back home.
        await pilot.press("U")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 300)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen), 300)
        await until(pilot, lambda: "done" in screen_text(pilot), 300)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), 300)
        await until(pilot, lambda: "● healthy for" in app.screen.query_one(Glance).texts()[0], 300)
        assert "✓ Start " in screen_text(pilot)
