"""Which project and which files, by the rules of a hand-typed `docker compose` in the instance's directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import JournalWriter, create_run
from disinto_tui.core.events import RunEnded, RunStarted
from disinto_tui.core.plan import Plan
from disinto_tui.runs.env import Env
from disinto_tui.runs.lifecycle import active_services
from disinto_tui.runs.project import Found, by_hand, find_project, project_name

AGENTS = "services:\n  agents:\n    image: x/agents:1\n"


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    directory = tmp_path / "My Factory_2.x"
    directory.mkdir()
    (directory / "docker-compose.yml").write_text("name: shop\n" + AGENTS)
    (directory / "extra.yml").write_text("name: extra\n" + AGENTS)
    return Instance.at(directory)


def test_files_of_env_are_whole_paths(instance: Instance) -> None:
    found = by_hand(instance, {"COMPOSE_FILE": "./docker-compose.yml:/else/where.yml"})
    assert found.files == (str(instance.compose_file), "/else/where.yml")


def test_without_a_name_it_is_the_directorys(instance: Instance) -> None:
    instance.compose_file.write_text(AGENTS)
    assert project_name(instance) == "myfactory_2x"


class Listing:
    """An engine with containers of given labels."""

    def __init__(self, *labels: dict[str, str]) -> None:
        self.labels = labels

    async def call(self, work):  # type: ignore[no-untyped-def]
        return work(self)

    def containers(self, *, all: bool) -> list[dict[str, object]]:
        return [{"Id": str(at), "Labels": labels} for at, labels in enumerate(self.labels)]

    def inspect_container(self, identity: str) -> dict[str, object]:
        return {"Id": identity, "Config": {"Labels": self.labels[int(identity)]}}


def made(instance: Instance, project: str, *files: str, where: str = "") -> dict[str, str]:
    label = "com.docker.compose.project"
    return {
        label: project,
        f"{label}.working_dir": where or str(instance.path),
        f"{label}.config_files": ",".join(str(instance.path / name) for name in files),
        "com.docker.compose.oneoff": "False",
    }


async def found(instance: Instance, *labels: dict[str, str]) -> Found:
    return await find_project(Listing(*labels), instance, Env("none"))  # type: ignore[arg-type]


async def test_an_override_added_since_is_used(instance: Instance) -> None:
    instance.override_file.write_text(AGENTS)
    one = await found(instance, made(instance, "shop", "docker-compose.yml"))
    assert one.files == (str(instance.compose_file), str(instance.override_file))
    assert one.notes == ()


async def test_containers_of_different_files_are_said(instance: Instance) -> None:
    labels = [
        made(instance, "shop", "docker-compose.yml"),
        made(instance, "shop", "docker-compose.yml", "extra.yml"),
    ]
    one = await found(instance, *labels)
    assert one.files == (str(instance.compose_file),)
    assert "different files" in one.notes[0]


async def test_files_that_are_gone_are_said(instance: Instance) -> None:
    one = await found(instance, made(instance, "shop", "docker-compose.yml", "lost.yml"))
    assert one.files == (str(instance.compose_file),)
    assert "lost.yml is gone" in one.notes[0]


async def test_a_directory_reached_by_a_link_is_the_same(instance: Instance, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(instance.path)
    one = await found(Instance.at(link), made(instance, "other", "docker-compose.yml"))
    assert one.name == "other"
    assert len(one.containers) == 1


async def test_anothers_container_of_our_name_is_not_what_decides(instance: Instance) -> None:
    labels = [made(instance, "shop", where="/elsewhere"), made(instance, "other", "docker-compose.yml")]
    one = await found(instance, *labels)
    assert one.name == "other"
    assert [item["Id"] for item in one.containers] == ["1"]


def test_facts_survive_a_plan(instance: Instance) -> None:
    hand = by_hand(instance, {})
    facts = Found("other", (), hand.files, hand, Env("none")).facts()
    plan = Plan("down", "t", "d", "other", "e", (), facts=facts)
    assert plan.facts["known_as"]["hand"] == ["shop", *hand.files]


def over(instance: Instance, day: str, plan: Plan) -> None:
    """A run that is done, of that day."""
    run = create_run(instance, plan)
    writer = JournalWriter(run)
    writer.write(RunStarted(1.0, run.id, 1, 1.0, "boot"))
    writer.write(RunEnded(2.0, "done", 0))
    writer.close()
    run.path.rename(run.path.parent / f"{day}-000000-{plan.kind}-0000")


async def test_what_was_mended_since_does_not_make_it_forget_which_project_it_was(instance: Instance) -> None:
    """With the wrong name the next `up` would begin with empty volumes."""
    hand = by_hand(instance, {})
    facts = Found("other", (), hand.files, hand, Env("none")).facts()
    over(instance, "20260101", Plan("down", "t", str(instance.path), "other", "e", (), facts=facts))
    over(instance, "20260102", Plan("doctor", "t", str(instance.path), instance.path.name, "e", ()))
    assert (await found(instance)).name == "other"
    over(instance, "20260103", Plan("init", "t", str(instance.path), "shop", "e", ()))
    assert (await found(instance)).name == "shop"


def test_profiles_of_env_turn_services_on() -> None:
    definitions = {"a": {}, "b": {"profiles": ["x"]}, "c": {"profiles": ["y"]}}
    assert set(active_services(definitions, {"COMPOSE_PROFILES": "x"})) == {"a", "b"}
    assert set(active_services(definitions, {"COMPOSE_PROFILES": "*"})) == {"a", "b", "c"}
