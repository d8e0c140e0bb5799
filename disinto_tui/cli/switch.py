"""`use` and `rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.cli.stack import do_plan
from disinto_tui.core.errors import ExitCode

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance

_IDLE = click.option("--when-idle", is_flag=True, help="Wait until no agent is at work.")


class _Seconds(click.FloatRange):
    """A span: a number of seconds that is one (nan is none), from 0 up to a day."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        found = float(super().convert(value, param, ctx))
        if found != found:  # noqa: PLR0124  # nan alone is not itself
            self.fail("not a number of seconds", param, ctx)
        return found


_SECONDS = _Seconds(0, 86_400)
_DEADLINE = click.option(
    "--deadline",
    type=_SECONDS,
    default=1800.0,
    show_default=True,
    metavar="SECONDS",
    help="How long --when-idle waits.",
)
_SOAK = click.option(
    "--soak",
    type=_SECONDS,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it must stay healthy to be kept.",
)


@click.command()
@click.argument("version")
@click.option(
    "--digest/--no-digest",
    "pin_digest",
    default=None,
    help="Pin name:tag@sha256:…, so that no tag can move, or the tag alone (default: pin_digest in [factory]).",
)
@_IDLE
@_DEADLINE
@_SOAK
@session_options(changes=True)
def use(
    session: Session, version: str, pin_digest: bool | None, when_idle: bool, deadline: float, soak: float
) -> int:
    """Switch to a version: pull, pin in .env, recreate the agents, watch, keep or go back.

    VERSION is a tag (v0.3.0) of the factory's repository, or a full reference. What does not come up healthy,
    or does not stay so, is taken back by itself. Nothing but the services that run the agents image is touched.
    """
    instance = _prewarmed(session)
    from disinto_tui.cli.holding import with_offers
    from disinto_tui.runs.switch import SwitchRequest, plan_switch

    async def work() -> ExitCode:
        request = SwitchRequest(instance, version, pin_digest, deadline if when_idle else None, soak)
        prepared = await plan_switch(request)
        return await do_plan(
            session, instance, prepared.plan, question="Switch?", staged=dict(prepared.staged)
        )

    return wait_for(with_offers(session, instance, work))


@click.command()
@click.argument("version", required=False)
@_IDLE
@_DEADLINE
@_SOAK
@session_options(changes=True)
def rollback(session: Session, version: str | None, when_idle: bool, deadline: float, soak: float) -> int:
    """Back to the last known good version before this one, or to VERSION.

    Works without the registry when the image is on this host; the last known-good ones are kept there.
    """
    instance = _prewarmed(session)
    from disinto_tui.cli.holding import with_offers
    from disinto_tui.runs.rollback import plan_rollback

    async def work() -> ExitCode:
        idle = deadline if when_idle else None
        prepared = await plan_rollback(instance, version or "", when_idle=idle, soak=soak)
        return await do_plan(
            session, instance, prepared.plan, question="Roll back?", staged=dict(prepared.staged)
        )

    return wait_for(with_offers(session, instance, work))


def _prewarmed(session: Session) -> Instance:
    """The instance. The run's process loads its code from now on, while this one loads its own, and plans."""
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.launch import prewarm

    instance = Instance.at(session.directory)
    if not session.dry_run:
        prewarm(instance)
    return instance
