"""The config file as text, with its problems beside the lines and all of them in a list below."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip
from textual.widgets import TextArea

from disinto_tui.core.text import neutralise
from disinto_tui.tui.widgets.frame import clip
from disinto_tui.tui.widgets.home_lines import Line, LineList

if TYPE_CHECKING:
    from disinto_tui.core.project import Problem

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BESIDE = 14
"""Cells that must be free beside a line for a message to stand there."""


class ConfigEditor(TextArea):
    """A text area for TOML. `mark` puts a sign in the margin of each line with a problem, and the message
    behind the line where there is room."""

    DEFAULT_CSS = """
    ConfigEditor { border: none; padding: 0; background: $background; height: 1fr;
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    ConfigEditor:focus { border: none; }
    ConfigEditor > .text-area--gutter { color: $dim; }
    ConfigEditor > .text-area--cursor-gutter { color: $foreground; background: $lift; text-style: bold; }
    ConfigEditor > .text-area--cursor-line { background: $lift; }
    ConfigEditor > .config--comment { color: $dim; }
    ConfigEditor > .config--table { text-style: bold; }
    ConfigEditor > .config--error { color: $bad; }
    ConfigEditor > .config--warning { color: $warn; }
    """
    COMPONENT_CLASSES = {"config--comment", "config--table", "config--error", "config--warning"}
    HELP = (
        "The config file. Problems stand beside their lines while you type, and all of them below. "
        "Tab leaves the text; ctrl+z takes back; ctrl+s saves a copy; another editor may save the same file: "
        "it is read again by itself."
    )

    def __init__(self, text: str = "", *, id: str | None = None) -> None:
        super().__init__(
            text, id=id, soft_wrap=False, show_line_numbers=True, tab_behavior="focus", compact=True
        )
        self.cursor_blink = False
        self._marks: dict[int, Problem] = {}

    def mark(self, problems: Sequence[Problem]) -> None:
        """Show these problems; the first error of a line, else its first warning, stands beside it."""
        marks: dict[int, Problem] = {}
        for problem in problems:
            known = marks.get(problem.line)
            if known is None or (known.severity == "warning" and problem.severity == "error"):
                marks[problem.line] = problem
        if marks != self._marks:
            self._marks = marks
            self.refresh()

    def get_line(self, line_index: int) -> Text:
        """A line with its comment dimmed and its table heading bold; nothing in it moves the cursor."""
        plain = _CONTROLS.sub("\ufffd", self.document.get_line(line_index))
        text = Text(plain, end="", no_wrap=True)
        stripped = plain.lstrip()
        if stripped.startswith("#"):
            text.stylize(self.get_component_rich_style("config--comment", partial=True))
        elif stripped.startswith("["):
            text.stylize(self.get_component_rich_style("config--table", partial=True))
        return text

    def render_line(self, y: int) -> Strip:
        """A line of the text, with its problem."""
        strip = super().render_line(y)
        number = y + self.scroll_offset.y
        problem = self._marks.get(number + 1)
        if problem is None or number >= self.document.line_count:
            return strip
        style = self.get_component_rich_style(f"config--{problem.severity}", partial=True)
        margin = self.gutter_width
        strip = Strip.join(
            [
                strip.crop(0, margin - 2),
                Strip([Segment("▲ ", self._over(strip, margin - 2, style))]),
                strip.crop(margin),
            ]
        )
        width = self.size.width
        text = self.document.get_line(number).expandtabs(self.indent_width)
        end = margin + max(0, cell_len(text) - self.scroll_offset.x) + 3
        if width - end < _BESIDE:
            return strip
        words = clip(neutralise(f"← {message_of(problem)}"), width - end - 1)
        message = Strip([Segment(words, self._over(strip, end, style))])
        return Strip.join([strip.crop(0, end), message, strip.crop(end + message.cell_length)])

    @staticmethod
    def _over(strip: Strip, at: int, style: Style) -> Style:
        """`style` on the ground the strip has at a cell (the cursor's line has another)."""
        ground = next((segment.style for segment in strip.crop(at, at + 1) if segment.style), None)
        return Style(bgcolor=ground.bgcolor) + style if ground is not None else style


def message_of(problem: Problem) -> str:
    """The message with its hint."""
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


class ProblemList(LineList):
    """All problems of the config at once. Enter goes to the line."""

    DEFAULT_CSS = "ProblemList { height: auto; max-height: 6; }"
    HELP = "Everything that is wrong with the config, at once. Enter goes to the line."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._problems: tuple[Problem, ...] = ()
        self._file = ""
        self._said: Line = ()

    def show(self, problems: Sequence[Problem], file: str, said: Line) -> None:
        """Show problems; without one, `said`. `file` is the one being edited: others are named."""
        self._problems, self._file, self._said = tuple(problems), file, said
        wanted = max(1, min(6, len(self._problems)))
        if self.styles.height is None or self.styles.height.value != wanted:
            self.styles.height = wanted
        self.rebuild()

    def problem_at(self, index: int) -> Problem:
        """The problem with that number."""
        return self._problems[index]

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """One line a problem."""
        if not self._problems:
            return [self._said], [-1]
        lines: list[Line] = []
        for problem in self._problems:
            tone = "bad" if problem.severity == "error" else "warn"
            where = f"{problem.line:>4}" if problem.file == self._file else f"{problem.file}:{problem.line}"
            key = f"{problem.key}: " if problem.key else ""
            lines.append(
                (
                    (" ", "plain"),
                    ("▲ ", tone),
                    (f"{where}  ", "dim"),
                    (f"{key}{message_of(problem)}", "plain"),
                )
            )
        return lines, list(range(len(lines)))
