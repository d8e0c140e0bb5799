"""The plan before anything changes. What could be lost comes first; the safe answer has the focus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button

from disinto_tui.core.plan import FileChange
from disinto_tui.core.words import size_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.base import DisintoScreen
from disinto_tui.tui.screens.dialogs import Choice
from disinto_tui.tui.widgets.frame import Rule
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped

if TYPE_CHECKING:
    from disinto_tui.core.plan import Plan

_LABEL = 13
_FILE_WORDS = {"create": "new", "change": "changed", "remove": "removed"}
_DIFF_TONES = {"+": "good", "-": "bad", "@": "dim"}
_SHOWS_STEPS = ("release", "formula", "release-request")
"""Kinds of plans whose steps say more than the files and services they change."""
_ACTIONS = ("remove", "stop", "recreate", "create", "start", "untouched")


class PlanView(LineList):
    """The plan as lines to scroll through."""

    HELP = "Everything that would be done, what it costs, and how it is undone."

    def __init__(self, plan: Plan, at_work: Sequence[str] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._plan, self._at_work = plan, at_work

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width; none is an item."""
        lines = list(plan_lines(self._plan, width, self._at_work))
        return lines, [-1] * len(lines)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to choose."""
        return action != "open"


class ReviewScreen(DisintoScreen[str]):
    """Shows a plan; its result is "yes", "cancel", or "idle": first wait until those `at_work` are not.

    The third answer is there when `idle`.
    """

    DEFAULT_CSS = """
    ReviewScreen #plan { height: 1fr; }
    ReviewScreen #answers { height: 1; align-horizontal: right; padding: 0 1; }
    ReviewScreen #answers Button { margin-left: 2; }
    """
    SCOPES = ("review",)
    HELP = "Nothing has been changed yet. The left button, and Esc, leave it so."
    BINDINGS = [*bindings("review"), ("left", "app.focus_previous"), ("right", "app.focus_next")]
    AUTO_FOCUS = "#cancel"

    def __init__(
        self, plan: Plan, *, yes: str = "Do it", at_work: Sequence[str] = (), idle: bool = False
    ) -> None:
        super().__init__()
        self._plan = plan
        self._yes = yes
        self._at_work, self._idle = at_work, idle

    def headline(self) -> str:
        """What it would do."""
        return self._plan.title

    def body(self) -> Iterable[Widget]:
        """The plan and two answers, or three."""
        plan = PlanView(self._plan, self._at_work, id="plan")
        plan.can_focus = False
        yield plan
        yield Rule()
        with Horizontal(id="answers"):
            yield Choice("Cancel", id="cancel")
            if self._idle:
                yield Choice("Wait for idle", id="idle")
            yield Choice(self._yes, id="yes", danger=bool(self._plan.dangers))

    def on_resize(self) -> None:
        """Whether there is more than fits may be another by now."""
        self.call_after_refresh(self.refresh_bindings)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing more is offered where everything is in sight."""
        if action in ("page_down", "page_up"):
            return any(plan.max_scroll_y > 0 for plan in self.query(PlanView))
        return super().check_action(action, parameters)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id or "cancel")

    def action_cancel(self) -> None:
        """No."""
        self.dismiss("cancel")

    def action_line_down(self) -> None:
        """A line down."""
        self.query_one(PlanView).scroll_relative(y=1, animate=False)

    def action_line_up(self) -> None:
        """A line up."""
        self.query_one(PlanView).scroll_relative(y=-1, animate=False)

    def action_page_down(self) -> None:
        """A page down."""
        self.query_one(PlanView).scroll_page_down(animate=False)

    def action_page_up(self) -> None:
        """A page up."""
        self.query_one(PlanView).scroll_page_up(animate=False)


def plan_lines(plan: Plan, width: int, at_work: Sequence[str] = ()) -> Iterator[Line]:
    """The plan as an operator wants to read it before saying yes: what it costs somebody comes first."""
    costly = [text for text in plan.notes if text.startswith(tuple(at_work))] if at_work else []
    for text in plan.dangers:
        yield from _field("▲ careful", text, width, "warn", "warn")
    for text in costly:
        yield from _field("▲ at work", text, width, "warn", "warn")
    if plan.dangers or costly:
        yield ()
    if plan.kind in _SHOWS_STEPS:
        yield from _steps(plan, width)
    yield from _services(plan, width)
    yield from _images(plan, width)
    yield from _files(plan, width)
    if plan.changes:
        yield from _field("downtime", plan.downtime, width)
    if plan.undo:
        yield from _field("undo", plan.undo, width)
    secret = [item.path for item in plan.files if item.secret]
    if secret:
        yield from _field("secrets", f"only in {', '.join(secret)}, which only you can read", width)
    for text in (text for text in plan.notes if text not in costly):
        yield from _field("note", text, width)
    yield from _field("where", f"{plan.directory} · engine {plan.endpoint}", width, tone="dim")


def _field(label: str, text: str, width: int, tone: str = "plain", label_tone: str = "dim") -> Iterator[Line]:
    lines = wrapped(text, width - 1, " " * _LABEL, tone) or [()]
    first = lines[0]
    head: Line = ((f" {label}".ljust(_LABEL), label_tone),)
    rest = "".join(piece for piece, _ in first)[_LABEL:]
    yield (*head, (rest, tone))
    yield from lines[1:]


def _steps(plan: Plan, width: int) -> Iterator[Line]:
    room = max((len(step.id) for step in plan.steps), default=0) + 2
    for number, step in enumerate(plan.steps):
        head = (("" if number else " steps").ljust(_LABEL), "dim")
        yield (head, (f"{step.id:<{room}}", "strong"), (step.title, "plain"))


def _services(plan: Plan, width: int) -> Iterator[Line]:
    for action in _ACTIONS:
        found = [item for item in plan.services if item.action == action]
        if not found:
            continue
        reasons = {item.why for item in found if item.why}
        why = f"  ({reasons.pop()})" if len(reasons) == 1 else ""
        tone = "strong" if action in ("remove", "stop", "recreate") else "plain"
        yield from _field(action, ", ".join(item.name for item in found) + why, width, tone)


def _images(plan: Plan, width: int) -> Iterator[Line]:
    for number, item in enumerate(plan.pulls):
        size = "" if item.size < 0 else f", {size_text(item.size)}"
        where = "is here" if item.here else f"to pull{size}"
        digest = f"  {item.digest.removeprefix('sha256:')[:12]}" if item.digest else ""
        yield from _field("images" if number == 0 else "", f"{item.reference}  {where}{digest}", width)


def _files(plan: Plan, width: int) -> Iterator[Line]:
    kept = [item.path for item in plan.files if item.action == "keep"]
    changed = [item for item in plan.files if item.action != "keep"]
    for number, item in enumerate(changed):
        note = f"  ({item.note})" if item.note else ""
        text = f"{item.path}  {_FILE_WORDS[item.action]}{note}"
        yield from _field("files" if number == 0 else "", text, width)
        yield from _diff(item)
    if kept:
        yield from _field("unchanged", ", ".join(kept), width, "dim")


def _diff(item: FileChange) -> Iterator[Line]:
    if item.action != "change":
        return
    for text in item.diff.splitlines():
        yield ((" " * (_LABEL + 2), "plain"), (text, _DIFF_TONES.get(text[:1], "plain")))
