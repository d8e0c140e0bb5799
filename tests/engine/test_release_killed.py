"""A release killed (SIGKILL) at every boundary of every step, and in the middle of those that matter."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.engine import Engine
from tests.support.registries import Registry, push_stand_ins
from tests.support.release_ground import MARK, STEPS, ReleaseGround, release_ground

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(
    engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReleaseGround]:
    with release_ground(
        engine, tmp_path_factory.mktemp("g"), "killed", push_stand_ins(registry), ("one",)
    ) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(ground: ReleaseGround) -> dict[str, Any]:
    """The world after a release that nobody killed."""
    version = ground.cut()
    run = ground.planned(version)
    assert ground.killed(run, {}) == 0
    return ground.world(version)


POST = "disinto_tui.adapters.forge:ForgeClient.post"
TAG_UNHEARD = {"after": POST}
RESULT_UNHEARD = {"after": POST}  # it is on a branch; in a process that found the tag made
PULL_UNHEARD = {"after": POST, "call": 2}
WAITING = {"line": MARK}
VERSION_PUSHED, COMPOSE_RECREATES = "^✓ .*:v[0-9.]+ is sha256", "-agents  Recreate$"
KILLS: list[list[int | dict[str, Any]]] = [
    [
        1,
        TAG_UNHEARD,
        5,
        {"line": "^built sha256"},
        9,
        13,
        {"line": "^wrote .env"},
        {"line": "^wrote release/"},
    ],
    [
        2,
        {"line": "^✓ one: pushed"},
        6,
        {"line": "^exported"},
        10,
        {"line": "^· Recreate"},
        14,
        RESULT_UNHEARD,
    ],
    # Between the version and `latest`; and while Compose says that it is at it.
    [3, 7, WAITING, 11, {"line": VERSION_PUSHED}, {"line": COMPOSE_RECREATES}, 15, PULL_UNHEARD],
    [4, 8, {"progress": "push-image"}, {"line": "^✓ .*:latest is sha256"}, 12, {"line": "^· Watch"}, 16],
]
"""When a release is killed, and when what goes on with it is, and so on: a number is a boundary of the journal, the
beginning or end of each of the eight steps; all sixteen are in it."""


@pytest.mark.parametrize("kills", KILLS, ids=[str(kills[0]) for kills in KILLS])
def test_killed_at_every_boundary_and_within_steps_then_resumed(
    ground: ReleaseGround, undisturbed: dict[str, Any], kills: list[int | dict[str, Any]]
) -> None:
    waits = f"RUN echo {MARK} && sleep 0.5\n" if WAITING in kills else ""
    version = ground.cut(more=waits)
    run = ground.planned(version)
    for kill in kills:
        when = {"boundary": kill} if isinstance(kill, int) else kill
        assert ground.killed(run, when) == -signal.SIGKILL, (kill, (run / "log").read_text())
    said = ground.resume()
    assert said.code == 0, said.err
    assert ground.world(version) == undisturbed


def test_every_boundary_is_among_them() -> None:
    numbers = sorted(kill for kills in KILLS for kill in kills if isinstance(kill, int))
    assert numbers == list(range(1, 2 * len(STEPS) + 1))


UNDONE: list[list[int | dict[str, Any]]] = [
    [TAG_UNHEARD],
    [WAITING, {"line": VERSION_PUSHED}, {"line": COMPOSE_RECREATES}],
    [14, PULL_UNHEARD],
]


@pytest.mark.parametrize("kills", UNDONE, ids=["tag", "switch", "result"])
def test_killed_and_taken_back(
    ground: ReleaseGround, undisturbed: dict[str, Any], kills: list[int | dict[str, Any]]
) -> None:
    assert undisturbed
    waits = f"RUN echo {MARK} && sleep 0.5\n" if WAITING in kills else ""
    version = ground.cut(more=waits)
    pin, image, tags = ground.pin(), ground.image_running(), dict(ground.repo.tags)
    run = ground.planned(version)
    for kill in kills:
        when = {"boundary": kill} if isinstance(kill, int) else kill
        assert ground.killed(run, when) == -signal.SIGKILL, (kill, (run / "log").read_text())
    said = ground.resume("--undo")
    assert said.code == 0, said.err
    assert ground.repo.tags == tags
    assert (ground.pin(), ground.image_running()) == (pin, image)
    assert ground.local(f"{ground.alias}:{version}") == ground.local(f"{ground.images}:{version}") == ""
    assert f"release-result/{version}" not in ground.repo.branches
    assert {pull.state for pull in ground.repo.pulls.values() if version in pull.head} <= {"closed"}
    file = ground.factory.directory / "release" / f"{version}.json"
    assert not file.exists() or ground.result(version)["status"] == "undone"
    assert ground.leftovers() == []
    # Nothing is in the way of another release.
    assert ground.factory.cli("resume", "--yes").code == 2
