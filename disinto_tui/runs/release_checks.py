"""Before a release: everything that must be so, looked at at once, and nothing changed.

Each finding stands for itself: what is so, how bad it is, what helps. A release begins only without problems; its
steps look again at what they need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from disinto_tui.adapters.engine import Engine
from disinto_tui.adapters.forge import ForgeClient, quoted, repo_path
from disinto_tui.adapters.git import Checkout, Commit
from disinto_tui.adapters.github import is_github_host
from disinto_tui.adapters.host import free_bytes, is_local
from disinto_tui.adapters.process import Command, run
from disinto_tui.adapters.registry_auth import CredentialSource
from disinto_tui.core.catalog import newest_of
from disinto_tui.core.errors import BadInput, DisintoError, Refused, Unavailable
from disinto_tui.core.image import ImageRef
from disinto_tui.core.redact import Secret
from disinto_tui.core.version import Version
from disinto_tui.core.words import counted, size_text
from disinto_tui.runs.ops_tags import tagged_commit
from disinto_tui.runs.versions import open_registry

NO_USER = "x"
"""The user that goes with a token when none was named: GHCR looks at the token alone."""
BUILD_BYTES = 4_000_000_000
"""Free bytes the engine should have for a build of the agents image and its layers."""

Severity = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `cure` says what to do, "" when nothing is to be done."""

    name: str
    severity: Severity
    text: str
    cure: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON."""
        return asdict(self)


class NotReady(Refused):
    """Something cannot begin. `findings` are all that was looked at, also what is well; one at least is a problem."""

    def __init__(self, what: str, findings: Sequence[Finding], *, code: str) -> None:
        problems = [item for item in findings if item.severity == "problem"]
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            what,
            f"{first.text.rstrip('.')}{more}.",
            first.cure or "Mend it, then try again; nothing was changed.",
            code=code,
            details=[f"✗ {item.name}: {item.text} {item.cure}".rstrip() for item in problems if more],
        )
        self.findings = tuple(findings)


def push_cure(host: str, user: str) -> str:
    """What helps a login that may not push to a registry. `user` is what went with the token, "" or NO_USER when
    nobody named one: other registries than GitHub's look at it."""
    if user in ("", NO_USER) and not is_github_host(host):
        return (
            "Name whose token it is (--user, or the wizard's field for it), or hand over one that may push."
        )
    return "Hand over a token that may (on GHCR a classic one with write:packages)."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be released, and with what. `token` is the forge's, `login` asks for the registry's login;
    `force` allows a version that is not the newest. With `sha` the commit was recorded before: then it alone counts,
    and neither what is checked out by now nor that the branch went on. `credentials` looks at the secrets themselves
    (where from, do they expire, do the mirrors take them)."""

    version: str
    checkout: Path
    branch: str
    forge: str
    repository: str
    images: ImageRef
    endpoint: str
    token: Secret | None = field(default=None, repr=False)
    login: CredentialSource | None = field(default=None, repr=False)
    force: bool = False
    sha: str = ""
    credentials: Callable[[], Awaitable[Sequence[Finding]]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Examined:
    """The findings, and what was learnt on the way: `sha` is the commit to release ("" when that is not clear),
    `root` the checkout's top, `newest` the highest version in the registry, `commits` those since the last tag."""

    findings: tuple[Finding, ...]
    sha: str = ""
    root: str = ""
    newest: str = ""
    commits: tuple[Commit, ...] = ()

    @property
    def problems(self) -> list[Finding]:
        """What keeps the release from beginning."""
        return [finding for finding in self.findings if finding.severity == "problem"]

    def require(self) -> None:
        """Raise NotReady `release.preflight`, naming every problem, when there is one."""
        if self.problems:
            raise NotReady("The release cannot begin.", self.findings, code="release.preflight")


async def examine(wanted: Wanted) -> Examined:
    """Look at everything. Raises BadInput `version.grammar` for what is no version; the rest are findings."""
    version = Version.parse(wanted.version)
    look = _Look(wanted, version)
    parts = (
        ("checkout", look.checkout),
        ("forge", look.forge),
        ("engine", look.engine),
        ("builder", look.builder),
        ("registry", look.registry),
        ("credential", look.credentials),
    )
    found = await asyncio.gather(*(_guarded(name, work) for name, work in parts))
    findings = [finding for part in found for finding in part]
    findings += look.together()
    return Examined(tuple(findings), look.sha, str(look.root or ""), look.newest, tuple(look.commits))


async def _guarded(name: str, work: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """What could not be looked at is a problem of its own, and does not hide the others."""
    try:
        return await work()
    except DisintoError as error:
        return [Finding(name, "problem", f"{error.what} {error.why}", error.now)]


class _Look:
    def __init__(self, wanted: Wanted, version: Version) -> None:
        self.wanted, self.version = wanted, version
        self.head = self.sha = self.newest = self.forge_head = self.tagged = ""
        self.root: Path | None = None
        self.commits: list[Commit] = []

    async def checkout(self) -> list[Finding]:
        """The operator's tree, which is looked at and never changed."""
        here = Checkout(self.wanted.checkout)
        self.root = await here.root()
        if self.wanted.sha:
            return await self._recorded(here)
        self.head = await here.head()
        branch, changes = await here.branch(), await here.changes()
        found = []
        if branch == self.wanted.branch:
            found.append(Finding("branch", "ok", f"{branch} is checked out."))
        else:
            said = f"{branch} is checked out" if branch else "No branch is checked out"
            cure = f"`git switch {self.wanted.branch}` in {self.root}."
            found.append(
                Finding("branch", "problem", f"{said}, and releases are cut from {self.wanted.branch}.", cure)
            )
        tracked = [entry for entry in changes if not entry.startswith("??")]
        strays = len(changes) - len(tracked)
        if tracked:
            text = (
                f"{counted(len(tracked), 'change')} {'is' if len(tracked) == 1 else 'are'} not committed "
                f"({', '.join(entry[3:] for entry in tracked[:3])})."
            )
            found.append(
                Finding("tree", "problem", text, "Commit or stash them; what is built is the commit alone.")
            )
        elif strays:
            found.append(
                Finding(
                    "tree",
                    "warning",
                    f"{counted(strays, 'file')} {'is' if strays == 1 else 'are'} not known to git, and not built.",
                )
            )
        else:
            found.append(Finding("tree", "ok", "Everything is committed."))
        before = newest_of(tag for tag in await here.tags() if tag != self.wanted.version)
        self.commits = await here.commits(self.head, await here.tag(before) if before else "")
        return [*found, await self._version_file(here)]

    async def _recorded(self, here: Checkout) -> list[Finding]:
        """A commit that was recorded has to be here; what is checked out does not matter to it."""
        if not await here.has(self.wanted.sha):
            text = f"The commit {self.wanted.sha[:12]} is not in {self.root}."
            return [
                Finding("checkout", "problem", text, "Fetch it there (`git fetch`), then `disinto resume`.")
            ]
        self.head = self.wanted.sha
        return [await self._version_file(here)]

    async def _version_file(self, here: Checkout) -> Finding:
        told = await here.file(self.head, "VERSION")
        if told is None:
            return Finding("version file", "warning", "The commit has no file VERSION.")
        says, number = told.strip()[:40], str(self.version)[1:]
        if says == number:
            return Finding("version file", "ok", f"VERSION says {says}.")
        cure = f"Put {number} into VERSION, commit, push, then try again."
        return Finding("version file", "problem", f"VERSION says {says!r}, not {self.version}.", cure)

    async def forge(self) -> list[Finding]:
        """Token, rights, the branch and the tag as the forge has them."""
        wanted, found = self.wanted, []
        async with ForgeClient(wanted.forge, wanted.token) as client:
            user = await client.whoami()
            repo = await client.repo(wanted.repository)
            if repo is None:
                text = f"{wanted.repository} is not there, or {user.login} may not see it."
                return [
                    Finding("forge", "problem", text, "Check the repository's name and the token's rights.")
                ]
            if not repo.push:
                text = f"{user.login} may not push to {wanted.repository}, and so make no tag there."
                found.append(
                    Finding("forge", "problem", text, "Give that user the right to write, or another token.")
                )
            else:
                found.append(Finding("forge", "ok", f"{user.login} may make tags in {wanted.repository}."))
            branch = await client.get_or_none(
                f"{repo_path(wanted.repository)}/branches/{quoted(wanted.branch)}"
            )
            commit = branch.get("commit") if isinstance(branch, Mapping) else None
            self.forge_head = str(commit.get("id", "")) if isinstance(commit, Mapping) else ""
            self.tagged = await tagged_commit(client, wanted.repository, wanted.version)
        return found

    async def engine(self) -> list[Finding]:
        """The engine, and room for a build."""
        info = await Engine(self.wanted.endpoint).info()
        found = [Finding("engine", "ok", f"Docker Engine {info.version} builds for {info.platform}.")]
        free = free_bytes(info.root) if is_local(self.wanted.endpoint) else None
        if free is not None:
            enough = free >= BUILD_BYTES
            text = f"{size_text(free)} are free under {info.root}."
            cure = (
                "" if enough else "`docker system df` shows what takes the room; prune images, never volumes."
            )
            found.append(Finding("disk", "ok" if enough else "warning", text, cure))
        return found

    async def builder(self) -> list[Finding]:
        """BuildKit's client."""
        result = await run(Command(("docker", "buildx", "version"), writes=False, timeout=15))
        if not result.ok:
            cure = "Install the buildx plugin (docker-buildx), then try again."
            return [Finding("builder", "problem", "`docker buildx version` does not answer.", cure)]
        return [Finding("builder", "ok", f"{' '.join(result.stdout.split()[:2])}.")]

    async def credentials(self) -> list[Finding]:
        """The secrets, each with its expiry."""
        return [] if self.wanted.credentials is None else list(await self.wanted.credentials())

    async def registry(self) -> list[Finding]:
        """Whether this login may push there, and what is there already."""
        images, source = self.wanted.images, self.wanted.login
        engine = Engine(self.wanted.endpoint)
        login = await source.credential(images.registry) if source is not None else None
        user = login.username if login is not None else ""
        found = []
        async with await open_registry(images.registry, engine, source) as client:
            if await client.can_push(images.repository):
                found.append(Finding("registry", "ok", f"This login may push to {images.name}."))
            elif login is None:
                text = f"{images.registry} wants a login of who pushes, and none was found."
                cure = "`disinto credentials` says what is looked for; `disinto docs credentials` how to make it."
                found.append(Finding("registry", "problem", text, cure))
            else:
                cure = push_cure(images.registry, user)
                text = f"This login may not push to {images.name}."
                found.append(Finding("registry", "problem", text, cure))
            try:
                tags = await client.tags(images.repository)
            except Unavailable as error:
                if error.code == "registry.denied" and found[0].cure and (login is None or login.handed):
                    return found
                raise
            except BadInput as error:
                if error.code != "image.repository":
                    raise
                tags = []  # the first push makes it
        self.newest = newest_of(tags)
        if self.wanted.version in tags and self.wanted.sha:
            text = (
                f"{images.name}:{self.wanted.version} is there; the push tells whether it is this release's."
            )
            found.append(Finding("image", "warning", text))
        elif self.wanted.version in tags:
            text = f"{images.name}:{self.wanted.version} is there already."
            cure = "A version is never overwritten: release the next one, or `disinto resume` the run that pushed it."
            found.append(Finding("image", "problem", text, cure))
        return [*found, *self._order()]

    def _order(self) -> list[Finding]:
        newest = Version.try_parse(self.newest) if self.newest else None
        if newest is None or newest < self.version or (newest == self.version and self.wanted.sha):
            text = (
                f"{self.version} is the newest, {newest} was before it."
                if newest
                else "It is the first version there."
            )
            if newest == self.version:
                text = f"{self.version} is the newest."
            return [Finding("order", "ok", text)]
        if self.wanted.force:
            return [Finding("order", "warning", f"{self.version} is not newer than {newest}, and is forced.")]
        cure = "Release a higher version, or give --force for a fix of an older line; `latest` then stays."
        return [Finding("order", "problem", f"{self.version} is not newer than {newest}.", cure)]

    def together(self) -> list[Finding]:
        """What the checkout and the forge say of each other, once both have spoken."""
        if not (self.head and self.forge_head):
            return []
        found = []
        if self.head == self.forge_head:
            self.sha = self.head
            found.append(
                Finding("commit", "ok", f"{self.head[:12]} is the head of {self.wanted.branch} there, too.")
            )
        elif self.wanted.sha:
            self.sha = self.head
            went_on = f"{self.wanted.branch} is at {self.forge_head[:12]} by now"
            text = f"{went_on}; {self.head[:12]}, as recorded, is released."
            found.append(Finding("commit", "warning", text))
        else:
            text = f"The checkout is at {self.head[:12]}, {self.wanted.branch} on the forge at {self.forge_head[:12]}."
            cure = "Pull or push until both are the same; nothing is ever reset from here."
            found.append(Finding("commit", "problem", text, cure))
        if not self.tagged:
            found.append(Finding("tag", "ok", f"There is no tag {self.version} yet."))
        elif self.tagged == self.head:
            found.append(Finding("tag", "ok", f"The tag {self.version} is at this very commit already."))
        else:
            text = f"The tag {self.version} is there, at {self.tagged[:12]}."
            cure = "A tag is never moved: release the next version, or find out who made it."
            found.append(Finding("tag", "problem", text, cure))
        return found
