"""`init` on a directory that has a history: finished, failed, edited, renamed, reduced."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.conftest import SampleImages
from tests.engine.test_init import refused, states
from tests.support.engine import Engine
from tests.support.factory import Factory, config_text, new_factory
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import USER_TOKEN

QWEN = '[agents.qwen]\nbase_url = "http://10.0.0.5:8081"\nmodel = "qwen3"\nforge_user = "qwen-bot"\n'


@pytest.fixture
def factory(
    engine: Engine, sample_images: SampleImages, project: str, forge: ForgeDouble, tmp_path: Path
) -> Factory:
    text = config_text(project, sample_images.repository, forge.url, sample_images.stand_ins)
    return new_factory(tmp_path, engine.endpoint, project, text, warm=True)


def only_run(factory: Factory) -> str:
    return str(factory.cli("runs", "--json").document[0]["id"])


def test_a_finished_init_is_not_taken_back(factory: Factory, engine: Engine) -> None:
    """It would remove a running factory and the only copy of its tokens."""
    assert factory.init().code == 0
    files, running = factory.files(), states(engine, factory.project)
    refused(factory.cli("resume", "--undo", only_run(factory), "--yes"), 4, "cannot be taken back")
    assert factory.files() == files
    assert states(engine, factory.project) == running


def break_it(factory: Factory) -> None:
    text = factory.config.read_text()
    line = next(line for line in text.splitlines() if line.startswith("caddy ="))
    factory.config.write_text(text.replace(line, line.replace("/web:1", "/nope:1")))


def test_undo_looks_at_every_file_before_it_touches_one(factory: Factory) -> None:
    good = factory.config.read_text()
    break_it(factory)
    assert factory.init().code != 0
    env = factory.directory / ".env"
    kept = env.read_bytes()
    env.write_bytes(kept + b"MINE=1\n")
    files = factory.files()
    said = factory.cli("resume", "--undo", "--yes")
    assert said.code != 0
    assert "changed by somebody else" in said.err
    assert factory.files() == files
    env.write_bytes(kept)
    said = factory.cli("resume", "--undo", "--yes")  # it is still there to be taken back
    assert said.code == 0, said.err
    assert factory.files() == {}
    factory.config.write_text(good)


def test_a_corrected_config_counts_after_a_failed_init(factory: Factory, engine: Engine) -> None:
    good = factory.config.read_text()
    break_it(factory)
    assert factory.init().code != 0
    factory.config.write_text(good)
    said = factory.init()
    assert said.code == 0, said.err
    assert "taken back first" in said.err
    assert "edge" in states(engine, factory.project)


def test_a_new_token_counts_after_a_failed_init(factory: Factory) -> None:
    break_it(factory)
    assert factory.init().code != 0
    factory.token.write_text(USER_TOKEN + "\n")
    assert factory.init("--no-start").code == 0
    assert USER_TOKEN.encode() in factory.files()[".env"]


def test_init_does_not_change_the_version_of_a_running_factory(factory: Factory) -> None:
    assert factory.init().code == 0
    files = factory.files()
    refused(factory.init("--version", "v0.3.0"), 4, "disinto use v0.3.0")
    assert factory.files() == files


def test_another_project_name_is_refused_while_the_old_one_runs(factory: Factory, engine: Engine) -> None:
    assert factory.init().code == 0
    factory.change_config(f'project = "{factory.project}"', f'project = "{factory.project}x"')
    refused(factory.init(), 4, "empty volumes", factory.project)
    assert states(engine, factory.project + "x") == {}


def test_an_agent_taken_out_of_the_config_stops_working(factory: Factory, engine: Engine) -> None:
    good = factory.config.read_text()
    factory.config.write_text(good + QWEN)
    assert factory.init().code == 0
    assert "agents-qwen" in states(engine, factory.project)
    factory.config.write_text(good)
    plan = factory.init("--dry-run")
    assert "remove      agents-qwen" in plan.out
    said = factory.init()
    assert said.code == 0, said.err
    assert "agents-qwen" not in states(engine, factory.project)
    assert "agents" in states(engine, factory.project)
    assert "Nothing to do." in factory.init().err


def test_no_value_of_an_old_env_is_shown_or_journaled(factory: Factory) -> None:
    factory.directory.mkdir()
    env = "FORGE_TOKEN: oldSEKRET\nFORGE_PASS='ab\nSEKRETline2'\nFORGE_URL=http://user:SEKRETpw@host/\n"
    (factory.directory / ".env").write_text(env)
    shown = factory.init("--dry-run")
    assert shown.code == 0, shown.err
    said = factory.init("--no-start", "--json")
    assert said.code == 0, said.err
    for text in (shown.out, shown.err, said.out, said.err):
        assert "SEKRET" not in text
    for path in (factory.directory / ".disinto").rglob("*"):
        if path.is_file() and "backup" not in path.parts:
            assert b"SEKRET" not in path.read_bytes(), path


def test_a_compose_file_of_another_name_is_refused(factory: Factory) -> None:
    factory.directory.mkdir()
    (factory.directory / "compose.yaml").write_text("services: {}\n")
    refused(factory.init(), 4, "compose.yaml")
    assert set(factory.files()) == {"compose.yaml"}


def test_agents_can_read_their_project_file(factory: Factory, engine: Engine) -> None:
    assert factory.init().code == 0
    container = f"{factory.project}-agents"
    read = engine.docker("exec", "-u", "1000", container, "cat", "/home/agent/disinto/projects/shop.toml")
    assert 'name = "shop"' in read.stdout


def test_a_profile_that_env_turns_on_is_planned_and_started(factory: Factory) -> None:
    assert factory.init("--no-start").code == 0
    env = factory.directory / ".env"
    env.write_bytes(env.read_bytes() + b"COMPOSE_PROFILES=vault\n")
    shown = factory.cli("up", "--dry-run")
    assert "runner" in shown.out
