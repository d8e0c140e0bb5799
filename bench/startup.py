"""How long `disinto --version` and `disinto --help` take, against an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Context, Row, Timed, ratio_row, seconds, take_turns

BUDGET = 6.0
YARDSTICK = "python -c pass"


def command() -> list[str]:
    """The command as an operator calls it: the script beside this interpreter."""
    script = Path(sys.executable).with_name("disinto")
    return [str(script)] if script.exists() else [sys.executable, "-m", "disinto_tui"]


def _process(argv: list[str]) -> Timed:
    def once() -> float:
        return seconds(
            lambda: subprocess.run(
                argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        )

    return once


def measure(context: Context) -> Iterator[Row]:
    asked = ("--version", "--help")
    found = take_turns(
        max(10, 3 * context.rounds),
        {YARDSTICK: _process([sys.executable, "-c", "pass"])}
        | {option: _process([*command(), option]) for option in asked},
    )
    for option in asked:
        yield ratio_row(f"disinto {option}", found[option], found[YARDSTICK], YARDSTICK, BUDGET)
