"""Are agents in the middle of work? Seen by the processes in their containers, the way an operator would look.

An agent at work is a `claude` process (facts: its session dies with the container). The polling loop itself
and its helpers are not work.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from disinto_tui.adapters.engine import Engine
from disinto_tui.core.errors import DisintoError, Unavailable
from disinto_tui.runs.health import container_state, service_of
from disinto_tui.runs.runner import Context

_AGENT = re.compile(r"(?:^|[/\s])claude(?:\s|$)")
_RUNNING = ("healthy", "starting", "unhealthy", "running")
POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """One agent at work: its service, and for how many seconds (-1 when the engine does not say)."""

    service: str
    seconds: int

    def __str__(self) -> str:
        since = f" for {self.seconds // 60} min" if self.seconds >= 60 else ""
        return f"{self.service} is at work{since}"


async def busy(engine: Engine, containers: Sequence[Mapping[str, Any]]) -> list[Work]:
    """Agents at work in those containers; a container that cannot be asked counts as idle."""

    async def ask(inspect: Mapping[str, Any]) -> list[Work]:
        if container_state(inspect) not in _RUNNING:
            return []
        try:
            table = await engine.processes(str(inspect["Id"]))
        except DisintoError:
            return []
        return [Work(service_of(inspect), seconds) for seconds, words in table if _AGENT.search(words)]

    found = await asyncio.gather(*(ask(item) for item in containers))
    return [work for works in found for work in works]


class WaitIdle:
    """`services`, `deadline` (s): wait until no agent is at work. Nothing is changed before that."""

    async def check(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nobody is at work."""
        return None if await self._busy(ctx, params) else "No agent is at work."

    async def run(self, ctx: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Look every two seconds. Raises Unavailable `agents.busy` at the deadline."""
        deadline = float(params["deadline"])
        began = time.monotonic()
        said = ""
        while works := await self._busy(ctx, params):
            words = ", ".join(str(work) for work in works)
            if words != said:
                ctx.say(words)
                said = words
            if time.monotonic() - began >= deadline:
                raise Unavailable(
                    "The agents did not become idle.",
                    f"After {deadline:g} s {words}.",
                    "Try again later, give a longer --deadline, or switch without --when-idle.",
                    code="agents.busy",
                )
            await asyncio.sleep(POLL_SECONDS)
        return {}

    async def _busy(self, ctx: Context, params: Mapping[str, Any]) -> list[Work]:
        engine = Engine(ctx.plan.endpoint)
        wanted = set(params["services"])
        found = await engine.containers(ctx.plan.project)
        return await busy(engine, [item for item in found if service_of(item) in wanted])

    async def undo(self, ctx: Context, params: Mapping[str, Any]) -> str | None:
        """Nothing was done."""
        return None
