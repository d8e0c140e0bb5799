"""git: looking without touching, clean exports, tags on other servers, and passwords that stay where they belong."""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from disinto_tui.adapters.git import Checkout, Login, git_command, place_of, push_refs, remote_refs
from disinto_tui.core.errors import BadInput, DisintoError, Failed, Unavailable
from disinto_tui.core.redact import Secret
from tests.support.git_server import PASSWORD, USER, GitServer, checkout, commit, git, git_server
from tests.support.processes import free_port

LOGIN = Login(USER, Secret(PASSWORD))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return checkout(tmp_path / "tree")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "served") as serving:
        serving.make("mirror")
        yield serving


async def test_a_checkout_is_looked_at(tree: Path) -> None:
    here = Checkout(tree)
    head = git(tree, "rev-parse", "HEAD")
    assert await here.root() == tree
    assert await here.head() == head
    assert await here.branch() == "main"
    assert await here.changes() == []
    assert await here.file(head, "VERSION") == "0.4.0"
    assert await here.file(head, "nothing") is None
    assert await here.tag("v0.4.0") == ""
    git(tree, "tag", "-a", "v0.4.0", "-m", "annotated")
    assert await here.tag("v0.4.0") == head
    (tree / "new file").write_text("x")
    (tree / "VERSION").write_text("9")
    assert sorted(await here.changes()) == [" M VERSION", "?? new file"]
    git(tree, "checkout", "--quiet", "--detach")
    assert await here.branch() == ""


async def test_commits_since_a_tag(tree: Path) -> None:
    here = Checkout(tree)
    first = await here.head()
    second = commit(tree, {"a": "1"}, "add a: with \x1f odd — signs")
    third = commit(tree, {"b": "1"}, "add b")
    found = await here.commits(third, first)
    assert [item.sha for item in found] == [third, second]
    assert found[0].subject == "add b"
    assert await here.is_ancestor(first, third)
    assert not await here.is_ancestor(third, first)
    assert await here.has(third)
    assert not await here.has("0" * 40)


async def test_no_checkout_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as told:
        await Checkout(tmp_path).root()
    assert told.value.code == "git.none"


@pytest.mark.parametrize("sha", ["HEAD", "--output=/tmp/x", "main", "abc", "", "0" * 39, "../x"])
async def test_nothing_but_a_full_id_reaches_git_as_a_commit(tree: Path, sha: str) -> None:
    with pytest.raises(ValueError, match="not a commit id"):
        await Checkout(tree).has(sha)


async def test_an_export_is_what_was_committed_and_nothing_else(tree: Path, tmp_path: Path) -> None:
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("README.md")
    sha = commit(
        tree, {".gitignore": ".env\n", ".gitattributes": "secret.txt export-ignore\n", "secret.txt": "s"}
    )
    (tree / ".env").write_text("TOKEN=x")
    (tree / "README.md").write_text("changed, not committed")
    (tree / "stray").write_text("x")
    out = tmp_path / "out"
    await Checkout(tree).export(sha, out)
    names = {str(path.relative_to(out)) for path in out.rglob("*")}
    assert names == {"VERSION", "README.md", "run.sh", "link", ".gitignore", ".gitattributes"}
    assert (out / "README.md").read_text() == "hello\n"
    assert (out / "run.sh").stat().st_mode & stat.S_IXUSR
    assert (out / "link").readlink() == Path("README.md")
    assert not (tmp_path / "out.tar").exists()
    assert (tree / "stray").exists()


# -- other servers -----------------------------------------------------------------------------------------------


async def test_a_tag_is_pushed_over_http_with_a_login(tree: Path, server: GitServer) -> None:
    sha = await Checkout(tree).head()
    lines: list[str] = []
    refs = {"refs/tags/v0.4.0": sha, "refs/heads/main": sha}
    await push_refs(tree, server.url("mirror"), refs, LOGIN, on_lines=lambda _, more: lines.extend(more))
    assert server.refs("mirror") == refs
    assert await remote_refs(server.url("mirror"), ["refs/tags/*"], LOGIN) == {"refs/tags/v0.4.0": sha}
    assert any("v0.4.0" in line for line in lines)
    # Doing it again is doing nothing.
    await push_refs(tree, server.url("mirror"), refs, LOGIN)


async def test_an_annotated_tag_is_the_commit_it_tags(tree: Path, server: GitServer) -> None:
    sha = await Checkout(tree).head()
    git(tree, "tag", "-a", "v1.0.0", "-m", "x")
    tag = git(tree, "rev-parse", "refs/tags/v1.0.0")
    assert tag != sha
    await push_refs(tree, server.url("mirror"), {"refs/tags/v1.0.0": tag}, LOGIN)
    assert await remote_refs(server.url("mirror"), ["refs/tags/v1.0.0*"], LOGIN) == {"refs/tags/v1.0.0": sha}


async def test_a_tag_that_means_another_commit_there_is_never_moved(tree: Path, server: GitServer) -> None:
    first = await Checkout(tree).head()
    await push_refs(tree, server.url("mirror"), {"refs/tags/v0.4.0": first}, LOGIN)
    second = commit(tree, {"a": "1"})
    with pytest.raises(Failed) as told:
        await push_refs(
            tree, server.url("mirror"), {"refs/tags/v0.4.0": second, "refs/heads/main": second}, LOGIN
        )
    assert told.value.code == "git.rejected"
    assert server.refs("mirror") == {"refs/tags/v0.4.0": first}  # and the branch was not pushed either


async def trouble(work: object) -> DisintoError:
    with pytest.raises(DisintoError) as told:
        await work  # type: ignore[misc]
    return told.value


async def test_a_server_that_does_not_let_us_in(tree: Path, server: GitServer) -> None:
    refs = {"refs/tags/v0.4.0": await Checkout(tree).head()}
    wrong = Login(USER, Secret("wr0ng-pa55word"))
    for login in (None, wrong):
        error = await trouble(push_refs(tree, server.url("mirror"), refs, login))
        assert error.code == "git.denied", error.details
        assert "wr0ng" not in str(error) + "".join(error.details)
    server.closed.add("mirror")
    error = await trouble(push_refs(tree, server.url("mirror"), refs, LOGIN))
    assert error.code == "git.denied", error.details


async def test_a_server_that_is_not_there(tree: Path) -> None:
    refs = {"refs/tags/v0.4.0": await Checkout(tree).head()}
    error = await trouble(push_refs(tree, f"http://127.0.0.1:{free_port()}/x.git", refs, LOGIN))
    assert isinstance(error, Unavailable), error.details
    assert error.code == "git.down"


async def test_a_repository_that_is_not_there(tree: Path, server: GitServer) -> None:
    refs = {"refs/tags/v0.4.0": await Checkout(tree).head()}
    error = await trouble(push_refs(tree, server.url("nosuch"), refs, LOGIN))
    assert error.exit_code in (1, 3)
    assert error.what.startswith("127.0.0.1")


async def test_a_commit_is_fetched_without_touching_anything(
    tree: Path, server: GitServer, tmp_path: Path
) -> None:
    other = checkout(tmp_path / "other")
    sha = commit(other, {"a": "elsewhere"})
    await push_refs(other, server.url("mirror"), {"refs/heads/main": sha}, LOGIN)
    before = git(tree, "for-each-ref"), git(tree, "status", "--porcelain")
    await Checkout(tree).fetch(server.url("mirror"), sha, LOGIN)
    assert await Checkout(tree).has(sha)
    assert (git(tree, "for-each-ref"), git(tree, "status", "--porcelain")) == before
    assert not (tree / ".git" / "FETCH_HEAD").exists()


# -- what must not happen ----------------------------------------------------------------------------------------


async def test_the_password_is_in_no_argument_and_no_url(tree: Path, server: GitServer) -> None:
    command = git_command(tree, "push", url := server.url("mirror"), login=LOGIN, url=url)
    assert PASSWORD not in f"{command.argv} {command.env}"
    assert PASSWORD not in repr(command)
    await push_refs(tree, server.url("mirror"), {"refs/tags/v1": await Checkout(tree).head()}, LOGIN)
    sent = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert any(given == f"Basic {sent}" for _, given in server.requests)
    assert not any(PASSWORD in path for path, _ in server.requests)


async def test_a_server_that_sends_git_elsewhere_does_not_get_the_password_there(
    tree: Path, server: GitServer, tmp_path: Path
) -> None:
    """git follows a redirect of its first request, and asks its helper for a login for the new place."""
    sha = await Checkout(tree).head()
    with git_server(tmp_path / "thief") as thief:
        thief.make("mirror")
        server.elsewhere = f"http://{thief.address}"
        for asked in (
            remote_refs(server.url("mirror"), ["refs/tags/*"], LOGIN),
            push_refs(tree, server.url("mirror"), {"refs/tags/v1": sha}, LOGIN),
            Checkout(tree).fetch(server.url("mirror"), "1" * 40, LOGIN),
        ):
            with pytest.raises(Failed) as told:
                await asked
            assert told.value.code == "git.denied"
        assert thief.requests
        sent = {base64.b64decode(given.removeprefix("Basic ")) for _, given in thief.requests}
        assert not any(PASSWORD.encode() in text for text in sent)


async def test_the_operators_hooks_and_credential_helpers_are_not_asked(
    tree: Path, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper of theirs would be given our token to store; a hook could do anything with the environment."""
    mark = tmp_path / "asked"
    home = tmp_path / "home"
    home.mkdir()
    theirs = f'helper = "!f() {{ echo $1 >>{mark}; cat >>{mark}; }}; f"'
    for_it = f'[credential "http://{server.address}"]'
    (home / ".gitconfig").write_text(f"[credential]\n\t{theirs}\n{for_it}\n\t{theirs}\n")
    monkeypatch.setenv("HOME", str(home))
    hook = tree / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    await push_refs(tree, server.url("mirror"), {"refs/tags/v1": await Checkout(tree).head()}, LOGIN)
    assert not mark.exists()


def test_a_servers_name_holds_no_login() -> None:
    assert place_of("https://user:pass@example.com:8443/x.git") == "example.com:8443"
    assert place_of("git@codeberg.org:owner/name.git") == "codeberg.org"
    assert place_of("/srv/mirror.git") == "/srv/mirror.git"
