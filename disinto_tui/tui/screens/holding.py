"""When somebody else is at the instance, or died there: what it is, and what can be done about it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from disinto_tui.core.errors import DisintoError
from disinto_tui.tui.screens.base import DisintoModal
from disinto_tui.tui.screens.dialogs import MODAL_CSS, Choice, Notice

if TYPE_CHECKING:
    from disinto_tui.tui.app import DisintoApp

CODES = ("instance.busy", "instance.lock_left", "run.unfinished")
"""The codes of errors that something can be done about right away."""
Offer = tuple[str, str, bool]
"""What a button does (its id), what it says, and whether it changes things."""


class Held(DisintoModal[str]):
    """Three sentences, and what can be done now. Its result is the id of what was chosen, "" for nothing."""

    DEFAULT_CSS = MODAL_CSS.format(name="Held")
    BINDINGS = [("escape", "close", "close"), ("left", "app.focus_previous"), ("right", "app.focus_next")]

    def __init__(self, error: DisintoError, offers: Sequence[Offer]) -> None:
        super().__init__()
        self._error = error
        self._offers = offers

    def compose(self) -> ComposeResult:
        """What is so, why, and the buttons; the one that changes nothing comes first and has the focus."""
        with Vertical():
            yield Static(self._error.what, classes="what", markup=False)
            yield Static(self._error.why, classes="why", markup=False)
            with Horizontal():
                yield Choice("Close", id="close")
                for name, label, changes in self._offers:
                    yield Choice(label, id=name, danger=changes)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """That one."""
        self.dismiss("" if event.button.id == "close" else event.button.id or "")

    def action_close(self) -> None:
        """Nothing."""
        self.dismiss("")


def show_held(app: DisintoApp, error: DisintoError) -> None:
    """Say who is there; watch their run, finish it, take it back, or break the lock of a dead one, as is chosen.

    Where none of it can be done (their run is on another host) the three sentences are shown alone.
    """
    from disinto_tui.adapters.journal import find_run, unfinished_run
    from disinto_tui.runs.holder import describe, release

    instance = app.instance
    holder = describe(instance)
    left = unfinished_run(instance)
    offers: list[Offer] = []
    if error.code == "instance.busy" and holder.state == "busy" and holder.run:
        offers = [("watch", "Watch their run", False)]
    elif error.code == "run.unfinished" and left is not None:
        # Secrets are looked for where its own screen goes on with it; what nobody has is asked for by `disinto resume`.
        offers = [("look", "Look at it", False)]
        if not left.plan().secrets and left.plan().kind != "release":
            offers += [("undo", "Take it back", True), ("finish", "Finish it", False)]
    elif error.code == "instance.lock_left" and holder.state == "left":
        offers = [("break", "Break the lock", True)]
    if not offers:
        app.push_screen(Notice(error.what, error.why, error.now))
        return

    def chosen(name: str | None) -> None:
        try:
            if name == "watch":
                app.open_run(find_run(instance, holder.run), holder.pid)
            elif name == "look" and left is not None:
                app.open_run(left)
            elif name in ("finish", "undo") and left is not None:
                app.begin(left, undo=name == "undo")
            elif name == "break":
                release(instance)
                app.notify("The lock is broken. Do it again now.", timeout=4, markup=False)
        except DisintoError as trouble:
            app.push_screen(Notice(trouble.what, trouble.why, trouble.now))

    app.push_screen(Held(error, offers), chosen)
