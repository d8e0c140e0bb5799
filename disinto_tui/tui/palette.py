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
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            action = ACTIONS.get(active.binding.id or "")
            if action is None or not action.palette or action.id in seen or action.id == "app.palette":
                continue
            seen.add(action.id)
            title = f"{SCOPES.get(action.scope, action.scope)}: {action.label}"
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
