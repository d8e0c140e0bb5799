"""What a run's events add up to: the state the run screen shows. Pure; the screen's handlers own it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from disinto_tui.core.events import Event, Progress, RunEnded, RunStarted, StepEnded, StepStarted
from disinto_tui.core.plan import Plan

WORDS = {
    "": "",
    "running": "running",
    "done": "done",
    "skipped": "nothing to do",
    "failed": "failed",
    "cancelled": "stopped",
    "undone": "taken back",
    "interrupted": "interrupted",
}
MARKS = {
    "": "·",
    "running": "▶",
    "done": "✓",
    "skipped": "=",
    "failed": "✗",
    "cancelled": "■",
    "undone": "↺",
    "interrupted": "■",
}

_FETCHED = ("Download complete", "Verifying Checksum", "Extracting")


@dataclass
class StepView:
    """One step: `state` is "" (not begun), "running" or how it ended; times in seconds. `ranges` are the bytes
    of the log it printed, the last one open while it runs. `items` are its progress, by name."""

    id: str
    title: str
    state: str = ""
    began: float = 0.0
    seconds: float = 0.0
    reason: str = ""
    items: dict[str, Progress] = field(default_factory=dict)
    ranges: list[tuple[int, int | None]] = field(default_factory=list)
    trouble: tuple[int, int | None] = (0, None)
    """The bytes it printed when it failed."""
    failed: bool = False
    """It failed in this attempt; that stays true when it is taken back afterwards."""

    @property
    def look(self) -> str:
        """The state it is shown with."""
        return "failed" if self.failed and self.state == "undone" else self.state


class RunModel:
    """A run as its events tell it so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps = [StepView(step.id, step.title) for step in plan.steps]
        self._by_id = {step.id: step for step in self.steps}
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.died = False
        self.first_at = 0.0
        self._made: set[str] = set()

    @property
    def live(self) -> bool:
        """Whether a process is at work on it."""
        return self.started is not None and self.ended is None and not self.died

    @property
    def succeeded(self) -> bool:
        """Whether it came to a good end."""
        return self.ended is not None and self.ended.state == "done"

    @property
    def made_tag(self) -> bool:
        """Whether it is a release that made its tag itself: one that was there is somebody's, and stays."""
        return self.plan.kind == "release" and "tag-main" in self._made

    @property
    def current(self) -> StepView | None:
        """The step under way, else the one that failed last, else the last that was begun."""
        for wanted in ("running", "failed"):
            found = [step for step in self.steps if step.state == wanted]
            if found:
                return found[-1]
        begun = [step for step in self.steps if step.state]
        return begun[-1] if begun else None

    @property
    def failed(self) -> StepView | None:
        """The step whose failure ended the run: the first one that failed in its last attempt."""
        return next((step for step in self.steps if step.failed), None)

    def apply(self, events: Iterable[Event]) -> bool:
        """Take events over; whether a run's beginning or end was among them."""
        turned = False
        for event in events:
            if isinstance(event, RunStarted):
                self.started, self.ended, self.died = event, None, False
                self.first_at = self.first_at or event.at
                for earlier, planned in zip(self.steps, self.plan.steps, strict=True):
                    earlier.failed = False
                    if planned.always and not event.undo:
                        earlier.state = ""  # what it reported was how the attempt before ended
                turned = True
            elif isinstance(event, RunEnded):
                self.ended = event
                turned = True
            elif isinstance(event, (StepStarted, StepEnded, Progress)):
                step = self._by_id.get(event.step)
                if step is not None:
                    _step(step, event)
                    self._note(event)
        return turned

    def _note(self, event: StepStarted | StepEnded | Progress) -> None:
        """Remember what was made: a run that is begun again finds it there, and skips the step."""
        if isinstance(event, StepEnded) and event.state == "done":
            self._made.add(event.step)
        elif isinstance(event, StepEnded) and event.state == "undone":
            self._made.discard(event.step)

    def lost(self) -> None:
        """Its process is gone without a word."""
        self.died = True
        for step in self.steps:
            if step.state == "running":
                step.state = "interrupted"


def _step(step: StepView, event: StepStarted | StepEnded | Progress) -> None:
    if isinstance(event, StepStarted):
        step.state, step.began, step.reason = "running", event.at, ""
        step.items.clear()
        step.ranges.append((event.log_at, None))
    elif isinstance(event, StepEnded):
        if event.state != "undone":
            step.seconds = event.seconds  # how long it took is worth more than how long taking it back took
        step.state, step.reason = event.state, event.reason
        if event.state == "failed" and not step.failed:
            step.failed, step.trouble = True, (step.ranges[-1][0] if step.ranges else 0, event.log_at)
        if step.ranges and step.ranges[-1][1] is None:
            step.ranges[-1] = (step.ranges[-1][0], event.log_at)
    else:
        before = step.items.get(event.item)
        if before is not None and before.unit == "B" and not event.unit and event.current == event.total:
            # A layer that is done is told as 1 of 1; what it weighed still counts.
            event = replace(event, current=before.total, total=before.total, unit="B")
        elif before is not None and before.unit == event.unit == "B" and not event.total:
            # Some words come without numbers: what was known of the layer holds, and some say all of it is here.
            current = before.total if event.label in _FETCHED else before.current
            event = replace(event, current=current, total=before.total)
        step.items[event.item] = event
