"""The steps of a run: a mark and a word each, its time, and below it how far its items are."""

from __future__ import annotations

from disinto_tui.core.words import bar_text, clock_text, size_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.run_model import MARKS, WORDS, RunModel, StepView
from disinto_tui.tui.widgets.home_lines import Line, LineList

_TONE = {
    "": "dim",
    "running": "strong",
    "done": "good",
    "skipped": "dim",
    "failed": "bad",
    "cancelled": "warn",
    "undone": "warn",
    "interrupted": "warn",
}
_ITEMS = 6


class StepList(LineList):
    """The steps. Enter posts `LineList.Chosen`: show the log of that step alone."""

    DEFAULT_CSS = "StepList { width: 30; }"
    BINDINGS = bindings("steps")
    HELP = "The steps of this run. Enter shows the log of one alone."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model: RunModel | None = None
        self.only: str = ""
        self.now = 0.0

    def show(self, model: RunModel, now: float, only: str = "") -> None:
        """Show the steps as they are. `now` is unix seconds, `only` the step whose log is shown alone."""
        self.model, self.now, self.only = model, now, only
        self.rebuild()

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width."""
        lines: list[Line] = []
        owners: list[int] = []
        for index, step in enumerate(self.model.steps if self.model else ()):
            mine = [self._step_line(step, width), *self._items(step, width)]
            lines += mine
            owners += [index] * len(mine)
        return lines, owners

    def _step_line(self, step: StepView, width: int) -> Line:
        tone = _TONE[step.look]
        seconds = self.now - step.began if step.state == "running" else step.seconds
        time = clock_text(seconds) if step.state and step.state not in ("skipped", "interrupted") else ""
        if step.state in ("skipped", "interrupted"):
            time = WORDS[step.state] if width >= 34 else ""
        room = width - 4 - len(time)
        name = step.id[: max(0, room)]
        shown = "strong" if step.id == self.only else "plain" if step.state else "dim"
        return (
            (" ", "plain"),
            (f"{MARKS[step.look]} ", tone),
            (f"{name:<{room}}", shown),
            (f"{time} ", "dim"),
        )

    def _items(self, step: StepView, width: int) -> list[Line]:
        """What moves: the items of the step under way, those not finished first."""
        if step.state != "running" or not step.items:
            return []
        found = sorted(step.items.values(), key=lambda item: item.current >= item.total > 0)
        lines: list[Line] = []
        known = [item for item in found if item.unit == "B" and item.total > 0]
        if len(known) > 1:
            done, total = sum(item.current for item in known), sum(item.total for item in known)
            lines.append(self._bar("all", done, total, "B", width))
        for item in found[:_ITEMS]:
            name = item.label or item.item.rpartition(" ")[2]
            lines.append(self._bar(name, item.current, item.total, item.unit, width))
        if len(found) > _ITEMS:
            lines.append(((f"   and {len(found) - _ITEMS} more", "dim"),))
        return lines

    def _bar(self, name: str, current: int, total: int, unit: str, width: int) -> Line:
        amount = (
            f"{current}/{total}"
            if unit != "B"
            else size_text(total)
            if current >= total
            else size_text(current)
        )
        amount = amount if total > 0 or unit == "B" else ""
        cells = max(4, width - 16 - len(amount))
        return (
            (f"   {name[:10]:<10} ", "dim"),
            (bar_text(current, total, min(cells, 20)), "good"),
            (f" {amount}", "dim"),
        )

    def action_only(self) -> None:
        """The selected step's log alone, or all again."""
        self.action_open()

    def on_line_list_edge(self, message: LineList.Edge) -> None:
        """There is nothing beyond the ends."""
        message.stop()
