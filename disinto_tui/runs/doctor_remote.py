"""Checks that cross the network: tokens, and the registry."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence

from disinto_tui.adapters.forge import ForgeClient
from disinto_tui.adapters.within import within
from disinto_tui.adapters.woodpecker import end_of, login_of
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.expiry import expiry_text, severity_of
from disinto_tui.core.image import ImageRef
from disinto_tui.core.redact import Secret
from disinto_tui.runs.credentials import FoundCredential, find_credentials
from disinto_tui.runs.doctor_model import Ground, Remark
from disinto_tui.runs.pin import pinned_reference, repository_of
from disinto_tui.runs.versions import open_registry

PART_SECONDS = 4.0
"""How long the forge, the CI and a release's peers may each take: less than the whole check has."""
_AGENT_SCOPES = ("write:issue", "write:repository")
"""What an agent does at the forge: issues, labels, pull requests, merges."""
_NO_AGENT = frozenset({"HUMAN_TOKEN", "FORGE_ADMIN_TOKEN", "FORGE_ADMIN_PAT"})
_TOKEN = re.compile(r"\A(?:FORGE_(?:[A-Z0-9_]+_)?TOKEN(?:_[A-Z0-9_]+)?|FORGE_ADMIN_PAT|HUMAN_TOKEN)\Z")


async def tokens(ground: Ground) -> Sequence[Remark]:
    """Whose each is, whether it is accepted, what it may, and when it ends (14, 7 and 1 days ahead)."""
    known, roles, ci = await asyncio.gather(
        _in_time(_release_credentials(ground), "what a release needs", "disinto credentials"),
        _in_time(_forge_tokens(ground), "the forge's tokens", "Look whether the forge (FORGE_URL) is well."),
        _in_time(_woodpecker(ground), "the CI's token", "disinto logs woodpecker"),
    )
    return [*known, *roles, *ci] or [Remark("ok", "there is none to look at")]


async def _in_time(work: Awaitable[list[Remark]], what: str, cure: str) -> list[Remark]:
    """One that is silent takes nothing from what the others say."""
    try:
        return await within(PART_SECONDS, work)
    except asyncio.TimeoutError:
        return [Remark("unknown", f"no answer about {what} within {PART_SECONDS:g} s", cure)]


async def _release_credentials(ground: Ground) -> list[Remark]:
    try:
        found = await find_credentials(ground.instance, now=ground.now)
    except BadInput as error:
        if error.code == "release.project":
            return []  # nothing to release from here, so nothing is needed for it
        raise
    # Whether the forge takes its token is said with those of the roles; here, what it may in the repository.
    return [
        credential_remark(item)
        for item in found
        if item.purpose != "forge" or item.user or item.source == "none"
    ]


def credential_remark(item: FoundCredential) -> Remark:
    """A credential's finding as the doctor sees it: a factory is well without one that only a release needs."""
    finding = item.finding
    if item.source == "none" and item.purpose != "forge":
        return Remark("ok", f"{item.name}: none here, which only a release would need")
    if item.unanswered and finding.severity != "problem":
        return Remark("unknown", finding.text, finding.cure)
    return Remark(finding.severity, finding.text, "" if finding.severity == "ok" else finding.cure)


async def _forge_tokens(ground: Ground) -> list[Remark]:
    """Every forge token in the environment file; one that stands under several names is asked about once."""
    values = (await ground.env()).values
    url = values.get("FORGE_URL", "")
    names: dict[str, list[str]] = {}
    for name, value in sorted(values.items()):
        if value and _TOKEN.match(name):
            names.setdefault(value, []).append(name)
    if not url or not names:
        return []
    return list(await asyncio.gather(*(_whose(url, value, named) for value, named in names.items())))


async def _whose(url: str, token: str, names: Sequence[str]) -> Remark:
    called = ", ".join(names)
    try:
        async with ForgeClient(url, Secret(token)) as client:
            user = await client.whoami()
            scopes = await client.scopes(user.login)
    except Unavailable as error:
        return Remark("unknown", f"{called}: {error.what} {error.why}", error.now)
    except DisintoError as error:
        if error.code == "forge.scope":
            return Remark("ok", f"{called} is accepted, and may not say whose it is")
        return Remark("problem", f"{called}: {error.what} {error.why}", error.now)
    whose = f"{called} is {user.login}'s{', an administrator' if user.is_admin else ''}"
    return scope_remark(whose, names, scopes, url)


def scope_remark(whose: str, names: Sequence[str], scopes: Sequence[str] | None, url: str) -> Remark:
    """What a forge token may do, and whether that is enough for an agent. None: the forge does not say. Such tokens
    have no end."""
    if scopes is None:
        return Remark("ok", f"{whose}; what it may do, the forge does not say")
    has = ", ".join(sorted(scopes)) or "none"
    missing = [] if "all" in scopes else [scope for scope in _AGENT_SCOPES if scope not in scopes]
    if missing and not _NO_AGENT.issuperset(names):
        text = f"{whose} (scopes: {has}), and an agent needs {' and '.join(missing)}"
        page = f"{url.rstrip('/')}/user/settings/applications"
        return Remark("warning", text, f"Make one with these at {page}, put it into .env, then `disinto up`.")
    return Remark("ok", f"{whose}, and may do everything" if "all" in scopes else f"{whose} (scopes: {has})")


async def _woodpecker(ground: Ground) -> list[Remark]:
    """The CI's token. One that init could not mint properly is that of a session, and ends by itself."""
    values = (await ground.env()).values
    server = values.get("WOODPECKER_SERVER") or values.get("WOODPECKER_HOST", "")
    if not values.get("WOODPECKER_TOKEN") or not server:
        return []
    token = Secret(values["WOODPECKER_TOKEN"])
    cure = f"Make one at {server.rstrip('/')}/user (CLI and API), put it into .env, then `disinto up`."
    ends = end_of(token)
    ending = [] if ends is None else [_of_end(ends, ground.now, cure)]
    if ending and ending[0].state == "problem":
        return ending
    try:
        login = await login_of(server, token)
    except Unavailable as error:
        return [*ending, Remark("unknown", f"WOODPECKER_TOKEN: {error.what} {error.why}", error.now)]
    except DisintoError as error:
        return [*ending, Remark("problem", f"WOODPECKER_TOKEN: {error.what} {error.why}", error.now)]
    return [Remark("ok", f"WOODPECKER_TOKEN is {login}'s"), *ending]


def _of_end(ends: float, now: float, cure: str) -> Remark:
    state = severity_of(ends, now)
    return Remark(state, f"WOODPECKER_TOKEN {expiry_text(ends, now)}", "" if state == "ok" else cure)


async def registry(ground: Ground) -> Sequence[Remark]:
    """It answers, lets us read the repository, and still has the pinned version."""
    values = (await ground.env()).values
    repository = repository_of(ground.instance, values)
    pin = pinned_reference(values)
    engine = await ground.engine()
    async with await open_registry(repository.registry, engine) as client:
        await client.ping()
        if pin is None or pin.repository != repository.repository:
            await client.tags(repository.repository)
            return [Remark("ok", f"{repository.registry} answers and lets us read {repository.repository}")]
        return [await _pinned(client, pin)]


async def _pinned(client: object, pin: ImageRef) -> Remark:
    from disinto_tui.adapters.registry import RegistryClient

    assert isinstance(client, RegistryClient)  # noqa: S101  # for the type alone: its import is heavy
    try:
        await client.head(pin.repository, pin.digest or pin.tag or "latest")
    except BadInput as error:
        if error.code not in ("image.missing", "image.repository"):
            raise
        text = (
            f"{pin.registry} answers, and does not have the pinned {pin}: it runs from what is on this host"
        )
        return Remark("warning", text, "disinto versions")
    except Unavailable as error:
        if error.code != "registry.denied":
            raise
        return Remark("problem", f"{error.what} {error.why}", error.now)
    return Remark("ok", f"{pin.registry} answers and lets us pull {pin.repository}")
