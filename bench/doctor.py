"""How long `disinto doctor` takes on a factory of six services that runs, as a whole process.

`docker compose config` takes turns with it: the doctor asks Compose several things, and this is one of them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from bench.home_data import by_hand
from bench.measure import Context, Row, number, ratio_row, seconds, spread
from bench.startup import command

BUDGET = 2.0
CHECKED = '"heartbeat"'


def measure(context: Context) -> Iterator[Row]:
    instance = context.factory()
    # As `init` makes it: what is in an image is remembered there, by the image's id.
    (instance.directory / ".disinto").mkdir(mode=0o700, exist_ok=True)
    argv = [*command(), "--dir", str(instance.directory), "doctor", "--json"]
    env = {**os.environ, **instance.environment()}
    config = by_hand(instance, "config")

    def look() -> None:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        if CHECKED not in done.stdout:
            raise RuntimeError(f"the doctor did not finish: {done.stderr[-300:]}")

    ours: list[float] = []
    theirs: list[float] = []
    for turn in range(max(5, 2 * context.rounds) + 1):
        took, by = seconds(look), config()
        if turn:  # the first looks into images, and remembers what is in them
            ours.append(took)
            theirs.append(by)
    found = spread(ours)
    what = "disinto doctor, whole process, healthy factory of six services"
    yield Row(
        what,
        found.text("s"),
        f"docker compose config {number(spread(theirs).median)} s",
        found.median,
        BUDGET,
        unit="s",
        spread=f"{number(min(ours))}-{number(max(ours))}",
    )
    yield ratio_row(f"{what}, as a ratio", ours, theirs, "docker compose config")
