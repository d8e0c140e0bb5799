"""Rules for single values of a project file: a value in, a Finding out, or None when the value is sound.

No message repeats a value that could hold a secret: an address is named by its fault alone.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from .errors import BadInput
from .image import parse_image
from .project_schema import ROLE_BOTS, ROLES
from .version import Version

Severity = Literal["error", "warning"]

_SEGMENT = r"[A-Za-z0-9._-]+"
_NAME = re.compile(rf"\A{_SEGMENT}\Z")
_SLUG = re.compile(rf"\A{_SEGMENT}/{_SEGMENT}\Z")
_AGENT = re.compile(r"\A[a-z]([a-z0-9]|-[a-z0-9])*\Z")
_FORGE_USER = re.compile(r"\A[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?\Z")
_COMPOSE_PROJECT = re.compile(r"\A[a-z0-9][a-z0-9_-]*\Z")
_MIRROR_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*\Z")
_TAG = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_SCP_STYLE = re.compile(r"\A(?:[^\s@/:]+@)?[^\s@/:]+:(?!//)\S+\Z")
_BAD_IN_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a value: a message without a final stop, and a cure ("" when none is known)."""

    message: str
    hint: str = ""
    severity: Severity = "error"


def shown(value: str, limit: int = 40) -> str:
    """A value fit for a message: quoted, on one line, cut; never what could be a secret."""
    if "@" in value or "://" in value:
        return "the value"
    text = "".join(c if c.isprintable() else "\ufffd" for c in value[:limit])
    return f"“{text}{'…' if len(value) > limit else ''}”"


def nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    """The known word that `word` most likely stands for, or "". Case and - or _ do not count."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    match = get_close_matches(word.lower().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[match[0]] if match else ""


def check_name(value: str) -> Finding | None:
    """A project name: it becomes a directory and a file name (upstream: clone directory, PROJECT_NAME)."""
    if value in (".", "..") or value.startswith("-"):
        return Finding(f"{shown(value)} cannot be a directory's name", "begin with a letter or a digit")
    if not _NAME.match(value):
        hint = re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-.")
        return Finding(
            f"{shown(value)} has other characters than letters, digits, dots, dashes and underscores",
            f"write {hint}" if hint and "@" not in value else "",
        )
    return None


def check_slug(value: str) -> Finding | None:
    """A repository on the forge, `owner/name`."""
    if _SLUG.match(value) and not any(
        part in (".", "..") or part.startswith("-") for part in value.split("/")
    ):
        if value.endswith(".git"):
            return Finding("a repository is named without .git", f"write {value.removesuffix('.git')}")
        return None
    parts = [part for part in re.split(r"[/:]", value) if part]
    hint = "write owner/name"
    if "://" in value and len(parts) >= 2 and re.match(_SLUG, "/".join(parts[-2:])):
        hint = f"write {'/'.join(parts[-2:]).removesuffix('.git')}; the forge's address is forge_url"
    return Finding(f"{shown(value)} is not owner/name", hint)


def check_branch(value: str) -> Finding | None:
    """A branch name, after the rules of `git check-ref-format`."""
    bad = (
        _BAD_IN_BRANCH.search(value)
        or value.startswith(("-", "/"))
        or value.endswith(("/", ".", ".lock"))
        or any(part.startswith(".") or part.endswith(".lock") for part in value.split("/"))
        or value == "@"
    )
    return Finding(f"{shown(value)} cannot be a branch name") if bad else None


def check_path(value: str) -> Finding | None:
    """A directory of the host. Upstream's scripts use it from any current directory."""
    if any(not c.isprintable() for c in value):
        return Finding("the path has characters that cannot be printed")
    if not value.startswith(("/", "~/", "$")):
        return Finding(
            f"{shown(value)} is relative, and upstream's scripts run from any directory",
            "write an absolute path",
            "warning",
        )
    return None


def split_url(value: str) -> SplitResult | None:
    """`value` as an http(s) address with a host and a sound port, or None."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    sound = parts.scheme in ("http", "https") and parts.hostname and not re.search(r"[\s\\]", value)
    return parts if sound else None


def is_loopback(host: str | None) -> bool:
    """Whether a host name means the machine it is used on."""
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(value: str) -> Finding | None:
    """An http(s) address without credentials, query and fragment."""
    parts = split_url(value)
    if parts is None:
        bare = value.strip()
        if bare and "://" not in bare and "@" not in bare and split_url("http://" + bare):
            return Finding("the address does not say http:// or https://", f"write http://{bare}")
        if not re.match(r"https?://", value):
            return Finding("the address does not begin with http:// or https://")
        return Finding("the address has no usable host and port", "write http://host:port")
    if parts.username is not None or parts.password is not None:
        return Finding(
            "the address holds a user name or password, and this file is no place for secrets",
            "leave out what stands before the @",
        )
    if parts.query or parts.fragment or value.endswith(("?", "#")):
        return Finding("the address has a query or a fragment", "leave out what follows ? or #")
    return None


def check_mirror_name(name: str) -> Finding | None:
    """Upstream puts the name into a shell variable, and skips names that cannot be one."""
    if _MIRROR_NAME.match(name):
        return None
    return Finding(
        "agents skip this mirror: its name is not made of letters, digits and underscores",
        f"name it {re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_') or 'mirror'}",
        "warning",
    )


def check_mirror_url(value: str) -> Finding | None:
    """A git URL that carries no secret: a user alone may stand before @ over ssh, nothing over http."""
    if not value or re.search(r"[\s\x00-\x1f]", value) or value.startswith("-"):
        return Finding("it is not a git URL", "write git@host:owner/name.git or https://host/owner/name.git")
    if "://" not in value:
        if value.startswith(("/", "./", "../")) or _SCP_STYLE.match(value):
            return None
        return Finding("it is not a git URL", "write git@host:owner/name.git or https://host/owner/name.git")
    try:
        parts = urlsplit(value)
        user, password = parts.username, parts.password
        _ = parts.port
    except ValueError:
        return Finding("the URL has no usable host and port")
    if parts.scheme not in ("http", "https", "ssh", "git", "file", "git+ssh"):
        return Finding("git has no such kind of URL", "use ssh://, https:// or git@host:path")
    if password is not None or (user is not None and parts.scheme in ("http", "https")) or parts.query:
        return Finding(
            "the URL holds a secret, which would end up in git's configuration and logs",
            "leave out what stands before the @ and let git ask its credential helper",
        )
    return None


def check_agent_name(name: str) -> Finding | None:
    """Upstream's rule for names of agents: they become service, volume and variable names."""
    if _AGENT.match(name):
        return None
    better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    while better and not better[0].isalpha():
        better = better[1:].lstrip("-")
    return Finding(
        "an agent's name has small letters and digits, with single dashes between them",
        f"name it {better}" if _AGENT.match(better) else "",
    )


def check_forge_user(value: str) -> Finding | None:
    """The user name becomes part of a variable (`FORGE_TOKEN_<USER>`), so it takes no dot."""
    if not _FORGE_USER.match(value):
        return Finding(
            f"{shown(value)} has other characters than letters, digits, dashes and underscores",
            "the name becomes part of a variable in .env",
        )
    if value.lower() in ROLE_BOTS:
        return Finding(
            f"{value} is one of the factory's own bots; two agents under one name undo each other's work",
            "leave it out for <name>-bot",
            "warning",
        )
    return None


def check_roles(roles: tuple[str, ...]) -> Finding | None:
    """Known roles only: an agent with another one starts, finds nothing to do and says nothing."""
    if not roles:
        return Finding("no role, so the agent would do nothing", 'leave the key out for ["dev"]')
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        near = nearest(unknown[0], ROLES)
        known = ", ".join(ROLES)
        return Finding(
            f"{', '.join(map(shown, unknown))} is no role", f"did you mean {near}?" if near else known
        )
    if len(set(roles)) != len(roles):
        return Finding("a role is named twice", severity="warning")
    return None


def check_endpoint(value: str) -> Finding | None:
    """A model endpoint as a container sees it."""
    finding = check_url(value)
    parts = split_url(value)
    if finding is None and parts is not None and is_loopback(parts.hostname):
        return Finding(
            "inside the agent's container this address is the container itself",
            "write the host's name or address",
            "warning",
        )
    return finding


def check_repository(value: str) -> Finding | None:
    """The agents image's repository: an image reference without tag and digest."""
    try:
        ref = parse_image(value)
    except BadInput as error:
        return Finding(error.why.removesuffix("."), "write registry/path, without a tag")
    if ref.tag or ref.digest:
        return Finding(
            "it names a tag or digest, and each version has its own",
            f"write {value.partition('@')[0].rpartition(':')[0] if ref.tag else value.partition('@')[0]}"
            + (f' and version = "{ref.tag}"' if ref.tag else ""),
        )
    return None


def check_image(value: str) -> Finding | None:
    """An image reference that says which version it wants."""
    try:
        ref = parse_image(value)
    except BadInput as error:
        return Finding(error.why.removesuffix("."))
    if not ref.tag and not ref.digest:
        return Finding("it has no tag, which silently means latest", f"write {value}:<tag>", "warning")
    return None


def check_version(value: str) -> Finding | None:
    """A strict version with its `v`; another valid tag passes with a warning, since it has no order."""
    version = Version.try_parse(value)
    if version is not None and not version.build:
        return None
    if not _TAG.match(value):
        return Finding(f"{shown(value)} can be neither a version nor a tag", "write a version such as v0.3.0")
    hint = f"did you mean v{value}?" if Version.try_parse("v" + value) else "versions look like v0.3.0"
    return Finding(f"{shown(value)} is a tag and no version, so there is no older or newer", hint, "warning")


def check_compose_project(value: str) -> Finding | None:
    """A compose project name (Compose's own rule)."""
    if _COMPOSE_PROJECT.match(value):
        return None
    better = re.sub(r"[^a-z0-9_-]+", "", value.lower()).lstrip("_-")
    return Finding(
        f"{shown(value)} is not a compose project name: small letters, digits, dashes and underscores",
        f"write {better}" if better else "",
    )


def check_bind(value: str) -> Finding | None:
    """A host address for published ports; the engine takes addresses, not names."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        hint = "write 127.0.0.1" if value == "localhost" else "write an address, or leave it empty for all"
        return Finding(f"{shown(value)} is not an IP address", hint)
    return None
