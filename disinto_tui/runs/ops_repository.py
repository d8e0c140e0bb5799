"""What an ops repository holds, as the forge tells it: files, pull requests, reviews, and what protects its branch."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from disinto_tui.adapters.forge import PAGE, ForgeClient, ForgeRepo, quoted, repo_path
from disinto_tui.core.approval import Gap, Reviews, count_reviews, gaps_of_branch, gaps_of_rule
from disinto_tui.core.errors import BadInput

_RECENT_PAGES = 4
"""Pull requests looked at beyond the open ones: the newest 200. An ops repository gets more every day."""


async def repository(client: ForgeClient, slug: str) -> ForgeRepo:
    """The repository. Raises BadInput `request.repository` when it is not there for this token."""
    found = await client.repo(slug)
    if found is None:
        raise BadInput(
            f"There is no ops repository {slug}.",
            "It is not on the forge, or the token's user may not see it.",
            "Name it as `ops_repo` in the project's file, or give that user the right to read it.",
            code="request.repository",
        )
    return found


async def file_at(client: ForgeClient, slug: str, path: str, ref: str) -> bytes | None:
    """The file's bytes on a branch; None when there is none (or no such branch)."""
    found = await client.get_or_none(f"{repo_path(slug)}/contents/{path}", {"ref": ref})
    content = found.get("content") if isinstance(found, Mapping) else None
    if not isinstance(content, str):
        return None
    try:
        return base64.b64decode(content)
    except (binascii.Error, ValueError):
        return None


async def names_in(client: ForgeClient, slug: str, directory: str, ref: str) -> list[str]:
    """The names in a directory of a branch; [] when there is none."""
    found = await client.get_or_none(f"{repo_path(slug)}/contents/{directory}", {"ref": ref})
    items = found if isinstance(found, list) else ()
    return [item["name"] for item in items if isinstance(item, Mapping) and isinstance(item.get("name"), str)]


async def tip_of(client: ForgeClient, slug: str, branch: str) -> str | None:
    """The commit a branch is at; None when there is no such branch."""
    found = await client.get_or_none(f"{repo_path(slug)}/branches/{quoted(branch)}")
    commit = found.get("commit") if isinstance(found, Mapping) else None
    sha = commit.get("id") if isinstance(commit, Mapping) else None
    return sha if isinstance(sha, str) else None


# -- pull requests -----------------------------------------------------------------------------------------------


def branch_in(pull: Mapping[str, Any], slug: str) -> str:
    """The branch of this very repository that a pull request comes from; "" for one of a fork.

    Once its branch is deleted, `ref` is `refs/pull/N/head` and only `label` keeps the name.
    """
    head = pull.get("head")
    if not isinstance(head, Mapping):
        return ""
    other = head.get("repo")
    if isinstance(other, Mapping) and str(other.get("full_name", slug)).lower() != slug.lower():
        return ""
    ref = str(head.get("ref", ""))
    return str(head.get("label", "")) if ref.startswith("refs/pull/") else ref


async def pulls(client: ForgeClient, slug: str) -> list[Mapping[str, Any]]:
    """Every open pull request and the newest of the others, newest first."""
    path = f"{repo_path(slug)}/pulls"
    found = {item["number"]: item for item in await client.get_all(path, {"state": "open"}) if _sound(item)}
    for page in range(1, _RECENT_PAGES + 1):
        items = await client.get(path, {"state": "all", "limit": PAGE, "page": page})
        items = items if isinstance(items, list) else []
        found |= {item["number"]: item for item in items if _sound(item)}
        if len(items) < PAGE:
            break
    return [found[number] for number in sorted(found, reverse=True)]


def _sound(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("number"), int)


def base_in(pull: Mapping[str, Any]) -> str:
    """The branch that a pull request is to be merged into."""
    base = pull.get("base")
    return str(base.get("ref", "")) if isinstance(base, Mapping) else ""


async def pulls_from(client: ForgeClient, slug: str, branch: str, base: str) -> list[Mapping[str, Any]]:
    """The pull requests from a branch of the repository into another, an open one first, then the newest."""
    found = [
        item for item in await pulls(client, slug) if (branch_in(item, slug), base_in(item)) == (branch, base)
    ]
    return sorted(found, key=lambda item: item.get("state") != "open")


async def reviews_of(client: ForgeClient, slug: str, number: int) -> Reviews:
    """Who approves and who rejects."""
    return count_reviews(await client.get_all(f"{repo_path(slug)}/pulls/{number}/reviews"))


async def files_of(client: ForgeClient, slug: str, number: int) -> list[str]:
    """The files that a pull request changes."""
    items = await client.get_all(f"{repo_path(slug)}/pulls/{number}/files")
    return [str(item.get("filename", "")) for item in items if isinstance(item, Mapping)]


def login_in(item: Mapping[str, Any], key: str) -> str:
    """The login of the user under a key, "" when there is none."""
    user = item.get(key)
    login = user.get("login") if isinstance(user, Mapping) else None
    return login if isinstance(login, str) else ""


# -- protection --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Protection:
    """What protects a branch. `whole` is whether the rule itself could be read (a repository's admins may);
    `rule` is None without one, or when it could not be. `may_merge` is about the token's user."""

    whole: bool
    rule: Mapping[str, Any] | None
    gaps: tuple[Gap, ...]
    approvals: int
    may_merge: bool

    @property
    def essential(self) -> tuple[Gap, ...]:
        """The gaps that make an approval needless."""
        return tuple(gap for gap in self.gaps if gap.essential)

    @property
    def words(self) -> str:
        """What is missing, named."""
        return "; ".join(f"{gap.words} ({gap.key})" for gap in self.gaps)


async def protection_of(client: ForgeClient, slug: str, branch: str, *, admin: bool) -> Protection:
    """What protects a branch: its own rule, or the pattern that holds for it. `admin` is the token's right there.

    Raises BadInput `request.branch` when there is no such branch.
    """
    root = repo_path(slug)
    found = await client.get_or_none(f"{root}/branches/{quoted(branch)}")
    if not isinstance(found, Mapping):
        raise BadInput(
            f"{slug} has no branch {branch}.",
            "An empty repository has none; what is approved is merged into it.",
            "Make a first commit there, then try again.",
            code="request.branch",
        )
    approvals = found.get("required_approvals")
    number = approvals if isinstance(approvals, int) else 0
    may_merge = found.get("user_can_merge") is not False
    if not admin:
        return Protection(False, None, gaps_of_branch(found), number, may_merge)
    name = found.get("effective_branch_protection_name") if found.get("protected") else ""
    rule = (
        await client.get_or_none(f"{root}/branch_protections/{quoted(name)}")
        if isinstance(name, str) and name
        else None
    )
    if not isinstance(rule, Mapping):
        # A forge that does not tell the name still tells that there is something.
        gaps = gaps_of_branch(found)
        return Protection(not found.get("protected"), None, gaps, number, may_merge)
    return Protection(True, rule, gaps_of_rule(rule), number, may_merge)
