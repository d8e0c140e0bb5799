"""Which project a hand-typed `docker compose` would mean: our reading of `.env` and the files, held to Compose."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.runs.project import by_hand

AGENTS = "services:\n  agents:\n    image: x/agents:1\n"


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    directory = tmp_path / "My Factory_2.x"
    directory.mkdir()
    (directory / "docker-compose.yml").write_text("name: shop\n" + AGENTS)
    (directory / "extra.yml").write_text("name: extra\n" + AGENTS)
    return Instance.at(directory)


@pytest.mark.parametrize(
    ("env", "override"),
    [
        ("", ""),
        ("", "name: overridden\n" + AGENTS),
        ("COMPOSE_PROJECT_NAME=other\n", ""),
        ("COMPOSE_PROJECT_NAME=\n", ""),
        ("COMPOSE_FILE=docker-compose.yml:extra.yml\n", ""),
        ("COMPOSE_FILE=docker-compose.yml,extra.yml\nCOMPOSE_PATH_SEPARATOR=,\n", ""),
        ("COMPOSE_FILE=./extra.yml\nCOMPOSE_PROJECT_NAME=other\n", ""),
    ],
)
def test_as_compose_itself_says(instance: Instance, env: str, override: str) -> None:
    """Compose needs no engine to say what it would act on."""
    instance.env_file.write_text(env)
    if override:
        instance.override_file.write_text(override)
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        capture_output=True, text=True, check=False, cwd=instance.path, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values = dict(line.split("=", 1) for line in env.splitlines())
    assert by_hand(instance, values).name == json.loads(done.stdout)["name"]
