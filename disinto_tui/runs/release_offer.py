"""What the wizard of a release offers before anything is decided: which version, of what, from where.

Looks only. The checkout answers at once; the registry and the forge when they do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from disinto_tui.adapters.git import Checkout, Commit
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.journal import list_runs
from disinto_tui.core.catalog import newest_of
from disinto_tui.core.errors import BadInput, DisintoError
from disinto_tui.core.image import ImageRef, parse_image
from disinto_tui.core.redact import Secret
from disinto_tui.core.version import Proposal, Version, proposals

if TYPE_CHECKING:
    from disinto_tui.adapters.engine import Engine
    from disinto_tui.adapters.registry_auth import CredentialSource

_LOOKED_AT_RUNS = 200


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the wizard's fields begin with: as in the last release from here, else what is likely.

    `checkout` is a directory ("" when none is likely); `images`, `user` and `secret` are "" for what is usual.
    """

    checkout: str = ""
    images: str = ""
    user: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """A checkout: its top, the branch ("" when none is checked out) and the commit, the highest version among its tags
    ("" without one), what the commit's VERSION says ("" without one), and the commits since that tag, newest first."""

    root: Path
    branch: str
    head: str
    tag: str = ""
    told: str = ""
    commits: tuple[Commit, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What is published: `newest` of `images` ("" when nothing is); `commits` since it when the checkout does not know
    its tag (None: it does, or nobody knows). `trouble` is why the registry did not tell."""

    images: str
    newest: str = ""
    commits: tuple[Commit, ...] | None = None
    trouble: DisintoError | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """The versions to choose from, what they follow ("" for nothing), and the commits that would be released."""

    versions: tuple[Proposal, ...]
    newest: str = ""
    commits: tuple[Commit, ...] = ()

    @property
    def likely(self) -> Proposal:
        """The one that VERSION names, else the smallest step."""
        return next((item for item in self.versions if item.told), self.versions[0])


def offer(tree: Tree | None, published: Published | None) -> Offer:
    """Put together what is known by now; either may be missing."""
    tags = [tag for tag in (tree.tag if tree else "", published.newest if published else "") if tag]
    newest = newest_of(tags)
    known = published.commits if published is not None and published.newest == newest else None
    commits = known if known is not None else tree.commits if tree is not None else ()
    versions = proposals(Version.try_parse(newest) if newest else None, tree.told if tree else "")
    return Offer(tuple(versions), newest, tuple(commits))


def beginning(instance: Instance, here: Path) -> Beginning:
    """What to begin with, `here` being the directory the tool was started in. Raises BadInput `files.rights`."""
    for run in list_runs(instance)[:_LOOKED_AT_RUNS]:
        plan = run.plan()
        if plan.kind != "release":
            continue
        used = plan.facts.get("variables") or {}
        checkout = str(used.get("checkout", ""))
        return Beginning(
            checkout if Path(checkout).is_dir() else _likely(here),
            str(used.get("images", "")),
            str(used.get("user", "")),
            str(plan.facts.get("secret", "")),
        )
    return Beginning(_likely(here))


def _likely(here: Path) -> str:
    """The checkout that a directory is in, "" when it is in none."""
    return next((str(place) for place in (here, *here.parents) if (place / ".git").exists()), "")


async def look_at_tree(directory: Path) -> Tree:
    """Look at a checkout. Raises BadInput `git.none`, Failed `git.failed`, Unavailable."""
    here = Checkout(directory)
    root = await here.root()
    head, branch, tags = await asyncio.gather(here.head(), here.branch(), here.tags())
    told, newest = await here.file(head, "VERSION") or "", newest_of(tags)
    since = await here.tag(newest) if newest else ""
    commits = await here.commits(head, since)
    return Tree(root, branch, head, newest, told.strip()[:40], tuple(commits))


async def look_at_published(
    instance: Instance, tree: Tree | None, images: str = "", user: str = "", secret: str = ""
) -> Published:
    """Ask the registry for the newest version, and the forge for its commit when the checkout has no such tag.

    `images` defaults to the factory's own repository; `user` and `secret` (a name) are used where it wants a login.
    Raises BadInput (a repository that is none, no project); what does not answer is `trouble`.
    """
    from disinto_tui.runs.credentials import project_of
    from disinto_tui.runs.env import load_env
    from disinto_tui.runs.lifecycle import repository_of

    project = project_of(instance)
    env = (await load_env(instance)).values
    where = parse_image(images) if images else repository_of(instance, env)
    where = ImageRef(where.registry, where.repository)
    try:
        newest = await _newest(instance, where, user, secret)
    except DisintoError as error:
        return Published(where.name, trouble=error)
    if tree is None or not newest or newest == tree.tag:
        return Published(where.name, newest)
    token = Secret(env["FORGE_TOKEN"]) if env.get("FORGE_TOKEN") else None
    return Published(where.name, newest, await _since(tree, newest, project.forge_url, project.repo, token))


async def _newest(instance: Instance, where: ImageRef, user: str, secret: str) -> str:
    """Asked with Docker's own stored login or none, which is enough for most; else with the push credential."""
    from disinto_tui.adapters.credentials import CredentialFinder
    from disinto_tui.adapters.engine import Engine, find_endpoint
    from disinto_tui.runs.credentials import PUSH_SECRET, gather, needs_of, push_login

    engine = Engine(await find_endpoint())
    try:
        return await _listed(where, engine, None)
    except DisintoError as error:
        if error.code != "registry.denied":
            raise
        gathered = await gather(needs_of(where, secret or PUSH_SECRET, {}), CredentialFinder(instance.path))
        found = gathered.secrets.get(gathered.push_secret, "")
        if not found:
            raise
        return await _listed(where, engine, push_login(where.registry, user, found, gathered.push_secret))


async def _listed(where: ImageRef, engine: Engine, login: CredentialSource | None) -> str:
    from disinto_tui.runs.versions import open_registry

    async with await open_registry(where.registry, engine, login) as client:
        try:
            return newest_of(await client.tags(where.repository))
        except BadInput as error:
            if error.code != "image.repository":
                raise
            return ""  # the first push makes it


async def _since(
    tree: Tree, newest: str, forge: str, repository: str, token: Secret | None
) -> tuple[Commit, ...] | None:
    """The commits since a version that only the forge knows; None when it does not, or does not answer."""
    from disinto_tui.adapters.forge import ForgeClient
    from disinto_tui.runs.ops_tags import tagged_commit

    here = Checkout(tree.root)
    try:
        async with ForgeClient(forge, token) as client:
            sha = await tagged_commit(client, repository, newest)
        if not sha or not await here.has(sha):
            return None
        return tuple(await here.commits(tree.head, sha))
    except DisintoError:
        return None
