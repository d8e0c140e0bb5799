"""The zone under the header: what runs, is it healthy, what is the newest, does the forge answer."""

from __future__ import annotations

from rich.cells import cell_len
from textual.strip import Strip
from textual.widget import Widget

from disinto_tui.core.view import InstanceView
from disinto_tui.tui.widgets.home_lines import LINES_CSS, TONES, Line, paint
from disinto_tui.tui.widgets.home_text import glance


class Glance(Widget):
    """Two lines in two columns; the right one is as wide as its longer line, the left one gives way."""

    DEFAULT_CSS = LINES_CSS.format(name="Glance") + "Glance { height: 2; }"
    COMPONENT_CLASSES = {f"lines--{tone}" for tone in (*TONES, "cursor")}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = glance(None, False, 0.0)

    def show(self, view: InstanceView | None, remote_asked: bool, now: float) -> None:
        """Show a view; repaints only when a word differs."""
        columns = glance(view, remote_asked, now)
        if columns != self._columns:
            self._columns = columns
            self.refresh()

    def texts(self) -> list[str]:
        """The two lines as plain text."""
        left, right = self._columns
        return ["".join(text for text, _ in (*a, (" | ", ""), *b)) for a, b in zip(left, right, strict=True)]

    def render_line(self, y: int) -> Strip:
        """One of the lines."""
        width = self.size.width
        styles = {tone: self.get_component_rich_style(f"lines--{tone}") for tone in TONES}
        left, right = self._columns
        if y >= len(left):
            return Strip.blank(width, styles["plain"])
        wide = max(_width(line) for line in right)
        # On a narrow terminal the longer right line may be cut, but never takes more than half.
        wide = min(wide, width // 2)
        gap = 2 if wide else 0
        return Strip.join(
            [
                paint(left[y], width - wide - gap - 1, styles),
                paint((), gap, styles),
                paint(right[y], wide, styles),
                paint((), 1, styles),
            ]
        )


def _width(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)
