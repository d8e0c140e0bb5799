"""What containers have and the files do not say: told before the containers are gone, values never shown."""

from __future__ import annotations

from typing import Any

from disinto_tui.core.carry import Dropped
from disinto_tui.core.stack_diff import Change
from disinto_tui.runs.adopt_drift import drift, lost

HASH = "a" * 64


def container(**more: Any) -> dict[str, Any]:
    return {
        "Mounts": [
            {"Type": "volume", "Name": "x_agent-data", "Destination": "/home/agent/data"},
            {"Type": "bind", "Source": "/srv/old", "Destination": "/bound/"},
            {"Type": "volume", "Name": HASH, "Destination": "/anonymous"},
        ],
        "Config": {"Image": "a/b:v1", "Env": ["PATH=/bin", "FORGE_TOKEN=s3cret", "EMPTY=", "COST=1$2"]},
        **more,
    }


def stack(volumes: list[dict[str, Any]], **environment: str) -> dict[str, Any]:
    service = {"image": "a/b:v1", "volumes": volumes, "environment": environment}
    return {"services": {"agents": service}, "volumes": {"agent-data": {"name": "x_agent-data"}}}


DATA = {"type": "volume", "source": "agent-data", "target": "/home/agent/data"}
BOUND = {"type": "bind", "source": "/srv/old", "target": "/bound"}
IMAGES = {"agents": {"PATH": "/bin"}}


def told(
    after: dict[str, Any], changes: tuple[Change, ...] = (), dropped: tuple[Dropped, ...] = ()
) -> list[str]:
    return list(lost({"agents": container()}, IMAGES, after, "x", changes, dropped))


def test_nothing_is_said_of_a_container_that_is_what_the_files_say() -> None:
    after = stack([DATA, BOUND], FORGE_TOKEN="s3cret", COST="1$$2", EMPTY="")
    assert told(after) == []
    assert drift({"agents": container()}, IMAGES, after, "x") == []


def test_a_mount_that_moved_since_the_container_was_started_is_a_danger() -> None:
    after = stack([DATA, {**BOUND, "source": "/srv/new"}], FORGE_TOKEN="s3cret", COST="1$$2")
    found = told(after)
    assert len(found) == 1 and "/srv/old at /bound" in found[0] and "/srv/new" in found[0]
    assert "mounts" in drift({"agents": container()}, IMAGES, after, "x")[0]
    gone = told(stack([BOUND], FORGE_TOKEN="s3cret", COST="1$$2"))
    assert len(gone) == 1 and "x_agent-data" in gone[0] and "nothing is mounted there" in gone[0]
    # Where the files' own difference says it, once is enough.
    known = Change("changed", "mount", "agents", "/bound", "a", "b", True, "moved")
    assert told(after, (known,)) == []


def test_a_variable_that_only_the_starting_shell_knew_is_a_danger() -> None:
    after = stack([DATA, BOUND], FORGE_TOKEN="", COST="1$$2")
    found = told(after)
    assert len(found) == 1 and "FORGE_TOKEN has a value" in found[0] and "s3cret" not in str(found)
    lines = drift({"agents": container()}, IMAGES, after, "x")
    assert lines == ["agents was started with other variables than the files say now: FORGE_TOKEN"]
    assert told(after, dropped=(Dropped("agents", "FORGE_TOKEN", "not wanted"),)) == []


def test_another_image_than_the_file_says_is_told() -> None:
    after = stack([DATA, BOUND], FORGE_TOKEN="s3cret", COST="1$$2")
    after["services"]["agents"]["image"] = "a/b:v2"
    assert drift({"agents": container()}, IMAGES, after, "x") == [
        "agents runs a/b:v1, and the file says a/b:v2"
    ]


def test_what_the_engines_machine_and_the_cli_add_is_no_difference() -> None:
    """Docker Desktop mounts the host's directories elsewhere; Compose hands proxies on from the CLI's configuration."""
    made = container()
    made["Mounts"][1]["Source"] = "/host_mnt/srv/old"
    made["Config"]["Env"] += ["HTTP_PROXY=http://p:1", "no_proxy=localhost"]
    after = stack([DATA, BOUND], FORGE_TOKEN="s3cret", COST="1$$2")
    assert list(lost({"agents": made}, IMAGES, after, "x", (), ())) == []
    assert drift({"agents": made}, IMAGES, after, "x") == []
    # One that the file itself gives is a variable like any other.
    named = stack([DATA, BOUND], FORGE_TOKEN="s3cret", COST="1$$2", HTTP_PROXY="http://p:1")
    assert drift({"agents": made}, IMAGES, named, "x") == []
    named["services"]["agents"]["environment"]["HTTP_PROXY"] = "http://other:1"
    assert len(drift({"agents": made}, IMAGES, named, "x")) == 1
