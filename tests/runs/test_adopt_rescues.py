"""Which data is copied first, which stays behind and is told, and where nobody may guess."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from disinto_tui.core.errors import Refused
from disinto_tui.core.shadow import Content
from disinto_tui.runs import adopt_data
from disinto_tui.runs.adopt_data import rescues_of
from disinto_tui.runs.adopt_plan import interrupted, other_version
from disinto_tui.runs.health import by_service

HASHES = ["a" * 64, "b" * 64]


def container(
    service: str, *mounts: tuple[str, str], name: str = "", status: str = "running"
) -> dict[str, Any]:
    return {
        "Id": f"id-{service}-{name}",
        "Name": f"/{name or service}",
        "Image": "sha256:1",
        "Created": "2026",
        "State": {"Status": status, "Running": status == "running"},
        "Config": {"Labels": {"com.docker.compose.service": service}},
        "Mounts": [{"Type": "volume", "Name": volume, "Destination": path} for path, volume in mounts],
    }


def rescued(
    new: dict[str, list[str]],
    *containers: dict[str, Any],
    volumes: tuple[str, ...] = (),
    old: dict[str, Any] | None = None,
    active: tuple[str, ...] | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    definitions = {name: {"volumes": mounts} for name, mounts in new.items()}
    data = {"services": old if old is not None else {key: {} for key in new}}
    chosen = by_service(containers)
    situation = SimpleNamespace(
        found=SimpleNamespace(name="x", containers=containers),
        containers=chosen,
        live={name: item for name, item in chosen.items() if item["State"]["Running"]},
        volumes=frozenset(volumes),
        lineage=SimpleNamespace(data=data),
        environ={},
    )
    outcome = cast(Any, SimpleNamespace(situation=situation, stack={}))
    found, left = rescues_of(outcome, definitions, new if active is None else active)
    return found, [item.words for item in left]


def test_an_empty_volume_that_nobody_uses_gets_the_data() -> None:
    """Left by an adoption that could not be taken back whole, or made by hand: looked into, not passed over."""
    found, left = rescued(
        {"agents": ["project-repos:/repos"]}, container("agents"), volumes=("x_project-repos",)
    )
    assert [item["target"] for item in found] == ["x_project-repos"] and left == []


def test_a_volume_that_others_have_is_not_taken() -> None:
    other = container("agents", ("/repos", "x_project-repos"))
    new = {"agents": ["project-repos:/repos"], "runner": ["project-repos:/repos"]}
    found, left = rescued(
        new, other, container("runner", ("/repos", HASHES[0])), volumes=("x_project-repos",)
    )
    assert found == [] and "anonymous volume" in left[0]


def test_an_anonymous_volume_under_a_read_only_mount_is_told() -> None:
    found, left = rescued({"agents": ["data:/data:ro"]}, container("agents", ("/data", HASHES[0])))
    assert found == [] and "stays there" in left[0]


def test_two_containers_of_one_service_are_not_chosen_from() -> None:
    one, two = container("agents", name="a-1"), container("agents", name="a-2")
    with pytest.raises(Refused) as caught:
        rescued({"agents": ["data:/data"]}, one, two)
    assert caught.value.code == "adopt.two_containers"
    assert "a-1, a-2" in caught.value.now


def test_what_an_interrupted_recreate_left_is_not_the_container_that_counts() -> None:
    """Its data, state and image would be told in place of those of the one that runs."""
    real = container("agents", ("/data", HASHES[0]))
    left = container("agents", ("/data", HASHES[1]), name="0123456789ab_agents", status="created")
    for order in ((real, left), (left, real)):
        found, _ = rescued({"agents": ["data:/data"]}, *order)
        assert [item["container"] for item in found] == [real["Id"]]


def test_two_services_with_data_for_one_volume_are_refused() -> None:
    new = {"agents": ["data:/data"], "runner": ["data:/data"]}
    with pytest.raises(Refused) as caught:
        rescued(new, container("agents"), container("runner"))
    assert caught.value.code == "adopt.two_data"


def test_a_forgejo_volume_of_an_earlier_generation_is_not_taken_silently() -> None:
    """Without a container nobody knows whether newer data lies in an anonymous volume."""
    new, old = {"forgejo": ["forgejo-data:/data"]}, {"forgejo": {"volumes": ["./d:/var/lib/forgejo"]}}
    _, left = rescued(new, volumes=("x_forgejo-data",), old=old)
    assert "it gets what is in x_forgejo-data" in left[0]
    with pytest.raises(Refused) as caught:
        rescued(new, old=old)
    assert caught.value.code == "adopt.forgejo_data"
    assert rescued(new, old={"forgejo": {"volumes": ["forgejo-data:/data"]}}) == ([], [])


def test_the_container_of_an_action_is_not_stopped_for_a_copy() -> None:
    """A runner that works on what somebody approved; one that has ended and whose data nobody asked for."""
    new = {"runner": ["project-repos:/repos"]}
    for status in ("running", "exited"):
        found, left = rescued(new, container("runner", ("/repos", HASHES[0]), status=status), active=())
        assert found == [] and "stays there" in left[0]
    lasting = container("agents-llama", ("/repos", HASHES[0]))
    lasting["HostConfig"] = {"RestartPolicy": {"Name": "unless-stopped"}}
    found, _ = rescued({"agents-llama": ["project-repos:/repos"]}, lasting, active=())
    assert len(found) == 1


def test_data_that_does_not_fit_is_refused_before_anything_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy would fill the disk under a Forgejo that stands still."""

    async def look(*_: Any) -> Content:
        return Content(3_000_000, 2, "repo.db", 0.0)

    monkeypatch.setattr(adopt_data, "volume_content", look)
    monkeypatch.setattr(adopt_data, "free_bytes", lambda _: 2_000_000)
    one = {"service": "forgejo", "path": "/data", "target": "x_forgejo-data", "source": HASHES[0]}
    situation = SimpleNamespace(
        containers={"forgejo": {}},
        engine=SimpleNamespace(endpoint="unix:///x"),
        info=SimpleNamespace(root="/r"),
    )
    with pytest.raises(Refused) as caught:
        asyncio.run(adopt_data.copies_of(cast(Any, situation), [one]))
    assert caught.value.code == "disk.full" and "3 MB" in caught.value.why
    monkeypatch.setattr(adopt_data, "free_bytes", lambda _: 4_000_000)
    said = asyncio.run(adopt_data.copies_of(cast(Any, situation), [one]))
    assert said[0].startswith("forgejo: /data is copied to x_forgejo-data first (2 files, ")


def test_a_mount_whose_source_is_gone_is_refused_before_the_container_is_read(tmp_path: Path) -> None:
    """Reading it through the engine would make a directory there, and the way back would find one more file."""
    gone = tmp_path / "app.ini"
    one = {
        "service": "forgejo",
        "path": "/data",
        "target": "x_forgejo-data",
        "source": "the container itself",
    }
    situation = SimpleNamespace(
        containers={"forgejo": {"HostConfig": {"Binds": [f"{gone}:/etc/app.ini", "named:/x"]}}},
        engine=SimpleNamespace(endpoint="unix:///x"),
        info=SimpleNamespace(root=str(tmp_path)),
    )
    with pytest.raises(Refused) as caught:
        asyncio.run(adopt_data.copies_of(cast(Any, situation), [one]))
    assert caught.value.code == "adopt.missing_source" and str(gone) in caught.value.what
    gone.touch()
    assert len(asyncio.run(adopt_data.copies_of(cast(Any, situation), [one]))) == 1


def test_agents_at_work_are_told_before_they_are_interrupted() -> None:
    class Engine:
        async def processes(self, container: str) -> list[tuple[int, str]]:
            return [(240, "/usr/local/bin/claude -p fix"), (9000, "bash /entrypoint.sh")]

    live = {name: container(name) for name in ("agents", "runner")}
    situation = cast(Any, SimpleNamespace(engine=Engine(), live=live))
    assert asyncio.run(interrupted(situation, {"agents"})) == [
        "agents is at work for 4 min: it would be interrupted"
    ]


@pytest.mark.parametrize(("image", "told"), [("sha256:1", False), ("sha256:2", True), (None, True)])
def test_a_pin_that_is_not_what_runs_is_told(image: str | None, told: bool) -> None:
    """AGENTS_IMAGE in .env, while the compose file builds: adopting changes the version."""

    class Engine:
        async def image(self, name: str) -> Any:
            return None if image is None else SimpleNamespace(id=image)

    runs = container("agents")
    runs["Config"]["Image"] = "x-agents"
    situation = SimpleNamespace(
        engine=Engine(),
        live={"agents": runs},
        lineage=SimpleNamespace(services=[SimpleNamespace(name="agents", agents=True)]),
    )
    pin = SimpleNamespace(reference="ghcr.io/disinto/agents:v0.3.0", keep=False)
    said = asyncio.run(other_version(cast(Any, SimpleNamespace(situation=situation, pin=pin))))
    assert bool(said) == told and (not told or ("x-agents" in said[0] and "v0.3.0 afterwards" in said[0]))
