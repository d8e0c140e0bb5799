"""The yardstick of first paint: the smallest Textual app that paints a known text."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static

TEXT = "hello-first-paint"


class Hello(App[None]):
    """One widget, one text."""

    def compose(self) -> ComposeResult:
        yield Static(TEXT)


if __name__ == "__main__":
    Hello().run()
