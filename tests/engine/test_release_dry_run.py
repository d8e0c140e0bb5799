"""A dry run of a release: every command and request, reads and writes marked; only the reads are made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.engine import Engine
from tests.support.registries import Registry, push_stand_ins
from tests.support.release_ground import PUSH_SECRET, SECRETS, STEPS, ReleaseGround, release_ground

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(
    engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReleaseGround]:
    with release_ground(engine, tmp_path_factory.mktemp("g"), "dry", push_stand_ins(registry)) as made:
        yield made


def plain(text: str) -> str:
    """Without the body of a request, and without the time of day."""
    text = re.sub(r"^((?:POST|PUT) \S+) \{.*", r"\1", text)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<now>", text)


def as_promised(asked: dict[str, Any]) -> str | None:
    """A write of a run in the words of its dry run; None for what only the switch's own plan knows."""
    text = re.sub(r"\S+/\.disinto/runs/[^/]+/export-\d+", "RUN/export-PID", plain(asked["text"]))
    if " engine " not in f" {text}":
        return text
    method, _, path = text.split(" ")
    parts = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    name = re.sub(r"^/v[0-9.]+/images/|/(?:tag|push)$", "", parts.path)
    assert method == "POST", text
    if parts.path.endswith("/push"):
        return f"engine: push {name}:{query['tag']}"
    assert parts.path.endswith("/tag"), text
    if query["repo"].startswith("disinto-kept/"):
        return None
    return f"engine: tag <the image> as {query['repo']}:{query['tag']}"


def test_it_promises_what_the_release_then_does_and_does_none_of_it(ground: ReleaseGround) -> None:
    version, before = ground.cut(), ground.outside()
    asked = len(ground.forge.state.calls)
    said = ground.release(version, "--dry-run", "--json")
    assert said.code == 0, said.err
    assert ground.outside() == before
    calls = ground.forge.state.calls[asked:]
    assert calls and {method for method, _, _ in calls} == {"GET"}
    document = said.document
    steps = {step["step"]: step for step in document["rehearsal"]}
    assert list(steps) == list(STEPS)
    done = [*document["looked"], *(act for step in steps.values() for act in step["acts"] if act["executed"])]
    assert {act["kind"] for act in done} == {"read", "probe"}
    # Every request to the forge is told, in order.
    told = [act["text"].partition(ground.forge.url)[2] for act in done if ground.forge.url in act["text"]]
    assert sorted(told) == sorted(path for _, path, _ in calls)
    probes = [act["text"].partition("/v2/")[2] for act in done if act["kind"] == "probe"]
    assert probes[0] == "pub/agents/blobs/uploads/"  # and it is dropped again
    assert sum("ls-remote" in act["text"] for act in done) >= 2
    acts = [act for step in steps.values() for act in step["acts"]]
    promised = [plain(act["text"]) for act in acts if act["kind"] == "write" and not act["executed"]]
    # The same release, all that it asked recorded.
    run = ground.planned(version)
    tape = ground.factory.cli.home / "tape.json"
    assert ground.killed(run, {"tape": str(tape)}) == 0, (run / "log").read_text()
    written = [as_promised(act) for act in json.loads(tape.read_text()) if act["kind"] == "write"]
    # Files, and the names of what ran and of what then runs: no commands, or not known yet.
    others = [text for text in promised if re.search("disinto-kept|AGENTS_IMAGE=|^release/", text)]
    assert len(others) == 4
    assert [text for text in promised if text not in others] == [text for text in written if text]
    assert not any(secret in said.out for secret in SECRETS.values())
    assert PUSH_SECRET not in tape.read_text()


def test_on_a_terminal_it_reads_step_by_step(ground: ReleaseGround) -> None:
    """A mirror that has it already, one that does not answer as it should; and a tag that is there."""
    version = ground.cut()
    sha = ground.shas[version]
    ground.mirrors.closed.add("two")  # it may not be pushed to; that is seen when it is
    said = ground.release(version, "--dry-run", "--no-restart")
    ground.mirrors.closed.clear()
    assert said.code == 0, said.err
    assert "restart-agents" not in said.out.partition("looked at")[2]
    for words in (
        "2. tag-main",
        f"· write POST {ground.forge.url}/api/v1/repos/acme/shop/tags",
        f'"target": "{sha}"',
        "· write git -C",
        "· write docker buildx build --builder default --progress plain",
        f"· write engine: push {ground.images}:{version}",
        "✓ was asked just now, · would be asked or done; nothing was changed",
    ):
        assert words in said.out, said.out
