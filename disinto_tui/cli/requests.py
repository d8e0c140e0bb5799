"""`requests`, and `release --request`: filing a release for approval, and following what becomes of it."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.core.errors import BadInput, ExitCode

if TYPE_CHECKING:
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.core.approval import RequestState
    from disinto_tui.runs.request import PreparedRequest

_STAGE = {"open": "·", "approved": "▶", "merged": "▲", "executed": "✓", "result": "✓", "closed": "■"}
_UNTIL = ("approved", "merged", "executed", "result")


@dataclass(frozen=True, slots=True)
class Asking:
    """The options of `release` that are about a request."""

    request: bool = False
    protect: bool = False
    id: str = ""
    generation: str | None = None
    follow: bool = False
    until: str | None = None

    def check(self, context: click.Context) -> None:
        """Raise BadInput `cli.usage` for options that do not go together: an action has no room for them."""
        given = {
            name
            for name in context.params
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        }
        strangers = (
            "checkout",
            "images",
            "repository",
            "user",
            "force",
            "no_restart",
            "start_at",
            "secret_stdin",
        )
        mine = ("protect", "action_id", "generation", "follow", "until")
        wrong = [item for item in (strangers if self.request else mine) if item in given]
        if not wrong:
            return
        flags = {"action_id": "--id", "start_at": "--from"}
        named = ", ".join(flags.get(item, "--" + item.replace("_", "-")) for item in wrong)
        raise BadInput(
            "These options do not go together.",
            f"{named} {'cannot be part of a request' if self.request else 'belongs to --request'}.",
            "Leave it out; see `disinto release --help`.",
            code="cli.usage",
        )


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `release --request`, handed over as `asking: Asking`."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        names = ("request", "protect", "action_id", "generation", "follow", "until")
        return command(*args, asking=Asking(*(kwargs.pop(name) for name in names)), **kwargs)

    made: Callable[..., Any] = wrapped
    for option in reversed(_REQUEST_OPTIONS):
        made = option(made)
    return made


_FOLLOW = click.option("--follow", is_flag=True, help="Go on telling what becomes of it, until it is over.")
_UNTIL_OPTION = click.option(
    "--until", type=click.Choice(_UNTIL), help="Follow it until it got so far, or can get no further."
)
_REQUEST_OPTIONS = (
    click.option("--request", is_flag=True, help="File it for approval instead of releasing from here."),
    click.option("--protect", is_flag=True, help="With --request: protect the ops repository first."),
    click.option("--id", "action_id", default="", metavar="ID", help="With --request: another id."),
    click.option(
        "--generation",
        type=click.Choice(["vault", "action-vault"]),
        help="With --request: the validator of what executes it, where that cannot be seen.",
    ),
    _FOLLOW,
    _UNTIL_OPTION,
)


def file_request(session: Session, version: str, secret: str, asking: Asking) -> int:
    """`release VERSION --request`."""
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.cli.stack import do_plan
    from disinto_tui.runs.request import RequestWanted, plan_request

    instance = Instance.at(session.directory)

    async def work() -> tuple[ExitCode, str]:
        wanted = RequestWanted(instance, version, secret, asking.generation or "", asking.protect, asking.id)
        prepared = await plan_request(wanted)
        if not session.output.as_json:
            _tell(session, prepared)
        if follows and not prepared.plan.changes:
            return ExitCode.DONE, prepared.action.id
        return await do_plan(session, instance, prepared.plan, question="File it?"), prepared.action.id

    follows = (asking.follow or asking.until is not None) and not session.dry_run
    code, name = wait_for(work())
    if code != ExitCode.DONE or not follows:
        return code
    return _left_alone(session, lambda: _follow(session, instance, name, asking.until), name)


def _tell(session: Session, prepared: PreparedRequest) -> None:
    from disinto_tui.core.text import neutralise

    write = session.output.data if session.dry_run else session.output.say
    # What is worth a second look comes with the plan.
    for finding in (item for item in prepared.findings if item.severity == "ok"):
        write(f"✓ {finding.name:<14} {neutralise(finding.text)}")
    write(prepared.action.path)
    for line in prepared.text.splitlines():
        write(f"     │ {line}")


@click.command()
@click.argument("request", required=False)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many are listed; 0 is all.",
)
@_FOLLOW
@_UNTIL_OPTION
@session_options()
def requests(session: Session, request: str | None, limit: int, follow: bool, until: str | None) -> int:
    """Requests for approval: those there are, or where one of them stands (by its id, or its version).

    Exit code 1 when one was closed, failed, is refused by what executes it, or ended and nobody can tell how.
    """
    from disinto_tui.adapters.instance import Instance

    instance = Instance.at(session.directory)
    follow = follow or until is not None
    if request is None and follow:
        raise BadInput(
            "Only one request can be followed.",
            "None is named.",
            "Name it: `disinto requests ID --follow`; `disinto requests` lists them.",
            code="cli.usage",
        )

    async def work() -> ExitCode:
        from disinto_tui.runs.request_state import list_requests, ops_place, request_state

        if request is not None and follow:
            return await _follow(session, instance, request, until)
        place = await ops_place(instance)
        if request is None:
            return _list(session, (await list_requests(place))[: limit or None])
        state = await request_state(place, request)
        if session.output.as_json:
            session.output.document(state.to_json())
        else:
            for line in state_lines(state):
                session.output.data(line)
        return _code(state)

    return _left_alone(session, work, request or "")


def _left_alone(session: Session, work: Callable[[], Any], name: str) -> int:
    """Run it; Ctrl-C ends the looking, and changes nothing about what is looked at."""
    try:
        return int(wait_for(work()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        session.output.say(f"Left. `disinto requests {name} --follow` goes on telling.")
        return ExitCode.INTERRUPTED


async def _follow(session: Session, instance: Instance, name: str, until: str | None) -> ExitCode:
    from disinto_tui.runs.request_state import follow_request, ops_place

    last: RequestState | None = None
    async for state in follow_request(await ops_place(instance), name, until=until or "result"):  # type: ignore[arg-type]
        if session.output.as_json:
            session.output.record({"kind": "request", **state.to_json()})
        else:
            lines = list(state_lines(state)) if last is None or state.over else [_line(state)]
            lines += [f"  ▲ {text}" for text in state.warnings] if len(lines) == 1 else []
            for line in lines:
                session.output.data(line)
            session.output.flush()
        last = state
    return _code(last) if last is not None else ExitCode.FAILED


def _code(state: RequestState) -> ExitCode:
    refused = state.stage == "merged" and state.authorised is False
    return ExitCode.FAILED if refused or (state.over and not state.good) else ExitCode.DONE


def _list(session: Session, found: list[RequestState]) -> ExitCode:
    if session.output.as_json:
        session.output.document([state.to_json() for state in found])
        return ExitCode.DONE
    width = max((len(state.id) for state in found), default=0)
    for state in found:
        pull = f"  #{state.pull}" if state.pull else ""
        session.output.data(f"{_line(state, width)}{pull}")
    if not found:
        session.output.say("Nothing was filed; `disinto release VERSION --request` does.")
    return ExitCode.DONE


def _mark(state: RequestState) -> str:
    return "✗" if state.good is False and state.stage != "closed" else _STAGE[state.stage]


def _line(state: RequestState, width: int = 0) -> str:
    from disinto_tui.core.text import neutralise

    what = state.version or state.formula
    return neutralise(f"{_mark(state)} {state.id:<{width}}  {what:<10} {state.stage:<9} {state.words}")


def state_lines(state: RequestState) -> Iterator[str]:
    """One request whole: where it stands, each stage with who and when, and what needs somebody."""
    from disinto_tui.core.text import neutralise
    from disinto_tui.core.words import age_text

    def ago(at: float) -> str:
        return f", {age_text(time.time() - at)} ago" if at else ""

    yield _line(state)
    approvals = f"{len(state.approved_by)} of {state.approvals_needed}"
    named = ", ".join(state.approved_by)
    rows = (
        ("open", f"by {state.author}{ago(state.filed_at)}  {state.url}" if state.pull else "not known"),
        ("approved", f"{approvals}{f', by {named}' if named else ''}"),
        ("merged", f"by {state.merged_by or 'somebody'}{ago(state.merged_at)}"),
        (
            "executed",
            f"exit code {'?' if state.exit_code is None else state.exit_code}{ago(state.executed_at)}",
        ),
        ("result", f"{state.status}  {state.reference}  {state.digest}".rstrip()),
    )
    for name, words in rows:
        # Somebody may have released it without the execution being seen from here.
        unseen = name == "executed" and state.exit_code is None and state.stage != "executed"
        reached = state.reached(name) and not unseen  # type: ignore[arg-type]
        filed = name == "open" and state.stage == "closed"
        if reached or filed or name == "approved":
            yield neutralise(f"  {'✓' if reached or filed else '·'} {_ROW[name]:<9} {words}")
        else:
            yield f"  · {_ROW[name]}"
    yield neutralise(f"  context   {state.context}")
    if state.secrets:
        yield neutralise(f"  secrets   {', '.join(state.secrets)}")
    for text in state.warnings:
        yield neutralise(f"  ▲ {text}")
    if state.now:
        yield neutralise(f"  → {state.now}")
    if state.good is False:
        for line in state.logs.splitlines():
            yield f"    {neutralise(line)}"


_ROW = {
    "open": "filed",
    "approved": "approved",
    "merged": "merged",
    "executed": "executed",
    "result": "result",
}
