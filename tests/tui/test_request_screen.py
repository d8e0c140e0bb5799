"""A release for approval, from the wizard to where it stands; against a forge that schedules and merges as one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.approval import RequestState
from disinto_tui.core.errors import Unavailable
from disinto_tui.core.view import InstanceView
from disinto_tui.runs import request_state
from disinto_tui.runs.observe import recent_runs
from disinto_tui.runs.remote import with_remote
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.release import ReleaseScreen
from disinto_tui.tui.screens.request import RequestScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from tests.support.filing import Filer, new_filer
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import default_state
from tests.tui.home_support import Views
from tests.tui.support import app_on, shows, until

URL = "http://forge.example/acme/ops/pulls/7"
OPEN = RequestState(
    "release-v040",
    "open",
    "v0.4.0",
    "release",
    "Release v0.4.0",
    ("GITHUB_TOKEN",),
    7,
    URL,
    "dev-bot",
    scheduled=True,
    now="Somebody else than dev-bot approves it.",
)
APPROVED = replace(OPEN, stage="approved", approved_by=("lead",), now="")
MERGED = replace(
    APPROVED, stage="merged", merged_by="disinto-admin", warnings=("[b]No[/b] admin approved it.",)
)
DONE = replace(
    MERGED, stage="result", exit_code=0, status="success", reference="ghcr.io/acme/agents:v0.4.0", where="x"
)


class Followed:
    """States that a test feeds."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[RequestState | Exception] = asyncio.Queue()
        self.begun = 0

    async def __call__(self, instance: Instance, name: str) -> AsyncIterator[RequestState]:
        assert name == "v0.4.0"
        self.begun += 1
        while True:
            found = await self.queue.get()
            if isinstance(found, Exception):
                raise found
            yield found


async def test_every_stage_says_who_and_filed_is_not_executed(tmp_path: Path) -> None:
    told = Followed()
    app = app_on(tmp_path, lambda: RequestScreen("v0.4.0", follow=told))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "Asking the forge where it stands"))
        assert not shows(pilot, "copy its address")
        told.queue.put_nowait(OPEN)
        await until(
            pilot, lambda: shows(pilot, "✓ filed        pull request 7, by dev-bot", "▶ approved     0 of 1")
        )
        assert shows(
            pilot, "Open: 0 of 1 approval.", "Somebody else than dev-bot approves it.", "GITHUB_TOKEN"
        )
        await pilot.press("c")
        assert app.clipboard == URL
        told.queue.put_nowait(APPROVED)
        await until(
            pilot,
            lambda: shows(pilot, "✓ approved     1 of 1, by lead", "▶ merged       by the forge itself"),
        )
        told.queue.put_nowait(MERGED)
        await until(
            pilot, lambda: shows(pilot, "✓ merged       by disinto-admin", "▶ executed     filed, and not")
        )
        assert shows(pilot, "Filed, not executed.", "▲ [b]No[/b] admin approved it.")
        told.queue.put_nowait(DONE)
        await until(
            pilot, lambda: shows(pilot, "✓ executed     exit code 0", "✓ result       success ghcr.io/acme")
        )


async def test_an_execution_that_failed_shows_its_last_words(tmp_path: Path) -> None:
    told = Followed()
    told.queue.put_nowait(
        replace(MERGED, stage="executed", exit_code=3, logs="line one\n\x1b[2Jno such image")
    )
    app = app_on(tmp_path, lambda: RequestScreen("v0.4.0", follow=told))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "✗ executed     exit code 3", "line one", "no such image"))


async def test_what_was_known_stays_when_the_forge_falls_silent(tmp_path: Path) -> None:
    told = Followed()
    told.queue.put_nowait(OPEN)
    app = app_on(tmp_path, lambda: RequestScreen("v0.4.0", follow=told))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "▶ approved"))
        told.queue.put_nowait(
            Unavailable("The forge is silent.", "It was asked.", "Try again.", code="forge.down")
        )
        await until(pilot, lambda: shows(pilot, "▶ approved", "The forge is silent.", "Try again."))
        await pilot.press("R")
        await until(pilot, lambda: told.begun == 2 and not shows(pilot, "The forge is silent."))


# -- against a forge ---------------------------------------------------------------------------------------------------


@pytest.fixture
def filer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filer]:
    monkeypatch.setattr(request_state, "POLL_SECONDS", 0.05)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")  # no engine is needed to ask
    with ForgeDouble(default_state()) as forge:
        made = new_filer(tmp_path, forge)
        env = made.directory / ".env"
        env.write_text(
            env.read_text() + f"FORGE_URL={forge.url}\nAGENTS_IMAGE=127.0.0.1:9/acme/agents:v0.3.0\n"
        )
        yield made


async def test_from_the_wizard_to_a_request_that_is_approved(filer: Filer, tmp_path: Path) -> None:
    """Real plans, a real run, a real answer of the forge; only the forge itself is a double."""
    app = DisintoApp(filer.instance, config=tmp_path / "settings", first=lambda: HomeScreen(views=Views()))
    async with app.run_test(size=(80, 24)) as pilot:
        app.call_later(app.open_release)
        await until(
            pilot, lambda: isinstance(app.screen, ReleaseScreen) and app.screen.published is not None, 30
        )
        await until(pilot, lambda: app.focused is not None)
        line: Any = app.screen.query_one("#version")
        line.value = "v0.4.0"
        await pilot.press("ctrl+n", "end", "enter")
        # A branch that anybody could push to would make an approval needless: that is set first, if so wished.
        await until(
            pilot, lambda: shows(pilot, "✗ protection", "1 to mend first", "[ Protect the branch, too ]"), 30
        )
        assert not filer.ops.pulls
        filer.protect()
        await pilot.press("R")
        await until(pilot, lambda: shows(pilot, "● ready", "[ Review ]"), 30)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await until(
            pilot, lambda: shows(pilot, "done after", "release-v040 is filed", "o where it stands"), 30
        )
        assert filer.pull.title == "release: v0.4.0" and filer.pull.scheduled
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RequestScreen))
        await until(pilot, lambda: shows(pilot, "▶ approved", "Open: 0 of 1 approval."), 30)
        await asyncio.to_thread(filer.approve)
        await until(pilot, lambda: shows(pilot, "✓ approved", "✓ merged", "Filed, not executed."), 30)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_home_says_that_it_is_filed_and_not_executed(filer: Filer, tmp_path: Path) -> None:
    filer.protect()
    await filer.file()
    view = InstanceView(str(filer.directory), "shop", "", "none", runs=recent_runs(filer.instance))
    (told,) = (await with_remote(filer.instance, view)).attention
    assert (told.text, told.command) == (
        "release-v040: Open: 0 of 1 approval.",
        "disinto requests release-v040",
    )
    shown = replace(view, attention=(told,), mode="image", pinned="x:v0.3.0")
    app = DisintoApp(
        filer.instance, config=tmp_path / "settings", first=lambda: HomeScreen(views=Views(shown))
    )
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: shows(pilot, "release-v040: Open: 0 of 1 approval.", "↵ where it stands"))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, RequestScreen))
    await asyncio.to_thread(filer.approve)
    assert "Filed, not executed" in (await with_remote(filer.instance, view)).attention[0].text
    filer.commit(
        "vault/actions/release-v040.result.json", '{"id": "release-v040", "exit_code": 0, "logs": ""}'
    )
    assert (await with_remote(filer.instance, view)).attention == ()
