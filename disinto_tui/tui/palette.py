"""The command palette: the action table, filtered by what works right now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider

from disinto_tui.tui.actions import ACTIONS, SCOPES


class ActionProvider(Provider):
    """Offers every action that works where the palette was opened."""

    def _offers(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        """What can be done on this screen before how to move in it; each once, in the words of the line of keys."""
        found: dict[str, ActiveBinding] = {}
        for active in self.screen.active_bindings.values():
            action = ACTIONS.get(active.binding.id or "")
            if action is not None and action.palette and action.id != "app.palette":
                found.setdefault(action.id, active)
        own = getattr(self.screen, "SCOPES", ())
        label_now = getattr(self.screen, "key_label", lambda action_id: "")
        for name, active in sorted(found.items(), key=lambda item: ACTIONS[item[0]].scope not in own):
            action = ACTIONS[name]
            title = f"{SCOPES.get(action.scope, action.scope)}: {label_now(name) or action.label}"
            yield title, action.help, partial(self._run, active)

    def _run(self, active: ActiveBinding) -> None:
        self.app.call_later(self.app.run_action, active.binding.action, active.node)

    async def discover(self) -> Hits:
        """Everything, before a letter is typed."""
        for title, text, run in self._offers():
            yield DiscoveryHit(title, run, help=text)

    async def search(self, query: str) -> Hits:
        """What matches."""
        matcher = self.matcher(query)
        for title, text, run in self._offers():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, help=text)
