"""Our reading of compose files against Compose's own."""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
from pathlib import Path

import pytest

from disinto_tui.adapters.compose import ComposeTarget, config
from disinto_tui.core import stack_forms as forms
from disinto_tui.core.carry import CarryFacts, carry_over, merged
from disinto_tui.core.compose_read import read_compose
from disinto_tui.core.errors import Refused
from disinto_tui.core.stack_dump import dump_compose, dump_override
from disinto_tui.runs.adopt_sources import check_merge
from tests.core.test_carry import HOME, new_stack
from tests.support.engine import Engine
from tests.support.plain_scalars import PLAIN_SCALARS


def test_compose_takes_plain_scalars_for_the_same(tmp_path: Path, engine: Engine) -> None:
    known = {
        value: meant for value, meant in PLAIN_SCALARS.items() if value != "="
    }  # Compose refuses that one
    lines = "".join(f"      V{at}: {value}\n" for at, value in enumerate(known))
    (tmp_path / "docker-compose.yml").write_text(f"services:\n  a:\n    image: x\n    environment:\n{lines}")
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=engine.environment(),
        stdin=subprocess.DEVNULL,
    )
    found = json.loads(done.stdout)["services"]["a"]["environment"]
    assert found == {f"V{at}": meant for at, meant in enumerate(known.values())}


def test_compose_makes_of_an_override_what_we_make_of_it(tmp_path: Path, engine: Engine) -> None:
    """Services, networks and dependencies that were taken out; tables and lists in place of ours."""
    old = copy.deepcopy(new_stack())
    services = old["services"]
    for name in ("staging", "staging-deploy"):
        del services[name]
    services["edge"]["depends_on"] = {"forgejo": {"condition": "service_started"}}
    services["agents"]["networks"] = {"mine": {"aliases": ["a"]}}
    services["forgejo"]["networks"] = ["mine", "disinto-net"]
    services["runner"]["networks"] = ["mine"]
    del services["woodpecker-agent"]["network_mode"]
    del services["woodpecker"]["networks"]
    old["networks"]["mine"] = None
    new = new_stack()
    carried = carry_over(old, new, CarryFacts(HOME, exact=True, complete=True))
    (tmp_path / "docker-compose.yml").write_text(dump_compose(new, tool_version="1"))
    (tmp_path / "docker-compose.override.yml").write_text(dump_override(carried.override))
    done = subprocess.run(
        ["docker", "compose", "--profile", "*", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**engine.environment(), "AGENTS_IMAGE": "a/b:c"},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)["services"]
    meant = merged(new, carried)["services"]
    assert seen.keys() == meant.keys() == services.keys()
    for name, item in seen.items():
        for key in ("depends_on", "networks"):
            wanted = forms.names(meant[name].get(key)) or (("default",) if key == "networks" else ())
            assert forms.names(item.get(key)) == wanted or item.get("network_mode"), (name, key)
    assert "network_mode" not in seen["woodpecker-agent"]
    assert seen["agents"]["networks"]["mine"] == {"aliases": ["a"]}


def test_one_file_that_is_read_otherwise_than_compose_reads_it_is_refused(
    tmp_path: Path, engine: Engine
) -> None:
    text = "services:\n  agents:\n    image: a\n    environment: {A: 1e3}\n"
    (tmp_path / "docker-compose.yml").write_text(text)
    target = ComposeTarget("x", str(tmp_path), (str(tmp_path / "docker-compose.yml"),), None, engine.endpoint)

    async def look(data: dict[str, object]) -> None:
        await check_merge(target, data, await config(target))

    asyncio.run(look(read_compose(text).data))
    with pytest.raises(Refused) as caught:
        asyncio.run(look({"services": {"agents": {"image": "a", "environment": {"A": "1e3"}}}}))
    assert (
        caught.value.code == "adopt.merge"
        and "docker-compose.yml says is not understood" in caught.value.what
    )
