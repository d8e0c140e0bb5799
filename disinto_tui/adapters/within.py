"""Waiting with a limit, in a task that may be cancelled at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float | None, work: Awaitable[T]) -> T:
    """What `work` answers. Raises asyncio.TimeoutError when that takes longer than `seconds` (None: no limit), after
    `work` was cancelled and has ended.

    It is `asyncio.wait_for`, but for one thing: until Python 3.12 that forgets a cancellation which meets the answer
    in the same turn of the loop (observed, 3.11: `task.cancel()` once, and a task that goes on for ever), and whoever
    waits for the cancelled task then waits for ever, too.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        if task.done() and not task.cancelled():
            task.exception()  # nobody asks for it any more, which asyncio would complain of
        raise
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()  # it ended as the time did
