"""First paint of Home on a real terminal of 120x40, against the smallest Textual app on the same terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from bench.ground import Instance, empty_instance, stopped_instance
from bench.hello import TEXT
from bench.measure import ROOT, Context, Row, Timed, ratio_row, take_turns
from bench.ptykit import terminal
from bench.startup import command

BUDGET = 1.6
YARDSTICK = "hello-world Textual app"
HELLO = [sys.executable, str(ROOT / "bench" / "hello.py")]
# The header's left text, and an entry of the last line: with both, the frame is there from top to bottom.
MARKS = ("disinto · ", "quit")


def paint_home(instance: Instance) -> Timed:
    def once() -> float:
        argv = [*command(), "--dir", str(instance.directory)]
        with terminal(argv, env=instance.environment()) as shown:
            return shown.wait_for(*MARKS, within=30)

    return once


def paint_hello() -> float:
    with terminal(HELLO) as shown:
        return shown.wait_for(TEXT, within=30)


def measure(context: Context) -> Iterator[Row]:
    places = {
        "an empty directory": empty_instance(context.directory),
        "an instance": stopped_instance(context.directory),
    }
    homes = {name: paint_home(instance) for name, instance in places.items()}
    found = take_turns(max(5, 2 * context.rounds), {YARDSTICK: paint_hello, **homes})
    for name in homes:
        yield ratio_row(f"first paint of Home, {name}", found[name], found[YARDSTICK], YARDSTICK, BUDGET)
