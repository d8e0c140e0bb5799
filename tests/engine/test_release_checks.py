"""What is looked at before a release: everything at once, each problem with its cure, and nothing changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from disinto_tui.adapters.credentials import CredentialFinder
from disinto_tui.adapters.engine import Engine as EngineClient
from disinto_tui.adapters.registry_auth import Credential, StaticCredentials
from disinto_tui.core.errors import BadInput, Refused
from disinto_tui.core.image import parse_image
from disinto_tui.core.redact import Secret
from disinto_tui.runs.credential_checks import preflight_findings
from disinto_tui.runs.credentials import gather, needs_of
from disinto_tui.runs.release_checks import Examined, Wanted, examine
from tests.support.engine import Engine
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import USER_TOKEN, Tag, default_state
from tests.support.git_server import checkout, commit, git
from tests.support.github_double import GitHubDouble, Token
from tests.support.processes import free_port
from tests.support.registries import Registry, push_samples, token_registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with token_registry(tmp_path_factory.mktemp("guarded")) as registry:
        push_samples(registry, ["v0.3.0"], repository="pub/agents")
        yield registry


@pytest.fixture
def forge() -> Iterator[ForgeDouble]:
    with ForgeDouble(default_state()) as running:
        yield running


@pytest.fixture
def wanted(engine: Engine, guarded: Registry, forge: ForgeDouble, tmp_path: Path) -> Wanted:
    """A release that could begin: a clean checkout whose head is the forge's."""
    tree = checkout(tmp_path / "tree")
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    repo.branches["main"].append(git(tree, "rev-parse", "HEAD"))
    return Wanted(
        "v0.4.0",
        tree,
        "main",
        forge.url,
        "acme/shop",
        parse_image(f"{guarded.address}/pub/agents"),
        engine.endpoint,
        Secret(USER_TOKEN),
        StaticCredentials({guarded.address: Credential("alice", Secret("s3cret"))}),
    )


def told(found: Examined, name: str) -> str:
    """The finding of a name: its severity and its text."""
    return " | ".join(f"{item.severity}: {item.text}" for item in found.findings if item.name == name)


async def test_a_token_whose_user_nobody_named_is_no_stored_login(wanted: Wanted, guarded: Registry) -> None:
    """The registry does not even let it read, and that is not what matters; there is nothing to log out of either."""
    login = StaticCredentials({guarded.address: Credential("x", Secret("s3cret"))})
    found = await examine(replace(wanted, login=login))
    assert told(found, "registry") == f"problem: This login may not push to {guarded.address}/pub/agents."
    cure = next(item.cure for item in found.findings if item.name == "registry")
    assert "--user" in cure and "logout" not in cure
    assert told(found, "order") == ""


async def test_no_login_at_all_is_told_as_that(wanted: Wanted, guarded: Registry) -> None:
    found = await examine(replace(wanted, login=StaticCredentials({})))
    text = f"{guarded.address} wants a login of who pushes, and none was found."
    assert told(found, "registry") == f"problem: {text}"
    with pytest.raises(Refused) as refused:
        found.require()
    assert (refused.value.why, refused.value.details) == (text, ()), "one problem is told once"
    assert "`disinto credentials`" in refused.value.now


async def test_all_is_well(wanted: Wanted) -> None:
    before = git(wanted.checkout, "status", "--porcelain"), git(wanted.checkout, "for-each-ref")
    found = await examine(wanted)
    found.require()
    assert found.problems == []
    assert found.sha == git(wanted.checkout, "rev-parse", "HEAD")
    assert found.newest == "v0.3.0"
    assert [item.subject for item in found.commits] == ["first"]
    assert told(found, "order") == "ok: v0.4.0 is the newest, v0.3.0 was before it."
    assert (git(wanted.checkout, "status", "--porcelain"), git(wanted.checkout, "for-each-ref")) == before


async def test_everything_wrong_is_told_at_once(wanted: Wanted, forge: ForgeDouble) -> None:
    tree = wanted.checkout
    git(tree, "switch", "--quiet", "-c", "feature")
    commit(tree, {"VERSION": "0.5.0\n"})
    (tree / "README.md").write_text("changed\n")
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    repo.tags["v0.4.0"] = Tag("v0.4.0", "", "1" * 40, "1" * 40)
    found = await examine(wanted)
    problems = {item.name: item for item in found.problems}
    assert set(problems) == {"branch", "tree", "version file", "commit", "tag"}
    assert "feature is checked out" in problems["branch"].text
    assert "1 change is not committed (README.md)" in problems["tree"].text
    assert "'0.5.0', not v0.4.0" in problems["version file"].text
    assert "nothing is ever reset" in problems["commit"].cure
    assert "at 111111111111" in problems["tag"].text
    assert found.sha == ""
    with pytest.raises(Refused) as refused:
        found.require()
    assert "(and 4 more)" in refused.value.why
    assert len(refused.value.details) == 5
    assert (tree / "README.md").read_text() == "changed\n"


async def test_a_tag_at_this_very_commit_is_no_problem(wanted: Wanted, forge: ForgeDouble) -> None:
    sha = git(wanted.checkout, "rev-parse", "HEAD")
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    repo.tags["v0.4.0"] = Tag("v0.4.0", "", sha, sha)
    found = await examine(wanted)
    assert found.problems == []
    assert "at this very commit" in told(found, "tag")


async def test_strays_and_a_missing_version_file_are_warnings(wanted: Wanted, forge: ForgeDouble) -> None:
    git(wanted.checkout, "rm", "--quiet", "VERSION")
    sha = commit(wanted.checkout, {})
    (wanted.checkout / "stray").write_text("x")
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    repo.branches["main"].append(sha)
    found = await examine(wanted)
    assert found.problems == []
    assert told(found, "tree").startswith("warning: 1 file is not known")
    assert told(found, "version file").startswith("warning")


async def test_a_credential_that_may_not_push(wanted: Wanted, guarded: Registry) -> None:
    reader = StaticCredentials({guarded.address: Credential("reader", Secret("r3ad"))})
    found = await examine(replace(wanted, login=reader))
    assert [item.name for item in found.problems] == ["registry"]
    assert "write:packages" in found.problems[0].cure
    wrong = StaticCredentials({guarded.address: Credential("alice", Secret("wr0ng-pass"))})
    found = await examine(replace(wanted, login=wrong))
    assert [item.name for item in found.problems] == ["registry"]
    assert "wr0ng-pass" not in str(found)


async def test_a_token_that_expires_or_has_expired(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What GitHub says of it is a finding like any other: 5 days are a warning, none left a problem."""
    token = "ghp_" + "e" * 36
    finder = CredentialFinder(tmp_path / "factory", {"PUSH_TOKEN": token}, only_given=True)
    gathered = await gather(needs_of(wanted.images, "PUSH_TOKEN", {}), finder)
    look = replace(
        wanted, credentials=lambda: preflight_findings(gathered, EngineClient(wanted.endpoint), "alice")
    )
    with GitHubDouble({token: Token(expires=time.time() + 5.5 * 86_400)}) as github:
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        found = await examine(look)
        assert found.problems == []
        assert told(found, "credential").startswith(
            "warning: PUSH_TOKEN (handed over for this command): expires on "
        )
        github.tokens[token].expires = time.time() - 60
        found = await examine(look)
        assert [item.name for item in found.problems] == ["credential"]
        with pytest.raises(Refused) as refused:
            found.require()
    assert "expired on " in refused.value.why
    assert token not in f"{refused.value} {refused.value.details}"


async def test_a_version_that_is_there_or_is_not_the_newest(
    wanted: Wanted, guarded: Registry, forge: ForgeDouble
) -> None:
    async def of(version: str, *, force: bool = False) -> Examined:
        sha = commit(wanted.checkout, {"VERSION": version[1:] + "\n"})
        repo = forge.state.repo("acme", "shop")
        assert repo is not None
        repo.branches["main"].append(sha)
        return await examine(replace(wanted, version=version, force=force))

    assert {item.name for item in (await of("v0.3.0")).problems} == {"image", "order"}
    assert {item.name for item in (await of("v0.2.9")).problems} == {"order"}
    forced = await of("v0.2.9", force=True)
    assert forced.problems == []
    assert "is forced" in told(forced, "order")
    with pytest.raises(BadInput) as told_why:
        await examine(replace(wanted, version="0.4.0"))
    assert told_why.value.code == "version.grammar"


async def test_what_does_not_answer_hides_nothing_else(wanted: Wanted) -> None:
    nowhere = parse_image(f"127.0.0.1:{free_port()}/x/agents")
    dead = replace(
        wanted, images=nowhere, endpoint="unix:///nonexistent/docker.sock", forge="http://127.0.0.1:9"
    )
    found = await examine(dead)
    assert {item.name for item in found.problems} == {"engine", "registry", "forge"}
    assert told(found, "branch").startswith("ok")


async def test_a_token_that_may_not_write(wanted: Wanted, forge: ForgeDouble) -> None:
    forge.state.add_user("stranger", token="s" * 40)
    found = await examine(replace(wanted, token=Secret("s" * 40)))
    assert "may not push to acme/shop" in told(found, "forge")
    found = await examine(replace(wanted, token=Secret("wrong-token-" * 3)))
    assert [item.name for item in found.problems] == ["forge"]
    found = await examine(replace(wanted, repository="acme/nosuch"))
    assert "acme/nosuch is not there" in told(found, "forge")


async def test_a_recorded_commit_counts_alone(wanted: Wanted, forge: ForgeDouble) -> None:
    """main moved after preflight, and so did the checkout: what was recorded is what is released."""
    sha = git(wanted.checkout, "rev-parse", "HEAD")
    repo = forge.state.repo("acme", "shop")
    assert repo is not None
    commit(wanted.checkout, {"VERSION": "0.9.9\n"})
    (wanted.checkout / "README.md").write_text("changed\n")
    repo.commit("main", "somebody went on")
    repo.tags["v0.4.0"] = Tag("v0.4.0", "", sha, sha)
    found = await examine(replace(wanted, sha=sha))
    assert found.problems == []
    assert found.sha == sha
    assert told(found, "commit").startswith("warning: main is at")
    gone = await examine(replace(wanted, sha="2" * 40))
    assert "checkout" in {item.name for item in gone.problems}
