"""The pages of Init. They hold fields and show verdicts; what they mean is `init.InitScreen`'s business."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from disinto_tui.core.errors import DisintoError
from disinto_tui.core.text import neutralise
from disinto_tui.tui.widgets.home_lines import LINES_CSS, TONES, Line, paint

PAGES = ("token", "config", "version", "review")


class PageLine(Widget):
    """`✓ token ── ● config ── ○ version ── ○ review`, and below it a line of what is known by now."""

    DEFAULT_CSS = LINES_CSS.format(name="PageLine") + "PageLine { height: 2; }"
    COMPONENT_CLASSES = {f"lines--{tone}" for tone in (*TONES, "cursor")}

    def __init__(self, pages: Sequence[str] = PAGES, *, id: str | None = None) -> None:
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
        self.said = ""

    def say(self, text: str, tone: str = "dim") -> None:
        """One text; "" is nothing."""
        self._put(Content.styled(neutralise(text), f"${tone}" if tone != "plain" else ""))

    def say_error(self, error: DisintoError, details: int = 6) -> None:
        """What happened, why, what to do now; and some of its details."""
        parts: list[str | tuple[str, str]] = [("▲ ", "$bad"), (neutralise(error.what), "bold")]
        parts += ["\n  ", neutralise(error.why), "\n  ", neutralise(error.now)]
        for line in error.details[:details]:
            parts += ["\n", (f"  {neutralise(line)}", "$dim")]
        if len(error.details) > details:
            parts += ["\n", (f"  and {len(error.details) - details} more", "$dim")]
        self._put(Content.assemble(*parts))

    def _put(self, content: Content) -> None:
        if content.plain == self.said:
            return
        self.said = content.plain
        self.set_class(not self.said, "-empty")
        self.update(content)


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


class TokenPage(Page):
    """The forge token: typed (hidden), or in a file."""

    def __init__(self, note: str) -> None:
        super().__init__(id="page-token")
        self._note = note

    def compose(self) -> ComposeResult:
        """Two fields and what becomes of the token."""
        yield Static(
            "The agents' token for the forge, where they read and write code, issues and pull requests.",
            classes="text",
            markup=False,
        )
        yield field("token", "token", hidden=True, hint="paste it; it is not shown")
        yield field("or its file", "token-file", hint="/path/to/a/file with the token alone")
        if self._note:
            yield Static(self._note, classes="text", markup=False)
        yield Verdict(id="token-verdict")
        yield Static(
            "It is written to .env, readable by you alone; never shown, logged or put on a command line.",
            classes="text dim",
            markup=False,
        )


class ReviewPage(Page):
    """Between the last field and the review: what is being asked, or why there is no plan."""

    can_focus = True

    def __init__(self) -> None:
        super().__init__(id="page-review")

    def compose(self) -> ComposeResult:
        """The verdict."""
        yield Verdict(id="review-verdict")

    def begin(self) -> None:
        """The buttons have the focus."""
