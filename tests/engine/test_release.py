"""A whole release on the real engine, a real registry with logins and real git: eight steps, and what each leaves."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from textual.widgets import Input

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import find_run
from disinto_tui.tui.app import DisintoApp
from disinto_tui.tui.screens.home import HomeScreen
from disinto_tui.tui.screens.review import ReviewScreen
from disinto_tui.tui.screens.run import RunScreen
from tests.support.engine import Engine, inspect
from tests.support.git_server import PASSWORD
from tests.support.registries import Registry, push_stand_ins
from tests.support.release_ground import PUSH_SECRET, SECRETS, STEPS, ReleaseGround, release_ground
from tests.tui.support import shows, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(
    engine: Engine, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ReleaseGround]:
    with release_ground(engine, tmp_path_factory.mktemp("g"), "release", push_stand_ins(registry)) as made:
        yield made


def test_a_release_from_the_commit_to_the_running_factory(ground: ReleaseGround, engine: Engine) -> None:
    ground.cut("v0.4.0")
    sha = ground.shas["v0.4.0"]
    said = ground.release("v0.4.0")
    assert said.code == 0, said.err
    reference = f"{ground.images}:v0.4.0"
    repo = ground.repo
    assert repo.tags["v0.4.0"].commit == sha
    assert ground.mirrors.refs("one") == ground.mirrors.refs("two") == {"refs/tags/v0.4.0": sha}
    assert ground.running() == ["v0.4.0"]
    assert f"AGENTS_IMAGE={reference}" in (ground.factory.directory / ".env").read_text().splitlines()
    container = inspect(engine, "container", f"{ground.factory.project}-agents")
    result = ground.result("v0.4.0")
    assert (
        result["image_id"] == container["Image"] == inspect(engine, "image", f"{ground.alias}:v0.4.0")["Id"]
    )
    assert (result["status"], result["head_sha"], result["pushed"]) == ("success", sha, True)
    assert result["mirrors"] == {"one": "pushed", "two": "pushed"}
    assert result["forgejo_tag_url"] == f"{ground.forge.url}/acme/shop/src/v0.4.0"
    assert [step["id"] for step in result["steps"]] == list(STEPS[:-1])
    assert {step["status"] for step in result["steps"]} == {"done"}
    pull = next(iter(repo.pulls.values()))
    assert (pull.head, pull.base, pull.state) == ("release-result/v0.4.0", "main", "open")
    assert "release/v0.4.0.json" in repo.trees["release-result/v0.4.0"]
    rows = {row["tag"]: row for row in ground.factory.cli("versions", "--json").document["versions"]}
    assert rows["v0.4.0"]["running"] and rows["v0.4.0"]["newest"]
    assert rows["v0.4.0"]["past"]["outcome"] == "good"
    # `latest` came with it, since it is the highest release.
    tags = ground.factory.cli("versions", "latest", "--all", "--json").document["versions"]
    assert tags[0]["meta"]["digest"] == result["image_digest"] == ground.published("v0.4.0")


def test_no_secret_is_in_anything_it_left(ground: ReleaseGround) -> None:
    forms = [
        form
        for secret in (PASSWORD, PUSH_SECRET, f"alice:{PUSH_SECRET}")
        for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("="), quote(secret, safe=""))
    ]
    token = ground.factory.token.read_text().strip()
    for path in ground.factory.directory.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            assert not any(form in text for form in forms), path
            assert path.name == ".env" or token not in text, path


def test_a_version_that_is_there_is_not_released_again(ground: ReleaseGround) -> None:
    said = ground.release("v0.4.0")
    assert said.code == 4
    assert "is there already" in said.err
    assert "release the next one" in said.err


def test_an_image_that_does_not_come_up_is_published_and_the_factory_goes_back(ground: ReleaseGround) -> None:
    ground.cut("v0.4.1", behavior="unhealthy")
    said = ground.release("v0.4.1")
    assert said.code == 1, said.err
    assert "The previous version was brought back." in said.err
    assert ground.running() == ["v0.4.0"]
    assert ":v0.4.0\n" in (ground.factory.directory / ".env").read_text()
    result = ground.result("v0.4.1")
    assert (result["status"], result["failed_step"], result["pushed"]) == ("failed", "restart-agents", True)
    assert ground.repo.tags["v0.4.1"].commit == ground.shas["v0.4.1"]
    assert ground.factory.cli("status", "--offline").code in (0, 1)
    # It holds up nothing: another switch works, and the release may be taken back as far as it can be.
    assert ground.factory.cli("use", "v0.2.0", "--yes", "--soak", "0").code == 0
    assert ground.factory.cli("use", "v0.4.0", "--yes", "--soak", "0").code == 0


def test_a_mirror_that_refuses_stops_it_and_it_goes_on_when_mended(ground: ReleaseGround) -> None:
    ground.cut("v0.4.2")
    ground.mirrors.closed.add("one")
    said = ground.release("v0.4.2")
    assert said.code == 1
    assert "one did not take the tag." in said.err
    assert ground.result("v0.4.2")["failed_step"] == "push-mirrors"
    assert ground.running() == ["v0.4.0"]
    ground.mirrors.closed.clear()
    again = ground.resume()
    assert again.code == 0, again.err
    assert ground.running() == ["v0.4.2"]
    result = ground.result("v0.4.2")
    assert (result["status"], result["mirrors"]) == ("success", {"one": "pushed", "two": "has it already"})


def test_a_dry_run_looks_and_changes_nothing(ground: ReleaseGround) -> None:
    ground.cut("v0.4.3")
    said = ground.release("v0.4.3", "--dry-run")
    assert said.code == 0, said.err
    for words in ("✓ registry", "Release v0.4.3", "recreate    agents", "v0.4.2 was before it"):
        assert words in said.out, said.out
    assert "v0.4.3" not in ground.repo.tags


async def test_the_wizard_releases_aborts_in_the_switch_and_goes_on(
    ground: ReleaseGround, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ground.factory.cli.environment(SECRETS).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ground.tree)
    app = DisintoApp(Instance.at(ground.factory.directory), config=tmp_path / "settings")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: shows(pilot, "r release"), 300)
        await pilot.press("r")
        # As in the release before it, but the version is the one that VERSION names.
        await until(pilot, lambda: shows(pilot, "v0.4.2  of", "▸  v0.4.3", "1 commit since v0.4.2"), 300)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: shows(pilot, "✓ push", "✓ forge"), 300)
        assert app.screen.query_one("#user", Input).value == "alice"
        await pilot.press("enter")
        await until(pilot, lambda: shows(pilot, "● ready", "[ Review ]"), 300)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 300)
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen), 300)
        run = find_run(app.instance, None)
        await until(pilot, lambda: run.log_path.exists() and "· Watch" in run.log_path.read_text(), 300)
        run.ask_abort()
        await until(
            pilot, lambda: shows(pilot, "was aborted in the step", "Somebody asked twice for it"), 300
        )
        assert "↺ recreate: v0.4.2 runs again and is healthy." in run.log_path.read_text()
        assert ground.published("v0.4.3") and ground.running() == ["v0.4.2"]
        assert ground.result("v0.4.3")["failed_step"] == "restart-agents"
        await pilot.press("r")
        await until(
            pilot, lambda: shows(pilot, "✓ v0.4.3 is released", f"docker pull {ground.images}:v0.4.3"), 300
        )
        assert shows(pilot, ground.published("v0.4.3"), "on one, two · this factory runs it")
        await pilot.press("p")
        assert app.clipboard == f"docker pull {ground.images}:v0.4.3"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), 300)
    assert ground.running() == ["v0.4.3"]
    assert ground.result("v0.4.3")["status"] == "success"


# -- a dry run: every command and request, marked; only the reads are made --------------------------------------------


def without_body(text: str) -> str:
    """Without the body of a request, and without the time of day."""
    text = re.sub(r"^((?:POST|PUT) \S+) \{.*", r"\1", text)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<now>", text)


def as_promised(asked: dict[str, Any]) -> str | None:
    """A write of a run in the words of its dry run; None for what only the switch's own plan knows."""
    text = re.sub(r"\S+/\.disinto/runs/[^/]+/export-\d+", "RUN/export-PID", without_body(asked["text"]))
    if " engine " not in f" {text}":
        return text
    method, _, path = text.split(" ")
    parts = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    name = re.sub(r"^/v[0-9.]+/images/|/(?:tag|push)$", "", parts.path)
    if method == "DELETE" and name.startswith("disinto-kept/"):
        return None
    assert method == "POST", text
    if parts.path.endswith("/push"):
        return f"engine: push {name}:{query['tag']}"
    assert parts.path.endswith("/tag"), text
    if query["repo"].startswith("disinto-kept/"):
        return None
    return f"engine: tag <the image> as {query['repo']}:{query['tag']}"


def test_a_dry_run_promises_what_the_release_then_does_and_does_none_of_it(ground: ReleaseGround) -> None:
    version, before = ground.cut("v0.4.8"), ground.outside()
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
    promised = [without_body(act["text"]) for act in acts if act["kind"] == "write" and not act["executed"]]
    # The same release, all that it asked recorded.
    run = ground.planned(version)
    tape = ground.factory.cli.home / "tape.json"
    assert ground.killed(run, {"tape": str(tape)}) == 0, (run / "log").read_text()
    written = [as_promised(act) for act in json.loads(tape.read_text()) if act["kind"] == "write"]
    # Files, and the names of what ran and of what then runs: no commands, or not known yet.
    others = [text for text in promised if re.search("disinto-kept|AGENTS_IMAGE=|^release/", text)]
    assert len(others) == 5
    assert [text for text in promised if text not in others] == [text for text in written if text]
    assert not any(secret in said.out for secret in SECRETS.values())
    assert PUSH_SECRET not in tape.read_text()


def test_a_dry_run_reads_step_by_step(ground: ReleaseGround) -> None:
    """A mirror that has it already, one that does not answer as it should; and a tag that is there."""
    version = ground.cut("v0.4.9")
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
        "the formula release is your own: ",
        "✓ was asked just now, · would be asked or done; nothing was changed",
    ):
        assert words in said.out, said.out
