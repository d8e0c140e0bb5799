"""What the forge double remembers: users, tokens, repositories. In memory and deterministic.

Ids, dates and hashes come from counters and names, never from the clock or a random source, so that
two runs of a test see the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

ADMIN_TOKEN = "a" * 39 + "1"  # nosec: a made-up token of a made-up forge
USER_TOKEN = "b" * 39 + "2"
ADMIN_PASSWORD = "admin-password"
USER_PASSWORD = "user-password"
CREATED = "2026-04-01T00:00:00Z"

Json = dict[str, Any]


def sha(*parts: object) -> str:
    """A commit- or token-like 40 digits, always the same for the same parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:40]


@dataclass
class Token:
    id: int
    name: str
    value: str
    scopes: list[str]

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "name": self.name,
            "scopes": self.scopes,
            "token_last_eight": self.value[-8:],
            "sha1": "",
        }


@dataclass
class User:
    id: int
    login: str
    email: str
    password: str
    is_admin: bool = False
    tokens: list[Token] = field(default_factory=list)

    def to_json(self, *, to_admin: bool = False) -> Json:
        # A forge tells only admins (and the user) who is an admin.
        return {
            "id": self.id,
            "login": self.login,
            "login_name": "",
            "full_name": "",
            "email": self.email,
            "avatar_url": "",
            "is_admin": self.is_admin if to_admin else False,
            "created": CREATED,
            "username": self.login,
        }


@dataclass
class Tag:
    name: str
    message: str
    commit: str
    id: str
    released: bool = False


@dataclass
class Review:
    id: int
    user: str
    state: str
    body: str
    commit: str


@dataclass
class Pull:
    number: int
    title: str
    body: str
    head: str
    base: str
    user: str
    head_sha: str
    state: str = "open"
    merged: bool = False
    merged_by: str | None = None
    merge_sha: str | None = None
    mergeable: bool = True
    scheduled: bool = False
    # how it is merged then
    style: str = "merge"
    # whose schedule it is: the merge is theirs
    scheduled_by: str = ""
    # how many more questions are answered while the forge still checks for conflicts (it does so afterwards)
    checking: int = 0
    labels: list[int] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)


@dataclass
class Repo:
    id: int
    owner: str
    name: str
    private: bool
    default_branch: str
    description: str = ""
    # branch -> commit ids, the newest last
    branches: dict[str, list[str]] = field(default_factory=dict)
    # branch -> path -> bytes
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)
    # branch -> the files it began with
    forks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    protections: dict[str, Json] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    collaborators: dict[str, str] = field(default_factory=dict)
    labels: list[Json] = field(default_factory=list)
    issue_labels: dict[int, list[int]] = field(default_factory=dict)
    statuses: dict[str, list[Json]] = field(default_factory=dict)
    # commit -> (its parents, its message)
    commits: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    next_number: int = 1

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def commit(self, branch: str, why: str) -> str:
        """A new commit on top of `branch`."""
        history = self.branches.setdefault(branch, [])
        identity = sha(self.full_name, branch, len(history), history[-1:], why)
        self.commits[identity] = tuple(history[-1:]), why
        history.append(identity)
        return identity

    def write(self, branch: str, path: str, content: bytes | None, why: str) -> str:
        """Write (or, with None, delete) a file in a commit of its own."""
        tree = self.trees.setdefault(branch, {})
        if content is None:
            tree.pop(path, None)
        else:
            tree[path] = content
        return self.commit(branch, why)

    def rule_of(self, branch: str) -> Json | None:
        """The rule that holds for a branch: the one of its very name, else the first pattern that fits."""
        if branch in self.protections:
            return self.protections[branch]
        return next((rule for name, rule in self.protections.items() if _fits(branch, name)), None)

    def fork_branch(self, new: str, old: str) -> None:
        self.branches[new] = list(self.branches[old])
        self.trees[new] = dict(self.trees.get(old, {}))
        self.forks[new] = dict(self.trees[new])

    def changed_on(self, branch: str) -> dict[str, bytes | None]:
        """What a branch changed since it began; None is a file that it removed."""
        before, now = self.forks.get(branch, {}), self.trees.get(branch, {})
        names = sorted(before.keys() | now.keys())
        return {name: now.get(name) for name in names if before.get(name) != now.get(name)}

    def resolve(self, ref: str) -> str | None:
        """The commit that a branch, a tag or a commit id (or its beginning) names."""
        ref = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        if ref in self.branches:
            return self.branches[ref][-1] if self.branches[ref] else None
        if ref in self.tags:
            return self.tags[ref].commit
        for history in self.branches.values():
            for known in history:
                if len(ref) >= 7 and known.startswith(ref):
                    return known
        return None

    def tree_at(self, ref: str) -> dict[str, bytes] | None:
        """The files of a branch, or of a tag or commit by way of a branch that holds it."""
        if ref in self.trees:
            return self.trees[ref]
        commit = self.resolve(ref)
        for branch, history in self.branches.items():
            if commit in history:
                return self.trees.get(branch, {})
        return None


def _fits(branch: str, pattern: str) -> bool:
    """Whether a rule's pattern fits: `*` stops at a slash, `**` does not."""
    if "**" in pattern:
        return fnmatchcase(branch, pattern)
    parts, wanted = branch.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


@dataclass
class ForgeState:
    """One forge. `require_signin` is REQUIRE_SIGNIN_VIEW: nothing at all for the anonymous."""

    require_signin: bool = False
    # whether the list of a user's tokens is for basic authentication alone, as in some versions
    basic_for_tokens: bool = False
    version: str = "11.0.0+gitea-1.22.0"
    users: dict[str, User] = field(default_factory=dict)
    orgs: dict[str, Json] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    packages: dict[str, list[Json]] = field(default_factory=dict)
    # what was asked, in order: (method, path, login or "")
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    # a path (prefix) -> status to answer instead, for failure tests
    broken: dict[str, int] = field(default_factory=dict)
    # how long a new pull request is being checked for conflicts: as many questions
    checking: int = 0
    # (method, end of a path): 502 and nothing done; each once
    failing: list[tuple[str, str]] = field(default_factory=list)
    # (method, end of a path): the work is done, and the answer never arrives; each once
    late: list[tuple[str, str]] = field(default_factory=list)
    # (method, end of a path): what happens once the work is done, before the answer
    meanwhile: dict[tuple[str, str], Callable[[], None]] = field(default_factory=dict)
    _counter: int = 0

    def next_id(self) -> int:
        self._counter += 1
        return self._counter

    def add_user(
        self, login: str, password: str = "password", *, admin: bool = False, token: str = ""
    ) -> User:
        user = User(self.next_id(), login, f"{login}@disinto.local", password, admin)
        if token:
            user.tokens.append(Token(self.next_id(), "given", token, ["all"]))
        self.users[login] = user
        return user

    def add_repo(
        self, owner: str, name: str, *, private: bool = False, branch: str = "main", init: bool = True
    ) -> Repo:
        repo = Repo(self.next_id(), owner, name, private, branch)
        self.repos[repo.full_name.lower()] = repo
        if init:
            repo.write(branch, "README.md", f"# {name}\n".encode(), "Initial commit")
        return repo

    def repo(self, owner: str, name: str) -> Repo | None:
        return self.repos.get(f"{owner}/{name}".lower())

    def user_of_token(self, value: str) -> User | None:
        for user in self.users.values():
            if any(token.value == value for token in user.tokens):
                return user
        return None


def default_state(*, require_signin: bool = False) -> ForgeState:
    """An admin, an ordinary user, the factory's own repository and one project with its ops repository."""
    state = ForgeState(require_signin=require_signin)
    state.add_user("disinto-admin", ADMIN_PASSWORD, admin=True, token=ADMIN_TOKEN)
    state.add_user("dev-bot", USER_PASSWORD, token=USER_TOKEN)
    for owner, name in (("disinto-admin", "disinto"), ("acme", "shop"), ("acme", "shop-ops")):
        if owner not in state.users:
            state.orgs[owner] = {"id": state.next_id(), "username": owner, "visibility": "public"}
        state.add_repo(owner, name).collaborators["dev-bot"] = "write"
    return state
