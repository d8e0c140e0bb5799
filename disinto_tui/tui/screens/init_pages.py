"""The pages of Init that hold little: the token and the review. What they mean is `init.InitScreen`'s business."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from disinto_tui.tui.screens.wizard import Page, Verdict, field


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
