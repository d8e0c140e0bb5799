"""What 200 versions are (when made, which labels), asked of a registry 40 ms away, against skopeo.

    python -m bench.metadata [--images 200] [--rounds 3] [--rtt 40]

ours            `VersionSource.details`, what the version list itself reads with: 16 requests in flight, on an instance
                that remembers nothing yet, and what was learned written to its disk. The engine is hidden from it
                (DOCKER_HOST names no socket): what it would say is no part of this, and it may be another processor's.
one by one      `skopeo inspect --no-tags`, one version after the other, on some of them and multiplied: all of them
                take a minute.
16 processes    The same on all of them, 16 at a time.

The registry is a real one on loopback, behind the proxy of `bench.registry` that holds the handshake and each answer
for a round trip. Ours runs in this process and its imports are warm; skopeo starts anew for each version, because
that is how it is used. Needs docker-registry and skopeo.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.measure import Context, NotMeasured, Row, ratio_row, seconds, table, take_turns
from bench.registry import REPO, Work, far, fill, skopeo_inspect
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.catalog import Meta
from disinto_tui.runs.catalog import VersionSource
from tests.support.registries import open_registry

IMAGES = 200
ROUND_TRIP = 40.0
"""Milliseconds."""
SAMPLED = 20
"""So many does skopeo read one by one."""
PROCESSES = 16
ONE_BY_ONE, AT_ONCE = 0.03, 0.3
"""The budgets."""


@contextlib.contextmanager
def no_engine(base: Path) -> Iterator[None]:
    """DOCKER_HOST names a socket that is not there."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = f"unix://{base}/no-engine"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = before


async def read(instance: Instance, tags: list[str]) -> dict[str, Meta]:
    source = VersionSource(instance)
    found: dict[str, Meta] = {}
    try:
        async for batch in source.details(tags):
            found.update(batch)
    finally:
        await source.close()
    return found


def ours(address: str, tags: list[str], base: Path) -> Work:
    """Each time on a new instance, and so on an empty memory."""
    number = count()

    def once() -> None:
        directory = base / f"instance-{next(number)}"
        directory.mkdir()
        (directory / ".env").write_text(f"AGENTS_IMAGE={address}/{REPO}:{tags[-1]}\n")
        found = asyncio.run(read(Instance.at(directory), tags))
        for tag in tags:
            meta = found[tag]
            assert meta.created and meta.labels["org.opencontainers.image.version"] == tag, meta

    return once


def measure_all(images: int, rounds: int, rtt: float, base: Path) -> Iterator[Row]:
    for program in ("docker-registry", "skopeo"):
        if shutil.which(program) is None:
            raise NotMeasured(f"{program} is not installed (docker/engine/up.sh {program})")
    tags = [f"v{n // 100}.{n // 10 % 10}.{n % 10}" for n in range(images)]
    sample = tags[: min(SAMPLED, images)]
    with (
        open_registry(base / "registry") as registry,
        far(registry.address, rtt, base) as address,
        no_engine(base),
    ):
        asyncio.run(fill(registry.address, tags, tags))
        mine = ours(address, tags, base)
        single, many = skopeo_inspect(address, sample, 1), skopeo_inspect(address, tags, PROCESSES)
        scale = images / len(sample)
        one, parallel = f"skopeo one by one ({len(sample)}, scaled)", f"skopeo, {PROCESSES} processes"
        found = take_turns(
            rounds,
            {
                "ours": lambda: seconds(mine),
                one: lambda: seconds(single) * scale,
                parallel: lambda: seconds(many),
            },
        )
    what = f"created and labels of {images} versions, {rtt:g} ms away"
    yield ratio_row(what, found["ours"], found[one], one, ONE_BY_ONE)
    yield ratio_row(what, found["ours"], found[parallel], parallel, AT_ONCE)


def measure(context: Context) -> Iterator[Row]:
    base = context.directory / "metadata"
    base.mkdir()
    yield from measure_all(IMAGES, context.rounds, ROUND_TRIP, base)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rtt", type=float, default=ROUND_TRIP, help="milliseconds")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="disinto-bench-") as name:
        try:
            print(table(list(measure_all(given.images, given.rounds, given.rtt, Path(name)))))
        except NotMeasured as error:
            print(error, file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
