"""How long after first paint Home knows what runs: services, their health, their version.

`docker compose ps` and `docker compose config` take turns with it: what it would take to look at the same by hand.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from bench.first_paint import MARKS
from bench.ground import SERVICES, VERSION, Instance
from bench.measure import Context, Row, Timed, number, ratio_row, seconds, spread
from bench.ptykit import terminal
from bench.startup import command

BUDGET = 0.5
BY_HAND = ("ps", "config")


def look(instance: Instance) -> float:
    """Seconds between first paint and the frame that names every service, with a version and a health."""
    argv = [*command(), "--dir", str(instance.directory)]
    with terminal(argv, env=instance.environment()) as shown:
        painted = shown.wait_for(*MARKS, within=30)
        return shown.wait_for(*SERVICES, VERSION, "healthy", within=painted + 30) - painted


def by_hand(instance: Instance, subcommand: str) -> Timed:
    env = {**os.environ, **instance.environment()}

    def once() -> float:
        return seconds(
            lambda: subprocess.run(
                instance.compose(subcommand),
                env=env,
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )
        )

    return once


def measure(context: Context) -> Iterator[Row]:
    instance = context.factory()
    hands = {name: by_hand(instance, name) for name in BY_HAND}
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in BY_HAND}
    for turn in range(max(5, 2 * context.rounds) + 1):
        waited = look(instance)
        took = {name: once() for name, once in hands.items()}
        if turn:  # the first is for the caches
            ours.append(waited)
            for name, value in took.items():
                theirs[name].append(value)
    found = spread(ours)
    what = f"Home's data after first paint, {len(SERVICES)} services"
    yield Row(
        what,
        found.text("s"),
        f"docker compose ps {number(spread(theirs['ps']).median)} s",
        found.median,
        BUDGET,
        unit="s",
        spread=f"{number(min(ours))}-{number(max(ours))}",
    )
    # The same as a ratio, for a machine that is slow or has other work: about 3 where nothing else runs.
    yield ratio_row(f"{what}, as a ratio", ours, theirs["config"], "docker compose config")
