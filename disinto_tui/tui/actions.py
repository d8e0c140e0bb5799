"""Every action of the terminal UI, as data: one table that bindings, footer, help and palette are made from.

An action's `id` is `scope.name`. The scope says where it works; the class that works there takes its bindings
with `bindings("scope")` and has a method `action_name`. Ids are what a keymap file names, so they are an API.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.binding import Binding

from disinto_tui.tui.actions_home import HOME_ACTIONS, HOME_SCOPES
from disinto_tui.tui.actions_release import RELEASE_ACTIONS, RELEASE_SCOPES
from disinto_tui.tui.actions_table import ACTIONS as _ACTIONS
from disinto_tui.tui.actions_table import SCOPES as _SCOPES
from disinto_tui.tui.actions_versions import VERSION_ACTIONS, VERSION_SCOPES


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `keys` is comma-separated; `label` is for the footer, `help` says what it does and when.

    `footer` is its place there: small numbers first, and the last to go when the line is narrow; 0 keeps it
    out. `palette` is False for what only makes sense as a key (moving about).
    """

    id: str
    keys: str
    label: str
    help: str
    footer: int = 0
    palette: bool = True
    priority: bool = False

    @property
    def scope(self) -> str:
        """Where it works: `app`, `log`, `run`, …"""
        return self.id.partition(".")[0]

    @property
    def method(self) -> str:
        """The Textual action: `log.first_error` is `action_first_error` of the log view."""
        return self.id.partition(".")[2]


_ROWS = (*_ACTIONS, *HOME_ACTIONS, *VERSION_ACTIONS, *RELEASE_ACTIONS)
ACTIONS: dict[str, Action] = {row[0]: Action(*row) for row in _ROWS}
"""All actions by id, in the order help shows them."""

SCOPES: dict[str, str] = {**_SCOPES, **HOME_SCOPES, **VERSION_SCOPES, **RELEASE_SCOPES}
"""What each scope is called in help."""


def in_scope(scope: str) -> Iterator[Action]:
    """The actions of one scope, in order."""
    return (action for action in ACTIONS.values() if action.scope == scope)


def bindings(*scopes: str) -> list[Binding | tuple[str, str] | tuple[str, str, str]]:
    """The bindings of one or more scopes, for a class's BINDINGS. Their ids make them remappable."""
    return [
        Binding(
            action.keys,
            action.method,
            action.label,
            show=action.footer > 0,
            priority=action.priority,
            tooltip=action.help,
            id=action.id,
        )
        for scope in scopes
        for action in in_scope(scope)
    ]
