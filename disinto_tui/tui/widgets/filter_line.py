"""The line to type a filter in: the list follows while it is typed."""

from __future__ import annotations

from textual.message import Message
from textual.widgets import Input

from disinto_tui.tui.actions import bindings


class FilterLine(Input):
    """What to filter for. The list stays in reach: ↑ and ↓ move in it. Enter keeps the filter, Esc clears it."""

    DEFAULT_CSS = """
    FilterLine { height: 1; border: none; padding: 0 1; background: $lift; }
    FilterLine:focus { border: none; }
    """
    BINDINGS = bindings("filter")
    HELP = "Type what the versions should hold: every word counts. :local, :good and the like name what is known."

    class Left(Message):
        """The operator is done with it; `clear` when the filter is to go."""

        def __init__(self, clear: bool) -> None:
            super().__init__()
            self.clear = clear

    class Step(Message):
        """The operator wants the next line (1) or the one before (-1)."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            placeholder="filter: words, and :local :good :reverted :offline", select_on_focus=False, id=id
        )
        self.cursor_blink = False

    def action_keep(self) -> None:
        """Back to the list."""
        self.post_message(self.Left(False))

    def action_clear(self) -> None:
        """Back to the list, whole."""
        self.post_message(self.Left(True))

    def action_up(self) -> None:
        """The version above."""
        self.post_message(self.Step(-1))

    def action_down(self) -> None:
        """The version below."""
        self.post_message(self.Step(1))
