"""What was looked at before something begins: what is wrong first, each with its cure, then what is well."""

from __future__ import annotations

import time
from collections.abc import Sequence

from textual.timer import Timer

from disinto_tui.core.words import clock_text
from disinto_tui.runs.release_checks import Finding
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped

MARKS = {"ok": ("✓", "good"), "warning": ("▲", "warn"), "problem": ("✗", "bad")}
_ORDER = {"problem": 0, "warning": 1, "ok": 2}
_NAME = 14


class FindingList(LineList):
    """Each finding is an item, so that all of a long list can be read with the cursor."""

    DEFAULT_CSS = "FindingList { height: 1fr; }"
    HELP = "What was looked at. ✗ has to be mended first, ▲ is worth knowing; below each stands what helps."

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id)
        self.set_classes(classes)
        self.findings: Sequence[Finding] = ()
        self.leads_on = True
        """Whether Enter goes on from here."""
        self._waiting = ""
        self._began = 0.0
        self._ticks: Timer | None = None

    def wait_for(self, text: str) -> None:
        """Say what is being asked, and from the second second on for how long."""
        self._waiting, self._began, self.findings = text, time.monotonic(), ()
        if self._ticks is None:
            self._ticks = self.set_interval(1, self.rebuild)
        self.rebuild()

    def show(self, findings: Sequence[Finding]) -> None:
        """Show what was found, the gravest first."""
        self._waiting = ""
        if self._ticks is not None:
            self._ticks.stop()
            self._ticks = None
        self.findings = sorted(findings, key=lambda item: _ORDER[item.severity])
        self.cursor = 0
        self.rebuild()
        self.scroll_to(y=0, animate=False)

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """A mark, the finding, and below it the cure of one that is not well."""
        if self._waiting:
            seconds = time.monotonic() - self._began
            lines = wrapped(self._waiting, width - 1, "   ", "dim")
            since = [((f"   since {clock_text(seconds)}; esc goes back", "dim"),)] if seconds >= 1 else []
            return [*lines, *since], [-1] * (len(lines) + len(since))
        lines = []
        owners: list[int] = []
        for number, item in enumerate(self.findings):
            mine = _lines(item, width)
            lines += mine
            owners += [number] * len(mine)
        return lines, owners

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter goes on, where that can be."""
        return self.leads_on if action == "open" else True


def _lines(item: Finding, width: int) -> list[Line]:
    mark, tone = MARKS[item.severity]
    indent = " " * (3 + 2 + _NAME)
    well = item.severity == "ok"
    first, *rest = wrapped(item.text, width - 1, indent, "dim" if well else "plain")
    head: Line = (
        ("   ", "plain"),
        (f"{mark} ", tone),
        (f"{item.name:<{_NAME}}", "dim" if well else "strong"),
    )
    cure = wrapped(item.cure, width - 1, indent, "dim") if item.cure and not well else []
    return [(*head, *first[1:]), *rest, *cure]
