"""From a wish to a run, for whoever can switch: plan, review, wait for idle or not, begin.

The versions screen and Home share it, so that a switch looks the same wherever it starts.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Static

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.words import clock_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.base import DisintoModal, DisintoScreen, in_words
from disinto_tui.tui.screens.dialogs import MODAL_CSS, Choice

if TYPE_CHECKING:
    from disinto_tui.core.plan import Plan
    from disinto_tui.runs.switch import Prepared
    from disinto_tui.tui.app import DisintoApp

Planner = Callable[["float | None"], Awaitable["Prepared"]]
"""Plans a switch; the number is how many seconds it may wait for the agents to be idle, None not at all."""

IDLE_SECONDS = 1800.0
"""How long a switch that waits for idle agents waits at most; the command line's default as well."""

_WAITS_FOR = "Asking the registry which image it is, and the engine what runs here and who is at work."


Found = TypeVar("Found")


class Planning(DisintoModal["Found | DisintoError"], Generic[Found]):
    """Plans, says what it waits for and since when. Its result is the plan, or why there is none; None when the
    operator gave up."""

    DEFAULT_CSS = MODAL_CSS.format(name="Planning")
    BINDINGS = bindings("planning")
    HELP = "A plan is being made. It only looks; nothing is changed."

    class Ended(Message):
        """The plan, or why there is none."""

        def __init__(self, found: Any) -> None:
            super().__init__()
            self.found = found

    def __init__(self, title: str, plan: Callable[[], Awaitable[Found]], waits_for: str = _WAITS_FOR) -> None:
        super().__init__()
        self._doing = title
        self._waits_for = waits_for
        self._make = plan
        self._began = time.monotonic()

    def compose(self) -> ComposeResult:
        """What is planned, what is waited for, and the way out."""
        with Vertical():
            yield Static(f"{self._doing} …", classes="what", markup=False)
            yield Static(self._waits_for, classes="why", markup=False)
            yield Static("", id="since", classes="why", markup=False)
            with Horizontal():
                yield Choice("Cancel", id="cancel")

    def on_mount(self) -> None:
        """Begin; from the second second on say for how long."""
        self._plan()
        self.set_interval(1, self._tick)

    def _tick(self) -> None:
        self.query_one("#since", Static).update(f"since {clock_text(time.monotonic() - self._began)}")

    @work(group="plan", exclusive=True, exit_on_error=False)
    async def _plan(self) -> None:
        try:
            found: Found | DisintoError = await self._make()
        except Exception as error:
            found = in_words(error)
        self.post_message(self.Ended(found))

    def on_planning_ended(self, message: Planning.Ended) -> None:
        """It is known."""
        if self.is_current:
            self.dismiss(message.found)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Give up."""
        self.action_cancel()

    def action_cancel(self) -> None:
        """Give up; the worker ends with this screen."""
        self.dismiss(None)


class Planned(Protocol):
    """What planning gives, whatever else it carries."""

    @property
    def plan(self) -> Plan:
        """What would be done."""


Some = TypeVar("Some", bound=Planned)


def looked_at(app: DisintoApp, review: Callable[[Some], None], found: Some | DisintoError | None) -> None:
    """The result of `Planning`: why there is no plan, that there is nothing to do, or `review` of it."""
    if isinstance(found, DisintoError):
        app.show_error(found)
    elif found is not None and not found.plan.changes:
        app.notify(f"{found.plan.title}: nothing to do.", timeout=4, markup=False)
    elif found is not None:
        review(found)


def wanted_title(version: str) -> str:
    """What planning a switch is called."""
    return f"Planning the switch to {version}"


def undo_title(version: str = "") -> str:
    """What planning the way back is called."""
    return f"Planning the way back to {version or 'the last good version'}"


def switch(
    screen: DisintoScreen[None],
    title: str,
    plan: Planner,
    *,
    yes: str = "Switch now",
    when_idle: float | None = None,
    begun: Callable[[], None] = lambda: None,
) -> None:
    """Plan over `screen`, let the operator decide, begin the run. `begun` is called when it was begun."""
    app = screen.disinto

    def review(found: Prepared) -> None:
        def answer(said: bool) -> None:
            if said:
                # The review is still on top while it answers; what comes next goes over the screen below.
                screen.call_later(begin, found)

        def later() -> None:
            patient = partial(switch, yes="Wait, then switch", when_idle=IDLE_SECONDS, begun=begun)
            screen.call_later(patient, screen, title, plan)

        at_work = [str(work) for work in found.at_work]
        app.review(
            found.plan,
            answer,
            yes=yes,
            at_work=at_work if when_idle is None else (),
            idle=later if at_work and when_idle is None else None,
        )

    def begin(found: Prepared) -> None:
        if app.start(found.plan, dict(found.staged)):
            begun()

    app.push_screen(Planning(title, lambda: plan(when_idle)), partial(looked_at, app, review))
