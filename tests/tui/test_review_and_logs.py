"""The review before anything changes, and the services' logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from disinto_tui.core.errors import Unavailable
from disinto_tui.core.plan import FileChange, ImagePull, Plan, ServiceChange, Step
from disinto_tui.runs.logs import LogLine
from disinto_tui.tui.log.pane import LogPane
from disinto_tui.tui.screens import logs
from disinto_tui.tui.screens.logs import LogSource, LogsScreen
from disinto_tui.tui.screens.review import ReviewScreen
from tests.tui.support import app_on, shows, until

PLAN = Plan(
    "switch",
    "Switch acme from v0.3.0 to v0.2.9",
    "/srv/acme",
    "acme",
    "unix:///s",
    (Step("pin", "Write the pin", "files"),),
    (FileChange(".env", "change", "-AGENTS_IMAGE=a:v0.3.0\n+AGENTS_IMAGE=a:v0.2.9", secret=True),),
    (ServiceChange("agents", "recreate", "image changes"), ServiceChange("edge", "untouched")),
    (ImagePull("ghcr.io/disinto/agents:v0.2.9", "sha256:" + "9f2c41d07ab3" + "0" * 52, 41_000_000),),
    downtime="about 0.5 s",
    undo="back to v0.3.0, works offline",
    dangers=("service qwen is removed: its log [b]goes[/b]",),
    notes=("one agent is at work",),
)


async def test_a_plan_shows_what_could_be_lost_first_and_the_rest(tmp_path: Path) -> None:
    app = app_on(tmp_path, lambda: ReviewScreen(PLAN, yes="Switch now"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "careful", "qwen is removed: its log [b]goes[/b]"))
        for words in (
            "recreate    agents  (image changes)",
            "untouched   edge",
            "to pull, 41 MB  9f2c41d07ab3",
            "-AGENTS_IMAGE=a:v0.3.0",
            "undo        back to v0.3.0",
            "only in .env",
            "one agent is at work",
            "/srv/acme",
        ):
            assert shows(pilot, words), words


async def test_more_is_offered_where_there_is_more(tmp_path: Path) -> None:
    app = app_on(tmp_path, lambda: ReviewScreen(PLAN, yes="Switch now"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "[ Switch now ]", "esc cancel") and not shows(pilot, "pgdn"))
        await pilot.resize_terminal(80, 12)
        await until(pilot, lambda: shows(pilot, "pgdn more") and not shows(pilot, "/srv/acme"))
        await pilot.press("pagedown", "pagedown")
        await until(pilot, lambda: shows(pilot, "/srv/acme"))


async def test_cancel_has_the_focus_and_esc_is_no(tmp_path: Path) -> None:
    for keys, answer in ((["enter"], False), (["escape"], False), (["right", "enter"], True)):
        answers: list[bool | None] = []
        app = app_on(tmp_path, lambda: ReviewScreen(PLAN))
        async with app.run_test(size=(80, 24)) as pilot:
            app.review(PLAN, answers.append, yes="Switch now")
            await until(pilot, lambda: shows(pilot, "[ Switch now ]"))
            assert app.focused is not None
            assert app.focused.id == "cancel"
            await pilot.press(*keys)
            await until(pilot, lambda: answers)  # noqa: B023
        assert answers == [answer]


def source(*batches: list[LogLine], error: Exception | None = None) -> LogSource:
    async def lines(after: str) -> AsyncIterator[list[LogLine]]:
        for batch in batches:
            yield batch
        if error is not None:
            raise error
        await asyncio.Event().wait()

    return lines


def line(service: str, text: str, second: int = 0) -> LogLine:
    return LogLine(service, f"2026-11-24T10:00:{second:02}.000000000Z", text)


async def test_services_interleaved_and_one_by_one(tmp_path: Path) -> None:
    batches = (
        [line("agents", "from agents"), line("edge", "from \x1b[31medge [b]x[/b]")],
        [line("agents", "more")],
    )
    app = app_on(tmp_path, lambda: LogsScreen(source(*batches)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "from agents", "edge [b]x[/b]", "more", "3 lines"))
        assert shows(pilot, "/ search   ] next service"), "the likeliest first where there is little room"
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: shows(pilot, "Logs of agents", "2 lines") and not shows(pilot, "[b]x"))
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: shows(pilot, "Logs of edge", "1 line "))
        await pilot.press("left_square_bracket", "a")
        await until(pilot, lambda: shows(pilot, "all services", "3 lines"))


async def test_an_empty_log_says_what_it_waits_for(tmp_path: Path) -> None:
    app = app_on(tmp_path, lambda: LogsScreen(source()))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "Waiting for the services to say something."))


async def test_a_stream_that_breaks_says_why(tmp_path: Path) -> None:
    error = Unavailable("No engine answers.", "It is down.", "Start it.", code="engine.down")
    app = app_on(tmp_path, lambda: LogsScreen(source(error=error)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "No engine answers.", "It is down.", "Start it."))


async def test_an_engine_that_went_away_is_waited_for_and_its_lines_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked from the last line on; the first batch, though empty, says that it is there again."""
    monkeypatch.setattr(logs, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(logs, "LAST_RETRY", 0.02)
    error = Unavailable("No engine answers.", "It is down.", "Start it.", code="engine.down")
    asked: list[str] = []
    back = asyncio.Event()

    async def lines(after: str) -> AsyncIterator[list[LogLine]]:
        asked.append(after)
        if not after:
            yield [line("agents", "first", 1), line("edge", "second", 2)]
        elif back.is_set():
            yield []
            yield [line("agents", "third", 3)]
            await asyncio.Event().wait()
        raise error

    app = app_on(tmp_path, lambda: LogsScreen(lines))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "no engine answers, waiting for it", "second"))
        await until(pilot, lambda: len(asked) > 3)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: shows(pilot, "agents · no engine answers, waiting for it"))
        back.set()
        await until(pilot, lambda: shows(pilot, "third") and not shows(pilot, "waiting for it"))
    assert set(asked[1:]) == {line("", "", 2).at}


async def test_lines_of_a_busy_service_do_not_grow_without_bound(tmp_path: Path) -> None:
    batch = [line("agents", f"row {number}") for number in range(30_000)]
    app = app_on(tmp_path, lambda: LogsScreen(source(batch, batch)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "50 000 lines", "row 29999"))
        pane = app.screen.query_one(LogPane)
        await pilot.press("g")
        await until(pilot, lambda: shows(pilot, "row 10000"))
        assert pane.view.lines.first == 10_000
