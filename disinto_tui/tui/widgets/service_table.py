"""The services, live. When there are none, the same place says why."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from disinto_tui.core.view import InstanceView, ServiceView
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped
from disinto_tui.tui.widgets.home_text import age, has_factory, percent, size, state_piece


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int
    right: bool = False


class ServiceTable(LineList):
    """One line a service under a heading: state in a word with its glyph and colour, version, up, CPU, MEM.

    The column of drift, and on a wide terminal the image, take what is left.
    """

    DEFAULT_CSS = "ServiceTable { height: auto; }"
    HELP = "The services of the factory, as the engine says they are now. Enter shows a service's log."
    FIXED = 1

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view: InstanceView | None = None
        self._now = 0.0
        self._missing_since = ""

    def show(self, view: InstanceView | None, now: float) -> None:
        """Show a view at a time (unix seconds)."""
        chosen = self.service
        self._view, self._now = view, now
        names = [item.name for item in view.services] if view is not None else []
        if chosen is not None and chosen.name in names:
            self.cursor = names.index(chosen.name)  # stay on the service, not on the line
        self.rebuild()

    @property
    def service(self) -> ServiceView | None:
        """The selected service."""
        services = self._view.services if self._view is not None else ()
        return services[self.cursor] if self.cursor < len(services) else None

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """Heading and services; or the reason why there are none."""
        view = self._view
        if view is None:
            return [(), ((" Asking the engine for the services …", "dim"),)], [-1, -1]
        if view.services:
            return self._table(view, width)
        lines = [(), *_why_empty(view, width)]
        return lines, [-1] * len(lines)

    def _table(self, view: InstanceView, width: int) -> tuple[list[Line], list[int]]:
        services = view.services
        name = min(max(8, *(cell_len(item.name) for item in services)), max(16, width - 58))
        version = min(max(7, *(cell_len(item.version) for item in services)), 14)
        columns = [
            _Column("SERVICE", name),
            _Column("STATE", max(14, *(cell_len(state_piece(item)[0]) for item in services))),
            _Column("VERSION", version),
            _Column("UP", 7, True),
        ]
        # Two columns of dashes say nothing: they are there when somebody measured.
        measured = any(item.cpu is not None or item.memory is not None for item in services)
        if measured:
            columns += [_Column("CPU", 5, True), _Column("MEM", 6, True)]
        used = 1 + sum(column.width + 2 for column in columns)
        rest = width - used - 1
        heads: list[tuple[str, str]] = [(" ", "dim")]
        for column in columns:
            heads.append((_fit(column.title, column) + "  ", "dim"))
        if rest >= 20:
            heads.append(("IMAGE", "dim"))
        lines: list[Line] = [tuple(heads)]
        for item in services:
            state, tone = state_piece(item)
            quiet = "dim" if item.state in ("absent", "created") else "plain"
            up = age(self._now - item.since) if item.since is not None else "-"
            cells = [
                (item.name, quiet),
                (state, tone),
                (item.version or "-", quiet),
                (up, quiet),
            ]
            if measured:
                cells.append((percent(item.cpu), "dim" if item.cpu is None else quiet))
                cells.append((size(item.memory), "dim" if item.memory is None else quiet))
            row: list[tuple[str, str]] = [(" ", "plain")]
            for (text, tone_of), column in zip(cells, columns, strict=True):
                row.append((_fit(text, column) + "  ", tone_of))
            if item.drift and rest >= 7:
                row.append(("≠ drift" if rest < 30 else f"≠ {item.drift[0]}", "warn"))
            elif rest >= 20:
                row.append((item.image, "dim"))
            lines.append(tuple(row))
        return lines, [-1, *range(len(services))]


def _fit(text: str, column: _Column) -> str:
    from disinto_tui.tui.widgets.frame import clip

    shown = clip(text, column.width)
    gap = " " * (column.width - cell_len(shown))
    return gap + shown if column.right else shown + gap


def _why_empty(view: InstanceView, width: int) -> list[Line]:
    width = min(width, 100)
    lines: list[Line] = []
    if view.engine_error:
        parts = view.engine_error.replace(". ", ".\n", 2).split("\n")
        lines += wrapped(parts[0], width, " ▲ ", "bad")
        for part in parts[1:]:
            lines += wrapped(part, width, "   ", "plain")
        lines += [(), *wrapped("It is asked again by itself; R asks now.", width, "   ", "dim"), ()]
    if not has_factory(view):
        lines += wrapped(f"There is no factory in {view.directory} yet.", width, "   ", "strong")
        lines += [
            (),
            (("   i", "good"), ("  makes one: a token, a config file, a version, and a review.", "plain")),
            (("      Nothing is written before you say yes.", "dim"),),
            (),
            (("   Without this screen: ", "dim"), ("disinto init CONFIG", "plain")),
        ]
    elif not view.engine_error:
        lines += wrapped(
            "The compose file cannot be read, and no container of this factory exists.", width, "   ", "plain"
        )
    return lines
