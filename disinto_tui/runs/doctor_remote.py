"""Checks that cross the network: tokens, and the registry."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from disinto_tui.adapters.forge import ForgeClient
from disinto_tui.core.errors import BadInput, DisintoError, Unavailable
from disinto_tui.core.image import ImageRef
from disinto_tui.core.redact import Secret
from disinto_tui.runs.credentials import FoundCredential, find_credentials
from disinto_tui.runs.doctor_model import Ground, Remark
from disinto_tui.runs.pin import pinned_reference, repository_of
from disinto_tui.runs.versions import open_registry

_TOKEN = re.compile(r"\A(?:FORGE_(?:[A-Z0-9_]+_)?TOKEN(?:_[A-Z0-9_]+)?|HUMAN_TOKEN)\Z")


async def tokens(ground: Ground) -> Sequence[Remark]:
    """Whose each is, whether it is accepted, what it may, and when it ends (14, 7 and 1 days ahead)."""
    known, roles = await asyncio.gather(_release_credentials(ground), _forge_tokens(ground))
    return [*known, *roles] or [Remark("ok", "there is none to look at")]


async def _release_credentials(ground: Ground) -> list[Remark]:
    try:
        found = await find_credentials(ground.instance, now=ground.now)
    except BadInput as error:
        if error.code == "release.project":
            return []  # nothing to release from here, so nothing is needed for it
        raise
    return [credential_remark(item) for item in found]


def credential_remark(item: FoundCredential) -> Remark:
    """A credential's finding as the doctor sees it: a factory is well without one that only a release needs."""
    finding = item.finding
    if item.source == "none" and item.purpose != "forge":
        return Remark("ok", f"{item.name}: none here, which only a release would need")
    if item.unanswered and finding.severity != "problem":
        return Remark("unknown", finding.text, finding.cure)
    return Remark(finding.severity, finding.text, "" if finding.severity == "ok" else finding.cure)


async def _forge_tokens(ground: Ground) -> list[Remark]:
    """The roles' own tokens in the environment file. FORGE_TOKEN is asked about with the release's credentials."""
    values = (await ground.env()).values
    url = values.get("FORGE_URL", "")
    names: dict[str, list[str]] = {}
    for name, value in sorted(values.items()):
        if value and _TOKEN.match(name) and value != values.get("FORGE_TOKEN"):
            names.setdefault(value, []).append(name)
    if not url or not names:
        return []
    return list(await asyncio.gather(*(_whose(url, value, named) for value, named in names.items())))


async def _whose(url: str, token: str, names: Sequence[str]) -> Remark:
    called = ", ".join(names)
    try:
        async with ForgeClient(url, Secret(token)) as client:
            user = await client.whoami()
    except Unavailable as error:
        return Remark("unknown", f"{called}: {error.what} {error.why}", error.now)
    except DisintoError as error:
        if error.code == "forge.scope":
            return Remark("ok", f"{called} is accepted, and may not say whose it is")
        return Remark("problem", f"{called}: {error.what} {error.why}", error.now)
    return Remark("ok", f"{called} is {user.login}'s{', an administrator' if user.is_admin else ''}")


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
