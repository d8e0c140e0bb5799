"""The services' logs, interleaved: one stream a container, re-attached when a container is recreated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from disinto_tui.adapters.engine import Engine, find_endpoint
from disinto_tui.adapters.engine_streams import container_logs, project_events
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.runs.health import service_of
from disinto_tui.runs.observe import project_name


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one service; `at` is the engine's timestamp (RFC 3339), by which all lines sort."""

    service: str
    at: str
    text: str


async def follow_logs(
    instance: Instance, services: Sequence[str] = (), *, tail: int = 100, follow: bool = True
) -> AsyncIterator[list[LogLine]]:
    """Batches of lines of the project's services (all of them, or those named).

    The past is sorted by time across services; what comes afterwards arrives as the engine sends it. With
    `follow`, containers that appear later are attached when they start, and a recreated one goes on where the
    old one ended. Raises BadInput for a service that has no container, Unavailable without an engine.
    """
    engine = Engine(await find_endpoint())
    project = project_name(instance)
    documents = await engine.containers(project, one_off=True)
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
    past = await asyncio.gather(*(_past(engine, item, tail) for item in chosen))
    merged = sorted((line for lines in past for line in lines), key=lambda line: line.at)
    if merged:
        yield merged
    if not follow:
        return
    follower = _Follower(engine, project, wanted)
    async for batch in follower.lines(chosen, began):
        yield batch


async def _past(engine: Engine, inspect: dict[str, Any], tail: int) -> list[LogLine]:
    found: list[LogLine] = []
    async with container_logs(engine, str(inspect["Id"]), tail=tail, follow=False) as stream:
        async for batch in stream:
            found += [_line(service_of(inspect), raw) for raw in batch]
    return found


def _line(service: str, raw: bytes) -> LogLine:
    at, _, text = raw.decode(errors="replace").rstrip("\r\n").partition(" ")
    return LogLine(service, at, text)


class _Follower:
    """Attaches to containers as they start and hands on what they print."""

    def __init__(self, engine: Engine, project: str, wanted: set[str]) -> None:
        self._engine = engine
        self._project = project
        self._wanted = wanted
        self._queue: asyncio.Queue[list[LogLine] | DisintoError] = asyncio.Queue(maxsize=64)
        self._attached: dict[str, asyncio.Task[None]] = {}

    async def lines(self, chosen: Sequence[dict[str, Any]], since: float) -> AsyncIterator[list[LogLine]]:
        watching = asyncio.create_task(self._watch(since))
        for inspect in chosen:
            self._attach(str(inspect["Id"]), service_of(inspect), since)
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, DisintoError):
                    raise item
                yield item
        finally:
            tasks = [watching, *self._attached.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _attach(self, container: str, service: str, since: float) -> None:
        task = self._attached.get(container)
        if task is None or task.done():
            self._attached[container] = asyncio.create_task(self._read(container, service, since))

    async def _read(self, container: str, service: str, since: float) -> None:
        try:
            async with container_logs(self._engine, container, tail="all", since=since) as stream:
                async for batch in stream:
                    await self._queue.put([_line(service, raw) for raw in batch])
        except DisintoError:
            return  # the container went away; a new one announces itself by its start event

    async def _watch(self, since: float) -> None:
        try:
            async with project_events(self._engine, self._project, since=since) as stream:
                async for batch in stream:
                    for event in batch:
                        self._started(event)
        except DisintoError as error:
            await self._queue.put(error)

    def _started(self, event: dict[str, Any]) -> None:
        if event.get("Action") != "start":
            return
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        service = str(attributes.get("com.docker.compose.service", ""))
        if not self._wanted or service in self._wanted:
            at = float(event.get("timeNano", 0)) / 1e9 or time.time()
            self._attach(str((event.get("Actor") or {}).get("ID", "")), service, at)
