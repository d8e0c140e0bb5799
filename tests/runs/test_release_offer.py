"""What the wizard of a release offers: from a real checkout, a forge, and what was released from here before."""

from __future__ import annotations

from pathlib import Path

import pytest

from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import create_run
from disinto_tui.adapters.registry_auth import CredentialSource
from disinto_tui.core.errors import BadInput, Unavailable
from disinto_tui.core.image import ImageRef
from disinto_tui.core.plan import Plan
from disinto_tui.runs import release_offer
from disinto_tui.runs.release_offer import (
    Beginning,
    Published,
    beginning,
    look_at_published,
    look_at_tree,
    offer,
)
from tests.support.filing import Filer, new_filer
from tests.support.forge_double import ForgeDouble
from tests.support.forge_state import Tag
from tests.support.git_server import checkout, commit, git

DENIED = Unavailable("Not for us.", "It is private.", "Log in.", code="registry.denied")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout on main: VERSION 0.4.0, a tag v0.3.0 and a commit since."""
    made = checkout(tmp_path / "tree")
    commit(made, {"VERSION": "0.3.0\n"}, "release v0.3.0")
    git(made, "tag", "v0.3.0")
    git(made, "tag", "nightly")
    commit(made, {"VERSION": "0.4.0\n"}, "the next one")
    return made


@pytest.fixture
def filer(tmp_path: Path, forge: ForgeDouble) -> Filer:
    made = new_filer(tmp_path, forge)
    env = made.directory / ".env"
    env.write_text(env.read_text() + "AGENTS_IMAGE=127.0.0.1:9/acme/agents:v0.3.0\n")
    return made


async def test_a_checkout_tells_its_branch_its_version_and_what_is_new(tree: Path) -> None:
    (tree / "deep").mkdir()
    found = await look_at_tree(tree / "deep")
    assert (found.root, found.branch, found.tag, found.told) == (tree, "main", "v0.3.0", "0.4.0")
    assert [item.subject for item in found.commits] == ["the next one"]
    told = offer(found, Published("x/agents", "v0.3.0"))
    assert (str(told.likely.version), told.newest) == ("v0.4.0", "v0.3.0")
    with pytest.raises(BadInput, match="is no git checkout"):
        await look_at_tree(tree.parent)


async def test_the_registry_may_be_ahead_of_the_tags_and_the_forge_knows_the_commit(
    tree: Path, filer: Filer, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = git(tree, "rev-parse", "HEAD")
    filer.repo("shop").tags["v0.4.0"] = Tag("v0.4.0", "", released, released)
    commit(tree, {"VERSION": "0.5.0\n"}, "after it")

    async def newest(*_: object) -> str:
        return "v0.4.0"

    monkeypatch.setattr(release_offer, "_newest", newest)
    found = await look_at_tree(tree)
    published = await look_at_published(filer.instance, found)
    assert (published.images, published.newest) == ("127.0.0.1:9/acme/agents", "v0.4.0")
    assert published.commits is not None
    told = offer(found, published)
    assert [item.subject for item in told.commits] == ["after it"]
    assert (told.newest, str(told.likely.version)) == ("v0.4.0", "v0.5.0")
    # A tag that the forge does not have either leaves what the checkout knows.
    del filer.repo("shop").tags["v0.4.0"]
    published = await look_at_published(filer.instance, found)
    assert [item.subject for item in offer(found, published).commits] == ["after it", "the next one"]


async def test_a_registry_that_wants_a_login_is_asked_again_with_the_push_credential(
    filer: Filer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    async def listed(where: ImageRef, engine: object, login: CredentialSource | None) -> str:
        asked.append(login is not None)
        if login is None:
            raise DENIED
        return "v0.3.0"

    monkeypatch.setattr(release_offer, "_listed", listed)
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    found = await look_at_published(filer.instance, None)
    assert (found.trouble, asked) == (DENIED, [False])  # there is nothing to ask with
    monkeypatch.setenv("GITHUB_TOKEN", "a-token-of-somebody")
    found = await look_at_published(filer.instance, None, user="ops")
    assert (found.newest, found.trouble, asked) == ("v0.3.0", None, [False, False, True])


def test_it_begins_with_what_was_used_last(tmp_path: Path, tree: Path) -> None:
    instance = Instance.at(tmp_path / "factory")
    instance.path.mkdir()
    assert beginning(instance, tmp_path) == Beginning()
    assert beginning(instance, tree) == Beginning(str(tree))
    variables = {"checkout": str(tree), "images": "x/agents", "user": "ops"}
    facts = {"variables": variables, "secret": "GHCR_TOKEN"}
    create_run(instance, Plan("release", "Release v1", str(instance.path), "p", "", (), facts=facts))
    create_run(instance, Plan("switch", "Switch", str(instance.path), "p", "", ()))
    assert beginning(instance, tmp_path) == Beginning(str(tree), "x/agents", "ops", "GHCR_TOKEN")
    tree.rename(tmp_path / "moved")
    assert beginning(instance, tmp_path / "moved").checkout == str(tmp_path / "moved")
