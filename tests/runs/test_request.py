"""Filing a request for approval, against a forge that refuses as a forge does: every fault by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disinto_tui.adapters.journal import (
    create_run,
)
from disinto_tui.core.errors import BadInput, DisintoError, Refused
from disinto_tui.runs import ops_approval
from disinto_tui.runs.request_state import ops_place, request_state
from tests.support.filing import BRANCH, ID, LEAD, OPS, PATH, RULE, TEXT, Filer, new_filer, step_states_of
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import ADMIN_TOKEN, USER_TOKEN, Repo, Tag, default_state


@pytest.fixture
def filer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filer]:
    monkeypatch.setattr(ops_approval, "POLL_SECONDS", 0.01)
    with ForgeDouble(default_state()) as forge:
        yield new_filer(tmp_path, forge)


async def refused(filer: Filer, version: str = "v0.4.0", **more: Any) -> DisintoError:
    """The error of a plan that is refused; nothing was changed."""
    before = (dict(filer.ops.branches), dict(filer.ops.pulls), dict(filer.ops.protections))
    with pytest.raises(DisintoError) as error:
        await filer.plan(version, **more)
    assert (dict(filer.ops.branches), dict(filer.ops.pulls), dict(filer.ops.protections)) == before
    return error.value


# -- the way it goes ----------------------------------------------------------------------------------------------


async def test_a_request_is_filed_scheduled_and_merged_once_it_is_approved(filer: Filer) -> None:
    filer.protect()
    filer.ops.labels.append({"id": 41, "name": "pending-approval", "color": "ffffff"})
    run, ended = await filer.file()
    assert ended.exit_code == 0, ended.error
    assert filer.ops.trees[BRANCH][PATH].decode() == TEXT
    assert PATH not in filer.ops.trees["main"]
    pull = filer.pull
    assert (pull.title, pull.head, pull.state, pull.scheduled) == ("release: v0.4.0", BRANCH, "open", True)
    assert pull.labels == [41]
    assert "Vault action: release-v040" in pull.body and "Secrets: GITHUB_TOKEN" in pull.body
    url = f"{filer.forge.url}/{OPS}/pulls/{pull.number}"
    assert (ended.result["url"], ended.result["scheduled"]) == (url, True)
    assert any(url in line for line in ended.summary)
    assert set(step_states_of(run).values()) == {"done", "skipped"}
    filer.approve()
    assert filer.pull.merged and filer.ops.trees["main"][PATH].decode() == TEXT
    said = run.log_path.read_text() + run.events_path.read_text() + (run.path / "plan.json").read_text()
    assert USER_TOKEN not in said


async def test_filing_twice_finds_everything_done(filer: Filer) -> None:
    filer.protect()
    await filer.file()
    prepared = await filer.plan()
    assert any(f"filed already: pull request {filer.pull.number}" in note for note in prepared.plan.notes)
    run = create_run(filer.instance, prepared.plan)
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    assert len(filer.ops.pulls) == 1
    assert [step_states_of(run)[step] for step in ("protection", "branch", "action", "pull-request")] == [
        "skipped"
    ] * 4
    assert "409" in run.log_path.read_text()  # scheduled already: nothing else tells
    assert ended.result["pull"] == filer.pull.number


async def test_a_merged_request_leaves_nothing_to_do_and_an_executed_one_is_refused(filer: Filer) -> None:
    filer.protect()
    await filer.file()
    filer.approve()
    prepared = await filer.plan()
    assert not prepared.plan.changes
    assert any("no execution is seen yet" in note for note in prepared.plan.notes)
    filer.repo("shop").tags["v0.4.0"] = Tag("v0.4.0", "", "1" * 40, "1" * 40)
    assert not (
        await filer.plan()
    ).plan.changes  # somebody began: that is no reason to request another version
    filer.commit(f"vault/actions/{ID}.result.json", '{"id": "release-v040", "exit_code": 1}')
    error = await refused(filer)
    assert error.code == "request.id" and "executed already" in error.why


async def test_a_request_that_was_merged_unapproved_is_not_called_approved(filer: Filer) -> None:
    filer.protect()
    await filer.file()
    filer.unprotect()
    filer.ask("POST", f"/pulls/{filer.pull.number}/merge", {"Do": "merge"}, USER_TOKEN)
    filer.protect()
    assert not any("approved" in item.text for item in (await filer.plan()).findings if item.name == "id")


async def test_looking_changes_nothing_on_the_forge(filer: Filer) -> None:
    filer.protect()
    filer.forge.state.calls.clear()
    await filer.plan()
    assert {method for method, _, _ in filer.forge.state.calls} == {"GET"}


# -- ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["main", "release/v1210"])
async def test_id_collision_with_another_version_is_refused_and_another_id_offered(
    filer: Filer, where: str
) -> None:
    filer.protect()
    if where != "main":
        filer.ops.fork_branch(where, "main")
    other = TEXT.replace("release-v040", "release-v1210").replace("v0.4.0", "v1.21.0")
    filer.commit("vault/actions/release-v1210.toml", other, where)
    error = await refused(filer, "v1.2.10")
    assert error.code == "request.id" and "taken by another version" in error.why
    assert "--id release-v1-2-10" in error.now
    _, ended = await filer.file("v1.2.10", id="release-v1-2-10")
    assert ended.exit_code == 0, ended.error
    assert filer.pull.head == "release/v1-2-10"


async def test_an_id_that_is_taken_while_the_run_is_under_way_stops_it(filer: Filer) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan("v1.2.10")).plan)
    other = TEXT.replace("release-v040", "release-v1210").replace("v0.4.0", "v1.21.0")
    filer.commit("vault/actions/release-v1210.toml", other)
    ended = await filer.go(run)
    assert ended.exit_code == 4
    assert ended.error is not None and ended.error["code"] == "request.id"
    assert set(filer.ops.branches) == {"main"}


async def test_other_content_under_the_same_name_stops(filer: Filer) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    filer.ops.fork_branch(BRANCH, "main")
    filer.commit(PATH, TEXT.replace("GITHUB", "NPM"), BRANCH)
    ended = await filer.go(run)
    assert ended.error is not None and ended.error["code"] == "request.other"
    assert (await refused(filer)).code == "request.id"
    assert filer.ops.trees[BRANCH][PATH].decode() == TEXT.replace("GITHUB", "NPM")


async def test_a_branch_with_something_else_on_it_is_not_used(filer: Filer) -> None:
    filer.protect()
    filer.ops.fork_branch(BRANCH, "main")
    run = create_run(filer.instance, (await filer.plan()).plan)
    filer.commit("notes.md", "mine", BRANCH)
    assert (await refused(filer)).code == "request.id"
    ended = await filer.go(run)
    assert ended.error is not None and ended.error["code"] == "request.branch"
    assert filer.ops.pulls == {}


async def test_a_pull_request_into_another_branch_is_not_this_request(filer: Filer) -> None:
    filer.protect()
    filer.ops.fork_branch("staging", "main")
    filer.ops.fork_branch(BRANCH, "main")
    filer.commit(PATH, TEXT, BRANCH)
    filer.ask("POST", "/pulls", {"title": "x", "head": BRANCH, "base": "staging"})
    _, ended = await filer.file()
    assert ended.exit_code == 0, ended.error
    assert (filer.pull.base, filer.pull.scheduled) == ("main", True)
    assert PATH not in filer.ops.trees["staging"]
    found = await request_state(await ops_place(filer.instance), ID)
    assert found.pull == filer.pull.number


async def test_a_pull_request_that_changes_more_is_not_scheduled(filer: Filer) -> None:
    filer.protect()
    filer.ops.fork_branch(BRANCH, "main")
    filer.commit(PATH, TEXT, BRANCH)
    filer.commit("vault/policy.toml", "[tiers]\n", BRANCH)
    _, ended = await filer.file()
    assert ended.error is not None and ended.error["code"] == "request.foreign"
    assert "vault/policy.toml" in ended.error["why"]
    assert not filer.pull.scheduled


@pytest.mark.parametrize("version", ["v0.4.0-rc.1", "0.4.0", "v0.4"])
async def test_what_an_executor_would_not_release_is_not_requested(filer: Filer, version: str) -> None:
    filer.protect()
    error = await refused(filer, version)
    assert isinstance(error, BadInput)


@pytest.mark.parametrize("name", ["a b", "a?b", "../x", "a#b", "x/", "ü"])
async def test_an_id_that_is_no_name_of_a_file_is_bad_input(filer: Filer, name: str) -> None:
    error = await refused(filer, id=name)
    assert isinstance(error, BadInput) and error.code == "request.id"


# -- protection ---------------------------------------------------------------------------------------------------


async def test_protection_missing_is_refused_and_named_exactly(filer: Filer) -> None:
    filer.token(ADMIN_TOKEN)
    error = await refused(filer)
    assert isinstance(error, Refused) and error.code == "request.protection"
    assert "no protection at all (rule_name)" in error.why
    assert "--protect" in error.now
    filer.protect(required_approvals=0)
    error = await refused(filer)
    assert "it asks for no approval (required_approvals)" in error.why and "enable_push" not in error.why


async def test_a_token_that_may_not_read_the_rule_still_sees_what_is_missing(filer: Filer) -> None:
    assert "no protection at all" in (await refused(filer)).why
    filer.protect(enable_push=True)
    assert "enable_push" in (await refused(filer)).why
    error = await refused(filer, protect=True)
    assert error.code == "request.protection" and "dev-bot may not set the protection" in error.why


async def test_protection_is_set_first_when_the_operator_agreed(filer: Filer) -> None:
    filer.token(ADMIN_TOKEN)
    prepared = await filer.plan(protect=True)
    assert prepared.plan.steps[0].title.startswith("Protect main") and prepared.plan.steps[0].writes
    assert any("nobody pushes" in text for text in prepared.plan.dangers)
    run = create_run(filer.instance, prepared.plan)
    ended = await filer.go(run)
    assert ended.exit_code == 0, ended.error
    rule = filer.ops.protections["main"]
    assert {key: rule[key] for key in RULE} == {**RULE, "merge_whitelist_usernames": ["disinto-admin"]}
    assert filer.pull.scheduled
    await filer.go(run, undo=True)
    assert "main" in filer.ops.protections  # other merges may be waiting behind it


async def test_only_what_is_missing_is_set(filer: Filer) -> None:
    filer.token(ADMIN_TOKEN)
    filer.protect(required_approvals=2, dismiss_stale_approvals=False, enable_status_check=True)
    assert any("outlives a change" in item.text for item in (await filer.plan()).findings)
    _, ended = await filer.file(protect=True)
    assert ended.exit_code == 0, ended.error
    rule = filer.ops.protections["main"]
    assert (rule["required_approvals"], rule["dismiss_stale_approvals"]) == (2, True)
    assert rule["enable_status_check"] is True
    assert len(filer.ops.protections) == 1


async def test_a_pattern_that_is_too_weak_gets_a_rule_of_its_own_beside_it(filer: Filer) -> None:
    filer.token(ADMIN_TOKEN)
    filer.protect(rule_name="*", block_on_rejected_reviews=False, required_approvals=2)
    _, ended = await filer.file(protect=True)
    assert ended.exit_code == 0, ended.error
    assert filer.ops.protections["main"]["required_approvals"] == 2
    assert filer.ops.protections["main"]["block_on_rejected_reviews"] is True
    assert filer.ops.protections["*"]["block_on_rejected_reviews"] is False


async def test_protection_that_goes_away_after_the_plan_stops_the_run(filer: Filer) -> None:
    filer.protect()
    run = create_run(filer.instance, (await filer.plan()).plan)
    filer.unprotect()
    ended = await filer.go(run)
    assert ended.exit_code == 4
    assert ended.error is not None and ended.error["code"] == "request.protection"
    assert set(filer.ops.branches) == {"main"}


# -- what would refuse it ---------------------------------------------------------------------------------------


def factory(filer: Filer) -> Repo:
    found = filer.forge.state.repo("disinto-admin", "disinto")
    assert found is not None
    return found


def old_factory(filer: Filer, *, secrets: str = "") -> None:
    files = {"lib/vault.sh": "#!/bin/bash\n", "formulas/release.toml": 'name = "release"\n'}
    if secrets:
        files["vault/validate.sh"] = f'ALLOWED="{secrets}"\n'
    for path, text in files.items():
        factory(filer).write("main", path, text.encode(), "by others")


def new_factory(filer: Filer) -> None:
    old_factory(filer)
    factory(filer).write("main", "lib/action-vault.sh", b"#!/bin/bash\n", "by others")


async def test_the_validator_of_the_old_generation_refusing_the_secret_stops_the_request(
    filer: Filer,
) -> None:
    filer.protect()
    old_factory(filer)
    error = await refused(filer, secret="CODEBERG_TOKEN")
    assert isinstance(error, Refused) and error.code == "request.secrets"
    assert "CODEBERG_TOKEN is refused by the validator of factories with vault/" in error.why
    prepared = await filer.plan(secret="CODEBERG_TOKEN", generation="action-vault")
    assert prepared.generation == "action-vault"


async def test_the_generation_is_seen_in_the_factory_s_own_repository(filer: Filer) -> None:
    filer.protect()
    assert (await filer.plan()).generation == ""
    old_factory(filer)
    prepared = await filer.plan()
    assert prepared.generation == "vault" and prepared.plan.facts["generation"] == "vault"
    new_factory(filer)
    assert (await filer.plan()).generation == "action-vault"
    (filer.directory / ".env").write_text(f"FORGE_TOKEN={USER_TOKEN}\nDISINTO_VERSION=v0.1.0\n")
    assert (await filer.plan()).generation == ""  # there is no such branch or tag
    with pytest.raises(BadInput, match="no generation"):
        await filer.plan(generation="newest")


async def test_another_name_of_the_credential_is_a_danger_that_is_said(filer: Filer) -> None:
    filer.protect()
    old_factory(filer)
    prepared = await filer.plan(secret="GHCR_TOKEN")
    assert any("No existing validator accepts GHCR_TOKEN" in text for text in prepared.plan.dangers)
    assert 'secrets = ["GHCR_TOKEN"]' in prepared.text
    old_factory(filer, secrets="CLAWHUB_TOKEN GITHUB_TOKEN DEPLOY_KEY NPM_TOKEN GHCR_TOKEN")
    assert (await filer.plan(secret="GHCR_TOKEN")).plan.dangers == ()


@pytest.mark.parametrize("token", ["ghp_" + "a1B2" * 9, "github_pat_" + "x" * 30, USER_TOKEN])
async def test_a_token_given_in_place_of_its_name_is_not_committed(filer: Filer, token: str) -> None:
    filer.protect()
    error = await refused(filer, secret=token)
    assert error.code == "request.secrets" and "never its value" in error.why
    assert token not in str(error) + "".join(error.details)


async def test_what_mirrors_need_is_asked_for_where_the_validator_knows_it(filer: Filer) -> None:
    filer.protect()
    mirrors = (
        '[mirrors]\ncodeberg = "https://codeberg.org/acme/shop.git"\nhub = "git@github.com:acme/shop.git"\n'
    )
    filer.project(mirrors, edge="example.com/edge:1")
    old_factory(filer)
    prepared = await filer.plan()
    assert (prepared.action.secrets, prepared.action.mounts) == (("GITHUB_TOKEN",), ())
    assert sum("Left out" in note for note in prepared.plan.notes) == 2
    new_factory(filer)
    prepared = await filer.plan()
    assert prepared.action.secrets == ("GITHUB_TOKEN", "CODEBERG_TOKEN")
    assert prepared.action.mounts == ("ssh",)


async def test_a_formula_that_is_not_there_and_a_tag_that_is_are_problems_told_at_once(filer: Filer) -> None:
    filer.protect()
    new_factory(filer)
    factory(filer).write("main", "formulas/release.toml", None, "x")
    filer.repo("shop").tags["v0.4.0"] = Tag("v0.4.0", "", "1" * 40, "1" * 40)
    error = await refused(filer)
    told = "\n".join(error.details)
    assert "no formulas/release.toml" in told and "The tag v0.4.0 is in acme/shop already" in told


async def test_what_may_go_wrong_later_is_said_before(filer: Filer) -> None:
    filer.protect()
    filer.project()  # a plain Caddy
    filer.commit("VERSION", "0.3.0\n", repo="shop")
    notes = "\n".join((await filer.plan()).plan.notes)
    assert "nothing here executes what is approved" in notes
    assert "VERSION on main says '0.3.0'" in notes


async def test_whoever_may_not_write_files_nothing(filer: Filer) -> None:
    filer.protect()
    filer.forge.state.add_user("stranger", token="s" * 40)
    filer.token("s" * 40)
    error = await refused(filer)
    assert "stranger may not push" in error.why
    filer.token("wrong" * 8)
    assert (await refused(filer)).code == "forge.token"
    filer.token(LEAD)
    assert (await filer.plan()).plan.steps
    filer.project(edge="example.com/edge:1")
    text = (filer.directory / "projects" / "shop.toml").read_text()
    (filer.directory / "projects" / "shop.toml").write_text(text.replace(OPS, "acme/nowhere"))
    assert (await refused(filer)).code == "request.repository"
