"""Whether a login may push to a mirror, asked of real git behind http."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from disinto_tui.adapters.git import Login
from disinto_tui.adapters.git_access import push_access
from disinto_tui.core.errors import Unavailable
from disinto_tui.core.redact import Secret
from tests.support.git_server import PASSWORD, GitServer, git_server
from tests.support.processes import free_port

LOGIN = Login("x-access-token", Secret(PASSWORD))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as running:
        running.make("one")
        yield running


async def test_each_answer_is_told_apart(server: GitServer) -> None:
    assert await push_access(server.url("one"), LOGIN) == "may push"
    assert await push_access(server.url("one"), None) == "no login"
    assert await push_access(server.url("one"), Login("x", Secret("wr0ng"))) == "no login"
    assert await push_access(server.url("two"), LOGIN) == "missing"
    server.closed.add("one")
    assert await push_access(server.url("one"), LOGIN) == "denied"
    assert server.refs("one") == {}
    assert not any(PASSWORD in path for path, _ in server.requests)


async def test_nobody_there() -> None:
    with pytest.raises(Unavailable) as caught:
        await push_access(f"http://127.0.0.1:{free_port()}/one.git", LOGIN)
    assert caught.value.code.startswith("mirror.")
    assert PASSWORD not in str(caught.value)
