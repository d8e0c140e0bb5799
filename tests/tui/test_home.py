"""Home: what it says of an instance, how it follows changes, where its keys lead."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.strip import Strip

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, RunDir, create_run
from disinto_tui.adapters.process import boot_id, process_start
from disinto_tui.core.errors import Failed
from disinto_tui.core.events import RunStarted
from disinto_tui.core.plan import Plan, ServiceChange, Step
from disinto_tui.core.view import Attention, InstanceView, RunSummary, ServiceView
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.dialogs import Notice
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.init import InitScreen
from disinto_tui.tui.screens.logs import LogsScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from disinto_tui.tui.widgets.home_list import HomeList
from disinto_tui.tui.widgets.home_text import age, health, size
from disinto_tui.tui.widgets.service_table import ServiceTable
from tests.tui.home_support import NOW, Views, acme, calm, no_remote, screen_text, service, until

ENGINE_DOWN = (
    "The Docker Engine at unix:///var/run/docker.sock does not answer. The socket is not there. "
    "Start it with `systemctl start docker`, then try again."
)


START = Plan(
    "up",
    "Start acme",
    "/srv/acme",
    "acme",
    "unix:///var/run/docker.sock",
    (Step("up", "Start the stack", "up"),),
    services=(ServiceChange("edge", "start", "it is exited", ""),),
)


def home_app(directory: Path, views: Views, remote: Any = no_remote, **more: Any) -> DisintoApp:
    """The app with a Home that is fed by a test."""
    return DisintoApp(
        Instance.at(directory),
        config=directory / "config",
        first=lambda: HomeScreen(views=views, remote=remote, clock=lambda: NOW),
        **more,
    )


def empty_view(directory: Path) -> InstanceView:
    return InstanceView(str(directory), "acme", "unix:///var/run/docker.sock", "none", engine_version="27.5")


async def test_the_first_paint_needs_no_answer(tmp_path: Path) -> None:
    app = home_app(tmp_path, Views())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "asking the engine" in screen_text(pilot))
        assert "^q quit" in screen_text(pilot) or "q quit" in screen_text(pilot)


async def test_one_look_tells_version_health_and_what_to_do(tmp_path: Path) -> None:
    app = home_app(tmp_path, Views(acme(tmp_path)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "newest v0.4.1" in screen_text(pilot))
        text = screen_text(pilot)
    first, second = text.splitlines()[2:4]
    assert first.split() == [
        *["v0.3.0", "▲", "woodpecker-agent", "is", "restarting"],
        *["newest", "v0.4.1", "↑", "newer", "than", "here"],
    ]
    assert second.split() == ["pinned", "ghcr.io/disinto/agents:v0.3.0", "forge", "●", "reachable"]
    assert "▲ restarting (4)" in text
    assert "agents            ● healthy         v0.3.0       3 d   12 %   410 M" in text
    assert "NEEDS YOU  ▲ woodpecker-agent is restarting (4 restarts)             ↵ its log" in text
    assert "✗ Start acme  failed: agents is unhealthy after 42 s.       5 d ago" in text


async def test_the_network_never_delays_what_is_local(tmp_path: Path) -> None:
    answer = asyncio.Event()

    async def slow(instance: Instance, view: InstanceView) -> InstanceView:
        await answer.wait()
        return replace(await no_remote(instance, view), attention=(*view.attention, Attention("token")))

    app = home_app(tmp_path, Views(calm(tmp_path)), slow)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "● healthy for 3 d" in screen_text(pilot))
        assert "newest asking …" in screen_text(pilot)
        answer.set()
        await until(pilot, lambda: "newest v0.4.1" in screen_text(pilot))
        assert "NEEDS YOU  ▲ token" in screen_text(pilot)


async def test_a_change_shows_at_once_and_the_cursor_stays_on_its_service(tmp_path: Path) -> None:
    views = Views(calm(tmp_path))
    app = home_app(tmp_path, views)
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.screen.query_one(ServiceTable)
        await until(pilot, lambda: table.items == 6)
        await pilot.press("down", "down", "down")
        assert table.service is not None and table.service.name == "forgejo"
        fewer = tuple(item for item in calm(tmp_path).services if item.name != "edge")
        broken = tuple(replace(item, state="unhealthy") if item.name == "agents" else item for item in fewer)
        views.queue.put_nowait(replace(calm(tmp_path), services=broken))
        await until(pilot, lambda: "▲ agents is unhealthy" in screen_text(pilot))
        assert table.service.name == "forgejo"


async def test_enter_leads_to_what_helps(tmp_path: Path) -> None:
    app = home_app(tmp_path, Views(acme(tmp_path)))
    async with app.run_test(size=(80, 24)) as pilot:
        table, notes = app.screen.query_one(ServiceTable), app.screen.query_one(HomeList)
        await until(pilot, lambda: table.items == 6 and notes.items == 3)
        await pilot.press("end", "down")  # past the last service, into the list
        assert notes.has_focus and notes.entry is not None and notes.entry.kind == "attention"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LogsScreen))
        assert isinstance(app.screen, LogsScreen) and app.screen.service == "woodpecker-agent"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("up")
        assert table.has_focus and table.cursor == 5


async def test_an_empty_directory_offers_to_make_a_factory(tmp_path: Path) -> None:
    app = home_app(tmp_path, Views(empty_view(tmp_path)))
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "There is no factory in" in screen_text(pilot))
        assert str(tmp_path) in screen_text(pilot)
        assert "d doctor" not in screen_text(pilot)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, InitScreen))


async def test_an_engine_that_is_away_is_told_in_place_and_comes_back(tmp_path: Path) -> None:
    away = replace(
        calm(tmp_path),
        services=(),
        running_versions=(),
        engine_error=ENGINE_DOWN,
        attention=(Attention(ENGINE_DOWN, "problem"),),
    )
    views = Views(away)
    app = home_app(tmp_path, views)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "systemctl start docker" in screen_text(pilot))
        text = screen_text(pilot)
        assert " ▲ The Docker Engine at unix:///var/run/docker.sock does not answer." in text
        assert text.count("The socket is not there.") == 1, "not again under what needs you"
        views.queue.put_nowait(calm(tmp_path))
        await until(pilot, lambda: "● healthy for 3 d" in screen_text(pilot))
        assert "systemctl" not in screen_text(pilot)


def running_run(instance: Instance) -> RunDir:
    """A run whose process is this one."""
    steps = (Step("up", "Start the stack", "up"),)
    run = create_run(instance, Plan("up", "Start acme", str(instance.path), "acme", "", steps))
    writer = JournalWriter(run)
    pid = os.getpid()
    writer.write(RunStarted(NOW, run.id, pid, process_start(pid), boot_id()))
    writer.close()
    return run


async def test_a_run_under_way_is_attached_and_esc_leads_home(tmp_path: Path) -> None:
    run = running_run(Instance.at(tmp_path))
    live = RunSummary(run.id, "up", "Start acme", "running", NOW - 300)
    app = home_app(tmp_path, Views(replace(calm(tmp_path), runs=(live, *calm().runs))))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert "NOW        ▶ Start acme is under way for 5 min" in screen_text(pilot)
        assert "↵ watches it" in screen_text(pilot)
        notes = app.screen.query_one(HomeList)
        notes.focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_refresh_asks_everything_again(tmp_path: Path) -> None:
    views = Views(calm(tmp_path))
    asked: list[InstanceView] = []

    async def remote(instance: Instance, view: InstanceView) -> InstanceView:
        asked.append(view)
        return await no_remote(instance, view)

    app = home_app(tmp_path, views, remote)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(asked) == 1)
        await pilot.press("R")
        await until(pilot, lambda: len(asked) == 2 and views.opened == 2)


async def test_foreign_text_is_neither_markup_nor_an_escape(tmp_path: Path) -> None:
    odd = Attention("[red]x[/] \x1b[2J\x07 \x9b31m y", "warning", "echo [b]")
    app = home_app(tmp_path, Views(replace(calm(tmp_path), attention=(odd,))))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "[red]x[/]" in screen_text(pilot))
        assert "\x1b" not in screen_text(pilot) and "\x9b" not in screen_text(pilot)
        await pilot.press("tab", "enter")  # no key helps here: the sentence in full, with the command
        await until(pilot, lambda: "This helps: echo [b]" in screen_text(pilot))


@pytest.mark.parametrize("dimensions", [(80, 24), (120, 40), (200, 60), (60, 15)])
async def test_many_services_leave_room_for_what_needs_attention(
    tmp_path: Path, dimensions: tuple[int, int]
) -> None:
    many = tuple(service(f"agents-{number:02}") for number in range(40))
    view = replace(acme(tmp_path), services=(*many, *acme().services))
    app = home_app(tmp_path, Views(view))
    async with app.run_test(size=dimensions) as pilot:
        table, notes = app.screen.query_one(ServiceTable), app.screen.query_one(HomeList)
        await until(pilot, lambda: table.items == 46)
        assert "NEEDS YOU" in screen_text(pilot)
        assert notes.size.height >= 2
        await pilot.press("end")
        await until(pilot, lambda: "woodpecker-agent" in screen_text(pilot))
        assert " SERVICE" in screen_text(pilot), "the heading stays"


async def test_the_same_view_again_paints_nothing() -> None:
    painted: list[int] = []

    class Counting(ServiceTable):
        def render_line(self, y: int) -> Strip:
            painted.append(y)
            return super().render_line(y)

    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield Counting()

        def get_theme_variable_defaults(self) -> dict[str, str]:
            from disinto_tui.tui.theme import THEMES

            return dict(THEMES[0].variables)

    app = Alone()
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.query_one(Counting)
        table.show(calm(), NOW)
        await until(pilot, lambda: painted)
        await until(pilot, lambda: table.items == 6)
        painted.clear()
        table.show(calm(), NOW)
        table.show(replace(calm(), at=NOW + 5), NOW + 5)  # five seconds change no age that is shown
        await pilot.pause()
        assert painted == []
        table.show(calm(), NOW + 86_400)
        await until(pilot, lambda: painted)


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        ("healthy", {}, "● healthy"),
        ("running", {}, "● running"),
        ("starting", {}, "◌ starting"),
        ("unhealthy", {}, "▲ unhealthy"),
        ("restarting", {"restarts": 4, "since": None}, "▲ restarting (4)"),
        ("exited", {"exit_code": 137, "since": None}, "■ exited (137)"),
        ("created", {"since": None}, "○ not started"),
        ("paused", {}, "‖ paused"),
        ("dead", {"since": None}, "✗ dead"),
        ("absent", {"since": None}, "○ not created"),
    ],
)
async def test_every_state_is_a_word(tmp_path: Path, state: str, more: dict[str, Any], words: str) -> None:
    one = service("agents", state, cpu=1.0, memory=10 << 20, **more)
    app = home_app(tmp_path, Views(replace(calm(tmp_path), services=(one,))))
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.screen.query_one(ServiceTable)
        await until(pilot, lambda: table.items == 1)
        row = table.texts()[1]
        assert row.startswith(f" agents    {words} ")
        assert row.split()[-5:] == ["-" if "since" in more else "d", "1", "%", "10", "M"]


@pytest.mark.parametrize(("dimensions", "shown"), [((80, 24), False), ((160, 50), True)])
async def test_a_wide_terminal_shows_the_images_too(
    tmp_path: Path, dimensions: tuple[int, int], shown: bool
) -> None:
    app = home_app(tmp_path, Views(acme(tmp_path)))
    async with app.run_test(size=dimensions) as pilot:
        await until(pilot, lambda: "newest v0.4.1" in screen_text(pilot))
        text = screen_text(pilot)
    assert ("registry.example/disinto/edge:1" in text) is shown
    assert max(len(line) for line in text.splitlines()) <= dimensions[0]
    for words in ("NEEDS YOU", "RECENT", "▲ restarting (4)", "● reachable", "? help", "q quit"):
        assert words in text


async def test_enter_on_a_service_and_on_a_run_of_the_past(tmp_path: Path) -> None:
    run = create_run(Instance.at(tmp_path), START)
    past = RunSummary(run.id, "up", "Start acme", "done", NOW - 300, 8.0)
    app = home_app(tmp_path, Views(replace(calm(tmp_path), runs=(past,))))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✓ Start acme" in screen_text(pilot))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, LogsScreen))
        assert isinstance(app.screen, LogsScreen) and app.screen.service == "agents-qwen"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("end", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


@pytest.mark.parametrize("full", [True, False])
async def test_a_plan_that_cannot_begin_is_told_and_home_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    def fails(*_: object) -> RunDir:
        if full:
            raise Failed("The disk is full.", "0 bytes are free.", "Make room.", code="disk.full")
        raise PermissionError(13, "Permission denied", "/srv/acme/.disinto")

    async def planned(instance: Instance, **_: object) -> Plan:
        return START

    monkeypatch.setattr("disinto_tui.adapters.journal.create_run", fails)
    monkeypatch.setattr("disinto_tui.runs.lifecycle.plan_up", planned)
    app = home_app(tmp_path, Views(calm(tmp_path)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "d doctor" in screen_text(pilot))
        await pilot.press("U")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, Notice))
        assert ("The disk is full." if full else "Permission denied") in screen_text(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_nothing_is_sent_to_the_terminal_while_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = Views(calm(tmp_path))
    app = home_app(tmp_path, views)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "newest v0.4.1" in screen_text(pilot))
        home = app.screen
        assert isinstance(home, HomeScreen)
        await pilot.pause()
        sent: list[object] = []
        monkeypatch.setattr(app, "_display", lambda screen, what: sent.append(what))
        for second in (1, 2, 3):
            again = replace(calm(tmp_path), at=NOW + second)
            views.queue.put_nowait(again)
            await until(pilot, lambda again=again: home.view is again)
        assert sent == []


def test_ages_and_sizes_are_short() -> None:
    assert [age(seconds) for seconds in (-1, 59, 60, 5399, 5400, 129_599, 129_600, 9e6)] == [
        *["< 1 min", "< 1 min", "1 min", "89 min", "1 h", "35 h", "1 d", "104 d"]
    ]
    assert [size(count) for count in (None, 0, 410 << 20, 3 << 30, 12 << 30)] == [
        *["-", "0 M", "410 M", "3.0 G", "12 G"]
    ]


@pytest.mark.parametrize(
    ("services", "words"),
    [
        ((service("agents"),), "● healthy for 3 d"),
        ((service("agents"), service("edge", "starting")), "◌ starting: 1 of 2 are there"),
        ((service("agents"), service("edge", "absent")), "○ 1 of 2 services are not started"),
        ((service("agents", "absent"), service("edge", "absent")), "○ not started"),
        ((service("agents", "exited"), service("edge", "exited")), "■ stopped"),
        ((service("agents"), service("edge", "exited")), "▲ edge is exited"),
        ((service("agents", "unhealthy"), service("edge", "dead")), "▲ 2 of 2 services are in trouble"),
        ((), "○ no services"),
    ],
)
def test_health_in_words(services: tuple[ServiceView, ...], words: str) -> None:
    assert health(replace(calm(), services=services), NOW)[0] == words


@pytest.mark.parametrize("dimensions", [(80, 24), (120, 40)])
def test_home_looks_as_pinned(snap_compare: Callable[..., bool], dimensions: tuple[int, int]) -> None:
    app = home_app(Path("/srv/acme"), Views(acme()))

    async def ready(pilot: Any) -> None:
        await until(pilot, lambda: "newest v0.4.1" in screen_text(pilot))

    assert snap_compare(app, terminal_size=dimensions, run_before=ready)


async def test_d_leads_to_the_doctor_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from disinto_tui.runs.doctor import Report
    from disinto_tui.tui.screens.doctor import DoctorScreen

    async def examine(instance: Instance, **_: object) -> Report:
        return Report(str(instance.path), (), 0.1)

    monkeypatch.setattr("disinto_tui.runs.doctor.examine", examine)
    app = home_app(tmp_path, Views(calm(tmp_path)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "d doctor" in screen_text(pilot))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DoctorScreen))
        await until(pilot, lambda: "all is well" in screen_text(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
