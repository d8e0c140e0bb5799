"""What a registry's refusals mean and how they are cured, one sentence each.

GHCR, Docker Hub and plain registries differ in what 401, 403 and 404 stand for: GHCR and the Hub do not
tell a private image from a missing one, and a stale login breaks even what everybody may read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from disinto_tui.adapters.http import Response
from disinto_tui.adapters.registry_types import Platform
from disinto_tui.core.errors import BadInput, Unavailable

HUB = "docker.io"
GHCR = "ghcr.io"


@dataclass(frozen=True, slots=True)
class Denial:
    """The circumstances of a 401 or 403."""

    host: str
    repository: str
    status: int
    with_login: bool
    """Whether a login was sent along."""
    handed: str = ""
    """What that login is called when it was handed over (`GITHUB_TOKEN`); "" for one that Docker has stored."""
    open_to_all: bool = False
    """The same request works without a login (tried)."""
    basic: bool = False
    """The registry takes name and password itself: then a 401 is about those, never about the repository."""
    write: bool = False
    remark: str = ""
    """What the source of credentials has to say, one sentence."""
    said: str = ""
    """The other side's words, from `words_of`."""


def denied(denial: Denial) -> Unavailable:
    """Not let in: Unavailable `registry.denied`. The cure depends on the registry and on what was sent."""
    if denial.with_login:
        what, why, now = _with_login(denial)
    else:
        what, why, now = _without_login(denial)
    details = [text for text in (denial.remark, denial.said) if text]
    return Unavailable(what, why, now, code="registry.denied", details=details)


def _login_command(host: str) -> str:
    return "docker login" if host == HUB else f"docker login {host}"


def _logout_command(host: str) -> str:
    return "docker logout" if host == HUB else f"docker logout {host}"


def _with_login(denial: Denial) -> tuple[str, str, str]:
    host, name = denial.host, denial.repository
    scope = "write:packages" if denial.write else "read:packages"
    doing = "push to" if denial.write else "read"
    # One that was handed over is in no store of Docker's: logging in or out there would change nothing.
    login = denial.handed or "the login that Docker has stored for it"
    right = (
        "Hand over the right one" if denial.handed else f"Run `{_login_command(host)}` with the right ones"
    )
    other = "hand over one" if denial.handed else f"run `{_login_command(host)}` with an account"
    renew = "hand it over" if denial.handed else f"run `{_login_command(host)}`"
    without = "go without it" if denial.handed else f"run `{_logout_command(host)}`"
    if denial.open_to_all:
        return (
            f"{host} refused {login}.",
            f"That login is stale or lacks a right, while {name} can be read without any.",
            f"{without[0].upper()}{without[1:]}, then try again.",
        )
    if denial.basic and denial.status == 401:
        return (
            f"{host} refused {login}.",
            "The name or the password is wrong there.",
            f"{right}, then try again.",
        )
    if host == GHCR and denial.status == 401:
        return (
            f"{host} refused {login}.",
            "The token has expired, was revoked, or is not a classic personal access token.",
            f"Make a classic token with {scope} and {renew}; for public images it is enough to {without}.",
        )
    if host == GHCR:
        return (
            f"{host} does not let {login} {doing} {name}.",
            f"The token lacks {scope}, is not authorised for the organisation's SSO, "
            "or there is no such package.",
            f"Give the token {scope}, authorise it for the organisation, and {renew}; "
            f"for public images it is enough to {without}.",
        )
    if host == HUB:
        return (
            f"Docker Hub does not let {login} {doing} {name}.",
            "The repository is private to others or does not exist, or the login has expired: "
            "the Hub does not say which.",
            f"Check the name, then {other} that may {doing} it.",
        )
    if denial.status == 401:
        return (
            f"{host} does not let {login} {doing} {name}.",
            "The login has expired, or its account has no right to that repository.",
            f"{other[0].upper()}{other[1:]} that may {doing} it, then try again.",
        )
    return (
        f"{host} does not let {login} {doing} {name}.",
        "The account is known there but has no right to that repository.",
        f"Ask whoever runs {host} for the right, or {other} that has it.",
    )


def _without_login(denial: Denial) -> tuple[str, str, str]:
    host, name = denial.host, denial.repository
    doing = "push to" if denial.write else "read"
    if denial.basic and denial.status == 401:
        return (
            f"{host} wants a login.",
            "It answers nobody without a name and a password, and none is stored for it.",
            f"Run `{_login_command(host)}`, then try again.",
        )
    if host == GHCR:
        scope = "write:packages" if denial.write else "read:packages"
        private = "Pushing needs a login" if denial.write else "It is private, or there is no such package"
        return (
            f"{host} does not let everybody {doing} {name}.",
            f"{private}, and no login is stored.",
            f"Check the name, make a classic token with {scope}, run `{_login_command(host)}`, "
            "then try again.",
        )
    if host == HUB:
        return (
            f"Docker Hub does not let everybody {doing} {name}.",
            "It is private or does not exist, which the Hub does not tell apart, and no login is stored.",
            f"Check the name; if it is private, run `{_login_command(host)}`, then try again.",
        )
    return (
        f"{host} does not let everybody {doing} {name}.",
        "It is private, or there is no such repository, and no login is stored.",
        f"Check the name; if it is private, run `{_login_command(host)}`, then try again.",
    )


def missing_image(host: str, repository: str, reference: str, nearest: Sequence[str]) -> BadInput:
    """A tag or digest that is not there: BadInput `image.missing`, with the nearest tags."""
    mark = "@" if ":" in reference else ":"
    hint = f"Nearest there: {', '.join(nearest)}." if nearest else "Check it for a typing error."
    return BadInput(
        f"There is no {repository}{mark}{reference} on {host}.",
        "The registry knows the repository but not this "
        + ("digest; it may have been deleted." if mark == "@" else "tag."),
        hint,
        code="image.missing",
    )


def missing_repository(host: str, repository: str, with_login: bool) -> BadInput:
    """A repository that is not there, or not for us: BadInput `image.repository`."""
    private = "" if with_login else f"; if it is private, run `{_login_command(host)}` first"
    return BadInput(
        f"There is no repository {repository} on {host}.",
        "The registry does not know it, or does not show it to this login.",
        f"Check the name for a typing error{private}.",
        code="image.repository",
    )


def wrong_platform(name: str, wanted: Platform, available: Sequence[Platform]) -> BadInput:
    """An image that cannot run here: BadInput `image.platform`, naming what it was built for."""
    built = ", ".join(str(platform) for platform in available) or "nothing that can run"
    return BadInput(
        f"The image {name} cannot run on this machine.",
        f"This engine is {wanted}, and the image was built for {built}.",
        "Choose a version built for this machine, or have it built for it.",
        code="image.platform",
    )


def schema_one(name: str) -> BadInput:
    """BadInput `image.schema1`."""
    return BadInput(
        f"The image {name} is in a format that is no longer supported.",
        "Its manifest is Docker's schema 1, which current engines do not run.",
        "Push it again with a current Docker, or choose another version.",
        code="image.schema1",
    )


def not_an_image(name: str, why: str) -> BadInput:
    """Something else under an image's name (a chart, a signature): BadInput `image.kind`."""
    return BadInput(
        f"{name} is not a container image.",
        f"{_sentence(why)}",
        "Choose another version.",
        code="image.kind",
    )


def tampered(host: str, name: str) -> Unavailable:
    """Content that is not what its digest says: Unavailable `registry.digest`."""
    return Unavailable(
        f"What {host} sent for {name} is not what it said it would send.",
        "The content does not have the digest it is named by: it was damaged or changed on the way.",
        "Do not use it; try again, and if it stays so, tell whoever runs the registry.",
        code="registry.digest",
    )


def unreadable(host: str, name: str, why: str) -> Unavailable:
    """A document that makes no sense: Unavailable `registry.answer`."""
    return Unavailable(
        f"What {host} sent for {name} cannot be read.",
        _sentence(why),
        "Check that the address is that of a container registry, then try again.",
        code="registry.answer",
    )


def unexpected(host: str, response: Response, said: str = "") -> Unavailable:
    """Any other answer: Unavailable `registry.html`, `registry.busy`, `registry.failing` or
    `registry.answer`."""
    details = [said] if said else []
    if response.status == 429:
        hub = host == HUB
        return Unavailable(
            f"{'Docker Hub' if hub else host} says there were too many requests.",
            "Its pull limit for this address or account is used up."
            if hub
            else "It still said so after waiting as long as it asked.",
            "Log in with `docker login`, which has a higher limit, or try again in some hours."
            if hub
            else "Try again in a few minutes.",
            code="registry.busy",
            details=details,
        )
    if response.status >= 500:
        return Unavailable(
            f"The registry {host} is not working.",
            f"It answered with HTTP {response.status}, also when asked again.",
            "Try again later; if it stays so, tell whoever runs it.",
            code="registry.failing",
            details=details,
        )
    if response.is_html:
        return Unavailable(
            f"{host} answered with a web page instead of a registry's data.",
            "It is not a container registry, or a proxy or login page stands before it.",
            "Check the registry's address and this machine's network, then try again.",
            code="registry.html",
        )
    return Unavailable(
        f"The registry {host} gave an answer that makes no sense here.",
        f"It answered with HTTP {response.status}.",
        "Check that the address is that of a container registry, then try again.",
        code="registry.answer",
        details=details,
    )


def paging(host: str, why: str) -> Unavailable:
    """A tag list that leads astray or never ends: Unavailable `registry.paging`."""
    return Unavailable(
        f"The list of versions of {host} cannot be read to its end.",
        why,
        "Name the version you want; and tell whoever runs the registry.",
        code="registry.paging",
    )


def words_of(response: Response, limit: int = 200) -> str:
    """The other side's words on one line: `HTTP 403 DENIED: requested access ...`. Unprintable characters
    are replaced; redact it before it is shown."""
    text = ""
    try:
        data = response.json() if response.body else None
    except ValueError:
        data = None
    if isinstance(data, dict):
        errors = data.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else data
        if isinstance(first, dict):
            parts = [first.get(key) for key in ("code", "error", "message", "details", "error_description")]
            text = ": ".join(part for part in parts if isinstance(part, str) and part)
    line = "".join(char if char.isprintable() else "\ufffd" for char in text[: limit + 1])
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return f"HTTP {response.status}{' ' + line if line else ''}"


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".") or "It is empty"
    return text[0].upper() + text[1:] + "."
