"""`adopt`."""

from __future__ import annotations

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.cli.stack import do_plan
from disinto_tui.core.errors import BadInput, ExitCode


@click.command()
@click.option(
    "--version", "wanted", metavar="VERSION", default="", help="Run this version; else what runs now."
)
@click.option("--undo", is_flag=True, help="Back to how it was: files to the byte, and the old stack runs.")
@session_options(changes=True)
def adopt(session: Session, wanted: str, undo: bool) -> int:
    """Take an existing stack over to pinned images, without losing a byte.

    Says what it found and what differs, dangers first, and asks. Data in anonymous volumes is copied and compared
    before its container is touched; what is hand-made moves to docker-compose.override.yml. What does not come up is
    taken back by itself. --dry-run only looks.
    """
    if undo and wanted:
        raise BadInput(
            "--undo and --version do not go together.",
            "The old stack runs the image that it had.",
            "Give one of them.",
            code="cli.usage",
        )
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.cli.holding import with_offers
    from disinto_tui.runs.adopt import AdoptRequest, plan_adopt
    from disinto_tui.runs.adopt_undo import plan_adopt_undo

    instance = Instance.at(session.directory)

    async def work() -> ExitCode:
        session.output.status("Looking at files, engine and Compose …")
        prepared = await (plan_adopt_undo(instance) if undo else plan_adopt(AdoptRequest(instance, wanted)))
        session.output.status("")
        return await do_plan(
            session,
            instance,
            prepared.plan,
            question="Take it back?" if undo else "Adopt it?",
            staged=dict(prepared.staged),
            secrets=dict(prepared.secrets),
        )

    return wait_for(with_offers(session, instance, work))
