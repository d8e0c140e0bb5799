"""`runs`, `attach`, `resume`."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from disinto_tui.cli.common import Session, carry_out, session_options, wait_for, watch_run
from disinto_tui.cli.credentials import read_secrets, secret_stdin_option
from disinto_tui.core.errors import BadInput, ExitCode
from disinto_tui.core.plan import Plan, plan_to_json
from disinto_tui.core.words import age_text

if TYPE_CHECKING:
    from disinto_tui.adapters.journal import RunDir


@click.command()
@click.option("-n", "--limit", default=20, show_default=True, help="How many; 0 is all.")
@click.option("--log", "log_of", metavar="RUN", help="Print the whole log of a run.")
@click.option(
    "--stop", metavar="RUN", help="Ask a run under way to stop, as Ctrl-C does where it was started."
)
@click.option(
    "--abort", metavar="RUN", help="The same, also in the middle of what must not be left half done."
)
@session_options()
def runs(session: Session, limit: int, log_of: str | None, stop: str | None, abort: str | None) -> int:
    """What was done here, newest first."""
    from dataclasses import asdict

    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.journal import find_run
    from disinto_tui.runs.observe import recent_runs

    instance = Instance.at(session.directory)
    if stop is not None or abort is not None:
        return _ask(session, find_run(instance, abort or stop), abort=abort is not None)
    if log_of is not None:
        return _log(session, find_run(instance, log_of))
    found = recent_runs(instance, limit or 10**9)
    if session.output.as_json:
        session.output.document([asdict(item) for item in found])
        return ExitCode.DONE
    marks = {"done": "✓", "failed": "✗", "running": "▶", "interrupted": "▲", "cancelled": "■", "undone": "↺"}
    for item in found:
        took = f"{item.seconds:.1f} s" if item.seconds is not None else "-"
        ago = age_text(time.time() - item.at)
        reason = f"  {item.reason}" if item.reason else ""
        mark = marks.get(item.status, "·")
        when = f"{took:>9}  {ago:>7} ago"
        session.output.data(f"{mark} {item.id:<32} {item.status:<12} {when}  {item.title}{reason}")
    if not found:
        session.output.say("Nothing was done here yet.")
    return ExitCode.DONE


def _log(session: Session, run: RunDir) -> int:
    from disinto_tui.adapters.instance import read_bytes

    data = read_bytes(run.log_path)
    if data is None:
        raise BadInput(
            f"{run.id} has no log.",
            "It printed nothing yet, or is so old that its log is not kept.",
            f"`disinto attach {run.id}` shows how it went.",
            code="run.no_log",
        )
    for line in data.decode(errors="replace").splitlines():
        session.output.data(line)
    return ExitCode.DONE


def _ask(session: Session, run: RunDir, *, abort: bool) -> int:
    """Ask a run to stop, or to abort; its process says in its log that it heard."""
    from disinto_tui.adapters.journal import run_status

    if run_status(run) != "running":
        raise BadInput(
            f"{run.id} is not running.",
            "There is nothing to stop.",
            "`disinto runs` lists what is.",
            code="run.over",
        )
    if abort:
        run.ask_abort()
        session.output.say(f"{run.id} aborts; `disinto attach {run.id}` shows what it leaves.")
    else:
        run.ask_cancel()
        session.output.say(
            f"{run.id} stops; what must not be left half done is finished first. `disinto runs --abort {run.id}` "
            "aborts that, too."
        )
    return ExitCode.DONE


@click.command()
@click.argument("run", required=False)
@session_options()
def attach(session: Session, run: str | None) -> int:
    """Watch a run (the newest without a name): live, or from its journal afterwards.

    Ctrl-C leaves it running.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.journal import find_run

    found = find_run(Instance.at(session.directory), run)
    return wait_for(watch_run(session, found, cancels=False))


@click.command()
@click.argument("run", required=False)
@click.option("--undo", is_flag=True, help="Take it back instead of finishing it.")
@secret_stdin_option
@session_options(changes=True)
def resume(session: Session, run: str | None, undo: bool, secret_stdin: tuple[str, ...]) -> int:
    """Finish a run that stopped half-way (the newest without a name), or with --undo take it back.

    Its secrets are looked for again, where `disinto credentials` shows them, or come with --secret-stdin.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.adapters.journal import (
        find_run,
        run_status,
        step_states,
        unfinished_run,
    )
    from disinto_tui.runs.again import refuse_over

    instance = Instance.at(session.directory)
    found = find_run(instance, run) if run else unfinished_run(instance)
    if found is None:
        raise BadInput(
            "There is nothing to resume.",
            "No run stopped half-way, or another one came after it.",
            "`disinto runs` lists what was done.",
            code="run.none",
        )
    if run_status(found) == "running":
        raise BadInput(
            f"{found.id} is running.",
            "It needs no help.",
            "Watch it with `disinto attach`.",
            code="run.running",
        )
    refuse_over(instance, found, undo=undo)
    plan, states = found.plan(), step_states(found.events())
    if not session.output.as_json:
        session.output.say(f"{plan.title}: {'take back' if undo else 'finish'} the run {found.id}")
        for step in plan.steps:
            session.output.say(f"  {states.get(step.id, 'not begun'):<10} {step.id:<14} {step.title}")
    if session.dry_run:
        if session.output.as_json:
            session.output.document(
                {"run": found.id, "undo": undo, "steps": states, "plan": plan_to_json(plan)}
            )
        return ExitCode.DONE
    given = read_secrets(secret_stdin)
    if not session.confirm("Take it back?" if undo else "Finish it?", default=not undo):
        return ExitCode.INTERRUPTED
    secrets: dict[str, str] = {}
    if plan.kind == "formula" and not undo:
        from disinto_tui.cli.formulas import secrets_of

        secrets = wait_for(secrets_of(instance, plan.secrets, given))
    elif plan.kind == "release":
        from disinto_tui.adapters.credentials import CredentialFinder
        from disinto_tui.runs.credentials import secrets_of_plan

        secrets = wait_for(secrets_of_plan(plan, CredentialFinder(instance.path, given)))
        if not undo:  # what registry and mirrors have stays there
            _tell_missing(session, plan, secrets)
    from disinto_tui.cli.holding import with_offers

    work = functools.partial(carry_out, session, found, undo=undo, secrets=secrets)
    return wait_for(with_offers(session, instance, work))


def _tell_missing(session: Session, plan: Plan, secrets: Mapping[str, str]) -> None:
    """A run that was handed a secret when it began, and is not now, may not need it any more: its steps know."""
    for name in plan.facts.get("credentials", ()):
        if name not in secrets:
            session.output.say(f"▲ {name}, which this run began with, is found nowhere now.")
            session.output.say(f"  `disinto resume --secret-stdin {name}` hands it over.")
