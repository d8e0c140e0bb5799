"""A list of painted lines with a cursor over items: the ground of the service table and the home list.

One widget paints all its lines itself (the Line API): a table of stock widgets would cost first paint a widget
for every cell. It repaints only when a line really differs, so that nothing is sent while nothing changes.
"""

from __future__ import annotations

import textwrap

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from disinto_tui.core.text import neutralise
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.widgets.frame import clip

Piece = tuple[str, str]
"""Text and its tone: one of TONES."""
Line = tuple[Piece, ...]
TONES = ("plain", "dim", "strong", "good", "warn", "bad")

LINES_CSS = """
{name} {{ background: $background; color: $foreground; }}
{name} > .lines--plain {{ color: $foreground; }}
{name} > .lines--dim {{ color: $dim; }}
{name} > .lines--strong {{ color: $foreground; text-style: bold; }}
{name} > .lines--good {{ color: $good; }}
{name} > .lines--warn {{ color: $warn; }}
{name} > .lines--bad {{ color: $bad; }}
{name} > .lines--cursor {{ background: $lift; }}
"""


def paint(line: Line, width: int, styles: dict[str, Style], over: Style | None = None) -> Strip:
    """One line as a strip of exactly `width` cells; `over` lies over every piece (the cursor)."""
    segments: list[Segment] = []
    room = width
    for text, tone in line:
        shown = clip(neutralise(text).replace("\n", " ").replace("\t", " "), room)
        if shown:
            style = styles[tone]
            segments.append(Segment(shown, style + over if over is not None else style))
            room -= cell_len(shown)
    base = styles["plain"] if over is None else styles["plain"] + over
    segments.append(Segment(" " * room, base))
    return Strip(segments, width)


def wrapped(text: str, width: int, indent: str, tone: str, *, lines: int = 99) -> list[Line]:
    """A text as lines of at most `width` cells behind an indent."""
    room = max(10, width - cell_len(indent) - 1)
    found = textwrap.wrap(text, room) or [""]
    if len(found) > lines:
        found = [*found[: lines - 1], textwrap.shorten(" ".join(found[lines - 1 :]), room, placeholder="…")]
    return [((indent, "plain"), (part, tone)) for part in found]


class LineList(ScrollView, can_focus=True):
    """Lines, some of them belonging to items that the cursor walks over.

    Subclasses give `build(width)`: the lines, and for each the number of its item (-1: none). The first
    `FIXED` lines are a heading that does not scroll. Enter, or a click on the selected item, posts `Chosen`.
    """

    DEFAULT_CSS = (
        LINES_CSS.format(name="LineList") + "LineList { scrollbar-size-vertical: 1; overflow-x: hidden; }"
    )
    COMPONENT_CLASSES = {f"lines--{tone}" for tone in (*TONES, "cursor")}
    BINDINGS = bindings("list")
    FIXED = 0

    class Chosen(Message):
        """Enter on an item."""

        def __init__(self, widget: LineList, index: int) -> None:
            super().__init__()
            self.widget, self.index = widget, index

        @property
        def control(self) -> LineList:
            """The list."""
            return self.widget

    class Edge(Message):
        """The cursor was moved past an end; `step` is -1 or 1."""

        def __init__(self, widget: LineList, step: int) -> None:
            super().__init__()
            self.widget, self.step = widget, step

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self._lines: list[Line] = []
        self._owners: list[int] = []
        self._count = 0

    # -- content ---------------------------------------------------------------------------------------------

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width, and the item each belongs to."""
        raise NotImplementedError

    @property
    def items(self) -> int:
        """How many items there are."""
        return self._count

    def lines_needed(self, width: int) -> int:
        """How many lines there would be at a width."""
        return len(self.build(width)[0])

    def texts(self) -> list[str]:
        """The lines as plain text, as they were last built."""
        return ["".join(text for text, _ in line) for line in self._lines]

    def rebuild(self) -> None:
        """Make the lines again; repaint when one differs."""
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        lines, owners = self.build(width)
        count = max(owners, default=-1) + 1
        if lines == self._lines and owners == self._owners:
            return
        self._lines, self._owners, self._count = lines, owners, count
        self.cursor = max(0, min(self.cursor, count - 1))
        if self.virtual_size.height != len(lines) or self.virtual_size.width != width:
            self.virtual_size = Size(width, len(lines))
        self.refresh()

    def on_resize(self) -> None:
        """Another width gives other lines."""
        self.rebuild()
        self._show_cursor()

    # -- painting --------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One line of the visible part."""
        width = self.size.width
        styles = {tone: self.get_component_rich_style(f"lines--{tone}") for tone in TONES}
        number = y if y < self.FIXED else y + self.scroll_offset.y
        if number >= len(self._lines):
            return Strip.blank(width, styles["plain"])
        line = self._lines[number]
        if not self.has_focus or self._owners[number] != self.cursor:
            return paint(line, width, styles)
        cursor = self.get_component_rich_style("lines--cursor", partial=True)
        if number == self._owners.index(self.cursor) and line and line[0][0].startswith(" "):
            # A mark beside the colour, for terminals without one.
            line = (("▸", "good"), (line[0][0][1:], line[0][1]), *line[1:])
        return paint(line, width, styles, cursor)

    def on_focus(self) -> None:
        """The cursor shows only where the keys go."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor shows only where the keys go."""
        self.refresh()

    # -- moving ----------------------------------------------------------------------------------------------

    def move_to(self, index: int) -> None:
        """Put the cursor on an item and bring it into view."""
        index = max(0, min(index, self._count - 1))
        if index != self.cursor:
            self.cursor = index
            self.refresh()
            self.refresh_bindings()
        self._show_cursor()

    def _show_cursor(self) -> None:
        if self.cursor not in self._owners:
            return
        first = self._owners.index(self.cursor)
        last = len(self._owners) - 1 - self._owners[::-1].index(self.cursor)
        top, height = self.scroll_offset.y, self.size.height
        if self.cursor == 0:
            self.scroll_to(y=0, animate=False)
        elif first < top + self.FIXED:
            self.scroll_to(y=first - self.FIXED, animate=False)
        elif last > top + height - 1:
            self.scroll_to(y=last - height + 1, animate=False)

    def _step(self, step: int) -> None:
        wanted = self.cursor + step
        if 0 <= wanted < self._count:
            self.move_to(wanted)
        else:
            self.post_message(self.Edge(self, step))

    def action_up(self) -> None:
        """The item above."""
        self._step(-1)

    def action_down(self) -> None:
        """The item below."""
        self._step(1)

    def action_first(self) -> None:
        """The first item."""
        self.move_to(0)

    def action_last(self) -> None:
        """The last item."""
        self.move_to(self._count - 1)

    def action_open(self) -> None:
        """Choose the selected item."""
        if self._count:
            self.post_message(self.Chosen(self, self.cursor))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`open` needs something to open."""
        return self._count > 0 if action == "open" else True

    def on_click(self, event: events.Click) -> None:
        """A click selects; on the selected item it chooses."""
        number = event.y if event.y < self.FIXED else event.y + self.scroll_offset.y
        owner = self._owners[number] if 0 <= number < len(self._owners) else -1
        if owner < 0:
            return
        if owner == self.cursor and event.chain > 1:
            self.action_open()
        self.move_to(owner)
