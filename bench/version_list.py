"""The versions screen with 50,000 tags: first paint of the list, and how long a typed letter waits for it.

The real screen on a real terminal of 120x40, on an instance whose memory on disk holds the tags; registry and engine
do not answer, as on a plane. Beside it the same with 50 tags: what the tags themselves cost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.first_paint import YARDSTICK, paint_hello
from bench.measure import ROOT, Context, Row, Timed, number, ratio_row, take_turns
from bench.ptykit import Terminal, percentile, plain, terminal
from bench.version_view import fill

MANY, FEW = 50_000, 50
FIRST_PAINT, KEY_TO_PAINT = 1.6, 100.0
# What an operator types behind a `v`: a version letter by letter, taken back; another; two words; one that is nowhere.
BACK = "\x7f"
TYPED = ("42.", BACK * 3, "9.1", BACK * 3, "4 -rc", "x", BACK * 6)
WITHIN = 5.0


def environment(directory: Path) -> dict[str, str]:
    return {
        "XDG_CONFIG_HOME": str(directory.parent / "no-settings"),
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        "DOCKER_CONFIG": str(directory.parent / "no-docker-config"),
    }


def argv(directory: Path) -> list[str]:
    return [sys.executable, str(ROOT / "bench" / "version_view.py"), str(directory)]


def paint(directory: Path, wanted: str) -> Timed:
    """From fork() until the running version can be read in the list, and the line of keys below it."""

    def once() -> float:
        with terminal(argv(directory), env=environment(directory)) as shown:
            return shown.wait_for(wanted, "● running", "quit", within=30)

    return once


def said(tags: Sequence[str], typed: str) -> str:
    """What the screen says once the list is what was typed."""
    left = sum(1 for tag in tags if all(word in tag for word in typed.split()))
    return f"{count(left)} of {count(len(tags))} match" if left else f"No version matches /{typed}"


def count(value: int) -> str:
    return f"{value:,}".replace(",", " ")


def press(shown: Terminal, key: str, wanted: str) -> float:
    """Seconds from a key to the text that its repaint brings."""
    shown.out.clear()
    begun = time.perf_counter()
    shown.send(key.encode())
    tail = b""
    while shown.alive and time.perf_counter() - begun < WITHIN:
        chunk = shown.pump(0.05)
        if chunk:
            arrived = time.perf_counter()
            tail = tail[-4000:] + chunk
            if wanted.encode() in plain(tail):
                return arrived - begun
    last = plain(bytes(shown.out[-1500:])).decode(errors="replace")
    raise RuntimeError(f"{wanted!r} never came after {key!r}; last: {last!r}")


def filtering(directory: Path, tags: Sequence[str], turns: int) -> list[float]:
    """Seconds of each key, typed into the filter line of a list at rest."""
    found: list[float] = []
    with terminal(argv(directory), env=environment(directory)) as shown:
        shown.wait_for("● running", "quit", within=30)
        shown.drain(2)
        shown.send(b"/")
        shown.drain(0.5)
        typed = "v"
        press(shown, typed, said(tags, typed))
        for key in "".join(TYPED) * turns:
            typed = typed[:-1] if key == BACK else typed + key
            wanted = said(tags, typed)
            shown.drain(0.05)  # the list is at rest, as between two strokes of a person
            found.append(press(shown, key, wanted))
    return found


def measure(context: Context) -> Iterator[Row]:
    many, few = context.directory / "many", context.directory / "few"
    tags = fill(many, MANY)
    small = fill(few, FEW)
    paints = {
        "hello": paint_hello,
        "many": paint(many, tags[MANY // 2]),
        "few": paint(few, small[FEW // 2]),
    }
    found = take_turns(max(5, 2 * context.rounds), paints)
    yield ratio_row(
        f"version list, {MANY:,} tags: first paint ratio",
        found["many"],
        found["hello"],
        YARDSTICK,
        FIRST_PAINT,
    )
    yield ratio_row(f"version list, {FEW} tags: first paint ratio", found["few"], found["hello"], YARDSTICK)
    keys = [value * 1000 for value in filtering(many, tags, 2 * context.rounds)]
    still = [value * 1000 for value in filtering(few, small, context.rounds)]
    yield Row(
        f"version list, {MANY:,} tags: filter key-to-paint, p99 of {len(keys)}",
        f"p50 {number(percentile(keys, 50))} ms, max {number(max(keys))} ms",
        f"{FEW} tags: p50 {number(percentile(still, 50))} ms, p99 {number(percentile(still, 99))} ms",
        percentile(keys, 99),
        KEY_TO_PAINT,
        unit="ms",
    )
