"""The log view: lines on the disk, rows on the screen, follow, search, and text that is only text."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.geometry import Offset
from textual.selection import Selection

from disinto_tui.adapters.instance import save_file
from disinto_tui.core.errors import Failed
from disinto_tui.tui.log.lines import FileLog, MemoryLog, PartLog
from disinto_tui.tui.log.pane import LogPane
from disinto_tui.tui.log.rows import Rows, breaks
from disinto_tui.tui.log.search import LogSearch
from tests.tui.support import burst, shows, until


def written(path: Path, lines: list[str]) -> FileLog:
    path.write_text("".join(f"{line}\n" for line in lines))
    log = FileLog(path)
    while log.grow():
        pass
    return log


def texts(log: FileLog | PartLog | MemoryLog) -> list[str]:
    return [log.text(number) for number in range(log.first, log.end)]


def test_a_file_is_read_as_it_grows_and_a_half_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = FileLog(path)
    assert not log.grow()
    path.write_text("one\ntw")
    assert log.grow()
    assert texts(log) == ["one"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert log.grow()
    assert texts(log) == ["one", "two", "three"]
    assert not log.grow()


def test_blocks_and_their_borders(tmp_path: Path) -> None:
    lines = [f"{number}:{'x' * (number % 97)}" for number in range(5_000)]
    log = FileLog(tmp_path / "log")
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in lines))
    limits = random.Random(7)
    while log.grow(limits.choice([1_000, 4_096, 70_000])):
        pass
    assert texts(log) == lines
    assert log.line_at(0) == 0
    assert log.line_at(log.size) == 5_000
    assert log.text(4_999) == lines[-1]


def test_a_line_longer_than_a_block_is_broken_not_lost(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * 10_000 + "\nafter\n")
    log = FileLog(tmp_path / "log")
    while log.grow(4_096):
        pass
    assert "".join(texts(log)[:-1]).count("x") == 10_000
    assert texts(log)[-1] == "after"


def test_nothing_in_a_line_drives_the_terminal(tmp_path: Path) -> None:
    log = written(tmp_path / "log", ["\x1b[2Jgone\x1b]0;title\x07", "a\tb", "\x9b31m", "ok\r"])
    for text in texts(log):
        assert all(letter.isprintable() for letter in text), repr(text)


def test_one_steps_lines_in_several_ranges(tmp_path: Path) -> None:
    log = written(tmp_path / "log", [str(number) for number in range(10)])
    part = PartLog(log, [(1, 3), (7, None)])
    assert texts(part) == ["1", "2", "7", "8", "9"]
    search = LogSearch(part, "8")
    search.step()
    assert search.after(-1) == 3


def test_memory_is_bounded_and_numbers_stay_true() -> None:
    log = MemoryLog(limit=3)
    log.append((str(number), ("a" if number % 2 else "b", "dim")) for number in range(10))
    assert (log.first, log.end) == (7, 10)
    assert [log.text(number) for number in range(7, 10)] == ["7", "8", "9"]
    assert texts(log.of("a")) == ["7", "9"]


def test_search_goes_round_and_case_counts_only_when_asked(tmp_path: Path) -> None:
    log = written(tmp_path / "log", ["Error one", "fine", "error two", "fine"])
    search = LogSearch(log, "error")
    while search.step(1):
        pass
    assert (search.count, search.after(0), search.after(2), search.before(0)) == (2, 2, 0, 2)
    assert search.place(2) == 2
    strict = LogSearch(log, "Error")
    strict.step()
    assert strict.count == 1
    literal = LogSearch(written(tmp_path / "other", ["a.b", "axb"]), "a.b")
    literal.step()
    assert literal.count == 1


@given(st.text(alphabet="ab漢é", max_size=60), st.integers(2, 20))
def test_wrapped_rows_hold_the_whole_line_and_fit(text: str, width: int) -> None:
    from rich.cells import cell_len

    starts = breaks(text, width)
    rows = [text[low:high] for low, high in zip(starts, [*starts[1:], len(text)], strict=True)]
    assert "".join(rows) == text
    assert all(cell_len(row) <= width for row in rows)


@given(st.lists(st.integers(0, 45), min_size=1, max_size=30), st.integers(1, 12), st.booleans(), st.data())
def test_moving_down_and_up_again_comes_back(
    lengths: list[int], height: int, wrap: bool, data: st.DataObject
) -> None:
    log = MemoryLog()
    log.append(("x" * length, None) for length in lengths)
    rows = Rows(log, 10, wrap)
    every = [(row.number, row.row) for row in rows.down((0, 0))]
    at = data.draw(st.integers(0, len(every) - 1))
    by = data.draw(st.integers(0, len(every) - 1 - at))
    assert rows.moved(every[at], by) == every[at + by]
    assert rows.moved(every[at + by], -by) == every[at]
    bottom = rows.visible(rows.last(height), height)
    assert [(row.number, row.row) for row in bottom] == every[-height:]


# -- on a screen -------------------------------------------------------------------------------------------------


class Shown(App[None]):
    """A pane alone."""

    CSS = "$rule: #333; $lift: #222; $dim: #888; $good: green; $warn: yellow; $bad: red;"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        from disinto_tui.tui import theme

        return dict(theme.THEMES[0].variables)

    def compose(self) -> ComposeResult:
        yield LogPane(title="log", id="pane")


async def test_it_follows_until_somebody_scrolls_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = written(path, [f"line {number}" for number in range(200_000)])
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.query_one(LogPane)
        pane.show(log, "log")
        pane.view.focus()
        await until(pilot, lambda: shows(pilot, "line 199999", "200 000 lines", "following"))
        await pilot.press("pageup")
        await until(pilot, lambda: shows(pilot, "not following"))
        before = pane.view._rows
        with path.open("a") as file:
            file.write("a new line\n")
        log.grow()
        pane.grew()
        await pilot.pause()
        assert pane.view._rows == before
        await pilot.press("f")
        await until(pilot, lambda: shows(pilot, "a new line"))
        await pilot.press("g")
        await until(pilot, lambda: shows(pilot, "line 0 ", "line 1 "))
        await pilot.press("pagedown", "end")
        await until(pilot, lambda: shows(pilot, "a new line"))


async def test_markup_in_a_line_is_text(tmp_path: Path) -> None:
    log = written(tmp_path / "log", ["[bold]x[/] [@click=app.quit]y[/]", "[red", "\\[z]"])
    app = Shown()
    async with app.run_test(size=(80, 10)) as pilot:
        app.query_one(LogPane).show(log, "log")
        await until(pilot, lambda: shows(pilot, "[bold]x[/] [@click=app.quit]y[/]", "[red", "\\[z]"))


async def test_searching_while_typing_and_n_and_esc(tmp_path: Path) -> None:
    log = written(tmp_path / "log", [f"row {number}" for number in range(20_000)])
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.query_one(LogPane)
        pane.show(log, "log")
        pane.view.focus()
        await pilot.press("slash", *"row 1234")
        await until(pilot, lambda: pane.view.search is not None and pane.view.search.complete)
        await until(pilot, lambda: pane.view.mark == 1234)
        await pilot.press("enter")
        await until(pilot, lambda: shows(pilot, "/row 1234", "1/11"))
        await pilot.press("n")
        await until(pilot, lambda: pane.view.mark == 12340)
        await pilot.press("N")
        await until(pilot, lambda: pane.view.mark == 1234)
        await pilot.press("slash", "escape")
        await until(pilot, lambda: pane.view.search is None)
        assert app.focused is pane.view


async def test_wrapping_shows_what_was_cut(tmp_path: Path) -> None:
    log = written(tmp_path / "log", ["begin " + "m" * 150 + " finish"])
    app = Shown()
    async with app.run_test(size=(60, 12)) as pilot:
        pane = app.query_one(LogPane)
        pane.show(log, "log")
        pane.view.focus()
        await until(pilot, lambda: shows(pilot, "begin", "›"))
        assert not shows(pilot, "finish")
        await pilot.press("w")
        await until(pilot, lambda: shows(pilot, "finish", "wrapped"))
        await pilot.press("w", *["right"] * 15)
        await until(pilot, lambda: shows(pilot, "finish"))


async def test_the_first_error_and_the_line_that_is_copied(tmp_path: Path) -> None:
    lines = [f"fine {number}" for number in range(9_000)]
    lines[6_000] = "Error: no space left"
    log = written(tmp_path / "log", lines)
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.query_one(LogPane)
        pane.show(log, "log")
        pane.view.focus()
        await pilot.press("e")
        await until(pilot, lambda: pane.view.mark == 6_000 and shows(pilot, "▸Error: no space left"))
        await pilot.press("c")
        assert app.clipboard == "Error: no space left"
        chosen = pane.view.get_selection(Selection(Offset(5, 10), Offset(4, 12)))
        assert chosen == ("10\nfine 11\nfine", "\n")


async def test_looking_for_the_first_error_of_a_long_log_holds_up_no_key(tmp_path: Path) -> None:
    log = written(tmp_path / "log", [f"fine {number}" for number in range(60_000)])
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.query_one(LogPane)
        pane.show(log, "log")
        pane.view.focus()
        looked: list[int] = []
        find = log.find
        log.find = lambda pattern, start, stop: looked.append(stop - start) or find(pattern, start, stop)  # type: ignore[method-assign,func-returns-value]
        await pilot.press("e", "w")
        await until(pilot, lambda: pane.view.wrap)
        await until(pilot, lambda: sum(looked) == 60_000)
        assert max(looked) <= 1_000


async def test_saving_asks_where_and_never_overwrites_unasked(tmp_path: Path, monkeypatch: object) -> None:
    log = written(tmp_path / "log", ["one", "two"])
    target = tmp_path / "out.log"
    target.write_text("mine")
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.query_one(LogPane)
        pane.save_as = str(target)
        pane.show(log, "log")
        pane.view.focus()
        await pilot.press("s")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("enter")
        await until(pilot, lambda: shows(pilot, "Replace it"))
        assert target.read_text() == "mine"
        await pilot.press("enter")
        await until(pilot, lambda: target.read_text() == "one\ntwo\n")


async def test_what_is_typed_in_one_burst_is_searched_for_whole(tmp_path: Path) -> None:
    log = written(tmp_path / "log", [f"new {number}" for number in range(3_000)])
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.query_one(LogPane)
        pane.show(log, "log")
        pane.view.focus()
        burst(app, "slash", *"new 2345")
        await until(pilot, lambda: pane.view.search is not None and pane.view.search.query == "new 2345")
        await until(pilot, lambda: pane.view.mark == 2345)
        # The next search is typed over the last one, in a burst, too.
        await pilot.press("enter")
        burst(app, "slash", *"77")
        await until(pilot, lambda: pane.view.search is not None and pane.view.search.query == "77")


async def test_a_long_log_is_saved_beside_the_loop_and_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path / "log", [f"line {number}" for number in range(300_000)])
    target = tmp_path / "out.log"
    target.write_text("mine")
    target.chmod(0o600)
    held, go_on = threading.Event(), threading.Event()
    whole = log.pieces

    def slow(start: int, stop: int) -> Iterator[bytes]:
        for piece in whole(start, stop):
            yield piece
            held.set()
            go_on.wait(20)

    monkeypatch.setattr(log, "pieces", slow)
    app = Shown()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        pane = app.query_one(LogPane)
        pane.save_as = str(target)
        pane.show(log, "log")
        pane.view.focus()
        await pilot.press("s")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("enter", "enter")
        await until(pilot, held.is_set)
        await pilot.press("w")  # the loop is free meanwhile, and the file is what it was
        await until(pilot, lambda: pane.view.wrap)
        assert target.read_text() == "mine"
        go_on.set()
        await until(pilot, lambda: shows(pilot, "Saved 300 000 lines"))
    assert target.read_bytes() == (tmp_path / "log").read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out.log"]


def test_a_part_of_a_log_and_one_in_memory_are_saved_as_they_are_shown(tmp_path: Path) -> None:
    log = written(tmp_path / "log", [str(number) for number in range(10)])
    part = PartLog(log, [(1, 3), (7, None)])
    assert b"".join(part.pieces(0, part.end)) == b"1\n2\n7\n8\n9\n"
    assert b"".join(part.pieces(1, 3)) == b"2\n7\n"
    memory = MemoryLog(limit=2)
    memory.append((str(number), ("agents", "dim")) for number in range(3))
    assert b"".join(memory.pieces(0, memory.end)) == b"agents           | 1\nagents           | 2\n"


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.log"
    target.write_text("mine")

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(Failed) as told:
        save_file(target, broken())
    assert told.value.code == "disk.full"
    assert target.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out.log"]
    with pytest.raises(Failed, match="could not be written"):
        save_file(Path("/dev/null"), [b"x"])
    assert Path("/dev/null").is_char_device()
    link = tmp_path / "link"
    link.symlink_to(target)
    assert save_file(link, [b"one", b"two"]) == 6
    assert (link.is_symlink(), target.read_text()) == (True, "onetwo")
