"""The lower part of Home: a run under way, what needs the operator, what was done lately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from disinto_tui.core.view import Attention, InstanceView, RunSummary
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped
from disinto_tui.tui.widgets.home_text import RUN_MARKS, age, helps

_LABEL = 12


@dataclass(frozen=True, slots=True)
class Entry:
    """One item: a run under way, something that needs attention, or a run of the past."""

    kind: Literal["live", "attention", "run"]
    attention: Attention | None = None
    run: RunSummary | None = None


def entries_of(view: InstanceView) -> list[Entry]:
    """The items of a view, in the order they are shown."""
    live = [Entry("live", run=run) for run in view.runs if run.status == "running"]
    # The engine's own trouble is told in full where its services would be.
    needs = [Entry("attention", item) for item in view.attention if item.text != view.engine_error]
    past = [Entry("run", run=run) for run in view.runs if run.status != "running"]
    return [*live, *needs, *past]


class HomeList(LineList):
    """Runs under way first, then what needs attention with the key or command that helps, then the past."""

    DEFAULT_CSS = "HomeList { height: 1fr; }"
    HELP = (
        "What needs you, and what was done here lately. Enter opens a run, or does what helps: the log of a "
        "service, the run that stopped half-way."
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view: InstanceView | None = None
        self._entries: list[Entry] = []
        self._now = 0.0

    def show(self, view: InstanceView | None, now: float) -> None:
        """Show a view at a time (unix seconds)."""
        chosen = self.entry
        self._view, self._now = view, now
        self._entries = entries_of(view) if view is not None else []
        if chosen is not None and chosen in self._entries:
            self.cursor = self._entries.index(chosen)
        self.rebuild()

    @property
    def entry(self) -> Entry | None:
        """The selected item."""
        return self._entries[self.cursor] if self.cursor < len(self._entries) else None

    def entry_at(self, index: int) -> Entry:
        """The item with that number."""
        return self._entries[index]

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines, each with its item."""
        if self._view is None:
            return [], []
        lines: list[Line] = []
        owners: list[int] = []
        last = ""
        label_of = {"live": "NOW", "attention": "NEEDS YOU", "run": "RECENT"}
        shown = [(label_of[item.kind], number, item) for number, item in enumerate(self._entries)]
        if not any(item.kind == "attention" for _, _, item in shown) and self._view.services:
            at = sum(1 for item in self._entries if item.kind == "live")
            quiet = (_label("NEEDS YOU"), ("✓ nothing", "dim"))
            shown_lines = [(label, number, self._item(item, width)) for label, number, item in shown]
            shown_lines.insert(at, ("", -1, [quiet]))
        else:
            shown_lines = [(label, number, self._item(item, width)) for label, number, item in shown]
        for label, number, parts in shown_lines:
            for part in parts:
                lead = label if label != last else ""
                last = label or last
                lines.append(part if number < 0 else (_label(lead), *part))
                owners.append(number)
        return lines, owners

    def _item(self, item: Entry, width: int) -> list[Line]:
        room = width - _LABEL - 1
        if item.kind == "live" and item.run is not None:
            began = age(self._now - item.run.at)
            text = f"{item.run.title} is under way for {began}"
            return [_ends((("▶ ", "good"), (text, "strong")), "↵ watches it", room, "good")]
        if item.attention is not None:
            return self._attention(item.attention, room)
        return [self._run(item.run, room)] if item.run is not None else []

    @staticmethod
    def _attention(item: Attention, room: int) -> list[Line]:
        tone = "bad" if item.severity == "problem" else "warn"
        cure = helps(item)
        beside = room - cell_len(cure) - 3
        if cure and beside >= max(24, min(len(item.text), 40)):
            parts = wrapped(item.text, beside, "", "plain", lines=3)
        else:
            parts = wrapped(item.text, room - 2, "", "plain", lines=3)
            if cure:
                parts.append((("", "plain"), (f"→ {cure}", "dim")))
                cure = ""
        first: Line = (("▲ ", tone), *parts[0][1:])
        lines = [_ends(first, cure, room, "dim")]
        lines += [(("  ", "plain"), *part[1:]) for part in parts[1:]]
        return lines

    def _run(self, run: RunSummary, room: int) -> Line:
        mark, tone = RUN_MARKS.get(run.status, ("·", "dim"))
        told: list[tuple[str, str]] = [(f"{mark} ", tone), (run.title, "plain")]
        if run.status != "done":
            told.append((f"  {run.status}" + (f": {run.reason}" if run.reason else ""), "dim"))
        return _ends(tuple(told), f"{age(self._now - run.at)} ago", room, "dim")


def _label(text: str) -> tuple[str, str]:
    return f" {text:<{_LABEL - 1}}", "dim"


def _ends(left: Line, right: str, room: int, tone: str) -> Line:
    """`left`, cut when it must be, with `right` at the edge."""
    from disinto_tui.tui.widgets.frame import clip

    space = room - cell_len(right) - (2 if right else 0)
    found: list[tuple[str, str]] = []
    for text, of in left:
        shown = clip(text, space)
        found.append((shown, of))
        space -= cell_len(shown)
    if right:
        found += [(" " * (space + 2), "plain"), (right, tone)]
    return tuple(found)
