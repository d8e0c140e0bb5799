"""Where a request stands: open, approved, merged, executed, result; and what may go wrong between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.core.approval import RequestState
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.runs import request_state as module
from disinto_tui.runs.ops_repository import branch_in
from disinto_tui.runs.request_state import follow_request, list_requests, ops_place, request_state
from tests.support.filing import BRANCH, ID, LEAD, OPS, PATH, TEXT, Filer, new_filer
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, USER_TOKEN, Tag, default_state

RESULT = f"vault/actions/{ID}.result.json"
LATER = "2026-04-02T00:00:00Z"
"""After the double's merges, which are all at one time."""


@pytest.fixture
def filer(tmp_path: Path) -> Iterator[Filer]:
    with ForgeDouble(default_state()) as forge:
        found = new_filer(tmp_path, forge)
        found.protect()
        yield found


async def look(filer: Filer, name: str = ID) -> RequestState:
    return await request_state(await ops_place(filer.instance), name)


def result(exit_code: int, logs: str = "") -> str:
    return json.dumps({"id": ID, "exit_code": exit_code, "timestamp": LATER, "logs": logs})


def release(status: str = "success", at: str = LATER, **more: str) -> str:
    document = {"version": "v0.4.0", "status": status, "timestamp": at, **more}
    return json.dumps({"image_ref": "ghcr.io/acme/agents:v0.4.0", "image_digest": "sha256:1", **document})


async def test_a_request_from_filing_to_its_result(filer: Filer) -> None:
    await filer.file()
    found = await look(filer)
    assert (found.stage, found.scheduled, found.pull) == ("open", True, filer.pull.number)
    assert (found.version, found.formula, found.secrets) == ("v0.4.0", "release", ("GITHUB_TOKEN",))
    assert (found.author, found.url) == ("dev-bot", f"{filer.forge.url}/{OPS}/pulls/{found.pull}")
    assert found.words == "Open: 0 of 1 approval."
    assert found.now == f"Somebody else than dev-bot approves it: {found.url}"
    filer.approve()
    found = await look(filer)
    assert (found.stage, found.words) == ("merged", "Filed, not executed.")
    assert (found.approved_by, found.merged_by, found.authorised) == (("disinto-admin",), "dev-bot", True)
    assert found.warnings == () and not found.over
    filer.commit(RESULT, result(0, "done"))
    found = await look(filer)
    assert (found.stage, found.exit_code, found.logs, found.good) == ("executed", 0, "done", True)
    filer.commit("release/v0.4.0.json", release(), repo="shop")
    found = await look(filer)
    assert (found.stage, found.digest, found.good) == ("result", "sha256:1", True)
    assert found.words == "ghcr.io/acme/agents:v0.4.0 is released (release/v0.4.0.json of acme/shop)."


async def test_a_factory_that_keeps_its_results_to_itself_is_not_said_to_have_executed_nothing(
    filer: Filer,
) -> None:
    """The first generation writes them into its own container alone (facts: 8.3)."""
    await filer.file(generation="vault")
    filer.approve()
    found = await look(filer)
    assert (found.stage, found.silent) == ("merged", True)
    assert found.words == "Filed; this factory does not tell what it executed."


async def test_filed_not_executed_says_when_somebody_began(filer: Filer) -> None:
    await filer.file()
    filer.approve()
    filer.repo("shop").tags["v0.4.0"] = Tag("v0.4.0", "", "1" * 40, "1" * 40)
    found = await look(filer)
    assert "the tag v0.4.0 is there" in found.words and "every 60 s" in found.now
    filer.project()  # a plain Caddy
    assert "`disinto release v0.4.0` does" in (await look(filer)).now


async def test_approved_and_not_merged_says_who_has_to(filer: Filer) -> None:
    filer.ask("PATCH", "/branch_protections/main", {"merge_whitelist_usernames": ["disinto-admin"]})
    await filer.file()
    filer.approve(LEAD)
    found = await look(filer)
    assert (found.stage, found.scheduled) == ("approved", False)
    assert found.words == "Approved by lead; somebody has to merge it."


async def test_a_rejection_is_said_and_holds_it_open(filer: Filer) -> None:
    await filer.file()
    filer.approve(LEAD, "REQUEST_CHANGES")
    found = await look(filer)
    assert (found.stage, found.words) == ("open", "Rejected by lead.")


async def test_a_pull_request_closed_unmerged_is_over(filer: Filer) -> None:
    await filer.file()
    filer.ask("PATCH", f"/pulls/{filer.pull.number}", {"state": "closed"})
    found = await look(filer)
    assert (found.stage, found.over, found.good) == ("closed", True, False)
    filer.ops.branches.pop(BRANCH)
    filer.ops.trees.pop(BRANCH)
    found = await look(filer, "v0.4.0")  # its title still tells the version
    assert (found.stage, found.version) == ("closed", "v0.4.0")


async def test_a_merged_request_that_was_removed_again_is_not_executed(filer: Filer) -> None:
    await filer.file()
    filer.approve()
    filer.ops.write("main", PATH, None, "no")
    found = await look(filer)
    assert found.stage == "closed" and "removed again" in found.words


async def test_a_merge_without_an_approval_is_a_warning_wherever_it_came_from(filer: Filer) -> None:
    filer.token(ADMIN_TOKEN)
    await filer.file()
    filer.unprotect()
    filer.ask("POST", f"/pulls/{filer.pull.number}/merge", {"Do": "merge"}, USER_TOKEN)
    found = await look(filer)
    assert found.stage == "merged" and found.authorised is False
    assert "merged by dev-bot without anybody's approval" in found.warnings[0]
    assert "refuses it" in found.warnings[1]


@pytest.mark.parametrize("style", ["squash", "rebase", "fast-forward-only"])
async def test_a_merge_without_a_merge_commit_is_merged_and_refused(filer: Filer, style: str) -> None:
    await filer.file()
    path = f"/pulls/{filer.pull.number}/merge"
    filer.ask("DELETE", path)  # by hand, not as it was scheduled
    filer.approve()
    filer.ask("POST", path, {"Do": style})
    found = await look(filer)
    assert (found.stage, found.merged_by, found.approved_by) == (
        "merged",
        "disinto-admin",
        ("disinto-admin",),
    )
    assert found.authorised is False and "by a squash or a rebase" in found.warnings[0]
    assert "`disinto release v0.4.0` does it from here" in found.now and PATH in found.now
    filer.commit(RESULT, result(0))
    assert (await look(filer)).warnings == (), "somebody had it executed all the same"


async def test_a_merge_that_does_not_name_its_request_is_refused_and_one_nobody_knows_of_is_not_judged(
    filer: Filer,
) -> None:
    await filer.file()
    filer.approve()
    commit = filer.pull.merge_sha or ""
    assert (await look(filer)).authorised is True
    parents, _ = filer.ops.commits[commit]
    filer.ops.commits[commit] = parents, f"Bring it in, as #{filer.pull.number}0 was"
    found = await look(filer)
    assert found.authorised is False and "does not name #" in found.warnings[0]
    filer.forge.state.broken[f"/api/v1/repos/{OPS}/git/commits"] = 404
    assert (await look(filer)).authorised is True


async def test_who_is_an_admin_is_not_guessed(filer: Filer) -> None:
    await filer.file()
    filer.approve(LEAD)
    assert (await look(filer)).authorised is None  # dev-bot is not told
    filer.token(ADMIN_TOKEN)
    found = await look(filer)
    assert found.authorised is False and "No admin approved" in found.warnings[0]
    (filer.directory / ".env").write_text(f"FORGE_TOKEN={USER_TOKEN}\nFORGE_ADMIN_USERS=root, lead\n")
    assert (await look(filer)).authorised is True


async def test_an_action_that_was_cleared_away_after_its_execution_was_executed(filer: Filer) -> None:
    await filer.file()
    filer.approve()
    filer.commit(RESULT, result(0))
    filer.ops.write("main", PATH, None, "cleared away")
    found = await look(filer)
    assert (found.stage, found.exit_code, found.version) == ("executed", 0, "v0.4.0")


@pytest.mark.parametrize("exit_code", [1, 137])
async def test_an_execution_that_failed(filer: Filer, exit_code: int) -> None:
    await filer.file()
    filer.approve()
    filer.commit(RESULT, result(exit_code, f"Secret not found {USER_TOKEN}"))
    found = await look(filer)
    assert (found.stage, found.exit_code, found.good) == ("executed", exit_code, False)
    assert RESULT in found.now and "`disinto release v0.4.0`" in found.now
    assert "Secret not found" in found.logs and USER_TOKEN not in found.logs


async def test_a_result_that_cannot_be_read_is_an_execution_all_the_same(filer: Filer) -> None:
    await filer.file()
    filer.approve()
    (filer.directory / ".env").write_text(f"FORGE_TOKEN={USER_TOKEN}\nANTHROPIC_API_KEY=sk-ant-0123456789\n")
    filer.commit(RESULT, f"oops {USER_TOKEN} sk-ant-0123456789")
    found = await look(filer)
    assert "oops" in found.logs and USER_TOKEN not in found.logs and "0123456789" not in found.logs
    assert (found.stage, found.exit_code, found.good) == ("executed", None, None)


@pytest.mark.parametrize("where", ["here", "proposed"])
async def test_a_release_made_on_this_host_is_the_result(filer: Filer, where: str) -> None:
    await filer.file()
    filer.approve()
    if where == "here":
        (filer.directory / "release").mkdir()
        (filer.directory / "release" / "v0.4.0.json").write_text(release("failed"))
    else:
        filer.repo("shop").fork_branch("release-result/v0.4.0", "main")
        filer.commit("release/v0.4.0.json", release(), "release-result/v0.4.0", "shop")
    found = await look(filer)
    assert found.stage == "result" and found.good is (where != "here")
    assert found.where == ("as it ran here" if where == "here" else "proposed to acme/shop")


async def test_a_release_that_was_before_the_merge_is_not_its_result(filer: Filer) -> None:
    await filer.file()
    filer.approve()
    filer.commit("release/v0.4.0.json", release("failed", "2026-03-31T00:00:00Z"), repo="shop")
    assert (await look(filer)).stage == "merged"
    filer.commit("release/v0.4.0.json", release().replace("v0.4.0", "v0.5.0"), repo="shop")
    assert (await look(filer)).stage == "merged"


async def test_a_request_is_found_by_its_version_whatever_its_id(filer: Filer) -> None:
    other = TEXT.replace("release-v040", "release-v1210").replace("v0.4.0", "v1.21.0")
    filer.commit("vault/actions/release-v1210.toml", other)
    await filer.file("v1.2.10", id="release-v1-2-10")
    assert (await look(filer, "v1.2.10")).id == "release-v1-2-10"
    assert (await look(filer, "v1.21.0")).id == "release-v1210"
    filer.ask("PATCH", f"/pulls/{filer.pull.number}", {"state": "closed"})
    await filer.file("v1.2.10", id="release-1.2.10")
    assert (await look(filer, "v1.2.10")).stage == "open"  # not the one that was closed
    for name in ("v9.9.9", "release-v999", ""):
        with pytest.raises(BadInput, match="no request"):
            await look(filer, name)


async def test_every_request_is_listed_those_under_way_first(filer: Filer) -> None:
    for number in (1, 2):
        text = f'id = "clean-{number}"\nformula = "dev"\ncontext = "Clean up"\nsecrets = []\n'
        filer.commit(f"vault/actions/clean-{number}.toml", text)
    filer.commit("vault/actions/clean-1.result.json", result(2))
    filer.commit("vault/actions/README.md", "notes")
    await filer.file("v0.4.0")
    await filer.file("v0.5.0")
    found = await list_requests(await ops_place(filer.instance))
    assert [(item.id, item.stage) for item in found] == [
        ("release-v050", "open"),
        ("release-v040", "open"),
        ("clean-2", "merged"),
        ("clean-1", "executed"),
    ]
    assert found[3].exit_code == 2
    json.dumps([item.to_json() for item in found])


async def test_an_action_that_asks_nobody_is_said(filer: Filer) -> None:
    text = 'id = "x"\nformula = "dev"\ncontext = "y"\nsecrets = []\ndispatch_mode = "direct"\n'
    filer.commit("vault/actions/x.toml", text)
    assert "without anybody's approval" in (await look(filer, "x")).warnings[0]


def test_a_pull_request_of_a_fork_is_nobody_s_request() -> None:
    head: dict[str, Any] = {"ref": BRANCH, "label": BRANCH, "repo": {"full_name": "evil/shop-ops"}}
    assert branch_in({"head": head}, OPS) == ""
    assert branch_in({"head": {**head, "repo": {"full_name": "Acme/Shop-Ops"}}}, OPS) == BRANCH
    assert branch_in({"head": {"ref": "refs/pull/7/head", "label": BRANCH}}, OPS) == BRANCH
    assert branch_in({}, OPS) == ""


# -- following ---------------------------------------------------------------------------------------------------


async def gathered(filer: Filer, seen: list[str], acts: dict[str, Any], **more: Any) -> list[RequestState]:
    """Follow to the end; each act happens once its stage was seen."""
    states = []
    async for state in follow_request(await ops_place(filer.instance), ID, seconds=0.01, **more):
        states.append(state)
        seen.append(state.stage)
        act = acts.pop(state.stage, None)
        if act is not None:
            await asyncio.to_thread(act)
    return states


async def test_following_tells_each_change_once_until_it_is_over(filer: Filer) -> None:
    await filer.file()
    seen: list[str] = []
    acts = {"open": filer.approve, "merged": lambda: filer.commit(RESULT, result(0))}
    states = await asyncio.wait_for(gathered(filer, seen, acts), 30)
    assert seen == ["open", "merged", "executed"]
    assert states[-1].good is True


async def test_following_ends_at_the_stage_that_was_asked_for(filer: Filer) -> None:
    await filer.file()
    seen: list[str] = []
    await asyncio.wait_for(gathered(filer, seen, {"open": filer.approve}, until="merged"), 30)
    assert seen == ["open", "merged"]


async def test_following_a_request_that_is_closed_unmerged_ends(filer: Filer) -> None:
    await filer.file()
    seen: list[str] = []
    path = f"/pulls/{filer.pull.number}"
    acts = {"open": lambda: filer.ask("PATCH", path, {"state": "closed"})}
    states = await asyncio.wait_for(gathered(filer, seen, acts), 30)
    assert seen == ["open", "closed"] and states[-1].good is False


async def test_a_forge_that_stops_answering_is_waited_for_and_then_said(
    filer: Filer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filer.file()
    place = await ops_place(filer.instance)
    broken: list[bool] = []
    real = module._state

    async def state(*args: Any) -> RequestState:
        if broken:
            raise Unavailable("The forge is not working.", "HTTP 502.", "Wait.", code="forge.failing")
        return await real(*args)

    monkeypatch.setattr(module, "_state", state)
    seen = []
    async for found in follow_request(place, ID, seconds=0.01, until="approved"):
        seen.append(found.warnings)
        if len(seen) == 1:
            broken.append(True)
        elif len(seen) == 2:
            broken.clear()
            await asyncio.to_thread(filer.approve)
    assert seen[1] == ("The forge does not answer, and is asked again: HTTP 502.",)
    assert seen[-1] == ()
    broken.append(True)
    with pytest.raises(Unavailable):
        async for _ in follow_request(place, ID, seconds=0.01):
            pass
    broken.clear()
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        async for _ in follow_request(place, ID, seconds=0.01, until="result"):
            broken.append(True)
