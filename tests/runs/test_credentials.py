"""What a release needs, and what of it is found: the names, the order, and what is not sent where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from disinto_tui.adapters.credentials import CredentialFinder
from disinto_tui.adapters.engine import Engine
from disinto_tui.core.errors import BadInput
from disinto_tui.core.image import parse_image
from disinto_tui.core.plan import Plan, Step
from disinto_tui.runs.credential_checks import Judge, preflight_findings
from disinto_tui.runs.credentials import Gathered, gather, needs_of, secrets_of_plan
from tests.support.git_server import git_server
from tests.support.github_double import GitHubDouble, Token

GHCR = parse_image("ghcr.io/acme/agents")
OTHER = parse_image("registry.example/acme/agents")
MIRRORS = {
    "hub": "https://github.com/acme/shop.git",
    "cb": "https://codeberg.org/acme/shop",
    "own": "https://git.example/shop.git",
    "keys": "git@git.example:acme/shop.git",
}
CLASSIC = "ghp_" + "c" * 36


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The keyring of whoever runs this is none of a test's business; nor are Docker's logins."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


async def found(tmp_path: Path, images: str, env: Mapping[str, str], **more: str) -> Gathered:
    needs = needs_of(parse_image(images), more.get("secret", "GITHUB_TOKEN"), MIRRORS)
    return await gather(needs, CredentialFinder(tmp_path, {}, env))


def test_the_names_in_the_order_in_which_they_are_looked_for() -> None:
    assert [
        (need.purpose, need.names, need.over_ssh) for need in needs_of(GHCR, "GITHUB_TOKEN", MIRRORS)
    ] == [
        ("push", ("GITHUB_TOKEN",), False),
        ("mirror", ("MIRROR_TOKEN_HUB", "GITHUB_TOKEN"), False),
        ("mirror", ("MIRROR_TOKEN_CB", "CODEBERG_TOKEN"), False),
        ("mirror", ("MIRROR_TOKEN_OWN",), False),
        ("mirror", (), True),
    ]
    assert [need.place for need in needs_of(GHCR, "X", MIRRORS)][:2] == [
        "ghcr.io/acme/agents",
        "mirror hub (github.com)",
    ]


def test_a_url_with_a_password_and_a_name_that_is_none() -> None:
    with pytest.raises(BadInput) as caught:
        needs_of(GHCR, "X", {"one": "https://me:hunter2@git.example/x.git"})
    assert (caught.value.code, "hunter2" in str(caught.value)) == ("mirror.password", False)
    with pytest.raises(BadInput):
        needs_of(GHCR, "../../etc/passwd", {})


async def test_nothing_more_than_what_is_needed_is_handed_on(tmp_path: Path) -> None:
    env = {
        "GITHUB_TOKEN": CLASSIC,
        "MIRROR_TOKEN_CB": "codeberg's",
        "MIRROR_TOKEN_OLD": "unused",
        "OTHER": "unused",
    }
    gathered = await found(tmp_path, "ghcr.io/acme/agents", env)
    assert gathered.secrets == {"GITHUB_TOKEN": CLASSIC, "MIRROR_TOKEN_CB": "codeberg's"}
    assert gathered.push_secret == "GITHUB_TOKEN"
    assert CLASSIC not in repr(gathered)
    # A mirror's own token comes before the one for its host.
    gathered = await found(tmp_path, "ghcr.io/acme/agents", {**env, "MIRROR_TOKEN_HUB": "hub's own"})
    assert gathered.held[1] is not None and gathered.held[1].name == "MIRROR_TOKEN_HUB"


async def test_a_github_token_is_shown_to_no_other_registry(tmp_path: Path) -> None:
    gathered = await found(tmp_path, str(OTHER), {"GITHUB_TOKEN": CLASSIC})
    assert gathered.held[0] is None
    assert gathered.push_secret == ""  # the plan pushes with Docker's own login
    assert gathered.secrets == {"GITHUB_TOKEN": CLASSIC}  # for the mirror at github.com
    # What has no such shape was put there for this registry, and so was what has a name of its own.
    assert (await found(tmp_path, str(OTHER), {"GITHUB_TOKEN": "s3cret"})).push_secret == "GITHUB_TOKEN"
    named = await found(tmp_path, str(OTHER), {"REGISTRY_TOKEN": CLASSIC}, secret="REGISTRY_TOKEN")
    assert named.held[0] is not None and named.push_secret == "REGISTRY_TOKEN"
    # One that is found nowhere may come with `disinto resume`.
    assert (await found(tmp_path, str(OTHER), {})).push_secret == "GITHUB_TOKEN"


async def test_a_resumed_run_finds_its_secrets_the_same_way(tmp_path: Path) -> None:
    steps = (
        Step("push-mirrors", "", "push-mirrors", {"mirrors": MIRRORS}, ""),
        Step(
            "push-image", "", "push-image", {"reference": f"{GHCR.name}:v1.0.0", "secret": "GHCR_TOKEN"}, ""
        ),
    )
    facts = {"to": f"{GHCR.name}:v1.0.0", "secret": "GHCR_TOKEN"}
    plan = Plan("release", "x", str(tmp_path), "p", "", steps, facts=facts)
    env = {"GITHUB_TOKEN": CLASSIC, "MIRROR_TOKEN_OWN": "of-the-shell", "STRAY": "x"}
    finder = CredentialFinder(tmp_path, {"GHCR_TOKEN": "handed-over"}, env)
    assert await secrets_of_plan(plan, finder) == {
        "GHCR_TOKEN": "handed-over",
        "GITHUB_TOKEN": CLASSIC,
        "MIRROR_TOKEN_OWN": "of-the-shell",
    }
    assert await secrets_of_plan(plan, CredentialFinder(tmp_path, {}, {})) == {}


async def judged(tmp_path: Path, env: Mapping[str, str], github: GitHubDouble) -> tuple[str, str, str]:
    """The push credential of a release to GHCR, judged without asking GHCR: severity, text, cure."""
    gathered = await gather(needs_of(GHCR, "GITHUB_TOKEN", {}), CredentialFinder(tmp_path, {}, env))
    judge = Judge(gathered, Engine("unix:///nowhere"), api=github.url, now=1_795_564_800.0)
    (item,) = await judge.needed(try_push=False)
    return item.finding.severity, item.finding.text, item.finding.cure


async def test_what_ghcr_does_not_take_is_said_before_it_is_asked(tmp_path: Path) -> None:
    fine = "github_pat_" + "f" * 40
    with GitHubDouble({CLASSIC: Token(scopes="repo, read:packages"), fine: Token(scopes=None)}) as github:
        severity, text, _ = await judged(tmp_path, {"GITHUB_TOKEN": CLASSIC}, github)
        assert (severity, "it has read:packages, repo, and not write:packages" in text) == ("problem", True)
        severity, text, cure = await judged(tmp_path, {"GITHUB_TOKEN": fine}, github)
        assert (severity, "fine-grained" in text, "classic" in text) == ("problem", True, True)
        assert "`disinto docs credentials`" in cure
        github.tokens[CLASSIC] = Token()
        severity, text, _ = await judged(tmp_path, {"GITHUB_TOKEN": CLASSIC}, github)
        assert (severity, text) == ("ok", "GITHUB_TOKEN (the environment): does not expire.")
        severity, text, _ = await judged(tmp_path, {"GITHUB_TOKEN": CLASSIC + "x"}, github)
        assert (severity, "GitHub does not know it" in text) == ("problem", True)


async def test_a_mirror_holds_up_no_release_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # its server needs git
    with git_server(tmp_path / "served") as server:
        server.make("one")
        needs = needs_of(OTHER, "", {"one": server.url("one")})
        gathered = await gather(
            needs, CredentialFinder(tmp_path, {"MIRROR_TOKEN_ONE": "wr0ng"}, only_given=True)
        )
        judge = Judge(gathered, Engine("unix:///nowhere"))
        assert [item.finding.severity for item in await judge.needed(try_push=False)] == ["ok", "problem"]
        told = await preflight_findings(gathered, Engine("unix:///nowhere"), "")
        assert [item.severity for item in told] == ["ok", "warning"]
        assert "does not know it" in told[1].text
