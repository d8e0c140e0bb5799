"""Waiting with a limit, and a cancellation that meets the answer."""

from __future__ import annotations

import asyncio

import pytest

from disinto_tui.adapters.within import within


async def test_the_answer_comes_through_and_so_does_the_error() -> None:
    async def answer() -> int:
        return 7

    async def fail() -> int:
        raise ValueError("no")

    assert await within(1, answer()) == 7
    assert await within(None, answer()) == 7
    with pytest.raises(ValueError, match="no"):
        await within(1, fail())


async def test_what_takes_too_long_is_cancelled_and_has_ended() -> None:
    ended = False

    async def slow() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended = True

    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, slow())
    assert ended


async def test_a_cancellation_that_meets_the_answer_is_not_lost() -> None:
    """What `asyncio.wait_for` of Python 3.11 answers with its result: a switch was seen to wait for ever so."""
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(within(5, answer))
    for _ in range(3):
        await asyncio.sleep(0)
    answer.set_result(7)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_it_cancels_what_it_waits_for() -> None:
    ended = False

    async def slow() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended = True

    task = asyncio.create_task(within(None, slow()))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended
