"""The versions in lines, 50,000 of them as fast as 50: a line is made when it is on the screen, and no other.

The list owns where the cursor stands and what is visible; which tags there are, and what is known of them, is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from disinto_tui.core.catalog import Catalog, Meta, VersionRow
from disinto_tui.core.catalog_text import made_text, pull_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.widgets.frame import clip
from disinto_tui.tui.widgets.home_lines import LINES_CSS, TONES, Line, Piece, paint

MetaOf = Callable[[str], "Meta | None"]
"""What is known of a tag right now, nobody asked."""

_HEAD = _FOOT = 1
_AROUND = 6  # lines of the screen that are none of the rows: header, rules, heading, foot, keys
_MADE = _PULL = 6
_NARROWEST, _WIDEST = 7, 28
_TONE_OF = {"●": "good", "✓": "good", "✗": "bad", "▲": "warn", "newest": "strong", "pinned": "strong"}
_NO_CATALOG = Catalog("")
_NOTHING = {"…", "-", "?"}
_KINDS = {"pre-release": "pre-release", "other": "no version"}


def here_pieces(row: VersionRow) -> list[Piece]:
    """What the column HERE says, each word in its tone."""
    words = [*row.words, *([_KINDS[row.kind]] if row.kind in _KINDS else [])]
    pieces: list[Piece] = []
    for word in words:
        if pieces:
            pieces.append((", ", "dim"))
        pieces.append((word, _TONE_OF.get(word.partition(" ")[0], "dim")))
    return pieces


class VersionList(ScrollView, can_focus=True):
    """Tags of a catalog with a cursor. `meta_of` is asked for the lines on the screen.

    The first line is a heading, the last one says what is not shown. `texts_made` counts the lines that were put
    into words since the start.
    """

    DEFAULT_CSS = (
        LINES_CSS.format(name="VersionList")
        + """
    VersionList {
        width: 1fr; height: 1fr; overflow-x: hidden;
        scrollbar-size-vertical: 1; scrollbar-gutter: stable;
    }
    VersionList > .lines--hit { color: $accent; text-style: bold underline; }
    """
    )
    COMPONENT_CLASSES = {f"lines--{tone}" for tone in (*TONES, "cursor", "hit")}
    BINDINGS = bindings("rows")
    HELP = (
        "Versions, newest first. MADE is the image's age, PULL what a switch would fetch, HERE what this host and "
        "this factory's history say of it."
    )

    class Moved(Message):
        """The cursor stands on another tag; `by_hand` when the operator put it there."""

        def __init__(self, tag: str, by_hand: bool) -> None:
            super().__init__()
            self.tag, self.by_hand = tag, by_hand

    class Looked(Message):
        """Other lines are on the screen: these tags, from top to bottom."""

        def __init__(self, tags: Sequence[str]) -> None:
            super().__init__()
            self.tags = tags

    class Opened(Message):
        """A tag was double-clicked."""

    def __init__(self, meta_of: MetaOf, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.catalog: Catalog | None = None
        self.tags: Sequence[str] = ()
        self.cursor = 0
        self.texts_made = 0
        self._meta_of = meta_of
        self._words: Sequence[str] = ()
        self._foot: Callable[[int], str] = lambda below: ""
        self._why: Sequence[Line] = ()
        self._now = 0.0
        self._lines: dict[int, Line] = {}
        self._widest = _NARROWEST
        self._looked: Sequence[str] = ()
        self._width = 0
        self._styles: dict[str, Style] = {}
        self._centre = False

    # -- what the screen tells -------------------------------------------------------------------------------

    def show(
        self,
        catalog: Catalog | None,
        tags: Sequence[str],
        cursor: str,
        now: float,
        *,
        words: Sequence[str] = (),
        why: Sequence[Line] = (),
        foot: Callable[[int], str] = lambda below: "",
    ) -> None:
        """Show these tags with the cursor on `cursor`, else on the first.

        `words` are marked where a tag holds one; `why` are the lines shown when there is no tag; `foot` makes the
        last line, told how many lines are below the fold.
        """
        before = self.tag
        if catalog is not self.catalog:
            self._widest = max((len(tag) for tag in catalog.tags), default=0) if catalog is not None else 0
        self.catalog, self.tags, self._words, self._now = catalog, tags, words, now
        self._why, self._foot = why, foot
        self._lines.clear()
        try:
            self.cursor = tags.index(cursor)
        except ValueError:
            self.cursor = 0
        self.virtual_size = Size(
            1, len(tags) + _HEAD + _FOOT
        )  # lines are as wide as the list: nothing scrolls sideways
        self._centre = before != self.tag
        self._show_cursor()
        self.refresh()
        self._look(always=True)
        if before != self.tag:
            self.post_message(self.Moved(self.tag, False))

    def learnt(self, tags: Iterable[str]) -> None:
        """More is known of these tags: paint the lines that read differently now."""
        changed = set(tags)
        self._repaint(number for number in self._visible() if self.tags[number] in changed)

    def tick(self, now: float) -> None:
        """Time went by: paint the lines whose ages read differently now."""
        self._now = now
        self._repaint(self._visible())

    def say(self, why: Sequence[Line]) -> None:
        """What to say in the place of tags, when there are none."""
        if why != self._why:
            self._why = why
            if not self.tags:
                self.refresh()

    @property
    def tag(self) -> str:
        """The tag under the cursor, "" when there is none."""
        return self.tags[self.cursor] if self.cursor < len(self.tags) else ""

    # -- what is visible -------------------------------------------------------------------------------------

    @property
    def _rows(self) -> int:
        return max(0, self.size.height - _HEAD - _FOOT)

    def _visible(self) -> range:
        top = self.scroll_offset.y
        return range(min(top, len(self.tags)), min(top + self._rows, len(self.tags)))

    def _look(self, *, always: bool = False) -> None:
        """Tell which tags are on the screen; forget the lines that are not."""
        visible = self._visible()
        self._lines = {number: line for number, line in self._lines.items() if number in visible}
        tags = self.tags[visible.start : visible.stop]
        if self._rows and (always or tags != self._looked):
            self._looked = tags
            self.post_message(self.Looked(tags))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Other lines are on the screen."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._look()

    def on_resize(self, event: events.Resize) -> None:
        """Other lines fit."""
        if self.scrollable_content_region.width != self._width:
            self._lines.clear()
            self.refresh()
        self._show_cursor()
        self._look()

    def _repaint(self, numbers: Iterable[int]) -> None:
        width = self.scrollable_content_region.width
        for number in numbers:
            before = self._lines.get(number)
            if before is not None and self._line(number, width, fresh=True) != before:
                self._refresh_row(number)

    def _refresh_row(self, number: int) -> None:
        y = number - self.scroll_offset.y
        if 0 <= y < self._rows:
            self.refresh(Region(0, y + _HEAD, self.size.width, 1))

    # -- lines -----------------------------------------------------------------------------------------------

    def _tag_width(self, width: int) -> int:
        room = max(_NARROWEST + 4, width - _MADE - _PULL - 28)  # so much stays for HERE and the gaps
        return max(_NARROWEST, min(self._widest, _WIDEST, room))

    def _line(self, number: int, width: int, *, fresh: bool = False) -> Line:
        line = self._lines.get(number)
        if line is None or fresh:
            line = self._lines[number] = self._make(self.tags[number], width)
        return line

    def _make(self, tag: str, width: int) -> Line:
        self.texts_made += 1
        row = (self.catalog or _NO_CATALOG).row(tag, self._meta_of(tag))
        room = self._tag_width(width)
        shown = clip(tag, room)
        out_of_reach = row.meta is not None and row.meta.fits is False
        tone = "dim" if out_of_reach else "strong" if row.marks.running else "plain"
        gap = " " * (room - cell_len(shown) + 2)
        made, pull = made_text(row.meta, self._now), pull_text(row.meta)
        return (
            (" ", "plain"),
            *marked(shown, self._words, tone),
            (gap, "plain"),
            (f"{made:>{_MADE}}  {pull:>{_PULL}}   ", "dim" if {made, pull} <= _NOTHING else tone),
            *here_pieces(row),
        )

    def _heading(self, width: int) -> Line:
        room = self._tag_width(width)
        return ((f" {'VERSION':<{room}}  {'MADE':>{_MADE}}  {'PULL':>{_PULL}}   HERE", "dim"),)

    def _foot_text(self) -> str:
        return self._foot(len(self.tags) - self._visible().stop)

    # -- painting --------------------------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        """Some lines; what all of them need is looked up once."""
        self._width = self.scrollable_content_region.width
        tones = (*TONES, "hit")
        self._styles = {tone: self.get_component_rich_style(f"lines--{tone}") for tone in tones}
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width, styles = self._width, self._styles
        if not self.tags:
            return paint(self._why[y] if y < len(self._why) else (), width, styles)
        if y < _HEAD:
            return paint(self._heading(width), width, styles)
        number = y - _HEAD + self.scroll_offset.y
        # A short list is followed by an empty line and the foot; a long one has the foot at the bottom edge.
        foot = min(self.size.height - _FOOT, len(self.tags) + _HEAD + 1)
        if y == foot:
            return paint(((f" {self._foot_text()}", "dim"),), width, styles)
        if number >= len(self.tags) or y > foot:
            return Strip.blank(width, styles["plain"])
        line = self._line(number, width)
        if number != self.cursor:
            return paint(line, width, styles)
        # A mark beside the colour, for terminals without one; grey while the keys go elsewhere.
        mark = ("▸", "good" if self.has_focus else "dim")
        over = self.get_component_rich_style("lines--cursor", partial=True)
        return paint((mark, *line[1:]), width, styles, over)

    def on_focus(self) -> None:
        """The cursor looks different where the keys go."""
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        """The cursor looks different where the keys go."""
        self._refresh_row(self.cursor)

    # -- moving ----------------------------------------------------------------------------------------------

    def move_to(self, number: int) -> None:
        """Put the cursor on a line, as the operator wants it."""
        number = max(0, min(number, len(self.tags) - 1))
        if number != self.cursor and self.tags:
            self._refresh_row(self.cursor)
            self.cursor = number
            self._refresh_row(number)
            self.post_message(self.Moved(self.tag, True))
        self._show_cursor()

    def _show_cursor(self) -> None:
        # Before the first frame nobody knows how high it is; a good guess saves painting it twice.
        rows = self._rows or (self.app.size.height - _AROUND if self._centre else 0)
        if rows <= 0:
            return
        top = round(self.scroll_y)
        if not top <= self.cursor < top + rows:
            if self._centre:
                top = self.cursor - rows // 2
            else:
                top = self.cursor if self.cursor < top else self.cursor - rows + 1
            self.scroll_to(y=max(0, top), animate=False, force=True)
        self._centre = False

    def action_up(self) -> None:
        """The version above."""
        self.move_to(self.cursor - 1)

    def action_down(self) -> None:
        """The version below."""
        self.move_to(self.cursor + 1)

    def action_page_up(self) -> None:
        """A page up."""
        self.move_to(self.cursor - max(1, self._rows - 1))

    def action_page_down(self) -> None:
        """A page down."""
        self.move_to(self.cursor + max(1, self._rows - 1))

    def action_first(self) -> None:
        """The first one."""
        self.move_to(0)

    def action_last(self) -> None:
        """The last one."""
        self.move_to(len(self.tags) - 1)

    def on_click(self, event: events.Click) -> None:
        """A click selects, a second one opens."""
        y = event.y - _HEAD
        number = y + self.scroll_offset.y
        if not (0 <= y < self._rows and number < len(self.tags)):
            return
        opens = number == self.cursor and event.chain == 2
        self.move_to(number)
        if opens:
            self.post_message(self.Opened())


def marked(text: str, words: Sequence[str], tone: str) -> list[Piece]:
    """`text` in pieces, with what was filtered for in a tone of its own."""
    low = text.lower()
    spans = sorted((low.find(word), low.find(word) + len(word)) for word in words if word in low)
    pieces: list[Piece] = []
    at = 0
    for start, stop in spans:
        if start > at:
            pieces.append((text[at:start], tone))
        if stop > at:
            pieces.append((text[max(start, at) : stop], "hit"))
            at = stop
    if at < len(text):
        pieces.append((text[at:], tone))
    return pieces
