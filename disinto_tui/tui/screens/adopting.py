"""An existing stack goes over to pinned images, or back: plan, review, begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from disinto_tui.core.errors import DisintoError
from disinto_tui.tui.screens.base import DisintoScreen
from disinto_tui.tui.screens.dialogs import AskLine
from disinto_tui.tui.screens.switching import Planning, looked_at

if TYPE_CHECKING:
    from disinto_tui.runs.adopt import Prepared

_WAITS_FOR = "Looking at files, containers, volumes and what Compose makes of them. Nothing is changed."


def adopt(screen: DisintoScreen[None], *, undo: bool = False, version: str = "") -> None:
    """Plan over `screen`, let the operator decide, begin the run. `version` is what to run from now on, "" what runs;
    where nobody knows that, the operator is asked."""
    app = screen.disinto
    instance = app.instance

    async def plan() -> Prepared:
        from disinto_tui.runs.adopt import AdoptRequest, plan_adopt
        from disinto_tui.runs.adopt_undo import plan_adopt_undo

        return await (plan_adopt_undo(instance) if undo else plan_adopt(AdoptRequest(instance, version)))

    def review(found: Prepared) -> None:
        def answer(said: bool) -> None:
            if said:
                # The review is still on top while it answers; what comes next goes over the screen below.
                screen.call_later(begin, found)

        app.review(found.plan, answer, yes="Take it back" if undo else "Adopt it")

    def begin(found: Prepared) -> None:
        app.start(found.plan, dict(found.staged), secrets=dict(found.secrets))

    def looked(found: Prepared | DisintoError | None) -> None:
        if isinstance(found, DisintoError) and found.code == "adopt.version":
            question = f"{found.what} {found.why}\n\nWhich version is it to run from now on?"
            ask = AskLine(question, "", _check_version, enter="plans with it")
            app.push_screen(ask, lambda said: adopt(screen, version=said) if said else None)
        else:
            looked_at(app, review, found)

    title = "Planning the way back" if undo else f"Planning to take {app.project} over"
    app.push_screen(Planning(title, plan, _WAITS_FOR), looked)


def _check_version(text: str) -> str:
    return "" if text.strip() else "A version is named like v0.3.0; `disinto versions` lists them."
