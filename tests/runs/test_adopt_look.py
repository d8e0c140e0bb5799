"""What is refused before anything is planned: hosts that Nomad manages; and what of `.env` an adoption changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from disinto_tui.core.adopted_factory import factory_table
from disinto_tui.core.compose_read import read_compose
from disinto_tui.core.errors import Refused
from disinto_tui.core.project import read_projects
from disinto_tui.runs.adopt_look import _refuse_nomad, anonymous_at, mounted_at, nomad_signs
from disinto_tui.runs.env import Env
from disinto_tui.runs.project import ByHand, Found
from tests.support.generations import PROJECT, SHAPES


def found(*containers: dict[str, object]) -> Found:
    return Found("x", containers, (), ByHand("x", ()), Env("none"))


@pytest.mark.parametrize("place", ["etc/nomad.d", "etc/nomad", "srv/disinto", "proc/42"])
def test_a_host_that_nomad_manages_is_refused_with_the_reason(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    if place.startswith("proc"):
        (tmp_path / place / "comm").write_text("nomad\n")
    signs = nomad_signs(tmp_path, {})
    assert len(signs) == 1
    assert "process 42" in signs[0] if place.startswith("proc") else place in signs[0]
    with pytest.raises(Refused) as caught:
        _refuse_nomad(found(), tmp_path)
    assert caught.value.code == "nomad"
    assert "Nomad" in caught.value.what and caught.value.now
    # A compose project that runs is what counts: some hosts have both.
    _refuse_nomad(found({"Id": "1", "State": {"Status": "running"}}), tmp_path)
    # Containers that stand still may be left from before Nomad took over.
    with pytest.raises(Refused):
        _refuse_nomad(found({"Id": "1", "State": {"Status": "exited"}}), tmp_path)


def test_a_host_without_nomad(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/comm").write_text("nomad-like\n")
    assert nomad_signs(tmp_path, {}) == []
    assert nomad_signs(tmp_path, {"NOMAD_ADDR": "http://h:4646"}) == ["NOMAD_ADDR is set"]


def test_anonymous_volumes_are_told_from_named_ones() -> None:
    mounts = [
        {"Type": "volume", "Name": "a" * 64, "Destination": "/data"},
        {"Type": "volume", "Name": "x_agent-data", "Destination": "/named/"},
        {"Type": "bind", "Source": "/srv", "Destination": "/bound"},
    ]
    container = {"Mounts": mounts}
    assert anonymous_at(container, "/data") == "a" * 64
    assert anonymous_at(container, "/named") == anonymous_at(container, "/none") == ""
    assert mounted_at(container, ["/data", "/named", "/bound", "/none"]) == {"/named", "/bound"}


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.valid])
def test_the_factory_table_is_read_again(name: str) -> None:
    data = read_compose(SHAPES[name].text).data
    table = factory_table(data, "my-factory", {"DISINTO_IMAGE_TAG": "v1"}, {"edge": "my-factory-edge:latest"})
    reading = read_projects([("shop.toml", PROJECT + table)])
    assert not reading.errors, reading.problems
    factory = reading.projects[0].factory
    assert factory.project == "my-factory"
    assert factory.ports.forge == 3000
    assert factory.images.forgejo == "codeberg.org/forgejo/forgejo:11.0"
    if "edge" in data["services"]:
        assert factory.images.edge in (
            "my-factory-edge:latest",
            "ghcr.io/disinto/edge:v1",
            "disinto/edge:latest",
        )
    else:
        assert factory.ports.http == 0  # what was not reachable is not made so unasked


def test_ports_on_one_address_become_the_bind() -> None:
    text = SHAPES["apr"].text
    for port in ("3000", "8000", "9000", "80", "443"):
        text = text.replace(f'"{port}:{port}"', f'"127.0.0.1:1{port}:{port}"')
    table = factory_table(read_compose(text).data, "p", {}, {})
    factory = read_projects([("shop.toml", PROJECT + table)]).projects[0].factory
    assert factory.bind == "127.0.0.1"
    assert (factory.ports.forge, factory.ports.ci_grpc, factory.ports.http) == (13000, 19000, 180)
