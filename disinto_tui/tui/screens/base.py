"""What every screen has: the header line, a rule, a body, and the line of keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from textual.app import ComposeResult
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from disinto_tui.tui.widgets.frame import KeyBar, Rule, TopLine

if TYPE_CHECKING:
    from disinto_tui.core.errors import DisintoError
    from disinto_tui.tui.app import DisintoApp

T = TypeVar("T")


class _Here:
    """Typed access to our app."""

    @property
    def disinto(self) -> DisintoApp:
        """The app, as what it is."""
        return cast("DisintoApp", cast("Widget", self).app)


class DisintoScreen(Screen[T], _Here, Generic[T]):
    """A whole screen. Subclasses give `body()`, and `SCOPES` for help; `headline` is the header's left text.

    Workers only post messages; handlers own the state. Nothing here asks the outside anything.
    """

    SCOPES: tuple[str, ...] = ()
    """Scopes of the action table that work here, the focused widget's aside."""
    HELP = ""
    """What this screen is for, in a sentence or two."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]

    def compose(self) -> ComposeResult:
        """Header, rule, body, keys."""
        yield TopLine(self.headline(), self.aside(), id="top")
        yield Rule(id="top-rule")
        yield from self.body()
        yield KeyBar(id="keys")

    def headline(self) -> str:
        """The header's left text."""
        return f"disinto · {self.disinto.project}"

    def aside(self) -> str:
        """The header's right text."""
        return self.disinto.where()

    def key_label(self, action_id: str) -> str:
        """What the line of keys calls an action right now; "" leaves it at the action table's word."""
        return ""

    def body(self) -> Iterable[Widget]:
        """The widgets between the rule and the keys."""
        raise NotImplementedError


class DisintoModal(ModalScreen[T], _Here, Generic[T]):
    """A question over a screen."""

    SCOPES: tuple[str, ...] = ()
    HELP = ""


def unreadable(error: OSError) -> DisintoError:
    """A file of the instance that cannot be used, in three sentences."""
    from disinto_tui.core.errors import Unavailable

    return Unavailable(
        "The factory's directory cannot be used.",
        f"{error.filename or 'A file in it'}: {error.strerror}.",
        "Start disinto as the user who owns it.",
        code="instance.unreadable",
    )


def in_words(error: Exception) -> DisintoError:
    """What a worker ran into, in three sentences; also what nobody foresaw: a screen must not wait for ever."""
    from disinto_tui.core.errors import DisintoError, Failed

    if isinstance(error, DisintoError):
        return error
    if isinstance(error, OSError):
        return unreadable(error)
    return Failed(
        "Something went wrong that this tool did not foresee.",
        f"{type(error).__name__}: {error}.",
        "Nothing was changed; try again, and report it when it comes again.",
        code="internal",
    )
