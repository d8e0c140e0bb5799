"""`doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from disinto_tui.cli.common import Session, session_options, wait_for
from disinto_tui.core.errors import ExitCode
from disinto_tui.core.text import neutralise

if TYPE_CHECKING:
    from disinto_tui.runs.doctor import Report
    from disinto_tui.runs.doctor_model import Result

_MARKS = {"ok": ("✓", "green"), "warning": ("▲", "yellow"), "problem": ("✗", "red"), "unknown": ("?", "cyan")}
_WIDTH = 17


@click.command()
@click.argument("checks", nargs=-1, metavar="[CHECK]...")
@click.option("--fix", is_flag=True, help="Mend what is safe to mend: shown as a plan, then run.")
@click.option("--offline", is_flag=True, help="Ask nothing beyond this host and its engine.")
@session_options(changes=True)
def doctor(session: Session, checks: tuple[str, ...], fix: bool, offline: bool) -> int:
    """Is this factory sound? Every check at once, or those you name; changes nothing without --fix.

    Exit code 1 when there is a problem, 3 when something could not be looked at, 0 otherwise; warnings are 0.
    """
    from disinto_tui.adapters.instance import Instance
    from disinto_tui.runs.doctor import examine, plan_fix
    from disinto_tui.runs.lifecycle import require_stack

    instance = Instance.at(session.directory)

    async def work() -> ExitCode:
        require_stack(instance)
        report = await examine(instance, checks, offline=offline)
        if not fix or not report.fixes:
            _tell(session, report)
            if fix and not session.output.as_json:
                session.output.say("Nothing of it can be mended safely without you.")
            return report.exit_code
        from disinto_tui.cli.stack import do_plan

        if not session.output.as_json:
            _tell(session, report)
        code = await do_plan(session, instance, await plan_fix(instance, report), question="Mend it?")
        if code != ExitCode.DONE or session.dry_run:
            return code
        after = await examine(instance, checks, offline=offline)
        if not session.output.as_json:
            _tell(session, after)
        return after.exit_code

    from disinto_tui.cli.holding import with_offers

    return wait_for(with_offers(session, instance, work) if fix else work())


def _tell(session: Session, report: Report) -> None:
    if session.output.as_json:
        session.output.document(report.to_json())
        return
    for result in report.results:
        _line(session, result)
    counts = [f"{report.count('ok')} ok"]
    for state, word in (("warning", "warning"), ("problem", "problem"), ("unknown", "not looked at")):
        number = report.count(state)  # type: ignore[arg-type]
        if number:
            counts.append(f"{number} {word}{'s' if number > 1 and state != 'unknown' else ''}")
    safe = f"; {len(report.fixes)} of it mended by --fix" if report.fixes else ""
    session.output.say(f"{', '.join(counts)}, in {report.seconds:.1f} s{safe}")


def _line(session: Session, result: Result) -> None:
    output = session.output
    for number, remark in enumerate(result.worth_saying):
        mark, style = _MARKS[remark.state]
        title = result.title if number == 0 else ""
        output.data(f"{output.style(mark, style)} {title:<{_WIDTH}} {neutralise(remark.text)}")
        if remark.cure and remark.state != "ok":
            output.data(f"  {'':<{_WIDTH}} → {neutralise(remark.cure)}")
    if result.state in ("warning", "problem"):
        output.data(output.style(f"  {'':<{_WIDTH}} {result.why}", "dim"))
