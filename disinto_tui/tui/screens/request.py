"""Where a request for approval stands: filed, approved, merged, executed, result; followed until it is over."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from textual import work
from textual.message import Message
from textual.widget import Widget

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.words import age_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.screens.base import DisintoScreen, in_words
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.approval import RequestState, Stage

Follow = Callable[["Instance", str], AsyncIterator["RequestState"]]
"""Tells a request's state each time it changed (`runs.request_state.follow_request`)."""

_LABEL = 13


async def _follow(instance: Instance, name: str) -> AsyncIterator[RequestState]:
    from disinto_tui.runs.request_state import follow_request, ops_place

    async for state in follow_request(await ops_place(instance), name):
        yield state


class Standing(LineList):
    """The stages, what was said of each, and what is waited for."""

    DEFAULT_CSS = "Standing { height: 1fr; padding: 1 0 0 0; }"
    HELP = "Where the request stands. It is looked at every few seconds; nothing is changed by looking."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state: RequestState | None = None
        self.error: DisintoError | None = None

    def show(self, state: RequestState | None, error: DisintoError | None) -> None:
        """Show a state, or why there is none."""
        self.state, self.error = state, error
        self.rebuild()

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width; each is an item, to scroll by."""
        lines: list[Line] = []
        if self.state is None and self.error is None:
            lines.append((("   Asking the forge where it stands …", "dim"),))
        if self.state is not None:
            lines += standing_lines(self.state, width, time.time())
        if self.error is not None:
            texts = ((self.error.what, "strong"), (self.error.why, "plain"), (self.error.now, "plain"))
            for text, tone in texts:
                lines += wrapped(text, width, "   ", tone)
        return lines, list(range(len(lines)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to open."""
        return action != "open"


def standing_lines(state: RequestState, width: int, now: float) -> Iterator[Line]:
    """A request as an operator reads it: each stage with who and when, then what needs somebody. `now` is unix
    seconds."""
    for stage, name, words in _stages(state, now):
        reached = state.reached(stage) or (stage == "open" and state.stage == "closed")
        if stage == "executed" and state.exit_code is None and state.stage != "executed":
            reached = False  # released, and the execution was not seen from here
        bad = (stage == "executed" and bool(state.exit_code)) or (
            stage == "result" and state.status == "failed"
        )
        mark, tone = ("✗", "bad") if bad and reached else ("✓", "good") if reached else ("·", "dim")
        waiting = not reached and not state.over and _next(state) == stage
        if waiting:
            mark, tone = "▶", "strong"
        first, *rest = wrapped(words if reached or waiting else "", width - 1, " " * (_LABEL + 5), "plain")
        name_tone = "strong" if reached or waiting else "dim"
        yield (("   ", "plain"), (f"{mark} ", tone), (f"{name:<{_LABEL}}", name_tone), *first[1:])
        yield from rest
    yield ()
    tone = "bad" if state.good is False else "good" if state.good else "strong"
    yield from wrapped(state.words, width - 1, "   ", tone)
    for text in state.warnings:
        first, *rest = wrapped(text, width - 1, "     ", "plain")
        yield (("   ▲ ", "warn"), *first[1:])
        yield from rest
    if state.now:
        yield from wrapped(state.now, width - 1, "   ", "plain")
    yield ()
    for label, text in (
        ("context", state.context),
        ("secrets", ", ".join(state.secrets)),
        ("page", state.url),
    ):
        if text:
            first, *rest = wrapped(text, width - 1, " " * (_LABEL + 3), "dim")
            yield ((f"   {label:<{_LABEL}}", "dim"), *first[1:])
            yield from rest
    if state.good is False and state.logs:
        yield ()
        for line in state.logs.splitlines():
            yield ((f"   {line}", "plain"),)


def _next(state: RequestState) -> Stage | None:
    """The stage that is waited for."""
    from disinto_tui.core.approval import ORDER

    at = ORDER.index(state.stage) if state.stage in ORDER else len(ORDER)
    return ORDER[at + 1] if at + 1 < len(ORDER) else None


def _stages(state: RequestState, now: float) -> Iterator[tuple[Stage, str, str]]:
    def ago(at: float) -> str:
        return f", {age_text(now - at)} ago" if at else ""

    pull = f"pull request {state.pull}, " if state.pull else ""
    named = f", by {', '.join(state.approved_by)}" if state.approved_by else ""
    yield "open", "filed", f"{pull}by {state.author or 'somebody'}{ago(state.filed_at)}"
    yield "approved", "approved", f"{len(state.approved_by)} of {state.approvals_needed}{named}"
    by = "by the forge itself" if state.scheduled else "somebody has to"
    merged = f"by {state.merged_by or 'somebody'}{ago(state.merged_at)}"
    yield "merged", "merged", merged if state.reached("merged") else by
    code = "?" if state.exit_code is None else state.exit_code
    executed = "this factory does not tell" if state.silent else "filed, and not executed"
    if state.reached("executed"):
        executed = f"exit code {code}{ago(state.executed_at)}"
    yield "executed", "executed", executed
    yield "result", "result", " ".join(part for part in (state.status, state.reference, state.digest) if part)


class RequestScreen(DisintoScreen[None]):
    """One request, by its id or its version. `follow` tells how it stands."""

    SCOPES = ("request",)
    HELP = (
        "A release that was filed for approval, and what became of it. Leaving this screen changes nothing."
    )
    BINDINGS = bindings("request")
    AUTO_FOCUS = "#standing"

    class Told(Message):
        """A state of the request, or why nobody can tell."""

        def __init__(self, found: RequestState | DisintoError) -> None:
            super().__init__()
            self.found = found

    def __init__(self, name: str, *, follow: Follow = _follow) -> None:
        super().__init__()
        self._request = name
        self._source = follow

    def headline(self) -> str:
        """Which one."""
        state = self._list.state if self.is_mounted else None
        return f"Request {state.id if state is not None else self._request} · {self.disinto.project}"

    def body(self) -> Iterable[Widget]:
        """One list."""
        yield Standing(id="standing")

    @property
    def _list(self) -> Standing:
        return self.query_one(Standing)

    def on_mount(self) -> None:
        """Begin to follow."""
        self._follow()

    @work(group="follow", exclusive=True, exit_on_error=False)
    async def _follow(self) -> None:
        try:
            async for state in self._source(self.disinto.instance, self._request):
                self.post_message(self.Told(state))
        except Exception as error:
            self.post_message(self.Told(in_words(error)))

    def on_request_screen_told(self, message: RequestScreen.Told) -> None:
        """Show it; what was known before an error stays on the screen."""
        if isinstance(message.found, DisintoError):
            self._list.show(self._list.state, message.found)
        else:
            self._list.show(message.found, None)
        top: Any = self.query_one("#top")
        top.say(left=self.headline())
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There has to be a page to copy the address of."""
        if action == "copy":
            found = self.query(Standing)
            return bool(found) and found.first().state is not None and bool(found.first().state.url)  # type: ignore[union-attr]
        return True

    def action_again(self) -> None:
        """Look now."""
        self._list.show(self._list.state, None)
        self._follow()

    def action_copy(self) -> None:
        """Copy the pull request's address."""
        state = self._list.state
        if state is not None:
            self.app.copy_to_clipboard(state.url)
            self.app.notify(f"Copied {state.url}", timeout=2, markup=False)

    def action_back(self) -> None:
        """Leave; what was filed stays filed."""
        if len(self.app.screen_stack) > 1:
            self.dismiss()
        else:
            self.app.exit(0)
