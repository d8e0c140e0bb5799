"""`.env.enc` through sops, held to a double of it (tests/support/sops_double.py): the real one was not to be had."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from disinto_tui.adapters import sops
from disinto_tui.adapters.compose import ComposeTarget, compose
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.process import PRIVATE_FILE, Command, run
from disinto_tui.core.errors import BadInput, DisintoError, Refused, Unavailable
from disinto_tui.runs.env import env_or_nothing, load_env, read_env, refuse_both, with_pin
from tests.support.sealed import Sops, install

SECRET = "hunter2-of-the-forge"
CLEAR = f"# a comment\nAGENTS_IMAGE=r/agents:v0.1.0\n\nFORGE_TOKEN={SECRET}\nEMPTY=\nQUOTED='a # b'\n"


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sops:
    made = install(tmp_path / "home")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def instance(tmp_path: Path, double: Sops) -> Instance:
    """An instance with a sealed environment file and nothing else."""
    made = Instance.at(tmp_path / "factory")
    made.path.mkdir()
    made.env_file.write_text(CLEAR)
    double.seal(made.env_file)
    return made


def clear_text_under(directory: Path) -> list[str]:
    """Files that hold the planted secret."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


async def test_values_are_read_and_nothing_is_written(instance: Instance) -> None:
    env = await load_env(instance)
    assert (env.kind, env.name, env.both) == ("sealed", ".env.enc", False)
    assert env.values["FORGE_TOKEN"] == SECRET
    assert env.values["QUOTED"] == "a # b"
    assert env.sealed_data == env.data
    assert read_env(instance) == env.values
    assert clear_text_under(instance.path) == []
    assert SECRET not in repr(env)


async def test_sops_is_asked_once_for_as_long_as_the_file_is_the_same(
    instance: Instance, double: Sops
) -> None:
    before = len(double.log.read_text().splitlines())
    for _ in range(3):
        await load_env(instance)
        read_env(instance)
    assert len(double.log.read_text().splitlines()) == before + 1
    double("--set", '["EMPTY"] "full"', str(instance.sealed_env_file))
    assert (await load_env(instance)).values["EMPTY"] == "full"


@pytest.mark.parametrize("version", ["3.9.4", "3.7.3", "3.10.2"])
async def test_a_pin_is_set_by_sops_and_nothing_else_changes(
    instance: Instance, double: Sops, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("SOPS_DOUBLE_VERSION", version)
    before = instance.sealed_env_file.read_bytes()
    made = await with_pin(instance, await load_env(instance), "AGENTS_IMAGE", "r/agents:v0.2.0")
    assert instance.sealed_env_file.read_bytes() == before
    assert SECRET.encode() not in made
    assert b"v0.2.0" not in made
    instance.sealed_env_file.write_bytes(made)
    assert double.open(instance.sealed_env_file) == CLEAR.replace("v0.1.0", "v0.2.0").replace("\n\n", "\n")
    assert sorted(path.name for path in instance.private.iterdir()) == []
    words = [json.loads(line) for line in double.log.read_text().splitlines()]
    assert any(line[0] == "set" for line in words) == (version != "3.7.3")
    assert SECRET not in double.log.read_text()


async def test_a_pin_that_is_missing_is_added(instance: Instance) -> None:
    made = await with_pin(instance, await load_env(instance), "OTHER", "x")
    instance.sealed_env_file.write_bytes(made)
    assert (await load_env(instance)).values["OTHER"] == "x"


async def test_a_clear_file_is_as_it_always_was(instance: Instance) -> None:
    instance.sealed_env_file.unlink()
    instance.env_file.write_text(CLEAR)
    env = await load_env(instance)
    assert (env.kind, env.sealed_data) == ("clear", None)
    assert (
        await with_pin(instance, env, "AGENTS_IMAGE", "r/a:1")
        == CLEAR.replace("r/agents:v0.1.0", "r/a:1").encode()
    )


async def test_both_side_by_side_are_looked_at_and_not_written(instance: Instance) -> None:
    instance.env_file.write_text("AGENTS_IMAGE=r/agents:v9\n")
    env = await load_env(instance)
    assert (env.kind, env.values["AGENTS_IMAGE"]) == ("clear", "r/agents:v9")
    with pytest.raises(Refused) as caught:
        refuse_both(env)
    assert caught.value.code == "env.both"


async def refused(instance: Instance) -> DisintoError:
    with pytest.raises(DisintoError) as caught:
        await load_env(instance)
    assert SECRET not in f"{caught.value} {caught.value.details}"
    assert (await env_or_nothing(instance)).kind == "none"
    with pytest.raises(BadInput) as again:  # whoever only looks knows one kind of trouble
        read_env(instance)
    assert again.value.what == caught.value.what
    return caught.value


async def test_no_sops(instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    error = await refused(instance)
    assert isinstance(error, Unavailable)
    assert error.code == "sops.missing"


async def test_no_key(instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    error = await refused(instance)
    assert isinstance(error, Unavailable)
    assert error.code == "sops.key"
    assert any("no identity matched" in line for line in error.details)


async def test_changed_behind_its_back(instance: Instance) -> None:
    """A line taken out: each value still opens, together they are not what sops wrote."""
    lines = instance.sealed_env_file.read_text().splitlines(keepends=True)
    instance.sealed_env_file.write_text("".join(line for line in lines if not line.startswith("QUOTED=")))
    error = await refused(instance)
    assert isinstance(error, Refused)
    assert error.code == "sops.mac"


async def test_a_damaged_value(instance: Instance) -> None:
    text = instance.sealed_env_file.read_text()
    at = text.index("FORGE_TOKEN=ENC[AES256_GCM,data:") + 33
    instance.sealed_env_file.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    assert (await refused(instance)).code == "sops.damaged"


async def test_no_sops_file(instance: Instance) -> None:
    instance.sealed_env_file.write_text("AGENTS_IMAGE=r/agents:v1\n")
    error = await refused(instance)
    assert isinstance(error, BadInput)
    assert error.code == "sops.file"


def test_only_sops_is_given_what_leads_to_a_key(double: Sops, tmp_path: Path) -> None:
    assert (sops.decrypt_command(tmp_path / "x").env or {})["SOPS_AGE_KEY_FILE"] == str(double.key)
    target = ComposeTarget("p", str(tmp_path), ("f",), None, "unix:///s", env_data=b"A=1\n")
    command = compose(target, "config", writes=False)
    assert not [name for name in command.env or {} if name.startswith("SOPS_")]
    assert PRIVATE_FILE in command.argv
    assert "A=1" not in f"{command} {command!r} {target!r}"


async def test_a_private_file_is_read_as_often_as_wanted_and_lies_nowhere() -> None:
    script = "import sys\nfor _ in range(3): sys.stdout.write(open(sys.argv[1]).read())\nprint(sys.argv[1])"
    command = Command((sys.executable, "-c", script, PRIVATE_FILE), writes=False, private=b"A=1\n")
    first, second = await run(command), await run(command)
    assert first.stdout.splitlines()[:3] == ["A=1"] * 3
    assert first.stdout == second.stdout  # the same path, since Compose keeps it in a label
    link = first.stdout.splitlines()[-1]
    assert link.startswith("/proc/self/fd/")
    assert not Path(link).exists()
    plain = await run(
        Command((sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"), writes=False)
    )
    assert "'90'" not in plain.stdout


async def test_bytes_of_a_command_are_kept_as_they_are() -> None:
    script = "import sys; sys.stdout.buffer.write(b'a\\r\\n\\xff\\n\\nb')"
    done = await run(Command((sys.executable, "-c", script), writes=False), raw=True)
    assert done.raw == b"a\r\n\xff\n\nb"
    assert done.stdout == ""
    assert "raw" not in repr(done)
