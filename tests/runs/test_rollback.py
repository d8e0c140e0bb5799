"""Where `rollback` leads, and what it says when it leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from disinto_tui.core.errors import BadInput
from disinto_tui.runs.history import history, rollback_order
from disinto_tui.runs.rollback import plan_rollback
from tests.runs.test_history import NAME, Past


def pin(directory: Path, version: str) -> None:
    (directory / ".env").write_text(f"AGENTS_IMAGE={NAME}:{version}\n")


async def test_nothing_else_was_seen_healthy(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("init", "v1", "", ("done", None))
    pin(tmp_path, "v1")
    with pytest.raises(BadInput) as caught:
        await plan_rollback(past.instance)
    assert caught.value.why == "No other version was seen healthy on this instance."


async def test_versions_that_were_all_left_are_named_with_the_way_there(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("init", "v1", "", ("done", None))
    past.run("switch", "v2", "v1", ("done", None))
    past.run("switch", "v3", "v2", ("done", None))
    past.run("rollback", "v2", "v3", ("done", None))
    past.run("rollback", "v1", "v2", ("done", None))
    pin(tmp_path, "v1")
    with pytest.raises(BadInput) as caught:
        await plan_rollback(past.instance)
    assert "v2, v3" in caught.value.why
    assert "`disinto rollback v2`" in caught.value.now


def test_what_is_kept_is_what_rollback_would_use(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.run("init", "v1", "", ("done", None), image="i1")
    past.run("switch", "v2", "v1", ("done", None), image="i2")
    past.run("switch", "v3", "v2", ("done", None), image="i3")
    past.run("rollback", "v2", "v3", ("done", None), image="i2")
    order = rollback_order(history(past.instance), f"{NAME}:v2")
    assert [entry.image for entry in order] == ["i1", "i3"]
