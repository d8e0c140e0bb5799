"""A screen with a list that is filtered while somebody types."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from disinto_tui.tui.screens.base import DisintoScreen
from disinto_tui.tui.widgets.filter_line import FilterLine
from disinto_tui.tui.widgets.version_list import VersionList


class FilteringScreen(DisintoScreen[None]):
    """Owns the filter's words and its line. Subclasses show the list, and say with which action it is opened."""

    FILTER_ACTION = ""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        self._before_filter = ""
        self._ahead: str | None = None

    @property
    def _list(self) -> VersionList:
        return self.query_one(VersionList)

    def _show(self, cursor: str = "") -> None:
        """Show what the filter leaves, the cursor on that tag when it is left."""
        raise NotImplementedError

    def on_key(self, event: events.Key) -> None:
        """What is typed right behind the filter's key belongs to the filter, though its line has no focus yet.

        Keys come in bursts over a slow connection, and among them may be some that mean something to the list.
        """
        typing = self._ahead is not None or isinstance(self.focused, FilterLine)
        if typing and event.is_printable and event.character is not None:
            event.stop()
            event.prevent_default()
            if self._ahead is not None:
                self._ahead += event.character
            else:
                self.query_one(FilterLine).insert_text_at_cursor(event.character)
            return
        active = self.active_bindings.get(event.key)
        if active is not None and active.binding.id == self.FILTER_ACTION and self.check_action("filter", ()):
            self._ahead = ""

    async def action_filter(self) -> None:
        """Open the line to type in; it is made when it is first wanted."""
        found = self.query(FilterLine)
        line = found.first() if found else FilterLine()
        if not found:
            await self.mount(line, after="#say")
        if not self.words:
            self._before_filter = self._list.tag
        line.value = self.words + (self._ahead or "")
        self._ahead = None
        line.cursor_position = len(line.value)
        line.display = True
        self.set_focus(line)

    def on_input_changed(self, event: Input.Changed) -> None:
        """The list follows what is typed."""
        event.stop()
        if event.value != self.words:
            self.words = event.value
            self._show(self._list.tag or self._before_filter)

    def on_filter_line_left(self, message: FilterLine.Left) -> None:
        """Back to the list."""
        self.query_one(FilterLine).display = False
        self.set_focus(self._list)
        if message.clear:
            self._clear_filter()

    def on_filter_line_step(self, message: FilterLine.Step) -> None:
        """The cursor moves while the filter is typed."""
        self._list.move_to(self._list.cursor + message.step)

    def _clear_filter(self) -> None:
        # What was chosen among the matches stays chosen; without a match it is as it was before.
        self.words = ""
        self._show(self._list.tag or self._before_filter)
