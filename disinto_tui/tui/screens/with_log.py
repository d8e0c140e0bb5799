"""A screen with a log on it: the log's keys work wherever the focus is."""

from __future__ import annotations

from collections.abc import Callable

from textual import events

from disinto_tui.tui.actions import bindings, in_scope
from disinto_tui.tui.log.pane import LogPane
from disinto_tui.tui.screens.base import DisintoScreen

_METHODS = frozenset(action.method for action in in_scope("log"))


class LogScreen(DisintoScreen[None]):
    """Passes the log's actions on to its one `LogPane`. The widget that has the focus comes first: a list's own ↑ is
    the list's, and what it has no use for is the log's."""

    BINDINGS = bindings("log")

    def on_key(self, event: events.Key) -> None:
        """What is typed right behind the search's key, from wherever it was pressed."""
        for pane in self.query(LogPane):
            pane.typed(event)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What the log says of its own actions."""
        if action in _METHODS:
            panes = self.query(LogPane)
            return bool(panes) and panes.first().view.check_action(action, parameters)
        return True


def _passed_on(method: str) -> Callable[[LogScreen], None]:
    def action(self: LogScreen) -> None:
        getattr(self.query_one(LogPane).view, f"action_{method}")()

    action.__doc__ = f"The log's `{method}`."
    return action


for _method in _METHODS:
    setattr(LogScreen, f"action_{_method}", _passed_on(_method))
