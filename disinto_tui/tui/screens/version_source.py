"""What the versions screen asks, as far as it knows: tests hand in their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from disinto_tui.core.catalog import Catalog, Meta

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.catalog_text import PastStart
    from disinto_tui.runs.switch import Prepared


class Source(Protocol):
    """What tells of versions (`runs.catalog.VersionSource`)."""

    async def remembered(self) -> Catalog | None:
        """The list as last heard, nobody asked."""

    async def asked(self) -> Catalog:
        """The list anew. Raises DisintoError when nothing can be shown at all."""

    def known(self, tag: str) -> Meta | None:
        """What is remembered of a version."""

    def details(self, tags: Sequence[str], *, offline: bool = False) -> AsyncIterator[Mapping[str, Meta]]:
        """What versions are, as the answers come."""

    def entries(self, tag: str) -> Sequence[PastStart]:
        """How a version went here."""

    async def plan(self, tag: str, *, when_idle: float | None = None) -> Prepared:
        """A switch to a version."""

    async def plan_undo(self, *, when_idle: float | None = None) -> Prepared:
        """The way back."""

    async def close(self) -> None:
        """No more questions."""


SourceOf = Callable[["Instance"], Source]
"""Makes the source for an instance."""


def load() -> None:
    """Import the code of the real source: for a thread, so that keys and painting are not kept waiting."""
    import disinto_tui.runs.catalog  # noqa: F401


def load_network() -> None:
    """Import what speaks to registries and the engine, for a thread too; it takes longer."""
    import disinto_tui.adapters.registry
    import disinto_tui.runs.switch  # noqa: F401
    from disinto_tui.runs.remote import load

    load()


def version_source(instance: Instance) -> Source:
    """The real one."""
    from disinto_tui.runs.catalog import VersionSource

    return VersionSource(instance)
