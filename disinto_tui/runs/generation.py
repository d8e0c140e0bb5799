"""Of which generation the factory is that would execute an action: read from the code that its edge runs.

The edge clones the factory's own repository (`FACTORY_REPO`, else the one `init` names; in factories made by other
tools the project's) at `DISINTO_VERSION`, and with it the validator. A file that only one generation has tells which it
is; the validator's list of secrets is believed where it can be found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from disinto_tui.adapters.forge import ForgeClient
from disinto_tui.core.action import NEW, OLD, Generation, allowlist_in
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.stack_services import FACTORY_REPOSITORY
from disinto_tui.runs.ops_repository import file_at, names_in

_MOST_FILES = 12


@dataclass(frozen=True, slots=True)
class FactoryCode:
    """What was found. `generation` is None when nothing told; `accepted` are the secrets in the validator's own list,
    None when it was not found; `formula` is whether the formula is there, None when nobody knows; `where` the
    repository and branch that told."""

    generation: Generation | None = None
    accepted: frozenset[str] | None = None
    formula: bool | None = None
    where: str = ""


async def look_at_factory(
    client: ForgeClient, env: Mapping[str, str], project: str, formula: str
) -> FactoryCode:
    """Look; a repository that is not there, or may not be read, tells nothing. Raises Unavailable."""
    slugs = dict.fromkeys((env.get("FACTORY_REPO") or FACTORY_REPOSITORY, project))
    ref = env.get("DISINTO_VERSION") or "main"
    for slug in slugs:
        found = await _look(client, slug, ref, formula)
        if found.generation is not None:
            return found
    return FactoryCode()


async def _look(client: ForgeClient, slug: str, ref: str, formula: str) -> FactoryCode:
    try:
        markers = await asyncio.gather(*(file_at(client, slug, item.marker, ref) for item in (NEW, OLD)))
    except DisintoError as error:
        if error.code in ("forge.forbidden", "forge.slug", "forge.missing"):
            return FactoryCode()
        raise
    # The newer one first: what was renamed may have left the older file behind.
    generation = next(
        (item for item, data in zip((NEW, OLD), markers, strict=True) if data is not None), None
    )
    if generation is None:
        return FactoryCode()
    accepted, there = await asyncio.gather(
        _accepted(client, slug, ref, generation.name),
        file_at(client, slug, f"formulas/{formula}.toml", ref),
    )
    return FactoryCode(generation, accepted, there is not None, f"{slug} at {ref}")


async def _accepted(client: ForgeClient, slug: str, ref: str, directory: str) -> frozenset[str] | None:
    names: Sequence[str] = await names_in(client, slug, directory, ref)
    scripts = [name for name in names if name.endswith(".sh")][:_MOST_FILES]
    texts = await asyncio.gather(*(file_at(client, slug, f"{directory}/{name}", ref) for name in scripts))
    return allowlist_in(text.decode(errors="replace") for text in texts if text is not None)
