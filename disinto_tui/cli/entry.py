"""Where the `disinto` command begins: `--version` is answered before anything else is loaded.

Scripts ask a tool's version before every use, and click alone costs three times a bare interpreter.
"""

from __future__ import annotations

import os
import sys

from disinto_tui import __version__


def main() -> None:
    """The entry point: `--version` alone is answered here, all else by `cli.main`."""
    if sys.argv[1:] == ["--version"]:
        _say_version()
        return
    try:
        from disinto_tui.cli.main import main as command_line

        command_line()
    except KeyboardInterrupt:  # while still loading: nothing was begun
        os._exit(130)


def _say_version() -> None:
    if sys.stdout is None:  # closed by whoever started us
        return
    try:
        sys.stdout.write(f"disinto, version {__version__}\n")
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer must not be tried, and complained about, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.exit(f"The version could not be written. {error.strerror}. Make room there and try again.")
