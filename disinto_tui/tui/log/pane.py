"""A log with its title line above and, while somebody searches, a line to type in below."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from textual import events, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from disinto_tui.core.errors import DisintoError
from disinto_tui.tui.actions import ACTIONS, bindings
from disinto_tui.tui.log.lines import LogLines
from disinto_tui.tui.log.view import LogView
from disinto_tui.tui.widgets.frame import TopLine

_SEARCH = "log.search"


class SearchLine(Input):
    """What to search for; the log moves while it is typed. Enter keeps the search, Esc forgets it."""

    DEFAULT_CSS = """
    SearchLine { height: 1; border: none; padding: 0 1; background: $lift; display: none; }
    SearchLine:focus { border: none; }
    SearchLine.-open { display: block; }
    """
    BINDINGS = bindings("search")
    HELP = "Type what to search for in the whole log."

    def __init__(self, pane: LogPane) -> None:
        # Selected by hand: by itself it would happen a moment after the focus, and over what was typed by then.
        super().__init__(placeholder="search", select_on_focus=False)
        self._pane = pane
        self.cursor_blink = False

    def take(self, text: str) -> None:
        """Type a text: over what is selected, else at the cursor."""
        self.replace(text, *self.selection)

    def action_next_match(self) -> None:
        """The next match."""
        self._pane.view.action_next()

    def action_previous_match(self) -> None:
        """The match before."""
        self._pane.view.action_previous()

    def action_give_up(self) -> None:
        """Forget the search."""
        self.value = ""
        self._pane.close_search()


class LogPane(Vertical):
    """The log, its title, its search line. `name` is what the title says first."""

    DEFAULT_CSS = """
    LogPane { width: 1fr; height: 1fr; }
    LogPane > TopLine { dock: none; color: $dim; }
    LogPane > TopLine > .topline--title { text-style: none; color: $dim; }
    """

    class Saved(Message):
        """The log is in a file, or could not be put there."""

        def __init__(self, path: Path, lines: int, error: DisintoError | None) -> None:
            super().__init__()
            self.path, self.lines, self.error = path, lines, error

    def __init__(
        self, *, title: str = "", empty: str = "", save_as: str = "disinto.log", id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.view = LogView(empty=empty, id="log")
        self.title_text = title
        self.save_as = save_as
        self._line = TopLine(id="log-title")
        self._search: SearchLine | None = None
        self._ahead: str | None = None
        self._passed: deque[events.Key] = deque(maxlen=64)

    def compose(self) -> ComposeResult:
        """Title and log; the search line is made when it is first wanted."""
        yield self._line
        yield self.view

    def on_mount(self) -> None:
        """Say what there is."""
        self.retitle()

    def show(self, lines: LogLines, title: str) -> None:
        """Show another log."""
        self.title_text = title
        self.view.show(lines)
        self.retitle()

    def grew(self) -> None:
        """There are more lines."""
        self.view.grew()
        self.retitle()

    def retitle(self) -> None:
        """The title: what it is, how long, following or not, and how the search stands."""
        view = self.view
        parts = [self.title_text, counted(view.lines.end - view.lines.first)]
        parts.append("following" if view.following else "not following (f)")
        if view.wrap:
            parts.append("wrapped")
        found = ""
        search = view.search
        if search is not None:
            place = search.place(view.mark) if view.mark is not None else 0
            share = f"{place}/{search.count}" if place else str(search.count)
            found = f"/{search.query}  {share if search.count or search.complete else '…'}"
            if search.complete and not search.count:
                found = f"/{search.query}  nothing found"
        # The search comes first: on a narrow terminal the end of the line is what is cut.
        self._line.say(left=" · ".join(part for part in (found, *parts) if part))

    # -- what the view asks for ------------------------------------------------------------------------------

    def on_log_view_changed(self, message: LogView.Changed) -> None:
        """The title says so."""
        message.stop()
        self.retitle()

    def on_key(self, event: events.Key) -> None:
        """What is typed right behind the search's key belongs to the search, though its line has no focus yet."""
        self.typed(event)

    def typed(self, event: events.Key) -> None:
        """Take a key on its way up that belongs to the search line.

        Keys come in bursts over a slow connection, and among them may be some that mean something to the log. A
        screen hands over what its other widgets let pass: the search may begin from any of them.
        """
        if any(event is passed for passed in self._passed):
            return  # it was here already, on its way up from the log; others may have come since
        line = self._search
        typing = self._ahead is not None or (line is not None and self.screen.focused is line)
        if typing and event.is_printable and event.character is not None:
            event.stop()
            event.prevent_default()
            if self._ahead is not None:
                self._ahead += event.character
            elif line is not None:
                line.take(event.character)
            return
        self._passed.append(event)
        if not self._may_open_search(event):
            return
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.binding.id == _SEARCH:
            self._ahead = ""

    def _may_open_search(self, event: events.Key) -> bool:
        """Whether the key is one of the search's at all: what is bound where is dear to find out, on every key."""
        keymap = getattr(self.app, "keymap", None)
        keys = keymap.keys.get(_SEARCH) if keymap is not None else None
        return not {event.key, event.character}.isdisjoint(
            key.strip() for key in (keys or ACTIONS[_SEARCH].keys).split(",")
        )

    async def on_log_view_search(self, message: LogView.Search) -> None:
        """Open the search line, with what was typed meanwhile; the last search is there to be typed over."""
        message.stop()
        if self._search is None:
            self._search = SearchLine(self)
            await self.mount(self._search)
        line, ahead = self._search, self._ahead
        self._ahead = None
        line.add_class("-open")
        self.screen.set_focus(line)
        line.select_all()
        if ahead:
            line.take(ahead)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while typing."""
        event.stop()
        self.view.search_for(event.value)
        self.retitle()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the search, for n and N."""
        event.stop()
        self.close_search()

    def close_search(self) -> None:
        """Back to the log; the search itself stays as it is."""
        if self._search is not None:
            self._search.remove_class("-open")
        self.view.focus()

    def on_log_view_save(self, message: LogView.Save) -> None:
        """Ask where to, and write the lines as they are shown now."""
        message.stop()
        from disinto_tui.tui.screens.dialogs import AskLine

        asked = AskLine("Save the log as", str(Path.cwd() / self.save_as), _check_path)
        self.app.push_screen(asked, self._save)

    def _save(self, where: str | None) -> None:
        if where:
            lines = self.view.lines
            count = lines.end - lines.first
            self._write(Path(where).expanduser(), lines.pieces(lines.first, lines.end), count)

    @work(group="save", exit_on_error=False)
    async def _write(self, path: Path, pieces: Iterator[bytes], count: int) -> None:
        from disinto_tui.adapters.instance import save_file

        error: DisintoError | None = None
        try:
            await asyncio.to_thread(save_file, path, pieces)
        except DisintoError as failure:
            error = failure
        self.post_message(self.Saved(path, count, error))

    def on_log_pane_saved(self, message: LogPane.Saved) -> None:
        """Say so."""
        message.stop()
        error, path = message.error, message.path
        if error is not None:
            self.app.notify(f"{error.what} {error.why}", title=str(path), severity="error", markup=False)
        else:
            self.app.notify(f"Saved {counted(message.lines)} to {path}.", timeout=4, markup=False)


def counted(lines: int) -> str:
    """`1 line`, `200 000 lines`."""
    return f"{lines:,}".replace(",", " ") + (" line" if lines == 1 else " lines")


def _check_path(text: str) -> str:
    """A sentence when a path will not do; one that ends in `?` is overruled by Enter again."""
    path = Path(text).expanduser()
    if not text.strip() or path.is_dir():
        return "Name a file."
    if path.exists() and not path.is_file():
        return f"{path.name} is no ordinary file. Name another."
    if not path.parent.is_dir():
        return f"There is no directory {path.parent}."
    return f"{path.name} is there already. Replace it (↵ again)?" if path.exists() else ""
