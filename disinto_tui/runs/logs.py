"""The services' logs, interleaved: one stream a container, re-attached when a container is recreated."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from disinto_tui.adapters.engine import Engine, find_endpoint
from disinto_tui.adapters.engine_streams import container_logs, project_events
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.runs.health import service_of
from disinto_tui.runs.project import find_project


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one service; `at` is the engine's timestamp (RFC 3339), by which all lines sort."""

    service: str
    at: str
    text: str


async def follow_logs(
    instance: Instance,
    services: Sequence[str] = (),
    *,
    tail: int = 100,
    follow: bool = True,
    after: str = "",
) -> AsyncIterator[list[LogLine]]:
    """Batches of lines of the project's services (all of them, or those named).

    The past is sorted by time across services; what comes afterwards arrives as the engine sends it. With
    `follow`, containers that appear later are attached when they start, and a recreated one goes on where the
    old one ended. Whoever lost the engine goes on with `after`, the timestamp of the last line: every later one comes,
    whatever `tail` says, and first an empty batch as soon as the engine answers.

    Raises BadInput for a service that has no container, Unavailable without an engine, Refused when several projects
    run from the instance's directory.
    """
    engine = Engine(await find_endpoint())
    found = await find_project(engine, instance, one_off=True)
    project, documents = found.name, found.containers
    wanted = set(services)
    known = {service_of(item) for item in documents}
    if wanted - known:
        missing = sorted(wanted - known)[0]
        raise BadInput(
            f"There is no container of a service {missing}.",
            f"Those that are there: {', '.join(sorted(known)) or 'none'}.",
            "Start the stack with `disinto up`, or name another service.",
            code="service.unknown",
        )
    chosen = [item for item in documents if not wanted or service_of(item) in wanted]
    if not chosen and not follow:
        return
    began = time.time()
    past = await asyncio.gather(*(_past(engine, item, tail, after) for item in chosen))
    merged = sorted((line for lines in past for line in lines), key=lambda line: line.at)
    if merged or after:
        yield merged
    if not follow:
        return
    follower = Follower(engine, project, wanted, began)
    for inspect, lines in zip(chosen, past, strict=True):
        follower.attach(str(inspect["Id"]), service_of(inspect), seen=lines[-1].at if lines else after)
    async for batch in follower.lines():
        yield batch


async def _past(engine: Engine, inspect: dict[str, Any], tail: int, after: str) -> list[LogLine]:
    found: list[LogLine] = []
    much = {"tail": "all", "since": _seconds(after)} if after else {"tail": tail}
    async with container_logs(engine, str(inspect["Id"]), follow=False, **much) as stream:
        async for batch in stream:
            lines = [_line(service_of(inspect), raw) for raw in batch]
            found += [line for line in lines if line.at > after]
    return found


def _line(service: str, raw: bytes) -> LogLine:
    at, _, text = raw.decode(errors="replace").rstrip("\r\n").partition(" ")
    return LogLine(service, at, text)


class Follower:
    """Reads the containers of a project for as long as it runs, each again whenever it is started again.

    `wanted` names the services, none means all; `since` (unix seconds) is where their past begins.
    """

    def __init__(self, engine: Engine, project: str, wanted: set[str], since: float) -> None:
        self._engine = engine
        self._project = project
        self._wanted = wanted
        self._since = since
        self._queue: asyncio.Queue[list[LogLine] | DisintoError] = asyncio.Queue(maxsize=64)
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._starts: dict[str, asyncio.Event] = {}

    async def lines(self) -> AsyncIterator[list[LogLine]]:
        """Batches of lines as the engine sends them, without an end. Raises Unavailable when it goes away."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, DisintoError):
                    raise item
                yield item
        finally:
            tasks = [watching, *self._readers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def attach(self, container: str, service: str, *, seen: str = "") -> None:
        """Read a container, or tell its reader that it was started again."""
        if container in self._readers:
            self._starts[container].set()
            return
        self._starts[container] = asyncio.Event()
        self._readers[container] = asyncio.create_task(self._read(container, service, seen))

    async def _read(self, container: str, service: str, seen: str) -> None:
        """Every line after `seen`, through any number of restarts.

        The engine ends a stream when its container stops, and may tell of the next start before that end has
        come through, or after the new process has printed: so a start is remembered until the stream is over,
        and what was missed is told by the last line's timestamp and not by the time of the event.
        """
        started = self._starts[container]
        while True:
            started.clear()
            after = seen
            with contextlib.suppress(DisintoError):  # it went away: another one announces itself
                async with container_logs(
                    self._engine, container, tail="all", since=max(self._since, _seconds(after))
                ) as stream:
                    async for batch in stream:
                        lines = [_line(service, raw) for raw in batch]
                        fresh = [line for line in lines if line.at > after]
                        if fresh:
                            seen = fresh[-1].at
                            await self._queue.put(fresh)
            await started.wait()

    async def _watch(self) -> None:
        try:
            async with project_events(self._engine, self._project, since=self._since) as stream:
                async for batch in stream:
                    for event in batch:
                        self._started(event)
        except DisintoError as error:
            await self._queue.put(error)

    def _started(self, event: dict[str, Any]) -> None:
        if event.get("Action") != "start":
            return
        actor = event.get("Actor") or {}
        service = str((actor.get("Attributes") or {}).get("com.docker.compose.service", ""))
        if not self._wanted or service in self._wanted:
            self.attach(str(actor.get("ID", "")), service)


def _seconds(at: str) -> float:
    """Epoch seconds of the engine's timestamp (RFC 3339, nanoseconds), rounded down to whole ones; 0.0 for ""."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(at[:19] + "+00:00").timestamp()
    return 0.0
