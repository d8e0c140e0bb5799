"""The way back from an adoption, as far as files go: which adoption is meant, links, directories, modes."""

from __future__ import annotations

import asyncio
import itertools
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.errors import BadInput, Refused
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.adopt_undo import KIND, _adopted, _moved, _refuse_changed
from disinto_tui.runs.operations import OPERATIONS
from disinto_tui.runs.ops_adopt import put_back_files
from disinto_tui.runs.ops_files import digest, replacement
from disinto_tui.runs.runner import execute


@pytest.fixture(autouse=True)
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run begins a second after the one before, since their order is that of their names."""
    count = itertools.count(100000)
    monkeypatch.setattr("disinto_tui.adapters.journal.time.strftime", lambda *_: f"20261124-{next(count)}")


def ran(
    instance: Instance, kind: str, *steps: Step, undo: bool = False, staged: dict[str, bytes] | None = None
) -> RunDir:
    plan = Plan(kind, "t", str(instance.path), "p", "unix:///none", steps)
    run = create_run(instance, plan, staged)
    asyncio.run(execute(run, instance, OPERATIONS))
    if undo:
        asyncio.run(execute(run, instance, OPERATIONS, undo=True))
    return run


def undone(instance: Instance, run: RunDir) -> RunDir:
    plan = Plan(KIND, "t", str(instance.path), "p", "unix:///none", (), facts={"undoes": run.id})
    made = create_run(instance, plan)
    asyncio.run(execute(made, instance, OPERATIONS))
    return made


def test_an_adoption_below_one_that_is_taken_back_can_be_taken_back_too(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    ran(instance, "init")  # before, and so no hindrance
    first, second = ran(instance, "adopt"), ran(instance, "adopt")
    ran(instance, "switch")
    assert _adopted(instance).id == second.id
    undone(instance, second)
    assert _adopted(instance).id == first.id
    undone(instance, first)
    with pytest.raises(BadInput) as caught:
        _adopted(instance)
    assert caught.value.code == "adopt.none"


def test_an_init_since_stands_in_the_way(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    ran(instance, "adopt")
    ran(instance, "init")
    with pytest.raises(Refused) as caught:
        _adopted(instance)
    assert caught.value.code == "adopt.init_since"


def _wrote(instance: Instance, new: dict[str, tuple[bytes, str]]) -> tuple[RunDir, list[dict[str, Any]]]:
    files = [replacement(instance, name, data, mode) for name, (data, mode) in new.items()]
    made = Step("directories", "t", "directories", {"directories": [{"path": "site", "mode": "755"}]})
    kept = Step("originals", "t", "keep-originals", {"files": list(new)})
    step = Step("files", "t", "files", {"files": files})
    staged = {name: data for name, (data, _) in new.items()}
    return ran(instance, "adopt", kept, made, step, staged=staged), files


def _tree(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in sorted(path.rglob("*")):
        if ".disinto" in item.parts:
            continue
        name = str(item.relative_to(path))
        if item.is_symlink():
            found[name] = ("link", str(item.readlink()))
        elif item.is_dir():
            found[name] = ("directory",)
        else:
            found[name] = (item.read_bytes(), item.stat().st_mode)
    return found


@pytest.mark.parametrize("way", ["adopt --undo", "resume --undo"])
def test_links_modes_line_ends_and_files_that_were_not_there_are_as_before(tmp_path: Path, way: str) -> None:
    place, elsewhere = tmp_path / "factory", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    (elsewhere / "compose").write_bytes(b"a: 1\r\nb: 2")  # CRLF, and no line end at its end
    (elsewhere / "compose").chmod(0o750)
    (place / "docker-compose.yml").symlink_to("../elsewhere/compose")
    (place / "docker-compose.override.yml").symlink_to("../elsewhere/none")  # a link that leads to nothing
    (place / ".env").write_bytes(b"A=1\n\n")
    (place / ".env").chmod(0o604)
    before = _tree(tmp_path)
    instance = Instance.at(place)
    new = {
        ".env": (b"A=2\n", "604"),
        "site/index.html": (b"page", "644"),
        "docker-compose.override.yml": (b"o: 1\n", "640"),
        "docker-compose.yml": (b"c: 1\n", "750"),
    }
    run, files = _wrote(instance, new)
    assert (elsewhere / "none").read_bytes() == b"o: 1\n" and (
        elsewhere / "compose"
    ).read_bytes() == b"c: 1\n"
    if way == "resume --undo":
        asyncio.run(execute(run, instance, OPERATIONS, undo=True))
    else:
        originals = instance.private / "adopted" / run.id
        staged = {item["path"]: (originals / item["path"]).read_bytes() for item in files if item["before"]}
        back = {
            "files": put_back_files(instance, run.id, files),
            "directories": [{"path": "site", "mode": "755"}],
        }
        after = _tree(tmp_path)
        ran(instance, KIND, Step("files", "t", "put-back", back), undo=True, staged=staged)
        assert _tree(tmp_path) == after  # there and back again
        again = {**back, "files": put_back_files(instance, run.id, files)}
        ran(instance, KIND, Step("files", "t", "put-back", again), staged=staged)
    assert _tree(tmp_path) == before


def test_the_way_to_put_a_changed_file_back_is_one_that_leads_there(tmp_path: Path) -> None:
    """The adopted file was nowhere any more, although the error said where it is."""
    instance = Instance.at(tmp_path)
    (tmp_path / ".env").write_bytes(b"A=1\n")
    run, files = _wrote(instance, {".env": (b"A=2\n", "600")})
    (tmp_path / ".env").write_bytes(b"A=2\nMINE=1\n")
    with pytest.raises(Refused) as caught:
        asyncio.run(_refuse_changed(instance, run, files, "x"))
    copy = re.search(r"`(cp \S+ \S+)`", caught.value.now)
    assert copy is not None
    subprocess.run(shlex.split(copy[1]), check=True)
    assert (tmp_path / ".env").read_bytes() == b"A=2\n"
    asyncio.run(_refuse_changed(instance, run, files, "x"))


@pytest.mark.parametrize("to", ["../elsewhere/compose", "compose.real"])
def test_a_link_that_is_moved_away_comes_back_as_it_was(tmp_path: Path, to: str) -> None:
    """It leads nowhere from where it is kept, and what it led to was called gone."""
    place = tmp_path / "factory"
    (tmp_path / "elsewhere").mkdir()
    place.mkdir()
    (place / to).write_bytes(b"services: {}\n")
    (place / "compose.yaml").symlink_to(to)
    before = _tree(tmp_path)
    instance = Instance.at(place)
    item = {"path": "compose.yaml", "content": digest(b"services: {}\n")}
    run = ran(instance, "adopt", Step("retire", "t", "retire-files", {"files": [item]}))
    assert not (place / "compose.yaml").is_symlink()
    assert _moved(instance, run) == [item]
    back = {"files": [item], "run": run.id, "back": True}
    ran(instance, KIND, Step("retired", "t", "retire-files", back))
    assert _tree(tmp_path) == before


def test_a_kill_between_files_and_directories_leaves_no_directory(tmp_path: Path) -> None:
    """The files are back, the run was killed before it removed the directory that the adoption made."""
    instance = Instance.at(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / ".env").write_bytes(b"A=1\n")
    item = {"path": ".env", "mode": "644", "mode_now": "644", "now": "x", "before": digest(b"A=1\n")}
    made = [{"path": "site", "mode": "755"}]
    ran(instance, KIND, Step("files", "t", "put-back", {"files": [item], "directories": made}))
    assert not (tmp_path / "site").exists()


def test_a_directory_that_the_adopted_stack_wrote_to_stays_and_is_told(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / ".dev-active").touch()
    params = {"files": [], "directories": [{"path": "state", "mode": "755"}]}
    ran(instance, KIND, Step("files", "t", "put-back", params))
    # Nothing to put back, so the step is skipped: with a file it says so.
    assert (tmp_path / "state" / ".dev-active").exists()
    (tmp_path / ".env").write_bytes(b"A=2\n")
    item = {
        "path": ".env",
        "mode": "644",
        "mode_now": "644",
        "now": digest(b"A=2\n"),
        "before": digest(b"A=1\n"),
    }
    run = ran(
        instance,
        KIND,
        Step("files", "t", "put-back", {**params, "files": [item]}),
        staged={".env": b"A=1\n"},
    )
    assert "state/ stays" in run.log_path.read_text()
