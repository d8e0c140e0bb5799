"""Files of an instance that an adoption moves away, and back: as they are, also half-way, never over another one."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.errors import Refused
from disinto_tui.core.events import RunEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.adopt_undo import _moved, _refuse_gone
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.ops_adopt import originals
from disinto_tui.runs.ops_files import digest
from disinto_tui.runs.runner import execute

NAMES = ("compose.yaml", "compose.override.yml")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """Two files of the operator's; each run begins a second after the one before."""
    count = itertools.count(100000)
    monkeypatch.setattr("disinto_tui.adapters.journal.time.strftime", lambda *_: f"20261124-{next(count)}")
    for name in NAMES:
        (tmp_path / name).write_text(f"# {name}\n")
        (tmp_path / name).chmod(0o640)
    return Instance.at(tmp_path)


def planned(instance: Instance, *, of: str = "") -> RunDir:
    """A run that moves both away, or those of another run back."""
    files = [{"path": name, "content": digest(f"# {name}\n".encode())} for name in NAMES]
    step = Step("retire", "t", "retire-files", {"files": files, "run": of, "back": bool(of)})
    return create_run(instance, Plan("adopt", "t", str(instance.path), "p", "unix:///none", (step,)))


def carried_out(run: RunDir, instance: Instance, *, undo: bool = False) -> RunEnded:
    asyncio.run(execute(run, instance, OPERATIONS, undo=undo))
    return next(event for event in reversed(run.events()) if isinstance(event, RunEnded))


def found(instance: Instance) -> dict[str, tuple[int, int, bytes]]:
    """Inode, mode and content of the files in place: the very same ones, not copies."""
    paths = [path for path in instance.path.iterdir() if path.is_file()]
    return {path.name: (path.stat().st_ino, path.stat().st_mode, path.read_bytes()) for path in sorted(paths)}


def test_they_are_moved_away_and_back_by_undo_or_by_another_run(instance: Instance) -> None:
    before = found(instance)
    run = planned(instance)
    assert carried_out(run, instance).state == "done"
    assert found(instance) == {}
    assert carried_out(run, instance, undo=True).state == "undone"
    assert found(instance) == before
    run = planned(instance)
    assert carried_out(run, instance).state == "done"
    back = planned(instance, of=run.id)
    assert carried_out(back, instance).state == "done"
    assert found(instance) == before
    assert carried_out(back, instance, undo=True).state == "undone"
    assert found(instance) == {}


@pytest.mark.parametrize("undo", [False, True], ids=["finish", "undo"])
def test_killed_between_two_of_them_it_is_finished_or_taken_back(instance: Instance, undo: bool) -> None:
    before = found(instance)
    run = planned(instance)
    place = originals(instance, run.id)
    place.mkdir(parents=True)
    (instance.path / NAMES[0]).rename(place / NAMES[0])
    ended = carried_out(run, instance)
    assert ended.state == "done"
    assert found(instance) == {}
    if undo:
        (place / NAMES[0]).rename(instance.path / NAMES[0])
        assert carried_out(run, instance, undo=True).state == "undone"
        assert found(instance) == before


def test_one_that_was_changed_since_is_not_moved(instance: Instance) -> None:
    run = planned(instance)
    (instance.path / NAMES[0]).write_text("# mine\n")
    before = found(instance)
    ended = carried_out(run, instance)
    assert ended.error is not None and ended.error["code"] == "files.changed"
    assert found(instance) == before


def test_nothing_is_moved_back_over_a_new_file_nor_from_a_lost_original(instance: Instance) -> None:
    run = planned(instance)
    assert carried_out(run, instance).state == "done"
    new = instance.path / NAMES[0]
    new.write_text("# new\n")
    with pytest.raises(Refused) as caught:
        _moved(instance, run)
    assert caught.value.code == "adopt.changed"
    ended = carried_out(run, instance, undo=True)
    assert ended.error is not None and ended.error["code"] == "files.changed"
    assert new.read_text() == "# new\n"
    new.unlink()
    (originals(instance, run.id) / NAMES[1]).unlink()
    with pytest.raises(Refused) as caught:
        _moved(instance, run)
    assert caught.value.code == "adopt.originals"


def test_a_further_file_that_is_gone_stands_in_the_way_of_the_old_stack(instance: Instance) -> None:
    """It stayed where it was, and the old stack would be started without what it says."""
    further = instance.path / "prod.yml"
    before = {"files": [str(instance.path / "compose.yaml"), str(further)]}
    with pytest.raises(Refused) as caught:
        _refuse_gone(instance, before, {"compose.yaml"})
    assert "prod.yml" in caught.value.what
    further.write_text("services: {}\n")
    _refuse_gone(instance, before, {"compose.yaml"})
