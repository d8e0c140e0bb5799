"""What is asked is written down, read or write; in a dry run no write leaves."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import web

from disinto_tui.adapters.http import HttpClient
from disinto_tui.adapters.process import Command, run
from disinto_tui.adapters.tape import Tape, probing, recording
from disinto_tui.core.errors import Refused
from tests.adapters.support_stub import answer, serving


def touching(path: Path, *, writes: bool) -> Command:
    return Command((sys.executable, "-c", f"open({str(path)!r}, 'w')"), writes=writes)


async def test_commands_are_recorded_and_a_write_is_refused_before_it_starts(tmp_path: Path) -> None:
    await run(touching(tmp_path / "unrecorded", writes=True))
    with recording(Tape(reads_only=True)) as tape:
        await run(touching(tmp_path / "read", writes=False))
        with pytest.raises(Refused) as refused:
            await run(touching(tmp_path / "written", writes=True))
    assert refused.value.code == "tape.write"
    assert [(item.kind, item.executed) for item in tape.asked] == [("read", True)]
    assert str(tmp_path / "read") in tape.asked[0].text
    assert {path.name for path in tmp_path.iterdir()} == {"unrecorded", "read"}
    with recording(Tape()) as tape:
        await run(touching(tmp_path / "written", writes=True))
    assert [item.kind for item in tape.take()] == ["write"]
    assert tape.take() == []


async def test_requests_are_told_apart_by_their_method_and_a_probe_by_who_asks() -> None:
    seen: list[str] = []

    async def server(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.method)
        return answer({})

    async with serving(server) as url, HttpClient() as client:

        async def probe() -> None:
            with probing():
                await client.request("POST", f"{url}/probe")

        async def post() -> None:
            with pytest.raises(Refused):
                await client.request("POST", f"{url}/write")

        with recording(Tape(reads_only=True)) as tape:
            # At the same time: who probes does not lend that to others.
            await asyncio.gather(probe(), client.request("GET", f"{url}/read"), post())
    assert sorted(seen) == ["GET", "POST"]
    assert sorted((item.kind, item.text.rpartition("/")[2]) for item in tape.asked) == [
        ("probe", "probe"),
        ("read", "read"),
    ]
