"""Small questions and messages over a screen. The safe answer has the focus."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.geometry import Size
from textual.widgets import Button, Input, Static

from disinto_tui.tui.screens.base import DisintoModal

MODAL_CSS = """
{name} {{ align: center middle; background: $background 60%; }}
{name} > Vertical {{
    width: 72; max-width: 94%; height: auto; max-height: 90%;
    background: $background; border: round $rule; padding: 1 2;
}}
{name} Static {{ height: auto; }}
{name} .what {{ text-style: bold; margin-bottom: 1; }}
{name} .why {{ color: $dim; }}
{name} Horizontal {{ height: 1; margin-top: 1; align-horizontal: right; }}
{name} Button.-style-default {{ margin-left: 2; }}
"""


class Choice(Button):
    """A button of one line, `[ Cancel ]`: brackets say what it is without colour, reverse says it has focus."""

    DEFAULT_CSS = """
    Choice.-style-default {
        width: auto; min-width: 0; height: 1; border: none !important; padding: 0; margin: 0;
        background: $background; color: $foreground; text-style: none; tint: $background 0%;
        &:hover { background: $lift; }
        &.-active { background: $lift; }
        &.danger { color: $bad; }
        &:focus { background: $accent; color: $background; text-style: bold; background-tint: $background 0%; }
        &.danger:focus { background: $bad; color: $background; }
        &:focus:nocolor { text-style: bold reverse; }
    }
    """

    def __init__(self, label: str, *, id: str, danger: bool = False) -> None:
        super().__init__(_bracketed(label), id=id, classes="danger" if danger else "", compact=True)
        self.active_effect_duration = 0
        self.styles.line_pad = 0  # the style sheet reader takes a 0 there for no value

    def say(self, label: str) -> None:
        """Call it something else."""
        self.label = _bracketed(label)
        self.refresh(layout=True)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """The label's width; a button of the usual kind adds room for its edges."""
        return super().get_content_width(container, viewport) - 2


def _bracketed(label: str) -> Content:
    return Content(f"[ {label} ]")


class Ask(DisintoModal[bool]):
    """One question. Esc and the focused button are the safe answer."""

    DEFAULT_CSS = MODAL_CSS.format(name="Ask")
    BINDINGS = [("escape", "no", "no"), ("left,up", "app.focus_previous"), ("right,down", "app.focus_next")]

    def __init__(self, question: str, detail: str, *, yes: str, no: str, danger: bool = False) -> None:
        super().__init__()
        self._texts = (question, detail)
        self._labels = (no, yes)
        self._danger = danger

    def compose(self) -> ComposeResult:
        """The question, what follows from it, two buttons."""
        no, yes = self._labels
        with Vertical():
            yield Static(self._texts[0], classes="what", markup=False)
            yield Static(self._texts[1], classes="why", markup=False)
            with Horizontal():
                yield Choice(no, id="no")
                yield Choice(yes, id="yes", danger=self._danger)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_no(self) -> None:
        """The safe answer."""
        self.dismiss(False)


class Notice(DisintoModal[None]):
    """Three sentences and one button."""

    DEFAULT_CSS = MODAL_CSS.format(name="Notice")
    BINDINGS = [("escape", "close", "close")]

    def __init__(self, what: str, why: str, now: str) -> None:
        super().__init__()
        self._texts = (what, why, now)

    def compose(self) -> ComposeResult:
        """What happened, why, what to do now."""
        what, why, now = self._texts
        with Vertical():
            yield Static(what, classes="what", markup=False)
            yield Static(why, classes="why", markup=False)
            yield Static(now, markup=False)
            with Horizontal():
                yield Choice("Close", id="close")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Close."""
        self.dismiss()

    def action_close(self) -> None:
        """Close."""
        self.dismiss()


class AskLine(DisintoModal[str]):
    """A line to type; "" is the result of who cancels. `check` returns a sentence when what was typed will not do, ""
    when it will; `enter` says what Enter does."""

    DEFAULT_CSS = (
        MODAL_CSS.format(name="AskLine")
        + """
    AskLine Input, AskLine Input:focus { border: none; height: 1; padding: 0 1; background: $lift; }
    AskLine .hint { color: $dim; height: auto; min-height: 1; }
    AskLine .hint.-problem { color: $warn; }
    """
    )
    BINDINGS = [("escape", "cancel", "cancel")]

    def __init__(
        self, question: str, suggestion: str, check: Callable[[str], str], *, enter: str = "writes it"
    ) -> None:
        super().__init__()
        self._enter = enter
        self._question = question
        self._suggestion = suggestion
        self._check = check
        self._asked_again = ""

    def compose(self) -> ComposeResult:
        """The question and a line to edit."""
        with Vertical():
            yield Static(self._question, classes="what", markup=False)
            field = Input(self._suggestion, select_on_focus=False)
            field.cursor_blink = False
            yield field
            yield Static(f"↵ {self._enter}   esc cancels", classes="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Check it; a warning is overruled by a second Enter on the same text."""
        problem = self._check(event.value)
        if problem and not (problem.endswith("?") and self._asked_again == event.value):
            self._asked_again = event.value
            hint = self.query_one(".hint", Static)
            hint.update(problem)
            hint.add_class("-problem")
            return
        self.dismiss(event.value)

    def action_cancel(self) -> None:
        """Nothing."""
        self.dismiss("")
