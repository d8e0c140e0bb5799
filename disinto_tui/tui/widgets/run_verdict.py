"""How a run ended, below its log: as many lines as it takes, a third of the screen at most."""

from __future__ import annotations

from collections.abc import Sequence

from disinto_tui.tui.run_verdict import Said
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped

_LEAST_ROOM = 9


class RunVerdict(LineList, can_focus=False):
    """Says nothing, and takes no room, until there is something to say."""

    DEFAULT_CSS = "RunVerdict { height: 0; display: none; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._said: Sequence[Said] = ()

    def show(self, said: Sequence[Said]) -> None:
        """Say this, and nothing else."""
        self._said = said
        self.display = bool(said)
        self._fit()

    def on_resize(self) -> None:
        """Another width breaks the lines elsewhere."""
        self._fit()

    def _fit(self) -> None:
        size = self.screen.size
        self._most = max(_LEAST_ROOM, size.height // 3)
        self.styles.height = self.lines_needed(size.width - 1) if self._said else 0
        self.rebuild()

    _most = _LEAST_ROOM

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width; none is an item."""
        lines: list[Line] = []
        for mark, tone, text in self._said:
            shown = "strong" if mark != " " and tone != "warn" else tone
            first, *rest = wrapped(text, width - 1, "   ", shown if shown in ("strong", "dim") else "plain")
            lines += [((f" {mark} ", tone), *first[1:]), *rest]
        if len(lines) > self._most:
            more = len(lines) - self._most + 1
            lines[self._most - 1 :] = [(("   ", "plain"), (f"… and {more} more lines", "dim"))]
        return lines, [-1] * len(lines)
