"""When somebody holds the instance, or died holding it: what a terminal is offered, and `unlock`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from disinto_tui.cli.common import Session, carry_out, session_options, watch_run
from disinto_tui.core.errors import ExitCode, Refused

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance


async def with_offers(
    session: Session, instance: Instance, work: Callable[[], Awaitable[ExitCode]]
) -> ExitCode:
    """Do `work`; when somebody else is at the instance, say so and offer what helps, on a terminal.

    No offer with --json, --yes or --dry-run, nor without a terminal: those end with the error and exit code 4.
    What was offered and taken ends the command: whoever watched another's run has new facts to think about.
    """
    try:
        return await work()
    except Refused as error:
        asks = sys.stdin.isatty() and sys.stderr.isatty()
        if not asks or session.output.as_json or session.yes or session.dry_run:
            raise
        if error.code == "instance.busy":
            return await _offer_watch(session, instance, error)
        if error.code == "run.unfinished":
            return await _offer_finish(session, instance, error)
        if error.code == "instance.lock_left":
            return _offer_release(session, instance, error)
        raise


async def _offer_watch(session: Session, instance: Instance, error: Refused) -> ExitCode:
    from disinto_tui.adapters.journal import find_run
    from disinto_tui.runs.holder import describe

    holder = describe(instance)
    if holder.state != "busy" or not holder.run:
        raise error
    session.output.error(error)
    if _choose("[w]atch their run, or [l]eave?", "wl", "w") == "l":
        return ExitCode.REFUSED
    return await watch_run(session, find_run(instance, holder.run), cancels=False)


async def _offer_finish(session: Session, instance: Instance, error: Refused) -> ExitCode:
    from disinto_tui.adapters.journal import unfinished_run

    run = unfinished_run(instance)
    if run is None:
        raise error
    session.output.error(error)
    if run.plan().secrets:  # `resume` knows how to ask for them
        return ExitCode.REFUSED
    choice = _choose("[f]inish it, [u]ndo it, or [l]eave?", "ful", "l")
    if choice == "l":
        return ExitCode.REFUSED
    code = await carry_out(session, run, undo=choice == "u")
    if code == ExitCode.DONE:
        session.output.say("Now give your command again.")
    return code


def _offer_release(session: Session, instance: Instance, error: Refused) -> ExitCode:
    from disinto_tui.runs.holder import release

    session.output.error(error)
    if _choose("[b]reak the lock, or [l]eave?", "bl", "l") == "l":
        return ExitCode.REFUSED
    release(instance)
    session.output.say("The lock is broken. Now give your command again.")
    return ExitCode.DONE


def _choose(question: str, letters: str, default: str) -> str:
    """One of the letters, asked for until it is one."""
    chosen: str = click.prompt(
        question,
        type=click.Choice(list(letters), case_sensitive=False),
        default=default,
        show_choices=False,
        err=True,
    )
    return chosen


@click.command()
@click.argument("holder", required=False)
@session_options(changes=True)
def unlock(session: Session, holder: str | None) -> int:
    """Break the lock of an operator whose process is dead.

    A process that dies lets go by itself; this is for what is left over, when a child of it keeps the lock file open
    or a network file system keeps the lock. A holder that lives is never touched. Where nobody can tell (another
    host), HOLDER names it, as the message does (user@host): you say that it is dead.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.lock import held_error, probe
    from disinto_tui.runs.holder import describe, release

    instance = Instance.at(session.directory)
    found = describe(instance)
    if found.breakable == "no":
        if found.state == "busy":
            raise held_error(instance, probe(instance))
        return _unlocked(session, found.state, asdict(found), f"Nobody holds {instance.path}.")
    if found.breakable == "by name" and not holder:
        raise held_error(instance, probe(instance))
    session.output.say(f"{found.words[0].upper()}{found.words[1:]}")
    if session.dry_run:
        return _unlocked(session, found.state, asdict(found), "It would be broken.")
    if not session.confirm("Break the lock?"):
        return ExitCode.INTERRUPTED
    release(instance, vouched=holder or "")
    after = describe(instance)
    more = f" The run {after.run} is half-way: `disinto resume`, or `resume --undo`." if after.run else ""
    return _unlocked(session, after.state, asdict(found), f"The lock is broken.{more}")


def _unlocked(session: Session, state: str, holder: dict[str, object], words: str) -> int:
    if session.output.as_json:
        session.output.document({"state": state, "holder": holder})
    else:
        session.output.say(words)
    return ExitCode.DONE
