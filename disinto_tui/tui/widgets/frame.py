"""The frame every screen shares: a header line, rules, and the line of keys at the bottom.

Each is one widget that paints one line itself. Textual's own Header and Footer mount a widget for every item,
which first paint would pay for.
"""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from disinto_tui.core.text import neutralise
from disinto_tui.tui.actions import ACTIONS


def clip(text: str, width: int) -> str:
    """`text` in at most `width` cells, with … where something was cut."""
    if width <= 0:
        return ""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


class TopLine(Widget):
    """` disinto · acme` at the left, where we are connected at the right. The left one wins when it is tight."""

    DEFAULT_CSS = """
    TopLine { dock: top; height: 1; color: $foreground; }
    TopLine > .topline--title { text-style: bold; }
    TopLine > .topline--where { color: $dim; }
    """
    COMPONENT_CLASSES = {"topline--title", "topline--where"}

    def __init__(self, left: str = "", right: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left, self._right = left, right

    def say(self, left: str | None = None, right: str | None = None) -> None:
        """Change one or both texts; paints only when something differs."""
        new = (
            self._left if left is None else neutralise(left),
            self._right if right is None else neutralise(right),
        )
        if new != (self._left, self._right):
            self._left, self._right = new
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        left = clip(f" {self._left}", width)
        room = width - cell_len(left) - 4
        # The end of the right text (the project) says more than its beginning (the engine's address).
        right = self._right if cell_len(self._right) <= room else ""
        if not right and " · " in self._right:
            tail = self._right.rpartition(" · ")[2]
            right = tail if cell_len(tail) <= room else ""
        gap = width - cell_len(left) - cell_len(right) - (1 if right else 0)
        title = self.get_component_rich_style("topline--title")
        where = self.get_component_rich_style("topline--where")
        return Strip(
            [Segment(left, title), Segment(" " * gap, where), Segment(right + " " * bool(right), where)]
        )


class Rule(Widget):
    """A line between two zones. `joint` is the column of a vertical line it meets, `mark` how (┬ or ┴)."""

    DEFAULT_CSS = "Rule { height: 1; color: $rule; }"

    def __init__(self, mark: str = "┬", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._mark = mark
        self.joint = -1

    def set_joint(self, column: int, mark: str) -> None:
        """A vertical line meets this one at a column; -1 for none."""
        if (column, mark) != (self.joint, self._mark):
            self.joint, self._mark = column, mark
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        line = "─" * width
        if 0 <= self.joint < width:
            line = line[: self.joint] + self._mark + line[self.joint + 1 :]
        return Strip([Segment(line, self.rich_style)])


class KeyBar(Widget):
    """The keys that work here: the focused widget's and the screen's, in the action table's order.

    On a narrow terminal the entries with the largest `footer` go first, but help and the way out stay.
    Clicking an entry is pressing its key.
    """

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; color: $dim; }
    KeyBar > .keybar--key { color: $foreground; text-style: bold; }
    KeyBar > .keybar--label { color: $dim; }
    """
    COMPONENT_CLASSES = {"keybar--key", "keybar--label"}
    _ALWAYS = 90

    def on_mount(self) -> None:
        """Repaint when the focus moves or a screen's actions change."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, _screen: object) -> None:
        self.refresh()

    def entries(self) -> list[tuple[str, str, str]]:
        """(key to press, key as shown, label), as many as fit, in order."""
        found: dict[str, tuple[int, str, str, str]] = {}
        label_now = getattr(self.screen, "key_label", lambda action_id: "")
        for key, active in self.screen.active_bindings.items():
            action = ACTIONS.get(active.binding.id or "")
            if action is None or action.footer == 0 or not active.enabled:
                continue
            if action.id in found and key != action.keys.partition(",")[0]:
                continue  # of several keys the first is the one to learn
            shown = self.app.get_key_display(active.binding)
            label = label_now(action.id) or active.binding.description
            found[action.id] = (action.footer, key, shown, label)
        # Two keys that do the same are one entry: the key that is shorter to say.
        best: dict[str, tuple[int, str, str, str]] = {}
        for item in sorted(found.values(), key=lambda item: item[0]):
            other = best.get(item[3])
            if other is None or cell_len(item[2]) < cell_len(other[2]):
                best[item[3]] = item
        ordered = sorted(best.values(), key=lambda item: item[0])
        room = self.size.width - 2
        while ordered and sum(cell_len(item[2]) + cell_len(item[3]) + 4 for item in ordered) - 3 > room:
            spare = [item for item in ordered if item[0] < self._ALWAYS] or ordered
            ordered.remove(spare[-1])
        return [item[1:] for item in ordered]

    def render_line(self, y: int) -> Strip:
        """The line."""
        key_style = self.get_component_rich_style("keybar--key")
        label_style = self.get_component_rich_style("keybar--label")
        segments = [Segment(" ", label_style)]
        for key, shown, label in self.entries():
            press = Style(meta={"@click": f"app.simulate_key('{key}')"})
            segments += [
                Segment(shown, key_style + press),
                Segment(f" {label}", label_style + press),
                Segment("   ", label_style),
            ]
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)
