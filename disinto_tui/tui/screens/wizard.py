"""What the wizards share: pages with a line of progress above and buttons below, one page on the screen at a time.

Nothing is changed before the review at a wizard's end is answered; what its pages mean is the screen's business.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.text import neutralise
from disinto_tui.tui.screens.base import DisintoScreen
from disinto_tui.tui.screens.dialogs import Choice
from disinto_tui.tui.widgets.frame import Rule
from disinto_tui.tui.widgets.home_lines import LINES_CSS, TONES, Line, paint


class PageLine(Widget):
    """`✓ token ── ● config ── ○ version ── ○ review`, and below it a line of what is known by now."""

    DEFAULT_CSS = LINES_CSS.format(name="PageLine") + "PageLine { height: 2; }"
    COMPONENT_CLASSES = {f"lines--{tone}" for tone in (*TONES, "cursor")}

    def __init__(self, pages: Sequence[str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pages = tuple(pages)
        self._page, self._facts = 0, ()  # type: tuple[int, Line]

    def show(self, page: int, facts: Line, pages: Sequence[str] = ()) -> None:
        """The page's number and the facts; `pages` when they are others now."""
        now = (page, facts, tuple(pages) or self._pages)
        if now != (self._page, self._facts, self._pages):
            self._page, self._facts, self._pages = now
            self.refresh()

    @property
    def facts(self) -> str:
        """The second line as plain text."""
        return "".join(text for text, _ in self._facts)

    def render_line(self, y: int) -> Strip:
        """One of the two lines."""
        styles = {tone: self.get_component_rich_style(f"lines--{tone}") for tone in TONES}
        if y == 1:
            return paint((("   ", "plain"), *self._facts) if self._facts else (), self.size.width, styles)
        line: list[tuple[str, str]] = [(" ", "plain")]
        for number, name in enumerate(self._pages):
            if number:
                line.append((" ─── ", "dim"))
            mark = "✓" if number < self._page else "●" if number == self._page else "○"
            tone = "strong" if number == self._page else "dim"
            line += [(f"{mark} ", "dim" if number > self._page else "good"), (name, tone)]
        return paint(tuple(line), self.size.width, styles)


class Verdict(Static):
    """Three sentences in place, or a friendlier line; empty it takes no room."""

    DEFAULT_CSS = (
        "Verdict { height: auto; padding: 0 3; margin-bottom: 1; } Verdict.-empty { display: none; }"
    )

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__("", id=id, classes="-empty", markup=False)
        self._rows: list[_Row] = []

    @property
    def said(self) -> str:
        """What it says, as plain text."""
        return "\n".join(f"{mark}{text}" for mark, _, text, _ in self._rows)

    def say(self, text: str, tone: str = "dim") -> None:
        """One text; "" is nothing."""
        self._put([("", "", neutralise(text), f"${tone}" if tone != "plain" else "")] if text else [])

    def say_error(self, error: DisintoError, details: int = 6) -> None:
        """What happened, why, what to do now; and some of its details."""
        rows: list[_Row] = [("▲ ", "$bad", neutralise(error.what), "bold")]
        rows += [("  ", "", neutralise(text), "") for text in (error.why, error.now)]
        rows += [("  ", "", neutralise(line), "$dim") for line in error.details[:details]]
        if len(error.details) > details:
            rows.append(("  ", "", f"and {len(error.details) - details} more", "$dim"))
        self._put(rows)

    def on_resize(self) -> None:
        """Another width breaks the lines elsewhere."""
        self._lay_out()

    def _put(self, rows: list[_Row]) -> None:
        if rows == self._rows:
            return
        self._rows = rows
        self.set_class(not rows, "-empty")
        self._lay_out()

    def _lay_out(self) -> None:
        """Break lines here, so that the second one of a sentence stands below the first, not below its mark."""
        width = self.content_size.width
        lines: list[Content] = []
        for mark, tone, text, style in self._rows:
            room = max(20, width - len(mark)) if width > 0 else len(text) + 1
            parts = textwrap.wrap(text, room) or [""]
            lines.append(Content.assemble((mark, tone), (parts[0], style)))
            lines += [Content.assemble(" " * len(mark), (part, style)) for part in parts[1:]]
        self.update(Content("\n").join(lines))


_Row = tuple[str, str, str, str]
"""A mark and its style, a text and its."""


def field(label: str, name: str, *, hint: str = "", hidden: bool = False, value: str = "") -> Horizontal:
    """A labelled line to type in."""
    line = Input(value, placeholder=hint, password=hidden, id=name, select_on_focus=False)
    line.cursor_blink = False
    return Horizontal(Static(label, classes="label", markup=False), line, classes="field")


class Page(Vertical):
    """One page; only the current one is displayed."""

    DEFAULT_CSS = """
    Page { height: 1fr; padding: 1 0 0 0; }
    Page .label { width: 15; padding: 0 0 0 3; color: $dim; height: 1; }
    Page .field { height: 1; margin-bottom: 1; padding-right: 3; }
    Page .field.-hidden { display: none; }
    Page .field Input { width: 1fr; height: 1; border: none; padding: 0 1; background: $lift; }
    Page .field Input:focus { border: none; background-tint: $foreground 6%; }
    Page .text { padding: 0 3; height: auto; margin-bottom: 1; }
    """

    def begin(self) -> None:
        """Put the focus where the page begins."""
        found = self.query(Input).filter(".first, *")
        if found:
            found.first().focus()


class WizardScreen(DisintoScreen[None]):
    """The pages of `PAGES`, one displayed. Subclasses give `make_pages`, `action_next` and `action_back`."""

    DEFAULT_CSS = """
    WizardScreen #buttons { dock: bottom; height: 1; align-horizontal: right; padding: 0 1; margin-bottom: 1; }
    WizardScreen #buttons Button { margin-left: 2; }
    WizardScreen #keys { dock: bottom; }
    WizardScreen .-away { display: none; }
    """
    PAGES: tuple[str, ...] = ()
    """The names of all pages there are; a page's id is `page-NAME`."""
    BUTTONS: tuple[tuple[str, str], ...] = (("back", "Back"), ("next", "Next"))
    """Their ids, each the name of an action, and words to begin with."""

    begun = False
    """A run was made of it."""

    def body(self) -> Iterable[Widget]:
        """The progress line, all pages, the buttons."""
        yield PageLine(self.PAGES, id="progress")
        yield Rule()
        yield from self.make_pages()
        yield Horizontal(*(Choice(word, id=name) for name, word in self.BUTTONS), id="buttons")

    def make_pages(self) -> Iterable[Widget]:
        """The pages, each named after one of `PAGES`."""
        raise NotImplementedError

    def turn_to(self, name: str) -> Page:
        """Display that page and no other."""
        for other in self.PAGES:
            self.query_one(f"#page-{other}", Page).set_class(other != name, "-away")
        return self.query_one(f"#page-{name}", Page)

    def action_back(self) -> None:
        """A page back; from the first one, out."""
        raise NotImplementedError

    def action_next(self) -> None:
        """A page on, when this one is complete."""
        raise NotImplementedError

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        """What a button says is an action."""
        await self.run_action(event.button.id or "")

    def on_screen_resume(self) -> None:
        """Back from the run this made: nothing is left to do here."""
        if self.begun:
            self.call_later(self.close)

    def close(self) -> None:
        """Leave. Screens leave from the top, so this is called later, and nothing here may wait for its own end."""
        self.dismiss()
