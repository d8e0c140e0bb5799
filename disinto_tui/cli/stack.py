"""`up`, `down`, `status`, `logs`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from disinto_tui.cli.common import Session, carry_out, session_options, wait_for
from disinto_tui.cli.run_text import plan_lines, rehearsal_lines, view_lines
from disinto_tui.core.errors import ExitCode
from disinto_tui.core.plan import Plan, plan_to_json

if TYPE_CHECKING:
    from disinto_tui.adapters.tape import Asked
    from disinto_tui.runs.rehearsal import Rehearsed


def show_plan(
    session: Session, plan: Plan, rehearsed: Sequence[Rehearsed] = (), looked: Sequence[Asked] = ()
) -> None:
    """The plan: as a document on stdout with --json (a dry run's data), as narration otherwise."""
    if session.output.as_json:
        if session.dry_run:
            more = {"looked": [item.to_json() for item in looked]} if looked else {}
            if rehearsed:
                more["rehearsal"] = [item.to_json() for item in rehearsed]
            session.output.document({**plan_to_json(plan), **more})
        return
    write = session.output.data if session.dry_run else session.output.say
    for line in plan_lines(plan, session.output):
        write(line)
    for line in rehearsal_lines(rehearsed, looked, session.output):
        write(line)


async def do_plan(
    session: Session, instance: Any, plan: Plan, *, question: str = "Go on?", ask: bool = True, **run: Any
) -> ExitCode:
    """Show a plan, ask, start its run, watch it. A dry run goes through the steps of a formula or a release.

    `run`: `staged` for `create_run`, `secrets` for `launch`, `looked` is what was asked for the plan.
    """
    from disinto_tui.adapters.journal import create_run

    if session.dry_run:
        rehearsed = []
        if plan.kind in ("formula", "release"):
            from disinto_tui.runs.operations import OPERATIONS
            from disinto_tui.runs.rehearsal import rehearse

            rehearsed = await rehearse(instance, plan, OPERATIONS, run.get("secrets") or {})
        show_plan(session, plan, rehearsed, run.get("looked", ()))
        return ExitCode.DONE
    show_plan(session, plan)
    if not plan.changes:
        if not session.output.as_json:
            session.output.say("Nothing to do.")
        else:
            session.output.document({"changed": False})
        return ExitCode.DONE
    if ask and not session.confirm(question):
        session.output.say("Nothing was changed.")
        return ExitCode.INTERRUPTED
    created = create_run(instance, plan, run.get("staged"))
    return await carry_out(session, created, secrets=run.get("secrets"))


@click.command()
@session_options(changes=True)
def up(session: Session) -> int:
    """Start the factory and wait until it is healthy.

    AGENTS_IMAGE in the shell (a version, or a full reference) wins once over .env, which is not changed.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.cli.holding import with_offers
    from disinto_tui.runs.lifecycle import plan_up, shell_override

    instance = Instance.at(session.directory)

    async def work() -> ExitCode:
        plan = await plan_up(instance, one_off=shell_override())
        return await do_plan(session, instance, plan, ask=False)

    return wait_for(with_offers(session, instance, work))


@click.command()
@session_options(changes=True)
def down(session: Session) -> int:
    """Stop the factory: containers and network go, volumes and files stay.

    Asks first, since what agents are working on is interrupted; scripts give --yes.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.cli.holding import with_offers
    from disinto_tui.runs.lifecycle import plan_down

    instance = Instance.at(session.directory)

    async def work() -> ExitCode:
        plan = await plan_down(instance)
        return await do_plan(session, instance, plan, question="Stop it?")

    return wait_for(with_offers(session, instance, work))


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask the registry or the forge.")
@session_options()
def status(session: Session, offline: bool) -> int:
    """What version runs, is it healthy, is there something to do.

    Exit code 1 when something needs you now, 3 when the engine does not answer.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.view import view_to_json
    from disinto_tui.runs.lifecycle import require_stack
    from disinto_tui.runs.observe import observe
    from disinto_tui.runs.remote import with_remote

    async def work() -> ExitCode:
        instance = Instance.at(session.directory)
        require_stack(instance)
        view = await observe(instance)
        if not offline:
            view = await with_remote(instance, view, timeout=4)
        if session.output.as_json:
            session.output.document(dict(view_to_json(view)))
        else:
            for line in view_lines(view, session.output):
                session.output.data(line)
        if view.engine_error:
            return ExitCode.UNAVAILABLE
        troubled = any(item.severity == "problem" for item in view.attention)
        return ExitCode.FAILED if troubled else ExitCode.DONE

    return wait_for(work())


@click.command()
@click.argument("services", nargs=-1)
@click.option(
    "-f/-F", "--follow/--no-follow", default=None, help="Go on as lines come (default on a terminal)."
)
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Lines of the past for each service.",
)
@session_options()
def logs(session: Session, services: tuple[str, ...], follow: bool | None, tail: int) -> int:
    """The services' logs, interleaved by time, from the engine's own stream."""
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.text import neutralise
    from disinto_tui.runs.lifecycle import require_stack
    from disinto_tui.runs.logs import follow_logs

    following = sys.stdout.isatty() if follow is None else follow

    async def work() -> ExitCode:
        instance = Instance.at(session.directory)
        require_stack(instance)
        async for batch in follow_logs(instance, services, tail=tail, follow=following):
            for line in batch:
                if session.output.as_json:
                    session.output.record({"service": line.service, "at": line.at, "text": line.text})
                else:
                    session.output.data(f"{line.service:<16} | {neutralise(line.text)}")
            session.output.flush()  # a reader behind a pipe is as alive as one at a terminal
        return ExitCode.DONE

    try:
        return wait_for(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return ExitCode.INTERRUPTED
