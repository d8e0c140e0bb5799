"""A log of any length: follow, search, wrap, mark, copy. One widget that paints the rows on the screen and no other.

Follow is a state of its own: scrolling up ends it, so that nothing moves under anybody's eyes, and being at the
newest line again resumes it. Nothing in a line is markup, and nothing in it drives the terminal.
"""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from disinto_tui.tui.actions import bindings
from disinto_tui.tui.log.lines import LogLines, MemoryLog
from disinto_tui.tui.log.paint import EDGE, TONES, TROUBLE, Frame
from disinto_tui.tui.log.rows import Place, Row, Rows
from disinto_tui.tui.log.search import LogSearch

_COPY_LINES = 20_000
_SLICE_LINES = 500
_STEP = 8


class LogView(Widget, can_focus=True):
    """Shows a `LogLines`. `grew` says that there is more of it; `show` shows another one."""

    DEFAULT_CSS = """
    LogView { height: 1fr; background: $background; color: $foreground; }
    LogView > .log--plain { color: $foreground; }
    LogView > .log--dim { color: $dim; }
    LogView > .log--good { color: $good; }
    LogView > .log--warn { color: $warn; }
    LogView > .log--bad { color: $bad; }
    LogView > .log--hit { background: $mark-background; color: $mark-foreground; }
    LogView > .log--mark { background: $lift; }
    LogView > .log--bar { color: $rule; }
    LogView > .log--thumb { color: $dim; }
    LogView:focus > .log--thumb { color: $accent; }
    """
    COMPONENT_CLASSES = {
        *(f"log--{tone}" for tone in TONES),
        "log--hit",
        "log--mark",
        "log--bar",
        "log--thumb",
    }
    BINDINGS = bindings("log")
    HELP = "The log. It follows what is printed until you scroll up."
    ALLOW_SELECT = True

    class Changed(Message):
        """Following, wrapping, or the search changed: whoever shows a status line looks again."""

    class Search(Message):
        """The operator wants to type what to search for."""

    class Save(Message):
        """The operator wants the log in a file."""

    class AllSteps(Message):
        """The operator wants every step's lines again."""

    def __init__(self, lines: LogLines | None = None, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: LogLines = lines or MemoryLog()
        self.following = True
        self.wrap = False
        self.mark: int | None = None
        self.search: LogSearch | None = None
        self.empty = empty
        self.partial = False
        """Whether only a part of a longer log is shown, so that "all steps" means something."""
        self.trouble: tuple[int, int] | None = None
        """The lines where the first error is looked for; None is everywhere."""
        self._place: Place = (0, 0)
        self._left = 0
        self._rows: list[Row] = []
        self._seek: int | None = None

    # -- what screens call ---------------------------------------------------------------------------------------

    def show(self, lines: LogLines) -> None:
        """Show another log, from its newest line."""
        self.lines, self.mark, self._left, self._place = lines, None, 0, (lines.first, 0)
        self.following, self.trouble = True, None
        if self.search is not None:
            self.search_for(self.search.query)
        self.grew()

    def grew(self) -> None:
        """The log has more lines (or fewer old ones): paint what is different."""
        if self._place[0] < self.lines.first:
            self._place = (self.lines.first, 0)
        if self.mark is not None and self.mark >= self.lines.end:
            self.mark = None  # the last lines of a step's part were the next step's
        if self.search is not None and self.search.ahead:
            self.search_for(self.search.query)
        elif self.search is not None and not self.search.complete:
            self.call_later(self._search_more)
        self._lay_out()

    def go_to(self, number: int) -> None:
        """Mark a line and bring it on the screen, a third from the top. Ends following."""
        self.mark = number
        self.following = False
        shown = {row.number for row in self._rows[: self.size.height]}
        if number not in shown or number in (self._rows[-1].number, self._place[0]):
            self._place = self._tool().moved((number, 0), -(self.size.height // 3))
        text = self.lines.text(number)
        if not self.wrap and self.search is not None:
            hit = self.search.pattern.search(text)
            if hit is not None and not self._left <= hit.start() < self._left + self._width - 4:
                self._left = max(0, hit.start() - self._width // 3)
        self._lay_out()
        self.post_message(self.Changed())

    def seek_trouble(self, low: int, high: int, *, otherwise: int | None = None) -> None:
        """Go to the first line in [low, high) that looks like an error, else to line `otherwise`.

        A slice at a time: in a long log that takes a while, and keys come first.
        """
        stop = min(low + _SLICE_LINES, high)
        found = self.lines.find(TROUBLE, max(low, self.lines.first), stop)
        if found:
            self.go_to(found[0])
        elif stop < high:
            self.call_later(self.seek_trouble, stop, high, otherwise=otherwise)
        elif otherwise is not None:
            self.go_to(otherwise)
        else:
            self.app.notify("No line here looks like an error.", timeout=3, markup=False)

    def search_for(self, query: str) -> None:
        """Search while somebody types: goes to the nearest match at or below where the view stands."""
        anchor = self._place[0] if self.mark is None else self.mark
        self.search = LogSearch(self.lines, query) if query else None
        self._seek = anchor if query else None
        if query:
            self._search_more()
        self.refresh()
        self.refresh_bindings()
        self.post_message(self.Changed())

    # -- rows ----------------------------------------------------------------------------------------------------

    @property
    def _prefix_width(self) -> int:
        if self.lines.end <= self.lines.first:
            return 0
        prefix = self.lines.prefix(self.lines.end - 1)
        return 0 if prefix is None else 19

    @property
    def _width(self) -> int:
        return max(1, self.size.width - EDGE - self._prefix_width)

    def _tool(self) -> Rows:
        return Rows(self.lines, self._width, self.wrap)

    def _lay_out(self) -> None:
        height = self.size.height
        if height <= 0:
            return
        rows = self._tool()
        last = rows.last(height)
        if self.following or self._place > last:
            self._place = last
        before, self._rows = self._rows, rows.visible(self._place, height)
        if before != self._rows or self.mark is not None or self.search is not None:
            self.refresh()
        else:
            self.refresh_column()

    def refresh_column(self) -> None:
        """Repaint the scroll bar's column alone."""
        self.refresh(Region(self.size.width - 1, 0, 1, self.size.height))

    def _move(self, by: int) -> None:
        before = self._place
        rows = self._tool()
        last = rows.last(self.size.height)
        self._place = min(rows.moved(self._place, by), last)
        following = by > 0 and self._place == last
        if (before, self.following) != (self._place, following):
            self.following = following
            self._lay_out()
            self.post_message(self.Changed())

    def on_resize(self, event: events.Resize) -> None:
        """Other rows fit; the marked line stays among them."""
        seen = self.mark is not None and any(row.number == self.mark for row in self._rows)
        self._rows = []
        self._lay_out()
        if seen and self.mark is not None and all(row.number != self.mark for row in self._rows):
            self.go_to(self.mark)

    def _search_more(self) -> None:
        search = self.search
        if search is None:
            return
        more = search.step()
        if self._seek is not None and search.count:
            hit = search.after(self._seek - 1)
            # A match above is only the nearest one when everything below was looked at.
            if hit is not None and (hit >= self._seek or not more):
                self._seek = None
                self.go_to(hit)
        if more:
            self.call_later(self._search_more)
        else:
            self._seek = None
            self.refresh()
        self.post_message(self.Changed())

    # -- painting ------------------------------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows of a region of this widget.

        Its rows are the whole of it, without border or padding, so they need not go through what Textual draws those
        with, which takes as long as the rows themselves.
        """
        styles, frame = self.styles, self._frame()
        if self.opacity != 1.0 or styles.text_opacity != 1.0 or styles.gutter or styles.outline:
            return super().render_lines(crop)
        strips = [frame.row(y, self.empty) for y in crop.line_range]
        background = self.background_colors[1]
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        if crop.column_span != (0, frame.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        return self._frame().row(y, self.empty)

    def _frame(self) -> Frame:
        size, selection = self.size, self.text_selection
        chosen = self.screen.get_component_rich_style("screen--selection") if selection is not None else None
        return Frame(
            self.lines,
            self._rows,
            width=size.width,
            height=size.height,
            prefix_width=self._prefix_width,
            style=self.get_component_rich_style,
            over=self.get_component_rich_style("log--mark", partial=True),
            mark=self.mark,
            found=self.search.pattern if self.search is not None else None,
            chosen=None if selection is None or chosen is None else (selection, chosen),
            left=None if self.wrap else self._left,
            place=self._place,
            following=self.following,
        )

    # -- selecting and copying -----------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text the mouse selected, whole lines of the log in between."""
        if not self._rows:
            return None
        start, end = selection.start, selection.end
        low = max(self.lines.first, start.y if start is not None else self._rows[0].number)
        high = min(self.lines.end - 1, end.y if end is not None else self._rows[-1].number, low + _COPY_LINES)
        lines = [self.lines.text(number) for number in range(low, high + 1)]
        if not lines:
            return None
        if end is not None and high == end.y:
            lines[-1] = lines[-1][: end.x]
        if start is not None and low == start.y:
            lines[0] = lines[0][start.x :]
        return "\n".join(lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """The selected part is painted."""
        self.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Matches need a search, and all of it a part."""
        if action in ("next", "previous"):
            return self.search is not None
        return self.partial if action == "all_steps" else True

    # -- actions -------------------------------------------------------------------------------------------------

    def action_follow(self) -> None:
        """To the newest line, and stay there."""
        self.following, self.mark = True, None
        self._lay_out()
        self.refresh()
        self.post_message(self.Changed())

    def action_search(self) -> None:
        """Ask what for."""
        self.post_message(self.Search())

    def action_next(self) -> None:
        """To the next match."""
        self._to_hit(lambda search, here: search.after(here), self._place[0] - 1)

    def action_previous(self) -> None:
        """To the match before."""
        self._to_hit(lambda search, here: search.before(here), self._place[0])

    def _to_hit(self, pick: object, otherwise: int) -> None:
        if self.search is None:
            self.post_message(self.Search())
            return
        here = otherwise if self.mark is None else self.mark
        hit = pick(self.search, here)  # type: ignore[operator]
        if hit is not None:
            self.go_to(hit)

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.wrap = not self.wrap
        self._left = 0
        self._place = (self._place[0], 0)
        self._rows = []
        self._lay_out()
        self.post_message(self.Changed())

    def action_first_error(self) -> None:
        """To the first line that looks like an error."""
        low, high = self.trouble or (self.lines.first, self.lines.end)
        self.seek_trouble(low, high)

    def action_save(self) -> None:
        """Ask where to."""
        self.post_message(self.Save())

    def action_all_steps(self) -> None:
        """Every step's lines."""
        self.post_message(self.AllSteps())

    def action_copy(self) -> None:
        """Copy the selection, else the marked line, else what is on the screen."""
        text = self.screen.get_selected_text()
        what = "the selection"
        if not text and self.mark is not None:
            text, what = self.lines.text(self.mark), "the marked line"
        if not text:
            numbers = dict.fromkeys(row.number for row in self._rows)
            text, what = "\n".join(self.lines.text(number) for number in numbers), f"{len(numbers)} lines"
        self.app.copy_to_clipboard(text)
        self.app.notify(f"Copied {what}.", timeout=2, markup=False)

    def action_up(self) -> None:
        """A row up."""
        self._move(-1)

    def action_down(self) -> None:
        """A row down."""
        self._move(1)

    def action_page_up(self) -> None:
        """A page up."""
        self._move(-max(1, self.size.height - 1))

    def action_page_down(self) -> None:
        """A page down."""
        self._move(max(1, self.size.height - 1))

    def action_top(self) -> None:
        """To the first line."""
        self.following = False
        self._place = (self.lines.first, 0)
        self._lay_out()
        self.post_message(self.Changed())

    def action_left(self) -> None:
        """Scroll left."""
        self._sideways(-_STEP)

    def action_right(self) -> None:
        """Scroll right."""
        self._sideways(_STEP)

    def _sideways(self, by: int) -> None:
        widest = max((cell_len(self.lines.text(row.number)) for row in self._rows), default=0)
        left = max(0, min(self._left + by, max(0, widest - self._width // 2)))
        if not self.wrap and left != self._left:
            self._left = left
            self.refresh()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows up."""
        event.stop()
        self._move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows down."""
        event.stop()
        self._move(3)

    def on_click(self, event: events.Click) -> None:
        """On the bar: go there. On a line: mark it."""
        if event.x >= self.size.width - 1:
            total = self.lines.end - self.lines.first
            share = event.y / max(1, self.size.height - 1)
            target = self.lines.first + round(share * max(0, total - self.size.height))
            self._move(target - self._place[0])
        elif event.y < len(self._rows) and self.text_selection is None:
            self.mark = self._rows[event.y].number
            self.refresh()
