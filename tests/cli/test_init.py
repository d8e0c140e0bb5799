"""`disinto init` again, over one that was left half-way: whether it is the same one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import create_run
from disinto_tui.cli.init import _same_input
from disinto_tui.core.plan import Plan, Step
from disinto_tui.core.redact import Secret
from disinto_tui.runs.init_model import InitRequest
from disinto_tui.runs.ops_files import digest

CONFIG = b'name = "shop"\nrepo = "acme/shop"\n'
PINNED = "registry.example:5000/agents:v0.2.0"


@pytest.mark.parametrize(
    ("pin", "given", "same"),
    [
        (PINNED, {}, True),
        (PINNED, {"config": CONFIG + b"# changed\n"}, False),
        (PINNED, {"token": Secret("t0ken")}, True),
        (PINNED, {"token": Secret("another")}, False),
        (PINNED, {"version": "v0.2.0"}, True),
        (PINNED, {"version": PINNED}, True),
        (PINNED, {"version": "v0.3.0"}, False),
        (f"{PINNED}@sha256:{'a' * 64}", {"version": "v0.2.0"}, True),
        (PINNED, {"build_context": "/src"}, False),
        ("", {"build_context": "/src"}, True),
        ("", {"version": "v0.3.0"}, False),
    ],
)
def test_the_same_command_finishes_what_was_begun_and_another_does_not(
    tmp_path: Path, pin: str, given: dict[str, Any], same: bool
) -> None:
    instance = Instance.at(tmp_path)
    env = f"FORGE_TOKEN=t0ken\nAGENTS_IMAGE={pin}\n".encode()
    files = [
        {"path": "projects/shop.toml", "after": digest(CONFIG)},
        {"path": ".env", "after": digest(env)},
    ]
    plan = Plan("init", "Make", str(tmp_path), "p", "", (Step("files", "Write", "files", {"files": files}),))
    run = create_run(instance, plan)
    (tmp_path / ".env").write_bytes(env)
    wanted = replace(InitRequest(instance, "acme.toml", CONFIG), **given)
    assert _same_input(run, wanted) is same


def test_where_env_stays_as_it_is_its_pin_is_the_version(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    (tmp_path / ".env").write_text(f"AGENTS_IMAGE={PINNED}\n")
    run = create_run(instance, Plan("init", "Make", str(tmp_path), "p", "", (Step("up", "Start", "up"),)))
    wanted = InitRequest(instance, "acme.toml", CONFIG)
    assert _same_input(run, wanted) and _same_input(run, replace(wanted, version="v0.2.0"))
    assert not _same_input(run, replace(wanted, version="v0.3.0"))
