"""What services print while they are watched, as lines of the run that watches them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from disinto_tui.adapters.engine import Engine
from disinto_tui.core.errors import DisintoError
from disinto_tui.runs.health import service_of, started_at
from disinto_tui.runs.logs import Follower
from disinto_tui.runs.runner import Context

_END_SECONDS = 10.0
"""So long the end of the repeating is waited for: the run has more to do than to repeat."""
MOST_LINES = 500
"""Lines of one service that a run repeats: its beginning is of interest, its whole log is the engine's."""


@contextlib.asynccontextmanager
async def echoed(ctx: Context, engine: Engine, services: Sequence[str]) -> AsyncIterator[None]:
    """Say what the services' present containers have printed and print, until the block ends.

    For the operator's eyes alone: an engine that does not answer ends it without a word.
    """
    task = asyncio.create_task(_echo(ctx, engine, services))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_END_SECONDS)


async def _echo(ctx: Context, engine: Engine, services: Sequence[str]) -> None:
    width = max((len(name) for name in services), default=0)
    said: Counter[str] = Counter()
    with contextlib.suppress(DisintoError):
        mine = [item for item in await engine.containers(ctx.plan.project) if service_of(item) in services]
        follower = Follower(
            engine,
            ctx.plan.project,
            set(services),
            min((started_at(item) or 0.0 for item in mine), default=0.0),
        )
        for inspect in mine:
            follower.attach(str(inspect["Id"]), service_of(inspect))
        async for batch in follower.lines():
            for line in batch:
                said[line.service] += 1
                if said[line.service] <= MOST_LINES:
                    ctx.say(f"{line.service:<{width}} | {line.text}")
                elif said[line.service] == MOST_LINES + 1:
                    ctx.say(f"{line.service:<{width}} | … the rest is in `disinto logs {line.service}`")
