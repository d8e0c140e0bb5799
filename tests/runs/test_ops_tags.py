"""Tags on the forge and its mirrors: made once, at the recorded commit, never moved; each mirror on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from disinto_tui.adapters.git import Checkout, push_refs
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import RunDir, create_run
from disinto_tui.core.errors import BadInput
from disinto_tui.core.events import RunEnded, StepEnded
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.ops_tags import PushMirrors, TagMain, login_of
from disinto_tui.runs.runner import Operation, execute
from tests.adapters.support_stub import answer, serving
from tests.adapters.test_git import LOGIN
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, USER_TOKEN, default_state
from tests.support.git_server import PASSWORD, GitServer, checkout, commit, git_server

OPS: Mapping[str, Operation] = {"tag-main": TagMain(), "push-mirrors": PushMirrors()}
SLUG = "acme/shop"


@pytest.fixture
def forge() -> Iterator[ForgeDouble]:
    with ForgeDouble(default_state()) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as serving_git:
        for name in ("one", "two"):
            serving_git.make(name)
        yield serving_git


async def perform(
    directory: Path,
    op: str,
    params: Mapping[str, Any],
    *,
    secrets: Mapping[str, str] = {},
    undo: bool = False,
) -> tuple[RunDir, RunEnded]:
    instance = Instance.at(directory)
    plan = Plan("formula", "x", str(directory), "p", "", (Step("it", "It", op, dict(params)),))
    run = create_run(instance, plan)
    await execute(run, instance, OPS, secrets=secrets)
    if undo:
        await execute(run, instance, OPS, secrets=secrets, undo=True)
    ended = run.events()[-1]
    assert isinstance(ended, RunEnded)
    return run, ended


def said(run: RunDir) -> str:
    return run.log_path.read_text()


def head(forge: ForgeDouble) -> str:
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    return repo.branches["main"][-1]


def tag_params(forge: ForgeDouble, **more: str) -> dict[str, str]:
    return {
        "forge": forge.url,
        "repository": SLUG,
        "tag": "v0.4.0",
        "sha": head(forge),
        "message": "",
        **more,
    }


TOKEN = {"FORGE_TOKEN": USER_TOKEN}


async def test_a_tag_is_made_at_the_recorded_commit_and_is_then_there(
    tmp_path: Path, forge: ForgeDouble
) -> None:
    params = tag_params(forge)
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    repo.commit("main", "somebody went on after preflight")
    _, ended = await perform(tmp_path, "tag-main", params, secrets=TOKEN)
    assert ended.exit_code == 0, ended.error
    assert repo.tags["v0.4.0"].commit == params["sha"] != head(forge)
    run, ended = await perform(tmp_path, "tag-main", params, secrets=TOKEN)
    assert ended.exit_code == 0
    assert [item.state for item in run.events() if isinstance(item, StepEnded)] == ["skipped"]


async def test_a_tag_at_another_commit_stops_and_is_not_moved(tmp_path: Path, forge: ForgeDouble) -> None:
    params = tag_params(forge)
    await perform(tmp_path, "tag-main", params, secrets=TOKEN)
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    repo.commit("main", "more")
    _, ended = await perform(tmp_path, "tag-main", tag_params(forge), secrets=TOKEN)
    assert ended.exit_code == 4
    assert ended.error is not None and ended.error["code"] == "tag.elsewhere"
    assert repo.tags["v0.4.0"].commit == params["sha"]


async def test_the_way_back_deletes_only_the_tag_this_run_made(tmp_path: Path, forge: ForgeDouble) -> None:
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    _, ended = await perform(tmp_path, "tag-main", tag_params(forge), secrets=TOKEN, undo=True)
    assert ended.state == "undone"
    assert repo.tags == {}
    await perform(tmp_path, "tag-main", tag_params(forge), secrets=TOKEN)
    run, _ = await perform(tmp_path, "tag-main", tag_params(forge), secrets=TOKEN, undo=True)
    assert "v0.4.0" in repo.tags  # it was there before that run
    assert "made no tag" in str([item for item in run.events() if isinstance(item, StepEnded)][-1].reason)


async def test_a_forge_that_answers_late_after_having_done_the_work(tmp_path: Path) -> None:
    made: dict[str, str] = {}

    async def late(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            made["v0.4.0"] = (await request.json())["target"]
            assert request.transport is not None
            request.transport.abort()  # the answer never arrives
            return web.Response()
        name = request.path.rpartition("/")[2]
        if name in made:
            return answer({"name": name, "commit": {"sha": made[name]}})
        return answer({"message": "not found"}, 404)

    async with serving(late) as url:
        params = {"forge": url, "repository": SLUG, "tag": "v0.4.0", "sha": "1" * 40}
        run, ended = await perform(tmp_path, "tag-main", params, secrets=TOKEN)
    assert ended.exit_code == 0, ended.error
    assert "Looking whether it did." in said(run)


async def test_a_token_without_the_right_changes_nothing(tmp_path: Path, forge: ForgeDouble) -> None:
    forge.state.add_user("stranger", token="s" * 40)
    _, ended = await perform(tmp_path, "tag-main", tag_params(forge), secrets={"FORGE_TOKEN": "s" * 40})
    assert ended.exit_code in (2, 3)
    _, ended = await perform(tmp_path, "tag-main", tag_params(forge), secrets={"FORGE_TOKEN": "wrong-" * 5})
    assert ended.exit_code == 2
    repo = forge.state.repo("acme", "shop")
    assert repo is not None and repo.tags == {}


async def test_the_instances_own_token_is_used_when_none_is_handed_over(
    tmp_path: Path, forge: ForgeDouble
) -> None:
    (tmp_path / ".env").write_text(f"FORGE_TOKEN={ADMIN_TOKEN}\n")
    run, ended = await perform(tmp_path, "tag-main", tag_params(forge))
    assert ended.exit_code == 0, ended.error
    assert ADMIN_TOKEN not in said(run) + run.events_path.read_text()


# -- mirrors -----------------------------------------------------------------------------------------------------


def mirror_params(tree: Path, server: GitServer, sha: str, *names: str, **more: Any) -> dict[str, Any]:
    mirrors = {name: server.url(name) for name in names}
    return {"checkout": str(tree), "mirrors": mirrors, "refs": {"refs/tags/v0.4.0": sha}, **more}


LOGINS = {"MIRROR_TOKEN_ONE": PASSWORD, "MIRROR_TOKEN_TWO": PASSWORD}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return checkout(tmp_path / "tree")


async def test_every_mirror_gets_the_tag_and_a_second_time_has_it(
    tmp_path: Path, tree: Path, server: GitServer
) -> None:
    params = mirror_params(tree, server, await Checkout(tree).head(), "one", "two")
    run, ended = await perform(tmp_path, "push-mirrors", params, secrets=LOGINS)
    assert ended.exit_code == 0, said(run)
    assert ended.result["mirrors"] == {"one": "pushed", "two": "pushed"}
    for name in ("one", "two"):
        assert server.refs(name) == params["refs"]
    _, ended = await perform(tmp_path, "push-mirrors", params, secrets=LOGINS)
    assert ended.result["mirrors"] == {"one": "has it already", "two": "has it already"}
    assert PASSWORD not in said(run) + run.events_path.read_text()


@pytest.mark.parametrize("on_failure", ["stop", "warn"])
async def test_one_mirror_that_refuses_does_not_keep_the_tag_from_the_others(
    tmp_path: Path, tree: Path, server: GitServer, on_failure: str
) -> None:
    server.closed.add("one")
    sha = await Checkout(tree).head()
    params = mirror_params(tree, server, sha, "one", "two", on_failure=on_failure)
    run, ended = await perform(tmp_path, "push-mirrors", params, secrets=LOGINS)
    assert server.refs("two") == {"refs/tags/v0.4.0": sha}
    assert server.refs("one") == {}
    if on_failure == "warn":
        assert ended.exit_code == 0
        assert ended.result["mirrors"]["one"].startswith("failed: ")
        assert "mirror one: failed" in ended.result["warnings"][0]
        return
    assert ended.exit_code == 1
    assert ended.error is not None and "one did not take the tag." in ended.error["what"]
    server.closed.clear()
    await execute(run, Instance.at(tmp_path), OPS, secrets=LOGINS)
    last = run.events()[-1]
    assert isinstance(last, RunEnded)
    assert last.result["mirrors"] == {"one": "pushed", "two": "has it already"}


async def test_a_mirror_whose_tag_is_another_commit_is_never_overwritten(
    tmp_path: Path, tree: Path, server: GitServer
) -> None:
    first = await Checkout(tree).head()
    await push_refs(tree, server.url("one"), {"refs/tags/v0.4.0": first}, LOGIN)
    second = commit(tree, {"a": "1"})
    _, ended = await perform(
        tmp_path, "push-mirrors", mirror_params(tree, server, second, "one"), secrets=LOGINS
    )
    assert ended.exit_code == 1
    assert ended.error is not None and "one has v0.4.0 already" in ended.error["why"]
    assert server.refs("one") == {"refs/tags/v0.4.0": first}


async def test_a_mirror_without_a_secret_is_said(tmp_path: Path, tree: Path, server: GitServer) -> None:
    params = mirror_params(tree, server, await Checkout(tree).head(), "one")
    run, ended = await perform(tmp_path, "push-mirrors", params)
    assert ended.exit_code == 1
    assert "does not let us in" in said(run)


def test_which_secret_a_mirror_gets() -> None:
    secrets = {"GITHUB_TOKEN": "g", "CODEBERG_TOKEN": "c", "MIRROR_TOKEN_MY_HUB": "m"}
    found = login_of("github", "https://github.com/x/y.git", secrets)
    assert found is not None and (found.user, found.password.reveal()) == ("x-access-token", "g")
    found = login_of("cb", "https://bot@codeberg.org/x/y.git", secrets)
    assert found is not None and (found.user, found.password.reveal()) == ("bot", "c")
    found = login_of("my-hub", "https://github.com/x/y.git", secrets)
    assert found is not None and found.password.reveal() == "m"
    assert login_of("github", "git@github.com:x/y.git", secrets) is None
    assert login_of("evil", "https://github.com.evil.example/x.git", secrets) is None
    with pytest.raises(BadInput, match="holds a password"):
        login_of("x", "https://a:b@example.com/x.git", {})
