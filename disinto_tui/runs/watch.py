"""Views of an instance without an end: engine events, changed files, and an engine that comes back.

`observe.watch_instance` ends when the engine goes away. An operator who looks at a screen wants to see it come
back, and to see what another terminal did to the files; this goes on until it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from disinto_tui.adapters.engine import Engine, find_endpoint
from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.view import InstanceView
from disinto_tui.runs.observe import observe, watch_instance

FILE_SECONDS = 2.0
"""How often the files' times are looked at: a few `stat` calls, no more."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0


async def live_views(instance: Instance) -> AsyncIterator[InstanceView]:
    """A view now, and a new one whenever containers, files or runs change; never ends by itself.

    An engine that is away is asked again after 0.5 s, later every 8 s. Raises Unavailable when the docker
    context cannot be read, and whatever `observe` raises.
    """
    queue: asyncio.Queue[InstanceView | BaseException] = asyncio.Queue()
    tasks = [asyncio.create_task(_told(work, queue)) for work in (_engine(instance), _files(instance))]
    try:
        while True:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _told(
    views: AsyncIterator[InstanceView], queue: asyncio.Queue[InstanceView | BaseException]
) -> None:
    try:
        async for view in views:
            queue.put_nowait(view)
    except Exception as error:  # it is raised where the views are read
        queue.put_nowait(error)


async def _engine(instance: Instance) -> AsyncIterator[InstanceView]:
    while True:
        answered = False
        async for view in watch_instance(instance):
            answered = not view.engine_error
            yield view
        await _until_back(_FIRST_WAIT if answered else 2 * _FIRST_WAIT)


async def _until_back(wait: float) -> None:
    engine = Engine(await find_endpoint())
    while True:
        await asyncio.sleep(wait)
        with contextlib.suppress(DisintoError):
            await engine.version()
            return
        wait = min(2 * wait, _LONGEST_WAIT)


async def _files(instance: Instance) -> AsyncIterator[InstanceView]:
    before = _stamps(instance)
    while True:
        await asyncio.sleep(FILE_SECONDS)
        now = _stamps(instance)
        if now != before:
            before = now
            yield await observe(instance)


def _stamps(instance: Instance) -> tuple[tuple[int, int] | None, ...]:
    """Times and sizes of what a view is made from, the newest run's events among them."""
    runs = sorted(instance.runs.iterdir())[-1:] if instance.runs.is_dir() else []
    paths = [
        instance.env_file,
        instance.sealed_env_file,
        *instance.compose_files(),
        instance.runs,
        *(run / "events.ndjson" for run in runs),
    ]
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
