"""Which files an existing stack is made from, as Compose would take them, and what must not be read or replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.core.errors import Refused
from disinto_tui.runs.adopt_sources import (
    differing,
    files_meant,
    left_behind,
    refuse_bystanders,
    retired,
    source_mode,
)
from disinto_tui.runs.env import Env
from disinto_tui.runs.project import ByHand, Found, by_hand


def place(path: Path, *names: str) -> Instance:
    for name in names:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("services: {}\n")
    return Instance.at(path)


def stopped(instance: Instance, **env: str) -> Found:
    """What is known of a stack without containers."""
    hand = by_hand(instance, env)
    return Found(
        "x", (), hand.files, hand, Env("clear", values=env), ("it runs from a, and stays so", "other")
    )


def running(instance: Instance, *names: str) -> Found:
    files = tuple(str(instance.path / name) for name in names)
    return Found("x", ({"Id": "1"},), files, ByHand("x", files), Env("none"))


def names(found: Found) -> list[str]:
    return [Path(path).name for path in found.files]


@pytest.mark.parametrize(
    ("there", "meant"),
    [
        (("docker-compose.yml",), ["docker-compose.yml"]),
        (("compose.yaml", "docker-compose.yml"), ["compose.yaml"]),
        (("compose.yml", "docker-compose.override.yml"), ["compose.yml", "docker-compose.override.yml"]),
        (
            ("docker-compose.yaml", "compose.override.yaml", "docker-compose.override.yml"),
            ["docker-compose.yaml", "compose.override.yaml"],
        ),
        ((), ["docker-compose.yml"]),
    ],
)
def test_a_stopped_stack_is_made_from_what_compose_would_take(
    tmp_path: Path, there: tuple[str, ...], meant: list[str]
) -> None:
    instance = place(tmp_path, *there)
    assert names(files_meant(instance, stopped(instance))) == meant


def test_what_containers_or_compose_file_say_counts_more(tmp_path: Path) -> None:
    instance = place(tmp_path, "compose.yaml", "docker-compose.yml", "prod.yml")
    assert names(files_meant(instance, running(instance, "docker-compose.yml"))) == ["docker-compose.yml"]
    said = files_meant(instance, stopped(instance, COMPOSE_FILE="docker-compose.yml:prod.yml"))
    assert names(said) == ["docker-compose.yml", "prod.yml"]
    assert said.notes == ("other",)  # what is said of files holds no more afterwards
    assert left_behind(instance, said) == [str(tmp_path / "prod.yml")]
    assert retired(instance, said) == []


@pytest.mark.parametrize(
    "stray", ["compose.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.yaml"]
)
def test_a_file_that_the_stack_is_not_made_from_is_not_guessed_at(tmp_path: Path, stray: str) -> None:
    instance = place(tmp_path, "docker-compose.yml", stray)
    with pytest.raises(Refused) as caught:
        refuse_bystanders(instance, running(instance, "docker-compose.yml"))
    assert caught.value.code == "compose.other_name" and stray in caught.value.what
    refuse_bystanders(instance, running(instance, "docker-compose.yml", stray))


def test_the_compose_file_is_not_written_over_when_the_stack_is_made_from_another(tmp_path: Path) -> None:
    instance = place(tmp_path, "docker-compose.yml", "stack.yml")
    with pytest.raises(Refused) as caught:
        refuse_bystanders(instance, running(instance, "stack.yml"))
    assert "There is a docker-compose.yml" in caught.value.what
    (tmp_path / "docker-compose.yml").unlink()
    refuse_bystanders(instance, running(instance, "stack.yml"))


def test_what_compose_would_prefer_is_moved_away_and_a_link_to_it_refused(tmp_path: Path) -> None:
    instance = place(tmp_path, "compose.yaml", "compose.override.yml", "ops/compose.yaml")
    found = running(instance, "compose.yaml", "compose.override.yml", "ops/compose.yaml")
    assert retired(instance, found) == ["compose.yaml", "compose.override.yml"]
    assert left_behind(instance, found) == [str(tmp_path / "ops/compose.yaml")]
    refuse_bystanders(instance, found)
    (tmp_path / "docker-compose.yml").symlink_to("compose.yaml")
    with pytest.raises(Refused) as caught:
        refuse_bystanders(instance, found)
    assert caught.value.code == "compose.link"


def test_what_is_put_together_from_files_is_for_nobody_elses_eyes(tmp_path: Path) -> None:
    place(tmp_path, "a.yml", "b.yml")
    for name, mode in (("a.yml", 0o644), ("b.yml", 0o640)):
        (tmp_path / name).chmod(mode)
    both = [str(tmp_path / name) for name in ("a.yml", "b.yml")]
    assert source_mode(both) == 0o640
    assert source_mode([*both, str(tmp_path / "gone")]) == 0o640
    assert source_mode([]) is None


def test_where_two_resolved_stacks_differ() -> None:
    one = {"services": {"a": {"command": ["x", "y"], "volumes": [{"target": "/b"}, {"target": "/a"}]}}}
    other = {"services": {"a": {"command": ["y", "x"], "volumes": [{"target": "/a"}, {"target": "/b"}]}}}
    assert list(differing(one, other)) == ["services.a.command"]
    assert list(differing(one, one)) == []
    assert list(differing({"services": {}}, one)) == ["services.a"]
