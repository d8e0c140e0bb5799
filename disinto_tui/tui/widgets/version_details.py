"""Everything about one version: what a switch would do, how it went here, what its image is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from disinto_tui.core.catalog import Catalog, Meta, VersionRow
from disinto_tui.core.catalog_text import PastStart, about, entry_text, standing
from disinto_tui.core.text import neutralise
from disinto_tui.core.words import size_text
from disinto_tui.tui.actions import bindings
from disinto_tui.tui.widgets.home_lines import Line, LineList, wrapped

_LABEL = 10
_STARTS, _LAST_LINES = 5, 6
_TONES = {"●": "good", "✓": "good", "✗": "bad", "▲": "warn"}
# What is asked first comes first; what `about` says beyond these follows as it is.
_ORDER = (
    ("title", "made", "for", "pull", "volumes", "not asked"),
    ("against",),
    ("image", "moved", "digest", "revision"),
    ("labels",),
)
_DIGEST = len("sha256:") + 12


@dataclass(frozen=True, slots=True)
class Subject:
    """A version, and what its details are told from. `running` is what is known of the running one; `agents` the
    services that run the agents image, when that is known."""

    row: VersionRow
    catalog: Catalog
    past: Sequence[PastStart] = ()
    running: Meta | None = None
    agents: Sequence[str] = ()


def switch_text(subject: Subject) -> str:
    """What a switch to it would do, in a sentence."""
    marks, meta = subject.row.marks, subject.row.meta
    moved = meta is not None and bool(meta.here)
    if marks.running and marks.pinned and not moved:
        return "nothing to do, it runs"
    if (meta is not None and meta.pull == 0) or (marks.offline and not moved):
        pulls = "pulls nothing"
    elif meta is None or meta.pull < 0:
        pulls = "pulls what is missing"
    else:
        pulls = f"pulls {size_text(meta.pull)}"
    agents = ", ".join(subject.agents) or "the agents"
    return f"{pulls}, recreates {agents}; nothing else"


def undo_text(subject: Subject) -> str:
    """Whether one could go back from it without a registry."""
    catalog = subject.catalog
    running = catalog.running
    if not running or subject.row.tag == running:
        return ""
    marks = catalog.row(running).marks
    return f"back to {running}, " + ("works offline" if marks.offline else "its image may have to be pulled")


def detail_lines(subject: Subject, width: int, now: float) -> list[Line]:
    """The lines for a width."""
    row, catalog = subject.row, subject.catalog
    lines = _title(row, width, now)
    if row.marks.past is not None and row.marks.past.reason:
        lines += wrapped(neutralise(row.marks.past.reason), width - 1, "   ", "plain")
    if row.meta is None:
        lines += [(), ((" Asking what it is …", "dim"),)]
    groups = _grouped(about(row, (), catalog, subject.running, now))
    lines.append(())
    lines += _field("switch", [switch_text(subject)], width)
    undo = undo_text(subject)
    lines += _field("undo", [undo] if undo else [], width)
    lines += _ran_here(subject.past, width, now)
    told = {"version", "offline"}
    for names in _ORDER:
        found: list[Line] = []
        for label in [label for label in groups if label.split(" ")[0] in names or label in names]:
            told.add(label)
            found += _field(label, groups[label], width)
        lines += [(), *found] if found else []
    for label, texts in groups.items():
        lines += _field(label, texts, width) if label not in told else []
    return lines


def _title(row: VersionRow, width: int, now: float) -> list[Line]:
    """The version and what is to say first, on one line when there is room."""
    said = standing(row, now)
    pieces: list[tuple[str, str]] = [(f" {row.tag}", "strong")]
    for number, text in enumerate(said):
        pieces += [(" · " if number else "   ", "dim"), (text, _TONES.get(text[:1], "plain"))]
    if sum(cell_len(text) for text, _ in pieces) < width:
        return [tuple(pieces)]
    lines: list[Line] = [tuple(pieces[:1])]
    for text in said:
        lines += wrapped(text, width - 1, "   ", _TONES.get(text[:1], "plain"))
    return lines


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Texts by label; one without a label goes on with the one before."""
    groups: dict[str, list[str]] = {}
    label = ""
    for name, text in pairs:
        label = name or label
        # Whole in what is copied: here it would only push aside what is read.
        shown = text[:_DIGEST] if label == "digest" else text
        groups.setdefault(label, []).append(shown)
    return groups


def _field(label: str, texts: Sequence[str], width: int) -> list[Line]:
    lines: list[Line] = []
    label_lines = [label] if len(label) < _LABEL else []
    if not label_lines and texts:
        lines.append(((f" {label}", "dim"),))
    for text in texts:
        for number, part in enumerate(wrapped(neutralise(text), width - 1, " " * (_LABEL + 1), _tone(text))):
            first = label_lines.pop() if number == 0 and label_lines else ""
            lines.append(((f" {first:<{_LABEL}}", "dim"), *part[1:]))
    return lines


def _tone(text: str) -> str:
    return next(
        (tone for glyph, tone in _TONES.items() if glyph in text and tone in ("bad", "warn")), "plain"
    )


def _ran_here(past: Sequence[PastStart], width: int, now: float) -> list[Line]:
    if not past:
        return []
    lines: list[Line] = [(), *_field("ran here", [entry_text(entry, now) for entry in past[:_STARTS]], width)]
    said = next((entry.lines for entry in past if entry.lines), ())
    if said:
        lines.append(((f" {'':<{_LABEL}}", "dim"), ("its last lines:", "dim")))
        for text in said[-_LAST_LINES:]:
            lines += wrapped(neutralise(text), width - 1, " " * (_LABEL + 3), "dim", lines=2)
    return lines


class VersionDetails(LineList):
    """Lines about one version, to scroll through. No line is an item."""

    DEFAULT_CSS = """
    VersionDetails { height: 1fr; border-left: solid $rule; }
    VersionDetails:focus { border-left: solid $accent; }
    """
    BINDINGS = bindings("about")
    HELP = "Everything that is known of the version: from its registry, from this host, from this factory's history."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._subject: Subject | None = None
        self._now = 0.0

    def show(self, subject: Subject | None, now: float) -> None:
        """Show a version; another one from its top."""
        before = self._subject.row.tag if self._subject is not None else ""
        self._subject, self._now = subject, now
        if subject is not None and subject.row.tag != before:
            self.scroll_to(y=0, animate=False, force=True)
        self.rebuild()

    def build(self, width: int) -> tuple[list[Line], list[int]]:
        """The lines for a width."""
        lines = detail_lines(self._subject, width, self._now) if self._subject is not None else []
        return lines, [-1] * len(lines)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to choose in it; Enter is the screen's."""
        return action != "open"

    def on_click(self) -> None:  # type: ignore[override]
        """Nothing in it is an item."""

    def action_up(self) -> None:
        """A line up."""
        self.scroll_relative(y=-1, animate=False)

    def action_down(self) -> None:
        """A line down."""
        self.scroll_relative(y=1, animate=False)

    def action_page_up(self) -> None:
        """A page up."""
        self.scroll_page_up(animate=False)

    def action_page_down(self) -> None:
        """A page down."""
        self.scroll_page_down(animate=False)

    def action_first(self) -> None:
        """To the top."""
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        """To the bottom."""
        self.scroll_end(animate=False)
