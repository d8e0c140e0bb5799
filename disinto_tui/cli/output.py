"""The one owner of stdout, of stderr and of exit codes.

stdout is data, stderr is narration. With `--json` stdout carries one document, or one event a line for a
run; nothing else ever lands there, so a pipe never breaks on a sentence.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO

from disinto_tui.core.errors import DisintoError, ExitCode
from disinto_tui.core.text import json_text, neutralise

_CODES = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


@dataclass
class Output:
    """How this invocation speaks: as JSON or as text, with or without colour."""

    as_json: bool = False
    color: bool | None = None
    """None: colour when stdout and stderr are both terminals and NO_COLOR is not set."""

    def data(self, text: str = "") -> None:
        """A line of data, on stdout."""
        _write(sys.stdout, text + "\n")

    def document(self, value: Mapping[str, Any] | list[Any]) -> None:
        """One JSON document, on stdout."""
        _write(sys.stdout, json_text(value, indent=2) + "\n")

    def record(self, value: Mapping[str, Any]) -> None:
        """One JSON object on a line of its own, on stdout, flushed: the stream of a run."""
        _write(sys.stdout, json_text(value) + "\n")
        sys.stdout.flush()

    def flush(self) -> None:
        """Let a reader behind a pipe see what there is so far."""
        sys.stdout.flush()

    def say(self, text: str = "") -> None:
        """A line of narration, on stderr."""
        _write(sys.stderr, text + "\n")

    def lines(self, texts: Iterable[str]) -> None:
        """Foreign lines (a container's, Compose's) as narration; nothing in them drives the terminal."""
        _write(sys.stderr, "".join(f"    {self.style(neutralise(text), 'dim')}\n" for text in texts))

    def status(self, text: str) -> None:
        """A passing line on a terminal, overwritten by the next one; nothing elsewhere."""
        if sys.stderr.isatty() and not self.as_json:
            width = _width()
            _write(sys.stderr, f"\r{text[: width - 1]:<{width - 1}}\r")
            sys.stderr.flush()

    def style(self, text: str, *names: str) -> str:
        """The text in a style, plain when colour is off."""
        on = self.color if self.color is not None else _wants_color()
        codes = ";".join(_CODES[name] for name in names)
        return f"\x1b[{codes}m{text}\x1b[0m" if on and codes and text else text

    def error(self, error: DisintoError) -> None:
        """The three sentences, and what stands behind them; as JSON on stdout too with `--json`."""
        if self.as_json:
            self.record({"error": error.to_json()})
        self.say(self.style("✗ " + neutralise(error.what), "red", "bold"))
        for sentence in (error.why, error.now):
            if sentence:
                self.say(f"  {neutralise(sentence)}")
        for line in error.details:
            self.say(self.style(f"    {neutralise(line)}", "dim"))


def _wants_color() -> bool:
    # The same lines go to either stream (a dry run's plan is data): one pipe is enough to want none.
    terminal = sys.stdout.isatty() and sys.stderr.isatty()
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


def _write(stream: TextIO, text: str) -> None:
    if isinstance(stream, TextIOWrapper) and stream.errors != "replace":
        stream.reconfigure(errors="replace")  # a terminal of another encoding: better a `?` than a traceback
    stream.write(text)


def leave(code: ExitCode | int) -> NoReturn:
    """End the process with an exit code of the contract; a closed pipe at the last moment is no error."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(int(code))
