"""The steps of a run: a mark and a word each, its time, and below it how far its items are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.message import Message

from disinto_tui.core.events import Progress
from disinto_tui.core.words import bar_text, clock_text, size_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.run_model import MARKS, WORDS, RunModel, StepView
from disinto_tui.tui.widgets.frame import clip
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
_NAME, _AMOUNT = 8, 6
# What an engine says of a layer, in a word that fits.
_VERBS = {
    "Downloading": "download",
    "Extracting": "extract",
    "Verifying Checksum": "verify",
    "Pushing": "push",
}


def _name(item: Progress) -> str:
    """What the operator reads beside its bar."""
    return _VERBS.get(item.label, item.label) or item.item.rpartition(" ")[2]


def _fetched(item: Progress) -> int:
    """Bytes of a layer that crossed the network: unpacking begins to count from nothing again."""
    return item.current if item.label in ("Downloading", "Pushing") else item.total


def _is_part(item: Progress) -> bool:
    """Whether it is one whole thing among others (a mirror), of which there is no half; a layer's name has a space."""
    return item.total == 1 and not item.unit and " " not in item.item


def _part(item: Progress, running: bool) -> Line:
    """A mark, its name, and what is said of it. It stays when the step is over: each may have gone another way."""
    if item.label.startswith("failed"):
        mark, tone = "✗", "bad"
    elif item.current:
        mark, tone = "✓", "good"
    else:
        mark, tone = ("▶", "strong") if running else ("·", "dim")
    return (("   ", "plain"), (f"{mark} ", tone), (item.item, "plain"), (f"  {item.label}", "dim"))


class StepList(LineList):
    """All steps as one entry, then each. Where the cursor goes posts `Selected`: show that log. Enter: `Chosen`."""

    DEFAULT_CSS = "StepList { width: 30; }"
    BINDINGS = bindings("steps")
    HELP = "The steps of this run. The log shows the selected one alone; the first entry is all of them."

    class Selected(Message):
        """The cursor is on a step; "" is all of them."""

        def __init__(self, step: str) -> None:
            super().__init__()
            self.step = step

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model: RunModel | None = None
        self.only: str = ""
        self.now = 0.0

    def show(self, model: RunModel, now: float, only: str = "") -> None:
        """Show the steps as they are. `now` is unix seconds, `only` the step whose log is shown alone."""
        self.model, self.now, self.only = model, now, only
        self.rebuild()

    def to_all(self) -> None:
        """The cursor on all of them, and no word of it."""
        super().move_to(0)

    def move_to(self, index: int) -> None:
        """Put the cursor on an entry: its log is shown."""
        before = self.cursor
        super().move_to(index)
        if self.cursor != before and self.model is not None:
            self.post_message(self.Selected(self.model.steps[self.cursor - 1].id if self.cursor else ""))

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width."""
        if self.model is None:
            return [], []
        lines, owners = [self._all_line(self.model.steps, width)], [0]
        for index, step in enumerate(self.model.steps, 1):
            mine = [self._step_line(step, width), *self._items(step, width)]
            lines += mine
            owners += [index] * len(mine)
        return lines, owners

    def _all_line(self, steps: Sequence[StepView], width: int) -> Line:
        """All of them, and how many are over."""
        over = sum(step.state in ("done", "skipped") for step in steps)
        count = f"{over} of {len(steps)}"
        if not over and any(step.state == "undone" for step in steps):
            count = "taken back"
        room = width - 4 - len(count)
        return (
            (" ≡ ", "dim"),
            (f"{clip('all steps', room):<{room}}", "plain" if self.only else "strong"),
            (f"{count} ", "dim"),
        )

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
        """What moves: the items of the step under way, those not finished first. Bytes are summed up above."""
        items = list(step.items.values())
        if items and all(_is_part(item) for item in items):
            return [_part(item, step.state == "running") for item in items[:_ITEMS]]
        if step.state != "running" or not items:
            return []
        layers = [item for item in items if item.unit == "B"]
        if layers and len(items) > 1:
            return self._layers(layers, len(items) - len(layers), width)
        found = sorted(items, key=lambda item: item.current >= item.total > 0)
        lines = [self._bar(_name(item), item, width) for item in found[:_ITEMS]]
        if len(found) > _ITEMS:
            lines.append(((f"   and {len(found) - _ITEMS} more", "dim"),))
        return lines

    def _layers(self, layers: Sequence[Progress], here: int, width: int) -> list[Line]:
        """A bar for all, one for each layer that moves; those that wait or are done are only counted."""
        known = [item for item in layers if item.total > 0]
        done, total = sum(_fetched(item) for item in known), sum(item.total for item in known)
        moving = [item for item in known if item.current < item.total]
        lines = [self._bar("all", replace(layers[0], current=done, total=total), width)]
        lines += [self._bar(_name(item), item, width) for item in moving[:_ITEMS]]
        counts = (
            (len(moving) - _ITEMS, "more"),
            (len(layers) - len(known), "waiting"),
            (len(known) - len(moving) + here, "done"),
        )
        rest = " · ".join(f"{count} {word}" for count, word in counts if count > 0)
        return [*lines, ((f"   {rest}", "dim"),)] if rest else lines

    def _bar(self, name: str, item: Progress, width: int) -> Line:
        """Name, bar, amount; bars of bytes below each other are as long."""
        room = _NAME
        if item.unit == "B":
            amount = f"{size_text(item.current):>{_AMOUNT}}"
            if width >= 34 and item.total > 0:
                amount += f" of {size_text(item.total):>6}"
        else:
            amount = f"{item.current}/{item.total}" if item.total > 0 else ""
            room = 10 if width < 34 else 15
        label = clip(name, room)
        cells = max(4, width - 6 - room - len(amount))
        return (
            (f"   {label:<{room}} ", "dim"),
            (bar_text(item.current, item.total, min(cells, 20)), "good"),
            (f" {amount}", "dim"),
        )

    def action_only(self) -> None:
        """To the log of what is selected."""
        self.action_open()

    def on_line_list_edge(self, message: LineList.Edge) -> None:
        """There is nothing beyond the ends."""
        message.stop()
