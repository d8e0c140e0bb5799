"""The versions screen: what it says of a list, what it asks for, and where its keys lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.core.catalog import Catalog, Marks, Meta, Past
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.tui.screens.dialogs import Notice
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.versions import VersionsScreen
from disinto_tui.tui.widgets.filter_line import FilterLine
from disinto_tui.tui.widgets.version_details import Subject, detail_lines
from disinto_tui.tui.widgets.version_list import marked
from tests.tui.support import screen_text, shows, until
from tests.tui.version_support import (
    DAY,
    HOUR,
    LIST,
    MARKS,
    METAS,
    NARROW,
    NOW,
    REPOSITORY,
    WIDE,
    FakeSource,
    digest,
    entry,
    listed,
    many,
    meta,
    row,
    versions_app,
)

DOWN = Unavailable(
    "ghcr.io did not answer.", "It was given 10 s.", "Check the network.", code="registry.timeout"
)


# -- the list ----------------------------------------------------------------------------------------------------


async def test_every_version_with_its_age_what_a_pull_costs_and_how_it_went_here(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=NARROW) as pilot:
        await listed(pilot, "201 d")
        text = screen_text(pilot)
        assert text[0].rstrip() == f" Versions of {REPOSITORY}                           registry just now"
        assert [line.rstrip() for line in text[2:15]] == [
            " VERSION        MADE    PULL   HERE",
            " v0.4.1          2 d   41 MB   newest",
            " v0.4.0          6 d   38 MB",
            " v0.4.0-rc.1     9 d   39 MB   pre-release",
            "▸v0.3.0         12 d       -   ● running",
            " v0.2.10        20 d       -   ✗ reverted, local",
            " v0.2.9         31 d       -   ✓ known good, local",
            " v0.2.8         44 d   22 MB   ✗ rolled back from",
            " v0.2.7            -       ?",
            " v0.2.6         70 d  410 MB   ▲ other processor",
            " v0.1.0        201 d  300 MB",
            "",
            "   3 other tags hidden (o)",
        ]
        for words in ("↵ details", "u undo to v0.2.9", "/ filter", "esc back", "? help", "q quit"):
            assert words in text[-1], words


async def test_the_cursor_begins_at_what_runs_and_stays_where_it_was_put(tmp_path: Path) -> None:
    source = FakeSource(memory=replace(LIST, asked_at=NOW - HOUR), slow=True)
    app = versions_app(tmp_path, source)
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "asking the registry")
        assert found.tag == "v0.3.0"
        await pilot.press("down", "down")
        assert found.tag == "v0.2.9"
        source.listed = replace(LIST, tags=("v0.5.0", *LIST.tags), versions=LIST.versions + 1)
        source.gate.set()
        await listed(pilot, "v0.5.0", "registry just now")
        assert found.tag == "v0.2.9"
        assert row(pilot, "v0.2.9").startswith("▸")
        await pilot.press("g")
        assert found.tag == "v0.5.0"
        await pilot.press("G")
        assert found.tag == "v0.1.0"
        await pilot.press("k", "pageup", "j")
        assert found.tag == "v0.4.1"


async def test_a_list_of_the_past_is_there_at_once_and_what_runs_meanwhile_gets_the_cursor(
    tmp_path: Path,
) -> None:
    older = replace(LIST, marks={"v0.2.9": MARKS["v0.3.0"]}, asked_at=NOW - DAY)
    source = FakeSource(memory=older, slow=True, remembered_metas={"v0.2.9": meta("v0.2.9", 31, 0)})
    app = versions_app(tmp_path, source)
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "asking the registry", "31 d")
        assert found.tag == "v0.2.9"
        assert row(pilot, "v0.4.1").split() == ["v0.4.1", "…", "…"]
        assert source.detailed == []
        source.gate.set()
        await listed(pilot, "registry just now", "201 d")
        assert found.tag == "v0.3.0"


async def test_what_runs_is_shown_when_it_is_no_version(tmp_path: Path) -> None:
    marks = {"main": Marks(local=True, running=True, pinned=True)}
    app = versions_app(tmp_path, FakeSource(replace(LIST, marks=marks, undo="")))
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "● running, no version")
        assert found.tag == "main"
        assert "undo" not in screen_text(pilot)[-1]


async def test_only_what_is_on_the_screen_is_asked_about(tmp_path: Path) -> None:
    source = FakeSource(many(50_000))
    app = versions_app(tmp_path, source)
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "41 MB")
        await until(pilot, lambda: row(pilot, found.tags[24_999]).endswith("41 MB"))
        asked = [tag for tags in source.detailed for tag in tags]
        assert asked[0] == found.tag  # what is read first is asked first
        assert len(asked) == len(set(asked)) == 18
        await pilot.press("end")
        await until(pilot, lambda: row(pilot, "v0.0.0").endswith("41 MB"))
        asked = [tag for tags in source.detailed for tag in tags]
        assert len(asked) == len(set(asked)) == 36


async def test_who_scrolls_through_asks_nothing_and_what_left_the_screen_is_given_up(tmp_path: Path) -> None:
    source = FakeSource(many(2_000), slow_metas=True)
    app = versions_app(tmp_path, source)
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "● running")
        await until(pilot, lambda: len(source.detailed) == 1)
        for _ in range(20):
            found.action_page_down()
        # On a slow machine the screen may settle half-way as well; what counts is where it comes to rest.
        screen = app.screen
        assert isinstance(screen, VersionsScreen)
        await until(pilot, lambda: source.detailed[-1][0] == found.tag and screen._settling is None)
        await until(pilot, lambda: source.cancelled)
        given_up = len(source.cancelled)
        assert source.cancelled[0] == source.detailed[0]
        assert given_up < len(source.detailed) < 20
        await pilot.press("up")
        source.gate.set()
        await until(pilot, lambda: row(pilot, found.tag).endswith("41 MB"))
        assert len(source.cancelled) == given_up  # a line further is no reason to begin anew


async def test_a_list_of_fifty_thousand_makes_the_lines_on_the_screen_and_no_others(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource(many(50_000)))
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "41 MB", "24 9")
        await pilot.pause(0.2)
        begun = found.texts_made
        assert begun < 150
        await pilot.press("pagedown")
        await until(pilot, lambda: row(pilot, found.tag).endswith("41 MB"))
        assert found.texts_made - begun < 100
        begun = found.texts_made
        await pilot.press("slash", "4", "2")
        await until(pilot, lambda: shows(pilot, "of 50 000 match"))
        assert found.texts_made - begun < 200


async def test_answers_repaint_the_lines_they_are_for(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "201 d")
        painted: list[object] = []
        real = found.refresh

        def refresh(*regions: Any, **more: Any) -> Any:
            painted.extend(regions or ["all"])
            return real(*regions, **more)

        found.refresh = refresh  # type: ignore[method-assign]
        screen = app.screen
        assert isinstance(screen, VersionsScreen)
        screen.post_message(VersionsScreen.Arrived(99, {"v0.4.0": METAS["v0.4.0"]}))
        screen.post_message(VersionsScreen.Arrived(99, {"v0.2.8": meta("v0.2.8", 44, 7_000_000)}))
        await until(pilot, lambda: "7.0 MB" in row(pilot, "v0.2.8"))
        assert [getattr(region, "y", region) for region in painted] == [7]


async def test_nothing_is_painted_while_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "201 d")
        await pilot.pause(0.2)
        sent: list[object] = []
        monkeypatch.setattr(app, "_display", lambda screen, what: sent.append(what))
        app.screen._tick()  # type: ignore[attr-defined]  # a minute in which no age reads differently
        await pilot.pause(0.1)
        assert sent == []


# -- filter and other tags -----------------------------------------------------------------------------------------


async def test_the_filter_follows_what_is_typed(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "201 d")
        await pilot.press("slash", "0", ".", "2")
        await until(pilot, lambda: shows(pilot, "· /0.2", "5 of 10 match"))
        assert list(found.tags) == ["v0.2.10", "v0.2.9", "v0.2.8", "v0.2.7", "v0.2.6"]
        await pilot.press("down", "down")  # the list stays in reach
        assert found.tag == "v0.2.8"
        await pilot.press("enter")
        assert app.focused is found
        assert shows(pilot, "· /0.2", "esc clear filter")
        await pilot.press("escape")
        await until(pilot, lambda: not shows(pilot, "· /0.2"))
        assert found.tag == "v0.2.8"
        await pilot.press("slash", "x")
        await until(pilot, lambda: shows(pilot, "No version matches /x", "3 other tags not looked at"))
        await pilot.press("escape")
        await until(pilot, lambda: len(found.tags) == 10)
        assert app.focused is found
        assert found.tag == "v0.2.8"
        assert not app.screen.query_one(FilterLine).display


async def test_marks_are_words_of_the_filter(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=NARROW) as pilot:
        found = await listed(pilot, "201 d")
        await pilot.press("slash", *":good")
        await until(pilot, lambda: list(found.tags) == ["v0.3.0", "v0.2.9"])
        await pilot.press("space", "9")
        await until(pilot, lambda: list(found.tags) == ["v0.2.9"])


async def test_other_tags_come_and_go(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "3 other tags hidden (o)", "o other tags")
        await pilot.press("o")
        await until(pilot, lambda: row(pilot, "latest").endswith("no version"))
        assert shows(pilot, "other tags too", "o versions only")
        await pilot.press("o")
        await until(pilot, lambda: not row(pilot, "latest"))


def test_what_was_filtered_for_is_marked() -> None:
    assert marked("v0.2.10", ["0.2"], "plain") == [("v", "plain"), ("0.2", "hit"), (".10", "plain")]
    assert marked("v0.2.10", ["0.2", ".2.1"], "dim") == [
        ("v", "dim"),
        ("0.2", "hit"),
        (".1", "hit"),
        ("0", "dim"),
    ]
    assert marked("Main", ["main", "x"], "plain") == [("Main", "hit")]
    assert marked("v1", [], "plain") == [("v1", "plain")]


# -- details -------------------------------------------------------------------------------------------------------


async def test_details_stand_beside_the_list_and_follow_the_cursor(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource())
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "201 d")
        assert shows(pilot, "v0.3.0   ● running · pinned", "switch    nothing to do, it runs", "↵ switch…")
        await pilot.press("g")
        for words in (
            "v0.4.1   newest",
            "switch    pulls 41 MB, recreates agents, agents-qwen; nothing",
            "undo      back to v0.3.0, works offline",
            "made      2026-11-22 06:00 UTC, 2 d ago",
            "linux/amd64, linux/arm64  ✓ runs here",
            "pull      41 MB of 410 MB",
            "volumes   4 of 4 mounts match",
            "against v0.3.0",
            "healthcheck: none → yes",
            f"digest    {digest('v0.4.1')[:19]} ",
        ):
            await until(pilot, lambda words=words: shows(pilot, words))
        for _ in range(4):
            await pilot.press("j")
        assert shows(pilot, "✗ reverted, 5 d ago", "ran here  switch 5 d ago by ops, reverted")
        assert shows(pilot, "its last lines:", "fatal: [b]cannot[/b] read state/token")


async def test_on_a_narrow_terminal_details_take_the_place_of_the_list(tmp_path: Path) -> None:
    source = FakeSource()
    app = versions_app(tmp_path, source)
    async with app.run_test(size=NARROW) as pilot:
        await listed(pilot, "201 d")
        await pilot.press("g", "enter")
        await until(pilot, lambda: shows(pilot, "pulls 41 MB, recreates agents", "↵ switch…"))
        assert not shows(pilot, "HERE") and not shows(pilot, "o other tags"), (
            "that would change what is not seen"
        )
        await pilot.press("G", "pageup", "g", "down", "up")
        assert shows(pilot, "v0.4.1   newest")
        await pilot.press("escape")
        await listed(pilot, "↵ details")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert source.planned == [("v0.4.1", None)]


async def test_what_a_registry_says_is_text_and_nothing_else(tmp_path: Path) -> None:
    nasty = "[red]boo[/red]\x1b]0;title\x07\x1b[31m"
    metas = {"v0.3.0": meta("v0.3.0", title=nasty, labels={"a[b]": nasty}, revision=nasty)}
    error = Unavailable("A [b]bad[/b] one\x1b[2J.", "Why.", "Now.", code="x")
    app = versions_app(tmp_path, FakeSource(replace(LIST, error=error), metas=metas))
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "title     [red]boo[/red]", "a[b]=[red]boo[/red]", "A [b]bad[/b] one.")
        assert "\x1b" not in "".join(screen_text(pilot))
        assert "\x07" not in "".join(screen_text(pilot))


def details(tag: str, found: Meta | None, width: int = 66, **more: Any) -> str:
    """The details of a version as text."""
    catalog = more.pop("catalog", LIST)
    subject = Subject(catalog.row(tag, found), catalog, running=METAS["v0.3.0"], **more)
    return "\n".join("".join(text for text, _ in line) for line in detail_lines(subject, width, NOW))


def test_details_say_what_is_not_known_and_what_does_not_fit() -> None:
    assert "Asking what it is …" in details("v0.4.1", None)
    assert "not asked ghcr.io did not answer." in details("v0.2.7", METAS["v0.2.7"])
    assert "▲ does not run here" in details("v0.2.6", METAS["v0.2.6"])
    assert "3 of 4 mounts match; it does not declare /home/agent/disinto/state" in details(
        "v0.1.0", METAS["v0.1.0"], width=120
    )
    assert "pulls what is missing, recreates the agents; nothing else" in details("v0.4.1", None, width=80)
    assert "pulls nothing" in details("v0.2.9", None)
    far = replace(LIST, marks={"v0.3.0": Marks(running=True)})
    assert "back to v0.3.0, its image may have to be pulled" in details("v0.2.9", None, catalog=far)


def test_details_keep_to_their_width() -> None:
    past = [entry("v0.4.1", "reverted", 5, reason="word " * 60, lines=("x" * 300, "y" * 10))]
    for width in (40, 49, 80, 120):
        text = details("v0.4.1", METAS["v0.4.1"], width, past=past)
        assert max(len(line) for line in text.splitlines()) <= width
        assert "its last lines:" in text


# -- copy, refresh, offline, errors, empty ---------------------------------------------------------------------------


async def test_copy_takes_the_whole_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    app = versions_app(tmp_path, FakeSource())
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await listed(pilot, "201 d")
        await pilot.press("c", "down", "down", "down", "down", "c")
        await until(pilot, lambda: len(copied) == 2)
        assert copied == [f"{REPOSITORY}:v0.3.0@{digest('v0.3.0')}", f"{REPOSITORY}:v0.2.7"]
        await until(pilot, lambda: shows(pilot, "not known yet"))


async def test_offline_the_age_is_said_and_the_reason_once(tmp_path: Path) -> None:
    source = FakeSource(replace(LIST, asked_at=NOW - 3 * HOUR, error=DOWN))
    app = versions_app(tmp_path, source)
    async with app.run_test(size=NARROW) as pilot:
        await listed(
            pilot, "offline, of 3 h ago", "▲ ghcr.io did not answer. It was given 10 s. Check the network."
        )
        await until(pilot, lambda: source.offline)
        assert source.offline == [True]  # what is down is not asked eighteen times more
        source.listed = LIST
        await pilot.press("R")
        await listed(pilot, "registry just now")
        assert not shows(pilot, "did not answer")
        assert source.asked_times == 2
        await until(pilot, lambda: source.offline == [True, False])


@pytest.mark.parametrize("answer", [DOWN, Catalog(REPOSITORY, error=DOWN)])
async def test_without_anything_to_show_the_reason_stands_in_its_place(tmp_path: Path, answer: Any) -> None:
    app = versions_app(tmp_path, FakeSource(answer))
    async with app.run_test(size=NARROW) as pilot:
        await until(
            pilot, lambda: shows(pilot, "▲ ghcr.io did not answer.", "It was given 10 s.", "R asks again.")
        )
        await pilot.press("enter", "c", "u", "o")  # of which none has anything to work on
        assert isinstance(app.screen, VersionsScreen)


async def test_a_list_that_cannot_be_had_anew_stays(tmp_path: Path) -> None:
    broken = BadInput(".env cannot be read.", "Line 3 is wrong.", "Mend it.", code="env.bad")
    app = versions_app(tmp_path, FakeSource(broken, memory=LIST))
    async with app.run_test(size=NARROW) as pilot:
        await listed(pilot, "v0.4.1", "▲ .env cannot be read. Line 3 is wrong. Mend it.")


@pytest.mark.parametrize(
    ("catalog", "words"),
    [
        (Catalog(REPOSITORY, asked_at=NOW), "holds no version yet"),
        (Catalog(REPOSITORY, ("latest", "main"), asked_at=NOW), "There are 2 other tags (o shows them)"),
    ],
)
async def test_an_empty_list_says_why(tmp_path: Path, catalog: Catalog, words: str) -> None:
    app = versions_app(tmp_path, FakeSource(catalog))
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: shows(pilot, words))


async def test_while_nothing_is_known_it_says_what_it_waits_for(tmp_path: Path) -> None:
    app = versions_app(tmp_path, FakeSource(slow=True), building=True)
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: shows(pilot, "Asking the registry and this host for versions"))
        assert shows(pilot, "asking the registry …", "build mode")


async def test_what_nobody_foresaw_is_said_and_not_waited_for(tmp_path: Path) -> None:
    class Broken(FakeSource):
        async def asked(self) -> Catalog:
            raise ZeroDivisionError("division by zero")

        async def plan(self, tag: str, **_: object) -> Any:
            raise ZeroDivisionError("division by zero")

    app = versions_app(tmp_path, Broken(memory=LIST))
    async with app.run_test(size=WIDE) as pilot:
        await listed(pilot, "▲ Something went wrong that this tool did not foresee. ZeroDivisionError")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Notice))


# -- pinned ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [NARROW, WIDE])
def test_versions_look_as_pinned(
    snap_compare: Callable[..., bool], tmp_path: Path, dimensions: tuple[int, int]
) -> None:
    place = tmp_path / "acme"
    place.mkdir()

    async def ready(pilot: Any) -> None:
        await listed(pilot, "201 d")
        await pilot.press("down")
        await until(pilot, lambda: row(pilot, "v0.2.10").startswith("▸"))

    app = versions_app(place, FakeSource())
    assert snap_compare(app, terminal_size=dimensions, run_before=ready)


def test_a_version_that_nobody_could_judge_says_so() -> None:
    catalog = replace(LIST, marks={"v0.2.9": Marks(past=Past("unverified", NOW - DAY))})
    assert "✓ ran, health unverified, 24 h ago" in details("v0.2.9", None, catalog=catalog)
