"""`?`: what has the focus, what this screen is for, and every key that works here."""

from __future__ import annotations

import textwrap
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from disinto_tui.tui.actions import ACTIONS, SCOPES
from disinto_tui.tui.key_names import key_name
from disinto_tui.tui.screens.base import DisintoModal
from disinto_tui.tui.widgets.frame import clip


def help_content(screen: Screen[Any], width: int = 76) -> Content:
    """The help of a screen as it is now: what the focused widget and the screen are for; the screen's keys, then the
    widget's, then those that work everywhere."""
    parts: list[Content | str | tuple[str, str]] = []
    focused = screen.focused
    for node in (focused, screen):
        text = getattr(node, "HELP", "") if node is not None else ""
        if text:
            parts += [text, "\n\n"]
    order = {action_id: place for place, action_id in enumerate(ACTIONS)}  # a remapped key keeps its place
    groups: dict[str, dict[str, list[str]]] = {}
    for key, active in screen.active_bindings.items():
        action = ACTIONS.get(active.binding.id or "")
        if action is not None:
            groups.setdefault(action.scope, {}).setdefault(action.id, []).append(key_name(key))
    own = getattr(screen, "SCOPES", ())
    for scope, found in sorted(groups.items(), key=lambda item: item[0] not in own):
        parts += [(SCOPES.get(scope, scope), "bold $accent"), "\n"]
        for action_id, keys in sorted(found.items(), key=lambda item: order[item[0]]):
            action = ACTIONS[action_id]
            shown = clip(" ".join(keys), 13)
            lines = textwrap.wrap(action.help, max(20, width - 16))
            parts += [(f"  {shown:<13} ", "bold"), f"\n{' ' * 16}".join(lines)]
            # Its name, for who wants another key: at the end of the last line, or of one more.
            room = width - 16 - len(lines[-1])
            parts += ["" if room > len(action_id) + 1 else f"\n{' ' * 16}"]
            gap = room if room > len(action_id) + 1 else width - 16
            parts += [(f"{action_id:>{gap}}\n", "$dim")]
        parts.append("\n")
    parts += [
        ("To use other keys, write lines such as ", "$dim"),
        '"log.wrap" = "W"',
        (" to\n", "$dim"),
        (str(screen.app.config / "keys.toml") if hasattr(screen.app, "config") else "keys.toml", "$dim"),
        ("\nThe documentation: ", "$dim"),
        "disinto docs",
    ]
    return Content.assemble(*parts)


class HelpScreen(DisintoModal[None]):
    """Over the screen it explains; Esc or `?` closes it."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 84; max-width: 96%; height: auto; max-height: 90%;
        background: $background; border: round $rule; border-title-color: $foreground;
        border-subtitle-color: $dim; padding: 1 2; scrollbar-size-vertical: 1;
    }
    """
    BINDINGS = [("escape,question_mark,f1,q", "close", "close")]

    def __init__(self, about: Screen[Any]) -> None:
        super().__init__()
        self._about = about

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        width = min(84, int(self.app.size.width * 0.96)) - 7
        with VerticalScroll() as pane:
            pane.border_title = "Help"
            pane.border_subtitle = "esc closes"
            yield Static(help_content(self._about, width), markup=False)

    def action_close(self) -> None:
        """Back to the screen."""
        self.dismiss()
