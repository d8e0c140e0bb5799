"""The budgets of docs/architecture.md, measured: `make bench`, or `python bench/run.py --only NAME --rounds N`.

One table: what | measured | yardstick | ratio or number | budget | ok. What is measured takes turns with its
yardstick, in the same run, so that a slow spell of a shared machine hits both; a ratio is the median over the
rounds of ours / yardstick within one round, in brackets the smallest and the largest. Compare ratios: absolute
times of two runs say as much about the machine as about the tool. A budget that is missed is a row that says NO,
never an exit code; only a measurement that failed makes it 1. What this machine cannot measure is a row that says
why.

startup      `disinto --version` and `--help` as whole processes / `python -c pass`.
first_paint  From fork() to the chunk with which Home's first complete frame can be read on a pseudo-terminal of
             120x40 / the same for the smallest Textual app (`bench/hello.py`).
idle         Home 6 s after its start, for 10 s: CPU from /proc/PID/stat (children it has waited for included),
             bytes on the terminal, and resident memory, each of the whole process tree.
home_data    From first paint to the frame that names every service of a running factory with version and health;
             the same by hand, `docker compose ps` and `config`, beside it. Needs an engine.
doctor       `disinto doctor` as a whole process on that factory; `docker compose config` beside it. Needs an engine.
log_view     The run screen on a pseudo-terminal, following a run that another process journals: lines a second from
             the word go until the last line is on the screen (yardstick: the writer with nobody watching); from
             a key pressed every 50 ms to its echo in the header (yardstick: the same before the flood); resident
             memory before and after. Flat out with 1,000,000 lines, then 80,000 of them at 10,000 a second.
build_log    A build of 200,000 lines through a run that the run screen follows / `docker build` with its output in a
             file, on an engine whose builder clips nothing; and the same key as above meanwhile. Needs root.
build_flood  The same step, its builder printing 200,000 lines in bursts of 250,000 lines a second / the same command
             with its output sent to a file. And those lines in one burst, with the run screen watching: lines a
             second, key to echo, memory. Needs an engine.
version_list The versions screen on a pseudo-terminal of 120x40, 50,000 tags remembered on disk, registry and engine
             away: from fork() to the frame in which the running version stands in the list / the smallest Textual
             app; from a key of the filter line to the text that its repaint of the list brings.
registry     The registry client / skopeo, on a real registry, directly and behind a proxy that holds every answer
             for 40 ms. Here on fewer tags and images than the budgets name; `python -m bench.registry` is the
             whole of it. Needs docker-registry and skopeo.
metadata     What 200 versions are, read with what the version list reads with, on an empty memory and behind that
             proxy / skopeo one by one (on 20 of them, multiplied), and 16 of it at a time.
switch       `disinto use` of a version that is not on the engine / the same by hand in one shell, on a running
             factory; and how long its agents are away / `docker compose up -d` with the image pulled before, from
             the engine's events. Needs an engine and docker-registry.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `python bench/run.py` puts bench/ there, not what it is in
    sys.path.insert(0, str(ROOT))

from bench.measure import Context, NotMeasured, Row, as_json, table  # noqa: E402

BENCHES = (
    "startup",
    "first_paint",
    "idle",
    "home_data",
    "doctor",
    "log_view",
    "build_log",
    "build_flood",
    "version_list",
    "registry",
    "metadata",
    "switch",
)


def rows_of(name: str, context: Context) -> list[Row]:
    """A benchmark's rows; what went wrong, or cannot be here, is a row too."""
    rows: list[Row] = []
    begun = time.perf_counter()
    try:
        for row in importlib.import_module(f"bench.{name}").measure(context):
            rows.append(row)
    except NotMeasured as error:
        rows.append(Row(name, note=str(error)))
    except Exception as error:
        traceback.print_exc()
        rows.append(Row(name, note=f"{type(error).__name__}: {error}".splitlines()[0][:160], failed=True))
    print(f"  {name:<12} {time.perf_counter() - begun:5.1f} s", file=sys.stderr, flush=True)
    return rows


def machine() -> str:
    """What the numbers were measured on: enough to know what not to compare them with."""
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, load {load:.1f}, Python {python}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAME", action="append", choices=BENCHES, help=", ".join(BENCHES))
    parser.add_argument("--rounds", type=int, default=3, help="the more, the steadier and the longer (3)")
    parser.add_argument("--json", action="store_true", help="a JSON object for each row instead of the table")
    given = parser.parse_args(arguments)
    # Ended from outside, what was started is ended and removed all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="disinto-bench-") as name, contextlib.ExitStack() as ending:
        context = Context(max(1, given.rounds), Path(name), ending)
        for bench in given.only or BENCHES:
            rows += rows_of(bench, context)
    if given.json:
        for row in rows:
            print(json.dumps(as_json(row)))
    else:
        print(f"{machine()}\n\n{table(rows)}")
    return 1 if any(row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
