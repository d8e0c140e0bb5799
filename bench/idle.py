"""Home left alone: CPU, bytes painted and memory, all of its places at once.

Nothing here is timed, only counted by the kernel for each process, so they may well share the machine.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from bench.first_paint import HELLO, MARKS, YARDSTICK
from bench.ground import empty_instance, stopped_instance
from bench.hello import TEXT
from bench.measure import Context, NotMeasured, Row, number
from bench.ptykit import Terminal, terminal
from bench.startup import command

SETTLE, WATCH = 6.0, 10.0
BUDGETS = {"CPU": (0.5, "%"), "painted": (0.0, "B/s"), "RSS": (60.0, "MiB")}


def watch(terminals: dict[str, Terminal]) -> dict[str, dict[str, float]]:
    """Let all of them settle, then look what they do within `WATCH` seconds."""
    _drain(terminals, SETTLE)
    begun = {name: one.cpu_seconds() for name, one in terminals.items()}
    count = _drain(terminals, WATCH)
    return {
        name: {
            "CPU": (one.cpu_seconds() - begun[name]) / WATCH * 100,
            "painted": count[name] / WATCH,
            "RSS": one.rss_mib(),
        }
        for name, one in terminals.items()
    }


def _drain(terminals: dict[str, Terminal], duration: float) -> dict[str, int]:
    count = dict.fromkeys(terminals, 0)
    end = time.perf_counter() + duration
    while time.perf_counter() < end:
        for name, one in terminals.items():
            while chunk := one.pump(0):
                count[name] += len(chunk)
        time.sleep(0.05)
    dead = [name for name, one in terminals.items() if not one.alive]
    if dead:
        raise RuntimeError(f"ended while it was watched: {', '.join(dead)}")
    return count


def measure(context: Context) -> Iterator[Row]:
    places = {
        "an empty directory": empty_instance(context.directory),
        "a stopped instance": stopped_instance(context.directory),
    }
    missing = ""
    try:
        places["a running factory"] = context.factory()
    except NotMeasured as error:
        missing = str(error)
    with contextlib.ExitStack() as ending:
        shown = {YARDSTICK: ending.enter_context(terminal(HELLO))}
        shown[YARDSTICK].wait_for(TEXT, within=30)
        for name, instance in places.items():
            argv = [*command(), "--dir", str(instance.directory)]
            shown[name] = ending.enter_context(terminal(argv, env=instance.environment()))
            shown[name].wait_for(*MARKS, within=30)
        found = watch(shown)
    for name in places:
        for figure, (budget, unit) in BUDGETS.items():
            mine, other = found[name][figure], found[YARDSTICK][figure]
            yield Row(
                f"idle Home, {name}: {figure}",
                f"{number(mine)} {unit} over {WATCH:g} s",
                f"{YARDSTICK} {number(other)} {unit}",
                mine,
                budget,
                unit=unit,
            )
    if missing:
        yield Row("idle Home, a running factory", note=missing)
