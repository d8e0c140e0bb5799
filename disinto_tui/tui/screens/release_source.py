"""Where the wizard of a release gets its answers from: what `disinto release` uses, behind one seam for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.redact import Secret
    from disinto_tui.runs.credentials import FoundCredential
    from disinto_tui.runs.release import PreparedRelease, ReleaseRequest
    from disinto_tui.runs.release_offer import Beginning, Published, Tree
    from disinto_tui.runs.request import PreparedRequest, RequestWanted


@dataclass(frozen=True, slots=True)
class Push:
    """Where to push, and with what, and the `repository` on the forge: "" is what is usual. `token` was typed in for
    this release alone."""

    images: str = ""
    user: str = ""
    secret: str = ""
    token: Secret | None = None
    repository: str = ""

    @property
    def given(self) -> Mapping[str, Secret]:
        """What is handed over by name."""
        return {} if self.token is None else {self.name: self.token}

    @property
    def name(self) -> str:
        """The push credential's name."""
        from disinto_tui.runs.credentials import PUSH_SECRET

        return self.secret or PUSH_SECRET


class ReleaseSource:
    """Asks the outside. Everything is imported where it is used: the page is on the screen before."""

    async def beginning(self, instance: Instance) -> Beginning:
        """What the fields begin with."""
        import asyncio

        def work() -> Beginning:
            from disinto_tui.runs.release_offer import beginning

            return beginning(instance, Path.cwd())

        return await asyncio.to_thread(work)

    async def tree(self, directory: Path) -> Tree:
        """A checkout. Raises what `look_at_tree` raises."""
        from disinto_tui.runs.release_offer import look_at_tree

        return await look_at_tree(directory)

    async def published(self, instance: Instance, tree: Tree | None, push: Push) -> Published:
        """The newest version there is. Raises what `look_at_published` raises."""
        from disinto_tui.runs.release_offer import look_at_published

        return await look_at_published(instance, tree, push.images, push.user, push.secret)

    async def credentials(self, instance: Instance, push: Push) -> tuple[FoundCredential, ...]:
        """Every secret of a release, and what it may do. Raises what `find_credentials` raises."""
        from disinto_tui.runs.credentials import find_credentials

        return await find_credentials(
            instance,
            images=push.images,
            secret=push.name,
            user=push.user,
            repository=push.repository,
            given=push.given,
        )

    async def plan(self, request: ReleaseRequest) -> PreparedRelease:
        """The plan. Raises what `plan_release` raises."""
        from disinto_tui.runs.release import plan_release

        return await plan_release(request)

    async def plan_request(self, request: RequestWanted) -> PreparedRequest:
        """The plan to have it approved. Raises what `plan_request` raises."""
        from disinto_tui.runs.request import plan_request

        return await plan_request(request)
