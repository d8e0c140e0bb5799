"""The standard error of a run's own process, without secrets: what it prints at its death is kept on the disk.

An error that nobody foresaw (a traceback, a warning of a library) goes to `sys.stderr`, which is the run's `stderr`
file, and may quote a value. Children never write there: theirs is a pipe (`adapters/process.py`).
"""

from __future__ import annotations

import atexit
import io
import sys
from collections.abc import Iterable
from typing import TextIO

from disinto_tui.core.redact import Redactor, Secret


class RedactedText(io.TextIOBase):
    """A text stream that hands on to `out` what it is given, without the secrets it knows.

    `redactor` knows them. What may be the beginning of one is held back until more is written, or until `release`.
    """

    def __init__(self, out: TextIO, secrets: Iterable[str | Secret] = ()) -> None:
        super().__init__()
        self._out = out
        self.redactor = Redactor(secrets)
        self._stream = self.redactor.text_stream()

    def know(self, secrets: Iterable[str | Secret]) -> None:
        """From now on these are removed, too."""
        self.release()
        self.redactor = self.redactor.with_secrets(secrets)
        self._stream = self.redactor.text_stream()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Hand on a piece; the number of its characters, as every stream says it. Raises OSError."""
        self._out.write(self._stream.feed(text))
        return len(text)

    def flush(self) -> None:
        """Flush what was handed on; what is held back stays. Raises OSError."""
        self._out.flush()

    def fileno(self) -> int:
        """The descriptor of `out`. Raises OSError when it has none."""
        return self._out.fileno()

    def release(self) -> None:
        """Hand on what was held back: nothing more will be written. Raises OSError."""
        self._out.write(self._stream.close())
        self._out.flush()


def redact_stderr(secrets: Iterable[str | Secret]) -> RedactedText:
    """Put a `RedactedText` in the place of `sys.stderr`, for as long as this process lives."""
    mine = RedactedText(sys.stderr, secrets)
    sys.stderr = mine
    atexit.register(mine.release)
    return mine
